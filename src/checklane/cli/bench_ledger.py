"""``checklane bench ledger``: durable commits beside the disk, PostgreSQL and Redis; starts."""

from pathlib import Path

import click

from checklane.cli.bench_shared import (
    a_console,
    only_option,
    out_option,
    quick_option,
    seed_option,
    shown,
    work_folder,
)

__all__ = ["ledger"]

#: The names of ``checklane.bench.ledger.SECTIONS``, without importing what measures them.
PARTS = ("commits", "peers", "start")


@click.command("ledger")
@only_option(PARTS)
@quick_option
@seed_option
@out_option("bench-out")
def ledger(only: tuple[str, ...], is_quick: bool, seed: int, out: Path) -> None:
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
        report = run(work, only or PARTS, is_quick, seed, tell)
    show(console, report)
    write_json(report, out / "ledger.json")
    write_markdown(report, out / "ledger.md")
    write_page(report, out / "ledger.html")
    console.print(f"\nreport: {out / 'ledger.html'}, also as .md and .json", soft_wrap=True)
