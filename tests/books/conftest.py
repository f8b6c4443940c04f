"""One random day for all reports: it costs more than reading it."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from checklane._engine import METHODS
from checklane.config import Settings
from checklane.server import Service
from checklane.snapshot.store import Live, LiveSet, write_live
from checklane.tables.files import snapshot_hash
from checklane.v1 import ledger_pb2_grpc
from tests.books.day import Day
from tests.engine.shop import Built

SEED = 11
STEPS = 400


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="session")
def day(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """Return a day that is over; nobody changes it."""
    day = Day(built, tmp_path_factory.mktemp("day"), SEED)
    day.run(STEPS)
    yield day
    day.shop.engine.close()


class Borrowed:
    """The day's engine, which stays open when the service is done."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def close(self) -> None:
        """Leave it open."""


@pytest.fixture(scope="session")
def service(day: Day) -> Iterator[Service]:
    """Return the management port over the day's engine."""
    built = day.shop.built
    kinds = dict(map(snapshot_hash, (built.members, day.catalogue, day.program)))
    write_live(day.shop.data, Live(LiveSet(**kinds)))
    settings = Settings(data=day.shop.data, listen="127.0.0.1:0", lane_listen="", workers=2)
    engine = Borrowed(day.shop.engine)
    service = Service(settings, lambda settings, keys: engine, METHODS)
    service.start()
    yield service
    service.stop()


@pytest.fixture
def ledger(service: Service) -> Iterator[Any]:
    """Return the stub of LedgerService."""
    with grpc.insecure_channel(service.address) as channel:
        yield ledger_pb2_grpc.LedgerServiceStub(channel)
