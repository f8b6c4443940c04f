"""Holds what the lanes were told against the period totals, by store and by business date.

The totals of all stores are read from the journal's files as ``checklane report periods`` reads
them; those of the busiest store are also asked of the server, over the wire.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

import grpc

from checklane.books.periods import Part, Query, read_periods
from checklane.books.walk import StoredJournal
from checklane.demo.data import Records
from checklane.demo.feeds import store_id
from checklane.demo.lane import ACK_RETURN, ACK_SALE, ACK_VOID
from checklane.demo.program import PURSES
from checklane.errors import from_rpc_error
from checklane.ledger.files import audit, journal_directory
from checklane.v1 import ledger_pb2

__all__ = ["ask_periods", "audit_periods", "compare"]

GET_PERIOD_TOTALS = "/checklane.v1.LedgerService/GetPeriodTotals"
TIMEOUT_S = 600
#: Store and business date.
Key = tuple[str, int]


def told_periods(acks: Records) -> dict[Key, Counter[str]]:
    """Return what the answers sum to: money of sales less what voids and returns gave back."""
    sums: dict[Key, Counter[str]] = defaultdict(Counter)
    counted = {
        ACK_SALE: {"sales": 1},
        ACK_VOID: {"sales": -1, "voids": 1},
        ACK_RETURN: {"returns": 1},
    }
    fields = ("store", "business_date", "kind", "due_minor")
    columns = (acks[name].tolist() for name in fields)
    for store, date, kind, due_minor, points in zip(*columns, acks["points"].tolist(), strict=True):
        part = sums[store_id(store), date]
        part.update(counted[kind])
        part["due_minor"] += due_minor
        part.update(dict(zip(PURSES, points, strict=True)))
    return sums


def _found(part: "Part | ledger_pb2.PeriodTotals") -> Counter[str]:
    """Return one part of the totals, as `told_periods` names its sums."""
    found = Counter(
        sales=part.sale_count,
        voids=part.void_count,
        returns=part.return_count,
        due_minor=part.due_minor,
    )
    if isinstance(part, Part):
        found.update(part.points)
    else:
        found.update({each.purse_id: each.points for each in part.points})
    return found


def audit_periods(address: str, data: Path, acks: Records) -> tuple[int, list[str]]:
    """Return how many stores and dates were compared, and what differs.

    Parameters
    ----------
    address : str
        Of the server that is still running; nothing may change meanwhile.
    data : Path
        Its data directory.
    acks : array of lane.ACK
    """
    told = told_periods(acks)
    if not told:
        return 0, []
    dates = [date for _, date in told]
    names = dict(enumerate(PURSES, 1))
    query = Query(min(dates), max(dates), by_till=False)
    with audit(journal_directory(data)) as opened:
        parts = read_periods(StoredJournal(opened), query, names).parts
    found = {(key.store_id, key.business_date): _found(part) for key, part in parts.items()}
    differences = compare(told, found, "the period totals")
    busiest, _ = Counter(store for store, _ in told).most_common(1)[0]
    of_store = {key: sums for key, sums in told.items() if key[0] == busiest}
    try:
        totals = ask_periods(address, busiest, query).totals
    except grpc.RpcError as failure:
        return len(told), [*differences, f"period totals: {from_rpc_error(failure)}"]
    answered = {(busiest, part.business_date): _found(part) for part in totals}
    return len(told), differences + compare(of_store, answered, "GetPeriodTotals")


def ask_periods(address: str, store: str, query: Query) -> ledger_pb2.GetPeriodTotalsResponse:
    """Ask the server for the totals of a store by date.

    Raises
    ------
    grpc.RpcError
    """
    request = ledger_pb2.GetPeriodTotalsRequest(
        store_id=store,
        from_date=query.from_date,
        to_date=query.to_date,
        grouping=ledger_pb2.PERIOD_GROUPING_DATE,
    )
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(
            GET_PERIOD_TOTALS,
            request_serializer=ledger_pb2.GetPeriodTotalsRequest.SerializeToString,
            response_deserializer=ledger_pb2.GetPeriodTotalsResponse.FromString,
        )
        answer: ledger_pb2.GetPeriodTotalsResponse = call(request, timeout=TIMEOUT_S)
    return answer


def compare(
    told: Mapping[Key, Counter[str]], found: Mapping[Key, Counter[str]], whose: str
) -> list[str]:
    """Return the sums that differ, by store and date.

    Parameters
    ----------
    told : mapping
        By the answers.
    found : mapping
        By a book.
    whose : str
        What the book is called.
    """
    differences = []
    for key in sorted(told.keys() | found.keys()):
        mine, theirs = told.get(key, Counter()), found.get(key, Counter())
        differences += [
            f"{name} of {key[0]} on {key[1]}: {mine[name]:,} by the answers, {theirs[name]:,}"
            f" by {whose}"
            for name in sorted(mine.keys() | theirs.keys())
            if mine[name] != theirs[name]
        ]
    return differences
