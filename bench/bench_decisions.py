"""One decision, quote or commit at a time. In pytest each runs once and is checked, not timed;

    pytest bench/bench_decisions.py --benchmark-enable

times them with pytest-benchmark. The published figures come from `checklane bench`, which runs the
same functions for longer and tells p50, p99 and max.
"""

import itertools

import pytest

from checklane.bench.calls import METHOD_OF, sender
from checklane.bench.evaluator import answers_of, cases
from checklane.bench.figures import checksum
from checklane.bench.loop import Lane, make_goods
from checklane.bench.world import QUICK, make_baskets
from checklane.v1 import checkout_pb2

SEED = 1
#: No two tests commit under one key.
LANES = itertools.count(1)


@pytest.mark.parametrize("case", cases(QUICK.live_offers), ids=lambda case: case.name)
def test_decide(benchmark, world, engine, case):
    engine.activate(str(world.programs[case.live]), None, None)
    baskets = make_baskets(
        "evaluator", 1, seed=SEED, lines=case.lines, block=case.block, count=case.count
    )
    quotes = [basket.quote() for basket in baskets]
    before = checksum(answers_of(engine, quotes))
    times_ns, _ = benchmark(engine.time_decisions, quotes[0], 10)
    assert times_ns.shape == (10,)
    assert (times_ns > 0).all()
    assert checksum(answers_of(engine, quotes)) == before


def test_quote(benchmark, engine):
    (basket,) = make_baskets("quotes", 1, seed=SEED)
    (right,) = answers_of(engine, [basket.quote()])
    assert benchmark(sender(engine, METHOD_OF["quote"]), basket.quote()) == right


def test_durable_commit(benchmark, engine):
    baskets = make_baskets("commits", 1, seed=SEED)
    goods = make_goods(baskets, answers_of(engine, [baskets[0].quote()]))
    lane = Lane("commit", goods, next(LANES), seconds=1.0)
    requests = lane.requests()
    send = sender(engine, METHOD_OF["commit"])
    before = engine.stats()["entries"]
    answer = benchmark(lambda: send(next(requests)[0]))
    posted = checkout_pb2.CommitTransactionResponse.FromString(answer)
    assert posted.outcome == checkout_pb2.COMMIT_OUTCOME_POSTED
    assert posted.decision.totals.discount_minor == goods[0].discount_minor
    assert engine.stats()["entries"] > before
