"""A drain under load: everything that was taken is answered, and the lanes are asked to go."""

import shutil
import signal
import threading

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from hyperframe.frame import GoAwayFrame

from checklane import errors
from checklane.client import Lane, Policy
from checklane.v1 import checkout_pb2
from tests.lane.raw import STREAM_PATH, Peer, message
from tests.lane.test_streams import quote, sale
from tests.server.hostile_requests import BUSINESS_DATE, basket
from tests.server.serving import Server
from tests.server.test_end_to_end import soups

PATIENT = Policy(quote_deadline_ms=5_000, change_deadline_ms=10_000, change_budget_ms=10_000)


@pytest.fixture
def server(lane_example, tmp_path):
    shutil.copytree(lane_example, tmp_path / "data")
    server = Server(tmp_path / "data", tmp_path / "server.log", "--lane-changes", "2")
    server.start()
    yield server
    server.close()


def sell(address, till, posted):
    """Commit until the service goes away; note what was answered."""
    with Lane(address, store="S001", till=str(till), policy=PATIENT) as lane:
        for sequence in range(1, 100_000):
            try:
                answer = lane.commit(soups(), sequence=sequence, business_date=BUSINESS_DATE)
            except errors.ChecklaneError:
                return
            posted.append((till, sequence, answer.posting.lsn))


def test_a_drain_under_load_loses_nothing(server):
    posted = []
    lanes = [
        threading.Thread(target=sell, args=(server.lane_address, till, posted))
        for till in range(1, 5)
    ]
    for lane in lanes:
        lane.start()
    while len(posted) < 100:
        threading.Event().wait(0.01)
    address = server.lane_address
    assert server.end(signal.SIGTERM) == 0
    for lane in lanes:
        lane.join(60)
    server.start()
    assert server.lane_address == address
    assert server.started["recovered_entries"] <= 1
    with Lane(address, store="S001", till="9", policy=PATIENT) as lane:
        last = lane.commit(soups(), sequence=1, business_date=BUSINESS_DATE).posting.lsn
    lsns = sorted(lsn for _, _, lsn in posted)
    assert len(set(lsns)) == len(lsns)
    assert lsns[-1] < last


def test_a_stream_ends_with_engine_closed(server):
    with grpc.insecure_channel(server.lane_address) as channel:
        gate = threading.Event()

        def requests():
            for number in range(1, 20):
                yield sale(number, number)
            gate.wait(30)

        answers = channel.stream_stream(STREAM_PATH)(requests(), timeout=60)
        found = [checkout_pb2.StreamLaneResponse.FromString(next(answers)) for _ in range(19)]
        assert {answer.request_id for answer in found} == set(range(1, 20))
        stopping = threading.Thread(target=server.end, args=(signal.SIGTERM,))
        stopping.start()
        with pytest.raises(grpc.RpcError) as caught:
            next(answers)
        assert errors.from_rpc_error(caught.value).reason == "ENGINE_CLOSED"
        gate.set()
        stopping.join(60)


def test_lanes_are_told_to_go(server):
    """Health turns, GOAWAY comes twice, and calls between the two are answered."""
    with grpc.insecure_channel(server.lane_address) as channel, Peer(server.lane_address) as peer:
        stub = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        peer.is_acknowledging = False
        peer.send(peer.headers(1, STREAM_PATH), peer.data(1, message(quote(1)), end=False))
        stopping = threading.Thread(target=server.end, args=(signal.SIGTERM,))
        stopping.start()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        goaways = []
        for frame in peer.frames():
            if isinstance(frame, GoAwayFrame):
                goaways.append(frame.last_stream_id)
                if len(goaways) == 1:
                    late = checkout_pb2.QuoteBasketRequest(basket=basket())
                    peer.call(3, late.SerializeToString())
            if "END_STREAM" in frame.flags and frame.stream_id == 3:
                break
        peer.end()
        stopping.join(60)
        assert goaways[0] == 2**31 - 1


def test_what_takes_too_long_is_cut_off(server, lane_example, tmp_path):
    shutil.copytree(lane_example, tmp_path / "other")
    impatient = Server(tmp_path / "other", tmp_path / "other.log", "--drain-seconds", "0")
    impatient.start()
    with Peer(impatient.lane_address) as peer:
        peer.send(peer.headers(1))
        assert impatient.end(signal.SIGTERM) == 0
        peer.end()


def test_two_processes_do_not_share_an_address(server, lane_example, tmp_path):
    shutil.copytree(lane_example, tmp_path / "other")
    other = Server(tmp_path / "other", tmp_path / "other.log")
    other.lane_listen = server.lane_address
    with pytest.raises(AssertionError, match="lanes can not be served"):
        other.start()
