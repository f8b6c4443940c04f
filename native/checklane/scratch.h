/* Working memory of one decision, one block a session: zeroed once when the session is made, then
 * never cleared. Whatever must be fresh carries the epoch of the decision that wrote it. */
#ifndef CHECKLANE_SCRATCH_H
#define CHECKLANE_SCRATCH_H

#include <stdint.h>

#include "basket.h"
#include "flow.h"
#include "layers.h"
#include "layout.h"
#include "limits.h"
#include "rounding.h"
#include "simplex.h"

/* Offers seen in one decision, eligible or not: 8,192 * 16 B = 128 KiB. At most half is filled
 * with refused offers; the one that finds no place is judged again at its next product. */
#define TOUCHED_SLOTS 8192
#define TOUCHED_REFUSED_MAX 4096
/* Hash slots of the product codes of a basket: twice the runs. */
#define CODE_SLOTS (2 * BASKET_RUNS_MAX)
/* Coupon and offer pairs: a coupon may open several offers. */
#define COUPON_PAIRS_MAX 128
/* So many slots of offers that something has to open are gone through, one run each: some 8 ns a
 * slot, as much as it costs to look up what a wallet of eight offers opens. */
#define GATED_UNITS_FEW 64
/* Runs and pieces while prices change: a step splits a piece in at most three. */
#define WORK_RUNS_MAX (4 * 1024)
#define WORK_PIECES_MAX (8 * 1024)
/* (place, run) pairs of one contest. 256 offers * 512 runs are 131,072; twice that is for lines
 * that make two runs, or for offers of two places. 262,144 * (16 B + two arcs of 4 B) = 6 MiB,
 * touched where it is used. What does not fit competes afterwards, for what is left. */
#define ENTRIES_MAX (256 * 1024)
#define PLACES_MAX (256 * 8)
/* Which offers took a unit, each with those before it: a step adds at most one for each offer that
 * takes of a unit that others took before. 8,192 * 8 B = 64 KiB. */
#define TAKINGS_MAX WORK_PIECES_MAX
/* Ceilings of several entries together in one contest. */
#define GROUPS_MAX 2048

#define CANDIDATE_HELD_OUT 1
#define CANDIDATE_APPLIED 2
#define CANDIDATE_COMPETED 4
#define CANDIDATE_GRANTED 8 /* held by what a progress granted only */
#define CANDIDATE_WHOLE 16  /* a money cap would have cut what it gives only whole */
#define CANDIDATE_BARRED 32 /* another offer of its exclusive name takes part */
#define CANDIDATE_AFTER_FUELLING 64 /* a fill that it is for was not authorised with it */

typedef struct touched {
    uint32_t epoch;
    uint32_t offer;
    uint32_t candidate;       /* NONE_32: refused */
    uint32_t reserved;
} touched_t;

/* An eligible offer. "Left" is what its limits leave; INT64_MAX / 4 without one. */
typedef struct candidate {
    const offer_t *offer;
    uint32_t number;
    uint32_t flags;           /* CANDIDATE_ */
    uint32_t outcome;
    uint32_t coupon_count;    /* presented coupons that open it */
    int64_t uses_left;
    int64_t units_left;
    int64_t money_left;
    int64_t spend_left;
    int64_t third_party_bp;   /* for the rank */
    int64_t reward_value;     /* the offer's, or that of the step that was reached */
    int64_t goal;             /* threshold or first step */
    int64_t alone_parts;      /* worth by itself, of an exclusive offer */
    const offer_more_t *more; /* NULL none */
    const uint32_t *after;    /* the offers that it stacks after */
} candidate_t;

#define TAKEN_NOT 0
#define TAKEN 1           /* by whom does not matter: no offer of the layer stacks after others */

/* From 2 on, what `taken` of a piece names: an offer, and who took the unit before it. */
typedef struct taking {
    uint32_t before;          /* TAKEN_NOT, or another of these */
    uint32_t offer;
} taking_t;

typedef struct coupon_pair {
    uint32_t offer;
    uint32_t coupon;          /* index into the basket's coupons */
} coupon_pair_t;

/* Units of one line and one run of the basket at one price of now. */
typedef struct work_piece {
    int64_t price_minor;      /* what is left of a unit's price */
    int64_t count;
    uint32_t line;
    uint32_t line_id;
    uint32_t origin;          /* run of the basket */
    uint32_t taken;           /* TAKEN_, or into takings: competing offers of this layer */
    uint32_t marks;           /* MARK_: kinds of coupons that it served (K2) */
    uint32_t reserved;
} work_piece_t;

#define PIECE_ASIDE TAKEN /* a piece that is set apart for one step, where nothing competes */

typedef struct work_run {
    int64_t price_minor;
    int64_t initial_minor;
    int64_t count;
    int64_t measure_milli;    /* of one unit */
    int64_t legal_min_minor;  /* of its product; 0 none */
    int64_t cost_milli;       /* -1 not known */
    uint32_t origin;
    uint32_t taken;
    uint32_t first_piece;
    uint32_t piece_count;
    uint32_t marks;           /* MARK_ */
    uint32_t reserved;
} work_run_t;

#define MARK_MANUFACTURER 1
#define MARK_STORE 2
#define MARK_MATCHED 4 /* while what a scanned coupon took off is matched (C6) */

#define CONTEND_UNITS 1        /* single units, at most `cap` */
#define CONTEND_APPLICATIONS 2 /* `count` units of each place an application */
#define CONTEND_CHEAPEST 3     /* blocks of `count` units, the cheapest `get` are rewarded */

#define TANGLED_PLACES 1       /* its own places want the same units */
#define TANGLED_BASE 2         /* what it buys has another use */
#define TANGLED_TIES 4         /* an application is worth no more than another use of its units */
#define TANGLED_LOOSE 8        /* no steps were left to judge it: only a bound is known */

/* Steps to judge a contender, for each of its entries: shell sort of 512 and the walk. */
#define JUDGE_STEPS 8

#define GROUPS_FIXED 0        /* at most `group_caps` units of a group */
#define GROUPS_A_TIME 1       /* at most so many an application */

/* A run in a place of a contender, and what one unit is worth there, in parts. */
typedef struct fitting {
    int64_t worth;
    uint32_t run;
    uint32_t group;           /* into group_caps; NONE_32 none */
} fitting_t;

typedef struct place {
    uint32_t first_entry;
    uint32_t entry_count;     /* entries in canonical order of their runs */
    uint32_t is_rewarded;
    uint32_t reserved;
    int64_t count;            /* units an application; 0 for CONTEND_UNITS */
} place_t;

/* An offer in a contest. Contenders stand in rank order. */
typedef struct contender {
    uint32_t candidate;
    uint32_t kind;            /* CONTEND_ */
    uint32_t first_place;
    uint32_t place_count;
    int64_t cap;              /* applications; CONTEND_UNITS: units */
    int64_t get;              /* CONTEND_CHEAPEST: rewarded units a block */
    int64_t price_parts;      /* paid for an application: taken off its worth */
    int64_t times;            /* answer: applications; CONTEND_UNITS: units */
    int64_t alone_parts;      /* most that it is worth with all units to itself */
    uint32_t component;
    uint32_t is_tangled;      /* TANGLED_: it has no closed form */
    uint32_t is_qualified;    /* answer: there are units for an application */
    uint32_t group_rule;      /* GROUPS_: what the groups of its entries mean */
    uint32_t serves;          /* SERVES_: its units that leave the step at the price they had */
    uint32_t mark;            /* MARK_ that it leaves on its units */
    uint32_t applied;         /* answer: where it is told; NONE_32: nowhere */
    uint32_t reserved;
} contender_t;

#define SERVES_NOTHING 0
#define SERVES_BOUGHT 1 /* units without a reward */
#define SERVES_ALL 2    /* the rewarded ones too: the reward was rounded to nothing */

/* Answer of a contest: units of a run in a place. */
typedef struct allocation {
    uint32_t contender;
    uint32_t place;           /* index within the contender */
    uint32_t run;
    uint32_t is_rewarded;
    int64_t units;
} allocation_t;

/* One contest: the input and the answer of resolve. Runs are scratch->runs. */
typedef struct contest {
    uint32_t contender_count;
    uint32_t place_count;
    uint32_t entry_count;
    uint32_t group_count;
    uint32_t allocation_count;
    uint32_t component_count; /* answer: components of two or more contenders */
    uint32_t is_full;         /* allocations found no room: the answer is void */
    uint32_t sees_taken;      /* a stackable offer sees units that others took */
    int64_t worth_parts;
    int64_t bound_parts;      /* no combination is worth more */
    contender_t contenders[CANDIDATES_MAX];
    place_t places[PLACES_MAX];
    fitting_t entries[ENTRIES_MAX];
    int64_t group_caps[GROUPS_MAX];
    allocation_t allocations[SHARES_MAX];
} contest_t;

/* What a column of the linear program stands for. */
#define COLUMN_UNITS 1
#define COLUMN_TIMES 2
#define COLUMN_BLOCKS 3   /* blocks of a cheapest-free offer whose first free unit is here */
#define COLUMN_BOUGHT 4
#define COLUMN_FREE 5     /* free units, where a block has several of them */

typedef struct column {
    uint32_t kind;            /* COLUMN_ */
    uint32_t contender;
    uint32_t place;
    uint32_t run;
    uint32_t entry;
    uint32_t next_of_run;     /* column of the same run; NONE_32 ends */
} column_t;

typedef struct frame {
    uint32_t column;
    uint32_t is_second;
    int64_t lower;
    int64_t upper;
    int64_t other_lower;
    int64_t other_upper;
    int64_t bound_parts;      /* of the node that was split */
    uint32_t trail_count;
    uint32_t reserved;
    lp_kept_t tableau;        /* at its optimum, for the second branch */
} frame_t;

#define VERTEX_COUNTS 1   /* only counts; the units are kept as the contenders took them in turn */
#define VERTEX_UNITS 2

#define FRAMES_MAX 512
/* Bounds narrowed by proof below the open nodes, to be widened again. */
#define TRAIL_MAX (8 * 1024)
/* Closed nodes that may hold other solutions as good as the best. */
#define BOXES_MAX 4
/* What is asked of a contender that came out worth nothing (D1). */
#define ASKED_NOTHING 0
#define ASKED_WORTH 1     /* to be worth something */
#define ASKED_OUT 2       /* not to apply */
/* At most so many at a time: each doubles what is tried, 2^6 settlements inside the budget. */
#define ASKED_MAX 6
/* How much a unit that is asked for comes before others as good. Their order takes 42 bits along
 * a path (20 of rewarded ones, 10 of runs, 12 of arcs), what is asked for the rest of 62. */
#define FAVOUR_WEIGHT ((int64_t)1 << 42)
#define FAVOUR_MOST ((int64_t)1 << 14)
/* How often a search goes back to its root with a better incumbent. */
#define RESTARTS_MAX 4
/* Rounds of rows against parts of applications, at the root, and by how many units such a row must
 * be broken. Below the root they cost more pivots than they spare nodes. */
#define CUT_ROUNDS 4
#define CUT_LEAST 0.02
/* Steps of one attempt to end a search unit by unit. */
#define LAYERS_STEPS_MAX 100000
/* It looks at what is worth up to this part less than the bound, then at so many times that. */
#define LAYERS_LOSS_FIRST 128
#define LAYERS_LOSS_GROWTH 2

typedef struct trail_entry {
    uint32_t column;
    uint32_t reserved;
    int64_t lower;
    int64_t upper;
} trail_entry_t;

/* State of one search over one component. */
typedef struct search {
    uint32_t component;
    uint32_t frame_count;
    uint32_t node_count;
    uint32_t is_probe;        /* looks for any solution as good that counts otherwise */
    uint32_t is_found;
    uint32_t is_proven;
    int64_t incumbent_parts;  /* only what is worth more is looked for */
    int64_t node_bound;       /* proven for the node at hand */
    int64_t open_bound;       /* the most that branches which were not searched may hold */
    int64_t grain;            /* every worth in the component is a multiple of it */
    uint32_t split_column;
    uint32_t trail_count;
    uint32_t box_count;       /* BOXES_MAX + 1: more than there is room for */
    uint32_t kept_count;
    uint32_t restart_count;
    uint32_t is_vertex;       /* VERTEX_: the incumbent is best_vertex, not laid out yet */
    uint32_t is_settled;      /* ties are settled already */
    uint32_t asked_count;     /* how many are asked for anything */
    int64_t root_bound;
    int64_t root_incumbent;   /* when the root was last left */
    int64_t split_lower[2];   /* bounds of the two branches, the first to be tried first */
    int64_t split_upper[2];
    uint32_t total_row[CANDIDATES_MAX];    /* row that counts a contender; NONE_32 none */
    uint32_t times_column[CANDIDATES_MAX]; /* NONE_32 none */
    uint32_t first_column[CANDIDATES_MAX];
    int64_t turn_parts[CANDIDATES_MAX];    /* no less than a contender can have in turn */
    uint32_t turn[CANDIDATES_MAX];         /* when that was found out */
    int64_t best_times[CANDIDATES_MAX];
    uint32_t part[CANDIDATES_MAX];         /* contenders that are searched together */
    uint32_t is_owner[CANDIDATES_MAX];     /* takes whatever is left of its runs */
    int64_t owner_cap[CANDIDATES_MAX];
    uint32_t owner_row[CANDIDATES_MAX];    /* row that counts what others take; NONE_32 none */
    uint32_t owner_node[CANDIDATES_MAX];
    uint32_t owner_arc[CANDIDATES_MAX];
    int64_t owner_most[CANDIDATES_MAX];    /* most that others may take */
    uint32_t asked[CANDIDATES_MAX];        /* ASKED_ */
    uint32_t asked_in_turn[ASKED_MAX];     /* who is asked, in the order they were found */
    uint32_t worth_row[CANDIDATES_MAX];    /* row that counts what it is worth; NONE_32 none */
    int64_t worth_range[CANDIDATES_MAX];   /* of the slack of that row, when nothing is asked */
    int64_t settled_times[CANDIDATES_MAX]; /* counts of the best in which none is worth nothing */
    uint32_t settled_asked[CANDIDATES_MAX];
    int64_t box_lower[BOXES_MAX + 1][LP_COLUMNS_MAX]; /* the last one is the root */
    int64_t box_upper[BOXES_MAX + 1][LP_COLUMNS_MAX];
    trail_entry_t trail[TRAIL_MAX];
    allocation_t kept[SHARES_MAX];         /* units of the best solution */
    column_t columns[LP_COLUMNS_MAX];
    int64_t trial[LP_COLUMNS_MAX];         /* whole numbers of a leaf */
    int64_t most_units[LP_COLUMNS_MAX];    /* of a column, whatever was narrowed */
    double left[LP_COLUMNS_MAX];           /* units of a place's entries that nobody uses */
    int64_t vertex[LP_COLUMNS_MAX];        /* units too, as the tableau has them */
    int64_t best_vertex[LP_COLUMNS_MAX];
    frame_t frames[FRAMES_MAX];
} search_t;

typedef struct scratch {
    const struct catalogue *catalogue;
    uint32_t exclusive_out[CANDIDATES_MAX]; /* names of which an offer has applied */
    uint32_t exclusive_count;
    uint32_t reserved_3;
    uint32_t epoch;
    uint32_t refused_count;
    uint32_t candidate_count;
    uint32_t held_out_count;
    uint32_t coupon_pair_count;
    uint32_t run_words;
    uint32_t run_count;
    uint32_t piece_count;
    uint32_t has_held_out;    /* this pass decides as if nobody were held out */
    uint32_t earns_only;      /* this pass is of a claim: only offers that earn are judged */
    uint32_t is_counters_full; /* no room to read another counter, or to move one */
    uint32_t has_code_groups; /* code_group is made for this basket */
    uint32_t explained_count;
    uint32_t is_hasty;        /* the budget is spent: units are taken in canonical order */
    uint64_t steps;
    uint64_t step_budget;
    int64_t gap_parts;
    int64_t gap_minor;
    touched_t touched[TOUCHED_SLOTS];
    candidate_t candidates[CANDIDATES_MAX];
    explained_t refused[CANDIDATES_MAX];
    coupon_pair_t coupon_pairs[COUPON_PAIRS_MAX];
    uint64_t bits[CANDIDATES_MAX * OFFER_SLOTS_MAX][RUN_WORDS_MAX];
    uint64_t progress_bits[PROGRESS_MAX][RUN_WORDS_MAX]; /* runs that count for each */
    uint32_t order[CANDIDATES_MAX];
    work_piece_t pieces[WORK_PIECES_MAX];
    work_piece_t next_pieces[WORK_PIECES_MAX];
    work_run_t runs[WORK_RUNS_MAX];
    int64_t run_left[WORK_RUNS_MAX];
    int64_t run_base[WORK_RUNS_MAX];       /* worth of a unit that no other offer takes */
    uint32_t base_owner[WORK_RUNS_MAX];    /* contender that pays it; NONE_32 nobody */
    int64_t run_demand[WORK_RUNS_MAX];
    uint32_t run_owner[WORK_RUNS_MAX];
    uint32_t sorted[WORK_RUNS_MAX];
    uint32_t place_order[OFFER_SLOTS_MAX][WORK_RUNS_MAX];
    int64_t group_left[GROUPS_MAX];
    uint32_t run_node[WORK_RUNS_MAX];
    uint32_t entry_arc[ENTRIES_MAX];
    uint32_t bought_arc[ENTRIES_MAX];
    uint32_t run_column[WORK_RUNS_MAX];
    uint32_t run_row[WORK_RUNS_MAX];       /* row of the linear program; NONE_32 none */
    uint32_t group_node[GROUPS_MAX];
    int64_t weights[WORK_RUNS_MAX];
    int64_t ceilings[WORK_RUNS_MAX];
    int64_t share_minor[WORK_RUNS_MAX];
    int128_t rests[WORK_RUNS_MAX];
    int64_t piece_used[WORK_PIECES_MAX];
    int64_t rewarded_units[WORK_RUNS_MAX]; /* all zero between offers */
    uint32_t rewarded_runs[WORK_RUNS_MAX];
    uint32_t code_group[BASKET_RUNS_MAX];  /* first run of the basket with the same product code */
    uint32_t code_slots[CODE_SLOTS];
    uint32_t group_mark[BASKET_RUNS_MAX];  /* equal to mark_epoch: this group was seen */
    int64_t group_units[BASKET_RUNS_MAX];  /* what was counted of it then */
    uint32_t group_number[BASKET_RUNS_MAX];
    uint32_t mark_epoch;
    uint32_t reserved_2;
    int64_t line_units[BASKET_LINES_MAX];
    int64_t line_ceilings[BASKET_LINES_MAX];
    int64_t line_minor[BASKET_LINES_MAX];
    uint32_t line_piece[BASKET_LINES_MAX];
    uint32_t next_count;
    uint32_t is_changed;      /* the step at hand changed prices or took units */
    uint32_t is_full;         /* pieces or shares found no room */
    uint32_t is_apart;        /* units of one run are apart that were taken or not */
    uint32_t keeps_takers;    /* some offer of the layer stacks after others */
    uint32_t taking_count;
    taking_t takings[TAKINGS_MAX];
    int64_t discount_room;    /* what the discounts of the basket may still come to */
    uint32_t asked_offer[SELECTIONS_MAX];  /* that a request to pay with points names */
    uint32_t asked_outcome[SELECTIONS_MAX]; /* why it is no candidate */
    int64_t due_minor;                     /* when the tender layer began */
    int64_t tender_minor[TENDERS_MAX];     /* what each tender pays of it */
    int64_t scan_units[GS1_PURCHASES_MAX][WORK_RUNS_MAX]; /* set aside for each purchase */
    int64_t fuel_given[BASKET_RUNS_MAX];   /* taken off each unit of measure by offers before */
    int64_t fuel_step[WORK_RUNS_MAX];      /* what the offer at hand takes off it */
    int64_t fuel_parts[WORK_RUNS_MAX];     /* its worth on the run */
    int64_t fuel_minor[WORK_RUNS_MAX];     /* the most that the run can give */
    int64_t fuel_milli;                    /* measure of all runs that it takes something off */
    int64_t given_minor;                   /* by the offer that gave last, this time */
    uint32_t ignores_marks;   /* a coupon off the basket looks at units that served coupons too */
    uint32_t qualifying_count; /* shares told of units that only qualified */
    uint32_t used_coupons;    /* bit of each coupon that was used before or is held (K1) */
    uint32_t held_coupons;    /* bit of those that are held */
    uint32_t bad_coupons;     /* bit of each that no sale issued, or that has expired (K3) */
    uint32_t match_mark;      /* MARK_MATCHED while a coupon gives that will be matched */
    contest_t contest;
    search_t search;
    flow_t flow;
    lp_t lp;
    layers_t layers;
} scratch_t;

#endif
