"""Decides one basket by the written rules (docs/semantics.md), slowly and in plain Python."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

from tests.oracle.answer import Applied, OracleDecision
from tests.oracle.basket import Basket, Unit, canonical, read_basket, read_products, spread
from tests.oracle.deal import Capacity, Contender, Use, best_deal, fits, give, price_of, worth
from tests.oracle.earn import decide_points
from tests.oracle.eligible import (
    Given,
    Scene,
    coupons_of,
    first_failure,
    local_minute,
    read_instant,
    room,
)
from tests.oracle.near import most_places, near_misses
from tests.oracle.program import MINUTES_A_DAY, Offer, day_number, read_offer
from tests.oracle.values import PARTS, rounded, share

EVERYTHING = 10_000


def decide(
    program: dict[str, Any],
    catalogue: dict[str, list[dict[str, Any]]],
    members: list[dict[str, Any]],
    basket: dict[str, Any],
    *,
    given: list[Given] | None = None,
    stopped: frozenset[str] = frozenset(),
    keys: tuple[bytes, bytes] = (bytes(16), bytes(16)),
) -> OracleDecision:
    """Decide a basket.

    Parameters
    ----------
    program : dict
        The keys of ``program.yaml``; `offers`: a list of offers as in its files; `files`: the text
        of CSV files by name.
    catalogue : dict
        `products` and `stores`: rows of the feeds, with codes written as in offers.
    members : list of dict
        Rows of the members feed, with `card`, `wallet` and `blocked`.
    basket : dict
        `lines`, `store`, `opened` (UTC), and what else a lane sends.
    given : list of Given
        What the member got before.
    keys : (bytes, bytes)
        Identity key and hold-out key.
    """
    decimals = int(program.get("currency", {}).get("exponent", 2))
    offers = sorted(
        (read_offer(written, program) for written in program.get("offers", [])),
        key=lambda offer: offer.id.encode(),
    )
    scene = read_scene(basket, catalogue, members, stopped, keys)
    scene.given = list(given or [])
    products = read_products(catalogue["products"])
    decision = _decide(offers, scene, read_basket(basket["lines"], products, decimals), program)
    if "HELD_OUT" in decision.outcomes.values():
        free = replace(scene, hold_out=False)
        fresh = read_basket(basket["lines"], products, decimals)
        other = _decide(offers, free, fresh, program)
        decision.forgone = other.totals["discount"] - decision.totals["discount"]
    return decision


def read_scene(
    basket: dict[str, Any],
    catalogue: dict[str, list[dict[str, Any]]],
    members: list[dict[str, Any]],
    stopped: frozenset[str],
    keys: tuple[bytes, bytes],
) -> Scene:
    """Find store and member, and the local time of a basket."""
    store = next(s for s in catalogue["stores"] if str(s["store_id"]) == str(basket["store"]))
    card = str(basket.get("card", ""))
    member = next((m for m in members if card and str(m.get("card", "")) == card), None)
    if member is not None and str(member.get("blocked", "false")).lower() == "true":
        member = None
    minute = local_minute(
        read_instant(basket["opened"]), basket.get("offset"), str(store.get("timezone", ""))
    )
    day = day_number(basket["date"]) if "date" in basket else minute // MINUTES_A_DAY
    return Scene(
        member,
        store,
        str(basket.get("channel", "store")),
        minute,
        day,
        [str(code) for code in basket.get("coupons", [])],
        [str(name) for name in basket.get("chosen", [])],
        stopped=stopped,
        keys=keys,
    )


def _decide(
    offers: list[Offer], scene: Scene, basket: Basket, program: dict[str, Any]
) -> OracleDecision:
    decision = OracleDecision()
    for offer in offers:
        failure = first_failure(offer, scene)
        if failure is not None:
            decision.outcomes[offer.id] = failure
    eligible = [offer for offer in offers if offer.id not in decision.outcomes]
    layers = Layers(basket, scene, decision)
    layers.run(eligible)
    decide_points(
        [offer for offer in eligible if offer.layer == "earn"], basket.units, scene, program,
        decision,
    )  # fmt: skip
    for unit in basket.units:
        unit.taken = id(unit) in layers.item_taken
    decision.near = near_misses(eligible, basket.units, scene, decision)
    _add_totals(decision, basket)
    return decision


def _add_totals(decision: OracleDecision, basket: Basket) -> None:
    for line, amount in basket.amounts.items():
        decision.discounts[line] = sum(a.shares.get(line, 0) for a in decision.applied)
        decision.nets[line] = amount - decision.discounts[line]
    gross, off = sum(basket.amounts.values()), sum(decision.discounts.values())
    refund = sum(basket.returned.values())
    by_class = {"price_reduction": 0, "third_party": 0, "tender": 0}
    for applied in decision.applied:
        for (_, settlement), amount in applied.funding.items():
            by_class[settlement] += amount
    decision.totals = {
        "gross": gross,
        "discount": off,
        "net": gross - off,
        "refund": refund,
        "due": gross - off - refund,
        "pos_discount": basket.pos_discount,
        **by_class,
    }


def capacity(offer: Offer, scene: Scene) -> Capacity:
    """Return how much of an offer may be used: its limits, the member's, its coupons (M7, L1)."""
    coupons = len(coupons_of(offer, scene)) if offer.coupons else None
    uses, units = room(offer, scene, "uses"), room(offer, scene, "units")
    if offer.mechanic in ("discount", "row_prices"):
        most = offer.units
        if most is not None and coupons is not None:
            most *= coupons
        return Capacity(units=_least(most, units))
    by_units = None
    if units is not None:
        a_time = offer.get or sum(slot.count for slot in offer.slots)
        by_units = units // a_time if a_time else None
    return Capacity(times=_least(offer.times, uses, coupons, by_units))


def without(units: list[Unit], others: list[Unit]) -> list[Unit]:
    """Return the units that are not among the others."""
    return [unit for unit in units if not any(unit is other for other in others)]


def _least(*ceilings: int | None) -> int | None:
    found = [ceiling for ceiling in ceilings if ceiling is not None]
    return min(found) if found else None


class Layers:
    """The item and the basket layer over one basket (Y1 to Y4)."""

    def __init__(self, basket: Basket, scene: Scene, decision: OracleDecision) -> None:
        self.units, self.scene, self.decision = basket.units, scene, decision
        self.zone = str(scene.store.get("price_zone", ""))
        self.item_taken: list[int] = []

    def run(self, eligible: list[Offer]) -> None:
        """Run both layers, class by class."""
        for layer in ("item", "basket"):
            here = [offer for offer in eligible if offer.layer == layer]
            for unit in self.units:
                unit.taken = False
            for order in sorted({offer.order for offer in here}):
                self.run_class([offer for offer in here if offer.order == order], layer)

    def run_class(self, offers: list[Offer], layer: str) -> None:
        """Let the offers of one class compete, then apply the stackable ones."""
        competing = sorted((o for o in offers if not o.stackable), key=lambda offer: offer.rank)
        everything = canonical(self.units)
        free = [unit for unit in everything if not unit.taken]
        alone = {offer.id: self.alone(offer, everything)[1] for offer in competing}
        if layer == "item" and competing:
            contenders = [(offer, capacity(offer, self.scene)) for offer in competing]
            deal = best_deal(contenders, free, self.zone)
            self.decision.unique &= deal.unique
            self.apply_all(deal.uses, contested=len(competing) > 1)
            for use in deal.uses:
                self.take(use)
        elif competing:
            found = [self.alone(offer, free) for offer in competing]
            best = max(parts for _, parts in found)
            self.decision.unique &= [parts for _, parts in found].count(best) == 1
            if best > 0:
                use = next(use for use, parts in found if parts == best)
                self.apply(use, best, contested=False)
                self.take(use)
        for offer in competing:
            self.explain(offer, alone[offer.id])
        if layer == "item":
            self.item_taken = [id(unit) for unit in self.units if unit.taken]
        stackable = [offer for offer in offers if offer.stackable]
        for offer in sorted(stackable, key=lambda o: (-o.priority, o.id.encode())):
            use, parts = self.alone(offer, canonical(self.units))
            if parts > 0:
                self.apply(use, parts, contested=False)
            self.explain(offer, parts)

    def take(self, use: Use) -> None:
        """Take the units of an offer away from those of later classes (Y2)."""
        for unit in use.rewarded + use.bought:
            unit.taken = True

    def alone(self, offer: Offer, units: list[Unit]) -> tuple[Use, int]:
        """Return the best use of an offer if it had some units to itself, and its worth."""
        if offer.mechanic == "threshold":
            return self.threshold(offer, units)
        deal = best_deal([(offer, capacity(offer, self.scene))], units, self.zone)
        if offer.stackable:
            self.decision.unique &= deal.unique
        return (deal.uses[0], deal.worth) if deal.uses else (Use(offer), 0)

    def threshold(self, offer: Offer, units: list[Unit]) -> tuple[Use, int]:
        """Return what a threshold gives (M6). What counts and is not rewarded has been bought."""
        counting = [unit for unit in units if fits(offer, 0, unit)]
        base = len(counting)
        if offer.spend is not None:
            base = sum(unit.initial if offer.initial else unit.left for unit in counting)
        rewarded = [unit for unit in units if fits(offer, 1, unit)]
        if not counting or base < offer.threshold:
            return Use(offer), 0
        if offer.reward == "percent":
            parts = sum(worth(offer, unit, self.zone) for unit in rewarded)
            touched = [unit for unit in rewarded if worth(offer, unit, self.zone) > 0]
            return Use(offer, 1, touched, without(counting, touched)), parts
        most = capacity(offer, self.scene).times
        times = min(offer.times or 1, base // offer.threshold)
        times = times if most is None else min(times, most)
        touched = [unit for unit in rewarded if give(offer, unit) > 0]
        parts = PARTS * min(times * offer.value, sum(give(offer, unit) for unit in touched))
        return Use(offer, times, touched, without(counting, touched)), parts

    def explain(self, offer: Offer, alone: int) -> None:
        """Keep why an eligible offer was not applied."""
        if offer.id in self.decision.outcomes:
            return
        if offer.mechanic == "threshold":
            counting = [unit for unit in self.units if fits(offer, 0, unit)]
            use, _ = self.threshold(offer, self.units)
            reason = "THRESHOLD" if use.times == 0 else "NO_VALUE"
            reason = reason if counting else "GOODS_MISSING"
        else:
            reason = "NO_VALUE" if self.possible(offer) else "GOODS_MISSING"
        self.decision.outcomes[offer.id] = "NOT_BEST" if alone > 0 else reason

    def possible(self, offer: Offer) -> bool:
        """Tell whether the fitting units make one application."""
        if offer.mechanic in ("discount", "row_prices"):
            return any(
                fits(offer, 0, unit) and (offer.mechanic == "discount" or self.has_row(offer, unit))
                for unit in self.units
            )
        return most_places(offer, self.units) == sum(slot.count for slot in offer.slots)

    def has_row(self, offer: Offer, unit: Unit) -> bool:
        return (unit.code, self.zone) in offer.rows or (unit.code, "") in offer.rows

    def apply_all(self, uses: list[Use], contested: bool) -> None:
        """Apply the offers that won; no unit is in two of them."""
        for use in uses:
            parts = Contender(use.offer, Capacity(), self.zone).worth_of(use)
            self.apply(use, parts, contested)

    def apply(self, use: Use, parts: int, contested: bool) -> None:
        """Round, cap and share the discount of an offer, and take it off (S1 to S5, Y4)."""
        offer = use.offer
        discount = rounded(Fraction(parts, PARTS), offer.rounding)
        discount = min(discount, sum(give(offer, unit) for unit in use.rewarded))
        ceiling = _least(offer.money, room(offer, self.scene, "money"))
        if ceiling is not None and ceiling < discount:
            self.decision.cut_minor += discount - ceiling if contested else 0
            discount = ceiling
        if discount == 0:
            self.decision.outcomes[offer.id] = "NO_VALUE"
            return
        by_units = offer.mechanic in ("discount", "row_prices")
        one = by_units or (offer.mechanic == "threshold" and offer.reward == "percent")
        applied = Applied(offer.id, offer.layer, 1 if one else use.times, discount)
        for unit in use.bought:
            applied.qualifying[unit.line] = applied.qualifying.get(unit.line, 0) + 1
        self.share_out(use, discount, applied)
        self.fund(offer, applied)
        needed = applied.times
        if by_units and offer.units is not None:
            needed = -(-len(use.rewarded) // offer.units)
        applied.coupons = coupons_of(offer, self.scene)[:needed]
        self.decision.applied.append(applied)
        self.decision.outcomes[offer.id] = "APPLIED"
        day = self.scene.business_day
        self.decision.given.append(Given(offer.id, day, applied.times, len(use.rewarded), discount))

    def share_out(self, use: Use, discount: int, applied: Applied) -> None:
        """Share a discount over runs, then over the lines of each (S2, S3)."""
        offer = use.offer
        runs: dict[Any, list[Unit]] = {}
        for unit in canonical(use.rewarded):
            runs.setdefault(unit.run, []).append(unit)
        most = [sum(give(offer, unit) for unit in units) for units in runs.values()]
        weights = [sum(self.weight(offer, unit) for unit in units) for units in runs.values()]
        for units, amount in zip(runs.values(), share(discount, weights, most), strict=True):
            lines: dict[int, list[Unit]] = {}
            for unit in units:
                lines.setdefault(unit.line, []).append(unit)
            ordered = sorted(lines)
            parts = share(amount, [len(lines[line]) for line in ordered])
            for line, part in zip(ordered, parts, strict=True):
                left = sum(unit.left for unit in lines[line]) - part
                for unit, price in zip(lines[line], spread(left, len(lines[line])), strict=True):
                    unit.left = price
                applied.shares[line] = applied.shares.get(line, 0) + part
                applied.units[line] = applied.units.get(line, 0) + len(lines[line])

    def weight(self, offer: Offer, unit: Unit) -> int:
        """Return in proportion to what a unit gets its share (S2, M6)."""
        if offer.mechanic == "group_price":
            return price_of(offer, unit)
        if offer.mechanic == "threshold" and offer.reward == "amount":
            return unit.left
        return worth(offer, unit, self.zone)

    def fund(self, offer: Offer, applied: Applied) -> None:
        """Divide each line share among the funders (S5)."""
        funders = offer.funding or [("", EVERYTHING, "price_reduction")]
        for line, amount in applied.shares.items():
            parts = share(amount, [percent for _, percent, _ in funders])
            applied.line_funding[line] = parts
            for (funder, _, settlement), part in zip(funders, parts, strict=True):
                key = (funder, settlement)
                applied.funding[key] = applied.funding.get(key, 0) + part
