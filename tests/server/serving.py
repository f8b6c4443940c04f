"""A real service over the example feeds: built by the command line, run as a process of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import grpc

from checklane.clock import SYSTEM_CLOCK
from checklane.v1 import ledger_pb2, ledger_pb2_grpc

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
COMMAND = [sys.executable, "-c", "from checklane.cli import main; main()"]
READY_WITHIN_S = 60
STOP_WITHIN_S = 60


def run_checklane(*arguments: str) -> str:
    """Run a verb to its end and return what it printed; its failure fails the test."""
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, f"checklane {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
    return done.stdout


def build_example(data: Path) -> None:
    """Build and activate the example's catalogue, program and members in a data directory."""
    feeds, program = EXAMPLES / "feeds", EXAMPLES / "program"
    for kind, *arguments in (
        ("catalogue", "--products", str(feeds / "products.csv"), "--stores",
         str(feeds / "stores.csv")),
        ("program", str(program)),
        ("members", "--program", str(program), "--members", str(feeds / "members.csv"),
         "--identifiers", str(feeds / "identifiers.csv"), "--wallets", str(feeds / "wallets.csv")),
    ):  # fmt: skip
        printed = run_checklane("snapshot", "build", kind, "--data", str(data), *arguments)
        name = Path(printed.strip().splitlines()[-1]).stem
        content_hash = name.partition("-")[2]
        run_checklane("snapshot", "activate", kind, content_hash, "--data", str(data))


class Server:
    """A `checklane serve` on a port of the system's choice.

    Parameters
    ----------
    data : Path
    log : Path
        Gets its log, a JSON object a line, over all its lives.
    *flags : str

    Attributes
    ----------
    started : dict
        The line that it logged when it began to serve.
    """

    def __init__(self, data: Path, log: Path, *flags: str) -> None:
        self.command = [*COMMAND, "serve", "--data", str(data), "--log-format", "json", *flags]
        self.listen = "127.0.0.1:0"
        self.lane_listen = "127.0.0.1:0"
        self.log = log
        self.started: dict[str, object] = {}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Where it listens; kept over its lives."""
        return str(self.started["listen"])

    @property
    def lane_addresses(self) -> list[str]:
        """Where it serves lanes, plain ones first; kept over its lives."""
        lanes = self.started["lanes"]
        assert isinstance(lanes, list)
        return [str(lane) for lane in lanes]

    @property
    def lane_address(self) -> str:
        """Where it serves lanes: the first address."""
        return self.lane_addresses[0]

    @property
    def lane_tls_address(self) -> str:
        """Where it serves lanes over TLS, where it does: the last address."""
        return self.lane_addresses[-1]

    def start(self) -> None:
        """Start it and wait for the line that says that it serves."""
        self.log.touch()
        offset = self.log.stat().st_size
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "--listen", self.listen, "--lane-listen", self.lane_listen],
                stderr=log,
                stdout=log,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        end_s = SYSTEM_CLOCK.monotonic_s() + READY_WITHIN_S
        while not (found := [e for e in self.events(offset) if e["event"] == "serving"]):
            assert self.process.poll() is None, self.log.read_text()[offset:]
            assert SYSTEM_CLOCK.monotonic_s() < end_s, self.log.read_text()[offset:]
            SYSTEM_CLOCK.sleep(0.02)
        self.started = found[0]
        self.listen = self.address
        self.lane_listen = ",".join(self.lane_addresses)

    def events(self, offset: int = 0) -> list[dict[str, object]]:
        """Return the lines that it logged, as far as they are whole."""
        lines = self.log.read_text()[offset:].split("\n")[:-1]
        return [json.loads(line) for line in lines if line.startswith("{")]

    def end(self, how: signal.Signals) -> int:
        """Send a signal and return the exit status."""
        process, self.process = self.process, None
        assert process is not None
        process.send_signal(how)
        return process.wait(STOP_WITHIN_S)

    def close(self) -> None:
        """End it if it still runs."""
        if self.process is not None:
            self.end(signal.SIGKILL)


def last_lsn(address: str) -> int:
    """Return the last durable position of a service's journal."""
    with grpc.insecure_channel(address) as channel:
        stub = ledger_pb2_grpc.LedgerServiceStub(channel)
        pages = list(stub.StreamEntries(ledger_pb2.StreamEntriesRequest(), timeout=30))
    return int(pages[-1].durable_lsn)
