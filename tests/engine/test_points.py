"""Figures about points: each against sums that are taken from the journal."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from checklane import _layout
from checklane._engine import Engine, LedgerDrive
from checklane.bench.ledger_sales import drive_of
from checklane.server.metrics import TallyCollector
from tests.engine.shop import Built, Shop, basket, open_engine
from tests.engine.test_limits import movements_of

FLOWS_IN = {
    _layout.REASON_EARN: "earned", _layout.REASON_GOAL: "goal",
    _layout.REASON_REVERSE: "given_back", _layout.REASON_CLAW_BACK: "given_back",
    _layout.REASON_BURN: "given_back",
}  # fmt: skip
FLOWS_OUT = {
    _layout.REASON_BURN: "burned", _layout.REASON_REVERSE: "clawed_back",
    _layout.REASON_CLAW_BACK: "clawed_back", _layout.REASON_EXPIRE: "expired",
}  # fmt: skip
Sums = tuple[Counter[tuple[str, str]], Counter[str]]


def sums_of(entries: list[bytes]) -> Sums:
    """Return points by purse and flow, and what every purse owes, by the movements of entries."""
    flows: Counter[tuple[str, str]] = Counter()
    owed: Counter[str] = Counter()
    for entry in entries:
        for movement in movements_of(entry):
            cell, reason = movement["cell"], int(movement["reason"])
            if cell["kind"] not in (_layout.CELL_LOT, _layout.CELL_DEBT):
                continue
            points = int(cell["value"]) * (1 if cell["kind"] == _layout.CELL_LOT else -1)
            named, other = (FLOWS_IN, "adjusted_in") if points > 0 else (FLOWS_OUT, "adjusted_out")
            flows[str(cell["sub"]), named.get(reason, other)] += abs(points)
            owed[str(cell["sub"])] += points
    return +flows, Counter({purse: points for purse, points in owed.items() if points})


def journal_of(engine: Engine) -> list[bytes]:
    stats = engine.stats()
    count = stats["durable_lsn"] - stats["first_lsn"] + 1
    entries = engine.read_entries(stats["first_lsn"], count, 64 << 20)
    assert len(entries) == count
    return entries


def shown(engine: Engine | LedgerDrive) -> Sums:
    """Return the same as `sums_of`, as Prometheus would read it."""
    registry = CollectorRegistry()
    registry.register(TallyCollector(engine.tallies))
    flows: Counter[tuple[str, str]] = Counter()
    owed: Counter[str] = Counter()
    for family in registry.collect():
        for sample in family.samples:
            if sample.name == "checklane_points_total":
                flows[sample.labels["purse"], sample.labels["flow"]] = int(sample.value)
            elif sample.name == "checklane_points_liability":
                owed[sample.labels["purse"]] = int(sample.value)
    return flows, owed


def test_points_of_sales_returns_and_voids(built: Built, tmp_path: Path) -> None:
    shop = Shop(built, tmp_path, program=built.lenient)
    sales = [shop.sale(basket((500, 4, 1000 + 10 * n), member="ann")) for n in range(6)]
    for sale in sales:
        shop.commit(sale)
    shop.return_items(shop.return_request(sales[0], (1, 1)))
    shop.void(shop.void_request(sales[1]))
    flows, owed = sums_of(journal_of(shop.engine))
    assert {flow for _, flow in flows} == {"earned", "clawed_back"}
    assert shown(shop.engine) == (flows, owed)
    assert owed["1"] == shop.balance("ann")[0] > 0
    shop.engine.checkpoint()
    shop.commit(shop.sale(basket((500, 1, 700), member="ben")))
    flows, owed = sums_of(journal_of(shop.engine))
    assert shown(shop.engine) == (flows, owed)
    shop.reopen()
    assert shown(shop.engine) == (Counter(), owed)
    shop.engine.close()


def burnt(sale: bytes) -> bytes:
    """Return an entry as it would be had the sale's points of the first purse been spent."""
    entry = bytearray(sale)
    moved = movements_of(sale)
    at = sale.index(moved.tobytes())
    changed = moved.copy()
    for movement in changed:
        if movement["cell"]["kind"] == _layout.CELL_LOT and movement["cell"]["sub"] == 1:
            movement["reason"] = _layout.REASON_BURN
            movement["cell"]["value"] *= -1
    entry[at : at + changed.nbytes] = changed.tobytes()
    return bytes(entry)


def driven(data: Path, entries: list[bytes], *, is_checkpointed: bool) -> Sums:
    """Post entries again and again for a while; return the figures of whoever wrote them."""
    drive = drive_of(data, entries, 3, 7)
    drive.open()
    _, _, refused = drive.run(4, 0.05)
    assert refused is None
    sums = shown(drive)
    drive.close(is_checkpointed=is_checkpointed)
    return sums


@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_burns_and_a_crash(built: Built, tmp_path: Path, is_checkpointed: bool) -> None:
    shop = Shop(built, tmp_path)
    shop.commit(shop.sale(basket((500, 1, 1000), member="ann")))
    sale = journal_of(shop.engine)[-1]
    shop.engine.checkpoint()
    _, sold = sums_of(journal_of(shop.engine))
    before = shown(shop.engine)[0]
    assert shown(shop.engine)[1] == sold
    shop.engine.close()
    written = driven(shop.data, [sale, burnt(sale)], is_checkpointed=is_checkpointed)
    shop.engine = open_engine(shop.data)
    shop.activate(built.program, built.catalogue, built.members)
    flows, owed = sums_of(journal_of(shop.engine))
    assert {"earned", "burned"} <= {flow for _, flow in flows}
    assert written == (flows - before, owed)
    assert shown(shop.engine) == (Counter(), owed)
    shop.engine.close()


def test_groups_are_counted_by_size_and_time(shop: Shop) -> None:
    for _ in range(3):
        shop.commit(shop.sale(basket((500, 1, 1000))))
    stats, tallies = shop.engine.stats(), shop.engine.tallies()
    assert sum(tallies["groups"]) == sum(tallies["sync"]) == stats["groups"]
    assert int(np.dot(tallies["groups"], 2 ** np.arange(10))) >= stats["entries"] >= 3
    before = stats["checkpoints"]
    shop.engine.checkpoint()
    after = shop.engine.stats()
    assert (after["checkpoints"], after["uncovered_entries"]) == (before + 1, 0)
    assert after["checkpoint_us"] > stats["checkpoint_us"]
    assert after["failed_checkpoints"] == 0
