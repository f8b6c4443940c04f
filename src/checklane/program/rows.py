"""The CSV files beside offers: lists of items, and a price for each item."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import PydanticCustomError

from checklane._layout import LINE_AMOUNT_MAX, LINE_COUNT_MAX
from checklane.program.codes import code_fault
from checklane.program.fields import exact_number, money_example
from checklane.program.problems import Problem, Problems, did_you_mean, list_names
from checklane.program.yaml_tree import read_text

#: Rows of one file. 20,000 member prices in 50 price zones.
ROWS_MAX = 1_000_000


@dataclass(frozen=True)
class Cell:
    """One value of a CSV file and its place."""

    text: str
    line: int
    column: int


@dataclass(frozen=True)
class PriceRow:
    """One row of a price file.

    Attributes
    ----------
    item : Cell
        Product code.
    zone : Cell
        Name of a price zone; empty for all.
    price_minor : int
    units_max : int
        Most units a basket; 0 for no ceiling.
    """

    item: Cell
    zone: Cell
    price_minor: int
    units_max: int


def resolve_file(name: str, beside: Path, root: Path) -> Path | None:
    """Return the file that `name` means beside a file of the program; None when it lies outside."""
    path = (beside / name).resolve()
    return path if path.is_relative_to(root.resolve()) else None


class RowFile:
    """One CSV file with a header."""

    def __init__(self, path: Path, file: str, problems: Problems) -> None:
        self.path = path
        self.file = file
        self.problems = problems

    def refuse(self, line: int, column: int, what: str, mend: str) -> None:
        """Keep a problem of this file."""
        self.problems.add(Problem(self.file, line, column, what, mend))

    def rows(self, columns: tuple[str, ...], needed: tuple[str, ...]) -> list[dict[str, Cell]]:
        """Return the rows as cells by column; a row that does not fit the header is a problem."""
        text = read_text(self.path, self.file, self.problems)
        if text is None:
            return []
        lines = text.splitlines()
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        found: list[dict[str, Cell]] = []
        header: list[str] | None = None
        first = 1
        try:
            for values in reader:
                line, first = first, reader.line_num + 1
                if not any(value.strip() for value in values):
                    continue
                if header is None:
                    header = self.header(values, line, columns, needed)
                    if header is None:
                        return []
                elif len(values) != len(header):
                    what = f"{len(values)} values under {len(header)} columns"
                    self.refuse(line, 1, what, "write one value a column; quote values with commas")
                elif len(found) >= ROWS_MAX:
                    self.refuse(line, 1, f"more than {ROWS_MAX} rows", "split the offer")
                    return found
                else:
                    source = lines[line - 1] if line <= len(lines) else ""
                    found.append(cells(header, values, line, source))
        except csv.Error as error:
            self.refuse(reader.line_num, 1, f"not CSV: {error}", "close the quotes of this row")
        if header is None:
            self.refuse(1, 1, "the file is empty", f"begin with the columns {','.join(columns)}")
        return found

    def header(
        self, values: list[str], line: int, columns: tuple[str, ...], needed: tuple[str, ...]
    ) -> list[str] | None:
        """Return the names of the columns, or None when they do not make sense."""
        names = [value.strip() for value in values]
        good = True
        for at, name in enumerate(names):
            column = 1 + sum(len(value) + 1 for value in values[:at])
            if name not in columns:
                mend = did_you_mean(name, columns, f"the columns are {list_names(columns)}")
                self.refuse(line, column, f"unknown column '{name}'", mend)
                good = False
            elif name in names[:at]:
                self.refuse(line, column, f"the column '{name}' is here twice", "remove one")
                good = False
        for name in needed:
            if name not in names:
                self.refuse(line, 1, f"the column '{name}' is missing", "add it to the first row")
                good = False
        return names if good else None

    def item(self, cell: Cell) -> bool:
        """Tell whether a cell holds a product code; keep a problem when it does not."""
        fault = code_fault(cell.text)
        if fault is not None:
            self.refuse(cell.line, cell.column, *fault)
        return fault is None


def cells(header: list[str], values: list[str], line: int, source: str) -> dict[str, Cell]:
    """Return one row's cells with their places; columns are exact where no value is quoted."""
    found = {}
    column = 1
    for name, value in zip(header, values, strict=True):
        inner = len(value) - len(value.lstrip())
        found[name] = Cell(value.strip(), line, column + inner if '"' not in source else 1)
        column += len(value) + 1
    return found


def read_items(path: Path, file: str, problems: Problems) -> list[Cell]:
    """Return the product codes of an items file."""
    rows = RowFile(path, file, problems)
    return [row["item"] for row in rows.rows(("item",), ("item",)) if rows.item(row["item"])]


def read_families(path: Path, file: str, problems: Problems) -> list[tuple[Cell, int]]:
    """Return the family code of each item of a families file."""
    rows = RowFile(path, file, problems)
    found: list[tuple[Cell, int]] = []
    seen: dict[str, int] = {}
    for row in rows.rows(("item", "family"), ("item", "family")):
        item, family = row["item"], row["family"]
        if not (family.text.isascii() and family.text.isdigit() and len(family.text) == 3):
            what = f"'{family.text}' is no family code"
            rows.refuse(family.line, family.column, what, "write three digits, such as 120")
            continue
        if not rows.item(item):
            continue
        if item.text in seen:
            what = f"'{item.text}' has a family here already, in line {seen[item.text]}"
            rows.refuse(item.line, item.column, what, "keep one of the two rows")
            continue
        seen[item.text] = item.line
        found.append((item, int(family.text)))
    return found


def read_prices(path: Path, file: str, exponent: int, problems: Problems) -> list[PriceRow]:
    """Return the rows of a price file; what cannot be read is a problem.

    Parameters
    ----------
    path : Path
    file : str
        Its name in problems.
    exponent : int
        Decimals of the program's currency.
    problems : Problems
    """
    source = RowFile(path, file, problems)
    found: list[PriceRow] = []
    seen: dict[tuple[str, str], int] = {}
    nothing = Cell("", 0, 0)
    for row in source.rows(("item", "zone", "price", "limit"), ("item", "price")):
        item, zone = row["item"], row.get("zone", nothing)
        price = read_number(source, row["price"], exponent, LINE_AMOUNT_MAX, "a price")
        limit_cell = row.get("limit", nothing)
        limit: int | None = 0
        if limit_cell.text:
            limit = read_number(source, limit_cell, 0, LINE_COUNT_MAX, "a limit")
            if limit == 0:
                mend = "write at least 1, or nothing for no limit"
                source.refuse(limit_cell.line, limit_cell.column, "a limit of 0", mend)
        if not source.item(item) or price is None or limit is None:
            continue
        key = (item.text.lstrip("0") if ":" not in item.text else item.text, zone.text)
        if key in seen:
            what = f"'{item.text}' has a price here already, in line {seen[key]}"
            source.refuse(item.line, item.column, what, "keep one of the two rows")
            continue
        seen[key] = item.line
        found.append(PriceRow(item, zone, price, limit))
    return found


def read_number(source: RowFile, cell: Cell, decimals: int, most: int, what: str) -> int | None:
    """Return a number from 0 to `most`, or None with a problem."""
    example = money_example(decimals) if decimals else "5"
    try:
        number = exact_number(cell.text, decimals, what, example)
    except PydanticCustomError as error:
        context = error.context or {}
        source.refuse(cell.line, cell.column, context["what"], context["mend"])
        return None
    if 0 <= number <= most:
        return number
    mend = f"write {what} from 0 to {most // 10**decimals}"
    source.refuse(cell.line, cell.column, f"'{cell.text}' is out of range", mend)
    return None
