"""A committed sale decided again from its entry alone, on another machine, is the same bytes."""

import random

import numpy as np
import pytest

from checklane import _layout
from checklane.v1 import checkout_pb2
from tests.engine.shop import NAMES, Shop, basket, open_engine


def padded(size):
    return (int(size) + 15) // 16 * 16


def sections(entry):
    """Return an entry's header, facts header and response."""
    header = np.frombuffer(entry, dtype=_layout.ENTRY_HEADER, count=1)[0]
    facts_at = padded(_layout.ENTRY_HEADER.itemsize) + padded(header["request_bytes"])
    moves_at = facts_at + padded(header["facts_bytes"])
    response_at = moves_at + padded(header["movement_count"] * _layout.MOVEMENT.itemsize)
    facts = None
    if header["facts_bytes"] >= _layout.FACTS_HEADER.itemsize:
        facts = np.frombuffer(entry, dtype=_layout.FACTS_HEADER, count=1, offset=facts_at)[0]
    return header, facts, entry[response_at : response_at + int(header["response_bytes"])]


def files_of(shop, facts):
    """Return the snapshot files that an entry names."""
    return [
        str(shop.data / "snapshots" / f"{kind}-{facts[f'{kind}_hash'].tobytes().hex()}.lmdb")
        for kind in ("program", "catalogue")
    ]


def commits(shop):
    """Return every commit of the journal."""
    found = []
    for entry in shop.engine.read_entries(1, 10_000, 1 << 26):
        header, facts, response = sections(entry)
        if header["kind"] == _layout.ENTRY_COMMIT:
            found.append((entry, facts, response))
    return found


def trade(shop, seed):
    """Sell all sorts of baskets, with the program and the members changing in between."""
    draw = random.Random(seed)
    programs = [shop.built.program, shop.built.cheaper, shop.built.lenient, shop.built.strict]
    for number in range(60):
        lines = [
            (draw.choice([100, 200, 300]), draw.randint(1, 5), draw.randint(1, 2000))
            for _ in range(draw.randint(1, 6))
        ]
        member = draw.choice(["ben", "ann", None])
        sale = shop.sale(basket(*lines, member=member), paid=draw.random() < 0.3)
        if draw.random() < 0.2:
            sale.paid = True
            sale.figures.discount_minor = draw.randint(0, 100)
        if draw.random() < 0.1:
            shop.void(shop.void_request(original_receipt=sale.receipt))
        shop.commit(sale)
        if number % 6 == 5:
            shop.activate(draw.choice(programs), shop.built.catalogue)
        if number % 10 == 9:
            shop.stop("plain", resume=number % 20 == 19)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_sale_comes_out_the_same_on_another_machine(shop, tmp_path, seed):
    trade(shop, seed)
    (tmp_path / "other").mkdir()
    other = open_engine(tmp_path / "other")
    try:
        entries = commits(shop)
        assert len(entries) == 60
        assert len({facts["program_hash"].tobytes() for _, facts, _ in entries}) > 1
        for entry, facts, response in entries:
            assert other.replay(entry, *files_of(shop, facts)) == (0, response)
    finally:
        other.close()


def test_other_snapshots_and_other_entries_are_refused(shop: Shop):
    shop.commit(shop.sale(basket((100, 2, 1000), member="ben")))
    shop.stop("plain")
    ((entry, facts, response),) = commits(shop)
    program, catalogue = files_of(shop, facts)
    status, place = shop.engine.replay(entry, str(shop.built.cheaper), catalogue)
    assert (NAMES[status], place) == ("SNAPSHOT_MISMATCH", "program")
    *_, stop = shop.engine.read_entries(1, 10_000, 1 << 26)
    status, place = shop.engine.replay(stop, program, catalogue)
    assert (NAMES[status], place) == ("FIELD_OUT_OF_RANGE", "entry")
    for length in range(0, len(entry) - len(response), 8):
        status, _ = shop.engine.replay(entry[:length], program, catalogue)
        assert NAMES[status] in {"FIELD_OUT_OF_RANGE", "OK"}


def test_a_changed_fact_changes_the_answer(shop: Shop):
    """The facts are what is read: without the member's tier the price is another."""
    card = basket((400, 1, 1000), member="ben")
    shop.update("ben", tier_id="gold")
    shop.commit(shop.sale(card))
    ((entry, facts, response),) = commits(shop)
    header = np.frombuffer(entry, dtype=_layout.ENTRY_HEADER, count=1)[0]
    facts_at = padded(_layout.ENTRY_HEADER.itemsize) + padded(header["request_bytes"])
    forged = bytearray(entry)
    view = np.frombuffer(forged, dtype=_layout.FACTS_HEADER, count=1, offset=facts_at)
    view["record"]["tier"] = 0
    status, answer = shop.engine.replay(bytes(forged), *files_of(shop, facts))
    assert status == 0
    assert answer != response
    decided = checkout_pb2.CommitTransactionResponse.FromString(answer).decision
    sold = checkout_pb2.CommitTransactionResponse.FromString(response).decision
    assert decided.totals.discount_minor < sold.totals.discount_minor
