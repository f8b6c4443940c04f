"""An outage day: the service is gone for hours, every lane sells on, and then it is back.

The hours are simulated: lanes carry clocks of their own, which run ahead from sale to sale. Spools,
server, kill and upload are real.
"""

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from pathlib import Path

from checklane.certify.failure import CertifyError
from checklane.certify.player import ONCE, PATIENT
from checklane.certify.record import Journal
from checklane.certify.shop import SHOP, prepare_shop
from checklane.certify.simulator import make_visit
from checklane.client import Basket, Lane, OfflineLane, Spool
from checklane.clock import SYSTEM_CLOCK, business_date
from checklane.demo.serving import Server
from checklane.errors import ChecklaneError
from checklane.v1 import ledger_pb2

__all__ = ["OutageOptions", "OutageReport", "run_outage"]

HOUR_MS = 3_600_000
#: Lanes that sell at once in this process; those of a store do it on machines of their own.
WORKERS = 8
#: Lanes that quote while the backlog drains, and how long each rests between two quotes.
QUOTERS = 4
REST_S = 0.002
QUOTES_BEFORE = 200
#: How long the backlog may take; long enough for any machine.
DRAIN_WITHIN_S = 1800.0

Tell = Callable[[str], None]


@dataclass(frozen=True)
class OutageOptions:
    """How large the day is.

    Attributes
    ----------
    work : Path
        An empty folder.
    lanes : int
    hours : float
        For how long the service is gone, by the lanes' clocks.
    sales_per_hour : int
        Of each lane.
    seed : int
    """

    work: Path
    lanes: int = 40
    hours: float = 6.0
    sales_per_hour: int = 30
    seed: int = 1


@dataclass
class OutageReport:
    """What came of it.

    Attributes
    ----------
    spooled : int
        Sales that were made while the service was gone.
    sold : int
        All sales.
    entered : int
        Sales in the journal.
    lost, twice : list of str
        Receipts that are missing there, or there more than once.
    out_of_order : list of str
        Tills whose sales stand in another order than they were made.
    refused : int
        Items that the service refused.
    drain_s : float
        From the service's first answer until the last spool was empty.
    quotes_before_us, quotes_during_us : list of float
        Live quotes without a backlog, and beside it, sorted.
    """

    spooled: int = 0
    sold: int = 0
    entered: int = 0
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    refused: int = 0
    drain_s: float = 0.0
    quotes_before_us: list[float] = field(default_factory=list)
    quotes_during_us: list[float] = field(default_factory=list)

    @property
    def is_right(self) -> bool:
        """Whether everything that was sold is entered, once, in order."""
        wrong = self.lost or self.twice or self.out_of_order or self.refused
        return not wrong and self.entered == self.sold


class _DayClock:
    """A lane's clock: its wall runs ahead when it is told to, its waits are real."""

    def __init__(self) -> None:
        self._ahead_ms = 0

    def advance(self, by_ms: int) -> None:
        self._ahead_ms += by_ms

    def unix_ms(self) -> int:
        return SYSTEM_CLOCK.unix_ms() + self._ahead_ms

    def monotonic_s(self) -> float:
        return SYSTEM_CLOCK.monotonic_s()

    def sleep(self, duration_s: float) -> None:
        SYSTEM_CLOCK.sleep(duration_s)


class _Till:
    """One lane with its spool and its clock."""

    def __init__(self, address: str, folder: Path, number: int, options: OutageOptions) -> None:
        self.name = str(number)
        self.sold = 0
        self._clock = _DayClock()
        self._chance = random.Random(options.seed * 1_000_003 + number)
        self._date = business_date(SYSTEM_CLOCK.unix_ms(), UTC)
        self._options = options
        self._stack = ExitStack()
        lane = Lane(
            address, store=SHOP.store, till=self.name, policy=ONCE, clock=self._clock,
            chance=self._chance,
        )  # fmt: skip
        self._stack.callback(lane.close)
        self.spool = self._stack.enter_context(Spool(folder / f"till-{self.name}.spool"))
        self.lane = self._stack.enter_context(OfflineLane(lane, self.spool, retry_s=0.2))

    def close(self) -> None:
        self._stack.close()

    def sell(self, count: int, over_ms: int) -> None:
        """Sell so many times, the clock running through a span."""
        for _ in range(count):
            self._clock.advance(over_ms // count)
            visit = make_visit(self._chance, SHOP)
            basket = Basket(clock=self._clock)
            if visit.has_card:
                basket.card(SHOP.card)
            for number, units in visit.lines:
                product = SHOP.products[number]
                basket.add(product.code, count=units, amount_minor=units * product.price_minor)
            self.sold += 1
            self.lane.sell(basket, sequence=self.sold, business_date=self._date)


class _Quoters:
    """Lanes that quote all the time, on threads of their own."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stopped = threading.Event()
        self._took_us: list[list[float]] = [[] for _ in range(QUOTERS)]
        self._failures: list[str] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        threads = [
            threading.Thread(target=self._quote, args=(took,), name="quoter")
            for took in self._took_us
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            for thread in threads:
                thread.join()

    def took_us(self) -> list[float]:
        if self._failures:
            raise CertifyError(f"a live quote failed: {self._failures[0]}")
        return sorted(each for took in self._took_us for each in took)

    def _quote(self, took_us: list[float]) -> None:
        basket = Basket().card(SHOP.card)
        for product in SHOP.products:
            basket.add(product.code, count=2, amount_minor=2 * product.price_minor)
        with Lane(self._address, store=SHOP.store, till="quoter", policy=PATIENT) as lane:
            while not self._stopped.is_set():
                begin_s = SYSTEM_CLOCK.monotonic_s()
                try:
                    lane.quote(basket)
                except ChecklaneError as error:
                    self._failures.append(str(error))
                    return
                took_us.append((SYSTEM_CLOCK.monotonic_s() - begin_s) * 1e6)
                SYSTEM_CLOCK.sleep(REST_S)


def run_outage(options: OutageOptions, tell: Tell = lambda words: None) -> OutageReport:
    """Live through an outage day.

    Parameters
    ----------
    options : OutageOptions
    tell : callable
        Called before each part.

    Raises
    ------
    CertifyError
        The backlog was never entered, or a live quote failed.
    """
    report = OutageReport()
    tell("building the shop")
    server = Server(prepare_shop(options.work), options.work / "server.log", has_lanes=True)
    with server, ExitStack() as stack:
        journal = Journal(server.address)
        tills = [
            _Till(server.lane_address, options.work, number, options)
            for number in range(1, options.lanes + 1)
        ]
        for till in tills:
            stack.callback(till.close)
        tell(f"{options.lanes} lanes sell, then the service is killed")
        report.quotes_before_us = _quotes_alone(server.lane_address)
        _at_all(tills, lambda till: till.sell(2, 0))
        server.kill()
        count = round(options.hours * options.sales_per_hour)
        tell(f"{options.hours:g} hours without it: {count} sales at each lane")
        _at_all(tills, lambda till: till.sell(count, round(options.hours * HOUR_MS)))
        report.spooled = sum(len(till.spool) for till in tills)
        tell(f"the service is back: {report.spooled} sales wait in the spools")
        server.start()
        _drain(tills, server.lane_address, report)
        tell("the lanes sell live again")
        _at_all(tills, lambda till: till.sell(2, 0))
        _await_empty(tills)
        report.refused = sum(len(till.spool.list_refused()) for till in tills)
        report.sold = sum(till.sold for till in tills)
        _hold_against(journal, tills, report)
        stack.close()
        server.stop()
    return report


def _quotes_alone(address: str) -> list[float]:
    """Measure quotes while nothing else is done."""
    quoters = _Quoters(address)
    with quoters.running():
        SYSTEM_CLOCK.sleep(QUOTES_BEFORE * REST_S)
    return quoters.took_us()


def _drain(tills: Sequence[_Till], address: str, report: OutageReport) -> None:
    """Wait until every spool is empty, and quote meanwhile."""
    quoters = _Quoters(address)
    begin_s = SYSTEM_CLOCK.monotonic_s()
    with quoters.running():
        _await_empty(tills)
        report.drain_s = SYSTEM_CLOCK.monotonic_s() - begin_s
    report.quotes_during_us = quoters.took_us()


def _await_empty(tills: Sequence[_Till]) -> None:
    end_s = SYSTEM_CLOCK.monotonic_s() + DRAIN_WITHIN_S
    for till in tills:
        if not till.lane.wait_until_entered(max(0.0, end_s - SYSTEM_CLOCK.monotonic_s())):
            raise CertifyError(f"{len(till.spool)} sales of till {till.name} were never entered")
        # The answer to the last item is noted a moment after the item is.
        while till.lane.is_away and SYSTEM_CLOCK.monotonic_s() < end_s:
            SYSTEM_CLOCK.sleep(0.01)


def _at_all(tills: Sequence[_Till], act: Callable[[_Till], None]) -> None:
    with ThreadPoolExecutor(WORKERS) as pool:
        for done in [pool.submit(act, till) for till in tills]:
            done.result()


def _hold_against(journal: Journal, tills: Sequence[_Till], report: OutageReport) -> None:
    """Compare what was sold with what the journal has."""
    found: dict[str, list[int]] = defaultdict(list)
    for entry in journal.news({till.name for till in tills}):
        if entry.kind == ledger_pb2.LEDGER_ENTRY_KIND_SALE:
            found[entry.till_id].append(entry.receipt.sequence)
    for till in tills:
        sequences = found[till.name]
        report.entered += len(sequences)
        missing = set(range(1, till.sold + 1)) - set(sequences)
        report.lost += [f"{till.name}/{number}" for number in sorted(missing)]
        counts = Counter(sequences)
        more = {number for number, count in counts.items() if count > 1}
        report.twice += [f"{till.name}/{number}" for number in sorted(more)]
        if sequences != sorted(sequences):
            report.out_of_order.append(till.name)
