/* What a decision reads and what it answers: plain memory of one session, nothing on disk. */
#ifndef CHECKLANE_BASKET_H
#define CHECKLANE_BASKET_H

#include <stdint.h>

#include "gs1.h"
#include "layout.h"
#include "limits.h"
#include "siphash.h"

/* Bytes of the request that is being answered; valid as long as the request is. */
typedef struct bytes {
    const uint8_t *at;
    uint32_t size;
} bytes_t;

/* Line kinds, price sources, identifier roles: numbers of the wire enums. */
#define LINE_KIND_SALE 1
#define LINE_KIND_RETURN 2
#define LINE_KIND_DEPOSIT 3
#define LINE_KIND_FEE 4
#define LINE_KIND_GIFT_CARD_LOAD 5
#define LINE_KIND_CHARGE 6

#define CHANNEL_FUEL 4 /* of the wire enum Channel */
#define FUEL_LEVEL_CASH 1
#define FUEL_LEVEL_CREDIT 2
#define FUEL_PRICE_MAX 100000000000000 /* thousandths of a minor unit, as on the wire */

/* Of the wire enum MeasureUnit: what scanned coupons weigh by, and what fuel is sold by. */
#define MEASURE_UNIT_KILOGRAM 1
#define MEASURE_UNIT_POUND 2
#define MEASURE_UNIT_LITRE 3
#define MEASURE_UNIT_GALLON 4
#define MEASURE_UNIT_KILOWATT_HOUR 9

#define LINE_FLAG_NO_DISCOUNT 1
#define LINE_FLAG_NO_EARN 2
#define LINE_FLAG_AGE_VERIFIED 4
#define LINE_FLAG_OPAQUE 8
#define LINE_FLAG_NO_REDEEM 32
/* Set by the engine: already reduced (price source MARKDOWN or OVERRIDE, or POS discounts). */
#define LINE_FLAG_REDUCED 16

typedef struct line {
    uint32_t line_id;
    uint32_t parent;          /* index of the parent line; NONE_32 none */
    uint64_t code;            /* layout.h CODE_KIND_; 0 none */
    uint32_t product;         /* number in the catalogue; NONE_32 unknown */
    uint8_t kind;
    uint8_t price_source;
    uint8_t measure_unit;
    uint8_t reserved_8;
    uint32_t flags;
    uint32_t return_line_id;  /* RETURN: line of the original receipt; 0 none */
    int64_t count;
    int64_t amount_minor;     /* charged for the whole line, before our discounts */
    int64_t list_minor;       /* at the list price; -1 not sent */
    int64_t measure_milli;
    int64_t pos_discount_minor; /* given by the POS already; amount_minor is after it */
    bytes_t department;
    uint64_t fuel_grade;      /* name key of "grade", name */
    int64_t fuel_price_thousandths; /* of a minor unit, for a unit of measure */
    uint32_t fuel_level;      /* wire enum FuelPriceLevel; 0: no fuel */
    uint32_t reserved_32;
} line_t;

/* Units of a basket that no rule can tell apart, from one line or many. A line whose amount does
 * not divide by its count makes two runs: `amount % count` units of one minor unit more. So every
 * unit price is a whole number of minor units. */
typedef struct run {
    uint64_t code;
    uint32_t product;
    uint32_t flags;           /* LINE_FLAG_ of its lines and the product's exclusions */
    int64_t unit_minor;
    int64_t count;
    int64_t measure_milli;    /* of one unit, where the line had count 1; 0 otherwise */
    uint8_t price_source;
    uint8_t measure_unit;
    uint8_t line_flag;        /* SLOT_FLAG_ that a slot has for its lines; 0: sale */
    uint8_t reserved_8;
    uint32_t first_piece;
    uint32_t piece_count;
    uint32_t fuel_line_id;    /* of the one line that it is of; 0: no fuel */
} run_t;

/* `count` units of a run come from this line. Sorted by line id within a run. */
typedef struct piece {
    uint32_t line;            /* index into lines */
    uint32_t run;
    int64_t count;
} piece_t;

typedef struct identifier {
    uint8_t role;             /* 1 member, 2 staff, 3 business */
    uint8_t kind;             /* wire enum IdentifierKind */
    uint16_t reserved_16;
    bytes_t value;
} identifier_t;

/* A means of payment. */
typedef struct tender {
    uint32_t kind;            /* wire enum TenderKind; bit of tender_kinds */
    uint32_t has_lines;
    int64_t amount_minor;     /* -1: the rest that is due */
    uint64_t scheme_key;      /* name key of "scheme", name; 0 not told */
    bytes_t card_bin;
    uint64_t lines[LINE_WORDS_MAX]; /* bit of each line that it may pay, with has_lines */
} tender_t;

/* Points that the customer wants to spend; -1 where the request says nothing. */
typedef struct redemption_request {
    uint64_t offer_key;       /* 0: the purse's first */
    uint64_t purse_key;
    int64_t points;
    int64_t amount_minor;
    int64_t count;
    uint32_t line_id;         /* 0: any line */
    uint32_t reserved;
} redemption_request_t;

typedef struct basket {
    const uint8_t *request;
    uint32_t request_size;
    uint32_t line_count;
    uint32_t run_count;
    uint32_t piece_count;
    uint32_t identifier_count;
    uint32_t coupon_count;
    uint32_t selection_count;
    uint32_t tender_count;
    uint32_t redemption_count;
    uint32_t sent_redemption_count; /* those behind them are of authorised fills */
    uint32_t fill_count;      /* lines that name a fuel authorisation */
    bytes_t store_id, till_id, basket_id, locale, channel_text;
    uint64_t store_key;       /* name key of "store:" + store_id */
    uint32_t channel;         /* wire enum Channel; bit of channel_mask */
    int32_t business_date;    /* yyyymmdd; 0: from the opening time */
    int64_t opened_unix_ms;
    int32_t utc_offset_minutes;
    uint8_t has_utc_offset;
    uint8_t explain;
    uint8_t near_miss_limit;
    uint8_t training;
    line_t lines[BASKET_LINES_MAX];
    run_t runs[BASKET_RUNS_MAX];       /* dearest first, then code, product, source, flags */
    piece_t pieces[BASKET_RUNS_MAX];
    identifier_t identifiers[IDENTIFIERS_MAX];
    uint64_t coupon_keys[COUPONS_MAX]; /* name key of "coupon:" + code */
    uint64_t twin_keys[COUPONS_MAX];   /* of a paper coupon: key of its digital twin; else 0 */
    bytes_t coupons[COUPONS_MAX];
    gs1_coupon_t scanned[COUPONS_MAX]; /* ai GS1_NONE: not scanned */
    hash128_t coupon_ids[COUPONS_MAX]; /* of code and serial: what is used once */
    uint64_t selections[SELECTIONS_MAX]; /* offer keys */
    tender_t tenders[TENDERS_MAX];
    redemption_request_t redemptions[SELECTIONS_MAX];
} basket_t;

/* All that a decision may read besides the basket, the program and the catalogue. The pointers
 * stay valid for the call. Cells are sorted as layout.h says. */
typedef struct facts {
    int64_t decided_unix_ms;
    int64_t local_minute;     /* opening time, store-local, minutes since 1970-01-01T00:00 */
    int32_t business_day;     /* days since 1970-01-01 of the business date */
    uint32_t degraded_level;  /* 0 full */
    const store_t *store;
    uint64_t member;          /* 0: nobody identified */
    uint64_t account_group;
    member_record_t record;   /* zeros for an overlay member; tier, segments, flags with overlay */
    const cell_t *group_cells;
    const cell_t *member_cells;
    uint32_t group_cell_count;
    uint32_t member_cell_count;
    const uint64_t *wallet;   /* offer keys, snapshot and overlay merged, ascending */
    uint32_t wallet_count;
    uint32_t stopped_count;
    const uint64_t *stopped;  /* offers stopped by hand, ascending */
    const uint64_t *hold_out_key; /* two words: keyed hash of the control group */
    uint64_t group_lsn;       /* applied_lsn of the records read; 0 none: what the writer checks */
    uint64_t member_lsn;
    /* What a counter of a card, a store or everybody had given: read when an offer is judged, for
     * which those are cannot be told before. Answers alike for one decision; -1: more than
     * SHARED_COUNTERS_MAX were asked for. NULL: 0 was given of everything. */
    int64_t (*read_shared)(void *context, const shared_counter_t *counter);
    void *shared_context;
    const fuel_right_t *rights; /* what was promised to the fills of the basket */
    uint32_t right_count;
    uint32_t is_authorising;  /* the fill is yet to begin: any offer may be promised */
    /* Of a claim: the facts that the sale was decided by, which still decide all but what is
     * earned. NULL: these do. */
    const struct facts *sold_by;
} facts_t;

/* No limit can be used more than this by one basket, whatever it counts. So what a shared counter
 * leaves is told up to here only, and a decision stands while the counter moves far from its
 * limit: that keeps a budget that everybody draws on from being decided again for every sale. */
static inline int64_t basket_reach(const basket_t *basket)
{
    int64_t reach = 0;
    for (uint32_t i = 0; i < basket->line_count; i++) {
        const line_t *line = &basket->lines[i];
        reach += line->count + line->measure_milli;
        reach += line->amount_minor < 0 ? -line->amount_minor : line->amount_minor;
    }
    return reach;
}

/* Why an offer was or was not applied. Numbers of the wire enum OfferOutcome (decision.proto),
 * which stand in order of precedence: the first that holds is told. */
#define OUTCOME_APPLIED 1
#define OUTCOME_UNKNOWN 2
#define OUTCOME_DEGRADED 3
#define OUTCOME_STOPPED 4
#define OUTCOME_NOT_YET 5
#define OUTCOME_ENDED 6
#define OUTCOME_NOT_THIS_HOUR 7
#define OUTCOME_NOT_THIS_STORE 8
#define OUTCOME_NOT_THIS_CHANNEL 9
#define OUTCOME_NOT_A_MEMBER 10
#define OUTCOME_MEMBERS_EXCLUDED 11
#define OUTCOME_TIER 12
#define OUTCOME_SEGMENT 13
#define OUTCOME_ATTRIBUTE 14
#define OUTCOME_NOT_IN_WALLET 15
#define OUTCOME_HELD_OUT 17
#define OUTCOME_COUPON_MISSING 18
#define OUTCOME_COUPON_INVALID 19
#define OUTCOME_COUPON_USED 20
#define OUTCOME_NOT_CHOSEN 21
#define OUTCOME_LIMIT_REACHED 22
#define OUTCOME_BUDGET_SPENT 23
#define OUTCOME_TENDER_MISSING 24
#define OUTCOME_NOT_QUALIFIED 27
#define OUTCOME_THRESHOLD 28
#define OUTCOME_PROGRESS 29
#define OUTCOME_POINTS_SHORT 30
#define OUTCOME_NOTHING_DUE 31
#define OUTCOME_AFTER_FUELLING 32
#define OUTCOME_NO_SAVING 35
#define OUTCOME_OTHER_BETTER 36
#define OUTCOME_COUPON_HELD 37 /* told where OUTCOME_COUPON_USED would be */
#define OUTCOME_NO_REFERRER 38
#define OUTCOME_REFERRER_EXCLUDED 39

typedef struct applied {
    uint32_t offer;           /* number in the program */
    uint32_t reserved;
    int64_t times;            /* applications */
    int64_t units;            /* rewarded units */
    int64_t discount_minor;   /* after rounding; equals the sum of its line shares */
} applied_t;

/* What became of a request to pay with points. */
typedef struct redemption {
    uint32_t offer;           /* NONE_32: none */
    uint32_t request;         /* index into the basket's redemptions */
    uint32_t outcome;         /* 0: taken; else why not */
    uint8_t purse;            /* 0: that of the request */
    uint8_t reserved_8;
    uint16_t reserved_16;
    int64_t points;
    int64_t amount_minor;
} redemption_t;

/* Part of an offer's discount on one line. Sorted by (applied, line). */
typedef struct line_share {
    uint32_t applied;         /* index into applied */
    uint32_t line;            /* index into lines */
    int64_t units;            /* units of the line that the offer rewarded */
    int64_t qualifying_units; /* those that it only asked for */
    int64_t discount_minor;
} line_share_t;

#define AWARD_BASE 1
#define AWARD_BONUS 2
#define AWARD_MULTIPLIER 3
#define AWARD_GOAL 5 /* as on the wire; `offer` is then the number of a progress */

typedef struct award {
    uint32_t offer;
    uint8_t purse;
    uint8_t reason;           /* AWARD_ */
    uint16_t reserved_16;
    int32_t activation_day;   /* days since 1970-01-01 */
    int32_t expiry_day;       /* DAY_NEVER */
    int64_t points;
} award_t;

typedef struct near_miss {
    uint32_t offer;
    uint32_t slot;
    int64_t missing_units;    /* 0 when money is missing */
    int64_t missing_minor;
    int64_t gain_minor;
} near_miss_t;

typedef struct explained {
    uint32_t offer;
    uint32_t outcome;         /* OUTCOME_ */
} explained_t;

/* How far an applied offer moved a counter: becomes a CELL_COUNTER movement at commit. Of a grant
 * (COUNT_SCOPE_GRANT) the number is COUNTED_NO_LIMIT, and it becomes a CELL_GRANT movement. Of a
 * coupon (COUNT_SCOPE_COUPON) it is the coupon's place, and the record is the coupon's own. */
#define COUNTED_NO_LIMIT 255
typedef struct counted {
    uint32_t offer;
    uint8_t scope;
    uint8_t number;
    uint16_t reserved_16;
    int32_t window;           /* first day of the window, days since 1970-01-01; 0 campaign */
    int64_t given;
} counted_t;

/* How far a progress of the program comes by this basket. */
typedef struct progressed {
    uint32_t progress;        /* number in the program */
    uint32_t reserved;
    int64_t before;
    int64_t gained;
    int64_t times;            /* how often the goal is reached by that */
} progressed_t;

/* What an offer takes off the unit of measure of a fill that is being authorised. */
typedef struct fuel_step {
    uint32_t offer;
    uint32_t reserved;
    int64_t step;             /* thousandths of a minor unit */
    int64_t floor;            /* price below which it does not go */
} fuel_step_t;

#define OPTIMALITY_EXACT 1
#define OPTIMALITY_BOUNDED 2

typedef struct decision {
    uint32_t applied_count;
    uint32_t share_count;
    uint32_t award_count;
    uint32_t near_miss_count;
    uint32_t explained_count;
    uint32_t counted_count;
    uint32_t redemption_count;
    uint32_t referral_count;  /* applied offers of MECHANIC_REFERRAL */
    uint32_t optimality;
    uint32_t progressed_count;
    uint32_t issued_count;    /* coupons of all applied offers of MECHANIC_ISSUE: their times */
    uint32_t component_count; /* groups of offers that competed for units */
    uint32_t fuel_count;      /* more than FUEL_OFFERS_MAX: there was no room for all */
    uint32_t reserved;
    int64_t gap_minor;        /* BOUNDED: most money that could have been missed */
    int64_t forgone_minor;    /* what hold-out offers would have saved */
    uint64_t steps;
    int64_t gross_minor;      /* all lines that are not RETURN, before our discounts */
    int64_t discount_minor;
    int64_t net_minor;
    int64_t line_discount_minor[BASKET_LINES_MAX];
    uint32_t coupon_offer[COUPONS_MAX]; /* offer that consumed the coupon; NONE_32 none */
    redemption_t redemptions[SELECTIONS_MAX];
    applied_t applied[APPLIED_MAX];
    uint32_t coupon_outcome[COUPONS_MAX]; /* why a scanned one gave nothing; 0: not judged */
    int64_t coupon_minor[COUPONS_MAX];  /* what a scanned one took off */
    line_share_t shares[LINE_SHARES_MAX];
    award_t awards[AWARDS_MAX];
    near_miss_t near_misses[NEAR_MISSES_MAX];
    explained_t explained[CANDIDATES_MAX];
    counted_t counted[COUNTED_MAX];
    progressed_t progressed[PROGRESS_MAX];
    fuel_step_t fuel[FUEL_OFFERS_MAX]; /* while authorising, as they are clipped */
} decision_t;

#endif
