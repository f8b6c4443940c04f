/* A basket's canonical form: runs of units that no rule can tell apart.
 *
 * Each line gives one or two candidates (units of the higher and of the lower cent), which are
 * sorted in place in basket->runs; equal neighbours then become one run. While they are sorted, a
 * candidate keeps the index of its line in `first_piece`. */
#include "wire.h"

#include "invariant.h"

/* Runs shorter than this are sorted by insertion: most baskets are small and nearly in order. */
#define INSERTION_MAX 24

static int compare_numbers(int64_t left, int64_t right)
{
    return (left > right) - (left < right);
}

static int compare_keys(uint64_t left, uint64_t right)
{
    return (left > right) - (left < right);
}

/* The order of runs: dearest first, then code, product, source, flags, measure, kind of line;
 * a line of fuel is a run of its own. */
static int compare_runs(const run_t *left, const run_t *right)
{
    int order = compare_numbers(right->unit_minor, left->unit_minor);
    if (order == 0) order = compare_keys(left->code, right->code);
    if (order == 0) order = compare_keys(left->product, right->product);
    if (order == 0) order = compare_keys(left->price_source, right->price_source);
    if (order == 0) order = compare_keys(left->flags, right->flags);
    if (order == 0) order = compare_keys(left->measure_unit, right->measure_unit);
    if (order == 0) order = compare_numbers(left->measure_milli, right->measure_milli);
    if (order == 0) order = compare_keys(left->line_flag, right->line_flag);
    if (order == 0) order = compare_keys(left->fuel_line_id, right->fuel_line_id);
    return order;
}

/* Candidates of one run stand by line id, so that pieces do too. */
static bool is_before(const basket_t *basket, const run_t *left, const run_t *right)
{
    int order = compare_runs(left, right);
    if (order != 0) return order < 0;
    uint32_t left_id = basket->lines[left->first_piece].line_id;
    return left_id < basket->lines[right->first_piece].line_id;
}

static void sort_by_insertion(basket_t *basket, uint32_t count)
{
    run_t *runs = basket->runs;
    for (uint32_t i = 1; i < count; i++) {
        run_t moved = runs[i];
        uint32_t to = i;
        for (; to > 0 && is_before(basket, &moved, &runs[to - 1]); to--) runs[to] = runs[to - 1];
        runs[to] = moved;
    }
}

static void sift_run(basket_t *basket, uint32_t root, uint32_t count)
{
    run_t *runs = basket->runs;
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= count) return;
        if (child + 1 < count && is_before(basket, &runs[child], &runs[child + 1])) child++;
        if (!is_before(basket, &runs[root], &runs[child])) return;
        run_t moved = runs[root];
        runs[root] = runs[child];
        runs[child] = moved;
        root = child;
    }
}

static void sort_by_heap(basket_t *basket, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--) sift_run(basket, i - 1, count);
    for (uint32_t end = count - 1; end > 0; end--) {
        run_t last = basket->runs[0];
        basket->runs[0] = basket->runs[end];
        basket->runs[end] = last;
        sift_run(basket, 0, end);
    }
}

static uint8_t slot_flag_of(uint8_t line_kind)
{
    if (line_kind == LINE_KIND_FEE) return SLOT_FLAG_FEE;
    return line_kind == LINE_KIND_CHARGE ? SLOT_FLAG_CHARGE : 0;
}

static void add_candidate(basket_t *basket, uint32_t line_index, uint32_t flags, int64_t unit_minor,
                          int64_t count)
{
    const line_t *line = &basket->lines[line_index];
    bool is_measured = line->count == 1;
    if (count == 0) return;
    INVARIANT(basket->run_count < BASKET_RUNS_MAX);
    basket->runs[basket->run_count++] = (run_t){
        .code = line->code,
        .product = line->product,
        .flags = flags,
        .unit_minor = unit_minor,
        .count = count,
        .measure_milli = is_measured ? line->measure_milli : 0,
        .measure_unit = is_measured ? line->measure_unit : 0,
        .price_source = line->price_source,
        .line_flag = slot_flag_of(line->kind),
        .first_piece = line_index,
        .fuel_line_id = line->fuel_level != 0 ? line->line_id : 0,
    };
}

static bool has_units(const line_t *line)
{
    if ((line->flags & LINE_FLAG_OPAQUE) != 0) return false;
    return line->kind == LINE_KIND_SALE || slot_flag_of(line->kind) != 0;
}

static void add_line(basket_t *basket, uint32_t line_index, const catalogue_t *catalogue,
                     exclusions_t exclusions)
{
    const line_t *line = &basket->lines[line_index];
    if (!has_units(line)) return;
    INVARIANT(line->count > 0);
    /* The check of an age opens what is kept out without it, and sets no units apart. */
    bool is_gated = (line->flags & LINE_FLAG_AGE_VERIFIED) == 0;
    uint32_t flags = line->flags & ~(uint32_t)LINE_FLAG_AGE_VERIFIED;
    if (line->product != NONE_32) {
        uint64_t product_flags = catalogue->products[line->product].flags;
        if (exclusions.set_of_product != NULL) {
            uint8_t excluded = exclusions.flags[exclusions.set_of_product[line->product]];
            product_flags |= excluded & EXCLUDED_FLAGS;
            if (is_gated) product_flags |= excluded >> EXCLUDED_GATED_SHIFT;
        }
        if ((product_flags & PRODUCT_FLAG_NO_DISCOUNT) != 0) flags |= LINE_FLAG_NO_DISCOUNT;
        if ((product_flags & PRODUCT_FLAG_NO_EARN) != 0) flags |= LINE_FLAG_NO_EARN;
        if ((product_flags & PRODUCT_FLAG_NO_BURN) != 0) flags |= LINE_FLAG_NO_REDEEM;
    }
    int64_t unit_minor = line->amount_minor / line->count;
    int64_t dearer_count = line->amount_minor % line->count;
    add_candidate(basket, line_index, flags, unit_minor + 1, dearer_count);
    add_candidate(basket, line_index, flags, unit_minor, line->count - dearer_count);
}

/* Makes runs and pieces of the sorted candidates. A run is never written before its candidates
 * were read, for there are at most as many runs as candidates. */
static void merge_candidates(basket_t *basket, uint32_t candidate_count)
{
    uint32_t run_count = 0;
    for (uint32_t i = 0; i < candidate_count; i++) {
        run_t candidate = basket->runs[i];
        uint32_t line_index = candidate.first_piece;
        bool is_new = i == 0 || compare_runs(&basket->runs[run_count - 1], &candidate) != 0;
        if (is_new) {
            run_t *run = &basket->runs[run_count++];
            *run = candidate;
            run->first_piece = i;
            run->piece_count = 1;
        } else {
            basket->runs[run_count - 1].count += candidate.count;
            basket->runs[run_count - 1].piece_count++;
        }
        basket->pieces[i] = (piece_t){line_index, run_count - 1, candidate.count};
    }
    basket->run_count = run_count;
    basket->piece_count = candidate_count;
}

void basket_canonicalise(basket_t *basket, const catalogue_t *catalogue, exclusions_t exclusions)
{
    basket->run_count = 0;
    for (uint32_t i = 0; i < basket->line_count; i++) {
        add_line(basket, i, catalogue, exclusions);
    }
    uint32_t count = basket->run_count;
    if (count > INSERTION_MAX) sort_by_heap(basket, count);
    else sort_by_insertion(basket, count);
    merge_candidates(basket, count);
}
