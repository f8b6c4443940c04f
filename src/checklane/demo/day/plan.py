"""Who comes to which store on the day, with which goods, and what becomes of the visit.

The customers are those of the replay, each with a basket that was theirs in the year and always at
one store, so that what they have does not depend on which store is quicker. All is drawn before
the day begins: a seed tells the same day again.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from checklane.demo.data import KIND_SALE, Records
from checklane.demo.failure import DemoError
from checklane.demo.feeds import card_number, store_id
from checklane.demo.forecourt import FULL, LATE, NEVER, UNDER_RUN, Fill, plan_fills
from checklane.demo.lane import wire_line
from checklane.demo.replay import Plan
from checklane.v1 import basket_pb2

__all__ = ["DayPlan", "Flow", "Visit", "plan_day"]

STORES_MAX = 6
PUMPS = 4
#: Fills that are drawn to choose from, so that each kind is among them.
FILLS_DRAWN = 500


class Flow(StrEnum):
    """What becomes of a visit, in the words of the summary."""

    PLAIN = "plain sale"
    TOTAL = "total, then its token"
    SUSPENDED = "resumed at another till"
    ACROSS = "total across a program swap"
    TWICE = "sent twice, entered once"
    TRAINING = "training"
    POINTS = "paid with points"
    COUPON = "coupon issued, then used"
    HOLD_CAPTURED = "hold captured in part"
    HOLD_IN_SALE = "hold spent by a sale"
    HOLD_RELEASED = "hold released"
    HOLD_EXPIRED = "hold that expired"
    FUEL = "fuel as asked for"
    FUEL_INSIDE = "fuel inside, with goods"
    FUEL_UNDER_RUN = "fuel, under-run"
    FUEL_NEVER = "fuel never started"
    FUEL_LATE = "fuel told late"
    VOID = "void"
    VOID_BY_KEY = "void by key"
    VOID_UNSEEN = "void before its sale"
    VOID_CLOSED = "void, its date closed"
    RETURN_PART = "return in part"
    RETURN_WHOLE = "return in whole"
    RETURN_TWICE = "return, then the rest"
    RETURN_UNNAMED = "return without a receipt"
    EXCHANGE = "exchange"
    CLAIM = "late card"
    OFFLINE = "offline, uploaded"
    OFFLINE_VOIDED = "offline, voided there"
    OFFLINE_CLOSED = "offline, its date closed"


#: Of a thousand visits. The rest are plain sales.
PER_MILLE: Mapping[Flow, int] = {
    Flow.TOTAL: 250,
    Flow.SUSPENDED: 20,
    Flow.ACROSS: 6,
    Flow.TWICE: 20,
    Flow.TRAINING: 6,
    Flow.POINTS: 40,
    Flow.COUPON: 20,
    Flow.HOLD_CAPTURED: 4,
    Flow.HOLD_IN_SALE: 4,
    Flow.HOLD_RELEASED: 3,
    Flow.HOLD_EXPIRED: 3,
    Flow.FUEL: 50,
    Flow.FUEL_INSIDE: 16,
    Flow.FUEL_UNDER_RUN: 8,
    Flow.FUEL_NEVER: 4,
    Flow.FUEL_LATE: 2,
    Flow.VOID: 5,
    Flow.VOID_BY_KEY: 2,
    Flow.VOID_UNSEEN: 2,
    Flow.VOID_CLOSED: 1,
    Flow.RETURN_PART: 15,
    Flow.RETURN_WHOLE: 5,
    Flow.RETURN_TWICE: 4,
    Flow.RETURN_UNNAMED: 2,
    Flow.EXCHANGE: 5,
    Flow.CLAIM: 10,
    Flow.OFFLINE: 20,
    Flow.OFFLINE_VOIDED: 2,
    Flow.OFFLINE_CLOSED: 4,
}
#: What becomes of the fill. One that goes inside is paid after fuelling.
FILLS: Mapping[Flow, str] = {
    Flow.FUEL: FULL,
    Flow.FUEL_INSIDE: FULL,
    Flow.FUEL_UNDER_RUN: UNDER_RUN,
    Flow.FUEL_NEVER: NEVER,
    Flow.FUEL_LATE: LATE,
}
#: Their sale is of the first date, and the rest comes when the second has begun.
FIRST_DATE = frozenset({Flow.ACROSS, Flow.VOID_CLOSED, Flow.OFFLINE_CLOSED})


@dataclass(frozen=True)
class Visit:
    """One visit to a store.

    Attributes
    ----------
    date_at : int
        0 on the first business date, 1 on the second.
    goods : tuple of Line
        As they are sent.
    fill : Fill or None
        What is fuelled.
    chance : float
        From 0 to 1: what is still to be drawn in the visit.
    """

    number: int
    flow: Flow
    store: str
    date_at: int
    card: str
    goods: tuple[basket_pb2.Line, ...]
    fill: Fill | None
    chance: float


@dataclass(frozen=True)
class DayPlan:
    """The day before it begins.

    Attributes
    ----------
    stores : list of str
    visits : list of Visit
        Of all stores; each store's in the order in which they are served.
    """

    stores: list[str]
    visits: list[Visit]


def plan_day(plan: Plan, visit_count: int, seed: int) -> DayPlan:
    """Plan a day at the busiest stores of a replay.

    Parameters
    ----------
    plan : Plan
        The replay whose customers come again.
    visit_count : int
        Every flow comes at least once, so that there are at least as many visits as flows.
    seed : int

    Raises
    ------
    DemoError
        No basket of the replay can be used.
    """
    baskets: Records = np.load(plan.folder / "baskets.npy")
    lines: Records = np.load(plan.folder / "lines.npy", mmap_mode="r")
    draw = random.Random(f"{seed}:day")
    busiest = Counter(baskets["store"].tolist()).most_common(STORES_MAX)
    stores = [store_id(store) for store, _ in busiest]
    # Only goods can come back, be put aside and sold with others alike.
    only_goods = [
        row
        for row in baskets
        if (_lines_of(row, lines)["kind"] == KIND_SALE).all() and _amount_of(row, lines) > 0
    ]
    if not only_goods:
        raise DemoError("no basket of the replay is of goods alone: replay more, or --visits 0")
    fills = _fills(seed)
    visits = []
    for number, flow in enumerate(_flows(visit_count, draw)):
        row = draw.choice(only_goods)
        household = int(row["household"])
        visits.append(
            Visit(
                number=number,
                flow=flow,
                store=stores[household % len(stores)],
                date_at=0 if flow in FIRST_DATE else draw.randrange(2),
                card=card_number(household),
                goods=tuple(
                    wire_line(at, line) for at, line in enumerate(_lines_of(row, lines), 1)
                ),
                fill=draw.choice(fills[flow]) if flow in fills else None,
                chance=draw.random(),
            )
        )
    return DayPlan(stores, visits)


def _flows(visit_count: int, draw: random.Random) -> Sequence[Flow]:
    """Return the flow of each visit: its share, and each at least once."""
    flows = [
        flow
        for flow, per_mille in PER_MILLE.items()
        for _ in range(max(1, visit_count * per_mille // 1000))
    ]
    flows += [Flow.PLAIN] * max(1, visit_count - len(flows))
    draw.shuffle(flows)
    return flows


def _fills(seed: int) -> dict[Flow, list[Fill]]:
    """Return fills to choose from, by flow."""
    fills: dict[Flow, list[Fill]] = {flow: [] for flow in FILLS}
    for fill in plan_fills(seed, FILLS_DRAWN, FILLS_DRAWN, PUMPS):
        for flow, how in FILLS.items():
            if fill.how == how and (flow != Flow.FUEL_INSIDE or fill.sale_kind == "POSTPAY"):
                fills[flow].append(fill)
    return fills


def _lines_of(row: Any, lines: Records) -> Records:
    first = int(row["first_line"])
    return lines[first : first + int(row["line_count"])]


def _amount_of(row: Any, lines: Records) -> int:
    return int(_lines_of(row, lines)["amount_minor"].sum())
