"""Returns under `returns: reprice`: what is kept costs what it would have cost by itself."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from checklane.v1 import checkout_pb2
from tests.engine.repriced import (
    DEALS,
    POINTS,
    POLICIES,
    exchange,
    give_back,
    kept,
    kinds,
    sell,
    told,
)  # fmt: skip
from tests.engine.shop import Shop, basket

PROGRAM_NOT_KEPT, REFUND_CUT = 11, 18


@pytest.fixture(scope="session")
def program(built):
    return built.compile("reprice", [*DEALS, *POINTS], policies=POLICIES)


@pytest.fixture
def shop(built, program, tmp_path):
    shop = Shop(built, tmp_path, program=program)
    yield shop
    shop.engine.close()


@pytest.fixture(scope="module")
def shared(built, program, tmp_path_factory):
    shop = Shop(built, tmp_path_factory.mktemp("repriced"), program=program)
    yield shop
    shop.engine.close()


def test_the_one_that_was_paid_for_comes_back(shared):
    """Of two for one the one that is kept costs its price: nothing is refunded, not the price."""
    sale, decision = sell(shared, (300, 1, 1000), (300, 1, 1000))
    assert [line.net_minor for line in decision.lines] == [0, 1000]
    first = give_back(shared, sale, (2, 1))
    assert (first.refund_minor, kinds(first), kept(first)) == (0, [], {1: 1000})
    assert told(first) == {1: (0, 0, 1000, -1000), 2: (1, 1000, 0, 1000)}
    rest = give_back(shared, sale, (1, 1))
    assert (rest.refund_minor, kept(rest), told(rest)) == (1000, {}, {1: (1, 1000, 0, 1000)})


def test_the_one_that_was_free_comes_back_of_three(shared):
    sale, _ = sell(shared, (300, 3, 3000))
    assert give_back(shared, sale, (1, 1)).refund_minor == 1000  # a third of 2000 were 667
    assert give_back(shared, sale, (1, 1)).refund_minor == 0
    assert give_back(shared, sale, (1, 1)).refund_minor == 1000


def test_a_threshold_that_is_not_reached_any_more(shared):
    sale, _ = sell(shared, (500, 3, 3000))
    back = give_back(shared, sale, (1, 1))
    assert (back.refund_minor, kept(back)) == (400, {1: 2000})
    assert give_back(shared, sale, (1, 2)).refund_minor == 2000


def test_nobody_pays_for_bringing_goods_back(shared):
    """What is kept lost 5.80 of discount, and what came back had cost 0.80."""
    sale, decision = sell(shared, (500, 1, 100), (500, 1, 2900))
    assert [line.net_minor for line in decision.lines] == [80, 2320]
    back = give_back(shared, sale, (1, 1))
    assert (back.refund_minor, kinds(back)) == (0, [(REFUND_CUT, 500)])
    assert told(back) == {1: (1, 100, 20, 80), 2: (0, 0, 80, -80)}
    assert give_back(shared, sale, (2, 1)).refund_minor == 2400


def test_another_line_takes_the_place_of_what_came_back(shared):
    """Of four the three dearest had the price; the fourth has it now, and costs less."""
    goods = [(100, 1, 1000), (100, 1, 900), (100, 1, 800), (100, 1, 700)]
    sale, decision = sell(shared, *goods)
    assert decision.totals.net_minor == 2000 + 700
    back = give_back(shared, sale, (1, 1))
    assert back.refund_minor == 700
    assert sum(line.net_minor for line in back.kept) == 2000
    assert [x.offer_id for line in back.kept for x in line.applied] == ["three"] * 3
    assert told(back)[4][3] > 0
    assert give_back(shared, sale, (2, 1), (3, 1), (4, 1)).refund_minor == 2000


@pytest.mark.parametrize("seed", range(24))
def test_any_sequence_refunds_what_is_not_kept(shared, seed):
    """After each return all refunds are the net less what the kept goods cost in a new basket, or
    what they were, if that is more; by line they sum to what was paid.
    """
    rng = random.Random(seed)
    goods = [
        (rng.choice([100, 300, 500, 500]), rng.randint(1, 4), rng.choice([10, 100, 3000]))
        for _ in range(rng.randint(2, 6))
    ]
    sale, decision = sell(shared, *goods)
    net = decision.totals.net_minor
    left = {number: count for number, (_, count, _) in enumerate(goods, 1)}
    gross = {number: amount for number, (_, _, amount) in enumerate(goods, 1)}
    sums, refunded = Counter(), 0
    while any(left.values()):
        lines = rng.sample([line for line in left if left[line]], 1)
        back = give_back(shared, sale, *((line, rng.randint(1, left[line])) for line in lines))
        for line in back.lines:
            left[line.line_id] -= line.count
            gross[line.line_id] -= line.gross_minor
            sums[line.line_id, "gross"] += line.gross_minor
            sums[line.line_id, "discount"] += line.discount_minor
            sums[line.line_id, "refund"] += line.refund_minor
            assert line.gross_minor == line.discount_minor + line.refund_minor
            assert line.remaining_count == left[line.line_id]
        rest = [(goods[line - 1][0], count, gross[line]) for line, count in left.items() if count]
        now = shared.quote(basket(*rest)).totals.net_minor if rest else 0
        before, refunded = refunded, refunded + back.refund_minor
        assert refunded == max(before, net - now)
        assert kinds(back) == ([(REFUND_CUT, before - net + now)] if before > net - now else [])
        assert sum(kept(back).values()) == now
        for line in decision.lines:
            assert sums[line.line_id, "refund"] <= line.net_minor
    for line in decision.lines:
        assert sums[line.line_id, "gross"] == goods[line.line_id - 1][2]
        assert sums[line.line_id, "discount"] == line.discount_minor
        assert sums[line.line_id, "refund"] == line.net_minor


@pytest.fixture(scope="module")
def fickle(built, program, tmp_path_factory):
    """Return a shop that changes its policy, and its programs under either."""
    prorated = built.compile("prorate", [*DEALS, *POINTS])
    shop = Shop(built, tmp_path_factory.mktemp("fickle"), program=program)
    yield shop, (program, prorated)
    shop.engine.close()


@pytest.mark.parametrize("seed", range(10))
def test_any_sequence_under_any_policy_sums_to_what_was_paid(fickle, seed):
    """By line, whichever way each return was judged."""
    shop, programs = fickle
    rng = random.Random(seed)
    goods = [
        (rng.choice([100, 300, 500]), rng.randint(1, 5), rng.randint(1, 2500)) for _ in range(4)
    ]
    sale, decision = sell(shop, *goods)
    left = {number: count for number, (_, count, _) in enumerate(goods, 1)}
    sums = Counter()
    while any(left.values()):
        shop.activate(rng.choice(programs))
        line_id = rng.choice([line for line in left if left[line]])
        part = (line_id, rng.randint(1, left[line_id]))
        if rng.random() < 0.4:
            back = shop.commit(shop.sale(exchange(sale, *part))).reversal
        else:
            back = give_back(shop, sale, part)
        assert back.refund_minor == sum(line.refund_minor for line in back.lines) >= 0
        for line in back.lines:
            left[line.line_id] -= line.count
            sums[line.line_id, "gross"] += line.gross_minor
            sums[line.line_id, "discount"] += line.discount_minor
            sums[line.line_id, "refund"] += line.refund_minor
    for line, (_, _, amount) in zip(decision.lines, goods, strict=True):
        assert sums[line.line_id, "gross"] == amount
        assert sums[line.line_id, "discount"] == line.discount_minor
        assert sums[line.line_id, "refund"] == line.net_minor


@pytest.mark.parametrize(("line_count", "refund"), [(400, 1601), (401, 2000)])
def test_as_many_lines_as_a_receipt_has_room_for(shared, line_count, refund):
    """Every line that is kept loses a cent of discount when the dear one comes back."""
    count = line_count - 1
    sale, decision = sell(shared, (500, 1, 2500), *[(500, 1, 5)] * count)
    assert decision.totals.discount_minor == 500 + count
    back = give_back(shared, sale, (1, 1))
    is_repriced = line_count == 400
    assert (back.refund_minor, len(back.kept)) == (refund, count * is_repriced)
    rest = give_back(shared, sale, *((line, 1) for line in range(2, line_count + 1)))
    assert rest.refund_minor == decision.totals.net_minor - refund


def test_points_and_limits_follow_what_was_refunded(shop):
    sale, decision = sell(shop, (300, 2, 2000), (200, 3, 600), member="ben")
    assert decision.totals.net_minor == 1000 + 450
    assert shop.balance("ben")[0] == 145
    assert shop.quote(basket((200, 1, 200), member="ben")).totals.discount_minor == 0
    first = give_back(shop, sale, (1, 1))
    assert (first.refund_minor, list(first.points), shop.balance("ben")[0]) == (0, [], 145)
    second = give_back(shop, sale, (2, 2))
    assert (second.refund_minor, kept(second)) == (300, {1: 1000, 2: 150})
    assert shop.balance("ben")[0] == 115
    assert give_back(shop, sale, (1, 1), (2, 1)).refund_minor == 1150
    assert shop.balance("ben") == (0, 0)
    assert shop.quote(basket((200, 3, 600), member="ben")).totals.discount_minor == 150


def test_a_sale_is_repriced_by_what_was_used_when_it_was_made(shop):
    """Two of three uses were left: the kept unit has its discount though all are used since."""
    sell(shop, (200, 1, 200), member="ben")
    sale, decision = sell(shop, (200, 3, 600), member="ben")
    assert decision.totals.discount_minor == 100
    back = give_back(shop, sale, (1, 2))
    assert (back.refund_minor, kept(back)) == (500 - 150, {1: 150})


def test_the_offer_has_ended_and_its_program_is_gone(built, shop, program):
    sale, _ = sell(shop, (300, 3, 3000))
    ended = built.compile("ended", POINTS, policies=POLICIES)
    shop.activate(ended)
    first = give_back(shop, sale, (1, 1))
    assert (first.refund_minor, kinds(first), kept(first)) == (1000, [], {1: 1000})
    (shop.data / "snapshots" / program.name).unlink()
    shop.engine.close()
    shop.engine = type(shop)(built, shop.data, data=shop.data, program=ended).engine
    second = give_back(shop, sale, (1, 1))
    assert (kinds(second), kept(second)) == ([(PROGRAM_NOT_KEPT, 0)], {})
    third = give_back(shop, sale, (1, 1))
    assert kinds(third) == []  # nothing is kept, and so nothing is to be decided
    assert [told(back)[1] for back in (first, second, third)] == [
        (1, 1000, 0, 1000), (1, 1000, 667, 333), (1, 1000, 333, 667),
    ]  # fmt: skip


def test_returns_at_once_sum_to_the_whole(shared):
    """Each is decided by what was there when it was entered."""
    for _ in range(6):
        sale, decision = sell(shared, *[(300, 1, 1000 + number) for number in range(8)])
        requests = [shared.return_request(sale, (line, 1)) for line in range(1, 9)]
        with ThreadPoolExecutor(8) as threads:
            backs = [answer.reversal for answer in threads.map(shared.return_items, requests)]
        assert sum(back.refund_minor for back in backs) == decision.totals.net_minor
        assert sum(line.refund_minor for back in backs for line in back.lines) == (
            decision.totals.net_minor
        )
        assert sorted(len(back.kept) for back in backs) == list(range(8))


def test_a_repeat_gets_its_first_answer(shop):
    sale, _ = sell(shop, (300, 3, 3000))
    request = shop.return_request(sale, (1, 1))
    first = shop.call("CheckoutService.ReturnItems", request)
    give_back(shop, sale, (1, 1))
    assert shop.call("CheckoutService.ReturnItems", request) == first
    shop.reopen()
    assert shop.call("CheckoutService.ReturnItems", request) == first


def test_what_a_return_refuses(shared, refused):
    sale, _ = sell(shared, (300, 3, 3000))
    back = shared.return_items
    lsn = shared.lsn
    assert refused(back, shared.return_request(sale, (1, 4))) == "RETURN_TOO_MUCH"
    assert refused(back, shared.return_request(sale, (1, 4), (9, 1))) == "LINE_UNKNOWN"
    greedy = shared.return_request(sale, (1, 1))
    greedy.lines[0].refund_minor = 1001
    assert refused(back, greedy) == "RETURN_TOO_MUCH"
    assert shared.lsn == lsn
    greedy.lines[0].refund_minor = 900  # for opening it again
    assert back(greedy).reversal.refund_minor == 900
    assert give_back(shared, sale, (1, 2)).refund_minor == 1100


def test_what_a_whole_line_refunded_is_agreed_on(shared):
    sale, _ = sell(shared, (300, 1, 1000), (500, 1, 1000))
    request = shared.return_request(sale, (1, 1))
    request.lines[0].refund_minor = 900
    shared.return_items(request)
    assert give_back(shared, sale, (2, 1)).refund_minor == 1000


def test_a_refund_that_was_paid_out_stands_as_prorated(shared):
    sale, _ = sell(shared, (300, 3, 3000))
    paid = shared.return_request(sale, (1, 1), paid=True)
    paid.lines[0].refund_minor = 667
    first = shared.return_items(paid).reversal
    assert (first.refund_minor, kinds(first), kept(first)) == (667, [], {})
    second = give_back(shared, sale, (1, 1))
    assert (second.refund_minor, kept(second)) == (333, {1: 1000})
    assert give_back(shared, sale, (1, 1)).refund_minor == 1000


def test_a_sale_that_points_paid_for_is_prorated(shop):
    sell(shop, (500, 1, 2000), member="ben")
    goods = basket((300, 2, 2000), member="ben")
    goods.redemptions.add(purse_id="base", points=100)
    sale = shop.sale(goods)
    assert shop.commit(sale).decision.totals.net_minor == 900
    back = give_back(shop, sale, (1, 1))
    assert (back.refund_minor, kept(back)) == (450, {})


def test_points_that_paid_for_nothing_pay_for_nothing_that_is_kept(built, tmp_path):
    """Nothing was due; by itself what is kept would cost, and points would pay for some of it."""
    free = {"id": "free", "threshold": {"spend": 30.00, "reward": {"percent": 100}}}
    program = built.compile("free", [free, DEALS[-1], *POINTS], policies=POLICIES)
    shop = Shop(built, tmp_path, program=program)
    sell(shop, (500, 1, 2000), member="ben")
    goods = basket((500, 3, 3000), member="ben")
    goods.redemptions.add(purse_id="base", points=100)
    sale = shop.sale(goods)
    assert shop.commit(sale).decision.totals.net_minor == 0
    back = give_back(shop, sale, (1, 1))
    assert (back.refund_minor, kinds(back), kept(back)) == (0, [(REFUND_CUT, 2000)], {1: 2000})
    shop.engine.close()


def test_a_sale_that_a_till_sold_otherwise_is_prorated(shop):
    """A till that was cut off knew of no offers: what was paid comes back, by units."""
    sale = shop.sale(basket((300, 2, 2000)), paid=True)
    sale.figures.lines.add(line_id=1, discount_minor=0)
    shop.commit(sale)
    back = give_back(shop, sale, (1, 1))
    assert (back.refund_minor, kept(back)) == (1000, {})


def test_goods_that_come_back_with_a_sale_are_prorated(shop):
    sale, _ = sell(shop, (300, 3, 3000))
    back = shop.commit(shop.sale(exchange(sale, 1, 1))).reversal
    assert (back.refund_minor, kept(back)) == (667, {})
    assert give_back(shop, sale, (1, 1)).refund_minor == 333
    assert give_back(shop, sale, (1, 1)).refund_minor == 1000


def test_a_sale_that_was_totalled_is_repriced_as_it_was_shown(built, shop):
    request = checkout_pb2.TotalBasketRequest(
        context=shop.context(), basket=basket((300, 2, 2000), member="ben")
    )
    request.basket.basket_id = "b1"
    answer = shop.call("CheckoutService.TotalBasket", request)
    token = checkout_pb2.TotalBasketResponse.FromString(answer).total_token
    shop.activate(built.compile("later", POINTS, policies=POLICIES))
    sale = shop.sale(request.basket, total_token=token)
    assert shop.commit(sale).decision.totals.net_minor == 1000
    back = give_back(shop, sale, (1, 1))
    assert (back.refund_minor, kept(back)) == (0, {1: 1000})


def test_a_claim_after_goods_came_back(built, shop):
    shop.activate(
        built.compile("claims", [*DEALS, *POINTS], policies={**POLICIES, "claim_days": 30})
    )
    sale, _ = sell(shop, (300, 3, 3000))
    assert give_back(shop, sale, (1, 1)).refund_minor == 1000
    claim = checkout_pb2.ClaimTransactionRequest(
        context=shop.context(), receipt=sale.receipt,
        identifiers=basket(member="cat").identifiers,
        claimed_time_unix_ms=sale.basket.opened_time_unix_ms,
    )  # fmt: skip
    shop.call("CheckoutService.ClaimTransaction", claim)
    assert shop.balance("cat")[0] == 100
    assert give_back(shop, sale, (1, 2)).refund_minor == 1000
    assert shop.balance("cat")[0] == 0
