"""Reports as files: CSV for people, Parquet for programs; the same rows in both."""

import csv
from pathlib import Path

from checklane.books.proof import Table
from checklane.errors import ConfigError

__all__ = ["FORMATS", "write_table"]


def _write_csv(table: Table, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(column.name for column in table.columns)
        writer.writerows(table.rows)


def _write_parquet(table: Table, path: Path) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        words = "Parquet needs pyarrow: install checklane[feeds], or write CSV"
        raise ConfigError(words, "--format") from None
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.columns)
    arrays = {
        column.name: pa.array(values, type=pa.string() if column.is_text else pa.int64())
        for column, values in zip(table.columns, columns, strict=True)
    }
    parquet.write_table(pa.table(arrays), path)


#: What writes each format.
FORMATS = {"csv": _write_csv, "parquet": _write_parquet}


def write_table(table: Table, path: Path, file_format: str) -> None:
    """Write a report; the file is there whole or not at all.

    Raises
    ------
    ConfigError
        Parquet is asked for and pyarrow is not installed.
    """
    temporary = path.with_name(f"{path.name}.part")
    try:
        FORMATS[file_format](table, temporary)
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
