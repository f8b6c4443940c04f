"""One call, whichever way it came: to the engine, counted, and its refusals translated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import grpc
import structlog
from grpc_status import rpc_status

from checklane._engine import EngineError
from checklane.clock import Clock
from checklane.errors import (
    ChecklaneError,
    InternalError,
    from_answer,
    from_status,
    refuse,
    to_rpc_status,
)
from checklane.server.contract import FEATURES
from checklane.server.metrics import Metrics

__all__ = [
    "CORRELATION_KEY",
    "Calls",
    "EngineLike",
    "Method",
    "abort",
    "not_built",
    "not_built_words",
]

CORRELATION_KEY = "checklane-correlation-id"

#: A method of the contract as the port sees it: bytes to bytes, raising what refuses it.
Method = Callable[[bytes], bytes]

log = structlog.get_logger("checklane.server")


@dataclass(frozen=True, slots=True)
class _Status(grpc.Status):
    """A refusal as grpcio wants it."""

    code: grpc.StatusCode
    details: str
    trailing_metadata: tuple[tuple[str, str | bytes], ...]


class EngineLike(Protocol):
    """What the port needs of the engine; ``checklane._engine.Engine`` is it."""

    def call(self, method: int, request: bytes) -> tuple[int, bytes | str]:
        """Answer one request: (0, response), (status, place) or (status, FiguresChanged)."""

    def activate(
        self,
        program: str | None,
        catalogue: str | None,
        members: str | None,
        *,
        is_recorded: bool = True,
    ) -> None:
        """Make snapshot files live in one swap; None keeps what is live."""

    def read_entries(self, from_lsn: int, limit: int, max_bytes: int) -> list[bytes]:
        """Return durable entries from a position on."""

    def checkpoint(self) -> None:
        """Write all accounts out now; calls go on meanwhile."""

    def stats(self) -> dict[str, int]:
        """Return counters and gauges by name."""

    def tallies(self) -> dict[str, Any]:
        """Return what is counted by size, time, flow and purse."""

    def close(self) -> None:
        """Write out what waits and free everything."""


class Calls:
    """Answers calls by the name of their method. Any thread may call.

    Parameters
    ----------
    engine : EngineLike
    numbers : Mapping of str to int
        The engine's methods by "Service.Method".
    metrics : Metrics
    clock : Clock
    """

    def __init__(
        self, engine: EngineLike, numbers: Mapping[str, int], metrics: Metrics, clock: Clock
    ) -> None:
        self._engine = engine
        self._numbers = numbers
        self._metrics = metrics
        self._clock = clock
        self._python: dict[str, Method] = {}

    def add(self, name: str, method: Method) -> None:
        """Serve a method here instead of in the engine; before the port opens."""
        self._python[name] = method

    def answer(self, name: str, request: bytes) -> bytes:
        """Answer one request.

        Parameters
        ----------
        name : str
            "Service.Method".
        request : bytes

        Raises
        ------
        ChecklaneError
            The refusal.
        """
        return self.measured(name, lambda: self._answer(name, request))

    def measured(self, name: str, work: Callable[[], bytes]) -> bytes:
        """Do the work of one call and count it, whoever does it.

        Raises
        ------
        ChecklaneError
            The refusal.
        """
        began_s = self._clock.monotonic_s()
        outcome = "OK"
        try:
            return work()
        except ChecklaneError as error:
            outcome = error.reason
            raise
        except Exception as failure:
            outcome = "INTERNAL"
            log.exception("call failed", method=name)
            raise internal(name, failure) from failure
        finally:
            self._metrics.answered(name, outcome, self._clock.monotonic_s() - began_s)

    def _answer(self, name: str, request: bytes) -> bytes:
        number = self._numbers.get(name)
        if number is None:
            method = self._python.get(name)
            if method is None:
                raise not_built(name)
            return method(request)
        try:
            status, answer = self._engine.call(number, request)
        except EngineError as failure:
            raise from_status(failure.status, failure.place) from None
        if status == 0 and isinstance(answer, bytes):
            return answer
        raise from_answer(status, answer)


def internal(name: str, failure: Exception) -> InternalError:
    """Return what a caller is told of a failure of ours: its kind, never its innards."""
    kind = type(failure).__name__
    return InternalError("INTERNAL", f"{name} failed with {kind}: look at the log", "", 13)


def not_built(name: str) -> ChecklaneError:
    """Return the refusal of a method that the contract has and nothing serves yet."""
    return refuse("METHOD_NOT_BUILT", "", not_built_words(name.rpartition(".")[2]))


def not_built_words(method: str) -> str:
    """Return what is wrong with a call of a method that nothing serves yet."""
    return f"{method} ({FEATURES.get(method, 'this method')}) can not be called"


def abort(
    context: grpc.ServicerContext, error: ChecklaneError, correlation_id: str = ""
) -> NoReturn:
    """End a call with a refusal: code, message and details; never returns."""
    packed = rpc_status.to_status(to_rpc_status(error))
    echo = ((CORRELATION_KEY, correlation_id),) if correlation_id else ()
    status = _Status(packed.code, packed.details, (*packed.trailing_metadata, *echo))
    context.abort_with_status(status)
    raise AssertionError("abort_with_status returned")
