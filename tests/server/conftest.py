"""A service over a fake engine, on a port that the system chooses."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from checklane.config import Settings
from checklane.server import Service
from tests.server.fakes import METHODS, FakeEngine
from tests.server.serving import Server, build_example


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data=tmp_path / "data", listen="127.0.0.1:0", lane_listen="", workers=4, streams=3
    )


@pytest.fixture
def service(engine: FakeEngine, settings: Settings) -> Iterator[Service]:
    service = Service(settings, lambda settings, keys: engine, METHODS)
    service.start()
    yield service
    if not engine.is_closed:
        service.stop()


@pytest.fixture
def channel(service: Service) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(service.address) as channel:
        yield channel


@pytest.fixture(scope="session")
def example_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory with the example live; copy it before serving from it."""
    data = tmp_path_factory.mktemp("example") / "data"
    build_example(data)
    return data


@pytest.fixture
def server(example_data: Path, tmp_path: Path) -> Iterator[Server]:
    """Return a service over the example, as a process of its own."""
    data = tmp_path / "served"
    shutil.copytree(example_data, data)
    server = Server(data, tmp_path / "server.log")
    server.start()
    yield server
    server.close()
