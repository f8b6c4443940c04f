"""Business dates as numbers yyyymmdd, and the days and months that they are."""

from datetime import UTC, date, datetime, timedelta

__all__ = ["DATE_MAX", "DATE_MIN", "date_of_day", "day_of", "is_date", "posted_date"]

DATE_MIN, DATE_MAX = 20000101, 20991231
EPOCH = date(1970, 1, 1)
DAY_MS = 86_400_000


def is_date(number: int) -> bool:
    """Tell whether a number is a business date of the contract."""
    if not DATE_MIN <= number <= DATE_MAX:
        return False
    try:
        date(number // 10000, number // 100 % 100, number % 100)
    except ValueError:
        return False
    return True


def day_of(number: int) -> int:
    """Return the days from 1970-01-01 to a business date."""
    return (date(number // 10000, number // 100 % 100, number % 100) - EPOCH).days


def date_of_day(day: int) -> int:
    """Return the date of a day as yyyymmdd."""
    found = EPOCH + timedelta(days=day)
    return found.year * 10000 + found.month * 100 + found.day


def posted_date(post_unix_ms: int) -> int:
    """Return the UTC date of a post time as yyyymmdd."""
    found = datetime.fromtimestamp(post_unix_ms / 1000, UTC)
    return found.year * 10000 + found.month * 100 + found.day
