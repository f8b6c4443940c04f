"""How long a start takes: after kill -9 with many entries to replay, and with many members.

Each start is a process of its own that opens the data directory, makes the live snapshots live as a
server does, answers one quote of a known member, and ends at once without closing. What the
interpreter takes to load the modules is not in it.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from checklane import _layout
from checklane._engine import METHODS, Engine
from checklane.bench.figures import BenchError
from checklane.bench.ledger_report import Start
from checklane.bench.ledger_sales import drive_of
from checklane.bench.world import World, make_baskets, opened
from checklane.config import Settings
from checklane.snapshot.keys import load_keys
from checklane.snapshot.store import snapshot_directory
from checklane.tables.files import read_records, read_snapshot, write_snapshot
from checklane.tables.open_addressing import Table, mix64, open_addressed

QUOTE = METHODS["CheckoutService.QuoteBasket"]
ACCOUNTS = 100_000


@dataclass(frozen=True)
class StartEffort:
    """How often, with how many entries behind the last checkpoint, and how many members."""

    runs: int
    entries: int
    members: int


@dataclass(frozen=True)
class Started:
    """What one start was like."""

    answer_s: float
    cpu_s: float
    memory_bytes: int
    replayed: int


def start_here(data: Path, program: Path, catalogue: Path, members: Path) -> tuple[Started, Engine]:
    """Start on a data directory in this process; return the figures and the open engine.

    The caller ends the process while it holds the engine: one that is let go closes, and leaves a
    checkpoint and nothing to replay.
    """
    keys, settings = load_keys(data), Settings.model_validate({})
    (basket,) = make_baskets("start", 1, seed=1)
    request = basket.quote()
    memory_before = own_memory_bytes()
    begin_s, cpu_s = time.perf_counter(), time.process_time()
    engine = Engine(
        str(data),
        sessions=4,
        checkpoint_pause_ms=settings.checkpoint_pause_ms,
        node=settings.node,
        partition=settings.partition,
        identity_key=keys.identity,
        hold_out_key=keys.hold_out,
    )
    engine.activate(str(program), str(catalogue), str(members), is_recorded=False)
    status, _ = engine.call(QUOTE, request)
    found = Started(
        time.perf_counter() - begin_s,
        time.process_time() - cpu_s,
        own_memory_bytes() - memory_before,
        engine.stats()["recovered_entries"],
    )
    if status != 0:
        raise BenchError(f"the first quote was refused with status {status}")
    return found, engine


def own_memory_bytes() -> int:
    """Return the resident memory of this process that is no mapped file's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def start_once(data: Path, program: Path, catalogue: Path, members: Path) -> Started:
    """Start in a process of its own, which is gone afterwards as after kill -9.

    Raises
    ------
    BenchError
        It did not start, or the first quote was refused.
    """
    command = [sys.executable, "-m", __name__, *map(str, (data, program, catalogue, members))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchError(f"a start failed:\n{done.stderr[-2000:]}")
    return Started(**json.loads(done.stdout))


def medians(name: str, runs: list[Started]) -> Start:
    """Return the row of several starts."""
    return Start(
        name,
        statistics.median(run.answer_s for run in runs),
        statistics.median(run.cpu_s for run in runs),
        round(statistics.median(run.memory_bytes for run in runs)),
        round(statistics.median(run.replayed for run in runs)),
    )


def measure_starts(
    world: World,
    sales: list[bytes],
    work: Path,
    effort: StartEffort,
    tell: Callable[[str], None],
) -> list[Start]:
    """Measure a start with nothing to do, one that replays, and one with many members."""
    rows = []
    data = work / "start"
    shutil.copytree(world.data, data)
    plain = data, world.usual, world.catalogue, world.members
    tell("starts after a clean stop")
    rows.append(medians("after a clean stop", [start_once(*plain) for _ in range(effort.runs)]))
    tell(f"writing a journal of {effort.entries:,} entries")
    drive_of(data, sales, ACCOUNTS, seed=1).fill(effort.entries)
    tell(f"starts that replay {effort.entries:,} entries")
    name = f"after kill -9, {effort.entries:,} entries behind the last checkpoint"
    runs = [start_once(*plain) for _ in range(effort.runs)]
    if min(run.replayed for run in runs) < effort.entries:
        raise BenchError("a start left a checkpoint: the next had nothing to replay")
    rows.append(medians(name, runs))
    shutil.rmtree(data)
    tell(f"building {effort.members:,} members")
    members = many_members(world, effort.members)
    with opened(world, world.usual, sessions=1):
        pass
    many = world.data, world.usual, world.catalogue, members
    runs = [start_once(*many) for _ in range(effort.runs)]
    rows.append(medians(f"after a clean stop, {effort.members:,} members", runs))
    members.unlink()
    return rows


def many_members(world: World, count: int) -> Path:
    """Return a members snapshot with the world's members and so many more, drawn at random."""
    values = read_snapshot(world.members)
    draw = np.random.default_rng(1)
    numbers = draw.integers(1, 2**63, count, dtype=np.uint64)
    few = {
        name: read_records(values, name, dtype)
        for name, dtype in (
            ("identity", _layout.IDENTITY_SLOT), ("members", _layout.MEMBER_RECORD),
        )
    }  # fmt: skip
    identities = np.zeros(count, dtype=_layout.IDENTITY_SLOT)
    identities["hash_hi"] = draw.integers(1, 2**63, count, dtype=np.uint64)
    identities["hash_lo"] = draw.integers(1, 2**63, count, dtype=np.uint64)
    identities["member"] = numbers
    identities["kind"] = few["identity"]["kind"].max()
    identities["key_id"] = world.keys.identity_id
    records = np.zeros(count, dtype=_layout.MEMBER_RECORD)
    records["member"] = records["account_group"] = numbers
    own = few["identity"][few["identity"]["member"] != 0]
    identities = np.concatenate([own, identities])
    records = np.concatenate([few["members"][few["members"]["member"] != 0], records])
    tables: dict[str, Table | np.ndarray[tuple[int], np.dtype[Any]]] = {
        "info": read_records(values, "info", _layout.SNAPSHOT_INFO),
        "identity": open_addressed(identities, identities["hash_lo"], ties=identities["hash_hi"]),
        "members": open_addressed(records, mix64(records["member"])),
        "wallet": read_records(values, "wallet", np.dtype(np.uint64)),
    }
    return write_snapshot(snapshot_directory(world.data), "members", tables)


if __name__ == "__main__":
    started, held = start_here(*map(Path, sys.argv[1:]))
    print(json.dumps(asdict(started)), flush=True)
    os._exit(0)
