"""``checklane bench``: measure the service on this machine."""

import sys
from pathlib import Path

import click

from checklane.cli.bench_ledger import ledger
from checklane.cli.bench_shared import (
    a_console,
    only_option,
    out_option,
    quick_option,
    seed_option,
    work_folder,
)
from checklane.cli.load import compare, load, peers, soak

__all__ = ["bench"]

#: The names of ``checklane.bench.run.SECTIONS``, without importing what measures them.
PARTS = ("evaluator", "deals", "others", "calls", "grpc")


@click.group("bench", invoke_without_command=True)
@only_option(PARTS)
@quick_option
@seed_option
@out_option("bench-out")
@click.pass_context
def bench(
    context: click.Context, only: tuple[str, ...], is_quick: bool, seed: int, out: Path
) -> None:
    """Measure decisions, quotes and durable commits on this machine, within some minutes.

    \b
    evaluator  one decision, timed in C, against lines, counts, live and competing offers
    deals      best deals by family and size, some of them in HiGHS too; real baskets
    others     the same simple decisions in plain Python, zen-engine and CEL
    calls      whole calls in this process: quotes, and commits with several in flight
    grpc       quotes and commits through `checklane serve` on loopback, beside an empty method

    Prints tables and writes bench.html, bench.md and bench.json to OUT. Every answer is checked: a
    wrong or refused one fails the run. Needs pip install 'checklane[bench]'.
    """  # noqa: D301 - click needs the character
    if context.invoked_subcommand is not None:
        return
    # Imported late: the histograms are an extra, and the engine takes a moment to load.
    from checklane.bench.figures import BenchError
    from checklane.bench.report import show, write_json, write_markdown, write_page
    from checklane.bench.run import Options, run
    from checklane.demo.journeys import make_journeys

    console = a_console()
    try:
        with work_folder(out) as work, console.status("starting") as status:
            tell = status.update if console.is_terminal else _say
            report = run(Options(work, only or PARTS, is_quick, seed, make_journeys), tell)
    except BenchError as failure:
        raise click.ClickException(str(failure)) from None
    show(console, report)
    write_json(report, out / "bench.json")
    write_markdown(report, out / "bench.md")
    write_page(report, out / "bench.html")
    console.print(f"\nreport: {out / 'bench.html'}, also as .md and .json", soft_wrap=True)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


bench.add_command(compare)
bench.add_command(ledger)
bench.add_command(load)
bench.add_command(peers)
bench.add_command(soak)
