"""Runs a peer's server: a process of its own, as a user that it accepts, ended by its id."""

import os
import pwd
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from checklane.bench.figures import BenchError

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 60.0
PAUSE_S = 0.02


def owner(user: str) -> str | None:
    """Return the user to run as: `user` when this process is root and it exists, else None."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(user)
    except KeyError:
        return None
    return user


def give(folder: Path, user: str | None) -> None:
    """Make a folder that belongs to `user`, and see that it can be entered.

    Raises
    ------
    BenchError
        A folder above it is closed to that user.
    """
    folder.mkdir()
    if user is None:
        return
    shutil.chown(folder, user)
    for above in folder.resolve().parents:
        if not above.stat().st_mode & stat.S_IXOTH:
            raise BenchError(f"user {user} may not enter {above}: choose another folder")


@contextmanager
def sockets(user: str | None) -> Iterator[Path]:
    """Make a folder for sockets: their paths must be short."""
    with TemporaryDirectory(prefix="peer-") as name:
        if user is not None:
            shutil.chown(name, user)
        yield Path(name)


@contextmanager
def running(
    command: Sequence[str],
    folder: Path,
    user: str | None,
    is_ready: Callable[[], bool],
    stop: signal.Signals = signal.SIGTERM,
) -> Iterator[None]:
    """Run a server until the context is left.

    Raises
    ------
    BenchError
        It did not come up, or did not end well.
    """
    log = folder / "server.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, cwd=folder, stdout=file, stderr=subprocess.STDOUT, user=user, group=user
        )
    try:
        give_up_s = time.monotonic() + READY_WITHIN_S
        while not is_ready():
            if process.poll() is not None or time.monotonic() > give_up_s:
                raise BenchError(f"{command[0]} did not come up:\n{last_words(log)}")
            time.sleep(PAUSE_S)
        yield
        process.send_signal(stop)
        if process.wait(STOP_WITHIN_S) != 0:
            raise BenchError(f"{command[0]} ended with {process.returncode}:\n{last_words(log)}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def last_words(log: Path) -> str:
    """Return the end of a log."""
    return log.read_text(errors="replace")[-2000:]


def found(program: str, folders: Sequence[Path] = ()) -> str:
    """Return the path of a program.

    Raises
    ------
    BenchError
        It is not installed.
    """
    search = os.pathsep.join([*map(str, folders), os.environ.get("PATH", os.defpath)])
    path = shutil.which(program, path=search)
    if path is None:
        raise BenchError(f"{program} is not installed: run .ci/system peers")
    return path
