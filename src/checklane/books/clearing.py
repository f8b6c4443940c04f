"""Points between stores: who issued what was spent where.

A lot of an account may hold points of several stores; what is spent of it is what came into it
first. Points that a sale earned are of its store, also where it was claimed elsewhere or a goal or
a referral gave them; those given by hand are of no store. What a void or return gives back goes to
the stores whose points they were, and takes back from the sale's own store first.

Memory follows the lots that hold anything and the sales that were paid with points.
"""

from collections import Counter, defaultdict, deque
from typing import Any

import numpy as np

from checklane import _layout
from checklane.books.entries import Sections, original_of, receipt_of, split_entry
from checklane.books.figures import (
    MESSAGES,
    by_purse,
    messages_of,
    points_captured,
    returned_receipt,
    where_of,
)
from checklane.books.proof import Column, Proof, Table
from checklane.books.walk import Advance, Source, walk
from checklane.errors import refuse
from checklane.v1 import checkout_pb2, decision_pb2

__all__ = ["Clearing", "read_clearing"]

COLUMNS = (
    Column("business_date"),
    Column("issuing_store_id", is_text=True),
    Column("redeeming_store_id", is_text=True),
    Column("purse_id", is_text=True),
    Column("spent_points"),
    Column("given_back_points"),
)
#: Points of which no store says that it issued them: given by hand.
NO_STORE = ""

#: Account group, purse, last day, key of its activation.
LotKey = tuple[int, int, int, int]


class _Lots:
    """Every lot as the stores whose points it holds, those that came first at the left."""

    def __init__(self) -> None:
        self._parts: dict[LotKey, deque[tuple[str, int]]] = defaultdict(deque)

    def put(self, key: LotKey, store_id: str, points: int) -> None:
        self._parts[key].append((store_id, points))

    def take(self, key: LotKey, points: int, first: str | None = None) -> list[tuple[str, int]]:
        """Take points out of a lot, those of the store `first` before others; return whose."""
        taken = []
        parts = self._parts.pop(key, deque())
        if first is not None:
            parts = deque(sorted(parts, key=lambda part: part[0] != first))
        while parts and points > 0:
            store_id, there = parts.popleft()
            part = min(there, points)
            taken.append((store_id, part))
            points -= part
            if part < there:
                parts.appendleft((store_id, there - part))
        if parts:
            self._parts[key] = parts
        return taken

    def left(self) -> Counter[int]:
        """Return what all lots hold, by number of the purse."""
        points: Counter[int] = Counter()
        for key, parts in self._parts.items():
            points[key[1]] += sum(there for _, there in parts)
        return points


class Clearing:
    """What was spent, by business date, issuing store, redeeming store and purse."""

    def __init__(self, from_date: int, to_date: int, purse_names: dict[int, str]) -> None:
        self._from_date, self._to_date = from_date, to_date
        self._purse_names = purse_names
        self._lots = _Lots()
        # By the name of a sale: issuing store, redeeming store, points; the last at the end.
        self._paid: dict[int, list[tuple[str, str, int]]] = {}
        self._spent: Counter[tuple[int, str, str, int]] = Counter()
        self._given_back: Counter[tuple[int, str, str, int]] = Counter()
        self._told: Counter[str] = Counter()
        self._moved: Counter[int] = Counter()

    def add(self, sections: Sections) -> None:
        """Add one entry; the entries come in the order of their positions, from the first on."""
        movements = sections.movements
        lots = np.flatnonzero(
            (movements["cell"]["kind"] == _layout.CELL_LOT)
            & (movements["record"]["family"] == _layout.FAMILY_GROUP)
        ).tolist()
        if not lots:
            return
        request: Any = None
        store_id = NO_STORE
        if int(sections.header["kind"]) in MESSAGES:
            request, response = messages_of(sections)
            store_id = _store_of(request)
            if self._from_date <= int(sections.header["business_date"]) <= self._to_date:
                self._tell(sections, request, response)
        while lots:
            at = lots.pop(0)
            after = lots[0] if lots else at
            if _is_transfer(movements[at], movements[after]):
                lots.pop(0)
                self._move(movements[at], movements[after])
            else:
                self._apply(sections, movements[at], request, store_id)

    def _tell(self, sections: Sections, request: Any, response: Any) -> None:
        """Note what was spent and given back as the answer says."""
        match response:
            case checkout_pb2.CommitTransactionResponse():
                for taken in response.decision.redemptions:
                    if taken.state == decision_pb2.REDEMPTION_STATE_TAKEN:
                        self._told[taken.purse_id] += taken.points
                self._told.subtract(points_captured(sections, request, response, self._purse_names))
                self._tell_back(response.reversal)
            case checkout_pb2.CaptureHoldResponse():
                self._told[response.hold.purse_id] += response.captured_points
            case checkout_pb2.VoidTransactionResponse() | checkout_pb2.ReturnItemsResponse():
                self._tell_back(response.reversal)

    def _tell_back(self, reversal: Any) -> None:
        for award in reversal.points:
            self._told[award.purse_id] -= max(award.points, 0)

    def _move(self, one: Any, other: Any) -> None:
        """One lot becomes another's: with the stores whose points they are."""
        source, target = (one, other) if int(one["cell"]["value"]) < 0 else (other, one)
        points = int(target["cell"]["value"])
        for store_id, part in self._lots.take(_key(source), points):
            self._lots.put(_key(target), store_id, part)
        self._moved[int(one["cell"]["sub"])] += int(source["cell"]["value"]) + points

    def _apply(self, sections: Sections, movement: Any, request: Any, store_id: str) -> None:
        key, points = _key(movement), int(movement["cell"]["value"])
        self._moved[key[1]] += points
        reason = int(movement["reason"])
        date = int(sections.header["business_date"])
        if reason == _layout.REASON_REVERSE and points > 0:
            seller = str(returned_receipt(request).store_id)
            self._give_back(date, original_of(sections), seller, key, points)
        elif points > 0:
            self._lots.put(key, store_id, points)
        elif reason == _layout.REASON_BURN:
            sale, redeemer = receipt_of(sections), where_of(request).store_id
            for issuer, part in self._lots.take(key, -points):
                self._spent[date, issuer, redeemer, key[1]] += part
                if sale:
                    self._paid.setdefault(sale, []).append((issuer, redeemer, part))
        else:
            self._lots.take(key, -points, store_id)

    def _give_back(self, date: int, sale: int, seller: str, key: LotKey, points: int) -> None:
        """Put points that had paid back, what was spent last before the others."""
        paid = self._paid.get(sale, [])
        while paid and points > 0:
            issuer, redeemer, there = paid.pop()
            part = min(there, points)
            if part < there:
                paid.append((issuer, redeemer, there - part))
            points -= part
            self._lots.put(key, issuer, part)
            self._given_back[date, issuer, redeemer, key[1]] += part
        if points > 0:
            # They had paid at another node, whose journal knows whose they were.
            self._lots.put(key, NO_STORE, points)
            self._given_back[date, NO_STORE, seller, key[1]] += points

    def table(self) -> Table:
        """Return the rows of the span: a store's own points that were spent there among them."""
        rows = []
        for date, issuer, redeemer, purse in sorted(self._spent.keys() | self._given_back.keys()):
            if self._from_date <= date <= self._to_date:
                place = (date, issuer, redeemer, purse)
                name = self._purse_names.get(purse, f"#{purse}")
                rows.append(
                    (date, issuer, redeemer, name, self._spent[place], self._given_back[place])
                )
        return Table(COLUMNS, rows)

    def prove(self) -> Proof:
        """Hold what was spent against the answers, and what stores' lots hold against all lots."""
        proof = Proof()
        spent: Counter[str] = Counter()
        for row in self.table().rows:
            spent[str(row[3])] += int(row[4]) - int(row[5])
        for purse_id in sorted(spent.keys() | self._told.keys()):
            what = f"{purse_id}: spent less given back, by the answers"
            proof.add(what, spent[purse_id], self._told[purse_id])
        left = by_purse(self._lots.left(), self._purse_names)
        moved = by_purse(self._moved, self._purse_names)
        for purse_id in sorted(left.keys() | moved.keys()):
            what = f"{purse_id}: left in lots of all stores, by movements"
            proof.add(what, left[purse_id], moved[purse_id])
        return proof


def _key(movement: Any) -> LotKey:
    cell = movement["cell"]
    return (int(movement["record"]["hi"]), int(cell["sub"]), int(cell["day"]), int(cell["key"]))


def _is_transfer(one: Any, other: Any) -> bool:
    """Tell whether two movements that stand together are one lot becoming another's."""
    reasons = {int(one["reason"]), int(other["reason"])}
    if reasons != {_layout.REASON_ADJUST} or one["cell"]["sub"] != other["cell"]["sub"]:
        return False
    return int(one["cell"]["value"]) == -int(other["cell"]["value"]) != 0


def _store_of(request: Any) -> str:
    """Return the store whose points an entry gives or takes back: that of the sale."""
    fields = request.DESCRIPTOR.fields_by_name
    for name in ("original_receipt", "receipt"):
        if name in fields and request.HasField(name):
            return str(getattr(request, name).store_id)
    if "basket" in fields:
        return str(request.basket.store_id)
    if isinstance(request, checkout_pb2.VoidTransactionRequest):
        return str(request.context.store_id)
    return NO_STORE


def read_clearing(
    source: Source,
    from_date: int,
    to_date: int,
    purse_names: dict[int, str],
    advance: Advance | None = None,
) -> Clearing:
    """Return what stores owe each other for points over a span of business dates.

    Cost: the journal from its first entry on, once.

    Raises
    ------
    NotFoundError
        LSN_NOT_KEPT: the journal was pruned, and who issued the first lots is not in it.
    """
    if source.first_lsn > 1:
        raise refuse("LSN_NOT_KEPT", "lsn 1", "the journal was pruned: the first lots are gone")
    clearing = Clearing(from_date, to_date, purse_names)
    for page in walk(source, source.first_lsn, advance):
        for entry in page.entries:
            clearing.add(split_entry(entry))
    return clearing
