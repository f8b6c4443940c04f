/* Reads changed requests under the sanitizers: wire_fuzz CORPUS CASES SEED. Each request lies in a
 * block of exactly its size, so that a look beyond its end is caught. Whatever is accepted goes on
 * to the canonical basket and the hashes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "wire.h"

#define SAMPLES_MAX 1024

typedef struct sample {
    uint32_t kind;
    uint32_t size;
    uint8_t *bytes;
} sample_t;

static sample_t samples[SAMPLES_MAX];
static uint32_t sample_count;
static uint64_t state;
static wire_t wire;
static basket_t basket;

static uint32_t below(uint32_t limit)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(mix64(state) % limit);
}

static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint32_t head[2];
    INVARIANT(file != NULL);
    while (sample_count < SAMPLES_MAX && fread(head, sizeof(head), 1, file) == 1) {
        sample_t *sample = &samples[sample_count++];
        *sample = (sample_t){head[0], head[1], malloc(head[1] + 1)};
        INVARIANT(sample->bytes != NULL);
        INVARIANT(fread(sample->bytes, 1, sample->size, file) == sample->size);
    }
    fclose(file);
    INVARIANT(sample_count > 0);
}

/* One change: a bit, a byte, a cut, or a piece of another sample. Returns the new size. */
static uint32_t change(uint8_t *bytes, uint32_t size, uint32_t capacity)
{
    static const uint8_t edges[] = {0x00, 0x01, 0x7f, 0x80, 0xff, 0x22, 0x1a};
    if (size == 0) return 0;
    uint32_t at = below(size);
    switch (below(5)) {
    case 0: bytes[at] ^= (uint8_t)(1u << below(8)); return size;
    case 1: bytes[at] = edges[below(sizeof(edges))]; return size;
    case 2: return at;
    case 3: bytes[at] = (uint8_t)below(256); return size;
    default: {
        const sample_t *other = &samples[below(sample_count)];
        if (other->size == 0) return size;
        uint32_t from = below(other->size);
        uint32_t more = below(other->size - from) + 1;
        if (size + more > capacity) return size;
        memmove(bytes + at + more, bytes + at, size - at);
        memcpy(bytes + at, other->bytes + from, more);
        return size + more;
    }
    }
}

static status_t try_request(uint32_t kind, const uint8_t *bytes, uint32_t size,
                            const catalogue_t *catalogue)
{
    static const uint64_t key[2] = {3, 4};
    fault_t fault;
    uint8_t *exact = malloc(size > 0 ? size : 1);
    INVARIANT(exact != NULL);
    memcpy(exact, bytes, size);
    bool has_basket = kind == REQUEST_QUOTE_BASKET || kind == REQUEST_COMMIT_TRANSACTION;
    status_t status = wire_read(&wire, kind, exact, size, has_basket ? &basket : NULL, &fault);
    INVARIANT(status == fault.status);
    if (status == STATUS_OK) {
        if (has_basket) basket_canonicalise(&basket, catalogue);
        wire_content_hash(&wire, key);
        wire_check_figures(&wire, &fault);
    }
    free(exact);
    return status;
}

int main(int count, char **arguments)
{
    static uint8_t scratch[64 * 1024];
    static const catalogue_t catalogue;
    uint64_t totals[128] = {0};
    INVARIANT(count == 4);
    load(arguments[1]);
    uint32_t cases = (uint32_t)strtoul(arguments[2], NULL, 10);
    state = mix64(strtoull(arguments[3], NULL, 10) + 1);
    printf("seed %s\n", arguments[3]);
    for (uint32_t i = 0; i < cases; i++) {
        const sample_t *sample = &samples[below(sample_count)];
        uint32_t size = sample->size;
        INVARIANT(size <= sizeof(scratch));
        memcpy(scratch, sample->bytes, size);
        for (uint32_t j = below(4); j > 0; j--) size = change(scratch, size, sizeof(scratch));
        uint32_t kind = below(8) == 0 ? below(REQUEST_KINDS - 1) + 1 : sample->kind;
        totals[try_request(kind, scratch, size, &catalogue)]++;
    }
    for (uint32_t i = 0; i < 128; i++) {
        if (totals[i] > 0) printf("status %u: %" PRIu64 "\n", i, totals[i]);
    }
    printf("accepted %" PRIu64 " of %u\n", totals[STATUS_OK], cases);
    for (uint32_t i = 0; i < sample_count; i++) free(samples[i].bytes);
    return 0;
}
