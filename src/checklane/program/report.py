"""What ``checklane offers check`` tells: problems, a line for each offer, and the cost."""

import json
from collections import defaultdict
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from checklane.config import Settings
from checklane.program.budget import blame, excesses_of, measured_excesses
from checklane.program.checks import Attachments, check_program
from checklane.program.compile import Compiled, Tables, compile_checked, compile_loaded, in_order
from checklane.program.cost import Analysis, Cost
from checklane.program.fields import MINUTES_A_DAY, day_text, minute_text
from checklane.program.lane_budget import LaneBudget, lane_budget
from checklane.program.load import LoadedProgram, load_program
from checklane.program.model import CostBudget, Discount, Offer, When
from checklane.program.problems import Problem, ProgramError, Severity
from checklane.program.worst import Measured
from checklane.tables.catalogue_tables import CatalogueTables

#: Keys that do not change for whom, where, when and on what an offer applies.
WORDING = {"id", "version", "name", "receipt", "cashier", "near_miss", "priority", "funding"}


@dataclass(frozen=True)
class OfferLine:
    """One offer in short.

    Attributes
    ----------
    id, mechanic, layer, window : str
    reach : int or None
        Products that it touches; -1: every product; None: not known without a catalogue.
    place : str
        File and line.
    """

    id: str
    mechanic: str
    layer: str
    reach: int | None
    window: str
    place: str


@dataclass
class CheckReport:
    """The outcome of a check.

    Attributes
    ----------
    program : str
        Id of the program; empty when its file could not be read.
    problems : list of Problem
        Sorted by place.
    offers : list of OfferLine
        Sorted by id; only when there are no errors.
    cost : Cost or None
        Only with a catalogue and without errors.
    measured : Measured or None
        Only where baskets were decided.
    """

    program: str = ""
    problems: list[Problem] = field(default_factory=list)
    offers: list[OfferLine] = field(default_factory=list)
    cost: Cost | None = None
    measured: Measured | None = None

    @property
    def is_good(self) -> bool:
        """True when the program can be built."""
        return all(problem.severity is not Severity.ERROR for problem in self.problems)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        return {"good": self.is_good, **asdict(self)}


@dataclass
class Checked:
    """A report, and what it was made from.

    Attributes
    ----------
    report : CheckReport
    loaded : LoadedProgram or None
        None when the program file could not be read.
    compiled : Compiled or None
        Only with a catalogue and without errors.
    analysis : Analysis or None
        The same.
    """

    report: CheckReport
    loaded: LoadedProgram | None = None
    compiled: Compiled | None = None
    analysis: Analysis | None = None

    def add_measured(self, measured: Measured, budget: CostBudget, lane: LaneBudget) -> None:
        """Add what deciding baskets took, and hold it against the budget."""
        assert self.loaded is not None
        assert self.report.cost is not None
        self.report.measured = measured
        blame(self.loaded, measured_excesses(measured, self.report.cost, budget, lane))
        self.report.problems = list(self.loaded.problems)


def check_path(path: Path, catalogue: CatalogueTables | None = None) -> CheckReport:
    """Check a program's directory and collect every problem.

    Parameters
    ----------
    path : Path
    catalogue : CatalogueTables, optional
        Without one, products and stores are not looked up, and reach and cost are not known.

    Returns
    -------
    CheckReport
    """
    return check_whole(path, catalogue).report


def check_whole(
    path: Path,
    catalogue: CatalogueTables | None,
    budget: CostBudget | None = None,
    settings: Settings | None = None,
) -> Checked:
    """Check as `check_path` does, and keep what was made on the way.

    Parameters
    ----------
    path : Path
    catalogue : CatalogueTables or None
    budget : CostBudget, optional
        Instead of the program's own.
    settings : Settings, optional
        Of the server that the program is for.
    """
    try:
        loaded = load_program(path)
    except ProgramError as error:
        return Checked(CheckReport(problems=error.problems))
    report = CheckReport(program=loaded.program.program)
    checked = Checked(report, loaded)
    attachments = check_program(loaded, catalogue)
    warn_of_shadows(loaded)
    compiled = None
    if catalogue is not None and not loaded.problems.has_errors:
        compiled = compile_with_warnings(loaded, attachments, catalogue)
    if catalogue is not None and compiled is not None:
        checked.compiled = compiled
        checked.analysis = analyse(loaded, compiled, catalogue, budget, settings)
        report.cost = checked.analysis.cost
    report.problems = list(loaded.problems)
    if not loaded.problems.has_errors or compiled is not None:
        report.offers = offer_lines(loaded, compiled)
    return checked


def analyse(
    loaded: LoadedProgram,
    compiled: Compiled,
    catalogue: CatalogueTables,
    budget: CostBudget | None = None,
    settings: Settings | None = None,
) -> Analysis:
    """Work out what a compiled program costs at worst; keep a problem where that is too much."""
    budget = budget if budget is not None else loaded.program.cost
    ids = [offer.id for offer in in_order(loaded.offers)]
    analysis = Analysis(compiled, ids, budget, catalogue)
    blame(loaded, excesses_of(analysis.cost, budget, lane_budget(budget, settings)))
    return analysis


def compile_within(
    path: Path, catalogue: CatalogueTables, settings: Settings | None = None
) -> Tables:
    """Compile a program's directory for publication: one that costs too much is refused.

    Parameters
    ----------
    path : Path
    catalogue : CatalogueTables
    settings : Settings, optional
        Of the server that the program is for.

    Returns
    -------
    dict of str to Table, numpy.ndarray or bytes
        As `compile_program` returns them.

    Raises
    ------
    ProgramError
        Names every problem.
    """
    loaded, compiled = compile_checked(path, catalogue)
    analyse(loaded, compiled, catalogue, settings=settings)
    if loaded.problems.has_errors:
        raise ProgramError(loaded.problems)
    return compiled.tables


def compile_with_warnings(
    loaded: LoadedProgram, attachments: Attachments, catalogue: CatalogueTables
) -> Compiled | None:
    """Compile; warn of offers without products."""
    try:
        compiled = compile_loaded(loaded, attachments, catalogue)
    except ProgramError:
        return None
    for number, offer in enumerate(loaded.offers):
        if compiled.reach[offer.id] == 0:
            what = "the offer can never apply: no product of the catalogue fits"
            loaded.warn(number, (offer.mechanic,), what, "widen its selector")
    return compiled


def warn_of_shadows(loaded: LoadedProgram) -> None:
    """Warn of a discount that a better one on exactly the same terms always beats."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, offer in enumerate(loaded.offers):
        discount = offer.discount
        if discount is None or offer.stackable or offer.limits.model_fields_set:
            continue
        if offer.coupon is not None or offer.chosen or offer.wallet or offer.control_percent:
            continue
        terms = offer.model_dump(mode="json", exclude=WORDING | {"discount"})
        terms["of"] = discount.of.model_dump(mode="json")
        terms["reward"] = reward_of(discount)[0]
        folder = str(loaded.sources[number].folder) if loaded.sources else ""
        groups[folder + json.dumps(terms, sort_keys=True)].append(number)
    for numbers in groups.values():
        if len(numbers) > 1:
            best = max(numbers, key=lambda number: strength(loaded.offers[number]))
            for number in numbers:
                if number != best:
                    what = (
                        f"offer '{loaded.offers[best].id}' is at least as good on the same terms"
                        f" ({loaded.place_of(best)}): this one will hardly ever apply"
                    )
                    loaded.warn(number, ("id",), what, "remove one, or change its terms")


def reward_of(discount: Discount) -> tuple[str, int]:
    """Return kind and value of a discount's reward."""
    if discount.percent is not None:
        return "percent", discount.percent
    if discount.amount is not None:
        return "amount", discount.amount
    return "price", discount.price or 0


def strength(offer: Offer) -> tuple[int, int]:
    """Return what orders discounts on the same terms: the better one is greater."""
    if offer.discount is None:
        return 0, offer.priority
    kind, value = reward_of(offer.discount)
    return (-value if kind == "price" else value), offer.priority


def offer_lines(loaded: LoadedProgram, compiled: Compiled | None) -> list[OfferLine]:
    """Return each offer in short, by id."""
    lines = [
        OfferLine(
            id=offer.id,
            mechanic=offer.mechanic,
            layer=offer.layer_name,
            reach=compiled.reach[offer.id] if compiled is not None else None,
            window=window_text(offer.when),
            place=loaded.place_of(number),
        )
        for number, offer in enumerate(loaded.offers)
    ]
    return sorted(lines, key=lambda line: line.id.encode())


def window_text(when: When) -> str:
    """Return when an offer runs, in a few words."""
    words = []
    if when.from_ is not None:
        words.append(f"from {bound_text(when.from_)}")
    if when.until is not None:
        whole_days = when.until % MINUTES_A_DAY == 0
        last = day_text(when.until // MINUTES_A_DAY - 1) if whole_days else minute_text(when.until)
        words.append(f"until {last}")
    words.extend(day[:3] for day in when.weekdays or [])
    words.extend(f"{clock_text(span.from_)}-{clock_text(span.until)}" for span in when.hours or [])
    return " ".join(words) or "always"


def bound_text(minute: int) -> str:
    """Return a beginning as a date, with its time when it is not midnight."""
    return minute_text(minute) if minute % MINUTES_A_DAY else day_text(minute // MINUTES_A_DAY)


def clock_text(minutes: int) -> str:
    """Return minutes since midnight as a time of day."""
    return f"{minutes // 60:02}:{minutes % 60:02}"
