"""What is live: the engine's snapshots and DATA/live.json, changed together and one at a time.

The order of an activation: the file's hash is checked, the engine swaps and journals it, and only
then does live.json remember it. A crash in between leaves the choice of before, unanswered.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from checklane._engine import EngineError
from checklane.clock import Clock
from checklane.errors import from_status
from checklane.server.calls import EngineLike
from checklane.snapshot.keys import Keys
from checklane.snapshot.store import (
    Live,
    LiveSet,
    list_snapshots,
    plan_activation,
    prune,
    read_live,
    snapshot_directory,
    write_live,
)
from checklane.tables.files import SnapshotFile, snapshot_name

__all__ = ["LivePrograms"]


class LivePrograms:
    """The live snapshots of a service.

    Parameters
    ----------
    data : Path
        The data directory.
    keys : Keys
    engine : EngineLike
    on_live : callable
        Called whenever a program has gone live.
    clock : Clock
    """

    def __init__(
        self,
        data: Path,
        keys: Keys,
        engine: EngineLike,
        on_live: Callable[[], None],
        clock: Clock,
    ) -> None:
        self.data = data
        self._keys = keys
        self._engine = engine
        self._on_live = on_live
        self._clock = clock
        self._changing = threading.Lock()
        self._live = Live()
        self._in_engine = LiveSet()

    @property
    def now(self) -> LiveSet:
        """The content hashes that are live."""
        return self._live.now

    def kept_names(self) -> set[str]:
        """Return the file names of what is live and of what was before the last change."""
        return self._live.now.names() | self._live.previous.names()

    def changed_unix_ms(self) -> int:
        """Return when what is live was last changed; 0 when it never was."""
        try:
            return (self.data / "live.json").stat().st_mtime_ns // 1_000_000
        except FileNotFoundError:
            return 0

    def ages_s(self) -> dict[str, float]:
        """Return seconds since the file of each live snapshot was written, by kind."""
        ages_s = {}
        for kind in ("program", "catalogue", "members"):
            content_hash = getattr(self.now, kind)
            if content_hash is None:
                continue
            with contextlib.suppress(FileNotFoundError):
                written_s = self.path(kind, content_hash).stat().st_mtime
                ages_s[kind] = self._clock.unix_ms() / 1000 - written_s
        return ages_s

    def path(self, kind: str, content_hash: bytes) -> Path:
        """Return where a snapshot lies, whether it is there or not."""
        return snapshot_directory(self.data) / snapshot_name(kind, content_hash)

    def restore(self) -> None:
        """Make live what live.json remembers; at start, before the port opens.

        Raises
        ------
        ChecklaneError
            SNAPSHOT_UNKNOWN, SNAPSHOT_DAMAGED, and what the engine refuses.
        """
        with self._changing:
            live = read_live(self.data)
            self._swap(live.now, is_recorded=False)
            self._live = live

    def activate(self, kind: str, content_hash: bytes) -> None:
        """Make a published snapshot live; on return it is, and stays so after a restart.

        Raises
        ------
        ChecklaneError
            SNAPSHOT_UNKNOWN, SNAPSHOT_DAMAGED, SNAPSHOT_MISMATCH, FORMAT_UNSUPPORTED.
        """
        with self._changing:
            now = self._live.now
            chosen = plan_activation(self.data, now, kind, content_hash, self._keys)
            if chosen == self._live.now:
                return
            self._swap(chosen, is_recorded=True)
            live = self._live.change(chosen, self._clock.unix_ms() // 1000)
            write_live(self.data, live)
            self._live = live

    def prune(self, keep: Iterable[tuple[str, bytes]], *, is_dry: bool) -> list[SnapshotFile]:
        """Remove what nothing needs any more, or only say what would be removed.

        Parameters
        ----------
        keep : iterable of (kind, hash)
            What shall stay besides.
        is_dry : bool
        """
        unix_s = self._clock.unix_ms() // 1000
        with self._changing:
            if not is_dry:
                return prune(self.data, unix_s, keep)
            # The same rule, let loose on a mirror of links: the files themselves stay.
            with TemporaryDirectory(prefix="checklane-prune-") as name:
                mirror = Path(name)
                snapshot_directory(mirror).mkdir()
                write_live(mirror, self._live)
                for found in list_snapshots(self.data):
                    (snapshot_directory(mirror) / found.path.name).symlink_to(found.path.resolve())
                return prune(mirror, unix_s, keep)

    def _swap(self, chosen: LiveSet, *, is_recorded: bool) -> None:
        """Bring the engine to a set; without a program it has nothing to be brought to."""
        if chosen.program is None:
            return
        try:
            self._engine.activate(
                self._changed("program", chosen.program, self._in_engine.program),
                self._changed("catalogue", chosen.catalogue, self._in_engine.catalogue),
                self._changed("members", chosen.members, self._in_engine.members),
                is_recorded=is_recorded,
            )
        except EngineError as failure:
            raise from_status(failure.status, failure.place) from None
        self._in_engine = chosen
        self._on_live()

    def _changed(self, kind: str, chosen: bytes | None, present: bytes | None) -> str | None:
        if chosen is None or chosen == present:
            return None
        return str(self.path(kind, chosen))
