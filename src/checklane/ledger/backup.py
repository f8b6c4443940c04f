"""Copies a data directory while a server runs, and puts a copy back.

A backup is a directory::

    backup.json       what it holds; written last, so that a broken-off run leaves the one before
    journal/          the segments, the last one cut behind its last entry
    base/             accounts that a pruned journal goes on from, if it was pruned
    snapshots/ keys/ live.json readers.json

Segments that are full never change, so a second run copies only those that are new and what the
last one has more, and walks the chain from where the first one ended: it costs what came since.
What was pruned from the data directory since stays in the backup.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checklane.errors import DamageError, refuse
from checklane.ledger.check import Advance, rebuild
from checklane.ledger.files import (
    Segment,
    audit,
    base_file,
    copy_synced,
    journal_directory,
    list_segments,
    write_json,
)
from checklane.tables.files import sync_path

__all__ = ["Backup", "backup", "restore"]

BACKUP_FORMAT = 2
MANIFEST = "backup.json"
#: Of the report of a walk: where it ended, and in which journal.
WALKED = ("last_lsn", "last_position", "last_crc", "salt")
#: What belongs to a data directory beside its ledger, each a file or a folder of files.
BESIDE = ("live.json", "readers.json", "checklane.json", "keys", "snapshots", "base")

#: Called with what is done and what there is to do, in bytes, and what is at hand.
Copied = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Backup:
    """What a run did.

    Attributes
    ----------
    last_lsn : int
        Up to this entry, including it, everything is in the backup.
    copied, kept : int
        Files that were copied, and that were there before.
    copied_bytes : int
    """

    last_lsn: int
    copied: int
    kept: int
    copied_bytes: int


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return what a backup says of itself; empty where there is none.

    Raises
    ------
    StateError
        Of another format.
    DamageError
        It cannot be read.
    """
    path = directory / MANIFEST
    try:
        found = json.loads(path.read_text())
        if found["format"] != BACKUP_FORMAT:
            what = f"a backup of format {found['format']}, and this is {BACKUP_FORMAT}"
            raise refuse("FORMAT_UNSUPPORTED", str(path), what)
        return {name: found[name] for name in (*WALKED, "files")}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError):
        what = "the list of the backup cannot be read (take a new one into an empty directory)"
        raise refuse("SNAPSHOT_DAMAGED", str(path), what) from None


def _walk(data: Path, before: dict[str, Any]) -> dict[str, Any]:
    """Walk the chain from where the last backup ended, or from its begin; return the report.

    Raises
    ------
    DamageError
        The journal is damaged.
    StateError
        The backup is of another journal, or of one that went another way since.
    """
    journal = journal_directory(data)
    if not before:
        with audit(journal) as opened:
            return opened.report()
    last_lsn, last_position, last_crc, salt = (int(before[name]) for name in WALKED)
    try:
        with audit(journal, begin=(last_lsn, last_position, last_crc, salt)) as opened:
            return opened.report()
    except DamageError:
        # The entry at which it ended is pruned, or another one, or what follows is damaged: a walk
        # from the begin tells which.
        with audit(journal) as opened:
            report = opened.report()
    if before["salt"] != report["salt"] or last_lsn >= report["first_lsn"]:
        what = "the backup is of another history (take a new one into an empty directory)"
        raise refuse("JOURNAL_MISMATCH", "backup.json", what)
    return report


def _beside(data: Path) -> Iterator[Path]:
    """Yield the files beside the ledger, as paths in the data directory."""
    for name in BESIDE:
        path = data / name
        if path.is_file():
            yield path
        elif path.is_dir():
            yield from sorted(
                found
                for found in path.iterdir()
                if found.is_file() and not found.name.endswith(("-lock", ".part"))
            )


def _plan(data: Path, report: dict[str, Any]) -> dict[str, tuple[Path, int]]:
    """Return what a backup holds: name in it -> source and size in bytes."""
    plan: dict[str, tuple[Path, int]] = {}
    for path in _beside(data):
        plan[str(path.relative_to(data))] = (path, path.stat().st_size)
    last_segment, end_offset = divmod(int(report["end_position"]), 2**32)
    for segment in list_segments(journal_directory(data)):
        if segment.number <= last_segment:
            size = end_offset if segment.number == last_segment else segment.path.stat().st_size
            plan[f"journal/{segment.path.name}"] = (segment.path, size)
    return plan


def _is_there(name: str, size: int, target: Path, before: dict[str, int]) -> bool:
    """Tell whether the backup holds a file already: those that never change once they are whole."""
    if not name.startswith(("journal/", "snapshots/")):
        return False
    return before.get(name) == size and target.exists() and target.stat().st_size == size


def _kept_bytes(name: str, size: int, target: Path, before: dict[str, int]) -> int:
    """Return how much of a segment the backup has: that was walked then, and is not walked again.

    So what a disk does to the source's old entries later never reaches the backup.
    """
    kept = before.get(name, 0)
    is_kept = name.startswith("journal/") and kept < size and target.exists()
    return kept if is_kept and target.stat().st_size >= kept else 0


def _sync_tail(segments: list[Segment]) -> None:
    """Sync what the walk saw: nothing is copied that the source's own disk might not hold."""
    for segment in segments[-2:]:
        sync_path(segment.path)


def backup(data: Path, target: Path, copied: Copied) -> Backup:
    """Copy a data directory into `target`, or bring the copy there up to date.

    A server may be running: only the journal's entries up to the end that was found are copied,
    after they were synced.

    Raises
    ------
    DamageError
        The journal is damaged: the backup stays as it is.
    StateError
        `target` holds the backup of another journal.
    """
    before = read_manifest(target)
    report = _walk(data, before)
    _sync_tail(list_segments(journal_directory(data)))
    files = dict(before.get("files", {}))
    plan = _plan(data, report)
    total = sum(size for _, size in plan.values())
    done = copied_count = copied_bytes = 0
    for name, (source, size) in plan.items():
        copied(done, total, name)
        place = target / name
        if not _is_there(name, size, place, files):
            place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            kept = _kept_bytes(name, size, place, files)
            copy_synced(source, place, size, kept)
            copied_count += 1
            copied_bytes += size - kept
        files[name] = size
        done += size
    sync_path(target)
    manifest = {name: report[name] for name in (*WALKED, "program_key")}
    manifest |= {"format": BACKUP_FORMAT, "files": files}
    write_json(target / MANIFEST, manifest)
    copied(total, total, MANIFEST)
    return Backup(int(report["last_lsn"]), copied_count, len(plan) - copied_count, copied_bytes)


def restore(source: Path, data: Path, copied: Copied, advance: Advance) -> dict[str, Any]:
    """Make a data directory of a backup, check its chain and rebuild its accounts.

    Parameters
    ----------
    source : Path
        A backup.
    data : Path
        Missing or empty.
    copied, advance : callable
        Told of the copying and of the rebuilding.

    Returns
    -------
    dict
        The report of the rebuilding.

    Raises
    ------
    NotFoundError
        There is no backup.
    StateError
        `data` is not empty, or the backup has another format.
    DamageError
        A file is missing or damaged.
    """
    manifest = read_manifest(source)
    if not manifest:
        raise refuse("SNAPSHOT_UNKNOWN", str(source), "there is no backup (backup.json is missing)")
    if data.exists() and any(data.iterdir()):
        what = "the directory is not empty (restore into a new one)"
        raise refuse("DATA_DIRECTORY_BUSY", str(data), what)
    files = manifest["files"]
    total, done = sum(files.values()), 0
    for name, size in files.items():
        copied(done, total, name)
        place = source / name
        if not place.exists() or place.stat().st_size < size:
            raise refuse("JOURNAL_DAMAGED", str(place), "the backup lacks a file, or part of it")
        (data / name).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy_synced(place, data / name, size)
        done += size
    copied(total, total, MANIFEST)
    _drop_needless_base(data)
    report = rebuild(data, advance)
    if (report["last_lsn"], report["last_crc"]) != (manifest["last_lsn"], manifest["last_crc"]):
        what = f"it ends at lsn {report['last_lsn']}, not at {manifest['last_lsn']}"
        raise refuse("JOURNAL_DAMAGED", str(journal_directory(data)), what)
    return report


def _drop_needless_base(data: Path) -> None:
    """Forget the base where the backup has kept the whole journal."""
    segments = list_segments(journal_directory(data))
    if segments and segments[0].first_lsn == 1:
        base_file(data).unlink(missing_ok=True)
