"""Points for whoever referred a member: another account's, in the entry of the sale (P11)."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from checklane import _layout
from checklane.books.entries import split_entry
from checklane.v1 import common_pb2, member_pb2
from tests.engine.shop import Built, RefusedError, Shop, basket
from tests.engine.test_replay import commits, files_of, open_engine

LIMIT_REACHED, NO_REFERRER, REFERRER_EXCLUDED = 22, 38, 39
REFERRAL, CLAW_BACK_SHORT = 7, 14
OFFERS: list[dict[str, Any]] = [
    {"id": "friend", "referral": {"purse": "base", "points": 500, "of": {"category": "PLAIN"}}},
    {"id": "points", "earn": {"purse": "base", "points": 1, "per": 1.00}},
]


def shop_of_friends(built: Built, directory: Path, **policies: Any) -> Shop:
    """Return a shop in which ann has referred ben."""
    program = built.compile(directory.name, OFFERS, policies=policies)
    shop = Shop(built, directory, program=program)
    shop.update("ben", referrer=ref("ann"))
    return shop


def ref(member_id: str) -> Any:
    return member_pb2.MemberRef(member_id=member_id)


def goods(member: str | None = "ben", count: int = 2) -> Any:
    return basket((100, count, 100 * count), member=member)


def points(shop: Shop, member_id: str) -> int:
    return sum(b.available_points for b in shop.member(member_id).balances if b.purse_id == "base")


def outcome(shop: Shop, sold: Any) -> int:
    return {e.offer_id: e.outcome for e in shop.quote(sold).explanations}["friend"]


def owed(shop: Shop) -> Counter[int]:
    """Return what the journal's movements leave of lots and debts, by account group."""
    sums: Counter[int] = Counter()
    for entry in shop.engine.read_entries(1, 10_000, 1 << 26):
        for moved in split_entry(bytes(entry)).movements:
            kind, value = int(moved["cell"]["kind"]), int(moved["cell"]["value"])
            if kind in (_layout.CELL_LOT, _layout.CELL_DEBT):
                group = int(moved["record"]["hi"])
                sums[group] += value if kind == _layout.CELL_LOT else -value
    return sums


def check_books(shop: Shop, *members: str) -> None:
    """What accounts say is what the journal moved, as it is now and after a rebuild."""
    sums = owed(shop)
    for member_id in members:
        assert points(shop, member_id) == sums[shop.member(member_id).group_number]


def test_the_first_purchase_gives_once_and_is_the_same_again(built: Built, tmp_path: Path) -> None:
    shop = shop_of_friends(built, tmp_path)
    promised = shop.quote(goods())
    assert [(c.offer_id, c.purse_id, c.points) for c in promised.referral_credits] == [
        ("friend", "base", 500)
    ]
    assert [e.offer_id for e in promised.earned] == ["points"]
    assert points(shop, "ann") == 0
    sale = shop.sale(goods())
    first = shop.commit(sale)
    assert (points(shop, "ann"), points(shop, "ben")) == (500, 2)
    assert first.decision.referral_credits == promised.referral_credits
    assert [b.available_points for b in first.balances if b.purse_id == "base"] == [2]
    assert shop.commit(sale) == first
    assert outcome(shop, goods()) == LIMIT_REACHED
    assert not shop.commit(shop.sale(goods())).decision.referral_credits
    assert not shop.commit(shop.sale(goods(), training=True)).decision.referral_credits
    assert (points(shop, "ann"), points(shop, "ben")) == (500, 4)
    check_books(shop, "ann", "ben")
    (tmp_path / "other").mkdir()
    other = open_engine(tmp_path / "other")
    for entry, facts, response in commits(shop):
        assert other.replay(entry, *files_of(shop, facts)) == (0, response)
    other.close()
    shop.reopen()
    check_books(shop, "ann", "ben")
    assert points(shop, "ann") == 500
    shop.engine.close()


def test_a_void_and_a_whole_return_take_it_back(built: Built, tmp_path: Path) -> None:
    shop = shop_of_friends(built, tmp_path)
    sale = shop.sale(goods())
    shop.commit(sale)
    shop.return_items(shop.return_request(sale, (1, 1)))
    assert points(shop, "ann") == 500
    back = shop.return_items(shop.return_request(sale, (1, 1))).reversal
    assert [(p.purse_id, p.points) for p in back.points if p.reason == REFERRAL] == [("base", -500)]
    assert [b.available_points for b in back.balances if b.purse_id == "base"] == [0]
    assert (points(shop, "ann"), points(shop, "ben")) == (0, 0)
    again = shop.sale(goods())
    assert shop.commit(again).decision.referral_credits
    assert points(shop, "ann") == 500
    shop.void(shop.void_request(again))
    assert (points(shop, "ann"), points(shop, "ben")) == (0, 0)
    buried = shop.sale(goods())
    shop.void(shop.void_request(original_receipt=buried.receipt))
    assert not shop.commit(buried).decision.referral_credits
    check_books(shop, "ann", "ben")
    assert points(shop, "ann") == 0
    shop.engine.close()


@pytest.mark.parametrize(
    ("policy", "left", "short"), [("within_balance", 0, 200), ("negative", -200, 0)]
)
def test_what_was_spent_is_taken_back_by_policy(
    built: Built, tmp_path: Path, policy: str, left: int, short: int
) -> None:
    shop = shop_of_friends(built, tmp_path, claw_back=policy)
    sale = shop.sale(goods())
    shop.commit(sale)
    shop.adjust(shop.adjust_request("ann", -200))
    back = shop.void(shop.void_request(sale)).reversal
    assert points(shop, "ann") == left
    told = sum(p.points for p in back.points if p.reason == REFERRAL)
    assert told == short - 500
    assert [(e.kind, e.points) for e in back.exceptions] == [(CLAW_BACK_SHORT, 200)] * (short > 0)
    check_books(shop, "ann", "ben")
    shop.engine.close()


def test_a_referrer_who_is_gone_or_excluded_gets_none(built: Built, tmp_path: Path) -> None:
    shop = shop_of_friends(built, tmp_path)
    assert outcome(shop, goods("cat")) == NO_REFERRER
    shop.update("ann", blocked=True)
    assert outcome(shop, goods()) == REFERRER_EXCLUDED
    shop.commit(shop.sale(goods()))
    shop.update("ann", blocked=False)
    assert points(shop, "ann") == 0
    shop.update("eve", referrer=ref("eva"))
    assert outcome(shop, goods("eve")) == REFERRER_EXCLUDED
    # What was refused is not used up.
    shop.commit(shop.sale(goods()))
    assert points(shop, "ann") == 500
    shop.engine.close()


def test_whoever_referred_is_named_once_and_never_themself(built: Built, tmp_path: Path) -> None:
    shop = shop_of_friends(built, tmp_path)
    numbers = {name: shop.member(name).member_number for name in ("ann", "cat", "dan")}
    assert shop.member("ben").referrer_number == numbers["ann"]
    assert shop.member("ann").referrer_number == 0
    with pytest.raises(RefusedError) as refused:
        shop.update("ben", referrer=ref("ben"))
    assert (refused.value.name, refused.value.place) == ("FIELD_OUT_OF_RANGE", "referrer")
    with pytest.raises(RefusedError) as refused:
        shop.update("ben", referrer=ref("nobody"))
    assert (refused.value.name, refused.value.place) == ("MEMBER_UNKNOWN", "referrer")
    card = member_pb2.MemberRef(
        identifier=common_pb2.Identifier(kind=common_pb2.IDENTIFIER_KIND_CARD, value="1003")
    )
    assert shop.update("ben", referrer=card).referrer_number == numbers["cat"]
    assert shop.update("ben", group_id="flat").referrer_number == numbers["cat"]
    shop.commit(shop.sale(goods()))
    assert (points(shop, "ann"), points(shop, "cat")) == (0, 500)
    shop.engine.close()
