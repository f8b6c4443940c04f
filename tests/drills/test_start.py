"""A start that must not be: another process has the data, or something in it is not what it was.

Each is refused by name with the place, and nothing in the data directory is changed by it.
"""

import os
import signal

import pytest

from checklane import _layout
from checklane.snapshot.store import read_live
from tests.drills.shop import Till, copy_of, end_offset, make_shop, refused_start, serving
from tests.server.serving import run_checklane

HEAD_BYTES = _layout.SEGMENT_HEADER.itemsize
PAGE_BYTES = 4096


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    world, goods, _ = make_shop(tmp_path_factory.mktemp("start") / "shop")
    with (
        serving(world.data, world.data.parent / "log") as server,
        Till(server.address, goods, 1) as till,
    ):
        for _ in range(20):
            assert isinstance(till.commit(till.next_request()), bytes)
        server.end(signal.SIGKILL)
    return world, goods


@pytest.fixture
def data(shop, tmp_path):
    return copy_of(shop[0], tmp_path / "data")


def spoil(path, offset, content):
    """Overwrite some bytes of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        assert file.read(len(content)) != content
        file.seek(offset)
        file.write(content)


def contents(data):
    """Return what the files hold that a refused start must leave alone."""
    paths = [*data.glob("journal/*"), *data.glob("accounts/*.lmdb"), *data.glob("snapshots/*")]
    return {path: path.read_bytes() for path in paths if not path.name.endswith("-lock")}


def refused(data, *flags):
    """Return the last words of a start that was refused and changed nothing."""
    before = contents(data)
    code, words = refused_start(data, *flags)
    assert code != 0
    after = contents(data)
    assert [path.name for path in before if after.get(path) != before[path]] == []
    return words


def test_the_copy_that_the_others_spoil_starts(shop, data, tmp_path):
    with serving(data, tmp_path / "log") as server, Till(server.address, shop[1], 2) as till:
        assert isinstance(till.commit(till.next_request()), bytes)


def test_a_second_process_on_one_data_directory(shop, data, tmp_path):
    with serving(data, tmp_path / "log") as server, Till(server.address, shop[1], 2) as till:
        code, words = refused_start(data)
        assert code == 75
        assert str(data / "LOCK") in words
        assert isinstance(till.commit(till.next_request()), bytes)


def test_a_changed_byte_in_the_journal(data):
    end = end_offset(data)
    spoil(data / "journal" / "00000001.seg", end // 2, b"\xa5\x5a\xa5")
    words = refused(data)
    assert "segment 1 offset" in words
    assert "lsn" in words


def test_the_journal_is_gone(data):
    for path in (data / "journal").glob("*.seg"):
        path.unlink()
    assert "the accounts cover a journal that is gone" in refused(data)


def test_a_damaged_head_of_a_segment(data):
    spoil(data / "journal" / "00000001.seg", 8, bytes(HEAD_BYTES - 8))
    assert "segment 1" in refused(data)


def test_a_damaged_head_of_the_accounts_which_can_be_built_again(data):
    spoil(data / "accounts" / "accounts.lmdb", 0, b"\xff" * 2 * PAGE_BYTES)
    words = refused(data)
    assert "accounts/accounts.lmdb" in words
    assert "ledger rebuild" in words
    run_checklane("ledger", "rebuild", "--data", str(data))
    run_checklane("ledger", "verify", "--data", str(data))


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_accounts_that_were_cut_short_which_can_be_built_again(shop, data, tmp_path, part):
    accounts = data / "accounts" / "accounts.lmdb"
    whole_bytes = accounts.stat().st_size
    cut_bytes = int(whole_bytes * part) // PAGE_BYTES * PAGE_BYTES
    assert 2 * PAGE_BYTES < cut_bytes < whole_bytes
    os.truncate(accounts, cut_bytes)
    words = refused(data)
    assert "accounts/accounts.lmdb" in words
    assert "ledger rebuild): it was cut short" in words
    with pytest.raises(AssertionError, match="sound: no"):
        run_checklane("ledger", "verify", "--data", str(data))
    run_checklane("ledger", "rebuild", "--data", str(data))
    run_checklane("ledger", "verify", "--data", str(data))
    with serving(data, tmp_path / "log") as server, Till(server.address, shop[1], 2) as till:
        assert isinstance(till.commit(till.next_request()), bytes)


@pytest.mark.parametrize("kind", ["members", "catalogue", "program"])
def test_a_snapshot_that_was_cut_short(data, kind):
    content_hash = getattr(read_live(data).now, kind).hex()
    (path,) = (data / "snapshots").glob(f"{kind}-{content_hash}*")
    path.chmod(0o600)
    os.truncate(path, path.stat().st_size // 2)
    assert path.name in refused(data)


@pytest.mark.parametrize("kind", ["members", "catalogue", "program"])
def test_a_damaged_snapshot(data, kind):
    content_hash = getattr(read_live(data).now, kind).hex()
    (path,) = (data / "snapshots").glob(f"{kind}-{content_hash}*")
    path.chmod(0o600)
    spoil(path, 0, b"\xff" * 2 * PAGE_BYTES)
    assert path.name in refused(data)


def test_a_snapshot_that_changed_before_its_activation(data):
    live = read_live(data).now
    assert live.members is not None
    (path,) = (data / "snapshots").glob(f"members-{live.members.hex()}*")
    path.chmod(0o600)
    content = path.read_bytes()
    spoil(path, len(content) // 2, bytes(byte ^ 0x55 for byte in content[len(content) // 2 :][:64]))
    with pytest.raises(AssertionError, match=path.name):
        run_checklane("snapshot", "activate", "members", live.members.hex(), "--data", str(data))


def test_the_journal_of_another_node(data):
    words = refused(data, "--node", "7")
    assert "segment 1: program, node or partition" in words
