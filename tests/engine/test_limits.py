"""Limits that several members share: kept in journal order, and cheap while far from reached."""

import threading
from datetime import date as date_type
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from checklane import _layout
from tests.engine.shop import CROWD, OFFERS, Built, Shop, basket
from tests.engine.test_replay import commits, files_of, open_engine, padded

THREADS = 8
START = date_type(2026, 1, 1)


def budget(money: str, **more: object) -> dict[str, object]:
    limits = {"overall": {"money": money}, **more}
    return {"id": "plain", "limits": limits,
            "discount": {"of": {"category": "PLAIN"}, "percent": 10}}  # fmt: skip


def shop_with(built: Built, directory: Path, name: str, **limited: object) -> Shop:
    offers = [offer for offer in OFFERS if offer["id"] not in ("plain", "points", "later")]
    program = built.compile(name, [*offers, budget(**limited)])
    return Shop(built, directory, program=program)


def sell_at_once(shop: Shop, sales: int) -> list[int]:
    """Commit from several threads, each for members of its own; return the discounts given."""
    given: list[int] = []

    def sell(thread: int) -> None:
        for number in range(sales):
            sale = shop.sale(basket((100, 1, 300), member=CROWD[thread * sales + number]))
            given.append(shop.commit(sale).decision.totals.discount_minor)

    threads = [threading.Thread(target=sell, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return given


def test_a_budget_is_spent_to_the_cent_and_never_overrun(built: Built, tmp_path: Path) -> None:
    shop = shop_with(built, tmp_path, "tight", money="10.00")
    given = sell_at_once(shop, 12)
    assert sum(given) == 1000
    assert set(given) == {30, 10, 0}
    after = shop.quote(basket((100, 1, 300)))
    assert {e.offer_id: e.outcome for e in after.explanations}["plain"] == 23  # BUDGET_SPENT
    shop.engine.close()


def test_a_budget_far_from_spent_makes_nobody_decide_again(built: Built, tmp_path: Path) -> None:
    shop = shop_with(built, tmp_path, "wide-budget", money="100000.00")
    assert sell_at_once(shop, 12) == [30] * 96
    assert shop.engine.stats()["redecisions"] == 0
    shop.engine.close()


def test_what_was_counted_is_given_back_and_counted_once(built: Built, tmp_path: Path) -> None:
    shop = shop_with(built, tmp_path, "back", money="0.50")
    first, second = (shop.sale(basket((100, 1, 300))) for _ in range(2))
    assert shop.commit(first).decision.totals.discount_minor == 30
    assert shop.commit(second).decision.totals.discount_minor == 20
    shop.commit(first)
    shop.void(shop.void_request(first))
    assert shop.quote(basket((100, 1, 300))).totals.discount_minor == 30
    shop.return_items(shop.return_request(second, (1, 1)))
    assert shop.quote(basket((100, 3, 900))).totals.discount_minor == 50
    shop.engine.close()


def movements_of(entry: bytes) -> npt.NDArray[np.void]:
    """Return the movements of an entry."""
    header = np.frombuffer(entry, dtype=_layout.ENTRY_HEADER, count=1)[0]
    at = padded(_layout.ENTRY_HEADER.itemsize) + padded(header["request_bytes"])
    at += padded(header["facts_bytes"])
    count = int(header["movement_count"])
    return np.frombuffer(entry, dtype=_layout.MOVEMENT, count=count, offset=at)


@pytest.mark.parametrize("scope", ["per_card", "per_store"])
def test_counters_of_days_are_swept_and_replay(built: Built, tmp_path: Path, scope: str) -> None:
    limited = {"money": "1000.00", scope: {"uses": 1, "window": "day"}}
    shop = shop_with(built, tmp_path, f"days-{scope}", **limited)
    for day in range(66):
        for wanted in (30, 0):
            sale = shop.sale(basket((100, 1, 300), member="ben"))
            date = (START + timedelta(days=day)).strftime("%Y%m%d")
            sale.basket.business_date = sale.receipt.business_date = int(date)
            assert shop.commit(sale).decision.totals.discount_minor == wanted
    (tmp_path / "other").mkdir()
    other = open_engine(tmp_path / "other")
    swept = []
    for entry, facts, response in commits(shop):
        assert facts["shared_count"] == 2
        assert other.replay(entry, *files_of(shop, facts)) == (0, response)
        moved = movements_of(entry)
        swept += list(moved[moved["reason"] == _layout.REASON_EXPIRE]["cell"]["day"])
    other.close()
    shop.engine.close()
    first = (START - date_type(1970, 1, 1)).days
    assert swept == [first, first + 1]


def test_lots_of_one_expiry_become_one(shop: Shop) -> None:
    """Points that never expire do not make a record grow by a cell a visit for good."""
    for day in range(80):
        sale = shop.sale(basket((500, 1, 100), member="ben"))
        date = (START + timedelta(days=day)).strftime("%Y%m%d")
        sale.basket.business_date = sale.receipt.business_date = int(date)
        shop.commit(sale)
    _, facts, _ = commits(shop)[-1]
    # The other purse has an expiry of its own for each day; of this one a month is left.
    assert facts["group_cells"] == 80 + 32
    balances = {b.purse_id: b.available_points for b in shop.member("ben").balances}
    assert balances["base"] == 80 * 10
