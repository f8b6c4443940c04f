"""The best deal as an integer programme, solved by HiGHS.

Written from docs/semantics.md, sections 1, 4 and 5, without any of the engine's reductions: a whole
variable for every run that a place can take from, counts of units as right-hand sides. HiGHS works
in floating point; its solution is rounded, checked row by row and valued in whole numbers.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import highspy
import numpy as np

from checklane.bench.deals import (
    AMOUNT,
    BUY_GET,
    CHEAPEST,
    GROUP,
    PERCENT,
    ROWS,
    UNITS,
    Deal,
    DealOffer,
)

PARTS = 10_000
#: How far HiGHS's whole numbers may be off before they are refused.
WHOLE_TOLERANCE = 1e-4


class OptimumError(Exception):
    """HiGHS gave no proven optimum, or one that breaks the programme."""


@dataclass(frozen=True)
class Run:
    """Equal units (B1, B2)."""

    product: int
    unit_minor: int
    count: int


def runs_of(deal: Deal) -> list[Run]:
    """Return the runs of a deal, dearest first."""
    units: Counter[tuple[int, int]] = Counter()
    for line in deal.lines:
        unit, dearer = divmod(line.amount_minor, line.count)
        units[unit + 1, line.product] += dearer
        units[unit, line.product] += line.count - dearer
    order = sorted(units, key=lambda key: (-key[0], key[1]))
    return [Run(product, unit, units[unit, product]) for unit, product in order]


def reward_parts(offer: DealOffer, unit_minor: int) -> int:
    """Return what the reward is worth on a unit, in parts; M4 and M5 have none of this kind."""
    if offer.reward == PERCENT:
        return unit_minor * offer.value
    if offer.reward == AMOUNT:
        return PARTS * min(offer.value, unit_minor)
    return PARTS * max(0, unit_minor - offer.value)


@dataclass
class Programme:
    """Maximise parts over whole numbers, each row's sum between its ends.

    Attributes
    ----------
    parts : list of int
        What one of each variable is worth.
    most : list of int
        Of each variable, whose least is 0.
    rows : list of (least, terms, most)
        Terms are coefficients by variable; None is no bound.
    """

    parts: list[int] = field(default_factory=list)
    most: list[int] = field(default_factory=list)
    rows: list[tuple[int | None, dict[int, int], int | None]] = field(default_factory=list)

    def variable(self, parts: int, most: int) -> int:
        """Add a variable; return its number."""
        self.parts.append(parts)
        self.most.append(most)
        return len(self.parts) - 1

    def row(self, least: int | None, terms: dict[int, int], most: int | None) -> None:
        """Add a row."""
        if terms:
            self.rows.append((least, terms, most))

    def value(self, solution: list[int]) -> int:
        """Return the parts of a solution.

        Raises
        ------
        OptimumError
            It breaks a bound or a row.
        """
        for number, most in zip(solution, self.most, strict=True):
            if not 0 <= number <= most:
                raise OptimumError("a variable is out of its bounds")
        for least, terms, most_sum in self.rows:
            total = sum(number * solution[variable] for variable, number in terms.items())
            if (least is not None and total < least) or (most_sum is not None and total > most_sum):
                raise OptimumError("a row is broken")
        return sum(x * parts for x, parts in zip(solution, self.parts, strict=True))


class _Builder:
    """Writes the programme of a deal: a part for each offer, then the units that they share."""

    def __init__(self, deal: Deal) -> None:
        self.programme = Programme()
        self.runs = runs_of(deal)
        self._takes: list[dict[int, int]] = [{} for _ in self.runs]
        build = {
            UNITS: self._units,
            ROWS: self._rows,
            BUY_GET: self._slots,
            CHEAPEST: self._cheapest,
            GROUP: self._slots,
        }
        for offer in deal.offers:
            build[offer.kind](offer)
        for run, takes in zip(self.runs, self._takes, strict=True):
            self.programme.row(None, takes, run.count)

    def _fitting(self, group: tuple[int, ...]) -> Iterator[tuple[int, Run]]:
        return ((at, run) for at, run in enumerate(self.runs) if run.product in group)

    def _take(self, at: int, parts: int) -> int:
        """Add the units that one place takes of a run."""
        variable = self.programme.variable(parts, self.runs[at].count)
        self._takes[at][variable] = 1
        return variable

    def _times_most(self, offer: DealOffer) -> int:
        whole = sum(run.count for run in self.runs) // sum(offer.counts)
        return min(offer.most, whole) if offer.most else whole

    def _units(self, offer: DealOffer) -> None:
        taken = {
            self._take(at, reward_parts(offer, run.unit_minor)): 1
            for at, run in self._fitting(offer.groups[0])
        }
        if offer.most:
            self.programme.row(None, taken, offer.most)

    def _rows(self, offer: DealOffer) -> None:
        taken: dict[int, int] = {}
        for product, price, most in offer.rows:
            of_row = {
                self._take(at, PARTS * (run.unit_minor - price)): 1
                for at, run in self._fitting((product,))
                if run.unit_minor > price and product in offer.groups[0]
            }
            if most:
                self.programme.row(None, of_row, most)
            taken |= of_row
        if offer.most:
            self.programme.row(None, taken, offer.most)

    def _slots(self, offer: DealOffer) -> None:
        """M2 and M4: every slot takes its units for each application."""
        is_group = offer.kind == GROUP
        times = self.programme.variable(
            -PARTS * offer.value if is_group else 0, self._times_most(offer)
        )
        for place, (group, count) in enumerate(zip(offer.groups, offer.counts, strict=True)):
            terms = {times: -count}
            for at, run in self._fitting(group):
                parts = PARTS * run.unit_minor if is_group else 0
                if not is_group and place == 1:
                    parts = reward_parts(offer, run.unit_minor)
                terms[self._take(at, parts)] = 1
            self.programme.row(0, terms, 0)

    def _cheapest(self, offer: DealOffer) -> None:
        """M3: each block has a place in the order, bought units up to it and free ones from it on.

        The law's blocks, one after the other down the order, are the best of all such groupings:
        the n-th free unit can stand no earlier, and no reward grows as the price falls. So the
        programme leaves the grouping open.
        """
        bought, free = offer.counts[0] - offer.free, offer.free
        fitting = list(self._fitting(offer.groups[0]))
        most = self._times_most(offer)
        blocks: dict[int, int] = {}
        buys: dict[int, int] = {}
        gets: dict[int, int] = {}
        for at, run in fitting:
            blocks[self.programme.variable(0, most)] = 1
            buys[self._take(at, 0)] = 1
            gets[self._take(at, reward_parts(offer, run.unit_minor))] = 1
            self.programme.row(0, buys | dict.fromkeys(blocks, -bought), None)
            self.programme.row(None, gets | dict.fromkeys(blocks, -free), 0)
        self.programme.row(0, buys | dict.fromkeys(blocks, -bought), 0)
        self.programme.row(0, gets | dict.fromkeys(blocks, -free), 0)
        self.programme.row(None, blocks, most)


def build_programme(deal: Deal) -> Programme:
    """Return the integer programme whose optimum is the worth of the best deal."""
    return _Builder(deal).programme


def join(programmes: Sequence[Programme]) -> Programme:
    """Return one programme of several that share nothing."""
    joined = Programme()
    for programme in programmes:
        first = len(joined.parts)
        joined.parts += programme.parts
        joined.most += programme.most
        for least, terms, most in programme.rows:
            moved = {first + variable: number for variable, number in terms.items()}
            joined.rows.append((least, moved, most))
    return joined


def highs_model(programme: Programme) -> highspy.HighsLp:
    """Return a programme as HiGHS reads it. Worth is counted in minor units there."""
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(programme.parts), len(programme.rows)
    model.sense_ = highspy.ObjSense.kMaximize
    model.col_cost_ = np.array(programme.parts, dtype=np.float64) / PARTS
    model.col_lower_ = np.zeros(model.num_col_)
    model.col_upper_ = np.array(programme.most, dtype=np.float64)
    infinity = highspy.kHighsInf
    lower = [-infinity if least is None else least for least, _, _ in programme.rows]
    upper = [infinity if most is None else most for _, _, most in programme.rows]
    model.row_lower_ = np.array(lower, dtype=np.float64)
    model.row_upper_ = np.array(upper, dtype=np.float64)
    sizes = [len(terms) for _, terms, _ in programme.rows]
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_ = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    model.a_matrix_.index_ = np.array([v for _, t, _ in programme.rows for v in t], dtype=np.int32)
    terms = [number for _, t, _ in programme.rows for number in t.values()]
    model.a_matrix_.value_ = np.array(terms, dtype=np.float64)
    model.integrality_ = [highspy.HighsVarType.kInteger] * model.num_col_
    return model


class Solver:
    """HiGHS on one thread, without a gap."""

    def __init__(self) -> None:
        self._highs: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        for name, value in (("output_flag", False), ("threads", 1), ("mip_rel_gap", 0.0)):
            self._highs.setOptionValue(name, value)
        self._highs.setOptionValue("mip_abs_gap", 0.1 / PARTS)

    def run(self, model: highspy.HighsLp) -> None:
        """Solve a model, and leave the solution in the solver."""
        self._highs.passModel(model)
        self._highs.run()

    def solution(self) -> list[int]:
        """Return the solution of the last model.

        Raises
        ------
        OptimumError
            It is not proven best, or not whole.
        """
        if self._highs.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            raise OptimumError(f"HiGHS ended with {self._highs.getModelStatus()}")
        found = np.asarray(self._highs.getSolution().col_value)
        whole = np.rint(found)
        if len(found) and float(np.abs(found - whole).max()) > WHOLE_TOLERANCE:
            raise OptimumError("a variable is not whole")
        return [int(number) for number in whole]

    def optima(self, deals: Sequence[Deal]) -> list[int]:
        """Return the greatest worth of each deal in parts.

        Small deals are solved side by side in one model: most of what HiGHS takes for a small one
        is for getting ready. The best of the sum is the best of each.
        """
        programmes = [build_programme(deal) for deal in deals]
        joined = join(programmes)
        if not joined.parts:
            return [0] * len(deals)
        self.run(highs_model(joined))
        solution = self.solution()
        found, first = [], 0
        for programme in programmes:
            size = len(programme.parts)
            found.append(programme.value(solution[first : first + size]))
            first += size
        return found
