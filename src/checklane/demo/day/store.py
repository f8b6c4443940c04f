"""One store's day at its tills, its pumps and the till whose line is down.

Every flow is a method of its own: what a till sends, and what it then knows. The visits of a store
come one after the other, so that the day tells the same figures however quick the machine is.
"""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from checklane.client import (
    Basket,
    HoldCapture,
    HoldResult,
    Lane,
    Policy,
    Receipt,
    ReturnLine,
    Total,
    VoidResult,
    amount_minor,
)
from checklane.clock import SYSTEM_CLOCK
from checklane.demo.day.account import Sold, TillAccount
from checklane.demo.day.away import AwayTill
from checklane.demo.day.plan import Flow, Visit
from checklane.demo.day.program import CARD_PURSE, PAY
from checklane.demo.failure import DemoError
from checklane.demo.forecourt import NEVER, SHORT_S, OpenFill, add_fill, authorise
from checklane.errors import ChecklaneError
from checklane.v1 import basket_pb2

__all__ = ["StoreDay"]

DAY_MS = 86_400_000
#: Patient enough for any machine: what is sent again is entered once.
POLICY = Policy(
    quote_deadline_ms=10_000,
    change_deadline_ms=10_000,
    quote_budget_ms=90_000,
    change_budget_ms=90_000,
)
WAIT_S = 90.0
PAUSE_S = 0.05
#: Points that a customer pays with or sets aside, at most; and of what they have, one part in so
#: many: nobody runs out, so that a hold which ends a moment later changes nothing.
POINTS_MAX = 200
POINTS_PART = 6
#: Of a hundred customers, those who pay with a credit card.
CREDIT_PERCENT = 40
#: What goods without a receipt give back.
UNNAMED = "1.50"
#: The tills of every store.
MAIN, SECOND, PUMP, TRAINEE, AWAY_TILL, LATE_TILL = "1", "2", "pump", "trainee", "3", "4"


class StoreDay:
    """The day of one store. One thread at a time.

    Parameters
    ----------
    address : str
        Where the lanes are served.
    store : str
    dates : tuple of (int, int)
        Both business dates.
    folder : Path
        For the spools.

    Attributes
    ----------
    account : TillAccount
        What the store's tills were answered.
    """

    def __init__(self, address: str, store: str, dates: tuple[int, int], folder: Path) -> None:
        self.store = store
        self.account = TillAccount()
        self._address = address
        self._dates = dates
        self._folder = folder
        self._sequences: Counter[tuple[str, int]] = Counter()
        self._across: list[tuple[Visit, Basket, Total]] = []
        self._to_void: list[Sold] = []
        self._ending_fills: list[tuple[Visit, OpenFill]] = []
        self._ending: list[tuple[Visit, HoldResult]] = []
        self._away: dict[str, AwayTill] = {}
        self._spooled: dict[str, tuple[Visit, Basket]] = {}
        self._lanes = {
            till: Lane(address, store=store, till=till, policy=POLICY, training=till == TRAINEE)
            for till in (MAIN, SECOND, PUMP, TRAINEE, AWAY_TILL, LATE_TILL)
        }

    def close(self) -> None:
        """Close the lanes."""
        for away in self._away.values():
            away.close()
        for lane in self._lanes.values():
            lane.close()

    # ------------------------------------------------------------ the day --------------------

    def serve(self, visit: Visit) -> None:
        """Take one visit through its flow."""
        WORKS[visit.flow](self, visit)

    def end_first_date(self, close: Callable[[str, int], int]) -> None:
        """Finish what is open on the first date, close it, and enter what comes too late for it.

        Parameters
        ----------
        close : callable
            Closes the business date of a store, and returns the last that is closed.
        """
        for visit, basket, total in self._across:
            sale = self._commit(visit, basket, total=total)
            self._like_total(visit, sale, total)
        self._end_open()
        self.upload(AWAY_TILL)
        first = self._dates[0]
        self.account.expect(close(self.store, first) == first, f"{self.store}: {first} not closed")
        self.account.closed[self.store] = first
        self.upload(LATE_TILL)
        for sale in self._to_void:
            self._void(sale)

    def end_second_date(self) -> None:
        """Finish what is open, and enter what waits in the spool."""
        self._end_open()
        self.upload(AWAY_TILL)

    def _end_open(self) -> None:
        """Wait for what ends by itself, and tell what comes after."""
        for visit, opened in self._ending_fills:
            self._wait_for(visit.card, opened.table.hold_id)
            if opened.fill.how == NEVER:
                continue
            sale = self._commit(visit, add_fill(self._basket(visit, goods=False), opened), PUMP)
            kinds = [found.kind for found in sale.receipt.decision.exceptions]
            is_told = "HOLD_EXPIRED" in kinds or not opened.table.hold_id
            self._expect(visit, is_told, f"told late, but {kinds}")
        for visit, held in self._ending:
            self._wait_for(visit.card, held.hold.hold_id)
            try:
                self._lanes[MAIN].capture_hold(held.hold.hold_id)
            except ChecklaneError as error:
                self._expect(visit, error.reason == "HOLD_EXPIRED", f"refused: {error}")
            else:
                self._expect(visit, False, "a hold that had expired was captured")
        self._ending_fills.clear()
        self._ending.clear()

    def _wait_for(self, card: str, hold_id: str) -> None:
        """Wait until a hold is not there any more."""
        give_up_s = time.monotonic() + WAIT_S
        while hold_id:
            holds = self._lanes[MAIN].identify(card, include_holds=True).holds
            if hold_id not in {hold.hold_id for hold in holds}:
                return
            if time.monotonic() > give_up_s:
                raise DemoError(f"{self.store}: a hold of {SHORT_S} s does not end")
            time.sleep(PAUSE_S)

    # ------------------------------------------------------------ steps ----------------------

    def _basket(self, visit: Visit, *, has_card: bool = True, goods: bool = True) -> Basket:
        """Return a visit's basket as it stands at payment."""
        opened = SYSTEM_CLOCK.unix_ms() - (DAY_MS if visit.date_at == 0 else 0)
        basket = Basket(opened_time_unix_ms=opened)
        if goods:
            basket.message.lines.extend(visit.goods)
        if has_card:
            basket.card(visit.card)
        if visit.chance * 100 < CREDIT_PERCENT:
            basket.tender("CREDIT_CARD")
        return basket.at(business_date=self._date(visit))

    def _date(self, visit: Visit) -> int:
        return self._dates[visit.date_at]

    def _next(self, till: str, date: int) -> int:
        self._sequences[till, date] += 1
        return self._sequences[till, date]

    def _commit(self, visit: Visit, basket: Basket, till: str = MAIN, **options: Any) -> Sold:
        """Enter a sale of a visit, and note it."""
        date = self._date(visit)
        receipt = self._lanes[till].commit(
            basket, sequence=self._next(till, date), business_date=date, **options
        )
        return self._note(visit, till, basket, receipt)

    def _note(self, visit: Visit, till: str, basket: Basket, receipt: Receipt) -> Sold:
        card = visit.card if basket.message.identifiers else ""
        sale = Sold(self.store, till, self._date(visit), card, receipt)
        self.account.sell(sale)
        gross = sum(
            line.amount_minor
            for line in basket.message.lines
            if line.kind != basket_pb2.LINE_KIND_RETURN
        )
        told = receipt.decision.totals.gross_minor
        is_whole = told == gross or receipt.outcome == "VOIDED_BEFORE"
        self._expect(visit, is_whole, f"{gross} charged, {told} answered")
        return sale

    def _sell(self, visit: Visit, **options: Any) -> Sold:
        """Quote and enter a basket: it costs what was quoted."""
        basket = self._basket(visit, **options)
        shown = self._lanes[MAIN].quote(basket)
        sale = self._commit(visit, basket)
        is_like = sale.receipt.decision.totals == shown.totals
        self._expect(visit, is_like, "the sale costs another amount than was quoted")
        return sale

    def _like_total(self, visit: Visit, sale: Sold, total: Total) -> None:
        told, shown = sale.receipt.decision, total.decision
        is_like = (told.lines, told.totals, told.earned) == (
            shown.lines, shown.totals, shown.earned,
        )  # fmt: skip
        self._expect(visit, is_like, "the sale has other figures than its total")

    def _expect(self, visit: Visit, is_so: bool, what: str) -> None:
        place = f"{self.store} on {self._date(visit)}, visit {visit.number} ({visit.flow})"
        self.account.expect(is_so, f"{place}: {what}")

    def _count(self, visit: Visit) -> None:
        self.account.flows[self.store, self._date(visit)][visit.flow] += 1

    def _points_of(self, visit: Visit) -> int:
        """Return how many points a customer parts with: a share of what is there, in tens."""
        balances = self._lanes[MAIN].identify(visit.card).balances
        found = (one for one in balances if one.purse_id == CARD_PURSE)
        owned = sum(one.available_points + one.held_points for one in found)
        return min(POINTS_MAX, owned // POINTS_PART) // 10 * 10

    # ------------------------------------------------------------ sales ----------------------

    def plain(self, visit: Visit) -> None:
        """Quote and enter."""
        self._sell(visit)
        self._count(visit)

    def total(self, visit: Visit, till: str = MAIN) -> None:
        """Freeze the figures at tender and enter exactly those."""
        basket = self._basket(visit)
        self._lanes[MAIN].quote(basket)
        total = self._lanes[MAIN].total(basket)
        self._like_total(visit, self._commit(visit, basket, till, total=total), total)
        self._count(visit)

    def suspended(self, visit: Visit) -> None:
        """Put a basket aside and resume it at another till."""
        self.total(visit, SECOND)

    def across(self, visit: Visit) -> None:
        """Put a basket aside until another program is live."""
        basket = self._basket(visit)
        self._across.append((visit, basket, self._lanes[MAIN].total(basket)))
        self._count(visit)

    def twice(self, visit: Visit) -> None:
        """Send a sale again under its key, as a lane does that got no answer."""
        basket, key = self._basket(visit), f"twice-{self.store}-{visit.number}"
        sale = self._commit(visit, basket, key=key)
        again = self._lanes[MAIN].commit(
            basket, sequence=sale.receipt.sequence, business_date=sale.date, key=key
        )
        is_same = again.message == sale.receipt.message
        self._expect(visit, is_same, "sent twice, answered otherwise")
        self._count(visit)

    def training(self, visit: Visit) -> None:
        """Decide a sale in full and enter nothing."""
        sale = self._commit(visit, self._basket(visit), TRAINEE)
        self._expect(visit, sale.receipt.outcome == "TRAINING", f"{sale.receipt.outcome}")
        self._count(visit)

    def points(self, visit: Visit) -> None:
        """Pay a part with points."""
        points = self._points_of(visit)
        basket = self._basket(visit)
        if points:
            basket.message.redemptions.add(offer_id=PAY, points=points)
        sale = self._commit(visit, basket)
        if any(found.state == "TAKEN" for found in sale.receipt.decision.redemptions):
            self._count(visit)

    def coupon(self, visit: Visit) -> None:
        """Sell, and sell once more to whoever shows the coupon that was printed."""
        sale = self._sell(visit)
        for issued in sale.receipt.issued_coupons:
            basket = self._basket(visit).coupon(issued.code, serial=issued.serial)
            states = [found.state for found in self._commit(visit, basket).receipt.decision.coupons]
            self._expect(visit, states == ["CONSUMED"], f"the coupon is {states}")
            basket = self._basket(visit).coupon(issued.code, serial=issued.serial)
            (again,) = self._lanes[MAIN].quote(basket).coupons
            self._expect(visit, again.state == "REFUSED", f"shown again it is {again.state}")
            self._count(visit)

    # ------------------------------------------------------------ holds ----------------------

    def _hold(self, visit: Visit, seconds: int | None = None) -> HoldResult | None:
        points = self._points_of(visit)
        if not points:
            return None
        return self._lanes[SECOND].create_hold(
            visit.card, points=points, purse=CARD_PURSE, seconds=seconds
        )

    def hold_captured(self, visit: Visit) -> None:
        """Set points aside and spend half of them; the rest is given back."""
        held = self._hold(visit)
        if held is not None:
            answer = self._lanes[MAIN].capture_hold(held.hold.hold_id, points=held.hold.points // 2)
            self.account.capture(self.store, visit.card, answer)
            self._count(visit)
        self._sell(visit)

    def hold_in_sale(self, visit: Visit) -> None:
        """Set points aside and spend all of them with a sale, which pays with some of them."""
        held = self._hold(visit)
        if held is None:
            self._sell(visit)
            return
        points = held.hold.points
        basket = self._basket(visit)
        basket.message.redemptions.add(offer_id=PAY, points=10)
        capture = HoldCapture(held.hold.hold_id, points=points)
        sale = self._commit(visit, basket, captures=[capture])
        redeemed = sale.receipt.decision.redemptions
        taken = sum(found.points for found in redeemed if found.state == "TAKEN")
        # What the till names of a hold is spent, also what the basket did not need.
        self.account.spend(sale.place, visit.card, CARD_PURSE, max(points - taken, 0))
        self._count(visit)

    def hold_released(self, visit: Visit) -> None:
        """Set points aside and give them back."""
        held = self._hold(visit)
        if held is not None:
            (released,) = self._lanes[MAIN].release_hold(held.hold.hold_id).holds
            self._expect(visit, released.state == "RELEASED", f"the hold is {released.state}")
            self._count(visit)
        self._sell(visit)

    def hold_expired(self, visit: Visit) -> None:
        """Set points aside and forget them."""
        held = self._hold(visit, SHORT_S)
        if held is not None:
            self._ending.append((visit, held))
            self._count(visit)
        self._sell(visit)

    # ------------------------------------------------------------ the pumps ------------------

    def fuel(self, visit: Visit) -> None:
        """Authorise a fill, and tell what the pump gave: outside, or inside with the goods."""
        assert visit.fill is not None
        fill = visit.fill
        is_known = fill.member is not None
        name = f"{self.store}-fill-{visit.number}"
        opened = authorise(self._lanes[PUMP], fill, name, visit.card if is_known else "")
        self._count(visit)
        if fill.ends_by_itself:
            self._ending_fills.append((visit, opened))
            return
        if fill.how == NEVER:
            if opened.table.hold_id:
                self._lanes[PUMP].release_hold(opened.table.hold_id)
            return
        is_inside = visit.flow == Flow.FUEL_INSIDE
        basket = add_fill(self._basket(visit, has_card=is_known, goods=is_inside), opened)
        sale = self._commit(visit, basket, MAIN if is_inside else PUMP)
        kinds = [found.kind for found in sale.receipt.decision.exceptions]
        self._expect(visit, not kinds, f"told in time, but {kinds}")

    # ------------------------------------------------------------ voids and returns ----------

    def _void(self, sale: Sold) -> None:
        answer = self._lanes[sale.till].void(
            sequence=sale.receipt.sequence, business_date=sale.date, reason="changed their mind"
        )
        self.account.void(self.store, answer, sale)

    def void(self, visit: Visit) -> None:
        """Undo a sale by its receipt."""
        self._void(self._sell(visit))
        self._count(visit)

    def void_by_key(self, visit: Visit) -> None:
        """Undo a sale by the key of its commit."""
        sale = self._sell(visit)
        answer = self._lanes[MAIN].void(original_key=sale.receipt.key)
        self._expect(visit, answer.outcome == "VOIDED", f"the void is {answer.outcome}")
        self.account.void(self.store, answer, sale)
        self._count(visit)

    def void_unseen(self, visit: Visit) -> None:
        """Void a sale by its key before it comes; then it has no effect."""
        key = f"unseen-{self.store}-{visit.number}"
        answer = self._lanes[MAIN].void(original_key=key)
        self._expect(visit, answer.outcome == "TOMBSTONE", f"the void is {answer.outcome}")
        self.account.void(self.store, answer)
        sale = self._commit(visit, self._basket(visit), key=key)
        self._expect(visit, sale.receipt.outcome == "VOIDED_BEFORE", sale.receipt.outcome)
        self._count(visit)

    def void_closed(self, visit: Visit) -> None:
        """Sell, and void when the sale's date is closed."""
        self._to_void.append(self._sell(visit))
        self._count(visit)

    def _return(self, visit: Visit, sale: Sold, *lines: ReturnLine) -> int:
        """Take lines back; return the refund."""
        date = self._date(visit)
        answer = self._lanes[MAIN].return_items(
            *lines,
            original_sequence=sale.receipt.sequence,
            original_date=sale.date,
            sequence=self._next(MAIN, date),
            business_date=date,
        )
        self.account.take_back(sale, answer)
        return answer.reversal.refund_minor

    def return_part(self, visit: Visit) -> None:
        """Take one unit of the first line back."""
        self._return(visit, self._sell(visit), ReturnLine(1, count=1))
        self._count(visit)

    def return_whole(self, visit: Visit) -> None:
        """Take everything back: it gives what was paid."""
        sale = self._sell(visit)
        back = self._return(visit, sale, *(ReturnLine(line.line_id) for line in visit.goods))
        due = sale.receipt.decision.totals.due_minor
        self._expect(visit, back == due, f"{due} paid, {back} refunded")
        self._count(visit)

    def return_twice(self, visit: Visit) -> None:
        """Take one unit back and then all the rest: together what was paid."""
        sale = self._sell(visit)
        back = self._return(visit, sale, ReturnLine(1, count=1))
        rest = [
            ReturnLine(line.line_id) for line in visit.goods if line.line_id != 1 or line.count > 1
        ]
        if rest:
            back += self._return(visit, sale, *rest)
        due = sale.receipt.decision.totals.due_minor
        self._expect(visit, back == due, f"{due} paid, {back} refunded")
        self._count(visit)

    def return_unnamed(self, visit: Visit) -> None:
        """Bring goods of an unknown sale in the basket of a new one."""
        code = visit.goods[0].product_code
        basket = self._basket(visit).give_back_unreceipted(code, kind="SKU", refund=UNNAMED)
        totals = self._commit(visit, basket).receipt.decision.totals
        is_whole = totals.refund_minor == amount_minor(UNNAMED)
        self._expect(visit, is_whole, f"{totals.refund_minor} refunded")
        self._count(visit)

    def exchange(self, visit: Visit) -> None:
        """Bring a unit of an earlier sale back in the basket of a new one."""
        sale = self._sell(visit)
        basket = self._basket(visit).give_back(
            visit.goods[0].product_code,
            kind="SKU",
            original_line=1,
            original_sequence=sale.receipt.sequence,
            original_date=sale.date,
            original_till=sale.till,
        )
        reversal = self._commit(visit, basket).receipt.reversal
        self._expect(visit, reversal is not None, "nothing came back")
        self._count(visit)

    def claim(self, visit: Visit) -> None:
        """Sell to nobody, and learn afterwards whose it was."""
        sale = self._sell(visit, has_card=False)
        answer = self._lanes[MAIN].claim(
            visit.card, sequence=sale.receipt.sequence, business_date=sale.date
        )
        self.account.claim(self.store, visit.card, answer)
        self._count(visit)

    # ------------------------------------------------------------ a line that is down --------

    def offline(self, visit: Visit) -> None:
        """Sell while the line is down, and perhaps void: both go to the spool."""
        till = LATE_TILL if visit.flow == Flow.OFFLINE_CLOSED else AWAY_TILL
        if till not in self._away:
            path = self._folder / f"{self.store}-{till}.spool"
            self._away[till] = AwayTill(self.store, till, path)
        away, date = self._away[till], self._date(visit)
        basket, key = self._basket(visit), f"offline-{self.store}-{visit.number}"
        waits = away.sell(basket, sequence=self._next(till, date), business_date=date, key=key)
        if visit.flow == Flow.OFFLINE_VOIDED:
            waits = away.void(key) and waits
        self._expect(visit, waits, "entered although the line was down")
        self._spooled[key] = (visit, basket)
        self._count(visit)

    def upload(self, till: str) -> None:
        """Let a till have its line back, and note what its sales and voids came to."""
        away = self._away.pop(till, None)
        sold: list[Sold] = []
        for answer in [] if away is None else away.come_back(self._lanes[till]):
            if isinstance(answer, VoidResult):
                # A void of this till follows its sale at once.
                self.account.void(self.store, answer, sold[-1])
            else:
                visit, basket = self._spooled.pop(answer.key)
                sold.append(self._note(visit, till, basket, answer))


#: How a visit goes, by its flow.
WORKS: Mapping[Flow, Callable[[StoreDay, Visit], None]] = {
    Flow.PLAIN: StoreDay.plain,
    Flow.TOTAL: StoreDay.total,
    Flow.SUSPENDED: StoreDay.suspended,
    Flow.ACROSS: StoreDay.across,
    Flow.TWICE: StoreDay.twice,
    Flow.TRAINING: StoreDay.training,
    Flow.POINTS: StoreDay.points,
    Flow.COUPON: StoreDay.coupon,
    Flow.HOLD_CAPTURED: StoreDay.hold_captured,
    Flow.HOLD_IN_SALE: StoreDay.hold_in_sale,
    Flow.HOLD_RELEASED: StoreDay.hold_released,
    Flow.HOLD_EXPIRED: StoreDay.hold_expired,
    Flow.FUEL: StoreDay.fuel,
    Flow.FUEL_INSIDE: StoreDay.fuel,
    Flow.FUEL_UNDER_RUN: StoreDay.fuel,
    Flow.FUEL_NEVER: StoreDay.fuel,
    Flow.FUEL_LATE: StoreDay.fuel,
    Flow.VOID: StoreDay.void,
    Flow.VOID_BY_KEY: StoreDay.void_by_key,
    Flow.VOID_UNSEEN: StoreDay.void_unseen,
    Flow.VOID_CLOSED: StoreDay.void_closed,
    Flow.RETURN_PART: StoreDay.return_part,
    Flow.RETURN_WHOLE: StoreDay.return_whole,
    Flow.RETURN_TWICE: StoreDay.return_twice,
    Flow.RETURN_UNNAMED: StoreDay.return_unnamed,
    Flow.EXCHANGE: StoreDay.exchange,
    Flow.CLAIM: StoreDay.claim,
    Flow.OFFLINE: StoreDay.offline,
    Flow.OFFLINE_VOIDED: StoreDay.offline,
    Flow.OFFLINE_CLOSED: StoreDay.offline,
}
