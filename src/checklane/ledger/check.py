"""Holds the derived state against the journal, and rebuilds it."""

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from checklane._engine import EngineError, LedgerAudit
from checklane.errors import from_status
from checklane.ledger.files import (
    ENVIRONMENT,
    accounts_directory,
    audit,
    journal_directory,
    lay_base,
    list_segments,
)
from checklane.snapshot.store import locked
from checklane.tables.files import sync_path

__all__ = ["Advance", "Verdict", "rebuild", "verify"]

#: Entries that are replayed between two reports.
STEP_ENTRIES = 20_000

#: Called with what is done and what there is to do, in entries.
Advance = Callable[[int, int], None]


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes
    ----------
    problem : str
        The first thing that is wrong; empty when all is sound.
    report : dict
        Fields of ``audit_report_t`` by name; empty when nothing could be opened.
    """

    problem: str
    report: dict[str, Any]

    @property
    def is_sound(self) -> bool:
        """Tell whether nothing is wrong."""
        return not self.problem


def verify(data: Path, advance: Advance, scratch_parent: Path | None = None) -> Verdict:
    """Walk the whole chain and rebuild the accounts beside the live ones; compare record by record.

    A server may be running. The work is done in a process of its own, because a broken environment
    can end the process that looks at it.

    Parameters
    ----------
    data : Path
    advance : callable
    scratch_parent : Path, optional
        Where the rebuilt accounts lie meanwhile. Default: the data directory.
    """
    scratch = Path(tempfile.mkdtemp(prefix="verify-", dir=scratch_parent or data))
    context = multiprocessing.get_context("spawn")
    received, sent = context.Pipe(duplex=False)
    process = context.Process(target=_verify_into, args=(sent, data, scratch))
    try:
        lay_base(data, scratch)
        process.start()
        sent.close()
        return _listen(received, process, advance)
    finally:
        if process.is_alive():
            process.kill()
        if process.pid is not None:
            process.join()
        shutil.rmtree(scratch, ignore_errors=True)


def _listen(received: "Connection", process: Any, advance: Advance) -> Verdict:
    """Follow the process that does the work to its verdict, or to its end."""
    report: dict[str, Any] = {}
    while True:
        try:
            kind, content = received.recv()
        except EOFError:
            process.join()
            what = f"the accounts cannot be read: looking at them ended with {process.exitcode}"
            return Verdict(what, report)
        if kind == "refused":
            return Verdict(str(from_status(*content)), report)
        report = content
        advance(report["replayed_lsn"] - report["begun_lsn"], _total(report))
        if kind == "done":
            return Verdict(_problem_of(report), report)


def _total(report: dict[str, Any]) -> int:
    return max(int(report["last_lsn"]) - int(report["begun_lsn"]), 1)


def _problem_of(report: dict[str, Any]) -> str:
    count = int(report["differences"])
    if count == 0:
        return ""
    others = f"; {count - 1} more records differ" if count > 1 else ""
    return f"{report['difference']}{others}"


def _verify_into(sent: "Connection", data: Path, scratch: Path) -> None:
    """Do the work of `verify`; runs in a process of its own."""
    accounts = accounts_directory(data)
    there = str(accounts) if (accounts / ENVIRONMENT).exists() else None
    try:
        opened = LedgerAudit(str(journal_directory(data)), accounts=there, scratch=str(scratch))
        report = opened.report()
        while not report["is_done"]:
            sent.send(("report", report))
            report = opened.step(STEP_ENTRIES)
        sent.send(("done", report))
        opened.close()
    except EngineError as failure:
        sent.send(("refused", (failure.status, failure.place)))


def rebuild(data: Path, advance: Advance) -> dict[str, Any]:
    """Throw the derived state away and make it again from the journal. No server may run.

    The new state is complete and on the disk before the old one goes; a power cut leaves one or the
    other, or none, from which the next start rebuilds.

    Returns
    -------
    dict
        The report.

    Raises
    ------
    DataDirectoryBusyError
        A server runs.
    DamageError
        The journal is damaged: nothing was changed.
    """
    with locked(data):
        scratch = Path(tempfile.mkdtemp(prefix="rebuild-", dir=data))
        try:
            report = _rebuild_into(data, scratch, advance)
            for left in scratch.glob("*-lock"):
                left.unlink()
            old = data / f"accounts.old-{os.getpid()}"
            if accounts_directory(data).exists():
                accounts_directory(data).rename(old)
            scratch.rename(accounts_directory(data))
            sync_path(data)
            shutil.rmtree(old, ignore_errors=True)
            return report
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _rebuild_into(data: Path, scratch: Path, advance: Advance) -> dict[str, Any]:
    """Replay the journal into an empty directory."""
    lay_base(data, scratch)
    # The accounts must not cover what a power cut could still take away from the journal.
    for segment in list_segments(journal_directory(data))[-2:]:
        sync_path(segment.path)
    with audit(journal_directory(data), scratch=scratch) as opened:
        report = opened.report()
        while not report["is_done"]:
            advance(report["replayed_lsn"] - report["begun_lsn"], _total(report))
            report = opened.step(STEP_ENTRIES)
        opened.finish()
        advance(_total(report), _total(report))
    return report
