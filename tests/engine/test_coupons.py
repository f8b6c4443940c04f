"""Coupons that are used once: by one lane, in journal order, until the sale is undone (K1), and
those among them that sales issue (P10, K3)."""

import struct
import threading
from pathlib import Path
from typing import Any

from checklane import _layout
from checklane.books.entries import split_entry
from checklane.v1 import checkout_pb2
from tests.engine.shop import CROWD, OFFERS, Built, Shop, basket
from tests.engine.test_replay import commits, files_of, open_engine
from tests.oracle.values import name_key, siphash
from tests.support.engine_fixture import IDENTITY_KEY

THREADS = 8
SERIALS = 6
COUPON_INVALID = 19
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


def issuing() -> list[dict[str, Any]]:
    later = {
        "id": "later-soup",
        "name": "Soup again",
        "discount": {"of": {"category": "PLAIN"}, "percent": 20},
    }
    return [
        {**later, "coupon": {"codes": ["AGAIN", "ONCE-MORE"], "serial": True, "issued": True}},
        {"id": "print", "issue": {"coupon": "later-soup", "valid_days": 7, "count": 2}},
    ]  # fmt: skip


def shop_that_issues(built: Built, directory: Path) -> tuple[Shop, Path]:
    """Return a shop whose sales issue coupons, and its program."""
    program = built.compile(directory.name, issuing())
    return Shop(built, directory, program=program), program


def bring(coupon: Any, member: str | None = None) -> Any:
    message = basket((100, 1, 1000), member=member)
    message.coupons.add(code=coupon.code, serial=coupon.serial)
    return message


def test_a_commit_issues_what_the_quote_promised_and_says_the_same_again(
    built: Built, tmp_path: Path
) -> None:
    shop, program = shop_that_issues(built, tmp_path)
    goods = basket((100, 5, 500))
    promised = shop.quote(goods).issued_coupons
    assert [(c.offer_id, c.opened_offer_id, c.code, c.serial) for c in promised] == [
        ("print", "later-soup", "AGAIN", "")
    ] * 2
    assert {(c.expire_date, c.text) for c in promised} == {(20260311, "Soup again")}

    sale = shop.sale(goods)
    first = shop.commit(sale)
    assert list(first.decision.issued_coupons) == list(promised)
    serials = [coupon.serial for coupon in first.issued_coupons]
    assert len(set(serials)) == 2
    assert all(len(serial) == 20 and serial.isdigit() for serial in serials)
    assert shop.commit(sale) == first
    trained = shop.commit(shop.sale(goods, training=True))
    assert len(trained.decision.issued_coupons) == 2
    assert not trained.issued_coupons

    assert shop.quote(bring(first.issued_coupons[1])).totals.discount_minor == 200
    shop.reopen()
    shop.activate(program, built.catalogue)
    assert shop.commit(sale) == first
    assert shop.quote(bring(first.issued_coupons[1], "ben")).totals.discount_minor == 200
    (tmp_path / "other").mkdir()
    other = open_engine(tmp_path / "other")
    for entry, facts, response in commits(shop):
        assert other.replay(entry, *files_of(shop, facts)) == (0, response)
    other.close()
    shop.engine.close()


def test_a_serial_is_a_keyed_hash_of_receipt_offer_and_place(built: Built, tmp_path: Path) -> None:
    """Whoever has all but the key can not make one up; others open nothing."""
    shop, _ = shop_that_issues(built, tmp_path)
    told = [shop.commit(shop.sale(basket((100, 4, 400)))).issued_coupons for _ in range(2)]
    serials = [int(coupon.serial) for coupons in told for coupon in coupons]
    hashed = []
    for entry in shop.engine.read_entries(1, 10_000, 1 << 26):
        records = split_entry(bytes(entry)).movements["record"]
        for record in records[records["family"] == _layout.FAMILY_RECEIPT][:1]:
            words = (int(record["hi"]), int(record["lo"]), name_key("offer", "print"))
            hashed += [
                siphash(IDENTITY_KEY, b"issued:" + struct.pack("<4Q", *words, at)) for at in (0, 1)
            ]
    assert serials == hashed
    for serial in (serials[0] + 1, serials[0] - 1, 0):
        message = basket((100, 1, 1000))
        message.coupons.add(code="AGAIN", serial=f"{serial:020}")
        refused = shop.quote(message)
        assert refused.totals.discount_minor == 0
        assert [(c.state, c.refused_outcome) for c in refused.coupons] == [
            (REFUSED, COUPON_INVALID)
        ]
    shop.engine.close()


def test_an_issued_coupon_is_used_once_and_goes_with_its_sale(built: Built, tmp_path: Path) -> None:
    shop, _ = shop_that_issues(built, tmp_path)

    def outcome(coupon: Any) -> tuple[int, int]:
        decided = shop.quote(bring(coupon))
        return decided.totals.discount_minor, decided.coupons[0].refused_outcome

    issuer = shop.sale(basket((100, 4, 400)))
    used, kept = shop.commit(issuer).issued_coupons
    user = shop.sale(bring(used))
    assert shop.commit(user).decision.totals.discount_minor == 200
    assert [outcome(coupon) for coupon in (used, kept)] == [(0, COUPON_USED), (200, 0)]
    shop.return_items(shop.return_request(issuer, (1, 3)))
    assert outcome(kept) == (200, 0)
    shop.return_items(shop.return_request(issuer, (1, 1)))
    assert [outcome(coupon) for coupon in (used, kept)] == [(0, COUPON_INVALID)] * 2
    # What it took off stands; given back, it opens nothing any more.
    shop.void(shop.void_request(user))
    assert outcome(used) == (0, COUPON_INVALID)

    again = shop.sale(basket((100, 2, 200)))
    (coupon,) = shop.commit(again).issued_coupons
    assert outcome(coupon) == (200, 0)
    shop.void(shop.void_request(again))
    assert outcome(coupon) == (0, COUPON_INVALID)

    buried = shop.sale(basket((100, 2, 200)))
    shop.void(shop.void_request(original_receipt=buried.receipt))
    late = shop.commit(buried)
    assert not late.issued_coupons
    assert not late.decision.issued_coupons
    shop.engine.close()


def test_a_total_promises_coupons_and_its_sale_issues_them(built: Built, tmp_path: Path) -> None:
    shop, program = shop_that_issues(built, tmp_path)
    goods = basket((100, 2, 200))
    goods.basket_id = "one"
    request = checkout_pb2.TotalBasketRequest(context=shop.context(), basket=goods)
    answer = shop.call("CheckoutService.TotalBasket", request)
    total = checkout_pb2.TotalBasketResponse.FromString(answer)
    assert [coupon.serial for coupon in total.decision.issued_coupons] == [""]
    shop.activate(built.program, built.catalogue)
    sold = shop.commit(shop.sale(goods, total_token=total.total_token))
    assert [coupon.code for coupon in sold.issued_coupons] == ["AGAIN"]
    shop.activate(program, built.catalogue)
    assert shop.quote(bring(sold.issued_coupons[0])).totals.discount_minor == 200
    shop.engine.close()


def test_of_lanes_that_show_one_issued_coupon_one_wins(built: Built, tmp_path: Path) -> None:
    shop, _ = shop_that_issues(built, tmp_path)
    coupons = shop.commit(shop.sale(basket((100, 8, 800)))).issued_coupons
    given: list[list[int]] = [[] for _ in coupons]

    def sell(thread: int) -> None:
        for coupon, discounts in zip(coupons, given, strict=True):
            sale = shop.sale(bring(coupon, CROWD[thread]))
            discounts.append(shop.commit(sale).decision.totals.discount_minor)

    threads = [threading.Thread(target=sell, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [sorted(part) for part in given] == [[0] * (THREADS - 1) + [200]] * len(coupons)
    shop.engine.close()
