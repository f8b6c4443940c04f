"""A figure: latencies of several runs, their medians, and proof that the answers were right."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import numpy.typing as npt
from hdrh.histogram import HdrHistogram

from checklane.v1 import checkout_pb2, decision_pb2

Times = npt.NDArray[np.integer[Any]]
#: Latencies from one nanosecond to a minute, in three significant digits.
LATENCY_MAX_NS = 60_000_000_000
LATENCY_DIGITS = 3
#: Three digits need 2,000 steps: 11 bits.
SIGNIFICANT_BITS = 11


class BenchError(Exception):
    """A run gave no figure, or wrong answers: a fast wrong answer is a failed run."""


def new_histogram() -> Any:
    """Return an empty histogram of latencies in nanoseconds."""
    return HdrHistogram(1, LATENCY_MAX_NS, LATENCY_DIGITS)


def histogram_of(times_ns: Times) -> Any:
    """Return a histogram of latencies.

    Values are first brought to the lowest of those that a histogram does not tell apart, so that
    millions of them become some thousand pairs of value and count.
    """
    values = np.clip(np.asarray(times_ns, dtype=np.int64), 1, LATENCY_MAX_NS)
    # Below 2**11 every value counts; above, so many low bits are not told apart.
    bits = np.frexp(values.astype(np.float64))[1]
    low_bits = np.maximum(bits - SIGNIFICANT_BITS, 0).astype(np.int64)
    lowest, counts = np.unique(values >> low_bits << low_bits, return_counts=True)
    found = new_histogram()
    for value, count in zip(lowest.tolist(), counts.tolist(), strict=True):
        found.record_value(value, count)
    return found


def encoded(histogram: Any) -> str:
    """Return a histogram as HdrHistogram writes it: V2, compressed, base64."""
    text = histogram.encode()
    return text.decode() if isinstance(text, bytes) else str(text)


def decoded(text: str) -> Any:
    """Return the histogram that was `encoded`."""
    return HdrHistogram.decode(text)


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes
    ----------
    runs : int
        Of each figure; medians are over them.
    baskets : int
        Different baskets of an evaluator's row.
    decide_s : float
        Seconds of one run of an evaluator's row.
    call_s : float
        Seconds of one run of calls.
    sync_count : int
        Writes with fdatasync.
    in_flight : tuple of int
        Commits under way at once, in one process.
    connections : int
        Of the gRPC rows with many.
    deals : int
        Different best deals of a family and size.
    solved : int
        How many of them HiGHS solves too.
    journeys : int
        Real baskets of the Complete Journey; 0 for none.
    """

    runs: int
    baskets: int
    decide_s: float
    call_s: float
    sync_count: int
    in_flight: tuple[int, ...]
    connections: int
    deals: int
    solved: int
    journeys: int


FULL = Effort(5, 32, 0.2, 0.7, 200, (1, 8, 64), 16, deals=100, solved=10, journeys=1_000)
QUICK = Effort(2, 4, 0.01, 0.05, 40, (1, 4), 4, deals=2, solved=1, journeys=0)
#: The row of the disk, which every durable change is held against.
SYNC_NAME = "4 KiB write and fdatasync"
#: Processes that share the connections.
WORKERS = 2


@dataclass(frozen=True)
class Run:
    """One run: how many, how fast, in nanoseconds."""

    count: int
    p50_ns: int
    p99_ns: int
    max_ns: int
    per_second: float


@dataclass
class Figure:
    """One row of the report.

    Attributes
    ----------
    section, name : str
    runs : list of Run
    histogram : HdrHistogram
        Of all runs together.
    checksum : str
        Of the decisions; empty where nothing is decided.
    exact_share : float or None
        Share of the baskets whose deal was proven best.
    versus : str
        Name of the row that it is held against; empty for none.
    medians_ns : list of lists of float
        Of each run, the median time of each basket; empty where rows are no baskets.
    """

    section: str
    name: str
    runs: list[Run] = field(default_factory=list)
    histogram: Any = field(default_factory=lambda: new_histogram())
    checksum: str = ""
    exact_share: float | None = None
    versus: str = ""
    medians_ns: list[list[float]] = field(default_factory=list)

    def add(self, times_ns: Times, elapsed_s: float) -> None:
        """Add one run.

        Parameters
        ----------
        times_ns : numpy.ndarray of integers
            What each operation took.
        elapsed_s : float
            From the first operation's begin to the last one's end.
        """
        if len(times_ns) == 0:
            raise BenchError(f"{self.name}: nothing was measured")
        run = histogram_of(times_ns)
        self.histogram.add(run)
        self.runs.append(
            Run(
                count=len(times_ns),
                p50_ns=int(run.get_value_at_percentile(50)),
                p99_ns=int(run.get_value_at_percentile(99)),
                max_ns=int(times_ns.max()),
                per_second=len(times_ns) / max(elapsed_s, 1e-9),
            )
        )

    @property
    def p50_ns(self) -> float:
        """Median over the runs of their p50."""
        return statistics.median(run.p50_ns for run in self.runs)

    @property
    def p99_ns(self) -> float:
        """Median over the runs of their p99."""
        return statistics.median(run.p99_ns for run in self.runs)

    @property
    def baskets_p99_ns(self) -> float | None:
        """What 99 of 100 baskets usually take: p99 over the baskets of each one's median.

        Other work on the machine lengthens some decisions of every basket, and so p99 and max, but
        hardly a median. None where no baskets were measured.
        """
        if not self.medians_ns:
            return None
        usual = np.median(np.array(self.medians_ns), axis=0)
        return float(np.percentile(usual, 99, method="higher"))

    @property
    def max_ns(self) -> int:
        """The longest of all runs."""
        return max(run.max_ns for run in self.runs)

    @property
    def per_second(self) -> float:
        """Median over the runs of operations a second."""
        return statistics.median(run.per_second for run in self.runs)


def ratio(figure: Figure, figures: Sequence[Figure]) -> float | None:
    """Return a figure's p50 over that of the row that it is held against."""
    for other in figures:
        if other.name == figure.versus:
            return figure.p50_ns / other.p50_ns
    return None


def plain_decision(response: bytes) -> decision_pb2.Decision:
    """Return the decision of a quote without what depends on time, state or the way there."""
    decision = checkout_pb2.QuoteBasketResponse.FromString(response).decision
    for name in ("balances", "basis"):
        decision.ClearField(name)
    decision.optimality.ClearField("step_count")
    return decision


def digest_of(parts: Iterable[bytes]) -> str:
    """Return a digest of some bytes, short enough for a table."""
    digest = blake2b(digest_size=6)
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def checksum(responses: Sequence[bytes]) -> str:
    """Return a digest of the decisions of quotes, in their order."""
    return digest_of(
        plain_decision(response).SerializeToString(deterministic=True) for response in responses
    )


def exact_share(responses: Sequence[bytes]) -> float:
    """Return the share of quotes whose deal was proven best."""
    exact = [
        plain_decision(response).optimality.kind == decision_pb2.OPTIMALITY_KIND_EXACT
        for response in responses
    ]
    return sum(exact) / len(exact)
