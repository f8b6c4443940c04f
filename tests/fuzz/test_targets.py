"""The fuzz targets build, and hold for their first inputs and some thousands of changed ones."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, build, lane_environment, write_inputs, write_tables

CASES = {"wire": 40000, "gs1": 40000, "capsule": 20000, "snapshot": 20000, "lane": 4000}


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    return write_tables(folder / "tables", folder / "data")


@pytest.fixture(scope="module")
def lane_data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return lane_environment(tmp_path_factory.mktemp("lane") / "data")


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs_break_nothing(
    name: str, tables: Path, lane_data: dict[str, str], tmp_path: Path
) -> None:
    driver = build(TARGETS[name], tmp_path / name, with_libfuzzer=False)
    inputs = write_inputs(TARGETS[name], tmp_path / "inputs")
    done = subprocess.run(
        [driver, str(CASES[name]), "20261122", *inputs],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "CHECKLANE_TABLES": str(tables), **lane_data},
    )
    said = done.stderr[-4000:]
    assert done.returncode == 0, said
    _, tried, _, accepted = done.stdout.split()
    assert int(tried) == len(inputs) + CASES[name]
    assert int(accepted) > CASES[name] // 50
