"""``checklane bench ledger``: durable commits beside the disk, PostgreSQL and Redis; starts."""

from pathlib import Path

import click

from checklane.cli.load import a_console, shown, work_folder

__all__ = ["ledger"]

#: The names of ``checklane.bench.ledger.SECTIONS``, without importing what measures them.
PARTS = ("commits", "peers", "start")


@click.command("ledger")
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
def ledger(only: tuple[str, ...], quick: bool, seed: int, out: Path) -> None:
    """Measure durable commits by the ledger alone, and how long a start takes.

    \b
    commits  bursts, a long run with checkpoints, an open loop at half of its rate
    peers    the same commit by PostgreSQL and by Redis, with synchronous writes
    start    after kill -9 with a million entries to replay; with ten million members

    Prints tables and writes ledger.html, ledger.md and ledger.json to OUT. The peers' programs come
    from Debian's packages; everything is started in OUT and ended again.
    """  # noqa: D301 - click needs the character
    from checklane.bench.ledger import run
    from checklane.bench.ledger_report import show, write_json, write_markdown, write_page

    console = a_console()
    with work_folder(out) as work, shown(console) as (tell, _):
        report = run(work, only or PARTS, quick, seed, tell)
    show(console, report)
    write_json(report, out / "ledger.json")
    write_markdown(report, out / "ledger.md")
    write_page(report, out / "ledger.html")
    console.print(f"\nreport: {out / 'ledger.html'}, also as .md and .json", soft_wrap=True)
