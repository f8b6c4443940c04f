"""The spool: durable, bounded, whole after any crash, and damage is named."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from checklane.client import Spool
from checklane.errors import SpoolError
from checklane.v1 import checkout_pb2, common_pb2

REFUSAL = common_pb2.Refusal(code=3, reason="LINES_EMPTY", message="no lines")


def item(text: str = "x") -> checkout_pb2.UploadTransactionsRequest:
    message = checkout_pb2.UploadTransactionsRequest()
    message.commit_transaction.context.idempotency_key = text
    return message


def keys(spool: Spool) -> list[str]:
    """Return the keys of what waits, oldest first."""
    found, number = [], spool.waiting()
    while number is not None:
        found.append(spool.read(number).commit_transaction.context.idempotency_key)
        number = spool.waiting(number)
    return found


def reason_of(caught: pytest.ExceptionInfo[SpoolError]) -> str:
    return caught.value.reason


def test_what_was_appended_is_there_again_in_order(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool") as spool:
        assert [spool.append(item(f"key-{n}")) for n in range(5)] == [1, 2, 3, 4, 5]
        spool.done(2)
    with Spool(tmp_path / "spool") as spool:
        assert keys(spool) == ["key-0", "key-2", "key-3", "key-4"]
        assert (len(spool), spool.cut_bytes) == (4, 0)
        assert spool.append(item("more")) == 6
        assert spool.read(6).item_id == 6


def test_it_is_bounded_by_count_and_bytes(tmp_path: Path) -> None:
    with Spool(tmp_path / "few", items_max=2) as spool:
        first = spool.append(item())
        spool.append(item())
        with pytest.raises(SpoolError) as caught:
            spool.append(item())
        assert reason_of(caught) == "SPOOL_FULL"
        spool.done(first)
        spool.append(item())
    with Spool(tmp_path / "small", bytes_max=1000) as spool:
        spool.append(item("x" * 400))
        spool.append(item("x" * 400))
        with pytest.raises(SpoolError) as caught:
            spool.append(item("x" * 400))
        assert reason_of(caught) == "SPOOL_FULL"
        assert len(spool) == 2


def test_the_file_stays_small_over_many_items(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    with Spool(path) as spool:
        kept = spool.append(item("kept"))
        spool.refused(spool.append(item("bad")), REFUSAL)
        for number in range(2000):
            spool.done(spool.append(item(f"{number}" * 20)))
            assert path.stat().st_size < 200_000
        assert spool.waiting() == kept
        last = spool.append(item("last"))
    with Spool(path) as spool:
        assert keys(spool) == ["kept", "last"]
        assert [found.refusal for found in spool.list_refused()] == [REFUSAL]
        assert spool.append(item()) == last + 1


def test_what_was_refused_is_kept_until_it_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    with Spool(path) as spool:
        number = spool.append(item("bad"))
        spool.append(item("good"))
        spool.refused(number, REFUSAL)
        assert keys(spool) == ["good"]
    with Spool(path) as spool:
        (found,) = spool.list_refused()
        assert found.number == number
        assert found.item.commit_transaction.context.idempotency_key == "bad"
        assert found.refusal == REFUSAL
        spool.drop_refused(number)
    with Spool(path) as spool:
        assert (spool.list_refused(), keys(spool)) == ([], ["good"])


def test_a_torn_tail_is_cut_at_every_length(tmp_path: Path) -> None:
    path, cut = tmp_path / "spool", tmp_path / "cut"
    with Spool(path) as spool:
        spool.append(item("first"))
        whole = path.stat().st_size
        spool.append(item("second"))
    content = path.read_bytes()
    for size in range(whole, len(content)):
        cut.write_bytes(content[:size])
        with Spool(cut) as spool:
            assert (keys(spool), spool.cut_bytes) == (["first"], size - whole)
            spool.append(item("third"))
        with Spool(cut) as spool:
            assert keys(spool) == ["first", "third"]


def test_a_write_that_landed_in_part_is_cut_too(tmp_path: Path) -> None:
    """DONE is not synced by itself: what is written behind it may land before it does."""
    path = tmp_path / "spool"
    with Spool(path) as spool:
        number = spool.append(item("first"))
        whole = path.stat().st_size
        spool.done(number)
        done_end = path.stat().st_size
        spool.append(item("second"))
    content = path.read_bytes()
    path.write_bytes(content[:whole] + bytes(done_end - whole) + content[done_end:])
    with Spool(path) as spool:
        assert (keys(spool), spool.cut_bytes) == (["first"], len(content) - whole)
        assert path.stat().st_size == whole


def test_no_number_is_used_twice(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    with Spool(path) as spool:
        before, number = -1, 0
        while path.stat().st_size > before:
            before = path.stat().st_size
            number = spool.append(item("x" * 500))
            spool.done(number)
    with Spool(path) as spool:
        assert spool.append(item()) == number + 1


def test_damage_is_named_and_nothing_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    with Spool(path) as spool:
        for number in range(3):
            spool.append(item(f"key-{number}"))
    content = path.read_bytes()
    each = len(content) // 3
    draw = random.Random(1)
    for _ in range(100):
        broken = bytearray(content)
        at = draw.randrange(2 * each)
        broken[at] ^= 1 << draw.randrange(8)
        path.write_bytes(broken)
        with pytest.raises(SpoolError) as caught:
            Spool(path)
        assert reason_of(caught) == "SPOOL_DAMAGED"
        assert path.read_bytes() == broken


def test_a_record_that_changes_under_an_open_spool_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    with Spool(path) as spool:
        number = spool.append(item("key"))
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(SpoolError) as caught:
            spool.read(number)
        assert reason_of(caught) == "SPOOL_DAMAGED"


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    with Spool(path):
        with pytest.raises(SpoolError) as caught:
            Spool(path)
        assert reason_of(caught) == "SPOOL_BUSY"
    Spool(path).close()


def test_a_disk_that_takes_no_more_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpoolError) as caught:
        Spool(tmp_path / "missing" / "spool")
    assert reason_of(caught) == "SPOOL_UNWRITABLE"
    code = """
import resource, sys
from pathlib import Path
from checklane.client import Spool
from checklane.errors import SpoolError
from checklane.v1 import checkout_pb2
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
spool = Spool(Path(sys.argv[1]))
item = checkout_pb2.UploadTransactionsRequest()
item.commit_transaction.context.idempotency_key = "x" * 1000
try:
    for _ in range(10): spool.append(item)
except SpoolError as error:
    print(error.reason, len(spool))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "spool")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "SPOOL_UNWRITABLE 4\n"
    with Spool(tmp_path / "spool") as spool:
        assert (len(spool), spool.cut_bytes) == (4, 0)


def test_an_append_is_synced_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    real = os.fdatasync

    def fdatasync(file: int) -> None:
        real(file)
        synced.append(os.fstat(file).st_size)

    with Spool(tmp_path / "spool") as spool:
        monkeypatch.setattr(os, "fdatasync", fdatasync)
        for number in range(1, 4):
            spool.append(item())
            assert synced[-1] == (tmp_path / "spool").stat().st_size
            assert len(synced) == number
