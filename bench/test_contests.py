"""The rows of best deals, of real baskets and of other tools; what decides otherwise is refused."""

from dataclasses import replace

import numpy as np
import pytest

from checklane.bench import deals, others
from checklane.bench.contests import SECTION, Solved, check_optimum, make_plans, make_shop_world
from checklane.bench.deals import FAMILIES, make_deal
from checklane.bench.evaluator import answers_of
from checklane.bench.figures import QUICK, BenchError, Figure, exact_share, plain_decision
from checklane.bench.optimum import PARTS, Solver
from checklane.bench.world import opened
from checklane.demo.data import BASKET, LINE
from checklane.demo.journeys import draw_quotes, journey_quote
from checklane.v1 import basket_pb2, checkout_pb2


@pytest.fixture(scope="module")
def contests(tmp_path_factory):
    shop, plans = make_plans(QUICK)
    world = make_shop_world(shop, tmp_path_factory.mktemp("contests"), seed=1)
    with opened(world, world.usual, sessions=2) as engine:
        yield engine, plans


def test_every_deal_is_between_its_bounds_through_the_whole_service(contests):
    engine, plans = contests
    solver, checked = Solver(), 0
    for plan in plans:
        answers = answers_of(engine, plan.quotes)
        for deal, answer in zip(plan.deals, answers, strict=False):
            if plan.name.startswith(("dense", "any")):
                continue
            check_optimum(plain_decision(answer), solver.optima([deal])[0])
            checked += 1
    assert checked == 5 * 2 * QUICK.deals


def test_a_deal_that_is_not_best_fails_the_run(contests):
    engine, plans = contests
    (plan,) = [plan for plan in plans if plan.name.startswith("realistic, 20")]
    answers = answers_of(engine, plan.quotes[:1])
    good = Solved(plan, answers)
    good.run()
    assert len(good.figure.runs) == 1
    assert good.figure.section == SECTION
    decision = plain_decision(answers[0])
    decision.totals.discount_minor += 20
    given = decision.totals.discount_minor * PARTS
    with pytest.raises(BenchError, match="HiGHS found"):
        check_optimum(decision, given - 20 * PARTS)
    with pytest.raises(BenchError, match="HiGHS found"):
        check_optimum(decision, given + (decision.optimality.gap_minor + 20) * PARTS)


def test_a_seed_decides_a_deal_and_families_differ():
    for family in FAMILIES:
        assert make_deal(family, 3, 12, 6) == make_deal(family, 3, 12, 6)
        assert make_deal(family, 3, 12, 6) != make_deal(family, 4, 12, 6)
    found = {family.name: make_deal(family, 3, 12, 6) for family in FAMILIES}
    assert all(set(g) == set(range(12)) for o in found["dense"].offers for g in o.groups)
    assert all(offer.kind == deals.GROUP for offer in found["any k of g"].offers)
    assert max(line.count for line in found["big quantities"].lines) > 6
    kinds = {o.kind for n in range(20) for o in make_deal(FAMILIES[0], n, 12, 6).offers}
    assert kinds == set(deals.KINDS)


def test_more_units_or_lines_of_the_same_are_proven_too(contests):
    engine, plans = contests
    ends = [plan for plan in plans if not plan.deals]
    assert [len(plan.quotes) for plan in ends] == [1] * 5
    for plan in ends:
        answers = answers_of(engine, plan.quotes)
        assert exact_share(answers) == 1.0, plan.name
        assert plain_decision(answers[0]).totals.discount_minor > 0


def test_all_tools_decide_alike_and_another_answer_is_refused(tmp_path):
    world = make_shop_world(others.simple_shop(), tmp_path, seed=1)
    baskets = others.make_simple(3, seed=1)
    deciders = others.by_name()
    assert len(deciders) == 3
    with opened(world, world.usual, sessions=2) as engine:
        others.must_agree(engine, baskets, deciders)
        right = others.discount_of(engine, baskets[0].quote())
        assert right > 0
        with pytest.raises(BenchError, match="checklane gives"):
            others.must_agree(engine, baskets, {"wrong": lambda _: right + 1})
        with pytest.raises(BenchError, match="refused"):
            others.discount_of(engine, b"\xff")


def test_a_real_basket_keeps_its_lines(tmp_path):
    baskets, lines = np.zeros(2, BASKET), np.zeros(5, LINE)
    baskets["household"], baskets["store"] = [7, 8], [31, 32]
    baskets["first_line"], baskets["line_count"] = [0, 2], [2, 3]
    lines["product"], lines["count"] = range(5), 1
    lines["amount_minor"] = range(100, 105)
    quote = journey_quote(baskets[1], lines[2:])
    message = checkout_pb2.QuoteBasketRequest.FromString(quote).basket
    assert message.store_id == "store-32"
    assert [line.amount_minor for line in message.lines] == [102, 103, 104]
    assert isinstance(message, basket_pb2.Basket)

    class Tables:
        pass

    tables = Tables()
    tables.baskets, tables.lines = baskets, lines
    assert draw_quotes(tables, 9, seed=1) == [journey_quote(baskets[0], lines[:2]), quote]


def test_a_slow_decision_is_not_a_slow_basket():
    figure = Figure("disk", "a")
    assert figure.baskets_p99_ns is None
    figure.medians_ns = [[10.0, 20.0, 900.0], [10.0, 20.0, 30.0], [11.0, 19.0, 31.0]]
    assert figure.baskets_p99_ns == 31.0


def test_quick_measures_no_real_baskets():
    assert QUICK.journeys == 0
    assert replace(QUICK, deals=1).deals == 1
