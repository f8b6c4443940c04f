/* What an answer says. Protobuf is read here without the contract's tables: only field numbers and
 * wire types, one message inside the other. */
#include <string.h>

#include "generator_internal.h"

typedef struct field {
    uint32_t number;
    uint32_t type;
    const uint8_t *begin;   /* of the tag */
    const uint8_t *content; /* behind tag and length */
    size_t size;            /* of the content */
    uint64_t value;         /* of a varint */
} field_t;

bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    uint64_t found = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (*at == end) return false;
        uint8_t byte = *(*at)++;
        found |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *value = found;
            return true;
        }
    }
    return false;
}

size_t put_varint(uint8_t *out, uint64_t value)
{
    size_t size = 0;
    while (value >= 0x80) {
        out[size++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    out[size++] = (uint8_t)value;
    return size;
}

/* Reads one field and moves behind it. */
static bool read_field(const uint8_t **at, const uint8_t *end, field_t *field)
{
    uint64_t tag = 0;
    uint64_t size = 0;
    field->begin = *at;
    if (!read_varint(at, end, &tag) || tag >> 35 != 0) return false;
    field->number = (uint32_t)(tag >> 3);
    field->type = (uint32_t)(tag & 7);
    field->content = *at;
    field->value = 0;
    switch (field->type) {
    case 0:
        if (!read_varint(at, end, &field->value)) return false;
        field->size = (size_t)(*at - field->content);
        return true;
    case 1:
        size = 8;
        break;
    case 2:
        if (!read_varint(at, end, &size)) return false;
        field->content = *at;
        break;
    case 5:
        size = 4;
        break;
    default:
        return false;
    }
    if (size > (uint64_t)(end - *at)) return false;
    field->size = (size_t)size;
    *at += size;
    return true;
}

/* The message of one level. Nested messages are written with their tag and an end mark that no tag
 * can be, so that two different answers never look alike. */
static bool mask_level(const level_t *levels, unsigned depth, uint32_t degraded_field,
                       const uint8_t *bytes, size_t size, uint8_t **out, uint64_t *degraded)
{
    const uint8_t *at = bytes;
    const uint8_t *end = bytes + size;
    const level_t *level = &levels[depth];
    while (at < end) {
        field_t field;
        if (!read_field(&at, end, &field)) return false;
        if (depth == 1 && field.number == degraded_field) *degraded = field.value;
        if (field.number < 64 && (level->drop >> field.number & 1) != 0) continue;
        if (field.number == level->nested && field.type == 2 && depth + 1 < LEVELS) {
            *(*out)++ = *field.begin;
            if (!mask_level(levels, depth + 1, degraded_field, field.content, field.size, out,
                            degraded))
                return false;
            *(*out)++ = 0;
            continue;
        }
        size_t whole = (size_t)(at - field.begin);
        memcpy(*out, field.begin, whole);
        *out += whole;
    }
    return true;
}

bool masked_answer(const method_t *method, const uint8_t *bytes, size_t size, uint8_t *out,
                   size_t *out_size, uint64_t *degraded)
{
    *degraded = 0;
    if (method->is_exact) {
        memcpy(out, bytes, size);
        *out_size = size;
        return true;
    }
    uint8_t *at = out;
    bool is_message =
        mask_level(method->levels, 0, method->degraded_field, bytes, size, &at, degraded);
    *out_size = (size_t)(at - out);
    return is_message;
}

/* Finds the first field of a number; size 0 and a value of 0 when there is none. */
static field_t find_field(const uint8_t *bytes, size_t size, uint32_t number)
{
    const uint8_t *at = bytes;
    field_t field = {0};
    while (at < bytes + size && read_field(&at, bytes + size, &field)) {
        if (field.number == number) return field;
    }
    return (field_t){0};
}

int64_t answered_lsn(const method_t *method, const uint8_t *bytes, size_t size)
{
    if (method->posting_field == 0) return 0;
    field_t posting = find_field(bytes, size, method->posting_field);
    if (posting.type != 2) return 0;
    return (int64_t)find_field(posting.content, posting.size, 1).value;
}

bool read_stream_answer(const uint8_t *bytes, size_t size, uint64_t *request_id, uint32_t *number,
                        const uint8_t **body, size_t *body_size)
{
    const uint8_t *at = bytes;
    *request_id = 0;
    *number = 0;
    while (at < bytes + size) {
        field_t field;
        if (!read_field(&at, bytes + size, &field)) return false;
        if (field.number == 1 && field.type == 0) *request_id = field.value;
        if (field.number > 1 && field.type == 2) {
            *number = field.number;
            *body = field.content;
            *body_size = field.size;
        }
    }
    return *request_id != 0 && *number != 0;
}

uint32_t refusal_code(const uint8_t *bytes, size_t size, const uint8_t **message,
                      size_t *message_size)
{
    field_t words = find_field(bytes, size, 3);
    *message = words.content;
    *message_size = words.size;
    return (uint32_t)find_field(bytes, size, 1).value;
}
