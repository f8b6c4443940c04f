"""The files that the house checks look at: what people wrote, never what a build left."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native" / "checklane"
PACKAGE = ROOT / "src" / "checklane"

HAND_WRITTEN_FOLDERS = (".ci", "bench", "native", "proto", "src", "tests")
GENERATED_NAMES = ("_layout.py", "_pb2.py", "_pb2.pyi", "_pb2_grpc.py")

#: Functions that may be longer than the house allows, as "path::name", each with its reason.
LONG_FUNCTIONS: dict[str, str] = {}


def hand_written(*suffixes: str) -> Iterator[Path]:
    """Yield the hand-written files whose names end in one of `suffixes`, in a fixed order.

    Parameters
    ----------
    *suffixes : str
        Endings with their dot, such as ``".py"``.

    Yields
    ------
    Path
        Absolute paths, sorted within each folder.
    """
    for path in sorted(ROOT.iterdir()):
        if path.is_file() and path.suffix in suffixes:
            yield path
    for folder in HAND_WRITTEN_FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            is_generated = path.name.endswith(GENERATED_NAMES)
            if path.suffix in suffixes and path.is_file() and not is_generated:
                yield path


def name_of(path: Path) -> str:
    """Return the path as the reader of a failure wants it: from the root of the tree."""
    return path.relative_to(ROOT).as_posix()
