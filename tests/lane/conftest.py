"""One service over the example for a module's tests, reached at both of its ports."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from checklane.bench.load.run import NO_LADDER
from tests.server.serving import Server, build_example


@pytest.fixture(scope="session")
def lane_example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory with the example live; copy it before serving from it."""
    data = tmp_path_factory.mktemp("lane-example") / "data"
    build_example(data)
    return data


@pytest.fixture(scope="module")
def served(lane_example: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a service with ceilings that a test can wait for."""
    folder = tmp_path_factory.mktemp("lane")
    shutil.copytree(lane_example, folder / "data")
    server = Server(
        folder / "data",
        folder / "server.log",
        "--lane-receive-seconds", "1",
        "--lane-stall-seconds", "1",
        "--lane-calls", "16",
        "--lane-threads", "2",
        "--lane-changes", "2",
        "--metrics-listen", "127.0.0.1:0",
        *NO_LADDER,
    )  # fmt: skip
    server.lane_listen = f"127.0.0.1:0,unix:{folder / 'lane.sock'}"
    server.start()
    yield server
    server.close()
