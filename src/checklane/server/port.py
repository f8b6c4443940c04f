"""The gRPC server: every service of the contract, standard health and reflection.

grpcio's synchronous server with a thread pool carries it. A call is one blocking step into the
engine, which gives the interpreter's lock up for its whole length: a quote computes, a commit
sleeps until its group is on the disk. Threads fit that, measured sync throughput is no lower than
asyncio's here, and asyncio would hand each call to such a pool anyway.

The pool has a thread for each worker and for each stream that may be open, so that streams, which
keep their thread all day, can not starve single calls. Requests and answers of the engine's methods
pass as bytes: nothing is parsed here but the correlation id.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from checklane.config import Settings, address_of
from checklane.errors import ChecklaneError, ConfigError, refuse
from checklane.server.books_service import BooksMethods
from checklane.server.calls import CORRELATION_KEY, Calls, abort, not_built
from checklane.server.contract import PACKAGE, SERVICE_NAMES, SERVICES
from checklane.server.lane_stream import LaneStreams
from checklane.server.ledger_service import LedgerStreams
from checklane.server.uploads import UploadStreams
from checklane.server.wire import correlation_id

__all__ = ["Port"]

METADATA_BYTES_MAX = 16 * 1024
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

# The class has type parameters in its stubs only.
MethodHandler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"
Handler = Callable[[bytes, grpc.ServicerContext], bytes]


def _identity(data: bytes) -> bytes:
    return data


class _Methods(grpc.GenericRpcHandler):
    """Finds the handler of every call that health and reflection do not answer."""

    def __init__(
        self,
        calls: Calls,
        lanes: LaneStreams,
        uploads: UploadStreams,
        ledger: LedgerStreams,
        books: BooksMethods,
    ) -> None:
        self._handlers: dict[str, MethodHandler] = {}
        for service_name, service in SERVICES.items():
            for method in service.methods:
                path = f"/{service.full_name}/{method.name}"
                name = f"{service_name}.{method.name}"
                if not method.client_streaming and not method.server_streaming:
                    self._handlers[path] = _unary(_answering(calls, name))
                else:
                    self._handlers[path] = _streaming(_refusing(not_built(name)))
        lane_path = f"/{PACKAGE}.CheckoutService/StreamLane"
        self._handlers[lane_path] = _streaming(lanes.handle)
        upload_path = f"/{PACKAGE}.CheckoutService/UploadTransactions"
        self._handlers[upload_path] = _streaming(uploads.handle)
        entries_path = f"/{PACKAGE}.LedgerService/StreamEntries"
        self._handlers[entries_path] = grpc.unary_stream_rpc_method_handler(
            ledger.handle, request_deserializer=_identity, response_serializer=_identity
        )
        totals_path = f"/{PACKAGE}.LedgerService/GetPeriodTotals"
        self._handlers[totals_path] = _unary(books.period_totals)
        statement_path = f"/{PACKAGE}.LedgerService/GetStatement"
        self._handlers[statement_path] = _unary(books.statement)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> MethodHandler:
        path = handler_call_details.method
        return self._handlers.get(path) or _streaming(_refusing(refuse("METHOD_UNKNOWN", path)))


def _unary(handler: Handler) -> MethodHandler:
    return grpc.unary_unary_rpc_method_handler(
        handler, request_deserializer=_identity, response_serializer=_identity
    )


def _streaming(
    handler: Callable[[Iterator[bytes], grpc.ServicerContext], Iterator[bytes]],
) -> MethodHandler:
    return grpc.stream_stream_rpc_method_handler(
        handler, request_deserializer=_identity, response_serializer=_identity
    )


def _answering(calls: Calls, name: str) -> Handler:
    """Return the handler of one single call."""

    def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
        echo = correlation_id(request)
        if echo:
            context.set_trailing_metadata(((CORRELATION_KEY, echo),))
        try:
            left_s = context.time_remaining()
            if left_s is not None and left_s <= 0:
                raise refuse("DEADLINE_PASSED")
            return calls.answer(name, request)
        except ChecklaneError as error:
            abort(context, error, echo)

    return handle


def _refusing(
    error: ChecklaneError,
) -> Callable[[Iterator[bytes], grpc.ServicerContext], Iterator[bytes]]:
    """Return the handler of a call that is refused before it is read."""

    def handle(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        abort(context, error)

    return handle


class Port:
    """The server of one service: bound when made, serving once started.

    Parameters
    ----------
    settings : Settings
    calls : Calls
    lanes : LaneStreams
    uploads : UploadStreams
    ledger : LedgerStreams
    books : BooksMethods

    Attributes
    ----------
    address : str
        host:port as bound.

    Raises
    ------
    ConfigError
        The address is taken or not ours.
    """

    def __init__(
        self,
        settings: Settings,
        calls: Calls,
        lanes: LaneStreams,
        uploads: UploadStreams,
        ledger: LedgerStreams,
        books: BooksMethods,
    ) -> None:
        self._lanes = lanes
        self._uploads = uploads
        self._ledger = ledger
        self._pool = ThreadPoolExecutor(
            settings.workers + settings.streams, thread_name_prefix="port"
        )
        self._server = grpc.server(
            self._pool,
            maximum_concurrent_rpcs=settings.workers + settings.streams + settings.calls_waiting,
            options=(
                ("grpc.max_receive_message_length", settings.message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", METADATA_BYTES_MAX),
                # A second process on the port would take half of the calls.
                ("grpc.so_reuseport", 0),
            ),
        )
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = (*SERVICE_NAMES, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        handlers = _Methods(calls, lanes, uploads, ledger, books)
        self._server.add_generic_rpc_handlers((handlers,))
        self.set_serving(False)
        host, port = address_of(settings.listen)
        shown = f"[{host}]" if ":" in host else host
        try:
            bound = self._server.add_insecure_port(f"{shown}:{port}")
        except RuntimeError:
            bound = 0
        if bound == 0:
            self._pool.shutdown()
            raise ConfigError(
                f"can not listen at {settings.listen}: stop what listens there or choose another",
                settings.listen,
            )
        self.address = f"{shown}:{bound}"

    def start(self) -> None:
        """Begin to answer."""
        self._server.start()

    def set_serving(self, is_serving: bool) -> None:
        """Tell health checks whether baskets are decided; calls are answered either way."""
        for name in ("", *SERVICE_NAMES):
            self._health.set(name, SERVING if is_serving else NOT_SERVING)

    def drain(self, grace_s: float) -> None:
        """Take no new call, finish those under way, cut off what takes longer than the grace."""
        self._health.enter_graceful_shutdown()
        stopped = self._server.stop(grace_s)
        self._lanes.drain()
        self._uploads.drain()
        self._ledger.drain()
        stopped.wait()
        self._pool.shutdown()
