"""What comes off fuel (rules F1 to F3)."""

from fractions import Fraction
from typing import TYPE_CHECKING

from tests.oracle.basket import Unit, canonical
from tests.oracle.deal import Use, fits, fuel_floor, give
from tests.oracle.program import Offer
from tests.oracle.values import PARTS, rounded

if TYPE_CHECKING:
    from tests.oracle.decide import Layers


def fuel_use(offer: Offer, units: list[Unit], amount: int, times: int = 1) -> tuple[Use, int]:
    """Return the lines on which an offer is worth something, and what, in parts (F2)."""
    rest = offer.fuel_most
    use = Use(offer, times)
    for unit in canonical(units):
        fill = unit.fill
        if fill is None or not fits(offer, 0, unit):
            continue
        fill.parts, fill.step = 0, min(amount, fill.price - fill.given - fuel_floor(offer, unit))
        volume = unit.measure[0] if rest is None else min(unit.measure[0], rest)
        if fill.step <= 0 or volume == 0:
            continue
        rest = None if rest is None else rest - volume
        fill.parts = min(fill.step * volume // 100, PARTS * give(offer, unit))
        if fill.parts > 0:
            use.rewarded.append(unit)
    return use, sum(unit.fill.parts for unit in use.rewarded if unit.fill is not None)


def keep_steps(use: Use) -> None:
    """Note what an offer that applied took off each unit of measure."""
    for unit in use.rewarded:
        if unit.fill is not None:
            unit.fill.given += unit.fill.step


def run_fuel(layers: "Layers", offer: Offer) -> None:
    """Let an offer lower the price of what the basket fuelled, after those before it."""
    use, parts = fuel_use(offer, layers.units, offer.value)
    if parts > 0 and offer.exclusive not in layers.out:
        layers.apply(use, parts, contested=False)
        if layers.decision.outcomes[offer.id] == "APPLIED":
            keep_steps(use)
    layers.explain(offer, parts)


def points_of(offer: Offer, use: Use) -> int:
    """Return what the steps take, whole or by the volume that they were for (F3)."""
    points = use.times * offer.points
    if not offer.by_volume or offer.fuel_most is None:
        return points
    volume = sum(u.measure[0] for u in use.rewarded if u.fill is not None and u.fill.step > 0)
    return -(-points * min(volume, offer.fuel_most) // offer.fuel_most)


def fuel_for_points(
    offer: Offer, units: list[Unit], steps: int, most: int
) -> tuple[Use, int] | None:
    """Return what the fewest steps take off that take off as much as so many do (F3)."""

    def of(count: int) -> tuple[Use, int]:
        use, parts = fuel_use(offer, units, count * offer.value, count)
        return use, min(most, rounded(Fraction(parts, PARTS), offer.rounding))

    whole = of(steps)[1] if steps > 0 else 0
    if whole == 0:
        return None
    return of(next(count for count in range(1, steps + 1) if of(count)[1] == whole))
