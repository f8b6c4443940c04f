"""``checklane bench load`` and ``compare``: the generator in C, and two runs beside each other."""

from pathlib import Path
from typing import Any

import click

from checklane.cli.bench_shared import (
    a_console,
    out_option,
    quick_option,
    seed_option,
    shown,
    work_folder,
)

__all__ = ["compare", "load", "peers", "soak"]

#: The names in checklane.bench.load.run, without importing what measures them.
MODES = ("empty", "quotes", "totals", "commits", "mixed")
PROFILES = ("steady", "day")
SCENARIOS = ("busy-store",)
PORTS = ("lane", "unix", "management")


ladder_option = click.option(
    "--ladder/--no-ladder",
    "has_ladder",
    default=True,
    help="Whether a late quote may be decided with less, which fails the run. --no-ladder is for a"
    " machine that does other work beside.",
)


@click.command("load")
@click.option("--mode", type=click.Choice(MODES), default="quotes", show_default=True)
@click.option(
    "--scenario",
    type=click.Choice(SCENARIOS),
    help="busy-store: 40 lanes with real baskets, disturbed in the middle; in place of a mode.",
)
@click.option("--lanes", type=click.IntRange(1, 4096), help="Default: 16; of a busy store: 40.")
@click.option(
    "--in-flight",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Calls of each lane under way at once.",
)
@click.option(
    "--rate",
    "rates",
    type=click.FloatRange(1, 10_000_000),
    multiple=True,
    help="Calls a second. May be given more than once. Default: a closed loop, then steps of it.",
)
@click.option(
    "--seconds", type=click.FloatRange(0.1, 86_400), help="Default: 5; of a busy store: 30."
)
@click.option(
    "--profile",
    type=click.Choice(PROFILES),
    default="steady",
    show_default=True,
    help="Poisson arrivals at one rate, or at the rates of a store's day.",
)
@click.option(
    "--port",
    type=click.Choice(PORTS),
    default="lane",
    show_default=True,
    help="The lane port, the same over a Unix socket, or grpcio's management port.",
)
@click.option("--stream", "is_stream", is_flag=True, help="One StreamLane a lane, no single calls.")
@click.option("--pin", "is_pinned", is_flag=True, help="Server and generator on a core each.")
@click.option("--spin-us", type=click.IntRange(0, 10_000), default=0, show_default=True)
@click.option(
    "--overload",
    "is_overload",
    is_flag=True,
    help="Count refusals with RESOURCE_EXHAUSTED and degraded answers; do not fail.",
)
@ladder_option
@quick_option
@seed_option
@out_option("bench-out/load")
def load(
    out: Path, scenario: str | None, lanes: int | None, seconds: float | None, **flags: Any
) -> None:
    """Load a server with calls at times fixed beforehand, and hold every answer to the right one.

    Starts `checklane serve` over a seeded shop and sends quotes that grow with the basket, totals,
    commits, all of them as tills do, or an empty method. Latency counts from the time at which a
    call was due. Writes load.html, load.md and load.json to OUT.

    A busy store quotes on every scan of the Complete Journey's baskets and commits them, while a
    program goes live and a checkpoint is written.
    """
    from checklane.bench.load.report import show, write_json, write_markdown, write_page
    from checklane.bench.load.run import LoadOptions, run_load
    from checklane.bench.load.store import LANES, SECONDS, run_busy_store
    from checklane.demo.journeys import make_store

    console = a_console()
    with shown(console) as (tell, watch), work_folder(out) as work:
        if scenario is None:
            options = LoadOptions(work, lanes=lanes or 16, seconds=seconds or 5.0, **flags)
            report = run_load(options, tell, watch)
        else:
            options = LoadOptions(work, lanes=lanes or LANES, seconds=seconds or SECONDS, **flags)
            report = run_busy_store(options, make_store, tell, watch)
    show(console, report)
    write_json(report, out / "load.json")
    write_markdown(report, out / "load.md")
    write_page(report, out / "load.html")
    console.print(f"\nreport: {out / 'load.html'}, also as .md and .json", soft_wrap=True)


@click.command("peers")
@click.option("--seconds", type=click.FloatRange(0.05, 600), default=1.0, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 100), default=5, show_default=True)
@quick_option
@seed_option
@out_option("bench-out/peers")
@click.option(
    "--chart",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the chart of the README to this SVG file too.",
)
def peers(out: Path, chart: Path | None, **flags: Any) -> None:
    """Hold the lane port against grpcio, against a team's own service, and against the floor.

    In one run, all servers pinned to one core and the generator to another: the lane port; the same
    engine behind grpcio, sync and aio; grpcio aio with rules in plain Python and PostgreSQL or
    Redis; an empty method, and a C++ gRPC echo. Needs what `.ci/system peers` installs.
    """
    from checklane.bench.load.report import show, write_json, write_markdown, write_page
    from checklane.bench.peers.contest import PeerOptions, run_peers, write_chart

    console = a_console()
    with shown(console) as (tell, watch), work_folder(out) as work:
        work.chmod(0o755)
        report = run_peers(PeerOptions(work, **flags), tell, watch)
    show(console, report)
    write_json(report, out / "peers.json")
    write_markdown(report, out / "peers.md")
    write_page(report, out / "peers.html")
    if chart is not None:
        write_chart(report, chart)
    console.print(f"\nreport: {out / 'peers.html'}, also as .md and .json", soft_wrap=True)


@click.command("soak")
@click.option("--minutes", type=click.FloatRange(0.01, 10_000), default=20.0, show_default=True)
@click.option("--chunks", type=click.IntRange(3, 10_000), help="Default: one every half minute.")
@click.option("--lanes", type=click.IntRange(1, 4096), default=40, show_default=True)
@click.option(
    "--rate",
    type=click.FloatRange(1, 10_000_000),
    help="Calls a second. Default: 60 % of what a closed loop reaches.",
)
@ladder_option
@click.option("--pin", "is_pinned", is_flag=True, help="Server and generator on a core each.")
@quick_option
@seed_option
@out_option("bench-out/soak")
def soak(
    out: Path,
    minutes: float,
    chunks: int | None,
    rate: float | None,
    **flags: Any,
) -> None:
    """Soak a server with clients that come, go, stall and reset, and see what it left behind.

    Fails when an answer was wrong, when memory grew or a descriptor stayed open, when the ledger's
    checkers find anything, or when a commit that was answered is not in the journal.
    """
    from checklane.bench.load.report import show, write_json, write_markdown, write_page
    from checklane.bench.load.run import LoadOptions
    from checklane.bench.load.soak import run_soak

    console = a_console()
    with shown(console) as (tell, watch), work_folder(out) as work:
        options = LoadOptions(work, rates=(rate,) if rate else (), **flags)
        chunks = chunks or max(int(minutes * 2), 3)
        report, problem = run_soak(options, minutes, chunks, tell, watch)
    show(console, report)
    write_json(report, out / "soak.json")
    write_markdown(report, out / "soak.md")
    write_page(report, out / "soak.html")
    console.print(f"\nreport: {out / 'soak.html'}, also as .md and .json", soft_wrap=True)
    if problem is not None:
        raise click.ClickException(str(problem))


@click.command("compare")
@click.argument("one", metavar="A", type=click.Path(exists=True, path_type=Path))
@click.argument("other", metavar="B", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--page",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the curves of both to this HTML file.",
)
def compare(one: Path, other: Path, page: Path | None) -> None:
    """Hold run B against run A: rows of one name, their percentiles and the ratios.

    A and B are JSON files of `checklane bench`, or folders of them, whose runs are merged.
    """
    from checklane.bench.figures import BenchError
    from checklane.bench.load.compare import read_side, show, write_comparison

    console = a_console()
    try:
        first, second = read_side(one), read_side(other)
        show(console, first, second)
        if page is not None:
            write_comparison(first, second, page)
    except BenchError as failure:
        raise click.ClickException(str(failure)) from None
