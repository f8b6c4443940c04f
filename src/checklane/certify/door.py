"""A port in front of a service: what passes is recorded, and answers get lost as a script says.

Whoever calls it meets the faults that networks and services have, at the call where they hurt: the
answer to a commit is gone although the sale stands, the answer comes later than the lane waits, the
service drains, or nobody listens at all. What the service itself does is never touched.
"""

import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NoReturn, Self

import grpc
from grpc_status import rpc_status

from checklane.certify.failure import CertifyError
from checklane.certify.record import HELD, LOST, METHODS, TURNED_AWAY, Exchange, Record
from checklane.errors import from_rpc_error, refuse, to_rpc_status
from checklane.v1 import decision_pb2

__all__ = ["Door", "Fault", "HOLD", "LOSE", "LOWER", "REFUSE"]

#: What a fault does: the answer is thrown away and the connection breaks; the answer is kept until
#: the lane waits no longer; the service is not asked, and the call is refused by a name; the answer
#: says that less than everything was decided.
LOSE, HOLD, REFUSE, LOWER = "lose", "hold", "refuse", "lower"

SERVICE = "/checklane.v1.CheckoutService/"
WORKERS = 32
#: Calls whose answer gets lost are finished all the same; longer than this none takes.
FORWARD_WITHIN_S = 30.0
#: A lane without a deadline would wait for ever; the door does not.
HOLD_MOST_S = 30.0
#: grpcio tells a call without a deadline by one that is years away.
NO_DEADLINE_S = 86_400.0 * 30
_TRANSPORT_PREFIXES = ("grpc-", ":")
_TRANSPORT_KEYS = frozenset({"content-type", "te", "user-agent"})
_DETAILS = "grpc-status-details-bin"
_STREAMS = {
    "UploadTransactions": "item_id",
    "StreamLane": "request_id",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to some calls of a method.

    Attributes
    ----------
    method : str
        Of CheckoutService.
    kind : str
        LOSE, HOLD, REFUSE or LOWER.
    times : int
        How many calls.
    every : int
        Each so many-th call: 1 is all of them.
    reason : str
        The name of the refusal, for REFUSE.
    """

    method: str
    kind: str
    times: int = 1
    every: int = 1
    reason: str = "ENGINE_CLOSED"


class _Script:
    """The faults that are due. May be shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: Sequence[Fault] = ()
        self._seen: dict[Fault, int] = {}

    def write(self, faults: Sequence[Fault]) -> None:
        with self._lock:
            self._faults = tuple(faults)
            self._seen = dict.fromkeys(self._faults, 0)

    def next(self, method: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if fault.method != method:
                    continue
                self._seen[fault] += 1
                hits, rest = divmod(self._seen[fault], fault.every)
                if rest == 0 and hits <= fault.times:
                    return fault
        return None


class Door(grpc.GenericRpcHandler):
    """The port. Opened by `open`, or as a context.

    Parameters
    ----------
    upstream : str
        host:port of the service behind it.
    listen : str
        Where it listens; port 0: a free one, which it keeps while it is shut.

    Attributes
    ----------
    address : str
        Where lanes call.
    record : Record
        What passed.
    """

    def __init__(self, upstream: str, listen: str = "127.0.0.1:0") -> None:
        self.record = Record()
        self._script = _Script()
        host, _, port = listen.rpartition(":")
        # Bound and not listening: the port stays ours while nobody answers at it.
        self._claim = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            self._claim.bind((host.strip("[]"), int(port)))
        except (OSError, ValueError) as failure:
            self._claim.close()
            raise CertifyError(f"can not listen at {listen}: {failure}") from None
        self.address = f"{host}:{self._claim.getsockname()[1]}"
        self._channel = grpc.insecure_channel(
            upstream, options=[("grpc.max_receive_message_length", -1)]
        )
        self._server: grpc.Server | None = None

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shut()
        self._channel.close()
        self._claim.close()

    def open(self) -> None:
        """Listen, if nobody does."""
        if self._server is not None:
            return
        self._server = grpc.server(
            ThreadPoolExecutor(WORKERS, thread_name_prefix="certify-door"),
            handlers=[self],
            options=[("grpc.so_reuseport", 1), ("grpc.max_receive_message_length", -1)],
        )
        self._server.add_insecure_port(self.address)
        self._server.start()

    def shut(self) -> None:
        """Go away: connections break, and new ones are refused."""
        server, self._server = self._server, None
        if server is not None:
            server.stop(None).wait()

    def script(self, *faults: Fault) -> None:
        """Set what happens from now on, in place of what was due before."""
        self._script.write(faults)

    # ---- grpcio's side

    def service(self, handler_call_details: Any) -> Any:
        """Return what serves a method; the generic handler of grpcio."""
        path: str = handler_call_details.method
        name = path.removeprefix(SERVICE)
        if path != SERVICE + name or name not in METHODS:
            # One message or many: on the wire they are alike.
            return grpc.stream_stream_rpc_method_handler(
                lambda requests, context: self._pass(path, requests, context)
            )
        if name in _STREAMS:
            return grpc.stream_stream_rpc_method_handler(
                lambda requests, context: self._stream(name, requests, context)
            )
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._unary(name, request, context)
        )

    def _unary(self, name: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        left_s = context.time_remaining()
        has_deadline = left_s is not None and left_s < NO_DEADLINE_S
        exchange = self.record.note(
            Exchange(name, METHODS[name][0].FromString(request), has_deadline=has_deadline)
        )
        fault = self._script.next(name)
        if fault is not None and fault.kind == REFUSE:
            _turn_away(exchange, fault, context)
        call: Any = self._channel.unary_unary(SERVICE + name)
        within_s = FORWARD_WITHIN_S
        if fault is None and has_deadline and left_s is not None:
            within_s = min(left_s, within_s)
        try:
            answer, made = call.with_call(
                request, timeout=within_s, metadata=_metadata(context.invocation_metadata())
            )
        except grpc.RpcError as failure:
            exchange.refusal = _name_of(failure)
            _let_go(exchange, fault, context)
            _answer_failure(failure, context)
        exchange.answer = METHODS[name][1].FromString(answer)
        _let_go(exchange, fault, context)
        context.send_initial_metadata(_metadata(made.initial_metadata()))
        context.set_trailing_metadata(_metadata(made.trailing_metadata()))
        if fault is not None and fault.kind == LOWER:
            lower(exchange.answer)
            return bytes(exchange.answer.SerializeToString())
        return bytes(answer)

    def _stream(
        self, name: str, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Pass a stream on, its items recorded one by one."""
        request_class, answer_class = METHODS[name]
        field = _STREAMS[name]
        open_items: dict[int, Exchange] = {}

        def forward() -> Iterator[bytes]:
            for data in _until_broken(requests):
                item: Any = request_class.FromString(data)
                exchange = _item_of(name, item)
                if exchange is not None:
                    open_items[getattr(item, field)] = self.record.note(exchange)
                yield data

        method: Any = self._channel.stream_stream(SERVICE + name)
        call = method(forward(), metadata=_metadata(context.invocation_metadata()))
        context.add_callback(call.cancel)
        try:
            for data in call:
                answer: Any = answer_class.FromString(data)
                exchange = open_items.pop(getattr(answer, field), None)
                if exchange is not None:
                    kind = answer.WhichOneof("result" if name != "StreamLane" else "response")
                    if kind == "refusal":
                        exchange.refusal = answer.refusal.reason
                    elif kind is not None:
                        exchange.answer = getattr(answer, kind)
                    _let_go(exchange, self._script.next(exchange.method), context)
                yield data
        except grpc.RpcError as failure:
            _answer_failure(failure, context)

    def _pass(
        self, path: str, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """Pass on what is no checkout: health, members, the journal."""
        method: Any = self._channel.stream_stream(path)
        call = method(_until_broken(requests), metadata=_metadata(context.invocation_metadata()))
        context.add_callback(call.cancel)
        try:
            yield from call
        except grpc.RpcError as failure:
            _answer_failure(failure, context)


def lower(answer: Any) -> None:
    """Make an answer say that only offers for everyone were decided."""
    answer.decision.degraded_level = decision_pb2.DEGRADED_LEVEL_PUBLIC_OFFERS


def _turn_away(exchange: Exchange, fault: Fault, context: grpc.ServicerContext) -> NoReturn:
    exchange.fate, exchange.refusal = TURNED_AWAY, fault.reason
    status = rpc_status.to_status(to_rpc_status(refuse(fault.reason)))
    context.abort_with_status(status)


def _let_go(exchange: Exchange, fault: Fault | None, context: grpc.ServicerContext) -> None:
    """Lose or keep an answer that the service has given, as a fault says."""
    if fault is not None and fault.kind == HOLD:
        exchange.fate = HELD
        gone = threading.Event()
        if context.add_callback(gone.set):
            gone.wait(HOLD_MOST_S)
        context.abort(grpc.StatusCode.UNAVAILABLE, "the answer came too late")
    if fault is not None and fault.kind == LOSE:
        exchange.fate = LOST
        context.abort(grpc.StatusCode.UNAVAILABLE, "the connection was lost")


def _item_of(name: str, item: Any) -> Exchange | None:
    """Return an item of a stream as a call; None: it has nothing in it."""
    kind = item.WhichOneof("item" if name == "UploadTransactions" else "request")
    if kind is None:
        return None
    method = "".join(word.capitalize() for word in kind.split("_"))
    return Exchange(method, getattr(item, kind), stream=name)


def _until_broken(requests: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what a caller sends until it ends or the caller is gone."""
    try:
        yield from requests
    except grpc.RpcError:
        return


def _metadata(found: Any) -> tuple[tuple[str, str | bytes], ...]:
    """Return the metadata that belongs to the caller and the service, not to the transport."""
    return tuple(
        (key, value)
        for key, value in found or ()
        if key == _DETAILS or not (key.startswith(_TRANSPORT_PREFIXES) or key in _TRANSPORT_KEYS)
    )


def _name_of(failure: Any) -> str:
    return from_rpc_error(failure).reason or str(failure.code().name)


def _answer_failure(failure: Any, context: grpc.ServicerContext) -> NoReturn:
    """Answer a caller with what the service answered."""
    context.set_trailing_metadata(_metadata(failure.trailing_metadata()))
    context.abort(failure.code(), failure.details() or "")
