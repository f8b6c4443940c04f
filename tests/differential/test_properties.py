"""What must hold for every basket, whatever the offers: the engine against itself."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.differential.cases import SAMPLE, Cases
from tests.oracle.basket import spread
from tests.oracle.values import scaled
from tests.semantics.examples import Example
from tests.support.engine_fixture import EngineFixture
from tests.support.told import UNSPLIT_TOTALS, Told, by_engine

#: Baskets of each property: 100 where the differential test decides 20,000.
CASES = int(os.environ.get("CHECKLANE_CASES", "20000")) // 200
BASKETS_A_PROGRAM = 4
SEED = int(os.environ.get("CHECKLANE_SEED", "1"))

Basket = dict[str, Any]
Offers = list[dict[str, Any]]
PURSE_KEYS = {"earn", "bonus", "multiply", "redeem", "issue"}
FLOOR_MINOR = 50
#: Mechanics that compete for units and have no threshold.
UNIT_MECHANICS = ("discount", "buy_get", "nth_item", "group_price", "row_prices", "coverage")


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineFixture]:
    program = {**SAMPLE.program, "offers": []}
    directory = tmp_path_factory.mktemp("properties")
    with EngineFixture(directory, program, SAMPLE.catalogue, SAMPLE.members) as found:
        yield found


def each_case(
    engine: EngineFixture, seed: int, change: Callable[[Offers], Offers] = list
) -> Iterator[tuple[Cases, dict[str, Any], Basket]]:
    """Yield random programs with changed offers, live in the engine, each with some baskets.

    No payment names a line: the lines are split and numbered anew here.
    """
    print(f"CHECKLANE_SEED={SEED}: stream {seed}")
    cases = Cases(seed)
    for _ in range(-(-CASES // BASKETS_A_PROGRAM)):
        written = cases.program()
        offers = change(written["offers"])
        program = {**SAMPLE.program, **written, "offers": offers}
        for _ in range(BASKETS_A_PROGRAM):
            engine.change_program(program)
            part = cases.basket(written)
            part |= asked_of(part, {str(offer["id"]) for offer in offers})
            for payment in (*part.get("tenders", []), *part.get("redeem", [])):
                payment.pop("lines", None)
                payment.pop("line", None)
            yield cases, program, Example([], "case", {**written, **part}).basket


def asked_of(basket: dict[str, Any], ids: set[str]) -> dict[str, Any]:
    """Return what a basket asks of some offers: a name that no offer has is refused."""
    return {
        "chosen": [name for name in basket.get("chosen", []) if name in ids],
        "redeem": [one for one in basket.get("redeem", []) if one.get("offer") in {None, *ids}],
    }


def figures(told: Told) -> dict[str, Any]:
    """Return what may not depend on how lines were entered; funders' cents may (S5)."""
    return {
        "totals": {key: told["totals"][key] for key in UNSPLIT_TOTALS},
        "points": told["points"],
        "offers": {offer: part["discount"] for offer, part in told["applied"].items()},
    }


def renumbered(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**line, "id": number} for number, line in enumerate(lines, start=1)]


def split(line: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a line as lines of one unit at its whole prices (B1)."""
    if "pos_discount" in line or int(line["count"]) == 1:
        return [line]
    prices = spread(scaled(line["amount"], 2), int(line["count"]))
    return [{**line, "count": 1, "amount": f"{price // 100}.{price % 100:02}"} for price in prices]


def merged(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return lines of which equal units stand in one line."""
    found: dict[str, dict[str, Any]] = {}
    for line in lines:
        key = str({name: value for name, value in line.items() if name not in ("id", "count")})
        if key in found and not {"pos_discount", "measure"} & set(line):
            count = int(found[key]["count"]) + 1
            cents = scaled(line["amount"], 2) * count
            amount = f"{cents // 100}.{cents % 100:02}"
            found[key] = {**found[key], "count": count, "total": amount}
        else:
            found[f"{key}{'' if key not in found else line['id']}"] = dict(line)
    for line in found.values():
        line["amount"] = line.pop("total", line["amount"])
    return list(found.values())


def ones(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for line in lines for one in split(line)]


def shuffled(cases: Cases, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return cases.random.sample(lines, len(lines))


CHANGES: dict[str, Callable[[Cases, list[dict[str, Any]]], list[dict[str, Any]]]] = {
    "permuted": shuffled,
    "split": lambda cases, lines: ones(lines),
    "split and permuted": lambda cases, lines: shuffled(cases, ones(lines)),
    "merged": lambda cases, lines: merged(renumbered(ones(lines))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_order_and_split_of_lines_change_nothing(engine: EngineFixture, change: str) -> None:
    for cases, _, basket in each_case(engine, SEED + 100 + list(CHANGES).index(change)):
        # A tender that names its lines pays for other goods when they are numbered anew.
        tenders = [{k: v for k, v in t.items() if k != "lines"} for t in basket.get("tenders", [])]
        basket = {**basket, "tenders": tenders}
        told = by_engine(engine.quote(basket))
        other = {**basket, "lines": renumbered(CHANGES[change](cases, basket["lines"]))}
        assert figures(by_engine(engine.quote(other))) == figures(told), (basket, other)


def test_the_same_lines_in_another_order_get_the_same_bytes(engine: EngineFixture) -> None:
    for cases, _, basket in each_case(engine, SEED + 200):
        other = {**basket, "lines": shuffled(cases, basket["lines"])}
        assert by_engine(engine.quote(other)) == by_engine(engine.quote(basket)), basket
        assert engine.quote_bytes(basket) == engine.quote_bytes(basket), basket


def test_an_irrelevant_line_changes_no_discount(engine: EngineFixture) -> None:
    for _, _, basket in each_case(engine, SEED + 300):
        # What pays depends on what is due, and so on every line.
        basket |= {"tenders": [], "redeem": []}
        load = {"id": 99, "code": "", "count": 1, "amount": "5.00", "kind": "gift_card_load"}
        opaque = {"id": 98, "code": "101", "count": 2, "amount": "4.00", "opaque": True}
        told = by_engine(engine.quote(basket))
        more = by_engine(engine.quote({**basket, "lines": [*basket["lines"], load, opaque]}))
        assert more["applied"] == told["applied"], basket
        assert more["points"] == told["points"], basket
        assert more["lines"] == {**told["lines"], 98: 0, 99: 0}, basket


def test_an_irrelevant_offer_changes_nothing(engine: EngineFixture) -> None:
    for _, program, basket in each_case(engine, SEED + 400):
        told = by_engine(engine.quote(basket))
        idle = [
            {"id": "idle0", "discount": {"of": {"items": "999999"}, "percent": 50}},
            {"id": "idle1", "when": {"until": "2026-01-01"}, "discount": {"of": "all", "price": 0}},
        ]
        engine.change_program({**program, "offers": [*program["offers"], *idle]})
        more = by_engine(engine.quote(basket))
        assert more["applied"] == told["applied"], basket
        assert figures(more) == figures(told), basket
        assert more["lines"] == told["lines"], basket


def test_shares_sum_and_nothing_is_below_zero(engine: EngineFixture) -> None:
    for _, _, basket in each_case(engine, SEED + 500):
        told = by_engine(engine.quote(basket))
        amounts = {int(line["id"]): scaled(line["amount"], 2) for line in basket["lines"]}
        for line, amount in amounts.items():
            shares = [part["shares"].get(line, 0) for part in told["applied"].values()]
            assert min([0, *shares]) >= 0, basket
            assert sum(shares) == told["lines"][line] <= amount, basket
            assert told["nets"][line] == amount - told["lines"][line], basket
        for part in told["applied"].values():
            assert sum(part["shares"].values()) == part["discount"], basket
            assert sum(part["funding"].values()) == part["discount"], basket
        totals = told["totals"]
        assert totals["discount"] == sum(told["lines"].values()), basket
        by_class = totals["price_reduction"] + totals["third_party"] + totals["tender"]
        assert by_class == totals["discount"], basket
        assert all(part["points"] > 0 for part in told["points"].values()), basket


def with_floor(offers: Offers) -> Offers:
    """Return offers that all have the same floor; fuel has its own, by unit of measure."""
    floorless = {*PURSE_KEYS, "fuel"}
    return [{**offer, "floor_price": "0.50"} for offer in offers if not floorless & set(offer)]


def test_nothing_goes_below_its_floor(engine: EngineFixture) -> None:
    for _, _, basket in each_case(engine, SEED + 600, with_floor):
        told = by_engine(engine.quote(basket))
        for line in basket["lines"]:
            prices = spread(scaled(line["amount"], 2), int(line["count"]))
            least = sum(min(price, FLOOR_MINOR) for price in prices)
            assert told["nets"][int(line["id"])] >= least, (basket, told["applied"])


def competing_only(offers: Offers) -> Offers:
    """Return the offers that only compete for units: one class, no limits, no thresholds."""
    found = []
    for offer in offers:
        mechanic = next((name for name in UNIT_MECHANICS if name in offer), None)
        if mechanic is not None and not {"steps", "choose"} & set(offer[mechanic]):
            found.append({key: offer[key] for key in ("id", "who", "where", mechanic)
                          if key in offer})  # fmt: skip
    return found


def test_without_an_applied_offer_the_saving_is_no_greater(engine: EngineFixture) -> None:
    for cases, program, basket in each_case(engine, SEED + 700, competing_only):
        told = by_engine(engine.quote(basket))
        if not told["applied"]:
            continue
        gone = cases.pick(*told["applied"])
        rest = [offer for offer in program["offers"] if offer["id"] != gone]
        engine.change_program({**program, "offers": rest})
        asked = asked_of(basket, {str(offer["id"]) for offer in rest})
        less = by_engine(engine.quote({**basket, **asked}))
        # Each offer is rounded once, by half a cent at most.
        most = told["totals"]["discount"] + len(program["offers"])
        assert less["totals"]["discount"] <= most, (program["offers"], basket)


def test_more_of_everything_saves_at_least_as_often(engine: EngineFixture) -> None:
    for _, program, basket in each_case(engine, SEED + 800, competing_only):
        has_measure = any("measure" in line for line in basket["lines"])
        has_limit = any("row_prices" in offer for offer in program["offers"])
        if has_measure or has_limit:
            continue
        cap = program.get("policies", {}).get("basket_discount", {}).get("money")
        once = by_engine(engine.quote(basket))["totals"]["discount"]
        for factor in (2, 5):
            told = by_engine(engine.quote(scaled_basket(basket, factor)))
            # A deal for the basket is one for each of its copies; each offer is rounded once.
            least = factor * (once - len(program["offers"]))
            least = least if cap is None else min(least, scaled(cap, 2))
            assert told["totals"]["discount"] >= least, basket


def scaled_basket(basket: Basket, factor: int) -> Basket:
    """Return a basket with so many times as much of every line."""
    lines = []
    for line in basket["lines"]:
        cents = {key: scaled(line[key], 2) * factor for key in ("amount", "pos_discount")
                 if key in line}  # fmt: skip
        money = {key: f"{part // 100}.{part % 100:02}" for key, part in cents.items()}
        lines.append({**line, "count": int(line["count"]) * factor, **money})
    return {**basket, "lines": lines}


def test_merging_undoes_splitting() -> None:
    lines = [{"id": 1, "code": "101", "count": 3, "amount": "3.00"}]
    apart = renumbered(ones(lines))
    assert [line["amount"] for line in apart] == ["1.00", "1.00", "1.00"]
    assert renumbered(merged(apart)) == lines
