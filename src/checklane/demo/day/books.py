"""Holds the till's own account of a day against every book that is read from the journal.

Period totals over the wire and from the journal's files, missing receipt numbers, the settlement,
the points owed, statements, and what the accounts hold now. Each difference is told with its place.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc

from checklane.books.dates import posted_date
from checklane.books.lots import read_liability
from checklane.books.periods import Part, Query, read_periods
from checklane.books.proof import Proof
from checklane.books.settlement import read_settlement
from checklane.books.statement import Asked, read_statement
from checklane.books.walk import StoredJournal
from checklane.client import Lane
from checklane.clock import SYSTEM_CLOCK
from checklane.demo.data import Records
from checklane.demo.day.account import MONEY, Place, TillAccount
from checklane.demo.feeds import card_number
from checklane.demo.periods import ask_periods, compare
from checklane.demo.program import PURSES
from checklane.errors import from_rpc_error
from checklane.ledger.files import audit, journal_directory
from checklane.v1 import ledger_pb2

__all__ = ["Before", "points_before", "reconcile"]

#: Sums of a period besides its money and points.
COUNTS = ("sale_count", "void_count", "return_count", "exception_count", "late_count")
#: Statements that are read: those of the cards that moved most kinds of points.
STATEMENTS_MAX = 5
PURSE_NAMES = dict(enumerate(PURSES, 1))

#: Points that each card had before the day, by purse.
Before = Mapping[str, Counter[str]]


def points_before(acks: Records) -> Before:
    """Return the points that each card has after a replay.

    Parameters
    ----------
    acks : array of lane.ACK
    """
    points: dict[str, Counter[str]] = defaultdict(Counter)
    rows = zip(acks["household"].tolist(), acks["points"].tolist(), strict=True)
    for household, moved in rows:
        points[card_number(household)].update(dict(zip(PURSES, moved, strict=True)))
    return points


def reconcile(address: str, data: Path, account: TillAccount, before: Before) -> list[str]:
    """Return what differs between the account and the books, the first difference first.

    Parameters
    ----------
    address : str
        Of the server that is still running; nothing may change meanwhile.
    data : Path
        Its data directory.
    account : TillAccount
    before : mapping of str to Counter
        Every card that may have points.
    """
    query = _query(account)
    with ThreadPoolExecutor(1) as pool, audit(journal_directory(data)) as opened:
        # The server adds up while the files are read here.
        answered = pool.submit(_by_wire, address, account, query)
        groups, of_accounts = _by_accounts(address, account, before)
        journal = StoredJournal(opened)
        of_reports = [
            *_by_journal(journal, account, query),
            *_by_settlement(journal, account, query),
            *_by_liability(journal, account, before),
            *_by_statements(journal, account, before, groups, query),
        ]
        return [*account.faults, *answered.result(), *of_accounts, *of_reports]


def _query(account: TillAccount) -> Query:
    dates = [date for _, date in account.sums]
    return Query(min(dates), max(dates), by_till=False)


def _sums(part: "Part | ledger_pb2.PeriodTotals") -> Counter[str]:
    """Return one part of the totals as the account names its sums."""
    found = Counter({name: int(getattr(part, name)) for name in (*COUNTS, *MONEY)})
    points = (
        part.points
        if isinstance(part, Part)
        else {each.purse_id: each.points for each in part.points}
    )
    found.update({f"points.{purse_id}": moved for purse_id, moved in points.items()})
    return found


def _proven(proof: Proof, whose: str) -> Iterator[str]:
    """Tell the sums of a report that do not add up to the journal."""
    for what, reported, other in proof.sums:
        if reported != other:
            yield f"{whose}: {what}: {reported:,} is not {other:,}"


# ---- period totals


def _by_wire(address: str, account: TillAccount, query: Query) -> list[str]:
    """Compare with what the server answers for each store, and look for missing receipts."""
    found: dict[Place, Counter[str]] = {}
    differences = []
    for store in sorted({store for store, _ in account.sums}):
        try:
            answer = ask_periods(address, store, query)
        except grpc.RpcError as failure:
            return [f"period totals of {store}: {from_rpc_error(failure)}"]
        for part in answer.totals:
            place = (store, part.business_date)
            found[place] = _sums(part)
            if part.closed != (part.business_date <= account.closed.get(store, 0)):
                differences.append(f"{place}: closed is {part.closed} by GetPeriodTotals")
        for gap in answer.missing:
            span = f"{gap.from_sequence} to {gap.to_sequence}"
            differences.append(
                f"{store} on {gap.business_date}: till {gap.till_id} lacks receipts {span}"
            )
    return [*compare(account.sums, found, "GetPeriodTotals"), *differences]


def _by_journal(journal: StoredJournal, account: TillAccount, query: Query) -> Iterator[str]:
    periods = read_periods(journal, query, PURSE_NAMES)
    found = {(key.store_id, key.business_date): _sums(part) for key, part in periods.parts.items()}
    yield from compare(account.sums, found, "the period totals")
    yield from _proven(periods.prove(), "the period totals")


# ---- reports


def _by_settlement(journal: StoredJournal, account: TillAccount, query: Query) -> Iterator[str]:
    """Compare discounts by class, and what voids and returns took back of them."""
    settlement = read_settlement(journal, query.from_date, query.to_date)
    found: dict[Place, Counter[str]] = {}
    for date, store, _, _, settlement_class, sold, voided, returned, _ in settlement.table().rows:
        sums = found.setdefault((str(store), int(date)), Counter())
        sums[f"sold {str(settlement_class).lower()}_minor"] += int(sold)
        sums.update(voided=int(voided), returned=int(returned))
    yield from compare(account.settled, found, "the settlement")
    yield from _proven(settlement.prove(), "the settlement")


def _by_liability(journal: StoredJournal, account: TillAccount, before: Before) -> Iterator[str]:
    """Compare all points that are owed with what was there before and what came and went."""
    today = posted_date(SYSTEM_CLOCK.unix_ms())
    liability = read_liability(journal, today, today, PURSE_NAMES)
    owed: Counter[str] = Counter()
    for row in liability.table().rows:
        owed[str(row[0])] += int(row[-1])
    told = account.purse_sums()
    for card in before.values():
        told.update(card)
    for purse_id in PURSES:
        if owed[purse_id] != told[purse_id]:
            yield (
                f"{purse_id} owed: {told[purse_id]:,} by the answers, {owed[purse_id]:,} by the"
                " liability"
            )
    yield from _proven(liability.prove(), "the liability")


def _by_statements(
    journal: StoredJournal,
    account: TillAccount,
    before: Before,
    groups: Mapping[str, int],
    query: Query,
) -> Iterator[str]:
    """Compare the statements of the cards that moved most kinds of points."""
    by_kinds = sorted(groups, key=lambda card: (-len(account.cards[card]), card))
    last_date = max(query.to_date, posted_date(SYSTEM_CLOCK.unix_ms()))
    for card in by_kinds[:STATEMENTS_MAX]:
        asked = Asked(groups[card], query.from_date, last_date)
        statement = read_statement(journal, asked, PURSE_NAMES)
        told = Counter(before.get(card))
        found: Counter[str] = Counter()
        for purse_id, flows in statement.purses.items():
            found[purse_id] = flows.opening
            for kind in ("earned", "spent", "reversed"):
                found[f"{kind}.{purse_id}"] = getattr(flows, kind)
        told.update(account.cards[card])
        differing = (
            name for name in sorted(told.keys() | found.keys()) if told[name] != found[name]
        )
        for name in differing:
            yield (
                f"{name} of card {card}: {told[name]:,} by the answers, {found[name]:,} by its"
                " statement"
            )
        yield from _proven(statement.prove(), f"the statement of card {card}")


# ---- accounts


def _by_accounts(
    address: str, account: TillAccount, before: Before
) -> tuple[dict[str, int], list[str]]:
    """Compare the purses of every card of the day, and see that nothing is held.

    Returns
    -------
    tuple of dict and list
        The account group of each card of the day, and what differs.
    """
    groups: dict[str, int] = {}
    differences = []
    store = min(account.sums)[0]
    with Lane(address, store=store, till="office") as office:
        for card in sorted(card for card in account.cards if card):
            found = office.identify(card, include_holds=True)
            member = found.member()
            groups[card] = 0 if member is None else member.group_number
            told = Counter(before.get(card))
            for name, points in account.cards[card].items():
                told[name.partition(".")[2]] += points
            for balance in found.balances:
                owned = balance.available_points + balance.pending_points + balance.held_points
                if owned != told[balance.purse_id]:
                    differences.append(
                        f"{balance.purse_id} of card {card}: {told[balance.purse_id]:,} by the"
                        f" answers, {owned:,} by the account"
                    )
            differences += [f"card {card}: hold {hold.hold_id} is open" for hold in found.holds]
    return groups, differences
