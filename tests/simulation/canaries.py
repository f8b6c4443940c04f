"""Small, wrong changes to the ledger: each breaks one promise, and the simulation must notice.

A canary is text to be found exactly once in one source file and the text to stand in its place. It
exists only in a copy that a test compiles.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Patch:
    """One replacement in one file of native/checklane."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Canary:
    """A promise, broken.

    Attributes
    ----------
    name : str
        What is wrong.
    patches : tuple of Patch
        All that it takes.
    seeds_max : int
        Seeds within which the simulation must fail.
    """

    name: str
    patches: tuple[Patch, ...]
    seeds_max: int = 200


def copy_with(canary: Canary, native: Path, copy: Path) -> None:
    """Copy the C of `native` to `copy`, with the canary in it.

    Raises
    ------
    ValueError
        A patch fits nowhere, or in more than one place: the source has moved on.
    """
    copy.mkdir()
    for path in [*native.glob("*.c"), *native.glob("*.h")]:
        text = path.read_text()
        for patch in canary.patches:
            if patch.file != path.name:
                continue
            if text.count(patch.old) != 1:
                raise ValueError(f"{canary.name}: {path.name} has {text.count(patch.old)} places")
            text = text.replace(patch.old, patch.new)
        (copy / path.name).write_text(text)


ONCE = """    if (status != STATUS_OK) return status;
    if (position != 0) {
        change->position = position;
        change->is_repeat = true;
        return STATUS_OK;
    }
    if (room != STATUS_OK) return room;
"""
ACCEPT = """\
    bind(ledger, &entry, FAMILY_RECEIPT, change->receipt, change->content, known.receipt);
    return accept_entry(ledger, change, &entry);
"""
ACCEPT_THEN_LOOK = """\
    bind(ledger, &entry, FAMILY_RECEIPT, change->receipt, change->content, known.receipt);
    status_t accepted = accept_entry(ledger, change, &entry);
    if (accepted != STATUS_OK) return accepted;
    if (looked != STATUS_OK) return looked;
    if (position != 0) {
        change->position = position;
        change->is_repeat = true;
    }
    return STATUS_OK;
"""
WRITE_ALL = """\
    int error = write_all(accounts, found, count, false, between, context, &is_stopped);
"""
COVERED = "    if (error == 0 && !is_stopped) error = write_covered(accounts);\n"
COVERED_FIRST = """\
    int error = write_covered(accounts);
    if (error == 0) error = write_all(accounts, found, count, false, between, context, &is_stopped);
"""
CHAINED = """        if (entry.header != NULL && entry.header->lsn == scan->next_lsn
            && entry.header->previous_crc == scan->previous_crc) {
"""
PUBLISH = """    if (ledger->group_entries > 0) sync_group(ledger);
    accounts_group_publish(ledger->accounts);
"""
PUBLISH_FIRST = """    accounts_group_publish(ledger->accounts);
    if (ledger->group_entries > 0) sync_group(ledger);
"""

CANARIES = (
    Canary(
        "sync skipped",
        (
            Patch(
                "journal.c",
                "    error = machine->sync(machine->context, journal->file);\n",
                "    error = 0;\n",
            ),
        ),
    ),
    Canary(
        "key checked after the append",
        (
            Patch(
                "ledger.c", ONCE, "    status_t looked = status;\n    if (room != 0) return room;\n"
            ),
            Patch("ledger.c", ACCEPT, ACCEPT_THEN_LOOK),
        ),
    ),
    Canary(
        "memtable record lost at a checkpoint",
        (
            Patch(
                "accounts_checkpoint.c",
                WRITE_ALL,
                WRITE_ALL.replace("count,", "count - (count > 9),"),
            ),
        ),
    ),
    # Three nets keep stale entries out, each on its own: zeros behind the cut, the first entry of a
    # generation, which moves all that follow, and the chain of checksums. None is left here.
    Canary(
        "stale valid entries beyond a cut tail",
        (
            Patch(
                "journal.c",
                "error == 0 && is_last) error = zero_tail(scan, file, segment->bytes);",
                "error == 0 && is_last && segment->bytes == 0)"
                " error = zero_tail(scan, file, segment->bytes);",
            ),
            Patch(
                "journal.c",
                CHAINED,
                "        if (entry.header != NULL && entry.header->lsn == scan->next_lsn) {\n",
            ),
            Patch(
                "journal.c",
                "    if (reader->is_chained && header->previous_crc != reader->previous_crc) {\n",
                "    if (reader->is_chained && header->lsn == 0) {\n",
            ),
            Patch(
                "journal.c",
                "    if (status == STATUS_OK) status = begin_generation(journal, fault);\n",
                "",
            ),
        ),
        seeds_max=4000,
    ),
    Canary(
        "covered LSN advanced first",
        (Patch("accounts_checkpoint.c", WRITE_ALL + COVERED, COVERED_FIRST),),
    ),
    Canary(
        "the tail is not rewritten after a failed sync",
        (
            Patch(
                "journal.c",
                "error = rewrite(scan, file, from, is_last ? scan->offset : segment->bytes);",
                "error = from > segment->bytes ? rewrite(scan, file, from, 0) : 0;",
            ),
        ),
        seeds_max=2000,
    ),
    Canary(
        "the accounts go on from a page that a failed sync lost",
        (
            Patch(
                "accounts_environment.c",
                "    if (error == 0) error = machine->write_at(machine->context, file, bytes, size,"
                " 0);\n",
                "",
            ),
        ),
        seeds_max=3000,
    ),
    Canary("readers see what is not synced", (Patch("ledger.c", PUBLISH, PUBLISH_FIRST),)),
    Canary(
        "a segment's name is not synced",
        (
            Patch(
                "journal.c",
                "    if (error == 0) error = machine->sync_directory(machine->context,"
                " journal->directory);\n",
                "",
            ),
        ),
    ),
    Canary(
        "the accounts are torn by a power cut",
        (
            Patch(
                "accounts_environment.c", "MDB_NOTLS | MDB_NOMETASYNC |", "MDB_NOTLS | MDB_NOSYNC |"
            ),
        ),
    ),
    Canary(
        "an entry's effect is applied twice by a replay",
        (
            Patch(
                "accounts_group.c",
                "        if (slot_record(slots[i])->head.applied_lsn >= lsn) seen |= 1ull << i;\n",
                "        if (lsn == 0) seen |= 1ull << i;\n",
            ),
        ),
    ),
    Canary(
        "a record that is in an older run is written to the newest",
        (
            Patch(
                "accounts_checkpoint.c",
                "    bool is_new = there.head->month == 0;\n",
                "    bool is_new = there.head != NULL;\n",
            ),
        ),
    ),
    Canary(
        "post time goes back with the clock",
        (
            Patch(
                "journal.c",
                "    if (now > journal->last_post_unix_ms) journal->last_post_unix_ms = now;\n"
                "    return journal->last_post_unix_ms;\n",
                "    return now;\n",
            ),
            Patch("journal.c", "    INVARIANT(post_unix_ms >= journal->last_post_unix_ms);\n", ""),
        ),
    ),
    Canary(
        "post time follows a clock that jumps ahead",
        (Patch("journal.c", "    if (now > latest) now = latest;\n", "    (void)latest;\n"),),
    ),
)
