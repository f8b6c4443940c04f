"""A plan for the generator: methods, requests, arrivals, and what comes back.

Arrivals are drawn before the run begins and depend on the seed alone. Nothing that the server does
moves them: that is what an open loop means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from checklane.bench.figures import BenchError

Array = npt.NDArray[Any]

ARRIVAL = np.dtype([("due_ns", "<u8"), ("request", "<u4"), ("lane", "<u2"), ("act", "<u2")])
RESULT = np.dtype(
    [
        ("due_ns", "<u8"),
        ("taken_ns", "<u8"),
        ("sent_ns", "<u8"),
        ("done_ns", "<u8"),
        ("lsn", "<i8"),
        ("request", "<u4"),
        ("lane", "<u2"),
        ("outcome", "u1"),
        ("status", "u1"),
    ]
)
#: What a lane does with a call; see generator.h.
CALL, CANCEL, STALL, LEAVE, CUT = range(5)
#: What became of a call.
NONE, RIGHT, REFUSED, WRONG, DEGRADED, DROPPED, LOST = range(7)
OUTCOMES = ("unanswered", "right", "refused", "wrong", "degraded", "dropped", "lost")

#: Customers by the hour of a trading day, 7:00 to 22:00, relative to the mean: a quiet morning, a
#: bump at noon, the peak between five and six.
DAY_PROFILE = (0.4, 0.6, 0.8, 1.0, 1.1, 1.2, 1.0, 0.9, 1.0, 1.3, 1.7, 1.6, 1.2, 0.8, 0.4)

LevelWords = tuple[tuple[int, ...], int]
NO_LEVELS: tuple[LevelWords, ...] = (((), 0), ((), 0), ((), 0))


@dataclass(frozen=True)
class Method:
    """A method as the generator calls and checks it.

    Attributes
    ----------
    name : str
        In reports.
    path : bytes
    stream_field : int
        Its number in StreamLaneRequest and StreamLaneResponse.
    is_exact : bool
        True: an answer must be right to the byte.
    posting_field : int
        Where an answer keeps the journal's position; 0 for nowhere.
    degraded_field : int
        Where the nested message keeps the degraded level.
    levels : tuple
        For the answer, its nested message and the one in that: numbers of the fields that may
        differ between right answers, and the number of the message that the next level is for.
    """

    name: str
    path: bytes
    stream_field: int = 0
    is_exact: bool = False
    posting_field: int = 0
    degraded_field: int = 0
    levels: tuple[LevelWords, ...] = NO_LEVELS


@dataclass(frozen=True)
class Request:
    """A request that is sent again and again.

    Attributes
    ----------
    body : bytes
        A message of the contract.
    method : int
        Index into the methods of the plan.
    expected : bytes
        The right answer, as the generator masks it.
    text_at, number_at : int
        Where the serial number is written: as 20 digits, as a varint of 10 bytes; 0 for nowhere.
    """

    body: bytes
    method: int
    expected: bytes
    text_at: int = 0
    number_at: int = 0


@dataclass(frozen=True)
class Options:
    """How a run is made; the names are those of generator.h."""

    host: bytes
    port: int
    lanes: int
    in_flight: int = 1
    is_stream: bool = False
    stream_path: bytes = b"/checklane.v1.CheckoutService/StreamLane"
    ca_file: bytes | None = None
    server_name: bytes | None = None
    spin_ns: int = 0
    closed_ns: int = 0
    drain_ns: int = 10_000_000_000
    stall_ns: int = 0
    first_serial: int = 1


def poisson_times(rate: float, seconds: float, seed: int) -> Array:
    """Return arrival times in ns, ascending: independent customers at a steady rate.

    Parameters
    ----------
    rate : float
        Arrivals a second.
    seconds : float
    seed : int
    """
    return _times(rate, seconds, seed, (1.0,))


def day_times(rate: float, seconds: float, seed: int) -> Array:
    """Return arrival times in ns of a trading day, pressed into so many seconds.

    Parameters
    ----------
    rate : float
        The mean; the busiest hour has `max(DAY_PROFILE)` times as many.
    seconds : float
    seed : int
    """
    return _times(rate, seconds, seed, DAY_PROFILE)


def _times(rate: float, seconds: float, seed: int, profile: Sequence[float]) -> Array:
    """Return the arrivals of a Poisson process whose rate changes by the profile.

    Arrivals of rate one, drawn on the axis of expected arrivals, are mapped back to time: the way
    by the inverse of the cumulated rate.
    """
    if rate <= 0 or seconds <= 0:
        raise BenchError("a load needs a rate and a length above zero")
    draw = np.random.default_rng(seed)
    shares = np.array(profile) / np.mean(profile)
    expected = np.concatenate([[0.0], np.cumsum(shares)]) / len(shares) * rate * seconds
    edges_s = np.linspace(0.0, seconds, len(shares) + 1)
    whole = rate * seconds
    count = int(whole + 10 * np.sqrt(whole) + 10)
    at = np.cumsum(draw.exponential(1.0, count))
    times_s = np.interp(at[at < whole], expected, edges_s)
    return (times_s * 1e9).astype(np.uint64)


def make_arrivals(times_ns: Array, scripts: Sequence[Sequence[int]], seed: int) -> Array:
    """Return a schedule: each arrival at a lane that is drawn, with that lane's next request.

    Parameters
    ----------
    times_ns : numpy.ndarray
        Ascending.
    scripts : sequence of sequences of int
        For each lane the requests that it sends, by turns.
    seed : int
    """
    draw = np.random.default_rng([seed, 1])
    arrivals = np.zeros(len(times_ns), ARRIVAL)
    arrivals["due_ns"] = times_ns
    arrivals["lane"] = draw.integers(0, len(scripts), len(times_ns))
    for lane, script in enumerate(scripts):
        mine = np.flatnonzero(arrivals["lane"] == lane)
        turns = np.asarray(script, dtype=np.uint32)
        arrivals["request"][mine] = turns[np.arange(len(mine)) % len(turns)]
    return arrivals
