"""A small day with every flow: it adds up, and whatever is noted or answered otherwise is told."""

import copy
from collections import Counter

import pytest
from click.testing import CliRunner

from checklane.cli import main
from checklane.client import Basket, Lane
from checklane.demo.day.account import TillAccount
from checklane.demo.day.books import points_before, reconcile
from checklane.demo.day.plan import Flow, plan_day
from checklane.demo.day.program import write_programs
from checklane.demo.day.run import run_day
from checklane.demo.feeds import write_feeds
from checklane.demo.forecourt import LATE, NEVER, UNDER_RUN
from checklane.demo.lane import Manner
from checklane.demo.prepare import prepare
from checklane.demo.program import write_program
from checklane.demo.replay import plan_replay, read_acks, replay
from checklane.demo.serving import Server

VISITS = 300


@pytest.fixture(scope="module")
def plan(dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    return plan_replay(dataset, folder, basket_count=None, lane_count=2, seed=1)


@pytest.fixture(scope="module")
def served(dataset, plan, tmp_path_factory):
    """Yield a server with a day behind it: (server, data, day, points before the day)."""
    work = tmp_path_factory.mktemp("day")
    data = work / "data"
    feeds = write_feeds(dataset, work / "feeds")
    prepare(feeds, write_program(dataset, work / "program"), data, lambda _: None)
    programs = write_programs(dataset, work / "day")
    with Server(data, work / "server.log", has_lanes=True) as server:
        replay(plan, Manner(server.address, 1), 1)
        before = points_before(read_acks(plan))
        day_plan = plan_day(plan, VISITS, 1)
        day = run_day(server, data, programs, day_plan, before, lambda _: None)
        yield server, data, day, before


def reconciled(served, account):
    server, data, _, before = served
    return reconcile(server.address, data, account, before)


def test_a_seed_tells_the_same_day_again(plan):
    day = plan_day(plan, VISITS, 1)
    assert plan_day(plan, VISITS, 1) == day
    assert plan_day(plan, VISITS, 2) != day
    flows = Counter(visit.flow for visit in day.visits)
    assert flows.keys() == set(Flow)
    assert flows.total() == VISITS
    returns = sum(flows[flow] for flow in Flow if flow.startswith("return"))
    assert 0.01 < returns / VISITS < 0.04
    fills = {visit.flow: visit.fill.how for visit in day.visits if visit.fill}
    assert fills[Flow.FUEL_UNDER_RUN] == UNDER_RUN
    assert fills[Flow.FUEL_NEVER] == NEVER
    assert fills[Flow.FUEL_LATE] == LATE
    homes = {(visit.card, visit.store) for visit in day.visits}
    assert len(homes) == len({card for card, _ in homes})


def test_a_day_with_every_flow_adds_up(served):
    _, _, day, _ = served
    assert day.differences == []
    assert len(day.stores) > 1
    for at in day.dates:
        assert {store for store, date in day.account.sums if date == at} == set(day.stores)
    flows = sum(day.account.flows.values(), Counter())
    assert {flow for flow in Flow if flows[flow] == 0} == set()
    sums = sum(day.account.sums.values(), Counter())
    for name in ("void_count", "return_count", "late_count", "exception_count", "refund_minor"):
        assert sums[name] > 0, name
    for name in ("price_reduction_minor", "third_party_minor", "tender_minor"):
        assert sums[name] > 0, name
    points = sum(day.account.cards.values(), Counter())
    assert points["earned.points"] > 0
    spent = sum(moved["spent.points"] for moved in day.account.cards.values())
    back = sum(moved["reversed.points"] for moved in day.account.cards.values())
    assert spent < 0
    assert back < 0


@pytest.mark.parametrize(
    "name",
    [
        "sale_count", "void_count", "return_count", "late_count", "exception_count",
        "gross_minor", "discount_minor", "refund_minor", "tender_minor", "points.points",
    ],
)  # fmt: skip
def test_an_altered_sum_is_told_with_its_place(served, name):
    account = copy.deepcopy(served[2].account)
    (store, date) = place = max(account.sums)
    account.sums[place][name] += 1
    differences = reconciled(served, account)
    assert differences[0].startswith(f"{name} of {store} on {date}: ")
    # By the server and by the files, and by nothing else.
    assert [text.split(": ")[0] for text in differences] == [f"{name} of {store} on {date}"] * 2


@pytest.mark.parametrize(
    "name", ["sold tender_minor", "sold price_reduction_minor", "voided", "returned"]
)
def test_an_altered_settlement_is_told_with_its_place(served, name):
    account = copy.deepcopy(served[2].account)
    (store, date) = place = max(account.settled)
    account.settled[place][name] -= 1
    (difference,) = reconciled(served, account)
    assert difference.startswith(f"{name} of {store} on {date}: ")
    assert difference.endswith("by the settlement")


def test_points_of_a_card_that_differ_are_told(served):
    account = copy.deepcopy(served[2].account)
    card = max(account.cards, key=lambda card: len(account.cards[card]))
    account.cards[card]["earned.points"] += 1
    differences = reconciled(served, account)
    assert len(differences) == 3
    for whose in ("by the account", "by the liability", "by its statement"):
        assert any(text.endswith(whose) for text in differences), whose


def test_a_date_that_is_taken_to_be_open_is_told(served):
    account = copy.deepcopy(served[2].account)
    store = max(account.closed)
    account.closed[store] = 0
    assert any(f"('{store}', " in text and "closed" in text for text in reconciled(served, account))


def test_a_dropped_answer_is_not_reconciled(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(TillAccount, "take_back", lambda self, sale, answer: None)
    arguments = ["demo", "--lanes", "2", "--data", str(tables), "--work", str(tmp_path / "work")]
    result = CliRunner().invoke(main, [*arguments, "--baskets", "all", "--visits", "30"])
    assert result.exit_code == 1
    assert result.output.rstrip().endswith("reconciled: no")
    assert "difference: refund_minor of store-" in result.output


def test_what_nobody_noted_is_told(served):
    """The last of this file: it leaves a hold and a sale that no account has."""
    server, _, day, _ = served
    card = max(card for card in day.account.cards if card)
    with Lane(server.lane_address, store=day.stores[0], till="1") as lane:
        held = lane.create_hold(card, points=1, purse="points")
        basket = Basket().add("101", kind="SKU", amount_minor=89)
        lane.commit(basket, sequence=9_999, business_date=day.dates[1])
        differences = reconciled(served, day.account)
        lane.release_hold(held.hold.hold_id)
    assert f"card {card}: hold {held.hold.hold_id} is open" in differences
    told = f"{day.stores[0]} on {day.dates[1]}: till 1 lacks receipts "
    assert any(text.startswith(told) and text.endswith(" to 9998") for text in differences)
    assert any(text.startswith(f"sale_count of {day.stores[0]} ") for text in differences)
