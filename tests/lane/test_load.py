"""The ladder under load, and compressed messages.

With a threshold of a microsecond every call counts as late, so each step can be seen on its own.
"""

import gzip
import shutil

import grpc
import pytest

from checklane.v1 import checkout_pb2, common_pb2, decision_pb2
from tests.lane.raw import Peer, message, metrics
from tests.server.hostile_requests import basket, commit, identify, receipt
from tests.server.serving import Server

QUOTE = "/checklane.v1.CheckoutService/QuoteBasket"
COMMIT = "/checklane.v1.CheckoutService/CommitTransaction"
IDENTIFY = "/checklane.v1.CheckoutService/IdentifyMember"
STEPS = ("public_offers", "shelf_price", "refuse")


@pytest.fixture(scope="module", params=STEPS)
def late(request, lane_example, tmp_path_factory):
    """A service at one step of the ladder, and a call to each of its methods."""
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copytree(lane_example, folder / "data")
    flags = []
    for step in STEPS:
        flags += [f"--lane-{step.replace('_', '-')}-us", str(int(step == request.param))]
    server = Server(
        folder / "data", folder / "server.log", "--metrics-listen", "127.0.0.1:0", *flags
    )
    server.start()
    with grpc.insecure_channel(server.lane_address) as channel:
        yield request.param, server, channel
    server.close()


def member_basket():
    found = basket()
    found.lines[0].count, found.lines[0].amount_minor = 3, 597
    found.identifiers.add(kind=common_pb2.IDENTIFIER_KIND_CARD, value="6029000000000001")
    return found


def many(server, path, body):
    """Send sixteen calls in one write: the last has waited for the others."""
    with Peer(server.lane_address) as peer:
        frames = []
        for number in range(16):
            stream = 2 * number + 1
            frames += [peer.headers(stream, path), peer.data(stream, message(body))]
        peer.send(*frames)
        return peer.answer(31)


def test_a_late_quote(late):
    step, server, _ = late
    request = checkout_pb2.QuoteBasketRequest(basket=member_basket(), explain=True)
    headers, body, trailers = many(server, QUOTE, request.SerializeToString())
    if step == "refuse":
        assert headers["grpc-status"] == "8"
        assert "shelf price" in headers["grpc-message"]
        assert metrics(server)['checklane_lane_steps_total{step="refused"}'] > 0
        return
    assert trailers["grpc-status"] == "0"
    assert metrics(server)[f'checklane_lane_steps_total{{step="{step}"}}'] > 0
    decision = checkout_pb2.QuoteBasketResponse.FromString(body[5:]).decision
    level = decision_pb2.DegradedLevel.Value(f"DEGRADED_LEVEL_{step.upper()}")
    assert decision.degraded_level == level
    assert [found.result for found in decision.members] == [decision_pb2.IDENTIFY_RESULT_SKIPPED]
    assert decision.totals.gross_minor == 597
    # Soups are three for two, for everyone.
    expected = 199 if step == "public_offers" else 0
    assert decision.totals.discount_minor == expected


def test_a_change_is_decided_in_full(late):
    _, server, _ = late
    request = commit()
    request.basket.CopyFrom(member_basket())
    request.context.idempotency_key = "late"
    request.receipt.CopyFrom(receipt(77))
    _, body, trailers = many(server, COMMIT, request.SerializeToString())
    assert trailers["grpc-status"] == "0"
    answer = checkout_pb2.CommitTransactionResponse.FromString(body[5:])
    assert answer.decision.degraded_level == decision_pb2.DEGRADED_LEVEL_FULL
    assert answer.decision.totals.discount_minor >= 199
    assert answer.balances


@pytest.mark.parametrize("size", [1, 300])
def test_gzip(served, size):
    """A request that comes compressed is answered so; others are not."""
    request = checkout_pb2.QuoteBasketRequest(basket=basket(size), explain=True)
    with grpc.insecure_channel(served.lane_address) as channel:
        call = channel.unary_unary(QUOTE)
        plain = call(request.SerializeToString(), timeout=20)
        packed = call(request.SerializeToString(), timeout=20, compression=grpc.Compression.Gzip)
    answers = [checkout_pb2.QuoteBasketResponse.FromString(answer) for answer in (plain, packed)]
    assert answers[0].decision.totals == answers[1].decision.totals


def test_gzip_on_the_wire(served):
    body = identify().SerializeToString()
    path = IDENTIFY
    with Peer(served.lane_address) as peer:
        more = {"grpc_encoding": "gzip", "grpc_accept_encoding": "identity,gzip"}
        peer.send(peer.headers(1, path, **more), peer.data(1, message(gzip.compress(body), 1)))
        headers, packed, _ = peer.answer(1)
        assert (headers["grpc-encoding"], packed[0]) == ("gzip", 1)
        peer.call(3, body, path)
        assert peer.answer(3)[1][5:] == gzip.decompress(packed[5:])
        peer.send(peer.headers(5, path, **more), peer.data(5, message(b"no gzip", 1)))
        assert peer.status(5) == "3"
        bomb = gzip.compress(bytes(10_000_000))
        peer.send(peer.headers(7, path, **more), peer.data(7, message(bomb, 1)))
        headers, _, _ = peer.answer(7)
        assert "too large" in headers["grpc-message"]
        peer.send(peer.headers(9, path), peer.data(9, message(body, 1)))
        assert peer.status(9) == "13"
        deflate = peer.headers(11, path, grpc_encoding="deflate")
        peer.send(deflate, peer.data(11, message(body, 1)))
        assert peer.status(11) == "12"


def test_a_compressed_stream(served):
    requests = [
        checkout_pb2.StreamLaneRequest(
            request_id=number, quote_basket=checkout_pb2.QuoteBasketRequest(basket=basket(20))
        ).SerializeToString()
        for number in range(1, 50)
    ]
    with grpc.insecure_channel(served.lane_address) as channel:
        call = channel.stream_stream("/checklane.v1.CheckoutService/StreamLane")
        answers = list(call(iter(requests), timeout=20, compression=grpc.Compression.Gzip))
    assert len(answers) == 49
