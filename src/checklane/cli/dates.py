"""A business date as people write it on the command line."""

from typing import Any

import click

from checklane.books.dates import is_date

__all__ = ["BusinessDate"]


class BusinessDate(click.ParamType[int]):
    """A business date: 2026-03-04 or 20260304."""

    name = "date"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Return the date as yyyymmdd."""
        digits = str(value).replace("-", "")
        if not digits.isdecimal() or not is_date(int(digits)):
            self.fail(f"{value} is no date: write 2026-03-04", param, ctx)
        return int(digits)
