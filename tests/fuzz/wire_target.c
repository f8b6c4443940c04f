/* One request from a lane: the first byte chooses the method, the rest are its bytes. Whatever the
 * reader accepts goes on to the canonical basket, the content hash and the check of its figures. */
#include <stdlib.h>
#include <string.h>

#include "checklane/invariant.h"
#include "checklane/wire.h"
#include "target.h"

uint64_t accepted_count;

static wire_t wire;
static basket_t basket;
static catalogue_t catalogue;

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t key[2] = {3, 4};
    fault_t fault;
    if (size == 0 || size > REQUEST_BYTES_TRIED_MAX) return 0;
    uint32_t kind = data[0] % (REQUEST_KINDS - 1) + 1;
    bool has_basket = kind == REQUEST_QUOTE_BASKET || kind == REQUEST_COMMIT_TRANSACTION;
    /* A block of exactly the request's size, so that a look beyond its end is caught. */
    uint8_t *exact = malloc(size);
    INVARIANT(exact != NULL);
    memcpy(exact, data + 1, size - 1);
    status_t status = wire_read(&wire, kind, exact, (uint32_t)(size - 1),
                                has_basket ? &basket : NULL, &fault);
    INVARIANT(status == fault.status);
    if (status == STATUS_OK) {
        accepted_count++;
        if (has_basket) basket_canonicalise(&basket, &catalogue, (exclusions_t){0});
        wire_content_hash(&wire, key);
        wire_check_figures(&wire, &fault);
    }
    free(exact);
    return 0;
}
