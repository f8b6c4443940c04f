"""Tables for people and programs, and the proof that they add up."""

from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Column", "Proof", "Table"]

Value = int | str


@dataclass(frozen=True)
class Column:
    """One column of a report.

    Attributes
    ----------
    name : str
        With its unit: `_minor` is money in minor units, `_points` the purse's smallest unit.
    is_text : bool
        Text, or a whole number of 64 bits.
    """

    name: str
    is_text: bool = False


@dataclass(frozen=True)
class Table:
    """A report: columns, and rows in a fixed order."""

    columns: tuple[Column, ...]
    rows: Sequence[tuple[Value, ...]]


@dataclass
class Proof:
    """Sums of a report beside the same sums taken from the journal by another path.

    Attributes
    ----------
    sums : list of (str, int, int)
        What it is, by the report, by the other path.
    """

    sums: list[tuple[str, int, int]] = field(default_factory=list)

    def add(self, what: str, reported: int, other: int) -> None:
        """Note one sum."""
        self.sums.append((what, reported, other))

    @property
    def adds_up(self) -> bool:
        """Tell whether every sum is the same by both paths."""
        return all(reported == other for _, reported, other in self.sums)
