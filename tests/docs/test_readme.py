"""The README: its lane runs and prints what it says, its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server.serving import Server, build_example

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "README.md").read_text()
ADDRESS = "127.0.0.1:7071"


@pytest.fixture
def server(tmp_path):
    build_example(tmp_path / "data")
    server = Server(tmp_path / "data", tmp_path / "log")
    server.start()
    yield server
    server.close()


def test_the_lane_in_ten_lines_runs(server):
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    text = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    assert text is not None
    command = [sys.executable, "-c", code[1].replace(ADDRESS, server.address)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == text[1]


def test_every_link_leads_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", PAGE, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
