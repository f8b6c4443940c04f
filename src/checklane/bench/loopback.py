"""Calls through grpcio over the loopback interface, beside an empty method on the same port."""

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc

from checklane.bench.calls import make_sale_goods
from checklane.bench.figures import WORKERS, BenchError, Effort, Figure, checksum, exact_share
from checklane.bench.loop import Goods, Lane, Send, gather, run_lanes, share_goods
from checklane.bench.world import World, opened

SECTION = "gRPC"
PATHS = {
    "empty": "/grpc.health.v1.Health/Check",
    "quote": "/checklane.v1.CheckoutService/QuoteBasket",
    "commit": "/checklane.v1.CheckoutService/CommitTransaction",
}
READY_WITHIN_S = 60.0
STOP_WITHIN_S = 60.0
CALL_TIMEOUT_S = 20.0
PAUSE_S = 0.05
#: Lanes of these rows begin here: the rows of one process have used the numbers below.
FIRST_LANE = 1_000_000
CHANNEL_OPTIONS = (
    # Each channel is a connection of its own, and does not hide a fault by trying again.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
)


@dataclass(frozen=True)
class Served:
    """A server that runs: its management port, its lane port or "", its process."""

    address: str
    lane: str
    process_id: int


def free_address() -> str:
    """Return a loopback address that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def serving(data: Path, log: Path, *flags: str, lane: str = "") -> Iterator[Served]:
    """Run ``checklane serve`` as a process of its own.

    Parameters
    ----------
    data : Path
        The data directory.
    log : Path
        Gets what it prints.
    *flags : str
        Of ``checklane serve``, besides.
    lane : str
        Where the lane port listens: host:port or unix:path. Default: no lane port.

    Raises
    ------
    BenchError
        It did not come up, or did not end well.
    """
    address = free_address()
    command = [sys.executable, "-c", "from checklane.cli import main; main()", "serve"]
    command += ["--data", str(data), "--listen", address, "--lane-listen", lane, *flags]
    # Settings of another server in the environment are not for this one.
    plain = {name: text for name, text in os.environ.items() if not name.startswith("CHECKLANE_")}
    with log.open("ab") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=plain)
    try:
        _wait_for(process, address, log)
        yield Served(address, lane, process.pid)
        process.send_signal(signal.SIGTERM)
        if process.wait(STOP_WITHIN_S) != 0:
            raise BenchError(f"the server ended with {process.returncode}:\n{_last_words(log)}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _last_words(log: Path) -> str:
    return log.read_text(errors="replace")[-2000:]


def _wait_for(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    """Wait until the server answers health checks; they must say SERVING."""
    give_up_s = time.monotonic() + READY_WITHIN_S
    while True:
        if process.poll() is not None or time.monotonic() > give_up_s:
            raise BenchError(f"the server did not come up:\n{_last_words(log)}")
        try:
            with grpc.insecure_channel(address) as channel:
                if grpc_sender(channel, "empty")(b"") == b"\x08\x01":
                    return
        except grpc.RpcError:
            pass
        time.sleep(PAUSE_S)


def grpc_sender(channel: grpc.Channel, kind: str) -> Send:
    """Return what sends one call over a channel, as bytes."""
    call: Callable[..., bytes] = channel.unary_unary(PATHS[kind])

    def send(request: bytes) -> bytes:
        return call(request, timeout=CALL_TIMEOUT_S)

    return send


def _work(pipe: Connection, address: str) -> None:
    """Run what comes through the pipe until it ends; the body of a worker process."""
    while True:
        try:
            lanes: list[Lane] = pipe.recv()
        except EOFError:
            return
        try:
            _run_here(pipe, address, lanes)
        except Exception as failure:
            for lane in lanes:
                lane.faults.append(f"{type(failure).__name__}: {failure}")
        for lane in lanes:
            lane.goods = []
        pipe.send(lanes)


def _run_here(pipe: Connection, address: str, lanes: list[Lane]) -> None:
    """Run lanes, each on a connection of its own that is open before the start."""
    with ExitStack() as stack:
        channels = [
            stack.enter_context(grpc.insecure_channel(address, options=CHANNEL_OPTIONS))
            for _ in lanes
        ]
        for lane, channel in zip(lanes, channels, strict=True):
            lane.warm(grpc_sender(channel, "empty" if lane.kind == "empty" else "quote"))
        pipe.send("ready")
        pipe.recv()
        run_lanes(lanes, [grpc_sender(channel, lanes[0].kind) for channel in channels])


class Workers:
    """Processes that call; ended by leaving the context.

    Parameters
    ----------
    address : str
        Of the server.
    """

    def __init__(self, address: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(WORKERS):
            here, there = context.Pipe()
            process = context.Process(target=_work, args=(there, address), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(STOP_WITHIN_S)
            if process.is_alive():
                process.kill()
                process.join()

    def run(self, lanes: Sequence[Lane]) -> list[Lane]:
        """Run lanes on all workers alike, from the same moment; return them with what they saw."""
        shares = [list(lanes[worker::WORKERS]) for worker in range(WORKERS)]
        busy = [pair for pair in zip(self._pipes, shares, strict=True) if pair[1]]
        for pipe, share in busy:
            pipe.send(share)
        first = [_receive(pipe) for pipe, _ in busy]
        done: list[Lane] = []
        for (pipe, _), message in zip(busy, first, strict=True):
            if message == "ready":
                pipe.send("go")
            else:
                done += message
        for (pipe, _), message in zip(busy, first, strict=True):
            if message == "ready":
                done += _receive(pipe)
        return done


def _receive(pipe: Connection) -> Any:
    """Return "ready", or lanes that have ended."""
    if not pipe.poll(READY_WITHIN_S):
        raise BenchError("a worker process gave no answer")
    return pipe.recv()


def measure(
    world: World, folder: Path, effort: Effort, seed: int, tell: Callable[[str], None]
) -> list[Figure]:
    """Measure the empty method, quotes and commits: one connection, then many."""
    with opened(world, world.usual, sessions=2) as engine:
        quoted, committed = make_sale_goods(engine, effort.connections, seed)
    world.go_live()
    rows = [
        (_figure(kind, connections, goods), kind, connections, goods)
        for connections in (1, effort.connections)
        for kind, goods in (("empty", quoted), ("quote", quoted), ("commit", committed))
    ]
    number = FIRST_LANE
    with (
        serving(world.data, folder / "server.log") as server,
        Workers(server.address) as workers,
    ):
        for run in range(effort.runs):
            tell(f"gRPC: run {run + 1} of {effort.runs}")
            for figure, kind, connections, goods in rows:
                lanes = []
                for lane in range(connections):
                    share = share_goods(goods, lane, connections)
                    lanes.append(Lane(kind, share, number, effort.call_s))
                    number += 1
                figure.add(*gather(workers.run(lanes)))
    return [figure for figure, _, _, _ in rows]


def _figure(kind: str, connections: int, goods: Sequence[Goods]) -> Figure:
    where = f"{connections} connection{'s' * (connections > 1)}"
    empty = f"empty method, {where}"
    if kind == "empty":
        return Figure(SECTION, empty)
    answers = [item.answer for item in goods]
    return Figure(
        SECTION,
        f"{kind}, {where}",
        checksum=checksum(answers),
        exact_share=exact_share(answers),
        versus=empty,
    )
