"""The engine's best deal against HiGHS on the integer programme of the rules.

`CHECKLANE_OPTIMUM_CASES=300000 CHECKLANE_OPTIMUM_FIRST=1000000 python -m pytest -s tests/optimum`
checks more, and others; from 50,000 on also deals of 40 lines and 20 offers.
"""

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from checklane.bench.deals import CHEAPEST, FAMILIES, PRICE, Deal, DealLine, DealOffer, make_deal
from checklane.bench.optimum import OptimumError, Programme, Solver, build_programme
from tests.native.best_deal import best_deal
from tests.native.harness import Harness, build
from tests.native.world import Line
from tests.optimum.instances import LARGE, SIZES, call_of, deal_of, native_offer, plan

EXACT = 1
PARTS = 10_000
CASES = int(os.environ.get("CHECKLANE_OPTIMUM_CASES", "20000"))
FIRST = int(os.environ.get("CHECKLANE_OPTIMUM_FIRST", "0"))
#: From so many cases on, somebody is waiting for them by hand.
CASES_BY_HAND = 50_000
#: Deals that one message takes to the harness.
MESSAGE_DEALS = 480
BRUTE_DEALS = 60


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = build(tmp_path_factory.mktemp("optimum"), ("-O2",))
    with Harness(folder) as running:
        yield running


def fault_of(decision: dict[str, Any], optimum: int) -> str:
    """Return what is wrong with a decision beside the optimum in parts; empty when nothing is."""
    worth, gap = decision["worth_parts"], PARTS * decision["gap"]
    if decision["optimality"] == EXACT and (worth != optimum or gap != 0):
        return f"exact at {worth}, the optimum is {optimum}"
    if not worth <= optimum <= worth + gap:
        return f"between {worth} and {worth + gap}, the optimum is {optimum}"
    # Each offer is rounded once (S1): so far the money given may lie outside. A search that ended
    # early may hold units whose blocks (M3) are worth more than it has counted.
    given, slack = PARTS * decision["discount"], PARTS // 2 * len(decision["applied"])
    if not worth - slack <= given <= optimum + slack:
        return f"worth {worth} of {optimum}, but {decision['discount']} were given"
    return ""


def check(harness: Harness, solver: Solver, deals: list[Deal], together: int) -> Counter[str]:
    """Decide and solve deals; return how many were exact, bounded and bounded at the optimum."""
    found: Counter[str] = Counter()
    answers = harness.decide_all([call_of(deal) for deal in deals])
    for first in range(0, len(deals), together):
        group = deals[first : first + together]
        optima = solver.optima(group)
        for deal, best, answer in zip(group, optima, answers[first:], strict=False):
            optimum = best
            status, decision, _ = answer
            assert status == 0, deal
            if fault_of(decision, optimum) != "":
                # Beside others HiGHS may end a hair below the best of a deal of thousands of units.
                [optimum] = solver.optima([deal])
            assert fault_of(decision, optimum) == "", deal
            is_exact = decision["optimality"] == EXACT
            found["exact" if is_exact else "bounded"] += 1
            found["bounded at the optimum"] += not is_exact and decision["worth_parts"] == optimum
            found["contested"] += decision["components"] > 0
    return found


def test_every_exact_is_the_optimum_and_every_bound_holds_it(harness):
    begin_s, solver, whole = time.process_time(), Solver(), Counter()
    for size, count in plan(LARGE if CASES >= CASES_BY_HAND else SIZES, CASES):
        found: Counter[str] = Counter()
        for first in range(0, count, MESSAGE_DEALS):
            numbers = range(FIRST + first, FIRST + min(count, first + MESSAGE_DEALS))
            deals = [deal_of(size, number) for number in numbers]
            found += check(harness, solver, deals, size.together)
        print(f"\n{size.lines} lines, {size.offers} offers: {count:,} deals, {dict(found)}", end="")
        whole += found
    total = whole["exact"] + whole["bounded"]
    print(f"\n{total:,} deals agree, {time.process_time() - begin_s:.0f} s of this process")
    assert total > 0.99 * CASES
    assert whole["contested"] > total // 4
    assert whole["exact"] > 0.95 * total


def test_a_starved_search_brackets_the_optimum(harness):
    solver, bounded = Solver(), 0
    deals = [make_deal(family, seed, 10, 6) for family in FAMILIES for seed in range(7000, 7004)]
    answers = harness.decide_all([call_of(deal, step_budget=1_500) for deal in deals])
    for deal, (status, decision, _) in zip(deals, answers, strict=True):
        assert status == 0
        assert fault_of(decision, solver.optima([deal])[0]) == "", deal
        bounded += decision["optimality"] != EXACT
    assert bounded > 3


# ---------------------------------------------------------------- can the oracle fail? --------


def test_a_wrong_value_is_caught(harness):
    deal = make_deal(FAMILIES[0], 1, 6, 4)
    (optimum,) = Solver().optima([deal])
    ((_, right, _),) = harness.decide_all([call_of(deal)])
    assert optimum > 0
    assert fault_of(right, optimum) == ""
    for parts in (-1, 1):
        wrong = {**right, "worth_parts": optimum + parts}
        assert "exact at" in fault_of(wrong, optimum)
    short = {**right, "optimality": 2, "worth_parts": optimum - 20_001, "gap": 2}
    assert "between" in fault_of(short, optimum)
    assert "between" in fault_of({**short, "worth_parts": optimum + 1}, optimum)
    assert "were given" in fault_of({**right, "discount": right["discount"] + 9}, optimum)


def test_an_engine_that_breaks_a_limit_is_caught(harness):
    caught = 0
    for seed in range(12):
        deal = make_deal(FAMILIES[0], seed, 6, 4)
        offers = tuple(replace(offer, most=1) for offer in deal.offers)
        limited = Deal(deal.lines, offers)
        ((_, free, _),) = harness.decide_all([call_of(Deal(deal.lines, free_of(offers)))])
        caught += fault_of(free, Solver().optima([limited])[0]) != ""
    assert caught > 5


def free_of(offers: tuple[DealOffer, ...]) -> tuple[DealOffer, ...]:
    """Return offers without their limits."""
    return tuple(replace(offer, most=0) for offer in offers)


def test_a_solution_that_breaks_the_programme_is_refused():
    programme = Programme()
    both = [programme.variable(PARTS, 2), programme.variable(PARTS, 2)]
    programme.row(None, dict.fromkeys(both, 1), 3)
    assert programme.value([1, 2]) == 3 * PARTS
    for wrong in ([2, 2], [3, 0], [-1, 0]):
        with pytest.raises(OptimumError):
            programme.value(wrong)


def test_the_programme_has_the_optimum_of_trying_everything():
    solver, tried = Solver(), 0
    for seed in range(BRUTE_DEALS):
        deal = make_deal(FAMILIES[seed % 5], 9_000 + seed, 3, 3)
        if sum(line.count for line in deal.lines) > 9:
            continue
        tried += 1
        lines = [Line(line.product, line.count, line.amount_minor) for line in deal.lines]
        worth, _ = best_deal([native_offer(offer) for offer in deal.offers], lines)
        assert solver.optima([deal]) == [worth], deal
    assert tried > BRUTE_DEALS // 3


def test_counts_are_right_hand_sides():
    offer = DealOffer(CHEAPEST, ((0, 1),), (3,), PRICE, 0, free=1)
    sizes = set()
    for count in (3, 5_000):
        deal = Deal((DealLine(0, count, 500 * count), DealLine(1, count, 300 * count)), (offer,))
        programme = build_programme(deal)
        sizes.add((len(programme.parts), len(programme.rows)))
        assert Solver().optima([deal]) == [PARTS * by_hand(count)]
    assert len(sizes) == 1


def by_hand(count: int) -> int:
    """Return what every third unit costs, of `count` at 500 before `count` at 300."""
    prices = [500] * count + [300] * count
    return sum(prices[2::3])
