"""The peers' clients without their servers; ``make bench-ledger`` proves the servers themselves."""

import itertools

import pytest

from checklane.bench.figures import BenchError
from checklane.bench.peers import KeyReusedError, connect, make_sales, peers, prove
from checklane.bench.peers.process import give, owner, running
from checklane.bench.peers.redis import (
    RedisError,
    reply_end,
    reply_value,
    reply_values,
    request_bytes,
)
from checklane.bench.peers.sale import Address


class Ledger:
    """A peer in memory, with a fault of one's choice."""

    def __init__(self, fault=""):
        self.fault = fault
        self.bound = {}
        self.accounts = {}

    def commit(self, sale):
        for name in (("key", sale.key), ("receipt", sale.receipt)):
            if name in self.bound and self.fault != f"forgets {name[0]}":
                content, response = self.bound[name]
                if content != sale.content and self.fault != "content":
                    raise KeyReusedError(name[0])
                return sale.response if self.fault == "another answer" else response
        for name in (("key", sale.key), ("receipt", sale.receipt)):
            self.bound[name] = (sale.content, sale.response)
        balance, lots, uses = self.accounts.get(sale.account, (0, 0, 0))
        lots += 0 if self.fault == "lots" else sale.points
        uses += len(sale.offers)
        self.accounts[sale.account] = (balance + sale.points, lots, uses)
        return b"" if self.fault == "answer" else sale.response

    def balance(self, account, purse):
        return self.accounts[account]

    def close(self):
        pass


def sales(count=20):
    return list(itertools.islice(make_sales(1, accounts=3), count))


def test_sales_repeat_by_seed_and_share_no_key():
    assert sales() == sales()
    other = list(itertools.islice(make_sales(1, accounts=3, lane=1), 20))
    assert not {sale.key for sale in sales()} & {sale.key for sale in other}
    assert not {sale.receipt for sale in sales()} & {sale.receipt for sale in other}


def test_a_right_peer_is_proven():
    prove(Ledger(), sales())


@pytest.mark.parametrize(
    "fault", ["forgets key", "forgets receipt", "content", "another answer", "lots", "answer"]
)
def test_a_wrong_peer_is_found_out(fault):
    with pytest.raises(BenchError):
        prove(Ledger(fault), sales())


def test_what_redis_answers():
    assert request_bytes([b"GET", b"a\r\nb"]) == b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n"
    whole = b"$5\r\na\r\nbc\r\n"
    assert [reply_end(whole[:n]) for n in range(len(whole))] == [0] * len(whole)
    assert reply_end(whole + b"+OK\r\n") == len(whole)
    assert reply_value(whole) == b"a\r\nbc"
    assert reply_value(b"$-1\r\n") is None
    assert reply_value(b":12\r\n") == b"12"
    array = b"*3\r\n$1\r\na\r\n:7\r\n$-1\r\n"
    assert reply_end(array) == len(array)
    assert reply_end(array[:-1]) == 0
    assert reply_values(array) == [b"a", b"7", None]
    with pytest.raises(RedisError, match="NOSCRIPT"):
        reply_value(b"-NOSCRIPT none\r\n")


def test_each_peer_has_an_address_of_its_own(tmp_path):
    assert [peer.kind for peer in peers()] == ["postgres", "redis"]
    with pytest.raises(OSError, match="No such file"):
        connect(Address("redis", str(tmp_path / "nothing")))


def test_a_server_that_fails_is_told(tmp_path):
    folder = tmp_path / "server"
    give(folder, None)
    with (
        pytest.raises(BenchError, match="no such room"),
        running(["sh", "-c", "echo no such room; exit 3"], folder, None, lambda: False),
    ):
        pass
    with (
        pytest.raises(BenchError, match="ended with 3"),
        running(["sh", "-c", "trap 'exit 3' TERM; touch up; while :; do sleep 0.01; done"],
                folder, None, (folder / "up").exists),
    ):  # fmt: skip
        pass


def test_a_user_that_is_not_there_is_not_asked_for():
    assert owner("nobody-of-that-name") is None
