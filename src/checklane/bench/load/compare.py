"""Two runs beside each other: rows of one name, their histograms merged, their ratios."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from checklane.bench.figures import BenchError, decoded, new_histogram
from checklane.bench.load.report import LoadReport, write_page
from checklane.bench.load.rows import PERCENTILES, Row
from checklane.bench.report import FORMAT, time_text

SECTION = "both runs"
HEAD = ("", "", "p50", "p90", "p99", "p99.9", "max", "per second")


@dataclass(frozen=True)
class Side:
    """One side of a comparison: rows by name, merged over the files given for it."""

    name: str
    machine: dict[str, str]
    rows: dict[str, Row]


def read_side(path: Path) -> Side:
    """Read one JSON file of `checklane bench`, or all in a folder, as runs of the same.

    Raises
    ------
    BenchError
        There is none, or one is of another kind.
    """
    files = sorted(path.rglob("*.json")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise BenchError(f"there is no JSON of a run at {path}")
    found: dict[str, list[dict[str, Any]]] = {}
    machine: dict[str, str] = {}
    for file in files:
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise BenchError(f"{file}: format {content['format']}, {FORMAT} is read here")
            machine = content["machine"]
            for figure in content["figures"]:
                found.setdefault(figure["name"], []).append(figure)
        except (KeyError, TypeError, ValueError) as failure:
            raise BenchError(f"{file} is no run of checklane bench: {failure!r}") from None
    return Side(str(path), machine, {name: _merged(name, runs) for name, runs in found.items()})


def _merged(name: str, runs: Sequence[dict[str, Any]]) -> Row:
    """Return several runs of one row as one."""
    sums = {run["checksum"] for run in runs}
    if len(sums) > 1:
        raise BenchError(f"{name}: the runs decided differently ({', '.join(sorted(sums))})")
    row = Row(runs[0]["section"], name, per_second=median(run["per_second"] for run in runs))
    row.offered_per_second = runs[0].get("offered_per_second")
    row.checksum = sums.pop()
    row.latency = new_histogram()
    for run in runs:
        row.latency.add(decoded(run["histogram_ns"]))
    return row


def pairs(one: Side, other: Side) -> list[tuple[Row, Row]]:
    """Return the rows that both sides have.

    Raises
    ------
    BenchError
        There is none, or one decided differently on both sides: then speed says nothing.
    """
    both = [(row, other.rows[name]) for name, row in one.rows.items() if name in other.rows]
    if not both:
        raise BenchError("the two runs have no row of one name")
    for first, second in both:
        if first.checksum != second.checksum:
            raise BenchError(
                f"{first.name}: the decisions differ, {first.checksum} and {second.checksum}"
            )
    return both


def values(row: Row) -> list[float]:
    """Return what is compared of a row."""
    return [*(row.at(percentile) for percentile in PERCENTILES), row.max_ns, row.per_second]


def ratios(first: Row, second: Row) -> list[float]:
    """Return the second row's values over the first one's."""
    return [b / a if a else 0.0 for a, b in zip(values(first), values(second), strict=True)]


def show(console: Console, one: Side, other: Side) -> None:
    """Print both sides and their ratios."""
    console.print(f"A: {one.name}\nB: {other.name}", soft_wrap=True, highlight=False)
    if one.machine.get("processor") != other.machine.get("processor"):
        console.print("[yellow]The machines differ: ratios say little.[/yellow]")
    table = Table(box=None, padding=(0, 1))
    table.add_column(HEAD[0])
    for title in HEAD[1:]:
        table.add_column(title, justify="right", no_wrap=True)
    for first, second in pairs(one, other):
        for side, row in (("A", first), ("B", second)):
            *times, rate = values(row)
            name = first.name if side == "A" else ""
            table.add_row(name, side, *map(time_text, times), f"{rate:,.0f}")
        table.add_row("", "B/A", *(f"{found:.2f}" for found in ratios(first, second)), style="bold")
    console.print(table)


def write_comparison(one: Side, other: Side, path: Path) -> None:
    """Write a page with the curves of both sides."""
    rows = []
    for first, second in pairs(one, other):
        for side, row in (("A", first), ("B", second)):
            rows.append(
                Row(
                    first.name,
                    f"{side}: {row.name}",
                    row.per_second,
                    latency=row.latency,
                    versus="" if side == "A" else f"A: {row.name}",
                )
            )
    words = {"A": one.name, "B": other.name}
    write_page(LoadReport("checklane bench compare", one.machine, words, rows), path)
