/* Fuel: what is promised before a fill begins, and the sales of such fills.
 *
 * AuthorizeFuel decides a basket of one line for each price at the pump, at the greatest volume
 * that may be pumped, and holds for all of them what the dearest needs: one of them will be pumped.
 * The hold's record keeps which offers were promised, with the points of those that take any, and
 * under which program and catalogue.
 *
 * A sale whose line names the hold is decided under that program, with these offers for the line,
 * whoever the customer has become and whatever the hour is since; limits and points are read
 * without the hold. So the ordinary decision at the volume pumped is what was promised. What it
 * spends is burned and counted as in any sale, and the hold ends in the same entry. Fuel that was
 * pumped is not put back: a hold that has ended by itself does not refuse the sale, it is told. */
#include <string.h>

#include "engine_internal.h"
#include "invariant.h"
#include "rounding.h"

#define HASH_PROGRAM 0
#define HASH_CATALOGUE 1

/* ------------------------------------------------------------------ the hold's record ---- */

static cell_t hash_cell(uint8_t sub, const uint8_t hash[16])
{
    cell_t cell = {.kind = CELL_HOLD_PROGRAM, .sub = sub};
    memcpy(&cell.value, hash, sizeof cell.value);
    memcpy(&cell.other, hash + sizeof cell.value, sizeof cell.other);
    return cell;
}

uint32_t list_promised(const session_t *session, const fuel_right_t *rights, uint32_t count,
                       cell_t cells[FUEL_OFFERS_MAX + 2])
{
    INVARIANT(count <= FUEL_OFFERS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        cells[i] = (cell_t){.kind = CELL_HOLD_FUEL,
                            .sub = (uint8_t)i,
                            .key = rights[i].offer,
                            .value = rights[i].points,
                            .other = 1};
    }
    if (count == 0) return 0;
    cells[count] = hash_cell(HASH_PROGRAM, session->live->program->hash);
    cells[count + 1] = hash_cell(HASH_CATALOGUE, session->live->catalogue->hash);
    return count + 2;
}

static bool read_hash(const hold_t *hold, uint8_t sub, uint8_t hash[16])
{
    const cell_t *cell = record_find(hold->record, CELL_HOLD_PROGRAM, sub, 0, 0);
    if (cell == NULL) return false;
    memcpy(hash, &cell->value, sizeof cell->value);
    memcpy(hash + sizeof cell->value, &cell->other, sizeof cell->other);
    return true;
}

/* ------------------------------------------------------------------ fills of a sale ---- */

static const sent_line_t *sent_line(const session_t *session, uint32_t line)
{
    return &session->wire.lines[wire_basket(&session->wire)->lines.first + line];
}

status_t check_fills(session_t *session, const sent_basket_t *sent)
{
    uint32_t count = 0;
    if (session->basket.fill_count <= FUEL_FILLS_MAX) return STATUS_OK;
    for (uint32_t i = 0; i < sent->lines.count; i++) {
        const sent_line_t *line = &session->wire.lines[sent->lines.first + i];
        if (line->fuel.hold_id.size == 0 || count++ < FUEL_FILLS_MAX) continue;
        return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE,
                        "basket.lines[%u].fuel.hold_id", i);
    }
    return STATUS_OK;
}

/* The authorisation that a line names; its state says whether there is one (0: none). */
static void read_fill(session_t *session, const accounts_view_t *view, uint32_t line,
                      fill_t *fill)
{
    uint64_t number = wire_hold_number(sent_line(session, line)->fuel.hold_id);
    uint64_t store_key = name_key_of("store", session->wire.store_id);
    hold_t *hold = &fill->hold;
    fill->line = line;
    fill->is_first = true;
    bool is_known = number != 0 && read_hold(session, view, number, hold);
    is_known = is_known && hold->kind == HOLD_KIND_FUEL;
    is_known = is_known && hold->owner_key == hold_owner_key((bytes_t){NULL, 0}, store_key);
    if (!is_known) *hold = (hold_t){0};
}

void own_fills(session_t *session, const accounts_view_t *view)
{
    const sent_basket_t *sent = wire_basket(&session->wire);
    session->fill_count = 0;
    if (session->basket.fill_count == 0) return;
    for (uint32_t i = 0; i < sent->lines.count; i++) {
        if (sent_line(session, i)->fuel.hold_id.size == 0) continue;
        INVARIANT(session->fill_count < FUEL_FILLS_MAX);
        fill_t *fill = &session->fills[session->fill_count++];
        read_fill(session, view, i, fill);
        for (fill_t *other = session->fills; other < fill; other++) {
            fill->is_first &= other->hold.number != fill->hold.number;
        }
        if (fill->hold.state != HOLD_STATE_OPEN || !fill->is_first) continue;
        INVARIANT(session->own_hold_count < OWN_HOLDS_MAX);
        session->own_holds[session->own_hold_count++] = fill->hold.number;
    }
}

/* Whether a line has what its authorisation promised: also when that has ended by itself. */
static bool is_promised(const fill_t *fill, uint64_t account_group)
{
    const hold_t *hold = &fill->hold;
    bool is_there = hold->state == HOLD_STATE_OPEN || hold->state == HOLD_STATE_EXPIRED;
    bool is_own = hold->account_group == 0 || hold->account_group == account_group;
    return is_there && is_own && fill->is_first;
}

void take_rights(session_t *session)
{
    facts_t *facts = &session->facts;
    session->right_count = 0;
    for (uint32_t i = 0; i < session->fill_count; i++) {
        const fill_t *fill = &session->fills[i];
        record_t record = fill->hold.record;
        if (!is_promised(fill, facts->account_group)) continue;
        for (uint32_t j = record_first(record, CELL_HOLD_FUEL); j < record.head->cell_count; j++) {
            const cell_t *cell = &record.cells[j];
            if (cell->kind != CELL_HOLD_FUEL) break;
            INVARIANT(session->right_count < FUEL_RIGHTS_MAX);
            session->rights[session->right_count++] =
                (fuel_right_t){.offer = cell->key,
                               .points = cell->value,
                               .line_id = (uint32_t)sent_line(session, fill->line)->line_id};
        }
    }
    use_rights(session);
}

static bool is_asked(const basket_t *basket, uint64_t offer)
{
    for (uint32_t i = 0; i < basket->redemption_count; i++) {
        if (basket->redemptions[i].offer_key == offer) return true;
    }
    return false;
}

void use_rights(session_t *session)
{
    const program_t *program = session->live->program;
    basket_t *basket = &session->basket;
    session->facts.rights = session->rights;
    session->facts.right_count = session->right_count;
    basket->redemption_count = basket->sent_redemption_count;
    for (uint32_t i = 0; i < session->right_count; i++) {
        const fuel_right_t *right = &session->rights[i];
        uint32_t offer = find_offer(program, right->offer);
        bool pays = right->points > 0 && offer != NONE_32;
        if (!pays || is_asked(basket, right->offer)) continue;
        if (basket->redemption_count == SELECTIONS_MAX) return;
        basket->redemptions[basket->redemption_count++] = (redemption_request_t){
            .offer_key = right->offer,
            .purse_key = program->purses[program->offers[offer].purse - 1].key,
            .points = right->points,
            .amount_minor = -1,
            .count = -1};
    }
}

bool use_promised_program(session_t *session)
{
    const sent_basket_t *sent = wire_basket(&session->wire);
    uint8_t hashes[2][16];
    fill_t fill;
    bool is_named = false;
    if (session->basket.fill_count == 0) return false;
    for (uint32_t i = 0; i < sent->lines.count && !is_named; i++) {
        if (sent_line(session, i)->fuel.hold_id.size == 0) continue;
        const accounts_view_t *view = ledger_pin(session->reader);
        read_fill(session, view, i, &fill);
        is_named = fill.hold.kind == HOLD_KIND_FUEL
                   && read_hash(&fill.hold, HASH_PROGRAM, hashes[0])
                   && read_hash(&fill.hold, HASH_CATALOGUE, hashes[1]);
        ledger_unpin(session->reader);
    }
    if (!is_named) return false;
    if (use_program(session, hashes[0], hashes[1]) == STATUS_OK) return true;
    note_missing(session, (missing_t){.kind = EXCEPTION_PROGRAM_NOT_KEPT});
    return false;
}

/* ------------------------------------------------------------------ its commit ---- */

static status_t refuse_fill(session_t *session, const fill_t *fill, status_t status)
{
    if (!is_paid(session)) {
        return fault_at(session->fault, status, "basket.lines[%u].fuel.hold_id", fill->line);
    }
    note_missing(session, (missing_t){.kind = EXCEPTION_HOLD_UNKNOWN,
                                      .number = HOLD_CAPTURES_MAX + fill->line});
    return STATUS_OK;
}

status_t judge_fills(session_t *session, const account_t *account)
{
    status_t status = STATUS_OK;
    if (session->is_voided_before) return STATUS_OK;
    for (uint32_t i = 0; i < session->fill_count && status == STATUS_OK; i++) {
        const fill_t *fill = &session->fills[i];
        bool is_closed = fill->hold.state == HOLD_STATE_CAPTURED
                         || fill->hold.state == HOLD_STATE_RELEASED || !fill->is_first;
        if (fill->hold.number != 0 && is_closed) {
            status = refuse_fill(session, fill, STATUS_HOLD_CLOSED);
        } else if (!is_promised(fill, account->account_group)) {
            status = refuse_fill(session, fill, STATUS_HOLD_UNKNOWN);
        } else if (fill->hold.state == HOLD_STATE_EXPIRED) {
            note_missing(session, (missing_t){.kind = EXCEPTION_HOLD_EXPIRED,
                                              .number = HOLD_CAPTURES_MAX + fill->line});
        }
    }
    return status;
}

/* Whether the sale has something of what was promised to a line. */
static bool is_used(const session_t *session, const fill_t *fill)
{
    const decision_t *decision = &session->decision;
    for (uint32_t i = 0; i < decision->applied_count; i++) {
        uint64_t key = session->live->program->offers[decision->applied[i].offer].key;
        record_t record = fill->hold.record;
        for (uint32_t j = record_first(record, CELL_HOLD_FUEL); j < record.head->cell_count; j++) {
            if (record.cells[j].kind == CELL_HOLD_FUEL && record.cells[j].key == key) return true;
        }
    }
    return false;
}

status_t move_fills(session_t *session, entry_builder_t *entry)
{
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < session->fill_count && status == STATUS_OK; i++) {
        const fill_t *fill = &session->fills[i];
        if (!is_promised(fill, session->facts.account_group)) continue;
        if (fill->hold.state == HOLD_STATE_EXPIRED) {
            status = spend_ended(session, entry, &fill->hold);
            continue;
        }
        status = end_hold(session, entry, &fill->hold,
                          is_used(session, fill) ? HOLD_STATE_CAPTURED : HOLD_STATE_RELEASED);
    }
    return status;
}

/* ------------------------------------------------------------------ the table ---- */

/* What is promised, over all prices. */
typedef struct table {
    uint32_t right_count;
    uint32_t offer_count;
    fuel_right_t rights[FUEL_OFFERS_MAX];
    fuel_row_t rows[FUEL_PRICES_MAX];
    fuel_offer_t offers[FUEL_PRICES_MAX * FUEL_OFFERS_MAX];
    hold_draft_t draft;
} table_t;

static const fuel_request_t *fuel_request(const session_t *session)
{
    return &session->wire.fuel;
}

static const sent_fuel_price_t *price_at(const session_t *session, uint32_t row)
{
    return &session->wire.fuel_prices[fuel_request(session)->prices.first + row];
}

/* Decides a fill of one price and volume. */
static status_t decide_fill(session_t *session, uint32_t row, int64_t milli)
{
    line_t *line = &session->basket.lines[0];
    const catalogue_t *catalogue = session->live->catalogue;
    wire_fill_fill(&session->wire, row, milli, line);
    if (line->code != 0) line->product = find_product(catalogue, line->code);
    basket_canonicalise(&session->basket, catalogue,
                        exclusions_at(session->live->program, session->facts.store));
    session->shared_count = 0;
    status_t status = session->engine->options.decide(session->live->program, catalogue,
                                                      &session->basket, &session->facts,
                                                      session->scratch, &session->decision);
    if (status == STATUS_OK && session->decision.fuel_count > FUEL_OFFERS_MAX) {
        status = STATUS_RECORD_CEILING;
    }
    return status == STATUS_OK ? status : fault_at(session->fault, status, "prices[%u]", row);
}

static int64_t step_sum(const decision_t *decision)
{
    int64_t sum = 0;
    for (uint32_t i = 0; i < decision->fuel_count; i++) sum += decision->fuel[i].step;
    return sum;
}

/* The greatest volume: what the pump gives, and no more than a line may cost. */
static int64_t most_of(const session_t *session, int64_t price)
{
    const fuel_request_t *request = fuel_request(session);
    int64_t most = FUEL_QUANTITY_DEFAULT;
    int64_t dear = multiply_round(LINE_AMOUNT_MAX, 1000000, price, ROUNDING_FLOOR);
    if (is_present(request->present, FUEL_QUANTITY)) most = request->max_quantity_thousandths;
    return most < dear ? most : dear;
}

/* What was paid beforehand buys, at the price that is left of it: that is decided first at the
 * greatest volume, for what comes off a unit does not depend on it. */
static status_t decide_row(session_t *session, uint32_t row, int64_t *milli)
{
    const fuel_request_t *request = fuel_request(session);
    int64_t price = price_at(session, row)->unit_price_minor_thousandths;
    *milli = most_of(session, price);
    status_t status = decide_fill(session, row, *milli);
    if (status != STATUS_OK || !is_present(request->present, FUEL_PREPAID)) return status;
    price -= step_sum(&session->decision);
    if (price <= 0) return STATUS_OK;
    int64_t bought = multiply_round(request->prepaid_amount_minor, 1000000, price, ROUNDING_FLOOR);
    if (bought >= *milli || bought == 0) return STATUS_OK;
    *milli = bought;
    return decide_fill(session, row, bought);
}

/* An offer of a row: all that it takes off a unit, and for how much: its own ceiling, or where a
 * limit in money cuts it. Its points are those of whole steps: that so many are there is what makes
 * the steps, whatever part of them the volume takes in the end. */
static fuel_offer_t offer_of(const session_t *session, uint32_t number, int64_t milli)
{
    const decision_t *decision = &session->decision;
    const program_t *program = session->live->program;
    const offer_t *offer = &program->offers[number];
    const offer_more_t *more = find_more(program, number);
    fuel_offer_t part = {.offer = number, .milli = milli};
    if (more->fuel_most_milli != 0 && more->fuel_most_milli < milli) {
        part.milli = more->fuel_most_milli;
    }
    for (uint32_t i = 0; i < decision->fuel_count; i++) {
        if (decision->fuel[i].offer == number) part.step += decision->fuel[i].step;
    }
    int64_t given = 0;
    for (uint32_t i = 0; i < decision->applied_count; i++) {
        const applied_t *applied = &decision->applied[i];
        if (applied->offer != number) continue;
        given += applied->discount_minor;
        if (offer->layer == LAYER_REDEMPTION) part.points += applied->times * offer->points_step;
    }
    if (part.points > 0) part.purse = offer->purse;
    if (given < multiply_round(part.step, part.milli, 1000000, ROUNDING_FLOOR)) {
        part.milli = multiply_round(given, 1000000, part.step, ROUNDING_FLOOR);
    }
    return part;
}

/* Of two prices the offer is promised with the points of the dearer. */
static bool add_right(table_t *table, const offer_t *offer, int64_t points)
{
    for (uint32_t i = 0; i < table->right_count; i++) {
        fuel_right_t *right = &table->rights[i];
        if (right->offer != offer->key) continue;
        if (right->points < points) right->points = points;
        return true;
    }
    if (table->right_count == FUEL_OFFERS_MAX) return false;
    table->rights[table->right_count++] = (fuel_right_t){.offer = offer->key, .points = points};
    return true;
}

static bool is_in_row(const table_t *table, const fuel_row_t *row, uint32_t offer)
{
    for (uint32_t i = row->first; i < row->first + row->count; i++) {
        if (table->offers[i].offer == offer) return true;
    }
    return false;
}

static status_t add_row(session_t *session, table_t *table, uint32_t index, int64_t milli)
{
    const decision_t *decision = &session->decision;
    int64_t points[PURSES_MAX + 1] = {0};
    fuel_row_t *row = &table->rows[index];
    *row = (fuel_row_t){.sent = price_at(session, index),
                        .milli = milli,
                        .first = table->offer_count};
    for (uint32_t i = 0; i < decision->fuel_count; i++) {
        uint32_t number = decision->fuel[i].offer;
        if (decision->fuel[i].floor > row->floor) row->floor = decision->fuel[i].floor;
        if (is_in_row(table, row, number)) continue;
        fuel_offer_t part = offer_of(session, number, milli);
        if (part.milli == 0) continue;
        if (!add_right(table, &session->live->program->offers[number], part.points)) {
            return fault_at(session->fault, STATUS_RECORD_CEILING, "prices[%u]", index);
        }
        table->offers[table->offer_count++] = part;
        row->count++;
        row->step += part.step;
        if (part.milli < row->milli) row->milli = part.milli;
        points[part.purse] += part.points;
    }
    if (row->count == 0) row->milli = 0;
    for (uint32_t purse = 1; purse <= PURSES_MAX; purse++) {
        if (table->draft.points[purse] < points[purse]) table->draft.points[purse] = points[purse];
    }
    return STATUS_OK;
}

static bool is_counted_alike(const shared_counter_t *count, const shared_counter_t *other)
{
    return count->offer == other->offer && count->window == other->window
           && count->scope == other->scope && count->number == other->number;
}

static void add_count(session_t *session, hold_draft_t *draft, const shared_counter_t *count)
{
    for (uint32_t i = 0; i < draft->count_count; i++) {
        shared_counter_t *kept = &session->counts[i];
        if (!is_counted_alike(kept, count)) continue;
        if (kept->given < count->given) kept->given = count->given;
        return;
    }
    if (draft->count_count < COUNTED_MAX) session->counts[draft->count_count++] = *count;
}

static void add_coupon(session_t *session, hold_draft_t *draft, uint32_t index, uint64_t offer)
{
    const fuel_request_t *request = fuel_request(session);
    hash128_t id = session->basket.coupon_ids[index];
    for (uint32_t i = 0; i < draft->coupon_count; i++) {
        const held_coupon_t *coupon = &session->held_coupons[i];
        if (coupon->id.hi == id.hi && coupon->id.lo == id.lo) return;
    }
    bytes_t serial = session->wire.coupons[request->coupons.first + index].serial;
    name_held_coupon(session, index, serial, offer, &session->held_coupons[draft->coupon_count++]);
}

/* What a fill counts and uses up by offers for fuel: others are decided at the sale. */
static void add_counts(session_t *session, hold_draft_t *draft)
{
    const decision_t *decision = &session->decision;
    for (uint32_t i = 0; i < decision->counted_count; i++) {
        const counted_t *counted = &decision->counted[i];
        const offer_t *offer = &session->live->program->offers[counted->offer];
        if (offer->mechanic != MECHANIC_FUEL) continue;
        if (counted->scope == COUNT_SCOPE_COUPON) {
            add_coupon(session, draft, counted->number, offer->key);
            continue;
        }
        shared_counter_t count = {.offer = offer->key,
                                  .given = counted->given,
                                  .window = counted->window,
                                  .scope = counted->scope,
                                  .number = counted->number};
        add_count(session, draft, &count);
    }
}

static void identify_fueller(session_t *session, const accounts_view_t *view)
{
    const fuel_request_t *request = fuel_request(session);
    identify_all(session, view, session->wire.identifiers, request->identifiers.count);
    fill_found_facts(session, view, session->facts.business_day);
    session->view = view;
    session->facts.read_shared = read_shared;
    session->facts.shared_context = session;
    session->facts.is_authorising = 1;
}

static status_t decide_table(session_t *session, const accounts_view_t *view, table_t *table)
{
    const fuel_request_t *request = fuel_request(session);
    status_t status = STATUS_OK;
    memset(table, 0, sizeof *table);
    if (request->fuelling_begun) {
        return fault_at(session->fault, STATUS_FUELLING_BEGUN, "fuelling_begun");
    }
    identify_fueller(session, view);
    for (uint32_t i = 0; i < request->prices.count && status == STATUS_OK; i++) {
        int64_t milli;
        status = decide_row(session, i, &milli);
        if (status == STATUS_OK) status = add_row(session, table, i, milli);
        if (status == STATUS_OK) add_counts(session, &table->draft);
    }
    session->facts.is_authorising = 0;
    return status;
}

/* ------------------------------------------------------------------ the call ---- */

static int64_t held_ms(const session_t *session)
{
    const fuel_request_t *request = fuel_request(session);
    if (is_present(request->present, FUEL_SECONDS)) return request->hold_seconds * 1000;
    return (int64_t)session->live->program->header->hold_minutes * 60000;
}

static void fill_draft(session_t *session, table_t *table, const entry_builder_t *entry)
{
    const basket_t *basket = &session->basket;
    hold_draft_t *draft = &table->draft;
    draft->kind = HOLD_KIND_FUEL;
    draft->day = session->facts.business_day;
    draft->expire_post_ms = entry->post_unix_ms + held_ms(session);
    draft->store_key = basket->store_key;
    draft->basket_id = basket->basket_id;
    draft->store_id = basket->store_id;
    draft->till_id = basket->till_id;
    draft->counts = session->counts;
    draft->coupons = session->held_coupons;
    draft->rights = table->rights;
    draft->right_count = table->right_count;
}

static status_t write_table(session_t *session, const table_t *table,
                            const entry_builder_t *entry)
{
    fuel_answer_t answer = {.program = session->live->program,
                            .holds = session->hold_answers,
                            .rows = table->rows,
                            .offers = table->offers,
                            .found = session->found,
                            .row_count = fuel_request(session)->prices.count,
                            .found_count = session->found_count,
                            .posting = {.post_unix_ms = session->facts.decided_unix_ms,
                                        .business_date = session->basket.business_date}};
    if (entry != NULL) {
        answer.posting = posting_of(entry, session->basket.business_date);
        if (table->right_count > 0) {
            answer.hold_count = tell_hold(session, &table->draft, entry->lsn, HOLD_STATE_OPEN,
                                          entry->post_unix_ms, 0);
        }
    }
    return wire_write_fuel(session->reply, &answer);
}

/* All is judged by the writer, in the order of the journal. A fill is a basket of one line: the
 * prices of a pump take it some ten microseconds. */
static status_t prepare_fuel(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    table_t table;
    session->post_unix_ms = entry->post_unix_ms;
    status_t status = decide_table(session, view, &table);
    if (status != STATUS_OK) return status;
    fill_draft(session, &table, entry);
    if (table.right_count > 0) status = place_hold(session, view, entry, &table.draft);
    if (status == STATUS_RECORD_CEILING) fault_at(session->fault, status, "identifiers");
    if (status == STATUS_OK) status = write_table(session, &table, entry);
    seal_t seal = {.kind = ENTRY_FUEL,
                   .account = {session->facts.member, session->facts.account_group},
                   .business_date = session->basket.business_date};
    return seal_entry(session, entry, &seal, status);
}

static status_t check_asked(session_t *session)
{
    const basket_t *basket = &session->basket;
    for (uint32_t i = 0; i < basket->redemption_count; i++) {
        uint64_t offer = basket->redemptions[i].offer_key;
        if (offer == 0 || find_offer(session->live->program, offer) != NONE_32) continue;
        return fault_at(session->fault, STATUS_OFFER_UNKNOWN, "redemptions[%u].offer_id", i);
    }
    return STATUS_OK;
}

static status_t authorize_in_training(session_t *session)
{
    table_t table;
    const accounts_view_t *view = ledger_pin(session->reader);
    status_t status = decide_table(session, view, &table);
    if (status == STATUS_OK) status = write_table(session, &table, NULL);
    ledger_unpin(session->reader);
    return status;
}

status_t call_authorize_fuel(session_t *session)
{
    bool is_training = session->wire.head.context.training != 0;
    bool is_answered = false;
    begin_change(session, REQUEST_AUTHORIZE_FUEL, prepare_fuel);
    status_t status = check_sender(session, "context.store_id");
    status = answer_repeat(session, status, &is_answered);
    if (status != STATUS_OK || is_answered) return status;
    wire_fill_fuel(&session->wire, &session->basket);
    wire_fill_fill(&session->wire, 0, 1, &session->basket.lines[0]);
    status = resolve_basket(session, true);
    if (status == STATUS_OK) status = check_asked(session);
    if (status != STATUS_OK) return status;
    return is_training ? authorize_in_training(session) : submit_change(session);
}
