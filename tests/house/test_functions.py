"""Functions have at most 70 lines; only the door has functions that Python can call."""

import re

import pytest

from tests.house.functions import Function, c_functions, cython_functions, python_functions
from tests.house.tree import LONG_FUNCTIONS, NATIVE, hand_written, name_of

LINES_MAX = 70
DOOR = "_engine.pyx"

READERS = {
    ".py": python_functions,
    ".pyx": cython_functions,
    ".pxd": cython_functions,
    ".c": c_functions,
    ".h": c_functions,
}

PYTHON_IN_CYTHON = re.compile(r"^\s*(?:def|cpdef|class|cdef class)\b.*", re.MULTILINE)


def all_functions() -> list[tuple[str, Function]]:
    """Return every hand-written function with its name in the table of exceptions."""
    return [
        (f"{name_of(path)}::{function.name}", function)
        for suffix, read in READERS.items()
        for path in hand_written(suffix)
        for function in read(path.read_text())
    ]


def python_doors(source: str) -> list[str]:
    """Return the lines of Cython source that make something Python can see."""
    return [line.strip() for line in PYTHON_IN_CYTHON.findall(source)]


def unsafe_signatures(source: str) -> list[str]:
    """Return the functions that could raise, or that need the interpreter's lock."""
    return [
        function.name
        for function in cython_functions(source)
        if not re.search(r"\)\s*noexcept\s+nogil\s*:$", function.signature)
    ]


def test_functions_are_short():
    faults = [
        f"{name} has {function.line_count} lines"
        for name, function in all_functions()
        if function.line_count > LINES_MAX and name not in LONG_FUNCTIONS
    ]
    assert faults == []


def test_exceptions_are_still_needed_and_have_a_reason():
    long = {name for name, function in all_functions() if function.line_count > LINES_MAX}
    assert sorted(set(LONG_FUNCTIONS) - long) == []
    assert [name for name, reason in LONG_FUNCTIONS.items() if len(reason.split()) < 4] == []


def test_the_evaluator_is_there():
    names = {path.stem for path in NATIVE.glob("*.pyx")}
    assert names >= {"_engine", "candidates", "decide", "earn", "evaluate", "redeem", "resolve"}


def test_only_the_door_opens_to_python():
    faults = {
        name_of(path): python_doors(path.read_text())
        for path in NATIVE.glob("*.p[yx][xd]")
        if path.name != DOOR and python_doors(path.read_text())
    }
    assert faults == {}


def test_the_evaluator_neither_raises_nor_locks():
    faults = {
        name_of(path): unsafe_signatures(path.read_text())
        for path in NATIVE.glob("*.pyx")
        if path.name != DOOR and unsafe_signatures(path.read_text())
    }
    assert faults == {}


def test_our_c_knows_no_python():
    faults = [
        name_of(path)
        for path in (*NATIVE.glob("*.c"), *NATIVE.glob("*.h"))
        if re.search(r"#\s*include\s*[<\"]Python\.h", path.read_text())
    ]
    assert faults == []


@pytest.mark.parametrize("body_lines", [69, 70])
def test_the_check_counts_python_lines(body_lines):
    body = "\n".join(["    x = 1"] * body_lines)
    (function,) = python_functions(f'def f():\n    """Words.\n\n    More.\n    """\n{body}\n')
    assert function.line_count == body_lines + 1


def test_the_check_counts_c_lines():
    source = (
        "#define LOOP(x) do { x; } while (0)\n"
        "/* { a brace in a comment */\n"
        "struct pair { int a; int b; };\n"
        "static const int TABLE[] = {1, 2};\n"
        "int declared(int a);\n"
        "static int\nadd(const char *text,\n    int b)\n{\n"
        "    if (b) { return '{'; }\n"
        '    return text == "}}" ? 1 : 2;\n'
        "}\n"
        "__attribute__((noinline)) void next(void) {\n}\n"
    )
    found = [(f.name, f.first_line, f.line_count) for f in c_functions(source)]
    assert found == [("add", 6, 7), ("next", 13, 2)]


def test_the_check_counts_cython_lines():
    source = (
        'cdef extern from "layout.h":\n'
        "    ctypedef struct run_t:\n"
        "        long count\n"
        "    int declared(int a) nogil\n"
        "cdef int TABLE[4]\n"
        "cdef status_t find(\n"
        "    const run_t *runs,  # borrowed (for the call\n"
        ") noexcept nogil:\n"
        "    cdef int i = 0\n"
        "\n"
        "    return twice(i)\n"
        "\n"
        "# A word on the next one.\n"
        "cdef inline long twice(long n) noexcept nogil:\n"
        "    return 2 * n\n"
    )
    found = [(f.name, f.first_line, f.line_count) for f in cython_functions(source)]
    assert found == [("find", 6, 6), ("twice", 14, 2)]
    assert unsafe_signatures(source) == []


@pytest.mark.parametrize(
    "source",
    [
        "cdef void f() nogil:\n    pass\n",
        "cdef int f(int a) noexcept:\n    return a\n",
        "cdef int f(\n    int a,\n) except -1 nogil:\n    return a\n",
    ],
)
def test_the_check_sees_a_function_that_may_raise_or_lock(source):
    assert unsafe_signatures(source) == ["f"]


@pytest.mark.parametrize(
    "source", ["def f():\n    pass", "cpdef int f():\n    return 1", "cdef class Lane:\n    pass"]
)
def test_the_check_sees_a_second_door(source):
    assert python_doors(source) != []
