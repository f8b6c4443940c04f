"""The demo's look at the period totals: what it compares, and that it sees a difference."""

import numpy as np
import pytest

from checklane.demo import periods
from checklane.demo.lane import ACK, ACK_RETURN, ACK_SALE, ACK_VOID


def acks():
    rows = np.zeros(4, dtype=ACK)
    rows["store"], rows["business_date"] = (1, 1, 1, 2), 20260304
    rows["kind"] = ACK_SALE, ACK_SALE, ACK_VOID, ACK_RETURN
    rows["due_minor"] = 500, 300, -300, -40
    rows["points"][:, 0] = 5, 3, -3, -1
    return rows


def test_sums_are_by_store_and_date():
    told = periods.told_periods(acks())
    (one, other) = (told[key] for key in sorted(told))
    assert (one["sales"], one["voids"], one["due_minor"]) == (1, 1, 500)
    assert (other["sales"], other["returns"], other["due_minor"]) == (0, 1, -40)
    purse = periods.PURSES[0]
    assert (one[purse], other[purse]) == (5, -1)


@pytest.mark.parametrize("name", ["sales", "voids", "returns", "due_minor", periods.PURSES[0]])
def test_each_sum_that_differs_is_told(name):
    told, found = periods.told_periods(acks()), periods.told_periods(acks())
    assert periods.compare(told, found, "them") == []
    key = min(told)
    found[key][name] += 1
    (difference,) = periods.compare(told, found, "them")
    assert difference.startswith(f"{name} of {key[0]} on 20260304: ")
    assert difference.endswith("by them")
