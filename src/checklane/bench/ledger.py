"""Durable commits by the ledger alone, beside the disk, PostgreSQL and Redis, in one run.

What is measured is the ledger's own work, from the hand-in of a sale that was decided before to its
durable answer: key and receipt, versions, movements, journal, group, sync. The peers do the same
for the same bytes. Whole commits, decision included, are the rows of ``checklane bench --only
calls`` and of ``checklane bench load``.
"""

import os
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from checklane._engine import LedgerDrive
from checklane.bench import machine
from checklane.bench.calls import METHOD_OF, make_sale_goods, sender
from checklane.bench.evaluator import QUOTE
from checklane.bench.figures import SYNC_NAME, BenchError, Figure
from checklane.bench.ledger_report import LedgerReport, Row
from checklane.bench.ledger_sales import drive_of, sales_of
from checklane.bench.ledger_start import StartEffort, measure_starts
from checklane.bench.loop import Lane, run_lanes
from checklane.bench.peers import Peer, connect, make_sales, peers, prove
from checklane.bench.peers.drive import drive
from checklane.bench.world import QUICK as QUICK_WORLD
from checklane.bench.world import World, make_world, opened

#: What can be asked for, by name.
SECTIONS = ("commits", "peers", "start")
DISK = "this disk"
BURST = "the ledger, burst"
SUSTAINED = "the ledger, sustained with checkpoints"
OPEN = "the ledger, open loop at half of the sustained rate, checkpoints running"
GOAL_OPEN = "the ledger, open loop at half of the goal's 20,000 a second, checkpoints running"
BARE = "this disk, the same open loop: append and sync, nothing else"
GOAL_PER_SECOND = 20_000
#: An open loop at that rate, in times of a sustained run: so long until a checkpoint has run.
GOAL_TIMES = 2
LANES = 4
PROVEN_SALES = 50
#: Sales under way in an open loop before the next has to wait, which counts as its latency.
OPEN_IN_FLIGHT = 4096


@dataclass(frozen=True)
class Effort:
    """How much to measure.

    Attributes
    ----------
    runs : int
        Of each row of bursts and peers; medians are over them.
    in_flight : tuple of int
    burst_s, sustained_s, peer_s : float
        Seconds of one run.
    sync_count : int
    accounts : int
        That the sales belong to.
    start : StartEffort
    """

    runs: int
    in_flight: tuple[int, ...]
    burst_s: float
    sustained_s: float
    peer_s: float
    sync_count: int
    accounts: int
    start: StartEffort


FULL = Effort(
    3, (1, 8, 64, 256), 1.0, 25.0, 2.0, 300, 100_000, StartEffort(3, 1_000_000, 10_000_000)
)
QUICK = Effort(1, (1, 8), 0.1, 0.3, 1.0, 40, 1_000, StartEffort(1, 5_000, 2_000))


def run(
    work: Path, sections: Sequence[str], quick: bool, seed: int, tell: Callable[[str], None]
) -> LedgerReport:
    """Build what is measured, measure it, and return the report.

    Parameters
    ----------
    work : Path
        An empty folder on the disk that is measured.
    sections : sequence of str
        Of `SECTIONS`.
    quick : bool
        True: a few seconds, to see that everything runs. Its figures mean nothing.
    seed : int
    tell : callable

    Raises
    ------
    BenchError
        A commit was refused or answered wrongly, or a peer does not do what a commit has to do.
    """
    effort = QUICK if quick else FULL
    # The peers' servers run as users of their own.
    work.chmod(0o711)
    found = machine.describe_machine(work)
    load_before = os.getloadavg()[0]
    tell("building a shop")
    world = make_world(work / "shop", QUICK_WORLD, seed)
    sales = decided_sales(world, seed)
    rows: list[Row] = []
    with machine.SyncProbe(work, effort.sync_count) as syncs:
        if "commits" in sections:
            rows += measure_commits(world, sales, work, effort, seed, syncs, tell)
        if "peers" in sections:
            for peer in peers():
                found[peer.name] = peer.version()
                rows += measure_peer(peer, work / peer.kind, effort, seed, syncs, tell)
        if not syncs.figure.runs:
            syncs.run()
    disk = Row(DISK, SYNC_NAME, 1, syncs.figure)
    starts = measure_starts(world, sales, work, effort.start, tell) if "start" in sections else []
    found["load"] = f"{load_before:.1f} before, {os.getloadavg()[0]:.1f} at the end"
    mean_bytes = statistics.mean(map(len, sales))
    found["sale"] = f"{mean_bytes:,.0f} bytes in the journal; {effort.accounts:,} accounts"
    found["runs"] = (
        f"medians of {effort.runs} runs of {effort.burst_s:g} s ({effort.peer_s:g} s for peers),"
        f" one of {effort.sustained_s:g} s where sustained; seed {seed}"
        + ("; quick: shows that it runs, not how fast" if quick else "")
    )
    return LedgerReport(found, [disk, *rows], starts)


def decided_sales(world: World, seed: int) -> list[bytes]:
    """Return sales of ten lines, as the engine decides and enters them."""
    with opened(world, world.usual, sessions=2) as engine:
        _, goods = make_sale_goods(engine, LANES, seed)
        lane = Lane("commit", goods, 1, 0.2)
        lane.warm(sender(engine, QUOTE))
        run_lanes([lane], [sender(engine, METHOD_OF["commit"])])
        return sales_of(engine)


def measure_commits(
    world: World,
    sales: list[bytes],
    work: Path,
    effort: Effort,
    seed: int,
    syncs: machine.SyncProbe,
    tell: Callable[[str], None],
) -> list[Row]:
    """Measure bursts, then a long run, then open loops."""
    rows = [Row(BURST, f"{n} in flight", n, Figure(BURST, "")) for n in effort.in_flight]
    for number in range(effort.runs):
        tell(f"commits: run {number + 1} of {effort.runs}")
        syncs.run()
        data = work / f"burst-{number}"
        shutil.copytree(world.data, data)
        opened_drive = drive_of(data, sales, effort.accounts, seed + number)
        opened_drive.open()
        for row in rows:
            add_run(row, opened_drive, row.in_flight, effort.burst_s, 0.0)
        opened_drive.close(is_checkpointed=False)
        shutil.rmtree(data)
    return rows + measure_sustained(world, sales, work, effort, seed, tell)


def measure_sustained(
    world: World,
    sales: list[bytes],
    work: Path,
    effort: Effort,
    seed: int,
    tell: Callable[[str], None],
) -> list[Row]:
    """Measure for so long that checkpoints run, with the most but one number in flight.

    Then open loops, at half of the rate that was reached and at half of the rate that the goal
    names: the slower one last, since both share a directory that grows.
    """
    in_flight = effort.in_flight[-2:][0]
    closed = Row(SUSTAINED, f"{in_flight} in flight", in_flight, Figure(SUSTAINED, ""))
    data = work / "sustained"
    shutil.copytree(world.data, data)
    opened_drive = drive_of(data, sales, effort.accounts, seed)
    opened_drive.open()
    tell(f"commits for {effort.sustained_s:g} s")
    add_run(closed, opened_drive, in_flight, effort.sustained_s, 0.0)
    rows = [closed]
    for section, rate, times in (
        (OPEN, closed.figure.per_second / 2, 1), (GOAL_OPEN, GOAL_PER_SECOND / 2, GOAL_TIMES),
    ):  # fmt: skip
        row = Row(section, f"{rate:,.0f} a second", OPEN_IN_FLIGHT, Figure(section, ""))
        tell(f"commits in an open loop, {row.name}")
        add_run(row, opened_drive, OPEN_IN_FLIGHT, times * effort.sustained_s, rate)
        rows.append(row)
    opened_drive.close(is_checkpointed=False)
    shutil.rmtree(data)
    rate = GOAL_PER_SECOND / 2
    tell(f"the disk alone in an open loop, {rate:,.0f} a second")
    bare = Row(BARE, f"{rate:,.0f} a second", 0, Figure(BARE, ""))
    entry_bytes = int(statistics.mean(map(len, sales)))
    bare.figure.add(*machine.bare_groups(work, entry_bytes, rate, effort.sustained_s))
    return [*rows, bare]


def add_run(
    row: Row, opened_drive: LedgerDrive, in_flight: int, seconds: float, per_second: float
) -> None:
    """Add one run to a row, with what its groups were like.

    Raises
    ------
    BenchError
        A sale was refused.
    """
    before = opened_drive.stats()
    times, elapsed_s, refused = opened_drive.run(in_flight, seconds, per_second)
    after = opened_drive.stats()
    if refused is not None:
        raise BenchError(f"{refused[1]} commits were refused with status {refused[0]}")
    row.figure.add(times, elapsed_s)
    more = {name: after[name] - before[name] for name in before}
    row.group_entries.append(more["entries"] / max(more["groups"], 1))
    row.checkpoints += more["checkpoints"]
    row.syncs_us.append(more["sync_us"] / max(more["groups"], 1))


def measure_peer(
    peer: Peer,
    folder: Path,
    effort: Effort,
    seed: int,
    syncs: machine.SyncProbe,
    tell: Callable[[str], None],
) -> list[Row]:
    """Prove a peer, then measure it."""
    rows = [Row(peer.name, f"{n} in flight", n, Figure(peer.name, "")) for n in effort.in_flight]
    client = folder.with_name(f"{folder.name}-client")
    client.mkdir()
    with peer.serving(folder) as address:
        connection = connect(address)
        own = make_sales(seed, PROVEN_SALES, lane=1)
        prove(connection, [next(own) for _ in range(PROVEN_SALES)])
        connection.close()
        number = 0
        for done in range(effort.runs):
            tell(f"{peer.name}: run {done + 1} of {effort.runs}")
            syncs.run()
            for row in rows:
                number += 1
                times, elapsed_s = drive(
                    address, client, row.in_flight, effort.peer_s, effort.accounts, seed + number
                )
                row.figure.add(times, elapsed_s)
    shutil.rmtree(client)
    shutil.rmtree(folder)
    return rows
