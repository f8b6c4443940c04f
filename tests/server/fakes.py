"""A fake engine and what tests need around it: for the transport only, it decides nothing."""

import threading
from collections.abc import Callable
from typing import Any

from checklane._engine import EngineError
from checklane.errors import REFUSALS

METHODS = {
    f"CheckoutService.{name}": number
    for number, name in enumerate(
        (
            "IdentifyMember",
            "QuoteBasket",
            "CommitTransaction",
            "VoidTransaction",
            "ReturnItems",
            "UploadTransactions",
            "ClaimTransaction",
        ),
        1,
    )
}
NAME_OF = {number: name for name, number in METHODS.items()}


class FakeEngine:
    """Answers calls by what a test says; unasked it answers the bytes that it was sent."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[[bytes], Any]] = {}
        self.calls: list[tuple[str, bytes]] = []
        self.activated: list[tuple[Any, Any, Any, bool]] = []
        self.entries: list[bytes] = []
        self.figures = {"durable_lsn": 7, "first_lsn": 1, "recovered_entries": 7}
        self.is_closed = False
        self.checkpoints = 0
        self._lock = threading.Lock()

    def call(self, method: int, request: bytes) -> tuple[int, bytes | str]:
        name = NAME_OF[method]
        with self._lock:
            self.calls.append((name, request))
        answer = self.handlers.get(name, lambda request: request)(request)
        if isinstance(answer, bytes):
            return 0, answer
        reason, place = answer
        return REFUSALS[reason].number, place

    def activate(
        self,
        program: str | None,
        catalogue: str | None,
        members: str | None,
        *,
        is_recorded: bool = True,
    ) -> None:
        self.activated.append((program, catalogue, members, is_recorded))

    def read_entries(self, from_lsn: int, limit: int, max_bytes: int) -> list[bytes]:
        if not 1 <= from_lsn <= len(self.entries) + 1:
            raise EngineError(REFUSALS["LSN_NOT_KEPT"].number, "")
        return self.entries[from_lsn - 1 : from_lsn - 1 + limit]

    def stats(self) -> dict[str, int]:
        return self.figures

    def tallies(self) -> dict[str, Any]:
        return {}

    def checkpoint(self) -> None:
        self.checkpoints += 1

    def close(self) -> None:
        self.is_closed = True
