"""Damaged snapshots are refused or harmless: never a crash, never an endless probe.

The seed stands in the test's name. The probe is built with AddressSanitizer and
UndefinedBehaviorSanitizer, and follows what the engine follows in every file that opened.
"""

import random
from pathlib import Path

import numpy as np
import pytest

from checklane import _layout
from checklane.errors import DamageError
from checklane.tables.files import read_snapshot, verify_snapshot, write_snapshot
from checklane.tables.open_addressing import Table
from tests.snapshot import samples

OK = "0"
DAMAGED = str(_layout.STATUSES["SNAPSHOT_DAMAGED"][0])
UNSUPPORTED = str(_layout.STATUSES["FORMAT_UNSUPPORTED"][0])
FILES = 150
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF)


def used_ranges(path: Path) -> list[tuple[int, int]]:
    """Return (offset, size) in the file of the used part of every table."""
    content = path.read_bytes()
    head_bytes = _layout.TABLE_HEADER.itemsize
    ranges = []
    for name, value in read_snapshot(path).items():
        if name == "names" and path.name.startswith("catalogue"):
            continue
        head = np.frombuffer(value, dtype=_layout.TABLE_HEADER, count=1)[0]
        used = head_bytes + int(head["capacity"]) * int(head["record_bytes"])
        ranges.append((content.index(bytes(value)), used))
    return ranges


def damage(content: bytes, ranges: list[tuple[int, int]], rng: random.Random) -> bytes:
    """Return the content with a few bytes or words of its tables overwritten."""
    spoiled = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        begin, size = rng.choice(ranges)
        width = rng.choice((1, 1, 2, 4, 8))
        at = begin + rng.randrange(max(size - width, 1)) // width * width
        byte = rng.choice((*EXTREMES, rng.randrange(256)))
        spoiled[at : at + width] = bytes([byte]) * width
    return bytes(spoiled)


@pytest.mark.parametrize("seed", [20261, 20262])
@pytest.mark.parametrize("kind", ["members", "catalogue", "program"])
def test_damaged_tables_do_no_harm(probe, members, catalogue, tmp_path, kind, seed):
    sound = {"members": members.path, "catalogue": catalogue.path}.get(kind)
    if sound is None:
        sound = write_snapshot(tmp_path, "program", samples.program_tables())
    content = sound.read_bytes()
    ranges = used_ranges(sound)
    rng = random.Random(f"{kind} {seed}")
    paths = [tmp_path / f"damaged-{number}.lmdb" for number in range(FILES)]
    for path in paths:
        path.write_bytes(damage(content, ranges, rng))
    answers = probe("walk", kind, [sound, *paths])
    assert answers[0] == OK
    assert set(answers) <= {OK, DAMAGED, UNSUPPORTED}
    assert answers.count(DAMAGED) > FILES // 10


@pytest.mark.parametrize("seed", [20263, 20264])
def test_members_that_nobody_looked_through_do_no_harm(probe, members, tmp_path, seed):
    content = members.path.read_bytes()
    ranges = used_ranges(members.path)
    rng = random.Random(seed)
    paths = [tmp_path / f"damaged-{number}.lmdb" for number in range(FILES)]
    for path in paths:
        path.write_bytes(damage(content, ranges, rng))
    answers = probe("start", "members", [members.path, *paths])
    assert answers[0] == OK
    # A start sees less than an activation, and follows what it did not see.
    assert answers.count(OK) > probe("walk", "members", [members.path, *paths]).count(OK)


def spoiled_program(table: str, field: str, row: int, value: int) -> dict:
    tables = dict(samples.program_tables())
    spoiled = tables[table]
    if isinstance(spoiled, Table):
        records = spoiled.records.copy()
        tables[table] = Table(records, spoiled.count)
    else:
        records = tables[table] = spoiled.copy()
    (records[field] if field else records)[row] = value
    return tables


MONEY_OVER = _layout.LINE_AMOUNT_MAX + 1


@pytest.mark.parametrize(
    ("table", "field", "row", "value"),
    [
        ("header", "step_budget", 0, 0),
        ("header", "product_count", 0, 5),
        ("header", "offer_count", 0, 2),
        ("header", "store_set_words", 0, 0),
        ("header", "multiplier_policy", 0, 3),
        ("offers", "first_slot", 0, 4),
        ("offers", "slot_count", 0, 2),
        ("offers", "slot_count", 1, 9),
        ("offers", "first_limit", 0, 1),
        ("offers", "first_text", 0, 1),
        ("offers", "funding_count", 0, 1),
        ("offers", "store_set", 0, 1),
        ("offers", "audience", 0, 1),
        ("offers", "schedule", 0, 1),
        ("offers", "id_length", 2, 2),
        ("offers", "layer", 0, 4),
        ("offers", "mechanic", 0, 10),
        ("offers", "reward", 0, 9),
        ("offers", "reward_value", 0, 10001),
        ("offers", "reward_value", 0, -1),
        ("offers", "per_minor", 2, 0),
        ("offers", "purse", 2, 2),
        ("offers", "control_bp", 0, 10001),
        ("offers", "floor_minor", 0, MONEY_OVER),
        ("offers", "key", 1, 77),
        ("slots", "offer", 0, 1),
        ("slots", "role", 0, 3),
        ("slots", "count", 1, 0),
        ("slots", "unit_min_minor", 0, MONEY_OVER),
        ("class_of_product", "", 0, 3),
        ("classes", "first", 2, 3),
        ("postings", "", 1, 0),
        ("postings", "", 2, 4),
        ("postings", "", 2, 3),
        ("universal", "", 0, 0),
        ("universal_lists", "store_set", 0, 0),
        ("universal_lists", "count", 0, 1),
        ("universal_lists", "gated_count", 0, 1),
        ("classes", "gated_count", 2, 1),
        ("offers", "flags", 1, 2),
        ("funding", "share_bp", 0, 3999),
        ("funding", "funder_length", 0, 4),
        ("funding", "settlement", 0, 0),
        ("limits", "scope", 0, 0),
        ("audiences", "tier_mask", 0, 1 << 16),
        ("schedules", "hours_count", 0, 5),
        ("schedules", "first_blackout", 0, 1),
        ("blackouts", "", 1, 20000),
        ("texts", "offset", 0, 1),
        ("purses", "worth_den", 0, 0),
        ("purses", "expiry_n", 0, -1),
        ("tiers", "progress", 0, 1),
        ("progress", "slot", 0, 3),
        ("progress", "window", 0, 5),
        ("progress", "measure", 0, 4),
        ("progress", "reward_points", 0, 1),
        ("slots", "count", 4, 1),
        ("slots", "role", 4, 0),
        ("tiers", "grace_days", 0, 367),
        ("offers", "progress", 0, 2),
        ("progress", "reward_offer", 0, 3),
        ("progress", "goal", 0, 0),
        ("issuers", "prefix_length", 0, 23),
        ("offers", "first_tender_rule", 0, 2),
        ("offers", "tender_rule_count", 0, 2),
    ],
)
def test_each_fault_of_a_program_is_refused(probe, tmp_path, table, field, row, value):
    path = write_snapshot(tmp_path, "program", spoiled_program(table, field, row, value))
    assert probe("walk", "program", [path]) == [DAMAGED]


@pytest.mark.parametrize(
    ("table", "field", "value"),
    [
        ("rows", "offer", 3),
        ("rows", "product", 4),
        ("rows", "price_minor", MONEY_OVER),
        ("coupons", "offer", 3),
        ("offer_numbers", "offer", 3),
        ("names", "space", 0),
        ("names", "number", 16),
    ],
)
def test_each_fault_of_a_probed_table_is_refused(probe, tmp_path, table, field, value):
    records = samples.program_tables()[table].records
    key = {"rows": "offer", "coupons": "coupon_key"}.get(table, "key")
    row = int(np.flatnonzero(records[key] != 0)[0])
    path = write_snapshot(tmp_path, "program", spoiled_program(table, field, row, value))
    assert probe("walk", "program", [path]) == [DAMAGED]


def test_a_probed_table_without_an_empty_slot_is_refused(probe, tmp_path):
    tables = dict(samples.program_tables())
    full = np.repeat(tables["names"].records[tables["names"].records["key"] != 0], 2)
    tables["names"] = Table(full, 1)
    path = write_snapshot(tmp_path, "program", tables)
    assert probe("walk", "program", [path]) == [DAMAGED]


@pytest.mark.parametrize("table", ["header", "offers", "names", "strings"])
def test_a_missing_table_is_refused(probe, tmp_path, table):
    tables = dict(samples.program_tables())
    del tables[table]
    path = write_snapshot(tmp_path, "program", tables)
    assert probe("walk", "program", [path]) == [DAMAGED]


def test_another_format_is_told_apart_from_damage(probe, tmp_path):
    path = write_snapshot(tmp_path, "program", spoiled_program("header", "format", 0, 2))
    assert probe("walk", "program", [path]) == [UNSUPPORTED]


@pytest.mark.parametrize("keep_bytes", [0, 100, 4096, 9000, 40_000])
def test_a_file_that_was_cut_off_is_refused(probe, members, tmp_path, keep_bytes):
    cut = tmp_path / members.path.name
    cut.write_bytes(members.path.read_bytes()[:keep_bytes])
    assert probe("walk", "members", [cut])[0] != OK
    with pytest.raises(DamageError):
        verify_snapshot(cut)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_any_damaged_page_is_refused_in_python(members, tmp_path, seed):
    rng = random.Random(seed)
    content = members.path.read_bytes()
    for _ in range(200):
        spoiled = bytearray(content)
        # The first pages steer where everything else is looked for.
        at = rng.randrange(rng.choice((4096, 5 * 4096, len(content))))
        spoiled[at] ^= 1 << rng.randrange(8)
        path = tmp_path / members.path.name
        path.write_bytes(spoiled)
        try:
            values = {name: bytes(value) for name, value in read_snapshot(path).items()}
        except DamageError:
            continue
        if values != {name: bytes(value) for name, value in read_snapshot(members.path).items()}:
            with pytest.raises(DamageError):
                verify_snapshot(path)
