"""Closed business dates: what comes later is judged by its own date and counts for the next one."""

import pytest

from checklane.v1 import checkout_pb2, ledger_pb2
from tests.engine.shop import TODAY, TOMORROW, Shop, basket, open_engine
from tests.engine.test_replay import commits, files_of

POSTED, WITH_EXCEPTIONS = 1, 2
DATE_CLOSED = 12
YESTERDAY = 20260303


def close(shop, date, store="S1", key=None):
    context = shop.context(key)
    context.store_id = store
    request = ledger_pb2.CloseBusinessDateRequest(context=context, business_date=date)
    answer = shop.call("LedgerService.CloseBusinessDate", request)
    return ledger_pb2.CloseBusinessDateResponse.FromString(answer)


def test_what_comes_for_a_closed_date_counts_for_the_next(shop):
    before = shop.commit(shop.sale(basket((500, 1, 1000), member="ben")))
    assert (before.outcome, before.posting.business_date) == (POSTED, TODAY)
    assert close(shop, TODAY).closed_date == TODAY
    request = shop.sale(basket((500, 1, 1000), member="ben"))
    late = shop.commit(request)
    assert (late.outcome, late.posting.business_date) == (WITH_EXCEPTIONS, TOMORROW)
    assert [e.kind for e in late.decision.exceptions] == [DATE_CLOSED]
    assert late.decision.earned == before.decision.earned  # active and expiring by its own date
    older = shop.commit(shop.sale(basket((500, 1, 1000)), receipt=shop.receipt(YESTERDAY)))
    assert older.posting.business_date == TOMORROW
    open_ = shop.commit(shop.sale(basket((500, 1, 1000)), receipt=shop.receipt(TOMORROW)))
    assert (open_.outcome, open_.posting.business_date) == (POSTED, TOMORROW)
    shop.reopen()
    assert shop.commit(request) == late
    again = shop.commit(shop.sale(basket((500, 1, 1000))))
    assert again.posting.business_date == TOMORROW


def test_limits_are_judged_by_the_own_date(shop):
    shop.activate(
        shop.built.compile("daily", [
            {"id": "day", "limits": {"per_member": {"uses": 1, "window": "day"}},
             "discount": {"of": {"category": "OTHER"}, "percent": 10}},
        ])
    )  # fmt: skip
    assert shop.commit(shop.sale(basket((500, 1, 1000), member="ben"))).decision.applied_offers
    close(shop, TODAY)
    late = shop.sale(basket((500, 1, 1000), member="ben"))
    assert not shop.commit(late).decision.applied_offers
    tomorrow = shop.sale(basket((500, 1, 1000), member="ben"), receipt=shop.receipt(TOMORROW))
    tomorrow.basket.business_date = TOMORROW
    assert shop.commit(tomorrow).decision.applied_offers


def test_voids_and_returns_count_for_the_next(shop):
    sales = [shop.sale(basket((500, 2, 1000), member="ben")) for _ in range(3)]
    for sale in sales:
        shop.commit(sale)
    close(shop, TODAY)
    void = shop.void(shop.void_request(sales[0]))
    assert void.posting.business_date == TOMORROW
    by_key = shop.void_request(original_idempotency_key=sales[1].context.idempotency_key)
    assert shop.void(by_key).posting.business_date == TOMORROW
    back = shop.return_items(shop.return_request(sales[2], (1, 1), receipt=shop.receipt(TODAY)))
    assert back.posting.business_date == TOMORROW
    unseen = shop.void(shop.void_request(shop.sale(basket((500, 1, 1)))))
    assert unseen.posting.business_date == TOMORROW


def test_stores_close_by_themselves(shop):
    assert close(shop, TODAY, store="S2").closed_date == TODAY
    assert shop.commit(shop.sale(basket((500, 1, 1)))).posting.business_date == TODAY
    request = shop.sale(basket((500, 1, 1)))
    request.context.store_id = request.receipt.store_id = request.basket.store_id = "S2"
    assert shop.commit(request).posting.business_date == TOMORROW


def test_dates_close_once_and_in_their_order(shop, refused):
    first = close(shop, TODAY, key="eve")
    assert close(shop, TODAY, key="eve") == first
    assert close(shop, YESTERDAY).closed_date == TODAY
    assert close(shop, TODAY).closed_date == TODAY
    assert refused(close, shop, YESTERDAY, key="eve") == "KEY_REUSED"
    assert refused(close, shop, 20991231) == "FIELD_OUT_OF_RANGE"
    assert refused(close, shop, 20260231) == "BUSINESS_DATE_INVALID"
    assert refused(close, shop, 0) == "FIELD_REQUIRED"
    assert refused(close, shop, TODAY, store="") == "FIELD_REQUIRED"
    assert refused(close, shop, TODAY, store="S9") == "STORE_UNKNOWN"
    assert close(shop, 20260331).closed_date == 20260331
    receipt = shop.receipt(20260331)
    assert shop.commit(shop.sale(basket((500, 1, 1)), receipt=receipt)).posting.business_date == (
        20260401
    )


def test_a_hold_that_is_spent_counts_for_an_open_date(shop):
    shop.adjust(shop.adjust_request("ben", 100))
    hold = checkout_pb2.CreateHoldRequest(
        context=shop.context(), kind=1, purse_id="base", points=50,
        identifiers=basket(member="ben").identifiers,
    )  # fmt: skip
    made = checkout_pb2.CreateHoldResponse.FromString(shop.call("CheckoutService.CreateHold", hold))
    close(shop, made.posting.business_date)
    capture = checkout_pb2.CaptureHoldRequest(context=shop.context())
    capture.capture.hold_id = made.hold.hold_id
    done = checkout_pb2.CaptureHoldResponse.FromString(
        shop.call("CheckoutService.CaptureHold", capture)
    )
    assert done.posting.business_date > made.posting.business_date


def test_it_comes_out_the_same_on_another_machine(shop: Shop, tmp_path):
    close(shop, TODAY)
    shop.commit(shop.sale(basket((100, 2, 1000), member="ann")))
    shop.commit(shop.sale(basket((100, 2, 1000)), paid=True))
    (tmp_path / "other").mkdir()
    other = open_engine(tmp_path / "other")
    try:
        for entry, facts, response in commits(shop):
            assert other.replay(entry, *files_of(shop, facts)) == (0, response)
    finally:
        other.close()


@pytest.mark.parametrize("date", [YESTERDAY, TODAY])
def test_training_closes_nothing(shop, date):
    context = shop.context(training=True)
    request = ledger_pb2.CloseBusinessDateRequest(context=context, business_date=date)
    answer = shop.call("LedgerService.CloseBusinessDate", request)
    closed = ledger_pb2.CloseBusinessDateResponse.FromString(answer)
    assert (closed.closed_date, closed.posting.lsn) == (date, 0)
    assert shop.commit(shop.sale(basket((500, 1, 1)))).posting.business_date == TODAY
