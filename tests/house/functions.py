"""Finds the functions of a source file and their lengths, in Python, C and Cython."""

import ast
import re
from dataclasses import dataclass

#: What may stand before the parenthesis of a C function's body without being its name.
C_NOT_A_NAME = frozenset({"do", "else", "for", "if", "return", "sizeof", "switch", "while"})

CYTHON_FUNCTION = re.compile(
    r"^(?P<indent>\s*)(?P<word>def|cpdef|cdef)\s+(?!extern\b|class\b|struct\b|enum\b|union\b)"
    r"(?P<before>[^()=:#]*?)(?P<name>\w+)\s*\("
)
C_TRIVIA = re.compile(
    r"""/\*.*?\*/ | //[^\n]* | "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*' """, re.DOTALL | re.VERBOSE
)
C_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", re.MULTILINE)
C_SIGNATURE_NAME = re.compile(r"(\w+)\s*\(")


@dataclass(frozen=True)
class Function:
    """One function of a source file.

    Attributes
    ----------
    name : str
        Its own name, without class or module.
    first_line : int
        Line of its signature, from 1.
    line_count : int
        Lines from the signature to the end; a Python docstring is the contract and not counted.
    signature : str
        Everything up to the body, on one line.
    """

    name: str
    first_line: int
    line_count: int
    signature: str


def python_functions(source: str) -> list[Function]:
    """Return the functions and methods of Python source."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        line_count = (node.end_lineno or node.lineno) - node.lineno + 1
        if ast.get_docstring(node, clean=False) is not None:
            docstring = node.body[0]
            line_count -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
        found.append(Function(node.name, node.lineno, line_count, f"def {node.name}"))
    return found


def cython_functions(source: str) -> list[Function]:
    """Return the functions of Cython source, by indentation: their bodies, not declarations."""
    lines = source.splitlines()
    found = []
    for index, line in enumerate(lines):
        match = CYTHON_FUNCTION.match(line)
        if match is None:
            continue
        last_of_signature = index
        signature = strip_comment(line)
        while signature.count("(") > signature.count(")"):
            last_of_signature += 1
            signature += " " + strip_comment(lines[last_of_signature]).strip()
        if not signature.rstrip().endswith(":"):
            continue
        indent = len(match["indent"])
        last = last_of_signature
        for number in range(last_of_signature + 1, len(lines)):
            text = lines[number]
            if text.strip() and len(text) - len(text.lstrip()) <= indent:
                break
            if text.strip():
                last = number
        found.append(Function(match["name"], index + 1, last - index + 1, signature.strip()))
    return found


def strip_comment(line: str) -> str:
    """Return a line of a signature without its comment."""
    return line.split("#")[0].rstrip()


def blank(match: re.Match[str]) -> str:
    """Return as many spaces and line ends as the match had, so that line numbers stay."""
    return re.sub(r"[^\n]", " ", match[0])


def c_functions(source: str) -> list[Function]:
    """Return the functions that C source defines, by their braces at the outermost level."""
    text = C_DIRECTIVE.sub(blank, C_TRIVIA.sub(blank, source))
    found = []
    depth = 0
    outer_start = 0
    opened: tuple[str, int, str] | None = None
    for position, character in enumerate(text):
        if character == "{":
            if depth == 0:
                opened = c_signature(text, outer_start, position)
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                if opened is not None:
                    name, first_line, signature = opened
                    line_count = text.count("\n", 0, position) + 2 - first_line
                    found.append(Function(name, first_line, line_count, signature))
                outer_start = position + 1
        elif character == ";" and depth == 0:
            outer_start = position + 1
    return found


def c_signature(text: str, start: int, end: int) -> tuple[str, int, str] | None:
    """Return name, first line and signature of what stands before a brace, if a function does."""
    signature = text[start:end]
    if not signature.rstrip().endswith(")") or "=" in signature:
        return None
    names = [name for name in C_SIGNATURE_NAME.findall(signature) if name != "__attribute__"]
    if not names or names[0] in C_NOT_A_NAME:
        return None
    first = start + len(signature) - len(signature.lstrip())
    return names[0], text.count("\n", 0, first) + 1, " ".join(signature.split())
