"""What a payment gives and what points pay (rules T1 to T3, R1 to R4)."""

from typing import TYPE_CHECKING, Any

from tests.oracle.answer import Redemption
from tests.oracle.basket import Basket, Unit, canonical
from tests.oracle.deal import Use, after_fuelling, fits, give
from tests.oracle.eligible import Scene, accepts, room
from tests.oracle.fuel import fuel_for_points, keep_steps, points_of
from tests.oracle.program import Offer
from tests.oracle.values import PARTS, scaled

if TYPE_CHECKING:
    from tests.oracle.decide import Layers
    from tests.oracle.past import Past


def due(basket: Basket, shares: dict[int, int]) -> int:
    """Return what is to be paid, less some discounts by line."""
    gross = sum(basket.amounts.values())
    return max(0, gross - sum(shares.values()) - sum(basket.returned.values()))


def paid(offer: Offer, scene: Scene, basket: Basket, shares: dict[int, int], decimals: int) -> int:
    """Return what the tenders pay that an offer accepts (T1)."""
    owed = due(basket, shares)
    said = sum(scaled(t["amount"], decimals) for t in scene.tenders if "amount" in t)
    rest, total = max(0, owed - said), 0
    for tender in scene.tenders:
        if "amount" in tender:
            pays = scaled(tender["amount"], decimals)
        else:
            pays, rest = rest, 0
        lines = [int(line) for line in tender.get("lines", [])]
        if lines:
            pays = min(pays, sum(basket.amounts.get(n, 0) - shares.get(n, 0) for n in lines))
        if accepts(offer, tender):
            total += pays
    return min(total, owed)


class Payment:
    """The redemption and the tender layer, over what the layers before left."""

    def __init__(self, layers: "Layers", basket: Basket, past: "Past", decimals: int) -> None:
        self.layers, self.basket, self.past, self.decimals = layers, basket, past, decimals
        self.scene, self.decision = layers.scene, layers.decision
        self.spent: dict[str, int] = {}

    def shares(self) -> dict[int, int]:
        """Return the discounts so far by line."""
        found: dict[int, int] = {}
        for applied in self.decision.applied:
            for line, amount in applied.shares.items():
                found[line] = found.get(line, 0) + amount
        return found

    # ------------------------------------------------------------ redemption -----------------

    def redeem(self, offers: list[Offer]) -> None:
        """Answer the requests to pay with points, in the order of the basket."""
        eligible = [o for o in offers if o.layer == "redemption"]
        eligible = [o for o in eligible if o.id not in self.decision.outcomes]
        for request in self.scene.redeem:
            name, purse = str(request.get("offer", "")), str(request.get("purse", ""))
            if name:
                offer = next((o for o in offers if (o.layer, o.id) == ("redemption", name)), None)
            else:
                ranked = sorted(eligible, key=lambda o: o.rank)
                offer = next((o for o in ranked if o.purse == purse), None)
            if offer is None:
                self.refuse(name or purse, "UNKNOWN")
            elif offer not in eligible:
                self.refuse(offer.id, self.decision.outcomes[offer.id])
            else:
                self.request(offer, request)
        applied = {a.offer for a in self.decision.applied}
        for offer in eligible:
            outcome = "APPLIED" if offer.id in applied else "NOT_SELECTED"
            self.decision.outcomes.setdefault(offer.id, outcome)

    def refuse(self, name: str, outcome: str) -> None:
        self.decision.redeem_refused.append((name, outcome))

    def request(self, offer: Offer, request: dict[str, Any]) -> None:
        """Pay with the points of one request, or refuse it (R2, R3)."""
        units = [u for u in canonical(self.layers.units) if fits(offer, 0, u)]
        open_units = [unit for unit in units if unit.left > 0]
        points = self.past.available(self.scene, offer.purse) - self.spent.get(offer.purse, 0)
        if "points" in request:
            points = min(points, scaled(request["points"], 0))
        ceilings = [due(self.basket, self.shares()), sum(unit.left for unit in units)]
        if "amount" in request:
            ceilings.append(scaled(request["amount"], self.decimals))
        taken = sum(a.discount for a in self.decision.applied if a.offer == offer.id)
        limits = (offer.money, room(offer, self.scene, "money"))
        ceilings += [max(0, n - taken) for n in limits if n is not None]
        most = min(ceilings)
        least = offer.points if offer.item or offer.steps else -(-offer.points // offer.value)
        if ceilings[0] == 0:
            self.refuse(offer.id, "NOTHING_DUE")
        elif after_fuelling(offer, self.layers.units):
            self.refuse(offer.id, "AFTER_FUELLING")
        elif not units:
            self.refuse(offer.id, "GOODS_MISSING")
        elif not open_units:
            self.refuse(offer.id, "NO_VALUE")
        elif points < least:
            self.refuse(offer.id, "POINTS_SHORT")
        elif offer.mechanic == "fuel":
            self.fuel(offer, points, most)
        elif offer.item:
            self.items(offer, request, open_units, points, most)
        else:
            self.amount(offer, open_units, points, most)

    def least(self, offer: Offer, *ceilings: int) -> int:
        """Return the least of some ceilings and of the uses that are left."""
        more = [offer.times, room(offer, self.scene, "uses")]
        taken = sum(a.times for a in self.decision.applied if a.offer == offer.id)
        return min([*ceilings, *(n - taken for n in more if n is not None)])

    def amount(self, offer: Offer, units: list[Unit], points: int, most: int) -> None:
        """Pay any amount, or whole steps."""
        times, money = 1, min(most, points * offer.value // offer.points)
        if offer.steps:
            times = self.least(offer, points // offer.points, most // offer.value)
            money = max(0, times * offer.value)
        if money == 0:
            self.refuse(offer.id, "NO_VALUE")
            return
        self.pay(offer, Use(offer, times, units), money, -(-money * offer.points // offer.value))

    def fuel(self, offer: Offer, points: int, most: int) -> None:
        """Pay steps of an amount off each unit of fuel (F3)."""
        steps = self.least(offer, points // offer.points)
        found = fuel_for_points(offer, self.layers.units, steps, most)
        if found is None:
            self.refuse(offer.id, "NO_VALUE")
            return
        use, money = found
        self.pay(offer, use, money, points_of(offer, use))
        keep_steps(use)

    def items(
        self, offer: Offer, request: dict[str, Any], units: list[Unit], points: int, most: int
    ) -> None:
        """Pay whole units, each for so many points."""
        line = int(request.get("line", 0))
        here = [unit for unit in units if line in (0, unit.line)]
        count = self.least(offer, points // offer.points, int(request.get("count", len(here))))
        chosen: list[Unit] = []
        for unit in here[: max(0, count)]:
            if sum(one.left for one in chosen) + unit.left > most:
                break
            chosen.append(unit)
        if not chosen:
            self.refuse(offer.id, "NO_VALUE")
            return
        money = sum(unit.left for unit in chosen)
        self.pay(offer, Use(offer, len(chosen), chosen), money, len(chosen) * offer.points)

    def pay(self, offer: Offer, use: Use, money: int, points: int) -> None:
        """Take money off for points."""
        self.spent[offer.purse] = self.spent.get(offer.purse, 0) + points
        self.decision.redeemed.append(Redemption(offer.id, offer.purse, points, money))
        self.layers.give_out(use, money)

    # ------------------------------------------------------------ tender ---------------------

    def tender(self, offers: list[Offer]) -> None:
        """Let the offers for payments apply, class by class (T2)."""
        before = self.shares()
        here = [offer for offer in offers if offer.layer == "tender"]
        for order in sorted({offer.order for offer in here}):
            offers_now = [offer for offer in here if offer.order == order]
            competing = sorted((o for o in offers_now if not o.stackable), key=lambda o: o.rank)
            found = [(o, self.worth(o, before)) for o in competing]
            if found:
                best, parts = max(found, key=lambda pair: pair[1])
                self.give(best, parts)
            for offer, alone in found:
                self.explain(offer, alone, before)
            stackable = [offer for offer in offers_now if offer.stackable]
            for offer in sorted(stackable, key=lambda o: (-o.priority, o.id.encode())):
                parts = self.worth(offer, before)
                self.give(offer, parts)
                self.explain(offer, parts, before)

    def fitting(self, offer: Offer) -> list[Unit]:
        return [unit for unit in canonical(self.layers.units) if fits(offer, 0, unit)]

    def base(self, offer: Offer, before: dict[int, int]) -> int:
        """Return the money that an offer looks at."""
        pays = paid(offer, self.scene, self.basket, before, self.decimals)
        return min(pays, sum(unit.left for unit in self.fitting(offer)))

    def worth(self, offer: Offer, before: dict[int, int]) -> int:
        """Return what an offer gives, in parts (T1)."""
        base = self.base(offer, before)
        if base == 0 or base < (offer.spend or 0):
            return 0
        parts = base * offer.value if offer.reward == "percent" else PARTS * min(offer.value, base)
        return min(parts, PARTS * sum(give(offer, unit) for unit in self.fitting(offer)))

    def give(self, offer: Offer, parts: int) -> None:
        if parts > 0:
            units = [unit for unit in self.fitting(offer) if give(offer, unit) > 0]
            self.layers.apply(Use(offer, 1, units), parts, contested=False)

    def explain(self, offer: Offer, alone: int, before: dict[int, int]) -> None:
        """Keep why an eligible offer gave nothing."""
        if offer.id in self.decision.outcomes:
            return
        if alone > 0:
            reason = "NOT_BEST"
        elif not self.fitting(offer):
            reason = "GOODS_MISSING"
        else:
            base = self.base(offer, before)
            reason = "THRESHOLD" if base == 0 or base < (offer.spend or 0) else "NO_VALUE"
        self.decision.outcomes[offer.id] = reason
