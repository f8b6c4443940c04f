"""The members snapshot: feeds of members, identifiers and wallets into probed tables.

A member is known by a keyed hash of its id; the id itself and the values of identifiers are in no
table. When two rows say the same, the first wins (in the order of files and rows) and the later one
is rejected with the first one's row. The order of rows has no other influence: the same rows in
another order give the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from checklane import _layout
from checklane._layout import ID_BYTES_MAX, SEGMENTS_MAX, TIERS_MAX, WALLET_MAX
from checklane.snapshot.feeds import Advance, Chunk, Feed, Place, places, read_feed
from checklane.snapshot.identifiers import IDENTIFIER_KINDS, birthday, normalise
from checklane.snapshot.keys import Keys
from checklane.snapshot.report import FeedError, Report
from checklane.tables.files import write_snapshot
from checklane.tables.hashing import first_words, hash_texts, key_check, name_key, name_keys
from checklane.tables.open_addressing import IntArray, Table, UintArray, mix64, open_addressed

MEMBERS = Feed(
    "members",
    ("member_id",),
    (
        "group_id",
        "tier",
        "segments",
        "consent",
        "staff",
        "business",
        "birth_date",
        "home_store",
        "referrer",
    ),
)
IDENTIFIERS = Feed("identifiers", ("member_id", "kind", "value"))
WALLETS = Feed("wallets", ("member_id", "offer_id"))

Records = npt.NDArray[Any]
MASK_32 = 0xFFFFFFFF


class Vocabulary(Protocol):
    """The names that a program declares, with their numbers."""

    @property
    def tiers(self) -> Mapping[str, int]:
        """Number of each tier, from 0."""

    @property
    def segments(self) -> Mapping[str, int]:
        """Number of each segment, from 0."""


class MemberFeeds(NamedTuple):
    """The files of a members snapshot, each list in the order in which the first row wins."""

    members: Sequence[Path]
    identifiers: Sequence[Path] = ()
    wallets: Sequence[Path] = ()


class AsOf(NamedTuple):
    """What the feeds cover, so that the engine knows which later changes it may forget.

    Attributes
    ----------
    lsn : int
        Last journal position that the feeds saw; 0 when they do not say.
    unix_ms : int
        The time at which they were drawn; 0 when they do not say.
    """

    lsn: int = 0
    unix_ms: int = 0


class Built(NamedTuple):
    """A built snapshot.

    Attributes
    ----------
    path : Path
    counts : dict of str to int
        Records by table.
    report : Report
        What was read and what was rejected; written beside the snapshot.
    """

    path: Path
    counts: dict[str, int]
    report: Report


@dataclass
class _Found:
    """Members that were read: sorted by number, with both words of their hashes.

    `referrers` are the numbers of who referred them; 0: nobody.
    """

    numbers: UintArray
    high: UintArray
    records: Records
    referrers: UintArray

    def find(self, hashes: UintArray) -> IntArray:
        """Return the index of each hashed member id, or -1."""
        if not len(self.numbers):
            return np.full(len(hashes), -1, dtype=np.int64)
        wanted = first_words(hashes)
        at = np.minimum(np.searchsorted(self.numbers, wanted), len(self.numbers) - 1)
        same = (self.numbers[at] == wanted) & (self.high[at] == hashes[:, 0])
        return np.where(same, at.astype(np.int64), -1)


def build_members(
    feeds: MemberFeeds,
    vocabulary: Vocabulary,
    keys: Keys,
    directory: Path,
    *,
    as_of: AsOf = AsOf(),  # noqa: B008 - an immutable default
    advance: Advance | None = None,
) -> Built:
    """Build and write a members snapshot.

    Parameters
    ----------
    feeds : MemberFeeds
    vocabulary : Vocabulary
        Tiers and segments of the program.
    keys : Keys
        Of the data directory that will serve the snapshot.
    directory : Path
        Where the snapshot and the report of rejected rows go.
    as_of : AsOf, optional
        What the feeds cover.
    advance : callable, optional
        Called with the bytes of feed files that were read since the last call.

    Returns
    -------
    Built

    Raises
    ------
    FeedError
        A file cannot be read, too many rows are rejected, or two ids hash to one number.
    """
    report = Report()
    found = _read_members(feeds.members, vocabulary, keys, report, advance)
    identities = _read_identities(feeds.identifiers, found, keys, report, advance)
    wallet = _read_wallets(feeds.wallets, found, keys, report, advance)
    info = np.zeros(1, dtype=_layout.SNAPSHOT_INFO)
    info["as_of_lsn"] = as_of.lsn
    info["as_of_unix_ms"] = as_of.unix_ms
    info["key_check"] = key_check(keys.identity)
    info["format"] = _layout.SNAPSHOT_FORMAT
    info["counts"][0, :3] = (len(found.numbers), identities.count, len(wallet))
    tables: dict[str, Table | Records | bytes] = {
        "identity": identities,
        "members": open_addressed(found.records, mix64(found.numbers)),
        "wallet": wallet,
        "info": info,
    }
    if found.referrers.any():
        tables["referrers"] = _referrals(found)
    path = write_snapshot(directory, "members", tables)
    report.write(path.with_suffix(".rejected.csv"))
    counts = {
        "members": len(found.numbers),
        "identifiers": identities.count,
        "wallet offers": len(wallet),
    }
    return Built(path, counts, report)


def _read_members(
    paths: Sequence[Path],
    vocabulary: Vocabulary,
    keys: Keys,
    report: Report,
    advance: Advance | None,
) -> _Found:
    """Read the members feed; the first row of an id wins."""
    chunks, hashes, groups, records, referrers = [], [], [], [], []
    segment_words: dict[str, tuple[int, int] | str] = {}
    birthdays: dict[str, tuple[int, int] | None] = {}
    for chunk in read_feed(MEMBERS, paths, report, advance):
        full = _member_records(chunk, vocabulary, segment_words, birthdays)
        chunks.append(chunk)
        records.append(full[chunk.keep])
        hashes.append(hash_texts(keys.identity, [f"member:{i}" for i in chunk.kept("member_id")]))
        groups.append(_group_hashes(keys, chunk.kept("group_id")))
        referrers.append(_referrer_numbers(keys, chunk.kept("referrer")))
        chunk.columns = {}
    place = places(chunks, paths)
    none = np.zeros((0, 2), dtype=np.uint64)
    hashed = np.concatenate([none, *hashes])
    numbers = first_words(hashed)
    order = np.argsort(numbers, kind="stable")
    first = first_of_equal(numbers[order])
    later = np.flatnonzero(first != np.arange(len(order)))
    for at in later.tolist():
        index, winner = int(order[at]), int(order[first[at]])
        if hashed[index, 0] != hashed[winner, 0]:
            raise _collision(place, index, winner, "member ids")
        reason = f"member_id was given before: {place.tell(winner)}"
        place.reject(report, index, "member_id", reason, "give each member one row")
    kept = np.delete(order, later)
    record = np.concatenate([np.zeros(0, dtype=_layout.MEMBER_RECORD), *records])[kept]
    grouped = np.concatenate([none, *groups])[kept]
    record["member"] = numbers[kept]
    record["account_group"] = _group_numbers(grouped, numbers[kept])
    referred = np.concatenate([np.zeros(0, dtype=np.uint64), *referrers])[kept]
    return _Found(numbers[kept], hashed[kept, 0], record, referred)


def _collision(place: Place, index: int, winner: int, what: str) -> FeedError:
    return FeedError(
        f"two {what} hash to one number ({place.tell(winner)} and {place.tell(index)}):"
        " rename one of them; the snapshot was not built"
    )


def first_of_equal(ordered: UintArray) -> IntArray:
    """Return for each of some sorted numbers the index of the first that equals it."""
    at = np.arange(len(ordered), dtype=np.int64)
    begins = np.ones(len(ordered), dtype=bool)
    begins[1:] = ordered[1:] != ordered[:-1]
    return np.maximum.accumulate(np.where(begins, at, 0))


def _referrer_numbers(keys: Keys, member_ids: list[str]) -> UintArray:
    """Return the numbers of members; 0 where none is named."""
    numbers = first_words(hash_texts(keys.identity, [f"member:{i}" for i in member_ids]))
    numbers[np.fromiter((not i for i in member_ids), dtype=bool, count=len(member_ids))] = 0
    return numbers


def _referrals(found: _Found) -> Table:
    """Return who was referred by whom."""
    named = found.referrers != 0
    records = np.zeros(int(named.sum()), dtype=_layout.REFERRAL_SLOT)
    records["member"], records["referrer"] = found.numbers[named], found.referrers[named]
    return open_addressed(records, mix64(records["member"]))


def _group_hashes(keys: Keys, group_ids: list[str]) -> UintArray:
    """Return the hashes of groups; zeros for a member alone."""
    hashes = hash_texts(keys.identity, [f"group:{group}" for group in group_ids])
    hashes[np.fromiter((not group for group in group_ids), dtype=bool, count=len(group_ids))] = 0
    return hashes


def _group_numbers(hashes: UintArray, members: UintArray) -> UintArray:
    """Return group numbers, after checking that no two groups share one."""
    alone = (hashes[:, 0] == 0) & (hashes[:, 1] == 0)
    numbers = first_words(hashes)
    order = np.argsort(numbers, kind="stable")
    first = first_of_equal(numbers[order])
    if (hashes[order, 0] != hashes[order[first], 0]).any():
        raise FeedError("two group ids hash to one number: rename a group and build again")
    return np.where(alone, members, numbers)


def _member_records(
    chunk: Chunk,
    vocabulary: Vocabulary,
    segment_words: dict[str, tuple[int, int] | str],
    birthdays: dict[str, tuple[int, int] | None],
) -> Records:
    """Check the columns of a chunk and return its records, without numbers and groups."""
    chunk.require("member_id", ID_BYTES_MAX)
    chunk.limit("group_id", ID_BYTES_MAX)
    chunk.limit("home_store", ID_BYTES_MAX)
    chunk.limit("referrer", ID_BYTES_MAX)
    pairs_of_ids = zip(chunk.columns["member_id"], chunk.columns["referrer"], strict=True)
    for index in [at for at, (member, by) in enumerate(pairs_of_ids) if by and member == by]:
        reason = "the member is named as their own referrer"
        chunk.reject(index, "referrer", reason, "name another member, or leave it empty")
    records = np.zeros(len(chunk.rows), dtype=_layout.MEMBER_RECORD)
    tiers = {name: number for name, number in vocabulary.tiers.items() if number < TIERS_MAX}
    known = f"use a tier of the program: {', '.join(sorted(tiers)) or 'it declares none'}"
    records["tier"] = np.maximum(chunk.mapped("tier", {"": 0} | tiers, known), 0)
    flags = np.zeros(len(chunk.rows), dtype=np.int64)
    for column, flag in (
        ("consent", _layout.MEMBER_FLAG_CONSENT),
        ("staff", _layout.MEMBER_FLAG_STAFF),
        ("business", _layout.MEMBER_FLAG_BUSINESS),
    ):
        flags |= np.where(chunk.yes_no(column) == 1, flag, 0)
    records["flags"] = flags
    _fill_segments(chunk, vocabulary.segments, segment_words, records)
    days = _cached(chunk.columns["birth_date"], birthday, birthdays)
    for index in [i for i, day in enumerate(days) if day is None]:
        chunk.reject(index, "birth_date", "not a day", "write YYYY-MM-DD, or MM-DD")
    pairs = np.array([day or (0, 0) for day in days], dtype=np.uint16).reshape(-1, 2)
    records["birth_month"] = pairs[:, 0]
    records["birth_day"] = pairs[:, 1]
    stores = chunk.columns["home_store"]
    store_keys = {name: name_key("store", name) & MASK_32 for name in set(stores) if name}
    records["home_store"] = np.array([store_keys.get(s, 0) for s in stores], dtype=np.uint32)
    return records


def _cached(values: list[str], function: Any, cache: dict[str, Any]) -> list[Any]:
    """Return the function of each value, worked out once for each that differs."""
    for value in set(values).difference(cache):
        cache[value] = function(value)
    return [cache[value] for value in values]


def _fill_segments(
    chunk: Chunk,
    numbers: Mapping[str, int],
    cache: dict[str, tuple[int, int] | str],
    records: Records,
) -> None:
    """Set the segment bits from semicolon lists."""

    def words(text: str) -> tuple[int, int] | str:
        bits = 0
        for name in filter(None, (part.strip() for part in text.split(";"))):
            number = numbers.get(name, SEGMENTS_MAX)
            if number >= SEGMENTS_MAX:
                return name
            bits |= 1 << number
        return bits & (2**64 - 1), bits >> 64

    found = _cached(chunk.columns["segments"], words, cache)
    for index, word in enumerate(found):
        if isinstance(word, str):
            reason = f"not a segment of the program: {word[:64]}"
            chunk.reject(index, "segments", reason, "declare it in the program, or mend the name")
            found[index] = (0, 0)
    records["segments"] = np.array(found, dtype=np.uint64).reshape(-1, 2)


def _member_rows(chunk: Chunk, found: _Found, keys: Keys) -> IntArray:
    """Return the member of each row, rejecting rows of members that are not in the feed."""
    chunk.require("member_id", ID_BYTES_MAX)
    texts = [f"member:{member}" for member in chunk.columns["member_id"]]
    rows = found.find(hash_texts(keys.identity, texts))
    reason = "no such member in the members feed"
    chunk.reject(rows < 0, "member_id", reason, "add the member, or remove the row")
    return rows


def _read_identities(
    paths: Sequence[Path], found: _Found, keys: Keys, report: Report, advance: Advance | None
) -> Table:
    """Read the identifiers feed into the identity table; the first owner of an identifier wins."""
    chunks, slots = [], []
    for chunk in read_feed(IDENTIFIERS, paths, report, advance):
        rows = _member_rows(chunk, found, keys)
        chunk.columns["kind"] = [kind.lower() for kind in chunk.columns["kind"]]
        choice = f"use one of {', '.join(IDENTIFIER_KINDS)}"
        kinds = chunk.mapped("kind", IDENTIFIER_KINDS, choice)
        texts = []
        pairs = zip(chunk.columns["kind"], chunk.columns["value"], strict=True)
        for index, (kind, value) in enumerate(pairs):
            normal = normalise(kind, value) if chunk.keep[index] else ""
            if normal is None:
                what = f"not a value of kind {kind}"
                chunk.reject(index, "value", what, "see `checklane snapshot build members --help`")
            texts.append(f"{kind}:{normal}")
        hashes = hash_texts(keys.identity, texts)[chunk.keep]
        part = np.zeros(len(hashes), dtype=_layout.IDENTITY_SLOT)
        part["hash_hi"], part["hash_lo"] = hashes[:, 0], hashes[:, 1]
        part["member"] = found.numbers[rows[chunk.keep]] if len(hashes) else 0
        part["kind"] = kinds[chunk.keep]
        part["key_id"] = keys.identity_id
        chunk.columns = {}
        chunks.append(chunk)
        slots.append(part)
    place = places(chunks, paths)
    records = np.concatenate([np.zeros(0, dtype=_layout.IDENTITY_SLOT), *slots])
    order = np.lexsort((records["hash_hi"], records["hash_lo"]))
    ordered = records[order]
    same = (ordered["hash_hi"][1:] == ordered["hash_hi"][:-1]) & (
        ordered["hash_lo"][1:] == ordered["hash_lo"][:-1]
    )
    later = _reject_repeats(
        place, report, order, same, "value", "identifier was given before", records["member"]
    )
    kept = np.delete(order, later)
    return open_addressed(records[kept], records["hash_lo"][kept], ties=records["hash_hi"][kept])


def _reject_repeats(
    place: Place,
    report: Report,
    order: IntArray,
    same: npt.NDArray[np.bool_],
    column: str,
    reason: str,
    owners: UintArray,
) -> IntArray:
    """Reject every row that repeats the row before it in a stable order; return where they are.

    `same[i]` says that row ``order[i + 1]`` repeats row ``order[i]``.
    """
    at = np.arange(len(order), dtype=np.int64)
    begins = np.ones(len(order), dtype=bool)
    begins[1:] = ~same
    first = np.maximum.accumulate(np.where(begins, at, 0))
    later = np.flatnonzero(~begins)
    for index in later.tolist():
        row, winner = int(order[index]), int(order[first[index]])
        whose = "" if owners[row] == owners[winner] else " to another member"
        told = f"{reason}{whose}: {place.tell(winner)}"
        place.reject(report, row, column, told, "keep one of the rows")
    return later


def _read_wallets(
    paths: Sequence[Path], found: _Found, keys: Keys, report: Report, advance: Advance | None
) -> UintArray:
    """Read the wallets feed into the dense wallet table and the members' ranges of it."""
    chunks, members, offers = [], [], []
    for chunk in read_feed(WALLETS, paths, report, advance):
        rows = _member_rows(chunk, found, keys)
        chunk.require("offer_id", ID_BYTES_MAX)
        members.append(rows[chunk.keep])
        offers.append(name_keys("offer", chunk.kept("offer_id")))
        chunk.columns = {}
        chunks.append(chunk)
    place = places(chunks, paths)
    member = np.concatenate([np.zeros(0, dtype=np.int64), *members])
    offer = np.concatenate([np.zeros(0, dtype=np.uint64), *offers])
    order = np.lexsort((offer, member))
    same = (member[order][1:] == member[order][:-1]) & (offer[order][1:] == offer[order][:-1])
    reason = "offer was given to this member before"
    owners = member.astype(np.uint64)
    later = _reject_repeats(place, report, order, same, "offer_id", reason, owners)
    kept = _within_wallets(np.delete(order, later), member, place, report)
    counts = np.bincount(member[kept], minlength=len(found.numbers)).astype(np.uint32)
    found.records["wallet_count"] = counts
    found.records["wallet_first"] = np.cumsum(counts, dtype=np.uint64) - counts
    return offer[kept]


def _within_wallets(kept: IntArray, member: IntArray, place: Place, report: Report) -> IntArray:
    """Reject what is past the ceiling of a wallet: of a member's rows the last ones."""
    counts = np.bincount(member[kept])
    over = np.isin(member[kept], np.flatnonzero(counts > WALLET_MAX))
    if not over.any():
        return kept
    rejected: set[int] = set()
    candidates = kept[over]
    by_row = candidates[np.lexsort((candidates, member[candidates]))]
    first = first_of_equal(member[by_row].astype(np.uint64))
    for at in np.flatnonzero(np.arange(len(by_row)) - first >= WALLET_MAX).tolist():
        row = int(by_row[at])
        rejected.add(row)
        reason = f"more than {WALLET_MAX} offers in one wallet"
        place.reject(report, row, "offer_id", reason, "assign fewer offers to the member")
    return np.array([row for row in kept.tolist() if row not in rejected], dtype=np.int64)
