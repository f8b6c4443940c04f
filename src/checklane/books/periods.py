"""What the books of a store, till or shift must show, by business date.

A sale that was voided is in no sum of money, wherever its void came: the void is only counted,
where it was entered. But where the sale's date was closed by then, it stays in the sums of that
date, and the void is a refund on its own. Points follow the entries instead: a sale's points stand
where the sale was entered and the void's where the void was, so that all parts together are what
the journal moved. Two passes are made: the first learns which sales were voided, the second adds
up, so that memory follows the voids and the parts and not the sales.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from checklane import _layout
from checklane.books.dates import DAY_MS, day_of
from checklane.books.entries import Sections, original_of, receipt_of, sold_lines, split_entry
from checklane.books.figures import (
    by_purse,
    has_effect,
    lots_moved,
    messages_of,
    points_captured,
    points_told,
    where_of,
)
from checklane.books.proof import Column, Proof, Table
from checklane.books.sequences import Sequences
from checklane.books.walk import Advance, Source, find_first, walk
from checklane.errors import refuse
from checklane.v1 import checkout_pb2, ledger_pb2

__all__ = [
    "EARLY_MS",
    "Gap",
    "Part",
    "PartKey",
    "Periods",
    "Query",
    "gap_table",
    "period_table",
    "read_periods",
    "refunded",
]

#: A store's date begins at most 14 hours before UTC's; the rest is for business days that open
#: the evening before. An entry that was posted more than this before its business date begins in
#: UTC is not looked for.
EARLY_MS = 2 * DAY_MS
#: Kinds of entries that a till makes and that have figures.
KINDS = (
    _layout.ENTRY_COMMIT,
    _layout.ENTRY_VOID,
    _layout.ENTRY_RETURN,
    _layout.ENTRY_CLAIM,
    _layout.ENTRY_HOLD_CAPTURE,
)
#: Runs of receipt numbers that are kept at most, over all tills and dates: some 30 MB. Tills
#: that count up have one each, and one more for each gap.
RUNS_MAX = 200_000

PART_COLUMNS = (
    Column("store_id", is_text=True),
    Column("business_date"),
    Column("till_id", is_text=True),
    Column("shift_id", is_text=True),
    Column("sale_count"),
    Column("void_count"),
    Column("return_count"),
    Column("gross_minor"),
    Column("discount_minor"),
    Column("refund_minor"),
    Column("due_minor"),
    Column("price_reduction_minor"),
    Column("third_party_minor"),
    Column("tender_minor"),
    Column("exception_count"),
    Column("late_count"),
    Column("is_closed"),
)
GAP_COLUMNS = (
    Column("store_id", is_text=True),
    Column("business_date"),
    Column("till_id", is_text=True),
    Column("from_sequence"),
    Column("to_sequence"),
)


@dataclass(frozen=True)
class Query:
    """Which totals. Empty texts: all.

    Attributes
    ----------
    by_date, by_till, by_shift : bool
        How the sums are split; stores always are.
    parts_max : int
        More parts are refused. Default: no bound.
    """

    from_date: int
    to_date: int
    store_id: str = ""
    till_id: str = ""
    shift_id: str = ""
    by_date: bool = True
    by_till: bool = True
    by_shift: bool = False
    parts_max: int = 2**63


class PartKey(NamedTuple):
    """Which part: 0 and empty texts where sums are not split."""

    store_id: str
    business_date: int
    till_id: str
    shift_id: str


@dataclass
class Part:
    """The sums of one part, as ``PeriodTotals`` of the contract names them.

    Attributes
    ----------
    late_count : int
        Entries that came for a date that was closed, and count here.
    is_closed : bool
        Nothing that is yet to come changes these sums.
    """

    sale_count: int = 0
    void_count: int = 0
    return_count: int = 0
    gross_minor: int = 0
    discount_minor: int = 0
    refund_minor: int = 0
    price_reduction_minor: int = 0
    third_party_minor: int = 0
    tender_minor: int = 0
    exception_count: int = 0
    late_count: int = 0
    is_closed: bool = False
    points: Counter[str] = field(default_factory=Counter)

    @property
    def due_minor(self) -> int:
        """What customers paid, less what they got back."""
        return self.gross_minor - self.discount_minor - self.refund_minor


class Gap(NamedTuple):
    """Receipt numbers between the first and the last seen of a till and date that were not seen."""

    store_id: str
    business_date: int
    till_id: str
    from_sequence: int
    to_sequence: int


@dataclass
class _Other:
    """The same sums by another path: sold lines as kept for returns, and movements."""

    gross_minor: int = 0
    net_minor: int = 0
    refund_minor: int = 0
    points: Counter[int] = field(default_factory=Counter)


class Periods:
    """The totals, part by part.

    Attributes
    ----------
    parts : dict of PartKey to Part
    as_of_lsn : int
        The last position that was seen.
    closed : dict of str to int
        The last business date that is closed, by store, as far as it can concern the span.
    """

    def __init__(
        self, query: Query, as_of_lsn: int, voided: set[int], purse_names: dict[int, str]
    ) -> None:
        self.parts: dict[PartKey, Part] = {}
        self.as_of_lsn = as_of_lsn
        self.closed: dict[str, int] = {}
        self._query = query
        self._voided = voided
        self._purse_names = purse_names
        self._seen: dict[tuple[str, int, str], Sequences] = defaultdict(Sequences)
        self._run_count = 0
        self._other = _Other()
        # Voided sales of the span whose void is yet to come.
        self._to_void: set[int] = set()

    def is_closed(self, key: PartKey) -> bool:
        """Tell whether all dates of a part are closed at its store."""
        last_date = key.business_date or self._query.to_date
        return last_date <= self.closed.get(key.store_id, 0)

    def gaps(self) -> list[Gap]:
        """Return the gaps by store, date, till and number.

        Of a shift all gaps of its till are told: a till counts through its shifts.
        """
        return [Gap(*key, *span) for key in sorted(self._seen) for span in self._seen[key].gaps()]

    def prove(self) -> Proof:
        """Hold the sums against sold lines and movements."""
        parts, other = self.parts.values(), self._other
        gross = sum(part.gross_minor for part in parts)
        discount = sum(part.discount_minor for part in parts)
        proof = Proof()
        proof.add("gross, by sold lines", gross, other.gross_minor)
        proof.add("net, by sold lines", gross - discount, other.net_minor)
        classes = sum(
            part.price_reduction_minor + part.third_party_minor + part.tender_minor
            for part in parts
        )
        proof.add("discount, by class", discount, classes)
        refund = sum(part.refund_minor for part in parts)
        proof.add("refund, by what receipts have left", refund, other.refund_minor)
        told: Counter[str] = Counter()
        for part in parts:
            told.update(part.points)
        moved = by_purse(other.points, self._purse_names)
        for purse_id in sorted(told.keys() | moved.keys()):
            what = f"points of {purse_id}, by movements"
            proof.add(what, told[purse_id], moved[purse_id])
        return proof

    def add(self, sections: Sections) -> None:
        """Add one entry of `KINDS`; the entries come in the order of their positions."""
        request, response = messages_of(sections)
        self._note_receipts(request, response)
        query = self._query
        if not query.from_date <= int(sections.header["business_date"]) <= query.to_date:
            self._note_void(sections, response)
            return
        place = where_of(request)
        is_asked = query.store_id in ("", place.store_id) and query.till_id in ("", place.till_id)
        if not is_asked or query.shift_id not in ("", place.shift_id):
            self._note_void(sections, response)
            return
        part = self._part(
            PartKey(
                place.store_id,
                int(sections.header["business_date"]) if query.by_date else 0,
                place.till_id if query.by_till else query.till_id,
                place.shift_id if query.by_shift else query.shift_id,
            )
        )
        part.late_count += int(sections.header["own_date"]) != 0
        part.points.update(points_told(request, response))
        part.points.update(points_captured(sections, request, response, self._purse_names))
        self._other.points.update(lots_moved(sections.movements))
        match response:
            case checkout_pb2.CommitTransactionResponse() if has_effect(response):
                self._add_sale(part, sections, response)
            case checkout_pb2.VoidTransactionResponse():
                part.void_count += 1
                if is_after_close(sections.header):
                    part.refund_minor += response.reversal.refund_minor
                    lines = response.reversal.lines
                    self._other.refund_minor += sum(
                        line.gross_minor - line.discount_minor for line in lines
                    )
                self._note_void(sections, response)
            case checkout_pb2.ReturnItemsResponse():
                part.return_count += 1
                part.refund_minor += response.reversal.refund_minor
                self._other.refund_minor += refunded(sections)

    def _part(self, key: PartKey) -> Part:
        part = self.parts.get(key)
        if part is None:
            if len(self.parts) >= self._query.parts_max:
                raise refuse("REPLY_TOO_LARGE", "to_date", "the totals have too many parts")
            part = self.parts[key] = Part()
        return part

    def _add_sale(self, part: Part, sections: Sections, response: Any) -> None:
        sold = sold_lines(sections)
        self._other.gross_minor += int(sold["gross_minor"].sum())
        self._other.net_minor += int(sold["net_minor"].sum())
        name = receipt_of(sections)
        if name in self._voided:
            self._to_void.add(name)
            return
        totals = response.decision.totals
        part.sale_count += 1
        part.gross_minor += totals.gross_minor
        part.discount_minor += totals.discount_minor
        part.refund_minor += totals.refund_minor
        part.return_count += response.HasField("reversal")
        unnamed_minor = totals.refund_minor - response.reversal.refund_minor
        self._other.refund_minor += unnamed_minor + refunded(sections)
        part.price_reduction_minor += totals.price_reduction_minor
        part.third_party_minor += totals.third_party_minor
        part.tender_minor += totals.tender_minor
        if response.outcome == checkout_pb2.COMMIT_OUTCOME_POSTED_WITH_EXCEPTIONS:
            part.exception_count += 1

    def _note_void(self, sections: Sections, response: Any) -> None:
        """Take a sale of the span out of the other path, by what its void gave back."""
        if not isinstance(response, checkout_pb2.VoidTransactionResponse):
            return
        name = original_of(sections)
        if name in self._to_void:
            self._to_void.remove(name)
            lines = response.reversal.lines
            self._other.gross_minor -= sum(line.gross_minor for line in lines)
            self._other.net_minor -= response.reversal.refund_minor

    def _note_receipts(self, request: Any, response: Any) -> None:
        """Note the numbers that an entry uses up: its own, and one that was voided unseen."""
        if isinstance(
            request, checkout_pb2.CaptureHoldRequest | checkout_pb2.ClaimTransactionRequest
        ):
            return
        named = [request.receipt] if request.HasField("receipt") else []
        if isinstance(response, checkout_pb2.VoidTransactionResponse):
            is_unseen = response.outcome == checkout_pb2.VOID_OUTCOME_TOMBSTONE
            if is_unseen and request.HasField("original_receipt"):
                named.append(request.original_receipt)
        query = self._query
        for receipt in named:
            if (
                query.from_date <= receipt.business_date <= query.to_date
                and query.store_id in ("", receipt.store_id)
                and query.till_id in ("", receipt.till_id)
            ):
                seen = self._seen[receipt.store_id, receipt.business_date, receipt.till_id]
                before = len(seen)
                seen.add(receipt.sequence)
                self._run_count += len(seen) - before
        if self._run_count > RUNS_MAX:
            raise refuse("REPLY_TOO_LARGE", "to_date", "too many receipt numbers are missing")


def is_after_close(header: Any) -> bool:
    """Tell of a void whether its sale stood on a date that was closed."""
    return bool(int(header["flags"]) & _layout.ENTRY_FLAG_AFTER_CLOSE)


def _note_closed(closed: dict[str, int], entry: bytes) -> None:
    """Note what an entry closes: the last date of each store."""
    sections = split_entry(entry)
    request = ledger_pb2.CloseBusinessDateRequest.FromString(sections.request)
    response = ledger_pb2.CloseBusinessDateResponse.FromString(sections.response)
    store_id = request.context.store_id
    closed[store_id] = max(closed.get(store_id, 0), response.closed_date)


def refunded(sections: Sections) -> int:
    """Return what movements note on a receipt as refunded."""
    cells = sections.movements["cell"]
    return int(cells["other"][cells["kind"] == _layout.CELL_RETURNED].sum())


def read_periods(
    source: Source, query: Query, purse_names: dict[int, str], advance: Advance | None = None
) -> Periods:
    """Add up the entries of a span of business dates.

    Cost: what was posted since the span began, twice, whatever was posted before; voids and late
    postings of a date may come at any time after it.

    Raises
    ------
    ChecklaneError
        REPLY_TOO_LARGE, LSN_NOT_KEPT, JOURNAL_DAMAGED, IO_FAILED.
    """
    begin = find_first(source, day_of(query.from_date) * DAY_MS - EARLY_MS)
    voided: set[int] = set()
    closed: dict[str, int] = {}
    for page in walk(source, begin, advance):
        for at in np.flatnonzero(page.heads["kind"] == _layout.ENTRY_VOID).tolist():
            if not is_after_close(page.heads[at]):
                voided.add(original_of(split_entry(page.entries[at])))
        for at in np.flatnonzero(page.heads["kind"] == _layout.ENTRY_CLOSE_DATE).tolist():
            _note_closed(closed, page.entries[at])
    periods = Periods(query, source.last_lsn, voided, purse_names)
    for page in walk(source, begin, advance):
        dates, kinds = page.heads["business_date"], page.heads["kind"]
        is_in_span = (dates >= query.from_date) & (dates <= query.to_date)
        is_wanted = np.isin(kinds, KINDS) & (is_in_span | (kinds == _layout.ENTRY_VOID))
        for at in np.flatnonzero(is_wanted).tolist():
            periods.add(split_entry(page.entries[at]))
    periods.closed = closed
    for key, part in periods.parts.items():
        part.is_closed = periods.is_closed(key)
    return periods


def period_table(periods: Periods) -> Table:
    """Return the parts as rows, by store, date, till and shift, with a column for each purse."""
    purses = sorted({purse_id for part in periods.parts.values() for purse_id in part.points})
    columns = (*PART_COLUMNS, *(Column(f"points.{purse_id}") for purse_id in purses))
    rows: list[tuple[int | str, ...]] = []
    for key, part in sorted(periods.parts.items()):
        money = (int(getattr(part, column.name)) for column in PART_COLUMNS[len(key) :])
        rows.append((*key, *money, *(part.points[purse_id] for purse_id in purses)))
    return Table(columns, rows)


def gap_table(periods: Periods) -> Table:
    """Return the gaps as rows."""
    return Table(GAP_COLUMNS, periods.gaps())
