"""No function on a lane's path touches the interpreter: not to raise, not to lock, not at all.

Hot are the functions of the evaluator's modules (Cython names them `__pyx_f_...`) and every
function of our C, wherever the linker put it. They are looked at in the modules as built.
"""

import importlib
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.house.disassembly import (
    disassemble,
    plain_name,
    references,
    ways_to_memory,
    ways_to_the_interpreter,
)
from tests.house.functions import c_functions
from tests.house.tree import NATIVE

EVALUATOR = ("candidates", "decide", "earn", "evaluate", "redeem", "resolve")

CLEAN_LISTING = """
0000000000001000 <__pyx_f_9checklane_6decide_total>:
    1000:\tcall   1100 <add_shares.isra.0>
    1005:\tje     1000 <__pyx_f_9checklane_6decide_total+0x10>

0000000000001100 <add_shares.isra.0>:
    1100:\tcall   900 <memcpy@plt>

0000000000001200 <PyInit_decide>:
    1200:\tcall   910 <PyModuleDef_Init@plt>
"""


def built_module(name: str) -> Path:
    """Return the file of a compiled module of the package."""
    return Path(str(importlib.import_module(f"checklane.{name}").__file__))


def cython_roots(graph: dict[str, set[str]]) -> set[str]:
    """Return the functions that people wrote in a Cython module."""
    return {name for name in graph if name.startswith("__pyx_f_9checklane_")}


def c_names() -> set[str]:
    """Return the names of all functions that our C defines."""
    files = (*NATIVE.glob("*.c"), *NATIVE.glob("*.h"))
    return {function.name for path in files for function in c_functions(path.read_text())}


@pytest.mark.parametrize("module", EVALUATOR)
def test_the_evaluator_does_not_touch_the_interpreter(module):
    graph = disassemble(built_module(module))
    roots = cython_roots(graph)
    assert roots, f"{module}: no function found; was the module stripped?"
    assert ways_to_the_interpreter(graph, roots) == []


@pytest.mark.parametrize("module", EVALUATOR)
def test_the_evaluator_gets_no_memory(module):
    graph = disassemble(built_module(module))
    assert ways_to_memory(graph, cython_roots(graph)) == []


@pytest.mark.parametrize("name", ["malloc", "calloc", "realloc", "free", "mmap64"])
def test_the_check_sees_memory_behind_a_helper(name):
    listing = CLEAN_LISTING.replace("<memcpy@plt>", f"<{name}@plt>")
    graph = references(listing)
    (way,) = ways_to_memory(graph, cython_roots(graph))
    assert way.endswith(f"add_shares.isra.0 -> {name}")


def test_our_c_does_not_touch_the_interpreter():
    graph = disassemble(built_module("_engine"))
    names = c_names()
    roots = {symbol for symbol in graph if plain_name(symbol) in names}
    assert "engine_call" in {plain_name(root) for root in roots}
    assert ways_to_the_interpreter(graph, roots) == []


def test_the_check_lets_a_clean_listing_pass():
    graph = references(CLEAN_LISTING)
    assert cython_roots(graph) == {"__pyx_f_9checklane_6decide_total"}
    assert ways_to_the_interpreter(graph, cython_roots(graph)) == []


@pytest.mark.parametrize(
    "touch",
    [
        "call   920 <PyErr_SetString@plt>",
        "jmp    930 <PyGILState_Ensure@plt>",
        "mov    0x2fd1(%rip),%rax        # 4000 <PyExc_ValueError@Base>",
        "mov    0x2fd1(%rip),%rax        # 4008 <_Py_NoneStruct@@Base>",
        "call   1300 <__Pyx_WriteUnraisable.constprop.0>",
    ],
)
def test_the_check_sees_the_interpreter_behind_a_helper(touch):
    listing = CLEAN_LISTING.replace("call   900 <memcpy@plt>", touch)
    graph = references(listing)
    (way,) = ways_to_the_interpreter(graph, cython_roots(graph))
    assert "add_shares.isra.0 -> " in way


def test_the_check_sees_a_raise_in_a_real_object(tmp_path):
    source = tmp_path / "canary.c"
    source.write_text(
        "#include <Python.h>\n"
        "int raise_late(int n);\n"
        "int raise_late(int n) { if (n) PyErr_SetNone(PyExc_ValueError); return n; }\n"
        "int stays_away(int n);\n"
        "int stays_away(int n) { return n + 1; }\n"
    )
    module = tmp_path / "canary.so"
    include = sysconfig.get_path("include")
    compiler = shutil.which("cc")
    assert compiler is not None
    command = [compiler, "-O2", "-fPIC", "-shared", f"-I{include}", str(source), "-o", str(module)]
    subprocess.run(command, check=True)
    graph = disassemble(module)
    assert ways_to_the_interpreter(graph, {"raise_late"}) != []
    assert ways_to_the_interpreter(graph, {"stays_away"}) == []
