"""What comes back of sales: what it refunds, and what it leaves of the sale (X1 to X5, G4, R5)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from tests.oracle.values import rounded, scaled

if TYPE_CHECKING:
    from tests.oracle.past import Past, Sale


@dataclass
class Sold:
    """One committed sale, and what came back of it.

    Attributes
    ----------
    nets : dict of int to int
        What was paid for each line, in minor units.
    back, refunded : dict of int to int
        Units of each line that came back, and what was refunded for them.
    again : callable or None
        Returns what each line would have cost if only so many units of lines had been sold, for
        so much (X3). None: returns are prorated.
    """

    sale: Sale
    counts: dict[int, int]
    gross: dict[int, int]
    nets: dict[int, int]
    back: dict[int, int] = field(default_factory=dict)
    refunded: dict[int, int] = field(default_factory=dict)
    again: Callable[[dict[int, tuple[int, int]]], dict[int, int]] | None = None

    def refund(self, line: int, units: int) -> int:
        """Return what more units of a line refund: so all of them refund what was paid (X1)."""
        after = self._part(self.nets, line, self.back.get(line, 0) + units)
        return max(0, after - self.refunded.get(line, 0))

    def repriced(self, units: dict[int, int]) -> dict[int, int]:
        """Return what each line refunds by what is kept of the sale (X3, X4)."""
        gone = {line: self.back.get(line, 0) + units.get(line, 0) for line in self.counts}
        left = {
            line: (count - gone[line], self.gross[line] - self._part(self.gross, line, gone[line]))
            for line, count in self.counts.items()
            if count > gone[line]
        }
        now = self.again(left) if self.again is not None and left else {}
        due = {
            line: self.nets[line] - self.refunded.get(line, 0) - now.get(line, 0)
            for line, count in self.counts.items()
            if self.back.get(line, 0) < count
        }
        given = sum(max(0, part) for part in due.values())
        for line, part in due.items():
            due[line] = max(part, -given)
            given += min(0, due[line])
        return due

    def came_back(self) -> tuple[int, int]:
        """Return what was refunded, -1 where nothing is left; and the net of all lines."""
        if self.back == self.counts:
            return -1, 0
        return sum(self.refunded.values()), sum(self.nets.values())

    def _part(self, amounts: dict[int, int], line: int, units: int) -> int:
        return rounded(Fraction(amounts[line] * units, self.counts[line]), "half_away")

    def note(self, units: dict[int, int], *, alone: bool = True) -> int:
        """Note units of lines that came back, alone or with a sale; return the refund."""
        if alone and self.again is not None and not self.sale.spent:  # X5
            refunds = self.repriced(units)
        else:
            refunds = {line: self.refund(line, count) for line, count in units.items()}
        for line, refund in refunds.items():
            self.refunded[line] = self.refunded.get(line, 0) + refund
        for line, count in units.items():
            self.back[line] = self.back.get(line, 0) + count
        return sum(refunds.values())

    def bring_back(
        self, past: Past, program: dict[str, Any], units: dict[int, int], *, alone: bool = True
    ) -> int:
        """Enter that units of lines came back; return the refund."""
        refund = self.note(units, alone=alone)
        refunded, net = self.came_back()
        past.take_back(program, self.sale, refunded, net)
        if refunded < 0:
            past.undo(self.sale)
            return refund
        past.reverse(self.sale, refunded, net)
        returned = sum(self._part(self.gross, line, count) for line, count in self.back.items())
        past.give_back(self.sale, returned, sum(self.gross.values()))
        return refund


def kept_of(basket: dict[str, Any], left: dict[int, tuple[int, int]]) -> dict[str, Any]:
    """Return a basket as if only so many units of its lines had been sold, for so much."""
    lines = []
    for line in basket["lines"]:
        if line.get("kind", "sale") == "return":
            lines.append(line)
        elif int(line["id"]) in left:
            count, amount = left[int(line["id"])]
            amounts = {"count": str(count), "amount": f"{amount // 100}.{amount % 100:02}"}
            lines.append({**line, **amounts})
    return {**basket, "lines": lines, "redeem": []}


def sold_of(basket: dict[str, Any], nets: dict[int, int], sale: Sale) -> Sold:
    """Return a committed basket as what may come back of it."""
    lines = [line for line in basket["lines"] if line.get("kind", "sale") != "return"]
    counts = {int(line["id"]): int(line["count"]) for line in lines}
    gross = {int(line["id"]): scaled(line["amount"], 2) for line in lines}
    return Sold(sale, counts, gross, {line: nets[line] for line in counts})


def named(line: dict[str, Any]) -> tuple[int, int, int]:
    """Return the sale, from 0, its line and the units that a return line names."""
    sale, of = line["of"]
    return int(sale) - 1, int(of), int(line["count"])


def with_refunds(basket: dict[str, Any], sold: list[Sold]) -> dict[str, Any]:
    """Return a basket whose return lines have the amounts that they refund (X1)."""
    lines = []
    for line in basket["lines"]:
        if "of" in line:
            sale, of, units = named(line)
            refund = sold[sale].refund(of, units)
            line = {**line, "amount": f"{refund // 100}.{refund % 100:02}"}
        lines.append(line)
    return {**basket, "lines": lines}


def bring_back_named(
    past: Past, program: dict[str, Any], basket: dict[str, Any], sold: list[Sold]
) -> None:
    """Enter what came back in the basket of a sale, behind it (X2)."""
    found = [named(line) for line in basket["lines"] if "of" in line]
    if found:
        units = {of: count for _, of, count in found}
        sold[found[0][0]].bring_back(past, program, units, alone=False)
