"""Holds what a program costs against what it may cost, and names the offers to blame."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from checklane._layout import CANDIDATES_MAX
from checklane.program.cost import Cost
from checklane.program.load import LoadedProgram
from checklane.program.model import CostBudget
from checklane.program.problems import Severity
from checklane.program.worst import Measured

#: Offers that are named for one thing that is too dear.
BLAMED_MAX = 10
#: An offer without which a basket takes a twentieth fewer steps is to blame for them.
CULPRIT_PART = 20
MIB = 1024 * 1024


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


def excesses_of(cost: Cost, budget: CostBudget) -> list[Excess]:
    """Return where the analysis of a program passes its budget."""
    found = []
    product = cost.product
    if product.candidates > budget.product_candidates:
        which = f"product {product.code}" if product.code else "every product"
        what = (
            f"{product.candidates} offers compete for {which}, at one time for one customer;"
            f" {budget.product_candidates} may"
        )
        mend = "narrow what they are for, where, when or for whom they run"
        found.append(Excess("product_candidates", what, mend, product.offers))
    for part in cost.components:
        if budget.component_offers is not None and part.at_once > budget.component_offers:
            what = (
                f"{part.at_once} offers of the {part.layer} layer hang together through products"
                f" that they share; {budget.component_offers} may"
            )
            mend = "give the widest of them a class of its own"
            found.append(Excess("component_offers", what, mend, part.names))
    if cost.table_bytes > budget.table_mib * MIB:
        what = f"the tables take {cost.table_bytes:,} bytes; {budget.table_mib} MiB may be taken"
        found.append(Excess("table_mib", what, "remove offers that have ended", []))
    return found + _basket_excesses(cost, budget)


def _basket_excesses(cost: Cost, budget: CostBudget) -> list[Excess]:
    basket = cost.basket
    limit = budget.basket_candidates
    if basket.candidates <= (CANDIDATES_MAX if limit is None else limit):
        return []
    what = f"{basket.candidates} offers compete in one basket of {basket.lines} lines"
    if limit is not None:
        mend = "narrow what they are for, where, when or for whom they run"
        return [Excess("basket_candidates", f"{what}; {limit} may", mend, cost.product.offers)]
    what += f"; the lanes refuse one with more than {CANDIDATES_MAX}"
    mend = "see that no real basket comes near it: check with --baskets"
    return [Excess("basket_candidates", what, mend, [], Severity.WARNING)]


def measured_excesses(measured: Measured, cost: Cost, budget: CostBudget) -> list[Excess]:
    """Return where measured baskets pass the budget."""
    found = []
    mend = "let them compete for fewer products, or give some a class of their own"
    worst = measured.generated[0] if measured.generated else None
    least = worst.steps // CULPRIT_PART if worst is not None else 0
    culprits = [name for name, fewer in measured.culprits if fewer > least]
    culprits = culprits or [name for name, _ in measured.culprits]
    if worst is not None and budget.steps is not None and worst.steps > budget.steps:
        what = f"a basket takes {worst.steps:,} steps ({worst.basket}); {budget.steps:,} may"
        found.append(Excess("steps", f"{what} be taken", mend, culprits))
    elif worst is not None and worst.steps >= cost.step_budget and not worst.is_exact:
        what = f"a basket uses up the step budget of {cost.step_budget:,} ({worst.basket})"
        bounded = "its decision is bounded, not proven best; set cost.steps to refuse that"
        found.append(Excess("steps", what, bounded, culprits[:1], Severity.WARNING))
    given = measured.given
    if given is None:
        return found
    limit = cost.step_budget - 1 if budget.steps is None else budget.steps
    if given.steps[-1] > limit:
        what = (
            f"line {given.worst_line} of the baskets takes {given.steps[-1]:,} steps; {limit:,} may"
        )
        found.append(Excess("steps", f"{what} be taken", mend, given.competing))
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
