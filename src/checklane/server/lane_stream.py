"""StreamLane: one stream that a lane keeps open all day, answered in any order.

A stream has two threads: grpcio's, which sends answers as they come, and a reader, which takes
requests and hands them to the shared pool. At most `window` requests are open, from their arrival
until their answer is handed to the transport: a lane that does not read its answers is not read
either, so nothing grows. A refused request is answered and the stream goes on. When the lane closes
its side the open requests are answered first; when it goes away they are worked off unheard; when
the service drains they are answered, and the stream then ends with ENGINE_CLOSED.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from checklane.clock import Clock
from checklane.errors import ChecklaneError, DecisionChangedError, refuse
from checklane.server.calls import Calls
from checklane.server.contract import LANE_METHODS
from checklane.server.open_streams import OpenStream, OpenStreams, StreamSlots
from checklane.server.wire import (
    LaneRequest,
    check_lane_request,
    lane_response,
    read_lane_request,
)
from checklane.v1 import checkout_pb2, common_pb2

__all__ = ["LaneStreams", "refusal_answer"]

BODY_FIELDS = frozenset(LANE_METHODS)
REFUSAL_FIELD = checkout_pb2.StreamLaneResponse.REFUSAL_FIELD_NUMBER
CHANGED_FIELD = checkout_pb2.StreamLaneResponse.FIGURES_CHANGED_FIELD_NUMBER


class LaneStreams(OpenStreams):
    """Every open lane stream of a service.

    Parameters
    ----------
    calls : Calls
    pool : ThreadPoolExecutor
        Where requests are worked on; shared by all streams.
    slots : StreamSlots
    window : int
        Requests of one stream that may be open at once.
    clock : Clock
    """

    def __init__(
        self,
        calls: Calls,
        pool: ThreadPoolExecutor,
        slots: StreamSlots,
        window: int,
        clock: Clock,
    ) -> None:
        super().__init__(slots, "lane-stream-reader")
        self._calls = calls
        self._pool = pool
        self._window = window
        self._clock = clock

    def _begin(self) -> OpenStream:
        return _LaneStream(self._calls, self._pool, self._window, self._clock)


class _LaneStream(OpenStream):
    """One stream: `window` requests at once, answered in any order."""

    def __init__(self, calls: Calls, pool: ThreadPoolExecutor, window: int, clock: Clock) -> None:
        super().__init__()
        self._calls = calls
        self._pool = pool
        self._window = window
        self._clock = clock
        self._answers: deque[tuple[int, bytes]] = deque()
        self._open_count = 0  # arrived, and the answer not yet handed to the transport
        self._working_count = 0  # arrived, and not yet answered
        self._open_ids: set[int] = set()

    def answers(self) -> Iterator[bytes]:
        """Yield answers as they come, until there will be no more."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._answers or self._is_done())
                if self._lost or not self._answers:
                    return
                request_id, answer = self._answers.popleft()
                self._open_count -= 1
                self._open_ids.discard(request_id)
                self._changed.notify_all()
            yield answer

    def is_cut_short(self) -> bool:
        """Tell whether the service, not the lane, ended the stream."""
        with self._changed:
            return self._draining and not self._half_closed and not self._lost

    def _is_done(self) -> bool:
        ended = self._half_closed or self._draining
        return self._lost or (ended and self._working_count == 0)

    def _has_room(self) -> bool:
        return self._open_count < self._window

    def _take(self, data: bytes) -> None:
        """Open one request, or answer at once what is wrong with its envelope."""
        request_id = 0
        try:
            request = read_lane_request(data, BODY_FIELDS)
            request_id = request.request_id if request.request_id < 2**63 else 0
            check_lane_request(request)
        except ChecklaneError as error:
            self._refuse(request_id, error)
            return
        if not self._open(request.request_id):
            taken = refuse("FIELD_OUT_OF_RANGE", "request_id", "this request_id is still open")
            self._refuse(request_id, taken)
            return
        self._pool.submit(self._work, request, self._clock.monotonic_s())

    def _refuse(self, request_id: int, error: ChecklaneError) -> None:
        """Answer a request that never was one; it still takes its place in the window."""
        self._open(0)
        self._answered(0, refusal_answer(request_id, REFUSAL_FIELD, error, ""))

    def _open(self, request_id: int) -> bool:
        """Count a request as open; False when its id is open already. Id 0 is nobody's."""
        with self._changed:
            if request_id in self._open_ids:
                return False
            if request_id:
                self._open_ids.add(request_id)
            self._open_count += 1
            self._working_count += 1
            return True

    def _work(self, request: LaneRequest, arrived_s: float) -> None:
        """Answer one request; a thread of the pool."""
        field_name, method = LANE_METHODS[request.field]
        try:
            waited_ms = (self._clock.monotonic_s() - arrived_s) * 1000
            if request.timeout_ms and waited_ms >= request.timeout_ms:
                raise refuse("DEADLINE_PASSED")
            body = self._calls.answer(f"CheckoutService.{method}", request.body)
            answer = lane_response(request.request_id, request.field, body)
        except ChecklaneError as error:
            answer = refusal_answer(request.request_id, REFUSAL_FIELD, error, field_name)
        self._answered(request.request_id, answer)

    def _answered(self, open_id: int, answer: bytes) -> None:
        with self._changed:
            self._working_count -= 1
            self._answers.append((open_id, answer))
            self._changed.notify_all()


def refusal_answer(
    request_id: int, answer_field: int, error: ChecklaneError, field_name: str
) -> bytes:
    """Return the answer that refuses one request of a stream.

    Parameters
    ----------
    request_id : int
    answer_field : int
        The number of the answer's field for refusals.
    error : ChecklaneError
    field_name : str
        Of the request's body, before the place of what is wrong; may be empty.
    """
    field = f"{field_name}.{error.place}" if field_name and error.place else error.place
    refusal = common_pb2.Refusal(
        code=error.grpc_code, reason=error.reason, message=str(error), field=field
    )
    answer = lane_response(request_id, answer_field, refusal.SerializeToString())
    if isinstance(error, DecisionChangedError) and error.changed is not None:
        answer += lane_response(0, CHANGED_FIELD, error.changed.SerializeToString())
    return answer
