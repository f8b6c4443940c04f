"""A small shop over the real engine: data directories built once, copied for each test."""

import itertools
import shutil
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from checklane import _layout
from checklane._engine import METHODS, Engine
from checklane.program import compile_program, load_vocabulary
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.snapshot.keys import create_keys
from checklane.snapshot.members import MemberFeeds, build_members
from checklane.tables.catalogue_tables import open_catalogue
from checklane.tables.files import write_snapshot
from checklane.v1 import basket_pb2, checkout_pb2, common_pb2, decision_pb2, member_pb2, program_pb2
from tests.support.engine_fixture import (
    HOLD_OUT_KEY,
    IDENTITY_KEY,
    whole,
    write_keys,
    write_program,
)

NAMES = {number: name for name, (number, _, _) in _layout.STATUSES.items()}
CARD, PHONE, EMAIL, APP, ACCOUNT, MEMBER_ID = range(1, 7)
MEMBER, STAFF, BUSINESS = 1, 2, 3
OPENED_UNIX_MS = 1_772_618_400_000  # 2026-03-04T10:00:00Z
TODAY, TOMORROW = 20260304, 20260305
STORE, TILL = "S1", "7"

HEAD = {
    "program": "shop",
    "currency": {"code": "USD", "exponent": 2},
    "purses": {
        "base": {"number": 1},
        "late": {"number": 2, "pending_days": 7, "expires": {"days": 90}},
    },
    "tiers": {"basic": {"number": 0}, "gold": {"number": 1}},
    "segments": {"new": {"number": 0}, "vip": {"number": 70}},
    "issuer_ranges": [{"kind": "card", "prefix": 77, "length": 8}],
}
OFFERS: list[dict[str, Any]] = [
    {"id": "gold-price", "who": {"tiers": ["gold"]},
     "discount": {"of": {"category": "GOLD"}, "percent": 50}},
    {"id": "limited", "limits": {"per_member": {"units": 10}},
     "discount": {"of": {"category": "LIMITED"}, "amount": 0.50}},
    {"id": "plain", "discount": {"of": {"category": "PLAIN"}, "percent": 10}},
    {"id": "gift", "wallet": True, "discount": {"of": {"category": "GIFT"}, "amount": 1.00}},
    {"id": "pick", "chosen": True, "discount": {"of": {"category": "PLAIN"}, "amount": 0.01}},
    {"id": "points", "earn": {"purse": "base", "points": 1, "per": 0.10}},
    {"id": "later", "earn": {"purse": "late", "points": 1, "per": 1.00}},
]  # fmt: skip
WIDE = [f"wide-{number:04}" for number in range(1030)]
PRODUCTS = """code_kind,code,category
plu,100,PLAIN
plu,200,LIMITED
plu,300,GIFT
plu,400,GOLD
plu,500,OTHER
"""
MORE_PRODUCTS = PRODUCTS + "plu,600,OTHER\n"
STORES = "store_id,timezone\nS1,UTC\nS2,America/New_York\n"
MEMBERS = """member_id,group_id,tier,segments,consent,staff
ann,,gold,new,true,false
ben,,basic,,false,false
cat,,basic,,false,false
dan,,gold,,true,true
eve,house,basic,,false,false
eva,house,basic,,false,false
"""
# Members of whom nothing is known but the feed.
CROWD = [f"crowd-{number}" for number in range(100)]
IDENTIFIERS = """member_id,kind,value
ann,card,1001
ann,phone,+1 (312) 555-01.01
ann,email,Ann.Lee@Example.COM
ann,app,App-Token/7
ann,account,B-1001
ben,card,1002
cat,card,1003
dan,card,1004
eve,card,1005
eva,card,1006
"""
WALLETS = "member_id,offer_id\nann,gift\n"
CARDS = {"ann": "1001", "ben": "1002", "cat": "1003", "dan": "1004", "eve": "1005", "eva": "1006"}


class RefusedError(Exception):
    """The engine refused: by the name of the status, the place, and the figures of now."""

    def __init__(
        self, name: str, place: str, changed: decision_pb2.FiguresChanged | None = None
    ) -> None:
        super().__init__(name, place)
        self.name = name
        self.place = place
        self.changed = changed


class Built:
    """A data directory and its snapshot files, nothing of it live yet."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        self._directory = directory
        self._feeds = directory / "feeds"
        self._feeds.mkdir(parents=True)
        write_keys(self.data)
        self.catalogue = self._catalogue(PRODUCTS)
        self.other_catalogue = self._catalogue(MORE_PRODUCTS)
        self.program = self.compile("first", OFFERS)
        self.cheaper = self.compile(
            "cheaper", [{**o, "discount": {"of": {"category": "PLAIN"}, "percent": 20}}
                        if o["id"] == "plain" else o for o in OFFERS]
        )  # fmt: skip
        self.wide = self.compile("wide", [*OFFERS, *(
            {"id": name, "wallet": True, "discount": {"of": {"category": "OTHER"}, "percent": 1}}
            for name in WIDE)])  # fmt: skip
        self.lenient = self.compile("lenient", OFFERS, policies={"claw_back": "negative"})
        self.strict = self.compile("strict", OFFERS, policies={"claw_back": "pending_only"})
        self.stranger = self.compile("stranger", OFFERS, program="another")
        self.moved_catalogue = self._catalogue(PRODUCTS, "store_id\nS2\n")
        self.moved = self.compile("moved", OFFERS, catalogue=self.moved_catalogue)
        self.members = self._members()

    @property
    def snapshots(self) -> Path:
        return self.data / "snapshots"

    def compile(
        self, name: str, offers: list[dict[str, Any]], *, catalogue: Path | None = None, **head: Any
    ) -> Path:
        directory = self._directory / name
        write_program(directory, {**HEAD, **head, "offers": offers})
        tables = compile_program(directory, open_catalogue(catalogue or self.catalogue))
        return write_snapshot(self.snapshots, "program", tables)

    def _feed(self, name: str, text: str) -> Path:
        path = self._feeds / name
        path.write_text(text)
        return path

    def _catalogue(self, products: str, stores: str = STORES) -> Path:
        feeds = CatalogueFeeds(
            [self._feed("products.csv", products)], [self._feed("stores.csv", stores)]
        )
        return whole(build_catalogue(feeds, self.snapshots))

    def _members(self) -> Path:
        feeds = MemberFeeds(
            [self._feed("members.csv", MEMBERS + "".join(f"{m},,gold,,,\n" for m in CROWD))],
            [self._feed("identifiers.csv", IDENTIFIERS)],
            [self._feed("wallets.csv", WALLETS)],
        )
        vocabulary = load_vocabulary(self._directory / "first")
        return whole(build_members(feeds, vocabulary, create_keys(self.data), self.snapshots))


def open_engine(data: Path, sessions: int = 16) -> Engine:
    """Open a data directory; nothing is live yet."""
    return Engine(
        str(data), sessions=sessions, checkpoint_pause_ms=1, node=0, partition=0,
        identity_key=IDENTITY_KEY, hold_out_key=HOLD_OUT_KEY,
    )  # fmt: skip


class Shop:
    """An engine with the shop live, and the calls that a till would make.

    Parameters
    ----------
    built : Built
    directory : Path
        Gets a data directory of its own, unless `data` is given.
    data : Path, optional
        A data directory to open again.
    """

    def __init__(
        self, built: Built, directory: Path, *, data: Path | None = None, sessions: int = 16,
        members: bool = True, program: Path | None = None,
    ) -> None:  # fmt: skip
        self.built = built
        self.data = data or directory / "data"
        if data is None:
            shutil.copytree(built.data, self.data)
        self.engine = open_engine(self.data, sessions)
        self.numbers = itertools.count(1)
        self.activate(program or built.program, built.catalogue, built.members if members else None)

    def activate(
        self, program: Path | None, catalogue: Path | None = None, members: Path | None = None
    ) -> None:
        paths = [None if path is None else str(path) for path in (program, catalogue, members)]
        self.engine.activate(*paths)

    def reopen(self) -> None:
        """Close the engine and open the same data directory again."""
        self.engine.close()
        self.engine = open_engine(self.data)
        self.activate(self.built.program, self.built.catalogue, self.built.members)

    def raw(self, method: str, request: Message) -> tuple[int, bytes | str]:
        return self.engine.call(METHODS[method], request.SerializeToString())

    def call(self, method: str, request: Message) -> bytes:
        status, answer = self.raw(method, request)
        if status != 0 and isinstance(answer, bytes):
            changed = decision_pb2.FiguresChanged.FromString(answer)
            raise RefusedError(NAMES[status], changed.changes[0].place, changed)
        if status != 0:
            raise RefusedError(NAMES[status], str(answer))
        assert isinstance(answer, bytes)
        return answer

    @property
    def lsn(self) -> int:
        return self.engine.stats()["durable_lsn"]

    def context(self, key: str | None = None, *, training: bool = False) -> Any:
        """Return a context with this key, or a new one."""
        return common_pb2.RequestContext(
            idempotency_key=key or f"key-{next(self.numbers)}",
            store_id=STORE, till_id=TILL, training=training,
        )  # fmt: skip

    def receipt(self, date: int = TODAY) -> Any:
        return common_pb2.ReceiptId(
            store_id=STORE, business_date=date, till_id=TILL, sequence=next(self.numbers)
        )

    # ---- checkout

    def identify(self, *identifiers: Any, **fields: Any) -> Any:
        request = checkout_pb2.IdentifyMemberRequest(
            context=common_pb2.RequestContext(store_id=fields.pop("store", STORE)),
            identifiers=identifiers, **fields,
        )  # fmt: skip
        answer = self.call("CheckoutService.IdentifyMember", request)
        return checkout_pb2.IdentifyMemberResponse.FromString(answer)

    def quote_request(self, basket: Any) -> Any:
        return checkout_pb2.QuoteBasketRequest(basket=basket, explain=True)

    def quote(self, basket: Any) -> Any:
        answer = self.call("CheckoutService.QuoteBasket", self.quote_request(basket))
        return checkout_pb2.QuoteBasketResponse.FromString(answer).decision

    def sale(self, basket: Any, *, training: bool = False, **fields: Any) -> Any:
        """Return a commit request with a key and receipt of its own."""
        context = self.context(fields.pop("key", None), training=training)
        receipt = fields.pop("receipt", None) or self.receipt()
        return checkout_pb2.CommitTransactionRequest(
            context=context, receipt=receipt, basket=basket, **fields
        )

    def commit(self, request: Any) -> Any:
        answer = self.call("CheckoutService.CommitTransaction", request)
        return checkout_pb2.CommitTransactionResponse.FromString(answer)

    def void_request(self, sale: Any = None, **fields: Any) -> Any:
        if sale is not None:
            fields["original_receipt"] = sale.receipt
        return checkout_pb2.VoidTransactionRequest(
            context=self.context(fields.pop("key", None)), **fields
        )

    def void(self, request: Any) -> Any:
        answer = self.call("CheckoutService.VoidTransaction", request)
        return checkout_pb2.VoidTransactionResponse.FromString(answer)

    def return_request(self, sale: Any, *lines: tuple[int, int | None], **fields: Any) -> Any:
        return checkout_pb2.ReturnItemsRequest(
            context=self.context(fields.pop("key", None)),
            original_receipt=sale.receipt,
            receipt=fields.pop("receipt", None) or self.receipt(TOMORROW),
            lines=[checkout_pb2.ReturnLine(line_id=line, count=count) for line, count in lines],
            **fields,
        )

    def return_items(self, request: Any) -> Any:
        answer = self.call("CheckoutService.ReturnItems", request)
        return checkout_pb2.ReturnItemsResponse.FromString(answer)

    # ---- members

    def enrol(self, member_id: str, **fields: Any) -> Any:
        request = member_pb2.EnrolMemberRequest(
            context=self.context(fields.pop("key", None)), member_id=member_id, **fields
        )
        answer = self.call("MemberService.EnrolMember", request)
        return member_pb2.EnrolMemberResponse.FromString(answer).member

    def member(self, member_id: str) -> Any:
        request = member_pb2.GetMemberRequest(member=member_pb2.MemberRef(member_id=member_id))
        answer = self.call("MemberService.GetMember", request)
        return member_pb2.GetMemberResponse.FromString(answer).member

    def update(self, member_id: str, **fields: Any) -> Any:
        request = member_pb2.UpdateMemberRequest(
            context=self.context(), member=member_pb2.MemberRef(member_id=member_id), **fields
        )
        answer = self.call("MemberService.UpdateMember", request)
        return member_pb2.UpdateMemberResponse.FromString(answer).member

    def link(self, member_id: str, identifier: Any, *, remove: bool = False) -> None:
        request = member_pb2.LinkIdentifierRequest(
            context=self.context(), member=member_pb2.MemberRef(member_id=member_id),
            identifier=identifier, remove=remove,
        )  # fmt: skip
        self.call("MemberService.LinkIdentifier", request)

    def wallet(self, member_id: str, offer: str, action: int = 0) -> None:
        request = member_pb2.ActivateOfferRequest(
            context=self.context(), member=member_pb2.MemberRef(member_id=member_id),
            offer_id=offer, action=action,
        )  # fmt: skip
        self.call("MemberService.ActivateOffer", request)

    def adjust_request(self, member_id: str, points: int, **fields: Any) -> Any:
        """Return a request to give or take points, with a key and an operator."""
        context = self.context(fields.pop("key", None))
        context.operator_id = "ana"
        return member_pb2.AdjustAccountRequest(
            context=context, member=member_pb2.MemberRef(member_id=member_id), points=points,
            **{"purse_id": "base", "reason": "goodwill", **fields},
        )  # fmt: skip

    def adjust(self, request: Any) -> Any:
        answer = self.call("MemberService.AdjustAccount", request)
        return member_pb2.AdjustAccountResponse.FromString(answer)

    def stop(self, offer: str, *, resume: bool = False) -> None:
        request = program_pb2.StopOfferRequest(
            context=self.context(), offer_id=offer, resume=resume
        )
        self.call("ProgramService.StopOffer", request)

    def balance(self, member_id: str, purse: str = "base") -> tuple[int, int]:
        """Return what can be spent and what is pending."""
        (found,) = [b for b in self.member(member_id).balances if b.purse_id == purse]
        return found.available_points, found.pending_points


def identifier(value: str, kind: int = CARD, role: int = MEMBER) -> Any:
    return common_pb2.Identifier(kind=kind, value=value, role=role)


def basket(*lines: tuple[int, int, int], member: str | None = None, card: str | None = None) -> Any:
    """Return a basket of (code, count, minor units), for a member or any card."""
    message = basket_pb2.Basket(store_id=STORE, till_id=TILL, opened_time_unix_ms=OPENED_UNIX_MS)
    for number, (code, count, amount) in enumerate(lines, 1):
        message.lines.add(
            line_id=number, product_code=str(code), code_kind=2, count=count, amount_minor=amount
        )
    if card is None and member in CARDS:
        card = CARDS[member]
    if card is not None:
        message.identifiers.append(identifier(card))
    elif member is not None:
        message.identifiers.append(identifier(member, MEMBER_ID))
    return message
