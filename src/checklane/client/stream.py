"""A lane stream from the lane's side: many requests open at once, answered in any order."""

import itertools
import queue
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

import grpc

from checklane.client.lane import CHANNEL_OPTIONS, SERVICE
from checklane.errors import (
    REFUSALS,
    ChecklaneError,
    DecisionChangedError,
    InternalError,
    from_rpc_error,
)
from checklane.v1 import checkout_pb2, common_pb2, decision_pb2

__all__ = ["LaneStream", "error_of"]


class LaneStream:
    """One StreamLane call, open until it is closed. May be shared by threads.

    Parameters
    ----------
    address : str
        host:port of the service.

    Notes
    -----
    Requests are messages of the contract. When the stream breaks, the futures of what was open fail
    with what broke it; changes may be sent again over another stream with the same key.
    """

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._outgoing: queue.SimpleQueue[checkout_pb2.StreamLaneRequest | None] = (
            queue.SimpleQueue()
        )
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._open: dict[int, Future[Any]] = {}
        self._broken: ChecklaneError | None = None
        call = self._channel.stream_stream(
            SERVICE + "StreamLane",
            request_serializer=checkout_pb2.StreamLaneRequest.SerializeToString,
            response_deserializer=checkout_pb2.StreamLaneResponse.FromString,
        )
        self._answers = call(self._requests())
        self._reader = threading.Thread(target=self._read, name="lane-stream", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def send(self, field: str, request: Any, timeout_ms: int | None = None) -> "Future[Any]":
        """Send one request.

        Parameters
        ----------
        field : str
            The field of the contract's oneof, such as "quote_basket".
        request : message
            Of that field's type.
        timeout_ms : int, optional
            After which the service does not begin with it any more.

        Returns
        -------
        Future
            The response message, or a ChecklaneError when it was refused or the stream broke.
        """
        future: Future[Any] = Future()
        message = checkout_pb2.StreamLaneRequest(
            request_id=next(self._numbers), timeout_ms=timeout_ms
        )
        getattr(message, field).CopyFrom(request)
        with self._lock:
            if self._broken is not None:
                future.set_exception(self._broken)
                return future
            self._open[message.request_id] = future
        self._outgoing.put(message)
        return future

    def close(self) -> None:
        """Send no more, wait for what is open, close the connection."""
        self._outgoing.put(None)
        self._reader.join()
        self._channel.close()

    def _requests(self) -> Iterator[checkout_pb2.StreamLaneRequest]:
        yield from iter(self._outgoing.get, None)

    def _read(self) -> None:
        broken: ChecklaneError = InternalError("", "the stream has ended", "", 14)
        try:
            for answer in self._answers:
                self._answered(answer)
        except grpc.RpcError as failure:
            broken = from_rpc_error(failure)
        with self._lock:
            self._broken = broken
            left = list(self._open.values())
            self._open.clear()
        # Ends the thread of the transport that waits for more to send.
        self._outgoing.put(None)
        for future in left:
            future.set_exception(broken)

    def _answered(self, answer: checkout_pb2.StreamLaneResponse) -> None:
        with self._lock:
            future = self._open.pop(answer.request_id, None)
        if future is None:
            return
        kind = answer.WhichOneof("response")
        if kind == "refusal":
            future.set_exception(error_of(answer.refusal, answer.figures_changed))
        elif kind is not None:
            future.set_result(getattr(answer, kind))
        else:
            future.set_exception(InternalError("", "an answer of a later contract", "", 13))


def error_of(
    refusal: common_pb2.Refusal, changed: decision_pb2.FiguresChanged | None = None
) -> ChecklaneError:
    """Return a refusal that came inside of a stream as its exception.

    Parameters
    ----------
    refusal : checklane.v1.common_pb2.Refusal
    changed : checklane.v1.decision_pb2.FiguresChanged, optional
        What came beside it; empty when nothing did.
    """
    known = REFUSALS.get(refusal.reason)
    error_class = known.error_class if known else InternalError
    error = error_class(refusal.reason, refusal.message, refusal.field, refusal.code)
    if isinstance(error, DecisionChangedError) and changed is not None and changed.changes:
        error.changed = changed
    return error
