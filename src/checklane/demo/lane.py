"""One lane of the replay: what a till does with one basket after the other, over gRPC.

A lane identifies the member, quotes the basket as it grows, and commits it. Now and then, by a draw
that the seed and the basket alone decide, it voids the sale or takes a part of it back. A change
that gets no answer is sent again under its key until the server is there again: what comes back is
then the first durable answer, byte for byte.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, TypeVar

import grpc
import numpy as np
from hdrh.histogram import HdrHistogram

from checklane.demo.data import (
    KIND_FUEL,
    KIND_GIFT_CARD,
    KIND_OPAQUE,
    KIND_SALE,
    UTC_OFFSET_MINUTES,
)
from checklane.demo.feeds import card_number, store_id
from checklane.demo.program import PURSES
from checklane.errors import from_rpc_error
from checklane.v1 import basket_pb2, checkout_pb2, common_pb2, decision_pb2

SERVICE = "checklane.v1.CheckoutService"
METHODS = ("identify", "quote", "commit", "void", "return")
#: Latencies from one microsecond to a minute, in three significant digits.
LATENCY_MAX_US = 60_000_000
LATENCY_DIGITS = 3
#: One sale in so many is voided, and one in so many has a part returned.
VOID_PER_MILLE = 10
RETURN_PER_MILLE = 20
CALL_TIMEOUT_S = 20.0
PAUSE_MIN_S = 0.05
PAUSE_MAX_S = 0.5
#: After these codes nothing is known of the first try, so that the same key is sent again.
RETRY_CODES = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.UNKNOWN,
    }
)
CHANNEL_OPTIONS = (
    # A lane has a connection of its own, and looks for a server that was killed twice a second.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
    # The lane tries again by itself and counts it.
    ("grpc.enable_retries", 0),
)

ACK_SALE, ACK_VOID, ACK_RETURN = 1, 2, 3
#: One acknowledged change: what the answer said of money and points, and a digest of its bytes.
ACK = np.dtype(
    [
        ("lsn", "<i8"),
        ("digest", "<u8"),
        ("member", "<u8"),
        ("group", "<u8"),
        ("household", "<i8"),
        ("gross_minor", "<i8"),
        ("discount_minor", "<i8"),
        ("due_minor", "<i8"),
        ("points", "<i8", (len(PURSES),)),
        ("kind", "<i4"),
        ("is_exact", "<i4"),
        ("store", "<i4"),
        ("business_date", "<i4"),
    ]
)

Message = TypeVar("Message")
Call = Callable[..., bytes]


class RefusedError(Exception):
    """The service refused a call; nothing of it was entered."""


class UnansweredError(Exception):
    """A call got no answer for as long as the lane was ready to try."""


@dataclass(frozen=True)
class Manner:
    """How the lanes work.

    Attributes
    ----------
    address : str
        Host and port of the server.
    seed : int
        Decides which sales are voided or returned.
    every_scan : bool
        True: a quote after each line. False: after a third, two thirds and all of the lines.
    patience_s : float
        How long a lane tries to get one answer.
    """

    address: str
    seed: int
    every_scan: bool = False
    patience_s: float = 120.0


@dataclass
class Tally:
    """What a lane has seen. Sums only: nothing in here is a row of the data set."""

    baskets: int = 0
    lines: int = 0
    quotes: int = 0
    commits: int = 0
    voids: int = 0
    returns: int = 0
    retries: int = 0
    commits_like_quote: int = 0
    bounded: int = 0
    opened_accounts: int = 0
    sent_minor: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    offer_times: Counter[str] = field(default_factory=Counter)
    offer_minor: Counter[str] = field(default_factory=Counter)
    offer_points: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, other: "Tally") -> None:
        """Add what another lane has seen."""
        for name, value in vars(other).items():
            if isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)


def new_histogram() -> Any:
    """Return an empty histogram of latencies in microseconds."""
    return HdrHistogram(1, LATENCY_MAX_US, LATENCY_DIGITS)


def quote_sizes(line_count: int, *, every_scan: bool) -> Sequence[int]:
    """Return after how many lines a basket is quoted, ascending; the last is all of them."""
    if every_scan:
        return range(1, line_count + 1)
    return sorted({-(-line_count // 3), -(-2 * line_count // 3), line_count})


def digest(answer: bytes) -> int:
    """Return a number that stands for the bytes of an answer."""
    return int.from_bytes(blake2b(answer, digest_size=8).digest(), "little")


def wire_line(number: int, row: Any) -> basket_pb2.Line:
    """Return one line of the data set as a till sends it.

    Parameters
    ----------
    number : int
        The line's number in its basket, from 1.
    row : record of data.LINE
    """
    line = basket_pb2.Line(
        line_id=number,
        product_code=str(row["product"]),
        code_kind=basket_pb2.PRODUCT_CODE_KIND_SKU,
        count=int(row["count"]),
        amount_minor=int(row["amount_minor"]),
    )
    if row["kind"] == KIND_GIFT_CARD:
        line.kind = basket_pb2.LINE_KIND_GIFT_CARD_LOAD
    if row["kind"] == KIND_OPAQUE:
        line.opaque = True
    if row["kind"] == KIND_FUEL and row["measure_thousandths"]:
        line.measure.quantity_thousandths = int(row["measure_thousandths"])
        line.measure.unit = basket_pb2.MEASURE_UNIT_GALLON
    return line


class Lane:
    """One lane with its connection, its receipt numbers and its tally. One thread at a time.

    Parameters
    ----------
    number : int
        From 0; also names the till.
    manner : Manner
    """

    def __init__(self, number: int, manner: Manner) -> None:
        self.till = f"lane-{number:02d}"
        self.manner = manner
        self.tally = Tally()
        self.histograms = {method: new_histogram() for method in METHODS}
        self.acks: list[tuple[Any, ...]] = []
        self._sequence = 0
        self._channel = grpc.insecure_channel(manner.address, options=CHANNEL_OPTIONS)
        names = ("IdentifyMember", "QuoteBasket", "CommitTransaction", "VoidTransaction")
        paths = dict(zip(METHODS, (*names, "ReturnItems"), strict=True))
        # Bytes in and out: the digest of an answer is of the bytes that came.
        self._calls: dict[str, Call] = {
            method: self._channel.unary_unary(f"/{SERVICE}/{name}")
            for method, name in paths.items()
        }

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def serve(self, basket: Any, rows: Any) -> None:
        """Take one basket through the till.

        Parameters
        ----------
        basket : record of data.BASKET
        rows : array of data.LINE

        Raises
        ------
        UnansweredError
            The server was away for longer than the lane was ready to wait.
        """
        self.tally.baskets += 1
        self.tally.lines += len(rows)
        request = checkout_pb2.QuoteBasketRequest(basket=self._open(basket))
        try:
            self._identify(request.basket)
            shown = self._quote(request, rows)
            receipt = self._commit(request.basket, basket, shown)
            self._change_mind(receipt, basket, rows)
        except RefusedError as refusal:
            self.tally.refusals[str(refusal)] += 1

    def _open(self, basket: Any) -> basket_pb2.Basket:
        card = common_pb2.Identifier(
            kind=common_pb2.IDENTIFIER_KIND_CARD, value=card_number(int(basket["household"]))
        )
        return basket_pb2.Basket(
            store_id=store_id(int(basket["store"])),
            till_id=self.till,
            identifiers=[card],
            opened_time_unix_ms=int(basket["opened_unix_ms"]),
            utc_offset_minutes=UTC_OFFSET_MINUTES,
            business_date=int(basket["business_date"]),
        )

    def _identify(self, basket: basket_pb2.Basket) -> None:
        request = checkout_pb2.IdentifyMemberRequest(
            context=self._context(basket.store_id),
            identifiers=basket.identifiers,
            opened_time_unix_ms=basket.opened_time_unix_ms,
            utc_offset_minutes=UTC_OFFSET_MINUTES,
        )
        answer = checkout_pb2.IdentifyMemberResponse.FromString(self._call("identify", request))
        if answer.members[0].result == decision_pb2.IDENTIFY_RESULT_PROVISIONAL_NEW:
            self.tally.opened_accounts += 1

    def _quote(self, request: checkout_pb2.QuoteBasketRequest, rows: Any) -> tuple[int, ...]:
        """Quote the basket as it grows; return the figures that the customer saw last."""
        answer = b""
        sent = 0
        for size in quote_sizes(len(rows), every_scan=self.manner.every_scan):
            lines = [wire_line(sent + at + 1, row) for at, row in enumerate(rows[sent:size])]
            request.basket.lines.extend(lines)
            sent = size
            answer = self._call("quote", request)
            self.tally.quotes += 1
        return figures(checkout_pb2.QuoteBasketResponse.FromString(answer).decision)

    def _commit(
        self, content: basket_pb2.Basket, basket: Any, shown: tuple[int, ...]
    ) -> common_pb2.ReceiptId:
        request = checkout_pb2.CommitTransactionRequest(
            context=self._context(content.store_id, f"sale-{basket['basket']}"),
            receipt=self._next_receipt(content.store_id, int(basket["business_date"])),
            basket=content,
            completed_time_unix_ms=content.opened_time_unix_ms,
        )
        raw = self._call("commit", request)
        answer = checkout_pb2.CommitTransactionResponse.FromString(raw)
        decision = answer.decision
        self.tally.commits += 1
        self.tally.sent_minor += sum(line.amount_minor for line in content.lines)
        self.tally.commits_like_quote += figures(decision) == shown
        is_exact = decision.optimality.kind == decision_pb2.OPTIMALITY_KIND_EXACT
        self.tally.bounded += not is_exact
        for offer in decision.applied_offers:
            self.tally.offer_times[offer.offer_id] += offer.times
            self.tally.offer_minor[offer.offer_id] += offer.discount_minor
        for earned in decision.earned:
            self.tally.offer_points[earned.purse_id, earned.offer_id] += earned.points
        member = decision.members[0]
        self.acks.append(
            (
                answer.posting.lsn,
                digest(raw),
                member.member_number,
                member.group_number,
                int(basket["household"]),
                decision.totals.gross_minor,
                decision.totals.discount_minor,
                decision.totals.due_minor,
                sum_points(decision.earned),
                ACK_SALE,
                is_exact,
                int(basket["store"]),
                int(basket["business_date"]),
            )
        )
        return request.receipt

    def _change_mind(self, receipt: common_pb2.ReceiptId, basket: Any, rows: Any) -> None:
        """Void some sales and return parts of some others."""
        draw = random.Random(f"{self.manner.seed}:{basket['basket']}")
        chance = draw.randrange(1000)
        if chance < VOID_PER_MILLE:
            request = checkout_pb2.VoidTransactionRequest(
                context=self._context(receipt.store_id, f"void-{basket['basket']}"),
                original_receipt=receipt,
                reason="demo",
            )
            raw = self._call("void", request)
            voided = checkout_pb2.VoidTransactionResponse.FromString(raw)
            self.tally.voids += 1
            self._acknowledge_reversal(raw, voided, ACK_VOID)
        elif chance < VOID_PER_MILLE + RETURN_PER_MILLE:
            goods = [at for at, row in enumerate(rows) if row["kind"] == KIND_SALE]
            if goods:
                chosen = sorted(draw.sample(goods, draw.randint(1, -(-len(goods) // 3))))
                lines = [
                    checkout_pb2.ReturnLine(
                        line_id=at + 1, count=draw.randint(1, int(rows[at]["count"]))
                    )
                    for at in chosen
                ]
                self._return(receipt, basket, lines)

    def _return(
        self,
        receipt: common_pb2.ReceiptId,
        basket: Any,
        lines: list[checkout_pb2.ReturnLine],
    ) -> None:
        request = checkout_pb2.ReturnItemsRequest(
            context=self._context(receipt.store_id, f"return-{basket['basket']}"),
            original_receipt=receipt,
            receipt=self._next_receipt(receipt.store_id, receipt.business_date),
            lines=lines,
        )
        raw = self._call("return", request)
        returned = checkout_pb2.ReturnItemsResponse.FromString(raw)
        self.tally.returns += 1
        self._acknowledge_reversal(raw, returned, ACK_RETURN)

    def _acknowledge_reversal(self, raw: bytes, answer: Any, kind: int) -> None:
        """Note a void or return; it belongs to the member of the sale just before it."""
        _, _, member, group, household, *_, store, business_date = self.acks[-1]
        reversal = answer.reversal
        gross = sum(line.gross_minor for line in reversal.lines)
        discount = sum(line.discount_minor for line in reversal.lines)
        self.acks.append(
            (
                answer.posting.lsn,
                digest(raw),
                member,
                group,
                household,
                -gross,
                -discount,
                -reversal.refund_minor,
                sum_points(reversal.points),
                kind,
                True,
                store,
                business_date,
            )
        )

    def _context(self, store: str, key: str = "") -> common_pb2.RequestContext:
        return common_pb2.RequestContext(store_id=store, till_id=self.till, idempotency_key=key)

    def _next_receipt(self, store: str, date: int) -> common_pb2.ReceiptId:
        self._sequence += 1
        return common_pb2.ReceiptId(
            store_id=store, business_date=date, till_id=self.till, sequence=self._sequence
        )

    def _call(self, method: str, request: Any) -> bytes:
        """Return the bytes of an answer, sending the same bytes until one comes."""
        message = request.SerializeToString()
        give_up_s = time.monotonic() + self.manner.patience_s
        pause_s = PAUSE_MIN_S
        while True:
            begin_ns = time.perf_counter_ns()
            try:
                answer = self._calls[method](message, timeout=CALL_TIMEOUT_S)
            except grpc.RpcError as failure:
                told = from_rpc_error(failure)
                if failure.code() not in RETRY_CODES or told.reason in CEILINGS:
                    raise RefusedError(f"{method}: {told.reason or told}") from None
                if time.monotonic() > give_up_s:
                    raise UnansweredError(f"{method}: {told}") from None
                self.tally.retries += 1
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)
            else:
                elapsed_us = (time.perf_counter_ns() - begin_ns) // 1000
                self.histograms[method].record_value(min(max(elapsed_us, 1), LATENCY_MAX_US))
                return answer


#: Refusals that trying again does not mend, though their code is RESOURCE_EXHAUSTED.
CEILINGS = frozenset({"CANDIDATES_CEILING", "RECORD_CEILING", "REPLY_TOO_LARGE", "DISK_FULL"})


def figures(decision: decision_pb2.Decision) -> tuple[int, ...]:
    """Return what a customer sees of a decision: discount, due and points by purse."""
    totals = decision.totals
    return (totals.discount_minor, totals.due_minor, *sum_points(decision.earned))


def sum_points(earned: Sequence[decision_pb2.EarnedPoints]) -> tuple[int, ...]:
    """Return the points by purse, in the order of `PURSES`."""
    sums = dict.fromkeys(PURSES, 0)
    for item in earned:
        sums[item.purse_id] += item.points
    return tuple(sums.values())
