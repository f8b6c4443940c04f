"""A lane that goes on while the service is away, and enters what it did when it is back.

A finished sale is written to the spool first and sent then, so that neither a lost answer nor a
crash of the till loses it: what the spool has is sent again under its key, and is entered once.
While the service can not be reached sales only go to the spool, without waiting for anything. A
thread beside tries to upload them, the oldest first and one at a time, and from its first answer on
live calls are made again, which wait for no backlog.

What a lane may promise meanwhile is its stand-in rule. Members earn: the service judges that later.
Whether they may spend points that nobody can look up is for the retailer to say.
"""

import contextlib
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import grpc

from checklane.client.basket import Basket, Identifier
from checklane.client.lane import CHANNEL_OPTIONS, SERVICE, Lane
from checklane.client.requests import Call
from checklane.client.results import ClaimResult, Decision, Receipt, Total, VoidResult
from checklane.client.retry import is_retryable
from checklane.client.spool import Spool
from checklane.client.stream import error_of
from checklane.errors import ChecklaneError, SpoolError, UnavailableError, from_rpc_error
from checklane.v1 import basket_pb2, checkout_pb2

__all__ = ["OfflineLane", "StandIn", "Uploaded", "upload"]

ResultT = TypeVar("ResultT")

#: How long a lane that is closed waits for the answer to the item under way.
CLOSE_WITHIN_S = 5.0
#: What is refused now and may be entered later without anybody changing the item.
LATER = frozenset({"PROGRAM_MISSING", "DISK_FULL", "IO_FAILED", "OUT_OF_MEMORY", "JOURNAL_DAMAGED"})


@dataclass(frozen=True, slots=True)
class StandIn:
    """What a lane may do by itself while the service can not be reached.

    Attributes
    ----------
    redeem_points_max : int
        Points that one card may spend of one purse until the service is back, all sales that wait
        in the spool together. 0: members earn only.
    """

    redeem_points_max: int = 0


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What one pass over a spool has come to.

    Attributes
    ----------
    entered : int
        Items that the service has now.
    refused : int
        Items that it refused for good; `Spool.list_refused` has them.
    error : ChecklaneError or None
        What ended the pass before the spool was empty.
    """

    entered: int
    refused: int
    error: ChecklaneError | None


def upload(
    spool: Spool,
    channel: grpc.Channel,
    *,
    is_live: Callable[[int], bool] = lambda number: False,
    on_answer: Callable[[int], None] = lambda number: None,
) -> Uploaded:
    """Send what waits in a spool, oldest first, each when the one before is answered.

    Parameters
    ----------
    spool : Spool
    channel : grpc.Channel
        To the service, at either of its ports. One of its own, so that live calls share nothing
        with it.
    is_live : callable
        Tells which items are passed over, by their number.
    on_answer : callable
        Called with the number of each item that was answered.
    """
    outgoing: queue.SimpleQueue[checkout_pb2.UploadTransactionsRequest | None] = queue.SimpleQueue()
    call = channel.stream_stream(
        SERVICE + "UploadTransactions",
        request_serializer=checkout_pb2.UploadTransactionsRequest.SerializeToString,
        response_deserializer=checkout_pb2.UploadTransactionsResponse.FromString,
    )(iter(outgoing.get, None))
    counts: Counter[str] = Counter()
    error: ChecklaneError | None = None
    try:
        for number in _numbers(spool, is_live):
            outgoing.put(spool.read(number))
            error = _settle(spool, number, next(call), counts)
            if error is not None:
                break
            on_answer(number)
    except grpc.RpcError as failure:
        error = from_rpc_error(failure)
    except StopIteration:
        error = UnavailableError("", "the service ended the upload", "", 14)
    finally:
        # Ends the thread of the transport that waits for more to send.
        outgoing.put(None)
        call.cancel()
    return Uploaded(counts["entered"], counts["refused"], error)


def _numbers(spool: Spool, is_live: Callable[[int], bool]) -> Iterator[int]:
    number = spool.waiting()
    while number is not None:
        if not is_live(number):
            yield number
        number = spool.waiting(number)


def _settle(
    spool: Spool, number: int, answer: checkout_pb2.UploadTransactionsResponse, counts: Counter[str]
) -> ChecklaneError | None:
    """Note what became of an item; returns what the pass has to end with."""
    if answer.WhichOneof("result") != "refusal":
        spool.done(number)
        counts["entered"] += 1
        return None
    error = error_of(answer.refusal)
    if is_retryable(error) or error.reason in LATER:
        return error
    spool.refused(number, answer.refusal)
    counts["refused"] += 1
    return None


class OfflineLane:
    """A lane with a spool. May be shared by threads.

    Parameters
    ----------
    lane : Lane
        Calls while the service is there; closed by its owner. Its policy says how long a sale waits
        for the service before it is left to the spool: once an outage, for after that no sale waits
        until the service has answered an upload.
    spool : Spool
        Closed by its owner, after this.
    stand_in : StandIn, optional
    retry_s : float
        How often the service is tried while it is away.

    Notes
    -----
    Sales of one till are entered in the order in which they were made, but for those that are made
    while the backlog drains: these go first. A claim waits for the backlog.
    """

    def __init__(
        self,
        lane: Lane,
        spool: Spool,
        *,
        stand_in: StandIn | None = None,
        retry_s: float = 1.0,
    ) -> None:
        self.lane = lane
        self.spool = spool
        self._stand_in = stand_in or StandIn()
        self._retry_s = retry_s
        self._changed = threading.Condition()
        self._is_away = False
        self._is_closed = False
        self._live: set[int] = set()
        self._spent: dict[int, Counter[tuple[str, str]]] = {}
        for number in _numbers(spool, lambda number: False):
            self._note_spent(number, spool.read(number).commit_transaction.basket)
        self._channel = grpc.insecure_channel(lane.address, options=CHANNEL_OPTIONS)
        self._drainer = threading.Thread(target=self._drain, name="spool-drain", daemon=True)
        self._drainer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Upload no more; what waits stays in the spool."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._drainer.join(CLOSE_WITHIN_S)
        self._channel.close()
        self._drainer.join()

    @property
    def is_away(self) -> bool:
        """Whether the service could not be reached when it was last tried."""
        with self._changed:
            return self._is_away

    def wait_until_entered(self, timeout_s: float) -> bool:
        """Wait until nothing waits in the spool; False when the time is over first."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.spool) == 0, timeout_s)

    def check(self, basket: Basket) -> None:
        """Ask at tender, before money is taken, whether the lane may sell this while it is alone.

        Raises
        ------
        SpoolError
            STAND_IN_LIMIT: the service can not be reached, and the basket is to be paid with more
            points than the stand-in rule allows.
        """
        if self.is_away:
            self._check_spent(basket.message)

    def sell(
        self,
        basket: Basket,
        *,
        sequence: int,
        business_date: int | None = None,
        key: str | None = None,
        shown: Decision | None = None,
        total: Total | None = None,
    ) -> Receipt | None:
        """Enter a finished sale: now, or when the service is back.

        Parameters
        ----------
        basket, sequence, business_date, key, shown, total
            As for :meth:`Lane.commit` with `paid`.

        Returns
        -------
        Receipt or None
            None: the sale is on this lane's disk and will be entered.

        Raises
        ------
        SpoolError
            STAND_IN_LIMIT as `check`, SPOOL_FULL, SPOOL_UNWRITABLE. The sale is not kept.
        ChecklaneError
            The service refuses the sale for its form. It is not kept.
        """
        self.check(basket)
        call = self.lane.requests.commit(
            basket,
            sequence=sequence,
            date=business_date,
            key=key,
            shown=shown,
            total=total,
            paid=True,
            refuse_on_change=False,
        )
        call.request.completed_time_unix_ms = self.lane.requests.clock.unix_ms()
        item = checkout_pb2.UploadTransactionsRequest(commit_transaction=call.request)
        return self._enter(call, item)

    def void(
        self,
        *,
        sequence: int | None = None,
        business_date: int | None = None,
        original_key: str = "",
        key: str | None = None,
        reason: str = "",
    ) -> VoidResult | None:
        """Undo a sale whole, as :meth:`Lane.void`: now, or when the service is back (None)."""
        call = self.lane.requests.void(
            sequence=sequence, date=business_date, original_key=original_key, key=key, reason=reason
        )
        call.request.completed_time_unix_ms = self.lane.requests.clock.unix_ms()
        item = checkout_pb2.UploadTransactionsRequest(void_transaction=call.request)
        return self._enter(call, item)

    def claim(
        self,
        *identifiers: Identifier | str,
        sequence: int,
        business_date: int,
        store: str = "",
        till: str = "",
        key: str | None = None,
    ) -> ClaimResult | None:
        """Attach a member to a sale that had none, as :meth:`Lane.claim`: now, or later (None).

        While work of this lane waits in the spool, the sale may be among it: the claim then waits
        behind it.
        """
        requests = self.lane.requests
        call = requests.claim(
            requests.receipt(sequence, business_date, store, till), identifiers, key=key
        )
        call.request.claimed_time_unix_ms = requests.clock.unix_ms()
        item = checkout_pb2.UploadTransactionsRequest(claim_transaction=call.request)
        return self._enter(call, item, is_behind=True)

    def _enter(
        self,
        call: Call[ResultT],
        item: checkout_pb2.UploadTransactionsRequest,
        *,
        is_behind: bool = False,
    ) -> ResultT | None:
        """Keep the work, then try it; what is not answered is left to the drainer.

        What comes `is_behind` others is left to it too while any of them waits.
        """
        with self._changed:
            number = self.spool.append(item)
            self._note_spent(number, item.commit_transaction.basket)
            if self._is_away or (is_behind and self.spool.waiting() != number):
                self._changed.notify_all()
                return None
            self._live.add(number)
        try:
            answer = self.lane.send(call)
        except ChecklaneError as error:
            if not (is_retryable(error) or error.reason in LATER):
                self._settled(number)
                raise
            with self._changed:
                self._is_away = True
            return None
        else:
            self._settled(number)
            return answer
        finally:
            with self._changed:
                self._live.discard(number)
                self._changed.notify_all()

    def _settled(self, number: int) -> None:
        self.spool.done(number)
        with self._changed:
            self._spent.pop(number, None)

    # ---- the stand-in rule

    def _note_spent(self, number: int, basket: basket_pb2.Basket) -> None:
        spent = _spent_points(basket)
        if spent:
            self._spent[number] = spent

    def _check_spent(self, basket: basket_pb2.Basket) -> None:
        most = self._stand_in.redeem_points_max
        for index, redemption in enumerate(basket.redemptions):
            if not redemption.HasField("points"):
                place = f"basket.redemptions[{index}].points"
                words = "while the service is away points are spent by their number only: say it"
                raise SpoolError("STAND_IN_LIMIT", f"{words}, at {place}", place)
        with self._changed:
            before = sum(self._spent.values(), Counter())
        for (card, purse), points in _spent_points(basket).items():
            if before[card, purse] + points > most:
                words = f"while the service is away a card may spend {most} points of a purse"
                raise SpoolError("STAND_IN_LIMIT", f"{words}: take other money", "basket")

    # ---- the backlog

    def _drain(self) -> None:
        """Upload what waits, as often as there is something; the drainer's thread."""
        while self._has_work():
            done = upload(
                self.spool, self._channel, is_live=self._is_live, on_answer=self._answered
            )
            with self._changed:
                self._changed.notify_all()
                if done.error is not None and not self._is_closed:
                    self._is_away = self._is_away or is_retryable(done.error)
                    self._changed.wait_for(lambda: self._is_closed, self._retry_s)

    def _has_work(self) -> bool:
        """Wait for work; False when the lane is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._is_closed or self._next() is not None)
            return not self._is_closed

    def _next(self) -> int | None:
        with contextlib.suppress(StopIteration):
            return next(_numbers(self.spool, self._live.__contains__))
        return None

    def _is_live(self, number: int) -> bool:
        """Tell whether an item is not the drainer's: nothing is, once the lane is closed."""
        with self._changed:
            return self._is_closed or number in self._live

    def _answered(self, number: int) -> None:
        """Note that the service is there: live calls may be made again."""
        with self._changed:
            self._is_away = False
            self._spent.pop(number, None)
            self._changed.notify_all()


def _spent_points(basket: basket_pb2.Basket) -> Counter[tuple[str, str]]:
    """Return the points that a basket is to be paid with, by card and purse or offer."""
    card = next((found.value for found in basket.identifiers), "")
    spent: Counter[tuple[str, str]] = Counter()
    for redemption in basket.redemptions:
        spent[card, redemption.purse_id or redemption.offer_id] += redemption.points
    return spent
