"""Money, percents, dates and hours are read exactly."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from checklane._layout import LINE_AMOUNT_MAX
from checklane.program.fields import Clock, Factor, From, Money, Percent, Until

MONEY = TypeAdapter(Money)


def money(value, exponent):
    return MONEY.validate_python(value, context={"exponent": exponent})


@pytest.mark.parametrize(
    ("text", "exponent", "minor"),
    [
        ("0", 2, 0),
        (0, 2, 0),
        ("5", 2, 500),
        (5, 2, 500),
        ("5.1", 2, 510),
        ("5.10", 2, 510),
        ("0.01", 2, 1),
        ("1.005", 3, 1005),
        ("500", 0, 500),
        ("1000000000.00", 2, LINE_AMOUNT_MAX),
        ("+1.00", 2, 100),
        ("0.29", 2, 29),
        ("1.15", 2, 115),
        ("4.35", 2, 435),
    ],
)
def test_money_is_exact(text, exponent, minor):
    assert money(text, exponent) == minor


@pytest.mark.parametrize(
    ("text", "exponent"),
    [
        ("1.001", 2),
        ("1.000", 2),
        ("1.5", 0),
        ("1.", 2),
        (".5", 2),
        ("1,50", 2),
        ("1 000", 2),
        ("1_000", 2),
        ("1e3", 2),
        ("-0.01", 2),
        ("NaN", 2),
        ("Infinity", 2),
        ("$5", 2),
        ("", 2),
        (None, 2),
        (True, 2),
        ([1], 2),
        ("1000000000.01", 2),
        ("٣", 2),
        ("0.00000000000000000001", 2),
        ("9" * 40, 2),
    ],
)
def test_what_is_not_exactly_money_is_refused(text, exponent):
    with pytest.raises(ValidationError):
        money(text, exponent)


@given(st.integers(0, LINE_AMOUNT_MAX), st.integers(0, 4))
def test_money_comes_back_as_written(minor, exponent):
    assert money(str(Decimal(minor).scaleb(-exponent)), exponent) == minor if minor else True
    text = f"{minor:0{exponent + 1}d}"
    written = f"{text[:-exponent]}.{text[-exponent:]}" if exponent else text
    assert money(written, exponent) == minor


def test_percents_and_factors():
    assert TypeAdapter(Percent).validate_python("33.33") == 3333
    assert TypeAdapter(Percent).validate_python(100) == 10_000
    assert TypeAdapter(Factor).validate_python("1.0001") == 10_001
    assert TypeAdapter(Factor).validate_python(2) == 20_000


def test_a_last_day_is_included_and_a_last_minute_is_not():
    first = TypeAdapter(From).validate_python
    last = TypeAdapter(Until).validate_python
    assert last("2026-01-31") == first("2026-02-01")
    assert last("2026-01-31T00:00") == first("2026-01-31")
    assert last("2026-01-31 22:00") == first("2026-01-31T22:00")
    assert first("2000-01-01") == 10_957 * 1440


@pytest.mark.parametrize(("text", "minutes"), [("00:00", 0), ("08:30", 510), ("24:00", 1440)])
def test_clock(text, minutes):
    assert TypeAdapter(Clock).validate_python(text) == minutes


@pytest.mark.parametrize("text", ["24:01", "8:30", "08:60", "0830", 510])
def test_no_clock(text):
    with pytest.raises(ValidationError):
        TypeAdapter(Clock).validate_python(text)
