"""The example program and feeds are good: everything in the docs stands on them."""

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from checklane.cli.offers import offers
from checklane.program import check_path, load_program, load_vocabulary
from checklane.program.codes import code_fault
from checklane.program.model import MECHANICS
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.tables.catalogue_tables import open_catalogue
from tests.program.samples import write_program

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROGRAM = EXAMPLES / "program"
FEEDS = EXAMPLES / "feeds"


def feed(name):
    with (FEEDS / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def catalogue_path(tmp_path_factory):
    feeds = CatalogueFeeds([FEEDS / "products.csv"], [FEEDS / "stores.csv"])
    built = build_catalogue(feeds, tmp_path_factory.mktemp("snapshots"))
    assert built.counts["products"] == len(feed("products"))
    return built.path


def test_the_program_is_good_and_every_offer_reaches_something(catalogue_path):
    report = check_path(PROGRAM, open_catalogue(catalogue_path))
    assert report.problems == []
    assert len(report.offers) >= 12
    assert [line.id for line in report.offers if line.reach == 0] == []
    assert report.cost.product.candidates < 20


def test_every_mechanic_is_shown():
    assert {offer.mechanic for offer in load_program(PROGRAM).offers} == set(MECHANICS)


def test_gtins_have_their_check_digits():
    products = feed("products")
    texts = [("sku:" if row["code_kind"] == "sku" else "") + row["code"] for row in products]
    assert [text for text in texts if code_fault(text)] == []
    assert len(set(texts)) == len(texts)


def test_feeds_fit_together_and_to_the_program():
    names = load_vocabulary(PROGRAM)
    members = {row["member_id"] for row in feed("members")}
    stores = {row["store_id"] for row in feed("stores")}
    ids = {offer.id for offer in load_program(PROGRAM).offers if offer.wallet}
    for row in feed("members"):
        assert row["tier"] in names.tiers
        assert set(filter(None, row["segments"].split(";"))) <= set(names.segments)
        assert row["home_store"] in stores
    assert {row["member_id"] for row in feed("identifiers")} <= members
    assert {row["member_id"] for row in feed("wallets")} <= members
    assert {row["offer_id"] for row in feed("wallets")} == ids


def test_check_on_the_command_line(catalogue_path):
    result = CliRunner().invoke(
        offers, ["check", str(PROGRAM), "--catalogue", str(catalogue_path), "--no-measure"]
    )
    assert result.exit_code == 0
    assert "meal-deal" in result.output
    assert "corner-market: good, 0 errors, 0 warnings" in result.output


def test_check_refuses_with_status_1_and_tells_machines(tmp_path):
    path = write_program(tmp_path, "- id: a\n  discount: {of: all, percent: 101}\n")
    result = CliRunner().invoke(offers, ["check", str(path)])
    assert result.exit_code == 1
    assert "offers/offers.yaml:2:32: error: '101' is out of range" in result.output
    result = CliRunner().invoke(offers, ["check", str(path), "--format", "json"])
    told = json.loads(result.output)
    assert (result.exit_code, told["good"]) == (1, False)
    assert (told["problems"][0]["line"], told["problems"][0]["column"]) == (2, 32)
    result = CliRunner().invoke(offers, ["check", str(PROGRAM), "--format", "json"])
    assert json.loads(result.output)["good"] is True


def test_show_gives_the_whole_offer_and_no_more():
    result = CliRunner().invoke(offers, ["show", str(PROGRAM), "chips-2nd-half-price"])
    assert result.exit_code == 0
    assert "Crackle Snacks 75 %, retailer 25 %" in result.output
    assert "percent: 50" in result.output
    assert "soup-3-for-2" not in result.output
    result = CliRunner().invoke(offers, ["show", str(PROGRAM), "chips-second"])
    assert result.exit_code == 1


def test_schema_writes_both_files(tmp_path):
    result = CliRunner().invoke(offers, ["schema", "--out", str(tmp_path)])
    assert result.exit_code == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "offers.schema.json",
        "program.schema.json",
    }
