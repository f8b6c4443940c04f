"""A seeded random day at several tills, and a clerk who keeps books of their own meanwhile.

The clerk writes down what each answer said when it came and never looks at the journal: a sale's
money until it is voided, every change of points, every receipt number.
"""

import itertools
import random
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checklane.v1 import (
    basket_pb2,
    checkout_pb2,
    common_pb2,
    decision_pb2,
    ledger_pb2,
    member_pb2,
)
from tests.engine.shop import CARDS, MEMBER_ID, OPENED_UNIX_MS, Built, Shop, basket, identifier

DATES = (20260303, 20260304, 20260305)
PLACES = [("S1", "7"), ("S1", "8"), ("S2", "7"), ("S2", "9")]
DAY_MS = 86_400_000
SHIFTS = ("", "early", "late")
PURSES = {
    "base": {"number": 1},
    "late": {"number": 2, "pending_days": 7, "expires": {"days": 90}},
    "cash": {"number": 3, "decimals": 2, "expires": {"on": "2090-01-31"}},
}
PRODUCTS = """code_kind,code,category,flags
plu,100,PLAIN,tobacco;age_restricted
plu,200,LIMITED,
plu,300,GIFT,
plu,400,GOLD,
plu,500,OTHER,tobacco
"""
TOBACCO = {"100", "500"}
BRAND = {"funder": "Alba", "percent": 70, "settlement": "third_party"}
OFFERS: list[dict[str, Any]] = [
    {"id": "plain", "discount": {"of": {"category": "PLAIN"}, "percent": 15},
     "funding": [BRAND, {"funder": "retailer", "percent": 30}]},
    {"id": "bank", "discount": {"of": {"category": "LIMITED"}, "amount": 0.35},
     "funding": [{"funder": "bank", "percent": 100, "settlement": "tender"}]},
    {"id": "other", "coupon": {"codes": "TEN"},
     "discount": {"of": {"category": "OTHER"}, "percent": 10}},
    {"id": "pay", "redeem": {"purse": "base", "points": 10, "pays": 0.10}},
    {"id": "points", "earn": {"purse": "base", "points": 1, "per": 0.10}},
    {"id": "later", "earn": {"purse": "late", "points": 1, "per": 1.00}},
    {"id": "back", "earn": {"purse": "cash", "points": 0.03, "per": 1.00}},
]  # fmt: skip
#: Store, date, till, shift.
Key = tuple[str, int, str, str]
SUMS = (
    "sale_count", "void_count", "return_count", "gross_minor", "discount_minor", "refund_minor",
    "price_reduction_minor", "third_party_minor", "tender_minor", "exception_count", "late_count",
)  # fmt: skip


@dataclass
class Sale:
    """A sale as its lane remembers it."""

    request: Any
    decision: Any
    key: Key
    left: dict[int, int]
    is_open: bool = True
    has_returns: bool = False
    is_claimed: bool = False
    has_exceptions: bool = False


@dataclass
class Clerk:
    """Books kept by hand."""

    sums: dict[Key, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    points: dict[Key, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    all_points: Counter[str] = field(default_factory=Counter)
    seen: dict[tuple[str, int, str], set[int]] = field(default_factory=lambda: defaultdict(set))
    sold: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    voided: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    returned: Counter[tuple[int, str]] = field(default_factory=Counter)
    closed: Counter[str] = field(default_factory=Counter)

    def key_of(self, store: str, date: int, till: str, shift: str = "") -> Key:
        """Return where something of a date counts, and note it when that is another date."""
        counted = max(date, self.closed[store] + 1)
        key = (store, counted, till, shift)
        self.sums[key]["late_count"] += counted != date
        return key

    def move(self, key: Key | None, points: Counter[str]) -> None:
        """Note points; no key: they belong to no till."""
        self.all_points.update(points)
        if key is not None:
            self.points[key].update(points)

    def gaps(self) -> list[tuple[str, int, str, int]]:
        """Return each missing number by itself."""
        return [
            (*key, number)
            for key, seen in sorted(self.seen.items())
            for number in range(min(seen), max(seen))
            if number not in seen
        ]


class Day:
    """Runs the day.

    Parameters
    ----------
    built : Built
    directory : Path
    seed : int
    offers : list of dict
        Besides those of any day.
    policies : dict of str to str
        Beyond those of any day.
    """

    def __init__(
        self,
        built: Built,
        directory: Path,
        seed: int,
        offers: Iterable[dict[str, Any]] = (),
        **policies: str,
    ) -> None:
        self.random = random.Random(seed)
        self.catalogue = built._catalogue(PRODUCTS)
        self.program = built.compile(
            f"books-{seed}",
            [*OFFERS, *offers],
            catalogue=self.catalogue,
            purses=PURSES,
            policies={"claw_back": "negative", "claim_days": 30, **policies},
        )
        self.shop = Shop(built, directory)
        self.shop.activate(self.program, self.catalogue)
        self.clerk = Clerk()
        self.sales: list[Sale] = []
        self.numbers = itertools.count(1)
        self.sequences: Counter[tuple[str, int, str]] = Counter()
        self.captured = 0

    def run(self, steps: int) -> None:
        """Do so many things at random."""
        works = {
            self.sell: 60, self.repeat: 5, self.void: 10, self.void_unseen: 3,
            self.give_back: 18, self.adjust: 5, self.capture: 4,
            self.sell_with_hold: 6, self.exchange: 8, self.close: 0.5,
            self.claim: 7,
        }  # fmt: skip
        for work in self.random.choices(list(works), list(works.values()), k=steps):
            work()

    # ---- what tills do

    def context(self, store: str, till: str) -> Any:
        return common_pb2.RequestContext(
            store_id=store, till_id=till, idempotency_key=f"k{next(self.numbers)}",
            operator_id="ana",
        )  # fmt: skip

    def receipt(self, store: str, date: int, till: str) -> Any:
        # One number in ten is never sent.
        step = 2 if self.random.random() < 0.1 else 1
        self.sequences[store, date, till] += step
        sequence = self.sequences[store, date, till]
        self.clerk.seen[store, date, till].add(sequence)
        return common_pb2.ReceiptId(
            store_id=store, business_date=date, till_id=till, sequence=sequence
        )

    def basket(self, store: str, till: str, member: str | None) -> Any:
        lines = [
            (self.random.choice((100, 200, 500)), self.random.randint(1, 6),
             self.random.randint(100, 3000))
            for _ in range(self.random.randint(1, 4))
        ]  # fmt: skip
        message = basket(*lines, member=member)
        message.store_id, message.till_id = store, till
        message.shift_id = self.random.choice(SHIFTS)
        if self.random.random() < 0.3:
            message.coupons.add(code="TEN")
        if member and self.random.random() < 0.3:
            message.redemptions.add(purse_id="base", points=100)
        return message

    def sale_request(self) -> Any:
        store, till = self.random.choice(PLACES)
        member = self.random.choice([*CARDS, None])
        request = checkout_pb2.CommitTransactionRequest(
            context=self.context(store, till),
            receipt=self.receipt(store, self.random.choice(DATES), till),
            basket=self.basket(store, till, member),
        )
        if self.random.random() < 0.1:
            request.paid = True
            request.figures.discount_minor = 100_000
        return request

    def commit(self, request: Any) -> Any:
        answer = self.shop.call("CheckoutService.CommitTransaction", request)
        return checkout_pb2.CommitTransactionResponse.FromString(answer)

    def sell_with_hold(self) -> None:
        """Sell to a member who set points aside before: some of them are spent besides."""
        member = self.random.choice(list(CARDS))
        request = self.sale_request()
        place = (request.receipt.store_id, request.receipt.till_id)
        before = self.owned(member)
        if self.shop.balance(member)[0] < 30:
            self.clerk.seen[place[0], request.receipt.business_date, place[1]].discard(
                request.receipt.sequence
            )
            return
        del request.basket.identifiers[:]
        request.basket.identifiers.append(identifier(CARDS[member]))
        made = checkout_pb2.CreateHoldRequest(
            context=self.context(*place), identifiers=request.basket.identifiers,
            kind=checkout_pb2.HOLD_KIND_POINTS, purse_id="base", points=30,
        )  # fmt: skip
        content = self.shop.call("CheckoutService.CreateHold", made)
        hold_id = checkout_pb2.CreateHoldResponse.FromString(content).hold.hold_id
        request.hold_captures.add(hold_id=hold_id, points=20)
        points = self.enter(request)
        beyond = self.owned(member) - before - points["base"]
        self.captured += beyond
        self.clerk.move(self.sales[-1].key, Counter({"base": beyond}))

    def owned(self, member: str) -> int:
        """Return the points of the first purse, held ones among them."""
        (found,) = [b for b in self.shop.member(member).balances if b.purse_id == "base"] or [None]
        return found.available_points + found.pending_points + found.held_points if found else 0

    def sell(self) -> None:
        self.enter(self.sale_request())

    def enter(self, request: Any) -> Counter[str]:
        """Commit a sale and note it; return the points that its answer tells."""
        answer = self.commit(request)
        receipt = request.receipt
        key = self.clerk.key_of(
            receipt.store_id, receipt.business_date, receipt.till_id, request.basket.shift_id
        )
        assert answer.posting.business_date == key[1]
        left = {
            line.line_id: line.count
            for line in request.basket.lines
            if line.kind != basket_pb2.LINE_KIND_RETURN
        }
        sale = Sale(request, answer.decision, key, left)
        sale.has_exceptions = answer.outcome == checkout_pb2.COMMIT_OUTCOME_POSTED_WITH_EXCEPTIONS
        self.sales.append(sale)
        self._count(sale, 1)
        points: Counter[str] = Counter()
        for award in answer.decision.earned:
            points[award.purse_id] += award.points
        for taken in answer.decision.redemptions:
            if taken.state == decision_pb2.REDEMPTION_STATE_TAKEN:
                points[taken.purse_id] -= taken.points
        self.clerk.move(key, points)
        self.clerk.sold.update(shares_of(key[1], key[0], answer.decision))
        if answer.HasField("reversal"):
            self.clerk.sums[key]["return_count"] += 1
            self.clerk.move(key, points_back(answer.reversal))
            self.clerk.returned[key[1], key[0]] += sum(
                line.discount_minor for line in answer.reversal.lines
            )
        return points

    def exchange(self) -> None:
        """Sell, and take goods of an earlier sale back in the same basket."""
        choices = [sale for sale in self.sales if sale.is_open and any(sale.left.values())]
        if not choices:
            return
        sale = self.random.choice(choices)
        request = self.sale_request()
        request.paid = False
        for line_id in [line for line, left in sale.left.items() if left > 0]:
            count = self.random.randint(1, sale.left[line_id])
            sale.left[line_id] -= count
            line = request.basket.lines.add(
                line_id=100 + line_id, product_code="100", code_kind=2, count=count,
                amount_minor=1, kind=basket_pb2.LINE_KIND_RETURN,
            )  # fmt: skip
            line.original.receipt.CopyFrom(sale.request.receipt)
            line.original.line_id = line_id
        self.enter(request)
        sale.has_returns = self.sales[-1].has_returns = True

    def _count(self, sale: Sale, sign: int) -> None:
        totals = sale.decision.totals
        counted = Counter(sale_count=sign, exception_count=sign * sale.has_exceptions)
        for name in SUMS:
            if name.endswith("_minor"):
                counted[name] += sign * getattr(totals, name)
        self.clerk.sums[sale.key].update(counted)

    def repeat(self) -> None:
        if self.sales:
            sale = self.random.choice(self.sales)
            assert self.commit(sale.request).decision == sale.decision

    def void(self) -> None:
        choices = [sale for sale in self.sales if sale.is_open and not sale.has_returns]
        if not choices:
            return
        sale = self.random.choice(choices)
        store, till = self.random.choice(PLACES)
        request = checkout_pb2.VoidTransactionRequest(
            context=self.context(store, till), original_receipt=sale.request.receipt
        )
        date = sale.request.receipt.business_date
        if self.random.random() < 0.5:
            date = self.random.choice(DATES)
            request.receipt.CopyFrom(self.receipt(store, date, till))
        answer = self.send_void(request)
        sale.is_open = False
        key = self.clerk.key_of(store, date, till)
        assert answer.posting.business_date == key[1]
        if sale.key[1] <= self.clerk.closed[sale.key[0]]:
            self.clerk.sums[key]["refund_minor"] += answer.reversal.refund_minor
        else:
            self._count(sale, -1)
        self.clerk.sums[key]["void_count"] += 1
        self.clerk.move(key, points_back(answer.reversal))
        self.clerk.voided.update(shares_of(key[1], store, sale.decision))

    def send_void(self, request: Any) -> Any:
        answer = self.shop.call("CheckoutService.VoidTransaction", request)
        return checkout_pb2.VoidTransactionResponse.FromString(answer)

    def void_unseen(self) -> None:
        """Void a sale before it comes, and then perhaps send it."""
        late = self.sale_request()
        receipt = late.receipt
        store, till, date = receipt.store_id, receipt.till_id, receipt.business_date
        answer = self.send_void(
            checkout_pb2.VoidTransactionRequest(
                context=self.context(store, till), original_receipt=receipt
            )
        )
        assert answer.outcome == checkout_pb2.VOID_OUTCOME_TOMBSTONE
        self.clerk.sums[self.clerk.key_of(store, date, till)]["void_count"] += 1
        if self.random.random() < 0.5:
            self.clerk.key_of(store, date, till, late.basket.shift_id)
            outcome = self.commit(late).outcome
            assert outcome == checkout_pb2.COMMIT_OUTCOME_VOIDED_BEFORE

    def claim(self) -> None:
        """Claim a sale that nobody was identified for, at some till, on one of the dates."""
        choices = [
            sale
            for sale in self.sales
            if sale.is_open and not sale.is_claimed and not sale.request.basket.identifiers
        ]
        if not choices:
            return
        sale = self.random.choice(choices)
        store, till = self.random.choice(PLACES)
        at = self.random.randrange(len(DATES))
        # DATES[1] is that of the shop's sales.
        noon_unix_ms = OPENED_UNIX_MS + 2 * 3_600_000 + (at - 1) * DAY_MS
        request = checkout_pb2.ClaimTransactionRequest(
            context=self.context(store, till),
            receipt=sale.request.receipt,
            identifiers=[identifier(self.random.choice(list(CARDS.values())))],
            claimed_time_unix_ms=noon_unix_ms,
        )
        content = self.shop.call("CheckoutService.ClaimTransaction", request)
        answer = checkout_pb2.ClaimTransactionResponse.FromString(content)
        sale.is_claimed = True
        points: Counter[str] = Counter()
        for award in answer.earned:
            points[award.purse_id] += award.points
        key = self.clerk.key_of(store, DATES[at], till)
        assert answer.posting.business_date == key[1]
        self.clerk.move(key, points)

    def give_back(self) -> None:
        choices = [sale for sale in self.sales if sale.is_open and any(sale.left.values())]
        if choices:
            sale = self.random.choice(choices)
            wanted = [line for line, left in sale.left.items() if left > 0]
            chosen = self.random.sample(wanted, self.random.randint(1, len(wanted)))
            self.return_lines(sale, {n: self.random.randint(1, sale.left[n]) for n in chosen})

    def return_lines(self, sale: Sale, counts: dict[int, int]) -> None:
        store, till = self.random.choice(PLACES)
        date = self.random.choice(DATES)
        request = checkout_pb2.ReturnItemsRequest(
            context=self.context(store, till),
            original_receipt=sale.request.receipt,
            receipt=self.receipt(store, date, till),
            lines=[checkout_pb2.ReturnLine(line_id=n, count=c) for n, c in counts.items()],
        )
        content = self.shop.call("CheckoutService.ReturnItems", request)
        reversal = checkout_pb2.ReturnItemsResponse.FromString(content).reversal
        sale.has_returns = True
        for line, count in counts.items():
            sale.left[line] -= count
        key = self.clerk.key_of(store, date, till)
        self.clerk.sums[key]["return_count"] += 1
        self.clerk.sums[key]["refund_minor"] += reversal.refund_minor
        self.clerk.move(key, points_back(reversal))
        self.clerk.returned[key[1], store] += sum(line.discount_minor for line in reversal.lines)

    def close(self) -> None:
        """Close a date of a store; the last one stays open, so that something can still come."""
        store, till = self.random.choice(PLACES)
        request = ledger_pb2.CloseBusinessDateRequest(
            context=self.context(store, till), business_date=self.random.choice(DATES[:-1])
        )
        answer = self.shop.call("LedgerService.CloseBusinessDate", request)
        closed = ledger_pb2.CloseBusinessDateResponse.FromString(answer).closed_date
        self.clerk.closed[store] = max(self.clerk.closed[store], request.business_date)
        assert closed == self.clerk.closed[store]

    def return_the_rest(self) -> None:
        """Bring all back that is left of every sale of which something came back."""
        for sale in self.sales:
            left = {line: count for line, count in sale.left.items() if count > 0}
            if sale.has_returns and left:
                self.return_lines(sale, left)

    def adjust(self) -> None:
        points = self.random.choice((50, 500, -20))
        purse = self.random.choice(("base", "cash"))
        context = self.context(*self.random.choice(PLACES))
        request = member_pb2.AdjustAccountRequest(
            context=context, purse_id=purse, points=points, reason="goodwill",
            member=member_pb2.MemberRef(member_id=self.random.choice(list(CARDS))),
            allow_debt=points < 0,
        )  # fmt: skip
        self.shop.call("MemberService.AdjustAccount", request)
        self.clerk.move(None, Counter({purse: points}))

    def capture(self) -> None:
        member = self.random.choice(list(CARDS))
        store, till = self.random.choice(PLACES)
        if self.shop.balance(member)[0] < 30:
            return
        made = checkout_pb2.CreateHoldRequest(
            context=self.context(store, till), identifiers=[identifier(member, MEMBER_ID)],
            kind=checkout_pb2.HOLD_KIND_POINTS, purse_id="base", points=30,
        )  # fmt: skip
        answer = self.shop.call("CheckoutService.CreateHold", made)
        hold_id = checkout_pb2.CreateHoldResponse.FromString(answer).hold.hold_id
        capture = checkout_pb2.CaptureHoldRequest(
            context=self.context(store, till),
            capture=checkout_pb2.HoldCapture(hold_id=hold_id, points=20),
        )
        content = self.shop.call("CheckoutService.CaptureHold", capture)
        done = checkout_pb2.CaptureHoldResponse.FromString(content)
        key = (store, done.posting.business_date, till, "")
        self.clerk.move(key, Counter({"base": -done.captured_points}))


def points_back(reversal: Any) -> Counter[str]:
    """Return what a void or return moved, by purse."""
    points: Counter[str] = Counter()
    for award in reversal.points:
        points[award.purse_id] += award.points
    return points


def shares_of(date: int, store: str, decision: Any) -> Counter[tuple[Any, ...]]:
    """Return a sale's discounts by offer, funder and class, as its applied offers say."""
    shares: Counter[tuple[Any, ...]] = Counter()
    for offer in decision.applied_offers:
        left = offer.discount_minor
        for part in offer.funding:
            name = decision_pb2.SettlementClass.Name(part.settlement_class)
            kind = name.removeprefix("SETTLEMENT_CLASS_")
            shares[date, store, offer.offer_id, part.funder_id, kind] += part.amount_minor
            left -= part.amount_minor
        if left:
            shares[date, store, offer.offer_id, "", "PRICE_REDUCTION"] += left
    return shares
