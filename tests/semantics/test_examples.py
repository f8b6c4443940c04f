"""Every worked example of docs/semantics.md, through the slow twin and through the engine."""

import copy
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.oracle.answer import OracleDecision
from tests.oracle.claim import claim
from tests.oracle.decide import commit, decide
from tests.oracle.past import Past
from tests.oracle.program import day_number
from tests.oracle.returns import Sold, bring_back_named, kept_of, sold_of, with_refunds
from tests.oracle.values import scaled
from tests.semantics.examples import Example, Sample, read_page, rules_of_page
from tests.support.engine_fixture import HOLD_OUT_KEY, IDENTITY_KEY, EngineFixture
from tests.support.told import Told, by_engine, by_oracle, differences

SAMPLE, EXAMPLES = read_page()
IDS = [example.name for example in EXAMPLES]


def decide_example(example: Example, sample: Sample) -> OracleDecision:
    """Decide an example by the slow twin, after what was committed before."""
    program = example.program(sample)
    more: dict[str, Any] = {
        "stopped": frozenset(example.written.get("stopped", [])),
        "keys": (IDENTITY_KEY, HOLD_OUT_KEY),
    }
    past = Past()
    sold: list[Sold] = []
    refunds: list[int] = []

    def answer(basket: dict[str, Any], past: Past = past) -> OracleDecision:
        basket = with_refunds(basket, sold)
        return decide(program, sample.catalogue, sample.members, basket, past=past, **more)

    for basket in example.before:
        if "merge" in basket:
            gone, into = (basket["merge"][key] for key in ("from", "into"))
            scenes = [answer({**basket, "card": card}).scene for card in (gone, into)]
            past.merge(*scenes)
            continue
        then = copy.deepcopy(past)
        decision = answer(basket)
        if "adjust" in basket:
            past.adjust(decision.scene, program, basket["adjust"])
            continue
        sale = commit(past, decision, program)
        if "confirm" in basket:
            day, cancelled = day_number(basket["confirm"]), "cancelled" in basket
            past.confirm(sale, program, day, cancelled=cancelled)
        sold.append(sold_of(basket, decision.nets, sale))
        if program.get("policies", {}).get("returns") == "reprice":
            sold[-1].again = lambda left, basket=basket, then=then: (
                answer(kept_of(basket, left), copy.deepcopy(then)).nets
            )
        bring_back_named(past, program, basket, sold)
        if "claim" in basket:
            scene = answer({**basket, "card": basket["claim"]}).scene
            sold[-1].note(basket["back"])
            claim(past, sale, decision, scene, program, sold[-1].came_back())
            basket = {**basket, "back": basket["after"]}
        if basket["void"] == "true":
            sold[-1].bring_back(past, program, sold[-1].counts)
        refunds.extend(sold[-1].bring_back(past, program, units) for units in returns_of(basket))
    decision = answer(promise(example, answer_any(program, sample, past, more)))
    decision.refunds = refunds
    return decision


def returns_of(basket: dict[str, Any]) -> list[dict[int, int]]:
    """Return the units of each return by itself."""
    return basket["backs"] or ([basket["back"]] if basket["back"] else [])


def answer_any(
    program: dict[str, Any], sample: Sample, past: Past, more: dict[str, Any]
) -> Callable[[dict[str, Any]], OracleDecision]:
    """Return what decides a basket as if any fill had offers for fuel."""
    policies = {**program.get("policies", {}), "fuel": "any"}
    open_program = {**program, "policies": policies}

    def answer(basket: dict[str, Any]) -> OracleDecision:
        return decide(open_program, sample.catalogue, sample.members, basket, past=past, **more)

    return answer


def promise(example: Example, answer: Callable[[dict[str, Any]], OracleDecision]) -> dict[str, Any]:
    """Return the basket with what its authorisation promises: what a fill of each price has."""
    basket, asked = example.basket, example.authorised
    promised: dict[str, int] = {}
    fuels = {str(offer["id"]) for offer in example.written["offers"] if "fuel" in offer}
    for code, grade, level, price in asked.get("prices", []):
        volume = Fraction(asked.get("most", "1000"))
        line = {
            "id": 1, "code": code, "count": "1", "unit_price": price,
            "amount": f"{float(Fraction(price) * volume):.2f}",
            "measure": {"quantity": str(asked.get("most", "1000")), "unit": asked["unit"]},
            "fuel": {"grade": grade, "level": level},
        }  # fmt: skip
        row = answer({**asked, "lines": [line]})
        points = {paid.offer: paid.points for paid in row.redeemed}
        for applied in row.applied:
            if applied.offer in fuels:
                most = max(promised.get(applied.offer, 0), points.get(applied.offer, 0))
                promised[applied.offer] = most
    for line in basket["lines"]:
        if line.get("fuel", {}).get("hold"):
            line["fuel"] = {**line["fuel"], "promised": list(promised)}
    paying = [{"offer": offer, "points": str(n)} for offer, n in promised.items() if n]
    return {**basket, "redeem": [*basket.get("redeem", []), *paying]}


def ask_engine(example: Example, sample: Sample, directory: Path) -> Told:
    """Decide an example by an engine of its own, after the same commits and voids."""
    program = example.program(sample)
    with EngineFixture(directory, program, sample.catalogue, sample.members) as engine:
        for offer in example.written.get("stopped", []):
            engine.stop_offer(offer)
        refunds: list[int] = []
        for basket in example.before:
            if "merge" in basket:
                engine.merge(basket["merge"]["from"], basket["merge"]["into"])
                continue
            if "adjust" in basket:
                engine.adjust(basket)
                continue
            number = engine.commit(basket)
            if "confirm" in basket:
                engine.confirm(number, basket)
            if "claim" in basket:
                if basket["back"]:
                    engine.give_back(number, basket, basket["back"])
                engine.claim(number, basket, basket["claim"])
                basket = {**basket, "back": basket["after"]}
            if basket["void"] == "true":
                engine.void(number, basket)
            refunds.extend(engine.give_back(number, basket, units) for units in returns_of(basket))
        basket = example.basket
        if example.authorised:
            table = engine.authorise(example.authorised)
            check_table(example.written["expect"], table)
            for line in basket["lines"]:
                if line.get("fuel", {}).get("hold"):
                    line["fuel"] = {**line["fuel"], "hold": table.hold.hold_id}
        told = by_engine(engine.quote(basket))
        told["wallet_uses"] = engine.wallet_uses(basket)
        told["refunds"] = refunds
        return told


def check_table(expect: dict[str, Any], table: Any) -> None:
    """Compare what comes off each price: amount, volume, floor, and the parts of its offers."""
    told = [
        [
            row.discount_minor_thousandths, row.max_quantity_thousandths,
            row.floor_price_minor_thousandths,
            {o.offer_id: [o.discount_minor_thousandths, o.max_quantity_thousandths, o.points]
             for o in row.offers},
        ]
        for row in table.discounts
    ]  # fmt: skip
    wanted = [
        [
            scaled(off, 5), scaled(most, 3), scaled(floor, 5),
            {name: [scaled(part[0], 5), scaled(part[1], 3), int(part[2])]
             for name, part in offers.items()},
        ]
        for off, most, floor, offers in expect["table"]
    ]  # fmt: skip
    assert told == wanted
    holds = [table.hold, *table.more_holds]
    held = {hold.purse_id: hold.points for hold in holds if hold.points}
    assert held == by_key(int, expect.get("held", {}))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineFixture]:
    """An engine for examples that change nothing."""
    directory = tmp_path_factory.mktemp("shared")
    program = {**SAMPLE.program, "offers": []}
    with EngineFixture(directory, program, SAMPLE.catalogue, SAMPLE.members) as engine:
        yield engine


def cents(amount: Any) -> int:
    return scaled(amount, 2)


def by_key(convert: Callable[[Any], Any], wanted: dict[str, Any]) -> dict[str, Any]:
    return {key: convert(value) for key, value in wanted.items()}


def by_line(wanted: dict[str, Any]) -> dict[int, int]:
    return {int(line): int(count) for line, count in wanted.items()}


def check(expect: dict[str, Any], told: Told) -> None:
    """Compare what an example expects with what was told."""
    applied = told["applied"]
    points = {offer: part for (_, _, offer), part in told["points"].items()}
    for key, wanted in expect.items():
        if key == "lines":
            found = {line: off for line, off in told["lines"].items() if off}
            assert found == {int(line): cents(off) for line, off in wanted.items()}
        elif key == "offers":
            found = {o: part["discount"] for o, part in applied.items() if o not in points}
            assert found == by_key(cents, wanted)
        elif key == "times":
            assert {offer: applied[offer][key] for offer in wanted} == by_key(int, wanted)
        elif key in ("units", "qualifying"):
            assert {offer: applied[offer][key] for offer in wanted} == by_key(by_line, wanted)
        elif key == "coupons":
            found = {offer: applied[offer][key] for offer in wanted}
            assert found == {offer: [int(at) for at in ats] for offer, ats in wanted.items()}
        elif key == "funding":
            for offer, shares in wanted.items():
                found = {name.split("/")[0]: n for name, n in applied[offer][key].items()}
                assert found == by_key(cents, shares)
        elif key in ("points", "active", "expire"):
            assert {offer: part[key] for offer, part in points.items()} == by_key(int, wanted)
        elif key == "outcomes":
            assert {offer: told[key].get(offer) for offer in wanted} == wanted
        else:
            check_figure(key, wanted, told)


def check_figure(key: str, wanted: Any, told: Told) -> None:
    """Compare what is not by offer or line."""
    if key == "near":
        misses = [
            (m["offer"], int(m.get("units", 0)), cents(m.get("money", 0)), cents(m["saving"]))
            for m in wanted
        ]
        assert told["near"] == misses
    elif key == "redeemed":
        assert told[key] == [(offer, int(n), cents(paid)) for offer, n, paid in wanted]
    elif key == "refunds":
        assert told[key] == [cents(refund) for refund in wanted]
    elif key == "referrals":
        assert told[key] == [(offer, purse, int(points)) for offer, purse, points in wanted]
    elif key == "issued":
        assert [(offer, opens, last) for offer, opens, _, last in told[key]] == [
            (offer, opens, int(last)) for offer, opens, last in wanted
        ]
    elif key == "redeem_refused":
        assert told[key] == [(offer, outcome) for offer, outcome in wanted]
    elif key == "coupon_refused":
        assert {at: told[key].get(int(at)) for at in wanted} == wanted
    elif key in ("progress", "wallet_uses", "balances"):
        assert {name: told[key].get(name, 0) for name in wanted} == by_key(int, wanted)
    elif key in ("optimality", "tier"):
        assert told[key] == wanted
    elif key in ("table", "held"):
        pass  # of the authorisation: check_table
    elif key == "forgone":
        assert told[key] == cents(wanted)
    else:
        assert told["totals"][key] == cents(wanted), key


@pytest.mark.parametrize("example", EXAMPLES, ids=IDS)
def test_the_slow_twin_decides_as_the_page_says(example: Example) -> None:
    check(example.written["expect"], by_oracle(decide_example(example, SAMPLE)))


@pytest.mark.parametrize("example", EXAMPLES, ids=IDS)
def test_the_engine_decides_as_the_page_says(
    example: Example, shared: EngineFixture, tmp_path: Path
) -> None:
    if {"before", "stopped", "authorise"} & example.written.keys():
        told = ask_engine(example, SAMPLE, tmp_path)
    else:
        shared.change_program(example.program(SAMPLE))
        told = by_engine(shared.quote(example.basket))
    check(example.written["expect"], told)
    assert differences(by_oracle(decide_example(example, SAMPLE)), told) == []


def test_every_rule_has_an_example() -> None:
    shown = {rule for example in EXAMPLES for rule in example.rules}
    rules = set(rules_of_page())
    assert rules - shown == set()
    assert shown - rules == set()


def test_a_wrong_expectation_is_seen() -> None:
    told = by_oracle(decide_example(EXAMPLES[0], SAMPLE))
    check({"lines": {"1": "0.01"}}, told)
    with pytest.raises(AssertionError):
        check({"lines": {"1": "0.02"}}, told)
