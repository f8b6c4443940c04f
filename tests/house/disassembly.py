"""Reads what `objdump` says of a built module: which function reaches which names."""

import re
import subprocess
from pathlib import Path

FUNCTION = re.compile(r"^[0-9a-f]+ <(?P<name>[^>]+)>:$")
# A call or jump names its target in angle brackets; a load through the global offset table names
# it in a comment. Both are what the function touches.
REFERENCE = re.compile(r"<(?P<name>[A-Za-z_.$][\w.$]*)(?:@[\w.@]+)?(?:[+-]0x[0-9a-f]+)?>")
# Nameless data is told as an offset from whatever name stands before it: that touches nothing.
DATA_REFERENCE = re.compile(r"<(?P<name>[A-Za-z_.$][\w.$]*)(?:@[\w.@]+)?>")

#: Names of the interpreter, whether it exports them or Cython wrote them into the module.
INTERPRETER = re.compile(r"^_?Py[A-Z]|^_Py_|^__Pyx_")
#: What gets memory or gives it back.
MEMORY = re.compile(r"^_*(malloc|calloc|realloc|reallocarray|free|aligned_alloc|mmap(64)?)$")


def references(listing: str) -> dict[str, set[str]]:
    """Return, for each function of a listing, the names that it calls or touches.

    Parameters
    ----------
    listing : str
        The output of ``objdump --disassemble --no-show-raw-insn``.

    Returns
    -------
    dict of str to set of str
        Without references of a function to itself, and without ``@plt`` and version endings.
    """
    found: dict[str, set[str]] = {}
    current = ""
    for line in listing.splitlines():
        head = FUNCTION.match(line)
        if head is not None:
            current = head["name"]
            found.setdefault(current, set())
        elif current:
            code, _, comment = line.partition("#")
            found[current].update(match["name"] for match in REFERENCE.finditer(code))
            found[current].update(match["name"] for match in DATA_REFERENCE.finditer(comment))
            found[current].discard(current)
    return found


def disassemble(module: Path) -> dict[str, set[str]]:
    """Return the references of every function of a compiled module."""
    command = ["objdump", "--disassemble", "--no-show-raw-insn", "--wide", str(module)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return references(done.stdout)


def plain_name(symbol: str) -> str:
    """Return a function's own name, without what the compiler adds to its clones and parts."""
    return symbol.split(".")[0]


def ways_to(names: re.Pattern[str], graph: dict[str, set[str]], roots: set[str]) -> list[str]:
    """Return one line for each of some names that a root reaches, with the way there.

    Parameters
    ----------
    names : re.Pattern
        INTERPRETER or MEMORY.
    graph : dict of str to set of str
        What each function of the module touches.
    roots : set of str
        The functions that must not reach them.
    """
    ways = []
    for root in sorted(roots):
        seen = {root}
        queue = [(root, root)]
        while queue:
            name, way = queue.pop()
            for other in sorted(graph.get(name, ())):
                if other in seen:
                    continue
                seen.add(other)
                if names.match(other):
                    ways.append(f"{way} -> {other}")
                else:
                    queue.append((other, f"{way} -> {other}"))
    return ways


def ways_to_the_interpreter(graph: dict[str, set[str]], roots: set[str]) -> list[str]:
    """Return how roots reach the interpreter."""
    return ways_to(INTERPRETER, graph, roots)


def ways_to_memory(graph: dict[str, set[str]], roots: set[str]) -> list[str]:
    """Return how roots reach what gets memory."""
    return ways_to(MEMORY, graph, roots)
