"""Which receipt numbers were seen, as runs without a gap."""

from bisect import bisect_right
from collections.abc import Iterator

__all__ = ["Sequences"]


class Sequences:
    """Numbers that were seen, in any order and any number of times.

    A till counts up, so its numbers are one run, and one more for each gap: memory follows the
    gaps and not the receipts.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def __len__(self) -> int:
        return len(self._starts)

    def add(self, number: int) -> None:
        """Note a number."""
        starts, ends = self._starts, self._ends
        at = bisect_right(starts, number)
        if at > 0 and number <= ends[at - 1]:
            return
        joins_before = at > 0 and ends[at - 1] == number - 1
        joins_after = at < len(starts) and starts[at] == number + 1
        if joins_before and joins_after:
            ends[at - 1] = ends[at]
            del starts[at], ends[at]
        elif joins_before:
            ends[at - 1] = number
        elif joins_after:
            starts[at] = number
        else:
            starts.insert(at, number)
            ends.insert(at, number)

    def gaps(self) -> Iterator[tuple[int, int]]:
        """Yield the first and last number of each gap between the first and the last seen."""
        for end, start in zip(self._ends, self._starts[1:], strict=False):
            yield end + 1, start - 1
