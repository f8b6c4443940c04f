"""A till whose line is down: what it sells goes to its spool and is entered when it is back."""

import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from checklane.client import Basket, Lane, OfflineLane, Policy, Receipt, Spool, VoidResult
from checklane.client.requests import Call
from checklane.client.results import from_message
from checklane.demo.failure import DemoError
from checklane.v1 import checkout_pb2

__all__ = ["AwayTill"]

#: A till whose line is down does not wait for it.
POLICY = Policy(change_budget_ms=1)
WAIT_S = 90.0

#: Method, answer and result of what a spool has, by the field of its item.
SPOOLED: Mapping[str, tuple[str, Any, type[Receipt | VoidResult]]] = {
    "commit_transaction": ("CommitTransaction", checkout_pb2.CommitTransactionResponse, Receipt),
    "void_transaction": ("VoidTransaction", checkout_pb2.VoidTransactionResponse, VoidResult),
}


class AwayTill:
    """A till while its line is down.

    Parameters
    ----------
    store, till : str
    path : Path
        Of the spool.
    """

    def __init__(self, store: str, till: str, path: Path) -> None:
        # Bound and not listened on: whoever calls is refused, and nobody else gets the port.
        self._nowhere = socket.socket()
        self._nowhere.bind(("127.0.0.1", 0))
        host, port = self._nowhere.getsockname()
        self._lane = Lane(f"{host}:{port}", store=store, till=till, policy=POLICY)
        self._spool = Spool(path)
        self._offline = OfflineLane(self._lane, self._spool)

    def close(self) -> None:
        """Close what is open; what waits stays in the spool."""
        self._offline.close()
        self._lane.close()
        self._nowhere.close()
        self._spool.close()

    def sell(self, basket: Basket, *, sequence: int, business_date: int, key: str) -> bool:
        """Sell; tell whether the sale waits in the spool."""
        sold = self._offline.sell(basket, sequence=sequence, business_date=business_date, key=key)
        return sold is None

    def void(self, key: str) -> bool:
        """Undo a sale by its key; tell whether the void waits in the spool."""
        return self._offline.void(original_key=key) is None

    def come_back(self, lane: Lane) -> list[Receipt | VoidResult]:
        """Enter what waits, and return what was answered to it, in order.

        What was answered to the upload is asked for by sending each item again under its key.

        Parameters
        ----------
        lane : Lane
            The till's, whose line is there.

        Raises
        ------
        DemoError
            Something is refused, or does not get through.
        """
        self._offline.close()
        items = list(_waiting(self._spool))
        with OfflineLane(lane, self._spool) as back:
            if not back.wait_until_entered(WAIT_S):
                raise DemoError(f"the spool of till {lane.requests.till} does not drain")
        for refused in self._spool.list_refused():
            raise DemoError(f"an item of a spool is refused: {refused.refusal.reason}")
        self.close()
        return [lane.send(_again(item)) for item in items]


def _waiting(spool: Spool) -> Iterator[checkout_pb2.UploadTransactionsRequest]:
    """Yield what waits in a spool."""
    number = spool.waiting()
    while number is not None:
        yield spool.read(number)
        number = spool.waiting(number)


def _again(item: checkout_pb2.UploadTransactionsRequest) -> Call[Receipt | VoidResult]:
    """Return an item of a spool as a call that sends the same again."""
    kind = item.WhichOneof("item")
    assert kind is not None
    request: Any = getattr(item, kind)
    method, response_class, result_class = SPOOLED[kind]
    key = request.context.idempotency_key
    return Call(
        method,
        request,
        response_class,
        lambda answer: from_message(result_class, answer, key=key),
        key,
    )
