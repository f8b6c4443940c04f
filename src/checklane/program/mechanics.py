"""What each mechanic becomes in the tables: fields of an offer and its slots.

A mechanic has one function here that fills the fields, and one branch of `slots_of`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from checklane import _layout
from checklane._layout import OFFER_FLAG_CHOSEN, OFFER_FLAG_COUPON, OFFER_FLAG_WALLET
from checklane.program.fields import exact_number
from checklane.program.model import (
    ALL,
    MEASURE_UNITS,
    Coupon,
    Coverage,
    Discount,
    Get,
    GroupPrice,
    NthItem,
    Offer,
    PriceSource,
    Program,
    Progress,
    Reached,
    Scanned,
    Selector,
    Step,
    TenderKind,
)
from checklane.tables.hashing import name_key

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

BASES = {
    "spend": _layout.BASE_SPEND,
    "count": _layout.BASE_COUNT,
    "products": _layout.BASE_PRODUCTS,
    "measure": _layout.BASE_MEASURE,
}
REWARDS = {
    "percent": _layout.REWARD_PERCENT,
    "amount": _layout.REWARD_AMOUNT,
    "price": _layout.REWARD_PRICE,
    "each": _layout.REWARD_EACH,
}

#: Numbers of the wire enum FuelPriceLevel.
FUEL_LEVELS = {"cash": 1, "credit": 2}
CONSUMES = {
    "whole_step": _layout.CONSUME_WHOLE_STEP,
    "by_volume": _layout.CONSUME_BY_VOLUME,
}

Fields = dict[str, int]
#: Numbers of the wire enum TenderKind.
TENDER_KINDS = {name: number for number, name in enumerate(get_args(TenderKind), start=1)}


def progress_decimals(progress: Progress, program: Program) -> int:
    """Return the decimals of the unit in which a progress counts."""
    if progress.measure == "spend":
        return program.currency.exponent
    purse = program.purses.get(progress.purse or "")
    return purse.decimals if purse is not None else 0


def progress_condition(offer: Offer, program: Program) -> Fields:
    """Return the fields that ask how far a member has come (G5)."""
    rule = offer.who.progress
    if rule is None:
        return {}
    decimals = progress_decimals(program.progress[rule.of], program)

    def value(text: str | None) -> int:
        return exact_number(text, decimals, "a number", "10") if text is not None else 0

    first, end = value(rule.at_least), value(rule.below)
    if rule.nth is not None:
        first, end = rule.nth - 1, rule.nth
    return {
        "progress": sorted(program.progress).index(rule.of) + 1,
        "progress_from": first,
        "progress_until": end,
        "progress_every": rule.every or 0,
    }


@dataclass(frozen=True)
class SlotPlan:
    """One slot before its products are known.

    Attributes
    ----------
    offer : int
        Number of the offer in the tables.
    role : int
        ``SLOT_TAKE``, ``SLOT_BUY``, ``SLOT_GET`` or ``SLOT_NEED``.
    count : int
        Units an application; 0: as many as there are. ``SLOT_NEED``: what they must come to.
    selector : Selector
    flags : int
        ``SLOT_NEED``: what is measured.
    """

    offer: int
    role: int
    count: int
    selector: Selector
    flags: int = 0


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
    product = offer.limits.per_product
    fields["product_units_max"] = (product.units if product is not None else None) or 0
    unit = offer.limits.per_unit
    fields["unit_discount_max_minor"] = unit.money if unit is not None else 0
    fields["margin_bp"] = offer.floor.margin_percent or 0
    fields.update(mechanic_fields(offer))
    fields.update(points_fields(offer, program))
    fields.update(progress_condition(offer, program))
    if offer.threshold is not None:
        fields["times_max"] = fields["times_max"] or 1
    fields["need_count"] = len(offer.requires or [])
    return fields


def flags_of(offer: Offer) -> int:
    """Return the flags of an offer."""
    flags = (
        (offer.chosen, OFFER_FLAG_CHOSEN),
        (offer.wallet, OFFER_FLAG_WALLET),
        *coupon_flags(offer.coupon),
        (
            offer.stackable or offer.scanned is not None or is_fuel_step(offer),
            _layout.OFFER_FLAG_STACKABLE,
        ),
        *scanned_flags(offer.scanned),
        (offer.issue is not None and offer.issue.once_a_visit, _layout.OFFER_FLAG_ONCE_A_VISIT),
        (offer.base == "initial", _layout.OFFER_FLAG_INITIAL_BASE),
        (offer.reduced_items == "out", _layout.OFFER_FLAG_REDUCED_OUT),
        (offer.bonus is not None and offer.bonus.once_a_visit, _layout.OFFER_FLAG_ONCE_A_VISIT),
        (offer.who.staff, _layout.OFFER_FLAG_STAFF),
        (chooses_cheapest(offer), _layout.OFFER_FLAG_CHEAPEST_GET),
        (offer.coverage is not None, _layout.OFFER_FLAG_DIFFERENT),
        (offer.floor.cost, _layout.OFFER_FLAG_COST_FLOOR),
        (offer.floor.margin_percent is not None, _layout.OFFER_FLAG_MARGIN),
        (offer.reshare, _layout.OFFER_FLAG_RESHARE),
        (offer.limits.whole, _layout.OFFER_FLAG_WHOLE),
        (offer.redeem is not None and offer.redeem.item, _layout.OFFER_FLAG_BY_ITEM),
        (pays_steps(offer), _layout.OFFER_FLAG_STEPS),
        (has_more(offer), _layout.OFFER_FLAG_MORE),
        (
            offer.threshold is not None and offer.threshold.reward.gift is not None,
            _layout.OFFER_FLAG_GIFT,
        ),
    )
    return sum(flag for holds, flag in flags if holds)


def coupon_flags(coupon: Coupon | None) -> tuple[tuple[bool, int], ...]:
    """Return the flags that a coupon makes."""
    if coupon is None:
        return ()
    return (
        (True, OFFER_FLAG_COUPON),
        (coupon.serial, _layout.OFFER_FLAG_SERIAL),
        (coupon.issued, _layout.OFFER_FLAG_ISSUED),
        (coupon.kind == "manufacturer", _layout.OFFER_FLAG_MANUFACTURER),
        (coupon.kind == "store", _layout.OFFER_FLAG_STORE_COUPON),
        (coupon.above_price == "refuse", _layout.OFFER_FLAG_FACE_VALUE),
    )


def is_fuel_step(offer: Offer) -> bool:
    """Tell whether an offer lowers the price of fuel, without points."""
    return offer.fuel is not None and offer.fuel.purse is None


def pays_steps(offer: Offer) -> bool:
    """Tell whether points pay in whole steps."""
    if offer.fuel is not None:
        return offer.fuel.purse is not None
    return offer.redeem is not None and offer.redeem.steps


def grade_keys(offer: Offer) -> list[int]:
    """Return the name keys of the grades of fuel that an offer is for, ascending."""
    names = offer.fuel.grades if offer.fuel is not None else None
    return sorted({name_key("grade", name) for name in names or []})


def has_more(offer: Offer) -> bool:
    """Tell whether an offer has a record in the table of what few offers say."""
    product = offer.limits.per_product
    if offer.fuel is not None or offer.issue is not None:
        return True
    return offer.stack_after is not None or (product is not None and product.money is not None)


def more_fields(offer: Offer) -> Fields:
    """Return the fields of what few offers say that follow from the offer alone."""
    product = offer.limits.per_product
    money = product.money if product is not None else None
    fields = {"product_discount_max_minor": money or 0}
    if offer.fuel is None:
        return fields
    levels = offer.fuel.levels or ["cash", "credit"]
    return fields | {
        "fuel_floor_thousandths": offer.fuel.floor or 0,
        "fuel_most_milli": offer.fuel.most or 0,
        "fuel_levels": sum(1 << FUEL_LEVELS[level] for level in set(levels)),
    }


def rounds_of(offers: Sequence[Offer]) -> dict[str, int]:
    """Return in which round of its class each offer competes, those of round 0 left out (Y6).

    An offer competes a round after the last of those that it names in its class, whoever may have
    them. A circle has no rounds: its offers stay where the circle was entered.
    """
    by_id = {offer.id: offer for offer in offers}
    found: dict[str, int] = {}

    def number(offer: Offer, open_ids: frozenset[str]) -> int:
        if offer.id not in found and offer.stack_after is not None:
            before = [by_id[name] for name in offer.stack_after if name in by_id]
            same = [
                other
                for other in before
                if (other.layer_name, other.class_) == (offer.layer_name, offer.class_)
                and other.id not in open_ids
            ]
            inside = open_ids | {offer.id}
            found[offer.id] = 1 + max((number(other, inside) for other in same), default=0)
        return found.get(offer.id, 0)

    for offer in offers:
        number(offer, frozenset())
    return found


def scanned_flags(scanned: Scanned | None) -> tuple[tuple[bool, int], ...]:
    """Return the flags of an offer for scanned coupons."""
    if scanned is None:
        return ()
    return (
        (scanned.coupons == "manufacturer", _layout.OFFER_FLAG_MANUFACTURER),
        (scanned.coupons == "store", _layout.OFFER_FLAG_STORE_COUPON),
        (scanned.above_price == "refuse", _layout.OFFER_FLAG_FACE_VALUE),
    )


def chooses_cheapest(offer: Offer) -> bool:
    """Tell whether the cheapest of several units are rewarded, which are not those bought."""
    if offer.buy_get is not None:
        get = offer.buy_get.get
        return get.of is not None and get.choose == "cheapest"
    if offer.discount is not None:
        return offer.discount.choose == "cheapest"
    return offer.threshold is not None and offer.threshold.reward.choose == "cheapest"


def rounding_of(offer: Offer, program: Program) -> str:
    """Return how an offer rounds: its own word, else the program's for points."""
    if offer.rounding is not None:
        return offer.rounding
    return program.policies.points_rounding if offer.layer_name == "earn" else "half_away"


def reward_fields(part: Discount | Get | NthItem | GroupPrice | Coverage) -> Fields:
    """Return kind and value of a reward."""
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
        return discount_fields(offer.discount)
    if offer.buy_get is not None:
        get = offer.buy_get.get
        kind = _layout.MECHANIC_CHEAPEST if takes_cheapest(get) else _layout.MECHANIC_BUY_GET
        return {"mechanic": kind, "get_count": get.count, **reward_fields(get)}
    if offer.nth_item is not None:
        fields = {"mechanic": _layout.MECHANIC_CHEAPEST, "get_count": 1}
        return fields | reward_fields(offer.nth_item)
    if offer.group_price is not None:
        return {"mechanic": _layout.MECHANIC_GROUP_PRICE, **reward_fields(offer.group_price)}
    if offer.coverage is not None:
        fields = {"mechanic": _layout.MECHANIC_GROUP_PRICE}
        if offer.coverage.choose == "cheapest":
            fields = {"mechanic": _layout.MECHANIC_BUY_GET, "get_count": 1}
        return fields | reward_fields(offer.coverage)
    if offer.row_prices is not None:
        return {"mechanic": _layout.MECHANIC_ROW_PRICE, "reward": _layout.REWARD_PRICE}
    if offer.threshold is not None:
        return threshold_fields(offer)
    if offer.redeem is not None:
        return {
            "mechanic": _layout.MECHANIC_REDEEM,
            "reward": _layout.REWARD_AMOUNT,
            "reward_value": offer.redeem.pays or 0,
        }
    if offer.fuel is not None:
        return {
            "mechanic": _layout.MECHANIC_FUEL,
            "reward": _layout.REWARD_AMOUNT,
            "reward_value": offer.fuel.amount,
            "per_unit": MEASURE_UNITS[offer.fuel.unit],
            "consume": CONSUMES[offer.fuel.consume or "whole_step"],
        }
    if offer.scanned is not None:
        return {
            "mechanic": _layout.MECHANIC_SCANNED,
            "reward": _layout.REWARD_AMOUNT,
            "reward_value": offer.scanned.most or 0,
        }
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


def base_fields(reached: Reached) -> Fields:
    """Return what is measured."""
    unit = MEASURE_UNITS[reached.unit] if reached.unit is not None else 0
    return {"base": BASES[reached.base], "base_unit": unit}


def steps_of(offer: Offer) -> list[Step]:
    """Return the steps of an offer."""
    part = offer.discount or offer.threshold
    return (part.steps or []) if part is not None else []


def step_records(offer: Offer) -> list[tuple[int, int]]:
    """Return the steps of an offer as fields of step_t."""
    return [(step.least, getattr(step, step.reward)) for step in steps_of(offer)]


def discount_fields(discount: Discount) -> Fields:
    """Return the fields of a discount on units."""
    fields: Fields = {
        "mechanic": _layout.MECHANIC_UNIT_OFF,
        "per_unit": MEASURE_UNITS[discount.per] if discount.per is not None else 0,
    }
    if discount.steps is None:
        return fields | reward_fields(discount)
    first = discount.steps[0]
    return fields | base_fields(first) | {"reward": REWARDS[first.reward]}


def threshold_fields(offer: Offer) -> Fields:
    """Return the fields of a threshold."""
    threshold = offer.threshold
    if threshold is None:
        return {}
    reward = threshold.reward
    fields: Fields = {
        "mechanic": _layout.MECHANIC_THRESHOLD,
        "rewarded_max": reward.most_units,
    }
    if threshold.steps is not None:
        first = threshold.steps[0]
        return fields | base_fields(first) | {"reward": REWARDS[first.reward]}
    kind = next((key for key in REWARDS if getattr(reward, key) is not None), "percent")
    given = 10_000 if reward.gift is not None else getattr(reward, kind)
    goal = "threshold_minor" if threshold.base == "spend" else "threshold_count"
    return (
        fields
        | base_fields(threshold)
        | {goal: threshold.least, "reward": REWARDS[kind], "reward_value": given}
    )


def points_fields(offer: Offer, program: Program) -> Fields:
    """Return the fields of the mechanics that give points."""
    if offer.multiply is not None:
        return {
            "mechanic": _layout.MECHANIC_EARN_TIMES,
            "reward": _layout.REWARD_POINTS,
            "reward_value": offer.multiply.by,
            "purse": program.purses[offer.multiply.purse].number,
        }
    paid = offer.redeem or offer.fuel
    if paid is not None and paid.purse is not None:
        purse = program.purses[paid.purse]
        points = exact_number(paid.points, purse.decimals, "points", "10")
        return {"purse": purse.number, "points_step": points}
    if offer.issue is not None:
        return {"mechanic": _layout.MECHANIC_ISSUE, "valid_days": offer.issue.valid_days}
    if offer.referral is not None:
        purse = program.purses[offer.referral.purse]
        return {
            "mechanic": _layout.MECHANIC_REFERRAL,
            "reward": _layout.REWARD_POINTS,
            "reward_value": exact_number(offer.referral.points, purse.decimals, "points", "10"),
            "purse": purse.number,
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
    """Return the slots of an offer in their order: its mechanic's, then what it requires.

    Parameters
    ----------
    number : int
        Of the offer in the tables.
    offer : Offer
    """
    needs = []
    for need in offer.requires or []:
        unit = MEASURE_UNITS[need.unit] if need.unit is not None else 0
        flags = BASES[need.base] << _layout.SLOT_BASE_SHIFT | unit << _layout.SLOT_UNIT_SHIFT
        needs.append(SlotPlan(number, _layout.SLOT_NEED, need.least, need.of, flags))
    return mechanic_slots(number, offer) + needs


def mechanic_slots(number: int, offer: Offer) -> list[SlotPlan]:
    """Return the slots of the mechanic of an offer.

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
    if offer.coverage is not None:
        return [SlotPlan(number, take, offer.coverage.products, offer.coverage.of)]
    if offer.threshold is not None:
        return [
            SlotPlan(number, buy, 0, offer.threshold.of),
            SlotPlan(number, get, 0, offer.threshold.reward.products),
        ]
    if offer.redeem is not None:
        return [SlotPlan(number, take, 0, offer.redeem.of)]
    if offer.tender is not None:
        return [SlotPlan(number, take, 0, offer.tender.of)]
    if offer.fuel is not None:
        return [SlotPlan(number, take, 0, offer.fuel.of)]
    if offer.scanned is not None:
        return [SlotPlan(number, take, 0, offer.scanned.of)]
    counted = offer.bonus or offer.issue
    if counted is not None:
        return [SlotPlan(number, take, counted.count or 1, counted.of)]
    part = offer.earn or offer.multiply or offer.referral
    return [SlotPlan(number, take, 0, part.of)] if part is not None else []
