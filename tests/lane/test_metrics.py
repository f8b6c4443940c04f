"""The Prometheus endpoint of a whole service, against the page that tells what it shows."""

import re
import urllib.request

from tests.house.tree import ROOT
from tests.lane.raw import WITHIN_S, metrics
from tests.server.serving import Server

PAGE = (ROOT / "docs" / "operating.md").read_text()


def names_shown(server: Server) -> set[str]:
    """Return the names of the families, without the times at which counters were made."""
    (address,) = {str(event["listen"]) for event in server.events() if event["event"] == "metrics"}
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=WITHIN_S) as response:
        text = response.read().decode()
    names = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    return {name for name in names if not name.endswith("_created")}


def test_the_page_names_every_metric_and_no_other(served: Server) -> None:
    alarms, table = PAGE.split("\nAll metrics.")
    listed = set(re.findall(r"`(checklane_[a-z_]+)`", table))
    assert listed == names_shown(served)
    assert set(re.findall(r"`(checklane_[a-z_]+)`", alarms)) <= listed


def test_snapshots_have_an_age(served: Server) -> None:
    ages = {
        name: age for name, age in metrics(served).items() if name.startswith("checklane_snapshot")
    }
    kinds = ("program", "catalogue", "members")
    assert set(ages) == {f'checklane_snapshot_age_seconds{{kind="{kind}"}}' for kind in kinds}
    assert all(0 <= age < 86_400 for age in ages.values())
