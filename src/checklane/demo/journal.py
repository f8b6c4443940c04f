"""Reads the journal's files as they lie on the disk, without asking the server.

An audit that asked the server would believe the server. The layout is layout.h's: a segment header,
then entries; a length of zero ends a segment.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from checklane import _layout
from checklane.demo.data import Records
from checklane.demo.failure import DemoError

ENTRY_ALIGN_BYTES = 16


class JournalError(DemoError):
    """The journal's files are not what the layout says; the message says where."""


class Entry(NamedTuple):
    """What the audit needs of one entry; `header` is a record of ENTRY_HEADER."""

    header: Any
    movements: Records
    response: bytes


def read_journal(data: Path) -> Iterator[Entry]:
    """Yield the entries of a data directory's journal in the order of their positions.

    Parameters
    ----------
    data : Path
        The data directory. No change may be under way.

    Raises
    ------
    JournalError
        A position is missing or doubled, or an entry does not follow the one before.
    """
    lsn, crc = 0, None
    for path in _segments(data / "journal"):
        for entry in _entries(path):
            header = entry.header
            if lsn and int(header["lsn"]) != lsn + 1:
                raise JournalError(f"{path.name}: entry {header['lsn']} follows {lsn}")
            if crc is not None and int(header["previous_crc"]) != crc:
                raise JournalError(f"{path.name}: entry {header['lsn']} names another predecessor")
            lsn, crc = int(header["lsn"]), int(header["crc"])
            yield entry


def _segments(folder: Path) -> list[Path]:
    """Return the files that are segments, by number; one made ready for later is empty."""
    found = []
    for path in folder.iterdir():
        with path.open("rb") as file:
            head = file.read(_layout.SEGMENT_HEADER.itemsize)
        if len(head) == _layout.SEGMENT_HEADER.itemsize:
            header = np.frombuffer(head, dtype=_layout.SEGMENT_HEADER)[0]
            if int(header["magic"]) == _layout.SEGMENT_MAGIC:
                found.append((int(header["segment"]), path))
    if not found:
        raise JournalError(f"{folder} holds no segment")
    return [path for _, path in sorted(found)]


def _entries(path: Path) -> Iterator[Entry]:
    at = _layout.SEGMENT_HEADER.itemsize
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        while at + 4 <= len(content):
            length = int.from_bytes(content[at : at + 4], "little")
            if length == 0:
                return
            if length % ENTRY_ALIGN_BYTES or at + length > len(content):
                raise JournalError(f"{path.name}: no entry can have {length} bytes at {at}")
            yield _split(content[at : at + length])
            at += length


def _split(entry: bytes) -> Entry:
    """Take an entry apart: header, request, facts, movements, response, each padded to 16."""
    header = np.frombuffer(entry, dtype=_layout.ENTRY_HEADER, count=1)[0]
    movement_count = int(header["movement_count"])
    sizes = (
        _layout.ENTRY_HEADER.itemsize,
        int(header["request_bytes"]),
        int(header["facts_bytes"]),
        movement_count * _layout.MOVEMENT.itemsize,
        int(header["response_bytes"]),
    )
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + -(-size // ENTRY_ALIGN_BYTES) * ENTRY_ALIGN_BYTES)
    if starts[-1] != len(entry):
        raise JournalError(f"entry {header['lsn']}: its sections do not fill it")
    movements = np.frombuffer(entry, _layout.MOVEMENT, movement_count, starts[3])
    return Entry(header, movements, entry[starts[4] : starts[4] + sizes[4]])
