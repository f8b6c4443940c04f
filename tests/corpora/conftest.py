"""Says after the run how many cases of other systems agree and which differ by name."""

from collections.abc import Iterable

import pytest

PROPERTY = "corpora"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many agree and the named differences."""
    found: dict[str, list[str]] = {}
    reports: Iterable[pytest.TestReport] = terminalreporter.stats.get("passed", [])
    for report in reports:
        for name, value in report.user_properties:
            if name == PROPERTY:
                word, _, text = str(value).partition(": ")
                found.setdefault(word, []).append(text)
    if not found:
        return
    terminalreporter.section("cases of other systems")
    for text in found.get("none", []):
        terminalreporter.line(text)
    on_purpose, missing = sorted(found.get("rule", [])), sorted(found.get("missing", []))
    terminalreporter.line(
        f"{len(found.get('agrees', []))} agree, {len(on_purpose)} differ on purpose, "
        f"{len(missing)} for want of something"
    )
    for text in [*on_purpose, *missing]:
        terminalreporter.line(text)
