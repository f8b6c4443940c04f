"""`checklane bench load`: a server of our own, requests with their right answers, rows."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from checklane.bench import world as worlds
from checklane.bench.figures import digest_of
from checklane.bench.load.drive import (
    Cores,
    Serials,
    Watch,
    cpu_seconds,
    must_be_right,
    on_cores,
    run_plan,
)
from checklane.bench.load.plan import (
    Array,
    Options,
    Request,
    day_times,
    make_arrivals,
    poisson_times,
)
from checklane.bench.load.report import LoadReport
from checklane.bench.load.requests import (
    METHODS,
    Call,
    commit_request,
    empty_request,
    engine_call,
    growing_quotes,
    script_of,
    total_request,
)
from checklane.bench.load.rows import Row, make_row
from checklane.bench.loopback import Served, free_address, serving
from checklane.bench.machine import SyncProbe, describe_machine
from checklane.bench.report import time_text
from checklane.bench.world import World, make_baskets, make_world, opened

PORTS = ("lane", "unix", "management")
MODES = ("empty", "quotes", "totals", "commits", "mixed")
PROFILES = {"steady": poisson_times, "day": day_times}
BASKETS_A_LANE = 4
#: Shares of what a closed loop reached, when no rate is asked for.
STEPS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9)
#: The server's settings where it shares the machine with other work: late quotes are whole quotes.
NO_LADDER = tuple(
    word
    for name in ("public-offers", "shelf-price", "refuse")
    for word in (f"--lane-{name}-us", "0")
)
#: Before anything is counted: connections, caches, the server's own first times.
WARM_UP_S = 0.3
SYNCS = 200


@dataclass(frozen=True)
class LoadOptions:
    """What one run does.

    Attributes
    ----------
    work : Path
        An empty folder, on the disk that is measured.
    mode : str
        Of `MODES`.
    lanes, in_flight : int
        Connections, and calls of each under way at once.
    rates : tuple of float
        Calls a second, a row each. Empty: steps of what a closed loop reached.
    seconds : float
        Of each row.
    profile : str
        Of `PROFILES`.
    port : str
        Of `PORTS`: the lane port, the same over a Unix socket, or grpcio's.
    is_stream : bool
        All calls of a lane over one StreamLane.
    is_pinned : bool
        Server and generator on a core each.
    is_overload : bool
        True: refusals with RESOURCE_EXHAUSTED and degraded answers are counted, not fatal.
    has_ladder : bool
        False: a late quote is never decided with less, whatever the machine does beside.
    spin_us : int
        How long the generator polls before it sleeps.
    """

    work: Path
    mode: str = "quotes"
    lanes: int = 16
    in_flight: int = 1
    rates: tuple[float, ...] = ()
    seconds: float = 5.0
    profile: str = "steady"
    port: str = "lane"
    seed: int = 1
    is_stream: bool = False
    is_pinned: bool = False
    is_overload: bool = False
    has_ladder: bool = True
    spin_us: int = 0
    is_quick: bool = False


@dataclass(frozen=True)
class Target:
    """Where a load goes: an open port, and the process behind it.

    Attributes
    ----------
    host : str
        A host, or the path of a Unix socket when the port is 0.
    """

    name: str
    host: str
    port: int
    process_id: int
    ca_file: Path | None = None
    server_name: str = ""

    def options(self, lanes: int, in_flight: int) -> Options:
        """Return the options of a run against it."""
        return Options(
            host=self.host.encode(),
            port=self.port,
            lanes=lanes,
            in_flight=in_flight,
            ca_file=str(self.ca_file).encode() if self.ca_file else None,
            server_name=self.server_name.encode() or None,
        )


def target_of(server: Served) -> Target:
    """Return a server's lane port as a target; its management port where it has none."""
    name = "lane port" if server.lane else "management port"
    address = server.lane or server.address
    if address.startswith("unix:"):
        return Target(name, address.removeprefix("unix:"), 0, server.process_id)
    host, _, port = address.rpartition(":")
    return Target(name, host, int(port), server.process_id)


@dataclass(frozen=True)
class Scripts:
    """What each lane sends, by turns, all scripts of one length.

    Attributes
    ----------
    requests : list of Request
        Lane l sends l, l + lanes, l + 2 * lanes ..., as the generator's closed loop wants it.
    by_lane : list of ranges
        The same for an open loop.
    """

    requests: list[Request]
    by_lane: list[range]

    @property
    def checksum(self) -> str:
        """Of all decisions that are expected."""
        return digest_of(request.expected for request in self.requests)


def weave(scripts: Sequence[Sequence[Request]]) -> Scripts:
    """Return scripts of all lanes as one list; shorter ones begin again."""
    length = max(len(script) for script in scripts)
    woven = [script[turn % len(script)] for turn in range(length) for script in scripts]
    lanes = len(scripts)
    return Scripts(woven, [range(lane, len(woven), lanes) for lane in range(lanes)])


def make_scripts(mode: str, lanes: int, call: Call, serials: Serials, seed: int) -> Scripts:
    """Return what lanes send in a mode. Lanes share no member."""
    if mode == "empty":
        return weave([[empty_request()]] * lanes)
    count = lanes * BASKETS_A_LANE
    baskets = [basket.message for basket in make_baskets(mode, count, seed=seed, members=count)]
    scripts: list[list[Request]] = []
    for lane in range(lanes):
        script: list[Request] = []
        for basket in baskets[lane::lanes]:
            if mode == "quotes":
                script += growing_quotes(basket, call)
            elif mode == "totals":
                script.append(total_request(basket, call, serials.take(1)))
            elif mode == "commits":
                script.append(commit_request(basket, call, serials.take(1)))
            else:
                script += script_of(basket, call, serials.take(1))
        scripts.append(script)
    return weave(scripts)


def run_load(options: LoadOptions, tell: Callable[[str], None], watch: Watch) -> LoadReport:
    """Build a shop, serve it, load it, and return the report.

    Raises
    ------
    BenchError
        An answer was wrong, or a call was refused or lost.
    """
    cores = Cores.apart() if options.is_pinned else Cores()
    serials = Serials()
    world, machine = prepare(options.work, options.seed, cores, tell, is_quick=options.is_quick)
    tell("asking the engine in this process for the right answers")
    with opened(world, world.usual, sessions=2) as engine:
        call = engine_call(engine)
        scripts = make_scripts(options.mode, options.lanes, call, serials, options.seed)
    world.go_live()
    log = options.work / "server.log"
    lane, flags = lane_of(options)
    with (
        on_cores(cores.server),
        serving(world.data, log, *flags, lane=lane) as server,
        on_cores(cores.generator),
    ):
        rows = load_rows(target_of(server), scripts, options, serials, tell, watch)
    load = os.getloadavg()[0]
    return LoadReport(
        f"checklane bench load: {options.mode}",
        machine | {"load": f"{machine['load']} before, {load:.1f} at the end"},
        words_of(options),
        rows,
    )


def lane_of(options: LoadOptions) -> tuple[str, list[str]]:
    """Return where the lane port is to listen, and the server's flags besides."""
    if options.port == "management":
        return "", []
    # One core serves lanes with one thread; more would take turns on it.
    flags = ["--lane-threads", "1"] if options.is_pinned else []
    if not options.has_ladder:
        flags += NO_LADDER
    return f"unix:{options.work}/lane" if options.port == "unix" else free_address(), flags


def prepare(
    work: Path, seed: int, cores: Cores, tell: Callable[[str], None], *, is_quick: bool
) -> tuple[World, dict[str, str]]:
    """Return a shop, and the machine in words with what its disk does."""
    machine = describe_machine(work) | {"cores": cores.words(), "load": f"{os.getloadavg()[0]:.1f}"}
    tell("building the shop")
    sizes = worlds.QUICK if is_quick else worlds.FULL
    world = make_world(work, replace(sizes, live_offers=sizes.live_offers[:2]), seed)
    with on_cores(cores.server), SyncProbe(world.data, SYNCS) as syncs:
        syncs.run()
    figure = syncs.figure
    machine["fdatasync"] = f"p50 {time_text(figure.p50_ns)}, p99 {time_text(figure.p99_ns)}"
    return world, machine


def load_rows(
    target: Target,
    scripts: Scripts,
    options: LoadOptions,
    serials: Serials,
    tell: Callable[[str], None],
    watch: Watch,
) -> list[Row]:
    """Measure a target: a closed loop first, then an open loop at each rate."""
    load = Load(target, scripts, options, serials, watch)
    tell("warming up")
    load.closed(WARM_UP_S)
    if options.rates:
        rates = {f"{rate:,.0f}/s": rate for rate in options.rates}
        rows = []
    else:
        tell(f"{options.mode}: closed loop")
        rows = [load.closed(options.seconds)]
        rates = {f"{step:.0%} of that": rows[0].per_second * step for step in STEPS}
    for words, rate in rates.items():
        tell(f"{options.mode}: {rate:,.0f} calls a second")
        rows.append(load.open(rate, words))
    return rows


class Load:
    """Runs rows against one target.

    Parameters
    ----------
    target : Target
    scripts : Scripts
    options : LoadOptions
    serials : Serials
    watch : callable
    """

    def __init__(
        self,
        target: Target,
        scripts: Scripts,
        options: LoadOptions,
        serials: Serials,
        watch: Watch,
    ) -> None:
        self._target = target
        self._scripts = scripts
        self._options = options
        self._serials = serials
        self._watch = watch

    def closed(self, seconds: float) -> Row:
        """Measure a closed loop: each lane with its calls in flight, as fast as answers come."""
        options = self._options
        plan = replace(self._plan(), closed_ns=int(seconds * 1e9))
        name = f"{options.mode}, closed loop, {options.lanes} x {options.in_flight} in flight"
        return self._row(name, None, plan, None)

    def open(self, rate: float, words: str) -> Row:
        """Measure an open loop: calls at times fixed beforehand."""
        options = self._options
        times = PROFILES[options.profile](rate, options.seconds, options.seed)
        arrivals = make_arrivals(times, self._scripts.by_lane, options.seed)
        name = f"{options.mode}, open loop, {words}"
        return self._row(name, arrivals, self._plan(), rate)

    def _plan(self) -> Options:
        options = self._options
        plan = self._target.options(options.lanes, options.in_flight)
        return replace(plan, is_stream=options.is_stream, spin_ns=options.spin_us * 1000)

    def _row(self, name: str, arrivals: Array | None, plan: Options, rate: float | None) -> Row:
        requests = self._scripts.requests
        before_s = cpu_seconds(self._target.process_id)
        done = run_plan(METHODS, requests, arrivals, plan, self._serials, self._watch)
        used_s = cpu_seconds(self._target.process_id) - before_s
        must_be_right(done, name, is_overload=self._options.is_overload)
        row = make_row(self._target.name, name, done, METHODS, requests, rate)
        row.checksum = self._scripts.checksum
        row.cpu_us = used_s * 1e6 / max(len(done.results), 1)
        return row


def words_of(options: LoadOptions) -> dict[str, str]:
    """Return what was asked for, in words."""
    how = "one StreamLane a lane" if options.is_stream else "unary calls"
    return {
        "mode": options.mode,
        "lanes": f"{options.lanes} connections, {options.in_flight} in flight on each, {how}",
        "arrivals": f"{options.profile}, {options.seconds:g} s a row, seed {options.seed}",
        "polling": f"{options.spin_us} µs before the generator sleeps",
    }
