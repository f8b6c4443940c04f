"""Time, behind one small door, so that tests can turn it.

Wall-clock time goes on the wire and into logs; monotonic time measures waits and deadlines. The two
are never mixed.
"""

import time
from datetime import UTC, datetime, tzinfo
from typing import Protocol

__all__ = ["Clock", "SYSTEM_CLOCK", "SystemClock", "business_date"]


class Clock(Protocol):
    """What everything that waits or stamps a time asks."""

    def unix_ms(self) -> int:
        """Return the wall-clock time in milliseconds since 1970-01-01T00:00:00 UTC."""

    def monotonic_s(self) -> float:
        """Return seconds that never run backwards; only differences mean something."""

    def sleep(self, duration_s: float) -> None:
        """Wait; returns at once when the duration is not positive."""


class SystemClock:
    """The clock of this machine. Any thread may call."""

    def unix_ms(self) -> int:
        """Return the wall-clock time in milliseconds since 1970-01-01T00:00:00 UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Return seconds that never run backwards; only differences mean something."""
        return time.monotonic()

    def sleep(self, duration_s: float) -> None:
        """Wait; returns at once when the duration is not positive."""
        if duration_s > 0:
            time.sleep(duration_s)


#: The clock that everything uses unless it is given another.
SYSTEM_CLOCK = SystemClock()


def business_date(unix_ms: int, zone: tzinfo | None = None) -> int:
    """Return the local date of an instant as the number yyyymmdd.

    Parameters
    ----------
    unix_ms : int
        Milliseconds since 1970-01-01T00:00:00 UTC.
    zone : tzinfo, optional
        Default: the time zone of this machine.
    """
    local = datetime.fromtimestamp(unix_ms / 1000, UTC).astimezone(zone)
    return local.year * 10000 + local.month * 100 + local.day
