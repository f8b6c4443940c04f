"""What users of other systems complain of, each tried with our client: it does not happen here.

docs/integrating.md has the table of the complaints; some of its tests stand elsewhere.
"""

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from checklane.certify.shop import SHOP, prepare_shop
from checklane.client import Basket, Decision, Lane, Policy, Receipt, ReturnLine
from checklane.demo.serving import Server
from checklane.errors import DeadlineError, DecisionChangedError, RequestError, UnavailableError
from tests.house.tree import ROOT

OFFERS = """\
- id: soup-3-for-2
  name: Three soups for two
  buy_get:
    buy: {count: 2, of: {category: GROCERY/SOUP}}
    get: {count: 1, same: true, percent: 100}

- id: pasta-once
  name: 20 % off pasta, once a member
  who: {members: members}
  limits: {per_member: {uses: 1}}
  discount: {of: {category: GROCERY/PASTA}, percent: 20}

- id: coffee-week
  name: 1.00 off from 20.00 of coffee
  threshold:
    spend: 20.00
    of: {category: DRINKS/COFFEE}
    reward: {amount: 1.00, of: {category: DRINKS/COFFEE}}

- id: base-points
  name: 100 points for each dollar
  earn: {purse: points, points: 100, per: 1.00}

- id: pay-with-points
  name: Pay with points
  redeem: {purse: points, points: 100, pays: 1.00}
"""
SOUP, PASTA, COFFEE = (product.code for product in SHOP.products)
PRICES = {product.code: product.price_minor for product in SHOP.products}
DATE = 20260302
OPENED_UNIX_MS = 1_772_467_200_000
PATIENT = Policy(20_000, 20_000, 60_000, 60_000)
TABLE = (ROOT / "docs" / "integrating.md").read_text().split("## 14.")[-1]


class Till(Lane):
    """A lane that numbers its receipts, and has a member of its own for each test."""

    def __init__(self, address: str) -> None:
        super().__init__(address, store=SHOP.store, till="1", policy=PATIENT)
        self._sequences = itertools.count(1)
        self._cards = (f"6029{number:012}" for number in itertools.count(1))

    def next_card(self) -> str:
        return next(self._cards)

    def next_sequence(self) -> int:
        return next(self._sequences)

    def sell(self, basket: Basket, **more: object) -> Receipt:
        more.setdefault("sequence", self.next_sequence())
        return self.commit(basket, business_date=DATE, **more)


@pytest.fixture(scope="module")
def till(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Till]:
    folder = tmp_path_factory.mktemp("complaints")
    with (
        Server(prepare_shop(folder, OFFERS), folder / "server.log", has_lanes=True) as server,
        Till(server.lane_address) as lane,
    ):
        yield lane


def basket(*lines: tuple[str, int], card: str = "", points: int = 0) -> Basket:
    """Return a basket of (code, count) at the shop's prices, paid with points in part."""
    made = Basket(opened_time_unix_ms=OPENED_UNIX_MS)
    for code, count in lines:
        made.add(code, count=count, amount_minor=count * PRICES[code])
    if card:
        made.card(card)
    if points:
        made.message.redemptions.add(purse_id="points", points=points)
    return made


def figures(decision: Decision) -> tuple[int, int, list[tuple[str, int]]]:
    return (
        decision.totals.due_minor,
        decision.totals.discount_minor,
        [(offer.offer_id, offer.discount_minor) for offer in decision.applied_offers],
    )


def points_of(till: Till, card: str) -> int:
    return sum(balance.available_points for balance in till.identify(card).balances)


def test_five_thousand_units_are_the_work_of_one_line(till: Till) -> None:
    few, many = till.quote(basket((SOUP, 5))), till.quote(basket((SOUP, 5000)))
    assert many.totals.discount_minor == 5000 // 3 * PRICES[SOUP]
    assert many.optimality.kind == few.optimality.kind == "EXACT"
    assert many.optimality.step_count <= few.optimality.step_count + 10


def test_a_deal_is_the_same_however_the_quantity_was_entered(till: Till) -> None:
    ways = [[(SOUP, 7)], [(SOUP, 1)] * 7, [(SOUP, 2), (SOUP, 4), (SOUP, 1)]]
    told = [figures(till.quote(basket(*lines))) for lines in ways]
    assert told[0] == told[1] == told[2]
    assert told[0][1] == 2 * PRICES[SOUP]


def test_a_discount_lies_on_the_lines_that_earned_it_in_any_order(till: Till) -> None:
    lines = [(SOUP, 3), (PASTA, 2), (COFFEE, 1)]
    for order in itertools.permutations(lines):
        decision = till.quote(basket(*order))
        saved = {code: line.discount_minor for (code, _), line in
                 zip(order, decision.lines, strict=True)}  # fmt: skip
        assert saved == {SOUP: PRICES[SOUP], PASTA: 0, COFFEE: 0}


def test_a_use_is_counted_where_something_was_given_and_given_back_by_a_void(till: Till) -> None:
    card = till.next_card()
    pasta = basket((PASTA, 1), card=card)
    till.sell(basket((COFFEE, 1), card=card))
    assert till.quote(pasta).totals.discount_minor > 0
    used = till.sell(pasta)
    assert used.decision.totals.discount_minor > 0
    assert till.quote(pasta).totals.discount_minor == 0
    till.void(sequence=used.sequence, business_date=DATE)
    assert till.quote(pasta).totals.discount_minor > 0


@pytest.mark.parametrize("counts", [(1, 1, 1), (2, 1), (1, 2)])
def test_returns_in_parts_are_right_to_the_cent(till: Till, counts: tuple[int, ...]) -> None:
    sold = till.sell(basket((COFFEE, 3), (SOUP, 4)))
    assert sold.decision.totals.discount_minor == 100 + PRICES[SOUP]
    left = {1: 3, 2: 4}
    refunds = []
    for line, parts in ((1, counts), (2, (1, 3))):
        for count in parts:
            back = till.return_items(
                ReturnLine(line, count),
                original_sequence=sold.sequence,
                original_date=DATE,
                sequence=till.next_sequence(),
                business_date=DATE,
            )
            left[line] -= count
            refunds.append(back.reversal.refund_minor)
            assert back.reversal.lines[0].remaining_count == left[line]
    assert min(refunds) >= 0
    assert sum(refunds) == sold.decision.totals.due_minor


def test_a_sale_that_timed_out_has_consumed_no_reward(till: Till) -> None:
    card = till.next_card()
    till.sell(basket((COFFEE, 1), card=card))
    before = points_of(till, card)
    key = "timed-out"
    away = Policy(change_deadline_ms=200, change_budget_ms=0)
    with (
        Lane("127.0.0.1:1", store=SHOP.store, till="1", policy=away) as gone,
        pytest.raises((DeadlineError, UnavailableError)),
    ):
        gone.commit(
            basket((SOUP, 1), card=card, points=100), sequence=9000, business_date=DATE, key=key
        )
    till.void(original_key=key)
    assert points_of(till, card) == before
    late = till.sell(basket((SOUP, 1), card=card, points=100), sequence=9000, key=key)
    assert late.outcome == "VOIDED_BEFORE"
    assert points_of(till, card) == before


def test_a_reward_that_is_set_aside_blocks_no_other(till: Till) -> None:
    card = till.next_card()
    till.sell(basket((COFFEE, 1), card=card))
    aside = basket((SOUP, 1), card=card, points=100)
    staged = till.total(aside)
    assert [found.points for found in staged.decision.redemptions] == [100]
    other = till.sell(basket((PASTA, 1), card=card, points=100))
    assert [found.points for found in other.decision.redemptions] == [100]
    before = points_of(till, card)
    till.release_hold(basket_id=aside.message.basket_id)
    assert points_of(till, card) == before + 100


def test_what_the_quote_said_and_the_commit_would_not_is_shown_and_the_lane_chooses(
    till: Till,
) -> None:
    card = till.next_card()
    pasta = basket((PASTA, 1), card=card)
    shown = till.quote(pasta)
    till.sell(basket((PASTA, 2), card=card))
    sequence = till.next_sequence()
    with pytest.raises(DecisionChangedError) as caught:
        till.sell(pasta, sequence=sequence, shown=shown, refuse_on_change=True)
    assert caught.value.place == "figures.discount_minor"
    assert till.quote(pasta).totals.due_minor == PRICES[PASTA] > shown.totals.due_minor
    # Sold at the old price all the same: posted so, the difference listed, and refunded so.
    paid = till.sell(pasta, sequence=sequence, shown=shown, paid=True)
    assert paid.outcome == "POSTED_WITH_EXCEPTIONS"
    (told,) = paid.decision.exceptions
    assert (told.kind, told.amount_minor) == ("DISCOUNT_DIFFERS", shown.totals.discount_minor)
    back = till.return_items(
        ReturnLine(1),
        original_sequence=sequence,
        original_date=DATE,
        sequence=till.next_sequence(),
        business_date=DATE,
    )
    assert back.reversal.refund_minor == shown.totals.due_minor


def test_an_offer_says_why_it_did_not_apply(till: Till) -> None:
    decision = till.quote(basket((PASTA, 1), (SOUP, 2)), explain=True)
    told = {found.offer_id: found.outcome for found in decision.message.explanations}
    assert {"pasta-once", "soup-3-for-2"} <= set(told)
    assert all(told.values())
    assert [near.offer_id for near in decision.near_misses] == ["soup-3-for-2"]


def test_a_limit_is_told_by_its_name_its_place_and_what_to_do(till: Till) -> None:
    with pytest.raises(RequestError) as caught:
        till.quote(basket((SOUP, 1), (PASTA, 2_000_000)))
    assert caught.value.reason == "LINE_COUNT_INVALID"
    assert caught.value.place == "basket.lines[1].count"
    assert "send a count from 1 to 1000000" in str(caught.value)


# ---- the table


def rows() -> dict[str, list[str]]:
    """Return the tests of each complaint."""
    cells = [line.strip("| ").split(" | ") for line in TABLE.splitlines() if line.startswith("| ")]
    head, _, *found = cells
    assert head == ["complaint", "here", "tests"]
    return {row[0]: re.findall("`([^`]+)`", row[2]) for row in found}


def test_the_table_names_tests_that_are_there() -> None:
    named = {test for tests in rows().values() for test in tests}
    assert all(rows().values())
    files = sorted({test.split("::")[0] for test in named})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    collected = {line.split("[")[0] for line in done.stdout.splitlines()}
    assert named - collected == set()


def test_the_table_has_every_test_of_this_file() -> None:
    source = Path(__file__).read_text().split("# ---- the table")[0]
    here = {
        f"tests/complaints/test_complaints.py::{name}"
        for name in re.findall(r"^def (test_\w+)", source, re.MULTILINE)
    }
    assert here - {test for tests in rows().values() for test in tests} == set()
