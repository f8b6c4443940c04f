"""Things that many offers share, kept once."""

from typing import Any

import numpy as np
import numpy.typing as npt

from checklane._layout import NONE_32, SCHEDULE


class StringPool:
    """Texts of a program, each kept once, by offset and length."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._places: dict[bytes, tuple[int, int]] = {}
        self._size = 0

    def add(self, text: str) -> tuple[int, int]:
        """Return offset and length of a text in bytes."""
        encoded = text.encode()
        place = self._places.get(encoded)
        if place is None:
            place = (self._size, len(encoded))
            self._places[encoded] = place
            self._parts.append(encoded)
            self._size += len(encoded)
        return place

    def bytes(self) -> bytes:
        """Return all texts, one after the other."""
        return b"".join(self._parts)


class Pool:
    """Records that many offers share, each kept once, by number."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._numbers: dict[bytes, int] = {}

    def add(self, record: bytes | None) -> int:
        """Return the number of a record; NONE_32 for None."""
        if record is None:
            return NONE_32
        number = self._numbers.setdefault(record, len(self._parts))
        if number == len(self._parts):
            self._parts.append(record)
        return number

    def array(self, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
        """Return the records one after the other."""
        return np.frombuffer(b"".join(self._parts), dtype=dtype)


class SchedulePool:
    """Schedules, each kept once; the black-out dates of each stand together, shared with none."""

    def __init__(self) -> None:
        self._records: list[npt.NDArray[Any]] = []
        self._numbers: dict[tuple[bytes, tuple[int, ...]], int] = {}
        self._days: list[int] = []

    def add(self, schedule: tuple[npt.NDArray[Any], list[int]] | None) -> int:
        """Return the number of a schedule with its black-out dates; NONE_32 for None."""
        if schedule is None:
            return NONE_32
        record, days = schedule
        number = self._numbers.setdefault((record.tobytes(), tuple(days)), len(self._records))
        if number == len(self._records):
            record["first_blackout"] = len(self._days)
            record["blackout_count"] = len(days)
            self._records.append(record)
            self._days.extend(days)
        return number

    def array(self) -> npt.NDArray[Any]:
        """Return the schedules one after the other."""
        return np.concatenate([np.zeros(0, dtype=SCHEDULE), *self._records])

    def blackouts(self) -> npt.NDArray[Any]:
        """Return the black-out dates of all schedules."""
        return np.array(self._days, dtype=np.int32)
