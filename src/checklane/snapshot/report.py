"""The report of rejected rows: every row of a feed is either in the snapshot or in here."""

import csv
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from checklane.errors import ChecklaneError

#: A million rejected rows are a wrong file, not a dirty one; 10^6 * about 200 B stay in memory.
REJECTED_MAX = 1_000_000


class FeedError(ChecklaneError):
    """A feed as a whole cannot be read or used; the message says which, why and what to do."""

    exit_code = 65

    def __init__(self, message: str) -> None:
        super().__init__("FEED_INVALID", message, "", 3)


class Rejected(NamedTuple):
    """One row that is not in the snapshot, or a warning about a whole column.

    Attributes
    ----------
    file : str
        Name of the feed file.
    row : int
        Row of the file as an editor shows it: in CSV the head is row 1; blank lines count.
    column : str
        Column at fault; empty when the whole row is.
    reason, remedy : str
        What is wrong and how to mend it. They never repeat a member's data.
    """

    file: str
    row: int
    column: str
    reason: str
    remedy: str


class Report:
    """Counts the rows of a build and keeps what was rejected.

    Attributes
    ----------
    rejected : list of Rejected
    read : collections.Counter
        Rows read, by feed file.
    ignored : dict of str to list of str
        Columns of a file that no table has room for.
    """

    def __init__(self) -> None:
        self.rejected: list[Rejected] = []
        self.read: Counter[str] = Counter()
        self.ignored: dict[str, list[str]] = {}
        self._order: dict[str, int] = {}

    def begin(self, file: str, ignored: list[str]) -> None:
        """Note a feed file, in the order of reading, and its columns that are not used."""
        self._order.setdefault(file, len(self._order))
        if ignored:
            self.ignored[file] = ignored

    def reject(self, file: str, row: int, column: str, reason: str, remedy: str) -> None:
        """Note one rejected row.

        Raises
        ------
        FeedError
            More than `REJECTED_MAX` rows are rejected: the feed is a wrong file.
        """
        self.rejected.append(Rejected(file, row, column, reason, remedy))
        if len(self.rejected) > REJECTED_MAX:
            raise FeedError(
                f"more than {REJECTED_MAX:,} rows are rejected, the last in {file} row {row}"
                f" ({column}: {reason}): is this the right file?"
            )

    def reasons(self) -> list[tuple[str, str, str, int]]:
        """Return (file, column, reason, rows) for each kind of fault, most frequent first.

        Reasons that name another row are counted together.
        """
        counts = Counter((r.file, r.column, r.reason.split(": ")[0]) for r in self.rejected)
        return [(*fault, rows) for fault, rows in counts.most_common()]

    def write(self, path: Path) -> None:
        """Write the rejected rows as CSV, in the order of files and rows; no file when none."""
        if not self.rejected:
            path.unlink(missing_ok=True)
            return
        order = self._order
        rows = sorted(self.rejected, key=lambda r: (order.get(r.file, len(order)), r.row, r.column))
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(Rejected._fields)
            writer.writerows(rows)
