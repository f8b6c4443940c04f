"""How long one decision may keep a lane's thread, and how long a program's dearest one does.

Time is not measured here but reckoned, from counts that are the same on every machine: a program
that one server takes is not refused by the next. `checklane offers check` prints beside it what
this machine took.
"""

from dataclasses import dataclass

from checklane.config import Settings
from checklane.program.model import CostBudget

#: What one of each takes, in nanoseconds, rounded up from what built baskets take on the machine of
#: docs/figures.md: a step of the search 1.2 to 2, a pair of a line and an offer that wants it 30 to
#: 130, a run of alike units 40 to 250 in each round of an offer that stacks.
LINE_NS = 400
CANDIDATE_NS = 300
PAIR_NS = 100
RUN_NS = 250
STEP_NS = 2


@dataclass(frozen=True)
class Work:
    """What one decision has to do.

    Attributes
    ----------
    lines, candidates : int
    wanting : int
        Offers that want one line, at most.
    stacked : int
        Of these, such as stack: each takes from what the one before left, and parts its units.
    steps : int
    """

    lines: int
    candidates: int
    wanting: int
    stacked: int
    steps: int

    @property
    def pairs(self) -> int:
        """Return how many lines the candidates want between them."""
        return self.lines * min(self.wanting, self.candidates)

    @property
    def runs(self) -> int:
        """Return how many runs all rounds see: a round parts a line's units in one run more."""
        rounds = min(self.stacked, self.candidates)
        return self.lines * rounds + self.lines * rounds * rounds // 2

    @property
    def time_us(self) -> int:
        """Return how long it takes, rounded up."""
        time_ns = (
            self.lines * LINE_NS
            + self.candidates * CANDIDATE_NS
            + self.pairs * PAIR_NS
            + self.runs * RUN_NS
            + self.steps * STEP_NS
        )
        return -(-time_ns // 1000)

    def told(self) -> str:
        """Return what makes it take so long, in a few words."""
        stacked = f", {self.stacked} of them stacked," if self.stacked else ""
        return (
            f"{self.steps:,} steps and {self.candidates} candidates{stacked} that want"
            f" {self.pairs:,} times one of {self.lines} lines"
        )


@dataclass(frozen=True)
class LaneBudget:
    """What a program may ask of the lanes.

    Attributes
    ----------
    decision_us : int
        Microseconds of the dearest decision.
    table_mib : int
        Mebibytes of the compiled tables.
    """

    decision_us: int
    table_mib: int


def lane_budget(budget: CostBudget, settings: Settings | None = None) -> LaneBudget:
    """Return a program's own limits, and those of the configuration where it has none.

    Parameters
    ----------
    budget : CostBudget
    settings : Settings, optional
        Of the server that the program is for. Default: every setting as it is by default.
    """
    settings = settings or Settings.model_validate({})
    return LaneBudget(
        decision_us=budget.decision_us or settings.program_decision_us,
        table_mib=budget.table_mib or settings.program_mib,
    )
