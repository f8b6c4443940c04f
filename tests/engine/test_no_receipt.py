"""Goods that come back without a receipt: what the program lets them (W1 to W3)."""

import pytest

from checklane.v1 import basket_pb2, checkout_pb2
from tests.engine.shop import OFFERS, RefusedError, Shop, basket
from tests.engine.test_exchange import bring_back
from tests.engine.test_replay import commits, files_of

RETURN_NOT_ALLOWED = 17
REFUSAL = "RETURN_NOT_ALLOWED"


def back(message, *amounts):
    """Add a line for each amount of goods that come back without a receipt."""
    for amount in amounts:
        message.lines.add(
            line_id=len(message.lines) + 1, product_code="500", code_kind=2, count=1,
            amount_minor=amount, kind=basket_pb2.LINE_KIND_RETURN,
        )  # fmt: skip
    return message


@pytest.fixture(scope="module")
def programs(built):
    """Return programs by what they say of goods without a receipt."""
    policies = {
        "refused": {"allowed": False},
        "limited": {"most": 20.00, "member": "required"},
        "most": {"most": 20.00},
    }
    return {
        name: built.compile(f"back-{name}", OFFERS, policies={"returns_without_receipt": policy})
        for name, policy in policies.items()
    }


@pytest.fixture
def shop_of(built, programs, tmp_path):
    """Return what opens a shop under one of the programs."""
    shops = []

    def open_shop(name):
        shops.append(Shop(built, tmp_path / name, program=programs[name]))
        return shops[-1]

    yield open_shop
    for shop in shops:
        shop.engine.close()


def refusal(shop, message):
    """Return the place at which quote, total and commit refuse a basket alike."""
    message.basket_id = "b"
    total = checkout_pb2.TotalBasketRequest(context=shop.context(), basket=message)
    places = set()
    lsn = shop.lsn
    for call in (
        lambda: shop.quote(message),
        lambda: shop.call("CheckoutService.TotalBasket", total),
        lambda: shop.commit(shop.sale(message)),
        lambda: shop.commit(shop.sale(message, training=True)),
    ):
        with pytest.raises(RefusedError) as refused:
            call()
        assert refused.value.name == REFUSAL
        places.add(refused.value.place)
    assert shop.lsn == lsn
    (place,) = places
    return place


def test_by_default_they_refund_what_is_sent(shop):
    answer = shop.commit(shop.sale(back(basket((500, 1, 300)), 900)))
    assert answer.decision.totals.due_minor == 300 - 900
    assert not answer.decision.exceptions


def test_a_program_may_refuse_them(shop_of):
    shop = shop_of("refused")
    assert refusal(shop, back(basket((500, 1, 300)), 1)) == "basket.lines[1].original"
    sale = shop.sale(basket((500, 2, 1000)))
    shop.commit(sale)
    swap = bring_back(basket((500, 1, 300)), sale, (1, 1))
    assert shop.commit(shop.sale(swap)).decision.totals.due_minor == 300 - 500
    mixed = back(bring_back(basket((500, 1, 300)), sale, (1, 1)), 1)
    assert refusal(shop, mixed) == "basket.lines[2].original"


def test_up_to_a_limit_and_for_members(shop_of):
    shop = shop_of("limited")
    whole = back(basket(member="ben"), 1200, 800)
    request = shop.sale(whole)
    before = shop.balance("ben")
    answer = shop.commit(request)
    assert answer.decision.totals.refund_minor == 2000
    assert shop.balance("ben") == before
    assert shop.commit(request) == answer
    assert refusal(shop, back(basket(member="ben"), 1200, 801)) == "basket.lines[1].amount_minor"
    assert refusal(shop, back(basket(), 1)) == "basket.identifiers"
    assert refusal(shop, back(basket(card="9"), 1)) == "basket.identifiers"
    assert shop.quote(basket((500, 1, 300))).totals.due_minor == 300


def test_a_limit_alone_asks_for_nobody(shop_of):
    shop = shop_of("most")
    assert shop.quote(back(basket(), 2000)).totals.due_minor == -2000
    assert refusal(shop, back(basket(), 2001)) == "basket.lines[0].amount_minor"


def test_a_total_keeps_what_it_showed(shop_of, programs, built):
    """What was allowed at the total is allowed at its commit, whatever the program says then."""
    shop = shop_of("most")
    message = back(basket((500, 1, 300)), 1500)
    message.basket_id = "kept"
    total = checkout_pb2.TotalBasketRequest(context=shop.context(), basket=message)
    answer = checkout_pb2.TotalBasketResponse.FromString(
        shop.call("CheckoutService.TotalBasket", total)
    )
    shop.activate(programs["refused"], built.catalogue)
    sold = shop.commit(shop.sale(message, total_token=answer.total_token))
    assert sold.decision.totals == answer.decision.totals
    assert not sold.decision.exceptions


def test_what_was_paid_out_stands(shop_of):
    shop = shop_of("refused")
    answer = shop.commit(shop.sale(back(basket((500, 1, 300)), 400, 500), paid=True))
    assert answer.decision.totals.due_minor == 300 - 900
    (told,) = answer.decision.exceptions
    assert (told.kind, told.amount_minor) == (RETURN_NOT_ALLOWED, 900)
    allowed = shop.commit(shop.sale(basket((500, 1, 300)), paid=True))
    assert not allowed.decision.exceptions


def test_it_can_be_decided_again(shop_of):
    shop = shop_of("refused")
    sale = shop.sale(basket((500, 2, 1000)))
    shop.commit(sale)
    shop.commit(shop.sale(bring_back(basket((500, 1, 300)), sale, (1, 1))))
    shop.commit(shop.sale(back(basket((500, 1, 300)), 400), paid=True))
    told = commits(shop)
    assert len(told) == 3
    for entry, facts, response in told:
        assert shop.engine.replay(entry, *files_of(shop, facts)) == (0, response)


def test_a_void_would_refund_what_was_not_paid(shop, refused):
    sale = shop.sale(back(basket((500, 1, 500), member="ben"), 300))
    shop.commit(sale)
    assert refused(shop.void, shop.void_request(sale)) == "RECEIPT_HAS_RETURNS"
    rest = shop.return_items(shop.return_request(sale, (1, 1)))
    assert rest.reversal.refund_minor == 500
