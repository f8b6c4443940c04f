"""The second half of the random cases, in a file of its own so that another worker decides it."""

from pathlib import Path

from tests.differential.cases import Cases
from tests.differential.test_differential import CASES, SEED, compare_half

#: Far from the first half and from what ``CHECKLANE_SEED`` is likely to be.
OFFSET = 1_000_000


def test_engine_and_slow_twin_agree_again(tmp_path: Path) -> None:
    print(f"CHECKLANE_SEED={SEED} CHECKLANE_CASES={CASES}: stream {SEED + OFFSET}")
    compare_half(Cases(SEED + OFFSET), tmp_path)
