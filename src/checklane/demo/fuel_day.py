"""A day at the pumps, against a server that is killed meanwhile, held against the books.

Each fill is authorised, pumped and paid; up to as many are open at a time as there are pumps. Some
stop early, some never start, some are told only after their hold has ended. What a fill must have
cost is reckoned here from the table that its authorisation gave, not asked for. At the end nothing
may be held, every purse and the budget must be what the fills left, and the journal whole.
"""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from checklane.client import Basket, Lane, Policy, Receipt
from checklane.demo.failure import DemoError
from checklane.demo.forecourt import (
    BUDGET_MINOR,
    GROCERIES,
    LATE,
    MILLION,
    NEVER,
    PRICES,
    STORE,
    UNIT,
    Fill,
    Forecourt,
    OpenFill,
    add_fill,
    authorise,
    card_of,
    count_kinds,
    plan_fills,
)
from checklane.demo.prepare import prepare
from checklane.demo.serving import Server
from checklane.ledger.check import verify

__all__ = ["Day", "DayOptions", "run_day"]

Tell = Callable[[str], None]

PUMPS = 8
PURSES = ("gallons", "steps")
#: A purse holds so many points to begin with.
POINTS = 1_000
#: For what ends by itself: a hold does after a second, what it kept of a store's budget within 15.
WAIT_S = 90.0
PAUSE_S = 0.1
POLICY = Policy(
    quote_deadline_ms=5_000,
    change_deadline_ms=5_000,
    quote_budget_ms=90_000,
    change_budget_ms=90_000,
)


@dataclass(frozen=True)
class DayOptions:
    """What a day may be told.

    Attributes
    ----------
    work : Path
        A folder of its own.
    fills : int
    kills : int
        How often the server is killed, evenly over the day.
    """

    work: Path
    fills: int
    members: int = 40
    kills: int = 2
    seed: int = 1


@dataclass
class Day:
    """What came of it.

    Attributes
    ----------
    faults : list of str
        What does not add up.
    """

    kinds: Counter[str] = field(default_factory=Counter)
    fills: int = 0
    kills: int = 0
    expired: int = 0
    pumped_thousandths: int = 0
    sold_minor: int = 0
    discount_minor: int = 0
    points: Counter[str] = field(default_factory=Counter)
    entries: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def adds_up(self) -> bool:
        """Tell whether nothing is wrong."""
        return not self.faults


def run_day(options: DayOptions, tell: Tell) -> Day:
    """Simulate a day, and check it.

    Parameters
    ----------
    options : DayOptions
    tell : callable
        Called with what is done next.

    Raises
    ------
    DemoError
        The server did not come up, or what was to end did not.
    """
    options.work.mkdir(parents=True, exist_ok=True)
    station = Forecourt(options.work, options.members)
    data = options.work / "data"
    prepare(station.write(), station.program, data, tell)
    fills = plan_fills(options.seed, options.fills, options.members, PUMPS)
    with Server(data, options.work / "server.log") as server:
        with _Clerk(server, options) as clerk:
            tell(f"{options.fills} fills at {PUMPS} pumps, {options.kills} kills")
            clerk.open()
            clerk.serve(fills)
            tell("waiting for what ends by itself")
            clerk.close_day()
        server.stop()
    tell("walking the journal")
    verdict = verify(data, lambda *_: None)
    if verdict.is_sound:
        clerk.day.entries = int(verdict.report["last_lsn"] - verdict.report["first_lsn"] + 1)
    else:
        clerk.day.faults.append(f"journal: {verdict.problem}")
    return clerk.day


class _Clerk:
    """Serves the pumps, and keeps books of its own."""

    def __init__(self, server: Server, options: DayOptions) -> None:
        self.day = Day()
        self._server = server
        self._options = options
        self._lane = Lane(server.address, store=STORE, till="1", policy=POLICY)
        self._trainee = Lane(server.address, store=STORE, till="2", training=True, policy=POLICY)
        self._sequence = 0
        self._pumps: dict[int, OpenFill] = {}
        self._late: list[OpenFill] = []
        self._balances: dict[tuple[int, str], int] = {}
        self._budget_minor = BUDGET_MINOR
        self._starter: threading.Thread | None = None

    def __enter__(self) -> "_Clerk":
        return self

    def __exit__(self, *_: object) -> None:
        self._join()
        self._lane.close()
        self._trainee.close()

    # ------------------------------------------------------------ the day --------------------

    def open(self) -> None:
        """Let every member earn what the purses begin with."""
        for member in range(self._options.members):
            basket = Basket().add(GROCERIES, amount_minor=10 * POINTS, kind="PLU")
            receipt = self._commit(basket.card(card_of(member)), f"groceries-{member}")
            for purse in PURSES:
                self._balances[member, purse] = POINTS
            self._take_balances(member, receipt)

    def serve(self, fills: list[Fill]) -> None:
        """Take each fill to its pump; whoever stands there is done first."""
        every = len(fills) // (self._options.kills + 1) + 1
        for fill in fills:
            self._finish(self._pumps.pop(fill.pump, None))
            if fill.number % every == every - 1 and self.day.kills < self._options.kills:
                self._kill()
            self._pumps[fill.pump] = self._authorise(fill)
        for pump in list(self._pumps):
            self._finish(self._pumps.pop(pump))
        self.day.fills = len(fills)
        self.day.kinds = count_kinds(fills)

    def close_day(self) -> None:
        """Tell the late fills; see that nothing is held, and that purses and budget agree."""
        for late in self._late:
            self._wait(partial(self._has_ended, late), "a hold of a second does not end")
            receipt = self._pay(late)
            kinds = [exception.kind for exception in receipt.decision.exceptions]
            self._expect("HOLD_EXPIRED" in kinds, late.fill, f"told late, but {kinds}")
            self.day.expired += 1
        self._wait(self._is_free, "something is still held")
        for (member, purse), wanted in sorted(self._balances.items()):
            found = self._balance(member, purse)
            if found != (wanted, 0):
                self.day.faults.append(f"member {member}, {purse}: {found}, not {(wanted, 0)}")
        self._wait(lambda: self._budget_left() == self._wanted_left(), "the budget does not add up")

    def _kill(self) -> None:
        """Kill the server and start it anew, while the pumps go on."""
        self._join()
        self._server.kill()
        self.day.kills += 1
        self._starter = threading.Thread(target=self._server.start)
        self._starter.start()

    def _join(self) -> None:
        if self._starter is not None:
            self._starter.join()

    # ------------------------------------------------------------ one fill -------------------

    def _authorise(self, fill: Fill) -> OpenFill:
        card = "" if fill.member is None else card_of(fill.member)
        return authorise(self._lane, fill, f"fill-{fill.number}", card)

    def _finish(self, done: OpenFill | None) -> None:
        if done is None:
            return
        if done.fill.how == NEVER:
            if done.fill.is_released and done.table.hold_id:
                self._lane.release_hold(done.table.hold_id, key=f"release-{done.fill.number}")
        elif done.fill.how == LATE:
            self._late.append(done)
        else:
            receipt = self._pay(done)
            kinds = [exception.kind for exception in receipt.decision.exceptions]
            self._expect(not kinds, done.fill, f"told in time, but {kinds}")
            self._compare(done, receipt)

    def _pay(self, done: OpenFill) -> Receipt:
        """Enter the fill; books are kept by what is told, and compared where that was promised."""
        fill = done.fill
        basket = add_fill(Basket(opened_time_unix_ms=done.opened_unix_ms), done)
        if fill.member is not None:
            basket.card(card_of(fill.member))
        receipt = self._commit(basket, f"fill-{fill.number}")
        totals = receipt.decision.totals
        self._expect(totals.gross_minor == fill.amount_minor(), fill, "the pump's money is changed")
        for offer in receipt.decision.applied_offers:
            if offer.offer_id == "opening":
                self._budget_minor -= offer.discount_minor
        for paid in receipt.decision.redemptions:
            self.day.points[paid.purse_id] += paid.points
            if fill.member is not None:
                self._balances[fill.member, paid.purse_id] -= paid.points
        self.day.pumped_thousandths += fill.thousandths
        self.day.sold_minor += totals.gross_minor
        self.day.discount_minor += totals.discount_minor
        return receipt

    def _compare(self, done: OpenFill, receipt: Receipt) -> None:
        """Hold what the sale says against what the table promised for the volume."""
        fill = done.fill
        row = done.table.discounts[fill.price]
        wanted_points: Counter[str] = Counter()
        wanted_minor = 0
        cut = 0
        for offer in row.offers:
            volume = min(fill.thousandths, offer.max_quantity_thousandths)
            wanted_minor += _rounded(offer.discount_minor_thousandths * volume, MILLION)
            # A budget that cuts the money is told in whole thousandths of a gallon.
            cut += offer.offer_id == "opening" and volume < min(fill.thousandths, 12_000)
            if offer.purse_id:
                most = 20_000 if offer.purse_id == "gallons" else volume
                wanted_points[offer.purse_id] += -(-offer.points * min(volume, most) // most)
        told_points: Counter[str] = Counter()
        for paid in receipt.decision.redemptions:
            told_points[paid.purse_id] += paid.points
        told_minor = receipt.decision.totals.discount_minor
        self._expect(
            wanted_minor <= told_minor <= wanted_minor + cut,
            fill,
            f"promised {wanted_minor} off, given {told_minor}",
        )
        self._expect(+told_points == +wanted_points, fill, f"{told_points}, not {wanted_points}")

    def _commit(self, basket: Basket, key: str) -> Receipt:
        """Enter a sale, and send it once more: the answer is the first one's."""
        self._sequence += 1
        first = self._lane.commit(basket, sequence=self._sequence, key=key)
        again = self._lane.commit(basket, sequence=self._sequence, key=key)
        if again.message != first.message:
            self.day.faults.append(f"{key}: sent twice, answered otherwise")
        return first

    # ------------------------------------------------------------ what is there --------------

    def _take_balances(self, member: int, receipt: Receipt) -> None:
        told = {balance.purse_id: balance.available_points for balance in receipt.balances}
        for purse in PURSES:
            if told[purse] != self._balances[member, purse]:
                self.day.faults.append(f"member {member} begins with {told}")

    def _balance(self, member: int, purse: str) -> tuple[int, int]:
        found = self._lane.identify(card_of(member))
        (told,) = [balance for balance in found.balances if balance.purse_id == purse]
        return told.available_points, told.held_points

    def _has_ended(self, done: OpenFill) -> bool:
        holds = self._lane.identify(card_of(done.fill.member or 0), include_holds=True).holds
        return done.table.hold_id not in [hold.hold_id for hold in holds]

    def _is_free(self) -> bool:
        return not any(
            self._lane.identify(card_of(member), include_holds=True).holds
            for member in range(self._options.members)
        )

    def _budget_left(self) -> int:
        """Return for how many thousandths of a gallon the budget lasts, up to the offer's most."""
        table = self._trainee.authorize_fuel("1", PRICES[:1], unit=UNIT)
        offers = {offer.offer_id: offer for offer in table.discounts[0].offers}
        return offers["opening"].max_quantity_thousandths if "opening" in offers else 0

    def _wanted_left(self) -> int:
        return min(12_000, self._budget_minor * MILLION // 10_000)

    def _wait(self, is_so: Callable[[], bool], what: str) -> None:
        give_up_s = time.monotonic() + WAIT_S
        while not is_so():
            if time.monotonic() > give_up_s:
                raise DemoError(what)
            time.sleep(PAUSE_S)

    def _expect(self, is_so: bool, fill: Fill, what: str) -> None:
        if not is_so:
            self.day.faults.append(f"fill {fill.number} ({fill.how}): {what}")


def _rounded(number: int, by: int) -> int:
    """Return a quotient, half away from zero."""
    return (2 * number + by) // (2 * by)
