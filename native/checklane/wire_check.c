/* The way through a request that was read, and what can be judged of it without a table.
 *
 * The checks run over the values that hold, not over the bytes: a value that a later one replaced
 * does no harm. Each check notes its fault and goes on, for the fault with the lowest number is
 * answered wherever it stands; of equal ones the first in the order of the contract. */
#include <stdio.h>
#include <string.h>

#include "invariant.h"
#include "wire_fields.h"

/* ---------------------------------------------------------------------------- places ---- */

/* Appends to a place; what does not fit is cut. */
static void append_place(fault_t *fault, const char *name, uint32_t index)
{
    size_t used = strlen(fault->place);
    size_t room = sizeof(fault->place) - used;
    const char *dot = used == 0 ? "" : ".";
    if (index == NONE_32) snprintf(fault->place + used, room, "%s%s", dot, name);
    else snprintf(fault->place + used, room, "%s%s[%u]", dot, name, index);
}

void note_fault(wire_t *wire, status_t status, const wire_frame_t *frames, uint32_t depth,
                const char *name, uint32_t index)
{
    fault_t *fault = &wire->fault;
    if (fault->status != STATUS_OK && fault->status <= status) return;
    fault->status = status;
    fault->place[0] = 0;
    for (uint32_t i = 1; i <= depth; i++) {
        append_place(fault, frames[i].via->name, frames[i].index);
    }
    if (name != NULL) append_place(fault, name, index);
}

/* A fault in or below the message that the walk is leaving. */
static void note_at(wire_t *wire, const walk_t *walk, status_t status, const char *name)
{
    note_fault(wire, status, walk->frames, walk->depth, name, NONE_32);
}

/* ------------------------------------------------------------------------------ walk ---- */

void walk_begin(walk_t *walk, wire_t *wire, const uint16_t *line_order)
{
    walk->wire = wire;
    walk->line_order = line_order;
    walk->depth = 0;
    walk->frames[0] = (wire_frame_t){
        .message = WIRE_REQUESTS[wire->kind],
        .index = NONE_32,
        .record = (uint8_t *)&wire->head,
    };
}

static void walk_down(walk_t *walk, const field_t *field, uint8_t *record, uint32_t index)
{
    walk->depth++;
    INVARIANT(walk->depth < WIRE_DEPTH_MAX);
    walk->frames[walk->depth] = (wire_frame_t){
        .message = field->message,
        .via = field,
        .index = index,
        .record = record,
    };
}

static int walk_enter(walk_t *walk, visit_t *visit, const field_t *field, uint8_t *record)
{
    walk_down(walk, field, record, visit->index);
    visit->value = record;
    return VISIT_ENTER;
}

/* The next item of the list at hand; VISIT_END: it has no more. */
static int walk_item(walk_t *walk, wire_frame_t *frame, const field_t *field, visit_t *visit)
{
    span_t span;
    memcpy(&span, frame->record + field->offset, sizeof(span));
    if (frame->item == span.count) {
        frame->field++;
        frame->item = 0;
        return VISIT_END;
    }
    const wire_list_place_t *place = &WIRE_LIST_PLACES[field->list];
    bool is_ordered = field->list == LIST_LINES || field->list == LIST_RETURN_LINES;
    visit->index = frame->item++;
    if (is_ordered && walk->line_order != NULL) visit->index = walk->line_order[visit->index];
    uint8_t *item = (uint8_t *)walk->wire + place->offset;
    item += (size_t)(span.first + visit->index) * place->item_size;
    if (field->type == TYPE_MESSAGE) return walk_enter(walk, visit, field, item);
    visit->value = item;
    return VISIT_VALUE;
}

int walk_next(walk_t *walk, visit_t *visit)
{
    wire_frame_t *frame = &walk->frames[walk->depth];
    if (frame->field > frame->message->field_count) {
        if (walk->depth == 0) return VISIT_END;
        frame = &walk->frames[--walk->depth];
    }
    while (frame->field < frame->message->field_count) {
        const field_t *field = &frame->message->fields[frame->field];
        visit->field = field;
        if ((field->rules & RULE_REPEATED) != 0) {
            int what = walk_item(walk, frame, field, visit);
            if (what != VISIT_END) return what;
            continue;
        }
        visit->index = NONE_32;
        frame->field++;
        uint64_t present;
        memcpy(&present, frame->record, sizeof(present));
        if (is_present(present, frame->field)) {
            uint8_t *value = frame->record + field->offset;
            if (field->type == TYPE_MESSAGE) return walk_enter(walk, visit, field, value);
            visit->value = value;
            return VISIT_VALUE;
        }
    }
    frame->field = frame->message->field_count + 1;
    visit->field = frame->via;
    visit->value = frame->record;
    visit->index = frame->index;
    return VISIT_LEAVE;
}

/* ------------------------------------------------------------------ checks of one field ---- */

static status_t text_fault(const field_t *field, bytes_t text)
{
    if (text.size > field->high) return STATUS_TEXT_TOO_LONG;
    bool is_item = (field->rules & RULE_REPEATED) != 0;
    if (is_item && text.size == 0) return STATUS_FIELD_REQUIRED;
    return STATUS_OK;
}

static status_t number_fault(const field_t *field, int64_t number)
{
    if ((field->rules & RULE_DATE) != 0) {
        if (day_from_date(number) != INT32_MIN) return STATUS_OK;
        return field->range != 0 ? (status_t)field->range : STATUS_BUSINESS_DATE_INVALID;
    }
    if (number >= field->low && number <= field->high) return STATUS_OK;
    if (field->range != 0) return (status_t)field->range;
    return field->type == TYPE_ENUM ? STATUS_ENUM_UNKNOWN : STATUS_FIELD_OUT_OF_RANGE;
}

static void check_value(wire_t *wire, const walk_t *walk, const field_t *field, const void *value,
                        uint32_t index)
{
    status_t status;
    if (field->type >= TYPE_STRING) {
        bytes_t text;
        memcpy(&text, value, sizeof(text));
        status = text_fault(field, text);
    } else {
        int64_t number;
        memcpy(&number, value, sizeof(number));
        status = number_fault(field, number);
    }
    if (status == STATUS_OK) return;
    note_fault(wire, status, walk->frames, walk->depth, field->name, index);
}

static void check_message(wire_t *wire, walk_t *walk);

static void check_field(wire_t *wire, walk_t *walk, const field_t *field, uint8_t *value,
                        uint32_t index)
{
    if (field->type != TYPE_MESSAGE) {
        check_value(wire, walk, field, value, index);
        return;
    }
    walk_down(walk, field, value, index);
    check_message(wire, walk);
    walk->depth--;
}

/* False: the list has none. A list has no bit of its own among those that say what is present. */
static bool check_items(wire_t *wire, walk_t *walk, const field_t *field, const uint8_t *at)
{
    const wire_list_place_t *place = &WIRE_LIST_PLACES[field->list];
    span_t span;
    memcpy(&span, at, sizeof(span));
    uint8_t *item = (uint8_t *)wire + place->offset + (size_t)span.first * place->item_size;
    for (uint32_t i = 0; i < span.count; i++, item += place->item_size) {
        check_field(wire, walk, field, item, i);
    }
    return span.count != 0;
}

/* The message at hand, in the order of walk_next. Every call of the contract comes through here, so
 * it goes down by itself: a step of the walk costs three times what a look at a field does. Depth:
 * below WIRE_DEPTH_MAX, as the contract's own. */
static void check_message(wire_t *wire, walk_t *walk)
{
    const wire_frame_t *frame = &walk->frames[walk->depth];
    const message_t *message = frame->message;
    const field_t *end = message->fields + message->field_count;
    uint64_t present;
    memcpy(&present, frame->record, sizeof(present));
    for (const field_t *field = message->fields; field < end; field++) {
        bool is_there = ((present >>= 1) & 1) != 0; /* bit n: the field of number n */
        if (is_there) {
            check_field(wire, walk, field, frame->record + field->offset, NONE_32);
        } else if ((field->rules & RULE_REPEATED) != 0) {
            is_there = check_items(wire, walk, field, frame->record + field->offset);
        }
        if (is_there || field->missing == 0) continue;
        note_fault(wire, (status_t)field->missing, walk->frames, walk->depth, field->name, NONE_32);
    }
    if (message->check != NULL) message->check(wire, walk, frame->record);
}

void wire_check(wire_t *wire)
{
    walk_t walk;
    wire->line_count = 0;
    walk_begin(&walk, wire, NULL);
    check_message(wire, &walk);
}

/* -------------------------------------------------------------- checks of one message ---- */

void check_line(wire_t *wire, const walk_t *walk, const void *record)
{
    const sent_line_t *line = record;
    int64_t kind = line->kind != 0 ? line->kind : LINE_KIND_SALE;
    int64_t code_kind = line->code_kind != 0 ? line->code_kind : CODE_KIND_GTIN;
    bool has_original = is_present(line->present, 18);
    if (has_original && kind != LINE_KIND_RETURN) {
        note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, "original");
    }
    if (line->product_code.size == 0) {
        bool is_goods = kind == LINE_KIND_SALE || kind == LINE_KIND_RETURN;
        if (!is_goods || line->department_code.size != 0) return;
        note_at(wire, walk, STATUS_LINE_CODE_INVALID, "product_code");
    } else if (code_kind != CODE_KIND_SKU && product_code(code_kind, line->product_code) == 0) {
        note_at(wire, walk, STATUS_LINE_CODE_INVALID, "product_code");
    }
}

void check_coupon(wire_t *wire, const walk_t *walk, const void *record)
{
    const sent_coupon_t *coupon = record;
    if (coupon->code.size != 0 || coupon->scanned_data.size != 0) return;
    note_at(wire, walk, STATUS_FIELD_REQUIRED, "code");
}

void check_tender(wire_t *wire, const walk_t *walk, const void *record)
{
    bytes_t bin = ((const sent_tender_t *)record)->card_bin;
    if (bin.size == 0) return;
    bool fits = bin.size >= 6 && bin.size <= 8;
    for (uint32_t i = 0; fits && i < bin.size; i++) fits = bin.at[i] >= '0' && bin.at[i] <= '9';
    if (!fits) note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, "card_bin");
}

void check_member_ref(wire_t *wire, const walk_t *walk, const void *record)
{
    int given = __builtin_popcountll(((const member_ref_t *)record)->present);
    if (given == 0) note_at(wire, walk, STATUS_FIELD_REQUIRED, NULL);
    if (given > 1) note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, NULL);
}

/* ------------------------------------------------------------- checks of lines by number ---- */

static int64_t line_id_at(const wire_t *wire, uint32_t index)
{
    bool is_return = wire->kind == REQUEST_RETURN_ITEMS;
    return is_return ? wire->return_lines[index].line_id : wire->lines[index].line_id;
}

/* Sorted by line id, then by place: the first of two equal ids stands first. */
static bool is_before(const wire_t *wire, uint32_t left, uint32_t right)
{
    int64_t left_id = line_id_at(wire, left);
    int64_t right_id = line_id_at(wire, right);
    return left_id != right_id ? left_id < right_id : left < right;
}

static void sift_line(wire_t *wire, uint32_t root, uint32_t count)
{
    uint16_t *order = wire->line_order;
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= count) return;
        if (child + 1 < count && is_before(wire, order[child], order[child + 1])) child++;
        if (!is_before(wire, order[root], order[child])) return;
        uint16_t moved = order[root];
        order[root] = order[child];
        order[child] = moved;
        root = child;
    }
}

/* Lanes send lines by number as a rule: then one look suffices. A heap sort otherwise, for it needs
 * neither memory nor luck. */
static void order_lines(wire_t *wire, uint32_t count)
{
    bool is_sorted = true;
    wire->line_count = count;
    for (uint32_t i = 0; i < count; i++) {
        wire->line_order[i] = (uint16_t)i;
        if (i > 0 && !is_before(wire, i - 1, i)) is_sorted = false;
    }
    if (is_sorted) return;
    for (uint32_t i = count / 2; i > 0; i--) sift_line(wire, i - 1, count);
    for (uint32_t end = count - 1; end > 0; end--) {
        uint16_t last = wire->line_order[0];
        wire->line_order[0] = wire->line_order[end];
        wire->line_order[end] = last;
        sift_line(wire, 0, end);
    }
}

uint32_t wire_find_line(const wire_t *wire, int64_t line_id)
{
    uint32_t low = 0;
    uint32_t high = wire->line_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (line_id_at(wire, wire->line_order[middle]) < line_id) low = middle + 1;
        else high = middle;
    }
    if (low == wire->line_count) return NONE_32;
    uint32_t index = wire->line_order[low];
    return line_id_at(wire, index) == line_id ? index : NONE_32;
}

/* Of all lines that repeat an id, the first in the order sent; NONE_32: each id is there once. */
static uint32_t find_duplicate(const wire_t *wire)
{
    uint32_t first = NONE_32;
    for (uint32_t i = 1; i < wire->line_count; i++) {
        uint32_t index = wire->line_order[i];
        if (line_id_at(wire, index) != line_id_at(wire, wire->line_order[i - 1])) continue;
        if (index < first) first = index;
    }
    return first;
}

/* A fault in a field of an item of a list of the message that the walk is leaving. */
static void note_item(wire_t *wire, const walk_t *walk, status_t status, const char *list,
                      uint32_t index, const char *name)
{
    char place[FAULT_PLACE_BYTES];
    snprintf(place, sizeof(place), "%s[%u].%s", list, index, name);
    note_at(wire, walk, status, place);
}

static void check_duplicates(wire_t *wire, const walk_t *walk, uint32_t count)
{
    order_lines(wire, count);
    uint32_t duplicate = find_duplicate(wire);
    if (duplicate == NONE_32) return;
    note_item(wire, walk, STATUS_LINE_ID_DUPLICATE, "lines", duplicate, "line_id");
}

static void check_parents(wire_t *wire, const walk_t *walk)
{
    for (uint32_t i = 0; i < wire->line_count; i++) {
        const sent_line_t *line = &wire->lines[i];
        if (line->parent_line_id == 0) continue;
        bool is_own = line->parent_line_id == line->line_id;
        if (!is_own && wire_find_line(wire, line->parent_line_id) != NONE_32) continue;
        note_item(wire, walk, STATUS_LINE_PARENT_UNKNOWN, "lines", i, "parent_line_id");
    }
}

static void check_tender_lines(wire_t *wire, const walk_t *walk, span_t tenders)
{
    for (uint32_t i = 0; i < tenders.count; i++) {
        span_t lines = wire->tenders[tenders.first + i].line_ids;
        for (uint32_t j = 0; j < lines.count; j++) {
            if (wire_find_line(wire, wire->tender_lines[lines.first + j]) != NONE_32) continue;
            char name[32];
            snprintf(name, sizeof(name), "line_ids[%u]", j);
            note_item(wire, walk, STATUS_TENDER_INVALID, "tenders", i, name);
        }
    }
}

void check_basket(wire_t *wire, const walk_t *walk, const void *record)
{
    const sent_basket_t *basket = record;
    bytes_t currency = basket->currency_code;
    bool fits = currency.size == 0 || currency.size == 3;
    for (uint32_t i = 0; fits && i < currency.size; i++) {
        fits = currency.at[i] >= 'A' && currency.at[i] <= 'Z';
    }
    if (!fits) note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, "currency_code");
    check_duplicates(wire, walk, basket->lines.count);
    check_parents(wire, walk);
    check_tender_lines(wire, walk, basket->tenders);
}

/* The basket stands before the figures in the contract, so its lines are in order by now. */
void check_line_figures(wire_t *wire, const walk_t *walk, const void *record)
{
    const line_figures_t *figures = record;
    uint32_t line = wire_find_line(wire, figures->line_id);
    if (line == NONE_32 || figures->discount_minor <= wire->lines[line].amount_minor) return;
    note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, "discount_minor");
}

status_t wire_check_figures(const wire_t *wire, fault_t *fault)
{
    *fault = (fault_t){.status = STATUS_OK};
    if (wire->kind != REQUEST_COMMIT_TRANSACTION) return STATUS_OK;
    span_t lines = wire->commit.figures.lines;
    for (uint32_t i = 0; i < lines.count; i++) {
        if (wire_find_line(wire, wire->line_figures[lines.first + i].line_id) != NONE_32) continue;
        fault->status = STATUS_LINE_UNKNOWN;
        snprintf(fault->place, sizeof(fault->place), "figures.lines[%u].line_id", i);
        return fault->status;
    }
    return STATUS_OK;
}

/* ------------------------------------------------------------- checks of whole requests ---- */

/* Every request that changes something has a key. */
void check_change(wire_t *wire, const walk_t *walk, const void *record)
{
    const request_head_t *head = record;
    if (head->context.idempotency_key.size != 0) return;
    note_at(wire, walk, STATUS_KEY_REQUIRED, "context.idempotency_key");
}

void check_identify(wire_t *wire, const walk_t *walk, const void *record)
{
    const request_head_t *request = record;
    if (request->context.store_id.size != 0) return;
    note_at(wire, walk, STATUS_FIELD_REQUIRED, "context.store_id");
}

static bool is_same(bytes_t left, bytes_t right)
{
    if (left.size != right.size) return false;
    return left.size == 0 || memcmp(left.at, right.at, left.size) == 0;
}

/* Two texts that must agree where both are given. */
static bool disagree(bytes_t left, bytes_t right)
{
    return left.size != 0 && right.size != 0 && !is_same(left, right);
}

void check_total(wire_t *wire, const walk_t *walk, const void *record)
{
    const total_request_t *request = record;
    if (is_present(request->present, 2) && request->basket.basket_id.size == 0) {
        note_at(wire, walk, STATUS_FIELD_REQUIRED, "basket.basket_id");
    }
    check_change(wire, walk, record);
}

void check_commit(wire_t *wire, const walk_t *walk, const void *record)
{
    const commit_request_t *request = record;
    if (disagree(request->receipt.store_id, request->basket.store_id)) {
        note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, "receipt.store_id");
    }
    if (disagree(request->receipt.till_id, request->basket.till_id)) {
        note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, "receipt.till_id");
    }
    if (request->paid != 0 && request->refuse_on_change != 0) {
        note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, "refuse_on_change");
    }
    check_change(wire, walk, record);
}

void check_void(wire_t *wire, const walk_t *walk, const void *record)
{
    const void_request_t *request = record;
    bool has_receipt = is_present(request->present, VOID_ORIGINAL_RECEIPT);
    if (!has_receipt && request->original_idempotency_key.size == 0) {
        note_at(wire, walk, STATUS_RECEIPT_REQUIRED, "original_receipt");
    }
    check_change(wire, walk, record);
}

void check_return(wire_t *wire, const walk_t *walk, const void *record)
{
    const return_request_t *request = record;
    check_duplicates(wire, walk, request->lines.count);
    check_change(wire, walk, record);
}

/* No text may be added and removed at once. */
static void check_apart(wire_t *wire, const walk_t *walk, uint32_t row, const span_t lists[2],
                        const char *name)
{
    for (uint32_t i = 0; i < lists[1].count; i++) {
        for (uint32_t j = 0; j < lists[0].count; j++) {
            bytes_t removed = wire->names[row + 1][lists[1].first + i];
            if (!is_same(removed, wire->names[row][lists[0].first + j])) continue;
            note_fault(wire, STATUS_FIELD_OUT_OF_RANGE, walk->frames, walk->depth, name, i);
        }
    }
}

void check_update(wire_t *wire, const walk_t *walk, const void *record)
{
    const update_request_t *request = record;
    span_t segments[2] = {request->add_segment_ids, request->remove_segment_ids};
    span_t consents[2] = {request->add_consent_ids, request->remove_consent_ids};
    check_apart(wire, walk, 0, segments, "remove_segment_ids");
    check_apart(wire, walk, 2, consents, "remove_consent_ids");
    if (request->birth_month_day > 0 && request->birth_month_day < 101) {
        note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, "birth_month_day");
    }
    check_change(wire, walk, record);
}

/* Dates are those of a lot that is given: what is taken has none. */
void check_adjust(wire_t *wire, const walk_t *walk, const void *record)
{
    const adjust_request_t *request = record;
    if (request->context.operator_id.size == 0) {
        note_at(wire, walk, STATUS_FIELD_REQUIRED, "context.operator_id");
    }
    if (is_present(request->present, ADJUST_POINTS) && request->points == 0) {
        note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, "points");
    }
    if (request->points < 0 && request->active_date != 0) {
        note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, "active_date");
    }
    if (request->points < 0 && request->expire_date != 0) {
        note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, "expire_date");
    }
    if (request->points > 0 && request->allow_debt != 0) {
        note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, "allow_debt");
    }
    check_change(wire, walk, record);
}

/* Calls about holds: from a store, with a key. */
void check_hold(wire_t *wire, const walk_t *walk, const void *record)
{
    check_identify(wire, walk, record);
    check_change(wire, walk, record);
}

/* Each kind needs what it holds; a budget, fuel and a total are no caller's to hold. */
void check_create_hold(wire_t *wire, const walk_t *walk, const void *record)
{
    const create_hold_request_t *request = record;
    switch (request->kind) {
    case HOLD_KIND_POINTS:
        if (request->purse_id.size == 0) {
            note_at(wire, walk, STATUS_FIELD_REQUIRED, "purse_id");
        }
        if (!is_present(request->present, CREATE_HOLD_POINTS)) {
            note_at(wire, walk, STATUS_FIELD_REQUIRED, "points");
        }
        break;
    case HOLD_KIND_COUPON:
        if (!is_present(request->present, CREATE_HOLD_COUPON)) {
            note_at(wire, walk, STATUS_FIELD_REQUIRED, "coupon");
        }
        break;
    case HOLD_KIND_OFFER_USE:
        if (request->offer_id.size == 0) {
            note_at(wire, walk, STATUS_FIELD_REQUIRED, "offer_id");
        }
        break;
    case HOLD_KIND_BUDGET:
    case HOLD_KIND_FUEL:
    case HOLD_KIND_TOTAL: note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, "kind"); break;
    default: break; /* judged with its field */
    }
    check_hold(wire, walk, record);
}

void check_fuel_price(wire_t *wire, const walk_t *walk, const void *record)
{
    const sent_fuel_price_t *price = record;
    int64_t kind = price->code_kind != 0 ? price->code_kind : CODE_KIND_GTIN;
    if (price->product_code.size == 0 || kind == CODE_KIND_SKU) return;
    if (product_code(kind, price->product_code) != 0) return;
    note_at(wire, walk, STATUS_LINE_CODE_INVALID, "product_code");
}

/* Fuel is sold by the litre, the gallon, the kilogram or the kilowatt-hour. */
void check_fuel(wire_t *wire, const walk_t *walk, const void *record)
{
    static const uint32_t units = 1u << MEASURE_UNIT_KILOGRAM | 1u << MEASURE_UNIT_LITRE
                                  | 1u << MEASURE_UNIT_GALLON | 1u << MEASURE_UNIT_KILOWATT_HOUR;
    const fuel_request_t *request = record;
    bool is_known = request->unit > 0 && request->unit < 32;
    if (is_known && (units >> request->unit & 1) == 0) {
        note_at(wire, walk, STATUS_FIELD_OUT_OF_RANGE, "unit");
    }
    check_hold(wire, walk, record);
}

void check_release_hold(wire_t *wire, const walk_t *walk, const void *record)
{
    const release_hold_request_t *request = record;
    if (request->hold_id.size == 0 && request->basket_id.size == 0) {
        note_at(wire, walk, STATUS_FIELD_REQUIRED, "hold_id");
    }
    check_hold(wire, walk, record);
}

/* ------------------------------------------------------------------------------ dates ---- */

/* Days since 1970-01-01 of a day of the Gregorian calendar, years 2000 to 2099: every fourth year
 * is a leap year there. */
static const int32_t DAYS_BEFORE_MONTH[12] = {0,   31,  59,  90,  120, 151,
                                              181, 212, 243, 273, 304, 334};
#define DAY_OF_2000 10957

int32_t day_from_date(int64_t date)
{
    if (date < 20000101 || date > 20991231) return INT32_MIN;
    int32_t year = (int32_t)(date / 10000) - 2000;
    int32_t month = (int32_t)(date / 100 % 100);
    int32_t day = (int32_t)(date % 100);
    if (month < 1 || month > 12 || day < 1) return INT32_MIN;
    bool is_leap = year % 4 == 0;
    int32_t next = month == 12 ? 365 : DAYS_BEFORE_MONTH[month];
    int32_t length = next - DAYS_BEFORE_MONTH[month - 1] + (is_leap && month == 2 ? 1 : 0);
    if (day > length) return INT32_MIN;
    int32_t leap_days = (year + 3) / 4 + (is_leap && month > 2 ? 1 : 0);
    return DAY_OF_2000 + year * 365 + leap_days + DAYS_BEFORE_MONTH[month - 1] + day - 1;
}

int32_t date_from_day(int32_t day)
{
    int32_t left = day - DAY_OF_2000;
    if (day < DAY_OF_2000 || left >= 36525) return 0;
    int32_t year = left / 1461 * 4;
    left %= 1461;
    if (left >= 366) {
        year += 1 + (left - 366) / 365;
        left = (left - 366) % 365;
    }
    bool is_leap = year % 4 == 0;
    int32_t month = 12;
    int32_t before = 0;
    for (; month > 0; month--) {
        before = DAYS_BEFORE_MONTH[month - 1] + (is_leap && month > 2 ? 1 : 0);
        if (left >= before) break;
    }
    return (2000 + year) * 10000 + month * 100 + left - before + 1;
}
