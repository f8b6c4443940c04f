"""Offers to tables: what the engine maps and walks, drawn in native/checklane/layout.h.

The same files and the same catalogue give the same bytes: offers stand in the order of their ids'
bytes, everything else follows the offers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from checklane import _layout
from checklane.program.checks import Attachments, check_program, folder_of
from checklane.program.codes import product_codes
from checklane.program.exclusions import exclusion_tables
from checklane.program.load import LoadedProgram, load_program
from checklane.program.mechanics import SlotPlan, offer_fields, slots_of, step_records
from checklane.program.model import Offer, Selector
from checklane.program.parts import (
    audience_of,
    funding_of,
    limits_of,
    schedule_of,
    store_set_of,
    store_set_words,
    tender_rules_of,
    texts_of,
)
from checklane.program.pools import Pool, SchedulePool, StringPool
from checklane.program.problems import ProgramError
from checklane.program.records import (
    coupon_table,
    header_record,
    more_records,
    offer_number_table,
    program_tables,
    progress_slots,
    retailer_records,
    row_table,
    slot_records,
    text_records,
)
from checklane.program.selectors import Classes, SelectorIndex, classify, walk
from checklane.tables.catalogue_tables import CatalogueTables
from checklane.tables.open_addressing import IntArray, Table

Tables = dict[str, "Table | npt.NDArray[Any] | bytes"]
#: Postings and strings are counted in 32 bits.
COUNT_MAX = _layout.NONE_32 - 1


@dataclass
class Compiled:
    """A compiled program.

    Attributes
    ----------
    tables : dict of str to Table, numpy.ndarray or bytes
        For ``checklane.tables.files.write_snapshot(directory, "program", tables)``.
    reach : dict of str to int
        Products that fit a slot of each offer, by offer id; -1: every product, known or not.
    """

    tables: Tables
    reach: dict[str, int] = field(default_factory=dict)

    @property
    def table_bytes(self) -> int:
        """Bytes of all tables together."""
        return sum(array_of(table).nbytes for table in self.tables.values())


def array_of(table: "Table | npt.NDArray[Any] | bytes") -> npt.NDArray[Any]:
    """Return the records of a table."""
    if isinstance(table, Table):
        return table.records
    return np.frombuffer(table, dtype=np.uint8) if isinstance(table, bytes) else table


def uses_file(selector: Selector) -> bool:
    """Tell whether a selector names an items file: its meaning then depends on the folder."""
    return any(inner.items_file is not None for _, inner in walk((), selector))


def compile_program(path: Path, catalogue: CatalogueTables) -> Tables:
    """Compile a program's directory against a catalogue.

    Parameters
    ----------
    path : Path
        Holds ``program.yaml`` and ``offers/*.yaml``.
    catalogue : CatalogueTables
        The program is bound to it and goes live with it.

    Returns
    -------
    dict of str to Table, numpy.ndarray or bytes
        Tables of a program snapshot, for ``checklane.tables.files.write_snapshot``.

    Raises
    ------
    ProgramError
        Names every problem.
    """
    return compile_checked(path, catalogue)[1].tables


def compile_checked(path: Path, catalogue: CatalogueTables) -> tuple[LoadedProgram, Compiled]:
    """Read, check and compile a program.

    Raises
    ------
    ProgramError
        Names every problem.
    """
    loaded = load_program(path)
    attachments = check_program(loaded, catalogue)
    if loaded.problems.has_errors:
        raise ProgramError(loaded.problems)
    return loaded, compile_loaded(loaded, attachments, catalogue)


def compile_loaded(
    loaded: LoadedProgram, attachments: Attachments, catalogue: CatalogueTables
) -> Compiled:
    """Compile a program that was read and has no errors.

    Raises
    ------
    ProgramError
        A table outgrows its ceiling.
    """
    ids = [offer.id.encode() for offer in loaded.offers]
    order = sorted(range(len(ids)), key=ids.__getitem__)
    builder = Builder(loaded, attachments, catalogue)
    for number, source in enumerate(order):
        builder.add(number, source, loaded.offers[source])
    return builder.finish()


def in_order(offers: Sequence[Offer]) -> list[Offer]:
    """Return offers by their numbers in the tables."""
    return sorted(offers, key=lambda offer: offer.id.encode())


class Builder:
    """Gathers the records of offers, then lays out the tables."""

    def __init__(
        self, loaded: LoadedProgram, attachments: Attachments, catalogue: CatalogueTables
    ) -> None:
        self.loaded = loaded
        self.attachments = attachments
        self.catalogue = catalogue
        self.index = SelectorIndex(catalogue)
        self.strings = StringPool()
        self.store_sets = Pool()
        self.audiences = Pool()
        self.schedules = SchedulePool()
        self.records: list[dict[str, int]] = []
        self.slots: list[SlotPlan] = []
        self.limits: list[tuple[int, ...]] = []
        self.funding: list[tuple[int, ...]] = []
        self.tender_rules: list[tuple[int, ...]] = []
        self.steps: list[tuple[int, ...]] = []
        self.exclusive: dict[str, int] = {}
        self.texts: list[tuple[bytes, int, int, int]] = []
        self.rows: list[npt.NDArray[Any]] = []
        self.coupons: list[tuple[str, int]] = []
        self.families = np.zeros(0, dtype=np.uint16)
        self.retailers: set[str] = set()
        self.selector_numbers: dict[str, int] = {}
        self.members: list[IntArray] = []
        self.slot_selectors: list[int] = []
        self.offers: list[Offer] = []
        self.reach: dict[str, int] = {}

    def add(self, number: int, source: int, offer: Offer) -> None:
        """Add the offer that becomes `number` in the tables."""
        program = self.loaded.program
        record = offer_fields(offer, program)
        record["first_slot"] = len(self.slots)
        rows = self._add_rows(number, source, offer)
        self._add_slots(number, source, offer, rows)
        record["slot_count"] = len(self.slots) - record["first_slot"] - record["need_count"]
        record["row_count"] = len(rows)
        for name, gathered, parts in (
            ("limit", self.limits, limits_of(offer)),
            ("funding", self.funding, funding_of(offer, self.strings)),
            ("tender_rule", self.tender_rules, tender_rules_of(offer)),
            ("step", self.steps, step_records(offer)),
        ):
            record[f"first_{name}"] = len(gathered)
            record[f"{name}_count"] = len(parts)
            gathered.extend(parts)
        texts = texts_of(offer, self.strings)
        record["first_text"] = len(self.texts)
        record["text_count"] = len(texts)
        self.texts.extend(texts)
        record["store_set"] = self.store_sets.add(store_set_of(offer.where, self.catalogue))
        record["audience"] = self.audiences.add(audience_of(offer, program))
        record["schedule"] = self.schedules.add(schedule_of(offer.when))
        if offer.exclusive is not None:
            record["exclusive"] = self.exclusive.setdefault(
                offer.exclusive, len(self.exclusive) + 1
            )
        record["id_text"], record["id_length"] = self.strings.add(offer.id)
        if offer.coupon is not None:
            self.coupons.extend((code, number) for code in offer.coupon.codes)
        if offer.scanned is not None:
            self._add_families(source)
            self.retailers.update(offer.scanned.retailers)
        self.records.append(record)
        self.offers.append(offer)

    def _add_families(self, source: int) -> None:
        """Keep the family code of every product that the catalogue holds."""
        rows = self.attachments.families.get(source, [])
        if not rows:
            return
        if len(self.families) == 0:
            self.families = np.full(
                self.index.product_count, _layout.FAMILY_CODE_NONE, dtype=np.uint16
            )
        products = self.catalogue.find_products(product_codes([item.text for item, _ in rows]))
        codes = np.array([family for _, family in rows], dtype=np.uint16)
        self.families[products[products >= 0]] = codes[products >= 0]

    def _items_of(self, source: int) -> Callable[[str], Sequence[str]]:
        folder = str(folder_of(self.loaded, source))
        return lambda name: self.attachments.items[folder, name]

    def _add_rows(self, number: int, source: int, offer: Offer) -> npt.NDArray[Any]:
        """Return the price rows of an offer whose items the catalogue holds."""
        parts = self.attachments.prices.get(source, []) if offer.row_prices is not None else []
        rows = np.zeros(len(parts), dtype=_layout.ROW)
        products = self.catalogue.find_products(product_codes([row.item.text for row in parts]))
        zones = {name: zone for zone, name in enumerate(self.catalogue.zone_names)}
        rows["offer"] = number
        rows["product"] = np.where(products >= 0, products, 0)
        rows["zone"] = [zones[row.zone.text] if row.zone.text else 0 for row in parts]
        rows["units_max"] = [row.units_max for row in parts]
        rows["price_minor"] = [row.price_minor for row in parts]
        rows = rows[products >= 0]
        self.rows.append(rows)
        return rows

    def _add_slots(self, number: int, source: int, offer: Offer, rows: npt.NDArray[Any]) -> None:
        """Add the slots of an offer and find their products."""
        reach: IntArray | None = np.zeros(0, dtype=np.int64)
        for plan in slots_of(number, offer):
            self.slots.append(plan)
            is_need = plan.role == _layout.SLOT_NEED
            if offer.row_prices is not None and not is_need:
                products = np.unique(rows["product"].astype(np.int64))
                self.slot_selectors.append(self._selector_number(f"rows of {offer.id}", products))
            elif plan.selector.is_universal:
                self.slot_selectors.append(-1)
                reach = reach if is_need else None
                continue
            else:
                products, key = self._products(source, plan.selector)
                self.slot_selectors.append(self._selector_number(key, products))
            if reach is not None and not is_need:
                reach = np.union1d(reach, products)
        self.reach[offer.id] = -1 if reach is None else len(reach)

    def _add_progress(self) -> int:
        """Add the slots of the counts towards goals, behind all others; return the first."""
        first = len(self.slots)
        for plan in progress_slots(self.loaded.program):
            self.slots.append(plan)
            if plan.selector.is_universal:
                self.slot_selectors.append(-1)
                continue
            products = self.index.products(plan.selector, lambda name: (), "")
            key = self.index.key(plan.selector, "")
            self.slot_selectors.append(self._selector_number(key, products))
        return first

    def _products(self, source: int, selector: Selector) -> tuple[IntArray, str]:
        scope = str(folder_of(self.loaded, source)) if uses_file(selector) else ""
        products = self.index.products(selector, self._items_of(source), scope)
        return products, self.index.key(selector, scope)

    def _selector_number(self, key: str, products: IntArray) -> int:
        """Return the number of a distinct selector."""
        number = self.selector_numbers.setdefault(key, len(self.members))
        if number == len(self.members):
            self.members.append(products)
        return number

    def finish(self) -> Compiled:
        """Lay out all tables."""
        first_progress_slot = self._add_progress()
        classes = classify(self.index.product_count, self.members)
        postings, lists = self._postings(classes)
        universal, universal_lists = self._universal()
        slots = slot_records(self.slots)
        slots["flags"][universal] |= _layout.SLOT_FLAG_UNIVERSAL
        header = self._header()
        rows = np.concatenate([np.zeros(0, dtype=_layout.ROW), *self.rows])
        more, after, grades = more_records(self.offers, self.strings)
        tables: Tables = {
            "header": header,
            "offers": self._offer_records(),
            "slots": slots,
            "class_of_product": classes.class_of_product.astype(np.uint32),
            "classes": lists,
            "postings": postings,
            "universal": universal,
            "universal_lists": universal_lists,
            "rows": row_table(rows),
            "limits": np.array(self.limits, dtype=_layout.LIMIT),
            "steps": np.array(self.steps, dtype=_layout.STEP),
            "more": more,
            "after": after,
            "grades": grades,
            "funding": np.array(self.funding, dtype=_layout.FUNDING),
            "redeemers": np.array(
                [n for n, offer in enumerate(self.offers) if offer.layer_name == "redemption"],
                dtype=np.uint32,
            ),
            "tender_rules": np.array(self.tender_rules, dtype=_layout.TENDER_RULE),
            "families": self.families,
            "retailers": retailer_records(self.retailers),
            "store_sets": self.store_sets.array(np.dtype(np.uint64)),
            "audiences": self.audiences.array(_layout.AUDIENCE),
            "schedules": self.schedules.array(),
            "blackouts": self.schedules.blackouts(),
            "texts": text_records(self.texts),
            "coupons": coupon_table(self.coupons),
            "offer_numbers": offer_number_table([offer.id for offer in self.offers]),
        }
        program = self.loaded.program
        places = self.catalogue.jurisdiction_names
        tables.update(exclusion_tables(program.exclusions, self.index, places))
        tables.update(program_tables(program, self.strings, self.offers, first_progress_slot))
        tables["strings"] = self.strings.bytes()
        compiled = Compiled(tables, self.reach)
        self._check_ceilings(tables)
        return compiled

    def _postings(self, classes: Classes) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the slot numbers of every class, and where each class begins.

        Slots of offers that something has to open come last, both parts ascend.
        """
        selectors = np.array(self.slot_selectors, dtype=np.int64)
        slots = np.flatnonzero(selectors >= 0)
        by_selector = slots[np.argsort(selectors[slots], kind="stable")]
        counts = np.bincount(selectors[slots], minlength=len(self.members)).astype(np.int64)
        firsts = np.cumsum(counts) - counts
        repeat = counts[classes.selectors]
        total = int(repeat.sum())
        if total > COUNT_MAX:
            self._refuse(f"{total} pairs of products and slots", "make selectors narrower")
        ends = np.cumsum(repeat)
        within = np.arange(total, dtype=np.int64) - np.repeat(ends - repeat, repeat)
        posting = by_selector[np.repeat(firsts[classes.selectors], repeat) + within]
        class_of_posting = np.repeat(classes.classes, repeat)
        is_gated = self._gated()[posting]
        order = np.lexsort((posting, is_gated, class_of_posting))
        lists = np.zeros(classes.count, dtype=_layout.POSTING_LIST)
        counts = np.bincount(class_of_posting, minlength=classes.count)
        lists["gated_count"] = np.bincount(class_of_posting[is_gated], minlength=classes.count)
        lists["count"] = counts - lists["gated_count"]
        lists["first"] = np.cumsum(counts) - counts
        return posting[order].astype(np.uint32), lists

    def _gated(self) -> npt.NDArray[np.bool_]:
        """Return whether a wallet, a coupon or a choice opens the offer of each slot."""
        offers = [
            self.records[plan.offer]["flags"] if plan.offer != _layout.NONE_32 else 0
            for plan in self.slots
        ]
        gated = np.array(offers, dtype=np.int64) & _layout.OFFER_FLAGS_GATED
        return np.asarray(gated != 0)

    def _universal(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return the slots for every product, and where those of each store set begin."""
        slots = np.flatnonzero(np.array(self.slot_selectors, dtype=np.int64) < 0)
        is_gated = self._gated()[slots]
        sets = np.array(
            [
                self.records[plan.offer]["store_set"]
                if plan.offer != _layout.NONE_32
                else _layout.NONE_32
                for plan in (self.slots[slot] for slot in slots)
            ],
            dtype=np.int64,
        )
        used, numbers = np.unique(sets, return_inverse=True)
        lists = np.zeros(len(used), dtype=_layout.UNIVERSAL_LIST)
        counts = np.bincount(numbers, minlength=len(used))
        lists["store_set"] = used
        lists["gated_count"] = np.bincount(numbers[is_gated], minlength=len(used))
        lists["count"] = counts - lists["gated_count"]
        lists["first"] = np.cumsum(counts) - counts
        return slots[np.lexsort((slots, is_gated, numbers))].astype(np.uint32), lists

    def _offer_records(self) -> npt.NDArray[Any]:
        records = np.zeros(len(self.records), dtype=_layout.OFFER)
        for name in _layout.OFFER.names or ():
            if not name.startswith("reserved"):
                records[name] = [record.get(name, 0) for record in self.records]
        numbers = offer_number_table([offer.id for offer in self.offers]).records
        filled = numbers[numbers["key"] != 0]
        records["key"][filled["offer"]] = filled["key"]
        return records

    def _header(self) -> npt.NDArray[Any]:
        """Return the head, bound to the catalogue."""
        header = header_record(self.loaded.program)
        header["catalogue_hash"][0] = np.frombuffer(self.catalogue.hash, dtype=np.uint8)
        header["store_set_words"] = store_set_words(self.catalogue)
        header["product_count"] = self.index.product_count
        header["jurisdiction_count"] = len(self.catalogue.jurisdiction_names)
        header["offer_count"] = len(self.records)
        for number, offer in enumerate(self.offers):
            if offer.scanned is not None:
                place = ("manufacturer", "store", "match").index(offer.scanned.coupons)
                header["scan_offers"][0, place] = number + 1
        return header

    def _refuse(self, what: str, mend: str) -> None:
        self.loaded.blame(None, (), what, mend)
        raise ProgramError(self.loaded.problems)

    def _check_ceilings(self, tables: Tables) -> None:
        """Refuse a program whose tables the engine could not count."""
        for name, table in tables.items():
            if len(array_of(table)) > COUNT_MAX:
                self._refuse(f"the table '{name}' has too many records", "split the program")
