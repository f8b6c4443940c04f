"""PostgreSQL as a ledger: one function a commit, synchronous_commit on."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import psycopg
from psycopg import pq

from checklane.bench.figures import BenchError
from checklane.bench.peers import process
from checklane.bench.peers.sale import Address, KeyReusedError, Sale

#: Where Debian puts what is not on everybody's path, newest last.
PROGRAMS = Path("/usr/lib/postgresql")
USER = "postgres"
#: Everything else is as it comes. The first four say aloud what is the default already: an answer
#: means durable. The others give it memory and spare it checkpoints that a default of 1 GB forces.
SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_sync_method": "fdatasync",
    "shared_buffers": "1GB",
    "max_wal_size": "4GB",
    "max_connections": "400",
    "listen_addresses": "",
}
STATEMENT = b"commit"
CALL = """SELECT commit_sale($1::bigint, $2::bigint, $3::bigint, $4::bigint, $5::bigint,
    $6::bigint, $7::bigint, $8::smallint, $9::integer, $10::integer, $11::bigint,
    $12::integer[], $13::integer, $14::bytea, $15::bytea)"""
PARAMETERS = 15
FORMATS = [pq.Format.TEXT] * 13 + [pq.Format.BINARY] * 2
BALANCE = """SELECT
    (SELECT points FROM balances WHERE account = %(account)s AND purse = %(purse)s),
    (SELECT sum(points) FROM lots WHERE account = %(account)s AND purse = %(purse)s)::bigint,
    (SELECT sum(uses) FROM counters WHERE account = %(account)s)::bigint"""


def program(name: str) -> str:
    """Return the path of one of PostgreSQL's programs, of the newest version."""
    folders = sorted(PROGRAMS.glob("*/bin"), key=lambda path: int(path.parent.name))
    return process.found(name, folders[::-1])


class Postgres:
    """The peer: Debian's postgresql."""

    kind: Literal["postgres"] = "postgres"
    name = "PostgreSQL"

    def version(self) -> str:
        """Return the version of the program that is installed."""
        told = subprocess.run(
            [program("postgres"), "--version"], capture_output=True, text=True, check=True
        )
        return told.stdout.split()[2]

    @contextmanager
    def serving(self, folder: Path) -> Iterator[Address]:
        """Make a cluster in `folder`, with the function in it, and run it."""
        user = process.owner(USER)
        process.give(folder, user)
        data = folder / "data"
        command = [program("initdb"), "-D", str(data), "--username", USER]
        command += ["--auth=trust", "--no-locale", "--encoding=UTF8"]
        made = subprocess.run(
            command, cwd=folder, user=user, group=user, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode != 0:
            raise BenchError(f"initdb failed:\n{made.stderr[-2000:]}")
        with process.sockets(user) as sockets:
            settings = {**SETTINGS, "unix_socket_directories": str(sockets)}
            command = [program("postgres"), "-D", str(data)]
            for name, value in settings.items():
                command += ["-c", f"{name}={value}"]
            with process.running(command, folder, user, lambda: _answers(sockets), signal.SIGINT):
                with psycopg.connect(dsn(sockets), autocommit=True) as connection:
                    source = files(__package__).joinpath("postgres.sql").read_text("utf-8")
                    connection.execute(source.encode())
                yield Address(self.kind, str(sockets))

    def connect(self, address: Address) -> "PostgresConnection":
        """Open a connection with the statement prepared."""
        return PostgresConnection(address)


def dsn(sockets: str | os.PathLike[str]) -> str:
    """Return what libpq connects by."""
    return f"host={os.fspath(sockets)} user={USER} dbname=postgres"


def _answers(sockets: Path) -> bool:
    try:
        psycopg.connect(dsn(sockets)).close()
    except psycopg.OperationalError:
        return False
    return True


class PostgresConnection:
    """A connection through libpq itself: psycopg's cursors would add what is not PostgreSQL's."""

    def __init__(self, address: Address) -> None:
        self._connection = psycopg.connect(dsn(address.path), autocommit=True)
        self._libpq: Any = self._connection.pgconn
        result = self._libpq.prepare(STATEMENT, CALL.encode())
        if result.status != pq.ExecStatus.COMMAND_OK:
            raise BenchError(f"PostgreSQL: {result.error_message.decode(errors='replace')}")

    def commit(self, sale: Sale) -> bytes:
        """Enter a sale once; return its answer when it is durable."""
        numbers = (
            *sale.key, *sale.content, *sale.receipt,
            sale.account, sale.purse, sale.activation_day, sale.expiry_day, sale.points,
        )  # fmt: skip
        parameters = [b"%d" % number for number in numbers]
        parameters.append(b"{%s}" % b",".join(b"%d" % offer for offer in sale.offers))
        parameters += [b"%d" % sale.day, sale.request, sale.response]
        result = self._libpq.exec_prepared(STATEMENT, parameters, FORMATS, pq.Format.BINARY)
        if result.status != pq.ExecStatus.TUPLES_OK:
            words = result.error_message.decode(errors="replace")
            if "_REUSED" in words:
                raise KeyReusedError(words)
            raise BenchError(f"PostgreSQL: {words}")
        answer = result.get_value(0, 0)
        assert isinstance(answer, bytes)
        return answer

    def balance(self, account: int, purse: int) -> tuple[int, int, int]:
        """Return the balance, the sum of the lots, and the sum of the counted uses."""
        row = self._connection.execute(BALANCE, {"account": account, "purse": purse}).fetchone()
        assert row is not None
        return row[0], row[1], row[2]

    def close(self) -> None:
        """Close it."""
        self._connection.close()
