"""The scan-data file: each line of certain goods as sold, with every discount and its funder.

Makers of tobacco pay for multi-pack and loyalty discounts by such files. A line has one row for
each part of its discount; its units and amounts stand on the first of them, so that columns add up.
What a void or return took back has rows of its own, negative, on its own date.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from checklane import _layout
from checklane.books.entries import Sections, original_of, receipt_of, sold_lines, split_entry
from checklane.books.figures import has_effect, messages_of, where_of
from checklane.books.proof import Column, Proof, Table
from checklane.books.settlement import undone_sales
from checklane.books.shares import LineShares, Share, parts_back, settlement_name
from checklane.books.walk import Advance, Source, walk
from checklane.snapshot.codes import gtin_code, plu_code
from checklane.tables.catalogue_tables import CatalogueTables
from checklane.tables.hashing import sku_codes
from checklane.v1 import basket_pb2, checkout_pb2

__all__ = ["GOODS", "ScanData", "read_scan_data"]

#: What goods are called in feeds, and their flag in the catalogue.
GOODS: Mapping[str, int] = {
    "tobacco": _layout.PRODUCT_FLAG_TOBACCO,
    "alcohol": _layout.PRODUCT_FLAG_ALCOHOL,
    "lottery": _layout.PRODUCT_FLAG_LOTTERY,
    "pharmacy": _layout.PRODUCT_FLAG_PHARMACY,
    "fuel": _layout.PRODUCT_FLAG_FUEL,
}
KINDS = {
    _layout.ENTRY_COMMIT: "SALE",
    _layout.ENTRY_VOID: "VOID",
    _layout.ENTRY_RETURN: "RETURN",
}
COLUMNS = (
    Column("business_date"),
    Column("event_time_unix_ms"),
    Column("lsn"),
    Column("kind", is_text=True),
    Column("store_id", is_text=True),
    Column("till_id", is_text=True),
    Column("sequence"),
    Column("line_id"),
    Column("product_code", is_text=True),
    Column("is_member"),
    Column("age_verified"),
    Column("units"),
    Column("gross_minor"),
    Column("net_minor"),
    Column("offer_id", is_text=True),
    Column("funder_id", is_text=True),
    Column("settlement_class", is_text=True),
    Column("discount_minor"),
)
KIND, UNITS, GROSS, NET, DISCOUNT = 3, 11, 12, 13, 17
NO_SHARE = Share("", "", 0, 0)

#: Returns the catalogue of a content hash.
Catalogues = Callable[[bytes], CatalogueTables]


class _Line(NamedTuple):
    """A line of the goods as it was sold, kept for what may come back."""

    product_code: str
    is_member: int
    age_verified: int
    units: int
    gross_minor: int
    net_minor: int
    shares: LineShares


def _code_of(line: basket_pb2.Line) -> int:
    """Return the catalogue's code of a line's product; 0: it has none."""
    match line.code_kind:
        case basket_pb2.PRODUCT_CODE_KIND_PLU:
            code = plu_code(line.product_code)
        case basket_pb2.PRODUCT_CODE_KIND_SKU:
            code = int(sku_codes([line.product_code])[0])
        case _:
            code = gtin_code(line.product_code)
    return code if isinstance(code, int) else 0


class ScanData:
    """The rows of a span of business dates.

    Parameters
    ----------
    from_date, to_date : int
    undone : set of int
        The sales of which something came back, as `receipt_of` names them.
    flag : int
        The goods: a flag of the catalogue.
    catalogues : callable
    """

    def __init__(
        self, from_date: int, to_date: int, undone: set[int], flag: int, catalogues: Catalogues
    ) -> None:
        self._from_date, self._to_date = from_date, to_date
        self._undone = undone
        self._flag = np.uint64(flag)
        self._catalogues = catalogues
        self._sales: dict[int, dict[int, _Line]] = {}
        self._rows: list[tuple[int | str, ...]] = []
        # Gross and net of the same lines, as they are kept for returns.
        self._gross_minor = self._net_minor = 0

    def add(self, sections: Sections) -> None:
        """Add one entry of `KINDS`; the entries come in the order of their positions."""
        request, response = messages_of(sections)
        is_asked = self._from_date <= int(sections.header["business_date"]) <= self._to_date
        match response:
            case checkout_pb2.CommitTransactionResponse() if has_effect(response):
                name = receipt_of(sections)
                if not is_asked and name not in self._undone:
                    return
                lines = self._lines_of(sections, request, response)
                if name in self._undone and lines:
                    self._sales[name] = lines
                if is_asked:
                    self._sell(sections, request, lines)
                if response.HasField("reversal"):
                    self._take_back(sections, request, response, is_asked=is_asked)
            case checkout_pb2.VoidTransactionResponse() | checkout_pb2.ReturnItemsResponse():
                self._take_back(sections, request, response, is_asked=is_asked)

    def _lines_of(self, sections: Sections, request: Any, response: Any) -> dict[int, _Line]:
        facts = np.frombuffer(sections.facts, dtype=_layout.FACTS_HEADER, count=1)[0]
        catalogue = self._catalogues(facts["catalogue_hash"].tobytes())
        asked = list(request.basket.lines)
        codes = np.array([_code_of(line) for line in asked], dtype=np.uint64)
        products = catalogue.find_products(codes)
        is_known = (products >= 0) & (codes != 0)
        is_wanted = np.zeros(len(asked), dtype=bool)
        flags = catalogue.products["flags"][products[is_known]]
        is_wanted[is_known] = (flags & self._flag) != 0
        if not is_wanted.any():
            return {}
        kept = {int(line["line_id"]): line for line in sold_lines(sections)}
        shares = {line.line_id: LineShares(line, {}) for line in response.decision.lines}
        return {
            asked[at].line_id: _Line(
                asked[at].product_code,
                int(int(sections.header["member"]) != 0),
                int(asked[at].age_verified),
                int(kept[asked[at].line_id]["count"]),
                int(kept[asked[at].line_id]["gross_minor"]),
                int(kept[asked[at].line_id]["net_minor"]),
                shares[asked[at].line_id],
            )
            for at in np.flatnonzero(is_wanted).tolist()
            if asked[at].line_id in kept
        }

    def _sell(self, sections: Sections, request: Any, lines: dict[int, _Line]) -> None:
        head = _head(sections, request)
        sold = {line.line_id: line for line in request.basket.lines}
        for line_id, line in lines.items():
            self._gross_minor += line.gross_minor
            self._net_minor += line.net_minor
            gross = sold[line_id].amount_minor
            shares = line.shares.priced
            net = gross - sum(share.amount_minor for share in shares)
            self._put(head, line_id, line, (line.units, gross, net), shares)

    def _take_back(
        self, sections: Sections, request: Any, response: Any, *, is_asked: bool
    ) -> None:
        head = _head(sections, request)
        if isinstance(response, checkout_pb2.CommitTransactionResponse):
            head = (*head[:KIND], KINDS[_layout.ENTRY_RETURN], *head[KIND + 1 :])
        lines = self._sales.get(original_of(sections), {})
        sold = {line_id: line.shares for line_id, line in lines.items()}
        for back, parts in parts_back(sold, response.reversal):
            if not is_asked or back.line_id not in lines or not (back.count or parts):
                continue
            self._gross_minor -= back.gross_minor
            self._net_minor -= back.refund_minor
            shares = [share._replace(amount_minor=-share.amount_minor) for share in parts]
            net = -back.gross_minor - sum(share.amount_minor for share in shares)
            amounts = (-back.count, -back.gross_minor, net)
            self._put(head, back.line_id, lines[back.line_id], amounts, shares)

    def _put(
        self,
        head: tuple[int | str, ...],
        line_id: int,
        line: _Line,
        amounts: tuple[int, int, int],
        shares: list[Share],
    ) -> None:
        """Put a row for each share; the first has the amounts of the line."""
        for share in shares or [NO_SHARE]:
            name = settlement_name(share.settlement_class) if share.offer_id else ""
            paid = (share.offer_id, share.funder_id, name, share.amount_minor)
            self._rows.append((*head, line_id, *line[:3], *amounts, *paid))
            amounts = (0, 0, 0)

    def table(self) -> Table:
        """Return the rows in the order of posting."""
        return Table(COLUMNS, self._rows)

    def prove(self) -> Proof:
        """Hold the rows against the lines that are kept for returns."""
        sums = [sum(int(row[at]) for row in self._rows) for at in (GROSS, NET, DISCOUNT)]
        gross, net, discount = sums
        proof = Proof()
        proof.add("gross, by lines kept for returns less what came back", gross, self._gross_minor)
        proof.add("net, by lines kept for returns less refunds", net, self._net_minor)
        proof.add("gross less discounts, by net", gross - discount, net)
        return proof


def _head(sections: Sections, request: Any) -> tuple[int | str, ...]:
    header, place = sections.header, where_of(request)
    sequence = request.receipt.sequence if request.HasField("receipt") else 0
    return (
        int(header["business_date"]),
        int(header["event_unix_ms"]),
        int(header["lsn"]),
        KINDS[int(header["kind"])],
        place.store_id,
        place.till_id,
        sequence,
    )


def read_scan_data(
    source: Source,
    from_date: int,
    to_date: int,
    flag: int,
    catalogues: Catalogues,
    advance: Advance | None = None,
) -> ScanData:
    """Read the lines of some goods. Cost: the whole journal, twice; memory follows the rows."""
    found = ScanData(from_date, to_date, undone_sales(source, advance), flag, catalogues)
    for page in walk(source, source.first_lsn, advance):
        for at in np.flatnonzero(np.isin(page.heads["kind"], tuple(KINDS))).tolist():
            found.add(split_entry(page.entries[at]))
    return found
