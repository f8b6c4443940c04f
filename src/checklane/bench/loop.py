"""A closed loop: the next call leaves when the last one was answered. In process and over gRPC.

Only the call itself is timed. Requests are made and answers are checked in between, so rates are
what this generator reaches, and latencies are not those of a queue.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from threading import Thread

import numpy as np

from checklane.bench.figures import BenchError, Times, plain_decision
from checklane.bench.world import BUSINESS_DATE, Basket
from checklane.v1 import checkout_pb2, common_pb2

#: Raises on a refusal; answers bytes.
Send = Callable[[bytes], bytes]
#: Receipts of one lane never reach the numbers of the next one.
RECEIPTS_A_LANE = 10**9
WARM_UP_CALLS = 20
#: Baskets of one lane. Lanes share no member, so that no commit has to be decided again.
GOODS_A_LANE = 4


@dataclass(frozen=True)
class Goods:
    """One basket to send: its quote, the answer that is right, and its commit without a key.

    Attributes
    ----------
    quote, answer, commit : bytes
    store : str
    discount_minor : int
        What a commit must give.
    """

    quote: bytes
    answer: bytes
    commit: bytes
    store: str
    discount_minor: int


def make_goods(baskets: Sequence[Basket], answers: Sequence[bytes]) -> list[Goods]:
    """Return baskets with the answers to their quotes, ready to send."""
    return [
        Goods(
            quote=basket.quote(),
            answer=answer,
            commit=checkout_pb2.CommitTransactionRequest(
                basket=basket.message, paid=True
            ).SerializeToString(),
            store=basket.message.store_id,
            discount_minor=plain_decision(answer).totals.discount_minor,
        )
        for basket, answer in zip(baskets, answers, strict=True)
    ]


def share_goods(goods: Sequence[Goods], lane: int, lanes: int) -> list[Goods]:
    """Return the goods of one of `lanes` lanes."""
    return list(goods[lane::lanes])


@dataclass
class Lane:
    """What one caller sends, and what it saw.

    Attributes
    ----------
    kind : str
        "quote", "commit" or "empty".
    goods : list of Goods
        By turns.
    number : int
        Unique among all lanes of a data directory: keys and receipts are made from it.
    seconds : float
    times_ns : list of int
    faults : list of str
    """

    kind: str
    goods: list[Goods]
    number: int
    seconds: float
    times_ns: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    begin_s: float = 0.0
    end_s: float = 0.0

    def warm(self, send: Send) -> None:
        """Open the way: connection, caches. `send` quotes, also for a lane of commits."""
        for goods in itertools.islice(itertools.cycle(self.goods), WARM_UP_CALLS):
            send(b"" if self.kind == "empty" else goods.quote)

    def run(self, send: Send) -> None:
        """Call until the time is over; a wrong answer or a refusal is kept as a fault."""
        clock = time.perf_counter_ns
        self.begin_s = time.monotonic()
        end_ns = clock() + int(self.seconds * 1e9)
        for request, goods in self.requests():
            begin_ns = clock()
            if begin_ns >= end_ns:
                break
            try:
                answer = send(request)
            except Exception as failure:
                self.faults.append(f"{type(failure).__name__}: {failure}")
                break
            self.times_ns.append(clock() - begin_ns)
            if not self._is_right(answer, goods):
                self.faults.append(f"a wrong answer to a {self.kind}")
                break
        self.end_s = time.monotonic()

    def requests(self) -> Iterator[tuple[bytes, Goods]]:
        """Yield requests without end, each with its goods. Every commit has a key of its own."""
        for number in itertools.count(1):
            goods = self.goods[number % len(self.goods)]
            if self.kind == "commit":
                yield goods.commit + self._head(goods, number), goods
            else:
                yield goods.quote if self.kind == "quote" else b"", goods

    def _head(self, goods: Goods, number: int) -> bytes:
        """Return key and receipt. Two messages one after the other are one message."""
        head = checkout_pb2.CommitTransactionRequest(
            context=common_pb2.RequestContext(idempotency_key=f"{self.number}-{number}"),
            receipt=common_pb2.ReceiptId(
                store_id=goods.store,
                business_date=BUSINESS_DATE,
                till_id="1",
                sequence=self.number * RECEIPTS_A_LANE + number,
            ),
        )
        return head.SerializeToString()

    def _is_right(self, answer: bytes, goods: Goods) -> bool:
        if self.kind == "quote":
            return answer == goods.answer
        if self.kind == "empty":
            return answer != b""
        posted = checkout_pb2.CommitTransactionResponse.FromString(answer)
        return (
            posted.outcome == checkout_pb2.COMMIT_OUTCOME_POSTED
            and posted.decision.totals.discount_minor == goods.discount_minor
        )


def run_lanes(lanes: Sequence[Lane], sends: Sequence[Send]) -> None:
    """Run each lane on a thread of its own."""
    threads = [
        Thread(target=lane.run, args=(send,), daemon=True)
        for lane, send in zip(lanes, sends, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def gather(lanes: Sequence[Lane]) -> tuple[Times, float]:
    """Return all latencies, and the seconds from the first call to the last answer.

    Raises
    ------
    BenchError
        A call was refused or answered wrongly, or a lane broke off.
    """
    faults = [fault for lane in lanes for fault in lane.faults]
    faults += ["it ended early" for lane in lanes if lane.end_s == 0.0 and not lane.faults]
    if faults:
        raise BenchError(f"{len(faults)} of {len(lanes)} lanes failed; the first: {faults[0]}")
    times = np.array([time_ns for lane in lanes for time_ns in lane.times_ns], dtype=np.int64)
    return times, max(lane.end_s for lane in lanes) - min(lane.begin_s for lane in lanes)
