"""Each row of the table of mechanics in docs/semantics.md names rules and tests that are there."""

import re
import subprocess
import sys

from tests.house.tree import ROOT
from tests.semantics.examples import read_page, rules_of_page

PAGE = (ROOT / "docs" / "semantics.md").read_text()
EXAMPLE_TEST = "tests/semantics/test_examples.py::test_the_engine_decides_as_the_page_says"


def rows() -> dict[str, tuple[set[str], list[str]]]:
    """Return the rules and the tests of each mechanic."""
    table = PAGE.split("## Table of mechanics")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    head, *found = [row for row in cells if not row[0].startswith("*missing")]
    assert head == ["mechanic", "written", "rule", "test"]
    return {row[0]: (set(row[2].split()), re.findall("`([^`]+)`", row[3])) for row in found}


def test_the_paragraph_names_the_test_of_the_short_ids():
    assert f"`{EXAMPLE_TEST}`" in PAGE


def test_each_row_has_rules_of_the_page_and_tests_of_them():
    rules = set(rules_of_page())
    shown = {example.name: set(example.rules) for example in read_page()[1]}
    for mechanic, (named, tests) in rows().items():
        assert named, mechanic
        assert named <= rules, mechanic
        assert tests, mechanic
        for test in tests:
            if test.startswith("["):
                assert shown[test.strip("[]")] & named, (mechanic, test)


def test_each_test_is_collected():
    named = {
        EXAMPLE_TEST + test if test.startswith("[") else test
        for _, tests in rows().values()
        for test in tests
    }
    files = sorted({test.split("::")[0] for test in named})
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert len(named) > 40
    assert named - set(done.stdout.splitlines()) == set()
