/* The bound of the best deal: a boxed dual simplex on a dense, condensed tableau.
 *
 * Maximise cost * x over lower <= x <= upper and rows (row * x + slack = right side, 0 <= slack <=
 * its upper end). It starts from the slack basis with every column at the bound that its cost asks
 * for, so it is dual feasible at once and stays so: after any change of bounds too. Doubles only
 * guide. What counts is lp_bound_parts: it rounds the duals to whole numbers and evaluates the
 * Lagrangian exactly, so it is a proof whatever the doubles did. */
#ifndef CHECKLANE_SIMPLEX_H
#define CHECKLANE_SIMPLEX_H

#include <stdint.h>
#include <string.h>

#include "invariant.h"
#include "rounding.h"

#define LP_COLUMNS_MAX 768
#define LP_ROWS_MAX 512
#define LP_VARIABLES_MAX (768 + 512)
/* Non-zeros of the rows: 16,384 * 12 B = 192 KiB. */
#define LP_NONZEROS_MAX (16 * 1024)
/* Cells of the tableau: 98,304 * 8 B = 768 KiB, inside a second-level cache. */
#define LP_CELLS_MAX (96 * 1024)
/* Cells of tableaux that were set aside: a search some 30 nodes deep over 40 rows and 100 columns
 * holds 120,000; 131,072 * 8 B = 1 MiB. */
#define LP_KEPT_CELLS_MAX (128 * 1024)
#define LP_UNBOUNDED (INT64_MAX / 4)
/* Costs, and costs times the scale of the duals: half of what 62 bits hold. The other half is for
 * what rows take off. */
#define LP_COST_MAX ((int64_t)1 << 61)
/* A non-zero: 2^24 of them times 2^36 is left for a dual. */
#define LP_FACTOR_MAX ((int64_t)1 << 24)
/* Duals are rounded to this part of a part: it holds every denominator up to 10. */
#define LP_DUAL_SCALE 5040

#define LP_OPTIMAL 1
#define LP_CUT 2        /* the objective fell below the cutoff */
#define LP_INFEASIBLE 3
#define LP_TROUBLE 4    /* pivots or steps ran out: the duals are still a bound */

/* Place of a variable that is fixed at 0 and has left the tableau. */
#define LP_DROPPED INT32_MIN
#define LP_FEASIBLE_WITHIN 1e-7
#define LP_PIVOT_LEAST 1e-9

/* Where a tableau was set aside, and its size. */
typedef struct lp_kept {
    uint32_t is_kept;
    uint32_t first_cell;
    uint32_t row_count;
    uint32_t width;
    uint32_t nonzero_count;
    uint32_t reserved;
    double objective;
} lp_kept_t;

typedef struct lp {
    uint32_t column_count;
    uint32_t width;           /* columns of the tableau: column_count until some are dropped */
    uint32_t row_count;
    uint32_t nonzero_count;
    uint32_t is_full;
    uint32_t moved_count;
    int64_t cost_most;        /* greatest size of a cost and of a non-zero */
    int64_t nonzero_most;
    int64_t dual_scale;       /* duals are whole numbers of this part of a part */
    uint64_t steps;
    double ray;               /* after LP_INFEASIBLE: how far along the ray the bound is taken */
    uint32_t ray_row;
    int32_t ray_sign;
    double objective;         /* minor units */
    int64_t cost_parts[LP_COLUMNS_MAX];
    int64_t lower[LP_VARIABLES_MAX]; /* columns, then slacks from LP_COLUMNS_MAX */
    int64_t upper[LP_VARIABLES_MAX];
    int64_t right[LP_ROWS_MAX];
    uint32_t row_first[LP_ROWS_MAX + 1];
    uint32_t nonzero_column[LP_NONZEROS_MAX];
    int64_t nonzero[LP_NONZEROS_MAX];
    uint8_t is_at_upper[LP_VARIABLES_MAX];
    uint32_t basis[LP_ROWS_MAX];        /* variable of each row */
    uint32_t outside[LP_COLUMNS_MAX];   /* variable of each tableau column */
    int32_t row_of[LP_VARIABLES_MAX];   /* row of a basic variable; -1 - column otherwise */
    double value[LP_ROWS_MAX];          /* of the basic variables */
    double least[LP_ROWS_MAX];          /* their bounds */
    double most[LP_ROWS_MAX];
    double reduced[LP_COLUMNS_MAX];     /* of each tableau column */
    double stands_at[LP_COLUMNS_MAX];   /* its variable's value, which `value` counts with */
    double way[LP_COLUMNS_MAX];         /* 1: it can rise, -1: it can fall, 0: it is fixed */
    uint32_t flips[LP_COLUMNS_MAX];
    int64_t dual[LP_ROWS_MAX];
    int64_t exact[LP_COLUMNS_MAX];      /* reduced costs of the last bound, in its scale */
    int128_t exact_bound;
    uint32_t moved[LP_COLUMNS_MAX];     /* tableau columns whose variable is not at 0 */
    double moved_to[LP_COLUMNS_MAX];
    double cells[LP_CELLS_MAX];
    double kept[LP_KEPT_CELLS_MAX];     /* tableaux set aside, one behind the other */
} lp_t;

static inline uint32_t lp_slack(uint32_t row)
{
    return LP_COLUMNS_MAX + row;
}

static inline void lp_begin(lp_t *lp)
{
    lp->column_count = 0;
    lp->width = 0;
    lp->row_count = 0;
    lp->nonzero_count = 0;
    lp->is_full = 0;
    lp->cost_most = 0;
    lp->nonzero_most = 1;
    lp->dual_scale = LP_DUAL_SCALE;
    lp->row_first[0] = 0;
    lp->objective = 0.0;
    lp->ray = 0.0;
}

/* All columns are added before the first row. */
static inline uint32_t lp_add_column(lp_t *lp, int64_t cost_parts, int64_t lower, int64_t upper)
{
    int64_t size = cost_parts < 0 ? -cost_parts : cost_parts;
    if (lp->column_count == LP_COLUMNS_MAX || size > LP_COST_MAX) {
        lp->is_full = 1;
        return 0;
    }
    if (size > lp->cost_most) lp->cost_most = size;
    if (size > LP_COST_MAX / LP_DUAL_SCALE) lp->dual_scale = 1;
    uint32_t column = lp->column_count++;
    lp->cost_parts[column] = cost_parts;
    lp->lower[column] = lower;
    lp->upper[column] = upper;
    lp->is_at_upper[column] = cost_parts > 0;
    lp->outside[column] = column;
    lp->row_of[column] = -1 - (int32_t)column;
    lp->reduced[column] = (double)cost_parts / PARTS_PER_MINOR;
    lp->stands_at[column] = 0.0;
    lp->way[column] = 0.0;
    lp->width = lp->column_count;
    return column;
}

static inline void lp_add_nonzero(lp_t *lp, uint32_t column, int64_t factor)
{
    int64_t size = factor < 0 ? -factor : factor;
    if (lp->nonzero_count == LP_NONZEROS_MAX || size > LP_FACTOR_MAX) {
        lp->is_full = 1;
        return;
    }
    if (size > lp->nonzero_most) lp->nonzero_most = size;
    lp->nonzero_column[lp->nonzero_count] = column;
    lp->nonzero[lp->nonzero_count] = factor;
    lp->nonzero_count += 1;
}

/* Value of a column at the point at hand. */
static inline double lp_value_of(const lp_t *lp, uint32_t column)
{
    int32_t at = lp->row_of[column];
    if (at == LP_DROPPED) return 0.0;
    return at >= 0 ? lp->value[at] : lp->stands_at[-1 - at];
}

/* Closes the row whose non-zeros were added since the last one: its slack becomes basic. Works at
 * any time: what is basic now is replaced by its row of the tableau. Returns the row. */
static inline uint32_t lp_add_row(lp_t *lp, int64_t right, int64_t slack_upper)
{
    uint32_t row = lp->row_count;
    uint32_t width = lp->width;
    if (lp->is_full || row == LP_ROWS_MAX || (uint64_t)(row + 1) * width > LP_CELLS_MAX) {
        lp->is_full = 1;
        lp->nonzero_count = lp->row_first[row];
        return 0;
    }
    double *cells = &lp->cells[(uint64_t)row * width];
    for (uint32_t k = 0; k < width; k++) cells[k] = 0.0;
    double value = (double)right;
    for (uint32_t i = lp->row_first[row]; i < lp->nonzero_count; i++) {
        int32_t at = lp->row_of[lp->nonzero_column[i]];
        double factor = (double)lp->nonzero[i];
        value -= factor * lp_value_of(lp, lp->nonzero_column[i]);
        if (at == LP_DROPPED) continue;
        if (at < 0) {
            cells[-1 - at] += factor;
            continue;
        }
        const double *basic = &lp->cells[(uint64_t)at * width];
        for (uint32_t k = 0; k < width; k++) cells[k] -= factor * basic[k];
        lp->steps += width;
    }
    lp->steps += width;
    lp->row_first[row + 1] = lp->nonzero_count;
    lp->right[row] = right;
    lp->value[row] = value;
    uint32_t slack = lp_slack(row);
    lp->lower[slack] = 0;
    lp->upper[slack] = slack_upper;
    lp->is_at_upper[slack] = 0;
    lp->basis[row] = slack;
    lp->row_of[slack] = (int32_t)row;
    lp->row_count += 1;
    return row;
}

/* Whether rows may be added that are not needed: half of the room is for those that are. */
static inline int lp_has_room(const lp_t *lp)
{
    if (lp->row_count > LP_ROWS_MAX / 2) return 0;
    if (lp->nonzero_count > LP_NONZEROS_MAX / 2) return 0;
    return (uint64_t)lp->row_count * lp->width < LP_CELLS_MAX / 2;
}

static inline double lp_bound_value(const lp_t *lp, uint32_t variable)
{
    return (double)(lp->is_at_upper[variable] ? lp->upper[variable] : lp->lower[variable]);
}

/* Where the variable of tableau column k can go from its bound: 1 up, -1 down, 0 nowhere. */
static inline double lp_way_of(const lp_t *lp, uint32_t variable)
{
    if (lp->lower[variable] == lp->upper[variable]) return 0.0;
    return lp->is_at_upper[variable] ? -1.0 : 1.0;
}

/* Takes changed bounds over. A variable outside the basis stands at the bound that its reduced cost
 * asks for; those that move take the basic ones and the objective along. */
static inline void lp_refresh(lp_t *lp)
{
    uint32_t width = lp->width;
    lp->moved_count = 0;
    for (uint32_t k = 0; k < width; k++) {
        uint32_t variable = lp->outside[k];
        if (lp->reduced[k] > 0.0 && lp->upper[variable] < LP_UNBOUNDED)
            lp->is_at_upper[variable] = 1;
        if (lp->reduced[k] < 0.0 || lp->upper[variable] >= LP_UNBOUNDED)
            lp->is_at_upper[variable] = 0;
        lp->way[k] = lp_way_of(lp, variable);
        double bound = lp_bound_value(lp, variable);
        double move = bound - lp->stands_at[k];
        if (move == 0.0) continue;
        lp->stands_at[k] = bound;
        lp->objective += lp->reduced[k] * move;
        lp->moved[lp->moved_count] = k;
        lp->moved_to[lp->moved_count] = move;
        lp->moved_count += 1;
    }
    for (uint32_t i = 0; i < lp->row_count; i++) {
        const double *cells = &lp->cells[(uint64_t)i * width];
        double value = lp->value[i];
        for (uint32_t m = 0; m < lp->moved_count; m++)
            value -= cells[lp->moved[m]] * lp->moved_to[m];
        lp->value[i] = value;
        lp->least[i] = (double)lp->lower[lp->basis[i]];
        lp->most[i] = (double)lp->upper[lp->basis[i]];
    }
    lp->steps += width + (uint64_t)(1 + lp->moved_count) * lp->row_count;
}

/* The basic variable furthest outside its bounds; row_count when there is none. */
static inline uint32_t lp_leaving(const lp_t *lp, int32_t *sign, double *violation)
{
    uint32_t leaving = lp->row_count;
    double worst = LP_FEASIBLE_WITHIN;
    for (uint32_t i = 0; i < lp->row_count; i++) {
        double below = lp->least[i] - lp->value[i];
        double above = lp->value[i] - lp->most[i];
        double outside = below > above ? below : above;
        if (outside > worst) {
            worst = outside;
            leaving = i;
        }
    }
    if (leaving < lp->row_count) *sign = lp->value[leaving] > lp->most[leaving] ? 1 : -1;
    *violation = worst;
    return leaving;
}

/* Collects the columns of the tableau that can cure the violation of `row`, with the step of the
 * duals that each allows. Returns how many. */
static inline uint32_t lp_candidates(lp_t *lp, uint32_t row, int32_t sign)
{
    uint32_t width = lp->width;
    const double *cells = &lp->cells[(uint64_t)row * width];
    uint32_t count = 0;
    for (uint32_t k = 0; k < width; k++) {
        lp->moved[count] = k;
        count += cells[k] * lp->way[k] * (double)sign >= LP_PIVOT_LEAST;
    }
    for (uint32_t m = 0; m < count; m++) {
        double ratio = lp->reduced[lp->moved[m]] / cells[lp->moved[m]];
        lp->moved_to[m] = ratio < 0.0 ? -ratio : ratio;
    }
    lp->steps += width;
    return count;
}

/* The ratio test with flips: a column whose whole range does not cure the violation goes to its
 * other bound, and the next is asked. Returns the entering column, or the width: there is none, or
 * the steps ran out. */
static inline uint32_t lp_entering(lp_t *lp, uint32_t row, int32_t sign, double violation,
                                   uint64_t step_limit, uint32_t *flip_count)
{
    const double *cells = &lp->cells[(uint64_t)row * lp->width];
    uint32_t count = lp_candidates(lp, row, sign);
    *flip_count = 0;
    while (count > 0 && lp->steps <= step_limit) {
        uint32_t best = 0;
        double best_size = 0.0;
        for (uint32_t m = 0; m < count; m++) {
            double cell = cells[lp->moved[m]];
            double size = cell < 0.0 ? -cell : cell;
            double lead = lp->moved_to[best] - lp->moved_to[m];
            if (m > 0 && (lead < -1e-12 || (lead <= 1e-12 && size <= best_size))) continue;
            best = m;
            best_size = size;
        }
        lp->steps += count;
        uint32_t k = lp->moved[best];
        uint32_t variable = lp->outside[k];
        double range = (double)(lp->upper[variable] - lp->lower[variable]);
        if (lp->upper[variable] >= LP_UNBOUNDED) return k;
        if (best_size * range >= violation - LP_FEASIBLE_WITHIN) return k;
        violation -= best_size * range;
        lp->flips[(*flip_count)++] = k;
        count -= 1;
        lp->moved[best] = lp->moved[count];
        lp->moved_to[best] = lp->moved_to[count];
    }
    return lp->width;
}

static inline void lp_flip(lp_t *lp, uint32_t flip_count)
{
    uint32_t width = lp->width;
    for (uint32_t f = 0; f < flip_count; f++) {
        uint32_t k = lp->flips[f];
        uint32_t variable = lp->outside[k];
        double move = (double)(lp->upper[variable] - lp->lower[variable]);
        if (lp->is_at_upper[variable]) move = -move;
        lp->is_at_upper[variable] ^= 1;
        lp->way[k] = -lp->way[k];
        lp->stands_at[k] += move;
        lp->objective += lp->reduced[k] * move;
        for (uint32_t i = 0; i < lp->row_count; i++)
            lp->value[i] -= lp->cells[(uint64_t)i * width + k] * move;
        lp->steps += lp->row_count;
    }
}

/* Wider registers where the processor has them. Each cell is one product and one difference either
 * way, never fused, so the bits are the same. LP_WIDTH_OF_BUILD keeps to those of the build: the
 * widths that a processor would never choose can be held against each other so. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(LP_WIDTH_OF_BUILD)
#define LP_WIDE __attribute__((target_clones("avx512f", "avx2", "default"), noinline, unused))
#else
#define LP_WIDE inline
#endif

/* Takes multiples of the pivot row from all others, so that column k keeps only the pivot, and
 * moves what is basic by `move` of the entering variable. A row with few non-zeros (lp->moved) is
 * taken cell by cell. */
static LP_WIDE void lp_eliminate(lp_t *lp, uint32_t row, uint32_t k, double move)
{
    uint32_t width = lp->width;
    const double *restrict pivot_row = &lp->cells[(uint64_t)row * width];
    int is_sparse = lp->moved_count * 4 < width;
    for (uint32_t i = 0; i < lp->row_count; i++) {
        double *restrict cells = &lp->cells[(uint64_t)i * width];
        double factor = cells[k];
        if (i == row || factor == 0.0) continue;
        lp->value[i] -= factor * move;
        if (is_sparse) {
            for (uint32_t m = 0; m < lp->moved_count; m++)
                cells[lp->moved[m]] -= factor * pivot_row[lp->moved[m]];
        } else {
            for (uint32_t j = 0; j < width; j++) cells[j] -= factor * pivot_row[j];
        }
        cells[k] = -factor * pivot_row[k];
        lp->steps += is_sparse ? lp->moved_count : width;
    }
}

/* Exchanges the basic variable of `row`, which goes to the bound that it broke, and column k. */
static inline void lp_pivot(lp_t *lp, uint32_t row, uint32_t k, int32_t sign)
{
    uint32_t width = lp->width;
    double *pivot_row = &lp->cells[(uint64_t)row * width];
    uint32_t leaving = lp->basis[row];
    uint32_t entering = lp->outside[k];
    double inverse = 1.0 / pivot_row[k];
    double target = sign < 0 ? lp->least[row] : lp->most[row];
    double move = (lp->value[row] - target) * inverse;
    lp->objective += lp->reduced[k] * move;
    lp->value[row] = lp->stands_at[k] + move;
    lp->moved_count = 0;
    for (uint32_t j = 0; j < width; j++) {
        pivot_row[j] *= inverse;
        lp->moved[lp->moved_count] = j;
        lp->moved_count += pivot_row[j] != 0.0;
    }
    pivot_row[k] = inverse;
    lp_eliminate(lp, row, k, move);
    double factor = lp->reduced[k];
    for (uint32_t j = 0; j < width; j++) lp->reduced[j] -= factor * pivot_row[j];
    lp->reduced[k] = -factor * inverse;
    lp->basis[row] = entering;
    lp->outside[k] = leaving;
    lp->row_of[entering] = (int32_t)row;
    lp->row_of[leaving] = -1 - (int32_t)k;
    lp->is_at_upper[leaving] = sign > 0;
    lp->stands_at[k] = target;
    lp->way[k] = lp_way_of(lp, leaving);
    lp->least[row] = (double)lp->lower[entering];
    lp->most[row] = (double)lp->upper[entering];
    lp->steps += width + lp->row_count;
}

/* Pivots until optimal, infeasible, below `cutoff_minor`, or out of `step_limit`. */
static inline uint32_t lp_solve(lp_t *lp, double cutoff_minor, uint64_t step_limit)
{
    uint64_t most_steps = (uint64_t)(lp->width + 1) * (lp->row_count + 1);
    lp->ray = 0.0;
    if (lp->steps + most_steps > step_limit) return LP_TROUBLE;
    lp_refresh(lp);
    for (uint32_t pivots = 0;; pivots++) {
        int32_t sign = 0;
        double violation;
        if (lp->objective < cutoff_minor) return LP_CUT;
        uint32_t row = lp_leaving(lp, &sign, &violation);
        lp->steps += lp->row_count;
        if (row == lp->row_count) return LP_OPTIMAL;
        uint64_t pivot_steps = (uint64_t)lp->width * (lp->row_count + 1);
        if (lp->steps + pivot_steps > step_limit) return LP_TROUBLE;
        if (pivots > 8 * LP_VARIABLES_MAX) return LP_TROUBLE;
        uint32_t flip_count;
        uint32_t k = lp_entering(lp, row, sign, violation, step_limit, &flip_count);
        pivot_steps += (uint64_t)flip_count * lp->row_count;
        if (lp->steps + pivot_steps > step_limit) return LP_TROUBLE;
        if (k == lp->width) {
            double size = lp->objective < 0.0 ? -lp->objective : lp->objective;
            lp->ray_row = row;
            lp->ray_sign = sign;
            lp->ray = (size + 1.0) * 4.0 / violation;
            return LP_INFEASIBLE;
        }
        lp_flip(lp, flip_count);
        lp_pivot(lp, row, k, sign);
    }
}

/* Whole-number duals of all rows, in parts / dual_scale. Whatever they are, they prove a bound;
 * they are cut where a reduced cost might leave 63 bits. */
static inline void lp_round_duals(lp_t *lp)
{
    double scale = PARTS_PER_MINOR * (double)lp->dual_scale;
    int64_t most = LP_COST_MAX / (lp->nonzero_most * (int64_t)(lp->row_count + 1));
    for (uint32_t i = 0; i < lp->row_count; i++) {
        uint32_t slack = lp_slack(i);
        int32_t at = lp->row_of[slack];
        double reduced = 0.0;
        if (at < 0) {
            reduced = lp->reduced[-1 - at];
            if (lp->ray > 0.0)
                reduced += lp->ray * (double)lp->ray_sign *
                           lp->cells[(uint64_t)lp->ray_row * lp->width - 1 - (uint64_t)at];
        } else if (lp->ray > 0.0 && (uint32_t)at == lp->ray_row) {
            reduced = lp->ray * (double)lp->ray_sign;
        }
        double scaled = -reduced * scale;
        if (scaled > (double)most) scaled = (double)most;
        if (scaled < -(double)most) scaled = -(double)most;
        lp->dual[i] = (int64_t)(scaled < 0.0 ? scaled - 0.5 : scaled + 0.5);
        if (lp->dual[i] < 0 && lp->upper[slack] >= LP_UNBOUNDED) lp->dual[i] = 0;
    }
}

/* A proven bound in parts: no point inside the bounds and rows costs more. Exact arithmetic:
 * reduced costs stay inside 63 bits by the cut of the duals, their products take 128. */
static inline int64_t lp_bound_parts(lp_t *lp)
{
    int128_t bound = 0;
    lp_round_duals(lp);
    for (uint32_t j = 0; j < lp->column_count; j++)
        lp->exact[j] = lp->cost_parts[j] * lp->dual_scale;
    for (uint32_t i = 0; i < lp->row_count; i++) {
        int64_t dual = lp->dual[i];
        if (dual == 0) continue;
        bound += (int128_t)dual * lp->right[i];
        if (dual < 0) bound -= (int128_t)dual * lp->upper[lp_slack(i)];
        for (uint32_t n = lp->row_first[i]; n < lp->row_first[i + 1]; n++)
            lp->exact[lp->nonzero_column[n]] -= dual * lp->nonzero[n];
    }
    for (uint32_t j = 0; j < lp->column_count; j++)
        bound += (int128_t)lp->exact[j] * (lp->exact[j] > 0 ? lp->upper[j] : lp->lower[j]);
    lp->steps += lp->nonzero_count + lp->column_count;
    lp->exact_bound = bound;
    if (bound > (int128_t)LP_UNBOUNDED * lp->dual_scale) return LP_UNBOUNDED;
    if (bound < -(int128_t)LP_UNBOUNDED * lp->dual_scale) return -LP_UNBOUNDED;
    return round_quotient(bound, lp->dual_scale, ROUNDING_FLOOR);
}

/* Whether the last bound has a column at its upper end. */
static inline int lp_is_from_upper(const lp_t *lp, uint32_t column)
{
    return lp->exact[column] > 0;
}

/* How far a column may go from where the last bound has it, before what it costs takes the bound
 * below `least_parts`: further away nothing is worth that much. Exact. */
static inline int64_t lp_room(const lp_t *lp, uint32_t column, int64_t least_parts)
{
    int64_t cost = lp->exact[column] < 0 ? -lp->exact[column] : lp->exact[column];
    int128_t gap = lp->exact_bound - (int128_t)least_parts * lp->dual_scale;
    if (cost == 0 || gap < 0) return LP_UNBOUNDED;
    if (gap < cost) return 0;
    int64_t range = lp->upper[column] - lp->lower[column];
    if ((int128_t)cost * range <= gap) return LP_UNBOUNDED;
    return (int64_t)(gap / cost);
}

/* What the objective loses at least when the basic variable of `row` moves by one down, and up: the
 * first step of the dual simplex. Guesses, not proofs. */
static inline void lp_penalties(lp_t *lp, uint32_t row, double *down, double *up)
{
    const double *cells = &lp->cells[(uint64_t)row * lp->width];
    double falls = 1e18;
    double rises = 1e18;
    for (uint32_t k = 0; k < lp->width; k++) {
        double cell = cells[k] * lp->way[k];
        double reduced = lp->reduced[k] < 0.0 ? -lp->reduced[k] : lp->reduced[k];
        double ratio = cell > LP_PIVOT_LEAST || cell < -LP_PIVOT_LEAST ? reduced / cell : 1e18;
        double fall = ratio >= 0.0 && cell >= 0.0 ? ratio : 1e18;
        double rise = cell < 0.0 && ratio <= 0.0 ? -ratio : 1e18;
        falls = fall < falls ? fall : falls;
        rises = rise < rises ? rise : rises;
    }
    lp->steps += lp->width;
    *down = falls;
    *up = rises;
}

/* Cells that a tableau takes where it is set aside: two numbers a row, four a column, itself. */
static inline uint64_t lp_kept_cells(uint32_t row_count, uint32_t width)
{
    return (uint64_t)row_count * (width + 2) + 4 * (uint64_t)width;
}

/* Sets the tableau aside behind what `first_cell` cells hold, if there is room. Bounds are not part
 * of it. */
static inline void lp_keep(lp_t *lp, lp_kept_t *kept, uint32_t first_cell)
{
    uint64_t size = lp_kept_cells(lp->row_count, lp->width);
    kept->first_cell = first_cell;
    kept->row_count = lp->row_count;
    kept->width = lp->width;
    kept->nonzero_count = lp->nonzero_count;
    kept->objective = lp->objective;
    kept->is_kept = first_cell + size <= LP_KEPT_CELLS_MAX;
    if (!kept->is_kept) return;
    double *to = &lp->kept[first_cell];
    for (uint32_t i = 0; i < lp->row_count; i++) {
        *to++ = lp->value[i];
        *to++ = (double)lp->basis[i];
    }
    for (uint32_t k = 0; k < lp->width; k++) {
        *to++ = (double)lp->outside[k];
        *to++ = lp->reduced[k];
        *to++ = lp->stands_at[k];
        *to++ = lp->way[k];
    }
    uint64_t cell_count = (uint64_t)lp->row_count * lp->width;
    memcpy(to, lp->cells, cell_count * sizeof(double));
    lp->steps += size / 8;
}

/* Where the next tableau can be set aside. */
static inline uint32_t lp_kept_end(const lp_kept_t *kept)
{
    if (!kept->is_kept) return kept->first_cell;
    return kept->first_cell + (uint32_t)lp_kept_cells(kept->row_count, kept->width);
}

/* Goes back to a tableau that was set aside. Rows that were added since are forgotten. */
static inline void lp_return(lp_t *lp, const lp_kept_t *kept)
{
    if (!kept->is_kept) return;
    const double *from = &lp->kept[kept->first_cell];
    lp->row_count = kept->row_count;
    lp->width = kept->width;
    lp->nonzero_count = kept->nonzero_count;
    lp->objective = kept->objective;
    for (uint32_t i = 0; i < lp->row_count; i++) {
        lp->value[i] = *from++;
        lp->basis[i] = (uint32_t)*from++;
        lp->row_of[lp->basis[i]] = (int32_t)i;
    }
    for (uint32_t k = 0; k < lp->width; k++) {
        lp->outside[k] = (uint32_t)*from++;
        lp->reduced[k] = *from++;
        lp->stands_at[k] = *from++;
        lp->way[k] = *from++;
        lp->row_of[lp->outside[k]] = -1 - (int32_t)k;
        lp->is_at_upper[lp->outside[k]] = lp->way[k] < 0.0;
    }
    uint64_t cell_count = (uint64_t)lp->row_count * lp->width;
    memcpy(lp->cells, from, cell_count * sizeof(double));
    lp->steps += lp_kept_cells(lp->row_count, lp->width) / 8;
}

/* Takes columns that are fixed at 0 out of the tableau: they cost nothing from then on. */
static inline void lp_drop_fixed(lp_t *lp)
{
    uint32_t width = lp->width;
    uint32_t kept = 0;
    lp_refresh(lp);
    for (uint32_t k = 0; k < width; k++) {
        uint32_t variable = lp->outside[k];
        if (variable < LP_COLUMNS_MAX && lp->lower[variable] == 0 && lp->upper[variable] == 0) {
            lp->row_of[variable] = LP_DROPPED;
            continue;
        }
        lp->moved[kept] = k;
        lp->outside[kept] = variable;
        lp->reduced[kept] = lp->reduced[k];
        lp->stands_at[kept] = lp->stands_at[k];
        lp->way[kept] = lp->way[k];
        lp->row_of[variable] = -1 - (int32_t)kept;
        kept += 1;
    }
    if (kept == width) return;
    for (uint32_t i = 0; i < lp->row_count; i++)
        for (uint32_t k = 0; k < kept; k++)
            lp->cells[(uint64_t)i * kept + k] = lp->cells[(uint64_t)i * width + lp->moved[k]];
    lp->width = kept;
    lp->steps += (uint64_t)kept * lp->row_count;
}

#endif
