/* What a scanner read as a coupon: any bytes. A sound answer keeps its own promises. */
#include <stdlib.h>
#include <string.h>

#include "checklane/gs1.h"
#include "checklane/invariant.h"
#include "target.h"

#define SCAN_BYTES_MAX 256

uint64_t accepted_count;

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    return 0;
}

static void hold_promises(const gs1_coupon_t *coupon)
{
    INVARIANT(coupon->offer_code <= 999999);
    INVARIANT(coupon->serial_digits <= 15);
    INVARIANT(coupon->purchases[0].prefix_digits >= 6);
    if (coupon->ai == GS1_8112) return;
    INVARIANT(coupon->purchase_count >= 1);
    INVARIANT(coupon->purchase_count <= GS1_PURCHASES_MAX);
    INVARIANT(coupon->item < coupon->purchase_count);
    INVARIANT(coupon->rules <= GS1_FIRST_OR_BOTH);
    INVARIANT(coupon->save_value <= 99999);
    for (uint32_t i = 0; i < coupon->purchase_count; i++) {
        INVARIANT(coupon->purchases[i].family <= 999);
        INVARIANT(coupon->purchases[i].prefix_digits <= 12);
        INVARIANT(coupon->purchases[i].requirement <= 99999);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    gs1_coupon_t coupon;
    if (size == 0 || size > SCAN_BYTES_MAX) return 0;
    /* A block of exactly the data's size, so that a look beyond its end is caught. */
    uint8_t *exact = malloc(size);
    INVARIANT(exact != NULL);
    memcpy(exact, data, size);
    gs1_read(exact, (uint32_t)size, &coupon);
    INVARIANT(coupon.ai <= GS1_8112);
    INVARIANT(coupon.fault <= GS1_FAULT_VALUE);
    if (coupon.ai != GS1_NONE && coupon.fault == 0) {
        accepted_count++;
        hold_promises(&coupon);
    }
    free(exact);
    return 0;
}
