"""Coupons that are used once, under holds: one basket has them, until it is sold or lets go."""

import copy
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checklane import _layout
from checklane.books.entries import split_entry
from checklane.ledger.check import rebuild, verify
from checklane.server.entries import contract_entry
from checklane.v1 import basket_pb2, checkout_pb2, common_pb2, decision_pb2, ledger_pb2
from tests.engine.shop import OFFERS, Built, Shop, basket
from tests.engine.test_replay import commits, files_of, open_engine

ONCE = {"id": "once", "coupon": {"codes": "ONCE", "serial": True},
        "discount": {"of": {"category": "PLAIN"}, "percent": 10}}  # fmt: skip
OFTEN = {"id": "often", "coupon": {"codes": "OFTEN"},
         "discount": {"of": {"category": "OTHER"}, "percent": 10}}  # fmt: skip
SCANS = {"id": "scans", "scanned": {}}
PAPER = b"811010614141654321310011000050123456"
OPEN, CAPTURED, RELEASED, EXPIRED = 1, 2, 3, 4
COUPON_USED, COUPON_HELD = 20, 37
WAIT_S = 60
KINDS = decision_pb2.SaleExceptionKind


class Till(Shop):
    """The shop with coupons, and the calls that hold them."""

    def __init__(self, built: Built, programs: tuple[Path, Path], directory: Path) -> None:
        self.first, self.second = programs
        super().__init__(built, directory, program=self.first)
        self.baskets = 0

    def reopen(self) -> None:
        """Open the data directory again, with another program live."""
        self.engine.close()
        self.engine = open_engine(self.data)
        self.activate(self.second, self.built.catalogue, self.built.members)

    def shown(self, *serials: str, member: str | None = None, code: str = "ONCE") -> Any:
        """Return a basket of an id of its own that shows coupons."""
        self.baskets += 1
        sold = basket((100, 1, 300), member=member)
        sold.basket_id = f"basket-{self.baskets}"
        for serial in serials:
            sold.coupons.add(code=code, serial=serial)
        return sold

    def total(self, sold: Any, **fields: Any) -> Any:
        request = checkout_pb2.TotalBasketRequest(
            context=self.context(fields.pop("key", None)), basket=sold, **fields
        )
        answer = self.call("CheckoutService.TotalBasket", request)
        return checkout_pb2.TotalBasketResponse.FromString(answer)

    def pay(self, sold: Any, total: Any, **fields: Any) -> Any:
        return self.commit(self.sale(sold, total_token=total.total_token, **fields))

    def hold_request(self, serial: str, member: str = "ann", **fields: Any) -> Any:
        coupon = fields.pop("coupon", basket_pb2.Coupon(code="ONCE", serial=serial))
        return checkout_pb2.CreateHoldRequest(
            context=self.context(fields.pop("key", None)), kind="HOLD_KIND_COUPON",
            identifiers=basket(member=member).identifiers, coupon=coupon, **fields,
        )  # fmt: skip

    def hold(self, serial: str, member: str = "ann", **fields: Any) -> Any:
        request = self.hold_request(serial, member, **fields)
        answer = self.call("CheckoutService.CreateHold", request)
        return checkout_pb2.CreateHoldResponse.FromString(answer).hold

    def capture(self, hold_id: str, **fields: Any) -> Any:
        request = checkout_pb2.CaptureHoldRequest(
            context=self.context(),
            capture=checkout_pb2.HoldCapture(hold_id=hold_id, **fields),
        )
        answer = self.call("CheckoutService.CaptureHold", request)
        return checkout_pb2.CaptureHoldResponse.FromString(answer).hold

    def release(self, **fields: Any) -> Any:
        request = checkout_pb2.ReleaseHoldRequest(context=self.context(), **fields)
        answer = self.call("CheckoutService.ReleaseHold", request)
        return checkout_pb2.ReleaseHoldResponse.FromString(answer).holds

    def extend(self, hold_id: str, seconds: int) -> Any:
        request = checkout_pb2.ExtendHoldRequest(
            context=self.context(), hold_id=hold_id, hold_seconds=seconds
        )
        answer = self.call("CheckoutService.ExtendHold", request)
        return checkout_pb2.ExtendHoldResponse.FromString(answer).hold

    def gives(self, serial: str) -> int:
        """Return what another basket would be given for the coupon."""
        return int(self.quote(self.shown(serial)).totals.discount_minor)

    def wait_for(self, serial: str) -> None:
        """Wait until the coupon is nobody's any more."""
        end_s = time.monotonic() + WAIT_S
        while self.gives(serial) == 0:
            assert time.monotonic() < end_s, "the hold does not end"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def programs(built: Built) -> tuple[Path, Path]:
    others = [offer for offer in OFFERS if offer["id"] not in ("plain", "points", "later")]
    dearer = {**ONCE, "discount": {"of": {"category": "PLAIN"}, "percent": 1}}
    return (
        built.compile("single", [*others, ONCE, OFTEN, SCANS]),
        built.compile("single-dearer", [*others, dearer, OFTEN, SCANS]),
    )


@pytest.fixture
def till(built: Built, programs: tuple[Path, Path], tmp_path: Path) -> Iterator[Till]:
    opened = Till(built, programs, tmp_path)
    yield opened
    opened.engine.close()


def outcomes(decision: Any) -> list[int]:
    return [coupon.refused_outcome for coupon in decision.coupons]


def exceptions_of(answer: Any) -> list[tuple[str, str]]:
    return [
        (KINDS.Name(told.kind).removeprefix("SALE_EXCEPTION_KIND_"), told.text)
        for told in answer.decision.exceptions
    ]


def test_a_total_keeps_its_coupons_for_its_basket(till: Till) -> None:
    sold = till.shown("7", "8", member="ann")
    total = till.total(sold)
    assert total.decision.totals.discount_minor == 30
    (kept,) = total.holds
    assert (kept.kind, kept.coupon_serial, kept.offer_id) == (6, "7", "once")
    assert till.identify(*sold.identifiers, include_holds=True).holds == [kept]
    refused = till.quote(till.shown("7"))
    assert refused.totals.discount_minor == 0
    assert outcomes(refused) == [COUPON_HELD]
    assert {e.offer_id: e.outcome for e in refused.explanations}["once"] == COUPON_HELD
    assert till.gives("8") == 30
    assert till.quote(sold).totals.discount_minor == 30
    assert till.pay(sold, total).decision == total.decision
    assert outcomes(till.quote(till.shown("7"))) == [COUPON_USED]
    assert till.identify(*sold.identifiers, include_holds=True).holds == []


def test_of_two_totals_the_second_goes_without(till: Till) -> None:
    first, second = till.shown("7"), till.shown("7")
    kept, without = till.total(first), till.total(second)
    assert [t.decision.totals.discount_minor for t in (kept, without)] == [30, 0]
    assert outcomes(without.decision) == [COUPON_HELD]
    assert without.holds[0].coupon_serial == ""
    assert till.pay(second, without).decision == without.decision
    assert till.pay(first, kept).decision == kept.decision


@pytest.mark.parametrize("how", ["release", "expire", "anew", "commit", "void"])
def test_what_lets_a_coupon_go(till: Till, how: str) -> None:
    sold = till.shown("7")
    total = till.total(sold, hold_seconds=1 if how == "expire" else None)
    if how == "release":
        till.release(basket_id=sold.basket_id)
    elif how == "expire":
        till.wait_for("7")
    elif how == "anew":
        without = copy.deepcopy(sold)
        del without.coupons[:]
        till.total(without)
    elif how == "commit":
        without = copy.deepcopy(sold)
        del without.coupons[:]
        till.commit(till.sale(without))
    else:
        sale = till.sale(sold, total_token=total.total_token)
        till.commit(sale)
        till.void(till.void_request(sale))
    assert till.gives("7") == 30


def test_a_total_that_ended_has_its_coupon_as_long_as_nobody_else(till: Till, refused: Any) -> None:
    first, second, third = till.shown("7"), till.shown("7"), till.shown("8")
    ended, other = till.total(first, hold_seconds=1), till.total(third, hold_seconds=1)
    for serial in ("7", "8"):
        till.wait_for(serial)
    kept = till.total(second)
    assert kept.decision.totals.discount_minor == 30
    assert refused(till.pay, first, ended) == "DECISION_CHANGED"
    assert till.pay(third, other).decision == other.decision
    paid = till.pay(first, ended, paid=True)
    assert exceptions_of(paid) == [("COUPON_HELD", "ONCE")]
    assert refused(till.pay, second, kept) == "DECISION_CHANGED"
    assert exceptions_of(till.pay(second, kept, paid=True)) == [("COUPON_USED", "ONCE")]
    (tmp := till.data.parent / "other").mkdir()
    other_engine = open_engine(tmp)
    for entry, facts, response in commits(till):
        assert other_engine.replay(entry, *files_of(till, facts)) == (0, response)
    other_engine.close()


def test_a_paid_sale_with_a_coupon_of_another_basket_is_told(till: Till) -> None:
    till.total(till.shown("7"))
    sale = till.sale(till.shown("7"), paid=True)
    sale.figures.discount_minor = 30
    assert ("COUPON_HELD", "ONCE") in exceptions_of(till.commit(sale))
    entry, facts, response = commits(till)[-1]
    assert till.engine.replay(entry, *files_of(till, facts)) == (0, response)


def test_a_coupon_is_held_spent_and_given_back(till: Till, refused: Any) -> None:
    made = till.hold("7", basket_id="b-1", hold_seconds=60)
    assert (made.kind, made.state, made.coupon_serial, made.offer_id) == (2, OPEN, "7", "once")
    assert (made.points, made.uses, made.purse_id) == (0, 0, "")
    assert till.identify(*basket(member="ann").identifiers, include_holds=True).holds == [made]
    assert outcomes(till.quote(till.shown("7", member="ann"))) == [COUPON_HELD]
    assert refused(till.hold, "7", "ben") == "HOLD_NOT_COVERED"
    longer = till.extend(made.hold_id, 3600)
    assert (longer.coupon_serial, longer.state) == ("7", OPEN)
    assert longer.expire_time_unix_ms > made.expire_time_unix_ms
    assert refused(till.capture, made.hold_id, uses=2) == "HOLD_NOT_COVERED"
    assert refused(till.capture, made.hold_id, points=1) == "HOLD_NOT_COVERED"
    assert [hold.state for hold in till.release(basket_id="b-1")] == [RELEASED]
    assert till.gives("7") == 30
    again = till.hold("7", "ben")
    assert till.capture(again.hold_id, uses=0).state == RELEASED
    spent = till.capture(till.hold("7").hold_id)
    assert (spent.state, spent.coupon_serial) == (CAPTURED, "7")
    assert outcomes(till.quote(till.shown("7"))) == [COUPON_USED]
    assert refused(till.hold, "7") == "HOLD_NOT_COVERED"


def test_a_held_coupon_comes_back_by_itself(till: Till, refused: Any) -> None:
    made = till.hold("7", hold_seconds=1)
    till.wait_for("7")
    assert refused(till.capture, made.hold_id) == "HOLD_EXPIRED"
    second = till.hold("7", "ben")
    assert till.capture(second.hold_id).state == CAPTURED


def test_only_what_is_used_once_is_held(till: Till, refused: Any) -> None:
    often = basket_pb2.Coupon(code="OFTEN", serial="1")
    assert refused(till.hold, "", coupon=often) == "OFFER_UNKNOWN"
    assert refused(till.hold, "", coupon=basket_pb2.Coupon(code="NONE")) == "OFFER_UNKNOWN"
    plain = basket_pb2.Coupon(scanned_data=b"8110106141416543213100110000")
    assert refused(till.hold, "", coupon=plain) == "OFFER_UNKNOWN"
    made = till.hold("", coupon=basket_pb2.Coupon(scanned_data=PAPER))
    assert (made.coupon_serial, made.offer_id) == ("123456", "scans")
    sold = till.shown(member="ben")
    sold.coupons.add(scanned_data=PAPER)
    assert outcomes(till.quote(sold)) == [COUPON_HELD]
    assert till.hold("s" * 256).coupon_serial == "s" * 256


def test_of_lanes_with_one_serial_one_gets_the_total(till: Till) -> None:
    baskets = [till.shown("7", member="ann") for _ in range(8)]
    given: list[int] = []

    def run(sold: Any) -> None:
        given.append(till.total(sold).decision.totals.discount_minor)

    threads = [threading.Thread(target=run, args=(sold,)) for sold in baskets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == [0] * 7 + [30]


def test_over_a_restart_another_program_and_a_rebuild(till: Till) -> None:
    sold = till.shown("7", member="ann")
    total = till.total(sold)
    kept = till.hold("8" * 40)
    till.reopen()
    till.engine.checkpoint()
    till.engine.close()
    assert verify(till.data, lambda *_: None).is_sound
    rebuild(till.data, lambda *_: None)
    till.engine = open_engine(till.data)
    till.activate(till.second, till.built.catalogue, till.built.members)
    told = till.identify(*sold.identifiers, include_holds=True).holds
    assert [hold.coupon_serial for hold in told] == ["7", "8" * 40]
    assert till.gives("7") == 0
    assert till.pay(sold, total).decision == total.decision
    assert till.capture(kept.hold_id).state == CAPTURED


def left_in_coupons(shop: Shop) -> dict[tuple[int, int, int], tuple[int, int]]:
    """Return what the journal's movements leave of references in the records of coupons."""
    left: Counter[tuple[int, int, int]] = Counter()
    used: Counter[tuple[int, int, int]] = Counter()
    for entry in shop.engine.read_entries(1, 10_000, 1 << 26):
        for moved in split_entry(entry).movements:
            cell, key = moved["cell"], moved["record"]
            if key["family"] != _layout.FAMILY_COUPON:
                continue
            name = (int(key["hi"]), int(key["lo"]), int(cell["kind"]))
            left[name] = (left[name] + int(cell["other"])) % 2**64
            used[name] += int(cell["value"])
    return {name: (used[name], left[name]) for name in left}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_coupon_is_never_anybody_s_twice(
    built: Built, programs: tuple[Path, Path], tmp_path: Path, seed: int, refused: Any
) -> None:
    """Whatever the order: held by one, or used by one, or free; and a clerk knows which."""
    draw = random.Random(seed)
    till = Till(built, programs, tmp_path)
    totals: dict[str, tuple[Any, Any]] = {}
    holds: dict[str, str] = {}
    sales: dict[str, Any] = {}
    for _ in range(160):
        serial = str(draw.randrange(5))
        is_free = serial not in totals and serial not in holds and serial not in sales
        action = draw.choice(["total", "pay", "hold", "capture", "release", "sell", "void"])
        if action == "total":
            sold = till.shown(serial, member=draw.choice(["ann", None]))
            total = till.total(sold)
            assert total.decision.totals.discount_minor == (30 if is_free else 0)
            if is_free:
                totals[serial] = sold, total
        elif action == "sell":
            sale = till.sale(till.shown(serial))
            assert till.commit(sale).decision.totals.discount_minor == (30 if is_free else 0)
            if is_free:
                sales[serial] = sale
        elif action == "hold" and is_free:
            holds[serial] = till.hold(serial).hold_id
        elif action == "hold":
            assert refused(till.hold, serial) == "HOLD_NOT_COVERED"
        elif action == "pay" and serial in totals:
            sold, total = totals.pop(serial)
            sales[serial] = till.sale(sold, total_token=total.total_token)
            assert till.commit(sales[serial]).decision == total.decision
        elif action == "capture" and serial in holds:
            assert till.capture(holds.pop(serial)).state == CAPTURED
            sales[serial] = None
        elif action == "release" and serial in totals:
            till.release(basket_id=totals.pop(serial)[0].basket_id)
        elif action == "release" and serial in holds:
            till.release(hold_id=holds.pop(serial))
        elif action == "void" and sales.get(serial) is not None:
            till.void(till.void_request(sales.pop(serial)))
    for sold, _ in totals.values():
        till.release(basket_id=sold.basket_id)
    for hold_id in holds.values():
        till.release(hold_id=hold_id)
    left = left_in_coupons(till)
    references = {name: value for name, value in left.items() if name[2] == _layout.CELL_HOLD}
    assert references
    assert set(references.values()) == {(0, 0)}
    uses = [value for name, value in left.items() if name[2] == _layout.CELL_COUNTER]
    assert sorted(uses) == sorted([(1, 0)] * len(sales) + [(0, 0)] * (len(uses) - len(sales)))
    till.engine.close()
    assert verify(till.data, lambda *_: None).is_sound


def test_entries_tell_of_held_coupons(till: Till) -> None:
    till.capture(till.hold("7").hold_id)
    entries = [split_entry(entry) for entry in till.engine.read_entries(1, 100, 1 << 22)[-2:]]
    made, spent = (
        contract_entry(entry, include_bodies=False, include_movements=True) for entry in entries
    )
    kinds = [ledger_pb2.MovementKind.Name(told.kind) for told in made.movements]
    assert Counter(kinds) == {"MOVEMENT_KIND_HOLD": len(kinds) - 1, "MOVEMENT_KIND_KEY_BOUND": 1}
    assert len(kinds) > 6
    counted = [told.count for told in spent.movements
               if told.kind == ledger_pb2.MOVEMENT_KIND_COUPON]  # fmt: skip
    assert counted == [1]


def test_training_holds_no_coupon(till: Till) -> None:
    sold = till.shown("7")
    context = common_pb2.RequestContext()
    context.CopyFrom(till.context(training=True))
    request = checkout_pb2.TotalBasketRequest(context=context, basket=sold)
    till.call("CheckoutService.TotalBasket", request)
    assert till.gives("7") == 30
