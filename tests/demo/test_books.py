"""The replay over a service that keeps its promises, and over one that breaks them."""

import numpy as np
import pytest

from checklane.demo.lane import METHODS, Manner, quote_sizes
from checklane.demo.reconcile import audit
from checklane.demo.replay import lanes_of, plan_replay, read_acks, replay
from tests.demo.fake_service import CHEATS, FakeService

BASKETS = 60
LANES = 4


def run(dataset, folder, service, *, worker_count=1, every_scan=False, seed=1):
    plan = plan_replay(dataset, folder / "plan", basket_count=None, lane_count=LANES, seed=seed)
    manner = Manner(service.address, seed, every_scan=every_scan, patience_s=10)
    outcome = replay(plan, manner, worker_count)
    acks = read_acks(plan)
    return outcome, acks, audit(service.address, folder / "data", acks)


def test_the_books_of_an_honest_service_agree(dataset, tmp_path):
    with FakeService(tmp_path / "data") as service:
        outcome, acks, found = run(dataset, tmp_path, service, worker_count=2)
    assert found.differences == []
    tally = outcome.tally
    assert tally.baskets == tally.commits == tally.commits_like_quote == BASKETS
    assert len(acks) == tally.commits + tally.voids + tally.returns
    assert found.told.purse_sums() == found.accounts.purse_sums()
    assert found.told.purse_sums()[0] > 0
    assert sum(outcome.histograms[method].get_total_count() for method in METHODS) == (
        tally.baskets + tally.quotes + len(acks)
    )


def test_lost_answers_are_asked_for_again(dataset, tmp_path):
    with FakeService(tmp_path / "data", lose_answers=True) as service:
        outcome, _, found = run(dataset, tmp_path, service)
    assert outcome.tally.retries > 0
    assert found.differences == []


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_broken_promise_is_seen(dataset, tmp_path, cheat):
    lose = cheat == "answer given anew"
    with FakeService(tmp_path / "data", cheat, lose_answers=lose) as service:
        _, _, found = run(dataset, tmp_path, service)
    assert found.differences != []


def test_the_same_seed_sends_the_same(dataset, tmp_path):
    sums = []
    for number, seed in enumerate((4, 4, 5)):
        folder = tmp_path / str(number)
        with FakeService(folder / "data") as service:
            outcome, acks, _ = run(dataset, folder, service, seed=seed)
        sums.append((outcome.tally.voids, outcome.tally.returns, sorted(acks["due_minor"])))
    assert sums[0] == sums[1]
    assert sums[0] != sums[2]


def test_every_scan_is_a_quote(dataset, tmp_path):
    with FakeService(tmp_path / "data") as service:
        outcome, _, _ = run(dataset, tmp_path, service, every_scan=True)
    assert outcome.tally.quotes == outcome.tally.lines


@pytest.mark.parametrize(
    ("lines", "sizes"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (10, [4, 7, 10])]
)
def test_quotes_come_at_thirds(lines, sizes):
    assert list(quote_sizes(lines, every_scan=False)) == sizes


def test_a_household_keeps_its_lane(dataset):
    lanes = lanes_of(dataset.baskets["household"], LANES)
    by_household = {}
    for household, lane in zip(dataset.baskets["household"], lanes, strict=True):
        assert by_household.setdefault(int(household), int(lane)) == lane
    assert set(by_household.values()) <= set(range(LANES))
    assert len(set(by_household.values())) > 1


def test_a_sample_has_whole_households(dataset, tmp_path):
    plan = plan_replay(dataset, tmp_path, basket_count=20, lane_count=LANES, seed=1)
    chosen = np.load(plan.folder / "baskets.npy")
    assert plan.basket_count == len(chosen) == 20
    assert (np.diff(chosen["opened_unix_ms"]) >= 0).all()
    full = {
        household: int((dataset.baskets["household"] == household).sum())
        for household in set(chosen["household"].tolist())
    }
    cut = [h for h, count in full.items() if (chosen["household"] == h).sum() < count]
    assert len(cut) <= 1
