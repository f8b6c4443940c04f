"""`ledger verify` finds what is wrong and says where; `ledger rebuild` mends what is derived."""

import random
import shutil
import struct

import lmdb
import pytest

from checklane import _layout
from checklane.ledger.files import list_segments
from checklane.snapshot.store import locked
from tests.native.test_ledger import dump, run


def change_lmdb(data, family, change):
    """Rewrite one record of a family of the accounts: `change` gets and gives its bytes."""
    path = str(data / "accounts" / "accounts.lmdb")
    with lmdb.open(path, subdir=False, max_dbs=80, map_size=1 << 30) as environment:
        table = environment.open_db(family)
        with environment.begin(write=True, db=table) as transaction:
            key, value = next(iter(transaction.cursor()))
            changed = change(value)
            if changed is None:
                transaction.delete(key)
            else:
                transaction.put(key, changed)


def one_point_more(value):
    """Add one to the first cell of a record: head of 16 bytes, then cells of 32."""
    head = _layout.RECORD_HEAD.itemsize
    at = head + _layout.CELL.fields["value"][1]
    (points,) = struct.unpack_from("<q", value, at)
    return value[:at] + struct.pack("<q", points + 1) + value[at + 8 :]


def test_a_sound_ledger_is_called_so(data, cli):
    status, told = cli("verify", "--data", data)
    assert (status, "sound: yes" in told) == (0, True), told
    assert "entries: 801" in told
    assert sorted(path.name for path in data.iterdir()) == ["accounts", "journal"]


def test_a_ledger_without_accounts_is_sound(data, cli):
    shutil.rmtree(data / "accounts")
    status, told = cli("verify", "--data", data)
    assert (status, "sound: yes" in told) == (0, True), told


def test_accounts_that_lag_are_sound(harness, tmp_path, cli):
    for seed in range(3):
        data = tmp_path / str(seed)
        run(harness("plain"), "model", data, seed)
        status, told = cli("verify", "--data", data)
        assert (status, "sound: yes" in told) == (0, True), told


def test_a_changed_balance_is_named(data, cli):
    change_lmdb(data, b"group", one_point_more)
    status, told = cli("verify", "--data", data)
    assert status == 74
    assert "sound: no\ngroup record " in told
    assert "in the accounts" in told
    assert "more records differ" not in told


def test_a_lost_record_is_named(data, cli):
    change_lmdb(data, b"group", lambda value: None)
    status, told = cli("verify", "--data", data)
    assert status == 74
    assert "0 cells in the accounts" in told


def test_a_later_version_of_a_lost_update_is_named(data, cli):
    def older(value):
        (lsn,) = struct.unpack_from("<Q", value, 0)
        return struct.pack("<Q", lsn - 1) + value[8:]

    change_lmdb(data, b"group", older)
    status, told = cli("verify", "--data", data)
    assert status == 74
    assert "sound: no" in told


def test_accounts_that_cannot_be_read_are_told(data, cli):
    change_lmdb(data, b"group", lambda value: value[:-8])
    status, told = cli("verify", "--data", data)
    assert status == 74
    assert "the accounts cannot be read" in told


@pytest.mark.parametrize("seed", range(6))
def test_a_flipped_byte_of_the_journal_is_named(data, cli, seed):
    chance = random.Random(seed)
    segment = chance.choice(list_segments(data / "journal")[:-1])
    image = bytearray(segment.path.read_bytes())
    end = len(image) - next(i for i, byte in enumerate(reversed(image)) if byte)
    at = chance.randrange(_layout.SEGMENT_HEADER.itemsize, end)
    image[at] ^= 1 << chance.randrange(8)
    segment.path.write_bytes(image)
    status, told = cli("verify", "--data", data)
    assert status == 74
    assert f"segment {segment.number} offset " in told


def test_rebuilt_accounts_are_the_same(harness, data, cli):
    before = dump(harness("plain"), shutil.copytree(data, data.parent / "before")).records
    change_lmdb(data, b"group", one_point_more)
    assert cli("verify", "--data", data)[0] == 74
    status, told = cli("rebuild", "--data", data)
    assert status == 0, told
    assert cli("verify", "--data", data)[0] == 0
    assert sorted(path.name for path in data.iterdir()) == ["LOCK", "accounts", "journal"]
    after = dump(harness("plain"), data)
    assert after.records == before
    assert after.recovered_count == 1


def test_rebuild_wants_the_directory_alone(data, cli):
    with locked(data):
        status, told = cli("rebuild", "--data", data)
    assert status == 75
    assert "in use" in told


def test_rebuild_of_a_damaged_journal_changes_nothing(data, cli):
    image = bytearray((data / "journal" / "00000001.seg").read_bytes())
    image[200] ^= 1
    (data / "journal" / "00000001.seg").write_bytes(image)
    before = (data / "accounts" / "accounts.lmdb").read_bytes()
    assert cli("rebuild", "--data", data)[0] == 74
    assert (data / "accounts" / "accounts.lmdb").read_bytes() == before


def test_another_format_is_told(data, cli):
    path = data / "journal" / "00000001.seg"
    image = bytearray(path.read_bytes())
    format_at = _layout.SEGMENT_HEADER.fields["format"][1]
    crc_at = _layout.SEGMENT_HEADER.fields["header_crc"][1]
    image[format_at : format_at + 4] = struct.pack("<I", _layout.JOURNAL_FORMAT + 1)
    image[crc_at : crc_at + 4] = bytes(4)
    header = bytes(image[: _layout.SEGMENT_HEADER.itemsize])
    image[crc_at : crc_at + 4] = struct.pack("<I", crc32c(header))
    path.write_bytes(image)
    status, told = cli("verify", "--data", data)
    assert status == 74
    assert "this format is not supported" in told
    assert "segment 1: format 2" in told


def crc32c(content):
    """Compute CRC-32C byte by byte."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_show_prints_entries_as_lines(data, cli):
    status, told = cli("show", "--data", data, "--from", 3, "--limit", 4, "--movements")
    assert status == 0
    assert [line.split('"lsn": "')[1].split('"')[0] for line in told.splitlines()] == list("3456")
    assert cli("show", "--data", data, "--from", 99999)[1] == ""
