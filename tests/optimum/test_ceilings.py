"""No decision takes many more steps than its budget, and no large basket is refused."""

import random
from collections.abc import Iterator

import pytest

from checklane import _layout as layout
from checklane.bench.deals import FAMILIES, make_deal
from tests.native.harness import Harness, build
from tests.native.world import Line, Offer, Slot, make_basket, make_facts, make_program
from tests.optimum.instances import call_of

LINES = 512
CANDIDATES = 256


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = build(tmp_path_factory.mktemp("ceilings"), ("-O2",))
    with Harness(folder) as running:
        yield running


def test_no_decision_goes_far_beyond_its_budget(harness):
    deals = [make_deal(family, seed, 40, 20) for family in FAMILIES for seed in range(40, 50)]
    ended = 0
    for budget in (1_000, 5_000, 20_000, 100_000):
        answers = harness.decide_all([call_of(deal, step_budget=budget) for deal in deals])
        for deal, (status, decision, _) in zip(deals, answers, strict=True):
            assert status == 0
            assert decision["steps"] <= budget + layout.STEPS_BEYOND, deal
            ended += decision["optimality"] != 1
    assert ended > 50


def wide_offer(rng: random.Random, kind: str) -> Offer:
    """Return an offer of one kind that wants every unit of the basket."""
    kinds = {
        "units": (layout.MECHANIC_UNIT_OFF, [Slot(None)], layout.REWARD_PERCENT),
        "capped": (layout.MECHANIC_UNIT_OFF, [Slot(None)], layout.REWARD_PRICE),
        "group": (layout.MECHANIC_GROUP_PRICE, [Slot(None, 3)], layout.REWARD_PRICE),
        "cheapest": (layout.MECHANIC_CHEAPEST, [Slot(None, 3)], layout.REWARD_PERCENT),
        "rows": (layout.MECHANIC_ROW_PRICE, [Slot(None)], layout.REWARD_PRICE),
        "buy_get": (
            layout.MECHANIC_BUY_GET,
            [Slot(None, 2, layout.SLOT_BUY), Slot(None, 1, layout.SLOT_GET)],
            layout.REWARD_PERCENT,
        ),
        "threshold": (layout.MECHANIC_THRESHOLD, [Slot(None)], layout.REWARD_PERCENT),
    }
    mechanic, slots, reward = kinds[kind]
    value = rng.randrange(500, 5_000)
    fields = {"times_max": rng.randrange(1, 9)}
    rows: list[tuple[int, int, int, int]] = []
    if kind in ("units", "threshold"):
        fields = {}
    elif kind == "capped":
        fields = {"units_max": rng.randrange(1, 40)}
        value = rng.randrange(50, 300)
    elif kind == "group":
        value = rng.randrange(300, 900)
    elif kind == "cheapest":
        fields["get_count"] = 1
    elif kind == "rows":
        fields = {"units_max": rng.randrange(1, 40)}
        rows = [(product, 0, rng.randrange(50, 300), 2) for product in range(LINES)]
    if kind == "threshold":
        fields = {"threshold_minor": 1_000}
    return Offer(mechanic, slots, reward, value, fields=fields, rows=rows)


MIXES = {
    "units": ["units"],
    "capped": ["capped"],
    "group prices": ["group"],
    "buy and get": ["buy_get"],
    "cheapest": ["cheapest"],
    "rows with limits": ["rows"],
    "everything": ["units", "capped", "group", "buy_get", "cheapest", "threshold"],
}


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("budget", [layout.STEP_BUDGET_DEFAULT, 5_000])
def test_the_largest_basket_is_answered_within_its_budget(harness, mix, budget):
    rng = random.Random(mix)
    offers = [wide_offer(rng, MIXES[mix][at % len(MIXES[mix])]) for at in range(CANDIDATES)]
    # An amount that three do not divide: every line is two runs, the most that there can be.
    lines = [Line(product, 3, 3 * rng.randrange(100, 2_000) + 1) for product in range(LINES)]
    program = make_program(offers, LINES, step_budget=budget)
    programs = [program, *(make_program([offer], LINES) for offer in offers[:6])]
    calls = [(each, make_basket(lines), make_facts()) for each in programs]
    (status, decision, _), *alone = harness.decide_all(calls)
    assert status == 0
    assert decision["steps"] <= budget + layout.STEPS_BEYOND
    # Places of one offer that want the same units are left to the search, which has no room here.
    assert decision["discount"] > 0 or mix == "buy and get"
    assert all(status == 0 for status, _, _ in alone)
    # No offer by itself saves more than the bound; each offer is rounded once.
    most = decision["discount"] + decision["gap"] + len(decision["applied"])
    assert max(only["discount"] for _, only, _ in alone) <= most
