"""A lane's spool: work that is done and not yet entered, on the lane's own disk, in order.

One file, appended to. Each record is a head of 32 bytes and its payload::

    magic  4   "CKSP"
    crc    4   CRC-32 of everything behind it, head and payload
    kind   4   ITEM, DONE or REFUSED
    size   4   bytes of the payload
    number 8   of the item, from 1, never used twice
    safe   8   bytes of the file that were proven on the disk when this was written

An ITEM's payload is the UploadTransactionsRequest that will be sent; it is on the disk when
`append` returns. DONE says that the service has it, which may be lost in a crash: the item is then
sent again under its key, and gets its first answer. REFUSED keeps the refusal beside the item until
somebody has looked.

A crash while records are written leaves torn ones at the end. They are cut off when the file is
opened, and said so: whoever appended them was never told that they were there. A broken record that
a later one says was on the disk is no torn tail but damage, and the spool is not opened.
"""

import contextlib
import fcntl
import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Self

from checklane.errors import SpoolError
from checklane.v1 import checkout_pb2, common_pb2

__all__ = ["RefusedItem", "Spool"]

MAGIC = b"CKSP"
HEAD = struct.Struct("<4sIIIQQ")
CHECKED_FROM = 8
ITEM, DONE, REFUSED = 1, 2, 3
#: What nobody needs any more is left in the file until it is this much, and half of the file.
DEAD_BYTES_MIN = 64 * 1024


@dataclass(frozen=True, slots=True)
class RefusedItem:
    """An item that the service refused for good, with why."""

    number: int
    item: checkout_pb2.UploadTransactionsRequest
    refusal: common_pb2.Refusal


@dataclass(slots=True)
class _Kept:
    """An item that the file still has to keep: where its payload is."""

    offset: int
    size: int
    refusal: common_pb2.Refusal | None = None


class Spool:
    """The spool of one lane. May be shared by threads; by processes not.

    Parameters
    ----------
    path : Path
        The file; made when it is missing, its folder is not.
    items_max : int
        Items that it holds, those that were refused among them.
    bytes_max : int
        Bytes of their payloads. The file is at most about twice that.

    Attributes
    ----------
    cut_bytes : int
        Bytes of a torn record that were cut off the end when it was opened.

    Raises
    ------
    SpoolError
        SPOOL_BUSY, SPOOL_DAMAGED, SPOOL_UNWRITABLE.
    """

    def __init__(
        self, path: Path, *, items_max: int = 20_000, bytes_max: int = 64 * 1024 * 1024
    ) -> None:
        self.path = path
        self.items_max = items_max
        self.bytes_max = bytes_max
        self.cut_bytes = 0
        self._lock = RLock()
        self._kept: dict[int, _Kept] = {}
        self._kept_bytes = 0
        self._next_number = 1
        self._end = 0
        self._safe = 0
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as failure:
            raise _unwritable(path, failure) from None
        try:
            self._take()
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what is in it stays."""
        with self._lock:
            if self._file >= 0:
                os.close(self._file)
            self._file = -1

    def __len__(self) -> int:
        """Return how many items wait to be entered."""
        with self._lock:
            return sum(kept.refusal is None for kept in self._kept.values())

    def append(self, item: checkout_pb2.UploadTransactionsRequest) -> int:
        """Keep an item; on return it is on the disk.

        Parameters
        ----------
        item : UploadTransactionsRequest
            Gets its number in `item_id`.

        Raises
        ------
        SpoolError
            SPOOL_FULL, SPOOL_UNWRITABLE; the item is not kept then.
        """
        with self._lock:
            item.item_id = self._next_number
            payload = item.SerializeToString()
            if len(self._kept) >= self.items_max:
                raise SpoolError(
                    "SPOOL_FULL",
                    f"the spool holds {self.items_max} items: bring the service back, or look at"
                    " what was refused",
                    str(self.path),
                )
            if self._kept_bytes + len(payload) > self.bytes_max:
                raise SpoolError(
                    "SPOOL_FULL",
                    f"the spool holds {self._kept_bytes} of {self.bytes_max} bytes: bring the"
                    " service back, or look at what was refused",
                    str(self.path),
                )
            number = self._next_number
            offset = self._write(ITEM, number, payload, is_synced=True)
            self._next_number += 1
            self._keep(number, offset, len(payload))
            return number

    def waiting(self, after: int = 0) -> int | None:
        """Return the number of the oldest item above `after` that waits; None: there is none."""
        with self._lock:
            for number, kept in self._kept.items():
                if number > after and kept.refusal is None:
                    return number
            return None

    def read(self, number: int) -> checkout_pb2.UploadTransactionsRequest:
        """Return an item that is kept.

        Raises
        ------
        SpoolError
            SPOOL_DAMAGED: the disk has changed it since.
        """
        with self._lock:
            kept = self._kept[number]
            record = os.pread(self._file, HEAD.size + kept.size, kept.offset)
        if _read_record(record, 0) is None:
            raise _damaged(self.path, kept.offset)
        return checkout_pb2.UploadTransactionsRequest.FromString(record[HEAD.size :])

    def done(self, number: int) -> None:
        """Note that the service has an item."""
        with self._lock:
            if number in self._kept:
                # A lane's disk that is full now only has the item sent once more.
                with contextlib.suppress(SpoolError):
                    self._write(DONE, number, b"", is_synced=False)
                self._forget(number)
                with contextlib.suppress(SpoolError):
                    self._tidy()

    def refused(self, number: int, refusal: common_pb2.Refusal) -> None:
        """Note that the service refuses an item for good: it is kept, and not sent any more."""
        with self._lock:
            if number in self._kept:
                self._write(REFUSED, number, refusal.SerializeToString(), is_synced=True)
                self._kept[number].refusal = refusal

    def list_refused(self) -> list[RefusedItem]:
        """Return what was refused, oldest first: somebody has to look at it."""
        with self._lock:
            found = [(n, kept.refusal) for n, kept in self._kept.items() if kept.refusal]
        return [RefusedItem(number, self.read(number), refusal) for number, refusal in found]

    def drop_refused(self, number: int) -> None:
        """Let go of a refused item that somebody has dealt with."""
        with self._lock:
            if number in self._kept and self._kept[number].refusal is not None:
                self.done(number)

    # ---- the file

    def _take(self) -> None:
        """Lock the file and read what it holds."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SpoolError(
                "SPOOL_BUSY", "another process has this spool open: stop it first", str(self.path)
            ) from None
        content = self.path.read_bytes()
        at = 0
        while (record := _read_record(content, at)) is not None:
            kind, number, payload = record
            self._replay(kind, number, payload, at)
            at += HEAD.size + len(payload)
        if _is_proven(content, at):
            raise _damaged(self.path, at)
        self.cut_bytes = len(content) - at
        self._end = at
        try:
            os.ftruncate(self._file, at)
            os.fsync(self._file)
            _sync_folder(self.path)
        except OSError as failure:
            raise _unwritable(self.path, failure) from None
        self._safe = at

    def _replay(self, kind: int, number: int, payload: bytes, at: int) -> None:
        self._next_number = max(self._next_number, number + 1)
        if kind == ITEM:
            self._keep(number, at, len(payload))
        elif kind == DONE:
            self._forget(number)
        elif kind == REFUSED and number in self._kept:
            self._kept[number].refusal = common_pb2.Refusal.FromString(payload)

    def _keep(self, number: int, offset: int, size: int) -> None:
        self._kept[number] = _Kept(offset, size)
        self._kept_bytes += size

    def _forget(self, number: int) -> None:
        kept = self._kept.pop(number, None)
        if kept is not None:
            self._kept_bytes -= kept.size

    def _write(self, kind: int, number: int, payload: bytes, *, is_synced: bool) -> int:
        """Append a record and return where it is; nothing of one that fails stays."""
        offset = self._end
        record = _record(kind, number, payload, self._safe)
        try:
            _write_whole(self._file, record, offset)
            if is_synced:
                os.fdatasync(self._file)
        except OSError as failure:
            self._cut_back(offset)
            raise _unwritable(self.path, failure) from None
        self._end = offset + len(record)
        if is_synced:
            self._safe = self._end
        return offset

    def _cut_back(self, offset: int) -> None:
        try:
            os.ftruncate(self._file, offset)
        except OSError:
            # The next record goes to the same place.
            return

    def _tidy(self) -> None:
        """Write what is kept into a new file once most of the old one is not needed."""
        live_bytes = self._kept_bytes + HEAD.size * len(self._kept)
        if self._end - live_bytes <= max(live_bytes, DEAD_BYTES_MIN):
            return
        # The last number stays used.
        content = bytearray(_record(DONE, self._next_number - 1, b"", 0))
        offsets = {}
        for number, kept in self._kept.items():
            item = os.pread(self._file, HEAD.size + kept.size, kept.offset)
            offsets[number] = len(content)
            content += _record(ITEM, number, item[HEAD.size :], 0)
            if kept.refusal is not None:
                content += _record(REFUSED, number, kept.refusal.SerializeToString(), 0)
        self._replace(bytes(content))
        for number, offset in offsets.items():
            self._kept[number].offset = offset

    def _replace(self, content: bytes) -> None:
        """Put a new file in the place of the old one, whole or not at all."""
        beside = self.path.with_name(self.path.name + ".new")
        try:
            new = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(new, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _write_whole(new, content, 0)
                os.fsync(new)
                os.rename(beside, self.path)
            except BaseException:
                os.close(new)
                raise
            os.close(self._file)
            self._file, self._end, self._safe = new, len(content), len(content)
            _sync_folder(self.path)
        except OSError as failure:
            raise _unwritable(self.path, failure) from None


def _record(kind: int, number: int, payload: bytes, safe_bytes: int) -> bytes:
    checked = HEAD.pack(MAGIC, 0, kind, len(payload), number, safe_bytes)[CHECKED_FROM:] + payload
    return MAGIC + zlib.crc32(checked).to_bytes(4, "little") + checked


def _read_record(content: bytes, at: int) -> tuple[int, int, bytes] | None:
    """Return kind, number and payload of the record at a place; None: there is no whole one."""
    if len(content) - at < HEAD.size:
        return None
    magic, crc, kind, size, number, _ = HEAD.unpack_from(content, at)
    end = at + HEAD.size + size
    if magic != MAGIC or end > len(content):
        return None
    if zlib.crc32(content[at + CHECKED_FROM : end]) != crc:
        return None
    return kind, number, content[at + HEAD.size : end]


def _is_proven(content: bytes, broken_at: int) -> bool:
    """Tell whether a whole record behind a broken one says that that one was on the disk."""
    at = content.find(MAGIC, broken_at + 1)
    while at >= 0:
        if _read_record(content, at) is not None:
            safe_bytes: int = HEAD.unpack_from(content, at)[-1]
            if safe_bytes > broken_at:
                return True
        at = content.find(MAGIC, at + 1)
    return False


def _write_whole(file: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(file, view, offset)
        offset += written
        view = view[written:]


def _sync_folder(path: Path) -> None:
    """Make a name in a folder durable."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unwritable(path: Path, failure: OSError) -> SpoolError:
    words = f"the spool can not be written ({failure.strerror}): look at the lane's disk"
    return SpoolError("SPOOL_UNWRITABLE", words, str(path))


def _damaged(path: Path, at: int) -> SpoolError:
    words = f"a record at byte {at} that was on the disk is broken: keep the file, look at the disk"
    return SpoolError("SPOOL_DAMAGED", words, str(path))
