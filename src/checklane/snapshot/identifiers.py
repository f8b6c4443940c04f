"""Normal forms of identifiers and birthdays: what is hashed, so the engine must form the same.

Cards and phones keep their digits; blanks, ``-./()`` and a leading ``+`` go. E-mail addresses keep
everything, with A to Z in lower case. App tokens and account numbers stay as they are. Blanks
around a value are no part of it.
"""

import re
from calendar import monthrange
from collections.abc import Callable

from checklane._layout import VALUE_BYTES_MAX

#: Identifier kinds by the numbers of the wire enum IdentifierKind.
IDENTIFIER_KINDS = {"card": 1, "phone": 2, "email": 3, "app": 4, "account": 5}

_PUNCTUATION = str.maketrans("", "", " -./()")
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_BIRTH_DATE = re.compile(r"(?:(\d{4})-|--)?(\d{2})-(\d{2})", re.ASCII)


def digits(value: str) -> str | None:
    """Return the digits of a card or phone number, or None when it holds anything else."""
    if value.isascii() and value.isdigit():
        return value
    plain = value.removeprefix("+").translate(_PUNCTUATION)
    return plain if plain.isascii() and plain.isdigit() else None


def email(value: str) -> str | None:
    """Return an e-mail address in lower case, or None when it is none."""
    local, at, domain = value.rpartition("@")
    if not local or not at or not domain or len(value.split()) != 1:
        return None
    return value.translate(_LOWER)


def as_is(value: str) -> str | None:
    """Return a value unchanged, or None when it is empty."""
    return value or None


_FORMS: dict[str, Callable[[str], str | None]] = {
    "card": digits,
    "phone": digits,
    "email": email,
    "app": as_is,
    "account": as_is,
}


def normalise(kind: str, value: str) -> str | None:
    """Return the normal form of an identifier.

    Parameters
    ----------
    kind : str
        One of `IDENTIFIER_KINDS`.
    value : str
        Without blanks around it.

    Returns
    -------
    str or None
        None when it is empty, longer than 256 bytes, or no identifier of its kind.
    """
    normal = _FORMS[kind](value)
    if normal is None or len(normal) * 4 <= VALUE_BYTES_MAX:
        return normal
    return normal if len(normal.encode()) <= VALUE_BYTES_MAX else None


def birthday(text: str) -> tuple[int, int] | None:
    """Return month and day of ``1980-02-29``, ``--02-29`` or ``02-29``.

    Returns
    -------
    tuple of int or None
        (0, 0) for an empty text; None when there is no such day. The year is not kept.
    """
    if not text:
        return 0, 0
    match = _BIRTH_DATE.fullmatch(text)
    if match is None:
        return None
    # 29 February exists in some year; the year 2000 is one.
    year, month, day = int(match[1] or 2000), int(match[2]), int(match[3])
    if not 1 <= month <= 12 or year < 1 or not 1 <= day <= monthrange(year, month)[1]:
        return None
    return month, day
