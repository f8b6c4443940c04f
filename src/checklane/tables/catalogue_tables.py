"""A catalogue snapshot as numpy arrays: what the program compiler selects from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from checklane import _layout
from checklane.errors import refuse
from checklane.tables.files import read_records, read_snapshot, snapshot_hash
from checklane.tables.open_addressing import IntArray, UintArray, look_up, mix64


@dataclass(frozen=True)
class CatalogueTables:
    """One catalogue, read-only. Arrays are views of the mapped file.

    Attributes
    ----------
    hash : bytes
        16 bytes: content hash, named by program snapshots.
    products : numpy.ndarray of _layout.PRODUCT
        By product number: ``code``, ``brand_key``, ``vendor_key``, ``flags``, ``category`` ...
    stores : numpy.ndarray of _layout.STORE
        By store number (``stores["number"]`` is 0, 1, 2 ...).
    store_ids : list of str
        By store number.
    category_paths : list of str
        By category number, such as ``"Food/Soup/Canned"``; number 0 is ``""``: none.
    department_names : list of str
        By department number; number 0 is ``""``: none.
    brand_names, vendor_names : list of str
        Names that occur, sorted; their keys are name keys of "brand" and "vendor".
    zone_names : list of str
        Price zones by number; number 0 is ``""``: every zone.
    jurisdiction_names : list of str
        By jurisdiction number; number 0 is ``""``: none.
    codes : numpy.ndarray of _layout.CODE_SLOT
        The open-addressed table from product code to product number.
    """

    hash: bytes
    products: npt.NDArray[Any]
    stores: npt.NDArray[Any]
    store_ids: list[str]
    category_paths: list[str]
    department_names: list[str]
    brand_names: list[str]
    vendor_names: list[str]
    zone_names: list[str]
    jurisdiction_names: list[str]
    codes: npt.NDArray[Any]

    def find_products(self, codes: UintArray) -> IntArray:
        """Return the product number of each product code, or -1.

        Parameters
        ----------
        codes : numpy.ndarray of uint64
            Codes as layout.h says: kind in the top four bits.
        """
        slots = look_up(self.codes["code"], mix64(codes), codes)
        return np.where(slots >= 0, self.codes["product"][slots].astype(np.int64), -1)


def open_catalogue(path: Path) -> CatalogueTables:
    """Open a catalogue snapshot for reading in Python.

    Parameters
    ----------
    path : Path
        A file named ``catalogue-<hash>.lmdb``.

    Returns
    -------
    CatalogueTables

    Raises
    ------
    NotFoundError
        The file is missing.
    DamageError
        It is damaged.
    StateError
        It is no catalogue snapshot, or one of another format.
    """
    kind, content_hash = snapshot_hash(path)
    if kind != "catalogue":
        raise refuse("SNAPSHOT_MISMATCH", path.name, "this is no catalogue snapshot")
    values = read_snapshot(path)
    products = read_records(values, "products", _layout.PRODUCT)
    slots = read_records(values, "stores", _layout.STORE)
    stores = slots[slots["key"] != 0]
    stores = stores[np.argsort(stores["number"])]
    names = json.loads(read_records(values, "names", np.dtype("u1")).tobytes())
    return CatalogueTables(
        hash=content_hash,
        products=products,
        stores=stores,
        store_ids=names["stores"],
        category_paths=names["categories"],
        department_names=names["departments"],
        brand_names=names["brands"],
        vendor_names=names["vendors"],
        zone_names=names["zones"],
        jurisdiction_names=names["jurisdictions"],
        codes=read_records(values, "codes", _layout.CODE_SLOT),
    )
