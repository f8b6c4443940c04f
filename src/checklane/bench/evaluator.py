"""The evaluator alone: one decision on a basket that was read and resolved, timed in C."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from checklane._engine import METHODS, Engine
from checklane.bench.examples import example_baskets, find_examples, make_examples
from checklane.bench.figures import BenchError, Effort, Figure, Times, checksum, exact_share
from checklane.bench.world import (
    CHAIN,
    FORTY,
    ONE,
    TEN,
    Block,
    World,
    make_baskets,
    opened,
)

SECTION = "evaluator"
QUOTE = METHODS["CheckoutService.QuoteBasket"]
#: Decisions of one basket in one run: enough to leave the first ones' cache misses in the tail.
DECISIONS_MIN = 10
DECISIONS_MAX = 20_000
USUAL = "10 lines, 10 offers apply"


@dataclass(frozen=True)
class Case:
    """One row: baskets of one shape against one program."""

    name: str
    live: int
    lines: int = 10
    block: Block = TEN
    count: int | None = None
    versus: str = ""


def name_of_usual(live: int) -> str:
    """Return the name of the row with the usual baskets and a number of live offers."""
    return f"{USUAL}, {live:,} live"


def cases(live_counts: Sequence[int]) -> list[Case]:
    """Return all rows for programs of these numbers of live offers, ascending."""
    least, usual, most = live_counts
    base = name_of_usual(usual)
    rows = [
        Case(base, usual),
        Case(name_of_usual(least), least, versus=base),
        Case(name_of_usual(most), most, versus=base),
    ]
    rows += [
        Case(f"{lines} line{'s' * (lines > 1)}", usual, lines=lines, versus=base)
        for lines in (1, 50, 200, 512)
    ]
    rows += [
        Case("count 1 on each line", usual, count=1),
        Case("count 5,000 on each line", usual, count=5_000, versus="count 1 on each line"),
        Case("1 offer applies", usual, block=ONE, versus=base),
        Case("40 offers apply, 4 compete for a line", usual, block=FORTY, versus=base),
        Case("10 offers compete in one chain", usual, block=CHAIN, versus=base),
    ]
    return rows


def time_baskets(engine: Engine, quotes: Sequence[bytes], seconds: float) -> list[Times]:
    """Return what decisions on each of these baskets took, about `seconds` in all.

    Every basket is decided equally often, one after the other, so the first decision of each finds
    its data cold and the others warm.
    """
    trials = [int(engine.time_decisions(quote, 3)[0].min()) for quote in quotes]
    trial_ns = max(1.0, statistics.median(trials))
    count = int(seconds * 1e9 / trial_ns / len(quotes))
    count = min(max(count, DECISIONS_MIN), DECISIONS_MAX)
    return [engine.time_decisions(quote, count)[0] for quote in quotes]


def answers_of(engine: Engine, quotes: Sequence[bytes]) -> list[bytes]:
    """Return the answers to quotes.

    Raises
    ------
    BenchError
        One was refused.
    """
    answers = []
    for quote in quotes:
        status, answer = engine.call(QUOTE, quote)
        if not isinstance(answer, bytes):
            raise BenchError(f"a quote was refused with status {status} at {answer}")
        answers.append(answer)
    return answers


class Row:
    """One row while it is measured: its figure, and the quotes whose baskets are decided."""

    def __init__(self, figure: Figure, quotes: Sequence[bytes]) -> None:
        self.figure = figure
        self._quotes = quotes

    def run(self, engine: Engine, seconds: float) -> None:
        """Measure one run; its decisions must be those of the run before.

        Raises
        ------
        BenchError
            A basket was refused, or decided differently.
        """
        figure = self.figure
        by_basket = time_baskets(engine, self._quotes, seconds)
        times = np.concatenate(by_basket)
        figure.add(times, float(times.sum()) / 1e9)
        figure.medians_ns.append([float(np.median(found)) for found in by_basket])
        answers = answers_of(engine, self._quotes)
        found = checksum(answers)
        if figure.checksum not in ("", found):
            raise BenchError(f"{figure.name}: the decisions changed while they were measured")
        figure.checksum, figure.exact_share = found, exact_share(answers)


def measure(
    world: World, folder: Path, effort: Effort, seed: int, tell: Callable[[str], None]
) -> list[Figure]:
    """Measure every row.

    Parameters
    ----------
    world : World
        With three programs.
    folder : Path
        Where the shop of examples/ is built.
    effort : Effort
    seed : int
    tell : callable
        Called with what comes next.
    """
    plan = cases(sorted(world.programs))
    rows = {case.name: _row(case, effort, seed) for case in plan}
    with opened(world, world.usual, sessions=2) as engine:
        # Runs outermost: what disturbs the machine for a while then touches every row.
        for run in range(effort.runs):
            tell(f"evaluator: run {run + 1} of {effort.runs}")
            for live, program in sorted(world.programs.items()):
                engine.activate(str(program), None, None)
                for case in plan:
                    if case.live == live:
                        rows[case.name].run(engine, effort.decide_s)
    _must_agree([rows[name_of_usual(live)].figure for live in world.programs])
    found = [row.figure for row in rows.values()]
    return found + _measure_examples(folder, effort, seed, tell)


def _row(case: Case, effort: Effort, seed: int) -> Row:
    baskets = make_baskets(
        # Rows that differ in one number only have the same draws.
        SECTION,
        effort.baskets,
        seed=seed,
        lines=case.lines,
        block=case.block,
        count=case.count,
        members=effort.baskets,
    )
    figure = Figure(SECTION, case.name, versus=case.versus)
    return Row(figure, [basket.quote() for basket in baskets])


def _must_agree(figures: Sequence[Figure]) -> None:
    """Other live offers, on goods that no basket holds, must not change a decision."""
    if len({figure.checksum for figure in figures}) != 1:
        raise BenchError("the same baskets were decided differently with more live offers")


def _measure_examples(
    folder: Path, effort: Effort, seed: int, tell: Callable[[str], None]
) -> list[Figure]:
    """Measure the shop of examples/, where there is one."""
    examples = find_examples()
    if examples is None:
        return []
    tell("evaluator: examples/")
    shop = make_examples(examples, folder, seed)
    quotes = [basket.quote() for basket in example_baskets(examples, effort.baskets, seed)]
    row = Row(Figure(SECTION, "12 lines of examples/"), quotes)
    with opened(shop, shop.usual, sessions=2) as engine:
        for _ in range(effort.runs):
            row.run(engine, effort.decide_s)
    return [row.figure]
