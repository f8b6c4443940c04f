"""Money is exact, lines are numbered, words are those of the contract."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from checklane import errors
from checklane.client import Basket, Identifier, amount_minor
from checklane.v1 import basket_pb2, common_pb2


@pytest.mark.parametrize(
    ("amount", "exponent", "minor"),
    [
        ("3.98", 2, 398),
        ("0", 2, 0),
        ("1250", 0, 1250),
        (Decimal("1.2340"), 3, 1234),
        ("2.50", 2, 250),
    ],
)
def test_money_in_major_units(amount, exponent, minor):
    assert amount_minor(amount, exponent) == minor


@pytest.mark.parametrize("amount", ["3.985", "", "three", "NaN", "Infinity", "1,50", "1e-3"])
def test_money_that_is_not_exact_is_refused(amount):
    with pytest.raises(errors.RequestError) as caught:
        amount_minor(amount)
    assert caught.value.reason == "LINE_AMOUNT_INVALID"


@pytest.mark.parametrize("amount", [3.98, 4, None])
def test_money_is_never_a_binary_fraction(amount):
    with pytest.raises(TypeError):
        amount_minor(amount)


@given(st.integers(0, 10**11), st.integers(0, 4))
def test_every_minor_unit_comes_back(minor, exponent):
    assert amount_minor(Decimal(minor).scaleb(-exponent), exponent) == minor


def test_a_basket_is_the_contracts_message():
    basket = (
        Basket(opened_time_unix_ms=1_767_225_600_000)
        .add("4006381333931", count=2, amount="3.98")
        .add("4011", kind="PLU", amount_minor=50, line_id=7)
        .add_measured("4087", quantity="1.250", unit="KILOGRAM", amount="2.49")
        .card("9876")
        .identify(Identifier("s-1", "ACCOUNT", "STAFF"))
        .coupon("SAVE1", serial="17")
        .select("bundle", times=2)
        .tender("CASH", "5.00")
        .at(store="101", till="3", business_date=20260101, utc_offset_minutes=60)
    )
    assert basket.message == basket_pb2.Basket(
        store_id="101",
        till_id="3",
        opened_time_unix_ms=1_767_225_600_000,
        utc_offset_minutes=60,
        business_date=20260101,
        lines=[
            basket_pb2.Line(
                line_id=1,
                product_code="4006381333931",
                code_kind=basket_pb2.PRODUCT_CODE_KIND_GTIN,
                count=2,
                amount_minor=398,
            ),
            basket_pb2.Line(
                line_id=7,
                product_code="4011",
                code_kind=basket_pb2.PRODUCT_CODE_KIND_PLU,
                count=1,
                amount_minor=50,
            ),
            basket_pb2.Line(
                line_id=8,
                product_code="4087",
                code_kind=basket_pb2.PRODUCT_CODE_KIND_PLU,
                amount_minor=249,
                measure=basket_pb2.Measure(
                    quantity_thousandths=1250, unit=basket_pb2.MEASURE_UNIT_KILOGRAM
                ),
            ),
        ],
        identifiers=[
            common_pb2.Identifier(
                kind=common_pb2.IDENTIFIER_KIND_CARD,
                value="9876",
                role=common_pb2.IDENTIFIER_ROLE_MEMBER,
            ),
            common_pb2.Identifier(
                kind=common_pb2.IDENTIFIER_KIND_ACCOUNT,
                value="s-1",
                role=common_pb2.IDENTIFIER_ROLE_STAFF,
            ),
        ],
        coupons=[basket_pb2.Coupon(code="SAVE1", serial="17")],
        selections=[basket_pb2.Selection(offer_id="bundle", times=2)],
        tenders=[basket_pb2.Tender(kind=basket_pb2.TENDER_KIND_CASH, amount_minor=500)],
    )


@pytest.mark.parametrize(
    ("step", "place"),
    [
        (lambda basket: basket.add("1", amount="1", kind="ISBN"), "line.code_kind"),
        (lambda basket: basket.identify(Identifier("1", "TATTOO")), "identifier.kind"),
        (lambda basket: basket.identify(Identifier("1", "CARD", "OWNER")), "identifier.role"),
        (lambda basket: basket.tender("SHELLS"), "tender.kind"),
        (
            lambda basket: basket.add_measured("1", quantity="1", unit="STONE", amount="1"),
            "line.measure.unit",
        ),
    ],
)
def test_unknown_words_are_refused_with_the_known_ones(step, place):
    with pytest.raises(errors.RequestError) as caught:
        step(Basket())
    assert (caught.value.reason, caught.value.place) == ("ENUM_UNKNOWN", place)
    assert "is none of" in str(caught.value)


@pytest.mark.parametrize("amounts", [{}, {"amount": "1", "amount_minor": 100}])
def test_an_amount_is_given_once(amounts):
    with pytest.raises(errors.RequestError):
        Basket().add("4006381333931", **amounts)
