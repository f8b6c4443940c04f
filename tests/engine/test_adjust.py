"""Points given and taken by hand: once, durable, earliest expiry first, within what is there."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest

from checklane import _layout
from checklane.books.entries import split_entry
from checklane.server.entries import contract_entry
from checklane.v1 import ledger_pb2, member_pb2
from tests.engine.shop import RefusedError, Shop, basket


def later(days: int, today: int) -> int:
    """Return the date so many days after a date."""
    day = dt.date.fromisoformat(str(today)) + dt.timedelta(days=days)
    return int(day.strftime("%Y%m%d"))


def balances(answer, purse="base"):
    (found,) = [b for b in answer.balances if b.purse_id == purse]
    return found


@pytest.fixture
def today(shared):
    """Return the date by which the engine posts."""
    return shared.adjust(shared.adjust_request("crowd-0", 1)).posting.business_date


def test_given_points_are_there_and_durable(shop):
    """The answer is what the member's balances say, then and after a restart."""
    answer = shop.adjust(shop.adjust_request("eve", 500))
    assert balances(answer).available_points == 500
    assert answer.posting.lsn == shop.lsn
    for _ in range(2):
        assert list(shop.member("eva").balances) == list(answer.balances)  # one household
        shop.reopen()
    spent = shop.adjust(shop.adjust_request("eva", -200))
    assert balances(spent).available_points == 300
    assert list(shop.member("eve").balances) == list(spent.balances)


def test_dates_are_the_purses_unless_given(shared, today):
    """`late` keeps points for 90 days; by hand they can be spent at once, or from a date on."""
    first = balances(shared.adjust(shared.adjust_request("ann", 10, purse_id="late")), "late")
    assert (first.available_points, first.pending_points) == (10, 0)
    assert first.expire_date in (later(90, today), later(91, today))
    dates = {"active_date": later(5, today), "expire_date": later(20, today)}
    second = balances(
        shared.adjust(shared.adjust_request("ann", 7, purse_id="late", **dates)), "late"
    )
    assert (second.available_points, second.pending_points) == (10, 7)
    sooner = shared.adjust_request("ann", 3, purse_id="late", expire_date=later(20, today))
    third = balances(shared.adjust(sooner), "late")
    assert (third.available_points, third.expiring_points) == (13, 3)
    assert third.expire_date == later(20, today)


def test_the_earliest_expiry_goes_first(shop):
    today = shop.adjust(shop.adjust_request("ben", 5)).posting.business_date
    for days, points in ((30, 10), (10, 20)):
        shop.adjust(shop.adjust_request("ben", points, expire_date=later(days, today)))
    pending = {"active_date": later(3, today), "expire_date": later(4, today)}
    shop.adjust(shop.adjust_request("ben", 50, **pending))
    left = balances(shop.adjust(shop.adjust_request("ben", -22)))
    assert (left.available_points, left.pending_points) == (13, 50)
    assert (left.expire_date, left.expiring_points) == (later(30, today), 8)
    assert list(shop.member("ben").balances) == [
        b for b in shop.member("ben").balances if b.purse_id != "base" or b == left
    ]


def test_more_than_is_there_is_refused_or_owed(shop, refused):
    shop.adjust(shop.adjust_request("cat", 30))
    lsn = shop.lsn
    assert refused(shop.adjust, shop.adjust_request("cat", -31)) == "POINTS_SHORT"
    assert shop.lsn == lsn
    owing = shop.adjust(shop.adjust_request("cat", -45, allow_debt=True))
    assert balances(owing).available_points == -15
    assert refused(shop.adjust, shop.adjust_request("cat", -1)) == "POINTS_SHORT"
    shop.reopen()
    assert shop.balance("cat") == (-15, 0)
    assert balances(shop.adjust(shop.adjust_request("cat", 20))).available_points == 5


def test_once_by_its_key(shop, refused):
    request = shop.adjust_request("ann", 40, key="once")
    first = shop.call("MemberService.AdjustAccount", request)
    assert shop.call("MemberService.AdjustAccount", request) == first
    shop.reopen()
    assert shop.call("MemberService.AdjustAccount", request) == first
    assert refused(shop.adjust, shop.adjust_request("ann", 41, key="once")) == "KEY_REUSED"
    assert shop.balance("ann") == (40, 0)


def test_refusals(shared, refused, today):
    ceiling = _layout.PURSE_POINTS_MAX
    assert refused(shared.adjust, shared.adjust_request("nobody", 1)) == "MEMBER_UNKNOWN"
    unknown = shared.adjust_request("ann", 1, purse_id="none")
    assert refused(shared.adjust, unknown) == "PURSE_UNKNOWN"
    over = {"expire_date": later(-2, today)}, {"active_date": later(200, today), "purse_id": "late"}
    for dates in over:
        request = shared.adjust_request("dan", 1, **dates)
        with pytest.raises(RefusedError) as caught:
            shared.adjust(request)
        assert (caught.value.name, caught.value.place) == ("FIELD_OUT_OF_RANGE", "expire_date")
    shared.adjust(shared.adjust_request("dan", ceiling))
    assert refused(shared.adjust, shared.adjust_request("dan", 1)) == "FIELD_OUT_OF_RANGE"
    shared.adjust(shared.adjust_request("dan", -ceiling))
    shared.adjust(shared.adjust_request("dan", -ceiling, allow_debt=True))
    request = shared.adjust_request("dan", -1, allow_debt=True)
    assert refused(shared.adjust, request) == "FIELD_OUT_OF_RANGE"
    assert shared.balance("dan") == (-ceiling, 0)


def test_many_at_once_take_no_more_than_is_there(shop):
    shop.adjust(shop.adjust_request("ann", 50))
    requests = [shop.adjust_request("ann", -7) for _ in range(16)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(shop.raw, ["MemberService.AdjustAccount"] * 16, requests))
    assert sorted(status for status, _ in answers) == [0] * 7 + [58] * 9
    assert shop.balance("ann") == (1, 0)


def test_a_void_takes_what_its_sale_earned_not_what_was_given(shop: Shop):
    sale = shop.sale(basket((500, 1, 1000), member="ben"))
    shop.commit(sale)
    earned, _ = shop.balance("ben")
    assert earned > 0
    shop.adjust(shop.adjust_request("ben", 30))
    shop.void(shop.void_request(sale))
    assert shop.balance("ben") == (30, 0)


def test_the_journal_tells_it(shop):
    """The entry tells the operator's words, the points and what moved."""
    request = shop.adjust_request("ann", 25)
    lsn = shop.adjust(request).posting.lsn
    (entry,) = shop.engine.read_entries(lsn, 1, 1 << 20)
    told = contract_entry(split_entry(bytes(entry)), include_bodies=True, include_movements=True)
    assert told.kind == ledger_pb2.LEDGER_ENTRY_KIND_ADJUSTMENT
    assert (told.method, told.operator_id) == ("MemberService/AdjustAccount", "ana")
    assert [(p.purse_id, p.points) for p in told.points] == [("base", 25)]
    assert member_pb2.AdjustAccountRequest.FromString(told.request).reason == "goodwill"
    moved = [m for m in told.movements if m.kind == ledger_pb2.MOVEMENT_KIND_LOT_ADDED]
    assert [m.points for m in moved] == [25]
