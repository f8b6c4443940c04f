"""A small shop with a server of its own, and a lane that calls it in bytes."""

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from checklane import _layout
from checklane._engine import METHODS, LedgerAudit
from checklane.bench.calls import make_sale_goods
from checklane.bench.ledger_sales import drive_of, sales_of
from checklane.bench.loop import Lane
from checklane.bench.loopback import PATHS
from checklane.bench.world import QUICK, World, make_world, opened
from checklane.clock import SYSTEM_CLOCK
from tests.server.serving import COMMAND, Server

CALL_TIMEOUT_S = 20.0
#: Long enough for any machine; nothing here waits for it on purpose.
PATIENCE_S = 60.0
COMMIT = METHODS["CheckoutService.CommitTransaction"]
NO_LIMIT = resource.RLIM_INFINITY


def make_shop(folder: Path) -> tuple[World, list, list[bytes]]:
    """Return a world that is live, goods to quote and commit, and sales as its journal has them."""
    world = make_world(folder, QUICK, 1)
    with opened(world, world.usual, sessions=2) as engine:
        _, goods = make_sale_goods(engine, 4, 1)
        for number, (request, _) in enumerate(Lane("commit", goods, 999, 0.0).requests()):
            engine.call(COMMIT, request)
            if number == len(goods):
                break
        sales = sales_of(engine)
    world.go_live()
    return world, goods, sales


def end_offset(data: Path) -> int:
    """Return the offset of the journal's end in its last segment."""
    audit = LedgerAudit(str(data / "journal"))
    try:
        return int(audit.report()["end_position"]) % 2**32
    finally:
        audit.close()


def fill_to(world: World, sales: list[bytes], offset: int) -> None:
    """Append sales until the journal's end lies less than one sale before an offset."""
    drive = drive_of(world.data, sales[:1], accounts=100, seed=1)
    before = end_offset(world.data)
    drive.fill(100)
    each = (end_offset(world.data) - before) // 100
    drive.fill((offset - end_offset(world.data)) // each - 1)


class Till:
    """One lane: its sales have keys of their own and come again under the same key when asked to.

    Parameters
    ----------
    address : str
    goods : list of Goods
    number : int
        Of the lane.
    """

    def __init__(self, address: str, goods: list, number: int) -> None:
        self._channel = grpc.insecure_channel(address)
        self._requests = Lane("commit", goods, number, 0.0).requests()
        self._goods = goods

    def __enter__(self) -> "Till":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def next_request(self) -> bytes:
        """Return the next sale."""
        return next(self._requests)[0]

    def commit(self, request: bytes) -> bytes | str:
        """Return the answer, or the words of the refusal."""
        return self._call("commit", request)

    def quote(self) -> bytes | str:
        """Quote the first basket."""
        return self._call("quote", self._goods[0].quote)

    def commit_until_refused(self, most: int) -> tuple[list[tuple[bytes, bytes]], bytes, str]:
        """Return the sales that were answered, the one that was not, and why."""
        answered = []
        for _ in range(most):
            request = self.next_request()
            answer = self.commit(request)
            if isinstance(answer, str):
                return answered, request, answer
            answered.append((request, answer))
        raise AssertionError(f"{most} sales were answered")

    def commit_until_answered(self, request: bytes) -> bytes:
        """Send one sale again and again until it is answered."""
        give_up_s = SYSTEM_CLOCK.monotonic_s() + PATIENCE_S
        while isinstance(answer := self.commit(request), str):
            assert SYSTEM_CLOCK.monotonic_s() < give_up_s, answer
            SYSTEM_CLOCK.sleep(0.1)
        return answer

    def _call(self, kind: str, request: bytes) -> bytes | str:
        call = self._channel.unary_unary(PATHS[kind])
        try:
            answer: bytes = call(request, timeout=CALL_TIMEOUT_S)
        except grpc.RpcError as refused:
            return str(refused.details())
        return answer


@contextmanager
def serving(
    data: Path, log: Path, *flags: str, starter: Callable[[Server], None] = Server.start
) -> Iterator[Server]:
    """Run a server on a data directory; kill it if it still runs afterwards."""
    server = Server(data, log, *flags)
    try:
        starter(server)
        yield server
    finally:
        server.close()


def refused_start(data: Path, *flags: str) -> tuple[int, str]:
    """Start a server that must not come up; return its exit code and its last words."""
    command = [*COMMAND, "serve", "--data", str(data), "--listen", "127.0.0.1:0"]
    command += ["--lane-listen", "127.0.0.1:0", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    return done.returncode, done.stderr + done.stdout


@contextmanager
def file_ceiling(size_bytes: int) -> Iterator[None]:
    """Let processes that are started meanwhile make no file longer than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def copy_of(world: World, folder: Path) -> Path:
    """Return a copy of a world's data directory."""
    return Path(shutil.copytree(world.data, folder))


SEGMENT_BYTES = _layout.SEGMENT_BYTES
#: A group begins in a segment only while its largest entry would fit.
BOUNDARY = SEGMENT_BYTES - _layout.ENTRY_BYTES_MAX
