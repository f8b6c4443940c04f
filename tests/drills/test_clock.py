"""A wall clock that steps back a day and ahead by a year under a running server.

Post time goes on from where it was, never back, and never more than an hour ahead of the clock that
the server was started by: so a year ahead expires no key, no receipt and no point.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from checklane import _layout
from checklane.clock import SYSTEM_CLOCK
from checklane.ledger.check import verify
from checklane.ledger.files import audit, journal_directory
from tests.drills.shop import Server, Till, make_shop, serving
from tests.support.wall_clock import WallClock

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
YEAR_MS = 400 * DAY_MS
SALES = 10


def starter(clock: WallClock, folder: Path) -> Callable[[Server], None]:
    """Return what starts a server with a clock before its own."""
    set_here = clock.environment(folder)

    def start(server: Server) -> None:
        os.environ.update(set_here)
        try:
            server.start()
        finally:
            for name in set_here:
                del os.environ[name]

    return start


def post_times(data):
    """Return kind and post time of every entry, in order."""
    found = []
    with audit(journal_directory(data)) as journal:
        for entry in journal.read_entries(1, 10_000, 64 << 20):
            header = np.frombuffer(entry, dtype=_layout.ENTRY_HEADER, count=1)[0]
            found.append((int(header["kind"]), int(header["post_unix_ms"])))
    return found


def sell(till):
    """Return sales with their answers."""
    requests = [till.next_request() for _ in range(SALES)]
    return [(request, till.commit(request)) for request in requests]


@pytest.fixture(scope="module")
def stepped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clock")
    world, goods, _ = make_shop(folder / "shop")
    clock = WallClock(folder / "wall-clock")
    with serving(world.data, folder / "log", starter=starter(clock, folder)) as server:
        begin_ms = SYSTEM_CLOCK.unix_ms()
        with Till(server.address, goods, 1) as till:
            sold = []
            for offset_ms in (0, -DAY_MS, YEAR_MS, 0):
                clock.turn(offset_ms)
                sold += sell(till)
            clock.turn(YEAR_MS)
            again = [(request, till.commit(request)) for request, _ in sold]
        end_ms = SYSTEM_CLOCK.unix_ms()
        assert server.end(signal.SIGTERM) == 0
    return world.data, sold, again, (begin_ms, end_ms)


def test_every_sale_is_answered_and_no_key_is_forgotten(stepped):
    _, sold, again, _ = stepped
    assert [type(answer) for _, answer in sold] == [bytes] * (4 * SALES)
    assert again == sold


def test_post_time_never_goes_back_and_hardly_ahead(stepped):
    data, _, _, (begin_ms, end_ms) = stepped
    times = [time for _, time in post_times(data)]
    assert times == sorted(times)
    own = [time for kind, time in post_times(data) if kind == _layout.ENTRY_COMMIT][-4 * SALES :]
    assert begin_ms <= own[0]
    # The year ahead was seen and cut off at an hour.
    assert end_ms < own[-1] <= end_ms + HOUR_MS


def test_the_accounts_agree_with_the_journal(stepped):
    verdict = verify(stepped[0], lambda *_: None)
    assert verdict.problem == ""
    assert verdict.report["is_compared"]
