"""The bench itself: it repeats itself, fails on wrong answers, and its report is whole."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from checklane._engine import EngineError
from checklane.bench.calls import METHOD_OF, make_sale_goods, sender
from checklane.bench.evaluator import answers_of
from checklane.bench.figures import BenchError, Figure, checksum, exact_share, ratio
from checklane.bench.loop import Lane, gather, run_lanes
from checklane.bench.report import time_text
from checklane.bench.run import SECTIONS
from checklane.bench.world import QUICK, TEN, block_brand, make_baskets, make_offers, make_world
from checklane.cli.bench import PARTS, bench
from checklane.program import load_program
from checklane.program.checks import check_program
from checklane.program.load import reading_context
from checklane.program.model import Offer
from checklane.tables.catalogue_tables import open_catalogue


@pytest.fixture
def goods(engine):
    return make_sale_goods(engine, 2, seed=1)


def test_a_seed_decides_everything(world, tmp_path):
    again = make_world(tmp_path, QUICK, 1)
    assert again.members.name == world.members.name
    assert [path.name for path in again.programs.values()] == [
        path.name for path in world.programs.values()
    ]
    one, same, other = (
        [basket.quote() for basket in make_baskets("x", 8, seed=seed, members=8)]
        for seed in (1, 1, 2)
    )
    assert one == same
    assert one != other


def test_the_offers_are_good_ones(world, tmp_path):
    (tmp_path / "program.yaml").write_text((world.data.parent / "program/program.yaml").read_text())
    (tmp_path / "offers").mkdir()
    loaded = load_program(tmp_path)
    context = reading_context(loaded.tree)
    offers = make_offers(200, QUICK)
    loaded.offers = [Offer.model_validate(offer, context=context) for offer in offers]
    check_program(loaded, open_catalogue(world.catalogue))
    assert len(offers) == 200
    assert not loaded.problems.has_errors, str(loaded.problems)


def test_neighbours_in_a_basket_have_different_brands():
    (basket,) = make_baskets("x", 1, seed=1)
    codes = [line.product_code for line in basket.message.lines]
    brands = {block_brand(TEN, int(code[-4:])) for code in codes}
    assert len(codes) == len(brands) == 10


def test_live_offers_on_other_goods_change_no_decision(world, engine):
    quotes = [basket.quote() for basket in make_baskets("x", 8, seed=1, members=8)]
    found = set()
    for program in world.programs.values():
        engine.activate(str(program), None, None)
        answers = answers_of(engine, quotes)
        assert exact_share(answers) == 1.0
        found.add(checksum(answers))
    assert len(found) == 1
    quotes[0] = make_baskets("x", 1, seed=2)[0].quote()
    assert checksum(answers_of(engine, quotes)) not in found


def test_a_refused_basket_has_no_time(engine):
    with pytest.raises(EngineError):
        engine.time_decisions(b"\xff", 1)
    with pytest.raises(ValueError, match="at least one"):
        engine.time_decisions(make_baskets("x", 1, seed=1)[0].quote(), 0)
    with pytest.raises(BenchError, match="refused"):
        answers_of(engine, [b"\xff"])


def test_commits_are_entered_once_each(engine, goods):
    lanes = [Lane("commit", goods[1][number::2], 900 + number, 0.05) for number in range(2)]
    before = engine.stats()
    run_lanes(lanes, [sender(engine, METHOD_OF["commit"])] * 2)
    times, elapsed_s = gather(lanes)
    after = engine.stats()
    assert elapsed_s > 0
    assert len(times) == after["entries"] - before["entries"] > 0
    assert after["repeats"] == before["repeats"]


@pytest.mark.parametrize("kind", ["quote", "commit", "empty"])
def test_a_wrong_answer_fails_the_run(goods, kind):
    lane = Lane(kind, goods[0], 1, 0.05)
    run_lanes([lane], [lambda _: b""])
    with pytest.raises(BenchError, match="wrong answer"):
        gather([lane])


def test_a_refusal_fails_the_run(engine, goods):
    lane = Lane("commit", goods[1], 2, 0.05)
    run_lanes([lane], [sender(engine, 0)])
    with pytest.raises(BenchError, match="refused"):
        gather([lane])


def test_a_repeated_key_fails_no_commit_but_enters_nothing(engine, goods):
    send = sender(engine, METHOD_OF["commit"])
    request, _ = next(Lane("commit", goods[1], 3, 0.05).requests())
    first, before = send(request), engine.stats()["entries"]
    assert send(request) == first
    assert engine.stats()["entries"] == before


def test_medians_are_over_runs():
    figure, base = Figure("disk", "a", versus="b"), Figure("disk", "b")
    for middle in (100, 300, 200):
        figure.add(np.full(101, middle, dtype=np.uint32), 0.5)
    base.add(np.full(10, 50, dtype=np.int64), 0.1)
    assert (figure.p50_ns, figure.p99_ns, figure.max_ns) == (200, 200, 300)
    assert figure.per_second == 202
    assert figure.histogram.get_total_count() == 303
    assert ratio(figure, [base, figure]) == 4.0
    assert ratio(base, [base, figure]) is None
    with pytest.raises(BenchError, match="nothing"):
        figure.add(np.zeros(0, dtype=np.int64), 0.1)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0 ns"), (999, "999 ns"), (1234, "1.23 µs"), (51_000_000, "51.0 ms"), (2e9, "2.00 s")],
)
def test_times_have_units(nanoseconds, text):
    assert time_text(nanoseconds) == text


def test_the_verb_names_the_parts():
    assert PARTS == SECTIONS


def test_the_verb_measures_everything_and_writes_its_report(tmp_path):
    done = CliRunner().invoke(bench, ["--quick", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bench.html",
        "bench.json",
        "bench.md",
    ]
    found = json.loads((tmp_path / "bench.json").read_text())
    assert {"processor", "cores", "kernel", "load", "python", "checklane"} <= set(found["machine"])
    figures = {figure["name"]: figure for figure in found["figures"]}
    assert len(figures) == len(found["figures"])
    assert {figure["section"] for figure in figures.values()} == {
        "disk",
        "evaluator",
        "best deals",
        "others",
        "in process",
        "gRPC",
    }
    assert figures["4 KiB write and fdatasync"]["p50_ns"] > 0
    for figure in figures.values():
        assert 0 < figure["p50_ns"] <= figure["p99_ns"]
        assert len(figure["runs"]) == 2
        others = ("empty", "plain", "zen", "CEL", "checklane: a whole")
        decides = figure["section"] != "disk" and not figure["name"].startswith(others)
        decides = decides and not figure["name"].endswith("HiGHS")
        assert bool(figure["checksum"]) == decides
        assert (figure["ratio"] is not None) == bool(figure["versus"])
    # The same baskets through the port were decided as in this process.
    assert figures["quote, 1 in flight"]["checksum"] == figures["quote, 1 connection"]["checksum"]
    page = (tmp_path / "bench.html").read_text()
    table = (tmp_path / "bench.md").read_text()
    for figure in figures.values():
        assert figure["checksum"] in page
        assert f"| {figure['name']} |" in table
    assert "http" not in page


def test_the_verb_measures_one_part_only(tmp_path):
    done = CliRunner().invoke(bench, ["--quick", "--only", "calls", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "bench.json").read_text())
    assert {figure["section"] for figure in found["figures"]} == {"disk", "in process"}
