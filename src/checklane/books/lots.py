"""Points as a liability: what was owed, what came and went, what expired, what is owed now.

A lot is what an account has in one purse with one last day. Sums are kept by purse and last day
over all accounts, or over one account group, which is all that expiry needs: so memory follows the
days on which something expires and never the accounts. A lot counts until the end of its last day;
what the ledger sweeps out of accounts later had expired by then and moves nothing here.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from checklane import _layout
from checklane.books.dates import date_of_day, day_of, posted_date
from checklane.books.entries import Records, split_entry
from checklane.books.figures import MESSAGES, by_purse, messages_of, points_captured, points_told
from checklane.books.proof import Column, Proof, Table
from checklane.books.walk import Advance, Source, walk_whole

__all__ = ["FLOWS", "Flows", "Liability", "Lots", "read_liability"]

#: What a movement of a lot or debt is called, by its reason; any other reason is `adjusted`.
FLOWS = {
    _layout.REASON_EARN: "earned",
    _layout.REASON_GOAL: "earned",
    _layout.REASON_REFERRAL: "earned",
    _layout.REASON_BURN: "spent",
    _layout.REASON_REVERSE: "reversed",
    _layout.REASON_CLAW_BACK: "reversed",
}
COLUMNS = (
    Column("purse_id", is_text=True),
    Column("expiry_month", is_text=True),
    Column("opening_points"),
    Column("earned_points"),
    Column("spent_points"),
    Column("reversed_points"),
    Column("adjusted_points"),
    Column("expired_points"),
    Column("closing_points"),
)
NEVER, OWED = "never", "owed"


@dataclass
class Flows:
    """Points that came (positive) and went (negative), and what expired, all in one span."""

    opening: int = 0
    earned: int = 0
    spent: int = 0
    reversed: int = 0
    adjusted: int = 0
    expired: int = 0
    closing: int = 0

    def add(self, other: "Flows") -> None:
        """Add the sums of others."""
        for name in vars(other):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def adds_up(self) -> bool:
        """Tell whether the opening and what came and went is the closing."""
        came = self.earned + self.spent + self.reversed + self.adjusted
        return self.opening + came - self.expired == self.closing


@dataclass
class _Lot:
    """All lots of one purse and last day: what was there before the span, and what moved in it."""

    before: int = 0
    moved: Counter[str] = field(default_factory=Counter)


class Lots:
    """Lots and debts over a span of dates.

    Parameters
    ----------
    from_date, to_date : int
        The span, both inclusive.
    """

    def __init__(self, from_date: int, to_date: int) -> None:
        self._from_date, self._to_date = from_date, to_date
        self._first_day, self._last_day = day_of(from_date), day_of(to_date)
        # By purse and last day; a debt has none: it never expires.
        self._lots: dict[tuple[int, int], _Lot] = defaultdict(_Lot)
        self._debts: dict[int, _Lot] = defaultdict(_Lot)

    def add(self, date: int, movements: Records) -> None:
        """Add the lots and debts among the movements of one entry of a date."""
        if date > self._to_date:
            return
        kinds = movements["cell"]["kind"]
        is_points = (kinds == _layout.CELL_LOT) | (kinds == _layout.CELL_DEBT)
        is_points &= movements["reason"] != _layout.REASON_EXPIRE
        for at in np.flatnonzero(is_points).tolist():
            cell = movements[at]["cell"]
            purse, value = int(cell["sub"]), int(cell["value"])
            if int(cell["kind"]) == _layout.CELL_LOT:
                lot = self._lots[purse, int(cell["day"])]
            else:
                lot, value = self._debts[purse], -value
            if date < self._from_date:
                lot.before += value
            else:
                lot.moved[FLOWS.get(int(movements[at]["reason"]), "adjusted")] += value

    def flows(self) -> dict[tuple[int, str], Flows]:
        """Return the sums by purse and month of expiry, "never" and "owed" among the months."""
        found: dict[tuple[int, str], Flows] = defaultdict(Flows)
        for (purse, day), lot in self._lots.items():
            if day == _layout.DAY_NEVER:
                month = NEVER
            else:
                number = date_of_day(day)
                month = f"{number // 10000}-{number // 100 % 100:02}"
            found[purse, month].add(self._flows_of(lot, day))
        for purse, debt in self._debts.items():
            found[purse, OWED].add(self._flows_of(debt, _layout.DAY_NEVER))
        return found

    def _flows_of(self, lot: _Lot, day: int) -> Flows:
        flows = Flows(**lot.moved)
        left = lot.before + sum(lot.moved.values())
        if day < self._first_day:
            # Gone before the span: what still came or went did so among expired points.
            flows.expired = left - lot.before
            return flows
        flows.opening = lot.before
        if day <= self._last_day:
            flows.expired = left
        else:
            flows.closing = left
        return flows


class Liability:
    """Points by purse and month of expiry over a span of posting dates."""

    def __init__(self, from_date: int, to_date: int, purse_names: dict[int, str]) -> None:
        self.lots = Lots(from_date, to_date)
        self._from_date, self._to_date = from_date, to_date
        self._purse_names = purse_names
        self._told: Counter[str] = Counter()

    def add(self, entry: bytes) -> None:
        """Add one entry."""
        sections = split_entry(entry)
        date = posted_date(int(sections.header["post_unix_ms"]))
        self.lots.add(date, sections.movements)
        is_in_span = self._from_date <= date <= self._to_date
        if is_in_span and int(sections.header["kind"]) in MESSAGES:
            request, response = messages_of(sections)
            self._told.update(points_told(request, response))
            self._told.update(points_captured(sections, request, response, self._purse_names))

    def table(self) -> Table:
        """Return the rows, by purse and month."""
        rows = []
        found = self.lots.flows()
        for purse, month in sorted(found):
            flows = found[purse, month]
            values = (flows.opening, flows.earned, flows.spent, flows.reversed, flows.adjusted)
            if any(values) or flows.expired or flows.closing:
                name = self._purse_names.get(purse, f"#{purse}")
                rows.append((name, month, *values, flows.expired, flows.closing))
        return Table(COLUMNS, rows)

    def prove(self) -> Proof:
        """Hold what moved against what the answers said, and each purse against itself."""
        came: Counter[int] = Counter()
        proof = Proof()
        sums: dict[int, Flows] = defaultdict(Flows)
        for (purse, _), flows in self.lots.flows().items():
            sums[purse].add(flows)
        for purse, flows in sorted(sums.items()):
            came[purse] = flows.earned + flows.spent + flows.reversed + flows.adjusted
            name = self._purse_names.get(purse, f"#{purse}")
            carried = flows.opening + came[purse] - flows.expired
            proof.add(f"{name}: opening and what moved, by closing", carried, flows.closing)
        named = by_purse(came, self._purse_names)
        for purse_id in sorted(named.keys() | self._told.keys()):
            what = f"{purse_id}: what moved, by the answers"
            proof.add(what, named[purse_id], self._told[purse_id])
        return proof


def read_liability(
    source: Source,
    from_date: int,
    to_date: int,
    purse_names: dict[int, str],
    advance: Advance | None = None,
) -> Liability:
    """Return the points owed over a span of posting dates, in UTC.

    Cost: the journal from its first entry on, once.

    Raises
    ------
    NotFoundError
        LSN_NOT_KEPT: the journal was pruned, and what was owed when it begins is not in it.
    """
    liability = Liability(from_date, to_date, purse_names)
    for page in walk_whole(source, advance):
        for entry in page.entries:
            liability.add(entry)
    return liability
