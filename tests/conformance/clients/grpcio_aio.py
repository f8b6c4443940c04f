"""grpcio with asyncio."""

import asyncio
import sys
from collections.abc import AsyncIterator

import grpc
from grpc import aio

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


def channel(**options: object) -> aio.Channel:
    return aio.insecure_channel(plan.text("address"), **options)


async def quote(on: aio.Channel, request: str = "quote") -> None:
    answer = await on.unary_unary(QUOTE)(plan.content(f"{request}_request"), timeout=WITHIN_S)
    assert answer == plan.content(f"{request}_answer"), answer


def code_of(failure: aio.AioRpcError) -> int:
    return int(failure.code().value[0])


async def unary() -> None:
    async with channel() as on:
        await quote(on)


async def empty() -> None:
    async with channel() as on:
        assert await on.unary_unary(CHECK)(b"", timeout=WITHIN_S) == SERVING


async def large() -> None:
    async with channel() as on:
        await quote(on, "large")


async def metadata() -> None:
    async with channel() as on:
        call = on.unary_unary(COMMIT)(plan.content("commit_request"), timeout=WITHIN_S)
        await call
        brought = dict(await call.initial_metadata()) | dict(await call.trailing_metadata())
        assert brought[CORRELATION] == plan.text("correlation"), brought


async def details() -> None:
    async with channel() as on:
        try:
            await on.unary_unary(QUOTE)(plan.content("refused_request"), timeout=WITHIN_S)
        except aio.AioRpcError as failure:
            assert code_of(failure) == plan.number("refused_code"), failure
            assert failure.details() == plan.text("refused_words"), failure
            assert dict(failure.trailing_metadata())[DETAILS] == plan.content("refused_details")
            return
    raise AssertionError("was not refused")


async def unknown() -> None:
    async with channel() as on:
        try:
            await on.unary_unary(UNKNOWN)(b"", timeout=WITHIN_S)
        except aio.AioRpcError as failure:
            assert code_of(failure) == UNIMPLEMENTED, failure
            return
    raise AssertionError("was not refused")


async def many() -> None:
    async with channel() as on:
        await asyncio.gather(*(quote(on) for _ in range(CALLS_AT_ONCE)))


async def compressed() -> None:
    async with channel(compression=grpc.Compression.Gzip) as on:
        await quote(on, "large")


async def stream() -> None:
    async def requests() -> AsyncIterator[bytes]:
        for number in range(1, STREAM_REQUESTS + 1):
            yield stream_request(plan, number)

    async with channel() as on:
        answers = on.stream_stream(STREAM)(requests(), timeout=2 * WITHIN_S)
        numbers = [stream_answer(plan, answer) async for answer in answers]
    assert sorted(numbers) == list(range(1, STREAM_REQUESTS + 1))


async def deadline() -> None:
    async with channel() as on:
        call = on.stream_stream(STREAM)(timeout=0.3)
        try:
            await call.read()
        except aio.AioRpcError as failure:
            assert code_of(failure) == DEADLINE_EXCEEDED, failure
            return
    raise AssertionError("the stream ended by itself")


async def cancel() -> None:
    async with channel() as on:
        call = on.stream_stream(STREAM)()
        await call.write(stream_request(plan, 1))
        assert stream_answer(plan, await call.read()) == 1
        call.cancel()
        await quote(on)


async def over_tls(with_certificate: bool) -> None:
    own = (plan.file("lane_key"), plan.file("lane_certificate")) if with_certificate else ()
    credentials = grpc.ssl_channel_credentials(plan.file("authority"), *own)
    name = "mutual_tls_address" if with_certificate else "tls_address"
    async with aio.secure_channel(plan.text(name), credentials) as on:
        await quote(on)


async def tls() -> None:
    await over_tls(with_certificate=False)


async def mutual_tls() -> None:
    await over_tls(with_certificate=True)
    credentials = grpc.ssl_channel_credentials(plan.file("authority"))
    async with aio.secure_channel(plan.text("mutual_tls_address"), credentials) as on:
        try:
            await quote(on)
        except aio.AioRpcError as failure:
            assert code_of(failure) == UNAVAILABLE, failure
            return
    raise AssertionError("was served without a certificate")


async def drain() -> None:
    async with channel() as on:
        await quote(on)
        say_ready()
        for _ in range(10_000_000):
            try:
                await quote(on)
            except aio.AioRpcError as failure:
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
