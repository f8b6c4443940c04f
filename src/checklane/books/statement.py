"""One account group's statement: what was there, what came, what went, what is left.

Dates are business dates; an entry without one, as of a hold, has its date of posting. What another
member's sale moved here, as a referral does, is told as points alone: the sale is theirs.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from checklane import _layout
from checklane.books.dates import posted_date
from checklane.books.entries import Records, Sections, split_entry
from checklane.books.figures import (
    by_purse,
    has_effect,
    lots_moved,
    messages_of,
    points_captured,
    points_of_referrer,
    points_told,
)
from checklane.books.lots import Flows, Lots
from checklane.books.proof import Column, Proof, Table
from checklane.books.walk import Advance, Source, walk_whole
from checklane.v1 import checkout_pb2, decision_pb2, member_pb2

__all__ = ["Asked", "Statement", "read_statement", "statement_table"]

_KIND = member_pb2.MemberEntryKind
#: What each kind of entry is to a member; any other that moves points is an adjustment.
KINDS = {
    _layout.ENTRY_COMMIT: _KIND.MEMBER_ENTRY_KIND_SALE,
    _layout.ENTRY_VOID: _KIND.MEMBER_ENTRY_KIND_VOID,
    _layout.ENTRY_RETURN: _KIND.MEMBER_ENTRY_KIND_RETURN,
    _layout.ENTRY_CLAIM: _KIND.MEMBER_ENTRY_KIND_CLAIM,
    _layout.ENTRY_MERGE: _KIND.MEMBER_ENTRY_KIND_MERGE,
    _layout.ENTRY_HOLD_CAPTURE: _KIND.MEMBER_ENTRY_KIND_HOLD,
}
#: Kinds whose answers tell the points with their reasons.
TOLD = (
    _layout.ENTRY_COMMIT,
    _layout.ENTRY_VOID,
    _layout.ENTRY_RETURN,
    _layout.ENTRY_CLAIM,
)
COLUMNS = (
    Column("business_date"),
    Column("lsn"),
    Column("kind", is_text=True),
    Column("store_id", is_text=True),
    Column("till_id", is_text=True),
    Column("sequence"),
    Column("due_minor"),
    Column("discount_minor"),
    Column("purse_id", is_text=True),
    Column("points"),
)


@dataclass(frozen=True)
class Asked:
    """Which statement.

    Attributes
    ----------
    group : int
        The account group.
    from_date, to_date : int
        Both inclusive.
    from_lsn : int
        Entries before this position are summed and not listed. Default: all are listed.
    entry_count : int
        Entries that are listed at most. Default: all.
    """

    group: int
    from_date: int
    to_date: int
    from_lsn: int = 0
    entry_count: int = 2**63


@dataclass
class Statement:
    """A statement.

    Attributes
    ----------
    purses : dict of str to Flows
        By purse id.
    entries : list of MemberEntry
        Oldest posting first.
    next_lsn : int
        Where the list goes on; 0: it is whole.
    as_of_lsn : int
    told : Counter of str
        The points of all entries of the span as their answers say, whether listed or not.
    """

    purses: dict[str, Flows]
    as_of_lsn: int
    entries: list[member_pb2.MemberEntry] = field(default_factory=list)
    next_lsn: int = 0
    told: Counter[str] = field(default_factory=Counter)

    def prove(self) -> Proof:
        """Hold each purse against itself, and what moved against the entries."""
        proof = Proof()
        for purse_id, flows in sorted(self.purses.items()):
            moved = flows.earned + flows.spent + flows.reversed + flows.adjusted
            carried = flows.opening + moved - flows.expired
            proof.add(f"{purse_id}: opening and what moved, by closing", carried, flows.closing)
            proof.add(f"{purse_id}: what moved, by the entries", moved, self.told[purse_id])
        return proof


class _Reader:
    """Gathers one statement, entry by entry."""

    def __init__(self, asked: Asked, purse_names: dict[int, str], as_of_lsn: int) -> None:
        self._asked = asked
        self._names = purse_names
        self._lots = Lots(asked.from_date, asked.to_date)
        self._key = np.uint64(asked.group)
        self.statement = Statement({}, as_of_lsn)

    def add(self, entry: bytes) -> None:
        """Add an entry that may concern the group."""
        sections = split_entry(entry)
        keys = sections.movements["record"]
        is_own = (keys["family"] == _layout.FAMILY_GROUP) & (keys["hi"] == self._key)
        movements = sections.movements[is_own]
        header = sections.header
        date = int(header["business_date"]) or posted_date(int(header["post_unix_ms"]))
        self._lots.add(date, movements)
        if self._asked.from_date <= date <= self._asked.to_date:
            self._list(sections, movements, date)

    def finish(self) -> Statement:
        """Return the statement when all entries were added."""
        sums: dict[str, Flows] = defaultdict(Flows)
        for (purse, _), flows in self._lots.flows().items():
            sums[self._names.get(purse, f"#{purse}")].add(flows)
        self.statement.purses = dict(sums)
        return self.statement

    def _list(self, sections: Sections, movements: Records, date: int) -> None:
        kind = int(sections.header["kind"])
        is_own = int(sections.header["account_group"]) == self._asked.group
        found = member_pb2.MemberEntry(kind=KINDS.get(kind, _KIND.MEMBER_ENTRY_KIND_ADJUSTMENT))
        if is_own and kind in TOLD:
            request, response = messages_of(sections)
            if kind == _layout.ENTRY_COMMIT and not has_effect(response):
                return
            _tell(found, request, response)
            captured = points_captured(sections, request, response, self._names)
            for purse_id, moved in sorted(captured.items()):
                if moved:
                    found.points.add(purse_id=purse_id, points=moved)
            self.statement.told.update(points_told(request, response))
            self.statement.told.subtract(points_of_referrer(response))
            self.statement.told.update(captured)
            if kind == _layout.ENTRY_COMMIT and response.HasField("reversal"):
                self._tell_back(found, movements, response)
        else:
            if kind in TOLD:
                found.kind = _KIND.MEMBER_ENTRY_KIND_ADJUSTMENT
            points = by_purse(lots_moved(movements), self._names)
            if not any(points.values()):
                return
            self.statement.told.update(points)
            for purse_id, moved in sorted(points.items()):
                found.points.add(purse_id=purse_id, points=moved, reason=_reason(kind))
            if kind == _layout.ENTRY_ADJUST:
                found.reason = messages_of(sections)[0].reason
        self._keep(found, sections, date)

    def _tell_back(self, found: member_pb2.MemberEntry, movements: Records, response: Any) -> None:
        """Tell what goods that came back with a sale moved here: their sale may be another's."""
        for award in response.reversal.points:
            self.statement.told[award.purse_id] -= award.points
        reasons = movements["reason"]
        is_back = (reasons == _layout.REASON_REVERSE) | (reasons == _layout.REASON_CLAW_BACK)
        for purse_id, moved in sorted(
            by_purse(lots_moved(movements[is_back]), self._names).items()
        ):
            if moved:
                self.statement.told[purse_id] += moved
                found.points.add(
                    purse_id=purse_id, points=moved, reason=decision_pb2.EARN_REASON_RETURN
                )

    def _keep(self, found: member_pb2.MemberEntry, sections: Sections, date: int) -> None:
        lsn = int(sections.header["lsn"])
        if lsn < self._asked.from_lsn or self.statement.next_lsn:
            return
        if len(self.statement.entries) >= self._asked.entry_count:
            self.statement.next_lsn = lsn
            return
        found.posting.lsn = lsn
        found.posting.post_time_unix_ms = int(sections.header["post_unix_ms"])
        found.posting.business_date = date
        self.statement.entries.append(found)


def _reason(kind: int) -> "decision_pb2.EarnReason":
    if kind == _layout.ENTRY_MERGE:
        return decision_pb2.EARN_REASON_MERGE
    if kind == _layout.ENTRY_ADJUST:
        return decision_pb2.EARN_REASON_ADJUSTMENT
    return decision_pb2.EARN_REASON_UNSPECIFIED


def _tell(found: member_pb2.MemberEntry, request: Any, response: Any) -> None:
    """Fill in receipt, money and points of a sale, void, return or claim."""
    if request.HasField("receipt"):
        found.receipt.CopyFrom(request.receipt)
    if isinstance(response, checkout_pb2.CommitTransactionResponse):
        decision = response.decision
        found.due_minor = decision.totals.due_minor
        found.discount_minor = decision.totals.discount_minor
        found.points.extend(decision.earned)
        for taken in decision.redemptions:
            if taken.state == decision_pb2.REDEMPTION_STATE_TAKEN:
                found.points.add(
                    purse_id=taken.purse_id,
                    points=-taken.points,
                    offer_id=taken.offer_id,
                    offer_version=taken.offer_version,
                    line_id=taken.line_id,
                )
        return
    if isinstance(response, checkout_pb2.ClaimTransactionResponse):
        found.points.extend(response.earned)
        return
    reversal = response.reversal
    found.due_minor = -reversal.refund_minor
    found.discount_minor = -sum(line.discount_minor for line in reversal.lines)
    referral = decision_pb2.EARN_REASON_REFERRAL
    found.points.extend(part for part in reversal.points if part.reason != referral)
    if isinstance(request, checkout_pb2.VoidTransactionRequest):
        found.reason = request.reason


def read_statement(
    source: Source, asked: Asked, purse_names: dict[int, str], advance: Advance | None = None
) -> Statement:
    """Return a group's statement.

    Cost: the journal from its first entry on, once; only entries that name the group are looked at.

    Raises
    ------
    NotFoundError
        LSN_NOT_KEPT: the journal was pruned, and what was there when it begins is not in it.
    """
    reader = _Reader(asked, purse_names, source.last_lsn)
    needle = asked.group.to_bytes(8, "little")
    for page in walk_whole(source, advance):
        for entry in page.entries:
            if needle in entry:
                reader.add(entry)
    return reader.finish()


def statement_table(statement: Statement) -> Table:
    """Return the entries as rows, one for each purse that an entry moved, or one without."""
    rows = []
    for entry in statement.entries:
        points: Counter[str] = Counter()
        for each in entry.points:
            points[each.purse_id] += each.points
        name = _KIND.Name(entry.kind).removeprefix("MEMBER_ENTRY_KIND_")
        receipt, posting = entry.receipt, entry.posting
        head = (posting.business_date, posting.lsn, name, receipt.store_id, receipt.till_id)
        money = (receipt.sequence, entry.due_minor, entry.discount_minor)
        for purse_id, moved in sorted(points.items()) or [("", 0)]:
            rows.append((*head, *money, purse_id, moved))
            money = (receipt.sequence, 0, 0)
    return Table(COLUMNS, rows)
