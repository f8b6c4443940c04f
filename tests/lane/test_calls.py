"""Single calls: framing over any split, deadlines, cancellation, refusals of the port's own."""

import struct

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hyperframe.frame import RstStreamFrame, SettingsFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lane.raw import GREETING, QUOTE_PATH, Peer, ends, message, metrics, wait_until
from tests.server.hostile_requests import commit, identify, receipt
from tests.server.serving import last_lsn

IDENTIFY = "/checklane.v1.CheckoutService/IdentifyMember"
COMMIT = "/checklane.v1.CheckoutService/CommitTransaction"


@pytest.fixture
def peer(served):
    with Peer(served.lane_address) as peer:
        yield peer


def sale(sequence, key=""):
    request = commit()
    request.context.idempotency_key = key or f"call-{sequence}"
    request.receipt.CopyFrom(receipt(sequence))
    return request.SerializeToString()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_split(served, data):
    """Bytes cut anywhere, and the message spread over frames of any size, empty ones included."""
    body = message(identify().SerializeToString())
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    parts = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    with Peer(served.lane_address, is_greeting=False) as peer:
        frames = [peer.headers(1, IDENTIFY), *(peer.data(1, part, end=False) for part in parts)]
        stream = GREETING + SettingsFrame(0).serialize()
        stream += b"".join(frame.serialize() for frame in frames)
        stream += peer.data(1, b"").serialize()
        at = 0
        for cut in sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6))):
            peer.send_bytes(stream[at:cut])
            at = cut
        peer.send_bytes(stream[at:])
        headers, answer, trailers = peer.answer(1)
    assert (headers[":status"], headers["content-type"]) == ("200", "application/grpc")
    assert trailers["grpc-status"] == "0"
    assert struct.unpack(">BI", answer[:5]) == (0, len(answer) - 5)


def test_many_calls_in_one_write(peer):
    frames = []
    for number in range(16):
        stream = 2 * number + 1
        frames += [
            peer.headers(stream, IDENTIFY),
            peer.data(stream, message(identify().SerializeToString())),
        ]
    peer.send(*frames)
    assert peer.ended(16) == {2 * number + 1 for number in range(16)}


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"method": "GET"}, "HTTP 405"),
        ({"content_type": "application/json"}, "HTTP 415"),
        ({"content_type": "application/grpcfoo"}, "HTTP 415"),
        ({"content_type": "application/grpc+proto"}, "0"),
        ({"grpc_timeout": "soon"}, "13"),
        ({"grpc_timeout": "1000000000S"}, "13"),
        ({"grpc_timeout": "0n"}, "4"),
        ({"grpc_timeout": "99999999H"}, "0"),
    ],
)
def test_headers(peer, more, status):
    peer.call(1, identify().SerializeToString(), IDENTIFY, **more)
    assert peer.status(1) == status


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", "12"),
        (message(b"") * 2, "12"),
        (message(b"abc")[:6], "13"),
        (b"\x00\x00", "13"),
        (b"\x07\x00\x00\x00\x00", "13"),
        (struct.pack(">BI", 0, 2**32 - 1), "3"),
        (struct.pack(">BI", 0, 262_145), "3"),
    ],
    ids=["none", "two", "cut off", "no prefix", "no flag", "huge", "too large"],
)
def test_framing(peer, body, status):
    peer.send(peer.headers(1, QUOTE_PATH), peer.data(1, body))
    assert peer.status(1) == status


def test_the_largest_message(served):
    """262,144 bytes are read, whatever is in them; the window opens as they come."""
    with grpc.insecure_channel(served.lane_address) as channel:
        call = channel.unary_unary(QUOTE_PATH)
        for size, reason in ((262_144, "REQUEST_MALFORMED"), (262_145, "REQUEST_TOO_LARGE")):
            with pytest.raises(grpc.RpcError) as caught:
                call(b"\xff" * size, timeout=30)
            assert reason in str(dict(caught.value.trailing_metadata()))


def test_an_answer_that_was_given_early_ends_the_upload(peer):
    """Refused by its headers: the rest of the request is not waited for."""
    peer.send(peer.headers(1, "/a.B/C"))
    assert peer.status(1) == "12"
    assert any(isinstance(frame, RstStreamFrame) for frame in peer.frames())


def test_a_cancelled_change_is_entered_once(served, peer):
    """The lane has gone; the sale is there, and its repeat gets the first answer."""
    before = last_lsn(served.address)
    peer.send(
        peer.headers(1, COMMIT),
        peer.data(1, message(sale(801))),
        RstStreamFrame(1, error_code=8),
    )
    wait_until(lambda: last_lsn(served.address) == before + 1)
    peer.call(3, sale(801), COMMIT)
    first = peer.answer(3)[1]
    peer.call(5, sale(801), COMMIT)
    assert peer.answer(5)[1] == first
    assert last_lsn(served.address) == before + 1
    wait_until(lambda: metrics(served)["checklane_lane_changes"] == 0)


def test_a_lane_that_leaves_with_changes_under_way(served):
    before, left = last_lsn(served.address), ends(served, "peer")
    with Peer(served.lane_address) as peer:
        for number in range(8):
            peer.call(2 * number + 1, sale(820 + number), COMMIT)
    wait_until(lambda: ends(served, "peer") == left + 1)
    wait_until(lambda: metrics(served)["checklane_lane_changes"] == 0)
    assert metrics(served)["checklane_lane_parked"] == 0
    # What the writer had is entered; what waited in line is not begun.
    assert before < last_lsn(served.address) <= before + 8


def test_more_changes_than_places_wait_in_line(served):
    """Two places a thread and sixteen changes: fourteen are parked, all are answered."""
    before = last_lsn(served.address)
    with Peer(served.lane_address) as peer:
        for number in range(16):
            peer.call(2 * number + 1, sale(840 + number), COMMIT)
        peer.ended(16)
    assert last_lsn(served.address) == before + 16


def test_work_whose_time_has_passed_is_not_begun(served, peer):
    before = last_lsn(served.address)
    peer.call(1, sale(860), COMMIT, grpc_timeout="1n")
    headers, _, _ = peer.answer(1)
    assert (headers["grpc-status"], "deadline" in headers["grpc-message"]) == ("4", True)
    assert last_lsn(served.address) == before


def test_a_message_is_percent_encoded(peer):
    peer.send(peer.headers(1, "/größe%/"))
    headers, _, _ = peer.answer(1)
    assert "/gr%C3%B6%C3%9Fe%25/" in headers["grpc-message"]


def test_health(served):
    with grpc.insecure_channel(served.lane_address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in ("", "checklane.v1.CheckoutService", "checklane.v1.MemberService"):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=20)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(service="else"), timeout=20)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        watch = stub.Watch(health_pb2.HealthCheckRequest(service="else"), timeout=20)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


def test_a_socket_of_the_box(served):
    with grpc.insecure_channel(served.started["lanes"][1]) as channel:
        assert channel.unary_unary(IDENTIFY)(identify().SerializeToString(), timeout=20)


def test_a_quiet_lane_is_no_fault(served, peer):
    before = ends(served, "peer")
    peer.call(1, identify().SerializeToString(), IDENTIFY)
    assert peer.status(1) == "0"
    peer.close()
    wait_until(lambda: ends(served, "peer") == before + 1)
