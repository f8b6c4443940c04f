"""The records of an offer's conditions: where, when, who, how much, who pays, what is said."""

from typing import Any

import numpy as np
import numpy.typing as npt

from checklane import _layout
from checklane.program.model import Offer, Program, When, Where
from checklane.program.pools import StringPool
from checklane.tables.catalogue_tables import CatalogueTables
from checklane.tables.hashing import name_keys

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WINDOWS = {
    "campaign": _layout.WINDOW_CAMPAIGN,
    "day": _layout.WINDOW_DAY,
    "week": _layout.WINDOW_WEEK,
    "month": _layout.WINDOW_MONTH,
    "year": _layout.WINDOW_YEAR,
}
SETTLEMENTS = {
    "price_reduction": _layout.SETTLE_PRICE_REDUCTION,
    "third_party": _layout.SETTLE_THIRD_PARTY,
    "tender": _layout.SETTLE_TENDER,
}
BIRTHDAYS = {None: 0, "day": 1, "month": 2}
#: Who pays when an offer does not say.
#: Who pays for scanned coupons, unless the offer names them.
MANUFACTURER = "manufacturer"
RETAILER = "retailer"
#: Bounds of a schedule without an end: no basket is that old or that late.
ALWAYS_FROM = 0
ALWAYS_UNTIL = 2**62
WORD_BITS = 64


def store_set_words(catalogue: CatalogueTables) -> int:
    """Return the 64-bit words that one set of stores takes."""
    return max(1, -(-len(catalogue.stores) // WORD_BITS))


def store_set_of(where: Where, catalogue: CatalogueTables) -> bytes | None:
    """Return the set of stores in which an offer runs; None: every store."""
    names = ("stores", "regions", "banners", "franchises")
    asked = [name for name in names if getattr(where, name) is not None]
    left_out = [name for name in names if getattr(where, f"except_{name}") is not None]
    if not asked and not left_out:
        return None
    fits = np.ones(len(catalogue.stores), dtype=bool)
    for name in asked:
        fits &= stores_named(name, getattr(where, name), catalogue)
    for name in left_out:
        fits &= ~stores_named(name, getattr(where, f"except_{name}"), catalogue)
    bits = np.zeros(store_set_words(catalogue) * WORD_BITS, dtype=np.uint8)
    bits[catalogue.stores["number"][fits]] = 1
    return np.packbits(bits, bitorder="little").tobytes()


def stores_named(kind: str, names: list[str], catalogue: CatalogueTables) -> npt.NDArray[Any]:
    """Return for each store whether it is, or belongs to, one of the names."""
    space = kind.removesuffix("s")
    field = "key" if space == "store" else f"{space}_key"
    return np.isin(catalogue.stores[field], name_keys(space, names))


def schedule_of(when: When) -> tuple[npt.NDArray[Any], list[int]] | None:
    """Return the schedule of an offer and its black-out dates, ascending; None: always."""
    if when == When():
        return None
    record = np.zeros(1, dtype=_layout.SCHEDULE)
    record["from_minute"] = when.from_ if when.from_ is not None else ALWAYS_FROM
    record["until_minute"] = when.until if when.until is not None else ALWAYS_UNTIL
    record["weekday_mask"] = sum(1 << WEEKDAYS.index(day) for day in set(when.weekdays or []))
    hours = when.hours or []
    record["hours_count"] = len(hours)
    record["hours_from"][0, : len(hours)] = [span.from_ for span in hours]
    record["hours_until"][0, : len(hours)] = [span.until for span in hours]
    return record, sorted(set(when.blackout or []))


def audience_of(offer: Offer, program: Program) -> bytes | None:
    """Return who may have an offer; None: everyone."""
    who = offer.who
    if who.members == "everyone" and not offer.for_members_only:
        return None
    record = np.zeros(1, dtype=_layout.AUDIENCE)
    members_only = offer.for_members_only
    record["flags"] = (
        (_layout.AUDIENCE_FLAG_MEMBERS if members_only else 0)
        | (_layout.AUDIENCE_FLAG_NON_MEMBERS if who.members == "non_members" else 0)
        | (_layout.AUDIENCE_FLAG_CONSENT if who.consent else 0)
        | (_layout.AUDIENCE_FLAG_BUSINESS if who.business else 0)
        | (_layout.AUDIENCE_FLAG_STAFF if who.staff else 0)
        | (_layout.AUDIENCE_FLAG_REFERRED if who.referred else 0)
    )
    record["birthday"] = BIRTHDAYS[who.birthday]
    record["tier_mask"] = sum(1 << program.tiers[name].number for name in set(who.tiers or []))
    if who.segments is not None:
        rule = who.segments
        for field, names in (("any", rule.any_), ("all", rule.all_), ("none", rule.none_)):
            bits = sum(1 << program.segments[name].number for name in set(names or []))
            record[field][0] = (bits & (2**WORD_BITS - 1), bits >> WORD_BITS)
    return record.tobytes()


def limits_of(offer: Offer) -> list[tuple[int, ...]]:
    """Return the limits of an offer as fields of limit_t, in a fixed order of their scopes."""
    scopes = (
        (_layout.LIMIT_SCOPE_MEMBER, offer.limits.per_member),
        (_layout.LIMIT_SCOPE_GROUP, offer.limits.per_household),
        (_layout.LIMIT_SCOPE_CARD, offer.limits.per_card),
        (_layout.LIMIT_SCOPE_STORE, offer.limits.per_store),
        (_layout.LIMIT_SCOPE_GLOBAL, offer.limits.overall),
    )
    found: list[tuple[int, ...]] = []
    if offer.referral is not None:
        # Stands first, so that its number never changes: once for good by each referred member.
        once = (1, _layout.LIMIT_SCOPE_MEMBER, _layout.LIMIT_MEASURE_USES)
        found.append((*once, WINDOWS["campaign"], 0, 0))
    for scope, rules in scopes:
        for rule in rules or []:
            if rule.uses is not None:
                most, measure = rule.uses, _layout.LIMIT_MEASURE_USES
            elif rule.units is not None:
                most, measure = rule.units, _layout.LIMIT_MEASURE_UNITS
            elif rule.spend is not None:
                most, measure = rule.spend, _layout.LIMIT_MEASURE_SPEND
            else:
                most, measure = rule.money or 0, _layout.LIMIT_MEASURE_MONEY
            found.append((most, scope, measure, WINDOWS[rule.window], len(found), 0))
    return found


def is_of_manufacturers(offer: Offer) -> bool:
    """Tell whether an offer takes scanned coupons that manufacturers pay for."""
    return offer.scanned is not None and offer.scanned.coupons == "manufacturer"


def funding_of(offer: Offer, strings: StringPool) -> list[tuple[int, ...]]:
    """Return who pays, as fields of funding_t; the retailer alone when the offer does not say."""
    if offer.funding is None and is_of_manufacturers(offer):
        return [(*strings.add(MANUFACTURER), 10_000, SETTLEMENTS["third_party"])]
    if offer.funding is None:
        pays = offer.layer_name in ("redemption", "tender")
        settlement = "tender" if pays else "price_reduction"
        return [(*strings.add(RETAILER), 10_000, SETTLEMENTS[settlement])]
    return [
        (*strings.add(share.funder), share.percent, SETTLEMENTS[share.settlement])
        for share in offer.funding
    ]


def tender_rules_of(offer: Offer) -> list[tuple[int, ...]]:
    """Return the schemes and card digits that an offer accepts, as fields of tender_rule_t."""
    if offer.tender is None:
        return []
    rule = offer.tender.with_
    found: list[tuple[int, ...]] = [
        (int(key), 0, 0, 0) for key in name_keys("scheme", rule.schemes or [])
    ]
    found += [(0, int(digits), len(digits), 0) for digits in rule.bins or []]
    return found


def texts_of(offer: Offer, strings: StringPool) -> list[tuple[bytes, int, int, int]]:
    """Return locale, offset, length and kind of each text of an offer."""
    kinds = (
        (_layout.TEXT_NAME, offer.name),
        (_layout.TEXT_RECEIPT, offer.receipt),
        (_layout.TEXT_CASHIER, offer.cashier),
        (_layout.TEXT_NEAR_MISS, offer.near_miss),
    )
    return [
        (locale.encode(), *strings.add(text), kind)
        for kind, texts in kinds
        for locale, text in sorted((texts or {}).items())
    ]
