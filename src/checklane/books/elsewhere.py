"""Goods that came back at another store than the one that sold them, receipt by receipt.

What the selling store owes for goods that another took back; and, where the sale was entered at
another node, what that node has not heard of yet.
"""

import numpy as np

from checklane import _layout
from checklane.books.entries import Sections, split_entry
from checklane.books.figures import messages_of, returned_receipt
from checklane.books.periods import refunded
from checklane.books.proof import Column, Proof, Table
from checklane.books.walk import Advance, Source, walk

__all__ = ["Elsewhere", "read_elsewhere"]

KINDS = (_layout.ENTRY_COMMIT, _layout.ENTRY_RETURN)
COLUMNS = (
    Column("business_date"),
    Column("selling_store_id", is_text=True),
    Column("sold_business_date"),
    Column("sold_till_id", is_text=True),
    Column("sold_sequence"),
    Column("returning_store_id", is_text=True),
    Column("till_id", is_text=True),
    Column("sequence"),
    Column("refund_minor"),
)


class Elsewhere:
    """Returns between two stores of a span of business dates, in the order of their entries."""

    def __init__(self, from_date: int, to_date: int) -> None:
        self._from_date, self._to_date = from_date, to_date
        self._rows: list[tuple[int | str, ...]] = []
        self._same_store_minor = 0
        self._moved_minor = 0

    def add(self, sections: Sections) -> None:
        """Add one entry of `KINDS`."""
        date = int(sections.header["business_date"])
        if not self._from_date <= date <= self._to_date:
            return
        request, response = messages_of(sections)
        if not response.HasField("reversal"):
            return
        sold, refund = returned_receipt(request), response.reversal.refund_minor
        self._moved_minor += refunded(sections)
        if sold.store_id == request.receipt.store_id:
            self._same_store_minor += refund
            return
        own = request.receipt
        whence = (sold.store_id, sold.business_date, sold.till_id, sold.sequence)
        where = (own.store_id, own.till_id, own.sequence)
        self._rows.append((date, *whence, *where, refund))

    def table(self) -> Table:
        """Return the rows."""
        return Table(COLUMNS, self._rows)

    def prove(self) -> Proof:
        """Hold the refunds of the answers against what receipts have noted as refunded."""
        told = self._same_store_minor + sum(int(row[-1]) for row in self._rows)
        return Proof([("refund, by what receipts have left", told, self._moved_minor)])


def read_elsewhere(
    source: Source, from_date: int, to_date: int, advance: Advance | None = None
) -> Elsewhere:
    """Read the returns between stores of a span of business dates.

    Cost: the whole journal, once.
    """
    found = Elsewhere(from_date, to_date)
    for page in walk(source, source.first_lsn, advance):
        for at in np.flatnonzero(np.isin(page.heads["kind"], KINDS)).tolist():
            found.add(split_entry(page.entries[at]))
    return found
