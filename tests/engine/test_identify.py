"""Who is at the lane: every kind of identifier, and what else an identifier may find."""

import pytest

from checklane.snapshot.identifiers import IDENTIFIER_KINDS, normalise
from tests.engine.shop import (
    ACCOUNT,
    APP,
    BUSINESS,
    CARD,
    EMAIL,
    MEMBER_ID,
    PHONE,
    STAFF,
    Shop,
    basket,
    identifier,
)


@pytest.fixture(scope="module")
def ann(shared):
    return shared.identify(identifier("1001")).members[0].member_number


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (CARD, "1001"),
        (CARD, " 10-0 1 "),
        (PHONE, "13125550101"),
        (PHONE, "+1 312 555 0101"),
        (EMAIL, "ann.lee@example.com"),
        (EMAIL, "ANN.LEE@EXAMPLE.COM\t"),
        (APP, "App-Token/7"),
        (ACCOUNT, "B-1001"),
        (MEMBER_ID, "ann"),
    ],
)
def test_every_kind_finds_the_fed_member(shared, ann, kind, value):
    (found,) = shared.identify(identifier(value, kind)).members
    assert (found.result, found.member_number, found.tier_id) == (1, ann, "gold")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (CARD, "1009"),
        (PHONE, "1001"),  # a card's number is no phone's
        (APP, "app-token/7"),  # letters count in a token
        (ACCOUNT, "b-1001"),
        (MEMBER_ID, "Ann"),
        (EMAIL, "lee@example.com"),
    ],
)
def test_nobody_is_an_answer(shared, kind, value):
    (found,) = shared.identify(identifier(value, kind)).members
    assert (found.result, found.member_number, found.group_number) == (4, 0, 0)


RAW = ["1001", "+1001", "1-0.0/1", "(10)01", "1+001", "10a1", "--", "a@b.c", "A@B.c", "@b", "a@",
       "a b@c", "ab", "AB", "+", "1001 ", "é@x.de", "É@x.de"]  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), IDENTIFIER_KINDS.items())
def test_two_spellings_meet_exactly_where_the_feeds_say_so(shared, refused, name, kind):
    """The engine's form of a value is the feed's: seen through who is found by it."""
    for index, raw in enumerate(RAW):
        normal = normalise(name, raw.strip())
        member = f"{name}-{index}"
        if normal is None:
            enrol = refused(shared.enrol, member, identifiers=[identifier(raw, kind)])
            assert enrol == "FIELD_OUT_OF_RANGE", raw
            continue
        owner = shared.identify(identifier(raw, kind)).members[0]
        if owner.result == 4:
            number = shared.enrol(member, identifiers=[identifier(raw, kind)]).member_number
        else:
            number = owner.member_number
        for other in RAW:
            is_same = normalise(name, other.strip()) == normal
            (found,) = shared.identify(identifier(other, kind)).members
            assert (found.member_number == number) == is_same, (raw, other)


def test_surplus_unknown_and_roles(shared, ann):
    answer = shared.identify(
        identifier("9999"), identifier("1001"), identifier("1002"),
        identifier("1004", role=STAFF), identifier("1003", role=BUSINESS),
    )  # fmt: skip
    assert [found.result for found in answer.members] == [4, 1, 6, 1, 1]
    assert [found.tier_id for found in answer.members] == ["", "gold", "", "gold", "basic"]
    assert [found.role for found in answer.members] == [1, 1, 1, STAFF, BUSINESS]
    assert answer.members[1].member_number == ann
    assert answer.members[2].member_number == 0


def test_a_staff_card_is_not_the_member(shared):
    quoted = basket((400, 1, 100))
    quoted.identifiers.append(identifier("1004", role=STAFF))
    assert shared.quote(quoted).totals.discount_minor == 0
    quoted.identifiers.append(identifier("1001"))
    assert shared.quote(quoted).totals.discount_minor == 50


def test_a_blocked_member_counts_as_nobody(shared, ann):
    member = shared.enrol("blocked", identifiers=[identifier("5001")], tier_id="gold")
    gold = basket((400, 1, 100), card="5001")
    assert shared.quote(gold).totals.discount_minor == 50
    shared.update("blocked", blocked=True)
    answer = shared.identify(identifier("5001"), identifier("1001"))
    assert [found.result for found in answer.members] == [5, 6]
    assert not answer.balances
    assert shared.quote(gold).totals.discount_minor == 0
    shared.update("blocked", blocked=False)
    (found,) = shared.identify(identifier("5001")).members
    assert (found.result, found.member_number) == (1, member.member_number)


def test_an_issued_card_opens_an_account_at_its_first_sale(shared):
    (before,) = shared.identify(identifier("7700 0001")).members
    assert before.result == 3
    assert before.member_number != 0
    sold = shared.commit(shared.sale(basket((500, 1, 1000), card="77000001")))
    assert sold.balances[0].available_points == 100
    answer = shared.identify(identifier("77000001"))
    assert answer.members[0].result == 2
    assert answer.members[0].member_number == before.member_number
    assert answer.balances[0].available_points == 100
    for outside in ("78000001", "7700001", "770000001", "7700000a"):
        assert shared.identify(identifier(outside)).members[0].result == 4, outside


def test_a_quote_opens_no_account(shared):
    lsn = shared.lsn
    shared.quote(basket((500, 1, 1000), card="77000002"))
    assert shared.identify(identifier("77000002")).members[0].result == 3
    assert shared.lsn == lsn


def test_the_wallet_is_told_when_asked_for(shared):
    assert not shared.identify(identifier("1001")).wallet
    (offer,) = shared.identify(identifier("1001"), include_wallet=True).wallet
    assert (offer.offer_id, offer.activated) == ("gift", True)


def test_the_stores_own_date_counts_for_balances(shared):
    """Points pending until 2026-03-11 are there in the store when its own date says so."""
    shared.enrol("zone", identifiers=[identifier("5002")])
    shared.commit(shared.sale(basket((500, 1, 1000), card="5002")))
    instant = 1_773_199_800_000  # 2026-03-11T03:30Z: still the 10th in New York
    for store, available in (("S1", 10), ("S2", 0)):
        answer = shared.identify(identifier("5002"), store=store, opened_time_unix_ms=instant)
        assert answer.balances[1].available_points == available, store


def test_the_store_must_be_known(shared, refused):
    assert refused(shared.identify, identifier("1001"), store="S9") == "STORE_UNKNOWN"


def test_without_a_members_snapshot(built, tmp_path):
    shop = Shop(built, tmp_path, members=False)
    try:
        assert shop.identify(identifier("1001")).members[0].result == 4
        shop.enrol("zoe", identifiers=[identifier("1001")], offer_ids=["gift"])
        (found,) = shop.identify(identifier("1001")).members
        assert found.result == 1
        assert [o.offer_id for o in shop.member("zoe").wallet] == ["gift"]
        assert shop.commit(shop.sale(basket((300, 1, 500), card="1001"))).outcome == 1
    finally:
        shop.engine.close()
