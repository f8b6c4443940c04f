"""StreamLane: any order, bounded, and every way in which a stream ends."""

import queue
import threading

import grpc
import pytest

from checklane import errors
from checklane.client import LaneStream
from checklane.v1 import checkout_pb2

STREAM = "/checklane.v1.CheckoutService/StreamLane"


class Outgoing:
    """Requests of a stream that a test sends when it wants to."""

    def __init__(self):
        self.items = queue.SimpleQueue()

    def __iter__(self):
        return iter(self.items.get, None)

    def send(self, request_id, store="", **fields):
        message = checkout_pb2.StreamLaneRequest(request_id=request_id, **fields)
        message.quote_basket.context.store_id = store
        self.items.put(message.SerializeToString())

    def close(self):
        self.items.put(None)


@pytest.fixture
def outgoing():
    outgoing = Outgoing()
    yield outgoing
    outgoing.close()


@pytest.fixture
def answers(channel, outgoing):
    call = channel.stream_stream(
        STREAM, response_deserializer=checkout_pb2.StreamLaneResponse.FromString
    )(iter(outgoing))
    yield call
    call.cancel()


def store_of(request):
    return checkout_pb2.QuoteBasketRequest.FromString(request).context.store_id


def decision(due_minor=77):
    response = checkout_pb2.QuoteBasketResponse()
    response.decision.totals.due_minor = due_minor
    return response.SerializeToString()


class Gate:
    """Holds calls of store "slow" in the engine until it is opened."""

    def __init__(self, engine):
        self.open = threading.Event()
        self.waiting = threading.Semaphore(0)
        engine.handlers["CheckoutService.QuoteBasket"] = self

    def __call__(self, request):
        if store_of(request) == "slow":
            self.waiting.release()
            assert self.open.wait(30)
        return decision()


def test_answers_come_in_any_order(engine, outgoing, answers):
    gate = Gate(engine)
    outgoing.send(1, "slow")
    assert gate.waiting.acquire(timeout=30)
    outgoing.send(2)
    first = next(answers)
    assert (first.request_id, first.quote_basket.decision.totals.due_minor) == (2, 77)
    gate.open.set()
    assert next(answers).request_id == 1


def test_a_refused_request_does_not_end_the_stream(engine, outgoing, answers):
    engine.handlers["CheckoutService.QuoteBasket"] = lambda request: (
        ("LINE_COUNT_INVALID", "basket.lines[3].count") if store_of(request) else decision()
    )
    outgoing.send(1, "bad")
    refusal = next(answers).refusal
    assert (refusal.code, refusal.reason) == (3, "LINE_COUNT_INVALID")
    assert refusal.field == "quote_basket.basket.lines[3].count"
    assert "send a count" in refusal.message
    outgoing.send(2)
    assert next(answers).WhichOneof("response") == "quote_basket"


def test_bad_envelopes_are_answered(outgoing, answers):
    for data, reason, field in (
        (b"\xff\xff", "REQUEST_MALFORMED", ""),
        (b"", "FIELD_REQUIRED", "request"),
        (b"\x1a\x00", "FIELD_OUT_OF_RANGE", "request_id"),
        (b"\x08\x05\x10\x80\x80\x80\x80\x08\x1a\x00", "FIELD_OUT_OF_RANGE", "timeout_ms"),
    ):
        outgoing.items.put(data)
        refusal = next(answers).refusal
        assert (refusal.reason, refusal.field) == (reason, field)


def test_an_id_that_is_open_is_refused_and_free_afterwards(engine, outgoing, answers):
    gate = Gate(engine)
    outgoing.send(1, "slow")
    assert gate.waiting.acquire(timeout=30)
    outgoing.send(1)
    refusal = next(answers)
    assert (refusal.request_id, refusal.refusal.field) == (1, "request_id")
    gate.open.set()
    assert next(answers).WhichOneof("response") == "quote_basket"
    outgoing.send(1)
    assert next(answers).WhichOneof("response") == "quote_basket"


def test_methods_to_come_are_refused_by_name(outgoing, answers):
    message = checkout_pb2.StreamLaneRequest(request_id=9)
    message.authorize_fuel.context.store_id = "1"
    outgoing.items.put(message.SerializeToString())
    assert next(answers).refusal.reason == "METHOD_NOT_BUILT"


def test_late_work_is_not_begun(engine, outgoing, answers):
    gate = Gate(engine)
    for request_id in range(1, 5):  # as many as there are workers
        outgoing.send(request_id, "slow")
    for _ in range(4):
        assert gate.waiting.acquire(timeout=30)
    outgoing.send(5, timeout_ms=1)
    outgoing.send(6)
    threading.Event().wait(0.05)
    gate.open.set()
    found = {answer.request_id: answer for answer in (next(answers) for _ in range(6))}
    assert found[5].refusal.reason == "DEADLINE_PASSED"
    assert found[6].WhichOneof("response") == "quote_basket"
    assert len(engine.calls) == 5


def test_half_close_answers_what_is_open_first(engine, outgoing, answers):
    gate = Gate(engine)
    outgoing.send(1, "slow")
    assert gate.waiting.acquire(timeout=30)
    outgoing.close()
    gate.open.set()
    assert [answer.request_id for answer in answers] == [1]
    assert answers.code() is grpc.StatusCode.OK


def test_a_lane_that_goes_away_frees_its_slot(channel, engine, service, settings):
    calls = []
    for _ in range(settings.streams):
        outgoing = Outgoing()
        call = channel.stream_stream(STREAM)(iter(outgoing))
        outgoing.send(1)
        next(call)
        calls.append((outgoing, call))
    with pytest.raises(grpc.RpcError) as caught:
        list(channel.stream_stream(STREAM)(iter([]), timeout=5))
    assert errors.from_rpc_error(caught.value).reason == "QUEUE_FULL"
    outgoing, call = calls.pop()
    call.cancel()
    outgoing.close()
    for _ in range(200):
        try:
            assert list(channel.stream_stream(STREAM)(iter([]), timeout=5)) == []
            break
        except grpc.RpcError:
            threading.Event().wait(0.05)
    else:
        pytest.fail("the slot of a cancelled stream was never given back")
    for outgoing, _ in calls:
        outgoing.close()


def test_open_requests_are_bounded(engine, service, outgoing, answers, settings):
    gate = Gate(engine)
    for request_id in range(1, settings.stream_window + 40):
        outgoing.send(request_id, "slow")
    for _ in range(settings.workers):
        assert gate.waiting.acquire(timeout=30)
    (stream,) = service._port._lanes._open
    while stream._open_count < settings.stream_window:
        threading.Event().wait(0.01)
    threading.Event().wait(0.1)
    assert stream._open_count == settings.stream_window
    gate.open.set()
    found = {next(answers).request_id for _ in range(settings.stream_window + 39)}
    assert len(found) == settings.stream_window + 39


def test_a_drain_answers_what_is_open_and_ends_the_stream(engine, service, outgoing, answers):
    gate = Gate(engine)
    outgoing.send(1, "slow")
    assert gate.waiting.acquire(timeout=30)
    stopping = threading.Thread(target=service.stop)
    stopping.start()
    gate.open.set()
    assert next(answers).request_id == 1
    with pytest.raises(grpc.RpcError) as caught:
        next(answers)
    assert errors.from_rpc_error(caught.value).reason == "ENGINE_CLOSED"
    stopping.join(30)
    assert engine.is_closed


def test_the_clients_stream_matches_answers_to_requests(engine, service):
    gate = Gate(engine)
    with LaneStream(service.address) as stream:
        slow = checkout_pb2.QuoteBasketRequest()
        slow.context.store_id = "slow"
        first = stream.send("quote_basket", slow)
        second = stream.send("quote_basket", checkout_pb2.QuoteBasketRequest())
        assert second.result(30).decision.totals.due_minor == 77
        assert not first.done()
        gate.open.set()
        assert first.result(30).decision.totals.due_minor == 77
        refused = stream.send("authorize_fuel", checkout_pb2.AuthorizeFuelRequest())
        with pytest.raises(errors.NotServedError):
            refused.result(30)
