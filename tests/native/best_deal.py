"""The best deal by trying everything: unit after unit, every place that each unit can take.

Written from docs/semantics.md, not from the engine. States that are alike are merged, which is all
that makes it end.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from checklane import _layout as layout
from tests.native.world import Line, Offer

UNIT_MECHANICS = (layout.MECHANIC_UNIT_OFF, layout.MECHANIC_ROW_PRICE)


@dataclass(frozen=True)
class Unit:
    product: int
    price: int


def units_of(lines: list[Line]) -> list[Unit]:
    """Return the units of a basket in canonical order (B1, B2)."""
    units = []
    for line in lines:
        price, dearer = divmod(line.amount, line.count)
        units += [Unit(line.product, price + 1)] * dearer
        units += [Unit(line.product, price)] * (line.count - dearer)
    return sorted(units, key=lambda unit: (-unit.price, unit.product))


def reward_of(offer: Offer, price: int) -> int:
    """Return what a reward is worth on a unit, in parts."""
    floor = int(offer.fields.get("floor_minor", 0))
    worth = {
        layout.REWARD_PERCENT: price * offer.value,
        layout.REWARD_AMOUNT: 10_000 * offer.value,
        layout.REWARD_PRICE: 10_000 * (price - offer.value),
    }[offer.reward]
    return max(0, min(worth, 10_000 * (price - floor)))


def row_of(offer: Offer, product: int) -> tuple[int, int] | None:
    """Return price and limit of the row for a product."""
    for row_product, _, price, most in offer.rows:
        if row_product == product:
            return price, most
    return None


def moves_of(
    offer: Offer, state: tuple[int, ...], unit: Unit
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield (worth, next state) for each way in which an offer can take a unit.

    A state counts: units taken (and of each product for row prices), or units in each place.
    """
    fits = [slot.products is None or unit.product in slot.products for slot in offer.slots]
    if offer.mechanic in UNIT_MECHANICS:
        most = int(offer.fields.get("units_max", 0)) or 10**9
        worth = reward_of(offer, unit.price) if offer.mechanic == layout.MECHANIC_UNIT_OFF else 0
        place = 0
        if offer.mechanic == layout.MECHANIC_ROW_PRICE:
            row = row_of(offer, unit.product)
            if row is None:
                return
            worth = 10_000 * max(0, unit.price - row[0])
            place = 1 + [product for product, _, _, _ in offer.rows].index(unit.product)
            if row[1] and state[place] == row[1]:
                return
        if fits[0] and worth > 0 and state[0] < most:
            grown = list(state)
            grown[0] += 1
            grown[place] += place > 0
            yield worth, tuple(grown)
        return
    times = int(offer.fields.get("times_max", 0)) or 10**9
    for place, slot in enumerate(offer.slots):
        if not fits[place] or state[place] == times * slot.count:
            continue
        worth = 0
        if offer.mechanic == layout.MECHANIC_GROUP_PRICE:
            worth = 10_000 * unit.price
        elif offer.mechanic == layout.MECHANIC_CHEAPEST:
            bought = slot.count - int(offer.fields["get_count"])
            worth = reward_of(offer, unit.price) if state[place] % slot.count >= bought else 0
        elif slot.role == layout.SLOT_GET:
            worth = reward_of(offer, unit.price)
        yield worth, (*state[:place], state[place] + 1, *state[place + 1 :])


def times_of(offer: Offer, state: tuple[int, ...]) -> int | None:
    """Return how often an offer was applied (M1, M5: units); None for a part of an application."""
    if offer.mechanic in UNIT_MECHANICS:
        return state[0]
    times = state[0] // offer.slots[0].count
    whole = all(taken == times * slot.count for taken, slot in zip(state, offer.slots, strict=True))
    return times if whole else None


def start_of(offer: Offer) -> tuple[int, ...]:
    """Return the state of an offer that took nothing."""
    if offer.mechanic == layout.MECHANIC_ROW_PRICE:
        return (0,) * (1 + len(offer.rows))
    return (0,) * len(offer.slots)


def best_deal(offers: list[Offer], lines: list[Line]) -> tuple[int, tuple[int, ...]]:
    """Return the greatest worth in parts, and of its counts in rank order the greatest (D1, D3).

    Parameters
    ----------
    offers : list of Offer
        Competing offers of one class, in rank order.
    lines : list of Line
        Sale lines without flags.
    """
    states = {tuple(start_of(offer) for offer in offers): 0}
    for unit in units_of(lines):
        grown = dict(states)
        for state, worth in states.items():
            for number, offer in enumerate(offers):
                for gain, own in moves_of(offer, state[number], unit):
                    after = (*state[:number], own, *state[number + 1 :])
                    if grown.get(after, -1) < worth + gain:
                        grown[after] = worth + gain
        states = grown
    best: tuple[int, tuple[int, ...]] = (-1, ())
    for state, worth in states.items():
        counts = []
        for offer, own in zip(offers, state, strict=True):
            times = times_of(offer, own)
            if times is None:
                break
            counts.append(times)
            if offer.mechanic == layout.MECHANIC_GROUP_PRICE:
                worth -= 10_000 * offer.value * times
        else:
            best = max(best, (worth, tuple(counts)))
    return best
