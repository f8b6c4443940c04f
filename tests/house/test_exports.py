"""Every `__all__` is sorted, names each thing once, and names only what the module has."""

import ast

import pytest

from tests.house.tree import PACKAGE, hand_written, name_of


def defined_names(tree: ast.Module) -> set[str]:
    """Return the names that the top level of a module binds."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).split(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def export_faults(source: str) -> list[str]:
    """Return what is wrong with the exports of a module; nothing when it declares none."""
    tree = ast.parse(source)
    faults = []
    for node in tree.body:
        if not isinstance(node, ast.Assign | ast.AnnAssign):
            continue
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if not isinstance(target, ast.Name) or target.id != "__all__":
            continue
        names = ast.literal_eval(node.value)
        if list(names) != sorted(set(names)):
            faults.append("not sorted, or a name twice")
        # A module with __getattr__ makes its names when they are asked for.
        if "__getattr__" not in defined_names(tree):
            faults += [f"{name} is not here" for name in names if name not in defined_names(tree)]
    return faults


def test_exports_are_sorted_and_real():
    faults = [
        f"{name_of(path)}: {fault}"
        for path in hand_written(".py")
        for fault in export_faults(path.read_text())
    ]
    assert faults == []


def test_packages_that_gather_names_say_what_they_export():
    faults = []
    for path in PACKAGE.rglob("__init__.py"):
        tree = ast.parse(path.read_text())
        gathers = any(
            isinstance(node, ast.ImportFrom) and (node.module or "").startswith("checklane")
            for node in tree.body
        )
        if gathers and "__all__" not in defined_names(tree):
            faults.append(name_of(path))
    assert faults == []


@pytest.mark.parametrize(
    "source",
    [
        '__all__ = ["b", "a"]\na = b = 1',
        '__all__ = ["a", "a"]\na = 1',
        '__all__ = ["gone"]',
        '__all__: list[str] = ["b", "a"]\na = b = 1',
    ],
)
def test_the_check_sees_bad_exports(source):
    assert export_faults(source) != []


def test_the_check_lets_good_exports_pass():
    assert export_faults('__all__ = ["A", "b"]\nfrom x import A\ndef b(): pass') == []
