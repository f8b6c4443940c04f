"""The basket as units (rules B1 to B5). Small baskets only: every unit is an object."""

from dataclasses import dataclass, field
from typing import Any

from tests.oracle.values import code_number, is_true, scaled

SOURCES = {
    "shelf": 1,
    "ad": 2,
    "member": 3,
    "override": 4,
    "markdown": 5,
    "contract": 6,
    "barcode": 7,
}
FLAG_NO_DISCOUNT, FLAG_NO_EARN, FLAG_REDUCED = 1, 2, 16


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


@dataclass
class Unit:
    """One unit of a sale line."""

    line: int
    code: int
    product: Product | None
    initial: int
    source: str
    no_discount: bool
    no_earn: bool
    reduced: bool
    measure: tuple[int, str]
    left: int = 0
    taken: bool = False

    @property
    def run(self) -> tuple[Any, ...]:
        """Return what the rules can tell of the unit, in the canonical order (B2)."""
        flags = (
            FLAG_NO_DISCOUNT * self.no_discount
            + FLAG_NO_EARN * self.no_earn
            + FLAG_REDUCED * self.reduced
        )
        number = self.product.number if self.product is not None else 1 << 32
        source = SOURCES[self.source]
        return (-self.left, -self.initial, self.code, number, source, flags, self.measure)


def canonical(units: list[Unit]) -> list[Unit]:
    """Sort units dearest first; of equal ones the lower line, and there the taken one, first."""
    return sorted(units, key=lambda unit: (unit.run, unit.line, not unit.taken))


@dataclass
class Basket:
    """A basket that was read: its units and the amounts that only count in the totals."""

    units: list[Unit]
    amounts: dict[int, int]
    returned: dict[int, int]
    pos_discount: int
    line_order: list[int] = field(default_factory=list)


def spread(amount: int, count: int) -> list[int]:
    """Return the whole prices of `count` units that cost `amount` together, dearest first (B1)."""
    price, dearer = divmod(amount, count)
    return [price + 1] * dearer + [price] * (count - dearer)


def read_products(rows: list[dict[str, Any]]) -> dict[int, Product]:
    """Return the products of a catalogue by code."""
    codes = sorted((code_number(str(row["code"])), at) for at, row in enumerate(rows))
    products = {}
    for number, (code, at) in enumerate(codes):
        row = rows[at]
        flags = frozenset(part for part in str(row.get("flags", "")).split(";") if part)
        names = {
            key: str(row.get(key, "")) for key in ("category", "department", "brand", "vendor")
        }
        products[code] = Product(code, number, flags=flags, **names)
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
        if kind != "sale" or is_true(line.get("opaque")):
            continue
        count = int(line.get("count", 1))
        code = code_number(str(line.get("code", "")))
        product = products.get(code)
        flags = product.flags if product is not None else frozenset()
        source = line.get("source", "shelf")
        measure = line.get("measure")
        quantity = (scaled(measure["quantity"], 3), str(measure["unit"])) if measure else (0, "")
        for price in spread(amount, count):
            unit = Unit(
                line=line_id,
                code=code,
                product=product,
                initial=price,
                source=source,
                no_discount=is_true(line.get("no_discount")) or "no_discount" in flags,
                no_earn=is_true(line.get("no_earn")) or "no_earn" in flags,
                reduced=source in ("markdown", "override") or given > 0,
                measure=quantity,
            )
            unit.left = price
            basket.units.append(unit)
    return basket
