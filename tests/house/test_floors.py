"""Imports go down only, and rooms on a floor do not import each other."""

import ast

import pytest

from tests.house.tree import PACKAGE, hand_written, name_of

#: The house from the top floor down. A room may import rooms on lower floors only.
FLOORS: tuple[frozenset[str], ...] = (
    frozenset({"cli"}),
    frozenset({"certify"}),
    frozenset({"bench", "demo"}),
    frozenset({"client", "ledger", "server"}),
    frozenset({"books"}),
    frozenset({"program", "snapshot"}),
    frozenset({"tables"}),
    frozenset({"config"}),
    frozenset({"clock", "errors"}),
    frozenset({"_engine", "_generator", "_layout", "v1"})
    | frozenset({"candidates", "decide", "earn", "evaluate", "redeem", "resolve"}),
)
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def imported_modules(source: str, package: str) -> set[str]:
    """Return the dotted names of everything that a module of `package` imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*parents, node.module or ""]).strip(".") if node.level else node.module
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


def room_of(module: str) -> str | None:
    """Return the room of a dotted name, or None when it is not a room of the house."""
    parts = module.split(".")
    if parts[0] != "checklane" or len(parts) == 1 or parts[1].startswith("__"):
        return None
    return parts[1]


def floor_faults(source: str, package: str, room: str) -> list[str]:
    """Return what is wrong with the imports of one module that stands in `room`."""
    faults = []
    for module in sorted(imported_modules(source, package)):
        other = room_of(module)
        if other is None or other == room:
            continue
        if not {room, other} <= set(FLOOR_OF):
            faults.append(f"{room} imports {module}: give both rooms a floor in FLOORS")
        elif FLOOR_OF[other] <= FLOOR_OF[room]:
            faults.append(f"{room} imports {module}: that is not below it")
    return faults


def test_every_room_has_a_floor():
    rooms = {path.relative_to(PACKAGE).parts[0].split(".")[0] for path in PACKAGE.rglob("*.py*")}
    rooms -= {"__init__", "__main__", "__pycache__", "py"}
    assert sorted(rooms - set(FLOOR_OF)) == []


def test_imports_go_down():
    faults = []
    for path in hand_written(".py"):
        if not path.is_relative_to(PACKAGE) or path == PACKAGE / "__init__.py":
            continue
        inside = path.relative_to(PACKAGE)
        package = ".".join(["checklane", *inside.parent.parts])
        room = inside.parts[0].removesuffix(".py")
        faults += [
            f"{name_of(path)}: {fault}" for fault in floor_faults(path.read_text(), package, room)
        ]
    assert faults == []


def test_the_front_page_imports_no_room():
    source = (PACKAGE / "__init__.py").read_text()
    assert {room_of(name) for name in imported_modules(source, "checklane")} <= {None}


@pytest.mark.parametrize(
    ("source", "package", "room"),
    [
        ("import checklane.cli.serve", "checklane.server", "server"),
        ("from checklane import client", "checklane.server", "server"),
        ("from checklane.server import port", "checklane.program", "program"),
        ("from ..snapshot import build", "checklane.program", "program"),
        ("from ...server import port", "checklane.program.rules", "program"),
        ("def late():\n    from checklane import errors", "checklane", "clock"),
        ("import checklane.attic", "checklane.cli", "cli"),
    ],
)
def test_the_check_sees_a_bad_import(source, package, room):
    assert len(floor_faults(source, package, room)) == 1


@pytest.mark.parametrize(
    ("source", "package", "room"),
    [
        ("from checklane import errors", "checklane.server", "server"),
        ("from . import rules", "checklane.program", "program"),
        ("from checklane.v1 import basket_pb2", "checklane.client", "client"),
        ("from checklane import __version__", "checklane.cli", "cli"),
        ("import json, numpy", "checklane.snapshot", "snapshot"),
    ],
)
def test_the_check_lets_good_imports_pass(source, package, room):
    assert floor_faults(source, package, room) == []
