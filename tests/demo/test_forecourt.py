"""A day at the pumps with a server that is killed: every purse adds up, nothing is held."""

from click.testing import CliRunner

from checklane.cli import main
from checklane.demo.forecourt import (
    FULL,
    LATE,
    NEVER,
    UNDER_RUN,
    count_kinds,
    plan_fills,
)
from checklane.demo.fuel_day import Day

FILLS = 500


def test_a_seed_tells_the_same_day_again():
    fills = plan_fills(3, FILLS, 40, 8)
    assert plan_fills(3, FILLS, 40, 8) == fills
    assert plan_fills(4, FILLS, 40, 8) != fills
    kinds = count_kinds(fills)
    assert kinds.keys() == {FULL, UNDER_RUN, NEVER, LATE}
    assert 30 < kinds[UNDER_RUN] < 75
    assert 10 < kinds[NEVER] < 45
    assert 2 < kinds[LATE] < 20
    assert all(fill.thousandths == 0 for fill in fills if fill.how == NEVER)
    assert all(fill.amount_minor() < (fill.prepaid_minor or 10**6) for fill in fills)


def test_a_day_adds_up(tmp_path):
    arguments = ["forecourt", "--fills", str(FILLS), "--work", str(tmp_path / "day")]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "server killed: 2" in done.output
    assert done.output.rstrip().endswith("adds up: yes")


def test_a_fault_is_told():
    day = Day()
    assert day.adds_up
    day.faults.append("member 1, steps: (990, 0), not (1000, 0)")
    assert not day.adds_up
