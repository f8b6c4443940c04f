"""Sales, claims, returns, voids, repeats and restarts in any order, against a ledger on paper."""

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from checklane.v1 import checkout_pb2
from tests.engine.shop import CARDS, OPENED_UNIX_MS, Built, RefusedError, Shop, basket, identifier

OTHER = 500
MEMBERS = ("ben", "cat")
#: One point for ten cents and no offer that takes anything off: paper can follow.
OFFERS: list[dict[str, Any]] = [
    {"id": "points", "earn": {"purse": "base", "points": 1, "per": 0.10}}
]
PROGRESS = {"spent": {"measure": "spend"}, "visits": {"measure": "visits"}}
LINES = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 999)), min_size=1, max_size=3)


def half_away(part: int, whole: int) -> int:
    return (2 * part + whole) // (2 * whole)


@dataclass
class Paper:
    """One sale, as the ledger on paper has it."""

    request: Any
    member: str | None
    counts: list[int]
    amounts: list[int]
    back: list[int] = field(default_factory=list)
    is_voided: bool = False

    @property
    def left(self) -> int:
        return sum(self.counts) - sum(self.back)

    @property
    def refunded(self) -> int:
        """Return what was refunded: each line's part of what it cost, rounded."""
        return sum(
            half_away(amount * back, count)
            for amount, back, count in zip(self.amounts, self.back, self.counts, strict=True)
        )

    def standing(self) -> dict[str, int]:
        """Return what the sale has given whoever's it is, as far as it stands (P12, G4)."""
        if self.is_voided or self.left == 0:
            return {"base": 0, "spent": 0, "visits": 0}
        net = sum(self.amounts)
        points = net // 10
        return {
            "base": points - half_away(points * self.refunded, net),
            "spent": net - half_away(net * self.refunded, net),
            "visits": 1,
        }


class Flows(RuleBasedStateMachine):
    """A shop and the ledger on paper."""

    built: Built
    program: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="flows-"))
        self.shop = Shop(self.built, self.folder, program=self.program)
        self.sales: list[Paper] = []
        self.answers: list[tuple[str, Any, bytes]] = []

    def teardown(self) -> None:
        """Close the shop."""
        self.shop.engine.close()
        shutil.rmtree(self.folder)

    def call(self, method: str, request: Any) -> None:
        name = f"CheckoutService.{method}"
        self.answers.append((name, request, self.shop.call(name, request)))

    def refusal(self, method: str, request: Any) -> str:
        with pytest.raises(RefusedError) as refused:
            self.shop.call(f"CheckoutService.{method}", request)
        return refused.value.name

    def pick(self, data: st.DataObject) -> Paper | None:
        return data.draw(st.sampled_from(self.sales)) if self.sales else None

    @rule(lines=LINES, member=st.sampled_from([None, None, *MEMBERS]))
    def sell(self, lines: list[tuple[int, int]], member: str | None) -> None:
        """Sell to a member or to nobody."""
        goods = basket(*((OTHER, count, amount) for count, amount in lines), member=member)
        sale = self.shop.sale(goods)
        self.call("CommitTransaction", sale)
        counts, amounts = map(list, zip(*lines, strict=True))
        self.sales.append(Paper(sale, member, counts, amounts, [0] * len(lines)))

    @rule(data=st.data(), member=st.sampled_from(MEMBERS))
    def claim(self, data: st.DataObject, member: str) -> None:
        """Say that a sale was a member's."""
        sale = self.pick(data)
        if sale is None:
            return
        request = checkout_pb2.ClaimTransactionRequest(
            context=self.shop.context(),
            receipt=sale.request.receipt,
            identifiers=[identifier(CARDS[member])],
            claimed_time_unix_ms=OPENED_UNIX_MS,
        )
        if sale.is_voided:
            assert self.refusal("ClaimTransaction", request) == "RECEIPT_VOIDED"
        elif sale.member is not None:
            assert self.refusal("ClaimTransaction", request) == "CLAIM_NOT_ALLOWED"
        else:
            self.call("ClaimTransaction", request)
            sale.member = member

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        """Bring units of one line back."""
        sale = self.pick(data)
        if sale is None:
            return
        at = data.draw(st.integers(0, len(sale.counts) - 1))
        count = data.draw(st.integers(1, sale.counts[at]))
        request = self.shop.return_request(sale.request, (at + 1, count))
        if sale.is_voided:
            assert self.refusal("ReturnItems", request) == "RECEIPT_VOIDED"
        elif sale.back[at] + count > sale.counts[at]:
            assert self.refusal("ReturnItems", request) == "RETURN_TOO_MUCH"
        else:
            self.call("ReturnItems", request)
            sale.back[at] += count

    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        """Undo a sale whole."""
        sale = self.pick(data)
        if sale is None:
            return
        request = self.shop.void_request(sale.request)
        if sale.is_voided:
            assert self.refusal("VoidTransaction", request) == "RECEIPT_VOIDED"
        elif sum(sale.back):
            assert self.refusal("VoidTransaction", request) == "RECEIPT_HAS_RETURNS"
        else:
            self.call("VoidTransaction", request)
            sale.is_voided = True

    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        """Send anything once more: the first answer, byte for byte."""
        if self.answers:
            method, request, answer = data.draw(st.sampled_from(self.answers))
            before = self.shop.lsn
            assert self.shop.call(method, request) == answer
            assert self.shop.lsn == before

    @rule(is_rebuilt=st.booleans())
    def restart(self, *, is_rebuilt: bool) -> None:
        """Close and open again, half the time with nothing but the journal."""
        self.shop.engine.close()
        if is_rebuilt:
            shutil.rmtree(self.shop.data / "accounts")
        numbers = self.shop.numbers
        self.shop = Shop(self.built, self.folder, data=self.shop.data, program=self.program)
        self.shop.numbers = numbers

    @invariant()
    def members_have_what_paper_says(self) -> None:
        """Compare points and progress of every member."""
        for name in MEMBERS:
            wanted = dict.fromkeys(("base", "spent", "visits"), 0)
            for sale in self.sales:
                for what, much in sale.standing().items() if sale.member == name else ():
                    wanted[what] += much
            member = self.shop.member(name)
            found = {b.purse_id: b.available_points for b in member.balances}
            found |= {p.progress_id: p.value for p in member.progress}
            assert {what: found.get(what, 0) for what in wanted} == wanted


@pytest.fixture
def machine(built: Built, tmp_path: Path) -> type[Flows]:
    """Return the machine with a program on which paper can follow."""
    program = built.compile(
        f"flows-{tmp_path.name}",
        OFFERS,
        policies={"claim_days": 30, "claw_back": "negative"},
        progress=PROGRESS,
    )
    return type("ShopFlows", (Flows,), {"built": built, "program": program})


def test_any_order_of_flows_comes_to_what_paper_says(machine: type[Flows]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=8,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
