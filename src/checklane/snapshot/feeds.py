"""Readers of feeds: CSV, Parquet and JSON lines, a chunk of columns at a time.

Every value arrives as text without blanks around it; what is not there is empty. A row that cannot
be read is rejected by number and reading goes on; a file that cannot be read is a `FeedError`.
"""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from checklane.snapshot.report import FeedError, Report
from checklane.tables.open_addressing import IntArray

CHUNK_ROWS = 65_536
#: What is trimmed around a value: ASCII blanks only, as the engine trims identifiers.
BLANKS = " \t\r\n\v\f"
YES_NO = {"": 0, "true": 1, "1": 1, "yes": 1, "y": 1, "false": 0, "0": 0, "no": 0, "n": 0}

#: Called with the bytes of feed files that were read since the last call.
Advance = Callable[[int], None]


class Feed(NamedTuple):
    """The columns of one kind of feed."""

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        return self.required + self.optional


@dataclass
class Chunk:
    """Some rows of a feed, column by column.

    Attributes
    ----------
    file : str
        Name of the feed file.
    file_number : int
        Position of the file among the files of its feed.
    rows : numpy.ndarray of int64
        Row number of each row in its file.
    columns : dict of str to list of str
        Every column of the feed; one that the file does not have is all empty.
    keep : numpy.ndarray of bool
        False for rejected rows.
    """

    file: str
    file_number: int
    rows: IntArray
    columns: dict[str, list[str]]
    report: Report
    keep: npt.NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        """Keep every row until something is found wrong with it."""
        self.keep = np.ones(len(self.rows), dtype=bool)

    def reject(
        self, wrong: npt.NDArray[np.bool_] | int, column: str, reason: str, remedy: str
    ) -> None:
        """Reject rows by a mask, or one by its index. The first fault of a row is the one told."""
        if isinstance(wrong, int):
            indices = [wrong] if self.keep[wrong] else []
        else:
            indices = np.flatnonzero(wrong & self.keep).tolist()
        for index in indices:
            self.keep[index] = False
            self.report.reject(self.file, int(self.rows[index]), column, reason, remedy)

    def require(self, column: str, bytes_max: int) -> None:
        """Reject rows whose value is empty or too long."""
        values = self.columns[column]
        if not all(values):
            empty = np.fromiter((not value for value in values), dtype=bool, count=len(values))
            self.reject(empty, column, "empty", f"give every row a {column}")
        self.limit(column, bytes_max)

    def limit(self, column: str, bytes_max: int) -> None:
        """Reject rows whose value is too long."""
        values = self.columns[column]
        # No character takes more than four bytes: most values need no encoding to be judged.
        if max(map(len, values), default=0) * 4 <= bytes_max:
            return
        for index, value in enumerate(values):
            if len(value) * 4 > bytes_max and len(value.encode()) > bytes_max:
                self.reject(index, column, "too long", f"use at most {bytes_max} bytes")

    def mapped(self, column: str, numbers: Mapping[str, int], remedy: str) -> IntArray:
        """Return the number of each value, rejecting rows whose value has none."""
        found = np.fromiter(
            (numbers.get(value, -1) for value in self.columns[column]),
            dtype=np.int64,
            count=len(self.rows),
        )
        self.reject(found < 0, column, "not a known value", remedy)
        return found

    def yes_no(self, column: str) -> IntArray:
        """Return 1 for yes and 0 for no or empty, rejecting rows with anything else."""
        self.columns[column] = [value.lower() for value in self.columns[column]]
        return self.mapped(column, YES_NO, "write true or false")

    def kept(self, column: str) -> list[str]:
        """Return the values of the rows that are not rejected."""
        values = self.columns[column]
        if self.keep.all():
            return values
        return [values[index] for index in np.flatnonzero(self.keep)]


class Place(NamedTuple):
    """Where rows came from: file number and row of each, and the names of the files."""

    files: IntArray
    rows: IntArray
    names: Sequence[str]

    def reject(self, report: Report, index: int, column: str, reason: str, remedy: str) -> None:
        """Reject the row at an index."""
        file = self.names[self.files[index]]
        report.reject(file, int(self.rows[index]), column, reason, remedy)

    def tell(self, index: int) -> str:
        """Return the place of the row at an index, for a reason that names another row."""
        return f"{self.names[self.files[index]]} row {self.rows[index]}"


def places(chunks: Sequence[Chunk], paths: Sequence[Path]) -> Place:
    """Return where the kept rows of all chunks came from."""
    files = [np.full(int(c.keep.sum()), c.file_number, dtype=np.int64) for c in chunks]
    rows = [c.rows[c.keep] for c in chunks]
    none = np.zeros(0, dtype=np.int64)
    return Place(
        np.concatenate([none, *files]), np.concatenate([none, *rows]), [p.name for p in paths]
    )


def read_feed(
    feed: Feed, paths: Sequence[Path], report: Report, advance: Advance | None = None
) -> Iterator[Chunk]:
    """Read the files of one feed.

    Parameters
    ----------
    feed : Feed
        The columns to expect.
    paths : sequence of Path
        ``.csv``, ``.parquet`` or ``.jsonl`` files, in the order in which the first row wins.
    report : Report
        Gets what is rejected.
    advance : callable, optional
        Called with the bytes read since the last call.

    Yields
    ------
    Chunk
        At most `CHUNK_ROWS` rows.

    Raises
    ------
    FeedError
        A file is missing, of an unknown kind, lacks a required column or cannot be read.
    """
    readers = {".csv": _read_csv, ".parquet": _read_parquet, ".jsonl": _read_json_lines}
    for number, path in enumerate(paths):
        reader = readers.get(path.suffix.lower())
        if reader is None:
            raise FeedError(f"{path.name}: name the file .csv, .parquet or .jsonl by what it is")
        if not path.is_file():
            raise FeedError(f"{path}: there is no such file")
        for rows, columns in reader(feed, path, report, advance or _ignore):
            report.read[path.name] += len(rows)
            chunk = Chunk(path.name, number, np.array(rows, dtype=np.int64), columns, report)
            _check_text(chunk)
            yield chunk


def _ignore(_: int) -> None:
    """Advance nobody's bar."""


def _check_text(chunk: Chunk) -> None:
    """Trim every value, and reject rows that are not UTF-8 or hold a zero byte."""
    for column, values in chunk.columns.items():
        joined = "".join(values)
        trimmed = values
        if any(blank in joined for blank in BLANKS):
            trimmed = [value.strip(BLANKS) for value in values]
        chunk.columns[column] = trimmed
        if "\0" not in joined and (joined.isascii() or _is_utf8(joined)):
            continue
        for index, value in enumerate(trimmed):
            if "\0" in value or not _is_utf8(value):
                chunk.reject(index, column, "not UTF-8 text", "write the file in UTF-8")
                trimmed[index] = ""


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _head(feed: Feed, path: Path, names: Sequence[str], report: Report) -> None:
    """Check the columns of a file and note those that are not used."""
    missing = [column for column in feed.required if column not in names]
    if missing:
        raise FeedError(
            f"{path.name}: a {feed.name} feed needs the column {', '.join(missing)};"
            f" it may have {', '.join(feed.optional) or 'no other'}"
        )
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise FeedError(f"{path.name}: the column {', '.join(doubled)} stands there twice")
    report.begin(path.name, sorted(set(names) - set(feed.columns)))


Rows = tuple[list[int], dict[str, list[str]]]


def _read_csv(feed: Feed, path: Path, report: Report, advance: Advance) -> Iterator[Rows]:
    """Read a CSV file with a head line; fields may be quoted and hold line breaks."""
    with (
        path.open("rb") as raw,
        io.TextIOWrapper(raw, "utf-8-sig", errors="surrogateescape", newline="") as text,
    ):
        reader = csv.reader(text)
        names = [name.strip(BLANKS) for name in next(reader, [])]
        _head(feed, path, names, report)
        number = 2
        read_bytes = 0
        while True:
            batch: list[list[str]] = []
            fault = _read_batch(reader, batch)
            rows, records = _whole_rows(path, number, batch, len(names), report)
            number += len(batch)
            if fault is not None:
                report.read[path.name] += 1
                report.reject(path.name, number, "", f"not CSV: {fault}", "mend the quotes")
                number += 1
            yield rows, _columns(feed, names, records)
            if fault is None and len(batch) < CHUNK_ROWS:
                break
            at = raw.tell()
            advance(at - read_bytes)
            read_bytes = at
        advance(path.stat().st_size - read_bytes)


def _read_batch(reader: Iterator[list[str]], batch: list[list[str]]) -> str | None:
    """Fill a batch; return what is wrong with the record after it, or None."""
    try:
        for record in islice(reader, CHUNK_ROWS):
            batch.append(record)  # noqa: PERF402 - what was read before a fault stays
    except csv.Error as error:
        return str(error)
    return None


def _whole_rows(
    path: Path, first: int, batch: list[list[str]], width: int, report: Report
) -> tuple[list[int], list[list[str]]]:
    """Return the records that have a field for each column, with their numbers."""
    rows = list(range(first, first + len(batch)))
    if all(len(record) == width for record in batch):
        return rows, batch
    kept = [index for index, record in enumerate(batch) if len(record) == width]
    for row, record in zip(rows, batch, strict=True):
        # A blank line is no row.
        if record and len(record) != width:
            reason = f"{len(record)} fields where the head has {width}"
            report.read[path.name] += 1
            report.reject(path.name, row, "", reason, "quote fields that hold commas")
    return [rows[index] for index in kept], [batch[index] for index in kept]


def _columns(
    feed: Feed, names: Sequence[str], records: Sequence[Sequence[str]]
) -> dict[str, list[str]]:
    """Turn records into the feed's columns."""
    found = dict(zip(names, map(list, zip(*records, strict=True)), strict=False))
    empty = [""] * len(records)
    return {column: found.get(column, empty) for column in feed.columns}


def _read_json_lines(feed: Feed, path: Path, report: Report, advance: Advance) -> Iterator[Rows]:
    """Read one JSON object a line. Numbers keep the digits that they are written with."""
    decoder = json.JSONDecoder(parse_float=str, parse_int=str)
    rows: list[int] = []
    records: list[dict[str, Any]] = []
    seen: set[str] = set()
    report.begin(path.name, [])
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            advance(len(line))
            if not line.strip():
                continue
            record = _json_object(decoder, line)
            if record is None:
                report.read[path.name] += 1
                reason = "not a JSON object in UTF-8"
                report.reject(path.name, number, "", reason, "write one object a line")
                continue
            seen.update(record)
            rows.append(number)
            records.append(record)
            if len(rows) == CHUNK_ROWS:
                yield rows, _json_columns(feed, records)
                rows, records = [], []
    if seen:
        _head(feed, path, sorted(seen), report)
    yield rows, _json_columns(feed, records)


def _json_object(decoder: json.JSONDecoder, line: bytes) -> dict[str, Any] | None:
    try:
        record = decoder.decode(line.decode())
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _json_columns(feed: Feed, records: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    return {column: [_text(r.get(column)) for r in records] for column in feed.columns}


def _text(value: Any) -> str:
    """Return a JSON or Parquet value as a CSV file would hold it; lists joined by semicolons."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ";".join(map(_text, value))
    return str(value)


def _read_parquet(feed: Feed, path: Path, report: Report, advance: Advance) -> Iterator[Rows]:
    """Read a Parquet file of flat columns, or of lists of text."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise FeedError(
            f"{path.name}: Parquet feeds need pyarrow: pip install 'checklane[feeds]',"
            " or export the feed as CSV"
        ) from None
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _head(feed, path, names, report)
            wanted = [column for column in feed.columns if column in names]
            first = 1
            rows_max = max(file.metadata.num_rows, 1)
            for batch in file.iter_batches(CHUNK_ROWS, columns=wanted):
                found = {
                    column: [_text(value) for value in batch.column(column).to_pylist()]
                    for column in wanted
                }
                empty = [""] * batch.num_rows
                yield (
                    list(range(first, first + batch.num_rows)),
                    {column: found.get(column, empty) for column in feed.columns},
                )
                first += batch.num_rows
                advance(path.stat().st_size * batch.num_rows // rows_max)
    except pa.ArrowException as error:
        raise FeedError(f"{path.name}: not a Parquet file that can be read: {error}") from None
