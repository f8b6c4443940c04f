"""Product codes and decimal amounts as feeds write them."""

import re

from checklane._layout import CODE_KIND_GTIN, CODE_KIND_PLU

CODE_KINDS = ("gtin", "plu", "sku")
#: GTIN-8 to GTIN-14; spreadsheets drop leading zeros, so lengths between them are read too.
GTIN_DIGITS_MIN = 8
GTIN_DIGITS_MAX = 14
#: Price look-up codes: four or five digits, or six that a retailer gives out itself.
PLU_DIGITS_MAX = 6
_DECIMAL = re.compile(r"\d{1,15}(?:\.(\d{1,12}))?", re.ASCII)


def gtin_code(text: str) -> int | str:
    """Return the product code of a GTIN-8, -12, -13 or -14, or what is wrong with it.

    Notes
    -----
    GS1 General Specifications, 7.9: from the right, digits weigh 3, 1, 3 ... and the check digit
    makes the sum a multiple of ten. Leading zeros do not change it.
    """
    if not (text.isascii() and text.isdigit()):
        return "not digits only"
    if not GTIN_DIGITS_MIN <= len(text) <= GTIN_DIGITS_MAX:
        return "not 8 to 14 digits"
    if int(text) == 0:
        return "all zeros"
    total = 3 * sum(map(int, text[-2::-2])) + sum(map(int, text[-3::-2]))
    if -total % 10 != int(text[-1]):
        return "wrong check digit"
    return CODE_KIND_GTIN << 60 | int(text)


def plu_code(text: str) -> int | str:
    """Return the product code of a PLU, or what is wrong with it."""
    if not (text.isascii() and text.isdigit()):
        return "not digits only"
    if len(text) > PLU_DIGITS_MAX:
        return f"more than {PLU_DIGITS_MAX} digits"
    if int(text) == 0:
        return "all zeros"
    return CODE_KIND_PLU << 60 | int(text)


def scaled(text: str, decimals: int) -> int | None:
    """Return a decimal number times ten to the power of `decimals`, exactly.

    Returns
    -------
    int or None
        None when the text is no decimal number, or has digits below the smallest unit.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        return None
    fraction = (match[1] or "").rstrip("0")
    if len(fraction) > decimals:
        return None
    whole = text.split(".")[0]
    return int(whole + fraction.ljust(decimals, "0"))
