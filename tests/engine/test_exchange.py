"""Goods that come back in the basket of a sale: one entry, all or nothing, one amount due."""

import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from checklane import _layout
from checklane.v1 import basket_pb2, checkout_pb2, decision_pb2
from tests.engine.shop import Shop, basket, open_engine
from tests.engine.test_replay import commits, files_of

POSTED, WITH_EXCEPTIONS, VOIDED_BEFORE = 1, 2, 3
DISCOUNT_DIFFERS, ORIGINAL_UNKNOWN = 1, 13


def bring_back(message, sale, *lines, amount=1):
    """Add a line for each (line, count) of a sale that comes back."""
    for line_id, count in lines:
        line = message.lines.add(
            line_id=len(message.lines) + 1, product_code="500", code_kind=2, count=count,
            amount_minor=amount, kind=basket_pb2.LINE_KIND_RETURN,
        )  # fmt: skip
        line.original.receipt.CopyFrom(sale.receipt)
        line.original.line_id = line_id
    return message


def state(shop, members=("ann", "ben")):
    """Return what is left of limits, and the balances."""
    quotes = [shop.quote(basket((200, 10, 2000), member=who)) for who in members]
    return (
        [quote.totals.discount_minor for quote in quotes],
        [shop.balance(who, purse) for who in members for purse in ("base", "late")],
    )


def test_an_exchange_is_one_entry_with_one_amount_due(shop):
    sale = shop.sale(basket((200, 6, 1200), (100, 1, 1000), member="ann"))
    assert shop.commit(sale).decision.totals.due_minor == 1800
    lsn = shop.lsn
    swap = bring_back(basket((500, 1, 700), member="ann"), sale, (1, 2))
    assert shop.quote(swap).totals.due_minor == 400
    request = shop.sale(swap)
    answer = shop.commit(request)
    assert shop.lsn == lsn + 1
    totals = answer.decision.totals
    assert (totals.net_minor, totals.refund_minor, totals.due_minor) == (700, 300, 400)
    (line,) = answer.reversal.lines
    assert (line.line_id, line.count, line.refund_minor, line.remaining_count) == (1, 2, 300, 4)
    assert [x.net_minor for x in answer.decision.lines] == [700, 300]
    points = {part.purse_id: part.points for part in answer.reversal.points}
    assert points == {"base": -30, "late": -3}
    told = {b.purse_id: (b.available_points, b.pending_points) for b in answer.balances}
    assert told == {"base": (220, 0), "late": (0, 22)}
    assert told["base"][0] == shop.balance("ann")[0]
    assert shop.commit(request) == answer
    shop.reopen()
    assert shop.commit(request) == answer


def test_the_store_may_owe(shop):
    sale = shop.sale(basket((500, 3, 1000)))
    shop.commit(sale)
    answer = shop.commit(shop.sale(bring_back(basket((500, 1, 200)), sale, (1, 2))))
    assert answer.decision.totals.due_minor == 200 - 667
    rest = shop.commit(shop.sale(bring_back(basket((500, 1, 200)), sale, (1, 1))))
    assert rest.decision.totals.due_minor == 200 - 333


@pytest.mark.parametrize("seed", range(6))
def test_it_is_a_sale_and_then_a_return(built, tmp_path, seed):
    """What an exchange changes is what a sale and a return behind it change, and what it says."""
    draw = random.Random(seed)
    shops = [Shop(built, tmp_path / name) for name in ("one", "two")]
    sales = []
    for _ in range(12):
        lines = [
            (draw.choice([100, 200, 500]), draw.randint(1, 4), draw.randint(1, 900))
            for _ in range(draw.randint(1, 3))
        ]
        member = draw.choice(["ann", "ben", None])
        bought = basket(*lines, member=member)
        choices = [found for found in sales if any(found[1].values())]
        asked = {}
        if choices and draw.random() < 0.7:
            sale, left = draw.choice(choices)
            wanted = [line for line, count in left.items() if count]
            asked = {line: draw.randint(1, left[line]) for line in draw.sample(wanted, 1)}
        plain = shops[1].sale(bought)
        both = shops[0].sale(bought)
        if asked:
            both.basket.CopyFrom(bring_back(both.basket, sale[0], *asked.items()))
        first, second = shops[0].commit(both), shops[1].commit(plain)
        refund = 0
        if asked:
            back = shops[1].return_items(
                shops[1].return_request(sale[1], *asked.items(), receipt=shops[1].receipt())
            )
            refund = back.reversal.refund_minor
            assert first.reversal.lines == back.reversal.lines
            assert first.reversal.points == back.reversal.points
            assert first.reversal.balances == back.reversal.balances
            for line, count in asked.items():
                left[line] -= count
        assert first.decision.totals.refund_minor == refund
        assert first.decision.totals.net_minor == second.decision.totals.net_minor
        sales.append(((both, plain), {n: line[1] for n, line in enumerate(lines, 1)}))
        assert state(shops[0]) == state(shops[1])
    for shop in shops:
        shop.engine.close()


def test_what_is_refused(shop, refused):
    sale = shop.sale(basket((500, 2, 1000), (500, 1, 300)))
    shop.commit(sale)
    lsn = shop.lsn

    def refusal(*lines, of=sale):
        swap = bring_back(basket((500, 1, 100)), of, *lines)
        names = {refused(shop.quote, swap), refused(shop.commit, shop.sale(swap))}
        total = checkout_pb2.TotalBasketRequest(context=shop.context(), basket=swap)
        total.basket.basket_id = "b"
        names.add(refused(shop.call, "CheckoutService.TotalBasket", total))
        (name,) = names
        return name

    assert refusal((1, 3)) == "RETURN_TOO_MUCH"
    assert refusal((9, 1)) == "LINE_UNKNOWN"
    assert refusal((1, 1), (1, 1)) == "LINE_ID_DUPLICATE"
    assert refusal((1, 1), of=shop.sale(basket((500, 1, 1)))) == "RECEIPT_UNKNOWN"
    other = shop.sale(basket((500, 1, 100)))
    shop.commit(other)
    two = bring_back(bring_back(basket((500, 1, 100)), sale, (1, 1)), other, (1, 1))
    assert refused(shop.quote, two) == "FIELD_OUT_OF_RANGE"
    shop.void(shop.void_request(other))
    assert refusal((1, 1), of=other) == "RECEIPT_VOIDED"
    weighed = bring_back(basket((500, 1, 100)), sale, (1, 1))
    weighed.lines[1].measure.quantity_thousandths = 5
    weighed.lines[1].measure.unit = 1
    assert refused(shop.quote, weighed) == "MEASURE_NOT_DIVIDED"
    # A paid sale is posted; what can not come back is listed.
    paid = shop.commit(shop.sale(weighed, paid=True))
    assert [e.kind for e in paid.decision.exceptions] == [
        decision_pb2.SALE_EXCEPTION_KIND_ORIGINAL_UNKNOWN
    ]
    assert shop.lsn == lsn + 3
    swap = shop.sale(bring_back(basket((500, 1, 100)), sale, (1, 1)))
    shop.commit(swap)
    assert refused(shop.void, shop.void_request(swap)) == "RECEIPT_HAS_RETURNS"
    assert refused(shop.void, shop.void_request(sale)) == "RECEIPT_HAS_RETURNS"
    assert shop.return_items(shop.return_request(swap, (1, 1))).reversal.refund_minor == 100


def test_a_paid_exchange_is_posted_as_paid_out(shop):
    sale = shop.sale(basket((500, 2, 1000)))
    shop.commit(sale)
    swap = bring_back(basket((500, 1, 300)), sale, (1, 1), amount=450)
    answer = shop.commit(shop.sale(swap, paid=True))
    assert answer.decision.totals.due_minor == 300 - 450
    (told,) = answer.reversal.exceptions
    assert (told.kind, told.line_id, told.amount_minor) == (DISCOUNT_DIFFERS, 1, -50)
    rest = shop.return_items(shop.return_request(sale, (1, 1)))
    assert rest.reversal.refund_minor == 550


@pytest.mark.parametrize("fault", ["unknown", "voided", "too much", "line"])
def test_a_paid_exchange_is_never_refused(shop, fault):
    sale = shop.sale(basket((500, 2, 1000), member="ben"))
    if fault != "unknown":
        shop.commit(sale)
    if fault == "voided":
        shop.void(shop.void_request(sale))
    asked = {"too much": (1, 3), "line": (7, 1)}.get(fault, (1, 1))
    before = shop.balance("ben")
    swap = bring_back(basket((500, 1, 300)), sale, asked, amount=450)
    answer = shop.commit(shop.sale(swap, paid=True))
    assert answer.outcome == WITH_EXCEPTIONS
    assert answer.decision.totals.due_minor == 300 - 450
    assert not answer.HasField("reversal")
    (told,) = answer.decision.exceptions
    assert (told.kind, told.line_id, told.amount_minor) == (ORIGINAL_UNKNOWN, 2, 450)
    assert shop.balance("ben") == before
    if fault in ("too much", "line"):
        rest = shop.return_items(shop.return_request(sale, (1, None)))
        assert rest.reversal.refund_minor == 1000


def test_totalled_and_committed(shop, refused):
    sale = shop.sale(basket((500, 3, 1000), member="ben"))
    shop.commit(sale)
    swap = bring_back(basket((500, 1, 300)), sale, (1, 2))

    def total(name):
        swap.basket_id = name
        request = checkout_pb2.TotalBasketRequest(context=shop.context(), basket=swap)
        answer = shop.call("CheckoutService.TotalBasket", request)
        return checkout_pb2.TotalBasketResponse.FromString(answer)

    first = total("one")
    assert first.decision.totals.due_minor == 300 - 667
    turned = basket_pb2.Basket()
    turned.CopyFrom(swap)
    del turned.lines[:]
    turned.lines.extend(reversed(swap.lines))
    answer = shop.commit(shop.sale(turned, total_token=first.total_token))
    assert answer.decision.totals == first.decision.totals
    assert answer.reversal.refund_minor == 667
    assert answer.reversal.lines[0].remaining_count == 1
    # Another return in between changes what the goods refund by a cent.
    other = shop.sale(basket((500, 4, 1003)))
    shop.commit(other)
    swap = bring_back(basket((500, 1, 300)), other, (1, 2))
    second = total("two")
    shop.return_items(shop.return_request(other, (1, 1)))
    request = shop.sale(swap, total_token=second.total_token)
    assert refused(shop.commit, request) == "DECISION_CHANGED"
    request = shop.sale(swap, total_token=second.total_token, paid=True)
    paid = shop.commit(request)
    assert paid.decision.totals == second.decision.totals
    assert [e.kind for e in paid.reversal.exceptions] == [DISCOUNT_DIFFERS]


def test_one_of_many_gets_the_goods_back(shared):
    """The writer judges: of eight tills that take the same unit back one does."""
    for _ in range(10):
        sale = shared.sale(basket((500, 1, 1000), member="eve"))
        shared.commit(sale)
        swaps = [shared.sale(bring_back(basket((500, 1, 10)), sale, (1, 1))) for _ in range(8)]
        with ThreadPoolExecutor(8) as threads:
            method = "CheckoutService.CommitTransaction"
            answers = list(threads.map(shared.raw, [method] * 8, swaps))
        assert sorted(status for status, _ in answers) == [0] + [37] * 7
    assert shared.balance("eve")[0] == 0


def test_a_tombstone_takes_nothing_back(shop):
    sale = shop.sale(basket((500, 2, 1000), member="ben"))
    shop.commit(sale)
    swap = shop.sale(bring_back(basket((500, 1, 100)), sale, (1, 1)))
    shop.void(shop.void_request(swap))
    answer = shop.commit(swap)
    assert (answer.outcome, answer.HasField("reversal")) == (VOIDED_BEFORE, False)
    rest = shop.return_items(shop.return_request(sale, (1, None)))
    assert (rest.reversal.refund_minor, rest.reversal.lines[0].count) == (1000, 2)


def test_training_takes_nothing_back(shop):
    sale = shop.sale(basket((500, 2, 1000)))
    shop.commit(sale)
    lsn = shop.lsn
    swap = shop.sale(bring_back(basket((500, 1, 100)), sale, (1, 1)), training=True)
    assert shop.commit(swap).decision.totals.due_minor == -400
    assert shop.lsn == lsn


def test_it_comes_out_the_same_on_another_machine(shop, tmp_path):
    draw = random.Random(7)
    sale = shop.sale(basket((500, 40, 9000), (200, 9, 2000), member="ann"))
    shop.commit(sale)
    for number in range(12):
        swap = basket((100, 1, draw.randint(1, 900)), member=draw.choice(["ann", None, "ben"]))
        bring_back(swap, sale, (1, draw.randint(1, 3)), amount=draw.randint(1, 50))
        shop.commit(shop.sale(swap, paid=number % 3 == 0))
    swap.basket_id = "kept"
    request = checkout_pb2.TotalBasketRequest(context=shop.context(), basket=swap)
    total = checkout_pb2.TotalBasketResponse.FromString(
        shop.call("CheckoutService.TotalBasket", request)
    )
    shop.commit(shop.sale(swap, total_token=total.total_token))
    (tmp_path / "other").mkdir()
    other = open_engine(tmp_path / "other")
    try:
        found = commits(shop)
        told = [checkout_pb2.CommitTransactionResponse.FromString(answer) for *_, answer in found]
        assert sum(answer.HasField("reversal") for answer in told) == 13
        for entry, facts, response in found:
            assert other.replay(entry, *files_of(shop, facts)) == (0, response)
        for entry, facts, response in found[1:]:
            files = files_of(shop, facts)
            for length in range(0, len(entry) - len(response), 64):
                assert other.replay(entry[:length], *files)[0] in {0, 15}
    finally:
        other.close()


def test_the_points_of_the_sale_pay_back_what_the_return_takes(shop):
    """Behind the sale: what it earned is there to be taken for what comes back."""
    sale = shop.sale(basket((500, 1, 1000), member="ben"))
    shop.commit(sale)
    shop.adjust(shop.adjust_request("ben", -100))
    assert shop.balance("ben")[0] == 0
    swap = bring_back(basket((500, 1, 600), member="ben"), sale, (1, 1))
    answer = shop.commit(shop.sale(swap))
    points = {part.purse_id: part.points for part in answer.reversal.points}
    assert points["base"] == -60
    assert [e.points for e in answer.reversal.exceptions] == [40]
    header = np.frombuffer(
        shop.engine.read_entries(shop.lsn, 1, 1 << 20)[0], dtype=_layout.ENTRY_HEADER, count=1
    )[0]
    assert header["kind"] == _layout.ENTRY_COMMIT
