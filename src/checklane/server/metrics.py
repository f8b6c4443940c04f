"""What the port counts, and the Prometheus endpoint that shows it with the engine's own figures."""

import threading
from collections.abc import Callable, Iterable
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

__all__ = ["Metrics"]

# From a quote answered at once to a commit behind a slow disk.
LATENCY_BUCKETS_S = (
    50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 20e-3, 50e-3, 0.1, 0.25, 0.5, 1, 2.5, 10
)  # fmt: skip


class _EngineCollector(Collector):
    """Shows the engine's counters as gauges: it alone knows which of them ever fall."""

    def __init__(self, stats: Callable[[], dict[str, int]]) -> None:
        self._stats = stats

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Read the engine once and yield a family for each of its figures."""
        for name, value in sorted(self._stats().items()):
            words = f"Engine: {name.replace('_', ' ')}."
            yield GaugeMetricFamily(f"checklane_engine_{name}", words, value)


class Metrics:
    """Counters of one service. Any thread may call.

    Parameters
    ----------
    stats : callable
        Gives the engine's figures; called once a scrape.
    """

    def __init__(self, stats: Callable[[], dict[str, int]]) -> None:
        self.registry = CollectorRegistry()
        self._answers = Counter(
            "checklane_answers",
            "Answers by method and outcome: OK or the name of the refusal.",
            ("method", "outcome"),
            registry=self.registry,
        )
        self._latency = Histogram(
            "checklane_answer_seconds",
            "Time from the call's arrival in a worker to its answer.",
            ("method",),
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._streams = Gauge(
            "checklane_streams_open", "Lane and ledger streams.", registry=self.registry
        )
        self.registry.register(_EngineCollector(stats))
        self._server: tuple[WSGIServer, threading.Thread] | None = None

    def answered(self, method: str, outcome: str, duration_s: float) -> None:
        """Count one answer."""
        self._answers.labels(method, outcome).inc()
        self._latency.labels(method).observe(duration_s)

    def stream_opened(self) -> None:
        """Count one more open stream."""
        self._streams.inc()

    def stream_closed(self) -> None:
        """Count one open stream less."""
        self._streams.dec()

    def serve(self, host: str, port: int) -> int:
        """Open the endpoint and return its port."""
        self._server = start_http_server(port, host, self.registry)
        return int(self._server[0].server_port)

    def close(self) -> None:
        """Close the endpoint, if it is open, and wait for its thread."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()
            self._server = None
