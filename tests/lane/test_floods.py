"""Every ceiling that a hostile peer can reach closes that connection, is counted, and hurts nobody.

One good lane stays connected throughout and is answered after each of them.
"""

from itertools import islice

import grpc
import pytest
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from checklane.v1 import checkout_pb2
from tests.lane.raw import GREETING, STREAM_PATH, Peer, ends, message, metrics, wait_until
from tests.server.hostile_requests import basket, identify

CALM = 11  # ENHANCE_YOUR_CALM


@pytest.fixture(scope="module")
def good_lane(served):
    with grpc.insecure_channel(served.lane_address) as channel:
        yield channel.unary_unary("/checklane.v1.CheckoutService/IdentifyMember")


def assert_cut(served, good_lane, reason, attack):
    """Run an attack; the connection must end, be counted under its reason, and nobody else mind."""
    before = ends(served, reason)
    with Peer(served.lane_address) as peer:
        peer.is_acknowledging = False
        attack(peer)
        code = peer.end()
    wait_until(lambda: ends(served, reason) == before + 1)
    assert good_lane(identify().SerializeToString(), timeout=20)
    return code


def test_settings(served, good_lane):
    frame = SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 65535})
    attack = lambda peer: peer.send(*[frame] * 500)  # noqa: E731
    assert assert_cut(served, good_lane, "settings_flood", attack) in (CALM, None)


def test_pings(served, good_lane):
    def attack(peer):
        # As many as are allowed, in one read, are answered; the library's own ceiling is lower.
        peer.send(*[PingFrame(0, b"12345678")] * 1500)
        answers = (frame for frame in peer.frames() if isinstance(frame, PingFrame))
        assert len(list(islice(answers, 1500))) == 1500
        peer.send(*[PingFrame(0, b"12345678")] * 9000)

    assert_cut(served, good_lane, "ping_flood", attack)


def test_rapid_reset(served, good_lane):
    def attack(peer):
        for number in range(3000):
            stream = 2 * number + 1
            peer.send(peer.headers(stream), RstStreamFrame(stream, error_code=8))

    assert_cut(served, good_lane, "rapid_reset", attack)


def test_continuations(served, good_lane):
    def attack(peer):
        head = HeadersFrame(1, peer.encoder.encode([(":method", "POST")]))
        peer.send(head, *[ContinuationFrame(1, b"")] * 40)

    assert_cut(served, good_lane, "continuation_flood", attack)


def test_header_bytes_as_sent(served, good_lane):
    def attack(peer):
        head = HeadersFrame(1, peer.encoder.encode([("x", "y" * 30_000)], huffman=False)[:16_000])
        peer.send(head, *[ContinuationFrame(1, b"z" * 8_000)] * 3)

    assert_cut(served, good_lane, "header_bytes", attack)


def test_header_bytes_unpacked(served, good_lane):
    def attack(peer):
        fields = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")]
        frame = HeadersFrame(1, peer.encoder.encode(fields + [("x-long", "y" * 1000)] * 40))
        frame.flags.add("END_HEADERS")
        assert len(frame.data) < 4000
        peer.send(frame)

    assert_cut(served, good_lane, "header_bytes", attack)


def test_empty_frames(served, good_lane):
    def attack(peer):
        peer.send(peer.headers(1), *[DataFrame(1, b"")] * 9000)

    assert_cut(served, good_lane, "empty_frame_flood", attack)


def test_priorities(served, good_lane):
    frame = PriorityFrame(1, depends_on=3, stream_weight=1)
    assert_cut(served, good_lane, "empty_frame_flood", lambda peer: peer.send(*[frame] * 9000))


def test_more_calls_than_agreed(served, good_lane):
    def attack(peer):
        peer.send(*[peer.headers(2 * number + 1) for number in range(40)])

    assert_cut(served, good_lane, "calls", attack)


def test_requests_that_do_not_end(served, good_lane):
    """16 calls of 256 KiB are half of the memory that a connection may take: cut as slow."""

    def attack(peer):
        peer.send(peer.headers(1), peer.data(1, message(b"x" * 100)[:50], end=False))

    assert_cut(served, good_lane, "slow_request", attack)


@pytest.mark.parametrize(
    "sent", [b"", GREETING[:10], GREETING + SettingsFrame(0).serialize()[:4]], ids=len
)
def test_a_greeting_that_does_not_end(served, good_lane, sent):
    before = ends(served, "slow_request")
    with Peer(served.lane_address, is_greeting=False) as peer:
        peer.is_acknowledging = False
        peer.send_bytes(sent)
        peer.end()
    assert ends(served, "slow_request") == before + 1


def test_headers_that_do_not_end(served, good_lane):
    def attack(peer):
        peer.send(HeadersFrame(1, peer.encoder.encode([(":method", "POST")])))

    assert_cut(served, good_lane, "slow_request", attack)


def test_a_lane_that_does_not_open_its_window(served, good_lane):
    def attack(peer):
        peer.send(SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 0}))
        peer.call(1, b"", "/grpc.health.v1.Health/Check")

    assert_cut(served, good_lane, "not_reading", attack)


def test_a_lane_that_does_not_read(served, good_lane):
    """Answers fill the socket; then the lane is paused, and cut after a while."""
    before, paused = ends(served, "not_reading"), metrics(served)["checklane_lane_paused_total"]
    with Peer(served.started["lanes"][1]) as peer:
        peer.send(
            SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 2**31 - 1}),
            WindowUpdateFrame(0, window_increment=2**30),
        )
        quote = checkout_pb2.QuoteBasketRequest(basket=basket(30), explain=True)
        request = checkout_pb2.StreamLaneRequest(request_id=1, quote_basket=quote)
        size = len(message(request.SerializeToString()))
        for stream in range(1, 31, 2):
            peer.send(peer.headers(stream, STREAM_PATH))
            for number in range(1, 60_000 // size):
                request.request_id = number
                content = message(request.SerializeToString())
                peer.send(peer.data(stream, content, end=False))
        wait_until(lambda: ends(served, "not_reading") == before + 1)
    assert metrics(served)["checklane_lane_paused_total"] > paused
    assert good_lane(identify().SerializeToString(), timeout=20)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: lane\r\n\r\n",
        GREETING + b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        GREETING + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
        GREETING + SettingsFrame(0).serialize() + b"\x00\x00\x01\x01\x05\x00\x00\x00\x02\x82",
    ],
    ids=["HTTP/1", "window 0", "frame too large", "even stream"],
)
def test_no_http(served, good_lane, data):
    before = ends(served, "protocol")
    with Peer(served.lane_address, is_greeting=False) as peer:
        peer.send_bytes(data)
        peer.end()
    wait_until(lambda: ends(served, "protocol") == before + 1)
    assert good_lane(identify().SerializeToString(), timeout=20)
