"""The generator against a server of grpcio: what it sends, how it judges, how it misbehaves."""

import subprocess
import threading
from dataclasses import replace

import grpc
import numpy as np
import pytest

from checklane._generator import CEILINGS, Plan, masked
from checklane.bench.figures import BenchError
from checklane.bench.load.drive import Serials, must_be_right, run_plan
from checklane.bench.load.plan import (
    CALL,
    CANCEL,
    CUT,
    DEGRADED,
    DROPPED,
    LEAVE,
    LOST,
    REFUSED,
    RESULT,
    RIGHT,
    STALL,
    WRONG,
    make_arrivals,
    poisson_times,
)
from checklane.bench.load.requests import METHODS, QUOTE, serial_body
from checklane.v1 import checkout_pb2, common_pb2, decision_pb2
from tests.bench.canned import answering, asking, decided

TIMES = poisson_times(2000, 0.1, 1)


def run(options, requests, arrivals=None, **changes):
    plan = replace(options, **changes)
    return run_plan(METHODS, requests, arrivals, plan, Serials())


def arrivals_of(lanes, acts=(), times=TIMES):
    arrivals = make_arrivals(times, [[0]] * lanes, 1)
    for place, act in acts:
        arrivals["act"][place] = act
    return arrivals


@pytest.mark.parametrize("is_stream", [False, True])
def test_right_answers_in_both_loops(is_stream):
    with answering(lambda request, _: decided()) as options:
        arrivals = arrivals_of(3)
        opened = run(options, [asking(decided())], arrivals, lanes=3, is_stream=is_stream)
        closed = run(
            options,
            [asking(decided())] * 2,
            lanes=2,
            in_flight=4,
            closed_ns=50_000_000,
            is_stream=is_stream,
        )
    assert opened.counts() == {"right": len(TIMES)}
    assert opened.connections == 3
    results = opened.results
    assert (results["due_ns"] == arrivals["due_ns"]).all()
    assert (results["due_ns"] <= results["taken_ns"]).all()
    assert (results["taken_ns"] <= results["sent_ns"]).all()
    assert (results["sent_ns"] < results["done_ns"]).all()
    assert set(closed.counts()) == {"right"}
    assert set(closed.results["lane"].tolist()) == {0, 1}
    must_be_right(opened, "a row")


def test_a_unix_socket_is_as_good(tmp_path):
    with answering(lambda request, _: decided(), f"unix:{tmp_path}/lane") as options:
        assert run(options, [asking(decided())], arrivals_of(1)).counts() == {"right": len(TIMES)}


def make_certificate(folder):
    key, certificate = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-keyout", str(key), "-out", str(certificate), "-days", "2"]
    command += ["-subj", "/CN=till", "-addext", "subjectAltName=DNS:till.test"]
    subprocess.run(command, check=True, capture_output=True)
    return key, certificate


def test_tls_and_a_certificate_that_is_not_to_be_trusted(tmp_path):
    key, certificate = make_certificate(tmp_path)
    (tmp_path / "other").mkdir()
    _, stranger = make_certificate(tmp_path / "other")
    pair = (key.read_bytes(), certificate.read_bytes())
    right = {"ca_file": str(certificate).encode(), "server_name": b"till.test"}
    with answering(
        lambda request, _: decided(), credentials=grpc.ssl_server_credentials([pair])
    ) as options:
        done = run(options, [asking(decided())], arrivals_of(3), lanes=3, **right)
        assert done.counts() == {"right": len(TIMES)}
        for wrong in ({"ca_file": str(stranger).encode()}, {"server_name": b"elsewhere.test"}):
            with pytest.raises(BenchError, match=r"certificate|verify"):
                run(options, [asking(decided())], arrivals_of(1), **right | wrong)


@pytest.mark.parametrize(
    ("wrong", "is_stream"),
    [
        (decided(101), False),
        (decided(101), True),
        (b"", False),
        (b"", True),
        (b"\x0a\x05\x12", False),
        (decided() + decided(), False),
    ],
)
def test_a_wrong_answer_ends_and_fails_the_run(wrong, is_stream):
    with answering(lambda request, _: wrong) as options:
        done = run(options, [asking(decided())], arrivals_of(1), is_stream=is_stream)
    assert done.counts()["wrong"] == 1
    assert (done.of(WRONG)["lane"] == 0).all()
    with pytest.raises(BenchError, match="a row: a wrong answer"):
        must_be_right(done, "a row")
    with pytest.raises(BenchError, match="wrong"):
        must_be_right(done, "a row", is_overload=True)


def test_what_may_differ_is_not_compared():
    varied = decision_pb2.Decision(
        balances=[decision_pb2.PurseBalance()],
        optimality=decision_pb2.Optimality(step_count=77),
        basis=decision_pb2.DecisionBasis(),
    )
    varied.totals.discount_minor = 100
    plain = decided(optimality=decision_pb2.Optimality(step_count=3))
    other = checkout_pb2.QuoteBasketResponse(decision=varied).SerializeToString()
    assert masked(METHODS[QUOTE], plain) == masked(METHODS[QUOTE], other)
    varied.optimality.gap_minor = 1
    other = checkout_pb2.QuoteBasketResponse(decision=varied).SerializeToString()
    assert masked(METHODS[QUOTE], plain) != masked(METHODS[QUOTE], other)
    with pytest.raises(ValueError, match="protobuf"):
        masked(METHODS[QUOTE], b"\x0a\x05\x12")


def test_refusals_and_degraded_answers_are_told_apart():
    def answer(request, context):
        if request == b"":
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "come back later")
        return decided(0, degraded_level=decision_pb2.DEGRADED_LEVEL_SHELF_PRICE)

    full = decided(degraded_level=decision_pb2.DEGRADED_LEVEL_FULL)
    arrivals = make_arrivals(TIMES, [[0, 1]], 1)
    with answering(answer) as options:
        done = run(options, [asking(full), asking(full, b"\x22\x00")], arrivals)
    refused, degraded = done.of(REFUSED), done.of(DEGRADED)
    assert len(refused) + len(degraded) == len(TIMES)
    assert (refused["status"] == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]).all()
    assert done.fault == "refused with status 8: come back later"
    with pytest.raises(BenchError, match="come back later"):
        must_be_right(done, "a row")
    must_be_right(done, "a row", is_overload=True)
    done.results["status"][done.results["outcome"] == REFUSED] = 13
    with pytest.raises(BenchError, match="a row"):
        must_be_right(done, "a row", is_overload=True)


def test_a_server_that_stalls_is_charged_for_every_call_that_was_due():
    """A closed loop would see one slow call; here the calls behind it waited, and say so."""
    released = threading.Event()

    def answer(request, context):
        released.wait(20)
        released.set()
        return decided()

    def watch(issued, answered, faults):
        if issued == len(TIMES):
            released.set()

    with answering(answer) as options:
        done = run_plan(METHODS, [asking(decided())], arrivals_of(1), options, Serials(), watch)
    assert done.counts() == {"right": len(TIMES)}
    waits = done.results["done_ns"] - done.results["due_ns"]
    last_due_ns = int(TIMES[-1])
    # Nothing was answered before the last call was due, so each waited for the rest of the run.
    assert (done.results["done_ns"] > last_due_ns).all()
    assert waits[0] > last_due_ns - int(TIMES[0])
    # And the generator itself was not late: it took each call while the others hung.
    assert (done.results["taken_ns"] < done.results["done_ns"].min()).all()


def test_clients_that_misbehave_keep_their_other_calls():
    acts = [(20, LEAVE), (40, CUT), (60, CANCEL), (80, STALL), (100, LEAVE), (120, CUT)]
    with answering(lambda request, _: decided()) as options:
        done = run(options, [asking(decided())], arrivals_of(1, acts), stall_ns=30_000_000)
    outcomes = done.results["outcome"]
    assert (outcomes[[40, 60, 120]] == DROPPED).all()
    assert (np.delete(outcomes, [40, 60, 120]) == RIGHT).all()
    assert done.connections == 1 + 4
    # What came after the stall had to wait for its end.
    assert done.results["done_ns"][80] - done.results["sent_ns"][80] >= 30_000_000
    must_be_right(done, "a soak")


def test_a_broken_connection_is_a_loss():
    with answering(lambda request, _: decided()) as options:
        pass
    with pytest.raises(BenchError, match="could not begin"):
        run(options, [asking(decided())], arrivals_of(1))

    def hang_up(request, context):
        context.cancel()
        return decided()

    with answering(hang_up) as options:
        done = run(options, [asking(decided())], arrivals_of(1))
    assert set(done.results["outcome"].tolist()) <= {LOST, REFUSED}
    with pytest.raises(BenchError):
        must_be_right(done, "a row")


def test_every_sending_has_a_number_of_its_own():
    seen = []

    def answer(request, context):
        seen.append(checkout_pb2.CommitTransactionRequest.FromString(request))
        return decided()

    basket = checkout_pb2.CommitTransactionRequest(paid=True).SerializeToString()
    receipt = common_pb2.ReceiptId(store_id="store-1", business_date=20260921, till_id="1")
    sent = serial_body(basket, receipt)
    request = replace(asking(decided(), sent.body), text_at=sent.text_at, number_at=sent.number_at)
    with answering(answer) as options:
        done = run(options, [request], arrivals_of(2), lanes=2)
    must_be_right(done, "a row")
    wanted = range(done.first_serial, done.first_serial + len(TIMES))
    assert sorted(int(found.context.idempotency_key) for found in seen) == list(wanted)
    for found in seen:
        assert found.receipt.sequence == int(found.context.idempotency_key)
        assert found.receipt.store_id == "store-1"
        assert found.paid
    by_hand = checkout_pb2.CommitTransactionRequest.FromString(sent.numbered(2**62 + 1))
    assert by_hand.receipt.sequence == int(by_hand.context.idempotency_key) == 2**62 + 1


def test_a_plan_out_of_range_is_refused():
    request = asking(decided())
    with answering(lambda request, _: decided()) as options:
        for changes in ({"lanes": 0}, {"in_flight": CEILINGS["in_flight"] + 1}):
            with pytest.raises(ValueError, match="too many"):
                Plan(METHODS, [request], replace(options, **changes))
        with pytest.raises(ValueError, match="no method"):
            Plan(METHODS, [replace(request, method=len(METHODS))], options)
        with pytest.raises(ValueError, match="beyond the request"):
            Plan(METHODS, [replace(request, text_at=1)], options)
        plan = Plan(METHODS, [request], options)
        room, progress = np.zeros(len(TIMES), RESULT), np.zeros(4, np.uint64)
        for bad in (arrivals_of(2), make_arrivals(TIMES, [[1]], 1)):
            with pytest.raises(ValueError, match="not there"):
                plan.run(bad, room, progress)
        with pytest.raises(ValueError, match="too few"):
            plan.run(arrivals_of(1), room[:1], progress)
    assert CALL == 0
