"""What comes back of sales: what it refunds, and what it leaves of the sale (X1, X2, G4, R5)."""

from __future__ import annotations

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
    back : dict of int to int
        Units of each line that came back.
    """

    sale: Sale
    counts: dict[int, int]
    gross: dict[int, int]
    nets: dict[int, int]
    back: dict[int, int] = field(default_factory=dict)

    def refund(self, line: int, units: int) -> int:
        """Return what more units of a line refund: so all of them refund what was paid (X1)."""
        before = self.back.get(line, 0)
        after = self._part(self.nets, line, before + units)
        return after - self._part(self.nets, line, before)

    def came_back(self) -> tuple[int, int]:
        """Return what was refunded, -1 where nothing is left; and the net of all lines."""
        if self.back == self.counts:
            return -1, 0
        refunded = sum(self._part(self.nets, line, count) for line, count in self.back.items())
        return refunded, sum(self.nets.values())

    def _part(self, amounts: dict[int, int], line: int, units: int) -> int:
        return rounded(Fraction(amounts[line] * units, self.counts[line]), "half_away")

    def bring_back(self, past: Past, program: dict[str, Any], units: dict[int, int]) -> None:
        """Enter that units of lines came back."""
        for line, count in units.items():
            self.back[line] = self.back.get(line, 0) + count
        refunded, net = self.came_back()
        past.take_back(program, self.sale, refunded, net)
        if refunded < 0:
            past.undo(self.sale)
            return
        past.reverse(self.sale, refunded, net)
        returned = sum(self._part(self.gross, line, count) for line, count in self.back.items())
        past.give_back(self.sale, returned, sum(self.gross.values()))


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
        sold[found[0][0]].bring_back(past, program, {of: units for _, of, units in found})
