"""Who owes what for which offer: discounts by offer, funder, settlement class, store and date.

A sale's answer says who pays which part of a discount, line by line. A void takes all of it back,
and a return what `LineShares` finds.
"""

from collections import Counter, defaultdict
from typing import Any, NamedTuple

import numpy as np

from checklane import _layout
from checklane.books.entries import (
    Sections,
    original_of,
    receipt_of,
    sold_lines,
    split_entry,
    takes_goods_back,
)
from checklane.books.figures import has_effect, messages_of, where_of
from checklane.books.proof import Column, Proof, Table
from checklane.books.shares import LineShares, Share, parts_back, settlement_name
from checklane.books.walk import Advance, Source, walk
from checklane.v1 import checkout_pb2, decision_pb2

__all__ = [
    "Money",
    "RETURNED",
    "SOLD",
    "Settlement",
    "VOIDED",
    "read_settlement",
    "undone_sales",
]

KINDS = (_layout.ENTRY_COMMIT, _layout.ENTRY_VOID, _layout.ENTRY_RETURN)
COLUMNS = (
    Column("business_date"),
    Column("store_id", is_text=True),
    Column("offer_id", is_text=True),
    Column("funder_id", is_text=True),
    Column("settlement_class", is_text=True),
    Column("sold_minor"),
    Column("voided_minor"),
    Column("returned_minor"),
    Column("net_minor"),
)
COUPON_COLUMNS = (*COLUMNS[:5], Column("coupon", is_text=True), *COLUMNS[5:])
#: What money is of.
SOLD, VOIDED, RETURNED = range(3)


class _Key(NamedTuple):
    business_date: int
    store_id: str
    offer_id: str
    funder_id: str
    settlement_class: int
    coupon: str


class Money(NamedTuple):
    """What one date and store sold, or took back: gross, and what was paid or refunded."""

    gross_minor: int = 0
    due_minor: int = 0

    def plus(self, gross_minor: int, due_minor: int) -> "Money":
        """Return the sums with more added."""
        return Money(self.gross_minor + gross_minor, self.due_minor + due_minor)


class Settlement:
    """Discounts by date, store, offer, funder and class, and what they were taken off.

    Parameters
    ----------
    from_date, to_date : int
        Business dates, both inclusive.
    undone : set of int
        The sales of which something came back, as `receipt_of` names them.
    by_coupon : bool
        Split by the coupons that opened the offers, and leave other offers out.

    Attributes
    ----------
    money : dict of (int, str, int) to Money
        By business date, store and what it is of: SOLD, VOIDED or RETURNED.
    """

    def __init__(
        self, from_date: int, to_date: int, undone: set[int], *, by_coupon: bool = False
    ) -> None:
        self._from_date, self._to_date = from_date, to_date
        self._undone = undone
        self._sales: dict[int, dict[int, LineShares]] = {}
        self._sums: dict[_Key, list[int]] = defaultdict(lambda: [0, 0, 0])
        self._told: Counter[str] = Counter()
        self._kept = 0
        self._by_coupon = by_coupon
        self._coupons = 0
        self.money: dict[tuple[int, str, int], Money] = defaultdict(Money)

    def add(self, sections: Sections) -> None:
        """Add one entry of `KINDS`; the entries come in the order of their positions."""
        request, response = messages_of(sections)
        date = int(sections.header["business_date"])
        is_asked = self._from_date <= date <= self._to_date
        match response:
            case checkout_pb2.CommitTransactionResponse() if has_effect(response):
                self._add_sale(sections, request, response, is_asked=is_asked)
                if response.HasField("reversal"):
                    self._add_reversal(
                        sections, request.receipt.store_id, response, RETURNED, is_asked=is_asked
                    )
            case checkout_pb2.VoidTransactionResponse() | checkout_pb2.ReturnItemsResponse():
                is_void = isinstance(response, checkout_pb2.VoidTransactionResponse)
                column = VOIDED if is_void else RETURNED
                store_id = where_of(request).store_id
                self._add_reversal(sections, store_id, response, column, is_asked=is_asked)
                if is_void:
                    self._sales.pop(original_of(sections), None)

    def _add_sale(self, sections: Sections, request: Any, response: Any, *, is_asked: bool) -> None:
        name = receipt_of(sections)
        if not is_asked and name not in self._undone:
            return
        kept = {int(line["line_id"]): line for line in sold_lines(sections)}
        coupons = _coupons_of(request, response.decision) if self._by_coupon else {}
        sold = {
            line.line_id: LineShares(line, coupons)
            for line in response.decision.lines
            if line.line_id in kept
        }
        for own in sold.values() if is_asked else ():
            date = int(sections.header["business_date"])
            self._sum(date, request.receipt.store_id, own.priced, column=SOLD)
        if name in self._undone:
            self._sales[name] = sold
        if is_asked:
            totals = response.decision.totals
            place = (int(sections.header["business_date"]), request.receipt.store_id, SOLD)
            gross, due = totals.gross_minor, totals.net_minor
            self.money[place] = self.money[place].plus(gross, due)
            self._coupons += sum(coupon.discount_minor for coupon in response.decision.coupons)
            self._told.update(
                PRICE_REDUCTION=totals.price_reduction_minor,
                THIRD_PARTY=totals.third_party_minor,
                TENDER=totals.tender_minor,
            )
            self._kept += sum(int(own["gross_minor"] - own["net_minor"]) for own in kept.values())

    def _add_reversal(
        self, sections: Sections, store_id: str, response: Any, column: int, *, is_asked: bool
    ) -> None:
        date = int(sections.header["business_date"])
        sold = self._sales.get(original_of(sections), {})
        for line, shares in parts_back(sold, response.reversal):
            if is_asked:
                self._kept -= line.discount_minor
                self._sum(date, store_id, shares, column=column)
        if is_asked:
            place = (date, store_id, column)
            gross = sum(line.gross_minor for line in response.reversal.lines)
            self.money[place] = self.money[place].plus(gross, response.reversal.refund_minor)

    def _sum(self, date: int, store_id: str, shares: list[Share], *, column: int) -> None:
        for share in shares:
            key = _Key(date, store_id, *share[:3], share.coupon)
            self._sums[key][column] += share.amount_minor

    def table(self) -> Table:
        """Return the rows, by date, store, offer, funder and class."""
        rows: list[tuple[int | str, ...]] = []
        for key, (sold, voided, returned) in sorted(self._sums.items()):
            told = (*key[:4], settlement_name(key.settlement_class))
            money = (sold, voided, returned, sold - voided - returned)
            if not self._by_coupon:
                rows.append((*told, *money))
            elif key.coupon:
                rows.append((*told, key.coupon, *money))
        return Table(COUPON_COLUMNS if self._by_coupon else COLUMNS, rows)

    def prove(self) -> Proof:
        """Hold the rows against the sales' totals by class, and against lines kept for returns."""
        if self._by_coupon:
            sold = sum(int(row[6]) for row in self.table().rows)
            return Proof([("sold, by what each coupon took off", sold, self._coupons)])
        rows = self.table().rows
        proof = Proof()
        for name in ("PRICE_REDUCTION", "THIRD_PARTY", "TENDER"):
            sold = sum(int(row[5]) for row in rows if row[4] == name)
            proof.add(f"sold, {name.lower()}, by the sales' totals", sold, self._told[name])
        net = sum(int(row[8]) for row in rows)
        proof.add("net, by lines kept for returns less what came back", net, self._kept)
        return proof


def _coupons_of(request: Any, decision: decision_pb2.Decision) -> dict[str, str]:
    """Return by offer the coupon that opened it: its code, or what the scanner read."""
    shown = request.basket.coupons
    coupons: dict[str, str] = {}
    for coupon in decision.coupons:
        if coupon.state == decision_pb2.COUPON_STATE_CONSUMED:
            found = shown[coupon.coupon_index]
            scanned = found.scanned_data.decode("ascii", "backslashreplace")
            coupons.setdefault(coupon.offer_id, found.code or scanned)
    return coupons


def undone_sales(source: Source, advance: Advance | None = None) -> set[int]:
    """Return the sales of which something came back, as `receipt_of` names them."""
    undone = set()
    for page in walk(source, source.first_lsn, advance):
        for at in np.flatnonzero(np.isin(page.heads["kind"], KINDS)).tolist():
            sections = split_entry(page.entries[at])
            if page.heads["kind"][at] != _layout.ENTRY_COMMIT or takes_goods_back(sections):
                undone.add(original_of(sections))
    return undone


def read_settlement(
    source: Source,
    from_date: int,
    to_date: int,
    advance: Advance | None = None,
    *,
    by_coupon: bool = False,
) -> Settlement:
    """Settle the entries of a span of business dates; what a return undoes may be older.

    Cost: the whole journal, twice; memory follows the rows and the sales that came back.
    """
    undone = undone_sales(source, advance)
    settlement = Settlement(from_date, to_date, undone, by_coupon=by_coupon)
    for page in walk(source, source.first_lsn, advance):
        for at in np.flatnonzero(np.isin(page.heads["kind"], KINDS)).tolist():
            settlement.add(split_entry(page.entries[at]))
    return settlement
