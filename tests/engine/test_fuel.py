"""Fuel: what is promised before a fill is held, kept at the sale, and captured by the volume."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checklane import _layout
from checklane.books.entries import split_entry
from checklane.ledger.check import rebuild, verify
from checklane.server.entries import contract_entry
from checklane.v1 import basket_pb2, checkout_pb2, decision_pb2, ledger_pb2
from tests.engine.shop import (
    CARDS,
    OFFERS,
    OPENED_UNIX_MS,
    STORE,
    TILL,
    Built,
    Shop,
    basket,
    identifier,
)
from tests.engine.test_captures import balance_of, exceptions_of
from tests.engine.test_holds import CAPTURED, OPEN, RELEASED, Held, base, left_of_holds
from tests.engine.test_replay import commits, files_of, open_engine

GALLON = 4
FUEL = {"unit": "gallon", "floor": 0.999, "of": {"category": "OTHER"}}
GOLD = {"id": "gold", "who": {"tiers": ["gold"]}, "fuel": {**FUEL, "amount": 0.10, "most": 20}}
TWICE = {"id": "twice", "limits": {"per_member": {"uses": 1}}, "fuel": {**FUEL, "amount": 0.05}}
BUDGET = {"id": "budget", "limits": {"overall": {"money": 3.00}},
          "fuel": {**FUEL, "amount": 0.20, "most": 10, "grades": "PREMIUM"}}  # fmt: skip
ONCE = {"id": "once", "coupon": {"codes": "PUMP", "serial": True},
        "fuel": {**FUEL, "amount": 0.03}}  # fmt: skip
STEP = {"id": "step", "fuel": {**FUEL, "purse": "base", "points": 100, "amount": 0.10, "most": 20}}
VOLUME = {"id": "volume", "fuel": {**STEP["fuel"], "consume": "by_volume"}}
POINTS = {"id": "points", "earn": {"purse": "base", "points": 1, "per": 1.00}}
STATION = [GOLD, TWICE, BUDGET, ONCE, STEP, VOLUME]
PRICE = 300_000  # thousandths of a cent a gallon
REGULAR, PREMIUM = ("REGULAR", 2, PRICE), ("PREMIUM", 2, PRICE + 50_000)
POSTED, WITH_EXCEPTIONS = 1, 2


class Station(Shop):
    """The shop with pumps."""

    def __init__(self, built: Built, program: Path, directory: Path) -> None:
        super().__init__(built, directory, program=program)
        self.program = program
        self.held = Held(self)
        self.held.give("ann", 1000, active_date=20260301)

    def request(self, member: str | None = "ann", *prices: Any, **fields: Any) -> Any:
        training = fields.pop("training", False)
        request = checkout_pb2.AuthorizeFuelRequest(
            context=self.context(fields.pop("key", None), training=training),
            opened_time_unix_ms=OPENED_UNIX_MS,
            redemptions=[
                basket_pb2.RedemptionRequest(offer_id=offer, points=points)
                for offer, points in fields.pop("redeem", {}).items()
            ],
            coupons=[
                basket_pb2.Coupon(code="PUMP", serial=serial)
                for serial in fields.pop("serials", [])
            ],
            **{"pump_id": "4", "unit": GALLON, "max_quantity_thousandths": 30_000, **fields},
        )
        if member is not None:
            request.identifiers.append(identifier(CARDS[member]))
        for grade, level, price in prices or (REGULAR,):
            request.prices.add(
                grade=grade, price_level=level, unit_price_minor_thousandths=price,
                product_code="500", code_kind=2,
            )  # fmt: skip
        return request

    def authorise(self, member: str | None = "ann", *prices: Any, **fields: Any) -> Any:
        return self.send(self.request(member, *prices, **fields))

    def send(self, request: Any) -> Any:
        answer = self.call("CheckoutService.AuthorizeFuel", request)
        return checkout_pb2.AuthorizeFuelResponse.FromString(answer)

    def pay(self, *fills: Any, member: str | None = "ann", **fields: Any) -> Any:
        return self.commit(self.sale(fill(*fills, member=member), **fields))

    def state(self, member: str = "ann") -> tuple[int, int]:
        return self.held.state(member)

    def restart(self) -> None:
        self.engine.close()
        self.engine = open_engine(self.data)
        self.activate(self.program, self.built.catalogue, self.built.members)


def fill(*fills: tuple[str, int], member: str | None = "ann", price: Any = REGULAR) -> Any:
    """Return a basket of fills: the authorisation that each names, and its thousandths."""
    sold = basket(member=member)
    for number, (hold_id, thousandths) in enumerate(fills, 1):
        line = sold.lines.add(
            line_id=number, product_code="500", code_kind=2, count=1,
            amount_minor=price[2] * thousandths // 1_000_000, unit_price_minor_thousandths=price[2],
        )  # fmt: skip
        line.measure.quantity_thousandths, line.measure.unit = thousandths, GALLON
        line.fuel.grade, line.fuel.price_level = price[0], price[1]
        line.fuel.hold_id = hold_id
    return sold


def rows(table: Any) -> list[dict[str, tuple[int, int, int]]]:
    """Return what comes off each price, by offer: amount, volume, points."""
    return [
        {o.offer_id: (o.discount_minor_thousandths, o.max_quantity_thousandths, o.points)
         for o in row.offers}
        for row in table.discounts
    ]  # fmt: skip


def given(answer: Any) -> dict[str, int]:
    return {o.offer_id: o.discount_minor for o in answer.decision.applied_offers}


def outcomes(answer: Any) -> dict[str, str]:
    names = decision_pb2.OfferOutcome
    return {
        e.offer_id: names.Name(e.outcome).removeprefix("OFFER_OUTCOME_")
        for e in answer.explanations
    }


@pytest.fixture(scope="module")
def programs(built: Built) -> dict[str, Path]:
    offers = [offer for offer in OFFERS if offer["id"] not in ("plain", "points", "later")]
    other = [{**offer, "fuel": {**offer["fuel"], "amount": 0.01}} for offer in STATION]
    return {
        "station": built.compile("station", [*offers, *STATION]),
        "other": built.compile("station-other", [*offers, *other]),
        "any": built.compile("station-any", [*offers, *STATION], policies={"fuel": "any"}),
        "claims": built.compile("station-claims", [*offers, *STATION, POINTS],
                                policies={"claim_days": 30}),
    }  # fmt: skip


@pytest.fixture
def station(built: Built, programs: dict[str, Path], tmp_path: Path) -> Iterator[Station]:
    opened = Station(built, programs["station"], tmp_path)
    yield opened
    opened.engine.close()


@pytest.fixture
def replayed(station: Station, tmp_path: Path) -> Iterator[None]:
    """Every sale of the test comes out again from its entry alone."""
    yield
    (tmp_path / "again").mkdir()
    again = open_engine(tmp_path / "again")
    for entry, facts, response in commits(station):
        assert again.replay(entry, *files_of(station, facts)) == (0, response)
    again.close()


# ---- the table


def test_a_table_tells_what_comes_off_each_price_and_holds_what_the_dearest_takes(
    station: Station,
) -> None:
    table = station.authorise(
        "ann", REGULAR, PREMIUM, ("REGULAR", 1, 105_000), redeem={"step": 300}
    )
    regular, premium, cheap = rows(table)
    assert regular == {
        "gold": (10_000, 20_000, 0), "twice": (5_000, 30_000, 0), "step": (30_000, 20_000, 300),
    }  # fmt: skip
    assert premium == {**regular, "budget": (20_000, 10_000, 0)}
    assert cheap == {"gold": (5_100, 20_000, 0)}  # down to the floor
    row = table.discounts[1]
    assert (row.grade, row.price_level) == ("PREMIUM", 2)
    assert row.discount_minor_thousandths == 65_000
    assert row.max_quantity_thousandths == 10_000
    assert row.floor_price_minor_thousandths == 99_900
    assert (table.hold.kind, table.hold.state, table.hold.points) == (5, OPEN, 300)
    assert list(table.more_holds) == []
    assert station.state() == (700, 300)
    assert table.members[0].result == 1
    assert [hold.hold_id for hold in station.held.open_holds("ann")] == [table.hold.hold_id]
    # The use that counts for the member is held too.
    assert rows(station.authorise("ann", REGULAR))[0].keys() == {"gold"}


def test_nobody_has_a_table_too_and_nothing_makes_no_authorisation(station: Station) -> None:
    table = station.authorise(None, PREMIUM)
    assert rows(table) == [{"budget": (20_000, 10_000, 0)}]
    assert table.hold.hold_id
    assert not station.authorise(None, REGULAR).HasField("hold")
    # Two dollars of three are held: one is left, which is five gallons.
    assert rows(station.authorise(None, PREMIUM)) == [{"budget": (20_000, 5_000, 0)}]
    assert not station.authorise(None, PREMIUM).HasField("hold")


def test_money_paid_beforehand_buys_so_much(station: Station) -> None:
    table = station.authorise("ann", REGULAR, prepaid_amount_minor=1425)
    (row,) = table.discounts
    assert rows(table) == [{"gold": (10_000, 5_000, 0), "twice": (5_000, 5_000, 0)}]
    assert row.max_quantity_thousandths == 5_000


def test_a_repeat_gets_the_first_answer_and_holds_once(station: Station) -> None:
    request = station.request(redeem={"step": 200})
    assert station.send(request) == station.send(request)
    station.restart()
    assert station.send(request).hold.points == 200
    assert station.state() == (800, 200)


def test_training_and_a_pump_that_has_begun_hold_nothing(station: Station, refused: Any) -> None:
    lsn = station.lsn
    table = station.authorise(redeem={"step": 200}, training=True)
    assert rows(table)[0]["step"] == (20_000, 20_000, 200)
    assert not table.HasField("hold")
    assert refused(station.authorise, fuelling_begun=True) == "FUELLING_BEGUN"
    assert refused(station.authorise, unit=8) == "FIELD_OUT_OF_RANGE"
    assert refused(station.authorise, redeem={"none": 1}) == "OFFER_UNKNOWN"
    assert refused(station.authorise, pump_id="") == "FIELD_REQUIRED"
    assert (station.state(), station.lsn) == ((1000, 0), lsn)


# ---- the sale


@pytest.mark.usefixtures("replayed")
def test_the_volume_pumped_is_captured_and_the_rest_is_free(station: Station) -> None:
    hold_id = station.authorise(redeem={"step": 300}).hold.hold_id
    quoted = station.quote(fill((hold_id, 10_000)))
    sold = station.pay((hold_id, 10_000))
    assert given(sold) == {"gold": 100, "twice": 50, "step": 300}
    assert sold.decision.totals.gross_minor == 3000
    assert sold.decision.totals.discount_minor == quoted.totals.discount_minor == 450
    assert [paid.points for paid in sold.decision.redemptions] == [300]
    assert balance_of(sold) == station.state() == (700, 0)
    assert station.held.release(hold_id=hold_id).holds[0].state == CAPTURED
    assert station.held.open_holds("ann") == []


@pytest.mark.usefixtures("replayed")
def test_steps_are_taken_whole_or_by_the_volume(station: Station) -> None:
    hold_id = station.authorise(redeem={"volume": 300}).hold.hold_id
    assert station.state() == (700, 300)
    sold = station.pay((hold_id, 7_010))
    assert given(sold)["volume"] == 210
    assert [paid.points for paid in sold.decision.redemptions] == [106]  # 300 * 7.01 / 20
    assert station.state() == (894, 0)
    hold_id = station.authorise(redeem={"step": 300}).hold.hold_id
    assert [p.points for p in station.pay((hold_id, 7_010)).decision.redemptions] == [300]
    assert station.state() == (594, 0)


def test_the_money_of_the_pump_is_never_computed_again(station: Station) -> None:
    hold_id = station.authorise().hold.hold_id
    sold = fill((hold_id, 10_000))
    sold.lines[0].amount_minor = 2993  # whatever its price and volume say
    answer = station.commit(station.sale(sold))
    assert answer.decision.totals.gross_minor == 2993
    assert answer.decision.totals.discount_minor == 150


@pytest.mark.usefixtures("replayed")
def test_without_its_authorisation_nothing_comes_off_the_unit(
    station: Station, programs: dict[str, Path]
) -> None:
    asked = fill(("", 10_000))
    asked.redemptions.add(offer_id="step", points=100)
    asked.coupons.add(code="PUMP", serial="1")
    decision = station.quote(asked)
    told = outcomes(decision)
    assert [told[name] for name in ("gold", "twice", "once")] == ["AFTER_FUELLING"] * 3
    assert told["budget"] == "GOODS_MISSING"  # another grade
    ((refused),) = decision.redemptions
    assert decision_pb2.OfferOutcome.Name(refused.refused_outcome) == "OFFER_OUTCOME_AFTER_FUELLING"
    # A coupon that was not shown at the pump comes too late.
    hold_id = station.authorise().hold.hold_id
    late = fill((hold_id, 10_000))
    late.coupons.add(code="PUMP", serial="1")
    decision = station.quote(late)
    assert outcomes(decision)["once"] == "AFTER_FUELLING"
    assert {o.offer_id for o in decision.applied_offers} == {"gold", "twice"}
    station.activate(programs["any"], station.built.catalogue)
    assert {o.offer_id for o in station.quote(asked).applied_offers} >= {"gold", "once", "step"}


@pytest.mark.usefixtures("replayed")
def test_what_was_promised_is_kept_whatever_has_become_of_it(
    station: Station, programs: dict[str, Path]
) -> None:
    hold_id = station.authorise(serials=["7"], redeem={"step": 200}).hold.hold_id
    station.activate(programs["other"], station.built.catalogue)
    station.stop("gold")
    station.update("ann", tier_id="basic")
    station.restart()
    station.activate(programs["other"], station.built.catalogue)
    asked = fill((hold_id, 10_000))
    asked.coupons.add(code="PUMP", serial="7")
    sold = station.commit(station.sale(asked))
    assert given(sold) == {"gold": 100, "twice": 50, "once": 30, "step": 200}
    assert list(sold.decision.exceptions) == []
    assert station.authorise().hold.hold_id == ""  # today it would be nothing


def test_a_coupon_is_kept_for_the_fill(station: Station) -> None:
    table = station.authorise(None, REGULAR, serials=["9"])
    assert (table.hold.coupon_serial, table.hold.offer_id) == ("9", "once")
    other = station.quote_request(fill(("", 10_000), member=None))
    other.basket.coupons.add(code="PUMP", serial="9")
    assert outcomes(station.quote(other.basket))["once"] == "COUPON_HELD"
    asked = fill((table.hold.hold_id, 10_000), member=None)
    asked.coupons.add(code="PUMP", serial="9")
    assert given(station.commit(station.sale(asked))) == {"once": 30}
    assert not station.authorise(None, REGULAR, serials=["9"]).HasField("hold")


@pytest.mark.usefixtures("replayed")
def test_inside_a_fill_is_a_line_among_others(station: Station) -> None:
    first = station.authorise(basket_id="b-1", redeem={"step": 100}).hold.hold_id
    second = station.authorise(None, PREMIUM, basket_id="b-2").hold.hold_id
    sold = fill((first, 10_000))
    other = fill((second, 10_000), price=PREMIUM).lines[0]
    other.line_id = 2
    sold.lines.append(other)
    sold.lines.add(line_id=3, product_code="200", code_kind=2, count=1, amount_minor=500)
    answer = station.commit(station.sale(sold))
    assert given(answer) == {
        "gold": 100, "twice": 50, "step": 100, "budget": 200, "limited": 50,
    }  # fmt: skip
    assert station.state() == (900, 0)


@pytest.mark.usefixtures("replayed")
def test_a_total_freezes_a_fill(station: Station, programs: dict[str, Path]) -> None:
    hold_id = station.authorise(redeem={"step": 300}).hold.hold_id
    sold = fill((hold_id, 10_000))
    sold.basket_id = "b-9"
    request = checkout_pb2.TotalBasketRequest(context=station.context(), basket=sold)
    answer = station.call("CheckoutService.TotalBasket", request)
    total = checkout_pb2.TotalBasketResponse.FromString(answer)
    assert total.decision.totals.discount_minor == 450
    station.activate(programs["other"], station.built.catalogue)
    answer = station.commit(station.sale(sold, total_token=total.total_token))
    assert answer.decision.totals.discount_minor == 450
    assert (station.state(), station.held.open_holds("ann")) == ((700, 0), [])


# ---- what goes otherwise


def test_a_pump_that_never_starts_gives_all_of_it_back(station: Station) -> None:
    table = station.authorise("ann", PREMIUM, redeem={"step": 300}, basket_id="b-3")
    released = station.held.release(basket_id="b-3")
    assert [hold.state for hold in released.holds] == [RELEASED]
    assert base(released) == station.state() == (1000, 0)
    # By itself too; a budget of everybody comes back up to fifteen seconds later.
    short = station.authorise(redeem={"step": 300}, hold_seconds=1)
    station.held.wait_until_expired("ann", short.hold.hold_id)
    assert station.state() == (1000, 0)
    again = station.authorise("ann", PREMIUM, redeem={"step": 300})
    assert rows(again) == rows(table)


@pytest.mark.usefixtures("replayed")
@pytest.mark.parametrize("paid", [False, True])
def test_a_completion_after_the_end_still_posts_once(
    station: Station, refused: Any, paid: bool
) -> None:
    hold_id = station.authorise(redeem={"step": 300}, hold_seconds=1).hold.hold_id
    station.held.wait_until_expired("ann", hold_id)
    answer = station.pay((hold_id, 10_000), paid=paid)
    assert answer.outcome == WITH_EXCEPTIONS
    assert exceptions_of(answer) == [("HOLD_EXPIRED", 0, hold_id)]
    assert answer.decision.totals.discount_minor == 450
    assert station.state() == (700, 0)
    assert station.held.release(hold_id=hold_id).holds[0].state == CAPTURED
    # What it promised is spent.
    assert refused(station.pay, (hold_id, 10_000)) == "HOLD_CLOSED"
    again = station.pay((hold_id, 10_000), paid=True)
    assert exceptions_of(again) == [("HOLD_UNKNOWN", 0, hold_id)]
    assert again.decision.totals.discount_minor == 0


@pytest.mark.usefixtures("replayed")
def test_points_that_are_gone_by_then_pay_no_more(station: Station) -> None:
    hold_id = station.authorise(redeem={"step": 300}, hold_seconds=1).hold.hold_id
    station.held.wait_until_expired("ann", hold_id)
    station.held.create("ann", 850)
    answer = station.pay((hold_id, 10_000))
    assert [kind for kind, _, _ in exceptions_of(answer)] == ["HOLD_EXPIRED"]
    assert given(answer) == {"gold": 100, "twice": 50, "step": 100}
    assert station.state() == (50, 850)


@pytest.mark.usefixtures("replayed")
@pytest.mark.parametrize(
    ("case", "name"),
    [
        ("unknown", "HOLD_UNKNOWN"), ("points", "HOLD_UNKNOWN"), ("other", "HOLD_UNKNOWN"),
        ("spent", "HOLD_CLOSED"), ("released", "HOLD_CLOSED"), ("twice", "HOLD_CLOSED"),
    ],
)  # fmt: skip
def test_authorisations_that_can_not_be_had(
    station: Station, refused: Any, case: str, name: str
) -> None:
    hold_id = station.authorise(redeem={"step": 300}).hold.hold_id
    fills = [(hold_id, 10_000)]
    member = "ben" if case == "other" else "ann"
    if case == "unknown":
        fills = [("h-999999", 10_000)]
    elif case == "points":
        fills = [(station.held.create("ann", 10).hold.hold_id, 10_000)]
    elif case == "spent":
        station.pay(*fills)
    elif case == "released":
        station.held.release(hold_id=hold_id)
    elif case == "twice":
        fills = fills * 2
    before, lsn = station.state(), station.lsn
    assert refused(station.pay, *fills, member=member) == name
    assert (station.state(), station.lsn) == (before, lsn)
    answer = station.pay(*fills, member=member, paid=True)
    assert exceptions_of(answer) == [("HOLD_UNKNOWN", 0, fills[-1][0])]
    assert given(answer) == ({"gold": 100, "twice": 50, "step": 300} if case == "twice" else {})


@pytest.mark.usefixtures("replayed")
def test_it_is_spent_by_its_line_only(station: Station, refused: Any) -> None:
    hold_id = station.authorise(redeem={"step": 300}).hold.hold_id
    for fields in ({}, {"points": 100}, {"points": 0, "keep_rest": True}):
        assert refused(station.held.capture, hold_id, **fields) == "HOLD_NEEDS_SALE"
    assert refused(station.held.capture, hold_id, owner="app") == "HOLD_UNKNOWN"
    capture = checkout_pb2.HoldCapture(hold_id=hold_id)
    request = station.sale(fill(("", 1000)), hold_captures=[capture])
    assert refused(station.commit, request) == "HOLD_NEEDS_SALE"
    paid = station.sale(fill(("", 1000)), hold_captures=[capture], paid=True)
    assert exceptions_of(station.commit(paid)) == [("HOLD_UNKNOWN", 0, hold_id)]
    many = [(hold_id, 1000)] * 9
    assert refused(station.pay, *many) == "FIELD_OUT_OF_RANGE"
    assert station.state() == (700, 300)
    answer = station.pay((hold_id, 10_000))
    assert (answer.outcome, list(answer.decision.exceptions)) == (POSTED, [])
    assert station.state() == (700, 0)
    assert refused(station.held.capture, hold_id) == "HOLD_CLOSED"


@pytest.mark.usefixtures("replayed")
def test_a_slow_pump_has_its_authorisation_extended(station: Station, refused: Any) -> None:
    given_out = station.authorise(redeem={"step": 300}, serials=["1"])
    hold_id = given_out.hold.hold_id
    extended = station.held.extend(hold_id, 7200)
    assert (extended.hold.state, extended.hold.kind) == (OPEN, checkout_pb2.HOLD_KIND_FUEL)
    end_ms = extended.posting.post_time_unix_ms + 7_200_000
    assert extended.hold.expire_time_unix_ms == end_ms > given_out.hold.expire_time_unix_ms
    kept = station.held.open_holds("ann")
    assert {hold.expire_time_unix_ms for hold in kept} == {end_ms}
    answer = station.pay((hold_id, 10_000))
    assert (answer.outcome, list(answer.decision.exceptions)) == (POSTED, [])
    assert station.state() == (700, 0)
    assert refused(station.held.extend, hold_id, 7200) == "HOLD_CLOSED"
    assert station.held.release(hold_id=hold_id).holds[0].state == CAPTURED


@pytest.mark.usefixtures("replayed")
def test_a_void_gives_back_what_the_fill_took(station: Station) -> None:
    hold_id = station.authorise("ann", PREMIUM, redeem={"step": 300}).hold.hold_id
    sale = station.sale(fill((hold_id, 10_000), price=PREMIUM))
    assert given(station.commit(sale)) == {"gold": 100, "twice": 50, "budget": 200, "step": 300}
    station.void(station.void_request(sale))
    assert station.state() == (1000, 0)
    table = station.authorise("ann", PREMIUM)
    assert rows(table)[0].keys() == {"gold", "twice", "budget"}
    assert rows(table)[0]["budget"] == (20_000, 10_000, 0)


def claimed(station: Station, sale: Any) -> list[Any]:
    """Claim a sale of nobody's for ben and return what it earned."""
    request = checkout_pb2.ClaimTransactionRequest(
        context=station.context(), receipt=sale.receipt, identifiers=[identifier(CARDS["ben"])],
        claimed_time_unix_ms=OPENED_UNIX_MS,
    )  # fmt: skip
    answer = station.call("CheckoutService.ClaimTransaction", request)
    earned = checkout_pb2.ClaimTransactionResponse.FromString(answer).earned
    return [(each.purse_id, each.points) for each in earned]


def test_a_claim_knows_nothing_of_the_fill_before_it(
    station: Station, programs: dict[str, Path]
) -> None:
    station.activate(programs["claims"], station.built.catalogue, station.built.members)
    for_nobody = station.sale(basket((500, 1, 1000)))
    station.commit(for_nobody)
    table = station.authorise("ann", redeem={"step": 100})
    assert given(station.pay((table.hold.hold_id, 10_000)))["step"] > 0
    assert claimed(station, for_nobody) == [("base", 10)]


def test_a_fill_of_nobodys_is_claimed_as_it_was_sold(
    station: Station, programs: dict[str, Path]
) -> None:
    station.activate(programs["claims"], station.built.catalogue, station.built.members)
    table = station.authorise(None, PREMIUM)
    request = station.sale(fill((table.hold.hold_id, 10_000), member=None, price=PREMIUM))
    totals = station.commit(request).decision.totals
    assert (totals.gross_minor, totals.discount_minor) == (3_500, 200)
    assert claimed(station, request) == [("base", 33)]


def test_entries_tell_of_authorisations(station: Station) -> None:
    table = station.authorise("ann", REGULAR, redeem={"step": 300})
    (found,) = [
        entry for entry in map(split_entry, station.engine.read_entries(1, 100, 1 << 24))
        if entry.header["kind"] == _layout.ENTRY_FUEL
    ]  # fmt: skip
    told = contract_entry(found, include_bodies=True, include_movements=True)
    assert (told.lsn, told.method) == (table.posting.lsn, "CheckoutService/AuthorizeFuel")
    assert told.kind == ledger_pb2.LEDGER_ENTRY_KIND_HOLD
    assert told.response == table.SerializeToString()
    assert {m.kind for m in told.movements} >= {ledger_pb2.MOVEMENT_KIND_HOLD}
    assert (told.store_id, told.till_id) == (STORE, TILL)


@pytest.mark.parametrize("seed", [1, 2])
def test_any_order_of_fills_leaves_nothing_held_and_rebuilds(station: Station, seed: int) -> None:
    """Points are those of the answers, whatever is promised, sold, given back or restarted."""
    draw = random.Random(seed)
    open_ids: list[str] = []
    left = 1000
    for number in range(60):
        chance = draw.random()
        if chance < 0.45 or not open_ids:
            redeem = {draw.choice(("step", "volume")): 100 * draw.randint(1, 3)}
            table = station.authorise("ann", draw.choice((REGULAR, PREMIUM)), redeem=redeem)
            if table.hold.hold_id:
                open_ids.append(table.hold.hold_id)
            continue
        hold_id = open_ids.pop(draw.randrange(len(open_ids)))
        if chance < 0.6:
            station.held.release(hold_id=hold_id)
        else:
            answer = station.pay((hold_id, draw.randint(1, 25_000)))
            left -= sum(paid.points for paid in answer.decision.redemptions)
        if number % 25 == 24:
            station.restart()
    for hold_id in open_ids:
        station.held.release(hold_id=hold_id)
    assert station.state() == (left, 0)
    assert left_of_holds(station) == {}
    station.engine.close()
    verdict = verify(station.data, lambda *_: None)
    assert verdict.is_sound, verdict.problem
    rebuild(station.data, lambda *_: None)
    station.restart()
    assert station.state() == (left, 0)
