"""The only door between Python and the engine; built from ``native/checklane/_engine.pyx``."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

#: Number of each method that the engine serves, by "Service.Method".
METHODS: Final[dict[str, int]]

class EngineError(Exception):
    """The engine could not be opened, or refused what is no call.

    Attributes
    ----------
    status : int
        A status number of ``native/checklane/status.h``, never 0.
    place : str
        The file, position or field at fault. May be empty.
    """

    status: int
    place: str
    def __init__(self, status: int, place: str = "") -> None: ...

class Engine:
    """One open data directory.

    Opening takes the lock; nothing is live until the first `activate` with a program, which also
    recovers the journal and starts the writer. Every method may be called from any thread and
    releases the interpreter's lock.

    Parameters
    ----------
    data_directory : str
        Made with its keys beforehand.
    sessions : int
        Calls that may run at once, range [1, 256], both inclusive; more wait for a free one.
    checkpoint_pause_ms : int
        Pause between two small transactions of a checkpoint.
    node : int
        Number of this node within the program.
    partition : int
        Number of the partition that it writes.
    identity_key, hold_out_key : bytes
        16 bytes each, from ``DATA/keys``.

    Raises
    ------
    EngineError
        DATA_DIRECTORY_BUSY, FORMAT_UNSUPPORTED, JOURNAL_DAMAGED, SNAPSHOT_MISMATCH, DISK_FULL,
        IO_FAILED, OUT_OF_MEMORY, with the place.
    """

    def __init__(
        self,
        data_directory: str,
        *,
        sessions: int,
        checkpoint_pause_ms: int,
        node: int,
        partition: int,
        identity_key: bytes,
        hold_out_key: bytes,
    ) -> None: ...
    def call(self, method: int, request: bytes) -> tuple[int, bytes | str]:
        """Answer one request: (0, response) or (status, place). Waits for the disk on changes.

        Where figures have changed (DECISION_CHANGED) the place is that of the first: the answer
        is then a FiguresChanged.
        """

    def activate(
        self,
        program: str | None,
        catalogue: str | None,
        members: str | None,
        *,
        is_recorded: bool = True,
    ) -> None:
        """Make snapshot files live in one swap; None keeps what is live.

        The caller has verified the files and calls from one thread at a time. A recorded activation
        is journalled before this returns; that of a restart, which changes nothing, is not.

        Raises
        ------
        EngineError
            SNAPSHOT_DAMAGED, SNAPSHOT_MISMATCH, FORMAT_UNSUPPORTED, IO_FAILED, ENGINE_CLOSED, and
            with the first program JOURNAL_DAMAGED, DISK_FULL.
        """

    def read_entries(self, from_lsn: int, limit: int, max_bytes: int) -> list[bytes]:
        """Return durable entries from a position on, whole, as they lie in the journal.

        At most `limit` entries and, from the second on, at most `max_bytes` bytes. Empty when
        `from_lsn` is the next position to be written.

        Raises
        ------
        EngineError
            LSN_NOT_KEPT, JOURNAL_DAMAGED, IO_FAILED.
        """

    def time_decisions(self, request: bytes, count: int) -> tuple[NDArray[np.uint32], int]:
        """Decide the basket of one quote `count` times over, for measuring; changes nothing.

        Parameters
        ----------
        request : bytes
            A ``QuoteBasketRequest``.
        count : int
            At least 1.

        Returns
        -------
        times_ns : numpy.ndarray of uint32, shape (count,)
            What each decision took alone, one reading of the clock included.
        steps : int
            Steps that one decision took.

        Raises
        ------
        EngineError
            As a quote is refused.
        """

    def stats(self) -> dict[str, int]:
        """Return counters and gauges by name; empty until a program is live.

        Among them ``durable_lsn``, ``first_lsn`` and ``recovered_entries``; names end in their
        unit.
        """

    def tallies(self) -> dict[str, Any]:
        """Return what is counted by size, time, flow and purse; empty until a program is live.

        ``sync``: groups by sync time, below 1, 2, 4 ... microseconds. ``groups``: groups by size,
        of at most 1, 2, 4 ... entries. ``sync_us`` and ``entries`` are the sums. ``points``: by
        flow, then by number of the purse, what was moved since the engine was opened. ``owed``: by
        purse, what all lots hold less all debts. Points are in the purse's smallest units.
        """

    def replay(
        self, entry: bytes, program: str, catalogue: str, *, is_explained: bool = False
    ) -> tuple[int, bytes | str]:
        """Decide a committed sale again from its entry; return (0, answer) or (status, place).

        Parameters
        ----------
        entry : bytes
            Whole, as `read_entries` gives it.
        program, catalogue : str
            The snapshot files that the entry names.
        is_explained : bool
            Tell the reason for every offer, whether the lane had asked for it or not. Without it
            the answer equals the recorded one, byte for byte. Needs nothing to be live.

        Raises
        ------
        EngineError
            SNAPSHOT_DAMAGED, FORMAT_UNSUPPORTED, IO_FAILED.
        """

    def checkpoint(self) -> None:
        """Write every durable change to the accounts; the next start replays nothing older."""

    def close(self) -> None:
        """Wait for calls under way, write out what waits, checkpoint, free everything.

        Calls that come later are answered with ENGINE_CLOSED. Closing twice is no error.
        """

class LanePort:
    """The native port for lanes: gRPC over HTTP/2, served without the interpreter.

    Opening starts its threads and borrows ``threads * (1 + changes)`` sessions of the engine, which
    are back after `close`. Close it before the engine. Every method may be called from any thread.

    Parameters
    ----------
    engine : Engine
    sockets : list of tuple of int and bool
        Descriptors that are bound and listen, and whether they speak TLS. They stay the caller's,
        who closes them after `drain`.
    methods : list of tuple
        ``(path, kind, number, field, field name, words, upload fields)`` of each method, those
        called most first; a kind is "unary", "stream", "upload", "refused", "check" or "watch".
    words : list of tuple
        ``(status number, what is wrong, whether a field is at fault)``.
    services : list of str
        What health checks may ask for.
    numbers : dict of str to int
        threads, changes, connections, calls, stream_window, refusal_field, idle_ms, receive_ms,
        stall_ms, keepalive_ms, public_us, shelf_us, refuse_us; see ``native/checklane/lane.h``.
    tls : tuple of str, optional
        PEM files: certificate chain, key, and the authority that lanes' certificates come from, or
        an empty text where lanes need none.

    Raises
    ------
    EngineError
        FIELD_OUT_OF_RANGE, OUT_OF_MEMORY; too few sessions of the engine are free.
    """

    def __init__(
        self,
        engine: Engine,
        sockets: list[tuple[int, bool]],
        methods: list[tuple[str, str, int, int, str, str, tuple[int, int]]],
        words: list[tuple[int, str, bool]],
        services: list[str],
        numbers: dict[str, int],
        tls: tuple[str, str, str] | None = None,
    ) -> None: ...
    def reload_certificates(self) -> None:
        """Serve the certificate that its files hold now, to connections to come.

        Raises
        ------
        EngineError
            FIELD_OUT_OF_RANGE at the file; what was served before goes on being served.
        """

    def set_serving(self, is_serving: bool) -> None:
        """Tell health checks whether baskets are decided."""

    def drain(self, grace_ms: int) -> None:
        """Take no new connection, answer what is open, cut off what takes longer than the grace."""

    def close(self) -> None:
        """Cut off what is open, join the threads, give the sessions back."""

    def stats(self) -> dict[str, Any]:
        """Return figures by name.

        Numbers, and ``steps`` (quotes by what was decided: all, public offers, shelf price; and
        reads that were refused), ``ends`` (connections by the reason of their end), ``answers``
        (by method and status number) and ``times`` (by method: counts below 1, 2, 4 ...
        microseconds, and the sum in microseconds).
        """

class LedgerAudit:
    """A journal, and the accounts derived from it, looked at from outside. Writes nothing there.

    A server may be running on the data directory, in another process. Opening walks the chain of
    the whole journal. With `scratch`, `step` rebuilds the accounts in there, and where `accounts`
    is given holds them against those, as soon as it has come to the entry that they cover. A broken
    environment may end the process.

    Parameters
    ----------
    journal : str
        The directory of the segments.
    accounts : str, optional
        The directory of the accounts to compare.
    scratch : str, optional
        An existing directory. Accounts that lie in it already are where the rebuilding begins.
    retention_days : int, optional
        Of keys and receipts. Default: 0, that of limits.h.
    begin : (int, int, int, int), optional
        The `last_lsn`, `last_position`, `last_crc` and `salt` of an earlier report: the chain is
        walked from that entry on, which must be there as it was. Not with `scratch`.

    Raises
    ------
    EngineError
        JOURNAL_DAMAGED with the place, FORMAT_UNSUPPORTED, LSN_NOT_KEPT when the journal does not
        begin at its first entry and there is nothing to begin from, IO_FAILED, OUT_OF_MEMORY.
    """

    def __init__(
        self,
        journal: str,
        *,
        accounts: str | None = None,
        scratch: str | None = None,
        retention_days: int = 0,
        begin: tuple[int, int, int, int] | None = None,
    ) -> None: ...
    def step(self, entries: int) -> dict[str, Any]:
        """Replay up to `entries` more; return the report. Needs a scratch directory."""

    def finish(self) -> None:
        """Write the rebuilt accounts into the scratch directory, synced; after the last step."""

    def report(self) -> dict[str, Any]:
        """Return the fields of ``audit_report_t`` (native/checklane/audit.h) by name."""

    def read_entries(self, from_lsn: int, limit: int, max_bytes: int) -> list[bytes]:
        """Return entries as `Engine.read_entries` does, at least one where there is one."""

    def close(self) -> None:
        """Free everything. Closing twice is no error."""

class LedgerDrive:
    """Posts sales that were decided before again, each under a key, receipt and account of its own.

    For measuring and for tests: nothing that serves uses it. No engine may have the data directory
    open.

    Parameters
    ----------
    data : str
    program_key, node, partition : int
        Of its journal.
    entries : bytes
        Whole entries of sales, one behind the other, as `Engine.read_entries` gives them.
    accounts : int
        That take turns by chance.
    seed : int
    checkpoint_pause_ms : int, optional
        Default: 0, that of the ledger.
    """

    def __init__(
        self,
        data: str,
        *,
        program_key: int,
        node: int,
        partition: int,
        entries: bytes,
        accounts: int,
        seed: int,
        checkpoint_pause_ms: int = 0,
    ) -> None: ...
    def fill(self, count: int) -> None:
        """Append so many sales to the journal as a process does that comes to no checkpoint.

        Raises
        ------
        EngineError
            What opening or growing the journal is refused with.
        """

    def open(self) -> None:
        """Open the ledger, recovering what is there.

        Raises
        ------
        EngineError
        """

    def run(
        self, in_flight: int, seconds: float, per_second: float = 0.0
    ) -> tuple[NDArray[np.uint32], float, tuple[int, int] | None]:
        """Post sales for a while.

        Parameters
        ----------
        in_flight : int
            Sales under way at once, range [1, 4096], both inclusive.
        seconds : float
        per_second : float, optional
            Of an open loop: what a sale takes counts from the moment when it was due. Default: 0, a
            closed loop, in which the next leaves when one was answered.

        Returns
        -------
        times_ns : numpy.ndarray of uint32
            Of each that was answered as durable.
        elapsed_s : float
        refused : tuple of int or None
            The first status, and how many were refused.
        """

    def stats(self) -> dict[str, int]:
        """Return the ledger's figures, those of `Engine.stats`; empty while it is not open."""

    def tallies(self) -> dict[str, Any]:
        """Return those of `Engine.tallies`; empty while it is not open."""

    def close(self, *, is_checkpointed: bool = True) -> None:
        """Close the ledger. Closing twice is no error."""

def siphash128_batch(key: bytes, data: bytes, offsets: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Hash many byte strings at once with SipHash-2-4-128; rows of (high, low)."""

def struct_sizes() -> dict[str, int]:
    """Return the size in bytes of each struct of layout.h, as C measures it."""
