"""The whole service as a process: starts, answers, drains, survives, and refuses a second one."""

import signal
import subprocess
import threading

import grpc
import pytest

from checklane import errors
from checklane.client import Basket, Lane, LaneStream, Policy, ReturnLine, manage
from checklane.v1 import checkout_pb2, ledger_pb2
from tests.server.hostile_requests import BUSINESS_DATE, GTIN, OPENED_UNIX_MS, basket
from tests.server.serving import COMMAND, Server, last_lsn

PATIENT = Policy(quote_deadline_ms=5_000, change_deadline_ms=10_000, change_budget_ms=60_000)


@pytest.fixture
def lane(server):
    with Lane(server.address, store="S001", till="1", policy=PATIENT) as lane:
        yield lane


def soups(count=3):
    return Basket(opened_time_unix_ms=OPENED_UNIX_MS).add(
        GTIN, count=count, amount_minor=199 * count
    )


def test_the_start_says_what_is_live(server):
    line = server.started
    for kind in ("program", "catalogue", "members"):
        assert len(line[kind]) == 12
    assert line["offer_count"] > 5
    assert line["member_count"] > 5
    assert line["last_lsn"] >= 1


def test_a_sale_a_return_and_a_void(lane, server):
    decision = lane.quote(soups())
    assert (decision.totals.discount_minor, decision.totals.due_minor) == (199, 398)
    receipt = lane.commit(soups(), sequence=1, business_date=BUSINESS_DATE, shown=decision)
    assert (receipt.outcome, receipt.decision.totals.due_minor) == ("POSTED", 398)
    assert last_lsn(server.address) == receipt.posting.lsn
    back = lane.return_items(
        ReturnLine(1, 1),
        original_sequence=1,
        original_date=BUSINESS_DATE,
        sequence=2,
        business_date=BUSINESS_DATE,
    )
    assert back.reversal.lines[0].remaining_count == 2
    with pytest.raises(errors.StateError, match="return the rest"):
        lane.void(sequence=1, business_date=BUSINESS_DATE)
    other = lane.commit(soups(), sequence=3, business_date=BUSINESS_DATE)
    voided = lane.void(original_key=other.key)
    assert (voided.outcome, voided.reversal.refund_minor) == ("VOIDED", 398)
    assert lane.void(sequence=77, business_date=BUSINESS_DATE).outcome == "TOMBSTONE"


def test_a_key_survives_a_kill(lane, server):
    first = lane.commit(soups(), sequence=1, business_date=BUSINESS_DATE, key="once")
    server.end(signal.SIGKILL)
    server.start()
    again = lane.commit(soups(), sequence=1, business_date=BUSINESS_DATE, key="once")
    assert again.message.SerializeToString() == first.message.SerializeToString()
    with pytest.raises(errors.ConflictError) as caught:
        lane.commit(soups(4), sequence=1, business_date=BUSINESS_DATE, key="once")
    assert caught.value.reason == "KEY_REUSED"
    with pytest.raises(errors.ConflictError) as caught:
        lane.commit(soups(4), sequence=1, business_date=BUSINESS_DATE, key="another")
    assert caught.value.reason == "RECEIPT_REUSED"


def test_a_drain_finishes_what_is_under_way(lane, server):
    found = []

    def sell():
        for sequence in range(1, 100_000):
            try:
                found.append(lane.commit(soups(), sequence=sequence, business_date=BUSINESS_DATE))
            except errors.ChecklaneError:
                return

    lane.policy = Policy(change_budget_ms=0)
    seller = threading.Thread(target=sell)
    seller.start()
    while len(found) < 5:
        threading.Event().wait(0.01)
    assert server.end(signal.SIGTERM) == 0
    seller.join(60)
    assert [event["event"] for event in server.events()][-2:] == ["draining", "stopped"]
    server.start()
    assert last_lsn(server.address) >= max(receipt.posting.lsn for receipt in found)
    lane.policy = PATIENT
    last = found[-1]
    again = lane.commit(soups(), sequence=last.sequence, business_date=BUSINESS_DATE, key=last.key)
    assert again.posting == last.posting


def test_a_second_process_is_refused(server, tmp_path):
    command = [
        *COMMAND,
        "serve",
        "--data",
        str(tmp_path / "served"),
        "--listen",
        "127.0.0.1:0",
        "--lane-listen",
        "",
    ]
    second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert second.returncode == errors.DataDirectoryBusyError.exit_code
    assert "stop the other process" in second.stderr
    assert "Traceback" not in second.stderr


def test_an_empty_directory_starts_and_says_what_to_do_next(tmp_path, example_data):
    server = Server(tmp_path / "new" / "data", tmp_path / "server.log")
    server.start()
    try:
        with (
            Lane(server.address, store="S001", till="1", policy=PATIENT) as lane,
            pytest.raises(errors.ProgramMissingError),
        ):
            lane.quote(soups())
        steps = [event for event in server.events() if "next_step" in event]
        assert "checklane snapshot build" in steps[0]["next_step"]
        assert manage.list_snapshots(server.address) == []
        assert server.end(signal.SIGTERM) == 0
    finally:
        server.close()


def test_a_snapshot_is_activated_while_quotes_go_on(lane, server):
    kept = manage.list_snapshots(server.address)
    assert {found.live for found in kept} == {True}
    program = next(found for found in kept if found.catalogue_hash)
    done = threading.Event()
    faults = []

    def quote():
        while not done.is_set():
            try:
                lane.quote(soups())
            except errors.ChecklaneError as error:
                faults.append(error)

    quoting = threading.Thread(target=quote)
    quoting.start()
    live = manage.activate(server.address, "program", program.content_hash)
    done.set()
    quoting.join(60)
    assert faults == []
    assert {bytes(found.content_hash) for found in live} == {
        bytes(found.content_hash) for found in kept
    }
    with pytest.raises(errors.NotFoundError) as caught:
        manage.activate(server.address, "program", bytes(16))
    assert caught.value.reason == "SNAPSHOT_UNKNOWN"


def test_a_stream_answers_like_single_calls(server):
    request = checkout_pb2.QuoteBasketRequest(basket=basket(3))
    with (
        LaneStream(server.address) as stream,
        grpc.insecure_channel(server.address) as channel,
    ):
        futures = [stream.send("quote_basket", request) for _ in range(50)]
        single = channel.unary_unary("/checklane.v1.CheckoutService/QuoteBasket")(
            request.SerializeToString(), timeout=30
        )
        for future in futures:
            assert future.result(30) == checkout_pb2.QuoteBasketResponse.FromString(single)


def test_the_journal_tells_what_the_lane_was_told(lane, server):
    receipt = lane.commit(soups().card("6029000000000001"), sequence=9, business_date=BUSINESS_DATE)
    request = ledger_pb2.StreamEntriesRequest(
        from_lsn=receipt.posting.lsn, include_bodies=True, include_movements=True
    )
    with grpc.insecure_channel(server.address) as channel:
        pages = channel.unary_stream(
            "/checklane.v1.LedgerService/StreamEntries",
            request_serializer=ledger_pb2.StreamEntriesRequest.SerializeToString,
            response_deserializer=ledger_pb2.StreamEntriesResponse.FromString,
        )(request, timeout=30)
        (entry,) = [entry for page in pages for entry in page.entries]
    assert entry.kind == ledger_pb2.LEDGER_ENTRY_KIND_SALE
    assert entry.response == receipt.message.SerializeToString()
    assert entry.due_minor == receipt.decision.totals.due_minor
    assert entry.receipt.sequence == 9
    told = {award.purse_id for award in receipt.decision.earned}
    assert {each.purse_id: each.points for each in entry.points} == {
        purse: receipt.decision.earned_points(purse) for purse in told
    }
    assert len(entry.movements) >= 2
