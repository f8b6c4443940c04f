"""Product codes as people write them, and as the engine counts them."""

from collections.abc import Sequence

import numpy as np

from checklane._layout import CODE_KIND_GTIN, CODE_KIND_PLU, ID_BYTES_MAX
from checklane.tables.hashing import sku_codes
from checklane.tables.open_addressing import UintArray

GTIN_LENGTHS = range(8, 15)
PLU_LENGTHS = range(1, 7)
KIND_SHIFT = 60
NUMBER_MASK = (1 << KIND_SHIFT) - 1


def gtin_check_digit(digits: str) -> int:
    """Return the check digit that belongs behind `digits` (GS1 General Specifications, 7.9)."""
    total = sum(int(digit) * (3 if at % 2 == 0 else 1) for at, digit in enumerate(digits[::-1]))
    return -total % 10


def code_fault(text: str) -> tuple[str, str] | None:
    """Return what is wrong with a product code and how to mend it; None when it is good."""
    kind, _, rest = text.partition(":") if ":" in text else ("", "", text)
    if kind == "sku":
        size = len(rest.encode())
        if 1 <= size <= ID_BYTES_MAX:
            return None
        return f"'{text}' has a code of {size} bytes", f"write 1 to {ID_BYTES_MAX} bytes after sku:"
    digits = rest.isascii() and rest.isdigit()
    if digits and len(rest) in PLU_LENGTHS and kind in ("", "plu"):
        return None
    if digits and len(rest) in GTIN_LENGTHS and kind in ("", "gtin"):
        expected = gtin_check_digit(rest[:-1])
        if int(rest[-1]) == expected:
            return None
        return f"the check digit of '{rest}' is wrong", f"it would be {rest[:-1]}{expected}"
    mend = "write a GTIN of 8 to 14 digits, a PLU of up to 6 digits, or sku:CODE"
    return f"'{text}' is not a product code", mend


def product_codes(texts: Sequence[str]) -> UintArray:
    """Return the engine's number of each product code that `code_fault` finds good.

    Parameters
    ----------
    texts : sequence of str

    Returns
    -------
    numpy.ndarray of uint64
        Kind in the top four bits, as layout.h says.
    """
    codes = np.zeros(len(texts), dtype=np.uint64)
    sku_places = [place for place, text in enumerate(texts) if text.startswith("sku:")]
    for place, text in enumerate(texts):
        digits = text.rpartition(":")[2]
        if not text.startswith("sku:"):
            kind = CODE_KIND_PLU if len(digits) in PLU_LENGTHS else CODE_KIND_GTIN
            codes[place] = (kind << KIND_SHIFT) | int(digits)
    if sku_places:
        codes[sku_places] = sku_codes([texts[place][len("sku:") :] for place in sku_places])
    return codes


def code_text(code: int) -> str:
    """Return a product code as people write it; of a SKU only a hash is kept."""
    kind, number = code >> KIND_SHIFT, code & NUMBER_MASK
    if kind == CODE_KIND_GTIN:
        return f"{number:013}"
    return str(number) if kind == CODE_KIND_PLU else f"sku of key {number:015x}"


def near_gtins(text: str) -> list[str]:
    """Return the GTINs that differ from `text` in one digit, or two swapped, and the check digit.

    A wrong digit alone breaks the check digit; a good code that is not in the catalogue is most
    often that of a sister product.
    """
    digits = text.rpartition(":")[2]
    if not digits.isdigit() or len(digits) not in GTIN_LENGTHS:
        return []
    body = digits[:-1]
    near = {body[:at] + other + body[at + 1 :] for at in range(len(body)) for other in "0123456789"}
    near |= {body[:at] + body[at + 1] + body[at] + body[at + 2 :] for at in range(len(body) - 1)}
    return [f"{found}{gtin_check_digit(found)}" for found in sorted(near - {body})]
