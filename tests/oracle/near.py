"""Near misses (rule N1) and how many places of an offer can be filled."""

from dataclasses import replace
from fractions import Fraction

from tests.oracle.answer import NearMiss, OracleDecision
from tests.oracle.basket import Unit, canonical
from tests.oracle.deal import Capacity, best_deal, fits, give, worth
from tests.oracle.eligible import Scene
from tests.oracle.program import Offer
from tests.oracle.values import PARTS, rounded

#: Line number of units that are not there.
NO_LINE = 0


def near_misses(
    offers: list[Offer], units: list[Unit], scene: Scene, decision: OracleDecision
) -> list[NearMiss]:
    """Return all near misses of a decision, nearest first."""
    zone = str(scene.store.get("price_zone", ""))
    found = []
    for offer in offers:
        miss = None
        if offer.mechanic in ("buy_get", "group_price"):
            if offer.layer == "item" and decision.outcomes[offer.id] != "APPLIED":
                miss = _missing_goods(offer, units, zone)
        elif offer.mechanic == "threshold" and decision.outcomes[offer.id] == "THRESHOLD":
            miss = _missing_spend(offer, units, zone)
        if miss is not None and miss.saving > 0:
            found.append(miss)
    found.sort(key=lambda m: (m.missing_minor, m.missing_units, -m.saving, m.offer.encode()))
    return found


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


def _missing_goods(offer: Offer, units: list[Unit], zone: str) -> NearMiss | None:
    """Return what an offer lacks of units that no offer has taken."""
    there = [
        unit
        for unit in units
        if (offer.stackable or not unit.taken)
        and any(fits(offer, slot, unit) for slot in range(len(offer.slots)))
    ]
    missing = sum(slot.count for slot in offer.slots) - most_places(offer, there)
    if not there or missing == 0:
        return None
    cheapest = min(there, key=lambda unit: unit.left)
    extra = [_Joker(**vars(replace(cheapest, line=NO_LINE))) for _ in range(missing)]
    wide = replace(
        offer, slots=[replace(slot, selector=_Or(slot.selector)) for slot in offer.slots]
    )
    deal = best_deal([(wide, Capacity(times=1))], canonical([*there, *extra]), zone)
    return NearMiss(offer.id, missing, 0, rounded(Fraction(deal.worth, PARTS), offer.rounding))


class _Joker(Unit):
    """A unit that is not there: it fits every place of the offer."""


class _Or:
    """A selector, or a unit that is not there."""

    def __init__(self, selector: object) -> None:
        self.selector = selector

    def fits(self, unit: Unit) -> bool:
        return isinstance(unit, _Joker) or self.selector.fits(unit)  # type: ignore[attr-defined]


def _missing_spend(offer: Offer, units: list[Unit], zone: str) -> NearMiss:
    """Return what a threshold lacks."""
    counting = [unit for unit in units if fits(offer, 0, unit)]
    rewarded = [unit for unit in units if fits(offer, 1, unit)]
    if offer.reward == "percent":
        parts = sum(worth(offer, unit, zone) for unit in rewarded)
    else:
        parts = PARTS * min(offer.value, sum(give(offer, unit) for unit in rewarded))
    saving = rounded(Fraction(parts, PARTS), offer.rounding)
    if offer.spend is None:
        return NearMiss(offer.id, offer.threshold - len(counting), 0, saving)
    base = sum(unit.initial if offer.initial else unit.left for unit in counting)
    return NearMiss(offer.id, 0, offer.threshold - base, saving)
