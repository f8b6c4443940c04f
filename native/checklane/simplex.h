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

#include "invariant.h"
#include "rounding.h"

#define LP_COLUMNS_MAX 768
#define LP_ROWS_MAX 512
#define LP_VARIABLES_MAX (768 + 512)
/* Non-zeros of the rows: 16,384 * 12 B = 192 KiB. */
#define LP_NONZEROS_MAX (16 * 1024)
/* Cells of the tableau: 98,304 * 8 B = 768 KiB, inside a second-level cache. */
#define LP_CELLS_MAX (96 * 1024)
#define LP_UNBOUNDED (INT64_MAX / 4)
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

typedef struct lp {
    uint32_t column_count;
    uint32_t width;           /* columns of the tableau: column_count until some are dropped */
    uint32_t row_count;
    uint32_t nonzero_count;
    uint32_t is_full;
    uint32_t moved_count;
    uint64_t steps;
    double ray;               /* after LP_INFEASIBLE: how far along the ray the bound is taken */
    uint32_t ray_row;
    int32_t ray_sign;
    double objective;         /* minor units */
    double objective_start;
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
    double beta[LP_ROWS_MAX];
    double reduced[LP_COLUMNS_MAX];
    uint32_t flips[LP_COLUMNS_MAX];
    int64_t dual[LP_ROWS_MAX];
    int128_t exact[LP_COLUMNS_MAX];     /* reduced costs of the last bound, in its scale */
    int128_t exact_bound;
    uint32_t moved[LP_COLUMNS_MAX];     /* tableau columns whose variable is not at 0 */
    double moved_to[LP_COLUMNS_MAX];
    double cells[LP_CELLS_MAX];
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
    lp->row_first[0] = 0;
    lp->objective_start = 0.0;
    lp->ray = 0.0;
}

/* All columns are added before the first row. */
static inline uint32_t lp_add_column(lp_t *lp, int64_t cost_parts, int64_t lower, int64_t upper)
{
    if (lp->column_count == LP_COLUMNS_MAX) {
        lp->is_full = 1;
        return 0;
    }
    uint32_t column = lp->column_count++;
    lp->cost_parts[column] = cost_parts;
    lp->lower[column] = lower;
    lp->upper[column] = upper;
    lp->is_at_upper[column] = cost_parts > 0;
    lp->outside[column] = column;
    lp->row_of[column] = -1 - (int32_t)column;
    lp->reduced[column] = (double)cost_parts / PARTS_PER_MINOR;
    lp->width = lp->column_count;
    return column;
}

static inline void lp_add_nonzero(lp_t *lp, uint32_t column, int64_t factor)
{
    if (lp->nonzero_count == LP_NONZEROS_MAX) {
        lp->is_full = 1;
        return;
    }
    lp->nonzero_column[lp->nonzero_count] = column;
    lp->nonzero[lp->nonzero_count] = factor;
    lp->nonzero_count += 1;
}

/* Closes the row whose non-zeros were added since the last one: its slack becomes basic. Works at
 * any time: what is basic now is replaced by its row of the tableau. Returns the row. */
static inline uint32_t lp_add_row(lp_t *lp, int64_t right, int64_t slack_upper)
{
    uint32_t row = lp->row_count;
    uint32_t width = lp->width;
    if (lp->is_full || row == LP_ROWS_MAX || (uint64_t)(row + 1) * width > LP_CELLS_MAX) {
        lp->is_full = 1;
        return 0;
    }
    double *cells = &lp->cells[(uint64_t)row * width];
    for (uint32_t k = 0; k < width; k++) cells[k] = 0.0;
    double beta = (double)right;
    for (uint32_t i = lp->row_first[row]; i < lp->nonzero_count; i++) {
        int32_t at = lp->row_of[lp->nonzero_column[i]];
        double factor = (double)lp->nonzero[i];
        if (at == LP_DROPPED) continue;
        if (at < 0) {
            cells[-1 - at] += factor;
            continue;
        }
        const double *basic = &lp->cells[(uint64_t)at * width];
        for (uint32_t k = 0; k < width; k++) cells[k] -= factor * basic[k];
        beta -= factor * lp->beta[at];
        lp->steps += width;
    }
    lp->row_first[row + 1] = lp->nonzero_count;
    lp->right[row] = right;
    lp->beta[row] = beta;
    uint32_t slack = lp_slack(row);
    lp->lower[slack] = 0;
    lp->upper[slack] = slack_upper;
    lp->is_at_upper[slack] = 0;
    lp->basis[row] = slack;
    lp->row_of[slack] = (int32_t)row;
    lp->row_count += 1;
    return row;
}

static inline double lp_bound_value(const lp_t *lp, uint32_t variable)
{
    return (double)(lp->is_at_upper[variable] ? lp->upper[variable] : lp->lower[variable]);
}

/* Values of all basic variables and the objective, from the bounds as they stand. A variable
 * whose reduced cost asks for its other bound is moved there first. */
static inline void lp_refresh(lp_t *lp)
{
    uint32_t width = lp->width;
    lp->objective = lp->objective_start;
    for (uint32_t k = 0; k < width; k++) {
        uint32_t variable = lp->outside[k];
        if (lp->reduced[k] > 0.0 && lp->upper[variable] < LP_UNBOUNDED)
            lp->is_at_upper[variable] = 1;
        if (lp->reduced[k] < 0.0 || lp->upper[variable] >= LP_UNBOUNDED)
            lp->is_at_upper[variable] = 0;
        lp->objective += lp->reduced[k] * lp_bound_value(lp, variable);
    }
    lp->moved_count = 0;
    for (uint32_t k = 0; k < width; k++) {
        lp->moved[lp->moved_count] = k;
        lp->moved_to[lp->moved_count] = lp_bound_value(lp, lp->outside[k]);
        lp->moved_count += lp->moved_to[lp->moved_count] != 0.0;
    }
    for (uint32_t i = 0; i < lp->row_count; i++) {
        const double *cells = &lp->cells[(uint64_t)i * width];
        double value = lp->beta[i];
        for (uint32_t m = 0; m < lp->moved_count; m++)
            value -= cells[lp->moved[m]] * lp->moved_to[m];
        lp->value[i] = value;
    }
    lp->steps += width + (uint64_t)lp->moved_count * lp->row_count;
}

/* The basic variable furthest outside its bounds; row_count when there is none. */
static inline uint32_t lp_leaving(const lp_t *lp, int32_t *sign, double *violation)
{
    uint32_t leaving = lp->row_count;
    *violation = LP_FEASIBLE_WITHIN;
    for (uint32_t i = 0; i < lp->row_count; i++) {
        uint32_t variable = lp->basis[i];
        double below = (double)lp->lower[variable] - lp->value[i];
        double above = lp->value[i] - (double)lp->upper[variable];
        if (below > *violation) {
            *violation = below;
            *sign = -1;
            leaving = i;
        }
        if (above > *violation) {
            *violation = above;
            *sign = 1;
            leaving = i;
        }
    }
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
        double cell = cells[k];
        if (cell < LP_PIVOT_LEAST && cell > -LP_PIVOT_LEAST) continue;
        uint32_t variable = lp->outside[k];
        /* How the violation changes when the variable leaves its bound. */
        int is_curing = (cell > 0.0) == (lp->is_at_upper[variable] == 0);
        if (sign < 0) is_curing = !is_curing;
        if (!is_curing || lp->lower[variable] == lp->upper[variable]) continue;
        double ratio = lp->reduced[k] / cell;
        lp->moved[count] = k;
        lp->moved_to[count] = ratio < 0.0 ? -ratio : ratio;
        count += 1;
    }
    lp->steps += width;
    return count;
}

/* The ratio test with flips: a column whose whole range does not cure the violation goes to its
 * other bound, and the next is asked. Returns the entering column, or the width. */
static inline uint32_t lp_entering(lp_t *lp, uint32_t row, int32_t sign, double violation,
                                   uint32_t *flip_count)
{
    const double *cells = &lp->cells[(uint64_t)row * lp->width];
    uint32_t count = lp_candidates(lp, row, sign);
    *flip_count = 0;
    while (count > 0) {
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
        for (uint32_t m = best; m < count; m++) {
            lp->moved[m] = lp->moved[m + 1];
            lp->moved_to[m] = lp->moved_to[m + 1];
        }
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
        lp->objective += lp->reduced[k] * move;
        for (uint32_t i = 0; i < lp->row_count; i++)
            lp->value[i] -= lp->cells[(uint64_t)i * width + k] * move;
        lp->steps += lp->row_count;
    }
}

/* Wider registers where the processor has them. Each cell is one product and one difference either
 * way, never fused, so the bits are the same. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define LP_WIDE __attribute__((target_clones("avx512f", "avx2", "default"), noinline, unused))
#else
#define LP_WIDE inline
#endif

/* Takes multiples of the pivot row from all others, so that column k keeps only the pivot. A row
 * with few non-zeros (lp->moved) is taken cell by cell. */
static LP_WIDE void lp_eliminate(lp_t *lp, uint32_t row, uint32_t k)
{
    uint32_t width = lp->width;
    const double *restrict pivot_row = &lp->cells[(uint64_t)row * width];
    int is_sparse = lp->moved_count * 4 < width;
    for (uint32_t i = 0; i < lp->row_count; i++) {
        double *restrict cells = &lp->cells[(uint64_t)i * width];
        double factor = cells[k];
        if (i == row || factor == 0.0) continue;
        if (is_sparse) {
            for (uint32_t m = 0; m < lp->moved_count; m++)
                cells[lp->moved[m]] -= factor * pivot_row[lp->moved[m]];
        } else {
            for (uint32_t j = 0; j < width; j++) cells[j] -= factor * pivot_row[j];
        }
        cells[k] = -factor * pivot_row[k];
        lp->beta[i] -= factor * lp->beta[row];
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
    double pivot = pivot_row[k];
    double target = (double)(sign < 0 ? lp->lower[leaving] : lp->upper[leaving]);
    double move = (lp->value[row] - target) / pivot;
    double start = lp_bound_value(lp, entering);
    lp->objective += lp->reduced[k] * move;
    for (uint32_t i = 0; i < lp->row_count; i++)
        lp->value[i] -= lp->cells[(uint64_t)i * width + k] * move;
    lp->value[row] = start + move;
    lp->moved_count = 0;
    for (uint32_t j = 0; j < width; j++) {
        pivot_row[j] /= pivot;
        lp->moved[lp->moved_count] = j;
        lp->moved_count += pivot_row[j] != 0.0;
    }
    pivot_row[k] = 1.0 / pivot;
    lp->beta[row] /= pivot;
    lp_eliminate(lp, row, k);
    double factor = lp->reduced[k];
    for (uint32_t j = 0; j < width; j++) lp->reduced[j] -= factor * pivot_row[j];
    lp->reduced[k] = -factor * pivot_row[k];
    lp->objective_start += factor * lp->beta[row];
    lp->basis[row] = entering;
    lp->outside[k] = leaving;
    lp->row_of[entering] = (int32_t)row;
    lp->row_of[leaving] = -1 - (int32_t)k;
    lp->is_at_upper[leaving] = sign > 0;
    lp->steps += width + lp->row_count;
}

/* Pivots until optimal, infeasible, below `cutoff_minor`, or out of `step_limit`. */
static inline uint32_t lp_solve(lp_t *lp, double cutoff_minor, uint64_t step_limit)
{
    lp->ray = 0.0;
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
        uint32_t k = lp_entering(lp, row, sign, violation, &flip_count);
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

static inline double lp_value_of(const lp_t *lp, uint32_t column)
{
    int32_t at = lp->row_of[column];
    return at >= 0 ? lp->value[at] : lp_bound_value(lp, column);
}

/* Whole-number duals of all rows, in parts / LP_DUAL_SCALE. */
static inline void lp_round_duals(lp_t *lp)
{
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
        double scaled = -reduced * PARTS_PER_MINOR * LP_DUAL_SCALE;
        if (scaled > 4e18) scaled = 4e18;
        if (scaled < -4e18) scaled = -4e18;
        lp->dual[i] = (int64_t)(scaled < 0.0 ? scaled - 0.5 : scaled + 0.5);
        if (lp->dual[i] < 0 && lp->upper[slack] >= LP_UNBOUNDED) lp->dual[i] = 0;
    }
}

/* A proven bound in parts: no point inside the bounds and rows costs more. Exact arithmetic. */
static inline int64_t lp_bound_parts(lp_t *lp)
{
    int128_t bound = 0;
    lp_round_duals(lp);
    for (uint32_t j = 0; j < lp->column_count; j++)
        lp->exact[j] = (int128_t)lp->cost_parts[j] * LP_DUAL_SCALE;
    for (uint32_t i = 0; i < lp->row_count; i++) {
        int64_t dual = lp->dual[i];
        if (dual == 0) continue;
        bound += (int128_t)dual * lp->right[i];
        if (dual < 0) bound -= (int128_t)dual * lp->upper[lp_slack(i)];
        for (uint32_t n = lp->row_first[i]; n < lp->row_first[i + 1]; n++)
            lp->exact[lp->nonzero_column[n]] -= (int128_t)dual * lp->nonzero[n];
    }
    for (uint32_t j = 0; j < lp->column_count; j++)
        bound += lp->exact[j] * (lp->exact[j] > 0 ? lp->upper[j] : lp->lower[j]);
    lp->steps += lp->nonzero_count + lp->column_count;
    lp->exact_bound = bound;
    if (bound > (int128_t)LP_UNBOUNDED * LP_DUAL_SCALE) return LP_UNBOUNDED;
    if (bound < -(int128_t)LP_UNBOUNDED * LP_DUAL_SCALE) return -LP_UNBOUNDED;
    return round_quotient(bound, LP_DUAL_SCALE, ROUNDING_FLOOR);
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
    int128_t cost = lp->exact[column] < 0 ? -lp->exact[column] : lp->exact[column];
    int128_t gap = lp->exact_bound - (int128_t)least_parts * LP_DUAL_SCALE;
    if (cost == 0 || gap < 0) return LP_UNBOUNDED;
    if (gap < cost) return 0;
    int64_t range = lp->upper[column] - lp->lower[column];
    if (cost * range <= gap) return LP_UNBOUNDED;
    return (int64_t)(gap / cost);
}

/* What the objective loses at least when the basic variable of `row` moves by `distance` down
 * (sign 1) or up (sign -1): the first step of the dual simplex. A guess, not a proof. */
static inline double lp_penalty(lp_t *lp, uint32_t row, int32_t sign, double distance)
{
    const double *cells = &lp->cells[(uint64_t)row * lp->width];
    double least = 1e18;
    for (uint32_t k = 0; k < lp->width; k++) {
        uint32_t variable = lp->outside[k];
        double cell = lp->is_at_upper[variable] ? -cells[k] : cells[k];
        cell = sign > 0 ? cell : -cell;
        if (cell < LP_PIVOT_LEAST || lp->lower[variable] == lp->upper[variable]) continue;
        double ratio = lp->reduced[k] < 0.0 ? -lp->reduced[k] : lp->reduced[k];
        if (ratio * distance < least * cell) least = ratio * distance / cell;
    }
    lp->steps += lp->width;
    return least;
}

/* Takes columns that are fixed at 0 out of the tableau: they cost nothing from then on. */
static inline void lp_drop_fixed(lp_t *lp)
{
    uint32_t width = lp->width;
    uint32_t kept = 0;
    lp->moved_count = 0;
    for (uint32_t k = 0; k < width; k++) {
        uint32_t variable = lp->outside[k];
        if (variable < LP_COLUMNS_MAX && lp->lower[variable] == 0 && lp->upper[variable] == 0) {
            lp->row_of[variable] = LP_DROPPED;
            continue;
        }
        lp->moved[kept] = k;
        lp->outside[kept] = variable;
        lp->reduced[kept] = lp->reduced[k];
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
