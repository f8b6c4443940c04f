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
from collections.abc import Callable, Iterator

from checklane.clock import Clock
from checklane.errors import ChecklaneError
from checklane.server.calls import Calls
from checklane.server.contract import UPLOAD_METHODS
from checklane.server.lane_stream import refusal_answer
from checklane.server.open_streams import OpenStream, OpenStreams, StreamSlots
from checklane.server.wire import check_upload_item, lane_response, read_upload_item
from checklane.v1 import checkout_pb2

__all__ = ["UploadStreams"]

BODY_FIELDS = frozenset(UPLOAD_METHODS)
REFUSAL_FIELD = checkout_pb2.UploadTransactionsResponse.REFUSAL_FIELD_NUMBER
#: Items of one stream that are read ahead of the one that is worked on.
AHEAD_ITEMS_MAX = 4


class UploadStreams(OpenStreams):
    """Every open upload of a service.

    Parameters
    ----------
    calls : Calls
    slots : StreamSlots
        Shared with the other streams: each takes a thread.
    clock : Clock
    """

    def __init__(self, calls: Calls, slots: StreamSlots, clock: Clock) -> None:
        super().__init__(slots, "upload-reader")
        self._calls = calls
        self._clock = clock
        self._turn = threading.Lock()

    def _begin(self) -> OpenStream:
        return _Upload(self._answer)

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


class _Upload(OpenStream):
    """One stream: a few items read ahead, each answered by `answer` in its turn."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._answer = answer
        self._ahead: deque[bytes] = deque()

    def answers(self) -> Iterator[bytes]:
        """Yield answers in the order sent; items that are not begun when it drains are left."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._ahead or self._is_over())
                if self._lost or self._draining or not self._ahead:
                    return
                data = self._ahead.popleft()
                self._changed.notify_all()
            yield self._answer(data)

    def is_cut_short(self) -> bool:
        """Tell whether the service ended the stream before all that was sent was answered."""
        with self._changed:
            is_done = self._half_closed and not self._ahead
            return self._draining and not is_done and not self._lost

    def _is_over(self) -> bool:
        return self._half_closed or self._lost or self._draining

    def _has_room(self) -> bool:
        return len(self._ahead) < AHEAD_ITEMS_MAX

    def _take(self, data: bytes) -> None:
        with self._changed:
            self._ahead.append(data)
            self._changed.notify_all()
