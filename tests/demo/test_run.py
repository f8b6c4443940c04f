"""The whole demo with a real server: on a small made-up data set, and on the real one."""

import io
import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from checklane.cli import main
from checklane.demo.data import find_data
from checklane.demo.lane import ACK, ACK_SALE, Tally
from checklane.demo.replay import Outcome, Plan
from checklane.demo.run import Options, missing_sales, run

PNG = b"\x89PNG\r\n\x1a\n"


def run_demo(work, source, **changes):
    told = io.StringIO()
    options = Options(
        work=work,
        basket_count=changes.get("basket_count"),
        lane_count=4,
        worker_count=2,
        seed=changes.get("seed", 1),
        every_scan=changes.get("every_scan", False),
        source=source,
        visit_count=changes.get("visit_count", 0),
    )
    is_reconciled = run(options, Console(file=told, width=120))
    return is_reconciled, told.getvalue()


@pytest.mark.parametrize("every_scan", [False, True])
def test_a_small_data_set_is_reconciled(tables, tmp_path, every_scan):
    is_reconciled, told = run_demo(tmp_path, tables, every_scan=every_scan)
    assert is_reconciled, told
    assert told.rstrip().endswith("reconciled: yes")
    assert "sums by store and by business date agree" in told
    figures = json.loads((tmp_path / "report" / "figures.json").read_text())
    assert figures["commits"] == figures["baskets"] == 60
    assert figures["differences"] == []
    assert figures["day"] is None
    assert figures["points_issued"]["points"] > 0
    assert figures["savings_minor"]["member prices"] > 0
    assert figures["opened_accounts"] == 1
    assert (figures["quotes"] == figures["lines"]) == every_scan
    assert (tmp_path / "report" / "chart.png").read_bytes().startswith(PNG)


def test_the_real_data_set_is_reconciled(tmp_path):
    is_reconciled, told = run_demo(tmp_path, find_data(), basket_count=250, visit_count=60)
    assert is_reconciled, told
    figures = json.loads((tmp_path / "report" / "figures.json").read_text())
    assert figures["commits"] == 250
    assert figures["commits_like_quote"] == 250
    assert sum(figures["day"]["flows"].values()) > 50


def test_the_verb_leaves_its_report_only(tables, tmp_path):
    work = tmp_path / "work"
    arguments = ["demo", "--baskets", "30", "--lanes", "2", "--data", str(tables)]
    result = CliRunner().invoke(main, [*arguments, "--visits", "30", "--work", str(work)])
    assert result.exit_code == 0, result.output
    assert "reconciled: yes" in result.output
    assert "What became of the visits" in result.output
    assert [path.name for path in work.iterdir()] == ["report"]


@pytest.mark.parametrize("count", ["0", "-3", "many", "1.5"])
def test_a_wrong_number_of_baskets_is_told(count):
    result = CliRunner().invoke(main, ["demo", f"--baskets={count}"])
    assert result.exit_code == 2
    assert "write a number of baskets, or all" in result.output


def test_a_missing_extra_is_told(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "checklane.demo.run", None)
    result = CliRunner().invoke(main, ["demo", "--work", str(tmp_path)])
    assert result.exit_code == 1
    assert "pip install 'checklane[demo]'" in result.output


def test_a_folder_with_something_in_it_is_not_touched(tmp_path):
    (tmp_path / "mine").write_text("mine")
    result = CliRunner().invoke(main, ["demo", "--work", str(tmp_path)])
    assert result.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_sale_that_was_refused_or_changed_is_no_success(tmp_path):
    plan = Plan(tmp_path, 3, 9, 1)
    acks = np.zeros(3, dtype=ACK)
    acks["kind"], acks["gross_minor"] = ACK_SALE, 100
    whole = Tally(baskets=3, commits=3, sent_minor=300)
    assert missing_sales(plan, Outcome(whole, {}), acks) == []
    refused = Tally(baskets=3, commits=2, sent_minor=200)
    refused.refusals["commit: STORE_UNKNOWN"] += 1
    assert missing_sales(plan, Outcome(refused, {}), acks[:2]) == [
        "3 baskets were planned, 2 committed",
        "refused 1 times: commit: STORE_UNKNOWN",
    ]
    acks["gross_minor"][1] -= 1
    assert missing_sales(plan, Outcome(whole, {}), acks) == ["3.00 were sent, 2.99 were charged"]
