/* As much protobuf as the port itself needs: the outermost fields. Requests stay bytes; the engine
 * reads the rest and judges it. The same rules as in src/checklane/server/wire.py. */
#include <string.h>

#include "lane_internal.h"

/* Fields that are looked at for the context: a request of the contract has fewer than 20. */
#define CONTEXT_FIELDS_MAX 64

static bool read_varint(bytes_t *bytes, uint64_t *value)
{
    *value = 0;
    for (unsigned i = 0; i < 10 && i < bytes->size; i++) {
        uint8_t byte = bytes->at[i];
        *value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            bytes->at += i + 1;
            bytes->size -= i + 1;
            return true;
        }
    }
    return false;
}

bool lane_field_read(bytes_t *message, lane_field_t *field)
{
    uint64_t tag;
    uint64_t size;
    field->bytes = (bytes_t){NULL, 0};
    field->value = 0;
    if (!read_varint(message, &tag)) return false;
    field->number = tag >> 3;
    if (field->number == 0 || field->number >= 1u << 29) return false;
    switch (tag & 7) {
    case 0: return read_varint(message, &field->value);
    case 1: size = 8; break;
    case 2:
        if (!read_varint(message, &size)) return false;
        break;
    case 5: size = 4; break;
    default: return false; /* groups: the contract has none */
    }
    if (size > message->size) return false;
    field->bytes = (bytes_t){message->at, (uint32_t)size};
    message->at += size;
    message->size -= (uint32_t)size;
    return true;
}

/* The value of field 1 of a context, the last if there are several. False: no message. */
static bool find_id(bytes_t context, bytes_t *id)
{
    lane_field_t field;
    for (unsigned i = 0; context.size > 0 && i < CONTEXT_FIELDS_MAX; i++) {
        if (!lane_field_read(&context, &field)) return false;
        if (field.number == 1 && field.bytes.at != NULL) *id = field.bytes;
    }
    return true;
}

static bool find_correlation(bytes_t request, bytes_t *found)
{
    lane_field_t field;
    for (unsigned i = 0; request.size > 0 && i < CONTEXT_FIELDS_MAX; i++) {
        bytes_t id = {NULL, 0};
        if (!lane_field_read(&request, &field)) return false;
        if (field.number != 1 || field.bytes.at == NULL) continue;
        if (!find_id(field.bytes, &id)) return false;
        if (id.size > 0) *found = id;
    }
    return true;
}

uint32_t lane_percent_encode(bytes_t text, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    uint32_t length = 0;
    for (uint32_t i = 0; i < text.size; i++) {
        uint8_t byte = text.at[i];
        if (byte >= 0x20 && byte < 0x7f && byte != '%') {
            out[length++] = (char)byte;
            continue;
        }
        out[length++] = '%';
        out[length++] = digits[byte >> 4];
        out[length++] = digits[byte & 15];
    }
    return length;
}

uint32_t lane_correlation(const uint8_t *request, uint32_t size, char *out)
{
    bytes_t id = {NULL, 0};
    if (!find_correlation((bytes_t){request, size}, &id)) return 0;
    if (id.size == 0 || id.size > ID_BYTES_MAX) return 0;
    for (uint32_t i = 0; i < id.size; i++) {
        if (id.at[i] < 0x20 || id.at[i] >= 0x7f) return lane_percent_encode(id, out);
    }
    memcpy(out, id.at, id.size);
    return id.size;
}
