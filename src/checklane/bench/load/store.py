"""A busy store: every lane quotes on every scan and commits, while the server is disturbed.

Forty lanes take real baskets, each household at one lane only. In the middle third a program goes
live that decides the same, and a checkpoint is written. What the engine in this process answered to
the same calls in the same order, on a copy of the data, is what every lane has to hear.
"""

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from checklane._engine import Engine
from checklane.bench.figures import BenchError, digest_of
from checklane.bench.load.drive import (
    Cores,
    Done,
    Serials,
    Watch,
    must_be_right,
    on_cores,
    run_plan,
)
from checklane.bench.load.plan import ARRIVAL, Array, Request, poisson_times
from checklane.bench.load.report import LoadReport
from checklane.bench.load.requests import (
    COMMIT,
    METHODS,
    Call,
    commit_body,
    engine_call,
    expecting,
    growing_quotes,
)
from checklane.bench.load.rows import Row, make_row, window
from checklane.bench.load.run import LoadOptions, lane_of, prepare, target_of
from checklane.bench.loopback import Served, serving
from checklane.bench.world import make_baskets
from checklane.client.manage import activate
from checklane.config import Settings
from checklane.snapshot.keys import load_keys
from checklane.snapshot.store import read_live, snapshot_directory
from checklane.tables.files import snapshot_hash, snapshot_name
from checklane.v1 import basket_pb2

LANES = 40
RATE = 1000.0
SECONDS = 30.0
CHECKPOINTED = "checkpointed"
CHECKPOINT_WITHIN_S = 60.0
PAUSE_S = 0.02
SPARE_CALLS = 1.5

#: Prepares a data directory: for each lane its baskets in order, and a program that is not live and
#: decides the same. None where the data set is missing.
MakeStore = Callable[[Path, int, int, int], tuple[list[list[basket_pb2.Basket]], Path] | None]


@dataclass(frozen=True)
class Store:
    """A data directory with a program live, another to go live, and what each lane sells."""

    data: Path
    following: Path
    baskets: list[list[basket_pb2.Basket]]
    words: str


def run_busy_store(
    options: LoadOptions, make_store: MakeStore, tell: Callable[[str], None], watch: Watch
) -> LoadReport:
    """Run the scenario and return its report.

    Raises
    ------
    BenchError
        A lane saw an error or a wrong decision, or what should disturb it did not happen.
    """
    cores, serials = Cores.apart() if options.is_pinned else Cores(), Serials()
    rate = options.rates[0] if options.rates else RATE
    world, machine = prepare(options.work, options.seed, cores, tell, is_quick=options.is_quick)
    tell("preparing the store's baskets")
    calls_a_lane = int(rate * options.seconds / options.lanes * SPARE_CALLS) + 50
    made = make_store(options.work / "journeys", options.lanes, calls_a_lane, options.seed)
    if made is None:
        world.go_live()
        following = next(path for path in world.programs.values() if path != world.usual)
        store = Store(world.data, following, seeded(options), "seeded, 10 lines")
    else:
        store = Store(options.work / "journeys", made[1], made[0], "Complete Journey")
    tell("deciding all of it in this process, for the right answers")
    scripts = right_answers(store, options.work / "copy", serials, calls_a_lane)
    requests, arrivals = plan_calls(scripts, rate, options)
    lane, flags = lane_of(options)
    with (
        on_cores(cores.server),
        serving(store.data, options.work / "store.log", *flags, lane=lane) as server,
        on_cores(cores.generator),
    ):
        disturbance = Disturbance(server, store, options.work / "store.log", options.seconds, watch)
        plan = replace(target_of(server).options(options.lanes, 1), drain_ns=30_000_000_000)
        tell(f"{options.lanes} lanes, {rate:,.0f} calls a second")
        done = run_plan(METHODS, requests, arrivals, plan, serials, disturbance.watch)
        disturbance.join()
    name = f"busy store, {options.lanes} lanes, {rate:,.0f}/s"
    must_be_right(done, name)
    row = store_row(name, done, requests, rate, disturbance)
    words = {
        "baskets": f"{store.words}: a quote on every scan, then the commit",
        "calls": f"{len(arrivals):,}, arrivals steady, seed {options.seed}",
        "disturbed by": "a program that goes live, and a checkpoint without pauses",
    }
    machine["load"] += f" before, {os.getloadavg()[0]:.1f} at the end"
    return LoadReport("checklane bench load: a busy store", machine, words, [row])


def seeded(options: LoadOptions) -> list[list[basket_pb2.Basket]]:
    """Return baskets of the bench's shop, each lane's own members'."""
    count = options.lanes * 4
    made = make_baskets("store", count, seed=options.seed, members=count)
    messages = [basket.message for basket in made]
    return [messages[lane :: options.lanes] for lane in range(options.lanes)]


def right_answers(
    store: Store, copy: Path, serials: Serials, calls_a_lane: int
) -> list[list[Request]]:
    """Return what each lane sends, with the answers that an engine gave on a copy of the data."""
    shutil.copytree(store.data, copy)
    settings, keys = Settings.model_validate({}), load_keys(copy)
    engine = Engine(
        str(copy),
        sessions=2,
        checkpoint_pause_ms=settings.checkpoint_pause_ms,
        node=settings.node,
        partition=settings.partition,
        identity_key=keys.identity,
        hold_out_key=keys.hold_out,
    )
    try:
        now = read_live(copy).now
        live = {"program": now.program, "catalogue": now.catalogue, "members": now.members}
        folder = snapshot_directory(copy)
        engine.activate(
            *(str(folder / snapshot_name(kind, found or b"")) for kind, found in live.items())
        )
        call = engine_call(engine)
        return [lane_script(baskets, call, serials, calls_a_lane) for baskets in store.baskets]
    finally:
        engine.close()
        shutil.rmtree(copy)


def lane_script(
    baskets: Sequence[basket_pb2.Basket], call: Call, serials: Serials, calls: int
) -> list[Request]:
    """Return the calls of one lane: every basket's quotes and its commit, in order."""
    script: list[Request] = []
    turn = 0
    while len(script) < calls and (turn < len(baskets) or len(baskets) <= 4):
        basket = baskets[turn % len(baskets)]
        turn += 1
        script += growing_quotes(basket, call)
        sent = commit_body(basket)
        answer = call("CommitTransaction", sent.numbered(serials.take(1)))
        script.append(expecting(sent, COMMIT, answer))
    return script


def plan_calls(
    scripts: Sequence[Sequence[Request]], rate: float, options: LoadOptions
) -> tuple[list[Request], Array]:
    """Return all requests, and arrivals in which each lane sends its own in order, once."""
    times = poisson_times(rate, options.seconds, options.seed)
    lanes = np.random.default_rng([options.seed, 2]).integers(0, len(scripts), len(times))
    first: list[int] = []
    requests: list[Request] = []
    for script in scripts:
        first.append(len(requests))
        requests += script
    arrivals = np.zeros(len(times), ARRIVAL)
    arrivals["due_ns"], arrivals["lane"] = times, lanes
    is_used = np.ones(len(times), dtype=bool)
    for lane, script in enumerate(scripts):
        mine = np.flatnonzero(lanes == lane)
        is_used[mine[len(script) :]] = False
        arrivals["request"][mine[: len(script)]] = first[lane] + np.arange(len(mine[: len(script)]))
    return requests, arrivals[is_used]


@dataclass
class Disturbance:
    """Activates a program at a third of the run and checkpoints after it, from a thread.

    Attributes
    ----------
    marks : list of (float, str)
        Seconds after the first call, and what began or ended.
    """

    server: Served
    store: Store
    log: Path
    seconds: float
    shown: Watch
    marks: list[tuple[float, str]] = field(default_factory=list)
    failure: str = ""
    _began_s: float = 0.0
    _thread: threading.Thread | None = None

    def watch(self, issued: int, answered: int, faults: int) -> None:
        """Begin when the first call was issued; called by the run."""
        self.shown(issued, answered, faults)
        if issued and self._thread is None:
            self._began_s = time.monotonic()
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()

    def join(self) -> None:
        """Wait for its end.

        Raises
        ------
        BenchError
            It did not do what it was to do.
        """
        if self._thread is None:
            raise BenchError("the store was over before it was disturbed")
        self._thread.join()
        if self.failure or len(self.marks) != 4:
            raise BenchError(f"the disturbance failed: {self.failure}")

    def _work(self) -> None:
        try:
            time.sleep(self.seconds / 3)
            kind, content_hash = snapshot_hash(self.store.following)
            self._mark("activation begins")
            activate(self.server.address, kind, content_hash)
            self._mark("the new program is live")
            time.sleep(max(self.seconds / 2 - (time.monotonic() - self._began_s), 0))
            self._mark("checkpoint begins")
            os.kill(self.server.process_id, signal.SIGUSR1)
            give_up_s = time.monotonic() + CHECKPOINT_WITHIN_S
            while CHECKPOINTED not in self.log.read_text(errors="replace"):
                if time.monotonic() > give_up_s:
                    raise BenchError("no checkpoint was logged")
                time.sleep(PAUSE_S)
            self._mark("checkpoint done")
        except Exception as failure:
            self.failure = f"{type(failure).__name__}: {failure}"

    def _mark(self, words: str) -> None:
        self.marks.append((time.monotonic() - self._began_s, words))


def store_row(
    name: str, done: Done, requests: Sequence[Request], rate: float, disturbance: Disturbance
) -> Row:
    """Return the row of the whole run, with what was before, during and after the disturbance."""
    row = make_row("lane port", name, done, METHODS, requests, rate)
    row.checksum = digest_of(requests[int(index)].expected for index in done.results["request"])
    row.marks = disturbance.marks
    begin_s, end_s = disturbance.marks[0][0], disturbance.marks[-1][0]
    last_s = float(done.results["due_ns"].max()) / 1e9 + 1e-9
    live_s, checkpoint_s = disturbance.marks[1][0], disturbance.marks[2][0]
    parts = [
        ("before", 0.0, begin_s),
        ("activation, and a second after it", begin_s, live_s + 1.0),
        ("checkpoint, and a second after it", checkpoint_s, end_s + 1.0),
        ("after", end_s + 1.0, last_s),
    ]
    for words, from_s, until_s in parts:
        if until_s > from_s:
            row.windows.append(window(row, words, done, from_s, min(until_s, last_s)))
    return row
