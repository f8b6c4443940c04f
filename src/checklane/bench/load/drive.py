"""Runs plans: the generator on a thread of its own, progress and pinning around it."""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from checklane._generator import Plan
from checklane.bench.figures import BenchError
from checklane.bench.load.plan import (
    DEGRADED,
    DROPPED,
    OUTCOMES,
    REFUSED,
    RESULT,
    RIGHT,
    WRONG,
    Array,
    Method,
    Options,
    Request,
)

#: Called now and then with calls issued, calls answered and faults so far.
Watch = Callable[[int, int, int], None]
#: No generator in one thread sends more a second: room for the results of a closed loop.
CALLS_A_SECOND_MAX = 400_000
WATCH_EVERY_S = 0.2
#: The one refusal that an overloaded service may answer.
RESOURCE_EXHAUSTED = 8
TICKS_A_SECOND: int = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Done:
    """What a run gave.

    Attributes
    ----------
    results : numpy.ndarray of plan.RESULT
        One for each call that was issued.
    elapsed_s : float
    fault : str
        The first that was not right, in words; empty when everything was.
    answer : bytes
        The first wrong answer.
    connections : int
        Opened in all.
    first_serial : int
        Result i carried this number plus i.
    """

    results: Array
    elapsed_s: float
    fault: str
    answer: bytes
    connections: int
    first_serial: int

    def of(self, outcome: int) -> Array:
        """Return the results of one outcome."""
        found: Array = self.results[self.results["outcome"] == outcome]
        return found

    def counts(self) -> dict[str, int]:
        """Return how many calls had which outcome, those that occurred."""
        found = Counter(self.results["outcome"].tolist())
        return {OUTCOMES[outcome]: count for outcome, count in sorted(found.items())}


class Serials:
    """Gives each run numbers for its keys and receipts that no other run of the data has.

    They begin at the microseconds of now: a run sends less than a million calls a second, so a
    later process begins behind this one.
    """

    def __init__(self) -> None:
        self._next = time.time_ns() // 1000

    def take(self, count: int) -> int:
        """Return the first of so many numbers."""
        first, self._next = self._next, self._next + count
        return first


def run_plan(
    methods: Sequence[Method],
    requests: Sequence[Request],
    arrivals: Array | None,
    options: Options,
    serials: Serials,
    watch: Watch | None = None,
) -> Done:
    """Send a plan and return what became of it; nothing is judged here.

    Parameters
    ----------
    methods, requests, options
        See plan.py.
    arrivals : numpy.ndarray of plan.ARRIVAL, or None
        None for a closed loop of `options.closed_ns`.
    serials : Serials
    watch : callable, optional

    Raises
    ------
    BenchError
        It could not begin.
    """
    room = len(arrivals) if arrivals is not None else _closed_room(options)
    options = replace(options, first_serial=serials.take(room))
    results = np.zeros(room, RESULT)
    progress = np.zeros(4, np.uint64)
    plan = Plan(methods, requests, options)
    found: dict[str, Any] = {}

    def work() -> None:
        try:
            found.update(plan.run(arrivals, results, progress))
        except Exception as failure:
            found["failure"] = failure

    thread = threading.Thread(target=work, name="generator", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(WATCH_EVERY_S)
            if watch is not None:
                issued, answered, faults = (int(count) for count in progress[:3])
                watch(issued, answered, faults)
    finally:
        # An interrupt ends the run; its memory must outlive the thread.
        progress[3] = 1
        thread.join()
    if "failure" in found:
        raise BenchError(f"the generator refused its plan: {found['failure']}")
    if not found["is_begun"]:
        raise BenchError(f"the load could not begin: {found['fault']}")
    return Done(
        results=results[: found["issued"]],
        elapsed_s=found["elapsed_ns"] / 1e9,
        fault=found["fault"],
        answer=found["answer"],
        connections=found["connections"],
        first_serial=options.first_serial,
    )


def _closed_room(options: Options) -> int:
    return int(options.closed_ns / 1e9 * CALLS_A_SECOND_MAX) + 10_000


def must_be_right(done: Done, name: str, *, is_overload: bool = False) -> None:
    """Refuse a run with anything but right answers.

    Parameters
    ----------
    done : Done
    name : str
        Of the row, for the message.
    is_overload : bool
        True: refusals with RESOURCE_EXHAUSTED and degraded answers are what is looked for. A wrong
        answer never is.

    Raises
    ------
    BenchError
    """
    allowed = {RIGHT, DROPPED} | ({REFUSED, DEGRADED} if is_overload else set())
    outcomes = done.results["outcome"]
    bad = ~np.isin(outcomes, list(allowed))
    if is_overload:
        bad |= (outcomes == REFUSED) & (done.results["status"] != RESOURCE_EXHAUSTED)
    if not bad.any():
        return
    words = done.fault or "calls without an answer"
    if (outcomes == WRONG).any():
        words += f": {done.answer[:48].hex()}"
    counts = ", ".join(f"{count:,} {what}" for what, count in done.counts().items())
    raise BenchError(f"{name}: {words} ({counts})")


def cpu_seconds(process_id: int) -> float:
    """Return the processor time that a process and its ended children have used."""
    with open(f"/proc/{process_id}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS_A_SECOND


@dataclass(frozen=True)
class Cores:
    """Who runs where: the server on some cores, the generator on others.

    Attributes
    ----------
    server, generator : frozenset of int
        All cores for both when they are not pinned.
    """

    server: frozenset[int] = field(default_factory=lambda: frozenset(os.sched_getaffinity(0)))
    generator: frozenset[int] = field(default_factory=lambda: frozenset(os.sched_getaffinity(0)))

    @classmethod
    def apart(cls) -> "Cores":
        """Return the first core for the server and the last for the generator.

        Raises
        ------
        BenchError
            There is only one.
        """
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) < 2:
            raise BenchError("pinning needs two cores")
        return cls(frozenset(cores[:1]), frozenset(cores[-1:]))

    def words(self) -> str:
        """Return who runs where."""
        if self.server == self.generator:
            return f"{len(self.server)}, not pinned; server and generator share them"
        return (
            f"{os.cpu_count()}; server pinned to core {_numbers(self.server)},"
            f" generator to core {_numbers(self.generator)}"
        )


def _numbers(cores: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(cores)))


@contextmanager
def on_cores(cores: frozenset[int]) -> Iterator[None]:
    """Run this thread, and what it starts meanwhile, on some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
