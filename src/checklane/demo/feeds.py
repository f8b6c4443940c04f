"""Writes the feeds that `checklane snapshot build` reads, made from the data set.

What the data set does not have is made here by rule and is the same in every run: card numbers,
regions and price zones of the stores, and which coupons of a type A campaign a household got.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from checklane.demo.data import Campaign, Dataset, Ints

#: Cards are this prefix and ten digits; the program declares the prefix as its issuer range.
CARD_PREFIX = "84"
CARD_DIGITS = 12
#: One household in so many is left out of the members feed: its card opens an account by itself.
UNKNOWN_EVERY = 100
#: One household in so many, those that spend most, has the tier gold.
GOLD_EVERY = 5
#: Coupons of a type A campaign that one household got, as the data set's guide says.
CHOSEN_COUPONS = 16
#: What simulated pumps sell, since the data set has no grades: PLU and grade.
GRADES = (("700", "REGULAR"), ("701", "PREMIUM"))
REGIONS = ("north", "east", "south", "west")
STORE_ZONE = "America/New_York"
ZONES = ("city", "country")


@dataclass(frozen=True)
class FeedFiles:
    """The feed files, by kind."""

    members: Path
    identifiers: Path
    products: Path
    stores: Path
    wallets: Path


def card_number(household: int) -> str:
    """Return the card number of a household."""
    return f"{CARD_PREFIX}{household:010d}"


def member_id(household: int) -> str:
    """Return the member id of a household."""
    return f"household-{household}"


def store_id(store: int) -> str:
    """Return the id of a store."""
    return f"store-{store}"


def store_zone(store: int) -> str:
    """Return the price zone of a store."""
    return ZONES[store % len(ZONES)]


def offer_id(campaign: int, upc: int) -> str:
    """Return the id of the offer of one coupon in one campaign."""
    return f"campaign-{campaign:02d}-{upc}"


def path_part(name: str) -> str:
    """Return a name as one part of a category path: a slash would begin the next part."""
    return name.replace("/", "|")


def category_path(department: str, category: str, kind: str) -> str:
    """Return the category path of a product: department, category and type."""
    return "/".join(path_part(name) for name in (department, category, kind) if name)


def is_fed(household: int) -> bool:
    """Tell whether a household is in the members feed."""
    return household % UNKNOWN_EVERY != 0


def write_feeds(dataset: Dataset, folder: Path) -> FeedFiles:
    """Write all feeds as CSV.

    Parameters
    ----------
    dataset : Dataset
    folder : Path
        Made when it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return FeedFiles(
        members=_write_members(dataset, folder / "members.csv"),
        identifiers=_write_identifiers(dataset, folder / "identifiers.csv"),
        products=_write_products(dataset, folder / "products.csv"),
        stores=_write_stores(dataset, folder / "stores.csv"),
        wallets=_write_wallets(dataset, folder / "wallets.csv"),
    )


def _write(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
    return path


def _write_members(dataset: Dataset, path: Path) -> Path:
    order = np.argsort(-dataset.spend_minor, kind="stable")
    gold = set(dataset.households[order[: len(order) // GOLD_EVERY]].tolist())
    rows = [
        (
            member_id(household),
            "gold" if household in gold else "basic",
            "kids" if household in dataset.with_kids else "",
            "true",
        )
        for household in dataset.households.tolist()
        if is_fed(household)
    ]
    return _write(path, ("member_id", "tier", "segments", "consent"), rows)


def _write_identifiers(dataset: Dataset, path: Path) -> Path:
    fed = [household for household in dataset.households.tolist() if is_fed(household)]
    rows = [(member_id(household), "card", card_number(household)) for household in fed]
    return _write(path, ("member_id", "kind", "value"), rows)


def _write_products(dataset: Dataset, path: Path) -> Path:
    products = dataset.products
    columns = zip(
        products.ids.tolist(),
        products.departments,
        products.categories,
        products.types,
        products.brands,
        products.vendors,
        products.is_fuel.tolist(),
        products.is_gift_card.tolist(),
        strict=True,
    )
    rows = []
    for code, department, category, kind, brand, vendor, is_fuel, is_gift_card in columns:
        flags = "fuel;no_discount" if is_fuel else ""
        flags = "no_discount;no_earn;no_burn" if is_gift_card else flags
        path_text = category_path(department, category, kind)
        rows.append(("sku", code, kind, path_text, path_part(department), brand, vendor, flags))
    rows += [
        ("plu", code, grade, f"FUEL/{grade}", "FUEL", "", "", "fuel") for code, grade in GRADES
    ]
    head = ("code_kind", "code", "name", "category", "department", "brand", "vendor", "flags")
    return _write(path, head, rows)


def _write_stores(dataset: Dataset, path: Path) -> Path:
    rows = [
        (
            store_id(store),
            REGIONS[store % len(REGIONS)],
            "complete-journey",
            store_zone(store),
            STORE_ZONE,
        )
        for store in dataset.stores.tolist()
    ]
    return _write(path, ("store_id", "region", "banner", "price_zone", "timezone"), rows)


def _write_wallets(dataset: Dataset, path: Path) -> Path:
    visits = _bought(dataset)
    rows = []
    for campaign in dataset.campaigns:
        if campaign.kind == "Type A":
            pairs = _chosen_coupons(campaign, visits)
        else:
            pairs = [
                (household, upc)
                for household in campaign.households.tolist()
                for upc in sorted(campaign.coupons)
            ]
        rows += [
            (member_id(household), offer_id(campaign.number, upc))
            for household, upc in pairs
            if is_fed(household)
        ]
    return _write(path, ("member_id", "offer_id"), rows)


def _bought(dataset: Dataset) -> tuple[Ints, Ints, Ints]:
    """Return (household, product, lines) for every product that a household bought."""
    household = np.repeat(dataset.baskets["household"], dataset.baskets["line_count"])
    pairs = np.stack([household, dataset.lines["product"]])
    unique, lines = np.unique(pairs, axis=1, return_counts=True)
    return unique[0], unique[1], lines.astype(np.int64)


def _chosen_coupons(campaign: Campaign, visits: tuple[Ints, Ints, Ints]) -> list[tuple[int, int]]:
    """Return the (household, coupon) pairs of a type A campaign.

    The data set says that each household got 16 coupons by what it buys, and not which. They are
    taken to be those for whose products the household has the most lines, ties to the lower code.
    """
    upcs = np.array(sorted(campaign.coupons), dtype=np.int64)
    goods = np.concatenate([campaign.coupons[int(upc)] for upc in upcs])
    coupon = np.repeat(np.arange(len(upcs)), [len(campaign.coupons[int(upc)]) for upc in upcs])
    order = np.argsort(goods, kind="stable")
    goods, coupon = goods[order], coupon[order]
    household, product, lines = visits
    here = np.isin(household, campaign.households)
    household, product, lines = household[here], product[here], lines[here]
    begin, end = np.searchsorted(goods, product), np.searchsorted(goods, product, side="right")
    repeats = end - begin
    starts = np.cumsum(repeats) - repeats
    at = np.arange(repeats.sum()) - np.repeat(starts - begin, repeats)
    row = np.searchsorted(campaign.households, np.repeat(household, repeats))
    scores = np.bincount(
        row * len(upcs) + coupon[at],
        weights=np.repeat(lines, repeats),
        minlength=len(campaign.households) * len(upcs),
    ).reshape(len(campaign.households), len(upcs))
    best = np.sort(np.argsort(-scores, axis=1, kind="stable")[:, :CHOSEN_COUPONS], axis=1)
    return [
        (int(campaign.households[index]), int(upc))
        for index in range(len(campaign.households))
        for upc in upcs[best[index]]
    ]
