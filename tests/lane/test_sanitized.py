"""The port and the engine behind it in C alone, under sanitizers, with lanes of every sort at once:
good ones, streams, ones that reset, leave in the middle, flood, or never finish; and a drain."""

import os
import random
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from hyperframe.frame import DataFrame, PingFrame, RstStreamFrame

from tests.fuzz.targets import FLAGS, TARGETS, lane_environment
from tests.house.tree import NATIVE
from tests.lane.raw import STREAM_PATH, Peer, message
from tests.lane.test_calls import COMMIT, IDENTIFY, sale
from tests.lane.test_streams import quote
from tests.lane.test_streams import sale as stream_sale
from tests.server.hostile_requests import identify

HERE = Path(__file__).parent
BUILDS = {
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread", "-Wno-tsan"],
}
LANES = 6
ROUNDS = 6


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sanitized") / "data"
    return folder, lane_environment(folder)


def built(build, binary):
    machine = "-march=x86-64-v2" if os.uname().machine == "x86_64" else "-march=armv8-a+crc"
    command = ["cc", *FLAGS, machine, *BUILDS[build], f"-I{NATIVE.parent}"]
    command += [str(HERE / "lane_server.c"), *map(str, TARGETS["lane"].rooms)]
    subprocess.run([*command, *TARGETS["lane"].libraries, "-o", str(binary)], check=True)
    return binary


def one_round(address, rng, sequence):
    """Be one lane for a while, of a sort that chance decides."""
    sort = rng.randrange(6)
    with Peer(address) as peer:
        if sort == 0:
            for number in range(8):
                peer.call(2 * number + 1, sale(sequence + number), COMMIT)
            peer.ended(8)
        elif sort == 1:
            body = b"".join(
                message(stream_sale(n, sequence + n) if n % 3 == 0 else quote(n))
                for n in range(1, 40)
            )
            peer.send(peer.headers(1, STREAM_PATH))
            for at in range(0, len(body), 700):
                peer.send(DataFrame(1, body[at : at + 700]))
            peer.send(peer.data(1, b""))
            peer.answer(1)
        elif sort == 2:
            for number in range(20):
                stream = 2 * number + 1
                peer.call(stream, sale(sequence + number), COMMIT)
                peer.send(RstStreamFrame(stream, error_code=8))
        elif sort == 3:
            peer.send(peer.headers(1, STREAM_PATH), peer.data(1, message(quote(1))[:9], end=False))
        elif sort == 4:
            peer.send(*[PingFrame(0, b"12345678")] * 3000)
            peer.end()
        else:
            for number in range(30):
                peer.call(2 * number + 1, identify().SerializeToString(), IDENTIFY)
            peer.ended(30)


def lane(address, number, failures):
    rng = random.Random(number)
    for step in range(ROUNDS):
        try:
            one_round(address, rng, 1 + 10_000 * number + 100 * step)
        except Exception as failure:
            failures.append(failure)


@pytest.mark.parametrize("build", BUILDS)
def test_lanes_of_every_sort(build, data, tmp_path):
    _, environment = data
    shutil.copytree(environment["CHECKLANE_DATA"], tmp_path / "data")
    binary = built(build, tmp_path / "lane_server")
    snapshots = [
        environment[f"CHECKLANE_{kind}"].replace(
            environment["CHECKLANE_DATA"], str(tmp_path / "data")
        )
        for kind in ("CATALOGUE", "MEMBERS", "PROGRAM")
    ]
    path = tmp_path / "lane.sock"
    server = subprocess.Popen(
        [binary, str(tmp_path / "data"), *snapshots, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "TSAN_OPTIONS": "halt_on_error=0 second_deadlock_stack=1"},
    )  # fmt: skip
    failures = []
    try:
        assert server.stdout.readline() == "serving\n", server.stderr.read()
        lanes = [
            threading.Thread(target=lane, args=(f"unix:{path}", number, failures))
            for number in range(LANES)
        ]
        for thread in lanes:
            thread.start()
        for wish in "nynyny":
            server.stdin.write(wish)
            server.stdin.flush()
            threading.Event().wait(0.1)
        for thread in lanes:
            thread.join(120)
        with Peer(f"unix:{path}") as peer:
            # A lane that is there when the drain comes, in the middle of a request.
            peer.send(peer.headers(1, STREAM_PATH), peer.data(1, message(quote(1)), end=False))
            printed, said = server.communicate(timeout=120)
    finally:
        server.kill()
        server.wait()
    assert server.returncode == 0, said[-8000:]
    assert "WARNING: ThreadSanitizer" not in said, said[-8000:]
    assert failures == []
    assert int(printed.split()[-1]) == LANES * ROUNDS + 1
