"""Raw frames by the h2 library: what no good client sends."""

import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from tests.conformance.clients.common import (
    DEADLINE_EXCEEDED,
    OK,
    QUOTE,
    UNIMPLEMENTED,
    Plan,
    run,
)

plan = Plan(sys.argv[1])
WITHIN_S = 20
INVALID_ARGUMENT, INTERNAL = 3, 13
# What grpc's own servers say to a call that is not one message: both are in use.
NOT_ONE_MESSAGE = (INVALID_ARGUMENT, UNIMPLEMENTED, INTERNAL)


class Peer:
    """One connection, driven by hand."""

    def __init__(self, wire: socket.socket) -> None:
        self.wire = wire
        self.h2 = H2Connection(
            H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self.h2.initiate_connection()
        self.answers: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.flush()

    def flush(self) -> None:
        self.wire.sendall(self.h2.data_to_send())

    def headers(self, *more: tuple[str, str], method: str = "POST", kind: str = "") -> int:
        """Open a stream with the headers of a quote, and return its number."""
        stream = self.h2.get_next_available_stream_id()
        fixed = [
            (":method", method), (":scheme", "http"), (":path", QUOTE), (":authority", "lane"),
            ("content-type", kind or "application/grpc"), ("te", "trailers"),
        ]  # fmt: skip
        self.h2.send_headers(stream, [*fixed, *more])
        self.bodies[stream] = b""
        self.answers[stream] = {}
        return stream

    def send(self, stream: int, body: bytes, *, pad: int | None = None, end: bool = True) -> None:
        self.h2.send_data(stream, body, end_stream=end, pad_length=pad)
        self.flush()

    def finish(self, stream: int) -> dict[str, str]:
        """Read until a stream has ended, and return its headers and trailers."""
        while stream not in self.ended:
            received = self.wire.recv(65536)
            assert received, f"the connection was closed before stream {stream} ended"
            for event in self.h2.receive_data(received):
                self.take(event)
            self.flush()
        return self.answers[stream]

    def take(self, event: object) -> None:
        if isinstance(event, ResponseReceived | TrailersReceived):
            texts = ((as_text(name), as_text(value)) for name, value in event.headers)
            self.answers[event.stream_id].update(texts)
        if isinstance(event, DataReceived):
            self.bodies[event.stream_id] += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if isinstance(event, StreamEnded | StreamReset):
            self.ended.add(event.stream_id)

    def code(self, stream: int) -> int:
        """Return the gRPC status of a stream."""
        answer = self.finish(stream)
        assert "grpc-status" in answer, answer
        return int(answer["grpc-status"])

    def assert_serves(self) -> None:
        """Make a good call on the same connection."""
        stream = self.headers()
        self.send(stream, whole())
        assert self.code(stream) == OK
        assert self.bodies[stream] == framed(plan.content("quote_answer"))


def as_text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def framed(message: bytes, *, flag: int = 0, length: int | None = None) -> bytes:
    """Put gRPC's prefix before a message."""
    return bytes([flag]) + (len(message) if length is None else length).to_bytes(4) + message


def whole() -> bytes:
    return framed(plan.content("quote_request"))


@contextmanager
def connected() -> Iterator[Peer]:
    host, _, port = plan.text("address").rpartition(":")
    with socket.create_connection((host, int(port)), WITHIN_S) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield Peer(wire)


def split() -> None:
    with connected() as peer:
        stream = peer.headers()
        body = whole()
        for at in range(len(body) - 1):
            peer.send(stream, body[at : at + 1], end=False)
        peer.send(stream, body[-1:])
        assert peer.code(stream) == OK
        assert peer.bodies[stream] == framed(plan.content("quote_answer"))


def padded() -> None:
    with connected() as peer:
        stream = peer.headers()
        peer.send(stream, whole()[:3], pad=200, end=False)
        peer.send(stream, whole()[3:], pad=0)
        assert peer.code(stream) == OK
        assert peer.bodies[stream] == framed(plan.content("quote_answer"))


def refused(*more: tuple[str, str], body: bytes, codes: tuple[int, ...]) -> dict[str, str]:
    """Send one call that must end with one of the codes, and a good one after it."""
    with connected() as peer:
        stream = peer.headers(*more)
        peer.send(stream, body)
        code = peer.code(stream)
        assert code in codes, (code, peer.answers[stream])
        peer.assert_serves()
        return peer.answers[stream]


def expired() -> None:
    refused(("grpc-timeout", "0n"), body=whole(), codes=(DEADLINE_EXCEEDED,))
    refused(("grpc-timeout", "1n"), body=whole(), codes=(DEADLINE_EXCEEDED,))


def bad_timeout() -> None:
    for value in ("soon", "10", "123456789S", "-1S", "1x"):
        refused(("grpc-timeout", value), body=whole(), codes=(INVALID_ARGUMENT, INTERNAL))


def no_message() -> None:
    refused(body=b"", codes=NOT_ONE_MESSAGE)


def two_messages() -> None:
    refused(body=whole() + whole(), codes=NOT_ONE_MESSAGE)


def cut() -> None:
    refused(body=whole()[:-1], codes=(INVALID_ARGUMENT, INTERNAL))
    refused(body=whole()[:4], codes=(INVALID_ARGUMENT, INTERNAL))


def flagged() -> None:
    body = framed(plan.content("quote_request"), flag=1)
    refused(body=body, codes=(INVALID_ARGUMENT, UNIMPLEMENTED, INTERNAL))


def unknown_encoding() -> None:
    body = framed(plan.content("quote_request"), flag=1)
    answer = refused(("grpc-encoding", "snappy"), body=body, codes=(UNIMPLEMENTED,))
    assert "identity" in answer["grpc-accept-encoding"], answer


def too_long() -> None:
    with connected() as peer:
        stream = peer.headers()
        peer.send(stream, framed(b"", length=2**31), end=False)
        assert peer.code(stream) == INVALID_ARGUMENT
        peer.assert_serves()


def not_grpc() -> None:
    with connected() as peer:
        stream = peer.headers(kind="application/json")
        peer.send(stream, b"{}")
        assert peer.finish(stream)[":status"] == "415"
        peer.assert_serves()


def not_post() -> None:
    with connected() as peer:
        stream = peer.headers(method="PUT")
        peer.send(stream, whole())
        assert peer.finish(stream)[":status"] == "405"
        peer.assert_serves()


def reset() -> None:
    with connected() as peer:
        for _ in range(10):
            stream = peer.headers()
            peer.send(stream, whole()[:9], end=False)
            peer.h2.reset_stream(stream, 8)
            peer.flush()
        peer.assert_serves()


BEHAVIOURS: tuple[Callable[[], None], ...] = (
    split, padded, expired, bad_timeout, no_message, two_messages, cut, flagged, unknown_encoding,
    too_long, not_grpc, not_post, reset,
)  # fmt: skip
run({function.__name__: function for function in BEHAVIOURS})
