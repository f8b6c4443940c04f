"""kill -9 at random instants under 64 lanes of load: what was answered is there, once, and agrees.

A round is one life of the process, killed while it recovers or while it works. Set CHECKLANE_ROUNDS
for more of them; ``make drill`` does, and prints what was survived.
"""

import os
import pickle
import signal
import subprocess
import sys
from hashlib import blake2b
from pathlib import Path
from random import Random

import numpy as np
import pytest

from checklane import _layout
from checklane.bench.calls import make_sale_goods
from checklane.bench.world import QUICK, make_world, opened
from checklane.clock import SYSTEM_CLOCK
from checklane.ledger.check import verify
from checklane.ledger.files import audit, journal_directory
from checklane.v1 import checkout_pb2
from tests.drills.lanes import DIGEST_BYTES, open_engine, read_answers

ROUNDS = int(os.environ.get("CHECKLANE_ROUNDS", "50"))
LANES = 64
SEED = 20261122
#: Half of the kills come so soon that most lives are still opening, the others so long after the
#: first answer of the life.
EARLY_S = 0.06
LATE_S = 0.25
PATIENCE_S = 60.0
ROOT = Path(__file__).resolve().parents[2]
KILLED = -signal.SIGKILL


class Lives:
    """Starts lives of the process and kills them, one after the other."""

    def __init__(self, world_file: Path, answers: Path) -> None:
        command = [sys.executable, "-m", "tests.drills.lanes", world_file, answers, str(LANES)]
        self._answers = answers
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def kill_one(self, seed: int, after_s: float, *, is_early: bool) -> int:
        """Start a life, kill it a while after its start or first answer; return how it ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{seed}\n")
        self._process.stdin.flush()
        before = self._answers.stat().st_size
        child = int(self._process.stdout.readline())
        give_up_s = SYSTEM_CLOCK.monotonic_s() + PATIENCE_S
        while not is_early and self._answers.stat().st_size == before:
            assert SYSTEM_CLOCK.monotonic_s() < give_up_s, "a life answered nothing"
            SYSTEM_CLOCK.sleep(0.002)
        SYSTEM_CLOCK.sleep(after_s)
        os.kill(child, signal.SIGKILL)
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End the parent of the lives."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0


@pytest.fixture(scope="module")
def drilled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lanes")
    world = make_world(folder / "shop", QUICK, 1)
    with opened(world, world.usual, sessions=2) as engine:
        _, goods = make_sale_goods(engine, LANES, 1)
    (folder / "world").write_bytes(pickle.dumps((world, goods)))
    answers = folder / "answers"
    answers.touch()
    lives = Lives(folder / "world", answers)
    draw = Random(SEED)
    ends = []
    for number in range(ROUNDS):
        is_early = number % 2 == 0
        after_s = draw.uniform(0, EARLY_S if is_early else LATE_S)
        ends.append(lives.kill_one(number, after_s, is_early=is_early))
    lives.close()
    return world, read_answers(answers), ends


def entered(world) -> dict[str, bytes]:
    """Return of every sale in the journal its key and the digest of its response."""
    found: dict[str, bytes] = {}
    with audit(journal_directory(world.data)) as journal:
        report = journal.report()
        lsn = int(report["first_lsn"])
        while lsn <= report["last_lsn"]:
            for entry in journal.read_entries(lsn, 10_000, 8 << 20):
                lsn += 1
                header = np.frombuffer(entry, dtype=_layout.ENTRY_HEADER, count=1)[0]
                if int(header["kind"]) != _layout.ENTRY_COMMIT:
                    continue
                begin = _layout.ENTRY_HEADER.itemsize
                request = checkout_pb2.CommitTransactionRequest.FromString(
                    entry[begin : begin + int(header["request_bytes"])]
                )
                key = request.context.idempotency_key
                assert key not in found, f"{key} is there twice"
                found[key] = response_digest(entry, header)
    return found


def response_digest(entry: bytes, header: np.void) -> bytes:
    """Return the digest of an entry's last section."""
    at = _layout.ENTRY_HEADER.itemsize
    movements = int(header["movement_count"]) * _layout.MOVEMENT.itemsize
    for size in (int(header["request_bytes"]), int(header["facts_bytes"]), movements):
        at += -(-size // 16) * 16
    response = entry[at : at + int(header["response_bytes"])]
    return blake2b(response, digest_size=DIGEST_BYTES).digest()


def test_every_life_was_ended_by_the_kill(drilled):
    _, _, ends = drilled
    assert ends == [KILLED] * ROUNDS


def test_what_was_answered_is_there_once(drilled):
    world, answers, ends = drilled
    there = entered(world)
    checked = 0
    for lane, digests in answers.items():
        for number, digest in enumerate(digests, start=1):
            key = f"{lane}-{number}"
            assert key in there, f"{key} was answered and is lost; {len(digests)} of its lane were"
            assert there.pop(key) == digest, f"{key} is there with another answer"
            checked += 1
    # Each lane has at most one sale under way: what else is there was never answered.
    assert len(there) <= LANES, sorted(there)
    assert checked >= ROUNDS // 2
    print(f"\n{len(ends)} kills survived, {checked:,} answered sales found once, as answered")


def test_the_accounts_agree_with_the_journal(drilled):
    """As the last kill left them, and after a life that was not killed."""
    world, answers, _ = drilled
    compared = []
    for _ in range(2):
        verdict = verify(world.data, lambda *_: None)
        assert verdict.problem == ""
        assert verdict.report["is_compared"]
        compared.append(verdict.report["records"])
        open_engine(world, sessions=2).close()
    # A key and a receipt of each sale, at least.
    assert compared[1] >= 2 * sum(map(len, answers.values()))
    print(f"\n{compared[0]:,} and {compared[1]:,} records rebuilt and compared")
