"""Goods that came back at another store, or at another node: what every book says of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checklane.books.clearing import read_clearing
from checklane.books.elsewhere import read_elsewhere
from checklane.books.lots import read_liability
from checklane.books.periods import Query, read_periods
from checklane.books.settlement import read_settlement
from checklane.books.walk import LiveJournal
from checklane.v1 import basket_pb2
from tests.books.day import DATES, OFFERS, PURSES
from tests.engine.shop import Built, Shop, basket

NAMES = {1: "base", 2: "late", 3: "cash"}
DATE = DATES[1]


@pytest.fixture
def nodes(built: Built, tmp_path: Path) -> Iterator[list[Shop]]:
    policies = {"claw_back": "negative"}
    program = built.compile(f"elsewhere-{tmp_path.name}", OFFERS, purses=PURSES, policies=policies)
    opened = [Shop(built, tmp_path / name, program=program) for name in ("home", "away")]
    yield opened
    for shop in opened:
        shop.engine.close()


def sell(shop: Shop, *, points: int = 0) -> tuple[Any, Any]:
    goods = basket((500, 4, 1000), (100, 2, 900), card="1002")
    if points:
        goods.redemptions.add(purse_id="base", points=points)
    sale = shop.sale(goods, receipt=shop.receipt(DATE), issue_capsule=True)
    return sale, shop.commit(sale).receipt_capsule


def back(shop: Shop, sale: Any, capsule: bytes, store: str, *lines: tuple[int, int]) -> Any:
    request = shop.return_request(sale, *lines, receipt=shop.receipt(DATE), receipt_capsule=capsule)
    request.receipt.store_id = request.context.store_id = store
    return shop.return_items(request), request.receipt


def test_what_came_back_between_stores(nodes: list[Shop]) -> None:
    home, away = nodes
    home.adjust(home.adjust_request("ben", 500, active_date=DATES[0]))
    sale, capsule = sell(home, points=100)
    first, receipt = back(away, sale, capsule, "S2", (1, 1))
    back(away, sale, capsule, "S1", (1, 1))
    swap = basket((500, 1, 300))
    line = swap.lines.add(
        line_id=9, product_code="100", code_kind=2, count=1, amount_minor=1,
        kind=basket_pb2.LINE_KIND_RETURN,
    )  # fmt: skip
    line.original.receipt.CopyFrom(sale.receipt)
    line.original.line_id, line.original.receipt_capsule = 2, capsule
    swap.store_id = "S2"
    exchange = away.sale(swap, receipt=away.receipt(DATE))
    exchange.receipt.store_id = exchange.context.store_id = "S2"
    other = away.commit(exchange)
    found = read_elsewhere(LiveJournal(away.engine), DATE, DATE)
    whence = ("S1", DATE, sale.receipt.till_id, sale.receipt.sequence, "S2", "7")
    assert found.table().rows == [
        (DATE, *whence, receipt.sequence, first.reversal.refund_minor),
        (DATE, *whence, exchange.receipt.sequence, other.reversal.refund_minor),
    ]
    assert found.prove().adds_up
    assert not read_elsewhere(LiveJournal(away.engine), DATES[2], DATES[2]).table().rows
    journal = LiveJournal(away.engine)
    cleared = read_clearing(journal, DATE, DATE, NAMES)
    assert {row[1:4] for row in cleared.table().rows} == {("", "S1", "base")}
    assert sum(int(row[5]) for row in cleared.table().rows) > 0
    for book in (
        cleared,
        read_settlement(journal, DATE, DATE),
        read_liability(journal, 20200101, 20991231, NAMES),
        read_periods(journal, Query(from_date=DATE, to_date=DATE), NAMES),
    ):
        assert book.prove().adds_up, (book, book.prove().sums)
