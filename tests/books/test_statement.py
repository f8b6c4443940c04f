"""GetStatement: purses carry over from span to span and end as the accounts are."""

from collections import Counter

import grpc
import pytest

from checklane import errors
from checklane.books.dates import posted_date
from checklane.books.statement import Asked, read_statement, statement_table
from checklane.books.walk import LiveJournal
from checklane.v1 import ledger_pb2, member_pb2
from tests.books.day import DATES
from tests.books.test_periods import NAMES
from tests.engine.shop import CARDS

FLOWS = (
    "earned_points", "spent_points", "reversed_points", "expired_points", "adjusted_points",
)  # fmt: skip
SIGNS = (1, -1, -1, -1, 1)


def today(day):
    entry = day.shop.engine.read_entries(day.shop.lsn, 1, 1 << 20)[0]
    return posted_date(int.from_bytes(entry[32:40], "little"))


@pytest.fixture
def statement(ledger):
    def statement(member="ann", **fields):
        ref = {"member": member_pb2.MemberRef(member_id=member)} if member else {}
        return ledger.GetStatement(ledger_pb2.GetStatementRequest(**{**ref, **fields}), timeout=60)

    return statement


def purses(answer):
    return {purse.purse_id: purse for purse in answer.purses}


@pytest.mark.parametrize("member", CARDS)
def test_purses_end_as_the_accounts_are(day, statement, member):
    found = purses(statement(member, from_date=DATES[0], to_date=today(day)))
    for balance in day.shop.member(member).balances:
        held = balance.available_points + balance.pending_points + balance.held_points
        assert found[balance.purse_id].closing_points == held
        assert found[balance.purse_id].opening_points == 0


@pytest.mark.parametrize("member", CARDS)
def test_spans_carry_over(day, statement, member):
    last = today(day)
    edges = [DATES[0], DATES[1], DATES[2], 20260601, last, last + 10_000]
    whole = purses(statement(member, from_date=edges[0], to_date=edges[-1]))
    parts = [
        purses(statement(member, from_date=first + 1, to_date=to))
        for first, to in zip([DATES[0] - 1, *edges[:-1]], edges, strict=True)
    ]
    for purse_id, purse in whole.items():
        carried = 0
        sums = Counter()
        for part in parts:
            if purse_id not in part:
                continue
            one = part[purse_id]
            assert one.opening_points == carried
            flows = [getattr(one, name) for name in FLOWS]
            moved = sum(sign * flow for sign, flow in zip(SIGNS, flows, strict=True))
            carried = one.closing_points
            assert one.opening_points + moved == carried
            sums.update(dict(zip(FLOWS, flows, strict=True)))
        assert carried == purse.closing_points
        assert dict(sums) == {name: getattr(purse, name) for name in FLOWS}


def test_everything_is_in_somebody_s_statement(day, statement):
    moved = Counter()
    groups = set()
    for member in CARDS:
        group = day.shop.member(member).group_number
        answer = statement(member, from_date=DATES[0], to_date=today(day), page_size=1000)
        if group not in groups:
            for entry in answer.entries:
                for points in entry.points:
                    moved[points.purse_id] += points.points
        groups.add(group)
    assert moved == day.clerk.all_points


def test_pages_follow_and_are_the_whole(day, statement):
    span = {"from_date": DATES[0], "to_date": today(day)}
    whole = statement(**span, page_size=1000)
    assert whole.next_page_token == ""
    assert [entry.posting.lsn for entry in whole.entries] == sorted(
        entry.posting.lsn for entry in whole.entries
    )
    pages, token = [], ""
    while not pages or token:
        page = statement(**span, page_size=7, page_token=token)
        assert page.purses == whole.purses
        assert len(page.entries) == 7 or not page.next_page_token
        pages.extend(page.entries)
        token = page.next_page_token
    assert pages == list(whole.entries)
    kinds = {entry.kind for entry in pages}
    assert {
        member_pb2.MEMBER_ENTRY_KIND_SALE,
        member_pb2.MEMBER_ENTRY_KIND_RETURN,
        member_pb2.MEMBER_ENTRY_KIND_ADJUSTMENT,
    } <= kinds
    assert whole.as_of_lsn == day.shop.lsn


def test_a_statement_adds_up_and_has_rows(day):
    source = LiveJournal(day.shop.engine)
    for member in CARDS:
        group = day.shop.member(member).group_number
        found = read_statement(source, Asked(group, DATES[0], today(day)), NAMES)
        assert found.prove().adds_up, found.prove().sums
        assert len(statement_table(found).rows) >= len(found.entries) > 0
        found.told["base"] += 1
        assert not found.prove().adds_up


SPAN = {"from_date": DATES[0], "to_date": DATES[1]}


@pytest.mark.parametrize(
    ("fields", "reason", "place"),
    [
        ({"member": None}, "FIELD_REQUIRED", "member"),
        ({"from_date": 0}, "FIELD_REQUIRED", "from_date"),
        ({"to_date": 0}, "FIELD_REQUIRED", "to_date"),
        ({"to_date": DATES[0] - 1}, "FIELD_OUT_OF_RANGE", "to_date"),
        ({"page_size": 1001}, "FIELD_OUT_OF_RANGE", "page_size"),
        ({"page_size": -1}, "FIELD_OUT_OF_RANGE", "page_size"),
        ({"page_token": "x1"}, "FIELD_OUT_OF_RANGE", "page_token"),
        ({"to_date": 20260399, "member": "nobody"}, "BUSINESS_DATE_INVALID", "to_date"),
        ({"member": "nobody"}, "MEMBER_UNKNOWN", "member"),
    ],
)
def test_refusals(statement, fields, reason, place):
    with pytest.raises(grpc.RpcError) as caught:
        statement(**{**SPAN, **fields})
    error = errors.from_rpc_error(caught.value)
    assert error.reason == reason
    assert error.place.startswith(place)


def test_a_pruned_journal_is_refused(day):
    source = LiveJournal(day.shop.engine)
    source.first_lsn = 2
    with pytest.raises(errors.NotFoundError, match="the journal was pruned"):
        read_statement(source, Asked(1, DATES[0], DATES[0]), NAMES)
