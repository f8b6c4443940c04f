"""Offers as the program file writes them, read into plain values."""

import csv
import io
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from tests.oracle.basket import Product, Unit
from tests.oracle.values import code_number, is_true, listed, scaled

MINUTES_A_DAY = 24 * 60
EPOCH = date(1970, 1, 1)
ITEM_MECHANICS = ("discount", "buy_get", "group_price", "row_prices")
MECHANICS = (*ITEM_MECHANICS, "threshold", "earn", "bonus", "multiply")
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


def day_number(text: str) -> int:
    return (date.fromisoformat(text) - EPOCH).days


def clock(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def minute_number(text: str) -> int:
    """Return a date, or a date and a time, as minutes since 1970 local."""
    text = str(text).replace("T", " ")
    day, _, time = text.partition(" ")
    return day_number(day) * MINUTES_A_DAY + (clock(time) if time else 0)


class Selector:
    """Which units: conditions on the product, and a range of charged unit prices."""

    def __init__(self, written: Any, decimals: int, files: dict[str, str]) -> None:
        self.written = {"all": []} if written == "all" else dict(written)
        prices = self.written.pop("unit_price", None) or {}
        self.least = scaled(prices["from"], decimals) if "from" in prices else 0
        self.most = scaled(prices["until"], decimals) if "until" in prices else None
        if "items_file" in self.written:
            rows = csv.DictReader(io.StringIO(files[self.written.pop("items_file")]))
            self.written["items"] = listed(self.written.get("items"))
            self.written["items"] += [row["item"].strip() for row in rows]
        inner = [*listed(self.written.get("any")), *listed(self.written.get("all"))]
        inner += listed(self.written.get("not"))
        self.parts = {id(part): Selector(part, decimals, files) for part in inner}

    def fits(self, unit: Unit) -> bool:
        if unit.initial < self.least or (self.most is not None and unit.initial > self.most):
            return False
        return self.fits_product(unit.product)

    def fits_product(self, product: Product | None) -> bool:
        asked = {key: value for key, value in self.written.items() if value != []}
        if product is None:
            return not asked
        return all(self._holds(key, value, product) for key, value in asked.items())

    def _holds(self, key: str, value: Any, product: Product) -> bool:
        if key == "category":
            parts = product.category.split("/")
            paths = [str(path).strip("/").split("/") for path in listed(value)]
            return any(parts[: len(path)] == path for path in paths)
        if key in ("brand", "vendor", "department"):
            return getattr(product, key) in [str(name) for name in listed(value)]
        if key == "items":
            return product.code in [code_number(str(item)) for item in listed(value)]
        if key == "flags":
            return all(flag in product.flags for flag in listed(value))
        found = [self.parts[id(part)].fits_product(product) for part in listed(value)]
        return {"any": any, "all": all, "not": lambda fits: not fits[0]}[key](found)


@dataclass
class Slot:
    """A place of an offer: `count` units an application; 0 means as many as there are."""

    selector: Selector
    count: int = 0


@dataclass
class Limit:
    """A limit for a member in a window."""

    measure: str
    most: int
    window: str


@dataclass
class Offer:
    """One offer of the program."""

    id: str
    mechanic: str
    layer: str
    written: dict[str, Any]
    order: int = 0
    priority: int = 0
    stackable: bool = False
    chosen: bool = False
    wallet: bool = False
    initial: bool = False
    floor: int = 0
    rounding: str = ""
    control: int = 0
    reduced_out: bool = False
    sources: list[str] = field(default_factory=list)
    coupons: list[str] = field(default_factory=list)
    serial: bool = False
    slots: list[Slot] = field(default_factory=list)
    same: bool = False
    buy: int = 0
    get: int = 0
    reward: str = ""
    value: int = 0
    rows: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)
    spend: int | None = None
    threshold: int = 0
    purse: str = ""
    points: int = 0
    per: int = 0
    factor: int = 0
    once_a_visit: bool = False
    valid_days: int = 0
    times: int | None = None
    units: int | None = None
    money: int | None = None
    limits: list[Limit] = field(default_factory=list)
    funding: list[tuple[str, int, str]] = field(default_factory=list)

    @property
    def third_party(self) -> int:
        return sum(percent for _, percent, how in self.funding if how == "third_party")

    @property
    def rank(self) -> tuple[Any, ...]:
        """Return the place in the order of ties (D3): lower comes first."""
        serial = bool(self.coupons) and self.serial
        return (-self.priority, serial, -self.third_party, self.id.encode())

    @property
    def who(self) -> dict[str, Any]:
        return self.written.get("who") or {}

    @property
    def for_members_only(self) -> bool:
        """Tell whether nobody but a member can have it (E7)."""
        asks = ("tiers", "segments", "birthday", "staff", "business", "consent")
        asked = any(str(self.who.get(key, "false")).lower() != "false" for key in asks)
        limited = bool(self.limits)
        return (
            self.who.get("members") == "members"
            or asked
            or limited
            or self.wallet
            or self.layer == "earn"
        )


def read_offer(written: dict[str, Any], program: dict[str, Any]) -> Offer:
    """Read one offer of a program file."""
    decimals = int(program.get("currency", {}).get("exponent", 2))
    mechanic = next(name for name in MECHANICS if name in written)
    layer = "earn" if mechanic in ("earn", "bonus", "multiply") else "item"
    layer = "basket" if mechanic == "threshold" else layer
    offer = Offer(str(written["id"]), mechanic, written.get("layer", layer), written)
    offer.order = int(written.get("class", 0))
    offer.priority = int(written.get("priority", 0))
    offer.stackable = is_true(written.get("stackable"))
    offer.chosen = is_true(written.get("chosen"))
    offer.wallet = is_true(written.get("wallet"))
    offer.initial = written.get("base") == "initial"
    offer.floor = scaled(written.get("floor_price", 0), decimals)
    offer.rounding = written.get("rounding", "")
    offer.control = scaled(written.get("control_percent", 0), 2)
    offer.reduced_out = written.get("reduced_items") == "out"
    offer.sources = listed(written.get("price_sources"))
    coupon = written.get("coupon") or {}
    offer.coupons = [str(code) for code in listed(coupon.get("codes"))]
    offer.serial = is_true(coupon.get("serial"))
    for share in listed(written.get("funding")):
        how = share.get("settlement", "price_reduction")
        offer.funding.append((str(share["funder"]), scaled(share["percent"], 2), how))
    _read_limits(offer, written.get("limits") or {}, decimals)
    _read_mechanic(offer, written[mechanic], program, decimals)
    return offer


def _read_limits(offer: Offer, written: dict[str, Any], decimals: int) -> None:
    basket = written.get("per_basket") or {}
    offer.times = int(basket["times"]) if "times" in basket else None
    offer.units = int(basket["units"]) if "units" in basket else None
    offer.money = scaled(basket["money"], decimals) if "money" in basket else None
    for limit in listed(written.get("per_member")):
        measure = next(key for key in ("uses", "units", "money") if key in limit)
        most = scaled(limit[measure], decimals if measure == "money" else 0)
        offer.limits.append(Limit(measure, most, limit.get("window", "campaign")))


def _read_reward(offer: Offer, written: dict[str, Any], decimals: int) -> None:
    offer.reward = next(key for key in ("percent", "amount", "price") if key in written)
    offer.value = scaled(written[offer.reward], 2 if offer.reward == "percent" else decimals)


def _read_mechanic(
    offer: Offer, written: dict[str, Any], program: dict[str, Any], decimals: int
) -> None:
    files = program.get("files") or {}

    def slot(part: dict[str, Any], count: int = 0) -> Slot:
        return Slot(Selector(part.get("of", "all"), decimals, files), count)

    if offer.mechanic == "discount":
        offer.slots = [slot(written)]
        _read_reward(offer, written, decimals)
    elif offer.mechanic == "buy_get":
        buy, get = written["buy"], written["get"]
        offer.buy, offer.get = int(buy["count"]), int(get["count"])
        offer.same = is_true(get.get("same"))
        counts = [offer.buy + offer.get] if offer.same else [offer.buy, offer.get]
        parts = [buy] if offer.same else [buy, get]
        offer.slots = [slot(part, count) for part, count in zip(parts, counts, strict=True)]
        _read_reward(offer, get, decimals)
    elif offer.mechanic == "group_price":
        places = written.get("slots") or [written]
        offer.slots = [slot(part, int(part.get("count", 1))) for part in places]
        offer.reward, offer.value = "price", scaled(written["price"], decimals)
    elif offer.mechanic == "row_prices":
        offer.slots, offer.reward = [slot({})], "price"
        for row in csv.DictReader(io.StringIO(files[written["file"]])):
            limit = (row.get("limit") or "").strip()
            key = (code_number(row["item"].strip()), (row.get("zone") or "").strip())
            offer.rows[key] = (scaled(row["price"].strip(), decimals), int(limit) if limit else 0)
    elif offer.mechanic == "threshold":
        offer.slots = [slot(written), slot(written["reward"])]
        offer.spend = scaled(written["spend"], decimals) if "spend" in written else None
        offer.threshold = offer.spend if offer.spend is not None else int(written["count"])
        _read_reward(offer, written["reward"], decimals)
    else:
        offer.slots, offer.purse = [slot(written)], str(written["purse"])
        _read_points(offer, written, program, decimals)


def _read_points(
    offer: Offer, written: dict[str, Any], program: dict[str, Any], decimals: int
) -> None:
    purse = program["purses"][offer.purse]
    if "points" in written:
        offer.points = scaled(written["points"], int(purse.get("decimals", 0)))
    if "per" in written:
        offer.per = scaled(written["per"], decimals)
    if "by" in written:
        offer.factor = scaled(written["by"], 4)
    offer.valid_days = int(written.get("valid_days", 0))
    offer.once_a_visit = is_true(written.get("once_a_visit"))
    if offer.mechanic == "bonus":
        offer.slots[0].count = int(written.get("count", 1))
