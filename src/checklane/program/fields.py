"""The smallest things that a program file says: money, percents, dates, hours, names.

Each is read from the text that was written, never through a binary fraction, and becomes the
integer that the engine counts in.
"""

import re
from datetime import date, timedelta
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic.json_schema import WithJsonSchema
from pydantic_core import PydanticCustomError

from checklane._layout import ID_BYTES_MAX, LINE_AMOUNT_MAX, LINE_MEASURE_MAX

NUMBER = re.compile(r"([-+]?)([0-9]{1,18})(?:\.([0-9]{1,18}))?")
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]*")
DAY = re.compile(r"(20[0-9]{2})-([0-9]{2})-([0-9]{2})")
MINUTE = re.compile(r"(20[0-9]{2}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2})")
CLOCK = re.compile(r"([0-9]{2}):([0-9]{2})")
LOCALE = re.compile(r"[a-z]{2,3}(?:-[A-Z]{2})?")

MINUTES_A_DAY = 24 * 60
EPOCH = date(1970, 1, 1)
TEXT_BYTES_MAX = 256
#: A number of points, visits or goods in a file, before it is judged by what it counts.
NUMBER_MAX = 1_000_000_000
DECIMALS_DEFAULT = 2

T = TypeVar("T")


class Part(BaseModel):
    """A part of a program file: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=False)


def fail(what: str, mend: str, **places: Any) -> NoReturn:
    """Refuse a value: what is wrong with it, and how to mend it."""
    # The message goes through str.format: what the author wrote is data and not a template.
    raise PydanticCustomError("program", "{what}", {"what": what, "mend": mend, **places})


def exact_number(value: Any, decimals: int, what: str, example: str) -> int:
    """Return a number as a count of its `decimals`-th decimal place, exactly.

    Parameters
    ----------
    value : int or str
        As the YAML reader gives it: a number with decimals is text.
    decimals : int
        Decimals that may be written.
    what, example : str
        The name of the quantity and an example of it, for the message.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    match = NUMBER.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        fail(
            f"{shown(value)} is not {what}", f"write digits with a decimal point, such as {example}"
        )
    sign, whole, fraction = match.group(1), match.group(2), match.group(3) or ""
    if len(fraction) > decimals:
        plural = "decimal" if decimals == 1 else "decimals"
        fail(f"{text} has more than {decimals} {plural}", f"write {what} such as {example}")
    number = int(whole + fraction.ljust(decimals, "0"))
    return -number if sign == "-" else number


def shown(value: Any) -> str:
    """Return a value as a message quotes it."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text[:40]}'"


def money_decimals(info: ValidationInfo) -> int:
    """Return the decimals of the program's currency."""
    context = info.context or {}
    return int(context.get("exponent", DECIMALS_DEFAULT))


def money_example(decimals: int) -> str:
    """Return an amount of money with all its decimals."""
    return f"{5 * 10**decimals // 10**decimals}" + (f".{'0' * decimals}" if decimals else "")


def read_money(value: Any, info: ValidationInfo) -> int:
    """Return an amount of money in minor units, from 0 up."""
    decimals = money_decimals(info)
    number = exact_number(value, decimals, "an amount of money", money_example(decimals))
    if number < 0 or number > LINE_AMOUNT_MAX:
        mend = f"write an amount from 0 to {LINE_AMOUNT_MAX // 10**decimals}"
        fail(f"{shown(value)} is out of range", mend)
    return number


def read_unit_money(value: Any, info: ValidationInfo) -> int:
    """Return a price of a unit of measure in thousandths of a minor unit, above 0."""
    decimals = money_decimals(info) + 3
    number = exact_number(value, decimals, "a price of a unit", "0.999")
    if number < 1 or number > LINE_AMOUNT_MAX:
        mend = f"write an amount above 0, at most {LINE_AMOUNT_MAX // 10**decimals}"
        fail(f"{shown(value)} is out of range", mend)
    return number


def read_percent(value: Any) -> int:
    """Return a percentage in basis points, from 0 to 10,000."""
    number = exact_number(value, 2, "a percentage", "12.5")
    if number < 0 or number > 10_000:
        fail(f"{shown(value)} is out of range", "write a percentage from 0 to 100")
    return number


def read_thousandths(value: Any) -> int:
    """Return a measure in thousandths of its unit, above 0."""
    number = exact_number(value, 3, "a measure", "1.5")
    if number < 1 or number > LINE_MEASURE_MAX:
        mend = f"write a number above 0, at most {LINE_MEASURE_MAX // 1000}"
        fail(f"{shown(value)} is out of range", mend)
    return number


def read_factor(value: Any) -> int:
    """Return a factor in basis points, from 1 to 100."""
    number = exact_number(value, 4, "a factor", "2 or 1.5")
    if number < 10_000 or number > 1_000_000:
        fail(f"{shown(value)} is out of range", "write a factor from 1 to 100")
    return number


def read_decimal(value: Any) -> str:
    """Return a number from 0 up as the text that was written; its decimals are judged later."""
    number = exact_number(value, 6, "a number", "10 or 0.5")
    if number < 0 or number > NUMBER_MAX * 10**6:
        fail(f"{shown(value)} is out of range", f"write a number from 0 to {NUMBER_MAX}")
    return str(value)


def read_text(value: Any) -> str:
    """Return a text; numbers are texts too, as they were written."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        fail(f"{shown(value)} is not a text", "write a word or a text in quotes")
    text = str(value)
    size = len(text.encode("utf-8", "surrogatepass"))
    if size == 0 or size > TEXT_BYTES_MAX:
        fail(f"a text of {size} bytes", f"write 1 to {TEXT_BYTES_MAX} bytes")
    return text


def read_name(value: Any) -> str:
    """Return a name of something that is defined elsewhere, such as a store or a brand."""
    text = read_text(value)
    if len(text.encode()) > ID_BYTES_MAX * 4:
        fail("a name that is too long", f"write at most {ID_BYTES_MAX * 4} bytes")
    return text


def read_id(value: Any) -> str:
    """Return an id that this program defines."""
    text = read_text(value)
    if ID.fullmatch(text) is None or len(text) > ID_BYTES_MAX:
        fail(
            f"{shown(value)} is not an id",
            f"write letters, digits, '-', '_', '.' or ':', at most {ID_BYTES_MAX}",
        )
    return text


def read_day(value: Any) -> int:
    """Return a date as days since 1970-01-01."""
    match = DAY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        fail(f"{shown(value)} is not a date", "write year-month-day, such as 2026-12-31")
    year, month, day = (int(part) for part in match.groups())
    try:
        return (date(year, month, day) - EPOCH).days
    except ValueError:
        fail(f"{value} is not in the calendar", "correct the month or the day")


def read_clock(value: Any) -> int:
    """Return a time of day as minutes since midnight; 24:00 is the end of the day."""
    match = CLOCK.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        fail(f"{shown(value)} is not a time of day", "write hours and minutes, such as 08:30")
    minutes = int(match.group(1)) * 60 + int(match.group(2))
    if int(match.group(2)) > 59 or minutes > MINUTES_A_DAY:
        fail(f"{value} is not on the clock", "write a time from 00:00 to 24:00")
    return minutes


def read_begin(value: Any) -> int:
    """Return a time of day at which something begins: before the end of the day."""
    minutes = read_clock(value)
    if minutes == MINUTES_A_DAY:
        fail("nothing begins at 24:00", "write 00:00")
    return minutes


def read_from(value: Any) -> int:
    """Return a beginning as minutes since 1970-01-01T00:00 local; a date begins at midnight."""
    match = MINUTE.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        return read_day(match.group(1)) * MINUTES_A_DAY + read_clock(match.group(2))
    return read_day(value) * MINUTES_A_DAY


def read_until(value: Any) -> int:
    """Return an end, exclusive; a date is included to its midnight."""
    is_date = isinstance(value, str) and DAY.fullmatch(value) is not None
    return read_from(value) + (MINUTES_A_DAY if is_date else 0)


def read_texts(value: Any, info: ValidationInfo) -> dict[str, str]:
    """Return a text by locale; a bare text is in the program's own locale."""
    if not isinstance(value, dict):
        value = {str((info.context or {}).get("locale", "en")): value}
    for locale in value:
        if LOCALE.fullmatch(str(locale)) is None:
            fail(f"'{locale}' is not a locale", "write a language such as en, or fr-CA")
    if not value:
        fail("a text without a locale", "write the text, or {en: text}")
    return {str(locale): read_text(text) for locale, text in value.items()}


def listed(value: T | list[T]) -> list[T]:
    """Return a list; one value stands for a list of one."""
    return value if isinstance(value, list) else [value]


def one_or_more(item: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of one value or a list of them."""
    return {"anyOf": [item, {"type": "array", "items": item, "minItems": 1}]}


NUMBER_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"},
    ]
}
TEXT_SCHEMA: dict[str, Any] = {
    "anyOf": [{"type": "string", "minLength": 1}, {"type": "number"}],
}
ID_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string", "pattern": f"^{ID.pattern}$", "maxLength": ID_BYTES_MAX},
        {"type": "integer"},
    ]
}
DAY_SCHEMA: dict[str, Any] = {"type": "string", "pattern": f"^{DAY.pattern}$"}
MINUTE_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": r"^20[0-9]{2}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2})?$",
}
TEXTS_SCHEMA: dict[str, Any] = {
    "anyOf": [
        *TEXT_SCHEMA["anyOf"],
        {
            "type": "object",
            "patternProperties": {f"^{LOCALE.pattern}$": TEXT_SCHEMA},
            "additionalProperties": False,
            "minProperties": 1,
        },
    ]
}

#: Minor units, from 0.
Money = Annotated[int, BeforeValidator(read_money), WithJsonSchema(NUMBER_SCHEMA)]
#: Thousandths of a minor unit, from 1.
UnitMoney = Annotated[int, BeforeValidator(read_unit_money), WithJsonSchema(NUMBER_SCHEMA)]
#: Basis points, 0 to 10,000.
Percent = Annotated[int, BeforeValidator(read_percent), WithJsonSchema(NUMBER_SCHEMA)]
#: Thousandths of a unit of measure, from 1.
Thousandths = Annotated[int, BeforeValidator(read_thousandths), WithJsonSchema(NUMBER_SCHEMA)]
#: Basis points, 10,000 to 1,000,000.
Factor = Annotated[int, BeforeValidator(read_factor), WithJsonSchema(NUMBER_SCHEMA)]
#: Digits as written: the purse says how many decimals there may be.
Points = Annotated[str, BeforeValidator(read_decimal), WithJsonSchema(NUMBER_SCHEMA)]
Name = Annotated[str, BeforeValidator(read_name), WithJsonSchema(TEXT_SCHEMA)]
Names = Annotated[
    list[Name],
    BeforeValidator(listed),
    Field(min_length=1),
    WithJsonSchema(one_or_more(TEXT_SCHEMA)),
]
Id = Annotated[str, BeforeValidator(read_id), WithJsonSchema(ID_SCHEMA)]
Ids = Annotated[
    list[Id],
    BeforeValidator(listed),
    Field(min_length=1),
    WithJsonSchema(one_or_more(ID_SCHEMA)),
]
#: Days since 1970-01-01.
Day = Annotated[int, BeforeValidator(read_day), WithJsonSchema(DAY_SCHEMA)]
Days = Annotated[
    list[Day],
    BeforeValidator(listed),
    Field(min_length=1),
    WithJsonSchema(one_or_more(DAY_SCHEMA)),
]
#: Minutes since midnight.
Clock = Annotated[
    int,
    BeforeValidator(read_clock),
    WithJsonSchema({"type": "string", "pattern": f"^{CLOCK.pattern}$"}),
]
ClockBegin = Annotated[
    int,
    BeforeValidator(read_begin),
    WithJsonSchema({"type": "string", "pattern": f"^{CLOCK.pattern}$"}),
]
#: Minutes since 1970-01-01T00:00, local.
From = Annotated[int, BeforeValidator(read_from), WithJsonSchema(MINUTE_SCHEMA)]
Until = Annotated[int, BeforeValidator(read_until), WithJsonSchema(MINUTE_SCHEMA)]
Texts = Annotated[dict[str, str], BeforeValidator(read_texts), WithJsonSchema(TEXTS_SCHEMA)]
Flag = Annotated[bool, Field(strict=True)]
Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]
#: Units that one application takes in one place.
Units = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]


def day_text(day: int) -> str:
    """Return days since 1970-01-01 as year-month-day."""
    return (EPOCH + timedelta(days=day)).isoformat()


def minute_text(minute: int) -> str:
    """Return local minutes since 1970-01-01T00:00 as a date and a time."""
    day, rest = divmod(minute, MINUTES_A_DAY)
    return f"{day_text(day)} {rest // 60:02}:{rest % 60:02}"
