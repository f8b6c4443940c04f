"""`checklane bench peers`: the same calls to the lane port and to others, in one run.

All servers are up from the beginning, each pinned to the same core, idle but for the one that is
measured; the generator has the other core. Rounds go through all rows, so that what disturbs the
machine for a while touches all of them; a row is its median round.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import grpc

from checklane._generator import masked
from checklane.bench.figures import BenchError, new_histogram, plain_decision
from checklane.bench.load.chart import Bars, bar_chart
from checklane.bench.load.drive import (
    Cores,
    Done,
    Serials,
    Watch,
    cpu_seconds,
    must_be_right,
    on_cores,
    run_plan,
)
from checklane.bench.load.plan import Options, Request
from checklane.bench.load.report import LoadReport
from checklane.bench.load.requests import (
    EMPTY,
    HEALTH_OK,
    METHODS,
    Call,
    commit_body,
    commit_request,
    empty_request,
    engine_call,
    expecting,
    quote_request,
)
from checklane.bench.load.rows import Row, make_row
from checklane.bench.load.run import Scripts, Target, prepare, weave
from checklane.bench.loopback import free_address, serving
from checklane.bench.machine import package_version
from checklane.bench.peers import peers
from checklane.bench.world import World, make_baskets, opened
from checklane.v1 import basket_pb2, checkout_pb2

LANES = 16
BASKETS_A_LANE = 4
STOP_WITHIN_S = 60.0
WARM_UP_S = 0.2
LANE_PORT = "checklane, lane port"
#: What is asked, over how many connections, with how many in flight on each.
SHAPES = (("empty", 1, 1), ("empty", LANES, 1), ("quote", 1, 1), ("quote", LANES, 1),
          ("commit", 1, 1), ("commit", LANES, 4))  # fmt: skip
ECHO_SOURCE = Path(__file__).resolve().parents[4] / "native/echo/echo_server.cc"


@dataclass(frozen=True)
class PeerOptions:
    """What one run does.

    Attributes
    ----------
    work : Path
        An empty folder, on the disk that is measured, that every user may enter.
    seconds : float
        Of each row in each round.
    rounds : int
    """

    work: Path
    seconds: float = 1.0
    rounds: int = 5
    seed: int = 1
    is_quick: bool = False


@dataclass(frozen=True)
class Contestant:
    """One server: what it is asked, and with which right answers."""

    target: Target
    scripts: dict[tuple[str, int], Scripts]


Baskets = Sequence[basket_pb2.Basket]


def run_peers(options: PeerOptions, tell: Callable[[str], None], watch: Watch) -> LoadReport:
    """Measure all of them and return the report.

    Raises
    ------
    BenchError
        One is not installed, did not come up, or answered wrongly.
    """
    cores, serials = Cores.apart(), Serials()
    options.work.chmod(0o755)
    world, machine = prepare(
        options.work / "shop", options.seed, cores, tell, is_quick=options.is_quick
    )
    count = LANES * BASKETS_A_LANE
    made = make_baskets("peers", count, seed=options.seed, members=count)
    baskets = [basket.message for basket in made]
    tell("asking the engine in this process for the right answers")
    with opened(world, world.usual, sessions=2) as engine:
        call = engine_call(engine)
        ours = our_scripts(baskets, call, serials)
        facts = [facts_of(call("QuoteBasket", quote_bytes(basket))) for basket in baskets]
    world.go_live()
    with ExitStack() as stack:
        tell("starting all servers")
        stack.enter_context(on_cores(cores.server))
        found = list(contestants(stack, options.work, world, ours, (baskets, facts), serials))
        stack.enter_context(on_cores(cores.generator))
        rows = measure(found, options, serials, tell, watch)
    machine["load"] += f" before, {os.getloadavg()[0]:.1f} at the end"
    return LoadReport("checklane beside what stands beside it", machine, words_of(options), rows)


def words_of(options: PeerOptions) -> dict[str, str]:
    """Return what was done, in words, with the versions of what was measured."""
    versions = [f"{peer.name} {peer.version()}" for peer in peers()]
    versions.append(f"grpcio {package_version('grpcio')}")
    return {
        "calls": "quotes and durable commits of 10 lines with 10 offers, each a member's",
        "loop": f"closed, {options.rounds} rounds of {options.seconds:g} s; a row is its median",
        "beside": ", ".join(versions),
        "server CPU": "of the server that answers, without its database's own processes",
    }


# ---- what is asked ----


def our_scripts(baskets: Baskets, call: Call, serials: Serials) -> dict[tuple[str, int], Scripts]:
    """Return requests with the answers of our engine."""
    quotes = [quote_request(basket, call) for basket in baskets]
    commits = [commit_request(basket, call, serials.take(1)) for basket in baskets]
    return shaped({"empty": [empty_request()] * LANES, "quote": quotes, "commit": commits})


def shaped(requests: dict[str, list[Request]]) -> dict[tuple[str, int], Scripts]:
    """Return scripts for one lane and for many."""
    return {
        (kind, lanes): weave([found[lane::lanes] for lane in range(lanes)])
        for kind, found in requests.items()
        for lanes in (1, LANES)
    }


def quote_bytes(basket: basket_pb2.Basket) -> bytes:
    """Return the quote of a basket."""
    request = checkout_pb2.QuoteBasketRequest(basket=basket)
    return request.SerializeToString(deterministic=True)


def facts_of(answer: bytes) -> tuple[int, ...]:
    """Return what every contestant has to find: each line's discount, the sum, the points."""
    decision = plain_decision(answer)
    return (
        *(line.discount_minor for line in decision.lines),
        decision.totals.due_minor,
        sum(earned.points for earned in decision.earned),
    )


def their_scripts(
    address: str, baskets: Baskets, facts: Sequence[tuple[int, ...]], serials: Serials
) -> dict[tuple[str, int], Scripts]:
    """Return requests with the answers that a server gave once, after looking at each.

    Raises
    ------
    BenchError
        It decides otherwise than our engine.
    """
    requests: dict[str, list[Request]] = {"empty": [empty_request()] * LANES}
    with grpc.insecure_channel(address) as channel:
        for method, kind in ((0, "quote"), (2, "commit")):
            ask: Callable[..., bytes] = channel.unary_unary(METHODS[method].path.decode())
            found = []
            for basket, wanted in zip(baskets, facts, strict=True):
                sent = commit_body(basket)
                body = sent.numbered(serials.take(1)) if kind == "commit" else quote_bytes(basket)
                answer = ask(body, timeout=20)
                if facts_of(answer) != wanted:
                    raise BenchError(f"{address} decides a {kind} otherwise than our engine")
                if kind == "commit":
                    found.append(expecting(sent, method, answer))
                else:
                    found.append(Request(body, method, masked(METHODS[method], answer)[0]))
            requests[kind] = found
    return shaped(requests)


# ---- who is asked ----


@contextmanager
def process(command: Sequence[str]) -> Iterator[int]:
    """Run a server that says "serving", and ends with its standard input; yield its process id.

    Raises
    ------
    BenchError
        It did not come up.
    """
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        try:
            if running.stdout.readline() != b"serving\n":
                raise BenchError(f"{command[0]} did not come up")
            yield running.pid
            running.stdin.close()
            running.wait(STOP_WITHIN_S)
        finally:
            if running.poll() is None:
                running.kill()


def contestants(
    stack: ExitStack,
    work: Path,
    world: World,
    ours: dict[tuple[str, int], Scripts],
    wanted: tuple[Baskets, Sequence[tuple[int, ...]]],
    serials: Serials,
) -> Iterator[Contestant]:
    """Start all servers on the stack and yield them in the order of the report."""
    copied = work / "aio-data"
    shutil.copytree(world.data, copied)
    lane = free_address()
    served = stack.enter_context(
        serving(world.data, work / "server.log", "--lane-threads", "1", lane=lane)
    )
    yield Contestant(_target(LANE_PORT, lane, served.process_id), ours)
    yield Contestant(_target("our engine, grpcio", served.address, served.process_id), ours)
    address = free_address()
    process_id = stack.enter_context(process(team(address, "engine", copied)))
    yield Contestant(_target("our engine, aio", address, process_id), ours)
    for peer in peers():
        place = stack.enter_context(peer.serving(work / peer.kind))
        address = free_address()
        process_id = stack.enter_context(process(team(address, peer.kind, Path(place.path))))
        name = f"Python, {peer.name}, aio"
        scripts = their_scripts(address, *wanted, serials)
        yield Contestant(_target(name, address, process_id), scripts)
    address = free_address()
    process_id = stack.enter_context(process([str(build_echo(work)), address]))
    echo = shaped({"empty": [Request(HEALTH_OK, EMPTY, HEALTH_OK)] * LANES})
    yield Contestant(_target("C++ gRPC, an echo", address, process_id), echo)


def team(address: str, kind: str, path: Path) -> list[str]:
    """Return the command of the server that a team would build; see team.py."""
    return [sys.executable, "-m", "checklane.bench.peers.team", address, kind, str(path)]


def _target(name: str, address: str, process_id: int) -> Target:
    host, _, port = address.rpartition(":")
    return Target(name, host, int(port), process_id)


def build_echo(work: Path) -> Path:
    """Build the C++ server and return its path.

    Raises
    ------
    BenchError
        It can not be built here.
    """
    program = work / "echo_server"
    command = ["c++", "-std=c++17", "-O2", "-o", str(program), str(ECHO_SOURCE)]
    command += ["-lgrpc++", "-lgrpc", "-lgpr"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BenchError("there is no C++ compiler: run .ci/system peers") from None
    if done.returncode != 0:
        words = done.stderr[-500:]
        raise BenchError(f"the C++ echo was not built: run .ci/system peers\n{words}")
    return program


# ---- asking ----


def measure(
    found: Sequence[Contestant],
    options: PeerOptions,
    serials: Serials,
    tell: Callable[[str], None],
    watch: Watch,
) -> list[Row]:
    """Return a row for each shape and contestant, shape by shape."""
    plan = [
        (shape, contestant)
        for shape in SHAPES
        for contestant in found
        if shape[:2] in contestant.scripts
    ]
    rounds: list[list[Row]] = [[] for _ in plan]
    for number in range(options.rounds):
        tell(f"round {number + 1} of {options.rounds}")
        for runs, (shape, contestant) in zip(rounds, plan, strict=True):
            one_row(contestant, shape, WARM_UP_S, serials, watch)
            runs.append(one_row(contestant, shape, options.seconds, serials, watch))
    return [median_row(runs) for runs in rounds]


def one_row(
    contestant: Contestant,
    shape: tuple[str, int, int],
    seconds: float,
    serials: Serials,
    watch: Watch,
) -> Row:
    """Measure one contestant once."""
    kind, lanes, in_flight = shape
    target, scripts = contestant.target, contestant.scripts[kind, lanes]
    where = f"{lanes} connection{'s' * (lanes > 1)} x {in_flight} in flight"
    section, name = f"{kind}, {where}", f"{target.name}: {kind}, {lanes} x {in_flight}"
    plan: Options = replace(target.options(lanes, in_flight), closed_ns=int(seconds * 1e9))
    before_s = cpu_seconds(target.process_id)
    done: Done = run_plan(METHODS, scripts.requests, None, plan, serials, watch)
    used_s = cpu_seconds(target.process_id) - before_s
    must_be_right(done, name)
    row = make_row(section, name, done, METHODS, scripts.requests, None)
    row.checksum = scripts.checksum
    row.cpu_us = used_s * 1e6 / len(done.results)
    if target.name != LANE_PORT:
        row.versus = f"{LANE_PORT}: {kind}, {lanes} x {in_flight}"
    return row


def write_chart(report: LoadReport, path: Path) -> None:
    """Write answers a second of the rows with many connections, for the README, as SVG."""
    groups = [
        Bars(section, [(row.name.partition(":")[0], row.per_second) for row in rows])
        for section, rows in report.sections()
        if section.startswith(("quote, 16", "commit, 16"))
    ]
    machine = report.machine
    words = f"{machine['processor']}; {machine['cores']}; fdatasync {machine['fdatasync']}"
    path.write_text(bar_chart(groups, "answers a second", words) + "\n", encoding="utf-8")


def median_row(runs: Sequence[Row]) -> Row:
    """Return the run in the middle by its rate, with the latencies of all runs."""
    middle = sorted(runs, key=lambda row: row.per_second)[len(runs) // 2]
    merged = new_histogram()
    for run in runs:
        merged.add(run.latency)
    return replace(middle, latency=merged)
