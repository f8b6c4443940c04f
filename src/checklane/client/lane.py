"""The lane: one till's connection, with deadlines and retries that never enter anything twice."""

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio

from checklane.client.basket import Basket, FuelPrice, HoldCapture, Identifier, ReturnLine
from checklane.client.requests import Call, Requests
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
)
from checklane.client.retry import Attempts, Policy
from checklane.clock import SYSTEM_CLOCK, Clock
from checklane.errors import ChecklaneError, from_rpc_error
from checklane.v1.decision_pb2 import Figures

__all__ = ["AsyncLane", "CHANNEL_OPTIONS", "Lane"]

ResultT = TypeVar("ResultT")

SERVICE = "/checklane.v1.CheckoutService/"

#: The server is a step away: a connection that was lost is tried again at once and then often.
CHANNEL_OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.max_receive_message_length", -1),
    # Retries are ours: they carry the key and the budget.
    ("grpc.enable_retries", 0),
)


class _Sender:
    """What both kinds of lane share: who sends, and how often."""

    def __init__(
        self,
        address: str,
        *,
        store: str,
        till: str,
        operator: str = "",
        training: bool = False,
        locale: str = "",
        policy: Policy | None = None,
        clock: Clock = SYSTEM_CLOCK,
        chance: random.Random | None = None,
    ) -> None:
        self.address = address
        self.policy = policy or Policy()
        self._clock = clock
        self._chance = chance or random.Random()
        self.requests = Requests(store, till, operator, training, locale, clock)

    def _attempts(self, call: Call[Any]) -> Attempts:
        policy = self.policy
        deadline_ms = policy.change_deadline_ms if call.key else policy.quote_deadline_ms
        budget_ms = policy.change_budget_ms if call.key else policy.quote_budget_ms
        return Attempts(policy, self._clock, self._chance, deadline_ms, budget_ms)

    def _after_failure(self, call: Call[Any], attempts: Attempts, failure: Any) -> float:
        """Return the wait before the next attempt, or raise what the call met."""
        error = from_rpc_error(failure)
        error.idempotency_key = call.key
        try:
            return attempts.wait_s(error)
        except ChecklaneError:
            raise error from None


class Lane(_Sender):
    """A till's connection to the service. May be shared by threads.

    Parameters
    ----------
    address : str
        host:port of the service.
    store, till : str
        Who sends; a basket may say otherwise.
    operator : str
        The person at the till.
    training : bool
        Decide in full and touch nothing.
    locale : str
        The language of texts, BCP 47. Default: the program's own.
    policy : Policy, optional
        Deadlines and retries.
    clock : Clock
    chance : random.Random, optional
        Spreads the waits between attempts.

    Notes
    -----
    Every method raises a :class:`checklane.errors.ChecklaneError`. One raised by a method that
    changes something has the key in ``idempotency_key``: calling again with it enters the same
    change once, whatever became of the first try.
    """

    def __init__(self, address: str, **options: Any) -> None:
        super().__init__(address, **options)
        self._channel = grpc.insecure_channel(address, options=CHANNEL_OPTIONS)
        self._methods: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        self._channel.close()

    def identify(
        self,
        *identifiers: Identifier | str,
        include_wallet: bool = False,
        include_holds: bool = False,
    ) -> Identification:
        """Find out who it is; a plain string is the number of a card. Nobody is an answer."""
        return self.send(self.requests.identify(identifiers, include_wallet, include_holds))

    def quote(
        self, basket: Basket, *, explain: bool = False, near_miss_limit: int | None = None
    ) -> Decision:
        """Decide a basket and change nothing."""
        return self.send(self.requests.quote(basket, explain, near_miss_limit))

    def total(
        self,
        basket: Basket,
        *,
        key: str | None = None,
        hold_seconds: int | None = None,
        explain: bool = False,
    ) -> Total:
        """Decide a basket at tender, keep the figures, and hold what they need.

        Parameters
        ----------
        basket : Basket
            Gets a name of its own if it has none. A second total of it replaces the first.
        key : str, optional
            As for `commit`.
        hold_seconds : int, optional
            How long it is kept. Default: the program's own.
        explain : bool
        """
        call = self.requests.total(basket, key=key, hold_seconds=hold_seconds, explain=explain)
        return self.send(call)

    def commit(
        self,
        basket: Basket,
        *,
        sequence: int,
        business_date: int | None = None,
        key: str | None = None,
        shown: Decision | Figures | None = None,
        total: Total | None = None,
        paid: bool = False,
        refuse_on_change: bool = False,
        captures: Iterable[HoldCapture] = (),
        issue_capsule: bool = False,
    ) -> Receipt:
        """Enter a sale; when it returns the sale is on the service's disk.

        Parameters
        ----------
        basket : Basket
        sequence : int
            The number of the receipt at this till on its business date.
        business_date : int, optional
            yyyymmdd. Default: the basket's, else the local date of its opening.
        key : str, optional
            The idempotency key. Default: a new UUID; give the one of a failed try to send it again.
        shown : Decision or Figures, optional
            What the customer saw, or with `paid` what was sold. The figures of now, which a refusal
            brings (``error.changed.figures``), agree to it.
        total : Total, optional
            Posts exactly its figures. Refused with DecisionChangedError when it is not kept any
            more, or the goods are others; with `paid` such a sale is posted all the same.
        paid : bool
            The money has changed hands: post as sold, list what can not be honoured.
        refuse_on_change : bool
            Refuse with DecisionChangedError when the figures are no longer those of `shown`.
        captures : iterable of HoldCapture
            Holds of this account to spend with the sale.
        issue_capsule : bool
            Ask for `receipt_capsule`, by which other nodes take goods of the sale back.
        """
        return self.send(
            self.requests.commit(
                basket,
                sequence=sequence,
                date=business_date,
                key=key,
                shown=shown,
                total=total,
                paid=paid,
                refuse_on_change=refuse_on_change,
                captures=captures,
                issue_capsule=issue_capsule,
            )
        )

    def void(
        self,
        *,
        sequence: int | None = None,
        business_date: int | None = None,
        original_key: str = "",
        key: str | None = None,
        reason: str = "",
    ) -> VoidResult:
        """Undo a sale of this till whole, named by its receipt or by the key of its commit.

        A sale that never arrived leaves a tombstone: should it still come, it has no effect.
        """
        return self.send(
            self.requests.void(
                sequence=sequence,
                date=business_date,
                original_key=original_key,
                key=key,
                reason=reason,
            )
        )

    def return_items(
        self,
        *lines: ReturnLine,
        original_sequence: int,
        original_date: int,
        sequence: int,
        original_store: str = "",
        original_till: str = "",
        receipt_capsule: bytes = b"",
        business_date: int | None = None,
        key: str | None = None,
    ) -> ReturnResult:
        """Take items of one sale back, under a receipt of their own.

        Parameters
        ----------
        *lines : ReturnLine
        original_sequence, original_date, original_store, original_till
            The receipt of the sale. Default store and till: this one's.
        receipt_capsule : bytes, optional
            Of the receipt, for a sale that another node entered.
        sequence : int
            The number of the return's receipt at this till.
        business_date : int, optional
            Of the return. Default: today.
        key : str, optional
            As for `commit`.
        """
        original = self.requests.receipt(
            original_sequence, original_date, original_store, original_till
        )
        call = self.requests.return_items(
            original,
            lines,
            capsule=receipt_capsule,
            sequence=sequence,
            date=business_date,
            key=key,
        )
        return self.send(call)

    def claim(
        self,
        *identifiers: Identifier | str,
        sequence: int,
        business_date: int,
        store: str = "",
        till: str = "",
        key: str | None = None,
    ) -> ClaimResult:
        """Attach a member to a sale that had none: it earns what it would have earned them.

        Parameters
        ----------
        *identifiers : Identifier or str
            Whose it is.
        sequence, business_date, store, till
            The receipt of the sale. Default store and till: this one's.
        key : str, optional
            As for `commit`.
        """
        receipt = self.requests.receipt(sequence, business_date, store, till)
        return self.send(self.requests.claim(receipt, identifiers, key=key))

    def create_hold(
        self,
        *identifiers: Identifier | str,
        points: int | None = None,
        purse: str = "",
        offer: str = "",
        uses: int = 1,
        coupon: str = "",
        serial: str = "",
        basket_id: str = "",
        seconds: int | None = None,
        owner: str = "",
        key: str | None = None,
    ) -> HoldResult:
        """Set points of a purse, uses of an offer, or a coupon aside under a time limit.

        Parameters
        ----------
        *identifiers : Identifier or str
            Whose.
        points, purse : int, str
            So many points of this purse; or
        offer, uses : str, int
            so many uses of this offer, under its limits; or
        coupon, serial : str
            this coupon, which can be used once.
        basket_id : str
            The basket that it is for.
        seconds : int, optional
            For how long. Default: as the program says.
        owner : str
            Only calls that name the same owner may spend it. Default: the store.
        key : str, optional
            As for `commit`.
        """
        return self.send(
            self.requests.create_hold(
                identifiers,
                points=points,
                purse=purse,
                offer=offer,
                uses=uses,
                coupon=coupon,
                serial=serial,
                basket_id=basket_id,
                seconds=seconds,
                owner=owner,
                key=key,
            )
        )

    def authorize_fuel(
        self,
        pump: str,
        prices: Sequence[FuelPrice],
        *identifiers: Identifier | str,
        unit: str,
        sale_kind: str = "PAY_AT_PUMP",
        prepaid_minor: int | None = None,
        redeem: Mapping[str, int | None] | None = None,
        coupons: Iterable[str] = (),
        max_quantity_thousandths: int | None = None,
        opened_time_unix_ms: int | None = None,
        basket_id: str = "",
        seconds: int | None = None,
        exponent: int = 2,
        key: str | None = None,
    ) -> FuelAuthorisation:
        """Ask, before fuelling, what comes off the unit at each price, and hold what it takes.

        Parameters
        ----------
        pump : str
        prices : sequence of FuelPrice
            Each grade at each price level.
        *identifiers : Identifier or str
            Who fuels.
        unit : str
            "LITRE", "GALLON", "KILOGRAM" or "KILOWATT_HOUR".
        sale_kind : str
            "PAY_AT_PUMP", "PREPAY" or "POSTPAY".
        prepaid_minor : int, optional
            What was paid before fuelling.
        redeem : mapping of str to int, optional
            Offers for fuel that take points, and how many at most; None: as many as there are.
        coupons : iterable of str
            Coupons shown; the sale shows them again.
        max_quantity_thousandths : int, optional
            The most that the pump will give.
        opened_time_unix_ms : int, optional
            When the card was shown. Default: now.
        basket_id : str
            The basket that it belongs to.
        seconds : int, optional
            For how long it is held. Default: as the program says.
        exponent : int
            Decimals of the program's currency.
        key : str, optional
            As for `commit`.
        """
        return self.send(
            self.requests.authorize_fuel(
                pump,
                prices,
                identifiers,
                unit=unit,
                sale_kind=sale_kind,
                prepaid_minor=prepaid_minor,
                redeem=redeem or {},
                coupons=coupons,
                max_quantity_thousandths=max_quantity_thousandths,
                opened_time_unix_ms=opened_time_unix_ms,
                basket_id=basket_id,
                seconds=seconds,
                exponent=exponent,
                key=key,
            )
        )

    def capture_hold(
        self,
        hold_id: str,
        *,
        points: int | None = None,
        uses: int | None = None,
        keep_rest: bool = False,
        owner: str = "",
        key: str | None = None,
    ) -> CaptureResult:
        """Spend a hold, by default all of it; what is left is given back unless it is kept."""
        return self.send(
            self.requests.capture_hold(
                hold_id, points=points, uses=uses, keep_rest=keep_rest, owner=owner, key=key
            )
        )

    def release_hold(
        self, hold_id: str = "", *, basket_id: str = "", owner: str = "", key: str | None = None
    ) -> ReleaseResult:
        """Give a hold back, or every hold of a basket."""
        return self.send(
            self.requests.release_hold(hold_id, basket_id=basket_id, owner=owner, key=key)
        )

    def extend_hold(
        self, hold_id: str, seconds: int, *, owner: str = "", key: str | None = None
    ) -> HoldResult:
        """Give a hold so many seconds from now; it never ends sooner than before."""
        return self.send(self.requests.extend_hold(hold_id, seconds, owner=owner, key=key))

    def send(self, call: Call[ResultT]) -> ResultT:
        """Make a call of `requests`, again as often as the policy says."""
        method = self._method(call)
        attempts = self._attempts(call)
        for timeout_s in attempts:
            self.requests.stamp(call.request, attempts.count)
            try:
                return call.read(method(call.request, timeout=timeout_s))
            except grpc.RpcError as failure:
                self._clock.sleep(self._after_failure(call, attempts, failure))
        raise AssertionError("attempts end by an exception")

    def _method(self, call: Call[Any]) -> Any:
        if call.method not in self._methods:
            self._methods[call.method] = self._channel.unary_unary(
                SERVICE + call.method,
                request_serializer=type(call.request).SerializeToString,
                response_deserializer=call.response_class.FromString,
            )
        return self._methods[call.method]


class AsyncLane(_Sender):
    """The same lane for asyncio; every method is awaited. Parameters as :class:`Lane`."""

    def __init__(self, address: str, **options: Any) -> None:
        super().__init__(address, **options)
        self._channel: grpc.aio.Channel | None = None
        self._methods: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        if self._channel is not None:
            await self._channel.close()

    async def identify(
        self,
        *identifiers: Identifier | str,
        include_wallet: bool = False,
        include_holds: bool = False,
    ) -> Identification:
        """Find out who it is, as :meth:`Lane.identify`."""
        return await self.send(self.requests.identify(identifiers, include_wallet, include_holds))

    async def quote(
        self, basket: Basket, *, explain: bool = False, near_miss_limit: int | None = None
    ) -> Decision:
        """Decide a basket and change nothing, as :meth:`Lane.quote`."""
        return await self.send(self.requests.quote(basket, explain, near_miss_limit))

    async def total(
        self,
        basket: Basket,
        *,
        key: str | None = None,
        hold_seconds: int | None = None,
        explain: bool = False,
    ) -> Total:
        """Decide a basket and keep the figures, as :meth:`Lane.total`."""
        call = self.requests.total(basket, key=key, hold_seconds=hold_seconds, explain=explain)
        return await self.send(call)

    async def commit(
        self,
        basket: Basket,
        *,
        sequence: int,
        business_date: int | None = None,
        key: str | None = None,
        shown: Decision | Figures | None = None,
        total: Total | None = None,
        paid: bool = False,
        refuse_on_change: bool = False,
        captures: Iterable[HoldCapture] = (),
        issue_capsule: bool = False,
    ) -> Receipt:
        """Enter a sale, as :meth:`Lane.commit`."""
        return await self.send(
            self.requests.commit(
                basket,
                sequence=sequence,
                date=business_date,
                key=key,
                shown=shown,
                total=total,
                paid=paid,
                refuse_on_change=refuse_on_change,
                captures=captures,
                issue_capsule=issue_capsule,
            )
        )

    async def void(
        self,
        *,
        sequence: int | None = None,
        business_date: int | None = None,
        original_key: str = "",
        key: str | None = None,
        reason: str = "",
    ) -> VoidResult:
        """Undo a sale of this till whole, as :meth:`Lane.void`."""
        return await self.send(
            self.requests.void(
                sequence=sequence,
                date=business_date,
                original_key=original_key,
                key=key,
                reason=reason,
            )
        )

    async def return_items(
        self,
        *lines: ReturnLine,
        original_sequence: int,
        original_date: int,
        sequence: int,
        original_store: str = "",
        original_till: str = "",
        receipt_capsule: bytes = b"",
        business_date: int | None = None,
        key: str | None = None,
    ) -> ReturnResult:
        """Take items of one sale back, as :meth:`Lane.return_items`."""
        original = self.requests.receipt(
            original_sequence, original_date, original_store, original_till
        )
        call = self.requests.return_items(
            original,
            lines,
            capsule=receipt_capsule,
            sequence=sequence,
            date=business_date,
            key=key,
        )
        return await self.send(call)

    async def claim(
        self,
        *identifiers: Identifier | str,
        sequence: int,
        business_date: int,
        store: str = "",
        till: str = "",
        key: str | None = None,
    ) -> ClaimResult:
        """Attach a member to a sale that had none, as :meth:`Lane.claim`."""
        receipt = self.requests.receipt(sequence, business_date, store, till)
        return await self.send(self.requests.claim(receipt, identifiers, key=key))

    async def create_hold(
        self,
        *identifiers: Identifier | str,
        points: int | None = None,
        purse: str = "",
        offer: str = "",
        uses: int = 1,
        coupon: str = "",
        serial: str = "",
        basket_id: str = "",
        seconds: int | None = None,
        owner: str = "",
        key: str | None = None,
    ) -> HoldResult:
        """Set something aside, as :meth:`Lane.create_hold`."""
        return await self.send(
            self.requests.create_hold(
                identifiers,
                points=points,
                purse=purse,
                offer=offer,
                uses=uses,
                coupon=coupon,
                serial=serial,
                basket_id=basket_id,
                seconds=seconds,
                owner=owner,
                key=key,
            )
        )

    async def authorize_fuel(
        self,
        pump: str,
        prices: Sequence[FuelPrice],
        *identifiers: Identifier | str,
        unit: str,
        sale_kind: str = "PAY_AT_PUMP",
        prepaid_minor: int | None = None,
        redeem: Mapping[str, int | None] | None = None,
        coupons: Iterable[str] = (),
        max_quantity_thousandths: int | None = None,
        opened_time_unix_ms: int | None = None,
        basket_id: str = "",
        seconds: int | None = None,
        exponent: int = 2,
        key: str | None = None,
    ) -> FuelAuthorisation:
        """Ask what comes off fuel, as :meth:`Lane.authorize_fuel`."""
        return await self.send(
            self.requests.authorize_fuel(
                pump,
                prices,
                identifiers,
                unit=unit,
                sale_kind=sale_kind,
                prepaid_minor=prepaid_minor,
                redeem=redeem or {},
                coupons=coupons,
                max_quantity_thousandths=max_quantity_thousandths,
                opened_time_unix_ms=opened_time_unix_ms,
                basket_id=basket_id,
                seconds=seconds,
                exponent=exponent,
                key=key,
            )
        )

    async def capture_hold(
        self,
        hold_id: str,
        *,
        points: int | None = None,
        uses: int | None = None,
        keep_rest: bool = False,
        owner: str = "",
        key: str | None = None,
    ) -> CaptureResult:
        """Spend a hold, as :meth:`Lane.capture_hold`."""
        return await self.send(
            self.requests.capture_hold(
                hold_id, points=points, uses=uses, keep_rest=keep_rest, owner=owner, key=key
            )
        )

    async def release_hold(
        self, hold_id: str = "", *, basket_id: str = "", owner: str = "", key: str | None = None
    ) -> ReleaseResult:
        """Give back, as :meth:`Lane.release_hold`."""
        return await self.send(
            self.requests.release_hold(hold_id, basket_id=basket_id, owner=owner, key=key)
        )

    async def extend_hold(
        self, hold_id: str, seconds: int, *, owner: str = "", key: str | None = None
    ) -> HoldResult:
        """Keep a hold longer, as :meth:`Lane.extend_hold`."""
        return await self.send(self.requests.extend_hold(hold_id, seconds, owner=owner, key=key))

    async def send(self, call: Call[ResultT]) -> ResultT:
        """Make a call of `requests`, as :meth:`Lane.send`."""
        method = self._method(call)
        attempts = self._attempts(call)
        for timeout_s in attempts:
            self.requests.stamp(call.request, attempts.count)
            try:
                return call.read(await method(call.request, timeout=timeout_s))
            except grpc.aio.AioRpcError as failure:
                await asyncio.sleep(self._after_failure(call, attempts, failure))
        raise AssertionError("attempts end by an exception")

    def _method(self, call: Call[Any]) -> Any:
        if self._channel is None:
            # A channel belongs to the loop that runs when it is made.
            self._channel = grpc.aio.insecure_channel(self.address, options=CHANNEL_OPTIONS)
        if call.method not in self._methods:
            self._methods[call.method] = self._channel.unary_unary(
                SERVICE + call.method,
                request_serializer=type(call.request).SerializeToString,
                response_deserializer=call.response_class.FromString,
            )
        return self._methods[call.method]
