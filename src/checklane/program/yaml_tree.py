"""YAML read safely into plain values that remember their place.

Only scalars, lists and mappings come out: no tags, no objects, no numbers that lose digits (a
number with decimals stays the text that was written). The reader works on parser events, so size,
depth, duplicate keys and the growth by aliases are bounded while it reads.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from checklane.program.problems import Problem, Problems

#: One file. 100,000 offers of 500 bytes are 50 MB.
FILE_BYTES_MAX = 64 * 1024 * 1024
#: The deepest honest selector stands about 12 deep.
DEPTH_MAX = 32
#: What aliases may add to one file. A "billion laughs" file is past it at its fifth line.
ALIASED_NODES_MAX = 100_000

INTEGER = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")
CONSTANTS: dict[str, Any] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}

Path_ = tuple[int | str, ...]


@dataclass(slots=True)
class Node:
    """A place in a file and, for lists and mappings, the places in it.

    Attributes
    ----------
    line, column : int
        From 1.
    value : Any
        None, bool, int, str, list or dict.
    children : list of Node, dict of str to Node, or None
    keys : dict of str to (line, column), or None
        Where the keys of a mapping stand.
    size : int
        Nodes below, aliases counted in full.
    """

    line: int
    column: int
    value: Any
    children: Any = None
    keys: dict[str, tuple[int, int]] | None = None
    size: int = 1

    def place(self, path: Path_, *, at_key: bool = False) -> tuple[int, int]:
        """Return line and column of what `path` leads to, or of the last part that is there.

        Parameters
        ----------
        path : tuple of int and str
            List indices and mapping keys.
        at_key : bool
            Where the last key stands, not its value.
        """
        node = self
        for depth, part in enumerate(path):
            children = node.children
            if isinstance(children, dict) and part in children:
                if at_key and depth == len(path) - 1 and node.keys is not None:
                    return node.keys[str(part)]
                node = children[part]
            elif isinstance(children, list) and isinstance(part, int) and part < len(children):
                node = children[part]
            else:
                break
        return node.line, node.column


@dataclass(slots=True)
class Frame:
    """A list or mapping that is being read."""

    node: Node
    anchor: str | None
    key: str | None = None


class TreeReader:
    """Builds the tree of one file from its events."""

    def __init__(self, file: str, problems: Problems) -> None:
        self.file = file
        self.problems = problems
        self.anchors: dict[str, Node] = {}
        self.stack: list[Frame] = []
        self.root: Node | None = None
        self.aliased = 0
        self.documents = 0

    def refuse(self, line: int, column: int, what: str, mend: str) -> None:
        """Keep a problem of this file."""
        self.problems.add(Problem(self.file, line, column, what, mend))

    def read(self, text: str) -> Node | None:
        """Return the tree, or None when reading on would be wrong or dangerous."""
        try:
            for event in YAML(typ="safe", pure=True).parse(text):
                if not self.take(event):
                    return None
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            what = f"not YAML: {error.problem or error.context}"
            self.refuse(line, column, what, "check indentation, colons and quotes here")
            return None
        except YAMLError as error:
            what = f"not YAML: {str(error).splitlines()[0]}"
            self.refuse(0, 0, what, "save the file as plain UTF-8 text")
            return None
        if self.root is None:
            self.refuse(1, 1, "the file is empty", "write it, or remove the file")
        return self.root

    def take(self, event: Any) -> bool:
        """Take one event; False ends the reading."""
        line, column = event.start_mark.line + 1, event.start_mark.column + 1
        if isinstance(event, DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self.refuse(line, column, "a second document begins", "keep one to a file")
                return False
        elif isinstance(event, AliasEvent):
            return self.take_alias(event, line, column)
        elif isinstance(event, ScalarEvent):
            self.refuse_tag(event, line, column)
            plain = event.style in (None, "")
            node = Node(line, column, scalar_value(event.value) if plain else event.value)
            self.finish(node, event.anchor, event.value)
        elif isinstance(event, MappingStartEvent | SequenceStartEvent):
            return self.open(event, line, column)
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            frame = self.stack.pop()
            self.finish(frame.node, frame.anchor, None)
        return True

    def open(self, event: Any, line: int, column: int) -> bool:
        """Begin a list or mapping."""
        self.refuse_tag(event, line, column)
        if len(self.stack) >= DEPTH_MAX:
            self.refuse(line, column, f"nested more than {DEPTH_MAX} deep", "flatten it")
            return False
        if isinstance(event, MappingStartEvent):
            node = Node(line, column, {}, {}, {})
        else:
            node = Node(line, column, [], [])
        self.stack.append(Frame(node, event.anchor))
        return True

    def take_alias(self, event: Any, line: int, column: int) -> bool:
        """Put an anchored node here again, within the ceiling."""
        node = self.anchors.get(event.anchor)
        if node is None:
            mend = f"define &{event.anchor} before it is used, and not inside itself"
            self.refuse(line, column, f"unknown alias *{event.anchor}", mend)
            return False
        self.aliased += node.size
        if self.aliased > ALIASED_NODES_MAX:
            what = f"aliases repeat more than {ALIASED_NODES_MAX} values"
            self.refuse(line, column, what, "write fewer aliases, or split the file")
            return False
        self.finish(node, None, None)
        return True

    def refuse_tag(self, event: Any, line: int, column: int) -> None:
        """Refuse an explicit tag: the format has no use for one, an attacker has."""
        if event.tag is not None and event.tag != "!":
            self.refuse(line, column, f"a tag {event.tag} is not allowed", "remove the tag")

    def finish(self, node: Node, anchor: str | None, text: str | None) -> None:
        """Hang a complete node into what is being read; `text` is a scalar's own."""
        if anchor is not None:
            self.anchors[anchor] = node
        if not self.stack:
            self.root = node
            return
        frame = self.stack[-1]
        parent = frame.node
        if isinstance(parent.children, list):
            parent.children.append(node)
            parent.value.append(node.value)
        elif frame.key is None:
            self.take_key(frame, node, text)
            return
        else:
            parent.children[frame.key] = node
            parent.value[frame.key] = node.value
            frame.key = None
        parent.size += node.size

    def take_key(self, frame: Frame, node: Node, text: str | None) -> None:
        """Take the key of the next value of a mapping."""
        key = text if text is not None else str(node.value)
        assert frame.node.keys is not None
        if node.children is not None:
            self.refuse(node.line, node.column, "a key that is a list or mapping", "write a name")
        elif key == "<<":
            mend = "write the keys out, or use an alias for a whole value"
            self.refuse(node.line, node.column, "merge keys (<<) are not allowed", mend)
        elif key in frame.node.keys:
            first = frame.node.keys[key][0]
            what = f"the key '{key}' is here twice, first in line {first}"
            self.refuse(node.line, node.column, what, "keep one of the two")
        frame.key = key
        frame.node.keys.setdefault(key, (node.line, node.column))


def scalar_value(text: str) -> Any:
    """Return what an unquoted scalar means; a number with decimals or leading zeros stays text."""
    if text in CONSTANTS:
        return CONSTANTS[text]
    return int(text) if INTEGER.fullmatch(text) else text


def read_text(path: Path, file: str, problems: Problems) -> str | None:
    """Return the text of a file, or None with a problem: too large, gone, or not UTF-8."""
    try:
        size = path.stat().st_size
        if size > FILE_BYTES_MAX:
            what = f"the file has {size} bytes, more than {FILE_BYTES_MAX}"
            problems.add(Problem(file, 0, 0, what, "split it"))
            return None
        raw = path.read_bytes()
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
        problems.add(Problem(file, 0, 0, what, "check the name and the permissions"))
        return None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        what = f"byte {raw[error.start]:#04x} is not UTF-8"
        problems.add(Problem(file, line, column, what, "save the file as UTF-8"))
        return None


def read_tree(path: Path, file: str, problems: Problems) -> Node | None:
    """Read one YAML file.

    Parameters
    ----------
    path : Path
        The file.
    file : str
        Its name in problems.
    problems : Problems
        Takes what is wrong with it.

    Returns
    -------
    Node or None
        None when the file could not be read to its end.
    """
    text = read_text(path, file, problems)
    return None if text is None else TreeReader(file, problems).read(text)
