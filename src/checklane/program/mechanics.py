"""What each mechanic becomes in the tables: fields of an offer and its slots.

A mechanic has one function here that fills the fields, and one branch of `slots_of`.
"""

from dataclasses import dataclass
from typing import get_args

from checklane import _layout
from checklane._layout import OFFER_FLAG_CHOSEN, OFFER_FLAG_COUPON, OFFER_FLAG_WALLET
from checklane.program.fields import exact_number
from checklane.program.model import (
    ALL,
    Discount,
    Get,
    NthItem,
    Offer,
    PriceSource,
    Program,
    Selector,
    TenderKind,
)

LAYERS = {
    "item": _layout.LAYER_ITEM,
    "basket": _layout.LAYER_BASKET,
    "redemption": _layout.LAYER_REDEMPTION,
    "tender": _layout.LAYER_TENDER,
    "earn": _layout.LAYER_EARN,
}
ROUNDINGS = {
    "half_away": _layout.ROUNDING_HALF_AWAY,
    "floor": _layout.ROUNDING_FLOOR,
    "ceil": _layout.ROUNDING_CEIL,
}
RETURNS = {"prorate": _layout.RETURN_PRORATE, "reprice": _layout.RETURN_REPRICE}
#: Numbers of the wire enum PriceSource.
PRICE_SOURCES: dict[PriceSource, int] = {
    "shelf": 1,
    "ad": 2,
    "member": 3,
    "override": 4,
    "markdown": 5,
    "contract": 6,
    "barcode": 7,
}

Fields = dict[str, int]
#: Numbers of the wire enum TenderKind.
TENDER_KINDS = {name: number for number, name in enumerate(get_args(TenderKind), start=1)}


@dataclass(frozen=True)
class SlotPlan:
    """One slot before its products are known.

    Attributes
    ----------
    offer : int
        Number of the offer in the tables.
    role : int
        ``SLOT_TAKE``, ``SLOT_BUY`` or ``SLOT_GET``.
    count : int
        Units an application; 0: as many as there are.
    selector : Selector
    """

    offer: int
    role: int
    count: int
    selector: Selector


def offer_fields(offer: Offer, program: Program) -> Fields:
    """Return the fields of an offer's record that follow from the offer alone."""
    basket = offer.limits.per_basket
    fields: Fields = {
        "version": offer.version,
        "class_order": offer.class_,
        "priority": offer.priority,
        "flags": flags_of(offer),
        "layer": LAYERS[offer.layer_name],
        "channel_mask": sum(
            1 << program.channels[name].number for name in set(offer.where.channels or [])
        ),
        "control_bp": offer.control_percent,
        "rounding": ROUNDINGS[rounding_of(offer, program)],
        "return_allocation": RETURNS[offer.return_allocation or program.policies.returns],
        "floor_minor": offer.floor_price,
        "source_mask": sum(1 << PRICE_SOURCES[name] for name in set(offer.price_sources or [])),
        "units_max": (basket.units if basket else None) or 0,
        "times_max": (basket.times if basket else None) or 0,
        "discount_max_minor": (basket.money if basket else None) or 0,
    }
    fields.update(mechanic_fields(offer))
    fields.update(points_fields(offer, program))
    if offer.threshold is not None:
        fields["times_max"] = fields["times_max"] or 1
    return fields


def flags_of(offer: Offer) -> int:
    """Return the flags of an offer."""
    flags = (
        (offer.chosen, OFFER_FLAG_CHOSEN),
        (offer.wallet, OFFER_FLAG_WALLET),
        (offer.coupon is not None, OFFER_FLAG_COUPON),
        (offer.coupon is not None and offer.coupon.serial, _layout.OFFER_FLAG_SERIAL),
        (offer.stackable, _layout.OFFER_FLAG_STACKABLE),
        (offer.base == "initial", _layout.OFFER_FLAG_INITIAL_BASE),
        (offer.reduced_items == "out", _layout.OFFER_FLAG_REDUCED_OUT),
        (offer.bonus is not None and offer.bonus.once_a_visit, _layout.OFFER_FLAG_ONCE_A_VISIT),
        (offer.who.staff, _layout.OFFER_FLAG_STAFF),
        (
            offer.buy_get is not None
            and offer.buy_get.get.of is not None
            and offer.buy_get.get.choose == "cheapest",
            _layout.OFFER_FLAG_CHEAPEST_GET,
        ),
    )
    return sum(flag for holds, flag in flags if holds)


def rounding_of(offer: Offer, program: Program) -> str:
    """Return how an offer rounds: its own word, else the program's for points."""
    if offer.rounding is not None:
        return offer.rounding
    return program.policies.points_rounding if offer.layer_name == "earn" else "half_away"


def reward_fields(part: Discount | Get | NthItem) -> Fields:
    """Return kind and value of a reward on units."""
    if part.percent is not None:
        return {"reward": _layout.REWARD_PERCENT, "reward_value": part.percent}
    if part.amount is not None:
        return {"reward": _layout.REWARD_AMOUNT, "reward_value": part.amount}
    return {"reward": _layout.REWARD_PRICE, "reward_value": part.price or 0}


def takes_cheapest(get: Get) -> bool:
    """Tell whether the cheapest of the bought products are reduced (M3)."""
    return bool(get.same) and get.choose != "dearest"


def mechanic_fields(offer: Offer) -> Fields:
    """Return the fields of the mechanics that take money off."""
    if offer.discount is not None:
        return {"mechanic": _layout.MECHANIC_UNIT_OFF, **reward_fields(offer.discount)}
    if offer.buy_get is not None:
        get = offer.buy_get.get
        kind = _layout.MECHANIC_CHEAPEST if takes_cheapest(get) else _layout.MECHANIC_BUY_GET
        return {"mechanic": kind, "get_count": get.count, **reward_fields(get)}
    if offer.nth_item is not None:
        fields = {"mechanic": _layout.MECHANIC_CHEAPEST, "get_count": 1}
        return fields | reward_fields(offer.nth_item)
    if offer.group_price is not None:
        price = offer.group_price.price
        reward = {"reward": _layout.REWARD_PRICE, "reward_value": price}
        return {"mechanic": _layout.MECHANIC_GROUP_PRICE, **reward}
    if offer.row_prices is not None:
        return {"mechanic": _layout.MECHANIC_ROW_PRICE, "reward": _layout.REWARD_PRICE}
    if offer.threshold is not None:
        return threshold_fields(offer)
    if offer.tender is not None:
        is_percent = offer.tender.percent is not None
        kinds = set(offer.tender.with_.kinds or [])
        return {
            "mechanic": _layout.MECHANIC_TENDER,
            "threshold_minor": offer.tender.spend,
            "reward": _layout.REWARD_PERCENT if is_percent else _layout.REWARD_AMOUNT,
            "reward_value": (offer.tender.percent if is_percent else offer.tender.amount) or 0,
            "tender_kinds": sum(1 << TENDER_KINDS[kind] for kind in kinds),
        }
    return {}


def threshold_fields(offer: Offer) -> Fields:
    """Return the fields of a threshold."""
    threshold = offer.threshold
    if threshold is None:
        return {}
    reward = threshold.reward
    is_percent = reward.percent is not None
    return {
        "mechanic": _layout.MECHANIC_THRESHOLD,
        "threshold_minor": threshold.spend or 0,
        "threshold_count": threshold.count or 0,
        "reward": _layout.REWARD_PERCENT if is_percent else _layout.REWARD_AMOUNT,
        "reward_value": (reward.percent if is_percent else reward.amount) or 0,
    }


def points_fields(offer: Offer, program: Program) -> Fields:
    """Return the fields of the mechanics that give points."""
    if offer.multiply is not None:
        return {
            "mechanic": _layout.MECHANIC_EARN_TIMES,
            "reward": _layout.REWARD_POINTS,
            "reward_value": offer.multiply.by,
            "purse": program.purses[offer.multiply.purse].number,
        }
    part = offer.earn or offer.bonus
    if part is None:
        return {}
    purse = program.purses[part.purse]
    is_rate = offer.earn is not None
    return {
        "mechanic": _layout.MECHANIC_EARN_RATE if is_rate else _layout.MECHANIC_EARN_BONUS,
        "reward": _layout.REWARD_POINTS,
        "reward_value": exact_number(part.points, purse.decimals, "points", "10"),
        "purse": purse.number,
        "per_minor": offer.earn.per if offer.earn is not None else 0,
        "valid_days": part.valid_days or 0,
    }


def slots_of(number: int, offer: Offer) -> list[SlotPlan]:
    """Return the slots of an offer in their order.

    Parameters
    ----------
    number : int
        Of the offer in the tables.
    offer : Offer
    """
    take, buy, get = _layout.SLOT_TAKE, _layout.SLOT_BUY, _layout.SLOT_GET
    if offer.discount is not None:
        return [SlotPlan(number, take, 0, offer.discount.of)]
    if offer.row_prices is not None:
        return [SlotPlan(number, take, 0, ALL)]
    if offer.buy_get is not None:
        bought, given = offer.buy_get.buy, offer.buy_get.get
        if takes_cheapest(given):
            return [SlotPlan(number, take, bought[0].count + given.count, bought[0].of)]
        plans = [SlotPlan(number, buy, part.count, part.of) for part in bought]
        return [*plans, SlotPlan(number, get, given.count, given.of or bought[0].of)]
    if offer.nth_item is not None:
        return [SlotPlan(number, take, offer.nth_item.each, offer.nth_item.of)]
    if offer.group_price is not None:
        places = offer.group_price.places
        return [SlotPlan(number, take, place.count, place.of) for place in places]
    if offer.threshold is not None:
        return [
            SlotPlan(number, buy, 0, offer.threshold.of),
            SlotPlan(number, get, 0, offer.threshold.reward.of),
        ]
    if offer.tender is not None:
        return [SlotPlan(number, take, 0, offer.tender.of)]
    if offer.bonus is not None:
        return [SlotPlan(number, take, offer.bonus.count or 1, offer.bonus.of)]
    part = offer.earn or offer.multiply
    return [SlotPlan(number, take, 0, part.of)] if part is not None else []
