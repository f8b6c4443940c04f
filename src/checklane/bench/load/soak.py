"""A soak: clients that come, go, stall and reset, for a long time; then look what it left behind.

Chunks of mixed load at 60 % of what a closed loop reached, by turns over single calls and lane
streams, each with connections of its own. After each chunk the server's memory and descriptors are
noted while nobody is connected. At the end the ledger's own checkers look at the books, and every
commit that was answered is looked up in the journal by its position and key.
"""

import os
import re
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from checklane.bench.figures import BenchError
from checklane.bench.load.drive import (
    Cores,
    Done,
    Serials,
    Watch,
    must_be_right,
    on_cores,
    run_plan,
)
from checklane.bench.load.plan import (
    CALL,
    CANCEL,
    CUT,
    LEAVE,
    RIGHT,
    STALL,
    Array,
    make_arrivals,
    poisson_times,
)
from checklane.bench.load.report import LoadReport
from checklane.bench.load.requests import COMMIT, METHODS, engine_call
from checklane.bench.load.rows import Row, make_row
from checklane.bench.load.run import (
    Load,
    LoadOptions,
    Scripts,
    lane_of,
    make_scripts,
    prepare,
    target_of,
)
from checklane.bench.loopback import Served, free_address, serving
from checklane.bench.world import World, opened
from checklane.books.entries import split_entry
from checklane.ledger.check import verify

#: Share of what a closed loop reached.
LOAD_SHARE = 0.6
CAPACITY_S = 1.0
IN_FLIGHT = 4
STALL_S = 0.3
#: Every so many lanes one misbehaves; the report has the latencies of the others.
UNRULY_EVERY = 4
#: Calls in a million of such a lane that come with misbehaviour.
UNRULY = ((CANCEL, 20_000), (LEAVE, 8_000), (CUT, 4_000), (STALL, 800))
#: How much the server may grow after the first third of the soak, beside the accounts' own memory.
GROWTH_BYTES_MAX = 32 << 20
QUIET_WITHIN_S = 20.0
CHECKPOINT_WITHIN_S = 120.0
PAUSE_S = 0.1
ENTRIES_A_READ = 1000
READ_BYTES_MAX = 64 << 20
SERIAL = re.compile(rb"[0-9]{20}")


@dataclass(frozen=True)
class Sample:
    """What the server held between two chunks.

    Attributes
    ----------
    memory_bytes : int
        Anonymous memory when no checkpoint is under way, without the active memtable and the index
        of keys and receipts: those hold what was sold.
    sockets, descriptors : int
    p99_ns : int
        Of the chunk before.
    """

    memory_bytes: int
    sockets: int
    descriptors: int
    p99_ns: int


@dataclass
class Soak:
    """One soak under way."""

    options: LoadOptions
    chunk_s: float
    rate: float
    scripts: Scripts
    serials: Serials
    samples: list[Sample] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    answered: list[Array] = field(default_factory=list)

    def chunk(self, server: Served, metrics: str, number: int, watch: Watch) -> None:
        """Load the server once, and note what it holds afterwards."""
        options = replace(
            target_of(server).options(self.options.lanes, IN_FLIGHT),
            is_stream=number % 2 == 1,
            stall_ns=int(STALL_S * 1e9),
        )
        seed = self.options.seed + number
        times = poisson_times(self.rate, self.chunk_s, seed)
        arrivals = make_arrivals(times, self.scripts.by_lane, seed)
        arrivals["act"] = draw_acts(arrivals["lane"], seed)
        requests = self.scripts.requests
        done = run_plan(METHODS, requests, arrivals, options, self.serials, watch)
        name = f"chunk {number + 1}, {'streams' if options.is_stream else 'single calls'}"
        must_be_right(done, name)
        row = make_row("soak", name, orderly(done), METHODS, requests, self.rate)
        row.outcomes = done.counts()
        row.per_second = len(done.of(RIGHT)) / done.elapsed_s
        self.rows.append(row)
        self.answered.append(answered_commits(done, self.scripts))
        self.samples.append(self._sample(server, metrics, row.at(99)))

    def _sample(self, server: Served, metrics: str, p99_ns: int) -> Sample:
        descriptors, sockets = quiet_descriptors(server.process_id)
        memory = anonymous_bytes(server.process_id) - checkpointed_bytes(metrics)
        return Sample(memory, sockets, descriptors, p99_ns)


def draw_acts(lanes: Array, seed: int) -> Array:
    """Return what a lane does with each call, given the lanes of the calls."""
    draw = np.random.default_rng([seed, 3]).integers(0, 1_000_000, len(lanes))
    acts = np.full(len(lanes), CALL, dtype=np.uint16)
    low = 0
    for act, share in UNRULY:
        acts[(draw >= low) & (draw < low + share)] = act
        low += share
    acts[lanes % UNRULY_EVERY != UNRULY_EVERY - 1] = CALL
    return acts


def orderly(done: Done) -> Done:
    """Return the results of the lanes that behave: what the others do should not touch them."""
    lanes = done.results["lane"] % UNRULY_EVERY
    return replace(done, results=done.results[lanes != UNRULY_EVERY - 1])


def answered_commits(done: Done, scripts: Scripts) -> Array:
    """Return position and serial number of each commit that was answered, as pairs."""
    methods = np.array([request.method for request in scripts.requests])
    kinds = methods[done.results["request"]]
    index = np.flatnonzero((done.results["outcome"] == RIGHT) & (kinds == COMMIT))
    pairs: Array = np.stack([done.results["lsn"][index], index + done.first_serial], axis=1)
    return pairs


def anonymous_bytes(process_id: int) -> int:
    """Return the memory of a process that no file is behind."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise BenchError("this kernel does not tell a process's anonymous memory")


def quiet_descriptors(process_id: int) -> tuple[int, int]:
    """Return open descriptors and sockets, once the number of sockets has settled."""
    give_up_s = time.monotonic() + QUIET_WITHIN_S
    before = -1
    while True:
        names = []
        for link in Path(f"/proc/{process_id}/fd").iterdir():
            try:
                names.append(os.readlink(link))
            except FileNotFoundError:
                continue
        sockets = sum(name.startswith("socket:") for name in names)
        if sockets == before or time.monotonic() > give_up_s:
            return len(names), sockets
        before = sockets
        time.sleep(PAUSE_S)


def checkpointed_bytes(metrics: str) -> int:
    """Return what the ledger holds in memory once the checkpoint under way has ended.

    Raises
    ------
    BenchError
        It does not end, or the endpoint does not tell.
    """
    names = ("frozen_records", "memtable_bytes", "index_bytes")
    give_up_s = time.monotonic() + CHECKPOINT_WITHIN_S
    while time.monotonic() < give_up_s:
        waiting, *held = scraped(metrics, names)
        if waiting == 0:
            return sum(held)
        time.sleep(PAUSE_S)
    raise BenchError(f"a checkpoint did not end within {CHECKPOINT_WITHIN_S:g} s")


def scraped(metrics: str, names: Sequence[str]) -> list[int]:
    """Return figures of the engine from the metrics endpoint."""
    with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    figures = []
    for name in names:
        found = re.search(rf"^checklane_engine_{name} (\S+)$", text, re.MULTILINE)
        if found is None:
            raise BenchError(f"the metrics do not have checklane_engine_{name}")
        figures.append(int(float(found[1])))
    return figures


def run_soak(
    options: LoadOptions,
    minutes: float,
    chunks: int,
    tell: Callable[[str], None],
    watch: Watch,
) -> tuple[LoadReport, BenchError | None]:
    """Soak a server; return the report and what was found wrong, if anything was.

    Parameters
    ----------
    options : LoadOptions
    minutes : float
        Of load in all.
    chunks : int
        Parts of it; half of them over streams.
    tell, watch : callable

    Raises
    ------
    BenchError
        The soak did not come to the end of its first chunk.
    """
    serials, cores = Serials(), Cores.apart() if options.is_pinned else Cores()
    world, machine = prepare(options.work, options.seed, cores, tell, is_quick=options.is_quick)
    with opened(world, world.usual, sessions=2) as engine:
        call = engine_call(engine)
        scripts = make_scripts("mixed", options.lanes, call, serials, options.seed)
    world.go_live()
    lane, flags = lane_of(options)
    metrics, log = free_address(), options.work / "server.log"
    with (
        on_cores(cores.server),
        serving(world.data, log, "--metrics-listen", metrics, *flags, lane=lane) as server,
        on_cores(cores.generator),
    ):
        base = quiet_descriptors(server.process_id)[1]
        rate = options.rates[0] if options.rates else capacity(server, scripts, options, serials)
        soak = Soak(options, minutes * 60 / chunks, rate, scripts, serials)
        problem = None
        try:
            for number in range(chunks):
                tell(f"soak: chunk {number + 1} of {chunks}, {rate:,.0f} calls a second")
                soak.chunk(server, metrics, number, watch)
            must_be_flat(soak.samples, base)
            tell("ledger verify")
            must_verify(world)
        except BenchError as failure:
            if not soak.samples:
                raise
            problem = failure
    pairs = np.concatenate(soak.answered)
    if problem is None:
        tell("looking every answered commit up in the journal")
        problem = first_missed(world, pairs)
    machine["load"] += f" before, {os.getloadavg()[0]:.1f} at the end"
    words = words_of(soak, minutes, base)
    if problem is None:
        words["ledger"] = f"verified; {len(pairs):,} answered commits found at their positions"
    else:
        words["failed"] = str(problem)
    return LoadReport("checklane bench soak", machine, words, soak.rows), problem


def must_verify(world: World) -> None:
    """Refuse a data directory in which the ledger's checkers find anything, while it is served.

    Raises
    ------
    BenchError
    """
    verdict = verify(world.data, lambda *_: None)
    if not verdict.is_sound:
        raise BenchError(f"the ledger's checkers found: {verdict.problem}")


def capacity(server: Served, scripts: Scripts, options: LoadOptions, serials: Serials) -> float:
    """Return the rate of the soak: a share of what a closed loop reaches."""
    quick = replace(options, mode="mixed", in_flight=1)
    load = Load(target_of(server), scripts, quick, serials, lambda *_: None)
    load.closed(CAPACITY_S / 4)
    return load.closed(CAPACITY_S).per_second * LOAD_SHARE


def must_be_flat(samples: Sequence[Sample], base_sockets: int) -> None:
    """Refuse a server that grew, or kept a connection of a client that is gone.

    Raises
    ------
    BenchError
    """
    third = max(len(samples) // 3, 1)
    settled = max(sample.memory_bytes for sample in samples[:third])
    grown = samples[-1].memory_bytes - settled
    if grown > GROWTH_BYTES_MAX:
        raise BenchError(f"memory grew by {grown >> 20} MiB after the first third of the soak")
    kept = samples[-1].sockets - base_sockets
    if kept > 0:
        raise BenchError(f"{kept} sockets stayed open when everybody was gone")
    more = samples[-1].descriptors - max(sample.descriptors for sample in samples[:third])
    if more > 0:
        raise BenchError(f"{more} descriptors more are open than after the first third of the soak")


def first_missed(world: World, pairs: Array) -> BenchError | None:
    """Return what `must_be_kept` refuses, if it does."""
    try:
        must_be_kept(world, pairs)
    except BenchError as failure:
        return failure
    return None


def must_be_kept(world: World, pairs: Array) -> None:
    """Refuse a journal that lacks a commit that was answered, or has it under another key.

    Raises
    ------
    BenchError
    """
    wanted = dict(zip(pairs[:, 0].tolist(), pairs[:, 1].tolist(), strict=True))
    if len(wanted) != len(pairs):
        raise BenchError("two commits were answered with one position")
    with opened(world, world.usual, sessions=1) as engine:
        stats = engine.stats()
        lsn = stats["first_lsn"]
        while wanted and lsn <= stats["durable_lsn"]:
            entries = engine.read_entries(lsn, ENTRIES_A_READ, READ_BYTES_MAX)
            for at, entry in enumerate(entries, lsn):
                serial = wanted.pop(at, None)
                if serial is None:
                    continue
                if b"%020d" % serial not in SERIAL.findall(split_entry(entry).request):
                    raise BenchError(f"entry {at} is not the commit that was answered with it")
            lsn += len(entries)
    if wanted:
        raise BenchError(f"{len(wanted)} answered commits are not in the journal")


def words_of(soak: Soak, minutes: float, base: int) -> dict[str, str]:
    """Return what was done and found, in words."""
    mib = [sample.memory_bytes / (1 << 20) for sample in soak.samples]
    shares = ", ".join(
        f"{share / 10_000:g} % {word}"
        for word, (_, share) in zip(("cancel", "leave", "cut", "stall"), UNRULY, strict=True)
    )
    third = max(len(soak.samples) // 3, 1)
    p99 = [np.median([s.p99_ns for s in part]) / 1000 for part in
           (soak.samples[:third], soak.samples[-third:])]  # fmt: skip
    return {
        "soak": f"{minutes:g} minutes, {len(soak.rows)} chunks, {soak.rate:,.0f} calls a second",
        "clients": f"{soak.options.lanes} lanes, {IN_FLIGHT} in flight on each; of the calls of"
        f" every {UNRULY_EVERY}th {shares}",
        "memory": f"{mib[0]:.1f} MiB after the first chunk, {max(mib):.1f} at most, {mib[-1]:.1f}"
        " after the last, beside the memtable and the index",
        "sockets": f"{base} before, {soak.samples[-1].sockets} after",
        "p99": f"{p99[0]:,.0f} µs in the first third, {p99[1]:,.0f} µs in the last, of the lanes"
        " that behave",
    }
