"""Histograms that others can read, rows, comparisons, and the report of a whole run."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from hdrh.histogram import HdrHistogram

from checklane.bench.figures import BenchError, decoded, encoded, histogram_of, new_histogram
from checklane.bench.load.chart import Axis, Series, line_chart
from checklane.bench.load.compare import pairs, ratios, read_side
from checklane.bench.load.drive import Done
from checklane.bench.load.plan import RESULT, RIGHT, WRONG
from checklane.bench.load.report import LoadReport, write_json
from checklane.bench.load.requests import METHODS
from checklane.bench.load.rows import make_row, window
from checklane.bench.load.run import MODES, PORTS, PROFILES
from checklane.cli import load as verb
from checklane.cli.bench import bench
from tests.bench.canned import asking, decided


def some_times(seed, count=20_000):
    return (10 ** np.random.default_rng(seed).uniform(0, 10.7, count)).astype(np.int64)


def test_histograms_are_what_recording_each_value_gives():
    times = some_times(1)
    plain = new_histogram()
    for value in times.tolist():
        plain.record_value(min(max(value, 1), 60_000_000_000))
    assert encoded(histogram_of(times)) == encoded(plain)


def test_histograms_come_back_and_merge():
    one, other = some_times(1), some_times(2)
    text = encoded(histogram_of(one))
    # Anybody's reader: the V2 format, compressed, in base64.
    assert text.startswith("HISTF")
    read = HdrHistogram.decode(text)
    assert read.get_total_count() == len(one)
    for percentile in (50, 90, 99, 99.9, 100):
        found = read.get_value_at_percentile(percentile)
        wanted = np.percentile(one, percentile, method="higher")
        assert abs(found / wanted - 1) < 0.005
    merged = decoded(text)
    merged.add(histogram_of(other))
    assert encoded(merged) == encoded(histogram_of(np.concatenate([one, other])))


def done_of(waits_ns, outcome=RIGHT):
    results = np.zeros(len(waits_ns), RESULT)
    results["due_ns"] = np.arange(len(waits_ns)) * 1_000_000
    results["taken_ns"] = results["due_ns"] + 10
    results["done_ns"] = results["due_ns"] + np.array(waits_ns)
    results["outcome"] = outcome
    return Done(results, len(waits_ns) / 1000, "", b"", 1, 1)


def row_of(name, waits_ns, checksum="abc"):
    row = make_row("a port", name, done_of(waits_ns), METHODS, [asking(decided())], 1000.0)
    row.checksum = checksum
    return row


def written(folder, name, *rows):
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    write_json(LoadReport("a run", {"processor": "one"}, {}, list(rows)), path)
    return path


def test_a_row_counts_from_the_time_at_which_calls_were_due():
    row = row_of("a", [1000] * 98 + [5_000_000] * 2)
    assert (row.at(50), row.at(90)) == (1000, 1000)
    assert 4_990_000 < row.at(99) <= row.max_ns < 5_010_000
    assert row.lateness.get_max_value() == 10
    assert row.outcomes == {"right": 100}
    assert row.per_second == 1000
    done = done_of([1000] * 50 + [2000] * 50)
    early, late = window(row, "early", done, 0, 0.05), window(row, "late", done, 0.05, 0.1)
    assert (early.at(99), late.at(99)) == (1000, 2000)
    with pytest.raises(BenchError, match="nothing was answered"):
        make_row("a port", "a", done_of([1], WRONG), METHODS, [asking(decided())], 1.0)
    with pytest.raises(BenchError, match="nothing was answered"):
        window(row, "after", done, 5, 6)


def test_comparing_merges_runs_and_gives_ratios(tmp_path):
    written(tmp_path / "a", "1", row_of("q", [1000] * 100), row_of("only a", [1]))
    written(tmp_path / "a", "2", row_of("q", [3000] * 300))
    other = written(tmp_path / "b", "1", row_of("q", [2000] * 100))
    first, second = read_side(tmp_path / "a"), read_side(other)
    ((one, two),) = pairs(first, second)
    assert one.latency.get_total_count() == 400
    assert one.at(50) / 3000 == pytest.approx(1, rel=0.001)
    assert ratios(one, two)[0] == pytest.approx(2 / 3, rel=0.002)
    assert ratios(one, one) == [1.0] * 6
    page = tmp_path / "page.html"
    done = CliRunner().invoke(
        bench, ["compare", str(tmp_path / "a"), str(other), "--page", str(page)]
    )
    assert done.exit_code == 0, done.output
    assert "0.67" in done.output
    assert "<svg" in page.read_text()


def test_a_comparison_of_different_decisions_is_refused(tmp_path):
    one = written(tmp_path, "1", row_of("q", [1000]))
    other = written(tmp_path, "2", row_of("q", [1000], checksum="xyz"))
    none = written(tmp_path, "3", row_of("r", [1000]))
    with pytest.raises(BenchError, match="the decisions differ"):
        pairs(read_side(one), read_side(other))
    with pytest.raises(BenchError, match="no row of one name"):
        pairs(read_side(one), read_side(none))
    with pytest.raises(BenchError, match="decided differently"):
        read_side(tmp_path)
    done = CliRunner().invoke(bench, ["compare", str(one), str(other)])
    assert done.exit_code == 1
    assert "the decisions differ" in done.output


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 99}'])
def test_what_is_no_run_is_refused(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(BenchError, match=r"is no run|format"):
        read_side(path)


def test_runs_of_the_older_parts_are_compared_too(tmp_path):
    figure = {"section": "disk", "name": "sync", "per_second": 10.0, "checksum": ""}
    figure["histogram_ns"] = encoded(histogram_of([1000, 2000]))
    path = tmp_path / "bench.json"
    path.write_text(json.dumps({"format": 1, "machine": {}, "figures": [figure]}))
    assert read_side(path).rows["sync"].at(100) == 2000


def test_a_chart_shows_every_series_and_mark():
    lines = [Series("a <b>", [(1, 10), (100, 1000)]), Series("c", [(1, 20), (100, 20)])]
    text = line_chart(lines, Axis("x", str, is_log=True), Axis("y", str), [(10, "here")])
    assert text.count("<polyline") == 2
    assert "a &lt;b&gt;" in text
    assert "here" in text
    assert "http" not in text


def test_the_verb_names_the_modes_and_profiles():
    assert (verb.MODES, verb.PORTS) == (MODES, PORTS)
    assert set(verb.PROFILES) == set(PROFILES)


def test_the_verb_loads_a_server_and_writes_its_report(tmp_path):
    command = ["load", "--quick", "--mode", "mixed", "--lanes", "4", "--seconds", "0.4"]
    command.append("--no-ladder")
    command += ["--rate", "300", "--rate", "600", "--profile", "day", "--out", str(tmp_path)]
    done = CliRunner().invoke(bench, command)
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "load.html", "load.json", "load.md",
    ]  # fmt: skip
    found = json.loads((tmp_path / "load.json").read_text())
    assert {"processor", "cores", "fdatasync"} <= set(found["machine"])
    first, second = found["figures"]
    assert first["checksum"] == second["checksum"] != ""
    assert set(first["outcomes"]) == {"right"}
    assert set(first["histograms_ns"]) >= {"quote", "commit"}
    read = HdrHistogram.decode(first["histogram_ns"])
    assert read.get_total_count() == first["outcomes"]["right"]
    page = (tmp_path / "load.html").read_text()
    assert page.count("<svg") == 2
    assert "http" not in page
    assert "| mixed, open loop, 300/s |" in (tmp_path / "load.md").read_text()
