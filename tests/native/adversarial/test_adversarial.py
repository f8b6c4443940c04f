"""The worst programs and baskets that were found are decided as before, in as many steps.

Steps change when the search does. Renew them with `python -m tests.native.adversarial --update`.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.native.adversarial.breeding import breed
from tests.native.adversarial.deciding import Shop, read_cases

CASES = read_cases()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with Shop(tmp_path_factory.mktemp("adversarial") / "shop") as opened:
        yield opened


def test_ten_are_kept_worst_first():
    steps = [before["steps"] for _, before in CASES]
    assert len(steps) == 10
    assert steps == sorted(steps, reverse=True)


@pytest.mark.parametrize(("case", "before"), CASES, ids=[case.name for case, _ in CASES])
def test_a_kept_case_costs_and_gives_what_it_did(shop, case, before):
    assert shop.decide(case) == before


def test_another_basket_is_told_apart(shop):
    case, before = CASES[-1]
    code, count, minor = case.lines[0]
    now = shop.decide(replace(case, lines=[(code, count + 1, minor), *case.lines[1:]]))
    assert now["checksum"] != before["checksum"]


def test_a_climb_is_the_same_each_time(shop):
    assert breed(shop, 1, 12) == breed(shop, 1, 12)
