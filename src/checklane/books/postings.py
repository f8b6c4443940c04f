"""Ledger postings: what a general ledger is told by date and store, under its own account numbers.

A sale is a credit of what was charged before discounts, against debits of what was paid and of each
discount under the account of its funder or class. Voids and returns are the other way round, on
their own dates. Points are posted at the worth that the map gives them: what came is an expense and
owed, what went takes both back.
"""

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from checklane.books.entries import split_entry
from checklane.books.figures import (
    by_purse,
    lots_moved,
    messages_of,
    points_captured,
    points_told,
    where_of,
)
from checklane.books.periods import KINDS
from checklane.books.proof import Column, Proof, Table
from checklane.books.settlement import RETURNED, SOLD, VOIDED, Settlement
from checklane.books.walk import Advance, Source, walk
from checklane.errors import ConfigError

__all__ = [
    "AccountMap",
    "PointsBook",
    "load_map",
    "postings_table",
    "prove_postings",
    "read_points",
]

COLUMNS = (
    Column("business_date"),
    Column("store_id", is_text=True),
    Column("account", is_text=True),
    Column("text", is_text=True),
    Column("debit_minor"),
    Column("credit_minor"),
)
TEXTS = {SOLD: "sales", VOIDED: "voids", RETURNED: "returns"}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


class Worth(_Part):
    """So many of a purse's smallest unit are worth so many minor units."""

    points: int = Field(gt=0)
    minor: int = Field(gt=0)


class PurseAccounts(_Part):
    """Where a purse is posted, and at what worth."""

    expense: str
    liability: str
    worth: Worth


class Discounts(_Part):
    """Accounts of discounts by their settlement class."""

    price_reduction: str
    third_party: str
    tender: str


class AccountMap(_Part):
    """Which account gets what.

    Attributes
    ----------
    sales : str
        What was charged before discounts.
    received : str
        What was paid, less refunds.
    discounts : Discounts
    funders : dict of str to str
        Accounts of funders, instead of the class's.
    points : dict of str to PurseAccounts
        By purse id; purses that are not named are not posted.
    """

    sales: str
    received: str
    discounts: Discounts
    funders: dict[str, str] = {}
    points: dict[str, PurseAccounts] = {}

    def account_of(self, funder_id: str, settlement_class: str) -> str:
        """Return the account of a discount."""
        own = self.funders.get(funder_id)
        if own is not None:
            return own
        # A sale that was pruned left no class: what came back of it lowers the price.
        return str(getattr(self.discounts, settlement_class.lower(), "")) or (
            self.discounts.price_reduction
        )


def load_map(path: Path) -> AccountMap:
    """Read an account map.

    Raises
    ------
    ConfigError
        It cannot be read, or has a key too many, too few, or of the wrong kind.
    """
    try:
        content: Any = YAML(typ="safe", pure=True).load(path.read_text())
        return AccountMap.model_validate(content)
    except ValidationError as failure:
        first = failure.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path.name}: {place or 'the map'}: {first['msg']}", str(path)) from None
    except (YAMLError, OSError, UnicodeDecodeError) as failure:
        raise ConfigError(f"{path.name}: {failure}", str(path)) from None


class PointsBook:
    """Points that came and went, by business date, store and purse.

    Attributes
    ----------
    told : Counter of (int, str, str)
        By date, store and purse id, as the answers say.
    moved : Counter of str
        By purse id, as the movements of the same entries say.
    """

    def __init__(self) -> None:
        self.told: Counter[tuple[int, str, str]] = Counter()
        self.moved: Counter[str] = Counter()


def read_points(
    source: Source,
    from_date: int,
    to_date: int,
    purse_names: dict[int, str],
    advance: Advance | None = None,
) -> PointsBook:
    """Add up what tills moved in a span of business dates. Cost: the whole journal, once."""
    book = PointsBook()
    for page in walk(source, source.first_lsn, advance):
        dates = page.heads["business_date"]
        is_wanted = (dates >= from_date) & (dates <= to_date) & np.isin(page.heads["kind"], KINDS)
        for at in np.flatnonzero(is_wanted).tolist():
            sections = split_entry(page.entries[at])
            request, response = messages_of(sections)
            store_id = where_of(request).store_id
            told = points_told(request, response)
            told.update(points_captured(sections, request, response, purse_names))
            for purse_id, points in told.items():
                book.told[int(sections.header["business_date"]), store_id, purse_id] += points
            book.moved.update(by_purse(lots_moved(sections.movements), purse_names))
    return book


def postings_table(settlement: Settlement, points: PointsBook, accounts: AccountMap) -> Table:
    """Return the postings, by date, store, account and text."""
    # Debits are positive.
    sums: dict[tuple[int, str, str, str], int] = defaultdict(int)
    for (date, store_id, kind), money in settlement.money.items():
        sign = 1 if kind == SOLD else -1
        sums[date, store_id, accounts.sales, TEXTS[kind]] -= sign * money.gross_minor
        sums[date, store_id, accounts.received, TEXTS[kind]] += sign * money.due_minor
    for row in settlement.table().rows:
        account = accounts.account_of(str(row[3]), str(row[4]))
        for kind, amount in zip((SOLD, VOIDED, RETURNED), row[5:8], strict=True):
            sign = 1 if kind == SOLD else -1
            sums[int(row[0]), str(row[1]), account, TEXTS[kind]] += sign * int(amount)
    for (date, store_id, purse_id), total in points.told.items():
        purse = accounts.points.get(purse_id)
        if purse is None:
            continue
        sign = 1 if total >= 0 else -1
        worth = sign * (abs(total) * purse.worth.minor // purse.worth.points)
        text = f"points of {purse_id}"
        sums[date, store_id, purse.expense, text] += worth
        sums[date, store_id, purse.liability, text] -= worth
    rows = [
        (*key, max(amount, 0), max(-amount, 0)) for key, amount in sorted(sums.items()) if amount
    ]
    return Table(COLUMNS, rows)


def prove_postings(table: Table, settlement: Settlement, points: PointsBook) -> Proof:
    """Hold debits against credits, discounts against sold lines, points against movements."""
    proof = settlement.prove()
    debits = sum(int(row[4]) for row in table.rows)
    proof.add("debits, by credits", debits, sum(int(row[5]) for row in table.rows))
    told: Counter[str] = Counter()
    for (_, _, purse_id), total in points.told.items():
        told[purse_id] += total
    for purse_id in sorted(told.keys() | points.moved.keys()):
        proof.add(f"points of {purse_id}, by movements", told[purse_id], points.moved[purse_id])
    return proof
