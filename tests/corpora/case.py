"""What a translator makes of one case: offers, a catalogue, baskets, and what each must come to."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

STORE = "N1"
OPENED = "2026-03-04T10:00"
CURRENCY_DECIMALS = 2
#: The highest product look-up code; no product of a case has it.
LAST_CODE = 99_999


class CannotTranslateError(Exception):
    """A case says something that the form is not known to say; the text names it."""


@dataclass
class Expected:
    """The figures of a peer for one basket, in minor units; fractions where it does not round.

    Attributes
    ----------
    discount : Fraction or None
        Off the whole basket.
    lines : dict of int to Fraction
        Off each line that is named.
    units : dict of int to int
        Units of a line that the offers rewarded.
    consumed : dict of int to int
        Units of a line that may serve no other offer: rewarded ones, and of those that only
        qualified as many as the peer needed.
    coupons_refused : bool
        No coupon that was shown opens anything.
    """

    discount: Fraction | None = None
    lines: dict[int, Fraction] = field(default_factory=dict)
    units: dict[int, int] = field(default_factory=dict)
    consumed: dict[int, int] = field(default_factory=dict)
    coupons_refused: bool = False


@dataclass
class Step:
    """One basket: committed to make a past, or quoted and compared."""

    basket: dict[str, Any]
    expected: Expected | None = None


@dataclass
class Translated:
    """One case in checklane's own form.

    Attributes
    ----------
    program : dict
        Keys of ``program.yaml`` with `offers`.
    steps : list of Step
        In their order; those without figures are committed.
    """

    program: dict[str, Any]
    catalogue: dict[str, list[dict[str, Any]]]
    members: list[dict[str, Any]]
    steps: list[Step]


def money(cents: int) -> str:
    """Return minor units as the program file writes them."""
    return f"{cents // 100}.{cents % 100:02}"


def whole_cents(amount: Any) -> int:
    """Return an amount of whole currency units in minor units."""
    cents = Fraction(str(amount)) * 10**CURRENCY_DECIMALS
    if cents.denominator != 1:
        raise CannotTranslateError(f"{amount} is no whole number of cents")
    return int(cents)


def percent(value: Any) -> str:
    """Return a percentage with at most the two decimals of basis points; above 100 is 100."""
    points = min(Fraction(str(value)), Fraction(100)) * 100
    if points.denominator != 1:
        raise CannotTranslateError(f"{value} % has more than two decimals")
    return money(int(points))


def known(part: dict[str, Any], *keys: str) -> None:
    """Refuse a part of a case with a key of which the meaning is not known."""
    strange = sorted(set(part) - set(keys))
    if strange:
        raise CannotTranslateError(f"unknown key {', '.join(strange)}")


class Goods:
    """The products of a case under codes of their own, by the names that the case gives them.

    Codes fall in the order of the names: of equally dear units the one named first counts as the
    cheapest, as it does for peers that sort cheapest first and keep the order of the lines.
    """

    def __init__(self) -> None:
        self._codes: dict[Any, str] = {}

    def code(self, name: Any) -> str:
        """Return the code of a product; a new name makes a product."""
        return self._codes.setdefault(name, str(LAST_CODE - 1 - len(self._codes)))

    def selector(self, names: list[Any]) -> dict[str, Any]:
        """Return a selector for some products; nothing in a basket fits when there are none."""
        return {"items": [self.code(name) for name in names] or [str(LAST_CODE)]}

    def catalogue(self, stores: tuple[str, ...] = (STORE,)) -> dict[str, list[dict[str, Any]]]:
        """Return the rows of the feeds."""
        codes = [*self._codes.values(), str(LAST_CODE)]
        return {
            "products": [{"code": code} for code in codes],
            "stores": [{"store_id": store, "timezone": "UTC"} for store in stores],
        }


def program(offers: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a program of some offers."""
    currency = {"code": "USD", "exponent": CURRENCY_DECIMALS}
    return {"program": "corpus", "currency": currency, **more, "offers": offers}


def basket(lines: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Return a basket of lines, numbered from 1."""
    numbered = [{"id": number, **line} for number, line in enumerate(lines, start=1)]
    return {"store": STORE, "opened": OPENED, "lines": numbered, **more}


def line_off(expected: dict[int, Fraction], told: dict[int, int]) -> list[str]:
    """Return the lines that differ by a cent or more: who gets a remainder is not compared."""
    return [
        f"line {line}: {told.get(line, 0)} off, the peer says {float(wanted):g}"
        for line, wanted in expected.items()
        if abs(told.get(line, 0) - wanted) > 1
    ]


def compare(expected: Expected, told: dict[str, Any]) -> list[str]:
    """Return how an answer differs from the figures of the peer.

    The whole discount must be the same to the cent; where the peer keeps parts of cents, the
    same after rounding either way. Lines may differ by a cent, for who gets a remainder.
    """
    found = line_off(expected.lines, told["lines"])
    wanted = expected.discount if expected.discount is not None else sum(expected.lines.values())
    if abs(told["totals"]["discount"] - wanted) >= 1:
        found.append(f"{told['totals']['discount']} off, the peer says {float(wanted):g}")
    rewarded = most([part["units"] for part in told["applied"].values()])
    qualifying = most([part["qualifying"] for part in told["applied"].values()])
    for line, count in expected.units.items():
        if rewarded.get(line, 0) != count:
            found.append(f"line {line}: {rewarded.get(line, 0)} units, the peer says {count}")
    for line, count in expected.consumed.items():
        least, extra = rewarded.get(line, 0), qualifying.get(line, 0)
        if not least <= count <= least + extra:
            found.append(f"line {line}: {least} + {extra} units, the peer says {count}")
    if expected.coupons_refused and any(part["coupons"] for part in told["applied"].values()):
        found.append("a coupon opened an offer, the peer refuses it")
    return found


def most(by_offer: list[dict[int, int]]) -> dict[int, int]:
    """Return units by line, the most that one offer had of each."""
    found: dict[int, int] = {}
    for units in by_offer:
        for line, count in units.items():
            found[line] = max(found.get(line, 0), count)
    return found
