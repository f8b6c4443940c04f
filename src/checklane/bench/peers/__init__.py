"""The same commit done by PostgreSQL and by Redis, each a real server on this machine's disk.

``serving`` of `postgres` and `redis` starts a server in a folder and yields its `Address`;
``connect`` opens a connection from any process; ``Connection.commit`` enters one `Sale` and returns
its answer when it is durable. Programs come from Debian's packages: ``.ci/system peers``.
"""

from checklane.bench.peers.sale import (
    Address,
    Connection,
    KeyReusedError,
    Peer,
    Sale,
    make_sales,
    prove,
)

__all__ = [
    "Address",
    "Connection",
    "KeyReusedError",
    "Peer",
    "Sale",
    "connect",
    "make_sales",
    "peers",
    "prove",
]


def peers() -> tuple[Peer, ...]:
    """Return all peers, in the order in which they are reported."""
    from checklane.bench.peers import postgres, redis

    return (postgres.Postgres(), redis.Redis())


def connect(address: Address) -> Connection:
    """Open a connection to a peer's server; from any process, for one thread at a time."""
    return next(peer for peer in peers() if peer.kind == address.kind).connect(address)
