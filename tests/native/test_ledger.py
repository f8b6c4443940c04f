"""The ledger's C on its own: journal, accounts and writer, also under sanitizers.

ledger_harness.c is compiled with the engine's sources into a temporary directory, three times:
plain, with the address and undefined-behaviour sanitizers, and with the thread sanitizer.
"""

import os
import platform
import random
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native" / "checklane"
SOURCES = [NATIVE / f"{room}.c" for room in ("machine", "journal", "ledger")]
SOURCES += sorted(NATIVE.glob("accounts*.c"))
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", "-Werror", "-Wshadow"]
FLAGS += ["-Wconversion", f"-I{NATIVE}"]
FLAGS += ["-msse4.2"] if platform.machine() == "x86_64" else []
SANITIZERS = {
    "plain": ["-O2"],
    "address": ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-O1", "-fsanitize=thread"],
}
# Exit statuses of the harness: a refused opening, and a machine that ended the process.
REFUSED = 3
FATAL = 70


@pytest.fixture(scope="session")
def harness(tmp_path_factory):
    """Return a function that compiles the harness of one kind once and gives its path."""
    built: dict[str, Path] = {}

    def build(kind: str) -> Path:
        if kind not in built:
            program = tmp_path_factory.mktemp("ledger") / kind
            source = Path(__file__).with_name("ledger_harness.c")
            command = [os.environ.get("CC", "gcc"), *FLAGS, *SANITIZERS[kind], source, *SOURCES]
            subprocess.run([*command, "-o", program, "-llmdb", "-lpthread"], check=True)
            built[kind] = program
        return built[kind]

    return build


def run(program: Path, mode: str, directory: Path, seed: int, expected: int = 0) -> str:
    """Run one mode to its end; return what it printed."""
    directory.mkdir(exist_ok=True)
    command = [program, mode, directory, str(seed)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == expected, f"{mode} {seed}: {done.stdout[-500:]}{done.stderr[-3000:]}"
    return done.stdout


@dataclass(frozen=True)
class Entry:
    """One line of a dump: where an entry lies, and what it said."""

    lsn: int
    segment: int
    offset: int
    length: int
    kind: int
    durable_lsn: int
    operation: int


@dataclass(frozen=True)
class Dump:
    """What a restart finds."""

    entries: list[Entry]
    records: list[str]
    total: int
    recovered_count: int


COMMIT = 1


def dump(program: Path, directory: Path) -> Dump:
    """Restart the ledger in `directory` and read everything in it."""
    lines = run(program, "dump", directory, 0).splitlines()
    entries = [Entry(*map(int, line.split()[1:])) for line in lines if line.startswith("entry ")]
    records = [line for line in lines if line.startswith("record ")]
    figures = {line.split()[0]: int(line.split()[1]) for line in lines}
    return Dump(entries, records, figures["total"], figures["recovered"])


def rebuilt(program: Path, directory: Path, scratch: Path) -> Dump:
    """Rebuild the accounts of `directory` from a copy of its journal alone."""
    shutil.copytree(directory / "journal", scratch / "journal")
    return dump(program, scratch)


@pytest.mark.parametrize("kind", ["plain", "address"])
@pytest.mark.parametrize(
    "mode", ["model", "once", "ceilings", "checkpoint-crash", "disk-full", "checksum", "runs"]
)
def test_one_thread(harness, tmp_path, kind, mode):
    for seed in range(10 if mode == "checkpoint-crash" else 3):
        run(harness(kind), mode, tmp_path / str(seed), seed)


def test_so_many_keys_that_the_index_grows(harness, tmp_path):
    run(harness("plain"), "many", tmp_path, 0)


@pytest.mark.parametrize("kind", ["plain", "address", "thread"])
def test_many_threads(harness, tmp_path, kind):
    run(harness(kind), "load", tmp_path, 1)
    found = dump(harness("plain"), tmp_path)
    operations = [entry.operation for entry in found.entries if entry.kind == COMMIT]
    assert len(operations) == len(set(operations)) == 800
    assert found.total == 0


def test_model_equals_rebuilt_accounts(harness, tmp_path):
    program = harness("plain")
    run(program, "model", tmp_path / "live", 7)
    live = dump(program, tmp_path / "live")
    again = rebuilt(program, tmp_path / "live", tmp_path / "again")
    assert live.records == again.records
    assert live.recovered_count < again.recovered_count
    assert len(live.records) > 1000


def test_killed_at_random_instants(harness, tmp_path):
    program = harness("plain")
    chance = random.Random(20260101)
    data = tmp_path / "data"
    data.mkdir()
    acknowledged: set[int] = set()
    for round_number in range(1, 9):
        printed = tmp_path / f"printed-{round_number}"
        with printed.open("wb") as output:
            command = [program, "until-killed", data, str(round_number)]
            process = subprocess.Popen(command, stdout=output)
            time.sleep(chance.uniform(0.05, 0.4))
            process.kill()
            process.wait()
        lines = printed.read_text().splitlines()
        acknowledged.update(int(line.split()[1]) for line in lines)
        found = dump(program, data)
        operations = [entry.operation for entry in found.entries if entry.kind == COMMIT]
        assert len(operations) == len(set(operations))
        assert acknowledged <= set(operations)
        assert found.total == 0
    assert len(acknowledged) > 100
    assert dump(program, data).records == rebuilt(program, data, tmp_path / "again").records


def test_failed_sync_ends_the_process(harness, tmp_path):
    for seed in range(4):
        data = tmp_path / str(seed)
        lines = run(harness("plain"), "sync-fails", data, seed, expected=FATAL).splitlines()
        acknowledged = {int(line.split()[1]) for line in lines}
        operations = {entry.operation for entry in dump(harness("plain"), data).entries}
        assert acknowledged <= operations


@pytest.fixture(scope="session")
def filled(harness, tmp_path_factory):
    """Return a data directory of some 600 entries in several segments, and its entries."""
    data = tmp_path_factory.mktemp("filled")
    run(harness("plain"), "fill", data, 600)
    shutil.rmtree(data / "accounts")
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(data, copy, dirs_exist_ok=True)
    entries = dump(harness("plain"), copy).entries[:-1]
    assert len({entry.segment for entry in entries}) >= 3
    return data, entries


def damage(data: Path, entry: Entry, chance: random.Random) -> tuple[int, int]:
    """Change bytes that begin in an entry; return the changed range of its segment."""
    path = data / "journal" / f"{entry.segment:08}.seg"
    image = bytearray(path.read_bytes())
    # Within the first 40 bytes: behind them lies the post time, which is never all zeros.
    begin = entry.offset + chance.randrange(40)
    how = chance.choice(["flip", "zero", "cut", "stale"])
    if how == "flip":
        image[begin] ^= 1 << chance.randrange(8)
        end = begin + 1
    elif how == "zero":
        end = len(image)
        image[begin:] = bytes(end - begin)
    elif how == "cut":
        end = len(image)
        del image[begin:]
    else:
        # A sector that never got its new bytes.
        begin = entry.offset
        end = min(len(image), begin + 512)
        image[begin:end] = image[begin - 512 : begin - 512 + end - begin]
    path.write_bytes(image)
    return begin, end


def test_damage_is_refused_and_a_torn_tail_is_cut(harness, filled, tmp_path):
    data, entries = filled
    program = harness("plain")
    outcomes = set()
    for seed in range(60):
        chance = random.Random(seed)
        copy = tmp_path / str(seed)
        shutil.copytree(data, copy)
        # Half of the time in the last group, where a tear is no damage.
        entry = chance.choice(entries[-3:] if seed % 2 else entries)
        begin, end = damage(copy, entry, chance)
        proven = any(
            later.durable_lsn >= entry.lsn
            and not (
                later.segment == entry.segment
                and later.offset < end
                and later.offset + later.length > begin
            )
            for later in entries[entry.lsn :]
        )
        outcomes.add(proven)
        if proven:
            answer = run(program, "dump", copy, 0, expected=REFUSED)
            assert answer.startswith("refused JOURNAL_DAMAGED at segment "), f"seed {seed}"
            place = f"segment {entry.segment} offset {entry.offset} lsn {entry.lsn}"
            assert place in answer, f"seed {seed}"
            continue
        found = dump(program, copy)
        assert found.entries[: entry.lsn - 1] == entries[: entry.lsn - 1], f"seed {seed}"
        assert len(found.entries) == entry.lsn, f"seed {seed}"
        # What was cut stays cut: the next restart goes on behind the new generation.
        assert dump(program, copy).entries[:-1] == found.entries, f"seed {seed}"
    assert outcomes == {True, False}


def test_accounts_of_another_or_shorter_journal_are_refused(harness, tmp_path):
    program = harness("plain")
    data = tmp_path / "data"
    run(program, "once", data, 0)
    shutil.copytree(data, tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone" / "journal")
    assert "JOURNAL_DAMAGED" in run(program, "dump", tmp_path / "gone", 0, expected=REFUSED)
    shutil.copytree(data, tmp_path / "other")
    shutil.rmtree(tmp_path / "other" / "journal")
    run(program, "fill", tmp_path / "third", 6)
    shutil.copytree(tmp_path / "third" / "journal", tmp_path / "other" / "journal")
    assert "JOURNAL_DAMAGED" in run(program, "dump", tmp_path / "other", 0, expected=REFUSED)


def test_second_process_on_a_data_directory_is_refused(harness, tmp_path):
    command = [harness("plain"), "lock", tmp_path, "1"]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "OK\n"
    assert run(harness("plain"), "lock", tmp_path, 0) == "DATA_DIRECTORY_BUSY\n"
    first.communicate("\n")
    assert run(harness("plain"), "lock", tmp_path, 0) == "OK\n"
