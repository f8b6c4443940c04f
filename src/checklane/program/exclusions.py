"""Goods that a program keeps out of discounts, earning or redemption, as tables (B7)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from checklane import _layout
from checklane.program.model import Exclusion
from checklane.program.selectors import SelectorIndex

FROM_FLAGS = {
    "discount": _layout.PRODUCT_FLAG_NO_DISCOUNT,
    "earn": _layout.PRODUCT_FLAG_NO_EARN,
    "burn": _layout.PRODUCT_FLAG_NO_BURN,
}


def exclusion_tables(
    rules: Sequence[Exclusion], index: SelectorIndex, jurisdictions: Sequence[str]
) -> dict[str, npt.NDArray[Any]]:
    """Return the set of rules of each product, and what each set keeps out of what, where.

    Parameters
    ----------
    rules : sequence of Exclusion
        At most 64.
    index : SelectorIndex
    jurisdictions : sequence of str
        Names of the catalogue, by number; number 0 is none.
    """
    if not rules:
        return {
            "excluded_set": np.zeros(0, dtype=np.uint16),
            "excluded_flags": np.zeros(0, dtype=np.uint8),
        }
    bits = np.zeros(index.product_count, dtype=np.uint64)
    for number, rule in enumerate(rules):
        bits[index.products(rule.of, lambda name: ())] |= np.uint64(1 << number)
    # A set of no rules comes first, so that there is a set where there are no products.
    sets, of_product = np.unique(np.append(bits, np.uint64(0)), return_inverse=True)
    flags = np.zeros((len(jurisdictions), len(sets)), dtype=np.uint8)
    for number, rule in enumerate(rules):
        holds = (sets & np.uint64(1 << number)) != 0
        kept_out = sum(FROM_FLAGS[name] for name in set(rule.from_))
        if rule.unless is not None:
            kept_out <<= _layout.EXCLUDED_GATED_SHIFT
        for place, name in enumerate(jurisdictions):
            if rule.jurisdictions is None or name in rule.jurisdictions:
                flags[place, holds] |= np.uint8(kept_out)
    return {
        "excluded_set": of_product[: index.product_count].astype(np.uint16),
        "excluded_flags": flags.reshape(-1),
    }
