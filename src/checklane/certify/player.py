"""Our own lanes as steps drive them: `checklane.client`, nothing else, and broken when told to."""

import uuid
from datetime import UTC
from pathlib import Path
from typing import Any

from checklane.certify.shop import Shop
from checklane.client import Basket, Decision, Lane, OfflineLane, Policy, Receipt, Spool, Total
from checklane.clock import SYSTEM_CLOCK, business_date

__all__ = ["Player"]

#: Long enough for any machine: no step fails because one is slow.
PATIENT = Policy(
    quote_deadline_ms=20_000,
    change_deadline_ms=20_000,
    quote_budget_ms=60_000,
    change_budget_ms=60_000,
)
#: One try, for a lane that leaves the rest to its spool or to nobody.
ONCE = Policy(
    quote_deadline_ms=20_000, change_deadline_ms=20_000, quote_budget_ms=0, change_budget_ms=0
)
#: A lane that leaves a sale to its spool when the service is away; no connection that comes back
#: takes longer than that.
TO_SPOOL = Policy(
    quote_deadline_ms=20_000, change_deadline_ms=20_000, quote_budget_ms=0, change_budget_ms=2_000
)
#: A lane that quotes with patience and forgets a change that is not answered at once.
FORGETFUL = Policy(
    quote_deadline_ms=20_000, change_deadline_ms=20_000, quote_budget_ms=60_000, change_budget_ms=0
)
#: A lane that gives up on an answer while the door still holds it.
HURRIED_ONCE = Policy(change_deadline_ms=2_000, change_budget_ms=0)


class Player:
    """The lanes of one step.

    Parameters
    ----------
    address : str
        Where they call.
    shop : Shop
    folder : Path
        For spools.
    is_broken : bool
        Whether the step is to be played wrong on purpose.

    Attributes
    ----------
    remarks : dict of str to object
        What the lanes saw that does not show on the wire.
    """

    def __init__(self, address: str, shop: Shop, folder: Path, *, is_broken: bool) -> None:
        self.shop = shop
        self.is_broken = is_broken
        self.remarks: dict[str, Any] = {}
        self._address = address
        self._folder = folder
        self._lanes: dict[tuple[str, Policy], Lane] = {}
        self._spools: list[Spool] = []
        self._offline: OfflineLane | None = None
        self._sequences: dict[str, int] = {}
        # Another run against the same service has other tills, so receipts are never used twice.
        self._run = uuid.uuid4().hex[:8]
        #: The business date of everything; the default of the lane is this machine's own.
        self.date = business_date(SYSTEM_CLOCK.unix_ms(), UTC)

    def close(self) -> None:
        """Close every lane and spool."""
        if self._offline is not None:
            self._offline.close()
        for spool in self._spools:
            spool.close()
        for lane in self._lanes.values():
            lane.close()

    def till(self, number: str = "1") -> str:
        """Return the id of one of this run's tills."""
        return f"{self._run}-{number}"

    def lane(self, number: str = "1", policy: Policy = PATIENT) -> Lane:
        """Return the lane of a till."""
        if (number, policy) not in self._lanes:
            self._lanes[number, policy] = Lane(
                self._address, store=self.shop.store, till=self.till(number), policy=policy
            )
        return self._lanes[number, policy]

    def offline_lane(self, number: str = "1") -> OfflineLane:
        """Return the lane of a till with a spool, made when it is first asked for."""
        if self._offline is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            spool = Spool(self._folder / f"{self.till(number)}.spool")
            self._spools.append(spool)
            self._offline = OfflineLane(self.lane(number, TO_SPOOL), spool, retry_s=0.1)
        return self._offline

    def sequence(self, number: str = "1") -> int:
        """Return the next receipt number of a till."""
        self._sequences[number] = self._sequences.get(number, 0) + 1
        return self._sequences[number]

    def basket(self, *counts: int, card: bool = True) -> Basket:
        """Return a basket with so many of each product."""
        basket = Basket()
        for product, count in zip(self.shop.products, counts, strict=False):
            if count:
                basket.add(
                    product.code,
                    kind=product.kind,
                    count=count,
                    amount_minor=count * product.price_minor,
                )
        return basket.card(self.shop.card) if card and self.shop.card else basket

    def pay(
        self,
        basket: Basket,
        *,
        number: str = "1",
        policy: Policy = PATIENT,
        sequence: int | None = None,
        key: str | None = None,
        shown: Decision | None = None,
        total: Total | None = None,
        paid: bool = False,
        issue_capsule: bool = False,
    ) -> Receipt:
        """Commit a basket under the next receipt of its till; as paid when its figures are given.

        Parameters
        ----------
        basket : Basket
        number : str
            Of the till.
        policy : Policy
        sequence, key, shown, total, paid, issue_capsule
            As for `Lane.commit`.
        """
        return self.lane(number, policy).commit(
            basket,
            sequence=self.sequence(number) if sequence is None else sequence,
            business_date=self.date,
            key=key,
            shown=shown,
            total=total,
            paid=paid or shown is not None or total is not None,
            issue_capsule=issue_capsule,
        )
