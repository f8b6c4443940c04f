"""The hill-climb: programs and baskets changed for as long as deciding them gets no cheaper."""

import random
from dataclasses import replace
from typing import Any

from tests.native.adversarial.deciding import (
    BRANDS,
    CATEGORIES,
    PRODUCTS,
    STEP_BUDGET,
    Case,
    Line,
    Shop,
)

#: Most offers and lines, by seed in turn. Small ones: larger ones use up any budget, and then their
#: steps tell nothing.
SIZES = ((3, 4), (4, 4), (4, 6), (6, 8))
COUNT_MAX = 9
#: Lines change more often than offers: a changed program has to be compiled.
LINE_MOVES = 4
CODES = [product["code"] for product in PRODUCTS]


def random_selector(draw: random.Random) -> dict[str, Any]:
    """Return goods: some brands, categories or items."""
    kind = draw.randrange(4)
    if kind == 0:
        return {"brand": draw.sample(BRANDS, draw.randint(1, 2))}
    if kind == 1:
        return {"category": draw.sample(CATEGORIES, draw.randint(1, 2))}
    return {"items": sorted(draw.sample(CODES, draw.randint(2, 7)))}


def random_offer(draw: random.Random, number: int) -> dict[str, Any]:
    """Return one competing item offer."""
    of, other = random_selector(draw), random_selector(draw)
    reward: dict[str, Any] = draw.choice(
        [
            {"percent": draw.choice([10, 15, 25, 33, 50, 100])},
            {"amount": f"{draw.randint(1, 9)}.{draw.randint(0, 99):02}"},
        ]
    )
    mechanics: list[dict[str, Any]] = [
        {"discount": {"of": of, **reward}},
        {
            "buy_get": {
                "buy": {"count": draw.randint(1, 3), "of": of},
                "get": {"count": draw.randint(1, 2), "same": True, **reward},
            }
        },
        {
            "buy_get": {
                "buy": {"count": draw.randint(1, 3), "of": of},
                "get": {"count": draw.randint(1, 2), "of": other, **reward},
            }
        },
        {
            "group_price": {
                "count": draw.randint(2, 5),
                "of": of,
                "price": f"{draw.randint(2, 20)}.99",
            }
        },
        {
            "group_price": {
                "slots": [
                    {"count": draw.randint(1, 3), "of": of},
                    {"count": draw.randint(1, 3), "of": other},
                ],
                "price": f"{draw.randint(2, 20)}.49",
            }
        },
    ]
    offer = {"id": f"o{number}", **draw.choice(mechanics)}
    if draw.random() < 0.3:
        limit = "units" if "discount" in offer else "times"
        offer["limits"] = {"per_basket": {limit: draw.randint(1, 4)}}
    return offer


def random_line(draw: random.Random) -> Line:
    """Return a line of one product."""
    return draw.choice(CODES), draw.randint(1, 6), draw.randint(60, 1500)


def seedling(draw: random.Random, name: str) -> Case:
    """Return a random case to begin with."""
    offers = [random_offer(draw, number) for number in range(3)]
    return Case(name, offers, [random_line(draw) for _ in range(4)])


def change(draw: random.Random, case: Case, size: tuple[int, int]) -> Case:
    """Return a case with one offer or one line more, fewer or different."""
    offers_max, lines_max = size
    if draw.randrange(LINE_MOVES + 1) == 0:
        offers = list(case.offers)
        at = draw.randrange(len(offers))
        move = draw.randrange(4)
        if move == 0 and len(offers) < offers_max:
            numbers = {offer["id"] for offer in offers}
            free = next(n for n in range(offers_max) if f"o{n}" not in numbers)
            offers.append(random_offer(draw, free))
        elif move == 1 and len(offers) > 2:
            offers.pop(at)
        else:
            offers[at] = random_offer(draw, int(offers[at]["id"][1:]))
        return replace(case, offers=offers)
    lines = list(case.lines)
    at = draw.randrange(len(lines))
    code, count, minor = lines[at]
    move = draw.randrange(6)
    if move == 0 and len(lines) < lines_max:
        lines.append(random_line(draw))
    elif move == 1 and len(lines) > 2:
        lines.pop(at)
    elif move == 2:
        lines[at] = (code, min(COUNT_MAX, max(1, count + draw.choice((-1, 1, 2, 5)))), minor)
    elif move == 3:
        lines[at] = (code, count, lines[draw.randrange(len(lines))][2])
    elif move == 4:
        lines[at] = (code, count, max(20, minor + draw.randint(-200, 200)))
    else:
        lines[at] = random_line(draw)
    return replace(case, lines=lines)


def breed(shop: Shop, seed: int, decisions: int) -> tuple[Case, dict[str, Any]]:
    """Return the worst case that a climb of so many decisions found."""
    draw = random.Random(f"adversarial:{seed}")
    best = seedling(draw, f"seed {seed}")
    found = shop.decide(best)
    for _ in range(decisions):
        if found["steps"] >= STEP_BUDGET:
            break
        trial = change(draw, best, SIZES[seed % len(SIZES)])
        now = shop.decide(trial)
        if now["steps"] >= found["steps"]:
            best, found = trial, now
    return best, found
