"""What docs/operating.md names is there: refusals with their exit statuses, commands."""

import re

from click.testing import CliRunner

from checklane.cli import main
from checklane.errors import REFUSALS
from checklane.ledger.prune import KEEP_DAYS_MIN
from tests.house.tree import ROOT

PAGE = (ROOT / "docs" / "operating.md").read_text()


def test_refusals_are_told_with_their_exit_status():
    rows = re.findall(r"^\| `([A-Z_]+)`[^|]*\| (\d+) \|", PAGE, re.MULTILINE)
    assert len(rows) >= 10
    for name, exit_code in rows:
        assert REFUSALS[name].error_class.exit_code == int(exit_code), name
    for name in re.findall(r"`([A-Z]+_[A-Z_]+)`", PAGE):
        assert name in REFUSALS or name == "NOT_SERVING", name


def test_commands_are_there():
    commands = set(re.findall(r"checklane (ledger|report|snapshot) (\w+)", PAGE))
    assert len(commands) >= 8
    for group, verb in commands:
        result = CliRunner().invoke(main, [group, verb, "--help"])
        assert result.exit_code == 0, f"{group} {verb}"


def test_the_least_days_are_those_of_prune():
    assert f"({KEEP_DAYS_MIN} at\nleast" in PAGE
