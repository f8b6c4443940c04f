"""Settlement and liability against a clerk's books and the accounts themselves."""

import itertools
import re
from collections import Counter, defaultdict

import pytest

from checklane import errors
from checklane.books.dates import posted_date
from checklane.books.lots import read_liability
from checklane.books.postings import load_map, postings_table, prove_postings, read_points
from checklane.books.scan import DISCOUNT, GOODS, read_scan_data
from checklane.books.settlement import read_settlement
from checklane.books.shares import Share, shares_back
from checklane.books.walk import LiveJournal
from checklane.tables.catalogue_tables import open_catalogue
from tests.books.conftest import SEED
from tests.books.day import DATES, Day
from tests.books.test_periods import NAMES

SOLD, VOIDED, RETURNED, NET = 5, 6, 7, 8


@pytest.fixture(scope="module")
def settled(day):
    return read_settlement(LiveJournal(day.shop.engine), DATES[0], DATES[-1])


def column(table, index):
    return {row[:5]: row[index] for row in table.rows if row[index]}


def test_sales_and_voids_are_settled_as_the_answers_say(day, settled):
    table = settled.table()
    assert column(table, SOLD) == {key: n for key, n in day.clerk.sold.items() if n}
    assert column(table, VOIDED) == {key: n for key, n in day.clerk.voided.items() if n}
    assert {row[3] for row in table.rows} == {"Alba", "retailer", "bank"}
    assert {row[4] for row in table.rows} == {"PRICE_REDUCTION", "THIRD_PARTY", "TENDER"}
    assert settled.prove().adds_up, settled.prove().sums


def test_returns_are_settled_where_they_were_entered(day, settled):
    returned = Counter()
    for row in settled.table().rows:
        returned[row[0], row[1]] += row[RETURNED]
    assert +returned == +day.clerk.returned
    assert +returned


def test_a_span_begins_and_ends_with_its_dates(day, settled):
    found = read_settlement(LiveJournal(day.shop.engine), DATES[1], DATES[1])
    assert found.table().rows == [row for row in settled.table().rows if row[0] == DATES[1]]
    assert found.prove().adds_up


def test_any_sequence_of_returns_sums_to_the_whole(built, tmp_path):
    day = Day(built, tmp_path, SEED + 1)
    day.run(200)
    day.return_the_rest()
    table = read_settlement(LiveJournal(day.shop.engine), DATES[0], DATES[-1]).table()
    net = Counter()
    for row in table.rows:
        net[row[2:5]] += row[NET]
    kept = Counter()
    for sale in day.sales:
        if sale.is_open and not sale.has_returns:
            for offer in sale.decision.applied_offers:
                kept[offer.offer_id] += offer.discount_minor
    scanned = read_scan_data(
        LiveJournal(day.shop.engine), DATES[0], DATES[-1], GOODS["tobacco"],
        lambda content_hash: open_catalogue(day.catalogue),
    )  # fmt: skip
    by_share = Counter()
    for row in scanned.table().rows:
        by_share[row[14:17]] += row[DISCOUNT]
    # These offers are on tobacco only: the two reports are about the same lines.
    for key in (("plain", "Alba", "THIRD_PARTY"), ("plain", "retailer", "PRICE_REDUCTION")):
        assert by_share[key] == net[key] > 0
    by_offer = Counter()
    for (offer_id, _, _), amount in net.items():
        by_offer[offer_id] += amount
    assert {k: n for k, n in by_offer.items() if n} == +kept
    assert any(sale.has_returns for sale in day.sales)
    day.shop.engine.close()


MAP = """
sales: 4000
received: '1000'
discounts: {price_reduction: 4100, third_party: 1300, tender: 1310}
funders: {Alba: 1301}
points:
  base: {expense: 6100, liability: 2100, worth: {points: 100, minor: 50}}
"""


@pytest.fixture(scope="module")
def posted(day, settled, tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "accounts.yaml"
    path.write_text(MAP)
    points = read_points(LiveJournal(day.shop.engine), DATES[0], DATES[-1], NAMES)
    return postings_table(settled, points, load_map(path)), points


def test_debits_are_credits_by_date_and_store(posted, settled):
    table, points = posted
    left = Counter()
    for date, store, _, _, debit, credit in table.rows:
        assert (debit == 0) != (credit == 0)
        assert min(debit, credit) == 0
        left[date, store] += debit - credit
    assert not any(left.values())
    assert {date for date, _ in left} == set(DATES)
    proof = prove_postings(table, settled, points)
    assert proof.adds_up, proof.sums


def test_accounts_hold_what_the_clerk_wrote_down(day, posted):
    balances = Counter()
    for _, _, account, _, debit, credit in posted[0].rows:
        balances[account] += debit - credit
    totals = Counter()
    for counted in day.clerk.sums.values():
        totals.update(counted)
    due = totals["gross_minor"] - totals["discount_minor"] - totals["refund_minor"]
    assert balances["1000"] == due
    given = Counter()
    for sign, book in ((1, day.clerk.sold), (-1, day.clerk.voided)):
        for (_, _, _, funder, name), amount in book.items():
            given[funder if funder == "Alba" else name] += sign * amount
    # Returns took a part of each back.
    assert 0 < balances["1301"] < given["Alba"]
    assert 0 < balances["1310"] < given["TENDER"]
    assert 0 < balances["4100"] < given["PRICE_REDUCTION"]
    assert "1300" not in balances
    assert balances["6100"] == -balances["2100"]
    worth = sum(points["base"] for key, points in day.clerk.points.items() if key[1] in DATES) / 2
    assert abs(balances["6100"] - worth) <= len(DATES) * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sales: [", "accounts.yaml: while parsing"),
        ("", "the map: Input should be a valid dictionary"),
        (MAP + "tips: 9\n", "tips: Extra inputs"),
        (MAP.replace("received: '1000'", ""), "received: Field required"),
        (MAP.replace("minor: 50", "minor: 0"), "points.base.worth.minor"),
    ],
)
def test_a_map_that_is_wrong_is_told(tmp_path, text, words):
    path = tmp_path / "accounts.yaml"
    path.write_text(text)
    with pytest.raises(errors.ConfigError, match=re.escape(words)):
        load_map(path)


def test_coupons_are_settled_by_what_opened_them(day):
    source = LiveJournal(day.shop.engine)
    found = read_settlement(source, DATES[0], DATES[-1], by_coupon=True)
    assert found.prove().adds_up, found.prove().sums
    rows = found.table().rows
    assert {(row[2], row[5]) for row in rows} == {("other", "TEN")}
    for column, book in ((6, day.clerk.sold), (7, day.clerk.voided)):
        expected = {key[:2]: amount for key, amount in book.items() if key[2] == "other" and amount}
        assert {row[:2]: row[column] for row in rows if row[column]} == expected
    assert any(row[8] for row in rows)
    assert all(row[9] == row[6] - row[7] - row[8] for row in rows)
    found._coupons += 1
    assert not found.prove().adds_up


def test_shares_come_back_whole_in_any_steps():
    shares = [Share("a", "x", 1, 7), Share("a", "y", 2, 5), Share("b", "", 1, 1)]
    for steps in ((0, 13), (0, 1, 13), (0, 4, 5, 6, 13), range(14)):
        back = defaultdict(int)
        for before, after in itertools.pairwise(steps):
            parts = list(shares_back(shares, before, after))
            assert sum(part.amount_minor for part in parts) == after - before
            for part in parts:
                back[part[:3]] += part.amount_minor
        assert back == {share[:3]: share.amount_minor for share in shares}


def posted_span(day):
    """Return the first and last date of posting: the day ran on this machine's clock."""
    entries = day.shop.engine.read_entries(1, 1 << 20, 1 << 30)
    times = [int.from_bytes(entry[32:40], "little") for entry in entries]
    return posted_date(times[0]), posted_date(times[-1])


def test_points_owed_are_the_accounts(day):
    first, last = posted_span(day)
    found = read_liability(LiveJournal(day.shop.engine), first, last, NAMES)
    assert found.prove().adds_up, found.prove().sums
    moved, closing, expired = Counter(), Counter(), Counter()
    for row in found.table().rows:
        assert row[2] == 0
        assert sum(row[3:7]) - row[7] == row[8]
        moved[row[0]] += sum(row[3:7])
        expired[row[0]] += row[7]
        closing[row[0]] += row[8]
    assert moved == day.clerk.all_points
    # What the accounts hold: lots less debts, those that expired and are not swept out among them.
    owed = dict(zip(["", *NAMES.values()], day.shop.engine.tallies()["owed"], strict=False))
    for purse, points in moved.items():
        assert closing[purse] + expired[purse] == owed[purse] == points
    # Points of March expire in June; they were earned long after.
    assert closing["late"] == 0 < expired["late"]


def test_what_was_posted_before_is_the_opening(day):
    _, last = posted_span(day)
    later = last + 10_000
    found = read_liability(LiveJournal(day.shop.engine), later, later, NAMES)
    for row in found.table().rows:
        assert row[2] == row[8] != 0
        assert not any(row[3:8])
    assert {row[1] for row in found.table().rows} <= {"never", "2090-01", "owed"}
    assert found.prove().adds_up


def test_a_journal_without_its_beginning_is_refused(day):
    source = LiveJournal(day.shop.engine)
    source.first_lsn = 2
    with pytest.raises(errors.NotFoundError, match="the journal was pruned"):
        read_liability(source, DATES[0], DATES[0], NAMES)
