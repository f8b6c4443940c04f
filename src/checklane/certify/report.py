"""Says what came of the steps: to people as they are run, to programs as JSON."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from checklane.certify.outage import OutageReport
from checklane.certify.run import FAILED, NOT_OFFERED, PASSED, Result

__all__ = ["as_json", "show_outage", "show_result", "show_sum"]

_MARKS = {PASSED: ("pass", "green"), FAILED: ("FAIL", "bold red"), NOT_OFFERED: ("  - ", "yellow")}


def show_result(console: Console, result: Result) -> None:
    """Print one step: pass or fail, and what to mend."""
    mark, style = _MARKS[result.status]
    line = Text.assemble((mark, style), f"  {result.step.name:<13} {result.step.title}")
    console.print(line, soft_wrap=True)
    for finding in result.findings:
        word = "why" if result.status == NOT_OFFERED else "mend"
        console.print(Text(f"        {word}: {finding}"), soft_wrap=True)


def show_sum(console: Console, results: Sequence[Result]) -> bool:
    """Print how many passed; returns whether none failed."""
    counts = {status: sum(r.status == status for r in results) for status in _MARKS}
    told = f"\n{counts[PASSED]} of {len(results)} steps passed"
    if counts[FAILED]:
        told += f", {counts[FAILED]} failed"
    if counts[NOT_OFFERED]:
        told += f", {counts[NOT_OFFERED]} not offered"
    console.print(told)
    return counts[FAILED] == 0


def as_json(results: Iterable[Result]) -> str:
    """Return what came of the steps as JSON text."""
    steps = [_step(result) for result in results]
    failed = sum(step["status"] == FAILED for step in steps)
    return json.dumps({"passed": failed == 0, "steps": steps}, indent=2) + "\n"


def _step(result: Result) -> dict[str, Any]:
    calls = [
        {
            "method": exchange.method,
            "stream": exchange.stream,
            "till": exchange.till,
            "key": exchange.key,
            "receipt": exchange.receipt and exchange.receipt[3],
            "fate": exchange.fate,
            "refusal": exchange.refusal,
        }
        for exchanges in result.exchanges
        for exchange in exchanges
    ]
    return {
        "name": result.step.name,
        "title": result.step.title,
        "status": result.status,
        "findings": result.findings,
        "calls": calls,
    }


def show_outage(console: Console, report: OutageReport) -> None:
    """Print what came of an outage day."""
    table = Table(show_header=False, box=None)
    rate = report.spooled / report.drain_s if report.drain_s else 0.0
    for name, value in (
        ("sales", f"{report.sold}, of which {report.spooled} while the service was gone"),
        ("entered", f"{report.entered}"),
        ("lost", _some(report.lost)),
        ("entered twice", _some(report.twice)),
        ("out of order", _some(report.out_of_order)),
        ("refused", f"{report.refused}"),
        ("backlog", f"entered in {report.drain_s:.1f} s, {rate:.0f} sales a second"),
        ("live quotes, no backlog", _percentiles(report.quotes_before_us)),
        ("live quotes beside it", _percentiles(report.quotes_during_us)),
    ):
        table.add_row(name, value)
    console.print(table)
    is_right = report.is_right
    words = "all sales are entered once and in order" if is_right else "the books are wrong"
    console.print(words, style="green" if is_right else "bold red")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more if names else "none"


def _percentiles(took_us: Sequence[float]) -> str:
    if not took_us:
        return "none"
    shown = {share: took_us[min(int(len(took_us) * share), len(took_us) - 1)]
             for share in (0.5, 0.99)}  # fmt: skip
    return (
        f"{len(took_us)}, p50 {shown[0.5] / 1000:.2f} ms, p99 {shown[0.99] / 1000:.2f} ms,"
        f" longest {took_us[-1] / 1000:.2f} ms (seen by Python clients in one process)"
    )
