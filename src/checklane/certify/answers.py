"""Steps about answers that do not come, come late, or say no."""

import uuid
from collections.abc import Iterator

from checklane.certify.door import HOLD, LOSE, LOWER, REFUSE, Fault
from checklane.certify.judge import keeps_its_key
from checklane.certify.player import HURRIED_ONCE, ONCE, Player
from checklane.certify.record import HELD, LOST, TURNED_AWAY, Evidence, Exchange, content_of
from checklane.certify.step import Phase, Step
from checklane.client import Basket, Decision
from checklane.errors import ChecklaneError, ConflictError, DecisionChangedError

__all__ = ["STEPS"]

#: More tries than this at one call are no retry any more.
TRIES_MOST = 100


class LostAnswer(Step):
    """The connection breaks after the commit."""

    name = "lost-answer"
    title = "A lost answer is asked for again, with the same key"
    broken = "the lane makes a new key for its second try"
    phases = (
        Phase(
            "Sell two of the first product and take the money.",
            (Fault("CommitTransaction", LOSE),),
        ),
    )

    def play(self, player: Player, phase: int) -> None:
        basket = player.basket(2)
        if not player.is_broken:
            player.pay(basket)
            return
        sequence = player.sequence()
        for _ in range(2):
            try:
                player.pay(basket, policy=ONCE, sequence=sequence)
            except ChecklaneError:
                continue

    def look(self, seen: Evidence) -> Iterator[str]:
        yield from asked_again(seen, LOST)


class LateAnswer(Step):
    """The answer comes later than the lane waits."""

    name = "late-answer"
    title = "An answer later than the deadline is asked for again, with the same key"
    broken = "the lane does not ask again"
    phases = (
        Phase(
            "Sell one of the first product and take the money.",
            (Fault("CommitTransaction", HOLD),),
        ),
    )

    def play(self, player: Player, phase: int) -> None:
        basket, sequence = player.basket(1), player.sequence()
        try:
            player.pay(basket, policy=HURRIED_ONCE, sequence=sequence)
        except ChecklaneError as error:
            # The till keeps the sale with its key, and sends it again when it has time.
            if not player.is_broken:
                player.pay(basket, sequence=sequence, key=error.idempotency_key)

    def look(self, seen: Evidence) -> Iterator[str]:
        yield from asked_again(seen, HELD)


class Draining(Step):
    """The service is closing, twice, and has entered nothing."""

    name = "draining"
    title = "A service that drains is tried again until the sale is entered"
    broken = "the lane gives up when it is told that the service is closing"
    phases = (
        Phase(
            "Sell one of the second product and take the money.",
            (Fault("CommitTransaction", REFUSE, times=2),),
        ),
    )

    def play(self, player: Player, phase: int) -> None:
        if not player.is_broken:
            player.pay(player.basket(0, 1))
            return
        try:
            player.pay(player.basket(0, 1), policy=ONCE)
        except ChecklaneError as error:
            player.remarks["gave up"] = str(error)

    def look(self, seen: Evidence) -> Iterator[str]:
        yield from asked_again(seen, TURNED_AWAY)


class Duplicate(Step):
    """One sale is sent three times."""

    name = "duplicate"
    title = "The same key gets the first answer; with other content it is refused by name"
    broken = "the sale is sent again with another amount under its key"
    is_for_lanes = False
    phases = (Phase("One sale is sent twice under one key, then another under the same key."),)

    def play(self, player: Player, phase: int) -> None:
        key, sequence = str(uuid.uuid4()), player.sequence()
        basket = player.basket(2)
        first = player.pay(basket, sequence=sequence, key=key)
        if player.is_broken:
            basket.message.lines[0].amount_minor += 1
        try:
            again = player.pay(basket, sequence=sequence, key=key)
            player.remarks["same"] = again.message == first.message
        except ConflictError as error:
            player.remarks["same"] = f"refused with {error.reason}"
        try:
            player.pay(player.basket(1, 1), sequence=player.sequence(), key=key)
        except ConflictError as error:
            player.remarks["refused"] = error.reason

    def judge(self, seen: Evidence) -> Iterator[str]:
        yield from self.look(seen)

    def look(self, seen: Evidence) -> Iterator[str]:
        same = seen.remarks.get("same")
        if same is not True:
            words = same or "answered otherwise"
            yield f"the second send of a sale was {words}: the first answer is due, byte for byte"
        if seen.remarks.get("refused") != "KEY_REUSED":
            yield "a key that is bound to other content is to be refused with KEY_REUSED"
        if seen.entries is not None and len(seen.entered("SALE")) != 1:
            yield f"{len(seen.entered('SALE'))} sales are entered instead of one"


class SameReceipt(Step):
    """One receipt comes under two keys."""

    name = "same-receipt"
    title = "A receipt that is entered is refused under another key, by name"
    broken = "the sale is sent again under the next receipt number"
    is_for_lanes = False
    phases = (Phase("One receipt is sent under two keys."),)

    def play(self, player: Player, phase: int) -> None:
        sequence = player.sequence()
        basket = player.basket(1)
        player.pay(basket, sequence=sequence)
        try:
            again = player.sequence() if player.is_broken else sequence
            player.pay(basket, sequence=again, policy=ONCE)
        except ConflictError as error:
            player.remarks["refused"] = error.reason

    def judge(self, seen: Evidence) -> Iterator[str]:
        yield from self.look(seen)

    def look(self, seen: Evidence) -> Iterator[str]:
        if seen.remarks.get("refused") != "RECEIPT_REUSED":
            yield (
                "the second send was not refused with RECEIPT_REUSED: a sale that is sent again"
                " keeps its receipt, which is what keeps it from being entered twice"
            )
        if seen.entries is not None and len(seen.entered("SALE")) != 1:
            yield f"{len(seen.entered('SALE'))} sales are entered instead of one"


class Busy(Step):
    """No quote is answered; the customer pays the shelf price."""

    name = "busy"
    title = "A service that is too busy to quote does not stop the sale"
    broken = "the lane gives the sale up when a quote is refused"
    phases = (
        Phase(
            "Scan one of the third product, take the money and finish the sale.",
            (Fault("QuoteBasket", REFUSE, times=10_000, reason="LANES_BUSY"),),
        ),
    )

    def play(self, player: Player, phase: int) -> None:
        basket = player.basket(0, 0, 1)
        try:
            player.lane(policy=ONCE).quote(basket)
        except ChecklaneError as error:
            player.remarks["refused"] = error.reason
        if not player.is_broken:
            player.pay(basket, paid=True)

    def look(self, seen: Evidence) -> Iterator[str]:
        commits = seen.of("CommitTransaction")
        if not commits:
            yield "no sale came: sell at the shelf price and commit it with `paid`"
        if any(not found.request.paid for found in commits):
            yield "the sale does not say `paid`: the money has changed hands, it is to be posted"
        if len(seen.of("QuoteBasket", "TotalBasket")) > TRIES_MOST:
            yield "the lane asks again without end: wait longer before each try, then go on"


class Degraded(Step):
    """Quotes are decided with less than everything."""

    name = "degraded"
    title = "A degraded quote is read by its level, and the sale posts what was shown"
    broken = "the lane commits without the figures that it showed"
    phases = (
        Phase(
            "Scan three of the first product, show the price, take the money.",
            (Fault("QuoteBasket", LOWER, times=10_000),),
        ),
    )

    def play(self, player: Player, phase: int) -> None:
        basket = player.basket(3)
        decision = player.lane().quote(basket)
        player.remarks["level"] = decision.degraded_level
        player.pay(basket, shown=None if player.is_broken else decision)

    def look(self, seen: Evidence) -> Iterator[str]:
        if seen.remarks.get("level", "PUBLIC_OFFERS") != "PUBLIC_OFFERS":
            yield f"the level was read as {seen.remarks['level']}: read `degraded_level`"
        quotes = [found for found in seen.of("QuoteBasket") if found.is_seen]
        if not quotes:
            yield "nothing was quoted: quote the basket before it is paid"
            return
        shown = quotes[-1].answer.decision.totals
        for commit in seen.of("CommitTransaction"):
            figures = commit.request.figures
            if not commit.request.HasField("figures") or not figures.HasField("discount_minor"):
                yield "the sale has no `figures`: send what was shown, so that it is posted as sold"
            elif figures.discount_minor != shown.discount_minor:
                yield (
                    f"the sale says a discount of {figures.discount_minor}, shown were"
                    f" {shown.discount_minor}: post what the customer saw"
                )


class Changed(Step):
    """The figures are others at the commit than the lane showed."""

    name = "changed"
    title = "A refusal because the figures changed is read, shown, and agreed to"
    broken = "the lane sends the old figures again"
    is_for_lanes = False
    phases = (Phase("Figures that are not today's are committed, to be refused on change."),)

    def play(self, player: Player, phase: int) -> None:
        basket = player.basket(3)
        lane = player.lane()
        old = lane.quote(player.basket(2))
        try:
            self._commit(player, basket, old)
        except DecisionChangedError as error:
            player.remarks["place"] = error.place
            new = old if player.is_broken else lane.quote(basket)
            try:
                self._commit(player, basket, new)
            except DecisionChangedError:
                player.remarks["refused again"] = True

    def _commit(self, player: Player, basket: Basket, shown: Decision) -> None:
        player.lane().commit(
            basket,
            sequence=1,
            business_date=player.date,
            shown=shown,
            refuse_on_change=True,
        )

    def look(self, seen: Evidence) -> Iterator[str]:
        if not str(seen.remarks.get("place", "")).startswith("figures."):
            yield "figures that changed are to be refused with DECISION_CHANGED, at the figure"
        if seen.remarks.get("refused again"):
            yield "the old figures were sent again: quote again, show that, and commit what it says"


def asked_again(seen: Evidence, fate: str) -> Iterator[str]:
    """Yield what is wrong with tries after a commit whose answer had this fate."""
    commits = seen.of("CommitTransaction")
    if not commits:
        yield "no sale came: finish the sale, so that the lane commits it"
    hurt = [found for found in commits if found.fate == fate]
    for found in hurt:
        same = [other for other in commits if _same_sale(found, other)]
        yield from keeps_its_key(same)
        if len(same) == 1:
            yield "the lane did not ask again: send the sale once more, with its key"
        if len(same) > TRIES_MOST:
            yield f"{len(same)} tries: wait between them, longer each time"


def _same_sale(one: Exchange, other: Exchange) -> bool:
    return one.receipt == other.receipt or content_of(one.request) == content_of(other.request)


STEPS: tuple[Step, ...] = (
    LostAnswer(), LateAnswer(), Draining(), Duplicate(), SameReceipt(), Busy(), Degraded(),
    Changed(),
)  # fmt: skip
