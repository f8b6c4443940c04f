"""What stands beside the lane port decides alike, and commits what ours commits."""

import pytest

from checklane.bench.figures import BenchError
from checklane.bench.load.chart import Bars, bar_chart
from checklane.bench.load.requests import COMMIT, METHODS, commit_body, engine_call
from checklane.bench.peers import contest, team
from checklane.bench.world import QUICK, make_baskets, make_world, opened
from checklane.v1 import checkout_pb2
from tests.bench.canned import answering


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    world = make_world(tmp_path_factory.mktemp("contest"), QUICK, 1)
    baskets = [basket.message for basket in make_baskets("peers", 40, seed=1, members=40)]
    with opened(world, world.usual, sessions=2) as engine:
        call = engine_call(engine)
        facts = [contest.facts_of(call("QuoteBasket", contest.quote_bytes(b))) for b in baskets]
        yield baskets, facts


def in_python(basket):
    answer = checkout_pb2.QuoteBasketResponse(decision=team.Rules().decide(basket))
    return answer.SerializeToString()


def test_the_rules_in_python_find_what_the_engine_finds(shop):
    baskets, facts = shop
    assert [contest.facts_of(in_python(basket)) for basket in baskets] == facts
    # Every kind of offer gave something somewhere.
    given = [0] * 10
    for basket, found in zip(baskets, facts, strict=True):
        for line, off in zip(basket.lines, found, strict=False):
            given[int(line.product_code[-4:]) % 10] += off
    assert min(given) > 0


def test_a_sale_is_bound_to_its_key_its_receipt_and_its_member(shop):
    (basket, other), _ = shop[0][:2], shop[1]
    sent = commit_body(basket)

    def sale_of(raw):
        return team.sale_of(checkout_pb2.CommitTransactionRequest.FromString(raw), raw)[0]

    one, again, next_one = (sale_of(sent.numbered(number)) for number in (1, 1, 2))
    assert one == again
    assert one.key != next_one.key
    assert one.receipt != next_one.receipt
    assert (one.content, one.account) == (next_one.content, next_one.account)
    assert sale_of(commit_body(other).numbered(1)).account != one.account
    answer = checkout_pb2.CommitTransactionResponse.FromString(one.response)
    assert answer.outcome == checkout_pb2.COMMIT_OUTCOME_POSTED
    assert one.points == answer.decision.earned[0].points > 0


def test_who_decides_otherwise_is_not_compared(shop):
    baskets, facts = shop
    # Quotes are asked first, then commits.
    is_commit = [False] * 16 + [True] * 16 + [False]

    def answer(raw, context):
        if is_commit.pop(0):
            return in_python(checkout_pb2.CommitTransactionRequest.FromString(raw).basket)
        return in_python(checkout_pb2.QuoteBasketRequest.FromString(raw).basket)

    class Serials:
        def take(self, count):
            return count

    with answering(answer) as options:
        address = f"127.0.0.1:{options.port}"
        found = contest.their_scripts(address, baskets[:16], facts[:16], Serials())
        assert found["commit", 1].requests[0].method == COMMIT
        with pytest.raises(BenchError, match="otherwise"):
            contest.their_scripts(address, baskets[:16], facts[1:17], Serials())
    assert METHODS[COMMIT].name == "commit"


def test_bars_tell_their_ratio():
    text = bar_chart([Bars("quotes", [("ours", 100.0), ("theirs", 25.0)])], "a second", "a machine")
    assert text.count("<rect") == 2
    assert "25, 1 / 4.0" in text
    assert "a machine" in text
