"""Baskets as a till builds them, with money turned into minor units exactly or not at all."""

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Self

from checklane.client.words import number_of
from checklane.clock import SYSTEM_CLOCK, Clock
from checklane.errors import refuse
from checklane.v1 import basket_pb2, common_pb2

__all__ = [
    "Basket",
    "FuelPrice",
    "HoldCapture",
    "Identifier",
    "ReturnLine",
    "amount_minor",
    "identifier_message",
]

Amount = Decimal | str


def amount_minor(amount: Amount, exponent: int = 2) -> int:
    """Return money in minor units; exact, never rounded.

    Parameters
    ----------
    amount : Decimal or str
        In major units, such as "3.98".
    exponent : int
        Decimals of the currency: 2 for cents.

    Raises
    ------
    RequestError
        LINE_AMOUNT_INVALID: no number, or finer than the currency's smallest unit.

    Examples
    --------
    >>> amount_minor("3.98")
    398
    >>> amount_minor(Decimal("1250"), exponent=0)
    1250
    """
    if not isinstance(amount, Decimal | str):
        raise TypeError(f"money is a Decimal or a str, not {type(amount).__name__}")
    try:
        number = Decimal(amount)
        scaled = number.scaleb(exponent) if number.is_finite() else None
    except InvalidOperation:
        scaled = None
    if scaled is None:
        raise refuse("LINE_AMOUNT_INVALID", "amount", f"{str(amount)!r} is no amount of money")
    if scaled != scaled.to_integral_value():
        what = f"{amount} is finer than the currency's {exponent} decimals"
        raise refuse("LINE_AMOUNT_INVALID", "amount", what)
    return int(scaled)


@dataclass(frozen=True, slots=True)
class Identifier:
    """Something that finds a member.

    Attributes
    ----------
    value : str
        As read or typed.
    kind : str
        "CARD", "PHONE", "EMAIL", "APP", "ACCOUNT", "MEMBER_ID", "PAYMENT_TOKEN" or "EXTERNAL".
    role : str
        "MEMBER", "STAFF", "BUSINESS" or "REFERRER".
    """

    value: str
    kind: str = "CARD"
    role: str = "MEMBER"


@dataclass(frozen=True, slots=True)
class ReturnLine:
    """A line of a receipt that comes back.

    Attributes
    ----------
    line_id : int
        Of the sale.
    count : int or None
        Units that come back; None: all that are left.
    quantity_thousandths : int or None
        The same for a line by weight or volume.
    """

    line_id: int
    count: int | None = None
    quantity_thousandths: int | None = None


@dataclass(frozen=True, slots=True)
class HoldCapture:
    """A hold that a sale is to spend.

    Attributes
    ----------
    hold_id : str
        Of the sale's account.
    points, uses : int or None
        What is spent at least; the sale takes more of it where it needs more. None: all.
    owner : str
        As the hold was made. Default: the store.
    """

    hold_id: str
    points: int | None = None
    uses: int | None = None
    owner: str = ""


@dataclass(frozen=True, slots=True)
class FuelPrice:
    """A price at the pump.

    Attributes
    ----------
    grade : str
        As the program names it.
    price : Decimal or str
        Of one unit, with three decimals more than the currency has: "3.459".
    level : str
        "CREDIT" or "CASH".
    code : str
        The product that is sold. Default: none; then only offers for all goods fit.
    kind : str
        "GTIN", "PLU" or "SKU".
    """

    grade: str
    price: Amount
    level: str = "CREDIT"
    code: str = ""
    kind: str = "PLU"


def identifier_message(identifier: Identifier) -> common_pb2.Identifier:
    """Return an identifier as the contract sends it.

    Raises
    ------
    RequestError
        ENUM_UNKNOWN.
    """
    return common_pb2.Identifier(
        kind=number_of(
            common_pb2.IdentifierKind, "IDENTIFIER_KIND", identifier.kind, "identifier.kind"
        ),
        value=identifier.value,
        role=number_of(
            common_pb2.IdentifierRole, "IDENTIFIER_ROLE", identifier.role, "identifier.role"
        ),
    )


class Basket:
    """What is bought, built step by step; every step returns the basket itself.

    Parameters
    ----------
    exponent : int
        Decimals of the program's currency; how amounts in major units are read.
    opened_time_unix_ms : int, optional
        When the first item was scanned. Default: when the basket was made.
    clock : Clock
        Where that default comes from.

    Attributes
    ----------
    message : checklane.v1.basket_pb2.Basket
        The basket as the contract sends it; for fields that no step sets.
    """

    def __init__(
        self,
        *,
        exponent: int = 2,
        opened_time_unix_ms: int | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.exponent = exponent
        opened = clock.unix_ms() if opened_time_unix_ms is None else opened_time_unix_ms
        self.message = basket_pb2.Basket(opened_time_unix_ms=opened)

    def add(
        self,
        code: str,
        *,
        count: int = 1,
        amount: Amount | None = None,
        amount_minor: int | None = None,
        kind: str = "GTIN",
        department: str = "",
        line_id: int | None = None,
        age_verified: bool = False,
    ) -> Self:
        """Add a line that is sold by the unit.

        Parameters
        ----------
        code : str
            The product's code.
        count : int
            Units; a line of 5,000 is one line.
        amount : Decimal or str, optional
            What the whole line costs in major units. This or `amount_minor` is required.
        amount_minor : int, optional
            The same in minor units.
        kind : str
            "GTIN", "PLU" or "SKU".
        department : str
            The till's department. Default: the product's.
        line_id : int, optional
            Default: one more than the highest so far.
        age_verified : bool
            The till checked the customer's age for it: what the program gates asks for that.

        Raises
        ------
        RequestError
            LINE_AMOUNT_INVALID, ENUM_UNKNOWN.
        """
        line = self._line(code, kind, line_id)
        line.count = count
        line.amount_minor = self._minor(amount, amount_minor)
        line.department_code = department
        line.age_verified = age_verified
        return self

    def add_measured(
        self,
        code: str,
        *,
        quantity: Amount,
        unit: str,
        amount: Amount | None = None,
        amount_minor: int | None = None,
        kind: str = "PLU",
        department: str = "",
        line_id: int | None = None,
    ) -> Self:
        """Add a line that is sold by weight or volume.

        Parameters
        ----------
        code, amount, amount_minor, kind, department, line_id
            As `add`.
        quantity : Decimal or str
            How much, to the thousandth, such as "1.250".
        unit : str
            "KILOGRAM", "POUND", "LITRE", "GALLON" or another of the contract.
        """
        thousandths = _exact(quantity, 3)
        line = self._line(code, kind, line_id)
        line.amount_minor = self._minor(amount, amount_minor)
        line.measure.quantity_thousandths = thousandths
        line.measure.unit = number_of(
            basket_pb2.MeasureUnit, "MEASURE_UNIT", unit, "line.measure.unit"
        )
        line.department_code = department
        return self

    def add_fuel(
        self,
        price: FuelPrice,
        *,
        quantity: Amount,
        unit: str,
        amount: Amount | None = None,
        amount_minor: int | None = None,
        pump: str = "",
        hold_id: str = "",
        sale_kind: str = "POSTPAY",
        prepaid: Amount | None = None,
        line_id: int | None = None,
    ) -> Self:
        """Add a fill.

        Parameters
        ----------
        price : FuelPrice
            Grade, level and price of a unit, before our discounts.
        quantity : Decimal or str
            The volume pumped, to the thousandth.
        unit : str
            "LITRE", "GALLON", "KILOGRAM" or "KILOWATT_HOUR".
        amount, amount_minor : optional
            What the pump says it costs at that price: it is never computed again. One is required.
        pump : str
        hold_id : str
            Of its authorisation (`Lane.authorize_fuel`): without one, offers that take money off
            the unit do not apply.
        sale_kind : str
            "POSTPAY", "PREPAY" or "PAY_AT_PUMP".
        prepaid : Decimal or str, optional
            What was paid before fuelling.
        line_id : int, optional
            As `add`.
        """
        self.add_measured(
            price.code,
            quantity=quantity,
            unit=unit,
            amount=amount,
            amount_minor=amount_minor,
            kind=price.kind,
            line_id=line_id,
        )
        line = self.message.lines[-1]
        line.unit_price_minor_thousandths = _exact(price.price, self.exponent + 3)
        line.fuel.grade = price.grade
        line.fuel.price_level = number_of(
            basket_pb2.FuelPriceLevel, "FUEL_PRICE_LEVEL", price.level, "line.fuel.price_level"
        )
        line.fuel.pump_id, line.fuel.hold_id = pump, hold_id
        line.fuel.sale_kind = number_of(
            basket_pb2.FuelSaleKind, "FUEL_SALE_KIND", sale_kind, "line.fuel.sale_kind"
        )
        if prepaid is not None:
            line.fuel.prepaid_amount_minor = _exact(prepaid, self.exponent)
        return self

    def identify(self, *identifiers: Identifier) -> Self:
        """Say who buys."""
        self.message.identifiers.extend(map(identifier_message, identifiers))
        return self

    def card(self, number: str) -> Self:
        """Say who buys, by the number of a loyalty card."""
        return self.identify(Identifier(number))

    def coupon(self, code: str, *, serial: str = "") -> Self:
        """Show a coupon."""
        self.message.coupons.add(code=code, serial=serial)
        return self

    def scanned_coupon(self, data: bytes) -> Self:
        """Show a coupon as the scanner read it: GS1 (8110) or (8112), FNC1 as 0x1D."""
        self.message.coupons.add(scanned_data=data)
        return self

    def select(self, offer_id: str, *, times: int | None = None) -> Self:
        """Choose an offer that the customer has to choose."""
        selection = self.message.selections.add(offer_id=offer_id)
        if times is not None:
            selection.times = times
        return self

    def tender(
        self, kind: str, amount: Amount | None = None, *, amount_minor: int | None = None
    ) -> Self:
        """Say how it is paid: "CASH", "CREDIT_CARD" or another kind of the contract."""
        number = number_of(basket_pb2.TenderKind, "TENDER_KIND", kind, "tender.kind")
        tender = self.message.tenders.add(kind=number)
        if amount is not None or amount_minor is not None:
            tender.amount_minor = self._minor(amount, amount_minor)
        return self

    def give_back(
        self,
        code: str,
        *,
        original_line: int,
        original_sequence: int,
        original_date: int,
        original_store: str = "",
        original_till: str = "",
        count: int = 1,
        paid_out: Amount | None = None,
        receipt_capsule: bytes = b"",
        kind: str = "GTIN",
        line_id: int | None = None,
    ) -> Self:
        """Add goods of an earlier receipt that come back: with what is bought, an exchange.

        What is refunded for them is decided, and is part of what is due.

        Parameters
        ----------
        code, kind, line_id
            As `add`.
        original_line, original_sequence, original_date, original_store, original_till
            The line and its receipt: one receipt for all lines of the basket that come back.
            Store and till default to the basket's own.
        count : int
            Units that come back.
        paid_out : Decimal or str, optional
            What was paid out for them, where the sale is `paid`.
        receipt_capsule : bytes, optional
            Of the receipt, for a sale that another node entered.
        """
        line = self._line(code, kind, line_id)
        line.kind = basket_pb2.LINE_KIND_RETURN
        line.count = count
        line.amount_minor = 0 if paid_out is None else _exact(paid_out, self.exponent)
        line.original.line_id = original_line
        line.original.receipt.store_id = original_store
        line.original.receipt.till_id = original_till
        line.original.receipt.business_date = original_date
        line.original.receipt.sequence = original_sequence
        line.original.receipt_capsule = receipt_capsule
        return self

    def give_back_unreceipted(
        self,
        code: str,
        *,
        refund: Amount,
        count: int = 1,
        kind: str = "GTIN",
        line_id: int | None = None,
    ) -> Self:
        """Add goods that come back without a receipt, where the program takes them back.

        Parameters
        ----------
        code, kind, line_id
            As `add`.
        refund : Decimal or str
            What they refund, all units together.
        count : int
            Units that come back.
        """
        line = self._line(code, kind, line_id)
        line.kind = basket_pb2.LINE_KIND_RETURN
        line.count = count
        line.amount_minor = _exact(refund, self.exponent)
        return self

    def at(
        self,
        *,
        store: str | None = None,
        till: str | None = None,
        business_date: int | None = None,
        utc_offset_minutes: int | None = None,
    ) -> Self:
        """Say where and when, where the lane's own answer is not right."""
        if store is not None:
            self.message.store_id = store
        if till is not None:
            self.message.till_id = till
        if business_date is not None:
            self.message.business_date = business_date
        if utc_offset_minutes is not None:
            self.message.utc_offset_minutes = utc_offset_minutes
        return self

    def _line(self, code: str, kind: str, line_id: int | None) -> basket_pb2.Line:
        highest = max((line.line_id for line in self.message.lines), default=0)
        return self.message.lines.add(
            line_id=highest + 1 if line_id is None else line_id,
            product_code=code,
            code_kind=number_of(
                basket_pb2.ProductCodeKind, "PRODUCT_CODE_KIND", kind, "line.code_kind"
            ),
        )

    def _minor(self, major: Amount | None, minor: int | None) -> int:
        if (major is None) == (minor is None):
            what = "an amount is given in major or in minor units, not in both"
            raise refuse("LINE_AMOUNT_INVALID", "amount", what)
        return _exact(major, self.exponent) if minor is None and major is not None else minor or 0


#: The function under a name that the parameters of the steps do not hide.
_exact = amount_minor
