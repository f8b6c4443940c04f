"""Every flow of a till's day in any order, against a ledger on paper (paper.py, machine.py).

Set CHECKLANE_FLOWS for more days than the few of every run, CHECKLANE_FIRST_SEED for other ones.
"""

import os
import subprocess
import sys
from pathlib import Path

from tests.flows.machine import OPENED_UNIX_MS
from tests.support.wall_clock import WallClock

DAYS = int(os.environ.get("CHECKLANE_FLOWS", "24"))
FIRST_SEED = int(os.environ.get("CHECKLANE_FIRST_SEED", "1"))


def test_any_order_of_flows_comes_to_what_paper_says(tmp_path: Path) -> None:
    clock = WallClock(tmp_path / "wall-clock")
    clock.stand(OPENED_UNIX_MS)
    command = [sys.executable, "-m", "tests.flows.machine", tmp_path / "shop"]
    done = subprocess.run(
        [*command, str(FIRST_SEED), str(DAYS)],
        env={**os.environ, **clock.environment(tmp_path)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-8000:]
