"""Keyed hashes and name keys of many texts at once, computed by the compiled engine.

Notes
-----
``space:name`` is hashed with an all-zero key into the name key: the same everywhere and for good.
Members and identifiers are hashed with the identity key of the data directory.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from checklane import _engine
from checklane._layout import CODE_KIND_SKU
from checklane.tables.open_addressing import UintArray

NO_SECRET = bytes(16)
KEY_CHECK_TEXT = "checklane:key-check"
CODE_NUMBER_MASK = (1 << 60) - 1


def hash_texts(key: bytes, texts: Sequence[str]) -> UintArray:
    """Hash texts with SipHash-2-4-128.

    Parameters
    ----------
    key : bytes
        16 bytes.
    texts : sequence of str
        Hashed as UTF-8.

    Returns
    -------
    numpy.ndarray of uint64, shape (len(texts), 2)
        The high and the low word of each hash.
    """
    if len(key) != 16:
        raise ValueError(f"a hash key has 16 bytes, not {len(key)}")
    encoded = [text.encode() for text in texts]
    lengths = np.fromiter(chain((0,), map(len, encoded)), dtype=np.uint64, count=len(encoded) + 1)
    offsets = np.cumsum(lengths, dtype=np.uint64)
    return _engine.siphash128_batch(key, b"".join(encoded), offsets)


def first_words(hashes: UintArray) -> UintArray:
    """Return the low words, with 1 for 0: zero marks an empty slot."""
    low = hashes[:, 1].copy()
    low[low == 0] = 1
    return low


def name_keys(space: str, names: Sequence[str]) -> UintArray:
    """Return the name key of ``space:name`` for every name; 0 for an empty name."""
    keys = first_words(hash_texts(NO_SECRET, [f"{space}:{name}" for name in names]))
    keys[np.fromiter((not name for name in names), dtype=bool, count=len(names))] = 0
    return keys


def name_key(space: str, name: str) -> int:
    """Return the name key of ``space:name``."""
    return int(name_keys(space, [name])[0])


def sku_codes(skus: Sequence[str]) -> UintArray:
    """Return the product codes of SKUs: kind in the top four bits, 60 bits of the name key."""
    keys = name_keys("sku", skus) & np.uint64(CODE_NUMBER_MASK)
    return keys | np.uint64(CODE_KIND_SKU << 60)


def key_check(identity_key: bytes) -> int:
    """Return the number that tells this identity key from a foreign one."""
    return int(hash_texts(identity_key, [KEY_CHECK_TEXT])[0, 1])
