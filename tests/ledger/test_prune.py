"""What nobody needs goes after its time, and nothing else; keys and receipts the same."""

import shutil

import lmdb
import numpy as np
import pytest

from checklane import _layout
from checklane.errors import RequestError
from checklane.ledger.files import list_segments, write_mark
from checklane.ledger.prune import KEEP_DAYS_MIN, prune
from tests.ledger.test_check import change_lmdb, one_point_more
from tests.native.test_ledger import dump, rebuilt, run

DAY_MS = 86_400_000


@pytest.fixture
def later_ms(data):
    """Return a time at which every entry is old enough to go."""
    created = max(segment.created_unix_ms for segment in list_segments(data / "journal"))
    return created + (KEEP_DAYS_MIN + 1) * DAY_MS


def names(data):
    return [segment.path.name for segment in list_segments(data / "journal")]


def test_nothing_young_goes(data, cli):
    before = names(data)
    status, told = cli("prune", "--data", data)
    assert status == 0
    assert "0 removed" in told
    assert "not old enough" in told
    assert names(data) == before
    assert cli("prune", "--data", data, "--keep-days", KEEP_DAYS_MIN - 1)[0] == 2
    with pytest.raises(RequestError):
        prune(data, 0, KEEP_DAYS_MIN - 1)


def test_what_is_old_and_covered_goes_and_the_rest_works(harness, data, tmp_path, later_ms, cli):
    before = dump(harness("plain"), shutil.copytree(data, tmp_path / "before")).records
    there = names(data)
    assert len(there) >= 3
    done = prune(data, later_ms, archive=tmp_path / "archive")
    assert [segment.path.name for segment in done.segments] == there[:-1]
    assert names(data) == there[-1:]
    assert sorted(path.name for path in (tmp_path / "archive").iterdir()) == there[:-1]
    status, told = cli("verify", "--data", data)
    assert (status, "sound: yes" in told) == (0, True), told
    # A start goes on from the accounts, and a rebuilding from the base.
    run(harness("plain"), "load", data, 2)
    assert cli("rebuild", "--data", data)[0] == 0
    assert cli("verify", "--data", data)[0] == 0
    assert cli("backup", "--data", data, tmp_path / "copy")[0] == 0
    assert cli("restore", tmp_path / "copy", "--data", tmp_path / "back")[0] == 0
    assert cli("verify", "--data", tmp_path / "back")[0] == 0
    # With the archive the journal is whole again.
    for name in there[:-1]:
        shutil.copy(tmp_path / "archive" / name, data / "journal" / name)
    found = rebuilt(harness("plain"), data, tmp_path / "whole")
    assert len(found.records) > len(before)


def test_accounts_of_another_format_are_rebuilt_from_the_archive(
    harness, data, tmp_path, later_ms, cli
):
    before = dump(harness("plain"), shutil.copytree(data, tmp_path / "before")).records
    prune(data, later_ms, archive=tmp_path / "archive")
    for folder in ("accounts", "base"):
        change_format(data / folder / "accounts.lmdb")
    status, told = cli("rebuild", "--data", data)
    assert (status, "this format is not supported" in told) == (69, True), told
    assert sorted(path.name for path in data.iterdir()) == ["LOCK", "accounts", "base", "journal"]
    for path in (tmp_path / "archive").iterdir():
        shutil.copy(path, data / "journal")
    shutil.rmtree(data / "base")
    status, told = cli("rebuild", "--data", data)
    assert status == 0, told
    status, told = cli("verify", "--data", data)
    assert (status, "sound: yes" in told) == (0, True), told
    assert dump(harness("plain"), data).records == before


def test_a_changed_balance_is_found_behind_a_base_too(data, later_ms, cli):
    prune(data, later_ms)
    change_lmdb(data, b"group", one_point_more)
    status, told = cli("verify", "--data", data)
    assert status == 74
    assert "group record" in told


def test_a_reader_holds_what_it_has_not_read(data, later_ms, cli):
    segments = list_segments(data / "journal")
    write_mark(data, "warehouse", segments[1].first_lsn)
    done = prune(data, later_ms)
    assert [segment.number for segment in done.segments] == [1]
    assert "reader warehouse" in done.held_by
    assert cli("marks", "--data", data, "--set", "warehouse", 10**6)[0] == 0
    assert "warehouse: 1,000,000" in cli("marks", "--data", data)[1]
    assert prune(data, later_ms).segments != []
    assert cli("marks", "--data", data, "--forget", "warehouse")[1] == ""


def test_what_the_accounts_do_not_cover_stays(harness, tmp_path, later_ms):
    data = tmp_path / "filled"
    run(harness("plain"), "fill", data, 600)
    assert len(names(data)) >= 3
    assert "cover lsn" in prune(data, later_ms).held_by
    shutil.rmtree(data / "accounts")
    assert prune(data, later_ms).held_by == "there are no accounts yet"
    assert len(names(data)) >= 3


@pytest.mark.parametrize("kind", ["plain", "address"])
def test_keys_and_receipts_go_after_their_retention(harness, tmp_path, kind):
    for seed in range(3):
        data = tmp_path / str(seed)
        run(harness(kind), "retention", data, seed)
        path = str(data / "accounts" / "accounts.lmdb")
        with lmdb.open(path, subdir=False, readonly=True, max_dbs=80) as environment:
            for family in ("key", "receipt"):
                counts = [_entries(environment, f"{family}-{slot:02}") for slot in range(32)]
                # Three months are left, each with its own key and one that was bound anew.
                assert sorted(counts)[-3:] == [2, 2, 2]
                assert sum(counts) == 6


def change_format(path):
    """Make the accounts say that a version before wrote them."""
    with lmdb.open(str(path), subdir=False, max_dbs=80) as environment:
        meta = environment.open_db(b"meta", create=False)
        with environment.begin(write=True) as transaction:
            covered = np.frombuffer(transaction.get(b"covered", db=meta), _layout.COVERED).copy()
            covered["format"] -= 1
            transaction.put(b"covered", covered.tobytes(), db=meta)


def _entries(environment, name):
    with environment.begin() as transaction:
        table = environment.open_db(name.encode(), transaction, create=False)
        return transaction.stat(table)["entries"]
