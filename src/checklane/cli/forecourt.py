"""``checklane forecourt``: a day at simulated pumps, and whether every purse adds up."""

import shutil
import sys
import tempfile
from pathlib import Path

import click

__all__ = ["forecourt"]


@click.command("forecourt")
@click.option(
    "--fills", type=click.IntRange(1, 100_000), default=500, show_default=True, help="How many."
)
@click.option(
    "--kills", type=click.IntRange(0, 20), default=2, show_default=True, help="Of the server."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Decides every draw.")
@click.option(
    "--work",
    type=click.Path(file_okay=False, path_type=Path),
    help="A new or empty folder to keep what is made. Default: a temporary one, removed.",
)
def forecourt(fills: int, kills: int, seed: int, work: Path | None) -> None:
    """Simulate a day at the pumps, and hold it against the books.

    Starts a server on a free loopback port and kills it now and then while fills are open: one in
    ten stops before what was paid for, one in twenty never starts, one in fifty is told after its
    hold has ended. Every fill must have cost what its authorisation promised; at the end no hold
    may be left, every purse and the budget must be what the fills left, and the journal whole.
    Ends with status 0 when it is so. Needs pip install 'checklane[demo]'.
    """
    try:
        from checklane.demo.fuel_day import DayOptions, run_day
    except ModuleNotFoundError as failure:
        words = f"{failure.name} is not installed: pip install 'checklane[demo]'"
        raise click.ClickException(words) from None

    folder = Path(tempfile.mkdtemp(prefix="checklane-forecourt-")) if work is None else work
    if folder.exists() and any(folder.iterdir()):
        raise click.BadParameter(f"{folder} is not empty: name a new folder", param_hint="--work")
    try:
        day = run_day(DayOptions(folder, fills, kills=kills, seed=seed), click.echo)
    finally:
        if work is None:
            shutil.rmtree(folder)
    kinds = ", ".join(f"{count} {how}" for how, count in sorted(day.kinds.items()))
    click.echo(f"fills: {day.fills} ({kinds}); server killed: {day.kills}")
    click.echo(
        f"pumped: {day.pumped_thousandths / 1000:,.3f} gallons, {day.sold_minor / 100:,.2f}; "
        f"off: {day.discount_minor / 100:,.2f}"
    )
    spent = ", ".join(f"{count:,} {purse}" for purse, count in sorted(day.points.items()))
    click.echo(f"points spent: {spent}; told after the hold had ended: {day.expired}")
    click.echo(f"journal: {day.entries:,} entries")
    for fault in day.faults:
        click.echo(f"  {fault}")
    click.echo(f"adds up: {'yes' if day.adds_up else 'no'}")
    sys.exit(0 if day.adds_up else 1)
