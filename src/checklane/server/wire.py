"""Reads and writes as much protobuf as the port itself needs: the outermost fields.

Messages that go to the engine stay bytes. The port looks at two things only: the correlation id,
which it echoes, and the envelope of a lane stream, which says what method the bytes are for. The
engine reads the rest and judges it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from checklane.errors import refuse

__all__ = [
    "LaneRequest",
    "check_lane_request",
    "check_upload_item",
    "correlation_id",
    "lane_response",
    "read_fields",
    "read_lane_request",
    "read_upload_item",
]

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = range(6)

#: Outermost fields that are looked at for the context. A request of the contract has fewer than 20;
#: one with more is hostile and is not worth the walk.
CONTEXT_FIELDS_MAX = 64
CORRELATION_ID_BYTES_MAX = 64

REQUEST_ID, TIMEOUT_MS = 1, 2
TIMEOUT_MS_MAX = 3_600_000
INT64_MAX = 2**63 - 1


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    # 64 bits in groups of 7 take at most ten bytes.
    for index in range(at, min(at + 10, len(data))):
        byte = data[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), index + 1
        shift += 7
    raise refuse("REQUEST_MALFORMED")


def read_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of the outermost fields of a message, in the order of its bytes.

    Groups are refused: the contract has none.

    Raises
    ------
    RequestError
        REQUEST_MALFORMED.
    """
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        number, wire_type = tag >> 3, tag & 7
        if not 0 < number < 2**29:
            raise refuse("REQUEST_MALFORMED")
        if wire_type == VARINT:
            value, at = _read_varint(data, at)
            yield number, value
            continue
        if wire_type == LENGTH:
            size, at = _read_varint(data, at)
        elif wire_type in (FIXED64, FIXED32):
            size = 8 if wire_type == FIXED64 else 4
        else:
            raise refuse("REQUEST_MALFORMED")
        if size > len(data) - at:
            raise refuse("REQUEST_MALFORMED")
        yield number, data[at : at + size]
        at += size


def correlation_id(request: bytes) -> str:
    """Return the correlation id of a request, as metadata can carry it; empty when it has none.

    Never refuses: what is wrong with the bytes is for the engine to say. Ids that are not printable
    ASCII come back percent-encoded.
    """
    found = b""
    try:
        for count, (number, value) in enumerate(read_fields(request)):
            if count >= CONTEXT_FIELDS_MAX:
                break
            if number == 1 and isinstance(value, bytes):
                found = _correlation_of_context(value) or found
    except Exception:
        return ""
    if len(found) > CORRELATION_ID_BYTES_MAX:
        return ""
    if all(0x20 <= byte < 0x7F for byte in found):
        return found.decode("ascii")
    return "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x25 else f"%{b:02X}" for b in found)


def _correlation_of_context(context: bytes) -> bytes:
    found = b""
    for count, (number, value) in enumerate(read_fields(context)):
        if count >= CONTEXT_FIELDS_MAX:
            break
        if number == 1 and isinstance(value, bytes):
            found = value
    return found


@dataclass(frozen=True, slots=True)
class LaneRequest:
    """The envelope of one request of a lane stream.

    Attributes
    ----------
    request_id : int
        Range [1, 2**63 - 1], both inclusive.
    timeout_ms : int
        0: none.
    field : int
        The number of the oneof's field, which names the method; 0: none was given.
    body : bytes
        The request of that method.
    """

    request_id: int
    timeout_ms: int
    field: int
    body: bytes


def read_lane_request(data: bytes, body_fields: frozenset[int]) -> LaneRequest:
    """Read the envelope of a lane stream's request.

    As the official runtime does, the last of several bodies wins, and two of the same field merge,
    which for bytes is to stand one after the other.

    Raises
    ------
    RequestError
        REQUEST_MALFORMED.
    """
    request_id = timeout_ms = field = 0
    body = b""
    for number, value in read_fields(data):
        if number in (REQUEST_ID, TIMEOUT_MS) and not isinstance(value, int):
            raise refuse("REQUEST_MALFORMED")
        if number == REQUEST_ID and isinstance(value, int):
            request_id = value
        elif number == TIMEOUT_MS and isinstance(value, int):
            timeout_ms = value
        elif number in body_fields:
            if not isinstance(value, bytes):
                raise refuse("REQUEST_MALFORMED")
            body = body + value if number == field else value
            field = number
    return LaneRequest(request_id, timeout_ms, field, body)


def read_upload_item(data: bytes, body_fields: frozenset[int]) -> LaneRequest:
    """Read the envelope of one item of an upload; it has no time limit.

    Raises
    ------
    RequestError
        REQUEST_MALFORMED.
    """
    item_id = field = 0
    body = b""
    for number, value in read_fields(data):
        if number != REQUEST_ID and number not in body_fields:
            continue
        if isinstance(value, int) != (number == REQUEST_ID):
            raise refuse("REQUEST_MALFORMED")
        if isinstance(value, int):
            item_id = value
        else:
            body = body + value if number == field else value
            field = number
    return LaneRequest(item_id, 0, field, body)


def check_lane_request(request: LaneRequest) -> None:
    """Refuse an envelope whose own values are out of range.

    Raises
    ------
    RequestError
        FIELD_REQUIRED, FIELD_OUT_OF_RANGE.
    """
    _check_envelope(request, "request", "request_id")
    if not 0 <= request.timeout_ms <= TIMEOUT_MS_MAX:
        raise refuse("FIELD_OUT_OF_RANGE", "timeout_ms")


def check_upload_item(item: LaneRequest) -> None:
    """Refuse an item whose envelope has no number or no work.

    Raises
    ------
    RequestError
        FIELD_REQUIRED, FIELD_OUT_OF_RANGE.
    """
    _check_envelope(item, "item", "item_id")


def _check_envelope(request: LaneRequest, body_name: str, id_name: str) -> None:
    if request.field == 0:
        raise refuse("FIELD_REQUIRED", body_name)
    if not 1 <= request.request_id <= INT64_MAX:
        raise refuse("FIELD_OUT_OF_RANGE", id_name)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def lane_response(request_id: int, field: int, body: bytes) -> bytes:
    """Write a lane stream's answer: the envelope around a body that is there as bytes already."""
    head = b"\x08" + _varint(request_id) if request_id else b""
    return b"".join((head, _varint(field << 3 | LENGTH), _varint(len(body)), body))
