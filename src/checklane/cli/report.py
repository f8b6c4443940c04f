"""``checklane report``: what finance reads from the journal, each with its proof."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import click

from checklane.books.clearing import read_clearing
from checklane.books.elsewhere import read_elsewhere
from checklane.books.files import FORMATS, write_table
from checklane.books.lots import read_liability
from checklane.books.periods import Periods, Query, gap_table, period_table, read_periods
from checklane.books.postings import load_map, postings_table, prove_postings, read_points
from checklane.books.proof import Proof, Table
from checklane.books.purses import purse_names
from checklane.books.scan import GOODS, read_scan_data
from checklane.books.settlement import read_settlement
from checklane.books.statement import Asked as AskedStatement
from checklane.books.statement import read_statement, statement_table
from checklane.books.walk import Advance, StoredJournal
from checklane.cli.dates import BusinessDate
from checklane.cli.ledger import counted, data_option
from checklane.errors import refuse
from checklane.ledger.files import audit, base_file, journal_directory, lay_base
from checklane.snapshot.store import list_snapshots, read_live, snapshot_directory
from checklane.tables.catalogue_tables import CatalogueTables, open_catalogue
from checklane.tables.files import snapshot_name

__all__ = ["report"]

#: Exit status when a report does not add up to the journal.
EXIT_UNEQUAL = 74

Read = Callable[["Asked", StoredJournal, Advance], tuple[Table, Proof]]


class Asked(NamedTuple):
    """What every report is told."""

    data: Path
    from_date: int
    to_date: int
    file_format: str
    out: Path

    def purses(self) -> dict[int, str]:
        """Return the ids of purses by number: of every program here, the live one last."""
        programs = [file.path for file in list_snapshots(self.data) if file.kind == "program"]
        live = read_live(self.data).now.program
        if live is not None:
            programs.append(snapshot_directory(self.data) / snapshot_name("program", live))
        return purse_names(programs)


@click.group()
def report() -> None:
    """Read the books from the journal of a data directory, as CSV or Parquet.

    \b
      periods      sales, discounts, refunds and points by store, date and till
      gaps         receipt numbers that are missing, by till and date
      settlement   discounts by offer, funder and settlement class, store and date
      coupons      the same by coupon: what to send to a clearing house
      scan-data    lines of tobacco and such, with every discount and its funder
      postings     debits and credits under the accounts of your own ledger
      clearing     points by the store that issued them and the store that they paid in
      elsewhere    goods that came back at another store than sold them, by receipt
      liability    points owed by purse and month of expiry: opening to closing
      statement    what came and went in the purses of one account group

    A server may be running. Reports are of what is durable when they begin. Money is in minor
    units, points in the purse's smallest unit. Every report adds its sums up a second time from
    other parts of the same entries and says `adds up: yes`; otherwise it says which sum differs and
    ends with 74.
    """  # noqa: D301 - click needs the character


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add what every report is told."""
    for option in reversed(
        (
            data_option,
            click.option(
                "--from", "from_date", required=True, type=BusinessDate(), help="First date."
            ),
            click.option(
                "--to", "to_date", type=BusinessDate(), help="Last date. Default: the first."
            ),
            click.option(
                "--format",
                "file_format",
                default="csv",
                show_default=True,
                type=click.Choice(sorted(FORMATS)),
            ),
            click.option(
                "--out",
                required=True,
                type=click.Path(dir_okay=False, path_type=Path),
                help="The file to write; one that is there is replaced.",
            ),
        )
    ):
        command = option(command)
    return command


@contextmanager
def _journal(data: Path) -> Iterator[StoredJournal]:
    """Open the journal as it is now; one that was pruned goes on from its base."""
    with tempfile.TemporaryDirectory(prefix="checklane-report-") as scratch:
        is_pruned = base_file(data).exists()
        if is_pruned:
            lay_base(data, Path(scratch))
        with audit(journal_directory(data), scratch=Path(scratch) if is_pruned else None) as opened:
            yield StoredJournal(opened)


def _run(read: Read, options: dict[str, Any]) -> None:
    """Read, write and prove one report."""
    options["to_date"] = options["to_date"] or options["from_date"]
    asked = Asked(**options)
    if asked.to_date < asked.from_date:
        raise refuse("FIELD_OUT_OF_RANGE", "--to", "the last date is before the first")
    with counted("reading the journal") as (progress, task), _journal(asked.data) as journal:
        table, proof = read(asked, journal, lambda count: progress.advance(task, count))
        as_of_lsn = journal.last_lsn
    write_table(table, asked.out, asked.file_format)
    click.echo(f"rows: {len(table.rows):,}, as of lsn {as_of_lsn:,}: {asked.out}")
    for what, reported, other in proof.sums:
        sign = "=" if reported == other else "IS NOT"
        click.echo(f"  {what}: {reported:,} {sign} {other:,}")
    click.echo(f"adds up: {'yes' if proof.adds_up else 'no'}")
    if not proof.adds_up:
        sys.exit(EXIT_UNEQUAL)


@report.command()
@_with_options
@click.option("--store", default="", help="Only this store.")
@click.option("--till", default="", help="Only this till.")
@click.option("--shift", default="", help="Only this shift.")
@click.option(
    "--by",
    default="till",
    show_default=True,
    type=click.Choice(("store", "date", "till", "shift")),
    help="How the sums are split: till is by store, date and till.",
)
def periods(store: str, till: str, shift: str, by: str, **options: Any) -> None:
    """Add up by store, business date, till and shift, as the POS must show it.

    A sale that was voided is in no sum of money; points stand where their entries do. By shift,
    voids and returns stand under no shift: their messages name none.
    """

    def read(asked: Asked, journal: StoredJournal, advance: Advance) -> tuple[Table, Proof]:
        found = _read_periods(asked, journal, advance, store=store, till=till, shift=shift, by=by)
        return period_table(found), found.prove()

    _run(read, options)


@report.command()
@_with_options
@click.option("--store", default="", help="Only this store.")
@click.option("--till", default="", help="Only this till.")
def gaps(store: str, till: str, **options: Any) -> None:
    """Receipt numbers between the first and the last seen of a till and date that never came.

    A sale that was voided before it came counts as seen: it is known what became of it.
    """

    def read(asked: Asked, journal: StoredJournal, advance: Advance) -> tuple[Table, Proof]:
        found = _read_periods(asked, journal, advance, store=store, till=till, shift="", by="till")
        return gap_table(found), found.prove()

    _run(read, options)


def _read_periods(
    asked: Asked,
    journal: StoredJournal,
    advance: Advance,
    *,
    store: str,
    till: str,
    shift: str,
    by: str,
) -> Periods:
    query = Query(
        from_date=asked.from_date,
        to_date=asked.to_date,
        store_id=store,
        till_id=till,
        shift_id=shift,
        by_date=by != "store",
        by_till=by in ("till", "shift"),
        by_shift=by == "shift",
    )
    return read_periods(journal, query, asked.purses(), advance)


@report.command()
@_with_options
def settlement(**options: Any) -> None:
    """Discounts by business date, store, offer, funder and settlement class.

    What sales gave, what voids and returns took back, each on its own date, and what is left: the
    claim on each funder. What no offer says who pays is the retailer's own.
    """

    def read(asked: Asked, journal: StoredJournal, advance: Advance) -> tuple[Table, Proof]:
        found = read_settlement(journal, asked.from_date, asked.to_date, advance)
        return found.table(), found.prove()

    _run(read, options)


@report.command()
@_with_options
def coupons(**options: Any) -> None:
    """Discounts by coupon: its code, or what the scanner read of it, with offer and funder.

    What sales gave, what voids and returns took back, each on its own date, and what is left to be
    claimed.
    """

    def read(asked: Asked, journal: StoredJournal, advance: Advance) -> tuple[Table, Proof]:
        span = (asked.from_date, asked.to_date)
        found = read_settlement(journal, *span, advance, by_coupon=True)
        return found.table(), found.prove()

    _run(read, options)


@report.command("scan-data")
@_with_options
@click.option(
    "--goods",
    default="tobacco",
    show_default=True,
    type=click.Choice(sorted(GOODS)),
    help="Which goods, as the products feed flags them.",
)
def scan_data(goods: str, **options: Any) -> None:
    """List each line of certain goods as it was sold, with every discount and its funder.

    A line has a row for each part of its discount; units and amounts stand on the first. Voids and
    returns have negative rows on their own dates. Goods are told by the catalogue of each sale.
    """

    def read(asked: Asked, journal: StoredJournal, advance: Advance) -> tuple[Table, Proof]:
        @cache
        def catalogue(content_hash: bytes) -> CatalogueTables:
            name = snapshot_name("catalogue", content_hash)
            return open_catalogue(snapshot_directory(asked.data) / name)

        span = (asked.from_date, asked.to_date)
        found = read_scan_data(journal, *span, GOODS[goods], catalogue, advance)
        return found.table(), found.prove()

    _run(read, options)


@report.command()
@_with_options
@click.option(
    "--map",
    "map_path",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The account map, a YAML file.",
)
def postings(map_path: Path, **options: Any) -> None:
    """Debits and credits by business date and store, under the accounts of your own ledger.

    \b
    The map:
      sales: 4000                    what was charged before discounts
      received: 1000                 what was paid, less refunds
      discounts: {price_reduction: 4100, third_party: 1300, tender: 1310}
      funders: {Alba: 1301}          instead of the class's account
      points:                        purses that are posted, at what worth
        base: {expense: 6100, liability: 2100, worth: {points: 100, minor: 50}}
    """  # noqa: D301 - click needs the character
    accounts = load_map(map_path)

    def read(asked: Asked, journal: StoredJournal, advance: Advance) -> tuple[Table, Proof]:
        span = (asked.from_date, asked.to_date)
        settled = read_settlement(journal, *span, advance)
        points = read_points(journal, *span, asked.purses(), advance)
        table = postings_table(settled, points, accounts)
        return table, prove_postings(table, settled, points)

    _run(read, options)


@report.command()
@_with_options
def clearing(**options: Any) -> None:
    """Points spent, by business date, issuing store, redeeming store and purse.

    What is spent of a lot is what came into it first. Points of a sale are of its store, those
    given by hand of none. What voids and returns give back stands on their dates, against the
    stores between which it was spent. The journal is read from its first entry on.
    """

    def read(asked: Asked, journal: StoredJournal, advance: Advance) -> tuple[Table, Proof]:
        found = read_clearing(journal, asked.from_date, asked.to_date, asked.purses(), advance)
        return found.table(), found.prove()

    _run(read, options)


@report.command()
@_with_options
def elsewhere(**options: Any) -> None:
    """Goods that came back at another store than the one that sold them, receipt by receipt.

    What the selling store owes the other. A sale of another node, which came back by the capsule of
    its receipt, is among them: that node has not heard of it yet.
    """

    def read(asked: Asked, journal: StoredJournal, advance: Advance) -> tuple[Table, Proof]:
        found = read_elsewhere(journal, asked.from_date, asked.to_date, advance)
        return found.table(), found.prove()

    _run(read, options)


@report.command()
@_with_options
def liability(**options: Any) -> None:
    """Points owed by purse and month of expiry: opening + what came and went = closing.

    Dates are those of posting, in UTC: what was closed once never changes when late work comes in.
    Points of pending lots and of holds are owed; those past their last day are not. `never` are
    points without a last day, `owed` is what accounts owe to the retailer.
    """

    def read(asked: Asked, journal: StoredJournal, advance: Advance) -> tuple[Table, Proof]:
        found = read_liability(journal, asked.from_date, asked.to_date, asked.purses(), advance)
        return found.table(), found.prove()

    _run(read, options)


@report.command()
@_with_options
@click.option(
    "--group",
    required=True,
    type=click.IntRange(min=1),
    help="Number of the account group, as GetMember answers it.",
)
def statement(group: int, **options: Any) -> None:
    """List what came and went in the purses of one account group, by business date.

    The sums of each purse, from its opening to its closing, are printed.
    """

    def read(asked: Asked, journal: StoredJournal, advance: Advance) -> tuple[Table, Proof]:
        wanted = AskedStatement(group, asked.from_date, asked.to_date)
        found = read_statement(journal, wanted, asked.purses(), advance)
        for purse_id, flows in sorted(found.purses.items()):
            told = ", ".join(f"{name} {value:,}" for name, value in vars(flows).items())
            click.echo(f"{purse_id}: {told}")
        return statement_table(found), found.prove()

    _run(read, options)
