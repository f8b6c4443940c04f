"""``checklane explain``: a sale or claim decided again, with the reason for every offer."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from checklane import _layout
from checklane._engine import Engine
from checklane.books.entries import Sections, split_entry
from checklane.errors import from_status, refuse
from checklane.ledger.files import audit, journal_directory
from checklane.server.entries import contract_entry
from checklane.snapshot.keys import load_keys
from checklane.snapshot.store import snapshot_directory
from checklane.tables.files import snapshot_name
from checklane.v1 import checkout_pb2, decision_pb2

__all__ = ["explain"]

#: Kinds of entries that hold a decision.
DECIDED = (_layout.ENTRY_COMMIT, _layout.ENTRY_CLAIM)
PAGE_ENTRIES = 1024
PAGE_BYTES = 16 * 1024 * 1024
#: Exit status when the sale does not come out as it was recorded.
EXIT_DIFFERENT = 74


def _pages(data: Path) -> Iterator[bytes]:
    """Yield every entry of the journal, oldest first."""
    with audit(journal_directory(data)) as opened:
        report = opened.report()
        at, last = int(report["first_lsn"]), int(report["last_lsn"])
        while at <= last:
            page = opened.read_entries(at, PAGE_ENTRIES, PAGE_BYTES)
            yield from page
            at += len(page)


def _is_wanted(sections: Sections, receipt: list[str], lsn: int) -> bool:
    """Tell whether an entry is the sale that was asked for, or the claim at a position."""
    kind = int(sections.header["kind"])
    if lsn:
        return int(sections.header["lsn"]) == lsn and kind in DECIDED
    if kind != _layout.ENTRY_COMMIT:
        return False
    told = contract_entry(sections, include_bodies=False, include_movements=False).receipt
    found = [told.store_id, str(told.business_date), told.till_id, str(told.sequence)]
    return found == receipt


def _find(data: Path, receipt: str, lsn: int) -> bytes:
    """Return the entry of a sale.

    Raises
    ------
    ReceiptUnknownError
        The journal holds no such sale.
    """
    parts = receipt.split("/")
    for entry in _pages(data):
        if _is_wanted(split_entry(entry), parts, lsn):
            return entry
    raise refuse("RECEIPT_UNKNOWN", receipt or f"lsn {lsn}")


def _replay(data: Path, entry: bytes, *, is_explained: bool) -> bytes:
    """Decide a sale again, in an engine that has nothing but the keys."""
    sections = split_entry(entry)
    facts = sections.facts[: _layout.FACTS_HEADER.itemsize]
    program, catalogue = (
        str(snapshot_directory(data) / snapshot_name(kind, facts[at : at + 16]))
        for kind, at in (("program", 0), ("catalogue", 16))
    )
    keys = load_keys(data)
    with tempfile.TemporaryDirectory(prefix="checklane-explain-") as scratch:
        engine = Engine(
            scratch,
            sessions=1,
            checkpoint_pause_ms=0,
            node=0,
            partition=0,
            identity_key=keys.identity,
            hold_out_key=keys.hold_out,
        )
        try:
            status, answer = engine.replay(entry, program, catalogue, is_explained=is_explained)
        finally:
            engine.close()
    if isinstance(answer, str):
        raise from_status(status, answer)
    return answer


def _offer_rows(decision: Any) -> Table:
    """Return what every offer did, the applied ones first, then in the order of their reasons."""
    table = Table("offer", "version", "outcome", "discount", title="Offers", title_justify="left")
    applied = {offer.offer_id: offer.discount_minor for offer in decision.applied_offers}
    for told in sorted(decision.explanations, key=lambda told: (told.outcome, told.offer_id)):
        outcome = decision_pb2.OfferOutcome.Name(told.outcome).removeprefix("OFFER_OUTCOME_")
        discount = applied.get(told.offer_id)
        words = "" if discount is None else f"{discount:,}"
        table.add_row(told.offer_id, str(told.offer_version), outcome.lower(), words)
    return table


def _line_rows(decision: Any) -> Table:
    """Return what each line was given."""
    table = Table("line", "discount", "net", "by", title="Lines, minor units", title_justify="left")
    for line in decision.lines:
        by = ", ".join(f"{offer.offer_id} {offer.discount_minor:,}" for offer in line.applied)
        table.add_row(str(line.line_id), f"{line.discount_minor:,}", f"{line.net_minor:,}", by)
    return table


def _tell_earned(console: Console, awards: Any) -> None:
    for earned in awards:
        console.print(f"{earned.points:,} {earned.purse_id} by {earned.offer_id}")


def _tell_sale(console: Console, answer: Any) -> None:
    console.print(_line_rows(answer.decision))
    console.print(_offer_rows(answer.decision))
    _tell_earned(console, answer.decision.earned)
    for coupon in answer.issued_coupons:
        console.print(f"coupon {coupon.code} {coupon.serial} by {coupon.offer_id}")


@click.command()
@click.option(
    "--data",
    required=True,
    envvar="CHECKLANE_DATA",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The data directory. A server may be running on it.",
)
@click.option(
    "--receipt", default="", metavar="STORE/DATE/TILL/SEQUENCE", help="As S001/20260304/3/17."
)
@click.option(
    "--lsn", default=0, type=click.IntRange(min=0), help="Position of a sale's or claim's entry."
)
def explain(data: Path, receipt: str, lsn: int) -> None:
    """Decide a committed sale, or a claim, again from its journal entry, and tell why.

    The entry holds all that the decision had read: the request, the member as they were, the
    program and catalogue by hash. Deciding again must give the recorded answer byte for byte,
    however often the program has changed since; if it does not, the exit status is 74.
    """
    if bool(receipt) == bool(lsn):
        raise click.UsageError("name the sale by --receipt or by --lsn")
    entry = _find(data, receipt, lsn)
    recorded = split_entry(entry)
    is_same = _replay(data, entry, is_explained=False) == recorded.response
    told = _replay(data, entry, is_explained=True)
    console = Console()
    if int(recorded.header["kind"]) == _layout.ENTRY_CLAIM:
        _tell_earned(console, checkout_pb2.ClaimTransactionResponse.FromString(told).earned)
    else:
        _tell_sale(console, checkout_pb2.CommitTransactionResponse.FromString(told))
    console.print(f"entry {int(recorded.header['lsn']):,}, decided again: same bytes:", end=" ")
    console.print("yes" if is_same else "no")
    if not is_same:
        raise SystemExit(EXIT_DIFFERENT)
