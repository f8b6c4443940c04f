"""Baskets that are built to be dear, and what deciding them took.

The analysis names the spots where a program is dear; for each of them baskets of several shapes are
drawn from a seed, and the worst of them is changed line by line for as long as it gets worse. The
evaluator itself is behind :class:`Door`: who calls brings it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from checklane import _layout
from checklane.program.lane_budget import Work
from checklane.program.stages import PRICES, Goods, Stage, quote_of
from checklane.v1 import decision_pb2

BIG_COUNT = 5_000
#: Competing offers whose share of the steps is found by leaving each out.
SUSPECTS = 24
COMPETED = (decision_pb2.OFFER_OUTCOME_APPLIED, decision_pb2.OFFER_OUTCOME_NOT_BEST)


class Door(Protocol):
    """The evaluator."""

    def decide(self, request: bytes) -> decision_pb2.Decision | str:
        """Decide a quote; or the name of the refusal."""

    def time_ns(self, request: bytes, times: int) -> int:
        """Return the median time of one decision."""

    def stop(self, offer: str, *, resume: bool) -> None:
        """Stop an offer, or let it go on."""


@dataclass(frozen=True)
class Measure:
    """What deciding one basket took.

    Attributes
    ----------
    basket : str
        What it is.
    lines : int
    refused_lines : int
        With so many lines the engine refused it as having too many candidates; 0: it did not.
    steps : int
    is_exact : bool
    gap_minor : int
    time_ns : int
        That it took here.
    decision_us : int
        That such a decision may take, as it is reckoned.
    """

    basket: str
    lines: int
    refused_lines: int
    steps: int
    is_exact: bool
    gap_minor: int
    time_ns: int
    decision_us: int


@dataclass
class Given:
    """What deciding given baskets took.

    Attributes
    ----------
    count, refused, exact : int
    steps : list of int
        Median, 99th percentile and most.
    time_ns : list of int
        The same.
    worst_line : int
        Line of the file with the most steps; 0 without baskets.
    competing : list of str
        Offers that competed in that basket.
    decision_us : int
        Greatest time that one of them may take, as it is reckoned.
    dearest_line : int
        The line of that one.
    dearest_offers : list of str
        Offers that competed in it.
    """

    count: int
    refused: int
    exact: int
    steps: list[int]
    time_ns: list[int]
    worst_line: int
    competing: list[str]
    decision_us: int
    dearest_line: int
    dearest_offers: list[str]


@dataclass
class Measured:
    """What was measured.

    Attributes
    ----------
    generated : list of Measure
        Built baskets, most steps first.
    culprits : list of (str, int)
        Offers that compete in the worst of them, and how many steps fewer it takes without each.
    given : Given or None
    """

    generated: list[Measure] = field(default_factory=list)
    culprits: list[tuple[str, int]] = field(default_factory=list)
    given: Given | None = None


# ---------------------------------------------------------------- baskets ------------------------


def shapes(stage: Stage, lines: int, draw: random.Random) -> list[tuple[str, list[Goods]]]:
    """Return baskets of a stage by name."""

    def goods(most: int, counts: Sequence[int], prices: Sequence[int]) -> list[Goods]:
        return [
            Goods(
                stage.products[line % len(stage.products)],
                draw.choice(counts),
                draw.choice(prices),
            )
            for line in range(most)
        ]

    few, most = min(12, lines), _layout.BASKET_LINES_MAX
    return [
        (f"{few} lines", goods(few, (1, 2, 3, 4), stage.prices)),
        (f"{lines} lines", goods(lines, (1, 2, 3), stage.prices)),
        (f"{lines} lines at one price", goods(lines, (1, 2, 3), stage.prices[-1:])),
        (f"{lines} lines of {BIG_COUNT:,}", goods(lines, (BIG_COUNT,), stage.prices)),
        (f"{most} lines", goods(most, (1, 2, 3), stage.prices)),
    ]


def change(stage: Stage, lines: list[Goods], most: int, draw: random.Random) -> list[Goods]:
    """Return a basket with one or two lines changed, added or left out."""
    changed = list(lines)
    for _ in range(draw.choice((1, 1, 2))):
        at = draw.randrange(len(changed))
        move = draw.randrange(6)
        if move == 0:
            changed[at] = replace(changed[at], count=draw.choice((1, 2, 3, 5, 7, 12)))
        elif move == 1:
            changed[at] = replace(changed[at], unit_minor=draw.choice(stage.prices))
        elif move == 2:
            changed[at] = replace(changed[at], unit_minor=draw.randint(50, 3000))
        elif move == 3:
            changed[at] = replace(changed[at], product=draw.choice(stage.products))
        elif move == 4 and len(changed) < most:
            changed.insert(
                at, Goods(draw.choice(stage.products), draw.randint(1, 4), PRICES[at % 7])
            )
        elif len(changed) > 1:
            changed.pop(at)
    return changed


class Searcher:
    """Looks for the basket with the most steps.

    Parameters
    ----------
    door : Door
    stages : sequence of Stage
    lines : int
        Of the largest usual basket.
    step_budget : int
        There is nothing worse than a decision that used it up.
    dearest : Work
        The program's dearest decision.
    seed : int
    """

    def __init__(
        self,
        door: Door,
        stages: Sequence[Stage],
        lines: int,
        *,
        step_budget: int,
        dearest: Work,
        seed: int,
    ) -> None:
        self._door = door
        self._stages = stages
        self._lines = lines
        self._step_budget = step_budget
        self._dearest = dearest
        self._draw = random.Random(f"worst:{seed}")
        self._found: list[tuple[Measure, Stage, list[Goods], bytes]] = []

    def search(self, climb: int) -> Measured:
        """Measure every shape of every stage; then climb for at most `climb` decisions."""
        for stage in self._stages:
            for shape, lines in shapes(stage, self._lines, self._draw):
                self._measure(f"{stage.name}: {shape}", stage, lines)
        usual = [found for found in self._found if found[0].lines <= self._lines]
        if usual and climb:
            self._climb(max(usual, key=lambda found: found[0].steps), climb)
        self._found.sort(key=lambda found: -found[0].steps)
        measured = Measured([found[0] for found in self._found])
        if self._found:
            measured.culprits = self._culprits(self._found[0][3])
        return measured

    def _measure(self, name: str, stage: Stage, lines: list[Goods]) -> None:
        """Measure a basket; where the engine refuses it, with half the lines, and so on."""
        refused = 0
        while lines:
            request = quote_of(stage, lines)
            decision = self._door.decide(request)
            if not isinstance(decision, str):
                measure = measure_of(name, len(lines), refused, decision, self._dearest)
                measure = replace(measure, time_ns=self._door.time_ns(request, 5))
                self._found.append((measure, stage, lines, request))
                return
            refused = len(lines)
            lines = lines[: len(lines) // 2]

    def _climb(self, start: tuple[Measure, Stage, list[Goods], bytes], decisions: int) -> None:
        """Change the worst basket for as long as it gets no better."""
        best, stage, lines, _ = start
        for _ in range(decisions):
            if best.steps >= self._step_budget:
                break
            trial = change(stage, lines, self._lines, self._draw)
            decision = self._door.decide(quote_of(stage, trial))
            if isinstance(decision, str) or decision.optimality.step_count < best.steps:
                continue
            best = measure_of(best.basket, len(trial), 0, decision, self._dearest)
            lines = trial
        if best.steps > start[0].steps:
            self._measure(f"{stage.name}: searched for", stage, lines)

    def _culprits(self, request: bytes) -> list[tuple[str, int]]:
        """Return what the offers of a basket add to its steps: it is decided without each."""
        whole = self._door.decide(request)
        assert not isinstance(whole, str)
        found = []
        for name in competing(whole)[:SUSPECTS]:
            self._door.stop(name, resume=False)
            without = self._door.decide(request)
            self._door.stop(name, resume=True)
            if not isinstance(without, str):
                fewer = whole.optimality.step_count - without.optimality.step_count
                found.append((name, fewer))
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def competing(decision: decision_pb2.Decision) -> list[str]:
    """Return the offers that were applied, or were beaten by another one."""
    return [found.offer_id for found in decision.explanations if found.outcome in COMPETED]


def work_of(decision: decision_pb2.Decision, lines: int, dearest: Work) -> Work:
    """Return the work of a decision of a program whose dearest one is known."""
    candidates = min(len(decision.explanations), _layout.CANDIDATES_MAX)
    steps = decision.optimality.step_count
    return replace(dearest, lines=lines, candidates=candidates, steps=steps)


def measure_of(
    name: str, lines: int, refused: int, decision: decision_pb2.Decision, dearest: Work
) -> Measure:
    """Return what a decision says of itself; the time that it took is 0."""
    optimality = decision.optimality
    return Measure(
        name,
        lines,
        refused,
        optimality.step_count,
        optimality.kind == decision_pb2.OPTIMALITY_KIND_EXACT,
        optimality.gap_minor,
        0,
        work_of(decision, lines, dearest).time_us,
    )


def measure_given(door: Door, requests: Sequence[tuple[int, bytes]], dearest: Work) -> Given:
    """Measure given quotes, each with the line of the file that it stands in."""
    steps: list[int] = []
    times: list[int] = []
    given = Given(len(requests), 0, 0, [], [], 0, [], 0, 0, [])
    for line, request in requests:
        decision = door.decide(request)
        if isinstance(decision, str):
            given.refused += 1
            continue
        taken = decision.optimality.step_count
        given.exact += decision.optimality.kind == decision_pb2.OPTIMALITY_KIND_EXACT
        if not steps or taken > max(steps):
            given.worst_line, given.competing = line, competing(decision)
        decision_us = work_of(decision, len(decision.lines), dearest).time_us
        if decision_us > given.decision_us:
            given.decision_us = decision_us
            given.dearest_line, given.dearest_offers = line, competing(decision)
        steps.append(taken)
        times.append(door.time_ns(request, 3))
    given.steps, given.time_ns = spread(steps), spread(times)
    return given


def spread(values: Sequence[int]) -> list[int]:
    """Return median, 99th percentile and greatest; zeros without values."""
    if not values:
        return [0, 0, 0]
    ordered = np.sort(np.array(values, dtype=np.int64))
    return [int(ordered[int(part * (len(ordered) - 1))]) for part in (0.5, 0.99, 1.0)]
