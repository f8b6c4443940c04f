"""Holds that a sale spends: what they keep is there for it, is spent once, and the rest is free."""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checklane.ledger.check import rebuild, verify
from checklane.v1 import basket_pb2, checkout_pb2, decision_pb2
from tests.engine.shop import OFFERS, Built, Shop, basket
from tests.engine.test_holds import Held, left_of_holds
from tests.engine.test_replay import commits, files_of, open_engine

PAY = {"id": "pay", "redeem": {"purse": "base", "points": 100, "pays": 1.00}}
TWICE = {"id": "twice", "limits": {"per_member": {"uses": 2}},
         "discount": {"of": {"category": "PLAIN"}, "percent": 10}}  # fmt: skip
ONCE = {"id": "once", "coupon": {"codes": "ONCE", "serial": True},
        "discount": {"of": {"category": "OTHER"}, "percent": 10}}  # fmt: skip
PLAIN, OTHER = 100, 500
WAIT_S = 60
POSTED, WITH_EXCEPTIONS = 1, 2
KINDS = decision_pb2.SaleExceptionKind


class Till(Shop):
    """The shop with points that pay, a limit and a coupon, and holds of each."""

    def __init__(self, built: Built, program: Path, directory: Path) -> None:
        super().__init__(built, directory, program=program)
        self.program = program
        self.held = Held(self)

    def give(self, member: str, points: int) -> None:
        """Give points that are there on the day of the baskets and for good."""
        self.held.give(member, points, active_date=20260301)

    def restart(self) -> None:
        self.engine.close()
        self.engine = open_engine(self.data)
        self.activate(self.program, self.built.catalogue, self.built.members)

    def hold_coupon(self, serial: str, member: str = "ann", **fields: Any) -> str:
        request = checkout_pb2.CreateHoldRequest(
            context=self.context(), kind="HOLD_KIND_COUPON",
            identifiers=basket(member=member).identifiers,
            coupon=basket_pb2.Coupon(code="ONCE", serial=serial), **fields,
        )  # fmt: skip
        return str(self.held.send_create(request).hold.hold_id)

    def hold_points(self, points: int, member: str = "ann", **fields: Any) -> str:
        return str(self.held.create(member, points, **fields).hold.hold_id)

    def sell(self, sold: Any, *captures: Any, **fields: Any) -> Any:
        """Commit a sale that spends holds, named by their ids or as captures."""
        return self.commit(self.sale_with(sold, *captures, **fields))

    def sale_with(self, sold: Any, *captures: Any, **fields: Any) -> Any:
        named = [
            checkout_pb2.HoldCapture(hold_id=capture) if isinstance(capture, str) else capture
            for capture in captures
        ]
        return self.sale(sold, hold_captures=named, **fields)

    def state(self, member: str = "ann") -> tuple[int, int]:
        return self.held.state(member)

    def wait(self, member: str, hold_id: str) -> None:
        self.held.wait_until_expired(member, hold_id)


@pytest.fixture(scope="module")
def programs(built: Built) -> dict[str, Path]:
    offers = [offer for offer in OFFERS if offer["id"] not in ("plain", "points", "later")]
    offers = [*offers, PAY, TWICE, ONCE]
    return {
        policy: built.compile(f"captures-{policy}", offers, policies={"expired_hold": policy})
        for policy in ("refuse", "spend")
    }


@pytest.fixture
def till(built: Built, programs: dict[str, Path], tmp_path: Path) -> Iterator[Till]:
    opened = Till(built, programs["refuse"], tmp_path)
    yield opened
    opened.engine.close()


@pytest.fixture
def lenient(built: Built, programs: dict[str, Path], tmp_path: Path) -> Iterator[Till]:
    opened = Till(built, programs["spend"], tmp_path)
    yield opened
    opened.engine.close()


def capture(hold_id: str, **fields: Any) -> Any:
    return checkout_pb2.HoldCapture(hold_id=hold_id, **fields)


def paying(points: int, member: str = "ann", amount: int = 2000) -> Any:
    """Return a basket of which so many points are to pay a part."""
    sold = basket((OTHER, 1, amount), member=member)
    if points:
        sold.redemptions.add(purse_id="base", points=points)
    return sold


def couponed(serial: str, member: str = "ann") -> Any:
    sold = basket((OTHER, 1, 1000), member=member)
    sold.coupons.add(code="ONCE", serial=serial)
    return sold


def exceptions_of(answer: Any) -> list[tuple[str, int, str]]:
    return [
        (KINDS.Name(told.kind).removeprefix("SALE_EXCEPTION_KIND_"), told.points, told.text)
        for told in answer.decision.exceptions
    ]


def balance_of(answer: Any) -> tuple[int, int]:
    (found,) = [b for b in answer.balances if b.purse_id == "base"]
    return found.available_points, found.held_points


@pytest.fixture
def replayed(till: Till, tmp_path: Path) -> Iterator[None]:
    """Every sale of the test comes out again from its entry alone."""
    yield
    (tmp_path / "again").mkdir()
    again = open_engine(tmp_path / "again")
    for entry, facts, response in commits(till):
        assert again.replay(entry, *files_of(till, facts)) == (0, response)
    again.close()


# ---- points


@pytest.mark.parametrize(
    ("pays", "named", "left"),
    [(400, None, 100), (0, None, 100), (300, None, 100), (300, 0, 200), (300, 100, 200),
     (0, 100, 400), (0, 0, 500), (500, 0, 0), (500, 400, 0)],
)  # fmt: skip
@pytest.mark.usefixtures("replayed")
def test_what_pays_comes_out_of_the_hold_first(
    till: Till, pays: int, named: int | None, left: int
) -> None:
    till.give("ann", 500)
    hold_id = till.hold_points(400)
    sale = till.sale_with(paying(pays), capture(hold_id, points=named))
    answer = till.commit(sale)
    assert answer.outcome == POSTED
    assert [taken.points for taken in answer.decision.redemptions] == ([pays] if pays else [])
    assert balance_of(answer) == till.state() == (left, 0)
    (ended,) = till.held.release(hold_id=hold_id).holds
    assert ended.state == (2 if pays or named != 0 else 3)
    till.void(till.void_request(sale))
    assert till.state() == (500, 0)


@pytest.mark.usefixtures("replayed")
def test_several_holds_and_another_that_stays(till: Till) -> None:
    till.give("ann", 1000)
    first, second, third = (till.hold_points(points) for points in (200, 300, 100))
    answer = till.sell(paying(300), capture(first, points=0), capture(second, points=250))
    # 200 of the first pay, 100 of the second, which is to give 150 besides.
    assert balance_of(answer) == till.state() == (1000 - 300 - 150 - 100, 100)
    assert [hold.hold_id for hold in till.held.open_holds("ann")] == [third]


@pytest.mark.usefixtures("replayed")
def test_points_that_expired_under_the_hold_are_spent(till: Till) -> None:
    today = till.held.give("ann", 50).posting.business_date
    till.held.give("ann", 100, expire_date=today)
    hold_id = till.hold_points(120)
    sold = paying(0)
    sold.opened_time_unix_ms = int((time.time() + 3 * 86400) * 1000)
    sale = till.sale_with(sold, hold_id)
    sale.receipt.business_date = int(time.strftime("%Y%m%d", time.gmtime(time.time() + 3 * 86400)))
    assert balance_of(till.commit(sale)) == (30, 0)


def test_a_part_of_what_holds_spent_comes_back_with_the_goods(till: Till) -> None:
    till.give("ann", 500)
    hold_id = till.hold_points(400)
    sold = basket((OTHER, 4, 2000), member="ann")
    sale = till.sale_with(sold, hold_id)
    till.commit(sale)
    till.return_items(till.return_request(sale, (1, 1)))
    assert till.state() == (200, 0)
    till.return_items(till.return_request(sale, (1, 3)))
    assert till.state() == (500, 0)


# ---- uses and coupons


@pytest.mark.parametrize(("named", "left"), [(None, 0), (2, 0), (1, 1), (0, 1)])
@pytest.mark.usefixtures("replayed")
def test_uses_that_are_held_are_there_for_the_sale(
    till: Till, named: int | None, left: int
) -> None:
    hold_id = till.held.create("ann", offer_id="twice", uses=2).hold.hold_id
    sold = basket((PLAIN, 1, 300), member="ann")
    assert till.quote(sold).totals.discount_minor == 0
    sale = till.sale_with(sold, capture(hold_id, uses=named))
    assert till.commit(sale).decision.totals.discount_minor == 30
    for _ in range(left):
        assert till.commit(till.sale(sold)).decision.totals.discount_minor == 30
    assert till.quote(sold).totals.discount_minor == 0
    till.void(till.void_request(sale))
    assert till.quote(sold).totals.discount_minor == 30


@pytest.mark.usefixtures("replayed")
def test_a_coupon_that_is_held_is_there_for_the_sale(till: Till) -> None:
    sold = couponed("7")
    hold_id = till.hold_coupon("7")
    assert till.quote(sold).totals.discount_minor == 0
    sale = till.sale_with(sold, hold_id)
    assert till.commit(sale).decision.totals.discount_minor == 100
    assert till.quote(sold).totals.discount_minor == 0
    till.void(till.void_request(sale))
    assert till.quote(sold).totals.discount_minor == 100
    # Named without being shown it is used all the same, unless no use of it is asked for.
    till.sell(paying(0), capture(till.hold_coupon("7"), uses=0))
    assert till.quote(sold).totals.discount_minor == 100
    spent = till.sale_with(paying(0), till.hold_coupon("7"))
    till.commit(spent)
    assert till.quote(sold).totals.discount_minor == 0
    till.void(till.void_request(spent))
    assert till.quote(sold).totals.discount_minor == 100


@pytest.mark.usefixtures("replayed")
def test_a_total_and_a_hold_in_one_sale(till: Till) -> None:
    till.give("ann", 500)
    hold_id = till.hold_points(300)
    sold = paying(200)
    sold.basket_id = "b-1"
    request = checkout_pb2.TotalBasketRequest(context=till.context(), basket=sold)
    answer = till.call("CheckoutService.TotalBasket", request)
    total = checkout_pb2.TotalBasketResponse.FromString(answer)
    paid = till.sell(sold, capture(hold_id, points=250), total_token=total.total_token)
    assert paid.decision == total.decision
    assert balance_of(paid) == till.state() == (250, 0)


# ---- what can not be spent


@pytest.mark.parametrize(
    ("case", "name"),
    [("never made", "HOLD_UNKNOWN"), ("owner", "HOLD_UNKNOWN"), ("account", "HOLD_UNKNOWN"),
     ("nobody", "HOLD_UNKNOWN"), ("total", "HOLD_NEEDS_SALE"), ("captured", "HOLD_CLOSED"),
     ("twice", "HOLD_CLOSED"), ("expired", "HOLD_EXPIRED"), ("too much", "HOLD_NOT_COVERED"),
     ("uses", "HOLD_NOT_COVERED")],
)  # fmt: skip
@pytest.mark.usefixtures("replayed")
def test_what_can_not_be_spent_is_refused_or_told(
    till: Till, refused: Any, case: str, name: str
) -> None:
    till.give("ann", 500)
    captures = [capture("h-999999")]
    sold = paying(0)
    expected = ("HOLD_UNKNOWN", 0)
    if case == "owner":
        captures = [capture(till.hold_points(100, owner="kiosk"), owner="pump")]
    elif case in ("account", "nobody"):
        captures = [capture(till.hold_points(100))]
        sold = paying(0, "ben" if case == "account" else None)
    elif case == "total":
        totalled = paying(100)
        totalled.basket_id = "b-9"
        request = checkout_pb2.TotalBasketRequest(context=till.context(), basket=totalled)
        answer = till.call("CheckoutService.TotalBasket", request)
        (kept,) = checkout_pb2.TotalBasketResponse.FromString(answer).holds
        captures = [capture(kept.hold_id)]
    elif case == "captured":
        captures = [capture(till.hold_points(100))]
        till.held.capture(captures[0].hold_id)
    elif case == "twice":
        captures = [capture(till.hold_points(100))] * 2
    elif case == "expired":
        captures = [capture(till.hold_points(100, hold_seconds=1))]
        till.wait("ann", captures[0].hold_id)
        expected = ("HOLD_EXPIRED", 0)
    elif case == "too much":
        captures = [capture(till.hold_points(100), points=150)]
        expected = ("POINTS_SHORT", 50)
    elif case == "uses":
        made = till.held.create("ann", offer_id="twice").hold
        captures = [capture(made.hold_id, uses=2)]
        expected = ("LIMIT_PASSED", 0)
    lsn = till.lsn
    assert refused(till.sell, sold, *captures) == name
    assert till.lsn == lsn
    before = till.state()
    answer = till.sell(sold, *captures, paid=True)
    assert answer.outcome == WITH_EXCEPTIONS
    ((kind, points, text),) = exceptions_of(answer)
    assert (kind, points) == expected
    assert text in ("", captures[-1].hold_id)
    spent = {"twice": 100, "expired": 100, "too much": 100}.get(case, 0)
    assert sum(till.state()) == sum(before) - spent


def test_volume_is_of_fuel_only(till: Till, refused: Any) -> None:
    till.give("ann", 500)
    hold_id = till.hold_points(100)
    for paid in (False, True):
        sale = till.sale_with(paying(0), capture(hold_id, quantity_thousandths=5), paid=paid)
        assert refused(till.commit, sale) == "FIELD_OUT_OF_RANGE"


def test_a_hold_that_ended_is_spent_once(lenient: Till, refused: Any) -> None:
    lenient.give("ann", 500)
    hold_id = lenient.hold_points(200, hold_seconds=1)
    lenient.wait("ann", hold_id)
    lenient.sell(paying(0), hold_id)
    assert lenient.state() == (300, 0)
    assert refused(lenient.sell, paying(0), hold_id) == "HOLD_CLOSED"
    again = lenient.sell(paying(0), hold_id, paid=True)
    assert exceptions_of(again) == [("HOLD_UNKNOWN", 0, hold_id)]
    assert lenient.state() == (300, 0)


def test_a_hold_that_ended_is_spent_as_far_as_it_goes(lenient: Till) -> None:
    lenient.give("ann", 500)
    hold_id = lenient.hold_points(400, hold_seconds=1)
    lenient.wait("ann", hold_id)
    lenient.sell(paying(300))
    answer = lenient.sell(paying(0), hold_id)
    assert exceptions_of(answer) == [("HOLD_EXPIRED", 200, hold_id)]
    assert balance_of(answer) == lenient.state() == (0, 0)
    entry, facts, response = commits(lenient)[-1]
    assert lenient.engine.replay(entry, *files_of(lenient, facts)) == (0, response)
    # Neither uses nor coupons of it are left: the sale is decided as if it named none.
    uses = lenient.held.create("ben", offer_id="twice", uses=2, hold_seconds=1).hold.hold_id
    coupon = lenient.hold_coupon("7", "ben", hold_seconds=1)
    for ended in (uses, coupon):
        lenient.wait("ben", ended)
    sold = basket((PLAIN, 1, 300), member="ben")
    assert lenient.sell(sold, uses, coupon).decision.totals.discount_minor == 30
    assert lenient.sell(sold).decision.totals.discount_minor == 30
    assert lenient.quote(couponed("7", "ben")).totals.discount_minor == 100


def test_training_spends_no_hold(till: Till) -> None:
    till.give("ann", 500)
    hold_id = till.hold_points(400)
    sale = till.sale_with(paying(500), hold_id, training=True)
    answer = till.commit(sale)
    assert [taken.points for taken in answer.decision.redemptions] == [500]
    assert till.state() == (100, 400)


def test_a_repeat_spends_nothing(till: Till) -> None:
    till.give("ann", 500)
    sale = till.sale_with(paying(100), till.hold_points(400))
    first = till.call("CheckoutService.CommitTransaction", sale)
    assert till.call("CheckoutService.CommitTransaction", sale) == first
    assert till.state() == (100, 0)


def test_over_a_restart_and_a_rebuild(till: Till) -> None:
    till.give("ann", 500)
    hold_id, coupon = till.hold_points(400), till.hold_coupon("7")
    till.restart()
    till.engine.checkpoint()
    sold = couponed("7")
    sold.redemptions.add(purse_id="base", points=300)
    answer = till.sell(sold, hold_id, capture(coupon, uses=0))
    assert (answer.decision.totals.discount_minor, balance_of(answer)) == (400, (100, 0))
    till.engine.close()
    assert verify(till.data, lambda *_: None).is_sound
    rebuild(till.data, lambda *_: None)
    till.engine = open_engine(till.data)
    till.activate(till.program, till.built.catalogue, till.built.members)
    assert till.state() == (100, 0)
    assert till.quote(couponed("7")).totals.discount_minor == 0


def test_of_lanes_that_spend_one_hold_one_does(till: Till) -> None:
    """The others are told that it is spent; what they asked for is left alone."""
    till.give("ann", 500)
    points, coupon = till.hold_points(400), till.hold_coupon("7")
    sales = [till.sale_with(couponed("7"), points, coupon) for _ in range(6)]
    outcomes: list[int] = []

    def run(sale: Any) -> None:
        outcomes.append(till.raw("CheckoutService.CommitTransaction", sale)[0])

    threads = [threading.Thread(target=run, args=(sale,)) for sale in sales]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [0] + [54] * 5
    assert till.state() == (100, 0)
    ((entry, facts, response),) = commits(till)
    assert till.engine.replay(entry, *files_of(till, facts)) == (0, response)
    told = checkout_pb2.CommitTransactionResponse.FromString(response)
    assert told.decision.totals.discount_minor == 100


def test_another_program_spends_what_was_held_under_the_first(
    till: Till, programs: dict[str, Path]
) -> None:
    till.give("ann", 500)
    points = till.hold_points(400)
    uses = till.held.create("ann", offer_id="twice", uses=2).hold.hold_id
    till.activate(programs["spend"], till.built.catalogue)
    answer = till.sell(basket((PLAIN, 1, 300), member="ann"), points, uses)
    assert answer.decision.totals.discount_minor == 30
    assert balance_of(answer) == (100, 0)
    assert till.quote(basket((PLAIN, 1, 300), member="ann")).totals.discount_minor == 0


# ---- anything, in any order


@pytest.mark.parametrize("seed", [1, 2])
def test_holds_and_sales_never_exceed_what_was_there(
    built: Built, programs: dict[str, Path], tmp_path: Path, seed: int
) -> None:
    """Random days: points are conserved, a use is counted once, nothing is left held."""
    draw = random.Random(seed)
    till = Till(built, programs["refuse"], tmp_path)
    there, holds, sales = 0, {}, []
    for _ in range(120):
        action = draw.choice(["give", "hold", "hold", "sell", "sell", "void", "release"])
        points = 10 * draw.randint(1, 60)
        free = there - sum(holds.values())
        if action == "give":
            till.give("ann", points)
            there += points
        elif action == "hold" and points <= free and len(holds) < 8:
            holds[till.hold_points(points)] = points
        elif action == "sell":
            names = draw.sample(sorted(holds), draw.randint(0, min(3, len(holds))))
            pays = 100 * draw.randint(0, 4)
            asked = {name: draw.choice([None, 0, holds[name] // 2]) for name in names}
            sale = till.sale_with(
                paying(pays), *(capture(name, points=asked[name]) for name in names)
            )
            answer = till.commit(sale)
            taken = sum(part.points for part in answer.decision.redemptions)
            assert taken <= free + sum(holds[name] for name in names)
            left, spent = taken, taken
            for name in names:
                kept = holds.pop(name)
                wanted = kept if asked[name] is None else asked[name]
                covered = min(left, kept)
                left -= covered
                spent += max(0, wanted - covered)
            there -= spent
            sales.append((sale, spent))
            assert balance_of(answer) == (there - sum(holds.values()), sum(holds.values()))
        elif action == "void" and sales:
            sale, spent = sales.pop(draw.randrange(len(sales)))
            till.void(till.void_request(sale))
            there += spent
        elif action == "release" and holds:
            name = draw.choice(sorted(holds))
            till.held.release(hold_id=name)
            del holds[name]
        assert there >= 0
        assert till.state() == (there - sum(holds.values()), sum(holds.values()))
    for name in holds:
        till.held.release(hold_id=name)
    assert left_of_holds(till) == {}
    (tmp_path / "again").mkdir()
    again = open_engine(tmp_path / "again")
    for entry, facts, response in commits(till):
        assert again.replay(entry, *files_of(till, facts)) == (0, response)
    again.close()
    till.engine.close()
    assert verify(till.data, lambda *_: None).is_sound
