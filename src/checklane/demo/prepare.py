"""Makes a data directory from feeds and a program: builds the snapshots and activates them."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from checklane.demo.feeds import FeedFiles
from checklane.program import compile_within, load_vocabulary
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.snapshot.keys import create_keys
from checklane.snapshot.members import Built, MemberFeeds, build_members
from checklane.snapshot.store import activate, snapshot_directory
from checklane.tables.catalogue_tables import open_catalogue
from checklane.tables.files import snapshot_hash, write_snapshot

#: Called with what is done next.
Tell = Callable[[str], None]


@dataclass
class Prepared:
    """What was built.

    Attributes
    ----------
    counts : dict of str to int
        Records by what they are.
    rejected : collections.Counter
        Rejected rows of the feeds, by reason.
    """

    counts: dict[str, int] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)

    def note(self, built: Built) -> None:
        """Note one built snapshot."""
        self.counts |= built.counts
        for file, _, reason, rows in built.report.reasons():
            self.rejected[f"{file}: {reason}"] += rows


def prepare(feeds: FeedFiles, program: Path, data: Path, tell: Tell) -> Prepared:
    """Build the three snapshots and make them live for the next start.

    Parameters
    ----------
    feeds : FeedFiles
    program : Path
        The program's directory.
    data : Path
        The data directory; made when it is not there.
    tell : callable
        Called before each step.
    """
    data.mkdir(parents=True, exist_ok=True)
    keys = create_keys(data)
    directory = snapshot_directory(data)
    directory.mkdir(parents=True, exist_ok=True)
    prepared = Prepared()
    tell("building the catalogue snapshot")
    catalogue = build_catalogue(CatalogueFeeds([feeds.products], [feeds.stores]), directory)
    prepared.note(catalogue)
    tell("compiling the program")
    tables = compile_within(program, open_catalogue(catalogue.path))
    compiled = write_snapshot(directory, "program", tables)
    tell("building the members snapshot")
    member_feeds = MemberFeeds([feeds.members], [feeds.identifiers], [feeds.wallets])
    members = build_members(member_feeds, load_vocabulary(program), keys, directory)
    prepared.note(members)
    tell("activating the snapshots")
    for path in (compiled, members.path):
        kind, content_hash = snapshot_hash(path)
        activate(data, kind, content_hash, int(time.time()), keys)
    return prepared
