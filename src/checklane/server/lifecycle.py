"""The life of a service: open, warm, serve, drain, close.

The first SIGTERM or SIGINT drains: no new call, those under way are finished, the engine writes out
what it holds, and the process ends with 0. A second one ends it at once, which loses nothing that
was answered: the journal is made for that. SIGUSR1 writes a checkpoint now.
"""

import os
import signal
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from checklane import __version__
from checklane._engine import METHODS, Engine, EngineError
from checklane.clock import SYSTEM_CLOCK, Clock
from checklane.config import Settings, address_of
from checklane.errors import ChecklaneError, ConfigError, from_status
from checklane.server.books_service import BooksMethods
from checklane.server.calls import Calls, EngineLike
from checklane.server.compiling import Compiler
from checklane.server.lane_stream import LaneStreams
from checklane.server.lanes import LaneCollector, Lanes
from checklane.server.ledger_service import LedgerStreams
from checklane.server.live_set import LivePrograms
from checklane.server.logs import configure_logs
from checklane.server.metrics import Metrics, SnapshotCollector, TallyCollector
from checklane.server.open_streams import StreamSlots
from checklane.server.port import Port
from checklane.server.program_service import ProgramMethods
from checklane.server.uploads import UploadStreams
from checklane.snapshot.keys import Keys, create_keys

__all__ = ["Service", "open_engine", "run"]

#: Hexadecimal digits of a content hash that people are shown.
HASH_SHOWN = 12

log = structlog.get_logger("checklane")


def open_engine(settings: Settings, keys: Keys) -> EngineLike:
    """Open the engine of a data directory.

    Raises
    ------
    ChecklaneError
        DATA_DIRECTORY_BUSY, JOURNAL_DAMAGED, FORMAT_UNSUPPORTED and what else hinders it.
    """
    try:
        return Engine(
            str(settings.data),
            sessions=settings.sessions,
            checkpoint_pause_ms=settings.checkpoint_pause_ms,
            node=settings.node,
            partition=settings.partition,
            identity_key=keys.identity,
            hold_out_key=keys.hold_out,
        )
    except EngineError as failure:
        raise from_status(failure.status, failure.place or str(settings.data)) from None


class Service:
    """One service in this process, from `start` to `stop`.

    Parameters
    ----------
    settings : Settings
    engine_of : callable
        Opens the engine. Default: the real one.
    methods : Mapping of str to int
        The engine's methods by "Service.Method". Default: the real engine's.
    clock : Clock
    """

    def __init__(
        self,
        settings: Settings,
        engine_of: Callable[[Settings, Keys], EngineLike] = open_engine,
        methods: Mapping[str, int] = METHODS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.settings = settings
        self._engine_of = engine_of
        self._methods = methods
        self._clock = clock
        self._is_program_live = threading.Event()
        self._lanes: Lanes | None = None

    @property
    def address(self) -> str:
        """Where the service listens, host:port; once started."""
        return self._port.address

    @property
    def lane_addresses(self) -> list[str]:
        """Where lanes are served, host:port or unix:path; once started."""
        return self._lanes.addresses if self._lanes is not None else []

    def start(self) -> None:
        """Open, warm and serve; returns when calls are answered.

        Raises
        ------
        ChecklaneError
            What hinders it; everything that was opened is closed again.
        """
        self._prepare_directory()
        began_s = self._clock.monotonic_s()
        self._engine = self._engine_of(self.settings, self._keys)
        try:
            self._assemble()
            self._opening_s = self._clock.monotonic_s() - began_s
        except BaseException:
            self._engine.close()
            raise

    def stop(self) -> None:
        """Drain and close; returns when everything is on disk and every thread is gone."""
        drains = [threading.Thread(target=self._drain_lanes, name="drain-lanes")]
        drains[0].start()
        self._port.drain(self.settings.drain_seconds)
        drains[0].join()
        self._lane_pool.shutdown()
        self._metrics.close()
        self._engine.close()

    def checkpoint(self) -> None:
        """Write a checkpoint now and say how long it took; calls go on meanwhile."""
        began_s = self._clock.monotonic_s()
        try:
            self._engine.checkpoint()
        except EngineError as failure:
            log.error("checkpoint failed", status=failure.status)
            return
        took_ms = (self._clock.monotonic_s() - began_s) * 1000
        log.info("checkpointed", took_ms=round(took_ms, 1))

    def reload_certificates(self) -> None:
        """Serve what the lane port's certificate files hold now; when they are wrong, as before."""
        if self._lanes is None:
            return
        try:
            self._lanes.reload_certificates()
        except ChecklaneError as failure:
            log.error("certificates not reloaded", reason=str(failure))
        else:
            log.info("certificates reloaded")

    def describe(self) -> dict[str, Any]:
        """Return what is live, for the line that is logged at the start."""
        now = self._live.now
        stats = self._engine.stats()
        shown = {
            kind: (getattr(now, kind) or b"").hex()[:HASH_SHOWN] or "none"
            for kind in ("program", "catalogue", "members")
        }
        return {
            "listen": self.address,
            "lanes": self.lane_addresses,
            "data": str(self.settings.data),
            **shown,
            "member_count": self._programs.record_count("members"),
            "offer_count": self._programs.record_count("program"),
            "last_lsn": stats.get("durable_lsn", 0),
            "recovered_entries": stats.get("recovered_entries", 0),
            "start_ms": round(self._opening_s * 1000, 1),
            "version": __version__,
        }

    def is_program_live(self) -> bool:
        """Tell whether baskets can be decided."""
        return self._is_program_live.is_set()

    def _prepare_directory(self) -> None:
        """Make of an empty place a data directory with keys of its own; leave any other alone."""
        data = self.settings.data
        try:
            data.mkdir(parents=True, exist_ok=True)
            self._keys = create_keys(data)
        except OSError as failure:
            raise ConfigError(f"can not use the data directory: {failure}", str(data)) from None

    def _assemble(self) -> None:
        """Put the port together over the open engine, make the snapshots live, and serve."""
        settings, engine, clock = self.settings, self._engine, self._clock
        self._metrics = Metrics(engine.stats)
        calls = Calls(engine, self._methods, self._metrics, clock)
        slots = StreamSlots(settings.streams, self._metrics)
        self._lane_pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="lane")
        lanes = LaneStreams(calls, self._lane_pool, slots, settings.stream_window, clock)
        uploads = UploadStreams(calls, slots, clock)
        ledger = LedgerStreams(engine, slots)
        self._books = BooksMethods(engine, calls, slots, self._live_file)
        self._port = Port(settings, calls, lanes, uploads, ledger, self._books)
        if settings.has_lanes:
            self._open_lanes()
        self._live = LivePrograms(settings.data, self._keys, engine, self._program_is_live, clock)
        self._metrics.registry.register(TallyCollector(engine.tallies))
        self._metrics.registry.register(SnapshotCollector(self._live.ages_s))
        self._programs = ProgramMethods(self._live, Compiler(settings))
        self._programs.register(calls)
        try:
            self._live.restore()
            if settings.metrics_listen:
                self._serve_metrics()
            self._port.start()
        except BaseException:
            self._drain_lanes(0)
            self._port.drain(0)
            raise

    def _live_file(self, kind: str) -> Path | None:
        """Return the file of what is live of a kind of snapshot."""
        content_hash = getattr(self._live.now, kind)
        return None if content_hash is None else self._live.path(kind, content_hash)

    def _open_lanes(self) -> None:
        """Open the native port; the engine behind it must be the real one."""
        if not isinstance(self._engine, Engine):
            raise TypeError("only the real engine serves lanes")
        self._lanes = Lanes(self.settings, self._engine, self._methods)
        self._metrics.registry.register(LaneCollector(self._lanes))

    def _drain_lanes(self, grace_s: float | None = None) -> None:
        if self._lanes is not None:
            self._lanes.drain(self.settings.drain_seconds if grace_s is None else grace_s)
            self._lanes.close()

    def _serve_metrics(self) -> None:
        host, port = address_of(self.settings.metrics_listen)
        try:
            bound = self._metrics.serve(host, port)
        except OSError as failure:
            place = self.settings.metrics_listen
            raise ConfigError(f"can not show metrics: {failure}", place) from None
        log.info("metrics", listen=f"{host}:{bound}", path="/metrics")

    def _program_is_live(self) -> None:
        self._is_program_live.set()
        self._port.set_serving(True)
        if self._lanes is not None:
            self._lanes.set_serving(True)


def run(settings: Settings) -> int:
    """Serve until a signal ends it; the whole of ``checklane serve``.

    Returns
    -------
    int
        The exit code: 0 after a drain.

    Raises
    ------
    ChecklaneError
        What hinders the start.
    """
    configure_logs(settings.log_format, settings.log_level)
    asked = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            os._exit(128 + number)
        asked.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    service = Service(settings)
    service.start()
    checkpoints = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")

    def on_demand(number: int, frame: FrameType | None) -> None:
        checkpoints.submit(service.checkpoint)

    signal.signal(signal.SIGUSR1, on_demand)

    signal.signal(signal.SIGHUP, lambda number, frame: service.reload_certificates())
    log.info("serving", **service.describe())
    if not service.is_program_live():
        log.warning(
            "no program is live: quotes are refused with PROGRAM_MISSING",
            next_step="checklane snapshot build --help, then checklane snapshot activate --help",
        )
    asked.wait()
    log.info("draining", grace_s=settings.drain_seconds)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    checkpoints.shutdown()
    service.stop()
    log.info("stopped")
    return 0
