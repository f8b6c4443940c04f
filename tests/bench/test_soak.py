"""A soak of two minutes, and that each of its checks can fail."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from checklane.bench.figures import BenchError
from checklane.bench.load.plan import CALL, CANCEL, CUT, LEAVE, STALL
from checklane.bench.load.requests import commit_body, engine_call
from checklane.bench.load.soak import (
    GROWTH_BYTES_MAX,
    UNRULY_EVERY,
    Sample,
    draw_acts,
    must_be_flat,
    must_be_kept,
)
from checklane.bench.world import QUICK, make_baskets, make_world, opened
from checklane.cli.bench import bench
from checklane.v1 import checkout_pb2


def test_two_minutes_leave_nothing_behind(tmp_path):
    command = ["soak", "--quick", "--minutes", "2", "--chunks", "6", "--no-ladder"]
    done = CliRunner().invoke(bench, [*command, "--rate", "500", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "soak.json").read_text())
    assert len(found["figures"]) == 6
    assert all(set(row["outcomes"]) <= {"right", "dropped"} for row in found["figures"])
    assert any("dropped" in row["outcomes"] for row in found["figures"])
    assert sum(row["outcomes"]["right"] for row in found["figures"]) > 50_000
    assert found["settings"]["ledger"].startswith("verified;")


def test_a_soak_that_fails_says_why_and_keeps_its_report(tmp_path, monkeypatch):
    monkeypatch.setattr("checklane.bench.load.soak.GROWTH_BYTES_MAX", -(1 << 40))
    command = ["soak", "--quick", "--minutes", "0.1", "--chunks", "3", "--no-ladder"]
    done = CliRunner().invoke(bench, [*command, "--rate", "200", "--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "memory grew by" in done.output
    found = json.loads((tmp_path / "soak.json").read_text())
    assert len(found["figures"]) == 3
    assert "memory grew by" in found["settings"]["failed"]


def test_misbehaviour_is_drawn_for_some_lanes_only():
    lanes = np.arange(400_000, dtype=np.uint16) % 8
    acts = draw_acts(lanes, 1)
    assert set(acts.tolist()) == {CALL, CANCEL, STALL, LEAVE, CUT}
    assert set(lanes[acts != CALL].tolist()) == {UNRULY_EVERY - 1, 2 * UNRULY_EVERY - 1}
    assert (acts == draw_acts(lanes, 1)).all()
    assert (acts != draw_acts(lanes, 2)).any()


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (Sample(100 + GROWTH_BYTES_MAX + 1, 3, 30, 1), "memory grew"),
        (Sample(100, 4, 30, 1), "1 sockets stayed open"),
        (Sample(100, 3, 31, 1), "1 descriptors more"),
    ],
)
def test_what_a_server_must_not_keep(last, words):
    samples = [Sample(100, 3, 30, 1)] * 5
    must_be_flat([*samples, Sample(100 + GROWTH_BYTES_MAX, 3, 29, 1)], 3)
    with pytest.raises(BenchError, match=words):
        must_be_flat([*samples, last], 3)


def test_a_commit_that_is_not_in_the_journal_is_missed(tmp_path):
    world = make_world(tmp_path, QUICK, 1)
    pairs = []
    with opened(world, world.usual, sessions=2) as engine:
        call = engine_call(engine)
        for number, basket in enumerate(make_baskets("soak", 5, seed=1, members=5), 1):
            raw = call("CommitTransaction", commit_body(basket.message).numbered(number))
            lsn = checkout_pb2.CommitTransactionResponse.FromString(raw).posting.lsn
            pairs.append([lsn, number])
    must_be_kept(world, np.array(pairs))
    with pytest.raises(BenchError, match="1 answered commits are not in"):
        must_be_kept(world, np.array([*pairs, [pairs[-1][0] + 100, 6]]))
    with pytest.raises(BenchError, match="is not the commit"):
        must_be_kept(world, np.array([*pairs[:-1], [pairs[-1][0], 6]]))
    with pytest.raises(BenchError, match="one position"):
        must_be_kept(world, np.array([*pairs, pairs[0]]))
