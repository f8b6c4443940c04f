"""The worked examples of docs/semantics.md, as data."""

import copy
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

PAGE = Path(__file__).parents[2] / "docs" / "semantics.md"
BLOCK = re.compile(r"^```yaml\n# (sample|example [^\n]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BASKET_KEYS = (
    "store", "opened", "offset", "date", "card", "channel", "coupons", "chosen", "tenders",
    "redeem",
)  # fmt: skip
ONCE_KEYS = ("coupons", "chosen", "tenders", "redeem")


@dataclass
class Sample:
    """The program head, catalogue and members that the examples share."""

    program: dict[str, Any]
    catalogue: dict[str, list[dict[str, Any]]]
    members: list[dict[str, Any]]


@dataclass
class Example:
    """One example.

    Attributes
    ----------
    rules : list of str
        The rules that it shows.
    name : str
    written : dict
        What stands on the page, with what it keeps of the one before.
    """

    rules: list[str]
    name: str
    written: dict[str, Any]

    def program(self, sample: Sample) -> dict[str, Any]:
        """Return the program with the offers of this example."""
        found = {**sample.program, "offers": self.written["offers"]}
        for key in ("files", "policies", "progress", "tiers", "purses", "exclusions"):
            if key in self.written:
                found[key] = self.written[key]
        return found

    @property
    def basket(self) -> dict[str, Any]:
        """Return the basket to be decided."""
        return basket_of(self.written, self.written)

    @property
    def authorised(self) -> dict[str, Any]:
        """Return what was asked before fuelling, as a basket without lines; empty: nothing was.

        Prices are `[code, grade, level, price]`. A line of the basket whose fuel says `hold` names
        what was given.
        """
        if "authorise" not in self.written:
            return {}
        asked = basket_of({**self.written, **self.written["authorise"]}, {"lines": []})
        return {**asked, **self.written["authorise"]}

    @property
    def before(self) -> list[dict[str, Any]]:
        """Return the baskets that were committed before.

        `void` says that it was undone, `back` which units of which lines came back, `backs` the
        same for one return after the other. One with
        `confirm` says when its event came, `cancelled` that it will not. One with `claim` was
        claimed for that card, after `back` and before `after` and `void`. One
        with `adjust` was no sale: points were given or taken by hand. Nor was one with `merge`:
        the member of a card became that of another. A return line with `of` names the
        sale, from 1, and its line that it gives back. What a customer shows or asks for is not that
        of the basket to be decided.
        """
        kept = {key: value for key, value in self.written.items() if key not in ONCE_KEYS}
        return [
            {
                **basket_of({**kept, **part}, {"lines": self.written["lines"], **part}),
                **{
                    key: part[key]
                    for key in ("adjust", "confirm", "cancelled", "merge", "claim")
                    if key in part
                },
                "void": part.get("void", "false"),
                "back": units_of(part.get("back", {})),
                "after": units_of(part.get("after", {})),
                "backs": [units_of(units) for units in part.get("backs", [])],
            }
            for part in self.written.get("before", [])
        ]


def units_of(written: dict[str, Any]) -> dict[int, int]:
    """Return units by line."""
    return {int(line): int(count) for line, count in written.items()}


def basket_of(where: dict[str, Any], what: dict[str, Any]) -> dict[str, Any]:
    """Return a basket from its lines and what else is said of it."""
    basket = {"store": "N1", "opened": "2026-03-04T10:00"}
    basket |= {key: where[key] for key in BASKET_KEYS if key in where}
    basket["lines"] = []
    for number, line in enumerate(what["lines"], start=1):
        code, count, amount, *more = line
        basket["lines"].append(
            {"id": number, "code": code, "count": count, "amount": amount}
            | (more[0] if more else {})
        )
    return basket


def load(text: str) -> list[Any]:
    """Load YAML documents with every scalar as the text that was written."""
    return list(YAML(typ="base", pure=True).load_all(text))


def read_page(page: Path = PAGE) -> tuple[Sample, list[Example]]:
    """Return the sample and all examples of a page."""
    sample = None
    examples = []
    for head, body in BLOCK.findall(page.read_text()):
        documents = load(body)
        if head == "sample":
            found = documents[0]
            catalogue = {"products": found["products"], "stores": found["stores"]}
            sample = Sample(found["program"], catalogue, found["members"])
            continue
        rules = head.split()[1:]
        written: dict[str, Any] = {}
        for number, document in enumerate(documents, start=1):
            written = {**copy.deepcopy(written), **document}
            name = "-".join(rules) + (f".{number}" if len(documents) > 1 else "")
            examples.append(Example(rules, name, written))
    if sample is None:
        raise ValueError(f"{page} has no sample")
    return sample, examples


def rules_of_page(page: Path = PAGE) -> list[str]:
    """Return the rules that the page defines, in its order."""
    return re.findall(r"\*\*([BEYMDSLPNHTRXKCFG][0-9]{1,2})\b", page.read_text())
