"""Typed results say what the contract's messages say."""

import dataclasses

import pytest

from checklane.client import results
from checklane.client.requests import figures_of
from checklane.client.results import Decision, Identification, Receipt, from_message
from checklane.v1 import checkout_pb2, common_pb2, decision_pb2

SOURCES = {
    "AppliedOffer": decision_pb2.AppliedOffer,
    "CaptureResult": checkout_pb2.CaptureHoldResponse,
    "ClaimResult": checkout_pb2.ClaimTransactionResponse,
    "CouponOutcome": decision_pb2.CouponResult,
    "Decision": decision_pb2.Decision,
    "FuelAuthorisation": checkout_pb2.AuthorizeFuelResponse,
    "FuelDiscount": checkout_pb2.FuelDiscount,
    "FuelOffer": checkout_pb2.FuelOffer,
    "FundingShare": decision_pb2.FundingShare,
    "Hold": checkout_pb2.Hold,
    "HoldResult": checkout_pb2.CreateHoldResponse,
    "Identification": checkout_pb2.IdentifyMemberResponse,
    "IdentifiedMember": decision_pb2.IdentifiedMember,
    "IssuedCoupon": decision_pb2.IssuedCoupon,
    "LineDecision": decision_pb2.LineDecision,
    "LineOffer": decision_pb2.LineOffer,
    "Message": decision_pb2.DisplayMessage,
    "NearMiss": decision_pb2.NearMiss,
    "Optimality": decision_pb2.Optimality,
    "PointsAward": decision_pb2.EarnedPoints,
    "Posting": common_pb2.Posting,
    "PurseBalance": decision_pb2.PurseBalance,
    "Receipt": checkout_pb2.CommitTransactionResponse,
    "RedemptionResult": decision_pb2.Redemption,
    "ReleaseResult": checkout_pb2.ReleaseHoldResponse,
    "ReturnResult": checkout_pb2.ReturnItemsResponse,
    "Reversal": decision_pb2.Reversal,
    "ReversedLine": decision_pb2.ReversedLine,
    "SaleException": decision_pb2.SaleException,
    "Total": checkout_pb2.TotalBasketResponse,
    "Totals": decision_pb2.Totals,
    "VoidResult": checkout_pb2.VoidTransactionResponse,
    "WalletOffer": checkout_pb2.WalletOffer,
}
OWN_FIELDS = {"message", "key", "sequence"}


@pytest.mark.parametrize("name", SOURCES)
def test_every_field_has_a_source(name):
    result_class = getattr(results, name)
    names = {field.name for field in dataclasses.fields(result_class)}
    if name != "Totals":
        names -= OWN_FIELDS
    assert names <= set(SOURCES[name].DESCRIPTOR.fields_by_name)
    value = from_message(result_class, SOURCES[name]())
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, next(iter(names)), 1)


def test_the_list_of_results_is_whole():
    classes = {name for name, found in vars(results).items() if dataclasses.is_dataclass(found)}
    assert classes == set(SOURCES)


def decision_message():
    message = decision_pb2.Decision(degraded_level=decision_pb2.DEGRADED_LEVEL_FULL)
    message.totals.discount_minor = 100
    message.totals.due_minor = -5
    line = message.lines.add(line_id=1, discount_minor=100, net_minor=298)
    offer = line.applied.add(offer_id="ten-off", offer_version=3, discount_minor=100)
    offer.funding.add(
        funder_id="maker",
        amount_minor=100,
        settlement_class=decision_pb2.SETTLEMENT_CLASS_THIRD_PARTY,
    )
    message.applied_offers.add(offer_id="ten-off", layer=decision_pb2.LAYER_ITEM)
    message.applied_offers.add(offer_id="once", remaining_uses=0)
    message.earned.add(purse_id="base", points=3, reason=decision_pb2.EARN_REASON_BASE)
    message.earned.add(purse_id="base", points=-1)
    message.earned.add(purse_id="other", points=9)
    return message


def test_a_decision_is_read_whole():
    message = decision_message()
    decision = from_message(Decision, message)
    assert decision.degraded_level == "FULL"
    assert decision.totals.due_minor == -5
    (share,) = decision.lines[0].applied[0].funding
    assert (share.funder_id, share.settlement_class) == ("maker", "THIRD_PARTY")
    assert [offer.remaining_uses for offer in decision.applied_offers] == [None, 0]
    assert decision.applied_offers[0].layer == "ITEM"
    assert decision.earned[0].reason == "BASE"
    assert decision.earned_points("base") == 2
    assert decision.message is message


def test_an_enum_of_a_later_contract_is_shown_as_its_number():
    message = decision_message()
    message.degraded_level = 99
    assert from_message(Decision, message).degraded_level == "99"


def test_what_was_shown_can_be_posted():
    figures = figures_of(from_message(Decision, decision_message()))
    assert (figures.discount_minor, figures.due_minor) == (100, -5)
    (line,) = figures.lines
    assert (line.line_id, line.discount_minor, line.offers[0].offer_id) == (1, 100, "ten-off")


def test_a_receipt_keeps_its_key():
    response = checkout_pb2.CommitTransactionResponse(
        outcome=checkout_pb2.COMMIT_OUTCOME_POSTED, posting=common_pb2.Posting(lsn=17)
    )
    receipt = from_message(Receipt, response, key="k", sequence=4)
    assert (receipt.outcome, receipt.posting.lsn, receipt.key, receipt.sequence) == (
        "POSTED",
        17,
        "k",
        4,
    )


def test_the_member_is_found_among_the_identified():
    response = checkout_pb2.IdentifyMemberResponse()
    response.members.add(result=decision_pb2.IDENTIFY_RESULT_UNKNOWN)
    assert from_message(Identification, response).member() is None
    response.members.add(
        result=decision_pb2.IDENTIFY_RESULT_MEMBER,
        role=common_pb2.IDENTIFIER_ROLE_STAFF,
        member_number=1,
    )
    response.members.add(
        result=decision_pb2.IDENTIFY_RESULT_MEMBER,
        role=common_pb2.IDENTIFIER_ROLE_MEMBER,
        member_number=2,
    )
    member = from_message(Identification, response).member()
    assert member is not None
    assert member.member_number == 2
