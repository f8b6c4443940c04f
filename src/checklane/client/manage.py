"""What an operator asks of a running service, for the command line and for scripts."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from checklane.client.words import number_of
from checklane.errors import from_rpc_error
from checklane.v1 import (
    common_pb2,
    ledger_pb2,
    ledger_pb2_grpc,
    program_pb2,
    program_pb2_grpc,
)

__all__ = ["activate", "close_date", "list_snapshots", "prune", "publish", "publish_program"]

#: Verifying a snapshot reads all of it; compiling a program may take a while.
TIMEOUT_S = 600


@contextmanager
def _channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        try:
            yield channel
        except grpc.RpcError as failure:
            raise from_rpc_error(failure) from None


@contextmanager
def _service(address: str) -> Iterator[Any]:
    with _channel(address) as channel:
        yield program_pb2_grpc.ProgramServiceStub(channel)  # type: ignore[no-untyped-call]


def _kind(word: str) -> Any:
    return number_of(program_pb2.SnapshotKind, "SNAPSHOT_KIND", word or "UNSPECIFIED", "kind")


def activate(address: str, kind: str, content_hash: bytes) -> list[program_pb2.Snapshot]:
    """Make a published snapshot live and return all that is live then.

    Parameters
    ----------
    address : str
        host:port of the service.
    kind : str
        "members", "catalogue" or "program".
    content_hash : bytes
        16 bytes.

    Raises
    ------
    ChecklaneError
    """
    request = program_pb2.ActivateSnapshotRequest(kind=_kind(kind), content_hash=content_hash)
    with _service(address) as service:
        return list(service.ActivateSnapshot(request, timeout=TIMEOUT_S).live)


def close_date(address: str, store: str, business_date: int, key: str = "") -> int:
    """Close the business dates of a store up to one, for good; return the last that is closed.

    Parameters
    ----------
    address : str
    store : str
    business_date : int
        yyyymmdd.
    key : str
        The idempotency key. Default: a new one.

    Raises
    ------
    ChecklaneError
        STORE_UNKNOWN, FIELD_OUT_OF_RANGE (the date has not begun at the store), and others.
    """
    context = common_pb2.RequestContext(
        store_id=store, idempotency_key=key or f"close-{uuid.uuid4()}"
    )
    request = ledger_pb2.CloseBusinessDateRequest(context=context, business_date=business_date)
    with _channel(address) as channel:
        ledger = ledger_pb2_grpc.LedgerServiceStub(channel)  # type: ignore[no-untyped-call]
        return int(ledger.CloseBusinessDate(request, timeout=TIMEOUT_S).closed_date)


def list_snapshots(address: str, kind: str = "") -> list[program_pb2.Snapshot]:
    """Return the snapshots that a service keeps, of one kind or of all."""
    request = program_pb2.ListSnapshotsRequest(kind=_kind(kind))
    with _service(address) as service:
        return list(service.ListSnapshots(request, timeout=TIMEOUT_S).snapshots)


def publish(address: str, snapshot_file: str) -> program_pb2.Snapshot:
    """Have a service verify a snapshot file that lies in its data directory.

    Parameters
    ----------
    address : str
    snapshot_file : str
        Its name, without a folder.
    """
    request = program_pb2.PublishSnapshotRequest(snapshot_file=snapshot_file)
    with _service(address) as service:
        response: program_pb2.PublishSnapshotResponse = service.PublishSnapshot(
            request, timeout=TIMEOUT_S
        )
    return response.snapshot


def publish_program(
    address: str, folder: Path, catalogue_hash: bytes = b""
) -> program_pb2.PublishSnapshotResponse:
    """Send a program's files to a service, which compiles and keeps them.

    Parameters
    ----------
    address : str
    folder : Path
        Holds the program's YAML and CSV files.
    catalogue_hash : bytes
        The catalogue to compile against. Default: the live one.
    """
    source = program_pb2.ProgramSource()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            source.files.add(path=path.relative_to(folder).as_posix(), content=path.read_bytes())
    request = program_pb2.PublishSnapshotRequest(program=source, catalogue_hash=catalogue_hash)
    with _service(address) as service:
        response: program_pb2.PublishSnapshotResponse = service.PublishSnapshot(
            request, timeout=TIMEOUT_S
        )
    return response


def prune(address: str, kind: str = "", *, dry_run: bool = False) -> list[program_pb2.Snapshot]:
    """Have a service remove what nothing needs any more, and return what that was."""
    request = program_pb2.PruneSnapshotsRequest(kind=_kind(kind), dry_run=dry_run)
    with _service(address) as service:
        return list(service.PruneSnapshots(request, timeout=TIMEOUT_S).removed)
