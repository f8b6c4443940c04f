"""The reader and writers of the wire against the official protobuf runtime."""

import ctypes
import datetime as dt
from pathlib import Path
from random import Random
from typing import Any

import pytest
from google.protobuf.message import DecodeError

from tests.native.wire_support import (
    REQUESTS,
    Contract,
    Harness,
    compile_c,
    encode,
    flatten,
    full_commit,
    full_return,
    mutate,
    unknown,
)

SEED = 20260131
RANDOM_MESSAGES = 250
MUTATED_MESSAGES = 400

MALFORMED = 11
NOT_UTF8 = 12

TYPE_NUMBERS = {
    "INT32": 1, "INT64": 2, "UINT32": 3, "SINT32": 4, "SINT64": 5, "BOOL": 6, "ENUM": 7,
    "FIXED64": 8, "STRING": 9, "BYTES": 10, "MESSAGE": 11,
}  # fmt: skip


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    return Contract(tmp_path_factory.mktemp("contract"))


@pytest.fixture(scope="session")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    target = tmp_path_factory.mktemp("harness") / "wire_harness.so"
    source = Path(__file__).with_name("wire_harness.c")
    return Harness(compile_c(source, target, "-O1", "-fPIC", "-shared"))


# ------------------------------------------------------------------------------- tables ----


def expected_tables(descriptor: Any, seen: set[str]) -> set[str]:
    lines = set()
    seen.add(descriptor.name)
    names = {getattr(descriptor.fields[0], f"TYPE_{name}"): n for name, n in TYPE_NUMBERS.items()}
    for field in descriptor.fields:
        rules = (1 if field.has_presence and field.message_type is None else 0) | (
            2 if field.is_repeated else 0
        )
        inner = field.message_type.name if field.message_type else "-"
        lines.add(
            f"{descriptor.name} {field.name} {field.number} {names[field.type]} {rules} {inner}"
        )
        if field.message_type and field.message_type.name not in seen:
            lines |= expected_tables(field.message_type, seen)
    return lines


def test_tables_are_the_contract(contract: Contract, harness: Harness) -> None:
    expected: set[str] = set()
    for name in REQUESTS.values():
        expected |= expected_tables(contract.message(name).DESCRIPTOR, set())
    assert harness.tables() == expected


# -------------------------------------------------------------------------------- reader ----


@pytest.mark.parametrize("kind", REQUESTS)
def test_reads_what_the_official_runtime_reads(
    contract: Contract, harness: Harness, kind: int
) -> None:
    random = Random(SEED + kind)
    message = contract.message(REQUESTS[kind])
    for number in range(RANDOM_MESSAGES):
        request = encode(message.DESCRIPTOR, random)
        status, _, dump = harness.read(kind, request)
        assert status not in (MALFORMED, NOT_UTF8), (number, request.hex())
        expected = flatten(message.FromString(request))
        assert dump == expected, (number, request.hex())


@pytest.mark.parametrize("kind", REQUESTS)
def test_refuses_what_the_official_runtime_refuses(
    contract: Contract, harness: Harness, kind: int
) -> None:
    random = Random(SEED * 2 + kind)
    message = contract.message(REQUESTS[kind])
    refused = 0
    for number in range(MUTATED_MESSAGES):
        request = mutate(encode(message.DESCRIPTOR, random), random)
        status, _, dump = harness.read(kind, request)
        try:
            expected = message.FromString(request)
        except DecodeError:
            refused += 1
            assert status in (MALFORMED, NOT_UTF8), (number, request.hex())
            continue
        assert status not in (MALFORMED, NOT_UTF8), (number, request.hex())
        # What is beyond a ceiling is refused and not kept.
        if status != 17:
            assert dump == flatten(expected), (number, request.hex())
    assert refused > MUTATED_MESSAGES // 20


# ------------------------------------------------------------------------------- hostile ----


def add_lines(request: Any, count: int) -> None:
    for number in range(len(request.basket.lines), count):
        request.basket.lines.add(line_id=number + 1, product_code="x", code_kind=3, amount_minor=1)


#: What is done to a whole commit, the refusal's number, and its place.
COMMIT_FAULTS: list[tuple[str, int, str]] = [
    ("r.ClearField('basket')", 14, "basket"),
    ("r.basket.store_id = ''", 14, "basket.store_id"),
    ("r.basket.till_id = ''", 14, "basket.till_id"),
    ("r.basket.store_id = 's' * 65", 13, "basket.store_id"),
    ("r.context.correlation_id = 'c' * 65", 13, "context.correlation_id"),
    ("r.context.idempotency_key = 'k' * 65", 13, "context.idempotency_key"),
    ("r.context.idempotency_key = ''", 20, "context.idempotency_key"),
    ("r.ClearField('context')", 20, "context.idempotency_key"),
    ("r.context.attempt = -1", 15, "context.attempt"),
    ("r.context.sent_time_unix_ms = 1", 15, "context.sent_time_unix_ms"),
    ("r.ClearField('receipt')", 21, "receipt"),
    ("r.receipt.sequence = 0", 21, "receipt.sequence"),
    ("r.receipt.sequence = -5", 15, "receipt.sequence"),
    ("r.receipt.store_id = ''", 21, "receipt.store_id"),
    ("r.receipt.business_date = 20260229", 19, "receipt.business_date"),
    ("r.receipt.business_date = 20261301", 19, "receipt.business_date"),
    ("r.receipt.store_id = '12'", 15, "receipt.store_id"),
    ("r.receipt.till_id = '4'", 15, "receipt.till_id"),
    ("r.basket.opened_time_unix_ms = 0", 18, "basket.opened_time_unix_ms"),
    ("r.basket.opened_time_unix_ms = -1", 15, "basket.opened_time_unix_ms"),
    ("r.basket.utc_offset_minutes = 841", 15, "basket.utc_offset_minutes"),
    ("r.basket.business_date = 17", 19, "basket.business_date"),
    ("r.basket.channel = 9", 16, "basket.channel"),
    ("r.basket.channel = -1", 16, "basket.channel"),
    ("r.basket.currency_code = 'euro'", 15, "basket.currency_code"),
    ("del r.basket.lines[:]", 28, "basket.lines"),
    ("add_lines(r, 513)", 17, "basket.lines"),
    ("r.basket.lines[1].line_id = 0", 22, "basket.lines[1].line_id"),
    ("r.basket.lines[2].line_id = 1", 23, "basket.lines[2].line_id"),
    ("r.basket.lines[0].count = 0", 24, "basket.lines[0].count"),
    ("r.basket.lines[2].count = 10000000", 24, "basket.lines[2].count"),
    ("r.basket.lines[2].count = -1", 24, "basket.lines[2].count"),
    ("r.basket.lines[0].ClearField('amount_minor')", 25, "basket.lines[0].amount_minor"),
    ("r.basket.lines[1].amount_minor = -1", 25, "basket.lines[1].amount_minor"),
    ("r.basket.lines[1].amount_minor = 10**11 + 1", 25, "basket.lines[1].amount_minor"),
    ("r.basket.lines[1].amount_minor = 2**63 - 1", 25, "basket.lines[1].amount_minor"),
    ("r.basket.lines[1].list_amount_minor = -7", 25, "basket.lines[1].list_amount_minor"),
    ("r.basket.lines[1].parent_line_id = 9", 26, "basket.lines[1].parent_line_id"),
    ("r.basket.lines[1].parent_line_id = 2", 26, "basket.lines[1].parent_line_id"),
    ("r.basket.lines[0].product_code = '4006381333932'", 27, "basket.lines[0].product_code"),
    ("r.basket.lines[0].product_code = '1234567'", 27, "basket.lines[0].product_code"),
    ("r.basket.lines[0].product_code = '400638133393a'", 27, "basket.lines[0].product_code"),
    ("r.basket.lines[2].product_code = '1234567'", 27, "basket.lines[2].product_code"),
    ("r.basket.lines[2].product_code = ''", 27, "basket.lines[2].product_code"),
    ("r.basket.lines[1].product_code = 'x' * 65", 13, "basket.lines[1].product_code"),
    ("r.basket.lines[1].kind = 7", 16, "basket.lines[1].kind"),
    ("r.basket.lines[1].price_source = 8", 16, "basket.lines[1].price_source"),
    ("r.basket.lines[1].original.line_id = 4", 15, "basket.lines[1].original"),
    ("r.basket.lines[1].kind = 2; r.basket.lines[1].original.line_id = 4", 21,
     "basket.lines[1].original.receipt"),
    ("r.basket.lines[0].measure.unit = 1", 14, "basket.lines[0].measure.quantity_thousandths"),
    ("r.basket.lines[0].measure.quantity_thousandths = 5", 14, "basket.lines[0].measure.unit"),
    ("r.basket.lines[0].fuel.pump_id = '4'", 14, "basket.lines[0].fuel.grade"),
    ("r.basket.lines[0].pos_discounts.add(reason='x')", 14,
     "basket.lines[0].pos_discounts[0].amount_minor"),
    ("for _ in range(9): r.basket.identifiers.add(kind=1, value='1')", 17, "basket.identifiers"),
    ("r.basket.identifiers.add(value='1')", 14, "basket.identifiers[0].kind"),
    ("r.basket.identifiers.add(kind=1)", 14, "basket.identifiers[0].value"),
    ("r.basket.identifiers.add(kind=1, value='1' * 257)", 13, "basket.identifiers[0].value"),
    ("for _ in range(33): r.basket.coupons.add(code='c')", 17, "basket.coupons"),
    ("r.basket.coupons.add(serial='1')", 14, "basket.coupons[0].code"),
    ("r.basket.tenders.add(kind=1, line_ids=[1, 9])", 29, "basket.tenders[0].line_ids[1]"),
    ("r.basket.tenders.add(kind=1, card_bin='12a456')", 15, "basket.tenders[0].card_bin"),
    ("r.basket.tenders.add(kind=14)", 16, "basket.tenders[0].kind"),
    ("r.basket.selections.add(times=1)", 14, "basket.selections[0].offer_id"),
    ("r.basket.redemptions.add(points=0)", 15, "basket.redemptions[0].points"),
    ("r.total_token = b't' * 129", 13, "total_token"),
    ("r.paid = True; r.refuse_on_change = True", 15, "refuse_on_change"),
    ("r.degraded_level = 5", 16, "degraded_level"),
    ("r.figures.lines.add(line_id=1)", 14, "figures.lines[0].discount_minor"),
    ("r.figures.lines.add(line_id=1, discount_minor=251)", 15, "figures.lines[0].discount_minor"),
    ("r.figures.due_minor = -10**15", 15, "figures.due_minor"),
    # The lower number wins; of equal ones the first.
    ("r.basket.lines[0].count = 0; r.basket.lines[1].line_id = 0", 22, "basket.lines[1].line_id"),
    ("r.basket.lines[2].count = 0; r.basket.lines[0].count = 0", 24, "basket.lines[0].count"),
    ("add_lines(r, 513); r.basket.lines[0].count = 0", 17, "basket.lines"),
    ("r.context.idempotency_key = ''; r.receipt.business_date = 1", 19, "receipt.business_date"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "status", "place"), COMMIT_FAULTS)
def test_commit_faults(
    contract: Contract, harness: Harness, change: str, status: int, place: str
) -> None:
    request = full_commit(contract)
    assert harness.read(3, request.SerializeToString())[:2] == (0, "")
    exec(change, {"add_lines": add_lines}, {"r": request})
    assert harness.read(3, request.SerializeToString())[:2] == (status, place)


RETURN_FAULTS: list[tuple[str, int, str]] = [
    ("del r.lines[:]", 28, "lines"),
    ("r.lines[1].line_id = 1", 23, "lines[1].line_id"),
    ("r.lines[0].line_id = 0", 22, "lines[0].line_id"),
    ("r.lines[0].count = 0", 15, "lines[0].count"),
    ("r.lines[0].refund_minor = -1", 15, "lines[0].refund_minor"),
    ("r.ClearField('original_receipt')", 21, "original_receipt"),
    ("r.receipt.till_id = ''", 21, "receipt.till_id"),
    ("r.reason = 7", 16, "reason"),
    ("r.receipt_capsule = b'x' * 4097", 13, "receipt_capsule"),
    ("r.context.idempotency_key = ''", 20, "context.idempotency_key"),
]


@pytest.mark.parametrize(("change", "status", "place"), RETURN_FAULTS)
def test_return_faults(
    contract: Contract, harness: Harness, change: str, status: int, place: str
) -> None:
    request = full_return(contract)
    assert harness.read(5, request.SerializeToString())[:2] == (0, "")
    exec(change, {}, {"r": request})
    assert harness.read(5, request.SerializeToString())[:2] == (status, place)


KEY = {"idempotency_key": "k"}
CARD = {"kind": 1, "value": "1"}
ADJUST = {
    "context": {"idempotency_key": "k", "operator_id": "o"}, "member": {"member_id": "m"},
    "purse_id": "p", "points": 1, "reason": "r",
}  # fmt: skip
#: Kind, fields, refusal, place.
OTHER_FAULTS: list[tuple[int, dict[str, Any], int, str]] = [
    (1, {"identifiers": [CARD]}, 14, "context.store_id"),
    (1, {"context": {"store_id": "1"}}, 14, "identifiers"),
    (1, {"context": {"store_id": "1"}, "identifiers": [CARD]}, 0, ""),
    (2, {}, 14, "basket"),
    (2, {"near_miss_limit": 9, "basket": {}}, 14, "basket.store_id"),
    (4, {"context": KEY}, 21, "original_receipt"),
    (4, {"context": KEY, "original_receipt": {"store_id": "1"}}, 21,
     "original_receipt.business_date"),
    (4, {"context": KEY, "original_idempotency_key": "k"}, 0, ""),
    (6, {"context": KEY}, 14, "member_id"),
    (6, {"context": KEY, "member_id": "m", "segment_ids": ["a", ""]}, 14, "segment_ids[1]"),
    (6, {"context": KEY, "member_id": "m", "segment_ids": ["a"] * 129}, 17, "segment_ids"),
    (6, {"context": KEY, "member_id": "m", "birth_month_day": 100}, 15, "birth_month_day"),
    (6, {"context": KEY, "member_id": "m", "profile": [{"value": "x"}]}, 14, "profile[0].name"),
    (7, {}, 14, "member"),
    (7, {"member": {}}, 14, "member"),
    (7, {"member": {"member_id": "m", "member_number": 4}}, 15, "member"),
    (8, {"context": KEY, "member": {"member_number": 4}, "add_segment_ids": ["a", "b"],
         "remove_segment_ids": ["c", "b"]}, 15, "remove_segment_ids[1]"),
    (8, {"context": KEY, "member": {"member_number": 4}, "birth_month_day": 7}, 15,
     "birth_month_day"),
    (9, {"context": KEY, "member": {"member_id": "m"}}, 14, "identifier"),
    (9, {"member": {"member_id": "m"}, "identifier": CARD}, 20, "context.idempotency_key"),
    (10, {"context": KEY, "member": {"member_id": "m"}, "offer_id": "o", "action": 5}, 16,
     "action"),
    (10, {"context": KEY, "member": {"member_id": "m"}, "offer_id": "o", "expire_date": 5}, 15,
     "expire_date"),
    (11, {"member": {"member_id": "m"}, "page_size": 201}, 15, "page_size"),
    (12, {"context": KEY}, 14, "offer_id"),
    (12, {"offer_id": "o"}, 20, "context.idempotency_key"),
    (13, ADJUST, 0, ""),
    (13, {**ADJUST, "context": KEY}, 14, "context.operator_id"),
    (13, {**ADJUST, "context": {"operator_id": "o"}}, 20, "context.idempotency_key"),
    (13, {**ADJUST, "reason": ""}, 14, "reason"),
    (13, {**ADJUST, "purse_id": ""}, 14, "purse_id"),
    (13, {**ADJUST, "points": None}, 14, "points"),
    (13, {**ADJUST, "points": 0}, 15, "points"),
    (13, {**ADJUST, "points": 9 * 10**15 + 1}, 15, "points"),
    (13, {**ADJUST, "active_date": 20260229}, 15, "active_date"),
    (13, {**ADJUST, "points": -1, "active_date": 20260228}, 15, "active_date"),
    (13, {**ADJUST, "points": -1, "expire_date": 20260228}, 15, "expire_date"),
    (13, {**ADJUST, "allow_debt": True}, 15, "allow_debt"),
    (15, {"context": KEY, "merged_member": {"member_id": "m"}}, 14, "surviving_member"),
    (15, {"context": KEY, "surviving_member": {"member_id": "m"}}, 14, "merged_member"),
    (14, {"context": KEY}, 21, "original_receipt"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "fields", "status", "place"), OTHER_FAULTS)
def test_other_faults(
    contract: Contract,
    harness: Harness,
    kind: int,
    fields: dict[str, Any],
    status: int,
    place: str,
) -> None:
    request = contract.message(REQUESTS[kind])(**fields)
    assert harness.read(kind, request.SerializeToString())[:2] == (status, place)


#: Bytes that are no message, or not a whole one.
RAW_FAULTS: list[tuple[str, int, str]] = [
    ("00", 11, ""),  # field number 0
    ("0f", 11, ""),  # wire type 7
    ("0e", 11, ""),  # wire type 6
    ("1a", 11, ""),  # a message without a size
    ("1a05", 11, ""),  # a size beyond the end
    ("1a0208", 11, ""),  # the same, inside
    ("1a0108", 11, "basket"),  # a tag without a value
    ("1a0122", 11, "basket"),
    ("1a022201", 11, "basket"),
    ("1a03220108", 11, "basket.lines[0]"),
    ("30ffffffffffffffffffff01", 11, ""),  # a number of eleven bytes
    ("ffffffffffff01", 11, ""),  # a tag of seven bytes
    ("1affffffff0f", 11, ""),  # a size of four gigabytes
    ("ab06", 11, ""),  # a group that does not end
    ("ab06b406", 11, ""),  # a group that ends under another number
    ("ac06", 11, ""),  # the end of a group that did not begin
    ("ab06" * 101 + "ac06" * 101, 11, ""),  # groups 101 deep
    ("1a030a01ff", 12, "basket.basket_id"),  # no UTF-8
    ("1a040a02c080", 12, "basket.basket_id"),  # overlong
    ("1a050a03eda080", 12, "basket.basket_id"),  # a surrogate
    ("1a060a04f4908080", 12, "basket.basket_id"),  # above U+10FFFF
    ("1a030a01ff0f", 11, ""),  # not UTF-8, then malformed: the lower number
    ("", 14, "basket"),
    ("ab06" * 100 + "ac06" * 100, 14, "basket"),  # groups 100 deep are read over
    ("18ff01", 14, "basket"),  # a number where a message should be: an unknown field
]


@pytest.mark.parametrize(("hexadecimal", "status", "place"), RAW_FAULTS)
def test_raw_faults(
    contract: Contract, harness: Harness, hexadecimal: str, status: int, place: str
) -> None:
    request = bytes.fromhex(hexadecimal)
    assert harness.read(3, request)[:2] == (status, place)
    refuses = status in (MALFORMED, NOT_UTF8)
    try:
        contract.message(REQUESTS[3]).FromString(request)
    except DecodeError:
        assert refuses
    else:
        assert not refuses


def test_request_too_large(harness: Harness) -> None:
    assert harness.read(2, b"\xaa\x06\x80\x80\x10" + bytes(256 * 1024))[:2] == (10, "")


def test_figures_of_unknown_lines_are_judged_later(contract: Contract, harness: Harness) -> None:
    request = full_commit(contract)
    request.figures.lines.add(line_id=1, discount_minor=1)
    request.figures.lines.add(line_id=77, discount_minor=1)
    assert harness.read(3, request.SerializeToString())[0] == 0
    place = ctypes.create_string_buffer(96)
    assert harness.library.harness_check_figures(place) == 36
    assert place.value == b"figures.lines[1].line_id"


# ------------------------------------------------------------------------ hashes and dates ----


def content_hash(harness: Harness, request: Any) -> tuple[int, int]:
    assert harness.read(3, request.SerializeToString())[0] == 0
    return harness.content_hash()


SAME_CONTENT = [
    "r.context.correlation_id = 'other'",
    "r.context.attempt = 3",
    "r.context.sent_time_unix_ms = 1769860800001",
    "r.context.till_id = '3'",
    "r.basket.lines[1].count = 1",
    "r.basket.lines[0].code_kind = 1",
    "r.basket.channel = 1",
    "r.figures.SetInParent()",
    "r.basket.lines.reverse()",
]
OTHER_CONTENT = [
    "r.context.training = True",
    "r.basket.lines[1].count = 2",
    "r.basket.lines[1].amount_minor += 1",
    "r.basket.lines[1].line_id = 9",
    "r.receipt.sequence = 8",
    "r.paid = True",
    "r.figures.discount_minor = 0",
    "r.basket.coupons.add(code='x')",
    "r.basket.lines[0].pos_discounts.add(amount_minor=0)",
    "r.basket.redemptions.add()",
]


@pytest.mark.parametrize("change", SAME_CONTENT)
def test_content_hash_ignores(contract: Contract, harness: Harness, change: str) -> None:
    request = full_commit(contract)
    before = content_hash(harness, request)
    lines: dict[str, Any] = {"r": request}
    if "reverse" in change:
        kept = list(request.basket.lines)[::-1]
        del request.basket.lines[:]
        request.basket.lines.extend(kept)
    else:
        exec(change, {}, lines)
    assert content_hash(harness, request) == before


def test_content_hash_covers(contract: Contract, harness: Harness) -> None:
    hashes = {content_hash(harness, full_commit(contract))}
    for change in OTHER_CONTENT:
        request = full_commit(contract)
        exec(change, {}, {"r": request})
        hashes.add(content_hash(harness, request))
    assert len(hashes) == 1 + len(OTHER_CONTENT)


def test_content_hash_ignores_unknown_fields(contract: Contract, harness: Harness) -> None:
    random = Random(SEED)
    request = full_commit(contract).SerializeToString()
    assert harness.read(3, request)[0] == 0
    before = harness.content_hash()
    assert harness.read(3, request + unknown(random) + b"\x30\x00")[0] == 0
    assert harness.content_hash() == before


def test_key_hash_is_siphash_of_its_words(harness: Harness) -> None:
    out = (ctypes.c_uint64 * 4)()
    harness.library.harness_key_hash(out)
    assert out[:2] == out[2:]


def test_dates(harness: Harness) -> None:
    epoch = dt.date(1970, 1, 1)
    valid = {}
    day = dt.date(2000, 1, 1)
    while day.year < 2100:
        valid[day.year * 10000 + day.month * 100 + day.day] = (day - epoch).days
        day += dt.timedelta(days=1)
    for date, number in valid.items():
        assert harness.library.harness_day(ctypes.c_int64(date)) == number
        assert harness.library.harness_date(number) == date
    for date in (0, -1, 19991231, 20260001, 20260100, 20260132, 20250229, 21000101, 2**40):
        assert harness.library.harness_day(ctypes.c_int64(date)) == -(2**31)
    for number in (0, 10956, 47482, 2**31 - 1):
        assert harness.library.harness_date(number) == 0


# ---------------------------------------------------------------------------------- runs ----


def random_units(random: Random) -> list[tuple[str, int, int, int]]:
    """Codes, unit prices, sources and counts of a basket."""
    return [
        (random.choice("abcdef"), random.randrange(1, 6) * 100, random.randrange(1, 8),
         random.randrange(1, 9))
        for _ in range(random.randrange(1, 60))
    ]  # fmt: skip


def read_runs(contract: Contract, harness: Harness, units: list[tuple[str, int, int, int]]) -> Any:
    request = full_commit(contract)
    del request.basket.lines[:]
    for number, (code, price, source, count) in enumerate(units):
        request.basket.lines.add(
            line_id=number + 1,
            product_code=code,
            code_kind=3,
            price_source=source,
            count=count,
            amount_minor=price * count,
        )
    assert harness.read(3, request.SerializeToString())[0] == 0
    rows = [line.split() for line in harness.runs()]
    for row in rows:
        pieces = [piece.split(":") for piece in row[8:]]
        assert sum(int(count) for _, count in pieces) == int(row[7])
        assert [int(line) for line, _ in pieces] == sorted(int(line) for line, _ in pieces)
    return [row[:8] for row in rows]


def test_runs_do_not_depend_on_order_or_split(contract: Contract, harness: Harness) -> None:
    random = Random(SEED)
    for _ in range(40):
        units = random_units(random)
        runs = read_runs(contract, harness, units)
        shuffled = list(units)
        random.shuffle(shuffled)
        split = [(*unit[:3], 1) for unit in shuffled for _ in range(unit[3])]
        assert read_runs(contract, harness, shuffled) == runs
        if len(split) <= 512:
            assert read_runs(contract, harness, split) == runs
        order = [(-int(run[0]), *map(int, run[1:5])) for run in runs]
        assert order == sorted(order)
        assert len(set(order)) == len(order)


def test_runs_of_an_amount_that_does_not_divide(contract: Contract, harness: Harness) -> None:
    request = full_commit(contract)
    basket = request.basket
    basket.lines[0].amount_minor = 1000
    basket.lines[1].opaque = True
    basket.lines[2].kind = 3
    basket.lines.add(line_id=4, product_code="4006381333931", amount_minor=334)
    assert harness.read(3, request.SerializeToString())[0] == 0
    rows = [line.split() for line in harness.runs()]
    assert [(row[0], row[7], row[8:]) for row in rows] == [
        ("334", "2", ["1:1", "4:1"]),
        ("333", "2", ["1:2"]),
    ]


# ------------------------------------------------------------------------------- writers ----


def split_funding(amount: int, shares: list[int]) -> list[int]:
    parts = [amount * share // 10000 for share in shares]
    left = amount - sum(parts)
    ranked = sorted(range(len(shares)), key=lambda i: (-(amount * shares[i] % 10000), i))
    for index in ranked[:left]:
        parts[index] += 1
    return parts


class Scenario:
    """A random decision: the numbers for the harness, and the message that must come out."""

    def __init__(self, contract: Contract, random: Random) -> None:
        self.random = random
        self.numbers: list[int] = []
        self.response = contract.message("CommitTransactionResponse")()
        self.decision = self.response.decision
        self.offers: list[dict[str, Any]] = []
        self.make_program()
        self.make_basket()
        self.make_applied()
        self.make_awards()
        self.make_rest()

    def give(self, *numbers: int) -> None:
        self.numbers += numbers

    def make_program(self) -> None:
        random = self.random
        self.give(count := random.randrange(1, 12))
        for number in range(count):
            shares = random.choice([[], [10000], [5000, 5000], [3333, 3333, 3334], [1, 9999]])
            settlements = [random.randrange(1, 4) for _ in shares]
            layer = random.randrange(4)
            version = random.randrange(1, 300)
            self.give(version, layer, len(shares))
            for share, settlement in zip(shares, settlements, strict=True):
                self.give(share, settlement)
            texts = [
                (random.randrange(4), random.randrange(1, 5)) for _ in range(random.randrange(4))
            ]
            self.give(len(texts), *[value for text in texts for value in text])
            limits = [(random.randrange(5), random.choice([1, 3])) for _ in range(number % 3)]
            self.give(len(limits), *[value for limit in limits for value in limit])
            self.offers.append(
                {"id": f"offer-{number:02}", "version": version, "layer": layer, "shares": shares,
                 "settlements": settlements, "texts": texts, "limits": limits, "number": number}
            )  # fmt: skip
        self.decimals = [random.randrange(3) for _ in range(3)]
        self.give(3, *self.decimals)

    def text(self, offer: dict[str, Any], kind: int) -> str:
        locales = ["en", "fr", "fr-CA", "de-CH"]
        best, best_rank = "", -1
        for locale_number, text_kind in offer["texts"]:
            locale = locales[locale_number]
            rank = 0
            if self.locale:
                if locale == self.locale:
                    rank = 3
                elif locale.split("-")[0] == self.locale.split("-")[0]:
                    rank = 1 if "-" in locale else 2
            if text_kind == kind and rank > best_rank:
                best, best_rank = f"{locale} {kind} {offer['number']}", rank
        return best

    def make_basket(self) -> None:
        random = self.random
        self.explain = random.randrange(2)
        self.near_miss_limit = random.randrange(4)
        self.give(1769860800000, self.explain, self.near_miss_limit)
        ids = random.sample(range(1, 2**32 - 1), random.randrange(1, 30))
        self.lines = []
        self.give(len(ids))
        for line_id in ids:
            line = {
                "id": line_id,
                "kind": random.choice([1, 1, 1, 2, 3]),
                "amount": random.randrange(10000, 10**6),
                "pos": random.choice([0, 5]),
                "product": random.choice([-1, 2]),
                "code": random.choice([0, 9]),
                "department": random.choice([0, 3]),
                "unit": random.choice([0, 0, 1]),
                "measure": random.randrange(1, 3000),
                "offers": [],
                "discount": 0,
            }
            self.lines.append(line)
        self.plan_shares()
        for line in self.lines:
            self.give(line["id"], line["kind"], line["amount"], line["pos"], line["product"])
            self.give(line["code"], line["department"], line["unit"], line["measure"])
            self.give(line["discount"])
        self.coupons = []
        self.give(count := random.randrange(4))
        for _ in range(count):
            known = random.choice([-1, random.randrange(len(self.offers))])
            taken = random.choice([-1, random.choice(self.applied) if self.applied else -1])
            self.coupons.append((known, taken))
            self.give(known, taken)

    def plan_shares(self) -> None:
        random = self.random
        count = random.randrange(min(6, len(self.offers)) + 1)
        self.applied = random.sample(range(len(self.offers)), count)
        self.shares = []
        for place in range(count):
            for index, line in enumerate(self.lines):
                if random.random() < 0.4:
                    units = (random.randrange(5), random.choice((0, 0, 1, 300)))
                    share = (place, index, *units, random.randrange(500))
                    self.shares.append(share)
                    line["offers"].append(share)
                    line["discount"] += share[4]

    def put_funding(self, target: Any, offer: dict[str, Any], parts: list[int]) -> None:
        for number, part in enumerate(parts):
            if part:
                target.add(
                    funder_id=f"funder-{number}",
                    amount_minor=part,
                    settlement_class=offer["settlements"][number],
                )

    def make_lines(self) -> None:
        for line in sorted(self.lines, key=lambda item: item["id"]):
            row = self.decision.lines.add(
                line_id=line["id"],
                discount_minor=line["discount"],
                net_minor=line["amount"] - line["discount"],
            )
            if line["product"] >= 0:
                row.resolution = 1
            elif line["department"]:
                row.resolution = 2
            elif line["code"]:
                row.resolution = 3
            for place, _, units, qualifying, discount in line["offers"]:
                offer = self.offers[self.applied[place]]
                part = row.applied.add(
                    offer_id=offer["id"], offer_version=offer["version"], discount_minor=discount
                )
                if line["unit"] and units:
                    part.quantity_thousandths = line["measure"]
                elif not line["unit"]:
                    part.unit_count = units
                part.qualifying_unit_count = qualifying
                self.put_funding(part.funding, offer, split_funding(discount, offer["shares"]))

    def make_totals(self) -> None:
        totals = self.decision.totals
        sales = [line for line in self.lines if line["kind"] != 2]
        returns = [line for line in self.lines if line["kind"] == 2]
        totals.gross_minor = sum(line["amount"] for line in sales)
        totals.discount_minor = sum(line["discount"] for line in sales)
        totals.net_minor = totals.gross_minor - totals.discount_minor
        totals.refund_minor = sum(line["amount"] - line["discount"] for line in returns)
        totals.due_minor = totals.net_minor - totals.refund_minor
        totals.pos_discount_minor = sum(line["pos"] for line in self.lines)
        classes = [0, 0, 0, 0]
        for line in sales:
            for place, _, _, _, discount in line["offers"]:
                offer = self.offers[self.applied[place]]
                if not offer["shares"]:
                    classes[1] += discount
                for number, part in enumerate(split_funding(discount, offer["shares"])):
                    classes[offer["settlements"][number]] += part
        _, totals.price_reduction_minor, totals.third_party_minor, totals.tender_minor = classes
        self.give(totals.gross_minor, totals.discount_minor, totals.net_minor)

    def make_applied(self) -> None:
        random = self.random
        optimality = self.decision.optimality
        optimality.kind, optimality.scope = random.choice([1, 2]), 1
        optimality.gap_minor, optimality.step_count = random.randrange(50), random.randrange(10**9)
        self.give(optimality.kind, optimality.gap_minor, optimality.step_count)
        self.make_totals()
        self.give(len(self.applied))
        self.times = [random.randrange(1, 5) for _ in self.applied]
        self.sums = []
        for place, number in enumerate(self.applied):
            total = sum(share[4] for share in self.shares if share[0] == place)
            self.sums.append(total)
            self.give(number, self.times[place], total)
        self.give(len(self.shares))
        for share in self.shares:
            self.give(*share)
        self.make_lines()

    def make_awards(self) -> None:
        random = self.random
        self.today = 20484
        awards = [
            (
                random.randrange(len(self.offers)),
                random.randrange(1, 4),
                random.randrange(1, 4),
                random.choice([self.today, self.today + 14]),
                random.choice([2**31 - 1, self.today + 365]),
                random.randrange(1, 10**6),
            )
            for _ in range(random.randrange(8))
        ]
        self.give(len(awards))
        for award in awards:
            self.give(*award)
        for offer_number, purse, reason, active, expire, points in sorted(
            awards, key=lambda award: (award[1], award[2], award[0])
        ):
            offer = self.offers[offer_number]
            row = self.decision.earned.add(
                purse_id=f"purse-{'zyx'[purse - 1]}", points=points, reason=reason,
                offer_id=offer["id"], offer_version=offer["version"],
            )  # fmt: skip
            row.active_date = 0 if active == self.today else 20260214
            row.expire_date = 0 if expire == 2**31 - 1 else 20270131

    def make_rest(self) -> None:
        random = self.random
        near_misses = []
        for _ in range(random.randrange(6)):
            units = random.choice([0, 2])
            near_misses.append(
                (random.randrange(len(self.offers)), units, 0 if units else 500,
                 random.randrange(100))
            )  # fmt: skip
        self.give(len(near_misses), *[value for near in near_misses for value in near])
        explained = [
            (number, 1 if number in self.applied else random.randrange(2, 37))
            for number in random.sample(range(len(self.offers)), random.randrange(len(self.offers)))
        ]
        self.give(len(explained), *[value for row in explained for value in row])
        self.remaining: dict[int, int] = {}
        cells = self.make_counters()
        self.make_balances(cells)
        self.locale = ["", "en", "fr-CA", "fr-FR", "de", "it"][choice := random.randrange(6)]
        self.give(choice)
        self.expect_applied()
        self.expect_coupons(dict(explained))
        for number, units, money, gain in near_misses[: self.near_miss_limit]:
            offer = self.offers[number]
            self.decision.near_misses.add(
                offer_id=offer["id"], offer_version=offer["version"], kind=1 if units else 2,
                missing_count=units, missing_amount_minor=money, saving_minor=gain,
                text=self.text(offer, 4),
            )  # fmt: skip
        for number, outcome in sorted(explained) if self.explain else []:
            offer = self.offers[number]
            self.decision.explanations.add(
                offer_id=offer["id"], offer_version=offer["version"], outcome=outcome,
                discount_minor=self.discount_of(number),
            )  # fmt: skip
        self.make_tail()

    def discount_of(self, number: int) -> int:
        return self.sums[self.applied.index(number)] if number in self.applied else 0

    def make_counters(self) -> list[tuple[int, int, int, int, int, int]]:
        cells = []
        counted = []
        for place, number in enumerate(self.applied):
            for limit_number, (most, scope) in enumerate(self.offers[number]["limits"]):
                before = self.random.randrange(3)
                counted.append((number, scope, limit_number, 0, self.times[place]))
                cells.append((3, limit_number, 0, number, before, 0))
                if scope == 1:
                    left = max(0, most - before - self.times[place])
                    self.remaining[number] = min(left, self.remaining.get(number, left))
        self.give(len(counted), *[value for row in counted for value in row])
        return cells

    def make_balances(self, cells: list[tuple[int, int, int, int, int, int]]) -> None:
        today, never, base = self.today, 2**31 - 1, 2**31
        member = self.random.choice([0, 12345])
        lots = [
            (1, 1, today, base + today, 5, 0),
            (1, 1, today + 365, base + today - 9, 7, 0),
            (1, 1, never, base, 11, 0),
            (1, 1, today - 1, base, 100, 0),
            (1, 2, never, base + today + 1, 13, 0),
            (2, 2, 0, 0, 20, 0),
            # What holds keep of lots, one of which has expired since.
            (1, 3, today - 1, base, 0, 2),
            (1, 3, never, base, 4, 3),
        ]
        cells = [*lots, *cells]
        self.give(today, 0, member, len(cells), *[value for cell in cells for value in cell])
        self.decision.degraded_level = 1
        if not member:
            self.remaining = {}
            return
        rows = self.decision.balances
        rows.add(purse_id="purse-x", available_points=4, held_points=5, decimals=self.decimals[2])
        rows.add(
            purse_id="purse-y", available_points=-20, pending_points=13, decimals=self.decimals[1]
        )
        rows.add(purse_id="purse-z", available_points=23, decimals=self.decimals[0],
                 expiring_points=5, expire_date=20260131)  # fmt: skip

    def expect_applied(self) -> None:
        for place, number in enumerate(self.applied):
            offer = self.offers[number]
            row = self.decision.applied_offers.add(
                offer_id=offer["id"], offer_version=offer["version"], times=self.times[place],
                discount_minor=self.sums[place], layer=[1, 2, 4, 5][offer["layer"]],
                text=self.text(offer, 2) or self.text(offer, 1),
                coupon_indexes=[i for i, coupon in enumerate(self.coupons) if coupon[1] == number],
            )  # fmt: skip
            parts = [0] * len(offer["shares"])
            for share in self.shares:
                if share[0] == place:
                    for i, part in enumerate(split_funding(share[4], offer["shares"])):
                        parts[i] += part
            self.put_funding(row.funding, offer, parts)
            if number in self.remaining:
                row.remaining_uses = self.remaining[number]
            for kind, audience in ((2, 1), (3, 2)):
                if text := self.text(offer, kind):
                    self.decision.messages.add(audience=audience, text=text, offer_id=offer["id"])

    def expect_coupons(self, outcomes: dict[int, int]) -> None:
        for index, (known, taken) in enumerate(self.coupons):
            row = self.decision.coupons.add(coupon_index=index)
            number = taken if taken >= 0 else known
            if number < 0:
                row.state, row.refused_outcome = 3, 2
                continue
            row.state = 1 if taken >= 0 else 2
            row.offer_id = self.offers[number]["id"]
            row.text = self.text(self.offers[number], 3)
            if taken >= 0:
                row.discount_minor = self.discount_of(number)
            elif outcomes.get(number, 1) != 1:
                row.refused_outcome = outcomes[number]

    def make_tail(self) -> None:
        random = self.random
        found = [(0, 0, 0, 4, 1), (2**64 - 5, 77, 1, 1, 1), (3, 4, 9, 2, 3)][: random.randrange(4)]
        self.give(len(found), *[value for row in found for value in row])
        for index, (member, group, tier, result, role) in enumerate(found):
            self.decision.members.add(
                identifier_index=index, result=result, member_number=member, group_number=group,
                tier_id="tier-1" if tier == 1 else "", role=role,
            )  # fmt: skip
        exceptions = [(1, 5, -700, 3), (3, 0, 0, -(2**40))][: random.randrange(3)]
        self.give(len(exceptions), *[value for row in exceptions for value in row])
        for index, (kind, line_id, amount, points) in enumerate(exceptions):
            self.decision.exceptions.add(
                kind=kind, line_id=line_id, amount_minor=amount, points=points,
                text=f"exception {index}",
            )  # fmt: skip
        basis = self.decision.basis
        basis.program_hash, basis.catalogue_hash = b"\xab" * 16, b"\xcd" * 16
        basis.semantics_version, basis.judged_time_unix_ms = 1, 1769860800000
        self.give(lsn := random.randrange(2**40))
        self.response.outcome = 1
        posting = self.response.posting
        posting.lsn, posting.business_date = lsn, 20260101
        posting.post_time_unix_ms = 1767225600000


def test_writes_what_the_official_runtime_writes(contract: Contract, harness: Harness) -> None:
    random = Random(SEED)
    commit = contract.message("CommitTransactionResponse")
    for _ in range(150):
        scenario = Scenario(contract, random)
        status, written = harness.write(scenario.numbers, is_commit=True, capacity=512 * 1024)
        assert status == 0
        assert commit.FromString(written) == scenario.response
        assert written == scenario.response.SerializeToString(deterministic=True)
        quote = contract.message("QuoteBasketResponse")(decision=scenario.decision)
        status, written = harness.write(scenario.numbers, is_commit=False, capacity=512 * 1024)
        assert (status, written) == (0, quote.SerializeToString(deterministic=True))


def test_a_reply_that_does_not_fit_is_refused(contract: Contract, harness: Harness) -> None:
    scenario = Scenario(contract, Random(SEED))
    whole = harness.write(scenario.numbers, is_commit=True, capacity=512 * 1024)[1]
    for capacity in range(0, len(whole), 7):
        assert harness.write(scenario.numbers, is_commit=True, capacity=capacity) == (52, b"")
    assert harness.write(scenario.numbers, is_commit=True, capacity=len(whole)) == (0, whole)
