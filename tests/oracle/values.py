"""Small exact things that every rule needs: money, names as numbers, rounding, shares."""

from decimal import Decimal
from fractions import Fraction
from typing import Any

PARTS = 10_000
MASK_64 = (1 << 64) - 1
CODE_NUMBER_MASK = (1 << 60) - 1


#: The last day of what never expires.
NEVER = 1 << 40


def scaled(value: Any, decimals: int) -> int:
    """Return a number as written, in units of its `decimals`-th decimal place."""
    number = Decimal(str(value)).scaleb(decimals)
    if number != int(number):
        raise ValueError(f"{value} has more than {decimals} decimals")
    return int(number)


def is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def rounded(number: Fraction, how: str) -> int:
    """Round a number that is not negative."""
    whole = number.numerator // number.denominator
    rest = number - whole
    if how == "floor":
        return whole
    if how == "ceil":
        return whole + (1 if rest > 0 else 0)
    return whole + (1 if rest >= Fraction(1, 2) else 0)


def share(total: int, weights: list[int], most: list[int] | None = None) -> list[int]:
    """Share a total in proportion to weights: largest remainder, ties to the earlier.

    Parameters
    ----------
    most : list of int, optional
        No share is greater than this. What is over goes to the others, a cent each by remainder,
        then to the earliest that have room.
    """
    everything = sum(weights)
    if everything == 0:
        return [0] * len(weights)
    ceilings = most if most is not None else [total] * len(weights)
    shares = [min(total * w // everything, c) for w, c in zip(weights, ceilings, strict=True)]
    order = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % everything), i))
    for i in order:
        if shares[i] < ceilings[i] and sum(shares) < total:
            shares[i] += 1
    for i in range(len(weights)):
        shares[i] += min(ceilings[i] - shares[i], total - sum(shares))
    if sum(shares) != total:
        raise ValueError("more is shared than there is room for")
    return shares


def _rotate(word: int, by: int) -> int:
    return (word << by | word >> (64 - by)) & MASK_64


def _rounds(v: list[int], times: int) -> None:
    for _ in range(times):
        v[0] = (v[0] + v[1]) & MASK_64
        v[2] = (v[2] + v[3]) & MASK_64
        v[1] = _rotate(v[1], 13) ^ v[0]
        v[3] = _rotate(v[3], 16) ^ v[2]
        v[0] = _rotate(v[0], 32)
        v[2] = (v[2] + v[1]) & MASK_64
        v[0] = (v[0] + v[3]) & MASK_64
        v[1] = _rotate(v[1], 17) ^ v[2]
        v[3] = _rotate(v[3], 21) ^ v[0]
        v[2] = _rotate(v[2], 32)


def siphash(key: bytes, data: bytes) -> int:
    """Return the low word of SipHash-2-4-128 (Aumasson and Bernstein, 2012)."""
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D ^ 0xEE,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]
    whole = len(data) // 8 * 8
    words = [int.from_bytes(data[at : at + 8], "little") for at in range(0, whole, 8)]
    last = int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56
    for word in [*words, last]:
        v[3] ^= word
        _rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xEE
    _rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def name_key(space: str, name: str) -> int:
    return siphash(bytes(16), f"{space}:{name}".encode()) or 1


def member_number(identity_key: bytes, member_id: str) -> int:
    return siphash(identity_key, f"member:{member_id}".encode()) or 1


def code_number(text: str) -> int:
    """Return the number of a product code: `sku:TEXT`, a PLU of up to 6 digits, else a GTIN."""
    if text == "":
        return 0
    if text.startswith("sku:"):
        return 3 << 60 | name_key("sku", text[4:]) & CODE_NUMBER_MASK
    return (2 if len(text) <= 6 else 1) << 60 | int(text)
