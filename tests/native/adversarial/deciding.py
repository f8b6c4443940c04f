"""A small shop in which programs and baskets are bred to cost many steps."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checklane.v1 import decision_pb2
from tests.support.engine_fixture import EngineFixture

CASES = Path(__file__).with_name("cases.json")
BRANDS = ("Alba", "Borg", "Mill", "Softy")
CATEGORIES = ("GROCERY/SOUP", "GROCERY/BREAD", "HOME/PAPER")
#: Twelve products: every brand has one of each category.
PRODUCTS = [
    {"code": str(200 + number), "brand": BRANDS[number % 4], "category": CATEGORIES[number // 4]}
    for number in range(12)
]
CATALOGUE: dict[str, list[dict[str, Any]]] = {
    "products": PRODUCTS,
    "stores": [{"store_id": "N1", "timezone": "UTC"}],
}
#: Wide enough that the worst are told apart.
STEP_BUDGET = 2_000_000
HEAD = {
    "program": "adversarial",
    "currency": {"code": "USD", "exponent": 2},
    "policies": {"step_budget": STEP_BUDGET},
}
SEEDLING = [{"id": "o0", "discount": {"of": "all", "percent": 10}}]

#: A line: product code, count, price of one unit in minor units.
Line = tuple[str, int, int]


@dataclass(frozen=True)
class Case:
    """A program and a basket.

    Attributes
    ----------
    name : str
    offers : list of dict
        As in a program's file.
    lines : list of (str, int, int)
    """

    name: str
    offers: list[dict[str, Any]]
    lines: list[Line]


def told(decision: decision_pb2.Decision) -> dict[str, Any]:
    """Return what is kept of a decision: its checksum leaves out how hard it was to find.

    The basis names snapshots, so it is left out too.
    """
    kept = decision_pb2.Decision()
    kept.CopyFrom(decision)
    for name in ("optimality", "basis"):
        kept.ClearField(name)  # type: ignore[arg-type]
    content = kept.SerializeToString(deterministic=True)
    optimality = decision.optimality
    return {
        "steps": optimality.step_count,
        "optimality": decision_pb2.OptimalityKind.Name(optimality.kind).rpartition("_")[2],
        "gap_minor": optimality.gap_minor,
        "discount_minor": sum(line.discount_minor for line in decision.lines),
        "checksum": hashlib.blake2b(content, digest_size=16).hexdigest(),
    }


class Shop:
    """An engine that decides one case after the other."""

    def __init__(self, directory: Path) -> None:
        program = {**HEAD, "offers": SEEDLING}
        self._engine = EngineFixture(directory, program, CATALOGUE, [])
        self._offers = ""

    def __enter__(self) -> "Shop":
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.engine.close()

    def decide(self, case: Case) -> dict[str, Any]:
        """Return what is told of the decision of a case."""
        offers = json.dumps(case.offers)
        if offers != self._offers:
            self._engine.change_program({**HEAD, "offers": case.offers})
            self._offers = offers
        lines = [
            {"id": number, "code": code, "count": count, "amount": f"{count * minor / 100:.2f}"}
            for number, (code, count, minor) in enumerate(case.lines, start=1)
        ]
        basket = {"store": "N1", "opened": "2026-03-04T10:00", "lines": lines}
        return told(self._engine.quote(basket))


def read_cases() -> list[tuple[Case, dict[str, Any]]]:
    """Return the kept cases, each with what was told of it."""
    return [
        (Case(row["name"], row["offers"], [tuple(line) for line in row["lines"]]), row["told"])
        for row in json.loads(CASES.read_text())
    ]


def write_cases(cases: list[tuple[Case, dict[str, Any]]]) -> None:
    """Keep cases, most steps first; one offer and one line of a basket a line of the file."""
    blocks = []
    for case, found in sorted(cases, key=lambda pair: (-pair[1]["steps"], pair[0].name)):
        offers = ",\n   ".join(json.dumps(offer) for offer in case.offers)
        blocks.append(
            f' {{"name": {json.dumps(case.name)},\n  "told": {json.dumps(found)},\n'
            f'  "lines": {json.dumps(case.lines)},\n  "offers": [\n   {offers}]}}'
        )
    CASES.write_text("[\n" + ",\n".join(blocks) + "\n]\n")
