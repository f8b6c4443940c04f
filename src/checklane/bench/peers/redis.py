"""Redis as a ledger: one Lua script a commit, appendfsync always."""

import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Literal

from checklane.bench.figures import BenchError
from checklane.bench.peers import process
from checklane.bench.peers.sale import Address, KeyReusedError, Sale

USER = "redis"
#: Everything else is as it comes: with appendfsync always an answer means durable.
SETTINGS = {
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "port": "0",
    "maxclients": "1000",
    "daemonize": "no",
}
SOCKET = "redis.sock"
RECEIVE_BYTES = 64 * 1024
NUMBERS = 3


class Redis:
    """The peer: Debian's redis-server."""

    kind: Literal["redis"] = "redis"
    name = "Redis"

    def version(self) -> str:
        """Return the version of the program that is installed."""
        told = subprocess.run(
            [process.found("redis-server"), "--version"], capture_output=True, text=True, check=True
        )
        return told.stdout.split()[2].removeprefix("v=")

    @contextmanager
    def serving(self, folder: Path) -> Iterator[Address]:
        """Run a server with its append-only file in `folder`."""
        user = process.owner(USER)
        process.give(folder, user)
        with process.sockets(user) as sockets:
            path = sockets / SOCKET
            settings = {**SETTINGS, "unixsocket": str(path), "dir": str(folder)}
            command = [process.found("redis-server")]
            for name, value in settings.items():
                command += [f"--{name}", value]
            with process.running(command, folder, user, lambda: _answers(path)):
                yield Address(self.kind, str(path))

    def connect(self, address: Address) -> "RedisConnection":
        """Open a connection with the script loaded."""
        return RedisConnection(address)


def _answers(path: Path) -> bool:
    try:
        connection = Wire(str(path))
    except OSError:
        return False
    try:
        return connection.ask([b"PING"]) == b"PONG"
    except (OSError, RedisError):
        return False
    finally:
        connection.close()


class RedisError(Exception):
    """Redis answered with an error."""


def request_bytes(words: Sequence[bytes]) -> bytes:
    """Return a command as Redis reads it: an array of bulk strings."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        parts += [b"$%d\r\n" % len(word), word, b"\r\n"]
    return b"".join(parts)


def reply_end(received: bytes | bytearray) -> int:
    """Return where the first reply ends; 0 when it is not whole yet. Arrays of strings at most."""
    return _end(received, 0)


def _end(received: bytes | bytearray, begin: int) -> int:
    line = received.find(b"\r\n", begin)
    if line < 0:
        return 0
    kind = received[begin : begin + 1]
    if kind in (b"+", b"-", b":"):
        return line + 2
    count = int(received[begin + 1 : line])
    if kind == b"$":
        end = line + 2 + (count + 2 if count >= 0 else 0)
        return end if end <= len(received) else 0
    end = line + 2
    for _ in range(max(count, 0)):
        end = _end(received, end)
        if end == 0:
            return 0
    return end


def reply_value(received: bytes) -> bytes | None:
    """Return the value of one whole reply that is no array.

    Raises
    ------
    RedisError
    """
    line = received.index(b"\r\n")
    if received[:1] == b"-":
        raise RedisError(received[1:line].decode(errors="replace"))
    if received[:1] == b"$":
        return None if received[1:2] == b"-" else received[line + 2 : -2]
    return received[1:line]


def reply_values(received: bytes) -> list[bytes | None]:
    """Return the values of one whole reply that is an array of strings."""
    at = received.index(b"\r\n") + 2
    values = []
    while at < len(received):
        end = _end(received, at)
        values.append(reply_value(received[at:end]))
        at = end
    return values


class Wire:
    """A socket that speaks Redis' protocol, a command at a time."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise

    def ask_whole(self, words: Sequence[bytes]) -> bytes:
        """Send a command and return the bytes of its reply."""
        self.socket.sendall(request_bytes(words))
        received = self.socket.recv(RECEIVE_BYTES)
        while reply_end(received) == 0:
            more = self.socket.recv(RECEIVE_BYTES)
            if not more:
                raise BenchError("Redis closed the connection")
            received += more
        return received

    def ask(self, words: Sequence[bytes]) -> bytes | None:
        """Send a command and return its value."""
        return reply_value(self.ask_whole(words))

    def close(self) -> None:
        """Close it."""
        self.socket.close()


def load_script(wire: Wire) -> bytes:
    """Load the script; return the digest by which it is called."""
    digest = wire.ask([b"SCRIPT", b"LOAD", files(__package__).joinpath("redis.lua").read_bytes()])
    assert digest is not None
    return digest


def account_name(account: int) -> bytes:
    """Return the name of an account's hash."""
    return b"a%d" % account


def commit_words(digest: bytes, sale: Sale) -> list[bytes]:
    """Return the command that commits a sale."""
    return [
        b"EVALSHA",
        digest,
        b"%d" % NUMBERS,
        account_name(sale.account),
        b"k%x:%x" % sale.key,
        b"r%x:%x" % sale.receipt,
        b"%x:%x" % sale.content,
        b"%d" % sale.purse,
        b"%d" % sale.activation_day,
        b"%d" % sale.expiry_day,
        b"%d" % sale.points,
        b"%d" % sale.day,
        sale.request,
        sale.response,
        *(b"%d" % offer for offer in sale.offers),
    ]


class RedisConnection:
    """A connection over a Unix socket."""

    def __init__(self, address: Address) -> None:
        self._wire = Wire(address.path)
        self._digest = load_script(self._wire)

    def commit(self, sale: Sale) -> bytes:
        """Enter a sale once; return its answer when it is durable."""
        try:
            answer = self._wire.ask(commit_words(self._digest, sale))
        except RedisError as failure:
            if "REUSED" in str(failure):
                raise KeyReusedError(str(failure)) from None
            raise BenchError(f"Redis: {failure}") from None
        assert answer is not None
        return answer

    def balance(self, account: int, purse: int) -> tuple[int, int, int]:
        """Return the balance, the sum of the lots, and the sum of the counted uses."""
        found = reply_values(self._wire.ask_whole([b"HGETALL", account_name(account)]))
        texts = [text for text in found if text is not None]
        pairs = zip(texts[::2], texts[1::2], strict=True)
        fields = {name.decode(): int(value) for name, value in pairs}
        lots = sum(value for name, value in fields.items() if name.startswith(f"lot:{purse}:"))
        uses = sum(value for name, value in fields.items() if name.startswith("use:"))
        return fields[f"balance:{purse}"], lots, uses

    def close(self) -> None:
        """Close it."""
        self._wire.close()
