"""Feeds in three formats, and the report of every row that is not in the snapshot."""

import csv
import json
import random
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from checklane._layout import WALLET_MAX
from checklane.snapshot import feeds as feeds_module
from checklane.snapshot import members as members_module
from checklane.snapshot import report as report_module
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.snapshot.codes import gtin_code, plu_code, scaled
from checklane.snapshot.identifiers import birthday, normalise
from checklane.snapshot.members import AsOf, Built, MemberFeeds, build_members
from checklane.snapshot.report import FeedError
from checklane.tables.catalogue_tables import open_catalogue
from tests.snapshot import samples


def write_json_lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_parquet(path: Path, rows: list[dict]) -> Path:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    table = pa.table({column: [row.get(column) for row in rows] for column in columns})
    parquet.write_table(table, path)
    return path


WRITERS = {"csv": samples.write_csv, "jsonl": write_json_lines, "parquet": write_parquet}


def build(directory: Path, suffix: str, members, identifiers=(), wallets=()) -> Built:
    write = WRITERS[suffix]
    directory.mkdir(exist_ok=True)
    feeds = MemberFeeds(
        [write(directory / f"members.{suffix}", list(members))],
        [write(directory / f"identifiers.{suffix}", list(identifiers))] if identifiers else [],
        [write(directory / f"wallets.{suffix}", list(wallets))] if wallets else [],
    )
    return build_members(feeds, samples.VOCABULARY, samples.KEYS, directory / "out")


def faults(built: Built) -> list[tuple[str, int, str, str]]:
    return [(r.file, r.row, r.column, r.reason) for r in built.report.rejected]


def test_the_three_formats_give_the_same_bytes(tmp_path):
    feeds = (samples.MEMBERS, samples.IDENTIFIERS, samples.WALLETS)
    paths = [build(tmp_path / suffix, suffix, *feeds).path for suffix in WRITERS]
    assert len({path.name for path in paths}) == 1
    assert len({path.read_bytes() for path in paths}) == 1


@pytest.mark.parametrize("seed", [1, 2])
def test_the_order_of_rows_does_not_matter(tmp_path, seed):
    rng = random.Random(seed)
    feeds = (samples.MEMBERS, samples.IDENTIFIERS, samples.WALLETS)
    plain = build(tmp_path / "plain", "csv", *feeds)
    mixed = build(tmp_path / "mixed", "csv", *(rng.sample(rows, len(rows)) for rows in feeds))
    assert plain.path.read_bytes() == mixed.path.read_bytes()
    catalogues = []
    for name, shuffle in (("plain", False), ("mixed", True)):
        files = []
        for feed, rows in (("products", samples.PRODUCTS), ("stores", samples.STORES)):
            chosen = rng.sample(rows, len(rows)) if shuffle else rows
            files.append([samples.write_csv(tmp_path / f"{name}-{feed}.csv", chosen)])
        catalogues.append(build_catalogue(CatalogueFeeds(*files), tmp_path / name))
    assert catalogues[0].path.read_bytes() == catalogues[1].path.read_bytes()


def test_what_the_feeds_cover_is_part_of_the_content(tmp_path):
    feeds = MemberFeeds([samples.write_csv(tmp_path / "m.csv", samples.MEMBERS)])
    built = [
        build_members(feeds, samples.VOCABULARY, samples.KEYS, tmp_path, as_of=as_of).path.name
        for as_of in (AsOf(), AsOf(lsn=7), AsOf(unix_ms=7))
    ]
    assert len(set(built)) == 3


def test_each_rejected_member_has_its_row_and_reason(tmp_path):
    rows = [
        {"member_id": "m1"},
        {"member_id": ""},
        {"member_id": "x" * 65},
        {"member_id": "m2", "tier": "platinum"},
        {"member_id": "m3", "segments": "baby;cars"},
        {"member_id": "m4", "consent": "maybe"},
        {"member_id": "m5", "birth_date": "1981-02-29"},
        {"member_id": " m1 "},
        {"member_id": "zero\0byte"},
        {"member_id": "m6", "referrer": "m6"},
        {"member_id": "m7", "referrer": "m1"},
    ]
    built = build(tmp_path, "csv", rows)
    file = "members.csv"
    assert sorted(faults(built)) == [
        (file, 3, "member_id", "empty"),
        (file, 4, "member_id", "too long"),
        (file, 5, "tier", "not a known value"),
        (file, 6, "segments", "not a segment of the program: cars"),
        (file, 7, "consent", "not a known value"),
        (file, 8, "birth_date", "not a day"),
        (file, 9, "member_id", f"member_id was given before: {file} row 2"),
        (file, 10, "member_id", "not UTF-8 text"),
        (file, 11, "referrer", "the member is named as their own referrer"),
    ]
    assert built.counts["members"] == 2
    with built.path.with_suffix(".rejected.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [int(row["row"]) for row in table] == [3, 4, 5, 6, 7, 8, 9, 10, 11]
    assert all(row["reason"] and row["remedy"] for row in table)


def test_each_rejected_identifier_has_its_row_and_reason(tmp_path):
    rows = [
        {"member_id": "m1", "kind": "card", "value": "12-34"},
        {"member_id": "nobody", "kind": "card", "value": "1"},
        {"member_id": "m1", "kind": "fax", "value": "1"},
        {"member_id": "m1", "kind": "card", "value": "12a"},
        {"member_id": "m1", "kind": "email", "value": "no-at-sign"},
        {"member_id": "m1", "kind": "card", "value": "1234"},
        {"member_id": "m2", "kind": "card", "value": "12 34"},
    ]
    built = build(tmp_path, "csv", samples.MEMBERS, rows)
    file = "identifiers.csv"
    assert sorted(faults(built)) == [
        (file, 3, "member_id", "no such member in the members feed"),
        (file, 4, "kind", "not a known value"),
        (file, 5, "value", "not a value of kind card"),
        (file, 6, "value", "not a value of kind email"),
        (file, 7, "value", f"identifier was given before: {file} row 2"),
        (file, 8, "value", f"identifier was given before to another member: {file} row 2"),
    ]
    assert built.counts["identifiers"] == 1


def test_a_wallet_has_a_ceiling_and_no_repeats(tmp_path):
    rows = [{"member_id": "m1", "offer_id": f"o{n}"} for n in range(WALLET_MAX + 2)]
    rows.insert(1, {"member_id": "m1", "offer_id": "o0"})
    rows.append({"member_id": "m9", "offer_id": "o0"})
    built = build(tmp_path, "csv", samples.MEMBERS, wallets=rows)
    over = f"more than {WALLET_MAX} offers in one wallet"
    file = "wallets.csv"
    assert sorted(faults(built)) == [
        (file, 3, "offer_id", f"offer was given to this member before: {file} row 2"),
        (file, WALLET_MAX + 3, "offer_id", over),
        (file, WALLET_MAX + 4, "offer_id", over),
        (file, WALLET_MAX + 5, "member_id", "no such member in the members feed"),
    ]
    assert built.counts["wallet offers"] == WALLET_MAX


def test_each_rejected_product_and_store_has_its_row_and_reason(tmp_path):
    products = [
        {"code_kind": "gtin", "code": "4006381333931"},
        {"code_kind": "gtin", "code": "4006381333932"},
        {"code_kind": "ean", "code": "4006381333931"},
        {"code_kind": "plu", "code": "12345678"},
        {"code_kind": "sku", "code": "a", "flags": "no_earn;glows"},
        {"code_kind": "sku", "code": "b", "cost": "1.234567"},
        {"code_kind": "sku", "code": "c", "legal_min": "-1"},
        {"code_kind": "gtin", "code": "04006381333931"},
    ]
    stores = [{"store_id": "s1"}, {"store_id": "s1"}, {"store_id": "s2", "timezone": "Mars/Base"}]
    feeds = CatalogueFeeds(
        [samples.write_csv(tmp_path / "p.csv", products)],
        [samples.write_csv(tmp_path / "s.csv", stores)],
    )
    built = build_catalogue(feeds, tmp_path)
    assert sorted(faults(built)) == [
        ("p.csv", 3, "code", "not a GTIN: wrong check digit"),
        ("p.csv", 4, "code_kind", "not a known value"),
        ("p.csv", 5, "code", "not a PLU: more than 6 digits"),
        ("p.csv", 6, "flags", "not a known value"),
        ("p.csv", 7, "cost", "not an amount of at most 5 decimals in range"),
        ("p.csv", 8, "legal_min", "not an amount of at most 2 decimals in range"),
        ("p.csv", 9, "code", "code was given before: p.csv row 2"),
        ("s.csv", 3, "store_id", "store_id was given before: s.csv row 2"),
        ("s.csv", 4, "timezone", "not a known value"),
    ]
    assert (built.counts["products"], built.counts["stores"]) == (1, 1)


def test_the_compiler_reads_names_and_numbers(catalogue):
    tables = open_catalogue(catalogue.path)
    assert tables.store_ids == ["s1", "s2", "s3"]
    assert tables.category_paths == ["", "Food/Fruit", "Food/Soup", "Home/Pens"]
    assert tables.zone_names == ["", "city"]
    assert tables.jurisdiction_names == ["", "NY"]
    assert tables.brand_names == ["Blue"]
    assert tables.stores["zone"].tolist() == [0, 1, 0]
    codes = tables.products["code"]
    assert tables.find_products(codes).tolist() == [0, 1, 2, 3]
    assert tables.find_products(codes + codes.dtype.type(1)).tolist() == [-1] * 4
    pen = tables.products[tables.find_products(codes[codes == 1 << 60 | 4006381333931])[0]]
    assert (pen["cost_milli"], pen["legal_min_minor"]) == (123456, 99)
    assert tables.category_paths[pen["category"]] == "Home/Pens"


def test_rows_keep_their_numbers_across_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(feeds_module, "CHUNK_ROWS", 3)
    rows = [{"member_id": f"m{n}", "tier": "x" if n % 4 == 3 else ""} for n in range(12)]
    for suffix in WRITERS:
        built = build(tmp_path / suffix, suffix, rows)
        head = 1 if suffix == "csv" else 0
        assert [row - head for _, row, _, _ in faults(built)] == [4, 8, 12]
        assert built.report.read[f"members.{suffix}"] == 12


def test_rows_that_are_no_rows_are_rejected_and_reading_goes_on(tmp_path):
    path = tmp_path / "m.csv"
    path.write_bytes(b'member_id,tier\nm1,\nm2,gold,extra\n\nm3\n"m\n4",\nm\xff5,\nm6,gold\n')
    built = build_members(MemberFeeds([path]), samples.VOCABULARY, samples.KEYS, tmp_path)
    assert sorted(faults(built)) == [
        ("m.csv", 3, "", "3 fields where the head has 2"),
        ("m.csv", 5, "", "1 fields where the head has 2"),
        ("m.csv", 7, "member_id", "not UTF-8 text"),
    ]
    assert built.counts["members"] == 3
    assert built.report.read["m.csv"] == 6
    path.write_text(f'member_id\nm1\n"{"x" * 140_000}"\nm3\n')
    built = build_members(MemberFeeds([path]), samples.VOCABULARY, samples.KEYS, tmp_path)
    assert [row for _, row, _, _ in faults(built)] == [3]
    assert (built.counts["members"], built.report.read["m.csv"]) == (2, 3)
    lines = tmp_path / "m.jsonl"
    lines.write_bytes(
        b'{"member_id": 17}\nnot json\n[1]\n{"member_id": "m2", "segments": ["baby"]}'
    )
    built = build_members(MemberFeeds([lines]), samples.VOCABULARY, samples.KEYS, tmp_path)
    assert [row for _, row, _, _ in faults(built)] == [2, 3]
    assert built.counts["members"] == 2


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("m.txt", b"member_id\n", "name the file .csv"),
        ("m.csv", b"id\nm1\n", "needs the column member_id"),
        ("m.csv", b"member_id,tier,tier\n", "twice"),
        ("m.csv", b"", "needs the column member_id"),
        ("m.jsonl", b'{"id": "m1"}\n', "needs the column member_id"),
        ("m.parquet", b"PAR0", "not a Parquet file"),
    ],
)
def test_a_file_that_is_no_feed_is_refused(tmp_path, name, content, told):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(FeedError, match=told):
        build_members(MemberFeeds([path]), samples.VOCABULARY, samples.KEYS, tmp_path / "out")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "m.parquet", samples.MEMBERS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FeedError, match=r"pip install 'checklane\[feeds\]'"):
        build_members(MemberFeeds([path]), samples.VOCABULARY, samples.KEYS, tmp_path)


def test_columns_without_a_table_are_told(tmp_path):
    built = build(tmp_path, "csv", [{"member_id": "m1", "shoe_size": "43"}])
    assert built.report.ignored == {"members.csv": ["shoe_size"]}


def test_a_wrong_file_is_refused_before_its_report_fills_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(report_module, "REJECTED_MAX", 3)
    with pytest.raises(FeedError, match="is this the right file"):
        build(tmp_path, "csv", [{"member_id": "m1", "tier": "x"}] * 5)


def test_two_ids_of_one_number_refuse_the_build(tmp_path, monkeypatch):
    real = members_module.hash_texts

    def collide(key, texts):
        hashes = real(key, texts)
        hashes[:, 1] = 5
        return hashes

    monkeypatch.setattr(members_module, "hash_texts", collide)
    with pytest.raises(FeedError, match=r"hash to one number \(members.csv row 2 and"):
        build(tmp_path, "csv", samples.MEMBERS[:2])


def test_no_id_or_value_of_a_member_is_in_the_file(members):
    content = members.path.read_bytes().lower()
    for text in (b"example.com", b"980000000001", b"token-3"):
        assert text not in content


@pytest.mark.parametrize(
    ("kind", "value", "normal"),
    [
        ("card", "0012 34", "001234"),
        ("card", "+12", "12"),
        ("card", "1+2", None),
        ("card", "", None),
        ("card", "١٢", None),
        ("phone", "(555) 010.00/2", "555010002"),
        ("phone", "555x", None),
        ("email", "A.B@C.D", "a.b@c.d"),
        ("email", "É@c.d", "É@c.d"),
        ("email", "a b@c.d", None),
        ("email", "@c.d", None),
        ("app", "AbC", "AbC"),
        ("account", "x" * 256, "x" * 256),
        ("account", "x" * 257, None),
        ("account", "é" * 129, None),
    ],
)
def test_normal_forms(kind, value, normal):
    assert normalise(kind, value) == normal


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("", (0, 0)),
        ("1980-02-29", (2, 29)),
        ("02-29", (2, 29)),
        ("--12-31", (12, 31)),
        ("1981-02-29", None),
        ("13-01", None),
        ("04-31", None),
        ("1980/01/01", None),
        ("0000-01-01", None),
    ],
)
def test_birthdays(text, day):
    assert birthday(text) == day


def test_product_codes():
    assert gtin_code("96385074") == 1 << 60 | 96385074
    assert gtin_code("036000291452") == gtin_code("00036000291452") == 1 << 60 | 36000291452
    assert gtin_code("36000291452") == 1 << 60 | 36000291452
    for wrong in ("96385075", "1234567", "000000000000000", "00000000", "9638507x", "²2345670"):
        assert isinstance(gtin_code(wrong), str)
    assert plu_code("4011") == plu_code("04011") == 2 << 60 | 4011
    assert isinstance(plu_code("0"), str)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("1.5", 150),
        ("1.50000", 150),
        ("1.505", None),
        ("-1", None),
        ("1e3", None),
        (".5", None),
        ("1,5", None),
    ],
)
def test_amounts_are_exact(text, number):
    assert scaled(text, 2) == number
