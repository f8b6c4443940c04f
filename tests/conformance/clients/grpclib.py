"""grpclib, a client in plain Python on the h2 library."""

import asyncio
import ssl
import sys
from typing import Any

from grpclib.client import Channel, StreamStreamMethod, UnaryUnaryMethod
from grpclib.const import Status
from grpclib.encoding.base import CodecBase, StatusDetailsCodecBase
from grpclib.exceptions import GRPCError, StreamTerminatedError

from tests.conformance.behaviours import CALLS_AT_ONCE, STREAM_REQUESTS
from tests.conformance.clients.common import (
    CHECK,
    COMMIT,
    CORRELATION,
    DEADLINE_EXCEEDED,
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


class Bytes(CodecBase):
    """Messages are bytes already."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> bytes:
        return data


class RawDetails(StatusDetailsCodecBase):
    """Details of a status are kept as they came."""

    def encode(self, status: Status, message: str | None, details: Any) -> bytes:
        return bytes(details)

    def decode(self, status: Status, message: str | None, data: bytes) -> bytes:
        return data


def channel(address: str = "address", tls: ssl.SSLContext | None = None) -> Channel:
    host, _, port = plan.text(address).rpartition(":")
    return Channel(host, int(port), ssl=tls, codec=Bytes(), status_details_codec=RawDetails())


async def quote(on: Channel, request: str = "quote") -> None:
    method = UnaryUnaryMethod(on, QUOTE, bytes, bytes)
    answer = await method(plan.content(f"{request}_request"), timeout=WITHIN_S)
    assert answer == plan.content(f"{request}_answer"), answer


async def unary() -> None:
    async with channel() as on:
        await quote(on)


async def empty() -> None:
    async with channel() as on:
        method = UnaryUnaryMethod(on, CHECK, bytes, bytes)
        assert await method(b"", timeout=WITHIN_S) == SERVING


async def large() -> None:
    async with channel() as on:
        await quote(on, "large")


async def metadata() -> None:
    async with channel() as on:
        method = UnaryUnaryMethod(on, COMMIT, bytes, bytes)
        async with method.open(timeout=WITHIN_S) as call:
            await call.send_message(plan.content("commit_request"), end=True)
            await call.recv_message()
            await call.recv_trailing_metadata()
            brought = {**call.initial_metadata, **call.trailing_metadata}
        assert brought[CORRELATION] == plan.text("correlation"), brought


async def details() -> None:
    async with channel() as on:
        method = UnaryUnaryMethod(on, QUOTE, bytes, bytes)
        try:
            await method(plan.content("refused_request"), timeout=WITHIN_S)
        except GRPCError as failure:
            assert failure.status.value == plan.number("refused_code"), failure
            assert failure.message == plan.text("refused_words"), failure
            assert failure.details == plan.content("refused_details"), failure
            return
    raise AssertionError("was not refused")


async def unknown() -> None:
    async with channel() as on:
        try:
            await UnaryUnaryMethod(on, UNKNOWN, bytes, bytes)(b"", timeout=WITHIN_S)
        except GRPCError as failure:
            assert failure.status.value == UNIMPLEMENTED, failure
            return
    raise AssertionError("was not refused")


async def many() -> None:
    async with channel() as on:
        await asyncio.gather(*(quote(on) for _ in range(CALLS_AT_ONCE)))


async def stream() -> None:
    async with channel() as on:
        method = StreamStreamMethod(on, STREAM, bytes, bytes)
        async with method.open(timeout=2 * WITHIN_S) as call:
            await call.send_request()

            async def send() -> None:
                for number in range(1, STREAM_REQUESTS + 1):
                    await call.send_message(stream_request(plan, number))
                await call.end()

            sending = asyncio.create_task(send())
            numbers = [stream_answer(plan, answer) async for answer in call]
            await sending
    assert sorted(numbers) == list(range(1, STREAM_REQUESTS + 1))


async def deadline() -> None:
    async with channel() as on:
        method = StreamStreamMethod(on, STREAM, bytes, bytes)
        try:
            async with method.open(timeout=0.3) as call:
                await call.send_request()
                await call.recv_message()
        except GRPCError as failure:
            assert failure.status.value == DEADLINE_EXCEEDED, failure
            return
        except TimeoutError:
            return
    raise AssertionError("the stream ended by itself")


async def cancel() -> None:
    async with channel() as on:
        method = StreamStreamMethod(on, STREAM, bytes, bytes)
        async with method.open() as call:
            await call.send_message(stream_request(plan, 1))
            answer = await call.recv_message()
            assert answer is not None
            assert stream_answer(plan, answer) == 1
            await call.cancel()
        await quote(on)


def context(with_certificate: bool) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=plan.text("authority"))
    made.set_alpn_protocols(["h2"])
    if with_certificate:
        made.load_cert_chain(plan.text("lane_certificate"), plan.text("lane_key"))
    return made


async def tls() -> None:
    async with channel("tls_address", context(with_certificate=False)) as on:
        await quote(on)


async def mutual_tls() -> None:
    async with channel("mutual_tls_address", context(with_certificate=True)) as on:
        await quote(on)
    async with channel("mutual_tls_address", context(with_certificate=False)) as on:
        try:
            await quote(on)
        except (OSError, StreamTerminatedError):
            return
    raise AssertionError("was served without a certificate")


async def drain() -> None:
    async with channel() as on:
        await quote(on)
        say_ready()
        for _ in range(10_000_000):
            try:
                await quote(on)
            except GRPCError as failure:
                assert failure.status.value == UNAVAILABLE, failure
                return
            # After GOAWAY grpclib opens a new connection, which nobody takes any more.
            except (ConnectionError, StreamTerminatedError):
                return


run(
    {
        function.__name__: function
        for function in (
            unary, empty, large, metadata, details, unknown, many, stream, deadline, cancel, tls,
            mutual_tls, drain,
        )
    }
)  # fmt: skip
