/* Coupons as a scanner gives them: GS1 application identifiers (8110), which says on paper what is
 * to be bought and what is taken off, and (8112), which names a digital coupon and its serial.
 * The bytes come from outside: whatever they hold, the answer is a coupon or a named fault. */
#ifndef CHECKLANE_GS1_H
#define CHECKLANE_GS1_H

#include <stdint.h>

/* Digits after the identifier that the standard allows; longest prefix and serial in it. */
#define GS1_8110_DIGITS_MAX 70
#define GS1_8112_DIGITS_MAX 60
#define GS1_PURCHASES_MAX 3

#define GS1_NONE 0 /* no such identifier: a plain code */
#define GS1_8110 1
#define GS1_8112 2

#define GS1_FAULT_DIGIT 1  /* a byte that is no digit */
#define GS1_FAULT_SHORT 2  /* it ends inside a field */
#define GS1_FAULT_LONG 3   /* more digits than the standard allows, or some after the last field */
#define GS1_FAULT_LENGTH 4 /* the digit that says a length says one that does not exist */
#define GS1_FAULT_CODE 5   /* a code that does not exist */
#define GS1_FAULT_DATE 6   /* a date that does not exist */
#define GS1_FAULT_ORDER 7  /* optional fields out of order, twice or unknown */
#define GS1_FAULT_VALUE 8  /* a requirement or value that no purchase can have */

/* What a requirement counts. */
#define GS1_UNITS 0
#define GS1_MONEY 1     /* of the units that fit, hundredths */
#define GS1_BASKET 2    /* of the whole basket, hundredths */
#define GS1_POUNDS 3    /* hundredths */
#define GS1_KILOGRAMS 4 /* hundredths */
#define GS1_NO_PURCHASE 9

/* What is taken off. */
#define GS1_SAVE_MONEY 0   /* save_value off the units */
#define GS1_SAVE_FREE 1    /* one unit free, at most save_value; 0: whatever it costs */
#define GS1_SAVE_UNITS 2   /* save_value units free */
#define GS1_SAVE_PERCENT 5 /* save_value percent off the units */
#define GS1_SAVE_BASKET 6  /* save_value off the basket */

/* How the purchases go together. */
#define GS1_ANY 0           /* one of them */
#define GS1_ALL 1           /* every one */
#define GS1_FIRST_AND_ONE 2 /* the first, and the second or the third */
#define GS1_FIRST_OR_BOTH 3 /* the first, or the second and the third */

typedef struct gs1_purchase {
    uint64_t prefix;         /* GS1 company prefix, as a number of prefix_digits digits */
    uint32_t requirement;
    uint16_t family;         /* 0 to 999; 0: any */
    uint8_t prefix_digits;
    uint8_t code;            /* what `requirement` counts */
} gs1_purchase_t;

typedef struct gs1_coupon {
    uint8_t ai;              /* GS1_NONE, GS1_8110, GS1_8112 */
    uint8_t fault;           /* GS1_FAULT_; 0: sound */
    uint8_t fault_at;        /* digits that had been read by then */
    uint8_t purchase_count;
    uint8_t rules;           /* how the purchases go together */
    uint8_t save_code;
    uint8_t item;            /* purchase whose units are reduced, from 0 */
    uint8_t is_store;        /* a coupon of the store */
    uint8_t no_multiply;
    uint8_t serial_digits;   /* 0: no serial number */
    uint8_t retailer_digits; /* 0: any retailer */
    uint8_t reserved_8;
    uint32_t offer_code;     /* six digits */
    uint32_t save_value;
    int32_t start_date;      /* yyyymmdd, the first day; 0 none */
    int32_t end_date;        /* the last day; 0 none */
    uint64_t serial;
    uint64_t retailer;       /* company prefix or location number */
    gs1_purchase_t purchases[GS1_PURCHASES_MAX];
} gs1_coupon_t;

/* Reads the `size` bytes at `at`. Pure; any thread. An identifier of neither kind is no fault. Of a
 * coupon with a fault only ai, fault and fault_at mean anything. */
void gs1_read(const uint8_t *at, uint32_t size, gs1_coupon_t *coupon);

#endif
