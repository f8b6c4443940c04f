"""A gRPC server that answers what a test tells it to, and requests for it."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from checklane._generator import masked
from checklane.bench.load.plan import Options, Request
from checklane.bench.load.requests import METHODS, QUOTE
from checklane.v1 import checkout_pb2, decision_pb2

Answer = Callable[[bytes, grpc.ServicerContext], bytes]
QUOTE_PATH = METHODS[QUOTE].path.decode()
STREAM_PATH = "/checklane.v1.CheckoutService/StreamLane"


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def service(self, handler_call_details):
        if handler_call_details.method == STREAM_PATH:
            return grpc.stream_stream_rpc_method_handler(self._stream)
        return grpc.unary_unary_rpc_method_handler(self._answer)

    def _stream(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for data in requests:
            request = checkout_pb2.StreamLaneRequest.FromString(data)
            body = self._answer(request.quote_basket.SerializeToString(), context)
            answer = checkout_pb2.StreamLaneResponse.FromString(b"\x22" + _sized(body))
            answer.request_id = request.request_id
            yield answer.SerializeToString()


def _sized(body: bytes) -> bytes:
    assert len(body) < 128
    return bytes([len(body)]) + body


@contextmanager
def answering(
    answer: Answer,
    place: str = "127.0.0.1:0",
    credentials: grpc.ServerCredentials | None = None,
) -> Iterator[Options]:
    """Serve and yield the options of one lane that calls it."""
    server = grpc.server(ThreadPoolExecutor(8), options=(("grpc.so_reuseport", 0),))
    server.add_generic_rpc_handlers((_Handlers(answer),))
    if credentials is None:
        port = server.add_insecure_port(place)
    else:
        port = server.add_secure_port(place, credentials)
    server.start()
    host = place.removeprefix("unix:") if place.startswith("unix:") else "127.0.0.1"
    try:
        yield Options(
            host.encode(), 0 if place.startswith("unix:") else port, 1, drain_ns=5_000_000_000
        )
    finally:
        server.stop(0).wait()


def decided(discount_minor: int = 100, **fields: object) -> bytes:
    """Return the answer to a quote."""
    decision = decision_pb2.Decision(**fields)
    decision.totals.discount_minor = discount_minor
    return checkout_pb2.QuoteBasketResponse(decision=decision).SerializeToString()


def asking(answer: bytes, body: bytes = b"") -> Request:
    """Return a quote whose right answer is given."""
    return Request(body, QUOTE, masked(METHODS[QUOTE], answer)[0])
