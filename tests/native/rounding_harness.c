/* Shares totals, a line each: the total, how many, then weight and ceiling of each one. */
#include <inttypes.h>
#include <stdio.h>

#include "rounding.h"

#define COUNT_MAX 1024

int main(void)
{
    static int64_t weights[COUNT_MAX], ceilings[COUNT_MAX], shares[COUNT_MAX];
    static int128_t rests[COUNT_MAX];
    int64_t total;
    uint32_t count;
    while (scanf("%" SCNd64 " %" SCNu32, &total, &count) == 2) {
        if (count > COUNT_MAX) return 1;
        for (uint32_t i = 0; i < count; i++)
            if (scanf("%" SCNd64 " %" SCNd64, &weights[i], &ceilings[i]) != 2) return 1;
        share_exactly(total, weights, ceilings, count, shares, rests);
        for (uint32_t i = 0; i < count; i++) printf("%" PRId64 " ", shares[i]);
        printf("\n");
    }
    return 0;
}
