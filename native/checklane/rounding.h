/* Exact integer arithmetic of money: rounding, largest remainder, civil dates. Pure functions. */
#ifndef CHECKLANE_ROUNDING_H
#define CHECKLANE_ROUNDING_H

#include <stdbool.h>
#include <stdint.h>

#include "invariant.h"
#include "layout.h"

__extension__ typedef __int128 int128_t;

/* A saving inside the search is counted in parts: ten-thousandths of a minor unit. */
#define PARTS_PER_MINOR 10000
/* Compound multipliers are products of basis points: exact for two of them before the last. With
 * 5 * 10^13 minor units in a basket, 10^7 points * 10^5 bp and products up to 100 an extra stays
 * below 5 * 10^35, inside 127 bits (1.7 * 10^38). */
#define FACTOR_SCALE ((int64_t)100000000)

typedef struct division {
    int128_t quotient; /* towards zero */
    int128_t rest;
} division_t;

/* The denominator is positive. Nearly all fit 64 bits, which the processor divides by itself; 128
 * take a function of the compiler's. */
static inline division_t divide(int128_t numerator, int128_t denominator)
{
    if (numerator == (int64_t)numerator && denominator == (int64_t)denominator) {
        int64_t whole = (int64_t)numerator / (int64_t)denominator;
        return (division_t){whole, (int64_t)numerator - whole * (int64_t)denominator};
    }
    return (division_t){numerator / denominator, numerator % denominator};
}

/* `numerator / denominator` as a whole number, by ROUNDING_. The denominator is positive. */
static inline int64_t round_quotient(int128_t numerator, int128_t denominator, uint32_t rounding)
{
    INVARIANT(denominator > 0);
    division_t division = divide(numerator, denominator);
    int128_t quotient = division.quotient;
    int128_t rest = division.rest;
    if (rest < 0) {
        quotient -= 1;
        rest += denominator;
    }
    /* Now quotient is the floor and 0 <= rest < denominator. */
    if (rounding == ROUNDING_FLOOR) return (int64_t)quotient;
    if (rounding == ROUNDING_CEIL) return (int64_t)(quotient + (rest > 0));
    int is_half_or_more = numerator < 0 ? 2 * rest > denominator : 2 * rest >= denominator;
    return (int64_t)(quotient + is_half_or_more);
}

/* a * b / c rounded, without overflow for |a * b| below 2^126. */
static inline int64_t multiply_round(int64_t a, int64_t b, int64_t c, uint32_t rounding)
{
    return round_quotient((int128_t)a * b, c, rounding);
}

static inline int64_t minimum(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t maximum(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The saturated product of two counts that are not negative. */
static inline int64_t capped_product(int64_t a, int64_t b)
{
    int128_t product = (int128_t)a * b;
    return product > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)product;
}

static inline int64_t greatest_divisor(int64_t a, int64_t b)
{
    if (a < 0) a = -a;
    if (b < 0) b = -b;
    while (b != 0) {
        int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* So many units are given one by one, each to the greatest rest; more of them together. */
#define RESTS_SCANNED 16

static inline bool has_rest(int64_t share, int64_t ceiling, int128_t rest)
{
    return rest >= 0 && share < ceiling;
}

/* The least of the `left` greatest rests of those that may take more; 0 when they are fewer. */
static inline int128_t least_of_greatest(const int64_t *shares, const int64_t *ceilings,
                                         const int128_t *rests, uint32_t count, int64_t left)
{
    int128_t low = 0;
    int128_t high = 1;
    for (uint32_t i = 0; i < count; i++)
        if (rests[i] >= high) high = rests[i] + 1;
    while (high - low > 1) {
        int128_t middle = low + (high - low) / 2;
        int64_t found = 0;
        for (uint32_t i = 0; i < count; i++)
            found += rests[i] >= middle && has_rest(shares[i], ceilings[i], rests[i]);
        if (found >= left) low = middle;
        else high = middle;
        if (found == left) break;
    }
    return low;
}

/* One more for each of the `left` greatest rests, ties to the earlier one. What is left then. */
static inline int64_t give_to_greatest(int64_t *shares, const int64_t *ceilings,
                                       const int128_t *rests, uint32_t count, int64_t left)
{
    int128_t least = least_of_greatest(shares, ceilings, rests, count, left);
    int64_t ties = left;
    for (uint32_t i = 0; i < count; i++)
        ties -= rests[i] > least && has_rest(shares[i], ceilings[i], rests[i]);
    for (uint32_t i = 0; i < count; i++) {
        if (rests[i] < least || !has_rest(shares[i], ceilings[i], rests[i])) continue;
        if (rests[i] == least && ties-- <= 0) continue;
        shares[i] += 1;
        left -= 1;
    }
    return left;
}

/* The same where few are left: each is looked for by itself. */
static inline int64_t give_one_by_one(int64_t *shares, const int64_t *ceilings, int128_t *rests,
                                      uint32_t count, int64_t left)
{
    for (; left > 0; left--) {
        uint32_t best = count;
        for (uint32_t i = 0; i < count; i++)
            if (has_rest(shares[i], ceilings[i], rests[i]) &&
                (best == count || rests[i] > rests[best])) best = i;
        if (best == count) break;
        shares[best] += 1;
        rests[best] = -1;
    }
    return left;
}

/* Shares `total` over `count` weights by largest remainder, ties to the earlier one; no share
 * above its ceiling (what that costs goes to the earliest with room). `total` is not negative and
 * at most the sum of the ceilings. `shares` is filled; `rests` is room for `count` numbers. With
 * weights that are all zero the earliest take all. Cost: `count` times the bits of a weight. */
static inline void share_exactly(int64_t total, const int64_t *weights, const int64_t *ceilings,
                                 uint32_t count, int64_t *shares, int128_t *rests)
{
    int128_t sum = 0;
    int64_t left = total;
    for (uint32_t i = 0; i < count; i++) sum += weights[i];
    for (uint32_t i = 0; i < count; i++) {
        int128_t exact = sum > 0 ? (int128_t)total * weights[i] : 0;
        division_t division = divide(exact, sum > 0 ? sum : 1);
        shares[i] = (int64_t)division.quotient;
        rests[i] = sum > 0 ? division.rest : -1;
        if (shares[i] > ceilings[i]) shares[i] = ceilings[i];
        left -= shares[i];
    }
    INVARIANT(left >= 0);
    if (left > RESTS_SCANNED) left = give_to_greatest(shares, ceilings, rests, count, left);
    else left = give_one_by_one(shares, ceilings, rests, count, left);
    for (uint32_t i = 0; i < count && left > 0; i++) {
        int64_t room = minimum(left, ceilings[i] - shares[i]);
        shares[i] += room;
        left -= room;
    }
    INVARIANT(left == 0);
}

/* A date of the proleptic Gregorian calendar. The formulas count from 1 March of year 0, in eras
 * of 400 years (146,097 days). */
typedef struct civil {
    int32_t year;
    int32_t month;
    int32_t day;
} civil_t;

static inline civil_t civil_of_day(int32_t day_number)
{
    int64_t z = (int64_t)day_number + 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    civil_t date;
    date.day = (int32_t)(day_of_year - (153 * shifted_month + 2) / 5 + 1);
    date.month = (int32_t)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    date.year = (int32_t)(year_of_era + era * 400 + (date.month <= 2));
    return date;
}

/* Days since 1970-01-01. Month may lie outside 1..12: it carries into the year. */
static inline int32_t day_of_civil(int64_t year, int64_t month, int64_t day)
{
    int64_t months = year * 12 + month - 1;
    year = months >= 0 ? months / 12 : -((11 - months) / 12);
    month = months - year * 12 + 1;
    if (month <= 2) year -= 1;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int32_t)(era * 146097 + day_of_era - 719468);
}

/* The last day of points that come into a purse on a day, by the purse's own rule; DAY_NEVER. */
static inline int32_t purse_expiry_day(const purse_t *purse, int32_t day_number)
{
    civil_t date = civil_of_day(day_number);
    if (purse->expiry == EXPIRY_DAYS) return day_number + purse->expiry_n;
    if (purse->expiry == EXPIRY_ROLLING) return day_number + purse->expiry_n;
    if (purse->expiry == EXPIRY_FIXED) return purse->expiry_n;
    if (purse->expiry != EXPIRY_MONTH_END) return DAY_NEVER;
    return day_of_civil(date.year, (int64_t)date.month + purse->expiry_n + 1, 1) - 1;
}

/* The first day on which points that a sale earned can be spent; DAY_NEVER: none is known, they
 * await its confirmation. */
static inline int32_t purse_active_day(const purse_t *purse, int32_t business_day)
{
    bool awaits = (purse->flags & PURSE_FLAG_AWAITS) != 0;
    if (awaits && purse->pending_days == 0) return DAY_NEVER;
    return business_day + purse->pending_days;
}

/* 0 Monday ... 6 Sunday; 1970-01-01 was a Thursday. */
static inline uint32_t weekday_of_day(int32_t day_number)
{
    int32_t rest = (day_number + 3) % 7;
    return (uint32_t)(rest < 0 ? rest + 7 : rest);
}

/* The first day of the WINDOW_ that holds a day; 0 for a campaign. */
static inline int32_t window_first_day(uint32_t window, int32_t day_number)
{
    civil_t date = civil_of_day(day_number);
    if (window == WINDOW_DAY) return day_number;
    if (window == WINDOW_WEEK) return day_number - (int32_t)weekday_of_day(day_number);
    if (window == WINDOW_MONTH) return day_of_civil(date.year, date.month, 1);
    if (window == WINDOW_YEAR) return day_of_civil(date.year, 1, 1);
    return 0;
}

#endif
