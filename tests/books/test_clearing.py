"""Points between stores: an example by hand, and a random day that adds up."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checklane import _layout
from checklane.books.clearing import read_clearing
from checklane.books.entries import split_entry
from checklane.books.figures import messages_of
from checklane.books.walk import LiveJournal
from checklane.v1 import checkout_pb2, common_pb2, member_pb2
from tests.books.day import DATES, OFFERS, PURSES, Day
from tests.engine.shop import Built, Shop, basket, identifier

NAMES = {1: "base", 2: "late", 3: "cash"}
OTHER = 500


@pytest.fixture
def shop(built: Built, tmp_path: Path) -> Iterator[Shop]:
    program = built.compile(
        f"clearing-{tmp_path.name}", OFFERS, purses=PURSES, policies={"claim_days": 30}
    )
    shop = Shop(built, tmp_path, program=program)
    yield shop
    shop.engine.close()


def sell(shop: Shop, store: str, card: str | None, *, points: int = 0, date: int = DATES[1]) -> Any:
    goods = basket((OTHER, 1, 1000), card=card)
    goods.store_id = store
    if points:
        goods.redemptions.add(purse_id="base", points=points)
    sale = shop.sale(goods, receipt=shop.receipt(date))
    sale.receipt.store_id = sale.context.store_id = store
    shop.commit(sale)
    return sale


def cleared(shop: Shop, date: int = DATES[1]) -> list[tuple[Any, ...]]:
    found = read_clearing(LiveJournal(shop.engine), date, date, NAMES)
    assert found.prove().adds_up, found.prove().sums
    return [row[1:] for row in found.table().rows]


def test_what_came_first_is_spent_first(shop: Shop) -> None:
    sell(shop, "S1", "1002")
    sell(shop, "S2", "1002")
    # 100 of S1 and 50 of S2; the sale earns 85 more at S2.
    sell(shop, "S2", "1002", points=150)
    assert cleared(shop) == [("S1", "S2", "base", 100, 0), ("S2", "S2", "base", 50, 0)]
    sell(shop, "S1", "1002", points=100)
    assert cleared(shop)[-2:] == [("S2", "S1", "base", 100, 0), ("S2", "S2", "base", 50, 0)]


def test_what_comes_back_goes_to_whose_it_was(shop: Shop) -> None:
    sell(shop, "S1", "1002")
    sell(shop, "S2", "1002")
    paid = sell(shop, "S2", "1002", points=150)
    shop.void(shop.void_request(paid))
    void = [("S1", "S2", "base", 100, 100), ("S2", "S2", "base", 50, 50)]
    assert cleared(shop) == void
    sell(shop, "S1", "1002", points=200)
    assert cleared(shop) == [
        ("S1", "S1", "base", 100, 0), void[0], ("S2", "S1", "base", 100, 0), void[1],
    ]  # fmt: skip


def test_claims_are_of_the_sales_store_and_gifts_of_none(shop: Shop) -> None:
    sale = sell(shop, "S1", None)
    request = checkout_pb2.ClaimTransactionRequest(
        context=common_pb2.RequestContext(store_id="S2", till_id="7", idempotency_key="claim"),
        receipt=sale.receipt,
        identifiers=[identifier("1002")],
        claimed_time_unix_ms=sale.basket.opened_time_unix_ms,
    )
    shop.call("CheckoutService.ClaimTransaction", request)
    shop.adjust(shop.adjust_request("ben", 30, active_date=DATES[0]))
    sell(shop, "S2", "1002", points=120)
    # The gift stands in a lot of its own, which was active a day before.
    assert cleared(shop) == [("", "S2", "base", 30, 0), ("S1", "S2", "base", 90, 0)]


def test_points_keep_their_store_through_a_merge(shop: Shop) -> None:
    sell(shop, "S1", "1002")
    request = member_pb2.MergeMembersRequest(
        context=shop.context(),
        surviving_member={"member_id": "cat"},
        merged_member={"member_id": "ben"},
    )
    shop.call("MemberService.MergeMembers", request)
    sell(shop, "S2", "1003", points=100)
    assert cleared(shop) == [("S1", "S2", "base", 100, 0)]


def test_a_random_day_adds_up_by_redeeming_store(day: Day) -> None:
    """Against the movements alone: what each store's own entries burned."""
    found = read_clearing(LiveJournal(day.shop.engine), DATES[0], DATES[-1], NAMES)
    assert found.prove().adds_up, found.prove().sums
    burned: Counter[str] = Counter()
    for entry in day.shop.engine.read_entries(1, 100_000, 1 << 28):
        sections = split_entry(entry)
        cells = sections.movements[sections.movements["reason"] == _layout.REASON_BURN]["cell"]
        if len(cells) and DATES[0] <= int(sections.header["business_date"]) <= DATES[-1]:
            request = messages_of(sections)[0]
            is_sale = isinstance(request, checkout_pb2.CommitTransactionRequest)
            store_id = request.receipt.store_id if is_sale else request.context.store_id
            burned[store_id] -= int(cells["value"].sum())
    spent: Counter[str] = Counter()
    between = 0
    for _, issuer, redeemer, _, points, given_back in found.table().rows:
        spent[redeemer] += points
        between += points - given_back if issuer not in ("", redeemer) else 0
    assert spent == burned
    assert between > 0
    assert read_clearing(LiveJournal(day.shop.engine), DATES[1], DATES[1], NAMES).prove().adds_up
