"""`python -m tests.conformance`: the table of behaviours by client, from the tests' own runs."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from tests.conformance.behaviours import BEHAVIOURS, CLIENTS, NOT_OFFERED, RAW

TEST = "tests/conformance/test_conformance.py"


def outcomes(report: Path) -> dict[str, bool]:
    """Return for each "client-behaviour" whether it passed."""
    found = {}
    for case in ET.parse(report).iter("testcase"):
        name = str(case.get("name"))
        if name.startswith("test_client["):
            failed = case.find("failure") is not None or case.find("error") is not None
            found[name.removeprefix("test_client[").removesuffix("]")] = not failed
    return found


def table_of(found: dict[str, bool]) -> Table:
    """Return the table that is printed."""
    table = Table("behaviour", *CLIENTS, title="The lane port and clients that are not ours")
    for behaviour in (*BEHAVIOURS, *RAW):
        cells = []
        for client in CLIENTS:
            passed = found.get(f"{client}-{behaviour}")
            cells.append({True: "yes", False: "NO", None: "-"}[passed])
        table.add_row(behaviour, *cells)
    return table


def main() -> int:
    """Run the tests and print their table; the exit status is theirs."""
    console = Console()
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", TEST]
        status = subprocess.run(command).returncode
        console.print(table_of(outcomes(report)))
    for client, missing in NOT_OFFERED.items():
        for behaviour, reason in missing.items():
            console.print(f"{client} has no {behaviour}: {reason}")
    return status


if __name__ == "__main__":
    sys.exit(main())
