"""What a program costs at worst, against counting by hand and against plain search."""

import itertools
import random

import numpy as np
import pytest

from checklane import _layout
from checklane.program.checks import Attachments
from checklane.program.compile import compile_loaded, in_order
from checklane.program.components import connect
from checklane.program.cost import Analysis
from checklane.program.load import LoadedProgram
from checklane.program.model import CostBudget, Offer, Program
from tests.program.samples import gtin, make_catalogue

CATEGORIES = ["A", "A/B", "A/B/C", "D", "D/E"]
BRANDS = ["Harbor", "Corner", ""]
STORES = [("S1", "north"), ("S2", "south"), ("S3", "south")]
PROGRAM = {
    "program": "p",
    "currency": {"code": "USD", "exponent": 2},
    "purses": {"points": {"number": 1}},
    "tiers": {"basic": {"number": 0}, "gold": {"number": 1}},
}
#: Minutes from 1970 to 2026.
JANUARY = 29_453_760
D = {"of": {"category": "A"}, "percent": 10}


def shelf(count=30, draw=None):
    """Return a catalogue; without a generator, products go round categories and brands."""
    pick = draw.choice if draw else None
    return make_catalogue(
        codes=[gtin(n) for n in range(count)],
        categories=[pick(CATEGORIES) if pick else CATEGORIES[n % 5] for n in range(count)],
        brands=[pick(BRANDS) if pick else BRANDS[n % 3] for n in range(count)],
        departments=["Grocery"] * count,
        flags=[0] * count,
        stores=STORES,
    )


def analysed(offers, catalogue=None, **budget):
    """Return the analysis of offers as files write them."""
    catalogue = catalogue or shelf()
    program = Program.model_validate(PROGRAM)
    context = {"exponent": 2, "locale": "en"}
    models = [Offer.model_validate(offer, context=context) for offer in offers]
    loaded = LoadedProgram(None, program, models)
    compiled = compile_loaded(loaded, Attachments(), catalogue)
    ids = [offer.id for offer in in_order(models)]
    return Analysis(compiled, ids, CostBudget(**budget), catalogue), compiled


def offer(number, **more):
    return {"id": f"o{number:02}", **({"discount": D} | more)}


def test_offers_count_not_slots():
    two_slots = {"slots": [{"of": {"category": "A"}}, {"of": {"brand": "Harbor"}}], "price": "1"}
    group = {"id": "g", "group_price": two_slots}
    product = analysed([group, offer(1)])[0].cost.product
    assert (product.candidates, product.at_most) == (2, 2)
    assert product.offers == ["g", "o01"]
    assert product.code == gtin(0)


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ({"where": {"regions": "north"}}, {"where": {"regions": "south"}}, 1),
        ({"where": {"stores": ["S1", "S2"]}}, {"where": {"regions": "south"}}, 2),
        ({"when": {"until": "2026-01-31"}}, {"when": {"from": "2026-02-01"}}, 1),
        ({"when": {"until": "2026-02-01"}}, {"when": {"from": "2026-02-01"}}, 2),
        ({"who": {"tiers": "basic"}}, {"who": {"tiers": "gold"}}, 1),
        ({"who": {"tiers": "basic"}}, {"who": {"members": "members"}}, 2),
        ({"who": {"members": "non_members"}}, {"wallet": True}, 1),
        ({"who": {"members": "non_members"}}, {}, 2),
    ],
)
def test_offers_that_never_meet_do_not_add_up(one, other, together):
    cost = analysed([offer(1, **one), offer(2, **other)])[0].cost
    assert (cost.product.candidates, cost.product.at_most) == (together, together)
    assert cost.basket.candidates == together
    assert [part.at_once for part in cost.components] == [together]


def test_gates_let_only_so_many_through():
    wallet = [offer(n, wallet=True) for n in range(50)]
    codes = [offer(50 + n, coupon={"codes": [f"C{n}"]}) for n in range(40)]
    assert analysed(wallet, wallet_offers=8)[0].cost.product.candidates == 8
    most = _layout.COUPONS_MAX
    assert analysed(wallet + codes, wallet_offers=8)[0].cost.product.candidates == 8 + most


def test_a_code_that_opens_many_offers_counts_them_all():
    codes = [offer(n, coupon={"codes": ["SAME"]}) for n in range(40)]
    assert analysed(codes)[0].cost.product.candidates == 40


def brute_product(analysis, compiled):
    """Return the most candidates of a product by looking at each product, store and day."""
    reach, scenery = analysis.reach, analysis.scenery
    best = 0
    for number in set(compiled.tables["class_of_product"].tolist()):
        offers = reach.of_class(number).tolist()
        for store, minute in itertools.product(
            range(3), range(JANUARY - 1440, JANUARY + 40 * 1440, 1440)
        ):
            met = 0
            for at in offers:
                stores = scenery.offers["store_set"][at]
                words = compiled.tables["store_sets"]
                here = stores == _layout.NONE_32 or int(words[stores]) >> store & 1
                met += bool(here and scenery._begin[at] <= minute < scenery._end[at])
            best = max(best, met)
    return best


@pytest.mark.parametrize("seed", range(6))
def test_the_worst_product_is_found(seed):
    draw = random.Random(seed)
    catalogue = shelf(40, draw)
    offers = []
    for number in range(25):
        of = draw.choice(
            [{"category": draw.choice(CATEGORIES)}, {"brand": draw.choice(BRANDS[:2])}, "all"]
        )
        part = offer(number, discount={"of": of, "percent": 5})
        if draw.random() < 0.5:
            part["where"] = {"stores": draw.sample(["S1", "S2", "S3"], draw.randint(1, 2))}
        if draw.random() < 0.5:
            first = draw.randint(1, 20)
            part["when"] = {
                "from": f"2026-01-{first:02}",
                "until": f"2026-01-{first + draw.randint(5, 11):02}",
            }
        offers.append(part)
    analysis, compiled = analysed(offers, catalogue)
    product = analysis.cost.product
    assert product.candidates == product.at_most
    assert product.candidates == brute_product(analysis, compiled)
    assert len(product.offers) == product.candidates


@pytest.mark.parametrize("seed", range(20))
def test_components_are_those_of_a_plain_search(seed):
    draw = np.random.default_rng(seed)
    count = int(draw.integers(1, 60))
    edges = draw.integers(0, count, size=(int(draw.integers(0, 80)), 2))
    labels = connect(count, edges[:, 0], edges[:, 1])
    plain = list(range(count))
    for _ in range(count):
        for one, other in edges.tolist():
            plain[one] = plain[other] = min(plain[one], plain[other])
    assert labels.tolist() == plain


def test_components_follow_layer_class_and_stacking():
    bread = {"of": {"category": "D"}, "percent": 10}
    both = {"of": {"category": ["A/B", "D/E"]}, "percent": 10}
    cost = analysed(
        [
            offer(1),
            offer(2, discount=bread),
            offer(3, **{"class": 1}),
            offer(4, stackable=True),
            {"id": "p", "earn": {"purse": "points", "points": 1, "per": "1.00"}},
        ]
    )[0].cost
    assert (cost.competing, cost.component_count) == (0, 0)
    cost = analysed([offer(1), offer(2, discount=bread), offer(3, discount=both)])[0].cost
    assert (cost.competing, cost.component_count) == (3, 1)
    (part,) = cost.components
    assert (part.layer, part.offers, part.at_once, part.products) == ("item", 3, 3, 30)


def test_an_offer_for_everything_joins_its_class_and_no_empty_offer():
    everything = {"of": "all", "percent": 10}
    nothing = {"of": {"brand": "Nobody"}, "percent": 10}
    cost = analysed([offer(1), offer(2, discount=everything), offer(3, discount=nothing)])[0].cost
    assert cost.competing == 2
    assert cost.components[0].products == -1
    assert cost.components[0].names == ["o02", "o01"]


def test_a_basket_adds_up_over_its_lines():
    codes = [gtin(n) for n in range(30)]
    offers = [
        offer(n * 10 + m, discount={"of": {"items": [codes[n]]}, "percent": 5})
        for n in range(3)
        for m in range(10)
    ]
    two = analysed(offers, basket_lines=2)[0].cost.basket
    assert (two.candidates, two.at_most, two.ceiling_lines) == (20, 20, 0)
    assert analysed(offers, basket_lines=40)[0].cost.basket.candidates == 30


def test_the_ceiling_of_a_basket_is_told_in_lines():
    codes = [gtin(n) for n in range(30)]
    offers = [
        {"id": f"i{n}-{m}", "discount": {"of": {"items": [codes[n]]}, "percent": 5}}
        for n in range(30)
        for m in range(10)
    ]
    basket = analysed(offers)[0].cost.basket
    assert basket.candidates == 300
    assert basket.ceiling_lines == 26


def test_a_program_without_reach_costs_nothing():
    nothing = {"of": {"brand": "Nobody"}, "percent": 10}
    cost = analysed([offer(1, discount=nothing)])[0].cost
    assert (cost.product.candidates, cost.basket.candidates, cost.components) == (0, 0, [])


def test_many_offers_and_products_are_counted_by_class():
    count = 20_000
    catalogue = make_catalogue(
        codes=[gtin(n) for n in range(count)],
        categories=["A"] * count,
        brands=[f"b{n % 1000}" for n in range(count)],
        departments=["Grocery"] * count,
        flags=[0] * count,
        stores=STORES,
    )
    offers = [
        {"id": f"n{n}", "discount": {"of": {"brand": f"b{n % 1000}"}, "percent": 5}}
        for n in range(5000)
    ]
    cost = analysed(offers, catalogue)[0].cost
    assert cost.classes == 1001
    assert (cost.product.candidates, cost.product.products) == (5, 20)
    assert (cost.component_count, cost.competing) == (1000, 5000)
    assert cost.basket.candidates == 200
