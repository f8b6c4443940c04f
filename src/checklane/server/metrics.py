"""What the port counts, and the Prometheus endpoint that shows it with the engine's own figures."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

__all__ = ["Metrics", "SnapshotCollector", "TallyCollector"]

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


class TallyCollector(Collector):
    """Shows groups by size and sync time, and what was done with points.

    Parameters
    ----------
    tallies : callable
        Gives `Engine.tallies`; called once a scrape.
    """

    def __init__(self, tallies: Callable[[], Mapping[str, Any]]) -> None:
        self._tallies = tallies

    def collect(self) -> Iterable[Metric]:
        """Read the engine once and yield a family for each kind of figure."""
        tallies = self._tallies()
        if tallies:
            yield self._sync(tallies["sync"], tallies["sync_us"])
            yield self._groups(tallies["groups"], tallies["entries"])
            yield self._points(tallies["points"])
            yield self._liability(tallies["owed"])

    def _sync(self, counts: Sequence[int], sum_us: int) -> Metric:
        family = HistogramMetricFamily(
            "checklane_sync_seconds", "Time to write and sync one group of the journal."
        )
        edges = [str(2**power / 1e6) for power in range(len(counts) - 1)]
        family.add_metric([], _buckets(edges, counts), sum_us / 1e6)
        return family

    def _groups(self, counts: Sequence[int], entries: int) -> Metric:
        family = HistogramMetricFamily("checklane_group_entries", "Entries of one group.")
        edges = [str(2**power) for power in range(len(counts))]
        family.add_metric([], _buckets(edges, [*counts, 0]), entries)
        return family

    def _points(self, flows: Mapping[str, Sequence[int]]) -> Metric:
        family = CounterMetricFamily(
            "checklane_points",
            "Points moved since the start, in the purse's smallest units.",
            labels=["purse", "flow"],
        )
        for flow, counts in flows.items():
            for purse, count in enumerate(counts):
                if count:
                    family.add_metric([str(purse), flow], count)
        return family

    def _liability(self, owed: Sequence[int]) -> Metric:
        family = GaugeMetricFamily(
            "checklane_points_liability",
            "Points that members hold less what they owe, in the purse's smallest units.",
            labels=["purse"],
        )
        for purse, points in enumerate(owed):
            if points:
                family.add_metric([str(purse)], points)
        return family


def _buckets(edges: Sequence[str], counts: Sequence[int]) -> list[tuple[str, float]]:
    """Return the counts up to each edge; the last count is of what lies above all of them."""
    totals = list(accumulate(counts))
    return list(zip([*edges, "+Inf"], map(float, totals), strict=True))


class SnapshotCollector(Collector):
    """Shows how old the snapshots are that answer now.

    Parameters
    ----------
    ages_s : callable
        Gives seconds since each live snapshot's file was written, by kind.
    """

    def __init__(self, ages_s: Callable[[], Mapping[str, float]]) -> None:
        self._ages_s = ages_s

    def collect(self) -> Iterable[Metric]:
        """Yield one family, with a figure for each kind that is live."""
        family = GaugeMetricFamily(
            "checklane_snapshot_age_seconds",
            "Time since the live snapshot's file was written.",
            labels=["kind"],
        )
        for kind, age_s in self._ages_s().items():
            family.add_metric([kind], age_s)
        yield family


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
