"""Tells a day: by store and business date what its tills took, and how often each flow came."""

from collections import Counter

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from checklane.demo.day.plan import Flow
from checklane.demo.day.run import Day
from checklane.demo.program import PURSES
from checklane.demo.report import money

__all__ = ["show_day"]


def show_day(console: Console, day: Day) -> None:
    """Show the tables of a day, and what differs."""
    console.print(_sums(day))
    console.print(_flows(day))
    for difference in day.differences:
        console.print(f"  difference: {difference}", style="red", highlight=False)


def _store(store: str) -> str:
    return store.removeprefix("store-")


def _date(number: int) -> str:
    return f"{number // 10_000}-{number // 100 % 100:02d}-{number % 100:02d}"


def _sums(day: Day) -> Table:
    """Return the till's account by store and business date, with the sums of all."""
    table = Table(
        title="A day with every flow: the tills' own account by store and business date",
        title_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
        caption=f"{sum(_of_all(day).values()):,} visits in {day.elapsed_s:.1f} s",
        caption_justify="left",
    )
    table.add_column("store", no_wrap=True)
    table.add_column("date", no_wrap=True)
    for name in ("sales", "voids", "returns", "late", "charged", "saved", "refund", "due"):
        table.add_column(name, justify="right", no_wrap=True)
    for purse in PURSES:
        table.add_column(purse, justify="right", no_wrap=True)
    whole: Counter[str] = Counter()
    for (store, date), sums in sorted(day.account.sums.items()):
        whole.update(sums)
        table.add_row(_store(store), _date(date), *_row(sums))
    table.add_section()
    table.add_row("all", "", *_row(whole), style="bold")
    return table


def _row(sums: Counter[str]) -> list[str]:
    gross, discount, refund = (
        sums[name] for name in ("gross_minor", "discount_minor", "refund_minor")
    )
    names = ("sale_count", "void_count", "return_count", "late_count")
    counts = [f"{sums[name]:,}" for name in names]
    amounts = [money(minor) for minor in (gross, discount, refund, gross - discount - refund)]
    return [*counts, *amounts, *(f"{sums[f'points.{purse}']:,}" for purse in PURSES)]


def _of_all(day: Day) -> Counter[str]:
    """Return how often each flow came."""
    whole: Counter[str] = Counter()
    for counts in day.account.flows.values():
        whole.update(counts)
    return whole


def _flows(day: Day) -> Table:
    """Return how often each flow came, by store and by business date."""
    table = Table(
        title="What became of the visits, by store and by business date",
        title_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("flow", no_wrap=True)
    for name in (*map(_store, day.stores), *map(_date, day.dates), "all"):
        table.add_column(name, justify="right", no_wrap=True)
    flows, whole = day.account.flows, _of_all(day)
    for flow in Flow:
        by_store: Counter[str] = Counter()
        by_date: Counter[int] = Counter()
        for (store, date), counts in flows.items():
            by_store[store] += counts[flow]
            by_date[date] += counts[flow]
        counted = [*(by_store[store] for store in day.stores), *(by_date[at] for at in day.dates)]
        table.add_row(
            flow, *(f"{count:,}" if count else "" for count in counted), f"{whole[flow]:,}"
        )
    return table
