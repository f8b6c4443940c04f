"""The real ledger over a fake disk and clock: thousands of lives of a data directory, from seeds.

simulation.c says what a seed is and what is checked; disk.h what the disk may do. Set
CHECKLANE_SEEDS for longer runs.
"""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.simulation.canaries import CANARIES, copy_with

HERE = Path(__file__).resolve().parent
NATIVE = HERE.parents[1] / "native" / "checklane"
ROOMS = ("machine", "journal", "ledger")
ROOMS += tuple(sorted(path.stem for path in NATIVE.glob("accounts*.c")))
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-Wshadow"]
FLAGS += ["-Wconversion"]
FLAGS += ["-msse4.2"] if platform.machine() == "x86_64" else []
SANITIZED = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]

SEEDS = int(os.environ.get("CHECKLANE_SEEDS", "2000"))
#: The same under the sanitizers, which are several times as slow.
SANITIZED_SEEDS = max(1, SEEDS // 20)
FIRST_SEED = int(os.environ.get("CHECKLANE_FIRST_SEED", "1"))


def build(program: Path, native: Path, flags: list[str]) -> Path:
    """Compile the simulation with the ledger's sources in `native`."""
    sources = [HERE / f"{name}.c" for name in ("simulation", "operations", "disk")]
    sources += [native / f"{room}.c" for room in ROOMS]
    command = [os.environ.get("CC", "gcc"), *FLAGS, *flags, f"-I{native}", *sources]
    subprocess.run([*command, "-o", program, "-llmdb", "-lpthread"], check=True)
    return program


def run(
    program: Path, scratch: Path, first_seed: int, seed_count: int
) -> subprocess.CompletedProcess[str]:
    """Run seeds until one fails or all are done."""
    scratch.mkdir()
    command = [program, scratch, str(first_seed), str(seed_count)]
    done = subprocess.run(command, capture_output=True, text=True)
    shutil.rmtree(scratch)
    return done


def counts_of(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Return the figures that a run without failures printed."""
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    return {name: int(count) for name, count in lines}


def test_every_seed_keeps_every_promise(tmp_path):
    program = build(tmp_path / "simulation", NATIVE, [])
    counts = counts_of(run(program, tmp_path / "data", FIRST_SEED, SEEDS))
    print(counts)
    assert counts["seeds"] == counts["rebuilt"] == SEEDS
    # Nothing that the simulation is for was left out.
    assert [name for name, count in counts.items() if count < SEEDS // 50] == []


def test_sanitizers_find_nothing(tmp_path):
    program = build(tmp_path / "simulation", NATIVE, SANITIZED)
    counts = counts_of(run(program, tmp_path / "data", FIRST_SEED, SANITIZED_SEEDS))
    assert counts["rebuilt"] == SANITIZED_SEEDS


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name.replace(" ", "-"))
def test_canary_is_caught(tmp_path, canary):
    native = tmp_path / "native"
    copy_with(canary, NATIVE, native)
    flags = ["-Wno-unused-function", "-Wno-unused-variable"]
    program = build(tmp_path / "simulation", native, flags)
    done = run(program, tmp_path / "data", 1, canary.seeds_max)
    assert done.returncode == 1, f"not caught within {canary.seeds_max} seeds: {done.stdout}"
    print(done.stderr)
