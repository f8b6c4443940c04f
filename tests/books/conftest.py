"""One random day for all reports: it costs more than reading it."""

from collections.abc import Iterator

import pytest

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
