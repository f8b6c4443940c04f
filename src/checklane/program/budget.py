"""Holds what a program costs against what it may cost, and names the offers to blame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from checklane._layout import CANDIDATES_MAX, STEPS_BEYOND
from checklane.program.cost import Cost
from checklane.program.lane_budget import STEP_NS, LaneBudget
from checklane.program.load import LoadedProgram
from checklane.program.model import CostBudget
from checklane.program.problems import Severity
from checklane.program.worst import Given, Measured

#: Offers that are named for one thing that is too dear.
BLAMED_MAX = 10
#: An offer without which a basket takes a twentieth fewer steps is to blame for them.
CULPRIT_PART = 20
MIB = 1024 * 1024
PART = "let them compete for fewer products, or give some a class of their own"
NARROW = "narrow what they are for, where, when or for whom they run"


@dataclass(frozen=True)
class Excess:
    """Something that costs more than it may.

    Attributes
    ----------
    name : str
        The limit, as program.yaml names it.
    what : str
    mend : str
    offers : list of str
        Ids of the offers to blame, worst first. Empty: the program as a whole.
    severity : Severity
    """

    name: str
    what: str
    mend: str
    offers: list[str]
    severity: Severity = Severity.ERROR


def excesses_of(cost: Cost, budget: CostBudget, lane: LaneBudget) -> list[Excess]:
    """Return where the analysis of a program passes its budget."""
    found = []
    product = cost.product
    if product.candidates > budget.product_candidates:
        which = f"product {product.code}" if product.code else "every product"
        what = (
            f"{product.candidates} offers compete for {which}, at one time for one customer;"
            f" {budget.product_candidates} may"
        )
        found.append(Excess("product_candidates", what, NARROW, product.offers))
    for part in cost.components:
        if budget.component_offers is not None and part.at_once > budget.component_offers:
            what = (
                f"{part.at_once} offers of the {part.layer} layer hang together through products"
                f" that they share; {budget.component_offers} may"
            )
            mend = "give the widest of them a class of its own"
            found.append(Excess("component_offers", what, mend, part.names))
    basket = cost.basket
    if basket.candidates > budget.basket_candidates:
        what = f"{basket.candidates} offers compete in one basket of {basket.lines} lines"
        what += f"; {budget.basket_candidates} may"
        if budget.basket_candidates == CANDIDATES_MAX:
            what += ", and the lanes refuse a basket with more"
        mend = f"{NARROW}, or lower cost.basket_lines"
        found.append(Excess("basket_candidates", what, mend, basket.offers))
    if cost.table_bytes > lane.table_mib * MIB:
        what = f"the tables take {cost.table_bytes:,} bytes; {lane.table_mib} MiB may be taken"
        mend = "remove offers that have ended; those named here take the most"
        found.append(Excess("table_mib", what, mend, cost.largest))
    return found + _decision_excesses(cost, lane)


def _decision_excesses(cost: Cost, lane: LaneBudget) -> list[Excess]:
    """Return the one of a decision that may take too long."""
    if cost.decision_us <= lane.decision_us:
        return []
    work = cost.decision
    what = (
        f"deciding {work.lines} lines may take {cost.decision_us:,} µs: {work.told()};"
        f" {lane.decision_us:,} µs may be taken"
    )
    steps_left = work.steps - STEPS_BEYOND - (cost.decision_us - lane.decision_us) * 1000 // STEP_NS
    # What steps do not mend, fewer candidates must.
    if steps_left < 1:
        return [Excess("decision_us", what, NARROW, cost.product.offers)]
    mend = f"lower policies.step_budget to {steps_left:,}, or let fewer offers compete"
    return [Excess("decision_us", what, mend, cost.costliest)]


def measured_excesses(
    measured: Measured, cost: Cost, budget: CostBudget, lane: LaneBudget
) -> list[Excess]:
    """Return where measured baskets pass the budget."""
    found = []
    worst = measured.generated[0] if measured.generated else None
    least = worst.steps // CULPRIT_PART if worst is not None else 0
    culprits = [name for name, fewer in measured.culprits if fewer > least]
    culprits = culprits or [name for name, _ in measured.culprits]
    if worst is not None and budget.steps is not None and worst.steps > budget.steps:
        what = f"a basket takes {worst.steps:,} steps ({worst.basket}); {budget.steps:,} may"
        found.append(Excess("steps", f"{what} be taken", PART, culprits))
    elif worst is not None and worst.steps >= cost.step_budget and not worst.is_exact:
        what = f"a basket uses up the step budget of {cost.step_budget:,} ({worst.basket})"
        bounded = "its decision is bounded, not proven best; set cost.steps to refuse that"
        found.append(Excess("steps", what, bounded, culprits[:1], Severity.WARNING))
    if measured.given is not None:
        found += _given_excesses(measured.given, cost, budget, lane)
    return found


def _given_excesses(given: Given, cost: Cost, budget: CostBudget, lane: LaneBudget) -> list[Excess]:
    found = []
    limit = cost.step_budget - 1 if budget.steps is None else budget.steps
    if given.steps[-1] > limit:
        what = (
            f"line {given.worst_line} of the baskets takes {given.steps[-1]:,} steps; {limit:,} may"
        )
        found.append(Excess("steps", f"{what} be taken", PART, given.competing))
    if given.decision_us > lane.decision_us:
        what = (
            f"deciding line {given.dearest_line} of the baskets may take {given.decision_us:,} µs;"
            f" {lane.decision_us:,} µs may be taken"
        )
        found.append(Excess("decision_us", what, PART, given.dearest_offers))
    if given.refused:
        what = f"{given.refused} of {given.count} given baskets are refused"
        found.append(Excess("basket_candidates", what, "run them by hand to see why", []))
    return found


def blame(loaded: LoadedProgram, excesses: Sequence[Excess]) -> None:
    """Add a problem for every offer to blame, at its place in the files."""
    numbers: Mapping[str, int] = {offer.id: n for n, offer in enumerate(loaded.offers)}
    for excess in excesses:
        what = f"cost.{excess.name}: {excess.what}"
        if not excess.offers:
            loaded.blame(None, (), what, excess.mend, severity=excess.severity)
        for place, name in enumerate(excess.offers[:BLAMED_MAX], start=1):
            more = f" ('{name}' is {place} of {len(excess.offers)})"
            loaded.blame(numbers[name], ("id",), what + more, excess.mend, severity=excess.severity)
