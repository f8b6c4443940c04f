"""The small data set, written once, and read once."""

import pytest

from checklane.demo.data import read_dataset
from tests.demo.small_tables import write_tables


@pytest.fixture(scope="session")
def tables(tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("tables"))


@pytest.fixture(scope="session")
def dataset(tables):
    return read_dataset(tables)
