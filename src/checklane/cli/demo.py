"""``checklane demo``: real baskets and a day with every flow, and the books reconciled."""

import shutil
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console

__all__ = ["demo"]

#: What is left of a work directory when the run is over, unless everything is kept.
LEFT = "report"


def _basket_count(_: click.Context, __: click.Parameter, text: str) -> int | None:
    """Return a number of baskets; None for the word all."""
    if text == "all":
        return None
    if not text.isdecimal() or int(text) == 0:
        raise click.BadParameter("write a number of baskets, or all")
    return int(text)


@click.command("demo")
@click.option(
    "--baskets",
    metavar="N|all",
    default="20000",
    show_default=True,
    callback=_basket_count,
    help="How many.",
)
@click.option(
    "--visits",
    type=click.IntRange(0, 50_000),
    default=3_000,
    show_default=True,
    help="Visits of the day with every flow that follows; 0 for none.",
)
@click.option("--lanes", type=click.IntRange(1, 500), default=20, show_default=True, help="Lanes.")
@click.option(
    "--workers",
    type=click.IntRange(1, 16),
    default=2,
    show_default=True,
    help="Processes that share the lanes.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Decides every draw.")
@click.option(
    "--quotes",
    type=click.Choice(["thirds", "every-scan"]),
    default="thirds",
    show_default=True,
    help="Quote after a third, two thirds and all of the lines, or after each line.",
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the data set's Parquet tables. Default: the installed package.",
)
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    help="A new or empty folder to work in. Default: one in the system's temporary folder.",
)
@click.option("--keep", is_flag=True, help="Keep feeds, program, snapshots and journal.")
def demo(
    baskets: int | None,
    visits: int,
    lanes: int,
    workers: int,
    seed: int,
    quotes: str,
    data: Path | None,
    work: Path | None,
    keep: bool,
) -> None:
    """Replay the baskets of the Complete Journey data set, and reconcile money and points.

    Makes feeds and a program from the data set, builds and activates the snapshots, starts a server
    on a free loopback port, and sends real baskets in the order of time: identify, quote as the
    basket grows, commit; some sales are voided, of some a part comes back. Then the points and the
    money of the answers, of the journal and of the accounts are held against each other. Ends with
    status 0 when they agree to the unit. Needs pip install 'checklane[demo]'.
    """
    # Imported late: the libraries of the demo are an extra, and take a second to load.
    try:
        from checklane.demo.run import Options, run
    except ModuleNotFoundError as failure:
        words = f"{failure.name} is not installed: pip install 'checklane[demo]'"
        raise click.ClickException(words) from None

    folder = Path(tempfile.mkdtemp(prefix="checklane-demo-")) if work is None else work
    if folder.exists() and any(folder.iterdir()):
        raise click.BadParameter(f"{folder} is not empty: name a new folder", param_hint="--work")
    folder.mkdir(parents=True, exist_ok=True)
    options = Options(
        work=folder,
        basket_count=baskets,
        lane_count=lanes,
        worker_count=min(workers, lanes),
        seed=seed,
        every_scan=quotes == "every-scan",
        source=data,
        visit_count=visits,
    )
    console = Console()
    try:
        is_reconciled = run(options, console if console.is_terminal else Console(width=110))
    finally:
        if not keep:
            _clear(folder)
    sys.exit(0 if is_reconciled else 1)


def _clear(folder: Path) -> None:
    """Remove what a run has made, save its report; a run without one keeps its server's log."""
    has_report = (folder / LEFT).is_dir()
    for path in folder.iterdir():
        if path.name == LEFT or (path.name == "server.log" and not has_report):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
