"""A sale that was paid stands in every report with what its lane took off, whatever is decided."""

from collections import Counter
from pathlib import Path

import pytest

from checklane.books.periods import Query, read_periods
from checklane.books.scan import GOODS, read_scan_data
from checklane.books.settlement import Settlement, read_settlement
from checklane.books.walk import LiveJournal
from checklane.tables.catalogue_tables import open_catalogue
from checklane.v1 import checkout_pb2
from tests.books.day import DATES, Day
from tests.books.test_periods import NAMES
from tests.engine.shop import Built, basket

SPAN = (DATES[0], DATES[-1])
DECIDED = (150, 70, 100)


def net_of(settlement: Settlement) -> dict[tuple[int | str, ...], int]:
    """Return what is to be settled, by offer and funder."""
    sums: Counter[tuple[int | str, ...]] = Counter()
    for row in settlement.table().rows:
        sums[row[2:4]] += int(row[-1])
    return {key: minor for key, minor in sums.items() if minor}


def prove_all(day: Day) -> None:
    """Hold every report of the money against the journal."""
    source = LiveJournal(day.shop.engine)
    scanned = read_scan_data(
        source, *SPAN, GOODS["tobacco"], lambda content_hash: open_catalogue(day.catalogue)
    )
    proofs = [
        read_periods(source, Query(*SPAN), NAMES).prove(),
        read_settlement(source, *SPAN).prove(),
        read_settlement(source, *SPAN, by_coupon=True).prove(),
        scanned.prove(),
    ]
    assert [proof.sums for proof in proofs if not proof.adds_up] == []


@pytest.mark.parametrize("taken", [(500, 0, 7), (0, 0, 0), DECIDED])
def test_what_a_lane_took_off_is_what_all_reports_tell(
    built: Built, tmp_path: Path, taken: tuple[int, int, int]
) -> None:
    day = Day(built, tmp_path, 1000 + sum(taken))
    request = checkout_pb2.CommitTransactionRequest(
        context=day.context("S1", "7"), receipt=day.receipt("S1", DATES[1], "7"), paid=True,
        basket=basket((100, 1, 1000), (200, 2, 900), (500, 2, 1000), member="ben"),
    )  # fmt: skip
    request.basket.coupons.add(code="TEN")
    for number, minor in enumerate(taken, 1):
        request.figures.lines.add(line_id=number, discount_minor=minor)
    assert day.commit(request).decision.totals.discount_minor == sum(DECIDED)
    source = LiveJournal(day.shop.engine)
    (part,) = read_periods(source, Query(*SPAN), NAMES).parts.values()
    assert (part.gross_minor, part.discount_minor) == (2900, sum(taken))
    found = net_of(read_settlement(source, *SPAN))
    if taken == DECIDED:
        assert found == {
            ("plain", "Alba"): 105, ("plain", "retailer"): 45, ("bank", "bank"): 70,
            ("other", "retailer"): 100,
        }  # fmt: skip
    else:
        assert found == ({("", ""): sum(taken)} if sum(taken) else {})
    prove_all(day)
    for counts in ((3, 1), (3, 1), (2, 2), (1, 1)):
        back = day.shop.return_request(request, counts)
        day.shop.return_items(back)
        prove_all(day)
    assert net_of(read_settlement(LiveJournal(day.shop.engine), *SPAN)) == {}
    day.shop.engine.close()
