"""Turn the engine's headers into one Python module, so that no struct is kept by hand twice.

Usage: layout_to_python.py HEADER_DIRECTORY OUTPUT.py

Reads layout.h (structs and constants), limits.h (ceilings) and status.h (refusals) and writes
numpy dtypes, integers and one table of statuses. The C compiler holds the structs to their sizes;
a test holds the dtypes to the C compiler's sizes.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

NUMPY_CODE = {
    "uint8_t": "u1",
    "uint16_t": "<u2",
    "uint32_t": "<u4",
    "uint64_t": "<u8",
    "int8_t": "i1",
    "int16_t": "<i2",
    "int32_t": "<i4",
    "int64_t": "<i8",
}
STRUCT = re.compile(r"typedef struct (\w+) \{(.*?)\} \w+;", re.DOTALL)
FIELD = re.compile(r"^\s*(\w+) (\w+)(?:\[(\d+)\])?;$")
DEFINE = re.compile(r"^#define ([A-Z][A-Z0-9_]*) (0x[0-9a-f]+|\(?[0-9][0-9 *]*\)?)\s*(?:/\*.*)?$")
STATUS = re.compile(r'^\s*STATUS\((\w+), (\d+), (\d+), "([^"]*)"\)', re.MULTILINE)
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


def read_structs(text: str) -> dict[str, list[tuple[str, str, int]]]:
    """Fields of every struct, as (name, numpy code, array length or 0), nested ones by name."""
    structs: dict[str, list[tuple[str, str, int]]] = {}
    for name, body in STRUCT.findall(COMMENT.sub("", text)):
        fields = []
        for line in body.splitlines():
            if not line.strip():
                continue
            match = FIELD.match(line.rstrip())
            if match is None:
                raise SystemExit(f"layout.h: struct {name}: cannot read the field line {line!r}")
            kind, field, length = match.groups()
            code = NUMPY_CODE.get(kind) or kind.removesuffix("_t").upper()
            fields.append((field, code, int(length or 0)))
        structs[name] = fields
    return structs


def read_defines(text: str) -> dict[str, int]:
    """Every #define whose value is an integer or a product of integers."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        match = DEFINE.match(line)
        if match is not None:
            product = 1
            for factor in match.group(2).strip("()").split("*"):
                product *= int(factor.strip(), 0)
            found[match.group(1)] = product
    return found


def dtype_source(name: str, fields: list[tuple[str, str, int]]) -> str:
    """One assignment that builds the packed dtype of a struct."""
    rows = []
    for field, code, length in fields:
        kind = code if code.isupper() else f'"{code}"'
        shape = f", ({length},)" if length else ""
        rows.append(f'        ("{field}", {kind}{shape}),\n')
    return f"{name.upper()} = np.dtype(\n    [\n{''.join(rows)}    ]\n)\n"


def main(headers: Path, output: Path) -> None:
    layout = (headers / "layout.h").read_text()
    structs = read_structs(layout)
    parts = ['"""Generated at build from native/checklane/*.h: do not edit."""\n\n']
    parts.append("import numpy as np\n\n")
    defines = read_defines(layout) | read_defines((headers / "limits.h").read_text())
    parts.extend(f"{name} = {value}\n" for name, value in defines.items())
    parts.extend(dtype_source(name, fields) for name, fields in structs.items())
    names = ", ".join(f'"{name}": {name.upper()}' for name in structs)
    parts.append(f"STRUCTS = {{{names}}}\n")
    parts.append("# name -> (number, gRPC code, remedy), in order of precedence\n")
    parts.append("STATUSES = {\n")
    for name, number, grpc, remedy in STATUS.findall((headers / "status.h").read_text()):
        parts.append(f'    "{name}": ({number}, {grpc}, "{remedy}"),\n')
    parts.append("}\n")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("".join(parts))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
