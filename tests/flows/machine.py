"""The flows of a till's day as rules, and what must hold after each: the engine beside the paper.

Runs by itself, because the wall clock of its process is one that it sets (wall_clock.py):
``python -m tests.flows.machine FOLDER SEED EXAMPLES``.
"""

import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from checklane.books.periods import Query, read_periods
from checklane.books.walk import LiveJournal
from checklane.v1 import basket_pb2, checkout_pb2, decision_pb2, ledger_pb2
from tests.engine.shop import CARDS, STORE, TILL, Built, RefusedError, Shop, basket, identifier
from tests.engine.test_replay import commits, files_of
from tests.flows import paper
from tests.flows.paper import FUEL, GIFT, LIMITED, OTHER, PLAIN, Hold, Line, Paper, Sale
from tests.support.wall_clock import VARIABLE, WallClock

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS
OPENED_UNIX_MS = 1_772_618_400_000  # 2026-03-04T10:00:00Z
STEPS = 40
MEMBERS = ("ben", "cat")
SERIALS = ("1", "2", "3")
GALLON, PRICE_MINOR = 4, 300
PERCENTS = (10, 20)

MEMBER = st.sampled_from([None, *MEMBERS])
PRICES = st.integers(100, 999)
COUNTS = st.integers(1, 4)
SERIAL = st.sampled_from(["", *SERIALS])
MINUTES = st.sampled_from([1, 5, 20, 45])
OF_ONE = st.tuples(st.sampled_from([PLAIN, OTHER]), COUNTS, PRICES)


@st.composite
def goods(draw: Any) -> list[Line]:
    """Draw lines: each product once, so that nothing is shared between them."""
    kinds = st.sampled_from([PLAIN, LIMITED, GIFT, OTHER])
    codes = draw(st.lists(kinds, min_size=1, max_size=3, unique=True))
    counts = [1 if code == GIFT else draw(COUNTS) for code in codes]
    return [Line(c, n, n * draw(PRICES)) for c, n in zip(codes, counts, strict=True)]


class Flows(RuleBasedStateMachine):
    """A shop, and the ledger on paper."""

    built: Built
    programs: dict[int, Path]

    def __init__(self) -> None:
        super().__init__()
        self.clock = WallClock(Path(os.environ[VARIABLE]))
        self.paper = Paper(MEMBERS, OPENED_UNIX_MS)
        self.clock.stand(OPENED_UNIX_MS)
        self.opened_ms = OPENED_UNIX_MS
        self.percent = PERCENTS[0]
        self.folder = Path(tempfile.mkdtemp(prefix="flows-"))
        self.shop = Shop(self.built, self.folder, program=self.programs[self.percent])
        self.paper.posted_ms = self.paper.post_ms
        self.paper.percents.append((self.paper.post_ms, self.percent))
        self.lsn = self.shop.lsn
        self.answers: list[tuple[str, Any, bytes]] = []
        self.unseen: list[Any] = []
        self.baskets = 0

    # ---- calls

    def call(self, method: str, request: Any, answer: Any) -> Any:
        """Send a change; return its answer, which a repeat must get again."""
        content = self.shop.call(method, request)
        self.answers.append((method, request, content))
        self.note_entries()
        return answer.FromString(content)

    def checkout(self, method: str, request: Any) -> Any:
        answer = getattr(checkout_pb2, f"{method}Response")
        return self.call(f"CheckoutService.{method}", request, answer)

    def commit(self, request: Any, method: str = "CommitTransaction") -> Any:
        return self.call(
            f"CheckoutService.{method}", request, checkout_pb2.CommitTransactionResponse
        )

    def note_entries(self) -> None:
        """Let paper know when something was entered last."""
        if self.shop.lsn != self.lsn:
            self.lsn = self.shop.lsn
            self.paper.posted_ms = self.paper.post_ms

    def refusal(self, method: str, request: Any) -> str:
        """Return why a change is refused; nothing is entered."""
        with pytest.raises(RefusedError) as refused:
            self.shop.call(f"CheckoutService.{method}", request)
        assert self.shop.lsn == self.lsn
        return refused.value.name

    def basket(
        self, lines: list[Line], member: str | None, *, serial: str = "", points: int = 0
    ) -> Any:
        """Return a basket of an id of its own."""
        self.baskets += 1
        sold = basket(*((line.code, line.count, line.amount) for line in lines), member=member)
        sold.opened_time_unix_ms = self.paper.wall_ms
        sold.basket_id = f"basket-{self.baskets}"
        if serial:
            sold.coupons.add(code="ONCE", serial=serial)
        if points:
            sold.redemptions.add(purse_id="base", points=points)
        return sold

    def sale(self, sold: Any, **fields: Any) -> Any:
        return self.shop.sale(sold, receipt=self.shop.receipt(self.paper.today), **fields)

    def pick(self, data: st.DataObject) -> Sale | None:
        return data.draw(st.sampled_from(self.paper.sales)) if self.paper.sales else None

    def pick_hold(self, data: st.DataObject, kind: str) -> str | None:
        found = [name for name, hold in self.paper.holds.items() if hold.kind == kind]
        return data.draw(st.sampled_from(found)) if found else None

    def check_answer(self, answer: Any, sale: Sale) -> None:
        """Compare what a sale's answer tells with paper, line by line and funder by funder."""
        totals, off = answer.decision.totals, sale.decision.off
        same([line.discount_minor for line in answer.decision.lines][: len(off)], off)
        same(totals.gross_minor, sale.gross)
        same(totals.discount_minor, sum(off))
        same(shares_of(answer.decision), +sale.decision.shares)
        by_class = totals.price_reduction_minor + totals.third_party_minor
        same(by_class + totals.tender_minor, totals.discount_minor)
        same(answer.posting.business_date, sale.date)
        same(answer.posting.post_time_unix_ms, self.paper.posted_ms)

    @initialize(lines=goods(), member=st.sampled_from(MEMBERS), points=st.integers(1, 900))
    def begin(self, lines: list[Line], member: str, points: int) -> None:
        """Begin a day on which something is there already."""
        self.adjust(member, points)
        self.sell([*lines, Line(FUEL, 1, 900)], member, "", paid=False)

    # ---- sales

    @rule(lines=goods(), member=MEMBER, serial=SERIAL, paid=st.booleans())
    def sell(self, lines: list[Line], member: str | None, serial: str, *, paid: bool) -> None:
        """Sell at once; a sale that is paid is never refused."""
        request = self.sale(self.basket(lines, member, serial=serial), paid=paid)
        decision = self.paper.decide(lines, member, percent=self.percent, serial=serial)
        answer = self.commit(request)
        self.check_answer(answer, self.paper.enter(request, member, lines, decision))

    @rule(one=OF_ONE, member=st.sampled_from(MEMBERS), points=st.integers(1, 600))
    def pay_with_points(self, one: tuple[int, int, int], member: str, points: int) -> None:
        """Sell one product, some of it for points."""
        lines = [Line(one[0], one[1], one[1] * one[2])]
        request = self.sale(self.basket(lines, member, points=points))
        decision = self.paper.decide(lines, member, percent=self.percent, points=points)
        answer = self.commit(request)
        self.check_answer(answer, self.paper.enter(request, member, lines, decision))

    @rule(lines=goods(), member=MEMBER, minutes=st.integers(0, 2000), data=st.data())
    def upload(
        self, lines: list[Line], member: str | None, minutes: int, data: st.DataObject
    ) -> None:
        """Send a sale that was made before, as its lane decided it, by the program of then (U1)."""
        made_ms = max(OPENED_UNIX_MS, self.paper.wall_ms - minutes * MINUTE_MS)
        sold = self.basket(lines, member)
        sold.opened_time_unix_ms = made_ms
        receipt = self.shop.receipt(paper.date_of(made_ms))
        request = self.shop.sale(sold, receipt=receipt, completed_time_unix_ms=made_ms)
        decision = self.paper.decide(lines, member, percent=self.paper.percent_at(made_ms))
        off = None
        if data.draw(st.booleans()):
            off = [data.draw(st.integers(0, line.amount)) for line in lines]
            for number, minor in enumerate(off, 1):
                request.figures.lines.add(line_id=number, discount_minor=minor)
        answer = self.commit(request, "UploadTransactions")
        self.check_answer(answer, self.paper.enter(request, member, lines, decision, off))

    # ---- totals

    @rule(one=OF_ONE, member=MEMBER, points=st.integers(0, 600), data=st.data())
    def total(
        self, one: tuple[int, int, int], member: str | None, points: int, data: st.DataObject
    ) -> None:
        """Freeze a decision; it holds what it takes. Some replace one that is kept."""
        lines = [Line(one[0], one[1], one[1] * one[2])]
        serial = ""
        if points == 0:
            lines, serial = data.draw(goods()), data.draw(SERIAL)
        sold = self.basket(lines, member, serial=serial, points=points if member else 0)
        before = data.draw(st.sampled_from([None, self.pick_hold(data, "total")]))
        if before is not None:
            sold.basket_id = self.paper.holds[before].basket.basket_id
        own = self.paper.total_of(sold.basket_id)
        request = checkout_pb2.TotalBasketRequest(context=self.shop.context(), basket=sold)
        decision = self.paper.decide(
            lines, member, percent=self.percent, serial=serial, points=points if member else 0,
            own=own,
        )  # fmt: skip
        answer = self.checkout("TotalBasket", request)
        same(answer.decision.totals.discount_minor, sum(decision.off))
        same(answer.expire_time_unix_ms, self.paper.posted_ms + 15 * MINUTE_MS)
        if own is not None:
            own.is_open = False
        self.paper.holds[f"total {len(self.paper.holds)}"] = Hold(
            "total", member, answer.expire_time_unix_ms, points=decision.points,
            units=decision.units, money=decision.money, serial=decision.serial,
            basket=sold, lines=lines, decision=decision, token=answer.total_token,
        )  # fmt: skip

    @rule(data=st.data())
    def commit_total(self, data: st.DataObject) -> None:
        """Sell what was totalled, as it was shown, whatever has changed since."""
        name = self.pick_hold(data, "total")
        if name is None:
            return
        total = self.paper.holds[name]
        assert total.decision is not None
        request = self.sale(total.basket, total_token=total.token)
        is_ended = total.expires_ms <= self.paper.post_ms
        is_kept = total.is_open and (not is_ended or self.paper.is_still_there(total))
        if not is_kept:
            same(self.refusal("CommitTransaction", request), "DECISION_CHANGED")
            return
        total.is_open = False
        answer = self.commit(request)
        sale = self.paper.enter(request, total.member, total.lines, total.decision)
        self.check_answer(answer, sale)

    @rule(data=st.data())
    def release_total(self, data: st.DataObject) -> None:
        """Give a basket up: what its total held is free. One that has ended holds nothing."""
        name = self.pick_hold(data, "total")
        if name is None:
            return
        basket_id = self.paper.holds[name].basket.basket_id
        request = checkout_pb2.ReleaseHoldRequest(context=self.shop.context(), basket_id=basket_id)
        self.checkout("ReleaseHold", request)
        total = self.paper.total_of(basket_id)
        if total is not None and total.expires_ms > self.paper.post_ms:
            total.is_open = False

    # ---- holds

    @rule(member=st.sampled_from(MEMBERS), points=st.integers(1, 400), minutes=MINUTES)
    def hold(self, member: str, points: int, minutes: int) -> None:
        """Set points aside."""
        request = checkout_pb2.CreateHoldRequest(
            context=self.shop.context(), identifiers=[identifier(CARDS[member])],
            kind="HOLD_KIND_POINTS", purse_id="base", points=points, hold_seconds=60 * minutes,
        )  # fmt: skip
        if points > self.paper.available(member):
            same(self.refusal("CreateHold", request), "HOLD_NOT_COVERED")
            return
        hold = self.checkout("CreateHold", request).hold
        self.paper.holds[hold.hold_id] = Hold(
            "points", member, self.paper.posted_ms + minutes * MINUTE_MS, points=points
        )

    @rule(data=st.data(), keep_rest=st.booleans())
    def capture(self, data: st.DataObject, *, keep_rest: bool) -> None:
        """Spend a hold, or a part of it."""
        name = self.pick_hold(data, "points")
        if name is None:
            return
        hold = self.paper.holds[name]
        points = data.draw(st.integers(0, hold.points))
        request = checkout_pb2.CaptureHoldRequest(
            context=self.shop.context(), keep_rest=keep_rest,
            capture=checkout_pb2.HoldCapture(hold_id=name, points=points),
        )  # fmt: skip
        if not hold.is_open:
            same(self.refusal("CaptureHold", request), "HOLD_CLOSED")
        elif hold.expires_ms <= self.paper.post_ms:
            same(self.refusal("CaptureHold", request), "HOLD_EXPIRED")
        else:
            same(self.checkout("CaptureHold", request).captured_points, points)
            assert hold.member is not None
            self.paper.captured[hold.member] += points
            hold.points -= points
            hold.is_open = keep_rest and hold.points > 0

    @rule(data=st.data(), kind=st.sampled_from(["points", "fuel"]))
    def release(self, data: st.DataObject, kind: str) -> None:
        """Give a hold back, or a pump that never starts; a second time is no error."""
        name = self.pick_hold(data, kind)
        if name is not None:
            request = checkout_pb2.ReleaseHoldRequest(context=self.shop.context(), hold_id=name)
            self.checkout("ReleaseHold", request)
            hold = self.paper.holds[name]
            if hold.expires_ms > self.paper.post_ms:
                hold.is_open = False

    @rule(data=st.data(), minutes=MINUTES)
    def extend(self, data: st.DataObject, minutes: int) -> None:
        """Keep a hold longer; never shorter."""
        name = self.pick_hold(data, "points")
        if name is None:
            return
        hold = self.paper.holds[name]
        request = checkout_pb2.ExtendHoldRequest(
            context=self.shop.context(), hold_id=name, hold_seconds=60 * minutes
        )
        if not hold.is_open:
            same(self.refusal("ExtendHold", request), "HOLD_CLOSED")
        elif hold.expires_ms <= self.paper.post_ms:
            same(self.refusal("ExtendHold", request), "HOLD_EXPIRED")
        else:
            told = self.checkout("ExtendHold", request).hold
            hold.expires_ms = max(hold.expires_ms, self.paper.posted_ms + minutes * MINUTE_MS)
            same(told.expire_time_unix_ms, hold.expires_ms)

    # ---- fuel

    @rule(member=MEMBER, points=st.integers(0, 700), minutes=MINUTES)
    def authorise(self, member: str | None, points: int, minutes: int) -> None:
        """Ask what comes off before a fill; points are held."""
        request = checkout_pb2.AuthorizeFuelRequest(
            context=self.shop.context(), opened_time_unix_ms=self.paper.wall_ms, pump_id="4",
            unit=GALLON, max_quantity_thousandths=30_000, hold_seconds=60 * minutes,
        )  # fmt: skip
        if member is not None:
            request.identifiers.append(identifier(CARDS[member]))
        if points >= 1 and member is not None:
            request.redemptions.add(offer_id="step", points=points)
        request.prices.add(
            grade="REGULAR", price_level=2, unit_price_minor_thousandths=PRICE_MINOR * 1000,
            product_code=str(FUEL), code_kind=2,
        )  # fmt: skip
        steps = self.paper.steps(member, points)
        answer = self.checkout("AuthorizeFuel", request)
        (row,) = answer.discounts
        off = paper.GALLON_MINOR + paper.STEP_MINOR * steps
        same(row.discount_minor_thousandths, 1000 * off)
        same(answer.hold.points, paper.STEP_POINTS * steps)
        self.paper.holds[answer.hold.hold_id] = Hold(
            "fuel", member, self.paper.posted_ms + minutes * MINUTE_MS,
            points=paper.STEP_POINTS * steps, steps=steps,
        )  # fmt: skip

    @rule(data=st.data(), gallons=st.integers(1, 20), paid=st.booleans())
    def complete(self, data: st.DataObject, gallons: int, *, paid: bool) -> None:
        """Sell a fill: by its authorisation, when that has ended too, or without one."""
        name = data.draw(st.sampled_from([None, self.pick_hold(data, "fuel")]))
        hold = None if name is None else self.paper.holds[name]
        member = None if hold is None else hold.member
        line = Line(FUEL, 1, PRICE_MINOR * gallons)
        sold = self.basket([line], member)
        sold.lines[0].unit_price_minor_thousandths = PRICE_MINOR * 1000
        sold.lines[0].measure.quantity_thousandths = 1000 * gallons
        sold.lines[0].measure.unit = GALLON
        sold.lines[0].fuel.grade, sold.lines[0].fuel.price_level = "REGULAR", 2
        sold.lines[0].fuel.hold_id = name or ""
        request = self.sale(sold, paid=paid)
        is_gone = hold is not None and not hold.is_open
        if is_gone and not paid:
            same(self.refusal("CommitTransaction", request), "HOLD_CLOSED")
            return
        decision = self.paper.fill(line, gallons, None if is_gone else hold, member)
        if hold is not None:
            hold.is_open = False
        answer = self.commit(request)
        self.check_answer(answer, self.paper.enter(request, member, [line], decision))

    # ---- what comes back

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """Bring units of one line back."""
        sale = self.pick(data)
        if sale is None:
            return
        at = data.draw(st.integers(0, len(sale.lines) - 1))
        count = data.draw(st.integers(1, sale.lines[at].count))
        receipt = self.shop.receipt(self.paper.today)
        request = self.shop.return_request(sale.request, (at + 1, count), receipt=receipt)
        if sale.is_voided:
            same(self.refusal("ReturnItems", request), "RECEIPT_VOIDED")
        elif sale.back[at] + count > sale.lines[at].count:
            same(self.refusal("ReturnItems", request), "RETURN_TOO_MUCH")
        else:
            answer = self.checkout("ReturnItems", request)
            refund = self.paper.bring_back(sale, {at: count}, self.paper.today)
            same(answer.reversal.refund_minor, refund)

    @rule(one=OF_ONE, member=MEMBER, points=st.integers(0, 300), data=st.data())
    def exchange(
        self, one: tuple[int, int, int], member: str | None, points: int, data: st.DataObject
    ) -> None:
        """Sell, and take units of an earlier sale back in the same basket."""
        original = self.pick(data)
        if original is None:
            return
        lines = [Line(one[0], one[1], one[1] * one[2])]
        at = data.draw(st.integers(0, len(original.lines) - 1))
        count = data.draw(st.integers(1, original.lines[at].count))
        sold = self.basket(lines, member, points=points if member else 0)
        back = sold.lines.add(
            line_id=9, product_code=str(original.lines[at].code), code_kind=2, count=count,
            amount_minor=1, kind=basket_pb2.LINE_KIND_RETURN,
        )  # fmt: skip
        back.original.receipt.CopyFrom(original.request.receipt)
        back.original.line_id = at + 1
        request = self.sale(sold)
        if original.is_voided:
            same(self.refusal("CommitTransaction", request), "RECEIPT_VOIDED")
            return
        if original.back[at] + count > original.lines[at].count:
            same(self.refusal("CommitTransaction", request), "RETURN_TOO_MUCH")
            return
        refund = original.refund_of(at, count)
        decision = self.paper.decide(
            lines, member, percent=self.percent, points=points if member else 0, refund=refund
        )
        answer = self.commit(request)
        sale = self.paper.enter(request, member, lines, decision)
        sale.has_exchange = True
        self.paper.bring_back(original, {at: count}, self.paper.today)
        self.check_answer(answer, sale)
        same(answer.reversal.refund_minor, refund)
        same(answer.decision.totals.due_minor, sum(sale.nets) - refund)

    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        """Undo a sale whole."""
        sale = self.pick(data)
        if sale is None:
            return
        request = self.shop.void_request(sale.request)
        if sale.is_voided:
            same(self.refusal("VoidTransaction", request), "RECEIPT_VOIDED")
        elif sale.is_touched or sale.has_exchange:
            same(self.refusal("VoidTransaction", request), "RECEIPT_HAS_RETURNS")
        else:
            answer = self.checkout("VoidTransaction", request)
            same(answer.reversal.refund_minor, sum(sale.nets))
            self.paper.void(sale)

    @rule(lines=goods(), member=MEMBER)
    def void_unseen(self, lines: list[Line], member: str | None) -> None:
        """Undo a sale before it comes; when it comes it moves nothing."""
        request = self.sale(self.basket(lines, member))
        answer = self.checkout("VoidTransaction", self.shop.void_request(request))
        same(answer.outcome, checkout_pb2.VOID_OUTCOME_TOMBSTONE)
        self.paper.voids.append((self.paper.counted(request.receipt.business_date), 0))
        self.unseen.append(request)

    @rule()
    def send_the_voided(self) -> None:
        """Send the sale that was undone before it came."""
        if self.unseen:
            answer = self.commit(self.unseen.pop())
            same(answer.outcome, checkout_pb2.COMMIT_OUTCOME_VOIDED_BEFORE)

    @rule(data=st.data(), member=st.sampled_from(MEMBERS))
    def claim(self, data: st.DataObject, member: str) -> None:
        """Say that a sale was a member's."""
        sale = self.pick(data)
        if sale is None:
            return
        request = checkout_pb2.ClaimTransactionRequest(
            context=self.shop.context(), receipt=sale.request.receipt,
            identifiers=[identifier(CARDS[member])], claimed_time_unix_ms=self.paper.wall_ms,
        )  # fmt: skip
        if sale.is_voided:
            same(self.refusal("ClaimTransaction", request), "RECEIPT_VOIDED")
        elif sale.member is not None:
            same(self.refusal("ClaimTransaction", request), "CLAIM_NOT_ALLOWED")
        else:
            self.checkout("ClaimTransaction", request)
            self.paper.claim(sale, member)

    # ---- the rest of the day

    @rule(member=st.sampled_from(MEMBERS), points=st.integers(-300, 900))
    def adjust(self, member: str, points: int) -> None:
        """Give or take points by hand; what is not there is owed."""
        if points:
            request = self.shop.adjust_request(member, points, allow_debt=points < 0)
            self.shop.adjust(request)
            self.note_entries()
            self.paper.given[member] += points

    @rule(days=st.integers(0, 2))
    def close_dates(self, days: int) -> None:
        """Close the books of the store up to a date, for good."""
        date = paper.later(self.paper.today, -days)
        request = ledger_pb2.CloseBusinessDateRequest(
            context=self.shop.context(), business_date=date
        )
        answer = self.call(
            "LedgerService.CloseBusinessDate", request, ledger_pb2.CloseBusinessDateResponse
        )
        self.paper.closed = max(self.paper.closed, date)
        same(answer.closed_date, self.paper.closed)

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Send anything once more: the first answer, byte for byte."""
        if self.answers:
            method, request, answer = data.draw(st.sampled_from(self.answers))
            same(self.shop.call(method, request), answer)
            assert self.shop.lsn == self.lsn

    @rule()
    def swap(self) -> None:
        """Make the other program live."""
        self.percent = PERCENTS[self.percent == PERCENTS[0]]
        self.shop.activate(self.programs[self.percent], self.built.catalogue)
        self.note_entries()
        self.paper.percents.append((self.paper.posted_ms, self.percent))

    @rule(minutes=st.sampled_from([1, 5, 20, 45]))
    def pass_time(self, minutes: int) -> None:
        """Move the wall clock on, never an hour ahead of the one that the process began with."""
        moved_ms = self.paper.wall_ms + minutes * MINUTE_MS
        if moved_ms < self.opened_ms + HOUR_MS:
            self.set_clock(moved_ms)

    @rule()
    def turn_back(self) -> None:
        """Move the wall clock back; what was entered keeps its time."""
        self.set_clock(max(OPENED_UNIX_MS, self.paper.wall_ms - 10 * MINUTE_MS))

    @rule(is_rebuilt=st.booleans(), hours=st.sampled_from([0, 0, 2, 15, 25, 80]))
    def restart(self, *, is_rebuilt: bool, hours: int) -> None:
        """Close and open again, hours or days later, at times with nothing but the journal."""
        self.shop.engine.close()
        if is_rebuilt:
            shutil.rmtree(self.shop.data / "accounts")
        self.set_clock(self.paper.wall_ms + hours * HOUR_MS)
        self.opened_ms = self.paper.wall_ms
        numbers = self.shop.numbers
        self.shop = Shop(
            self.built, self.folder, data=self.shop.data, program=self.programs[self.percent]
        )
        self.shop.numbers = numbers
        self.note_entries()

    def set_clock(self, unix_ms: int) -> None:
        self.clock.stand(unix_ms)
        self.paper.wall_ms = unix_ms

    # ---- what must hold

    @invariant()
    def members_have_what_paper_says(self) -> None:
        """Compare points, open holds and progress of every member."""
        for name in MEMBERS:
            found = self.shop.identify(identifier(CARDS[name]), include_holds=True)
            told = {b.purse_id: b for b in found.balances}
            base = told.get("base", decision_pb2.PurseBalance())
            held = self.paper.held(name)
            same((base.available_points, base.held_points), (self.paper.available(name), held))
            cash = told.get("cash", decision_pb2.PurseBalance())
            wanted = self.paper.cash[name].told(self.paper.today)
            same((cash.available_points, cash.pending_points), wanted)
            open_points = Counter(h.points for h in self.paper.open_holds() if h.member == name)
            same(Counter(hold.points for hold in found.holds), open_points)
            gathered = {p.progress_id: p.value for p in self.shop.member(name).progress}
            gathered = {what: gathered.get(what, 0) for what in ("spent", "visits")}
            same(gathered, self.paper.progress(name))

    @invariant()
    def limits_are_what_paper_says(self) -> None:
        """Ask what is left of the limits, and of every coupon, with a basket that takes it all."""
        for name in MEMBERS:
            lines = [Line(LIMITED, 20, 20_000)]
            off = self.shop.quote(self.basket(lines, name)).totals.discount_minor
            same(off, sum(self.paper.decide(lines, name, percent=self.percent).off))
        for serial in SERIALS:
            off = self.shop.quote(
                self.basket([Line(GIFT, 1, 500)], None, serial=serial)
            ).totals.discount_minor
            same(off, paper.GIFT_MINOR * self.paper.is_free(serial))

    @invariant()
    def the_books_are_what_paper_says(self) -> None:
        """Compare the totals of every business date."""
        query = Query(from_date=20260301, to_date=20261231, store_id=STORE, till_id=TILL)
        periods = read_periods(LiveJournal(self.shop.engine), query, {1: "base", 2: "cash"})
        assert periods.prove().adds_up
        found = {
            key.business_date: {name: getattr(part, name) for name in SUMS}
            for key, part in periods.parts.items()
        }
        wanted = self.paper.sums()
        for date in found.keys() | wanted.keys():
            there = found.get(date, dict.fromkeys(SUMS, 0))
            same(there, {name: wanted.get(date, Counter())[name] for name in SUMS})

    def teardown(self) -> None:
        """End the day: no hold is left, and every sale comes out again from its entry."""
        try:
            self.restart(is_rebuilt=True, hours=24)
            same(self.paper.open_holds(), [])
            self.members_have_what_paper_says()
            self.limits_are_what_paper_says()
            for entry, facts, response in commits(self.shop):
                same(self.shop.engine.replay(entry, *files_of(self.shop, facts)), (0, response))
        finally:
            self.shop.engine.close()
            shutil.rmtree(self.folder)


def same(told: Any, wanted: Any) -> None:
    """Compare what the engine tells with what is on paper; both are shown when they differ."""
    assert told == wanted, f"told {told}, on paper {wanted}"


SUMS = ("sale_count", "void_count", "return_count", "gross_minor", "discount_minor", "refund_minor")


def shares_of(decision: Any) -> Counter[tuple[str, str]]:
    """Return a decision's discounts by offer and funder; no funder: the program's own."""
    shares: Counter[tuple[str, str]] = Counter()
    for offer in decision.applied_offers:
        left = offer.discount_minor
        for part in offer.funding:
            shares[offer.offer_id, part.funder_id] += part.amount_minor
            left -= part.amount_minor
        shares[offer.offer_id, ""] += left
    return +shares


def main(folder: Path, first_seed: int, examples: int) -> None:
    """Run so many days; the first that goes otherwise than on paper is told, step by step."""
    built = Built(folder)
    programs = {}
    for percent in PERCENTS:
        plain = {**paper.OFFERS[0], "discount": {"of": {"category": "PLAIN"}, "percent": percent}}
        offers = [plain, *paper.OFFERS[1:]]
        programs[percent] = built.compile(f"flows-{percent}", offers, **paper.HEAD)
    machine = type("ShopFlows", (Flows,), {"built": built, "programs": programs})
    run_state_machine_as_test(
        seed(first_seed)(machine),
        settings=settings(
            max_examples=examples, stateful_step_count=STEPS, deadline=None, database=None,
            phases=[Phase.generate],  # made short, a day takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
