"""A sale that somebody says afterwards was theirs (rule P12)."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

from tests.oracle.answer import OracleDecision
from tests.oracle.decide import add_goals, give_points
from tests.oracle.earn import decide_points
from tests.oracle.eligible import Scene, first_failure
from tests.oracle.goals import Gain, Step, back_of, goal_of, times
from tests.oracle.past import Past, Sale
from tests.oracle.program import read_offer
from tests.oracle.values import rounded, scaled

#: What a claim never gives: the sale issued its coupons, and a referral waits for another sale.
LEFT_OUT = ("issue", "referral")


def claim(
    past: Past,
    sale: Sale,
    sold: OracleDecision,
    scene: Scene,
    program: dict[str, Any],
    came_back: tuple[int, int],
) -> None:
    """Give a member what a sale would have earned.

    Parameters
    ----------
    sale : Sale
        Gets what the claim gives, so that it is undone with it.
    sold : OracleDecision
        As it was decided for nobody.
    scene : Scene
        Of the same basket for the member, now.
    came_back : (int, int)
        What was refunded so far, -1 where nothing is left; and the net of all lines.
    """
    refunded, net = came_back
    if refunded < 0:
        return
    decision = OracleDecision(scene=scene)
    offers = sorted(
        (read_offer(written, program) for written in program["offers"]),
        key=lambda offer: offer.id.encode(),
    )
    seen = replace(scene, units=sold.shown)
    eligible = [
        offer
        for offer in offers
        if offer.layer == "earn"
        and offer.mechanic not in LEFT_OUT
        and first_failure(offer, seen) is None
    ]
    decide_points(eligible, sold.units, seen, program, decision)
    whole = Counter[str]()
    for points in decision.points:
        whole[points.purse] += points.points
    add_goals(program, sold.units, scene, decision)
    gathered = [step.gained for step in decision.steps]
    for step in decision.steps:
        _keep_step(step, program, refunded, net)
    _keep_points(decision, program, whole, refunded, net)
    sale.given += decision.given
    give_points(past, sale, decision, program)
    sale.whole, sale.back = whole, whole - _given(decision)
    past.gather(program, decision, sale)
    for gain, all_of_it in zip(sale.gains, gathered, strict=True):
        gain.whole = all_of_it


def _given(decision: OracleDecision) -> Counter[str]:
    given = Counter[str]()
    for points in decision.points:
        if points.reason != "GOAL":
            given[points.purse] += points.points
    return given


def _keep_step(step: Step, program: dict[str, Any], refunded: int, net: int) -> None:
    rule = program["progress"][step.progress]
    gain = Gain(step.progress, step.whom, 0, step.gained, step.gained)
    step.gained -= back_of(gain, rule["measure"] == "visits", refunded, net, False)
    step.times = times(rule, goal_of(rule, program), step.before, step.before + step.gained)


def _keep_points(
    decision: OracleDecision,
    program: dict[str, Any],
    whole: Counter[str],
    refunded: int,
    net: int,
) -> None:
    """Take out what goods that came back would have taken, what is given first before."""
    left = {
        purse: rounded(Fraction(points * refunded, net), "half_away") if net else 0
        for purse, points in whole.items()
    }
    steps = {step.progress: step for step in decision.steps}
    for points in decision.points:
        if points.reason == "GOAL":
            rule = program["progress"][points.offer]["reward_points"]
            decimals = int(program["purses"][points.purse].get("decimals", 0))
            points.points = steps[points.offer].times * scaled(rule["points"], decimals)
            continue
        part = min(points.points, left[points.purse])
        points.points -= part
        left[points.purse] -= part
