"""The basket as units (rules B1 to B5). Small baskets only: every unit is an object."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.oracle.values import code_number, is_true, rounded, scaled

SOURCES = {
    "shelf": 1,
    "ad": 2,
    "member": 3,
    "override": 4,
    "markdown": 5,
    "contract": 6,
    "barcode": 7,
}
#: Decimals that a cost has below the minor unit.
COST_DECIMALS = 3
KINDS = ("sale", "fee", "charge")
#: As the contract numbers them.
MEASURE_UNITS = ("", "kilogram", "pound", "litre", "gallon", "metre", "foot", "square_metre",
                 "hour", "kilowatt_hour", "ounce")  # fmt: skip
FLAG_NO_DISCOUNT, FLAG_NO_EARN, FLAG_REDUCED, FLAG_NO_REDEEM = 1, 2, 16, 32


@dataclass(frozen=True)
class Product:
    """A row of the catalogue; `number` is its place in the order of codes."""

    code: int
    number: int
    category: str = ""
    department: str = ""
    brand: str = ""
    vendor: str = ""
    flags: frozenset[str] = frozenset()
    cost_milli: int | None = None
    legal_min: int = 0


@dataclass
class Fill:
    """What a line of fuel says beside its volume (F1); prices in thousandths of a minor unit.

    Attributes
    ----------
    promised : tuple of str
        The offers with which the fill was authorised (F5).
    given : int
        What fuel offers that applied took off each unit of measure.
    step, parts : int
        What the offer at hand takes off it, and its worth on the line.
    """

    grade: str
    level: str
    price: int
    promised: tuple[str, ...] = ()
    given: int = 0
    step: int = 0
    parts: int = 0


@dataclass(eq=False)
class Unit:
    """One unit of a sale line; of a fee or a charge, for offers that ask for those (B6).

    Attributes
    ----------
    takers : list of str
        The offers of this layer that it serves (Y2).
    marks : tuple of str
        The kinds of coupons that it served (K2).
    fill : Fill or None
        Of a line of fuel.
    """

    line: int
    code: int
    product: Product | None
    initial: int
    source: str
    no_discount: bool
    no_earn: bool
    no_redeem: bool
    age_verified: bool
    reduced: bool
    measure: tuple[int, str]
    kind: str = "sale"
    fill: Fill | None = None
    left: int = 0
    takers: list[str] = field(default_factory=list)
    marks: tuple[str, ...] = ()

    @property
    def taken(self) -> bool:
        """Tell whether an offer has it."""
        return bool(self.takers)

    @property
    def run(self) -> tuple[Any, ...]:
        """Return what tells the unit from others in a step, in the canonical order (B2)."""
        return (*self.seen[0], self.taken, *self.seen[1])

    @property
    def seen(self) -> tuple[tuple[Any, ...], tuple[bool, ...]]:
        """Return the same but for whether it is taken: goods and price, coupons that it served."""
        flags = (
            FLAG_NO_DISCOUNT * self.no_discount
            + FLAG_NO_EARN * self.no_earn
            + FLAG_REDUCED * self.reduced
            + FLAG_NO_REDEEM * self.no_redeem
        )
        number = self.product.number if self.product is not None else 1 << 32
        source = SOURCES[self.source]
        kind = KINDS.index(self.kind)
        fuel = self.line if self.fill is not None else 0
        price = (-self.left, -self.initial)
        quantity, unit = self.measure
        measure = (MEASURE_UNITS.index(unit), quantity)
        what = (*price, self.code, number, source, flags, measure, kind, fuel)
        return what, ("store" in self.marks, "manufacturer" in self.marks)


def canonical(units: list[Unit], *, apart: bool = False) -> list[Unit]:
    """Sort units dearest first; of equal ones the lower line, and there the taken one, first.

    With `apart` those of one run stand by who took them last, free ones first (Y6).
    """

    def key(unit: Unit) -> Any:
        takers = [name.encode() for name in reversed(unit.takers)]
        if apart:
            return (unit.run, takers, unit.line)
        return (unit.run, unit.line, not unit.taken, takers)

    return sorted(units, key=key)


@dataclass
class Basket:
    """A basket that was read: its units and the amounts that only count in the totals."""

    units: list[Unit]
    amounts: dict[int, int]
    returned: dict[int, int]
    pos_discount: int
    line_order: list[int] = field(default_factory=list)
    charges: list[Unit] = field(default_factory=list)


def spread(amount: int, count: int) -> list[int]:
    """Return the whole prices of `count` units that cost `amount` together, dearest first (B1)."""
    price, dearer = divmod(amount, count)
    return [price + 1] * dearer + [price] * (count - dearer)


def read_fill(line: dict[str, Any], amount: int, volume: int, decimals: int) -> Fill | None:
    """Return what a line says of fuel, or None."""
    fuel = line.get("fuel")
    if not fuel:
        return None
    if "unit_price" in line:
        price = scaled(line["unit_price"], decimals + 3)
    else:
        price = rounded(Fraction(amount * 10**6, volume), "half_away") if volume else 0
    promised = tuple(str(offer) for offer in fuel.get("promised", []))
    return Fill(str(fuel["grade"]), str(fuel.get("level", "credit")), price, promised)


def read_products(rows: list[dict[str, Any]], decimals: int) -> dict[int, Product]:
    """Return the products of a catalogue by code."""
    codes = sorted((code_number(str(row["code"])), at) for at, row in enumerate(rows))
    products = {}
    for number, (code, at) in enumerate(codes):
        row = rows[at]
        flags = frozenset(part for part in str(row.get("flags", "")).split(";") if part)
        names = {
            key: str(row.get(key, "")) for key in ("category", "department", "brand", "vendor")
        }
        cost = str(row.get("cost", ""))
        cost_milli = scaled(cost, decimals + COST_DECIMALS) if cost else None
        legal_min = scaled(row.get("legal_min") or 0, decimals)
        products[code] = Product(
            code, number, flags=flags, cost_milli=cost_milli, legal_min=legal_min, **names
        )
    return products


def read_basket(lines: list[dict[str, Any]], products: dict[int, Product], decimals: int) -> Basket:
    """Read the lines of a basket."""
    basket = Basket([], {}, {}, 0)
    for line in lines:
        line_id = int(line["id"])
        amount = scaled(line["amount"], decimals)
        kind = line.get("kind", "sale")
        given = scaled(line.get("pos_discount", 0), decimals)
        basket.line_order.append(line_id)
        (basket.returned if kind == "return" else basket.amounts)[line_id] = amount
        basket.pos_discount += given
        if kind not in KINDS or is_true(line.get("opaque")):
            continue
        count = int(line.get("count", 1))
        code = code_number(str(line.get("code", "")))
        product = products.get(code)
        flags = product.flags if product is not None else frozenset()
        source = line.get("source", "shelf")
        measure = line.get("measure")
        measured = measure and count == 1
        quantity = (scaled(measure["quantity"], 3), str(measure["unit"])) if measured else (0, "")
        for price in spread(amount, count):
            unit = Unit(
                line=line_id,
                code=code,
                product=product,
                initial=price,
                source=source,
                no_discount=is_true(line.get("no_discount")) or "no_discount" in flags,
                no_earn=is_true(line.get("no_earn")) or "no_earn" in flags,
                no_redeem=is_true(line.get("no_redeem")) or "no_burn" in flags,
                age_verified=is_true(line.get("age_verified")),
                reduced=source in ("markdown", "override") or given > 0,
                measure=quantity,
                kind=kind,
                fill=read_fill(line, amount, quantity[0], decimals),
            )
            unit.left = price
            (basket.units if kind == "sale" else basket.charges).append(unit)
    return basket
