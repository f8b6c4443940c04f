"""The demo from the data set to the verdict, one step after the other."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from checklane.demo.data import Dataset, Records, find_data, read_dataset
from checklane.demo.day.books import points_before
from checklane.demo.day.plan import plan_day
from checklane.demo.day.program import write_programs
from checklane.demo.day.run import Day, run_day
from checklane.demo.day.table import show_day
from checklane.demo.feeds import write_feeds
from checklane.demo.lane import ACK_SALE, Manner
from checklane.demo.periods import audit_periods
from checklane.demo.prepare import prepare
from checklane.demo.program import write_program
from checklane.demo.reconcile import audit
from checklane.demo.replay import Advance, Outcome, Plan, plan_replay, read_acks, replay
from checklane.demo.report import (
    Summary,
    money,
    show_rules,
    show_summary,
    write_chart,
    write_figures,
)
from checklane.demo.serving import Server
from checklane.ledger.check import verify


@dataclass(frozen=True)
class Options:
    """What a run may be told.

    Attributes
    ----------
    basket_count : int or None
        None for all.
    source : Path or None
        Folder of the data set's tables; None for the installed package.
    visit_count : int
        Visits of the day that follows the replay; 0: there is none.
    """

    work: Path
    basket_count: int | None
    lane_count: int
    worker_count: int
    seed: int
    every_scan: bool
    source: Path | None = None
    visit_count: int = 3_000


def run(options: Options, console: Console) -> bool:
    """Run the demo; tell whether the books agree.

    Parameters
    ----------
    options : Options
    console : rich.console.Console
        Shows progress, the summary and the verdict.
    """
    begin_s = time.monotonic()
    data = options.work / "data"
    with console.status("reading the data set") as status:
        dataset = read_dataset(options.source or find_data())
        show_rules(console, dataset.rules)
        status.update("writing feeds and program")
        feeds = write_feeds(dataset, options.work / "feeds")
        program = write_program(dataset, options.work / "program")
        of_day = write_programs(dataset, options.work / "day")
        prepared = prepare(feeds, program, data, status.update)
        plan = _plan(dataset, options)
        rules = dataset.rules
        # The lanes read what they need from the plan's files.
        del dataset
    counts = ", ".join(f"{count:,} {what}" for what, count in prepared.counts.items())
    console.print(f"built {counts}", highlight=False)
    for reason, rows in prepared.rejected.items():
        console.print(f"rejected {rows:,} rows: {reason}", highlight=False)
    with Server(data, options.work / "server.log", has_lanes=True) as server:
        setup_s = time.monotonic() - begin_s
        manner = Manner(server.address, options.seed, every_scan=options.every_scan)
        with _bar(console, "replaying baskets", plan.basket_count) as advance:
            outcome = replay(plan, manner, options.worker_count, advance)
        acks = read_acks(plan)
        with _bar(console, "reconciling", len(acks)) as advance:
            found = audit(server.address, data, acks, advance)
        with console.status("reconciling by store and by business date"):
            part_count, differing = audit_periods(server.address, data, acks)
        found.tell(differing)
        day = _day(options, server, of_day, plan, acks, console)
        server.stop()
    with console.status("walking the ledger"):
        verdict = verify(data, lambda *_: None)
    found.tell([] if verdict.is_sound else [f"the ledger is not whole: {verdict.problem}"])
    missing = missing_sales(plan, outcome, acks)
    told = "agree" if not differing else f"do not agree: {len(differing):,} differences"
    console.print(f"{part_count:,} sums by store and by business date {told}", highlight=False)
    summary = Summary(outcome, found, acks, rules, setup_s, plan.lane_count, missing, day)
    _tell(summary, options.work, console)
    return summary.is_reconciled


def _day(
    options: Options,
    server: Server,
    programs: tuple[Path, Path],
    plan: Plan,
    acks: Records,
    console: Console,
) -> Day | None:
    """Let the customers of the replay come again, on a day with every flow in it."""
    if options.visit_count == 0:
        return None
    visits = plan_day(plan, options.visit_count, options.seed)
    before = points_before(acks)
    with _bar(console, "a day with every flow", len(visits.visits)) as advance:
        return run_day(server, options.work / "data", programs, visits, before, advance)


def _plan(dataset: Dataset, options: Options) -> Plan:
    return plan_replay(
        dataset,
        options.work / "replay",
        basket_count=options.basket_count,
        lane_count=options.lane_count,
        seed=options.seed,
    )


def missing_sales(plan: Plan, outcome: Outcome, acks: Records) -> list[str]:
    """Return what of the plan was not entered as it was sent, and why."""
    tally = outcome.tally
    missing = []
    if tally.commits != plan.basket_count:
        missing.append(f"{plan.basket_count:,} baskets were planned, {tally.commits:,} committed")
    missing += [f"refused {times:,} times: {why}" for why, times in tally.refusals.most_common()]
    charged = int(acks["gross_minor"][acks["kind"] == ACK_SALE].sum())
    if charged != tally.sent_minor:
        missing.append(f"{money(tally.sent_minor)} were sent, {money(charged)} were charged")
    return missing


@contextmanager
def _bar(console: Console, what: str, total: int) -> Iterator[Advance]:
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        expand=True,
        transient=True,
    ) as progress:
        task = progress.add_task(what, total=total)
        yield lambda count: progress.advance(task, count)


def _tell(summary: Summary, work: Path, console: Console) -> None:
    """Show the summary and write it beside its chart."""
    folder = work / "report"
    folder.mkdir(exist_ok=True)
    show_summary(console, summary)
    if summary.day is not None:
        show_day(console, summary.day)
    write_chart(summary, folder / "chart.png")
    write_figures(summary, folder / "figures.json")
    console.print(f"chart and figures: {folder}", soft_wrap=True, highlight=False)
    console.print(f"reconciled: {'yes' if summary.is_reconciled else 'no'}", style="bold")
