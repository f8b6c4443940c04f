"""Near misses (rule N1) and how many places of an offer can be filled."""

from dataclasses import replace
from fractions import Fraction

from tests.oracle.answer import NearMiss, OracleDecision
from tests.oracle.basket import Unit, canonical
from tests.oracle.deal import (
    Capacity,
    base_of,
    best_deal,
    contender,
    fits,
    give,
    touched_by,
    worth,
)
from tests.oracle.eligible import Scene
from tests.oracle.program import Offer
from tests.oracle.values import PARTS, rounded

#: Line number of units that are not there.
NO_LINE = 0
#: From here on codes of units that are not there: they stand last.
NO_CODE = 1 << 80


def near_misses(
    offers: list[Offer],
    after_item: list[Unit],
    units: list[Unit],
    scene: Scene,
    decision: OracleDecision,
) -> list[NearMiss]:
    """Return all near misses of a decision, nearest first.

    Item offers are judged by what their layer left of the units, thresholds by what all left.
    """
    zone = str(scene.store.get("price_zone", ""))
    found = []
    for offer in offers:
        miss, outcome = None, decision.outcomes[offer.id]
        if offer.mechanic == "threshold" and outcome != "APPLIED":
            miss = _missing_reach(offer, _seen_by(offer, units), zone)
            if outcome == "GOODS_MISSING":
                miss = miss or _missing_gift(offer, units)
        elif offer.layer == "item" and outcome != "APPLIED":
            seen = _seen_by(offer, after_item)
            if offer.reaches and any(fits(offer, 0, unit) for unit in seen):
                miss = _missing_reach(offer, seen, zone)
            elif offer.layer == "item" and offer.mechanic not in ("discount", "row_prices"):
                miss = _missing_goods(offer, seen, zone)
        if miss is not None and (miss.saving > 0 or offer.gift):
            found.append(miss)
    found.sort(key=lambda m: (m.missing_minor, m.missing_units, -m.saving, m.offer.encode()))
    return found


def _seen_by(offer: Offer, units: list[Unit]) -> list[Unit]:
    """Return the units that nobody took, or only offers that this one stacks after (Y3, Y6)."""
    named = set(offer.stack_after)
    return canonical([u for u in units if offer.stackable or set(u.takers) <= named])


def most_places(offer: Offer, units: list[Unit]) -> int:
    """Return how many places of one application the units can fill, each unit one (Kuhn)."""
    places = [slot for slot, part in enumerate(offer.slots) for _ in range(part.count)]
    owner: dict[int, int] = {}

    def seat(unit: int, seen: set[int]) -> bool:
        for place, slot in enumerate(places):
            if place in seen or not fits(offer, slot, units[unit]):
                continue
            seen.add(place)
            if place not in owner or seat(owner[place], seen):
                owner[place] = unit
                return True
        return False

    return sum(seat(unit, set()) for unit in range(len(units)))


def _missing_goods(offer: Offer, seen: list[Unit], zone: str) -> NearMiss | None:
    """Return what an offer lacks of the units that it sees."""
    slots = range(len(offer.slots))
    there = [unit for unit in seen if any(fits(offer, slot, unit) for slot in slots)]
    if offer.mechanic == "coverage":
        dearest: dict[int, Unit] = {}
        for unit in there:
            dearest.setdefault(unit.code, unit)
        missing, there_each = offer.products - len(dearest), list(dearest.values())
    else:
        places = sum(slot.count for slot in offer.slots)
        missing, there_each = places - most_places(offer, there), there
    if not there or missing <= 0:
        return None
    cheapest = min(there, key=lambda unit: unit.left)
    extra = [
        _Joker(
            **vars(
                replace(
                    cheapest,
                    initial=cheapest.left,
                    line=NO_LINE,
                    product=None,
                    code=NO_CODE + number,
                )
            )
        )
        for number in range(missing)
    ]
    # The choice of the cheapest does not narrow what is possible (M9).
    choose = "dearest" if offer.mechanic == "buy_get" and not offer.same else offer.choose
    wide = replace(
        offer,
        slots=[replace(slot, selector=_Or(slot.selector)) for slot in offer.slots],
        choose=choose,
    )
    units = canonical([*there_each, *extra])
    deal = best_deal([contender(wide, Capacity(times=1), zone, units)], units)
    return NearMiss(offer.id, missing, 0, rounded(Fraction(deal.worth, PARTS), offer.rounding))


class _Joker(Unit):
    """A unit that is not there: it fits every place of the offer."""


class _Or:
    """A selector, or a unit that is not there."""

    def __init__(self, selector: object) -> None:
        self.selector = selector

    def fits(self, unit: Unit) -> bool:
        return isinstance(unit, _Joker) or self.selector.fits(unit)  # type: ignore[attr-defined]


def _missing_reach(offer: Offer, seen: list[Unit], zone: str) -> NearMiss | None:
    """Return what the first step lacks, with its reward on the units of today (N1, M12, M13)."""
    first = offer.reaches[0]
    counting = [unit for unit in seen if fits(offer, 0, unit)]
    missing = first.least - base_of(first, counting, offer)
    if not counting or missing <= 0 or first.measure == "measure":
        return None
    stepped = replace(offer, reward=first.reward, value=first.value)
    if offer.mechanic == "threshold":
        saving = _reward_today(stepped, seen, zone)
    else:
        parts = sum(worth(stepped, unit, zone) for unit in counting)
        saving = rounded(Fraction(parts, PARTS), offer.rounding)
    if first.measure == "spend":
        return NearMiss(offer.id, 0, missing, saving)
    return NearMiss(offer.id, missing, 0, saving)


def _reward_today(offer: Offer, units: list[Unit], zone: str) -> int:
    """Return what a threshold would give once, were it reached."""
    touched = touched_by(offer, canonical(units), zone)
    if offer.reward in ("percent", "each"):
        parts = sum(worth(offer, unit, zone) for unit in touched)
    else:
        most = sum(give(offer, unit) for unit in touched)
        money = offer.value
        if offer.reward == "price":
            money = max(0, sum(unit.left for unit in touched) - offer.value)
        parts = PARTS * min(money, most)
    return rounded(Fraction(parts, PARTS), offer.rounding)


def _missing_gift(offer: Offer, units: list[Unit]) -> NearMiss | None:
    """Return the gift of a reached threshold that is not in the basket (N2)."""
    reach = offer.reaches[0]
    counting = [unit for unit in units if fits(offer, 0, unit)]
    reached = bool(counting) and base_of(reach, counting, offer) >= reach.least
    if not offer.gift or not reached or any(fits(offer, 1, unit) for unit in units):
        return None
    return NearMiss(offer.id, offer.most_rewarded or 1, 0, 0)
