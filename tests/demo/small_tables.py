"""A small data set of the form of the Complete Journey, made up, with each of its traps."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

#: (product, department, category, type)
PRODUCTS = (
    (101, "GROCERY", "SOUP", "CONDENSED SOUP"),
    (102, "GROCERY", "SOUP", "RAMEN NOODLES/RAMEN CUPS"),
    (103, "GROCERY", "YOGURT", "YOGURT NOT MULTI-PACKS"),
    (104, "GROCERY", "BAKED BREAD/BUNS/ROLLS", "MAINSTREAM WHITE BREAD"),
    (105, "DRUG GM", "BABY FOODS", "BABY FOOD JUICES"),
    (106, "PRODUCE", "TROPICAL FRUIT", "BANANAS"),
    (107, "MISCELLANEOUS", None, None),
    (108, "FUEL", "COUPON/MISC ITEMS", "GASOLINE-REG UNLEADED"),
    (109, "MISCELLANEOUS", "COUPON/MISC ITEMS", "OUTSIDE VENDORS GIFT CARDS"),
)
PRICES = {101: 89, 102: 25, 103: 65, 104: 199, 105: 79, 106: 120, 107: 500, 108: 2300, 109: 2500}
FUEL, GIFT_CARD, STRANGER = 108, 109, 999
HOUSEHOLDS = tuple(range(95, 107))
STORES = (11, 12, 13)
BEGIN_S = 1_483_300_000  # 2017-01-01T19:46:40Z
COUPON = 5_000_001


def write_tables(folder: Path, *, basket_count: int = 60, seed: int = 7) -> Path:
    """Write the tables as Parquet; return their folder."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    rows = [row for number in range(basket_count) for row in _basket(draw, number, basket_count)]
    names = (
        "household_id", "store_id", "basket_id", "product_id", "quantity", "sales_value",
        "retail_disc", "coupon_disc", "coupon_match_disc", "week", "transaction_timestamp",
    )  # fmt: skip
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    columns["transaction_timestamp"] = _times(columns["transaction_timestamp"])
    _write(folder, "transactions", columns)
    numbers, departments, categories, types = zip(*PRODUCTS, strict=True)
    _write(
        folder,
        "products",
        {
            "product_id": list(numbers),
            "manufacturer_id": [number % 4 for number in numbers],
            "department": list(departments),
            "brand": ["National" if number % 2 else "Private" for number in numbers],
            "product_category": list(categories),
            "product_type": list(types),
            "package_size": [None] * len(numbers),
        },
    )
    _write_campaigns(folder)
    _write(
        folder,
        "demographics",
        {"household_id": [97, 98, 99], "kids_count": ["0", "2", None]},
    )
    return folder


def _basket(draw: np.random.Generator, number: int, basket_count: int) -> list[tuple]:
    """Return the rows of one basket, among them lines that are odd."""
    household = HOUSEHOLDS[int(draw.integers(len(HOUSEHOLDS)))]
    store = STORES[int(draw.integers(len(STORES)))]
    # A year over all baskets.
    time_s = BEGIN_S + number * (360 * 86_400 // basket_count) + int(draw.integers(3600))
    rows = []
    for product in draw.choice(107 - 101, size=int(draw.integers(1, 6)), replace=False) + 101:
        count = int(draw.integers(1, 13)) if product == 103 else int(draw.integers(1, 4))
        gross = PRICES[int(product)] * count
        card = gross // 5 if draw.random() < 0.5 else 0
        coupon = 50 if product == 101 and draw.random() < 0.3 else 0
        match = 10 if coupon else 0
        rows.append((int(product), count, gross - card - match, card, coupon, match))
    if number % 5 == 0:
        rows.append((FUEL, 8725, 2006, 0, 0, 0))
    if number % 7 == 0:
        rows += [(FUEL, 1, 1500, 0, 0, 0), (107, 0, 25, 0, 0, 0)]
    if number % 11 == 0:
        rows += [(GIFT_CARD, 1, 2500, 0, 0, 0), (STRANGER, 2, 300, 0, 400, 0)]
    head = (household, store, 9000 + number)
    return [
        (*head, product, count, *(cents / 100 for cents in money), 1, time_s)
        for product, count, *money in rows
    ]


def _write_campaigns(folder: Path) -> None:
    _write(
        folder,
        "campaign_descriptions",
        {
            "campaign_id": [1, 2],
            "campaign_type": ["Type A", "Type B"],
            "start_date": _times([BEGIN_S] * 2),
            "end_date": _times([BEGIN_S + 300 * 86_400] * 2),
        },
    )
    households = [*HOUSEHOLDS[:8], *HOUSEHOLDS[4:]]
    campaigns = [1] * 8 + [2] * (len(households) - 8)
    _write(folder, "campaigns", {"campaign_id": campaigns, "household_id": households})
    # Twenty coupons of a type A campaign, of which a household gets sixteen; one row twice.
    coupons = [(COUPON + at, 101 + at % 6, 1) for at in range(20)]
    coupons += [(COUPON, 101, 2), (COUPON, 102, 2), (COUPON, 102, 2), (COUPON, STRANGER, 2)]
    upcs, products, numbers = zip(*coupons, strict=True)
    _write(
        folder,
        "coupons",
        {"coupon_upc": upcs, "product_id": products, "campaign_id": numbers},
    )
    _write(
        folder,
        "coupon_redemptions",
        {
            "household_id": [HOUSEHOLDS[0]],
            "coupon_upc": [COUPON],
            "campaign_id": [1],
            "redemption_date": _times([BEGIN_S]),
        },
    )


def _times(seconds: list[int]) -> pa.Array:
    return pa.array(np.array(seconds, dtype="datetime64[s]").astype("datetime64[ns]"))


def _write(folder: Path, name: str, columns: dict) -> None:
    parquet.write_table(pa.table(columns), folder / f"{name}.parquet")
