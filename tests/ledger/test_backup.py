"""A backup holds what was durable, grows by segments, and comes back the same elsewhere."""

import json
import shutil
import subprocess
import time

import pytest

from checklane.ledger.files import audit
from tests.native.test_ledger import dump, run


def test_a_backup_comes_back_the_same(harness, data, tmp_path, cli):
    copy, back = tmp_path / "copy", tmp_path / "back"
    (data / "keys").mkdir()
    (data / "keys" / "identity.key").write_bytes(b"k" * 16)
    assert cli("backup", "--data", data, copy)[0] == 0
    status, told = cli("restore", copy, "--data", back)
    assert (status, "restored: yes" in told) == (0, True), told
    assert (back / "keys" / "identity.key").read_bytes() == b"k" * 16
    assert cli("verify", "--data", back)[0] == 0
    assert dump(harness("plain"), back).records == dump(harness("plain"), data).records


def test_a_second_backup_copies_only_what_is_new(harness, data, tmp_path, cli):
    copy = tmp_path / "copy"
    assert "files kept: 0" in cli("backup", "--data", data, copy)[1]
    first = {path.name: path.stat().st_ino for path in (copy / "journal").iterdir()}
    run(harness("plain"), "load", data, 2)
    assert cli("backup", "--data", data, copy)[0] == 0
    second = {path.name: path.stat().st_ino for path in (copy / "journal").iterdir()}
    same = [name for name in first if second[name] == first[name]]
    assert len(same) == len(first) - 1
    assert len(second) > len(first)
    assert cli("restore", copy, "--data", tmp_path / "back")[0] == 0
    assert dump(harness("plain"), tmp_path / "back").records == dump(harness("plain"), data).records


def test_a_backup_under_load_is_consistent(harness, tmp_path, cli):
    data, copy = tmp_path / "data", tmp_path / "copy"
    data.mkdir()
    printed = tmp_path / "printed"
    with printed.open("wb") as output:
        process = subprocess.Popen([harness("plain"), "until-killed", data, "1"], stdout=output)
    try:
        while printed.read_bytes().count(b"\n") < 200:
            time.sleep(0.01)
        for _ in range(3):
            acknowledged = set(printed.read_text().splitlines()[:-1])
            status, told = cli("backup", "--data", data, copy)
            assert status == 0, told
            status, told = cli("verify", "--data", data)
            assert (status, "sound: yes" in told) == (0, True), told
    finally:
        process.kill()
        process.wait()
    back = tmp_path / "back"
    status, told = cli("restore", copy, "--data", back)
    assert status == 0, told
    found = dump(harness("plain"), back)
    operations = {entry.operation for entry in found.entries}
    # The last copy was made after these had been answered.
    assert {int(line.split()[1]) for line in acknowledged} <= operations
    assert found.total == 0
    last = json.loads((copy / "backup.json").read_text())["last_lsn"]
    whole = dump(harness("plain"), data)
    assert whole.entries[:last] == found.entries[:last]


def test_the_backup_of_another_history_is_refused(harness, data, tmp_path, cli):
    copy, other = tmp_path / "copy", tmp_path / "other"
    run(harness("plain"), "fill", other, 60)
    assert cli("backup", "--data", data, copy)[0] == 0
    before = (copy / "backup.json").read_bytes()
    status, told = cli("backup", "--data", other, copy)
    assert status == 69
    assert "another history" in told
    assert (copy / "backup.json").read_bytes() == before


def spoil(path, offset):
    """Change one bit of a file."""
    image = bytearray(path.read_bytes())
    image[offset] ^= 4
    path.write_bytes(image)


def end_of(data):
    """Return the number of the journal's last segment, and the offset of its end in there."""
    with audit(data / "journal") as journal:
        return divmod(int(journal.report()["end_position"]), 2**32)


def test_damage_since_the_last_backup_does_not_touch_it(harness, data, tmp_path, cli):
    copy = tmp_path / "copy"
    assert cli("backup", "--data", data, copy)[0] == 0
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    segment, end = end_of(data)
    run(harness("plain"), "load", data, 2)
    spoil(data / "journal" / f"{segment:08}.seg", end + 130)
    assert cli("backup", "--data", data, copy)[0] == 74
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_damage_before_the_last_backup_never_reaches_it(harness, data, tmp_path, cli):
    copy = tmp_path / "copy"
    assert cli("backup", "--data", data, copy)[0] == 0
    segment, end = end_of(data)
    assert end > 4_000
    run(harness("plain"), "load", data, 2)
    last = json.loads((copy / "backup.json").read_text())["last_lsn"]
    # In a segment that is full, and in the part of the last one that was copied already.
    spoil(data / "journal" / "00000001.seg", 500)
    spoil(data / "journal" / f"{segment:08}.seg", 500)
    assert cli("verify", "--data", data)[0] == 74
    assert cli("backup", "--data", data, copy)[0] == 0
    status, told = cli("restore", copy, "--data", tmp_path / "back")
    assert status == 0, told
    assert json.loads((copy / "backup.json").read_text())["last_lsn"] > last


@pytest.mark.parametrize("how", ["gone", "short", "changed", "older list"])
def test_a_damaged_backup_is_refused(data, tmp_path, cli, how):
    copy = tmp_path / "copy"
    assert cli("backup", "--data", data, copy)[0] == 0
    segment = copy / "journal" / "00000002.seg"
    if how == "gone":
        segment.unlink()
    elif how == "short":
        segment.write_bytes(segment.read_bytes()[:-1000])
    elif how == "changed":
        segment.write_bytes(segment.read_bytes().replace(b"\x01", b"\x02", 1))
    else:
        manifest = json.loads((copy / "backup.json").read_text())
        manifest["last_lsn"] += 1
        (copy / "backup.json").write_text(json.dumps(manifest))
    status, told = cli("restore", copy, "--data", tmp_path / "back")
    assert status == 74, told
    assert "journal" in told


def test_restore_wants_a_backup_and_an_empty_place(data, tmp_path, cli):
    copy = tmp_path / "copy"
    assert cli("backup", "--data", data, copy)[0] == 0
    assert cli("restore", copy, "--data", data)[0] == 75
    assert cli("restore", data, "--data", tmp_path / "back")[0] == 66
    manifest = json.loads((copy / "backup.json").read_text())
    (copy / "backup.json").write_text(json.dumps(manifest | {"format": 9}))
    status, told = cli("restore", copy, "--data", tmp_path / "back")
    assert status == 69
    assert "format 9" in told


def test_a_broken_off_backup_leaves_the_one_before(harness, data, tmp_path, cli):
    copy = tmp_path / "copy"
    assert cli("backup", "--data", data, copy)[0] == 0
    manifest = (copy / "backup.json").read_bytes()
    run(harness("plain"), "load", data, 2)
    assert cli("backup", "--data", data, copy)[0] == 0
    # As if the run had ended before its last step.
    (copy / "backup.json").write_bytes(manifest)
    shutil.rmtree(data)
    status, told = cli("restore", copy, "--data", tmp_path / "back")
    last = json.loads(manifest)["last_lsn"]
    assert status == 0, told
    assert f"last lsn: {last}" in told
