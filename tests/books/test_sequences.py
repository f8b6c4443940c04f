"""Runs of receipt numbers against a plain set."""

import random

import pytest

from checklane.books.sequences import Sequences


@pytest.mark.parametrize("seed", range(40))
def test_gaps_are_those_of_a_set_in_any_order_and_with_repeats(seed):
    draw = random.Random(seed)
    numbers = [draw.randint(1, 40) for _ in range(draw.randint(1, 60))]
    sequences, seen = Sequences(), set()
    for number in numbers:
        sequences.add(number)
        seen.add(number)
        missing = [n for n in range(min(seen), max(seen)) if n not in seen]
        gaps = list(sequences.gaps())
        assert all(first <= last for first, last in gaps)
        assert [n for first, last in gaps for n in range(first, last + 1)] == missing
        assert len(sequences) == len(gaps) + 1
