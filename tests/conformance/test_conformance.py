"""The lane port serves gRPC clients that are not ours."""

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from checklane.bench.load.run import NO_LADDER
from tests.conformance.behaviours import BEHAVIOURS, CLIENTS, NOT_OFFERED, RAW, behaviours_of
from tests.conformance.run import certificates, run_client, sale_of, tls_flags, write_plan
from tests.server.serving import Server, build_example

Results = Callable[[str], dict[str, str]]


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Return a function that starts a service of its own over the example."""
    folder = tmp_path_factory.mktemp("conformance")
    build_example(folder / "example")
    started: list[Server] = []
    numbers = itertools.count()

    def start(*flags: str) -> Server:
        data = folder / f"data-{next(numbers)}"
        shutil.copytree(folder / "example", data)
        server = Server(data, folder / f"{data.name}.log", *NO_LADDER, *flags)
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.close()


@pytest.fixture(scope="session")
def plan(
    services: Callable[..., Server], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("plan")
    own = certificates(folder)
    served, mutual = (services(*tls_flags(own, is_mutual=mutual)) for mutual in (False, True))
    return write_plan(folder, served, mutual, **own)


@pytest.fixture(scope="session")
def results(
    plan: dict[str, Any],
    services: Callable[..., Server],
    tmp_path_factory: pytest.TempPathFactory,
) -> Results:
    """Return a function that runs a client once and gives what was wrong with each behaviour."""
    folder = tmp_path_factory.mktemp("plans")

    def run(client: str, behaviours: tuple[str, ...], server: Server | None) -> dict[str, str]:
        own = {**plan, "commit_request": sale_of(CLIENTS.index(client))}
        if server is not None:
            own["address"] = server.lane_address
        path = folder / f"{client}-{'drain' if server else 'calls'}.json"
        path.write_text(json.dumps(own))
        return run_client(client, path, behaviours, server)

    @cache
    def found(client: str) -> dict[str, str]:
        names = behaviours_of(client)
        told = run(client, tuple(name for name in names if name != "drain"), None)
        return told | (run(client, ("drain",), services()) if "drain" in names else {})

    return found


@pytest.mark.parametrize(
    ("client", "behaviour"),
    [(client, behaviour) for client in CLIENTS for behaviour in behaviours_of(client)],
)
def test_client(results: Results, client: str, behaviour: str) -> None:
    assert results(client)[behaviour] == ""


def test_what_is_not_offered_is_named() -> None:
    assert set(NOT_OFFERED) <= set(CLIENTS)
    for missing in NOT_OFFERED.values():
        assert set(missing) < set(BEHAVIOURS)
        assert all(missing.values())
    assert not set(RAW) & set(BEHAVIOURS)
