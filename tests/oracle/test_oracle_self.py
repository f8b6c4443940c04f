"""The slow twin against cases that were worked out by hand."""

from typing import Any

import pytest

from tests.oracle.answer import OracleDecision
from tests.oracle.decide import decide
from tests.oracle.values import share, siphash

CATALOGUE: dict[str, list[dict[str, Any]]] = {
    "products": [
        {"code": str(100 + number), "category": category, "brand": brand}
        for number, (category, brand) in enumerate(
            [("FOOD/SOUP", "A"), ("FOOD/SOUP", "B"), ("FOOD/BREAD", "A"), ("HOME/PAPER", "C")]
        )
    ],
    "stores": [{"store_id": "1", "timezone": "UTC"}],
}
MEMBERS = [{"member_id": "m", "card": "7", "tier": "gold", "segments": ["new"]}]
PROGRAM = {
    "currency": {"code": "USD", "exponent": 2},
    "purses": {"points": {"number": 1, "expires": {"month_end": 1}}},
}
SOUP = {"category": "FOOD/SOUP"}


def quote(offers: list[dict[str, Any]], *lines: tuple[Any, ...], **more: Any) -> OracleDecision:
    """Decide lines of (code, count, amount)."""
    basket = {
        "store": "1",
        "opened": "2026-03-04T10:00",
        "lines": [
            {"id": at + 1, "code": str(code), "count": count, "amount": amount}
            for at, (code, count, amount) in enumerate(lines)
        ],
        **more,
    }
    return decide({**PROGRAM, "offers": offers}, CATALOGUE, MEMBERS, basket)


def test_siphash_is_the_published_function() -> None:
    key = bytes(range(16))
    assert siphash(key, b"") == 0xE6A825BA047F81A3
    assert siphash(key, bytes([0])) == 0x44AF996BD8C187DA


@pytest.mark.parametrize(
    ("total", "weights", "most", "expected"),
    [
        (100, [1, 1, 1], None, [34, 33, 33]),
        (1, [1, 2, 2], None, [0, 1, 0]),
        (11, [10, 1], [10, 1], [10, 1]),
        (11, [100, 3, 3], [10, 1, 1], [10, 1, 0]),
        (160, [597, 300, 99], [507, 210, 9], [102, 49, 9]),
        (5, [0, 1], None, [0, 5]),
    ],
)
def test_shares(total: int, weights: list[int], most: list[int] | None, expected: Any) -> None:
    assert share(total, weights, most) == expected


def test_percent_is_rounded_once_over_all_lines() -> None:
    offer = {"id": "a", "discount": {"of": SOUP, "percent": "15"}}
    decision = quote([offer], (100, 1, "3.33"), (101, 1, "3.33"), (102, 1, "9.99"))
    # 15 % of 6.66 is 0.999: 1.00, shared 0.50 and 0.50; alone each would be 0.50 as well.
    assert decision.discounts == {1: 50, 2: 50, 3: 0}
    assert decision.totals["net"] == 1565


def test_the_better_offer_wins_and_the_other_is_told() -> None:
    offers = [
        {"id": "a", "discount": {"of": SOUP, "percent": "10"}},
        {"id": "b", "group_price": {"count": 2, "of": SOUP, "price": "3.00"}},
    ]
    decision = quote(offers, (100, 3, "6.00"))
    # Two for 3.00 saves 1.00, and 10 % of the third 0.20.
    assert {a.offer: a.discount for a in decision.applied} == {"a": 20, "b": 100}
    decision = quote(offers, (100, 2, "4.00"))
    assert decision.outcomes == {"a": "NOT_BEST", "b": "APPLIED"}


def test_two_offers_share_units_best() -> None:
    offers = [
        {"id": "a", "buy_get": {"buy": {"count": 1, "of": {"brand": "A"}},
                                "get": {"count": 1, "of": SOUP, "percent": "100"}}},
        {"id": "b", "discount": {"of": {"brand": "B"}, "amount": "1.50"}},
    ]  # fmt: skip
    decision = quote(offers, (100, 1, "2.00"), (101, 1, "1.80"), (102, 1, "5.00"))
    # Bread buys soup 100 (2.00); soup 101 takes 1.50: 3.50. Soup 100 as buyer would give 1.80 + 0.
    assert {a.offer: a.shares for a in decision.applied} == {"a": {1: 200}, "b": {2: 150}}
    assert decision.applied[0].qualifying == {3: 1}


def test_cheapest_free_over_prices() -> None:
    get = {"count": 1, "same": "true", "percent": "100"}
    offer = {"id": "a", "buy_get": {"buy": {"count": 2, "of": "all"}, "get": get}}
    decision = quote([offer], (100, 3, "9.00"), (101, 2, "4.00"), (102, 2, "2.00"))
    # 3.00 3.00 3.00 | 2.00 2.00 1.00 | 1.00: 3.00 + 1.00.
    assert decision.totals["discount"] == 400
    assert decision.applied[0].times == 2


def test_stackable_sees_what_is_left() -> None:
    offers = [
        {"id": "a", "discount": {"of": SOUP, "percent": "50"}},
        {"id": "b", "stackable": "true", "discount": {"of": "all", "percent": "10"}},
    ]
    decision = quote(offers, (100, 1, "2.01"), (103, 1, "1.00"))
    # 1.005 is 1.01; then 10 % of 1.00 and of 1.00.
    assert decision.discounts == {1: 111, 2: 10}


def test_points_after_discounts_with_dates() -> None:
    offers = [
        {"id": "a", "discount": {"of": SOUP, "percent": "50"}},
        {"id": "base", "earn": {"purse": "points", "points": "3", "per": "1.00"}},
        {"id": "double", "multiply": {"purse": "points", "by": "2", "of": {"brand": "A"}}},
        {"id": "bonus", "bonus": {"purse": "points", "points": "50", "count": 2, "of": SOUP}},
    ]
    decision = quote(offers, (100, 5, "10.00"), (103, 1, "0.99"), card="7")
    # 5.99 · 3 = 17.97; brand A 5.00 · 3 once more; two full pairs of soup.
    points = {p.offer: (p.reason, p.points, p.expire) for p in decision.points}
    assert points == {
        "base": ("BASE", 17, 20260430),
        "double": ("MULTIPLIER", 15, 20260430),
        "bonus": ("BONUS", 100, 20260430),
    }
    assert quote(offers, (100, 5, "10.00")).points == []


def test_threshold_amount_is_shared_and_repeated() -> None:
    offer = {
        "id": "a",
        "limits": {"per_basket": {"times": 2}},
        "threshold": {"spend": "10.00", "reward": {"amount": "1.00"}},
    }
    decision = quote([offer], (100, 1, "10.00"), (103, 1, "25.00"))
    assert decision.discounts == {1: 57, 2: 143}
    assert quote([offer], (100, 1, "9.99")).near[0].missing_minor == 1


def test_an_offer_in_vain_takes_no_units() -> None:
    same = {"buy": {"count": 1, "of": "all"}, "get": {"count": 1, "same": "true", "price": "5.00"}}
    offers = [
        {"id": "a", "buy_get": same},
        {"id": "b", "class": 1, "discount": {"of": SOUP, "percent": "10"}},
    ]
    decision = quote(offers, (101, 2, "4.00"))
    assert decision.outcomes == {"a": "NO_VALUE", "b": "APPLIED"}
    assert decision.totals["discount"] == 40


def test_what_rounds_to_nothing_is_not_applied() -> None:
    offers = [
        {"id": "a", "discount": {"of": "all", "percent": "1"}},
        {"id": "b", "class": 1, "discount": {"of": "all", "percent": "50"}},
    ]
    decision = quote(offers, (100, 1, "0.20"))
    assert decision.outcomes == {"a": "NO_VALUE", "b": "NOT_BEST"}
    assert decision.given == []


def test_a_floor_holds_for_every_unit() -> None:
    threshold = {"spend": "1.00", "reward": {"amount": "2.00"}}
    offer = {"id": "a", "floor_price": "0.50", "threshold": threshold}
    assert quote([offer], (100, 1, "0.60"), (101, 1, "10.00")).discounts == {1: 10, 2: 190}
    group = {"count": 2, "of": "all", "price": "8.00"}
    offer = {"id": "a", "floor_price": "0.50", "group_price": group}
    assert quote([offer], (100, 1, "0.51"), (101, 1, "10.00")).discounts == {1: 1, 2: 250}
