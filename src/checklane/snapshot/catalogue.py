"""The catalogue snapshot: feeds of products and stores into probed and dense tables.

Products are numbered in the order of their codes, stores, categories and the rest in the order of
their names, so the order of rows has no influence on the bytes. When two rows give the same code or
store id, the first wins (in the order of files and rows) and the later one is rejected with the
first one's row. The product's name has no table: receipts take theirs from the lane.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from checklane import _layout
from checklane._layout import ID_BYTES_MAX, LINE_AMOUNT_MAX, STORES_MAX, VALUE_BYTES_MAX
from checklane.snapshot.codes import CODE_KINDS, gtin_code, plu_code, scaled
from checklane.snapshot.feeds import Advance, Chunk, Feed, Place, places, read_feed
from checklane.snapshot.members import AsOf, Built, first_of_equal
from checklane.snapshot.report import FeedError, Report
from checklane.snapshot.zones import load_zone, transitions
from checklane.tables.files import write_snapshot
from checklane.tables.hashing import name_keys, sku_codes
from checklane.tables.open_addressing import IntArray, Table, mix64, open_addressed

PRODUCTS = Feed(
    "products",
    ("code_kind", "code"),
    (
        "name",
        "category",
        "department",
        "brand",
        "vendor",
        "flags",
        "cost",
        "legal_min",
    ),
)
STORES = Feed(
    "stores",
    ("store_id",),
    (
        "region",
        "banner",
        "franchise",
        "price_zone",
        "timezone",
        "jurisdiction",
    ),
)
PRODUCT_FLAGS = {
    "no_discount": _layout.PRODUCT_FLAG_NO_DISCOUNT,
    "no_earn": _layout.PRODUCT_FLAG_NO_EARN,
    "no_burn": _layout.PRODUCT_FLAG_NO_BURN,
    "age_restricted": _layout.PRODUCT_FLAG_AGE_RESTRICTED,
    "fuel": _layout.PRODUCT_FLAG_FUEL,
    "tobacco": _layout.PRODUCT_FLAG_TOBACCO,
    "alcohol": _layout.PRODUCT_FLAG_ALCOHOL,
    "lottery": _layout.PRODUCT_FLAG_LOTTERY,
    "gift_card": _layout.PRODUCT_FLAG_GIFT_CARD,
    "pharmacy": _layout.PRODUCT_FLAG_PHARMACY,
}
#: Decimals that a cost has below the minor unit.
COST_DECIMALS = 3
#: A category path is a few names; 1,024 bytes hold fifteen of the longest.
PATH_BYTES_MAX = 1024

Records = npt.NDArray[Any]


class CatalogueFeeds(NamedTuple):
    """The files of a catalogue snapshot, each list in the order in which the first row wins."""

    products: Sequence[Path]
    stores: Sequence[Path]


def build_catalogue(
    feeds: CatalogueFeeds,
    directory: Path,
    *,
    exponent: int = 2,
    as_of: AsOf = AsOf(),  # noqa: B008 - an immutable default
    advance: Advance | None = None,
) -> Built:
    """Build and write a catalogue snapshot.

    Parameters
    ----------
    feeds : CatalogueFeeds
    directory : Path
        Where the snapshot and the report of rejected rows go.
    exponent : int, optional
        Decimals of the currency: 2 where costs and prices are written in units of 100 cents.
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
        A file cannot be read, too many rows are rejected, there are more stores than a program
        can name, or two names hash to one key.
    """
    report = Report()
    names: dict[str, list[str]] = {}
    products = _read_products(feeds.products, exponent, names, report, advance)
    stores, zones = _read_stores(feeds.stores, names, report, advance)
    codes = np.zeros(len(products), dtype=_layout.CODE_SLOT)
    codes["code"] = products["code"]
    codes["product"] = np.arange(len(products))
    info = np.zeros(1, dtype=_layout.SNAPSHOT_INFO)
    info["as_of_lsn"] = as_of.lsn
    info["as_of_unix_ms"] = as_of.unix_ms
    info["format"] = _layout.SNAPSHOT_FORMAT
    info["counts"][0] = (len(codes), len(products), len(stores), len(zones))
    tables: dict[str, Table | Records | bytes] = {
        "codes": open_addressed(codes, mix64(codes["code"])),
        "products": products,
        "stores": open_addressed(stores, stores["key"]),
        "transitions": zones,
        "info": info,
        "names": json.dumps(names, ensure_ascii=False, sort_keys=True).encode(),
    }
    path = write_snapshot(directory, "catalogue", tables)
    report.write(path.with_suffix(".rejected.csv"))
    counts = {"products": len(products), "stores": len(stores), "transitions": len(zones)}
    return Built(path, counts, report)


class _Numbers:
    """Numbers names in the order of the names once all are known; the empty name is number 0."""

    def __init__(self) -> None:
        self._parts: list[list[str]] = []

    def add(self, names: list[str]) -> None:
        self._parts.append(names)

    def finish(self) -> tuple[list[str], IntArray]:
        """Return all names in order, and the number of each name that was added."""
        ordered = sorted({""}.union(*self._parts))
        number = {name: n for n, name in enumerate(ordered)}
        numbers = [number[name] for part in self._parts for name in part]
        return ordered, np.array(numbers, dtype=np.int64)


def _keys_of(space: str, names: list[str]) -> npt.NDArray[np.uint64]:
    """Return the keys of names, after checking that no two names share one."""
    keys = name_keys(space, names)
    if len(np.unique(keys)) != len(names):
        raise FeedError(f"two names of {space} hash to one key: rename one of them")
    return keys


def _read_products(
    paths: Sequence[Path],
    exponent: int,
    names: dict[str, list[str]],
    report: Report,
    advance: Advance | None,
) -> Records:
    """Read the products feed into the dense table, in the order of codes."""
    columns = {name: _Numbers() for name in ("category", "department", "brand", "vendor")}
    chunks, records, texts = [], [], []
    for chunk in read_feed(PRODUCTS, paths, report, advance):
        part = _product_records(chunk, exponent)
        records.append(part[chunk.keep])
        for column, numbers in columns.items():
            numbers.add(chunk.kept(column))
        texts.extend(chunk.kept("code"))
        chunk.columns = {}
        chunks.append(chunk)
    place = places(chunks, paths)
    products = np.concatenate([np.zeros(0, dtype=_layout.PRODUCT), *records])
    names["categories"], products["category"] = columns["category"].finish()
    names["departments"], products["department"] = columns["department"].finish()
    for column, plural in (("brand", "brands"), ("vendor", "vendors")):
        known, number = columns[column].finish()
        products[f"{column}_key"] = _keys_of(column, known)[number]
        names[plural] = known[1:]
    order = np.argsort(products["code"], kind="stable")
    first = first_of_equal(products["code"][order])
    later = np.flatnonzero(first != np.arange(len(order)))
    for at in later.tolist():
        row, winner = int(order[at]), int(order[first[at]])
        is_sku = int(products["code"][row]) >> 60 == _layout.CODE_KIND_SKU
        if is_sku and texts[row] != texts[winner]:
            told = f"{place.tell(winner)} and {place.tell(row)}"
            raise FeedError(f"two SKUs hash to one code ({told}): rename one of them")
        reason = f"code was given before: {place.tell(winner)}"
        place.reject(report, row, "code", reason, "give each product one row")
    return products[np.delete(order, later)]


def _product_records(chunk: Chunk, exponent: int) -> Records:
    """Check the columns of a chunk and return its records, without names' numbers and keys."""
    records = np.zeros(len(chunk.rows), dtype=_layout.PRODUCT)
    chunk.require("code", ID_BYTES_MAX)
    for column in ("department", "brand", "vendor"):
        chunk.limit(column, VALUE_BYTES_MAX)
    chunk.limit("category", PATH_BYTES_MAX)
    paths: dict[str, str] = {}
    for text in set(chunk.columns["category"]):
        paths[text] = "/".join(filter(None, (part.strip() for part in text.split("/"))))
    chunk.columns["category"] = [paths[text] for text in chunk.columns["category"]]
    records["code"] = _codes(chunk)
    records["flags"] = _flags(chunk)
    cost_max = LINE_AMOUNT_MAX * 10**COST_DECIMALS
    records["cost_milli"] = _amounts(chunk, "cost", exponent + COST_DECIMALS, -1, cost_max)
    records["legal_min_minor"] = _amounts(chunk, "legal_min", exponent, 0, LINE_AMOUNT_MAX)
    return records


def _codes(chunk: Chunk) -> npt.NDArray[np.uint64]:
    """Return the product code of each row; 0 for rejected rows."""
    kinds = [kind.lower() for kind in chunk.columns["code_kind"]]
    chunk.columns["code_kind"] = kinds
    numbers = {kind: number for number, kind in enumerate(CODE_KINDS)}
    chunk.mapped("code_kind", numbers, f"use one of {', '.join(CODE_KINDS)}")
    texts = chunk.columns["code"]
    codes = sku_codes(texts)
    for index, (kind, text) in enumerate(zip(kinds, texts, strict=True)):
        if kind == "sku" or not chunk.keep[index]:
            continue
        code = gtin_code(text) if kind == "gtin" else plu_code(text)
        if isinstance(code, str):
            remedy = "correct the code, or give it as code_kind sku"
            chunk.reject(index, "code", f"not a {kind.upper()}: {code}", remedy)
            continue
        codes[index] = code
    return codes


def _flags(chunk: Chunk) -> IntArray:
    """Return the flag bits of semicolon lists."""
    bits: dict[str, int] = {}
    for text in set(chunk.columns["flags"]):
        names = [part.strip().lower() for part in text.split(";")]
        known = all(name in PRODUCT_FLAGS for name in names if name)
        bits[text] = sum({PRODUCT_FLAGS[name] for name in names if name}) if known else -1
    return np.maximum(chunk.mapped("flags", bits, f"use {'; '.join(PRODUCT_FLAGS)}"), 0)


def _amounts(chunk: Chunk, column: str, decimals: int, empty: int, most: int) -> IntArray:
    """Return exact whole numbers of decimal amounts."""
    found = np.full(len(chunk.rows), empty, dtype=np.int64)
    for index, text in enumerate(chunk.columns[column]):
        if not text:
            continue
        number = scaled(text, decimals)
        if number is None or number > most:
            reason = f"not an amount of at most {decimals} decimals in range"
            chunk.reject(index, column, reason, "write digits and a decimal point, as 12.34")
        else:
            found[index] = number
    return found


def _read_stores(
    paths: Sequence[Path], names: dict[str, list[str]], report: Report, advance: Advance | None
) -> tuple[Records, Records]:
    """Read the stores feed into store records and the offsets of their time zones."""
    columns: dict[str, list[str]] = {column: [] for column in STORES.columns}
    chunks = []
    for chunk in read_feed(STORES, paths, report, advance):
        chunk.require("store_id", ID_BYTES_MAX)
        for column in ("region", "banner", "franchise", "price_zone", "jurisdiction"):
            chunk.limit(column, VALUE_BYTES_MAX)
        _check_zones(chunk)
        for column in STORES.columns:
            columns[column].extend(chunk.kept(column))
        chunks.append(chunk)
    rows = _first_rows(columns["store_id"], places(chunks, paths), report)
    if len(rows) > STORES_MAX:
        raise FeedError(f"{len(rows):,} stores; one program has at most {STORES_MAX:,}")
    chosen = {column: [values[row] for row in rows] for column, values in columns.items()}
    stores = np.zeros(len(rows), dtype=_layout.STORE)
    stores["key"] = _keys_of("store", chosen["store_id"])
    stores["number"] = np.arange(len(rows))
    for column in ("region", "banner", "franchise"):
        stores[f"{column}_key"] = name_keys(column, chosen[column])
        _keys_of(column, sorted(set(chosen[column]) - {""}))
    names["stores"] = chosen["store_id"]
    for column, field, plural in (
        ("price_zone", "zone", "zones"),
        ("jurisdiction", "jurisdiction", "jurisdictions"),
    ):
        numbers = _Numbers()
        numbers.add(chosen[column])
        names[plural], stores[field] = numbers.finish()
    return stores, _fill_transitions(stores, chosen["timezone"])


def _check_zones(chunk: Chunk) -> None:
    """Reject rows that name a time zone which does not exist."""
    zones = set(chunk.columns["timezone"])
    known = {name: 0 for name in zones if not name or load_zone(name) is not None}
    chunk.mapped("timezone", known, "use an IANA name such as America/New_York")


def _first_rows(ids: list[str], place: Place, report: Report) -> list[int]:
    """Return one row an id, in the order of ids; the first row of each wins."""
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        winner = first.setdefault(name, row)
        if winner != row:
            reason = f"store_id was given before: {place.tell(winner)}"
            place.reject(report, row, "store_id", reason, "give each store one row")
    return [first[name] for name in sorted(first)]


def _fill_transitions(stores: Records, zone_names: list[str]) -> Records:
    """Return the offsets of every zone that occurs, once, and point the stores at theirs."""
    tables = [np.zeros(0, dtype=_layout.TRANSITION)]
    begin = 0
    ranges = {"": (0, 0)}
    for name in sorted(set(zone_names) - {""}):
        table = transitions(ZoneInfo(name))
        ranges[name] = (begin, len(table))
        begin += len(table)
        tables.append(table)
    stores["first_transition"] = [ranges[name][0] for name in zone_names]
    stores["transition_count"] = [ranges[name][1] for name in zone_names]
    return np.concatenate(tables)
