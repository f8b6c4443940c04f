"""The same decisions and the same step counts, whatever vectors the compiler may use."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from checklane.bench.deals import FAMILIES, make_deal
from tests.native.families import realistic_case
from tests.native.harness import Harness, build
from tests.native.world import make_basket, make_facts, make_program
from tests.optimum.instances import call_of

#: Builds by name, each with the words of /proc/cpuinfo that it needs to run.
V3 = {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}
V4 = V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
BUILDS = {"x86-64-v2": set(), "x86-64-v3": V3, "x86-64-v4": V4}
#: Without it all builds would take the widest registers that this machine has for the tableau.
OWN_WIDTH = "-DLP_WIDTH_OF_BUILD"
DEALS = 280


def builds() -> dict[str, set[str]]:
    """Return the builds of this machine; another architecture has its baseline only, twice."""
    is_x86 = os.uname().machine == "x86_64"
    return BUILDS if is_x86 else {"baseline": set(), "native": set()}


def cpu_words() -> set[str]:
    """Return what the processor says that it can do."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            return set(line.partition(":")[2].split())
    return set()


def flags_of(name: str) -> tuple[str, ...]:
    """Return the compiler's flags of a build, optimized as the wheel is."""
    machine = {"baseline": (), "native": ("-mcpu=native",)}
    return ("-O3", OWN_WIDTH, *machine.get(name, (f"-march={name}",)))


def calls() -> list[tuple[Any, ...]]:
    """Return deals of every family, small and large, with ample and with little budget."""
    found = []
    for number in range(DEALS):
        lines, offers = ((6, 4), (20, 10), (40, 20), (12, 9))[number % 4]
        family = FAMILIES[number // 4 % len(FAMILIES)]
        budget = (0, 20_000)[number % 3 == 0]
        found.append(call_of(make_deal(family, number, lines, offers), step_budget=budget))
    for seed in range(40):
        offers, lines, products = realistic_case(seed, 30, 15)
        found.append((make_program(offers, products), make_basket(lines), make_facts()))
    return found


def has_wide_registers(folder: Path) -> set[str]:
    """Return which of the wider registers the tableau's code of a build uses."""
    (module,) = (folder / "checklane").glob("resolve.*.so")
    command = ["objdump", "--disassemble", "--no-show-raw-insn", str(module)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name for name in ("%ymm", "%zmm") if name in text}


def test_every_build_decides_alike_in_as_many_steps(tmp_path):
    wanted = calls()
    answers = {}
    with ThreadPoolExecutor(2) as pool:
        folders = dict(
            zip(
                builds(),
                pool.map(lambda name: build(tmp_path / name, flags_of(name)), builds()),
                strict=True,
            )
        )
    if "x86-64-v2" in folders:
        widths = [has_wide_registers(folder) for folder in folders.values()]
        assert widths[:2] == [set(), {"%ymm"}]
        assert "%zmm" in widths[2]
    for name, needed in builds().items():
        if needed - cpu_words():
            print(f"{name}: built, cannot run here")
            continue
        with Harness(folders[name]) as running:
            answers[name] = [answer[:2] for answer in running.decide_all(wanted)]
        print(f"{name}: built and run")
    assert len(answers) > 1
    first, *others = answers.values()
    assert all(status == 0 for status, _ in first)
    assert sum(decision["optimality"] != 1 for _, decision in first) > 10
    assert sum(decision["steps"] for _, decision in first) > 100_000
    for name, other in zip(list(answers)[1:], others, strict=True):
        for number, (one, two) in enumerate(zip(first, other, strict=True)):
            assert one == two, (name, number)
