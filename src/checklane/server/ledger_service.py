"""LedgerService: reads the journal, from a position on, and never further than what is durable."""

import threading
from collections.abc import Iterator

import grpc
import structlog
from google.protobuf.message import DecodeError

from checklane._engine import EngineError
from checklane.books.entries import split_entry
from checklane.errors import ChecklaneError, from_status, refuse
from checklane.server.calls import EngineLike, abort, internal
from checklane.server.entries import contract_entry
from checklane.server.open_streams import StreamSlots
from checklane.v1 import ledger_pb2

__all__ = ["LedgerStreams"]

log = structlog.get_logger("checklane.server")

#: Entries and bytes that are read at once: small enough to be sent in one message of 4 MiB even
#: when each entry's bodies are asked for.
PAGE_ENTRIES_MAX = 256
PAGE_BYTES_MAX = 1024 * 1024
#: How often a stream that follows looks for more. The journal tells nobody of a group.
FOLLOW_PAUSE_S = 0.05
#: The kinds that one request may name.
KINDS_MAX = 32


class LedgerStreams:
    """Serves StreamEntries.

    Parameters
    ----------
    engine : EngineLike
    slots : StreamSlots
        Shared with the lane streams: each takes a thread.
    """

    def __init__(self, engine: EngineLike, slots: StreamSlots) -> None:
        self._engine = engine
        self._slots = slots
        self._draining = threading.Event()

    def handle(self, data: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        """Serve one stream; grpcio's handler."""
        self._slots.take(context)
        try:
            request = _parse(data)
            for page in self._pages(request, context):
                yield page.SerializeToString()
        except ChecklaneError as error:
            abort(context, error)
        except Exception as failure:
            if not context.is_active():
                return
            log.exception("stream failed", method="LedgerService.StreamEntries")
            abort(context, internal("LedgerService.StreamEntries", failure))

    def drain(self) -> None:
        """Let streams that follow end."""
        self._draining.set()

    def _pages(
        self, request: ledger_pb2.StreamEntriesRequest, context: grpc.ServicerContext
    ) -> Iterator[ledger_pb2.StreamEntriesResponse]:
        stats = self._engine.stats()
        next_lsn = request.from_lsn or stats.get("first_lsn", 1) or 1
        left = request.entry_limit or 2**63 - 1
        while context.is_active() and not self._draining.is_set():
            page_entries = min(left, PAGE_ENTRIES_MAX)
            entries = self._read(next_lsn, page_entries)
            page = ledger_pb2.StreamEntriesResponse(durable_lsn=self._durable_lsn())
            for sections in map(split_entry, entries):
                next_lsn = int(sections.header["lsn"]) + 1
                entry = contract_entry(
                    sections,
                    include_bodies=request.include_bodies,
                    include_movements=request.include_movements,
                )
                if not request.kinds or entry.kind in request.kinds:
                    page.entries.append(entry)
            left -= len(page.entries)
            page.next_lsn = next_lsn
            if entries or not request.follow:
                yield page
            if left <= 0 or (not entries and not request.follow):
                return
            if not entries:
                self._draining.wait(FOLLOW_PAUSE_S)

    def _durable_lsn(self) -> int:
        return self._engine.stats().get("durable_lsn", 0)

    def _read(self, from_lsn: int, entry_count: int) -> list[bytes]:
        try:
            return self._engine.read_entries(from_lsn, entry_count, PAGE_BYTES_MAX)
        except EngineError as failure:
            raise from_status(failure.status, failure.place or "from_lsn") from None


def _parse(data: bytes) -> ledger_pb2.StreamEntriesRequest:
    request = ledger_pb2.StreamEntriesRequest()
    try:
        request.ParseFromString(data)
    except DecodeError:
        raise refuse("REQUEST_MALFORMED") from None
    if request.from_lsn < 0:
        raise refuse("FIELD_OUT_OF_RANGE", "from_lsn")
    if len(request.kinds) > KINDS_MAX:
        raise refuse("TOO_MANY_ITEMS", "kinds")
    known = set(ledger_pb2.LedgerEntryKind.values())
    for index, kind in enumerate(request.kinds):
        if kind not in known:
            raise refuse("ENUM_UNKNOWN", f"kinds[{index}]")
    if request.entry_limit < 0:
        raise refuse("FIELD_OUT_OF_RANGE", "entry_limit")
    return request
