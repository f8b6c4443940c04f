"""`checklane explain`: the verdict and the reasons on a sale of the shop."""

from click.testing import CliRunner

from checklane.cli.explain import explain
from checklane.program import compile_program
from checklane.tables.catalogue_tables import open_catalogue
from checklane.tables.files import write_snapshot
from tests.engine.shop import HEAD, OFFERS, STORE, TILL, basket
from tests.support.engine_fixture import write_program


def run(shop, *words):
    return CliRunner().invoke(explain, ["--data", str(shop.data), *words])


def test_a_sale_is_explained_by_receipt_and_by_lsn(shop):
    sale = shop.sale(basket((100, 2, 1000), (400, 1, 500), member="ben"))
    lsn = shop.commit(sale).posting.lsn
    shop.activate(shop.built.cheaper, shop.built.catalogue)
    receipt = f"{STORE}/{sale.receipt.business_date}/{TILL}/{sale.receipt.sequence}"
    told = run(shop, "--receipt", receipt)
    assert told.exit_code == 0, told.output
    assert "same bytes: yes" in told.output
    rows = {row.split("│")[1].strip(): row for row in told.output.splitlines() if "│" in row}
    assert "applied" in rows["plain"]
    assert "100" in rows["plain"]
    assert "tier" in rows["gold-price"]
    assert run(shop, "--lsn", str(lsn)).output == told.output


def test_a_sale_is_explained_after_ten_other_programs(shop, tmp_path):
    sale = shop.sale(basket((100, 2, 1000), (400, 1, 500), member="ben"))
    lsn = shop.commit(sale).posting.lsn
    told = run(shop, "--lsn", str(lsn))
    for percent in range(11, 21):
        offers = [
            {**o, "discount": {"of": {"category": "PLAIN"}, "percent": percent}}
            if o["id"] == "plain"
            else o
            for o in OFFERS
        ]
        write_program(tmp_path / str(percent), {**HEAD, "offers": offers})
        tables = compile_program(tmp_path / str(percent), open_catalogue(shop.built.catalogue))
        shop.activate(write_snapshot(shop.data / "snapshots", "program", tables))
        later = shop.commit(shop.sale(basket((100, 2, 1000), member="ben")))
        assert later.decision.totals.discount_minor == 10 * percent
    assert "same bytes: yes" in told.output
    assert run(shop, "--lsn", str(lsn)).output == told.output


def test_what_is_not_there_is_refused_by_name(shop):
    told = run(shop, "--receipt", f"{STORE}/20260304/{TILL}/999")
    assert told.exit_code != 0
    assert told.exception.reason == "RECEIPT_UNKNOWN"
    assert run(shop).exit_code == 2
