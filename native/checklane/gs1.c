/* The data behind (8110): company prefix, offer code, save value and first purchase, then optional
 * fields, each behind the digit that names it, in ascending order:
 *
 *   1 how purchases go together, second purchase   5 serial number
 *   2 third purchase                               6 retailer
 *   3 last day                                     9 save value code, item, store, don't multiply
 *   4 first day
 *
 * A length digit stands before whatever has no fixed length. The first fault stops the reading;
 * every look at a byte goes through `take`, which ends at the end of the digits. */
#include "gs1.h"

#include <stdbool.h>
#include <string.h>

#include "rounding.h"

#define FNC1 0x1d
#define IDENTIFIER_DIGITS 4
/* Two-digit years up to this one are of this century. */
#define LAST_YEAR 50
#define SAME_PREFIX 9

typedef struct cursor {
    const uint8_t *at;
    uint32_t left;
    uint32_t done;
    gs1_coupon_t *coupon;
} cursor_t;

static bool is_faulty(const cursor_t *cursor)
{
    return cursor->coupon->fault != 0;
}

static void blame(cursor_t *cursor, uint8_t fault)
{
    if (is_faulty(cursor)) return;
    cursor->coupon->fault = fault;
    cursor->coupon->fault_at = (uint8_t)cursor->done;
}

/* The next digits as a number; 0 where there are fewer, or after a fault. At most 15 of them. */
static uint64_t take(cursor_t *cursor, uint32_t digits)
{
    uint64_t number = 0;
    if (is_faulty(cursor)) return 0;
    if (cursor->left < digits) {
        blame(cursor, GS1_FAULT_SHORT);
        return 0;
    }
    for (uint32_t i = 0; i < digits; i++) number = number * 10 + (cursor->at[i] - '0');
    cursor->at += digits;
    cursor->left -= digits;
    cursor->done += digits;
    return number;
}

/* A digit that says how long the next field is. */
static uint32_t take_length(cursor_t *cursor, uint32_t least, uint32_t most, uint32_t base)
{
    uint32_t length = (uint32_t)take(cursor, 1);
    if (length < least || length > most) blame(cursor, GS1_FAULT_LENGTH);
    return is_faulty(cursor) ? 0 : base + length;
}

static bool is_requirement(uint64_t code)
{
    return code <= GS1_KILOGRAMS || code == GS1_NO_PURCHASE;
}

/* Requirement, its code and the family: what every purchase has. */
static void take_purchase(cursor_t *cursor, gs1_purchase_t *purchase)
{
    purchase->requirement = (uint32_t)take(cursor, take_length(cursor, 1, 5, 0));
    purchase->code = (uint8_t)take(cursor, 1);
    if (!is_requirement(purchase->code)) blame(cursor, GS1_FAULT_CODE);
    if (purchase->requirement == 0 && purchase->code != GS1_NO_PURCHASE) {
        blame(cursor, GS1_FAULT_VALUE);
    }
    purchase->family = (uint16_t)take(cursor, 3);
}

/* The prefix behind a second or third purchase, which may be that of the first. */
static void take_prefix(cursor_t *cursor, gs1_purchase_t *purchase)
{
    const gs1_purchase_t *first = &cursor->coupon->purchases[0];
    if (!is_faulty(cursor) && cursor->left > 0 && cursor->at[0] == '0' + SAME_PREFIX) {
        take(cursor, 1);
        purchase->prefix = first->prefix;
        purchase->prefix_digits = first->prefix_digits;
        return;
    }
    purchase->prefix_digits = (uint8_t)take_length(cursor, 0, 6, 6);
    purchase->prefix = take(cursor, purchase->prefix_digits);
}

/* yymmdd as yyyymmdd. Day 0 is the last of the month, or the first where `is_start`. */
static int32_t take_date(cursor_t *cursor, bool is_start)
{
    int32_t year = (int32_t)take(cursor, 2);
    int32_t month = (int32_t)take(cursor, 2);
    int32_t day = (int32_t)take(cursor, 2);
    if (is_faulty(cursor)) return 0;
    year += year > LAST_YEAR ? 1900 : 2000;
    if (month < 1 || month > 12) {
        blame(cursor, GS1_FAULT_DATE);
        return 0;
    }
    int32_t last = civil_of_day((int32_t)day_of_civil(year, month + 1, 1) - 1).day;
    if (day > last) blame(cursor, GS1_FAULT_DATE);
    if (day == 0) day = is_start ? 1 : last;
    return year * 10000 + month * 100 + day;
}

static void take_value_rules(cursor_t *cursor)
{
    gs1_coupon_t *coupon = cursor->coupon;
    coupon->save_code = (uint8_t)take(cursor, 1);
    if (coupon->save_code == 3 || coupon->save_code == 4 || coupon->save_code > GS1_SAVE_BASKET) {
        blame(cursor, GS1_FAULT_CODE);
    }
    coupon->item = (uint8_t)take(cursor, 1);
    if (coupon->item >= GS1_PURCHASES_MAX) blame(cursor, GS1_FAULT_CODE);
    coupon->is_store = take(cursor, 1) != 0;
    coupon->no_multiply = take(cursor, 1) != 0;
}

static void take_serial(cursor_t *cursor)
{
    cursor->coupon->serial_digits = (uint8_t)take_length(cursor, 0, 9, 6);
    cursor->coupon->serial = take(cursor, cursor->coupon->serial_digits);
}

static void take_field(cursor_t *cursor, uint32_t field)
{
    gs1_coupon_t *coupon = cursor->coupon;
    switch (field) {
    case 1:
        coupon->rules = (uint8_t)take(cursor, 1);
        if (coupon->rules > GS1_FIRST_OR_BOTH) blame(cursor, GS1_FAULT_CODE);
        take_purchase(cursor, &coupon->purchases[1]);
        take_prefix(cursor, &coupon->purchases[1]);
        coupon->purchase_count = 2;
        return;
    case 2:
        if (coupon->purchase_count != 2) blame(cursor, GS1_FAULT_ORDER);
        take_purchase(cursor, &coupon->purchases[2]);
        take_prefix(cursor, &coupon->purchases[2]);
        coupon->purchase_count = 3;
        return;
    case 3: coupon->end_date = take_date(cursor, false); return;
    case 4: coupon->start_date = take_date(cursor, true); return;
    case 5: take_serial(cursor); return;
    case 6:
        coupon->retailer_digits = (uint8_t)take_length(cursor, 1, 7, 6);
        coupon->retailer = take(cursor, coupon->retailer_digits);
        return;
    case 9: take_value_rules(cursor); return;
    default: blame(cursor, GS1_FAULT_ORDER); return;
    }
}

/* What no field says by itself. */
static void judge_whole(cursor_t *cursor)
{
    const gs1_coupon_t *coupon = cursor->coupon;
    bool is_percent = coupon->save_code == GS1_SAVE_PERCENT;
    if (is_percent && coupon->save_value > 100) blame(cursor, GS1_FAULT_VALUE);
    if (coupon->save_value == 0 && coupon->save_code != GS1_SAVE_FREE) {
        blame(cursor, GS1_FAULT_VALUE);
    }
    if (coupon->item >= coupon->purchase_count) blame(cursor, GS1_FAULT_VALUE);
}

static void read_8110(cursor_t *cursor)
{
    gs1_coupon_t *coupon = cursor->coupon;
    gs1_purchase_t *first = &coupon->purchases[0];
    uint32_t last_field = 0;
    first->prefix_digits = (uint8_t)take_length(cursor, 0, 6, 6);
    first->prefix = take(cursor, first->prefix_digits);
    coupon->offer_code = (uint32_t)take(cursor, 6);
    coupon->save_value = (uint32_t)take(cursor, take_length(cursor, 1, 5, 0));
    take_purchase(cursor, first);
    coupon->purchase_count = 1;
    while (!is_faulty(cursor) && cursor->left > 0) {
        uint32_t field = (uint32_t)take(cursor, 1);
        if (field <= last_field) blame(cursor, GS1_FAULT_ORDER);
        last_field = field;
        if (!is_faulty(cursor)) take_field(cursor, field);
    }
    judge_whole(cursor);
}

/* Format, funder, offer and serial number; what it is good for stands with whoever issued it. */
static void read_8112(cursor_t *cursor)
{
    gs1_coupon_t *coupon = cursor->coupon;
    if (take(cursor, 1) > 1) blame(cursor, GS1_FAULT_CODE);
    coupon->purchases[0].prefix_digits = (uint8_t)take_length(cursor, 0, 6, 6);
    coupon->purchases[0].prefix = take(cursor, coupon->purchases[0].prefix_digits);
    coupon->offer_code = (uint32_t)take(cursor, 6);
    take_serial(cursor);
    if (cursor->left > 0) blame(cursor, GS1_FAULT_LONG);
}

/* Steps over what scanners put before the data, and over the identifier. GS1_NONE: neither. */
static uint8_t skip_identifier(const uint8_t **at, uint32_t *size)
{
    static const char *const names[][2] = {[GS1_8110] = {"8110", "(8110)"},
                                           [GS1_8112] = {"8112", "(8112)"}};
    if (*size >= 3 && (*at)[0] == ']') {
        *at += 3;
        *size -= 3;
    }
    if (*size >= 1 && (*at)[0] == FNC1) {
        *at += 1;
        *size -= 1;
    }
    for (uint8_t ai = GS1_8110; ai <= GS1_8112; ai++) {
        for (uint32_t form = 0; form < 2; form++) {
            uint32_t length = IDENTIFIER_DIGITS + 2 * form;
            if (*size < length || memcmp(*at, names[ai][form], length) != 0) continue;
            *at += length;
            *size -= length;
            return ai;
        }
    }
    return GS1_NONE;
}

void gs1_read(const uint8_t *at, uint32_t size, gs1_coupon_t *coupon)
{
    memset(coupon, 0, sizeof *coupon);
    coupon->ai = skip_identifier(&at, &size);
    if (coupon->ai == GS1_NONE) return;
    cursor_t cursor = {.at = at, .coupon = coupon};
    uint32_t most = coupon->ai == GS1_8110 ? GS1_8110_DIGITS_MAX : GS1_8112_DIGITS_MAX;
    while (cursor.left < size && at[cursor.left] != FNC1) {
        bool is_digit = at[cursor.left] >= '0' && at[cursor.left] <= '9';
        cursor.done = cursor.left;
        if (cursor.left == most) blame(&cursor, GS1_FAULT_LONG);
        else if (!is_digit) blame(&cursor, GS1_FAULT_DIGIT);
        if (is_faulty(&cursor)) return;
        cursor.left++;
    }
    cursor.done = 0;
    if (coupon->ai == GS1_8110) read_8110(&cursor);
    else read_8112(&cursor);
}
