"""Coupons as they are scanned: the data of GS1 (8110) and (8112), read as the page says (C1)."""

import calendar
from dataclasses import dataclass, field

FNC1 = "\x1d"
DIGITS = {"8110": 70, "8112": 60}
REQUIREMENTS = "012349"
SAVES = "01256"


class ScanError(ValueError):
    """The digits are no coupon."""


@dataclass
class Purchase:
    """What is to be bought: so much of the goods of one company and family."""

    prefix: str
    requirement: int
    code: int
    family: str


@dataclass
class Scanned:
    """A scanned coupon.

    Attributes
    ----------
    start, end : str
        First and last day as yyyymmdd, or empty.
    """

    ai: str
    prefix: str = ""
    offer: str = ""
    save: int = 0
    purchases: list[Purchase] = field(default_factory=list)
    rules: int = 0
    start: str = ""
    end: str = ""
    serial: str = ""
    retailer: str = ""
    save_code: int = 0
    item: int = 0
    store: bool = False
    multiply: bool = True


class Digits:
    """The digits, front to back."""

    def __init__(self, text: str) -> None:
        self.text = text

    def take(self, count: int) -> str:
        """Return the next digits."""
        if len(self.text) < count:
            raise ScanError("too short")
        found, self.text = self.text[:count], self.text[count:]
        return found

    def measured(self, lengths: range, base: int) -> str:
        """Return the digits behind one that says how many there are."""
        said = int(self.take(1))
        if said not in lengths:
            raise ScanError("no such length")
        return self.take(base + said)

    def one_of(self, allowed: str) -> int:
        """Return a code."""
        found = self.take(1)
        if found not in allowed:
            raise ScanError("no such code")
        return int(found)


def identifier_of(data: str) -> tuple[str, str]:
    """Return the application identifier of a coupon, or an empty one, and what follows it."""
    if data.startswith("]") and len(data) >= 3:
        data = data[3:]
    data = data.removeprefix(FNC1)
    for ai in DIGITS:
        for form in (ai, f"({ai})"):
            if data.startswith(form):
                return ai, data[len(form) :].split(FNC1)[0]
    return "", data


def read_scan(data: str) -> Scanned | None:
    """Read what was scanned; None where it is no such coupon.

    Raises
    ------
    ScanError
        It is one, and its digits make no sense.
    """
    ai, text = identifier_of(data)
    if not ai:
        return None
    if len(text) > DIGITS[ai]:
        raise ScanError("too long")
    if not all("0" <= letter <= "9" for letter in text):
        raise ScanError("not a digit")
    coupon, digits = Scanned(ai), Digits(text)
    if ai == "8112":
        digits.one_of("01")
        coupon.prefix = digits.measured(range(7), 6)
        coupon.offer = digits.take(6)
        coupon.serial = digits.measured(range(10), 6)
        if digits.text:
            raise ScanError("too long")
        return coupon
    coupon.prefix = digits.measured(range(7), 6)
    coupon.offer = digits.take(6)
    coupon.save = int(digits.measured(range(1, 6), 0))
    coupon.purchases = [_purchase(digits, coupon.prefix)]
    _optional_fields(coupon, digits)
    if coupon.save_code == 5 and coupon.save > 100:
        raise ScanError("more than everything")
    if coupon.save == 0 and coupon.save_code != 1:
        raise ScanError("nothing")
    if coupon.item >= len(coupon.purchases):
        raise ScanError("no such purchase")
    return coupon


def _purchase(digits: Digits, prefix: str = "") -> Purchase:
    requirement = int(digits.measured(range(1, 6), 0))
    code = digits.one_of(REQUIREMENTS)
    if requirement == 0 and code != 9:
        raise ScanError("nothing to buy")
    return Purchase(prefix, requirement, code, digits.take(3))


def _other_purchase(coupon: Scanned, digits: Digits) -> None:
    found = _purchase(digits)
    if digits.text.startswith("9"):
        digits.take(1)
        found.prefix = coupon.prefix
    else:
        found.prefix = digits.measured(range(7), 6)
    coupon.purchases.append(found)


def _optional_fields(coupon: Scanned, digits: Digits) -> None:
    last = 0
    while digits.text:
        number = int(digits.take(1))
        if number <= last or number not in (1, 2, 3, 4, 5, 6, 9):
            raise ScanError("no such field here")
        if number == 2 and last != 1:
            raise ScanError("a third purchase without a second")
        last = number
        if number == 1:
            coupon.rules = digits.one_of("0123")
            _other_purchase(coupon, digits)
        elif number == 2:
            _other_purchase(coupon, digits)
        elif number == 3:
            coupon.end = _date(digits, last=True)
        elif number == 4:
            coupon.start = _date(digits, last=False)
        elif number == 5:
            coupon.serial = digits.measured(range(10), 6)
        elif number == 6:
            coupon.retailer = digits.measured(range(1, 8), 6)
        else:
            coupon.save_code = digits.one_of(SAVES)
            coupon.item = digits.one_of("012")
            coupon.store = digits.take(1) != "0"
            coupon.multiply = digits.take(1) == "0"


def _date(digits: Digits, *, last: bool) -> str:
    year, month, day = int(digits.take(2)), int(digits.take(2)), int(digits.take(2))
    year += 2000 if year <= 50 else 1900
    if not 1 <= month <= 12:
        raise ScanError("no such month")
    days = calendar.monthrange(year, month)[1]
    if day > days:
        raise ScanError("no such day")
    return f"{year}{month:02}{day or (days if last else 1):02}"


def is_of_kind(coupon: Scanned | None, kind: str) -> bool:
    """Tell whether a coupon is one of the store or of a manufacturer; a bad one is the latter."""
    kind = "manufacturer" if kind == "match" else kind
    return kind == ("store" if coupon is not None and coupon.store else "manufacturer")
