"""What the streams of lanes have in common: a ceiling, a reader's thread each, and a drain.

A stream has two threads: grpcio's, which sends answers as they come, and a reader, which takes
requests while there is room. When the service drains, what is under way is answered, and a stream
that the lane has not closed itself then ends with ENGINE_CLOSED.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator

import grpc

from checklane.errors import refuse
from checklane.server.calls import abort
from checklane.server.metrics import Metrics

__all__ = ["OpenStream", "OpenStreams", "StreamSlots"]


class StreamSlots:
    """Counts the open streams of a service against their ceiling. Any thread may call."""

    def __init__(self, streams_max: int, metrics: Metrics) -> None:
        self._streams_max = streams_max
        self._slots = threading.BoundedSemaphore(streams_max)
        self._metrics = metrics

    def take(self, context: grpc.ServicerContext) -> None:
        """Take a slot until the call ends, or end the call with QUEUE_FULL."""
        if not self._slots.acquire(blocking=False):
            words = f"all {self._streams_max} streams of this service are open"
            abort(context, refuse("QUEUE_FULL", "", words))
        self._metrics.stream_opened()
        if not context.add_callback(self._give_back):
            self._give_back()

    def _give_back(self) -> None:
        self._metrics.stream_closed()
        self._slots.release()


class OpenStream(ABC):
    """One stream. `_changed` guards everything that its threads share and tells of every change."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._half_closed = False
        self._lost = False
        self._draining = False

    def read(self, requests: Iterator[bytes]) -> None:
        """Take requests until the lane closes its side; the reader's thread."""
        try:
            while self._waited_for_room():
                self._take(next(requests))
        except (StopIteration, grpc.RpcError):
            pass
        finally:
            with self._changed:
                # A reader that ended because of the drain says nothing about the lane's side.
                self._half_closed = not self._draining
                self._changed.notify_all()

    @abstractmethod
    def answers(self) -> Iterator[bytes]:
        """Yield answers until there will be no more."""

    @abstractmethod
    def is_cut_short(self) -> bool:
        """Tell whether the service, not the lane, ended the stream."""

    def drain(self) -> None:
        """Take no more requests; end when what is under way is answered."""
        with self._changed:
            self._draining = True
            self._changed.notify_all()

    def lose(self) -> None:
        """Note that the call is over and nobody hears any more."""
        with self._changed:
            self._lost = True
            self._changed.notify_all()

    @abstractmethod
    def _has_room(self) -> bool:
        """Tell whether one more request may be read; the caller has the lock."""

    @abstractmethod
    def _take(self, data: bytes) -> None:
        """Take in one request; the reader's thread."""

    def _waited_for_room(self) -> bool:
        """Wait for room; False when nothing more is to be read."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_room() or self._lost or self._draining)
            return not self._lost and not self._draining


class OpenStreams(ABC):
    """Every open stream of one method of a service.

    Parameters
    ----------
    slots : StreamSlots
        Shared with other streams: each takes a thread.
    reader_name : str
        Of the readers' threads.
    """

    def __init__(self, slots: StreamSlots, reader_name: str) -> None:
        self._slots = slots
        self._reader_name = reader_name
        self._lock = threading.Lock()
        self._open: set[OpenStream] = set()
        self._draining = False

    def handle(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        """Serve one stream; grpcio's handler."""
        self._slots.take(context)
        stream = self._begin()
        with self._lock:
            if self._draining:
                abort(context, refuse("ENGINE_CLOSED"))
            self._open.add(stream)
        if not context.add_callback(lambda: self._forget(stream)):
            self._forget(stream)
        reader = threading.Thread(
            target=stream.read, args=(requests,), name=self._reader_name, daemon=True
        )
        reader.start()
        yield from stream.answers()
        if stream.is_cut_short():
            abort(context, refuse("ENGINE_CLOSED"))

    def drain(self) -> None:
        """Let every stream answer what is under way and end; new ones are refused."""
        with self._lock:
            self._draining = True
            streams = list(self._open)
        for stream in streams:
            stream.drain()

    @abstractmethod
    def _begin(self) -> OpenStream:
        """Return a stream of this method."""

    def _forget(self, stream: OpenStream) -> None:
        stream.lose()
        with self._lock:
            self._open.discard(stream)
