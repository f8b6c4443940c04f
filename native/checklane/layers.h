/* The best deal unit by unit: dynamic programming over runs, for parts with few states.
 *
 * Takers take units of runs; how far a taker has come is a small number, its state. Each taker by
 * itself is easy: `best` holds what it can still get from each state, if it pays the price of each
 * run for a unit. Their sum and the price of all units is a bound for any prices (Lagrange). Every
 * choice then has a loss, from 0 up, beside that bound; combinations whose losses add up to more
 * than the bound is above a known solution are dropped, and of those that leave all takers in the
 * same states only the best is kept. What is left at the end is the best deal. Whole numbers only:
 * the answer is a proof. */
#ifndef CHECKLANE_LAYERS_H
#define CHECKLANE_LAYERS_H

#include <stdint.h>
#include <string.h>

#include "limits.h"

/* Takers of one part. More of them have too many states anyway. */
#define LAYERS_TAKERS_MAX 12
#define LAYERS_PLACES_MAX 8
/* Chances of a taker to take units of a run: 12 takers on 42 runs. */
#define LAYERS_MAX 512
/* States of one taker, and of all takers at all of their layers: 32,768 * 8 B = 256 KiB. */
#define LAYERS_STATES_MAX 1024
#define LAYERS_BEST_MAX (32 * 1024)
/* Combinations kept in one layer, and in all: 32,768 * 32 B = 1 MiB, touched where it is used. */
#define LAYERS_WIDTH_MAX 4096
#define LAYERS_NODES_MAX (32 * 1024)
#define LAYERS_SLOTS (2 * LAYERS_WIDTH_MAX)
/* Units of a run: they share a key of 64 bits with the states. */
#define LAYERS_UNITS_BITS 8
#define LAYERS_UNITS_MAX 255
/* Worth of a unit or price of an application: 2^40 * 2^9 layers * 2^8 units is below 2^60. */
#define LAYERS_WORTH_MAX ((int64_t)1 << 40)
#define LAYERS_NEVER (INT64_MIN / 4)

#define LAYERS_SOLVED 1
#define LAYERS_NONE 2     /* nothing is worth that much */
#define LAYERS_FULL 3     /* steps or room ran out */

typedef struct taker {
    uint32_t place_count;
    uint32_t state_count;
    uint32_t first_bit;       /* of its state in a key */
    uint32_t last_layer;      /* its layers are a list from the last back */
    uint32_t is_endless;      /* one place: its count starts over at `count` */
    uint32_t reserved;
    uint64_t state_mask;      /* bits of its state, at the low end */
    int64_t price_parts;      /* for `count` units of its first place */
    int64_t tie;              /* for the same */
    int64_t count[LAYERS_PLACES_MAX];
    int64_t get[LAYERS_PLACES_MAX];      /* the last so many of `count` units are rewarded */
    uint32_t stride[LAYERS_PLACES_MAX];  /* state = sum of units in a place * stride */
    uint32_t size[LAYERS_PLACES_MAX];
} taker_t;

typedef struct layer {
    uint32_t taker;
    uint32_t place;
    uint32_t run;
    uint32_t column;          /* of the linear program */
    uint32_t before;          /* the layer of the same taker before this one; UINT32_MAX none */
    uint32_t best_here;       /* where the states of the taker stand before and after this layer */
    uint32_t best_after;
    uint32_t is_scarce;       /* others want the run's units too, more than there are */
    uint32_t is_first;        /* of its run */
    uint32_t is_last;
    uint32_t taken;           /* answer */
    uint32_t reserved;
    int64_t units;            /* of the run */
    int64_t most;             /* that the taker can use here */
    int64_t worth_bought;
    int64_t worth_rewarded;
    int64_t price;            /* of a unit, in parts */
    int64_t tie;              /* for each unit */
} layer_t;

typedef struct layer_node {
    uint64_t key;
    int64_t loss;
    int64_t tie;
    uint32_t parent;
    uint32_t taken;
} layer_node_t;

typedef struct layers {
    uint32_t taker_count;
    uint32_t layer_count;
    uint32_t best_count;
    uint32_t node_count;
    uint32_t first_node;      /* of the layer that is being filled */
    uint32_t key_bits;
    uint64_t stamp;           /* counts layers for good: slots of older ones are empty */
    uint64_t steps;
    int64_t worth_parts;      /* answer */
    uint32_t contender[LAYERS_TAKERS_MAX]; /* these three are the caller's */
    uint32_t cursor[LAYERS_TAKERS_MAX][LAYERS_PLACES_MAX];
    int64_t owned[CANDIDATES_MAX];
    taker_t takers[LAYERS_TAKERS_MAX];
    layer_t layers[LAYERS_MAX];
    int64_t best[LAYERS_BEST_MAX];
    int64_t worth[LAYERS_STATES_MAX]; /* of the units taken, by the units before them */
    int64_t at[LAYERS_STATES_MAX];
    uint64_t slots[LAYERS_SLOTS]; /* stamp * 65,536 + node */
    layer_node_t nodes[LAYERS_NODES_MAX];
} layers_t;

static inline void layers_begin(layers_t *all)
{
    all->taker_count = 0;
    all->layer_count = 0;
    all->best_count = 0;
    all->key_bits = LAYERS_UNITS_BITS;
}

/* What one taker gains at one layer, unit by unit: the first `paid` of `count` units have one gain,
 * the others another; the last one pays for the application too. */
typedef struct layers_gains {
    int64_t count;
    int64_t paid;
    int64_t bought;
    int64_t rewarded;
    int64_t price_parts;
    int64_t tie;              /* of a unit, and of the last of `count` */
    int64_t last_tie;
} layers_gains_t;

/* Gains above the price of the run. */
static inline layers_gains_t layers_gains(const taker_t *taker, const layer_t *layer)
{
    uint32_t p = layer->place;
    return (layers_gains_t){
        .count = taker->count[p],
        .paid = taker->count[p] - taker->get[p],
        .bought = layer->worth_bought - layer->price,
        .rewarded = layer->worth_rewarded - layer->price,
        .price_parts = p == 0 ? taker->price_parts : 0,
        .tie = layer->tie,
        .last_tie = p == 0 ? taker->tie : 0,
    };
}

/* The unit at place `at` of an application; moves on to the next. */
static inline int64_t layers_gain(const layers_gains_t *gains, int64_t *at, int64_t *tie)
{
    int64_t gain = *at < gains->paid ? gains->bought : gains->rewarded;
    *tie += gains->tie;
    *at += 1;
    if (*at < gains->count) return gain;
    *at = 0;
    *tie += gains->last_tie;
    return gain - gains->price_parts;
}

/* Whether a taker may end in a state: every place has the units of the same applications. */
static inline int layers_is_final(const taker_t *taker, uint32_t state)
{
    int64_t times = (int64_t)(state % taker->size[0]) / taker->count[0];
    for (uint32_t p = 0; p < taker->place_count; p++) {
        int64_t units = (int64_t)(state / taker->stride[p] % taker->size[p]);
        if (units != times * taker->count[p]) return 0;
    }
    return 1;
}

/* What a taker whose count starts over can get at most from each of its states before one layer. */
static inline void layers_best_of_endless(layers_t *all, const layer_t *layer)
{
    const taker_t *taker = &all->takers[layer->taker];
    layers_gains_t gains = layers_gains(taker, layer);
    const int64_t *after = &all->best[layer->best_after];
    for (uint32_t state = 0; state < taker->state_count; state++) {
        int64_t at = state;
        int64_t worth = 0;
        int64_t tie = 0;
        int64_t most = after[state];
        for (int64_t taken = 0; taken < layer->most; taken++) {
            worth += layers_gain(&gains, &at, &tie);
            if (worth + after[at] > most) most = worth + after[at];
        }
        all->best[layer->best_here + state] = most;
    }
    all->steps += (uint64_t)taker->state_count * (uint64_t)(layer->most + 1);
}

/* The states whose place has `digit` units more than those of the lower end: one more unit count is
 * tried for all of them at once. What can not end stays far below all that can. */
static inline void layers_better(int64_t *restrict best, const int64_t *restrict after,
                                 uint32_t count, int64_t worth)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t more = after[i] + worth;
        best[i] = best[i] > more ? best[i] : more;
    }
}

/* The same where each state has a worth of its own. */
static inline void layers_better_each(int64_t *restrict best, const int64_t *restrict after,
                                      uint32_t count, const int64_t *restrict worth)
{
    for (uint32_t i = 0; i < count; i++) {
        int64_t more = after[i] + worth[i];
        best[i] = best[i] > more ? best[i] : more;
    }
}

/* What a taker can get at most from each of its states before one layer. */
static inline void layers_best_of(layers_t *all, const layer_t *layer)
{
    const taker_t *taker = &all->takers[layer->taker];
    layers_gains_t gains = layers_gains(taker, layer);
    uint32_t stride = taker->stride[layer->place];
    uint32_t size = taker->size[layer->place];
    int64_t *best = &all->best[layer->best_here];
    const int64_t *after = &all->best[layer->best_after];
    for (uint32_t digit = 0; digit < size; digit++) {
        all->worth[digit] = 0;
        all->at[digit] = digit % (uint32_t)gains.count;
    }
    memcpy(best, after, taker->state_count * sizeof(int64_t));
    for (uint32_t taken = 1; taken <= layer->most && taken < size; taken++) {
        uint32_t digits = size - taken;
        int64_t tie = 0;
        for (uint32_t digit = 0; digit < digits; digit++)
            all->worth[digit] += layers_gain(&gains, &all->at[digit], &tie);
        for (uint32_t base = 0; base < taker->state_count; base += size * stride) {
            if (stride == 1)
                layers_better_each(best + base, after + base + taken, digits, all->worth);
            for (uint32_t digit = 0; stride > 1 && digit < digits; digit++)
                layers_better(best + base + digit * stride, after + base + (digit + taken) * stride,
                              stride, all->worth[digit]);
        }
        all->steps += digits * (uint64_t)(taker->state_count / size);
    }
    all->steps += taker->state_count;
}

/* Room for a taker's states at each of its layers. Returns whether there is some. */
static inline int layers_place(layers_t *all, taker_t *taker)
{
    if (all->best_count + taker->state_count > LAYERS_BEST_MAX) return 0;
    uint32_t after = all->best_count;
    for (uint32_t state = 0; state < taker->state_count; state++)
        all->best[after + state] = layers_is_final(taker, state) ? 0 : LAYERS_NEVER;
    all->best_count += taker->state_count;
    for (uint32_t i = taker->last_layer; i != UINT32_MAX; i = all->layers[i].before) {
        if (all->best_count + taker->state_count > LAYERS_BEST_MAX) return 0;
        all->layers[i].best_after = after;
        all->layers[i].best_here = all->best_count;
        after = all->best_count;
        all->best_count += taker->state_count;
    }
    return 1;
}

/* No combination is worth more, whatever the prices are. INT64_MAX where the steps run out. */
static inline int64_t layers_bound(layers_t *all, uint64_t step_limit)
{
    int64_t bound = 0;
    for (uint32_t t = 0; t < all->taker_count; t++) {
        const taker_t *taker = &all->takers[t];
        uint32_t first = UINT32_MAX;
        for (uint32_t i = taker->last_layer; i != UINT32_MAX; i = all->layers[i].before) {
            const layer_t *layer = &all->layers[i];
            if (all->steps + taker->state_count * (uint64_t)(layer->most + 1) > step_limit)
                return INT64_MAX;
            if (taker->is_endless)
                layers_best_of_endless(all, layer);
            else
                layers_best_of(all, layer);
            first = i;
        }
        if (first != UINT32_MAX) bound += all->best[all->layers[first].best_here];
    }
    for (uint32_t i = 0; i < all->layer_count; i++)
        if (all->layers[i].is_first) bound += all->layers[i].price * all->layers[i].units;
    return bound;
}

/* Keeps a combination, or the better one of two that leave the same. Returns whether it had room.
 * Which slot it has depends on its key and this layer's others alone. */
static inline int layers_keep(layers_t *all, const layer_node_t *node)
{
    uint64_t slot = (node->key * 0x9e3779b97f4a7c15ULL) >> 51;
    while (all->slots[slot] >> 16 == all->stamp) {
        layer_node_t *kept = &all->nodes[all->slots[slot] & 0xffff];
        if (kept->key == node->key) {
            if (node->loss < kept->loss || (node->loss == kept->loss && node->tie > kept->tie))
                *kept = *node;
            return 1;
        }
        slot = (slot + 1) % LAYERS_SLOTS;
    }
    if (all->node_count == LAYERS_NODES_MAX) return 0;
    if (all->node_count - all->first_node == LAYERS_WIDTH_MAX) return 0;
    all->slots[slot] = all->stamp << 16 | all->node_count;
    all->nodes[all->node_count] = *node;
    all->node_count += 1;
    return 1;
}

/* All that a combination can become by what one taker takes of one run. Returns whether there was
 * room. */
static inline int layers_extend(layers_t *all, const layer_t *layer, const layers_gains_t *gains,
                                uint32_t parent, int64_t loss_most)
{
    const taker_t *taker = &all->takers[layer->taker];
    const layer_node_t *from = &all->nodes[parent];
    const int64_t *after = &all->best[layer->best_after];
    uint32_t stride = taker->stride[layer->place];
    uint32_t size = taker->size[layer->place];
    int64_t units = layer->is_first ? layer->units : (int64_t)(from->key & LAYERS_UNITS_MAX);
    int64_t most = layer->is_scarce && units < layer->most ? units : layer->most;
    uint32_t state = (uint32_t)(from->key >> taker->first_bit & taker->state_mask);
    uint64_t rest = from->key & ~(uint64_t)LAYERS_UNITS_MAX;
    rest &= ~(taker->state_mask << taker->first_bit);
    uint32_t digit = taker->place_count == 1 ? state : state / stride % size;
    if (!taker->is_endless && most > size - 1 - digit) most = size - 1 - digit;
    int64_t at = digit % (uint32_t)gains->count;
    uint64_t has_state = layer != &all->layers[taker->last_layer];
    uint64_t has_units = layer->is_scarce && !layer->is_last;
    int64_t unused = layer->is_scarce && layer->is_last ? layer->price : 0;
    int64_t above = from->loss + all->best[layer->best_here + state] + unused * units;
    layer_node_t node = {.tie = from->tie, .parent = parent};
    for (int64_t taken = 0;; taken++) {
        /* What can not end has a loss above any. */
        node.loss = above - after[state];
        if (node.loss <= loss_most) {
            node.key = rest | (has_state * state) << taker->first_bit;
            node.key |= has_units * (uint64_t)(units - taken);
            node.taken = (uint32_t)taken;
            all->steps += 4;
            if (!layers_keep(all, &node)) {
                all->steps += (uint64_t)taken + 1;
                return 0;
            }
        }
        if (taken == most) break;
        above -= layers_gain(gains, &at, &node.tie) + unused;
        state += stride;
        digit += 1;
        if (digit == size) {
            state -= digit * stride;
            digit = 0;
        }
    }
    all->steps += (uint64_t)most + 1;
    return 1;
}

/* The best combination, if it is worth at least `worth_least`: layers[i].taken and worth_parts; of
 * equally good ones that of the greatest tie. `bound` is what layers_bound returned. */
static inline uint32_t layers_solve(layers_t *all, int64_t bound, int64_t worth_least,
                                    uint64_t step_limit)
{
    all->nodes[0] = (layer_node_t){.key = 0};
    all->node_count = 1;
    uint32_t first = 0;
    for (uint32_t i = 0; i < all->layer_count; i++) {
        uint32_t end = all->node_count;
        const layer_t *layer = &all->layers[i];
        layers_gains_t gains = layers_gains(&all->takers[layer->taker], layer);
        all->first_node = end;
        all->stamp += 1;
        for (uint32_t parent = first; parent < end; parent++) {
            if (all->steps > step_limit) return LAYERS_FULL;
            if (!layers_extend(all, layer, &gains, parent, bound - worth_least))
                return LAYERS_FULL;
        }
        first = end;
    }
    if (all->node_count == first) return LAYERS_NONE;
    all->worth_parts = bound - all->nodes[first].loss;
    uint32_t node = first;
    for (uint32_t i = all->layer_count; i-- > 0;) {
        all->layers[i].taken = all->nodes[node].taken;
        node = all->nodes[node].parent;
    }
    return LAYERS_SOLVED;
}

#endif
