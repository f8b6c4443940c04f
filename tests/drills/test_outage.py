"""Lanes that sell while the server is away: all is entered once, in order, when it is back."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import grpc
import pytest

from checklane.client import Basket, Lane, OfflineLane, Policy, Spool, StandIn
from checklane.clock import SYSTEM_CLOCK
from checklane.errors import SpoolError
from checklane.v1 import ledger_pb2, ledger_pb2_grpc
from tests.server.serving import ROOT, Server, build_example

LANES = 4
PATIENCE_S = 60.0
HURRIED = Policy(quote_budget_ms=200, change_deadline_ms=500, change_budget_ms=500)
CARD = "6029000000000001"
DATE = 20260302
TODAY = int(time.strftime("%Y%m%d"))
OPENED_UNIX_MS = 1_772_467_200_000

#: A till as a process of its own, which sells until it is killed.
TILL = """
import sys
from pathlib import Path
from tests.drills.test_outage import open_till, sell

address, path, number = sys.argv[1:]
with open_till(address, Path(path), int(number)) as till:
    sequence = int(sys.stdin.readline())
    while True:
        sell(till, sequence)
        print(sequence, flush=True)
        sequence += 1
"""


class Till(OfflineLane):
    """A lane of its own with its spool; closes all of it."""

    def __init__(self, address: str, path: Path, number: int, **options: object) -> None:
        self._own_lane = Lane(address, store="S001", till=str(number), policy=HURRIED)
        self._own_spool = Spool(path)
        super().__init__(self._own_lane, self._own_spool, **{"retry_s": 0.1, **options})

    def close(self) -> None:
        super().close()
        self._own_spool.close()
        self._own_lane.close()


def open_till(address: str, path: Path, number: int, **options: object) -> Till:
    return Till(address, path, number, **options)


def basket() -> Basket:
    sold = Basket(opened_time_unix_ms=OPENED_UNIX_MS).card(CARD)
    return sold.add("9520000001018", count=3, amount="5.97")


def sell(till: OfflineLane, sequence: int) -> bool:
    """Sell; tell whether the sale was entered at once."""
    receipt = till.sell(basket(), sequence=sequence, business_date=DATE)
    return receipt is not None


def entered(address: str) -> dict[str, list[int]]:
    """Return the sequences of all sales by till, in the order of the journal."""
    found: dict[str, list[int]] = defaultdict(list)
    request = ledger_pb2.StreamEntriesRequest(kinds=[ledger_pb2.LEDGER_ENTRY_KIND_SALE])
    with grpc.insecure_channel(address) as channel:
        for page in ledger_pb2_grpc.LedgerServiceStub(channel).StreamEntries(request, timeout=60):
            for entry in page.entries:
                found[entry.till_id].append(entry.receipt.sequence)
    return found


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("outage") / "data"
    build_example(data)
    return data


@pytest.fixture
def server(example: Path, tmp_path: Path):
    shutil.copytree(example, tmp_path / "data")
    server = Server(tmp_path / "data", tmp_path / "server.log")
    server.start()
    yield server
    server.close()


def wait_for(condition) -> None:
    end_s = SYSTEM_CLOCK.monotonic_s() + PATIENCE_S
    while not condition():
        assert SYSTEM_CLOCK.monotonic_s() < end_s, "it never came to that"
        SYSTEM_CLOCK.sleep(0.02)


@pytest.mark.parametrize("port", ["lane_address", "address"])
def test_all_is_entered_once_and_in_order(server: Server, tmp_path: Path, port: str) -> None:
    """Killed in the middle of an outage's backlog, too."""
    address = getattr(server, port)
    tills = [open_till(address, tmp_path / f"spool-{n}", n) for n in range(LANES)]
    try:
        assert all(sell(till, 1) for till in tills)
        server.end(signal.SIGKILL)
        threads = [
            threading.Thread(target=lambda t=till: [sell(t, s) for s in range(2, 32)])
            for till in tills
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [len(till.spool) for till in tills] == [30] * LANES
        assert all(till.is_away for till in tills)
        server.start()
        wait_for(lambda: sum(len(till.spool) for till in tills) < 29 * LANES)
        server.end(signal.SIGKILL)
        left = sum(len(till.spool) for till in tills)
        server.start()
        assert all(till.wait_until_entered(PATIENCE_S) for till in tills)
        assert all(till.spool.list_refused() == [] for till in tills)
        assert left < 30 * LANES
        assert not any(till.is_away for till in tills)
        assert all(sell(till, 32) for till in tills)
    finally:
        for till in tills:
            till.close()
    assert entered(server.address) == {str(n): list(range(1, 33)) for n in range(LANES)}


def test_a_till_that_is_killed_loses_nothing_that_it_was_told(
    server: Server, tmp_path: Path
) -> None:
    """Three tills are killed while they sell, twice, with the server away in between."""
    told: dict[str, int] = {}
    folder = os.environ | {"PYTHONPATH": f"{ROOT}:{os.environ.get('PYTHONPATH', '')}"}
    next_sequence = dict.fromkeys(range(3), 1)
    for is_away in (False, True, False):
        if is_away:
            server.end(signal.SIGKILL)
        for number in range(3):
            command = [sys.executable, "-c", TILL, server.lane_address,
                       str(tmp_path / f"spool-{number}"), str(number)]  # fmt: skip
            till = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=folder
            )
            assert till.stdin is not None
            assert till.stdout is not None
            till.stdin.write(f"{next_sequence[number]}\n")
            till.stdin.flush()
            for _ in range(10):
                told[str(number)] = int(till.stdout.readline())
            till.kill()
            said = [int(line) for line in till.stdout.read().split()]
            told[str(number)] = max([told[str(number)], *said])
            till.wait()
            # One may have been kept and not told: its number is not used again.
            next_sequence[number] = told[str(number)] + 2
        if is_away:
            server.start()
    for number in range(3):
        with open_till(server.lane_address, tmp_path / f"spool-{number}", number) as till:
            assert till.wait_until_entered(PATIENCE_S)
            assert till.spool.list_refused() == []
    found = entered(server.address)
    for number, sequences in found.items():
        assert len(sequences) == len(set(sequences)), "entered twice"
        missing = set(range(1, told[number] + 1)) - set(sequences)
        # What no till was told it had may be missing: where it was killed.
        assert len(missing) <= 2
        assert told[number] in sequences


def test_live_sales_wait_for_no_backlog(server: Server, tmp_path: Path) -> None:
    with open_till(server.lane_address, tmp_path / "spool", 1) as till:
        sell(till, 1)
        server.end(signal.SIGKILL)
        for sequence in range(2, 202):
            sell(till, sequence)
        server.start()
        wait_for(lambda: not till.is_away)
        live = 0
        while len(till.spool) > 0:
            # What is sold now is entered now, whatever waits.
            live += sell(till, 1000 + live)
        assert till.wait_until_entered(PATIENCE_S)
    sequences = entered(server.address)["1"]
    assert [s for s in sequences if s < 1000] == list(range(1, 202))
    assert [s for s in sequences if s >= 1000] == list(range(1000, 1000 + live))
    assert live > 0
    assert sequences.index(1000) < sequences.index(201)


def test_the_stand_in_rule(server: Server, tmp_path: Path) -> None:
    def paid_with(points: int | None) -> Basket:
        sold = basket()
        sold.message.redemptions.add(purse_id="points", points=points)
        return sold

    path = tmp_path / "spool"
    rule = StandIn(redeem_points_max=500)
    with open_till(server.lane_address, path, 1, stand_in=rule) as till:
        till.check(paid_with(10_000))
        server.end(signal.SIGKILL)
        assert not sell(till, 1)
        till.check(paid_with(500))
        for points in (501, None):
            with pytest.raises(SpoolError) as caught:
                till.check(paid_with(points))
            assert caught.value.reason == "STAND_IN_LIMIT"
        till.sell(paid_with(300), sequence=2, business_date=DATE)
        with pytest.raises(SpoolError):
            till.sell(paid_with(201), sequence=3, business_date=DATE)
        assert len(till.spool) == 2
    # What was spent in the outage is known to a till that was started again.
    with open_till(server.lane_address, path, 1, stand_in=rule) as till:
        wait_for(lambda: till.is_away)
        with pytest.raises(SpoolError):
            till.check(paid_with(201))
        till.check(paid_with(200))
        server.start()
        assert till.wait_until_entered(PATIENCE_S)
        till.check(paid_with(500))
    with open_till(server.lane_address, tmp_path / "earning", 2) as till:
        server.end(signal.SIGKILL)
        assert not sell(till, 1)
        with pytest.raises(SpoolError):
            till.check(paid_with(1))


def sell_to_nobody(till: OfflineLane, sequence: int) -> object:
    sold = Basket().add("9520000001018", count=3, amount="5.97")
    return till.sell(sold, sequence=sequence, business_date=TODAY)


def test_a_card_that_comes_late_is_claimed_behind_its_sale(server: Server, tmp_path: Path) -> None:
    with open_till(server.lane_address, tmp_path / "spool", 1) as till:
        assert sell_to_nobody(till, 1) is not None
        server.end(signal.SIGKILL)
        assert sell_to_nobody(till, 2) is None
        for sequence in (2, 1):
            assert till.claim(CARD, sequence=sequence, business_date=TODAY) is None
        server.start()
        assert till.wait_until_entered(PATIENCE_S)
        assert till.spool.list_refused() == []
        assert sell_to_nobody(till, 3) is not None
        claimed = till.claim(CARD, sequence=3, business_date=TODAY)
        assert claimed is not None
        assert sum(award.points for award in claimed.earned) > 0


def test_a_claim_is_not_tried_while_its_sale_may_wait(tmp_path: Path, monkeypatch) -> None:
    """Also when the service is thought to be there: the sale would be unknown to it."""
    with open_till("127.0.0.1:1", tmp_path / "spool", 1, retry_s=3600) as till:
        assert sell_to_nobody(till, 1) is None
        tried = []
        monkeypatch.setattr(till.lane, "send", tried.append)
        till._is_away = False
        assert till.claim(CARD, sequence=1, business_date=TODAY) is None
        assert (tried, len(till.spool)) == ([], 2)
