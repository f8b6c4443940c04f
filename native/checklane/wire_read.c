/* Protobuf from outside, read by the tables of wire_fields.c straight into the structs of wire.h.
 *
 * The reader holds a frame for each message that is open and goes through the bytes once. It never
 * looks beyond the end of the innermost message, and it refuses what the official runtime refuses
 * (REQUEST_MALFORMED, TEXT_NOT_UTF8). Everything else is judged afterwards, on the values that
 * hold at the end, by wire_check.c. */
#include <string.h>

#include "invariant.h"
#include "wire_fields.h"

/* Messages and unknown groups inside of each other, as in the official runtime. */
#define NESTING_MAX 100

#define WIRE_VARINT 0
#define WIRE_FIXED64 1
#define WIRE_LENGTH 2
#define WIRE_GROUP 3
#define WIRE_GROUP_END 4
#define WIRE_FIXED32 5

typedef struct reader {
    wire_t *wire;
    const uint8_t *at;
    uint32_t depth;
    wire_frame_t frames[WIRE_DEPTH_MAX];
} reader_t;

/* Ten bytes at most; what the tenth has beyond 64 bits is lost, as in the official runtime. */
static bool read_long_varint(reader_t *reader, const uint8_t *end, uint64_t *value)
{
    uint64_t result = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        if (reader->at == end) return false;
        uint8_t byte = *reader->at++;
        result |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = result;
            return true;
        }
    }
    return false;
}

/* Most varints of a request are one byte: tags, sizes, kinds. */
static inline bool read_varint(reader_t *reader, const uint8_t *end, uint64_t *value)
{
    if (reader->at == end || *reader->at >= 0x80) return read_long_varint(reader, end, value);
    *value = *reader->at++;
    return true;
}

/* Tags and sizes: five bytes at most, and no more than `most`. */
static inline bool read_short(reader_t *reader, const uint8_t *end, uint64_t most, uint32_t *value)
{
    const uint8_t *start = reader->at;
    uint64_t result;
    if (!read_varint(reader, end, &result)) return false;
    if (reader->at - start > 5) return false;
    if (result > most) return false;
    *value = (uint32_t)result;
    return true;
}

/* A size, and that as many bytes are there. */
static bool read_size(reader_t *reader, const uint8_t *end, uint32_t *size)
{
    if (!read_short(reader, end, INT32_MAX, size)) return false;
    return *size <= (uint64_t)(end - reader->at);
}

static bool skip_bytes(reader_t *reader, const uint8_t *end, uint64_t size)
{
    if ((uint64_t)(end - reader->at) < size) return false;
    reader->at += size;
    return true;
}

/* A field that is no group. */
static bool skip_plain(reader_t *reader, const uint8_t *end, uint32_t wire_type)
{
    uint64_t ignored;
    uint32_t size;
    switch (wire_type) {
    case WIRE_VARINT: return read_varint(reader, end, &ignored);
    case WIRE_FIXED64: return skip_bytes(reader, end, 8);
    case WIRE_FIXED32: return skip_bytes(reader, end, 4);
    case WIRE_LENGTH: return read_size(reader, end, &size) && skip_bytes(reader, end, size);
    default: return false;
    }
}

/* An unknown field whose tag was read. Groups lie inside of each other: their numbers are kept, for
 * each must be closed under the number that it was opened with. */
static bool skip_field(reader_t *reader, const uint8_t *end, uint32_t tag)
{
    uint32_t open[NESTING_MAX];
    uint32_t open_count = 0;
    for (;;) {
        uint32_t wire_type = tag & 7;
        if (wire_type == WIRE_GROUP) {
            if (reader->depth + open_count == NESTING_MAX) return false;
            open[open_count++] = tag >> 3;
        } else if (wire_type == WIRE_GROUP_END) {
            if (open_count == 0 || open[open_count - 1] != tag >> 3) return false;
            open_count--;
        } else if (!skip_plain(reader, end, wire_type)) {
            return false;
        }
        if (open_count == 0) return true;
        if (!read_short(reader, end, UINT32_MAX, &tag)) return false;
        if (tag >> 3 == 0) return false;
    }
}

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* Bytes of the UTF-8 character at `at`, 0 where none is: no surrogates, nothing overlong, nothing
 * above U+10FFFF. */
static uint32_t character_size(const uint8_t *at, size_t left)
{
    uint8_t lead = at[0];
    if (lead < 0x80) return 1;
    if (lead < 0xc2 || lead > 0xf4) return 0;
    uint32_t size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (left < size) return 0;
    for (uint32_t i = 1; i < size; i++) {
        if (!is_continuation(at[i])) return 0;
    }
    if (lead == 0xe0 && at[1] < 0xa0) return 0;
    if (lead == 0xed && at[1] > 0x9f) return 0;
    if (lead == 0xf0 && at[1] < 0x90) return 0;
    if (lead == 0xf4 && at[1] > 0x8f) return 0;
    return size;
}

static bool is_utf8(const uint8_t *at, uint32_t size)
{
    const uint8_t *end = at + size;
    while (at < end) {
        uint64_t word;
        if (end - at >= 8) {
            memcpy(&word, at, 8);
            if ((word & 0x8080808080808080u) == 0) {
                at += 8;
                continue;
            }
        }
        uint32_t character = character_size(at, (size_t)(end - at));
        if (character == 0) return false;
        at += character;
    }
    return true;
}

/* The value of a number field from its varint. */
static int64_t number_of(uint8_t type, uint64_t raw)
{
    switch (type) {
    case TYPE_BOOL: return raw != 0;
    case TYPE_UINT32: return (int64_t)(uint32_t)raw;
    case TYPE_INT32:
    case TYPE_ENUM: return (int32_t)(uint32_t)raw;
    case TYPE_SINT32: {
        uint32_t word = (uint32_t)raw;
        return (int32_t)((word >> 1) ^ (0 - (word & 1)));
    }
    case TYPE_SINT64: return (int64_t)((raw >> 1) ^ (0 - (raw & 1)));
    default: return (int64_t)raw;
    }
}

static uint32_t expected_wire_type(uint8_t type)
{
    if (type >= TYPE_STRING) return WIRE_LENGTH;
    return type == TYPE_FIXED64 ? WIRE_FIXED64 : WIRE_VARINT;
}

/* A place for one more item of a list, filled with zeros. Beyond the ceiling: the spare place, and
 * the fault is noted. */
static uint8_t *add_item(reader_t *reader, const wire_frame_t *frame, const field_t *field,
                         uint32_t *index)
{
    wire_t *wire = reader->wire;
    const wire_list_place_t *place = &WIRE_LIST_PLACES[field->list];
    span_t *span = (span_t *)(void *)(frame->record + field->offset);
    uint32_t slot = wire->counts[field->list];
    *index = span->count;
    if (span->count == field->items_max || slot == place->capacity) {
        note_fault(wire, STATUS_TOO_MANY_ITEMS, reader->frames, reader->depth, field->name,
                   NONE_32);
        slot = place->capacity;
    } else {
        if (span->count == 0) span->first = slot;
        INVARIANT(span->first + span->count == slot);
        span->count++;
        wire->counts[field->list]++;
    }
    uint8_t *item = (uint8_t *)wire + place->offset + (size_t)slot * place->item_size;
    memset(item, 0, place->item_size);
    return item;
}

static void store_number(wire_frame_t *frame, const field_t *field, int64_t number)
{
    uint64_t bit = (uint64_t)1 << (uint32_t)(field - frame->message->fields + 1);
    uint64_t *present = (uint64_t *)(void *)frame->record;
    memcpy(frame->record + field->offset, &number, sizeof(number));
    if (number != 0 || (field->rules & RULE_EXPLICIT) != 0) *present |= bit;
    else *present &= ~bit;
}

static bool read_number(reader_t *reader, wire_frame_t *frame, const field_t *field)
{
    uint64_t raw;
    if (field->type == TYPE_FIXED64) {
        const uint8_t *at = reader->at;
        if (!skip_bytes(reader, frame->end, 8)) return false;
        memcpy(&raw, at, 8);
    } else if (!read_varint(reader, frame->end, &raw)) {
        return false;
    }
    int64_t number = number_of(field->type, raw);
    if ((field->rules & RULE_REPEATED) == 0) {
        store_number(frame, field, number);
        return true;
    }
    uint32_t index;
    memcpy(add_item(reader, frame, field, &index), &number, sizeof(number));
    return true;
}

/* Numbers of a repeated field in one piece. */
static bool read_packed(reader_t *reader, wire_frame_t *frame, const field_t *field)
{
    uint32_t size;
    if (!read_size(reader, frame->end, &size)) return false;
    const uint8_t *end = reader->at + size;
    while (reader->at < end) {
        uint64_t raw;
        uint32_t index;
        if (!read_varint(reader, end, &raw)) return false;
        int64_t number = number_of(field->type, raw);
        memcpy(add_item(reader, frame, field, &index), &number, sizeof(number));
    }
    return true;
}

static bool read_text(reader_t *reader, wire_frame_t *frame, const field_t *field)
{
    bytes_t text;
    if (!read_size(reader, frame->end, &text.size)) return false;
    text.at = reader->at;
    reader->at += text.size;
    uint32_t index = NONE_32;
    uint8_t *target = frame->record + field->offset;
    if ((field->rules & RULE_REPEATED) != 0) {
        target = add_item(reader, frame, field, &index);
    } else {
        uint64_t bit = (uint64_t)1 << (uint32_t)(field - frame->message->fields + 1);
        uint64_t *present = (uint64_t *)(void *)frame->record;
        if (text.size != 0 || (field->rules & RULE_EXPLICIT) != 0) *present |= bit;
        else *present &= ~bit;
    }
    memcpy(target, &text, sizeof(text));
    if (field->type == TYPE_STRING && !is_utf8(text.at, text.size)) {
        note_fault(reader->wire, STATUS_TEXT_NOT_UTF8, reader->frames, reader->depth, field->name,
                   index);
    }
    return true;
}

/* Opens a message inside of the one at hand. A singular one that comes again is continued. */
static bool open_message(reader_t *reader, wire_frame_t *frame, const field_t *field)
{
    uint32_t size;
    uint32_t index = NONE_32;
    if (!read_size(reader, frame->end, &size)) return false;
    uint8_t *record = frame->record + field->offset;
    if ((field->rules & RULE_REPEATED) != 0) {
        record = add_item(reader, frame, field, &index);
    } else {
        uint64_t *present = (uint64_t *)(void *)frame->record;
        *present |= (uint64_t)1 << (uint32_t)(field - frame->message->fields + 1);
    }
    reader->depth++;
    INVARIANT(reader->depth < WIRE_DEPTH_MAX);
    reader->frames[reader->depth] = (wire_frame_t){
        .message = field->message,
        .via = field,
        .index = index,
        .record = record,
        .end = reader->at + size,
    };
    return true;
}

static bool read_field(reader_t *reader, wire_frame_t *frame)
{
    uint32_t tag;
    if (!read_short(reader, frame->end, UINT32_MAX, &tag)) return false;
    uint32_t number = tag >> 3;
    uint32_t wire_type = tag & 7;
    if (number == 0) return false;
    if (number > frame->message->field_count) return skip_field(reader, frame->end, tag);
    const field_t *field = &frame->message->fields[number - 1];
    if (field->type == TYPE_RESERVED) return skip_field(reader, frame->end, tag);
    if (wire_type == expected_wire_type(field->type)) {
        if (field->type == TYPE_MESSAGE) return open_message(reader, frame, field);
        if (field->type >= TYPE_STRING) return read_text(reader, frame, field);
        return read_number(reader, frame, field);
    }
    bool is_list = (field->rules & RULE_REPEATED) != 0 && field->type < TYPE_STRING;
    if (is_list && wire_type == WIRE_LENGTH) return read_packed(reader, frame, field);
    return skip_field(reader, frame->end, tag);
}

/* Reads the whole request into `wire`; false: malformed, at the message that the frames name. */
static bool read_request(reader_t *reader)
{
    for (;;) {
        wire_frame_t *frame = &reader->frames[reader->depth];
        if (reader->at < frame->end) {
            if (!read_field(reader, frame)) return false;
        } else {
            if (reader->depth == 0) return true;
            reader->depth--;
        }
    }
}

/* Finds the sender's store and till. */
static void find_sender(wire_t *wire)
{
    const context_t *context = &wire->head.context;
    bytes_t store = {NULL, 0};
    bytes_t till = {NULL, 0};
    const sent_basket_t *basket = wire_basket(wire);
    if (basket != NULL) {
        store = basket->store_id;
        till = basket->till_id;
    } else if (wire->kind == REQUEST_VOID_TRANSACTION) {
        store = wire->cancel.original_receipt.store_id;
        till = wire->cancel.original_receipt.till_id;
    } else if (wire->kind == REQUEST_RETURN_ITEMS) {
        store = wire->give_back.receipt.store_id;
        till = wire->give_back.receipt.till_id;
    } else if (wire->kind == REQUEST_CLAIM_TRANSACTION) {
        store = wire->claim.receipt.store_id;
        till = wire->claim.receipt.till_id;
    }
    wire->store_id = context->store_id.size != 0 ? context->store_id : store;
    wire->till_id = context->till_id.size != 0 ? context->till_id : till;
}

status_t wire_read(wire_t *wire, uint32_t kind, const uint8_t *request, uint32_t request_size,
                   basket_t *basket, fault_t *fault)
{
    INVARIANT(kind > 0 && kind < REQUEST_KINDS);
    const message_t *message = WIRE_REQUESTS[kind];
    wire->fault = (fault_t){.status = STATUS_OK};
    *fault = wire->fault;
    wire->kind = kind;
    wire->request = (bytes_t){request, request_size};
    if (request_size > REQUEST_BYTES_MAX) {
        fault->status = STATUS_REQUEST_TOO_LARGE;
        return fault->status;
    }
    memset(wire->counts, 0, sizeof(wire->counts));
    memset(&wire->head, 0, message->size);
    reader_t reader = {.wire = wire, .at = request};
    reader.frames[0] = (wire_frame_t){
        .message = message,
        .index = NONE_32,
        .record = (uint8_t *)&wire->head,
        .end = request + request_size,
    };
    if (!read_request(&reader)) {
        note_fault(wire, STATUS_REQUEST_MALFORMED, reader.frames, reader.depth, NULL, NONE_32);
    } else {
        find_sender(wire);
        wire_check(wire);
    }
    if (wire->fault.status == STATUS_OK && basket != NULL) wire_fill_basket(wire, basket);
    *fault = wire->fault;
    return fault->status;
}
