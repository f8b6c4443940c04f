"""Period totals against a clerk's books, in every split, and what is missing."""

from collections import Counter

import numpy as np
import pytest

from checklane import _layout, errors
from checklane.books.periods import Query, read_periods
from checklane.books.walk import PAGE_ENTRIES_MAX, LiveJournal, find_first
from tests.books.day import DATES, SUMS

NAMES = {1: "base", 2: "late", 3: "cash"}
SPAN = {"from_date": DATES[0], "to_date": DATES[-1]}
SPLITS = {
    "store": {"by_date": False, "by_till": False},
    "date": {"by_till": False},
    "till": {},
    "shift": {"by_shift": True},
}


def read(day, **asked):
    return read_periods(LiveJournal(day.shop.engine), Query(**{**SPAN, **asked}), NAMES)


def by_clerk(book, asked):
    """Return a book of the clerk's as the query splits it, without zeros."""
    query = Query(**{**SPAN, **asked})
    sums = {}
    for (store, date, till, shift), counted in book.items():
        if (
            query.from_date <= date <= query.to_date
            and query.store_id in ("", store)
            and query.till_id in ("", till)
            and query.shift_id in ("", shift)
        ):
            key = (
                store,
                date if query.by_date else 0,
                till if query.by_till else query.till_id,
                shift if query.by_shift else query.shift_id,
            )
            sums.setdefault(key, Counter()).update(counted)
    return without_zeros(sums)


def without_zeros(sums):
    found = {key: {name: n for name, n in counted.items() if n} for key, counted in sums.items()}
    return {key: counted for key, counted in found.items() if counted}


@pytest.mark.parametrize("split", SPLITS.values(), ids=SPLITS)
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"store_id": "S1"},
        {"store_id": "S2", "till_id": "9"},
        {"store_id": "S1", "shift_id": "late"},
        {"from_date": DATES[1], "to_date": DATES[1]},
    ],
)
def test_totals_are_the_clerks(day, asked, split):
    asked = {**asked, **split}
    found = read(day, **asked)
    sums = {key: {name: getattr(part, name) for name in SUMS} for key, part in found.parts.items()}
    points = {key: part.points for key, part in found.parts.items()}
    assert without_zeros(sums) == by_clerk(day.clerk.sums, asked)
    assert without_zeros(points) == by_clerk(day.clerk.points, asked)
    proof = found.prove()
    assert proof.adds_up, proof.sums


def test_the_day_had_everything_in_it(day):
    total = Counter()
    for counted in day.clerk.sums.values():
        total.update(counted)
    assert all(total[name] > 0 for name in SUMS)
    assert set(day.clerk.all_points) == set(NAMES.values())
    assert day.captured < 0


def test_missing_numbers_are_the_clerks(day):
    found = read(day)
    missing = [
        (*gap[:3], number)
        for gap in found.gaps()
        for number in range(gap.from_sequence, gap.to_sequence + 1)
    ]
    assert missing == day.clerk.gaps()
    assert missing


def test_a_part_too_many_is_refused(day):
    with pytest.raises(errors.CeilingError, match="too many parts"):
        read(day, parts_max=3)


def test_a_proof_tells_what_differs(day):
    found = read(day)
    next(iter(found.parts.values())).gross_minor += 1
    differing = [what for what, reported, other in found.prove().sums if reported != other]
    assert differing == ["gross, by sold lines", "net, by sold lines"]


def test_only_what_was_posted_since_is_read(day):
    class Counted(LiveJournal):
        reads = ()

        def read(self, from_lsn, entry_count):
            self.reads = (*self.reads, from_lsn)
            return super().read(from_lsn, entry_count)

    source = Counted(day.shop.engine)
    read_periods(source, Query(from_date=20991231, to_date=20991231), NAMES)
    assert source.reads == (1, 1)


def test_the_first_position_is_found_by_bisection():
    class Posted:
        """A hundred thousand entries that were posted two a millisecond."""

        first_lsn, last_lsn = 5, 100_004

        def __init__(self):
            self.read_lsns = []

        def read(self, from_lsn, entry_count):
            self.read_lsns.append(from_lsn)
            head = np.zeros((), dtype=_layout.ENTRY_HEADER)
            head["lsn"], head["post_unix_ms"] = from_lsn, from_lsn // 2
            return [head.tobytes()] * entry_count

    for post_unix_ms in (0, 3, 777, 25_000, 50_002, 60_000):
        source = Posted()
        found = find_first(source, post_unix_ms)
        first = min(max(2 * post_unix_ms, source.first_lsn), source.last_lsn + 1)
        assert first - PAGE_ENTRIES_MAX <= found <= first
        assert len(source.read_lsns) <= 6
