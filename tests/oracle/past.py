"""What committed sales left behind: what offers gave, points, used coupons (L2, R5, K1, K3)."""

from dataclasses import dataclass, field

from tests.oracle.eligible import Given, Scene


@dataclass
class Lot:
    """Points of one purse of an account group; days since 1970, `first` and `last` included."""

    group: str
    purse: str
    points: int
    first: int
    last: int


@dataclass
class Sale:
    """What one committed sale changed.

    Attributes
    ----------
    spent : list of (Lot, int)
        Points taken, from each lot.
    coupons : list of (str, str)
        Code and serial of coupons that are used now.
    """

    given: list[Given] = field(default_factory=list)
    earned: list[Lot] = field(default_factory=list)
    spent: list[tuple[Lot, int]] = field(default_factory=list)
    coupons: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Past:
    """Every sale that was committed and not undone, in the order of the journal."""

    sales: list[Sale] = field(default_factory=list)

    def given(self) -> list[Given]:
        """Return what offers gave."""
        return [given for sale in self.sales for given in sale.given]

    def lots(self, scene: Scene, purse: str) -> list[Lot]:
        """Return the lots that can be spent now, in the order in which they are (R5)."""
        if scene.member is None:
            return []
        group = scene.counted_for["per_household"]
        found = [
            lot
            for sale in self.sales
            for lot in sale.earned
            if (lot.group, lot.purse) == (group, purse)
            and lot.first <= scene.business_day <= lot.last
        ]
        return sorted(found, key=lambda lot: (lot.last, lot.first))

    def available(self, scene: Scene, purse: str) -> int:
        """Return the points that can be spent now."""
        return sum(lot.points for lot in self.lots(scene, purse))

    def spend(self, scene: Scene, purse: str, points: int) -> list[tuple[Lot, int]]:
        """Take points out of the lots; return how many out of each."""
        taken = []
        for lot in self.lots(scene, purse):
            part = min(lot.points, points)
            lot.points -= part
            points -= part
            if part:
                taken.append((lot, part))
        if points:
            raise ValueError(f"{points} points more are spent than there are")
        return taken

    def undo(self, sale: Sale) -> None:
        """Take a sale back as a void does."""
        for lot, points in sale.spent:
            lot.points += points
        self.sales.remove(sale)
