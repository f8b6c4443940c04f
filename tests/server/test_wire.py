"""The port's small reader of protobuf against the official runtime."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checklane.errors import RequestError
from checklane.server.contract import LANE_METHODS
from checklane.server.wire import (
    check_lane_request,
    correlation_id,
    lane_response,
    read_fields,
    read_lane_request,
)
from checklane.v1 import checkout_pb2

BODY_FIELDS = frozenset(LANE_METHODS)


@given(
    st.integers(0, 2**63 - 1),
    st.integers(0, 3_600_000),
    st.text(max_size=40),
    st.sampled_from([name for name, _ in LANE_METHODS.values()]),
)
def test_envelopes_are_read_as_the_runtime_writes_them(request_id, timeout_ms, store, field):
    message = checkout_pb2.StreamLaneRequest(request_id=request_id, timeout_ms=timeout_ms)
    body = getattr(message, field)
    body.context.store_id = store
    found = read_lane_request(message.SerializeToString(), BODY_FIELDS)
    assert (found.request_id, found.timeout_ms) == (request_id, timeout_ms)
    assert LANE_METHODS[found.field][0] == field
    assert found.body == body.SerializeToString()


@given(st.integers(1, 2**63 - 1), st.binary(max_size=300))
def test_answers_are_written_as_the_runtime_reads_them(request_id, token):
    response = checkout_pb2.CommitTransactionResponse(receipt_capsule=token)
    field = checkout_pb2.StreamLaneResponse.COMMIT_TRANSACTION_FIELD_NUMBER
    data = lane_response(request_id, field, response.SerializeToString())
    expected = checkout_pb2.StreamLaneResponse(request_id=request_id, commit_transaction=response)
    assert checkout_pb2.StreamLaneResponse.FromString(data) == expected


def test_two_bodies_of_one_field_merge_and_another_field_wins():
    first = checkout_pb2.StreamLaneRequest(request_id=1)
    first.quote_basket.context.store_id = "a"
    second = checkout_pb2.StreamLaneRequest(request_id=2)
    second.quote_basket.explain = True
    both = first.SerializeToString() + second.SerializeToString()
    found = read_lane_request(both, BODY_FIELDS)
    merged = checkout_pb2.StreamLaneRequest.FromString(both)
    body = checkout_pb2.QuoteBasketRequest.FromString(found.body)
    assert (found.request_id, body) == (2, merged.quote_basket)
    third = checkout_pb2.StreamLaneRequest()
    third.identify_member.context.store_id = "b"
    assert read_lane_request(both + third.SerializeToString(), BODY_FIELDS).field == 3


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    try:
        numbers = [number for number, _ in read_fields(data)]
    except RequestError:
        numbers = []
    assert all(number > 0 for number in numbers)
    assert isinstance(correlation_id(data), str)


@pytest.mark.parametrize(
    "data",
    [b"\x08", b"\x80" * 11, b"\x00\x01", b"\x0a\x05ab", b"\x0b", b"\x0c", b"\x0f", b"\x09\x01"],
)
def test_bytes_that_are_no_message_are_refused(data):
    with pytest.raises(RequestError):
        list(read_fields(data))


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        ("", ""),
        ("basket-17", "basket-17"),
        ("50 % off", "50 % off"),
        ("Zürich", "Z%C3%BCrich"),
        ("line\nbreak", "line%0Abreak"),
        ("x" * 65, ""),
    ],
)
def test_correlation_ids_fit_into_metadata(sent, echoed):
    request = checkout_pb2.QuoteBasketRequest(explain=True)
    request.context.correlation_id = sent
    assert correlation_id(request.SerializeToString()) == echoed


@pytest.mark.parametrize(
    ("message", "reason", "place"),
    [
        (checkout_pb2.StreamLaneRequest(request_id=1), "FIELD_REQUIRED", "request"),
        (
            checkout_pb2.StreamLaneRequest(quote_basket=checkout_pb2.QuoteBasketRequest()),
            "FIELD_OUT_OF_RANGE",
            "request_id",
        ),
        (
            checkout_pb2.StreamLaneRequest(
                request_id=1, timeout_ms=-1, quote_basket=checkout_pb2.QuoteBasketRequest()
            ),
            "FIELD_OUT_OF_RANGE",
            "timeout_ms",
        ),
    ],
)
def test_envelopes_out_of_range_are_refused(message, reason, place):
    found = read_lane_request(message.SerializeToString(), BODY_FIELDS)
    with pytest.raises(RequestError) as caught:
        check_lane_request(found)
    assert (caught.value.reason, caught.value.place) == (reason, place)
