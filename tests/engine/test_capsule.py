"""Receipts that another node judges: what a capsule carries, and what no capsule can do."""

import random

import pytest

from checklane._engine import Engine
from checklane.ledger.check import verify
from checklane.v1 import checkout_pb2
from tests.engine.shop import (
    OFFERS,
    TODAY,
    TOMORROW,
    RefusedError,
    Shop,
    basket,
    open_engine,
)  # fmt: skip
from tests.engine.test_exchange import bring_back
from tests.engine.test_replay import commits, files_of
from tests.support.engine_fixture import HOLD_OUT_KEY

CLAW_BACK_SHORT = 14
TOMBSTONE = 2
PAY = {"id": "pay", "redeem": {"purse": "base", "points": 100, "pays": 1.00}}
RETURN_DAYS = 30


@pytest.fixture(scope="module")
def program(built):
    """Return a program with points that pay, that takes points back below zero."""
    policies = {"claw_back": "negative", "return_days": RETURN_DAYS}
    return built.compile("capsules", [*OFFERS, PAY], policies=policies)


@pytest.fixture
def nodes(built, program, tmp_path):
    """Return two nodes of one retailer: the first sells, the second has never seen a sale."""
    opened = [Shop(built, tmp_path / name, program=program) for name in ("home", "away")]
    yield opened
    for shop in opened:
        shop.engine.close()


def sell(shop, *lines, **fields):
    """Commit a sale that asks for a capsule; return the request and the answer."""
    member = fields.pop("member", None)
    sale = shop.sale(basket(*lines, member=member), issue_capsule=True, **fields)
    return sale, shop.commit(sale)


def give_back(shop, sale, capsule, *lines, **fields):
    """Bring units back to a node by a capsule."""
    return shop.return_items(shop.return_request(sale, *lines, receipt_capsule=capsule, **fields))


def bring_home(shop, sale, told, line):
    """Tell the sale's own node what came back elsewhere."""
    request = shop.return_request(sale, line, paid=True, points_settled=True)
    request.receipt.store_id = "S2"
    request.lines[0].refund_minor = told.reversal.refund_minor
    answer = shop.return_items(request)
    assert answer.reversal.lines == told.reversal.lines
    assert not answer.reversal.exceptions
    assert not answer.reversal.points


def limited_left(shop, member):
    """Return what the limited offer would still take off."""
    return shop.quote(basket((200, 10, 2000), member=member)).totals.discount_minor


def refusal(shop, request):
    """Return the name and place of a return's refusal, which changes nothing."""
    lsn = shop.lsn
    with pytest.raises(RefusedError) as refused:
        shop.return_items(request)
    assert shop.lsn == lsn
    return refused.value.name, refused.value.place


def test_who_does_not_ask_gets_none(shop):
    assert shop.commit(shop.sale(basket((500, 1, 100)))).receipt_capsule == b""
    training = shop.sale(basket((500, 1, 100)), issue_capsule=True, training=True)
    assert shop.commit(training).receipt_capsule == b""
    voided = shop.sale(basket((500, 1, 100)), issue_capsule=True)
    shop.void(shop.void_request(voided))
    assert shop.commit(voided).receipt_capsule == b""


def test_goods_come_back_where_nobody_knows_the_sale(nodes, program):
    """The worked example of V2."""
    home, away = nodes
    sale, sold = sell(home, (500, 3, 1000), (100, 1, 500), member="ben")
    capsule = sold.receipt_capsule
    assert 60 < len(capsule) < 200
    request = away.return_request(sale, (1, 1), receipt_capsule=capsule)
    first = away.return_items(request)
    assert first.reversal.refund_minor == 333
    assert [line.remaining_count for line in first.reversal.lines] == [2]
    assert away.return_items(request) == first
    away.engine.close()
    away.engine = open_engine(away.data)
    away.activate(program, away.built.catalogue, away.built.members)
    assert away.return_items(request) == first
    assert give_back(away, sale, capsule, (1, 1)).reversal.refund_minor == 334
    rest = give_back(away, sale, capsule, (1, None), (2, None))
    assert rest.reversal.refund_minor == 333 + 450
    assert rest.posting.business_date == TOMORROW
    again = away.return_request(sale, (1, 1), receipt_capsule=capsule)
    assert refusal(away, again) == ("RETURN_TOO_MUCH", "lines[0].count")


@pytest.mark.parametrize("seed", range(3))
def test_it_is_as_if_the_sale_had_been_made_here(nodes, built, program, tmp_path, seed):
    """Money and points of any sequence of returns are those of a node that knows the sale."""
    draw = random.Random(seed)
    home, away = nodes
    twin = Shop(built, tmp_path / "twin", program=program)
    lines = [
        (draw.choice([100, 200, 500]), draw.randint(1, 5), draw.randint(100, 3000))
        for _ in range(draw.randint(1, 5))
    ]
    for shop in (home, twin, away):
        shop.adjust(shop.adjust_request("ben", 400, active_date=20260301))
    bought = basket(*lines, member="ben")
    bought.redemptions.add(purse_id="base", points=draw.choice([100, 300]))
    sale = home.sale(bought, issue_capsule=True)
    capsule = home.commit(sale).receipt_capsule
    assert twin.commit(sale).receipt_capsule == capsule
    left = {number: line[1] for number, line in enumerate(lines, 1)}
    sold_points = twin.balance("ben")[0] - 400
    while any(left.values()):
        line = draw.choice([number for number, count in left.items() if count])
        count = draw.randint(1, left[line])
        left[line] -= count
        known = twin.return_items(twin.return_request(sale, (line, count)))
        told = give_back(away, sale, capsule, (line, count))
        assert told.reversal.lines == known.reversal.lines
        assert told.reversal.points == known.reversal.points
        bring_home(home, sale, told, (line, count))
    assert twin.balance("ben")[0] == 400
    assert away.balance("ben")[0] == 400 - sold_points
    assert home.balance("ben")[0] == 400 + sold_points
    assert limited_left(home, "ben") == limited_left(twin, "ben") == 500
    twin.engine.close()


def test_it_is_prorated_where_the_program_reprices(nodes, built, tmp_path):
    home, _ = nodes
    sale, sold = sell(home, (500, 3, 1000))
    program = built.compile("capsules-reprice", OFFERS, policies={"returns": "reprice"})
    repricing = Shop(built, tmp_path / "repricing", program=program)
    back = give_back(repricing, sale, sold.receipt_capsule, (1, 2))
    assert back.reversal.refund_minor == 667
    assert not back.reversal.exceptions
    repricing.engine.close()


def test_points_that_are_not_here_are_owed_or_listed(nodes, built, tmp_path):
    home, away = nodes
    sale, sold = sell(home, (500, 2, 1000), member="ben")
    back = give_back(away, sale, sold.receipt_capsule, (1, 1))
    assert {p.purse_id: p.points for p in back.reversal.points} == {"base": -50, "late": -5}
    assert away.balance("ben")[0] == -50
    within = Shop(built, tmp_path / "within")
    short = give_back(within, sale, sold.receipt_capsule, (1, 1))
    assert {e.purse_id: e.points for e in short.reversal.exceptions} == {"base": 50, "late": 5}
    assert {e.kind for e in short.reversal.exceptions} == {CLAW_BACK_SHORT}
    within.engine.close()


def test_its_own_node_asks_the_journal(nodes):
    home, _ = nodes
    sale, sold = sell(home, (500, 2, 1000))
    assert give_back(home, sale, b"\0" * 90, (1, 1)).reversal.refund_minor == 500
    assert give_back(home, sale, sold.receipt_capsule, (1, 1)).reversal.refund_minor == 500


def test_a_refund_at_two_nodes_is_found(nodes):
    home, away = nodes
    sale, sold = sell(home, (500, 2, 1000))
    told = give_back(away, sale, sold.receipt_capsule, (1, 1))
    home.return_items(home.return_request(sale, (1, 2)))
    request = home.return_request(sale, (1, 1), paid=True, points_settled=True)
    request.lines[0].refund_minor = told.reversal.refund_minor
    assert refusal(home, request) == ("RETURN_TOO_MUCH", "lines[0].count")


def test_no_bit_of_it_can_be_another(nodes):
    home, away = nodes
    sale, sold = sell(home, (500, 2, 1000), (200, 1, 300), member="ben")
    capsule = sold.receipt_capsule
    wrong = [capsule[:size] for size in range(1, len(capsule), 7)] + [capsule + b"\0"]
    for at in range(len(capsule)):
        changed = bytearray(capsule)
        changed[at] ^= 1 << at % 8
        wrong.append(bytes(changed))
    for damaged in wrong:
        request = away.return_request(sale, (1, 1), receipt_capsule=damaged)
        assert refusal(away, request) == ("CAPSULE_INVALID", "receipt_capsule")
    without = away.return_request(sale, (1, 1))
    assert refusal(away, without) == ("RECEIPT_UNKNOWN", "original_receipt")


def test_of_another_receipt_or_retailer_it_says_nothing(nodes, built, tmp_path):
    home, away = nodes
    sale, sold = sell(home, (500, 2, 1000))
    other, _ = sell(home, (500, 2, 1000))
    request = away.return_request(other, (1, 1), receipt_capsule=sold.receipt_capsule)
    assert refusal(away, request) == ("CAPSULE_INVALID", "receipt_capsule")
    stranger = Shop(built, tmp_path / "stranger", program=built.stranger)
    request = stranger.return_request(sale, (1, 1), receipt_capsule=sold.receipt_capsule)
    assert refusal(stranger, request) == ("CAPSULE_INVALID", "receipt_capsule")
    stranger.engine.close()


def test_under_another_key_it_says_nothing(nodes, built, program, tmp_path):
    home, _ = nodes
    sale, sold = sell(home, (500, 2, 1000))
    keyed = Shop(built, tmp_path / "keyed", program=program, members=False)
    keyed.engine.close()
    keyed.engine = Engine(
        str(keyed.data), sessions=2, checkpoint_pause_ms=1, node=0, partition=0,
        identity_key=bytes(16), hold_out_key=HOLD_OUT_KEY,
    )  # fmt: skip
    keyed.activate(program, built.catalogue)
    request = keyed.return_request(sale, (1, 1), receipt_capsule=sold.receipt_capsule)
    assert refusal(keyed, request) == ("CAPSULE_INVALID", "receipt_capsule")
    keyed.engine.close()


def test_it_has_a_last_day(nodes):
    home, away = nodes
    sale, sold = sell(home, (500, 2, 1000))
    last = away.receipt(20260403)  # 30 days after 4 March
    assert TODAY == 20260304
    on_time = give_back(away, sale, sold.receipt_capsule, (1, 1), receipt=last)
    assert on_time.reversal.refund_minor == 500
    late = away.return_request(
        sale, (1, 1), receipt_capsule=sold.receipt_capsule, receipt=away.receipt(20260404)
    )
    assert refusal(away, late) == ("CAPSULE_EXPIRED", "receipt_capsule")


def test_voids_of_a_sale_of_elsewhere(nodes, refused):
    home, away = nodes
    sale, sold = sell(home, (500, 2, 1000))
    give_back(away, sale, sold.receipt_capsule, (1, 1))
    assert refused(away.void, away.void_request(sale)) == "RECEIPT_HAS_RETURNS"
    other, sold = sell(home, (500, 2, 1000))
    assert away.void(away.void_request(other)).outcome == TOMBSTONE
    request = away.return_request(other, (1, 1), receipt_capsule=sold.receipt_capsule)
    assert refusal(away, request)[0] == "RECEIPT_VOIDED"


def exchanged(sale, capsule, *lines):
    """Return a basket in which units come back by a capsule."""
    swap = bring_back(basket((500, 1, 300), member="ben"), sale, *lines)
    for line in swap.lines:
        if line.HasField("original"):
            line.original.receipt_capsule = capsule
    return swap


def test_with_what_is_bought(nodes, program):
    home, away = nodes
    sale, sold = sell(home, (500, 2, 1000), member="ben")
    swap = exchanged(sale, sold.receipt_capsule, (1, 1))
    assert away.quote(swap).totals.due_minor == -200
    total = checkout_pb2.TotalBasketRequest(context=away.context(), basket=swap)
    total.basket.basket_id = swap.basket_id = "b"
    answer = checkout_pb2.TotalBasketResponse.FromString(
        away.call("CheckoutService.TotalBasket", total)
    )
    done = away.commit(away.sale(swap, total_token=answer.total_token, issue_capsule=True))
    assert (done.reversal.refund_minor, done.decision.totals.due_minor) == (500, -200)
    again = exchanged(sale, sold.receipt_capsule, (1, 1))
    assert away.commit(away.sale(again)).reversal.lines[0].remaining_count == 0
    damaged = exchanged(sale, sold.receipt_capsule[:-1], (1, 1))
    with pytest.raises(RefusedError) as refused:
        away.quote(damaged)
    assert refused.value.args == (
        "CAPSULE_INVALID",
        "basket.lines[1].original.receipt_capsule",
    )
    paid = away.commit(away.sale(damaged, paid=True))
    assert [e.line_id for e in paid.decision.exceptions] == [2]
    for shop in nodes:
        for entry, facts, response in commits(shop):
            assert shop.engine.replay(entry, *files_of(shop, facts)) == (0, response)


def test_the_accounts_follow_from_the_journal(nodes):
    home, away = nodes
    sale, sold = sell(home, (500, 2, 1000), (100, 2, 700), member="ben")
    give_back(away, sale, sold.receipt_capsule, (1, 1))
    give_back(away, sale, sold.receipt_capsule, (2, 1), (1, 1))
    away.engine.close()
    assert verify(away.data, lambda *_: None).is_sound


def test_a_sale_that_it_can_not_hold_has_none(shop):
    many = [(500, 1, 100 + number) for number in range(512)]
    _, sold = sell(shop, *many[:400])
    assert 2000 < len(sold.receipt_capsule) <= 4096
    wide = shop.sale(basket(*[(500, 1000, 10**9)] * 512), issue_capsule=True)
    for number, line in enumerate(wide.basket.lines):
        line.line_id = 2**31 + number
    assert shop.commit(wide).receipt_capsule == b""


def test_a_sale_that_comes_after_its_capsule_is_found(nodes):
    """The sale is entered here as well, as when a lane went over to this node and sends again."""
    home, away = nodes
    sale, sold = sell(home, (500, 2, 1000))
    give_back(away, sale, sold.receipt_capsule, (1, 1))
    away.commit(sale)
    rest = give_back(away, sale, sold.receipt_capsule, (1, None))
    assert rest.reversal.refund_minor == 500
    away.engine.close()
    assert verify(away.data, lambda *_: None).is_sound
