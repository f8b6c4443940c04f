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
ITEM_MECHANICS = ("discount", "buy_get", "nth_item", "group_price", "coverage", "row_prices")
EARN_MECHANICS = ("earn", "bonus", "multiply", "issue", "referral")
MECHANICS = (*ITEM_MECHANICS, "scanned", "fuel", "threshold", "redeem", "tender", *EARN_MECHANICS)
LAYERS = {"threshold": "basket", "redeem": "redemption", "tender": "tender"}
LAYERS |= dict.fromkeys(EARN_MECHANICS, "earn")
MEASURES = ("spend", "count", "products", "measure")
#: Whom a limit counts for; those for whom a member is needed come first (L2).
MEMBER_SCOPES = ("per_member", "per_household", "per_card")
SCOPES = (*MEMBER_SCOPES, "per_store", "overall")
REWARDS = ("percent", "amount", "each", "price")
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
        self.line = str(self.written.pop("line", "sale"))
        self.known: dict[int, bool] = {}
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
        """Tell whether a unit fits, of whose line the kind is the one asked for (B6)."""
        if unit.kind != self.line:
            return False
        if unit.initial < self.least or (self.most is not None and unit.initial > self.most):
            return False
        number = unit.product.number if unit.product is not None else -1
        if number not in self.known:
            self.known[number] = self.fits_product(unit.product)
        return self.known[number]

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
class Reach:
    """What must be reached, in its measure: money, units, products or thousandths of a unit.

    Attributes
    ----------
    unit : str
        The unit of measure, for `measure`.
    reward, value
        What a step gives that is reached.
    selector : Selector or None
        Of what, where a slot does not say it.
    """

    measure: str
    least: int
    unit: str = ""
    reward: str = ""
    value: int = 0
    selector: Selector | None = None


@dataclass
class Limit:
    """A limit in a window for one of those that a scope tells apart."""

    measure: str
    most: int
    window: str
    scope: str


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
    issued: bool = False
    opens: str = ""
    kind: str = ""
    face_value: bool = False
    families: dict[int, str] = field(default_factory=dict)
    retailers: list[str] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    same: bool = False
    buy: int = 0
    get: int = 0
    reward: str = ""
    value: int = 0
    rows: dict[tuple[int, str], tuple[int, int]] = field(default_factory=dict)
    choose: str = ""
    most_rewarded: int | None = None
    gift: bool = False
    products: int = 0
    per_measure: str = ""
    reaches: list[Reach] = field(default_factory=list)
    requires: list[Reach] = field(default_factory=list)
    cost_floor: bool = False
    margin: int | None = None
    reshare: bool = False
    exclusive: str = ""
    stack_after: list[str] = field(default_factory=list)
    unit_money: int | None = None
    product_money: int | None = None
    product_units: int | None = None
    whole: bool = False
    tenders: dict[str, list[str]] = field(default_factory=dict)
    spend: int | None = None
    steps: bool = False
    item: bool = False
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

    grades: list[str] = field(default_factory=list)
    levels: list[str] = field(default_factory=list)
    fuel_floor: int = 0
    fuel_most: int | None = None
    fuel_any: bool = False
    by_volume: bool = False
    progress_decimals: int = 0

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
        asks = (
            "tiers",
            "segments",
            "birthday",
            "staff",
            "business",
            "consent",
            "progress",
            "referred",
        )
        asked = any(str(self.who.get(key, "false")).lower() != "false" for key in asks)
        limited = any(limit.scope in MEMBER_SCOPES for limit in self.limits)
        return (
            self.who.get("members") == "members"
            or asked
            or limited
            or self.wallet
            or (self.layer in ("earn", "redemption") and self.mechanic != "issue")
        )


def decimals_of(rule: dict[str, Any], program: dict[str, Any]) -> int:
    """Return the decimals of the unit in which a progress counts (G1)."""
    if rule["measure"] == "spend":
        return int(program.get("currency", {}).get("exponent", 2))
    purse = program.get("purses", {}).get(rule.get("purse"), {})
    return int(purse.get("decimals", 0)) if rule["measure"] == "points" else 0


def read_offer(written: dict[str, Any], program: dict[str, Any]) -> Offer:
    """Read one offer of a program file."""
    decimals = int(program.get("currency", {}).get("exponent", 2))
    mechanic = next(name for name in MECHANICS if name in written)
    usual = "redemption" if mechanic == "fuel" and "purse" in written["fuel"] else "item"
    layer = written.get("layer", LAYERS.get(mechanic, usual))
    offer = Offer(str(written["id"]), mechanic, layer, written)
    rule = (written.get("who") or {}).get("progress")
    if rule is not None:
        offer.progress_decimals = decimals_of(program["progress"][rule["of"]], program)
    offer.order = int(written.get("class", 0))
    offer.priority = int(written.get("priority", 0))
    offer.stackable = is_true(written.get("stackable"))
    offer.chosen = is_true(written.get("chosen"))
    offer.wallet = is_true(written.get("wallet"))
    offer.initial = written.get("base") == "initial"
    offer.rounding = written.get("rounding", "")
    offer.control = scaled(written.get("control_percent", 0), 2)
    offer.reduced_out = written.get("reduced_items") == "out"
    offer.sources = listed(written.get("price_sources"))
    offer.exclusive = str(written.get("exclusive", ""))
    offer.stack_after = [str(name) for name in listed(written.get("stack_after"))]
    offer.reshare = is_true(written.get("reshare"))
    coupon = written.get("coupon") or {}
    offer.coupons = [str(code) for code in listed(coupon.get("codes"))]
    offer.serial = is_true(coupon.get("serial"))
    offer.issued = is_true(coupon.get("issued"))
    offer.kind = str(coupon.get("kind", ""))
    offer.face_value = coupon.get("above_price") == "refuse"
    for share in listed(written.get("funding")):
        how = share.get("settlement", "price_reduction")
        offer.funding.append((str(share["funder"]), scaled(share["percent"], 2), how))
    _read_floors(offer, written, decimals)
    _read_limits(offer, written.get("limits") or {}, decimals)
    reader = _Reader(offer, program, decimals)
    offer.requires = [reader.reach(part, own=True) for part in listed(written.get("requires"))]
    getattr(reader, mechanic)(written[mechanic])
    return offer


def _read_floors(offer: Offer, written: dict[str, Any], decimals: int) -> None:
    floor = written.get("floor") or {}
    offer.floor = scaled(written.get("floor_price", 0), decimals)
    offer.cost_floor = is_true(floor.get("cost"))
    offer.margin = scaled(floor["margin_percent"], 2) if "margin_percent" in floor else None


def _read_limits(offer: Offer, written: dict[str, Any], decimals: int) -> None:
    def money(part: dict[str, Any]) -> int | None:
        return scaled(part["money"], decimals) if "money" in part else None

    basket = written.get("per_basket") or {}
    offer.times = int(basket["times"]) if "times" in basket else None
    offer.units = int(basket["units"]) if "units" in basket else None
    offer.money = money(basket)
    offer.unit_money = money(written.get("per_unit") or {})
    product = written.get("per_product") or {}
    offer.product_money = money(product)
    offer.product_units = int(product["units"]) if "units" in product else None
    offer.whole = is_true(written.get("whole"))
    for scope in SCOPES:
        for limit in listed(written.get(scope)):
            measure = next(key for key in ("uses", "units", "money", "spend") if key in limit)
            most = scaled(limit[measure], decimals if measure in ("money", "spend") else 0)
            offer.limits.append(Limit(measure, most, limit.get("window", "campaign"), scope))


class _Reader:
    """Reads what the mechanic of an offer says; a method for each."""

    def __init__(self, offer: Offer, program: dict[str, Any], decimals: int) -> None:
        self.offer, self.program, self.decimals = offer, program, decimals
        self.files = program.get("files") or {}

    def selector(self, part: dict[str, Any]) -> Selector:
        return Selector(part.get("of", "all"), self.decimals, self.files)

    def slot(self, part: dict[str, Any], count: int = 0) -> Slot:
        return Slot(self.selector(part), count)

    def reward_of(self, written: dict[str, Any]) -> tuple[str, int]:
        """Return kind and value of the reward that a part says."""
        kind = next((key for key in REWARDS if key in written), "")
        if not kind:
            return "", 0
        return kind, scaled(written[kind], 2 if kind == "percent" else self.decimals)

    def reward(self, written: dict[str, Any]) -> None:
        """Read the reward of the offer."""
        kind, self.offer.value = self.reward_of(written)
        self.offer.reward = kind

    def reach(self, written: dict[str, Any], *, own: bool = False) -> Reach:
        """Read what must be reached, of what where it has a selector of its `own`."""
        measure = next(key for key in MEASURES if key in written)
        reward, value = self.reward_of(written)
        selector = self.selector(written) if own else None
        if measure == "measure":
            part = written[measure]
            least, unit = scaled(part["quantity"], 3), str(part["unit"])
        else:
            least = scaled(written[measure], self.decimals if measure == "spend" else 0)
            unit = ""
        return Reach(measure, least, unit, reward, value, selector)

    def discount(self, written: dict[str, Any]) -> None:
        self.offer.slots = [self.slot(written)]
        self.offer.choose = written.get("choose", "")
        self.offer.per_measure = str(written.get("per", ""))
        self.offer.reaches = [self.reach(step) for step in listed(written.get("steps"))]
        self.reward(written)

    def buy_get(self, written: dict[str, Any]) -> None:
        offer, get = self.offer, written["get"]
        buys = listed(written["buy"])
        offer.get = int(get["count"])
        same = is_true(get.get("same"))
        offer.choose = get.get("choose", "cheapest" if same else "dearest")
        offer.same = same and offer.choose == "cheapest"
        self.reward(get)
        if offer.same:
            offer.buy = int(buys[0]["count"])
            offer.slots = [self.slot(buys[0], offer.buy + offer.get)]
            return
        offer.slots = [self.slot(buy, int(buy["count"])) for buy in buys]
        offer.slots.append(self.slot(buys[0] if same else get, offer.get))

    def nth_item(self, written: dict[str, Any]) -> None:
        each = int(written["each"])
        get = {key: value for key, value in written.items() if key != "each"}
        get |= {"count": 1, "same": "true"}
        self.buy_get({"buy": {"count": each - 1, "of": written.get("of", "all")}, "get": get})

    def group_price(self, written: dict[str, Any]) -> None:
        places = written.get("slots") or [written]
        self.offer.slots = [self.slot(part, int(part.get("count", 1))) for part in places]
        self.reward(written)

    def coverage(self, written: dict[str, Any]) -> None:
        self.offer.products = int(written["products"])
        self.offer.choose = written.get("choose", "all")
        self.offer.slots = [self.slot(written, self.offer.products)]
        self.reward(written)

    def row_prices(self, written: dict[str, Any]) -> None:
        self.offer.slots, self.offer.reward = [self.slot({})], "price"
        for row in csv.DictReader(io.StringIO(self.files[written["file"]])):
            limit = (row.get("limit") or "").strip()
            key = (code_number(row["item"].strip()), (row.get("zone") or "").strip())
            price = scaled(row["price"].strip(), self.decimals)
            self.offer.rows[key] = (price, int(limit) if limit else 0)

    def threshold(self, written: dict[str, Any]) -> None:
        offer, reward = self.offer, dict(written.get("reward") or {})
        if "gift" in reward:
            reward = {"percent": "100", "of": reward["gift"], "units": reward.get("units", 1)}
            offer.gift = True
        offer.slots = [self.slot(written), self.slot(reward)]
        offer.reaches = [self.reach(step) for step in listed(written.get("steps"))]
        self.reward(reward)
        if not offer.reaches:
            offer.reaches = [self.reach(written)]
            offer.reaches[0].reward, offer.reaches[0].value = offer.reward, offer.value
        offer.most_rewarded = int(reward["units"]) if "units" in reward else None
        offer.choose = reward.get("choose", "dearest")

    def scanned(self, written: dict[str, Any]) -> None:
        offer = self.offer
        offer.slots, offer.stackable = [self.slot(written)], True
        offer.kind = str(written.get("coupons", "manufacturer"))
        offer.value = scaled(written["most"], self.decimals) if "most" in written else 0
        offer.face_value = written.get("above_price") == "refuse"
        offer.retailers = [str(number) for number in listed(written.get("retailers"))]
        if offer.kind == "manufacturer" and not offer.funding:
            offer.funding = [("manufacturer", 10_000, "third_party")]
        if "families" in written:
            for row in csv.DictReader(io.StringIO(self.files[written["families"]])):
                offer.families[code_number(row["item"].strip())] = row["family"].strip()

    def fuel(self, written: dict[str, Any]) -> None:
        offer = self.offer
        offer.slots, offer.stackable = [self.slot(written)], True
        offer.value = scaled(written["amount"], self.decimals + 3)
        offer.fuel_floor = scaled(written["floor"], self.decimals + 3)
        offer.fuel_most = scaled(written["most"], 3) if "most" in written else None
        offer.fuel_any = (self.program.get("policies") or {}).get("fuel") == "any"
        offer.by_volume = written.get("consume") == "by_volume"
        offer.per_measure = str(written["unit"])
        offer.grades = [str(name) for name in listed(written.get("grades"))]
        offer.levels = [str(name) for name in listed(written.get("levels"))]
        if "purse" in written:
            purse = self.program["purses"][str(written["purse"])]
            offer.purse, offer.steps = str(written["purse"]), True
            offer.points = scaled(written["points"], int(purse.get("decimals", 0)))

    def tender(self, written: dict[str, Any]) -> None:
        offer, accepted = self.offer, written.get("with") or {}
        offer.slots = [self.slot(written)]
        offer.tenders = {key: [str(part) for part in listed(accepted[key])] for key in accepted}
        offer.spend = scaled(written["spend"], self.decimals) if "spend" in written else None
        self.reward(written)

    def redeem(self, written: dict[str, Any]) -> None:
        offer, purse = self.offer, self.program["purses"][str(written["purse"])]
        offer.slots, offer.purse = [self.slot(written)], str(written["purse"])
        offer.points = scaled(written["points"], int(purse.get("decimals", 0)))
        offer.value = scaled(written.get("pays", 0), self.decimals)
        offer.steps, offer.item = is_true(written.get("steps")), is_true(written.get("item"))

    def issue(self, written: dict[str, Any]) -> None:
        offer = self.offer
        offer.slots = [self.slot(written, int(written.get("count", 1)))]
        offer.opens, offer.valid_days = str(written["coupon"]), int(written["valid_days"])
        offer.once_a_visit = is_true(written.get("once_a_visit"))

    def referral(self, written: dict[str, Any]) -> None:
        # Once for good by each member who was referred.
        self.offer.limits.insert(0, Limit("uses", 1, "campaign", "per_member"))
        self.earn(written)

    def earn(self, written: dict[str, Any]) -> None:
        offer, purse = self.offer, self.program["purses"][str(written["purse"])]
        offer.slots, offer.purse = [self.slot(written)], str(written["purse"])
        if "points" in written:
            offer.points = scaled(written["points"], int(purse.get("decimals", 0)))
        if "per" in written:
            offer.per = scaled(written["per"], self.decimals)
        if "by" in written:
            offer.factor = scaled(written["by"], 4)
        offer.valid_days = int(written.get("valid_days", 0))
        offer.once_a_visit = is_true(written.get("once_a_visit"))
        if offer.mechanic == "bonus":
            offer.slots[0].count = int(written.get("count", 1))

    bonus = multiply = earn
