"""Feeds on disk, and the compiled probe that opens snapshots as the engine does."""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.snapshot.members import Built, MemberFeeds, build_members
from tests.house.tree import NATIVE
from tests.snapshot import samples

SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
Probe = Callable[..., list[str]]


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """Return a function that runs the probe and gives its lines; a crash fails the test."""
    binary = tmp_path_factory.mktemp("probe") / "probe"
    sources = [Path(__file__).with_name("probe.c"), NATIVE / "snapshot.c"]
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O1", "-g", *SANITIZERS, f"-I{NATIVE.parent}"]
    command = ["cc", *flags, *map(str, sources), "-llmdb", "-o", str(binary)]
    subprocess.run(command, check=True)

    def run(mode: str, kind: str, paths: Sequence[Path], questions: str = "") -> list[str]:
        done = subprocess.run(
            [binary, mode, kind, *paths],
            input=questions,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=1"},
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout.splitlines()

    return run


@pytest.fixture
def members(tmp_path: Path) -> Built:
    """Build the sample members."""
    feeds = MemberFeeds(
        [samples.write_csv(tmp_path / "members.csv", samples.MEMBERS)],
        [samples.write_csv(tmp_path / "identifiers.csv", samples.IDENTIFIERS)],
        [samples.write_csv(tmp_path / "wallets.csv", samples.WALLETS)],
    )
    return build_members(feeds, samples.VOCABULARY, samples.KEYS, tmp_path / "snapshots")


@pytest.fixture
def catalogue(tmp_path: Path) -> Built:
    """Build the sample catalogue."""
    feeds = CatalogueFeeds(
        [samples.write_csv(tmp_path / "products.csv", samples.PRODUCTS)],
        [samples.write_csv(tmp_path / "stores.csv", samples.STORES)],
    )
    return build_catalogue(feeds, tmp_path / "snapshots")
