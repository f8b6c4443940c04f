"""What is wrong with a program's files, said so that its author can mend it."""

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from checklane.errors import ChecklaneError

#: A file that is wrong in more places than this is not worth reading to its end.
PROBLEMS_MAX = 1000
#: The gRPC code of a program that cannot be built.
INVALID_ARGUMENT = 3


class Severity(StrEnum):
    """How bad a problem is: an error stops the program, a warning asks for a second look."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong, and where.

    Attributes
    ----------
    file : str
        Path as the author knows it: from the program's directory.
    line, column : int
        From 1; 0 when the whole file is meant.
    what : str
        What is wrong.
    mend : str
        How to mend it.
    severity : Severity
    offer : str
        Id of the offer; empty: of none.
    """

    file: str
    line: int
    column: int
    what: str
    mend: str
    severity: Severity = Severity.ERROR
    offer: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.what}: {self.mend}"


@dataclass
class Problems:
    """Collects problems; looking further after one is the point of it."""

    found: list[Problem] = field(default_factory=list)

    def __iter__(self) -> Iterator[Problem]:
        return iter(sorted(set(self.found)))

    def __len__(self) -> int:
        return len(set(self.found))

    def add(self, problem: Problem) -> None:
        """Keep a problem; past the ceiling only the first ones are kept."""
        if len(self.found) < PROBLEMS_MAX:
            self.found.append(problem)

    @property
    def has_errors(self) -> bool:
        """True when something must be mended before the program can be built."""
        return any(problem.severity is Severity.ERROR for problem in self.found)


class ProgramError(ChecklaneError):
    """The program cannot be built.

    Attributes
    ----------
    problems : list of Problem
        Sorted by place; errors and warnings.
    """

    exit_code = 65

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        errors = [problem for problem in self.problems if problem.severity is Severity.ERROR]
        more = f"\n... and {len(errors) - 20} more" if len(errors) > 20 else ""
        message = "\n".join(map(str, errors[:20])) + more
        super().__init__("PROGRAM_INVALID", message, grpc_code=INVALID_ARGUMENT)


def did_you_mean(word: str, known: Iterable[str], otherwise: str) -> str:
    """Return a remedy that names the known words nearest to `word`, else `otherwise`.

    Parameters
    ----------
    word : str
        What was written.
    known : iterable of str
        What could have been meant.
    otherwise : str
        The remedy when nothing is near.
    """
    by_folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), by_folded, n=3, cutoff=0.6)
    if not near:
        # A last part that fits, such as SOUP of GROCERY/SOUP, is near too.
        ends = [key for key in by_folded if key.rsplit("/", 1)[-1] == word.casefold()]
        near = sorted(ends)[:3]
    if not near:
        return otherwise
    return "did you mean " + " or ".join(f"'{by_folded[key]}'" for key in near) + "?"


def list_names(names: Iterable[str], most: int = 12) -> str:
    """Return names as a reader wants them: sorted, quoted, at most `most`."""
    ordered = sorted(names)
    shown = ", ".join(f"'{name}'" for name in ordered[:most])
    return shown + (f" and {len(ordered) - most} more" if len(ordered) > most else "")
