"""Fuzz targets for bytes from outside: what they are built of, and their first inputs."""

import struct
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np

from checklane import _layout
from checklane.tables.files import KINDS, read_snapshot
from tests.house.tree import NATIVE
from tests.native.wire_support import REQUESTS, Contract, encode, full_commit, full_return
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
EXTREMES = (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


class Target(NamedTuple):
    """A target: its source beside this file, the rooms under test, and how inputs are made."""

    name: str
    rooms: Sequence[Path]


TARGETS = {
    "wire": Target("wire", [*sorted(NATIVE.glob("wire_*.c")), NATIVE / "basket.c"]),
    "snapshot": Target("snapshot", [NATIVE / "snapshot.c"]),
}


def build(target: Target, binary: Path, *, with_libfuzzer: bool) -> Path:
    """Compile a target under the sanitizers, for libFuzzer by clang or with the driver by cc."""
    sources = [HERE / f"{target.name}_target.c", *target.rooms]
    if with_libfuzzer:
        compiler = ["clang", "-fsanitize=fuzzer"]
    else:
        compiler = ["cc"]
        sources.append(HERE / "driver.c")
    command = [*compiler, *FLAGS, *SANITIZERS, f"-I{NATIVE.parent}", *map(str, sources)]
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
    contents = wire_inputs(Contract(folder.parent)) if target.name == "wire" else snapshot_inputs()
    paths = []
    for number, content in enumerate(contents):
        path = folder / f"{number:04}"
        path.write_bytes(content)
        paths.append(path)
    return paths


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
