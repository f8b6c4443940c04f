"""A busy store: lanes keep their order, are disturbed in the middle, and notice nothing."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from checklane.bench.figures import BenchError
from checklane.bench.load import store
from checklane.bench.load.plan import Request
from checklane.bench.load.run import LoadOptions
from checklane.bench.world import LIVE_LEAST, QUICK, compile_offers, make_offers, make_world
from checklane.cli.bench import bench
from checklane.demo import journeys
from checklane.program import load_program
from checklane.snapshot.store import snapshot_directory
from checklane.tables.catalogue_tables import open_catalogue


def test_each_lane_sends_its_calls_once_and_in_order():
    scripts = [
        [Request(bytes([lane, number]), 0, b"") for number in range(30)] for lane in range(3)
    ]
    options = LoadOptions(work=None, lanes=3, seconds=1.0)
    requests, arrivals = store.plan_calls(scripts, 120.0, options)
    assert len(requests) == 90
    for lane in range(3):
        mine = arrivals["request"][arrivals["lane"] == lane]
        assert [requests[number].body for number in mine] == [
            bytes([lane, number]) for number in range(len(mine))
        ]
    assert (arrivals["due_ns"][1:] >= arrivals["due_ns"][:-1]).all()


def test_nobody_notices_a_new_program_or_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(journeys, "make_store", lambda *_: None)
    command = ["load", "--scenario", "busy-store", "--quick", "--lanes", "4", "--rate", "150"]
    command.append("--no-ladder")
    done = CliRunner().invoke(bench, [*command, "--seconds", "6", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    (row,) = json.loads((tmp_path / "load.json").read_text())["figures"]
    assert set(row["outcomes"]) == {"right"}
    assert set(row["histograms_ns"]) == {"quote", "commit"}
    assert [words for _, words in row["marks"]] == [
        "activation begins",
        "the new program is live",
        "checkpoint begins",
        "checkpoint done",
    ]
    assert [part["name"] for part in row["windows"]][:2] == [
        "before",
        "activation, and a second after it",
    ]
    assert (tmp_path / "load.html").read_text().count("<svg") == 2


def test_a_program_that_decides_otherwise_fails_the_run(tmp_path):
    """The scenario itself can fail: the reference knew of no such program."""
    options = LoadOptions(
        work=tmp_path, lanes=2, rates=(150.0,), seconds=3.0, is_quick=True, has_ladder=False
    )

    def with_another_program(data, lanes, calls, seed):
        world = make_world(tmp_path / "other", QUICK, seed)
        world.go_live()
        data.symlink_to(world.data)
        offers = make_offers(LIVE_LEAST, QUICK)
        (first,) = [offer for offer in offers if offer["id"] == "ten-00"]
        first["discount"]["percent"] += 1
        following = compile_offers(
            load_program(tmp_path / "other/program"),
            offers,
            open_catalogue(world.catalogue),
            snapshot_directory(world.data),
        )
        return store.seeded(replace(options, lanes=lanes)), following

    with pytest.raises(BenchError, match="a wrong answer"):
        store.run_busy_store(options, with_another_program, lambda _: None, lambda *_: None)
