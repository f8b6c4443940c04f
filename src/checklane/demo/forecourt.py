"""A simulated forecourt: prices, pumps that give what the seed says, and the files of its station.

Whatever a fill becomes is drawn before the day begins, so that a seed tells the same day again. A
pump counts in thousandths of a gallon and tells its own money, which it rounds down as it likes:
nobody computes it again.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from checklane.client import Basket, FuelAuthorisation, FuelPrice, Lane
from checklane.clock import SYSTEM_CLOCK
from checklane.demo.feeds import GRADES, FeedFiles

__all__ = [
    "FULL",
    "Fill",
    "Forecourt",
    "LATE",
    "NEVER",
    "OpenFill",
    "PRICES",
    "UNDER_RUN",
    "add_fill",
    "authorise",
    "plan_fills",
]

#: What becomes of a fill: as asked for, less than was paid for, none, or told after its hold ended.
FULL, UNDER_RUN, NEVER, LATE = "full", "under-run", "never", "late"
#: Of a hundred fills.
UNDER_RUN_PERCENT, NEVER_PERCENT, LATE_PERCENT = 10, 5, 2
ANONYMOUS_PERCENT = 10
STORE = "F1"
GROCERIES = "200"
UNIT = "GALLON"
CARD_PREFIX = "70020000"
MOST_THOUSANDTHS = 30_000
THOUSAND = 1_000
MILLION = 1_000_000
#: A hold that is to end by itself does so after a second; any other outlives its fill.
SHORT_S, LONG_S = 1, 600
BUDGET_MINOR = 40_000

PRICES: Sequence[FuelPrice] = (
    FuelPrice("REGULAR", "2.999", "CASH", "700"),
    FuelPrice("REGULAR", "3.099", "CREDIT", "700"),
    FuelPrice("PREMIUM", "3.499", "CASH", "701"),
    FuelPrice("PREMIUM", "3.599", "CREDIT", "701"),
)

PROGRAM = """\
program: forecourt
version: 1
semantics: 1
currency: {code: USD, exponent: 2}
purses:
  steps: {number: 1, expires: {days: 400}}
  gallons: {number: 2, expires: {days: 400}}
"""

OFFERS = f"""\
- id: earn-steps
  name: Steps
  earn: {{purse: steps, points: 10, per: 1.00, of: {{category: GROCERY}}}}
- id: earn-gallons
  name: Gallons
  earn: {{purse: gallons, points: 10, per: 1.00, of: {{category: GROCERY}}}}
- id: cash
  name: 5 cents a gallon off for cash
  fuel: {{amount: 0.05, unit: gallon, floor: 1.999, levels: cash, of: {{flags: fuel}}}}
- id: opening
  name: 10 cents a gallon off while the budget lasts
  class: 1
  limits: {{overall: {{money: {BUDGET_MINOR / 100:.2f}}}}}
  fuel: {{amount: 0.10, unit: gallon, floor: 1.999, most: 12, of: {{flags: fuel}}}}
- id: by-step
  name: Points in whole steps
  fuel:
    of: {{flags: fuel}}
    purse: steps
    points: 10
    amount: 0.10
    unit: gallon
    floor: 0.999
    most: 20
- id: by-volume
  name: Points by the volume
  fuel:
    of: {{flags: fuel}}
    purse: gallons
    points: 10
    amount: 0.10
    unit: gallon
    floor: 0.999
    most: 20
    consume: by_volume
"""


@dataclass(frozen=True, slots=True)
class Fill:
    """One fill as it will be.

    Attributes
    ----------
    member : int or None
        Whose card is shown; None: nobody's.
    price : int
        Of `PRICES`: what is pumped.
    redeem : dict of str to int
        Points that are to pay, by offer.
    prepaid_minor : int or None
        What is paid beforehand.
    thousandths : int
        The volume that is pumped; 0 when the pump never starts.
    is_released : bool
        A fill that never starts: given back by a call; else it ends by itself.
    """

    number: int
    pump: int
    member: int | None
    price: int
    sale_kind: str
    redeem: dict[str, int]
    prepaid_minor: int | None
    how: str
    thousandths: int
    is_released: bool

    def amount_minor(self) -> int:
        """Return what the pump says that it costs, at the price before discounts."""
        price = int(Decimal(PRICES[self.price].price) * 100 * THOUSAND)
        return price * self.thousandths // MILLION

    @property
    def ends_by_itself(self) -> bool:
        """Tell whether its hold ends before anything is told of the fill."""
        return self.how == LATE or (self.how == NEVER and not self.is_released)


@dataclass(frozen=True, slots=True)
class OpenFill:
    """A fill at its pump, with what was promised for it."""

    fill: Fill
    table: FuelAuthorisation
    opened_unix_ms: int


def authorise(lane: Lane, fill: Fill, name: str, card: str = "") -> OpenFill:
    """Ask what comes off a fill before it begins.

    Parameters
    ----------
    lane : Lane
    fill : Fill
    name : str
        Of its basket, unique in the store.
    card : str
        What is shown. Default: nothing.
    """
    opened = SYSTEM_CLOCK.unix_ms()
    table = lane.authorize_fuel(
        str(fill.pump + 1),
        PRICES,
        *([card] if card else []),
        unit=UNIT,
        sale_kind=fill.sale_kind,
        prepaid_minor=fill.prepaid_minor,
        redeem=dict(fill.redeem),
        max_quantity_thousandths=MOST_THOUSANDTHS,
        opened_time_unix_ms=opened,
        basket_id=name,
        seconds=SHORT_S if fill.ends_by_itself else LONG_S,
        key=f"authorise-{name}",
    )
    return OpenFill(fill, table, opened)


def add_fill(basket: Basket, done: OpenFill) -> Basket:
    """Add what the pump gave to a basket, and return the basket."""
    fill = done.fill
    return basket.add_fuel(
        PRICES[fill.price],
        quantity=f"{fill.thousandths // 1000}.{fill.thousandths % 1000:03d}",
        unit=UNIT,
        amount_minor=fill.amount_minor(),
        pump=str(fill.pump + 1),
        hold_id=done.table.hold_id,
        sale_kind=fill.sale_kind,
    )


def plan_fills(seed: int, count: int, members: int, pumps: int) -> list[Fill]:
    """Return a day's fills.

    Parameters
    ----------
    seed : int
    count : int
    members : int
        Cards there are.
    pumps : int
        They are used in turn.
    """
    draw = random.Random(seed)
    return [_plan_fill(draw, number, members, pumps) for number in range(count)]


def _plan_fill(draw: random.Random, number: int, members: int, pumps: int) -> Fill:
    chance = draw.randrange(100)
    how = FULL
    for kind, percent in (
        (UNDER_RUN, UNDER_RUN_PERCENT), (NEVER, NEVER_PERCENT), (LATE, LATE_PERCENT),
    ):  # fmt: skip
        if chance < percent:
            how = kind
            break
        chance -= percent
    is_anonymous = draw.randrange(100) < ANONYMOUS_PERCENT and how != LATE
    redeem = {}
    if not is_anonymous and draw.random() < 0.6:
        redeem[draw.choice(("by-step", "by-volume"))] = 10 * draw.randint(1, 5)
    thousandths = draw.randint(4_000, 25_000)
    prepaid = None
    if how == UNDER_RUN or draw.random() < 0.3:
        prepaid = draw.randint(2_000, 6_000)
        # At most what the money buys at the lowest price that any discounts leave, and less of it.
        thousandths = min(thousandths, prepaid * MILLION // (4 * 100 * THOUSAND))
        if how == UNDER_RUN:
            thousandths = max(1_000, thousandths * draw.randint(30, 90) // 100)
    kinds = ("PAY_AT_PUMP", "POSTPAY")
    return Fill(
        number=number,
        pump=number % pumps,
        member=None if is_anonymous else draw.randrange(members),
        price=draw.randrange(len(PRICES)),
        sale_kind="PREPAY" if prepaid is not None else draw.choice(kinds),
        redeem=redeem,
        prepaid_minor=prepaid,
        how=how,
        thousandths=0 if how == NEVER else thousandths,
        is_released=draw.random() < 0.5,
    )


def card_of(member: int) -> str:
    """Return the card of a member."""
    return f"{CARD_PREFIX}{member:08d}"


class Forecourt:
    """The station's files.

    Parameters
    ----------
    folder : Path
        Where they are written.
    members : int
    """

    def __init__(self, folder: Path, members: int) -> None:
        self.program = folder / "program"
        self._folder = folder
        self._members = members

    def write(self) -> FeedFiles:
        """Write program and feeds."""
        (self.program / "offers").mkdir(parents=True)
        (self.program / "program.yaml").write_text(PROGRAM)
        (self.program / "offers" / "station.yaml").write_text(OFFERS)
        members = [f"m{number},,,,,,,,{STORE}" for number in range(self._members)]
        cards = [f"m{number},card,{card_of(number)}" for number in range(self._members)]
        return FeedFiles(
            members=self._table(
                "members",
                "member_id,group_id,tier,segments,consent,staff,business,birth_date,home_store",
                members,
            ),
            identifiers=self._table("identifiers", "member_id,kind,value", cards),
            products=self._table(
                "products",
                "code_kind,code,name,category,department,brand,vendor,flags,cost,legal_min",
                [
                    f"plu,{GROCERIES},Groceries,GROCERY,,,,,,",
                    *(f"plu,{code},{grade},FUEL/{grade},,,,fuel,," for code, grade in GRADES),
                ],
            ),
            stores=self._table(
                "stores",
                "store_id,region,banner,franchise,price_zone,timezone,jurisdiction",
                [f"{STORE},,,,,UTC,"],
            ),
            wallets=self._table("wallets", "member_id,offer_id", []),
        )

    def _table(self, name: str, columns: str, rows: list[str]) -> Path:
        path = self._folder / f"{name}.csv"
        path.write_text("\n".join([columns, *rows]) + "\n")
        return path


def count_kinds(fills: Sequence[Fill]) -> Counter[str]:
    """Return how many fills become what."""
    return Counter(fill.how for fill in fills)
