"""Sales as a journal has them: what the ledger is driven with, and filled."""

from pathlib import Path

import numpy as np

from checklane import _layout
from checklane._engine import Engine, LedgerAudit, LedgerDrive
from checklane.bench.figures import BenchError

#: Different sales that take turns.
SALES = 32
ENTRIES = 400
ENTRIES_BYTES = 4 << 20


def sales_of(engine: Engine) -> list[bytes]:
    """Return the newest sales that an engine committed, whole, as they lie in its journal.

    Raises
    ------
    BenchError
        It has committed none.
    """
    stats = engine.stats()
    first = max(stats["first_lsn"], stats["durable_lsn"] - ENTRIES)
    found = []
    for entry in engine.read_entries(first, ENTRIES + 1, ENTRIES_BYTES):
        header = np.frombuffer(entry, dtype=_layout.ENTRY_HEADER, count=1)[0]
        if int(header["kind"]) == _layout.ENTRY_COMMIT:
            found.append(entry)
    if not found:
        raise BenchError("there is no sale to post again")
    return found[-SALES:]


def drive_of(data: Path, sales: list[bytes], accounts: int, seed: int) -> LedgerDrive:
    """Return a drive of the ledger of a data directory that no engine has open."""
    audit = LedgerAudit(str(data / "journal"))
    try:
        report = audit.report()
    finally:
        audit.close()
    return LedgerDrive(
        str(data),
        program_key=report["program_key"],
        node=report["node"],
        partition=report["partition"],
        entries=b"".join(sales),
        accounts=accounts,
        seed=seed,
    )
