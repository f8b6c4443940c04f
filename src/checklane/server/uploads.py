"""UploadTransactions: late and offline work, an answer for each item, in the order sent.

A lane that comes back has a backlog, and live lanes must not feel it. So one item is worked on at a
time, whatever the number of uploads that are open, and each is followed by a rest as long as the
item took: a backlog has at most half of one worker and half of the disk's syncs, and slows down by
itself where live work makes the items slow. Uploads take turns item by item. Of each stream a few
items are read ahead and no more, so a backlog of thousands waits at the lane that has it.

A refused item is answered and the stream goes on. When the service drains the items under way are
answered, and the stream then ends with ENGINE_CLOSED: what is left is sent again.
"""

import threading
from collections import deque
from collections.abc import Iterator

import grpc

from checklane.clock import Clock
from checklane.errors import ChecklaneError, refuse
from checklane.server.calls import Calls, abort
from checklane.server.contract import UPLOAD_METHODS
from checklane.server.lane_stream import StreamSlots, refusal_answer
from checklane.server.wire import check_upload_item, lane_response, read_upload_item
from checklane.v1 import checkout_pb2

__all__ = ["UploadStreams"]

BODY_FIELDS = frozenset(UPLOAD_METHODS)
REFUSAL_FIELD = checkout_pb2.UploadTransactionsResponse.REFUSAL_FIELD_NUMBER
#: Items of one stream that are read ahead of the one that is worked on.
AHEAD_ITEMS_MAX = 4


class UploadStreams:
    """Every open upload of a service.

    Parameters
    ----------
    calls : Calls
    slots : StreamSlots
        Shared with the other streams: each takes a thread.
    clock : Clock
    """

    def __init__(self, calls: Calls, slots: StreamSlots, clock: Clock) -> None:
        self._calls = calls
        self._slots = slots
        self._clock = clock
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        self._open: set[_Upload] = set()
        self._draining = False

    def handle(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Serve one stream; grpcio's handler."""
        self._slots.take(context)
        upload = _Upload()
        with self._lock:
            if self._draining:
                abort(context, refuse("ENGINE_CLOSED"))
            self._open.add(upload)
        if not context.add_callback(lambda: self._forget(upload)):
            self._forget(upload)
        reader = threading.Thread(
            target=upload.read, args=(requests,), name="upload-reader", daemon=True
        )
        reader.start()
        for data in upload.items():
            yield self._answer(data)
        if upload.is_cut_short():
            abort(context, refuse("ENGINE_CLOSED"))

    def drain(self) -> None:
        """Let every stream answer the item under way and end; new ones are refused."""
        with self._lock:
            self._draining = True
            uploads = list(self._open)
        for upload in uploads:
            upload.drain()

    def _forget(self, upload: "_Upload") -> None:
        upload.lose()
        with self._lock:
            self._open.discard(upload)

    def _answer(self, data: bytes) -> bytes:
        """Work on one item when its turn has come, and rest."""
        with self._turn:
            began_s = self._clock.monotonic_s()
            answer = self._work(data)
            self._clock.sleep(self._clock.monotonic_s() - began_s)
        return answer

    def _work(self, data: bytes) -> bytes:
        item_id = 0
        field_name = ""
        try:
            item = read_upload_item(data, BODY_FIELDS)
            item_id = item.request_id if item.request_id < 2**63 else 0
            check_upload_item(item)
            field_name, answer_field, method = UPLOAD_METHODS[item.field]
            body = self._calls.answer(f"CheckoutService.{method}", item.body)
            return lane_response(item_id, answer_field, body)
        except ChecklaneError as error:
            return refusal_answer(item_id, REFUSAL_FIELD, error, field_name)


class _Upload:
    """One stream. `_changed` guards everything below it and tells of every change."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ahead: deque[bytes] = deque()
        self._half_closed = False
        self._lost = False
        self._draining = False

    def read(self, requests: Iterator[bytes]) -> None:
        """Take items until the lane closes its side; the reader's thread."""
        try:
            while self._has_room():
                data = next(requests)
                with self._changed:
                    self._ahead.append(data)
                    self._changed.notify_all()
        except (StopIteration, grpc.RpcError):
            pass
        finally:
            with self._changed:
                # A reader that ended because of the drain says nothing about the lane's side.
                self._half_closed = not self._draining
                self._changed.notify_all()

    def items(self) -> Iterator[bytes]:
        """Yield items in the order sent, until there will be no more."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ahead or self._is_over())
                if self._lost or self._draining or not self._ahead:
                    return
                data = self._ahead.popleft()
                self._changed.notify_all()
            yield data

    def drain(self) -> None:
        """Begin no more items."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()

    def lose(self) -> None:
        """Note that the call is over and nobody hears any more."""
        with self._changed:
            self._lost = True
            self._changed.notify_all()

    def is_cut_short(self) -> bool:
        """Tell whether the service ended the stream before all that was sent was answered."""
        with self._changed:
            is_done = self._half_closed and not self._ahead
            return self._draining and not is_done and not self._lost

    def _is_over(self) -> bool:
        return self._half_closed or self._lost or self._draining

    def _has_room(self) -> bool:
        """Wait for room; False when nothing more is to be read."""
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._ahead) < AHEAD_ITEMS_MAX or self._lost or self._draining
            )
            return not self._lost and not self._draining
