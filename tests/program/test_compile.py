"""Compiled tables say what the files say, and the same files give the same bytes."""

import random
from dataclasses import replace

import numpy as np
import pytest

from checklane import _layout
from checklane.program import LoadedProgram, Offer, Program, compile_loaded, compile_program
from checklane.program.checks import Attachments
from checklane.program.compile import array_of
from checklane.program.model import Selector
from checklane.program.selectors import FLAG_BITS, SelectorIndex, classify
from checklane.tables.files import content_hash, table_value
from checklane.tables.hashing import name_key
from checklane.tables.open_addressing import look_up, mix64
from tests.program.samples import PROGRAM, gtin, make_catalogue, small_catalogue, write_program

CATEGORIES = ["", "A", "A/B", "A/B/C", "A/B-", "A/B0", "AB", "D", "D/E"]
BRANDS = ["", "X", "Y", "Z"]
DEPARTMENTS = ["", "P", "Q"]
FLAGS = ["no_discount", "age_restricted", "fuel"]


def random_rows(draw, count):
    return [
        {
            "code": gtin(number) if number % 5 else str(1000 + number),
            "category": draw.choice(CATEGORIES),
            "brand": draw.choice(BRANDS),
            "department": draw.choice(DEPARTMENTS),
            "flags": draw.sample(FLAGS, draw.randrange(3)),
        }
        for number in range(count)
    ]


def catalogue_of(rows):
    rows = sorted(rows, key=lambda row: row["code"])
    return rows, make_catalogue(
        [row["code"] for row in rows],
        [row["category"] for row in rows],
        [row["brand"] for row in rows],
        [row["department"] for row in rows],
        [sum(FLAG_BITS[flag] for flag in row["flags"]) for row in rows],
    )


def random_selector(draw, rows, depth=0):
    value = {}
    kinds = ["category", "brand", "department", "items", "flags"]
    if depth < 3:
        kinds += ["any", "all", "not"]
    for kind in draw.sample(kinds, draw.choice([1, 1, 1, 2, 3])):
        if kind == "category":
            value[kind] = draw.sample(CATEGORIES[1:], draw.randrange(1, 3))
        elif kind in ("brand", "department"):
            value[kind] = draw.choice([BRANDS, DEPARTMENTS][kind == "department"][1:])
        elif kind == "items":
            codes = [draw.choice(rows)["code"] for _ in range(draw.randrange(1, 9))]
            value[kind] = [*codes, gtin(999_999)]
        elif kind == "flags":
            value[kind] = draw.sample(FLAGS, draw.randrange(1, 3))
        elif kind == "not":
            value[kind] = random_selector(draw, rows, depth + 1)
        else:
            parts = draw.randrange(1, 4)
            value[kind] = [random_selector(draw, rows, depth + 1) for _ in range(parts)]
    return value if draw.random() > 0.05 else "all"


def fits(value, row):
    """Judge one product by one selector, word by word."""
    if value == "all":
        return True
    listed = {k: v if isinstance(v, list) else [v] for k, v in value.items()}
    tests = {
        "category": lambda names: any(
            row["category"] == name or row["category"].startswith(name + "/") for name in names
        ),
        "brand": lambda names: row["brand"] in names,
        "department": lambda names: row["department"] in names,
        "items": lambda codes: row["code"] in codes,
        "flags": lambda flags: set(flags) <= set(row["flags"]),
        "any": lambda parts: any(fits(part, row) for part in parts),
        "all": lambda parts: all(fits(part, row) for part in parts),
        "not": lambda parts: not fits(parts[0], row),
    }
    return all(tests[key](given) for key, given in listed.items())


@pytest.mark.parametrize("seed", range(20))
def test_selectors_and_classes_equal_the_naive_answer(seed):
    draw = random.Random(seed)
    rows, catalogue = catalogue_of(random_rows(draw, draw.choice([1, 7, 60, 300])))
    values = [random_selector(draw, rows) for _ in range(40)]
    index = SelectorIndex(catalogue)
    members = [index.products(Selector.model_validate(value), lambda name: []) for value in values]
    for value, products in zip(values, members, strict=True):
        assert products.tolist() == [n for n, row in enumerate(rows) if fits(value, row)]
    classes = classify(len(rows), members)
    of_class = {}
    for pair in zip(classes.classes.tolist(), classes.selectors.tolist(), strict=True):
        of_class.setdefault(pair[0], set()).add(pair[1])
    seen = {}
    for number, row in enumerate(rows):
        expected = frozenset(n for n, value in enumerate(values) if fits(value, row))
        found = int(classes.class_of_product[number])
        assert of_class.get(found, set()) == expected
        assert seen.setdefault(expected, found) == found
        assert (found == 0) == (not expected)


@pytest.mark.parametrize("seed", range(8))
def test_postings_equal_the_naive_answer(seed):
    draw = random.Random(seed)
    rows, catalogue = catalogue_of(random_rows(draw, 120))
    values = {}
    for number in range(30):
        repeat = draw.choice(list(values.values())) if number and draw.random() < 0.3 else None
        values[f"o{number}"] = repeat or random_selector(draw, rows)
    offers = [
        Offer.model_validate({"id": name, "discount": {"of": value, "percent": 5}})
        for name, value in values.items()
    ]
    tables = compiled_from(offers, catalogue).tables
    universal = set(tables["universal"].tolist())
    names = sorted(values)
    for number, row in enumerate(rows):
        posting = tables["classes"][tables["class_of_product"][number]]
        first, count = int(posting["first"]), int(posting["count"])
        slots = tables["postings"][first : first + count].tolist()
        assert slots == sorted(set(slots))
        assert not universal & set(slots)
        found = {names[tables["slots"]["offer"][slot]] for slot in {*slots, *universal}}
        assert found == {name for name, value in values.items() if fits(value, row)}


def compiled_from(offers, catalogue, program=None):
    base = {"program": "test", "currency": {"code": "USD"}, **(program or {})}
    loaded = LoadedProgram(None, Program.model_validate(base), offers)
    return compile_loaded(loaded, Attachments(), catalogue)


def compiled(tmp_path, offers, program=PROGRAM, **files):
    path = write_program(tmp_path, offers, program, **files)
    return compile_program(path, small_catalogue())


def hash_of(tables):
    return content_hash({name: table_value(table) for name, table in tables.items()})


def test_the_same_files_give_the_same_bytes_in_any_order(tmp_path):
    one = "- id: b\n  name: {fr: deux, en: two}\n  discount: {of: {brand: Harbor}, percent: 5}\n"
    other = "- id: a\n  where: {stores: [S1]}\n  discount: {of: {items: 4011}, percent: 6}\n"
    first = hash_of(compiled(tmp_path / "1", one + other))
    assert first == hash_of(compiled(tmp_path / "2", other + one))
    assert first != hash_of(compiled(tmp_path / "3", other + one.replace("5", "7")))


def test_every_table_is_there_with_its_dtype(tmp_path):
    tables = compiled(tmp_path, "- id: a\n  discount: {of: all, percent: 10}\n")
    dtypes = {
        "header": "program_header", "offers": "offer", "slots": "slot", "classes": "posting_list",
        "rows": "row", "limits": "limit", "steps": "step", "more": "offer_more",
        "funding": "funding", "audiences": "audience",
        "schedules": "schedule", "texts": "text", "purses": "purse", "tiers": "tier",
        "progress": "progress", "coupons": "coupon_slot", "offer_numbers": "offer_number",
        "universal_lists": "universal_list",
        "names": "name_slot", "issuers": "issuer_range", "tender_rules": "tender_rule",
        "retailers": "retailer",
    }  # fmt: skip
    for name, struct in dtypes.items():
        assert array_of(tables[name]).dtype == _layout.STRUCTS[struct], name
    plain = {
        "redeemers",
        "families",
        "excluded_set",
        "excluded_flags",
        "grades",
        "class_of_product",
        "postings",
        "universal",
        "store_sets",
        "blackouts",
        "strings",
        "after",
    }
    assert set(tables) == set(dtypes) | plain
    header = tables["header"][0]
    assert bytes(header["catalogue_hash"]) == bytes(range(16))
    assert header["product_count"] == 4
    assert header["program_key"] == name_key("program", "test")
    assert header["currency"] == int.from_bytes(b"USD", "little")


MECHANICS = {
    "discount: {of: all, amount: 1.50}": (
        1, {"reward": 2, "reward_value": 150, "layer": 0}, [(0, 0)]),
    "buy_get: {buy: {count: 2, of: all}, get: {count: 1, same: true, percent: 100}}": (
        3, {"reward": 1, "reward_value": 10_000, "get_count": 1}, [(0, 3)]),
    "buy_get: {buy: {count: 2, of: all}, get: {count: 3, of: {brand: Corner}, price: 0.99}}": (
        2, {"reward": 3, "reward_value": 99, "get_count": 3}, [(1, 2), (2, 3)]),
    "group_price: {count: 3, of: all, price: 5}": (
        4, {"reward": 3, "reward_value": 500}, [(0, 3)]),
    "group_price: {slots: [{of: all}, {count: 2, of: {brand: Harbor}}], price: 5}": (
        4, {"reward_value": 500}, [(0, 1), (0, 2)]),
    "row_prices: {file: rows.csv}": (5, {"reward": 3, "row_count": 2}, [(0, 0)]),
    "threshold: {spend: 50, reward: {amount: 5}}": (
        6, {"reward": 2, "reward_value": 500, "threshold_minor": 5000, "times_max": 1, "layer": 1},
        [(1, 0), (2, 0)]),
    "threshold: {count: 10, reward: {percent: 5}}": (
        6, {"reward": 1, "reward_value": 500, "threshold_count": 10}, [(1, 0), (2, 0)]),
    "earn: {purse: cash, points: 0.02, per: 1, valid_days: 30}": (
        7, {"reward": 4, "reward_value": 2, "per_minor": 100, "purse": 2, "valid_days": 30,
            "layer": 3, "rounding": 1}, [(0, 0)]),
    "bonus: {purse: points, points: 20, count: 3}": (
        8, {"reward": 4, "reward_value": 20, "purse": 1, "flags": 0}, [(0, 3)]),
    "bonus: {purse: points, points: 20, once_a_visit: true}": (
        8, {"flags": _layout.OFFER_FLAG_ONCE_A_VISIT}, [(0, 1)]),
    "multiply: {purse: points, by: 1.5}": (9, {"reward_value": 15_000, "purse": 1}, [(0, 0)]),
}  # fmt: skip


@pytest.mark.parametrize("text", MECHANICS)
def test_mechanics(text, tmp_path):
    mechanic, fields, slots = MECHANICS[text]
    rows = f"item,zone,price,limit\n{gtin(1)},,1.25,\n{gtin(1)},city,1.35,2\n{gtin(77)},,9,\n"
    tables = compiled(tmp_path, f"- id: a\n  {text}\n", rows_csv=rows)
    offer = tables["offers"][0]
    assert offer["mechanic"] == mechanic
    assert {name: int(offer[name]) for name in fields} == fields
    found = [(int(slot["role"]), int(slot["count"])) for slot in tables["slots"]]
    assert found == slots
    assert offer["slot_count"] == len(slots)


def test_exclusions_by_product_and_jurisdiction(tmp_path):
    text = (
        PROGRAM
        + "exclusions:\n- {of: {flags: fuel}, from: [earn, burn], jurisdictions: NY}\n"
        + "- {of: {category: FOOD}, from: discount}\n"
        + "- {of: {flags: fuel}, from: [discount, earn], unless: age_verified}\n"
    )
    path = write_program(tmp_path, "[]\n", program=text)
    catalogue = replace(small_catalogue(), jurisdiction_names=["", "NY"])
    tables = compile_program(path, catalogue)
    assert tables["header"]["jurisdiction_count"][0] == 2
    sets = len(tables["excluded_flags"]) // 2
    flags = tables["excluded_flags"].reshape(2, sets)[:, tables["excluded_set"]]
    # Soup, canned soup, fuel (which is FOOD/PASTA here) and fruit; nowhere, then New York.
    gated = 3 << _layout.EXCLUDED_GATED_SHIFT
    assert flags.tolist() == [[1, 1, 1 | gated, 0], [1, 1, 7 | gated, 0]]


def test_rows_are_found_by_offer_and_product(tmp_path):
    rows = f"item,zone,price,limit\n{gtin(1)},,1.25,\n{gtin(1)},city,1.35,2\n"
    table = compiled(tmp_path, "- id: a\n  row_prices: {file: rows.csv}\n", rows_csv=rows)["rows"]
    assert table.count == 2
    filled = table.records[table.records["product"] != _layout.NONE_32]
    assert sorted(filled[["zone", "price_minor", "units_max"]].tolist()) == [
        (0, 125, 0),
        (1, 135, 2),
    ]
    home = mix64(np.zeros(1, dtype=np.uint64)) & np.uint64(len(table.records) - 1)
    assert table.records[int(home[0])]["product"] == 0


def test_conditions(tmp_path):
    offer = """\
- id: a
  class: -3
  priority: 7
  chosen: true
  wallet: true
  stackable: true
  reduced_items: out
  base: initial
  floor_price: 0.10
  control_percent: 2.5
  price_sources: [shelf, barcode]
  coupon: {codes: [C1, C2], serial: true}
  when: {from: 2026-01-01, until: 2026-01-31, weekdays: [monday, sunday],
         hours: [{from: "22:00", until: "02:00"}], blackout: [2026-01-06, 2026-01-02]}
  where: {regions: north, channels: [store, kiosk]}
  who: {tiers: gold, segments: {any: families}, consent: true, birthday: day}
  limits: {per_basket: {money: 3}, per_member: [{uses: 1, window: week}, {money: 9}],
           overall: {units: 100}}
  funding: [{funder: Maker, percent: 60, settlement: third_party}, {funder: Us, percent: 40}]
  discount: {of: {unit_price: {from: 1, until: 2.50}}, percent: 5}
"""
    tables = compiled(tmp_path, offer)
    record = tables["offers"][0]
    flags = ("CHOSEN", "WALLET", "COUPON", "STACKABLE", "INITIAL_BASE", "SERIAL", "REDUCED_OUT")
    assert record["flags"] == sum(getattr(_layout, f"OFFER_FLAG_{flag}") for flag in flags)
    assert (record["class_order"], record["priority"], record["control_bp"]) == (-3, 7, 250)
    assert (record["floor_minor"], record["discount_max_minor"]) == (10, 300)
    assert record["source_mask"] == 1 << 1 | 1 << 7
    assert record["channel_mask"] == 1 << 1 | 1 << 7
    assert tables["store_sets"].tolist() == [0b01]
    schedule = tables["schedules"][record["schedule"]]
    assert schedule["until_minute"] - schedule["from_minute"] == 31 * 1440
    assert schedule["weekday_mask"] == 0b1000001
    assert (schedule["hours_from"][0], schedule["hours_until"][0]) == (1320, 120)
    assert tables["blackouts"].tolist() == sorted(tables["blackouts"].tolist())
    audience = tables["audiences"][record["audience"]]
    assert audience["flags"] == _layout.AUDIENCE_FLAG_MEMBERS | _layout.AUDIENCE_FLAG_CONSENT
    assert (audience["tier_mask"], audience["any"].tolist()) == (0b10, [1, 0])
    limits = tables["limits"][["most", "scope", "measure", "window", "number"]].tolist()
    assert limits == [(1, 1, 1, 2, 0), (900, 1, 2, 0, 1), (100, 4, 3, 0, 2)]
    assert tables["funding"][["share_bp", "settlement"]].tolist() == [(6000, 2), (4000, 1)]
    slot = tables["slots"][0]
    assert (slot["unit_min_minor"], slot["unit_max_minor"]) == (100, 250)
    assert slot["flags"] == _layout.SLOT_FLAG_UNIVERSAL
    coupons = tables["coupons"]
    keys = np.array([name_key("coupon", code) for code in ("C1", "C2")], dtype=np.uint64)
    assert (look_up(coupons.records["coupon_key"], keys, keys) >= 0).all()


def test_offers_stand_in_the_order_of_their_ids_bytes(tmp_path):
    ids = ["b", "B", "a10", "a2", "a-1", "0"]
    offers = "".join(f"- id: '{i}'\n  discount: {{of: all, percent: 1}}\n" for i in ids)
    tables = compiled(tmp_path, offers)
    strings = tables["strings"]
    found = [
        strings[offer["id_text"] : offer["id_text"] + offer["id_length"]].decode()
        for offer in tables["offers"]
    ]
    assert found == sorted(ids)
    numbers = tables["offer_numbers"].records
    keys = np.array([name_key("offer", name) for name in found], dtype=np.uint64)
    assert numbers["offer"][look_up(numbers["key"], keys, keys)].tolist() == list(range(len(ids)))
    assert tables["offers"]["key"].tolist() == keys.tolist()


def test_purses_tiers_and_names(tmp_path):
    program = (
        PROGRAM
        + """\
progress:
  visits: {measure: visits, window: year, goal: 10, reward: a}
  spend: {measure: spend, scope: household}
"""
        + "issuer_ranges: [{prefix: 6029, length: 16}]\n"
    )
    program = program.replace(
        "points: {number: 1}",
        "points: {number: 1, expires: {month_end: 12}, worth: {points: 100, money: 0.50}}",
    ).replace("gold: {number: 1}", "gold: {number: 1, reached_by: {progress: spend, goal: 9.50}}")
    offer = "- id: a\n  wallet: true\n  discount: {of: all, percent: 1}\n"
    tables = compiled(tmp_path, offer, program)
    purse = tables["purses"][0]
    assert (purse["worth_num"], purse["worth_den"]) == (50, 100)
    assert (purse["expiry"], purse["expiry_n"]) == (_layout.EXPIRY_MONTH_END, 12)
    assert (tables["purses"][1]["decimals"], tables["purses"][1]["worth_den"]) == (2, 1)
    tier = tables["tiers"][1]
    assert (tables["tiers"][0]["key"], tier["key"]) == (0, name_key("tier", "gold"))
    assert (tier["progress"], tier["goal"]) == (0, 950)
    assert tables["progress"]["reward_offer"].tolist() == [_layout.NONE_32, 0]
    issuer = tables["issuers"][0]
    assert bytes(issuer["prefix"][:4]) == b"6029"
    assert (issuer["kind"], issuer["length_min"], issuer["length_max"]) == (1, 16, 16)
    names = tables["names"].records
    key = np.array([name_key("segment", "families")], dtype=np.uint64)
    name = names[look_up(names["key"], key, key)[0]]
    assert (name["space"], name["number"]) == (_layout.NAME_SPACE_SEGMENT, 0)
    text = tables["strings"][name["id_text"] : name["id_text"] + name["id_length"]]
    assert text == b"families"


def test_many_offers_over_many_products_share_their_postings():
    draw = random.Random(5)
    _, catalogue = catalogue_of(random_rows(draw, 2000))
    offers = [
        Offer.model_validate(
            {"id": f"o{n}", "discount": {"of": {"category": draw.choice(CATEGORIES[1:])},
                                         "percent": 1}}
        )
        for n in range(500)
    ]  # fmt: skip
    result = compiled_from(offers, catalogue)
    assert len(result.tables["classes"]) <= len(CATEGORIES)
    assert len(result.tables["postings"]) <= 500 * len(CATEGORIES)


def test_members_only_follows_from_the_rules():
    texts = [
        {"wallet": True, "discount": {"of": "all", "percent": 1}},
        {"limits": {"per_member": {"uses": 1}}, "discount": {"of": "all", "percent": 1}},
        {"earn": {"purse": "p", "points": 1, "per": 1}},
        {"who": {"staff": True}, "discount": {"of": "all", "percent": 1}},
    ]
    assert all(Offer.model_validate({"id": "a", **text}).for_members_only for text in texts)
    plain = {"id": "a", "discount": {"of": "all", "percent": 1}}
    assert not Offer.model_validate(plain).for_members_only
