"""Small programs and baskets for the evaluator, as the tables that the engine reads."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from checklane import _layout as layout

NONE = layout.NONE_32
SALE = 1


@dataclass
class Slot:
    """A group of units: `products` None is every product."""

    products: set[int] | None
    count: int = 0
    role: int = layout.SLOT_TAKE
    least: int = 0
    most: int = 0


@dataclass
class Offer:
    """One offer; `fields` go to the record as they are, `schedule` and `audience` to theirs."""

    mechanic: int
    slots: list[Slot]
    reward: int = 0
    value: int = 0
    layer: int = layout.LAYER_ITEM
    fields: dict[str, Any] = field(default_factory=dict)
    schedule: dict[str, Any] | None = None
    blackouts: list[int] = field(default_factory=list)
    audience: dict[str, Any] | None = None
    stores: set[int] | None = None
    limits: list[dict[str, int]] = field(default_factory=list)
    funding: list[tuple[int, int]] = field(default_factory=list)
    rows: list[tuple[int, int, int, int]] = field(default_factory=list)
    coupons: list[int] = field(default_factory=list)


def key_of(offer: int) -> int:
    """Return the key of the offer with a number."""
    return 1000 + 7 * offer


def hash_place(number: int) -> int:
    """Return mix64 of siphash.h."""
    mask = 2**64 - 1
    number ^= number >> 33
    number = number * 0xFF51AFD7ED558CCD & mask
    number ^= number >> 33
    number = number * 0xC4CEB9FE1A85EC53 & mask
    return number ^ number >> 33


def open_table(dtype: Any, empty: Any, rows: list[tuple[int, dict[str, int]]]) -> Any:
    """Return an open-addressed table of (hash, fields) rows."""
    capacity = 8
    while capacity < 2 * len(rows):
        capacity *= 2
    array = np.zeros(capacity, dtype)
    for name, value in empty.items():
        array[name] = value
    used = [False] * capacity
    for place, fields in rows:
        at = place % capacity
        while used[at]:
            at = (at + 1) % capacity
        used[at] = True
        for name, value in fields.items():
            array[at][name] = value
    return array


def fill(record: Any, fields: dict[str, Any]) -> None:
    """Set fields of one record."""
    for name, value in fields.items():
        record[name] = value


def add_side_tables(number: int, offer: Offer, record: Any, lists: dict[str, list[Any]]) -> None:
    """Append what an offer has in tables of its own, and point to it."""
    for name in ("store_set", "audience", "schedule"):
        record[name] = NONE
    if offer.schedule is not None:
        row = np.zeros((), layout.SCHEDULE)
        row["until_minute"] = 2**40
        fill(row, offer.schedule)
        row["first_blackout"] = len(lists["blackouts"])
        row["blackout_count"] = len(offer.blackouts)
        lists["blackouts"] += offer.blackouts
        record["schedule"] = len(lists["schedules"])
        lists["schedules"].append(row)
    if offer.audience is not None:
        row = np.zeros((), layout.AUDIENCE)
        fill(row, offer.audience)
        record["audience"] = len(lists["audiences"])
        lists["audiences"].append(row)
    if offer.stores is not None:
        record["store_set"] = len(lists["store_sets"])
        lists["store_sets"].append(sum(1 << store for store in offer.stores))
    record["first_limit"] = len(lists["limits"])
    record["limit_count"] = len(offer.limits)
    for place, limit in enumerate(offer.limits):
        row = np.zeros((), layout.LIMIT)
        fill(row, {"number": place, "scope": layout.LIMIT_SCOPE_MEMBER, **limit})
        lists["limits"].append(row)
    record["first_funding"] = len(lists["funding"])
    record["funding_count"] = len(offer.funding)
    for settlement, share in offer.funding:
        row = np.zeros((), layout.FUNDING)
        fill(row, {"settlement": settlement, "share_bp": share})
        lists["funding"].append(row)
    for product, zone, price, most in offer.rows:
        fields = {"offer": number, "product": product, "zone": zone, "price_minor": price}
        place = hash_place(number << 32 | product)
        lists["rows"].append((place, {**fields, "units_max": most}))
    for coupon in offer.coupons:
        lists["coupons"].append((coupon, {"coupon_key": coupon, "offer": number}))


def make_program(
    offers: list[Offer],
    product_count: int,
    purses: list[dict[str, int]] | None = None,
    **header: Any,
) -> dict[str, Any]:
    """Return the tables of a program with these offers."""
    names = "blackouts schedules audiences store_sets limits funding rows coupons slots universal"
    lists: dict[str, list[Any]] = {name: [] for name in names.split()}
    records = np.zeros(len(offers), layout.OFFER)
    slots_of_product: list[list[int]] = [[] for _ in range(product_count)]
    for number, offer in enumerate(offers):
        record = records[number]
        fill(record, {"key": key_of(number), "mechanic": offer.mechanic, "layer": offer.layer})
        fill(record, {"reward": offer.reward, "reward_value": offer.value})
        fill(record, {"first_slot": len(lists["slots"]), "slot_count": len(offer.slots)})
        fill(record, offer.fields)
        for slot in offer.slots:
            row = np.zeros((), layout.SLOT)
            fill(row, {"offer": number, "role": slot.role, "count": slot.count})
            fill(row, {"unit_min_minor": slot.least, "unit_max_minor": slot.most})
            if slot.products is None:
                lists["universal"].append(len(lists["slots"]))
            for product in slot.products or ():
                slots_of_product[product].append(len(lists["slots"]))
            lists["slots"].append(row)
        add_side_tables(number, offer, record, lists)
    return tables(records, lists, slots_of_product, purses or [], header)


def is_gated(records: Any, lists: dict[str, list[Any]], slot: int) -> bool:
    """Tell whether something has to open the offer of a slot."""
    flags = int(records[int(lists["slots"][slot]["offer"])]["flags"])
    return bool(flags & layout.OFFER_FLAGS_GATED)


def universal_of(records: Any, lists: dict[str, list[Any]]) -> tuple[Any, Any]:
    """Return the slots for every product and their lists by store set."""
    by_set: dict[int, tuple[list[int], list[int]]] = {}
    for slot in lists["universal"]:
        lists["slots"][slot]["flags"] |= layout.SLOT_FLAG_UNIVERSAL
        store_set = int(records[int(lists["slots"][slot]["offer"])]["store_set"])
        by_set.setdefault(store_set, ([], []))[is_gated(records, lists, slot)].append(slot)
    rows, numbers = [], []
    for store_set, (open_slots, gated) in sorted(by_set.items()):
        rows.append((store_set, len(numbers), len(open_slots), len(gated)))
        numbers += open_slots + gated
    return np.array(numbers, np.uint32), np.array(rows, layout.UNIVERSAL_LIST)


def tables(
    records: Any,
    lists: dict[str, list[Any]],
    slots_of_product: list[list[int]],
    purses: list[dict[str, int]],
    header_fields: dict[str, Any],
) -> dict[str, Any]:
    """Return the arrays of a program."""
    header = np.zeros(1, layout.PROGRAM_HEADER)
    header[0]["store_set_words"] = 1
    header[0]["product_count"] = len(slots_of_product)
    header[0]["offer_count"] = len(records)
    fill(header[0], header_fields)
    classes = np.zeros(len(slots_of_product), layout.POSTING_LIST)
    postings: list[int] = []
    for product, slots in enumerate(slots_of_product):
        gated = [slot for slot in slots if is_gated(records, lists, slot)]
        open_slots = [slot for slot in slots if slot not in gated]
        classes[product] = (len(postings), len(open_slots), len(gated))
        postings += sorted(open_slots) + sorted(gated)
    universal, universal_lists = universal_of(records, lists)
    purse_table = np.zeros(len(purses), layout.PURSE)
    for row, fields in zip(purse_table, purses, strict=True):
        fill(row, fields)

    def dense(name: str, dtype: Any) -> Any:
        array = np.zeros(len(lists[name]), dtype)
        for at, row in enumerate(lists[name]):
            array[at] = row
        return array

    return {
        "header": header,
        "offers": records,
        "slots": dense("slots", layout.SLOT),
        "class_of_product": np.arange(len(slots_of_product), dtype=np.uint32),
        "classes": classes,
        "postings": np.array(postings, np.uint32),
        "universal": universal,
        "universal_lists": universal_lists,
        "offer_numbers": open_table(
            layout.OFFER_NUMBER,
            {},
            [(key_of(n), {"key": key_of(n), "offer": n}) for n in range(len(records))],
        ),
        "rows": open_table(layout.ROW, {"product": NONE}, lists["rows"]),
        "limits": dense("limits", layout.LIMIT),
        "steps": np.zeros(0, layout.STEP),
        "funding": dense("funding", layout.FUNDING),
        "store_sets": np.array(lists["store_sets"], np.uint64),
        "audiences": dense("audiences", layout.AUDIENCE),
        "schedules": dense("schedules", layout.SCHEDULE),
        "blackouts": np.array(lists["blackouts"], np.int32),
        "purses": purse_table,
        "coupons": open_table(layout.COUPON_SLOT, {}, lists["coupons"]),
    }


@dataclass
class Line:
    """A sale line, or another kind."""

    product: int
    count: int
    amount: int
    flags: int = 0
    source: int = 1
    kind: int = SALE


def make_basket(lines: list[Line], ids: list[int] | None = None, **more: Any) -> dict[str, Any]:
    """Return a canonical basket (B1, B2)."""
    ids = ids or list(range(1, len(lines) + 1))
    runs: dict[tuple[int, ...], list[tuple[int, int, int]]] = {}
    for at, line in enumerate(lines):
        if line.kind != SALE or line.flags & 8:
            continue
        price, dearer = divmod(line.amount, line.count)
        for unit, count in ((price + 1, dearer), (price, line.count - dearer)):
            key = (-unit, line.product, line.source, line.flags)
            if count:
                runs.setdefault(key, []).append((ids[at], at, count))
    content: dict[str, Any] = {"runs": [], "pieces": []}
    for number, (key, pieces) in enumerate(sorted(runs.items())):
        price, product, source, flags = key
        total = sum(count for _, _, count in pieces)
        first = len(content["pieces"])
        content["runs"].append((product, flags, source, -price, total, first, len(pieces)))
        content["pieces"] += [(line, number, count) for _, line, count in sorted(pieces)]
    content["lines"] = [
        (line_id, x.kind, x.product, x.flags, x.source, x.count, x.amount)
        for line_id, x in zip(ids, lines, strict=True)
    ]
    defaults = {"coupons": [], "selections": [], "channel": 1, "explain": 1, "near_miss_limit": 8}
    return {**content, **defaults, **more}


def make_facts(member: int = 0, **more: Any) -> dict[str, Any]:
    """Return the facts of a quote on Thursday, 2 January 2025 at 12:00."""
    record = np.zeros(1, layout.MEMBER_RECORD)
    fill(record[0], more.pop("record", {}))
    cells = np.zeros(len(more.get("member_cells", [])), layout.CELL)
    for row, fields in zip(cells, more.pop("member_cells", []), strict=True):
        fill(row, {"kind": layout.CELL_COUNTER, **fields})
    store = np.zeros(1, layout.STORE)
    fill(store[0], more.pop("store", {}))
    facts = {
        "local_minute": 20090 * 1440 + 720,
        "business_day": 20090,
        "member": member,
        "record": record,
        "store": store,
        "member_cells": cells,
        "group_cells": np.zeros(0, layout.CELL),
        "wallet": np.zeros(0, np.uint64),
        "stopped": np.zeros(0, np.uint64),
        "hold_out_key": np.array([1, 2], np.uint64),
    }
    for name in ("wallet", "stopped"):
        if name in more:
            facts[name] = np.array(sorted(more.pop(name)), np.uint64)
    return {**facts, **more}
