"""Renews the kept cases.

    python -m tests.native.adversarial --update              decide them again, keep the new figures
    python -m tests.native.adversarial --search [--seeds N]  look for worse ones, keep the worst ten

An update is refused where a proven best deal gives another discount: that is no matter of steps.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.native.adversarial.breeding import breed
from tests.native.adversarial.deciding import Shop, read_cases, write_cases

KEPT = 10


def update(shop: Shop) -> int:
    """Decide the kept cases again; the number of those that must not be kept so."""
    renewed, wrong = [], 0
    for case, before in read_cases():
        now = shop.decide(case)
        both_proven = before["optimality"] == now["optimality"] == "EXACT"
        if both_proven and before["discount_minor"] != now["discount_minor"]:
            print(f"{case.name}: was {before}, is {now}")
            wrong += 1
        print(f"{case.name}: {before['steps']:,} -> {now['steps']:,} steps, {now['optimality']}")
        renewed.append((case, now))
    if not wrong:
        write_cases(renewed)
    return wrong


def search(shop: Shop, seeds: int, decisions: int) -> None:
    """Breed a case from each seed; keep the worst ten of these and the kept ones."""
    found = [(case, shop.decide(case)) for case, _ in read_cases()]
    for seed in range(seeds):
        found = [pair for pair in found if pair[0].name != f"seed {seed}"]
        case, now = breed(shop, seed, decisions)
        print(f"{case.name}: {now['steps']:,} steps, {now['optimality']}", flush=True)
        found.append((case, now))
    found.sort(key=lambda pair: (-pair[1]["steps"], pair[0].name))
    write_cases(found[:KEPT])


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.native.adversarial")
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--update", action="store_true")
    chosen.add_argument("--search", action="store_true")
    parser.add_argument("--seeds", type=int, default=14)
    parser.add_argument("--decisions", type=int, default=600)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Shop(Path(folder)) as shop:
        if options.update:
            return 1 if update(shop) else 0
        search(shop, options.seeds, options.decisions)
    return 0


if __name__ == "__main__":
    sys.exit(main())
