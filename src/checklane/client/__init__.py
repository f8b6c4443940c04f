"""The lane's side: quote on every scan, commit when paid, and never pay twice for a lost answer.

.. code-block:: python

    from checklane.client import Basket, Lane

    with Lane("127.0.0.1:7071", store="101", till="3") as lane:
        basket = Basket().add("4006381333931", count=2, amount="3.98").card("9876543210")
        decision = lane.quote(basket)
        receipt = lane.commit(basket, sequence=1)
"""

from checklane.client.basket import (
    Basket,
    FuelPrice,
    HoldCapture,
    Identifier,
    ReturnLine,
    amount_minor,
)
from checklane.client.lane import AsyncLane, Lane
from checklane.client.offline import OfflineLane, StandIn, Uploaded, upload
from checklane.client.results import (
    AppliedOffer,
    CaptureResult,
    ClaimResult,
    CouponOutcome,
    Decision,
    FuelAuthorisation,
    FuelDiscount,
    FuelOffer,
    FundingShare,
    Hold,
    HoldResult,
    Identification,
    IdentifiedMember,
    IssuedCoupon,
    LineDecision,
    LineOffer,
    Message,
    NearMiss,
    Optimality,
    PointsAward,
    PurseBalance,
    Receipt,
    RedemptionResult,
    ReleaseResult,
    ReturnResult,
    ReversedLine,
    SaleException,
    Total,
    Totals,
    VoidResult,
    WalletOffer,
)
from checklane.client.retry import Policy
from checklane.client.spool import RefusedItem, Spool
from checklane.client.stream import LaneStream

__all__ = [
    "AppliedOffer",
    "AsyncLane",
    "Basket",
    "CaptureResult",
    "ClaimResult",
    "CouponOutcome",
    "Decision",
    "FuelAuthorisation",
    "FuelDiscount",
    "FuelOffer",
    "FuelPrice",
    "FundingShare",
    "Hold",
    "HoldCapture",
    "HoldResult",
    "Identification",
    "IdentifiedMember",
    "Identifier",
    "IssuedCoupon",
    "Lane",
    "LaneStream",
    "LineDecision",
    "LineOffer",
    "Message",
    "NearMiss",
    "OfflineLane",
    "Optimality",
    "PointsAward",
    "Policy",
    "PurseBalance",
    "Receipt",
    "RedemptionResult",
    "RefusedItem",
    "ReleaseResult",
    "ReturnLine",
    "ReturnResult",
    "ReversedLine",
    "SaleException",
    "Spool",
    "StandIn",
    "Total",
    "Totals",
    "Uploaded",
    "VoidResult",
    "WalletOffer",
    "amount_minor",
    "upload",
]
