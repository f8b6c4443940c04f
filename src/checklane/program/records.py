"""Tables that are not offers: the head, the program's names, and what is looked up by key."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from checklane import _layout
from checklane.program.fields import exact_number
from checklane.program.mechanics import (
    ROUNDINGS,
    SlotPlan,
    grade_keys,
    has_more,
    more_fields,
    progress_decimals,
    rounds_of,
)
from checklane.program.model import (
    Expiry,
    IdentifierKind,
    Offer,
    Program,
    Progress,
    WithoutReceipt,
)
from checklane.program.parts import WINDOWS
from checklane.program.pools import StringPool
from checklane.tables.hashing import name_key, name_keys
from checklane.tables.open_addressing import Table, mix64, open_addressed

MULTIPLIERS = {
    "highest": _layout.MULTIPLIER_HIGHEST,
    "additive": _layout.MULTIPLIER_ADDITIVE,
    "compound": _layout.MULTIPLIER_COMPOUND,
}
FUELS = {"authorised": _layout.FUEL_AUTHORISED, "any": _layout.FUEL_ANY}
EXPIRED_HOLDS = {"refuse": _layout.EXPIRED_HOLD_REFUSE, "spend": _layout.EXPIRED_HOLD_SPEND}
CLAW_BACKS = {
    "within_balance": _layout.CLAW_BACK_WITHIN_BALANCE,
    "pending_only": _layout.CLAW_BACK_PENDING_ONLY,
    "negative": _layout.CLAW_BACK_NEGATIVE,
}
RETURNS = {"prorate": _layout.RETURN_PRORATE, "reprice": _layout.RETURN_REPRICE}
MEASURES = {
    "spend": _layout.PROGRESS_SPEND,
    "visits": _layout.PROGRESS_VISITS,
    "units": _layout.PROGRESS_UNITS,
    "points": _layout.PROGRESS_POINTS,
}
PROGRESS_WINDOWS = {**WINDOWS, "rolling": _layout.WINDOW_ROLLING}
SCOPES = {"member": _layout.LIMIT_SCOPE_MEMBER, "household": _layout.LIMIT_SCOPE_GROUP}
#: Flags of a slot by the kind of line that its selector asks for (B6).
LINE_FLAGS = {None: 0, "fee": _layout.SLOT_FLAG_FEE, "charge": _layout.SLOT_FLAG_CHARGE}
NAME_SPACES = {
    "segment": _layout.NAME_SPACE_SEGMENT,
    "tier": _layout.NAME_SPACE_TIER,
    "channel": _layout.NAME_SPACE_CHANNEL,
    "purse": _layout.NAME_SPACE_PURSE,
}

Records = npt.NDArray[Any]


def header_record(program: Program) -> Records:
    """Return the program's head, before it is bound to a catalogue."""
    header = np.zeros(1, dtype=_layout.PROGRAM_HEADER)
    policies = program.policies
    letters = program.currency.code.encode()
    values = {
        "program_key": name_key("program", program.program),
        "step_budget": policies.step_budget,
        "format": _layout.SNAPSHOT_FORMAT,
        "semantics_version": program.semantics,
        "program_version": program.version,
        "currency": int.from_bytes(letters, "little"),
        "currency_exponent": program.currency.exponent,
        "multiplier_policy": MULTIPLIERS[policies.multiplier],
        "return_policy": RETURNS[policies.returns],
        "claw_back_policy": CLAW_BACKS[policies.claw_back],
        "points_rounding": ROUNDINGS[policies.points_rounding],
        "hold_minutes": policies.hold_minutes,
        "expired_hold_policy": EXPIRED_HOLDS[policies.expired_hold],
        "fuel_policy": FUELS[policies.fuel],
        "return_days": policies.return_days,
        "claim_days": policies.claim_days,
        "unreceipted": unreceipted_rules(policies.returns_without_receipt),
        "unreceipted_minor": policies.returns_without_receipt.most or 0,
    }
    if policies.basket_discount is not None:
        values["basket_discount_minor"] = policies.basket_discount.money or 0
        values["basket_discount_bp"] = policies.basket_discount.percent or 0
    for name, value in values.items():
        header[name] = value
    return header


def unreceipted_rules(policy: WithoutReceipt) -> int:
    """Return the bits of what goods without receipt need."""
    refused = 0 if policy.allowed else _layout.UNRECEIPTED_REFUSED
    return refused | (_layout.UNRECEIPTED_MEMBER if policy.member == "required" else 0)


def slot_records(plans: Sequence[SlotPlan]) -> Records:
    """Return the slots of all offers."""
    records = np.zeros(len(plans), dtype=_layout.SLOT)
    prices = [plan.selector.unit_price for plan in plans]
    records["offer"] = [plan.offer for plan in plans]
    records["role"] = [plan.role for plan in plans]
    records["count"] = [plan.count for plan in plans]
    kinds = [LINE_FLAGS[plan.selector.line] for plan in plans]
    records["flags"] = [plan.flags | kind for plan, kind in zip(plans, kinds, strict=True)]
    records["unit_min_minor"] = [(price.from_ or 0) if price else 0 for price in prices]
    records["unit_max_minor"] = [(price.until or 0) if price else 0 for price in prices]
    return records


def text_records(texts: Sequence[tuple[bytes, int, int, int]]) -> Records:
    """Return texts by locale: (locale, offset, length, kind) each."""
    records = np.zeros(len(texts), dtype=_layout.TEXT)
    width = records["locale"].shape[1]
    padded = b"".join(text[0].ljust(width, b"\0") for text in texts)
    records["locale"] = np.frombuffer(padded, dtype=np.uint8).reshape(len(texts), width)
    for place, name in enumerate(("offset", "length", "kind"), start=1):
        records[name] = [text[place] for text in texts]
    return records


def row_table(rows: Records) -> Table:
    """Return price rows, open-addressed by offer and product."""
    keys = rows["offer"].astype(np.uint64) << np.uint64(32) | rows["product"].astype(np.uint64)
    empty = np.zeros((), dtype=_layout.ROW)
    empty["product"] = _layout.NONE_32
    ties = rows["zone"].astype(np.uint64)
    return open_addressed(rows, mix64(keys), empty=empty, ties=ties)


def coupon_table(coupons: Sequence[tuple[str, int]]) -> Table:
    """Return coupons, open-addressed by their keys: (code, offer number) each."""
    records = np.zeros(len(coupons), dtype=_layout.COUPON_SLOT)
    records["coupon_key"] = name_keys("coupon", [code for code, _ in coupons])
    records["offer"] = [number for _, number in coupons]
    return open_addressed(records, records["coupon_key"].copy())


def more_records(offers: Sequence[Offer], strings: StringPool) -> tuple[Records, Records, Records]:
    """Return what few offers say, the offers after which others stack, and grades of fuel.

    Parameters
    ----------
    offers : sequence of Offer
        In the order of their numbers.
    strings : StringPool
        Takes the codes of coupons that are issued.
    """
    numbers = {offer.id: number for number, offer in enumerate(offers)}
    codes = {offer.id: offer.coupon.codes[0] for offer in offers if offer.coupon is not None}
    rounds = rounds_of(offers)
    those = [offer for offer in offers if has_more(offer)]
    records = np.zeros(len(those), dtype=_layout.OFFER_MORE)
    after: list[int] = []
    grades: list[int] = []
    for offer, record in zip(those, np.split(records, len(those)) if those else [], strict=True):
        named = sorted({numbers[name] for name in offer.stack_after or []})
        record["offer"] = numbers[offer.id]
        record["round"] = rounds.get(offer.id, 0)
        record["first_after"], record["after_count"] = len(after), len(named)
        after += named
        keys = grade_keys(offer)
        record["first_grade"], record["grade_count"] = len(grades), len(keys)
        grades += keys
        for name, value in more_fields(offer).items():
            record[name] = value
        if offer.issue is not None:
            record["issued_offer"] = numbers[offer.issue.coupon]
            text, length = strings.add(codes[offer.issue.coupon])
            record["issued_code_text"], record["issued_code_length"] = text, length
    return records, np.array(after, dtype=np.uint32), np.array(grades, dtype=np.uint64)


def retailer_records(retailers: Iterable[str]) -> Records:
    """Return whose coupons that name a retailer are good here."""
    ordered = sorted(retailers)
    records = np.zeros(len(ordered), dtype=_layout.RETAILER)
    records["number"] = [int(text) for text in ordered]
    records["digits"] = [len(text) for text in ordered]
    return records


def offer_number_table(ids: Sequence[str]) -> Table:
    """Return offer numbers, open-addressed by offer keys; `ids` in the order of their numbers."""
    records = np.zeros(len(ids), dtype=_layout.OFFER_NUMBER)
    records["key"] = name_keys("offer", ids)
    records["offer"] = np.arange(len(ids))
    return open_addressed(records, records["key"].copy())


def program_tables(
    program: Program, strings: StringPool, offers: Sequence[Offer], first_slot: int
) -> dict[str, Table | Records]:
    """Return the tables that come from the program file.

    Parameters
    ----------
    program : Program
    strings : StringPool
        Takes the ids.
    offers : sequence of Offer
        In the order of their numbers.
    first_slot : int
        Number of the slot of the first count towards a goal.
    """
    progress_numbers = {name: number for number, name in enumerate(sorted(program.progress))}
    return {
        "purses": purse_records(program, strings),
        "tiers": tier_records(program, strings, progress_numbers),
        "progress": progress_records(program, strings, offers, first_slot),
        "names": name_table(program, strings),
        "issuers": issuer_records(program),
    }


def expiry_of(expiry: Expiry | None) -> tuple[int, int]:
    """Return way and number of an expiry."""
    if expiry is None:
        return _layout.EXPIRY_NEVER, 0
    if expiry.days is not None:
        return _layout.EXPIRY_DAYS, expiry.days
    if expiry.rolling_days is not None:
        return _layout.EXPIRY_ROLLING, expiry.rolling_days
    if expiry.month_end is not None:
        return _layout.EXPIRY_MONTH_END, expiry.month_end
    return _layout.EXPIRY_FIXED, (expiry.on or [0])[0]


def purse_records(program: Program, strings: StringPool) -> Records:
    """Return purses; number n is record n - 1."""
    count = max((purse.number for purse in program.purses.values()), default=0)
    records = np.zeros(count, dtype=_layout.PURSE)
    records["worth_den"] = 1
    for name, purse in sorted(program.purses.items()):
        record = records[purse.number - 1 : purse.number]
        record["key"] = name_key("purse", name)
        record["decimals"] = purse.decimals
        record["expiry"], record["expiry_n"] = expiry_of(purse.expires)
        record["pending_days"] = purse.pending_days
        record["flags"] = _layout.PURSE_FLAG_AWAITS if purse.awaits_confirmation else 0
        record["id_text"], record["id_length"] = strings.add(name)
        if purse.worth is not None:
            points = exact_number(purse.worth.points, purse.decimals, "points", "100")
            record["worth_num"], record["worth_den"] = purse.worth.money, points
    return records


def tier_records(program: Program, strings: StringPool, progress: Mapping[str, int]) -> Records:
    """Return tiers by number."""
    count = max((tier.number + 1 for tier in program.tiers.values()), default=0)
    records = np.zeros(count, dtype=_layout.TIER)
    records["progress"] = _layout.NONE_32
    for name, tier in sorted(program.tiers.items()):
        record = records[tier.number : tier.number + 1]
        record["key"] = name_key("tier", name)
        record["id_text"], record["id_length"] = strings.add(name)
        if tier.reached_by is not None:
            by = tier.reached_by
            record["progress"] = progress[by.progress]
            record["goal"] = goal_units(by.goal, program.progress[by.progress], program)
            record["grace_days"] = by.grace_days
    return records


def goal_units(goal: str | None, progress: Progress, program: Program) -> int:
    """Return a goal in the unit of its progress."""
    if goal is None:
        return 0
    return exact_number(goal, progress_decimals(progress, program), "a goal", "10")


def progress_slots(program: Program) -> list[SlotPlan]:
    """Return the slots of the counts towards goals, in the order of their ids."""
    return [
        SlotPlan(_layout.NONE_32, _layout.SLOT_PROGRESS, number, program.progress[name].of)
        for number, name in enumerate(sorted(program.progress))
    ]


def progress_records(
    program: Program, strings: StringPool, offers: Sequence[Offer], first_slot: int
) -> Records:
    """Return the counts towards goals, in the order of their ids."""
    numbers = {offer.id: number for number, offer in enumerate(offers)}
    records = np.zeros(len(program.progress), dtype=_layout.PROGRESS)
    for number, (name, progress) in enumerate(sorted(program.progress.items())):
        record = records[number : number + 1]
        record["key"] = name_key("progress", name)
        record["id_text"], record["id_length"] = strings.add(name)
        record["goal"] = goal_units(progress.goal, progress, program)
        record["slot"] = first_slot + number
        reward = numbers[progress.reward] if progress.reward is not None else _layout.NONE_32
        record["reward_offer"] = reward
        record["measure"] = MEASURES[progress.measure]
        record["scope"] = SCOPES[progress.scope]
        record["window"] = PROGRESS_WINDOWS[progress.window]
        record["months"] = progress.months or 0
        record["repeats"] = int(progress.repeats)
        if progress.purse is not None:
            record["purse"] = program.purses[progress.purse].number
        if progress.reward_points is not None:
            purse = program.purses[progress.reward_points.purse]
            points = exact_number(progress.reward_points.points, purse.decimals, "points", "10")
            record["reward_purse"], record["reward_points"] = purse.number, points
    return records


def name_table(program: Program, strings: StringPool) -> Table:
    """Return the numbers of segments, tiers, channels and purses, open-addressed by name key."""
    numbers: dict[str, dict[str, int]] = {
        "segment": {name: part.number for name, part in program.segments.items()},
        "tier": {name: part.number for name, part in program.tiers.items()},
        "channel": {name: part.number for name, part in program.channels.items()},
        "purse": {name: part.number for name, part in program.purses.items()},
    }
    numbered = [
        (space, name, number)
        for space, of_space in numbers.items()
        for name, number in sorted(of_space.items())
    ]
    records = np.zeros(len(numbered), dtype=_layout.NAME_SLOT)
    records["key"] = [name_key(space, name) for space, name, _ in numbered]
    records["number"] = [number for _, _, number in numbered]
    records["space"] = [NAME_SPACES[space] for space, _, _ in numbered]
    for record, (_, name, _) in zip(records, numbered, strict=True):
        record["id_text"], record["id_length"] = strings.add(name)
    return open_addressed(records, records["key"].copy())


def issuer_records(program: Program) -> Records:
    """Return the ranges of identifiers that may open a provisional account."""
    records = np.zeros(len(program.issuer_ranges), dtype=_layout.ISSUER_RANGE)
    kinds = get_args(IdentifierKind)
    for number, issuer in enumerate(program.issuer_ranges):
        record = records[number : number + 1]
        prefix = issuer.prefix.encode()
        # The wire enum IdentifierKind lists the kinds in this order, from 1.
        record["kind"] = kinds.index(issuer.kind) + 1
        record["length_min"] = issuer.length
        record["length_max"] = issuer.length_max or issuer.length
        record["prefix_length"] = len(prefix)
        record["prefix"][0, : len(prefix)] = np.frombuffer(prefix, dtype=np.uint8)
    return records
