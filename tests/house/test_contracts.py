"""What C and Python say of each other agrees: refusals are numbered once, structs have one size."""

import re

import numpy as np
import pytest

from checklane import _engine, _layout
from tests.house.tree import NATIVE

STATUS_LINE = re.compile(r'^\s*STATUS\((\w+), (\d+), (\d+), "([^"]*)"\)', re.MULTILINE)
GRPC_CODES = frozenset(range(17))


def status_faults(rows: list[tuple[str, int, int, str]]) -> list[str]:
    """Return what is wrong with a list of refusals: (name, number, gRPC code, remedy)."""
    faults = []
    names = [name for name, _, _, _ in rows]
    numbers = [number for _, number, _, _ in rows]
    faults += [f"{name} is named twice" for name in sorted(set(names)) if names.count(name) > 1]
    faults += [f"{n} is given twice" for n in sorted(set(numbers)) if numbers.count(n) > 1]
    if numbers != sorted(numbers):
        faults.append("the numbers are not in order of precedence")
    for name, number, code, remedy in rows:
        if code not in GRPC_CODES or (code == 0) != (number == 0):
            faults.append(f"{name} has no gRPC code that fits")
        if not remedy.strip():
            faults.append(f"{name} does not say what to do")
    return faults


def statuses() -> list[tuple[str, int, int, str]]:
    """Return the refusals of status.h in the order of the file."""
    rows = STATUS_LINE.findall((NATIVE / "status.h").read_text())
    return [(name, int(number), int(code), remedy) for name, number, code, remedy in rows]


def size_faults(c_sizes: dict[str, int], dtypes: dict[str, np.dtype]) -> list[str]:
    """Return the structs that C and numpy do not both know, or that they measure differently."""
    faults = [f"{name}: only one side has it" for name in sorted(set(c_sizes) ^ set(dtypes))]
    faults += [
        f"{name}: {c_sizes[name]} bytes in C, {dtypes[name].itemsize} in numpy"
        for name in sorted(set(c_sizes) & set(dtypes))
        if c_sizes[name] != dtypes[name].itemsize
    ]
    return faults


def test_refusals_are_numbered_once_and_in_order():
    assert status_faults(statuses()) == []


def test_no_refusal_escapes_the_list():
    text = (NATIVE / "status.h").read_text()
    assert len(statuses()) == len(re.findall(r"^\s*STATUS\([A-Z]", text, re.MULTILINE))
    python = {name: tuple(row) for name, row in _layout.STATUSES.items()}
    assert python == {name: (number, code, remedy) for name, number, code, remedy in statuses()}


def test_structs_have_one_size():
    assert _layout.STRUCTS
    assert size_faults(_engine.struct_sizes(), _layout.STRUCTS) == []


@pytest.mark.parametrize(
    "rows",
    [
        [("OK", 0, 0, "done"), ("A", 1, 3, "x"), ("A", 2, 3, "x")],
        [("OK", 0, 0, "done"), ("A", 1, 3, "x"), ("B", 1, 3, "x")],
        [("OK", 0, 0, "done"), ("B", 2, 3, "x"), ("A", 1, 3, "x")],
        [("OK", 0, 0, "done"), ("A", 1, 99, "x")],
        [("OK", 0, 0, "done"), ("A", 1, 0, "x")],
        [("OK", 0, 0, "done"), ("A", 1, 3, " ")],
    ],
)
def test_the_check_sees_a_bad_refusal(rows):
    assert len(status_faults(rows)) == 1


def test_the_check_sees_a_struct_that_drifted():
    dtypes = {"lot": np.dtype([("amount", "<i8")])}
    assert size_faults({"lot": 8}, dtypes) == []
    assert len(size_faults({"lot": 16}, dtypes)) == 1
    assert len(size_faults({"lot": 8, "purse": 8}, dtypes)) == 1
    assert len(size_faults({}, dtypes)) == 1
