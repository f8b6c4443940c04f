"""What a lane gets back: plain frozen values, made from the contract's messages.

Names and meanings are those of the contract, whose comments are the manual. Enums are their names
without the prefix: ``DEGRADED_LEVEL_FULL`` is "FULL". Fields that a value does not have are in the
message; :attr:`Decision.message` and its like keep it.
"""

import dataclasses
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message as ProtobufMessage

__all__ = [
    "AppliedOffer",
    "CaptureResult",
    "ClaimResult",
    "CouponOutcome",
    "Decision",
    "FuelAuthorisation",
    "FuelDiscount",
    "FuelOffer",
    "FundingShare",
    "Hold",
    "HoldResult",
    "Identification",
    "IdentifiedMember",
    "IssuedCoupon",
    "LineDecision",
    "LineOffer",
    "Message",
    "NearMiss",
    "Optimality",
    "PointsAward",
    "PurseBalance",
    "Receipt",
    "RedemptionResult",
    "ReleaseResult",
    "ReturnResult",
    "ReversedLine",
    "SaleException",
    "Total",
    "Totals",
    "VoidResult",
    "WalletOffer",
    "from_message",
]

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class FundingShare:
    """Who pays which part of a discount, and how it settles."""

    funder_id: str
    amount_minor: int
    settlement_class: str


@dataclass(frozen=True, slots=True)
class LineOffer:
    """The part of one offer in one line."""

    offer_id: str
    offer_version: int
    discount_minor: int
    unit_count: int
    qualifying_unit_count: int
    funding: tuple[FundingShare, ...]


@dataclass(frozen=True, slots=True)
class LineDecision:
    """What was decided for one line."""

    line_id: int
    discount_minor: int
    net_minor: int
    applied: tuple[LineOffer, ...]
    resolution: str


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the lines, in minor units."""

    gross_minor: int
    discount_minor: int
    net_minor: int
    refund_minor: int
    due_minor: int
    price_reduction_minor: int
    third_party_minor: int
    tender_minor: int


@dataclass(frozen=True, slots=True)
class AppliedOffer:
    """One offer that gave something."""

    offer_id: str
    offer_version: int
    times: int
    discount_minor: int
    text: str
    layer: str
    remaining_uses: int | None


@dataclass(frozen=True, slots=True)
class PointsAward:
    """Points for one reason; negative when they are taken back."""

    purse_id: str
    points: int
    reason: str
    offer_id: str
    line_id: int
    active_date: int
    expire_date: int


@dataclass(frozen=True, slots=True)
class PurseBalance:
    """The state of one purse, in its smallest unit."""

    purse_id: str
    available_points: int
    pending_points: int
    held_points: int
    decimals: int
    expiring_points: int
    expire_date: int


@dataclass(frozen=True, slots=True)
class RedemptionResult:
    """What may be, or was, paid with points."""

    offer_id: str
    purse_id: str
    points: int
    amount_minor: int
    state: str
    refused_outcome: str
    text: str


@dataclass(frozen=True, slots=True)
class CouponOutcome:
    """What became of a coupon."""

    coupon_index: int
    state: str
    refused_outcome: str
    offer_id: str
    discount_minor: int
    text: str


@dataclass(frozen=True, slots=True)
class NearMiss:
    """An offer that would apply with a little more."""

    offer_id: str
    kind: str
    missing_count: int
    missing_amount_minor: int
    saving_minor: int
    text: str


@dataclass(frozen=True, slots=True)
class Message:
    """A text to show or print."""

    audience: str
    text: str
    line_id: int
    offer_id: str


@dataclass(frozen=True, slots=True)
class Optimality:
    """How good the found combination of offers is."""

    kind: str
    scope: str
    gap_minor: int
    step_count: int


@dataclass(frozen=True, slots=True)
class IdentifiedMember:
    """Who an identifier found."""

    identifier_index: int
    result: str
    member_number: int
    group_number: int
    tier_id: str
    role: str


@dataclass(frozen=True, slots=True)
class SaleException:
    """What could not be honoured of a paid sale."""

    kind: str
    line_id: int
    offer_id: str
    purse_id: str
    amount_minor: int
    points: int
    text: str


@dataclass(frozen=True, slots=True)
class IssuedCoupon:
    """A coupon to be printed, for a later basket.

    Attributes
    ----------
    serial : str
        Empty before the commit.
    """

    offer_id: str
    offer_version: int
    opened_offer_id: str
    code: str
    serial: str
    expire_date: int
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """All that was decided for one basket."""

    lines: tuple[LineDecision, ...]
    totals: Totals
    applied_offers: tuple[AppliedOffer, ...]
    earned: tuple[PointsAward, ...]
    balances: tuple[PurseBalance, ...]
    redemptions: tuple[RedemptionResult, ...]
    coupons: tuple[CouponOutcome, ...]
    near_misses: tuple[NearMiss, ...]
    messages: tuple[Message, ...]
    optimality: Optimality
    degraded_level: str
    members: tuple[IdentifiedMember, ...]
    exceptions: tuple[SaleException, ...]
    issued_coupons: tuple[IssuedCoupon, ...]
    message: Any = field(repr=False, compare=False)

    def earned_points(self, purse_id: str) -> int:
        """Return all points that a purse gets."""
        return sum(award.points for award in self.earned if award.purse_id == purse_id)


@dataclass(frozen=True, slots=True)
class WalletOffer:
    """An offer in a member's wallet."""

    offer_id: str
    offer_version: int
    activated: bool
    expire_date: int
    remaining_uses: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Something set aside under a time limit."""

    hold_id: str
    kind: str
    state: str
    purse_id: str
    points: int
    offer_id: str
    uses: int
    coupon_serial: str
    basket_id: str
    store_id: str
    till_id: str
    create_time_unix_ms: int
    expire_time_unix_ms: int
    owner: str


@dataclass(frozen=True, slots=True)
class Identification:
    """Who it is."""

    members: tuple[IdentifiedMember, ...]
    balances: tuple[PurseBalance, ...]
    wallet: tuple[WalletOffer, ...]
    holds: tuple[Hold, ...]
    messages: tuple[Message, ...]
    message: Any = field(repr=False, compare=False)

    def member(self) -> IdentifiedMember | None:
        """Return the member in the role MEMBER, or None when nobody was found."""
        found = (who for who in self.members if who.result in ("MEMBER", "PROVISIONAL"))
        return next((who for who in found if who.role in ("MEMBER", "UNSPECIFIED")), None)


@dataclass(frozen=True, slots=True)
class Posting:
    """Where and when a change was entered; it is on disk."""

    lsn: int
    post_time_unix_ms: int
    business_date: int


@dataclass(frozen=True, slots=True)
class Total:
    """A decision that is kept as it was shown, with what it needs held.

    Attributes
    ----------
    key : str
        The idempotency key that it was sent under.
    """

    decision: Decision
    total_token: bytes
    expire_time_unix_ms: int
    posting: Posting
    message: Any = field(repr=False, compare=False)
    key: str = ""


@dataclass(frozen=True, slots=True)
class ReversedLine:
    """What became of one line of the original receipt."""

    line_id: int
    count: int
    gross_minor: int
    discount_minor: int
    refund_minor: int
    remaining_count: int


@dataclass(frozen=True, slots=True)
class Reversal:
    """What undoing a sale gives back and takes back.

    Attributes
    ----------
    kept : tuple of LineDecision
        What is kept of the sale, as it was judged again; empty where returns are prorated.
    """

    refund_minor: int
    lines: tuple[ReversedLine, ...]
    points: tuple[PointsAward, ...]
    exceptions: tuple[SaleException, ...]
    balances: tuple[PurseBalance, ...]
    kept: tuple[LineDecision, ...]


@dataclass(frozen=True, slots=True)
class Receipt:
    """A sale that is entered.

    Attributes
    ----------
    reversal : Reversal or None
        Of goods that came back in the same basket.
    key : str
        The idempotency key that it was sent under.
    sequence : int
        The number of the receipt.
    """

    decision: Decision
    outcome: str
    posting: Posting
    balances: tuple[PurseBalance, ...]
    receipt_capsule: bytes
    issued_coupons: tuple[IssuedCoupon, ...]
    reversal: Reversal | None
    message: Any = field(repr=False, compare=False)
    key: str = ""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class HoldResult:
    """A hold that was made or extended; `key` is the idempotency key that it was sent under."""

    hold: Hold
    balances: tuple[PurseBalance, ...]
    posting: Posting
    message: Any = field(repr=False, compare=False)
    key: str = ""


@dataclass(frozen=True, slots=True)
class FuelOffer:
    """The part of one offer in a fuel discount; money in thousandths of a minor unit."""

    offer_id: str
    offer_version: int
    discount_minor_thousandths: int
    max_quantity_thousandths: int
    points: int
    purse_id: str


@dataclass(frozen=True, slots=True)
class FuelDiscount:
    """What comes off one price at the pump; money in thousandths of a minor unit."""

    grade: str
    price_level: str
    discount_minor_thousandths: int
    max_quantity_thousandths: int
    floor_price_minor_thousandths: int
    offers: tuple[FuelOffer, ...]


@dataclass(frozen=True, slots=True)
class FuelAuthorisation:
    """What comes off the unit at a pump, a row for each price, and what is held for it."""

    hold: Hold | None
    more_holds: tuple[Hold, ...]
    discounts: tuple[FuelDiscount, ...]
    members: tuple[IdentifiedMember, ...]
    posting: Posting
    message: Any = field(repr=False, compare=False)
    key: str = ""

    @property
    def hold_id(self) -> str:
        """What the line of the fill names; empty when nothing comes off any price."""
        return self.hold.hold_id if self.hold is not None else ""


@dataclass(frozen=True, slots=True)
class CaptureResult:
    """What was spent of a hold."""

    hold: Hold
    captured_points: int
    balances: tuple[PurseBalance, ...]
    posting: Posting
    message: Any = field(repr=False, compare=False)
    key: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseResult:
    """Holds that were given back."""

    holds: tuple[Hold, ...]
    balances: tuple[PurseBalance, ...]
    posting: Posting
    message: Any = field(repr=False, compare=False)
    key: str = ""


@dataclass(frozen=True, slots=True)
class VoidResult:
    """A sale that is undone, or a tombstone that waits for it."""

    outcome: str
    posting: Posting
    reversal: Reversal
    message: Any = field(repr=False, compare=False)
    key: str = ""


@dataclass(frozen=True, slots=True)
class ReturnResult:
    """Items that are taken back."""

    reversal: Reversal
    posting: Posting
    message: Any = field(repr=False, compare=False)
    key: str = ""


@dataclass(frozen=True, slots=True)
class ClaimResult:
    """A receipt that is somebody's now, and what it earned."""

    members: tuple[IdentifiedMember, ...]
    earned: tuple[PointsAward, ...]
    balances: tuple[PurseBalance, ...]
    posting: Posting
    message: Any = field(repr=False, compare=False)
    key: str = ""


def from_message(result_class: type[ResultT], message: ProtobufMessage, **extra: Any) -> ResultT:
    """Return a message as a value of a class above; `extra` are its fields of the client's own."""
    whole: Any = result_class
    values = {name: convert(message) for name, convert in _plan(whole, message.DESCRIPTOR)}
    if "message" in {found.name for found in dataclasses.fields(whole)}:
        values["message"] = message
    return result_class(**values, **extra)


@cache
def _plan(result_class: Any, descriptor: Any) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    """Return how each field of a class is read from a message; worked out once for each pair."""
    hints = typing.get_type_hints(result_class)
    found = ((name, descriptor.fields_by_name.get(name)) for name in hints)
    return tuple((name, _reader(hints[name], known)) for name, known in found if known is not None)


def _reader(hint: Any, known: FieldDescriptor) -> Callable[[Any], Any]:
    name = known.name
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return lambda message: tuple(from_message(inner, item) for item in getattr(message, name))
    if typing.get_origin(hint) is types.UnionType:
        inner = next(part for part in typing.get_args(hint) if part is not types.NoneType)
        read = _reader(inner, known)
        return lambda message: read(message) if message.HasField(name) else None
    if dataclasses.is_dataclass(hint):
        whole: Any = hint
        return lambda message: from_message(whole, getattr(message, name))
    if known.enum_type is not None:
        names = {value.number: value.name for value in known.enum_type.values}
        prefix = len(names[0].removesuffix("UNSPECIFIED"))
        short = {number: text[prefix:] for number, text in names.items()}
        # A number of a later contract is shown as it is.
        return lambda message: short.get(getattr(message, name), str(getattr(message, name)))
    return lambda message: getattr(message, name)
