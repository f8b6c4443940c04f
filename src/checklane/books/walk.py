"""The one way through the journal: pages of entries, from a position on, in bounded memory."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from checklane import _layout
from checklane._engine import EngineError
from checklane.errors import from_status, refuse

__all__ = ["LiveJournal", "Page", "Source", "StoredJournal", "find_first", "walk", "walk_whole"]

#: Entries and bytes of a page. A read finds its first entry by a walk through the segment, up to
#: 64 MiB of it, so a page is an eighth of that: reading a segment page by page then costs a few
#: times its bytes, and a page with what is parsed of it stays far below 100 MB.
PAGE_ENTRIES_MAX = 4096
PAGE_BYTES_MAX = 8 * 1024 * 1024
HEAD_BYTES = _layout.ENTRY_HEADER.itemsize

#: Called with the entries that were walked since the last call; may raise to end the walk.
Advance = Callable[[int], None]


class Page(NamedTuple):
    """Some entries in the order of their positions.

    Attributes
    ----------
    heads : numpy.ndarray of _layout.ENTRY_HEADER
    entries : list of bytes
        The whole entries, one for each head.
    """

    heads: npt.NDArray[Any]
    entries: list[bytes]


class Source(Protocol):
    """A journal as of one moment: what comes later is not seen.

    Attributes
    ----------
    first_lsn, last_lsn : int
        The entries that are there; `last_lsn` is the one before `first_lsn` when there is none.
    """

    first_lsn: int
    last_lsn: int

    def read(self, from_lsn: int, entry_count: int) -> list[bytes]:
        """Return at least one and at most `entry_count` entries from a position on."""


class _Readable(Protocol):
    """What both the engine and an audit can do."""

    def read_entries(self, from_lsn: int, limit: int, max_bytes: int) -> list[bytes]: ...


def _read(readable: _Readable, from_lsn: int, entry_count: int) -> list[bytes]:
    try:
        found = readable.read_entries(from_lsn, entry_count, PAGE_BYTES_MAX)
    except EngineError as failure:
        raise from_status(failure.status, failure.place or f"lsn {from_lsn}") from None
    if not found:
        raise refuse("JOURNAL_DAMAGED", f"lsn {from_lsn}")
    return found


class LiveJournal:
    """The journal of an engine that serves, up to what is durable now. Any thread may read.

    Reads go beside all other work: they take no lock, and the pages of the last segment come from
    the system's cache.
    """

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        stats = engine.stats()
        self.first_lsn = int(stats.get("first_lsn", 1)) or 1
        self.last_lsn = int(stats.get("durable_lsn", 0))

    def read(self, from_lsn: int, entry_count: int) -> list[bytes]:
        """Return at least one and at most `entry_count` entries from a position on."""
        return _read(self._engine, from_lsn, entry_count)


class StoredJournal:
    """The journal of a data directory as an open `LedgerAudit` shows it. One thread reads."""

    def __init__(self, audit: Any) -> None:
        self._audit = audit
        report = audit.report()
        self.first_lsn = int(report["first_lsn"])
        self.last_lsn = int(report["last_lsn"])

    def read(self, from_lsn: int, entry_count: int) -> list[bytes]:
        """Return at least one and at most `entry_count` entries from a position on."""
        return _read(self._audit, from_lsn, entry_count)


def walk(source: Source, from_lsn: int, advance: Advance | None = None) -> Iterator[Page]:
    """Yield the entries from a position to the end of the source, page by page.

    Raises
    ------
    ChecklaneError
        LSN_NOT_KEPT, JOURNAL_DAMAGED, IO_FAILED.
    """
    at = from_lsn
    while at <= source.last_lsn:
        entries = source.read(at, min(PAGE_ENTRIES_MAX, source.last_lsn - at + 1))
        heads = np.frombuffer(
            b"".join(entry[:HEAD_BYTES] for entry in entries), dtype=_layout.ENTRY_HEADER
        )
        yield Page(heads, entries)
        at += len(entries)
        if advance is not None:
            advance(len(entries))


def walk_whole(source: Source, advance: Advance | None = None) -> Iterator[Page]:
    """Yield every entry that ever was, page by page.

    Raises
    ------
    NotFoundError
        LSN_NOT_KEPT: the journal was pruned, and what was there when it begins is not in it.
    """
    if source.first_lsn > 1:
        raise refuse("LSN_NOT_KEPT", "lsn 1", "the journal was pruned: the first lots are gone")
    yield from walk(source, source.first_lsn, advance)


def find_first(source: Source, post_unix_ms: int) -> int:
    """Return a position from which on every entry that was posted at or after a time is found.

    Post time never runs backwards, so the position is found by bisection: some 10 reads among a
    million entries. It lies at most a page before the first such entry.
    """
    low, high = source.first_lsn, source.last_lsn + 1
    while high - low > PAGE_ENTRIES_MAX:
        middle = (low + high) // 2
        (entry,) = source.read(middle, 1)[:1]
        head = np.frombuffer(entry, dtype=_layout.ENTRY_HEADER, count=1)[0]
        if int(head["post_unix_ms"]) < post_unix_ms:
            low = middle + 1
        else:
            high = middle
    return low
