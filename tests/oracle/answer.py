"""What the slow twin answers."""

from dataclasses import dataclass, field

from tests.oracle.basket import Unit
from tests.oracle.eligible import Given, Scene
from tests.oracle.goals import Step


@dataclass
class Points:
    """Points of one offer; dates are yyyymmdd, 0 for none."""

    purse: str
    points: int
    reason: str
    offer: str
    active: int
    expire: int


@dataclass
class Issued:
    """A coupon for a later basket (P10); `last` is its last date, yyyymmdd."""

    offer: str
    opens: str
    code: str
    last: int


@dataclass
class Referral:
    """Points for whoever referred the member (P11)."""

    offer: str
    purse: str
    points: int


@dataclass
class NearMiss:
    """An offer that would apply with a little more."""

    offer: str
    missing_units: int
    missing_minor: int
    saving: int


@dataclass
class Redemption:
    """Points that paid."""

    offer: str
    purse: str
    points: int
    amount: int


@dataclass
class Applied:
    """An offer that gave something.

    Attributes
    ----------
    shares, units, qualifying : dict of int to int
        By line: minor units taken off, units rewarded, units that only qualified.
    funding : dict of (str, str) to int
        Minor units by funder and settlement.
    """

    offer: str
    layer: str
    times: int
    discount: int
    shares: dict[int, int] = field(default_factory=dict)
    units: dict[int, int] = field(default_factory=dict)
    qualifying: dict[int, int] = field(default_factory=dict)
    funding: dict[tuple[str, str], int] = field(default_factory=dict)
    line_funding: dict[int, list[int]] = field(default_factory=dict)
    coupons: list[int] = field(default_factory=list)

    def add(self, more: "Applied", *, by_unit: bool) -> None:
        """Add what the same offer gave once more: its times only where they are counted.

        Who funds the whole is for the caller to say.
        """
        self.discount += more.discount
        self.times += more.times if by_unit else 0
        self.coupons += [at for at in more.coupons if at not in self.coupons]
        parts = ((self.shares, more.shares), (self.units, more.units))
        for mine, other in (*parts, (self.qualifying, more.qualifying)):
            for line, part in other.items():
                mine[line] = mine.get(line, 0) + part


@dataclass
class OracleDecision:
    """What the rules say about one basket.

    Attributes
    ----------
    outcomes : dict of str to str
        For every offer of the program the name of its OfferOutcome.
    unique : bool
        No tie was settled: another choice of units would not have been as good.
    rivals : set of str
        Thresholds that competed with one that applied: what they lack is not settled by N1.
    cut_minor : int
        What money caps cut off offers that compete for units (D4).
    forgone : int
        What hold-out offers would have saved (H1).
    is_forgone_open : bool
        The decision without hold-out settles a tie, so what it saves is open (D3).
    given : list of Given
        What a commit would count (L1).
    steps : list of Step
        What it adds to each progress (G1).
    uses : dict of str to int
        Uses of granted offers (G3).
    coupon_refused : dict of int to str
        Why a scanned coupon gave nothing, by its place (C2 to C4).
    redeem_refused : list of (str, str)
        Requests to pay with points that were refused: offer or purse, and why.
    refunds : list of int
        What each return before the basket refunded.
    units, shown : list of Unit
        With what they cost after all discounts; and all that thresholds look at.
    """

    discounts: dict[int, int] = field(default_factory=dict)
    nets: dict[int, int] = field(default_factory=dict)
    totals: dict[str, int] = field(default_factory=dict)
    applied: list[Applied] = field(default_factory=list)
    points: list[Points] = field(default_factory=list)
    issued: list[Issued] = field(default_factory=list)
    referrals: list[Referral] = field(default_factory=list)
    near: list[NearMiss] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    unique: bool = True
    rivals: set[str] = field(default_factory=set)
    cut_minor: int = 0
    forgone: int = 0
    is_forgone_open: bool = False
    given: list[Given] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    balances: dict[str, int] = field(default_factory=dict)
    uses: dict[str, int] = field(default_factory=dict)
    redeemed: list[Redemption] = field(default_factory=list)
    redeem_refused: list[tuple[str, str]] = field(default_factory=list)
    coupon_refused: dict[int, str] = field(default_factory=dict)
    refunds: list[int] = field(default_factory=list)
    scene: Scene | None = None
    units: list[Unit] = field(default_factory=list)
    shown: list[Unit] = field(default_factory=list)
