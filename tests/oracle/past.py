"""What committed sales left behind: what offers gave, points, used coupons (L2, R5, K1, K3)."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tests.oracle.eligible import Given, Scene
from tests.oracle.goals import Gain, back_of, goal_of, times, value_on
from tests.oracle.program import day_number
from tests.oracle.values import NEVER, is_true, rounded, scaled

if TYPE_CHECKING:
    from tests.oracle.answer import OracleDecision


#: Serials of our own for coupons that sales issue: the engine's are a keyed hash.
SERIALS = itertools.count()


@dataclass
class Lot:
    """Points of one purse of an account group; days since 1970, `first` and `last` included."""

    group: str
    purse: str
    points: int
    first: int
    last: int


@dataclass
class Sale:
    """What one committed sale changed.

    Attributes
    ----------
    spent : list of (Lot, int)
        Points taken, from each lot.
    coupons : list of (str, str)
        Code and serial of coupons that are used now.
    issued : dict of (str, str) to int
        Code and serial of coupons that it issued, with their last days.
    made : list of Lot
        All that it gave, for goals too.
    whole, back : Counter of str
        By purse, what it earned, or would have if nothing had come back before it was claimed
        (P12); and what goods that came back took of that.
    """

    given: list[Given] = field(default_factory=list)
    earned: list[Lot] = field(default_factory=list)
    spent: list[tuple[Lot, int]] = field(default_factory=list)
    coupons: list[tuple[str, str]] = field(default_factory=list)
    issued: dict[tuple[str, str], int] = field(default_factory=dict)
    made: list[Lot] = field(default_factory=list)
    gains: list[Gain] = field(default_factory=list)
    uses: dict[str, int] = field(default_factory=dict)
    whole: Counter[str] = field(default_factory=Counter)
    back: Counter[str] = field(default_factory=Counter)
    member: str = ""
    group: str = ""
    day: int = 0


@dataclass
class Past:
    """Every sale that was committed and not undone, in the order of the journal.

    Attributes
    ----------
    loose_lots : list of Lot
        Points that no sale earned: of goals, and given by hand.
    debts : dict
        Points owed, by account group and purse.
    merged : dict of str to str
        Members that became another, by their ids.
    printed : list of (str, str)
        Every coupon that was ever issued, with serials of our own.
    """

    sales: list[Sale] = field(default_factory=list)
    gains: list[Gain] = field(default_factory=list)
    grants: dict[tuple[str, str], int] = field(default_factory=dict)
    loose_lots: list[Lot] = field(default_factory=list)
    debts: dict[tuple[str, str], int] = field(default_factory=dict)
    merged: dict[str, str] = field(default_factory=dict)
    printed: list[tuple[str, str]] = field(default_factory=list)

    def issued(self) -> dict[tuple[str, str], int]:
        """Return the coupons that stand, with their last days (K3)."""
        return {name: day for sale in self.sales for name, day in sale.issued.items()}

    def roll(self, program: dict[str, Any], group: str, purse: str, day: int) -> None:
        """Keep the points of a purse that expires so long after the last sale (P6)."""
        expires = program["purses"][purse].get("expires") or {}
        if "rolling_days" not in expires:
            return
        for lot in [*self.loose_lots, *(lot for sale in self.sales for lot in sale.earned)]:
            if (lot.group, lot.purse) == (group, purse) and lot.last >= day:
                lot.last = max(lot.last, day + int(expires["rolling_days"]))

    def grants_of(self, member: str) -> dict[str, int]:
        """Return the uses left of what progress granted (G3)."""
        return {offer: n for (who, offer), n in self.grants.items() if who == member}

    def grant(self, member: str, offer: str, uses: int) -> None:
        self.grants[member, offer] = self.grants.get((member, offer), 0) + uses

    def gather(self, program: dict[str, Any], decision: OracleDecision, sale: Sale) -> None:
        """Enter what a sale added to progress, what it was granted and used (G1 to G3)."""
        scene = decision.scene
        if scene is None or scene.member is None:
            return
        sale.member = scene.counted_for["per_member"]
        sale.group = scene.counted_for["per_household"]
        sale.day = scene.business_day
        sale.uses = dict(decision.uses)
        for offer, uses in sale.uses.items():
            self.grant(sale.member, offer, -uses)
        for step in decision.steps:
            gain = Gain(step.progress, step.whom, sale.day, step.gained, step.gained)
            sale.gains.append(gain)
            self.gains.append(gain)
            reward = program["progress"][step.progress].get("reward")
            if step.times and reward is not None:
                self.grant(sale.member, str(reward), step.times)

    def take_back(self, program: dict[str, Any], sale: Sale, refunded: int, net: int) -> None:
        """Take progress back, and what goals gave that are reached no more (G4)."""
        whole = refunded < 0
        for gain in sale.gains:
            rule = program["progress"][gain.progress]
            before = value_on(gain.progress, rule, gain.whom, self.gains, gain.day)
            back = back_of(gain, rule["measure"] == "visits", refunded, net, whole)
            gain.value = gain.whole - back
            after = value_on(gain.progress, rule, gain.whom, self.gains, gain.day)
            lost = times(rule, goal_of(rule, program), after, before)
            key = (sale.member, str(rule.get("reward")))
            if lost and "reward" in rule:
                self.grants[key] -= min(lost, max(0, self.grants.get(key, 0)))
            if lost and "reward_points" in rule:
                purse = program["purses"][rule["reward_points"]["purse"]]
                points = scaled(rule["reward_points"]["points"], int(purse.get("decimals", 0)))
                self._claw_back(sale, rule["reward_points"]["purse"], lost * points, whole)
        for offer, uses in sale.uses.items() if whole else ():
            self.grant(sale.member, offer, uses)

    def _claw_back(self, sale: Sale, purse: str, points: int, whole: bool) -> None:
        """Take points of a goal back, within the balance, earliest expiry first.

        What the sale earned goes by itself where nothing of it is left.
        """
        kept = [other for other in self.sales if not whole or other is not sale]
        lots = [lot for other in kept for lot in other.earned] + self.loose_lots
        mine = [
            lot
            for lot in lots
            if (lot.group, lot.purse) == (sale.group, purse) and lot.last >= sale.day
        ]
        for lot in sorted(mine, key=lambda lot: (lot.last, lot.first)):
            part = min(lot.points, points)
            lot.points -= part
            points -= part

    def given(self) -> list[Given]:
        """Return what offers gave."""
        return [given for sale in self.sales for given in sale.given]

    def lots(self, scene: Scene, purse: str) -> list[Lot]:
        """Return the lots that can be spent now, in the order in which they are (R5)."""
        if scene.member is None:
            return []
        group = scene.counted_for["per_household"]
        found = [
            lot
            for lot in [*self.loose_lots, *(lot for sale in self.sales for lot in sale.earned)]
            if (lot.group, lot.purse) == (group, purse)
            and lot.first <= scene.business_day <= lot.last
        ]
        return sorted(found, key=lambda lot: (lot.last, lot.first))

    def available(self, scene: Scene, purse: str) -> int:
        """Return the points that can be spent now; negative where more is owed."""
        if scene.member is None:
            return 0
        owed = self.debts.get((scene.counted_for["per_household"], purse), 0)
        return sum(lot.points for lot in self.lots(scene, purse)) - owed

    def spend(self, scene: Scene, purse: str, points: int) -> list[tuple[Lot, int]]:
        """Take points out of the lots; return how many out of each."""
        taken = []
        for lot in self.lots(scene, purse):
            part = min(lot.points, points)
            lot.points -= part
            points -= part
            if part:
                taken.append((lot, part))
        if points:
            raise ValueError(f"{points} points more are spent than there are")
        return taken

    def adjust(self, scene: Scene, program: dict[str, Any], by: dict[str, Any]) -> None:
        """Give or take points by hand (P7)."""
        purse = str(by["purse"])
        points = scaled(by["points"], int(program["purses"][purse].get("decimals", 0)))
        group = scene.counted_for["per_household"]
        if points > 0:
            first = day_number(by["active"])
            last = day_number(by["expire"]) if "expire" in by else NEVER
            self.loose_lots.append(Lot(group, purse, points, first, last))
            return
        short = max(0, -points - self.available(scene, purse))
        self.spend(scene, purse, -points - short)
        self.debts[group, purse] = self.debts.get((group, purse), 0) + short

    def give_back(self, sale: Sale, returned: int, gross: int) -> None:
        """Give points that paid back in proportion, the last that was spent first (R5)."""
        points = sum(part for _, part in sale.spent) * returned // gross
        for lot, part in reversed(sale.spent):
            lot.points += min(part, points)
            points -= min(part, points)

    def reverse(self, sale: Sale, refunded: int, net: int) -> None:
        """Take back what a sale earned in proportion, what it gave first before (P12)."""
        for purse, earned in sale.whole.items() if net else ():
            due = rounded(Fraction(earned * refunded, net), "half_away") - sale.back[purse]
            sale.back[purse] += due
            for lot in sale.earned:
                if lot.purse == purse:
                    part = min(lot.points, due)
                    lot.points -= part
                    due -= part

    def confirm(self, sale: Sale, program: dict[str, Any], day: int, *, cancelled: bool) -> None:
        """The event of a sale came, or will not (P8)."""
        day = max(day, sale.day)
        for lot in sale.made:
            awaits = is_true(program["purses"][lot.purse].get("awaits_confirmation"))
            if not awaits or lot.first <= day:
                continue
            lot.first = day
            lot.points = 0 if cancelled else lot.points

    def survivor(
        self, member: dict[str, Any] | None, members: list[dict[str, Any]]
    ) -> dict[str, Any] | None:
        """Return the member that one has become (P9)."""
        while member is not None and str(member["member_id"]) in self.merged:
            into = self.merged[str(member["member_id"])]
            member = next(other for other in members if str(other["member_id"]) == into)
        return member

    def merge(self, gone: Scene, into: Scene) -> None:
        """Make a member that is alone in its group part of another (P9)."""
        old, new = gone.counted_for, into.counted_for
        self.merged[old["per_member"]] = new["per_member"]
        names = {old[scope]: new[scope] for scope in ("per_member", "per_household")}
        for lot in [*self.loose_lots, *(lot for sale in self.sales for lot in sale.earned)]:
            lot.group = names.get(lot.group, lot.group)
        for gain in self.gains:
            gain.whom = names.get(gain.whom, gain.whom)
        for given in self.given():
            for scope in ("per_member", "per_household"):
                if scope in given.counted_for:
                    whom = given.counted_for[scope]
                    given.counted_for[scope] = names.get(whom, whom)

    def undo(self, sale: Sale) -> None:
        """Take a sale back as a void does."""
        for lot, points in sale.spent:
            lot.points += points
        self.sales.remove(sale)
