"""A till's customers from a seed: what they buy, and the course that each visit takes.

The same seed and shop give the same visits. A visit is bounded: at most `LINES_MAX` lines, and at
most one of putting aside, voiding and bringing back.
"""

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC

from checklane.certify.shop import Shop
from checklane.client import Basket, Decision, Lane, Receipt, ReturnLine
from checklane.clock import SYSTEM_CLOCK, Clock, business_date

__all__ = ["SimulatedTill", "Tally", "Visit", "make_visit", "serve_visits"]

LINES_MAX = 6
COUNT_MAX = 4
#: Of a hundred visits: with a card, with a total, put aside and resumed elsewhere, voided, with a
#: return.
CARD_SHARE, TOTAL_SHARE, SUSPEND_SHARE, VOID_SHARE, RETURN_SHARE = 60, 50, 10, 5, 10


@dataclass(frozen=True, slots=True)
class Visit:
    """What one customer does.

    Attributes
    ----------
    lines : tuple of (int, int)
        Which product of the shop, and how many, in the order of scanning.
    has_card, is_totalled, is_suspended, is_voided : bool
    brings_back : int
        How many units of the first line come back afterwards.
    """

    lines: tuple[tuple[int, int], ...]
    has_card: bool
    is_totalled: bool
    is_suspended: bool
    is_voided: bool
    brings_back: int


def make_visit(chance: random.Random, shop: Shop) -> Visit:
    """Draw one visit."""

    def draw(share: int) -> bool:
        return chance.randrange(100) < share

    count = chance.randint(1, min(LINES_MAX, len(shop.products)))
    products = chance.sample(range(len(shop.products)), count)
    lines = tuple((product, chance.randint(1, COUNT_MAX)) for product in products)
    is_totalled = draw(TOTAL_SHARE)
    is_suspended = is_totalled and draw(SUSPEND_SHARE)
    is_voided = draw(VOID_SHARE)
    brings_back = chance.randint(1, lines[0][1]) if draw(RETURN_SHARE) and not is_voided else 0
    has_card = bool(shop.card) and draw(CARD_SHARE)
    return Visit(lines, has_card, is_totalled, is_suspended, is_voided, brings_back)


@dataclass(slots=True)
class Tally:
    """What a simulated till did, as it was answered."""

    scans: int = 0
    totals: int = 0
    sales: int = 0
    voids: int = 0
    returns: int = 0
    due_minor: int = 0


class SimulatedTill:
    """Serves customers of a seed over lanes: scans, quotes, totals, suspends, sells, takes back.

    Parameters
    ----------
    lanes : sequence of Lane
        The till's own, and another one where baskets that were put aside are resumed.
    shop : Shop
    seed : int
    business_date : int
        Of everything, yyyymmdd.
    clock : Clock
        When baskets are opened.

    Attributes
    ----------
    tally : Tally
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        shop: Shop,
        *,
        seed: int,
        business_date: int,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.tally = Tally()
        self._lanes = lanes
        self._shop = shop
        self._chance = random.Random(seed)
        self._date = business_date
        self._clock = clock
        self._sequences = [0] * len(lanes)

    def serve(self) -> Receipt:
        """Serve the next customer from the first scan to what comes back.

        Raises
        ------
        ChecklaneError
            A call that was not answered in all the tries that its lane makes.
        """
        visit = make_visit(self._chance, self._shop)
        basket, shown = self._scan(visit)
        at = len(self._lanes) - 1 if visit.is_suspended else 0
        total = None
        if visit.is_totalled:
            total = self._lanes[0].total(basket)
            self.tally.totals += 1
        self._sequences[at] += 1
        receipt = self._lanes[at].commit(
            basket,
            sequence=self._sequences[at],
            business_date=self._date,
            total=total,
            shown=None if total else shown,
            paid=True,
        )
        self.tally.sales += 1
        self.tally.due_minor += receipt.decision.totals.due_minor
        if visit.is_voided:
            self._void(at, receipt)
        if visit.brings_back:
            self._take_back(at, receipt, visit.brings_back)
        return receipt

    def _scan(self, visit: Visit) -> tuple[Basket, Decision | None]:
        """Scan line by line and quote after each; returns the last quote too."""
        basket, shown = Basket(clock=self._clock), None
        if visit.has_card:
            basket.card(self._shop.card)
        for number, count in visit.lines:
            product = self._shop.products[number]
            basket.add(
                product.code,
                kind=product.kind,
                count=count,
                amount_minor=count * product.price_minor,
            )
            shown = self._lanes[0].quote(basket)
            self.tally.scans += 1
        return basket, shown

    def _void(self, at: int, receipt: Receipt) -> None:
        self._lanes[at].void(
            sequence=receipt.sequence, business_date=self._date, reason="changed their mind"
        )
        self.tally.voids += 1
        self.tally.due_minor -= receipt.decision.totals.due_minor

    def _take_back(self, at: int, receipt: Receipt, count: int) -> None:
        self._sequences[at] += 1
        back = self._lanes[at].return_items(
            ReturnLine(line_id=1, count=count),
            original_sequence=receipt.sequence,
            original_date=self._date,
            sequence=self._sequences[at],
            business_date=self._date,
        )
        self.tally.returns += 1
        self.tally.due_minor -= back.reversal.refund_minor


def serve_visits(address: str, shop: Shop, visits: int, seed: int) -> Tally:
    """Simulate a till with a second one beside it, and return what it did.

    Parameters
    ----------
    address : str
        host:port of the service.
    shop : Shop
    visits : int
        Customers.
    seed : int
    """
    run = uuid.uuid4().hex[:8]
    date = business_date(SYSTEM_CLOCK.unix_ms(), UTC)
    with (
        Lane(address, store=shop.store, till=f"{run}-1") as own,
        Lane(address, store=shop.store, till=f"{run}-2") as other,
    ):
        till = SimulatedTill([own, other], shop, seed=seed, business_date=date)
        for _ in range(visits):
            till.serve()
    return till.tally
