"""Selectors over a catalogue: which products fit, and which products no slot can tell apart."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from checklane import _layout
from checklane.program.codes import product_codes
from checklane.program.model import Selector
from checklane.program.yaml_tree import Path_
from checklane.tables.catalogue_tables import CatalogueTables
from checklane.tables.hashing import name_key
from checklane.tables.open_addressing import IntArray, UintArray, mix64

FLAG_BITS = {
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
NOTHING: IntArray = np.zeros(0, dtype=np.int64)
NOTHING.flags.writeable = False

#: Reads the codes of an items file as the selector names it.
ItemsOf = Callable[[str], Sequence[str]]


def walk(path: Path_, selector: Selector) -> Iterator[tuple[Path_, Selector]]:
    """Yield a selector and every selector inside it, with their paths of keys."""
    yield path, selector
    for key, inner in (("any", selector.any_), ("all", selector.all_)):
        for index, part in enumerate(inner or []):
            yield from walk((*path, key, index), part)
    if selector.not_ is not None:
        yield from walk((*path, "not"), selector.not_)


def normal_path(category: str) -> str:
    """Return a category path as the catalogue writes it: no blanks around names, no empty ones."""
    return "/".join(filter(None, (part.strip() for part in category.split("/"))))


def both(one: IntArray, other: IntArray) -> IntArray:
    """Return what two ascending lists share; cost: the shorter one times a search in the longer."""
    if len(one) > len(other):
        one, other = other, one
    if len(one) == 0:
        return NOTHING
    at = np.searchsorted(other, one)
    at[at == len(other)] = 0
    shared: IntArray = one[other[at] == one]
    return shared


class _Column:
    """Products by the value of one column."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self._order = np.argsort(values, kind="stable").astype(np.int64)
        self._sorted = values[self._order]

    def products(self, value: int) -> IntArray:
        """Return the products with a value, ascending."""
        key = self._sorted.dtype.type(value)
        low = int(np.searchsorted(self._sorted, key, side="left"))
        high = int(np.searchsorted(self._sorted, key, side="right"))
        return self._order[low:high]


class SelectorIndex:
    """Evaluates selectors over one catalogue; each distinct one once.

    Parameters
    ----------
    catalogue : CatalogueTables
    """

    def __init__(self, catalogue: CatalogueTables) -> None:
        self._catalogue = catalogue
        products = catalogue.products
        self.product_count = len(products)
        self._all: IntArray = np.arange(len(products), dtype=np.int64)
        self._category = _Column(products["category"])
        self._department = _Column(products["department"])
        self._brand = _Column(products["brand_key"])
        self._vendor = _Column(products["vendor_key"])
        self._flags = products["flags"]
        paths = sorted((path, n) for n, path in enumerate(catalogue.category_paths) if path)
        self._paths = [path for path, _ in paths]
        self._path_numbers = [number for _, number in paths]
        self._departments = {name: n for n, name in enumerate(catalogue.department_names) if name}
        self._found: dict[str, IntArray] = {}

    def products(self, selector: Selector, items_of: ItemsOf, scope: str = "") -> IntArray:
        """Return the numbers of the products that fit, ascending. Do not write to the array.

        Parameters
        ----------
        selector : Selector
            Its range of unit prices and kind of line are not looked at: the till's line decides
            those.
        items_of : callable
            Codes of an items file.
        scope : str
            Folder that names of items files are relative to; part of what is remembered.
        """
        key = self.key(selector, scope)
        found = self._found.get(key)
        if found is None:
            found = self._evaluate(selector, items_of)
            found.flags.writeable = False
            self._found[key] = found
        return found

    @staticmethod
    def key(selector: Selector, scope: str) -> str:
        """Return a text that is equal for selectors that fit the same products."""
        return scope + selector.model_dump_json(exclude_none=True, exclude={"unit_price", "line"})

    def _evaluate(self, selector: Selector, items_of: ItemsOf) -> IntArray:
        parts = list(self._leaves(selector, items_of))
        parts.extend(self._evaluate(inner, items_of) for inner in selector.all_ or [])
        if selector.any_ is not None:
            parts.append(self._union([self._evaluate(part, items_of) for part in selector.any_]))
        if not parts:
            found = self._all
        else:
            found = min(parts, key=len)
            for part in parts:
                found = both(found, part) if part is not found else found
        if selector.not_ is not None:
            fits = np.zeros(self.product_count, dtype=bool)
            fits[found] = True
            fits[self._evaluate(selector.not_, items_of)] = False
            found = np.flatnonzero(fits)
        return found.view()

    def _leaves(self, selector: Selector, items_of: ItemsOf) -> Iterator[IntArray]:
        """Yield the products of each plain condition."""
        if selector.category is not None:
            yield self._union([self._below(path) for path in selector.category])
        for space, names, column in (
            ("brand", selector.brand, self._brand),
            ("vendor", selector.vendor, self._vendor),
        ):
            if names is not None:
                yield self._union([column.products(name_key(space, name)) for name in names])
        if selector.department is not None:
            numbers = [self._departments.get(name) for name in selector.department]
            known = [number for number in numbers if number is not None]
            yield self._union([self._department.products(number) for number in known])
        if selector.items is not None:
            yield self._coded(selector.items)
        if selector.items_file is not None:
            yield self._coded(items_of(selector.items_file))
        if selector.flags is not None:
            bits = np.uint64(sum(FLAG_BITS[flag] for flag in set(selector.flags)))
            yield np.flatnonzero((self._flags & bits) == bits)

    def _below(self, category: str) -> IntArray:
        """Return the products of a category and everything below it."""
        path = normal_path(category)
        own = bisect_left(self._paths, path)
        numbers = self._path_numbers[own : bisect_right(self._paths, path)]
        # '0' follows '/' in ASCII, so the paths between these two ends are those below this one.
        low = bisect_left(self._paths, path + "/")
        high = bisect_left(self._paths, path + "0")
        numbers = numbers + self._path_numbers[low:high]
        return self._union([self._category.products(number) for number in numbers])

    def _coded(self, texts: Sequence[str]) -> IntArray:
        found = self._catalogue.find_products(product_codes(texts))
        return np.unique(found[found >= 0])

    @staticmethod
    def _union(parts: list[IntArray]) -> IntArray:
        if not parts:
            return NOTHING
        return parts[0] if len(parts) == 1 else np.unique(np.concatenate(parts))


@dataclass(frozen=True)
class Classes:
    """Products by the set of selectors that they fit.

    Attributes
    ----------
    class_of_product : numpy.ndarray of int64
        Class 0 fits none.
    classes, selectors : numpy.ndarray of int64
        Pairs: products of this class fit this selector.
    count : int
        Classes, class 0 included.
    """

    class_of_product: IntArray
    classes: IntArray
    selectors: IntArray
    count: int


def classify(product_count: int, members: Sequence[IntArray]) -> Classes:
    """Group products that fit the same selectors.

    Parameters
    ----------
    product_count : int
    members : sequence of numpy.ndarray of int64
        Products of each selector, ascending.

    Returns
    -------
    Classes
        Numbered by their first product.

    Notes
    -----
    Every selector adds two random words to each of its products: products of equal sums fit the
    same selectors, but for a collision of 128 bits. No list of pairs is built; a second pass proves
    each selector whole over the classes, so that a collision cannot pass unseen.
    """
    sums = np.zeros((2, product_count), dtype=np.uint64)
    words = _random_words(len(members))
    for number, products in enumerate(members):
        sums[0][products] += words[0, number]
        sums[1][products] += words[1, number]
    order = np.lexsort((sums[1], sums[0]))
    ordered = sums[:, order]
    starts = np.ones(product_count, dtype=bool)
    starts[1:] = np.any(ordered[:, 1:] != ordered[:, :-1], axis=0)
    group = np.empty(product_count, dtype=np.int64)
    group[order] = np.cumsum(starts) - 1
    # The sort is stable: the first of each group is its lowest product.
    first = np.sort(order[starts])
    first = first[(sums[0][first] != 0) | (sums[1][first] != 0)]
    number_of_group = np.zeros(int(starts.sum()), dtype=np.int64)
    number_of_group[group[first]] = np.arange(1, len(first) + 1)
    class_of_product = number_of_group[group]
    return _pairs(class_of_product, first, members)


def _random_words(count: int) -> UintArray:
    """Return two words for each selector: fixed, so that builds are equal."""
    numbers = np.arange(1, 2 * count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return mix64(mix64(numbers)).reshape(2, count)


def _pairs(class_of_product: IntArray, first: IntArray, members: Sequence[IntArray]) -> Classes:
    """Return which classes fit which selectors, after proving that no class is split by one."""
    count = len(first) + 1
    is_first = np.zeros(len(class_of_product), dtype=bool)
    is_first[first] = True
    sizes = np.bincount(class_of_product, minlength=count)
    seen = np.full(count, -1, dtype=np.int64)
    classes, selectors = [NOTHING], [NOTHING]
    for number, products in enumerate(members):
        if len(products) == 0:
            continue
        of_products = class_of_product[products]
        fitting = of_products[is_first[products]]
        seen[fitting] = number
        whole = bool(np.all(seen[of_products] == number))
        if not whole or int(sizes[fitting].sum()) != len(products):
            raise RuntimeError("two classes of products share a hash: rename an offer")
        classes.append(fitting)
        selectors.append(np.full(len(fitting), number, dtype=np.int64))
    return Classes(class_of_product, np.concatenate(classes), np.concatenate(selectors), count)
