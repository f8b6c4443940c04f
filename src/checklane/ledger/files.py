"""Where the parts of a ledger lie in a data directory, and the small files beside them.

``DATA/journal`` holds the segments, ``DATA/accounts`` what is derived from them, ``DATA/base`` the
accounts as they were when the journal was last pruned, ``DATA/readers.json`` how far others have
read.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from checklane import _layout
from checklane._engine import EngineError, LedgerAudit
from checklane.errors import from_status, refuse
from checklane.tables.files import sync_path

__all__ = [
    "Segment",
    "accounts_directory",
    "audit",
    "base_file",
    "copy_synced",
    "journal_directory",
    "lay_base",
    "list_segments",
    "read_marks",
    "write_json",
    "write_mark",
]

ENVIRONMENT = "accounts.lmdb"
READERS_FORMAT = 1
COPY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Segment:
    """One segment file with entries in it.

    Attributes
    ----------
    path : Path
    number : int
        From 1, without gaps.
    first_lsn : int
        Of its first entry.
    created_unix_ms : int
        When its first entry was written.
    """

    path: Path
    number: int
    first_lsn: int
    created_unix_ms: int


def journal_directory(data: Path) -> Path:
    """Return where the segments lie."""
    return data / "journal"


def accounts_directory(data: Path) -> Path:
    """Return where the derived state lies."""
    return data / "accounts"


def base_file(data: Path) -> Path:
    """Return the accounts from which a pruned journal goes on; there is none while it is whole."""
    return data / "base" / ENVIRONMENT


def list_segments(directory: Path) -> list[Segment]:
    """Return the segments that have entries, by number; one made ready for later has none."""
    found = []
    for path in sorted(directory.glob("*.seg")):
        with path.open("rb") as file:
            head = file.read(_layout.SEGMENT_HEADER.itemsize)
        if len(head) < _layout.SEGMENT_HEADER.itemsize:
            continue
        header = np.frombuffer(head, dtype=_layout.SEGMENT_HEADER)[0]
        if int(header["magic"]) == _layout.SEGMENT_MAGIC:
            first_lsn, created = int(header["first_lsn"]), int(header["created_unix_ms"])
            found.append(Segment(path, int(header["segment"]), first_lsn, created))
    return sorted(found, key=lambda segment: segment.number)


@contextmanager
def audit(
    journal: Path,
    accounts: Path | None = None,
    scratch: Path | None = None,
    begin: tuple[int, int, int, int] | None = None,
) -> Iterator[LedgerAudit]:
    """Open a `LedgerAudit`; what the engine refuses in here is told as errors of ours.

    Raises
    ------
    ChecklaneError
        JOURNAL_DAMAGED, FORMAT_UNSUPPORTED, LSN_NOT_KEPT and what else the engine names.
    """
    try:
        opened = LedgerAudit(
            str(journal),
            accounts=None if accounts is None else str(accounts),
            scratch=None if scratch is None else str(scratch),
            begin=begin,
        )
        try:
            yield opened
        finally:
            opened.close()
    except EngineError as failure:
        raise from_status(failure.status, failure.place or str(journal)) from None


def copy_synced(
    source: Path, target: Path, size_bytes: int | None = None, kept_bytes: int = 0
) -> None:
    """Copy a file, or its first bytes, under another name; whole and on the disk on return.

    Parameters
    ----------
    source, target : Path
    size_bytes : int, optional
        Default: all of it.
    kept_bytes : int, optional
        So many at the begin are taken from what is at `target` already. Default: none.
    """
    temporary = target.with_name(f"{target.name}.part")
    size = source.stat().st_size if size_bytes is None else size_bytes
    with temporary.open("wb") as written:
        os.fchmod(written.fileno(), 0o600)
        for path, begin, end in ((target, 0, kept_bytes), (source, kept_bytes, size)):
            if begin < end:
                _copy_range(path, written, begin, end)
        written.flush()
        os.fsync(written.fileno())
    temporary.rename(target)
    sync_path(target.parent)


def _copy_range(path: Path, written: BinaryIO, begin: int, end: int) -> None:
    """Append a part of a file to one that is being written."""
    with path.open("rb") as read:
        read.seek(begin)
        left = end - begin
        while left > 0:
            chunk = read.read(min(left, COPY_BYTES))
            if not chunk:
                raise refuse("IO_FAILED", str(path), "the file became shorter while it was read")
            written.write(chunk)
            left -= len(chunk)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a small file whole; on return it survives a power cut."""
    temporary = path.with_name(f"{path.name}.part")
    with temporary.open("w") as file:
        file.write(json.dumps(content, indent=2, sort_keys=True) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_path(path.parent)


def read_marks(data: Path) -> dict[str, int]:
    """Return, by name, the last entry that each reader of the journal has no more need of.

    Raises
    ------
    DamageError, StateError
        The file cannot be read, or has another format.
    """
    path = data / "readers.json"
    try:
        found = json.loads(path.read_text())
        if found["format"] != READERS_FORMAT:
            raise refuse("FORMAT_UNSUPPORTED", str(path))
        return {str(name): int(lsn) for name, lsn in found["readers"].items()}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError):
        what = "how far the journal has been read cannot be read (write the marks again)"
        raise refuse("SNAPSHOT_DAMAGED", str(path), what) from None


def write_mark(data: Path, name: str, lsn: int | None) -> dict[str, int]:
    """Set or, with None, forget the mark of one reader; return all marks."""
    marks = read_marks(data)
    if lsn is None:
        marks.pop(name, None)
    else:
        marks[name] = lsn
    write_json(data / "readers.json", {"format": READERS_FORMAT, "readers": marks})
    return marks


def lay_base(data: Path, directory: Path) -> None:
    """Put the base, where the journal was pruned, into a directory as accounts to go on from."""
    if base_file(data).exists():
        shutil.copyfile(base_file(data), directory / ENVIRONMENT)
