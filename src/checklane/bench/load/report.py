"""Shows load: tables for the terminal, a page that stands alone, JSON with every histogram."""

import html
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from checklane.bench.load.chart import Axis, Series, line_chart
from checklane.bench.load.rows import PERCENTILES, Row
from checklane.bench.report import FORMAT, STYLE, time_text

HEAD = (
    "", "offered/s", "answered/s", "p50", "p90", "p99", "p99.9", "max", "server CPU", "late p99",
    "ratio",
)  # fmt: skip
#: Shares of the calls on the axis of percentiles: as many nines as there are calls for.
TAILS = (50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 99.999)
SLICES = 120
PAGE_STYLE = STYLE + "svg { width: 100%; height: auto; margin: .5rem 0 } p { max-width: 46rem }\n"
NOTE = (
    "Latency counts from the time at which a call was due, so that a stall is charged to every call"
    " that was due meanwhile. Late: how late the generator itself came to a call. Every answer was"
    " held against the right decision: one wrong answer fails the run."
)


@dataclass(frozen=True)
class LoadReport:
    """One run of the load bench: machine and settings in words, and its rows."""

    title: str
    machine: dict[str, str]
    settings: dict[str, str]
    rows: list[Row]

    def sections(self) -> list[tuple[str, list[Row]]]:
        """Return the rows by section, in the order in which they were measured."""
        names = dict.fromkeys(row.section for row in self.rows)
        return [(name, [row for row in self.rows if row.section == name]) for name in names]


def ratio_of(row: Row, rows: Sequence[Row]) -> float | None:
    """Return a row's answers a second over those of the row that it is held against."""
    for other in rows:
        if other.name == row.versus:
            return row.per_second / other.per_second
    return None


def cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """Return the cells of one row."""
    held = ratio_of(row, rows)
    late = row.lateness.get_value_at_percentile(99.0)
    is_open = row.offered_per_second is not None
    return [
        row.name,
        f"{row.offered_per_second:,.0f}" if is_open else "closed",
        f"{row.per_second:,.0f}",
        *(time_text(row.at(percentile)) for percentile in PERCENTILES),
        time_text(row.max_ns),
        "" if row.cpu_us is None else f"{row.cpu_us:.1f} µs",
        time_text(late) if is_open else "",
        "" if held is None else f"{held:.3g}",
    ]


def show(console: Console, report: LoadReport) -> None:
    """Print a report."""
    grid = Table.grid(padding=(0, 2))
    for name, text in {**report.machine, **report.settings}.items():
        grid.add_row(f"[dim]{name}[/dim]", text)
    console.print(grid)
    for name, rows in report.sections():
        table = Table(title=name, title_justify="left", box=None, padding=(0, 1))
        table.add_column(HEAD[0])
        for title in HEAD[1:]:
            table.add_column(title, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*cells(row, report.rows))
            for part in row.windows:
                table.add_row(*cells(part, row.windows), style="dim")
        console.print()
        console.print(table)
    for line in notes(report):
        console.print(f"[dim]{line}[/dim]", highlight=False)


def notes(report: LoadReport) -> list[str]:
    """Return what a reader should know of the rows: what each was held against, what came back."""
    lines = []
    for versus in dict.fromkeys(row.versus for row in report.rows if row.versus):
        held = "; ".join(row.name for row in report.rows if row.versus == versus)
        lines.append(f"ratio of answers a second to «{versus}»: {held}")
    for row in report.rows:
        if not row.is_whole:
            counts = ", ".join(f"{count:,} {what}" for what, count in row.outcomes.items())
            lines.append(f"{row.name}: {counts}")
        lines += [f"{row.name}: {words} after {at_s:.2f} s" for at_s, words in row.marks]
    return lines


def as_json(report: LoadReport) -> dict[str, object]:
    """Return a report for a JSON file."""
    return {
        "format": FORMAT,
        "title": report.title,
        "machine": report.machine,
        "settings": report.settings,
        "figures": [row.as_json() for row in report.rows],
    }


def write_json(report: LoadReport, path: Path) -> None:
    """Write every row with its histograms."""
    text = json.dumps(as_json(report), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def write_markdown(report: LoadReport, path: Path) -> None:
    """Write the tables for a page of the documentation."""
    parts = [f"- {name}: {text}" for name, text in {**report.machine, **report.settings}.items()]
    for name, rows in report.sections():
        parts += ["", f"**{name}**", "", "| " + " | ".join(HEAD) + " |"]
        parts.append("|---|" + "---:|" * (len(HEAD) - 1))
        for row in rows:
            parts.append("| " + " | ".join(cells(row, report.rows)) + " |")
            parts += ["| " + " | ".join(cells(part, row.windows)) + " |" for part in row.windows]
    parts += ["", *(f"- {line}" for line in notes(report))]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def write_page(report: LoadReport, path: Path) -> None:
    """Write an HTML page that needs nothing beside it."""
    parts = ["<!doctype html><html lang=en><meta charset=utf-8>"]
    parts.append(f"<title>{html.escape(report.title)}</title>")
    parts.append("<meta name=viewport content='width=device-width'>")
    parts.append(f"<style>{PAGE_STYLE}</style><h1>{html.escape(report.title)}</h1><dl>")
    for name, text in {**report.machine, **report.settings}.items():
        parts.append(f"<dt>{html.escape(name)}<dd>{html.escape(text)}")
    parts.append(f"</dl><p>{NOTE}</p>")
    for name, rows in report.sections():
        parts.append(f"<h2>{html.escape(name)}</h2>{_table(rows, report.rows)}")
        parts += charts(rows)
    parts += [f"<p>{html.escape(line)}</p>" for line in notes(report)]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def charts(rows: Sequence[Row]) -> list[str]:
    """Return the charts of a section: by offered load, by percentile, over time."""
    found = []
    if sum(row.offered_per_second is not None for row in rows) > 1:
        found.append(load_chart(rows))
    found.append(percentile_chart(rows))
    found += [time_chart(row) for row in rows if row.marks and row.times is not None]
    return found


def _table(rows: Sequence[Row], every: Sequence[Row]) -> str:
    parts = ["<table><tr>", *(f"<th>{title}" for title in HEAD)]
    for row in rows:
        lines = [cells(row, every), *(cells(part, row.windows) for part in row.windows)]
        parts += ["<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in line) for line in lines]
    return "".join([*parts, "</table>"])


def percentile_chart(rows: Sequence[Row]) -> str:
    """Return latency by percentile: as far into the tail as there are calls for."""
    series = []
    for row in rows:
        count = row.latency.get_total_count()
        tails = [tail for tail in TAILS if (100 - tail) / 100 * count >= 1]
        points = [(100 / (100 - tail), float(row.at(tail))) for tail in tails or [50.0]]
        series.append(Series(row.name, points))
    shown = Axis(
        "percentile",
        lambda value: f"{100 - 100 / value:.6g}",
        is_log=True,
        ticks=[100 / (100 - tail) for tail in TAILS],
    )
    return line_chart(series, shown, Axis("latency", time_text, is_log=True))


def load_chart(rows: Sequence[Row]) -> str:
    """Return latency by offered load."""
    steps = sorted(
        (row for row in rows if row.offered_per_second is not None),
        key=lambda row: row.offered_per_second or 0.0,
    )
    drawn: dict[str, Callable[[Row], int]] = {
        "p50": lambda row: row.at(50),
        "p99": lambda row: row.at(99),
        "p99.9": lambda row: row.at(99.9),
        "max": lambda row: row.max_ns,
    }
    series = [
        Series(name, [(row.offered_per_second or 0.0, float(value(row))) for row in steps])
        for name, value in drawn.items()
    ]
    offered = Axis("offered calls a second", lambda value: f"{value:,.0f}")
    return line_chart(series, offered, Axis("latency", time_text, is_log=True))


def time_chart(row: Row) -> str:
    """Return p50, p99 and the longest latency of each slice of a run, with what happened."""
    assert row.times is not None
    due_s, waits = row.times
    edges = np.linspace(0.0, float(due_s.max()) + 1e-9, SLICES + 1)
    place = np.digitize(due_s, edges) - 1
    slices = [(edges[at], waits[place == at]) for at in range(SLICES) if (place == at).any()]
    series = [
        Series(name, [(float(at_s), float(np.percentile(found, share))) for at_s, found in slices])
        for name, share in (("p50", 50), ("p99", 99), ("max", 100))
    ]
    seconds = Axis("seconds", lambda value: f"{value:g}")
    return line_chart(series, seconds, Axis("latency", time_text, is_log=True), row.marks)
