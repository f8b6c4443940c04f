"""The compiled engine finds in a snapshot what the feeds said."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from checklane import _layout
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.snapshot.members import MemberFeeds, build_members
from checklane.tables.files import write_snapshot
from checklane.tables.hashing import first_words, hash_texts, name_key, sku_codes
from tests.snapshot import samples

OK = "0"


def number(text: str) -> int:
    return int(first_words(hash_texts(samples.KEYS.identity, [text]))[0])


def test_members_are_found(probe, members):
    questions = [f"member 0 {number('member:' + member)}" for member in ("m1", "m2", "m3", "m4")]
    wallet = " ".join(str(key) for key in sorted(name_key("offer", o) for o in ("soup", "bread")))
    group = number("group:g1")
    assert probe("ask", "members", [members.path], "\n".join(questions)) == [
        OK,
        f"{group} 2 {_layout.MEMBER_FLAG_CONSENT} 0-0 1 64 {wallet}",
        f"{group} 0 {_layout.MEMBER_FLAG_STAFF} 2-29 0 0",
        f"{number('member:m3')} 0 {_layout.MEMBER_FLAG_BUSINESS} 0-0 0 64"
        f" {name_key('offer', 'soup')}",
        "none",
    ]


def test_identifiers_are_found_in_their_normal_form(probe, members):
    texts = ["card:980000000001", "email:ann@example.com", "phone:15550100002", "app:Token-3"]
    hashes = hash_texts(samples.KEYS.identity, [*texts, "app:token-3"])
    questions = "\n".join(f"identity {high} {low}" for high, low in hashes.tolist())
    assert probe("ask", "members", [members.path], questions) == [
        OK,
        f"{number('member:m1')} 1 1",
        f"{number('member:m1')} 3 1",
        f"{number('member:m2')} 2 1",
        f"{number('member:m3')} 4 1",
        "none",
    ]


def test_products_are_found_by_each_kind_of_code(probe, catalogue):
    codes = [1 << 60 | 4006381333931, 1 << 60 | 96385074, 2 << 60 | 4011, *sku_codes(["A-17"])]
    questions = "\n".join(f"product 0 {code}" for code in [*codes, 1 << 60 | 12345670])
    answers = probe("ask", "catalogue", [catalogue.path], questions)
    numbers = {code: place for place, code in enumerate(sorted(int(code) for code in codes))}
    assert answers == [OK, *(f"{numbers[int(code)]} {code}" for code in codes), "none"]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_stores_know_their_offset(probe, catalogue, zone):
    store = {"Europe/Berlin": "s2", "America/New_York": "s1"}[zone]
    # Both sides of the changes of 2026, to the second, and far instants.
    change = int(datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp())
    other = int(datetime(2026, 11, 1, 6, tzinfo=UTC).timestamp())
    instants = [change - 1, change, other - 1, other, 946684800, 2395440000]
    key = name_key("store", store)
    questions = "\n".join(f"store {instant} {key}" for instant in instants)
    answers = probe("ask", "catalogue", [catalogue.path], questions)
    local = [datetime.fromtimestamp(instant, ZoneInfo(zone)) for instant in instants]
    offsets = [int(time.utcoffset().total_seconds()) // 60 for time in local]
    place = {"s1": 0, "s2": 1}[store]
    assert answers == [OK, *(f"{place} {offset}" for offset in offsets)]


def test_offers_names_and_rows_are_found(probe, tmp_path):
    path = write_snapshot(tmp_path, "program", samples.program_tables())
    questions = [f"offer 0 {name_key('offer', offer)}" for offer in "abcd"]
    questions += [f"name 0 {name_key('tier', 'gold')}"]
    questions += [f"row {1 << 32 | 2} {zone}" for zone in (0, 1, 2)] + [f"row {1 << 32 | 3} 0"]
    none = str(_layout.NONE_32)
    assert probe("ask", "program", [path], "\n".join(questions)) == [
        *(OK, "0", "1", "2", none, "2", "199", "179", "199", "none")
    ]


def test_many_members_and_products_are_all_found(probe, tmp_path):
    count = 3000
    rng = np.random.default_rng(20261)
    ids = [f"id-{n}" for n in rng.permutation(count)]
    feeds = MemberFeeds(
        [samples.write_csv(tmp_path / "m.csv", [{"member_id": i} for i in ids])],
        [
            samples.write_csv(
                tmp_path / "i.csv", [{"member_id": i, "kind": "account", "value": i} for i in ids]
            )
        ],
    )
    built = build_members(feeds, samples.VOCABULARY, samples.KEYS, tmp_path)
    hashes = hash_texts(samples.KEYS.identity, [f"account:{i}" for i in ids]).tolist()
    questions = "\n".join(f"identity {high} {low}" for high, low in hashes)
    numbers = first_words(hash_texts(samples.KEYS.identity, [f"member:{i}" for i in ids]))
    assert probe("ask", "members", [built.path], questions)[1:] == [f"{n} 5 1" for n in numbers]
    rows = [{"code_kind": "sku", "code": i} for i in ids]
    stores = samples.write_csv(tmp_path / "s.csv", samples.STORES)
    products = samples.write_csv(tmp_path / "p.csv", rows)
    built = build_catalogue(CatalogueFeeds([products], [stores]), tmp_path)
    codes = sku_codes(ids)
    answers = probe(
        "ask", "catalogue", [built.path], "\n".join(f"product 0 {code}" for code in codes)
    )
    places = np.argsort(np.argsort(codes))
    expected = [f"{place} {code}" for place, code in zip(places, codes, strict=True)]
    assert answers[1:] == expected


def test_empty_feeds_make_tables_that_can_be_probed(probe, tmp_path):
    feeds = MemberFeeds([samples.write_csv(tmp_path / "m.csv", [{"member_id": ""}])])
    built = build_members(feeds, samples.VOCABULARY, samples.KEYS, tmp_path)
    assert probe("ask", "members", [built.path], "member 0 5\nidentity 1 2") == [OK, "none", "none"]
