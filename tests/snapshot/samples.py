"""Small feeds and a small program, by hand: everything that a test of snapshots starts from."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from checklane import _layout
from checklane.snapshot.keys import Keys
from checklane.tables.files import Tables
from checklane.tables.hashing import name_key
from checklane.tables.open_addressing import mix64, open_addressed

KEYS = Keys(identity=b"identity-key-16b", hold_out=b"hold-out-key-16b", token=b"token-key-16-byt")
VOCABULARY = SimpleNamespace(tiers={"silver": 1, "gold": 2}, segments={"baby": 0, "pets": 70})

MEMBERS = [
    {
        "member_id": "m1",
        "group_id": "g1",
        "tier": "gold",
        "segments": "baby;pets",
        "consent": "yes",
    },
    {"member_id": "m2", "group_id": "g1", "birth_date": "1980-02-29", "staff": "TRUE"},
    {"member_id": "m3", "segments": " pets ", "business": "1", "home_store": "s1"},
]
IDENTIFIERS = [
    {"member_id": "m1", "kind": "card", "value": "9800-0000-0001"},
    {"member_id": "m1", "kind": "email", "value": " Ann@Example.COM "},
    {"member_id": "m2", "kind": "Phone", "value": "+1 (555) 010-0002"},
    {"member_id": "m3", "kind": "app", "value": "Token-3"},
]
WALLETS = [
    {"member_id": "m1", "offer_id": "soup"},
    {"member_id": "m1", "offer_id": "bread"},
    {"member_id": "m3", "offer_id": "soup"},
]
PRODUCTS = [
    {
        "code_kind": "gtin",
        "code": "4006381333931",
        "category": "Home/Pens",
        "brand": "Blue",
        "cost": "1.23456",
        "legal_min": "0.99",
    },
    {"code_kind": "gtin", "code": "96385074", "category": "Food / Soup", "flags": "no_earn; fuel"},
    {"code_kind": "plu", "code": "4011", "category": "Food/Fruit", "department": "Produce"},
    {"code_kind": "sku", "code": "A-17", "vendor": "Mill"},
]
STORES = [
    {"store_id": "s2", "region": "north", "price_zone": "city", "timezone": "Europe/Berlin"},
    {"store_id": "s1", "region": "south", "timezone": "America/New_York", "jurisdiction": "NY"},
    {"store_id": "s3"},
]


#: Two sets of rules in two jurisdictions.
EXCLUSIONS = {
    "excluded_set": np.array([0, 1, 1, 0], dtype=np.uint16),
    "excluded_flags": np.array([0, 1, 0, 7], dtype=np.uint8),
}
#: Tables of a program that has nothing for them.
EMPTY_TABLES = {
    "redeemers": np.uint32,
    "more": _layout.OFFER_MORE,
    "steps": _layout.STEP,
    "after": np.uint32,
    "grades": np.uint64,
    "families": np.uint16,
}


def write_csv(path: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    """Write rows as CSV with every column that one of them has."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def filled(dtype: np.dtype, **fields: object) -> np.ndarray:
    """Return one record with some fields set."""
    record = np.zeros(1, dtype=dtype)
    for name, value in fields.items():
        record[name] = value
    return record


def offers() -> np.ndarray:
    """Return three offers: percent off, buy one get one, base earn."""
    common = {
        "store_set": _layout.NONE_32,
        "audience": _layout.NONE_32,
        "schedule": _layout.NONE_32,
        "version": 1,
    }
    return np.concatenate(
        [
            filled(
                _layout.OFFER,
                **(common | {"store_set": 0, "audience": 0, "schedule": 0}),
                key=name_key("offer", "a"),
                layer=_layout.LAYER_ITEM,
                mechanic=_layout.MECHANIC_UNIT_OFF,
                reward=_layout.REWARD_PERCENT,
                reward_value=1500,
                slot_count=1,
                limit_count=1,
                funding_count=2,
                text_count=1,
                id_length=1,
            ),
            filled(
                _layout.OFFER,
                **common,
                key=name_key("offer", "b"),
                layer=_layout.LAYER_ITEM,
                mechanic=_layout.MECHANIC_BUY_GET,
                reward=_layout.REWARD_PERCENT,
                reward_value=10000,
                first_slot=1,
                slot_count=2,
                first_limit=1,
                first_funding=2,
                first_text=1,
                first_row=0,
                row_count=2,
                id_text=1,
                id_length=1,
            ),
            filled(
                _layout.OFFER,
                **common,
                key=name_key("offer", "c"),
                layer=_layout.LAYER_EARN,
                mechanic=_layout.MECHANIC_EARN_RATE,
                reward=_layout.REWARD_POINTS,
                reward_value=1,
                per_minor=100,
                purse=1,
                first_slot=3,
                slot_count=1,
                first_limit=1,
                first_funding=2,
                first_text=1,
                id_text=2,
                id_length=1,
            ),
        ]
    )


def slots() -> np.ndarray:
    """Return the slots of the three offers, the last of them universal, and that of a progress."""
    rows = np.zeros(5, dtype=_layout.SLOT)
    rows["offer"] = (0, 1, 1, 2, _layout.NONE_32)
    roles = (_layout.SLOT_TAKE, _layout.SLOT_BUY, _layout.SLOT_GET, _layout.SLOT_TAKE)
    rows["role"] = (*roles, _layout.SLOT_PROGRESS)
    rows["count"] = (0, 1, 1, 0, 0)
    rows["flags"] = (0, 0, 0, _layout.SLOT_FLAG_UNIVERSAL, _layout.SLOT_FLAG_UNIVERSAL)
    return rows


def index_tables() -> dict[str, np.ndarray]:
    """Return which slots the products are in."""
    return {
        "class_of_product": np.array([1, 0, 2, 0], dtype=np.uint32),
        "classes": np.array([(0, 0, 0), (0, 2, 0), (2, 1, 0)], dtype=_layout.POSTING_LIST),
        "postings": np.array([0, 1, 2], dtype=np.uint32),
        "universal": np.array([3, 4], dtype=np.uint32),
        "universal_lists": np.array([(_layout.NONE_32, 0, 2, 0)], dtype=_layout.UNIVERSAL_LIST),
    }


def program_tables(catalogue_hash: bytes = bytes(16)) -> Tables:
    """Return every table of a small and sound program over four products and three stores."""
    header = filled(
        _layout.PROGRAM_HEADER,
        program_key=name_key("program", "sample"),
        step_budget=_layout.STEP_BUDGET_DEFAULT,
        catalogue_hash=np.frombuffer(catalogue_hash, dtype=np.uint8),
        format=_layout.SNAPSHOT_FORMAT,
        semantics_version=_layout.SEMANTICS_VERSION,
        currency_exponent=2,
        store_set_words=1,
        product_count=4,
        jurisdiction_count=2,
        offer_count=3,
        return_days=30,
    )
    rows = np.concatenate(
        [
            filled(_layout.ROW, offer=1, product=2, zone=0, price_minor=199),
            filled(_layout.ROW, offer=1, product=2, zone=1, price_minor=179),
        ]
    )
    row_hash = mix64(rows["offer"].astype(np.uint64) << np.uint64(32) | rows["product"])
    empty_row = filled(_layout.ROW, product=_layout.NONE_32)[0]
    offer_table = offers()
    numbers = np.zeros(3, dtype=_layout.OFFER_NUMBER)
    numbers["key"], numbers["offer"] = offer_table["key"], (0, 1, 2)
    coupon = filled(_layout.COUPON_SLOT, coupon_key=name_key("coupon", "SAVE"), offer=0)
    name = filled(_layout.NAME_SLOT, key=name_key("tier", "gold"), number=2, space=2)
    shares = np.zeros(2, dtype=_layout.FUNDING)
    shares["share_bp"], shares["settlement"], shares["funder_length"] = (4000, 6000), 1, 3
    return {
        "header": header,
        "offers": offer_table,
        "slots": slots(),
        **index_tables(),
        "rows": open_addressed(rows, row_hash, empty=empty_row),
        "limits": filled(_layout.LIMIT, most=3, scope=1, measure=1, window=1),
        "funding": shares,
        "store_sets": np.array([5], dtype=np.uint64),
        "audiences": filled(_layout.AUDIENCE, tier_mask=4, flags=1),
        "schedules": filled(
            _layout.SCHEDULE, until_minute=9**9, hours_count=1, hours_until=60, blackout_count=2
        ),
        "blackouts": np.array([20000, 20001], dtype=np.int32),
        "texts": filled(_layout.TEXT, kind=1, length=3),
        "strings": b"abc",
        "purses": filled(_layout.PURSE, key=name_key("purse", "points"), worth_den=1, id_length=3),
        "tiers": filled(_layout.TIER, key=name_key("tier", "base"), progress=0, goal=100),
        "progress": filled(
            _layout.PROGRESS,
            key=7,
            goal=10,
            slot=4,
            reward_offer=2,
            measure=2,
            scope=1,
            id_length=3,
        ),
        "coupons": open_addressed(coupon, coupon["coupon_key"]),
        "offer_numbers": open_addressed(numbers, numbers["key"]),
        "names": open_addressed(name, name["key"]),
        **{name: np.zeros(0, dtype=kind) for name, kind in EMPTY_TABLES.items()},
        **EXCLUSIONS,
        "retailers": filled(_layout.RETAILER, number=71234, digits=7),
        "tender_rules": filled(_layout.TENDER_RULE, bin=4111, bin_digits=4),
        "issuers": filled(_layout.ISSUER_RANGE, kind=1, length_min=12, length_max=12),
    }
