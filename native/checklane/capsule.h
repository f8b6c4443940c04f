/* The signed summary of a sale that its receipt carries: what another node, which has never seen
 * the sale, needs to take goods of it back. Bytes from outside: whatever they are, reading them is
 * sound, and none is believed that was not signed under the key of identities, which the nodes of
 * one retailer share because it makes their members the same. */
#ifndef CHECKLANE_CAPSULE_H
#define CHECKLANE_CAPSULE_H

#include <stdbool.h>

#include "basket.h"
#include "layout.h"
#include "siphash.h"

/* Points of one lot that the sale earned or, below zero, spent. */
typedef struct capsule_points {
    uint64_t purse;           /* its name key: nodes may number purses otherwise */
    int32_t last_day;
    int32_t active_day;
    int64_t points;
} capsule_points_t;

typedef struct capsule {
    uint64_t program;         /* name key of the program id */
    hash128_t receipt;        /* wire_receipt_hash of the sale's */
    uint64_t account_group;   /* 0: nobody's */
    uint64_t member;
    int32_t business_date;
    int32_t last_date;        /* on which goods of it come back */
    uint32_t points_count;
    uint32_t sold_count;
    capsule_points_t points[CAPSULE_POINTS_MAX];
    sold_line_t sold[BASKET_LINES_MAX];
} capsule_t;

/* Writes and signs it; returns its size, 0 where it is more than CAPSULE_BYTES_MAX. Pure. */
uint32_t capsule_write(const capsule_t *capsule, const uint64_t key[2],
                       uint8_t out[CAPSULE_BYTES_MAX]);

/* False for bytes that capsule_write did not make under this key. Pure; reads no byte beyond. */
bool capsule_read(bytes_t bytes, const uint64_t key[2], capsule_t *capsule);

/* What is under the signature, believed: for capsule_read, and for tests of the form alone. */
bool capsule_parse(bytes_t body, capsule_t *capsule);

#endif
