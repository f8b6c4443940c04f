"""Requests with their right answers: the contract as the generator needs it.

A right answer is what the engine gave in this process for the same bytes. What may differ between
right answers is named here and nowhere else: balances, which commits move; which snapshots were
live; tokens; the steps of the search; where and when a sale was posted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from checklane._engine import METHODS as ENGINE_METHODS
from checklane._engine import Engine
from checklane._generator import masked
from checklane.bench.figures import BenchError, plain_decision
from checklane.bench.load.plan import LevelWords, Method, Request
from checklane.bench.world import BUSINESS_DATE
from checklane.v1 import basket_pb2, checkout_pb2, common_pb2, decision_pb2

#: Bytes to bytes; raises BenchError when refused.
Call = Callable[[str, bytes], bytes]

SERIAL_DIGITS = 20
SERIAL_BYTES = 10
HEALTH_OK = b"\x08\x01"


def _numbers(message: type, *names: str) -> tuple[int, ...]:
    fields = message.DESCRIPTOR.fields_by_name  # type: ignore[attr-defined]
    return tuple(fields[name].number for name in names)


def _levels(answer: type, *kept: str) -> tuple[LevelWords, ...]:
    """Return what of an answer with a decision may differ: all but the decision and `kept`."""
    fields = answer.DESCRIPTOR.fields  # type: ignore[attr-defined]
    dropped = tuple(f.number for f in fields if f.name not in ("decision", *kept))
    (optimality,) = _numbers(decision_pb2.Decision, "optimality")
    varying = _numbers(decision_pb2.Decision, "balances", "basis")
    steps = _numbers(decision_pb2.Optimality, "step_count")
    return ((dropped, _numbers(answer, "decision")[0]), (varying, optimality), (steps, 0))


def _method(name: str, path: str, answer: type, *kept: str) -> Method:
    """Return a method of the checkout service that answers a decision."""
    fields = checkout_pb2.StreamLaneRequest.DESCRIPTOR.fields_by_name
    words = {"QuoteBasket": "quote_basket", "CommitTransaction": "commit_transaction"}
    posting = answer.DESCRIPTOR.fields_by_name.get("posting")  # type: ignore[attr-defined]
    return Method(
        name=name,
        path=f"/checklane.v1.CheckoutService/{path}".encode(),
        stream_field=fields[words.get(path, "total_basket")].number,
        posting_field=posting.number if posting else 0,
        degraded_field=_numbers(decision_pb2.Decision, "degraded_level")[0],
        levels=_levels(answer, *kept),
    )


QUOTE, TOTAL, COMMIT, EMPTY = range(4)
METHODS = (
    _method("quote", "QuoteBasket", checkout_pb2.QuoteBasketResponse),
    _method("total", "TotalBasket", checkout_pb2.TotalBasketResponse),
    _method("commit", "CommitTransaction", checkout_pb2.CommitTransactionResponse, "outcome"),
    Method("empty", b"/grpc.health.v1.Health/Check", is_exact=True),
)


def engine_call(engine: Engine) -> Call:
    """Return what asks an engine in this process."""

    def call(method: str, request: bytes) -> bytes:
        status, answer = engine.call(ENGINE_METHODS[f"CheckoutService.{method}"], request)
        if not isinstance(answer, bytes):
            raise BenchError(f"{method} was refused with status {status} at {answer}")
        return answer

    return call


def empty_request() -> Request:
    """Return a call of the empty method: the standard health check."""
    return Request(b"", EMPTY, HEALTH_OK)


def quote_request(basket: basket_pb2.Basket, call: Call) -> Request:
    """Return a quote with its right answer."""
    body = checkout_pb2.QuoteBasketRequest(basket=basket).SerializeToString(deterministic=True)
    answer = call("QuoteBasket", body)
    return Request(body, QUOTE, masked(METHODS[QUOTE], answer)[0])


def growing_quotes(basket: basket_pb2.Basket, call: Call) -> list[Request]:
    """Return the quotes of a basket as it is scanned: after each line."""
    growing = basket_pb2.Basket()
    growing.CopyFrom(basket)
    del growing.lines[:]
    quotes = []
    for line in basket.lines:
        growing.lines.append(line)
        quotes.append(quote_request(growing, call))
    return quotes


@dataclass(frozen=True)
class Serial:
    """A body with room for a serial number in it."""

    body: bytes
    text_at: int
    number_at: int

    def numbered(self, serial: int) -> bytes:
        """Return the body as the generator sends it."""
        body = bytearray(self.body)
        body[self.text_at : self.text_at + SERIAL_DIGITS] = f"{serial:020d}".encode()
        if self.number_at:
            for at in range(SERIAL_BYTES):
                more = 0x80 if at + 1 < SERIAL_BYTES else 0
                body[self.number_at + at] = serial >> 7 * at & 0x7F | more
        return bytes(body)


def serial_body(message: bytes, receipt: common_pb2.ReceiptId | None) -> Serial:
    """Return a message with a key, and with a receipt's number, that change with every sending.

    Two messages one after the other are one message, so both are simply put behind it. The number
    of the receipt is written by hand: a varint of always ten bytes.
    """
    key = common_pb2.RequestContext(idempotency_key="0" * SERIAL_DIGITS).SerializeToString()
    body = message + b"\x0a" + bytes([len(key)]) + key
    text_at = len(body) - SERIAL_DIGITS
    if receipt is None:
        return Serial(body, text_at, 0)
    head = receipt.SerializeToString() + b"\x20"
    body += b"\x12" + bytes([len(head) + SERIAL_BYTES]) + head
    return Serial(body + bytes(SERIAL_BYTES), text_at, len(body))


def commit_request(basket: basket_pb2.Basket, call: Call, serial: int) -> Request:
    """Return a commit, which is made once in this process to know the right answer.

    Parameters
    ----------
    basket : Basket
        Without limits that a second commit would meet.
    call : callable
    serial : int
        Used by nobody else.
    """
    sent = commit_body(basket)
    answer = call("CommitTransaction", sent.numbered(serial))
    posted = checkout_pb2.CommitTransactionResponse.FromString(answer)
    quoted = call("QuoteBasket", checkout_pb2.QuoteBasketRequest(basket=basket).SerializeToString())
    if (
        posted.outcome != checkout_pb2.COMMIT_OUTCOME_POSTED
        or posted.decision.totals != plain_decision(quoted).totals
    ):
        raise BenchError("a commit in this process was not posted as it had been quoted")
    return expecting(sent, COMMIT, answer)


def commit_body(basket: basket_pb2.Basket) -> Serial:
    """Return the commit of a basket, paid, with room for its serial number."""
    message = checkout_pb2.CommitTransactionRequest(basket=basket, paid=True)
    receipt = common_pb2.ReceiptId(
        store_id=basket.store_id,
        business_date=basket.business_date or BUSINESS_DATE,
        till_id=basket.till_id,
    )
    return serial_body(message.SerializeToString(deterministic=True), receipt)


def total_request(basket: basket_pb2.Basket, call: Call, serial: int) -> Request:
    """Return a total, which is made once in this process to know the right answer."""
    message = checkout_pb2.TotalBasketRequest(basket=basket)
    sent = serial_body(message.SerializeToString(deterministic=True), None)
    return expecting(sent, TOTAL, call("TotalBasket", sent.numbered(serial)))


def expecting(sent: Serial, method: int, answer: bytes) -> Request:
    """Return a request with room for a serial number, and its right answer."""
    expected = masked(METHODS[method], answer)[0]
    return Request(sent.body, method, expected, sent.text_at, sent.number_at)


def script_of(basket: basket_pb2.Basket, call: Call, serial: int) -> Sequence[Request]:
    """Return what a till sends for a basket: a quote after each line, a total, the commit."""
    return [
        *growing_quotes(basket, call),
        total_request(basket, call, serial),
        commit_request(basket, call, serial),
    ]
