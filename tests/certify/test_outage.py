"""An outage day: six hours without the service, forty lanes, and then all of it once, in order."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from checklane.certify import outage
from checklane.certify.outage import OutageOptions, OutageReport, run_outage
from checklane.certify.report import show_outage

LANES, HOURS, SALES_PER_HOUR = 40, 6.0, 2


def shown(report: OutageReport) -> str:
    text = io.StringIO()
    show_outage(Console(file=text, width=140), report)
    return text.getvalue()


def test_all_is_entered_once_and_in_order(tmp_path: Path) -> None:
    report = run_outage(OutageOptions(tmp_path, LANES, HOURS, SALES_PER_HOUR))
    print(shown(report))
    assert report.spooled == LANES * HOURS * SALES_PER_HOUR
    assert report.sold == report.spooled + 4 * LANES
    assert report.is_right
    assert report.quotes_during_us
    assert "all sales are entered once and in order" in shown(report)


def test_a_spool_that_loses_a_sale_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Forgetful(outage.Spool):
        def append(self, item: object) -> int:
            number = super().append(item)
            if number == 3:
                self.done(number)
            return number

    monkeypatch.setattr(outage, "Spool", Forgetful)
    report = run_outage(OutageOptions(tmp_path, 2, 1.0, 4))
    assert report.lost == ["1/3", "2/3"]
    assert not report.is_right
    assert "the books are wrong" in shown(report)
