"""The ids of purses by their numbers, which stand in lots for good."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from checklane import _layout
from checklane.tables.files import read_records, read_snapshot

__all__ = ["purse_names"]


def purse_names(programs: Iterable[Path]) -> dict[int, str]:
    """Return the ids of purses by number.

    Parameters
    ----------
    programs : iterable of Path
        Program snapshots; where two name a number, the later one counts.
    """
    names = {}
    for path in programs:
        values = read_snapshot(path)
        texts = read_records(values, "strings", np.dtype("u1")).tobytes()
        for number, purse in enumerate(read_records(values, "purses", _layout.PURSE), 1):
            begin, length = int(purse["id_text"]), int(purse["id_length"])
            if length:
                names[number] = texts[begin : begin + length].decode()
    return names
