"""Removes segments that nobody needs any more.

A pruned journal can no longer tell how the accounts came to be, so the accounts themselves are kept
as they are when it is pruned: ``DATA/base``. Checks and rebuilding begin there.
"""

import itertools
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import lmdb

from checklane._layout import RETENTION_DAYS
from checklane.errors import refuse
from checklane.ledger.files import (
    ENVIRONMENT,
    Segment,
    accounts_directory,
    audit,
    base_file,
    copy_synced,
    journal_directory,
    list_segments,
    read_marks,
)
from checklane.tables.files import sync_path

__all__ = ["KEEP_DAYS_MIN", "Pruned", "prune"]

DAY_MS = 86_400_000
#: A key is known for the retention in months of 28 days, after the month in which it was made; its
#: answer is read from the journal as long.
KEEP_DAYS_MIN = 31 * ((RETENTION_DAYS + 27) // 28 + 1)


@dataclass(frozen=True)
class Pruned:
    """What was removed and what held the rest.

    Attributes
    ----------
    segments : list of Segment
    freed_bytes : int
    held_by : str
        Why the first segment that stayed had to stay.
    """

    segments: list[Segment]
    freed_bytes: int
    held_by: str


def prune(
    data: Path,
    unix_ms: int,
    keep_days: int = KEEP_DAYS_MIN,
    archive: Path | None = None,
) -> Pruned:
    """Remove, or move into an archive, the segments that nobody needs. A server may run.

    A segment goes when all its entries are covered by the accounts, are older than `keep_days` and
    lie behind every reader's mark.

    Parameters
    ----------
    data : Path
    unix_ms : int
        Now.
    keep_days : int, optional
        At least `KEEP_DAYS_MIN`.
    archive : Path, optional
        Where segments are copied to before they go. Default: nowhere.

    Raises
    ------
    RequestError
        `keep_days` is too few: repeats are answered from the journal.
    DamageError
        The journal is damaged.
    """
    if keep_days < KEEP_DAYS_MIN:
        what = f"entries are needed for {KEEP_DAYS_MIN} days: repeats are answered from them"
        raise refuse("FIELD_OUT_OF_RANGE", "keep_days", what)
    oldest_ms = unix_ms - keep_days * DAY_MS
    unneeded, held_by = _find_unneeded(data, oldest_ms)
    if not unneeded:
        return Pruned([], 0, held_by)
    _keep_base(data)
    freed = 0
    if archive is not None:
        archive.mkdir(parents=True, exist_ok=True, mode=0o700)
    for segment in unneeded:
        freed += segment.path.stat().st_size
        if archive is not None:
            copy_synced(segment.path, archive / segment.path.name)
        segment.path.unlink()
        sync_path(segment.path.parent)
    return Pruned(unneeded, freed, held_by)


def _find_unneeded(data: Path, oldest_ms: int) -> tuple[list[Segment], str]:
    """Return the oldest segments that may go, and why the next one may not."""
    accounts = accounts_directory(data)
    if not (accounts / ENVIRONMENT).exists():
        return [], "there are no accounts yet"
    with audit(journal_directory(data), accounts=accounts) as opened:
        covered_lsn = int(opened.report()["covered_lsn"])
    marks = read_marks(data)
    segments = list_segments(journal_directory(data))
    unneeded: list[Segment] = []
    for segment, following in itertools.pairwise(segments):
        last_lsn = following.first_lsn - 1
        behind = [name for name, lsn in sorted(marks.items()) if lsn < last_lsn]
        if last_lsn >= covered_lsn:
            return unneeded, f"{segment.path.name}: the accounts cover lsn {covered_lsn} only"
        if following.created_unix_ms >= oldest_ms:
            return unneeded, f"{segment.path.name}: it is not old enough"
        if behind:
            mark = f"reader {behind[0]} has come to lsn {marks[behind[0]]} only"
            return unneeded, f"{segment.path.name}: {mark}"
        unneeded.append(segment)
    return unneeded, "the last segment always stays"


def _keep_base(data: Path) -> None:
    """Copy the accounts as they are now: one transaction of theirs, synced, then renamed."""
    base = base_file(data)
    temporary = base.parent.with_name(f"base.part-{os.getpid()}")
    temporary.mkdir(mode=0o700)
    try:
        source = accounts_directory(data) / ENVIRONMENT
        with (
            lmdb.open(str(source), subdir=False, readonly=True, max_dbs=0) as environment,
            (temporary / ENVIRONMENT).open("wb") as file,
        ):
            environment.copyfd(file.fileno(), compact=True)
            os.fsync(file.fileno())
        base.parent.mkdir(exist_ok=True, mode=0o700)
        (temporary / ENVIRONMENT).rename(base)
        sync_path(base.parent)
        sync_path(data)
    finally:
        shutil.rmtree(temporary)
