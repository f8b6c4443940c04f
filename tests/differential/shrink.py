"""Makes a case smaller for as long as it still fails."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

from tests.support.yaml_text import block

TRIES_MAX = 300
OPTIONAL = (
    "class", "priority", "when", "where", "who", "control_percent", "rounding", "reduced_items",
    "price_sources", "chosen", "coupon", "stackable", "base", "funding", "floor_price", "limits",
    "wallet", "exclusive", "floor", "reshare", "requires", "stack_after",
)  # fmt: skip


def smaller(case: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield cases that are a little smaller, the boldest cuts first."""
    for key in ("before", "offers", "lines"):
        parts = case.get(key, [])
        for at in range(len(parts)):
            if key == "before" or len(parts) > 1:
                yield {**case, key: parts[:at] + parts[at + 1 :]}
    for key in (
        "policies",
        "coupons",
        "tenders",
        "chosen",
        "offset",
        "date",
        "opened",
        "store",
        "channel",
    ):
        if key in case:
            yield {name: value for name, value in case.items() if name != key}
    for at, offer in enumerate(case["offers"]):
        for key in OPTIONAL:
            if key in offer:
                found = copy.deepcopy(case)
                del found["offers"][at][key]
                yield found
    for at, line in enumerate(case["lines"]):
        if len(line) > 3:
            found = copy.deepcopy(case)
            found["lines"][at] = line[:3]
            yield found
        if line[1] > 1:
            found = copy.deepcopy(case)
            found["lines"][at][1] = line[1] - 1
            yield found


def shrink(
    case: dict[str, Any], fails: Callable[[dict[str, Any]], bool], tries_max: int = TRIES_MAX
) -> dict[str, Any]:
    """Return the smallest case found that still fails."""
    tries = 0
    changed = True
    while changed and tries < tries_max:
        changed = False
        for found in smaller(case):
            tries += 1
            if tries > tries_max:
                break
            if fails(found):
                case, changed = found, True
                break
    return case


def as_yaml(case: dict[str, Any]) -> str:
    """Return a case as an example of docs/semantics.md."""
    shown = dict(case)
    files = shown.pop("files", {})
    used = {offer["row_prices"]["file"] for offer in case["offers"] if "row_prices" in offer}
    text = block(shown)
    for name in sorted(used):
        text += "files:\n" + f"  {name}: |\n"
        text += "".join(f"    {line}\n" for line in files[name].splitlines())
    return text
