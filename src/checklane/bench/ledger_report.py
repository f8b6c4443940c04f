"""Shows how fast the ledger is: for the terminal, as Markdown, as a page of its own, as JSON."""

import html
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from checklane.bench.figures import Figure, encoded
from checklane.bench.report import STYLE, time_text

FORMAT = 1
HEAD = (
    "", "a second", "p50", "p99", "p99.9", "max", "over fdatasync's p50", "a group", "a sync",
    "checkpoints", "ledger's rate to this",
)  # fmt: skip
START_HEAD = ("", "first answer after", "processor time", "memory of its own", "replayed")
START_TITLE = "start, from opening the data directory to the first answer"


@dataclass
class Row:
    """One row of commits, or of the disk.

    Attributes
    ----------
    section, name : str
    in_flight : int
    figure : Figure
    group_entries, syncs_us : list of float
        By run: entries a group, and what a sync took; empty for others than the ledger.
    checkpoints : int
        Finished meanwhile.
    """

    section: str
    name: str
    in_flight: int
    figure: Figure
    group_entries: list[float] = field(default_factory=list)
    syncs_us: list[float] = field(default_factory=list)
    checkpoints: int = 0

    @property
    def p999_ns(self) -> int:
        """p99.9 over all runs together."""
        return int(self.figure.histogram.get_value_at_percentile(99.9))


@dataclass(frozen=True)
class Start:
    """One row of starts: medians of several."""

    name: str
    answer_s: float
    cpu_s: float
    memory_bytes: int
    replayed: int


@dataclass(frozen=True)
class LedgerReport:
    """One run of ``checklane bench ledger``; the first row is the disk's."""

    machine: dict[str, str]
    rows: list[Row]
    starts: list[Start]

    def sections(self) -> list[tuple[str, list[Row]]]:
        """Return the rows by section, in the order in which they were measured."""
        names = dict.fromkeys(row.section for row in self.rows)
        return [(name, [row for row in self.rows if row.section == name]) for name in names]


def ratio(row: Row, rows: Sequence[Row]) -> float | None:
    """Return the rate of the ledger's burst with as many in flight over that of a peer's row."""
    if row.group_entries or row is rows[0]:
        return None
    for other in rows:
        if other.group_entries and other.in_flight == row.in_flight:
            return other.figure.per_second / row.figure.per_second
    return None


def cells(row: Row, rows: Sequence[Row]) -> list[str]:
    """Return the cells of one row."""
    figure = row.figure
    over_ns = figure.p50_ns - rows[0].figure.p50_ns
    held = ratio(row, rows)
    return [
        row.name,
        f"{figure.per_second:,.0f}",
        time_text(figure.p50_ns),
        time_text(figure.p99_ns),
        time_text(row.p999_ns),
        time_text(figure.max_ns),
        "" if row is rows[0] else f"{'+' if over_ns >= 0 else '-'}{time_text(abs(over_ns))}",
        f"{statistics.median(row.group_entries):.1f}" if row.group_entries else "",
        time_text(1000 * statistics.median(row.syncs_us)) if row.syncs_us else "",
        str(row.checkpoints) if row.checkpoints else "",
        "" if held is None else f"{held:.1f} x",
    ]


def start_cells(start: Start) -> list[str]:
    """Return the cells of one row of starts."""
    return [
        start.name,
        time_text(start.answer_s * 1e9),
        time_text(start.cpu_s * 1e9),
        f"{start.memory_bytes / 2**20:,.0f} MiB",
        f"{start.replayed:,}",
    ]


def tables(report: LedgerReport) -> list[tuple[str, tuple[str, ...], list[list[str]]]]:
    """Return every table: its title, its head, its rows."""
    found: list[tuple[str, tuple[str, ...], list[list[str]]]] = [
        (name, HEAD, [cells(row, report.rows) for row in rows]) for name, rows in report.sections()
    ]
    if report.starts:
        found.append((START_TITLE, START_HEAD, [start_cells(start) for start in report.starts]))
    return found


def show(console: Console, report: LedgerReport) -> None:
    """Print a report."""
    grid = Table.grid(padding=(0, 2))
    for name, text in report.machine.items():
        grid.add_row(f"[dim]{name}[/dim]", text)
    console.print(grid)
    for title, head, rows in tables(report):
        table = Table(title=title, title_justify="left", box=None, padding=(0, 1))
        table.add_column(head[0])
        for name in head[1:]:
            table.add_column(name, justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*row)
        console.print()
        console.print(table)


def write_markdown(report: LedgerReport, path: Path) -> None:
    """Write the tables as Markdown, for a page of the documentation."""
    parts = [f"- {name}: {text}" for name, text in report.machine.items()]
    for title, head, rows in tables(report):
        parts += ["", f"**{title}**", "", "| " + " | ".join(head) + " |"]
        parts.append("|---|" + "---:|" * (len(head) - 1))
        parts += ["| " + " | ".join(row) + " |" for row in rows]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def write_page(report: LedgerReport, path: Path) -> None:
    """Write an HTML page that needs nothing beside it."""
    parts = ["<!doctype html><html lang=en><meta charset=utf-8><title>checklane ledger</title>"]
    parts.append("<meta name=viewport content='width=device-width'>")
    parts.append(f"<style>{STYLE}</style><h1>checklane bench ledger</h1><dl>")
    for name, text in report.machine.items():
        parts.append(f"<dt>{html.escape(name)}<dd>{html.escape(text)}")
    parts.append("</dl>")
    for title, head, rows in tables(report):
        parts.append(f"<h2>{html.escape(title)}</h2><table><tr>")
        parts += [f"<th>{html.escape(name)}" for name in head]
        for row in rows:
            parts.append("<tr>" + "".join(f"<td>{html.escape(cell)}" for cell in row))
        parts.append("</table>")
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def write_json(report: LedgerReport, path: Path) -> None:
    """Write every figure of every run; histograms as HdrHistogram encodes them, mergeable."""
    rows = [
        {
            "section": row.section,
            "name": row.name,
            "in_flight": row.in_flight,
            "per_second": round(row.figure.per_second, 1),
            "p50_ns": row.figure.p50_ns,
            "p99_ns": row.figure.p99_ns,
            "p999_ns": row.p999_ns,
            "max_ns": row.figure.max_ns,
            "group_entries": row.group_entries,
            "syncs_us": row.syncs_us,
            "checkpoints": row.checkpoints,
            "ledger_rate_ratio": ratio(row, report.rows),
            "runs": [asdict(run) for run in row.figure.runs],
            "histogram_ns": encoded(row.figure.histogram),
        }
        for row in report.rows
    ]
    content = {
        "format": FORMAT,
        "machine": report.machine,
        "rows": rows,
        "starts": [asdict(start) for start in report.starts],
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
