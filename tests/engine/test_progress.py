"""Progress, goals, grants and tiers: shown, kept over a start, decided again alike."""

from pathlib import Path
from typing import Any

import pytest

from tests.engine.shop import OFFERS, Built, Shop, basket, open_engine
from tests.engine.test_replay import commits, files_of

PROGRESS = {
    "plain-units": {"measure": "units", "of": {"category": "PLAIN"}, "goal": 3, "repeats": True,
                    "reward": "gift", "reward_points": {"purse": "late", "points": 5}},
    "house": {"measure": "visits", "scope": "household", "window": "rolling", "months": 3},
    "spent": {"measure": "spend", "window": "year"},
}  # fmt: skip
TIERS = {
    "basic": {"number": 0},
    "gold": {"number": 1},
    "star": {"number": 2, "reached_by": {"progress": "house", "goal": 2}},
}


@pytest.fixture
def shop(built: Built, tmp_path: Path) -> Any:
    program = built.compile(f"progress-{tmp_path.name}", OFFERS, progress=PROGRESS, tiers=TIERS)
    shop = Shop(built, tmp_path, program=program)
    shop.own_program = program
    yield shop
    shop.engine.close()


def steps(decision: Any) -> dict[str, tuple[int, int, int]]:
    return {s.progress_id: (s.value, s.gained, s.times_reached) for s in decision.progress}


def test_a_household_gathers_together_and_its_tier_with_it(shop: Shop) -> None:
    for member in ("eve", "eva"):
        sold = shop.commit(shop.sale(basket((100, 4, 400), member=member))).decision
        assert sold.members[0].tier_id == "basic"
        assert steps(sold)["plain-units"] == (0, 4, 1)
        assert {p.offer_id: p.points for p in sold.earned}["plain-units"] == 5
        assert sold.progress[1].granted_offer_id == "gift"
    again = shop.quote(basket((300, 1, 500), member="eve"))
    assert again.members[0].tier_id == "star"
    assert steps(again)["house"] == (2, 1, 0)
    assert again.totals.discount_minor == 100
    assert shop.quote(basket((300, 1, 500), member="ben")).totals.discount_minor == 0


def test_what_a_member_sees_survives_a_start(shop: Shop) -> None:
    sale = shop.sale(basket((100, 7, 700), member="ben"))
    shop.commit(sale)
    shop.commit(shop.sale(basket((300, 1, 500), member="ben")))
    before = shop.member("ben")
    assert {p.progress_id: (p.value, p.times_reached) for p in before.progress}["plain-units"] == (
        7,
        2,
    )
    (gift,) = (offer for offer in before.wallet if offer.offer_id == "gift")
    assert gift.remaining_uses == 1
    shop.engine.close()
    shop.engine = open_engine(shop.data)
    shop.activate(shop.own_program, shop.built.catalogue, shop.built.members)
    assert shop.member("ben") == before
    shop.void(shop.void_request(sale))
    after = shop.member("ben")
    assert {p.progress_id: p.value for p in after.progress}["plain-units"] == 0
    assert [offer.offer_id for offer in after.wallet if offer.offer_id == "gift"] == []


def test_sales_with_progress_come_out_the_same_elsewhere(shop: Shop, tmp_path: Path) -> None:
    for number in range(12):
        member = ["eve", "eva", "ben", None][number % 4]
        shop.commit(shop.sale(basket((100, 2, 250), (300, 1, 500), member=member)))
    (tmp_path / "other").mkdir()
    other = open_engine(tmp_path / "other")
    entries = commits(shop)
    assert len(entries) == 12
    for entry, facts, response in entries:
        assert other.replay(entry, *files_of(shop, facts)) == (0, response)
    other.close()
