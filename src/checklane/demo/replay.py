"""Replays baskets on many lanes: a few processes, each with some lanes, each lane a thread.

A household always comes to the same lane, so its baskets keep their order; lanes run beside each
other. The baskets lie in files that the processes map, so memory stays bounded however many there
are. What was acknowledged goes to a file a lane, and only sums come back through the queue.
"""

import multiprocessing
import queue
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from checklane.demo.data import Dataset, Ints, Records
from checklane.demo.failure import DemoError
from checklane.demo.lane import ACK, METHODS, Lane, Manner, Tally, new_histogram

#: Acknowledgements that a lane gathers before it writes them.
ACKS_KEPT_MAX = 1024
PROGRESS_PAUSE_S = 0.2
#: Multiplies household numbers apart, so that neighbours do not share a lane.
SPREAD = 2_654_435_761

#: Called with the baskets that were served since the last call.
Advance = Callable[[int], None]


class ReplayError(DemoError):
    """A lane could not go on; the message says why."""


@dataclass(frozen=True)
class Plan:
    """Which baskets are replayed, as files in a folder.

    Attributes
    ----------
    folder : Path
        Holds ``baskets.npy`` and ``lines.npy``; acknowledgements go there too.
    basket_count, line_count : int
    lane_count : int
    """

    folder: Path
    basket_count: int
    line_count: int
    lane_count: int


@dataclass
class Outcome:
    """What all lanes have seen together.

    Attributes
    ----------
    histograms : dict of str to HdrHistogram
        Latencies by method, in microseconds.
    elapsed_s : float
        From the first basket to the last answer.
    """

    tally: Tally
    histograms: dict[str, Any]
    elapsed_s: float = 0.0


def plan_replay(
    dataset: Dataset, folder: Path, *, basket_count: int | None, lane_count: int, seed: int
) -> Plan:
    """Choose the baskets and write them where the lanes find them.

    Parameters
    ----------
    dataset : Dataset
    folder : Path
        Made when it is not there.
    basket_count : int or None
        How many; None for all. Households are drawn until they have so many baskets, and come with
        their whole year: so each campaign is met, and limits and tiers see a whole history.
    lane_count : int
    seed : int
    """
    folder.mkdir(parents=True, exist_ok=True)
    baskets = dataset.baskets
    if basket_count is not None and basket_count < len(baskets):
        drawn = np.random.default_rng(seed).permutation(dataset.households)
        rank = np.empty(len(drawn), dtype=np.int64)
        rank[np.searchsorted(dataset.households, drawn)] = np.arange(len(drawn))
        of_basket = rank[np.searchsorted(dataset.households, baskets["household"])]
        chosen = np.sort(np.argsort(of_basket, kind="stable")[:basket_count])
        baskets = baskets[chosen]
    np.save(folder / "baskets.npy", baskets)
    np.save(folder / "lines.npy", dataset.lines)
    return Plan(folder, len(baskets), int(baskets["line_count"].sum()), lane_count)


def lanes_of(households: Ints, lane_count: int) -> Ints:
    """Return the lane of each household."""
    lanes: Ints = (households * SPREAD >> 7) % lane_count
    return lanes


def read_acks(plan: Plan) -> Records:
    """Return what all lanes of a replay had acknowledged."""
    paths = sorted(plan.folder.glob("acks-*.bin"))
    return np.concatenate([np.zeros(0, dtype=ACK), *(np.fromfile(path, ACK) for path in paths)])


def replay(
    plan: Plan, manner: Manner, worker_count: int, advance: Advance | None = None
) -> Outcome:
    """Send the baskets of a plan through the lanes.

    Parameters
    ----------
    plan : Plan
    manner : Manner
    worker_count : int
        Processes that share the lanes.
    advance : callable, optional
        Called in this thread with the baskets that were served since the last call.

    Raises
    ------
    ReplayError
        A lane had no answer for too long, or failed.
    """
    context = multiprocessing.get_context("spawn")
    news: Any = context.Queue()
    begin = context.Barrier(worker_count + 1)
    workers = [
        context.Process(target=_work, args=(plan, manner, number, worker_count, begin, news))
        for number in range(worker_count)
    ]
    for worker in workers:
        worker.start()
    try:
        begin.wait(timeout=120)
        outcome = _gather(workers, news, advance or _ignore)
    except threading.BrokenBarrierError:
        raise ReplayError("the lanes did not come up within two minutes") from None
    finally:
        for worker in workers:
            worker.terminate() if worker.exitcode is None else None
            worker.join()
    return outcome


def _ignore(_: int) -> None:
    """Advance nobody's bar."""


def _gather(workers: list[Any], news: Any, advance: Advance) -> Outcome:
    """Follow the workers until each has handed in its sums."""
    outcome = Outcome(Tally(), {method: new_histogram() for method in METHODS})
    pending = len(workers)
    while pending:
        try:
            kind, content = news.get(timeout=1.0)
        except queue.Empty:
            if any(worker.exitcode not in (None, 0) for worker in workers):
                raise ReplayError("a process of the replay died") from None
            continue
        if kind == "served":
            advance(content)
        elif kind == "failed":
            raise ReplayError(content)
        else:
            tally, histograms, elapsed_s = content
            outcome.tally.add(tally)
            for method, encoded in histograms.items():
                outcome.histograms[method].decode_and_add(encoded)
            outcome.elapsed_s = max(outcome.elapsed_s, elapsed_s)
            pending -= 1
    for worker in workers:
        worker.join()
    return outcome


def _work(
    plan: Plan, manner: Manner, number: int, worker_count: int, begin: Any, news: Any
) -> None:
    """Run every lane of one process."""
    # Ctrl-C reaches the whole group of processes; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    crew = Crew(plan, manner, range(number, plan.lane_count, worker_count), news)
    begin.wait()
    try:
        news.put(("done", crew.run()))
    except Exception as failure:
        # Whatever stopped a lane ends the replay with its words, in the process that can tell them.
        news.put(("failed", f"{type(failure).__name__}: {failure}"))


class Crew:
    """The lanes of one process.

    Parameters
    ----------
    plan : Plan
    manner : Manner
    lanes : range
        Numbers of the lanes.
    news : queue
        Gets ("served", baskets) now and then.
    """

    def __init__(self, plan: Plan, manner: Manner, lanes: range, news: Any) -> None:
        self._baskets = np.load(plan.folder / "baskets.npy", mmap_mode="r")
        self._lines = np.load(plan.folder / "lines.npy", mmap_mode="r")
        self._lane_of = lanes_of(self._baskets["household"], plan.lane_count)
        self._folder = plan.folder
        self._numbers = lanes
        self._lanes = [Lane(lane, manner) for lane in lanes]
        self._news = news
        self._failures: list[BaseException] = []
        self._stop = threading.Event()

    def run(self) -> tuple[Tally, dict[str, bytes], float]:
        """Serve all baskets; return the tally, the encoded histograms and the seconds."""
        begin_s = time.monotonic()
        threads = [
            threading.Thread(target=self._guard, args=(number, lane), daemon=True)
            for number, lane in zip(self._numbers, self._lanes, strict=True)
        ]
        for thread in threads:
            thread.start()
        told = 0
        while any(thread.is_alive() for thread in threads):
            self._stop.wait(PROGRESS_PAUSE_S)
            served = sum(lane.tally.baskets for lane in self._lanes)
            if served > told:
                self._news.put(("served", served - told))
                told = served
            if self._failures:
                raise self._failures[0]
        elapsed_s = time.monotonic() - begin_s
        self._news.put(("served", sum(lane.tally.baskets for lane in self._lanes) - told))
        if self._failures:
            raise self._failures[0]
        return (*self._sums(), elapsed_s)

    def _sums(self) -> tuple[Tally, dict[str, bytes]]:
        tally = Tally()
        histograms = {method: new_histogram() for method in METHODS}
        for lane in self._lanes:
            tally.add(lane.tally)
            for method, histogram in lane.histograms.items():
                histograms[method].add(histogram)
            lane.close()
        return tally, {method: found.encode() for method, found in histograms.items()}

    def _guard(self, number: int, lane: Lane) -> None:
        try:
            self._serve(number, lane)
        except BaseException as failure:
            self._failures.append(failure)
            self._stop.set()

    def _serve(self, number: int, lane: Lane) -> None:
        """Serve the baskets of one lane in the order of time."""
        with (self._folder / f"acks-{number:03d}.bin").open("wb") as file:
            for at in np.flatnonzero(self._lane_of == number).tolist():
                if self._stop.is_set():
                    return
                basket = self._baskets[at]
                first = int(basket["first_line"])
                lane.serve(basket, self._lines[first : first + int(basket["line_count"])])
                if len(lane.acks) > ACKS_KEPT_MAX:
                    # The last stays: a void or return looks back at its sale.
                    np.array(lane.acks[:-1], dtype=ACK).tofile(file)
                    lane.acks = lane.acks[-1:]
            np.array(lane.acks, dtype=ACK).tofile(file)
