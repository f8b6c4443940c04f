"""What was reported of a closed date is reported of it for good, whatever comes later."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner

from checklane import errors
from checklane._engine import METHODS
from checklane.books.periods import Query, period_table, read_periods
from checklane.books.settlement import read_settlement
from checklane.books.walk import LiveJournal
from checklane.cli import main
from checklane.client import manage
from checklane.config import Settings
from checklane.server import Service
from checklane.snapshot.store import Live, LiveSet, write_live
from checklane.tables.files import snapshot_hash
from checklane.v1 import checkout_pb2, common_pb2, ledger_pb2, ledger_pb2_grpc
from tests.books.conftest import Borrowed
from tests.books.day import DATES, PLACES, Day
from tests.books.test_periods import NAMES
from tests.engine.shop import Built, basket

SEEDS = itertools.count(5)
STORES = sorted({store for store, _ in PLACES})


@pytest.fixture
def day(built: Built, tmp_path: Path) -> Iterator[Day]:
    """Return a day of its own, half over, on which nothing is closed by chance."""
    day = Day(built, tmp_path, next(SEEDS))
    day.close = lambda: None
    day.run(120)
    yield day
    day.shop.engine.close()


@pytest.fixture
def service(day: Day) -> Iterator[Service]:
    kinds = dict(map(snapshot_hash, (day.shop.built.members, day.catalogue, day.program)))
    write_live(day.shop.data, Live(LiveSet(**kinds)))
    settings = Settings(data=day.shop.data, listen="127.0.0.1:0", lane_listen="", workers=2)
    service = Service(settings, lambda settings, keys: Borrowed(day.shop.engine), METHODS)
    service.start()
    yield service
    service.stop()


def reports(day, to_date):
    """Return the rows of both reports, what is closed left out."""
    source = LiveJournal(day.shop.engine)
    query = Query(from_date=DATES[0], to_date=to_date, by_shift=True)
    periods = read_periods(source, query, NAMES)
    assert periods.prove().adds_up
    settlement = read_settlement(source, DATES[0], to_date)
    assert settlement.prove().adds_up
    rows = period_table(periods)
    closed = [column.name for column in rows.columns].index("is_closed")
    is_closed = {row[closed] for row in rows.rows}
    return is_closed, [(*r[:closed], *r[closed + 1 :]) for r in rows.rows], settlement.table().rows


def test_reports_of_a_closed_date_never_change(day, service):
    for store in STORES:
        day.clerk.closed[store] = manage.close_date(service.address, store, DATES[1])
    is_closed, *before = reports(day, DATES[1])
    assert is_closed == {1}
    day.run(120)
    assert any(sale.key[1] != sale.request.receipt.business_date for sale in day.sales)
    is_closed, *after = reports(day, DATES[1])
    assert (is_closed, after) == ({1}, before)
    is_closed, *_ = reports(day, DATES[2])
    assert is_closed == {0, 1}
    late = day.clerk.sums.items()
    assert sum(counted["late_count"] for _, counted in late) > 0
    with grpc.insecure_channel(service.address) as channel:
        ledger = ledger_pb2_grpc.LedgerServiceStub(channel)
        request = ledger_pb2.GetPeriodTotalsRequest(
            store_id="S1", from_date=DATES[0], to_date=DATES[2], grouping="PERIOD_GROUPING_DATE"
        )
        told = {part.business_date: part for part in ledger.GetPeriodTotals(request).totals}
    assert [told[date].closed for date in DATES] == [True, True, False]
    assert told[DATES[2]].late_count == sum(
        counted["late_count"] for (store, *_), counted in late if store == "S1"
    )


def test_an_open_date_still_changes(day):
    """The same day without closing: so the test above can fail."""
    is_closed, *before = reports(day, DATES[1])
    day.run(120)
    assert is_closed == {0}
    assert reports(day, DATES[1])[1:] != tuple(before)


def test_a_late_receipt_closes_the_gap_of_its_own_date(built: Built, tmp_path: Path) -> None:
    """A missing number is told as it is now, whatever date its receipt counts for (Z3)."""
    day = Day(built, tmp_path, next(SEEDS))
    first, missing, third = (
        checkout_pb2.CommitTransactionRequest(
            context=day.context("S1", "7"), basket=basket((500, 1, 1000)),
            receipt=common_pb2.ReceiptId(
                store_id="S1", business_date=DATES[0], till_id="7", sequence=number
            ),
        )
        for number in (1, 2, 3)
    )  # fmt: skip

    def told() -> tuple[list[int], dict[int, int]]:
        query = Query(from_date=DATES[0], to_date=DATES[-1])
        periods = read_periods(LiveJournal(day.shop.engine), query, NAMES)
        sums = {key.business_date: part.sale_count for key, part in periods.parts.items()}
        return [gap.from_sequence for gap in periods.gaps() if gap.business_date == DATES[0]], sums

    for request in (first, third):
        day.commit(request)
    close = ledger_pb2.CloseBusinessDateRequest(
        context=day.context("S1", "7"), business_date=DATES[0]
    )
    day.shop.call("LedgerService.CloseBusinessDate", close)
    assert told() == ([2], {DATES[0]: 2})
    assert day.commit(missing).posting.business_date == DATES[1]
    assert told() == ([], {DATES[0]: 2, DATES[1]: 1})
    day.shop.engine.close()


def test_closing_from_the_command_line(day, service):
    asked = ["ledger", "close", "--address", service.address, "--store", "S1", "--date"]
    told = CliRunner().invoke(main, [*asked, "2026-03-03"])
    assert (told.exit_code, told.output) == (0, "S1: closed up to 20260303\n")
    with pytest.raises(errors.ChecklaneError) as caught:
        manage.close_date(service.address, "S1", 20991231)
    assert caught.value.reason == "FIELD_OUT_OF_RANGE"
    entry = day.shop.engine.read_entries(day.shop.lsn, 1, 1 << 20)[0]
    assert b"S1" in entry
