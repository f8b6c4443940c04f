"""Spots of a program made ready for baskets: who comes, when, where, and what there is to buy."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from checklane import _layout
from checklane.program.compile import Compiled, array_of
from checklane.program.cost import Analysis, Spot
from checklane.program.fields import MINUTES_A_DAY
from checklane.program.model import Offer, Program
from checklane.program.parts import ALWAYS_UNTIL
from checklane.program.scenes import NOBODY, WALLET
from checklane.v1 import basket_pb2, checkout_pb2, common_pb2

#: When nothing bounds a program in time: a Monday at noon.
USUAL_MINUTE = int(datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp()) // 60
NOON = 720
#: Days and times of day that are tried for the moment at which most offers run.
DAYS_TRIED = 14
TIMES_TRIED = 24
PRICES = (99, 199, 250, 333, 500, 999, 1999)
CARD_PREFIX = "50200000"


@dataclass(frozen=True)
class Visitor:
    """A member who may have as much as one member can have of a spot."""

    member_id: str
    card: str
    tier: str
    segments: list[str]
    birth_date: str
    wallet: list[str]


@dataclass(frozen=True)
class Stage:
    """A spot made ready for baskets.

    Attributes
    ----------
    name : str
    products : list of int
        Numbers of products, dearest first, as many as a basket may have lines.
    visitor : Visitor or None
    head : Basket
        Store, time, channel, identifier, coupons and chosen offers; no lines.
    prices : list of int
        Unit prices at which something happens.
    """

    name: str
    products: list[int]
    visitor: Visitor | None
    head: basket_pb2.Basket
    prices: list[int]


@dataclass(frozen=True)
class Goods:
    """One line: a product number, how many, and what one costs."""

    product: int
    count: int
    unit_minor: int


def probe_code(product: int) -> str:
    """Return the SKU by which a basket here names a product, whatever codes it has."""
    return f"checklane-probe-{product}"


class Stages:
    """Makes the spots of an analysis ready.

    Parameters
    ----------
    analysis : Analysis
    compiled : Compiled
    program : Program
    offers : sequence of Offer
        By their numbers in the tables.
    store_ids : sequence of str
    wallet_offers : int
    """

    def __init__(
        self,
        analysis: Analysis,
        compiled: Compiled,
        program: Program,
        offers: Sequence[Offer],
        store_ids: Sequence[str],
        wallet_offers: int,
    ) -> None:
        self._analysis = analysis
        self._program = program
        self._offers = offers
        self._store_ids = store_ids
        self._wallet_offers = wallet_offers
        self._slots = array_of(compiled.tables["slots"])
        classes = array_of(compiled.tables["class_of_product"]).astype(np.int64)
        self._by_class = np.argsort(classes, kind="stable")
        self._first = np.searchsorted(
            classes[self._by_class], np.arange(len(analysis.reach.sizes) + 1)
        )

    def all(self) -> list[Stage]:
        """Return a stage for each spot."""
        stages = [self._stage(n, spot) for n, spot in enumerate(self._analysis.spots)]
        return [stage for stage in stages if stage.products]

    def _stage(self, number: int, spot: Spot) -> Stage:
        offers = self._touched(spot)
        models = [self._offers[n] for n in offers]
        minute = busiest_minute(models)
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
        head = basket_pb2.Basket(
            store_id=self._store_ids[spot.scene.store] if self._store_ids else "",
            till_id="1",
            opened_time_unix_ms=minute * 60_000,
            utc_offset_minutes=0,
            business_date=int(f"{moment:%Y%m%d}"),
            channel=self._channel(offers),  # type: ignore[arg-type]
        )
        visitor = None
        if spot.scene.tier != NOBODY:
            visitor = self._visitor(number, spot.scene.tier, models, f"1980-{moment:%m-%d}")
            head.identifiers.add(kind=common_pb2.IDENTIFIER_KIND_CARD, value=visitor.card)
        opened = Counter(code for offer in models if offer.coupon for code in offer.coupon.codes)
        for code, _ in opened.most_common(_layout.COUPONS_MAX):
            head.coupons.add(code=code)
        for offer in [offer for offer in models if offer.chosen][: _layout.SELECTIONS_MAX]:
            head.selections.add(offer_id=offer.id)
        return Stage(spot.name, self._products(spot), visitor, head, self._prices(offers))

    def regular(self) -> Visitor:
        """Return the member who comes with given baskets: the widest wallet offers are theirs."""
        gates = self._analysis.scenery.gates
        names = self._analysis.names(np.flatnonzero(gates == WALLET))
        tiers = sorted(self._program.tiers, key=lambda name: self._program.tiers[name].number)
        return Visitor(
            member_id="regular",
            card=f"{CARD_PREFIX}9999",
            tier=tiers[0] if tiers else "",
            segments=[],
            birth_date="1980-07-01",
            wallet=names[: self._wallet_offers],
        )

    def _touched(self, spot: Spot) -> list[int]:
        """Return the offers of a spot, those of its dearest classes first."""
        meets = np.zeros(len(self._offers), dtype=bool)
        meets[spot.scene.offers] = True
        found: dict[int, None] = {}
        for number in spot.classes:
            own = self._analysis.reach.of_class(int(number))
            found.update(dict.fromkeys(own[meets[own]].tolist()))
        return list(found) or spot.scene.offers.tolist()

    def _products(self, spot: Spot) -> list[int]:
        """Return products of the spot's classes: one of each, then a second of each, ..."""
        classes = spot.classes
        if len(classes) == 0:
            classes = np.flatnonzero(self._analysis.reach.sizes > 0)[: _layout.BASKET_LINES_MAX]
        first, counts = self._first[classes], self._analysis.reach.sizes[classes]
        found: list[int] = []
        turn = 0
        while len(found) < _layout.BASKET_LINES_MAX and bool(np.any(counts > turn)):
            found += self._by_class[first[counts > turn] + turn].tolist()
            turn += 1
        return found[: _layout.BASKET_LINES_MAX]

    def _channel(self, offers: list[int]) -> int:
        masks = self._analysis.scenery.offers["channel_mask"][offers]
        known = sorted(channel.number for channel in self._program.channels.values())
        return max(known, key=lambda n: (int(((masks == 0) | (masks >> n & 1 != 0)).sum()), -n))

    def _visitor(self, number: int, tier: int, models: list[Offer], birth_date: str) -> Visitor:
        segments: set[str] = set()
        for offer in models:
            if offer.who.segments is not None:
                segments.update(offer.who.segments.any_ or [], offer.who.segments.all_ or [])
        names = [name for name, part in self._program.tiers.items() if part.number == tier]
        return Visitor(
            member_id=f"visitor-{number}",
            card=f"{CARD_PREFIX}{number:04d}",
            tier=names[0] if names else "",
            segments=sorted(segments),
            birth_date=birth_date,
            wallet=[offer.id for offer in models if offer.wallet][: self._wallet_offers],
        )

    def _prices(self, offers: list[int]) -> list[int]:
        slots = self._slots[np.isin(self._slots["offer"], offers)]
        ends = np.concatenate([slots["unit_min_minor"], slots["unit_max_minor"]])
        return sorted({*PRICES, *np.unique(ends[ends > 0])[:TIMES_TRIED].tolist()})


def busiest_minute(offers: Sequence[Offer]) -> int:
    """Return the local minute at which most of some offers run, hours and weekdays included."""
    begins = [offer.when.from_ or 0 for offer in offers]
    ends = [ALWAYS_UNTIL if offer.when.until is None else offer.when.until for offer in offers]
    first, last = max(begins, default=0), min(ends, default=ALWAYS_UNTIL)
    if first == 0:
        first = max(0, min(USUAL_MINUTE, last - DAYS_TRIED * MINUTES_A_DAY))
    times = {NOON, first % MINUTES_A_DAY}
    for offer in offers:
        times.update(span.from_ for span in offer.when.hours or [])
    day = first - first % MINUTES_A_DAY
    moments = [
        day + later * MINUTES_A_DAY + time
        for later in range(DAYS_TRIED)
        for time in sorted(times)[:TIMES_TRIED]
    ]
    moments = [moment for moment in moments if first <= moment < last] or [first]
    bound = [offer for offer in offers if offer.when.hours or offer.when.weekdays]
    return max(moments, key=lambda m: (sum(runs(offer, m) for offer in bound), -m))


def runs(offer: Offer, minute: int) -> bool:
    """Tell whether the hours and weekdays of an offer hold at a local minute."""
    time = minute % MINUTES_A_DAY
    weekday = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)).strftime("%A").lower()
    if offer.when.weekdays and weekday not in offer.when.weekdays:
        return False
    spans = offer.when.hours or []
    inside = [
        span.from_ <= time < span.until
        if span.from_ < span.until
        else time >= span.from_ or time < span.until
        for span in spans
    ]
    return any(inside) or not spans


def quote_of(stage: Stage, lines: Sequence[Goods]) -> bytes:
    """Return the quote of a basket, explained."""
    basket = basket_pb2.Basket()
    basket.CopyFrom(stage.head)
    for number, goods in enumerate(lines, start=1):
        basket.lines.add(
            line_id=number,
            product_code=probe_code(goods.product),
            code_kind=basket_pb2.PRODUCT_CODE_KIND_SKU,
            count=goods.count,
            amount_minor=goods.count * goods.unit_minor,
            kind=basket_pb2.LINE_KIND_SALE,
            price_source=basket_pb2.PRICE_SOURCE_SHELF,
        )
    request = checkout_pb2.QuoteBasketRequest(basket=basket, explain=True)
    return request.SerializeToString(deterministic=True)
