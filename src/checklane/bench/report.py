"""Shows figures: a table for the terminal and for documents, a page that stands alone, and JSON."""

import html
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from checklane.bench.figures import Figure, encoded, ratio

FORMAT = 1
TITLES = {
    "disk": "This disk",
    "evaluator": "The evaluator alone: one decision, timed in C, caches warm",
    "best deals": "Best deals: one decision, timed in C, caches warm; HiGHS timed in Python",
    "others": "The same simple decisions: 10 lines, 10 offers, percent off by brand",
    "in process": "Whole calls in this process: bytes in, bytes out, closed loop",
    "gRPC": "Through grpcio on loopback, one call in flight on each connection, closed loop",
}
BAR_PX = 320
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem;
  color: #22303c; background: #fbfaf7 }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #dcd8cf; text-align: right }
th { color: #6b7a86; font-weight: 500 }
th:first-child, td:first-child, dt, dd { text-align: left }
code { color: #6b7a86 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem }
dt { color: #6b7a86 } dd { margin: 0 }
line { stroke: #8fa6b5; stroke-width: 5 } circle { fill: #c8553d }
@media (prefers-color-scheme: dark) {
  body { color: #e8e6e1; background: #1b2228 } th, td { border-color: #38434c } }
"""


@dataclass(frozen=True)
class Report:
    """One run of the bench.

    Attributes
    ----------
    machine : dict of str to str
    settings : dict of str to str
        What was asked for, in words.
    figures : list of Figure
    """

    machine: dict[str, str]
    settings: dict[str, str]
    figures: list[Figure]

    def sections(self) -> list[tuple[str, list[Figure]]]:
        """Return the figures by section, in the order in which they were measured."""
        names = dict.fromkeys(figure.section for figure in self.figures)
        return [(name, [f for f in self.figures if f.section == name]) for name in names]


def time_text(nanoseconds: float) -> str:
    """Return a time in the unit that suits it, with three digits."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if nanoseconds >= size:
            value = nanoseconds / size
            return f"{value:.{max(0, 2 - int(math.log10(value)))}f} {unit}"
    return f"{nanoseconds:.0f} ns"


def cells(figure: Figure, figures: Sequence[Figure]) -> list[str]:
    """Return the cells of one row."""
    held = ratio(figure, figures)
    share = figure.exact_share
    baskets = figure.baskets_p99_ns
    return [
        figure.name,
        time_text(figure.p50_ns),
        time_text(figure.p99_ns),
        time_text(figure.max_ns),
        "" if baskets is None else time_text(baskets),
        f"{figure.per_second:,.0f}",
        "" if held is None else f"{held:.2f}",
        "" if share is None else f"{share:.0%}",
        figure.checksum,
    ]


HEAD = (
    "", "p50", "p99", "max", "baskets' p99", "per second", "ratio of p50", "exact", "decisions",
)  # fmt: skip


def show(console: Console, report: Report) -> None:
    """Print a report."""
    grid = Table.grid(padding=(0, 2))
    for name, text in {**report.machine, **report.settings}.items():
        grid.add_row(f"[dim]{name}[/dim]", text)
    console.print(grid)
    for name, figures in report.sections():
        table = Table(title=TITLES[name], title_justify="left", box=None, padding=(0, 1))
        table.add_column(HEAD[0])
        for title in HEAD[1:]:
            table.add_column(title, justify="right", no_wrap=True)
        for figure in figures:
            table.add_row(*cells(figure, report.figures))
        console.print()
        console.print(table)
    console.print()
    for line in held_lines(report):
        console.print(f"[dim]{line}[/dim]", highlight=False)


def held_lines(report: Report) -> list[str]:
    """Return what the columns mean that do not say it: which row each ratio is to."""
    lines = ["baskets' p99: p99 over the baskets of the median time of each"]
    for versus in dict.fromkeys(figure.versus for figure in report.figures if figure.versus):
        held = "; ".join(figure.name for figure in report.figures if figure.versus == versus)
        lines.append(f"ratio to «{versus}»: {held}")
    return lines


def write_json(report: Report, path: Path) -> None:
    """Write every figure of every run; histograms as HdrHistogram encodes them, mergeable."""
    figures: list[dict[str, Any]] = [
        {
            "section": figure.section,
            "name": figure.name,
            "p50_ns": figure.p50_ns,
            "p99_ns": figure.p99_ns,
            "max_ns": figure.max_ns,
            "baskets_p99_ns": figure.baskets_p99_ns,
            "per_second": round(figure.per_second, 1),
            "versus": figure.versus,
            "ratio": ratio(figure, report.figures),
            "exact_share": figure.exact_share,
            "checksum": figure.checksum,
            "runs": [asdict(run) for run in figure.runs],
            "histogram_ns": encoded(figure.histogram),
        }
        for figure in report.figures
    ]
    content = {
        "format": FORMAT,
        "machine": report.machine,
        "settings": report.settings,
        "figures": figures,
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write_markdown(report: Report, path: Path) -> None:
    """Write the same tables as Markdown, for a page of the documentation."""
    parts = [f"- {name}: {text}" for name, text in {**report.machine, **report.settings}.items()]
    for name, figures in report.sections():
        parts += ["", f"**{TITLES[name]}**", "", "| " + " | ".join(HEAD) + " |"]
        parts.append("|---|" + "---:|" * (len(HEAD) - 1))
        parts += ["| " + " | ".join(cells(figure, report.figures)) + " |" for figure in figures]
    parts += ["", *(f"- {line}" for line in held_lines(report))]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def write_page(report: Report, path: Path) -> None:
    """Write an HTML page that needs nothing beside it."""
    parts = ["<!doctype html><html lang=en><meta charset=utf-8><title>checklane bench</title>"]
    parts.append("<meta name=viewport content='width=device-width'>")
    parts.append(f"<style>{STYLE}</style><h1>checklane bench</h1><dl>")
    for name, text in {**report.machine, **report.settings}.items():
        parts.append(f"<dt>{html.escape(name)}<dd>{html.escape(text)}")
    parts.append("</dl>")
    for name, figures in report.sections():
        parts += _section(name, figures, report.figures)
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def _section(name: str, figures: Sequence[Figure], every: Sequence[Figure]) -> list[str]:
    low = math.log10(min(figure.p50_ns for figure in figures))
    high = math.log10(max(figure.p99_ns for figure in figures))
    wide = max(high - low, 0.1)
    parts = [f"<h2>{html.escape(TITLES[name])}</h2><table><tr>"]
    parts += [f"<th>{title}" for title in HEAD[:-1]]
    parts.append("<th>p50 to p99, logarithmic<th>decisions")
    for figure in figures:
        row = cells(figure, every)
        title = f" title='held against {html.escape(figure.versus)}'" if figure.versus else ""
        parts.append(f"<tr{title}>" + "".join(f"<td>{html.escape(cell)}" for cell in row[:-1]))
        ends = [
            6 + (BAR_PX - 12) * (math.log10(value) - low) / wide
            for value in (figure.p50_ns, figure.p99_ns)
        ]
        parts.append(
            f"<td><svg width={BAR_PX} height=12>"
            f"<line x1={ends[0]:.0f} x2={ends[1]:.0f} y1=6 y2=6 />"
            f"<circle cx={ends[0]:.0f} cy=6 r=5 /></svg><td><code>{row[-1]}</code>"
        )
    parts.append("</table>")
    return parts
