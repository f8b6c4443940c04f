"""The compiled evaluator against hand-worked cases of docs/semantics.md and against brute force."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checklane import _layout as layout
from tests.native.best_deal import best_deal
from tests.native.families import realistic_case, tiny_case
from tests.native.harness import SANITIZE, Harness, build
from tests.native.world import (
    Line,
    Offer,
    Slot,
    key_of,
    make_basket,
    make_facts,
    make_program,
)

EXACT = 1
SEEDS = 800
APPLIED = 1
MEMBER = 77


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = build(Path(tmp_path_factory.mktemp("decide")), ("-O1",))
    with Harness(folder) as running:
        yield running


def decide(harness: Harness, offers: list[Offer], lines: list[Line], **more: Any) -> dict[str, Any]:
    """Decide one basket; facts, basket fields and header fields by their own names."""
    basket = make_basket(lines, more.pop("ids", None), **more.pop("basket", {}))
    facts = make_facts(**more.pop("facts", {}))
    products = 1 + max(line.product for line in lines)
    used = [p for offer in offers for slot in offer.slots for p in slot.products or ()]
    program = make_program(offers, max([products, *(p + 1 for p in used)]), **more)
    ((status, decision, _),) = harness.decide_all([(program, basket, facts)])
    assert status == 0
    check_sums(lines, decision)
    return decision


def check_sums(lines: list[Line], decision: dict[str, Any]) -> None:
    """What holds of every decision: shares sum exactly and no line pays less than nothing."""
    by_offer = [0] * len(decision["applied"])
    by_line = [0] * len(lines)
    for applied, line, units, minor in decision["shares"]:
        assert units > 0
        assert minor >= 0
        by_offer[applied] += minor
        by_line[line] += minor
    assert by_offer == [discount for _, _, _, discount in decision["applied"]]
    assert by_line == decision["line_discounts"]
    assert sum(by_line) == decision["discount"] == decision["gross"] - decision["net"]
    for line, discount in zip(lines, by_line, strict=True):
        assert 0 <= discount <= line.amount
    assert (decision["gap"] == 0) == (decision["optimality"] == EXACT)


def percent(value: int, products: set[int] | None = None, **fields: Any) -> Offer:
    return Offer(
        layout.MECHANIC_UNIT_OFF, [Slot(products)], layout.REWARD_PERCENT, value, fields=fields
    )


def cheapest(buy: int, get: int, products: set[int], value: int = 10000, **fields: Any) -> Offer:
    fields = {"get_count": get, **fields}
    slots = [Slot(products, buy + get)]
    return Offer(layout.MECHANIC_CHEAPEST, slots, layout.REWARD_PERCENT, value, fields=fields)


def group_price(count: int, price: int, products: set[int], **fields: Any) -> Offer:
    slots = [Slot(products, count)]
    return Offer(layout.MECHANIC_GROUP_PRICE, slots, layout.REWARD_PRICE, price, fields=fields)


def threshold(spend: int, reward: int, value: int, **fields: Any) -> Offer:
    fields = {"threshold_minor": spend, "times_max": 1, **fields}
    slots = [Slot(None, role=layout.SLOT_BUY), Slot(None, role=layout.SLOT_GET)]
    basket = layout.LAYER_BASKET
    return Offer(layout.MECHANIC_THRESHOLD, slots, reward, value, layer=basket, fields=fields)


def earn(points: int, per: int, purse: int = 1, products: set[int] | None = None) -> Offer:
    fields = {"per_minor": per, "purse": purse, "rounding": layout.ROUNDING_FLOOR}
    slots = [Slot(products)]
    kind = layout.MECHANIC_EARN_RATE
    return Offer(kind, slots, layout.REWARD_POINTS, points, layout.LAYER_EARN, fields)


def times(factor: int, products: set[int] | None = None, **fields: Any) -> Offer:
    fields = {"purse": 1, "rounding": layout.ROUNDING_FLOOR, **fields}
    kind = layout.MECHANIC_EARN_TIMES
    return Offer(kind, [Slot(products)], layout.REWARD_POINTS, factor, layout.LAYER_EARN, fields)


# ---------------------------------------------------------------- the best deal --------------


def test_every_tiny_basket_gets_the_best_deal(harness):
    cases = [tiny_case(seed) for seed in range(SEEDS)]
    calls = [(make_program(o, n), make_basket(lines), make_facts()) for o, lines, n in cases]
    contested = 0
    for seed, answer in enumerate(harness.decide_all(calls)):
        offers, lines, _ = cases[seed]
        status, decision, _ = answer
        assert status == 0
        check_sums(lines, decision)
        worth, counts = best_deal(offers, lines)
        contested += decision["components"] > 0
        assert decision["optimality"] == EXACT, seed
        assert decision["worth_parts"] == worth, seed
        mine = tuple(decision["times"].get(number, 0) for number in range(len(offers)))
        if mine != counts:
            assert_tie_of_nothing(seed, offers, lines, worth, mine)
    assert contested > SEEDS // 2


def assert_tie_of_nothing(seed, offers, lines, worth, mine):
    """The counts differ from D3 by applications that are worth nothing, and only by them."""
    kept = [number for number, count in enumerate(mine) if count > 0]
    without = best_deal([offers[number] for number in kept], lines)
    assert without == (worth, tuple(mine[number] for number in kept)), seed


def test_order_and_splitting_change_nothing(harness):
    calls = []
    for seed in range(200):
        rng = random.Random(seed)
        offers, lines, products = realistic_case(seed, 8, 6)
        split = []
        for line in lines:
            unit = line.amount // line.count
            line.amount = unit * line.count
            parts = rng.randint(1, line.count)
            split += [Line(line.product, 1, unit) for _ in range(parts - 1)]
            rest = line.count - parts + 1
            split.append(Line(line.product, rest, unit * rest))
        rng.shuffle(split)
        offers.append(percent(1700, None, class_order=1, flags=layout.OFFER_FLAG_STACKABLE))
        program = make_program(offers, products)
        calls += [(program, make_basket(x), make_facts()) for x in (lines, split)]
    answers = harness.decide_all(calls)
    for whole, parts in zip(answers[::2], answers[1::2], strict=True):
        assert whole[1]["applied"] == parts[1]["applied"]
        assert whole[1]["discount"] == parts[1]["discount"]
        assert whole[1]["steps"] == parts[1]["steps"]


def test_a_decision_is_repeatable(harness):
    offers, lines, products = realistic_case(5, 30, 15)
    call = (make_program(offers, products), make_basket(lines), make_facts())
    other = (make_program(*tiny_case(3)[::2]), make_basket(tiny_case(3)[1]), make_facts())
    first, _, again = harness.decide_all([call, other, call])
    assert first[1] == again[1]


def test_cost_does_not_follow_counts(harness):
    calls = []
    for count in (1, 5000):
        offers = [percent(1000 + at, {0}, units_max=1 + at) for at in range(10)]
        offers += [cheapest(1 + at, 1, {0, 1}, times_max=50) for at in range(5)]
        offers += [group_price(2 + at, 500, {0, 1}, times_max=50) for at in range(5)]
        lines = [Line(0, count, 300 * count), Line(1, count, 200 * count)]
        calls.append((make_program(offers, 2), make_basket(lines), make_facts()))
    offers = [cheapest(2, 1, {0}), percent(1000, {1})]
    for count in (9, 4500):
        lines = [Line(0, count, 300 * count), Line(1, count, 200 * count)]
        calls.append((make_program(offers, 2), make_basket(lines), make_facts()))
    answers = harness.decide_all(calls)
    assert answers[3][1]["steps"] == answers[2][1]["steps"]
    assert answers[1][1]["steps"] <= 400_000 + 20_000


def test_a_small_budget_gives_a_bracket(harness):
    bounded = 0
    proven = 0
    for seed in range(40):
        offers, lines, products = realistic_case(seed, 12, 10)
        calls = [
            (make_program(offers, products, step_budget=budget), make_basket(lines), make_facts())
            for budget in (2_000, 5_000_000)
        ]
        (_, small, _), (_, large, _) = harness.decide_all(calls)
        check_sums(lines, small)
        assert small["worth_parts"] <= large["worth_parts"]
        assert small["worth_parts"] + 10_000 * small["gap"] >= large["worth_parts"]
        bounded += small["optimality"] != EXACT
        proven += large["optimality"] == EXACT
    assert bounded > 5
    assert proven > 35


# ---------------------------------------------------------------- rules by hand --------------


def test_m1_percent_of_an_amount_that_does_not_divide(harness):
    decision = decide(harness, [percent(1500)], [Line(0, 1, 333)])
    assert decision["applied"] == [(0, 1, 1, 50)]


def test_m1_takes_the_dearest_units(harness):
    decision = decide(harness, [percent(5000, units_max=1)], [Line(0, 1, 100), Line(1, 1, 300)])
    assert decision["shares"] == [(0, 1, 1, 150)]


def test_m2_gets_the_dearest_of_the_other_group(harness):
    slots = [Slot({0}, 2, layout.SLOT_BUY), Slot({1, 2}, 1, layout.SLOT_GET)]
    offer = Offer(layout.MECHANIC_BUY_GET, slots, layout.REWARD_PERCENT, 10000)
    lines = [Line(0, 3, 300), Line(1, 1, 80), Line(2, 1, 90)]
    assert decide(harness, [offer], lines)["line_discounts"] == [0, 0, 90]


def test_m3_frees_the_cheapest_of_each_block(harness):
    lines = [Line(0, 1, 900), Line(1, 2, 1000), Line(2, 3, 300)]
    decision = decide(harness, [cheapest(2, 1, {0, 1, 2})], lines)
    assert decision["applied"] == [(0, 2, 2, 600)]
    assert decision["line_discounts"] == [0, 500, 100]
    assert decision["qualifying"] == [(0, 0, 1), (0, 1, 1), (0, 2, 2)]


def test_m4_shares_in_proportion_to_price(harness):
    decision = decide(harness, [group_price(2, 200, {0, 1})], [Line(0, 1, 300), Line(1, 1, 100)])
    assert decision["line_discounts"] == [150, 50]


def test_m5_prefers_the_row_of_the_zone_and_keeps_its_limit(harness):
    rows = [(0, 0, 90, 0), (0, 3, 80, 2)]
    kind = layout.MECHANIC_ROW_PRICE
    offer = Offer(kind, [Slot({0})], layout.REWARD_PRICE, rows=rows)
    lines = [Line(0, 5, 500)]
    assert decide(harness, [offer], lines)["discount"] == 50
    decision = decide(harness, [offer], lines, facts={"store": {"zone": 3}})
    assert decision["applied"] == [(0, 1, 2, 40)]


@pytest.mark.parametrize(("amount", "discount"), [(4999, 0), (5000, 500), (10_000, 1000)])
def test_m6_amount_for_each_time_the_threshold_is_reached(harness, amount, discount):
    offer = threshold(5000, layout.REWARD_AMOUNT, 500, times_max=2)
    assert decide(harness, [offer], [Line(0, 1, amount)])["discount"] == discount


def test_m6_sees_what_the_item_layer_left(harness):
    offers = [percent(1000), threshold(1000, layout.REWARD_PERCENT, 1000)]
    assert decide(harness, offers, [Line(0, 1, 1000)])["discount"] == 100
    offers[1].fields["flags"] = layout.OFFER_FLAG_INITIAL_BASE
    assert decide(harness, offers, [Line(0, 1, 1000)])["discount"] == 200


def test_m7_each_coupon_opens_one_application(harness):
    offer = cheapest(1, 1, {0}, flags=layout.OFFER_FLAG_COUPON)
    offer.coupons = [501]
    lines = [Line(0, 6, 600)]
    decision = decide(harness, [offer], lines, basket={"coupons": [501, 999, 501]})
    assert decision["discount"] == 200
    assert decision["coupon_offers"] == [0, layout.NONE_32, 0]
    assert decide(harness, [offer], lines)["explained"] == {0: 18}
    offer.fields["flags"] |= layout.OFFER_FLAG_SERIAL
    decision = decide(harness, [offer], lines, basket={"coupons": [501, 501]})
    assert decision["discount"] == 100


def test_d2_one_basket_offer_applies(harness):
    offers = [
        threshold(1000, layout.REWARD_AMOUNT, 150),
        threshold(1000, layout.REWARD_PERCENT, 1000),
    ]
    decision = decide(harness, offers, [Line(0, 1, 2000)])
    assert decision["applied"] == [(1, 1, 1, 200)]
    assert decision["explained"] == {0: 36, 1: APPLIED}


def test_d3_priority_then_third_party_then_number(harness):
    lines = [Line(0, 1, 1000)]
    plain, funded = percent(1000), percent(1000)
    funded.funding = [(layout.SETTLE_THIRD_PARTY, 10000)]
    assert decide(harness, [percent(1000), plain], lines)["applied"][0][0] == 0
    assert decide(harness, [plain, funded], lines)["applied"][0][0] == 1
    higher = percent(1000, priority=5)
    assert decide(harness, [funded, higher], lines)["applied"][0][0] == 1


def test_y2_a_unit_taken_in_one_class_is_gone_in_the_next(harness):
    offers = [cheapest(1, 1, {0}), percent(5000, {0}, class_order=1)]
    decision = decide(harness, offers, [Line(0, 3, 300)])
    assert decision["applied"] == [(0, 1, 1, 100), (1, 1, 1, 50)]


def test_y3_a_stackable_offer_sees_what_is_left(harness):
    stackable = percent(1000, {0}, flags=layout.OFFER_FLAG_STACKABLE)
    decision = decide(harness, [stackable, percent(2000, {0})], [Line(0, 1, 1000)])
    assert decision["applied"] == [(1, 1, 1, 200), (0, 1, 1, 80)]
    stackable.fields["flags"] |= layout.OFFER_FLAG_INITIAL_BASE
    decision = decide(harness, [stackable, percent(2000, {0})], [Line(0, 1, 1000)])
    assert decision["applied"][1] == (0, 1, 1, 100)


def test_b4_exclusions_and_reduced_goods(harness):
    offers = [percent(1000), percent(1000, flags=layout.OFFER_FLAG_REDUCED_OUT)]
    lines = [Line(0, 1, 100, flags=1), Line(0, 1, 1000, flags=16)]
    assert decide(harness, offers, lines)["applied"] == [(0, 1, 1, 100)]
    assert decide(harness, offers[1:], lines)["applied"] == []
    assert decide(harness, [percent(1000, source_mask=1 << 2)], lines)["applied"] == []


def test_b5_other_lines_keep_their_amount(harness):
    lines = [Line(0, 1, 100, kind=3), Line(0, 1, 100), Line(0, 1, 100, flags=8)]
    decision = decide(harness, [percent(10000)], lines)
    assert decision["line_discounts"] == [0, 100, 0]


def test_floor_and_unit_price_range(harness):
    lines = [Line(0, 1, 100), Line(1, 1, 200)]
    assert decide(harness, [percent(9000, floor_minor=50)], lines)["discount"] == 200
    ranged = percent(1000)
    ranged.slots[0].least, ranged.slots[0].most = 150, 200
    assert decide(harness, [ranged], lines)["discount"] == 20


@pytest.mark.parametrize(("rounding", "discount"), [(0, 3), (1, 2), (2, 3)])
def test_s1_rounds_once_over_everything(harness, rounding, discount):
    lines = [Line(0, 1, 10), Line(1, 1, 15)]
    assert decide(harness, [percent(1000, rounding=rounding)], lines)["discount"] == discount


def test_s3_largest_remainder_ties_to_the_lower_line_id(harness):
    lines = [Line(0, 1, 100) for _ in range(3)]
    decision = decide(harness, [percent(0, units_max=0)], lines)
    assert decision["discount"] == 0
    offer = group_price(3, 290, {0})
    decision = decide(harness, [offer], lines, ids=[30, 10, 20])
    assert decision["line_discounts"] == [3, 4, 3]


def test_s4_a_cap_on_money_that_competed_is_a_gap(harness):
    offers = [percent(5000, {0}, discount_max_minor=30), percent(4000, {0, 1}, units_max=1)]
    decision = decide(harness, offers, [Line(0, 1, 100), Line(1, 1, 40)])
    assert decision["discount"] == 46
    assert decision["gap"] == 20


def test_l1_limits_are_capacities(harness):
    offer = cheapest(1, 1, {0})
    offer.limits = [{"measure": layout.LIMIT_MEASURE_USES, "most": 3, "window": 2}]
    cells = [{"sub": 0, "day": 20087, "key": key_of(0), "value": 1}]
    facts = {"member": MEMBER, "member_cells": cells}
    decision = decide(harness, [offer], [Line(0, 10, 1000)], facts=facts)
    assert decision["discount"] == 200
    assert decision["counted"] == [(0, 1, 0, 20087, 2)]
    cells[0]["value"] = 3
    decision = decide(harness, [offer], [Line(0, 10, 1000)], facts=facts)
    assert decision["explained"] == {0: 22}


# ---------------------------------------------------------------- eligibility ----------------

MEMBERS = {"flags": layout.AUDIENCE_FLAG_MEMBERS}
NOON = 20090 * 1440 + 720

ELIGIBILITY = [
    ({}, {"stopped": [key_of(0)]}, 4),
    ({"schedule": {"from_minute": NOON + 1}}, {}, 5),
    ({"schedule": {"from_minute": NOON}}, {}, 1),
    ({"schedule": {"until_minute": NOON}}, {}, 6),
    ({"schedule": {"weekday_mask": 0b1110111}}, {}, 7),
    ({"schedule": {"weekday_mask": 0b0001000}}, {}, 1),
    ({"schedule": {"hours_count": 1, "hours_from": 720, "hours_until": 721}}, {}, 1),
    ({"schedule": {"hours_count": 1, "hours_from": 600, "hours_until": 720}}, {}, 7),
    ({"schedule": {"hours_count": 1, "hours_from": 721, "hours_until": 721}}, {}, 1),
    ({"schedule": {"hours_count": 1, "hours_from": 1320, "hours_until": 720}}, {}, 7),
    ({"schedule": {}, "blackouts": [20089, 20090]}, {}, 7),
    ({"schedule": {}, "blackouts": [20089]}, {}, 1),
    ({"stores": {3}}, {"store": {"number": 2}}, 8),
    ({"stores": {3}}, {"store": {"number": 3}}, 1),
    ({"fields": {"channel_mask": 4}}, {}, 9),
    ({"fields": {"channel_mask": 2}}, {}, 1),
    ({"audience": MEMBERS}, {}, 10),
    ({"audience": MEMBERS}, {"member": MEMBER}, 1),
    ({"audience": MEMBERS}, {"member": MEMBER, "record": {"flags": 8}}, 10),
    ({"audience": {"flags": layout.AUDIENCE_FLAG_NON_MEMBERS}}, {"member": MEMBER}, 11),
    ({"audience": {"tier_mask": 4}}, {"member": MEMBER, "record": {"tier": 1}}, 12),
    ({"audience": {"tier_mask": 4}}, {"member": MEMBER, "record": {"tier": 2}}, 1),
    ({"audience": {"any": (6, 0)}}, {"member": MEMBER, "record": {"segments": (1, 0)}}, 13),
    ({"audience": {"all": (6, 0)}}, {"member": MEMBER, "record": {"segments": (2, 0)}}, 13),
    ({"audience": {"none": (6, 0)}}, {"member": MEMBER, "record": {"segments": (2, 0)}}, 13),
    ({"audience": {"all": (6, 0)}}, {"member": MEMBER, "record": {"segments": (7, 0)}}, 1),
    ({"audience": {"flags": layout.AUDIENCE_FLAG_CONSENT}}, {"member": MEMBER}, 14),
    ({"audience": {"birthday": 1}}, {"member": MEMBER, "record": {"birth_month": 1}}, 14),
    ({"audience": {"birthday": 2}}, {"member": MEMBER, "record": {"birth_month": 1}}, 1),
    ({"fields": {"flags": layout.OFFER_FLAG_WALLET}}, {"member": MEMBER}, 15),
    ({"fields": {"flags": layout.OFFER_FLAG_WALLET}}, {"member": 7, "wallet": [key_of(0)]}, 1),
    ({"fields": {"flags": layout.OFFER_FLAG_CHOSEN}}, {}, 21),
]


@pytest.mark.parametrize(("offer_fields", "facts", "outcome"), ELIGIBILITY)
def test_e1_to_e13_name_the_first_check_that_fails(harness, offer_fields, facts, outcome):
    offer = percent(1000)
    for name, value in offer_fields.items():
        setattr(offer, name, value)
    decision = decide(harness, [offer], [Line(0, 1, 1000)], facts=facts)
    assert decision["explained"] == {0: outcome}
    assert (decision["discount"] > 0) == (outcome == APPLIED)


def test_e12_a_chosen_offer_applies_where_it_is_named(harness):
    offer = percent(1000, flags=layout.OFFER_FLAG_CHOSEN)
    more = {"basket": {"selections": [key_of(0)]}}
    assert decide(harness, [offer], [Line(0, 1, 1000)], **more)["discount"] == 100


def test_e10_and_h1_hold_out_and_value_forgone(harness):
    offer = percent(1000, control_bp=5000)
    held_out = 0
    for member in range(1, 101):
        decision = decide(harness, [offer], [Line(0, 1, 1000)], facts={"member": member})
        assert decision["discount"] + decision["forgone"] == 100
        held_out += decision["explained"] == {0: 17}
    assert 30 < held_out < 70
    assert decide(harness, [offer], [Line(0, 1, 1000)])["discount"] == 100


# ---------------------------------------------------------------- points, near misses ---------

PURSES = [{"key": 9, "pending_days": 2, "expiry": layout.EXPIRY_MONTH_END, "expiry_n": 1}]
POINTS = {"purses": PURSES, "facts": {"member": MEMBER}}


def test_p2_and_p5_points_on_what_is_paid_with_dates(harness):
    decision = decide(harness, [earn(2, 100), percent(1000)], [Line(0, 1, 1299)], **POINTS)
    # 1169 minor units are left: 23.38 points. Active 4 January, until 28 February 2025.
    assert decision["awards"] == [(0, 1, 1, 20092, 20147, 23)]
    decision = decide(harness, [earn(2, 100)], [Line(0, 1, 1299)], purses=PURSES)
    assert decision["awards"] == []


@pytest.mark.parametrize(
    ("expiry", "days", "last"),
    [
        (layout.EXPIRY_NEVER, 5, layout.DAY_NEVER),
        (layout.EXPIRY_DAYS, 30, 20120),
        (layout.EXPIRY_MONTH_END, 0, 20119),
        (layout.EXPIRY_MONTH_END, 13, 20512),
        (layout.EXPIRY_FIXED, 20500, 20500),
    ],
)
def test_p5_expiry(harness, expiry, days, last):
    purses = [{"key": 9, "expiry": expiry, "expiry_n": days}]
    more = {"purses": purses, "facts": {"member": MEMBER}}
    decision = decide(harness, [earn(1, 1)], [Line(0, 1, 10)], **more)
    assert decision["awards"][0][4] == last


def test_p3_bonus_for_full_counts(harness):
    fields = {"purse": 1, "times_max": 2}
    kind = layout.MECHANIC_EARN_BONUS
    offer = Offer(kind, [Slot({0}, 2)], layout.REWARD_POINTS, 50, layout.LAYER_EARN, fields)
    for count, points in ((1, 0), (2, 50), (3, 50), (9, 100)):
        decision = decide(harness, [offer], [Line(0, count, 10 * count)], **POINTS)
        assert sum(award[5] for award in decision["awards"]) == points
    fields["flags"] = layout.OFFER_FLAG_ONCE_A_VISIT
    assert decide(harness, [offer], [Line(0, 1, 10)], **POINTS)["awards"][0][5] == 50


@pytest.mark.parametrize(
    ("policy", "extras"),
    [
        (layout.MULTIPLIER_HIGHEST, {2: 200}),
        (layout.MULTIPLIER_ADDITIVE, {1: 50, 2: 200}),
        (layout.MULTIPLIER_COMPOUND, {1: 50, 2: 300}),
    ],
)
def test_p4_multipliers(harness, policy, extras):
    offers = [earn(1, 100), times(15_000), times(30_000)]
    lines = [Line(0, 1, 10_000)]
    decision = decide(harness, offers, lines, multiplier_policy=policy, **POINTS)
    found = {award[0]: award[5] for award in decision["awards"]}
    assert found == {0: 100, **extras}


def test_n1_units_and_money_that_are_missing(harness):
    offers = [
        cheapest(2, 1, {0}),
        group_price(5, 100, {0}),
        threshold(1000, layout.REWARD_AMOUNT, 70),
        cheapest(2, 1, {1}),
    ]
    decision = decide(harness, offers, [Line(0, 2, 180)])
    assert decision["near_misses"] == [
        (0, 0, 1, 0, 90),
        (1, 0, 3, 0, 350),
        (2, 0, 0, 820, 70),
    ]
    one = decide(harness, offers, [Line(0, 2, 180)], basket={"near_miss_limit": 1})
    assert one["near_misses"] == [(0, 0, 1, 0, 90)]


def test_too_many_candidates_are_refused(harness):
    lines = [Line(0, 1, 1000)]
    for count, status in ((256, 0), (257, 50)):
        program = make_program([percent(1000 + at, {0}) for at in range(count)], 1)
        ((found, _, _),) = harness.decide_all([(program, make_basket(lines), make_facts())])
        assert found == status


def test_a_use_that_finds_no_room_to_be_counted_refuses_the_decision(harness):
    limit = {"scope": layout.LIMIT_SCOPE_STORE, "measure": layout.LIMIT_MEASURE_USES, "most": 9}
    lines = [Line(0, 1, 100_000_000)]
    for each, status in ((8, 0), (9, 50)):
        stacked = layout.OFFER_FLAG_STACKABLE
        offers = [percent(100, {0}, flags=stacked) for _ in range(256)]
        for offer in offers:
            offer.limits = [limit] * each
        program = make_program(offers, 1)
        ((found, decision, _),) = harness.decide_all([(program, make_basket(lines), make_facts())])
        assert found == status
        if status == 0:
            assert len(decision["applied"]) == 256
            assert len(decision["counted"]) == layout.COUNTED_MAX


def test_refused_offers_beyond_the_table_are_not_a_ceiling(harness):
    offers = [percent(1000, {0}, flags=layout.OFFER_FLAG_WALLET) for _ in range(9000)]
    offers.append(percent(2000, {0}))
    decision = decide(harness, offers, [Line(0, 1, 1000)])
    assert decision["discount"] == 200
    assert len(decision["explained"]) == 256


def test_nothing_is_read_or_written_out_of_bounds(tmp_path):
    folder = build(tmp_path, ("-O1", *SANITIZE))
    calls = []
    for seed in range(60):
        offers, lines, products = tiny_case(seed) if seed % 3 else realistic_case(seed, 20, 8)
        offers.append(threshold(10, layout.REWARD_PERCENT, 700))
        offers.append(percent(300, None, flags=layout.OFFER_FLAG_STACKABLE))
        offers += [earn(3, 7), times(20_000)]
        program = make_program(offers, products, PURSES, step_budget=50_000)
        calls.append((program, make_basket(lines), make_facts(MEMBER)))
    many = [Line(at, 3, 100 + 7 * at) for at in range(512)]
    offers = [percent(1000 + at, None, units_max=900 + at) for at in range(60)]
    calls.append((make_program(offers, 512), make_basket(many), make_facts()))
    with Harness(folder, is_sanitized=True) as running:
        answers = running.decide_all(calls)
    assert [status for status, _, _ in answers] == [0] * len(calls)
