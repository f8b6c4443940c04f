/* Opens the room of the wire to tests/native/test_wire.py: dumps what was read by the contract's
 * own names, and writes a decision that is described by a row of numbers. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "wire_fields.h"

static wire_t wire;
static basket_t basket;
static decision_t decision;

/* ------------------------------------------------------------------------------ dumps ---- */

typedef struct dump {
    char *at;
    size_t capacity;
    size_t size;
} dump_t;

static void dump_text(dump_t *dump, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(dump->at + dump->size, dump->capacity - dump->size, format, arguments);
    va_end(arguments);
    dump->size += (size_t)size;
    INVARIANT(dump->size < dump->capacity);
}

static void dump_path(dump_t *dump, const walk_t *walk, const visit_t *visit)
{
    for (uint32_t i = 1; i <= walk->depth; i++) {
        dump_text(dump, "%s", walk->frames[i].via->name);
        if (walk->frames[i].index != NONE_32) dump_text(dump, "[%u]", walk->frames[i].index);
        dump_text(dump, ".");
    }
    if (visit == NULL) return;
    dump_text(dump, "%s", visit->field->name);
    if (visit->index != NONE_32) dump_text(dump, "[%u]", visit->index);
}

static void dump_request(dump_t *dump)
{
    walk_t walk;
    visit_t visit;
    walk_begin(&walk, &wire, NULL);
    for (int what = walk_next(&walk, &visit); what != VISIT_END; what = walk_next(&walk, &visit)) {
        if (what == VISIT_ENTER) {
            dump_path(dump, &walk, NULL);
            dump_text(dump, "=\n");
        }
        if (what != VISIT_VALUE) continue;
        dump_path(dump, &walk, &visit);
        dump_text(dump, "=");
        if (visit.field->type >= TYPE_STRING) {
            bytes_t text;
            memcpy(&text, visit.value, sizeof(text));
            for (uint32_t i = 0; i < text.size; i++) dump_text(dump, "%02x", text.at[i]);
        } else {
            int64_t number;
            memcpy(&number, visit.value, sizeof(number));
            dump_text(dump, "%" PRId64, number);
        }
        dump_text(dump, "\n");
    }
}

/* Reads a request from a block of exactly its size; returns the status. */
int harness_read(uint32_t kind, const uint8_t *bytes, uint32_t size, char *place, char *text,
                 size_t capacity)
{
    fault_t fault;
    dump_t dump = {text, capacity, 0};
    status_t status = wire_read(&wire, kind, bytes, size, &basket, &fault);
    memcpy(place, fault.place, FAULT_PLACE_BYTES);
    if (status != STATUS_OK && status <= STATUS_TEXT_NOT_UTF8) return (int)status;
    dump_request(&dump);
    return (int)status;
}

void harness_hash(uint64_t out[2])
{
    const uint64_t key[2] = {1, 2};
    hash128_t hash = wire_content_hash(&wire, key);
    out[0] = hash.hi;
    out[1] = hash.lo;
}

/* The key hash and what it should be: siphash128 over the same words in one piece. */
void harness_key_hash(uint64_t out[4])
{
    const uint64_t key[2] = {7, 9};
    const uint64_t words[] = {3, 2, 0x3131, 0, 9, 0x6867666564636261, 0x69};
    hash128_t whole = siphash128(key, words, sizeof(words));
    hash128_t hash = wire_key_hash(key, (bytes_t){(const uint8_t *)"11", 2}, (bytes_t){NULL, 0}, 3,
                                   (bytes_t){(const uint8_t *)"abcdefghi", 9});
    out[0] = hash.hi;
    out[1] = hash.lo;
    out[2] = whole.hi;
    out[3] = whole.lo;
}

int harness_check_figures(char *place)
{
    fault_t fault;
    status_t status = wire_check_figures(&wire, &fault);
    memcpy(place, fault.place, FAULT_PLACE_BYTES);
    return (int)status;
}

uint64_t harness_name_key(const char *space, const uint8_t *name, uint32_t size)
{
    return name_key_of(space, (bytes_t){name, size});
}

static void dump_message(dump_t *dump, const message_t *message)
{
    for (uint32_t i = 0; i < message->field_count; i++) {
        const field_t *field = &message->fields[i];
        if (field->type == TYPE_RESERVED) continue;
        dump_text(dump, "%s %s %u %u %u %s\n", message->name, field->name, i + 1, field->type,
                  field->rules & (RULE_EXPLICIT | RULE_REPEATED),
                  field->message != NULL ? field->message->name : "-");
    }
}

/* Every field of every message that is reached from a request; some more than once. */
void harness_tables(char *text, size_t capacity)
{
    dump_t dump = {text, capacity, 0};
    const message_t *open[256];
    uint32_t count = 0;
    for (uint32_t kind = 1; kind < REQUEST_KINDS; kind++) open[count++] = WIRE_REQUESTS[kind];
    for (uint32_t i = 0; i < count; i++) {
        dump_message(&dump, open[i]);
        for (uint32_t j = 0; j < open[i]->field_count; j++) {
            const message_t *message = open[i]->fields[j].message;
            if (message != NULL && count < 256) open[count++] = message;
        }
    }
    INVARIANT(count < 256);
}

/* ------------------------------------------------------------------------------- runs ---- */

/* Canonical runs of the basket that was read last. Product n has these flags: n & 3 as
 * NO_DISCOUNT and NO_EARN; the product number is the code's last two bits. */
void harness_runs(char *text, size_t capacity)
{
    product_t products[4];
    memset(products, 0, sizeof(products));
    for (uint64_t i = 0; i < 4; i++) products[i].flags = i;
    catalogue_t catalogue = {.products = products, .product_count = 4};
    dump_t dump = {text, capacity, 0};
    for (uint32_t i = 0; i < basket.line_count; i++) {
        line_t *line = &basket.lines[i];
        line->product = line->code % 5 < 4 ? (uint32_t)(line->code % 5) : NONE_32;
    }
    basket_canonicalise(&basket, &catalogue, (exclusions_t){0});
    for (uint32_t i = 0; i < basket.run_count; i++) {
        const run_t *run = &basket.runs[i];
        dump_text(&dump, "%" PRId64 " %" PRIu64 " %u %u ", run->unit_minor, run->code, run->product,
                  run->price_source);
        dump_text(&dump, "%u %u %" PRId64 " %" PRId64, run->flags, run->measure_unit,
                  run->measure_milli, run->count);
        for (uint32_t j = 0; j < run->piece_count; j++) {
            const piece_t *piece = &basket.pieces[run->first_piece + j];
            INVARIANT(piece->run == i);
            dump_text(&dump, " %u:%" PRId64, basket.lines[piece->line].line_id, piece->count);
        }
        dump_text(&dump, "\n");
    }
}

int32_t harness_day(int64_t date)
{
    return day_from_date(date);
}

int32_t harness_date(int32_t day)
{
    return date_from_day(day);
}

/* ---------------------------------------------------------------------------- answers ---- */

#define THINGS_MAX 64

/* A small program and what goes with it, described by a row of numbers. */
typedef struct scenario {
    const int64_t *next;
    uint32_t string_bytes;
    uint32_t funding_count;
    uint32_t text_count;
    uint32_t limit_count;
    uint8_t strings[64 * 1024];
    offer_t offers[THINGS_MAX];
    funding_t funding[4 * THINGS_MAX];
    text_t texts[4 * THINGS_MAX];
    limit_t limits[4 * THINGS_MAX];
    purse_t purses[PURSES_MAX];
    tier_t tiers[TIERS_MAX];
    coupon_slot_t coupons[2 * THINGS_MAX];
    offer_number_t offer_numbers[2 * THINGS_MAX];
    cell_t cells[THINGS_MAX];
    found_t found[IDENTIFIERS_MAX];
    exception_t exceptions[THINGS_MAX];
    program_t program;
    catalogue_t catalogue;
    facts_t facts;
} scenario_t;

static scenario_t scenario;

static int64_t take(void)
{
    return *scenario.next++;
}

static uint32_t take_32(void)
{
    return (uint32_t)take();
}

static uint32_t add_string(uint32_t *length, const char *format, ...)
{
    va_list arguments;
    uint32_t offset = scenario.string_bytes;
    size_t room = sizeof(scenario.strings) - offset;
    va_start(arguments, format);
    *length = (uint32_t)vsnprintf((char *)scenario.strings + offset, room, format, arguments);
    va_end(arguments);
    scenario.string_bytes += *length;
    INVARIANT(scenario.string_bytes < sizeof(scenario.strings));
    return offset;
}

static bytes_t new_text(const char *format, uint32_t number)
{
    uint32_t length;
    uint32_t offset = add_string(&length, format, number);
    return (bytes_t){scenario.strings + offset, length};
}

static void take_texts(offer_t *offer, uint32_t number)
{
    static const char *const locales[] = {"en", "fr", "fr-CA", "de-CH"};
    offer->first_text = scenario.text_count;
    offer->text_count = (uint16_t)take();
    for (uint32_t i = 0; i < offer->text_count; i++) {
        text_t *text = &scenario.texts[scenario.text_count++];
        const char *locale = locales[take_32()];
        text->kind = take_32();
        memcpy(text->locale, locale, strlen(locale));
        text->offset = add_string(&text->length, "%s %u %u", locale, text->kind, number);
    }
}

static void take_offer(uint32_t number)
{
    offer_t *offer = &scenario.offers[number];
    offer->key = name_key_of("offer", new_text("offer-%02u", number));
    offer->id_text = add_string(&offer->id_length, "offer-%02u", number);
    offer->version = take_32();
    offer->layer = (uint8_t)take();
    offer->schedule = NONE_32;
    offer->first_funding = scenario.funding_count;
    offer->funding_count = (uint16_t)take();
    for (uint32_t i = 0; i < offer->funding_count; i++) {
        funding_t *funding = &scenario.funding[scenario.funding_count++];
        funding->funder_text = add_string(&funding->funder_length, "funder-%u", i);
        funding->share_bp = take_32();
        funding->settlement = take_32();
    }
    take_texts(offer, number);
    offer->first_limit = scenario.limit_count;
    offer->limit_count = (uint16_t)take();
    for (uint32_t i = 0; i < offer->limit_count; i++) {
        limit_t *limit = &scenario.limits[scenario.limit_count++];
        limit->most = take();
        limit->scope = (uint8_t)take();
        limit->measure = LIMIT_MEASURE_USES;
        limit->number = (uint8_t)i;
    }
    for (uint64_t at = offer->key & 127;; at = (at + 1) & 127) {
        if (scenario.offer_numbers[at].key != 0) continue;
        scenario.offer_numbers[at] = (offer_number_t){offer->key, number, 0};
        return;
    }
}

static void take_program(void)
{
    program_t *program = &scenario.program;
    uint32_t offer_count = take_32();
    for (uint32_t i = 0; i < offer_count; i++) take_offer(i);
    program->purse_count = take_32();
    for (uint32_t i = 0; i < program->purse_count; i++) {
        purse_t *purse = &scenario.purses[i];
        purse->key = i + 1;
        purse->decimals = take_32();
        purse->id_text = add_string(&purse->id_length, "purse-%c", (int)('z' - i));
    }
    program->tier_count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        scenario.tiers[i].key = i + 1;
        scenario.tiers[i].id_text = add_string(&scenario.tiers[i].id_length, "tier-%u", i);
    }
    program->offers = scenario.offers;
    program->funding = scenario.funding;
    program->texts = scenario.texts;
    program->limits = scenario.limits;
    program->purses = scenario.purses;
    program->tiers = scenario.tiers;
    program->coupons = scenario.coupons;
    program->coupon_mask = 2 * THINGS_MAX - 1;
    program->offer_numbers = scenario.offer_numbers;
    program->offer_number_mask = 2 * THINGS_MAX - 1;
    program->strings = scenario.strings;
    memset(program->hash, 0xab, sizeof(program->hash));
    memset(scenario.catalogue.hash, 0xcd, sizeof(scenario.catalogue.hash));
}

static void take_basket(void)
{
    memset(&basket, 0, sizeof(basket));
    basket.opened_unix_ms = take();
    basket.explain = (uint8_t)take();
    basket.near_miss_limit = (uint8_t)take();
    basket.line_count = take_32();
    for (uint32_t i = 0; i < basket.line_count; i++) {
        line_t *line = &basket.lines[i];
        line->line_id = take_32();
        line->kind = (uint8_t)take();
        line->amount_minor = take();
        line->pos_discount_minor = take();
        line->product = take_32();
        line->code = (uint64_t)take();
        line->department.size = take_32();
        line->measure_unit = (uint8_t)take();
        line->measure_milli = take();
        decision.line_discount_minor[i] = take();
    }
    basket.coupon_count = take_32();
    for (uint32_t i = 0; i < basket.coupon_count; i++) {
        int64_t stands_for = take();
        basket.coupon_keys[i] = i + 1;
        if (stands_for >= 0) {
            scenario.coupons[i + 1] = (coupon_slot_t){i + 1, (uint32_t)stands_for, 0};
        }
        decision.coupon_offer[i] = take_32();
    }
}

static void take_decision(void)
{
    decision.optimality = take_32();
    decision.gap_minor = take();
    decision.steps = (uint64_t)take();
    decision.gross_minor = take();
    decision.discount_minor = take();
    decision.net_minor = take();
    decision.applied_count = take_32();
    for (uint32_t i = 0; i < decision.applied_count; i++) {
        decision.applied[i] = (applied_t){.offer = take_32()};
        decision.applied[i].times = take();
        decision.applied[i].discount_minor = take();
    }
    decision.share_count = take_32();
    for (uint32_t i = 0; i < decision.share_count; i++) {
        decision.shares[i].applied = take_32();
        decision.shares[i].line = take_32();
        decision.shares[i].units = take();
        decision.shares[i].qualifying_units = take();
        decision.shares[i].discount_minor = take();
    }
    decision.award_count = take_32();
    for (uint32_t i = 0; i < decision.award_count; i++) {
        award_t *award = &decision.awards[i];
        award->offer = take_32();
        award->purse = (uint8_t)take();
        award->reason = (uint8_t)take();
        award->activation_day = (int32_t)take();
        award->expiry_day = (int32_t)take();
        award->points = take();
    }
}

static void take_explanations(void)
{
    decision.near_miss_count = take_32();
    for (uint32_t i = 0; i < decision.near_miss_count; i++) {
        near_miss_t *near = &decision.near_misses[i];
        near->offer = take_32();
        near->missing_units = take();
        near->missing_minor = take();
        near->gain_minor = take();
    }
    decision.explained_count = take_32();
    for (uint32_t i = 0; i < decision.explained_count; i++) {
        decision.explained[i].offer = take_32();
        decision.explained[i].outcome = take_32();
    }
    decision.counted_count = take_32();
    for (uint32_t i = 0; i < decision.counted_count; i++) {
        counted_t *counted = &decision.counted[i];
        counted->offer = take_32();
        counted->scope = (uint8_t)take();
        counted->number = (uint8_t)take();
        counted->window = (int32_t)take();
        counted->given = take();
    }
}

static void take_facts(void)
{
    facts_t *facts = &scenario.facts;
    facts->business_day = (int32_t)take();
    facts->degraded_level = take_32();
    facts->member = (uint64_t)take();
    uint32_t cell_count = take_32();
    for (uint32_t i = 0; i < cell_count; i++) {
        cell_t *cell = &scenario.cells[i];
        cell->kind = (uint8_t)take();
        cell->sub = (uint8_t)take();
        cell->day = (int32_t)take();
        int64_t key = take();
        bool is_counter = cell->kind == CELL_COUNTER;
        cell->key = is_counter ? scenario.offers[key].key : (uint64_t)key;
        cell->value = take();
        cell->other = take();
    }
    facts->group_cells = scenario.cells;
    facts->group_cell_count = cell_count;
    facts->member_cells = scenario.cells;
    facts->member_cell_count = cell_count;
}

/* Writes a quote's or commit's answer; returns the status, `size` what was written. */
int harness_write(const int64_t *numbers, int is_commit, uint8_t *bytes, uint32_t capacity,
                  uint32_t *size)
{
    memset(&scenario, 0, sizeof(scenario));
    memset(&decision, 0, offsetof(decision_t, line_discount_minor));
    scenario.next = numbers;
    take_program();
    take_basket();
    take_decision();
    take_explanations();
    take_facts();
    commit_answer_t answer = {
        .decision = {
            .basket = &basket,
            .decision = &decision,
            .program = &scenario.program,
            .catalogue = &scenario.catalogue,
            .facts = &scenario.facts,
            .found = scenario.found,
            .exceptions = scenario.exceptions,
        },
    };
    static const char *const locales[] = {"", "en", "fr-CA", "fr-FR", "de", "it"};
    const char *locale = locales[take_32()];
    answer.decision.locale = (bytes_t){(const uint8_t *)locale, (uint32_t)strlen(locale)};
    answer.decision.found_count = take_32();
    for (uint32_t i = 0; i < answer.decision.found_count; i++) {
        scenario.found[i].member = (uint64_t)take();
        scenario.found[i].account_group = (uint64_t)take();
        scenario.found[i].tier = (uint16_t)take();
        scenario.found[i].result = (uint8_t)take();
        scenario.found[i].role = (uint8_t)take();
    }
    answer.decision.exception_count = take_32();
    for (uint32_t i = 0; i < answer.decision.exception_count; i++) {
        exception_t *exception = &scenario.exceptions[i];
        exception->kind = take_32();
        exception->line_id = take_32();
        exception->amount_minor = take();
        exception->points = take();
        exception->text = new_text("exception %u", i);
    }
    answer.outcome = COMMIT_POSTED;
    answer.posting = (posting_t){take(), 1767225600000, 20260101};
    reply_t reply = {bytes, capacity, 0};
    status_t status = is_commit ? wire_write_commit(&reply, &answer)
                                : wire_write_quote(&reply, &answer.decision);
    *size = reply.size;
    return (int)status;
}
