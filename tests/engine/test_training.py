"""Training: every change is answered as it would be live, and nothing of it is entered."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checklane.v1 import checkout_pb2, ledger_pb2, member_pb2, program_pb2
from tests.engine.shop import (
    OFFERS,
    TODAY,
    Built,
    RefusedError,
    Shop,
    basket,
    identifier,
)
from tests.engine.test_holds import Held

#: These have a training of their own: they are decided on the caller's thread.
OWN = {"CommitTransaction", "TotalBasket", "AuthorizeFuel"}
MODULES = (checkout_pb2, member_pb2, program_pb2, ledger_pb2)
LATE_DAYS = 30


def plain(method: str, answer: bytes) -> tuple[int, Any]:
    """Return where an answer was entered, and the answer without what tells it."""
    name = f"{method.rpartition('.')[2]}Response"
    (response_class,) = [getattr(module, name) for module in MODULES if hasattr(module, name)]
    told = response_class.FromString(answer)
    lsn = told.posting.lsn
    told.ClearField("posting")
    for field, value in told.ListFields():
        if field.name == "outcome":
            told.ClearField("outcome")
        for hold in [value] if field.name == "hold" else value if field.name == "holds" else ():
            for part in ("hold_id", "create_time_unix_ms", "expire_time_unix_ms"):
                hold.ClearField(part)
    return lsn, told


class Rehearsing(Shop):
    """A shop that does everything in training before it does it."""

    def __init__(self, built: Built, directory: Path, **options: Any) -> None:
        super().__init__(built, directory, **options)
        self.rehearsed: set[str] = set()
        self.refused: set[str] = set()

    def call(self, method: str, request: Any) -> bytes:
        name = method.rpartition(".")[2]
        if name in OWN or not request.context.idempotency_key:
            return super().call(method, request)
        lsn, trained = self.lsn, copy.deepcopy(request)
        trained.context.training = True
        status, answer = self.raw(method, trained)
        assert self.lsn == lsn
        try:
            live = super().call(method, request)
        except RefusedError as refused:
            assert (status, answer) == self.raw(method, request)
            self.refused.add(refused.name)
            raise
        assert self.lsn == lsn + 1
        assert status == 0
        assert isinstance(answer, bytes)
        assert plain(method, live)[0] == lsn + 1
        assert plain(method, answer) == (0, plain(method, live)[1])
        self.rehearsed.add(name)
        return live


@pytest.fixture(scope="module")
def program(built: Built) -> Path:
    return built.compile("training", OFFERS, policies={"claim_days": LATE_DAYS})


@pytest.fixture
def shop(built: Built, program: Path, tmp_path: Path) -> Iterator[Rehearsing]:
    opened = Rehearsing(built, tmp_path, program=program)
    yield opened
    opened.engine.close()


def claim_request(shop: Shop, sale: Any, card: str) -> Any:
    return checkout_pb2.ClaimTransactionRequest(
        context=shop.context(), receipt=sale.receipt, identifiers=[identifier(card)],
        claimed_time_unix_ms=sale.basket.opened_time_unix_ms,
    )  # fmt: skip


def test_every_change_is_answered_as_live_and_enters_nothing(shop: Rehearsing) -> None:
    held = Held(shop)
    shop.enrol("zoe", identifiers=[identifier("4321")], segment_ids=["vip"])
    shop.update("zoe", add_segment_ids=["new"], tier_id="gold")
    shop.link("zoe", identifier("4322"))
    shop.wallet("zoe", "gift", member_pb2.WALLET_ACTION_ASSIGN)
    shop.adjust(shop.adjust_request("zoe", 500, active_date=20260301))
    held_cards = {"zoe": "4321"}
    request = checkout_pb2.CreateHoldRequest(
        context=shop.context(), identifiers=[identifier(held_cards["zoe"])], points=200,
        kind=checkout_pb2.HOLD_KIND_POINTS, purse_id="base",
    )  # fmt: skip
    hold_id = held.send_create(request).hold.hold_id
    held.extend(hold_id, 7200)
    held.capture(hold_id, points=50, keep_rest=True)
    held.release(hold_id=hold_id)
    assert shop.balance("zoe") == (450, 0)

    sold = [shop.sale(basket((500, 2, 1000), card=card)) for card in ("4321", "4321", None)]
    for sale in sold:
        shop.commit(sale)
    shop.return_items(shop.return_request(sold[0], (1, 1)))
    confirmation = member_pb2.ConfirmPointsRequest(
        context=shop.context(), original_receipt=sold[1].receipt, event_date=TODAY
    )
    shop.call("MemberService.ConfirmPoints", confirmation)
    shop.void(shop.void_request(sold[1]))
    shop.call("CheckoutService.ClaimTransaction", claim_request(shop, sold[2], "4321"))
    shop.stop("plain")
    shop.stop("plain", resume=True)
    merge = member_pb2.MergeMembersRequest(
        context=shop.context(),
        surviving_member=member_pb2.MemberRef(member_id="ben"),
        merged_member=member_pb2.MemberRef(member_id="zoe"),
    )
    merge.context.operator_id = "ana"
    shop.call("MemberService.MergeMembers", merge)
    shop.call(
        "LedgerService.CloseBusinessDate",
        ledger_pb2.CloseBusinessDateRequest(context=shop.context(), business_date=20260301),
    )
    assert shop.rehearsed == {
        "EnrolMember", "UpdateMember", "LinkIdentifier", "ActivateOffer", "AdjustAccount",
        "CreateHold", "ExtendHold", "CaptureHold", "ReleaseHold", "ReturnItems", "ConfirmPoints",
        "VoidTransaction", "ClaimTransaction", "StopOffer", "MergeMembers", "CloseBusinessDate",
    }  # fmt: skip


def test_what_is_refused_live_is_refused_in_training(shop: Rehearsing) -> None:
    sale = shop.sale(basket((500, 1, 1000), member="ann"))
    shop.commit(sale)
    held = Held(shop)
    hold_id = held.create("ann", 10).hold.hold_id
    attempts = (
        lambda: shop.return_items(shop.return_request(sale, (1, 2))),
        lambda: shop.return_items(shop.return_request(sale, (7, 1))),
        lambda: shop.call("CheckoutService.ClaimTransaction", claim_request(shop, sale, "1002")),
        lambda: shop.adjust(shop.adjust_request("ann", -10_000)),
        lambda: shop.stop("nothing"),
        lambda: held.capture(hold_id, points=11),
        lambda: shop.enrol("ann"),
    )
    for attempt in attempts:
        with pytest.raises(RefusedError):
            attempt()
    assert shop.refused == {
        "RETURN_TOO_MUCH", "LINE_UNKNOWN", "CLAIM_NOT_ALLOWED", "HOLD_NOT_COVERED",
        "OFFER_UNKNOWN", "MEMBER_EXISTS", "POINTS_SHORT",
    }  # fmt: skip


def test_what_was_made_in_training_is_not_there(built: Built, tmp_path: Path) -> None:
    shop = Shop(built, tmp_path)
    trained = shop.context(training=True)
    sale = shop.sale(basket((500, 1, 1000), member="ann"), training=True)
    shop.commit(sale)
    with pytest.raises(RefusedError, match="RECEIPT_UNKNOWN"):
        shop.return_items(shop.return_request(sale, (1, 1)))
    void = shop.void_request(sale)
    void.context.training = True
    answer = shop.void(void)
    assert answer.outcome == checkout_pb2.VOID_OUTCOME_TRAINING
    assert answer.posting.lsn == 0
    assert not answer.HasField("reversal")
    request = checkout_pb2.CreateHoldRequest(
        context=trained, identifiers=[identifier("1001")], offer_id="limited",
        kind=checkout_pb2.HOLD_KIND_OFFER_USE,
    )  # fmt: skip
    hold = Held(shop).send_create(request).hold
    assert (hold.hold_id, hold.uses) == ("", 1)
    assert not Held(shop).open_holds("ann")
    # The stop of an offer is not seen by anybody.
    stop = program_pb2.StopOfferRequest(context=trained, offer_id="plain")
    shop.call("ProgramService.StopOffer", stop)
    assert shop.quote(basket((100, 1, 1000))).totals.discount_minor == 100
    # The key of training is free.
    sale.context.training = False
    assert shop.commit(sale).outcome == checkout_pb2.COMMIT_OUTCOME_POSTED
    shop.engine.close()
