"""Fuzz targets for bytes from outside: what they are built of, and their first inputs."""

import gzip
import platform
import shutil
import struct
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import hpack
import numpy as np
from hyperframe.frame import (
    DataFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from checklane import _layout
from checklane.tables.files import KINDS, read_snapshot
from tests.house.tree import NATIVE
from tests.native.wire_support import REQUESTS, SOURCES, Contract, encode, full_commit, full_return
from tests.server.hostile_requests import BASES
from tests.server.serving import build_example

HERE = Path(__file__).parent
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-Wall", "-Wextra", "-Werror")
WIRE_INPUTS_EACH = 6
#: Most random messages are refused at once, so the whole ones stand more often.
WIRE_INPUTS_WHOLE = 40
SNAPSHOT_INPUTS = 200
CHANGE = struct.Struct("<BBxxII")
TABLE = struct.Struct("<32sQQ")
#: Head of a capsule and a lot of it, as capsule.c draws them.
CAPSULE_HEAD = struct.Struct("<8s5QIIHH")
CAPSULE_POINTS = struct.Struct("<Qii")
#: Fields of the bodies of a lane stream's request.
LANE_FIELDS = {
    "IdentifyMember": 3,
    "CommitTransaction": 6,
    "VoidTransaction": 7,
    "ReturnItems": 8,
}
EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


class Target(NamedTuple):
    """A target: its source beside this file, the rooms under test, and how inputs are made."""

    name: str
    rooms: Sequence[Path]
    libraries: Sequence[str] = ()


TARGETS = {
    "wire": Target("wire", SOURCES),
    "gs1": Target("gs1", [NATIVE / "gs1.c"]),
    "capsule": Target("capsule", [NATIVE / "capsule.c"], ("-lcrypto",)),
    "snapshot": Target("snapshot", [NATIVE / "snapshot.c"]),
    "lane": Target(
        "lane",
        sorted(NATIVE.glob("*.c")),
        ("-llmdb", "-lnghttp2", "-lssl", "-lcrypto", "-lz", "-lpthread"),
    ),
}


def build(target: Target, binary: Path, *, with_libfuzzer: bool) -> Path:
    """Compile a target under the sanitizers, for libFuzzer by clang or with the driver by cc."""
    sources = [HERE / f"{target.name}_target.c", *target.rooms]
    if with_libfuzzer:
        compiler = ["clang", "-fsanitize=fuzzer"]
    else:
        compiler = ["cc"]
        sources.append(HERE / "driver.c")
    machine = ["-march=x86-64-v2"] if platform.machine() == "x86_64" else ["-march=armv8-a+crc"]
    command = [*compiler, *FLAGS, *machine, *SANITIZERS, f"-I{NATIVE.parent}"]
    command += [*map(str, sources), *target.libraries]
    subprocess.run([*command, "-o", str(binary)], check=True)
    return binary


def wire_inputs(contract: Contract) -> Iterable[bytes]:
    """Yield requests of every method, the byte that chooses the method first."""
    random = Random(20261)
    for _ in range(WIRE_INPUTS_WHOLE):
        yield bytes([2]) + full_commit(contract).SerializeToString()
        yield bytes([4]) + full_return(contract).SerializeToString()
    for kind, name in REQUESTS.items():
        descriptor = contract.message(name).DESCRIPTOR
        for _ in range(WIRE_INPUTS_EACH):
            yield bytes([kind - 1]) + encode(descriptor, random)


def gs1_inputs() -> Iterable[bytes]:
    """Yield scanned coupons: every optional field, two and three purchases, and a digital one."""
    head = b"811010614141654321"
    yield head + b"3250110120" + b"3140131"
    yield head + b"275110650" + b"10130850" + b"9" + b"3140131"
    yield head + b"3100210100" + b"11110650" + b"9" + b"2110000" + b"10614142" + b"90200"
    yield head + b"215211001" + b"4140131" + b"5012345678" + b"610071234" + b"95011"
    yield b"]e0\x1d(8110)106141416543213500110000310123196000\x1d"
    yield b"8112009988459000229133701244303370"


def capsule_inputs() -> Iterable[bytes]:
    """Yield capsules without their signature: of nobody's sale, of points, and of many lines."""
    random = Random(20263)
    for points, lines in ((0, 1), (2, 3), (64, 0), (5, 200)):
        body = CAPSULE_HEAD.pack(b"CKLNCPS1", 1, 2, 3, 4, 5, 20260304, 20260503, points, lines)
        for _ in range(points):
            body += CAPSULE_POINTS.pack(7, 20800, 20500) + varint(random.randrange(2**40))
        for number in range(lines):
            gross = random.randrange(1, 10**6)
            parts = (number + 1, random.randint(1, 9), gross, random.randrange(gross))
            body += b"".join(map(varint, parts))
        yield body


def snapshot_inputs() -> Iterable[bytes]:
    """Yield changes of tables: none, then one to three words each."""
    random = Random(20262)
    for kind in range(len(KINDS)):
        yield bytes([kind])
    for _ in range(SNAPSHOT_INPUTS):
        changes = (
            CHANGE.pack(
                random.randrange(256),
                random.randrange(3),
                random.randrange(2**32),
                random.choice((*EXTREMES, random.randrange(2**32))),
            )
            for _ in range(random.randint(1, 3))
        )
        yield bytes([random.randrange(len(KINDS))]) + b"".join(changes)


def write_inputs(target: Target, folder: Path) -> list[Path]:
    """Write the first inputs of a target into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if target.name == "wire":
        contents = wire_inputs(Contract(folder.parent))
    else:
        makers = {
            "capsule": capsule_inputs,
            "gs1": gs1_inputs,
            "lane": lane_inputs,
            "snapshot": snapshot_inputs,
        }
        contents = makers[target.name]()
    paths = []
    for number, content in enumerate(contents):
        path = folder / f"{number:04}"
        path.write_bytes(content)
        paths.append(path)
    return paths


def lane_inputs() -> Iterable[bytes]:
    """Yield connections: each good request by itself, on a stream, and several at once."""
    greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize()
    single, envelopes = [], []
    for number, (method, build_request) in enumerate(BASES.values()):
        body = build_request().SerializeToString()
        single.append(lane_call(1, f"/checklane.v1.{method}", lane_message(body)))
        field = LANE_FIELDS.get(method.rpartition("/")[2])
        if field:
            head = bytes([0x08, number + 1, field << 3 | 2]) + varint(len(body))
            envelopes.append(lane_message(head + body))
    single.append(lane_call(1, "/grpc.health.v1.Health/Check", lane_message(b"")))
    single.append(lane_call(1, "/grpc.health.v1.Health/Watch", lane_message(b"")))
    single.append(lane_call(1, "/a.B/C", lane_message(b"")))
    single.append(lane_call(1, "/checklane.v1.CheckoutService/StreamLane", b"".join(envelopes)))
    for frames in single:
        yield greeting + frames
    packed = gzip.compress(BASES["identify"][1]().SerializeToString(), mtime=0)
    path = "/checklane.v1.CheckoutService/IdentifyMember"
    yield greeting + lane_call(1, path, b"\x01" + lane_message(packed)[1:])
    flood = PingFrame(0, b"12345678").serialize() + RstStreamFrame(1, error_code=8).serialize()
    yield greeting + single[-1] + flood
    yield greeting + WindowUpdateFrame(0, window_increment=65536).serialize() + single[0]


def lane_message(body: bytes) -> bytes:
    """Return a message of gRPC with its prefix."""
    return struct.pack(">BI", 0, len(body)) + body


def varint(value: int) -> bytes:
    """Return a number as protobuf writes it."""
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def lane_call(stream: int, path: str, body: bytes) -> bytes:
    """Return the frames of one call."""
    fields = [
        (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "a"),
        ("content-type", "application/grpc"), ("grpc-timeout", "9S"), ("te", "trailers"),
        ("grpc-encoding", "gzip"), ("grpc-accept-encoding", "gzip"),
    ]  # fmt: skip
    head = HeadersFrame(stream, hpack.Encoder().encode(fields, huffman=False))
    head.flags.add("END_HEADERS")
    data = DataFrame(stream, body)
    data.flags.add("END_STREAM")
    return bytes(head.serialize() + data.serialize())


def lane_environment(folder: Path) -> dict[str, str]:
    """Make a data directory for the lane target; return what tells the target where it is."""
    build_example(folder)
    found = {"CHECKLANE_DATA": str(folder)}
    for kind in KINDS:
        [snapshot] = (folder / "snapshots").glob(f"{kind}-*.lmdb")
        found[f"CHECKLANE_{kind.upper()}"] = str(snapshot)
    # The stand-in of the target decides under keys of its own.
    shutil.rmtree(folder / "journal", ignore_errors=True)
    shutil.rmtree(folder / "accounts", ignore_errors=True)
    return found


def write_tables(path: Path, folder: Path) -> Path:
    """Write every table of the example's snapshots, cut to what is used of it, into one file."""
    build_example(folder)
    with path.open("wb") as file:
        for number, kind in enumerate(KINDS):
            [snapshot] = (folder / "snapshots").glob(f"{kind}-*.lmdb")
            for name, value in read_snapshot(snapshot).items():
                used = used_bytes(value)
                file.write(TABLE.pack(name.encode(), number, used))
                file.write(value[:used])
    return path


def used_bytes(value: memoryview) -> int:
    """Return the bytes of a table's head and records, without what fills its last page."""
    head = np.frombuffer(value, dtype=_layout.TABLE_HEADER, count=1)[0]
    return _layout.TABLE_HEADER.itemsize + int(head["capacity"]) * int(head["record_bytes"])
