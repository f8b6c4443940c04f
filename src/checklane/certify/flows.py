"""Steps about the flows of a till's day, from a plain sale to an outage."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from checklane.certify.door import LOSE, REFUSE, Fault
from checklane.certify.judge import keeps_its_key, no_gap
from checklane.certify.player import FORGETFUL, ONCE, PATIENT, Player
from checklane.certify.record import Evidence
from checklane.certify.simulator import SimulatedTill
from checklane.certify.step import NotOfferedError, Phase, Step
from checklane.client import Basket, FuelPrice, Receipt, ReturnLine
from checklane.clock import SYSTEM_CLOCK
from checklane.errors import ChecklaneError, NotServedError, StateError
from checklane.v1 import basket_pb2, checkout_pb2

__all__ = ["STEPS"]

#: For how long the lane of the outage waits for its backlog; long enough for any machine.
PATIENCE_S = 120.0
AWAY_SALES = 3


class Sale(Step):
    """A sale as it should go."""

    name = "sale"
    title = "Identify, quote on every scan, total, commit with the total's token"
    broken = "the commit lacks the line that was scanned last"
    phases = (
        Phase(
            "Show the member's card. Scan three of the first product, then two of the second."
            " Total, take the money, finish the sale.",
        ),
    )

    def play(self, player: Player, phase: int) -> None:
        lane = player.lane()
        if player.shop.card:
            lane.identify(player.shop.card)
        lane.quote(player.basket(3))
        basket = player.basket(3, 2)
        lane.quote(basket)
        total = lane.total(basket)
        if player.is_broken:
            player.pay(player.basket(3))
        else:
            player.pay(basket, total=total)

    def look(self, seen: Evidence) -> Iterator[str]:
        quotes, totals = seen.of("QuoteBasket"), seen.of("TotalBasket")
        if len(quotes) < 2:
            yield "quote on every scan, so that the customer sees what each item costs"
        for commit in seen.of("CommitTransaction"):
            shown = (totals or quotes)[-1:]
            if shown and goods(commit.request) != goods(shown[0].request):
                yield (
                    "the sale has other lines than the last quote or total: send the whole basket,"
                    " every time"
                )
            if totals and not commit.request.total_token:
                yield "the sale was totalled and comes without `total_token`"
        if not seen.of("CommitTransaction"):
            yield "no sale came: finish the sale, so that the lane commits it"


class Suspend(Step):
    """A basket is put aside at one till and paid at another."""

    name = "suspend"
    title = "A basket that is totalled, put aside and resumed at another till keeps its figures"
    broken = "the second till does not send the token of the total"
    phases = (
        Phase("Show the card, scan three of the first product, total, and put the basket aside."),
        Phase("Resume the basket at another till, take the money, finish the sale."),
    )

    def play(self, player: Player, phase: int) -> None:
        if phase == 0:
            player.remarks["basket"] = basket = player.basket(3)
            player.remarks["total"] = player.lane("1").total(basket)
        else:
            total = None if player.is_broken else player.remarks["total"]
            player.pay(player.remarks["basket"], number="2", total=total)

    def look(self, seen: Evidence) -> Iterator[str]:
        totals = [found for found in seen.of("TotalBasket") if found.is_seen]
        commits = seen.of("CommitTransaction")
        if not totals or not commits:
            yield "a total and a sale are to come: total the basket before it is put aside"
            return
        total, commit = totals[-1], commits[-1]
        if commit.request.total_token != total.answer.total_token:
            yield (
                "the sale lacks the token of the total: keep `total_token` with the basket that is"
                " put aside, and commit with it"
            )
        elif commit.answer is not None and commit.answer.decision.totals != (
            total.answer.decision.totals
        ):
            yield "the sale was posted with other figures than were totalled"
        if commit.request.basket.basket_id != total.request.basket.basket_id:
            yield "the basket has another `basket_id` than at the total: it goes along with it"
        if commit.till == total.till:
            yield "the basket was paid at the till that had put it aside: resume it at another one"


class Void(Step):
    """A sale that is entered is undone."""

    name = "void"
    title = "A void names the sale, and undoes it whole"
    broken = "the void names a receipt that there never was"
    phases = (
        Phase("Sell two of the first product with the card."),
        Phase("Void that sale."),
    )

    def play(self, player: Player, phase: int) -> None:
        if phase == 0:
            player.remarks["sale"] = player.pay(player.basket(2))
        else:
            sequence = player.remarks["sale"].sequence + (100 if player.is_broken else 0)
            player.lane().void(sequence=sequence, business_date=player.date)

    def look(self, seen: Evidence) -> Iterator[str]:
        voids = [found for found in seen.of("VoidTransaction") if found.is_seen]
        if not voids:
            yield "no void came, or it was not answered: void the sale by its receipt"
        for void in voids:
            if void.answer.outcome != checkout_pb2.VOID_OUTCOME_VOIDED:
                yield (
                    "the void found no sale and left a tombstone: name the receipt as it was"
                    " committed, store, date, till and number"
                )
        sales, undone = seen.entered("SALE"), seen.entered("VOID")
        if seen.entries is not None and undone and sales:
            left = sum(entry.due_minor for entry in (*sales, *undone))
            if undone[-1].original_lsn == sales[-1].lsn and left != 0:
                yield f"{left} are left of a sale that was undone"


class VoidUnseen(Step):
    """A sale is undone that the service has never seen; then it comes."""

    name = "void-unseen"
    title = "A sale without an answer can be voided; when it comes late it has no effect"
    broken = "the lane forgets the void"
    phases = (
        Phase(
            "Sell one of the first product: no answer will come. Cancel the sale.",
            (Fault("CommitTransaction", REFUSE, times=10_000),),
        ),
        Phase("Let the lane send what it still has, the cancelled sale among it."),
    )

    def play(self, player: Player, phase: int) -> None:
        basket = player.remarks.setdefault("basket", player.basket(1))
        key = "cancelled-sale"
        if phase == 0:
            sequence = player.sequence()
            try:
                player.pay(basket, policy=ONCE, sequence=sequence, key=key)
            except ChecklaneError as error:
                player.remarks["no answer"] = error.reason
            if not player.is_broken:
                player.lane().void(original_key=key, reason="no answer")
        else:
            player.pay(basket, sequence=1, key=key)

    def judge(self, seen: Evidence) -> Iterator[str]:
        yield from self.look(seen)

    def look(self, seen: Evidence) -> Iterator[str]:
        if not seen.of("VoidTransaction"):
            yield "no void came: void a sale that got no answer by its key or its receipt"
        late = [found for found in seen.of("CommitTransaction") if found.answer is not None]
        for found in late:
            if found.answer.outcome != checkout_pb2.COMMIT_OUTCOME_VOIDED_BEFORE:
                yield (
                    "the cancelled sale was entered when it came: void it before it is sent again,"
                    " by the same key or receipt"
                )


class Return(Step):
    """Items of a sale come back, one after the other."""

    name = "return"
    title = "Returns in parts, each with a receipt of its own, sum to what was paid"
    broken = "the second return has the receipt number of the first"
    phases = (
        Phase("Sell three of the first product with the card."),
        Phase("Take one of them back."),
        Phase("Take the other two back."),
    )

    def play(self, player: Player, phase: int) -> None:
        if phase == 0:
            player.remarks["sale"] = player.pay(player.basket(3), issue_capsule=True)
            return
        sale: Receipt = player.remarks["sale"]
        first = sale.sequence
        sequence = first + 1 if player.is_broken else player.sequence()
        try:
            player.lane(policy=ONCE).return_items(
                ReturnLine(line_id=1, count=phase),
                original_sequence=first,
                original_date=player.date,
                sequence=sequence,
                business_date=player.date,
                receipt_capsule=sale.receipt_capsule,
            )
        except ChecklaneError as error:
            player.remarks["refused"] = error.reason

    def look(self, seen: Evidence) -> Iterator[str]:
        returns = seen.of("ReturnItems")
        for found in returns:
            if found.refusal:
                yield (
                    f"a return was refused with {found.refusal}: each return has a receipt of its"
                    " own, and names the sale's as the original"
                )
        taken = [found for found in returns if found.is_seen]
        if len(taken) < 2:
            yield "two returns are to come: bring the items back one after the other"
            return
        sale = next((found for found in seen.of("CommitTransaction") if found.is_seen), None)
        if sale is not None:
            back = sum(found.answer.reversal.refund_minor for found in taken)
            paid = sale.answer.decision.totals.due_minor
            if back != paid:
                yield f"{back} came back of {paid} that were paid"


class ExchangeGoods(Step):
    """Goods come back in the basket of another sale."""

    name = "exchange"
    title = "Goods that come back while others are bought are one commit, with one amount due"
    broken = "the line that comes back does not say of which receipt it is"
    phases = (
        Phase("Sell two of the third product with the card."),
        Phase("Bring one of them back, and buy two of the first product in the same basket."),
    )

    def play(self, player: Player, phase: int) -> None:
        if phase == 0:
            player.remarks["sale"] = player.pay(player.basket(0, 0, 2))
            return
        basket, product = player.basket(2), player.shop.products[2]
        basket.give_back(
            product.code,
            kind=product.kind,
            original_line=1,
            original_sequence=player.remarks["sale"].sequence,
            original_date=player.date,
        )
        if player.is_broken:
            basket.message.lines[-1].ClearField("original")
        player.pay(basket)

    def look(self, seen: Evidence) -> Iterator[str]:
        returned = [
            (found, line)
            for found in seen.of("CommitTransaction")
            for line in found.request.basket.lines
            if line.kind == basket_pb2.LINE_KIND_RETURN
        ]
        if not returned:
            yield "no line of kind RETURN came: bring goods back in the basket that is sold"
        for _, line in returned:
            if not line.HasField("original"):
                yield "the line that comes back names no receipt: send `original` with it"
        sale = next(iter(seen.of("CommitTransaction")), None)
        if returned and sale is not None and sale.answer is not None:
            back = returned[-1][0].answer
            paid = sale.answer.decision.totals.due_minor
            if back is not None and back.decision.totals.refund_minor > paid:
                yield f"{back.decision.totals.refund_minor} came back of {paid} that were paid"


class WithoutReceipt(Step):
    """Goods come back whose receipt is lost."""

    name = "no-receipt"
    title = "Goods without a receipt come back as the program lets them, and the till asks first"
    broken = "the refund is paid out unasked, and told as paid"
    phases = (
        Phase("Buy one of the first product and bring one of the third back without its receipt."),
        Phase(
            "The same with two of the third, which is more than the program lets: leave them out."
        ),
    )

    def play(self, player: Player, phase: int) -> None:
        product, basket = player.shop.products[2], player.basket(1)
        refund = Decimal((phase + 1) * product.price_minor).scaleb(-2)
        basket.give_back_unreceipted(
            product.code, kind=product.kind, count=phase + 1, refund=refund
        )
        if player.is_broken:
            player.pay(basket, paid=True)
            return
        try:
            player.lane().quote(basket)
        except StateError as error:
            if error.reason != "RETURN_NOT_ALLOWED":
                raise
            if phase == 0:
                raise NotOfferedError("the program lets no goods come back so") from None
            basket = player.basket(1)
        player.pay(basket)

    def look(self, seen: Evidence) -> Iterator[str]:
        returned = [
            found
            for found in seen.of("CommitTransaction")
            if any(
                line.kind == basket_pb2.LINE_KIND_RETURN and not line.HasField("original")
                for line in found.request.basket.lines
            )
        ]
        if not returned:
            yield "no goods without a receipt came: a line of kind RETURN without `original`"
        if any(found.request.paid for found in returned):
            yield (
                "goods without a receipt were told as paid, which stands whatever the program says:"
                " ask by a quote or a total, and pay out after that"
            )


class LateCard(Step):
    """The card comes after the sale."""

    name = "late-card"
    title = "A card that comes late is attached to the receipt, once"
    broken = "the claim names another receipt"
    phases = (
        Phase("Sell two of the first product, without a card."),
        Phase("The customer comes back with the card: attach it to the receipt."),
    )

    def play(self, player: Player, phase: int) -> None:
        if phase == 0:
            player.remarks["sale"] = player.pay(player.basket(2, card=False))
            return
        sequence = player.remarks["sale"].sequence + (100 if player.is_broken else 0)
        try:
            player.lane().claim(player.shop.card, sequence=sequence, business_date=player.date)
        except NotServedError:
            raise NotOfferedError("ClaimTransaction is not served by this service") from None
        except StateError as error:
            if error.reason == "CLAIM_NOT_ALLOWED":
                raise NotOfferedError("the program allows no claims") from None
            player.remarks["refused"] = error.reason
        except ChecklaneError as error:
            player.remarks["refused"] = error.reason

    def look(self, seen: Evidence) -> Iterator[str]:
        claims = seen.of("ClaimTransaction")
        if not claims:
            yield "no claim came: send ClaimTransaction with the receipt and the card"
        for found in claims:
            if found.refusal:
                yield (
                    f"the claim was refused with {found.refusal}: name the receipt as it was"
                    " committed, store, date, till and number"
                )
            elif not found.answer.earned:
                yield "the claim earned nothing: send the member's identifiers"


class Fuel(Step):
    """A price is asked for at the pump, and kept by the sale of the fill."""

    name = "fuel"
    title = "What comes off a gallon is asked for before fuelling, and kept by the sale of the fill"
    broken = "the sale does not name its authorisation"
    phases = (
        Phase("Show the card at the pump, pump 6.5 gallons of premium, finish the sale."),
        Phase("Show the card at the pump again and drive off without fuelling."),
    )

    def play(self, player: Player, phase: int) -> None:
        lane, price = player.lane(), FuelPrice("PREMIUM", "3.999", code="FUEL-93", kind="SKU")
        basket = player.basket()
        promised = lane.authorize_fuel("4", [price], player.shop.card, unit="GALLON")
        if not promised.hold_id:
            raise NotOfferedError("nothing comes off fuel that could be held")
        if phase == 1:
            lane.release_hold(promised.hold_id)
            return
        hold_id = "" if player.is_broken else promised.hold_id
        basket.add_fuel(
            price, quantity="6.500", unit="GALLON", amount="25.99", pump="4", hold_id=hold_id
        )
        player.pay(basket)

    def look(self, seen: Evidence) -> Iterator[str]:
        promised = [found for found in seen.of("AuthorizeFuel") if found.is_seen]
        if not promised:
            yield "no price was asked for: send AuthorizeFuel before the pump begins"
        named = {
            line.fuel.hold_id
            for found in seen.of("CommitTransaction")
            for line in found.request.basket.lines
        }
        released = {found.request.hold_id for found in seen.of("ReleaseHold")}
        released |= {found.request.basket_id for found in seen.of("ReleaseHold")}
        for found in promised:
            hold = found.answer.hold
            if hold.hold_id and not {hold.hold_id, hold.basket_id or hold.hold_id} & (
                named | released
            ):
                yield (
                    "what was promised at the pump was neither sold nor given back: name the hold"
                    " in the line of the fill (`fuel.hold_id`), and release it when the pump never"
                    " starts"
                )


class Holds(Step):
    """Points are set aside, spent in part, given back."""

    name = "holds"
    title = "A hold is made, spent in part, and what is left is given back"
    broken = "the lane forgets the second hold"
    phases = (
        Phase(
            "Hold 20 points of the card, spend 5 of them, the rest is given back. Hold 10 more and"
            " give them back."
        ),
    )

    def play(self, player: Player, phase: int) -> None:
        lane = player.lane()
        found = lane.identify(player.shop.card)
        purse = next((each for each in found.balances if each.available_points >= 20), None)
        if purse is None:
            # The points of a sale can be spent at once in our own shop.
            balances = player.pay(player.basket(3, 2)).balances
            purse = next((each for each in balances if each.available_points >= 20), None)
        if purse is None:
            raise NotOfferedError("the card has no 20 points that could be held")
        first = lane.create_hold(player.shop.card, points=20, purse=purse.purse_id)
        lane.capture_hold(first.hold.hold_id, points=5)
        second = lane.create_hold(player.shop.card, points=10, purse=purse.purse_id)
        if not player.is_broken:
            lane.release_hold(second.hold.hold_id)

    def look(self, seen: Evidence) -> Iterator[str]:
        calls = seen.of("CreateHold", "CaptureHold", "ReleaseHold")
        left: dict[str, int] = {}
        for found in calls:
            if found.is_seen:
                released = found.method == "ReleaseHold"
                for hold in found.answer.holds if released else [found.answer.hold]:
                    left[hold.hold_id] = hold.state
        if not left:
            yield "no hold was made"
        for hold_id, state in left.items():
            if state == checkout_pb2.HOLD_STATE_OPEN:
                yield (
                    f"hold {hold_id[:8]} was left open: capture or release what was set aside, or"
                    " the customer misses it until it ends by itself"
                )


class Outage(Step):
    """The service goes away, sales go on, the service comes back."""

    name = "outage"
    title = "Sales of an outage are kept, and entered once and in order when the service is back"
    broken = "the lane has no spool: what was sold in the outage is forgotten"
    phases = (
        Phase("Sell one of the first product."),
        Phase(
            f"The service is away. Sell {AWAY_SALES} times: one, two, three of the first product.",
            is_away=True,
            note="the service is away, sales go to the lane's spool",
        ),
        Phase(
            "The service is back. Wait until the lane has sent what it kept, then sell one of the"
            " second product.",
            note="the service is back",
        ),
    )

    def play(self, player: Player, phase: int) -> None:
        if player.is_broken:
            self._play_without(player, phase)
            return
        lane = player.offline_lane()
        if phase == 2:
            if not lane.wait_until_entered(PATIENCE_S):
                player.remarks["left"] = len(lane.spool)
            player.remarks["refused"] = len(lane.spool.list_refused())
            wait_until(lambda: not lane.is_away)
        for basket in self._baskets(player, phase):
            lane.sell(basket, sequence=player.sequence(), business_date=player.date)
        if phase == 2:
            lane.wait_until_entered(PATIENCE_S)

    def _play_without(self, player: Player, phase: int) -> None:
        for basket in self._baskets(player, phase):
            try:
                player.pay(basket, policy=ONCE if phase == 1 else PATIENT)
            except ChecklaneError as error:
                player.remarks["lost"] = str(error)

    def _baskets(self, player: Player, phase: int) -> list[Basket]:
        if phase == 1:
            return [player.basket(count) for count in range(1, AWAY_SALES + 1)]
        return [player.basket(1) if phase == 0 else player.basket(0, 1)]

    def look(self, seen: Evidence) -> Iterator[str]:
        yield from no_gap(seen)
        for _, tries in seen.tries():
            yield from keeps_its_key(tries)
        if seen.remarks.get("left") or seen.remarks.get("refused"):
            yield "the spool was not emptied: look at `list_refused`"
        sequences: dict[str, list[int]] = {}
        for entry in seen.entered("SALE"):
            sequences.setdefault(entry.till_id, []).append(entry.receipt.sequence)
        for till, found in sequences.items():
            if found != sorted(found):
                yield f"till {till} sent its sales out of order: oldest first, one at a time"
        if len(list(seen.tries())) < 2:
            yield "sales are to come before, in and after the outage"


class Day(Step):
    """A day of a till while each third answer gets lost."""

    name = "day"
    title = "A simulated day with lost answers: nothing lost, nothing twice, the till's sums right"
    broken = "the till gives up each sale whose answer gets lost"
    is_for_lanes = False
    phases = (
        Phase(
            "A simulated till sells 20 times, with totals, voids and returns.",
            (
                Fault("CommitTransaction", LOSE, times=10_000, every=3),
                Fault("CommitTransaction", REFUSE, times=10_000, every=5),
                Fault("ReturnItems", LOSE, times=10_000, every=2),
            ),
        ),
    )

    def play(self, player: Player, phase: int) -> None:
        policy = FORGETFUL if player.is_broken else PATIENT
        till = SimulatedTill(
            [player.lane("1", policy), player.lane("2", policy)],
            player.shop,
            seed=1,
            business_date=player.date,
        )
        for _ in range(20):
            try:
                till.serve()
            except ChecklaneError as error:
                player.remarks["gave up"] = str(error)
        player.remarks["tally"] = till.tally

    def look(self, seen: Evidence) -> Iterator[str]:
        yield from no_gap(seen)
        tally = seen.remarks.get("tally")
        if tally is None or seen.entries is None:
            return
        due = 0
        for kind, expected in (
            ("SALE", tally.sales), ("VOID", tally.voids), ("RETURN", tally.returns),
        ):  # fmt: skip
            found = seen.entered(kind)
            due += sum(entry.due_minor for entry in found)
            if len(found) != expected:
                yield f"{len(found)} entries of kind {kind} for {expected} that the till knows of"
        if due != tally.due_minor:
            yield f"the journal has {due} due, the till {tally.due_minor}"


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a condition; goes on without it when it never comes."""
    end_s = SYSTEM_CLOCK.monotonic_s() + PATIENCE_S
    while not condition() and SYSTEM_CLOCK.monotonic_s() < end_s:
        SYSTEM_CLOCK.sleep(0.01)


def goods(request: Any) -> list[tuple[str, int, int]]:
    """Return what a request's basket sells: codes, counts and amounts."""
    return [(line.product_code, line.count, line.amount_minor) for line in request.basket.lines]


STEPS: tuple[Step, ...] = (
    Sale(), Suspend(), Void(), VoidUnseen(), Return(), ExchangeGoods(), WithoutReceipt(),
    LateCard(), Fuel(), Holds(), Outage(), Day(),
)  # fmt: skip
