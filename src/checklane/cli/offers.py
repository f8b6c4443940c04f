"""``checklane offers``: program files before they go live."""

import json
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table as Grid

from checklane._layout import CANDIDATES_MAX
from checklane.cli.settings import configuration
from checklane.program import (
    CheckReport,
    Problem,
    ProgramError,
    Severity,
    export_schema,
    load_program,
)
from checklane.program.cost import Cost
from checklane.program.lane_budget import lane_budget
from checklane.program.load import load_program_file
from checklane.program.model import CostBudget
from checklane.program.problems import did_you_mean, list_names
from checklane.program.report import Checked, OfferLine, check_whole, window_text
from checklane.program.worst import Measured
from checklane.tables.catalogue_tables import CatalogueTables, open_catalogue

__all__ = ["offers"]

PROGRAM_PATH = click.Path(exists=True, file_okay=False, path_type=Path)
WIDTH_WITHOUT_TERMINAL = 100
BUDGET_COUNT = click.IntRange(1, CANDIDATES_MAX)
COUNT = click.IntRange(min=1)
NAMES_TOLD = 8
MEASURES_TOLD = 8


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
    "are looked up, reach and cost are told, and baskets are decided.",
)
@click.option(
    "--baskets",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Real baskets to decide: a QuoteBasketRequest in JSON a line. Identified ones come with "
    "the card of one member, who holds wallet offers as cost.wallet_offers says.",
)
@click.option(
    "--measure/--no-measure",
    "is_measured",
    default=True,
    show_default=True,
    help="Decide baskets that are built to be dear. Needs a --catalogue.",
)
@click.option(
    "--climb",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="Decisions spent on making the worst of them worse.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the built baskets.")
@click.option("--max-product-candidates", type=BUDGET_COUNT, help="cost.product_candidates.")
@click.option("--max-basket-candidates", type=BUDGET_COUNT, help="cost.basket_candidates.")
@click.option("--max-component-offers", type=COUNT, help="cost.component_offers.")
@click.option("--max-steps", type=COUNT, help="cost.steps.")
@click.option("--max-decision-us", type=COUNT, help="cost.decision_us.")
@click.option("--max-table-mib", type=COUNT, help="cost.table_mib.")
@click.option(
    "--config",
    "config_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The server's settings: program_decision_us and program_mib hold where neither the "
    "program nor an option says otherwise.",
)
@click.option(
    "--format",
    "style",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one object on standard output, for a build server.",
)
def check_command(
    path: Path,
    catalogue: Path | None,
    baskets: Path | None,
    is_measured: bool,
    climb: int,
    seed: int,
    style: str,
    config_file: Path | None,
    **limits: int | None,
) -> None:
    """Check the program at PATH: every problem with file, line, column and remedy.

    \b
    Exit status  0  the program can be built (there may be warnings)
                 1  there are errors, or it costs more than it may
                 2  the command line is wrong

    Without errors a table of the offers follows: mechanic, layer, how many products are reached,
    and when the offer runs; with a catalogue also what the program costs at worst. What it may cost
    stands in program.yaml under `cost`, or else in the server's settings; options that begin with
    --max say otherwise for one check.
    """  # noqa: D301 - click needs the character
    if baskets is not None and catalogue is None:
        raise click.UsageError("--baskets needs a --catalogue")
    tables = open_catalogue(catalogue) if catalogue is not None else None
    budget = budget_of(path, limits)
    settings = configuration(config_file, {}).settings
    checked = check_whole(path, tables, budget, settings)
    if (
        budget is not None
        and catalogue is not None
        and tables is not None
        and (is_measured or baskets is not None)
    ):
        measured = measure_checked(path, checked, (catalogue, tables), budget, baskets, climb, seed)
        if measured is not None:
            checked.add_measured(measured, budget, lane_budget(budget, settings))
    report = checked.report
    if style == "json":
        click.echo(json.dumps(report.as_json(), indent=2, ensure_ascii=False))
    else:
        print_report(report, tables)
    raise SystemExit(0 if report.is_good else 1)


def budget_of(path: Path, limits: Mapping[str, int | None]) -> CostBudget | None:
    """Return the budget of a program with what options say otherwise; None: it has no file."""
    try:
        budget = load_program_file(path).cost
    except ProgramError:
        return None
    given = {name.removeprefix("max_"): n for name, n in limits.items() if n is not None}
    return budget.model_copy(update=given)


def measure_checked(
    path: Path,
    checked: Checked,
    catalogue: tuple[Path, CatalogueTables],
    budget: CostBudget,
    baskets: Path | None,
    climb: int,
    seed: int,
) -> Measured | None:
    """Decide baskets of a program that could be compiled; None: of another there is nothing."""
    # The engine and the feeds are loaded only where baskets are decided.
    from checklane.cli.measuring import measure

    if checked.loaded is None or checked.compiled is None or checked.analysis is None:
        return None
    return measure(
        path,
        checked.loaded,
        checked.compiled,
        checked.analysis,
        catalogue,
        budget=budget,
        given=baskets,
        climb=climb,
        seed=seed,
    )


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
    if report.offers:
        console.print(offer_grid(report.offers))
        if catalogue is None:
            console.print("Products and stores were not looked up: name a --catalogue.")
    if report.cost is not None:
        print_cost(console, report.cost)
    if report.measured is not None:
        print_measured(console, report.measured)
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


def print_cost(console: Console, cost: Cost) -> None:
    """Print what the analysis found."""
    grid = Grid("cost at worst", "", show_header=True, box=None, padding=(0, 2, 0, 0))
    product, basket = cost.product, cost.basket
    which = product.code or "any"
    like = f" and {product.products - 1:,} like it" if product.products > 1 else ""
    grid.add_row(
        "candidates of a product",
        f"{product.candidates}{bound_text(product.candidates, product.at_most)}:"
        f" product {which}{like}, by {escape(short(product.offers))}",
    )
    past = f"; past {CANDIDATES_MAX} from {basket.ceiling_lines} lines on"
    grid.add_row(
        f"candidates of {basket.lines} lines",
        f"{basket.candidates}{bound_text(basket.candidates, basket.at_most)}"
        + (past if basket.ceiling_lines else ""),
    )
    grid.add_row(
        "components",
        f"{cost.component_count:,} of two offers and more; {cost.competing:,} of"
        f" {cost.offers:,} offers are in them",
    )
    for part in cost.components:
        reach = "every product" if part.products < 0 else f"{part.products:,} products"
        grid.add_row(
            "",
            f"{part.layer} layer, class {part.class_order}: {part.offers:,} offers,"
            f" {part.at_once:,} at once, {reach}: {escape(short(part.names, part.at_once))}",
        )
    grid.add_row("step budget", f"{cost.step_budget:,}")
    grid.add_row("a decision", f"{cost.decision_us:,} µs: {cost.decision.told()}")
    grid.add_row(
        "memory",
        f"{cost.table_bytes:,} bytes of tables: {cost.slots:,} slots, {cost.classes:,} classes of"
        f" products, {cost.postings:,} postings",
    )
    console.print(grid, highlight=False)


def print_measured(console: Console, measured: Measured) -> None:
    """Print what deciding baskets took."""
    if measured.generated:
        grid = Grid("built basket", "lines", "steps", "best deal", "µs here", "may take")
        for column in (1, 2, 4, 5):
            grid.columns[column].justify = "right"
        for found in measured.generated[:MEASURES_TOLD]:
            lines = f"{found.lines}"
            if found.refused_lines:
                lines += f" ({found.refused_lines} refused)"
            proof = "proven" if found.is_exact else f"within {found.gap_minor}"
            took, may_take = f"{found.time_ns / 1000:,.0f}", f"{found.decision_us:,}"
            grid.add_row(escape(found.basket), lines, f"{found.steps:,}", proof, took, may_take)
        console.print(grid, highlight=False)
    told = [f"{name} {fewer:,}" for name, fewer in measured.culprits if fewer > 0]
    if told:
        text = f"steps of the first that go with one offer: {short(told)}"
        console.print(escape(text), highlight=False)
    given = measured.given
    if given is not None:
        steps = " / ".join(f"{n:,}" for n in given.steps)
        times = " / ".join(f"{n / 1000:,.0f}" for n in given.time_ns)
        console.print(
            f"given baskets: {given.count:,}, {given.refused:,} refused, {given.exact:,} proven;"
            f" p50 / p99 / most: {steps} steps, {times} µs; most steps in line {given.worst_line};"
            f" {given.decision_us:,} µs may be taken by line {given.dearest_line}",
            highlight=False,
        )


def bound_text(found: int, at_most: int) -> str:
    """Return what is said of a bound that was not reached."""
    return f" (at most {at_most:,})" if at_most > found else ""


def short(names: list[str], count: int = 0) -> str:
    """Return the first of some names, and how many more there are."""
    more = max(count, len(names)) - NAMES_TOLD
    return ", ".join(names[:NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")
