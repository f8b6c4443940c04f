"""Small programs and catalogues that the tests of this folder share."""

from pathlib import Path

import numpy as np

from checklane import _layout
from checklane.program.codes import product_codes
from checklane.tables.catalogue_tables import CatalogueTables
from checklane.tables.hashing import name_keys
from checklane.tables.open_addressing import mix64, open_addressed

PROGRAM = """\
program: test
currency: {code: USD, exponent: 2}
purses:
  points: {number: 1}
  cash: {number: 2, decimals: 2}
tiers:
  gold: {number: 1}
segments:
  families: {number: 0}
"""
OFFER = "- id: a\n  discount: {of: all, percent: 10}\n"


def write_program(folder: Path, offers: str = OFFER, program: str = PROGRAM, **files: str) -> Path:
    """Write a program's directory; `files` go beside the offers, `_` in a name is a dot."""
    (folder / "offers").mkdir(parents=True, exist_ok=True)
    (folder / "program.yaml").write_text(program, encoding="utf-8")
    (folder / "offers" / "offers.yaml").write_text(offers, encoding="utf-8")
    for name, text in files.items():
        (folder / "offers" / name.replace("_", ".")).write_text(text, encoding="utf-8")
    return folder


def gtin(number: int) -> str:
    """Return a GTIN-13 of the prefix for examples."""
    base = f"952{number:09d}"
    total = sum(int(d) * (3 if at % 2 == 0 else 1) for at, d in enumerate(base[::-1]))
    return base + str(-total % 10)


def make_catalogue(
    codes: list[str],
    categories: list[str],
    brands: list[str],
    departments: list[str],
    flags: list[int],
    stores: list[tuple[str, str]] = [("S1", "north"), ("S2", "south")],  # noqa: B006
) -> CatalogueTables:
    """Build a catalogue in memory; the lists are columns by product."""
    products = np.zeros(len(codes), dtype=_layout.PRODUCT)
    products["code"] = product_codes(codes)
    paths = sorted({"", *categories})
    names = sorted({"", *departments})
    products["category"] = [paths.index(path) for path in categories]
    products["department"] = [names.index(name) for name in departments]
    products["brand_key"] = name_keys("brand", brands)
    products["flags"] = flags
    slots = np.zeros(len(codes), dtype=_layout.CODE_SLOT)
    slots["code"] = products["code"]
    slots["product"] = np.arange(len(codes))
    records = np.zeros(len(stores), dtype=_layout.STORE)
    records["key"] = name_keys("store", [store for store, _ in stores])
    records["region_key"] = name_keys("region", [region for _, region in stores])
    records["number"] = np.arange(len(stores))
    return CatalogueTables(
        hash=bytes(range(16)),
        products=products,
        stores=records,
        store_ids=[store for store, _ in stores],
        category_paths=paths,
        department_names=names,
        brand_names=sorted(set(brands) - {""}),
        vendor_names=[],
        zone_names=["", "city"],
        jurisdiction_names=[""],
        codes=open_addressed(slots, mix64(slots["code"])).records,
    )


def small_catalogue() -> CatalogueTables:
    """Return four products of two categories."""
    return make_catalogue(
        codes=[gtin(1), gtin(2), gtin(3), "4011"],
        categories=["FOOD/SOUP", "FOOD/SOUP/CANNED", "FOOD/PASTA", "FRESH"],
        brands=["Harbor", "Harbor", "Corner", ""],
        departments=["Grocery", "Grocery", "Grocery", "Produce"],
        flags=[0, 0, _layout.PRODUCT_FLAG_FUEL, 0],
    )
