"""Holds three books against each other: what the lanes were told, the journal, the accounts.

For each account group and purse the points of the acknowledged answers must be the points of the
journal's movements and the balance of the account, to the unit. Each acknowledged answer must stand
in the journal once, byte for byte, and the journal must hold no sale, void or return that nobody
was told of.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np

from checklane import _layout
from checklane.demo.data import Records
from checklane.demo.feeds import card_number
from checklane.demo.journal import Entry, JournalError, read_journal
from checklane.demo.lane import ACK_RETURN, ACK_SALE, ACK_VOID, digest
from checklane.demo.program import PURSES
from checklane.errors import from_rpc_error
from checklane.v1 import checkout_pb2, common_pb2, member_pb2

#: What a change is in the journal, and the answer that it was given.
ANSWERS: dict[int, tuple[int, Callable[[bytes], object]]] = {
    _layout.ENTRY_COMMIT: (ACK_SALE, checkout_pb2.CommitTransactionResponse.FromString),
    _layout.ENTRY_VOID: (ACK_VOID, checkout_pb2.VoidTransactionResponse.FromString),
    _layout.ENTRY_RETURN: (ACK_RETURN, checkout_pb2.ReturnItemsResponse.FromString),
}
GET_MEMBER = "/checklane.v1.MemberService/GetMember"
#: Differences that are told one by one; more are only counted.
DIFFERENCES_TOLD_MAX = 20

#: (group number, purse number) to points.
Points = dict[tuple[int, int], int]
#: Called with the entries or accounts that were read since the last call.
Advance = Callable[[int], None]


@dataclass
class Book:
    """The sums of one book, over sales less voids and returns."""

    changes: int = 0
    gross_minor: int = 0
    discount_minor: int = 0
    due_minor: int = 0
    points: Points = field(default_factory=dict)

    def purse_sums(self) -> tuple[int, ...]:
        """Return the points by purse, over all groups."""
        sums = [0] * len(PURSES)
        for (_, purse), points in self.points.items():
            if 1 <= purse <= len(PURSES):
                sums[purse - 1] += points
        return tuple(sums)


@dataclass
class Audit:
    """What the reconciliation found.

    Attributes
    ----------
    told, journal, accounts : Book
        The accounts hold points only.
    account_count : int
        Members that were asked for.
    differences : list of str
        Empty when the books agree.
    """

    told: Book
    journal: Book
    accounts: Book
    account_count: int
    differences: list[str]

    @property
    def is_reconciled(self) -> bool:
        """True when nothing differs."""
        return not self.differences

    def tell(self, differences: list[str]) -> None:
        """Add differences; only so many are told one by one, the rest are counted."""
        room = max(DIFFERENCES_TOLD_MAX - len(self.differences), 0)
        self.differences += differences[:room]
        if len(differences) > room:
            self.differences.append(f"... and {len(differences) - room} more differences")


def audit(address: str, data: Path, acks: Records, advance: Advance | None = None) -> Audit:
    """Reconcile the three books of a replay.

    Parameters
    ----------
    address : str
        Of the server that is still running; nothing may change meanwhile.
    data : Path
        Its data directory.
    acks : array of lane.ACK
    advance : callable, optional
    """
    tell = advance or _ignore
    differences: list[str] = []
    told = told_book(acks, differences)
    journal = journal_book(data, acks, differences, tell)
    accounts, count = account_book(address, acks, differences, tell)
    for name in ("changes", "gross_minor", "discount_minor", "due_minor"):
        _compare(differences, name, getattr(told, name), getattr(journal, name), "the journal")
    for book, whose in ((journal, "the journal"), (accounts, "the accounts")):
        for key in sorted(told.points.keys() | book.points.keys()):
            what = f"{purse_name(key[1])} of group {key[0]:016x}"
            _compare(differences, what, told.points.get(key, 0), book.points.get(key, 0), whose)
    if len(differences) > DIFFERENCES_TOLD_MAX:
        more = len(differences) - DIFFERENCES_TOLD_MAX
        differences[DIFFERENCES_TOLD_MAX:] = [f"... and {more} more differences"]
    return Audit(told, journal, accounts, count, differences)


def _ignore(_: int) -> None:
    """Advance nobody's bar."""


def _compare(differences: list[str], what: str, told: int, found: int, whose: str) -> None:
    if told != found:
        differences.append(f"{what}: {told:,} by the answers, {found:,} by {whose}")


def purse_name(number: int) -> str:
    """Return the name of a purse."""
    return PURSES[number - 1] if 1 <= number <= len(PURSES) else f"purse {number}"


def told_book(acks: Records, differences: list[str]) -> Book:
    """Return the book of the acknowledged answers."""
    doubled = len(acks) - len(np.unique(acks["lsn"]))
    if doubled:
        differences.append(f"{doubled:,} answers name the position of another answer")
    book = Book(
        changes=len(acks),
        gross_minor=int(acks["gross_minor"].sum()),
        discount_minor=int(acks["discount_minor"].sum()),
        due_minor=int(acks["due_minor"].sum()),
    )
    groups, at = np.unique(acks["group"], return_inverse=True)
    for purse in range(len(PURSES)):
        sums = np.zeros(len(groups), dtype=np.int64)
        np.add.at(sums, at, acks["points"][:, purse])
        for group, points in zip(groups.tolist(), sums.tolist(), strict=True):
            if points:
                book.points[group, purse + 1] = points
    return book


def journal_book(data: Path, acks: Records, differences: list[str], advance: Advance) -> Book:
    """Return the book of the journal: points by its movements, money by its recorded answers."""
    acked = {
        lsn: (kind, mark)
        for lsn, kind, mark in zip(
            acks["lsn"].tolist(), acks["kind"].tolist(), acks["digest"].tolist(), strict=True
        )
    }
    book = Book()
    try:
        for entry in read_journal(data):
            add_movements(book.points, entry.movements)
            if int(entry.header["kind"]) in ANSWERS:
                _check_entry(book, entry, acked, differences)
                advance(1)
    except JournalError as failure:
        differences.append(f"the journal ends early: {failure}")
    differences += [f"the answer with position {lsn} is not in the journal" for lsn in acked]
    return book


def _check_entry(
    book: Book, entry: Entry, acked: dict[int, tuple[int, int]], differences: list[str]
) -> None:
    """Add the money of one sale, void or return, and look for who was told of it."""
    kind, parse = ANSWERS[int(entry.header["kind"])]
    lsn = int(entry.header["lsn"])
    expected = acked.pop(lsn, None)
    if expected is None:
        differences.append(f"entry {lsn} was acknowledged to nobody")
    elif expected != (kind, digest(entry.response)):
        differences.append(f"entry {lsn} holds another answer than the one that was given")
    book.changes += 1
    add_money(book, parse(entry.response))


def add_movements(points: Points, movements: Records) -> None:
    """Add the lots and debts of one entry's movements."""
    kinds = movements["cell"]["kind"]
    is_lot, is_debt = kinds == _layout.CELL_LOT, kinds == _layout.CELL_DEBT
    for movement in movements[is_lot | is_debt]:
        cell = movement["cell"]
        sign = 1 if int(cell["kind"]) == _layout.CELL_LOT else -1
        key = (int(movement["record"]["hi"]), int(cell["sub"]))
        points[key] = points.get(key, 0) + sign * int(cell["value"])


def add_money(book: Book, answer: object) -> None:
    """Add the money of one recorded answer."""
    if isinstance(answer, checkout_pb2.CommitTransactionResponse):
        totals = answer.decision.totals
        book.gross_minor += totals.gross_minor
        book.discount_minor += totals.discount_minor
        book.due_minor += totals.due_minor
    elif isinstance(
        answer, checkout_pb2.VoidTransactionResponse | checkout_pb2.ReturnItemsResponse
    ):
        lines = answer.reversal.lines
        book.gross_minor -= sum(line.gross_minor for line in lines)
        book.discount_minor -= sum(line.discount_minor for line in lines)
        book.due_minor -= answer.reversal.refund_minor


def account_book(
    address: str, acks: Records, differences: list[str], advance: Advance
) -> tuple[Book, int]:
    """Return the book of the accounts, and how many members were asked for."""
    book = Book()
    seen: set[int] = set()
    households = np.unique(acks["household"]).tolist()
    with grpc.insecure_channel(address) as channel:
        get_member = channel.unary_unary(
            GET_MEMBER,
            request_serializer=member_pb2.GetMemberRequest.SerializeToString,
            response_deserializer=member_pb2.GetMemberResponse.FromString,
        )
        for household in households:
            card = common_pb2.Identifier(
                kind=common_pb2.IDENTIFIER_KIND_CARD, value=card_number(household)
            )
            ref = member_pb2.MemberRef(identifier=card)
            advance(1)
            try:
                answer = get_member(member_pb2.GetMemberRequest(member=ref), timeout=20)
            except grpc.RpcError as failure:
                differences.append(f"an account cannot be read: {from_rpc_error(failure)}")
                continue
            group = answer.member.group_number
            if group not in seen:
                seen.add(group)
                add_balances(book.points, answer.member)
    missing = set(np.unique(acks["group"]).tolist()) - seen
    differences += [f"no member has the group {group:016x}" for group in sorted(missing)]
    return book, len(households)


def add_balances(points: Points, member: member_pb2.Member) -> None:
    """Add the purses of one account group."""
    for balance in member.balances:
        number = PURSES.index(balance.purse_id) + 1
        total = balance.available_points + balance.pending_points + balance.held_points
        if total:
            points[member.group_number, number] = total
