"""A throw-away data directory with a live engine, from plain values.

The values are those of tests/oracle/decide.py: a program with its offers, rows of products, stores
and members, baskets. Everything goes through the real door: feeds, snapshots, compiled program,
protobuf bytes.
"""

import csv
import itertools
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from zoneinfo import ZoneInfo

from checklane._engine import METHODS, Engine
from checklane.program import compile_program, load_vocabulary
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.snapshot.keys import FILES, create_keys
from checklane.snapshot.members import Built, MemberFeeds, build_members
from checklane.tables.catalogue_tables import open_catalogue
from checklane.tables.files import write_snapshot
from checklane.v1 import basket_pb2, checkout_pb2, common_pb2, decision_pb2, member_pb2, program_pb2
from tests.oracle.decide import show_issued
from tests.oracle.values import is_true, listed, scaled
from tests.support.yaml_text import block, offers_file

IDENTITY_KEY = bytes(range(16))
HOLD_OUT_KEY = bytes(range(16, 32))
KEYS = {"identity": IDENTITY_KEY, "hold_out": HOLD_OUT_KEY, "token": bytes(range(32, 48))}
PRODUCT_COLUMNS = ("category", "department", "brand", "vendor", "flags", "cost", "legal_min")
STORE_COLUMNS = (
    "store_id", "region", "banner", "franchise", "price_zone", "timezone", "jurisdiction",
)  # fmt: skip
MEMBER_COLUMNS = (
    "member_id", "group_id", "tier", "segments", "consent", "staff", "business", "referrer",
)  # fmt: skip
TILL = "1"


class EngineRefusedError(AssertionError):
    """The engine answered a call with a status."""


class EngineFixture:
    """One engine on a data directory of its own.

    Parameters
    ----------
    directory : Path
        Empty.
    program : dict
        The keys of ``program.yaml``, with `offers` and `files`.
    catalogue : dict
        Rows of `products` and `stores`.
    members : list of dict
        Rows with `card` and `wallet`.
    sessions : int
        Calls at once.
    """

    def __init__(
        self,
        directory: Path,
        program: dict[str, Any],
        catalogue: dict[str, list[dict[str, Any]]],
        members: list[dict[str, Any]],
        *,
        sessions: int = 2,
    ) -> None:
        self.data = directory / "data"
        self._programs = directory / "programs"
        self._feeds = directory / "feeds"
        self._feeds.mkdir(parents=True)
        self._numbers = itertools.count(1)
        #: Coupons that commits issued, under the program at hand: code and serial.
        self.printed: list[tuple[str, str]] = []
        #: Baskets that were committed, with their numbers here.
        self.sold: list[tuple[dict[str, Any], int]] = []
        #: Answers to commits, by their numbers here.
        self.committed: dict[int, checkout_pb2.CommitTransactionResponse] = {}
        self._zones = {
            str(store["store_id"]): str(store.get("timezone", "")) for store in catalogue["stores"]
        }
        self._purses = program.get("purses", {})
        self._decimals = int(program.get("currency", {}).get("exponent", 2))
        write_keys(self.data)
        self.catalogue_path = self._build_catalogue(catalogue)
        program_path = self._build_program(program)
        members_path = self._build_members(members)
        self.engine = Engine(
            str(self.data),
            sessions=sessions,
            checkpoint_pause_ms=20,
            node=0,
            partition=0,
            identity_key=IDENTITY_KEY,
            hold_out_key=HOLD_OUT_KEY,
        )
        self.engine.activate(str(program_path), str(self.catalogue_path), str(members_path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.engine.close()

    def change_program(self, program: dict[str, Any]) -> None:
        """Make another program of the same name live, over the same catalogue and members."""
        path = self._build_program(program)
        self.engine.activate(str(path), str(self.catalogue_path), None)
        self.printed.clear()

    def call(self, method: str, request: bytes) -> bytes:
        """Answer one request, or raise what the engine refused it with."""
        status, answer = self.engine.call(METHODS[method], request)
        if status != 0 or not isinstance(answer, bytes):
            raise EngineRefusedError(f"{method}: status {status} at {answer!r}")
        return answer

    def quote_bytes(self, basket: dict[str, Any]) -> bytes:
        """Quote a basket and return the answer as it came."""
        request = checkout_pb2.QuoteBasketRequest(
            basket=self.basket_message(basket), explain=True, near_miss_limit=8
        )
        return self.call(
            "CheckoutService.QuoteBasket", request.SerializeToString(deterministic=True)
        )

    def quote(self, basket: dict[str, Any]) -> decision_pb2.Decision:
        """Quote a basket, explained."""
        return checkout_pb2.QuoteBasketResponse.FromString(self.quote_bytes(basket)).decision

    def commit(self, basket: dict[str, Any]) -> int:
        """Commit a basket under a receipt and key of its own; return its number here."""
        message = self.basket_message(basket)
        number = next(self._numbers)
        request = checkout_pb2.CommitTransactionRequest(
            context=self._context(f"commit-{number}"),
            receipt=self._receipt(basket, number),
            basket=message,
        )
        answer = self.call("CheckoutService.CommitTransaction", request.SerializeToString())
        committed = checkout_pb2.CommitTransactionResponse.FromString(answer)
        self.committed[number] = committed
        self.sold.append((basket, number))
        self.printed += [(coupon.code, coupon.serial) for coupon in committed.issued_coupons]
        return number

    def authorise(self, asked: dict[str, Any]) -> checkout_pb2.AuthorizeFuelResponse:
        """Ask what comes off fuel before it is pumped: prices, and what a basket says."""
        basket = self.basket_message({**asked, "lines": []})
        request = checkout_pb2.AuthorizeFuelRequest(
            context=self._context(f"fuel-{next(self._numbers)}"),
            identifiers=basket.identifiers,
            pump_id="1",
            unit=number_of(basket_pb2.MeasureUnit, "MEASURE_UNIT", asked["unit"]),
            opened_time_unix_ms=basket.opened_time_unix_ms,
            coupons=basket.coupons,
            redemptions=basket.redemptions,
        )
        request.context.store_id, request.context.till_id = str(asked["store"]), TILL
        for code, grade, level, price in asked["prices"]:
            kind, number = code_of(str(code))
            request.prices.add(
                grade=str(grade),
                price_level=number_of(basket_pb2.FuelPriceLevel, "FUEL_PRICE_LEVEL", level),
                unit_price_minor_thousandths=scaled(price, self._decimals + 3),
                product_code=number,
                code_kind=number_of(basket_pb2.ProductCodeKind, "PRODUCT_CODE_KIND", kind),
            )
        if "most" in asked:
            request.max_quantity_thousandths = scaled(asked["most"], 3)
        if "prepaid" in asked:
            request.prepaid_amount_minor = scaled(asked["prepaid"], self._decimals)
        answer = self.call("CheckoutService.AuthorizeFuel", request.SerializeToString())
        return checkout_pb2.AuthorizeFuelResponse.FromString(answer)

    def void(self, committed: int, basket: dict[str, Any]) -> None:
        """Undo a sale by the number that its commit got here."""
        number = next(self._numbers)
        request = checkout_pb2.VoidTransactionRequest(
            context=self._context(f"void-{number}"),
            original_idempotency_key=f"commit-{committed}",
        )
        request.context.store_id = str(basket["store"])
        request.context.till_id = TILL
        self.call("CheckoutService.VoidTransaction", request.SerializeToString())

    def give_back(self, committed: int, basket: dict[str, Any], counts: dict[int, int]) -> int:
        """Bring units of a sale back, by the number that its commit got here; return the refund."""
        number = next(self._numbers)
        receipt = self._receipt(basket, committed)
        request = checkout_pb2.ReturnItemsRequest(
            context=self._context(f"return-{number}"),
            original_receipt=receipt,
            receipt=self._receipt(basket, number),
            lines=[checkout_pb2.ReturnLine(line_id=at, count=n) for at, n in counts.items()],
        )
        answer = self.call("CheckoutService.ReturnItems", request.SerializeToString())
        return checkout_pb2.ReturnItemsResponse.FromString(answer).reversal.refund_minor

    def claim(self, committed: int, basket: dict[str, Any], card: str) -> None:
        """Say when the basket was opened that a sale was a card's, by the commit's number here."""
        claimed = self.basket_message({**basket, "card": card})
        request = checkout_pb2.ClaimTransactionRequest(
            context=self._context(f"claim-{next(self._numbers)}"),
            receipt=self._receipt(basket, committed),
            identifiers=claimed.identifiers,
            claimed_time_unix_ms=claimed.opened_time_unix_ms,
        )
        self.call("CheckoutService.ClaimTransaction", request.SerializeToString())

    def adjust(self, basket: dict[str, Any]) -> None:
        """Give or take points by hand, as `adjust` says, of whom the basket names."""
        by = basket["adjust"]
        decimals = int(self._purses[by["purse"]].get("decimals", 0))
        request = member_pb2.AdjustAccountRequest(
            context=self._context(f"adjust-{next(self._numbers)}"),
            member=member_pb2.MemberRef(identifier=self.basket_message(basket).identifiers[0]),
            purse_id=by["purse"],
            points=scaled(by["points"], decimals),
            reason="by hand",
            allow_debt=by.get("allow_debt") == "true",
        )
        request.context.operator_id = "operator"
        for key, field in (("active", "active_date"), ("expire", "expire_date")):
            if key in by:
                setattr(request, field, compact(date.fromisoformat(by[key])))
        self.call("MemberService.AdjustAccount", request.SerializeToString())

    def confirm(self, committed: int, basket: dict[str, Any]) -> None:
        """Say that the event of a sale came, or will not, by the number that its commit got."""
        request = member_pb2.ConfirmPointsRequest(
            context=self._context(f"confirm-{next(self._numbers)}"),
            original_receipt=self._receipt(basket, committed),
            cancelled="cancelled" in basket,
            event_date=compact(date.fromisoformat(basket["confirm"])),
        )
        self.call("MemberService.ConfirmPoints", request.SerializeToString())

    def merge(self, gone: str, into: str) -> None:
        """Make the member of one card part of the member of another."""
        card = common_pb2.IDENTIFIER_KIND_CARD
        request = member_pb2.MergeMembersRequest(
            context=self._context(f"merge-{next(self._numbers)}"),
            surviving_member={"identifier": {"kind": card, "value": into}},
            merged_member={"identifier": {"kind": card, "value": gone}},
        )
        self.call("MemberService.MergeMembers", request.SerializeToString())

    def wallet_uses(self, basket: dict[str, Any]) -> dict[str, int]:
        """Return the uses left of offers in the wallet that are counted."""
        message = self.basket_message(basket)
        if not message.identifiers:
            return {}
        request = checkout_pb2.IdentifyMemberRequest(
            context=common_pb2.RequestContext(store_id=message.store_id),
            identifiers=message.identifiers,
            include_wallet=True,
        )
        answer = self.call("CheckoutService.IdentifyMember", request.SerializeToString())
        wallet = checkout_pb2.IdentifyMemberResponse.FromString(answer).wallet
        return {o.offer_id: o.remaining_uses for o in wallet if o.HasField("remaining_uses")}

    def stop_offer(self, offer: str) -> None:
        """Stop an offer by hand."""
        request = program_pb2.StopOfferRequest(
            context=self._context(f"stop-{next(self._numbers)}"), offer_id=offer
        )
        self.call("ProgramService.StopOffer", request.SerializeToString())

    def _receipt(self, basket: dict[str, Any], number: int) -> common_pb2.ReceiptId:
        """Return the receipt of a basket under a number of its own."""
        date_ = self._local_date(basket)
        if "date" in basket:
            date_ = compact(date.fromisoformat(str(basket["date"])))
        return common_pb2.ReceiptId(
            store_id=str(basket["store"]), till_id=TILL, business_date=date_, sequence=number
        )

    def _context(self, key: str) -> common_pb2.RequestContext:
        return common_pb2.RequestContext(idempotency_key=key)

    def _local_date(self, basket: dict[str, Any]) -> int:
        instant = instant_of(basket["opened"])
        if "offset" in basket:
            local = instant + timedelta(minutes=int(basket["offset"]))
        else:
            zone = self._zones[str(basket["store"])]
            local = instant.astimezone(ZoneInfo(zone or "UTC"))
        return compact(local.date())

    def basket_message(self, basket: dict[str, Any]) -> basket_pb2.Basket:
        """Return a basket as the lane sends it."""
        message = basket_pb2.Basket(
            store_id=str(basket["store"]),
            till_id=TILL,
            opened_time_unix_ms=int(instant_of(basket["opened"]).timestamp()) * 1000,
            channel=number_of(basket_pb2.Channel, "CHANNEL", basket.get("channel", "store")),
        )
        if "offset" in basket:
            message.utc_offset_minutes = int(basket["offset"])
        if "date" in basket:
            message.business_date = compact(date.fromisoformat(str(basket["date"])))
        if basket.get("card"):
            message.identifiers.add(kind=common_pb2.IDENTIFIER_KIND_CARD, value=str(basket["card"]))
        for code in show_issued(basket, self.printed).get("coupons", []):
            message.coupons.append(coupon_message(code))
        for offer in basket.get("chosen", []):
            message.selections.add(offer_id=str(offer))
        for tender in basket.get("tenders", []):
            message.tenders.append(self._tender_message(tender))
        for request in basket.get("redeem", []):
            message.redemptions.append(self._redemption_message(request))
        for line in basket["lines"]:
            message.lines.append(self._line_message(line))
        return message

    def _redemption_message(self, request: dict[str, Any]) -> basket_pb2.RedemptionRequest:
        message = basket_pb2.RedemptionRequest(
            offer_id=str(request.get("offer", "")),
            purse_id=str(request.get("purse", "")),
            line_id=int(request.get("line", 0)),
        )
        if "points" in request:
            message.points = int(request["points"])
        if "amount" in request:
            message.amount_minor = scaled(request["amount"], self._decimals)
        if "count" in request:
            message.count = int(request["count"])
        return message

    def _tender_message(self, tender: dict[str, Any]) -> basket_pb2.Tender:
        message = basket_pb2.Tender(
            kind=number_of(basket_pb2.TenderKind, "TENDER_KIND", tender["kind"]),
            line_ids=[int(line) for line in listed(tender.get("lines"))],
            card_bin=str(tender.get("bin", "")),
            scheme=str(tender.get("scheme", "")),
        )
        if "amount" in tender:
            message.amount_minor = scaled(tender["amount"], self._decimals)
        return message

    def _line_message(self, line: dict[str, Any]) -> basket_pb2.Line:
        kind, code = code_of(str(line.get("code", "")))
        message = basket_pb2.Line(
            line_id=int(line["id"]),
            product_code=code,
            code_kind=number_of(basket_pb2.ProductCodeKind, "PRODUCT_CODE_KIND", kind),
            count=int(line.get("count", 1)),
            amount_minor=scaled(line["amount"], self._decimals),
            kind=number_of(basket_pb2.LineKind, "LINE_KIND", line.get("kind", "sale")),
            price_source=number_of(
                basket_pb2.PriceSource, "PRICE_SOURCE", line.get("source", "shelf")
            ),
            no_discount=is_true(line.get("no_discount")),
            no_earn=is_true(line.get("no_earn")),
            no_redeem=is_true(line.get("no_redeem")),
            age_verified=is_true(line.get("age_verified")),
            opaque=is_true(line.get("opaque")),
        )
        if "measure" in line:
            measure = line["measure"]
            message.measure.quantity_thousandths = scaled(measure["quantity"], 3)
            message.measure.unit = number_of(
                basket_pb2.MeasureUnit, "MEASURE_UNIT", measure["unit"]
            )
        if "unit_price" in line:
            price = scaled(line["unit_price"], self._decimals + 3)
            message.unit_price_minor_thousandths = price
        if "fuel" in line:
            message.fuel.grade = str(line["fuel"]["grade"])
            message.fuel.hold_id = str(line["fuel"].get("hold", ""))
            if "level" in line["fuel"]:
                message.fuel.price_level = number_of(
                    basket_pb2.FuelPriceLevel, "FUEL_PRICE_LEVEL", line["fuel"]["level"]
                )
        if "of" in line:
            sale, of = line["of"]
            message.original.receipt.CopyFrom(self._receipt(*self.sold[int(sale) - 1]))
            message.original.line_id = int(of)
        if "pos_discount" in line:
            given = scaled(line["pos_discount"], self._decimals)
            message.pos_discounts.add(reason="till", amount_minor=given)
        return message

    def _build_catalogue(self, catalogue: dict[str, list[dict[str, Any]]]) -> Path:
        products = []
        for row in catalogue["products"]:
            kind, code = code_of(str(row["code"]))
            products.append({**row, "code_kind": kind, "code": code})
        feeds = CatalogueFeeds(
            [self._feed("products", ("code_kind", "code", *PRODUCT_COLUMNS), products)],
            [self._feed("stores", STORE_COLUMNS, catalogue["stores"])],
        )
        return whole(build_catalogue(feeds, self.data / "snapshots", exponent=self._decimals))

    def _build_program(self, program: dict[str, Any]) -> Path:
        number = next(self._numbers)
        directory = self._programs / str(number)
        write_program(directory, program)
        self._program_directory = directory
        tables = compile_program(directory, open_catalogue(self.catalogue_path))
        return write_snapshot(self.data / "snapshots", "program", tables)

    def _build_members(self, members: list[dict[str, Any]]) -> Path:
        rows, cards, wallets = [], [], []
        for member in members:
            segments = ";".join(map(str, listed(member.get("segments"))))
            rows.append({**member, "segments": segments})
            if member.get("card"):
                card = {"member_id": member["member_id"], "kind": "card", "value": member["card"]}
                cards.append(card)
            wallets += [
                {"member_id": member["member_id"], "offer_id": offer}
                for offer in listed(member.get("wallet"))
            ]
        feeds = MemberFeeds(
            [self._feed("members", (*MEMBER_COLUMNS, "birth_date"), rows)],
            [self._feed("identifiers", ("member_id", "kind", "value"), cards)],
            [self._feed("wallets", ("member_id", "offer_id"), wallets)],
        )
        vocabulary = load_vocabulary(self._program_directory)
        keys = create_keys(self.data)
        return whole(build_members(feeds, vocabulary, keys, self.data / "snapshots"))

    def _feed(self, name: str, columns: tuple[str, ...], rows: list[dict[str, Any]]) -> Path:
        path = self._feeds / f"{name}.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore", restval="")
            writer.writeheader()
            writer.writerows(rows)
        return path


def coupon_message(written: Any) -> basket_pb2.Coupon:
    """Return a coupon: a code, or a mapping of code, serial and what was scanned."""
    if not isinstance(written, dict):
        return basket_pb2.Coupon(code=str(written))
    return basket_pb2.Coupon(
        code=str(written.get("code", "")),
        serial=str(written.get("serial", "")),
        scanned_data=str(written.get("scan", "")).encode(),
    )


def write_keys(data: Path) -> None:
    """Give a new data directory keys that are always the same."""
    directory = data / "keys"
    directory.mkdir(parents=True, mode=0o700)
    for name, file in FILES.items():
        (directory / file).write_bytes(KEYS[name])
        (directory / file).chmod(0o600)


def write_program(directory: Path, program: dict[str, Any]) -> None:
    """Write a program and its offers as files."""
    offers = directory / "offers"
    offers.mkdir(parents=True)
    head = {key: value for key, value in program.items() if key not in ("offers", "files")}
    (directory / "program.yaml").write_text(block(head))
    (offers / "offers.yaml").write_text(offers_file(program.get("offers", [])))
    for name, text in program.get("files", {}).items():
        (offers / name).write_text(text)


def whole(built: Built) -> Path:
    """Return the path of a snapshot of which no row was rejected."""
    if built.report.rejected:
        raise AssertionError(f"rows were rejected: {built.report.rejected}")
    return built.path


def code_of(text: str) -> tuple[str, str]:
    """Return kind and code of a product code as offers write it."""
    if text.startswith("sku:"):
        return "sku", text.removeprefix("sku:")
    return ("plu" if 0 < len(text) <= 6 else "gtin"), text


def number_of(enum: Any, prefix: str, name: Any) -> int:
    """Return the number of an enum's value by the short name of program files."""
    return int(enum.Value(f"{prefix}_{str(name).upper()}"))


def instant_of(text: Any) -> datetime:
    """Return an instant written as 2026-03-04T10:00 in UTC."""
    return datetime.fromisoformat(str(text).removesuffix("Z")).replace(tzinfo=UTC)


def compact(day: date) -> int:
    """Return a date as yyyymmdd."""
    return day.year * 10_000 + day.month * 100 + day.day
