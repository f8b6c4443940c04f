/* Protobuf into a caller's buffer, in ascending order of fields. Defaults are left out, sizes take
 * as few bytes as they can: the official runtime's deterministic bytes. For wire_write.c,
 * wire_decision.c, lane_answer.c and lane_stream.c only. */
#ifndef CHECKLANE_WIRE_PUT_H
#define CHECKLANE_WIRE_PUT_H

#include <string.h>

#include "wire.h"

/* Once something did not fit, nothing more is written and the reply is refused. Most of an answer
 * is short fields far from the end of the room, so each has one look at the room for its head and
 * its number together; only near the end they are put one by one. */
typedef struct writer {
    uint8_t *at;
    uint32_t capacity;
    uint32_t size;
    bool is_full;
} writer_t;

static inline writer_t put_begin(reply_t *reply)
{
    reply->size = 0;
    return (writer_t){.at = reply->at, .capacity = reply->capacity};
}

static inline status_t put_end(const writer_t *writer, reply_t *reply)
{
    if (writer->is_full) return STATUS_REPLY_TOO_LARGE;
    reply->size = writer->size;
    return STATUS_OK;
}

static inline bool put_room(writer_t *writer, uint32_t size)
{
    if (writer->is_full || writer->capacity - writer->size < size) {
        writer->is_full = true;
        writer->capacity = writer->size; /* no room for anything, however short */
    }
    return !writer->is_full;
}

#define VARINT_BYTES_MAX 10

/* Writes without a look at the room; returns the end. */
static inline uint8_t *put_varint_at(uint8_t *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

static inline void put_varint(writer_t *writer, uint64_t value)
{
    uint8_t bytes[VARINT_BYTES_MAX];
    uint32_t size = (uint32_t)(put_varint_at(bytes, value) - bytes);
    if (!put_room(writer, size)) return;
    memcpy(writer->at + writer->size, bytes, size);
    writer->size += size;
}

/* Two varints: a tag and what follows it. */
static inline void put_pair(writer_t *writer, uint64_t tag, uint64_t value)
{
    if (writer->capacity - writer->size < 2 * VARINT_BYTES_MAX) {
        put_varint(writer, tag);
        put_varint(writer, value);
        return;
    }
    uint8_t *at = put_varint_at(writer->at + writer->size, tag);
    writer->size = (uint32_t)(put_varint_at(at, value) - writer->at);
}

/* Any number but a signed (zigzag) or fixed one; also where zero must be seen. */
static inline void put_always(writer_t *writer, uint32_t number, int64_t value)
{
    put_pair(writer, number << 3, (uint64_t)value);
}

static inline void put_number(writer_t *writer, uint32_t number, int64_t value)
{
    if (value != 0) put_always(writer, number, value);
}

static inline void put_signed(writer_t *writer, uint32_t number, int64_t value)
{
    if (value == 0) return;
    put_pair(writer, number << 3, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

static inline void put_fixed(writer_t *writer, uint32_t number, uint64_t value)
{
    if (value == 0) return;
    put_varint(writer, number << 3 | 1);
    if (!put_room(writer, 8)) return;
    memcpy(writer->at + writer->size, &value, 8);
    writer->size += 8;
}

/* What stands before so many bytes of a text or message. */
static inline void put_head(writer_t *writer, uint32_t number, uint32_t size)
{
    put_pair(writer, number << 3 | 2, size);
}

/* What is written already. */
static inline void put_bytes(writer_t *writer, bytes_t bytes)
{
    if (bytes.size == 0 || !put_room(writer, bytes.size)) return;
    memcpy(writer->at + writer->size, bytes.at, bytes.size);
    writer->size += bytes.size;
}

/* A text even if it is empty: an item of a list. */
static inline void put_item(writer_t *writer, uint32_t number, bytes_t text)
{
    put_head(writer, number, text.size);
    put_bytes(writer, text);
}

static inline void put_text(writer_t *writer, uint32_t number, bytes_t text)
{
    if (text.size != 0) put_item(writer, number, text);
}

/* Opens a message; what is put until put_close with the returned mark is inside of it. One byte is
 * kept for its size; a size of 128 or more moves what was put. */
static inline uint32_t put_open(writer_t *writer, uint32_t number)
{
    put_head(writer, number, 0);
    return writer->size;
}

static inline void put_close(writer_t *writer, uint32_t mark)
{
    if (writer->is_full) return;
    uint32_t size = writer->size - mark;
    if (size < 0x80) {
        writer->at[mark - 1] = (uint8_t)size;
        return;
    }
    uint32_t more = 0;
    for (uint32_t left = size >> 7; left != 0; left >>= 7) more++;
    if (!put_room(writer, more)) return;
    memmove(writer->at + mark + more, writer->at + mark, size);
    writer->size = mark - 1;
    put_varint(writer, size);
    writer->size += size;
}

/* Parts of answers that both writers need. */
bytes_t offer_text(const program_t *program, const offer_t *offer, uint32_t kind, bytes_t locale);
bytes_t text_of(const program_t *program, uint32_t offset, uint32_t length);
void put_offer(writer_t *writer, uint32_t number, const program_t *program, uint32_t offer);
void put_purse(writer_t *writer, uint32_t number, const program_t *program, uint32_t purse);
void put_balances(writer_t *writer, uint32_t number, const program_t *program,
                  const balance_t *balances, uint32_t count);
void put_points(writer_t *writer, uint32_t number, const program_t *program,
                const points_t *points);
void put_found(writer_t *writer, uint32_t number, const program_t *program, const found_t *found,
               uint32_t count);
void put_exceptions(writer_t *writer, uint32_t number, const exception_t *exceptions,
                    uint32_t count);
void put_funded(writer_t *writer, uint32_t number, const funded_t *funded);
void put_decision(writer_t *writer, uint32_t number, const decision_answer_t *answer);
void put_awards(writer_t *writer, uint32_t number, const decision_answer_t *answer, uint8_t reason);
void put_issued(writer_t *writer, uint32_t number, const decision_answer_t *answer,
                const serial_t *serials);

/* Sorts in place; nothing more than a look when they are in order. */
void sort_keys(uint64_t *keys, uint32_t count);

#endif
