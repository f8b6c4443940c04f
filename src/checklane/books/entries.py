"""One entry of the journal, taken apart.

The bytes are those of ``layout.h``: header, request, facts, movements, response, each padded to 16.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from checklane import _layout
from checklane.errors import refuse

__all__ = [
    "Sections",
    "original_of",
    "receipt_of",
    "sold_lines",
    "split_entry",
    "takes_goods_back",
]

SECTION_ALIGN_BYTES = 16
KEY_BYTES = 8

Records = npt.NDArray[Any]


class Sections(NamedTuple):
    """An entry taken apart; `header` is one record of ``_layout.ENTRY_HEADER``."""

    header: Any
    request: bytes
    facts: bytes
    movements: npt.NDArray[Any]
    response: bytes


def _padded(size_bytes: int) -> int:
    return -(-size_bytes // SECTION_ALIGN_BYTES) * SECTION_ALIGN_BYTES


def split_entry(entry: bytes) -> Sections:
    """Take an entry apart.

    Raises
    ------
    DamageError
        JOURNAL_DAMAGED when the sections do not fill the entry.
    """
    head_bytes = _layout.ENTRY_HEADER.itemsize
    if len(entry) < head_bytes:
        raise refuse("JOURNAL_DAMAGED", "an entry without a whole header")
    header = np.frombuffer(entry, dtype=_layout.ENTRY_HEADER, count=1)[0]
    movement_count = int(header["movement_count"])
    sizes = (
        head_bytes,
        int(header["request_bytes"]),
        int(header["facts_bytes"]),
        movement_count * _layout.MOVEMENT.itemsize,
        int(header["response_bytes"]),
    )
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + _padded(size))
    if int(header["length"]) != len(entry) or starts[-1] != len(entry):
        raise refuse("JOURNAL_DAMAGED", f"lsn {header['lsn']}")
    parts = [entry[at : at + size] for at, size in zip(starts, sizes, strict=False)]
    movements = np.frombuffer(parts[3], dtype=_layout.MOVEMENT, count=movement_count)
    return Sections(header, parts[1], parts[2], movements, parts[4])


def sold_lines(sections: Sections) -> Records:
    """Return the lines of a sale as the engine keeps them for returns: ``_layout.SOLD_LINE``."""
    head = np.frombuffer(sections.facts, dtype=_layout.FACTS_HEADER, count=1)[0]
    cells = int(head["group_cells"]) + int(head["member_cells"])
    keys = int(head["wallet_count"]) + int(head["stopped_count"])
    at = _layout.FACTS_HEADER.itemsize + 2 * _layout.RECORD_HEAD.itemsize
    at += cells * _layout.CELL.itemsize + keys * KEY_BYTES
    return np.frombuffer(sections.facts, _layout.SOLD_LINE, int(head["sold_count"]), at)


def receipt_of(sections: Sections) -> int:
    """Return the 128-bit name under which a sale's entry binds its receipt; 0: none."""
    return _bound(sections.movements, (_layout.CELL_ENTRY,))


def takes_goods_back(sections: Sections) -> bool:
    """Tell whether goods of an earlier sale came back in the basket of a sale's entry."""
    if len(sections.facts) < _layout.FACTS_HEADER.itemsize:
        return False
    head = np.frombuffer(sections.facts, dtype=_layout.FACTS_HEADER, count=1)[0]
    return bool(int(head["flags"]) & _layout.FACTS_FLAG_EXCHANGE)


def original_of(sections: Sections) -> int:
    """Return the name of the sale that an entry undoes in whole or part, as `receipt_of` has it.

    A void by key of a sale that was never seen has a name that no sale has.
    """
    return _bound(sections.movements, (_layout.CELL_VOIDED, _layout.CELL_RETURNED))


def _bound(movements: Records, kinds: tuple[int, ...]) -> int:
    """Return the key of the first receipt in which a cell of these kinds was changed."""
    families = movements["record"]["family"]
    changed = movements["cell"]["kind"]
    for at in np.flatnonzero(families == _layout.FAMILY_RECEIPT).tolist():
        if int(changed[at]) in kinds:
            key = movements[at]["record"]
            return int(key["hi"]) << 64 | int(key["lo"])
    return 0
