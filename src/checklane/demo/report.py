"""Tells what a replay did: a summary for the terminal, a file of its figures, and a chart."""

import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from checklane.demo.data import Records
from checklane.demo.day.run import Day
from checklane.demo.lane import ACK_SALE, METHODS
from checklane.demo.program import PURSES, mechanic_of
from checklane.demo.reconcile import Audit, Book
from checklane.demo.replay import Outcome

PERCENTILES = (50.0, 99.0, 99.9)
TOP_OFFERS = 8
#: Percentiles of the chart's curves: 100 * (1 - 10^-x), from the median on.
CURVE_STEPS = 120
CURVE_NINES_MAX = 4.0
COLOURS = {"commit": "#c8553d", "quote": "#2f6690"}
INK, MUTED, PAPER, RULE = "#22303c", "#6b7a86", "#fbfaf7", "#dcd8cf"
DATA_NAME = "the Complete Journey data set (84.51°/dunnhumby)"


@dataclass(frozen=True)
class Summary:
    """All figures of a run. Sums and quantiles only: no row of the data set is in it."""

    outcome: Outcome
    audit: Audit
    acks: Records
    rules: dict[str, int]
    setup_s: float
    lane_count: int
    missing: list[str]
    day: Day | None

    @property
    def is_reconciled(self) -> bool:
        """True when the books agree and every sale of the plan was entered."""
        return not self.differences()

    def differences(self) -> list[str]:
        """Return all that differs: of the replay, and then of the day."""
        of_day = [] if self.day is None else self.day.differences
        return [*self.missing, *self.audit.differences, *of_day]

    def issued(self) -> tuple[int, ...]:
        """Return the points that sales gave, by purse."""
        sales = self.acks["points"][self.acks["kind"] == ACK_SALE]
        return tuple(int(points) for points in sales.sum(axis=0))

    def reversed(self) -> tuple[int, ...]:
        """Return the points that voids and returns took back, by purse."""
        others = self.acks["points"][self.acks["kind"] != ACK_SALE]
        return tuple(-int(points) for points in others.sum(axis=0))

    def savings(self) -> Counter[str]:
        """Return the savings of all sales by what the offer does."""
        found: Counter[str] = Counter()
        for offer, minor in self.outcome.tally.offer_minor.items():
            if minor:
                found[mechanic_of(offer)] += minor
        return found

    def exact_share(self) -> float:
        """Return the share of sales whose deal was proven best."""
        sales = int((self.acks["kind"] == ACK_SALE).sum())
        return 1.0 - self.outcome.tally.bounded / max(sales, 1)


def money(minor: int) -> str:
    """Return cents as dollars."""
    sign = "-" if minor < 0 else ""
    return f"{sign}{abs(minor) // 100:,}.{abs(minor) % 100:02d}"


def percent(share: float) -> str:
    """Return a share as a percentage, rounded down: only all is shown as 100 %."""
    return f"{math.floor(share * 100_000) / 1000:.3f}%"


def latency_ms(histogram: Any, percentile: float) -> float:
    """Return a quantile in milliseconds."""
    return float(histogram.get_value_at_percentile(percentile)) / 1000


def show_rules(console: Console, rules: dict[str, int]) -> None:
    """Show what the rules of reading touched."""
    table = Table(title="How the data set was read", title_justify="left", box=None)
    table.add_column("rows", justify="right", style="cyan")
    table.add_column("rule")
    for rule, rows in rules.items():
        table.add_row(f"{rows:,}", rule)
    console.print(table)


def show_summary(console: Console, summary: Summary) -> None:
    """Show a summary that people like to look at, ending with the verdict."""
    console.print(
        Panel(
            Group(_figures(summary), Text(), _latencies(summary), Text(), _offers(summary)),
            title=f"checklane on {DATA_NAME}",
            subtitle=f"{summary.outcome.elapsed_s:.1f} s on {summary.lane_count} lanes",
            border_style="cyan",
            padding=(1, 2),
        )
    )
    console.print(_books(summary))
    for difference in [*summary.missing, *summary.audit.differences]:
        console.print(f"  difference: {difference}", style="red", highlight=False)


def _figures(summary: Summary) -> Table:
    outcome, tally = summary.outcome, summary.outcome.tally
    seconds = max(outcome.elapsed_s, 1e-9)
    table = Table.grid(padding=(0, 1))
    for _ in range(4):
        table.add_column(justify="right", style="bold", no_wrap=True)
        table.add_column(style="dim", no_wrap=True, min_width=15)
    sales = summary.acks[summary.acks["kind"] == ACK_SALE]
    discount = int(sales["discount_minor"].sum())
    gross = int(sales["gross_minor"].sum())
    issued, taken = summary.issued(), summary.reversed()
    table.add_row(
        f"{tally.baskets:,}", "baskets",
        f"{tally.quotes:,}", "quotes",
        f"{tally.commits:,}", "commits",
        f"{tally.voids:,}", "voids",
    )  # fmt: skip
    table.add_row(
        f"{tally.lines:,}", "lines",
        f"{tally.quotes / seconds:,.0f}", "quotes/s",
        f"{tally.commits / seconds:,.0f}", "commits/s",
        f"{tally.returns:,}", "returns",
    )  # fmt: skip
    table.add_row(
        money(gross), "charged",
        money(discount), "saved",
        f"{discount / max(gross, 1):.1%}", "of it",
        percent(summary.exact_share()), "EXACT",
    )  # fmt: skip
    for number, purse in enumerate(PURSES):
        table.add_row(
            f"{issued[number]:,}", f"{purse} issued",
            f"{taken[number]:,}", "reversed",
            "0", "burned",
            f"{issued[number] - taken[number]:,}", "left",
        )  # fmt: skip
    table.add_row(
        f"{tally.opened_accounts:,}", "accounts opened",
        f"{tally.retries:,}", "retries",
        percent(tally.commits_like_quote / max(tally.commits, 1)), "as quoted",
        f"{sum(tally.refusals.values()):,}", "refused",
    )  # fmt: skip
    return table


def _latencies(summary: Summary) -> Table:
    table = Table(box=None, padding=(0, 2))
    table.add_column("latency, ms", style="bold")
    table.add_column("calls", justify="right")
    for percentile in PERCENTILES:
        table.add_column(f"p{percentile:g}", justify="right", style="cyan")
    for method in METHODS:
        histogram = summary.outcome.histograms[method]
        if histogram.get_total_count():
            values = [f"{latency_ms(histogram, percentile):.2f}" for percentile in PERCENTILES]
            table.add_row(method, f"{histogram.get_total_count():,}", *values)
    return table


def _offers(summary: Summary) -> Table:
    tally = summary.outcome.tally
    table = Table(box=None, padding=(0, 2))
    table.add_column("top offers", style="bold")
    table.add_column("what it does")
    table.add_column("times", justify="right")
    table.add_column("saved", justify="right", style="cyan")
    for offer, minor in tally.offer_minor.most_common(TOP_OFFERS):
        if minor:
            table.add_row(offer, mechanic_of(offer), f"{tally.offer_times[offer]:,}", money(minor))
    return table


def _books(summary: Summary) -> Table:
    """Return the three books beside each other."""
    audit = summary.audit
    table = Table(title="The books, sales less voids and returns", title_justify="left")
    for name in ("", "answers", "journal", "accounts"):
        table.add_column(name, justify="left" if not name else "right")
    names = (("charged", "gross_minor"), ("discount", "discount_minor"), ("due", "due_minor"))
    table.add_row("changes", f"{audit.told.changes:,}", f"{audit.journal.changes:,}", "")
    for title, name in names:
        row = [money(getattr(book, name)) for book in (audit.told, audit.journal)]
        table.add_row(title, *row, "")
    for number, purse in enumerate(PURSES):
        books: tuple[Book, ...] = (audit.told, audit.journal, audit.accounts)
        table.add_row(purse, *(f"{book.purse_sums()[number]:,}" for book in books))
    return table


def write_figures(summary: Summary, path: Path) -> None:
    """Write the figures as JSON."""
    outcome, tally = summary.outcome, summary.outcome.tally
    counts = {name: value for name, value in vars(tally).items() if isinstance(value, int)}
    content = {
        "data_set": "Complete Journey",
        **counts,
        "refusals": dict(tally.refusals),
        "lanes": summary.lane_count,
        "replay_s": round(outcome.elapsed_s, 3),
        "setup_s": round(summary.setup_s, 3),
        "exact_share": round(summary.exact_share(), 6),
        "points_issued": dict(zip(PURSES, summary.issued(), strict=True)),
        "points_reversed": dict(zip(PURSES, summary.reversed(), strict=True)),
        "savings_minor": dict(summary.savings()),
        "latency_ms": {
            method: {
                f"p{percentile:g}": latency_ms(histogram, percentile) for percentile in PERCENTILES
            }
            for method, histogram in outcome.histograms.items()
        },
        "rules": summary.rules,
        "reconciled": summary.is_reconciled,
        "day": None if summary.day is None else _day(summary.day),
        "differences": summary.differences(),
    }
    path.write_text(json.dumps(content, indent=2) + "\n")


def _day(day: Day) -> dict[str, Any]:
    """Return the figures of a day: its flows, and its sums by store and business date."""
    return {
        "elapsed_s": round(day.elapsed_s, 3),
        "flows": dict(sum(day.account.flows.values(), Counter())),
        "sums": {
            f"{store} {date}": dict(sums)
            for (store, date), sums in sorted(day.account.sums.items())
        },
    }


def write_chart(summary: Summary, path: Path) -> None:
    """Draw latency by percentile and savings by mechanic into a PNG."""
    figure = Figure(figsize=(13, 6.4), facecolor=PAPER, dpi=150)
    FigureCanvasAgg(figure)
    tally = summary.outcome.tally
    figure.text(
        0.05, 0.93, f"{tally.baskets:,} real baskets, {tally.quotes:,} quotes, "
        f"{tally.commits:,} durable commits",
        fontsize=17, color=INK, weight="bold",
    )  # fmt: skip
    seconds = max(summary.outcome.elapsed_s, 1e-9)
    figure.text(
        0.05, 0.845,
        f"checklane on {DATA_NAME}: {tally.quotes / seconds:,.0f} quotes/s and "
        f"{tally.commits / seconds:,.0f} commits/s over gRPC.\n"
        f"{summary.lane_count} lanes, each sending as soon as it is answered, "
        "share one machine with the server.",
        fontsize=10.5, color=MUTED, linespacing=1.5,
    )  # fmt: skip
    _draw_latency(figure.add_axes((0.065, 0.11, 0.42, 0.64)), summary)
    _draw_savings(figure.add_axes((0.665, 0.11, 0.285, 0.64)), summary)
    figure.savefig(path)


def _dress(axes: Any, title: str) -> None:
    axes.set_facecolor(PAPER)
    axes.set_title(title, loc="left", fontsize=12, color=INK, weight="bold", pad=14)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(RULE)
    axes.tick_params(colors=MUTED, length=0, labelsize=10)


def _draw_latency(axes: Any, summary: Summary) -> None:
    _dress(axes, "Latency at the lane, milliseconds")
    nines_min = 0.30103  # The median: 1 - 10^-0.30103 is a half.
    step = (CURVE_NINES_MAX - nines_min) / CURVE_STEPS
    nines = [nines_min + at * step for at in range(CURVE_STEPS + 1)]
    lowest, highest = 1e9, 0.0
    for method, colour in COLOURS.items():
        histogram = summary.outcome.histograms[method]
        # The last call alone makes the end of a curve: stop where fewer than ten calls are left.
        shown = [x for x in nines if histogram.get_total_count() * 10**-x >= 10]
        if not shown:
            continue
        values = [latency_ms(histogram, 100 * (1 - 10**-x)) for x in shown]
        axes.plot(shown, values, color=colour, linewidth=2.4, solid_capstyle="round")
        # Commits are the slower ones: their name stands above the curve, the other below its own.
        above = method == "commit"
        middle = len(shown) // 3
        axes.annotate(
            method, (shown[middle], values[middle]), xytext=(-4, 8) if above else (4, -9),
            textcoords="offset points", color=colour, fontsize=11, weight="bold",
            ha="right" if above else "left", va="bottom" if above else "top",
        )  # fmt: skip
        lowest, highest = min(lowest, values[0]), max(highest, values[-1])
    axes.set_yscale("log")
    if highest:
        axes.set_ylim(lowest * 0.7, highest * 1.4)
    ticks = [value for value in _round_values() if lowest * 0.7 <= value <= highest * 1.4]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    labels = {nines_min: "p50", 1.0: "p90", 2.0: "p99", 3.0: "p99.9", 4.0: "p99.99"}
    axes.set_xticks(list(labels), list(labels.values()))
    axes.set_xlim(nines_min, CURVE_NINES_MAX)
    axes.grid(axis="y", color=RULE, linewidth=0.8)


def _round_values() -> list[float]:
    """Return 1, 2 and 5 times the powers of ten, for the ticks of a logarithmic axis."""
    return [factor * 10.0**power for power in range(-3, 5) for factor in (1, 2, 5)]


def _draw_savings(axes: Any, summary: Summary) -> None:
    _dress(axes, "What the customers saved, dollars")
    savings = summary.savings().most_common()[::-1]
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    if not savings:
        axes.yaxis.set_visible(False)
        return
    names = [name for name, _ in savings]
    dollars = [minor / 100 for _, minor in savings]
    bars = axes.barh(names, dollars, color=COLOURS["quote"], height=0.62)
    for bar, (_, minor) in zip(bars, savings, strict=True):
        axes.annotate(
            f"{minor // 100:,}", (bar.get_width(), bar.get_y() + bar.get_height() / 2),
            xytext=(6, 0), textcoords="offset points", va="center", color=INK, fontsize=10.5,
        )  # fmt: skip
    axes.set_xlim(0, max(dollars) * 1.2)
    axes.tick_params(axis="y", labelsize=11, labelcolor=INK)
