"""Offers that something has to open are looked up by what opens them, not gone through."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from checklane import _layout as layout
from tests.native.harness import Harness, build
from tests.native.world import (
    Line,
    Offer,
    Slot,
    key_of,
    make_basket,
    make_facts,
    make_program,
)

MEMBER = 77
PRODUCTS = 6
GATES = (layout.OFFER_FLAG_WALLET, layout.OFFER_FLAG_COUPON, layout.OFFER_FLAG_CHOSEN)
COUPON = 10_000


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    folder = build(tmp_path_factory.mktemp("gated"), ("-O1",))
    with Harness(folder) as running:
        yield running


def random_offer(rng: random.Random, number: int) -> Offer:
    """Return an offer behind any of the gates or none, for some products or for all."""
    flags = sum(gate for gate in GATES if rng.random() < 0.4)
    goods = None if rng.random() < 0.3 else set(rng.sample(range(PRODUCTS), rng.randint(1, 4)))
    value = rng.randrange(300, 6_000)
    more: dict[str, Any] = {"fields": {"flags": flags}}
    if flags & layout.OFFER_FLAG_COUPON:
        more["coupons"] = [COUPON + number]
    if rng.random() < 0.3:
        more["stores"] = rng.sample(range(4), 2)
    if rng.random() < 0.6:
        return Offer(layout.MECHANIC_UNIT_OFF, [Slot(goods)], layout.REWARD_PERCENT, value, **more)
    more["fields"]["times_max"] = 3
    slots = [Slot(goods, 1, layout.SLOT_BUY), Slot({number % PRODUCTS}, 1, layout.SLOT_GET)]
    return Offer(layout.MECHANIC_BUY_GET, slots, layout.REWARD_PERCENT, value, **more)


def opened(rng: random.Random, offers: list[Offer], share: float) -> tuple[Any, Any]:
    """Return basket fields and facts that open about a share of some offers, by each gate."""
    chosen = [n for n in range(len(offers)) if rng.random() < share]
    basket = {
        "coupons": [COUPON + n for n in chosen[: layout.COUPONS_MAX]],
        "selections": [key_of(n) for n in chosen[: layout.SELECTIONS_MAX]],
    }
    facts = {"member": MEMBER, "wallet": [key_of(n) for n in chosen], "store": {"number": 1}}
    return basket, facts


def plain(decision: dict[str, Any]) -> dict[str, Any]:
    """Return what a decision is, without what was explained on the way."""
    return {k: v for k, v in decision.items() if k not in ("explained", "judged", "worth_parts")}


@pytest.mark.parametrize("seed", range(25))
def test_looked_up_and_gone_through_decide_alike(harness, seed):
    """Reasons are asked for, and so all offers are gone through; or not, and few are looked at."""
    rng = random.Random(seed)
    offers = [random_offer(rng, number) for number in range(120)]
    lines = [
        Line(rng.randrange(PRODUCTS), rng.randint(1, 3), rng.randint(100, 3_000)) for _ in range(5)
    ]
    program = make_program(offers, PRODUCTS)
    basket, facts = opened(rng, offers, 0.04)
    calls = [
        (program, make_basket(lines, explain=explain, **basket), make_facts(**facts))
        for explain in (0, 1)
    ]
    (_, few, _), (_, all_of_them, _) = harness.decide_all(calls)
    assert plain(few) == plain(all_of_them)
    assert few["judged"] < all_of_them["judged"]


def test_each_gate_is_found_by_what_opens_it(harness):
    for gate in GATES:
        offers = [
            Offer(
                layout.MECHANIC_UNIT_OFF,
                [Slot(goods)],
                layout.REWARD_PERCENT,
                1_000 + number,
                fields={"flags": gate},
                coupons=[COUPON + number],
            )
            for number, goods in enumerate([None, {0}] * 100)
        ]
        program = make_program(offers, 1)
        facts = {"member": MEMBER, "wallet": [key_of(150), key_of(151)]}
        both = {"coupons": [COUPON + 150, COUPON + 151], "selections": [key_of(150), key_of(151)]}
        calls = [
            (program, make_basket([Line(0, 1, 10_000)], explain=0, **basket), make_facts(**known))
            for known, basket in ((facts, both), ({"member": MEMBER}, {}))
        ]
        (_, found, _), (_, nothing, _) = harness.decide_all(calls)
        assert [offer for offer, *_ in found["applied"]] == [151]
        assert (found["judged"], nothing["judged"]) == (2, 0)


def test_a_granted_offer_is_looked_up(harness):
    offers = [
        Offer(
            layout.MECHANIC_UNIT_OFF,
            [Slot(None)],
            layout.REWARD_PERCENT,
            1_000,
            fields={"flags": layout.OFFER_FLAG_WALLET},
        )
        for _ in range(200)
    ]
    cells = [{"kind": layout.CELL_GRANT, "key": key_of(90), "value": 1}]
    facts = make_facts(MEMBER, member_cells=cells)
    call = (make_program(offers, 1), make_basket([Line(0, 1, 10_000)], explain=0), facts)
    ((_, decision, _),) = harness.decide_all([call])
    assert [offer for offer, *_ in decision["applied"]] == [90]


@pytest.mark.parametrize("is_universal", [False, True])
def test_no_more_is_looked_at_however_many_offers_are_live(harness, is_universal):
    """Half of them wait in wallets, half run in other stores."""
    judged = []
    for count in (200, 2_000, 20_000):
        offers = []
        for number in range(count):
            goods = None if is_universal or number % 2 else {number % 50}
            more: dict[str, Any] = {"fields": {"flags": layout.OFFER_FLAG_WALLET}}
            if number % 2:
                more = {"stores": [1 + number // 2 % 60]}
            offers.append(
                Offer(layout.MECHANIC_UNIT_OFF, [Slot(goods)], layout.REWARD_PERCENT, 900, **more)
            )
        offers.append(
            Offer(layout.MECHANIC_UNIT_OFF, [Slot(None)], layout.REWARD_PERCENT, 500, stores=[63])
        )
        facts = {"wallet": [key_of(n) for n in range(0, 20, 2)], "store": {"number": 63}}
        lines = [Line(product, 2, 1_000) for product in range(10)]
        basket = make_basket(lines, explain=0)
        call = (make_program(offers, 50), basket, make_facts(MEMBER, **facts))
        ((_, decision, _),) = harness.decide_all([call])
        assert decision["discount"] > 0
        judged.append(decision["judged"])
    # A few are gone through, reasons or not: that costs less than looking them up.
    assert judged[0] < 30
    assert judged[1] == judged[2] <= 11
