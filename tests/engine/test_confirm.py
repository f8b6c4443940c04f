"""Points that wait for an event: confirmed or cancelled once, with what is left of their sale."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from checklane.books.entries import split_entry
from checklane.server.entries import contract_entry
from checklane.v1 import ledger_pb2, member_pb2
from tests.engine.shop import HEAD, OFFERS, TODAY, TOMORROW, Shop, basket

PURSES = {
    "base": {"number": 1, "awaits_confirmation": True},
    "late": {"number": 2, "awaits_confirmation": True, "pending_days": 7},
}


@pytest.fixture(scope="module")
def waiting(built):
    return built.compile("waiting", OFFERS, purses={**HEAD["purses"], **PURSES})


@pytest.fixture
def shop(built, waiting, tmp_path):
    shop = Shop(built, tmp_path, program=waiting)
    yield shop
    shop.engine.close()


def request_for(shop: Shop, sale: Any, **fields: Any) -> Any:
    context = shop.context(fields.pop("key", None))
    return member_pb2.ConfirmPointsRequest(
        context=context, original_receipt=sale.receipt, **{"event_date": TODAY, **fields}
    )


def confirm(shop: Shop, request: Any) -> Any:
    answer = shop.call("MemberService.ConfirmPoints", request)
    return member_pb2.ConfirmPointsResponse.FromString(answer)


def moved(answer: Any) -> dict[str, int]:
    return {part.purse_id: part.points for part in answer.points}


def sold(shop: Shop, amount: int = 1000, member: str = "ben") -> Any:
    """Commit a sale that earns a point for each 0.10, and one of `late` for each 1.00."""
    sale = shop.sale(basket((500, 2, amount), member=member))
    decision = shop.commit(sale).decision
    dates = {part.purse_id: part.active_date for part in decision.earned}
    assert dates == {"base": 0, "late": 20260311}
    return sale


def test_points_wait_until_their_sale_is_confirmed(shop):
    """Each sale by itself, though their points lie in one lot; the state outlives a restart."""
    sold(shop, 1000)
    second = sold(shop, 600)
    assert shop.balance("ben") == (0, 160)
    answer = confirm(shop, request_for(shop, second))
    assert moved(answer) == {"base": 60, "late": 6}
    assert shop.balance("ben") == (60, 100)
    shop.engine.close()
    again = Shop(shop.built, shop.data, data=shop.data)
    assert again.balance("ben") == (60, 100)
    again.engine.close()


def test_once_for_a_sale_and_for_a_key(shop, refused):
    first, second = sold(shop, 1000), sold(shop, 600)
    request = request_for(shop, second, key="k")
    answer = shop.call("MemberService.ConfirmPoints", request)
    assert shop.call("MemberService.ConfirmPoints", request) == answer
    assert moved(confirm(shop, request_for(shop, second))) == {}
    assert moved(confirm(shop, request_for(shop, second, cancelled=True))) == {}
    assert shop.balance("ben") == (60, 100)
    assert refused(confirm, shop, request_for(shop, first, key="k")) == "KEY_REUSED"


def test_twins_confirm_once(shop):
    sold(shop, 600)
    sale = sold(shop, 1000)
    requests = [request_for(shop, sale) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda request: confirm(shop, request), requests))
    assert sorted(moved(answer).get("base", 0) for answer in answers) == [0] * 7 + [100]
    assert shop.balance("ben") == (100, 60)


def test_cancelled_points_are_gone_and_not_taken_twice(shop):
    kept, sale = sold(shop, 600), sold(shop, 1000)
    confirm(shop, request_for(shop, kept))
    cancelled = confirm(shop, request_for(shop, sale, cancelled=True))
    assert moved(cancelled) == {"base": -100, "late": -10}
    assert shop.balance("ben") == (60, 0)
    shop.void(shop.void_request(sale))
    assert shop.balance("ben") == (60, 0)


def test_a_return_takes_of_its_own_sale(shop):
    """Before the event of what waits, after it of what was confirmed; never of another sale's."""
    other, sale = sold(shop, 600), sold(shop, 1000)
    shop.return_items(shop.return_request(sale, (1, 1)))
    assert shop.balance("ben") == (0, 110)
    assert moved(confirm(shop, request_for(shop, sale))) == {"base": 50, "late": 5}
    assert shop.balance("ben") == (50, 60)
    shop.return_items(shop.return_request(sale, (1, 1)))
    assert shop.balance("ben") == (0, 60)
    assert moved(confirm(shop, request_for(shop, other, event_date=TOMORROW)))["base"] == 60


def test_refusals(shop, refused):
    sale = sold(shop)
    assert refused(confirm, shop, request_for(shop, shop.sale(basket((500, 1, 1))))) == (
        "RECEIPT_UNKNOWN"
    )
    shop.void(shop.void_request(sale))
    assert refused(confirm, shop, request_for(shop, sale)) == "RECEIPT_VOIDED"


def test_nothing_waits_where_nothing_was_to(shop):
    nobody = shop.sale(basket((500, 1, 1000)))
    shop.commit(nobody)
    answer = confirm(shop, request_for(shop, nobody))
    assert (moved(answer), list(answer.balances)) == ({}, [])


def test_the_journal_tells_it(shop):
    lsn = confirm(shop, request_for(shop, sold(shop))).posting.lsn
    (entry,) = shop.engine.read_entries(lsn, 1, 1 << 20)
    told = contract_entry(split_entry(bytes(entry)), include_bodies=True, include_movements=True)
    assert told.kind == ledger_pb2.LEDGER_ENTRY_KIND_CONFIRMATION
    assert told.method == "MemberService/ConfirmPoints"
    assert {part.purse_id: part.points for part in told.points} == {"base": 100, "late": 10}
