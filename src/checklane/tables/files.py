"""Snapshot files: named tables in one LMDB file that carries the hash of its content in its name.

Every value is a ``table_header_t`` and its records. Values are written in the order of their names
in one transaction, so the same tables give the same bytes. Files are read here page by page with
every bound checked, and not through liblmdb: a damaged file is a refusal and never a fault of the
process, and no second copy of liblmdb opens a file that the engine has mapped.
"""

import hashlib
import mmap
import os
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import lmdb
import numpy as np
import numpy.typing as npt

from checklane import _layout
from checklane.errors import ChecklaneError, refuse
from checklane.tables.open_addressing import Table

KINDS = ("members", "catalogue", "program")
HASH_BYTES = 16
FILE_NAME = re.compile(rf"({'|'.join(KINDS)})-([0-9a-f]{{{2 * HASH_BYTES}}})\.lmdb")
TEMPORARY_PREFIX = ".building-"

#: Shorter values would share a page at odd addresses. From half of LMDB's largest page (32 KiB) on
#: a value has pages of its own, and its records begin on a cache line.
VALUE_BYTES_MIN = 16 * 1024
#: Room in the map for LMDB's own pages, beside whole pages for every value.
MAP_MARGIN_BYTES = 1024 * 1024
PAGE_BYTES_MAX = 32 * 1024

# LMDB's data format 1, little-endian, 64 bits (mdb.c: MDB_page, MDB_meta, MDB_node).
META_MAGIC = 0xBEEFC0DE
META_VERSION = 1
META = struct.Struct("<16xIIQQ48xIHHQQQQQQQ")
META_PAGE_BYTES = struct.Struct("<40xI")
PAGE = struct.Struct("<QHHHH")
PAGE_LEAF = 0x02
PAGE_OVERFLOW = 0x04
NODE = struct.Struct("<HHHH")
NODE_BIG_DATA = 0x01
PAGE_HEAD_BYTES = 16

Values = Mapping[str, memoryview]
Tables = Mapping[str, "Table | npt.NDArray[Any] | bytes"]


class SnapshotFile(NamedTuple):
    """One snapshot file of a directory.

    Attributes
    ----------
    path : Path
    kind : str
        "members", "catalogue" or "program".
    hash : bytes
        16 bytes, from the name.
    size_bytes : int
    """

    path: Path
    kind: str
    hash: bytes
    size_bytes: int


def snapshot_name(kind: str, content_hash: bytes) -> str:
    """Return the file name of a snapshot."""
    return f"{kind}-{content_hash.hex()}.lmdb"


def snapshot_hash(path: Path) -> tuple[str, bytes]:
    """Return kind and content hash from a snapshot's file name.

    Raises
    ------
    NotFoundError
        The name is not ``<kind>-<32 hexadecimal digits>.lmdb``.
    """
    match = FILE_NAME.fullmatch(path.name)
    if match is None:
        what = "the file is not named <kind>-<32 hexadecimal digits>.lmdb"
        raise refuse("SNAPSHOT_UNKNOWN", path.name, what)
    return match.group(1), bytes.fromhex(match.group(2))


def content_hash(values: Mapping[str, Any]) -> bytes:
    """Return BLAKE2b-128 over names and values, in the order of the names, each with its length."""
    digest = hashlib.blake2b(digest_size=HASH_BYTES)
    for name in sorted(values):
        encoded = name.encode()
        digest.update(struct.pack("<II", len(encoded), 0) + encoded)
        digest.update(struct.pack("<Q", len(values[name])))
        digest.update(values[name])
    return digest.digest()


def table_value(table: "Table | npt.NDArray[Any] | bytes") -> bytearray:
    """Return a table as the bytes of one value: head, records, padding to the least length."""
    if isinstance(table, bytes):
        table = np.frombuffer(table, dtype=np.uint8)
    records = np.ascontiguousarray(table.records if isinstance(table, Table) else table)
    count = table.count if isinstance(table, Table) else len(records)
    head = np.zeros((), dtype=_layout.TABLE_HEADER)
    head["magic"] = _layout.TABLE_MAGIC
    head["format"] = _layout.SNAPSHOT_FORMAT
    head["record_bytes"] = records.dtype.itemsize
    head["count"] = count
    head["capacity"] = len(records)
    head_bytes = head.tobytes()
    value = bytearray(max(len(head_bytes) + records.nbytes, VALUE_BYTES_MIN))
    value[: len(head_bytes)] = head_bytes
    if records.nbytes:
        body = np.frombuffer(value, dtype=np.uint8, count=records.nbytes, offset=len(head_bytes))
        body[:] = records.reshape(-1).view(np.uint8)
    return value


def write_snapshot(directory: Path, kind: str, tables: Tables) -> Path:
    """Write one snapshot file and publish it under its content hash.

    Parameters
    ----------
    directory : Path
        Where the file goes; made when missing.
    kind : str
        "members", "catalogue" or "program".
    tables : mapping of str to Table, numpy.ndarray or bytes
        An open-addressed table as `Table`; a dense one as its array; bytes as a table of bytes.

    Returns
    -------
    Path
        ``directory/<kind>-<hash>.lmdb``, synced with its directory entry.
    """
    if kind not in KINDS:
        raise ValueError(f"no snapshot kind {kind!r}")
    directory.mkdir(parents=True, exist_ok=True)
    values = {name: table_value(tables[name]) for name in sorted(tables)}
    path = directory / snapshot_name(kind, content_hash(values))
    temporary = directory / f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}"
    temporary.unlink(missing_ok=True)
    try:
        _write_values(temporary, values)
        sync_path(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_path(directory)
    return path


def _write_values(path: Path, values: Mapping[str, bytearray]) -> None:
    """Write all values to a new LMDB file in one transaction."""
    whole_pages = sum(len(value) + 2 * PAGE_BYTES_MAX for value in values.values())
    map_bytes = -(-(whole_pages + MAP_MARGIN_BYTES) // MAP_MARGIN_BYTES) * MAP_MARGIN_BYTES
    environment = lmdb.open(
        str(path), map_size=map_bytes, subdir=False, lock=False, mode=0o644, max_dbs=0
    )
    try:
        with environment.begin(write=True) as transaction:
            for name, value in values.items():
                transaction.put(name.encode(), memoryview(value))
    finally:
        environment.close()


def sync_path(path: Path) -> None:
    """Force a file, or a directory's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _Pages:
    """The pages of one LMDB file; every access is checked against the file's end."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except FileNotFoundError:
            raise refuse("SNAPSHOT_UNKNOWN", str(path)) from None
        except ValueError:
            raise self.damaged("it is empty") from None
        self._bytes = memoryview(self._map)
        self._page_bytes = int(self._unpack(META_PAGE_BYTES, 0)[0])
        if self._page_bytes not in (512 << shift for shift in range(7)):
            raise self.damaged("no page size in its first page")

    def damaged(self, what: str) -> ChecklaneError:
        return refuse("SNAPSHOT_DAMAGED", self._name, f"the snapshot is damaged ({what})")

    def _unpack(self, form: struct.Struct, at: int) -> tuple[Any, ...]:
        if at < 0 or at + form.size > len(self._bytes):
            raise self.damaged("it ends too early")
        return form.unpack_from(self._bytes, at)

    def _slice(self, at: int, size: int) -> memoryview:
        if at < 0 or size < 0 or at + size > len(self._bytes):
            raise self.damaged("it ends too early")
        return self._bytes[at : at + size]

    def _newest_root(self) -> int:
        """Return the page of the one leaf: of the two metas the later transaction counts."""
        newest, root = -1, -1
        for number in range(2):
            fields = self._unpack(META, number * self._page_bytes)
            depth, (page, last, transaction) = fields[6], fields[-3:]
            if fields[:2] != (META_MAGIC, META_VERSION):
                raise self.damaged("no LMDB meta page")
            if transaction > newest:
                newest, root = transaction, int(page) if depth == 1 else -1
                if (last + 1) * self._page_bytes > len(self._bytes):
                    raise self.damaged("it ends too early")
        if root < 0:
            raise self.damaged("its tables are not in one leaf")
        return root * self._page_bytes

    def values(self) -> dict[str, memoryview]:
        """Return every value by name, as views of the mapped file."""
        leaf = self._newest_root()
        _, _, flags, lower, _ = self._unpack(PAGE, leaf)
        if not flags & PAGE_LEAF or not PAGE_HEAD_BYTES <= lower <= self._page_bytes:
            raise self.damaged("no leaf page")
        found = {}
        for at in range(leaf + PAGE_HEAD_BYTES, leaf + lower - 1, 2):
            node = leaf + self._unpack(struct.Struct("<H"), at)[0]
            low, high, node_flags, name_bytes = self._unpack(NODE, node)
            name = bytes(self._slice(node + NODE.size, name_bytes))
            if not name.isascii() or not node_flags & NODE_BIG_DATA:
                raise self.damaged("a value without pages of its own")
            page = self._unpack(struct.Struct("<Q"), node + NODE.size + name_bytes)[0]
            found[name.decode()] = self._big_value(page * self._page_bytes, low | high << 16)
        return found

    def _big_value(self, at: int, size: int) -> memoryview:
        if not self._unpack(PAGE, at)[2] & PAGE_OVERFLOW:
            raise self.damaged("no overflow page")
        return self._slice(at + PAGE_HEAD_BYTES, size)


def read_snapshot(path: Path) -> dict[str, memoryview]:
    """Return the values of a snapshot file by name, as views of the mapped file.

    The views stay valid for as long as one of them lives, also when the file is pruned meanwhile.

    Raises
    ------
    NotFoundError
        The file is missing.
    DamageError
        It ends too early or is not a snapshot.
    """
    return _Pages(path).values()


def read_records(values: Values, name: str, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return the records of one table: all slots of an open-addressed one.

    Raises
    ------
    DamageError
        The table is missing, or does not fit its dtype or its value.
    StateError
        It has another format.
    """
    value = values.get(name)
    head_bytes = _layout.TABLE_HEADER.itemsize
    if value is None or len(value) < head_bytes:
        raise refuse("SNAPSHOT_DAMAGED", f"table {name}", "the table is missing")
    head = np.frombuffer(value, dtype=_layout.TABLE_HEADER, count=1)[0]
    if head["magic"] != _layout.TABLE_MAGIC or head["record_bytes"] != dtype.itemsize:
        raise refuse("SNAPSHOT_DAMAGED", f"table {name}")
    if head["format"] != _layout.SNAPSHOT_FORMAT:
        raise refuse("FORMAT_UNSUPPORTED", f"table {name}")
    capacity = int(head["capacity"])
    if head_bytes + capacity * dtype.itemsize > len(value):
        raise refuse("SNAPSHOT_DAMAGED", f"table {name}")
    return np.frombuffer(value, dtype=dtype, count=capacity, offset=head_bytes)


def verify_snapshot(path: Path) -> SnapshotFile:
    """Compute the content hash again and hold it against the name.

    Raises
    ------
    NotFoundError
        The file is missing, or not named as snapshots are.
    DamageError
        It is damaged, or its content is not what its name says.
    """
    kind, named = snapshot_hash(path)
    if content_hash(read_snapshot(path)) != named:
        raise refuse("SNAPSHOT_DAMAGED", path.name, "the content is not what the name says")
    return SnapshotFile(path, kind, named, path.stat().st_size)
