"""One service for the tests of a file, with a door in front of it."""

from collections.abc import Iterator

import pytest

from checklane.certify.run import Session, own_session


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with own_session() as found:
        yield found
