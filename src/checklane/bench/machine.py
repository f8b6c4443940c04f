"""What a figure depends on: machine, cores, versions, and what one fdatasync costs here."""

import os
import platform
import shutil
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from checklane import __version__
from checklane.bench.figures import SYNC_NAME, Figure

SECTION = "disk"
WRITE_BYTES = 4096
#: The file is written with zeros beforehand, as a journal segment is, and overwritten in order.
FILE_WRITES = 512
#: Of the file that a bare loop of groups writes, round and round; a stalled second fits.
BARE_BYTES = 64 << 20
PACKAGES = ("grpcio", "protobuf", "numpy", "lmdb")


def describe_machine(data: Path) -> dict[str, str]:
    """Return what the figures of a run depend on, in words.

    Parameters
    ----------
    data : Path
        A folder on the disk that is measured.
    """
    affinity = sorted(os.sched_getaffinity(0))
    cores = os.cpu_count() or 1
    pinned = "not pinned" if len(affinity) == cores else f"pinned to {affinity}"
    return {
        "processor": cpu_model(),
        "cores": f"{cores}, {pinned}; client and server share them",
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "file system": file_system(data),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "checklane": f"{__version__}, {commit()}",
        "packages": ", ".join(f"{name} {package_version(name)}" for name in PACKAGES),
    }


def cpu_model() -> str:
    """Return the processor's name as Linux knows it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def file_system(path: Path) -> str:
    """Return the type of the file system that holds `path`."""
    found, longest = "unknown", -1
    place = path.resolve()
    for line in Path("/proc/self/mounts").read_text().splitlines():
        mount, kind = line.split()[1:3]
        if place.is_relative_to(mount) and len(mount) >= longest:
            found, longest = kind, len(mount)
    return found


def package_version(name: str) -> str:
    """Return the version of an installed package."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def commit() -> str:
    """Return the commit of the checkout that this package runs from, and if it was changed."""
    root = Path(__file__).resolve().parents[3]
    git = shutil.which("git")
    if git is None or not (root / ".git").exists():
        return "no checkout"

    def ask(*words: str) -> str:
        done = subprocess.run(
            [git or "", "-C", str(root), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    head = ask("rev-parse", "--short=12", "HEAD")
    if not head:
        return "no commit"
    return f"commit {head}{' with changes' if ask('status', '--porcelain') else ''}"


class SyncProbe:
    """Times a write of 4 KiB and its fdatasync on the disk of a data directory, run by run.

    Parameters
    ----------
    data : Path
    count : int
        Writes of each run.
    """

    def __init__(self, data: Path, count: int) -> None:
        self.figure = Figure(SECTION, SYNC_NAME)
        self._path = data / "sync-test"
        self._count = count
        self._written = 0

    def __enter__(self) -> "SyncProbe":
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(self._descriptor, bytes(WRITE_BYTES * FILE_WRITES))
        os.fsync(self._descriptor)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        self._path.unlink()

    def run(self) -> None:
        """Measure one run."""
        times = np.zeros(self._count, dtype=np.int64)
        begin_s = time.monotonic()
        for at in range(self._count):
            self._written += 1
            # The contents change, so that no layer below can leave the write out.
            block = self._written.to_bytes(8, "little") + bytes(WRITE_BYTES - 8)
            offset = self._written % FILE_WRITES * WRITE_BYTES
            begin_ns = time.perf_counter_ns()
            os.pwrite(self._descriptor, block, offset)
            os.fdatasync(self._descriptor)
            times[at] = time.perf_counter_ns() - begin_ns
        self.figure.add(times, time.monotonic() - begin_s)


def bare_groups(
    folder: Path, entry_bytes: int, per_second: float, seconds: float
) -> tuple[np.ndarray, float]:
    """Write what is due and sync it, again and again: the least that any journal has to do.

    Arrivals are due evenly, as in the ledger's open loop; those that are due when a sync has ended
    are written together into zeros, one behind the other, and answered by the next sync. One
    thread that does nothing else and never sleeps: no key, no balance, no checkpoint.

    Parameters
    ----------
    folder : Path
        On the disk that is measured.
    entry_bytes : int
        Of one arrival.
    per_second, seconds : float
        Arrivals, and for how long.

    Returns
    -------
    times : ndarray of int64, shape (arrivals,)
        Nanoseconds from the moment when each was due to the end of its sync.
    elapsed_s : float
    """
    count = int(per_second * seconds)
    times = np.zeros(count, dtype=np.int64)
    due_ns = np.arange(count) * (1e9 / per_second)
    path = folder / "bare-journal"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        for _ in range(BARE_BYTES >> 20):
            os.write(descriptor, bytes(1 << 20))
        os.fsync(descriptor)
        done = offset = 0
        begin_ns = time.perf_counter_ns()
        while done < count:
            late_ns = time.perf_counter_ns() - begin_ns
            ready = min(count, int(late_ns * per_second / 1e9) + 1)
            if ready == done:
                continue
            # The contents change, so that no layer below can leave the write out.
            group = ready.to_bytes(8, "little") + bytes((ready - done) * entry_bytes)
            if offset + len(group) > BARE_BYTES:
                offset = 0
            os.pwrite(descriptor, group, offset)
            os.fdatasync(descriptor)
            offset += len(group)
            times[done:ready] = time.perf_counter_ns() - begin_ns - due_ns[done:ready]
            done = ready
        return times, (time.perf_counter_ns() - begin_ns) / 1e9
    finally:
        os.close(descriptor)
        path.unlink()
