"""The ceilings of numbers and of time that a lane meets without flooding: closed, and counted."""

import re
import shutil
import subprocess

import pytest
from hyperframe.frame import GoAwayFrame, WindowUpdateFrame

from tests.house.tree import NATIVE
from tests.lane.raw import STREAM_PATH, Peer, ends, message, metrics, wait_until
from tests.server.serving import ROOT, Server

WITHIN_S = 60
HOUR = "3600"
CHECK_PATH = "/grpc.health.v1.Health/Check"
#: Bytes that a peer may send before the port opens its windows.
WINDOW_BYTES = 65_535
PART_BYTES = 60_000
REQUEST_BYTES = 256 * 1024
FLAGS = {
    "patient": ("--lane-connections", "2", "--lane-calls", "256", "--lane-receive-seconds", HOUR),
    "impatient": ("--lane-idle-seconds", "1", "--lane-keepalive-seconds", "1"),
}
#: Ceilings of limits.h by the type of frame that is counted.
A_SECOND = {
    "settings": "LANE_SETTINGS_A_SECOND_MAX",
    "pings": "LANE_PINGS_A_SECOND_MAX",
    "resets": "LANE_RESETS_A_SECOND_MAX",
    "empty data": "LANE_EMPTY_FRAMES_A_SECOND_MAX",
    "priorities": "LANE_EMPTY_FRAMES_A_SECOND_MAX",
    "window updates": "LANE_WINDOW_UPDATES_A_SECOND_MAX",
}


@pytest.fixture(scope="module")
def servers(lane_example, tmp_path_factory):
    """Start each service when it is asked for."""
    started = {}

    def start(name):
        if name not in started:
            folder = tmp_path_factory.mktemp(name)
            shutil.copytree(lane_example, folder / "data")
            server = Server(
                folder / "data",
                folder / "server.log",
                "--metrics-listen",
                "127.0.0.1:0",
                *FLAGS[name],
            )
            started[name] = server
            server.start()
        return started[name]

    yield start
    for server in started.values():
        server.close()


def test_more_connections_than_the_port_holds(servers):
    server = servers("patient")
    before = ends(server, "connections")
    with Peer(server.lane_address) as one, Peer(server.lane_address) as other:
        for held in (one, other):
            held.call(1, b"", CHECK_PATH)
            assert held.status(1) == "0"
        with Peer(server.lane_address) as third:
            assert third.end() is None
        wait_until(lambda: ends(server, "connections") == before + 1, WITHIN_S)
        one.call(3, b"", CHECK_PATH)
        assert one.status(3) == "0"
    wait_until(lambda: metrics(server)["checklane_lane_connections"] == 0, WITHIN_S)


def test_requests_that_fill_the_memory(servers):
    """Each call stays within its window and below its ceiling; together they do not."""
    server = servers("patient")
    before = ends(server, "buffered_bytes")
    with Peer(server.lane_address) as peer:
        frames = peer.frames()
        credit = WINDOW_BYTES
        body = message(b"x" * REQUEST_BYTES)[:PART_BYTES]
        for stream in range(1, 512, 2):
            while credit < PART_BYTES:
                frame = next(frames, None)
                if frame is None:
                    break
                if isinstance(frame, WindowUpdateFrame) and frame.stream_id == 0:
                    credit += frame.window_increment
            credit -= PART_BYTES
            parts = [body[at : at + 15_000] for at in range(0, PART_BYTES, 15_000)]
            peer.send(peer.headers(stream), *[peer.data(stream, p, end=False) for p in parts])
        peer.end()
    wait_until(lambda: ends(server, "buffered_bytes") == before + 1, WITHIN_S)


def test_a_lane_without_calls_is_asked_to_go(servers):
    server = servers("impatient")
    before = ends(server, "idle")
    with Peer(server.lane_address) as peer:
        goaways = [frame for frame in peer.frames() if isinstance(frame, GoAwayFrame)]
    assert [frame.error_code for frame in goaways] == [0]
    wait_until(lambda: ends(server, "idle") == before + 1, WITHIN_S)


def test_a_lane_that_does_not_answer_a_ping_is_lost(servers):
    server = servers("impatient")
    before = ends(server, "lost")
    with Peer(server.lane_address) as peer:
        peer.is_acknowledging = False
        peer.send(peer.headers(1, STREAM_PATH))
        peer.end()
    wait_until(lambda: ends(server, "lost") == before + 1, WITHIN_S)


@pytest.fixture(scope="module")
def floods(tmp_path_factory):
    """Return after how many frames of a kind within a second a connection is cut."""
    program = tmp_path_factory.mktemp("watch") / "watch_floods"
    command = [
        "cc", "-std=c11", "-D_GNU_SOURCE", "-O1", f"-I{ROOT / 'native'}",
        "-o", str(program), str(ROOT / "tests/lane/watch_floods.c"), str(NATIVE / "lane_watch.c"),
    ]  # fmt: skip
    subprocess.run(command, check=True)
    said = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    return {name: int(count) for name, count in (line.split(": ") for line in said.splitlines())}


@pytest.mark.parametrize("kind", A_SECOND)
def test_a_flood_ends_where_limits_say(floods, kind):
    """The same second for all frames, so that no machine is too slow for it."""
    limits = (NATIVE / "limits.h").read_text()
    found = re.search(rf"#define {A_SECOND[kind]} (\d+)", limits)
    assert found is not None
    assert floods[kind] == int(found.group(1))
