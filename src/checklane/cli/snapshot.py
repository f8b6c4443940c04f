"""``checklane snapshot``: from feeds to what a server decides by."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table as Grid

from checklane._layout import RETENTION_DAYS
from checklane.cli.settings import configuration
from checklane.errors import DataDirectoryBusyError, refuse
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.snapshot.feeds import Advance
from checklane.snapshot.keys import create_keys, load_keys
from checklane.snapshot.members import AsOf, Built, MemberFeeds, build_members
from checklane.snapshot.store import (
    activate,
    find_snapshot,
    list_snapshots,
    prune,
    publish,
    read_live,
    snapshot_directory,
)
from checklane.tables.catalogue_tables import open_catalogue
from checklane.tables.files import KINDS, snapshot_hash, verify_snapshot, write_snapshot

__all__ = ["snapshot"]

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
REASONS_SHOWN = 12
FC = TypeVar("FC", bound=Callable[..., Any])

data_option = click.option(
    "--data",
    required=True,
    envvar="CHECKLANE_DATA",
    type=click.Path(file_okay=False, path_type=Path),
    help="The data directory that serves the program. Made when missing.",
)
as_of_options = (
    click.option(
        "--as-of-lsn",
        default=0,
        type=click.IntRange(min=0),
        help="Last journal position that the feeds know of. Default: 0, they do not say.",
    ),
    click.option(
        "--as-of-time",
        default="",
        help="When the feeds were drawn, as 2026-03-01T04:00:00Z. Default: they do not say.",
    ),
)


def _feed_option(name: str, what: str, *, required: bool) -> Callable[[FC], FC]:
    """Return an option that takes the files of one feed."""
    told = f"Feed of {what}. May be given more than once."
    return click.option(
        f"--{name}", multiple=True, type=FILE, metavar="FILE", required=required, help=told
    )


@click.group()
def snapshot() -> None:
    """Build, list, activate and prune what a server decides by.

    There are three kinds of snapshot, each one file named by the hash of its content:

    \b
      members     who they are, their tiers, segments, wallets and hashed identifiers
      catalogue   products with category, brand, vendor and flags; stores with time zones
      program     the offers, compiled against one catalogue

    A first set-up goes like this:

    \b
      checklane snapshot build catalogue --data DIR --products products.csv --stores stores.csv
      checklane snapshot activate catalogue HASH --data DIR
      checklane snapshot build program program/ --data DIR
      checklane snapshot activate program HASH --data DIR
      checklane snapshot build members --data DIR --program program/ --members members.csv
      checklane snapshot activate members HASH --data DIR

    HASH may be its first few digits. Activating a program also activates the catalogue that it was
    compiled against. A running server is asked over its management port and pauses for nobody.
    """  # noqa: D301 - click needs the character


@snapshot.group()
def build() -> None:
    """Build a snapshot from feeds or from a program's files.

    Feeds are CSV with a head line (.csv), Parquet (.parquet; needs pip install 'checklane[feeds]')
    or one JSON object a line (.jsonl), in UTF-8. A row that cannot be used is rejected with its
    reason and remedy in FILE.rejected.csv beside the snapshot; nothing is dropped silently. When
    two rows say the same, the first wins: files in the order given, rows in theirs. The same rows
    give the same file, byte for byte.
    """


def _as_of(lsn: int, text: str) -> AsOf:
    """Return what the feeds cover."""
    if not text:
        return AsOf(lsn)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter("write a time as 2026-03-01T04:00:00Z") from None
    if found.tzinfo is None:
        raise click.BadParameter("say the offset from UTC: end the time with Z or +01:00")
    return AsOf(lsn, int(found.astimezone(UTC).timestamp() * 1000))


@contextmanager
def _reading(console: Console, what: str, files: list[Path]) -> Iterator[Advance]:
    """Show a bar while feed files are read."""
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as progress:
        total = sum(path.stat().st_size for path in files)
        task = progress.add_task(what, total=total)
        yield lambda read_bytes: progress.advance(task, read_bytes)


def _tell(console: Console, built: Built) -> None:
    """Print what was built, and what was rejected and why."""
    report = built.report
    for file, columns in report.ignored.items():
        console.print(f"{file}: columns not used: {', '.join(columns)}")
    if report.rejected:
        grid = Grid("file", "column", "reason", "rows", title="rejected rows")
        for file, column, reason, rows in report.reasons()[:REASONS_SHOWN]:
            grid.add_row(file, column, reason, f"{rows:,}")
        console.print(grid)
        console.print(f"each of them: {built.path.with_suffix('.rejected.csv')}", soft_wrap=True)
    counts = ", ".join(f"{count:,} {what}" for what, count in built.counts.items())
    read = sum(report.read.values())
    console.print(f"read {read:,} rows, rejected {len(report.rejected):,}: {counts}")
    click.echo(str(built.path))


@build.command("members")
@data_option
@click.option(
    "--program",
    "program_path",
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="The program's files: they declare the tiers and segments.",
)
@_feed_option("members", "members", required=True)
@_feed_option("identifiers", "cards, phones, e-mail addresses", required=False)
@_feed_option("wallets", "offers that members hold", required=False)
@as_of_options[0]
@as_of_options[1]
def build_members_command(
    data: Path,
    program_path: Path,
    members: tuple[Path, ...],
    identifiers: tuple[Path, ...],
    wallets: tuple[Path, ...],
    as_of_lsn: int,
    as_of_time: str,
) -> None:
    """Build a members snapshot.

    \b
    members      member_id; group_id (who share purses), tier, segments (a;b;c), consent, staff,
                 business (true or false), birth_date (YYYY-MM-DD or MM-DD; the year is not
                 kept), home_store, referrer (the member_id of who brought them)
    identifiers  member_id, kind (card, phone, email, app, account), value
    wallets      member_id, offer_id

    Cards and phones keep their digits (blanks, - . / ( ) and a leading + go), e-mail addresses are
    written in lower case. Ids and values are stored as hashes under the data directory's identity
    key, which is made here when there is none.
    """  # noqa: D301 - click needs the character
    from checklane.program import load_vocabulary

    console = Console(stderr=True)
    vocabulary = load_vocabulary(program_path)
    keys = create_keys(data)
    feeds = MemberFeeds(members, identifiers, wallets)
    covered = _as_of(as_of_lsn, as_of_time)
    with _reading(console, "members", [*members, *identifiers, *wallets]) as advance:
        built = build_members(
            feeds, vocabulary, keys, snapshot_directory(data), as_of=covered, advance=advance
        )
    _tell(console, built)


@build.command("catalogue")
@data_option
@_feed_option("products", "products", required=True)
@_feed_option("stores", "stores", required=True)
@click.option(
    "--exponent",
    default=2,
    show_default=True,
    type=click.IntRange(0, 4),
    help="Decimals of the currency, in which costs and prices are written.",
)
@as_of_options[0]
@as_of_options[1]
def build_catalogue_command(
    data: Path,
    products: tuple[Path, ...],
    stores: tuple[Path, ...],
    exponent: int,
    as_of_lsn: int,
    as_of_time: str,
) -> None:
    """Build a catalogue snapshot.

    \b
    products  code_kind (gtin, plu, sku), code; name, category (Food/Soup/Canned), department,
              brand, vendor, flags (no_discount;no_earn;no_burn;age_restricted;fuel;
              tobacco;alcohol;lottery;gift_card;pharmacy), cost and legal_min (12.34)
    stores    store_id; region, banner, franchise, price_zone, timezone (America/New_York),
              jurisdiction

    GTINs have 8 to 14 digits with their check digit. A product's name is read and not stored.
    """  # noqa: D301 - click needs the character
    console = Console(stderr=True)
    feeds = CatalogueFeeds(products, stores)
    covered = _as_of(as_of_lsn, as_of_time)
    with _reading(console, "catalogue", [*products, *stores]) as advance:
        built = build_catalogue(
            feeds, snapshot_directory(data), exponent=exponent, as_of=covered, advance=advance
        )
    _tell(console, built)


@build.command("program")
@data_option
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--catalogue", default="", help="Hash of a catalogue. Default: the live one.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The server's settings: they say what a program may cost that does not say so itself.",
)
def build_program_command(data: Path, path: Path, catalogue: str, config_file: Path | None) -> None:
    """Compile the program at PATH against a catalogue.

    Problems are listed with file, line and column, and nothing is built; nor is a program that
    would break the lanes' budget, as `checklane offers check` tells it.
    """
    from checklane.program import compile_within

    console = Console(stderr=True)
    if not catalogue:
        live = read_live(data).now.catalogue
        if live is None:
            what = "no catalogue is live (activate one, or name one with --catalogue)"
            raise refuse("SNAPSHOT_UNKNOWN", str(data), what)
        catalogue = live.hex()
    found = find_snapshot(data, "catalogue", catalogue)
    with console.status("compiling the program"):
        settings = configuration(config_file, {}).settings
        tables = compile_within(path, open_catalogue(found.path), settings)
        built = write_snapshot(snapshot_directory(data), "program", tables)
    click.echo(str(built))


@snapshot.command("list")
@data_option
def list_command(data: Path) -> None:
    """List the snapshots of a data directory and which of them are live."""
    live = read_live(data)
    grid = Grid("kind", "hash", "MiB", "built", "")
    for found in list_snapshots(data):
        name = found.path.name
        state = "live" if name in live.now.names() else ""
        if not state and name in live.previous.names():
            state = "before"
        built = datetime.fromtimestamp(found.path.stat().st_mtime, UTC)
        size = f"{found.size_bytes / 2**20:,.1f}"
        grid.add_row(found.kind, found.hash.hex(), size, f"{built:%Y-%m-%d %H:%M} UTC", state)
    Console(width=None if Console().is_terminal else 100).print(grid)


@snapshot.command("publish")
@data_option
@click.argument("file", type=FILE)
def publish_command(data: Path, file: Path) -> None:
    """Copy a snapshot FILE that was built elsewhere into the data directory, verified."""
    click.echo(str(publish(data, file)))


@snapshot.command("verify")
@click.argument("files", nargs=-1, required=True, type=FILE)
def verify_command(files: tuple[Path, ...]) -> None:
    """Compute the content hash of snapshot FILES again and hold it against their names."""
    for file in files:
        verified = verify_snapshot(file)
        click.echo(f"{verified.path.name}: good")


@snapshot.command("activate")
@data_option
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("content_hash", metavar="HASH")
@click.option(
    "--address",
    default="",
    help="Management port of the running server, as 127.0.0.1:7071. Default: no server runs.",
)
def activate_command(data: Path, kind: str, content_hash: str, address: str) -> None:
    """Make the snapshot of a KIND whose hash begins with HASH the live one.

    It is verified first. A server that runs is asked at its management port (--address) and swaps
    it in without a pause; without one the choice waits in DIR/live.json for the next start.
    """
    found = find_snapshot(data, kind, content_hash)
    if address:
        from checklane.client import manage

        manage.activate(address, kind, found.hash)
    else:
        keys = load_keys(data) if kind == "members" else None
        try:
            activate(data, kind, found.hash, int(time.time()), keys)
        except DataDirectoryBusyError:
            what = "a server runs here (name its management port with --address)"
            raise refuse("DATA_DIRECTORY_BUSY", str(data), what) from None
    click.echo(f"live: {found.path.name}")


@snapshot.command("prune")
@data_option
@click.option(
    "--keep",
    multiple=True,
    metavar="NAME",
    help="File name of a snapshot to keep besides. May be given more than once.",
)
@click.option(
    "--keep-days",
    default=RETENTION_DAYS,
    show_default=True,
    type=click.IntRange(min=0),
    help="Days that a program and its catalogue stay after they ceased to be live.",
)
def prune_command(data: Path, keep: tuple[str, ...], keep_days: int) -> None:
    """Remove snapshots that nobody needs any more.

    What is live, and what was live before the last change, stays. Programs and catalogues stay
    longer, because returns and late uploads are judged by those of their sale.
    """
    kept = [snapshot_hash(Path(name)) for name in keep]
    removed = prune(data, int(time.time()), kept, keep_days)
    for found in removed:
        click.echo(f"removed {found.path.name}")
    freed = sum(found.size_bytes for found in removed)
    click.echo(f"{len(removed)} removed, {freed / 2**20:,.1f} MiB freed")
