"""LedgerService's sums over the journal: each call walks it, beside all other work.

A walk takes as long as there are entries, so it takes one of the places that streams have and none
of those that single calls need, and it ends when its caller has gone.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import grpc
import numpy as np
from google.protobuf.message import DecodeError, Message

from checklane import _layout
from checklane.books.dates import is_date
from checklane.books.lots import Flows
from checklane.books.periods import Gap, Part, PartKey, Query, read_periods
from checklane.books.purses import purse_names
from checklane.books.statement import Asked, read_statement
from checklane.books.walk import LiveJournal
from checklane.errors import ChecklaneError, refuse
from checklane.server.calls import CORRELATION_KEY, Calls, EngineLike, abort
from checklane.server.open_streams import StreamSlots
from checklane.server.wire import correlation_id
from checklane.tables.files import read_records, read_snapshot
from checklane.tables.hashing import name_key
from checklane.v1 import ledger_pb2, member_pb2

__all__ = ["BooksMethods"]

ID_BYTES_MAX = 64
#: Parts of an answer: a year of 27 tills, some 1.5 MB. A caller that wants more asks by month.
PARTS_MAX = 10_000
#: Spans of missing receipt numbers that are told.
GAPS_MAX = 1000
#: Entries of a page of a statement: when the caller does not say, and at most.
STATEMENT_PAGE, STATEMENT_PAGE_MAX = 200, 1000
#: The position of the first entry of a page.
PAGE_TOKEN = re.compile(r"[1-9][0-9]{0,17}")

#: Returns the file of what is live of a kind; None when nothing is.
LiveFile = Callable[[str], Path | None]

_Grouping = ledger_pb2.PeriodGrouping
RequestT = TypeVar("RequestT", bound=Message)


class BooksMethods:
    """Serves GetPeriodTotals and GetStatement.

    Parameters
    ----------
    engine : EngineLike
    calls : Calls
        Counts them like every call.
    slots : StreamSlots
    live_file : callable
        Returns the file of what is live of a kind of snapshot, or None.
    """

    def __init__(
        self, engine: EngineLike, calls: Calls, slots: StreamSlots, live_file: LiveFile
    ) -> None:
        self._engine = engine
        self._calls = calls
        self._slots = slots
        self._live_file = live_file

    def period_totals(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve one GetPeriodTotals; grpcio's handler."""
        return self._serve("LedgerService.GetPeriodTotals", self._period_totals, data, context)

    def statement(self, data: bytes, context: grpc.ServicerContext) -> bytes:
        """Serve one GetStatement; grpcio's handler."""
        return self._serve("LedgerService.GetStatement", self._statement, data, context)

    def _serve(
        self,
        name: str,
        method: Callable[[bytes, grpc.ServicerContext], Message],
        data: bytes,
        context: grpc.ServicerContext,
    ) -> bytes:
        self._slots.take(context)
        echo = correlation_id(data)
        if echo:
            context.set_trailing_metadata(((CORRELATION_KEY, echo),))
        try:
            return self._calls.measured(name, lambda: method(data, context).SerializeToString())
        except ChecklaneError as error:
            abort(context, error, echo)

    def _period_totals(
        self, data: bytes, context: grpc.ServicerContext
    ) -> ledger_pb2.GetPeriodTotalsResponse:
        request = _parse(ledger_pb2.GetPeriodTotalsRequest, data)
        query = _query_of(request)
        self._check_store(request.store_id)
        journal, advance = LiveJournal(self._engine), _while_active(context)
        found = read_periods(journal, query, self._purse_names(), advance)
        if request.grouping == _Grouping.PERIOD_GROUPING_STORE and not found.parts:
            none = PartKey(query.store_id, 0, query.till_id, query.shift_id)
            found.parts[none] = Part(is_closed=found.is_closed(none))
        return ledger_pb2.GetPeriodTotalsResponse(
            totals=(_told(key, found.parts[key]) for key in sorted(found.parts)),
            missing=(_gap(gap) for gap in found.gaps()[:GAPS_MAX]),
            as_of_lsn=found.as_of_lsn,
        )

    def _statement(
        self, data: bytes, context: grpc.ServicerContext
    ) -> ledger_pb2.GetStatementResponse:
        request = _parse(ledger_pb2.GetStatementRequest, data)
        from_lsn = _check_statement(request)
        get_member = member_pb2.GetMemberRequest(context=request.context, member=request.member)
        answer = self._calls.answer("MemberService.GetMember", get_member.SerializeToString())
        member = member_pb2.GetMemberResponse.FromString(answer).member
        found = read_statement(
            LiveJournal(self._engine),
            Asked(
                group=member.group_number,
                from_date=request.from_date,
                to_date=request.to_date,
                from_lsn=from_lsn,
                entry_count=request.page_size or STATEMENT_PAGE,
            ),
            self._purse_names(),
            _while_active(context),
        )
        return ledger_pb2.GetStatementResponse(
            purses=(_purse(purse_id, flows) for purse_id, flows in sorted(found.purses.items())),
            entries=found.entries,
            next_page_token=str(found.next_lsn) if found.next_lsn else "",
            as_of_lsn=found.as_of_lsn,
        )

    def _purse_names(self) -> dict[int, str]:
        program = self._live_file("program")
        return purse_names([program] if program is not None else [])

    def _check_store(self, store_id: str) -> None:
        """Refuse a store that the live catalogue does not have."""
        catalogue = self._live_file("catalogue")
        if catalogue is None:
            raise refuse("PROGRAM_MISSING")
        stores = read_records(read_snapshot(catalogue), "stores", _layout.STORE)
        if not np.any(stores["key"] == np.uint64(name_key("store", store_id))):
            raise refuse("STORE_UNKNOWN", "store_id")


def _parse(request_class: type[RequestT], data: bytes) -> RequestT:
    request = request_class()
    try:
        request.ParseFromString(data)
    except DecodeError:
        raise refuse("REQUEST_MALFORMED") from None
    return request


def _while_active(context: grpc.ServicerContext) -> Callable[[int], None]:
    """Return what a walk calls on its way: it ends the walk when the caller has gone."""

    def advance(_: int) -> None:
        if not context.is_active():
            raise refuse("DEADLINE_PASSED", "", "the caller has gone")

    return advance


def _query_of(request: ledger_pb2.GetPeriodTotalsRequest) -> Query:
    """Return what is asked for; refusals in their order of precedence."""
    for place in ("store_id", "till_id", "shift_id"):
        if len(getattr(request, place).encode()) > ID_BYTES_MAX:
            raise refuse("TEXT_TOO_LONG", place)
    if not request.store_id:
        raise refuse("FIELD_REQUIRED", "store_id")
    if request.from_date == 0:
        raise refuse("FIELD_REQUIRED", "from_date")
    to_date = request.to_date or request.from_date
    if to_date < request.from_date:
        raise refuse("FIELD_OUT_OF_RANGE", "to_date")
    if request.grouping not in _Grouping.values():
        raise refuse("ENUM_UNKNOWN", "grouping")
    for place, number in (("from_date", request.from_date), ("to_date", to_date)):
        if not is_date(number):
            raise refuse("BUSINESS_DATE_INVALID", place)
    grouping = request.grouping or _Grouping.PERIOD_GROUPING_TILL
    return Query(
        from_date=request.from_date,
        to_date=to_date,
        store_id=request.store_id,
        till_id=request.till_id,
        shift_id=request.shift_id,
        by_date=grouping != _Grouping.PERIOD_GROUPING_STORE,
        by_till=grouping in (_Grouping.PERIOD_GROUPING_TILL, _Grouping.PERIOD_GROUPING_SHIFT),
        by_shift=grouping == _Grouping.PERIOD_GROUPING_SHIFT,
        parts_max=PARTS_MAX,
    )


def _check_statement(request: ledger_pb2.GetStatementRequest) -> int:
    """Refuse what cannot be answered, in order of precedence; return where the page begins."""
    named = len(request.member.ListFields())
    for place, is_missing in (
        ("member", named == 0),
        ("from_date", request.from_date == 0),
        ("to_date", request.to_date == 0),
    ):
        if is_missing:
            raise refuse("FIELD_REQUIRED", place)
    token = request.page_token
    for place, is_wrong in (
        ("member", named > 1),
        ("to_date", request.to_date < request.from_date),
        ("page_size", not 0 <= request.page_size <= STATEMENT_PAGE_MAX),
        ("page_token", token != "" and not PAGE_TOKEN.fullmatch(token)),
    ):
        if is_wrong:
            raise refuse("FIELD_OUT_OF_RANGE", place)
    for place in ("from_date", "to_date"):
        if not is_date(getattr(request, place)):
            raise refuse("BUSINESS_DATE_INVALID", place)
    return int(token or 0)


def _purse(purse_id: str, flows: Flows) -> ledger_pb2.StatementPurse:
    """Return one purse as the contract tells it: what went is positive there."""
    return ledger_pb2.StatementPurse(
        purse_id=purse_id,
        opening_points=flows.opening,
        earned_points=flows.earned,
        spent_points=-flows.spent,
        reversed_points=-flows.reversed,
        expired_points=flows.expired,
        adjusted_points=flows.adjusted,
        closing_points=flows.closing,
    )


def _told(key: PartKey, part: Part) -> ledger_pb2.PeriodTotals:
    """Return one part as the contract tells it."""
    told = ledger_pb2.PeriodTotals(
        business_date=key.business_date,
        till_id=key.till_id,
        shift_id=key.shift_id,
        sale_count=part.sale_count,
        void_count=part.void_count,
        return_count=part.return_count,
        gross_minor=part.gross_minor,
        discount_minor=part.discount_minor,
        refund_minor=part.refund_minor,
        due_minor=part.due_minor,
        price_reduction_minor=part.price_reduction_minor,
        third_party_minor=part.third_party_minor,
        tender_minor=part.tender_minor,
        exception_count=part.exception_count,
        late_count=part.late_count,
        closed=part.is_closed,
    )
    for purse_id, points in sorted(part.points.items()):
        told.points.add(purse_id=purse_id, points=points)
    return told


def _gap(gap: Gap) -> ledger_pb2.SequenceGap:
    return ledger_pb2.SequenceGap(
        till_id=gap.till_id,
        business_date=gap.business_date,
        from_sequence=gap.from_sequence,
        to_sequence=gap.to_sequence,
    )
