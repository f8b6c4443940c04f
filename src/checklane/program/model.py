"""The program file and the offer as people write them: every key, its meaning and its range.

The descriptions here are the reference: they make the JSON Schema that editors show and the words
of ``checklane offers``. A new mechanic is a new key of an offer; the keys that stand here keep
their meaning.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue, WithJsonSchema

from checklane._layout import (
    BASKET_LINES_MAX,
    CANDIDATES_MAX,
    CLAIM_DAYS_MAX,
    OFFER_SLOTS_MAX,
    PURSES_MAX,
    RETAILERS_MAX,
    SEGMENTS_MAX,
    SEMANTICS_VERSION,
    STEP_BUDGET_DEFAULT,
    TIERS_MAX,
    WALLET_MAX,
)
from checklane.program.fields import (
    Clock,
    ClockBegin,
    Count,
    Days,
    Factor,
    Flag,
    From,
    Id,
    Ids,
    Money,
    Name,
    Names,
    Part,
    Percent,
    Points,
    Texts,
    Thousandths,
    UnitMoney,
    Units,
    Until,
    fail,
    listed,
    one_or_more,
)

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Window = Literal["campaign", "day", "week", "month", "year"]
Settlement = Literal["price_reduction", "third_party", "tender"]
Rounding = Literal["half_away", "floor", "ceil"]
LayerName = Literal["item", "basket", "redemption", "tender", "earn"]
PriceSource = Literal["shelf", "ad", "member", "override", "markdown", "contract", "barcode"]
ProductFlag = Literal[
    "no_discount", "no_earn", "no_burn", "age_restricted", "fuel",
    "tobacco", "alcohol", "lottery", "gift_card", "pharmacy",
]  # fmt: skip
Measure = Literal["spend", "visits", "units", "points"]
IdentifierKind = Literal[
    "card", "phone", "email", "app", "account", "member_id", "payment_token", "external"
]
ReturnPolicy = Literal["prorate", "reprice"]
TenderKind = Literal[
    "cash", "credit_card", "debit_card", "gift_card", "benefit_food", "benefit_cash",
    "benefit_goods", "voucher", "mobile", "account", "fleet_card", "cheque", "other",
]  # fmt: skip
#: Units of measure of the contract and their numbers there.
MEASURE_UNITS = {
    "kilogram": 1,
    "pound": 2,
    "litre": 3,
    "gallon": 4,
    "metre": 5,
    "foot": 6,
    "square_metre": 7,
    "hour": 8,
    "kilowatt_hour": 9,
    "ounce": 10,
}
MeasureUnit = Literal[
    "kilogram", "pound", "litre", "gallon", "metre", "foot", "square_metre", "hour",
    "kilowatt_hour", "ounce",
]  # fmt: skip
#: The channels of the contract and their numbers there.
CHANNELS = {
    "store": 1,
    "self_checkout": 2,
    "mobile_scan": 3,
    "fuel": 4,
    "online_delivery": 5,
    "online_collect": 6,
    "kiosk": 7,
    "phone": 8,
}
Prefix = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    WithJsonSchema({"type": ["string", "integer"]}),
]
MECHANICS = (
    "discount", "buy_get", "nth_item", "group_price", "coverage", "row_prices", "threshold",
    "scanned", "redeem", "tender", "fuel",
    "earn", "bonus", "multiply", "issue", "referral",
)  # fmt: skip
HOURS_MAX = 4

Weekdays = Annotated[
    list[Weekday],
    BeforeValidator(listed),
    Field(min_length=1),
    WithJsonSchema(one_or_more({"type": "string", "enum": list(get_args(Weekday))})),
]
PriceSources = Annotated[
    list[PriceSource],
    BeforeValidator(listed),
    Field(min_length=1),
    WithJsonSchema(one_or_more({"type": "string", "enum": list(get_args(PriceSource))})),
]
ProductFlags = Annotated[
    list[ProductFlag],
    BeforeValidator(listed),
    Field(min_length=1),
    WithJsonSchema(one_or_more({"type": "string", "enum": list(get_args(ProductFlag))})),
]

TenderKinds = Annotated[
    list[TenderKind],
    BeforeValidator(listed),
    Field(min_length=1),
    WithJsonSchema(one_or_more({"type": "string", "enum": list(get_args(TenderKind))})),
]
Digits = Annotated[
    str,
    BeforeValidator(lambda value: str(value) if type(value) is int else value),
    Field(pattern="^[0-9]{1,18}$"),
    WithJsonSchema({"type": ["string", "integer"]}),
]
DigitLists = Annotated[
    list[Digits],
    BeforeValidator(listed),
    Field(min_length=1, max_length=1000),
    WithJsonSchema(one_or_more({"type": ["string", "integer"]})),
]


def ask_for_one(part: Part, keys: tuple[str, ...], what: str) -> None:
    """Refuse a part in which not exactly one of `keys` is given."""
    given = [key for key in keys if getattr(part, key) is not None]
    if len(given) == 1:
        return
    choice = ", ".join(f"'{key}'" for key in keys)
    if not given:
        fail(f"{what} says nothing", f"give one of {choice}")
    fail(f"{what} says {' and '.join(given)}", f"keep one of {choice}", at=given[1])


class OneAllowed:
    """Lets the JSON Schema of a list take one item without the list, as `listed` does."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> JsonSchemaValue:
        """Return the schema of an item or a list."""
        schema = handler(core)
        return {"anyOf": [schema["items"], schema]}


# ---------------------------------------------------------------- selectors ---------------------


class UnitPrice(Part):
    """A range of unit prices."""

    from_: Money | None = Field(
        default=None, alias="from", description="Lowest unit price, included."
    )
    until: Money | None = Field(default=None, description="Highest unit price, included.")

    @model_validator(mode="after")
    def check(self) -> "UnitPrice":
        """Refuse a range without an end, or upside down."""
        if self.from_ is None and self.until is None:
            fail("the range has no end", "give 'from', 'until' or both")
        if self.until is not None and (self.from_ or 0) > self.until:
            fail("'from' is above 'until'", "swap the two prices", at="from")
        if self.until == 0:
            fail("no unit costs at most 0", "give a price above 0", at="until")
        return self


class Selector(Part):
    """Which products: the word `all`, or conditions that must hold together."""

    category: Names | None = Field(
        default=None,
        description="Category path or its beginning, such as GROCERY/SOUP: everything below it "
        "belongs. Several: any of them.",
    )
    brand: Names | None = Field(default=None, description="Brand, as in the products feed.")
    vendor: Names | None = Field(default=None, description="Vendor, as in the products feed.")
    department: Names | None = Field(
        default=None, description="Department, as in the products feed."
    )
    items: Names | None = Field(
        default=None,
        description="Product codes: a GTIN of 8 to 14 digits with its check digit, a PLU of up to "
        "6 digits, or the retailer's own code as sku:CODE.",
    )
    items_file: str | None = Field(
        default=None,
        description="CSV file beside this one with a column `item`: product codes as in `items`.",
        min_length=1,
    )
    flags: ProductFlags | None = Field(
        default=None, description="Product flags of the feed; a product needs all that are named."
    )
    unit_price: UnitPrice | None = Field(
        default=None,
        description="Range of unit prices at the till. Stands at the top of a selector only.",
    )
    line: Literal["fee", "charge"] | None = Field(
        default=None,
        description="Lines of kind fee or charge, such as a delivery, instead of goods. Stands at "
        "the top of a selector only.",
    )
    any_: list["Selector"] | None = Field(
        default=None, alias="any", min_length=1, description="At least one of these selectors fits."
    )
    all_: list["Selector"] | None = Field(
        default=None, alias="all", description="Every one of these selectors fits."
    )
    not_: "Selector | None" = Field(
        default=None, alias="not", description="This selector does not fit. Known products only."
    )

    @model_validator(mode="before")
    @classmethod
    def read(cls, value: Any) -> Any:
        """Take the word `all`; refuse a selector that says nothing."""
        if value == "all":
            return {"all": []}
        if isinstance(value, str | int):
            fail(
                f"'{value}' is not a selector",
                f"write all, or a condition such as {{category: {value}}}",
            )
        if not value:
            fail("the selector is empty", "write all, or a condition such as {category: SOUP}")
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> JsonSchemaValue:
        """Allow the word `all` beside the mapping."""
        schema: JsonSchemaValue = handler.resolve_ref_schema(handler(core))
        schema["type"] = ["object", "string"]
        schema["minProperties"] = 1
        schema["pattern"] = "^all$"
        return schema

    @property
    def is_all(self) -> bool:
        """True when every unit fits, known product or not, whatever its price."""
        return self.all_ == [] and all(
            getattr(self, name) is None for name in type(self).model_fields if name != "all_"
        )

    @property
    def is_universal(self) -> bool:
        """True when products are not asked for; a range of prices or a kind of line may be."""
        others = ("all_", "unit_price", "line")
        names = (name for name in type(self).model_fields if name not in others)
        return not self.all_ and all(getattr(self, name) is None for name in names)


ALL = Selector.model_validate("all")


# ---------------------------------------------------------------- mechanics ---------------------


BASES = ("spend", "count", "products", "measure")


class Quantity(Part):
    """So much by measure."""

    quantity: Thousandths = Field(description="How much, with at most three decimals.")
    unit: MeasureUnit = Field(description="Only units measured in it count.")


class Reached(Part):
    """What some units must come to."""

    spend: Money | None = Field(default=None, description="Money that they cost together.")
    count: Count | None = Field(default=None, description="How many units.")
    products: Count | None = Field(default=None, description="How many different products.")
    measure: Quantity | None = Field(default=None, description="How much by weight or volume.")

    def check_base(self, what: str) -> None:
        """Ask for one measure above 0."""
        ask_for_one(self, BASES, what)
        if self.spend == 0:
            fail("a threshold of 0 is none", "give an amount above 0", at="spend")

    @property
    def base(self) -> str:
        """The key of what is measured."""
        return next(name for name in BASES if getattr(self, name) is not None)

    @property
    def unit(self) -> str | None:
        """The unit of a measure; None otherwise."""
        return self.measure.unit if self.measure is not None else None

    @property
    def least(self) -> int:
        """The number to be reached, in minor units, units, products or thousandths."""
        if self.measure is not None:
            return self.measure.quantity
        return self.spend or self.count or self.products or 0


class Need(Reached):
    """What the basket must hold for an offer."""

    of: Selector = Field(default=ALL, description="Which products count. Default: all.")

    @model_validator(mode="after")
    def check(self) -> "Need":
        """Ask for one measure."""
        self.check_base("the requirement")
        return self


Needs = Annotated[
    list[Need],
    BeforeValidator(listed),
    Field(min_length=1, max_length=OFFER_SLOTS_MAX - 1),
    OneAllowed(),
]


class Step(Reached):
    """What is given from a number on."""

    percent: Percent | None = Field(default=None, description="Percent off.")
    amount: Money | None = Field(default=None, description="Money off.")
    price: Money | None = Field(default=None, description="The unit price.")

    @model_validator(mode="after")
    def check(self) -> "Step":
        """Ask for one measure and one reward."""
        self.check_base("the step")
        ask_for_one(self, ("percent", "amount", "price"), "the step")
        return self

    @property
    def reward(self) -> str:
        """The key of what is given."""
        return next(key for key in ("percent", "amount", "price") if getattr(self, key) is not None)


Steps = Annotated[list[Step], Field(min_length=1, max_length=32)]


def check_steps(steps: list[Step]) -> None:
    """Ask for steps of one kind that rise."""
    for number, step in enumerate(steps[1:], start=1):
        same = (step.base, step.unit, step.reward) == (
            steps[0].base,
            steps[0].unit,
            steps[0].reward,
        )
        if not same:
            fail("steps of different kinds", "measure and give the same in each step", at="steps")
        if step.least <= steps[number - 1].least:
            fail("the steps do not rise", "write the lowest step first", at="steps")


class Discount(Part):
    """Off each unit."""

    of: Selector = Field(description="Which products.")
    percent: Percent | None = Field(default=None, description="Percent off the unit price.")
    amount: Money | None = Field(default=None, description="Money off each unit.")
    price: Money | None = Field(default=None, description="The unit price.")
    steps: Steps | None = Field(
        default=None, description="Other rewards, by what the units of `of` come to."
    )
    per: MeasureUnit | None = Field(
        default=None,
        description="Amount or price are for each of this unit of measure. Default: for each unit "
        "sold.",
    )
    choose: Literal["cheapest", "dearest"] = Field(
        default="dearest",
        description="Which units are reduced where limits.per_basket.units are fewer.",
    )

    @model_validator(mode="after")
    def check(self) -> "Discount":
        """Ask for one reward."""
        ask_for_one(self, ("percent", "amount", "price", "steps"), "the discount")
        check_steps(self.steps or [])
        kinds = {step.reward for step in self.steps or []}
        if self.per is not None and (self.percent is not None or "percent" in kinds):
            fail("a percentage is by no measure", "remove 'per'", at="per")
        return self


class Buy(Part):
    """What must be bought at its own price."""

    count: Units = Field(description="How many units.")
    of: Selector = Field(description="Which products.")


class Get(Part):
    """What gets cheaper once enough is bought."""

    count: Units = Field(description="How many units.")
    of: Selector | None = Field(
        default=None, description="Which products, when not those of `buy`."
    )
    same: Flag | None = Field(
        default=None, description="true: the products of `buy`; the cheapest units are reduced."
    )
    percent: Percent | None = Field(default=None, description="Percent off; 100 is free.")
    amount: Money | None = Field(default=None, description="Money off each unit.")
    price: Money | None = Field(default=None, description="The unit price.")
    choose: Literal["cheapest", "dearest"] | None = Field(
        default=None,
        description="Which units are reduced. Default: cheapest of the same products, dearest of "
        "others.",
    )

    @model_validator(mode="after")
    def check(self) -> "Get":
        """Ask for one reward and one group."""
        ask_for_one(self, ("percent", "amount", "price"), "'get'")
        if (self.of is None) == (self.same is not True):
            fail("'get' must say which products", "give either 'of: SELECTOR' or 'same: true'")
        return self


Buys = Annotated[
    list[Buy],
    BeforeValidator(listed),
    Field(min_length=1, max_length=OFFER_SLOTS_MAX - 1),
    OneAllowed(),
]


class BuyGet(Part):
    """Buy some, get others cheaper."""

    buy: Buys = Field(
        description="What must be bought; several: units of each, and `get` says `of`."
    )
    get: Get = Field(description="What is then reduced.")

    @model_validator(mode="after")
    def check(self) -> "BuyGet":
        """Ask for one group where the same products are reduced."""
        if self.get.same and len(self.buy) > 1:
            fail("'same' is not clear", "say with 'of' which products are reduced", at="get")
        return self


class NthItem(Part):
    """Every nth unit cheaper."""

    each: Annotated[Units, Field(ge=2)] = Field(
        description="2: every second unit; of each so many the cheapest is reduced."
    )
    of: Selector = Field(description="Which products.")
    percent: Percent | None = Field(default=None, description="Percent off; 100 is free.")
    amount: Money | None = Field(default=None, description="Money off the unit.")
    price: Money | None = Field(default=None, description="The unit price.")

    @model_validator(mode="after")
    def check(self) -> "NthItem":
        """Ask for one reward."""
        ask_for_one(self, ("percent", "amount", "price"), "the nth item")
        return self


class GroupSlot(Part):
    """One place of a bundle."""

    count: Units = Field(default=1, description="How many units.")
    of: Selector = Field(description="Which products.")


class GroupPrice(Part):
    """Some units together for a price."""

    count: Units | None = Field(default=None, description="How many units of one group.")
    of: Selector | None = Field(default=None, description="Which products make the group.")
    slots: list[GroupSlot] | None = Field(
        default=None,
        min_length=1,
        max_length=OFFER_SLOTS_MAX,
        description="The places of a bundle or meal deal, instead of `count` and `of`.",
    )
    price: Money | None = Field(default=None, description="What all of them cost together.")
    percent: Percent | None = Field(default=None, description="Percent off each of them.")
    amount: Money | None = Field(default=None, description="Money off all of them together.")

    @model_validator(mode="after")
    def check(self) -> "GroupPrice":
        """Ask for one way to say the group, and one reward."""
        ask_for_one(self, ("price", "percent", "amount"), "the group")
        if self.slots is None and (self.count is None or self.of is None):
            fail("the group is not complete", "give 'count' and 'of', or 'slots'")
        if self.slots is not None and (self.count is not None or self.of is not None):
            fail("the group is said twice", "keep 'slots', or 'count' and 'of'", at="slots")
        return self

    @property
    def places(self) -> list[GroupSlot]:
        """The places, also of a plain group."""
        if self.slots is not None:
            return self.slots
        return [GroupSlot(count=self.count or 1, of=self.of or ALL)]


class Coverage(Part):
    """Different products together."""

    products: Units = Field(description="How many different products, one unit of each.")
    of: Selector = Field(description="Of which products.")
    price: Money | None = Field(
        default=None, description="What all of them cost together; with cheapest: what it costs."
    )
    percent: Percent | None = Field(default=None, description="Percent off.")
    amount: Money | None = Field(default=None, description="Money off.")
    choose: Literal["all", "cheapest"] = Field(
        default="all", description="What is reduced: all of them, or the cheapest, once a basket."
    )

    @model_validator(mode="after")
    def check(self) -> "Coverage":
        """Ask for one reward."""
        ask_for_one(self, ("price", "percent", "amount"), "the coverage")
        if self.choose == "cheapest" and not 2 <= self.products <= OFFER_SLOTS_MAX:
            mend = f"write 2 to {OFFER_SLOTS_MAX}, or remove 'choose'"
            fail("the cheapest of so many is not to be had", mend, at="products")
        return self


class RowPrices(Part):
    """A price for each product, from a file."""

    file: str = Field(
        min_length=1,
        description="CSV file beside this one: item, price, and where wanted zone (empty: every "
        "price zone) and limit (most units a basket of that product).",
    )


class ThresholdReward(Part):
    """What a reached threshold gives."""

    percent: Percent | None = Field(default=None, description="Percent off each unit of `of`.")
    amount: Money | None = Field(
        default=None, description="Money off, shared over the units of `of`."
    )
    each: Money | None = Field(default=None, description="Money off each unit of `of`.")
    price: Money | None = Field(
        default=None, description="What the rewarded units of `of` cost together."
    )
    gift: Selector | None = Field(default=None, description="Products of which one is free.")
    of: Selector | None = Field(
        default=None, description="Which products it is taken off. Default: all."
    )
    units: Count | None = Field(
        default=None, description="Most units rewarded. Default: all; of a gift 1."
    )
    choose: Literal["cheapest", "dearest"] = Field(
        default="dearest", description="Which units, where there are more than `units`."
    )

    @model_validator(mode="after")
    def check(self) -> "ThresholdReward":
        """Refuse two ways to say the products."""
        if self.gift is not None and self.of is not None:
            fail("a gift says itself which products", "remove 'of'", at="of")
        return self

    @property
    def products(self) -> Selector:
        """Which products it is taken off."""
        return self.gift or self.of or ALL

    @property
    def most_units(self) -> int:
        """Most units rewarded; 0 without a ceiling."""
        return self.units or (1 if self.gift is not None else 0)


class Threshold(Reached):
    """Spend or buy so much, get something off."""

    of: Selector = Field(default=ALL, description="Which products count. Default: all.")
    steps: Steps | None = Field(
        default=None, description="Instead of one threshold: what is given from each on."
    )
    reward: ThresholdReward = Field(
        default=ThresholdReward(), description="What is given, unless steps say so, and off what."
    )

    @model_validator(mode="after")
    def check(self) -> "Threshold":
        """Ask for one measure and one reward."""
        keys = ("percent", "amount", "each", "price", "gift")
        if self.steps is None:
            self.check_base("the threshold")
            ask_for_one(self.reward, keys, "the reward")
            return self
        if any(getattr(self, base) is not None for base in BASES):
            fail("the threshold is said twice", "keep 'steps', or one threshold", at="steps")
        if any(getattr(self.reward, key) is not None for key in keys):
            fail("the reward is said twice", "keep the rewards of the steps", at="reward")
        check_steps(self.steps)
        return self


class Redeem(Part):
    """Paying with points, where the basket asks for it."""

    purse: Id = Field(description="Purse of the program that the points come from.")
    points: Points = Field(description="So many points ...")
    pays: Money | None = Field(default=None, description="... pay so much money.")
    steps: Flag = Field(default=False, description="true: in whole steps of `points` only.")
    item: Flag = Field(default=False, description="true: `points` pay one unit, whatever it costs.")
    of: Selector = Field(default=ALL, description="Which products they pay. Default: all.")

    @model_validator(mode="after")
    def check(self) -> "Redeem":
        """Ask for one way to pay."""
        if self.item == (self.pays is not None):
            fail("what points pay must be said once", "give 'pays: MONEY' or 'item: true'")
        if self.item and self.steps:
            fail("items have no steps", "remove it", at="steps")
        if self.pays == 0:
            fail("the points pay nothing", "give an amount above 0, such as 1.00", at="pays")
        return self


PriceLevels = Annotated[
    list[Literal["cash", "credit"]],
    BeforeValidator(listed),
    Field(min_length=1),
    WithJsonSchema(one_or_more({"type": "string", "enum": ["cash", "credit"]})),
]


class Fuel(Part):
    """Money off each unit of fuel; with points, where the basket asks to pay with them."""

    amount: UnitMoney = Field(
        description="Money off each `unit`, with three decimals more than the currency has."
    )
    unit: Literal["litre", "gallon", "kilogram", "kilowatt_hour"] = Field(
        description="The unit in which it is sold: only fills measured in it count."
    )
    floor: UnitMoney | None = Field(
        default=None,
        description="The price of a unit below which this offer does not go, after all offers for "
        "fuel before it. Must be given.",
    )
    grades: Names | None = Field(
        default=None, description="Grades, as the till names them: any of them. Default: all."
    )
    levels: PriceLevels | None = Field(
        default=None, description="Price levels: cash, credit. Default: both."
    )
    most: Thousandths | None = Field(
        default=None, description="Most units of measure in one basket. Default: no ceiling."
    )
    of: Selector = Field(default=ALL, description="Which products. Default: all.")
    purse: Id | None = Field(
        default=None, description="Purse of the program: each `points` of it give `amount` once."
    )
    points: Points | None = Field(default=None, description="So many points ... pay one amount.")
    consume: Literal["whole_step", "by_volume"] | None = Field(
        default=None,
        description="What a fill of less than `most` takes: the points of whole steps, or only "
        "their share by volume, rounded up. Default: whole_step.",
    )

    @model_validator(mode="after")
    def check(self) -> "Fuel":
        """Ask for a floor, for both or none of purse and points, and for what a share is of."""
        if self.floor is None:
            fail(
                "the fuel offer has no floor",
                "add floor: the lowest price of a unit, such as floor: 0.999",
            )
        if (self.purse is None) != (self.points is None):
            fail("purse and points go together", "give both, or neither")
        if self.consume is not None and self.purse is None:
            fail("consume is of points", "take consume away, or give purse and points")
        if self.consume == "by_volume" and self.most is None:
            fail("by_volume needs the volume of a whole step", "add most, such as most: 20")
        return self


class TenderRule(Part):
    """Which means of payment; what is given must all fit."""

    kinds: TenderKinds | None = Field(
        default=None, description="Kinds, as in the contract's enum TenderKind: any of them."
    )
    schemes: Names | None = Field(
        default=None, description="Card schemes, as the till names them: any of them."
    )
    bins: DigitLists | None = Field(
        default=None, description="First digits of the card's number: any of them."
    )

    @model_validator(mode="after")
    def check(self) -> "TenderRule":
        """Ask for something."""
        if self.kinds is None and self.schemes is None and self.bins is None:
            fail("no means of payment is named", "give 'kinds', 'schemes' or 'bins'")
        return self


class TenderOffer(Part):
    """Something off for paying in a certain way."""

    with_: TenderRule = Field(alias="with", description="Which means of payment.")
    spend: Money = Field(
        default=0, description="Money that it must pay of the units of `of`. Default: any."
    )
    percent: Percent | None = Field(default=None, description="Percent off what it pays of them.")
    amount: Money | None = Field(default=None, description="Money off, at most what it pays.")
    of: Selector = Field(default=ALL, description="Which products it pays. Default: all.")

    @model_validator(mode="after")
    def check(self) -> "TenderOffer":
        """Ask for one reward."""
        ask_for_one(self, ("percent", "amount"), "the tender offer")
        return self


class Scanned(Part):
    """Coupons of GS1 (8110): what is to be bought and what is taken off stands in their code."""

    coupons: Literal["manufacturer", "store", "match"] = Field(
        default="manufacturer",
        description="Which: a manufacturer's, or those of the store; match takes off as much again "
        "as a manufacturer's coupon, where that does not forbid it.",
    )
    most: Money | None = Field(
        default=None, gt=0, description="match: money off for one coupon at most."
    )
    of: Selector = Field(default=ALL, description="Which products may serve. Default: all.")
    families: Name | None = Field(
        default=None,
        description="CSV file beside the offer: columns item, family (000 to 999). Products "
        "without one serve coupons for any family only.",
    )
    retailers: list[Name] = Field(
        default=[],
        max_length=RETAILERS_MAX,
        description="Our company prefixes or location numbers. A coupon that names another "
        "retailer is refused.",
    )
    above_price: Literal["reduce", "refuse"] = Field(
        default="reduce",
        description="A value above the price: reduce takes the price off, refuse nothing.",
    )

    @model_validator(mode="after")
    def check(self) -> "Scanned":
        """Ask for the ceiling of a match, and for nothing that it has no use for."""
        if (self.coupons == "match") != (self.most is not None):
            fail("a ceiling belongs to a match, and a match needs one", "give 'most' with 'match'")
        if self.coupons == "match" and (self.families or self.retailers):
            fail("a match looks at coupons that were taken", "remove 'families' and 'retailers'")
        return self

    @field_validator("retailers")
    @classmethod
    def check_retailers(cls, value: list[str]) -> list[str]:
        """Refuse what is no number of a company or location."""
        for text in value:
            if not (text.isascii() and text.isdigit() and 7 <= len(text) <= 13):
                fail(f"'{text}' names no retailer", "write 7 to 13 digits")
        return value


class Earn(Part):
    """Points for money."""

    purse: Id = Field(description="Purse of the program that the points go into.")
    points: Points = Field(description="Points for each `per`.")
    per: Money = Field(description="Money for which `points` are earned.")
    of: Selector = Field(default=ALL, description="Which products earn. Default: all.")
    valid_days: Count | None = Field(
        default=None,
        description="Days after which these points expire. Default: as the purse says.",
    )

    @field_validator("per")
    @classmethod
    def check_per(cls, value: int) -> int:
        """Refuse points for nothing."""
        if value == 0:
            fail("points for each 0", "give an amount above 0, such as 1.00")
        return value


class Bonus(Part):
    """Points for units, or for a visit."""

    purse: Id = Field(description="Purse of the program that the points go into.")
    points: Points = Field(description="Points each time.")
    of: Selector = Field(default=ALL, description="Which products count. Default: all.")
    count: Count | None = Field(default=None, description="For each so many units. Default: 1.")
    once_a_visit: Flag = Field(
        default=False, description="true: once a basket, when at least one unit fits."
    )
    valid_days: Count | None = Field(
        default=None,
        description="Days after which these points expire. Default: as the purse says.",
    )

    @model_validator(mode="after")
    def check(self) -> "Bonus":
        """Ask for one measure."""
        if self.once_a_visit and self.count is not None:
            fail("the bonus is for units and for a visit", "keep 'count' or 'once_a_visit'")
        return self


class Issue(Part):
    """Coupons for a later basket, printed with the receipt: each good once, whoever brings it."""

    coupon: Id = Field(
        description="Offer that they open; it says coupon: {serial: true, issued: true}, and they "
        "have the first of its codes."
    )
    valid_days: Count = Field(description="Days after the business date on which they are good.")
    of: Selector = Field(default=ALL, description="Which products count. Default: all.")
    count: Count | None = Field(default=None, description="One for each so many units. Default: 1.")
    once_a_visit: Flag = Field(
        default=False, description="true: one a basket, when at least one unit fits."
    )

    @model_validator(mode="after")
    def check(self) -> "Issue":
        """Ask for one measure."""
        if self.once_a_visit and self.count is not None:
            fail("coupons are for units and for a visit", "keep 'count' or 'once_a_visit'")
        return self


class Referral(Part):
    """Points for whoever referred the member, at the first purchase that fits."""

    purse: Id = Field(description="Purse of the program that the points go into.")
    points: Points = Field(description="Points for whoever referred the member, once for good.")
    of: Selector = Field(default=ALL, description="Which products count. Default: all.")


class Multiply(Part):
    """More of the points that `earn` offers give."""

    purse: Id = Field(description="Purse whose earn offers are multiplied.")
    by: Factor = Field(description="Factor: 2 doubles.")
    of: Selector = Field(default=ALL, description="On which products. Default: all.")


# ---------------------------------------------------------------- conditions --------------------


class Coupon(Part):
    """Which coupons open an offer."""

    codes: Names = Field(description="Codes that the till may send. A code opens one offer.")
    serial: Flag = Field(
        default=False, description="true: each has a serial number and is used once."
    )
    issued: Flag = Field(
        default=False,
        description="true: only those that a sale issued, as an offer with `issue` says.",
    )
    kind: Literal["manufacturer", "store"] | None = Field(
        default=None,
        description="Whose coupon it is: a unit serves one of a manufacturer and one of the store.",
    )
    above_price: Literal["reduce", "refuse"] = Field(
        default="reduce",
        description="An amount above the price: reduce takes the price off, refuse nothing.",
    )

    @model_validator(mode="after")
    def check(self) -> "Coupon":
        """Ask for serials where sales issue them."""
        if self.issued and not self.serial:
            fail("coupons that sales issue have serials", "add serial: true", at="issued")
        return self


class Hours(Part):
    """A span of the day."""

    from_: ClockBegin = Field(alias="from", description="Begin, store-local, such as 08:30.")
    until: Clock = Field(
        description="End, not included; 24:00 is midnight. Not after `from`: runs past midnight."
    )


class When(Part):
    """When an offer runs, store-local."""

    from_: From | None = Field(
        default=None,
        alias="from",
        description="First date, or first minute as 2026-01-31T08:00, store-local.",
    )
    until: Until | None = Field(
        default=None,
        description="Last date, which is included to its end; or a minute as 2026-01-31T22:00, "
        "which is not included. Store-local.",
    )
    weekdays: Weekdays | None = Field(
        default=None, description="Days of the week. Default: every day."
    )
    hours: list[Hours] | None = Field(
        default=None,
        min_length=1,
        max_length=HOURS_MAX,
        description="Spans of the day. Default: the whole day.",
    )
    blackout: Days | None = Field(default=None, description="Dates on which it does not run.")


class Where(Part):
    """In which stores and through which channels."""

    stores: Names | None = Field(default=None, description="Store ids.")
    regions: Names | None = Field(default=None, description="Regions, as in the stores feed.")
    banners: Names | None = Field(default=None, description="Banners, as in the stores feed.")
    franchises: Names | None = Field(default=None, description="Franchises, as in the stores feed.")
    except_stores: Names | None = Field(default=None, description="Store ids that are left out.")
    except_regions: Names | None = Field(default=None, description="Regions that are left out.")
    except_banners: Names | None = Field(default=None, description="Banners that are left out.")
    except_franchises: Names | None = Field(
        default=None, description="Franchises that are left out."
    )
    channels: Ids | None = Field(default=None, description="Channels of the program. Default: all.")


class SegmentRule(Part):
    """Which segments a member must and must not be in."""

    any_: Ids | None = Field(default=None, alias="any", description="In at least one of these.")
    all_: Ids | None = Field(default=None, alias="all", description="In each of these.")
    none_: Ids | None = Field(default=None, alias="none", description="In none of these.")


class ProgressRule(Part):
    """How far a member must have come before this basket; all that is given must hold."""

    of: Id = Field(description="Progress of the program.")
    nth: Count | None = Field(
        default=None, description="This is the nth: the value is one below; 1 is the first."
    )
    every: Count | None = Field(default=None, description="This is each nth.")
    at_least: Points | None = Field(default=None, description="The value is not below this.")
    below: Points | None = Field(default=None, description="The value is below this.")

    @model_validator(mode="after")
    def check(self) -> "ProgressRule":
        """Refuse a rule that asks nothing, or twice."""
        bounds = (self.at_least, self.below)
        if self.nth is None and self.every is None and bounds == (None, None):
            fail("the progress is asked nothing", "give nth, every, at_least or below")
        if self.nth is not None and (self.every is not None or bounds != (None, None)):
            fail("nth says it all", "remove the others, or nth", at="nth")
        return self


class Who(Part):
    """Which customers."""

    members: Literal["everyone", "members", "non_members"] = Field(
        default="everyone",
        description="everyone, members, or non_members. Any other condition here, a limit per "
        "member, household or card, a wallet and every earn offer ask for a member.",
    )
    tiers: Ids | None = Field(default=None, description="Tiers of the program: any of them.")
    segments: SegmentRule | None = Field(default=None, description="Segments of the program.")
    progress: ProgressRule | None = Field(
        default=None, description="How far a member must have come, such as the third visit."
    )
    staff: Flag = Field(default=False, description="true: staff only.")
    business: Flag = Field(default=False, description="true: business accounts only.")
    consent: Flag = Field(
        default=False, description="true: members who consented to marketing only."
    )
    referred: Flag = Field(default=False, description="true: members whom another referred only.")
    birthday: Literal["day", "month"] | None = Field(
        default=None, description="day: on the member's birthday; month: in the month of it."
    )

    @property
    def asks_for_member(self) -> bool:
        """True when nobody but a member can meet it."""
        asks = (self.tiers, self.segments, self.birthday, self.progress)
        flags = (self.staff, self.business, self.consent, self.referred)
        return any(ask is not None for ask in asks) or any(flags)

    @model_validator(mode="after")
    def check(self) -> "Who":
        """Refuse non-members with a condition on members."""
        if self.members == "non_members" and self.asks_for_member:
            fail(
                "non-members cannot meet a condition on members",
                "remove the other conditions, or write members: members",
                at="members",
            )
        return self


class BasketLimit(Part):
    """What one basket may take of an offer."""

    times: Count | None = Field(
        default=None, description="Applications. For a threshold with an amount, default 1."
    )
    units: Count | None = Field(default=None, description="Units, for discount and row_prices.")
    money: Money | None = Field(default=None, description="Money off.")


class Floor(Part):
    """Prices below which an offer takes no unit; beside them the legal minimum always holds."""

    cost: Flag = Field(default=False, description="true: the cost of the product.")
    margin_percent: Percent | None = Field(
        default=None, description="The price of which the cost leaves so many percent."
    )

    @field_validator("margin_percent")
    @classmethod
    def check_margin(cls, value: int | None) -> int | None:
        """Refuse a margin that no price has."""
        if value == 10_000:
            fail("no price has a margin of 100 percent", "write less than 100")
        return value


class UnitLimit(Part):
    """What one unit may be reduced by."""

    money: Money = Field(description="Money off one unit.")

    @field_validator("money")
    @classmethod
    def check_money(cls, value: int) -> int:
        """Refuse a limit that leaves nothing."""
        if value == 0:
            fail("nothing could be taken off", "give an amount above 0")
        return value


class ProductLimit(Part):
    """What one basket may take of an offer for one product."""

    units: Count | None = Field(default=None, description="Units of one product code.")
    money: Money | None = Field(default=None, description="Money off the units of one code.")

    @model_validator(mode="after")
    def check(self) -> "ProductLimit":
        """Ask for a limit that leaves something."""
        if self.units is None and self.money is None:
            fail("the limit says nothing", "give 'units', 'money' or both")
        if self.money == 0:
            fail("nothing could be taken off", "give an amount above 0", at="money")
        return self


class WindowLimit(Part):
    """What may be taken in a span of time, by business date."""

    uses: Count | None = Field(
        default=None, description="Applications; one a basket for discounts."
    )
    units: Count | None = Field(default=None, description="Rewarded units.")
    money: Money | None = Field(default=None, description="Money off.")
    spend: Money | None = Field(
        default=None,
        description="What the rewarded units cost: beyond it they keep their price, as for staff "
        "who may buy so much a month. For offers on units.",
    )
    window: Window = Field(
        default="campaign",
        description="campaign (for good), day, week (from Monday), month or year.",
    )

    @model_validator(mode="after")
    def check(self) -> "WindowLimit":
        """Ask for one measure."""
        ask_for_one(self, ("uses", "units", "money", "spend"), "the limit")
        return self


WindowLimits = Annotated[
    list[WindowLimit], BeforeValidator(listed), Field(min_length=1, max_length=8), OneAllowed()
]


class Limits(Part):
    """How much of an offer may be taken."""

    per_basket: BasketLimit | None = Field(default=None, description="In one basket.")
    whole: Flag = Field(
        default=False, description="true: what a limit of money would cut is not given at all."
    )
    per_unit: UnitLimit | None = Field(default=None, description="Off one unit.")
    per_product: ProductLimit | None = Field(
        default=None, description="In one basket of one product; for discount and threshold."
    )
    per_member: WindowLimits | None = Field(default=None, description="By one member.")
    per_household: WindowLimits | None = Field(default=None, description="By one account group.")
    per_card: WindowLimits | None = Field(default=None, description="By one card.")
    per_store: WindowLimits | None = Field(default=None, description="In one store.")
    overall: WindowLimits | None = Field(default=None, description="By all together.")


class Funding(Part):
    """Who pays a share of the discount."""

    funder: Name = Field(description="Name in the settlement report.")
    percent: Percent = Field(description="Share; the shares of an offer make 100.")
    settlement: Settlement = Field(
        default="price_reduction",
        description="price_reduction (the seller bears it), third_party (somebody pays the "
        "seller), tender (counts as payment). Tax differs.",
    )


class Offer(Part):
    """One promotion: who, where, when, what for what, how often, and who pays."""

    id: Id = Field(description="Stable name. Wallets and limits count by it: never reuse one.")
    version: Count = Field(default=1, description="Number of this wording, for reports.")
    name: Texts | None = Field(default=None, description="Name, a text or texts by locale.")
    receipt: Texts | None = Field(default=None, description="What the receipt says.")
    cashier: Texts | None = Field(default=None, description="What the cashier sees.")
    near_miss: Texts | None = Field(
        default=None, description="What is said when little is missing."
    )
    layer: LayerName | None = Field(
        default=None,
        description="Step of the decision: item, basket, tender, earn. Default: by the mechanic.",
    )
    class_: int = Field(
        default=0,
        alias="class",
        strict=True,
        ge=-1_000_000,
        le=1_000_000,
        description="Priority class in its layer; lower classes run first.",
    )
    priority: int = Field(
        default=0,
        strict=True,
        ge=-1_000_000,
        le=1_000_000,
        description="Settles ties: higher wins.",
    )
    stackable: Flag = Field(
        default=False, description="true: applies on top of others and takes no unit from them."
    )
    chosen: Flag = Field(default=False, description="true: only when the basket names it.")
    wallet: Flag = Field(default=False, description="true: only when the member's wallet holds it.")
    coupon: Coupon | None = Field(default=None, description="Only when one of these is shown.")
    control_percent: Percent = Field(
        default=0, description="Share of members who never get it, to measure what it does."
    )
    rounding: Rounding | None = Field(
        default=None,
        description="half_away (default), floor or ceil to the cent. Earn offers: to the point, "
        "default as the program says.",
    )
    return_allocation: ReturnPolicy | None = Field(
        default=None, description="How a partial return is refunded. Default: as the program says."
    )
    base: Literal["current", "initial"] = Field(
        default="current",
        description="Percentages and thresholds look at what earlier offers left (current), or at "
        "the price before any (initial).",
    )
    floor_price: Money = Field(default=0, description="No unit goes below this price.")
    floor: Floor = Field(
        default=Floor(), description="No unit goes below its cost or the price of a margin."
    )
    reshare: Flag = Field(
        default=False,
        description="true: what a unit cannot give, down to its floor, is taken off the others.",
    )
    exclusive: Id | None = Field(
        default=None, description="Of the offers with one name here at most one applies."
    )
    stack_after: Ids | None = Field(
        default=None,
        max_length=64,
        description="Offers of the same layer: it competes after those of its class, and may take "
        "units that only they took.",
    )
    reduced_items: Literal["in", "out"] = Field(
        default="in",
        description="out: leaves units alone that are reduced at the shelf or the till.",
    )
    price_sources: PriceSources | None = Field(
        default=None, description="Only units whose price comes from one of these."
    )
    when: When = Field(default=When(), description="When it runs. Default: always.")
    where: Where = Field(default=Where(), description="Where it runs. Default: everywhere.")
    who: Who = Field(default=Who(), description="Who may have it. Default: everyone.")
    requires: Needs | None = Field(
        default=None, description="What the basket must hold before any discount; all of it."
    )
    limits: Limits = Field(
        default=Limits(), description="How much may be taken. Default: no limit."
    )
    funding: list[Funding] | None = Field(
        default=None,
        min_length=1,
        max_length=16,
        description="Who pays. Default: the retailer, by price reduction.",
    )
    discount: Discount | None = Field(default=None, description="Off each unit.")
    buy_get: BuyGet | None = Field(default=None, description="Buy some, get others cheaper.")
    nth_item: NthItem | None = Field(default=None, description="Every nth unit cheaper.")
    group_price: GroupPrice | None = Field(
        default=None, description="Some units for a price together."
    )
    coverage: Coverage | None = Field(default=None, description="Different products together.")
    row_prices: RowPrices | None = Field(
        default=None, description="A price for each product, by file."
    )
    threshold: Threshold | None = Field(
        default=None, description="Spend so much, get something off."
    )
    redeem: Redeem | None = Field(
        default=None, description="Paying with points, where the basket asks for it."
    )
    fuel: Fuel | None = Field(
        default=None, description="Money off each unit of fuel, as part of the price or for points."
    )
    tender: TenderOffer | None = Field(
        default=None, description="Something off for paying in a certain way."
    )
    waiver: Name | None = Field(
        default=None,
        description="By which waiver an offer may depend on a benefit tender of the program.",
    )
    scanned: Scanned | None = Field(
        default=None, description="Coupons that say themselves what they give."
    )
    earn: Earn | None = Field(default=None, description="Points for money.")
    bonus: Bonus | None = Field(default=None, description="Points for units, or for a visit.")
    multiply: Multiply | None = Field(
        default=None, description="More points than the earn offers give."
    )
    issue: Issue | None = Field(default=None, description="Coupons for a later basket.")
    referral: Referral | None = Field(
        default=None, description="Points for whoever referred the member."
    )

    @model_validator(mode="after")
    def check(self) -> "Offer":
        """Ask for one mechanic."""
        ask_for_one(self, MECHANICS, f"offer '{self.id}'")
        return self

    @property
    def mechanic(self) -> str:
        """The key of the mechanic that it has."""
        return next(name for name in MECHANICS if getattr(self, name) is not None)

    @property
    def layer_name(self) -> str:
        """The layer, also when it follows from the mechanic."""
        if self.layer is not None:
            return self.layer
        usual: dict[str, LayerName] = {
            "threshold": "basket", "redeem": "redemption", "tender": "tender",
            "earn": "earn", "bonus": "earn", "multiply": "earn",
            "issue": "earn", "referral": "earn",
        }  # fmt: skip
        if self.fuel is not None and self.fuel.purse is not None:
            return "redemption"
        return usual.get(self.mechanic, "item")

    @property
    def for_members_only(self) -> bool:
        """True when nobody but a member can have it: written so, or by rule E7."""
        return (
            self.who.members == "members"
            or self.who.asks_for_member
            or self.wallet
            or self.limits.per_member is not None
            or self.limits.per_household is not None
            or self.limits.per_card is not None
            or (self.layer_name in ("earn", "redemption") and self.issue is None)
        )


# ---------------------------------------------------------------- the program -------------------


class Currency(Part):
    """The money of the program."""

    code: str = Field(pattern="^[A-Z]{3}$", description="ISO 4217 letters, such as USD.")
    exponent: int = Field(
        default=2,
        strict=True,
        ge=0,
        le=4,
        description="Decimals: 2 for cents, 0 where there are none.",
    )


class Worth(Part):
    """What points count for in the search of the best deal."""

    points: Points = Field(description="So many points ...")
    money: Money = Field(
        le=1_000_000_000, description="... count as so much money, at most 10^9 minor units."
    )


class Expiry(Part):
    """When points of a purse expire; exactly one way."""

    days: Count | None = Field(default=None, description="So many days after the business date.")
    rolling_days: Count | None = Field(
        default=None,
        description="So many days after the last sale that earned points of this purse: each such "
        "sale keeps all of them.",
    )
    month_end: int | None = Field(
        default=None,
        strict=True,
        ge=0,
        le=1200,
        description="At the end of the month so many months after; 0 is the same month.",
    )
    on: Days | None = Field(
        default=None, max_length=1, description="On a fixed date, whose end is last."
    )

    @model_validator(mode="after")
    def check(self) -> "Expiry":
        """Ask for one way."""
        ask_for_one(self, ("days", "rolling_days", "month_end", "on"), "the expiry")
        return self


class Purse(Part):
    """One currency of an account."""

    number: int = Field(
        strict=True, ge=1, le=PURSES_MAX, description="Stable number; never reuse one."
    )
    decimals: int = Field(default=0, strict=True, ge=0, le=6, description="Decimals of its points.")
    expires: Expiry | None = Field(
        default=None, description="When its points expire. Default: never."
    )
    pending_days: int = Field(
        default=0, strict=True, ge=0, le=3650, description="Days before points can be spent."
    )
    awaits_confirmation: bool = Field(
        default=False,
        strict=True,
        description="Points wait until their sale is confirmed, for `pending_days` at most.",
    )
    worth: Worth | None = Field(
        default=None, description="What its points count for when offers compete. Default: nothing."
    )


class PurseReward(Part):
    """Points for a goal."""

    purse: Id = Field(description="Purse of the program that the points go into.")
    points: Points = Field(description="Points each time that the goal is reached.")


class ReachedBy(Part):
    """What leads to a tier."""

    progress: Id = Field(description="Progress of the program.")
    goal: Points = Field(description="How far, in the unit of that progress.")
    grace_days: int = Field(
        default=0,
        strict=True,
        ge=0,
        le=366,
        description="Days for which it is held after the window in which it was reached.",
    )


class Tier(Part):
    """A level of membership."""

    number: int = Field(
        strict=True, ge=0, lt=TIERS_MAX, description="Stable number; 0 is where members start."
    )
    reached_by: ReachedBy | None = Field(
        default=None, description="What leads to it. Default: the members feed alone says."
    )


class Numbered(Part):
    """Something that has a stable number only."""

    number: int = Field(
        strict=True, ge=0, lt=SEGMENTS_MAX, description="Stable number, from 0; never reuse one."
    )


class Channel(Part):
    """A channel of the contract under the retailer's own name."""

    number: int = Field(
        strict=True, ge=1, le=len(CHANNELS), description="Number of the contract's enum Channel."
    )


class IssuerRange(Part):
    """Identifier values that may open a provisional account."""

    kind: IdentifierKind = Field(default="card", description="Kind of identifier.")
    prefix: Prefix = Field(
        min_length=1, max_length=22, pattern="^[0-9A-Za-z]+$", description="How values begin."
    )
    length: int = Field(strict=True, ge=1, le=256, description="Length of a value.")
    length_max: int | None = Field(
        default=None, strict=True, ge=1, le=256, description="Greatest length. Default: `length`."
    )


class Progress(Part):
    """Counts towards a goal: behind stamps, challenges, nth visits and tiers."""

    measure: Measure = Field(description="spend, visits, units or points.")
    of: Selector = Field(default=ALL, description="Which products count. Default: all.")
    scope: Literal["member", "household"] = Field(
        default="member", description="Who gathers: a member, or an account group together."
    )
    window: Literal["campaign", "day", "week", "month", "year", "rolling"] = Field(
        default="campaign",
        description="Span of time, by business date, in which it counts; rolling: `months` of it.",
    )
    months: int | None = Field(
        default=None,
        strict=True,
        ge=1,
        le=36,
        description="For rolling: the calendar months that count, the present one among them.",
    )
    purse: Id | None = Field(
        default=None, description="For points: the purse of the program whose points count."
    )
    goal: Points | None = Field(
        default=None, description="What must be reached. Default: tiers say."
    )
    repeats: Flag = Field(default=False, description="true: begins again at the goal.")
    reward: Id | None = Field(
        default=None,
        description="Offer that is granted at the goal, to be used once; it says wallet: true.",
    )
    reward_points: PurseReward | None = Field(
        default=None, description="Points that are given at the goal."
    )

    @model_validator(mode="after")
    def check(self) -> "Progress":
        """Ask for a goal where something happens at it, and for what the window asks."""
        rewards = (self.reward, self.reward_points)
        if (self.repeats or any(part is not None for part in rewards)) and self.goal is None:
            fail("there is no goal to begin again or be rewarded at", "add 'goal'")
        if self.goal is not None and self.window == "rolling":
            fail("a rolling window has no goal of its own", "let a tier ask for it", at="goal")
        if (self.window == "rolling") != (self.months is not None):
            fail("months and a rolling window go together", "write window: rolling and months")
        if (self.measure == "points") != (self.purse is not None):
            fail("a purse and measure: points go together", "give both, or neither")
        if self.measure == "points" and not self.of.is_all:
            fail("points come from the whole basket", "write of: all, or remove it", at="of")
        return self


class BasketDiscount(Part):
    """What all discounts of a basket may come to together; the lesser where both are given."""

    money: Money | None = Field(default=None, description="Money.")
    percent: Percent | None = Field(
        default=None, description="Percent of what the units for sale cost before any discount."
    )

    @model_validator(mode="after")
    def check(self) -> "BasketDiscount":
        """Ask for a ceiling that leaves something."""
        if self.money is None and self.percent is None:
            fail("the ceiling says nothing", "give 'money', 'percent' or both")
        for key in ("money", "percent"):
            if getattr(self, key) == 0:
                fail("no offer could take anything off", "write more, or stop the offers", at=key)
        return self


class WithoutReceipt(Part):
    """Goods that come back in a basket without their receipt."""

    allowed: bool = Field(default=True, description="Whether they come back at all.")
    most: Money | None = Field(
        default=None, description="Most that they refund in one basket. Default: no ceiling."
    )
    member: Literal["any", "required"] = Field(
        default="any", description="Whether a member must be known for it."
    )

    @model_validator(mode="after")
    def check(self) -> "WithoutReceipt":
        """Ask for one way of saying that nothing comes back."""
        if self.most == 0:
            fail("nothing could come back", "write allowed: false", at="most")
        return self


class Policies(Part):
    """Rules that hold for every offer that says nothing else."""

    returns: ReturnPolicy = Field(
        default="prorate",
        description="prorate refunds what was paid for a unit; reprice judges the kept items "
        "again and refunds the difference.",
    )
    claw_back: Literal["within_balance", "pending_only", "negative"] = Field(
        default="within_balance",
        description="How far points are taken back at a return: within the balance, pending "
        "points only, or to a negative balance.",
    )
    multiplier: Literal["highest", "additive", "compound"] = Field(
        default="highest", description="What several multipliers of one purse do to each other."
    )
    points_rounding: Rounding = Field(default="floor", description="How points are rounded.")
    basket_discount: BasketDiscount | None = Field(
        default=None, description="What all discounts of a basket may come to. Default: no ceiling."
    )
    hold_minutes: Count = Field(
        default=15, description="How long a total or a hold keeps what it holds, unless it says so."
    )
    expired_hold: Literal["refuse", "spend"] = Field(
        default="refuse",
        description="A sale that is to spend a hold which has ended by itself: refuse it, or spend "
        "what is still there. What is paid already is never refused.",
    )
    fuel: Literal["authorised", "any"] = Field(
        default="authorised",
        description="Which fills have offers for fuel: those that were authorised with them before "
        "fuelling, or any.",
    )
    return_days: Count = Field(default=60, description="Days in which goods come back.")
    claim_days: Annotated[int, Field(strict=True, ge=0, le=CLAIM_DAYS_MAX)] = Field(
        default=0,
        description="Days after its business date in which a sale without a member may be claimed "
        "by one. Default: never.",
    )
    returns_without_receipt: WithoutReceipt = Field(
        default=WithoutReceipt(),
        description="Goods that come back without their receipt, as lines of a basket. Default: "
        "they refund what the till sends.",
    )
    step_budget: Count = Field(
        default=STEP_BUDGET_DEFAULT,
        description="Steps that one decision may take before it is bounded.",
    )


class BenefitTenders(Part):
    """Which means of payment are benefits that the law lets no offer depend on."""

    kinds: list[TenderKind] = Field(
        default=["benefit_food", "benefit_cash", "benefit_goods"],
        description="Kinds. Default: benefit_food, benefit_cash, benefit_goods.",
    )
    schemes: list[Name] = Field(default=[], description="Schemes, as the till names them.")


class Exclusion(Part):
    """Goods that the law or the retailer keeps out of promotions."""

    of: Selector = Field(description="Which products; by category, flags or any other condition.")
    from_: Annotated[
        list[Literal["discount", "earn", "burn"]],
        BeforeValidator(listed),
        Field(min_length=1),
        WithJsonSchema(one_or_more({"type": "string", "enum": ["discount", "earn", "burn"]})),
    ] = Field(
        alias="from",
        description="From what: discount (no offer lowers it), earn (it earns nothing), burn "
        "(points do not pay for it).",
    )
    jurisdictions: Names | None = Field(
        default=None,
        description="In stores of which jurisdictions, as in the stores feed. Default: all.",
    )
    unless: Literal["age_verified"] | None = Field(
        default=None,
        description="A gate: `age_verified` lets in the lines for which the till checked an age. "
        "Default: none.",
    )


class CostBudget(Part):
    """What the program may cost at worst; `checklane offers check` refuses more."""

    product_candidates: Annotated[int, Field(strict=True, ge=1, le=CANDIDATES_MAX)] = Field(
        default=64,
        description="Offers that may compete for one product, at one time for one customer.",
    )
    basket_candidates: Annotated[int, Field(strict=True, ge=1, le=CANDIDATES_MAX)] = Field(
        default=CANDIDATES_MAX,
        description="Offers that may compete in a basket of basket_lines lines. The lanes refuse a "
        f"basket with more than {CANDIDATES_MAX}.",
    )
    basket_lines: Annotated[int, Field(strict=True, ge=1, le=BASKET_LINES_MAX)] = Field(
        default=40, description="Different products in the largest basket that must be decided."
    )
    component_offers: Count | None = Field(
        default=None,
        description="Offers that may hang together through shared products, at one time for one "
        "customer. Default: no limit.",
    )
    wallet_offers: Annotated[int, Field(strict=True, ge=1, le=WALLET_MAX)] = Field(
        default=64, description="Wallet offers that one member is taken to hold."
    )
    steps: Count | None = Field(
        default=None,
        description="Steps that a measured basket may take. Default: no limit for generated "
        "baskets, which the step budget bounds; given ones may not use that up.",
    )
    decision_us: Count | None = Field(
        default=None,
        description="Microseconds that deciding a basket of basket_lines lines may take, as steps, "
        "candidates and lines are reckoned. Default: the configuration's program_decision_us.",
    )
    table_mib: Count | None = Field(
        default=None,
        description="Mebibytes of the compiled tables. Default: the configuration's program_mib.",
    )


class Program(Part):
    """The program file: money, purses, tiers, names and policies of one retailer."""

    program: Id = Field(description="Name of the program. A data directory serves one.")
    version: Count = Field(default=1, description="Number of this state, for reports.")
    semantics: int = Field(
        default=SEMANTICS_VERSION,
        strict=True,
        description="Version of the rules it was written for.",
    )
    locale: str = Field(
        default="en", pattern="^[a-z]{2,3}(-[A-Z]{2})?$", description="Locale of texts without one."
    )
    currency: Currency = Field(description="The money of every amount here.")
    purses: dict[Id, Purse] = Field(default={}, description="Purses by id.")
    tiers: dict[Id, Tier] = Field(default={}, description="Tiers by id.")
    segments: dict[Id, Numbered] = Field(default={}, description="Segments by id.")
    channels: dict[Id, Channel] = Field(
        default={name: Channel(number=number) for name, number in CHANNELS.items()},
        description="Names of channels. Default: store, self_checkout, mobile_scan, fuel, "
        "online_delivery, online_collect, kiosk, phone.",
    )
    issuer_ranges: list[IssuerRange] = Field(
        default=[], description="Unknown identifiers that open a provisional account."
    )
    progress: dict[Id, Progress] = Field(default={}, description="Counts towards goals, by id.")
    policies: Policies = Field(default=Policies(), description="Rules for all offers.")
    benefit_tenders: BenefitTenders = Field(
        default=BenefitTenders(),
        description="An offer that asks for one of these needs a waiver.",
    )
    exclusions: list[Exclusion] = Field(
        default=[],
        max_length=64,
        description="Goods that are kept out of discounts, earning or paying with points.",
    )
    cost: CostBudget = Field(
        default=CostBudget(), description="What the program may cost the lanes at worst."
    )

    @field_validator("semantics")
    @classmethod
    def check_semantics(cls, value: int) -> int:
        """Refuse rules that this build does not know."""
        if value != SEMANTICS_VERSION:
            fail(
                f"semantics {value} is not known here",
                f"write {SEMANTICS_VERSION}, or use the version of checklane that knows it",
            )
        return value
