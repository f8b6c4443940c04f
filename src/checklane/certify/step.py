"""What a step is: phases with a mood of the service, our own way through them, and a judge."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from checklane.certify.door import Fault
from checklane.certify.judge import entered_once, fair
from checklane.certify.player import Player
from checklane.certify.record import Evidence

__all__ = ["NotOfferedError", "Phase", "Step"]


class NotOfferedError(Exception):
    """The service does not serve what a step needs; the message says what."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a step, with the service in one mood.

    Attributes
    ----------
    say : str
        What the cashier does.
    faults : tuple of Fault
    is_away : bool
        Whether nobody answers meanwhile.
    note : str
        What the picture says at its beginning. Default: nothing.
    """

    say: str
    faults: tuple[Fault, ...] = ()
    is_away: bool = False
    note: str = ""


class Step(ABC):
    """One step.

    Attributes
    ----------
    name : str
        As commands and pictures name it.
    title : str
    broken : str
        What the lane of `--break` does wrong.
    phases : tuple of Phase
    is_for_lanes : bool
        Whether somebody else's lane can be asked to do it. Otherwise it is about the service.
    """

    name = ""
    title = ""
    broken = ""
    phases: tuple[Phase, ...] = ()
    is_for_lanes = True

    @abstractmethod
    def play(self, player: Player, phase: int) -> None:
        """Do what the cashier does in a phase, with our own lanes."""

    def judge(self, seen: Evidence) -> Iterator[str]:
        """Yield what was wrong, each with what to mend."""
        yield from fair(seen)
        yield from entered_once(seen)
        yield from self.look(seen)

    @abstractmethod
    def look(self, seen: Evidence) -> Iterator[str]:
        """Yield what was wrong in this step's own matter."""
