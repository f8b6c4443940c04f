"""What one entry says of money and points, by the request and the answer that stand in it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError, Message

from checklane import _layout
from checklane.books.entries import Records, Sections
from checklane.errors import refuse
from checklane.v1 import checkout_pb2, decision_pb2, member_pb2

__all__ = [
    "Where",
    "by_purse",
    "has_effect",
    "lots_moved",
    "messages_of",
    "points_captured",
    "points_of_referrer",
    "points_told",
    "returned_receipt",
    "where_of",
]

#: Request and answer of each kind of entry that moves money or points of its own accord.
MESSAGES: Mapping[int, tuple[type[Message], type[Message]]] = {
    _layout.ENTRY_COMMIT: (
        checkout_pb2.CommitTransactionRequest,
        checkout_pb2.CommitTransactionResponse,
    ),
    _layout.ENTRY_VOID: (
        checkout_pb2.VoidTransactionRequest,
        checkout_pb2.VoidTransactionResponse,
    ),
    _layout.ENTRY_RETURN: (checkout_pb2.ReturnItemsRequest, checkout_pb2.ReturnItemsResponse),
    _layout.ENTRY_CLAIM: (
        checkout_pb2.ClaimTransactionRequest,
        checkout_pb2.ClaimTransactionResponse,
    ),
    _layout.ENTRY_HOLD_CAPTURE: (
        checkout_pb2.CaptureHoldRequest,
        checkout_pb2.CaptureHoldResponse,
    ),
    _layout.ENTRY_ADJUST: (member_pb2.AdjustAccountRequest, member_pb2.AdjustAccountResponse),
    _layout.ENTRY_CONFIRM: (member_pb2.ConfirmPointsRequest, member_pb2.ConfirmPointsResponse),
}


class Where(NamedTuple):
    """Which books an entry belongs to. Empty texts: none."""

    store_id: str
    till_id: str
    shift_id: str


#: What totals tell of each class.
CLASS_SUMS: Mapping[int, str] = {
    decision_pb2.SETTLEMENT_CLASS_PRICE_REDUCTION: "price_reduction_minor",
    decision_pb2.SETTLEMENT_CLASS_THIRD_PARTY: "third_party_minor",
    decision_pb2.SETTLEMENT_CLASS_TENDER: "tender_minor",
}


def _add(message: Message, name: str, minor: int) -> None:
    setattr(message, name, getattr(message, name) + minor)


def _lay_sold(decision: decision_pb2.Decision, sold: Mapping[int, int]) -> None:
    """Let a decision say what its lane took off each line, where that was something else (U3).

    Nobody told by which offers it came off: it is a reduction that the program pays itself.
    """
    totals = decision.totals
    coupons_of = {offer.offer_id: offer.coupon_indexes for offer in decision.applied_offers}
    for line in decision.lines:
        more_minor = sold.get(line.line_id, 0) - line.discount_minor
        if more_minor == 0:
            continue
        _add(totals, "price_reduction_minor", more_minor)
        for offer in line.applied:
            for part in offer.funding:
                _add(totals, CLASS_SUMS[part.settlement_class], -part.amount_minor)
                _add(totals, "price_reduction_minor", part.amount_minor)
            left = offer.discount_minor
            for index in coupons_of[offer.offer_id]:
                taken = min(left, decision.coupons[index].discount_minor)
                _add(decision.coupons[index], "discount_minor", -taken)
                left -= taken
        del line.applied[:]
        _add(line, "discount_minor", more_minor)
        _add(totals, "discount_minor", more_minor)
        for message, name in ((line, "net_minor"), (totals, "net_minor"), (totals, "due_minor")):
            _add(message, name, -more_minor)


def messages_of(sections: Sections) -> tuple[Any, Any]:
    """Return the request and the answer of an entry of one of the kinds above.

    The answer to a sale that was paid says of its money what the lane took, not what was decided.

    Raises
    ------
    DamageError
        They are no messages of the contract.
    """
    request_class, response_class = MESSAGES[int(sections.header["kind"])]
    request, response = request_class(), response_class()
    try:
        request.ParseFromString(sections.request)
        response.ParseFromString(sections.response)
    except DecodeError:
        raise refuse("JOURNAL_DAMAGED", f"lsn {sections.header['lsn']}") from None
    is_paid = int(sections.header["flags"]) & _layout.ENTRY_FLAG_PAID
    if is_paid and isinstance(response, checkout_pb2.CommitTransactionResponse):
        assert isinstance(request, checkout_pb2.CommitTransactionRequest)
        sold = {line.line_id: line.discount_minor for line in request.figures.lines}
        if sold:
            _lay_sold(response.decision, sold)
    return request, response


def where_of(request: Any) -> Where:
    """Return store, till and shift of a request: of its receipt, else of who sent it.

    A void without a receipt of its own, and a claim, which has none, belong to their sender, and
    where that is not known to the sale. Only a basket names a shift, so they and returns have none.
    """
    fields = request.DESCRIPTOR.fields_by_name
    shift_id = request.basket.shift_id if "basket" in fields else ""
    for name in ("receipt", "original_receipt"):
        if name in fields and request.HasField(name):
            named = getattr(request, name)
            break
    else:
        named = request.context
    sender = request.context
    if name == "original_receipt" or isinstance(request, checkout_pb2.ClaimTransactionRequest):
        return Where(sender.store_id or named.store_id, sender.till_id or named.till_id, shift_id)
    return Where(named.store_id or sender.store_id, named.till_id or sender.till_id, shift_id)


def returned_receipt(request: Any) -> Any:
    """Return the receipt of the sale of which goods come back, by themselves or in a basket."""
    if isinstance(request, checkout_pb2.CommitTransactionRequest):
        lines = request.basket.lines
        return next(line.original.receipt for line in lines if line.HasField("original"))
    return request.original_receipt


def has_effect(response: Any) -> bool:
    """Tell whether a sale's answer changed anything: one that was voided before it came did not."""
    outcome = response.outcome
    return bool(outcome != checkout_pb2.COMMIT_OUTCOME_VOIDED_BEFORE)


def points_told(request: Any, response: Any) -> Counter[str]:
    """Return the points that came and went by an entry, by purse, as its caller was told."""
    points: Counter[str] = Counter()
    match response:
        case checkout_pb2.CommitTransactionResponse():
            if not has_effect(response):
                return points
            for award in response.decision.earned:
                points[award.purse_id] += award.points
            for credit in response.decision.referral_credits:
                points[credit.purse_id] += credit.points
            for taken in response.decision.redemptions:
                if taken.state == decision_pb2.REDEMPTION_STATE_TAKEN:
                    points[taken.purse_id] -= taken.points
            for award in response.reversal.points:
                points[award.purse_id] += award.points
        case checkout_pb2.VoidTransactionResponse() | checkout_pb2.ReturnItemsResponse():
            for award in response.reversal.points:
                points[award.purse_id] += award.points
        case checkout_pb2.ClaimTransactionResponse():
            for award in response.earned:
                points[award.purse_id] += award.points
        case checkout_pb2.CaptureHoldResponse() if response.captured_points:
            points[response.hold.purse_id] -= response.captured_points
        case member_pb2.AdjustAccountResponse():
            points[request.purse_id] += request.points
        case member_pb2.ConfirmPointsResponse():
            for confirmed in response.points:
                # What can be spent from now on was counted when it was earned.
                points[confirmed.purse_id] += min(confirmed.points, 0)
    return points


def points_of_referrer(response: Any) -> Counter[str]:
    """Return those of the points told that came to or went from whoever referred the member."""
    points: Counter[str] = Counter()
    if isinstance(response, checkout_pb2.CommitTransactionResponse):
        for credit in response.decision.referral_credits:
            points[credit.purse_id] += credit.points
        return points
    if isinstance(response, checkout_pb2.ClaimTransactionResponse):
        return points
    for award in response.reversal.points:
        if award.reason == decision_pb2.EARN_REASON_REFERRAL:
            points[award.purse_id] += award.points
    return points


def points_captured(
    sections: Sections, request: Any, response: Any, purse_names: Mapping[int, str]
) -> Counter[str]:
    """Return what a sale spent of holds that it named, beyond what its decision took, by purse.

    The answer tells what the decision took; the rest stands in the sale's movements only.
    """
    points: Counter[str] = Counter()
    if not isinstance(request, checkout_pb2.CommitTransactionRequest) or not request.hold_captures:
        return points
    movements = sections.movements
    is_burn = movements["reason"] == _layout.REASON_BURN
    points = by_purse(lots_moved(movements[is_burn]), purse_names)
    if has_effect(response):
        for taken in response.decision.redemptions:
            if taken.state == decision_pb2.REDEMPTION_STATE_TAKEN:
                points[taken.purse_id] += taken.points
    return points


def lots_moved(movements: Records) -> Counter[int]:
    """Return the points that came and went by movements, by number of the purse.

    What expired goes with the date and not with the entry that sweeps it out later.
    """
    points: Counter[int] = Counter()
    kinds = movements["cell"]["kind"]
    is_lot, is_debt = kinds == _layout.CELL_LOT, kinds == _layout.CELL_DEBT
    is_counted = (is_lot | is_debt) & (movements["reason"] != _layout.REASON_EXPIRE)
    for at in np.flatnonzero(is_counted).tolist():
        cell = movements[at]["cell"]
        value = int(cell["value"])
        points[int(cell["sub"])] += value if is_lot[at] else -value
    return points


def by_purse(points: Mapping[int, int], purse_names: Mapping[int, str]) -> Counter[str]:
    """Return sums by number of the purse as sums by its id; `#3` for one that nobody knows."""
    named: Counter[str] = Counter()
    for number, total in points.items():
        named[purse_names.get(number, f"#{number}")] += total
    return named
