"""The same request through the lane port and through the management port gives the same bytes.

A change goes to the lane port first: the management port then sees a repeat, whose answer is the
first one's, byte for byte.
"""

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from checklane.v1 import checkout_pb2
from tests.server.hostile_requests import BASES, ROWS, basket, commit, receipt

PACKAGE = "/checklane.v1."
QUOTE = "CheckoutService/QuoteBasket"
METHODS = (*sorted({method for method, _ in BASES.values()}), QUOTE)
MANAGED = ("ProgramService/", "LedgerService/")
#: What lanes call; programs and the ledger are the management port's alone.
LANE_ROWS = [row for row in ROWS if not row.method.startswith(MANAGED)]
NOT_SERVED = ("MemberService/EraseMember",)


@pytest.fixture(scope="module")
def ports(served):
    with (
        grpc.insecure_channel(served.lane_address) as lane,
        grpc.insecure_channel(served.address) as management,
    ):
        yield lane, management


def told(channel, path, request):
    """Return all that a call brings: the answer or the refusal, and the trailing metadata."""
    try:
        answer, call = channel.unary_unary(path).with_call(request, timeout=30)
    except grpc.RpcError as failure:
        trailers = dict(failure.trailing_metadata())
        return failure.code(), failure.details(), trailers
    return answer, dict(call.trailing_metadata())


def assert_equal(ports, method, request):
    lane, management = (told(channel, PACKAGE + method, request) for channel in ports)
    assert lane == management


@pytest.mark.parametrize("row", LANE_ROWS, ids=lambda row: row.name)
def test_refusals(ports, row):
    assert_equal(ports, row.method, row.request)


@pytest.mark.parametrize("base", BASES)
def test_good_requests(ports, base):
    method, build = BASES[base]
    assert_equal(ports, method, build().SerializeToString())


@pytest.mark.parametrize("name", NOT_SERVED)
def test_what_is_not_served_yet(ports, name):
    assert_equal(ports, name, b"")


@pytest.mark.parametrize("path", ["/a.B/C", "/checklane.v1.CheckoutService/Quote", "/"])
def test_what_nobody_knows(ports, path):
    lane, management = (told(channel, path, b"") for channel in ports)
    assert lane == management


def test_a_capsule_is_the_same_bytes_and_opens_nothing_here(ports):
    request = commit()
    request.issue_capsule = True
    request.context.idempotency_key = "with a capsule"
    request.receipt.CopyFrom(receipt(501))
    path = PACKAGE + "CheckoutService/CommitTransaction"
    lane, management = (told(channel, path, request.SerializeToString()) for channel in ports)
    assert lane == management
    sold = checkout_pb2.CommitTransactionResponse.FromString(lane[0])
    assert len(sold.receipt_capsule) > 60
    other = checkout_pb2.ReturnItemsRequest.FromString(BASES["return"][1]().SerializeToString())
    other.receipt_capsule = sold.receipt_capsule
    assert_equal(ports, "CheckoutService/ReturnItems", other.SerializeToString())


@pytest.mark.parametrize("text", ["till 4", "a%b", "größe", "\t", "x" * 64, "x" * 65, " "])
def test_the_correlation_id_comes_back(ports, text):
    request = commit()
    request.context.correlation_id = text
    request.context.idempotency_key = "correlated"
    request.receipt.CopyFrom(receipt(500))
    lane, management = (
        told(channel, PACKAGE + "CheckoutService/CommitTransaction", request.SerializeToString())
        for channel in ports
    )
    assert lane == management
    assert ("checklane-correlation-id" in lane[-1]) == (len(text) <= 64)


@settings(max_examples=200, deadline=None)
@given(method=st.sampled_from(METHODS), data=st.data())
def test_hostile_bodies(ports, method, data):
    """Bytes of any kind, and good requests with bytes changed, cut off or put in."""
    good = [build().SerializeToString() for name, build in BASES.values() if name == method]
    good = good or [b"\x12" + bytes([len(body := basket().SerializeToString())]) + body]
    request = bytearray(data.draw(st.one_of(st.sampled_from(good), st.binary(max_size=300))))
    for _ in range(data.draw(st.integers(0, 4))):
        at = data.draw(st.integers(0, len(request)))
        request[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    if method == QUOTE:
        # A quote's answer tells when it was decided, so only refusals are the same.
        lane, management = (told(c, PACKAGE + method, bytes(request)) for c in ports)
        assert lane[1:] == management[1:]
    else:
        assert_equal(ports, method, bytes(request))
