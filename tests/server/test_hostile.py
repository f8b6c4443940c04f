"""Every malformed or hostile request gets its documented refusal, and nothing else happens."""

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from checklane.errors import REFUSALS, from_rpc_error
from tests.server.hostile_requests import BASES, ROWS
from tests.server.serving import Server, build_example, last_lsn

PACKAGE = "/checklane.v1."


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """One service for all rows: the first hostile request must not spoil it for the last."""
    folder = tmp_path_factory.mktemp("hostile")
    build_example(folder / "data")
    server = Server(folder / "data", folder / "server.log")
    server.start()
    with grpc.insecure_channel(server.address) as channel:
        yield server, channel
    server.close()


def send(channel, method, request):
    return channel.unary_unary(PACKAGE + method)(request, timeout=30)


def reason_of(channel, method, request):
    """Return the name of a call's refusal, or "OK"."""
    try:
        send(channel, method, request)
    except grpc.RpcError as failure:
        return from_rpc_error(failure).reason
    return "OK"


def details_of(failure):
    """Return the ErrorInfo and the BadRequest of a failed call, as the wire carries them."""
    packed = dict(failure.trailing_metadata())["grpc-status-details-bin"]
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status_pb2.Status.FromString(packed).details:
        if not detail.Unpack(info):
            detail.Unpack(bad)
    return info, bad


def test_there_are_enough_rows_and_each_is_new():
    assert len(ROWS) >= 60
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert len({(row.method, row.request) for row in ROWS}) == len(ROWS)
    assert {row.reason for row in ROWS} <= set(REFUSALS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_documented_refusal(served, row):
    server, channel = served
    before = last_lsn(server.address)
    with pytest.raises(grpc.RpcError) as caught:
        send(channel, row.method, row.request)
    failure = caught.value
    assert from_rpc_error(failure).reason == row.reason, failure.details()
    assert failure.code().value[0] == REFUSALS[row.reason].grpc_code
    info, bad = details_of(failure)
    assert info.domain == "checklane"
    if row.place:
        assert info.metadata["place"] == row.place
        assert row.place in failure.details()
    if row.place and REFUSALS[row.reason].grpc_code == 3:
        assert [violation.field for violation in bad.field_violations] == [row.place]
    assert REFUSALS[row.reason].remedy in failure.details()
    assert last_lsn(server.address) == before
    quote = BASES["identify"][1]().SerializeToString()
    assert send(channel, "CheckoutService/IdentifyMember", quote)


@settings(max_examples=150)
@given(data=st.data())
def test_damaged_requests_are_answered_and_leave_no_entry(served, data):
    server, channel = served
    method, build = data.draw(st.sampled_from(sorted(BASES.values(), key=lambda base: base[0])))
    request = bytearray(build().SerializeToString())
    cut = data.draw(st.integers(0, len(request)))
    for _ in range(data.draw(st.integers(0, 4))):
        request[data.draw(st.integers(0, len(request) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(request[:cut])
    before = last_lsn(server.address)
    reason = reason_of(channel, method, damaged)
    assert reason == "OK" or reason in REFUSALS
    assert reason == "OK" or last_lsn(server.address) == before


def test_the_rows_change_good_requests(server):
    """What the rows spoil is accepted, or refused for the sale that was never entered."""
    with grpc.insecure_channel(server.address) as channel:
        found = {
            name: reason_of(channel, method, build().SerializeToString())
            for name, (method, build) in BASES.items()
        }
    assert found == dict.fromkeys(BASES, "OK") | dict.fromkeys(
        ("return", "claim"), "RECEIPT_UNKNOWN"
    )
