"""``checklane bench``: measure the service on this machine."""

import shutil
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console

__all__ = ["bench"]

#: The names of ``checklane.bench.run.SECTIONS``, without importing what measures them.
PARTS = ("evaluator", "deals", "others", "calls", "grpc")


@click.command("bench")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(PARTS),
    help="Measure this part only. May be given more than once.",
)
@click.option("--quick", is_flag=True, help="A few seconds: shows that it runs, not how fast.")
@click.option("--seed", type=int, default=1, show_default=True, help="Decides every draw.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("bench-out"),
    show_default=True,
    help="Folder of the report, on the disk that is measured. Made when missing.",
)
def bench(only: tuple[str, ...], quick: bool, seed: int, out: Path) -> None:
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
    # Imported late: the histograms are an extra, and the engine takes a moment to load.
    from checklane.bench.figures import BenchError
    from checklane.bench.report import show, write_json, write_markdown, write_page
    from checklane.bench.run import Options, run
    from checklane.demo.journeys import make_journeys

    console = Console()
    console = console if console.is_terminal else Console(width=140)
    out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=out))
    try:
        with console.status("starting") as status:
            tell = status.update if console.is_terminal else _say
            report = run(Options(work, only or PARTS, quick, seed, make_journeys), tell)
    except BenchError as failure:
        raise click.ClickException(str(failure)) from None
    finally:
        shutil.rmtree(work)
    show(console, report)
    write_json(report, out / "bench.json")
    write_markdown(report, out / "bench.md")
    write_page(report, out / "bench.html")
    console.print(f"\nreport: {out / 'bench.html'}, also as .md and .json", soft_wrap=True)


def _say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)
