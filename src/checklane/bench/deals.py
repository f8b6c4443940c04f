"""Best deals from a seed: lines and the offers that compete for them, in families by their shape.

A deal is plain data that knows neither engine nor program, so that the same one can be decided by
the engine and be solved as an integer programme (`checklane.bench.optimum`).
"""

import random
from dataclasses import dataclass

#: What an offer does (docs/semantics.md, section 4): M1, M5, M2, M3, M4.
UNITS, ROWS, BUY_GET, CHEAPEST, GROUP = "units", "rows", "buy_get", "cheapest", "group"
PERCENT, AMOUNT, PRICE = "percent", "amount", "price"
KINDS = (UNITS, UNITS, ROWS, BUY_GET, BUY_GET, CHEAPEST, CHEAPEST, CHEAPEST, GROUP, GROUP)
COUNT_MAX = 5_000


@dataclass(frozen=True)
class DealLine:
    """Units of one product for an amount."""

    product: int
    count: int
    amount_minor: int


@dataclass(frozen=True)
class DealOffer:
    """One competing item offer.

    Attributes
    ----------
    kind : str
    groups : tuple of tuple of int
        The products that fit each slot.
    counts : tuple of int
        Units of each slot in one application; M3: of the whole block. Empty for M1 and M5.
    reward : str
        PERCENT, AMOUNT or PRICE; M4 and M5 have a price.
    value : int
        Basis points or minor units; M4: what an application costs.
    free : int
        M3: the units of a block that are rewarded.
    most : int
        Applications at most, M1 and M5: units. 0 for any number.
    rows : tuple of (int, int, int)
        M5: product, price, units at most or 0.
    """

    kind: str
    groups: tuple[tuple[int, ...], ...]
    counts: tuple[int, ...] = ()
    reward: str = PRICE
    value: int = 0
    free: int = 0
    most: int = 0
    rows: tuple[tuple[int, int, int], ...] = ()


@dataclass(frozen=True)
class Deal:
    """One basket and the offers that compete for it, in the order of their numbers."""

    lines: tuple[DealLine, ...]
    offers: tuple[DealOffer, ...]


@dataclass(frozen=True)
class Family:
    """A shape of deals.

    Attributes
    ----------
    name : str
    spread : float
        Share of the offers that reach over several categories.
    is_dense : bool
        Every offer is for every line.
    is_nested : bool
        Groups are the first so many goods of their category, so one holds the other.
    is_equal : bool
        One price in a category.
    big_share : float
        Share of the lines with 20 to 5,000 units.
    is_any : bool
        Every offer is "any so many for a price", for goods drawn from the whole basket.
    """

    name: str
    spread: float = 0.0
    is_dense: bool = False
    is_nested: bool = False
    is_equal: bool = False
    big_share: float = 0.0
    is_any: bool = False


FAMILIES = (
    Family("realistic"),
    Family("clustered", spread=0.125),
    Family("nested", is_nested=True),
    Family("dense", is_dense=True),
    Family("equal prices", is_equal=True),
    Family("big quantities", big_share=0.25),
    Family("any k of g", is_any=True),
)


def make_deal(family: Family, seed: int, line_count: int, offer_count: int) -> Deal:
    """Return the deal that a seed draws.

    Parameters
    ----------
    family : Family
    seed : int
    line_count : int
        Each another product, numbered from 0.
    offer_count : int
    """
    draw = random.Random(f"{family.name}:{seed}:{line_count}:{offer_count}")
    lines: list[DealLine] = []
    categories: list[list[int]] = []
    while len(lines) < line_count:
        size = min(draw.randint(2, 12), line_count - len(lines))
        usual = draw.randint(80, 1_500)
        categories.append(list(range(len(lines), len(lines) + size)))
        for product in categories[-1]:
            count = draw.choice((1, 1, 1, 1, 2, 2, 3, 4, 5, 6))
            if draw.random() < family.big_share:
                count = draw.randint(20, COUNT_MAX)
            unit = usual if family.is_equal else draw.randint(usual // 2, usual * 2)
            # Now and then an amount that its units cannot share equally: a line of two runs (B1).
            odd = draw.choice((0, 0, 0, 1)) if count > 1 and not family.is_equal else 0
            lines.append(DealLine(product, count, unit * count + odd))
    offers = [_offer(draw, family, categories, lines) for _ in range(offer_count)]
    return Deal(tuple(lines), tuple(offers))


def _offer(
    draw: random.Random, family: Family, categories: list[list[int]], lines: list[DealLine]
) -> DealOffer:
    goods = _goods(draw, family, categories)
    prices = [line.amount_minor // line.count for line in lines if line.product in goods]
    usual = sum(prices) // len(prices)
    kind = GROUP if family.is_any else draw.choice(KINDS)
    most = draw.choice((0, 0, 0, 1, 2, 3))
    if kind == UNITS:
        reward, value = _reward(draw, usual)
        group = _group(draw, family, goods)
        return DealOffer(kind, (group,), (), reward, value, most=draw.choice((0, 0, most)))
    if kind == ROWS:
        rows = tuple(
            (product, draw.randint(usual // 2, usual), draw.choice((0, 0, 1, 2)))
            for product in _group(draw, family, goods)
        )
        return DealOffer(kind, (tuple(goods),), most=most, rows=rows)
    slots = 1
    if kind == BUY_GET:
        slots = 2
    elif kind == GROUP and not family.is_any:
        slots = draw.choice((1, 1, 1, 2, 2, 3))
    groups = tuple(_group(draw, family, goods) for _ in range(slots))
    if kind == BUY_GET:
        reward, value = _reward(draw, usual)
        counts: tuple[int, ...] = (draw.randint(1, 3), draw.randint(1, 2))
        return DealOffer(kind, groups, counts, reward, value, most=most)
    if kind == CHEAPEST:
        reward, value = draw.choice(((PERCENT, 10_000), (PERCENT, 5_000), _reward(draw, usual)))
        free = draw.choice((1, 1, 1, 1, 2))
        counts = (free + draw.randint(1, 3),)
        return DealOffer(kind, groups, counts, reward, value, free=free, most=most)
    least, greatest = (2, 4) if slots == 1 else (1, 2)
    counts = tuple(draw.randint(least, greatest) for _ in groups)
    price = sum(counts) * usual * draw.randint(65, 95) // 100
    return DealOffer(kind, groups, counts, PRICE, price, most=most)


def _goods(draw: random.Random, family: Family, categories: list[list[int]]) -> list[int]:
    """Return the goods among which one offer chooses."""
    chosen = categories
    if not (family.is_dense or family.is_any):
        several = min(len(categories), draw.randint(2, 3))
        chosen = draw.sample(categories, several if draw.random() < family.spread else 1)
    return sorted(product for category in chosen for product in category)


def _group(draw: random.Random, family: Family, goods: list[int]) -> tuple[int, ...]:
    if family.is_dense:
        return tuple(goods)
    size = draw.randint(1, len(goods))
    if family.is_nested:
        return tuple(goods[:size])
    if family.is_any:
        size = min(len(goods), draw.randint(2, 8))
    return tuple(sorted(draw.sample(goods, size)))


def _reward(draw: random.Random, usual: int) -> tuple[str, int]:
    reward = draw.choice((PERCENT, PERCENT, AMOUNT, PRICE))
    if reward == PERCENT:
        return reward, draw.choice((500, 1_000, 1_500, 2_000, 2_500, 3_333, 5_000))
    if reward == AMOUNT:
        return reward, draw.randint(1, max(1, usual // 2))
    return reward, draw.randint(usual // 2, usual)
