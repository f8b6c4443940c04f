/* Runs a fuzz target without libFuzzer: DRIVER CASES SEED INPUT... Every input as it is, then CASES
 * changed ones. Shows that the targets build and hold on a machine that has only gcc. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checklane/invariant.h"
#include "target.h"

#define INPUTS_MAX 4096

typedef struct input {
    size_t size;
    uint8_t *bytes;
} input_t;

static input_t inputs[INPUTS_MAX];
static uint8_t bytes[REQUEST_BYTES_TRIED_MAX];
static uint64_t state;

static uint64_t below(uint64_t limit)
{
    /* xorshift64* by Vigna, "An experimental exploration of Marsaglia's xorshift generators". */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 0x2545f4914f6cdd1dull >> 16) % limit;
}

static input_t load(const char *path)
{
    input_t input = {0, malloc(REQUEST_BYTES_TRIED_MAX)};
    FILE *file = fopen(path, "rb");
    INVARIANT(file != NULL && input.bytes != NULL);
    input.size = fread(input.bytes, 1, REQUEST_BYTES_TRIED_MAX, file);
    fclose(file);
    return input;
}

static size_t change(size_t size)
{
    if (size == 0) return 0;
    size_t at = below(size);
    switch (below(4)) {
    case 0: bytes[at] ^= (uint8_t)(1u << below(8)); return size;
    case 1: bytes[at] = (uint8_t)below(256); return size;
    case 2: bytes[at] = below(2) == 0 ? 0 : 0xff; return size;
    default: return at;
    }
}

int main(int count, char **arguments)
{
    INVARIANT(count > 3 && count - 3 <= INPUTS_MAX);
    uint64_t cases = strtoull(arguments[1], NULL, 10);
    uint64_t input_count = (uint64_t)count - 3;
    state = strtoull(arguments[2], NULL, 10) * 2 + 1;
    LLVMFuzzerInitialize(&count, &arguments);
    for (uint64_t i = 0; i < input_count; i++) {
        inputs[i] = load(arguments[i + 3]);
        LLVMFuzzerTestOneInput(inputs[i].bytes, inputs[i].size);
    }
    for (uint64_t i = 0; i < cases; i++) {
        const input_t *input = &inputs[below(input_count)];
        size_t size = input->size;
        memcpy(bytes, input->bytes, size);
        for (uint64_t j = below(4); j > 0; j--) size = change(size);
        LLVMFuzzerTestOneInput(bytes, size);
    }
    printf("tried %llu accepted %llu\n", (unsigned long long)(input_count + cases),
           (unsigned long long)accepted_count);
    return 0;
}
