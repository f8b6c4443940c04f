"""What the summary says is neither rounded up nor a row of the data set."""

import pytest

from checklane.demo.report import money, percent


@pytest.mark.parametrize(
    ("share", "text"),
    [(1.0, "100.000%"), (0.99995, "99.995%"), (0.999999, "99.999%"), (0.0, "0.000%")],
)
def test_only_all_is_a_hundred_percent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("minor", "text"),
    [(0, "0.00"), (5, "0.05"), (-5, "-0.05"), (-123456, "-1,234.56"), (10**11, "1,000,000,000.00")],
)
def test_money_keeps_its_cents(minor, text):
    assert money(minor) == text
