"""One entry of the journal as the contract tells it.

The bytes are taken apart by `checklane.books.entries`. Figures and names come from the recorded
request and answer, so that an entry reads the same however often the program has changed since.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError, Message

from checklane import _layout
from checklane.books.entries import Sections
from checklane.v1 import checkout_pb2, decision_pb2, ledger_pb2, member_pb2, program_pb2

__all__ = ["ENTRY_KINDS", "contract_entry"]

_KIND = ledger_pb2.LedgerEntryKind

#: The contract's kind of each kind of the journal.
ENTRY_KINDS: Mapping[int, "ledger_pb2.LedgerEntryKind"] = {
    _layout.ENTRY_COMMIT: _KIND.LEDGER_ENTRY_KIND_SALE,
    _layout.ENTRY_VOID: _KIND.LEDGER_ENTRY_KIND_VOID,
    _layout.ENTRY_RETURN: _KIND.LEDGER_ENTRY_KIND_RETURN,
    _layout.ENTRY_CLAIM: _KIND.LEDGER_ENTRY_KIND_CLAIM,
    _layout.ENTRY_ENROL: _KIND.LEDGER_ENTRY_KIND_MEMBER,
    _layout.ENTRY_LINK: _KIND.LEDGER_ENTRY_KIND_MEMBER,
    _layout.ENTRY_UPDATE: _KIND.LEDGER_ENTRY_KIND_MEMBER,
    _layout.ENTRY_ACTIVATE: _KIND.LEDGER_ENTRY_KIND_WALLET,
    _layout.ENTRY_STOP_OFFER: _KIND.LEDGER_ENTRY_KIND_OFFER,
    _layout.ENTRY_LIVE: _KIND.LEDGER_ENTRY_KIND_SNAPSHOT,
    _layout.ENTRY_RECOVERED: _KIND.LEDGER_ENTRY_KIND_SYSTEM,
    _layout.ENTRY_ADJUST: _KIND.LEDGER_ENTRY_KIND_ADJUSTMENT,
    _layout.ENTRY_TOTAL: _KIND.LEDGER_ENTRY_KIND_TOTAL,
    _layout.ENTRY_MERGE: _KIND.LEDGER_ENTRY_KIND_MEMBER,
    _layout.ENTRY_CONFIRM: _KIND.LEDGER_ENTRY_KIND_CONFIRMATION,
    _layout.ENTRY_HOLD: _KIND.LEDGER_ENTRY_KIND_HOLD,
    _layout.ENTRY_HOLD_CAPTURE: _KIND.LEDGER_ENTRY_KIND_HOLD,
    _layout.ENTRY_HOLD_RELEASE: _KIND.LEDGER_ENTRY_KIND_HOLD,
    _layout.ENTRY_HOLD_EXTEND: _KIND.LEDGER_ENTRY_KIND_HOLD,
    _layout.ENTRY_FUEL: _KIND.LEDGER_ENTRY_KIND_HOLD,
    _layout.ENTRY_CLOSE_DATE: _KIND.LEDGER_ENTRY_KIND_DATE_CLOSED,
}

#: For entries that a call made: the method, its request and its answer.
_MESSAGES: Mapping[int, tuple[str, type[Message], type[Message]]] = {
    _layout.ENTRY_COMMIT: (
        "CheckoutService/CommitTransaction",
        checkout_pb2.CommitTransactionRequest,
        checkout_pb2.CommitTransactionResponse,
    ),
    _layout.ENTRY_TOTAL: (
        "CheckoutService/TotalBasket",
        checkout_pb2.TotalBasketRequest,
        checkout_pb2.TotalBasketResponse,
    ),
    _layout.ENTRY_VOID: (
        "CheckoutService/VoidTransaction",
        checkout_pb2.VoidTransactionRequest,
        checkout_pb2.VoidTransactionResponse,
    ),
    _layout.ENTRY_RETURN: (
        "CheckoutService/ReturnItems",
        checkout_pb2.ReturnItemsRequest,
        checkout_pb2.ReturnItemsResponse,
    ),
    _layout.ENTRY_CLAIM: (
        "CheckoutService/ClaimTransaction",
        checkout_pb2.ClaimTransactionRequest,
        checkout_pb2.ClaimTransactionResponse,
    ),
    _layout.ENTRY_ENROL: (
        "MemberService/EnrolMember",
        member_pb2.EnrolMemberRequest,
        member_pb2.EnrolMemberResponse,
    ),
    _layout.ENTRY_LINK: (
        "MemberService/LinkIdentifier",
        member_pb2.LinkIdentifierRequest,
        member_pb2.LinkIdentifierResponse,
    ),
    _layout.ENTRY_UPDATE: (
        "MemberService/UpdateMember",
        member_pb2.UpdateMemberRequest,
        member_pb2.UpdateMemberResponse,
    ),
    _layout.ENTRY_ACTIVATE: (
        "MemberService/ActivateOffer",
        member_pb2.ActivateOfferRequest,
        member_pb2.ActivateOfferResponse,
    ),
    _layout.ENTRY_STOP_OFFER: (
        "ProgramService/StopOffer",
        program_pb2.StopOfferRequest,
        program_pb2.StopOfferResponse,
    ),
    _layout.ENTRY_ADJUST: (
        "MemberService/AdjustAccount",
        member_pb2.AdjustAccountRequest,
        member_pb2.AdjustAccountResponse,
    ),
    _layout.ENTRY_MERGE: (
        "MemberService/MergeMembers",
        member_pb2.MergeMembersRequest,
        member_pb2.MergeMembersResponse,
    ),
    _layout.ENTRY_CONFIRM: (
        "MemberService/ConfirmPoints",
        member_pb2.ConfirmPointsRequest,
        member_pb2.ConfirmPointsResponse,
    ),
    _layout.ENTRY_HOLD: (
        "CheckoutService/CreateHold",
        checkout_pb2.CreateHoldRequest,
        checkout_pb2.CreateHoldResponse,
    ),
    _layout.ENTRY_HOLD_CAPTURE: (
        "CheckoutService/CaptureHold",
        checkout_pb2.CaptureHoldRequest,
        checkout_pb2.CaptureHoldResponse,
    ),
    _layout.ENTRY_HOLD_RELEASE: (
        "CheckoutService/ReleaseHold",
        checkout_pb2.ReleaseHoldRequest,
        checkout_pb2.ReleaseHoldResponse,
    ),
    _layout.ENTRY_HOLD_EXTEND: (
        "CheckoutService/ExtendHold",
        checkout_pb2.ExtendHoldRequest,
        checkout_pb2.ExtendHoldResponse,
    ),
    _layout.ENTRY_FUEL: (
        "CheckoutService/AuthorizeFuel",
        checkout_pb2.AuthorizeFuelRequest,
        checkout_pb2.AuthorizeFuelResponse,
    ),
    _layout.ENTRY_CLOSE_DATE: (
        "LedgerService/CloseBusinessDate",
        ledger_pb2.CloseBusinessDateRequest,
        ledger_pb2.CloseBusinessDateResponse,
    ),
}


def contract_entry(
    sections: Sections, *, include_bodies: bool, include_movements: bool
) -> ledger_pb2.LedgerEntry:
    """Return an entry as the contract tells it."""
    header = sections.header
    kind = int(header["kind"])
    entry = ledger_pb2.LedgerEntry(
        lsn=int(header["lsn"]),
        kind=ENTRY_KINDS.get(kind, _KIND.LEDGER_ENTRY_KIND_SYSTEM),
        post_time_unix_ms=int(header["post_unix_ms"]),
        event_time_unix_ms=int(header["event_unix_ms"]),
        business_date=int(header["business_date"]),
        member_number=int(header["member"]),
        group_number=int(header["account_group"]),
    )
    if kind in _MESSAGES:
        entry.method, request_class, response_class = _MESSAGES[kind]
        _fill_request(entry, _parsed(request_class, sections.request))
        _fill_figures(entry, _parsed(response_class, sections.response))
    if len(sections.facts) >= _layout.FACTS_HEADER.itemsize:
        facts = np.frombuffer(sections.facts, dtype=_layout.FACTS_HEADER, count=1)[0]
        entry.program_hash = facts["program_hash"].tobytes()
        entry.catalogue_hash = facts["catalogue_hash"].tobytes()
        # An open enum: a level of a later engine is told as its number.
        level: Any = int(facts["degraded_level"])
        entry.degraded_level = level
    if include_bodies:
        entry.request, entry.response = sections.request, sections.response
    if include_movements:
        entry.movements.extend(_movement(record) for record in sections.movements)
    return entry


def _parsed(message_class: type[Message], content: bytes) -> Any:
    """Parse a recorded body; one that is sealed or of a later contract tells nothing."""
    message = message_class()
    try:
        message.ParseFromString(content)
    except DecodeError:
        return message_class()
    return message


def _fill_request(entry: ledger_pb2.LedgerEntry, request: Any) -> None:
    context = request.context
    entry.store_id, entry.till_id = context.store_id, context.till_id
    entry.correlation_id, entry.operator_id = context.correlation_id, context.operator_id
    fields = request.DESCRIPTOR.fields_by_name
    if "receipt" in fields and request.HasField("receipt"):
        entry.receipt.CopyFrom(request.receipt)
        entry.store_id = entry.store_id or request.receipt.store_id
        entry.till_id = entry.till_id or request.receipt.till_id
    elif "original_receipt" in fields and request.HasField("original_receipt"):
        entry.store_id = entry.store_id or request.original_receipt.store_id
        entry.till_id = entry.till_id or request.original_receipt.till_id
    elif isinstance(request, member_pb2.AdjustAccountRequest):
        entry.points.add(purse_id=request.purse_id, points=request.points)


def _fill_figures(entry: ledger_pb2.LedgerEntry, response: Any) -> None:
    """Fill money and points from the recorded answer of a sale, void or return.

    A total has none: its sale will, and whoever adds up entries counts it once.
    """
    points: Counter[str] = Counter()
    fields = response.DESCRIPTOR.fields_by_name
    if isinstance(response, checkout_pb2.CommitTransactionResponse):
        decision = response.decision
        entry.due_minor = decision.totals.due_minor
        entry.discount_minor = decision.totals.discount_minor
        for award in decision.earned:
            points[award.purse_id] += award.points
        for taken in decision.redemptions:
            if taken.state == decision_pb2.REDEMPTION_STATE_TAKEN:
                points[taken.purse_id] -= taken.points
        for award in response.reversal.points:
            points[award.purse_id] += award.points
    elif "reversal" in fields:
        reversal = response.reversal
        entry.due_minor = -reversal.refund_minor
        entry.discount_minor = -sum(line.discount_minor for line in reversal.lines)
        for award in reversal.points:
            points[award.purse_id] += award.points
    elif isinstance(response, checkout_pb2.ClaimTransactionResponse):
        for award in response.earned:
            points[award.purse_id] += award.points
    elif isinstance(response, member_pb2.ConfirmPointsResponse):
        for confirmed in response.points:
            points[confirmed.purse_id] += confirmed.points
    elif isinstance(response, checkout_pb2.CaptureHoldResponse) and response.captured_points:
        points[response.hold.purse_id] -= response.captured_points
    for purse_id, total in sorted(points.items()):
        entry.points.add(purse_id=purse_id, points=total)


def _movement(record: Any) -> ledger_pb2.Movement:
    """Return one cell's change; purses and offers are named in the entry's answer."""
    cell, key = record["cell"], record["record"]
    kinds = ledger_pb2.MovementKind
    movement = ledger_pb2.Movement(kind=kinds.MOVEMENT_KIND_OVERLAY)
    family, value = int(key["family"]), int(cell["value"])
    if family in (_layout.FAMILY_GROUP, _layout.FAMILY_MEMBER):
        movement.group_number = int(key["hi"])
    if family == _layout.FAMILY_MEMBER:
        movement.member_number = int(key["lo"])
    match int(cell["kind"]):
        case _layout.CELL_LOT | _layout.CELL_DEBT:
            gained = value >= 0
            movement.kind = (
                kinds.MOVEMENT_KIND_LOT_ADDED if gained else kinds.MOVEMENT_KIND_LOT_SPENT
            )
            movement.points = value if int(cell["kind"]) == _layout.CELL_LOT else -value
        case _layout.CELL_COUNTER:
            counted = {
                _layout.FAMILY_OFFER: kinds.MOVEMENT_KIND_BUDGET,
                _layout.FAMILY_COUPON: kinds.MOVEMENT_KIND_COUPON,
            }
            movement.kind = counted.get(family, kinds.MOVEMENT_KIND_OFFER_COUNTED)
            movement.count = value
        case _layout.CELL_ISSUED:
            movement.kind, movement.count = kinds.MOVEMENT_KIND_COUPON, 1 if value > 0 else -1
        case _layout.CELL_PROGRESS:
            movement.kind, movement.count = kinds.MOVEMENT_KIND_PROGRESS, value
        case _layout.CELL_ENTRY:
            bound = family == _layout.FAMILY_KEY
            movement.kind = (
                kinds.MOVEMENT_KIND_KEY_BOUND if bound else kinds.MOVEMENT_KIND_RECEIPT_BOUND
            )
        case (
            _layout.CELL_VOIDED
            | _layout.CELL_RETURNED
            | _layout.CELL_EARNED
            | _layout.CELL_CLAIMED
            | _layout.CELL_CONFIRMED
        ):
            movement.kind = kinds.MOVEMENT_KIND_RECEIPT_CHANGED
        case _layout.CELL_HOLD:
            movement.kind, movement.points = kinds.MOVEMENT_KIND_HOLD, value
        case _layout.CELL_HELD:
            movement.kind, movement.count = kinds.MOVEMENT_KIND_HOLD, value
        case (
            _layout.CELL_HOLD_HEAD
            | _layout.CELL_HOLD_WHOSE
            | _layout.CELL_HOLD_WHERE
            | _layout.CELL_HOLD_USES
            | _layout.CELL_HOLD_TEXT
            | _layout.CELL_HOLD_COUPON
            | _layout.CELL_HOLD_SERIAL
            | _layout.CELL_HOLD_FUEL
            | _layout.CELL_HOLD_PROGRAM
        ):
            movement.kind = kinds.MOVEMENT_KIND_HOLD
    return movement
