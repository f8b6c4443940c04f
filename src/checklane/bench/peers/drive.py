"""Load on a peer: so many sales under way, closed loop, by a client that is no bottleneck.

PostgreSQL is driven by its own pgbench, in C, with the statement prepared. Redis is driven over
plain sockets by one thread that only sends ready bytes and looks at the clock.
"""

import selectors
import subprocess
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from checklane.bench.figures import BenchError, Times
from checklane.bench.peers.postgres import USER, program
from checklane.bench.peers.redis import (
    RECEIVE_BYTES,
    RedisError,
    Wire,
    commit_words,
    load_script,
    reply_end,
    reply_value,
    request_bytes,
)
from checklane.bench.peers.sale import COUNTED_OFFERS, DAY, OFFERS, PURSE, Address, Sale, make_sales

#: Sales a second that are made ready for a run of Redis: more than it has ever done here.
READY_A_SECOND = 40_000
#: pgbench draws from ranges of fewer than 2^63 numbers.
WORD_MOST = 2**61


def drive(
    address: Address, folder: Path, in_flight: int, seconds: float, accounts: int, seed: int
) -> tuple[Times, float]:
    """Commit for a while; return what each commit took in nanoseconds, and the seconds.

    Parameters
    ----------
    address : Address
    folder : Path
        For files of the client.
    in_flight : int
    seconds : float
    accounts : int
    seed : int
        Runs with different seeds share no key.

    Raises
    ------
    BenchError
        A commit failed.
    """
    if address.kind == "postgres":
        return _pgbench(address, folder, in_flight, seconds, accounts, seed)
    return _sockets(address, in_flight, seconds, accounts, seed)


def pgbench_script(sale: Sale, accounts: int) -> str:
    """Return the script of one commit, with numbers drawn anew each time."""
    names = ("key_hi", "key_lo", "content_hi", "content_lo", "receipt_hi", "receipt_lo")
    lines = [f"\\set {name} random(-{WORD_MOST}, {WORD_MOST})" for name in names]
    lines += [f"\\set account random(0, {accounts - 1})", "\\set points random(1, 499)"]
    offers = [f"offer_{number}" for number in range(COUNTED_OFFERS)]
    lines += [f"\\set {name} random(0, {OFFERS - 1})" for name in offers]
    words = ", ".join(f":{name}" for name in names)
    counted = ", ".join(f":{name}" for name in offers)
    request, response = (f"'\\x{text.hex()}'::bytea" for text in (sale.request, sale.response))
    lines.append(
        f"SELECT commit_sale({words}, :account, {PURSE}::smallint, {DAY}, {DAY + 400}, :points,"
        f" ARRAY[{counted}]::integer[], {DAY}, {request}, {response});"
    )
    return "\n".join(lines) + "\n"


def _pgbench(
    address: Address, folder: Path, in_flight: int, seconds: float, accounts: int, seed: int
) -> tuple[Times, float]:
    script, log = folder / f"commit-{seed}.sql", folder / f"pgbench-{seed}"
    script.write_text(pgbench_script(next(make_sales(seed, accounts)), accounts))
    command = [program("pgbench"), "--no-vacuum", "--protocol=prepared", "--jobs=1"]
    command += [f"--client={in_flight}", f"--time={max(1, round(seconds))}", f"--file={script}"]
    command += [f"--random-seed={seed}", "--log", f"--log-prefix={log}"]
    command += ["-h", address.path, "-U", USER, "postgres"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or "number of failed transactions: 0 " not in done.stdout:
        raise BenchError(f"pgbench failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
    rows = [np.loadtxt(path, ndmin=2) for path in folder.glob(f"{log.name}.*")]
    found = np.concatenate([row for row in rows if row.size])
    end_s = found[:, 4] + found[:, 5] / 1e6
    begin_s = end_s - found[:, 2] / 1e6
    return (found[:, 2] * 1000).astype(np.int64), float(end_s.max() - begin_s.min())


def _sockets(
    address: Address, in_flight: int, seconds: float, accounts: int, seed: int
) -> tuple[Times, float]:
    wires = [Wire(address.path) for _ in range(in_flight)]
    try:
        digest = load_script(wires[0])
        count = in_flight + int(READY_A_SECOND * seconds)
        sales = islice(make_sales(seed, accounts), count)
        ready = iter([request_bytes(commit_words(digest, sale)) for sale in sales])
        return _exchange(wires, ready, seconds)
    except RedisError as failure:
        raise BenchError(f"Redis: {failure}") from None
    finally:
        for wire in wires:
            wire.close()


def _exchange(wires: list[Wire], ready: Iterator[bytes], seconds: float) -> tuple[Times, float]:
    """Keep one request under way on every wire until the time, or what is ready, is over."""
    clock = time.perf_counter_ns
    times: list[int] = []
    selector = selectors.DefaultSelector()
    sent_ns = {}
    begin_ns = clock()
    end_ns = begin_ns + int(seconds * 1e9)
    for wire in wires:
        selector.register(wire.socket, selectors.EVENT_READ)
        sent_ns[wire.socket.fileno()] = clock()
        wire.socket.sendall(next(ready))
    under_way = len(wires)
    parts = dict.fromkeys(sent_ns, b"")
    while under_way:
        for key, _ in selector.select():
            received = parts[key.fd] + key.fileobj.recv(RECEIVE_BYTES)  # type: ignore[union-attr]
            if reply_end(received) == 0:
                parts[key.fd] = received
                continue
            now_ns = clock()
            times.append(now_ns - sent_ns[key.fd])
            reply_value(received)
            parts[key.fd] = b""
            request = next(ready, None) if now_ns < end_ns else None
            if request is None:
                under_way -= 1
                continue
            sent_ns[key.fd] = clock()
            key.fileobj.sendall(request)  # type: ignore[union-attr]
    selector.close()
    return np.array(times, dtype=np.int64), (clock() - begin_ns) / 1e9
