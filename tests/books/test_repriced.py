"""Books of sales whose kept goods are priced anew: who pays is who pays for what is kept."""

from collections import Counter

import pytest
from click.testing import CliRunner

from checklane.books.periods import Query, read_periods
from checklane.books.postings import load_map, postings_table, prove_postings, read_points
from checklane.books.scan import DISCOUNT, GOODS, GROSS, NET, UNITS, read_scan_data
from checklane.books.settlement import read_settlement
from checklane.books.walk import LiveJournal
from checklane.cli import main
from checklane.tables.catalogue_tables import open_catalogue
from tests.books.conftest import SEED
from tests.books.day import DATES, Day
from tests.books.test_periods import NAMES
from tests.books.test_reports import MAP
from tests.engine.repriced import DEALS, POINTS, POLICIES, give_back, sell
from tests.engine.shop import TODAY, TOMORROW, Shop

SOLD, RETURNED, SHARE = 5, 7, 8
#: Of any three plain goods, and of many others, on top of what the day has.
BUNDLES = [
    {"id": "three", "group_price": {"count": 3, "of": {"category": "PLAIN"}, "price": 2.00},
     "funding": [{"funder": "Alba", "percent": 70, "settlement": "third_party"},
                 {"funder": "retailer", "percent": 30}]},
    {"id": "many", "threshold": {"spend": 25.00, "reward": {"percent": 20}}},
]  # fmt: skip


@pytest.fixture(scope="module")
def shop(built, tmp_path_factory):
    program = built.compile("repriced-books", [*DEALS, *POINTS], policies=POLICIES)
    shop = Shop(built, tmp_path_factory.mktemp("repriced-books"), program=program)
    yield shop
    shop.engine.close()


def shares_since(shop, lsn):
    """Return what each offer and funder owes for what was posted since."""
    source = LiveJournal(shop.engine)
    source.first_lsn = lsn + 1
    found = read_settlement(source, TODAY, TOMORROW)
    assert found.prove().adds_up, found.prove().sums
    owed = Counter()
    for row in found.table().rows:
        owed[row[2:4]] += row[SHARE]
    return {key: amount for key, amount in owed.items() if amount}


def owed_for(lines):
    """Return what each offer and funder owes for lines, as an answer told it."""
    owed = Counter()
    for line in lines:
        for offer in line.applied:
            owed[offer.offer_id, ""] += offer.discount_minor
            for part in offer.funding:
                owed[offer.offer_id, part.funder_id] += part.amount_minor
                owed[offer.offer_id, ""] -= part.amount_minor
    return {key: amount for key, amount in owed.items() if amount}


def test_whoever_pays_for_what_is_kept_pays(shop):
    """The fourth takes the place of the one that came back: the same funders pay, on its line."""
    lsn = shop.lsn
    sale, decision = sell(shop, (100, 1, 1000), (100, 1, 900), (100, 1, 800), (100, 1, 700))
    assert shares_since(shop, lsn) == owed_for(decision.lines)
    back = give_back(shop, sale, (1, 1))
    owed = shares_since(shop, lsn)
    assert owed == owed_for(back.kept) == {("three", "Alba"): 280, ("three", "retailer"): 120}
    back = give_back(shop, sale, (3, 1))
    assert shares_since(shop, lsn) == owed_for(back.kept) == {}
    give_back(shop, sale, (2, 1), (4, 1))
    assert shares_since(shop, lsn) == {}


def test_another_offer_takes_the_place_on_a_line_that_costs_the_same(built, tmp_path):
    """Half is off it by either offer: which of them pays changes with the other unit."""
    offers = [
        {"id": "pair", "group_price": {"count": 2, "of": {"category": "PLAIN"}, "price": 9.99}},
        {"id": "half", "discount": {"of": {"category": "PLAIN"}, "percent": 50}},
    ]
    program = built.compile("half", offers, policies=POLICIES)
    shop = Shop(built, tmp_path, program=program)
    sale, decision = sell(shop, (100, 1, 1000), (100, 1, 1000))
    assert owed_for(decision.lines) == {("pair", "retailer"): 1001}
    (more,) = [line.line_id for line in decision.lines if line.discount_minor == 501]
    back = give_back(shop, sale, (more, 1))
    assert [line.line_id for line in back.lines] == [more]
    assert owed_for(back.kept) == {("half", "retailer"): 500} == shares_since(shop, 0)
    shop.engine.close()


def test_what_was_cut_stays_with_those_who_paid(shop):
    lsn = shop.lsn
    sale, decision = sell(shop, (500, 1, 100), (500, 1, 2900))
    assert shares_since(shop, lsn) == {("many", "retailer"): 600} == owed_for(decision.lines)
    back = give_back(shop, sale, (1, 1))
    assert (back.refund_minor, owed_for(back.kept)) == (0, {})
    assert shares_since(shop, lsn) == {("many", "retailer"): 500}
    give_back(shop, sale, (2, 1))
    assert shares_since(shop, lsn) == {}


def test_a_span_that_begins_after_a_return_knows_of_it(shop):
    """Settled are the entries of a date; what a line's shares are then, others made."""
    sale, decision = sell(shop, (300, 1, 1000), (300, 1, 1000))
    give_back(shop, sale, (2, 1), receipt=shop.receipt(TODAY))
    give_back(shop, sale, (1, 1), receipt=shop.receipt(20260306))
    found = read_settlement(LiveJournal(shop.engine), 20260306, 20260306)
    assert (found.prove().adds_up, found.table().rows) == (True, [])
    assert owed_for(decision.lines) == {("twin", "Alba"): 700, ("twin", "retailer"): 300}


@pytest.fixture(scope="module")
def day(built, tmp_path_factory):
    day = Day(built, tmp_path_factory.mktemp("repriced"), SEED + 2, BUNDLES, returns="reprice")
    day.run(300)
    yield day
    day.shop.engine.close()


def scan(day):
    return read_scan_data(
        LiveJournal(day.shop.engine), DATES[0], DATES[-1], GOODS["tobacco"],
        lambda content_hash: open_catalogue(day.catalogue),
    )  # fmt: skip


def test_a_day_of_repriced_returns_adds_up(day, tmp_path):
    source = LiveJournal(day.shop.engine)
    settled = read_settlement(source, DATES[0], DATES[-1])
    assert settled.prove().adds_up, settled.prove().sums
    returned = Counter()
    for row in settled.table().rows:
        returned[row[0], row[1]] += row[RETURNED]
    assert +returned == +day.clerk.returned
    scanned = scan(day)
    assert scanned.prove().adds_up, scanned.prove().sums
    assert any(row[UNITS] == 0 and row[DISCOUNT] < 0 for row in scanned.table().rows)
    (path := tmp_path / "accounts.yaml").write_text(MAP)
    points = read_points(source, DATES[0], DATES[-1], NAMES)
    proof = prove_postings(postings_table(settled, points, load_map(path)), settled, points)
    assert proof.adds_up, proof.sums


def test_periods_of_repriced_returns_are_the_clerks(day):
    found = read_periods(LiveJournal(day.shop.engine), Query(DATES[0], DATES[-1]), NAMES)
    assert found.prove().adds_up, found.prove().sums
    refund = sum(part.refund_minor for part in found.parts.values())
    assert refund == sum(sums["refund_minor"] for sums in day.clerk.sums.values())


def test_all_that_came_back_leaves_nothing(built, tmp_path):
    day = Day(built, tmp_path, SEED + 3, BUNDLES, returns="reprice")
    day.run(150)
    day.return_the_rest()
    net = Counter()
    for row in read_settlement(LiveJournal(day.shop.engine), DATES[0], DATES[-1]).table().rows:
        net[row[2]] += row[SHARE]
    kept = Counter()
    for sale in day.sales:
        if sale.is_open and not sale.has_returns:
            for offer in sale.decision.applied_offers:
                kept[offer.offer_id] += offer.discount_minor
    assert {offer: amount for offer, amount in net.items() if amount} == +kept
    scanned = Counter()
    for row in scan(day).table().rows:
        scanned["gross"] += row[GROSS]
        scanned["net"] += row[NET]
        scanned["discount"] += row[DISCOUNT]
    assert scanned["gross"] - scanned["discount"] == scanned["net"] > 0
    assert any(sale.has_returns for sale in day.sales)
    day.shop.engine.close()
    told = CliRunner().invoke(main, ["ledger", "verify", "--data", str(day.shop.data)])
    assert (told.exit_code, "sound: yes" in told.output) == (0, True), told.output
