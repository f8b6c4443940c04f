/* A capsule, little-endian:
 *
 *    0  8  "CKLNCPS1": also keeps the signature apart from all else that is made with the key
 *    8  8  name key of the program id
 *   16 16  hash of the sale's receipt, low and high word
 *   32  8  account group, 0 nobody's
 *   40  8  member
 *   48  4  business date, yyyymmdd
 *   52  4  last date, yyyymmdd
 *   56  2  count of points
 *   58  2  count of lines
 *   60  .  points: purse key 8, last day 4, active day 4, points as a signed varint
 *    .  .  lines: id, count, gross, discount as varints
 *    . 16  the first half of HMAC-SHA256 over all before
 *
 * Varints are those of protobuf, in their shortest form, so that one sale has one capsule. A line
 * takes 5 to 9 bytes: 400 lines fit. */
#include "capsule.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "invariant.h"

#define HEAD_BYTES 60
#define TAG_BYTES 16
#define VARINT_BYTES_MAX 10
#define POINTS_BYTES_MAX (16 + VARINT_BYTES_MAX)
#define LINE_BYTES_MAX (4 * VARINT_BYTES_MAX)

static const uint8_t MAGIC[8] = {'C', 'K', 'L', 'N', 'C', 'P', 'S', '1'};

static void sign(const uint64_t key[2], const uint8_t *body, size_t size, uint8_t tag[TAG_BYTES])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned int digest_bytes = 0;
    const uint8_t *made = HMAC(EVP_sha256(), key, 16, body, size, digest, &digest_bytes);
    INVARIANT(made != NULL);
    INVARIANT(digest_bytes >= TAG_BYTES);
    memcpy(tag, digest, TAG_BYTES);
}

/* ------------------------------------------------------------------ written ---- */

static uint8_t *put(uint8_t *at, const void *bytes, size_t size)
{
    memcpy(at, bytes, size);
    return at + size;
}

static uint8_t *put_varint(uint8_t *at, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) *at++ = (uint8_t)(value | 0x80);
    *at++ = (uint8_t)value;
    return at;
}

static uint8_t *put_head(uint8_t *at, const capsule_t *capsule)
{
    uint16_t counts[2] = {(uint16_t)capsule->points_count, (uint16_t)capsule->sold_count};
    at = put(at, MAGIC, sizeof MAGIC);
    at = put(at, &capsule->program, 8);
    at = put(at, &capsule->receipt.lo, 8);
    at = put(at, &capsule->receipt.hi, 8);
    at = put(at, &capsule->account_group, 8);
    at = put(at, &capsule->member, 8);
    at = put(at, &capsule->business_date, 4);
    at = put(at, &capsule->last_date, 4);
    return put(at, counts, sizeof counts);
}

uint32_t capsule_write(const capsule_t *capsule, const uint64_t key[2],
                       uint8_t out[CAPSULE_BYTES_MAX])
{
    INVARIANT(capsule->points_count <= CAPSULE_POINTS_MAX);
    INVARIANT(capsule->sold_count <= BASKET_LINES_MAX);
    const uint8_t *end = out + CAPSULE_BYTES_MAX - TAG_BYTES;
    uint8_t *at = put_head(out, capsule);
    for (uint32_t i = 0; i < capsule->points_count; i++) {
        const capsule_points_t *points = &capsule->points[i];
        if (end - at < POINTS_BYTES_MAX) return 0;
        at = put(at, &points->purse, 8);
        at = put(at, &points->last_day, 4);
        at = put(at, &points->active_day, 4);
        uint64_t sign_spread = points->points < 0 ? UINT64_MAX : 0;
        at = put_varint(at, (uint64_t)points->points << 1 ^ sign_spread);
    }
    for (uint32_t i = 0; i < capsule->sold_count; i++) {
        const sold_line_t *sold = &capsule->sold[i];
        if (end - at < LINE_BYTES_MAX) return 0;
        at = put_varint(at, sold->line_id);
        at = put_varint(at, (uint64_t)sold->count);
        at = put_varint(at, (uint64_t)sold->gross_minor);
        at = put_varint(at, (uint64_t)(sold->gross_minor - sold->net_minor));
    }
    sign(key, out, (size_t)(at - out), at);
    return (uint32_t)(at + TAG_BYTES - out);
}

/* ------------------------------------------------------------------ read ---- */

static bool take(bytes_t *left, void *to, uint32_t size)
{
    if (left->size < size) return false;
    memcpy(to, left->at, size);
    left->at += size;
    left->size -= size;
    return true;
}

/* A varint of at most `most`. */
static bool take_varint(bytes_t *left, uint64_t most, uint64_t *value)
{
    *value = 0;
    for (uint32_t shift = 0; shift < 64; shift += 7) {
        uint8_t byte;
        if (!take(left, &byte, 1)) return false;
        uint64_t bits = (uint64_t)(byte & 0x7f);
        if (bits << shift >> shift != bits) return false;
        *value |= bits << shift;
        if ((byte & 0x80) != 0) continue;
        return (byte != 0 || shift == 0) && *value <= most;
    }
    return false;
}

static bool take_head(bytes_t *left, capsule_t *capsule)
{
    uint8_t magic[sizeof MAGIC];
    uint16_t counts[2];
    if (left->size < HEAD_BYTES) return false;
    bool is_whole = take(left, magic, sizeof magic) && take(left, &capsule->program, 8)
                    && take(left, &capsule->receipt.lo, 8) && take(left, &capsule->receipt.hi, 8)
                    && take(left, &capsule->account_group, 8) && take(left, &capsule->member, 8)
                    && take(left, &capsule->business_date, 4) && take(left, &capsule->last_date, 4)
                    && take(left, counts, sizeof counts);
    INVARIANT(is_whole);
    if (memcmp(magic, MAGIC, sizeof magic) != 0) return false;
    capsule->points_count = counts[0];
    capsule->sold_count = counts[1];
    return counts[0] <= CAPSULE_POINTS_MAX && counts[1] <= BASKET_LINES_MAX;
}

static bool take_points(bytes_t *left, capsule_points_t *points)
{
    uint64_t value;
    if (!take(left, &points->purse, 8) || !take(left, &points->last_day, 4)) return false;
    if (!take(left, &points->active_day, 4)) return false;
    if (!take_varint(left, 2 * (uint64_t)PURSE_POINTS_MAX, &value)) return false;
    points->points = (int64_t)(value >> 1);
    if ((value & 1) != 0) points->points = -points->points - 1;
    return true;
}

static bool take_line(bytes_t *left, sold_line_t *sold)
{
    uint64_t line_id, count, gross, discount;
    if (!take_varint(left, UINT32_MAX, &line_id)) return false;
    if (!take_varint(left, LINE_COUNT_MAX, &count)) return false;
    if (!take_varint(left, LINE_AMOUNT_MAX, &gross)) return false;
    if (!take_varint(left, gross, &discount)) return false;
    *sold = (sold_line_t){.line_id = (uint32_t)line_id,
                          .count = (int64_t)count,
                          .gross_minor = (int64_t)gross,
                          .net_minor = (int64_t)(gross - discount)};
    return line_id != 0 && count != 0;
}

bool capsule_parse(bytes_t body, capsule_t *capsule)
{
    if (!take_head(&body, capsule)) return false;
    for (uint32_t i = 0; i < capsule->points_count; i++) {
        if (!take_points(&body, &capsule->points[i])) return false;
    }
    for (uint32_t i = 0; i < capsule->sold_count; i++) {
        if (!take_line(&body, &capsule->sold[i])) return false;
    }
    return body.size == 0;
}

bool capsule_read(bytes_t bytes, const uint64_t key[2], capsule_t *capsule)
{
    uint8_t tag[TAG_BYTES];
    if (bytes.size < HEAD_BYTES + TAG_BYTES || bytes.size > CAPSULE_BYTES_MAX) return false;
    bytes.size -= TAG_BYTES;
    sign(key, bytes.at, bytes.size, tag);
    if (CRYPTO_memcmp(tag, bytes.at + bytes.size, TAG_BYTES) != 0) return false;
    return capsule_parse(bytes, capsule);
}
