"""Runs the day: publishes its programs, serves every store beside the others, and reconciles."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from zoneinfo import ZoneInfo

from checklane.client.manage import activate, close_date, publish_program
from checklane.clock import SYSTEM_CLOCK, business_date
from checklane.demo.day.account import TillAccount
from checklane.demo.day.books import Before, reconcile
from checklane.demo.day.plan import DayPlan, Visit
from checklane.demo.day.store import DAY_MS, StoreDay
from checklane.demo.feeds import STORE_ZONE
from checklane.demo.serving import Server

__all__ = ["Day", "run_day"]

#: Called with the visits that were served since the last call.
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Day:
    """What a day came to.

    Attributes
    ----------
    stores : list of str
    dates : tuple of (int, int)
    account : TillAccount
        Of all stores.
    differences : list of str
        Empty when the books agree.
    elapsed_s : float
        From the first visit to the last answer.
    """

    stores: list[str]
    dates: tuple[int, int]
    account: TillAccount
    differences: list[str]
    elapsed_s: float


def run_day(
    server: Server,
    data: Path,
    programs: tuple[Path, Path],
    plan: DayPlan,
    before: Before,
    advance: Advance,
) -> Day:
    """Serve a day at a running server, and hold what was answered against its books.

    Parameters
    ----------
    server : Server
        Serves the lane port too.
    data : Path
        Its data directory. Spools are made beside it.
    programs : tuple of (Path, Path)
        Go live before the day and in its middle.
    plan : DayPlan
    before : mapping of str to Counter
        Points by card that were there before the day.
    advance : callable
    """
    hashes = [publish_program(server.address, path).snapshot.content_hash for path in programs]
    now_ms = SYSTEM_CLOCK.unix_ms()
    zone = ZoneInfo(STORE_ZONE)
    dates = (business_date(now_ms - DAY_MS, zone), business_date(now_ms, zone))
    spools = data.parent / "spools"
    spools.mkdir()
    days = [StoreDay(server.lane_address, store, dates, spools) for store in plan.stores]
    begin_s = monotonic()
    try:
        activate(server.address, "program", hashes[0])
        _serve(days, plan, 0, advance)
        activate(server.address, "program", hashes[1])
        _each(days, lambda day: day.end_first_date(_closer(server.address)))
        _serve(days, plan, 1, advance)
        _each(days, lambda day: day.end_second_date())
    finally:
        for day in days:
            day.close()
    elapsed_s = monotonic() - begin_s
    account = TillAccount()
    for day in days:
        account.add(day.account)
    differences = reconcile(server.address, data, account, before)
    return Day(plan.stores, dates, account, differences, elapsed_s)


def _closer(address: str) -> Callable[[str, int], int]:
    return lambda store, date: close_date(address, store, date)


def _each(days: Iterable[StoreDay], work: Callable[[StoreDay], None]) -> None:
    """Do something at every store, each in a thread of its own; raise what stopped one."""
    stores = list(days)
    with ThreadPoolExecutor(len(stores)) as pool:
        for done in [pool.submit(work, store) for store in stores]:
            done.result()


def _serve(days: list[StoreDay], plan: DayPlan, date_at: int, advance: Advance) -> None:
    """Serve the visits of one date."""
    lock = threading.Lock()
    visits: dict[str, list[Visit]] = {store: [] for store in plan.stores}
    for visit in plan.visits:
        if visit.date_at == date_at:
            visits[visit.store].append(visit)

    def serve(day: StoreDay) -> None:
        for visit in visits[day.store]:
            day.serve(visit)
            with lock:
                advance(1)

    _each(days, serve)
