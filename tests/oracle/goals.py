"""Progress towards goals, what they give, and the tiers that they make (rules G1 to G6)."""

from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tests.oracle.basket import Unit
from tests.oracle.eligible import Scene, window_end, window_start
from tests.oracle.program import EPOCH, Selector, decimals_of
from tests.oracle.values import rounded, scaled

if TYPE_CHECKING:
    from tests.oracle.answer import OracleDecision


@dataclass
class Gain:
    """What a sale added to a progress, for a member or an account group."""

    progress: str
    whom: str
    day: int
    value: int
    whole: int


@dataclass
class Step:
    """How far a basket takes a member."""

    progress: str
    before: int
    gained: int
    times: int
    whom: str


def goal_of(rule: dict[str, Any], program: dict[str, Any]) -> int:
    return scaled(rule["goal"], decimals_of(rule, program)) if "goal" in rule else 0


def whose(rule: dict[str, Any], scene: Scene) -> str:
    scope = "per_household" if rule.get("scope") == "household" else "per_member"
    return scene.counted_for[scope]


def month_number(day: int) -> int:
    on = EPOCH + timedelta(days=day)
    return on.year * 12 + on.month


def value_on(name: str, rule: dict[str, Any], whom: str, gains: list[Gain], day: int) -> int:
    """Return how far somebody has come in the window of a day (G1)."""
    window = rule.get("window", "campaign")
    mine = [gain for gain in gains if (gain.progress, gain.whom) == (name, whom)]
    if window == "rolling":
        last = month_number(day)
        first = last - int(rule["months"]) + 1
        return sum(g.value for g in mine if first <= month_number(g.day) <= last)
    first, last = window_start(day, window), window_end(day, window)
    return sum(gain.value for gain in mine if first <= gain.day <= last)


def times(rule: dict[str, Any], goal: int, before: int, after: int) -> int:
    """Return how often the goal is reached between two values (G2)."""
    if goal == 0:
        return 0
    if str(rule.get("repeats", "false")) == "true":
        return after // goal - before // goal
    return int(before < goal <= after)


def values(program: dict[str, Any], scene: Scene, gains: list[Gain]) -> dict[str, int]:
    """Return the value of each progress before a basket."""
    if scene.member is None:
        return {}
    rules = program.get("progress") or {}
    day = scene.business_day
    return {
        name: value_on(name, rule, whose(rule, scene), gains, day) for name, rule in rules.items()
    }


def tier_of(program: dict[str, Any], scene: Scene, gains: list[Gain]) -> str:
    """Return the tier in which a basket is decided (G6)."""
    tiers = program.get("tiers") or {}
    member = scene.member or {}
    held = [str(member.get("tier", ""))]
    for name, tier in tiers.items():
        by = tier.get("reached_by")
        if by is None or scene.member is None:
            continue
        rule = program["progress"][by["progress"]]
        goal = scaled(by["goal"], decimals_of(rule, program))
        days = range(scene.business_day - int(by.get("grace_days", 0)), scene.business_day + 1)
        reached = [
            day
            for day in days
            if day in (last_day(rule, day), scene.business_day)
            and value_on(by["progress"], rule, whose(rule, scene), gains, day) >= goal
        ]
        if reached:
            held.append(name)
    return max(held, key=lambda name: int(tiers[name]["number"]) if name in tiers else 0)


def last_day(rule: dict[str, Any], day: int) -> int:
    """Return the last day of the window of a day; of its month where the window rolls."""
    window = rule.get("window", "campaign")
    return window_end(day, "month" if window == "rolling" else window)


def add_steps(
    program: dict[str, Any], units: list[Unit], scene: Scene, decision: "OracleDecision"
) -> list[tuple[str, str, int]]:
    """Note what a basket adds to each progress; return (progress, purse, points) of goals."""
    if scene.member is None:
        return []
    given = []
    earned = dict.fromkeys(program.get("purses", {}), 0)
    for points in decision.points:
        earned[points.purse] += points.points
    exponent = int(program.get("currency", {}).get("exponent", 2))
    for name, rule in (program.get("progress") or {}).items():
        selector = Selector(rule.get("of", "all"), exponent, {})
        fitting = [unit for unit in units if not unit.no_earn and selector.fits(unit)]
        gained = {
            "spend": sum(unit.left for unit in fitting),
            "units": len(fitting),
            "visits": int(bool(fitting)),
            "points": earned.get(rule.get("purse", ""), 0),
        }[rule["measure"]]
        before = scene.progress[name]
        reached = times(rule, goal_of(rule, program), before, before + gained)
        decision.steps.append(Step(name, before, gained, reached, whose(rule, scene)))
        if reached and "reward_points" in rule:
            purse = rule["reward_points"]["purse"]
            decimals = int(program["purses"][purse].get("decimals", 0))
            given.append((name, purse, reached * scaled(rule["reward_points"]["points"], decimals)))
    return given


def back_of(gain: Gain, visits: bool, refunded: int, net: int, whole: bool) -> int:
    """Return what is to be taken back of what a sale added, for what was refunded (G4)."""
    if whole:
        return gain.whole
    if visits or net == 0:
        return 0
    return rounded(Fraction(gain.whole * refunded, net), "half_away")
