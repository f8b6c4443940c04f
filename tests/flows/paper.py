"""The ledger on paper: what every account must hold, by docs/semantics.md and a few sums.

The program is so small that each of its rules takes a line or two here. Nothing is kept that can
be added up: points, limits and the totals of a day are sums over the sales, the holds and what
became of them. Only points that expire are kept in lots, because what takes them back has an order.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

PLAIN, LIMITED, GIFT, FUEL, OTHER = 100, 200, 300, 400, 500
#: Of `few`: cents a unit, units a member, cents for everybody.
UNIT_MINOR, MEMBER_UNITS, BUDGET_MINOR = 50, 6, 430
GIFT_MINOR = 100
#: Cents a gallon: of any fill, and of each step of so many points.
GALLON_MINOR, STEP_MINOR, STEP_POINTS = 5, 10, 100
PENDING_DAYS, KEPT_DAYS = 1, 3
OFFERS: list[dict[str, Any]] = [
    {"id": "plain", "discount": {"of": {"category": "PLAIN"}, "percent": 10}},
    {"id": "few", "discount": {"of": {"category": "LIMITED"}, "amount": 0.50},
     "limits": {"per_member": {"units": MEMBER_UNITS}, "overall": {"money": 4.30}},
     "funding": [{"funder": "maker", "percent": 60, "settlement": "third_party"},
                 {"funder": "shop", "percent": 40}]},
    {"id": "once", "coupon": {"codes": "ONCE", "serial": True},
     "discount": {"of": {"category": "GIFT"}, "amount": 1.00}},
    {"id": "pay", "redeem": {"purse": "base", "points": 1, "pays": 0.01}},
    {"id": "gallon", "fuel": {"amount": 0.05, "unit": "gallon", "floor": 0.999}},
    {"id": "step", "fuel": {"purse": "base", "points": STEP_POINTS, "amount": 0.10,
                            "unit": "gallon", "floor": 0.999}},
    {"id": "points", "earn": {"purse": "base", "points": 1, "per": 0.10}},
    {"id": "later", "earn": {"purse": "cash", "points": 1, "per": 1.00}},
]  # fmt: skip
HEAD = {
    "purses": {
        "base": {"number": 1},
        "cash": {
            "number": 2,
            "pending_days": PENDING_DAYS,
            "expires": {"days": KEPT_DAYS},
        },
    },
    "progress": {"spent": {"measure": "spend"}, "visits": {"measure": "visits"}},
    "policies": {"claim_days": 30, "claw_back": "negative"},
}


def half_away(part: int, whole: int) -> int:
    """Return part / whole in whole numbers, halves up (no part here is negative)."""
    return (2 * part + whole) // (2 * whole)


def date_of(unix_ms: int) -> int:
    """Return the business date of a moment; the store keeps UTC."""
    return int(datetime.fromtimestamp(unix_ms // 1000, UTC).strftime("%Y%m%d"))


def later(date: int, days: int) -> int:
    """Return the date so many days after another."""
    there = datetime.strptime(str(date), "%Y%m%d").replace(tzinfo=UTC) + timedelta(days=days)
    return int(there.strftime("%Y%m%d"))


@dataclass
class Line:
    """So many units of a product and what they cost together; all of one price."""

    code: int
    count: int
    amount: int


@dataclass
class Decision:
    """What comes off, by line, and what that takes."""

    off: list[int]
    shares: Counter[tuple[str, str]] = field(default_factory=Counter)
    units: int = 0
    serial: str = ""
    points: int = 0

    @property
    def money(self) -> int:
        """Return what it takes of the budget."""
        return self.shares["few", "maker"] + self.shares["few", "shop"]


@dataclass
class Sale:
    """One sale: `off` is what was taken off in fact, whatever was decided."""

    request: Any
    member: str | None
    lines: list[Line]
    decision: Decision
    off: list[int]
    own_date: int
    receipt_date: int
    date: int
    back: list[int]
    refunds: list[int]
    is_voided: bool = False
    has_exchange: bool = False
    #: Voided when its date was closed: its money stays where it was.
    is_kept: bool = False
    cash_taken: int = 0

    @property
    def gross(self) -> int:
        """Return what all of it cost before discounts."""
        return sum(line.amount for line in self.lines)

    @property
    def nets(self) -> list[int]:
        """Return what was paid, by line."""
        return [line.amount - off for line, off in zip(self.lines, self.off, strict=True)]

    @property
    def earning(self) -> int:
        """Return what points and progress are of: what the decision leaves to pay (P1, U2)."""
        return self.gross - sum(self.decision.off)

    @property
    def left(self) -> int:
        """Return how many units have not come back."""
        return sum(line.count for line in self.lines) - sum(self.back)

    @property
    def stands(self) -> bool:
        """Return whether anything of the sale is left."""
        return not self.is_voided and self.left > 0

    @property
    def is_touched(self) -> bool:
        """Return whether anything came back."""
        return sum(self.back) > 0

    def part_back(self, gathered: int) -> int:
        """Return how much of what the sale gave must have been taken back (G4, P12)."""
        if not self.stands:
            return gathered
        net = sum(self.nets)
        return half_away(gathered * min(sum(self.refunds), net), net) if net else 0

    @property
    def points_back(self) -> int:
        """Return how many of the points that paid have come back (R5)."""
        if not self.stands:
            return self.decision.points
        pairs = zip(self.lines, self.back, strict=True)
        gross_back = sum(half_away(line.amount * back, line.count) for line, back in pairs)
        return self.decision.points * gross_back // self.gross if self.gross else 0

    def refund_of(self, at: int, count: int) -> int:
        """Return what so many more units of a line give back (X1)."""
        whole = half_away(self.nets[at] * (self.back[at] + count), self.lines[at].count)
        return max(0, whole - self.refunds[at])

    def give_back(self, at: int, count: int) -> int:
        """Note units that come back; return the refund."""
        refund = self.refund_of(at, count)
        self.back[at] += count
        self.refunds[at] += refund
        return refund


@dataclass
class Hold:
    """Something set aside until a post time: points, or all that a total or a fill takes."""

    kind: str
    member: str | None
    expires_ms: int
    points: int = 0
    units: int = 0
    money: int = 0
    serial: str = ""
    is_open: bool = True
    #: Of a total: its basket and what was decided; of a fill: its steps.
    basket: Any = None
    lines: list[Line] = field(default_factory=list)
    decision: Decision | None = None
    token: bytes = b""
    steps: int = 0


class Lots:
    """The points of a purse that expire, by the business date that they are of."""

    def __init__(self) -> None:
        self.points: Counter[int] = Counter()
        self.debt = 0

    def take(self, own_date: int, made: int, points: int, today: int) -> None:
        """Take points back: the sale's own lot, then the earliest; the rest is owed."""
        part = min(points, made, self._there(own_date, today))
        self.points[own_date] -= part
        points -= part
        for date in sorted(self.points):
            part = min(points, self._there(date, today))
            self.points[date] -= part
            points -= part
        self.debt += points

    def _there(self, date: int, today: int) -> int:
        return self.points[date] if later(date, KEPT_DAYS) >= today else 0

    def told(self, today: int) -> tuple[int, int]:
        """Return what can be spent, negative when it is owed, and what waits."""
        kept = {date: self._there(date, today) for date in self.points}
        active = sum(n for date, n in kept.items() if later(date, PENDING_DAYS) <= today)
        return active - self.debt, sum(kept.values()) - active


class Paper:
    """All that has happened, and what follows from it."""

    def __init__(self, members: tuple[str, ...], now_ms: int) -> None:
        self.members = members
        self.wall_ms = now_ms
        self.posted_ms = 0
        self.closed = 0
        self.sales: list[Sale] = []
        self.holds: dict[str, Hold] = {}
        self.captured: Counter[str] = Counter()
        self.given: Counter[str] = Counter()
        self.cash = {member: Lots() for member in members}
        #: Voids and returns: the date that each counts for, and money.
        self.voids: list[tuple[int, int]] = []
        self.returns: list[tuple[int, int]] = []
        #: Since when which percentage is off the plain goods.
        self.percents: list[tuple[int, int]] = []

    # ---- time

    @property
    def post_ms(self) -> int:
        """Return the post time of what is entered now: it never goes back."""
        return max(self.wall_ms, self.posted_ms)

    @property
    def today(self) -> int:
        """Return the date by the wall clock."""
        return date_of(self.wall_ms)

    def counted(self, date: int) -> int:
        """Return the date for which something of a date counts (Z1)."""
        return max(date, later(self.closed, 1)) if self.closed else date

    def percent_at(self, unix_ms: int) -> int:
        """Return what was off the plain goods at a moment (U1)."""
        return [percent for since_ms, percent in self.percents if since_ms <= unix_ms][-1]

    # ---- what is there

    def open_holds(self, but: Hold | None = None) -> list[Hold]:
        """Return the holds that keep something now."""
        holds = self.holds.values()
        return [h for h in holds if h.is_open and h.expires_ms > self.post_ms and h is not but]

    def total_of(self, basket_id: str) -> Hold | None:
        """Return the total of a basket that was neither sold nor given up, ended ones too."""
        found = [h for h in self.holds.values() if h.is_open and h.basket is not None]
        return next((hold for hold in found if hold.basket.basket_id == basket_id), None)

    def owned(self, member: str) -> int:
        """Return the points of a member, held ones among them; negative: owed."""
        points = self.given[member] - self.captured[member]
        for sale in self.sales:
            if sale.member == member:
                earned = sale.earning // 10
                points += earned - sale.part_back(earned)
                points -= sale.decision.points - sale.points_back
        return points

    def held(self, member: str, but: Hold | None = None) -> int:
        """Return the points of a member that holds keep."""
        return sum(hold.points for hold in self.open_holds(but) if hold.member == member)

    def available(self, member: str, but: Hold | None = None) -> int:
        """Return what can be spent (R2); negative when it is owed."""
        return self.owned(member) - self.held(member, but)

    def units_left(self, member: str, but: Hold | None = None) -> int:
        """Return the units that the limited offer has left for a member (L1, L3)."""
        used = sum(s.decision.units for s in self.sales if s.stands and s.member == member)
        held = sum(hold.units for hold in self.open_holds(but) if hold.member == member)
        return max(0, MEMBER_UNITS - used - held)

    def money_left(self, but: Hold | None = None) -> int:
        """Return what is left of the budget of everybody."""
        used = sum(sale.decision.money for sale in self.sales if sale.stands)
        return max(0, BUDGET_MINOR - used - sum(hold.money for hold in self.open_holds(but)))

    def is_free(self, serial: str, but: Hold | None = None) -> bool:
        """Return whether a coupon opens something (K1)."""
        is_used = any(sale.stands and sale.decision.serial == serial for sale in self.sales)
        return not is_used and all(hold.serial != serial for hold in self.open_holds(but))

    def progress(self, member: str) -> dict[str, int]:
        """Return what has gathered for a member (G1, G4)."""
        mine = [sale for sale in self.sales if sale.member == member]
        spent = sum(sale.earning - sale.part_back(sale.earning) for sale in mine)
        return {"spent": spent, "visits": sum(sale.stands for sale in mine)}

    # ---- decisions

    def decide(
        self, lines: list[Line], member: str | None, *, percent: int, serial: str = "",
        points: int = 0, refund: int = 0, own: Hold | None = None,
    ) -> Decision:  # fmt: skip
        """Return what a basket is given; `own` is the total that it had."""
        decision = Decision([0] * len(lines))
        for at, line in enumerate(lines):
            if line.code == PLAIN:
                decision.off[at] = half_away(line.amount * percent, 100)
                decision.shares["plain", "retailer"] += decision.off[at]
            elif line.code == LIMITED and member is not None:
                units = min(line.count, self.units_left(member, own))
                decision.off[at] = min(units * UNIT_MINOR, self.money_left(own))
                decision.units = units if decision.off[at] else 0
                maker = half_away(decision.off[at] * 60, 100)
                decision.shares["few", "maker"] += maker
                decision.shares["few", "shop"] += decision.off[at] - maker
            elif line.code == GIFT and serial and self.is_free(serial, own):
                decision.off[at] = GIFT_MINOR
                decision.serial = serial
                decision.shares["once", "retailer"] += GIFT_MINOR
        if member is not None and points:
            due = sum(line.amount for line in lines) - sum(decision.off) - refund
            decision.points = max(0, min(points, self.available(member, own), due))
            # Baskets that pay with points have one line.
            decision.off[0] += decision.points
            decision.shares["pay", "retailer"] += decision.points
        return decision

    def steps(self, member: str | None, points: int) -> int:
        """Return the steps of a fill that points pay for (F3)."""
        if member is None:
            return 0
        there = max(0, min(points, self.available(member)))
        return there // STEP_POINTS

    def fill(self, line: Line, gallons: int, hold: Hold | None, member: str | None) -> Decision:
        """Return what comes off a fill by its authorisation (F7)."""
        decision = Decision([0])
        if hold is None:
            return decision
        steps = hold.steps
        if hold.expires_ms <= self.post_ms:
            steps = min(steps, self.steps(member, steps * STEP_POINTS))
        decision.shares["gallon", "retailer"] = GALLON_MINOR * gallons
        decision.shares["step", "retailer"] = STEP_MINOR * steps * gallons
        decision.points = STEP_POINTS * steps
        decision.off = [sum(decision.shares.values())]
        return decision

    def is_still_there(self, total: Hold) -> bool:
        """Return whether what a total that has ended needs is there."""
        decision = total.decision
        assert decision is not None
        if total.member is not None and decision.points > max(0, self.available(total.member)):
            return False
        if decision.units and decision.units > self.units_left(str(total.member)):
            return False
        if decision.money > self.money_left():
            return False
        return not decision.serial or self.is_free(decision.serial)

    # ---- entries

    def enter(
        self, request: Any, member: str | None, lines: list[Line], decision: Decision,
        off: list[int] | None = None,
    ) -> Sale:  # fmt: skip
        """Note a sale; points are of the date of its basket, which may be a total of before."""
        date = request.receipt.business_date
        own = date_of(request.basket.opened_time_unix_ms)
        sale = Sale(
            request, member, lines, decision, decision.off if off is None else off, own, date,
            self.counted(date), [0] * len(lines), [0] * len(lines),
        )  # fmt: skip
        self.sales.append(sale)
        if member is not None:
            self.cash[member].points[own] += sale.earning // 100
        return sale

    def claim(self, sale: Sale, member: str) -> None:
        """Note whose a sale was (P12)."""
        sale.member = member
        sale.cash_taken = sale.part_back(sale.earning // 100)
        self.cash[member].points[sale.own_date] += sale.earning // 100 - sale.cash_taken

    def take_back(self, sale: Sale, today: int) -> None:
        """Take back the points that expire, after something of a sale was undone."""
        made = sale.earning // 100
        if sale.member is not None:
            points = sale.part_back(made) - sale.cash_taken
            self.cash[sale.member].take(sale.own_date, made, points, today)
            sale.cash_taken += points

    def void(self, sale: Sale) -> None:
        """Undo a sale whole (Z2)."""
        sale.is_kept = sale.date <= self.closed
        sale.is_voided = True
        date = self.counted(sale.receipt_date)
        self.voids.append((date, sum(sale.nets) if sale.is_kept else 0))
        self.take_back(sale, sale.receipt_date)

    def bring_back(self, sale: Sale, counts: dict[int, int], date: int) -> int:
        """Note goods that come back, on a date; return the refund."""
        refund = sum(sale.give_back(at, count) for at, count in counts.items())
        self.returns.append((self.counted(date), refund))
        self.take_back(sale, date)
        return refund

    def sums(self) -> dict[int, Counter[str]]:
        """Return what GetPeriodTotals must tell of every date."""
        dates: dict[int, Counter[str]] = {}
        for sale in self.sales:
            if not sale.is_voided or sale.is_kept:
                part = dates.setdefault(sale.date, Counter())
                part.update(
                    sale_count=1, gross_minor=sale.gross, discount_minor=sum(sale.off)
                )  # fmt: skip
        for name, events in (("void_count", self.voids), ("return_count", self.returns)):
            for date, refund in events:
                dates.setdefault(date, Counter()).update({name: 1, "refund_minor": refund})
        return dates
