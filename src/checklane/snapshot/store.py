"""What lies in a data directory's snapshots and which of them are live: ``DATA/live.json``.

``live.json`` is replaced whole (a new file, synced, renamed over the old, the directory synced), so
a power cut leaves the old or the new choice. A program is bound to one catalogue; both go live
together. A running server holds ``DATA/LOCK``: then it, and nobody else, changes what is live.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from checklane import _layout
from checklane._layout import RETENTION_DAYS
from checklane.errors import refuse
from checklane.snapshot.keys import Keys
from checklane.tables.files import (
    FILE_NAME,
    KINDS,
    TEMPORARY_PREFIX,
    SnapshotFile,
    read_records,
    read_snapshot,
    snapshot_hash,
    snapshot_name,
    sync_path,
    verify_snapshot,
)
from checklane.tables.hashing import key_check

LIVE_FORMAT = 1
DAY_S = 86_400


@dataclass(frozen=True)
class LiveSet:
    """The content hashes of one set of snapshots; None where there is none."""

    members: bytes | None = None
    catalogue: bytes | None = None
    program: bytes | None = None

    def names(self) -> set[str]:
        """Return the file names of the set."""
        chosen = {kind: getattr(self, kind) for kind in KINDS}
        return {snapshot_name(kind, found) for kind, found in chosen.items() if found is not None}


@dataclass(frozen=True)
class Live:
    """What is live, what was before the last change, and since when others are not any more.

    Attributes
    ----------
    now, previous : LiveSet
    retired : mapping of str to int
        File name of each snapshot that was live -> Unix time (s) at which it ceased to be.
    """

    now: LiveSet = LiveSet()
    previous: LiveSet = LiveSet()
    retired: Mapping[str, int] = field(default_factory=dict)

    def change(self, now: LiveSet, unix_s: int) -> "Live":
        """Return what is live after a change at a time."""
        if now == self.now:
            return self
        retired = dict(self.retired) | dict.fromkeys(self.now.names() - now.names(), unix_s)
        kept = {name: since_s for name, since_s in retired.items() if name not in now.names()}
        return Live(now, self.now, kept)


def snapshot_directory(data: Path) -> Path:
    """Return where the snapshots of a data directory lie."""
    return data / "snapshots"


def read_live(data: Path) -> Live:
    """Return what is live; nothing in a directory where nothing was activated.

    Raises
    ------
    DamageError
        ``live.json`` is there and cannot be read.
    StateError
        It has another format.
    """
    path = data / "live.json"
    try:
        text = path.read_text()
    except FileNotFoundError:
        return Live()
    try:
        found = json.loads(text)
        if found["format"] != LIVE_FORMAT:
            raise refuse("FORMAT_UNSUPPORTED", str(path))
        retired = {str(name): int(since_s) for name, since_s in found["retired"].items()}
        return Live(_parse_set(found["now"]), _parse_set(found["previous"]), retired)
    except (ValueError, KeyError, TypeError, AttributeError):
        what = "what is live cannot be read (remove the file and activate again)"
        raise refuse("SNAPSHOT_DAMAGED", str(path), what) from None


def _parse_set(found: dict[str, str | None]) -> LiveSet:
    hashes = {kind: bytes.fromhex(text) for kind in KINDS if (text := found[kind]) is not None}
    if any(len(value) != 16 for value in hashes.values()):
        raise ValueError("a content hash has 16 bytes")
    return LiveSet(**hashes)


def write_live(data: Path, live: Live) -> None:
    """Replace ``live.json``; on return the choice survives a power cut."""

    def plain(chosen: LiveSet) -> dict[str, str | None]:
        hashes = {kind: getattr(chosen, kind) for kind in KINDS}
        return {kind: found.hex() if found else None for kind, found in hashes.items()}

    content = {
        "format": LIVE_FORMAT,
        "now": plain(live.now),
        "previous": plain(live.previous),
        "retired": dict(sorted(live.retired.items())),
    }
    temporary = data / f"live.json.new-{os.getpid()}"
    with temporary.open("w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(data / "live.json")
    sync_path(data)


def list_snapshots(data: Path) -> list[SnapshotFile]:
    """Return the snapshot files of a data directory, by kind and hash."""
    found = []
    directory = snapshot_directory(data)
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if FILE_NAME.fullmatch(path.name):
            kind, content_hash = snapshot_hash(path)
            found.append(SnapshotFile(path, kind, content_hash, path.stat().st_size))
    return found


def find_snapshot(data: Path, kind: str, prefix: str) -> SnapshotFile:
    """Return the one snapshot of a kind whose hash begins with `prefix` (hexadecimal).

    Raises
    ------
    NotFoundError
        There is none, or more than one.
    """
    matches = [
        found
        for found in list_snapshots(data)
        if found.kind == kind and found.hash.hex().startswith(prefix.lower())
    ]
    if len(matches) == 1:
        return matches[0]
    what = "no" if not matches else "more than one"
    raise refuse("SNAPSHOT_UNKNOWN", prefix, f"{what} {kind} snapshot whose hash begins so")


def publish(data: Path, source: Path) -> Path:
    """Copy a snapshot that was built elsewhere into a data directory, after verifying it.

    Raises
    ------
    NotFoundError
        The file is missing, or not named as snapshots are.
    DamageError
        It is damaged, or its content is not what its name says.
    """
    snapshot_hash(source)
    directory = snapshot_directory(data)
    directory.mkdir(parents=True, exist_ok=True)
    temporary = directory / f"{TEMPORARY_PREFIX}{os.getpid()}"
    temporary.mkdir()
    try:
        copy = temporary / source.name
        try:
            shutil.copyfile(source, copy)
        except FileNotFoundError:
            raise refuse("SNAPSHOT_UNKNOWN", str(source)) from None
        verify_snapshot(copy)
        sync_path(copy)
        os.replace(copy, directory / source.name)
    finally:
        shutil.rmtree(temporary)
    sync_path(directory)
    return directory / source.name


def catalogue_of(program: Path) -> bytes:
    """Return the content hash of the catalogue that a program snapshot is bound to."""
    header = read_records(read_snapshot(program), "header", _layout.PROGRAM_HEADER)
    if len(header) != 1:
        raise refuse("SNAPSHOT_DAMAGED", program.name)
    return bytes(header[0]["catalogue_hash"])


def plan_activation(
    data: Path, now: LiveSet, kind: str, content_hash: bytes, keys: Keys | None = None
) -> LiveSet:
    """Verify a snapshot and return what would be live with it; nothing is changed.

    Parameters
    ----------
    data : Path
        The data directory.
    now : LiveSet
        What is live.
    kind : str
        "members", "catalogue" or "program".
    content_hash : bytes
        16 bytes.
    keys : Keys, optional
        Of the data directory: a members snapshot under another identity key is refused.

    Returns
    -------
    LiveSet
        A program brings the catalogue that it is bound to.

    Raises
    ------
    NotFoundError
        The snapshot is missing, or the catalogue that a program is bound to.
    DamageError
        It is damaged, or its content is not what its name says.
    StateError
        It was made with a foreign key, or does not go with what is live.
    """
    directory = snapshot_directory(data)
    path = directory / snapshot_name(kind, content_hash)
    verify_snapshot(path)
    if kind == "program":
        catalogue = catalogue_of(path)
        verify_snapshot(directory / snapshot_name("catalogue", catalogue))
        return replace(now, program=content_hash, catalogue=catalogue)
    if kind == "catalogue":
        if now.program is not None and now.catalogue != content_hash:
            what = (
                "the live program is bound to another catalogue (activate a program built for it)"
            )
            raise refuse("SNAPSHOT_MISMATCH", path.name, what)
        return replace(now, catalogue=content_hash)
    if keys is not None:
        info = read_records(read_snapshot(path), "info", _layout.SNAPSHOT_INFO)
        if len(info) != 1 or int(info[0]["key_check"]) != key_check(keys.identity):
            what = "the members were built with the identity key of another data directory"
            raise refuse("SNAPSHOT_MISMATCH", path.name, what)
    return replace(now, members=content_hash)


@contextmanager
def locked(data: Path) -> Iterator[None]:
    """Hold ``DATA/LOCK``, as a server does while it runs.

    Raises
    ------
    DataDirectoryBusyError
        Another process holds it.
    """
    descriptor = os.open(data / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refuse("DATA_DIRECTORY_BUSY", str(data)) from None
        yield
    finally:
        os.close(descriptor)


def activate(
    data: Path, kind: str, content_hash: bytes, unix_s: int, keys: Keys | None = None
) -> Live:
    """Make a snapshot live for the next start. For use while no server runs.

    Parameters
    ----------
    data : Path
    kind : str
    content_hash : bytes
    unix_s : int
        Now.
    keys : Keys, optional
        As `plan_activation`.

    Raises
    ------
    DataDirectoryBusyError
        A server runs: activate through its management port.
    NotFoundError, DamageError, StateError
        As `plan_activation`.
    """
    with locked(data):
        live = read_live(data)
        changed = live.change(plan_activation(data, live.now, kind, content_hash, keys), unix_s)
        if changed is not live:
            write_live(data, changed)
        return changed


def find_unneeded(
    data: Path, unix_s: int, keep: Iterable[tuple[str, bytes]] = (), keep_days: int = RETENTION_DAYS
) -> list[SnapshotFile]:
    """Return the snapshots that nobody needs any more.

    What is live and what was before the last change stays. Programs and catalogues stay for
    `keep_days` more after they ceased to be live: returns and late uploads are judged by them.

    Parameters
    ----------
    data : Path
        The data directory.
    unix_s : int
        Now.
    keep : iterable of (kind, hash)
        What shall stay beside that. A program keeps the catalogue that it is bound to.
    keep_days : int, optional
        Days from the end of being live. Default: the retention of receipts.
    """
    live = read_live(data)
    oldest_s = unix_s - keep_days * DAY_S
    names = live.now.names() | live.previous.names()
    names |= {snapshot_name(kind, found) for kind, found in keep}
    names |= {
        name
        for name, since_s in live.retired.items()
        if since_s >= oldest_s and not name.startswith("members-")
    }
    files = list_snapshots(data)
    for found in files:
        if found.kind == "program" and found.path.name in names:
            names.add(snapshot_name("catalogue", catalogue_of(found.path)))
    return [found for found in files if found.path.name not in names]


def prune(
    data: Path, unix_s: int, keep: Iterable[tuple[str, bytes]] = (), keep_days: int = RETENTION_DAYS
) -> list[SnapshotFile]:
    """Remove the snapshots of `find_unneeded`, and what broken-off builds left behind.

    Returns
    -------
    list of SnapshotFile
        What was removed, each with its report of rejected rows.
    """
    removed = find_unneeded(data, unix_s, keep, keep_days)
    for found in removed:
        found.path.unlink(missing_ok=True)
        found.path.with_suffix(".rejected.csv").unlink(missing_ok=True)
    for left in snapshot_directory(data).glob(f"{TEMPORARY_PREFIX}*"):
        _remove_left_over(left)
    if removed:
        sync_path(snapshot_directory(data))
    return removed


def _remove_left_over(path: Path) -> None:
    """Remove what a build left whose process is gone."""
    owner = path.name.removeprefix(TEMPORARY_PREFIX).split("-")[0]
    if owner.isdigit() and Path("/proc", owner).exists():
        return
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
