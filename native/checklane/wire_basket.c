/* From what was sent to what is meant: the engine's basket, product codes, and the hashes that tell
 * whether two requests mean the same. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "invariant.h"
#include "rounding.h"
#include "wire_fields.h"

/* ----------------------------------------------------------------------------- codes ---- */

/* Texts that are hashed one behind the other, put together in words in a register: written out and
 * read back in words, each word would wait for the shorter pieces that were just written. */
typedef struct joint {
    uint64_t v[4];
    uint64_t word;
    uint32_t used; /* bytes in `word`, fewer than eight */
    uint32_t size;
} joint_t;

/* Up to eight bytes, the first lowest, zeros above them. */
static inline void join(joint_t *joint, uint64_t part, uint32_t size)
{
    uint32_t used = joint->used;
    joint->size += size;
    joint->word |= part << 8 * used;
    joint->used = (used + size) % 8;
    if (used + size < 8) return;
    siphash_compress(joint->v, joint->word);
    joint->word = used > 0 ? part >> 8 * (8 - used) : 0;
}

static inline void join_text(joint_t *joint, const uint8_t *at, uint32_t size)
{
    uint64_t word = 0;
    uint32_t low;
    uint32_t high;
    for (; size >= 8; size -= 8, at += 8) {
        memcpy(&word, at, 8);
        join(joint, word, 8);
    }
    word = 0;
    if (size >= 4) {
        memcpy(&low, at, 4);
        memcpy(&high, at + size - 4, 4);
        word = low | (uint64_t)high << 8 * (size - 4);
    } else {
        for (uint32_t i = 0; i < size; i++) word |= (uint64_t)at[i] << 8 * i;
    }
    if (size > 0) join(joint, word, size);
}

uint64_t name_key_of(const char *space, bytes_t name)
{
    static const uint64_t no_secret[2] = {0, 0};
    joint_t joint = {.word = 0};
    INVARIANT(name.size <= VALUE_BYTES_MAX);
    siphash_begin(no_secret, joint.v);
    join_text(&joint, (const uint8_t *)space, (uint32_t)strlen(space));
    join(&joint, ':', 1);
    join_text(&joint, name.at, name.size);
    uint64_t key = siphash_end(joint.v, joint.word | (uint64_t)joint.size << 56).lo;
    return key != 0 ? key : 1;
}

/* The check digit makes the sum of the digits, from the right times 1, 3, 1, 3 ..., end in 0. */
static bool is_gtin(bytes_t text)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < text.size; i++) {
        uint32_t digit = (uint32_t)(text.at[text.size - 1 - i] - '0');
        sum += i % 2 == 0 ? digit : 3 * digit;
    }
    return sum % 10 == 0;
}

uint64_t product_code(int64_t code_kind, bytes_t text)
{
    uint64_t kind = (uint64_t)code_kind << 60;
    uint64_t number = 0;
    if (text.size == 0) return 0;
    if (code_kind == CODE_KIND_SKU) {
        return kind | (name_key_of("sku", text) & (((uint64_t)1 << 60) - 1));
    }
    if (text.size > 14) return 0;
    for (uint32_t i = 0; i < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9') return 0;
        number = number * 10 + (uint64_t)(text.at[i] - '0');
    }
    if (code_kind == CODE_KIND_PLU) return text.size <= 6 ? kind | number : 0;
    if (code_kind != CODE_KIND_GTIN) return 0;
    if (text.size < 8 || !is_gtin(text)) return 0;
    return kind | number;
}

/* ---------------------------------------------------------------------------- basket ---- */

static uint32_t line_flags(const sent_line_t *sent, int64_t pos_discount_minor)
{
    uint32_t flags = 0;
    bool is_marked_down = sent->price_source == 5;
    bool is_overridden = sent->price_source == 4;
    if (sent->no_discount != 0) flags |= LINE_FLAG_NO_DISCOUNT;
    if (sent->no_earn != 0) flags |= LINE_FLAG_NO_EARN;
    if (sent->no_redeem != 0) flags |= LINE_FLAG_NO_REDEEM;
    if (sent->age_verified != 0) flags |= LINE_FLAG_AGE_VERIFIED;
    if (sent->opaque != 0) flags |= LINE_FLAG_OPAQUE;
    if (is_marked_down || is_overridden || pos_discount_minor > 0) flags |= LINE_FLAG_REDUCED;
    return flags;
}

/* Grade, price level, and the price of a unit of measure where the lane sends none. */
static void fill_fuel(const sent_line_t *sent, line_t *line)
{
    int64_t price = sent->unit_price_minor_thousandths;
    if (!is_present(sent->present, FUEL_OF_LINE)) return;
    if (!is_present(sent->present, UNIT_PRICE_OF_LINE)) {
        price = line->measure_milli == 0 ? 0
                                         : multiply_round(line->amount_minor, 1000000,
                                                          line->measure_milli, ROUNDING_HALF_AWAY);
    }
    line->fuel_grade = name_key_of("grade", sent->fuel.grade);
    line->fuel_level = sent->fuel.price_level != 0 ? (uint32_t)sent->fuel.price_level
                                                   : FUEL_LEVEL_CREDIT;
    line->fuel_price_thousandths = price < FUEL_PRICE_MAX ? price : FUEL_PRICE_MAX;
}

static void fill_line(const wire_t *wire, const sent_line_t *sent, line_t *line)
{
    int64_t pos_discount_minor = 0;
    for (uint32_t i = 0; i < sent->pos_discounts.count; i++) {
        pos_discount_minor += wire->pos_discounts[sent->pos_discounts.first + i].amount_minor;
    }
    *line = (line_t){
        .line_id = (uint32_t)sent->line_id,
        .parent = NONE_32,
        .product = NONE_32,
        .code = product_code(sent->code_kind != 0 ? sent->code_kind : CODE_KIND_GTIN,
                             sent->product_code),
        .kind = (uint8_t)(sent->kind != 0 ? sent->kind : LINE_KIND_SALE),
        .price_source = (uint8_t)(sent->price_source != 0 ? sent->price_source : 1),
        .measure_unit = (uint8_t)sent->measure.unit,
        .flags = line_flags(sent, pos_discount_minor),
        .return_line_id = (uint32_t)sent->original.line_id,
        .count = sent->count != 0 ? sent->count : 1,
        .amount_minor = sent->amount_minor,
        .list_minor = is_present(sent->present, 6) ? sent->list_amount_minor : -1,
        .measure_milli = sent->measure.quantity_thousandths,
        .pos_discount_minor = pos_discount_minor,
        .department = sent->department_code,
    };
    fill_fuel(sent, line);
    if (sent->parent_line_id != 0) line->parent = wire_find_line(wire, sent->parent_line_id);
}

/* Stands between a code and a serial: no code on the wire holds it. */
#define FNC1 0x1d

/* A scanned coupon has no code of its own but that of a digital one: "gs1:PREFIX:OFFER". A paper
 * one is no such code, only its twin (C5). */
static void read_scan(basket_t *basket, uint32_t index)
{
    gs1_coupon_t *scanned = &basket->scanned[index];
    const gs1_purchase_t *first = &scanned->purchases[0];
    char code[32];
    gs1_read(basket->coupons[index].at, basket->coupons[index].size, scanned);
    if (scanned->ai == GS1_NONE) return;
    basket->coupon_keys[index] = 0;
    if (scanned->fault != 0) return;
    int length = snprintf(code, sizeof code, "gs1:%0*" PRIu64 ":%06" PRIu32,
                          first->prefix_digits, first->prefix, scanned->offer_code);
    bytes_t bytes = {(const uint8_t *)code, (uint32_t)length};
    uint64_t key = name_key_of("coupon", bytes);
    if (scanned->ai == GS1_8112) basket->coupon_keys[index] = key;
    else basket->twin_keys[index] = key;
}

hash128_t wire_coupon_hash(bytes_t code, bytes_t serial)
{
    static const uint64_t no_secret[2] = {0, 0};
    uint8_t text[2 * VALUE_BYTES_MAX + 1];
    INVARIANT(code.size + serial.size < sizeof text);
    if (code.size > 0) memcpy(text, code.at, code.size);
    text[code.size] = FNC1;
    if (serial.size > 0) memcpy(text + code.size + 1, serial.at, serial.size);
    return siphash128(no_secret, text, code.size + 1 + serial.size);
}

/* What is used once: the code and the serial, which a scanned coupon brings itself. */
static void name_coupon(basket_t *basket, uint32_t index, bytes_t serial)
{
    static const uint64_t no_secret[2] = {0, 0};
    const gs1_coupon_t *scanned = &basket->scanned[index];
    const gs1_purchase_t *first = &scanned->purchases[0];
    char text[64];
    if (scanned->ai == GS1_NONE || scanned->fault != 0) {
        basket->coupon_ids[index] = wire_coupon_hash(basket->coupons[index], serial);
        return;
    }
    int size = snprintf(text, sizeof text, "gs1:%0*" PRIu64 ":%06" PRIu32 "%c%0*" PRIu64,
                        first->prefix_digits, first->prefix, scanned->offer_code, FNC1,
                        scanned->serial_digits, scanned->serial);
    basket->coupon_ids[index] = siphash128(no_secret, text, (size_t)size);
}

void wire_fill_coupon(const sent_coupon_t *sent, basket_t *basket, uint32_t index)
{
    basket->coupons[index] = sent->code.size != 0 ? sent->code : sent->scanned_data;
    basket->coupon_keys[index] = name_key_of("coupon", basket->coupons[index]);
    basket->scanned[index].ai = GS1_NONE;
    basket->twin_keys[index] = 0;
    if (sent->code.size == 0) read_scan(basket, index);
    name_coupon(basket, index, sent->serial);
}

static void fill_customer(const wire_t *wire, const sent_basket_t *sent, basket_t *basket)
{
    basket->identifier_count = sent->identifiers.count;
    for (uint32_t i = 0; i < sent->identifiers.count; i++) {
        const sent_identifier_t *identifier = &wire->identifiers[sent->identifiers.first + i];
        basket->identifiers[i] = (identifier_t){
            .role = (uint8_t)(identifier->role != 0 ? identifier->role : 1),
            .kind = (uint8_t)identifier->kind,
            .value = identifier->value,
        };
    }
    basket->coupon_count = sent->coupons.count;
    for (uint32_t i = 0; i < sent->coupons.count; i++) {
        wire_fill_coupon(&wire->coupons[sent->coupons.first + i], basket, i);
    }
    basket->selection_count = sent->selections.count;
    for (uint32_t i = 0; i < sent->selections.count; i++) {
        const sent_selection_t *selection = &wire->selections[sent->selections.first + i];
        basket->selections[i] = name_key_of("offer", selection->offer_id);
    }
}

static void fill_tenders(const wire_t *wire, const sent_basket_t *sent, basket_t *basket)
{
    basket->tender_count = sent->tenders.count;
    for (uint32_t i = 0; i < sent->tenders.count; i++) {
        const sent_tender_t *from = &wire->tenders[sent->tenders.first + i];
        tender_t *tender = &basket->tenders[i];
        *tender = (tender_t){
            .kind = (uint32_t)from->kind,
            .has_lines = from->line_ids.count > 0,
            .amount_minor = is_present(from->present, TENDER_AMOUNT) ? from->amount_minor : -1,
            .scheme_key = from->scheme.size > 0 ? name_key_of("scheme", from->scheme) : 0,
            .card_bin = from->card_bin,
        };
        for (uint32_t j = 0; j < from->line_ids.count; j++) {
            uint32_t line = wire_find_line(wire, wire->tender_lines[from->line_ids.first + j]);
            if (line != NONE_32) tender->lines[line / 64] |= (uint64_t)1 << line % 64;
        }
    }
}

static void fill_redemptions(const wire_t *wire, const sent_basket_t *sent, basket_t *basket)
{
    basket->redemption_count = sent->redemptions.count;
    basket->sent_redemption_count = sent->redemptions.count;
    for (uint32_t i = 0; i < sent->redemptions.count; i++) {
        const sent_redemption_t *from = &wire->redemptions[sent->redemptions.first + i];
        basket->redemptions[i] = (redemption_request_t){
            .offer_key = from->offer_id.size > 0 ? name_key_of("offer", from->offer_id) : 0,
            .purse_key = name_key_of("purse", from->purse_id),
            .points = is_present(from->present, REDEMPTION_POINTS) ? from->points : -1,
            .amount_minor = is_present(from->present, REDEMPTION_AMOUNT) ? from->amount_minor : -1,
            .count = is_present(from->present, REDEMPTION_COUNT) ? from->count : -1,
            .line_id = (uint32_t)from->line_id,
        };
    }
}

const sent_basket_t *wire_basket(const wire_t *wire)
{
    switch (wire->kind) {
    case REQUEST_QUOTE_BASKET: return &wire->quote.basket;
    case REQUEST_TOTAL_BASKET: return &wire->total.basket;
    case REQUEST_COMMIT_TRANSACTION: return &wire->commit.basket;
    default: return NULL;
    }
}

/* A total is what is paid: nobody asks then what is nearly reached. */
static int64_t near_misses_default(uint32_t kind)
{
    return kind == REQUEST_QUOTE_BASKET ? 3 : 0;
}

_Static_assert(offsetof(quote_request_t, locale) == offsetof(total_request_t, locale),
               "a total begins as a quote");

void wire_fill_basket(const wire_t *wire, basket_t *basket)
{
    bool is_commit = wire->kind == REQUEST_COMMIT_TRANSACTION;
    const sent_basket_t *sent = wire_basket(wire);
    if (sent == NULL) return;
    memset(basket, 0, offsetof(basket_t, lines));
    basket->request = wire->request.at;
    basket->request_size = wire->request.size;
    basket->line_count = sent->lines.count;
    basket->store_id = sent->store_id;
    basket->till_id = sent->till_id;
    basket->basket_id = sent->basket_id;
    basket->store_key = name_key_of("store", sent->store_id);
    basket->channel = (uint32_t)(sent->channel != 0 ? sent->channel : 1);
    basket->business_date = (int32_t)sent->business_date;
    basket->opened_unix_ms = sent->opened_time_unix_ms;
    basket->utc_offset_minutes = (int32_t)sent->utc_offset_minutes;
    basket->has_utc_offset = is_present(sent->present, 9);
    basket->training = wire->head.context.training != 0;
    if (is_commit) {
        basket->locale = wire->commit.locale;
        basket->explain = wire->commit.explain != 0;
        basket->business_date = (int32_t)wire->commit.receipt.business_date;
    } else {
        bool has_limit = is_present(wire->quote.present, 4);
        basket->locale = wire->quote.locale;
        basket->explain = wire->quote.explain != 0;
        basket->near_miss_limit = (uint8_t)(has_limit ? wire->quote.near_miss_limit
                                                      : near_misses_default(wire->kind));
    }
    for (uint32_t i = 0; i < sent->lines.count; i++) {
        const sent_line_t *line = &wire->lines[sent->lines.first + i];
        fill_line(wire, line, &basket->lines[i]);
        basket->fill_count += line->fuel.hold_id.size > 0;
    }
    fill_customer(wire, sent, basket);
    fill_tenders(wire, sent, basket);
    fill_redemptions(wire, sent, basket);
}

void wire_fill_fuel(const wire_t *wire, basket_t *basket)
{
    const fuel_request_t *request = &wire->fuel;
    const sent_basket_t sent = {.identifiers = request->identifiers,
                                .coupons = request->coupons,
                                .tenders = request->tenders,
                                .redemptions = request->redemptions};
    memset(basket, 0, offsetof(basket_t, lines));
    basket->request = wire->request.at;
    basket->request_size = wire->request.size;
    basket->line_count = 1;
    basket->store_id = wire->store_id;
    basket->till_id = wire->till_id;
    basket->basket_id = request->basket_id;
    basket->store_key = name_key_of("store", wire->store_id);
    basket->channel = CHANNEL_FUEL;
    basket->business_date = (int32_t)request->business_date;
    basket->opened_unix_ms = request->opened_time_unix_ms;
    basket->utc_offset_minutes = (int32_t)request->utc_offset_minutes;
    basket->has_utc_offset = is_present(request->present, FUEL_OFFSET);
    basket->training = request->context.training != 0;
    fill_customer(wire, &sent, basket);
    fill_tenders(wire, &sent, basket);
    fill_redemptions(wire, &sent, basket);
}

void wire_fill_fill(const wire_t *wire, uint32_t price, int64_t milli, line_t *line)
{
    const fuel_request_t *request = &wire->fuel;
    const sent_fuel_price_t *sent = &wire->fuel_prices[request->prices.first + price];
    int64_t kind = sent->code_kind != 0 ? sent->code_kind : CODE_KIND_GTIN;
    *line = (line_t){.line_id = 1,
                     .parent = NONE_32,
                     .product = NONE_32,
                     .code = product_code(kind, sent->product_code),
                     .kind = LINE_KIND_SALE,
                     .price_source = 1,
                     .measure_unit = (uint8_t)request->unit,
                     .count = 1,
                     .amount_minor = multiply_round(sent->unit_price_minor_thousandths, milli,
                                                    1000000, ROUNDING_HALF_AWAY),
                     .list_minor = -1,
                     .measure_milli = milli,
                     .fuel_grade = name_key_of("grade", sent->grade),
                     .fuel_price_thousandths = sent->unit_price_minor_thousandths,
                     .fuel_level = (uint32_t)sent->price_level};
}

/* ---------------------------------------------------------------------------- hashes ---- */

/* SipHash-2-4-128 over words as they come: the same as siphash128 over the words in one piece. */
typedef struct hasher {
    uint64_t v[4];
    uint64_t word_count;
} hasher_t;

static hasher_t hasher_begin(const uint64_t key[2])
{
    hasher_t hasher = {.word_count = 0};
    siphash_begin(key, hasher.v);
    return hasher;
}

static void hasher_word(hasher_t *hasher, uint64_t word)
{
    siphash_compress(hasher->v, word);
    hasher->word_count++;
}

/* The size, then the bytes in words, the last filled up with zeros. */
static void hasher_text(hasher_t *hasher, bytes_t text)
{
    hasher_word(hasher, text.size);
    for (uint32_t i = 0; i < text.size; i += 8) {
        uint64_t word = 0;
        uint32_t left = text.size - i;
        memcpy(&word, text.at + i, left < 8 ? left : 8);
        hasher_word(hasher, word);
    }
}

static hash128_t hasher_end(hasher_t *hasher)
{
    return siphash_end(hasher->v, hasher->word_count << 3 << 56);
}

hash128_t wire_key_hash(const uint64_t key[2], bytes_t store_id, bytes_t till_id, uint32_t kind,
                        bytes_t idempotency_key)
{
    hasher_t hasher = hasher_begin(key);
    hasher_word(&hasher, kind);
    hasher_text(&hasher, store_id);
    hasher_text(&hasher, till_id);
    hasher_text(&hasher, idempotency_key);
    return hasher_end(&hasher);
}

hash128_t wire_receipt_hash(const uint64_t key[2], const receipt_id_t *receipt)
{
    hasher_t hasher = hasher_begin(key);
    hasher_text(&hasher, receipt->store_id);
    hasher_word(&hasher, (uint64_t)receipt->business_date);
    hasher_text(&hasher, receipt->till_id);
    hasher_word(&hasher, (uint64_t)receipt->sequence);
    return hasher_end(&hasher);
}

/* Marks of the content hash: what comes next, above the field's number. A message whose fields all
 * equal their defaults leaves no mark, unless it is an item of a list: `pending` messages were
 * entered and have shown nothing yet. */
#define MARK_ENTER ((uint64_t)1 << 32)
#define MARK_LEAVE ((uint64_t)2 << 32)
#define MARK_NUMBER ((uint64_t)3 << 32)
#define MARK_TEXT ((uint64_t)4 << 32)

typedef struct content {
    hasher_t hasher;
    uint32_t pending_count;
    uint64_t pending[WIRE_DEPTH_MAX];
} content_t;

static void content_flush(content_t *content)
{
    for (uint32_t i = 0; i < content->pending_count; i++) {
        hasher_word(&content->hasher, content->pending[i]);
    }
    content->pending_count = 0;
}

static void content_enter(content_t *content, uint64_t number, bool is_item)
{
    content->pending[content->pending_count++] = MARK_ENTER | number;
    if (is_item) content_flush(content);
}

static void content_leave(content_t *content)
{
    if (content->pending_count > 0) content->pending_count--;
    else hasher_word(&content->hasher, MARK_LEAVE);
}

static void content_value(content_t *content, uint64_t number, const visit_t *visit)
{
    if (visit->field->type >= TYPE_STRING) {
        bytes_t text;
        memcpy(&text, visit->value, sizeof(text));
        content_flush(content);
        hasher_word(&content->hasher, MARK_TEXT | number);
        hasher_text(&content->hasher, text);
        return;
    }
    int64_t value;
    memcpy(&value, visit->value, sizeof(value));
    if (visit->field->implied != 0 && value == visit->field->implied) return;
    content_flush(content);
    hasher_word(&content->hasher, MARK_NUMBER | number);
    hasher_word(&content->hasher, (uint64_t)value);
}

/* What one step of a walk adds. */
static void content_step(content_t *content, const walk_t *walk, int what, const visit_t *visit)
{
    /* While a message is entered or left, the frame above holds its field. */
    bool is_message = what != VISIT_VALUE;
    const wire_frame_t *frame = &walk->frames[walk->depth - (is_message ? 1 : 0)];
    uint64_t number = (uint64_t)(visit->field - frame->message->fields) + 1;
    bool is_item = (visit->field->rules & RULE_REPEATED) != 0;
    if (what == VISIT_ENTER) content_enter(content, number, is_item);
    if (what == VISIT_LEAVE) content_leave(content);
    if (what == VISIT_VALUE) content_value(content, number, visit);
}

hash128_t wire_content_hash(const wire_t *wire, const uint64_t key[2])
{
    walk_t walk;
    visit_t visit;
    content_t content = {.hasher = hasher_begin(key)};
    uint32_t context_depth = 0;
    hasher_word(&content.hasher, wire->kind);
    hasher_word(&content.hasher, (uint64_t)wire->head.context.training);
    /* A walk writes nothing. */
    walk_begin(&walk, (wire_t *)wire, wire->line_order);
    for (;;) {
        int what = walk_next(&walk, &visit);
        if (what == VISIT_END || (what == VISIT_LEAVE && walk.depth == 0)) break;
        if (what == VISIT_ENTER && (visit.field->rules & RULE_CONTEXT) != 0) {
            context_depth = walk.depth;
        }
        if (context_depth != 0) {
            if (what == VISIT_LEAVE && walk.depth == context_depth) context_depth = 0;
            continue;
        }
        content_step(&content, &walk, what, &visit);
    }
    return hasher_end(&content.hasher);
}

/* Fields of a Basket by number: basket_id, store_id, lines, identifiers, coupons, selections,
 * redemptions. */
#define GOODS_FIELDS (1u << 1 | 1u << 2 | 1u << 4 | 1u << 5 | 1u << 6 | 1u << 12 | 1u << 13)

hash128_t wire_goods_hash(const wire_t *wire, const uint64_t key[2])
{
    walk_t walk;
    visit_t visit;
    content_t content = {.hasher = hasher_begin(key)};
    INVARIANT(wire_basket(wire) != NULL);
    walk_begin(&walk, (wire_t *)wire, wire->line_order);
    walk.frames[0].message = WIRE_BASKET;
    walk.frames[0].record = (uint8_t *)(uintptr_t)wire_basket(wire);
    for (;;) {
        int what = walk_next(&walk, &visit);
        if (what == VISIT_END || (what == VISIT_LEAVE && walk.depth == 0)) break;
        const field_t *field = walk.depth == 0 ? visit.field : walk.frames[1].via;
        if ((GOODS_FIELDS >> (field - WIRE_BASKET->fields + 1) & 1) == 0) continue;
        content_step(&content, &walk, what, &visit);
    }
    return hasher_end(&content.hasher);
}
