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

#define LP_FEASIBLE_WITHIN 1e-7
#define LP_PIVOT_LEAST 1e-9

typedef struct lp {
    uint32_t column_count;
    uint32_t row_count;
    uint32_t nonzero_count;
    uint32_t is_full;
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
    uint8_t is_flipped[LP_COLUMNS_MAX];
    int64_t dual[LP_ROWS_MAX];
    int128_t exact[LP_COLUMNS_MAX];
    double cells[LP_CELLS_MAX];
} lp_t;

static inline uint32_t lp_slack(uint32_t row)
{
    return LP_COLUMNS_MAX + row;
}

static inline void lp_begin(lp_t *lp)
{
    lp->column_count = 0;
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
    uint32_t width = lp->column_count;
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
    uint32_t width = lp->column_count;
    lp->objective = lp->objective_start;
    for (uint32_t k = 0; k < width; k++) {
        uint32_t variable = lp->outside[k];
        if (lp->reduced[k] > 0.0 && lp->upper[variable] < LP_UNBOUNDED)
            lp->is_at_upper[variable] = 1;
        if (lp->reduced[k] < 0.0 || lp->upper[variable] >= LP_UNBOUNDED)
            lp->is_at_upper[variable] = 0;
        lp->objective += lp->reduced[k] * lp_bound_value(lp, variable);
    }
    for (uint32_t i = 0; i < lp->row_count; i++) lp->value[i] = lp->beta[i];
    for (uint32_t k = 0; k < width; k++) {
        double at = lp_bound_value(lp, lp->outside[k]);
        if (at == 0.0) continue;
        for (uint32_t i = 0; i < lp->row_count; i++)
            lp->value[i] -= lp->cells[(uint64_t)i * width + k] * at;
    }
    lp->steps += (uint64_t)width * lp->row_count / 4;
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

/* The ratio test with flips: a column whose whole range does not cure the violation goes to its
 * other bound, and the next is asked. Returns the entering column, or column_count. */
static inline uint32_t lp_entering(lp_t *lp, uint32_t row, int32_t sign, double violation,
                                   uint32_t *flip_count)
{
    uint32_t width = lp->column_count;
    const double *cells = &lp->cells[(uint64_t)row * width];
    for (uint32_t k = 0; k < width; k++) lp->is_flipped[k] = 0;
    *flip_count = 0;
    for (;;) {
        uint32_t best = width;
        double best_ratio = 0.0;
        lp->steps += width;
        for (uint32_t k = 0; k < width; k++) {
            uint32_t variable = lp->outside[k];
            /* How the violation changes when the variable leaves its bound. */
            double cell = lp->is_at_upper[variable] ? -cells[k] : cells[k];
            if ((double)sign * cell < LP_PIVOT_LEAST || lp->is_flipped[k]) continue;
            if (lp->lower[variable] == lp->upper[variable]) continue;
            double ratio = lp->reduced[k] / cells[k];
            if (ratio < 0.0) ratio = -ratio;
            double size = cells[k] < 0.0 ? -cells[k] : cells[k];
            double best_size = best == width ? 0.0 : cells[best] < 0.0 ? -cells[best] : cells[best];
            if (best == width || ratio < best_ratio - 1e-12 ||
                (ratio < best_ratio + 1e-12 && size > best_size)) {
                best = k;
                best_ratio = ratio;
            }
        }
        if (best == width) return width;
        uint32_t variable = lp->outside[best];
        double size = cells[best] < 0.0 ? -cells[best] : cells[best];
        double range = (double)(lp->upper[variable] - lp->lower[variable]);
        if (lp->upper[variable] >= LP_UNBOUNDED) return best;
        if (size * range >= violation - LP_FEASIBLE_WITHIN) return best;
        violation -= size * range;
        lp->is_flipped[best] = 1;
        lp->flips[(*flip_count)++] = best;
    }
}

static inline void lp_flip(lp_t *lp, uint32_t flip_count)
{
    uint32_t width = lp->column_count;
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

/* Exchanges the basic variable of `row`, which goes to the bound that it broke, and column k. */
static inline void lp_pivot(lp_t *lp, uint32_t row, uint32_t k, int32_t sign)
{
    uint32_t width = lp->column_count;
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
    for (uint32_t j = 0; j < width; j++) pivot_row[j] /= pivot;
    pivot_row[k] = 1.0 / pivot;
    lp->beta[row] /= pivot;
    for (uint32_t i = 0; i < lp->row_count; i++) {
        double *cells = &lp->cells[(uint64_t)i * width];
        double factor = cells[k];
        if (i == row || factor == 0.0) continue;
        for (uint32_t j = 0; j < width; j++) cells[j] -= factor * pivot_row[j];
        cells[k] = -factor * pivot_row[k];
        lp->beta[i] -= factor * lp->beta[row];
    }
    double factor = lp->reduced[k];
    for (uint32_t j = 0; j < width; j++) lp->reduced[j] -= factor * pivot_row[j];
    lp->reduced[k] = -factor * pivot_row[k];
    lp->objective_start += factor * lp->beta[row];
    lp->basis[row] = entering;
    lp->outside[k] = leaving;
    lp->row_of[entering] = (int32_t)row;
    lp->row_of[leaving] = -1 - (int32_t)k;
    lp->is_at_upper[leaving] = sign > 0;
    lp->steps += (uint64_t)width * lp->row_count;
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
        if (lp->steps > step_limit || pivots > 8 * LP_VARIABLES_MAX) return LP_TROUBLE;
        uint32_t flip_count;
        uint32_t k = lp_entering(lp, row, sign, violation, &flip_count);
        if (k == lp->column_count) {
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
                           lp->cells[(uint64_t)lp->ray_row * lp->column_count - 1 - (uint64_t)at];
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
    if (bound > (int128_t)LP_UNBOUNDED * LP_DUAL_SCALE) return LP_UNBOUNDED;
    if (bound < -(int128_t)LP_UNBOUNDED * LP_DUAL_SCALE) return -LP_UNBOUNDED;
    return round_quotient(bound, LP_DUAL_SCALE, ROUNDING_FLOOR);
}

#endif
