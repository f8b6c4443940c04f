"""Every flow of a till's day in any order, against a ledger on paper (paper.py, machine.py).

Set CHECKLANE_FLOWS for more days than the few of every run, CHECKLANE_FIRST_SEED for other ones.
"""

import os
import struct
import subprocess
import sys
from pathlib import Path

DAYS = int(os.environ.get("CHECKLANE_FLOWS", "24"))
FIRST_SEED = int(os.environ.get("CHECKLANE_FIRST_SEED", "1"))
OPENED_UNIX_MS = 1_772_618_400_000


def test_any_order_of_flows_comes_to_what_paper_says(tmp_path: Path) -> None:
    library, clock = tmp_path / "clock.so", tmp_path / "clock"
    source = Path(__file__).with_name("clock.c")
    flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror"]
    subprocess.run(["cc", *flags, source, "-o", library], check=True)
    clock.write_bytes(struct.pack("<q", OPENED_UNIX_MS))
    command = [sys.executable, "-m", "tests.flows.machine", tmp_path / "shop"]
    done = subprocess.run(
        [*command, str(FIRST_SEED), str(DAYS)],
        env={**os.environ, "LD_PRELOAD": str(library), "FLOWS_CLOCK": str(clock)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-8000:]
