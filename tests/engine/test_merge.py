"""Two members made one: all is the survivor's, whichever card, receipt or number is named."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from checklane.books.entries import split_entry
from checklane.server.entries import contract_entry
from checklane.v1 import ledger_pb2, member_pb2
from tests.engine.shop import CARDS, Shop, basket, identifier

MERGED = member_pb2.MEMBER_STATE_MERGED


def ref(member_id: str) -> Any:
    return member_pb2.MemberRef(member_id=member_id)


def request_for(shop: Shop, survivor: str, merged: str, key: str | None = None) -> Any:
    return member_pb2.MergeMembersRequest(
        context=shop.context(key), surviving_member=ref(survivor), merged_member=ref(merged)
    )


def merge(shop: Shop, request: Any) -> Any:
    answer = shop.call("MemberService.MergeMembers", request)
    return member_pb2.MergeMembersResponse.FromString(answer)


def sold(shop: Shop, member: str, code: int = 500, count: int = 1) -> Any:
    sale = shop.sale(basket((code, count, count * 1000), member=member))
    shop.commit(sale)
    return sale


def test_everything_comes_to_the_survivor(shop):
    """Points with their dates, tier, wallet, cards, after a restart too."""
    sold(shop, "ann")
    sold(shop, "ben")
    shop.adjust(shop.adjust_request("ann", -130, allow_debt=True))
    answer = merge(shop, request_for(shop, "ben", "ann"))
    assert {part.purse_id: part.points for part in answer.moved} == {"base": -30}
    for _ in range(2):
        now = shop.member("ben")
        assert now == answer.member
        assert shop.balance("ben") == (70, 0)
        assert now.tier_id == "gold"
        assert [offer.offer_id for offer in now.wallet] == ["gift"]
        gone = shop.member("ann")
        assert (gone.state, gone.merged_into_number) == (MERGED, now.member_number)
        assert not any(b.available_points or b.pending_points for b in gone.balances)
        found = shop.identify(identifier(CARDS["ann"])).members[0]
        assert found.member_number == now.member_number
        shop.reopen()


def test_sales_by_either_card_are_the_survivors(shop):
    merge(shop, request_for(shop, "ben", "ann"))
    for member in ("ann", "ben"):
        sold(shop, member)
    assert shop.balance("ben") == (200, 0)


def test_limits_count_for_both(shop):
    """Ten limited units a member: four and five before, so one is left."""
    sold(shop, "ann", 200, 4)
    undone = sold(shop, "ben", 200, 5)
    merge(shop, request_for(shop, "ben", "ann"))
    ask = basket((200, 8, 8000), member="ann")
    assert shop.quote(ask).totals.discount_minor == 50
    shop.void(shop.void_request(undone))
    assert shop.quote(ask).totals.discount_minor == 300


def test_an_old_sale_is_undone_at_the_survivor(shop):
    """Void and return of what the merged one bought: points and counters, through two merges."""
    first, second = sold(shop, "ann", 200, 4), sold(shop, "ann", 500, 2)
    before = shop.balance("ann")[0]
    merge(shop, request_for(shop, "ben", "ann"))
    merge(shop, request_for(shop, "cat", "ben"))
    assert shop.balance("cat") == (before, 0)
    shop.void(shop.void_request(first))
    assert shop.balance("cat") == (200, 0)
    assert shop.quote(basket((200, 10, 10000), member="cat")).totals.discount_minor == 500
    returned = shop.return_items(shop.return_request(second, (1, 1)))
    assert shop.balance("cat") == (100, 0)
    assert [b.available_points for b in returned.reversal.balances if b.purse_id == "base"] == [100]
    assert shop.member("ann").merged_into_number == shop.member("cat").member_number


def test_a_merged_one_is_taken_for_its_survivor(shop, refused):
    merge(shop, request_for(shop, "ben", "ann"))
    shop.adjust(shop.adjust_request("ann", 10))
    assert shop.balance("ben") == (10, 0)
    assert refused(merge, shop, request_for(shop, "ben", "ann")) == "FIELD_OUT_OF_RANGE"
    assert refused(merge, shop, request_for(shop, "ann", "ben")) == "FIELD_OUT_OF_RANGE"
    merge(shop, request_for(shop, "cat", "ann"))  # that is ben
    assert shop.balance("cat") == (10, 0)
    assert shop.member("ben").state == MERGED
    assert refused(merge, shop, request_for(shop, "cat", "nobody")) == "MEMBER_UNKNOWN"


def test_once_by_its_key(shop):
    sold(shop, "ann")
    request = request_for(shop, "ben", "ann", key="once")
    first = shop.call("MemberService.MergeMembers", request)
    sold(shop, "ben")
    assert shop.call("MemberService.MergeMembers", request) == first
    assert shop.balance("ben") == (200, 0)


def test_a_household_keeps_its_points(shop):
    """Eve shares a purse with eva: it stays, and what counts for eve alone comes along."""
    sold(shop, "eve", 200, 4)
    household = shop.balance("eva")
    answer = merge(shop, request_for(shop, "ben", "eve"))
    assert list(answer.moved) == []
    assert shop.balance("eva") == household
    assert shop.quote(basket((200, 9, 9000), member="eve")).totals.discount_minor == 300


def test_a_card_of_the_merged_one_can_be_unlinked(shop, refused):
    merge(shop, request_for(shop, "ben", "ann"))
    card = identifier(CARDS["ann"])
    shop.link("ben", card)
    assert refused(shop.link, "cat", card) == "IDENTIFIER_TAKEN"
    shop.link("ben", card, remove=True)
    assert shop.identify(card).members[0].member_number == 0
    shop.link("cat", card)


def test_a_provisional_account_that_became_a_member(shop):
    """Its group comes along when that member is merged in turn."""
    shop.commit(shop.sale(basket((500, 1, 1000), card="77000001")))
    shop.enrol("new", identifiers=[identifier("77000001")])
    assert shop.balance("new") == (100, 0)
    merge(shop, request_for(shop, "ben", "new"))
    assert shop.balance("ben") == (100, 0)
    shop.link("ben", identifier("77000001"), remove=True)
    assert shop.identify(identifier("77000001")).members[0].member_number == 0


def test_sales_that_meet_a_merge_lose_nothing(shop):
    sales = [shop.sale(basket((500, 1, 1000), member=m)) for m in ("ann", "ben") * 8]
    calls = [lambda sale=sale: shop.commit(sale) for sale in sales]
    calls.insert(5, lambda: merge(shop, request_for(shop, "ben", "ann")))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda call: call(), calls))
    assert shop.balance("ben") == (1600, 0)
    shop.reopen()
    assert shop.balance("ben") == (1600, 0)


def test_the_journal_tells_it(shop):
    lsn = merge(shop, request_for(shop, "ben", "ann")).posting.lsn
    (entry,) = shop.engine.read_entries(lsn, 1, 1 << 20)
    told = contract_entry(split_entry(bytes(entry)), include_bodies=True, include_movements=True)
    assert told.kind == ledger_pb2.LEDGER_ENTRY_KIND_MEMBER
    assert told.method == "MemberService/MergeMembers"
    assert told.member_number == shop.member("ben").member_number
