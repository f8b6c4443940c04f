"""What a commit changes, whoever does it, and a proof that a peer does all of it."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from checklane.bench.figures import BenchError

#: Sizes of a commit of ten lines in our own journal, in bytes: request with facts, and answer.
REQUEST_BYTES = 912
RESPONSE_BYTES = 896
#: Offers of a sale whose use is counted.
COUNTED_OFFERS = 2
OFFERS = 1_000
DAY = 20_718
PURSE = 1


class KeyReusedError(Exception):
    """A key or a receipt came again with other content."""


@dataclass(frozen=True)
class Sale:
    """One commit, decided already.

    Attributes
    ----------
    key, content, receipt : (int, int)
        128-bit hashes, as two signed 64-bit numbers.
    account : int
    purse : int
    activation_day, expiry_day : int
        Of the lot, days since 1970.
    points : int
        Added to the lot and to the balance.
    offers : tuple of int
        Each one's use by the account is counted, by day.
    day : int
    request, response : bytes
        Kept with the entry; the response is the answer to a repeat.
    """

    key: tuple[int, int]
    content: tuple[int, int]
    receipt: tuple[int, int]
    account: int
    purse: int
    activation_day: int
    expiry_day: int
    points: int
    offers: tuple[int, ...]
    day: int
    request: bytes
    response: bytes


@dataclass(frozen=True)
class Address:
    """Where a peer's server listens; can be sent to another process.

    Attributes
    ----------
    kind : {"postgres", "redis"}
    path : str
        Of its Unix socket, or of the folder that holds it.
    """

    kind: Literal["postgres", "redis"]
    path: str


class Connection(Protocol):
    """One connection, for one thread at a time."""

    def commit(self, sale: Sale) -> bytes:
        """Enter a sale once; return its answer when it is durable.

        Raises
        ------
        KeyReusedError
        """

    def balance(self, account: int, purse: int) -> tuple[int, int, int]:
        """Return the balance, the sum of the lots, and the sum of the counted uses."""

    def close(self) -> None:
        """Close it."""


class Peer(Protocol):
    """A server that does the same commit."""

    @property
    def kind(self) -> Literal["postgres", "redis"]:
        """Name in an `Address`."""

    @property
    def name(self) -> str:
        """Name to show."""

    def version(self) -> str:
        """Return the version of the program that is installed.

        Raises
        ------
        BenchError
            It is not installed.
        """

    def serving(self, folder: Path) -> AbstractContextManager[Address]:
        """Run a server of its own with its data in `folder`, on the disk that is measured.

        It listens on a Unix socket only, and is ended by its process id.
        """

    def connect(self, address: Address) -> Connection:
        """Open a connection."""


def make_sales(seed: int, accounts: int, lane: int = 0) -> Iterator[Sale]:
    """Yield sales without end, each with a key and a receipt of its own.

    Parameters
    ----------
    seed : int
    accounts : int
        They take turns by chance.
    lane : int
        Sales of two lanes share no key.
    """
    draw = np.random.default_rng([seed, lane])
    request = draw.bytes(REQUEST_BYTES)
    response = draw.bytes(RESPONSE_BYTES)
    while True:
        hashes = draw.integers(-(2**63), 2**63, (256, 6), dtype=np.int64).tolist()
        owners = draw.integers(0, accounts, 256).tolist()
        points = draw.integers(1, 500, 256).tolist()
        counted = draw.integers(0, OFFERS, (256, COUNTED_OFFERS)).tolist()
        for words, account, value, offers in zip(hashes, owners, points, counted, strict=True):
            yield Sale(
                key=(words[0], words[1]),
                content=(words[2], words[3]),
                receipt=(words[4], words[5]),
                account=account,
                purse=PURSE,
                activation_day=DAY,
                expiry_day=DAY + 400,
                points=value,
                offers=tuple(offers),
                day=DAY,
                request=request,
                response=response,
            )


def prove(connection: Connection, sales: Sequence[Sale]) -> None:
    """Commit sales, some again, and look at what they left; `sales` own their accounts.

    Raises
    ------
    BenchError
        The peer does not do what a commit has to do.
    """
    for sale in sales:
        if connection.commit(sale) != sale.response:
            raise BenchError("a peer answered wrongly")
    again = sales[0]
    if connection.commit(replace(again, response=b"another")) != again.response:
        raise BenchError("a peer answered a repeat with another answer")
    renamed = replace(again, key=(again.key[1], again.key[0]))
    if connection.commit(replace(renamed, response=b"another")) != again.response:
        raise BenchError("a peer entered a receipt twice")
    other = (again.content[1], again.content[0])
    elsewhere = (again.receipt[1], again.receipt[0])
    for wrong in (
        replace(again, content=other, receipt=elsewhere),
        replace(renamed, content=other),
    ):
        try:
            connection.commit(wrong)
        except KeyReusedError:
            continue
        raise BenchError("a peer took a key or a receipt again with other content")
    for account in {sale.account for sale in sales}:
        own = [sale for sale in sales if sale.account == account]
        points = sum(sale.points for sale in own)
        uses = sum(len(sale.offers) for sale in own)
        if connection.balance(account, again.purse) != (points, points, uses):
            raise BenchError("a peer's balance, lots or counted uses are wrong")
