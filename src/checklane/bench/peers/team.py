"""What a team would build instead: grpcio's asyncio server, rules in plain Python, a database.

``python -m checklane.bench.peers.team ADDRESS KIND PATH`` serves the contract's QuoteBasket and
CommitTransaction over the bench's shop until its standard input ends. KIND is "postgres" or "redis"
with the PATH of its sockets, or "engine" with the PATH of a data directory: then the same server
asks our engine instead, and answers health checks too.

The rules are the ten offers of the shop's block of ten, one for each brand and none competing with
another: a dictionary and a handful of branches. A commit does what ours does to the ledger, in the
way that suits the database: see sale.py.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc

from checklane._engine import METHODS, Engine
from checklane.bench.peers import connect
from checklane.bench.peers.sale import DAY, PURSE, Address, Connection, Sale
from checklane.bench.world import BLOCK_BRANDS, TEN
from checklane.config import Settings
from checklane.snapshot.keys import load_keys
from checklane.snapshot.store import read_live, snapshot_directory
from checklane.tables.files import snapshot_name
from checklane.v1 import basket_pb2, checkout_pb2, decision_pb2

PATHS = {
    "/checklane.v1.CheckoutService/QuoteBasket": "quote",
    "/checklane.v1.CheckoutService/CommitTransaction": "commit",
    "/grpc.health.v1.Health/Check": "empty",
}
HEALTH_OK = b"\x08\x01"
#: Calls that wait for the disk at once, each with a connection of its own.
WORKERS = 64

Answer = Callable[[bytes], Awaitable[bytes]]


def line_discount(number: int, count: int, amount_minor: int) -> int:
    """Return what the offer of brand `number` takes off a line; see world.mechanic.

    Parameters
    ----------
    number : int
        Of the offer, which is that of the brand.
    count : int
        Units of the line.
    amount_minor : int
        Of the whole line.
    """
    unit = amount_minor // count
    kind = number % 5
    if kind == 0:
        return half_up(amount_minor * (5 + number % 20), 100)
    if kind == 1:
        return half_up(unit * (count // 3), 2)
    if kind == 2:
        return min(20 + number % 50, unit) * count
    if kind == 3:
        return max(3 * unit - 100 * (8 + number % 5), 0) * (count // 3)
    return max(unit - (100 * (3 + number % 3) + 49), 0) * count


def half_up(value: int, divisor: int) -> int:
    """Return a quotient, rounded half away from zero; the value is not negative."""
    return (2 * value + divisor) // (2 * divisor)


class Rules:
    """The offers by product: what a team keeps in memory."""

    def __init__(self) -> None:
        self._prefix = f"{TEN.name}-"

    def decide(self, basket: basket_pb2.Basket) -> decision_pb2.Decision:
        """Decide a basket: offers line by line, sums, a point for each dollar that is left."""
        decision = decision_pb2.Decision(degraded_level=decision_pb2.DEGRADED_LEVEL_FULL)
        gross = discount = 0
        for line in basket.lines:
            number = int(line.product_code.removeprefix(self._prefix)) % BLOCK_BRANDS
            off = line_discount(number, line.count, line.amount_minor)
            decided = decision.lines.add(
                line_id=line.line_id, discount_minor=off, net_minor=line.amount_minor - off
            )
            if off:
                name = f"{self._prefix}{number:02d}"
                decided.applied.add(offer_id=name, discount_minor=off)
                decision.applied_offers.add(offer_id=name, times=1, discount_minor=off)
            gross += line.amount_minor
            discount += off
        totals = decision.totals
        totals.gross_minor, totals.discount_minor = gross, discount
        totals.net_minor = totals.due_minor = gross - discount
        decision.earned.add(purse_id="points", offer_id="base", points=(gross - discount) // 100)
        return decision


def sale_of(request: checkout_pb2.CommitTransactionRequest, raw: bytes) -> tuple[Sale, bytes]:
    """Return the decided sale of a commit, and its answer."""
    decision = Rules().decide(request.basket)
    answer = checkout_pb2.CommitTransactionResponse(
        decision=decision, outcome=checkout_pb2.COMMIT_OUTCOME_POSTED
    ).SerializeToString()
    content = checkout_pb2.CommitTransactionRequest(basket=request.basket, paid=request.paid)
    sale = Sale(
        key=hashed(request.context.idempotency_key.encode()),
        content=hashed(content.SerializeToString(deterministic=True)),
        receipt=hashed(request.receipt.SerializeToString(deterministic=True)),
        account=hashed(request.basket.identifiers[0].value.encode())[0],
        purse=PURSE,
        activation_day=DAY,
        expiry_day=DAY + 400,
        points=decision.earned[0].points,
        offers=tuple(range(2)),
        day=DAY,
        request=raw,
        response=answer,
    )
    return sale, answer


def hashed(content: bytes) -> tuple[int, int]:
    """Return a 128-bit hash as two signed numbers."""
    digest = blake2b(content, digest_size=16).digest()
    low, high = (int.from_bytes(half, "little", signed=True) for half in (digest[:8], digest[8:]))
    return low, high


class Database:
    """Answers by rules in Python; commits go to a database on threads."""

    def __init__(self, address: Address) -> None:
        self._rules = Rules()
        self._pool = ThreadPoolExecutor(WORKERS)
        self._idle: SimpleQueue[Connection] = SimpleQueue()
        for _ in range(WORKERS):
            self._idle.put(connect(address))

    async def quote(self, raw: bytes) -> bytes:
        """Answer a quote."""
        request = checkout_pb2.QuoteBasketRequest.FromString(raw)
        decision = self._rules.decide(request.basket)
        return checkout_pb2.QuoteBasketResponse(decision=decision).SerializeToString()

    async def commit(self, raw: bytes) -> bytes:
        """Answer a commit when it is durable."""
        sale, _ = sale_of(checkout_pb2.CommitTransactionRequest.FromString(raw), raw)
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._commit, sale)

    def _commit(self, sale: Sale) -> bytes:
        connection = self._idle.get()
        try:
            return connection.commit(sale)
        finally:
            self._idle.put(connection)


class OurEngine:
    """Answers by our engine; what waits for the disk does so on threads."""

    def __init__(self, data: Path) -> None:
        settings, keys = Settings.model_validate({}), load_keys(data)
        self._pool = ThreadPoolExecutor(WORKERS)
        self._engine = Engine(
            str(data),
            sessions=WORKERS + 2,
            checkpoint_pause_ms=settings.checkpoint_pause_ms,
            node=settings.node,
            partition=settings.partition,
            identity_key=keys.identity,
            hold_out_key=keys.hold_out,
        )
        now = read_live(data).now
        live = {"program": now.program, "catalogue": now.catalogue, "members": now.members}
        folder = snapshot_directory(data)
        paths = [str(folder / snapshot_name(kind, found or b"")) for kind, found in live.items()]
        self._engine.activate(*paths)

    async def quote(self, raw: bytes) -> bytes:
        """Answer a quote; it is shorter than a way to another thread and back."""
        return self._call("QuoteBasket", raw)

    async def commit(self, raw: bytes) -> bytes:
        """Answer a commit when it is durable."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._call, "CommitTransaction", raw)

    def _call(self, name: str, raw: bytes) -> bytes:
        status, answer = self._engine.call(METHODS[f"CheckoutService.{name}"], raw)
        if not isinstance(answer, bytes):
            raise RuntimeError(f"status {status} at {answer}")
        return answer


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, behind: Database | OurEngine) -> None:
        async def empty(request: bytes, context: object) -> bytes:
            return HEALTH_OK

        async def quote(request: bytes, context: object) -> bytes:
            return await behind.quote(request)

        async def commit(request: bytes, context: object) -> bytes:
            return await behind.commit(request)

        named = {"empty": empty, "quote": quote, "commit": commit}
        self._handlers: dict[str, Any] = {
            path: grpc.unary_unary_rpc_method_handler(named[name]) for path, name in PATHS.items()
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        return self._handlers.get(handler_call_details.method)


async def serve(address: str, behind: Database | OurEngine) -> None:
    """Serve until standard input ends; says "serving" when calls are answered."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((_Handlers(behind),))
    server.add_insecure_port(address)
    await server.start()
    print("serving", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(None)


def main() -> None:
    """Serve what the command line names."""
    address, kind, path = sys.argv[1:]
    behind: Database | OurEngine
    if kind == "engine":
        behind = OurEngine(Path(path))
    else:
        assert kind in ("postgres", "redis")
        behind = Database(Address("postgres" if kind == "postgres" else "redis", path))
    asyncio.run(serve(address, behind))


if __name__ == "__main__":
    main()
