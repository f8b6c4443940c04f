"""How the data set is read, and what is made of it."""

import csv
from collections import Counter

import numpy as np
import pytest

from checklane.demo import feeds as feeds_module
from checklane.demo.data import (
    KIND_FUEL,
    KIND_GIFT_CARD,
    KIND_OPAQUE,
    DataError,
    cents,
    dates,
    read_dataset,
)
from checklane.demo.feeds import CHOSEN_COUPONS, card_number, is_fed, member_id, write_feeds
from checklane.demo.lane import wire_line
from checklane.demo.program import mechanic_of, write_program
from checklane.program import load_program
from checklane.v1 import basket_pb2
from tests.demo import small_tables


def read_csv(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_money_is_whole_cents(dataset):
    assert dataset.lines["amount_minor"].min() >= 0
    soup = dataset.lines[dataset.lines["product"] == 101]
    # Card price and the shop's part of a coupon are added back: the shelf price is left.
    assert (soup["amount_minor"] == small_tables.PRICES[101] * soup["count"]).all()


@pytest.mark.parametrize("value", [0.015, -0.01, float("nan"), float("inf")])
def test_a_part_of_a_cent_is_refused(value):
    with pytest.raises(DataError):
        cents(np.array([1.0, value]), "sales_value")


def test_cents_are_exact_up_to_a_hundred_thousand():
    whole = np.arange(10_000_000)
    assert (cents(whole / 100, "sales_value") == whole).all()


def test_dates_are_numbers():
    days = np.array(["2017-01-01", "2017-12-31", "2016-02-29"], dtype="datetime64[D]")
    assert dates(days.astype(np.int64)).tolist() == [20170101, 20171231, 20160229]


def test_odd_lines_follow_their_rules(dataset):
    lines = dataset.lines
    fuel = lines[lines["kind"] == KIND_FUEL]
    assert set(fuel["count"].tolist()) == {1}
    assert set(fuel["measure_thousandths"].tolist()) == {0, 8725}
    opaque = lines[lines["kind"] == KIND_OPAQUE]
    assert set(opaque["amount_minor"].tolist()) == {25}
    assert (lines["product"][lines["kind"] == KIND_GIFT_CARD] == small_tables.GIFT_CARD).all()
    rules = Counter(dataset.rules)
    assert rules["quantity 0: sent as an opaque line"] == len(opaque)
    assert rules["coupon row given twice: read once"] == 1
    assert rules["coupon row of a product not in the product table: left out"] == 1
    strangers = int((lines["product"] == small_tables.STRANGER).sum())
    assert rules["product not in the product table: sold as an unknown code"] == strangers > 0


def test_lines_go_on_the_wire_as_their_rules_say(dataset):
    for row in dataset.lines:
        line = wire_line(3, row)
        assert line.amount_minor == row["amount_minor"]
        assert line.opaque == (row["kind"] == KIND_OPAQUE)
        is_load = row["kind"] == KIND_GIFT_CARD
        assert (line.kind == basket_pb2.LINE_KIND_GIFT_CARD_LOAD) == is_load
        assert line.measure.quantity_thousandths == row["measure_thousandths"]


def test_times_move_to_the_stores(dataset):
    first = dataset.baskets[0]
    assert first["opened_unix_ms"] >= small_tables.BEGIN_S * 1000
    assert (np.diff(dataset.baskets["opened_unix_ms"]) >= 0).all()
    local_s = int(first["opened_unix_ms"]) // 1000 - 5 * 3600
    assert np.datetime64(local_s, "s").astype("datetime64[D]") == np.datetime64("2017-01-01")
    assert first["business_date"] == 20170101


def test_baskets_hold_all_lines(dataset):
    assert dataset.baskets["line_count"].sum() == len(dataset.lines)
    ends = dataset.baskets["first_line"] + dataset.baskets["line_count"]
    assert ends[:-1].tolist() == dataset.baskets["first_line"][1:].tolist()


def test_feeds_and_program_fit_each_other(dataset, tmp_path):
    files = write_feeds(dataset, tmp_path / "feeds")
    loaded = load_program(write_program(dataset, tmp_path / "program"))
    assert list(loaded.problems) == []
    offers = {offer.id for offer in loaded.offers}
    wallets = read_csv(files.wallets)
    assert {row["offer_id"] for row in wallets} <= offers
    members = {row["member_id"] for row in read_csv(files.members)}
    assert {row["member_id"] for row in wallets} <= members
    products = read_csv(files.products)
    assert len(products) == len(small_tables.PRODUCTS) + len(feeds_module.GRADES)
    paths = {row["code"]: row["category"] for row in products}
    assert paths["104"] == "GROCERY/BAKED BREAD|BUNS|ROLLS/MAINSTREAM WHITE BREAD"
    assert paths["107"] == "MISCELLANEOUS"


def test_one_household_in_a_hundred_is_left_to_its_card(dataset, tmp_path):
    files = write_feeds(dataset, tmp_path)
    members = {row["member_id"] for row in read_csv(files.members)}
    assert 100 in dataset.households
    assert not is_fed(100)
    assert member_id(100) not in members
    assert len(members) == len(dataset.households) - 1
    assert card_number(100) == "840000000100"


def test_a_household_gets_sixteen_coupons_of_a_type_a_campaign(dataset, tmp_path):
    files = write_feeds(dataset, tmp_path)
    rows = [row for row in read_csv(files.wallets) if row["offer_id"].startswith("campaign-01")]
    counts = Counter(row["member_id"] for row in rows)
    assert set(counts.values()) == {CHOSEN_COUPONS}
    # They are those of what the household buys most.
    household = next(h for h in small_tables.HOUSEHOLDS[:8] if is_fed(h))
    bought, lines = feeds_module._bought(dataset)[1:], feeds_module._bought(dataset)[0]
    mine = dict(zip(bought[0][lines == household], bought[1][lines == household], strict=True))
    campaign = dataset.campaigns[0]
    score = {upc: mine.get(int(goods[0]), 0) for upc, goods in campaign.coupons.items()}
    chosen = {int(row["offer_id"].rsplit("-", 1)[1]) for row in rows
              if row["member_id"] == member_id(household)}  # fmt: skip
    left = set(score) - chosen
    assert min(score[upc] for upc in chosen) >= max(score[upc] for upc in left)


def test_feeds_are_the_same_twice(tables, dataset, tmp_path):
    first = write_feeds(dataset, tmp_path / "a")
    second = write_feeds(read_dataset(tables), tmp_path / "b")
    for name, path in vars(first).items():
        assert path.read_bytes() == getattr(second, name).read_bytes()


def test_a_missing_table_is_told(tmp_path):
    with pytest.raises(DataError, match="missing"):
        read_dataset(tmp_path)


def test_mechanics_have_words():
    assert mechanic_of("member-prices") == "member prices"
    assert mechanic_of("campaign-08-123") == "campaign coupons"
