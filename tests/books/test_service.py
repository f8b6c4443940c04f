"""GetPeriodTotals over the management port: the same totals, and every refusal by its name."""

import grpc
import pytest

from checklane import errors
from checklane.v1 import common_pb2, ledger_pb2
from tests.books.day import DATES, SUMS
from tests.books.test_periods import by_clerk, without_zeros

GROUPINGS = {
    "store": {"by_date": False, "by_till": False},
    "date": {"by_till": False},
    "till": {},
    "shift": {"by_shift": True},
}


@pytest.fixture
def totals(ledger):
    return lambda **fields: ledger.GetPeriodTotals(
        ledger_pb2.GetPeriodTotalsRequest(**fields), timeout=60
    )


@pytest.mark.parametrize("grouping", GROUPINGS)
def test_totals_are_the_clerks(day, totals, grouping):
    answer = totals(
        store_id="S1",
        from_date=DATES[0],
        to_date=DATES[2],
        grouping=ledger_pb2.PeriodGrouping.Value(f"PERIOD_GROUPING_{grouping.upper()}"),
    )
    found = [("S1", part.business_date, part.till_id, part.shift_id) for part in answer.totals]
    assert found == sorted(found)
    asked = {"store_id": "S1", **GROUPINGS[grouping]}
    sums = {
        key: {name: getattr(part, name) for name in SUMS}
        for key, part in zip(found, answer.totals, strict=True)
    }
    assert without_zeros(sums) == by_clerk(day.clerk.sums, asked)
    points = {
        key: {each.purse_id: each.points for each in part.points}
        for key, part in zip(found, answer.totals, strict=True)
    }
    assert without_zeros(points) == by_clerk(day.clerk.points, asked)
    for part in answer.totals:
        assert part.due_minor == part.gross_minor - part.discount_minor - part.refund_minor
    missing = [
        ("S1", gap.business_date, gap.till_id, number)
        for gap in answer.missing
        for number in range(gap.from_sequence, gap.to_sequence + 1)
    ]
    assert missing == [gap for gap in day.clerk.gaps() if gap[0] == "S1"]
    assert answer.as_of_lsn == day.shop.lsn


def test_defaults_are_by_till_and_of_one_date(totals):
    answer = totals(store_id="S2", from_date=DATES[1])
    assert {part.business_date for part in answer.totals} == {DATES[1]}
    assert {part.till_id for part in answer.totals} == {"7", "9"}
    (part,) = totals(
        store_id="S2", from_date=20300101, grouping=ledger_pb2.PERIOD_GROUPING_STORE
    ).totals
    assert part == ledger_pb2.PeriodTotals()


GOOD = {"store_id": "S1", "from_date": DATES[0]}


@pytest.mark.parametrize(
    ("fields", "reason", "place"),
    [
        ({"store_id": ""}, "FIELD_REQUIRED", "store_id"),
        ({"from_date": 0}, "FIELD_REQUIRED", "from_date"),
        ({"till_id": "t" * 65}, "TEXT_TOO_LONG", "till_id"),
        ({"shift_id": "s" * 65, "store_id": ""}, "TEXT_TOO_LONG", "shift_id"),
        ({"to_date": DATES[0] - 1}, "FIELD_OUT_OF_RANGE", "to_date"),
        ({"to_date": 20260399, "grouping": 9}, "ENUM_UNKNOWN", "grouping"),
        ({"from_date": 20260230, "to_date": 20260301}, "BUSINESS_DATE_INVALID", "from_date"),
        ({"to_date": 21000101, "store_id": "S9"}, "BUSINESS_DATE_INVALID", "to_date"),
        ({"store_id": "S9"}, "STORE_UNKNOWN", "store_id"),
    ],
)
def test_refusals(totals, fields, reason, place):
    context = common_pb2.RequestContext(correlation_id="c-7")
    with pytest.raises(grpc.RpcError) as caught:
        totals(context=context, **{**GOOD, **fields})
    error = errors.from_rpc_error(caught.value)
    assert (error.reason, error.place) == (reason, place)
    assert ("checklane-correlation-id", "c-7") in caught.value.trailing_metadata()


def test_a_caller_that_has_gone_ends_the_walk(service):
    class Gone:
        def is_active(self):
            return False

        def add_callback(self, callback):
            callback()
            return True

    books = service._books
    request = ledger_pb2.GetPeriodTotalsRequest(**GOOD).SerializeToString()
    with pytest.raises(errors.DeadlineError, match="the caller has gone"):
        books._period_totals(request, Gone())
