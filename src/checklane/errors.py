"""Every refusal of checklane as an exception: translated once, in one table.

One row a status: its exception class and what is wrong in words. The gRPC code and the remedy come
from ``native/checklane/status.h`` by way of the generated ``_layout``; the exit code belongs to the
class. The tree, with gRPC code and exit code::

    ChecklaneError                     any refusal
    ├── RequestError                   INVALID_ARGUMENT      65
    ├── NotFoundError                  NOT_FOUND             66
    ├── ConflictError                  ALREADY_EXISTS        65
    ├── StateError                     FAILED_PRECONDITION   69
    │   ├── ProgramMissingError        FAILED_PRECONDITION   69
    │   └── DataDirectoryBusyError     FAILED_PRECONDITION   75
    ├── DecisionChangedError           ABORTED               65
    ├── CeilingError                   RESOURCE_EXHAUSTED    73
    │   └── BusyError                  RESOURCE_EXHAUSTED    75
    ├── DeadlineError                  DEADLINE_EXCEEDED     75
    ├── UnavailableError               UNAVAILABLE           69
    ├── NotServedError                 UNIMPLEMENTED         69
    ├── NotAllowedError                PERMISSION_DENIED     77
    ├── DamageError                    DATA_LOSS             74
    ├── InternalError                  INTERNAL, UNKNOWN     70
    ├── SpoolError                     never on the wire     73
    └── ConfigError                    never on the wire     78

A message reads "<what> at <place>: <remedy>". On the wire a refusal is a ``google.rpc.Status`` in
``grpc-status-details-bin`` with an ErrorInfo of the domain "checklane" and, when a field is at
fault, a BadRequest; :func:`to_rpc_status` packs it and :func:`from_rpc_error` is the way back.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from checklane._layout import STATUSES
from checklane.v1 import decision_pb2

__all__ = [
    "BusyError",
    "CeilingError",
    "ChecklaneError",
    "ConfigError",
    "ConflictError",
    "DOMAIN",
    "DamageError",
    "DataDirectoryBusyError",
    "DeadlineError",
    "DecisionChangedError",
    "InternalError",
    "NotAllowedError",
    "NotFoundError",
    "NotServedError",
    "ProgramMissingError",
    "REFUSALS",
    "Refusal",
    "RequestError",
    "SpoolError",
    "StateError",
    "UnavailableError",
    "from_answer",
    "from_rpc_error",
    "from_rpc_status",
    "from_status",
    "refuse",
    "to_rpc_status",
]

#: The domain of every ErrorInfo.
DOMAIN = "checklane"
DETAILS_KEY = "grpc-status-details-bin"


class ChecklaneError(Exception):
    """A refusal, or a failure on the way to the service.

    Parameters
    ----------
    reason : str
        The UPPER_SNAKE name of the refusal; empty when the transport failed and the service said
        nothing.
    message : str
        "<what> at <place>: <remedy>".
    place : str
        The field or file at fault, such as ``basket.lines[3].count``. May be empty.
    grpc_code : int
        The gRPC status code.

    Attributes
    ----------
    idempotency_key : str
        The key of the change that failed, set by the client so that a caller can send the same
        change again. Empty for anything else.
    """

    exit_code = 1

    def __init__(self, reason: str, message: str, place: str = "", grpc_code: int = 2) -> None:
        super().__init__(message)
        self.reason = reason
        self.place = place
        self.grpc_code = grpc_code
        self.idempotency_key = ""


class RequestError(ChecklaneError):
    """The request is wrong by itself: sending it again gives the same refusal."""

    exit_code = 65


class NotFoundError(ChecklaneError):
    """Something that the request names is not known."""

    exit_code = 66


class ConflictError(ChecklaneError):
    """A key, receipt or identifier belongs to something else already."""

    exit_code = 65


class StateError(ChecklaneError):
    """The request is right and the service, or the sale, is not in the state for it."""

    exit_code = 69


class ProgramMissingError(StateError):
    """No program is live yet."""


class DataDirectoryBusyError(StateError):
    """Another process has the data directory open."""

    exit_code = 75


class DecisionChangedError(ChecklaneError):
    """The figures of now are not those that the lane showed; nothing was entered.

    Attributes
    ----------
    changed : checklane.v1.decision_pb2.FiguresChanged or None
        The figures of now and what differs, when the service sent them.
    """

    exit_code = 65
    changed: decision_pb2.FiguresChanged | None = None


class CeilingError(ChecklaneError):
    """A ceiling is reached; waiting alone does not help."""

    exit_code = 73


class BusyError(CeilingError):
    """The service is loaded for the moment: send the same again, with the same key."""

    exit_code = 75


class DeadlineError(ChecklaneError):
    """Time was up. A change may or may not have been entered: send it again with the same key."""

    exit_code = 75


class UnavailableError(ChecklaneError):
    """The service can not be reached or is draining."""

    exit_code = 69


class NotServedError(ChecklaneError):
    """The method is not part of the contract, or not served yet."""

    exit_code = 69


class DamageError(ChecklaneError):
    """A file of the data directory is damaged."""

    exit_code = 74


class NotAllowedError(ChecklaneError):
    """The sender may not speak for whom it names."""

    exit_code = 77


class InternalError(ChecklaneError):
    """The service failed in a way that is no fault of the caller."""

    exit_code = 70


class SpoolError(ChecklaneError):
    """A lane's own disk, or its stand-in rules, do not take a sale: see ``checklane.client``.

    Parameters
    ----------
    reason : str
        SPOOL_FULL, SPOOL_BUSY, SPOOL_DAMAGED, SPOOL_UNWRITABLE or STAND_IN_LIMIT.
    message : str
    place : str
        The file or field.
    """

    exit_code = 73

    def __init__(self, reason: str, message: str, place: str = "") -> None:
        super().__init__(reason, message, place, 8)


class ConfigError(ChecklaneError):
    """A setting is wrong; nothing was started."""

    exit_code = 78

    def __init__(self, message: str, place: str = "") -> None:
        super().__init__("CONFIG_INVALID", message, place, 0)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One row of the table: a named refusal and how it is told.

    Attributes
    ----------
    number : int
        The number of the status.
    grpc_code : int
    what : str
        What is wrong, as the beginning of a message.
    remedy : str
        What to do, as the end of it.
    error_class : type of ChecklaneError
    """

    number: int
    grpc_code: int
    what: str
    remedy: str
    error_class: type[ChecklaneError]


# name: (class, what is wrong). One row for each status of status.h but OK, in its order.
_STATUS_ROWS: dict[str, tuple[type[ChecklaneError], str]] = {
    "METHOD_UNKNOWN": (NotServedError, "there is no such method"),
    "METHOD_NOT_BUILT": (NotServedError, "not served yet"),
    "ENGINE_CLOSED": (UnavailableError, "the service is closing"),
    "PROGRAM_MISSING": (ProgramMissingError, "no program is live"),
    "SENDER_NOT_ALLOWED": (NotAllowedError, "the certificate is another store's or till's"),
    "REQUEST_TOO_LARGE": (RequestError, "the request is too large"),
    "REQUEST_MALFORMED": (RequestError, "the bytes are no message of this method"),
    "TEXT_NOT_UTF8": (RequestError, "a text is not UTF-8"),
    "TEXT_TOO_LONG": (RequestError, "a text is too long"),
    "FIELD_REQUIRED": (RequestError, "a required field is missing"),
    "FIELD_OUT_OF_RANGE": (RequestError, "a value is out of range"),
    "ENUM_UNKNOWN": (RequestError, "an enum value is not known"),
    "TOO_MANY_ITEMS": (RequestError, "a list has too many items"),
    "TIME_MISSING": (RequestError, "the opening time is missing"),
    "BUSINESS_DATE_INVALID": (RequestError, "the business date is no date"),
    "KEY_REQUIRED": (RequestError, "the idempotency key is missing or too long"),
    "RECEIPT_REQUIRED": (RequestError, "the receipt is missing or not complete"),
    "LINE_ID_INVALID": (RequestError, "a line has no number"),
    "LINE_ID_DUPLICATE": (RequestError, "a line number is used twice"),
    "LINE_COUNT_INVALID": (RequestError, "the count of a line is out of range"),
    "LINE_AMOUNT_INVALID": (RequestError, "an amount is missing or out of range"),
    "LINE_PARENT_UNKNOWN": (RequestError, "the parent line is not in the basket"),
    "LINE_CODE_INVALID": (RequestError, "the product code is not of its kind"),
    "LINES_EMPTY": (RequestError, "there are no lines"),
    "TENDER_INVALID": (RequestError, "a tender names a line that is not there"),
    "STORE_UNKNOWN": (NotFoundError, "the store is not known"),
    "KEY_REUSED": (ConflictError, "the idempotency key is bound to other content"),
    "RECEIPT_REUSED": (ConflictError, "the receipt was entered already"),
    "RECEIPT_UNKNOWN": (NotFoundError, "the receipt is not known"),
    "RECEIPT_VOIDED": (StateError, "the sale was voided"),
    "RECEIPT_HAS_RETURNS": (StateError, "the sale has returns"),
    "LINE_UNKNOWN": (NotFoundError, "the line is not on the receipt"),
    "RETURN_TOO_MUCH": (StateError, "more comes back than is left"),
    "DECISION_CHANGED": (DecisionChangedError, "the figures have changed"),
    "MEMBER_UNKNOWN": (NotFoundError, "the member is not known"),
    "IDENTIFIER_TAKEN": (ConflictError, "the identifier is taken"),
    "OFFER_UNKNOWN": (NotFoundError, "the offer is not known"),
    "WALLET_FULL": (CeilingError, "the wallet is full"),
    "SEGMENT_UNKNOWN": (NotFoundError, "the segment is not known"),
    "TIER_UNKNOWN": (NotFoundError, "the tier is not known"),
    "LSN_NOT_KEPT": (NotFoundError, "the journal does not hold this position"),
    "PURSE_UNKNOWN": (NotFoundError, "the purse is not known"),
    "PROGRAM_INVALID": (RequestError, "the program has errors"),
    "SNAPSHOT_UNKNOWN": (NotFoundError, "there is no such snapshot"),
    "MEMBER_EXISTS": (ConflictError, "the member exists already"),
    "CANDIDATES_CEILING": (CeilingError, "too many offers compete in this basket"),
    "RECORD_CEILING": (CeilingError, "the account is full"),
    "REPLY_TOO_LARGE": (CeilingError, "the answer is too large"),
    "HOLD_UNKNOWN": (NotFoundError, "the hold is not known"),
    "HOLD_CLOSED": (StateError, "the hold is closed"),
    "HOLD_EXPIRED": (StateError, "the hold has expired"),
    "HOLD_NOT_COVERED": (StateError, "there is not enough to hold or capture"),
    "FUELLING_BEGUN": (StateError, "fuelling has begun"),
    "POINTS_SHORT": (StateError, "there are not enough points"),
    "CLAIM_NOT_ALLOWED": (StateError, "the receipt can not be claimed"),
    "QUEUE_FULL": (BusyError, "too many changes wait"),
    "DISK_FULL": (CeilingError, "the disk is full"),
    "MEMTABLE_FULL": (BusyError, "too many changes wait for the checkpoint"),
    "DEADLINE_PASSED": (DeadlineError, "the deadline had passed before the work began"),
    "LANES_BUSY": (BusyError, "too many calls wait"),
    "RETURN_NOT_ALLOWED": (StateError, "the program does not take this back without a receipt"),
    "HOLD_NEEDS_SALE": (StateError, "only its sale spends this hold"),
    "MEASURE_NOT_DIVIDED": (StateError, "a part of a measured line can not come back"),
    "CAPSULE_INVALID": (RequestError, "the capsule is damaged, or of another receipt or retailer"),
    "CAPSULE_EXPIRED": (StateError, "the days in which goods of this capsule come back are over"),
    "JOURNAL_DAMAGED": (DamageError, "the journal is damaged"),
    "SNAPSHOT_DAMAGED": (DamageError, "the snapshot is damaged"),
    "FORMAT_UNSUPPORTED": (StateError, "this format is not supported"),
    "IO_FAILED": (InternalError, "the disk failed"),
    "OUT_OF_MEMORY": (CeilingError, "there is not enough memory"),
    "SNAPSHOT_MISMATCH": (StateError, "the snapshots do not fit together"),
    "DATA_DIRECTORY_BUSY": (DataDirectoryBusyError, "the data directory is in use"),
    "JOURNAL_MISMATCH": (StateError, "the journal belongs to another service"),
}


def _build_refusals() -> dict[str, Refusal]:
    """Join the rows above with the numbers, codes and remedies of status.h."""
    table = {}
    for name, (number, code, remedy) in STATUSES.items():
        if number != 0:
            error_class, what = _STATUS_ROWS[name]
            table[name] = Refusal(number, code, what, remedy, error_class)
    return table


#: Every refusal by its name, in order of precedence.
REFUSALS: Mapping[str, Refusal] = MappingProxyType(_build_refusals())
_NAME_OF_NUMBER = {refusal.number: name for name, refusal in REFUSALS.items()}

# For failures that the service did not name: what the gRPC code alone says.
_CLASS_OF_CODE: dict[int, type[ChecklaneError]] = {
    3: RequestError,
    4: DeadlineError,
    5: NotFoundError,
    6: ConflictError,
    7: NotAllowedError,
    8: BusyError,
    9: StateError,
    12: NotServedError,
    14: UnavailableError,
    15: DamageError,
}


def refuse(reason: str, place: str = "", what: str = "") -> ChecklaneError:
    """Return the exception of a named refusal, to be raised.

    Parameters
    ----------
    reason : str
        A name of :data:`REFUSALS`.
    place : str
        The field or file at fault. Default: none.
    what : str
        Words that say more than the table's. Default: the table's.
    """
    refusal = REFUSALS[reason]
    told = what or refusal.what
    where = f" at {place}" if place else ""
    return refusal.error_class(reason, f"{told}{where}: {refusal.remedy}", place, refusal.grpc_code)


def from_status(number: int, place: str = "") -> ChecklaneError:
    """Return the exception of an engine status that is not OK.

    A number that this build does not know is a failure of ours and is told as such.
    """
    name = _NAME_OF_NUMBER.get(number)
    if name is None:
        return InternalError(
            f"STATUS_{number}", f"the engine answered the unknown status {number}", place, 13
        )
    return refuse(name, place)


def from_answer(number: int, answer: bytes | str) -> ChecklaneError:
    """Return the exception of what the engine answered to a call that it refused.

    Parameters
    ----------
    number : int
        The status.
    answer : bytes or str
        The place; or, where figures have changed, a FiguresChanged.
    """
    if isinstance(answer, str):
        return from_status(number, answer)
    changed = decision_pb2.FiguresChanged.FromString(answer)
    error = from_status(number, changed.changes[0].place)
    if isinstance(error, DecisionChangedError):
        error.changed = changed
    return error


def to_rpc_status(error: ChecklaneError, field: str = "") -> status_pb2.Status:
    """Pack a refusal as the message that travels in ``grpc-status-details-bin``.

    Parameters
    ----------
    error : ChecklaneError
    field : str
        The field at fault, when it is not the error's place.
    """
    status = status_pb2.Status(code=error.grpc_code, message=str(error))
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN)
    if error.place:
        info.metadata["place"] = error.place
    _attach(status, info)
    at_fault = field or error.place
    if isinstance(error, RequestError | NotFoundError) and at_fault:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=at_fault, description=str(error)
        )
        _attach(status, error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, DecisionChangedError) and error.changed is not None:
        _attach(status, error.changed)
    return status


def _attach(status: status_pb2.Status, detail: Message) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)


def from_rpc_status(status: status_pb2.Status) -> ChecklaneError:
    """Return the exception that a ``google.rpc.Status`` stands for."""
    reason = place = ""
    changed: decision_pb2.FiguresChanged | None = None
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
            if info.domain == DOMAIN:
                reason, place = info.reason, info.metadata.get("place", "")
        elif detail.Is(decision_pb2.FiguresChanged.DESCRIPTOR):
            changed = decision_pb2.FiguresChanged()
            detail.Unpack(changed)
    refusal = REFUSALS.get(reason)
    by_code = _CLASS_OF_CODE.get(status.code, InternalError)
    error_class = refusal.error_class if refusal else by_code
    error = error_class(reason, status.message, place, status.code)
    if isinstance(error, DecisionChangedError):
        error.changed = changed
    return error


def from_rpc_error(failure: Any) -> ChecklaneError:
    """Return the exception that a failed call of grpcio stands for, sync or asyncio.

    A failure without our details did not come from the service: its reason is empty.
    """
    code: int = failure.code().value[0]
    for key, value in failure.trailing_metadata() or ():
        if key == DETAILS_KEY:
            status = status_pb2.Status()
            try:
                status.ParseFromString(value)
            except DecodeError:
                break
            return from_rpc_status(status)
    words = failure.details() or "no more is known"
    name = grpc.StatusCode(failure.code().value).name
    error_class = _CLASS_OF_CODE.get(code, InternalError)
    return error_class("", f"the call failed with {name}: {words}", "", code)
