"""What went over the wire between a lane and the service, and what the journal has."""

import itertools
import threading
from collections.abc import Container, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from checklane.errors import from_rpc_error
from checklane.v1 import checkout_pb2, ledger_pb2

__all__ = [
    "ANSWERED",
    "Evidence",
    "Exchange",
    "HELD",
    "Journal",
    "LOST",
    "METHODS",
    "Record",
    "TURNED_AWAY",
    "content_of",
]

#: What became of a call at the door: its answer went out; was thrown away; was kept until the lane
#: waited no longer; or the service was never asked.
ANSWERED, LOST, HELD, TURNED_AWAY = "answered", "lost", "held", "turned away"

_SERVICE = checkout_pb2.DESCRIPTOR.services_by_name["CheckoutService"]
#: Every method of the checkout service: its request and response class.
METHODS: dict[str, tuple[type[Message], type[Message]]] = {
    method.name: (GetMessageClass(method.input_type), GetMessageClass(method.output_type))
    for method in _SERVICE.methods
}
#: Fields of a context that are no part of what a key is bound to.
_FREE_FIELDS = ("correlation_id", "attempt", "sent_time_unix_ms")
_JOURNAL_WITHIN_S = 60


@dataclass(slots=True)
class Exchange:
    """One call, or one item of a stream.

    Attributes
    ----------
    method : str
        Of CheckoutService.
    request : message
    stream : str
        The stream that carried it; empty for a call of its own.
    has_deadline : bool
        Whether the lane had said how long it waits.
    answer : message or None
        What the service answered, whether or not the lane got it.
    refusal : str
        The name of what was refused; the name of the gRPC code when it has none.
    fate : str
        ANSWERED, LOST, HELD or TURNED_AWAY.
    """

    method: str
    request: Any
    stream: str = ""
    has_deadline: bool = True
    answer: Any = None
    refusal: str = ""
    fate: str = ANSWERED

    @property
    def key(self) -> str:
        """The idempotency key; empty for a read."""
        return str(self.request.context.idempotency_key)

    @property
    def till(self) -> str:
        """The till that sent it."""
        context = self.request.context
        basket = getattr(self.request, "basket", None)
        return str(context.till_id or (basket.till_id if basket is not None else ""))

    @property
    def receipt(self) -> tuple[str, int, str, int] | None:
        """Store, date, till and number of the receipt that it enters; None: it enters none."""
        if self.method not in ("CommitTransaction", "ReturnItems"):
            return None
        receipt = self.request.receipt
        return (receipt.store_id, receipt.business_date, receipt.till_id, receipt.sequence)

    @property
    def is_seen(self) -> bool:
        """Whether the lane got an answer that is no refusal."""
        return self.fate == ANSWERED and self.answer is not None and not self.refusal


class Record:
    """The calls of a step, in the order in which they came. May be shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._exchanges: list[Exchange] = []

    def note(self, exchange: Exchange) -> Exchange:
        """Note a call as it comes."""
        with self._lock:
            self._exchanges.append(exchange)
        return exchange

    def take(self) -> list[Exchange]:
        """Return what was noted since it was last taken."""
        with self._lock:
            taken, self._exchanges = self._exchanges, []
        return taken


@dataclass(frozen=True)
class Evidence:
    """What a step is judged by.

    Attributes
    ----------
    exchanges : list of Exchange
    entries : list of LedgerEntry or None
        What the step wrote to the journal. None: the journal can not be read.
    remarks : dict of str to object
        What our own lane saw that does not show on the wire; empty for the lanes of others.
    """

    exchanges: list[Exchange]
    entries: list[ledger_pb2.LedgerEntry] | None
    remarks: dict[str, Any] = field(default_factory=dict)

    def of(self, *methods: str) -> list[Exchange]:
        """Return the calls of some methods."""
        return [found for found in self.exchanges if found.method in methods]

    def entered(self, kind: str) -> list[ledger_pb2.LedgerEntry]:
        """Return the journal's entries of a kind such as "SALE"; none when it can not be read."""
        number = ledger_pb2.LedgerEntryKind.Value(f"LEDGER_ENTRY_KIND_{kind}")
        return [entry for entry in self.entries or () if entry.kind == number]

    def tries(self) -> Iterator[tuple[tuple[str, int, str, int], list[Exchange]]]:
        """Yield each receipt with the calls that tried to enter it."""
        with_receipt = [found for found in self.exchanges if found.receipt is not None]
        for receipt in dict.fromkeys(found.receipt for found in with_receipt):
            assert receipt is not None
            yield receipt, [found for found in with_receipt if found.receipt == receipt]


def content_of(request: Any) -> bytes:
    """Return the bytes of a request that its key is bound to."""
    copy = type(request)()
    copy.CopyFrom(request)
    for name in _FREE_FIELDS:
        copy.context.ClearField(name)
    return bytes(copy.SerializeToString(deterministic=True))


class Journal:
    """Reads what is new in a service's journal.

    Parameters
    ----------
    address : str
        The management port.

    Raises
    ------
    ChecklaneError
        It can not be read.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._next_lsn = 0
        pages = self._pages(ledger_pb2.StreamEntriesRequest(entry_limit=1))
        self._next_lsn = max((page.durable_lsn for page in pages), default=0) + 1

    def news(self, tills: Container[str]) -> list[ledger_pb2.LedgerEntry]:
        """Return what some tills entered since this was last asked."""
        pages = self._pages(ledger_pb2.StreamEntriesRequest(from_lsn=self._next_lsn))
        self._next_lsn = max([page.next_lsn for page in pages] + [self._next_lsn])
        found = itertools.chain.from_iterable(page.entries for page in pages)
        return [entry for entry in found if entry.till_id in tills]

    def _pages(
        self, request: ledger_pb2.StreamEntriesRequest
    ) -> list[ledger_pb2.StreamEntriesResponse]:
        with grpc.insecure_channel(self._address) as channel:
            read: Any = channel.unary_stream(
                "/checklane.v1.LedgerService/StreamEntries",
                request_serializer=ledger_pb2.StreamEntriesRequest.SerializeToString,
                response_deserializer=ledger_pb2.StreamEntriesResponse.FromString,
            )
            try:
                return list(read(request, timeout=_JOURNAL_WITHIN_S))
            except grpc.RpcError as failure:
                raise from_rpc_error(failure) from None
