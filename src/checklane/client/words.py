"""Enums of the contract by their words: "CARD" for ``IDENTIFIER_KIND_CARD``."""

from typing import Any

from checklane.errors import refuse

__all__ = ["number_of"]


def number_of(enum: Any, prefix: str, word: str, place: str) -> Any:
    """Return the value of an enum whose name is the prefix and a word.

    Parameters
    ----------
    enum : generated enum
    prefix : str
        Such as "IDENTIFIER_KIND".
    word : str
        Such as "CARD".
    place : str
        What a refusal names.

    Raises
    ------
    RequestError
        ENUM_UNKNOWN.
    """
    values = dict(enum.items())
    name = f"{prefix}_{word.upper()}"
    if name not in values:
        known = ", ".join(found.removeprefix(f"{prefix}_") for found in list(values)[1:])
        raise refuse("ENUM_UNKNOWN", place, f"{word!r} is none of {known}")
    return values[name]
