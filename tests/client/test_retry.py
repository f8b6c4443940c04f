"""What is sent again, with the same key, and for how long."""

import asyncio
import random
from concurrent import futures

import grpc
import pytest

from checklane import errors
from checklane.client import AsyncLane, Basket, Lane, Policy, ReturnLine
from checklane.client.retry import Attempts, is_retryable
from checklane.v1 import checkout_pb2

RETRYABLE = {
    "ENGINE_CLOSED",
    "QUEUE_FULL",
    "MEMTABLE_FULL",
    "DEADLINE_PASSED",
    "LANES_BUSY",
}
POLICY = Policy(first_wait_ms=1, longest_wait_ms=4, change_budget_ms=20_000)


class FakeClock:
    """Time that only moves when somebody sleeps."""

    def __init__(self):
        self.now_s = 1000.0
        self.slept_s = []

    def unix_ms(self):
        return 1_767_225_600_000 + int(self.now_s * 1000)

    def monotonic_s(self):
        return self.now_s

    def sleep(self, duration_s):
        self.slept_s.append(duration_s)
        self.now_s += duration_s


class FlakyServer:
    """Fails as a test says, then answers; remembers what it was sent."""

    def __init__(self):
        self.failures = []
        self.sent = []
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        self.server.add_generic_rpc_handlers((self,))
        port = self.server.add_insecure_port("127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        self.server.start()

    def service(self, handler_call_details):
        method = handler_call_details.method.rpartition("/")[2]
        request_class = getattr(checkout_pb2, f"{method}Request")
        response_class = getattr(checkout_pb2, f"{method}Response")

        def handle(data, context):
            self.sent.append(request_class.FromString(data))
            if self.failures:
                self.fail(context, self.failures.pop(0))
            return response_class().SerializeToString()

        return grpc.unary_unary_rpc_method_handler(handle)

    def fail(self, context, failure):
        if isinstance(failure, grpc.StatusCode):
            context.abort(failure, "lost on the way")
        packed = errors.to_rpc_status(errors.refuse(failure)).SerializeToString()
        context.set_trailing_metadata(((errors.DETAILS_KEY, packed),))
        code = errors.REFUSALS[failure].grpc_code
        context.abort(next(c for c in grpc.StatusCode if c.value[0] == code), failure)


@pytest.fixture
def server():
    server = FlakyServer()
    yield server
    server.server.stop(0).wait()


@pytest.fixture
def lane(server):
    with Lane(server.address, store="101", till="3", policy=POLICY) as lane:
        yield lane


def basket():
    return Basket().add("4006381333931", count=2, amount="3.98")


@pytest.mark.parametrize(
    "failure",
    [
        "QUEUE_FULL",
        "ENGINE_CLOSED",
        "MEMTABLE_FULL",
        "DEADLINE_PASSED",
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    ],
)
def test_a_commit_is_sent_again_with_the_same_key(server, lane, failure):
    server.failures = [failure, failure]
    receipt = lane.commit(basket(), sequence=1)
    keys = {request.context.idempotency_key for request in server.sent}
    assert keys == {receipt.key}
    assert [request.context.attempt for request in server.sent] == [0, 1, 2]
    first, *others = server.sent
    for request in others:
        request.context.attempt = first.context.attempt
        request.context.sent_time_unix_ms = first.context.sent_time_unix_ms
        assert request == first


@pytest.mark.parametrize("reason", sorted(set(errors.REFUSALS) - RETRYABLE))
def test_a_refusal_of_the_request_is_told_at_once(server, lane, reason):
    server.failures = [reason]
    with pytest.raises(errors.REFUSALS[reason].error_class) as caught:
        lane.commit(basket(), sequence=1, key="key-1")
    assert (caught.value.reason, caught.value.idempotency_key) == (reason, "key-1")
    assert len(server.sent) == 1


def test_the_table_of_what_is_retryable():
    found = {reason for reason in errors.REFUSALS if is_retryable(errors.refuse(reason))}
    assert found == RETRYABLE
    assert not is_retryable(errors.InternalError("INTERNAL", "told", "", 13))
    assert is_retryable(errors.InternalError("", "lost", "", 13))


def test_every_change_has_a_new_key_unless_it_is_given(server, lane):
    lane.commit(basket(), sequence=1)
    lane.commit(basket(), sequence=2)
    lane.void(sequence=1)
    lane.return_items(
        ReturnLine(1, 1), original_sequence=2, original_date=20260131, sequence=3, key="mine"
    )
    keys = [request.context.idempotency_key for request in server.sent]
    assert len(set(keys)) == 4
    assert keys[3] == "mine"


def test_a_quote_has_no_key_and_names_the_till(server, lane):
    lane.quote(basket())
    (request,) = server.sent
    assert request.context.idempotency_key == ""
    assert (request.basket.store_id, request.basket.till_id) == ("101", "3")


def test_waits_grow_are_spread_and_end_with_the_budget():
    clock = FakeClock()
    policy = Policy(first_wait_ms=20, longest_wait_ms=100)
    attempts = Attempts(policy, clock, random.Random(7), 250, 1_000)
    error = errors.refuse("QUEUE_FULL")
    timeouts = []

    def keep_on():
        for timeout_s in attempts:
            timeouts.append(timeout_s)
            clock.sleep(attempts.wait_s(error))

    with pytest.raises(errors.BusyError) as caught:
        keep_on()
    assert caught.value is error
    bounds = [min(20 * 2**n, 100) / 1000 for n in range(len(clock.slept_s))]
    assert len(bounds) > 8
    for wait_s, bound_s in zip(clock.slept_s, bounds, strict=True):
        assert bound_s / 2 <= wait_s <= bound_s
    assert sum(clock.slept_s) <= 1.0
    assert timeouts[0] == 0.25
    assert timeouts[-1] < 0.25
    assert all(timeout_s > 0 for timeout_s in timeouts)


def test_two_tills_do_not_wait_in_step():
    def waits(seed):
        clock = FakeClock()
        attempts = Attempts(Policy(), clock, random.Random(seed), 250, 1_000)
        return [attempts.wait_s(errors.refuse("QUEUE_FULL")) for _ in range(4)]

    assert waits(1) == waits(1)
    assert waits(1) != waits(2)


def test_a_server_that_is_not_there_is_unavailable(server):
    server.server.stop(0).wait()
    policy = Policy(first_wait_ms=1, longest_wait_ms=2, change_budget_ms=500)
    # The last attempt gets what is left of the budget: it may end by its own deadline.
    with (
        Lane(server.address, store="101", till="3", policy=policy) as lane,
        pytest.raises((errors.UnavailableError, errors.DeadlineError)) as caught,
    ):
        lane.commit(basket(), sequence=1)
    assert caught.value.reason == ""
    assert caught.value.idempotency_key


def test_the_asyncio_lane_does_the_same(server):
    async def work():
        lane = AsyncLane(server.address, store="101", till="3", policy=POLICY)
        async with lane:
            server.failures = ["QUEUE_FULL"]
            receipt = await lane.commit(basket(), sequence=1)
            assert [request.context.attempt for request in server.sent] == [0, 1]
            assert {request.context.idempotency_key for request in server.sent} == {receipt.key}
            await lane.identify("9876543210")
            await lane.quote(basket())
            await lane.void(original_key=receipt.key)
            line = ReturnLine(1)
            await lane.return_items(line, original_sequence=1, original_date=20260131, sequence=2)
            server.failures = ["STORE_UNKNOWN"]
            with pytest.raises(errors.NotFoundError):
                await lane.quote(basket())

    asyncio.run(work())


def test_both_lanes_have_the_same_methods():
    def public(kind):
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(Lane) == public(AsyncLane)
