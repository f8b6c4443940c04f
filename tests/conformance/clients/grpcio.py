"""grpcio with threads."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

from tests.conformance.behaviours import CALLS_AT_ONCE, STREAM_REQUESTS
from tests.conformance.clients.common import (
    CHECK,
    COMMIT,
    CORRELATION,
    DEADLINE_EXCEEDED,
    DETAILS,
    QUOTE,
    SERVING,
    STREAM,
    UNAVAILABLE,
    UNIMPLEMENTED,
    UNKNOWN,
    Plan,
    run,
    say_ready,
    stream_answer,
    stream_request,
)

plan = Plan(sys.argv[1])
WITHIN_S = 30


def channel(**options: object) -> grpc.Channel:
    return grpc.insecure_channel(plan.text("address"), **options)


def quote(on: grpc.Channel, request: str = "quote") -> None:
    answer = on.unary_unary(QUOTE)(plan.content(f"{request}_request"), timeout=WITHIN_S)
    assert answer == plan.content(f"{request}_answer"), answer


def code_of(failure: grpc.RpcError) -> int:
    return failure.code().value[0]


def unary() -> None:
    with channel() as on:
        quote(on)


def empty() -> None:
    with channel() as on:
        assert on.unary_unary(CHECK)(b"", timeout=WITHIN_S) == SERVING


def large() -> None:
    with channel() as on:
        quote(on, "large")


def metadata() -> None:
    with channel() as on:
        call = on.unary_unary(COMMIT)
        _, done = call.with_call(plan.content("commit_request"), timeout=WITHIN_S)
        brought = dict(done.initial_metadata()) | dict(done.trailing_metadata())
        assert brought[CORRELATION] == plan.text("correlation"), brought


def details() -> None:
    with channel() as on:
        try:
            on.unary_unary(QUOTE)(plan.content("refused_request"), timeout=WITHIN_S)
        except grpc.RpcError as failure:
            assert code_of(failure) == plan.number("refused_code"), failure
            assert failure.details() == plan.text("refused_words"), failure
            assert dict(failure.trailing_metadata())[DETAILS] == plan.content("refused_details")
            return
    raise AssertionError("was not refused")


def unknown() -> None:
    with channel() as on:
        try:
            on.unary_unary(UNKNOWN)(b"", timeout=WITHIN_S)
        except grpc.RpcError as failure:
            assert code_of(failure) == UNIMPLEMENTED, failure
            return
    raise AssertionError("was not refused")


def many() -> None:
    with channel() as on, ThreadPoolExecutor(CALLS_AT_ONCE) as threads:
        for done in [threads.submit(quote, on) for _ in range(CALLS_AT_ONCE)]:
            done.result(WITHIN_S)


def compressed() -> None:
    with channel(compression=grpc.Compression.Gzip) as on:
        quote(on, "large")


def stream() -> None:
    requests = (stream_request(plan, number) for number in range(1, STREAM_REQUESTS + 1))
    with channel() as on:
        answers = on.stream_stream(STREAM)(requests, timeout=2 * WITHIN_S)
        numbers = [stream_answer(plan, answer) for answer in answers]
    assert sorted(numbers) == list(range(1, STREAM_REQUESTS + 1))


def held_open(sent: list[bytes], closed: threading.Event) -> Iterator[bytes]:
    yield from sent
    closed.wait(WITHIN_S)


def deadline() -> None:
    closed = threading.Event()
    with channel() as on:
        try:
            list(on.stream_stream(STREAM)(held_open([], closed), timeout=0.3))
        except grpc.RpcError as failure:
            assert code_of(failure) == DEADLINE_EXCEEDED, failure
            return
        finally:
            closed.set()
    raise AssertionError("the stream ended by itself")


def cancel() -> None:
    closed = threading.Event()
    with channel() as on:
        answers = on.stream_stream(STREAM)(held_open([stream_request(plan, 1)], closed))
        assert stream_answer(plan, next(answers)) == 1
        answers.cancel()
        closed.set()
        quote(on)


def over_tls(with_certificate: bool) -> None:
    own = (plan.file("lane_key"), plan.file("lane_certificate")) if with_certificate else ()
    credentials = grpc.ssl_channel_credentials(plan.file("authority"), *own)
    name = "mutual_tls_address" if with_certificate else "tls_address"
    with grpc.secure_channel(plan.text(name), credentials) as on:
        quote(on)


def tls() -> None:
    over_tls(with_certificate=False)


def mutual_tls() -> None:
    over_tls(with_certificate=True)
    credentials = grpc.ssl_channel_credentials(plan.file("authority"))
    with grpc.secure_channel(plan.text("mutual_tls_address"), credentials) as on:
        try:
            quote(on)
        except grpc.RpcError as failure:
            assert code_of(failure) == UNAVAILABLE, failure
            return
    raise AssertionError("was served without a certificate")


def drain() -> None:
    with channel() as on:
        quote(on)
        say_ready()
        for _ in range(10_000_000):
            try:
                quote(on)
            except grpc.RpcError as failure:
                assert code_of(failure) == UNAVAILABLE, failure
                return


run(
    {
        function.__name__: function
        for function in (
            unary, empty, large, metadata, details, unknown, many, compressed, stream, deadline,
            cancel, tls, mutual_tls, drain,
        )
    }
)  # fmt: skip
