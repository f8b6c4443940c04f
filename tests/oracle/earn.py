"""Points, coupons for later baskets, referrals (rules P1 to P5, P10, P11)."""

import calendar
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from tests.oracle.answer import Applied, Issued, OracleDecision, Points, Referral
from tests.oracle.basket import Unit
from tests.oracle.deal import fits
from tests.oracle.eligible import Given, Scene, coupons_of, room
from tests.oracle.program import EPOCH, Offer
from tests.oracle.values import listed, rounded

FACTOR_ONE = 10_000
#: Coupons that one sale issues at most (P10).
ISSUED_MOST = 32


def decide_points(
    offers: list[Offer],
    units: list[Unit],
    scene: Scene,
    program: dict[str, Any],
    decision: OracleDecision,
) -> None:
    """Add what the eligible earn offers give to a decision."""
    policies = program.get("policies") or {}
    how = policies.get("points_rounding", "floor")
    policy = policies.get("multiplier", "highest")
    base = [offer for offer in offers if offer.mechanic == "earn"]
    for offer in sorted(offers, key=lambda offer: (offer.mechanic == "multiply", offer.rank)):
        fitting = [unit for unit in units if fits(offer, 0, unit)]
        uses = 1
        if offer.mechanic == "issue":
            issue(offer, len(fitting), scene, program, decision)
            continue
        if offer.mechanic == "referral":
            refer(offer, len(fitting), scene, decision)
            continue
        if offer.mechanic == "earn":
            amount = sum(unit.left for unit in fitting)
            points = rounded(Fraction(amount * offer.points, offer.per), offer.rounding or how)
        elif offer.mechanic == "bonus":
            uses = _bonus_times(offer, len(fitting), scene)
            points = uses * offer.points
        else:
            rivals = [o for o in offers if o.mechanic == "multiply" and o.purse == offer.purse]
            rates = [o for o in base if o.purse == offer.purse]
            fitting = [u for u in fitting if any(fits(rate, 0, u) for rate in rates)]
            extra = sum((_extra(offer, rivals, rate, units, policy) for rate in rates), Fraction(0))
            points = rounded(extra, offer.rounding or how)
        possible = bool(fitting) and (offer.mechanic != "bonus" or uses > 0)
        decision.outcomes[offer.id] = "NO_VALUE" if possible else "GOODS_MISSING"
        if points > 0:
            active, expire = dates_of(
                program["purses"][offer.purse], offer.valid_days, scene.business_day
            )
            reason = {"earn": "BASE", "bonus": "BONUS", "multiply": "MULTIPLIER"}[offer.mechanic]
            decision.points.append(Points(offer.purse, points, reason, offer.id, active, expire))
            decision.outcomes[offer.id] = "APPLIED"
            given = Given(offer.id, scene.business_day, uses, 0, 0, scene.counted_for)
            decision.given.append(given)
            coupons = coupons_of(offer, scene)[:uses]
            decision.applied.append(Applied(offer.id, "earn", uses, 0, coupons=coupons))


def refer(offer: Offer, count: int, scene: Scene, decision: OracleDecision) -> None:
    """Add the points of whoever referred the member (P11)."""
    if count == 0 or offer.points == 0:
        decision.outcomes[offer.id] = "NO_VALUE" if count else "GOODS_MISSING"
        return
    if scene.referrer is None:
        named = (scene.member or {}).get("referrer")
        decision.outcomes[offer.id] = "REFERRER_EXCLUDED" if named else "NO_REFERRER"
        return
    decision.outcomes[offer.id] = "APPLIED"
    decision.referrals.append(Referral(offer.id, offer.purse, offer.points))
    decision.given.append(Given(offer.id, scene.business_day, 1, 0, 0, scene.counted_for))
    coupons = coupons_of(offer, scene)[:1]
    decision.applied.append(Applied(offer.id, "earn", 1, 0, coupons=coupons))


def issue(
    offer: Offer, count: int, scene: Scene, program: dict[str, Any], decision: OracleDecision
) -> None:
    """Add the coupons that an offer issues (P10)."""
    times = _bonus_times(offer, count, scene)
    given = min(times, ISSUED_MOST - len(decision.issued))
    decision.outcomes[offer.id] = "NO_VALUE" if times else "GOODS_MISSING"
    if given == 0:
        return
    decision.outcomes[offer.id] = "APPLIED"
    opened = next(other for other in program["offers"] if str(other["id"]) == offer.opens)
    code = str(listed(opened["coupon"]["codes"])[0])
    last = _compact(EPOCH + timedelta(days=scene.business_day + offer.valid_days))
    decision.issued += [Issued(offer.id, offer.opens, code, last) for _ in range(given)]
    decision.given.append(Given(offer.id, scene.business_day, given, 0, 0, scene.counted_for))
    coupons = coupons_of(offer, scene)[:given]
    decision.applied.append(Applied(offer.id, "earn", given, 0, coupons=coupons))


def _bonus_times(offer: Offer, count: int, scene: Scene) -> int:
    """Return how often a bonus is given (P3)."""
    if offer.once_a_visit:
        return 1 if count > 0 else 0
    times = count // offer.slots[0].count
    ceilings = [offer.times, room(offer, scene, "uses")]
    if offer.coupons:
        ceilings.append(len(coupons_of(offer, scene)))
    return min([times, *(ceiling for ceiling in ceilings if ceiling is not None)])


def _extra(
    offer: Offer, rivals: list[Offer], rate: Offer, units: list[Unit], policy: str
) -> Fraction:
    """Return the points, not rounded, that a multiplier adds to those of one earn offer (P4)."""
    extra = Fraction(0)
    for unit in units:
        if not fits(offer, 0, unit) or not fits(rate, 0, unit):
            continue
        points = Fraction(unit.left * rate.points, rate.per)
        here = [rival for rival in rivals if fits(rival, 0, unit)]
        here.sort(key=lambda rival: rival.rank)
        if policy == "highest":
            if offer is not min(here, key=lambda rival: (-rival.factor, rival.rank)):
                continue
        elif policy == "compound":
            for before in here[: here.index(offer)]:
                points *= Fraction(before.factor, FACTOR_ONE)
        extra += points * Fraction(offer.factor - FACTOR_ONE, FACTOR_ONE)
    return extra


def dates_of(purse: dict[str, Any], valid_days: int, day: int) -> tuple[int, int]:
    """Return from when to when points count (P5)."""
    business = EPOCH + timedelta(days=day)
    pending = int(purse.get("pending_days", 0))
    # Without a limit to the wait there is no date either.
    active = _compact(business + timedelta(days=pending)) if pending else 0
    expires = purse.get("expires") or {}
    if valid_days:
        return active, _compact(business + timedelta(days=valid_days))
    if "days" in expires:
        return active, _compact(business + timedelta(days=int(expires["days"])))
    if "rolling_days" in expires:
        last = business + timedelta(days=int(expires["rolling_days"]))
        return active, _compact(last)
    if "month_end" in expires:
        month = business.year * 12 + business.month - 1 + int(expires["month_end"])
        year, index = divmod(month, 12)
        return active, _compact(date(year, index + 1, calendar.monthrange(year, index + 1)[1]))
    if "on" in expires:
        on = expires["on"]
        return active, _compact(date.fromisoformat(on[0] if isinstance(on, list) else on))
    return active, 0


def _compact(day: date) -> int:
    return day.year * 10_000 + day.month * 100 + day.day
