"""StreamEntries: pages of the journal, in order, as the contract tells them."""

import threading

import grpc
import numpy as np
import pytest

from checklane import _layout, errors
from checklane.books.entries import split_entry
from checklane.server.entries import ENTRY_KINDS
from checklane.v1 import checkout_pb2, decision_pb2, ledger_pb2
from tests.server.hostile_requests import commit

METHOD = "/checklane.v1.LedgerService/StreamEntries"


def section(content):
    return content + bytes(-len(content) % 16)


def entry_bytes(lsn, kind=_layout.ENTRY_COMMIT, request=b"", movements=(), response=b""):
    """Return an entry as the journal writes it, but for the checksums."""
    header = np.zeros((), dtype=_layout.ENTRY_HEADER)
    facts = np.zeros((), dtype=_layout.FACTS_HEADER)
    facts["program_hash"] = np.arange(16)
    facts["degraded_level"] = 1
    moved = np.zeros(len(movements), dtype=_layout.MOVEMENT)
    for record, (family, cell_kind, value) in zip(moved, movements, strict=True):
        record["record"]["family"], record["record"]["hi"] = family, 7
        record["cell"]["kind"], record["cell"]["value"] = cell_kind, value
    header["kind"], header["lsn"], header["member"] = kind, lsn, 2**63 + 5
    header["business_date"] = 20260302
    header["request_bytes"], header["response_bytes"] = len(request), len(response)
    header["facts_bytes"], header["movement_count"] = facts.nbytes, len(movements)
    parts = (facts.tobytes(), moved.tobytes(), response)
    body = section(request) + b"".join(map(section, parts))
    header["length"] = len(section(header.tobytes())) + len(body)
    return section(header.tobytes()) + body


def sale(lsn):
    response = checkout_pb2.CommitTransactionResponse()
    response.decision.totals.due_minor = 298
    response.decision.totals.discount_minor = 100
    response.decision.earned.add(purse_id="points", points=5)
    response.decision.redemptions.add(
        purse_id="points", points=2, state=decision_pb2.REDEMPTION_STATE_TAKEN
    )
    response.decision.redemptions.add(
        purse_id="points", points=50, state=decision_pb2.REDEMPTION_STATE_AVAILABLE
    )
    movements = (
        (_layout.FAMILY_GROUP, _layout.CELL_LOT, 5),
        (_layout.FAMILY_GROUP, _layout.CELL_LOT, -2),
        (_layout.FAMILY_KEY, _layout.CELL_ENTRY, 1),
    )
    request = commit()
    request.context.correlation_id = "c-1"
    return entry_bytes(
        lsn,
        request=request.SerializeToString(),
        movements=movements,
        response=response.SerializeToString(),
    )


@pytest.fixture
def stream(channel):
    def stream(**fields):
        call = channel.unary_stream(
            METHOD, response_deserializer=ledger_pb2.StreamEntriesResponse.FromString
        )
        request = ledger_pb2.StreamEntriesRequest(**fields)
        return call(request.SerializeToString(), timeout=30)

    return stream


def entries_of(pages):
    return [entry for page in pages for entry in page.entries]


def test_a_sale_is_told_whole(engine, stream):
    engine.entries = [sale(1)]
    (entry,) = entries_of(stream())
    assert (entry.lsn, entry.kind) == (1, ledger_pb2.LEDGER_ENTRY_KIND_SALE)
    assert entry.method == "CheckoutService/CommitTransaction"
    assert (entry.store_id, entry.till_id, entry.correlation_id) == ("S001", "1", "c-1")
    assert (entry.receipt.sequence, entry.business_date) == (1, 20260302)
    assert (entry.due_minor, entry.discount_minor) == (298, 100)
    assert [(each.purse_id, each.points) for each in entry.points] == [("points", 3)]
    assert entry.member_number == 2**63 + 5
    assert entry.program_hash == bytes(range(16))
    assert entry.degraded_level == decision_pb2.DEGRADED_LEVEL_FULL
    assert not entry.request
    assert not entry.movements


def test_bodies_and_movements_come_when_they_are_asked_for(engine, stream):
    engine.entries = [sale(1)]
    (entry,) = entries_of(stream(include_bodies=True, include_movements=True))
    assert checkout_pb2.CommitTransactionRequest.FromString(entry.request).basket.store_id == "S001"
    assert entry.response
    kinds = [(movement.kind, movement.points) for movement in entry.movements]
    assert kinds == [
        (ledger_pb2.MOVEMENT_KIND_LOT_ADDED, 5),
        (ledger_pb2.MOVEMENT_KIND_LOT_SPENT, -2),
        (ledger_pb2.MOVEMENT_KIND_KEY_BOUND, 0),
    ]


def test_pages_follow_without_a_gap(engine, stream):
    engine.entries = [entry_bytes(lsn) for lsn in range(1, 601)]
    pages = list(stream(from_lsn=5))
    assert [entry.lsn for entry in entries_of(pages)] == list(range(5, 601))
    assert len(pages) > 2
    assert (pages[-1].next_lsn, pages[-1].durable_lsn) == (601, 7)
    assert [entry.lsn for entry in entries_of(stream(entry_limit=300))] == list(range(1, 301))


def test_an_empty_journal_is_one_empty_page(stream):
    (page,) = stream()
    assert (list(page.entries), page.next_lsn) == ([], 1)


def test_kinds_filter(engine, stream):
    engine.entries = [
        entry_bytes(1),
        entry_bytes(2, _layout.ENTRY_VOID),
        entry_bytes(3, _layout.ENTRY_RECOVERED),
        entry_bytes(4),
    ]
    void, system = ledger_pb2.LEDGER_ENTRY_KIND_VOID, ledger_pb2.LEDGER_ENTRY_KIND_SYSTEM
    assert [entry.lsn for entry in entries_of(stream(kinds=[void, system]))] == [2, 3]
    sales = [ledger_pb2.LEDGER_ENTRY_KIND_SALE]
    assert [entry.lsn for entry in entries_of(stream(kinds=sales, entry_limit=2))] == [1, 4]


def test_every_kind_of_the_journal_has_one_of_the_contract():
    names = {name for name in vars(_layout) if name.startswith("ENTRY_") and name[6:] in KINDS}
    assert {getattr(_layout, name) for name in names} == set(ENTRY_KINDS)


KINDS = {
    "ACTIVATE",
    "ADJUST",
    "CLAIM",
    "CLOSE_DATE",
    "FUEL",
    "COMMIT",
    "CONFIRM",
    "ENROL",
    "HOLD",
    "HOLD_CAPTURE",
    "HOLD_EXTEND",
    "HOLD_RELEASE",
    "LINK",
    "MERGE",
    "LIVE",
    "RECOVERED",
    "RETURN",
    "STOP_OFFER",
    "TOTAL",
    "UPDATE",
    "VOID",
}


def test_following_sees_what_comes_and_ends_with_the_drain(engine, service, stream):
    engine.entries = [entry_bytes(1)]
    pages = stream(follow=True)
    assert [entry.lsn for entry in next(pages).entries] == [1]
    engine.entries.append(entry_bytes(2))
    assert [entry.lsn for entry in next(pages).entries] == [2]
    stopping = threading.Thread(target=service.stop)
    stopping.start()
    assert list(pages) == []
    stopping.join(30)
    assert not stopping.is_alive()


@pytest.mark.parametrize(
    ("fields", "reason", "place"),
    [
        ({"from_lsn": 9}, "LSN_NOT_KEPT", "from_lsn"),
        ({"from_lsn": -1}, "FIELD_OUT_OF_RANGE", "from_lsn"),
        ({"entry_limit": -1}, "FIELD_OUT_OF_RANGE", "entry_limit"),
        ({"kinds": [99]}, "ENUM_UNKNOWN", "kinds[0]"),
        ({"kinds": [1] * 33}, "TOO_MANY_ITEMS", "kinds"),
    ],
)
def test_refusals(stream, fields, reason, place):
    with pytest.raises(grpc.RpcError) as caught:
        list(stream(**fields))
    error = errors.from_rpc_error(caught.value)
    assert (error.reason, error.place) == (reason, place)


@pytest.mark.parametrize("damage", [lambda data: data[:-16], lambda data: data[:20]])
def test_an_entry_that_does_not_add_up_is_damage(damage):
    with pytest.raises(errors.DamageError):
        split_entry(damage(sale(1)))
