"""``checklane ledger``: check, rebuild, back up, restore, prune and read the ledger."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from google.protobuf.json_format import MessageToJson
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from checklane.cli.dates import BusinessDate
from checklane.client import manage
from checklane.ledger.backup import Copied
from checklane.ledger.backup import backup as take_backup
from checklane.ledger.backup import restore as put_back
from checklane.ledger.check import Advance
from checklane.ledger.check import rebuild as rebuild_accounts
from checklane.ledger.check import verify as verify_ledger
from checklane.ledger.files import audit, journal_directory, read_marks, write_mark
from checklane.ledger.prune import KEEP_DAYS_MIN
from checklane.ledger.prune import prune as prune_journal

__all__ = ["counted", "data_option", "ledger"]

#: Exit status when the ledger is not sound, as for every damage.
EXIT_UNSOUND = 74
PAGE_ENTRIES = 256
PAGE_BYTES = 4 * 1024 * 1024

data_option = click.option(
    "--data",
    required=True,
    envvar="CHECKLANE_DATA",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The data directory.",
)


@click.group()
def ledger() -> None:
    """Check, rebuild, back up, restore, prune and read the ledger of a data directory.

    The journal is the ledger; balances and everything else that changes is derived from it.

    \b
      verify, backup, prune, show, marks   may run beside a server
      rebuild                              wants the server stopped
      close                                asks the server
      restore                              makes a new data directory
    """  # noqa: D301 - click needs the character


@contextmanager
def counted(what: str) -> Iterator[tuple[Progress, TaskID]]:
    """Show a bar that counts entries."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    with Progress(
        *columns,
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        yield progress, progress.add_task(what, total=None)


@ledger.command()
@click.option("--address", required=True, help="host:port of the server's management port.")
@click.option("--store", required=True, help="The store.")
@click.option("--date", "business_date", required=True, type=BusinessDate(), help="2026-03-04.")
def close(address: str, store: str, business_date: int) -> None:
    """Close a store's business dates up to one, for good.

    What comes later for a closed date keeps its business date and counts for the first open one:
    reports of a closed date never change.
    """
    closed = manage.close_date(address, store, business_date)
    click.echo(f"{store}: closed up to {closed}")


@contextmanager
def _entries(what: str) -> Iterator[Advance]:
    with counted(what) as (progress, task):
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def _bytes() -> Iterator[Copied]:
    """Show a bar that counts bytes."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    with Progress(
        *columns,
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total, name: progress.update(
            task, completed=done, total=total, description=name
        )


def _tell(facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        click.echo(f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}")


@ledger.command("verify")
@data_option
@click.option(
    "--scratch",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where the rebuilt accounts lie meanwhile. Default: the data directory.",
)
def verify_command(data: Path, scratch: Path | None) -> None:
    """Walk the whole journal, rebuild the accounts beside the live ones and compare every record.

    Says `sound: yes` and ends with 0, or `sound: no` with the first thing that is wrong and ends
    with 74. It changes nothing. Beside a running server it checks what the last finished checkpoint
    covers, and the whole chain; what a checkpoint has begun to write is counted and not compared.
    """
    with _entries("verifying") as advance:
        verdict = verify_ledger(data, advance, scratch)
    report = verdict.report
    if report:
        _tell(
            {
                "entries": report["last_lsn"] - report["first_lsn"] + 1,
                "last lsn": report["last_lsn"],
                "accounts cover lsn": report["covered_lsn"],
                "records compared": report["records"],
                "records ahead": report["records_ahead"],
            }
        )
    click.echo(f"sound: {'yes' if verdict.is_sound else 'no'}")
    if not verdict.is_sound:
        click.echo(verdict.problem)
        sys.exit(EXIT_UNSOUND)


@ledger.command("rebuild")
@data_option
def rebuild_command(data: Path) -> None:
    """Make the accounts again from the journal, then put them in the place of the old ones."""
    with _entries("rebuilding") as advance:
        report = rebuild_accounts(data, advance)
    _tell({"entries": report["last_lsn"] - report["begun_lsn"], "last lsn": report["last_lsn"]})


@ledger.command("backup")
@data_option
@click.argument("target", metavar="DEST", type=click.Path(file_okay=False, path_type=Path))
def backup_command(data: Path, target: Path) -> None:
    """Copy the data directory into DEST, or bring the copy there up to date.

    Runs beside a server. Full segments and snapshots are copied once. DEST holds the keys of the
    data directory: guard it as you guard that.
    """
    target.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _bytes() as copied:
        done = take_backup(data, target, copied)
    _tell({"last lsn": done.last_lsn, "files copied": done.copied, "files kept": done.kept})
    click.echo(f"copied: {done.copied_bytes / 2**20:,.1f} MiB")


@ledger.command("restore")
@click.argument(
    "source", metavar="SRC", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "--data",
    required=True,
    envvar="CHECKLANE_DATA",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data directory to make. Missing or empty.",
)
def restore_command(source: Path, data: Path) -> None:
    """Make a data directory of the backup SRC: copy, check the chain, rebuild the accounts."""
    with _bytes() as copied, _entries("rebuilding") as advance:
        report = put_back(source, data, copied, advance)
    _tell({"last lsn": report["last_lsn"]})
    click.echo("restored: yes")


@ledger.command("prune")
@data_option
@click.option(
    "--keep-days",
    default=KEEP_DAYS_MIN,
    show_default=True,
    type=click.IntRange(min=KEEP_DAYS_MIN),
    help="Days that every entry stays. Fewer than the retention of keys needs are refused.",
)
@click.option(
    "--archive",
    type=click.Path(file_okay=False, path_type=Path),
    help="Copy segments into this directory before they go.",
)
def prune_command(data: Path, keep_days: int, archive: Path | None) -> None:
    """Remove the oldest segments: covered by the accounts, old enough, and read by every reader.

    The accounts as they are now are kept in DATA/base: verify and rebuild go on from there.
    """
    done = prune_journal(data, time.time_ns() // 1_000_000, keep_days, archive)
    for segment in done.segments:
        click.echo(f"removed {segment.path.name}")
    click.echo(f"{len(done.segments)} removed, {done.freed_bytes / 2**20:,.1f} MiB freed")
    click.echo(f"stays: {done.held_by}")


@ledger.command("marks")
@data_option
@click.option("--set", "chosen", nargs=2, type=(str, click.IntRange(min=0)), metavar="NAME LSN")
@click.option("--forget", default="", metavar="NAME", help="Remove the mark of a reader.")
def marks_command(data: Path, chosen: tuple[str, int] | None, forget: str) -> None:
    """List how far each reader has read, or set a mark: LSN is the last entry it is done with.

    A reader is whatever copies entries elsewhere. prune keeps what any of them has not read.
    """
    if chosen is not None:
        write_mark(data, *chosen)
    if forget:
        write_mark(data, forget, None)
    _tell(dict(sorted(read_marks(data).items())))


@ledger.command("show")
@data_option
@click.option("--from", "from_lsn", default=0, metavar="LSN", help="Default: the first entry.")
@click.option("--limit", default=0, type=click.IntRange(min=0), help="Default: to the end.")
@click.option("--movements", is_flag=True, help="Show each change of the accounts as well.")
def show_command(data: Path, from_lsn: int, limit: int, movements: bool) -> None:
    """Print entries as one JSON object a line, in the words of the contract (ledger.proto)."""
    from checklane.books.entries import split_entry
    from checklane.server.entries import contract_entry

    with audit(journal_directory(data)) as opened:
        report = opened.report()
        at, last = from_lsn or int(report["first_lsn"]), int(report["last_lsn"])
        if limit:
            last = min(last, at + limit - 1)
        while at <= last:
            for entry in opened.read_entries(at, min(PAGE_ENTRIES, last - at + 1), PAGE_BYTES):
                told = contract_entry(
                    split_entry(entry), include_bodies=False, include_movements=movements
                )
                click.echo(MessageToJson(told, preserving_proto_field_name=True, indent=None))
                at += 1
