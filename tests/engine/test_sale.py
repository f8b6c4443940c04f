"""Quotes change nothing; a sale is entered once, whatever the till repeats."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from checklane.v1 import checkout_pb2, common_pb2, decision_pb2
from tests.engine.shop import CROWD, NAMES, TOMORROW, RefusedError, basket, identifier

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "CheckoutService.CommitTransaction"
QUOTE = "CheckoutService.QuoteBasket"
POSTED, WITH_EXCEPTIONS, VOIDED_BEFORE, TRAINING = 1, 2, 3, 4


def test_a_quote_changes_nothing_and_repeats_itself(shared):
    request = shared.quote_request(basket((100, 3, 999), (200, 2, 500), member="ann"))
    lsn, first = shared.lsn, shared.call(QUOTE, request)
    assert [shared.call(QUOTE, request) for _ in range(3)] == [first] * 3
    assert shared.lsn == lsn


def test_a_sale_is_entered_once(shop):
    request = shop.sale(basket((100, 1, 1000), member="ben"))
    first = shop.call(COMMIT, request)
    lsn = shop.lsn
    answer = checkout_pb2.CommitTransactionResponse.FromString(first)
    assert (answer.outcome, answer.posting.lsn) == (POSTED, lsn)
    assert answer.balances[0].available_points == 90
    assert shop.call(COMMIT, request) == first
    request.context.attempt = 2
    request.context.correlation_id = "again"
    request.context.sent_time_unix_ms = 1_772_618_400_001
    assert shop.call(COMMIT, request) == first
    assert (shop.lsn, shop.balance("ben")) == (lsn, (90, 0))
    shop.reopen()
    assert shop.call(COMMIT, request) == first
    assert shop.balance("ben") == (90, 0)
    shop.engine.checkpoint()
    shop.reopen()
    assert shop.call(COMMIT, request) == first


ABANDONED = """
import os, sys
from pathlib import Path
from tests.engine.shop import open_engine, METHODS
engine = open_engine(Path(sys.argv[1]))
engine.activate(*sys.argv[2:5])
status, answer = engine.call(METHODS["CheckoutService.CommitTransaction"],
                             bytes.fromhex(sys.argv[5]))
print(status, answer.hex(), flush=True)
os._exit(0)
"""


def test_a_sale_survives_an_abandoned_process(shop):
    request = shop.sale(basket((100, 1, 1000), member="ben"))
    shop.engine.close()
    built = shop.built
    paths = map(str, (shop.data, built.program, built.catalogue, built.members))
    done = subprocess.run(
        [sys.executable, "-c", ABANDONED, *paths, request.SerializeToString().hex()],
        capture_output=True, text=True, cwd=ROOT, check=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )  # fmt: skip
    status, answer = done.stdout.split()
    assert status == "0"
    shop.reopen()
    assert shop.engine.stats()["recovered_entries"] > 0
    assert shop.call(COMMIT, request).hex() == answer
    assert shop.balance("ben") == (90, 0)


def test_sixteen_twins_make_one_entry(shop):
    before = shop.lsn
    for _ in range(20):
        request = shop.sale(basket((100, 1, 1000), member="ben"))
        with ThreadPoolExecutor(16) as threads:
            answers = set(threads.map(shop.raw, [COMMIT] * 16, [request] * 16))
        assert len(answers) == 1
        assert next(iter(answers))[0] == 0
    assert shop.lsn == before + 20
    assert shop.balance("ben") == (20 * 90, 0)


def test_a_key_is_bound_to_its_content(shared, refused):
    request = shared.sale(basket((100, 1, 1000)))
    shared.commit(request)
    other = checkout_pb2.CommitTransactionRequest.FromString(request.SerializeToString())
    other.basket.lines[0].amount_minor = 999
    assert refused(shared.commit, other) == "KEY_REUSED"
    training = checkout_pb2.CommitTransactionRequest.FromString(request.SerializeToString())
    training.context.training = True
    assert shared.commit(training).outcome == TRAINING
    # Another till's key of the same letters is another key.
    elsewhere = shared.sale(basket((100, 1, 999)), key=request.context.idempotency_key)
    for message in (elsewhere.context, elsewhere.receipt, elsewhere.basket):
        message.till_id = "8"
    assert shared.commit(elsewhere).outcome == POSTED


@pytest.mark.parametrize("amount", [1000, 999])
def test_a_receipt_is_entered_under_one_key(shared, refused, amount):
    request = shared.sale(basket((100, 1, 1000)))
    shared.commit(request)
    lsn = shared.lsn
    again = shared.sale(basket((100, 1, amount)), receipt=request.receipt)
    assert refused(shared.commit, again) == "RECEIPT_REUSED"
    assert shared.lsn == lsn


def test_twins_under_two_keys_are_one_sale(shared):
    """Both are in the queue at once: what the callers see before must not decide it."""
    for _ in range(20):
        request = shared.sale(basket((100, 1, 1000)))
        twins = [shared.sale(request.basket, receipt=request.receipt) for _ in range(8)]
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(shared.raw, [COMMIT] * 8, twins))
        assert sorted(NAMES[status] for status, _ in answers) == ["OK"] + 7 * ["RECEIPT_REUSED"]


def test_the_lowest_refusal_is_answered(shared, refused):
    request = shared.sale(basket((100, 1, 1000)))
    first = shared.call(COMMIT, request)
    changed = checkout_pb2.CommitTransactionRequest.FromString(request.SerializeToString())
    changed.basket.store_id = changed.receipt.store_id = "S9"  # the key's store is the context's
    assert refused(shared.commit, changed) == "STORE_UNKNOWN"
    changed.basket.currency_code = "EUR"
    assert refused(shared.commit, changed) == "FIELD_OUT_OF_RANGE"
    changed.basket.lines[0].kind = 2
    changed.basket.lines[0].original.receipt.CopyFrom(changed.receipt)
    changed.basket.lines[0].original.line_id = 1
    changed.basket.lines[0].measure.quantity_thousandths = 1
    changed.basket.lines[0].measure.unit = 1
    assert shared.call(COMMIT, request) == first
    changed.basket.lines[0].ClearField("original")
    assert refused(shared.quote, changed.basket) == "FIELD_OUT_OF_RANGE"


def test_a_repeat_is_answered_though_its_store_has_gone(shop, refused):
    request = shop.sale(basket((100, 1, 1000)))
    first = shop.call(COMMIT, request)
    shop.activate(shop.built.moved, shop.built.moved_catalogue)
    assert shop.call(COMMIT, request) == first
    assert refused(shop.commit, shop.sale(basket((100, 1, 1000)))) == "STORE_UNKNOWN"


def test_limits_hold_between_quote_and_commit(shop):
    """Eight tills sell ten limited units each; ten are reduced in all.

    Whether two of them meet is up to the machine: so member after member, until a sale was decided
    again.
    """
    for member in CROWD:
        sales = [shop.sale(basket((200, 10, 2000), member=member)) for _ in range(8)]
        assert all(shop.quote(sale.basket).totals.discount_minor == 500 for sale in sales)
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(shop.commit, sales))
        discounts = sorted(answer.decision.totals.discount_minor for answer in answers)
        assert discounts == [0] * 7 + [500]
        # Points are earned on what was paid, so each decision was made whole.
        assert shop.balance(member)[0] == 7 * 200 + 150
        if shop.engine.stats()["redecisions"] > 0:
            return
    raise AssertionError("no two sales of one member met")


def test_refuse_on_change(shop, refused):
    wanted = basket((200, 10, 2000), member="ben")
    figures = decision_pb2.Figures(discount_minor=500)
    assert shop.commit(shop.sale(wanted, figures=figures, refuse_on_change=True)).outcome == POSTED
    lsn = shop.lsn
    for part in (
        {"discount_minor": 500},
        {"due_minor": 1500},
        {"lines": [{"line_id": 1, "discount_minor": 500}]},
        {"points": [{"purse_id": "base", "points": 150}]},
    ):
        request = shop.sale(wanted, figures=decision_pb2.Figures(**part), refuse_on_change=True)
        assert refused(shop.commit, request) == "DECISION_CHANGED", part
    assert shop.lsn == lsn
    agreed = decision_pb2.Figures(
        discount_minor=0, due_minor=2000, lines=[{"line_id": 1, "discount_minor": 0}],
        points=[{"purse_id": "base", "points": 200}],
    )  # fmt: skip
    assert shop.commit(shop.sale(wanted, figures=agreed, refuse_on_change=True)).outcome == POSTED
    # Shown otherwise, not paid, not refused: it is what is decided.
    shown = shop.sale(wanted, figures=figures)
    assert shop.commit(shown).outcome == POSTED


def test_a_refusal_brings_the_figures_of_now(shop):
    sold = basket((100, 2, 1000), (500, 1, 700), member="cat")
    figures = decision_pb2.Figures(
        discount_minor=150, due_minor=-1600,
        lines=[{"line_id": 1, "discount_minor": 150}, {"line_id": 2, "discount_minor": 0}],
        points=[{"purse_id": "base", "points": 160}, {"purse_id": "none", "points": 5}],
    )  # fmt: skip
    for training in (False, True):
        request = shop.sale(sold, figures=figures, refuse_on_change=True)
        request.context.training = training
        with pytest.raises(RefusedError) as caught:
            shop.commit(request)
        assert (caught.value.name, caught.value.place) == (
            "DECISION_CHANGED", "figures.discount_minor",
        )  # fmt: skip
        changed = caught.value.changed
        assert [(c.place, c.shown, c.decided) for c in changed.changes] == [
            ("figures.discount_minor", 150, 100),
            ("figures.due_minor", -1600, 1600),
            ("figures.lines[0].discount_minor", 150, 100),
            ("figures.points[1].points", 5, 0),
        ]
        now = decision_pb2.Figures(
            discount_minor=100, due_minor=1600, lines=[{"line_id": 1, "discount_minor": 100}],
            points=[{"purse_id": "base", "points": 160}, {"purse_id": "late", "points": 16}],
        )  # fmt: skip
        assert changed.figures == now
    agreed = shop.sale(sold, figures=changed.figures, refuse_on_change=True)
    assert shop.commit(agreed).outcome == POSTED


def test_a_refusal_tells_of_32_figures_at_most(shop):
    sold = basket(*[(100, 1, 1_000_000_000 + number) for number in range(64)])
    figures = decision_pb2.Figures(
        lines=[{"line_id": number, "discount_minor": 1} for number in range(1, 65)]
    )
    with pytest.raises(RefusedError) as caught:
        shop.commit(shop.sale(sold, figures=figures, refuse_on_change=True))
    changed = caught.value.changed
    assert [line.line_id for line in changed.figures.lines] == list(range(1, 33))
    assert [change.place for change in changed.changes] == [
        f"figures.lines[{number}].discount_minor" for number in range(32)
    ]
    assert changed.figures.HasField("discount_minor")


def test_a_paid_sale_posts_as_sold(shared):
    figures = decision_pb2.Figures(
        discount_minor=300, lines=[{"line_id": 1, "discount_minor": 300}],
        points=[{"purse_id": "base", "points": 70}, {"purse_id": "none", "points": 5}],
    )  # fmt: skip
    sale = shared.sale(basket((100, 2, 1000), member="cat"), figures=figures, paid=True)
    answer = shared.commit(sale)
    assert answer.outcome == WITH_EXCEPTIONS
    told = [(e.kind, e.amount_minor, e.purse_id, e.points) for e in answer.decision.exceptions]
    assert told == [(1, 200, "", 0), (2, 0, "base", -20), (2, 0, "none", 5)]
    # What was paid is what comes back.
    back = shared.return_items(shared.return_request(sale, (1, 1)))
    assert back.reversal.refund_minor == 350
    chosen = basket((100, 1, 100))
    chosen.selections.add(offer_id="nothing")
    assert shared.commit(shared.sale(chosen, paid=True)).outcome == POSTED


def test_chosen_offers_must_exist(shared, refused):
    chosen = basket((100, 1, 1000))
    chosen.selections.add(offer_id="pick")
    assert shared.quote(chosen).totals.discount_minor >= 100
    chosen.selections.add(offer_id="nothing")
    assert refused(shared.quote, chosen) == "OFFER_UNKNOWN"
    assert refused(shared.commit, shared.sale(chosen)) == "OFFER_UNKNOWN"


def test_training_touches_nothing(shop):
    lsn = shop.lsn
    card = basket((200, 10, 2000), card="77000009")
    request = shop.sale(card, training=True)
    answer = shop.commit(request)
    assert (answer.outcome, answer.posting.lsn) == (TRAINING, 0)
    assert answer.decision.totals.discount_minor == 500
    assert shop.lsn == lsn
    assert shop.identify(identifier("77000009")).members[0].result == 3
    request.context.training = False
    assert shop.commit(request).outcome == POSTED


def test_a_member_blocked_in_between_gives_no_member_price(shop):
    """The decision read a member of the snapshot, without any row of the overlay to compare."""
    with ThreadPoolExecutor(3) as threads:
        for name in CROWD:
            sales = [shop.sale(basket((400, 1, 100), member=name)) for _ in range(2)]
            sold = [threads.submit(shop.commit, sales[0])]
            blocked = threads.submit(shop.update, name, blocked=True)
            sold.append(threads.submit(shop.commit, sales[1]))
            blocked.result()
            answers = [one.result() for one in sold]
            for answer in answers:
                is_member = answer.decision.members[0].result == 1
                assert answer.decision.totals.discount_minor == (50 if is_member else 0)
                assert bool(answer.balances) == is_member
                assert bool(answer.decision.earned) == is_member
            earned = [points for answer in answers for points in answer.decision.earned]
            points = sum(part.points for part in earned if part.purse_id == "base")
            assert shop.balance(name)[0] == points


def test_local_time_outside_the_contracts_years(shared, refused):
    late = basket((100, 1, 1000))
    late.opened_time_unix_ms = 4_102_444_799_999
    late.utc_offset_minutes = 840
    assert refused(shared.quote, late) == "FIELD_OUT_OF_RANGE"
    late.business_date = TOMORROW
    assert shared.quote(late).totals.gross_minor == 1000


def test_old_lots_and_their_ceiling(shop):
    """Lots that expired over a month ago are swept a few at a time, and never show."""
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    for day in range(40):
        date = begin + timedelta(days=day)
        sale = shop.sale(basket((500, 1, 1000), member="ben"))
        sale.receipt.business_date = int(date.strftime("%Y%m%d"))
        sale.basket.opened_time_unix_ms = int(date.timestamp() * 1000)
        shop.commit(sale)
    lots = {balance.purse_id: balance for balance in shop.member("ben").balances}
    assert lots["late"].available_points == lots["late"].pending_points == 0
    answer = shop.commit(shop.sale(basket((500, 1, 1000), member="ben")))
    balances = {balance.purse_id: balance for balance in answer.balances}
    assert (balances["late"].available_points, balances["late"].pending_points) == (0, 10)
    assert balances["base"].available_points == 41 * 100


@pytest.mark.parametrize(("lines", "name"), [(512, ""), (513, "TOO_MANY_ITEMS")])
def test_the_ceiling_of_lines(shared, refused, lines, name):
    wide = basket(*[(500, 1, 100)] * lines)
    if name:
        assert refused(shared.quote, wide) == name
        assert refused(shared.commit, shared.sale(wide)) == name
        return
    assert len(shared.quote(wide).lines) == lines
    sale = shared.sale(wide)
    assert shared.commit(sale).decision.totals.gross_minor == lines * 100
    every = shared.return_request(sale, *[(line, None) for line in range(1, lines + 1)])
    assert shared.return_items(every).reversal.refund_minor == lines * 100


def test_the_other_ceilings_of_a_basket(shared, refused):
    full = basket((500, 1_000_000, 100_000_000_000))
    for _ in range(8):
        full.identifiers.append(identifier("1002"))
    for number in range(32):
        full.coupons.add(code=f"C{number}")
    assert shared.quote(full).totals.gross_minor == 100_000_000_000
    for field, item in (
        ("identifiers", common_pb2.Identifier(kind=1, value="1")), ("coupons", full.coupons[0])
    ):  # fmt: skip
        more = type(full).FromString(full.SerializeToString())
        getattr(more, field).append(item)
        assert refused(shared.quote, more) == "TOO_MANY_ITEMS"
    full.lines[0].count += 1
    assert refused(shared.quote, full) == "LINE_COUNT_INVALID"


def test_a_request_of_unknown_method_or_size(shared):
    assert NAMES[shared.engine.call(0, b"")[0]] == "METHOD_UNKNOWN"
    assert NAMES[shared.engine.call(99, b"")[0]] == "METHOD_UNKNOWN"
    assert NAMES[shared.engine.call(2, bytes(262_145))[0]] == "REQUEST_TOO_LARGE"
    assert NAMES[shared.engine.call(2, b"\xff")[0]] == "REQUEST_MALFORMED"
    keyless = checkout_pb2.CommitTransactionRequest(
        receipt=shared.receipt(), basket=basket((100, 1, 1))
    )
    with pytest.raises(RefusedError, match="KEY_REQUIRED"):
        shared.commit(keyless)
