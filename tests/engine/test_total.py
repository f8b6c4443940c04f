"""A total is posted as it was shown: the same figures whatever came between, or a named answer."""

import copy
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from checklane import _layout
from checklane.books.entries import split_entry
from checklane.server.entries import contract_entry
from checklane.v1 import checkout_pb2, decision_pb2, ledger_pb2, member_pb2
from tests.engine.shop import OFFERS, TOMORROW, Built, Shop, basket
from tests.engine.test_replay import commits, files_of, open_engine, sections

PAY = {"id": "pay", "redeem": {"purse": "base", "points": 100, "pays": 1.00}}
BUDGET = {"id": "few", "limits": {"overall": {"money": 5.00}},
          "discount": {"of": {"category": "OTHER"}, "percent": 10}}  # fmt: skip
PLAIN, LIMITED, OTHER = 100, 200, 500
KINDS = decision_pb2.SaleExceptionKind


@dataclass(frozen=True)
class Programs:
    """The program under which totals are made, and one under which everything costs more."""

    first: Path
    second: Path


@pytest.fixture(scope="module")
def programs(built: Built) -> Programs:
    offers = [*OFFERS, PAY, BUDGET]
    dearer = [offer for offer in offers if offer["id"] != "plain"]
    plain = {"id": "plain", "discount": {"of": {"category": "PLAIN"}, "percent": 1}}
    return Programs(built.compile("totals", offers), built.compile("dearer", [*dearer, plain]))


class Till(Shop):
    """The shop with points that pay, and totals."""

    def __init__(self, built: Built, programs: Programs, directory: Path) -> None:
        self.first, self.second = programs.first, programs.second
        super().__init__(built, directory, program=self.first)
        self.baskets = 0

    def swap(self) -> None:
        """Make another program live, under which everything costs more."""
        self.activate(self.second, self.built.catalogue)

    def restart(self) -> None:
        """Open the data directory again, with the other program live."""
        self.engine.close()
        self.engine = open_engine(self.data)
        self.activate(self.second, self.built.catalogue, self.built.members)

    def named(self, *lines: tuple[int, int, int], points: int = 0, **who: Any) -> Any:
        """Return a basket with an id of its own, some of which may be paid with points."""
        self.baskets += 1
        sold = basket(*lines, **who)
        sold.basket_id = f"basket-{self.baskets}"
        if points:
            sold.redemptions.add(purse_id="base", points=points)
        return sold

    def total_request(self, sold: Any, **fields: Any) -> Any:
        return checkout_pb2.TotalBasketRequest(
            context=self.context(fields.pop("key", None)), basket=sold, **fields
        )

    def total(self, sold: Any, **fields: Any) -> Any:
        answer = self.call("CheckoutService.TotalBasket", self.total_request(sold, **fields))
        return checkout_pb2.TotalBasketResponse.FromString(answer)

    def pay(self, sold: Any, total: Any, **fields: Any) -> Any:
        """Commit a total; the answer."""
        return self.commit(self.sale(sold, total_token=total.total_token, **fields))

    def give(self, member: str, points: int) -> None:
        self.adjust(self.adjust_request(member, points, active_date=20260301))


@pytest.fixture
def till(built: Built, programs: Programs, tmp_path: Path) -> Iterator[Till]:
    opened = Till(built, programs, tmp_path)
    yield opened
    opened.engine.close()


def shown(decision: Any) -> Any:
    """Return what a customer sees of a decision, and what is posted by it."""
    told = decision_pb2.Decision()
    told.CopyFrom(decision)
    told.ClearField("exceptions")
    return told


def exceptions_of(answer: Any) -> dict[str, int]:
    """Return the exceptions of a sale: points or money by kind."""
    return {
        KINDS.Name(told.kind).removeprefix("SALE_EXCEPTION_KIND_"): told.points or told.amount_minor
        for told in answer.decision.exceptions
    }


def test_a_total_changes_no_balance_and_is_committed_as_it_was(till: Till) -> None:
    till.give("ann", 500)
    sold = till.named((PLAIN, 2, 1000), (OTHER, 1, 700), points=200, member="ann")
    total = till.total(sold)
    assert total.decision.totals.tender_minor == 200
    assert total.expire_time_unix_ms == total.posting.post_time_unix_ms + 15 * 60_000
    assert 1 <= len(total.total_token) <= 128
    answer = till.pay(sold, total)
    assert answer.outcome == checkout_pb2.COMMIT_OUTCOME_POSTED
    assert answer.decision == total.decision
    (earned,) = [e.points for e in total.decision.earned if e.purse_id == "base"]
    assert till.balance("ann")[0] == 500 - 200 + earned
    assert [b.available_points for b in answer.balances if b.purse_id == "base"] == [300 + earned]


@pytest.mark.parametrize("between", ["swap", "restart"])
def test_another_program_changes_nothing(till: Till, between: str) -> None:
    till.give("ann", 500)
    sold = till.named((PLAIN, 2, 1000), (OTHER, 1, 700), points=200, member="ann")
    total = till.total(sold)
    getattr(till, between)()
    assert till.quote(sold).totals.due_minor > total.decision.totals.due_minor
    assert till.pay(sold, total).decision == total.decision
    ((entry, facts, response),) = commits(till)
    assert facts["program_hash"].tobytes() == total.decision.basis.program_hash
    again = till.engine.replay(entry, *files_of(till, facts))
    assert again == (0, response)


def test_many_programs_in_turn(built: Built, till: Till) -> None:
    """More than are kept open at once, each with a total that waits for it."""
    waiting = []
    for percent in range(1, 13):
        others = [offer for offer in OFFERS if offer["id"] != "plain"]
        plain = {"id": "plain", "discount": {"of": {"category": "PLAIN"}, "percent": percent}}
        program = built.compile(f"turn-{percent}", [*others, plain])
        shutil.copy(program, till.data / "snapshots")
        till.activate(program, built.catalogue)
        sold = till.named((PLAIN, 1, 1000))
        waiting.append((sold, till.total(sold)))
    for sold, total in waiting:
        assert till.pay(sold, total).decision == total.decision
    assert [total.decision.totals.discount_minor for _, total in waiting] == [
        10 * percent for percent in range(1, 13)
    ]


def test_suspended_and_resumed_at_another_till(till: Till) -> None:
    sold = till.named((PLAIN, 3, 900), (OTHER, 1, 700), member="ben")
    total = till.total(sold)
    resumed = copy.deepcopy(sold)
    resumed.till_id = "9"
    resumed.tenders.add(kind=1, amount_minor=1000)
    lines = list(resumed.lines)
    del resumed.lines[:]
    resumed.lines.extend(reversed(lines))
    sale = till.sale(resumed, total_token=total.total_token)
    sale.context.till_id = sale.receipt.till_id = "9"
    sale.receipt.business_date = TOMORROW
    sale.refuse_on_change = True
    sale.figures.lines.add(line_id=1, discount_minor=90)
    answer = till.commit(sale)
    assert answer.decision == total.decision
    assert answer.posting.business_date == TOMORROW


def test_repeats_get_the_first_answer(till: Till) -> None:
    sold = till.named((PLAIN, 1, 1000))
    request = till.total_request(sold)
    first = till.call("CheckoutService.TotalBasket", request)
    lsn = till.lsn
    assert till.call("CheckoutService.TotalBasket", request) == first
    total = checkout_pb2.TotalBasketResponse.FromString(first)
    sale = till.sale(sold, total_token=total.total_token)
    committed = till.call("CheckoutService.CommitTransaction", sale)
    till.swap()
    assert till.call("CheckoutService.CommitTransaction", sale) == committed
    assert till.call("CheckoutService.TotalBasket", request) == first
    assert till.lsn == lsn + 2  # the sale, the swap


def test_a_second_total_replaces_the_first(till: Till, refused: Any) -> None:
    sold = till.named((PLAIN, 1, 1000))
    first = till.total(sold)
    more = copy.deepcopy(sold)
    more.lines.add(line_id=2, product_code="500", code_kind=2, count=1, amount_minor=100)
    second = till.total(more)
    lsn = till.lsn
    assert refused(till.pay, sold, first) == "DECISION_CHANGED"
    assert till.lsn == lsn
    assert till.pay(more, second).decision == second.decision
    assert refused(till.pay, more, second) == "DECISION_CHANGED"


def test_a_paid_sale_posts_a_total_that_is_no_longer_kept(till: Till) -> None:
    sold = till.named((PLAIN, 1, 1000))
    first = till.total(sold)
    till.swap()
    till.total(sold)
    answer = till.pay(sold, first, paid=True)
    assert answer.outcome == checkout_pb2.COMMIT_OUTCOME_POSTED_WITH_EXCEPTIONS
    assert exceptions_of(answer) == {"TOTAL_UNKNOWN": 0}
    assert shown(answer.decision) == first.decision
    assert answer.decision.totals.discount_minor == 100


@pytest.mark.parametrize("change", ["count", "line", "card", "coupon", "points", "id"])
def test_another_basket_is_not_the_one_that_was_totalled(
    till: Till, refused: Any, change: str
) -> None:
    till.give("ann", 500)
    sold = till.named((PLAIN, 2, 1000), points=200, member="ann")
    total = till.total(sold)
    other = copy.deepcopy(sold)
    if change == "count":
        other.lines[0].count = 3
    elif change == "line":
        other.lines.add(line_id=2, product_code="500", code_kind=2, count=1, amount_minor=100)
    elif change == "card":
        del other.identifiers[:]
    elif change == "coupon":
        other.coupons.add(code="SAVE")
    elif change == "points":
        other.redemptions[0].points = 100
    else:
        other.basket_id = "another"
    lsn = till.lsn
    assert refused(till.pay, other, total) == "DECISION_CHANGED"
    assert till.lsn == lsn
    decided = till.quote(other)
    answer = till.pay(other, total, paid=True)
    assert exceptions_of(answer)["TOTAL_UNKNOWN"] == 0
    assert answer.decision.totals == decided.totals
    assert till.pay(sold, total).decision == total.decision if change == "id" else True


@pytest.mark.parametrize("token", [b"x", b"y" * 24, b"z" * 128])
def test_what_is_no_token_is_refused(till: Till, refused: Any, token: bytes) -> None:
    sold = till.named((PLAIN, 2, 1000))
    total = till.total(sold)
    assert refused(till.commit, till.sale(sold, total_token=token)) == "DECISION_CHANGED"
    flipped = bytes([total.total_token[0] ^ 1]) + total.total_token[1:]
    assert refused(till.commit, till.sale(sold, total_token=flipped)) == "DECISION_CHANGED"
    answer = till.commit(till.sale(sold, total_token=flipped, paid=True))
    assert exceptions_of(answer) == {"TOTAL_UNKNOWN": 0}
    assert answer.decision.totals.discount_minor == 100


def test_what_changed_for_the_member_changes_no_total(till: Till) -> None:
    """A stop, a tier, a blocked card: the figures were shown before."""
    sold = till.named((PLAIN, 1, 1000), (400, 1, 500), member="ann")
    total = till.total(sold)
    till.stop("plain")
    till.update("ann", tier_id="basic", blocked=True)
    assert till.quote(sold).totals.discount_minor == 0
    assert till.pay(sold, total).decision == total.decision
    assert total.decision.totals.discount_minor == 350


def test_every_entry_is_decided_again_alike(till: Till, tmp_path: Path) -> None:
    till.give("ann", 500)
    plain = till.named((PLAIN, 2, 1000), member="ben")
    spent = till.named((PLAIN, 3, 1000), (OTHER, 1, 700), points=200, member="ann")
    totals = [till.total(plain), till.total(spent)]
    till.commit(till.sale(basket((OTHER, 3, 3000), member="ann")))
    till.swap()
    for sold, total in zip([plain, spent], totals, strict=True):
        sold.tenders.add(kind=2)
        till.pay(sold, total, explain=True, locale="en")
    till.pay(plain, totals[0], paid=True)
    till.commit(till.sale(spent, total_token=b"z", paid=True))
    (tmp_path / "other").mkdir()
    other = open_engine(tmp_path / "other")
    entries = commits(till)
    assert len(entries) == 5
    for entry, facts, response in entries:
        assert other.replay(entry, *files_of(till, facts)) == (0, response)
        status, explained = other.replay(entry, *files_of(till, facts), is_explained=True)
        assert status == 0
        decision = checkout_pb2.CommitTransactionResponse.FromString(explained).decision
        assert decision.explanations
    other.close()


def test_void_and_return_of_a_totalled_sale(till: Till) -> None:
    till.give("ann", 500)
    sales = []
    for _ in range(2):
        sold = till.named((PLAIN, 2, 1000), points=200, member="ann")
        total = till.total(sold)
        till.swap()
        sale = till.sale(sold, total_token=total.total_token)
        till.commit(sale)
        sales.append(sale)
        till.activate(till.first, till.built.catalogue)
    before = till.balance("ann")[0]
    back = till.return_items(till.return_request(sales[0], (1, 1)))
    assert back.reversal.refund_minor == 350
    till.void(till.void_request(sales[1]))
    till.return_items(till.return_request(sales[0], (1, 1)))
    assert till.balance("ann") == (500, 0)
    assert before < 500


def test_a_total_that_was_voided_before_it_was_committed(till: Till) -> None:
    sold = till.named((PLAIN, 1, 1000), member="ben")
    total = till.total(sold)
    sale = till.sale(sold, total_token=total.total_token)
    till.void(till.void_request(sale))
    answer = till.commit(sale)
    assert answer.outcome == checkout_pb2.COMMIT_OUTCOME_VOIDED_BEFORE
    assert till.balance("ben") == (0, 0)


def test_training_totals_and_touches_nothing(till: Till) -> None:
    sold = till.named((PLAIN, 1, 1000))
    lsn = till.lsn
    request = till.total_request(sold)
    request.context.training = True
    answer = till.call("CheckoutService.TotalBasket", request)
    total = checkout_pb2.TotalBasketResponse.FromString(answer)
    assert (total.total_token, total.posting.lsn) == (b"", 0)
    assert total.decision.totals.discount_minor == 100
    assert till.lsn == lsn


def test_a_card_that_became_somebody_s_posts_to_them(till: Till) -> None:
    """A new card was totalled; before the sale is paid its holder enrols and is merged."""
    sold = till.named((OTHER, 1, 1000), card="77000001")
    total = till.total(sold)
    assert total.decision.members[0].result == decision_pb2.IDENTIFY_RESULT_PROVISIONAL_NEW
    till.commit(till.sale(basket((OTHER, 1, 500), card="77000001")))
    answer = till.pay(sold, total)
    assert answer.decision == total.decision
    assert [b.available_points for b in answer.balances if b.purse_id == "base"] == [90 + 45]


def test_the_journal_tells_totals(till: Till) -> None:
    sold = till.named((PLAIN, 1, 1000), member="ben")
    total = till.total(sold)
    entries = till.engine.read_entries(1, 100, 1 << 20)
    header, facts, response = sections(entries[-1])
    assert header["kind"] == _layout.ENTRY_TOTAL
    assert response == total.SerializeToString(deterministic=True)
    assert facts["member"] == total.decision.members[0].member_number
    # Whoever adds entries up counts the sale once: a total has no money and no points of its own.
    till.pay(sold, total)
    frozen, sale = (
        contract_entry(split_entry(entry), include_bodies=False, include_movements=False)
        for entry in till.engine.read_entries(1, 100, 1 << 20)[-2:]
    )
    assert total.decision.totals.due_minor == 900
    assert (frozen.kind, frozen.due_minor, frozen.discount_minor) == (
        ledger_pb2.LEDGER_ENTRY_KIND_TOTAL, 0, 0,
    )  # fmt: skip
    assert not frozen.points
    assert (sale.due_minor, sale.discount_minor) == (900, 100)
    assert sale.points


@pytest.mark.parametrize(
    ("field", "name"),
    [("basket_id", "FIELD_REQUIRED"), ("hold", "FIELD_OUT_OF_RANGE"), ("key", "KEY_REQUIRED"),
     ("lines", "LINES_EMPTY")],
)  # fmt: skip
def test_form(till: Till, refused: Any, field: str, name: str) -> None:
    request = till.total_request(till.named((PLAIN, 1, 1000)))
    if field == "basket_id":
        request.basket.basket_id = ""
    elif field == "hold":
        request.hold_seconds = 604_801
    elif field == "key":
        request.context.idempotency_key = ""
    else:
        del request.basket.lines[:]
    assert refused(till.call, "CheckoutService.TotalBasket", request) == name


# ------------------------------------------------------------------ what is held


def held(till: Till, member: str) -> tuple[int, int]:
    """Return what can be spent of the first purse, and what is held of it."""
    (found,) = [b for b in till.member(member).balances if b.purse_id == "base"]
    return found.available_points, found.held_points


def test_points_of_a_total_are_nobody_else_s(till: Till) -> None:
    till.give("ann", 500)
    sold = till.named((OTHER, 1, 2000), points=400, member="ann")
    total = till.total(sold)
    assert held(till, "ann") == (100, 400)
    (kept,) = total.holds
    assert (kept.kind, kept.points, kept.purse_id) == (checkout_pb2.HOLD_KIND_TOTAL, 400, "base")
    assert kept.basket_id == sold.basket_id
    assert kept.expire_time_unix_ms == total.expire_time_unix_ms
    other = till.named((OTHER, 1, 2000), points=500, member="ann")
    (asked,) = till.quote(other).redemptions
    assert asked.points == 100
    spent = till.commit(till.sale(other))
    assert [taken.points for taken in spent.decision.redemptions] == [100]
    before = held(till, "ann")[0]
    answer = till.pay(sold, total)
    assert answer.decision == total.decision
    (earned,) = [e.points for e in total.decision.earned if e.purse_id == "base"]
    assert held(till, "ann") == (before + earned, 0)


def test_a_limit_of_a_total_is_nobody_else_s(till: Till) -> None:
    sold = till.named((LIMITED, 8, 800), member="ben")
    total = till.total(sold)
    assert total.decision.totals.discount_minor == 400
    meanwhile = till.commit(till.sale(basket((LIMITED, 8, 800), member="ben")))
    assert meanwhile.decision.totals.discount_minor == 100
    assert till.pay(sold, total).decision == total.decision
    assert till.quote(basket((LIMITED, 8, 800), member="ben")).totals.discount_minor == 0


def test_a_budget_of_a_total_is_nobody_else_s(till: Till) -> None:
    sold = till.named((OTHER, 1, 3000), member="ben")
    total = till.total(sold)
    assert total.decision.totals.discount_minor == 300
    meanwhile = till.commit(till.sale(basket((OTHER, 1, 9000), member="cat")))
    assert meanwhile.decision.totals.discount_minor == 200
    assert till.pay(sold, total).decision == total.decision
    assert till.quote(basket((OTHER, 1, 9000))).totals.discount_minor == 0


def test_a_second_total_holds_anew_and_not_twice(till: Till) -> None:
    till.give("ann", 500)
    sold = till.named((OTHER, 1, 2000), points=400, member="ann")
    till.total(sold)
    sold.redemptions[0].points = 500
    second = till.total(sold)
    assert [taken.points for taken in second.decision.redemptions] == [500]
    assert held(till, "ann") == (0, 500)
    sold.redemptions[0].points = 100
    third = till.total(sold)
    assert held(till, "ann") == (400, 100)
    till.pay(sold, third)
    assert held(till, "ann")[1] == 0


def test_a_total_after_one_that_has_ended_is_replaced_as_any(till: Till) -> None:
    till.give("ann", 500)
    sold = till.named((OTHER, 1, 2000), points=400, member="ann")
    till.total(sold, hold_seconds=1)
    let_it_end(till, "ann")
    second = till.total(sold)
    third = till.total(sold)
    assert third.decision == second.decision
    assert held(till, "ann") == (100, 400)
    release = checkout_pb2.ReleaseHoldRequest(context=till.context(), basket_id=sold.basket_id)
    till.call("CheckoutService.ReleaseHold", release)
    assert held(till, "ann") == (500, 0)


def test_a_commit_without_the_token_frees_what_its_total_held(till: Till) -> None:
    till.give("ann", 500)
    sold = till.named((OTHER, 1, 2000), points=400, member="ann")
    total = till.total(sold)
    sold.redemptions[0].points = 500
    answer = till.commit(till.sale(sold))
    assert [taken.points for taken in answer.decision.redemptions] == [500]
    assert held(till, "ann")[1] == 0
    paid = till.pay(sold, total, paid=True)
    assert exceptions_of(paid)["TOTAL_UNKNOWN"] == 0


def test_a_released_total_is_not_kept(till: Till, refused: Any) -> None:
    till.give("ann", 500)
    sold = till.named((OTHER, 1, 2000), points=400, member="ann")
    total = till.total(sold)
    release = checkout_pb2.ReleaseHoldRequest(context=till.context(), basket_id=sold.basket_id)
    till.call("CheckoutService.ReleaseHold", release)
    assert held(till, "ann") == (500, 0)
    assert refused(till.pay, sold, total) == "DECISION_CHANGED"
    assert exceptions_of(till.pay(sold, total, paid=True)) == {"TOTAL_UNKNOWN": 0}


def let_it_end(till: Till, member: str, points: int = 0) -> None:
    """Wait until no more than so much is held for the member."""
    pause = threading.Event()
    for _ in range(600):
        if held(till, member)[1] == points:
            return
        pause.wait(0.1)
    raise AssertionError("the hold has not ended within a minute")


def test_a_total_that_has_ended_is_posted_when_all_is_still_there(till: Till, refused: Any) -> None:
    till.give("ann", 500)
    sold = till.named((OTHER, 1, 2000), points=400, member="ann")
    total = till.total(sold, hold_seconds=1)
    let_it_end(till, "ann")
    assert till.pay(sold, total).decision == total.decision
    assert refused(till.pay, sold, total) == "DECISION_CHANGED"


def test_a_total_that_has_ended_and_whose_points_are_spent(till: Till, refused: Any) -> None:
    till.give("ann", 500)
    sold = till.named((OTHER, 1, 2000), points=400, member="ann")
    total = till.total(sold, hold_seconds=1)
    let_it_end(till, "ann")
    till.commit(till.sale(till.named((OTHER, 1, 500), points=300, member="ann")))
    left = held(till, "ann")[0]
    lsn = till.lsn
    assert refused(till.pay, sold, total) == "DECISION_CHANGED"
    assert till.lsn == lsn
    answer = till.pay(sold, total, paid=True)
    assert exceptions_of(answer) == {"POINTS_SHORT": 400 - left}
    assert shown(answer.decision) == total.decision
    (earned,) = [e.points for e in total.decision.earned if e.purse_id == "base"]
    assert held(till, "ann") == (earned, 0)
    entry, facts, response = commits(till)[-1]
    assert till.engine.replay(entry, *files_of(till, facts)) == (0, response)


def test_a_total_that_has_ended_pays_with_no_points_that_are_owed(
    built: Built, tmp_path: Path, refused: Any
) -> None:
    lenient = built.compile("owing", [*OFFERS, PAY], policies={"claw_back": "negative"})
    till = Till(built, Programs(lenient, lenient), tmp_path)
    try:
        sale = till.sale(basket((OTHER, 1, 4000), member="ann"))
        till.commit(sale)
        sold = till.named((OTHER, 1, 2000), points=300, member="ann")
        kept = till.named((OTHER, 1, 2000), points=50, member="ann")
        total, other = till.total(sold, hold_seconds=3), till.total(kept)
        # Held points can not be taken back: they are owed.
        till.void(till.void_request(sale))
        let_it_end(till, "ann", 50)
        assert refused(till.pay, sold, total) == "DECISION_CHANGED"
        assert till.pay(kept, other).decision == other.decision
    finally:
        till.engine.close()


def test_a_total_that_has_ended_and_whose_limit_is_used_up(till: Till, refused: Any) -> None:
    till.give("ben", 100)
    sold = till.named((LIMITED, 8, 800), points=100, member="ben")
    total = till.total(sold, hold_seconds=1)
    let_it_end(till, "ben")
    till.commit(till.sale(basket((LIMITED, 10, 1000), member="ben")))
    assert refused(till.pay, sold, total) == "DECISION_CHANGED"
    answer = till.pay(sold, total, paid=True)
    assert exceptions_of(answer) == {"LIMIT_PASSED": 0}
    assert [told.offer_id for told in answer.decision.exceptions] == ["limited"]
    assert shown(answer.decision) == total.decision
    entry, facts, response = commits(till)[-1]
    assert till.engine.replay(entry, *files_of(till, facts)) == (0, response)


def test_a_budget_that_a_replaced_total_no_longer_holds(till: Till) -> None:
    sold = till.named((OTHER, 1, 3000))
    total = till.total(sold)
    less = copy.deepcopy(sold)
    less.lines[0].amount_minor = 1000
    till.total(less)
    till.commit(till.sale(basket((OTHER, 1, 9000))))
    answer = till.pay(sold, total, paid=True)
    assert exceptions_of(answer) == {"TOTAL_UNKNOWN": 0, "BUDGET_PASSED": 200}
    assert shown(answer.decision) == total.decision


def test_a_total_holds_over_a_restart(till: Till) -> None:
    till.give("ann", 500)
    sold = till.named((OTHER, 1, 2000), points=400, member="ann")
    total = till.total(sold)
    till.restart()
    assert held(till, "ann") == (100, 400)
    till.engine.checkpoint()
    till.restart()
    assert till.pay(sold, total).decision == total.decision
    assert held(till, "ann")[1] == 0


def test_a_merge_takes_the_total_along(till: Till) -> None:
    till.give("cat", 500)
    sold = till.named((OTHER, 1, 2000), points=400, member="cat")
    total = till.total(sold)
    till.call("MemberService.MergeMembers", member_pb2.MergeMembersRequest(
        context=till.context(),
        surviving_member=member_pb2.MemberRef(member_id="dan"),
        merged_member=member_pb2.MemberRef(member_id="cat"),
        reason="one person",
    ))  # fmt: skip
    assert held(till, "dan") == (100, 400)
    assert till.pay(sold, total).decision == total.decision
    (earned,) = [e.points for e in total.decision.earned if e.purse_id == "base"]
    assert held(till, "dan") == (100 + earned, 0)
