"""One form for what the slow twin and the engine say about a basket, so that they compare."""

from typing import TYPE_CHECKING, Any

from tests.oracle.answer import OracleDecision

if TYPE_CHECKING:
    from checklane.v1 import decision_pb2

Told = dict[str, Any]
TOTALS = ("gross", "discount", "net", "refund", "due", "pos_discount", "price_reduction",
          "third_party", "tender")  # fmt: skip
SETTLEMENTS = {1: "price_reduction", 2: "third_party", 3: "tender"}
RETAILER = "retailer"
UNSPLIT_TOTALS = ("gross", "discount", "net", "refund", "due", "pos_discount")
#: Outcomes of eligible offers, which depend on what others got.
OPEN = ("APPLIED", "GOODS_MISSING", "THRESHOLD", "NO_VALUE", "NOT_BEST")
#: Reasons that the engine cannot always tell from each other.
SAME_REASONS = (
    {"GOODS_MISSING", "THRESHOLD"},
    {"NO_VALUE", "THRESHOLD"},
    {"NO_VALUE", "NOT_BEST"},
)
#: As many as the engine is asked for.
NEAR_MISSES_MAX = 8


def by_oracle(decision: OracleDecision) -> Told:
    """Return what the slow twin says."""
    scene = decision.scene
    member = (scene.member if scene is not None else None) or {}
    return {
        "lines": decision.discounts,
        "nets": decision.nets,
        "totals": decision.totals,
        "applied": {
            a.offer: {
                "times": a.times,
                "discount": a.discount,
                "shares": {line: part for line, part in a.shares.items() if part},
                "units": a.units,
                "qualifying": a.qualifying,
                "coupons": a.coupons,
                "funding": {
                    f"{funder or RETAILER}/{how}": part
                    for (funder, how), part in a.funding.items()
                    if part
                },
            }
            for a in decision.applied
        },
        "order": [a.offer for a in decision.applied],
        "points": {
            (p.purse, p.reason, p.offer): {
                "points": p.points,
                "active": p.active,
                "expire": p.expire,
            }
            for p in decision.points
        },
        "issued": [(i.offer, i.opens, i.code, i.last) for i in decision.issued],
        "referrals": [(r.offer, r.purse, r.points) for r in decision.referrals],
        "near": [(m.offer, m.missing_units, m.missing_minor, m.saving) for m in decision.near],
        "redeemed": sorted((r.offer, r.points, r.amount) for r in decision.redeemed),
        "redeem_refused": sorted(decision.redeem_refused),
        "coupon_refused": decision.coupon_refused,
        "outcomes": decision.outcomes,
        "progress": {step.progress: step.before for step in decision.steps},
        "steps": {s.progress: (s.before, s.gained, s.times) for s in decision.steps},
        "balances": decision.balances,
        "wallet_uses": scene.grants if scene is not None else {},
        "refunds": decision.refunds,
        "tier": str(member.get("tier", "")),
        "optimality": "BOUNDED" if decision.cut_minor else "EXACT",
        "forgone": decision.forgone,
        "is_forgone_open": decision.is_forgone_open,
        "unique": decision.unique,
        "rivals": decision.rivals,
    }


def by_engine(decision: "decision_pb2.Decision") -> Told:
    """Return what the engine says."""
    from checklane.v1 import decision_pb2

    def name(enum: str, number: int) -> str:
        wire = getattr(decision_pb2, enum).Name(number)
        prefix = "".join(f"_{c}" if c.isupper() else c.upper() for c in enum)[1:]
        return str(wire.removeprefix(f"{prefix}_"))

    applied = {
        a.offer_id: {
            "times": a.times,
            "discount": a.discount_minor,
            "shares": {},
            "units": {},
            "qualifying": {},
            "coupons": list(a.coupon_indexes),
            "funding": funding(a.funding),
        }
        for a in decision.applied_offers
    }
    for line in decision.lines:
        for part in line.applied:
            offer = applied[part.offer_id]
            units = part.unit_count or int(part.quantity_thousandths > 0)
            parts = (part.discount_minor, units, part.qualifying_unit_count)
            for key, number in zip(("shares", "units", "qualifying"), parts, strict=True):
                if number:
                    offer[key][line.line_id] = number
            assert sum(share.amount_minor for share in part.funding) == part.discount_minor
    return {
        "lines": {line.line_id: line.discount_minor for line in decision.lines},
        "nets": {line.line_id: line.net_minor for line in decision.lines},
        "totals": {key: getattr(decision.totals, f"{key}_minor") for key in TOTALS},
        "applied": applied,
        "order": [a.offer_id for a in decision.applied_offers],
        "points": {
            (p.purse_id, name("EarnReason", p.reason), p.offer_id): {
                "points": p.points,
                "active": p.active_date,
                "expire": p.expire_date,
            }
            for p in decision.earned
        },
        "issued": issued_coupons(decision),
        "referrals": [(r.offer_id, r.purse_id, r.points) for r in decision.referral_credits],
        "near": [
            (m.offer_id, m.missing_count, m.missing_amount_minor, m.saving_minor)
            for m in decision.near_misses
        ],
        "redeemed": sorted(
            (r.offer_id, r.points, r.amount_minor)
            for r in decision.redemptions
            if name("RedemptionState", r.state) == "TAKEN"
        ),
        "redeem_refused": sorted(
            (r.offer_id or r.purse_id, name("OfferOutcome", r.refused_outcome))
            for r in decision.redemptions
            if name("RedemptionState", r.state) == "REFUSED"
        ),
        "coupon_refused": refused_coupons(decision),
        "outcomes": {e.offer_id: name("OfferOutcome", e.outcome) for e in decision.explanations},
        "progress": {s.progress_id: s.value for s in decision.progress},
        "steps": {s.progress_id: (s.value, s.gained, s.times_reached) for s in decision.progress},
        "balances": {b.purse_id: b.available_points for b in decision.balances},
        "wallet_uses": {},
        "tier": decision.members[0].tier_id if decision.members else "",
        "optimality": name("OptimalityKind", decision.optimality.kind),
        "gap": decision.optimality.gap_minor,
        "forgone": decision.forgone_minor,
    }


def issued_coupons(decision: "decision_pb2.Decision") -> list[tuple[str, str, str, int]]:
    """Return the coupons that a commit issues: the offer, what it opens, code and last date."""
    return [
        (coupon.offer_id, coupon.opened_offer_id, coupon.code, coupon.expire_date)
        for coupon in decision.issued_coupons
    ]


def refused_coupons(decision: "decision_pb2.Decision") -> dict[int, str]:
    """Return why coupons gave nothing, by their places."""
    from checklane.v1 import decision_pb2

    return {
        coupon.coupon_index: decision_pb2.OfferOutcome.Name(coupon.refused_outcome).removeprefix(
            "OFFER_OUTCOME_"
        )
        for coupon in decision.coupons
        if coupon.refused_outcome
    }


def funding(shares: Any) -> dict[str, int]:
    """Return minor units by funder and settlement."""
    found: dict[str, int] = {}
    for share in shares:
        key = f"{share.funder_id}/{SETTLEMENTS[share.settlement_class]}"
        found[key] = found.get(key, 0) + share.amount_minor
    return {key: amount for key, amount in found.items() if amount}


def differences(oracle: Told, engine: Told) -> list[str]:
    """Return what the engine says otherwise, key by key.

    Where the rules leave a tie open (D3) only who is eligible is compared: which units an offer
    gets is open then, and with it what later steps find.
    """
    if not oracle["unique"]:
        return differences_of_eligibility(oracle, engine)
    found = []
    # Whether a cap cut off an offer that competed is for the engine to say; see rule D4.
    if oracle["optimality"] == "EXACT" != engine["optimality"]:
        found.append(f"optimality: {engine['optimality']}, not {oracle['optimality']}")
    for key in ("lines", "nets", "totals", "applied", "points", "steps", "outcomes"):
        for name in sorted({*oracle[key], *engine[key]}, key=str):
            wanted, told = oracle[key].get(name), engine[key].get(name)
            is_rival = key == "outcomes" and name in oracle["rivals"] and "APPLIED" not in (
                wanted, told
            )  # fmt: skip
            if wanted != told and not is_rival and not left_out(key, wanted, told):
                found.append(f"{key}[{name}]: {told}, not {wanted}")
    found += [
        f"{key}: {engine[key]}, not {oracle[key]}"
        for key in ("order", "redeemed", "redeem_refused", "issued", "referrals")
        if oracle[key] != engine[key]
    ]
    for at, wanted in oracle["coupon_refused"].items():
        if engine["coupon_refused"].get(at) != wanted:
            found.append(f"coupon {at}: {engine['coupon_refused'].get(at)}, not {wanted}")
    near = [
        [miss for miss in told["near"] if miss[0] not in oracle["rivals"] and miss[3] > 0]
        for told in (oracle, engine)
    ]
    if near[0][: len(near[1])] != near[1] or len(near[1]) < min(len(near[0]), NEAR_MISSES_MAX):
        found.append(f"near: {engine['near']}, not {oracle['near']}")
    if oracle["forgone"] != engine["forgone"] and not oracle["is_forgone_open"]:
        found.append(f"forgone: {engine['forgone']}, not {oracle['forgone']}")
    return found


def left_out(key: str, wanted: Any, told: Any) -> bool:
    """Tell whether a reason is not compared.

    An offer without goods is no candidate, so it may go without one.
    """
    if key != "outcomes":
        return False
    return (told is None and wanted != "APPLIED") or {told, wanted} in SAME_REASONS


def differences_of_eligibility(oracle: Told, engine: Told) -> list[str]:
    """Return which offers the engine finds eligible and the slow twin does not, or otherwise."""
    found = []
    for offer, wanted in oracle["outcomes"].items():
        told = engine["outcomes"].get(offer)
        same = told == wanted or (told in OPEN and wanted in OPEN)
        if not same and not left_out("outcomes", wanted, told):
            found.append(f"outcomes[{offer}]: {told}, not {wanted}")
    return found
