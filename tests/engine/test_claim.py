"""Claims: what a sale would have earned, given to whoever says afterwards that it was theirs."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from checklane import _layout
from checklane.cli.explain import explain
from checklane.v1 import basket_pb2, checkout_pb2, decision_pb2, ledger_pb2, member_pb2
from tests.engine.shop import (
    CARD,
    MEMBER,
    OFFERS,
    STAFF,
    Built,
    RefusedError,
    Shop,
    basket,
    identifier,
    open_engine,
)
from tests.engine.test_replay import files_of, sections

PLAIN, LIMITED, GIFT, GOLD, OTHER = 100, 200, 300, 400, 500
DAY_MS = 86_400_000
#: 2026-03-05T12:00Z, the day after the sales of the shop.
NEXT_DAY_UNIX_MS = 1_772_712_000_000
CLAIM_DAYS = 30
#: Discounts that are the same for everybody, and whatever else sales earn.
EARNING: list[dict[str, Any]] = [
    {"id": "plain", "discount": {"of": {"category": "PLAIN"}, "percent": 10}},
    {"id": "members", "who": {"members": "members"},
     "discount": {"of": {"category": "GOLD"}, "percent": 50}},
    {"id": "points", "earn": {"purse": "base", "points": 1, "per": 0.10}},
    {"id": "later", "earn": {"purse": "late", "points": 1, "per": 1.00}},
    {"id": "twice", "multiply": {"purse": "base", "by": 2, "of": {"category": "LIMITED"}}},
    {"id": "pair", "limits": {"per_member": {"uses": 7}},
     "bonus": {"purse": "base", "points": 7, "count": 2, "of": {"category": "OTHER"}}},
    {"id": "gift", "wallet": True, "discount": {"of": {"category": "GIFT"}, "amount": 1.00}},
    {"id": "thanks", "referral": {"purse": "base", "points": 500}},
]  # fmt: skip
PROGRESS = {
    "units": {"measure": "units", "goal": 5, "repeats": True, "reward": "gift",
              "reward_points": {"purse": "base", "points": 11}},
    "spent": {"measure": "spend", "goal": 30, "reward_points": {"purse": "late", "points": 9}},
    "visits": {"measure": "visits", "scope": "household"},
    "earned": {"measure": "points", "purse": "base"},
}  # fmt: skip


class Desk(Shop):
    """The shop with its service desk."""

    def __init__(self, built: Built, directory: Path, **options: Any) -> None:
        super().__init__(built, directory, **options)
        self.program = options["program"]

    def claim_request(self, sale: Any, *named: Any, **fields: Any) -> Any:
        fields.setdefault("claimed_time_unix_ms", NEXT_DAY_UNIX_MS)
        return checkout_pb2.ClaimTransactionRequest(
            context=self.context(fields.pop("key", None)),
            receipt=sale.receipt,
            identifiers=[identifier(card) if isinstance(card, str) else card for card in named],
            **fields,
        )

    def claim_raw(self, request: Any) -> bytes:
        return self.call("CheckoutService.ClaimTransaction", request)

    def claim(self, sale: Any, *named: Any, **fields: Any) -> Any:
        answer = self.claim_raw(self.claim_request(sale, *named, **fields))
        return checkout_pb2.ClaimTransactionResponse.FromString(answer)

    def sell(self, *lines: tuple[int, int, int], **fields: Any) -> Any:
        """Commit a sale; return its request."""
        sale = self.sale(basket(*lines, member=fields.pop("member", None)), **fields)
        self.commit(sale)
        return sale

    def confirm(self, sale: Any, *, cancelled: bool = False) -> None:
        request = member_pb2.ConfirmPointsRequest(
            context=self.context(),
            original_receipt=sale.receipt,
            cancelled=cancelled,
            event_date=20260306,
        )
        self.call("MemberService.ConfirmPoints", request)

    def standing(self, member: str) -> Any:
        """Return all that a member has, but for who it is."""
        found = self.member(member)
        return (
            sorted((b.purse_id, b.available_points, b.pending_points) for b in found.balances),
            sorted((p.progress_id, p.value) for p in found.progress if p.value),
            sorted((o.offer_id, o.remaining_uses) for o in found.wallet),
        )

    def entries(self, kind: int) -> list[tuple[bytes, Any, bytes]]:
        found = []
        for entry in self.engine.read_entries(1, 10_000, 1 << 26):
            header, facts, response = sections(entry)
            if header["kind"] == kind:
                found.append((entry, facts, response))
        return found


@pytest.fixture(scope="module")
def programs(built: Built) -> dict[str, Path]:
    """Return programs that allow claims, by name."""
    policies = {"claim_days": CLAIM_DAYS}
    purses = {
        "base": {"number": 1},
        "late": {"number": 2, "awaits_confirmation": True},
    }
    return {
        "shop": built.compile("claim-shop", OFFERS, policies=policies),
        "earning": built.compile("claim-earning", EARNING, policies=policies, progress=PROGRESS),
        "awaiting": built.compile(
            "claim-awaiting", [{"id": "late", "earn": {"purse": "late", "points": 1, "per": 1.00}}],
            policies=policies, purses=purses,
        ),
        "dearer": built.compile(
            "claim-dearer", [{"id": "points", "earn": {"purse": "base", "points": 5, "per": 0.10}}],
            policies=policies,
        ),
        "pending": built.compile(
            "claim-pending", EARNING, policies={**policies, "claw_back": "pending_only"},
        ),
    }  # fmt: skip


@pytest.fixture
def open_desk(
    built: Built, tmp_path: Path, programs: dict[str, Path]
) -> Iterator[Callable[[str], Desk]]:
    """Return a function that opens the shop with one of the programs live."""
    opened = []

    def opener(name: str) -> Desk:
        directory = tmp_path / f"{name}-{len(opened)}"
        opened.append(Desk(built, directory, program=programs[name]))
        return opened[-1]

    yield opener
    for desk in opened:
        desk.engine.close()


@pytest.fixture
def desk(open_desk: Callable[[str], Desk]) -> Desk:
    return open_desk("earning")


def assert_replayed(desk: Desk, directory: Path) -> None:
    """Every claim comes out the same from its entry alone, on another machine."""
    directory.mkdir()
    other = open_engine(directory)
    for entry, facts, response in desk.entries(_layout.ENTRY_CLAIM):
        assert other.replay(entry, *files_of(desk, facts)) == (0, response)
        assert other.replay(entry, *files_of(desk, facts), is_explained=True) == (0, response)
    other.close()


def points_of(answer: Any) -> dict[str, int]:
    return {earned.offer_id: earned.points for earned in answer.earned}


def test_a_claim_gives_what_the_sale_would_have_earned(desk: Desk, tmp_path: Path) -> None:
    sale = desk.sell((PLAIN, 1, 1000), (GOLD, 1, 2000))
    answer = desk.claim(sale, "1002")
    # Discounts stay as sold: half of GOLD, which ben would have had, is not given.
    assert points_of(answer) == {"points": 290, "later": 29}
    assert {earned.reason for earned in answer.earned} == {decision_pb2.EARN_REASON_CLAIM}
    (found,) = answer.members
    assert found.member_number == desk.member("ben").member_number
    assert found.tier_id == "basic"
    balances = {b.purse_id: (b.available_points, b.pending_points) for b in answer.balances}
    assert balances == {"base": (290, 0), "late": (0, 29)}
    assert answer.posting.business_date == 20260305
    assert answer.posting.lsn == desk.lsn
    assert desk.standing("ben")[1] == [
        ("earned", 290), ("spent", 2900), ("units", 2), ("visits", 1),
    ]  # fmt: skip
    (told,) = desk.entries(_layout.ENTRY_CLAIM)
    header = sections(told[0])[0]
    assert header["member"] == found.member_number
    assert header["event_unix_ms"] == NEXT_DAY_UNIX_MS
    assert header["business_date"] == 20260305
    assert_replayed(desk, tmp_path / "other")


def test_points_are_dated_by_the_sale(open_desk: Callable[[str], Desk]) -> None:
    desk = open_desk("shop")
    sale = desk.sell((OTHER, 1, 1000))
    answer = desk.claim(sale, "1002")
    later = next(earned for earned in answer.earned if earned.offer_id == "later")
    assert (later.active_date, later.expire_date) == (20260311, 20260602)


def test_once_and_the_same_key_gets_the_same_answer(desk: Desk, refused: Any) -> None:
    sale = desk.sell((OTHER, 2, 1000))
    request = desk.claim_request(sale, "1002")
    first = desk.claim_raw(request)
    lsn = desk.lsn
    assert desk.claim_raw(request) == first
    assert desk.lsn == lsn
    assert refused(desk.claim, sale, "1002") == "CLAIM_NOT_ALLOWED"
    assert refused(desk.claim, sale, "1003") == "CLAIM_NOT_ALLOWED"
    request.identifiers[0].value = "1003"
    assert refused(desk.claim_raw, request) == "KEY_REUSED"
    desk.engine.close()
    desk.engine = open_engine(desk.data)
    desk.activate(desk.program, desk.built.catalogue, desk.built.members)
    request.identifiers[0].value = "1002"
    assert desk.claim_raw(request) == first
    assert desk.balance("cat") == (0, 0)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("unknown", "RECEIPT_UNKNOWN"), ("voided", "RECEIPT_VOIDED"),
        ("nobody", "MEMBER_UNKNOWN"), ("member", "CLAIM_NOT_ALLOWED"),
        ("late", "CLAIM_NOT_ALLOWED"),
        ("keyless", "KEY_REQUIRED"), ("receipt", "RECEIPT_REQUIRED"),
        ("identifiers", "FIELD_REQUIRED"),
    ],
)  # fmt: skip
def test_refusals_have_names(desk: Desk, refused: Any, name: str, wanted: str) -> None:
    sale = desk.sell((OTHER, 1, 1000), member="ben" if name == "member" else None)
    request = desk.claim_request(sale, "1002" if name != "nobody" else "999")
    match name:
        case "unknown":
            request.receipt.sequence += 1
        case "voided":
            desk.void(desk.void_request(sale))
        case "late":
            request.claimed_time_unix_ms += CLAIM_DAYS * DAY_MS
        case "keyless":
            request.context.idempotency_key = ""
        case "receipt":
            request.ClearField("receipt")
        case "identifiers":
            del request.identifiers[:]
    lsn = desk.lsn
    assert refused(desk.claim_raw, request) == wanted
    assert desk.lsn == lsn


def test_the_last_day_counts(desk: Desk) -> None:
    sale = desk.sell((OTHER, 1, 1000))
    last = NEXT_DAY_UNIX_MS + (CLAIM_DAYS - 1) * DAY_MS
    assert points_of(desk.claim(sale, "1002", claimed_time_unix_ms=last))["points"] == 100


def test_a_program_that_says_nothing_allows_none(shop: Shop, refused: Any) -> None:
    sale = shop.sale(basket((OTHER, 1, 1000)))
    shop.commit(sale)
    request = Desk.claim_request(shop, sale, "1002")  # type: ignore[arg-type]
    assert refused(shop.call, "CheckoutService.ClaimTransaction", request) == "CLAIM_NOT_ALLOWED"


def test_the_program_of_the_sale_earns(
    open_desk: Callable[[str], Desk], programs: dict[str, Path], tmp_path: Path, refused: Any
) -> None:
    desk = open_desk("shop")
    sale, other = desk.sell((PLAIN, 1, 1000)), desk.sell((PLAIN, 1, 1000))
    desk.activate(programs["dearer"])
    assert points_of(desk.claim(sale, "1002")) == {"points": 90, "later": 9}
    assert points_of(desk.claim(desk.sell((PLAIN, 1, 1000)), "1003")) == {"points": 500}
    assert_replayed(desk, tmp_path / "other")
    desk.engine.close()
    desk.engine = open_engine(desk.data)
    desk.activate(programs["dearer"], desk.built.catalogue, desk.built.members)
    name = programs["shop"].name
    (desk.data / "snapshots" / name).rename(tmp_path / name)
    assert refused(desk.claim, other, "1002") == "SNAPSHOT_UNKNOWN"
    assert refused(desk.claim, other, "999") == "MEMBER_UNKNOWN"
    (tmp_path / name).rename(desk.data / "snapshots" / name)
    assert points_of(desk.claim(other, "1002")) == {"points": 90, "later": 9}


def test_a_card_that_was_handed_out_opens_its_account(desk: Desk) -> None:
    sale = desk.sell((OTHER, 1, 1000))
    answer = desk.claim(sale, "77000001")
    assert answer.members[0].result == decision_pb2.IDENTIFY_RESULT_PROVISIONAL_NEW
    told = desk.identify(identifier("77000001"))
    assert told.balances[0].available_points == 100


def test_roles_are_told_and_only_a_member_claims(desk: Desk, refused: Any) -> None:
    sale = desk.sell((OTHER, 1, 1000))
    staff = identifier("1004", CARD, STAFF)
    assert refused(desk.claim, sale, staff) == "MEMBER_UNKNOWN"
    answer = desk.claim(sale, staff, "1002", "1003")
    assert [found.role for found in answer.members] == [STAFF, 1, 1]
    results = [found.result for found in answer.members]
    assert results[2] == decision_pb2.IDENTIFY_RESULT_SURPLUS
    assert desk.balance("ben")[0] == 100
    assert desk.balance("dan")[0] == desk.balance("cat")[0] == 0


def test_returns_before_and_after_a_claim(desk: Desk) -> None:
    sale = desk.sell((OTHER, 3, 1000))
    desk.return_items(desk.return_request(sale, (1, 1)))
    # 100 points, and 7 for a pair: 107, of which round(107 * 333 / 1000) went with the unit.
    answer = desk.claim(sale, "1002")
    assert sum(e.points for e in answer.earned if e.purse_id == "base") == 107 - 36
    taken = desk.return_items(desk.return_request(sale, (1, 1)))
    assert [p.points for p in taken.reversal.points if p.purse_id == "base"] == [-(71 - 36)]
    desk.return_items(desk.return_request(sale, (1, 1)))
    assert desk.standing("ben") == ([("base", 0, 0), ("late", 0, 0)], [], [])


def test_nothing_is_earned_of_what_all_came_back(desk: Desk, refused: Any, tmp_path: Path) -> None:
    sale = desk.sell((OTHER, 2, 1000))
    desk.return_items(desk.return_request(sale, (1, 2)))
    answer = desk.claim(sale, "1002")
    assert not answer.earned
    assert desk.standing("ben") == ([("base", 0, 0), ("late", 0, 0)], [], [])
    assert refused(desk.void, desk.void_request(sale)) == "RECEIPT_HAS_RETURNS"
    assert_replayed(desk, tmp_path / "other")


@pytest.mark.parametrize("by_key", [False, True])
def test_a_void_takes_a_claim_back(desk: Desk, refused: Any, *, by_key: bool) -> None:
    sale = desk.sell((OTHER, 6, 4000), member=None)
    desk.claim(sale, "1002")
    assert desk.standing("ben")[2] == [("gift", 1)]
    request = desk.void_request(sale)
    if by_key:
        request = desk.void_request(original_idempotency_key=sale.context.idempotency_key)
    told = desk.void(request)
    taken = {p.purse_id: p.points for p in told.reversal.points}
    # Goals: 5 units are 11 points of base, 30.00 are 9 of late.
    assert taken == {"base": -(400 + 21 + 11), "late": -(40 + 9)}
    assert desk.standing("ben") == ([("base", 0, 0), ("late", 0, 0)], [], [])
    assert refused(desk.claim, sale, "1002") == "RECEIPT_VOIDED"
    (voided,) = desk.entries(_layout.ENTRY_VOID)
    assert sections(voided[0])[0]["member"] == desk.member("ben").member_number
    # Its uses are given back: seven pairs may be earned again.
    again = desk.claim(desk.sell((OTHER, 20, 1000)), "1002")
    assert points_of(again)["pair"] == 49


def test_limits_have_counted_what_came_since(desk: Desk) -> None:
    first = desk.sell((OTHER, 10, 1000))
    desk.sell((OTHER, 12, 1000), member="ben")
    assert points_of(desk.claim(first, "1002"))["pair"] == 7
    second = desk.sell((OTHER, 10, 1000))
    assert "pair" not in points_of(desk.claim(second, "1002"))


def test_points_taken_beforehand_do_not_ask_the_claw_back(open_desk: Callable[[str], Desk]) -> None:
    """What came back before the claim was never given, so no policy keeps it there."""
    desk = open_desk("pending")
    sale = desk.sell((GOLD, 2, 2000))
    desk.return_items(desk.return_request(sale, (1, 1)))
    assert points_of(desk.claim(sale, "1002")) == {"points": 100, "later": 10}


@pytest.mark.parametrize("cancelled", [False, True])
def test_what_awaits_an_event_follows_it(
    open_desk: Callable[[str], Desk], tmp_path: Path, *, cancelled: bool
) -> None:
    desk = open_desk("awaiting")
    sale, open_sale = desk.sell((OTHER, 1, 1000)), desk.sell((OTHER, 1, 1000))
    desk.confirm(sale, cancelled=cancelled)
    desk.claim(open_sale, "1003")
    assert desk.balance("cat", "late") == (0, 10)
    desk.confirm(open_sale, cancelled=cancelled)
    desk.claim(sale, "1002")
    wanted = (0, 0) if cancelled else (10, 0)
    assert desk.balance("ben", "late") == desk.balance("cat", "late") == wanted
    desk.void(desk.void_request(sale))
    assert desk.balance("ben", "late") == (0, 0)
    assert_replayed(desk, tmp_path / "other")


def test_a_claimed_sale_follows_a_merge(desk: Desk) -> None:
    sale = desk.sell((OTHER, 2, 1000))
    desk.claim(sale, "1002")
    request = member_pb2.MergeMembersRequest(
        context=desk.context(),
        surviving_member={"member_id": "cat"},
        merged_member={"member_id": "ben"},
    )
    desk.call("MemberService.MergeMembers", request)
    assert desk.balance("cat")[0] == 107
    desk.return_items(desk.return_request(sale, (1, 1)))
    assert desk.balance("cat")[0] == 107 - 54
    assert desk.standing("cat")[1] == [
        ("earned", 53), ("spent", 500), ("units", 1), ("visits", 1),
    ]  # fmt: skip


def test_a_totalled_sale_is_claimed_as_it_was_totalled(desk: Desk, tmp_path: Path) -> None:
    goods = basket((PLAIN, 2, 2000))
    goods.basket_id = "b-1"
    answer = desk.call(
        "CheckoutService.TotalBasket",
        checkout_pb2.TotalBasketRequest(context=desk.context(), basket=goods),
    )
    total = checkout_pb2.TotalBasketResponse.FromString(answer)
    sale = desk.sale(goods, total_token=total.total_token)
    desk.commit(sale)
    assert points_of(desk.claim(sale, "1002"))["points"] == 180
    assert_replayed(desk, tmp_path / "other")


def test_a_claim_is_rebuilt_from_the_journal(desk: Desk) -> None:
    for card in ("1002", "1003", "77000001"):
        sale = desk.sell((OTHER, 7, 1050), (PLAIN, 3, 999))
        desk.return_items(desk.return_request(sale, (1, 2)))
        desk.claim(sale, card)
        desk.return_items(desk.return_request(sale, (2, 1)))
    before = [desk.standing(member) for member in ("ben", "cat")]
    desk.engine.close()
    for path in (desk.data / "accounts").iterdir():
        path.unlink()
    desk.engine = open_engine(desk.data)
    desk.activate(desk.program, desk.built.catalogue, desk.built.members)
    assert [desk.standing(member) for member in ("ben", "cat")] == before


def damaged(entry: bytes) -> Iterator[bytes]:
    """Yield a claim's entry with its facts cut short or saying otherwise."""
    header = np.frombuffer(entry, dtype=_layout.ENTRY_HEADER, count=1)[0]
    for kept in range(0, int(header["facts_bytes"]), 8):
        forged = bytearray(entry)
        view = np.frombuffer(forged, dtype=_layout.ENTRY_HEADER, count=1)
        view["facts_bytes"] = kept
        yield bytes(forged)


def test_a_claim_cut_short_is_refused_and_not_read_over(desk: Desk) -> None:
    desk.claim(desk.sell((OTHER, 1, 1000)), "1002")
    ((entry, facts, response),) = desk.entries(_layout.ENTRY_CLAIM)
    for forged in damaged(entry):
        status, answer = desk.engine.replay(forged, *files_of(desk, facts))
        assert (status, answer) != (0, response)
    assert desk.engine.replay(entry, *files_of(desk, facts)) == (0, response)


@pytest.mark.parametrize("seed", range(3))
def test_a_claim_at_any_time_comes_to_what_a_members_sale_does(
    open_desk: Callable[[str], Desk], tmp_path: Path, seed: int
) -> None:
    """Sold to ben, or sold to nobody and claimed somewhere among the returns: ben has the same."""
    draw = random.Random(seed)
    shops = [open_desk("earning"), open_desk("earning")]
    for _ in range(8):
        lines = [
            (draw.choice([PLAIN, LIMITED, OTHER]), draw.randint(1, 6), draw.randint(1, 5000))
            for _ in range(draw.randint(1, 4))
        ]
        sales = [
            shop.sell(*lines, member=member)
            for shop, member in zip(shops, ("ben", None), strict=True)
        ]
        units = [at for at, (_, count, _) in enumerate(lines, 1) for _ in range(count)]
        draw.shuffle(units)
        backs = units[: draw.choice([0, 0, 1, 2, 3, len(units)])]
        claimed_after = draw.randint(0, len(backs))
        is_void = not backs and draw.random() < 0.4
        for at in range(len(backs) + 1):
            if at == claimed_after:
                shops[1].claim(sales[1], "1002")
            if at < len(backs):
                for shop, sale in zip(shops, sales, strict=True):
                    shop.return_items(shop.return_request(sale, (backs[at], 1)))
        if is_void:
            for shop, sale in zip(shops, sales, strict=True):
                shop.void(shop.void_request(sale))
        assert shops[0].standing("ben") == shops[1].standing("ben")
    assert_replayed(shops[1], tmp_path / "other")


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Do all of it at the same time; return what each answered or was refused with."""
    start = threading.Barrier(len(works))

    def run(work: Callable[[], Any]) -> Any:
        start.wait(60)
        try:
            return work()
        except RefusedError as error:
            return error.name

    with ThreadPoolExecutor(len(works)) as pool:
        return [done.result(60) for done in [pool.submit(run, work) for work in works]]


def test_of_many_at_once_one_claims(open_desk: Callable[[str], Desk]) -> None:
    desk = open_desk("shop")
    for _ in range(10):
        sale = desk.sell((OTHER, 1, 1000))
        requests = [desk.claim_request(sale, card) for card in ("1002", "1003") * 4]
        told = at_once(*(partial(desk.claim_raw, request) for request in requests))
        assert sum(isinstance(answer, bytes) for answer in told) == 1
        assert told.count("CLAIM_NOT_ALLOWED") == len(requests) - 1
    assert desk.balance("ben")[0] + desk.balance("cat")[0] == 10 * 100


def test_a_return_and_a_claim_at_once_come_to_the_same(open_desk: Callable[[str], Desk]) -> None:
    """Whichever comes first, and wherever the other had looked the sale up."""
    one, other = open_desk("earning"), open_desk("earning")
    for _ in range(40):
        lines = ((OTHER, 3, 1000), (PLAIN, 2, 777))
        sale = one.sell(*lines, member="ben")
        one.return_items(one.return_request(sale, (1, 2)))
        sale = other.sell(*lines)
        back, claim = other.return_request(sale, (1, 2)), other.claim_request(sale, "1002")
        at_once(partial(other.return_items, back), partial(other.claim_raw, claim))
    assert one.standing("ben") == other.standing("ben")


def test_a_card_shown_after_the_total(desk: Desk, refused: Any) -> None:
    """It is totalled anew for whom it is now; the first total can not be posted for them."""
    goods = basket((OTHER, 1, 1000))
    goods.basket_id = "b-1"

    def total() -> bytes:
        request = checkout_pb2.TotalBasketRequest(context=desk.context(), basket=goods)
        answer = desk.call("CheckoutService.TotalBasket", request)
        return checkout_pb2.TotalBasketResponse.FromString(answer).total_token

    first = total()
    goods.identifiers.append(identifier("1002"))
    assert refused(desk.commit, desk.sale(goods, total_token=first)) == "DECISION_CHANGED"
    desk.commit(desk.sale(goods, total_token=total()))
    assert desk.balance("ben")[0] == 100


def test_several_cards_have_roles_in_one_sale(desk: Desk) -> None:
    goods = basket((OTHER, 1, 1000), member="ben")
    goods.identifiers.insert(0, identifier("1004", CARD, STAFF))
    goods.identifiers.append(identifier("1003"))
    told = desk.commit(desk.sale(goods)).decision.members
    assert [(found.role, found.result) for found in told] == [
        (STAFF, decision_pb2.IDENTIFY_RESULT_MEMBER),
        (MEMBER, decision_pb2.IDENTIFY_RESULT_MEMBER),
        (MEMBER, decision_pb2.IDENTIFY_RESULT_SURPLUS),
    ]
    assert [desk.balance(member)[0] for member in ("ben", "cat", "dan")] == [100, 0, 0]


def test_explain_decides_a_claim_again(desk: Desk, programs: dict[str, Path]) -> None:
    sale = desk.sell((OTHER, 3, 1000))
    desk.return_items(desk.return_request(sale, (1, 1)))
    lsn = desk.claim(sale, "1002").posting.lsn
    desk.activate(programs["dearer"])
    told = CliRunner().invoke(explain, ["--data", str(desk.data), "--lsn", str(lsn)])
    assert told.exit_code == 0, told.output
    assert "71 base by points" in told.output
    assert "same bytes: yes" in told.output


def test_a_claim_on_a_closed_date_counts_for_the_next(desk: Desk, tmp_path: Path) -> None:
    """The sale's date and the claim's are closed; points are dated by the sale all the same."""
    sale = desk.sell((OTHER, 1, 1000))
    context = desk.context()
    request = ledger_pb2.CloseBusinessDateRequest(context=context, business_date=20260305)
    desk.call("LedgerService.CloseBusinessDate", request)
    answer = desk.claim(sale, "1002")
    assert answer.posting.business_date == 20260306
    (told,) = desk.entries(_layout.ENTRY_CLAIM)
    header = sections(told[0])[0]
    assert (header["business_date"], header["own_date"]) == (20260306, 20260305)
    assert_replayed(desk, tmp_path / "other")


def test_goods_of_a_claimed_sale_are_exchanged(desk: Desk) -> None:
    """What comes back in another basket takes what the claim had earned for it."""
    sale = desk.sell((OTHER, 2, 1000))
    desk.claim(sale, "1002")
    goods = basket((OTHER, 1, 300))
    line = goods.lines.add(
        line_id=2, product_code=str(OTHER), code_kind=2, count=1, amount_minor=500,
        kind=basket_pb2.LINE_KIND_RETURN,
    )  # fmt: skip
    line.original.receipt.CopyFrom(sale.receipt)
    line.original.line_id = 1
    desk.commit(desk.sale(goods))
    assert desk.balance("ben")[0] == 107 - 54
