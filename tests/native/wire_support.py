"""What the tests of the wire share: the harness, the official runtime, odd encodings."""

import ctypes
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from random import Random
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native" / "checklane"
SOURCES = [*sorted(NATIVE.glob("wire_*.c")), NATIVE / "basket.c", NATIVE / "gs1.c"]

#: REQUEST_ of wire.h: the number and the message.
REQUESTS = {
    1: "IdentifyMemberRequest",
    2: "QuoteBasketRequest",
    3: "CommitTransactionRequest",
    4: "VoidTransactionRequest",
    5: "ReturnItemsRequest",
    6: "EnrolMemberRequest",
    7: "GetMemberRequest",
    8: "UpdateMemberRequest",
    9: "LinkIdentifierRequest",
    10: "ActivateOfferRequest",
    11: "ListEntriesRequest",
    12: "StopOfferRequest",
    13: "AdjustAccountRequest",
    14: "ConfirmPointsRequest",
    15: "MergeMembersRequest",
    16: "CreateHoldRequest",
    17: "CaptureHoldRequest",
    18: "ReleaseHoldRequest",
    19: "ExtendHoldRequest",
    20: "TotalBasketRequest",
    21: "AuthorizeFuelRequest",
    22: "CloseBusinessDateRequest",
    23: "ClaimTransactionRequest",
}

DUMP_BYTES = 8 * 1024 * 1024


def compile_c(source: Path, target: Path, *flags: str) -> Path:
    """Compile `source` with the room of the wire."""
    command = ["gcc", "-std=c11", "-D_GNU_SOURCE", "-g", "-Wall", "-Wextra", "-Werror"]
    command += [*flags, f"-I{NATIVE}", str(source), *map(str, SOURCES), "-o", str(target)]
    subprocess.run(command, check=True)
    return target


class Contract:
    """The official runtime's messages, straight from the protos."""

    def __init__(self, folder: Path) -> None:
        described = folder / "contract.bin"
        protos = sorted((ROOT / "proto").rglob("*.proto"))
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}"]
        command += [f"-I{files('grpc_tools') / '_proto'}", "--include_imports"]
        command += [f"--descriptor_set_out={described}", *map(str, protos)]
        subprocess.run(command, check=True)
        self.pool = descriptor_pool.DescriptorPool()
        for file in descriptor_pb2.FileDescriptorSet.FromString(described.read_bytes()).file:
            self.pool.Add(file)

    def message(self, name: str) -> Any:
        """Return the class of a message of the package."""
        descriptor = self.pool.FindMessageTypeByName(f"checklane.v1.{name}")
        return message_factory.GetMessageClass(descriptor)


class Harness:
    """The reader and writers of the engine, by ctypes."""

    def __init__(self, library: Path) -> None:
        self.library = ctypes.CDLL(str(library))
        self.library.harness_name_key.restype = ctypes.c_uint64
        self.text = ctypes.create_string_buffer(DUMP_BYTES)

    def read(self, kind: int, request: bytes) -> tuple[int, str, dict[str, str]]:
        """Read a request; return status, place and the dump."""
        place = ctypes.create_string_buffer(96)
        self.text[0] = b"\0"
        # A copy of exactly the size, so that nothing behind it is there by chance.
        block = (ctypes.c_uint8 * max(len(request), 1)).from_buffer_copy(request or b"\0")
        status = self.library.harness_read(
            ctypes.c_uint32(kind),
            block,
            ctypes.c_uint32(len(request)),
            place,
            self.text,
            ctypes.c_size_t(DUMP_BYTES),
        )
        lines = self.text.value.decode().splitlines()
        self.block = block
        return status, place.value.decode(), dict(line.split("=", 1) for line in lines)

    def content_hash(self) -> tuple[int, int]:
        """Return the content hash of what was read last."""
        out = (ctypes.c_uint64 * 2)()
        self.library.harness_hash(out)
        return out[0], out[1]

    def runs(self) -> list[str]:
        """Return the canonical runs of the basket that was read last."""
        self.library.harness_runs(self.text, ctypes.c_size_t(DUMP_BYTES))
        return self.text.value.decode().splitlines()

    def tables(self) -> set[str]:
        """Return the tables of the reader, one line a field."""
        self.library.harness_tables(self.text, ctypes.c_size_t(DUMP_BYTES))
        return set(self.text.value.decode().splitlines())

    def write(self, numbers: list[int], *, is_commit: bool, capacity: int) -> tuple[int, bytes]:
        """Write a decision described by numbers; return status and bytes."""
        row = (ctypes.c_int64 * len(numbers))(*[wrap(number) for number in numbers])
        block = (ctypes.c_uint8 * max(capacity, 1))()
        size = ctypes.c_uint32()
        status = self.library.harness_write(
            row, int(is_commit), block, ctypes.c_uint32(capacity), ctypes.byref(size)
        )
        return status, bytes(block[: size.value])


def wrap(number: int) -> int:
    """Return the signed 64-bit number with the same bits."""
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number


def flatten(message: Any, prefix: str = "") -> dict[str, str]:
    """Return everything that is present in a message, as the harness dumps it."""
    found: dict[str, str] = {}
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        for index, item in enumerate(values):
            path = f"{prefix}{field.name}" + (f"[{index}]" if field.is_repeated else "")
            if field.message_type is not None:
                found[f"{path}."] = ""
                found.update(flatten(item, f"{path}."))
            elif isinstance(item, str):
                found[path] = item.encode().hex()
            elif isinstance(item, bytes):
                found[path] = item.hex()
            else:
                found[path] = str(wrap(int(item)))
    return found


# ------------------------------------------------------------------------ odd encodings ----


def varint(number: int, padding: int = 0) -> bytes:
    """Encode a number, with `padding` bytes more than it needs."""
    number &= (1 << 64) - 1
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    for _ in range(padding):
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def unknown(random: Random, depth: int = 0) -> bytes:
    """Encode a field that no message has, now and then a group."""
    number = random.choice([100, 1000, 536870911])
    kind = random.choice([0, 1, 2, 5, 3 if depth < 4 else 0])
    tag = varint(number << 3 | kind)
    if kind == 0:
        return tag + varint(random.getrandbits(64))
    if kind == 1:
        return tag + random.randbytes(8)
    if kind == 5:
        return tag + random.randbytes(4)
    if kind == 2:
        body = random.randbytes(random.randrange(20))
        return tag + varint(len(body)) + body
    inner = b"".join(unknown(random, depth + 1) for _ in range(random.randrange(3)))
    return tag + inner + varint(number << 3 | 4)


TEXTS = ["", "a", "11", "4006381333931", "é", "日本語テキスト", "𝄞", "x" * 64, "offer-1", "\x00"]
NUMBERS = [0, 1, 2, 3, 5, 127, 128, 1000, 20260131, 1767225600000, 2**31 - 1, 2**32, 2**63 - 1]


def scalar(field: Any, random: Random) -> bytes:
    """Encode one value of a scalar field, without its tag."""
    if field.type in (field.TYPE_STRING, field.TYPE_BYTES):
        body = random.choice(TEXTS).encode()
        return varint(len(body), random.randrange(2)) + body
    if field.type == field.TYPE_FIXED64:
        return random.randbytes(8)
    number = random.choice([*NUMBERS, random.getrandbits(64), random.randrange(8), -1])
    encoded = varint(number)
    return varint(number, random.randrange(10 - len(encoded))) if len(encoded) < 10 else encoded


def encode_field(field: Any, random: Random, depth: int) -> list[bytes]:
    """Encode a field once or several times, packed or not, merged or replaced."""
    pieces = []
    times = random.choice([1, 1, 2, 4]) if field.is_repeated else random.choice([1, 1, 1, 2])
    is_text = field.type in (field.TYPE_STRING, field.TYPE_BYTES)
    for _ in range(times):
        if field.message_type is not None:
            body = encode(field.message_type, random, depth + 1)
            pieces.append(varint(field.number << 3 | 2) + varint(len(body)) + body)
        elif field.is_repeated and not is_text and random.random() < 0.5:
            body = b"".join(scalar(field, random) for _ in range(random.randrange(4)))
            pieces.append(varint(field.number << 3 | 2) + varint(len(body)) + body)
        else:
            kind = 2 if is_text else 1 if field.type == field.TYPE_FIXED64 else 0
            pieces.append(varint(field.number << 3 | kind) + scalar(field, random))
    if random.random() < 0.03:
        # The number is known, the wire type is not the field's: an unknown field.
        pieces.append(varint(field.number << 3 | 5) + random.randbytes(4))
    return pieces


def encode(descriptor: Any, random: Random, depth: int = 0) -> bytes:
    """Encode a random message of that type: any order, unknown fields between."""
    pieces = []
    for field in descriptor.fields:
        if random.random() < 0.55:
            pieces += encode_field(field, random, depth)
    pieces += [unknown(random) for _ in range(random.randrange(2))]
    random.shuffle(pieces)
    return b"".join(pieces)


def mutate(request: bytes, random: Random) -> bytes:
    """Return the bytes with a few of them changed, cut, put in or doubled."""
    data = bytearray(request)
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(data) + 1)
        what = random.randrange(5)
        if what == 0 and at < len(data):
            data[at] ^= 1 << random.randrange(8)
        elif what == 1:
            del data[at:]
        elif what == 2:
            data[at:at] = random.randbytes(random.randrange(1, 4))
        elif what == 3:
            data[at:at] = data[at : at + random.randrange(1, 40)]
        elif at < len(data):
            data[at] = random.choice([0, 0x7F, 0x80, 0xFF])
    return bytes(data)


def full_commit(contract: Contract) -> Any:
    """Return a commit with three lines that is accepted."""
    request = contract.message("CommitTransactionRequest")()
    request.context.idempotency_key = "key-1"
    request.receipt.store_id = "11"
    request.receipt.till_id = "3"
    request.receipt.business_date = 20260131
    request.receipt.sequence = 7
    basket = request.basket
    basket.store_id = "11"
    basket.till_id = "3"
    basket.opened_time_unix_ms = 1769860800000
    basket.lines.add(line_id=1, product_code="4006381333931", amount_minor=250, count=3)
    basket.lines.add(line_id=2, product_code="apples", code_kind=3, amount_minor=199)
    basket.lines.add(line_id=3, product_code="4011", code_kind=2, amount_minor=99)
    return request


def full_return(contract: Contract) -> Any:
    """Return a return of two lines that is accepted."""
    request = contract.message("ReturnItemsRequest")()
    request.context.idempotency_key = "key-2"
    for receipt in (request.original_receipt, request.receipt):
        receipt.store_id = "11"
        receipt.till_id = "3"
        receipt.business_date = 20260131
        receipt.sequence = 7
    request.lines.add(line_id=1, count=1)
    request.lines.add(line_id=2)
    return request
