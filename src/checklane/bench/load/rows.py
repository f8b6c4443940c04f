"""A row of a load report: what was offered, what came back, how late everything was."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from checklane.bench.figures import BenchError, encoded, histogram_of, new_histogram
from checklane.bench.load.drive import Done
from checklane.bench.load.plan import DEGRADED, REFUSED, RIGHT, Array, Method, Request

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
KEYS = ("p50_ns", "p90_ns", "p99_ns", "p999_ns")


@dataclass
class Row:
    """One run, or one part of it.

    Attributes
    ----------
    section, name : str
    per_second : float
        Right answers.
    offered_per_second : float or None
        None for a closed loop.
    latency, lateness : HdrHistogram
        Of right answers, from the time at which each was due; of the generator itself.
    by_method : dict of str to HdrHistogram
        Where there is more than one.
    outcomes : dict of str to int
    checksum : str
        Of the decisions that were expected and came.
    cpu_us : float or None
        Processor time of the server for each answer, user and system.
    versus : str
        Name of the row that it is held against; empty for none.
    windows : list of Row
        Parts of the run, in order.
    times : tuple of arrays, or None
        When each right call was due and how long it took, for a chart over time.
    marks : list of (float, str)
        Seconds after the start, and what happened then.
    """

    section: str
    name: str
    per_second: float
    offered_per_second: float | None = None
    latency: Any = field(default_factory=new_histogram)
    lateness: Any = field(default_factory=new_histogram)
    by_method: dict[str, Any] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=dict)
    checksum: str = ""
    cpu_us: float | None = None
    versus: str = ""
    windows: list["Row"] = field(default_factory=list)
    times: tuple[Array, Array] | None = None
    marks: list[tuple[float, str]] = field(default_factory=list)

    def at(self, percentile: float) -> int:
        """Return the latency at a percentile, in ns."""
        return int(self.latency.get_value_at_percentile(percentile))

    @property
    def max_ns(self) -> int:
        """The longest latency, as the histogram keeps it."""
        return int(self.latency.get_max_value())

    @property
    def is_whole(self) -> bool:
        """Tell whether everything was answered in full."""
        return not set(self.outcomes) - {"right", "dropped"}

    def as_json(self) -> dict[str, Any]:
        """Return it for a JSON file, with its histograms."""
        return {
            "section": self.section,
            "name": self.name,
            **{key: self.at(at) for key, at in zip(KEYS, PERCENTILES, strict=True)},
            "max_ns": self.max_ns,
            "per_second": round(self.per_second, 1),
            "offered_per_second": self.offered_per_second,
            "outcomes": self.outcomes,
            "checksum": self.checksum,
            "server_cpu_us": self.cpu_us,
            "versus": self.versus,
            "marks": self.marks,
            "windows": [window.as_json() for window in self.windows],
            "histogram_ns": encoded(self.latency),
            "lateness_histogram_ns": encoded(self.lateness),
            "histograms_ns": {name: encoded(found) for name, found in self.by_method.items()},
        }


def make_row(
    section: str,
    name: str,
    done: Done,
    methods: Sequence[Method],
    requests: Sequence[Request],
    offered: float | None,
) -> Row:
    """Return the row of a run.

    Raises
    ------
    BenchError
        Nothing was answered.
    """
    found = done.of(RIGHT)
    if len(found) == 0:
        raise BenchError(f"{name}: nothing was answered")
    kinds = np.array([request.method for request in requests], dtype=np.int64)[found["request"]]
    names = {int(kind): methods[int(kind)].name for kind in np.unique(kinds)}
    waits = latencies(found)
    row = Row(
        section,
        name,
        per_second=len(found) / done.elapsed_s,
        offered_per_second=offered,
        latency=histogram_of(waits),
        lateness=histogram_of(lateness(done.results)),
        outcomes=done.counts(),
        times=(found["due_ns"] / 1e9, waits),
    )
    if len(names) > 1:
        row.by_method = {word: histogram_of(waits[kinds == kind]) for kind, word in names.items()}
    return row


def latencies(results: Array) -> Array:
    """Return how long answers took, in ns, from the time at which each call was due."""
    waits: Array = (results["done_ns"] - results["due_ns"]).astype(np.int64)
    return waits


def lateness(results: Array) -> Array:
    """Return how late the generator came to each call, in ns: its own fault, nobody else's."""
    late: Array = (results["taken_ns"] - results["due_ns"]).astype(np.int64)
    return late


def window(row: Row, name: str, done: Done, from_s: float, until_s: float) -> Row:
    """Return the part of a run whose calls were due in some seconds, both ends in whole results."""
    due_s = done.results["due_ns"] / 1e9
    inside = done.results[(due_s >= from_s) & (due_s < until_s)]
    found = inside[inside["outcome"] == RIGHT]
    if len(found) == 0:
        raise BenchError(f"{row.name}, {name}: nothing was answered")
    counts = Counter(inside["outcome"].tolist())
    refused = {REFUSED: "refused", DEGRADED: "degraded", RIGHT: "right"}
    return Row(
        row.section,
        name,
        per_second=len(found) / (until_s - from_s),
        offered_per_second=len(inside) / (until_s - from_s),
        latency=histogram_of(latencies(found)),
        lateness=histogram_of(lateness(inside)),
        outcomes={refused.get(outcome, "other"): count for outcome, count in counts.items()},
    )
