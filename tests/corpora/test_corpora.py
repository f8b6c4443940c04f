"""Cases of three other systems, one test each: translated, decided by the engine, compared.

``CHECKLANE_CORPORA`` names the directory, by default one beside the repository. The cases are not
part of the tree; where the default directory is not there, nothing is compared and it is said so.
A directory that was named must be there. `differences.yaml` lists the cases that checklane decides
otherwise on purpose, each with the rule and the reason, and those that show what it still lacks;
a case there must really differ.
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.corpora import medusa, oscar, sylius
from tests.corpora.case import CannotTranslateError, Translated, compare
from tests.corpora.conftest import PROPERTY
from tests.support.engine_fixture import EngineFixture
from tests.support.told import by_engine

NAMED = os.environ.get("CHECKLANE_CORPORA")
DIRECTORY = Path(NAMED) if NAMED else Path(__file__).parents[3] / "shared" / "corpora"
TRANSLATORS: dict[str, Callable[[dict[str, Any]], Translated]] = {
    "sylius": sylius.translate,
    "medusa": medusa.translate,
    "oscar": oscar.translate,
}
Difference = dict[str, Any]
DIFFERENCES_MAX = 12
#: What a row of the list says: a rule that is another on purpose, or what checklane lacks.
KINDS = ("rule", "missing")


def read_cases() -> list[dict[str, Any]]:
    """Return every case of the directory, each with the name of its form."""
    found = []
    for file in sorted(DIRECTORY.glob("*.jsonl")):
        form = file.stem.split("-")[0].split(".")[0]
        lines = filter(str.strip, file.read_text().splitlines())
        found += [{"form": form, **json.loads(line)} for line in lines]
    return found


def read_differences() -> dict[str, Difference]:
    """Return the named differences by case."""
    rows = YAML(typ="safe").load(Path(__file__).with_name("differences.yaml"))
    return {row["case"]: row for row in rows}


CASES = read_cases()
DIFFERENCES = read_differences()


def differences_of(case: dict[str, Any], directory: Path) -> list[str]:
    """Translate a case, decide it, and return how it differs from the peer's figures."""
    written = {key: value for key, value in case.items() if key != "form"}
    made = TRANSLATORS[case["form"]](written)
    found = []
    with EngineFixture(directory, made.program, made.catalogue, made.members) as engine:
        for step in made.steps:
            if step.expected is None:
                engine.commit(step.basket)
            else:
                found += compare(step.expected, by_engine(engine.quote(step.basket)))
    # Each engine's journal takes more than a hundred megabytes; all cases together fill a disk.
    shutil.rmtree(directory)
    return found


@pytest.mark.parametrize("case", CASES or [{"id": "none"}], ids=lambda case: str(case["id"]))
def test_case(
    case: dict[str, Any], tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    if not CASES:
        assert NAMED is None, f"CHECKLANE_CORPORA names {NAMED}, in which there are no cases"
        record_property(
            PROPERTY, f"none: no case was there to compare: {DIRECTORY.name} is missing"
        )
        return
    named = DIFFERENCES.get(case["id"])
    found = differences_of(case, tmp_path / "engine")
    if named is None:
        assert found == []
        record_property(PROPERTY, "agrees")
        return
    assert found != [], "it agrees now: take it off the list of differences"
    if "missing" in named:
        assert found == named["differs"]
    word, text = next((key, named[key]) for key in KINDS if key in named)
    record_property(PROPERTY, f"{word}: {case['id']}: {text}")


SMALL: dict[str, dict[str, Any]] = {
    "sylius": {
        "id": "s", "products": {"tea": {"price": 1000, "cats": ["hot"]}}, "member": {},
        "basket": [{"sku": "tea", "qty": 2}], "expect": {"total": 1800, "lines": {"tea": 200}},
        "offers": [{"name": "a", "actions": [{"scope": "unit", "v": "10%", "cat": "hot"}]}],
    },
    "medusa": {
        "id": "m", "campaigns": [], "campaign_updates": [], "usage": [],
        "promotions": [{"id": "p", "code": "TEN", "application_method": {
            "target_type": "order", "type": "fixed", "value": 10}}],
        "calls": [{"codes": ["TEN"], "options": None,
                   "context": {"items": [{"id": "tea", "quantity": 2, "subtotal": 40}]},
                   "expected": [{"action": "addItemAdjustment", "item_id": "tea", "amount": 10}]}],
    },
    "oscar": {
        "id": "o", "kind": "benefit.apply", "basket": [{"product": 1, "qty": 3, "unit": "4.00"}],
        "condition": {"cls": "CountCondition", "type": "Count", "value": "2",
                      "range": {"all": True, "products": None}},
        "benefit": {"cls": "AbsoluteDiscountBenefit", "type": "Absolute", "value": "3.00",
                    "max_affected_items": None, "range": {"all": True, "products": None}},
        "discount": "3.00", "lines_after": [{"discount": "3.00", "qty_with_discount": 3}],
    },
}  # fmt: skip
WRONG: dict[str, dict[str, Any]] = {
    "sylius": {"expect": {"total": 1799}},
    "medusa": {"promotions": []},
    "oscar": {"lines_after": [{"discount": "3.00", "qty_with_discount": 2}]},
}


@pytest.mark.parametrize("form", SMALL)
def test_each_form_is_read_and_a_wrong_figure_is_seen(form: str, tmp_path: Path) -> None:
    case = {"form": form, **SMALL[form]}
    assert differences_of(case, tmp_path / "right") == []
    assert differences_of({**case, **WRONG[form]}, tmp_path / "wrong") != []


@pytest.mark.parametrize("form", SMALL)
def test_what_is_not_known_is_refused(form: str) -> None:
    with pytest.raises(CannotTranslateError, match="unknown key surprise"):
        TRANSLATORS[form]({**SMALL[form], "surprise": 1})


def test_the_list_of_differences_is_short_and_says_why() -> None:
    rows = list(DIFFERENCES.values())
    assert len(rows) <= DIFFERENCES_MAX
    assert all(row["why"] and sum(key in row for key in KINDS) == 1 for row in rows)
    assert all(row["differs"] for row in rows if "missing" in row)
    if CASES and NAMED is None:
        assert set(DIFFERENCES) <= {case["id"] for case in CASES}
