/* A capsule as a till reads it off a receipt. The bytes are tried as they came, unsigned, and then
 * as what is under a signature; what is read so is written again, and must be the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "checklane/capsule.h"
#include "checklane/invariant.h"
#include "target.h"

uint64_t accepted_count;

static capsule_t capsule;

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    return 0;
}

static void hold_promises(bytes_t body, const uint64_t key[2])
{
    uint8_t written[CAPSULE_BYTES_MAX];
    INVARIANT(capsule.points_count <= CAPSULE_POINTS_MAX);
    INVARIANT(capsule.sold_count <= BASKET_LINES_MAX);
    for (uint32_t i = 0; i < capsule.sold_count; i++) {
        const sold_line_t *sold = &capsule.sold[i];
        INVARIANT(sold->line_id != 0);
        INVARIANT(sold->count >= 1);
        INVARIANT(sold->count <= LINE_COUNT_MAX);
        INVARIANT(sold->net_minor >= 0);
        INVARIANT(sold->net_minor <= sold->gross_minor);
        INVARIANT(sold->gross_minor <= LINE_AMOUNT_MAX);
    }
    uint32_t size = capsule_write(&capsule, key, written);
    if (size == 0) return;
    INVARIANT(size > body.size);
    INVARIANT(memcmp(written, body.at, body.size) == 0);
    bytes_t signed_bytes = {written, size};
    INVARIANT(capsule_read(signed_bytes, key, &capsule));
    written[size - 1] ^= 1;
    INVARIANT(!capsule_read(signed_bytes, key, &capsule));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t key[2] = {3, 4};
    if (size == 0 || size > CAPSULE_BYTES_MAX) return 0;
    /* A block of exactly the data's size, so that a look beyond its end is caught. */
    uint8_t *exact = malloc(size);
    INVARIANT(exact != NULL);
    memcpy(exact, data, size);
    bytes_t bytes = {exact, (uint32_t)size};
    INVARIANT(!capsule_read(bytes, key, &capsule));
    if (capsule_parse(bytes, &capsule)) {
        accepted_count++;
        hold_promises(bytes, key);
    }
    free(exact);
    return 0;
}
