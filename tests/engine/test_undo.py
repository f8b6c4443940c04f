"""Voids and returns: money to the cent and points to the unit, in any order of parts."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from checklane.v1 import checkout_pb2
from tests.engine.shop import TOMORROW, Shop, basket

VOIDED, TOMBSTONE = 1, 2
CLAW_BACK_SHORT = 14


def limited_left(shop, member):
    """Return how many limited units a member may still get."""
    return shop.quote(basket((200, 10, 2000), member=member)).totals.discount_minor // 50


def test_a_void_gives_everything_back(shop, refused):
    sale = shop.sale(basket((200, 6, 1200), (100, 1, 1000), member="ann"))
    sold = shop.commit(sale)
    assert sold.decision.totals.discount_minor == 400
    assert (limited_left(shop, "ann"), shop.balance("ann")[0]) == (4, 180)
    request = shop.void_request(sale)
    first = shop.call("CheckoutService.VoidTransaction", request)
    answer = checkout_pb2.VoidTransactionResponse.FromString(first)
    assert (answer.outcome, answer.reversal.refund_minor) == (VOIDED, 1800)
    lines = [(x.line_id, x.gross_minor, x.discount_minor) for x in answer.reversal.lines]
    assert lines == [(1, 1200, 300), (2, 1000, 100)]
    points = {p.purse_id: p.points for p in answer.reversal.points}
    assert points == {"base": -180, "late": -18}
    assert [b.available_points for b in answer.reversal.balances] == [0, 0]
    assert (limited_left(shop, "ann"), shop.balance("ann")) == (10, (0, 0))
    assert shop.call("CheckoutService.VoidTransaction", request) == first
    assert refused(shop.void, shop.void_request(sale)) == "RECEIPT_VOIDED"
    assert refused(shop.return_items, shop.return_request(sale, (1, 1))) == "RECEIPT_VOIDED"
    shop.reopen()
    assert shop.call("CheckoutService.VoidTransaction", request) == first
    assert (limited_left(shop, "ann"), shop.balance("ann")) == (10, (0, 0))


def test_one_of_many_voids_wins(shared):
    sale = shared.sale(basket((500, 1, 1000), member="eve"))
    shared.commit(sale)
    requests = [shared.void_request(sale) for _ in range(8)]
    method = "CheckoutService.VoidTransaction"
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(shared.raw, [method] * 8, requests))
    assert sorted(status for status, _ in answers) == [0] + [34] * 7
    assert shared.balance("eve")[0] == 0


def test_a_void_by_the_key_of_the_sale(shared):
    sale = shared.sale(basket((500, 1, 1000)))
    shared.commit(sale)
    key = sale.context.idempotency_key
    answer = shared.void(shared.void_request(original_idempotency_key=key))
    assert (answer.outcome, answer.reversal.refund_minor) == (VOIDED, 1000)


def test_the_voids_own_receipt_gives_the_date(shared, refused):
    sale = shared.sale(basket((500, 1, 1000)))
    shared.commit(sale)
    own = shared.receipt(TOMORROW)
    answer = shared.void(shared.void_request(sale, receipt=own))
    assert answer.posting.business_date == TOMORROW
    assert refused(shared.commit, shared.sale(basket((500, 1, 1)), receipt=own)) == "RECEIPT_REUSED"


@pytest.mark.parametrize("is_by_key", [False, True])
def test_a_tombstone_waits_for_its_sale(shop, refused, is_by_key):
    sale = shop.sale(basket((200, 2, 400), member="ann"))
    named = {"original_idempotency_key": sale.context.idempotency_key} if is_by_key else {}
    void = shop.void_request(None if is_by_key else sale, **named)
    answer = shop.void(void)
    assert (answer.outcome, answer.HasField("reversal")) == (TOMBSTONE, False)
    again = shop.void_request(None if is_by_key else sale, **named)
    assert refused(shop.void, again) == "RECEIPT_VOIDED"
    shop.reopen()
    first = shop.commit(sale)
    assert (first.outcome, first.decision.totals.due_minor) == (3, 300)
    assert not first.decision.earned
    assert shop.commit(sale) == first
    assert (shop.balance("ann"), limited_left(shop, "ann")) == ((0, 0), 10)
    assert refused(shop.void, shop.void_request(sale)) == "RECEIPT_VOIDED"
    assert refused(shop.return_items, shop.return_request(sale, (1, 1))) == "RECEIPT_VOIDED"


def test_sale_and_void_at_once_end_at_nothing(shared):
    """Whichever comes first: the sale is undone, once."""
    for _ in range(40):
        sale = shared.sale(basket((500, 1, 1000), member="cat"))
        void = shared.void_request(sale)
        with ThreadPoolExecutor(2) as threads:
            sold, voided = threads.submit(shared.commit, sale), threads.submit(shared.void, void)
            outcomes = (sold.result().outcome, voided.result().outcome)
        assert outcomes in {(1, VOIDED), (3, TOMBSTONE)}
        assert shared.balance("cat")[0] == 0


def test_a_return_of_a_return_or_of_nothing(shared, refused):
    sale = shared.sale(basket((500, 2, 1000)))
    shared.commit(sale)
    back = shared.return_request(sale, (1, 1))
    shared.return_items(back)
    for receipt in (back.receipt, shared.receipt()):
        wrong = shared.return_request(sale, (1, 1))
        wrong.original_receipt.CopyFrom(receipt)
        assert refused(shared.return_items, wrong) == "RECEIPT_UNKNOWN"
    wrong = shared.void_request()
    wrong.original_receipt.CopyFrom(back.receipt)
    assert refused(shared.void, wrong) == "RECEIPT_UNKNOWN"


def test_what_a_return_refuses(shared, refused):
    sale = shared.sale(basket((500, 2, 1000), (500, 1, 500)))
    shared.commit(sale)
    back = shared.return_items

    def refusal(*lines):
        return refused(back, shared.return_request(sale, *lines))

    lsn = shared.lsn
    assert refusal((1, 3)) == "RETURN_TOO_MUCH"
    assert refusal((1, 3), (9, 1)) == "LINE_UNKNOWN"
    weighed = shared.return_request(sale, (1, 1))
    weighed.lines[0].quantity_thousandths = 5
    assert refused(back, weighed) == "MEASURE_NOT_DIVIDED"
    weighed.lines[0].line_id = 9
    assert refused(back, weighed) == "LINE_UNKNOWN"
    greedy = shared.return_request(sale, (1, 1))
    greedy.lines[0].refund_minor = 501
    assert refused(back, greedy) == "RETURN_TOO_MUCH"
    assert shared.lsn == lsn
    assert back(shared.return_request(sale, (1, None))).reversal.lines[0].count == 2
    assert refusal((1, None)) == "RETURN_TOO_MUCH"
    assert refused(shared.void, shared.void_request(sale)) == "RECEIPT_HAS_RETURNS"


def test_a_paid_refund_is_posted_as_paid(shared):
    sale = shared.sale(basket((500, 2, 1000)))
    shared.commit(sale)
    paid = shared.return_request(sale, (1, 1), paid=True)
    paid.lines[0].refund_minor = 600
    answer = shared.return_items(paid)
    assert answer.reversal.refund_minor == 600
    (told,) = answer.reversal.exceptions
    assert (told.kind, told.line_id, told.amount_minor) == (1, 1, 100)
    rest = shared.return_items(shared.return_request(sale, (1, None)))
    assert rest.reversal.refund_minor == 400


@pytest.mark.parametrize("seed", range(12))
def test_parts_sum_to_the_whole(shared, seed):
    rng = random.Random(seed)
    name = f"parts-{seed}"
    shared.enrol(name, identifiers=[{"kind": 1, "value": f"60{seed:04}"}])
    goods = [
        (rng.choice([100, 200, 500]), rng.randint(1, 7), rng.randint(0, 5000)) for _ in range(5)
    ]
    sale = shared.sale(basket(*goods, card=f"60{seed:04}"))
    sold = shared.commit(sale)
    earned = shared.balance(name)
    left = {number: count for number, (_, count, _) in enumerate(goods, 1)}
    refund = gross = 0
    points = {"base": 0, "late": 0}
    while left:
        lines = rng.sample(sorted(left), rng.randint(1, len(left)))
        parts = [(line, rng.randint(1, left[line])) for line in lines]
        answer = shared.return_items(shared.return_request(sale, *parts)).reversal
        for line, part in zip(sorted(answer.lines, key=lambda x: lines.index(x.line_id)), parts,
                              strict=True):  # fmt: skip
            assert (line.line_id, line.count) == part
            left[part[0]] -= part[1]
            assert line.remaining_count == left[part[0]]
            assert line.gross_minor == line.discount_minor + line.refund_minor
            assert line.refund_minor >= 0
            if left[part[0]] == 0:
                del left[part[0]]
        refund += answer.refund_minor
        gross += sum(line.gross_minor for line in answer.lines)
        for taken in answer.points:
            assert taken.points < 0
            points[taken.purse_id] -= taken.points
        totals = sold.decision.totals
        assert refund <= totals.net_minor
        assert points["base"] <= earned[0]
        assert shared.balance(name)[0] == earned[0] - points["base"]
        if left:
            assert limited_left(shared, name) == 10 - sum(
                line.unit_count for x in sold.decision.lines for line in x.applied
                if line.offer_id == "limited"
            )  # fmt: skip
    assert (refund, gross) == (totals.net_minor, totals.gross_minor)
    assert shared.balance(name) == (0, 0)
    assert limited_left(shared, name) == 10


@pytest.mark.parametrize(
    ("policy", "available", "is_short"),
    [("program", 0, True), ("lenient", -100, False), ("strict", 0, True)],
)
def test_points_that_are_not_there(built, tmp_path, policy, available, is_short):
    """The sale's points have expired; what is taken back then is what the policy says."""
    shop = Shop(built, tmp_path, program=getattr(built, policy))
    try:
        sale = shop.sale(basket((500, 1, 10_000), member="ben"))
        shop.commit(sale)
        # Base points never expire, so only those of the purse `late` go: 100 of them.
        request = shop.return_request(sale, (1, 1), receipt=shop.receipt(20270101))
        answer = shop.return_items(request).reversal
        kinds = [(e.kind, e.purse_id, e.points) for e in answer.exceptions]
        expected = [(CLAW_BACK_SHORT, "late", 100)] if is_short else []
        if policy == "strict":  # nothing is pending any more
            expected.insert(0, (CLAW_BACK_SHORT, "base", 1000))
        assert kinds == expected
        balances = {b.purse_id: b.available_points for b in answer.balances}
        assert balances["late"] == available
        assert balances["base"] == (1000 if policy == "strict" else 0)
        taken = {p.purse_id: p.points for p in answer.points}
        assert taken.get("late", 0) == (0 if is_short else -100)
    finally:
        shop.engine.close()
