"""The best deal of one class (rules M1 to M12, D1, D3): every way to use the units, by brute force.

The units are walked in the canonical order; each is left alone or put into a place of an offer. All
ways that fill the same places are one state, of which the best is kept: by worth in parts, then by
the units that are rewarded (the earliest first, offers in rank order), then by the buy places.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

from tests.oracle.basket import Unit, canonical
from tests.oracle.program import Offer, Reach
from tests.oracle.values import PARTS, rounded

State = tuple[Any, ...]
BASIS_POINTS = 10_000
MILLI = 1_000


def floor_of(offer: Offer, unit: Unit) -> int:
    """Return the price below which an offer takes no unit (S6)."""
    if offer.layer == "redemption":
        return 0
    floors = [offer.floor]
    product = unit.product
    if product is not None:
        floors.append(product.legal_min)
        if product.cost_milli is not None and offer.cost_floor:
            floors.append(-(-product.cost_milli // MILLI))
        if product.cost_milli is not None and offer.margin is not None:
            selling = MILLI * (BASIS_POINTS - offer.margin)
            floors.append(-(-product.cost_milli * BASIS_POINTS // selling))
    return max(floors)


def fuel_floor(offer: Offer, unit: Unit) -> int:
    """Return the price of a unit of measure below which an offer does not go, in thousandths."""
    floors, product = [offer.fuel_floor], unit.product
    if product is not None:
        floors.append(MILLI * product.legal_min)
        if product.cost_milli is not None and offer.cost_floor:
            floors.append(product.cost_milli)
        if product.cost_milli is not None and offer.margin is not None:
            part = Fraction(product.cost_milli * BASIS_POINTS, BASIS_POINTS - offer.margin)
            floors.append(rounded(part, "ceil"))
    return max(floors)


def give(offer: Offer, unit: Unit) -> int:
    """Return what an offer can take off a unit at most, in minor units (S6, S7, F2)."""
    if offer.mechanic == "fuel":
        floor = Fraction(fuel_floor(offer, unit) * unit.measure[0], MILLI * MILLI)
        return max(0, unit.left - rounded(floor, "ceil"))
    most = max(0, unit.left - floor_of(offer, unit))
    return most if offer.unit_money is None else min(most, offer.unit_money)


def fits(offer: Offer, slot: int, unit: Unit) -> bool:
    """Tell whether a unit may fill a slot (B3, B4)."""
    flags = {"earn": unit.no_earn, "redemption": unit.no_redeem}
    if flags.get(offer.layer, unit.no_discount):
        return False
    if offer.reduced_out and unit.reduced:
        return False
    if offer.sources and unit.source not in offer.sources:
        return False
    if offer.per_measure and unit.measure[1] != offer.per_measure:
        return False
    if offer.kind and offer.kind in unit.marks:
        return False
    if offer.mechanic == "fuel" and not fits_fill(offer, unit):
        return False
    return offer.slots[slot].selector.fits(unit)


def fits_fill(offer: Offer, unit: Unit) -> bool:
    """Tell whether grade, price level and authorisation of a fill fit an offer (F1, F5)."""
    if unit.fill is None or not (offer.fuel_any or offer.id in unit.fill.promised):
        return False
    grade = not offer.grades or unit.fill.grade in offer.grades
    return grade and (not offer.levels or unit.fill.level in offer.levels)


def after_fuelling(offer: Offer, units: list[Unit]) -> bool:
    """Tell whether an offer fits no fill, but would fit one that was authorised with it (F5)."""
    if offer.mechanic != "fuel" or any(fits(offer, 0, unit) for unit in units):
        return False
    return any(fits(replace(offer, fuel_any=True), 0, unit) for unit in units)


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
    elif offer.per_measure:
        parts = 10 * offer.value * unit.measure[0]
        parts = parts if offer.reward == "amount" else PARTS * price - parts
    elif offer.reward in ("amount", "each"):
        parts = PARTS * offer.value
    elif offer.mechanic == "row_prices":
        row = row_of(offer, unit, zone)
        parts = PARTS * (price - row[0]) if row is not None else 0
    else:
        parts = PARTS * (price - offer.value)
    is_amount = offer.reward in ("amount", "each")
    if offer.face_value and is_amount and parts > PARTS * give(offer, unit):
        return 0
    if not offer.reshare:
        parts = min(parts, PARTS * give(offer, unit))
    elif offer.unit_money is not None:
        parts = min(parts, PARTS * offer.unit_money)
    return max(0, parts)


def base_of(reach: Reach, units: list[Unit], offer: Offer | None = None) -> int:
    """Return how much of a measure some units make, at the base prices of an offer (M6, M12)."""
    if reach.measure == "spend":
        return sum(price_of(offer, unit) if offer else unit.initial for unit in units)
    if reach.measure == "count":
        return len(units)
    if reach.measure == "products":
        return len({unit.code for unit in units})
    return sum(unit.measure[0] for unit in units if unit.measure[1] == reach.unit)


def touched_by(offer: Offer, units: list[Unit], zone: str, *, apart: bool = False) -> list[Unit]:
    """Return the units that a threshold rewards (M6, M14, S7), in canonical order.

    Which runs they are of follows from the offer; the lines serve them from the lowest up (S3).
    """
    if offer.reward in ("percent", "each"):
        touched = [u for u in units if fits(offer, 1, u) and worth(offer, u, zone) > 0]
    else:
        touched = [u for u in units if fits(offer, 1, u) and give(offer, u) > 0]
    if offer.choose == "cheapest":
        # Inside a run the lowest line still serves first (S3): the sort keeps their order.
        touched.sort(key=lambda unit: unit.run, reverse=True)
    if offer.product_units is not None:
        seen: dict[int, int] = {}
        for unit in list(touched):
            seen[unit.code] = seen.get(unit.code, 0) + 1
            if seen[unit.code] > offer.product_units:
                touched.remove(unit)
    if offer.most_rewarded is not None:
        touched = touched[: offer.most_rewarded]

    def shelf(unit: Unit) -> Any:
        return (unit.run, tuple(unit.takers) if apart else ())

    counts = Counter(shelf(unit) for unit in touched)
    served = []
    for unit in canonical([u for u in units if fits(offer, 1, u)], apart=apart):
        if counts[shelf(unit)] > 0:
            counts[shelf(unit)] -= 1
            served.append(unit)
    return served


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
        The rules leave nothing open: with these numbers of applications no other choice of units
        is as good, up to units that no rule can tell apart, or there is but one offer (D3).
    """

    worth: int
    uses: list[Use]
    unique: bool


class Contender:
    """One offer in the search: which states it may be in, and what a unit does to them.

    Parameters
    ----------
    units : list of Unit
        Those that it sees, in canonical order.
    """

    #: Parts that an application is worth beside its units.
    an_application = 0

    def __init__(self, offer: Offer, capacity: Capacity, zone: str, units: list[Unit]) -> None:
        self.offer, self.capacity, self.zone = offer, capacity, zone
        self.fitting = [[u for u in units if fits(offer, at, u)] for at in range(len(offer.slots))]
        self.counts = [slot.count for slot in offer.slots]
        self.restrict()
        self.allowed = [{id(unit) for unit in part} for part in self.fitting]
        self.value, self.slots = 0, [False]

    def restrict(self) -> None:
        """Leave only some of the fitting units in a slot, where the offer says which."""

    @property
    def start(self) -> State:
        return (0,) * len(self.counts)

    def look(self, unit: Unit) -> None:
        """Look at the next unit: what it is worth, and which places it fits."""
        self.slots = [at for at, allowed in enumerate(self.allowed) if id(unit) in allowed]
        self.value = self.worth_in_place(unit) if self.slots else 0
        self.unit = unit

    def worth_in_place(self, unit: Unit) -> int:
        return worth(self.offer, unit, self.zone)

    def steps(self, state: State) -> Iterator[tuple[State, int, bool]]:
        """Yield each way to use the unit: the state after it, its worth, and whether rewarded."""
        for slot in self.slots:
            most = self.capacity.times
            if most is None or state[slot] < most * self.counts[slot]:
                after = (*state[:slot], state[slot] + 1, *state[slot + 1 :])
                rewarded = self.rewards(slot, state)
                yield after, self.value if rewarded else 0, rewarded

    def rewards(self, slot: int, state: State) -> bool:
        """Tell whether the next unit in a slot is rewarded."""
        return True

    def worth_of(self, use: Use) -> int:
        """Return what the units of an offer are worth, in parts."""
        on_units = sum(self.worth_in_place(unit) for unit in use.rewarded)
        return on_units + use.times * self.an_application

    def count(self, state: State) -> int | None:
        """Return applications (M1, M5: units) of a state; None when one is not complete."""
        counts = {divmod(taken, count) for taken, count in zip(state, self.counts, strict=True)}
        if len(counts) != 1:
            return None
        times, rest = counts.pop()
        return times if rest == 0 else None


class ByUnits(Contender):
    """A reward on each unit (M1, M5), within limits on units and for each product (S7)."""

    def restrict(self) -> None:
        rewarded = [u for u in self.fitting[0] if worth(self.offer, u, self.zone) > 0]
        if self.offer.choose == "cheapest" and self.capacity.units is not None:
            rewarded = rewarded[max(0, len(rewarded) - self.capacity.units) :]
        self.fitting = [rewarded]

    @property
    def start(self) -> State:
        return (0, ())

    def steps(self, state: State) -> Iterator[tuple[State, int, bool]]:
        """Yield the one way: reward it."""
        count, by_product = state
        if not self.slots or (self.capacity.units is not None and count >= self.capacity.units):
            return
        offer, value = self.offer, self.value
        row = row_of(offer, self.unit, self.zone) if offer.rows else None
        most = row[1] if row is not None and row[1] > 0 else offer.product_units
        if most is not None:
            used = dict(by_product)
            if used.get(self.unit.code, 0) >= most:
                return
            used[self.unit.code] = used.get(self.unit.code, 0) + 1
            by_product = tuple(sorted(used.items()))
        yield (count + 1, by_product), value, True

    def count(self, state: State) -> int | None:
        """Return the units."""
        return int(state[0])


def shelf_of(unit: Unit) -> Any:
    """Return what units have in common that no rule tells apart, after who took them too."""
    return (unit.run, tuple(unit.takers))


class BuyGet(Contender):
    """Buy of some groups, get of another (M2, M9): the last slot is rewarded.

    The last element of a state counts the units of the run with which the cheapest begin.
    """

    begin: Any = None
    most_of_begin = 0

    def restrict(self) -> None:
        if self.offer.choose != "cheapest":
            return
        times = [len(part) // count for part, count in zip(self.fitting, self.counts, strict=True)]
        if self.capacity.times is not None:
            times.append(self.capacity.times)
        most = min(times) * self.counts[-1]
        cheapest = self.fitting[-1][max(0, len(self.fitting[-1]) - most) :]
        if cheapest:
            self.begin = shelf_of(cheapest[0])
            self.most_of_begin = sum(shelf_of(unit) == self.begin for unit in cheapest)
        shelves = {shelf_of(unit) for unit in cheapest}
        self.fitting[-1] = [unit for unit in self.fitting[-1] if shelf_of(unit) in shelves]

    @property
    def start(self) -> State:
        return (*super().start, 0)

    def steps(self, state: State) -> Iterator[tuple[State, int, bool]]:
        """Yield the ways that leave no more of the run with which the cheapest begin."""
        for after, parts, rewarded in super().steps(state):
            if not rewarded or self.begin is None or shelf_of(self.unit) != self.begin:
                yield after, parts, rewarded
            elif after[-1] < self.most_of_begin:
                yield (*after[:-1], after[-1] + 1), parts, rewarded

    def count(self, state: State) -> int | None:
        """Return the applications."""
        return super().count(state[:-1])

    def rewards(self, slot: int, state: State) -> bool:
        """Tell whether it is the last slot."""
        return slot == len(self.counts) - 1


class Cheapest(Contender):
    """Of each block of units of one group the cheapest are rewarded (M3)."""

    def rewards(self, slot: int, state: State) -> bool:
        """Tell whether the dearer ones of the block are there already."""
        return bool(state[0] % (self.offer.buy + self.offer.get) >= self.offer.buy)


class Group(Contender):
    """Units together (M4, M10): for a price, a percentage off each, or an amount off the whole."""

    def restrict(self) -> None:
        offer = self.offer
        if offer.reward == "amount":
            self.an_application = PARTS * offer.value
        elif offer.reward == "price":
            units = offer.products or sum(self.counts)
            self.an_application = -PARTS * max(offer.value, units * offer.floor)

    def worth_in_place(self, unit: Unit) -> int:
        if self.offer.reward == "percent":
            return super().worth_in_place(unit)
        return PARTS * price_of(self.offer, unit) if self.offer.reward == "price" else 0


class Coverage(Group):
    """A group of which no two units are of the same product (M11)."""

    @property
    def start(self) -> State:
        return (0, ())

    def steps(self, state: State) -> Iterator[tuple[State, int, bool]]:
        """Yield the one way: put it into the group."""
        count, by_product = state
        most = self.capacity.times
        used = dict(by_product)
        used[self.unit.code] = used.get(self.unit.code, 0) + 1
        if not self.slots or (most is not None and count >= most * self.offer.products):
            return
        if most is None or used[self.unit.code] <= most:
            yield (count + 1, tuple(sorted(used.items()))), self.value, True

    def count(self, state: State) -> int | None:
        """Return applications: as many as products times are taken, no product more often."""
        times, rest = divmod(state[0], self.offer.products)
        often = max((count for _, count in state[1]), default=0)
        return times if rest == 0 and often <= times else None


class CoverageCheapest(BuyGet):
    """Of some different products, one unit each, the cheapest is rewarded (M11)."""

    def restrict(self) -> None:
        shelves: dict[int, list[Unit]] = {}
        for unit in self.fitting[0]:
            first = shelves.setdefault(unit.code, [])
            if not first or shelf_of(first[0]) == shelf_of(unit):
                first.append(unit)
        self.counts = [1] * self.offer.products
        chosen = list(shelves.values())[: self.offer.products]
        most = self.capacity.times
        self.capacity = Capacity(times=1 if most is None else min(1, most))
        if len(chosen) < self.offer.products:
            chosen = [[] for _ in self.counts]
        self.fitting = chosen


class Worthwhile(Contender):
    """An offer that is worth something, or is not in the combination (D1).

    Its state tells what its units are worth too: there are many more, and few baskets need them.
    """

    def __init__(self, one: Contender) -> None:
        self.one, self.offer, self.an_application = one, one.offer, one.an_application

    @property
    def slots(self) -> list[int]:
        return self.one.slots

    @property
    def start(self) -> State:
        return (self.one.start, 0)

    def look(self, unit: Unit) -> None:
        """Let the offer look at it."""
        self.one.look(unit)

    def steps(self, state: State) -> Iterator[tuple[State, int, bool]]:
        """Yield its ways."""
        for after, parts, rewarded in self.one.steps(state[0]):
            yield (after, state[1] + parts), parts, rewarded

    def count(self, state: State) -> int | None:
        """Return its count; None when it applies and is worth nothing."""
        count = self.one.count(state[0])
        if count and state[1] + count * self.an_application <= 0:
            return None
        return count


def contender(offer: Offer, capacity: Capacity, zone: str, units: list[Unit]) -> Contender:
    """Return an offer as it takes part in a search over some units."""
    kinds: dict[str, type[Contender]] = {
        "discount": ByUnits,
        "row_prices": ByUnits,
        "buy_get": BuyGet,
        "nth_item": BuyGet,
        "group_price": Group,
        "coverage": Coverage,
    }
    kind = kinds[offer.mechanic]
    if offer.same:
        kind = Cheapest
    elif kind is Coverage and offer.choose == "cheapest":
        kind = CoverageCheapest
    return kind(offer, capacity, zone, units)


Counts = tuple[int, ...]
#: Bits for the number of units of one run in one place.
RUN_BITS = 6


@dataclass
class Way:
    """The best way found to one state.

    Attributes
    ----------
    parts : int
        Its worth.
    chosen : int
        The units as bits: the greater of two equally good ways is the earlier one (D3).
    runs : int
        How many units of each run each place has.
    open : bool
        An equally good way has other runs.
    """

    parts: int
    chosen: int
    runs: int
    open: bool

    def better(self, other: "Way | None") -> "Way":
        """Return the better of two ways to the same state."""
        if other is None or self.parts > other.parts:
            return self
        if self.parts < other.parts:
            return other
        best = self if self.chosen > other.chosen else other
        is_open = self.open or other.open or self.runs != other.runs
        return Way(best.parts, best.chosen, best.runs, is_open)


def best_deal(contenders: list[Contender], units: list[Unit], *, apart: bool = False) -> Deal:
    """Return the best combination of some offers over some units.

    Parameters
    ----------
    contenders : list of Contender
        In rank order.
    units : list of Unit
        In canonical order.
    apart : bool
        Units are apart that different offers have taken, though no rule tells them apart.
    """
    ways = _search(contenders, units)
    counts = _choose(contenders, ways, units, apart)
    if counts is None:
        # Other units with the same counts may make each of them worth something.
        contenders = [*map(Worthwhile, contenders)]
        ways = _search(contenders, units)
        most = max(way.parts for way in ways.values())
        counts = max(counts for counts, way in ways.items() if way.parts == most)
    best = ways[counts]
    uses = _uses(contenders, counts, best.chosen, units, apart)
    applied = [use for use in uses if use.times > 0]
    return Deal(best.parts, applied, len(applied) < 2 or not best.open)


def _search(contenders: list[Contender], units: list[Unit]) -> dict[Counts, Way]:
    """Return the best way for each vector of counts; of equally good ones the earliest units."""
    size, ranks = len(units), len(contenders)
    runs: dict[Any, int] = {}
    states: dict[State, Way] = {tuple(c.start for c in contenders): Way(0, 0, 0, False)}
    for place, unit in enumerate(units):
        run = runs.setdefault(unit.run, len(runs))
        here = []
        for rank, one in enumerate(contenders):
            one.look(unit)
            if one.slots:
                bought = 1 << ((ranks - 1 - rank) * size + size - 1 - place)
                shelf = RUN_BITS * 2 * (run * ranks + rank)
                here.append((rank, one, (bought, bought << size * ranks), shelf))
        if not here:
            continue
        after = dict(states)
        for state, way in states.items():
            for rank, one, bits, shelf in here:
                for step, parts, rewarded in one.steps(state[rank]):
                    key = (*state[:rank], step, *state[rank + 1 :])
                    found = Way(
                        way.parts + parts,
                        way.chosen + bits[rewarded],
                        way.runs + (1 << shelf + RUN_BITS * rewarded),
                        way.open,
                    )
                    after[key] = found.better(after.get(key))
        states = after
    return _complete(contenders, states)


def _complete(contenders: list[Contender], states: dict[State, Way]) -> dict[Counts, Way]:
    """Return the best of the states in which every application is complete, by their counts."""
    best: dict[Counts, Way] = {}
    for state, way in states.items():
        counts = [c.count(part) for c, part in zip(contenders, state, strict=True)]
        vector = tuple(count for count in counts if count is not None)
        if len(vector) == len(contenders):
            more = sum(c.an_application * n for c, n in zip(contenders, vector, strict=True))
            whole = Way(way.parts + more, way.chosen, way.runs, way.open)
            best[vector] = whole.better(best.get(vector))
    return best


def _choose(
    contenders: list[Contender], best: dict[Counts, Way], units: list[Unit], apart: bool
) -> Counts | None:
    """Return the counts that win: worth most, greatest in rank order (D3).

    None where an offer that is worth nothing is among them (D1).
    """
    most = max(way.parts for way in best.values())
    counts = max(counts for counts, way in best.items() if way.parts == most)
    uses = _uses(contenders, counts, best[counts].chosen, units, apart)
    pairs = zip(contenders, uses, strict=True)
    has_worth = all(use.times == 0 or one.worth_of(use) > 0 for one, use in pairs)
    return counts if has_worth else None


def _uses(
    contenders: list[Contender], counts: Counts, chosen: int, units: list[Unit], apart: bool
) -> list[Use]:
    """Read the choice of units back from its bits."""
    size, ranks = len(units), len(contenders)
    uses = []
    for rank, one in enumerate(contenders):
        use = Use(one.offer, counts[rank])
        for place, unit in enumerate(units):
            bit = (ranks - 1 - rank) * size + size - 1 - place
            if chosen >> bit & 1:
                use.bought.append(unit)
            if chosen >> (bit + size * ranks) & 1:
                use.rewarded.append(unit)
        uses.append(use)
    return _serve(uses, units, apart)


def _serve(uses: list[Use], units: list[Unit], apart: bool) -> list[Use]:
    """Take the units of each run from the lowest line up: rewarded ones first, then buyers (S3)."""

    def shelf(unit: Unit) -> Any:
        return (unit.run, tuple(unit.takers)) if apart else unit.run

    served = [Use(use.offer, use.times) for use in uses]
    rest: dict[Any, list[Unit]] = {}
    for unit in units:
        rest.setdefault(shelf(unit), []).append(unit)
    for use, result in zip(uses, served, strict=True):
        result.rewarded = [rest[shelf(unit)].pop(0) for unit in use.rewarded]
    for use, result in zip(uses, served, strict=True):
        result.bought = [rest[shelf(unit)].pop(0) for unit in use.bought]
    return served
