"""The structs and names of our headers, for the modules of the decision. Declarations only: the
headers say what each means."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "checklane/status.h" nogil:
    ctypedef enum status_t:
        STATUS_OK
        STATUS_CANDIDATES_CEILING

cdef extern from "checklane/invariant.h" nogil:
    void INVARIANT(bint belief)

cdef extern from "checklane/limits.h" nogil:
    enum:
        BASKET_LINES_MAX
        BASKET_RUNS_MAX
        RUN_WORDS_MAX
        LINE_WORDS_MAX
        IDENTIFIERS_MAX
        COUPONS_MAX
        SELECTIONS_MAX
        TENDERS_MAX
        CANDIDATES_MAX
        COUNTED_MAX
        ISSUED_MAX
        PROGRESS_MAX
        OFFER_SLOTS_MAX
        APPLIED_MAX
        SHARES_MAX
        LINE_SHARES_MAX
        QUALIFYING_SHARES_MAX
        AWARDS_MAX
        NEAR_MISSES_MAX
        FUEL_OFFERS_MAX
        STOPPED_MAX
        FACTS_BYTES_MAX
        SWEPT_MAX
        STEP_BUDGET_DEFAULT
        STEPS_BEYOND
    const int64_t LINE_AMOUNT_MAX

cdef extern from "checklane/layout.h" nogil:
    const uint32_t NONE_32
    const int32_t DAY_NEVER
    enum:
        MEMBER_FLAG_CONSENT
        MEMBER_FLAG_STAFF
        MEMBER_FLAG_BUSINESS
        MEMBER_FLAG_BLOCKED
        MEMBER_FLAG_PROVISIONAL
        PRODUCT_FLAG_NO_DISCOUNT
        PRODUCT_FLAG_NO_EARN
        PRODUCT_FLAG_NO_BURN
        MULTIPLIER_HIGHEST
        MULTIPLIER_ADDITIVE
        MULTIPLIER_COMPOUND
        CONSUME_BY_VOLUME
        FUEL_ANY
        ROUNDING_HALF_AWAY
        ROUNDING_FLOOR
        ROUNDING_CEIL
        LAYER_ITEM
        LAYER_BASKET
        LAYER_TENDER
        LAYER_EARN
        LAYER_REDEMPTION
        MECHANIC_UNIT_OFF
        MECHANIC_BUY_GET
        MECHANIC_CHEAPEST
        MECHANIC_GROUP_PRICE
        MECHANIC_ROW_PRICE
        MECHANIC_THRESHOLD
        MECHANIC_EARN_RATE
        MECHANIC_EARN_BONUS
        MECHANIC_EARN_TIMES
        MECHANIC_TENDER
        MECHANIC_REDEEM
        OFFER_FLAG_BY_ITEM
        OFFER_FLAG_STEPS
        CELL_LOT
        CELL_DEBT
        MECHANIC_SCANNED
        MECHANIC_FUEL
        MECHANIC_ISSUE
        MECHANIC_REFERRAL
        CODE_KIND_GTIN
        FAMILY_CODE_NONE
        REWARD_PERCENT
        REWARD_AMOUNT
        REWARD_PRICE
        REWARD_POINTS
        REWARD_EACH
        OFFER_FLAG_CHOSEN
        OFFER_FLAG_WALLET
        OFFER_FLAG_COUPON
        OFFER_FLAGS_GATED
        OFFER_FLAG_STACKABLE
        OFFER_FLAG_INITIAL_BASE
        OFFER_FLAG_SERIAL
        OFFER_FLAG_ISSUED
        OFFER_FLAG_REDUCED_OUT
        OFFER_FLAG_ONCE_A_VISIT
        OFFER_FLAG_STAFF
        OFFER_FLAG_CHEAPEST_GET
        OFFER_FLAG_DIFFERENT
        OFFER_FLAG_GIFT
        OFFER_FLAG_COST_FLOOR
        OFFER_FLAG_MARGIN
        OFFER_FLAG_RESHARE
        OFFER_FLAG_MORE
        OFFER_FLAG_WHOLE
        OFFER_FLAG_MANUFACTURER
        OFFER_FLAG_STORE_COUPON
        OFFER_FLAG_FACE_VALUE
        SLOT_TAKE
        SLOT_BUY
        SLOT_GET
        SLOT_NEED
        BASE_SPEND
        BASE_COUNT
        BASE_PRODUCTS
        BASE_MEASURE
        SLOT_BASE_SHIFT
        SLOT_BASE_MASK
        SLOT_UNIT_SHIFT
        SLOT_FLAG_UNIVERSAL
        SLOT_FLAG_FEE
        SLOT_FLAG_CHARGE
        SLOT_FLAG_KIND
        LIMIT_SCOPE_MEMBER
        LIMIT_SCOPE_GROUP
        LIMIT_SCOPE_STORE
        LIMIT_SCOPE_GLOBAL
        LIMIT_SCOPE_CARD
        COUNT_SCOPE_GRANT
        COUNT_SCOPE_COUPON
        COUNT_SCOPE_ISSUED
        COUNT_COUPON_HELD
        COUNT_SCOPE_REFERRER
        REFERRER_NONE
        REFERRER_FOUND
        SLOT_PROGRESS
        PROGRESS_SPEND
        PROGRESS_VISITS
        PROGRESS_UNITS
        PROGRESS_POINTS
        CELL_GRANT
        WINDOW_ROLLING
        LIMIT_MEASURE_USES
        LIMIT_MEASURE_MONEY
        LIMIT_MEASURE_UNITS
        LIMIT_MEASURE_SPEND
        WINDOW_CAMPAIGN
        WINDOW_DAY
        WINDOW_WEEK
        WINDOW_MONTH
        WINDOW_YEAR
        SETTLE_THIRD_PARTY
        AUDIENCE_FLAG_MEMBERS
        AUDIENCE_FLAG_NON_MEMBERS
        AUDIENCE_FLAG_CONSENT
        AUDIENCE_FLAG_BUSINESS
        AUDIENCE_FLAG_STAFF
        AUDIENCE_FLAG_REFERRED
        EXPIRY_NEVER
        EXPIRY_DAYS
        EXPIRY_MONTH_END
        EXPIRY_ROLLING
        EXPIRY_FIXED
        CELL_COUNTER
    ctypedef struct member_record_t:
        uint64_t member
        uint64_t account_group
        uint64_t segments[2]
        uint64_t wallet_first
        uint32_t wallet_count
        uint16_t tier
        uint16_t flags
        uint16_t birth_month
        uint16_t birth_day
        uint32_t attributes
        uint32_t home_store
    ctypedef struct product_t:
        uint64_t code
        uint64_t brand_key
        uint64_t vendor_key
        uint64_t flags
        int64_t cost_milli
        int64_t legal_min_minor
        uint32_t category
        uint32_t department
    ctypedef struct store_t:
        uint64_t key
        uint64_t region_key
        uint64_t banner_key
        uint64_t franchise_key
        uint32_t number
        uint32_t zone
        uint32_t first_transition
        uint32_t transition_count
        uint32_t jurisdiction
    ctypedef struct program_header_t:
        uint64_t program_key
        uint64_t step_budget
        uint8_t catalogue_hash[16]
        uint32_t format
        uint32_t semantics_version
        uint32_t program_version
        uint32_t currency
        uint32_t currency_exponent
        uint32_t store_set_words
        uint32_t scan_offers[3]
        uint32_t product_count
        uint32_t offer_count
        uint32_t flags
        uint16_t multiplier_policy
        uint16_t return_policy
        uint16_t claw_back_policy
        uint16_t points_rounding
        uint32_t hold_minutes
        uint32_t return_days
        uint32_t basket_discount_bp
        uint16_t fuel_policy
        int64_t basket_discount_minor
    ctypedef struct offer_t:
        uint64_t key
        int64_t reward_value
        int64_t threshold_minor
        int64_t threshold_count
        int64_t per_minor
        int64_t units_max
        int64_t times_max
        int64_t discount_max_minor
        uint32_t version
        int32_t class_order
        int32_t priority
        uint32_t flags
        uint32_t first_slot
        uint32_t first_limit
        uint32_t first_funding
        uint32_t first_text
        uint32_t store_set
        uint32_t audience
        uint32_t schedule
        uint32_t channel_mask
        uint32_t first_row
        uint32_t row_count
        uint16_t slot_count
        uint16_t limit_count
        uint16_t funding_count
        uint16_t text_count
        uint16_t control_bp
        uint8_t layer
        uint8_t mechanic
        uint8_t reward
        uint8_t rounding
        uint8_t return_allocation
        uint8_t purse
        int64_t get_count
        int64_t floor_minor
        uint32_t source_mask
        uint32_t id_text
        uint32_t id_length
        uint32_t valid_days
        uint32_t first_step
        uint32_t step_count
        int64_t rewarded_max
        int64_t product_units_max
        uint16_t need_count
        uint8_t base
        uint8_t base_unit
        uint8_t per_unit
        uint8_t consume
        int64_t unit_discount_max_minor
        uint32_t exclusive
        uint16_t margin_bp
        uint32_t tender_rule_count
        uint32_t points_step
        uint32_t tender_kinds
        uint32_t first_tender_rule
        int64_t progress_from
        int64_t progress_until
        uint32_t progress
        uint32_t progress_every
    ctypedef struct offer_more_t:
        uint32_t offer
        uint32_t round
        uint32_t first_after
        uint32_t after_count
        int64_t product_discount_max_minor
        int64_t fuel_floor_thousandths
        int64_t fuel_most_milli
        uint32_t fuel_levels
        uint32_t first_grade
        uint32_t grade_count
    ctypedef struct fuel_right_t:
        uint64_t offer
        int64_t points
        uint32_t line_id
    ctypedef struct step_t:
        int64_t from_ "from"
        int64_t reward_value
    ctypedef struct slot_t:
        uint32_t offer
        uint16_t role
        uint16_t flags
        int64_t count
        int64_t unit_min_minor
        int64_t unit_max_minor
    ctypedef struct posting_list_t:
        uint32_t first
        uint32_t count
        uint32_t gated_count
    ctypedef struct universal_list_t:
        uint32_t store_set
        uint32_t first
        uint32_t count
        uint32_t gated_count
    ctypedef struct row_t:
        uint32_t offer
        uint32_t product
        uint32_t zone
        uint32_t units_max
        int64_t price_minor
    ctypedef struct tender_rule_t:
        uint64_t scheme_key
        uint64_t bin
        uint32_t bin_digits
    ctypedef struct retailer_t:
        uint64_t number
        uint32_t digits
    ctypedef struct limit_t:
        int64_t most
        uint8_t scope
        uint8_t measure
        uint8_t window
        uint8_t number
    ctypedef struct funding_t:
        uint32_t funder_text
        uint32_t funder_length
        uint32_t share_bp
        uint32_t settlement
    ctypedef struct audience_t:
        uint64_t any[2]
        uint64_t all[2]
        uint64_t none[2]
        uint32_t tier_mask
        uint32_t flags
        uint32_t birthday
    ctypedef struct schedule_t:
        int64_t from_minute
        int64_t until_minute
        uint16_t hours_from[4]
        uint16_t hours_until[4]
        uint32_t first_blackout
        uint32_t blackout_count
        uint8_t weekday_mask
        uint8_t hours_count
    ctypedef struct purse_t:
        uint64_t key
        int64_t worth_num
        int64_t worth_den
        uint32_t decimals
        uint32_t expiry
        int32_t expiry_n
        int32_t pending_days
        uint32_t id_text
        uint32_t id_length
        uint32_t flags
    ctypedef struct tier_t:
        uint64_t key
        uint32_t id_text
        uint32_t id_length
        uint32_t progress
        int64_t goal
    ctypedef struct progress_t:
        uint64_t key
        int64_t goal
        uint32_t slot
        uint32_t reward_offer
        uint8_t measure
        uint8_t scope
        uint8_t window
        uint8_t repeats
        uint8_t purse
        uint8_t reward_purse
        int64_t reward_points
    ctypedef struct coupon_slot_t:
        uint64_t coupon_key
        uint32_t offer
        uint32_t flags
    ctypedef struct offer_number_t:
        uint64_t key
        uint32_t offer
    ctypedef struct name_slot_t:
        uint64_t key
        uint32_t number
        uint32_t space
        uint32_t id_text
        uint32_t id_length
    ctypedef struct cell_t:
        uint8_t kind
        uint8_t sub
        int32_t day
        uint64_t key
        int64_t value
        int64_t other

    int32_t activation_of(const cell_t *lot)

cdef extern from "checklane/gs1.h" nogil:
    enum:
        GS1_PURCHASES_MAX
        GS1_8110
        GS1_8112
        GS1_UNITS
        GS1_MONEY
        GS1_BASKET
        GS1_POUNDS
        GS1_KILOGRAMS
        GS1_NO_PURCHASE
        GS1_SAVE_MONEY
        GS1_SAVE_FREE
        GS1_SAVE_UNITS
        GS1_SAVE_PERCENT
        GS1_SAVE_BASKET
        GS1_ANY
        GS1_ALL
        GS1_FIRST_AND_ONE
        GS1_FIRST_OR_BOTH
    ctypedef struct gs1_purchase_t:
        uint64_t prefix
        uint32_t requirement
        uint16_t family
        uint8_t prefix_digits
        uint8_t code
    ctypedef struct gs1_coupon_t:
        uint8_t ai
        uint8_t fault
        uint8_t purchase_count
        uint8_t rules
        uint8_t save_code
        uint8_t item
        uint8_t is_store
        uint8_t no_multiply
        uint8_t serial_digits
        uint8_t retailer_digits
        uint32_t offer_code
        uint32_t save_value
        int32_t start_date
        int32_t end_date
        uint64_t serial
        uint64_t retailer
        gs1_purchase_t purchases[GS1_PURCHASES_MAX]

cdef extern from "checklane/siphash.h" nogil:
    ctypedef struct hash128_t:
        uint64_t hi
        uint64_t lo
    hash128_t siphash128(const uint64_t *key, const void *bytes, size_t size)
    uint64_t mix64(uint64_t number)

cdef extern from "checklane/basket.h" nogil:
    enum:
        LINE_KIND_SALE
        LINE_KIND_RETURN
        LINE_KIND_DEPOSIT
        LINE_KIND_FEE
        LINE_KIND_GIFT_CARD_LOAD
        LINE_KIND_CHARGE
        LINE_FLAG_NO_DISCOUNT
        MEASURE_UNIT_KILOGRAM
        MEASURE_UNIT_POUND
        LINE_FLAG_NO_EARN
        LINE_FLAG_AGE_VERIFIED
        LINE_FLAG_OPAQUE
        LINE_FLAG_REDUCED
        OUTCOME_APPLIED
        OUTCOME_DEGRADED
        OUTCOME_STOPPED
        OUTCOME_NOT_YET
        OUTCOME_ENDED
        OUTCOME_NOT_THIS_HOUR
        OUTCOME_NOT_THIS_STORE
        OUTCOME_NOT_THIS_CHANNEL
        OUTCOME_NOT_A_MEMBER
        OUTCOME_MEMBERS_EXCLUDED
        OUTCOME_TIER
        OUTCOME_SEGMENT
        OUTCOME_ATTRIBUTE
        OUTCOME_NOT_IN_WALLET
        OUTCOME_HELD_OUT
        OUTCOME_COUPON_MISSING
        OUTCOME_COUPON_INVALID
        OUTCOME_COUPON_USED
        OUTCOME_COUPON_HELD
        OUTCOME_NOT_CHOSEN
        OUTCOME_LIMIT_REACHED
        OUTCOME_BUDGET_SPENT
        OUTCOME_UNKNOWN
        OUTCOME_POINTS_SHORT
        OUTCOME_NOTHING_DUE
        OUTCOME_TENDER_MISSING
        OUTCOME_PROGRESS
        LINE_FLAG_NO_REDEEM
        OUTCOME_NOT_QUALIFIED
        OUTCOME_THRESHOLD
        OUTCOME_AFTER_FUELLING
        OUTCOME_NO_SAVING
        OUTCOME_OTHER_BETTER
        OUTCOME_NO_REFERRER
        OUTCOME_REFERRER_EXCLUDED
        AWARD_BASE
        AWARD_BONUS
        AWARD_MULTIPLIER
        AWARD_GOAL
        COUNTED_NO_LIMIT
        OPTIMALITY_EXACT
        OPTIMALITY_BOUNDED
    ctypedef struct bytes_t:
        const uint8_t *at
        uint32_t size
    ctypedef struct line_t:
        uint32_t line_id
        uint32_t parent
        uint64_t code
        uint32_t product
        uint8_t kind
        uint8_t price_source
        uint8_t measure_unit
        uint32_t flags
        uint32_t return_line_id
        int64_t count
        int64_t amount_minor
        int64_t list_minor
        int64_t measure_milli
        int64_t pos_discount_minor
        bytes_t department
        uint64_t fuel_grade
        int64_t fuel_price_thousandths
        uint32_t fuel_level
    ctypedef struct run_t:
        uint64_t code
        uint32_t product
        uint32_t flags
        int64_t unit_minor
        int64_t count
        int64_t measure_milli
        uint8_t price_source
        uint8_t measure_unit
        uint8_t line_flag
        uint32_t first_piece
        uint32_t piece_count
        uint32_t fuel_line_id
    ctypedef struct piece_t:
        uint32_t line
        uint32_t run
        int64_t count
    ctypedef struct identifier_t:
        uint8_t role
        uint8_t kind
        bytes_t value
    ctypedef struct tender_t:
        uint32_t kind
        uint32_t has_lines
        int64_t amount_minor
        uint64_t scheme_key
        bytes_t card_bin
        uint64_t lines[LINE_WORDS_MAX]
    ctypedef struct redemption_request_t:
        uint64_t offer_key
        uint64_t purse_key
        int64_t points
        int64_t amount_minor
        int64_t count
        uint32_t line_id
    ctypedef struct basket_t:
        const uint8_t *request
        uint32_t request_size
        uint32_t line_count
        uint32_t run_count
        uint32_t piece_count
        uint32_t identifier_count
        uint32_t coupon_count
        uint32_t selection_count
        uint32_t tender_count
        uint32_t redemption_count
        bytes_t store_id
        bytes_t till_id
        bytes_t basket_id
        bytes_t locale
        bytes_t channel_text
        uint64_t store_key
        uint32_t channel
        int32_t business_date
        int64_t opened_unix_ms
        int32_t utc_offset_minutes
        uint8_t has_utc_offset
        uint8_t explain
        uint8_t near_miss_limit
        uint8_t training
        line_t lines[BASKET_LINES_MAX]
        run_t runs[BASKET_RUNS_MAX]
        piece_t pieces[BASKET_RUNS_MAX]
        identifier_t identifiers[IDENTIFIERS_MAX]
        uint64_t coupon_keys[COUPONS_MAX]
        uint64_t twin_keys[COUPONS_MAX]
        gs1_coupon_t scanned[COUPONS_MAX]
        hash128_t coupon_ids[COUPONS_MAX]
        bytes_t coupons[COUPONS_MAX]
        uint64_t selections[SELECTIONS_MAX]
        tender_t tenders[TENDERS_MAX]
        redemption_request_t redemptions[SELECTIONS_MAX]
    ctypedef struct shared_counter_t:
        uint64_t offer
        int64_t given
        int32_t window
        uint8_t scope
        uint8_t number
        uint16_t reserved
    ctypedef struct facts_t:
        int64_t decided_unix_ms
        int64_t local_minute
        int32_t business_day
        uint32_t degraded_level
        const store_t *store
        uint64_t member
        uint64_t account_group
        member_record_t record
        const cell_t *group_cells
        const cell_t *member_cells
        uint32_t group_cell_count
        uint32_t member_cell_count
        const uint64_t *wallet
        uint32_t wallet_count
        uint32_t stopped_count
        const uint64_t *stopped
        const uint64_t *hold_out_key
        uint64_t group_lsn
        uint64_t member_lsn
        int64_t (*read_shared)(void *context, const shared_counter_t *counter) noexcept nogil
        void *shared_context
        const fuel_right_t *rights
        uint32_t right_count
        uint32_t is_authorising
        const facts_t *sold_by
    int64_t basket_reach(const basket_t *basket)
    ctypedef struct fuel_step_t:
        uint32_t offer
        int64_t step
        int64_t floor
    ctypedef struct applied_t:
        uint32_t offer
        int64_t times
        int64_t units
        int64_t discount_minor
    ctypedef struct redemption_t:
        uint32_t offer
        uint32_t request
        uint8_t purse
        uint32_t outcome
        int64_t points
        int64_t amount_minor
    ctypedef struct line_share_t:
        uint32_t applied
        uint32_t line
        int64_t units
        int64_t qualifying_units
        int64_t discount_minor
    ctypedef struct award_t:
        uint32_t offer
        uint8_t purse
        uint8_t reason
        int32_t activation_day
        int32_t expiry_day
        int64_t points
    ctypedef struct near_miss_t:
        uint32_t offer
        uint32_t slot
        int64_t missing_units
        int64_t missing_minor
        int64_t gain_minor
    ctypedef struct explained_t:
        uint32_t offer
        uint32_t outcome
    ctypedef struct counted_t:
        uint32_t offer
        uint8_t scope
        uint8_t number
        int32_t window
        int64_t given
    ctypedef struct progressed_t:
        uint32_t progress
        uint32_t reserved
        int64_t before
        int64_t gained
        int64_t times
    ctypedef struct decision_t:
        uint32_t applied_count
        uint32_t share_count
        uint32_t award_count
        uint32_t near_miss_count
        uint32_t explained_count
        uint32_t counted_count
        uint32_t optimality
        uint32_t issued_count
        uint32_t referral_count
        uint32_t component_count
        uint32_t fuel_count
        int64_t gap_minor
        int64_t forgone_minor
        uint64_t steps
        int64_t gross_minor
        int64_t discount_minor
        int64_t net_minor
        int64_t line_discount_minor[BASKET_LINES_MAX]
        uint32_t coupon_offer[COUPONS_MAX]
        uint32_t redemption_count
        redemption_t redemptions[SELECTIONS_MAX]
        applied_t applied[APPLIED_MAX]
        uint32_t coupon_outcome[COUPONS_MAX]
        int64_t coupon_minor[COUPONS_MAX]
        line_share_t shares[LINE_SHARES_MAX]
        award_t awards[AWARDS_MAX]
        near_miss_t near_misses[NEAR_MISSES_MAX]
        explained_t explained[CANDIDATES_MAX]
        counted_t counted[COUNTED_MAX]
        progressed_t progressed[PROGRESS_MAX]
        uint32_t progressed_count
        fuel_step_t fuel[FUEL_OFFERS_MAX]

cdef extern from "checklane/snapshot.h" nogil:
    ctypedef struct catalogue_t:
        uint8_t hash[16]
        const product_t *products
        const store_t *stores
        uint64_t code_mask
        uint64_t store_mask
        uint32_t product_count
        uint32_t transition_count
        void *environment
    ctypedef struct program_t:
        uint8_t hash[16]
        const program_header_t *header
        const offer_t *offers
        const slot_t *slots
        const step_t *steps
        const offer_more_t *more
        const uint32_t *after
        const uint64_t *grades
        const uint32_t *class_of_product
        const posting_list_t *classes
        const uint32_t *postings
        const uint32_t *universal
        const universal_list_t *universal_lists
        const row_t *rows
        const limit_t *limits
        const funding_t *funding
        const uint64_t *store_sets
        const audience_t *audiences
        const schedule_t *schedules
        const int32_t *blackouts
        const uint8_t *strings
        const purse_t *purses
        const tier_t *tiers
        const progress_t *progress
        const coupon_slot_t *coupons
        const tender_rule_t *tender_rules
        const uint32_t *redeemers
        uint32_t redeemer_count
        const uint16_t *families
        const retailer_t *retailers
        uint32_t family_count
        uint32_t retailer_count
        const offer_number_t *offer_numbers
        const name_slot_t *names
        uint64_t row_mask
        uint64_t coupon_mask
        uint64_t offer_number_mask
        uint64_t name_mask
        uint32_t class_count
        uint32_t posting_count
        uint32_t universal_list_count
        uint32_t slot_count
        uint32_t purse_count
        uint32_t tier_count
        uint32_t progress_count
        uint32_t issuer_count
        uint32_t row_count
        uint32_t more_count
        uint32_t string_bytes
        void *environment
    uint32_t find_offer(const program_t *program, uint64_t key)
    const row_t *find_row(const program_t *program, uint32_t offer, uint32_t product,
                          uint32_t zone)

cdef extern from "checklane/rounding.h" nogil:
    const int64_t FACTOR_SCALE
    enum:
        PARTS_PER_MINOR
    ctypedef long long int128_t  # wider in C: never held in a Cython temporary
    ctypedef struct civil_t:
        int32_t year
        int32_t month
        int32_t day
    int64_t round_quotient(int128_t numerator, int128_t denominator, uint32_t rounding)
    int64_t multiply_round(int64_t a, int64_t b, int64_t c, uint32_t rounding)
    int64_t minimum(int64_t a, int64_t b)
    int64_t maximum(int64_t a, int64_t b)
    int64_t capped_product(int64_t a, int64_t b)
    int64_t greatest_divisor(int64_t a, int64_t b)
    void share_exactly(int64_t total, const int64_t *weights, const int64_t *ceilings,
                       uint32_t count, int64_t *shares, int128_t *rests)
    civil_t civil_of_day(int32_t day_number)
    int32_t day_of_civil(int64_t year, int64_t month, int64_t day)
    int32_t purse_expiry_day(const purse_t *purse, int32_t day_number)
    int32_t purse_active_day(const purse_t *purse, int32_t business_day)
    uint32_t weekday_of_day(int32_t day_number)
    int32_t window_first_day(uint32_t window, int32_t day_number)

cdef extern from "checklane/progress.h" nogil:
    ctypedef struct cells_t:
        const cell_t *at
        uint32_t count
    int64_t progress_value(const progress_t *progress, cells_t cells, int32_t day)
    int64_t times_reached(const progress_t *progress, int64_t before, int64_t after)

cdef extern from "checklane/flow.h" nogil:
    const int64_t FLOW_MUST
    enum:
        FLOW_SOURCE
        FLOW_SINK
        FLOW_NODES_MAX
        FLOW_ARCS_MAX
    ctypedef struct flow_arc_t:
        int64_t capacity
        int64_t gain
        int64_t second_gain
        uint32_t to
        uint32_t next
    ctypedef struct flow_t:
        uint32_t node_count
        uint32_t arc_count
        uint32_t is_full
        uint32_t is_cut
        uint64_t steps
        uint64_t step_limit
        uint32_t first_arc[FLOW_NODES_MAX]
        uint32_t arc_in[FLOW_NODES_MAX]
        uint32_t queue[FLOW_NODES_MAX]
        uint8_t is_queued[FLOW_NODES_MAX]
        int64_t gain[FLOW_NODES_MAX]
        int64_t second_gain[FLOW_NODES_MAX]
        flow_arc_t arcs[FLOW_ARCS_MAX]
    uint32_t flow_add_node(flow_t *flow)
    void flow_begin(flow_t *flow)
    uint32_t flow_add_arc(flow_t *flow, uint32_t start, uint32_t end, int64_t capacity,
                          int64_t gain, int64_t second_gain)
    int64_t flow_on(const flow_t *flow, uint32_t arc)
    void flow_solve(flow_t *flow)

cdef extern from "checklane/simplex.h" nogil:
    const int64_t LP_UNBOUNDED
    enum:
        LP_COLUMNS_MAX
        LP_ROWS_MAX
        LP_VARIABLES_MAX
        LP_NONZEROS_MAX
        LP_CELLS_MAX
        LP_DUAL_SCALE
        LP_OPTIMAL
        LP_CUT
        LP_INFEASIBLE
        LP_TROUBLE
    ctypedef struct lp_kept_t:
        uint32_t is_kept
    ctypedef struct lp_t:
        uint32_t column_count
        uint32_t width
        uint32_t row_count
        uint32_t nonzero_count
        uint32_t is_full
        uint64_t steps
        int64_t dual_scale
        double ray
        uint32_t ray_row
        int32_t ray_sign
        double objective
        double objective_start
        int64_t cost_parts[LP_COLUMNS_MAX]
        int64_t lower[LP_VARIABLES_MAX]
        int64_t upper[LP_VARIABLES_MAX]
        int64_t right[LP_ROWS_MAX]
        uint32_t row_first[LP_ROWS_MAX + 1]
        uint32_t nonzero_column[LP_NONZEROS_MAX]
        int64_t nonzero[LP_NONZEROS_MAX]
        uint8_t is_at_upper[LP_VARIABLES_MAX]
        uint32_t basis[LP_ROWS_MAX]
        uint32_t outside[LP_COLUMNS_MAX]
        int32_t row_of[LP_VARIABLES_MAX]
        double value[LP_ROWS_MAX]
        double reduced[LP_COLUMNS_MAX]
        uint32_t flips[LP_COLUMNS_MAX]
        int64_t dual[LP_ROWS_MAX]
        int64_t exact[LP_COLUMNS_MAX]
        int128_t exact_bound
        double cells[LP_CELLS_MAX]
    uint32_t lp_slack(uint32_t row)
    void lp_begin(lp_t *lp)
    uint32_t lp_add_column(lp_t *lp, int64_t cost_parts, int64_t lower, int64_t upper)
    void lp_add_nonzero(lp_t *lp, uint32_t column, int64_t factor)
    uint32_t lp_add_row(lp_t *lp, int64_t right, int64_t slack_upper)
    uint32_t lp_solve(lp_t *lp, double cutoff_minor, uint64_t step_limit)
    double lp_value_of(const lp_t *lp, uint32_t column)
    int64_t lp_bound_parts(lp_t *lp)
    int lp_is_from_upper(const lp_t *lp, uint32_t column)
    int64_t lp_room(const lp_t *lp, uint32_t column, int64_t least_parts)
    void lp_penalties(lp_t *lp, uint32_t row, double *down, double *up)
    bint lp_has_room(const lp_t *lp)
    void lp_drop_fixed(lp_t *lp)
    void lp_keep(lp_t *lp, lp_kept_t *kept, uint32_t first_cell)
    uint32_t lp_kept_end(const lp_kept_t *kept)
    void lp_return(lp_t *lp, const lp_kept_t *kept)

cdef extern from "checklane/layers.h" nogil:
    enum:
        LAYERS_TAKERS_MAX
        LAYERS_PLACES_MAX
        LAYERS_MAX
        LAYERS_STATES_MAX
        LAYERS_UNITS_BITS
        LAYERS_UNITS_MAX
        LAYERS_SOLVED
        LAYERS_NONE
    const int64_t LAYERS_WORTH_MAX
    ctypedef struct taker_t:
        uint32_t place_count
        uint32_t state_count
        uint32_t first_bit
        uint32_t last_layer
        uint32_t is_endless
        uint64_t state_mask
        int64_t price_parts
        int64_t tie
        int64_t count[LAYERS_PLACES_MAX]
        int64_t get[LAYERS_PLACES_MAX]
        uint32_t stride[LAYERS_PLACES_MAX]
        uint32_t size[LAYERS_PLACES_MAX]
    ctypedef struct layer_t:
        uint32_t taker
        uint32_t place
        uint32_t run
        uint32_t column
        uint32_t before
        uint32_t is_scarce
        uint32_t is_first
        uint32_t is_last
        uint32_t taken
        int64_t units
        int64_t most
        int64_t worth_bought
        int64_t worth_rewarded
        int64_t price
        int64_t tie
    ctypedef struct layers_t:
        uint32_t taker_count
        uint32_t layer_count
        uint32_t key_bits
        uint64_t steps
        int64_t worth_parts
        taker_t takers[LAYERS_TAKERS_MAX]
        layer_t layers[LAYERS_MAX]
        uint32_t contender[LAYERS_TAKERS_MAX]
        uint32_t cursor[LAYERS_TAKERS_MAX][LAYERS_PLACES_MAX]
        int64_t owned[CANDIDATES_MAX]
    void layers_begin(layers_t *layers)
    int layers_place(layers_t *layers, taker_t *taker)
    int64_t layers_bound(layers_t *layers, uint64_t step_limit)
    uint32_t layers_solve(layers_t *layers, int64_t bound, int64_t worth_least,
                          uint64_t step_limit)

cdef extern from "checklane/scratch.h" nogil:
    enum:
        TOUCHED_SLOTS
        TOUCHED_REFUSED_MAX
        COUPON_PAIRS_MAX
        GATED_UNITS_FEW
        WORK_RUNS_MAX
        CODE_SLOTS
        TAKINGS_MAX
        TAKEN_NOT
        TAKEN
        WORK_PIECES_MAX
        PIECE_ASIDE
        ENTRIES_MAX
        PLACES_MAX
        GROUPS_MAX
        CANDIDATE_HELD_OUT
        CANDIDATE_APPLIED
        CANDIDATE_COMPETED
        CANDIDATE_GRANTED
        CANDIDATE_WHOLE
        CANDIDATE_BARRED
        CANDIDATE_AFTER_FUELLING
        MARK_MANUFACTURER
        MARK_STORE
        MARK_MATCHED
        SERVES_NOTHING
        SERVES_BOUGHT
        SERVES_ALL
        CONTEND_UNITS
        CONTEND_APPLICATIONS
        CONTEND_CHEAPEST
        GROUPS_FIXED
        GROUPS_A_TIME
        COLUMN_UNITS
        COLUMN_TIMES
        TANGLED_PLACES
        TANGLED_BASE
        TANGLED_TIES
        TANGLED_LOOSE
        JUDGE_STEPS
        COLUMN_BLOCKS
        COLUMN_BOUGHT
        COLUMN_FREE
        VERTEX_COUNTS
        VERTEX_UNITS
        FRAMES_MAX
        TRAIL_MAX
        BOXES_MAX
        ASKED_NOTHING
        ASKED_WORTH
        ASKED_OUT
        ASKED_MAX
        RESTARTS_MAX
        CUT_ROUNDS
        LAYERS_STEPS_MAX
        LAYERS_LOSS_FIRST
        LAYERS_LOSS_GROWTH
    const double CUT_LEAST
    ctypedef struct touched_t:
        uint32_t epoch
        uint32_t offer
        uint32_t candidate
    ctypedef struct candidate_t:
        const offer_t *offer
        uint32_t number
        uint32_t flags
        uint32_t outcome
        uint32_t coupon_count
        int64_t uses_left
        int64_t units_left
        int64_t money_left
        int64_t spend_left
        int64_t third_party_bp
        int64_t reward_value
        int64_t goal
        int64_t alone_parts
        const offer_more_t *more
        const uint32_t *after
    ctypedef struct taking_t:
        uint32_t before
        uint32_t offer
    ctypedef struct coupon_pair_t:
        uint32_t offer
        uint32_t coupon
    ctypedef struct work_piece_t:
        int64_t price_minor
        int64_t count
        uint32_t line
        uint32_t line_id
        uint32_t origin
        uint32_t taken
        uint32_t marks
    ctypedef struct work_run_t:
        int64_t price_minor
        int64_t initial_minor
        int64_t count
        int64_t measure_milli
        int64_t legal_min_minor
        int64_t cost_milli
        uint32_t origin
        uint32_t taken
        uint32_t marks
        uint32_t first_piece
        uint32_t piece_count
    ctypedef struct fitting_t:
        int64_t worth
        uint32_t run
        uint32_t group
    ctypedef struct place_t:
        uint32_t first_entry
        uint32_t entry_count
        uint32_t is_rewarded
        int64_t count
    ctypedef struct contender_t:
        uint32_t candidate
        uint32_t kind
        uint32_t first_place
        uint32_t place_count
        int64_t cap
        int64_t get
        int64_t price_parts
        int64_t times
        int64_t alone_parts
        uint32_t component
        uint32_t is_tangled
        uint32_t is_qualified
        uint32_t group_rule
        uint32_t serves
        uint32_t mark
        uint32_t applied
    ctypedef struct allocation_t:
        uint32_t contender
        uint32_t place
        uint32_t run
        uint32_t is_rewarded
        int64_t units
    ctypedef struct contest_t:
        uint32_t contender_count
        uint32_t place_count
        uint32_t entry_count
        uint32_t group_count
        uint32_t allocation_count
        uint32_t component_count
        uint32_t is_full
        uint32_t sees_taken
        int64_t worth_parts
        int64_t bound_parts
        contender_t contenders[CANDIDATES_MAX]
        place_t places[PLACES_MAX]
        fitting_t entries[ENTRIES_MAX]
        int64_t group_caps[GROUPS_MAX]
        allocation_t allocations[SHARES_MAX]
    ctypedef struct column_t:
        uint32_t kind
        uint32_t contender
        uint32_t place
        uint32_t run
        uint32_t entry
        uint32_t next_of_run
    ctypedef struct frame_t:
        uint32_t column
        uint32_t is_second
        int64_t lower
        int64_t upper
        int64_t other_lower
        int64_t other_upper
        int64_t bound_parts
        uint32_t trail_count
        lp_kept_t tableau
    ctypedef struct trail_entry_t:
        uint32_t column
        int64_t lower
        int64_t upper
    const int64_t FAVOUR_WEIGHT
    const int64_t FAVOUR_MOST
    ctypedef struct search_t:
        uint32_t component
        uint32_t frame_count
        uint32_t node_count
        uint32_t is_probe
        uint32_t is_found
        uint32_t is_proven
        int64_t incumbent_parts
        int64_t node_bound
        int64_t open_bound
        int64_t grain
        uint32_t split_column
        uint32_t trail_count
        uint32_t box_count
        uint32_t kept_count
        uint32_t restart_count
        uint32_t is_vertex
        uint32_t is_settled
        uint32_t asked_count
        int64_t root_bound
        int64_t root_incumbent
        int64_t split_lower[2]
        int64_t split_upper[2]
        uint32_t total_row[CANDIDATES_MAX]
        uint32_t times_column[CANDIDATES_MAX]
        uint32_t first_column[CANDIDATES_MAX]
        int64_t turn_parts[CANDIDATES_MAX]
        uint32_t turn[CANDIDATES_MAX]
        int64_t best_times[CANDIDATES_MAX]
        uint32_t part[CANDIDATES_MAX]
        uint32_t is_owner[CANDIDATES_MAX]
        int64_t owner_cap[CANDIDATES_MAX]
        uint32_t owner_row[CANDIDATES_MAX]
        uint32_t owner_node[CANDIDATES_MAX]
        uint32_t owner_arc[CANDIDATES_MAX]
        int64_t owner_most[CANDIDATES_MAX]
        uint32_t asked[CANDIDATES_MAX]
        uint32_t asked_in_turn[ASKED_MAX]
        uint32_t worth_row[CANDIDATES_MAX]
        int64_t worth_range[CANDIDATES_MAX]
        int64_t settled_times[CANDIDATES_MAX]
        uint32_t settled_asked[CANDIDATES_MAX]
        int64_t box_lower[BOXES_MAX + 1][LP_COLUMNS_MAX]
        int64_t box_upper[BOXES_MAX + 1][LP_COLUMNS_MAX]
        trail_entry_t trail[TRAIL_MAX]
        allocation_t kept[SHARES_MAX]
        column_t columns[LP_COLUMNS_MAX]
        int64_t trial[LP_COLUMNS_MAX]
        int64_t most_units[LP_COLUMNS_MAX]
        double left[LP_COLUMNS_MAX]
        int64_t vertex[LP_COLUMNS_MAX]
        int64_t best_vertex[LP_COLUMNS_MAX]
        frame_t frames[FRAMES_MAX]
    ctypedef struct scratch_t:
        uint32_t epoch
        uint32_t refused_count
        uint32_t candidate_count
        uint32_t held_out_count
        uint32_t coupon_pair_count
        uint32_t run_words
        uint32_t run_count
        uint32_t piece_count
        uint32_t has_held_out
        uint32_t earns_only
        uint32_t is_counters_full
        uint32_t has_code_groups
        const catalogue_t *catalogue
        uint32_t exclusive_count
        uint32_t *exclusive_out
        uint32_t *code_group
        uint32_t *code_slots
        uint32_t *group_mark
        int64_t *group_units
        uint32_t *group_number
        uint32_t mark_epoch
        uint64_t progress_bits[PROGRESS_MAX][RUN_WORDS_MAX]
        uint32_t explained_count
        uint32_t is_hasty
        uint64_t steps
        uint64_t step_budget
        int64_t gap_parts
        int64_t gap_minor
        touched_t touched[TOUCHED_SLOTS]
        candidate_t candidates[CANDIDATES_MAX]
        explained_t refused[CANDIDATES_MAX]
        coupon_pair_t coupon_pairs[COUPON_PAIRS_MAX]
        uint64_t bits[CANDIDATES_MAX * OFFER_SLOTS_MAX][RUN_WORDS_MAX]
        uint32_t order[CANDIDATES_MAX]
        work_piece_t pieces[WORK_PIECES_MAX]
        work_piece_t next_pieces[WORK_PIECES_MAX]
        work_run_t runs[WORK_RUNS_MAX]
        int64_t run_left[WORK_RUNS_MAX]
        int64_t run_base[WORK_RUNS_MAX]
        uint32_t base_owner[WORK_RUNS_MAX]
        int64_t run_demand[WORK_RUNS_MAX]
        uint32_t run_owner[WORK_RUNS_MAX]
        uint32_t sorted[WORK_RUNS_MAX]
        uint32_t place_order[OFFER_SLOTS_MAX][WORK_RUNS_MAX]
        int64_t group_left[GROUPS_MAX]
        uint32_t run_node[WORK_RUNS_MAX]
        uint32_t entry_arc[ENTRIES_MAX]
        uint32_t bought_arc[ENTRIES_MAX]
        uint32_t run_column[WORK_RUNS_MAX]
        uint32_t run_row[WORK_RUNS_MAX]
        uint32_t group_node[GROUPS_MAX]
        int64_t weights[WORK_RUNS_MAX]
        int64_t ceilings[WORK_RUNS_MAX]
        int64_t share_minor[WORK_RUNS_MAX]
        int128_t rests[WORK_RUNS_MAX]
        int64_t piece_used[WORK_PIECES_MAX]
        int64_t rewarded_units[WORK_RUNS_MAX]
        uint32_t rewarded_runs[WORK_RUNS_MAX]
        int64_t line_units[BASKET_LINES_MAX]
        int64_t line_ceilings[BASKET_LINES_MAX]
        int64_t line_minor[BASKET_LINES_MAX]
        uint32_t line_piece[BASKET_LINES_MAX]
        uint32_t next_count
        uint32_t is_changed
        uint32_t is_full
        uint32_t asked_offer[SELECTIONS_MAX]
        uint32_t asked_outcome[SELECTIONS_MAX]
        uint32_t is_apart
        uint32_t keeps_takers
        uint32_t taking_count
        taking_t takings[TAKINGS_MAX]
        int64_t discount_room
        uint32_t qualifying_count
        int64_t due_minor
        int64_t tender_minor[TENDERS_MAX]
        int64_t scan_units[GS1_PURCHASES_MAX][WORK_RUNS_MAX]
        int64_t given_minor
        int64_t fuel_given[BASKET_RUNS_MAX]
        int64_t fuel_step[WORK_RUNS_MAX]
        int64_t fuel_parts[WORK_RUNS_MAX]
        int64_t fuel_minor[WORK_RUNS_MAX]
        int64_t fuel_milli
        uint32_t ignores_marks
        uint32_t used_coupons
        uint32_t bad_coupons
        uint32_t held_coupons
        uint32_t match_mark
        contest_t contest
        search_t search
        flow_t flow
        lp_t lp
        layers_t layers
