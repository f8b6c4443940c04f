"""The lane port as the service sees it: its addresses, its table of methods, its figures.

Everything that a lane sends is answered by ``native/checklane/lane*.c``, without the interpreter.
This module says what the contract is, and opens and closes the sockets.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from checklane._engine import Engine, EngineError, LanePort
from checklane._layout import STATUSES
from checklane.config import Settings, lane_addresses
from checklane.errors import REFUSALS, ConfigError, NotFoundError, RequestError, from_status
from checklane.server.calls import not_built_words
from checklane.server.contract import LANE_METHODS, PACKAGE, SERVICES, UPLOAD_METHODS
from checklane.v1 import checkout_pb2

__all__ = ["LaneCollector", "Lanes", "lane_methods", "lane_words"]

BACKLOG = 1024

#: The services that lanes call, and in each what they call most, for the order of the table.
LANE_SERVICES = ("CheckoutService", "MemberService")
CALLED_MOST = ("QuoteBasket", "CommitTransaction", "IdentifyMember")

HEALTH = "grpc.health.v1.Health"

_NAME_OF_STATUS = {number: name for name, (number, _, _) in STATUSES.items()}

MethodRow = tuple[str, str, int, int, str, str, tuple[int, int]]

#: Methods of CheckoutService that are streams, and how the lane port calls them.
STREAMS = {"StreamLane": "stream", "UploadTransactions": "upload"}


def lane_methods(numbers: Mapping[str, int]) -> list[MethodRow]:
    """Return the table of methods that the lane port serves, those called most first.

    Parameters
    ----------
    numbers : Mapping of str to int
        The engine's methods by "Service.Method".
    """
    fields = {method: (number, name) for number, (name, method) in LANE_METHODS.items()}
    items = {
        row.method: (row.field_name, (number, row.answer_field))
        for number, row in UPLOAD_METHODS.items()
    }
    rows: list[MethodRow] = []
    for service_name in LANE_SERVICES:
        service = SERVICES[service_name]
        names = sorted(
            (method.name for method in service.methods), key=lambda name: name not in CALLED_MOST
        )
        for name in names:
            path = f"/{service.full_name}/{name}"
            in_checkout = service_name == "CheckoutService"
            field, field_name = fields.get(name, (0, "")) if in_checkout else (0, "")
            item_name, upload = items.get(name, ("", (0, 0))) if in_checkout else ("", (0, 0))
            number = numbers.get(f"{service_name}.{name}", 0)
            kind = STREAMS.get(name, "unary" if number else "refused")
            words = not_built_words(name)
            rows.append((path, kind, number, field, field_name or item_name, words, upload))
    rows.append((f"/{HEALTH}/Check", "check", 0, 0, "", "", (0, 0)))
    rows.append((f"/{HEALTH}/Watch", "watch", 0, 0, "", "", (0, 0)))
    return rows


def lane_words() -> list[tuple[int, str, bool]]:
    """Return how each status is told: its number, what is wrong, whether a field is at fault."""
    return [
        (
            refusal.number,
            refusal.what,
            issubclass(refusal.error_class, RequestError | NotFoundError),
        )
        for refusal in REFUSALS.values()
    ]


def _listen(address: str | tuple[str, int]) -> socket.socket:
    """Bind one address and listen there.

    Raises
    ------
    OSError
    """
    if isinstance(address, str):
        # A socket that a killed process left behind; anything else stays and refuses the bind.
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.lstat(address).st_mode) and not _is_answered(address):
                os.unlink(address)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    else:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _is_answered(path: str) -> bool:
    """Tell whether a process listens at a path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _shown(listener: socket.socket) -> str:
    name = listener.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


def _bad_certificate(path: str) -> ConfigError:
    words = "this is no PEM file of a certificate, or of the key that belongs to it"
    return ConfigError(f"{words}, at {path}: mend lane_tls_certificate, _key or _client_ca", path)


class Lanes:
    """The open lane port of one service.

    Parameters
    ----------
    settings : Settings
        With at least one address in `lane_listen` or `lane_tls_listen`.
    engine : Engine
    numbers : Mapping of str to int
        The engine's methods by "Service.Method".

    Attributes
    ----------
    addresses : list of str
        host:port or unix:path, as bound.

    Raises
    ------
    ConfigError
        An address is taken or not ours.
    """

    def __init__(self, settings: Settings, engine: Engine, numbers: Mapping[str, int]) -> None:
        self._sockets: list[socket.socket] = []
        self._open_sockets(settings.lane_listen)
        plain_count = len(self._sockets)
        self._open_sockets(settings.lane_tls_listen)
        self.addresses = [_shown(listener) for listener in self._sockets]
        has_tls = len(self._sockets) > plain_count
        files = (
            settings.lane_tls_certificate,
            settings.lane_tls_key,
            settings.lane_tls_client_ca,
        )
        try:
            self._port = LanePort(
                engine,
                [
                    (listener.fileno(), index >= plain_count)
                    for index, listener in enumerate(self._sockets)
                ],
                lane_methods(numbers),
                lane_words(),
                [f"{PACKAGE}.{name}" for name in LANE_SERVICES],
                {
                    "threads": settings.lane_threads,
                    "changes": settings.lane_changes,
                    "connections": settings.lane_connections,
                    "calls": settings.lane_calls,
                    "stream_window": settings.stream_window,
                    "refusal_field": checkout_pb2.StreamLaneResponse.REFUSAL_FIELD_NUMBER,
                    "idle_ms": settings.lane_idle_seconds * 1000,
                    "receive_ms": settings.lane_receive_seconds * 1000,
                    "stall_ms": settings.lane_stall_seconds * 1000,
                    "public_us": settings.lane_public_offers_us,
                    "shelf_us": settings.lane_shelf_price_us,
                    "refuse_us": settings.lane_refuse_us,
                    "keepalive_ms": settings.lane_keepalive_seconds * 1000,
                },
                files if has_tls else None,
            )
        except EngineError as failure:
            self._close_sockets()
            if failure.place in files:
                raise _bad_certificate(failure.place) from None
            raise from_status(failure.status, failure.place) from None

    def _open_sockets(self, addresses: str) -> None:
        for address in lane_addresses(addresses):
            try:
                self._sockets.append(_listen(address))
            except OSError as failure:
                self._close_sockets()
                shown = address if isinstance(address, str) else ":".join(map(str, address))
                raise ConfigError(
                    f"lanes can not be served at {shown}: {failure.strerror}: stop what listens"
                    " there or choose another address",
                    shown,
                ) from None

    def reload_certificates(self) -> None:
        """Serve what the certificate's files hold now, to connections to come.

        Raises
        ------
        ConfigError
            They are wrong; what was served before goes on being served.
        """
        try:
            self._port.reload_certificates()
        except EngineError as failure:
            raise _bad_certificate(failure.place) from None

    def set_serving(self, is_serving: bool) -> None:
        """Tell health checks whether baskets are decided."""
        self._port.set_serving(is_serving)

    def stats(self) -> dict[str, Any]:
        """Return the port's figures; see ``_engine.pyi``."""
        return self._port.stats()

    def drain(self, grace_s: float) -> None:
        """Take no new connection, answer what is open, cut off what takes longer."""
        self._port.drain(round(grace_s * 1000))
        self._close_sockets()

    def close(self) -> None:
        """Cut off what is open and let the engine go; before the engine is closed."""
        self._port.close()
        self._close_sockets()

    def _close_sockets(self) -> None:
        for listener in self._sockets:
            name = listener.getsockname() if listener.fileno() >= 0 else None
            listener.close()
            if isinstance(name, str):
                with contextlib.suppress(OSError):
                    os.unlink(name)
        self._sockets = []


class LaneCollector(Collector):
    """Shows the lane port's figures to Prometheus.

    Parameters
    ----------
    lanes : Lanes
    """

    #: Counters by their name in the figures, and what they count.
    COUNTERS: Mapping[str, str] = {
        "accepted": "Connections accepted.",
        "cancelled": "Calls that ended before their answer.",
        "read_bytes": "Bytes read from lanes.",
        "written_bytes": "Bytes written to lanes.",
        "paused": "Times that a lane was not read because it did not read.",
    }
    GAUGES: Mapping[str, str] = {
        "connections": "Connections open.",
        "calls": "Calls open.",
        "streams": "Lane streams open.",
        "changes": "Changes that the writer has.",
        "parked": "Changes that wait for a place.",
    }

    STEPS = ("full", "public_offers", "shelf_price", "refused")

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes

    def collect(self) -> Iterable[Metric]:
        """Read the port once and yield a family for each kind of figure."""
        stats = self._lanes.stats()
        for name, words in self.COUNTERS.items():
            yield CounterMetricFamily(f"checklane_lane_{name}", words, stats[name])
        for name, words in self.GAUGES.items():
            yield GaugeMetricFamily(f"checklane_lane_{name}", words, stats[name])
        ends = CounterMetricFamily(
            "checklane_lane_ends", "Connections by the reason of their end.", labels=["reason"]
        )
        for reason, count in stats["ends"].items():
            ends.add_metric([reason], count)
        yield ends
        steps = CounterMetricFamily(
            "checklane_lane_steps",
            "Quotes by how much was decided, and reads that were refused under load.",
            labels=["step"],
        )
        for step, count in zip(self.STEPS, stats["steps"], strict=True):
            steps.add_metric([step], count)
        yield steps
        answers = CounterMetricFamily(
            "checklane_lane_answers",
            "Answers by method and outcome: OK or the name of the refusal.",
            labels=["method", "outcome"],
        )
        for (method, status), count in stats["answers"].items():
            answers.add_metric([method, _NAME_OF_STATUS[status]], count)
        yield answers
        yield self._times(stats["times"])

    def _times(self, times: Mapping[str, tuple[list[int], int]]) -> HistogramMetricFamily:
        family = HistogramMetricFamily(
            "checklane_lane_answer_seconds",
            "Time from a call's last byte to its answer.",
            labels=["method"],
        )
        for method, (counts, sum_us) in times.items():
            total = 0
            buckets = []
            for power, count in enumerate(counts):
                total += count
                buckets.append((str(2**power / 1e6), total))
            buckets[-1] = ("+Inf", total)
            family.add_metric([method], buckets, sum_us / 1e6)
        return family
