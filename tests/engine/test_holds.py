"""Holds: what is set aside is there when it is spent, is spent once, and comes back by itself."""

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from checklane import _layout
from checklane.books.entries import split_entry
from checklane.ledger.check import rebuild, verify
from checklane.server.entries import contract_entry
from checklane.v1 import checkout_pb2, ledger_pb2, member_pb2
from tests.engine.shop import CARDS, OFFERS, Built, Shop, basket, identifier

WAIT_S = 60
POINTS, OFFER_USE = 1, 3
OPEN, CAPTURED, RELEASED, EXPIRED = 1, 2, 3, 4


class Held:
    """The calls of holds, at a shop."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    def create_request(self, member: str, **fields: Any) -> Any:
        if "offer_id" in fields:
            fields.setdefault("kind", OFFER_USE)
        else:
            fields = {"kind": POINTS, "purse_id": "base", **fields}
        context = self.shop.context(fields.pop("key", None))
        return checkout_pb2.CreateHoldRequest(
            context=context, identifiers=[identifier(CARDS[member])], **fields
        )

    def create(self, member: str, points: int | None = None, **fields: Any) -> Any:
        if points is not None:
            fields["points"] = points
        return self.send_create(self.create_request(member, **fields))

    def send_create(self, request: Any) -> Any:
        answer = self.shop.call("CheckoutService.CreateHold", request)
        return checkout_pb2.CreateHoldResponse.FromString(answer)

    def capture_request(self, hold_id: str, **fields: Any) -> Any:
        more = {name: fields.pop(name) for name in ("key", "keep_rest") if name in fields}
        return checkout_pb2.CaptureHoldRequest(
            context=self.shop.context(more.pop("key", None)),
            capture=checkout_pb2.HoldCapture(hold_id=hold_id, **fields),
            **more,
        )

    def capture(self, hold_id: str, **fields: Any) -> Any:
        return self.send_capture(self.capture_request(hold_id, **fields))

    def send_capture(self, request: Any) -> Any:
        answer = self.shop.call("CheckoutService.CaptureHold", request)
        return checkout_pb2.CaptureHoldResponse.FromString(answer)

    def release(self, **fields: Any) -> Any:
        context = self.shop.context(fields.pop("key", None))
        request = checkout_pb2.ReleaseHoldRequest(context=context, **fields)
        answer = self.shop.call("CheckoutService.ReleaseHold", request)
        return checkout_pb2.ReleaseHoldResponse.FromString(answer)

    def extend(self, hold_id: str, seconds: int, **fields: Any) -> Any:
        request = checkout_pb2.ExtendHoldRequest(
            context=self.shop.context(), hold_id=hold_id, hold_seconds=seconds, **fields
        )
        answer = self.shop.call("CheckoutService.ExtendHold", request)
        return checkout_pb2.ExtendHoldResponse.FromString(answer)

    def give(self, member: str, points: int, **fields: Any) -> Any:
        return self.shop.adjust(self.shop.adjust_request(member, points, **fields))

    def open_holds(self, member: str) -> list[Any]:
        found = self.shop.identify(identifier(CARDS[member]), include_holds=True)
        return list(found.holds)

    def state(self, member: str) -> tuple[int, int]:
        """Return what can be spent of the purse `base`, and what is held."""
        return base(self.shop.identify(identifier(CARDS[member])))

    def wait_until_expired(self, member: str, hold_id: str) -> None:
        """Wait until no answer lists the hold any more."""
        end_s = time.monotonic() + WAIT_S
        while hold_id in [hold.hold_id for hold in self.open_holds(member)]:
            assert time.monotonic() < end_s, "the hold does not end"
            time.sleep(0.05)


def base(answer: Any) -> tuple[int, int]:
    (found,) = [b for b in answer.balances if b.purse_id == "base"]
    return found.available_points, found.held_points


@pytest.fixture
def held(shop: Shop) -> Held:
    return Held(shop)


PROGRAMS: dict[str, Path] = {}


def limited(built: Built, name: str, limits: dict[str, Any]) -> Path:
    """Return the shop's program with limits on one offer, built once."""
    if name in PROGRAMS:
        return PROGRAMS[name]
    offers = [offer for offer in OFFERS if offer["id"] != "plain"]
    plain = {"id": "plain", "limits": limits,
             "discount": {"of": {"category": "PLAIN"}, "percent": 10}}  # fmt: skip
    PROGRAMS[name] = built.compile(name, [*offers, plain])
    return PROGRAMS[name]


def discount_of(shop: Shop, member: str) -> int:
    return int(shop.quote(basket((100, 1, 300), member=member)).totals.discount_minor)


# ---- points


def test_held_points_are_told_and_cannot_be_held_twice(held, refused):
    held.give("ann", 500)
    made = held.create("ann", 300, basket_id="b-1", owner="kiosk", hold_seconds=120)
    hold = made.hold
    assert base(made) == held.state("ann") == (200, 300)
    assert (hold.kind, hold.state, hold.purse_id, hold.points) == (POINTS, OPEN, "base", 300)
    assert (hold.basket_id, hold.owner, hold.store_id, hold.till_id) == ("b-1", "kiosk", "S1", "7")
    assert hold.create_time_unix_ms == made.posting.post_time_unix_ms
    assert hold.expire_time_unix_ms == hold.create_time_unix_ms + 120_000
    assert held.open_holds("ann") == [hold]
    lsn = held.shop.lsn
    assert refused(held.create, "ann", 201) == "HOLD_NOT_COVERED"
    assert held.shop.lsn == lsn
    second = held.create("ann", 200)
    assert base(second) == (0, 500)
    assert held.open_holds("ann") == [hold, second.hold]


def test_the_program_says_how_long_a_hold_lasts(held):
    held.give("ann", 5)
    hold = held.create("ann", 5).hold
    assert hold.expire_time_unix_ms - hold.create_time_unix_ms == 900_000


def test_a_hold_is_captured_once(held, refused):
    held.give("ben", 100)
    made = held.create("ben", 80)
    done = held.capture(made.hold.hold_id)
    assert (done.captured_points, done.hold.state, done.hold.points) == (80, CAPTURED, 0)
    assert base(done) == held.state("ben") == (20, 0)
    assert held.open_holds("ben") == []
    assert refused(held.capture, made.hold.hold_id) == "HOLD_CLOSED"
    assert refused(held.extend, made.hold.hold_id, 60) == "HOLD_CLOSED"
    told = held.release(hold_id=made.hold.hold_id)
    assert [hold.state for hold in told.holds] == [CAPTURED]
    assert held.state("ben") == (20, 0)


def test_a_part_is_captured_and_the_rest_given_back_or_kept(held, refused):
    held.give("ben", 100)
    first = held.create("ben", 80).hold.hold_id
    assert refused(held.capture, first, points=81) == "HOLD_NOT_COVERED"
    kept = held.capture(first, points=30, keep_rest=True)
    assert (kept.captured_points, kept.hold.state, kept.hold.points) == (30, OPEN, 50)
    assert base(kept) == held.state("ben") == (20, 50)
    assert refused(held.capture, first, points=51) == "HOLD_NOT_COVERED"
    done = held.capture(first, points=20)
    assert (done.captured_points, done.hold.state, done.hold.points) == (20, CAPTURED, 0)
    assert base(done) == held.state("ben") == (50, 0)
    second = held.create("ben", 50).hold.hold_id
    nothing = held.capture(second, points=0)
    assert (nothing.captured_points, nothing.hold.state) == (0, RELEASED)
    whole = held.create("ben", 50).hold.hold_id
    assert held.capture(whole, keep_rest=True).hold.state == CAPTURED
    assert held.state("ben") == (0, 0)


def test_a_hold_is_released(held, refused):
    held.give("cat", 40)
    made = held.create("cat", 40)
    back = held.release(hold_id=made.hold.hold_id)
    assert [(hold.hold_id, hold.state) for hold in back.holds] == [(made.hold.hold_id, RELEASED)]
    assert base(back) == held.state("cat") == (40, 0)
    assert refused(held.capture, made.hold.hold_id) == "HOLD_CLOSED"
    again = held.release(hold_id=made.hold.hold_id)
    assert [hold.state for hold in again.holds] == [RELEASED]
    assert held.state("cat") == (40, 0)


def test_the_holds_of_a_basket_are_released_together(held):
    held.give("cat", 40)
    held.give("dan", 10)
    mine = [held.create("cat", 10, basket_id="b-7").hold.hold_id for _ in range(2)]
    mine.append(held.create("dan", 10, basket_id="b-7").hold.hold_id)
    other = held.create("cat", 5, basket_id="b-8").hold.hold_id
    owned = held.create("cat", 5, basket_id="b-7", owner="pump").hold.hold_id
    back = held.release(basket_id="b-7")
    assert [hold.hold_id for hold in back.holds] == mine
    assert {hold.state for hold in back.holds} == {RELEASED}
    assert [hold.hold_id for hold in held.open_holds("cat")] == [other, owned]
    assert held.state("dan") == (10, 0)
    assert list(held.release(basket_id="b-7").holds) == []
    assert list(held.release(basket_id="never").holds) == []
    assert len(held.release(basket_id="b-7", owner="pump").holds) == 1


def test_only_the_owner_may_touch_a_hold(held, refused):
    held.give("dan", 10)
    owned = held.create("dan", 5, owner="pump-3").hold.hold_id
    for call in (held.capture, lambda hold: held.release(hold_id=hold)):
        assert refused(call, owned) == "HOLD_UNKNOWN"
    assert refused(held.capture, owned, owner="pump-4") == "HOLD_UNKNOWN"
    assert refused(held.extend, owned, 60) == "HOLD_UNKNOWN"
    assert held.capture(owned, owner="pump-3").captured_points == 5
    stores = held.create("dan", 5).hold.hold_id
    elsewhere = held.capture_request(stores)
    elsewhere.context.store_id = "S2"
    assert refused(held.send_capture, elsewhere) == "HOLD_UNKNOWN"
    assert refused(held.capture, stores, owner="pump-3") == "HOLD_UNKNOWN"
    assert held.capture(stores).captured_points == 5


def test_a_hold_ends_by_itself_and_says_so(held, refused):
    held.give("eve", 100)
    short = held.create("eve", 60, hold_seconds=1).hold.hold_id
    long = held.create("eve", 10).hold.hold_id
    held.wait_until_expired("eve", short)
    assert held.state("eve") == (90, 10)
    assert [hold.hold_id for hold in held.open_holds("eve")] == [long]
    assert refused(held.capture, short) == "HOLD_EXPIRED"
    assert refused(held.extend, short, 60) == "HOLD_EXPIRED"
    assert [hold.state for hold in held.release(hold_id=short).holds] == [EXPIRED]
    # The next sale sweeps what is left of it out of the record, and nothing changes.
    held.shop.commit(held.shop.sale(basket((500, 1, 1000), member="eve")))
    assert held.state("eve") == (190, 10)
    assert refused(held.capture, short) == "HOLD_EXPIRED"
    assert held.capture(long).captured_points == 10
    assert held.state("eve") == (190, 0)


def test_a_hold_is_extended_and_never_shortened(held):
    held.give("eva", 9)
    made = held.create("eva", 9, hold_seconds=3600, basket_id="b-1")
    same = held.extend(made.hold.hold_id, 10)
    assert same.hold.expire_time_unix_ms == made.hold.expire_time_unix_ms
    longer = held.extend(made.hold.hold_id, 7200)
    assert longer.hold.points == 9
    wanted_ms = longer.posting.post_time_unix_ms + 7_200_000
    assert longer.hold.expire_time_unix_ms == wanted_ms
    (listed,) = held.open_holds("eva")
    assert listed == longer.hold
    assert [hold.state for hold in held.release(basket_id="b-1").holds] == [RELEASED]
    assert held.state("eva") == (9, 0)


def test_requests_are_judged_and_repeats_answered(held, refused):
    held.give("ann", 10)
    assert refused(held.create, "ann", 5, purse_id="nope") == "PURSE_UNKNOWN"
    assert refused(held.create, "ann", offer_id="nope") == "OFFER_UNKNOWN"
    nobody = held.create_request("ann", points=5)
    nobody.identifiers[0].value = "999999"
    assert refused(held.send_create, nobody) == "MEMBER_UNKNOWN"
    for kind in (4, 5, 6):
        assert refused(held.create, "ann", 5, kind=kind) == "FIELD_OUT_OF_RANGE"
    assert refused(held.create, "ann") == "FIELD_REQUIRED"
    assert refused(held.create, "ann", 5, purse_id="") == "FIELD_REQUIRED"
    assert refused(held.release) == "FIELD_REQUIRED"
    for hold_id in ("h-99", "h-0", "h-01", "x", "h-", "h-1x", "h-99999999999999999999"):
        assert refused(held.capture, hold_id) == "HOLD_UNKNOWN"
        assert refused(held.release, hold_id=hold_id) == "HOLD_UNKNOWN"
    request = held.create_request("ann", points=7)
    first = held.shop.call("CheckoutService.CreateHold", request)
    assert held.shop.call("CheckoutService.CreateHold", request) == first
    assert held.state("ann") == (3, 7)
    hold_id = checkout_pb2.CreateHoldResponse.FromString(first).hold.hold_id
    assert refused(held.capture, hold_id, quantity_thousandths=5) == "FIELD_OUT_OF_RANGE"
    spend = held.capture_request(hold_id)
    once = held.send_capture(spend)
    assert held.send_capture(spend) == once
    spend.capture.points = 6
    assert refused(held.send_capture, spend) == "KEY_REUSED"
    assert held.state("ann") == (3, 0)


def test_a_group_has_at_most_so_many_holds_open(held, refused):
    held.give("ben", 100)
    holds = [held.create("ben", 1).hold.hold_id for _ in range(64)]
    assert [hold.hold_id for hold in held.open_holds("ben")] == holds
    assert refused(held.create, "ben", 1) == "RECORD_CEILING"
    held.release(hold_id=holds[5])
    assert held.create("ben", 1).hold.points == 1


# ---- points: whose they are, and where they lie


def test_a_household_shares_what_is_held(held):
    held.give("eve", 50)
    hold = held.create("eva", 50).hold
    assert held.state("eve") == (0, 50)
    assert held.open_holds("eve") == [hold]


def test_held_points_can_not_be_taken_by_hand_or_clawed_back(held, refused):
    sold = held.shop.sale(basket((500, 1, 1000), member="ann"))
    held.shop.commit(sold)
    assert held.state("ann") == (100, 0)
    hold = held.create("ann", 90).hold.hold_id
    take = held.shop.adjust_request("ann", -11)
    assert refused(held.shop.adjust, take) == "POINTS_SHORT"
    undone = held.shop.void(held.shop.void_request(sold))
    taken = [award.points for award in undone.reversal.points if award.purse_id == "base"]
    assert taken == [-10]
    assert [exception.kind for exception in undone.reversal.exceptions] == [14]
    assert held.state("ann") == (0, 90)
    assert held.capture(hold).captured_points == 90
    assert held.state("ann") == (0, 0)


def test_the_lots_that_expire_first_back_a_hold(held):
    """Another hold goes on being backed, whichever of the two is spent first."""
    today = held.give("cat", 5).posting.business_date
    held.give("cat", 10, expire_date=today)
    first = held.create("cat", 12).hold.hold_id
    second = held.create("cat", 3).hold.hold_id
    assert held.state("cat") == (0, 15)
    spent = held.capture(second)
    (balance,) = [b for b in spent.balances if b.purse_id == "base"]
    assert (balance.available_points, balance.held_points) == (0, 12)
    back = held.release(hold_id=first)
    (balance,) = [b for b in back.balances if b.purse_id == "base"]
    # What was spent came out of the lot that lasts longer: the other one backs the first hold.
    assert (balance.available_points, balance.expiring_points, balance.expire_date) == (
        12, 10, today,
    )  # fmt: skip


def test_holds_go_with_a_member_that_is_merged(held):
    held.give("ben", 30)
    held.give("cat", 5)
    hold_id = held.create("ben", 20).hold.hold_id
    request = member_pb2.MergeMembersRequest(
        context=held.shop.context(),
        surviving_member=member_pb2.MemberRef(member_id="cat"),
        merged_member=member_pb2.MemberRef(member_id="ben"),
    )
    answer = held.shop.call("MemberService.MergeMembers", request)
    merged = member_pb2.MergeMembersResponse.FromString(answer)
    assert base(merged.member) == held.state("cat") == (15, 20)
    assert [hold.hold_id for hold in held.open_holds("cat")] == [hold_id]
    assert base(held.capture(hold_id, points=15)) == (20, 0)
    assert held.state("ben") == (20, 0)


# ---- uses


SCOPES = {"per_member": "ben", "per_household": "ben", "per_card": "ben", "per_store": "ann",
          "overall": "ann"}  # fmt: skip


@pytest.fixture(params=SCOPES)
def scoped(request: Any, built: Built, tmp_path: Path) -> Iterator[tuple[Held, str]]:
    """A shop whose offer may be used twice in one scope, and who else is bound by that."""
    scope = request.param
    shop = Shop(built, tmp_path, program=limited(built, f"held-{scope}", {scope: {"uses": 2}}))
    yield Held(shop), SCOPES[scope]
    shop.engine.close()


def test_uses_are_held_spent_and_given_back(scoped, refused):
    held, other = scoped
    made = held.create("ben", offer_id="plain", uses=2)
    assert (made.hold.offer_id, made.hold.uses, made.hold.points) == ("plain", 2, 0)
    assert discount_of(held.shop, other) == 0
    assert refused(held.create, other, offer_id="plain") == "HOLD_NOT_COVERED"
    assert refused(held.capture, made.hold.hold_id, uses=3) == "HOLD_NOT_COVERED"
    kept = held.capture(made.hold.hold_id, uses=1, keep_rest=True)
    assert (kept.hold.state, kept.hold.uses) == (OPEN, 1)
    assert discount_of(held.shop, other) == 0
    held.release(hold_id=made.hold.hold_id)
    assert discount_of(held.shop, other) == 30
    last = held.create("ben", offer_id="plain").hold
    assert last.uses == 1
    assert held.capture(last.hold_id).hold.state == CAPTURED
    assert discount_of(held.shop, other) == 0
    assert refused(held.create, other, offer_id="plain") == "HOLD_NOT_COVERED"


def test_held_uses_come_back_by_themselves_and_last_as_long_as_is_asked(scoped):
    held, other = scoped
    short = held.create("ben", offer_id="plain", uses=1, hold_seconds=1).hold.hold_id
    long = held.create("ben", offer_id="plain", uses=1, hold_seconds=30).hold.hold_id
    held.extend(long, 600)
    assert discount_of(held.shop, other) == 0
    held.wait_until_expired("ben", short)
    end_s = time.monotonic() + WAIT_S  # of a store or of everybody: some seconds later
    while discount_of(held.shop, other) == 0:
        assert time.monotonic() < end_s
        time.sleep(0.1)
    held.shop.commit(held.shop.sale(basket((100, 1, 300), member=other)))
    assert discount_of(held.shop, other) == 0
    held.release(hold_id=long)
    assert discount_of(held.shop, other) == 30


# ---- the journal


def test_holds_are_there_after_a_restart_and_a_rebuild(held):
    held.give("ann", 100)
    open_hold = held.create("ann", 30, basket_id="b-1", owner="o" * 64).hold
    part = held.create("ann", 40).hold.hold_id
    held.capture(part, points=15, keep_rest=True)
    closed = held.create("ann", 5).hold.hold_id
    held.release(hold_id=closed)
    for _ in range(2):
        held.shop.reopen()
        assert held.state("ann") == (30, 55)
        assert held.open_holds("ann")[0] == open_hold
        assert [hold.points for hold in held.open_holds("ann")] == [30, 25]
    data = held.shop.data
    held.shop.engine.close()
    assert verify(data, lambda *_: None).is_sound
    rebuild(data, lambda *_: None)
    held.shop.reopen()
    assert held.state("ann") == (30, 55)
    assert base(held.capture(open_hold.hold_id, owner="o" * 64)) == (30, 25)


def test_entries_tell_of_holds(held):
    held.give("ann", 100)
    hold_id = held.create("ann", 30).hold.hold_id
    held.extend(hold_id, 3600)
    held.capture(hold_id, points=10)
    held.release(hold_id=hold_id)
    entries = held.shop.engine.read_entries(1, 100, 2**20)
    told = [contract_entry(split_entry(entry), include_bodies=False, include_movements=True)
            for entry in entries]  # fmt: skip
    holds = [entry for entry in told if entry.kind == ledger_pb2.LEDGER_ENTRY_KIND_HOLD]
    assert [entry.method.rsplit("/")[-1] for entry in holds] == [
        "CreateHold", "ExtendHold", "CaptureHold", "ReleaseHold",
    ]  # fmt: skip
    assert [(p.purse_id, p.points) for p in holds[2].points] == [("base", -10)]
    held_by = [m.points for m in holds[0].movements if m.group_number and m.points]
    assert held_by == [30]


def test_two_lanes_never_hold_or_spend_the_same_points(held):
    held.give("ben", 100)
    outcomes: list[str] = []
    requests = [held.create_request("ben", points=30) for _ in range(8)]

    def run(method: str, request: Any) -> None:
        status, _ = held.shop.raw(method, request)
        outcomes.append(str(status))

    def race(method: str, requests: list[Any]) -> list[str]:
        outcomes.clear()
        threads = [threading.Thread(target=run, args=(method, request)) for request in requests]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(outcomes)

    assert race("CheckoutService.CreateHold", requests) == ["0"] * 3 + ["56"] * 5
    assert held.state("ben") == (10, 90)
    hold_id = held.open_holds("ben")[0].hold_id
    spends = [held.capture_request(hold_id) for _ in range(6)]
    assert race("CheckoutService.CaptureHold", spends) == ["0"] + ["54"] * 5
    assert held.state("ben") == (10, 60)


# ---- anything, in any order


class Model:
    """What a careful clerk would have noted of one member's purse."""

    def __init__(self) -> None:
        self.there = 0
        self.holds: dict[str, int] = {}

    @property
    def available(self) -> int:
        return self.there - sum(self.holds.values())


def left_of_holds(shop: Shop) -> dict[tuple[int, ...], tuple[int, int]]:
    """Return what the journal's movements leave of references in groups, members and offers."""
    families = (_layout.FAMILY_GROUP, _layout.FAMILY_MEMBER, _layout.FAMILY_OFFER)
    left: Counter[tuple[int, ...]] = Counter()
    other: Counter[tuple[int, ...]] = Counter()
    for entry in shop.engine.read_entries(1, 10_000, 1 << 26):
        for moved in split_entry(entry).movements:
            cell, key = moved["cell"], moved["record"]
            if key["family"] not in families:
                continue
            if cell["kind"] not in (_layout.CELL_HOLD, _layout.CELL_HELD):
                continue
            name = (int(key["hi"]), int(key["lo"]), *(int(cell[n]) for n in ("kind", "sub", "key")))
            left[name] += int(cell["value"])
            other[name] = (other[name] + int(cell["other"])) % 2**64
    return {name: (left[name], other[name]) for name in left if left[name] or other[name]}


@pytest.mark.parametrize("seed", [1, 2])
def test_holds_and_what_was_spent_never_exceed_what_was_there(built, tmp_path, seed, refused):
    """Whatever the order: points are conserved, lanes are told the truth, no hold leaks."""
    draw = random.Random(seed)
    limits = {"overall": {"uses": 1000}, "per_member": {"uses": 900}}
    shop = Shop(built, tmp_path, program=limited(built, "held-random", limits))
    held = Held(shop)
    models = {member: Model() for member in ("ann", "ben")}
    uses: list[str] = []
    for _ in range(150):
        member = draw.choice(list(models))
        model = models[member]
        action = draw.choice(["give", "take", "create", "capture", "release", "extend", "sale"])
        known = draw.choice(list(model.holds)) if model.holds else None
        points = draw.randint(1, 120)
        if action == "give":
            held.give(member, points)
            model.there += points
        elif action == "take":
            request = shop.adjust_request(member, -points)
            if points > model.available:
                assert refused(shop.adjust, request) == "POINTS_SHORT"
            else:
                shop.adjust(request)
                model.there -= points
        elif action == "sale":
            shop.commit(shop.sale(basket((500, 1, points), member=member)))
            model.there += points // 10
            uses.append(held.create(member, offer_id="plain", uses=points).hold.hold_id)
            if len(uses) > 3:
                held.capture(uses.pop(0), uses=1)
        elif action == "create" and points > model.available:
            assert refused(held.create, member, points) == "HOLD_NOT_COVERED"
        elif action == "create":
            model.holds[held.create(member, points).hold.hold_id] = points
        elif known is None:
            continue
        elif action == "extend":
            held.extend(known, draw.randint(1, 5000))
        elif action == "release":
            held.release(hold_id=known)
            del model.holds[known]
        elif points > model.holds[known]:
            assert refused(held.capture, known, points=points) == "HOLD_NOT_COVERED"
        else:
            keep = draw.random() < 0.5
            held.capture(known, points=points, keep_rest=keep)
            model.there -= points
            model.holds[known] -= points
            if not keep or model.holds[known] == 0:
                del model.holds[known]
        assert held.state(member) == (model.available, sum(model.holds.values()))
    for member, model in models.items():
        assert {
            hold.hold_id: hold.points for hold in held.open_holds(member) if hold.purse_id
        } == model.holds
        for hold_id in model.holds:
            held.release(hold_id=hold_id)
        assert held.state(member) == (model.there, 0)
    assert left_of_holds(shop) != {}
    for hold_id in uses:
        held.release(hold_id=hold_id)
    assert left_of_holds(shop) == {}
    shop.engine.close()
    assert verify(shop.data, lambda *_: None).is_sound
