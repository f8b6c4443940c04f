"""Who pays which part of a line's discount, and who gets which part back when goods come back.

A sale's answer says it, line by line. A return takes back of each line what its answer says. Where
what is kept was judged again, the answer also says who pays for that now, and each gets back what
they paid before less that. Else the parts are found from the last that was said: of the discount
that had come back before and after, each prefix of the line's shares gets its part rounded down. So
any sequence of returns sums to the whole, to the cent.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from checklane.v1 import decision_pb2

__all__ = ["LineShares", "Share", "parts_back", "settlement_name", "shares_back"]

CLASS_PREFIX = "SETTLEMENT_CLASS_"
OWN_CLASS = decision_pb2.SETTLEMENT_CLASS_PRICE_REDUCTION


class Share(NamedTuple):
    """A part of one line's discount.

    Attributes
    ----------
    offer_id, funder_id : str
        Empty: the answer names none.
    settlement_class : int
        Of the contract's enum.
    amount_minor : int
    coupon : str
        What opened the offer, where settlement is by coupon. Empty: no coupon.
    """

    offer_id: str
    funder_id: str
    settlement_class: int
    amount_minor: int
    coupon: str = ""


#: The sale was pruned, or sold otherwise than decided: who paid is not known.
UNKNOWN = Share("", "", decision_pb2.SETTLEMENT_CLASS_UNSPECIFIED, 0)


class LineShares:
    """Who pays which part of one line's discount, while its goods come back.

    Parameters
    ----------
    line : LineDecision
    coupons : mapping of str to str
        By offer, the coupon that opened it.

    Attributes
    ----------
    priced : list of Share
        When the line was priced last: at its sale, or as what was kept.
    """

    def __init__(self, line: decision_pb2.LineDecision, coupons: Mapping[str, str]) -> None:
        self._coupons = coupons
        self.priced = self._shares_of(line)
        self._back_minor = 0

    def _shares_of(self, line: decision_pb2.LineDecision) -> list[Share]:
        """Return who pays which part of a line's discount; the parts sum to it."""
        shares = []
        for offer in line.applied:
            left = offer.discount_minor
            coupon = self._coupons.get(offer.offer_id, "")
            for part in offer.funding:
                funded = (part.funder_id, part.settlement_class, part.amount_minor)
                shares.append(Share(offer.offer_id, *funded, coupon))
                left -= part.amount_minor
            if left:
                shares.append(Share(offer.offer_id, "", OWN_CLASS, left, coupon))
        left = line.discount_minor - sum(share.amount_minor for share in shares)
        if left:
            shares.append(Share("", "", OWN_CLASS, left))
        return shares

    def take_back(self, discount_minor: int) -> list[Share]:
        """Return what each gets back of a part of the discount."""
        if not self.priced:
            return [UNKNOWN._replace(amount_minor=discount_minor)] if discount_minor else []
        before = self._back_minor
        self._back_minor += discount_minor
        return list(shares_back(self.priced, before, self._back_minor))

    def price_again(self, discount_minor: int, kept: decision_pb2.LineDecision) -> list[Share]:
        """Return what each gets back where they pay for what is kept from now on.

        Where another part of the discount came back than that leaves, for a refund was cut, those
        who paid before get their parts of it.
        """
        left = sum(share.amount_minor for share in self.priced) - self._back_minor
        if left - discount_minor != kept.discount_minor:
            return self.take_back(discount_minor)
        back: Counter[Share] = Counter()
        for share in [*self.priced, *self.take_back(-self._back_minor)]:
            back[share._replace(amount_minor=0)] += share.amount_minor
        self.priced, self._back_minor = self._shares_of(kept), 0
        for share in self.priced:
            back[share._replace(amount_minor=0)] -= share.amount_minor
        return [share._replace(amount_minor=amount) for share, amount in back.items() if amount]


def parts_back(
    lines: Mapping[int, LineShares], reversal: decision_pb2.Reversal
) -> Iterator[tuple[decision_pb2.ReversedLine, list[Share]]]:
    """Yield each line of a reversal with what each gets back; and lines whose payers changed."""
    kept = {line.line_id: line for line in reversal.kept}
    told = {line.line_id for line in reversal.lines}
    others = (decision_pb2.ReversedLine(line_id=line_id) for line_id in kept if line_id not in told)
    for line in [*reversal.lines, *others]:
        own = lines.get(line.line_id) or LineShares(decision_pb2.LineDecision(), {})
        if line.line_id in kept:
            yield line, own.price_again(line.discount_minor, kept[line.line_id])
        else:
            yield line, own.take_back(line.discount_minor)


def shares_back(shares: list[Share], before_minor: int, after_minor: int) -> Iterator[Share]:
    """Yield the parts of what came back, between two sums of one line's returned discount."""
    whole = sum(share.amount_minor for share in shares)
    if whole == 0:
        return
    prefix = told = 0
    for share in shares:
        prefix += share.amount_minor
        upto = prefix * after_minor // whole - prefix * before_minor // whole
        yield share._replace(amount_minor=upto - told)
        told = upto


def settlement_name(settlement_class: int) -> str:
    """Return the name of a class without the enum's own."""
    return decision_pb2.SettlementClass.Name(settlement_class).removeprefix(CLASS_PREFIX)
