"""The till's own account of a day: what its lanes were answered, in plain Python.

It is kept from the answers alone, as a till keeps its journal: by store and by the business date
that an answer names. It knows nothing of the engine, its records or its journal, so that what the
books say can be held against it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from checklane.client import (
    CaptureResult,
    ClaimResult,
    PointsAward,
    Receipt,
    ReturnResult,
    Totals,
    VoidResult,
)

__all__ = ["CLASSES", "MONEY", "Place", "Sold", "TillAccount"]

#: Store and business date.
Place = tuple[str, int]

#: Discounts by settlement class, as totals of a decision and of a period name them.
CLASSES = ("price_reduction_minor", "third_party_minor", "tender_minor")
#: All money of a period, as both name it.
MONEY = ("gross_minor", "discount_minor", "refund_minor", *CLASSES)
NO_EFFECT = frozenset({"VOIDED_BEFORE", "TRAINING"})


@dataclass(frozen=True)
class Sold:
    """A sale as its till remembers it.

    Attributes
    ----------
    date : int
        The business date of its receipt; the answer says for which one it counts.
    card : str
        Whose it is; empty: nobody's.
    """

    store: str
    till: str
    date: int
    card: str
    receipt: Receipt

    @property
    def place(self) -> Place:
        """Return where it counts."""
        return self.store, self.receipt.posting.business_date


@dataclass
class TillAccount:
    """Sums of a day.

    Attributes
    ----------
    sums : dict of Place to Counter
        As ``PeriodTotals`` of the contract names them; points as ``points.`` and the purse.
    settled : dict of Place to Counter
        Discounts sold by class, voided and returned, as a settlement splits them.
    flows : dict of Place to Counter
        Visits by what became of them.
    cards : dict of str to Counter
        By card what was ``earned.``, ``spent.`` and ``reversed.``, and the purse.
    faults : list of str
        Answers that were not as they had to be.
    """

    sums: dict[Place, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    settled: dict[Place, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    flows: dict[Place, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    cards: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    faults: list[str] = field(default_factory=list)
    closed: dict[str, int] = field(default_factory=dict)

    def add(self, other: "TillAccount") -> None:
        """Add what another store's tills have."""
        for name in ("sums", "settled", "flows", "cards"):
            mine = getattr(self, name)
            for key, counts in getattr(other, name).items():
                mine[key].update(counts)
        self.faults += other.faults
        self.closed |= other.closed

    def purse_sums(self) -> Counter[str]:
        """Return the points by purse, over all cards."""
        sums: Counter[str] = Counter()
        for counts in self.cards.values():
            for name, points in counts.items():
                sums[name.partition(".")[2]] += points
        return sums

    def expect(self, is_so: bool, what: str) -> None:
        """Note a fault where something is not as it has to be."""
        if not is_so:
            self.faults.append(what)

    # ---- what is answered

    def sell(self, sale: Sold) -> None:
        """Note a sale, with what came back in its basket."""
        receipt, place = sale.receipt, sale.place
        if receipt.outcome in NO_EFFECT:
            return
        self._count_sale(sale, 1)
        self.sums[place]["late_count"] += place[1] != sale.date
        decision = receipt.decision
        for name in CLASSES:
            self.settled[place][f"sold {name}"] += getattr(decision.totals, name)
        self._earn(place, sale.card, decision.earned, "earned")
        for taken in decision.redemptions:
            if taken.state == "TAKEN":
                self.spend(place, sale.card, taken.purse_id, taken.points)
        if receipt.reversal is not None:
            self._reverse(place, sale.card, receipt.reversal.points)
            self.sums[place]["return_count"] += 1
            self.settled[place]["returned"] += sum(
                line.discount_minor for line in receipt.reversal.lines
            )

    def void(self, store: str, answer: VoidResult, sale: Sold | None = None) -> None:
        """Note a void; no sale: it left a tombstone."""
        place = (store, answer.posting.business_date)
        self.sums[place]["void_count"] += 1
        if sale is None:
            return
        if sale.place[1] <= self.closed.get(sale.store, 0):
            # The closed date keeps its sale: the void is a refund on its own.
            self.sums[place]["refund_minor"] += answer.reversal.refund_minor
            self.sums[place]["late_count"] += 1
        else:
            self._count_sale(sale, -1)
        self._reverse(place, sale.card, answer.reversal.points)
        self.settled[place]["voided"] += sum(line.discount_minor for line in answer.reversal.lines)

    def take_back(self, sale: Sold, answer: ReturnResult) -> None:
        """Note a return."""
        place = (sale.store, answer.posting.business_date)
        self.sums[place].update(return_count=1, refund_minor=answer.reversal.refund_minor)
        self._reverse(place, sale.card, answer.reversal.points)
        self.settled[place]["returned"] += sum(
            line.discount_minor for line in answer.reversal.lines
        )

    def claim(self, store: str, card: str, answer: ClaimResult) -> None:
        """Note points of a sale that was somebody's after all."""
        self._earn((store, answer.posting.business_date), card, answer.earned, "earned")

    def capture(self, store: str, card: str, answer: CaptureResult) -> None:
        """Note points of a hold that were spent without a sale."""
        place = (store, answer.posting.business_date)
        self.spend(place, card, answer.hold.purse_id, answer.captured_points)

    def spend(self, place: Place, card: str, purse_id: str, points: int) -> None:
        """Note points that were spent."""
        self.sums[place][f"points.{purse_id}"] -= points
        self.cards[card][f"spent.{purse_id}"] -= points

    # ---- sums

    def _count_sale(self, sale: Sold, sign: int) -> None:
        totals: Totals = sale.receipt.decision.totals
        counted = Counter({name: sign * getattr(totals, name) for name in MONEY})
        counted["sale_count"] = sign
        counted["exception_count"] = sign * (sale.receipt.outcome == "POSTED_WITH_EXCEPTIONS")
        self.sums[sale.place].update(counted)

    def _earn(self, place: Place, card: str, awards: Iterable[PointsAward], how: str) -> None:
        for award in awards:
            self.sums[place][f"points.{award.purse_id}"] += award.points
            self.cards[card][f"{how}.{award.purse_id}"] += award.points

    def _reverse(self, place: Place, card: str, awards: Iterable[PointsAward]) -> None:
        self._earn(place, card, awards, "reversed")
