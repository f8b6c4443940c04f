"""``checklane offers check`` tells what a program costs, decides baskets, and refuses too much."""

import json
import re
from dataclasses import replace

import pytest
from click.testing import CliRunner
from google.protobuf.json_format import MessageToJson

from checklane.cli.measuring import read_given
from checklane.cli.offers import offers
from checklane.program.budget import measured_excesses
from checklane.program.cost import BasketCost, Cost, ProductCost
from checklane.program.lane_budget import LaneBudget, Work, lane_budget
from checklane.program.model import CostBudget, Offer
from checklane.program.problems import Severity
from checklane.program.stages import busiest_minute
from checklane.program.worst import Given, Measure, Measured
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.v1 import basket_pb2, checkout_pb2, common_pb2
from tests.program.samples import PROGRAM, write_program

SOUPS = 12
SMALL_BASKETS = "cost: {basket_lines: 8}\n"
D = "discount: {of: {category: SOUP}, percent: 10}"
#: Offers that compete for the soups, through several mechanics, gates and conditions.
OFFERS = """\
- {id: a, discount: {of: {category: SOUP}, percent: 10}}
- {id: b, buy_get: {buy: {count: 2, of: {category: SOUP}},
    get: {count: 1, of: {brand: Alba}, percent: 100}}}
- {id: c, wallet: true, group_price: {count: 3, of: {brand: Alba}, price: 4.99}}
- {id: d, coupon: {codes: [X1]}, discount: {of: {brand: Borg}, amount: 0.50}}
- {id: e, chosen: true, discount: {of: {items: ["sku:soup-1", "sku:soup-2"]}, price: 0.99}}
- {id: f, when: {weekdays: [sunday], hours: [{from: "07:00", until: "08:00"}]}, who: {tiers: gold},
    discount: {of: {category: SOUP}, percent: 15}}
- {id: g, earn: {purse: points, points: 1, per: 1.00}}
- {id: h, where: {stores: S2}, discount: {of: {brand: Borg}, percent: 12}}
"""


@pytest.fixture(scope="module")
def catalogue_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("catalogue")
    rows = [
        f"sku,soup-{n},SOUP,{'Alba' if n % 2 else 'Borg'}"
        for n in range(SOUPS)
    ]  # fmt: skip
    products = folder / "products.csv"
    products.write_text("code_kind,code,category,brand\n" + "\n".join(rows) + "\n")
    stores = folder / "stores.csv"
    stores.write_text("store_id,region,timezone\nS1,north,UTC\nS2,south,UTC\n")
    return build_catalogue(CatalogueFeeds([products], [stores]), folder / "snapshots").path


def check(path, catalogue, *more):
    """Run the check; small climbs, so that it is quick."""
    arguments = ["check", str(path), "--catalogue", str(catalogue), "--climb", "20", *more]
    result = CliRunner().invoke(offers, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def check_json(path, catalogue, *more):
    return json.loads(check(path, catalogue, "--format", "json", *more).stdout)


def quote(lines, card=None):
    """Return a quote of soups: (number, count, amount) each."""
    basket = basket_pb2.Basket(store_id="S1", till_id="1", opened_time_unix_ms=1_790_002_800_000)
    basket.channel = basket_pb2.CHANNEL_STORE
    if card is not None:
        basket.identifiers.add(kind=common_pb2.IDENTIFIER_KIND_CARD, value=card)
    for number, (soup, count, amount) in enumerate(lines, start=1):
        basket.lines.add(
            line_id=number,
            product_code=f"soup-{soup}",
            code_kind=basket_pb2.PRODUCT_CODE_KIND_SKU,
            count=count,
            amount_minor=amount,
            kind=basket_pb2.LINE_KIND_SALE,
        )
    return checkout_pb2.QuoteBasketRequest(basket=basket)


def write_baskets(folder, *requests):
    path = folder / "baskets.jsonl"
    lines = [MessageToJson(request, indent=None) for request in requests]
    path.write_text("\n".join(lines) + "\n\n")
    return path


def test_a_good_program_is_told_with_its_cost_and_measures(tmp_path, catalogue_path):
    path = write_program(tmp_path, OFFERS)
    report = check_json(path, catalogue_path)
    assert report["good"]
    assert report["cost"]["product"]["candidates"] == 7
    assert report["cost"]["components"][0]["at_once"] == 7
    built = report["measured"]["generated"]
    steps = [found["steps"] for found in built]
    assert steps == sorted(steps, reverse=True)
    assert steps[0] > 0
    assert {found["lines"] for found in built} >= {12, 40, 512}
    assert all(found["time_ns"] > 0 for found in built)
    # Every gate was opened and every condition met in some built basket.
    assert {name for name, _ in report["measured"]["culprits"]} >= {"a", "b", "c", "d", "e"}


def test_the_text_names_what_costs(tmp_path, catalogue_path):
    text = check(write_program(tmp_path, OFFERS), catalogue_path).output
    for words in ("candidates of a product", "components", "built basket", "memory", "good, 0 err"):
        assert words in text


def test_measuring_is_the_same_for_a_seed(tmp_path, catalogue_path):
    path = write_program(tmp_path, OFFERS)

    def figures(seed):
        measured = check_json(path, catalogue_path, "--seed", seed)["measured"]
        found = [{**m, "time_ns": 0} for m in measured["generated"]]
        return found, measured["culprits"]

    assert figures("1") == figures("1")
    assert figures("1") != figures("2")


@pytest.mark.parametrize(
    ("limits", "option", "name", "blamed", "line"),
    [
        ("product_candidates: 6", "--max-product-candidates=6", "cost.product_candidates", "a", 1),
        ("basket_candidates: 6", "--max-basket-candidates=6", "cost.basket_candidates", "a", 1),
        ("component_offers: 6", "--max-component-offers=6", "cost.component_offers", "a", 1),
        ("decision_us: 800", "--max-decision-us=800", "cost.decision_us", "a", 1),
        # Without b the dearest basket would take the fewest steps; without a hardly fewer.
        ("steps: 10", "--max-steps=10", "cost.steps", "b", 2),
    ],
)
def test_too_dear_is_refused_by_file_and_by_option(
    tmp_path, catalogue_path, limits, option, name, blamed, line
):
    by_file = write_program(tmp_path / "file", OFFERS, PROGRAM + f"cost: {{{limits}}}\n")
    by_option = write_program(tmp_path / "option", OFFERS)
    assert check(by_option, catalogue_path).exit_code == 0
    for result in (check(by_file, catalogue_path), check(by_option, catalogue_path, option)):
        assert result.exit_code == 1
        assert f"offers/offers.yaml:{line}:8: error: {name}: " in result.output
        assert f"('{blamed}' is " in result.output
        assert "not good" in result.output


def test_an_option_may_allow_more_than_the_file(tmp_path, catalogue_path):
    path = write_program(tmp_path, OFFERS, PROGRAM + "cost: {product_candidates: 6}\n")
    assert check(path, catalogue_path, "--max-product-candidates", "7").exit_code == 0


def test_seventy_offers_for_one_product_are_refused_without_being_asked(tmp_path, catalogue_path):
    path = write_program(tmp_path, "".join(f"- id: o{n:02}\n  {D}\n" for n in range(70)))
    result = check(path, catalogue_path, "--no-measure")
    assert result.exit_code == 1
    assert "offers/offers.yaml:1:7: error: cost.product_candidates: 70 offers" in result.output
    assert "64 may" in result.output
    assert result.output.count("error: cost.product_candidates") == 10


def test_a_basket_that_the_lanes_refuse_is_refused(tmp_path, catalogue_path):
    parts = [
        f'- {{id: i{n}-{m}, discount: {{of: {{items: ["sku:soup-{n}"]}}, percent: {m + 1}}}}}\n'
        for n in range(SOUPS)
        for m in range(30)
    ]
    result = check(write_program(tmp_path, "".join(parts)), catalogue_path)
    assert result.exit_code == 1
    assert "error: cost.basket_candidates: 360 offers compete" in result.output
    assert "256 may, and the lanes refuse a basket with more" in result.output
    smaller = write_program(tmp_path / "smaller", "".join(parts), PROGRAM + SMALL_BASKETS)
    assert check(smaller, catalogue_path, "--no-measure").exit_code == 0
    # The engine refuses the whole basket; half of its lines are decided.
    built = check_json(tmp_path, catalogue_path)["measured"]["generated"]
    assert {(found["refused_lines"], found["lines"]) for found in built} >= {(0, 12), (12, 6)}


def test_a_step_budget_that_no_lane_can_bear_is_refused_with_one_that_it_can(
    tmp_path, catalogue_path
):
    def checked(steps, *more):
        head = PROGRAM + f"policies: {{step_budget: {steps}}}\n"
        return check(write_program(tmp_path, OFFERS, head), catalogue_path, "--no-measure", *more)

    result = checked(4_000_000)
    assert result.exit_code == 1
    assert "error: cost.decision_us: deciding 40 lines may take 8," in result.output
    assert "1,250 µs may be taken ('a' is 1 of 7)" in result.output
    (mended,) = set(re.findall(r"lower policies.step_budget to ([0-9,]+)", result.output))
    most = int(mended.replace(",", ""))
    assert checked(most).exit_code == 0
    assert checked(most + 1_000).exit_code == 1
    assert checked(4_000_000, "--max-decision-us", "9000").exit_code == 0


def test_offers_that_stack_on_each_other_are_refused_by_their_time(tmp_path, catalogue_path):
    stacked = "".join(f"- id: o{n:02}\n  stackable: true\n  {D}\n" for n in range(16))
    result = check(write_program(tmp_path, stacked), catalogue_path, "--no-measure")
    assert result.exit_code == 1
    assert "offers/offers.yaml:1:7: error: cost.decision_us: " in result.output
    assert "16 candidates, 16 of them stacked" in result.output


def test_the_limit_is_configuration(tmp_path, catalogue_path, monkeypatch):
    path = write_program(tmp_path, OFFERS)
    assert check(path, catalogue_path, "--no-measure").exit_code == 0
    monkeypatch.setenv("CHECKLANE_PROGRAM_DECISION_US", "500")
    result = check(path, catalogue_path, "--no-measure")
    assert result.exit_code == 1
    assert "; 500 µs may be taken" in result.output
    settings = tmp_path / "settings.toml"
    settings.write_text("program_decision_us = 1000\n")
    monkeypatch.delenv("CHECKLANE_PROGRAM_DECISION_US")
    config = ("--no-measure", "--config", str(settings))
    assert check(path, catalogue_path, *config).exit_code == 0
    settings.write_text("program_decision_us = 800\n")
    assert check(path, catalogue_path, *config).exit_code == 1
    # What the program says of itself comes before the server's word.
    own = write_program(tmp_path / "own", OFFERS, PROGRAM + "cost: {decision_us: 1000}\n")
    assert check(own, catalogue_path, *config).exit_code == 0


def test_tables_that_are_too_large_are_refused_with_their_offers(tmp_path, catalogue_path):
    codes = ", ".join(f"C{n}" for n in range(40_000))
    offers = f"- {{id: few, coupon: {{codes: [X]}}, {D}}}\n"
    offers += f"- {{id: many, coupon: {{codes: [{codes}]}}, {D}}}\n"
    path = write_program(tmp_path, offers)
    assert check(path, catalogue_path, "--no-measure").exit_code == 0
    result = check(path, catalogue_path, "--no-measure", "--max-table-mib", "1")
    assert result.exit_code == 1
    first = next(line for line in result.output.splitlines() if "('many' is 1 of 2)" in line)
    assert first.startswith("offers/offers.yaml:2:8: error: cost.table_mib: the tables take ")
    own = write_program(tmp_path / "own", offers, PROGRAM + "cost: {table_mib: 1}\n")
    assert check(own, catalogue_path, "--no-measure").exit_code == 1


def test_given_baskets_are_decided_for_a_member(tmp_path, catalogue_path):
    path = write_program(tmp_path, OFFERS)
    baskets = write_baskets(
        tmp_path, quote([(1, 1, 250)]), quote([(1, 3, 750), (2, 2, 400)], card="9999")
    )
    given = check_json(path, catalogue_path, "--baskets", str(baskets))["measured"]["given"]
    assert (given["count"], given["refused"], given["exact"]) == (2, 0, 2)
    assert given["worst_line"] == 2
    assert given["steps"][2] > 0
    # The wallet offer competes: the card was given to a member who holds it.
    assert "c" in given["competing"]


def test_a_given_basket_that_is_refused_fails_the_check(tmp_path, catalogue_path):
    baskets = write_baskets(tmp_path, quote([(1, 1, 250)]), quote([(1, 0, 250)]))
    path = write_program(tmp_path, OFFERS)
    result = check(path, catalogue_path, "--baskets", str(baskets), "--no-measure")
    assert result.exit_code == 1
    assert "1 of 2 given baskets are refused" in result.output


def test_a_line_that_is_no_quote_is_named(tmp_path, catalogue_path):
    path = tmp_path / "baskets.jsonl"
    path.write_text('{"basket": {}}\n{"baskett": {}}\n')
    with pytest.raises(Exception, match=r"baskets\.jsonl:2: .*baskett"):
        read_given(path, "1")
    result = check(write_program(tmp_path, OFFERS), catalogue_path, "--baskets", str(path))
    assert result.exit_code == 1
    assert "baskets.jsonl:2" in result.output


def test_baskets_need_a_catalogue(tmp_path):
    path = write_program(tmp_path, OFFERS)
    result = CliRunner().invoke(offers, ["check", str(path), "--baskets", str(path / "x")])
    assert result.exit_code == 2


WORK = Work(lines=40, candidates=30, wanting=10, stacked=2, steps=1000)
LANE = LaneBudget(decision_us=500, table_mib=1)
COST = Cost(
    offers=1, slots=1, classes=1, postings=1, table_bytes=1, step_budget=1000,
    decision=WORK, decision_us=WORK.time_us,
    product=ProductCost(1, 1, 0, "1", 1, ["a"]), basket=BasketCost(1, 1, 1, 0, ["a"]),
    competing=0, component_count=0, components=[], largest=["a"],
)  # fmt: skip


def judged(steps, is_exact=True, limit=None, given_steps=0, refused=0, given_us=0):
    """Return names and severities for one built and one given basket."""
    measured = Measured(
        [Measure("m", 1, 0, steps, is_exact, 0, 1, 1)], [("a", steps // 2), ("b", steps // 40)]
    )
    if given_steps or refused or given_us:
        three = [given_steps] * 3
        measured.given = Given(1, refused, 1, three, [0, 0, 0], 1, ["c"], given_us, 1, ["d"])
    found = measured_excesses(measured, COST, CostBudget(steps=limit), LANE)
    return [(excess.severity, excess.offers) for excess in found]


def test_built_baskets_may_use_the_budget_up_and_given_ones_may_not():
    assert judged(999, is_exact=False) == []
    assert judged(1000, is_exact=True) == []
    assert judged(1000, is_exact=False) == [(Severity.WARNING, ["a"])]
    assert judged(1000, is_exact=False, limit=999) == [(Severity.ERROR, ["a"])]
    assert judged(999, limit=999) == []
    assert judged(1, given_steps=999) == []
    assert judged(1, given_steps=1000) == [(Severity.ERROR, ["c"])]
    assert judged(1, given_steps=11, limit=10) == [(Severity.ERROR, ["c"])]
    assert judged(1, refused=1) == [(Severity.ERROR, [])]
    assert judged(1, given_us=500) == []
    assert judged(1, given_us=501) == [(Severity.ERROR, ["d"])]


def test_the_time_of_a_decision_is_reckoned_from_counts():
    assert (WORK.pairs, WORK.runs) == (400, 160)
    # 40 * 400 + 30 * 300 + 400 * 100 + 160 * 250 + 1,000 * 2 ns.
    assert WORK.time_us == 107
    assert replace(WORK, candidates=0, steps=0).time_us == 16
    assert lane_budget(CostBudget()) == LaneBudget(1250, 1024)
    assert lane_budget(CostBudget(decision_us=7, table_mib=3)) == LaneBudget(7, 3)


def offer(**when):
    return Offer.model_validate({"id": "a", "when": when, "discount": {"of": "all", "percent": 1}},
                                context={"exponent": 2, "locale": "en"})  # fmt: skip


@pytest.mark.parametrize(
    ("whens", "weekday", "hours"),
    [
        ([{}], None, range(24)),
        ([{"weekdays": ["sunday"]}], 6, range(24)),
        ([{"hours": [{"from": "19:00", "until": "22:00"}]}, {}], None, range(19, 22)),
        ([{"hours": [{"from": "22:00", "until": "02:00"}]}], None, (22, 23, 0, 1)),
        ([{"from": "2026-03-08", "until": "2026-03-08"}], 6, range(24)),
        ([{"until": "2024-02-29"}], None, range(24)),
    ],
)
def test_the_moment_of_a_basket_is_one_at_which_its_offers_run(whens, weekday, hours):
    models = [offer(**when) for when in whens]
    minute = busiest_minute(models)
    for model in models:
        assert (model.when.from_ or 0) <= minute < (model.when.until or 2**62)
    assert weekday is None or (minute // 1440 + 3) % 7 == weekday
    assert minute % 1440 // 60 in hours
