"""The server is killed in the middle of a replay; the lanes go on, and the books still agree."""

from random import Random

import pytest

from checklane.demo.data import read_dataset
from checklane.demo.feeds import write_feeds
from checklane.demo.lane import Manner
from checklane.demo.prepare import prepare
from checklane.demo.program import write_program
from checklane.demo.reconcile import audit
from checklane.demo.replay import plan_replay, read_acks, replay
from checklane.demo.serving import Server
from tests.demo.small_tables import write_tables

BASKETS = 900
KILLS = 3
LANES = 8


class Killer:
    """Kills the server when so many baskets were served, and starts it again."""

    def __init__(self, server, seed):
        self.server = server
        self.points = sorted(Random(seed).sample(range(BASKETS // 20, BASKETS * 8 // 10), KILLS))
        self.served = 0
        self.kills = 0

    def advance(self, count):
        self.served += count
        if self.points and self.served >= self.points[0]:
            # Points that lie close together make one kill.
            self.points = [point for point in self.points if point > self.served]
            self.kills += 1
            self.server.kill()
            self.server.start()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return read_dataset(write_tables(tmp_path_factory.mktemp("tables"), basket_count=BASKETS))


@pytest.mark.parametrize("seed", [1, 2])
def test_the_books_agree_after_kills(dataset, tmp_path, seed):
    data = tmp_path / "data"
    feeds = write_feeds(dataset, tmp_path / "feeds")
    prepare(feeds, write_program(dataset, tmp_path / "program"), data, lambda _: None)
    plan = plan_replay(dataset, tmp_path / "plan", basket_count=None, lane_count=LANES, seed=seed)
    with Server(data, tmp_path / "server.log") as server:
        killer = Killer(server, seed)
        outcome = replay(plan, Manner(server.address, seed), 1, killer.advance)
        found = audit(server.address, data, read_acks(plan))
        server.stop()
    assert killer.kills > 0
    assert outcome.tally.retries > 0
    assert outcome.tally.refusals == {}
    assert outcome.tally.commits == BASKETS
    assert found.differences == []
