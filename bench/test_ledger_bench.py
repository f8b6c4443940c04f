"""The ledger's bench: it runs, counts what it says, and fails on a refusal."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from checklane._engine import EngineError, LedgerDrive
from checklane.bench import ledger, ledger_start
from checklane.bench.figures import BenchError, Figure
from checklane.bench.ledger_report import LedgerReport, Row, ratio, write_markdown
from checklane.bench.ledger_sales import drive_of
from checklane.cli.bench import bench
from checklane.cli.bench_ledger import PARTS


def a_row(section, in_flight, per_second, *, is_ledger):
    row = Row(section, f"{in_flight} in flight", in_flight, Figure(section, ""))
    row.figure.add(np.full(100, 1000, dtype=np.int64), 100 / per_second)
    row.group_entries += [1.0] if is_ledger else []
    return row


def test_the_verb_names_the_parts():
    assert PARTS == ledger.SECTIONS


def test_the_verb_measures_and_writes_its_report(tmp_path):
    command = ["ledger", "--quick", "--only", "commits", "--only", "start", "--out", str(tmp_path)]
    done = CliRunner().invoke(bench, command)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "ledger.json").read_text())
    names = [(row["section"], row["name"]) for row in found["rows"]]
    assert len(names) == len(set(names)) == 1 + len(ledger.QUICK.in_flight) + 4
    for row in found["rows"]:
        assert 0 < row["p50_ns"] <= row["p99_ns"] <= row["p999_ns"]
    stopped, killed, many = found["starts"]
    # The entry of each earlier opening is there too, and of the sales that were to be posted again.
    assert stopped["replayed"] < ledger.QUICK.start.entries <= killed["replayed"]
    assert f"{ledger.QUICK.start.members:,} members" in many["name"]
    page, table = (tmp_path / f"ledger.{kind}" for kind in ("html", "md"))
    for _, name in names:
        assert name in page.read_text()
        assert f"| {name} |" in table.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ledger.html",
        "ledger.json",
        "ledger.md",
    ]


def test_every_sale_of_a_drive_is_entered_once(world, tmp_path):
    sales = ledger.decided_sales(world, 1)
    opened_drive = drive_of(world.data, sales, accounts=10, seed=7)
    assert opened_drive.stats() == {}
    with pytest.raises(EngineError):
        opened_drive.run(1, 0.01)
    opened_drive.open()
    before = opened_drive.stats()
    closed, _, refused = opened_drive.run(8, 0.05)
    late, elapsed_s, refused_late = opened_drive.run(8, 0.2, per_second=500.0)
    after = opened_drive.stats()
    opened_drive.close()
    assert refused is refused_late is None
    assert len(closed) + len(late) == after["entries"] - before["entries"]
    assert after["repeats"] == before["repeats"]
    assert 0 < len(late) <= 500 * 0.2 + 1
    assert elapsed_s >= 0.19
    # The same seed has the same keys: what is there already is no sale again.
    again = drive_of(world.data, sales, accounts=10, seed=7)
    again.open()
    again.run(1, 0.01)
    assert again.stats()["repeats"] > 0
    again.close()


def test_a_refused_sale_fails_the_run(world):
    class Refusing:
        def stats(self):
            return {"entries": 0, "groups": 0, "checkpoints": 0, "sync_us": 0}

        def run(self, *_):
            return np.ones(3, dtype=np.uint32), 0.1, (70, 2)

    row = a_row("x", 1, 10, is_ledger=False)
    with pytest.raises(BenchError, match="2 commits were refused with status 70"):
        ledger.add_run(row, Refusing(), 1, 0.1, 0.0)


def test_a_drive_without_sales_is_refused(world):
    drive = LedgerDrive(
        str(world.data), program_key=1, node=0, partition=0, entries=b"", accounts=1, seed=1
    )
    with pytest.raises(EngineError):
        drive.open()


def test_ratios_are_to_as_many_in_flight(tmp_path):
    disk, own = a_row("disk", 1, 1000, is_ledger=False), a_row("own", 8, 8000, is_ledger=True)
    peer, other = a_row("peer", 8, 2000, is_ledger=False), a_row("peer", 1, 500, is_ledger=False)
    rows = [disk, own, peer, other]
    assert ratio(peer, rows) == pytest.approx(4.0)
    assert [ratio(row, rows) for row in (disk, own, other)] == [None, None, None]
    write_markdown(LedgerReport({}, rows, []), tmp_path / "table.md")
    assert "4.0 x" in (tmp_path / "table.md").read_text()


def test_a_start_that_fails_is_told(tmp_path, world):
    with pytest.raises(BenchError, match="a start failed"):
        ledger_start.start_once(tmp_path, world.usual, world.catalogue, world.members)
