"""Sales that come late: judged by what was live when they were made, and never refused."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checklane import _layout
from checklane.clock import SYSTEM_CLOCK
from checklane.v1 import checkout_pb2, decision_pb2
from tests.engine.shop import OPENED_UNIX_MS, Built, RefusedError, Shop, basket
from tests.engine.test_replay import commits, files_of, open_engine, sections

PLAIN, LIMITED, GIFT, GOLD, OTHER = 100, 200, 300, 400, 500
KINDS = decision_pb2.SaleExceptionKind
OUTCOMES = checkout_pb2.CommitOutcome


class Till(Shop):
    """The shop with sales that come late."""

    def upload_raw(self, request: Any) -> bytes:
        return self.call("CheckoutService.UploadTransactions", request)

    def upload(self, request: Any) -> Any:
        return checkout_pb2.CommitTransactionResponse.FromString(self.upload_raw(request))

    def change(self, program: Path) -> int:
        """Make a program live later than all that was before; return since when it is."""
        self.pass_time()
        self.activate(program, self.built.catalogue)
        return self.live_since()[-1]

    def pass_time(self) -> None:
        """Wait for another millisecond."""
        before_ms = SYSTEM_CLOCK.unix_ms()
        while SYSTEM_CLOCK.unix_ms() <= before_ms:
            SYSTEM_CLOCK.sleep(0.001)

    def live_since(self) -> list[int]:
        """Return the post times of all changes of what is live."""
        entries = self.engine.read_entries(1, 10_000, 1 << 26)
        headers = [sections(entry)[0] for entry in entries]
        return [int(h["post_unix_ms"]) for h in headers if h["kind"] == _layout.ENTRY_LIVE]


@pytest.fixture
def till(built: Built, tmp_path: Path) -> Iterator[Till]:
    opened = Till(built, tmp_path)
    yield opened
    opened.engine.close()


def exceptions_of(answer: Any) -> dict[str, int]:
    return {
        KINDS.Name(told.kind).removeprefix("SALE_EXCEPTION_KIND_"): told.points or told.amount_minor
        for told in answer.decision.exceptions
    }


def assert_replayed(till: Till) -> None:
    """Every sale comes out the same once more, from its entry and the program that it names."""
    for entry, facts, response in commits(till):
        assert till.engine.replay(entry, *files_of(till, facts)) == (0, response)


def test_the_program_of_its_time_decides(till: Till) -> None:
    (first_ms,) = till.live_since()
    second_ms = till.change(till.built.cheaper)
    third_ms = till.change(till.built.program)
    sold = basket((PLAIN, 1, 1000), member="ben")
    for made_ms, discount in (
        (first_ms, 100),
        (second_ms - 1, 100),
        (second_ms, 200),
        (third_ms - 1, 200),
        (third_ms, 100),
        (third_ms + 10**9, 100),
    ):
        before = till.balance("ben")[0]
        answer = till.upload(till.sale(sold, completed_time_unix_ms=made_ms))
        assert answer.decision.totals.discount_minor == discount
        assert answer.outcome == checkout_pb2.COMMIT_OUTCOME_POSTED
        assert till.balance("ben")[0] - before == (1000 - discount) // 10
        assert not answer.decision.exceptions
        header = sections(till.engine.read_entries(till.lsn, 1, 1 << 20)[0])[0]
        assert (header["event_unix_ms"], header["flags"]) == (made_ms, _layout.ENTRY_FLAG_PAID)
    assert_replayed(till)


def test_the_opening_stands_for_a_time_that_is_not_said(till: Till) -> None:
    """The basket was opened before anything was live here."""
    sold = basket((PLAIN, 1, 1000), member="ben")
    answer = till.upload(till.sale(sold))
    assert exceptions_of(answer) == {"PROGRAM_NOT_KEPT": 0}
    header = sections(till.engine.read_entries(till.lsn, 1, 1 << 20)[0])[0]
    assert header["event_unix_ms"] == OPENED_UNIX_MS
    sold.opened_time_unix_ms = SYSTEM_CLOCK.unix_ms()
    assert exceptions_of(till.upload(till.sale(sold))) == {}
    assert_replayed(till)


def test_a_program_that_is_gone_is_named_and_today_decides(till: Till, tmp_path: Path) -> None:
    (first_ms,) = till.live_since()
    till.change(till.built.cheaper)
    name = till.built.program.name
    (till.data / "snapshots" / name).rename(tmp_path / name)
    answer = till.upload(
        till.sale(basket((PLAIN, 1, 1000), member="ben"), completed_time_unix_ms=first_ms)
    )
    assert answer.decision.totals.discount_minor == 200
    assert exceptions_of(answer) == {"PROGRAM_NOT_KEPT": 0}
    assert answer.outcome == checkout_pb2.COMMIT_OUTCOME_POSTED_WITH_EXCEPTIONS
    assert_replayed(till)
    (tmp_path / name).rename(till.data / "snapshots" / name)
    again = till.upload(
        till.sale(basket((PLAIN, 1, 1000), member="ben"), completed_time_unix_ms=first_ms)
    )
    assert again.decision.totals.discount_minor == 100


def test_a_store_that_was_not_there_then_is_judged_by_today(built: Built, till: Till) -> None:
    (first_ms,) = till.live_since()
    till.activate(built.moved, built.moved_catalogue)
    sold = basket((PLAIN, 1, 1000))
    with pytest.raises(RefusedError, match="STORE_UNKNOWN"):
        till.upload(till.sale(sold, completed_time_unix_ms=first_ms))
    till.activate(built.program, built.catalogue)
    moved_ms = till.live_since()[1]
    answer = till.upload(till.sale(sold, completed_time_unix_ms=moved_ms))
    assert answer.decision.totals.discount_minor == 100


def test_a_late_sale_is_taken_as_paid(till: Till) -> None:
    (first_ms,) = till.live_since()
    sale = till.sale(
        basket((PLAIN, 2, 1000), member="ben"),
        completed_time_unix_ms=first_ms,
        refuse_on_change=True,
        figures=decision_pb2.Figures(
            discount_minor=300, lines=[decision_pb2.LineFigures(line_id=1, discount_minor=300)]
        ),
    )
    answer = till.upload(sale)
    assert exceptions_of(answer) == {"DISCOUNT_DIFFERS": 200}
    assert_replayed(till)
    back = till.return_items(till.return_request(sale, (1, None)))
    assert back.reversal.refund_minor == 700


def test_the_same_sale_again_answers_as_before(till: Till) -> None:
    (first_ms,) = till.live_since()
    sold = basket((PLAIN, 1, 1000), member="ben")
    sale = till.sale(sold, completed_time_unix_ms=first_ms)
    live = till.call("CheckoutService.CommitTransaction", sale)
    balance, lsn = till.balance("ben"), till.lsn
    till.change(till.built.cheaper)
    assert till.upload_raw(sale) == till.upload_raw(sale) == live
    late = till.sale(sold, completed_time_unix_ms=first_ms)
    first = till.upload_raw(late)
    assert till.call("CheckoutService.CommitTransaction", late) == first
    assert till.upload_raw(late) == first
    assert till.lsn == lsn + 2  # the program and one sale
    assert till.balance("ben")[0] == 2 * balance[0]
    other_key = till.sale(sold, receipt=late.receipt, completed_time_unix_ms=first_ms)
    with pytest.raises(RefusedError) as caught:
        till.upload(other_key)
    assert (caught.value.name, caught.value.place) == ("RECEIPT_REUSED", "receipt")
    late.basket.lines[0].amount_minor = 999
    with pytest.raises(RefusedError, match="KEY_REUSED"):
        till.upload(late)


def test_a_sale_that_was_voided_before_it_came_gives_nothing(till: Till) -> None:
    (first_ms,) = till.live_since()
    till.change(till.built.cheaper)
    sale = till.sale(basket((PLAIN, 1, 1000), member="ben"), completed_time_unix_ms=first_ms)
    till.void(till.void_request(sale))
    assert till.upload(sale).outcome == checkout_pb2.COMMIT_OUTCOME_VOIDED_BEFORE
    assert_replayed(till)


def test_a_late_sale_of_a_total_is_that_of_the_total(till: Till) -> None:
    (first_ms,) = till.live_since()
    sold = basket((PLAIN, 1, 1000), member="ben")
    sold.basket_id = "late"
    request = checkout_pb2.TotalBasketRequest(context=till.context(), basket=sold)
    total = checkout_pb2.TotalBasketResponse.FromString(
        till.call("CheckoutService.TotalBasket", request)
    )
    second_ms = till.change(till.built.cheaper)
    sale = till.sale(sold, total_token=total.total_token, completed_time_unix_ms=second_ms)
    assert till.upload(sale).decision == total.decision
    unknown = till.sale(sold, total_token=b"none", completed_time_unix_ms=first_ms)
    answer = till.upload(unknown)
    assert exceptions_of(answer) == {"TOTAL_UNKNOWN": 0}
    assert answer.decision.totals.discount_minor == 100
    assert_replayed(till)


def test_what_was_live_is_known_after_a_restart(till: Till, tmp_path: Path) -> None:
    (first_ms,) = till.live_since()
    second_ms = till.change(till.built.cheaper)
    till.engine.close()
    till.engine = open_engine(till.data)
    # As a start does: what is live was chosen before.
    paths = [till.built.cheaper, till.built.catalogue, till.built.members]
    till.engine.activate(*map(str, paths), is_recorded=False)
    assert till.live_since() == [first_ms, second_ms]
    sold = basket((PLAIN, 1, 1000), member="ben")
    answer = till.upload(till.sale(sold, completed_time_unix_ms=first_ms))
    assert answer.decision.totals.discount_minor == 100
    till.engine.close()
    till.engine = open_engine(till.data)
    # Another one was chosen while nothing ran.
    paths = [till.built.program, till.built.catalogue, till.built.members]
    till.engine.activate(*map(str, paths), is_recorded=False)
    third_ms = till.live_since()[2]
    for made_ms, discount in ((second_ms, 200), (third_ms - 1, 200), (third_ms, 100)):
        answer = till.upload(till.sale(sold, completed_time_unix_ms=made_ms))
        assert answer.decision.totals.discount_minor == discount


def test_the_oldest_changes_are_forgotten(till: Till) -> None:
    """As many changes as are kept, and ten more."""
    programs = [till.built.cheaper, till.built.program]
    for number in range(460):
        till.pass_time()
        till.activate(programs[number % 2], till.built.catalogue)
    since_ms = till.live_since()
    assert len(since_ms) == 461
    sold = basket((PLAIN, 1, 1000))
    oldest = till.upload(till.sale(sold, completed_time_unix_ms=since_ms[11] - 1))
    assert exceptions_of(oldest) == {"PROGRAM_NOT_KEPT": 0}
    known = [till.upload(till.sale(sold, completed_time_unix_ms=ms)) for ms in since_ms[-3:]]
    assert not any(answer.decision.exceptions for answer in known)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_outage_changes_no_figure(built: Built, tmp_path: Path, seed: int) -> None:
    """A shop that sold while it was cut off ends where one ends that never was.

    Both see the same sales in the same order while programs change; one sells as they come, the
    other hears of all of them afterwards, some of them twice.
    """
    draw = random.Random(seed)
    programs = [built.program, built.cheaper, built.lenient]
    plan: list[Any] = []
    for _ in range(120):
        if draw.random() < 0.1:
            plan.append(draw.choice(programs))
            continue
        lines = [
            (draw.choice([PLAIN, LIMITED, GIFT, GOLD]), draw.randint(1, 5), draw.randint(1, 2000))
            for _ in range(draw.randint(1, 5))
        ]
        plan.append(basket(*lines, member=draw.choice(["ann", "ben", "eve", "eva", None])))
    (tmp_path / "live").mkdir()
    (tmp_path / "late").mkdir()
    live, late = Till(built, tmp_path / "live"), Till(built, tmp_path / "late")
    try:
        told, waiting = [], []
        now_ms = late.live_since()[-1]
        for step in plan:
            if isinstance(step, Path):
                live.change(step)
                now_ms = late.change(step)
                continue
            told.append(live.commit(live.sale(step)))
            waiting.append(late.sale(step, completed_time_unix_ms=now_ms))
        for sale, before in zip(waiting, told, strict=True):
            answer = late.upload(sale)
            assert answer.decision.totals == before.decision.totals
            assert answer.decision.lines == before.decision.lines
            assert answer.decision.earned == before.decision.earned
            assert answer.balances == before.balances
            if draw.random() < 0.2:
                assert late.upload(draw.choice(waiting[: waiting.index(sale) + 1]))
        for member in ("ann", "ben", "eve", "eva"):
            assert late.member(member).balances == live.member(member).balances
        assert_replayed(late)
    finally:
        live.engine.close()
        late.engine.close()
