"""Time zones as tables: from which instant on a zone has which offset from UTC."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt

from checklane import _layout

FIRST_YEAR = 2000
LAST_YEAR = 2045
DAY_S = 86_400


def load_zone(name: str) -> ZoneInfo | None:
    """Return an IANA zone by name, or None when there is none of that name."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def transitions(zone: ZoneInfo) -> npt.NDArray[np.void]:
    """Return the offsets of a zone from 2000 to 2045, both included, UTC.

    Returns
    -------
    numpy.ndarray of _layout.TRANSITION
        The first one says what holds from the beginning of 2000 (and stands for earlier times);
        the last one stands for later times.

    Notes
    -----
    Days are compared, then the second of a change is found by bisection: no zone changes twice
    within a day and back.
    """

    def offset_minutes(instant_s: int) -> int:
        offset = datetime.fromtimestamp(instant_s, UTC).astimezone(zone).utcoffset()
        return (offset or timedelta()) // timedelta(minutes=1)

    begin_s = int(datetime(FIRST_YEAR, 1, 1, tzinfo=UTC).timestamp())
    end_s = int(datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC).timestamp())
    found = [(begin_s, offset_minutes(begin_s))]
    for day_s in range(begin_s, end_s, DAY_S):
        after = offset_minutes(day_s + DAY_S)
        if after != found[-1][1]:
            found.append((_first_second(offset_minutes, day_s, day_s + DAY_S), after))
    table = np.zeros(len(found), dtype=_layout.TRANSITION)
    table["instant_unix_s"] = [instant_s for instant_s, _ in found]
    table["utc_offset_minutes"] = [offset for _, offset in found]
    return table


def _first_second(offset_minutes: Callable[[int], int], before_s: int, after_s: int) -> int:
    """Return the first second with the offset that holds at `after_s`."""
    wanted = offset_minutes(after_s)
    while after_s - before_s > 1:
        middle_s = (before_s + after_s) // 2
        if offset_minutes(middle_s) == wanted:
            after_s = middle_s
        else:
            before_s = middle_s
    return after_s
