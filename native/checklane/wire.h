/* Bytes in, bytes out: requests of the published contract (proto/checklane/v1) become structs, and
 * what the engine answers becomes bytes. Nothing here allocates, recurses, blocks or keeps state of
 * its own; everything may be called from any thread, each with a wire_t of its own.
 *
 * wire_fields.c  the contract as tables: number, name, type, range of every field that is read
 * wire_read.c    protobuf -> the sent_ structs below
 * wire_check.c   the checks that need no table, and the way through a request
 * wire_basket.c  sent basket -> basket_t; content, key and receipt hashes
 * wire_put.h     the writer; wire_decision.c a Decision; wire_write.c the answers of all methods
 * basket.c       basket_t -> canonical runs */
#ifndef CHECKLANE_WIRE_H
#define CHECKLANE_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "basket.h"
#include "limits.h"
#include "siphash.h"
#include "snapshot.h"
#include "status.h"

/* Requests that are read here. The numbers are part of the idempotency hash: once and for good. */
#define REQUEST_IDENTIFY_MEMBER 1
#define REQUEST_QUOTE_BASKET 2
#define REQUEST_COMMIT_TRANSACTION 3
#define REQUEST_VOID_TRANSACTION 4
#define REQUEST_RETURN_ITEMS 5
#define REQUEST_ENROL_MEMBER 6
#define REQUEST_GET_MEMBER 7
#define REQUEST_UPDATE_MEMBER 8
#define REQUEST_LINK_IDENTIFIER 9
#define REQUEST_ACTIVATE_OFFER 10
#define REQUEST_LIST_ENTRIES 11
#define REQUEST_STOP_OFFER 12
#define REQUEST_ADJUST_ACCOUNT 13
#define REQUEST_CONFIRM_POINTS 14
#define REQUEST_MERGE_MEMBERS 15
#define REQUEST_CREATE_HOLD 16
#define REQUEST_CAPTURE_HOLD 17
#define REQUEST_RELEASE_HOLD 18
#define REQUEST_EXTEND_HOLD 19
#define REQUEST_TOTAL_BASKET 20
#define REQUEST_AUTHORIZE_FUEL 21
#define REQUEST_CLOSE_DATE 22
#define REQUEST_CLAIM_TRANSACTION 23
#define REQUEST_KINDS 24

/* Ceilings of the contract that only the wire knows. */
#define TOKEN_BYTES_MAX 128
#define TENDER_LINES_MAX BASKET_LINES_MAX
#define LINE_OFFERS_MAX 8
#define HOLD_CAPTURES_MAX 16
#define FUEL_QUANTITY_DEFAULT 1000000 /* thousandths: no pump gives more in one fill */
#define PROFILE_FIELDS_MAX 32
#define CONSENTS_MAX 32
#define NAMES_MAX WALLET_MAX /* the longest list of texts: wallet offers of a new member */
#define NAME_LISTS 4
#define WIRE_LISTS (15 + NAME_LISTS)
#define TIME_MIN_UNIX_MS 946684800000
#define TIME_MAX_UNIX_MS 4102444799999

/* ------------------------------------------------------- a request as it was sent ---- */

/* The fields stand in the contract's order and keep its names. Scalars of every type take eight
 * bytes; texts point into the request. Bit n of `present` is set when field number n was given: an
 * `optional` field that was sent, any other that is neither zero nor empty. What is absent is zero.
 * A span is a part of one of wire_t's lists. Fields of lists that this version does not act upon
 * are read, checked and hashed all the same. */
typedef struct span {
    uint32_t first;
    uint32_t count;
} span_t;

static inline bool is_present(uint64_t present, unsigned number)
{
    return (present >> number & 1) != 0;
}

typedef struct context {
    uint64_t present;
    bytes_t correlation_id;
    bytes_t idempotency_key;
    int64_t attempt;
    int64_t sent_time_unix_ms;
    int64_t training;
    bytes_t store_id;
    bytes_t till_id;
    bytes_t operator_id;
} context_t;

typedef struct receipt_id {
    uint64_t present;
    bytes_t store_id;
    int64_t business_date;
    bytes_t till_id;
    int64_t sequence;
} receipt_id_t;

typedef struct sent_identifier {
    uint64_t present;
    int64_t kind;
    bytes_t value;
    int64_t role;
    int64_t entry_method;
} sent_identifier_t;

typedef struct sent_measure {
    uint64_t present;
    int64_t quantity_thousandths;
    int64_t unit;
} sent_measure_t;

typedef struct sent_pos_discount {
    uint64_t present;
    bytes_t reason;
    int64_t amount_minor;
    bytes_t funder_id;
} sent_pos_discount_t;

typedef struct original_line {
    uint64_t present;
    receipt_id_t receipt;
    int64_t line_id;
    int64_t reason;
    bytes_t receipt_capsule;
} original_line_t;

typedef struct sent_fuel {
    uint64_t present;
    bytes_t grade;
    int64_t price_level;
    bytes_t pump_id;
    bytes_t hold_id;
    int64_t sale_kind;
    int64_t prepaid_amount_minor;
} sent_fuel_t;

typedef struct sent_line {
    uint64_t present;
    int64_t line_id;
    bytes_t product_code;
    int64_t code_kind;
    int64_t count;
    int64_t amount_minor;
    int64_t list_amount_minor;
    int64_t kind;
    int64_t price_source;
    sent_measure_t measure;
    span_t pos_discounts;
    int64_t no_discount;
    int64_t no_earn;
    int64_t no_redeem;
    int64_t parent_line_id;
    bytes_t department_code;
    int64_t age_verified;
    int64_t opaque;
    original_line_t original;
    int64_t unit_price_minor_thousandths;
    sent_fuel_t fuel;
} sent_line_t;

typedef struct sent_coupon {
    uint64_t present;
    bytes_t code;
    bytes_t scanned_data;
    bytes_t serial;
    int64_t kind;
    int64_t entry_method;
} sent_coupon_t;

#define TENDER_AMOUNT 2
#define UNIT_PRICE_OF_LINE 19
#define FUEL_OF_LINE 20
typedef struct sent_tender {
    uint64_t present;
    int64_t kind;
    int64_t amount_minor;
    span_t line_ids;
    bytes_t card_bin;
    bytes_t scheme;
    bytes_t tender_id;
} sent_tender_t;

typedef struct sent_selection {
    uint64_t present;
    bytes_t offer_id;
    int64_t times;
} sent_selection_t;

#define REDEMPTION_POINTS 2
#define REDEMPTION_AMOUNT 3
#define REDEMPTION_COUNT 6
typedef struct sent_redemption {
    uint64_t present;
    bytes_t purse_id;
    int64_t points;
    int64_t amount_minor;
    bytes_t offer_id;
    int64_t line_id;
    int64_t count;
} sent_redemption_t;

typedef struct sent_basket {
    uint64_t present;
    bytes_t basket_id;
    bytes_t store_id;
    bytes_t till_id;
    span_t lines;
    span_t identifiers;
    span_t coupons;
    span_t tenders;
    int64_t opened_time_unix_ms;
    int64_t utc_offset_minutes;
    int64_t business_date;
    int64_t channel;
    span_t selections;
    span_t redemptions;
    bytes_t currency_code; /* empty or three letters; the engine compares it with the program's */
    bytes_t shift_id;
} sent_basket_t;

typedef struct offer_figures {
    uint64_t present;
    bytes_t offer_id;
    int64_t offer_version;
    int64_t discount_minor;
} offer_figures_t;

typedef struct line_figures {
    uint64_t present;
    int64_t line_id;
    int64_t discount_minor;
    span_t offers; /* of wire_t.offer_figures */
} line_figures_t;

typedef struct purse_points {
    uint64_t present;
    bytes_t purse_id;
    int64_t points;
} purse_points_t;

#define FIGURES_DISCOUNT_MINOR 1
#define FIGURES_DUE_MINOR 2
typedef struct figures {
    uint64_t present;
    int64_t discount_minor;
    int64_t due_minor;
    span_t lines;  /* of wire_t.line_figures */
    span_t points; /* of wire_t.purse_points */
} figures_t;

#define HOLD_CAPTURE_POINTS 2
#define HOLD_CAPTURE_USES 3
#define HOLD_CAPTURE_QUANTITY 4
typedef struct hold_capture {
    uint64_t present;
    bytes_t hold_id;
    int64_t points;
    int64_t uses;
    int64_t quantity_thousandths;
    bytes_t owner;
} hold_capture_t;

#define RETURN_LINE_COUNT 2
#define RETURN_LINE_QUANTITY 3
#define RETURN_LINE_REFUND 4
typedef struct return_line {
    uint64_t present;
    int64_t line_id;
    int64_t count;
    int64_t quantity_thousandths;
    int64_t refund_minor;
    int64_t reason;
} return_line_t;

typedef struct profile_field {
    uint64_t present;
    bytes_t name;
    bytes_t value;
} profile_field_t;

#define MEMBER_REF_ID 1
#define MEMBER_REF_NUMBER 2
#define MEMBER_REF_IDENTIFIER 3
/* Exactly one of the three is present. */
typedef struct member_ref {
    uint64_t present;
    bytes_t member_id;
    int64_t member_number; /* the 64 bits as sent */
    sent_identifier_t identifier;
} member_ref_t;

#define IDENTIFY_UTC_OFFSET 4
typedef struct identify_request {
    uint64_t present;
    context_t context;
    span_t identifiers;
    int64_t opened_time_unix_ms;
    int64_t utc_offset_minutes;
    bytes_t locale;
    int64_t include_wallet;
    int64_t include_holds;
} identify_request_t;

typedef struct quote_request {
    uint64_t present;
    context_t context;
    sent_basket_t basket;
    int64_t explain;
    int64_t near_miss_limit;
    bytes_t locale;
} quote_request_t;

#define TOTAL_HOLD_SECONDS 6
/* Begins as quote_request_t does. */
typedef struct total_request {
    uint64_t present;
    context_t context;
    sent_basket_t basket;
    int64_t explain;
    int64_t near_miss_limit;
    bytes_t locale;
    int64_t hold_seconds;
} total_request_t;

#define COMMIT_FIGURES 8
typedef struct commit_request {
    uint64_t present;
    context_t context;
    receipt_id_t receipt;
    sent_basket_t basket;
    bytes_t total_token;
    int64_t paid;
    int64_t refuse_on_change;
    figures_t figures;
    int64_t completed_time_unix_ms;
    bytes_t locale;
    span_t hold_captures;
    int64_t degraded_level; /* as sent: 0 and 1 are FULL */
    int64_t explain;
    int64_t issue_capsule;
} commit_request_t;

#define VOID_ORIGINAL_RECEIPT 2
#define VOID_RECEIPT 4
/* original_receipt is present and whole, or original_idempotency_key is not empty. */
typedef struct void_request {
    uint64_t present;
    context_t context;
    receipt_id_t original_receipt;
    bytes_t original_idempotency_key;
    receipt_id_t receipt;
    bytes_t reason;
    int64_t completed_time_unix_ms;
} void_request_t;

typedef struct return_request {
    uint64_t present;
    context_t context;
    receipt_id_t original_receipt;
    receipt_id_t receipt;
    span_t lines; /* of wire_t.return_lines; at least one, each line_id once */
    int64_t reason;
    int64_t completed_time_unix_ms;
    int64_t paid;
    bytes_t receipt_capsule;
    bytes_t locale;
    int64_t points_settled;
} return_request_t;

typedef struct claim_request {
    uint64_t present;
    context_t context;
    receipt_id_t receipt;
    span_t identifiers;
    int64_t claimed_time_unix_ms;
} claim_request_t;

typedef struct enrol_request {
    uint64_t present;
    context_t context;
    bytes_t member_id;
    bytes_t group_id;
    span_t identifiers;
    bytes_t tier_id;
    span_t segment_ids; /* of wire_t.names[0] */
    span_t consent_ids; /* of wire_t.names[1] */
    int64_t birth_month_day;
    span_t profile;
    span_t offer_ids;   /* of wire_t.names[2] */
} enrol_request_t;

typedef struct get_request {
    uint64_t present;
    context_t context;
    member_ref_t member;
    int64_t include_profile;
    bytes_t locale;
} get_request_t;

#define UPDATE_TIER_ID 3
#define UPDATE_BIRTH_MONTH_DAY 8
#define UPDATE_BLOCKED 9
#define UPDATE_GROUP_ID 10
#define UPDATE_REFERRER 12
typedef struct update_request {
    uint64_t present;
    context_t context;
    member_ref_t member;
    bytes_t tier_id;
    span_t add_segment_ids;    /* of wire_t.names[0] */
    span_t remove_segment_ids; /* of wire_t.names[1] */
    span_t add_consent_ids;    /* of wire_t.names[2] */
    span_t remove_consent_ids; /* of wire_t.names[3] */
    int64_t birth_month_day;
    int64_t blocked;
    bytes_t group_id;
    span_t profile;
    member_ref_t referrer;
} update_request_t;

typedef struct link_request {
    uint64_t present;
    context_t context;
    member_ref_t member;
    sent_identifier_t identifier;
    int64_t remove;
} link_request_t;

#define WALLET_ACTION_ACTIVATE 1
#define WALLET_ACTION_ASSIGN 2
#define WALLET_ACTION_DEACTIVATE 3
#define WALLET_ACTION_REMOVE 4
typedef struct activate_request {
    uint64_t present;
    context_t context;
    member_ref_t member;
    bytes_t offer_id;
    int64_t action; /* WALLET_ACTION_; the default is filled in */
    int64_t expire_date;
} activate_request_t;

typedef struct entries_request {
    uint64_t present;
    context_t context;
    member_ref_t member;
    int64_t page_size; /* the default is filled in */
    bytes_t page_token;
} entries_request_t;

typedef struct stop_request {
    uint64_t present;
    context_t context;
    bytes_t offer_id;
    int64_t resume;
    bytes_t reason;
} stop_request_t;

typedef struct close_date_request {
    uint64_t present;
    context_t context;
    int64_t business_date;
} close_date_request_t;

#define ADJUST_POINTS 4
typedef struct adjust_request {
    uint64_t present;
    context_t context;
    member_ref_t member;
    bytes_t purse_id;
    int64_t points;
    bytes_t reason;
    int64_t active_date;
    int64_t expire_date;
    int64_t allow_debt;
} adjust_request_t;

typedef struct confirm_request {
    uint64_t present;
    context_t context;
    receipt_id_t original_receipt;
    int64_t cancelled;
    int64_t event_date;
    bytes_t reason;
} confirm_request_t;

typedef struct merge_request {
    uint64_t present;
    context_t context;
    member_ref_t surviving_member;
    member_ref_t merged_member;
    bytes_t reason;
} merge_request_t;

#define CREATE_HOLD_POINTS 5
#define CREATE_HOLD_COUPON 6
#define CREATE_HOLD_USES 8
#define CREATE_HOLD_SECONDS 10
typedef struct create_hold_request {
    uint64_t present;
    context_t context;
    span_t identifiers;
    int64_t kind;   /* HOLD_KIND_ POINTS, COUPON or OFFER_USE, with what it needs */
    bytes_t purse_id;
    int64_t points;
    sent_coupon_t coupon;
    bytes_t offer_id;
    int64_t uses;   /* 1 when absent */
    bytes_t basket_id;
    int64_t hold_seconds;
    bytes_t owner;
} create_hold_request_t;

typedef struct capture_hold_request {
    uint64_t present;
    context_t context;
    hold_capture_t capture;
    receipt_id_t receipt;
    int64_t keep_rest;
} capture_hold_request_t;

/* hold_id or basket_id is not empty. */
typedef struct release_hold_request {
    uint64_t present;
    context_t context;
    bytes_t hold_id;
    bytes_t basket_id;
    bytes_t owner;
} release_hold_request_t;

typedef struct extend_hold_request {
    uint64_t present;
    context_t context;
    bytes_t hold_id;
    int64_t hold_seconds;
    bytes_t owner;
} extend_hold_request_t;

typedef struct sent_fuel_price {
    uint64_t present;
    bytes_t grade;
    int64_t price_level;
    int64_t unit_price_minor_thousandths;
    bytes_t product_code;
    int64_t code_kind;
} sent_fuel_price_t;

#define FUEL_PREPAID 6
#define FUEL_OFFSET 10
#define FUEL_SECONDS 12
#define FUEL_QUANTITY 16
typedef struct fuel_request {
    uint64_t present;
    context_t context;
    span_t identifiers;
    bytes_t pump_id;
    span_t prices;
    int64_t sale_kind;
    int64_t prepaid_amount_minor;
    span_t tenders;
    bytes_t basket_id;
    int64_t opened_time_unix_ms;
    int64_t utc_offset_minutes;
    int64_t business_date;
    int64_t hold_seconds;
    int64_t unit;
    span_t coupons;
    span_t redemptions;
    int64_t max_quantity_thousandths;
    int64_t fuelling_begun;
} fuel_request_t;

typedef struct request_head {
    uint64_t present;
    context_t context;
} request_head_t;

/* Memory for one request: about 560 KiB a session, of which a request touches what it has. Every
 * list has one place more than its ceiling: what is too much is read over there, and refused. */
typedef struct wire {
    uint32_t kind;        /* REQUEST_ of what was read last */
    uint32_t line_count;
    bytes_t request;
    bytes_t store_id;     /* of the sender: the context's, else the basket's, else the receipt's */
    bytes_t till_id;
    union {
        request_head_t head;   /* what all of them begin with */
        identify_request_t identify;
        quote_request_t quote;
        total_request_t total;
        commit_request_t commit;
        void_request_t cancel; /* VoidTransaction */
        return_request_t give_back;
        claim_request_t claim;
        enrol_request_t enrol;
        get_request_t get;
        update_request_t update;
        link_request_t link;
        activate_request_t activate;
        entries_request_t entries;
        stop_request_t stop;
        close_date_request_t close_date;
        adjust_request_t adjust;
        confirm_request_t confirm;
        merge_request_t merge;
        create_hold_request_t create_hold;
        capture_hold_request_t capture_hold;
        release_hold_request_t release_hold;
        extend_hold_request_t extend_hold;
        fuel_request_t fuel;
    };
    fault_t fault;
    uint32_t counts[WIRE_LISTS];           /* filled places of each list below */
    uint16_t line_order[BASKET_LINES_MAX]; /* indices of lines or return_lines by line_id */
    sent_line_t lines[BASKET_LINES_MAX + 1];
    sent_pos_discount_t pos_discounts[POS_DISCOUNTS_MAX + 1];
    sent_identifier_t identifiers[IDENTIFIERS_MAX + 1];
    sent_coupon_t coupons[COUPONS_MAX + 1];
    sent_tender_t tenders[TENDERS_MAX + 1];
    int64_t tender_lines[TENDERS_MAX * TENDER_LINES_MAX + 1];
    sent_selection_t selections[SELECTIONS_MAX + 1];
    sent_redemption_t redemptions[SELECTIONS_MAX + 1];
    line_figures_t line_figures[BASKET_LINES_MAX + 1];
    offer_figures_t offer_figures[BASKET_LINES_MAX * LINE_OFFERS_MAX + 1];
    purse_points_t purse_points[PURSES_MAX + 1];
    hold_capture_t hold_captures[HOLD_CAPTURES_MAX + 1];
    sent_fuel_price_t fuel_prices[FUEL_PRICES_MAX + 1];
    return_line_t return_lines[BASKET_LINES_MAX + 1];
    profile_field_t profile[PROFILE_FIELDS_MAX + 1];
    bytes_t names[NAME_LISTS][NAMES_MAX + 1]; /* see enrol_request_t and update_request_t */
} wire_t;

/* Reads the request of that kind and judges all that needs no table: statuses 10 to 29. The
 * fault with the lowest number is answered; of equal ones the first in the order of the contract's
 * fields and of their items (for REQUEST_MALFORMED and TEXT_NOT_UTF8: the first in the bytes).
 * Reads what the official runtime reads: unknown fields and groups are skipped, repeated numbers
 * may be packed or not, of a scalar sent twice the last holds, of a message the two are merged.
 * For requests with a basket (wire_basket) `basket` is filled up to the products:
 * line.product is NONE_32, runs and pieces are empty, utc offset and dates are as sent (a commit
 * has its receipt's business date). `basket` may be NULL; for other kinds it is not touched.
 * On a fault nothing of `wire` or `basket` may be used. `request` must stay as long as both.
 * No allocation. Cost: some ten nanoseconds a field. */
status_t wire_read(wire_t *wire, uint32_t kind, const uint8_t *request, uint32_t request_size,
                   basket_t *basket, fault_t *fault);

/* After store, key and receipt were judged: LINE_UNKNOWN where `figures` of a commit name no line
 * of its basket. */
status_t wire_check_figures(const wire_t *wire, fault_t *fault);

/* The basket of a quote, a total or a commit; NULL for other kinds. */
const sent_basket_t *wire_basket(const wire_t *wire);

/* What a basket sells and to whom: its id, store, lines, identifiers, coupons, selections and
 * redemptions; not the till, the tenders, times and dates. As wire_content_hash tells alike. */
hash128_t wire_goods_hash(const wire_t *wire, const uint64_t key[2]);

/* Index into wire->lines (or return_lines) of a line id, by binary search; NONE_32: none. */
uint32_t wire_find_line(const wire_t *wire, int64_t line_id);

/* What the request that was read means, without its context (but with `training`): the order of
 * fields and of lines, unknown fields and values that equal their default do not matter. SipHash
 * under `key` (zeros will do) over 64-bit words; see wire_basket.c. */
hash128_t wire_content_hash(const wire_t *wire, const uint64_t key[2]);

/* Names of an idempotency key and of a receipt. `kind` is REQUEST_. Pure. */
hash128_t wire_key_hash(const uint64_t key[2], bytes_t store_id, bytes_t till_id, uint32_t kind,
                        bytes_t idempotency_key);
hash128_t wire_receipt_hash(const uint64_t key[2], const receipt_id_t *receipt);

/* Name of a coupon with a serial, both at most VALUE_BYTES_MAX: what is issued and used once. */
hash128_t wire_coupon_hash(bytes_t code, bytes_t serial);

/* The basket of a fuel authorisation, without its line; and its line for one price and a volume. */
void wire_fill_fuel(const wire_t *wire, basket_t *basket);
void wire_fill_fill(const wire_t *wire, uint32_t price, int64_t milli, line_t *line);

/* Fills coupon `index` of the basket: code, what a scanner read, and what of it is used once. */
void wire_fill_coupon(const sent_coupon_t *sent, basket_t *basket, uint32_t index);

/* Product code of layout.h from what the lane sent; 0: not of that form. `code_kind` is
 * CODE_KIND_. A GTIN needs its check digit; leading zeros do not matter. */
uint64_t product_code(int64_t code_kind, bytes_t text);

/* Key of a name: the hash of "space:name", such as "offer:soup-3-for-5", without a secret, for it
 * is the same everywhere and for good. Never 0, which marks an empty slot. The name has at most
 * VALUE_BYTES_MAX bytes. */
uint64_t name_key_of(const char *space, bytes_t name);

/* Days since 1970-01-01 of a date yyyymmdd and back. INT32_MIN: not in the calendar, or not in
 * 2000 to 2099. date_from_day answers 0 for DAY_NEVER and for days outside of those years. */
int32_t day_from_date(int64_t date);
int32_t date_from_day(int32_t day);

/* Fills runs and pieces (basket.h) from the SALE, FEE and CHARGE lines that are not opaque;
 * line.product must be set. The same units give the same runs however they are spread over lines.
 * In place, no allocation, O(n log n). */
void basket_canonicalise(basket_t *basket, const catalogue_t *catalogue,
                         exclusions_t exclusions);

/* ------------------------------------------------------------------- what is answered ---- */

/* The caller's memory, and what was written: canonical protobuf, equal byte for byte to the
 * official runtime's deterministic serialisation. STATUS_REPLY_TOO_LARGE when it does not fit;
 * `size` is 0 then. */
typedef struct reply {
    uint8_t *at;
    uint32_t capacity;
    uint32_t size;
} reply_t;

/* Numbers of the wire enums. */
#define FOUND_MEMBER 1
#define FOUND_PROVISIONAL 2
#define FOUND_PROVISIONAL_NEW 3
#define FOUND_UNKNOWN 4
#define FOUND_BLOCKED 5
#define FOUND_SURPLUS 6
#define FOUND_SKIPPED 7
#define COMMIT_POSTED 1
#define COMMIT_POSTED_WITH_EXCEPTIONS 2
#define COMMIT_VOIDED_BEFORE 3
#define COMMIT_TRAINING 4
#define VOID_VOIDED 1
#define VOID_TOMBSTONE 2
#define VOID_TRAINING 3
#define EARN_REASON_REFERRAL 7
#define EARN_REASON_VOID 9
#define EARN_REASON_RETURN 10
#define EARN_REASON_CLAIM 11
#define MEMBER_STATE_ACTIVE 1
#define MEMBER_STATE_PROVISIONAL 2
#define MEMBER_STATE_BLOCKED 3
#define MEMBER_STATE_MERGED 4

/* Who an identifier found; by the index of the identifier. */
typedef struct found {
    uint64_t member;          /* 0: nobody */
    uint64_t account_group;
    uint16_t tier;            /* number; answered by its id where a member was found */
    uint8_t result;           /* FOUND_ */
    uint8_t role;             /* as sent, the default filled in */
} found_t;

/* One purse, in its smallest units. Days since 1970-01-01. */
typedef struct balance {
    uint32_t purse;           /* number, from 1 */
    int32_t expire_day;       /* DAY_NEVER: nothing expires */
    int64_t available;        /* without what is held; negative with a debt */
    int64_t pending;
    int64_t held;
    int64_t expiring;
} balance_t;

/* Numbers of the wire enum SaleExceptionKind. */
#define EXCEPTION_DISCOUNT_DIFFERS 1
#define EXCEPTION_POINTS_DIFFER 2
#define EXCEPTION_POINTS_SHORT 3
#define EXCEPTION_LIMIT_PASSED 4
#define EXCEPTION_BUDGET_PASSED 5
#define EXCEPTION_COUPON_USED 6
#define EXCEPTION_HOLD_EXPIRED 9
#define EXCEPTION_TOTAL_UNKNOWN 10
#define EXCEPTION_PROGRAM_NOT_KEPT 11
#define EXCEPTION_DATE_CLOSED 12
#define EXCEPTION_ORIGINAL_UNKNOWN 13
#define EXCEPTION_CLAW_BACK_SHORT 14
#define EXCEPTION_COUPON_HELD 15
#define EXCEPTION_HOLD_UNKNOWN 16
#define EXCEPTION_RETURN_NOT_ALLOWED 17
#define EXCEPTION_REFUND_CUT 18

typedef struct exception {
    uint32_t kind;            /* EXCEPTION_ */
    uint32_t line_id;         /* 0: the whole sale */
    bytes_t offer_id;
    bytes_t purse_id;
    int64_t amount_minor;
    int64_t points;
    bytes_t text;
} exception_t;

typedef struct posting {
    int64_t lsn;
    int64_t post_unix_ms;
    int32_t business_date;    /* yyyymmdd */
} posting_t;

/* Points granted or taken back, for one reason. */
typedef struct points {
    uint32_t offer;           /* number in the program; NONE_32 none */
    uint32_t line_id;
    uint8_t purse;
    uint8_t reason;           /* wire enum EarnReason */
    int32_t activation_day;   /* 0: at once */
    int32_t expiry_day;       /* 0 or DAY_NEVER: does not expire */
    int64_t points;
    const progress_t *progress; /* whose goal gives them; NULL none */
} points_t;

typedef struct wallet_offer {
    uint64_t offer_key;       /* left out when the live program does not have it */
    int32_t expire_date;
    bool activated;
    bool is_counted;          /* held by grants of a progress only: so many uses are left */
    int64_t remaining_uses;
} wallet_offer_t;

/* Everything that a Decision says. `facts` may not be NULL. Texts are in `locale`: exactly that,
 * else its language, else the offer's first. */
typedef struct decision_answer {
    const basket_t *basket;
    const decision_t *decision;
    const program_t *program;
    const catalogue_t *catalogue;
    const facts_t *facts;
    const found_t *found;
    const exception_t *exceptions;
    uint32_t found_count;
    uint32_t exception_count;
    bytes_t locale;
} decision_answer_t;

/* A serial of a coupon that a sale issues: a number of 64 bits, in decimal. */
#define SERIAL_DIGITS 20
typedef struct serial {
    uint8_t digits[SERIAL_DIGITS];
} serial_t;

typedef struct commit_answer {
    decision_answer_t decision;
    const serial_t *serials;  /* decision_t.issued_count of them; NULL: none is issued */
    posting_t posting;
    const balance_t *balances; /* after the sale */
    uint32_t balance_count;
    uint32_t outcome;         /* COMMIT_ */
    bytes_t receipt_capsule;
    bytes_t reversal;         /* as wire_write_reversal wrote it; empty: nothing came back */
} commit_answer_t;

/* What a claim gave: the awards and the found of `decision`. */
typedef struct claim_answer {
    decision_answer_t decision;
    const balance_t *balances; /* after the claim */
    uint32_t balance_count;
    posting_t posting;
} claim_answer_t;

/* A hold, or one of the things that it keeps. */
typedef struct hold_answer {
    uint64_t number;          /* named "h-" and the number */
    uint32_t kind;            /* HOLD_KIND_ */
    uint32_t state;           /* HOLD_STATE_ */
    uint32_t purse;           /* 0: none */
    uint32_t offer;           /* number in the program; NONE_32 none */
    int64_t points;
    int64_t uses;
    int64_t amount_minor;
    bytes_t coupon_serial;
    bytes_t basket_id;
    bytes_t store_id;
    bytes_t till_id;
    int64_t create_unix_ms;
    int64_t expire_unix_ms;
    bytes_t owner;
} hold_answer_t;

/* What a call that makes or changes holds answers: the holds and purses as it leaves them. */
typedef struct holds_answer {
    const program_t *program;
    const hold_answer_t *holds;
    const balance_t *balances;
    uint32_t hold_count;
    uint32_t balance_count;
    int64_t captured_points;
    posting_t posting;
} holds_answer_t;

/* An offer of one price of a fuel authorisation. */
typedef struct fuel_offer {
    uint32_t offer;
    uint8_t purse;            /* 0: it takes no points */
    int64_t step;             /* off a unit of measure, thousandths of a minor unit */
    int64_t milli;            /* for so much of it */
    int64_t points;
} fuel_offer_t;

/* What comes off one price at the pump: offers[first .. first + count) of the answer. */
typedef struct fuel_row {
    const struct sent_fuel_price *sent;
    int64_t step;
    int64_t milli;
    int64_t floor;
    uint32_t first;
    uint32_t count;
} fuel_row_t;

typedef struct fuel_answer {
    const program_t *program;
    const hold_answer_t *holds;
    const fuel_row_t *rows;
    const fuel_offer_t *offers;
    const found_t *found;
    uint32_t hold_count;
    uint32_t row_count;
    uint32_t found_count;
    posting_t posting;
} fuel_answer_t;

typedef struct total_answer {
    decision_answer_t decision;
    bytes_t token;            /* empty in training */
    int64_t expire_unix_ms;
    const hold_answer_t *holds;
    uint32_t hold_count;
    posting_t posting;
} total_answer_t;

typedef struct identify_answer {
    const program_t *program;
    const found_t *found;
    const balance_t *balances;
    const wallet_offer_t *wallet; /* in any order */
    const hold_answer_t *holds;   /* oldest first */
    uint32_t found_count;
    uint32_t balance_count;
    uint32_t wallet_count;
    uint32_t hold_count;
    bytes_t locale;
} identify_answer_t;

/* A discount that one funder gets back. */
typedef struct funded {
    bytes_t funder_id;
    int64_t amount_minor;
    uint32_t settlement;      /* SETTLE_ */
} funded_t;

typedef struct reversed_line {
    uint32_t line_id;
    uint32_t funded_count;
    const funded_t *funded;
    int64_t count;
    int64_t gross_minor;
    int64_t discount_minor;
    int64_t refund_minor;
    int64_t remaining_count;
} reversed_line_t;

typedef struct restored_coupon {
    uint32_t coupon_index;
    bytes_t offer_id;
} restored_coupon_t;

typedef struct reversal_answer {
    const program_t *program; /* of the sale: names purses and offers */
    const reversed_line_t *lines; /* by line_id */
    const points_t *points;
    const restored_coupon_t *coupons;
    const exception_t *exceptions;
    const balance_t *balances;
    uint32_t line_count;
    uint32_t points_count;
    uint32_t coupon_count;
    uint32_t exception_count;
    uint32_t balance_count;
    uint32_t outcome;         /* VOID_; a return has none */
    int64_t refund_minor;
    bytes_t kept;             /* as wire_write_kept wrote it; empty: nothing was repriced */
    posting_t posting;
    bool has_reversal;        /* false: a tombstone */
    bytes_t receipt_capsule;  /* a return's */
} reversal_answer_t;

typedef struct progress_state {
    bytes_t progress_id;
    int64_t value;
    int64_t goal;
    int64_t times_reached;
    int32_t window_end_date;
} progress_state_t;

typedef struct profile_item {
    bytes_t name;
    bytes_t value;
} profile_item_t;

typedef struct member_answer {
    const program_t *program;
    uint64_t member;
    uint64_t account_group;
    uint64_t merged_into;
    uint64_t referrer;
    uint32_t state;           /* MEMBER_STATE_ */
    uint16_t tier;
    uint16_t identifier_count;
    int32_t tier_expire_date;
    int32_t birth_month_day;
    const bytes_t *segment_ids;
    const bytes_t *consent_ids;
    const balance_t *balances;
    const wallet_offer_t *wallet;
    const progress_state_t *progress;
    const profile_item_t *profile;
    uint32_t segment_count;
    uint32_t consent_count;
    uint32_t balance_count;
    uint32_t wallet_count;
    uint32_t progress_count;
    uint32_t profile_count;
    const points_t *moved;    /* of a merge: what came from the other; NULL: no merge */
    uint32_t moved_count;
    bytes_t locale;
} member_answer_t;

typedef struct member_entry {
    posting_t posting;
    uint32_t kind;            /* wire enum MemberEntryKind */
    uint32_t points_count;
    const points_t *points;
    bool has_receipt;
    receipt_id_t receipt;
    int64_t discount_minor;
    int64_t due_minor;
    bytes_t reason;
} member_entry_t;

/* One figure that is decided otherwise than it was shown. */
#define FIGURE_PLACE_BYTES 40
typedef struct figure_change {
    char place[FIGURE_PLACE_BYTES]; /* of the request, such as figures.due_minor */
    uint32_t line_id;         /* whose discount it is; 0: no line's */
    int64_t shown;
    int64_t decided;
} figure_change_t;

/* The figures of now: a FiguresChanged. */
typedef struct changed_answer {
    const program_t *program;
    int64_t discount_minor;
    int64_t due_minor;
    int64_t points[PURSES_MAX + 1]; /* by purse */
    uint32_t change_count;
    figure_change_t changes[FIGURE_CHANGES_MAX];
} changed_answer_t;

/* Writers: each begins at reply->at. Pure besides the reply; no allocation. */
status_t wire_write_quote(reply_t *reply, const decision_answer_t *answer);
status_t wire_write_total(reply_t *reply, const total_answer_t *answer);
status_t wire_write_commit(reply_t *reply, const commit_answer_t *answer);
/* At most FIGURES_CHANGED_BYTES_MAX. */
status_t wire_write_changed(reply_t *reply, const changed_answer_t *answer);
status_t wire_write_void(reply_t *reply, const reversal_answer_t *answer);
status_t wire_write_return(reply_t *reply, const reversal_answer_t *answer);
/* The lines of a decision, as the part of a reversal that tells what is kept; without lines that
 * came back. */
status_t wire_write_kept(reply_t *reply, const decision_answer_t *answer);
/* The reversal alone, as a part of a commit's answer. */
status_t wire_write_reversal(reply_t *reply, const reversal_answer_t *answer);
status_t wire_write_claim(reply_t *reply, const claim_answer_t *answer);
status_t wire_write_identify(reply_t *reply, const identify_answer_t *answer);
/* EnrolMember and UpdateMember with a posting, GetMember with NULL. */
status_t wire_write_member(reply_t *reply, const member_answer_t *answer, const posting_t *posting);
status_t wire_write_link(reply_t *reply, uint64_t member, const posting_t *posting);
/* `wallet_offer` NULL after a removal. */
status_t wire_write_activate(reply_t *reply, const program_t *program, bytes_t locale,
                             const wallet_offer_t *wallet_offer, const posting_t *posting);
status_t wire_write_entries(reply_t *reply, const program_t *program, const member_entry_t *entries,
                            uint32_t entry_count, bytes_t next_page_token);
status_t wire_write_stop(reply_t *reply, const program_t *program, uint32_t offer, bool stopped,
                         const posting_t *posting);
status_t wire_write_close(reply_t *reply, int32_t closed_date, const posting_t *posting);
status_t wire_write_adjust(reply_t *reply, const program_t *program, const balance_t *balances,
                           uint32_t balance_count, const posting_t *posting);

/* CreateHold and ReleaseHold; CaptureHold; ExtendHold. */
status_t wire_write_holds(reply_t *reply, const holds_answer_t *answer);
status_t wire_write_capture(reply_t *reply, const holds_answer_t *answer);
status_t wire_write_extend(reply_t *reply, const holds_answer_t *answer);
status_t wire_write_fuel(reply_t *reply, const fuel_answer_t *answer);

/* The number of a hold id; 0: not one that was ever given. */
uint64_t wire_hold_number(bytes_t hold_id);

status_t wire_write_confirm(reply_t *reply, const program_t *program, const points_t *points,
                            uint32_t points_count, const balance_t *balances,
                            uint32_t balance_count, const posting_t *posting);

/* Purses of a group from its cells, as seen on `today`: every declared purse, by the bytes of its
 * id. A lot is available from its activation day to its expiry day, both inclusive; what holds keep
 * of it stands in its `other`, whatever its days are. Returns how many of balances[0 .. PURSES_MAX)
 * were filled. Pure. */
uint32_t balances_of(const cell_t *group_cells, uint32_t cell_count, const program_t *program,
                     int32_t today, balance_t balances[PURSES_MAX]);

/* What funder `index` of an offer bears of `amount` (not negative): its share_bp of it, rounded
 * down; the units that are left go one each to the largest remainders, ties to the first funder.
 * The shares of all funders sum to the amount. Pure. Cost: funding_count. */
int64_t funding_share(const program_t *program, const offer_t *offer, uint32_t index,
                      int64_t amount);

#endif
