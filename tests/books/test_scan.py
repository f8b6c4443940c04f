"""The scan-data file against the baskets and answers themselves."""

from collections import Counter

import pytest

from checklane.books.scan import DISCOUNT, GOODS, GROSS, NET, UNITS, read_scan_data
from checklane.books.walk import LiveJournal
from checklane.errors import NotFoundError
from checklane.tables.catalogue_tables import open_catalogue
from checklane.v1 import basket_pb2, decision_pb2
from tests.books.day import DATES, TOBACCO


@pytest.fixture(scope="module")
def scanned(day):
    def catalogue(content_hash):
        assert content_hash.hex() in day.catalogue.name
        return open_catalogue(day.catalogue)

    source = LiveJournal(day.shop.engine)
    return read_scan_data(source, DATES[0], DATES[-1], GOODS["tobacco"], catalogue)


def test_every_line_of_the_goods_is_there_with_who_pays(day, scanned):
    expected = Counter()
    for sale in day.sales:
        goods = {
            line.line_id: line
            for line in sale.request.basket.lines
            if line.product_code in TOBACCO and line.kind != basket_pb2.LINE_KIND_RETURN
        }
        receipt = sale.request.receipt
        place = (receipt.store_id, sale.key[1], receipt.till_id, receipt.sequence)
        for line in sale.decision.lines:
            if line.line_id not in goods:
                continue
            sold = goods[line.line_id]
            expected[*place, sold.product_code, "gross"] += sold.amount_minor
            expected[*place, sold.product_code, "net"] += line.net_minor
            expected[*place, sold.product_code, "units"] += sold.count
            for offer in line.applied:
                for part in offer.funding:
                    name = decision_pb2.SettlementClass.Name(part.settlement_class)
                    key = (offer.offer_id, part.funder_id, name.rpartition("CLASS_")[2])
                    expected[*place, sold.product_code, key] += part.amount_minor
    found = Counter()
    for row in scanned.table().rows:
        if row[3] != "SALE":
            continue
        place = (row[4], row[0], row[5], row[6], row[8])
        found[*place, "gross"] += row[GROSS]
        found[*place, "net"] += row[NET]
        found[*place, "units"] += row[UNITS]
        found[*place, tuple(row[14:17])] += row[DISCOUNT]
    assert +found == +expected
    assert any(key[-1] == ("plain", "Alba", "THIRD_PARTY") for key in found)


def test_what_came_back_is_negative_and_all_adds_up(scanned):
    proof = scanned.prove()
    assert proof.adds_up, proof.sums
    rows = scanned.table().rows
    for kind in ("VOID", "RETURN"):
        back = [row for row in rows if row[3] == kind]
        assert back
        assert all(row[UNITS] <= 0 and row[GROSS] <= 0 for row in back)
        assert sum(row[DISCOUNT] for row in back) < 0
    scanned._net_minor += 1
    assert not scanned.prove().adds_up
    scanned._net_minor -= 1


def test_goods_that_nobody_sold_have_no_rows(day):
    found = read_scan_data(
        LiveJournal(day.shop.engine), DATES[0], DATES[-1], GOODS["lottery"],
        lambda content_hash: open_catalogue(day.catalogue),
    )  # fmt: skip
    assert found.table().rows == []
    assert found.prove().adds_up


def test_a_catalogue_that_is_gone_is_told(day, tmp_path):
    gone = tmp_path / day.catalogue.name
    with pytest.raises(NotFoundError):
        read_scan_data(
            LiveJournal(day.shop.engine), DATES[0], DATES[-1], GOODS["tobacco"],
            lambda content_hash: open_catalogue(gone),
        )  # fmt: skip
