"""StreamLane at the lane port: the management port's rules, and the same answers."""

import contextlib

import grpc
import pytest
from hyperframe.frame import DataFrame, WindowUpdateFrame

from checklane import errors
from checklane.client import Basket, Lane, LaneStream
from checklane.v1 import checkout_pb2
from tests.lane.raw import STREAM_PATH, Peer, message
from tests.server.hostile_requests import (
    BASES,
    ROWS,
    basket,
    commit,
    get_member,
    identify,
    receipt,
    void,
)
from tests.server.serving import last_lsn

FIELD_OF = {
    "IdentifyMember": "identify_member",
    "CommitTransaction": "commit_transaction",
    "VoidTransaction": "void_transaction",
    "ReturnItems": "return_items",
}


def stream(address, requests):
    """Send requests on one stream and return the answers by id, and the status at its end."""
    with grpc.insecure_channel(address) as channel:
        call = channel.stream_stream(STREAM_PATH)(iter(requests), timeout=60)
        answers = [checkout_pb2.StreamLaneResponse.FromString(answer) for answer in call]
        return answers, call.code()


def quote(request_id, lines=1, **more):
    request = checkout_pb2.QuoteBasketRequest(basket=basket(lines))
    return checkout_pb2.StreamLaneRequest(
        request_id=request_id, quote_basket=request, **more
    ).SerializeToString()


def sale(request_id, sequence):
    request = commit()
    request.context.idempotency_key = f"stream-{sequence}"
    request.receipt.CopyFrom(receipt(sequence))
    return checkout_pb2.StreamLaneRequest(
        request_id=request_id, commit_transaction=request
    ).SerializeToString()


def envelopes():
    """Return good and hostile bodies in their envelopes, and envelopes that are none."""
    bodies = [(method, build().SerializeToString()) for method, build in BASES.values()]
    bodies += [(row.method, row.request) for row in ROWS]
    found = []
    for method, body in bodies:
        field = FIELD_OF.get(method.rpartition("/")[2])
        if field is not None:
            number = checkout_pb2.StreamLaneRequest.DESCRIPTOR.fields_by_name[field].number
            head = b"\x08" + varint(len(found) + 1) + varint(number << 3 | 2)
            found.append(head + varint(len(body)) + body)
    two = identify().SerializeToString()
    return [
        *found,
        b"\xff\xff",
        b"",
        b"\x1a\x00",
        b"\x08\x05\x10\x80\x80\x80\x80\x08\x1a\x00",
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x1a\x00",
        b"\x0a\x00\x1a\x00",
        b"\x08\xe7\x07\x18\x00",
        b"\x08\xe7\x07\x1a" + varint(len(two)) + two + b"\x1a" + varint(len(two)) + two,
        b"\x08\xe8\x07\x2a\x00",
        b"\x08\xe9\x07\x1a\x00\x32\x00",
    ]


def varint(value):
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def test_the_same_answers_as_at_the_management_port(served):
    requests = envelopes()
    assert len(requests) > 60
    lane, lane_code = stream(served.lane_address, requests)
    management, management_code = stream(served.address, requests)
    key = lambda answer: answer.SerializeToString()  # noqa: E731
    assert sorted(lane, key=key) == sorted(management, key=key)
    assert lane_code is management_code is grpc.StatusCode.OK


def test_ten_thousand_messages(served):
    answers, code = stream(served.lane_address, (quote(number) for number in range(1, 10_001)))
    assert [answer.request_id for answer in answers] == list(range(1, 10_001))
    assert {answer.WhichOneof("response") for answer in answers} == {"quote_basket"}
    assert code is grpc.StatusCode.OK


def test_changes_among_quotes(served):
    """Two places a thread: changes wait in line, and keep their order on the way to the writer."""
    before = last_lsn(served.address)
    requests = []
    for number in range(100):
        requests += [quote(2 * number + 1), sale(2 * number + 2, 1000 + number)]
    answers, _ = stream(served.lane_address, requests)
    found = {answer.request_id: answer for answer in answers}
    lsns = [found[2 * n + 2].commit_transaction.posting.lsn for n in range(100)]
    assert lsns == list(range(before + 1, before + 101))
    assert sorted(found) == list(range(1, 201))


def test_an_id_that_is_open_is_refused(served):
    with Peer(served.lane_address) as peer:
        peer.send(
            peer.headers(1, STREAM_PATH),
            peer.data(1, message(sale(7, 1200)) + message(sale(7, 1201))),
        )
        _, body, trailers = peer.answer(1)
    assert trailers["grpc-status"] == "0"
    assert b"this request_id is still open" in body


def test_late_work_is_not_begun(served):
    before = last_lsn(served.address)
    requests = [sale(number, 1300 + number) for number in range(1, 60)]
    late = checkout_pb2.StreamLaneRequest.FromString(sale(99, 1399))
    late.timeout_ms = 1
    answers, _ = stream(served.lane_address, [*requests, late.SerializeToString()])
    found = {answer.request_id: answer for answer in answers}
    entered = found[99].WhichOneof("response") == "commit_transaction"
    assert entered or found[99].refusal.reason == "DEADLINE_PASSED"
    assert last_lsn(served.address) == before + 59 + entered


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"\x00\x00", 3), (b"\x01\x00\x00\x00\x01x", 3), (b"\x00\x7f\xff\xff\xff", 3)],
    ids=["cut off", "compressed", "too large"],
)
def test_framing_that_ends_a_stream(served, data, reason):
    with Peer(served.lane_address) as peer:
        peer.send(peer.headers(1, STREAM_PATH), peer.data(1, message(quote(1)) + data))
        _, body, trailers = peer.answer(1)
    assert trailers["grpc-status"] == str(reason)
    assert len(body) > 20


def test_a_window_opens_on_consumption_only(served):
    """A lane that takes no more answers is soon not read any more: nothing piles up."""
    room, sent, number = 65_535, 0, 0
    with Peer(served.lane_address) as peer:
        peer.send(peer.headers(1, STREAM_PATH))
        peer.socket.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            for frame in peer.frames():
                if isinstance(frame, WindowUpdateFrame) and frame.stream_id == 1:
                    room += frame.window_increment
                while number < 5000:
                    content = message(quote(number + 1, 20))
                    if sent + len(content) > room:
                        break
                    peer.send(DataFrame(1, content))
                    sent += len(content)
                    number += 1
    assert 32 < number < 1000


def test_refused_single_calls_name_the_field(served):
    request = void()
    request.context.idempotency_key = ""
    lane = checkout_pb2.StreamLaneRequest(request_id=1, void_transaction=request)
    answers, _ = stream(served.lane_address, [lane.SerializeToString()])
    assert answers[0].refusal.field == "void_transaction.context.idempotency_key"
    assert issubclass(errors.REFUSALS[answers[0].refusal.reason].error_class, errors.RequestError)
    assert get_member().member.member_id


def test_figures_of_now_come_with_the_refusal_wherever_it_comes(served):
    """On both ports: in the status of a call, and in a stream beside the refusal."""
    request = commit()
    request.context.idempotency_key = "changed"
    request.receipt.CopyFrom(receipt(94))
    request.refuse_on_change = True
    request.figures.due_minor = 5
    found = []
    for address in (served.lane_address, served.address):
        with LaneStream(address) as lane, pytest.raises(errors.DecisionChangedError) as caught:
            lane.send("commit_transaction", request).result(60)
        assert caught.value.place == "commit_transaction.figures.due_minor"
        found.append(caught.value.changed)
        with Lane(address, store="S001", till="1") as lane:
            scanned = Basket(opened_time_unix_ms=request.basket.opened_time_unix_ms)
            scanned.add(request.basket.lines[0].product_code, count=1, amount_minor=199)
            sale = {"sequence": 93, "business_date": 20260302, "refuse_on_change": True}
            with pytest.raises(errors.DecisionChangedError) as caught:
                lane.commit(scanned, shown=request.figures, **sale)
        assert caught.value.place == "figures.due_minor"
        found.append(caught.value.changed)
    assert [changed.figures.due_minor for changed in found] == [199] * 4
    assert [[(c.place, c.shown, c.decided) for c in changed.changes] for changed in found] == [
        [("figures.due_minor", 5, 199)]
    ] * 4
