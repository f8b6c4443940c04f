"""The secret keys of a data directory: ``DATA/keys``, readable by their owner only.

The identity key turns member ids and identifiers into numbers and signs capsules of receipts, the
hold-out key draws control groups, the token key seals quote tokens. Losing the identity key loses
every member, so it belongs in the backup, apart from the journal.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from checklane.errors import ConfigError
from checklane.tables.files import sync_path

KEY_BYTES = 16
#: Number of the identity key in use. Identities carry it, so that a key can be changed one day.
IDENTITY_KEY_ID = 1
FILES = {
    "identity": f"identity-{IDENTITY_KEY_ID}.key",
    "hold_out": "hold-out.key",
    "token": "token.key",
}


class KeysError(ConfigError):
    """A key is missing, damaged, or readable by others."""


@dataclass(frozen=True)
class Keys:
    """The keys of one data directory, 16 bytes each; never printed."""

    identity: bytes = field(repr=False)
    hold_out: bytes = field(repr=False)
    token: bytes = field(repr=False)
    identity_id: int = IDENTITY_KEY_ID


def load_keys(data: Path) -> Keys:
    """Load the keys of a data directory.

    Raises
    ------
    KeysError
        A key is missing, has another length, or its mode lets others read or write it.
    """
    found = {name: _load(data / "keys" / file) for name, file in FILES.items()}
    return Keys(found["identity"], found["hold_out"], found["token"])


def create_keys(data: Path) -> Keys:
    """Load the keys of a data directory, making from the system's randomness what is not there.

    Raises
    ------
    KeysError
        As `load_keys`.
    """
    directory = data / "keys"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in FILES.values():
        _create(directory / file)
    sync_path(directory)
    sync_path(data)
    return load_keys(data)


def _create(path: Path) -> None:
    """Write a new key whole under its name, or leave the one that is there."""
    if path.exists():
        return
    temporary = path.with_suffix(f".new-{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, os.urandom(KEY_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        # A link, unlike a rename, never replaces the key of another process that was quicker.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _load(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            key = file.read(KEY_BYTES + 1)
    except FileNotFoundError:
        raise KeysError(
            f"{path} is missing: restore it from the backup; a new data directory gets its keys"
            " from `checklane snapshot build members` or `checklane serve`"
        ) from None
    if mode & 0o077:
        raise KeysError(f"{path} has mode {mode:04o}, others could use it: chmod 600 {path}")
    if len(key) != KEY_BYTES:
        raise KeysError(f"{path} has not {KEY_BYTES} bytes: restore it from the backup")
    return key
