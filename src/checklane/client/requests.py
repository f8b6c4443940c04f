"""The requests of a lane, made once for the sync and the asyncio lane alike."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta, timezone
from typing import Any, Generic, TypeVar

from checklane.client.basket import (
    Basket,
    FuelPrice,
    HoldCapture,
    Identifier,
    ReturnLine,
    amount_minor,
    identifier_message,
)
from checklane.client.results import (
    CaptureResult,
    ClaimResult,
    Decision,
    FuelAuthorisation,
    HoldResult,
    Identification,
    Receipt,
    ReleaseResult,
    ReturnResult,
    Total,
    VoidResult,
    from_message,
)
from checklane.client.words import number_of
from checklane.clock import Clock, business_date
from checklane.v1 import basket_pb2, checkout_pb2, common_pb2
from checklane.v1.decision_pb2 import Figures

__all__ = ["Call", "Requests"]

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Call(Generic[ResultT]):
    """One call before it is sent.

    Attributes
    ----------
    method : str
        Of CheckoutService.
    request : message
        Its context is stamped anew at every attempt.
    response_class : type of message
    read : callable
        Makes the result of a response.
    key : str
        The idempotency key; empty for a read.
    """

    method: str
    request: Any
    response_class: Any
    read: Callable[[Any], ResultT]
    key: str = ""


class Requests:
    """Makes the calls of one till.

    Parameters
    ----------
    store, till : str
        Who sends.
    operator : str
        The person at the till; may be empty.
    training : bool
        Decide in full and touch nothing.
    locale : str
        The language of texts; empty for the program's own.
    clock : Clock
    """

    def __init__(
        self, store: str, till: str, operator: str, training: bool, locale: str, clock: Clock
    ) -> None:
        self.store = store
        self.till = till
        self.clock = clock
        self._operator = operator
        self._training = training
        self._locale = locale

    def identify(
        self, identifiers: Iterable[Identifier | str], include_wallet: bool, include_holds: bool
    ) -> Call[Identification]:
        """Ask who it is."""
        request = checkout_pb2.IdentifyMemberRequest(
            context=self._context(""),
            identifiers=map(identifier_message, _named(identifiers)),
            locale=self._locale,
            include_wallet=include_wallet,
            include_holds=include_holds,
        )
        return Call(
            "IdentifyMember",
            request,
            checkout_pb2.IdentifyMemberResponse,
            lambda response: from_message(Identification, response),
        )

    def quote(self, basket: Basket, explain: bool, near_miss_limit: int | None) -> Call[Decision]:
        """Ask what a basket costs."""
        request = checkout_pb2.QuoteBasketRequest(
            context=self._context(""),
            basket=self._basket(basket),
            explain=explain,
            locale=self._locale,
        )
        if near_miss_limit is not None:
            request.near_miss_limit = near_miss_limit
        return Call(
            "QuoteBasket",
            request,
            checkout_pb2.QuoteBasketResponse,
            lambda response: from_message(Decision, response.decision),
        )

    def total(
        self, basket: Basket, *, key: str | None, hold_seconds: int | None, explain: bool
    ) -> Call[Total]:
        """Ask what a basket costs, and that it stays so; names the basket if nobody has."""
        if not basket.message.basket_id:
            basket.message.basket_id = str(uuid.uuid4())
        key = key or str(uuid.uuid4())
        request = checkout_pb2.TotalBasketRequest(
            context=self._context(key),
            basket=self._basket(basket),
            explain=explain,
            locale=self._locale,
        )
        if hold_seconds is not None:
            request.hold_seconds = hold_seconds
        return Call(
            "TotalBasket",
            request,
            checkout_pb2.TotalBasketResponse,
            lambda response: from_message(Total, response, key=key),
            key,
        )

    def commit(
        self,
        basket: Basket,
        *,
        sequence: int,
        date: int | None,
        key: str | None,
        shown: Decision | Figures | None,
        total: Total | None,
        paid: bool,
        refuse_on_change: bool,
        captures: Iterable[HoldCapture] = (),
        issue_capsule: bool = False,
    ) -> Call[Receipt]:
        """Enter a sale."""
        sent = self._basket(basket)
        key = key or str(uuid.uuid4())
        request = checkout_pb2.CommitTransactionRequest(
            context=self._context(key),
            receipt=self.receipt(
                sequence, date or self._date_of(sent), sent.store_id, sent.till_id
            ),
            basket=sent,
            paid=paid,
            refuse_on_change=refuse_on_change,
            issue_capsule=issue_capsule,
            locale=self._locale,
            hold_captures=[
                checkout_pb2.HoldCapture(
                    hold_id=capture.hold_id,
                    points=capture.points,
                    uses=capture.uses,
                    owner=capture.owner,
                )
                for capture in captures
            ],
        )
        if total is not None:
            request.total_token = total.total_token
        if shown is not None:
            request.figures.CopyFrom(shown if isinstance(shown, Figures) else figures_of(shown))
        return Call(
            "CommitTransaction",
            request,
            checkout_pb2.CommitTransactionResponse,
            lambda response: from_message(Receipt, response, key=key, sequence=sequence),
            key,
        )

    def void(
        self,
        *,
        sequence: int | None,
        date: int | None,
        original_key: str,
        key: str | None,
        reason: str,
    ) -> Call[VoidResult]:
        """Undo a sale whole."""
        key = key or str(uuid.uuid4())
        request = checkout_pb2.VoidTransactionRequest(
            context=self._context(key), original_idempotency_key=original_key, reason=reason
        )
        if sequence is not None:
            request.original_receipt.CopyFrom(self.receipt(sequence, date or self._today()))
        return Call(
            "VoidTransaction",
            request,
            checkout_pb2.VoidTransactionResponse,
            lambda response: from_message(VoidResult, response, key=key),
            key,
        )

    def return_items(
        self,
        original: common_pb2.ReceiptId,
        lines: Iterable[ReturnLine],
        *,
        capsule: bytes,
        sequence: int,
        date: int | None,
        key: str | None,
    ) -> Call[ReturnResult]:
        """Take items of one sale back."""
        key = key or str(uuid.uuid4())
        request = checkout_pb2.ReturnItemsRequest(
            context=self._context(key),
            original_receipt=original,
            receipt=self.receipt(sequence, date or self._today()),
            receipt_capsule=capsule,
            locale=self._locale,
        )
        for line in lines:
            sent = request.lines.add(line_id=line.line_id)
            if line.count is not None:
                sent.count = line.count
            if line.quantity_thousandths is not None:
                sent.quantity_thousandths = line.quantity_thousandths
        return Call(
            "ReturnItems",
            request,
            checkout_pb2.ReturnItemsResponse,
            lambda response: from_message(ReturnResult, response, key=key),
            key,
        )

    def claim(
        self,
        receipt: common_pb2.ReceiptId,
        identifiers: Iterable[Identifier | str],
        *,
        key: str | None,
    ) -> Call[ClaimResult]:
        """Attach a member to a sale that had none."""
        key = key or str(uuid.uuid4())
        request = checkout_pb2.ClaimTransactionRequest(
            context=self._context(key),
            receipt=receipt,
            identifiers=map(identifier_message, _named(identifiers)),
        )
        return Call(
            "ClaimTransaction",
            request,
            checkout_pb2.ClaimTransactionResponse,
            lambda response: from_message(ClaimResult, response, key=key),
            key,
        )

    def create_hold(
        self,
        identifiers: Iterable[Identifier | str],
        *,
        points: int | None,
        purse: str,
        offer: str,
        uses: int,
        coupon: str,
        serial: str,
        basket_id: str,
        seconds: int | None,
        owner: str,
        key: str | None,
    ) -> Call[HoldResult]:
        """Set points, uses or a coupon aside."""
        key = key or str(uuid.uuid4())
        kind = "HOLD_KIND_OFFER_USE" if offer else "HOLD_KIND_POINTS"
        request = checkout_pb2.CreateHoldRequest(
            context=self._context(key),
            identifiers=map(identifier_message, _named(identifiers)),
            kind="HOLD_KIND_COUPON" if coupon else kind,
            purse_id=purse,
            points=points,
            coupon=basket_pb2.Coupon(code=coupon, serial=serial) if coupon else None,
            offer_id=offer,
            uses=uses if offer else None,
            basket_id=basket_id,
            hold_seconds=seconds,
            owner=owner,
        )
        return Call(
            "CreateHold",
            request,
            checkout_pb2.CreateHoldResponse,
            lambda response: from_message(HoldResult, response, key=key),
            key,
        )

    def authorize_fuel(
        self,
        pump: str,
        prices: Sequence[FuelPrice],
        identifiers: Iterable[Identifier | str],
        *,
        unit: str,
        sale_kind: str,
        prepaid_minor: int | None,
        redeem: Mapping[str, int | None],
        coupons: Iterable[str],
        max_quantity_thousandths: int | None,
        opened_time_unix_ms: int | None,
        basket_id: str,
        seconds: int | None,
        exponent: int,
        key: str | None,
    ) -> Call[FuelAuthorisation]:
        """Ask what comes off the unit at a pump."""
        key = key or str(uuid.uuid4())
        request = checkout_pb2.AuthorizeFuelRequest(
            context=self._context(key),
            identifiers=map(identifier_message, _named(identifiers)),
            pump_id=pump,
            prices=[_price_message(price, exponent) for price in prices],
            sale_kind=number_of(basket_pb2.FuelSaleKind, "FUEL_SALE_KIND", sale_kind, "sale_kind"),
            prepaid_amount_minor=prepaid_minor,
            basket_id=basket_id,
            opened_time_unix_ms=opened_time_unix_ms or self.clock.unix_ms(),
            hold_seconds=seconds,
            unit=number_of(basket_pb2.MeasureUnit, "MEASURE_UNIT", unit, "unit"),
            coupons=[basket_pb2.Coupon(code=code) for code in coupons],
            redemptions=[
                basket_pb2.RedemptionRequest(offer_id=offer, points=points)
                for offer, points in redeem.items()
            ],
            max_quantity_thousandths=max_quantity_thousandths,
        )
        return Call(
            "AuthorizeFuel",
            request,
            checkout_pb2.AuthorizeFuelResponse,
            lambda response: from_message(FuelAuthorisation, response, key=key),
            key,
        )

    def capture_hold(
        self,
        hold_id: str,
        *,
        points: int | None,
        uses: int | None,
        keep_rest: bool,
        owner: str,
        key: str | None,
    ) -> Call[CaptureResult]:
        """Spend a hold."""
        key = key or str(uuid.uuid4())
        request = checkout_pb2.CaptureHoldRequest(
            context=self._context(key),
            capture=checkout_pb2.HoldCapture(
                hold_id=hold_id, points=points, uses=uses, owner=owner
            ),
            keep_rest=keep_rest,
        )
        return Call(
            "CaptureHold",
            request,
            checkout_pb2.CaptureHoldResponse,
            lambda response: from_message(CaptureResult, response, key=key),
            key,
        )

    def release_hold(
        self, hold_id: str, *, basket_id: str, owner: str, key: str | None
    ) -> Call[ReleaseResult]:
        """Give a hold back, or all of a basket."""
        key = key or str(uuid.uuid4())
        request = checkout_pb2.ReleaseHoldRequest(
            context=self._context(key), hold_id=hold_id, basket_id=basket_id, owner=owner
        )
        return Call(
            "ReleaseHold",
            request,
            checkout_pb2.ReleaseHoldResponse,
            lambda response: from_message(ReleaseResult, response, key=key),
            key,
        )

    def extend_hold(
        self, hold_id: str, seconds: int, *, owner: str, key: str | None
    ) -> Call[HoldResult]:
        """Keep a hold longer."""
        key = key or str(uuid.uuid4())
        request = checkout_pb2.ExtendHoldRequest(
            context=self._context(key), hold_id=hold_id, hold_seconds=seconds, owner=owner
        )
        return Call(
            "ExtendHold",
            request,
            checkout_pb2.ExtendHoldResponse,
            lambda response: from_message(HoldResult, response, balances=(), key=key),
            key,
        )

    def receipt(
        self, sequence: int, date: int, store: str = "", till: str = ""
    ) -> common_pb2.ReceiptId:
        """Return the identity of a receipt of this till, or of another one."""
        return common_pb2.ReceiptId(
            store_id=store or self.store,
            business_date=date,
            till_id=till or self.till,
            sequence=sequence,
        )

    def stamp(self, request: Any, attempt: int) -> None:
        """Say which attempt this is and when it leaves; no part of what a key is bound to."""
        request.context.attempt = attempt
        request.context.sent_time_unix_ms = self.clock.unix_ms()

    def _context(self, key: str) -> common_pb2.RequestContext:
        return common_pb2.RequestContext(
            correlation_id=str(uuid.uuid4()),
            idempotency_key=key,
            training=self._training,
            store_id=self.store,
            till_id=self.till,
            operator_id=self._operator,
        )

    def _basket(self, basket: Basket) -> basket_pb2.Basket:
        sent = basket_pb2.Basket()
        sent.CopyFrom(basket.message)
        sent.store_id = sent.store_id or self.store
        sent.till_id = sent.till_id or self.till
        for line in sent.lines:
            if line.HasField("original"):
                named = line.original.receipt
                named.store_id = named.store_id or sent.store_id
                named.till_id = named.till_id or sent.till_id
        return sent

    def _today(self) -> int:
        return business_date(self.clock.unix_ms())

    def _date_of(self, basket: basket_pb2.Basket) -> int:
        if basket.business_date:
            return basket.business_date
        zone = None
        if basket.HasField("utc_offset_minutes"):
            zone = timezone(timedelta(minutes=basket.utc_offset_minutes))
        return business_date(basket.opened_time_unix_ms, zone)


def _price_message(price: FuelPrice, exponent: int) -> checkout_pb2.FuelPrice:
    return checkout_pb2.FuelPrice(
        grade=price.grade,
        price_level=number_of(
            basket_pb2.FuelPriceLevel, "FUEL_PRICE_LEVEL", price.level, "price_level"
        ),
        unit_price_minor_thousandths=amount_minor(price.price, exponent + 3),
        product_code=price.code,
        code_kind=number_of(
            basket_pb2.ProductCodeKind, "PRODUCT_CODE_KIND", price.kind, "code_kind"
        ),
    )


def _named(identifiers: Iterable[Identifier | str]) -> list[Identifier]:
    return [Identifier(who) if isinstance(who, str) else who for who in identifiers]


def figures_of(decision: Decision) -> Figures:
    """Return what a decision showed, to be compared with or posted."""
    figures = Figures(
        discount_minor=decision.totals.discount_minor, due_minor=decision.totals.due_minor
    )
    for line in decision.lines:
        sent = figures.lines.add(line_id=line.line_id, discount_minor=line.discount_minor)
        for offer in line.applied:
            sent.offers.add(
                offer_id=offer.offer_id,
                offer_version=offer.offer_version,
                discount_minor=offer.discount_minor,
            )
    return figures
