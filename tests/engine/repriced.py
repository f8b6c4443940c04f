"""Offers of which returned goods take the grounds, and the words of tests about that."""

from typing import Any

from tests.engine.shop import OFFERS, Shop, basket

POINTS = [offer for offer in OFFERS if "earn" in offer]
FUNDED = [
    {"funder": "Alba", "percent": 70, "settlement": "third_party"},
    {"funder": "retailer", "percent": 30},
]
#: Two for one of gifts, a fifth off from 30.00 of other goods, three plain ones for 20.00.
DEALS: list[dict[str, Any]] = [
    {"id": "twin", "buy_get": {"buy": {"count": 1, "of": {"category": "GIFT"}},
                               "get": {"count": 1, "same": True, "percent": 100}},
     "funding": FUNDED},
    {"id": "many", "threshold": {"spend": 30.00, "of": {"category": "OTHER"},
                                 "reward": {"percent": 20}}},
    {"id": "three", "group_price": {"count": 3, "of": {"category": "PLAIN"}, "price": 20.00},
     "funding": FUNDED},
    {"id": "limited", "limits": {"per_member": {"units": 3}},
     "discount": {"of": {"category": "LIMITED"}, "amount": 0.50}},
    {"id": "pay", "redeem": {"purse": "base", "points": 10, "pays": 0.10}},
]  # fmt: skip
POLICIES = {"returns": "reprice", "claw_back": "negative"}


def sell(
    shop: Shop, *goods: tuple[int, int, int], member: str | None = None, **fields: Any
) -> tuple[Any, Any]:
    """Sell goods; return the request and what was decided."""
    sale = shop.sale(basket(*goods, member=member), **fields)
    return sale, shop.commit(sale).decision


def give_back(shop: Shop, sale: Any, *lines: tuple[int, int | None], **fields: Any) -> Any:
    """Bring units of lines back; return what was undone."""
    return shop.return_items(shop.return_request(sale, *lines, **fields)).reversal


def exchange(sale: Any, line_id: int, count: int) -> Any:
    """Return a basket in which units of a line come back."""
    goods = basket((500, 1, 1000))
    line = goods.lines.add(
        line_id=9, kind=2, product_code="300", code_kind=2, count=count, amount_minor=1
    )
    line.original.receipt.CopyFrom(sale.receipt)
    line.original.line_id = line_id
    return goods


def told(reversal: Any) -> dict[int, tuple[int, int, int, int]]:
    """Return what was told of each line: units, gross, discount, refund."""
    return {
        line.line_id: (line.count, line.gross_minor, line.discount_minor, line.refund_minor)
        for line in reversal.lines
    }


def kinds(reversal: Any) -> list[tuple[int, int]]:
    """Return the exceptions and their amounts."""
    return [(found.kind, found.amount_minor) for found in reversal.exceptions]


def kept(reversal: Any) -> dict[int, int]:
    """Return what the lines that are kept cost."""
    return {line.line_id: line.net_minor for line in reversal.kept}
