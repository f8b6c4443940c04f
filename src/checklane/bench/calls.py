"""Whole calls in this process: bytes in, bytes out, through the door of the engine."""

from collections.abc import Callable, Sequence

from checklane._engine import METHODS, Engine
from checklane.bench.evaluator import QUOTE, answers_of
from checklane.bench.figures import (
    SYNC_NAME,
    BenchError,
    Effort,
    Figure,
    checksum,
    exact_share,
)
from checklane.bench.loop import (
    GOODS_A_LANE,
    Goods,
    Lane,
    Send,
    gather,
    make_goods,
    run_lanes,
    share_goods,
)
from checklane.bench.machine import SyncProbe
from checklane.bench.world import World, make_baskets, opened

SECTION = "in process"
METHOD_OF = {"quote": QUOTE, "commit": METHODS["CheckoutService.CommitTransaction"]}
#: Members of the baskets that are quoted; those that are committed belong to the members after
#: them, so that no commit changes the balance in the answer to a quote.
QUOTED_MEMBERS = 64


def make_sale_goods(engine: Engine, lanes: int, seed: int) -> tuple[list[Goods], list[Goods]]:
    """Return baskets of ten lines to quote, and others to commit, with their right answers."""
    found = []
    for name, count, first in (
        ("quotes", QUOTED_MEMBERS, 0),
        ("commits", lanes * GOODS_A_LANE, QUOTED_MEMBERS),
    ):
        baskets = make_baskets(name, count, seed=seed, members=count, first_member=first)
        answers = answers_of(engine, [basket.quote() for basket in baskets])
        found.append(make_goods(baskets, answers))
    return found[0], found[1]


def sender(engine: Engine, method: int) -> Send:
    """Return what sends one call to the engine."""

    def send(request: bytes) -> bytes:
        status, answer = engine.call(method, request)
        if not isinstance(answer, bytes):
            raise BenchError(f"refused with status {status} at {answer}")
        return answer

    return send


def measure(
    world: World, syncs: SyncProbe, effort: Effort, seed: int, tell: Callable[[str], None]
) -> list[Figure]:
    """Measure quotes by one thread, and durable commits by several numbers of threads.

    Every run begins with one of `syncs`, so that the disk is measured at the same time.
    """
    most = max(effort.in_flight)
    number = 1
    with opened(world, world.usual, sessions=most + 1) as engine:
        quoted, committed = make_sale_goods(engine, most, seed)
        plan = [("quote", 1, quoted)] + [("commit", n, committed) for n in effort.in_flight]
        rows = [(_figure(kind, count, goods), kind, count, goods) for kind, count, goods in plan]
        for run in range(effort.runs):
            tell(f"in process: run {run + 1} of {effort.runs}")
            syncs.run()
            for figure, kind, count, goods in rows:
                lanes = []
                for lane in range(count):
                    share = share_goods(goods, lane, count)
                    lanes.append(Lane(kind, share, number, effort.call_s))
                    number += 1
                for each in lanes:
                    each.warm(sender(engine, QUOTE))
                run_lanes(lanes, [sender(engine, METHOD_OF[kind])] * count)
                figure.add(*gather(lanes))
    return [figure for figure, _, _, _ in rows]


def _figure(kind: str, count: int, goods: Sequence[Goods]) -> Figure:
    answers = [item.answer for item in goods]
    return Figure(
        SECTION,
        f"{kind}, {count} in flight",
        checksum=checksum(answers),
        exact_share=exact_share(answers),
        versus=SYNC_NAME if kind == "commit" else "",
    )
