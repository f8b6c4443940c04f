"""The best deal of one class (rules M1 to M5, D1, D3): every way to use the units, by brute force.

The units are walked in the canonical order; each is left alone or put into a place of an offer. All
ways that fill the same places are one state, of which the best is kept: by worth in parts, then by
the units that are rewarded (the earliest first, offers in rank order), then by the buy places.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.basket import Unit
from tests.oracle.program import Offer
from tests.oracle.values import PARTS

State = tuple[Any, ...]


def give(offer: Offer, unit: Unit) -> int:
    """Return what an offer can take off a unit at most, in minor units."""
    return max(0, unit.left - offer.floor)


def fits(offer: Offer, slot: int, unit: Unit) -> bool:
    """Tell whether a unit may fill a slot (B3, B4)."""
    if unit.no_earn if offer.layer == "earn" else unit.no_discount:
        return False
    if offer.reduced_out and unit.reduced:
        return False
    if offer.sources and unit.source not in offer.sources:
        return False
    return offer.slots[slot].selector.fits(unit)


def row_of(offer: Offer, unit: Unit, zone: str) -> tuple[int, int] | None:
    """Return price and limit of the row for a unit: the zone's own before the one for all (M5)."""
    own = offer.rows.get((unit.code, zone)) if zone else None
    return own if own is not None else offer.rows.get((unit.code, ""))


def price_of(offer: Offer, unit: Unit) -> int:
    """Return the price that an offer looks at (Y1)."""
    return unit.initial if offer.initial else unit.left


def worth(offer: Offer, unit: Unit, zone: str) -> int:
    """Return what the reward of an offer is worth on a unit, in parts (section 4)."""
    price = price_of(offer, unit)
    if offer.reward == "percent":
        parts = price * offer.value
    elif offer.reward == "amount":
        parts = PARTS * offer.value
    elif offer.mechanic == "row_prices":
        row = row_of(offer, unit, zone)
        parts = PARTS * (price - row[0]) if row is not None else 0
    else:
        parts = PARTS * (price - offer.value)
    return max(0, min(parts, PARTS * give(offer, unit)))


@dataclass
class Capacity:
    """How much of an offer may be used in this basket: applications, and units of M1 and M5."""

    times: int | None = None
    units: int | None = None


@dataclass
class Use:
    """What an offer got of the units."""

    offer: Offer
    times: int = 0
    rewarded: list[Unit] = field(default_factory=list)
    bought: list[Unit] = field(default_factory=list)


@dataclass
class Deal:
    """The best combination of one class.

    Attributes
    ----------
    unique : bool
        No other combination is as good, up to units that no rule can tell apart.
    """

    worth: int
    uses: list[Use]
    unique: bool


class Contender:
    """One offer in the search: which states it may be in, and what a unit does to them."""

    def __init__(self, offer: Offer, capacity: Capacity, zone: str) -> None:
        self.offer, self.capacity, self.zone = offer, capacity, zone
        self.by_units = offer.mechanic in ("discount", "row_prices")
        self.cheapest = offer.mechanic == "buy_get" and offer.same
        self.group = offer.mechanic == "group_price"

    @property
    def start(self) -> State:
        return (0, ()) if self.by_units else (0,) * len(self.offer.slots)

    def steps(self, state: State, unit: Unit) -> Iterator[tuple[State, int, bool]]:
        """Yield each way to use a unit: the state after it, its worth, and whether rewarded."""
        offer = self.offer
        value = worth(offer, unit, self.zone)
        if self.by_units:
            if value > 0 and fits(offer, 0, unit):
                yield from self._one_more(state, unit, value)
            return
        for slot, place in enumerate(offer.slots):
            most = self.capacity.times
            if not fits(offer, slot, unit) or (
                most is not None and state[slot] >= most * place.count
            ):
                continue
            after = (*state[:slot], state[slot] + 1, *state[slot + 1 :])
            if self.group:
                yield after, PARTS * price_of(offer, unit), True
            elif self.cheapest:
                rewarded = state[0] % (offer.buy + offer.get) >= offer.buy
                yield after, value if rewarded else 0, rewarded
            else:
                yield after, value if slot == 1 else 0, slot == 1

    def _one_more(self, state: State, unit: Unit, value: int) -> Iterator[tuple[State, int, bool]]:
        count, by_product = state
        if self.capacity.units is not None and count >= self.capacity.units:
            return
        row = row_of(self.offer, unit, self.zone) if self.offer.rows else None
        if row is not None and row[1] > 0:
            used = dict(by_product)
            used[unit.code] = used.get(unit.code, 0) + 1
            if used[unit.code] > row[1]:
                return
            by_product = tuple(sorted(used.items()))
        yield (count + 1, by_product), value, True

    def worth_of(self, use: Use) -> int:
        """Return what the units of an offer are worth, in parts."""
        if self.group:
            prices = sum(price_of(self.offer, unit) for unit in use.rewarded)
            return PARTS * (prices - use.times * self.offer.value)
        return sum(worth(self.offer, unit, self.zone) for unit in use.rewarded)

    def count(self, state: State) -> int | None:
        """Return applications (M1, M5: units) of a state; None when one is not complete."""
        if self.by_units:
            return int(state[0])
        counts = {divmod(state[at], slot.count) for at, slot in enumerate(self.offer.slots)}
        if len(counts) != 1:
            return None
        times, rest = counts.pop()
        return times if rest == 0 else None


Counts = tuple[int, ...]
#: Worth in parts, and the choice of units as bits: greater is better in both.
Value = tuple[int, int]


def best_deal(offers: list[tuple[Offer, Capacity]], units: list[Unit], zone: str) -> Deal:
    """Return the best combination of some offers over some units.

    Parameters
    ----------
    offers : list of (Offer, Capacity)
        In rank order.
    units : list of Unit
        In canonical order.
    """
    contenders = [Contender(offer, capacity, zone) for offer, capacity in offers]
    earliest = _search(contenders, units, 1)
    latest = _search(contenders, units, -1)
    counts = _choose(contenders, earliest, units)
    worth_parts, chosen = earliest[counts]
    uses = _uses(contenders, counts, chosen, units)
    others = _uses(contenders, counts, -latest[counts][1], units)
    as_good = [n for n, value in earliest.items() if value[0] == worth_parts]
    unique = len(as_good) == 1 and _signature(uses) == _signature(others)
    return Deal(worth_parts, [use for use in uses if use.times > 0], unique)


def _search(contenders: list[Contender], units: list[Unit], sign: int) -> dict[Counts, Value]:
    """Return the best value for each vector of counts.

    Of equally good choices of units it is the earliest, with sign -1 the latest.
    """
    size, ranks = len(units), len(contenders)
    states: dict[State, Value] = {tuple(c.start for c in contenders): (0, 0)}
    for place, unit in enumerate(units):
        after = dict(states)
        for state, (parts_before, chosen_before) in states.items():
            for rank, contender in enumerate(contenders):
                bought = sign << ((ranks - 1 - rank) * size + size - 1 - place)
                for step, parts, rewarded in contender.steps(state[rank], unit):
                    key = (*state[:rank], step, *state[rank + 1 :])
                    bit = bought << size * ranks if rewarded else bought
                    found = (parts_before + parts, chosen_before + bit)
                    if key not in after or after[key] < found:
                        after[key] = found
        states = after
    best: dict[Counts, Value] = {}
    for state, (parts, chosen) in states.items():
        counts = [c.count(part) for c, part in zip(contenders, state, strict=True)]
        vector = tuple(count for count in counts if count is not None)
        if len(vector) != ranks:
            continue
        groups = [PARTS * c.offer.value * n for c, n in zip(contenders, vector, strict=True)
                  if c.group]  # fmt: skip
        value = (parts - sum(groups), chosen)
        if vector not in best or best[vector] < value:
            best[vector] = value
    return best


def _choose(contenders: list[Contender], best: dict[Counts, Value], units: list[Unit]) -> Counts:
    """Return the counts that win: worth most, no offer in vain, greatest in rank order (D3)."""
    most = max(value[0] for value in best.values())
    for counts in sorted((n for n in best if best[n][0] == most), reverse=True):
        uses = _uses(contenders, counts, best[counts][1], units)
        pairs = zip(contenders, uses, strict=True)
        if all(use.times == 0 or contender.worth_of(use) > 0 for contender, use in pairs):
            return counts
    raise AssertionError("the best combination has an offer that is worth nothing")


def _uses(contenders: list[Contender], counts: Counts, chosen: int, units: list[Unit]) -> list[Use]:
    """Read the choice of units back from its bits."""
    size, ranks = len(units), len(contenders)
    uses = []
    for rank, contender in enumerate(contenders):
        use = Use(contender.offer, counts[rank])
        for place, unit in enumerate(units):
            bit = (ranks - 1 - rank) * size + size - 1 - place
            if chosen >> bit & 1:
                use.bought.append(unit)
            if chosen >> (bit + size * ranks) & 1:
                use.rewarded.append(unit)
        uses.append(use)
    return _serve(uses, units)


def _serve(uses: list[Use], units: list[Unit]) -> list[Use]:
    """Take the units of each run from the lowest line up: rewarded ones first, then buyers (S3)."""
    served = [Use(use.offer, use.times) for use in uses]
    rest: dict[Any, list[Unit]] = {}
    for unit in units:
        rest.setdefault(unit.run, []).append(unit)
    for use, result in zip(uses, served, strict=True):
        result.rewarded = [rest[unit.run].pop(0) for unit in use.rewarded]
    for use, result in zip(uses, served, strict=True):
        result.bought = [rest[unit.run].pop(0) for unit in use.bought]
    return served


def _signature(uses: list[Use]) -> list[Any]:
    """Return what can be told apart of a choice: runs, not units."""
    return [(use.times, [u.run for u in use.rewarded], [u.run for u in use.bought]) for use in uses]
