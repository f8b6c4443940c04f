"""``checklane offers``: program files before they go live."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table as Grid

from checklane.program import (
    CheckReport,
    Problem,
    ProgramError,
    Severity,
    check_path,
    export_schema,
    load_program,
)
from checklane.program.problems import did_you_mean, list_names
from checklane.program.report import OfferLine, window_text
from checklane.tables.catalogue_tables import CatalogueTables, open_catalogue

__all__ = ["offers"]

PROGRAM_PATH = click.Path(exists=True, file_okay=False, path_type=Path)
WIDTH_WITHOUT_TERMINAL = 100


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def offers() -> None:
    """Check program files, and say what is wrong with them and what they cost.

    A program is a directory: program.yaml names the money, purses, tiers, segments and policies;
    offers/*.yaml are lists of offers; CSV files beside them hold items and prices. A first offer:

    \b
      - id: pasta-20
        name: 20 % off pasta
        when: {from: 2026-01-01, until: 2026-01-31}
        discount: {of: {category: GROCERY/PASTA}, percent: 20}

    The way of a change: edit, `checklane offers check`, review, `checklane snapshot build program`,
    `checklane snapshot activate`. The JSON Schema (`checklane offers schema --out DIR`) lets an
    editor complete and explain every key.
    """  # noqa: D301 - click needs the character


@offers.command("check")
@click.argument("path", type=PROGRAM_PATH)
@click.option(
    "--catalogue",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A catalogue snapshot (catalogue-<hash>.lmdb). With it products, stores and price zones "
    "are looked up, and reach and cost are told.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one object on standard output, for a build server.",
)
def check_command(path: Path, catalogue: Path | None, style: str) -> None:
    """Check the program at PATH: every problem with file, line, column and remedy.

    \b
    Exit status  0  the program can be built (there may be warnings)
                 1  there are errors
                 2  the command line is wrong

    Without errors a table of the offers follows: mechanic, layer, how many products are reached,
    and when the offer runs.
    """  # noqa: D301 - click needs the character
    tables = open_catalogue(catalogue) if catalogue is not None else None
    report = check_path(path, tables)
    if style == "json":
        click.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        print_report(report, tables)
    raise SystemExit(0 if report.is_good else 1)


@offers.command("schema")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Directory for program.schema.json and offers.schema.json. Default: standard output.",
)
def schema_command(out: Path | None) -> None:
    """Print or write the JSON Schema of program files.

    Editors with a YAML language server take it from a first line such as

    \b
      # yaml-language-server: $schema=../offers.schema.json
    """  # noqa: D301 - click needs the character
    schemas = export_schema()
    if out is None:
        click.echo(json.dumps(schemas, indent=2, ensure_ascii=False))
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, schema in schemas.items():
        file = out / name
        file.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        click.echo(str(file))


@offers.command("show")
@click.argument("path", type=PROGRAM_PATH)
@click.argument("offer_id")
def show_command(path: Path, offer_id: str) -> None:
    """Show one offer of the program at PATH: where it stands, and all that holds for it."""
    try:
        loaded = load_program(path)
    except ProgramError as error:
        print_problems(error.problems)
        raise SystemExit(1) from None
    numbers = [number for number, offer in enumerate(loaded.offers) if offer.id == offer_id]
    if not numbers:
        known = [offer.id for offer in loaded.offers]
        raise click.ClickException(f"no offer '{offer_id}': {nearest(offer_id, known)}")
    number = numbers[0]
    offer, source = loaded.offers[number], loaded.sources[number]
    first, _ = source.tree.place((source.index,))
    text = (path / source.file).read_text(encoding="utf-8").splitlines()
    last = end_of_offer(text, first)
    console = terminal()
    grid = Grid(show_header=False, box=None, padding=(0, 2, 0, 0))
    grid.add_row("offer", f"[bold]{escape(offer.id)}[/bold], version {offer.version}")
    grid.add_row("stands in", escape(f"{source.file}:{first}"))
    grid.add_row("mechanic", f"{offer.mechanic}, {offer.layer_name} layer, class {offer.class_}")
    grid.add_row("runs", escape(window_text(offer.when)))
    grid.add_row("for", "members only" if offer.for_members_only else offer.who.members)
    payers = [f"{share.funder} {share.percent / 100:g} %" for share in offer.funding or []]
    grid.add_row("paid by", escape(", ".join(payers) or "retailer 100 %"))
    console.print(grid)
    console.print()
    lines = "\n".join(text[first - 1 : last])
    console.print(Syntax(lines, "yaml", line_numbers=True, start_line=first, word_wrap=True))


def nearest(name: str, known: list[str]) -> str:
    """Return what may have been meant."""
    return did_you_mean(name, known, f"the program has {list_names(known)}")


def end_of_offer(text: list[str], first: int) -> int:
    """Return the last line of the list item that begins in line `first`, from 1."""
    dash = len(text[first - 1]) - len(text[first - 1].lstrip())
    last = first
    for number in range(first + 1, len(text) + 1):
        line = text[number - 1]
        if line.strip() and len(line) - len(line.lstrip()) <= dash:
            break
        last = number if line.strip() else last
    return last


def terminal() -> Console:
    """Return standard output, with a fixed width where it is no terminal."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH_WITHOUT_TERMINAL)


def print_problems(problems: list[Problem]) -> None:
    """Print problems one a line, in the form that editors jump to."""
    for problem in problems:
        color = "red" if problem.severity is Severity.ERROR else "yellow"
        place = f"{problem.file}:{problem.line}:{problem.column}"
        label = click.style(problem.severity.value, fg=color, bold=True)
        click.echo(f"{click.style(place, bold=True)}: {label}: {problem.what}: {problem.mend}")


def print_report(report: CheckReport, catalogue: CatalogueTables | None) -> None:
    """Print problems, offers and cost."""
    console = terminal()
    print_problems(report.problems)
    errors = sum(problem.severity is Severity.ERROR for problem in report.problems)
    warnings = len(report.problems) - errors
    if report.is_good:
        console.print(offer_grid(report.offers))
        if catalogue is None:
            console.print("Products and stores were not looked up: name a --catalogue.")
    if report.cost is not None:
        cost = report.cost
        console.print(
            f"cost: at most {cost.candidates_max} candidate slots for a product;"
            f" {cost.offers:,} offers, {cost.slots:,} slots, {cost.classes:,} classes of products,"
            f" {cost.postings:,} postings, tables of {cost.table_bytes:,} bytes",
            highlight=False,
        )
    verdict = "[green]good[/green]" if report.is_good else "[red]not good[/red]"
    name = escape(report.program) or "the program"
    console.print(f"{name}: {verdict}, {errors} errors, {warnings} warnings", highlight=False)


def offer_grid(lines: list[OfferLine]) -> Grid:
    """Return the table of offers."""
    grid = Grid("offer", "mechanic", "layer", "products", "runs", "stands in")
    grid.columns[3].justify = "right"
    for column in grid.columns:
        column.overflow = "fold"
    for line in lines:
        reach = {None: "-", -1: "all"}.get(line.reach, f"{line.reach:,}" if line.reach else "none")
        grid.add_row(escape(line.id), line.mechanic, line.layer, reach, line.window, line.place)
    return grid
