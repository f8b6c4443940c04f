"""Seeded baskets and competing offers, for the best deal and for measuring."""

import random

from checklane import _layout as layout
from tests.native.world import Line, Offer, Slot

REWARDS = (layout.REWARD_PERCENT, layout.REWARD_AMOUNT, layout.REWARD_PRICE)


def random_reward(rng: random.Random, price: int) -> tuple[int, int]:
    """Return kind and value of a reward that fits goods of about `price`."""
    reward = rng.choice(REWARDS)
    if reward == layout.REWARD_PERCENT:
        return reward, rng.choice([1000, 1500, 2500, 3333, 5000, 10000])
    return reward, rng.randint(1, max(1, price // 2))


def random_offer(rng: random.Random, products: list[int], price: int) -> Offer:
    """Return a competing item offer over some of `products`."""

    def group() -> set[int]:
        return set(rng.sample(products, rng.randint(1, len(products))))

    reward, value = random_reward(rng, price)
    kind = rng.choice("UUBBCCCGGR")
    fields: dict[str, int] = {"times_max": rng.choice([0, 0, 1, 2])}
    if kind == "U":
        fields = {"units_max": rng.choice([0, 1, 2, 3])}
        return Offer(layout.MECHANIC_UNIT_OFF, [Slot(group())], reward, value, fields=fields)
    if kind == "R":
        rows = [(p, 0, rng.randint(1, price), rng.choice([0, 1, 2])) for p in sorted(group())]
        fields = {"units_max": rng.choice([0, 0, 2])}
        slots = [Slot(set(products))]
        return Offer(
            layout.MECHANIC_ROW_PRICE, slots, layout.REWARD_PRICE, fields=fields, rows=rows
        )
    if kind == "B":
        slots = [
            Slot(group(), rng.randint(1, 2), layout.SLOT_BUY),
            Slot(group(), rng.randint(1, 2), layout.SLOT_GET),
        ]
        return Offer(layout.MECHANIC_BUY_GET, slots, reward, value, fields=fields)
    if kind == "C":
        get = rng.choice([1, 1, 1, 2])
        fields["get_count"] = get
        slots = [Slot(group(), get + rng.randint(1, 2))]
        return Offer(layout.MECHANIC_CHEAPEST, slots, reward, value, fields=fields)
    slots = [Slot(group(), rng.randint(1, 3)) for _ in range(rng.choice([1, 1, 2]))]
    units = sum(slot.count for slot in slots)
    price = rng.randint(1, max(1, units * price * 9 // 10))
    return Offer(layout.MECHANIC_GROUP_PRICE, slots, layout.REWARD_PRICE, price, fields=fields)


def tiny_case(seed: int) -> tuple[list[Offer], list[Line], int]:
    """Return offers in rank order, lines, and the number of products: small enough to try all."""
    rng = random.Random(seed)
    product_count = rng.randint(1, 4)
    price = rng.choice([5, 20, 300])
    lines = []
    for product in range(product_count):
        count = rng.randint(1, 3)
        lines.append(Line(product, count, rng.randint(1, price) * count + rng.choice([0, 0, 1])))
    products = list(range(product_count))
    return (
        [random_offer(rng, products, price) for _ in range(rng.randint(2, 4))],
        lines,
        product_count,
    )


def realistic_case(
    seed: int, line_count: int, offer_count: int, big_count: int = 0
) -> tuple[list[Offer], list[Line], int]:
    """Return categories of 2 to 12 lines with offers inside one category; counts 1 to 6, or
    `big_count` on a quarter of the lines."""
    rng = random.Random(seed)
    lines: list[Line] = []
    categories: list[list[int]] = []
    while len(lines) < line_count:
        size = min(rng.randint(2, 12), line_count - len(lines))
        price = rng.randint(80, 1500)
        categories.append(list(range(len(lines), len(lines) + size)))
        for product in categories[-1]:
            count = rng.choice([1, 1, 1, 1, 2, 2, 3, 4, 5, 6])
            if big_count and rng.random() < 0.25:
                count = big_count
            lines.append(Line(product, count, count * rng.randint(price // 2, price * 2)))
    offers = []
    for _ in range(offer_count):
        products = rng.choice(categories)
        price = lines[products[0]].amount // lines[products[0]].count
        offer = random_offer(rng, products, price)
        offer.fields["times_max"] = rng.choice([0, 0, 0, 2])
        offers.append(offer)
    return offers, lines, len(lines)


FAMILIES = ("realistic", "clustered", "nested", "dense", "equal", "big", "old")


def family_lines(
    rng: random.Random, family: str, line_count: int
) -> tuple[list[Line], list[list[int]], list[int]]:
    """Return lines, the categories of 2 to 12 products, and a price typical of each product."""
    lines: list[Line] = []
    categories: list[list[int]] = []
    typical: list[int] = []
    while len(lines) < line_count:
        size = min(rng.randint(2, 12), line_count - len(lines))
        price = rng.randint(80, 1500)
        levels = [rng.randint(price // 2, price * 2) for _ in range(2)]
        categories.append(list(range(len(lines), len(lines) + size)))
        for product in categories[-1]:
            count = rng.choice([1, 1, 1, 1, 2, 2, 3, 4, 5, 6])
            if family == "big" and rng.random() < 0.25:
                count = rng.randint(20, 5000)
            elif rng.random() < 0.02:
                count = 5000
            unit = rng.randint(price // 2, price * 2)
            if family == "equal":
                unit = rng.choice(levels)
            lines.append(Line(product, count, count * unit))
            typical.append(price)
    return lines, categories, typical


def family_group(
    rng: random.Random, family: str, categories: list[list[int]], home: list[int]
) -> set[int]:
    """Return the products of one slot of an offer whose category is `home`."""
    every = [product for category in categories for product in category]
    if family == "dense":
        return set(every)
    if family == "old":
        return set(rng.sample(every, min(len(every), rng.randint(2, 8))))
    if family == "clustered" and rng.random() < 0.12:
        return set(home) | set(rng.choice(categories))
    if family == "nested":
        return set(home[: max(1, len(home) >> rng.randint(0, 2))])
    if rng.random() < 0.5:
        return set(home)
    return set(rng.sample(home, rng.randint(1, len(home))))


def family_offer(
    rng: random.Random, family: str, categories: list[list[int]], typical: list[int]
) -> Offer:
    """Return an offer as shops make them: rewards and prices near what the goods cost."""
    home = rng.choice(categories)
    price = typical[home[0]]
    percent = rng.choice([1000, 1500, 2000, 2500, 3000, 5000])
    reward, value = rng.choice(
        [
            (layout.REWARD_PERCENT, percent),
            (layout.REWARD_PERCENT, percent),
            (layout.REWARD_AMOUNT, max(1, price * rng.randint(5, 40) // 100)),
            (layout.REWARD_PRICE, max(1, price * rng.randint(50, 95) // 100)),
        ]
    )
    kind = "G" if family == "old" else rng.choice("UUBCCCGGGS")
    fields: dict[str, int] = {"times_max": rng.choice([0, 0, 0, 1, 2, 3])}

    def group() -> set[int]:
        return family_group(rng, family, categories, home)

    if kind == "U":
        fields = {"units_max": rng.choice([0, 0, 1, 2, 4])}
        return Offer(layout.MECHANIC_UNIT_OFF, [Slot(group())], reward, value, fields=fields)
    if kind == "B":
        slots = [Slot(group(), rng.randint(1, 3), layout.SLOT_BUY)]
        slots.append(Slot(group(), 1, layout.SLOT_GET))
        return Offer(layout.MECHANIC_BUY_GET, slots, reward, value, fields=fields)
    if kind == "C":
        get = rng.choice([1, 1, 1, 1, 2])
        fields["get_count"] = get
        percent = rng.choice([5000, 10000, 10000])
        slots = [Slot(group(), get + rng.randint(1, 3))]
        return Offer(layout.MECHANIC_CHEAPEST, slots, layout.REWARD_PERCENT, percent, fields=fields)
    slots = [Slot(group(), rng.randint(2, 5))]
    if kind == "S":
        slots = [Slot(group(), rng.randint(1, 2)) for _ in range(rng.randint(2, 3))]
    units = sum(slot.count for slot in slots)
    paid = max(1, units * price * rng.randint(60, 110) // 100)
    return Offer(layout.MECHANIC_GROUP_PRICE, slots, layout.REWARD_PRICE, paid, fields=fields)


def family_case(
    family: str, seed: int, line_count: int, offer_count: int
) -> tuple[list[Offer], list[Line], int]:
    """Return one basket of a family of the best deal: offers in rank order, lines, product count.

    Parameters
    ----------
    family : str
        One of `FAMILIES`: "realistic" (offers inside one category; one line in fifty of 5,000
        units), "clustered" (one group in eight spans two categories), "nested" (groups are
        prefixes of one another), "dense" (every group is every line), "equal" (two prices a
        category), "big" (a quarter of the lines 20 to 5,000 units), "old" (any k of g).
    """
    rng = random.Random(f"{family} {seed} {line_count} {offer_count}")
    lines, categories, typical = family_lines(rng, family, line_count)
    offers = [family_offer(rng, family, categories, typical) for _ in range(offer_count)]
    return offers, lines, len(lines)
