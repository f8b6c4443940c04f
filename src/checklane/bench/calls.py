"""Whole calls in this process: bytes in, bytes out, through the door of the engine."""

from collections.abc import Callable

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


def measure(world: World, effort: Effort, seed: int, tell: Callable[[str], None]) -> list[Figure]:
    """Measure quotes by one thread, and durable commits by several numbers of threads."""
    most = max(effort.in_flight)
    figures = []
    with opened(world, world.usual, sessions=most + 1) as engine:
        quoted, committed = make_sale_goods(engine, most, seed)
        rows = [("quote", 1, quoted)] + [("commit", lanes, committed) for lanes in effort.in_flight]
        number = 1
        for kind, lane_count, goods in rows:
            versus = SYNC_NAME if kind == "commit" else ""
            figure = Figure(SECTION, f"{kind}, {lane_count} in flight", versus=versus)
            tell(f"in process: {figure.name}")
            answers = [item.answer for item in goods]
            figure.checksum, figure.exact_share = checksum(answers), exact_share(answers)
            for _ in range(effort.runs):
                lanes = []
                for lane in range(lane_count):
                    share = share_goods(goods, lane, lane_count)
                    lanes.append(Lane(kind, share, number, effort.call_s))
                    number += 1
                for each in lanes:
                    each.warm(sender(engine, QUOTE))
                run_lanes(lanes, [sender(engine, METHOD_OF[kind])] * lane_count)
                figure.add(*gather(lanes))
            figures.append(figure)
    return figures
