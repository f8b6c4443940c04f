/* Every struct that lies on disk, drawn before it is coded. Little-endian, naturally aligned,
 * without hidden padding: `reserved` fields are zero. The Python side gets these structs as numpy
 * dtypes from native/layout_to_python.py, which reads this file: one struct a block, one field a
 * line, only the integer types below, arrays as name[NUMBER]. */
#ifndef CHECKLANE_LAYOUT_H
#define CHECKLANE_LAYOUT_H

#include <stdint.h>

/* The on-disk formats and the rules of docs/semantics.md that this build speaks. */
#define SNAPSHOT_FORMAT 1
#define JOURNAL_FORMAT 1
#define ACCOUNTS_FORMAT 3
#define SEMANTICS_VERSION 1

#define TABLE_MAGIC 0x314c42544e4c4b43 /* "CKLNTBL1" */
#define NONE_32 0xffffffff

/* ---------------------------------------------------------------- tables of a snapshot ---- */

/* Head of every table value. LMDB lays a large value 16 bytes into a page; 48 more make the first
 * record start on a cache line. `capacity` counts slots of an open-addressed table (a power of
 * two, probed linearly from `hash & (capacity - 1)`), or records of a dense one. */
typedef struct table_header {
    uint64_t magic;
    uint32_t format;
    uint32_t record_bytes;
    uint64_t count;
    uint64_t capacity;
    uint64_t reserved[2];
} table_header_t;
_Static_assert(sizeof(table_header_t) == 48, "records start 64 bytes into a page");

/* ---- members snapshot: tables "identity", "members", "wallet", "info" ---- */

/* Open-addressed by hash_lo; an empty slot has member 0. */
typedef struct identity_slot {
    uint64_t hash_hi;
    uint64_t hash_lo;
    uint64_t member;
    uint32_t key_id;
    uint32_t kind;
} identity_slot_t;
_Static_assert(sizeof(identity_slot_t) == 32, "two to a cache line");

/* Open-addressed by member; an empty slot has member 0. One cache line a member. */
typedef struct member_record {
    uint64_t member;
    uint64_t account_group;
    uint64_t segments[2];
    uint64_t wallet_first;
    uint32_t wallet_count;
    uint16_t tier;
    uint16_t flags;
    uint16_t birth_month;
    uint16_t birth_day;
    uint32_t attributes;
    uint32_t home_store;
    uint32_t reserved;
} member_record_t;
_Static_assert(sizeof(member_record_t) == 64, "one cache line");

#define MEMBER_FLAG_CONSENT 1
#define MEMBER_FLAG_STAFF 2
#define MEMBER_FLAG_BUSINESS 4
#define MEMBER_FLAG_BLOCKED 8
#define MEMBER_FLAG_PROVISIONAL 16

/* "wallet" is a dense table of uint64 offer keys, sorted within each member. */

/* "referrers": open-addressed by mix64(member); an empty slot has member 0. Of members who were
 * referred; the table is not there where the feed names none. */
typedef struct referral_slot {
    uint64_t member;
    uint64_t referrer;
} referral_slot_t;
_Static_assert(sizeof(referral_slot_t) == 16, "four to a cache line");

/* "info" of the members and catalogue snapshots: one record. */
typedef struct snapshot_info {
    uint64_t as_of_lsn;
    int64_t as_of_unix_ms;
    uint64_t key_check; /* keyed hash of a fixed text: tells a foreign identity key */
    uint32_t format;
    uint32_t reserved;
    uint64_t counts[4];
} snapshot_info_t;
_Static_assert(sizeof(snapshot_info_t) == 64, "one cache line");

/* ---- catalogue snapshot: tables "codes", "products", "stores", "transitions", "info" ---- */

/* Product code: kind in the top four bits, the number or 60 bits of the SKU's key below. */
#define CODE_KIND_GTIN 1
#define CODE_KIND_PLU 2
#define CODE_KIND_SKU 3

/* Open-addressed by mix64(code); an empty slot has code 0. */
typedef struct code_slot {
    uint64_t code;
    uint32_t product;
    uint32_t reserved;
} code_slot_t;
_Static_assert(sizeof(code_slot_t) == 16, "four to a cache line");

/* Dense by product number (from 0). Keys are name keys: see siphash.h. */
typedef struct product {
    uint64_t code;
    uint64_t brand_key;
    uint64_t vendor_key;
    uint64_t flags;
    int64_t cost_milli;        /* thousandths of a minor unit a unit; -1 unknown */
    int64_t legal_min_minor;   /* lowest legal unit price; 0 none */
    uint32_t category;         /* row of the catalogue's category list */
    uint32_t department;
    uint64_t reserved;
} product_t;
_Static_assert(sizeof(product_t) == 64, "one cache line");

#define PRODUCT_FLAG_NO_DISCOUNT 1
#define PRODUCT_FLAG_NO_EARN 2
#define PRODUCT_FLAG_NO_BURN 4
#define PRODUCT_FLAG_AGE_RESTRICTED 8
#define PRODUCT_FLAG_FUEL 16
/* What the goods are: no rule of the engine, but selectors and exclusions ask for them. */
#define PRODUCT_FLAG_TOBACCO 32
#define PRODUCT_FLAG_ALCOHOL 64
#define PRODUCT_FLAG_LOTTERY 128
#define PRODUCT_FLAG_GIFT_CARD 256
#define PRODUCT_FLAG_PHARMACY 512

/* Open-addressed by key (the store id's name key); an empty slot has key 0. */
typedef struct store {
    uint64_t key;
    uint64_t region_key;
    uint64_t banner_key;
    uint64_t franchise_key;
    uint32_t number;           /* bit of this store in store sets, from 0 */
    uint32_t zone;             /* price zone of row offers; 0 is every zone */
    uint32_t first_transition; /* into "transitions" */
    uint32_t transition_count;
    uint32_t jurisdiction;
    uint32_t reserved[3];
} store_t;
_Static_assert(sizeof(store_t) == 64, "one cache line");

/* From this instant on, local time is UTC + offset. Sorted by instant within a store's zone. */
typedef struct transition {
    int64_t instant_unix_s;
    int32_t utc_offset_minutes;
    uint32_t reserved;
} transition_t;
_Static_assert(sizeof(transition_t) == 16, "four to a cache line");

/* ---- program snapshot: bound to one catalogue ---- */

typedef struct program_header {
    uint64_t program_key;      /* name key of the program id */
    uint64_t step_budget;
    uint8_t catalogue_hash[16];
    uint32_t format;
    uint32_t semantics_version;
    uint32_t program_version;
    uint32_t currency;         /* three letters, first in the lowest byte */
    uint32_t currency_exponent;
    uint32_t store_set_words;  /* 64-bit words in one store set */
    uint32_t product_count;
    uint32_t offer_count;
    uint32_t flags;
    uint16_t multiplier_policy; /* MULTIPLIER_ */
    uint16_t return_policy;     /* RETURN_ */
    uint16_t claw_back_policy;  /* CLAW_BACK_ */
    uint16_t points_rounding;   /* ROUNDING_ */
    uint32_t hold_minutes;
    uint32_t return_days;
    uint32_t basket_discount_bp; /* most off a basket, of what its sale units cost; 0 no ceiling */
    int64_t basket_discount_minor; /* ... and in money; 0 no ceiling */
    uint32_t scan_offers[3];   /* number + 1 of those for scanned coupons: maker, store, match */
    uint32_t jurisdiction_count; /* of the catalogue, 0 (none) among them: rows of excluded_flags */
    uint16_t expired_hold_policy; /* EXPIRED_HOLD_ */
    uint16_t fuel_policy;      /* FUEL_ */
    uint32_t claim_days;       /* after its business date a sale may be claimed; 0: never */
    int64_t unreceipted_minor; /* most that goods without receipt refund in a basket; 0 any */
    uint32_t unreceipted;      /* bits of UNRECEIPTED_ */
    uint32_t reserved;
} program_header_t;
_Static_assert(sizeof(program_header_t) == 136, "drawn without padding");

#define MULTIPLIER_HIGHEST 0
#define MULTIPLIER_ADDITIVE 1
#define MULTIPLIER_COMPOUND 2
#define RETURN_PRORATE 0
#define RETURN_REPRICE 1
#define EXPIRED_HOLD_REFUSE 0
#define EXPIRED_HOLD_SPEND 1
#define FUEL_AUTHORISED 0 /* offers for fuel are had by fills that were authorised with them */
#define FUEL_ANY 1        /* ... by any */
#define UNRECEIPTED_REFUSED 1 /* goods without receipt do not come back */
#define UNRECEIPTED_MEMBER 2  /* ... only for a member */
#define CLAW_BACK_WITHIN_BALANCE 0
#define CLAW_BACK_PENDING_ONLY 1
#define CLAW_BACK_NEGATIVE 2

#define CONSUME_WHOLE_STEP 0
#define CONSUME_BY_VOLUME 1

#define ROUNDING_HALF_AWAY 0
#define ROUNDING_FLOOR 1
#define ROUNDING_CEIL 2

/* Layers run in this order; each sees what the earlier ones left. */
#define LAYER_ITEM 0
#define LAYER_BASKET 1
#define LAYER_TENDER 2
#define LAYER_EARN 3
#define LAYER_REDEMPTION 4 /* runs after the basket layer, before the tender layer */

/* Mechanics: what an application of the offer takes and gives. */
#define MECHANIC_UNIT_OFF 1    /* reward on each unit of slot 0, at most `units_max` units */
#define MECHANIC_BUY_GET 2     /* slots: BUY ..., GET ...; reward on the GET units */
#define MECHANIC_CHEAPEST 3    /* slot 0: of every buy+get units the `get` cheapest are rewarded */
#define MECHANIC_GROUP_PRICE 4 /* units of all slots together for a price, percent or amount off */
#define MECHANIC_ROW_PRICE 5   /* unit price by product and zone from "rows" */
#define MECHANIC_THRESHOLD 6   /* qualifier slot 0 reaches a threshold; reward on slot 1 */
#define MECHANIC_EARN_RATE 7   /* points for each `per_minor` minor units of slot 0 */
#define MECHANIC_EARN_BONUS 8  /* points an application of slot 0, or a visit */
#define MECHANIC_EARN_TIMES 9  /* multiplies the base points of slot 0 by `reward_value` bp */
#define MECHANIC_FUEL 34      /* `reward_value` thousandths of a minor unit off each `per_unit` */
#define MECHANIC_SCANNED 40    /* coupons of GS1 (8110) say themselves what they give: slot 0 */
#define MECHANIC_ISSUE 35      /* coupons for later, an application of slot 0, or a visit */
#define MECHANIC_REFERRAL 36   /* points to whoever referred the member, once a visit */
#define MECHANIC_TENDER 32     /* reward on what accepted tenders pay of slot 0 */
#define MECHANIC_REDEEM 33     /* `points_step` points pay `reward_value`, or a unit, of slot 0 */

/* Rewards. */
#define REWARD_PERCENT 1 /* reward_value: basis points off */
#define REWARD_AMOUNT 2  /* reward_value: minor units off a unit (threshold: off the whole) */
#define REWARD_PRICE 3   /* reward_value: the unit price, or the price of the group, minor units */
#define REWARD_POINTS 4  /* reward_value: smallest units of `purse` */
#define REWARD_EACH 5    /* THRESHOLD; reward_value: minor units off each unit */

#define OFFER_FLAG_CHOSEN 1       /* applies only where the basket names it */
#define OFFER_FLAG_WALLET 2       /* applies only where the member's wallet holds it */
#define OFFER_FLAG_COUPON 4       /* applies only where a coupon of it is presented */
#define OFFER_FLAG_STACKABLE 8    /* leaves its units to others: see docs/semantics.md */
#define OFFER_FLAG_INITIAL_BASE 16 /* percents and thresholds look at the initial price */
#define OFFER_FLAG_SERIAL 32      /* its coupons are serialised, single use */
#define OFFER_FLAG_REDUCED_OUT 64 /* does not touch units already reduced at the shelf or POS */
#define OFFER_FLAG_ONCE_A_VISIT 128 /* EARN_BONUS: once a basket, not an application */
#define OFFER_FLAG_STAFF 256
/* BUY_GET: the get slot holds its cheapest units only; UNIT_OFF, THRESHOLD: the cheapest units are
 * rewarded where not all are. */
#define OFFER_FLAG_CHEAPEST_GET 512
#define OFFER_FLAG_DIFFERENT 1024 /* GROUP_PRICE, BUY_GET of one slot: no two of one product */
#define OFFER_FLAG_GIFT 2048      /* THRESHOLD: a reward that is not there is told as a near miss */
#define OFFER_FLAG_COST_FLOOR 4096 /* no unit goes below its cost */
#define OFFER_FLAG_MARGIN 8192     /* nor below the price of `margin_bp` */
#define OFFER_FLAG_RESHARE 16384   /* what one unit cannot give the others do */
#define OFFER_FLAG_WHOLE 32768     /* a discount that a money cap would cut is not given */
#define OFFER_FLAG_BY_ITEM 65536   /* REDEEM: pays whole units */
#define OFFER_FLAG_STEPS 131072    /* REDEEM: pays whole steps */
/* Whose coupon opens it: no unit serves two coupons of one kind (K2). */
#define OFFER_FLAG_MANUFACTURER 16777216
#define OFFER_FLAG_STORE_COUPON 33554432
#define OFFER_FLAG_FACE_VALUE 67108864 /* an amount above the price is refused, not reduced (K4) */
#define OFFER_FLAG_MORE 262144     /* has a record in "more" */
#define OFFER_FLAG_ISSUED 524288   /* its serialised coupons are good only as sales issued them */
/* Offers that some basket must open stand apart in posting lists. */
#define OFFER_FLAGS_GATED 7
_Static_assert(OFFER_FLAGS_GATED == (OFFER_FLAG_CHOSEN | OFFER_FLAG_WALLET | OFFER_FLAG_COUPON),
               "what opens an offer");

/* One offer. Numbers are the order of the offer ids' bytes, so a lower number is an earlier id. */
typedef struct offer {
    uint64_t key;              /* name key of the offer id: what counters and wallets hold */
    int64_t reward_value;
    int64_t threshold_minor;   /* THRESHOLD by spend; 0 when by another measure */
    int64_t threshold_count;   /* by BASE_COUNT, PRODUCTS or MEASURE (thousandths) */
    int64_t per_minor;         /* EARN_RATE */
    int64_t units_max;         /* UNIT_OFF, ROW_PRICE: most units a basket; 0 no ceiling */
    int64_t times_max;         /* most applications a basket; 0 no ceiling */
    int64_t discount_max_minor; /* most money a basket; 0 no ceiling */
    uint32_t version;
    int32_t class_order;       /* priority classes run lowest first */
    int32_t priority;          /* settles ties: higher wins */
    uint32_t flags;
    uint32_t first_slot;
    uint32_t first_limit;
    uint32_t first_funding;
    uint32_t first_text;
    uint32_t store_set;        /* into "store_sets"; NONE_32: every store */
    uint32_t audience;         /* into "audiences"; NONE_32: everyone */
    uint32_t schedule;         /* into "schedules"; NONE_32: always */
    uint32_t channel_mask;     /* bit of each channel; 0: every channel */
    uint32_t first_row;
    uint32_t row_count;
    uint16_t slot_count;
    uint16_t limit_count;
    uint16_t funding_count;
    uint16_t text_count;
    uint16_t control_bp;       /* members held out, in basis points */
    uint8_t layer;
    uint8_t mechanic;
    uint8_t reward;
    uint8_t rounding;
    uint8_t return_allocation;
    uint8_t purse;
    int64_t get_count;         /* CHEAPEST: rewarded units an application */
    int64_t floor_minor;       /* no unit goes below this price; 0 is the ordinary floor */
    uint32_t source_mask;      /* price sources accepted, bit each; 0: all */
    uint32_t id_text;          /* offset of the id in "strings" */
    uint32_t id_length;
    uint32_t valid_days;       /* EARN: overrides the purse's expiry; 0 does not */
    uint32_t first_step;       /* into "steps": UNIT_OFF, THRESHOLD */
    uint32_t step_count;
    int64_t rewarded_max;      /* THRESHOLD: most units rewarded; 0 no ceiling */
    int64_t product_units_max; /* UNIT_OFF, THRESHOLD: most units of a product; 0 no ceiling */
    uint16_t need_count;       /* slots after the mechanic's own: what the basket must hold */
    uint8_t base;              /* BASE_ of threshold or steps */
    uint8_t base_unit;         /* BASE_MEASURE: wire enum MeasureUnit */
    uint8_t per_unit;          /* the reward is for each of this wire enum MeasureUnit; 0 a unit */
    uint8_t consume;           /* FUEL for points: CONSUME_ */
    uint8_t reserved_8[2];
    int64_t unit_discount_max_minor; /* most money off one unit; 0 no ceiling */
    uint32_t exclusive;        /* of equal numbers above 0 one offer applies; 0 does not matter */
    uint16_t margin_bp;        /* FLAG_MARGIN: least share of the price above the cost */
    uint16_t reserved_16;
    uint32_t tender_rule_count;
    uint32_t points_step;      /* REDEEM: smallest units of `purse` */
    uint32_t tender_kinds;     /* TENDER: kinds accepted, bit each; 0: all */
    uint32_t first_tender_rule;
    int64_t progress_from;     /* the value so far, of `progress`, that is asked for: from */
    int64_t progress_until;    /* ... and below; both 0: any */
    uint32_t progress;         /* number + 1; 0: none is asked for */
    uint32_t progress_every;   /* value + 1 is a multiple of this; 0: not asked for */
} offer_t;
_Static_assert(sizeof(offer_t) == 256, "four cache lines");

/* "more": what few offers say, by offer, ascending. An offer that stacks after others competes in a
 * later round of its class, and sees the units that only they took. */
typedef struct offer_more {
    uint32_t offer;
    uint32_t round;            /* of its class, from 0 */
    uint32_t first_after;      /* into "after": uint32 offer numbers, ascending */
    uint32_t after_count;
    int64_t product_discount_max_minor; /* most money off units of one product; 0 no ceiling */
    int64_t fuel_floor_thousandths; /* FUEL: of a minor unit, for a unit of measure */
    int64_t fuel_most_milli;   /* most measure in one basket; 0 no ceiling */
    uint32_t fuel_levels;      /* bit of each wire enum FuelPriceLevel */
    uint32_t first_grade;      /* into "grades": uint64 name keys of "grade", ascending */
    uint32_t grade_count;      /* 0: every grade */
    uint32_t issued_offer;     /* ISSUE: that its coupons open */
    uint32_t issued_code_text; /* and their code */
    uint32_t issued_code_length;
} offer_more_t;
_Static_assert(sizeof(offer_more_t) == 64, "one cache line");

#define SLOT_TAKE 0  /* units that the mechanic takes and rewards */
#define SLOT_BUY 1   /* units that must be there and keep their price */
#define SLOT_GET 2   /* units that are rewarded */
#define SLOT_NEED 3  /* units that the basket must hold before any discount (E14) */

/* What a threshold, a step or a need measures of its units. */
#define BASE_SPEND 0    /* minor units */
#define BASE_COUNT 1    /* units */
#define BASE_PRODUCTS 2 /* different product codes */
#define BASE_MEASURE 3  /* thousandths of one MeasureUnit */
/* Units that count for a progress: no offer's (NONE_32), `count` is the progress. Stand last. */
#define SLOT_PROGRESS 4

/* A group of units that an offer needs. `count` units an application (0 for UNIT_OFF, ROW_PRICE,
 * EARN: as many as there are). A unit fits when its product is in the slot's postings (or the slot
 * is universal) and its price and measure lie in the range. */
typedef struct slot {
    uint32_t offer;
    uint16_t role;
    uint16_t flags;
    int64_t count;
    int64_t unit_min_minor;
    int64_t unit_max_minor;    /* 0: no upper end */
} slot_t;
_Static_assert(sizeof(slot_t) == 32, "two to a cache line");

#define SLOT_FLAG_UNIVERSAL 1
/* The kind of line that its units come from; neither: sale (B6). */
#define SLOT_FLAG_FEE 2
#define SLOT_FLAG_CHARGE 4
#define SLOT_FLAG_KIND 6
/* SLOT_NEED: `count` is what its units must reach; BASE_ and MeasureUnit stand in the flags. */
#define SLOT_BASE_SHIFT 4
#define SLOT_BASE_MASK 3
#define SLOT_UNIT_SHIFT 8

/* "steps": of one offer, rising. The last one that is reached gives the reward. */
typedef struct step {
    int64_t from;
    int64_t reward_value;
} step_t;
_Static_assert(sizeof(step_t) == 16, "four to a cache line");

/* "class_of_product": uint32 a product. "classes": this, for each set of slots that some product
 * is in (class 0: unknown products, universal slots only). "postings": uint32 slot numbers; first
 * `count` of them, ascending, then the `gated_count` of offers that a wallet, a coupon or a choice
 * opens, ascending: a basket opens few of them, so these are looked up and not gone through. */
typedef struct posting_list {
    uint32_t first;
    uint32_t count;
    uint32_t gated_count;
} posting_list_t;
_Static_assert(sizeof(posting_list_t) == 12, "five to a cache line");

/* "universal": uint32 slot numbers, in the same order. "universal_lists": this, for the slots of
 * all offers that run in the same stores, ascending by store set. */
typedef struct universal_list {
    uint32_t store_set;        /* NONE_32: all stores */
    uint32_t first;
    uint32_t count;
    uint32_t gated_count;
} universal_list_t;
_Static_assert(sizeof(universal_list_t) == 16, "four to a cache line");

/* "excluded_set": uint16 by product, or nothing at all: which rules of the program's exclusions it
 * falls under. "excluded_flags": uint8 by jurisdiction, then by set: PRODUCT_FLAG_NO_DISCOUNT,
 * NO_EARN and NO_BURN of those rules that hold there; above EXCLUDED_GATED_SHIFT, of those that
 * hold for lines without the check of an age. */
#define EXCLUDED_SETS_MAX 65536
#define EXCLUDED_GATED_SHIFT 4
#define EXCLUDED_FLAGS (PRODUCT_FLAG_NO_DISCOUNT | PRODUCT_FLAG_NO_EARN | PRODUCT_FLAG_NO_BURN)

/* "rows": open-addressed by mix64(offer << 32 | product); an empty slot has product NONE_32. A
 * zone's own row stands before zone 0 in probe order only by chance: look for both, own first. */
typedef struct row {
    uint32_t offer;
    uint32_t product;
    uint32_t zone;
    uint32_t units_max;        /* 0: the offer's */
    int64_t price_minor;
    uint64_t reserved;
} row_t;
_Static_assert(sizeof(row_t) == 32, "two to a cache line");

/* "tender_rules": schemes and first digits of cards that a tender offer accepts. Of the records
 * that name a scheme one must fit where there are any, and of those with digits likewise. */
typedef struct tender_rule {
    uint64_t scheme_key;       /* name key of "scheme", name; 0: this record has digits */
    uint64_t bin;              /* the digits as a number */
    uint32_t bin_digits;
    uint32_t reserved;
} tender_rule_t;
_Static_assert(sizeof(tender_rule_t) == 24, "drawn without padding");

/* "families": uint16 by product, the family code of scanned coupons, FAMILY_CODE_NONE without one;
 * or nothing at all. "retailers": whose coupons that name a retailer are good here. */
#define FAMILY_CODE_NONE 65535
typedef struct retailer {
    uint64_t number;           /* company prefix or location number */
    uint32_t digits;
    uint32_t reserved;
} retailer_t;
_Static_assert(sizeof(retailer_t) == 16, "four to a cache line");

#define LIMIT_SCOPE_MEMBER 1
#define LIMIT_SCOPE_GROUP 2
#define LIMIT_SCOPE_STORE 3
#define LIMIT_SCOPE_GLOBAL 4
#define LIMIT_SCOPE_CARD 5
#define COUNT_SCOPE_COUPON 7 /* a serialised coupon of the basket: `number` is its place there */
/* What becomes of points for whoever referred the member: REFERRER_. */
#define COUNT_SCOPE_REFERRER 9
#define REFERRER_NONE 0     /* nobody did */
#define REFERRER_FOUND 1
#define REFERRER_EXCLUDED 2 /* gone, blocked, of the member's own account group */
#define COUNT_SCOPE_ISSUED 8 /* likewise: the last day of one that a sale issued, 0 without */
/* Given of a coupon that no sale has used and that somebody holds; else it is how many used it. */
#define COUNT_COUPON_HELD 0x100000000
#define COUNT_SCOPE_GRANT 6 /* of counted_t: uses of an offer that a progress granted */
#define LIMIT_MEASURE_USES 1
#define LIMIT_MEASURE_MONEY 2
#define LIMIT_MEASURE_UNITS 3
#define LIMIT_MEASURE_SPEND 4 /* what the rewarded units cost before the offer */
#define WINDOW_CAMPAIGN 0
#define WINDOW_DAY 1
#define WINDOW_WEEK 2
#define WINDOW_MONTH 3
#define WINDOW_YEAR 4
#define WINDOW_ROLLING 5 /* of a progress: gathered by month, so many months count */

typedef struct limit {
    int64_t most;
    uint8_t scope;
    uint8_t measure;
    uint8_t window;
    uint8_t number;            /* of the limit within its offer: part of the counter's key */
    uint32_t reserved;
} limit_t;
_Static_assert(sizeof(limit_t) == 16, "four to a cache line");

#define SETTLE_PRICE_REDUCTION 1
#define SETTLE_THIRD_PARTY 2
#define SETTLE_TENDER 3

/* Who pays what share of an offer's discount; the shares of one offer sum to 10,000 bp. */
typedef struct funding {
    uint32_t funder_text;      /* offset in "strings" */
    uint32_t funder_length;
    uint32_t share_bp;
    uint32_t settlement;       /* SETTLE_ */
} funding_t;
_Static_assert(sizeof(funding_t) == 16, "four to a cache line");

/* Who may have an offer. Masks of zero ask nothing. */
typedef struct audience {
    uint64_t any[2];
    uint64_t all[2];
    uint64_t none[2];
    uint32_t tier_mask;
    uint32_t flags;
    uint32_t birthday;         /* AUDIENCE_BIRTHDAY_: 0 none, 1 day, 2 month */
    uint32_t reserved;
} audience_t;
_Static_assert(sizeof(audience_t) == 64, "one cache line");

#define AUDIENCE_FLAG_MEMBERS 1
#define AUDIENCE_FLAG_NON_MEMBERS 2
#define AUDIENCE_FLAG_CONSENT 4
#define AUDIENCE_FLAG_BUSINESS 8
#define AUDIENCE_FLAG_STAFF 16
#define AUDIENCE_FLAG_REFERRED 32

/* When an offer runs, in store-local time. Bounds in minutes since 1970-01-01T00:00 local. */
typedef struct schedule {
    int64_t from_minute;
    int64_t until_minute;      /* exclusive */
    uint16_t hours_from[4];    /* minutes of the day; hours_count pairs */
    uint16_t hours_until[4];   /* exclusive; before its from: runs past midnight */
    uint32_t first_blackout;   /* into "blackouts": int32 days since 1970-01-01, ascending */
    uint32_t blackout_count;
    uint8_t weekday_mask;      /* bit 0 Monday; 0: every day */
    uint8_t hours_count;
    uint16_t reserved_16;
    uint32_t reserved;
    uint64_t reserved_64[2];
} schedule_t;
_Static_assert(sizeof(schedule_t) == 64, "one cache line");

#define TEXT_NAME 1
#define TEXT_RECEIPT 2
#define TEXT_CASHIER 3
#define TEXT_NEAR_MISS 4

/* "texts": an offer's texts by locale; bytes in "strings" (UTF-8). */
typedef struct text {
    uint8_t locale[8];         /* "en", "fr-CA"; zero padded */
    uint32_t offset;
    uint32_t length;
    uint32_t kind;             /* TEXT_ */
    uint32_t reserved;
} text_t;
_Static_assert(sizeof(text_t) == 24, "drawn without padding");

#define EXPIRY_NEVER 0
#define EXPIRY_DAYS 1
#define EXPIRY_MONTH_END 2
#define EXPIRY_ROLLING 3
#define EXPIRY_FIXED 4

#define PURSE_FLAG_AWAITS 1 /* points wait until their sale is confirmed, pending_days at most */

/* "purses": dense, record n is purse number n + 1; an undeclared one has key 0. */
typedef struct purse {
    uint64_t key;
    int64_t worth_num;         /* minor units that `worth_den` smallest units are worth in the */
    int64_t worth_den;         /* search; 0/1 by default */
    uint32_t decimals;
    uint32_t expiry;           /* EXPIRY_ */
    int32_t expiry_n;          /* days, months, or the fixed day since 1970-01-01 */
    int32_t pending_days;
    uint32_t id_text;
    uint32_t id_length;
    uint32_t flags;
    uint32_t reserved_32;
    uint64_t reserved;
} purse_t;
_Static_assert(sizeof(purse_t) == 64, "one cache line");

/* "tiers": dense by tier number; an undeclared one has key 0. */
typedef struct tier {
    uint64_t key;
    uint32_t id_text;
    uint32_t id_length;
    uint32_t progress;         /* number of the progress that reaches it; NONE_32: none */
    uint32_t grace_days;       /* held so long after the window in which it was reached */
    int64_t goal;
} tier_t;
_Static_assert(sizeof(tier_t) == 32, "two to a cache line");

#define PROGRESS_SPEND 1
#define PROGRESS_VISITS 2
#define PROGRESS_UNITS 3
#define PROGRESS_POINTS 4

/* "progress": one primitive behind stamps, challenges, nth visit and tiers. */
typedef struct progress {
    uint64_t key;
    int64_t goal;              /* 0: none of its own */
    int64_t reward_points;     /* at the goal, into reward_purse; 0: none */
    uint32_t slot;             /* the units that count */
    uint32_t reward_offer;     /* granted at the goal; NONE_32: none */
    uint32_t id_text;
    uint32_t id_length;
    uint16_t months;           /* WINDOW_ROLLING: how many count */
    uint8_t measure;           /* PROGRESS_ */
    uint8_t scope;             /* LIMIT_SCOPE_MEMBER or LIMIT_SCOPE_GROUP */
    uint8_t window;            /* WINDOW_ */
    uint8_t repeats;
    uint8_t purse;             /* PROGRESS_POINTS: whose points count */
    uint8_t reward_purse;
    uint64_t reserved[2];
} progress_t;
_Static_assert(sizeof(progress_t) == 64, "one cache line");

/* "coupons": open-addressed by coupon_key (name key of "coupon", code); empty: coupon_key 0. Equal
 * keys stand in probe order; each names an offer. */
typedef struct coupon_slot {
    uint64_t coupon_key;
    uint32_t offer;
    uint32_t flags;
} coupon_slot_t;
_Static_assert(sizeof(coupon_slot_t) == 16, "four to a cache line");

/* "offer_numbers": open-addressed by key; empty: key 0. */
typedef struct offer_number {
    uint64_t key;
    uint32_t offer;
    uint32_t reserved;
} offer_number_t;
_Static_assert(sizeof(offer_number_t) == 16, "four to a cache line");

/* "names": open-addressed by key: segments, tiers, channels: space:name -> number. */
typedef struct name_slot {
    uint64_t key;
    uint32_t number;
    uint32_t space;
    uint32_t id_text;
    uint32_t id_length;
    uint64_t reserved;
} name_slot_t;
_Static_assert(sizeof(name_slot_t) == 32, "two to a cache line");

#define NAME_SPACE_SEGMENT 1
#define NAME_SPACE_TIER 2
#define NAME_SPACE_CHANNEL 3
#define NAME_SPACE_PURSE 4

/* "issuers": card numbers that may open a provisional account. */
typedef struct issuer_range {
    uint32_t kind;             /* identifier kind on the wire */
    uint16_t length_min;
    uint16_t length_max;
    uint16_t prefix_length;
    uint8_t prefix[22];
} issuer_range_t;
_Static_assert(sizeof(issuer_range_t) == 32, "two to a cache line");

/* ------------------------------------------------------------------- accounts ------------ */

/* Families of account records; 8 is none. The partition owns account groups; a key names no
 * secret. */
#define FAMILY_GROUP 1    /* hi: group, lo: 0. Lots and debts. */
#define FAMILY_MEMBER 2   /* hi: group, lo: member. Counters, progress, wallet, tier, overlay. */
#define FAMILY_IDENTITY 3 /* 128-bit identity hash (hi 0: a member). Overlay, counters of cards. */
#define FAMILY_PLACE 4    /* hi: member. The group that a member is in, when not the snapshot's. */
/* hi: offer key, lo: store key, 0 all. Stops, counters, budgets. hi 0: a store's closed dates; both
 * 0: what was live when. */
#define FAMILY_OFFER 5
/* 128-bit hash: of a receipt (where it is, what came back), of a hold, of a basket that things are
 * held for. Goes with the retention. */
#define FAMILY_RECEIPT 6
#define FAMILY_KEY 7      /* 128-bit idempotency hash. What it is bound to. */
/* 128-bit hash of a coupon's code and serial. Issue and use, for good; who holds it. */
#define FAMILY_COUPON 9

/* Partition and node stand in the key's head so that a hub can merge stores. */
typedef struct record_key {
    uint8_t family;
    uint8_t reserved_8;
    uint16_t partition;
    uint32_t reserved;
    uint64_t hi;
    uint64_t lo;
} record_key_t;
_Static_assert(sizeof(record_key_t) == 24, "drawn without padding");

/* A record is this head and `cell_count` cells in ascending order of (kind, sub, day, key). */
typedef struct record_head {
    uint64_t applied_lsn;
    uint32_t cell_count;
    uint32_t month;           /* FAMILY_RECEIPT, FAMILY_KEY: of making, 1 is 1970-01; else 0 */
} record_head_t;
_Static_assert(sizeof(record_head_t) == 16, "cells stay 16-byte aligned");

#define CELL_LOT 1       /* sub: purse; day: expiry; key: activation_key. value: left */
#define CELL_DEBT 2      /* sub: purse. value: owed (positive) */
#define CELL_COUNTER 3   /* sub: limit number; day: window; key: offer key. value: given */
#define CELL_PROGRESS 4  /* sub: measure; day: window; key: progress key. value: so far */
#define CELL_WALLET 5    /* key: offer key. value: 1 assigned or activated, -1 taken away */
#define CELL_TIER 6      /* value: tier; other: its last day */
#define CELL_SEGMENT 7   /* sub: segment number. value: 1 in, -1 out */
#define CELL_CONSENT 8   /* value: 1 given, -1 withdrawn */
#define CELL_MEMBER 9    /* FAMILY_IDENTITY: key: member. value: kind, negative when unlinked */
#define CELL_GROUP 10    /* FAMILY_PLACE: value: group. other: flags, birth month and day << 16 */
#define CELL_STOPPED 11  /* FAMILY_OFFER: value: 1 */
/* FAMILY_RECEIPT, FAMILY_KEY: sub 0; day: day of posting; key, other: content hash, high and low
 * half. value: position of the entry */
#define CELL_ENTRY 12
#define CELL_VOIDED 13   /* FAMILY_RECEIPT: value: position of the void */
#define CELL_RETURNED 14 /* FAMILY_RECEIPT: day: line id. value: count; other: refund, minor */
/* Its sub. value: the discount taken back of the line beyond the part for the units that came back:
 * what is kept has another one since, where returns are repriced */
#define RETURNED_DISCOUNT 1
#define CELL_EARNED 16   /* FAMILY_RECEIPT: sub: purse. value: points granted and not reversed */
#define CELL_GRANT 17    /* key: offer key. value: uses that a progress granted and are left */
#define CELL_CONFIRMED 19 /* FAMILY_RECEIPT: value: 1, -1 cancelled; other: key of the lots now */
#define CELL_MERGED 20    /* FAMILY_PLACE: value: the member into which this one was merged */
#define CELL_MERGES 21    /* FAMILY_PLACE: value: longest chain of merges that ends here */
#define CELL_MOVED 22     /* FAMILY_GROUP: value: the group to which all of this one went */
#define CELL_ISSUED 23    /* FAMILY_COUPON: value: last day of one that a sale issued */
#define CELL_REFERRER 24  /* FAMILY_MEMBER: value: the member who referred this one */
#define CELL_CLOSED 25    /* FAMILY_OFFER: value: the last business date that is closed, yyyymmdd */
/* FAMILY_RECEIPT: key: progress key. value: progress taken back; other: of that, what a claim did
 * not give, as goods had come back before it */
#define CELL_UNDONE 18
/* FAMILY_RECEIPT: sub 0: value: position of the claim. sub: purse: value: points that it did not
 * give, as goods had come back before it */
#define CELL_CLAIMED 26

/* FAMILY_OFFER: sub: 0 program, 1 its catalogue; key: post time since which it is live, ms. value,
 * other: the content hash, its first and its last eight bytes */
#define CELL_LIVE 38
#define CELL_REFILLED 32 /* FAMILY_RECEIPT: sub: purse. value: spent points that came back */
/* FAMILY_RECEIPT of another node's sale: sub: purse. value: points of it that were taken back */
#define CELL_TAKEN 42

/* What is held, in the records from which it is held. The two kinds sort behind all others there,
 * so that the last cell of a record tells whether anything is.
 *
 * CELL_HOLD in a group, a member, a card, a coupon: sub: purse, 0 the hold itself; day: of the
 * hold; key: hold. value: points; other: post time at which it ends, ms. In a basket's record: sub:
 * HOLD_KIND_; key: hold. value: 1; other: when it ends.
 * CELL_HELD in a group, a member, a card: sub: limit number, COUNTED_NO_LIMIT for grants; day:
 * window; key: hold << HELD_ORDINAL_BITS | ordinal. value: what is kept of the counter; other:
 * offer key.
 * CELL_HELD in an offer: sub: limit number; day: window; key: the step of post time at whose end it
 * ends. value: what all holds that end in that step keep. So a budget that everybody draws on has a
 * cell a step, not one a hold.
 * CELL_HELD in the hold: the same, with key: LIMIT_SCOPE_ << HELD_ORDINAL_BITS | ordinal; other:
 * offer key. */
#define CELL_HOLD 30
#define CELL_HELD 31
/* 1,000 cells of a record are four hours of steps; holds of 15 minutes fill 60. */
#define HELD_STEP_MS 15000
#define HELD_ORDINAL_BITS 11 /* as many counters as one decision may move: COUNTED_MAX */
/* The hold's own record, besides CELL_HOLD and CELL_HELD, which are gone with what they held. */
/* sub: HOLD_KIND_; day: purse, 0 none or several; key: owner. value: HOLD_STATE_; other: end */
#define CELL_HOLD_HEAD 33
#define CELL_HOLD_WHOSE 34 /* day: of the hold; key: group. value: member; other: made, ms */
/* sub: bits of the LIMIT_SCOPE_ of records that refer to it; key, other: card hash. value: store */
#define CELL_HOLD_WHERE 35
#define CELL_HOLD_USES 36  /* key: offer key. value: uses */
#define CELL_HOLD_TEXT 37  /* sub: text * 16 + piece; day: bytes of all. value, other: 16 bytes */
/* A coupon that is kept. sub: its place among them; day: bytes of its serial; key, value: its hash;
 * other: offer key */
#define CELL_HOLD_COUPON 38
#define CELL_HOLD_SERIAL 39 /* sub: place of its coupon; day: piece. value, other: 16 bytes of it */
#define CELL_HOLD_FUEL 40 /* sub: place; key: offer that is promised. value: points; other: 1 */
#define CELL_HOLD_PROGRAM 41 /* sub: 0 program, 1 catalogue. value, other: its content hash */

/* Numbers of the wire. */
#define HOLD_KIND_POINTS 1
#define HOLD_KIND_COUPON 2
#define HOLD_KIND_OFFER_USE 3
#define HOLD_KIND_BUDGET 4
#define HOLD_KIND_FUEL 5
#define HOLD_KIND_TOTAL 6
#define HOLD_STATE_OPEN 1
#define HOLD_STATE_CAPTURED 2
#define HOLD_STATE_RELEASED 3
#define HOLD_STATE_EXPIRED 4 /* never stored: it follows from the end */

/* No date: a lot that never expires sorts last. */
#define DAY_NEVER 0x7fffffff

typedef struct cell {
    uint8_t kind;
    uint8_t sub;
    uint16_t reserved;
    int32_t day;
    uint64_t key;
    int64_t value;
    int64_t other;
} cell_t;
_Static_assert(sizeof(cell_t) == 32, "two to a cache line");

/* First day on which a lot can be spent, as the key of its cell: lots of one purse and one expiry
 * stand by it. */
static inline uint64_t activation_key(int32_t day)
{
    return (uint64_t)((int64_t)day + ((int64_t)1 << 31));
}

static inline int32_t activation_of(const cell_t *lot)
{
    return (int32_t)((int64_t)lot->key - ((int64_t)1 << 31));
}

#define MOVEMENT_ADD 1 /* value and other are added; a cell that becomes 0, 0 is removed */
#define MOVEMENT_SET 2 /* value and other replace what was there */

/* The only thing that changes state: one cell of one record. Live and at recovery the same
 * function applies it. */
typedef struct movement {
    record_key_t record;
    cell_t cell;
    uint32_t op;       /* MOVEMENT_ */
    uint32_t reason;   /* REASON_ */
} movement_t;
_Static_assert(sizeof(movement_t) == 64, "one cache line");

#define REASON_EARN 1
#define REASON_BURN 2
#define REASON_REVERSE 3
#define REASON_CLAW_BACK 4
#define REASON_COUNT 5
#define REASON_BIND 6
#define REASON_OVERLAY 7
#define REASON_EXPIRE 8
#define REASON_ADJUST 9
#define REASON_HOLD 10
#define REASON_PROGRESS 12 /* gathered by a sale */
#define REASON_GRANT 13    /* a use granted at a goal, or taken from what was granted */
#define REASON_GOAL 14     /* points for a goal: no part of what the sale earned */
#define REASON_RELEASE 15  /* no longer held: captured, given back, ended */
#define REASON_REFERRAL 16 /* points of whoever referred the member that the entry is about */
#define REASON_BIND_KNOWN 11 /* a key or receipt of which there was a record: a void came first */

/* Value of the key "covered" in the accounts environment: everything up to and including this
 * entry of the journal is in the environment. An environment without it covers nothing. */
typedef struct covered {
    uint64_t lsn;
    uint64_t position;        /* of that entry: segment << 32 | offset */
    uint64_t salt;            /* of the journal that it belongs to */
    uint32_t crc;             /* of that entry */
    uint32_t format;          /* ACCOUNTS_FORMAT */
    uint64_t reserved[4];
} covered_t;
_Static_assert(sizeof(covered_t) == 64, "one cache line");

/* -------------------------------------------------------------------- journal ------------ */

#define SEGMENT_MAGIC 0x314745534e4c4b43 /* "CKLNSEG1" */

/* First bytes of a segment file. Entries begin at offset 128, each 16-byte aligned. */
typedef struct segment_header {
    uint64_t magic;
    uint32_t format;
    uint32_t header_crc;      /* CRC-32C of this header with the field zero */
    uint64_t program_key;
    uint32_t node;
    uint32_t partition;
    uint64_t generation;      /* new at each recovery */
    uint64_t salt;            /* of this data directory: seeds every checksum */
    uint64_t segment;         /* number of this file, from 1 */
    uint64_t first_lsn;
    uint32_t previous_crc;    /* checksum of the last entry of the segment before */
    uint32_t reserved_32;
    int64_t created_unix_ms;
    uint64_t reserved[6];
} segment_header_t;
_Static_assert(sizeof(segment_header_t) == 128, "two cache lines");

#define ENTRY_COMMIT 1
#define ENTRY_VOID 2
#define ENTRY_RETURN 3
#define ENTRY_ENROL 4
#define ENTRY_LINK 5
#define ENTRY_UPDATE 6
#define ENTRY_ACTIVATE 7
#define ENTRY_STOP_OFFER 8
#define ENTRY_LIVE 9        /* which snapshots are live from here on */
#define ENTRY_RECOVERED 10  /* first entry of a generation */
#define ENTRY_ADJUST 11
#define ENTRY_CONFIRM 12
#define ENTRY_MERGE 13
#define ENTRY_HOLD 14
#define ENTRY_HOLD_CAPTURE 15
#define ENTRY_HOLD_RELEASE 16
#define ENTRY_HOLD_EXTEND 17
#define ENTRY_TOTAL 18
#define ENTRY_FUEL 19
#define ENTRY_CLOSE_DATE 20
#define ENTRY_CLAIM 21

#define ENTRY_FLAG_TRAINING 1
#define ENTRY_FLAG_PAID 2
#define ENTRY_FLAG_AFTER_CLOSE 4 /* a void whose sale stands on a date that was closed */

/* An entry: this header, request, facts, movements, response; each section padded with zeros to
 * 16 bytes. Valid if and only if the checksum, the LSN and the predecessor's checksum agree. */
typedef struct entry_header {
    uint32_t length;          /* whole entry, header and padding included */
    uint32_t crc;             /* CRC-32C over the entry with this field zero, seeded by the salt */
    uint32_t previous_crc;
    uint16_t kind;            /* ENTRY_ */
    uint16_t flags;           /* ENTRY_FLAG_ */
    uint64_t lsn;
    uint64_t durable_lsn;     /* proven on disk when this was written */
    int64_t post_unix_ms;     /* monotone */
    int64_t event_unix_ms;    /* when it happened at the lane */
    uint64_t account_group;
    uint64_t member;
    int32_t business_date;    /* yyyymmdd, for which it counts; 0 none */
    uint32_t request_bytes;
    uint32_t facts_bytes;
    uint32_t movement_count;
    uint32_t response_bytes;
    uint32_t method;
    uint64_t generation;      /* which opening of the data directory wrote this */
    int32_t own_date;         /* its business date, where that was closed; 0: it is the one above */
    uint32_t reserved_32;
    uint64_t reserved[1];
} entry_header_t;
_Static_assert(sizeof(entry_header_t) == 112, "the sections behind it stay 16-byte aligned");

/* Facts of a decision that was recorded: this, then the group record and the member record (each a
 * record_head_t and its cells), `wallet_count` and `stopped_count` offer keys, `sold_count` sold
 * lines, from which returns are judged, `found_count` found records and `shared_count` shared
 * counters. A void or return has the position of the original entry instead (8 bytes). */
typedef struct facts_header {
    uint8_t program_hash[16];
    uint8_t catalogue_hash[16];
    int64_t decided_unix_ms;
    uint64_t member;
    uint64_t account_group;
    member_record_t record;
    uint32_t semantics_version;
    uint32_t degraded_level;
    uint32_t group_cells;
    uint32_t member_cells;
    uint32_t wallet_count;
    uint32_t stopped_count;
    uint32_t sold_count;
    uint32_t found_count;
    uint32_t flags;           /* FACTS_FLAG_ */
    uint32_t shared_count;
} facts_header_t;
_Static_assert(sizeof(facts_header_t) == 160, "drawn without padding");

#define FACTS_FLAG_VOIDED_BEFORE 1 /* a void of this receipt came before the sale */
#define FACTS_FLAG_TOTALLED 2      /* total_facts_t stands behind the shared counters and rights */
#define FACTS_FLAG_EXCHANGE 4      /* exchange_facts_t stands behind those */
#define FACTS_FLAG_FUELLED 8       /* rights stand behind the shared counters: their number in eight
                                    * bytes, then fuel_right_t each */

#define FACTS_FLAG_CLAIM 16        /* claim_facts_t stands behind the shared counters */
#define FACTS_FLAG_TOOK_BACK 32    /* goods came back in the basket */

/* An offer that was authorised for a fill before it began. */
typedef struct fuel_right {
    uint64_t offer;           /* key */
    int64_t points;           /* that it takes at most; 0: it takes none */
    uint32_t line_id;
    uint32_t reserved;
} fuel_right_t;
_Static_assert(sizeof(fuel_right_t) == 24, "drawn without padding");

/* Of a sale that named a total or holds: this, then the cells of the group's record when it was
 * posted, the missing records, the captured ones, and the request that had been totalled, padded
 * with zeros to 8 bytes. What is before it is what the total was decided on. */
typedef struct total_facts {
    uint64_t position;        /* of the total's entry; 0: it was not used, the sale was decided */
    uint32_t request_bytes;
    uint32_t group_cells;
    uint32_t missing_count;
    uint32_t captured_count;
} total_facts_t;
_Static_assert(sizeof(total_facts_t) == 24, "drawn without padding");

/* Of a claim: this, then the request and the facts of the sale, each padded with zeros to 8 bytes.
 * The facts before it are those of who claims; the sold lines among them are the sale's. */
typedef struct claim_facts {
    uint64_t position;        /* of the sale's entry */
    int64_t refunded_minor;   /* of the sale before the claim */
    int64_t net_minor;        /* of its lines */
    int64_t confirmed;        /* what awaits an event: 0 it waits, -1 cancelled, else its key */
    uint32_t request_bytes;
    uint32_t facts_bytes;
    uint32_t is_whole;        /* nothing of the sale was left */
    uint32_t reserved;
} claim_facts_t;
_Static_assert(sizeof(claim_facts_t) == 48, "drawn without padding");

/* What a sale could not honour of its total or its holds. */
typedef struct missing {
    uint32_t kind;            /* wire enum SaleExceptionKind */
    uint32_t number;          /* of the offer, purse, coupon or capture; 0 where it is of none */
    int64_t points;
    int64_t amount_minor;
} missing_t;
_Static_assert(sizeof(missing_t) == 24, "drawn without padding");

/* Points of a hold that a sale spent beyond those that paid. */
typedef struct captured {
    uint32_t purse;
    int32_t day;              /* whose lots back it: the hold's; of one that ended, the sale's */
    int64_t points;
} captured_t;
_Static_assert(sizeof(captured_t) == 16, "drawn without padding");

/* Of a basket in which goods of an earlier sale come back: this, then what each such line refunds,
 * and the reversal as it was answered, padded with zeros to 8 bytes. */
typedef struct exchange_facts {
    uint64_t position;        /* of the entry of that sale */
    uint32_t refund_count;
    uint32_t first_movement;  /* of the entry's: from here on they are those of the return */
    uint32_t reversal_bytes;  /* a total has none: nothing came back yet */
    uint32_t reserved;
} exchange_facts_t;
_Static_assert(sizeof(exchange_facts_t) == 24, "drawn without padding");

/* What one return line of a basket refunds, by the rules or, where it was paid out, as it was. */
typedef struct refund {
    uint32_t line_id;         /* of the basket */
    uint32_t reserved;
    int64_t refund_minor;
} refund_t;
_Static_assert(sizeof(refund_t) == 16, "four to a cache line");

/* Whom one identifier of the request had found. */
typedef struct found_record {
    uint64_t member;
    uint64_t account_group;
    uint16_t tier;
    uint8_t result;
    uint8_t role;
    uint32_t reserved;
} found_record_t;
_Static_assert(sizeof(found_record_t) == 24, "drawn without padding");

/* What a counter that is not the member's or the group's had given when the sale was decided. */
typedef struct shared_counter {
    uint64_t offer;           /* key */
    int64_t given;
    int32_t window;           /* first day, days since 1970-01-01; 0 campaign */
    uint8_t scope;            /* LIMIT_SCOPE_ CARD, STORE, GLOBAL */
    uint8_t number;           /* of the limit within its offer */
    uint16_t reserved;
} shared_counter_t;
_Static_assert(sizeof(shared_counter_t) == 24, "drawn without padding");

/* A sale line as it was decided. */
typedef struct sold_line {
    uint32_t line_id;
    uint32_t reserved;
    int64_t count;
    int64_t gross_minor;
    int64_t net_minor;
} sold_line_t;
_Static_assert(sizeof(sold_line_t) == 32, "two to a cache line");

#endif
