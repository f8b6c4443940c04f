/* How far a member has come with a progress, and the tier that this makes. Pure; both are worked
 * out from the cells whenever they are asked for, so a void that takes progress back takes with it
 * what it had led to, and a tier ends by itself. */
#ifndef CHECKLANE_PROGRESS_H
#define CHECKLANE_PROGRESS_H

#include <stdint.h>

#include "layout.h"
#include "rounding.h"
#include "snapshot.h"

/* A record's cells, sorted as layout.h says. */
typedef struct cells {
    const cell_t *at;
    uint32_t count;
} cells_t;

/* The first day of the window in which a day's sales are gathered. */
static inline int32_t progress_first_day(const progress_t *progress, int32_t day)
{
    if (progress->window == WINDOW_ROLLING) return window_first_day(WINDOW_MONTH, day);
    return window_first_day(progress->window, day);
}

static inline int32_t month_after(int32_t first_day, int32_t months)
{
    civil_t date = civil_of_day(first_day);
    return day_of_civil(date.year, (int64_t)date.month + months, 1);
}

/* The last day on which what was gathered in a window (its first day) still counts. */
static inline int32_t progress_last_day(const progress_t *progress, int32_t first_day)
{
    switch (progress->window) {
    case WINDOW_DAY: return first_day;
    case WINDOW_WEEK: return first_day + 6;
    case WINDOW_MONTH: return month_after(first_day, 1) - 1;
    case WINDOW_YEAR: return month_after(first_day, 12) - 1;
    case WINDOW_ROLLING: return month_after(first_day, progress->months) - 1;
    default: return DAY_NEVER;
    }
}

/* What counts on a day: of its window, or the sum over the months that end with its own. */
static inline int64_t progress_value(const progress_t *progress, cells_t cells, int32_t day)
{
    int32_t last = progress_first_day(progress, day);
    int32_t first = last;
    int64_t value = 0;
    int32_t months = (int32_t)progress->months;
    if (progress->window == WINDOW_ROLLING) first = month_after(last, 1 - months);
    for (uint32_t i = 0; i < cells.count; i++) {
        const cell_t *cell = &cells.at[i];
        if (cell->kind != CELL_PROGRESS || cell->key != progress->key) continue;
        if (cell->day >= first && cell->day <= last) value += cell->value;
    }
    return value;
}

/* How often a goal is reached by going from one value to another. */
static inline int64_t times_reached(const progress_t *progress, int64_t from, int64_t to)
{
    if (progress->goal <= 0) return 0;
    if (progress->repeats != 0) return to / progress->goal - from / progress->goal;
    return (to >= progress->goal) - (from >= progress->goal);
}

/* Whether a tier is held on a day: G6. Windows that ended up to `grace_days` before count. */
static inline int holds_tier(const tier_t *tier, const progress_t *progress, cells_t cells,
                             int32_t day)
{
    int32_t oldest = day - (int32_t)tier->grace_days;
    for (int32_t at = day;; at = progress_first_day(progress, at) - 1) {
        if (at < oldest) return 0;
        if (progress_value(progress, cells, at) >= tier->goal) return 1;
        if (progress->window == WINDOW_CAMPAIGN) return 0;
    }
}

/* The highest tier that is held on a day, `given` by feed or operator among them. */
static inline uint16_t held_tier(const program_t *program, cells_t member, cells_t group,
                                 int32_t day, uint16_t given)
{
    uint32_t highest = given;
    for (uint32_t i = given + 1u; i < program->tier_count; i++) {
        const tier_t *tier = &program->tiers[i];
        if (tier->key == 0 || tier->progress == NONE_32) continue;
        const progress_t *progress = &program->progress[tier->progress];
        cells_t cells = progress->scope == LIMIT_SCOPE_MEMBER ? member : group;
        if (holds_tier(tier, progress, cells, day)) highest = i;
    }
    return (uint16_t)highest;
}

#endif
