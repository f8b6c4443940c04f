"""UploadTransactions: in the order sent, one item at a time, and every way in which it ends."""

import queue
import threading

import grpc
import pytest

from checklane import errors
from checklane.server.metrics import Metrics
from checklane.server.open_streams import StreamSlots
from checklane.server.uploads import AHEAD_ITEMS_MAX, UploadStreams
from checklane.v1 import checkout_pb2

UPLOAD = "/checklane.v1.CheckoutService/UploadTransactions"
QUOTE = "/checklane.v1.CheckoutService/QuoteBasket"
LATE = "CheckoutService.UploadTransactions"


def item(item_id, till="1"):
    message = checkout_pb2.UploadTransactionsRequest(item_id=item_id)
    message.commit_transaction.context.till_id = till
    return message.SerializeToString()


def entered(request):
    """Answer a sale with its till, so that a test sees which one it was."""
    sale = checkout_pb2.CommitTransactionRequest.FromString(request)
    answer = checkout_pb2.CommitTransactionResponse(receipt_capsule=sale.context.till_id.encode())
    return answer.SerializeToString()


def open_upload(channel, items):
    return channel.stream_stream(
        UPLOAD, response_deserializer=checkout_pb2.UploadTransactionsResponse.FromString
    )(iter(items), timeout=60)


@pytest.fixture(autouse=True)
def sales(engine):
    engine.handlers[LATE] = entered
    return engine


class Gate:
    """Holds items in the engine until it is opened; counts how many are there at once."""

    def __init__(self, engine):
        self.open = threading.Event()
        self.came = threading.Semaphore(0)
        self.most = self._now = 0
        self._lock = threading.Lock()
        engine.handlers[LATE] = self

    def __call__(self, request):
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self.came.release()
        assert self.open.wait(30)
        with self._lock:
            self._now -= 1
        return entered(request)


def test_answers_are_in_the_order_sent_and_a_bad_item_is_named(engine, channel):
    engine.handlers["CheckoutService.VoidTransaction"] = lambda request: ("KEY_REUSED", "context")
    void = checkout_pb2.UploadTransactionsRequest(item_id=3)
    void.void_transaction.reason = "x"
    claim = checkout_pb2.UploadTransactionsRequest(item_id=4)
    claim.claim_transaction.claimed_time_unix_ms = 1
    engine.handlers["CheckoutService.ClaimTransaction"] = lambda request: (
        "CLAIM_NOT_ALLOWED",
        "receipt",
    )
    sent = [item(1, "a"), b"\xff\xff", void.SerializeToString(), claim.SerializeToString(),
            item(0), b"\x08\x07", item(6, "b")]  # fmt: skip
    answers = list(open_upload(channel, sent))
    assert [a.item_id for a in answers] == [1, 0, 3, 4, 0, 7, 6]
    told = [(a.refusal.reason, a.refusal.field) for a in answers]
    assert told == [
        ("", ""),
        ("REQUEST_MALFORMED", ""),
        ("KEY_REUSED", "void_transaction.context"),
        ("CLAIM_NOT_ALLOWED", "claim_transaction.receipt"),
        ("FIELD_OUT_OF_RANGE", "item_id"),
        ("FIELD_REQUIRED", "item"),
        ("", ""),
    ]
    assert answers[0].commit_transaction.receipt_capsule == b"a"
    assert answers[6].commit_transaction.receipt_capsule == b"b"


def test_one_item_at_a_time_of_all_uploads_and_live_calls_go_on(engine, service, channel):
    gate = Gate(engine)
    calls = [open_upload(channel, [item(n, "x") for n in range(1, 9)]) for _ in range(3)]
    assert gate.came.acquire(timeout=30)
    for _ in range(20):
        channel.unary_unary(QUOTE)(b"live", timeout=30)
    assert [name for name, _ in engine.calls].count(LATE) == 1
    gate.open.set()
    for call in calls:
        assert [answer.item_id for answer in call] == list(range(1, 9))
    assert gate.most == 1


def test_a_backlog_waits_at_the_lane(engine, service, settings, channel):
    gate = Gate(engine)
    call = open_upload(channel, (item(number, "x" * 4000) for number in range(1, 301)))
    assert gate.came.acquire(timeout=30)
    (upload,) = service._port._uploads._open
    while len(upload._ahead) < AHEAD_ITEMS_MAX:
        threading.Event().wait(0.01)
    threading.Event().wait(0.1)
    assert len(upload._ahead) == AHEAD_ITEMS_MAX
    gate.open.set()
    assert len(list(call)) == 300


class Turned:
    """A clock that only moves when it is slept on, or an item takes its time."""

    def __init__(self):
        self.now_s = 0.0
        self.slept_s = []

    def unix_ms(self):
        return 0

    def monotonic_s(self):
        return self.now_s

    def sleep(self, duration_s):
        self.slept_s.append(duration_s)
        self.now_s += duration_s


class Answering:
    def __init__(self, clock, times_s):
        self.clock = clock
        self.times_s = iter(times_s)

    def answer(self, name, request):
        self.clock.now_s += next(self.times_s)
        return b""


class Context:
    def add_callback(self, callback):
        return True


def test_an_item_is_followed_by_a_rest_as_long_as_it_took():
    clock = Turned()
    calls = Answering(clock, [0.25, 2.0, 0.5])
    streams = UploadStreams(calls, StreamSlots(1, Metrics(dict)), clock)
    answers = list(streams.handle(iter([item(1), item(2), item(3)]), Context()))
    assert len(answers) == 3
    assert clock.slept_s == [0.25, 2.0, 0.5]


def test_a_drain_answers_the_item_under_way_and_ends_the_stream(engine, service, channel):
    gate = Gate(engine)
    outgoing = queue.SimpleQueue()
    call = open_upload(channel, iter(outgoing.get, None))
    idle = open_upload(channel, iter(queue.SimpleQueue().get, None))
    for number in (1, 2, 3):
        outgoing.put(item(number))
    assert gate.came.acquire(timeout=30)
    stopping = threading.Thread(target=service.stop)
    stopping.start()
    while not service._port._uploads._draining:
        threading.Event().wait(0.01)
    gate.open.set()
    assert next(call).item_id == 1
    for ended in (call, idle):
        with pytest.raises(grpc.RpcError) as caught:
            next(ended)
        assert errors.from_rpc_error(caught.value).reason == "ENGINE_CLOSED"
    stopping.join()
    outgoing.put(None)


def test_uploads_count_as_streams(channel, settings):
    outgoing = [queue.SimpleQueue() for _ in range(settings.streams)]
    calls = [open_upload(channel, iter(one.get, None)) for one in outgoing]
    for one, call in zip(outgoing, calls, strict=True):
        one.put(item(1))
        next(call)
    with pytest.raises(grpc.RpcError) as caught:
        list(open_upload(channel, []))
    assert errors.from_rpc_error(caught.value).reason == "QUEUE_FULL"
    for one in outgoing:
        one.put(None)
