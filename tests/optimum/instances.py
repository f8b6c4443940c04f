"""Which deals are checked, and the same deals as tables for the evaluator."""

from dataclasses import dataclass
from typing import Any

from checklane import _layout as layout
from checklane.bench import deals
from checklane.bench.deals import FAMILIES, Deal, DealOffer, make_deal
from tests.native.world import Line, Offer, Slot, make_basket, make_facts, make_program

REWARDS = {
    deals.PERCENT: layout.REWARD_PERCENT,
    deals.AMOUNT: layout.REWARD_AMOUNT,
    deals.PRICE: layout.REWARD_PRICE,
}


@dataclass(frozen=True)
class Size:
    """Deals of one size.

    Attributes
    ----------
    lines, offers : int
    share : int
        Of so many thousand deals.
    together : int
        Deals that HiGHS is given at once.
    """

    lines: int
    offers: int
    share: int
    together: int


#: Small ones find most of what can be wrong and cost HiGHS the least; large ones are rare.
SIZES = (
    Size(3, 2, 816, 16),
    Size(4, 3, 150, 8),
    Size(6, 4, 25, 2),
    Size(8, 5, 6, 1),
    Size(12, 7, 2, 1),
    Size(20, 10, 1, 1),
)
LARGE = (*SIZES, Size(40, 20, 1, 1))


def plan(sizes: tuple[Size, ...], count: int) -> list[tuple[Size, int]]:
    """Return how many deals of each size make about `count`."""
    whole = sum(size.share for size in sizes)
    return [(size, max(1, count * size.share // whole)) for size in sizes]


def deal_of(size: Size, number: int) -> Deal:
    """Return deal `number` of a size: the families by turns."""
    family = FAMILIES[number % len(FAMILIES)]
    return make_deal(family, number // len(FAMILIES), size.lines, size.offers)


def native_offer(offer: DealOffer) -> Offer:
    """Return an offer as the evaluator's tables have it."""
    groups = [set(group) for group in offer.groups]
    capacity = {"times_max": offer.most}
    if offer.kind in (deals.UNITS, deals.ROWS):
        capacity = {"units_max": offer.most}
    if offer.kind == deals.UNITS:
        mechanic, slots = layout.MECHANIC_UNIT_OFF, [Slot(groups[0])]
    elif offer.kind == deals.ROWS:
        mechanic, slots = layout.MECHANIC_ROW_PRICE, [Slot(groups[0])]
    elif offer.kind == deals.CHEAPEST:
        mechanic, slots = layout.MECHANIC_CHEAPEST, [Slot(groups[0], offer.counts[0])]
        capacity["get_count"] = offer.free
    elif offer.kind == deals.BUY_GET:
        mechanic = layout.MECHANIC_BUY_GET
        roles = (layout.SLOT_BUY, layout.SLOT_GET)
        slots = [
            Slot(group, count, role)
            for group, count, role in zip(groups, offer.counts, roles, strict=True)
        ]
    else:
        mechanic = layout.MECHANIC_GROUP_PRICE
        slots = [Slot(group, count) for group, count in zip(groups, offer.counts, strict=True)]
    rows = [(product, 0, price, most) for product, price, most in offer.rows]
    return Offer(mechanic, slots, REWARDS[offer.reward], offer.value, fields=capacity, rows=rows)


def call_of(deal: Deal, **header: Any) -> tuple[Any, Any, Any]:
    """Return program, basket and facts of a deal for the harness; header fields by their names."""
    offers = [native_offer(offer) for offer in deal.offers]
    lines = [Line(line.product, line.count, line.amount_minor) for line in deal.lines]
    program = make_program(offers, len(lines), **header)
    return program, make_basket(lines), make_facts()
