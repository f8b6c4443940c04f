"""One run of the bench from an empty folder to its report."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from checklane.bench import (
    calls,
    chain,
    contests,
    evaluator,
    figures,
    loopback,
    machine,
    others,
    world,
)
from checklane.bench.contests import RealBaskets
from checklane.bench.figures import Effort, Figure
from checklane.bench.report import Report
from checklane.bench.world import Sizes

#: What can be asked for, by name.
SECTIONS = ("evaluator", "deals", "others", "calls", "grpc")


def _no_baskets(folder: Path, how_many: int, seed: int) -> None:
    """Make no real baskets."""


@dataclass(frozen=True)
class Options:
    """What one run does.

    Attributes
    ----------
    work : Path
        An empty folder, on the disk that is measured.
    sections : sequence of str
        Of `SECTIONS`.
    quick : bool
        True: a few seconds, to see that everything runs. Its figures mean nothing.
    seed : int
    real_baskets : callable
        Makes the baskets of the Complete Journey.
    """

    work: Path
    sections: Sequence[str] = SECTIONS
    quick: bool = False
    seed: int = 1
    real_baskets: RealBaskets = _no_baskets


def run(options: Options, tell: Callable[[str], None]) -> Report:
    """Build what is measured, measure it, and return the report.

    Raises
    ------
    BenchError
        A call was refused or answered wrongly, or the server failed.
    """
    sizes, effort = (world.QUICK, figures.QUICK) if options.quick else (world.FULL, figures.FULL)
    if "evaluator" not in options.sections:
        # The largest program takes most of the set-up and serves the evaluator's rows only.
        sizes = replace(sizes, live_offers=sizes.live_offers[:2])
    options.work.mkdir(parents=True, exist_ok=True)
    found = machine.describe_machine(options.work)
    load_before = os.getloadavg()[0]
    tell(f"building {sizes.products:,} products and up to {sizes.live_offers[-1]:,} offers")
    shop = world.make_world(options.work, sizes, options.seed)
    rows: list[Figure] = []
    settings = _words(options, sizes, effort)
    with machine.SyncProbe(shop.data, effort.sync_count) as syncs:
        rows.append(syncs.figure)
        if "evaluator" in options.sections:
            rows += evaluator.measure(shop, options.work, effort, options.seed, tell)
            found_rows, settings["chain"] = chain.measure(
                options.work, sizes.chain, effort, options.seed, rows[1], tell
            )
            rows += found_rows
        if "deals" in options.sections:
            rows += contests.measure(options.work, effort, options.seed, tell, options.real_baskets)
        if "others" in options.sections:
            rows += others.measure(options.work, effort, options.seed, tell)
        if "calls" in options.sections:
            rows += calls.measure(shop, syncs, effort, options.seed, tell)
        else:
            syncs.run()
    if "grpc" in options.sections:
        rows += loopback.measure(shop, options.work, effort, options.seed, tell)
    # Well above 1 before the run: something else had the cores too, and tails say little.
    found["load"] = f"{load_before:.1f} before, {os.getloadavg()[0]:.1f} at the end"
    return Report(found, settings, rows)


def _words(options: Options, sizes: Sizes, effort: Effort) -> dict[str, str]:
    """Return what was asked for, in words."""
    offers = ", ".join(f"{count:,}" for count in sizes.live_offers)
    return {
        "size": f"{sizes.products:,} products, {sizes.members:,} members, {offers} live offers",
        "runs": f"{effort.runs} of each row; p50, p99 and rates are medians over the runs, max"
        f" is over all; seed {options.seed}",
        "use": "quick: shows that it runs, not how fast" if options.quick else "full size",
    }
