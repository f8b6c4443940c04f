"""A small seeded shop that every benchmark here shares, and its engine."""

import pytest

from checklane.bench.world import QUICK, make_world, opened

SEED = 1


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("bench"), QUICK, SEED)


@pytest.fixture
def engine(world):
    with opened(world, world.usual, sessions=4) as engine:
        yield engine
