"""Open-addressed tables, built and probed a whole column at a time.

The compiled engine probes these tables linearly from ``hash & (capacity - 1)`` until it meets an
empty slot, so every table keeps at least one. Records are placed in the order of (home slot, hash,
tie): the same set of records gives the same bytes, in whatever order it came.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

UintArray = npt.NDArray[np.uint64]
IntArray = npt.NDArray[np.int64]

#: A table grows past 5/8 full: an average hit takes under two probes, a miss under five.
LOAD_NUMERATOR = 5
LOAD_DENOMINATOR = 8


@dataclass(frozen=True)
class Table:
    """Records of one table and how many of them are filled.

    Attributes
    ----------
    records : numpy.ndarray
        One record a slot; a dense table has `count` of them.
    count : int
        Filled slots. A dense table's length.
    """

    records: npt.NDArray[Any]
    count: int


def mix64(numbers: UintArray) -> UintArray:
    """Spread numbers over 64 bits, as `mix64` of siphash.h does.

    Parameters
    ----------
    numbers : numpy.ndarray of uint64

    Returns
    -------
    numpy.ndarray of uint64
    """
    mixed = numbers.astype(np.uint64, copy=True)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(33)
    mixed *= np.uint64(0xC4CEB9FE1A85EC53)
    mixed ^= mixed >> np.uint64(33)
    return mixed


def capacity_for(count: int) -> int:
    """Return the smallest power of two that holds `count` records and an empty slot in reason."""
    capacity = 1
    while count * LOAD_DENOMINATOR > capacity * LOAD_NUMERATOR:
        capacity *= 2
    return capacity


def place(hashes: UintArray, capacity: int, ties: UintArray | None = None) -> IntArray:
    """Return the slot of each record in a linearly probed table.

    Parameters
    ----------
    hashes : numpy.ndarray of uint64
        Where each record's probe begins, before the mask.
    capacity : int
        Slots of the table: a power of two, more than there are records.
    ties : numpy.ndarray of uint64, optional
        Orders records of equal hash, so that the table does not depend on their order.

    Returns
    -------
    numpy.ndarray of int64
        Slots, each used once.

    Notes
    -----
    Clusters wrap round the end of the table. Counting from the slot after the lowest balance of
    records minus slots no cluster crosses the start, so one running maximum places them all.
    """
    count = len(hashes)
    if count >= capacity:
        raise ValueError(f"{count} records leave no empty slot among {capacity}")
    if count == 0:
        return np.zeros(0, dtype=np.int64)
    home = (hashes & np.uint64(capacity - 1)).astype(np.int64)
    balance = np.cumsum(np.bincount(home, minlength=capacity)) - np.arange(1, capacity + 1)
    start = int(np.argmin(balance)) + 1
    shifted = (home - start) & (capacity - 1)
    keys = (hashes, shifted) if ties is None else (ties, hashes, shifted)
    order = np.lexsort(keys)
    rank = np.arange(count, dtype=np.int64)
    position = np.maximum.accumulate(shifted[order] - rank) + rank
    slots = np.empty(count, dtype=np.int64)
    slots[order] = (position + start) & (capacity - 1)
    return slots


def open_addressed(
    records: npt.NDArray[Any],
    hashes: UintArray,
    *,
    empty: npt.NDArray[Any] | None = None,
    ties: UintArray | None = None,
) -> Table:
    """Build an open-addressed table.

    Parameters
    ----------
    records : numpy.ndarray
        Filled records, one dtype of ``checklane._layout``.
    hashes : numpy.ndarray of uint64
        Hash of each record's key: what the engine masks to find the first slot.
    empty : numpy.ndarray, optional
        The record of an empty slot, as a 0-dimensional array; zeros when not given.
    ties : numpy.ndarray of uint64, optional
        Orders records of equal hash.

    Returns
    -------
    Table
    """
    capacity = capacity_for(len(records))
    slots = np.zeros(capacity, dtype=records.dtype)
    if empty is not None:
        slots[:] = empty
    slots[place(hashes, capacity, ties)] = records
    return Table(slots, len(records))


def look_up(slot_keys: UintArray, hashes: UintArray, keys: UintArray) -> IntArray:
    """Find many keys in an open-addressed table whose empty slots have key 0.

    Parameters
    ----------
    slot_keys : numpy.ndarray of uint64
        Key of every slot; the length is the capacity.
    hashes, keys : numpy.ndarray of uint64
        What to look for, as the table was built with.

    Returns
    -------
    numpy.ndarray of int64
        Slot of each key, or -1.
    """
    mask = np.int64(len(slot_keys) - 1)
    found = np.full(len(keys), -1, dtype=np.int64)
    pending = np.arange(len(keys), dtype=np.int64)
    at = (hashes & np.uint64(mask)).astype(np.int64)
    while len(pending):
        seen = slot_keys[at]
        hit = seen == keys[pending]
        found[pending[hit]] = at[hit]
        go_on = ~hit & (seen != 0)
        pending = pending[go_on]
        at = (at[go_on] + 1) & mask
    return found
