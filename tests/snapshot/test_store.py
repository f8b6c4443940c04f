"""Keys, what is live, activation, pruning, and the verbs that do it."""

import json
import stat
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from checklane import _layout
from checklane.cli import snapshot as cli
from checklane.errors import DamageError, DataDirectoryBusyError, NotFoundError, StateError
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.snapshot.keys import Keys, KeysError, create_keys, load_keys
from checklane.snapshot.store import (
    DAY_S,
    LiveSet,
    activate,
    find_snapshot,
    list_snapshots,
    locked,
    prune,
    publish,
    read_live,
)
from checklane.tables.files import read_records, read_snapshot, snapshot_hash, write_snapshot
from tests.snapshot import samples

NOW_S = 1_800_000_000


def hash_of(path):
    return snapshot_hash(path)[1]


@pytest.fixture
def data(tmp_path):
    (tmp_path / "snapshots").mkdir()
    return tmp_path


def build_program(data, catalogue_hash, step_budget=_layout.STEP_BUDGET_DEFAULT):
    tables = dict(samples.program_tables(catalogue_hash))
    tables["header"]["step_budget"] = step_budget
    return write_snapshot(data / "snapshots", "program", tables)


def test_keys_are_made_once_and_private(tmp_path):
    keys = create_keys(tmp_path)
    assert create_keys(tmp_path) == keys == load_keys(tmp_path)
    assert len({keys.identity, keys.hold_out, keys.token}) == 3
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()}
    assert modes == {0o600}
    assert len(list((tmp_path / "keys").iterdir())) == 3
    assert keys.identity.hex() not in repr(keys)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.chmod(0o640), "chmod 600"),
        (lambda path: path.write_bytes(b"short"), "not 16 bytes"),
        (lambda path: path.unlink(), "is missing"),
    ],
)
def test_wrong_keys_are_refused(tmp_path, spoil, told):
    create_keys(tmp_path)
    spoil(tmp_path / "keys" / "identity-1.key")
    with pytest.raises(KeysError, match=told):
        load_keys(tmp_path)


def test_nothing_is_live_at_first(data):
    assert read_live(data).now == LiveSet()
    assert list_snapshots(data) == []


def test_a_program_brings_its_catalogue_and_both_are_remembered(data, catalogue):
    program = build_program(data, hash_of(catalogue.path))
    activate(data, "program", hash_of(program), NOW_S)
    live = read_live(data)
    assert live.now == LiveSet(None, hash_of(catalogue.path), hash_of(program))
    assert live.previous == LiveSet()
    activate(data, "program", hash_of(program), NOW_S + 1)
    assert read_live(data) == live


def test_a_catalogue_that_is_not_the_programs_is_refused(data, catalogue):
    activate(data, "catalogue", hash_of(catalogue.path), NOW_S)
    activate(data, "program", hash_of(build_program(data, hash_of(catalogue.path))), NOW_S)
    store = samples.write_csv(data / "s.csv", samples.STORES[:1])
    product = samples.write_csv(data / "p.csv", samples.PRODUCTS[:1])
    other = build_catalogue(CatalogueFeeds([product], [store]), data / "snapshots")
    with pytest.raises(StateError, match="bound to another catalogue"):
        activate(data, "catalogue", hash_of(other.path), NOW_S)


def test_a_program_without_its_catalogue_is_refused(data):
    program = build_program(data, bytes(range(16)))
    with pytest.raises(NotFoundError):
        activate(data, "program", hash_of(program), NOW_S)
    assert read_live(data).now == LiveSet()


def test_members_of_another_key_are_refused(data, members):
    activate(data, "members", hash_of(members.path), NOW_S, samples.KEYS)
    foreign = Keys(b"f" * 16, samples.KEYS.hold_out, samples.KEYS.token)
    with pytest.raises(StateError, match="identity key of another"):
        activate(data, "members", hash_of(members.path), NOW_S, foreign)


def test_a_hash_that_does_not_match_is_refused_at_activation(data, members):
    content = bytearray(members.path.read_bytes())
    table = bytes(read_snapshot(members.path)["members"])
    record = read_records(read_snapshot(members.path), "members", _layout.MEMBER_RECORD)
    used = int(np.flatnonzero(record["member"])[0])
    at = content.index(table) + 48 + used * 64 + 44
    content[at] ^= 1
    members.path.write_bytes(content)
    with pytest.raises(DamageError, match="not what the name says"):
        activate(data, "members", hash_of(members.path), NOW_S)
    assert read_live(data).now == LiveSet()


def test_a_directory_that_a_server_holds_is_left_alone(data, catalogue):
    with locked(data), pytest.raises(DataDirectoryBusyError):
        activate(data, "catalogue", hash_of(catalogue.path), NOW_S)
    activate(data, "catalogue", hash_of(catalogue.path), NOW_S)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}', '{"format": 1, "now": 5}'])
def test_a_live_file_that_cannot_be_read_is_told(data, text):
    (data / "live.json").write_text(text)
    with pytest.raises(DamageError, match=r"live\.json"):
        read_live(data)
    (data / "live.json").write_text(json.dumps({"format": 9}))
    with pytest.raises(StateError):
        read_live(data)


def test_pruning_keeps_what_is_live_and_what_returns_need(data, catalogue, members):
    programs = [build_program(data, hash_of(catalogue.path), budget) for budget in (1, 2, 3, 4, 5)]
    for day, program in enumerate(programs[:4]):
        activate(data, "program", hash_of(program), NOW_S + day * DAY_S)
    left = data / "snapshots" / ".building-999999999-program"
    left.write_bytes(b"")
    # Live: 4. Before: 3. Retired on day 1 and 2: programs 1 and 2. Never live: 5 and the members.
    kept = [("members", hash_of(members.path))]
    removed = prune(data, NOW_S + 12 * DAY_S, kept, keep_days=10)
    assert {found.path for found in removed} == {programs[0], programs[4]}
    assert not left.exists()
    removed = prune(data, NOW_S + 500 * DAY_S)
    assert {found.path for found in removed} == {programs[1], members.path}
    assert {found.path for found in list_snapshots(data)} == {*programs[2:4], catalogue.path}


def test_publishing_verifies_the_copy(data, members, tmp_path):
    other = tmp_path / "other"
    path = publish(other, members.path)
    assert path.read_bytes() == members.path.read_bytes()
    spoiled = tmp_path / members.path.name
    spoiled.write_bytes(members.path.read_bytes().replace(samples_key_check(members), bytes(8)))
    path.unlink()
    with pytest.raises(DamageError):
        publish(other, spoiled)
    assert list((other / "snapshots").iterdir()) == []


def samples_key_check(members) -> bytes:
    info = read_records(read_snapshot(members.path), "info", _layout.SNAPSHOT_INFO)
    return info["key_check"].tobytes()


def test_a_prefix_names_one_snapshot(data, catalogue):
    found = find_snapshot(data, "catalogue", hash_of(catalogue.path).hex()[:4].upper())
    assert found.path == catalogue.path
    with pytest.raises(NotFoundError, match="no members snapshot whose hash"):
        find_snapshot(data, "members", "")


def run(*arguments):
    result = CliRunner().invoke(cli.snapshot, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def test_the_verbs_from_feeds_to_live(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "checklane.program.load_vocabulary", lambda _: samples.VOCABULARY, raising=False
    )

    def compile_within(path, catalogue, settings):
        assert settings.program_decision_us == 1250
        assert path == tmp_path
        assert catalogue.store_ids == ["s1", "s2", "s3"]
        return samples.program_tables(catalogue.hash)

    monkeypatch.setattr("checklane.program.compile_within", compile_within, raising=False)
    data = ("--data", tmp_path / "data")
    feed = {
        name: samples.write_csv(tmp_path / f"{name}.csv", getattr(samples, name.upper()))
        for name in ("members", "identifiers", "wallets", "products", "stores")
    }
    files = [part for name in ("products", "stores") for part in (f"--{name}", feed[name])]
    path = run("build", "catalogue", *data, *files).splitlines()[-1]
    run("activate", "catalogue", hash_of(Path(path)).hex(), *data)
    built = run("build", "program", tmp_path, *data).splitlines()[-1]
    run("activate", "program", hash_of(Path(built)).hex(), *data)
    files = [f"--{n}={feed[n]}" for n in ("members", "identifiers", "wallets")]
    times = ("--as-of-lsn", "12", "--as-of-time", "2026-03-01T04:00:00+01:00")
    path = run("build", "members", *data, "--program", tmp_path, *files, *times).splitlines()[-1]
    info = read_records(read_snapshot(tmp_path / path), "info", _layout.SNAPSHOT_INFO)[0]
    assert (info["as_of_lsn"], info["as_of_unix_ms"]) == (12, 1772334000000)
    run("activate", "members", hash_of(Path(path)).hex(), *data)
    listed = run("list", *data)
    assert listed.count("live") == 3
    assert "good" in run("verify", path, built)
    assert run("prune", *data).splitlines()[-1].startswith("0 removed")
    live = read_live(tmp_path / "data").now
    assert None not in (live.members, live.catalogue, live.program)


@pytest.mark.parametrize("text", ["yesterday", "2026-03-01T04:00:00"])
def test_a_time_without_its_offset_is_refused(text):
    with pytest.raises(cli.click.BadParameter):
        cli._as_of(0, text)
