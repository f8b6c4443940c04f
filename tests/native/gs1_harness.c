/* Reads scanned data, a line of hexadecimal digits each, and says what gs1_read makes of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checklane/gs1.h"

static void say(const gs1_coupon_t *coupon)
{
    if (coupon->ai == GS1_NONE || coupon->fault != 0) {
        printf("%u %u\n", coupon->ai, coupon->fault);
        return;
    }
    printf("%u 0 %06u %u %u %u %u %u %u %d %d %0*" PRIu64 " %u %" PRIu64 " %u", coupon->ai,
           coupon->offer_code, coupon->save_value, coupon->rules, coupon->save_code, coupon->item,
           coupon->is_store, coupon->no_multiply, coupon->start_date, coupon->end_date,
           coupon->serial_digits > 0 ? coupon->serial_digits : 1, coupon->serial,
           coupon->serial_digits, coupon->retailer, coupon->retailer_digits);
    uint32_t count = coupon->ai == GS1_8112 ? 1 : coupon->purchase_count;
    for (uint32_t i = 0; i < count; i++) {
        const gs1_purchase_t *purchase = &coupon->purchases[i];
        printf(" %0*" PRIu64 "/%u/%u/%03u", purchase->prefix_digits, purchase->prefix,
               purchase->requirement, purchase->code, purchase->family);
    }
    printf("\n");
}

int main(void)
{
    static char line[4096];
    while (fgets(line, sizeof line, stdin) != NULL) {
        uint32_t size = (uint32_t)strcspn(line, "\n") / 2;
        /* A block of exactly the data's size, so that a look beyond its end is caught. */
        uint8_t *data = malloc(size > 0 ? size : 1);
        if (data == NULL) return 1;
        for (uint32_t i = 0; i < size; i++) {
            char digits[3] = {line[2 * i], line[2 * i + 1], 0};
            data[i] = (uint8_t)strtoul(digits, NULL, 16);
        }
        gs1_coupon_t coupon;
        gs1_read(data, size, &coupon);
        say(&coupon);
        free(data);
    }
    return 0;
}
