"""Coupons that are used once: by one lane, in journal order, until the sale is undone (K1)."""

import threading
from pathlib import Path
from typing import Any

from tests.engine.shop import CROWD, OFFERS, Built, Shop, basket
from tests.engine.test_replay import commits, files_of, open_engine

THREADS = 8
SERIALS = 6
COUPON_USED = 20
REFUSED = 3
EXCEPTION_COUPON_USED = 6


def once() -> dict[str, object]:
    return {"id": "once", "coupon": {"codes": "ONCE", "serial": True},
            "discount": {"of": {"category": "PLAIN"}, "percent": 10}}  # fmt: skip


def shop_of_coupons(built: Built, directory: Path, name: str) -> Shop:
    offers = [offer for offer in OFFERS if offer["id"] not in ("plain", "points", "later")]
    return Shop(built, directory, program=built.compile(name, [*offers, once()]))


def shown(serial: str, member: str | None = None) -> Any:
    message = basket((100, 1, 300), member=member)
    message.coupons.add(code="ONCE", serial=serial)
    return message


def test_of_lanes_that_show_one_serial_one_wins(built: Built, tmp_path: Path) -> None:
    shop = shop_of_coupons(built, tmp_path, "lanes")
    given: dict[str, list[int]] = {str(serial): [] for serial in range(SERIALS)}

    def sell(thread: int) -> None:
        for serial, discounts in given.items():
            sale = shop.sale(shown(serial, CROWD[thread]))
            discounts.append(shop.commit(sale).decision.totals.discount_minor)

    threads = [threading.Thread(target=sell, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {serial: sorted(part) for serial, part in given.items()} == {
        serial: [0] * (THREADS - 1) + [30] for serial in given
    }
    (tmp_path / "other").mkdir()
    other = open_engine(tmp_path / "other")
    for entry, facts, response in commits(shop):
        assert facts["shared_count"] == 1
        assert other.replay(entry, *files_of(shop, facts)) == (0, response)
    other.close()
    shop.engine.close()


def test_a_used_coupon_is_refused_by_its_own_reason_and_given_back(
    built: Built, tmp_path: Path
) -> None:
    shop = shop_of_coupons(built, tmp_path, "used")
    sale = shop.sale(shown("7"))
    assert shop.commit(sale).decision.totals.discount_minor == 30
    refused = shop.quote(shown("7"))
    assert refused.totals.discount_minor == 0
    assert [(c.state, c.refused_outcome) for c in refused.coupons] == [(REFUSED, COUPON_USED)]
    assert {e.offer_id: e.outcome for e in refused.explanations}["once"] == COUPON_USED
    assert shop.quote(shown("8")).totals.discount_minor == 30

    late = shop.sale(shown("7"), paid=True)
    late.figures.discount_minor = 30
    exceptions = shop.commit(late).decision.exceptions
    assert [(e.kind, e.text) for e in exceptions if e.kind == EXCEPTION_COUPON_USED] == [
        (EXCEPTION_COUPON_USED, "ONCE")
    ]

    shop.void(shop.void_request(sale))
    again = shop.sale(shown("7"))
    assert shop.commit(again).decision.totals.discount_minor == 30
    shop.return_items(shop.return_request(again, (1, 1)))
    assert shop.quote(shown("7")).totals.discount_minor == 30
    shop.engine.close()
