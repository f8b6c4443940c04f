"""Coupons that say themselves what they give (rules C2 to C4)."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

from tests.oracle.basket import Unit, canonical
from tests.oracle.deal import Use, fits, give
from tests.oracle.gs1 import Purchase, Scanned, is_of_kind
from tests.oracle.program import EPOCH, Offer
from tests.oracle.values import PARTS, rounded

if TYPE_CHECKING:
    from tests.oracle.decide import Layers

GTIN = 1
NUMBER_BITS = 60
GTIN_DIGITS = 13
UNITS, MONEY, BASKET, POUNDS, KILOGRAMS, NO_PURCHASE = 0, 1, 2, 3, 4, 9
SAVE_MONEY, SAVE_FREE, SAVE_UNITS, SAVE_PERCENT, SAVE_BASKET = 0, 1, 2, 5, 6
ANY, ALL, FIRST_AND_ONE, FIRST_OR_BOTH = 0, 1, 2, 3


def family_fits(asked: str, family: str | None) -> bool:
    """Compare family codes: 000 is any, zeros at the end are open (C3)."""
    if asked == "000":
        return True
    open_digits = 2 if asked.endswith("00") else 1 if asked.endswith("0") else 0
    return family is not None and asked[: 3 - open_digits] == family[: 3 - open_digits]


@dataclass
class Aside:
    """The units of one coupon that are set aside for its purchases."""

    layers: "Layers"
    offer: Offer
    coupon: Scanned
    units: list[Unit]
    used: dict[int, list[Unit]] = field(default_factory=dict)

    def fitting(self, purchase: Purchase) -> list[Unit]:
        """Return the units of a purchase, dearest first."""
        return [unit for unit in self.units if self.is_of(purchase, unit)]

    def is_of(self, purchase: Purchase, unit: Unit) -> bool:
        """Tell whether a unit is of the company and the family."""
        kind, number = unit.code >> NUMBER_BITS, unit.code & (1 << NUMBER_BITS) - 1
        digits = f"{number:0{GTIN_DIGITS}}"
        if kind != GTIN or len(digits) > GTIN_DIGITS or not digits.startswith(purchase.prefix):
            return False
        known = unit.product is not None
        return family_fits(purchase.family, self.offer.families.get(unit.code) if known else None)

    def is_free(self, unit: Unit) -> bool:
        return not any(unit is other for part in self.used.values() for other in part)

    def meet(self, number: int) -> bool:
        """Set the units aside that a purchase asks for; tell whether there are enough."""
        if number >= len(self.coupon.purchases):
            return False
        purchase = self.coupon.purchases[number]
        wanted = purchase.requirement
        if purchase.code == NO_PURCHASE:
            return True
        if purchase.code == BASKET:
            return sum(u.left for u in self.layers.units if u.kind == "sale") >= wanted
        if purchase.code in (POUNDS, KILOGRAMS):
            wanted *= 10
        taken: list[Unit] = []
        for unit in self.fitting(purchase):
            counts = self.counted(purchase, unit)
            if wanted > 0 and counts > 0 and self.is_free(unit):
                taken.append(unit)
                wanted -= counts
        if wanted > 0:
            return False
        self.used[number] = taken
        return True

    def counted(self, purchase: Purchase, unit: Unit) -> int:
        """Return what a unit counts towards a requirement."""
        if purchase.code == UNITS:
            return 1
        if purchase.code == MONEY:
            return unit.left
        amount, measured = unit.measure
        return amount if measured == ("pound" if purchase.code == POUNDS else "kilogram") else 0

    def met(self) -> list[int]:
        """Return the purchases that the coupon uses; none when it cannot be used."""
        several = range(len(self.coupon.purchases))
        rules = self.coupon.rules
        if rules == ANY:
            return next(([number] for number in several if self.meet(number)), [])
        if rules == FIRST_OR_BOTH:
            if self.meet(0):
                return [0]
            others = list(several)[1:]
            return others if all(self.meet(number) for number in others) else []
        if not self.meet(0):
            return []
        if rules == FIRST_AND_ONE:
            return next(([0, number] for number in (1, 2) if self.meet(number)), [])
        return list(several) if all(self.meet(number) for number in several[1:]) else []

    def find(self, target: int) -> bool:
        """Find units for a value whose purchase asks for none."""
        purchase = self.coupon.purchases[target]
        if purchase.code not in (BASKET, NO_PURCHASE):
            return True
        count = self.coupon.save if self.coupon.save_code == SAVE_UNITS else 1
        free = [unit for unit in self.fitting(purchase) if self.is_free(unit)]
        self.used[target] = free[:count]
        return bool(self.used[target])


def run_scans(layers: "Layers", offer: Offer) -> None:
    """Let the scanned coupons of an offer's kind give what they say, in the order shown."""
    if offer.kind == "match":
        # It gives with the coupons that it matches, before this or after.
        layers.decision.outcomes.setdefault(offer.id, "NO_VALUE")
        return
    outcomes = []
    for at, coupon in sorted(layers.scene.scans.items()):
        if is_of_kind(coupon, offer.kind):
            outcome = run_scan(layers, offer, at, coupon)
            outcomes.append(outcome)
            if outcome != "APPLIED":
                layers.decision.coupon_refused[at] = outcome
    layers.decision.outcomes[offer.id] = "APPLIED" if "APPLIED" in outcomes else outcomes[0]


def served(layers: "Layers", offer: Offer, rewarded: list[Unit], bought: list[Unit]) -> Use:
    """Return the use of so many units of each run: the lowest lines are rewarded first (S3)."""
    gets = Counter(unit.run for unit in rewarded)
    buys = Counter(unit.run for unit in bought)
    use = Use(offer, 1)
    for unit in canonical(layers.units):
        for left, part in ((gets, use.rewarded), (buys, use.bought)):
            if left[unit.run] > 0:
                left[unit.run] -= 1
                part.append(unit)
                break
    return use


def refusal(layers: "Layers", offer: Offer, coupon: Scanned | None) -> str:
    """Return why a coupon may not be used here today, or nothing (C2)."""
    today = (EPOCH + timedelta(days=layers.scene.business_day)).strftime("%Y%m%d")
    if coupon is None:
        return "COUPON_INVALID"
    if coupon.start > today:
        return "NOT_STARTED"
    if coupon.end and coupon.end < today:
        return "ENDED"
    return "STORE" if coupon.retailer and coupon.retailer not in offer.retailers else ""


def used_before(layers: "Layers", at: int, coupon: Scanned | None) -> str:
    """Return why a coupon with a serial cannot be used once more, or nothing (K1)."""
    if coupon is None or not coupon.serial:
        return ""

    def name(one: Scanned | None) -> tuple[str, str]:
        return (f"gs1:{one.prefix}:{one.offer}", one.serial) if one is not None else ("", "")

    scans = layers.scene.scans
    shown = any(name(scans[other]) == name(coupon) for other in scans if other < at)
    return "COUPON_USED" if shown or name(coupon) in layers.scene.used else ""


def has_twin(layers: "Layers", coupon: Scanned | None) -> bool:
    """Tell whether the digital twin of a paper coupon is shown too (C5)."""
    if coupon is None:
        return False
    code = f"gs1:{coupon.prefix}:{coupon.offer}"
    return code in layers.scene.coupons and code in layers.codes


def run_scan(layers: "Layers", offer: Offer, at: int, coupon: Scanned | None) -> str:
    """Use one coupon; return its outcome."""
    refused = refusal(layers, offer, coupon) or used_before(layers, at, coupon)
    if not refused and has_twin(layers, coupon):
        refused = "COUPON_USED"
    if refused or coupon is None:
        return refused
    everything = canonical(layers.units)
    aside = Aside(layers, offer, coupon, [unit for unit in everything if fits(offer, 0, unit)])
    met = aside.met()
    if not met:
        found = any(aside.fitting(purchase) for purchase in coupon.purchases)
        return "THRESHOLD" if found else "GOODS_MISSING"
    target = coupon.item if coupon.item in met else met[0]
    if coupon.save_code == SAVE_BASKET:
        return off_basket(layers, offer, at, aside)
    if not aside.find(target):
        return "GOODS_MISSING"
    rewarded = aside.used.get(target, [])
    if coupon.save_code in (SAVE_FREE, SAVE_UNITS):
        count = 1 if coupon.save_code == SAVE_FREE else coupon.save
        rewarded = rewarded[-count:]
    taken = [unit for part in aside.used.values() for unit in part]
    bought = [unit for unit in taken if not any(unit is other for other in rewarded)]
    parts = worth_of(offer, coupon, rewarded)
    return take_off(layers, served(layers, offer, rewarded, bought), at, parts)


def off_basket(layers: "Layers", offer: Offer, at: int, aside: Aside) -> str:
    """Take a value off all units, those that served other coupons too (C4)."""
    kind, offer.kind = offer.kind, ""
    everything = [unit for unit in canonical(layers.units) if fits(offer, 0, unit)]
    offer.kind = kind
    if not everything:
        return "GOODS_MISSING"
    parts = worth_of(offer, aside.coupon, everything)
    if parts > 0:
        layers.mark(Use(offer, 1, [], [unit for part in aside.used.values() for unit in part]))
    rewarded = [unit for unit in everything if give(offer, unit) > 0]
    return take_off(layers, Use(offer, 1, canonical(rewarded)), at, parts, marks=False)


def worth_of(offer: Offer, coupon: Scanned, rewarded: list[Unit]) -> int:
    """Return what a coupon takes off some units, in parts."""
    most = sum(give(offer, unit) for unit in rewarded)
    if coupon.save_code == SAVE_PERCENT:
        return min(sum(unit.left for unit in rewarded) * coupon.save * 100, PARTS * most)
    if coupon.save_code == SAVE_UNITS:
        return PARTS * most
    if coupon.save_code == SAVE_FREE:
        return PARTS * min(most, coupon.save or most)
    if offer.face_value and coupon.save > most:
        return 0
    return PARTS * min(most, coupon.save)


def take_off(layers: "Layers", use: Use, at: int, parts: int, *, marks: bool = True) -> str:
    discount = min(
        rounded(Fraction(parts, PARTS), ""), sum(give(use.offer, unit) for unit in use.rewarded)
    )
    if layers.room is not None:
        discount = min(discount, layers.room)
        layers.room -= discount
    if discount == 0:
        return "NO_VALUE"
    layers.decision.unique &= not layers.mixed(use)
    layers.give_out(use, discount, scan=at, marks=marks)
    match = layers.match
    if use.offer.kind == "manufacturer" and match is not None:
        match_coupon(layers, match, use, at, discount)
    return "APPLIED"


def match_coupon(layers: "Layers", match: Offer, use: Use, at: int, given: int) -> None:
    """Take as much again off the units that a coupon rewarded (C6)."""
    coupon = layers.scene.scans[at]
    if coupon is None or not coupon.multiply:
        return
    if coupon.save_code not in (SAVE_MONEY, SAVE_BASKET):
        return
    units = [unit for unit in canonical(use.rewarded) if fits(match, 0, unit)]
    units = [unit for unit in units if give(match, unit) > 0]
    most = min(given, match.value, sum(give(match, unit) for unit in units))
    if layers.room is not None:
        most = min(most, layers.room)
        layers.room -= most
    if most > 0:
        layers.give_out(Use(match, 1, units), most, scan=at, marks=False)
