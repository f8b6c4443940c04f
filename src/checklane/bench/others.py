"""The same simple decisions in plain Python, in zen-engine and in CEL.

Ten offers, each a percentage off the goods of one brand; ten lines. That is what a rules engine
does without effort, and next to nothing of what checklane decides: no unit is wanted twice, nobody
is identified, nothing is rounded, shared over lines, explained or limited. Each gets its program
compiled and its input as it likes it best; what is timed is one call from Python for one basket.
"""

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cel
import numpy as np
import zen

from checklane._engine import Engine
from checklane.bench.contests import Good, Shop, make_shop_world, quote_of
from checklane.bench.evaluator import QUOTE, Row
from checklane.bench.figures import BenchError, Effort, Figure, plain_decision
from checklane.bench.world import opened
from checklane.program.checks import Attachments

SECTION = "others"
ALONE = "checklane: the decision alone, timed in C"
LINES = BRANDS = 10
WARM_UP_CALLS = 20

Line = dict[str, Any]
#: Total discount of a basket's lines in minor units.
Decide = Callable[[list[Line]], int]


@dataclass(frozen=True)
class Simple:
    """A basket as plain data: code, brand, count and amount of each line."""

    lines: list[Line]

    def quote(self) -> bytes:
        """Return it as the engine gets it."""
        return quote_of([(x["code"], x["count"], x["amount"]) for x in self.lines])


def brand_of(number: int) -> str:
    """Return the name of a brand."""
    return f"brand {number}"


def percents() -> dict[str, int]:
    """Return what each brand has off, in percent: all programs here are made from it."""
    return {brand_of(number): 5 + 3 * number for number in range(BRANDS)}


def make_simple(how_many: int, seed: int) -> list[Simple]:
    """Return baskets whose prices are whole dollars, so that every percentage is whole cents."""
    draw = random.Random(f"{seed}:simple")
    baskets = []
    for _ in range(how_many):
        lines: list[Line] = []
        for number in range(LINES):
            count = draw.randint(1, 3)
            amount = 100 * draw.randint(1, 12) * count
            # The last two brands have no line now and then.
            brand = number if number < BRANDS - 2 else draw.randrange(BRANDS)
            code = f"simple-{brand}-{number}"
            lines.append({"code": code, "brand": brand_of(brand), "count": count, "amount": amount})
        baskets.append(Simple(lines))
    return baskets


# ---- the same rules four times ----


def simple_shop() -> Shop:
    """Return goods and offers as checklane has them."""
    goods = [
        Good(f"simple-{brand}-{number}", brand_of(brand))
        for brand in range(BRANDS)
        for number in range(LINES)
    ]
    offers = [
        {
            "id": f"off-{number:02d}",
            "name": f"{percent} % off {brand}",
            "discount": {"of": {"brand": [brand]}, "percent": percent},
        }
        for number, (brand, percent) in enumerate(percents().items())
    ]
    return Shop(goods, offers, Attachments())


def in_python() -> Decide:
    """Return the rules as a loop over plain Python objects."""
    rules = list(percents().items())

    def decide(lines: list[Line]) -> int:
        total = 0
        for line in lines:
            for brand, percent in rules:
                if line["brand"] == brand:
                    total += int(line["amount"]) * percent // 100
                    break
        return total

    return decide


def zen_graph() -> dict[str, Any]:
    """Return the rules as a decision table that takes the lines one after the other."""
    rules = [
        {"_id": f"rule-{number}", "brand": json.dumps(brand), "off": f"amount * {percent} / 100"}
        for number, (brand, percent) in enumerate(percents().items())
    ]
    rules.append({"_id": "rule-none", "brand": "", "off": "0"})
    table = {
        "hitPolicy": "first",
        "inputs": [{"id": "brand", "name": "brand", "field": "brand"}],
        "outputs": [{"id": "off", "name": "off", "field": "off"}],
        "rules": rules,
        "inputField": "lines",
        "outputPath": "lines",
        "executionMode": "loop",
        "passThrough": False,
    }
    nodes = [
        {"id": "in", "name": "in", "type": "inputNode", "content": {}},
        {"id": "table", "name": "table", "type": "decisionTableNode", "content": table},
        {"id": "out", "name": "out", "type": "outputNode", "content": {}},
    ]
    edges = [
        {"id": "one", "sourceId": "in", "targetId": "table", "type": "edge"},
        {"id": "two", "sourceId": "table", "targetId": "out", "type": "edge"},
    ]
    return {"nodes": nodes, "edges": edges}


def in_zen() -> Decide:
    """Return the rules in zen-engine."""
    decision = zen.ZenEngine().create_decision(json.dumps(zen_graph()))

    def decide(lines: list[Line]) -> int:
        found = decision.evaluate({"lines": lines})["result"]["lines"]
        offs: list[float] = [line["off"] for line in found]
        return round(sum(offs))

    return decide


def cel_source() -> str:
    """Return the rules as one expression over all lines."""
    choice = "0"
    for brand, percent in reversed(percents().items()):
        choice = f"l.brand == {json.dumps(brand)} ? l.amount * {percent} / 100 : {choice}"
    return f"lines.map(l, {choice})"


def in_cel() -> Decide:
    """Return the rules in CEL, compiled once."""
    program = cel.compile(cel_source())

    def decide(lines: list[Line]) -> int:
        found: list[int] = program.execute({"lines": lines})
        return sum(found)

    return decide


def by_name() -> dict[str, Decide]:
    """Return the others by the names of their rows."""
    return {
        "plain Python: a loop": in_python(),
        "zen-engine: a decision table, one call": in_zen(),
        "CEL (common-expression-language): one expression": in_cel(),
    }


# ---- measuring ----


def time_calls(call: Callable[[Any], Any], inputs: Sequence[Any], seconds: float) -> list[int]:
    """Return what calls took in ns: all inputs by turns until the time is over."""
    clock = time.perf_counter_ns
    for number in range(WARM_UP_CALLS):
        call(inputs[number % len(inputs)])
    times_ns: list[int] = []
    end_ns = clock() + int(seconds * 1e9)
    while clock() < end_ns:
        for wanted in inputs:
            begin_ns = clock()
            call(wanted)
            times_ns.append(clock() - begin_ns)
    return times_ns


def discount_of(engine: Engine, quote: bytes) -> int:
    """Return the engine's discount.

    Raises
    ------
    BenchError
        The quote was refused.
    """
    status, answer = engine.call(QUOTE, quote)
    if not isinstance(answer, bytes):
        raise BenchError(f"a quote was refused with status {status} at {answer}")
    return plain_decision(answer).totals.discount_minor


def must_agree(engine: Engine, baskets: Sequence[Simple], deciders: dict[str, Decide]) -> None:
    """Refuse to compare what does not decide alike.

    Raises
    ------
    BenchError
        One gave another discount.
    """
    for basket in baskets:
        right = discount_of(engine, basket.quote())
        for name, decide in deciders.items():
            found = decide(basket.lines)
            if found != right:
                raise BenchError(f"{name}: a discount of {found}, checklane gives {right}")


def measure(folder: Path, effort: Effort, seed: int, tell: Callable[[str], None]) -> list[Figure]:
    """Measure the same decisions in each of them.

    Parameters
    ----------
    folder : Path
        Where the engine's shop is built.
    effort : Effort
    seed : int
    tell : callable
        Called with what comes next.
    """
    baskets, deciders = make_simple(effort.baskets, seed), by_name()
    quotes = [basket.quote() for basket in baskets]
    world = make_shop_world(simple_shop(), folder / "others", seed)
    alone = Row(Figure(SECTION, ALONE), quotes)
    whole = Figure(SECTION, "checklane: a whole quote called from Python", versus=ALONE)
    figures = {name: Figure(SECTION, name, versus=ALONE) for name in deciders}
    with opened(world, world.usual, sessions=2) as engine:
        must_agree(engine, baskets, deciders)
        for run in range(effort.runs):
            tell(f"others: run {run + 1} of {effort.runs}")
            alone.run(engine, effort.decide_s)
            _add(whole, lambda quote: engine.call(QUOTE, quote), quotes, effort)
            for name, decide in deciders.items():
                _add(figures[name], decide, [basket.lines for basket in baskets], effort)
    return [alone.figure, whole, *figures.values()]


def _add(figure: Figure, call: Callable[[Any], Any], inputs: Sequence[Any], effort: Effort) -> None:
    times_ns = time_calls(call, inputs, effort.decide_s)
    figure.add(np.array(times_ns, dtype=np.int64), sum(times_ns) / 1e9)
