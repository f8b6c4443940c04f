"""Starts, kills and stops a server process on this machine."""

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2

from checklane.demo.failure import DemoError

READY_WITHIN_S = 60.0
STOP_WITHIN_S = 60.0
PAUSE_S = 0.05


class ServerError(DemoError):
    """The server did not come up or go down; the message holds its last words."""


def free_port() -> int:
    """Return a port on the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A `checklane serve` of its own process, on a loopback port that stays the same.

    Parameters
    ----------
    data : Path
        The data directory.
    log : Path
        Gets what the server prints, over all its lives.
    has_lanes : bool
        Whether it serves the lane port too.

    Attributes
    ----------
    address : str
        Of the management port.
    lane_address : str
        Of the lane port; empty when it has none.
    """

    def __init__(self, data: Path, log: Path, *, has_lanes: bool = False) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.lane_address = f"127.0.0.1:{free_port()}" if has_lanes else ""
        self._data = data
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the process and wait until it serves.

        Raises
        ------
        ServerError
            It ended, or was not ready in time.
        """
        command = [sys.executable, "-c", "from checklane.cli import main; main()", "serve"]
        command += ["--data", str(self._data), "--listen", self.address]
        command += ["--lane-listen", self.lane_address]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        give_up_s = time.monotonic() + READY_WITHIN_S
        with grpc.insecure_channel(self.address) as channel:
            while not _is_serving(channel):
                if self._process.poll() is not None or time.monotonic() > give_up_s:
                    raise ServerError(f"the server did not come up:\n{self._last_words()}")
                time.sleep(PAUSE_S)

    def kill(self) -> None:
        """End the process at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask the process to drain and end.

        Raises
        ------
        ServerError
            It ended with an error or not in time.
        """
        status = self._end(signal.SIGTERM)
        if status != 0:
            raise ServerError(f"the server ended with status {status}:\n{self._last_words()}")

    def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(how)
        try:
            return process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ServerError("the server did not end in time") from None

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-2000:]


def _is_serving(channel: grpc.Channel) -> bool:
    """Ask the standard health service."""
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        answer = check(health_pb2.HealthCheckRequest(), timeout=1.0)
    except grpc.RpcError:
        return False
    serving: bool = answer.status == health_pb2.HealthCheckResponse.SERVING
    return serving
