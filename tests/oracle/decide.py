"""Decides one basket by the written rules (docs/semantics.md), slowly and in plain Python."""

import copy
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

from tests.oracle.answer import Applied, OracleDecision, Points
from tests.oracle.basket import Basket, Unit, canonical, read_basket, read_products, spread
from tests.oracle.deal import (
    Capacity,
    Use,
    after_fuelling,
    base_of,
    best_deal,
    contender,
    fits,
    give,
    price_of,
    row_of,
    touched_by,
    worth,
)
from tests.oracle.earn import dates_of, decide_points
from tests.oracle.eligible import (
    Given,
    Scene,
    coupons_of,
    first_failure,
    is_granted,
    local_minute,
    read_instant,
    room,
)
from tests.oracle.fuel import run_fuel
from tests.oracle.goals import add_steps, tier_of, values
from tests.oracle.gs1 import ScanError, Scanned, identifier_of, read_scan
from tests.oracle.near import most_places, near_misses
from tests.oracle.past import SERIALS, Lot, Past, Sale
from tests.oracle.pay import Payment
from tests.oracle.program import MINUTES_A_DAY, Offer, Selector, day_number, read_offer
from tests.oracle.scans import run_scans
from tests.oracle.values import NEVER, PARTS, is_true, listed, rounded, scaled, share

EVERYTHING = 10_000


def decide(
    program: dict[str, Any],
    catalogue: dict[str, list[dict[str, Any]]],
    members: list[dict[str, Any]],
    basket: dict[str, Any],
    *,
    past: Past | None = None,
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
    past : Past
        The sales before, of everybody.
    keys : (bytes, bytes)
        Identity key and hold-out key.
    """
    decimals = int(program.get("currency", {}).get("exponent", 2))
    offers = sorted(
        (read_offer(written, program) for written in program.get("offers", [])),
        key=lambda offer: offer.id.encode(),
    )
    past = past if past is not None else Past()
    basket = show_issued(basket, past.printed)
    scene = read_scene(basket, catalogue, members, stopped, keys)
    scene.member = past.survivor(scene.member, members)
    scene.given = past.given()
    scene.issued = past.issued()
    scene.used = frozenset(used for sale in past.sales for used in sale.coupons)
    if scene.member is not None:
        scene.referrer = referrer_of(scene.member, past, members)
        scene.progress = values(program, scene, past.gains)
        scene.grants = past.grants_of(scene.counted_for["per_member"])
        scene.member = {**scene.member, "tier": tier_of(program, scene, past.gains)}
    products = read_products(catalogue["products"], decimals)

    def fresh() -> Basket:
        found = read_basket(basket["lines"], products, decimals)
        exclude(found, program, str(scene.store.get("jurisdiction", "")))
        return found

    decision = _decide(offers, scene, fresh(), program, past)
    for purse in program.get("purses", {}):
        decision.balances[purse] = past.available(scene, purse)
    if "HELD_OUT" in decision.outcomes.values():
        other = _decide(offers, replace(scene, hold_out=False), fresh(), program, past)
        decision.forgone = other.totals["discount"] - decision.totals["discount"]
        decision.is_forgone_open = not other.unique
    return decision


def group_of(member: dict[str, Any]) -> str:
    return str(member.get("group_id") or member["member_id"])


def referrer_of(
    member: dict[str, Any], past: Past, members: list[dict[str, Any]]
) -> dict[str, Any] | None:
    """Return who referred a member and may get points for it (P11)."""
    named = str(member.get("referrer", ""))
    found = past.survivor(
        next((other for other in members if str(other["member_id"]) == named), None), members
    )
    if found is None or is_true(found.get("blocked")) or group_of(found) == group_of(member):
        return None
    return found


def commit(past: Past, decision: OracleDecision, program: dict[str, Any]) -> Sale:
    """Enter a decided sale, so that later ones see what it took and gave."""
    scene = decision.scene
    if scene is None:
        raise ValueError("the decision has no scene")
    sale = Sale(given=list(decision.given), coupons=coupons_used(program, decision))
    for paid in decision.redeemed:
        sale.spent += past.spend(scene, paid.purse, paid.points)
    give_points(past, sale, decision, program)
    for credit in decision.referrals:
        purse = program["purses"][credit.purse]
        active, expire = dates_of(purse, 0, scene.business_day)
        first = read_day(active) if active else scene.business_day
        last = read_day(expire) if expire else NEVER
        group = group_of(scene.referrer or {})
        sale.earned.append(Lot(group, credit.purse, credit.points, first, last))
    for coupon in decision.issued:
        past.printed.append((coupon.code, f"printed-{next(SERIALS)}"))
        sale.issued[past.printed[-1]] = read_day(coupon.last)
    past.gather(program, decision, sale)
    past.sales.append(sale)
    return sale


def give_points(past: Past, sale: Sale, decision: OracleDecision, program: dict[str, Any]) -> None:
    """Enter the points that a decision gives."""
    scene = decision.scene
    for points in decision.points if scene is not None else ():
        first = read_day(points.active) if points.active else scene.business_day
        last = read_day(points.expire) if points.expire else NEVER
        group = scene.counted_for["per_household"]
        past.roll(program, group, points.purse, scene.business_day)
        if (
            is_true(program["purses"][points.purse].get("awaits_confirmation"))
            and not points.active
        ):
            first = NEVER
        lot = Lot(group, points.purse, points.points, first, last)
        sale.made.append(lot)
        (past.loose_lots if points.reason == "GOAL" else sale.earned).append(lot)
        if points.reason != "GOAL":
            sale.whole[points.purse] += points.points


def coupons_used(program: dict[str, Any], decision: OracleDecision) -> list[tuple[str, str]]:
    """Return code and serial of the serialised coupons that a sale uses up (K1)."""
    found: list[tuple[str, str]] = []
    scene = decision.scene
    offers = {str(offer["id"]): offer for offer in program["offers"]}
    for applied in decision.applied if scene is not None else ():
        coupon = offers[applied.offer].get("coupon") or {}
        for at in applied.coupons:
            scan = scene.scans.get(at)
            if is_true(coupon.get("serial")) or (scan is not None and scan.serial):
                found.append(coupon_name(scene, at))
    return found


def read_day(compact: int) -> int:
    """Return the day of a date written as yyyymmdd."""
    text = str(compact)
    return day_number(f"{text[:4]}-{text[4:6]}-{text[6:]}")


def exclude(basket: Basket, program: dict[str, Any], jurisdiction: str) -> None:
    """Mark the units that the program keeps out of discounts, earning or redemption (B7)."""
    for rule in listed(program.get("exclusions")):
        places = [str(name) for name in listed(rule.get("jurisdictions"))]
        if places and jurisdiction not in places:
            continue
        selector = Selector(rule["of"], 0, program.get("files") or {})
        for unit in basket.units + basket.charges:
            is_let_in = "unless" in rule and unit.age_verified
            if unit.product is None or is_let_in:
                continue
            if selector.fits_product(unit.product):
                unit.no_discount |= "discount" in listed(rule["from"])
                unit.no_earn |= "earn" in listed(rule["from"])
                unit.no_redeem |= "burn" in listed(rule["from"])


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
    codes, serials, scans = read_coupons(basket.get("coupons", []))
    day = day_number(basket["date"]) if "date" in basket else minute // MINUTES_A_DAY
    return Scene(
        member,
        store,
        str(basket.get("channel", "store")),
        minute,
        day,
        codes,
        [str(name) for name in basket.get("chosen", [])],
        stopped=stopped,
        keys=keys,
        card=card,
        tenders=listed(basket.get("tenders")),
        scans=scans,
        serials=serials,
        redeem=listed(basket.get("redeem")),
    )


def show_issued(basket: dict[str, Any], printed: list[tuple[str, str]]) -> dict[str, Any]:
    """Return a basket in which `issued: n` is the nth coupon that sales before issued."""
    coupons: list[Any] = []
    for coupon in basket.get("coupons", []):
        if isinstance(coupon, dict) and "issued" in coupon:
            at = int(coupon["issued"]) - 1
            code, serial = printed[at] if at < len(printed) else ("NEVER", "")
            coupons.append({"code": code, "serial": serial})
        else:
            coupons.append(coupon)
    return {**basket, "coupons": coupons} if coupons else basket


def coupon_name(scene: Scene, at: int) -> tuple[str, str]:
    """Return code and serial of a coupon (K1)."""
    found = scene.scans.get(at)
    code = scene.coupons[at] if found is None else f"gs1:{found.prefix}:{found.offer}"
    return code, scene.serials[at]


def read_coupons(
    shown: list[Any],
) -> tuple[list[str], list[str], dict[int, Scanned | None]]:
    """Return codes and serials of the coupons, and what was scanned by its place."""
    codes: list[str] = []
    serials: list[str] = []
    scans: dict[int, Scanned | None] = {}
    for at, coupon in enumerate(shown):
        written = coupon if isinstance(coupon, dict) else {"code": coupon}
        codes.append(str(written.get("code", "")))
        serials.append(str(written.get("serial", "")))
        if codes[at] or "scan" not in written:
            continue
        data = str(written["scan"])
        try:
            found = read_scan(data)
        except ScanError:
            found, codes[at] = None, ""
            if identifier_of(data)[0] == "8110":
                scans[at] = None
            continue
        if found is None:
            codes[at] = data
        elif found.ai == "8110":
            scans[at], serials[at] = found, found.serial
        else:
            codes[at], serials[at] = f"gs1:{found.prefix}:{found.offer}", found.serial
    return codes, serials, scans


def _decide(
    offers: list[Offer], scene: Scene, basket: Basket, program: dict[str, Any], past: Past
) -> OracleDecision:
    decision = OracleDecision(scene=scene)
    scene = replace(scene, units=basket.units + basket.charges)
    for offer in offers:
        failure = first_failure(offer, scene)
        if failure is not None:
            decision.outcomes[offer.id] = failure
    eligible = [offer for offer in offers if offer.id not in decision.outcomes]
    layers = Layers(basket, scene, decision, program, rounds_of(offers))
    layers.run(eligible)
    decimals = int(program.get("currency", {}).get("exponent", 2))
    after_basket = [copy.copy(unit) for unit in layers.units]
    for unit in layers.units:
        unit.takers = []
    payment = Payment(layers, basket, past, decimals)
    payment.redeem(offers)
    payment.tender(eligible)
    decide_points(
        [offer for offer in eligible if offer.layer == "earn"], layers.units, scene, program,
        decision,
    )  # fmt: skip
    decision.units, decision.shown = layers.units, scene.units
    add_goals(program, layers.units, scene, decision)
    competing = {o.id for o in eligible if o.layer == "basket" and not o.stackable}
    if any(decision.outcomes[name] == "APPLIED" for name in competing):
        decision.rivals = competing
    decision.near = near_misses(eligible, layers.after_item, after_basket, scene, decision)
    _add_totals(decision, basket)
    return decision


def add_goals(
    program: dict[str, Any], units: list[Unit], scene: Scene, decision: OracleDecision
) -> None:
    """Add what the basket adds to progress, what goals give, and what grants it uses."""
    granted = [name for name in scene.grants if scene.grants[name] > 0]
    for name, purse, points in add_steps(program, units, scene, decision):
        active, expire = dates_of(program["purses"][purse], 0, scene.business_day)
        decision.points.append(Points(purse, points, "GOAL", name, active, expire))
    for given in decision.given:
        written = next(o for o in program["offers"] if str(o["id"]) == given.offer)
        if given.offer in granted and is_granted(read_offer(written, program), scene):
            decision.uses[given.offer] = given.uses


def _add_totals(decision: OracleDecision, basket: Basket) -> None:
    for line, amount in basket.amounts.items():
        decision.discounts[line] = sum(a.shares.get(line, 0) for a in decision.applied)
        decision.nets[line] = amount - decision.discounts[line]
    for line, amount in basket.returned.items():
        decision.discounts[line], decision.nets[line] = 0, amount
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
        a_time = 1 if offer.mechanic == "coverage" and offer.choose == "cheapest" else a_time
        by_units = units // a_time if a_time else None
    return Capacity(times=_least(offer.times, uses, coupons, by_units))


def _basket_room(basket: Basket, program: dict[str, Any]) -> int | None:
    """Return what the discounts of a basket may be together (S7), or None without such a cap."""
    cap = (program.get("policies") or {}).get("basket_discount") or {}
    gross = sum(unit.initial for unit in basket.units)
    decimals = int(program.get("currency", {}).get("exponent", 2))
    caps = []
    if "money" in cap:
        caps.append(scaled(cap["money"], decimals))
    if "percent" in cap:
        caps.append(gross * scaled(cap["percent"], 2) // EVERYTHING)
    return min(caps) if caps else None


def rounds_of(offers: list[Offer]) -> dict[str, int]:
    """Return in which round of its class each offer of a program takes part (Y6)."""
    by_id = {offer.id: offer for offer in offers}

    def number(offer: Offer) -> int:
        named = [by_id[name] for name in offer.stack_after]
        before = [o for o in named if (o.layer, o.order) == (offer.layer, offer.order)]
        return max([1 + number(other) for other in before], default=min(1, len(named)))

    return {offer.id: number(offer) for offer in offers}


def without(units: list[Unit], others: list[Unit]) -> list[Unit]:
    """Return the units that are not among the others."""
    return [unit for unit in units if not any(unit is other for other in others)]


def _least(*ceilings: int | None) -> int | None:
    found = [ceiling for ceiling in ceilings if ceiling is not None]
    return min(found) if found else None


class Layers:
    """The item and the basket layer over one basket (Y1 to Y6)."""

    def __init__(
        self,
        basket: Basket,
        scene: Scene,
        decision: OracleDecision,
        program: dict[str, Any],
        rounds: dict[str, int],
    ) -> None:
        self.rounds = rounds
        self.apart = False
        self.units = basket.units + basket.charges
        self.scene, self.decision = scene, decision
        self.zone = str(scene.store.get("price_zone", ""))
        self.after_item: list[Unit] = []
        self.out: set[str] = set()
        self.room = _basket_room(basket, program)
        self.match: Offer | None = None
        self.codes = {
            str(code)
            for offer in program["offers"]
            for code in listed((offer.get("coupon") or {}).get("codes"))
        }

    def run(self, eligible: list[Offer]) -> None:
        """Run both layers, class by class."""
        self.match = next((o for o in eligible if o.kind == "match"), None)
        for layer in ("item", "basket"):
            here = [offer for offer in eligible if offer.layer == layer]
            for unit in self.units:
                unit.takers = []
            for order in sorted({offer.order for offer in here}):
                self.run_class([offer for offer in here if offer.order == order])
            if layer == "item":
                self.after_item = [copy.copy(unit) for unit in self.units]

    def run_class(self, offers: list[Offer]) -> None:
        """Let the offers of one class compete, round by round, then apply the stackable ones."""
        competing = sorted((o for o in offers if not o.stackable), key=lambda offer: offer.rank)
        for number in sorted({self.rounds[offer.id] for offer in competing}):
            here = [offer for offer in competing if self.rounds[offer.id] == number]
            self.apart = number > 0
            self.contest(here)
            self.apart = False
        stackable = [offer for offer in offers if offer.stackable]
        for offer in sorted(stackable, key=lambda o: (-o.priority, o.id.encode())):
            if offer.mechanic == "scanned":
                run_scans(self, offer)
                continue
            if offer.mechanic == "fuel":
                run_fuel(self, offer)
                continue
            use, parts = self.alone(offer, canonical(self.units))
            if parts > 0 and offer.exclusive not in self.out:
                self.decision.unique &= not self.mixed(use)
                self.apply(use, parts, contested=False)
            self.explain(offer, parts)

    def mixed(self, use: Use) -> bool:
        """Tell whether an offer that sees taken units got some of which equal ones are free.

        Which of the two carry it the rules leave open.
        """
        found: dict[Any, set[bool]] = {}
        for unit in self.units:
            found.setdefault(unit.seen, set()).add(unit.taken)
        return any(len(found[unit.seen]) > 1 for unit in use.rewarded)

    def contest(self, competing: list[Offer]) -> None:
        """Let some offers of one class compete for units (D1, D2)."""
        everything = canonical(self.units, apart=self.apart)
        alone = {offer.id: self.alone(offer, everything)[1] for offer in competing}
        found = {offer.id: self.alone(offer, self.seen(offer)) for offer in competing}
        inside = self.one_of_each_name(competing, {key: part[1] for key, part in found.items()})
        if inside and inside[0].layer == "item":
            self.best_combination(inside, everything)
        elif inside:
            self.best_one([found[offer.id] for offer in inside])
        for offer in competing:
            self.explain(offer, alone[offer.id])

    def seen(self, offer: Offer) -> list[Unit]:
        """Return the units that an offer sees which competes: free ones, and by Y6 some others."""
        free = [unit for unit in self.units if set(unit.takers) <= set(offer.stack_after)]
        return canonical(free, apart=self.apart)

    def one_of_each_name(self, offers: list[Offer], alone: dict[str, int]) -> list[Offer]:
        """Return the offers that take part: of an exclusive name the one worth most alone (Y5)."""
        inside: list[Offer] = []
        for offer in offers:
            rivals = [o for o in offers if o.exclusive == offer.exclusive]
            best = max(rivals, key=lambda rival: alone[rival.id])
            if not offer.exclusive or (offer is best and offer.exclusive not in self.out):
                inside.append(offer)
        return inside

    def best_combination(self, offers: list[Offer], everything: list[Unit]) -> None:
        """Apply the best combination of item offers (D1)."""
        contenders = []
        for offer in offers:
            units = self.seen(offer)
            stepped = self.at_step(offer, units)
            if stepped is not None:
                contenders.append(
                    contender(stepped, capacity(stepped, self.scene), self.zone, units)
                )
        if not contenders:
            return
        deal = best_deal(contenders, everything, apart=self.apart)
        self.decision.unique &= deal.unique
        worths = {one.offer.id: one for one in contenders}
        parts = [worths[use.offer.id].worth_of(use) for use in deal.uses]
        for use, worth_parts in zip(deal.uses, parts, strict=True):
            self.apply(use, worth_parts, contested=len(offers) > 1)
        for use in deal.uses:
            self.take(use)

    def best_one(self, found: list[tuple[Use, int]]) -> None:
        """Apply the one offer of the basket layer that is worth most (D2)."""
        best = max(parts for _, parts in found)
        if best > 0:
            use = next(use for use, parts in found if parts == best)
            self.apply(use, best, contested=False)
            self.take(use)

    def take(self, use: Use) -> None:
        """Take the units of an offer away from those of later classes (Y2)."""
        for unit in use.rewarded + use.bought:
            unit.takers.append(use.offer.id)

    def at_step(self, offer: Offer, units: list[Unit]) -> Offer | None:
        """Return an offer with the reward of the last step that is reached (M12, M13)."""
        if not offer.reaches:
            return offer
        fitting = [unit for unit in units if fits(offer, 0, unit)]
        reached = None
        for reach in offer.reaches:
            if fitting and base_of(reach, fitting, offer) >= reach.least:
                reached = replace(offer, reward=reach.reward, value=reach.value)
        return reached

    def alone(self, offer: Offer, units: list[Unit]) -> tuple[Use, int]:
        """Return the best use of an offer if it had some units to itself, and its worth."""
        stepped = self.at_step(offer, units)
        if stepped is None:
            return Use(offer), 0
        if offer.mechanic == "threshold":
            return self.threshold(stepped, units)
        one = contender(stepped, capacity(offer, self.scene), self.zone, units)
        deal = best_deal([one], units)
        return (deal.uses[0], deal.worth) if deal.uses else (Use(offer), 0)

    def threshold(self, offer: Offer, units: list[Unit]) -> tuple[Use, int]:
        """Return what a reached threshold gives (M6, M14).

        What counts and is not rewarded has been bought.
        """
        counting = [unit for unit in units if fits(offer, 0, unit)]
        on_units = offer.reward in ("percent", "each")
        touched = touched_by(offer, units, self.zone, apart=self.apart)
        if on_units:
            times, parts = 1, sum(worth(offer, unit, self.zone) for unit in touched)
        else:
            most = PARTS * sum(give(offer, unit) for unit in touched)
            times = self.times_of(offer, counting)
            if offer.reward == "amount":
                if offer.face_value:
                    times = min(times, most // PARTS // offer.value)
                parts = min(PARTS * times * offer.value, most)
            else:
                together = sum(unit.left for unit in touched) - offer.value
                times, parts = 1, max(0, min(PARTS * together, most))
        return Use(offer, times, touched, without(counting, touched)), parts

    def times_of(self, offer: Offer, counting: list[Unit]) -> int:
        """Return how often an amount is given."""
        if len(offer.reaches) > 1:
            return 1
        reach = offer.reaches[0]
        times = min(offer.times or 1, base_of(reach, counting, offer) // reach.least)
        most = capacity(offer, self.scene).times
        return times if most is None else min(times, most)

    def mark(self, use: Use) -> None:
        """Mark the units that a coupon served; of a threshold those rewarded (K2)."""
        kind = use.offer.kind
        bought = [] if use.offer.mechanic == "threshold" else use.bought
        for unit in use.rewarded + bought if kind else ():
            unit.marks = (*unit.marks, kind)

    def explain(self, offer: Offer, alone: int) -> None:
        """Keep why an eligible offer was not applied."""
        if offer.id not in self.decision.outcomes:
            self.decision.outcomes[offer.id] = "NOT_BEST" if alone > 0 else self.reason(offer)

    def reason(self, offer: Offer) -> str:
        """Return why an offer would give nothing if it had every unit to itself."""
        units = canonical(self.units)
        if offer.reaches:
            if not any(fits(offer, 0, unit) for unit in units):
                return "GOODS_MISSING"
            if self.at_step(offer, units) is None:
                return "THRESHOLD"
            gift_is_there = not offer.gift or any(fits(offer, 1, unit) for unit in units)
            return "NO_VALUE" if gift_is_there else "GOODS_MISSING"
        if after_fuelling(offer, units):
            return "AFTER_FUELLING"
        return "NO_VALUE" if self.possible(offer, units) else "GOODS_MISSING"

    def possible(self, offer: Offer, units: list[Unit]) -> bool:
        """Tell whether the fitting units make one application."""
        fitting = [unit for unit in units if fits(offer, 0, unit)]
        if offer.mechanic == "row_prices":
            return any(row_of(offer, unit, self.zone) for unit in fitting)
        if offer.mechanic == "coverage":
            return len({unit.code for unit in fitting}) >= offer.products
        if offer.mechanic in ("discount", "fuel"):
            return bool(fitting)
        return most_places(offer, units) == sum(slot.count for slot in offer.slots)

    def apply(self, use: Use, parts: int, contested: bool) -> None:
        """Round, cap and share the discount of an offer, and take it off (S1 to S8, Y4)."""
        offer = use.offer
        whole = rounded(Fraction(parts, PARTS), offer.rounding)
        weights, most = self.by_run(offer, self.runs_of(use))
        discount = min(whole, sum(most))
        if offer.product_money is not None:
            discount = min(discount, rounded(Fraction(sum(weights), PARTS), offer.rounding))
        ceiling = _least(offer.money, room(offer, self.scene, "money"), self.room)
        spent, spend = sum(unit.left for unit in use.rewarded), room(offer, self.scene, "spend")
        if spend is not None and spent > spend:
            part = rounded(Fraction(parts * spend // spent, PARTS), offer.rounding)
            ceiling = _least(ceiling, part)
        is_refused = ceiling is not None and ceiling < discount and offer.whole
        discount = discount if ceiling is None else min(discount, ceiling)
        discount = 0 if is_refused else discount
        self.decision.cut_minor += whole - discount if contested else 0
        if discount == 0:
            self.decision.outcomes[offer.id] = "LIMIT_REACHED" if is_refused else "NO_VALUE"
            return
        if self.room is not None:
            self.room -= discount
        if offer.exclusive:
            self.out.add(offer.exclusive)
        self.give_out(use, discount)

    def give_out(
        self, use: Use, discount: int, *, scan: int | None = None, marks: bool = True
    ) -> None:
        """Take a discount off the units of a use and tell it, added to what the offer gave."""
        offer = use.offer
        by_units = offer.mechanic in ("discount", "row_prices")
        one = by_units or (offer.mechanic == "threshold" and offer.reward != "amount")
        told = next((a for a in self.decision.applied if a.offer == offer.id), None)
        applied = Applied(offer.id, offer.layer, 1 if one else use.times, discount)
        spent = sum(unit.left for unit in use.rewarded)
        spent = _least(spent, room(offer, self.scene, "spend")) or 0
        for unit in use.bought:
            applied.qualifying[unit.line] = applied.qualifying.get(unit.line, 0) + 1
        self.share_out(use, discount, applied)
        if marks:
            self.mark(use)
        self.fund(offer, applied)
        uses = needed = applied.times
        if by_units and offer.units is not None:
            needed = -(-len(use.rewarded) // offer.units)
        applied.coupons = coupons_of(offer, self.scene)[:needed]
        if scan is not None and offer.kind != "match":
            applied.coupons = [scan]
        if told is None:
            self.decision.applied.append(applied)
        else:
            each = offer.steps or offer.item or scan is not None
            uses = applied.times if each else 0
            told.add(applied, by_unit=each)
            if scan is None:
                told.coupons = coupons_of(offer, self.scene)[: told.times]
            told.funding = {}
            self.fund(offer, told)
            sizes = Counter(unit.line for unit in self.units)
            told.units = {line: min(count, sizes[line]) for line, count in told.units.items()}
        self.decision.outcomes[offer.id] = "APPLIED"
        counts = (uses, len(use.rewarded), discount)
        day = self.scene.business_day
        self.decision.given.append(Given(offer.id, day, *counts, self.scene.counted_for, spent))

    def share_out(self, use: Use, discount: int, applied: Applied) -> None:
        """Share a discount over runs, then over the lines of each (S2, S3)."""
        runs = self.runs_of(use)
        weights, most = self.by_run(use.offer, runs)
        for units, amount in zip(runs, share(discount, weights, most), strict=True):
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

    def runs_of(self, use: Use) -> list[list[Unit]]:
        """Return the rewarded units run by run, in canonical order (B2, Y6)."""
        runs: dict[Any, list[Unit]] = {}
        for unit in canonical(use.rewarded, apart=self.apart):
            shelf = tuple(unit.takers) if self.apart else ()
            runs.setdefault((unit.run, shelf), []).append(unit)
        return list(runs.values())

    def by_run(self, offer: Offer, runs: list[list[Unit]]) -> tuple[list[int], list[int]]:
        """Return what each run is worth and the most that it can get (S2, S7)."""
        most = [sum(give(offer, unit) for unit in units) for units in runs]
        weights = [sum(self.weight(offer, unit) for unit in units) for units in runs]
        if offer.product_money is None:
            return weights, most
        rest: dict[int, int] = {}
        for at, units in enumerate(runs):
            left = rest.get(units[0].code, offer.product_money)
            weights[at] = min(weights[at], PARTS * left)
            minor = -(-weights[at] // PARTS)
            most[at] = min(most[at], minor)
            rest[units[0].code] = left - minor
        return weights, most

    def weight(self, offer: Offer, unit: Unit) -> int:
        """Return in proportion to what a unit gets its share (S2, M6)."""
        if offer.mechanic == "fuel" and unit.fill is not None:
            return unit.fill.parts
        by_what_is_left = offer.mechanic in ("redeem", "scanned", "tender")
        if offer.mechanic == "threshold" and offer.reward in ("amount", "price"):
            by_what_is_left = True
        if by_what_is_left:
            return unit.left
        together = offer.mechanic in ("group_price", "coverage")
        if together and offer.choose != "cheapest" and offer.reward != "percent":
            return price_of(offer, unit)
        return worth(offer, unit, self.zone)

    def fund(self, offer: Offer, applied: Applied) -> None:
        """Divide each line share among the funders (S5)."""
        pays = offer.layer in ("redemption", "tender")
        funders = offer.funding or [("", EVERYTHING, "tender" if pays else "price_reduction")]
        for line, amount in applied.shares.items():
            parts = share(amount, [percent for _, percent, _ in funders])
            applied.line_funding[line] = parts
            for (funder, _, settlement), part in zip(funders, parts, strict=True):
                key = (funder, settlement)
                applied.funding[key] = applied.funding.get(key, 0) + part
