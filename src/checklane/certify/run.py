"""Runs the steps: against our own service or another one, with our own lanes or somebody else's."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from checklane.certify import answers, flows
from checklane.certify.door import Door
from checklane.certify.failure import CertifyError
from checklane.certify.player import Player
from checklane.certify.record import Evidence, Exchange, Journal
from checklane.certify.shop import SHOP, Shop, prepare_shop
from checklane.certify.step import NotOfferedError, Phase, Step
from checklane.demo.serving import Server
from checklane.errors import ChecklaneError

__all__ = [
    "FAILED",
    "NOT_OFFERED",
    "PASSED",
    "Result",
    "STEPS",
    "Session",
    "own_session",
    "play",
    "steps_named",
    "watch",
]

PASSED, FAILED, NOT_OFFERED = "passed", "failed", "not offered"
#: Every step, in the order in which they are run: a sale first, a whole day last.
STEPS: tuple[Step, ...] = (flows.STEPS[0], *answers.STEPS, *flows.STEPS[1:])


@dataclass(frozen=True)
class Result:
    """What came of a step.

    Attributes
    ----------
    step : Step
    status : str
        PASSED, FAILED or NOT_OFFERED.
    findings : list of str
        What was wrong and what to mend; or why it is not offered.
    exchanges : list of list of Exchange
        What went over the wire, by phase.
    """

    step: Step
    status: str
    findings: list[str]
    exchanges: list[list[Exchange]] = field(default_factory=list)


@dataclass(frozen=True)
class Session:
    """A service with a door in front of it.

    Attributes
    ----------
    door : Door
    shop : Shop
    journal : Journal or None
        None: what is entered is judged by answers alone.
    folder : Path
        For spools.
    """

    door: Door
    shop: Shop
    journal: Journal | None
    folder: Path


def steps_named(names: Iterable[str]) -> list[Step]:
    """Return steps by their names, in their own order; all of them when none is named.

    Raises
    ------
    CertifyError
        A name that is no step's.
    """
    wanted = set(names)
    unknown = wanted - {step.name for step in STEPS}
    if unknown:
        known = ", ".join(step.name for step in STEPS)
        raise CertifyError(f"there is no step {min(unknown)!r}; the steps are {known}")
    return [step for step in STEPS if not wanted or step.name in wanted]


@contextmanager
def own_session(folder: Path | None = None, listen: str = "127.0.0.1:0") -> Iterator[Session]:
    """Start a service of our own over a fresh shop, with a door in front of its lane port.

    Parameters
    ----------
    folder : Path, optional
        Where it is kept. Default: a temporary one, which is removed afterwards.
    listen : str
        Where the door listens.
    """
    with TemporaryDirectory(prefix="checklane-certify-") as temporary:
        home = folder or Path(temporary)
        server = Server(prepare_shop(home), home / "server.log", has_lanes=True)
        with server, Door(server.lane_address, listen) as door:
            yield Session(door, SHOP, Journal(server.address), home / "spools")
            server.stop()


def play(session: Session, steps: Iterable[Step], broken: Iterable[str] = ()) -> Iterator[Result]:
    """Run steps with our own lanes; those named in `broken` are played wrong on purpose."""
    wrong = set(broken)
    for step in steps:
        yield _played(session, step, is_broken=step.name in wrong)


def watch(
    session: Session, steps: Iterable[Step], act: Callable[[Step, int, Phase], None]
) -> Iterator[Result]:
    """Run steps with somebody else's lane.

    Parameters
    ----------
    session : Session
    steps : iterable of Step
        Those that are about the service alone are passed over.
    act : callable
        Tells the cashier what to do in a phase, and returns when it is done.
    """
    for step in steps:
        if step.is_for_lanes:
            yield _run(session, step, partial(act, step))


def _played(session: Session, step: Step, *, is_broken: bool) -> Result:
    player = Player(session.door.address, session.shop, session.folder, is_broken=is_broken)
    try:
        return _run(session, step, lambda number, _: step.play(player, number), player)
    finally:
        player.close()


def _run(
    session: Session,
    step: Step,
    act: Callable[[int, Phase], None],
    player: Player | None = None,
) -> Result:
    door = session.door
    door.record.take()
    exchanges: list[list[Exchange]] = []
    met: list[str] = []
    try:
        for number, phase in enumerate(step.phases):
            door.script(*phase.faults)
            if phase.is_away:
                door.shut()
            else:
                door.open()
            act(number, phase)
            exchanges.append(door.record.take())
    except NotOfferedError as reason:
        return Result(step, NOT_OFFERED, [str(reason)], exchanges)
    except ChecklaneError as error:
        exchanges.append(door.record.take())
        met.append(f"our own lane met {type(error).__name__}: {error}")
    finally:
        door.script()
        door.open()
    flat = [exchange for phase_exchanges in exchanges for exchange in phase_exchanges]
    entries = None
    if session.journal is not None:
        entries = session.journal.news({exchange.till for exchange in flat})
    seen = Evidence(flat, entries, {} if player is None else player.remarks)
    findings = list(dict.fromkeys([*met, *step.judge(seen)]))
    return Result(step, FAILED if findings else PASSED, findings, exchanges)
