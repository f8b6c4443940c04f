"""What concurrent callers saw is explained by one order of their operations: that of the LSNs.

history.c runs the callers through the real, threaded ledger and checks their history.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.simulation.canaries import ONCE, Canary, Patch, copy_with
from tests.simulation.test_simulation import FLAGS, NATIVE, ROOMS

SEEDS = 6
CALLERS = 8
CALLS = 400

CANARY = Canary(
    "a key is not looked up",
    (Patch("ledger.c", ONCE, ONCE.replace("position != 0", "position == 1")),),
)


def build(program: Path, native: Path, flags: list[str]) -> Path:
    """Compile the history harness with the ledger's sources in `native`."""
    sources = [Path(__file__).with_name("history.c")]
    sources += [native / f"{room}.c" for room in ROOMS]
    command = [os.environ.get("CC", "gcc"), *FLAGS, *flags, f"-I{native}", *sources]
    subprocess.run([*command, "-o", program, "-llmdb", "-lpthread"], check=True)
    return program


def run(program: Path, data: Path, seed: int) -> subprocess.CompletedProcess[str]:
    """Run one history in a new data directory."""
    data.mkdir()
    command = [program, data, str(seed), str(CALLERS), str(CALLS)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("flags", [[], ["-fsanitize=thread"]], ids=["plain", "thread"])
def test_one_order_explains_what_callers_saw(tmp_path, flags):
    program = build(tmp_path / "history", NATIVE, flags)
    for seed in range(SEEDS):
        done = run(program, tmp_path / str(seed), seed)
        assert done.returncode == 0, f"seed {seed}: {done.stderr[-3000:]}"
        counts = {name: int(count) for name, count in map(str.split, done.stdout.splitlines())}
        assert min(counts.values()) > CALLS // 20, f"seed {seed}: {counts}"


def test_checker_catches_a_key_that_is_not_looked_up(tmp_path):
    copy_with(CANARY, NATIVE, tmp_path / "native")
    program = build(tmp_path / "history", tmp_path / "native", [])
    done = run(program, tmp_path / "data", 1)
    assert done.returncode == 1
    assert "history.c" in done.stderr
