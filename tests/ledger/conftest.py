"""Data directories made by the ledger's own harness, with segments and memtables of small sizes."""

import shutil

import pytest
from click.testing import CliRunner

from checklane.cli import main
from tests.native.test_ledger import harness, run

__all__ = ["harness"]


@pytest.fixture(scope="session")
def loaded(harness, tmp_path_factory):
    """Return a directory of 800 entries in several segments, all covered by the accounts."""
    data = tmp_path_factory.mktemp("loaded")
    run(harness("plain"), "load", data, 1)
    return data


@pytest.fixture
def data(loaded, tmp_path):
    """Return a copy of `loaded` to do with as one likes."""
    return shutil.copytree(loaded, tmp_path / "data")


@pytest.fixture
def cli():
    """Return a function that runs `checklane ledger`: exit status and what it printed."""

    def call(*words):
        result = CliRunner().invoke(main, ["ledger", *map(str, words)])
        assert result.exception is None or isinstance(result.exception, SystemExit), result
        return result.exit_code, result.output

    return call
