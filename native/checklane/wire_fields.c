/* The contract as tables. A line here says what a field's comment in the proto says: number (by its
 * place), type, range, what absent means, and which refusal is answered. */
#include "wire_fields.h"

#define MISSING(name) .missing = STATUS_##name
#define RANGE(name) .range = STATUS_##name
#define IMPLIED(value) .implied = (value)
#define EXPLICIT .rules = RULE_EXPLICIT
#define AT(record, field) .name = #field, .offset = offsetof(record, field)

#define NUMBER(record, field, kind, lowest, highest, ...)                                        \
    {AT(record, field), .type = TYPE_##kind, .low = (lowest), .high = (highest), __VA_ARGS__}
#define RESERVED {.type = TYPE_RESERVED}
#define FLAG(record, field) {AT(record, field), .type = TYPE_BOOL, .high = 1}
#define ENUM(record, field, last, ...)                                                            \
    {AT(record, field), .type = TYPE_ENUM, .high = (last), __VA_ARGS__}
#define TEXT(record, field, bytes_max, ...)                                                       \
    {AT(record, field), .type = TYPE_STRING, .high = (bytes_max), __VA_ARGS__}
#define ID(record, field, ...) TEXT(record, field, ID_BYTES_MAX, __VA_ARGS__)
#define RAW(record, field, bytes_max)                                                             \
    {AT(record, field), .type = TYPE_BYTES, .high = (bytes_max)}
#define TIME(record, field, ...)                                                                  \
    NUMBER(record, field, INT64, TIME_MIN_UNIX_MS, TIME_MAX_UNIX_MS, __VA_ARGS__)
#define DATE(record, field, ...)                                                                  \
    {AT(record, field), .type = TYPE_INT32, .rules = RULE_DATE, __VA_ARGS__}
#define ONE(record, field, table, ...)                                                            \
    {AT(record, field), .type = TYPE_MESSAGE, .message = &(table), __VA_ARGS__}
#define MANY(record, field, table, where, most, ...)                                              \
    {AT(record, field), .type = TYPE_MESSAGE, .message = &(table), .rules = RULE_REPEATED,        \
     .list = (where), .items_max = (most), __VA_ARGS__}
#define NAMES(record, field, row, most)                                                           \
    {AT(record, field), .type = TYPE_STRING, .rules = RULE_REPEATED, .high = ID_BYTES_MAX,        \
     .list = LIST_NAMES + (row), .items_max = (most)}
#define CONTEXT(record)                                                                           \
    {AT(record, context), .type = TYPE_MESSAGE, .message = &CONTEXT_MESSAGE, .rules = RULE_CONTEXT}

#define MESSAGE(identifier, text, record, table, function)                                        \
    static const message_t identifier = {text, table, sizeof(table) / sizeof((table)[0]),         \
                                         sizeof(record), function}

#define POINTS_MAX 9000000000000000
#define TOTAL_AMOUNT_MAX 100000000000000 /* 512 lines of LINE_AMOUNT_MAX stay below */
#define LINE_ID_MAX 4294967295
#define TOTAL_SECONDS_MAX 604800 /* a week: a basket that was put aside */

#define PLACE(field, where) [where] = {offsetof(wire_t, field), sizeof((wire_t){0}.field[0]),     \
                                       sizeof((wire_t){0}.field) / sizeof((wire_t){0}.field[0]) - 1}
const wire_list_place_t WIRE_LIST_PLACES[WIRE_LISTS] = {
    PLACE(lines, LIST_LINES),
    PLACE(pos_discounts, LIST_POS_DISCOUNTS),
    PLACE(identifiers, LIST_IDENTIFIERS),
    PLACE(coupons, LIST_COUPONS),
    PLACE(tenders, LIST_TENDERS),
    PLACE(tender_lines, LIST_TENDER_LINES),
    PLACE(selections, LIST_SELECTIONS),
    PLACE(redemptions, LIST_REDEMPTIONS),
    PLACE(line_figures, LIST_LINE_FIGURES),
    PLACE(offer_figures, LIST_OFFER_FIGURES),
    PLACE(purse_points, LIST_PURSE_POINTS),
    PLACE(hold_captures, LIST_HOLD_CAPTURES),
    PLACE(fuel_prices, LIST_FUEL_PRICES),
    PLACE(return_lines, LIST_RETURN_LINES),
    PLACE(profile, LIST_PROFILE),
    PLACE(names[0], LIST_NAMES),
    PLACE(names[1], LIST_NAMES + 1),
    PLACE(names[2], LIST_NAMES + 2),
    PLACE(names[3], LIST_NAMES + 3),
};

static const field_t CONTEXT_FIELDS[] = {
    ID(context_t, correlation_id),
    ID(context_t, idempotency_key),
    NUMBER(context_t, attempt, INT32, 0, 1000000),
    TIME(context_t, sent_time_unix_ms),
    FLAG(context_t, training),
    ID(context_t, store_id),
    ID(context_t, till_id),
    ID(context_t, operator_id),
};
MESSAGE(CONTEXT_MESSAGE, "RequestContext", context_t, CONTEXT_FIELDS, NULL);

static const field_t RECEIPT_FIELDS[] = {
    ID(receipt_id_t, store_id, MISSING(RECEIPT_REQUIRED)),
    DATE(receipt_id_t, business_date, MISSING(RECEIPT_REQUIRED)),
    ID(receipt_id_t, till_id, MISSING(RECEIPT_REQUIRED)),
    NUMBER(receipt_id_t, sequence, INT64, 1, INT64_MAX, MISSING(RECEIPT_REQUIRED)),
};
MESSAGE(RECEIPT_MESSAGE, "ReceiptId", receipt_id_t, RECEIPT_FIELDS, NULL);

static const field_t IDENTIFIER_FIELDS[] = {
    ENUM(sent_identifier_t, kind, 8, MISSING(FIELD_REQUIRED)),
    TEXT(sent_identifier_t, value, VALUE_BYTES_MAX, MISSING(FIELD_REQUIRED)),
    ENUM(sent_identifier_t, role, 4, IMPLIED(1)),
    ENUM(sent_identifier_t, entry_method, 6),
};
MESSAGE(IDENTIFIER_MESSAGE, "Identifier", sent_identifier_t, IDENTIFIER_FIELDS, NULL);

static const field_t MEASURE_FIELDS[] = {
    NUMBER(sent_measure_t, quantity_thousandths, INT64, 1, LINE_MEASURE_MAX,
           MISSING(FIELD_REQUIRED)),
    ENUM(sent_measure_t, unit, 10, MISSING(FIELD_REQUIRED)),
};
MESSAGE(MEASURE_MESSAGE, "Measure", sent_measure_t, MEASURE_FIELDS, NULL);

static const field_t POS_DISCOUNT_FIELDS[] = {
    ID(sent_pos_discount_t, reason),
    NUMBER(sent_pos_discount_t, amount_minor, INT64, 0, LINE_AMOUNT_MAX, EXPLICIT,
           MISSING(FIELD_REQUIRED)),
    ID(sent_pos_discount_t, funder_id),
};
MESSAGE(POS_DISCOUNT_MESSAGE, "PosDiscount", sent_pos_discount_t, POS_DISCOUNT_FIELDS, NULL);

static const field_t ORIGINAL_FIELDS[] = {
    ONE(original_line_t, receipt, RECEIPT_MESSAGE, MISSING(RECEIPT_REQUIRED)),
    NUMBER(original_line_t, line_id, UINT32, 1, LINE_ID_MAX, MISSING(LINE_ID_INVALID)),
    ENUM(original_line_t, reason, 6),
    RAW(original_line_t, receipt_capsule, CAPSULE_BYTES_MAX),
};
MESSAGE(ORIGINAL_MESSAGE, "OriginalLine", original_line_t, ORIGINAL_FIELDS, NULL);

static const field_t FUEL_FIELDS[] = {
    TEXT(sent_fuel_t, grade, VALUE_BYTES_MAX, MISSING(FIELD_REQUIRED)),
    ENUM(sent_fuel_t, price_level, 2, IMPLIED(2)),
    ID(sent_fuel_t, pump_id),
    ID(sent_fuel_t, hold_id),
    ENUM(sent_fuel_t, sale_kind, 3, IMPLIED(2)),
    NUMBER(sent_fuel_t, prepaid_amount_minor, INT64, 0, LINE_AMOUNT_MAX, EXPLICIT),
};
MESSAGE(FUEL_MESSAGE, "FuelSale", sent_fuel_t, FUEL_FIELDS, NULL);

static const field_t LINE_FIELDS[] = {
    NUMBER(sent_line_t, line_id, UINT32, 1, LINE_ID_MAX, MISSING(LINE_ID_INVALID)),
    ID(sent_line_t, product_code),
    ENUM(sent_line_t, code_kind, 3, IMPLIED(CODE_KIND_GTIN)),
    NUMBER(sent_line_t, count, INT64, 1, LINE_COUNT_MAX, EXPLICIT, RANGE(LINE_COUNT_INVALID),
           IMPLIED(1)),
    NUMBER(sent_line_t, amount_minor, INT64, 0, LINE_AMOUNT_MAX, EXPLICIT,
           RANGE(LINE_AMOUNT_INVALID), MISSING(LINE_AMOUNT_INVALID)),
    NUMBER(sent_line_t, list_amount_minor, INT64, 0, LINE_AMOUNT_MAX, EXPLICIT,
           RANGE(LINE_AMOUNT_INVALID)),
    ENUM(sent_line_t, kind, 6, IMPLIED(LINE_KIND_SALE)),
    ENUM(sent_line_t, price_source, 7, IMPLIED(1)),
    ONE(sent_line_t, measure, MEASURE_MESSAGE),
    MANY(sent_line_t, pos_discounts, POS_DISCOUNT_MESSAGE, LIST_POS_DISCOUNTS, POS_DISCOUNTS_MAX),
    FLAG(sent_line_t, no_discount),
    FLAG(sent_line_t, no_earn),
    FLAG(sent_line_t, no_redeem),
    NUMBER(sent_line_t, parent_line_id, UINT32, 1, LINE_ID_MAX),
    TEXT(sent_line_t, department_code, VALUE_BYTES_MAX),
    FLAG(sent_line_t, age_verified),
    FLAG(sent_line_t, opaque),
    ONE(sent_line_t, original, ORIGINAL_MESSAGE),
    NUMBER(sent_line_t, unit_price_minor_thousandths, INT64, 0, 100000000000000, EXPLICIT),
    ONE(sent_line_t, fuel, FUEL_MESSAGE),
};
MESSAGE(LINE_MESSAGE, "Line", sent_line_t, LINE_FIELDS, check_line);

static const field_t COUPON_FIELDS[] = {
    TEXT(sent_coupon_t, code, VALUE_BYTES_MAX),
    RAW(sent_coupon_t, scanned_data, VALUE_BYTES_MAX),
    TEXT(sent_coupon_t, serial, VALUE_BYTES_MAX),
    ENUM(sent_coupon_t, kind, 6),
    ENUM(sent_coupon_t, entry_method, 6),
};
MESSAGE(COUPON_MESSAGE, "Coupon", sent_coupon_t, COUPON_FIELDS, check_coupon);

static const field_t TENDER_FIELDS[] = {
    ENUM(sent_tender_t, kind, 13, MISSING(FIELD_REQUIRED)),
    NUMBER(sent_tender_t, amount_minor, INT64, 0, LINE_AMOUNT_MAX, EXPLICIT),
    {AT(sent_tender_t, line_ids), .type = TYPE_UINT32, .rules = RULE_REPEATED, .low = 0,
     .high = LINE_ID_MAX, .list = LIST_TENDER_LINES, .items_max = TENDER_LINES_MAX},
    TEXT(sent_tender_t, card_bin, VALUE_BYTES_MAX),
    TEXT(sent_tender_t, scheme, VALUE_BYTES_MAX),
    ID(sent_tender_t, tender_id),
};
MESSAGE(TENDER_MESSAGE, "Tender", sent_tender_t, TENDER_FIELDS, check_tender);

static const field_t SELECTION_FIELDS[] = {
    ID(sent_selection_t, offer_id, MISSING(FIELD_REQUIRED)),
    NUMBER(sent_selection_t, times, INT64, 1, LINE_COUNT_MAX, EXPLICIT),
};
MESSAGE(SELECTION_MESSAGE, "Selection", sent_selection_t, SELECTION_FIELDS, NULL);

static const field_t REDEMPTION_FIELDS[] = {
    ID(sent_redemption_t, purse_id),
    NUMBER(sent_redemption_t, points, INT64, 1, POINTS_MAX, EXPLICIT),
    NUMBER(sent_redemption_t, amount_minor, INT64, 1, LINE_AMOUNT_MAX, EXPLICIT),
    ID(sent_redemption_t, offer_id),
    NUMBER(sent_redemption_t, line_id, UINT32, 1, LINE_ID_MAX),
    NUMBER(sent_redemption_t, count, INT64, 1, LINE_COUNT_MAX, EXPLICIT),
};
MESSAGE(REDEMPTION_MESSAGE, "RedemptionRequest", sent_redemption_t, REDEMPTION_FIELDS, NULL);

static const field_t BASKET_FIELDS[] = {
    ID(sent_basket_t, basket_id),
    ID(sent_basket_t, store_id, MISSING(FIELD_REQUIRED)),
    ID(sent_basket_t, till_id, MISSING(FIELD_REQUIRED)),
    MANY(sent_basket_t, lines, LINE_MESSAGE, LIST_LINES, BASKET_LINES_MAX, MISSING(LINES_EMPTY)),
    MANY(sent_basket_t, identifiers, IDENTIFIER_MESSAGE, LIST_IDENTIFIERS, IDENTIFIERS_MAX),
    MANY(sent_basket_t, coupons, COUPON_MESSAGE, LIST_COUPONS, COUPONS_MAX),
    MANY(sent_basket_t, tenders, TENDER_MESSAGE, LIST_TENDERS, TENDERS_MAX),
    TIME(sent_basket_t, opened_time_unix_ms, MISSING(TIME_MISSING)),
    NUMBER(sent_basket_t, utc_offset_minutes, SINT32, -720, 840, EXPLICIT),
    DATE(sent_basket_t, business_date),
    ENUM(sent_basket_t, channel, 8, IMPLIED(1)),
    MANY(sent_basket_t, selections, SELECTION_MESSAGE, LIST_SELECTIONS, SELECTIONS_MAX),
    MANY(sent_basket_t, redemptions, REDEMPTION_MESSAGE, LIST_REDEMPTIONS, SELECTIONS_MAX),
    TEXT(sent_basket_t, currency_code, VALUE_BYTES_MAX),
    ID(sent_basket_t, shift_id),
};
MESSAGE(BASKET_MESSAGE, "Basket", sent_basket_t, BASKET_FIELDS, check_basket);

static const field_t OFFER_FIGURES_FIELDS[] = {
    ID(offer_figures_t, offer_id, MISSING(FIELD_REQUIRED)),
    NUMBER(offer_figures_t, offer_version, INT32, 1, INT32_MAX),
    NUMBER(offer_figures_t, discount_minor, INT64, 0, LINE_AMOUNT_MAX, EXPLICIT,
           MISSING(FIELD_REQUIRED)),
};
MESSAGE(OFFER_FIGURES_MESSAGE, "OfferFigures", offer_figures_t, OFFER_FIGURES_FIELDS, NULL);

static const field_t LINE_FIGURES_FIELDS[] = {
    NUMBER(line_figures_t, line_id, UINT32, 1, LINE_ID_MAX, MISSING(LINE_ID_INVALID)),
    NUMBER(line_figures_t, discount_minor, INT64, 0, LINE_AMOUNT_MAX, EXPLICIT,
           MISSING(FIELD_REQUIRED)),
    MANY(line_figures_t, offers, OFFER_FIGURES_MESSAGE, LIST_OFFER_FIGURES, LINE_OFFERS_MAX),
};
MESSAGE(LINE_FIGURES_MESSAGE, "LineFigures", line_figures_t, LINE_FIGURES_FIELDS,
        check_line_figures);

static const field_t PURSE_POINTS_FIELDS[] = {
    ID(purse_points_t, purse_id, MISSING(FIELD_REQUIRED)),
    NUMBER(purse_points_t, points, SINT64, -POINTS_MAX, POINTS_MAX),
};
MESSAGE(PURSE_POINTS_MESSAGE, "PursePoints", purse_points_t, PURSE_POINTS_FIELDS, NULL);

static const field_t FIGURES_FIELDS[] = {
    NUMBER(figures_t, discount_minor, INT64, 0, TOTAL_AMOUNT_MAX, EXPLICIT),
    NUMBER(figures_t, due_minor, SINT64, -TOTAL_AMOUNT_MAX, TOTAL_AMOUNT_MAX, EXPLICIT),
    MANY(figures_t, lines, LINE_FIGURES_MESSAGE, LIST_LINE_FIGURES, BASKET_LINES_MAX),
    MANY(figures_t, points, PURSE_POINTS_MESSAGE, LIST_PURSE_POINTS, PURSES_MAX),
};
MESSAGE(FIGURES_MESSAGE, "Figures", figures_t, FIGURES_FIELDS, NULL);

static const field_t HOLD_CAPTURE_FIELDS[] = {
    ID(hold_capture_t, hold_id, MISSING(FIELD_REQUIRED)),
    NUMBER(hold_capture_t, points, INT64, 0, POINTS_MAX, EXPLICIT),
    NUMBER(hold_capture_t, uses, INT64, 0, LINE_COUNT_MAX, EXPLICIT),
    NUMBER(hold_capture_t, quantity_thousandths, INT64, 0, LINE_MEASURE_MAX, EXPLICIT),
    ID(hold_capture_t, owner),
};
MESSAGE(HOLD_CAPTURE_MESSAGE, "HoldCapture", hold_capture_t, HOLD_CAPTURE_FIELDS, NULL);

static const field_t RETURN_LINE_FIELDS[] = {
    NUMBER(return_line_t, line_id, UINT32, 1, LINE_ID_MAX, MISSING(LINE_ID_INVALID)),
    NUMBER(return_line_t, count, INT64, 1, LINE_COUNT_MAX, EXPLICIT),
    NUMBER(return_line_t, quantity_thousandths, INT64, 1, LINE_MEASURE_MAX, EXPLICIT),
    NUMBER(return_line_t, refund_minor, INT64, 0, LINE_AMOUNT_MAX, EXPLICIT),
    ENUM(return_line_t, reason, 6),
};
MESSAGE(RETURN_LINE_MESSAGE, "ReturnLine", return_line_t, RETURN_LINE_FIELDS, NULL);

static const field_t PROFILE_FIELDS[] = {
    ID(profile_field_t, name, MISSING(FIELD_REQUIRED)),
    TEXT(profile_field_t, value, VALUE_BYTES_MAX),
};
MESSAGE(PROFILE_MESSAGE, "ProfileField", profile_field_t, PROFILE_FIELDS, NULL);

static const field_t MEMBER_REF_FIELDS[] = {
    ID(member_ref_t, member_id),
    NUMBER(member_ref_t, member_number, FIXED64, INT64_MIN, INT64_MAX),
    ONE(member_ref_t, identifier, IDENTIFIER_MESSAGE),
};
MESSAGE(MEMBER_REF_MESSAGE, "MemberRef", member_ref_t, MEMBER_REF_FIELDS, check_member_ref);

static const field_t IDENTIFY_FIELDS[] = {
    CONTEXT(identify_request_t),
    MANY(identify_request_t, identifiers, IDENTIFIER_MESSAGE, LIST_IDENTIFIERS, IDENTIFIERS_MAX,
         MISSING(FIELD_REQUIRED)),
    TIME(identify_request_t, opened_time_unix_ms),
    NUMBER(identify_request_t, utc_offset_minutes, SINT32, -720, 840, EXPLICIT),
    TEXT(identify_request_t, locale, VALUE_BYTES_MAX),
    FLAG(identify_request_t, include_wallet),
    FLAG(identify_request_t, include_holds),
};
MESSAGE(IDENTIFY_MESSAGE, "IdentifyMemberRequest", identify_request_t, IDENTIFY_FIELDS,
        check_identify);

static const field_t QUOTE_FIELDS[] = {
    CONTEXT(quote_request_t),
    ONE(quote_request_t, basket, BASKET_MESSAGE, MISSING(FIELD_REQUIRED)),
    FLAG(quote_request_t, explain),
    NUMBER(quote_request_t, near_miss_limit, INT32, 0, NEAR_MISSES_MAX, EXPLICIT, IMPLIED(3)),
    TEXT(quote_request_t, locale, VALUE_BYTES_MAX),
};
MESSAGE(QUOTE_MESSAGE, "QuoteBasketRequest", quote_request_t, QUOTE_FIELDS, NULL);

static const field_t TOTAL_FIELDS[] = {
    CONTEXT(total_request_t),
    ONE(total_request_t, basket, BASKET_MESSAGE, MISSING(FIELD_REQUIRED)),
    FLAG(total_request_t, explain),
    NUMBER(total_request_t, near_miss_limit, INT32, 0, NEAR_MISSES_MAX, EXPLICIT),
    TEXT(total_request_t, locale, VALUE_BYTES_MAX),
    NUMBER(total_request_t, hold_seconds, INT32, 1, TOTAL_SECONDS_MAX, EXPLICIT),
};
MESSAGE(TOTAL_MESSAGE, "TotalBasketRequest", total_request_t, TOTAL_FIELDS, check_total);

static const field_t COMMIT_FIELDS[] = {
    CONTEXT(commit_request_t),
    ONE(commit_request_t, receipt, RECEIPT_MESSAGE, MISSING(RECEIPT_REQUIRED)),
    ONE(commit_request_t, basket, BASKET_MESSAGE, MISSING(FIELD_REQUIRED)),
    RAW(commit_request_t, total_token, TOKEN_BYTES_MAX),
    RESERVED,
    FLAG(commit_request_t, paid),
    FLAG(commit_request_t, refuse_on_change),
    ONE(commit_request_t, figures, FIGURES_MESSAGE),
    TIME(commit_request_t, completed_time_unix_ms),
    TEXT(commit_request_t, locale, VALUE_BYTES_MAX),
    MANY(commit_request_t, hold_captures, HOLD_CAPTURE_MESSAGE, LIST_HOLD_CAPTURES,
         HOLD_CAPTURES_MAX),
    ENUM(commit_request_t, degraded_level, 4, IMPLIED(1)),
    FLAG(commit_request_t, explain),
    FLAG(commit_request_t, issue_capsule),
};
MESSAGE(COMMIT_MESSAGE, "CommitTransactionRequest", commit_request_t, COMMIT_FIELDS, check_commit);

static const field_t VOID_FIELDS[] = {
    CONTEXT(void_request_t),
    ONE(void_request_t, original_receipt, RECEIPT_MESSAGE),
    ID(void_request_t, original_idempotency_key),
    ONE(void_request_t, receipt, RECEIPT_MESSAGE),
    TEXT(void_request_t, reason, VALUE_BYTES_MAX),
    TIME(void_request_t, completed_time_unix_ms),
};
MESSAGE(VOID_MESSAGE, "VoidTransactionRequest", void_request_t, VOID_FIELDS, check_void);

static const field_t RETURN_FIELDS[] = {
    CONTEXT(return_request_t),
    ONE(return_request_t, original_receipt, RECEIPT_MESSAGE, MISSING(RECEIPT_REQUIRED)),
    ONE(return_request_t, receipt, RECEIPT_MESSAGE, MISSING(RECEIPT_REQUIRED)),
    MANY(return_request_t, lines, RETURN_LINE_MESSAGE, LIST_RETURN_LINES, BASKET_LINES_MAX,
         MISSING(LINES_EMPTY)),
    ENUM(return_request_t, reason, 6),
    TIME(return_request_t, completed_time_unix_ms),
    FLAG(return_request_t, paid),
    RAW(return_request_t, receipt_capsule, CAPSULE_BYTES_MAX),
    TEXT(return_request_t, locale, VALUE_BYTES_MAX),
    FLAG(return_request_t, points_settled),
};
MESSAGE(RETURN_MESSAGE, "ReturnItemsRequest", return_request_t, RETURN_FIELDS, check_return);

static const field_t CLAIM_FIELDS[] = {
    CONTEXT(claim_request_t),
    ONE(claim_request_t, receipt, RECEIPT_MESSAGE, MISSING(RECEIPT_REQUIRED)),
    MANY(claim_request_t, identifiers, IDENTIFIER_MESSAGE, LIST_IDENTIFIERS, IDENTIFIERS_MAX,
         MISSING(FIELD_REQUIRED)),
    TIME(claim_request_t, claimed_time_unix_ms),
};
MESSAGE(CLAIM_MESSAGE, "ClaimTransactionRequest", claim_request_t, CLAIM_FIELDS, check_change);

static const field_t ENROL_FIELDS[] = {
    CONTEXT(enrol_request_t),
    ID(enrol_request_t, member_id, MISSING(FIELD_REQUIRED)),
    ID(enrol_request_t, group_id),
    MANY(enrol_request_t, identifiers, IDENTIFIER_MESSAGE, LIST_IDENTIFIERS, IDENTIFIERS_MAX),
    ID(enrol_request_t, tier_id),
    NAMES(enrol_request_t, segment_ids, 0, SEGMENTS_MAX),
    NAMES(enrol_request_t, consent_ids, 1, CONSENTS_MAX),
    NUMBER(enrol_request_t, birth_month_day, INT32, 101, 1231),
    MANY(enrol_request_t, profile, PROFILE_MESSAGE, LIST_PROFILE, PROFILE_FIELDS_MAX),
    NAMES(enrol_request_t, offer_ids, 2, WALLET_MAX),
};
MESSAGE(ENROL_MESSAGE, "EnrolMemberRequest", enrol_request_t, ENROL_FIELDS, check_change);

static const field_t GET_FIELDS[] = {
    CONTEXT(get_request_t),
    ONE(get_request_t, member, MEMBER_REF_MESSAGE, MISSING(FIELD_REQUIRED)),
    FLAG(get_request_t, include_profile),
    TEXT(get_request_t, locale, VALUE_BYTES_MAX),
};
MESSAGE(GET_MESSAGE, "GetMemberRequest", get_request_t, GET_FIELDS, NULL);

static const field_t UPDATE_FIELDS[] = {
    CONTEXT(update_request_t),
    ONE(update_request_t, member, MEMBER_REF_MESSAGE, MISSING(FIELD_REQUIRED)),
    ID(update_request_t, tier_id, EXPLICIT),
    NAMES(update_request_t, add_segment_ids, 0, SEGMENTS_MAX),
    NAMES(update_request_t, remove_segment_ids, 1, SEGMENTS_MAX),
    NAMES(update_request_t, add_consent_ids, 2, CONSENTS_MAX),
    NAMES(update_request_t, remove_consent_ids, 3, CONSENTS_MAX),
    NUMBER(update_request_t, birth_month_day, INT32, 0, 1231, EXPLICIT),
    {AT(update_request_t, blocked), .type = TYPE_BOOL, .high = 1, .rules = RULE_EXPLICIT},
    ID(update_request_t, group_id, EXPLICIT),
    MANY(update_request_t, profile, PROFILE_MESSAGE, LIST_PROFILE, PROFILE_FIELDS_MAX),
    ONE(update_request_t, referrer, MEMBER_REF_MESSAGE),
};
MESSAGE(UPDATE_MESSAGE, "UpdateMemberRequest", update_request_t, UPDATE_FIELDS, check_update);

static const field_t LINK_FIELDS[] = {
    CONTEXT(link_request_t),
    ONE(link_request_t, member, MEMBER_REF_MESSAGE, MISSING(FIELD_REQUIRED)),
    ONE(link_request_t, identifier, IDENTIFIER_MESSAGE, MISSING(FIELD_REQUIRED)),
    FLAG(link_request_t, remove),
};
MESSAGE(LINK_MESSAGE, "LinkIdentifierRequest", link_request_t, LINK_FIELDS, check_change);

static const field_t ACTIVATE_FIELDS[] = {
    CONTEXT(activate_request_t),
    ONE(activate_request_t, member, MEMBER_REF_MESSAGE, MISSING(FIELD_REQUIRED)),
    ID(activate_request_t, offer_id, MISSING(FIELD_REQUIRED)),
    ENUM(activate_request_t, action, 4, IMPLIED(WALLET_ACTION_ACTIVATE)),
    DATE(activate_request_t, expire_date, RANGE(FIELD_OUT_OF_RANGE)),
};
MESSAGE(ACTIVATE_MESSAGE, "ActivateOfferRequest", activate_request_t, ACTIVATE_FIELDS,
        check_change);

static const field_t ENTRIES_FIELDS[] = {
    CONTEXT(entries_request_t),
    ONE(entries_request_t, member, MEMBER_REF_MESSAGE, MISSING(FIELD_REQUIRED)),
    NUMBER(entries_request_t, page_size, INT32, 0, 200, IMPLIED(50)),
    TEXT(entries_request_t, page_token, VALUE_BYTES_MAX),
};
MESSAGE(ENTRIES_MESSAGE, "ListEntriesRequest", entries_request_t, ENTRIES_FIELDS, NULL);

static const field_t STOP_FIELDS[] = {
    CONTEXT(stop_request_t),
    ID(stop_request_t, offer_id, MISSING(FIELD_REQUIRED)),
    FLAG(stop_request_t, resume),
    TEXT(stop_request_t, reason, VALUE_BYTES_MAX),
};
MESSAGE(STOP_MESSAGE, "StopOfferRequest", stop_request_t, STOP_FIELDS, check_change);

static const field_t CLOSE_DATE_FIELDS[] = {
    CONTEXT(close_date_request_t),
    DATE(close_date_request_t, business_date, MISSING(FIELD_REQUIRED)),
};
MESSAGE(CLOSE_DATE_MESSAGE, "CloseBusinessDateRequest", close_date_request_t, CLOSE_DATE_FIELDS,
        check_hold);

static const field_t ADJUST_FIELDS[] = {
    CONTEXT(adjust_request_t),
    ONE(adjust_request_t, member, MEMBER_REF_MESSAGE, MISSING(FIELD_REQUIRED)),
    ID(adjust_request_t, purse_id, MISSING(FIELD_REQUIRED)),
    NUMBER(adjust_request_t, points, SINT64, -PURSE_POINTS_MAX, PURSE_POINTS_MAX, EXPLICIT,
           MISSING(FIELD_REQUIRED)),
    TEXT(adjust_request_t, reason, VALUE_BYTES_MAX, MISSING(FIELD_REQUIRED)),
    DATE(adjust_request_t, active_date, RANGE(FIELD_OUT_OF_RANGE)),
    DATE(adjust_request_t, expire_date, RANGE(FIELD_OUT_OF_RANGE)),
    FLAG(adjust_request_t, allow_debt),
};
MESSAGE(ADJUST_MESSAGE, "AdjustAccountRequest", adjust_request_t, ADJUST_FIELDS, check_adjust);

static const field_t CONFIRM_FIELDS[] = {
    CONTEXT(confirm_request_t),
    ONE(confirm_request_t, original_receipt, RECEIPT_MESSAGE, MISSING(RECEIPT_REQUIRED)),
    FLAG(confirm_request_t, cancelled),
    DATE(confirm_request_t, event_date, RANGE(FIELD_OUT_OF_RANGE)),
    TEXT(confirm_request_t, reason, VALUE_BYTES_MAX),
};
MESSAGE(CONFIRM_MESSAGE, "ConfirmPointsRequest", confirm_request_t, CONFIRM_FIELDS, check_change);

static const field_t MERGE_FIELDS[] = {
    CONTEXT(merge_request_t),
    ONE(merge_request_t, surviving_member, MEMBER_REF_MESSAGE, MISSING(FIELD_REQUIRED)),
    ONE(merge_request_t, merged_member, MEMBER_REF_MESSAGE, MISSING(FIELD_REQUIRED)),
    TEXT(merge_request_t, reason, VALUE_BYTES_MAX),
};
MESSAGE(MERGE_MESSAGE, "MergeMembersRequest", merge_request_t, MERGE_FIELDS, check_change);

#define HOLD_SECONDS_MAX 2592000 /* 30 days */
#define FUEL_SECONDS_MAX 86400   /* a day: nobody stands at a pump for longer */
#define FUEL_UNIT_PRICE_MAX 1000000000

static const field_t CREATE_HOLD_FIELDS[] = {
    CONTEXT(create_hold_request_t),
    MANY(create_hold_request_t, identifiers, IDENTIFIER_MESSAGE, LIST_IDENTIFIERS,
         IDENTIFIERS_MAX, MISSING(FIELD_REQUIRED)),
    ENUM(create_hold_request_t, kind, HOLD_KIND_TOTAL, MISSING(FIELD_REQUIRED)),
    ID(create_hold_request_t, purse_id),
    NUMBER(create_hold_request_t, points, INT64, 1, POINTS_MAX, EXPLICIT),
    ONE(create_hold_request_t, coupon, COUPON_MESSAGE),
    ID(create_hold_request_t, offer_id),
    NUMBER(create_hold_request_t, uses, INT64, 1, LINE_COUNT_MAX, EXPLICIT, IMPLIED(1)),
    ID(create_hold_request_t, basket_id),
    NUMBER(create_hold_request_t, hold_seconds, INT32, 1, HOLD_SECONDS_MAX, EXPLICIT),
    ID(create_hold_request_t, owner),
};
MESSAGE(CREATE_HOLD_MESSAGE, "CreateHoldRequest", create_hold_request_t, CREATE_HOLD_FIELDS,
        check_create_hold);

static const field_t CAPTURE_HOLD_FIELDS[] = {
    CONTEXT(capture_hold_request_t),
    ONE(capture_hold_request_t, capture, HOLD_CAPTURE_MESSAGE, MISSING(FIELD_REQUIRED)),
    ONE(capture_hold_request_t, receipt, RECEIPT_MESSAGE),
    FLAG(capture_hold_request_t, keep_rest),
};
MESSAGE(CAPTURE_HOLD_MESSAGE, "CaptureHoldRequest", capture_hold_request_t, CAPTURE_HOLD_FIELDS,
        check_hold);

static const field_t RELEASE_HOLD_FIELDS[] = {
    CONTEXT(release_hold_request_t),
    ID(release_hold_request_t, hold_id),
    ID(release_hold_request_t, basket_id),
    ID(release_hold_request_t, owner),
};
MESSAGE(RELEASE_HOLD_MESSAGE, "ReleaseHoldRequest", release_hold_request_t, RELEASE_HOLD_FIELDS,
        check_release_hold);

static const field_t EXTEND_HOLD_FIELDS[] = {
    CONTEXT(extend_hold_request_t),
    ID(extend_hold_request_t, hold_id, MISSING(FIELD_REQUIRED)),
    NUMBER(extend_hold_request_t, hold_seconds, INT32, 1, HOLD_SECONDS_MAX, EXPLICIT,
           MISSING(FIELD_REQUIRED)),
    ID(extend_hold_request_t, owner),
};
MESSAGE(EXTEND_HOLD_MESSAGE, "ExtendHoldRequest", extend_hold_request_t, EXTEND_HOLD_FIELDS,
        check_hold);

static const field_t FUEL_PRICE_FIELDS[] = {
    TEXT(sent_fuel_price_t, grade, VALUE_BYTES_MAX, MISSING(FIELD_REQUIRED)),
    ENUM(sent_fuel_price_t, price_level, 2, MISSING(FIELD_REQUIRED)),
    NUMBER(sent_fuel_price_t, unit_price_minor_thousandths, INT64, 1, FUEL_UNIT_PRICE_MAX,
           EXPLICIT, MISSING(FIELD_REQUIRED)),
    ID(sent_fuel_price_t, product_code),
    ENUM(sent_fuel_price_t, code_kind, 3, IMPLIED(CODE_KIND_GTIN)),
};
MESSAGE(FUEL_PRICE_MESSAGE, "FuelPrice", sent_fuel_price_t, FUEL_PRICE_FIELDS,
        check_fuel_price);

static const field_t AUTHORIZE_FUEL_FIELDS[] = {
    CONTEXT(fuel_request_t),
    MANY(fuel_request_t, identifiers, IDENTIFIER_MESSAGE, LIST_IDENTIFIERS, IDENTIFIERS_MAX),
    ID(fuel_request_t, pump_id, MISSING(FIELD_REQUIRED)),
    MANY(fuel_request_t, prices, FUEL_PRICE_MESSAGE, LIST_FUEL_PRICES, FUEL_PRICES_MAX,
         MISSING(FIELD_REQUIRED)),
    ENUM(fuel_request_t, sale_kind, 3, IMPLIED(3)),
    NUMBER(fuel_request_t, prepaid_amount_minor, INT64, 0, LINE_AMOUNT_MAX, EXPLICIT),
    MANY(fuel_request_t, tenders, TENDER_MESSAGE, LIST_TENDERS, TENDERS_MAX),
    ID(fuel_request_t, basket_id),
    TIME(fuel_request_t, opened_time_unix_ms, MISSING(TIME_MISSING)),
    NUMBER(fuel_request_t, utc_offset_minutes, SINT32, -720, 840, EXPLICIT),
    DATE(fuel_request_t, business_date, RANGE(BUSINESS_DATE_INVALID)),
    NUMBER(fuel_request_t, hold_seconds, INT32, 1, FUEL_SECONDS_MAX, EXPLICIT),
    ENUM(fuel_request_t, unit, 10, MISSING(FIELD_REQUIRED)),
    MANY(fuel_request_t, coupons, COUPON_MESSAGE, LIST_COUPONS, COUPONS_MAX),
    MANY(fuel_request_t, redemptions, REDEMPTION_MESSAGE, LIST_REDEMPTIONS, SELECTIONS_MAX),
    NUMBER(fuel_request_t, max_quantity_thousandths, INT64, 1, LINE_MEASURE_MAX, EXPLICIT,
           IMPLIED(FUEL_QUANTITY_DEFAULT)),
    FLAG(fuel_request_t, fuelling_begun),
};
MESSAGE(AUTHORIZE_FUEL_MESSAGE, "AuthorizeFuelRequest", fuel_request_t, AUTHORIZE_FUEL_FIELDS,
        check_fuel);

const message_t *const WIRE_BASKET = &BASKET_MESSAGE;

const message_t *const WIRE_REQUESTS[REQUEST_KINDS] = {
    [REQUEST_IDENTIFY_MEMBER] = &IDENTIFY_MESSAGE,
    [REQUEST_QUOTE_BASKET] = &QUOTE_MESSAGE,
    [REQUEST_COMMIT_TRANSACTION] = &COMMIT_MESSAGE,
    [REQUEST_VOID_TRANSACTION] = &VOID_MESSAGE,
    [REQUEST_RETURN_ITEMS] = &RETURN_MESSAGE,
    [REQUEST_ENROL_MEMBER] = &ENROL_MESSAGE,
    [REQUEST_GET_MEMBER] = &GET_MESSAGE,
    [REQUEST_UPDATE_MEMBER] = &UPDATE_MESSAGE,
    [REQUEST_LINK_IDENTIFIER] = &LINK_MESSAGE,
    [REQUEST_ACTIVATE_OFFER] = &ACTIVATE_MESSAGE,
    [REQUEST_LIST_ENTRIES] = &ENTRIES_MESSAGE,
    [REQUEST_STOP_OFFER] = &STOP_MESSAGE,
    [REQUEST_ADJUST_ACCOUNT] = &ADJUST_MESSAGE,
    [REQUEST_CONFIRM_POINTS] = &CONFIRM_MESSAGE,
    [REQUEST_MERGE_MEMBERS] = &MERGE_MESSAGE,
    [REQUEST_CREATE_HOLD] = &CREATE_HOLD_MESSAGE,
    [REQUEST_CAPTURE_HOLD] = &CAPTURE_HOLD_MESSAGE,
    [REQUEST_RELEASE_HOLD] = &RELEASE_HOLD_MESSAGE,
    [REQUEST_EXTEND_HOLD] = &EXTEND_HOLD_MESSAGE,
    [REQUEST_TOTAL_BASKET] = &TOTAL_MESSAGE,
    [REQUEST_AUTHORIZE_FUEL] = &AUTHORIZE_FUEL_MESSAGE,
    [REQUEST_CLOSE_DATE] = &CLOSE_DATE_MESSAGE,
    [REQUEST_CLAIM_TRANSACTION] = &CLAIM_MESSAGE,
};
