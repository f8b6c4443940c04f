"""Shares by largest remainder, few and many, against sorting by remainders in plain fractions."""

import os
import random
import subprocess
from fractions import Fraction
from pathlib import Path

from tests.native.test_ledger import FLAGS

CASES = 1500


def draw_case(draw: random.Random) -> tuple[int, list[int], list[int]]:
    """Return a total, weights and ceilings, with many ties and tight ceilings among them."""
    count = draw.choice((1, 2, 5, 30, 200, 500))
    most = draw.choice((0, 1, 3, 100, 100_000, 10**12))
    weights = [draw.randint(0, most) for _ in range(count)]
    ceilings = [draw.randint(0, draw.choice((2, 2_000))) for _ in range(count)]
    whole = sum(ceilings)
    return (
        min(whole, draw.choice((draw.randint(0, count), draw.randint(0, whole)))),
        weights,
        ceilings,
    )


def shared(total: int, weights: list[int], ceilings: list[int]) -> list[int]:
    """Return the shares as the rule says them."""
    places = range(len(weights))
    whole = sum(weights)
    exact = [Fraction(total * weight, whole) if whole else Fraction(0) for weight in weights]
    shares = [min(int(part), ceiling) for part, ceiling in zip(exact, ceilings, strict=True)]
    left = total - sum(shares)
    for place in sorted(places, key=lambda at: (int(exact[at]) - exact[at], at)):
        if whole and left and shares[place] < ceilings[place]:
            shares[place] += 1
            left -= 1
    for place in places:
        more = min(left, ceilings[place] - shares[place])
        shares[place] += more
        left -= more
    return shares


def test_shares_are_those_of_the_largest_remainders(tmp_path):
    program = tmp_path / "rounding"
    harness = Path(__file__).with_name("rounding_harness.c")
    flags = [*FLAGS, "-fsanitize=undefined", "-fno-sanitize-recover=all"]
    subprocess.run([os.environ.get("CC", "gcc"), *flags, harness, "-o", program], check=True)
    draw = random.Random(20)
    cases = [draw_case(draw) for _ in range(CASES)]
    lines = [
        f"{total} {len(weights)} "
        + " ".join(f"{w} {c}" for w, c in zip(weights, ceilings, strict=True))
        for total, weights, ceilings in cases
    ]
    done = subprocess.run(
        [program], input="\n".join(lines), capture_output=True, text=True, check=True
    )
    found = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
    assert len(found) == CASES
    for case, shares in zip(cases, found, strict=True):
        assert shares == shared(*case), case
    # Many at a time are shared as well as few.
    assert sum(len(weights) > 100 and total > 50 for total, weights, _ in cases) > CASES // 10
