"""Malformed and hostile requests, each with the refusal that the contract documents.

A row is a name, a method, the bytes, the reason and the place. Bases are good requests over the
example feeds; a row changes one thing, so that nothing else can be what is refused.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from checklane.v1 import basket_pb2, checkout_pb2, common_pb2, ledger_pb2, member_pb2, program_pb2

STORE = "S001"
TILL = "1"
GTIN = "9520000001018"
#: 2026-03-02, a Monday, 16:00 UTC.
OPENED_UNIX_MS = 1_772_467_200_000
BUSINESS_DATE = 20260302

INT64_MAX = 2**63 - 1
INT64_MIN = -(2**63)


class Row(NamedTuple):
    """One hostile request."""

    name: str
    method: str
    request: bytes
    reason: str
    place: str = ""


def basket(line_count: int = 1) -> basket_pb2.Basket:
    """Return a good basket."""
    return basket_pb2.Basket(
        store_id=STORE,
        till_id=TILL,
        opened_time_unix_ms=OPENED_UNIX_MS,
        lines=[
            basket_pb2.Line(line_id=index + 1, product_code=GTIN, count=1, amount_minor=199)
            for index in range(line_count)
        ],
    )


def receipt(sequence: int = 1) -> common_pb2.ReceiptId:
    """Return a good receipt."""
    return common_pb2.ReceiptId(
        store_id=STORE, business_date=BUSINESS_DATE, till_id=TILL, sequence=sequence
    )


def context(key: str = "hostile") -> common_pb2.RequestContext:
    """Return a good context."""
    return common_pb2.RequestContext(idempotency_key=key, store_id=STORE, till_id=TILL)


def commit() -> checkout_pb2.CommitTransactionRequest:
    """Return a good commit."""
    return checkout_pb2.CommitTransactionRequest(
        context=context(), receipt=receipt(), basket=basket()
    )


def total() -> checkout_pb2.TotalBasketRequest:
    """Return a good total."""
    request = checkout_pb2.TotalBasketRequest(context=context(), basket=basket())
    request.basket.basket_id = "basket-1"
    return request


def void() -> checkout_pb2.VoidTransactionRequest:
    """Return a good void."""
    return checkout_pb2.VoidTransactionRequest(context=context(), original_receipt=receipt(999))


def give_back() -> checkout_pb2.ReturnItemsRequest:
    """Return a good return, of a sale that was never entered."""
    return checkout_pb2.ReturnItemsRequest(
        context=context(),
        original_receipt=receipt(999),
        receipt=receipt(2),
        lines=[checkout_pb2.ReturnLine(line_id=1)],
    )


def claim() -> checkout_pb2.ClaimTransactionRequest:
    """Return a good claim, of a sale that was never entered."""
    return checkout_pb2.ClaimTransactionRequest(
        context=context(), receipt=receipt(999), identifiers=identify().identifiers
    )


def identify() -> checkout_pb2.IdentifyMemberRequest:
    """Return a good question."""
    return checkout_pb2.IdentifyMemberRequest(
        context=context(),
        identifiers=[
            common_pb2.Identifier(kind=common_pb2.IDENTIFIER_KIND_CARD, value="6029000000000001")
        ],
    )


def enrol() -> member_pb2.EnrolMemberRequest:
    """Return a good enrolment."""
    return member_pb2.EnrolMemberRequest(context=context(), member_id="hostile-1")


def get_member() -> member_pb2.GetMemberRequest:
    """Return a good look at a member."""
    return member_pb2.GetMemberRequest(
        context=context(), member=member_pb2.MemberRef(member_id="M0001")
    )


def fuel() -> checkout_pb2.AuthorizeFuelRequest:
    """Return a good question before fuelling."""
    return checkout_pb2.AuthorizeFuelRequest(
        context=context(),
        pump_id="4",
        prices=[
            checkout_pb2.FuelPrice(
                grade="PREMIUM",
                price_level=basket_pb2.FUEL_PRICE_LEVEL_CASH,
                unit_price_minor_thousandths=399900,
                product_code="FUEL-93",
                code_kind=basket_pb2.PRODUCT_CODE_KIND_SKU,
            )
        ],
        unit=basket_pb2.MEASURE_UNIT_GALLON,
        opened_time_unix_ms=OPENED_UNIX_MS,
    )


BASES: dict[str, tuple[str, Callable[[], Any]]] = {
    "commit": ("CheckoutService/CommitTransaction", commit),
    "total": ("CheckoutService/TotalBasket", total),
    "void": ("CheckoutService/VoidTransaction", void),
    "return": ("CheckoutService/ReturnItems", give_back),
    "claim": ("CheckoutService/ClaimTransaction", claim),
    "identify": ("CheckoutService/IdentifyMember", identify),
    "enrol": ("MemberService/EnrolMember", enrol),
    "get": ("MemberService/GetMember", get_member),
    "fuel": ("CheckoutService/AuthorizeFuel", fuel),
}


def changed(
    name: str, base: str, change: Callable[[Any], object], reason: str, place: str = ""
) -> Row:
    """Return a row whose request is a good one after a change."""
    method, build = BASES[base]
    request = build()
    change(request)
    return Row(name, method, request.SerializeToString(), reason, place)


def setting(name: str, base: str, path: str, value: Any, reason: str, place: str = "") -> Row:
    """Return a row that sets one field, by its path; the place is the path unless it is given."""

    def change(request: Any) -> None:
        *parents, last = path.split(".")
        for part in parents:
            field, _, index = part.partition("[")
            request = getattr(request, field)
            if index:
                request = request[int(index.rstrip("]"))]
        setattr(request, last, value)

    return changed(name, base, change, reason, place or path)


def clearing(name: str, base: str, path: str, reason: str, place: str = "") -> Row:
    """Return a row that leaves one field out."""

    def change(request: Any) -> None:
        *parents, last = path.split(".")
        for part in parents:
            field, _, index = part.partition("[")
            request = getattr(request, field)
            if index:
                request = request[int(index.rstrip("]"))]
        request.ClearField(last)

    return changed(name, base, change, reason, place or path)


def raw(name: str, request: bytes, reason: str, place: str = "", base: str = "commit") -> Row:
    """Return a row of bytes that no runtime would write."""
    return Row(name, BASES[base][0], request, reason, place)


def field(number: int, content: bytes) -> bytes:
    """Return a field of bytes, its number below 16."""
    assert number < 16
    size = len(content)
    encoded = bytearray()
    while size > 0x7F:
        encoded.append(size & 0x7F | 0x80)
        size >>= 7
    encoded.append(size)
    return bytes([number << 3 | 2]) + bytes(encoded) + content


def fill(items: Any, count: int, **fields: Any) -> None:
    """Add the same item again and again."""
    for _ in range(count):
        items.add(**fields)


GOOD = commit().SerializeToString()
LINE = "basket.lines[0]."

_BYTES = [
    raw("truncated in the middle", GOOD[:-3], "REQUEST_MALFORMED"),
    raw("truncated after a tag", GOOD + b"\x1a", "REQUEST_MALFORMED"),
    raw("only a tag", b"\x1a", "REQUEST_MALFORMED"),
    raw("a length beyond the end", b"\x1a\xff\xff\xff\xff\x0f", "REQUEST_MALFORMED"),
    raw("a varint without an end", b"\x08" + b"\xff" * 11, "REQUEST_MALFORMED"),
    raw("field number zero", GOOD + b"\x02\x01a", "REQUEST_MALFORMED"),
    raw("a wire type that does not exist", GOOD + b"\x0e", "REQUEST_MALFORMED"),
    raw("a group that is never closed", GOOD + b"\x9b\x06", "REQUEST_MALFORMED"),
    raw("a group's end without its start", GOOD + b"\x9c\x06", "REQUEST_MALFORMED"),
    raw("random bytes", bytes(range(255, 200, -1)), "REQUEST_MALFORMED"),
    raw("above the ceiling", GOOD + field(15, bytes(256 * 1024)), "REQUEST_TOO_LARGE"),
    raw("a basket nested a thousand deep", GOOD + b"\x9b\x06" * 1000, "REQUEST_MALFORMED"),
    raw(
        "text that is not UTF-8",
        GOOD + field(1, field(2, b"\xff\xfe")),
        "TEXT_NOT_UTF8",
        "context.idempotency_key",
    ),
    raw(
        "an overlong form of UTF-8",
        GOOD + field(3, field(2, b"\xc0\xaf")),
        "TEXT_NOT_UTF8",
        "basket.store_id",
    ),
    raw(
        "half of a surrogate pair",
        GOOD + field(3, field(2, b"\xed\xa0\x80")),
        "TEXT_NOT_UTF8",
        "basket.store_id",
    ),
]

_CONTEXT = [
    clearing("no key", "commit", "context.idempotency_key", "KEY_REQUIRED"),
    clearing("no key on a void", "void", "context.idempotency_key", "KEY_REQUIRED"),
    clearing("no key on a return", "return", "context.idempotency_key", "KEY_REQUIRED"),
    clearing("no key on an enrolment", "enrol", "context.idempotency_key", "KEY_REQUIRED"),
    setting("a key of 65 bytes", "commit", "context.idempotency_key", "k" * 65, "TEXT_TOO_LONG"),
    setting("a negative attempt", "commit", "context.attempt", -1, "FIELD_OUT_OF_RANGE"),
    setting(
        "sent in the year 1970", "commit", "context.sent_time_unix_ms", 1, "FIELD_OUT_OF_RANGE"
    ),
    setting(
        "a correlation id of 1 MiB less",
        "commit",
        "context.correlation_id",
        "c" * 100_000,
        "TEXT_TOO_LONG",
    ),
]

_RECEIPT = [
    clearing("no receipt", "commit", "receipt", "RECEIPT_REQUIRED"),
    clearing("a receipt without a number", "commit", "receipt.sequence", "RECEIPT_REQUIRED"),
    clearing("a receipt without a till", "commit", "receipt.till_id", "RECEIPT_REQUIRED"),
    clearing("a receipt without a date", "commit", "receipt.business_date", "RECEIPT_REQUIRED"),
    setting(
        "the 31st of February",
        "commit",
        "receipt.business_date",
        20260231,
        "BUSINESS_DATE_INVALID",
    ),
    setting("a negative number", "commit", "receipt.sequence", INT64_MIN, "FIELD_OUT_OF_RANGE"),
    setting("another store's receipt", "commit", "receipt.store_id", "S002", "FIELD_OUT_OF_RANGE"),
    setting("another till's receipt", "commit", "receipt.till_id", "2", "FIELD_OUT_OF_RANGE"),
    clearing("a void of nothing", "void", "original_receipt", "RECEIPT_REQUIRED"),
]

_BASKET = [
    clearing("no basket", "commit", "basket", "FIELD_REQUIRED"),
    clearing("no lines", "commit", "basket.lines", "LINES_EMPTY"),
    clearing("no opening time", "commit", "basket.opened_time_unix_ms", "TIME_MISSING"),
    setting(
        "opened before the flood",
        "commit",
        "basket.opened_time_unix_ms",
        INT64_MIN,
        "FIELD_OUT_OF_RANGE",
    ),
    setting(
        "opened in the year 2100",
        "commit",
        "basket.opened_time_unix_ms",
        4_102_444_800_000,
        "FIELD_OUT_OF_RANGE",
    ),
    setting("month 13", "commit", "basket.business_date", 20261301, "BUSINESS_DATE_INVALID"),
    setting("an unknown channel", "commit", "basket.channel", 99, "ENUM_UNKNOWN"),
    setting(
        "a zone of 24 hours", "commit", "basket.utc_offset_minutes", 1440, "FIELD_OUT_OF_RANGE"
    ),
    setting(
        "a currency of four letters", "commit", "basket.currency_code", "USDX", "FIELD_OUT_OF_RANGE"
    ),
    clearing("no till", "commit", "basket.till_id", "FIELD_REQUIRED"),
    setting("a store of 65 bytes", "commit", "basket.store_id", "S" * 65, "TEXT_TOO_LONG"),
    changed(
        "513 lines",
        "commit",
        lambda request: request.basket.CopyFrom(basket(513)),
        "TOO_MANY_ITEMS",
        "basket.lines",
    ),
    changed(
        "4,000 empty lines",
        "commit",
        lambda request: fill(request.basket.lines, 4000),
        "TOO_MANY_ITEMS",
        "basket.lines",
    ),
    changed(
        "nine identifiers",
        "commit",
        lambda request: fill(request.basket.identifiers, 9, kind=1, value="6029000000000001"),
        "TOO_MANY_ITEMS",
        "basket.identifiers",
    ),
    changed(
        "33 coupons",
        "commit",
        lambda request: fill(request.basket.coupons, 33, code="SAVE"),
        "TOO_MANY_ITEMS",
        "basket.coupons",
    ),
    changed(
        "17 tenders",
        "commit",
        lambda request: fill(request.basket.tenders, 17, kind=1),
        "TOO_MANY_ITEMS",
        "basket.tenders",
    ),
    changed(
        "33 selections",
        "commit",
        lambda request: fill(request.basket.selections, 33, offer_id="x"),
        "TOO_MANY_ITEMS",
        "basket.selections",
    ),
    changed(
        "a coupon of nothing",
        "commit",
        lambda request: request.basket.coupons.add(),
        "FIELD_REQUIRED",
        "basket.coupons[0].code",
    ),
    changed(
        "a tender for a line that is not there",
        "commit",
        lambda request: request.basket.tenders.add(kind=1, line_ids=[7]),
        "TENDER_INVALID",
        "basket.tenders[0].line_ids[0]",
    ),
    changed(
        "a negative tender",
        "commit",
        lambda request: request.basket.tenders.add(kind=1, amount_minor=-1),
        "FIELD_OUT_OF_RANGE",
        "basket.tenders[0].amount_minor",
    ),
    changed(
        "an identifier without a kind",
        "commit",
        lambda request: request.basket.identifiers.add(value="1"),
        "FIELD_REQUIRED",
        "basket.identifiers[0].kind",
    ),
    changed(
        "points below zero",
        "commit",
        lambda request: request.basket.redemptions.add(purse_id="points", points=-5),
        "FIELD_OUT_OF_RANGE",
        "basket.redemptions[0].points",
    ),
]

_LINES = [
    setting("line number zero", "commit", LINE + "line_id", 0, "LINE_ID_INVALID"),
    changed(
        "a line number twice",
        "commit",
        lambda request: request.basket.lines.add(line_id=1, product_code=GTIN, amount_minor=1),
        "LINE_ID_DUPLICATE",
        "basket.lines[1].line_id",
    ),
    setting("a count of zero", "commit", LINE + "count", 0, "LINE_COUNT_INVALID"),
    setting("a count below zero", "commit", LINE + "count", -1, "LINE_COUNT_INVALID"),
    setting("a count of 10 million", "commit", LINE + "count", 10_000_000, "LINE_COUNT_INVALID"),
    setting("the largest count", "commit", LINE + "count", INT64_MAX, "LINE_COUNT_INVALID"),
    clearing("no amount", "commit", LINE + "amount_minor", "LINE_AMOUNT_INVALID"),
    setting("a negative sale", "commit", LINE + "amount_minor", -199, "LINE_AMOUNT_INVALID"),
    setting(
        "one cent above the ceiling",
        "commit",
        LINE + "amount_minor",
        10**11 + 1,
        "LINE_AMOUNT_INVALID",
    ),
    setting(
        "an amount that overflows",
        "commit",
        LINE + "amount_minor",
        INT64_MAX,
        "LINE_AMOUNT_INVALID",
    ),
    setting(
        "a list price below zero", "commit", LINE + "list_amount_minor", -1, "LINE_AMOUNT_INVALID"
    ),
    setting(
        "a check digit that is wrong",
        "commit",
        LINE + "product_code",
        "9520000001019",
        "LINE_CODE_INVALID",
    ),
    setting("a GTIN of letters", "commit", LINE + "product_code", "SOUP", "LINE_CODE_INVALID"),
    setting("a GTIN of 15 digits", "commit", LINE + "product_code", "0" * 15, "LINE_CODE_INVALID"),
    setting("no product at all", "commit", LINE + "product_code", "", "LINE_CODE_INVALID"),
    setting("an unknown kind of code", "commit", LINE + "code_kind", 9, "ENUM_UNKNOWN"),
    setting("an unknown kind of line", "commit", LINE + "kind", 77, "ENUM_UNKNOWN"),
    setting("an unknown price source", "commit", LINE + "price_source", -1, "ENUM_UNKNOWN"),
    setting(
        "its own parent's stranger", "commit", LINE + "parent_line_id", 9, "LINE_PARENT_UNKNOWN"
    ),
    changed(
        "a weight below zero",
        "commit",
        lambda request: request.basket.lines[0].measure.CopyFrom(
            basket_pb2.Measure(quantity_thousandths=-1, unit=basket_pb2.MEASURE_UNIT_POUND)
        ),
        "FIELD_OUT_OF_RANGE",
        LINE + "measure.quantity_thousandths",
    ),
    setting(
        "a weight without a unit",
        "commit",
        LINE + "measure.quantity_thousandths",
        1,
        "FIELD_REQUIRED",
        LINE + "measure.unit",
    ),
    changed(
        "a till's discount below zero",
        "commit",
        lambda request: request.basket.lines[0].pos_discounts.add(amount_minor=-1),
        "FIELD_OUT_OF_RANGE",
        LINE + "pos_discounts[0].amount_minor",
    ),
    changed(
        "a sale that returns another",
        "commit",
        lambda request: request.basket.lines[0].original.CopyFrom(
            basket_pb2.OriginalLine(receipt=receipt(5), line_id=1)
        ),
        "FIELD_OUT_OF_RANGE",
        LINE + "original",
    ),
]

_COMMIT = [
    changed(
        "paid, and refused on change",
        "commit",
        lambda request: request.MergeFrom(
            checkout_pb2.CommitTransactionRequest(paid=True, refuse_on_change=True)
        ),
        "FIELD_OUT_OF_RANGE",
        "refuse_on_change",
    ),
    changed(
        "a discount above the line's amount",
        "commit",
        lambda request: request.figures.lines.add(line_id=1, discount_minor=200),
        "FIELD_OUT_OF_RANGE",
        "figures.lines[0].discount_minor",
    ),
    setting("a token of 129 bytes", "commit", "total_token", bytes(129), "TEXT_TOO_LONG"),
    setting("an unknown degraded level", "commit", "degraded_level", 44, "ENUM_UNKNOWN"),
]

_OTHERS = [
    clearing("a total of no basket", "total", "basket", "FIELD_REQUIRED"),
    clearing(
        "a total without a name", "total", "basket.basket_id", "FIELD_REQUIRED", "basket.basket_id"
    ),
    setting("a total kept for no time", "total", "hold_seconds", 0, "FIELD_OUT_OF_RANGE"),
    setting("a total kept for too long", "total", "hold_seconds", 604_801, "FIELD_OUT_OF_RANGE"),
    clearing("a total without a key", "total", "context.idempotency_key", "KEY_REQUIRED"),
    clearing("a return of nothing", "return", "lines", "LINES_EMPTY"),
    setting("a return of no units", "return", "lines[0].count", 0, "FIELD_OUT_OF_RANGE"),
    setting("a return of line zero", "return", "lines[0].line_id", 0, "LINE_ID_INVALID"),
    changed(
        "a line that comes back twice",
        "return",
        lambda request: request.lines.add(line_id=1),
        "LINE_ID_DUPLICATE",
        "lines[1].line_id",
    ),
    clearing("a return of no sale", "return", "original_receipt", "RECEIPT_REQUIRED"),
    setting("nobody's capsule", "return", "receipt_capsule", b"CKLNCPS1" * 12, "CAPSULE_INVALID"),
    clearing("a claim of no sale", "claim", "receipt", "RECEIPT_REQUIRED"),
    clearing("a claim of nobody", "claim", "identifiers", "FIELD_REQUIRED"),
    setting("a claim before 2000", "claim", "claimed_time_unix_ms", 1, "FIELD_OUT_OF_RANGE"),
    clearing("a claim without a key", "claim", "context.idempotency_key", "KEY_REQUIRED"),
    clearing("nobody to identify", "identify", "identifiers", "FIELD_REQUIRED"),
    setting("a card of 300 bytes", "identify", "identifiers[0].value", "6" * 300, "TEXT_TOO_LONG"),
    setting("an unknown identifier", "identify", "identifiers[0].kind", 42, "ENUM_UNKNOWN"),
    clearing("a question from nowhere", "identify", "context.store_id", "FIELD_REQUIRED"),
    clearing("a member without an id", "enrol", "member_id", "FIELD_REQUIRED"),
    setting("born in month 13", "enrol", "birth_month_day", 1301, "FIELD_OUT_OF_RANGE"),
    clearing("a look at nobody", "get", "member.member_id", "FIELD_REQUIRED", "member"),
    changed(
        "a look at two at once",
        "get",
        lambda request: request.member.MergeFrom(member_pb2.MemberRef(member_number=7)),
        "FIELD_OUT_OF_RANGE",
        "member",
    ),
]

#: Refused by what the service knows; the rows above are refused by their form alone.
KNOWING_ROWS = [
    changed(
        "an unknown store",
        "commit",
        lambda request: (
            setattr(request.basket, "store_id", "S999"),
            setattr(request.receipt, "store_id", "S999"),
            setattr(request.context, "store_id", "S999"),
        ),
        "STORE_UNKNOWN",
        "context.store_id",
    ),
    setting("another currency", "commit", "basket.currency_code", "XTS", "FIELD_OUT_OF_RANGE"),
    changed(
        "figures of a line that is not there",
        "commit",
        lambda request: request.figures.lines.add(line_id=9, discount_minor=0),
        "LINE_UNKNOWN",
        "figures.lines[0].line_id",
    ),
    changed(
        "figures of a while ago",
        "commit",
        lambda request: (
            setattr(request, "refuse_on_change", True),
            setattr(request.context, "idempotency_key", "a while ago"),
            setattr(request.receipt, "sequence", 77),
            setattr(request.figures, "due_minor", -5),
            request.figures.lines.add(line_id=1, discount_minor=7),
            request.figures.points.add(purse_id="nothing", points=-3),
        ),
        "DECISION_CHANGED",
        "figures.due_minor",
    ),
    changed(
        "an unknown offer",
        "commit",
        lambda request: request.basket.selections.add(offer_id="no-such-offer"),
        "OFFER_UNKNOWN",
        "basket.selections[0].offer_id",
    ),
    changed(
        "a return of an unknown sale",
        "return",
        lambda request: None,
        "RECEIPT_UNKNOWN",
        "original_receipt",
    ),
    changed(
        "a claim of an unknown sale",
        "claim",
        lambda request: None,
        "RECEIPT_UNKNOWN",
        "receipt",
    ),
    setting("a stranger", "get", "member.member_id", "nobody", "MEMBER_UNKNOWN", "member"),
    setting("an unknown tier", "enrol", "tier_id", "platinum", "TIER_UNKNOWN"),
    changed(
        "an unknown segment",
        "enrol",
        lambda request: request.segment_ids.append("pirates"),
        "SEGMENT_UNKNOWN",
        "segment_ids[0]",
    ),
    Row(
        "an unknown offer to stop",
        "ProgramService/StopOffer",
        program_pb2.StopOfferRequest(
            context=context(), offer_id="no-such-offer"
        ).SerializeToString(),
        "OFFER_UNKNOWN",
        "offer_id",
    ),
    Row(
        "a date that has not begun",
        "LedgerService/CloseBusinessDate",
        ledger_pb2.CloseBusinessDateRequest(
            context=context(), business_date=20991231
        ).SerializeToString(),
        "FIELD_OUT_OF_RANGE",
        "business_date",
    ),
    Row("an unknown method", "CheckoutService/Quote", b"", "METHOD_UNKNOWN"),
    Row("a method to come", "MemberService/EraseMember", b"", "METHOD_NOT_BUILT"),
]

FORM_ROWS = [
    row for rows in (_BYTES, _CONTEXT, _RECEIPT, _BASKET, _LINES, _COMMIT, _OTHERS) for row in rows
]
ROWS = FORM_ROWS + KNOWING_ROWS
