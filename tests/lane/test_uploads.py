"""UploadTransactions at the lane port: the management port's rules, and the same answers."""

import threading

import grpc
import pytest

from checklane.v1 import checkout_pb2
from tests.lane.raw import metrics
from tests.lane.test_streams import varint
from tests.server.hostile_requests import (
    BASES,
    OPENED_UNIX_MS,
    ROWS,
    basket,
    claim,
    commit,
    receipt,
)
from tests.server.serving import last_lsn

PATH = "/checklane.v1.CheckoutService/UploadTransactions"
QUOTE = "/checklane.v1.CheckoutService/QuoteBasket"
FIELD_OF = {
    "CommitTransaction": "commit_transaction",
    "VoidTransaction": "void_transaction",
    "ReturnItems": "return_items",
    "ClaimTransaction": "claim_transaction",
}


def upload(address, items):
    """Send items on one stream and return the answers in their order, and the status at its end."""
    with grpc.insecure_channel(address) as channel:
        call = channel.stream_stream(PATH)(iter(items), timeout=60)
        return list(call), call.code()


def read(answer):
    return checkout_pb2.UploadTransactionsResponse.FromString(answer)


def sale(item_id, sequence, key=None):
    request = commit()
    request.context.idempotency_key = key or f"upload-{sequence}"
    request.receipt.CopyFrom(receipt(sequence))
    return checkout_pb2.UploadTransactionsRequest(
        item_id=item_id, commit_transaction=request
    ).SerializeToString()


def claimed(item_id, sequence):
    """Return the claim of a sale, by a card of the example feeds, on its own date."""
    request = claim()
    request.context.idempotency_key = f"upload-claim-{sequence}"
    request.receipt.CopyFrom(receipt(sequence))
    request.claimed_time_unix_ms = OPENED_UNIX_MS
    return checkout_pb2.UploadTransactionsRequest(
        item_id=item_id, claim_transaction=request
    ).SerializeToString()


def items():
    """Return good and hostile bodies in their envelopes, and envelopes that are none."""
    bodies = [(method, build().SerializeToString()) for method, build in BASES.values()]
    bodies += [(row.method, row.request) for row in ROWS]
    fields = checkout_pb2.UploadTransactionsRequest.DESCRIPTOR.fields_by_name
    found = []
    for method, body in bodies:
        field = FIELD_OF.get(method.rpartition("/")[2])
        if field is not None:
            head = b"\x08" + varint(len(found) + 1) + varint(fields[field].number << 3 | 2)
            found.append(head + varint(len(body)) + body)
    return [
        *found,
        b"\xff\xff",
        b"",
        b"\x08\x05",
        b"\x12\x00",
        b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12\x00",
        b"\x0a\x00\x12\x00",
        b"\x08\x05\x10\x05",
        b"\x08\xe7\x07\x12\x00",
        b"\x08\xe8\x07\x2a\x00",
        b"\x08\xe9\x07\x22\x00\x12\x00",
        b"\x08\xe9\x07\x32\x00",
        sale(1998, 2999),
        claimed(1999, 2999),
        sale(2000, 3000),
        sale(2001, 3000),
        sale(2002, 3000, key="another"),
    ]


def test_the_same_answers_in_the_same_order_as_at_the_management_port(served):
    sent = items()
    assert len(sent) > 40
    lane = upload(served.lane_address, sent)
    management = upload(served.address, sent)
    assert lane == management
    assert lane[1] is grpc.StatusCode.OK
    late, first, again, other = map(read, lane[0][-4:])
    assert late.claim_transaction.members[0].member_number != 0
    assert sum(earned.points for earned in late.claim_transaction.earned) > 0
    assert first.commit_transaction == again.commit_transaction
    assert (other.refusal.reason, other.refusal.field) == (
        "RECEIPT_REUSED",
        "commit_transaction.receipt",
    )


@pytest.mark.parametrize("port", ["lane_address", "address"])
def test_every_item_is_answered_and_entered_in_order(served, port):
    before = last_lsn(served.address)
    start = 4000 if port == "address" else 5000
    sent = [sale(n + 1, start + n) if n % 5 else b"\x08\x09\x12\x00" for n in range(200)]
    answers, code = upload(getattr(served, port), sent)
    told = [read(answer) for answer in answers]
    assert code is grpc.StatusCode.OK
    assert [a.item_id for a in told] == [n + 1 if n % 5 else 9 for n in range(200)]
    assert [a.WhichOneof("result") == "refusal" for a in told] == [n % 5 == 0 for n in range(200)]
    lsns = [a.commit_transaction.posting.lsn for n, a in enumerate(told) if n % 5]
    assert lsns == list(range(before + 1, before + 161))


def test_many_uploads_take_turns_beside_live_work(served):
    """Eight backlogs; two places a thread for changes, of which uploads take one."""
    found, refused = {}, []

    def drain(lane):
        sent = [sale(n + 1, 10_000 + 1000 * lane + n) for n in range(60)]
        found[lane] = [read(a) for a in upload(served.lane_address, sent)[0]]

    threads = [threading.Thread(target=drain, args=(lane,)) for lane in range(8)]
    for thread in threads:
        thread.start()
    with grpc.insecure_channel(served.lane_address) as channel:
        quote = channel.unary_unary(QUOTE)
        request = checkout_pb2.QuoteBasketRequest(basket=basket(1)).SerializeToString()
        quotes = 0
        while any(thread.is_alive() for thread in threads):
            try:
                quote(request, timeout=30)
            except grpc.RpcError as error:
                refused.append(error.details())
            quotes += 1
            # Uploads and, of two threads, what they leave to others.
            assert metrics(served)["checklane_lane_changes"] <= 2
    for thread in threads:
        thread.join()
    assert (quotes > 0, refused) == (True, [])
    for lane in range(8):
        assert [a.item_id for a in found[lane]] == list(range(1, 61))
        lsns = [a.commit_transaction.posting.lsn for a in found[lane]]
        assert lsns == sorted(lsns)
        assert 0 not in lsns


def test_an_upload_that_goes_away_frees_its_turn(served):
    for _ in range(3):
        with grpc.insecure_channel(served.lane_address) as channel:
            calls = []
            for lane in range(6):
                sent = [sale(n, 30_000 + 10 * lane + n) for n in (1, 2, 3)]
                calls.append(channel.stream_stream(PATH)(iter(sent)))
            next(calls[0])
            for call in calls:
                call.cancel()
    answers, code = upload(served.lane_address, [sale(1, 40_000)])
    assert (len(answers), code) == (1, grpc.StatusCode.OK)


def test_late_sales_are_counted_apart(served):
    upload(served.lane_address, [sale(1, 50_000)])
    upload(served.address, [sale(1, 50_001)])
    figures = metrics(served)
    labels = '{method="CheckoutService.UploadTransactions",outcome="OK"}'
    assert figures[f"checklane_lane_answers_total{labels}"] >= 1
    assert figures[f"checklane_answers_total{labels}"] >= 1
