"""``checklane report``: its files, the proof that it prints, and what it says when that fails."""

import csv
import sys

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from checklane.books.periods import Periods
from checklane.cli import main, report
from tests.books.day import DATES
from tests.books.test_reports import MAP

KINDS = (
    "periods",
    "gaps",
    "settlement",
    "coupons",
    "postings",
    "liability",
    "clearing",
    "elsewhere",
    "statement",
    "scan-data",
)
FROM, TO = "2026-03-03", "2026-03-05"


@pytest.fixture(scope="module")
def data(day, tmp_path_factory):
    """Return the day's data directory; the engine is still running on it."""
    return day.shop.data


def run(data, kind, out, *options):
    arguments = ["report", kind, "--data", str(data), "--out", str(out), *options]
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("kind", KINDS)
def test_csv_and_parquet_hold_the_same_rows(day, data, tmp_path, kind):
    span = ("--from", FROM, "--to", "20991231" if kind == "liability" else TO)
    if kind == "postings":
        (tmp_path / "map.yaml").write_text(MAP)
        span += ("--map", str(tmp_path / "map.yaml"))
    elif kind == "statement":
        span += ("--group", str(day.shop.member("ann").group_number))
    told = run(data, kind, tmp_path / "out.csv", *span)
    assert told.exit_code == 0, told.output
    assert told.output.splitlines()[-1] == "adds up: yes"
    assert run(data, kind, tmp_path / "out.pq", *span, "--format", "parquet").exit_code == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    table = pq.read_table(tmp_path / "out.pq")
    assert table.column_names == head
    columns = table.to_pydict()
    assert rows == [[str(columns[name][at]) for name in head] for at in range(table.num_rows)]
    assert rows
    assert not list(tmp_path.glob("*.part"))


def test_one_till_by_shift(data, tmp_path, day):
    span = ("--from", FROM, "--store", "S1", "--till", "8", "--by", "shift")
    assert run(data, "periods", tmp_path / "out.csv", *span).exit_code == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["store_id"], row["business_date"], row["till_id"]) for row in rows} == {
        ("S1", str(DATES[0]), "8")
    }
    assert {row["shift_id"] for row in rows} == {"", "early", "late"}


def test_a_report_without_rows_is_a_file_all_the_same(data, tmp_path):
    for file_format in ("csv", "parquet"):
        out = tmp_path / file_format
        told = run(data, "settlement", out, "--from", "2031-01-01", "--format", file_format)
        assert told.exit_code == 0, told.output
        assert out.exists()


def test_sums_that_differ_are_told_and_end_with_74(data, tmp_path, monkeypatch):
    monkeypatch.setattr(Periods, "_note_void", lambda self, sections, response: None)
    told = run(data, "periods", tmp_path / "out.csv", "--from", FROM, "--to", TO)
    assert told.exit_code == report.EXIT_UNEQUAL == 74
    assert "gross, by sold lines" in told.output
    assert "IS NOT" in told.output
    assert told.output.splitlines()[-1] == "adds up: no"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--from", "2026-02-30"), "2026-02-30 is no date"),
        (("--from", TO, "--to", FROM), "the last date is before the first"),
        ((), "Missing option '--from'"),
    ],
)
def test_what_cannot_be_asked(data, tmp_path, options, words):
    told = run(data, "periods", tmp_path / "out.csv", *options)
    assert told.exit_code != 0
    assert words in told.output
    assert not (tmp_path / "out.csv").exists()


def test_parquet_without_pyarrow_says_what_to_install(data, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    options = ("--from", FROM, "--format", "parquet")
    told = run(data, "periods", tmp_path / "out.pq", *options)
    assert told.exit_code != 0
    assert "checklane[feeds]" in told.output


def test_the_help_teaches():
    told = CliRunner().invoke(main, ["report", "--help"]).output
    for kind in KINDS:
        assert f"\n  {kind} " in told
