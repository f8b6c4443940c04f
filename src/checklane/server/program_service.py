"""ProgramService: checks, publishes, activates, lists and prunes what is decided on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from checklane import _layout
from checklane.errors import ChecklaneError, refuse
from checklane.server.calls import Calls, Method
from checklane.server.compiling import Compiler
from checklane.server.live_set import LivePrograms
from checklane.snapshot.store import list_snapshots, snapshot_directory
from checklane.tables.files import (
    HASH_BYTES,
    SnapshotFile,
    read_records,
    read_snapshot,
    snapshot_hash,
    verify_snapshot,
)
from checklane.v1 import program_pb2

__all__ = ["ProgramMethods"]

FILES_MAX = 1000
PATH_BYTES_MAX = 256

#: The contract's kind of each kind of file, and the table whose records count.
KINDS = {
    "members": (program_pb2.SNAPSHOT_KIND_MEMBERS, "members"),
    "catalogue": (program_pb2.SNAPSHOT_KIND_CATALOGUE, "products"),
    "program": (program_pb2.SNAPSHOT_KIND_PROGRAM, "offers"),
}
KIND_NAMES: dict[int, str] = {number: name for name, (number, _) in KINDS.items()}

RequestT = TypeVar("RequestT", bound=Message)


def served(request_class: type[RequestT], handler: Callable[[RequestT], Message]) -> Method:
    """Return a handler as a method of bytes to bytes."""

    def method(data: bytes) -> bytes:
        request = request_class()
        try:
            request.ParseFromString(data)
        except DecodeError:
            raise refuse("REQUEST_MALFORMED") from None
        return handler(request).SerializeToString()

    return method


class ProgramMethods:
    """Serves the methods of ProgramService that the engine does not.

    Parameters
    ----------
    live : LivePrograms
    compiler : Compiler
        Works in a process of its own.
    """

    def __init__(self, live: LivePrograms, compiler: Compiler) -> None:
        self._live = live
        self._compiler = compiler

    def register(self, calls: Calls) -> None:
        """Add every method to what the port answers."""
        for name, method in (
            ("CheckProgram", served(program_pb2.CheckProgramRequest, self.check_program)),
            ("PublishSnapshot", served(program_pb2.PublishSnapshotRequest, self.publish_snapshot)),
            (
                "ActivateSnapshot",
                served(program_pb2.ActivateSnapshotRequest, self.activate_snapshot),
            ),
            ("ListSnapshots", served(program_pb2.ListSnapshotsRequest, self.list_snapshots)),
            ("PruneSnapshots", served(program_pb2.PruneSnapshotsRequest, self.prune_snapshots)),
        ):
            calls.add(f"ProgramService.{name}", method)

    def check_program(
        self, request: program_pb2.CheckProgramRequest
    ) -> program_pb2.CheckProgramResponse:
        """Say what is wrong with program files and what they cost."""
        catalogue = self._catalogue(request.catalogue_hash)
        with _written(request.source) as folder:
            return self._compiler.check(folder, catalogue)

    def publish_snapshot(
        self, request: program_pb2.PublishSnapshotRequest
    ) -> program_pb2.PublishSnapshotResponse:
        """Keep a program's files, compiled, or a snapshot file that lies here already."""
        match request.WhichOneof("content"):
            case "program":
                return self._publish_program(request)
            case "snapshot_file":
                return self._publish_file(request.snapshot_file)
        raise refuse("FIELD_REQUIRED", "content")

    def activate_snapshot(
        self, request: program_pb2.ActivateSnapshotRequest
    ) -> program_pb2.ActivateSnapshotResponse:
        """Make a published snapshot live."""
        kind = _kind(request.kind)
        if not kind:
            raise refuse("FIELD_REQUIRED", "kind")
        if len(request.content_hash) != HASH_BYTES:
            reason = "FIELD_OUT_OF_RANGE" if request.content_hash else "FIELD_REQUIRED"
            raise refuse(reason, "content_hash")
        self._live.activate(kind, request.content_hash)
        response = program_pb2.ActivateSnapshotResponse()
        response.live.extend(snapshot for snapshot in self._snapshots("") if snapshot.live)
        return response

    def list_snapshots(
        self, request: program_pb2.ListSnapshotsRequest
    ) -> program_pb2.ListSnapshotsResponse:
        """List what is kept, newest first within its kind."""
        return program_pb2.ListSnapshotsResponse(snapshots=self._snapshots(_kind(request.kind)))

    def prune_snapshots(
        self, request: program_pb2.PruneSnapshotsRequest
    ) -> program_pb2.PruneSnapshotsResponse:
        """Remove what nothing needs any more: not live, nor before, nor the newest of its kind."""
        chosen = _kind(request.kind)
        files = list_snapshots(self._live.data)
        newest = {}
        for found in sorted(files, key=lambda found: found.path.stat().st_mtime_ns):
            newest[found.kind] = found
        keep = {(found.kind, found.hash) for found in newest.values()}
        keep |= {(found.kind, found.hash) for found in files if chosen and found.kind != chosen}
        described = {found.path.name: self._describe(found) for found in files}
        removed = self._live.prune(keep, is_dry=request.dry_run)
        return program_pb2.PruneSnapshotsResponse(
            removed=[described[found.path.name] for found in removed]
        )

    def record_count(self, kind: str) -> int:
        """Return the records of the live snapshot of a kind; 0 when none is live."""
        content_hash = getattr(self._live.now, kind)
        if content_hash is None:
            return 0
        try:
            return _record_count(read_snapshot(self._live.path(kind, content_hash))[KINDS[kind][1]])
        except (ChecklaneError, KeyError):
            return 0

    def _publish_program(
        self, request: program_pb2.PublishSnapshotRequest
    ) -> program_pb2.PublishSnapshotResponse:
        catalogue = self._catalogue(request.catalogue_hash)
        if catalogue is None:
            raise refuse("SNAPSHOT_UNKNOWN", "catalogue_hash", "no catalogue is live")
        before = {found.hash for found in list_snapshots(self._live.data)}
        with _written(request.program) as folder:
            checked, path = self._compiler.publish(folder, catalogue, self._live.data)
        if path is None:
            first = next(f for f in checked.findings if f.severity == _ERROR)
            raise refuse("PROGRAM_INVALID", f"{first.path}:{first.line}", first.message)
        found = SnapshotFile(path, *snapshot_hash(path), path.stat().st_size)
        return program_pb2.PublishSnapshotResponse(
            snapshot=self._describe(found),
            findings=checked.findings,
            already_published=found.hash in before,
        )

    def _publish_file(self, name: str) -> program_pb2.PublishSnapshotResponse:
        if PurePosixPath(name).name != name:
            raise refuse("FIELD_OUT_OF_RANGE", "snapshot_file", "a name, not a path, is asked for")
        path = snapshot_directory(self._live.data) / name
        found = verify_snapshot(path)
        return program_pb2.PublishSnapshotResponse(
            snapshot=self._describe(found), already_published=True
        )

    def _catalogue(self, wanted: bytes) -> Path | None:
        """Return the catalogue that a request names, or the live one; None when there is none."""
        if wanted and len(wanted) != HASH_BYTES:
            raise refuse("FIELD_OUT_OF_RANGE", "catalogue_hash")
        chosen = wanted or self._live.now.catalogue
        if chosen is None:
            return None
        path = self._live.path("catalogue", chosen)
        if not path.exists():
            raise refuse("SNAPSHOT_UNKNOWN", path.name)
        return path

    def _snapshots(self, kind: str) -> list[program_pb2.Snapshot]:
        files = [f for f in list_snapshots(self._live.data) if not kind or f.kind == kind]
        described = [self._describe(found) for found in files]
        described.sort(key=lambda found: (found.kind, -found.publish_time_unix_ms))
        return described

    def _describe(self, found: SnapshotFile) -> program_pb2.Snapshot:
        number, table = KINDS[found.kind]
        snapshot = program_pb2.Snapshot(
            kind=number,
            content_hash=found.hash,
            live=getattr(self._live.now, found.kind) == found.hash,
            size_bytes=found.size_bytes,
            publish_time_unix_ms=found.path.stat().st_mtime_ns // 1_000_000,
        )
        if snapshot.live:
            snapshot.activate_time_unix_ms = self._live.changed_unix_ms()
        elif found.path.name in self._live.kept_names():
            snapshot.kept_for = "the way back to what was live before"
        try:
            values = read_snapshot(found.path)
            snapshot.record_count = _record_count(values[table])
            if found.kind == "program":
                header = read_records(values, "header", _layout.PROGRAM_HEADER)[0]
                snapshot.catalogue_hash = header["catalogue_hash"].tobytes()
            elif found.kind == "members":
                info = read_records(values, "info", _layout.SNAPSHOT_INFO)[0]
                snapshot.as_of_lsn = int(info["as_of_lsn"])
                snapshot.as_of_time_unix_ms = int(info["as_of_unix_ms"])
        except (ChecklaneError, KeyError, IndexError):
            snapshot.kept_for = "nothing: it is damaged"
        return snapshot


_ERROR = program_pb2.FINDING_SEVERITY_ERROR


def _kind(number: int) -> str:
    """Return the word of a kind; empty for none."""
    if number == program_pb2.SNAPSHOT_KIND_UNSPECIFIED:
        return ""
    if number not in KIND_NAMES:
        raise refuse("ENUM_UNKNOWN", "kind")
    return KIND_NAMES[number]


def _record_count(value: memoryview) -> int:
    head = memoryview(value)[: _layout.TABLE_HEADER.itemsize]
    return int(np.frombuffer(head, dtype=_layout.TABLE_HEADER, count=1)[0]["count"])


@contextmanager
def _written(source: program_pb2.ProgramSource) -> Iterator[Path]:
    """Write a program's files into a folder that lives as long as the block.

    Raises
    ------
    RequestError
        FIELD_REQUIRED, TOO_MANY_ITEMS, FIELD_OUT_OF_RANGE for a path that leads outside.
    """
    if not source.files:
        raise refuse("FIELD_REQUIRED", "source.files")
    if len(source.files) > FILES_MAX:
        raise refuse("TOO_MANY_ITEMS", "source.files")
    with TemporaryDirectory(prefix="checklane-program-") as name:
        folder = Path(name)
        for index, file in enumerate(source.files):
            path = PurePosixPath(file.path)
            outside = path.is_absolute() or ".." in path.parts or "\0" in file.path
            if not path.parts or outside or len(file.path.encode()) > PATH_BYTES_MAX:
                raise refuse("FIELD_OUT_OF_RANGE", f"source.files[{index}].path")
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.content)
        yield folder
