"""The shop: snapshots are built once; a data directory is copied for each engine."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.shop import Built, RefusedError, Shop


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def shared(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Return one shop for the tests of a module that keep to members of their own."""
    shop = Shop(built, tmp_path_factory.mktemp("shared"))
    yield shop
    shop.engine.close()


@pytest.fixture
def shop(built: Built, tmp_path: Path) -> Iterator[Shop]:
    """Return a shop with a data directory of its own."""
    shop = Shop(built, tmp_path)
    yield shop
    shop.engine.close()


@pytest.fixture
def refused() -> Callable[..., str]:
    """Return a function that calls and returns the name of the refusal."""

    def name_of(call: Callable[..., Any], *arguments: Any, **fields: Any) -> str:
        with pytest.raises(RefusedError) as caught:
            call(*arguments, **fields)
        return caught.value.name

    return name_of
