/* Quote and commit. Both decide the same way; a commit then goes to the ledger, where the writer
 * gathers the member's facts once more from its own view (which has everything accepted before),
 * decides again only if a record that the decision had read has changed, and turns the decision
 * into movements. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine_internal.h"
#include "invariant.h"

static int32_t business_date_of(const session_t *session, int64_t local_ms)
{
    if (session->basket.business_date != 0) return session->basket.business_date;
    return date_from_day(day_of_unix_ms(local_ms, 0));
}

static status_t find_basket_store(session_t *session)
{
    session->facts.store = find_store(session->live->catalogue, session->basket.store_key);
    if (session->facts.store != NULL) return STATUS_OK;
    return fault_at(session->fault, STATUS_STORE_UNKNOWN, "basket.store_id");
}

static status_t check_selections(session_t *session)
{
    const basket_t *basket = &session->basket;
    for (uint32_t i = 0; i < basket->selection_count; i++) {
        if (find_offer(session->live->program, basket->selections[i]) != NONE_32) continue;
        return fault_at(session->fault, STATUS_OFFER_UNKNOWN, "basket.selections[%u].offer_id", i);
    }
    for (uint32_t i = 0; i < basket->redemption_count; i++) {
        uint64_t offer = basket->redemptions[i].offer_key;
        if (offer == 0 || find_offer(session->live->program, offer) != NONE_32) continue;
        return fault_at(session->fault, STATUS_OFFER_UNKNOWN, "basket.redemptions[%u].offer_id", i);
    }
    return STATUS_OK;
}

/* What only the live tables can judge: store, products, times, chosen offers. */
status_t resolve_basket(session_t *session, bool is_paid)
{
    basket_t *basket = &session->basket;
    facts_t *facts = &session->facts;
    const catalogue_t *catalogue = session->live->catalogue;
    status_t status = find_basket_store(session);
    if (status != STATUS_OK) return status;
    for (uint32_t i = 0; i < basket->line_count; i++) {
        line_t *line = &basket->lines[i];
        line->product = line->code == 0 ? NONE_32 : find_product(catalogue, line->code);
    }
    basket_canonicalise(basket, catalogue, exclusions_at(session->live->program, facts->store));
    int32_t offset = basket->utc_offset_minutes;
    if (!basket->has_utc_offset) {
        offset = utc_offset_minutes(catalogue, facts->store, basket->opened_unix_ms / 1000);
    }
    int64_t local_ms = basket->opened_unix_ms + (int64_t)offset * 60000;
    facts->local_minute = local_ms / 60000 - (local_ms % 60000 < 0);
    basket->business_date = business_date_of(session, local_ms);
    facts->business_day = day_from_date(basket->business_date);
    if (facts->business_day == INT32_MIN) { /* local time has left the years of the contract */
        return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "basket.opened_time_unix_ms");
    }
    session->shared_count = 0;
    session->fill_count = 0;
    session->right_count = 0;
    facts->right_count = 0;
    facts->is_authorising = 0;
    facts->sold_by = NULL;
    facts->decided_unix_ms = wall_unix_ms();
    facts->degraded_level = 0;
    facts->hold_out_key = session->engine->options.hold_out_key;
    facts->stopped = session->stopped == NULL ? NULL : session->stopped->keys;
    facts->stopped_count = session->stopped == NULL ? 0 : session->stopped->count;
    return is_paid ? STATUS_OK : check_selections(session);
}

static status_t check_currency(const session_t *session, bytes_t currency_code)
{
    uint32_t currency = 0;
    if (currency_code.size == 0) return STATUS_OK;
    memcpy(&currency, currency_code.at, currency_code.size < 3 ? currency_code.size : 3);
    if (currency == session->live->program->header->currency) return STATUS_OK;
    return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "basket.currency_code");
}

/* What has a number below KEY_REUSED: what is not served yet, the currency, the stores. */
status_t judge_basket(session_t *session, const sent_basket_t *sent)
{
    status_t status = check_exchange(session, sent);
    if (status == STATUS_OK) status = check_fills(session, sent);
    if (status == STATUS_OK) status = check_currency(session, sent->currency_code);
    if (status == STATUS_OK) status = check_sender(session, "basket.store_id");
    if (status == STATUS_OK) status = find_basket_store(session);
    return status;
}

void gather(session_t *session, const accounts_view_t *view)
{
    const wire_t *wire = &session->wire;
    bool is_claim = wire->kind == REQUEST_CLAIM_TRANSACTION;
    span_t sent = is_claim ? wire->claim.identifiers : wire_basket(wire)->identifiers;
    identify_all(session, view, wire->identifiers, sent.count);
    fill_found_facts(session, view, session->facts.business_day);
    if (session->fill_count > 0) take_rights(session);
    session->view = view;
    session->facts.read_shared = read_shared;
    session->facts.shared_context = session;
}

/* A degraded quote looks nobody up. */
static void identify_nobody(session_t *session, const accounts_view_t *view,
                            const sent_basket_t *sent)
{
    identify_all(session, view, session->wire.identifiers, 0);
    session->found_count = sent->identifiers.count;
    memset(session->found, 0, session->found_count * sizeof session->found[0]);
    for (uint32_t i = 0; i < session->found_count; i++) {
        session->found[i].role = (uint8_t)session->wire.identifiers[i].role;
        if (session->found[i].role == 0) session->found[i].role = 1;
        session->found[i].result = FOUND_SKIPPED;
    }
    fill_found_facts(session, view, session->facts.business_day);
}

status_t decide(session_t *session)
{
    status_t status = session->engine->options.decide(
        session->live->program, session->live->catalogue, &session->basket, &session->facts,
        session->scratch, &session->decision);
    if (status != STATUS_OK) return fault_at(session->fault, status, "basket.lines");
    return STATUS_OK;
}

decision_answer_t decision_answer(const session_t *session, bytes_t locale)
{
    decision_answer_t answer = {.basket = &session->basket,
                                .decision = &session->decision,
                                .program = session->live->program,
                                .catalogue = session->live->catalogue,
                                .facts = &session->facts,
                                .found = session->found,
                                .found_count = session->found_count,
                                .locale = locale};
    return answer;
}

status_t call_quote(session_t *session)
{
    const quote_request_t *request = &session->wire.quote;
    bool is_changed;
    begin_exchange(session);
    status_t status = judge_basket(session, &request->basket);
    if (status != STATUS_OK) return status;
    use_promised_program(session);
    status = resolve_basket(session, false);
    if (status == STATUS_OK) status = load_exchange(session);
    if (status != STATUS_OK) return status;
    const accounts_view_t *view = ledger_pin(session->reader);
    session->own_view = view;
    if (session->basket.fill_count > 0) {
        own_total(session, view);
        own_fills(session, view);
    }
    session->facts.degraded_level = session->degraded_level;
    status = judge_exchange(session, view, &is_changed);
    if (session->degraded_level == 0) gather(session, view);
    else identify_nobody(session, view, &request->basket);
    if (status == STATUS_OK) status = judge_unreceipted(session);
    if (status == STATUS_OK) status = decide(session);
    if (status == STATUS_OK) {
        decision_answer_t answer = decision_answer(session, request->locale);
        status = wire_write_quote(session->reply, &answer);
    }
    session->own_view = NULL;
    ledger_leave(session->reader);
    session->is_left = true;
    return status;
}

static uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

status_t time_decisions(session_t *session, uint32_t count, uint32_t *nanoseconds,
                        uint64_t *steps)
{
    const quote_request_t *request = &session->wire.quote;
    status_t status = judge_basket(session, &request->basket);
    if (status == STATUS_OK) status = resolve_basket(session, false);
    if (status != STATUS_OK) return status;
    const accounts_view_t *view = ledger_pin(session->reader);
    gather(session, view);
    for (uint32_t i = 0; status == STATUS_OK && i < count; i++) {
        uint64_t begin_ns = monotonic_ns();
        status = decide(session);
        uint64_t elapsed_ns = monotonic_ns() - begin_ns;
        nanoseconds[i] = elapsed_ns < UINT32_MAX ? (uint32_t)elapsed_ns : UINT32_MAX;
    }
    *steps = status == STATUS_OK ? session->decision.steps : 0;
    ledger_unpin(session->reader);
    return status;
}

/* ------------------------------------------------------------------ commit ---- */

/* What the customer owes by the decision: return lines are paid out. */
static int64_t due_minor(const session_t *session)
{
    const basket_t *basket = &session->basket;
    int64_t due = session->decision.net_minor;
    for (uint32_t i = 0; i < basket->line_count; i++) {
        if (basket->lines[i].kind == LINE_KIND_RETURN) due -= basket->lines[i].amount_minor;
    }
    return due;
}

static int64_t awarded_points(const session_t *session, bytes_t purse_id)
{
    const decision_t *decision = &session->decision;
    uint32_t purse = find_name(session->live->program, name_key_of("purse", purse_id));
    int64_t points = 0;
    for (uint32_t i = 0; i < decision->award_count; i++) {
        if (decision->awards[i].purse == purse) points += decision->awards[i].points;
    }
    return points;
}

/* Index of a line in session->basket. What was totalled may have been sent in another order. */
static uint32_t find_line(const session_t *session, int64_t line_id)
{
    if (session->total.position == 0) return wire_find_line(&session->wire, line_id);
    for (uint32_t i = 0; i < session->basket.line_count; i++) {
        if (session->basket.lines[i].line_id == line_id) return i;
    }
    return NONE_32;
}

/* Notes a figure that was shown otherwise than it is decided, up to FIGURE_CHANGES_MAX. */
__attribute__((format(printf, 4, 5)))
static void note_change(changed_answer_t *changed, int64_t shown, int64_t decided,
                        const char *format, ...)
{
    if (shown == decided || changed->change_count == FIGURE_CHANGES_MAX) return;
    figure_change_t *change = &changed->changes[changed->change_count++];
    change->line_id = 0;
    change->shown = shown;
    change->decided = decided;
    va_list words;
    va_start(words, format);
    vsnprintf(change->place, sizeof change->place, format, words);
    va_end(words);
}

static void note_changed_lines(const session_t *session, changed_answer_t *changed)
{
    span_t lines = session->wire.commit.figures.lines;
    for (uint32_t i = 0; i < lines.count; i++) {
        const line_figures_t *shown = &session->wire.line_figures[lines.first + i];
        uint32_t count = changed->change_count;
        uint32_t line = find_line(session, shown->line_id);
        int64_t decided = line == NONE_32 ? 0 : session->decision.line_discount_minor[line];
        note_change(changed, shown->discount_minor, decided, "figures.lines[%u].discount_minor", i);
        if (changed->change_count == count) continue;
        changed->changes[count].line_id = (uint32_t)shown->line_id;
    }
}

/* DECISION_CHANGED at the first figure that is not what the lane showed, with a FiguresChanged in
 * the reply. */
static status_t refuse_change(session_t *session)
{
    const figures_t *figures = &session->wire.commit.figures;
    const decision_t *decision = &session->decision;
    changed_answer_t changed = {.program = session->live->program,
                                .discount_minor = decision->discount_minor,
                                .due_minor = due_minor(session)};
    if (is_present(figures->present, FIGURES_DISCOUNT_MINOR)) {
        note_change(&changed, figures->discount_minor, changed.discount_minor,
                    "figures.discount_minor");
    }
    if (is_present(figures->present, FIGURES_DUE_MINOR)) {
        note_change(&changed, figures->due_minor, changed.due_minor, "figures.due_minor");
    }
    note_changed_lines(session, &changed);
    for (uint32_t i = 0; i < figures->points.count; i++) {
        const purse_points_t *told = &session->wire.purse_points[figures->points.first + i];
        note_change(&changed, told->points, awarded_points(session, told->purse_id),
                    "figures.points[%u].points", i);
    }
    if (changed.change_count == 0) return STATUS_OK;
    for (uint32_t i = 0; i < decision->award_count; i++) {
        changed.points[decision->awards[i].purse] += decision->awards[i].points;
    }
    status_t status = wire_write_changed(session->reply, &changed);
    if (status != STATUS_OK) return status;
    return fault_at(session->fault, STATUS_DECISION_CHANGED, "%s", changed.changes[0].place);
}

/* For a paid sale the list of what the lane gave and we would not have. Returns how many. */
static uint32_t list_exceptions(session_t *session, uint32_t first)
{
    const figures_t *figures = &session->wire.commit.figures;
    int64_t sold_minor = figures->discount_minor;
    uint32_t count = first;
    bool is_told = is_present(figures->present, FIGURES_DISCOUNT_MINOR);
    if (!is_told) {
        for (uint32_t i = 0; i < figures->lines.count; i++) {
            sold_minor += session->wire.line_figures[figures->lines.first + i].discount_minor;
        }
    }
    int64_t differs_minor = sold_minor - session->decision.discount_minor;
    if ((is_told || figures->lines.count > 0) && differs_minor != 0) {
        session->exceptions[count++] =
            (exception_t){.kind = EXCEPTION_DISCOUNT_DIFFERS, .amount_minor = differs_minor};
    }
    for (uint32_t i = 0; i < figures->points.count; i++) {
        const purse_points_t *told = &session->wire.purse_points[figures->points.first + i];
        int64_t differs = told->points - awarded_points(session, told->purse_id);
        if (differs == 0) continue;
        session->exceptions[count++] = (exception_t){.kind = EXCEPTION_POINTS_DIFFER,
                                                     .purse_id = told->purse_id,
                                                     .points = differs};
    }
    return count - first;
}

/* Points that a paid sale spent and that were not there: what the lane asked for and was not taken.
 * A total had shown what it takes. Returns how many exceptions there are then. */
static uint32_t list_short_points(session_t *session, uint32_t count)
{
    const decision_t *decision = &session->decision;
    if (session->total.position != 0) return count;
    span_t sent = session->wire.commit.basket.redemptions;
    for (uint32_t i = 0; i < decision->redemption_count; i++) {
        uint32_t request = decision->redemptions[i].request;
        int64_t asked = session->basket.redemptions[request].points;
        if (asked <= decision->redemptions[i].points) continue;
        if (decision->redemptions[i].outcome != OUTCOME_POINTS_SHORT) continue;
        bytes_t purse_id = purse_id_of(session->live->program, decision->redemptions[i].purse);
        if (request < sent.count) { /* those behind them are of authorised fills */
            purse_id = session->wire.redemptions[sent.first + request].purse_id;
        }
        session->exceptions[count++] =
            (exception_t){.kind = EXCEPTION_POINTS_SHORT,
                          .purse_id = purse_id,
                          .points = asked - decision->redemptions[i].points};
    }
    return count;
}

/* Coupons that the till took though a sale before had used them or they are held (K1). Returns how
 * many exceptions there are then. */
static uint32_t list_used_coupons(session_t *session, uint32_t count)
{
    for (uint32_t i = 0; i < session->basket.coupon_count; i++) {
        uint32_t outcome = session->decision.coupon_outcome[i];
        bool is_held = outcome == OUTCOME_COUPON_HELD;
        if (outcome != OUTCOME_COUPON_USED && !is_held) continue;
        session->exceptions[count++] =
            (exception_t){.kind = is_held ? EXCEPTION_COUPON_HELD : EXCEPTION_COUPON_USED,
                          .text = session->basket.coupons[i]};
    }
    return count;
}

/* What the lane showed or sold beside what was decided. Without `paid` and without
 * refuse-on-change the sale is what was decided, and nothing is left to honour. */
status_t compare_figures(session_t *session, uint32_t *exception_count)
{
    const commit_request_t *request = &session->wire.commit;
    *exception_count = 0;
    if (session->is_voided_before) return STATUS_OK;
    if (is_paid(session)) {
        *exception_count = list_used_coupons(session, list_short_points(session, 0));
    }
    *exception_count = list_missing(session, *exception_count);
    if (!is_present(request->present, COMMIT_FIGURES)) return STATUS_OK;
    if (request->refuse_on_change && !is_paid(session)) return refuse_change(session);
    if (is_paid(session)) *exception_count += list_exceptions(session, *exception_count);
    return STATUS_OK;
}

int64_t sold_discount_minor(const session_t *session, uint32_t line)
{
    const commit_request_t *request = &session->wire.commit;
    bool is_commit = session->wire.kind == REQUEST_COMMIT_TRANSACTION;
    span_t lines = request->figures.lines;
    if (!is_commit || !is_paid(session) || lines.count == 0) {
        return session->decision.line_discount_minor[line];
    }
    for (uint32_t i = 0; i < lines.count; i++) {
        const line_figures_t *sold = &session->wire.line_figures[lines.first + i];
        if (sold->line_id == session->basket.lines[line].line_id) return sold->discount_minor;
    }
    return 0;
}

/* Opens the provisional account of an issued card at its first sale. */
static status_t move_provisional(session_t *session, entry_builder_t *entry)
{
    const facts_t *facts = &session->facts;
    if (!session->is_provisional_new) return STATUS_OK;
    hash128_t hash = session->member_identity;
    cell_t owner = {.kind = CELL_MEMBER,
                    .key = facts->member,
                    .value = session->member_identity_kind};
    cell_t place = {.kind = CELL_GROUP,
                    .value = (int64_t)facts->account_group,
                    .other = MEMBER_FLAG_PROVISIONAL};
    status_t status = entry_builder_move(entry, key_of(session, FAMILY_IDENTITY, hash.hi, hash.lo),
                                         owner, MOVEMENT_SET, REASON_OVERLAY);
    if (status != STATUS_OK) return status;
    return entry_builder_move(entry, key_of(session, FAMILY_PLACE, facts->member, 0), place,
                              MOVEMENT_SET, REASON_OVERLAY);
}

static cell_t lot_of(const award_t *award)
{
    cell_t lot = {.kind = CELL_LOT,
                  .sub = award->purse,
                  .day = award->expiry_day,
                  .key = activation_key(award->activation_day),
                  .value = award->points};
    return lot;
}

/* Where a sale earned in a purse whose points expire so long after the last such sale: the last day
 * of all of them now (P7); 0 for any other purse. */
static int32_t rolled_day(const session_t *session, uint8_t purse)
{
    const program_t *program = session->live->program;
    const decision_t *decision = &session->decision;
    if (purse == 0 || purse > program->purse_count) return 0;
    const purse_t *record = &program->purses[purse - 1];
    if (record->key == 0 || record->expiry != EXPIRY_ROLLING) return 0;
    for (uint32_t i = 0; i < decision->award_count; i++) {
        if (decision->awards[i].purse != purse) continue;
        return session->facts.business_day + record->expiry_n;
    }
    return 0;
}

static bool is_rolled(const session_t *session, const cell_t *cell, int32_t last_day)
{
    if (cell->kind != CELL_LOT || (cell->value == 0 && cell->other == 0)) return false;
    return cell->day >= session->facts.business_day && cell->day < last_day;
}

/* One lot's amount becomes another's: what holds keep of it goes with it. */
static status_t move_amount(entry_builder_t *entry, record_key_t record, cell_t from, cell_t to)
{
    to.value = from.value + from.other;
    from.value = -to.value;
    to.other = from.other = 0;
    status_t status = entry_builder_move(entry, record, from, MOVEMENT_ADD, REASON_ADJUST);
    if (status != STATUS_OK) return status;
    return entry_builder_move(entry, record, to, MOVEMENT_ADD, REASON_ADJUST);
}

/* Lots of rolling purses, as move_burns left them, come to the new last day. */
static status_t move_rolling(session_t *session, entry_builder_t *entry)
{
    const facts_t *facts = &session->facts;
    record_key_t group = key_of(session, FAMILY_GROUP, facts->account_group, 0);
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < session->cell_count && status == STATUS_OK; i++) {
        cell_t cell = session->cells[i];
        if (cell.kind != CELL_LOT) continue;
        int32_t last_day = rolled_day(session, cell.sub);
        if (!is_rolled(session, &cell, last_day)) continue;
        cell_t later = cell;
        later.day = last_day;
        status = move_amount(entry, group, cell, later);
    }
    return status;
}

static status_t move_awards(session_t *session, entry_builder_t *entry, record_key_t receipt)
{
    const decision_t *decision = &session->decision;
    const facts_t *facts = &session->facts;
    record_key_t group = key_of(session, FAMILY_GROUP, facts->account_group, 0);
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < decision->award_count && status == STATUS_OK; i++) {
        const award_t *award = &decision->awards[i];
        if (award->points == 0) continue;
        bool is_goal = award->reason == AWARD_GOAL;
        cell_t earned = {.kind = CELL_EARNED, .sub = award->purse, .value = award->points};
        status = entry_builder_move(entry, group, lot_of(award), MOVEMENT_ADD,
                                    is_goal ? REASON_GOAL : REASON_EARN);
        if (status != STATUS_OK || is_goal) continue;
        status = entry_builder_move(entry, receipt, earned, MOVEMENT_ADD, REASON_BIND);
    }
    return status;
}

/* Keeps the record of a group that never shops below its ceiling: one lot comes, more go. A record
 * from which things are held is left to its own sales. */
static status_t sweep_group(const session_t *session, const accounts_view_t *view,
                            entry_builder_t *entry, record_key_t group)
{
    record_t record = accounts_read(view, group);
    uint32_t count = record.head->cell_count;
    uint32_t swept = 0;
    if (count == 0 || record.cells[count - 1].kind >= CELL_HOLD) return STATUS_OK;
    status_t status = sweep_record(session, entry, group, record.cells, count, &swept);
    if (status != STATUS_OK) return status;
    return join_lots(session, entry, group, record.cells, count, &swept);
}

/* P11: the points of whoever referred the member. What was decided is given, whatever has become of
 * them since a total: their group is still there. */
static status_t move_referrals(session_t *session, const accounts_view_t *view,
                               entry_builder_t *entry)
{
    const decision_t *decision = &session->decision;
    const program_t *program = session->live->program;
    int32_t today = session->facts.business_day;
    place_t place;
    if (decision->referral_count == 0) return STATUS_OK;
    (void)find_referrer(session, view, &place);
    record_key_t group = key_of(session, FAMILY_GROUP, place.account_group, 0);
    bool is_other = place.account_group != session->facts.account_group;
    status_t status = is_other ? sweep_group(session, view, entry, group) : STATUS_OK;
    for (uint32_t i = 0; i < decision->applied_count && status == STATUS_OK; i++) {
        const offer_t *offer = &program->offers[decision->applied[i].offer];
        if (offer->mechanic != MECHANIC_REFERRAL) continue;
        const purse_t *purse = &program->purses[offer->purse - 1];
        cell_t lot = {.kind = CELL_LOT,
                      .sub = offer->purse,
                      .day = purse_expiry_day(purse, today),
                      .key = activation_key(purse_active_day(purse, today)),
                      .value = offer->reward_value};
        status = entry_builder_move(entry, group, lot, MOVEMENT_ADD, REASON_REFERRAL);
    }
    return status;
}

/* Takes out what can never be read again: lots and counters past their time. A few at a time;
 * keeps records below their ceiling for good. */
static status_t move_sweep(session_t *session, entry_builder_t *entry)
{
    const facts_t *facts = &session->facts;
    record_key_t group = key_of(session, FAMILY_GROUP, facts->account_group, 0);
    record_key_t member = key_of(session, FAMILY_MEMBER, facts->account_group, facts->member);
    cells_t posted = session->posted;
    uint32_t swept = 0;
    status_t status = sweep_record(session, entry, group, posted.at, posted.count, &swept);
    if (status == STATUS_OK) {
        status = join_lots(session, entry, group, posted.at, posted.count, &swept);
    }
    /* The cells that a total was decided on are not those of the member's record now. */
    if (status != STATUS_OK || session->total.position != 0) return status;
    return sweep_record(session, entry, member, facts->member_cells, facts->member_cell_count,
                        &swept);
}

int64_t move_burn(session_t *session, entry_builder_t *entry, uint8_t purse, int32_t day,
                  int64_t points, status_t *status)
{
    record_key_t group = key_of(session, FAMILY_GROUP, session->facts.account_group, 0);
    int64_t left = points;
    for (uint32_t j = 0; j < session->cell_count && left > 0 && *status == STATUS_OK; j++) {
        cell_t *lot = &session->cells[j];
        if (lot->kind != CELL_LOT || lot->sub != purse) continue;
        if (lot->day < day || activation_of(lot) > day) continue;
        cell_t taken = *lot;
        taken.value = lot->value < left ? -lot->value : -left;
        taken.other = 0;
        if (taken.value == 0) continue;
        lot->value += taken.value;
        left += taken.value;
        if (entry != NULL) {
            *status = entry_builder_move(entry, group, taken, MOVEMENT_ADD, REASON_BURN);
        }
    }
    return left;
}

/* A hold is backed by lots that were active on its day, whatever has become of them since. */
int64_t burn_captured(session_t *session, entry_builder_t *entry, const captured_t *captured,
                      status_t *status)
{
    uint8_t purse = (uint8_t)captured->purse;
    int64_t left = move_burn(session, entry, purse, captured->day, captured->points, status);
    return move_burn(session, entry, purse, session->facts.business_day, left, status);
}

/* The decision read the same cells, so that the points are there; where a total was decided on
 * others, session->missing says what is not. */
status_t move_burns(session_t *session, entry_builder_t *entry)
{
    const decision_t *decision = &session->decision;
    status_t status = STATUS_OK;
    copy_cells(session, session->posted.at, session->posted.count);
    for (uint32_t i = 0; i < decision->redemption_count && status == STATUS_OK; i++) {
        const redemption_t *pays = &decision->redemptions[i];
        int64_t left = move_burn(session, entry, pays->purse, session->facts.business_day,
                                 pays->points, &status);
        INVARIANT(left == 0 || status != STATUS_OK || session->missing_count > 0);
    }
    return status;
}

uint32_t balances_after(session_t *session, int32_t day)
{
    const decision_t *decision = &session->decision;
    status_t status = move_burns(session, NULL);
    for (uint32_t i = 0; i < session->captured_count; i++) {
        burn_captured(session, NULL, &session->captured[i], &status);
    }
    for (uint32_t i = 0; i < session->cell_count; i++) {
        cell_t *cell = &session->cells[i];
        int32_t last_day = cell->kind == CELL_LOT ? rolled_day(session, cell->sub) : 0;
        if (is_rolled(session, cell, last_day)) cell->day = last_day;
    }
    for (uint32_t i = 0; i < decision->award_count; i++) {
        add_cell(session, lot_of(&decision->awards[i]));
    }
    const exchange_t *exchange = &session->exchange;
    record_key_t group = key_of(session, FAMILY_GROUP, exchange->posted_group, 0);
    for (uint32_t i = 0; i < exchange->moved_count; i++) {
        bool is_own = memcmp(&exchange->moved[i].record, &group, sizeof group) == 0;
        if (is_own) add_cell(session, exchange->moved[i].cell);
    }
    return balances_of(session->cells, session->cell_count, session->live->program, day,
                       session->balances);
}

/* P10: names the coupons that the sale issues. A serial is a keyed hash of the receipt, the offer
 * and the coupon's place in it: the same however often the sale is sent or decided again, and what
 * nobody without the key of identities can make up. */
static void name_issued(session_t *session)
{
    static const uint64_t no_secret[2] = {0, 0};
    const decision_t *decision = &session->decision;
    hash128_t receipt = wire_receipt_hash(no_secret, &session->wire.commit.receipt);
    uint32_t named = 0;
    for (uint32_t i = 0; i < decision->applied_count && named < decision->issued_count; i++) {
        const offer_t *offer = &session->live->program->offers[decision->applied[i].offer];
        if (offer->mechanic != MECHANIC_ISSUE) continue;
        for (int64_t j = 0; j < decision->applied[i].times; j++) {
            uint64_t words[4] = {receipt.hi, receipt.lo, offer->key, (uint64_t)j};
            bytes_t bytes = {(const uint8_t *)words, sizeof words};
            uint64_t number = number_of_id(session->engine, "issued", bytes);
            serial_t *serial = &session->serials[named++];
            for (uint32_t k = SERIAL_DIGITS; k > 0; k--, number /= 10) {
                serial->digits[k - 1] = (uint8_t)('0' + number % 10);
            }
        }
    }
}

/* Notes each coupon where a basket that shows it looks; nothing to do for one of another kind. */
static status_t move_issued(session_t *session, entry_builder_t *entry)
{
    const decision_t *decision = &session->decision;
    const program_t *program = session->live->program;
    status_t status = STATUS_OK;
    uint32_t moved = 0;
    name_issued(session);
    for (uint32_t i = 0; i < decision->applied_count && moved < decision->issued_count; i++) {
        const offer_t *offer = &program->offers[decision->applied[i].offer];
        if (offer->mechanic != MECHANIC_ISSUE) continue;
        const offer_more_t *more = find_more(program, decision->applied[i].offer);
        bytes_t code = {program->strings + more->issued_code_text, more->issued_code_length};
        cell_t issued = {.kind = CELL_ISSUED,
                         .value = session->facts.business_day + (int64_t)offer->valid_days};
        for (int64_t j = 0; j < decision->applied[i].times && status == STATUS_OK; j++) {
            bytes_t serial = {session->serials[moved++].digits, SERIAL_DIGITS};
            hash128_t id = wire_coupon_hash(code, serial);
            status = entry_builder_move(entry, key_of(session, FAMILY_COUPON, id.hi, id.lo),
                                        issued, MOVEMENT_ADD, REASON_COUNT);
        }
    }
    return status;
}

status_t write_commit(session_t *session, const posting_t *posting, uint32_t exception_count,
                      bytes_t capsule)
{
    const commit_request_t *request = &session->wire.commit;
    commit_answer_t answer = {.decision = decision_answer(session, request->locale),
                              .posting = *posting,
                              .balances = session->balances,
                              .outcome = COMMIT_POSTED,
                              .receipt_capsule = capsule,
                              .reversal = session->exchange.told};
    answer.decision.exceptions = session->exceptions;
    answer.decision.exception_count = exception_count;
    if (exception_count > 0) answer.outcome = COMMIT_POSTED_WITH_EXCEPTIONS;
    if (session->is_voided_before) answer.outcome = COMMIT_VOIDED_BEFORE;
    if (request->context.training) {
        answer.outcome = COMMIT_TRAINING;
    } else {
        name_issued(session);
        answer.serials = session->serials;
    }
    if (session->facts.member != 0) {
        answer.balance_count = balances_after(session, session->facts.business_day);
    }
    return wire_write_commit(session->reply, &answer);
}

/* Whether a void of this sale came before it, by its receipt or by its key. Such a sale posts its
 * money, which the void took back, and gives nothing. The tombstone is noted at the receipt, where
 * later voids and returns look. */
static status_t find_tombstone(session_t *session, const accounts_view_t *view,
                               entry_builder_t *entry)
{
    const change_t *change = &session->change;
    record_key_t receipt = key_of(session, FAMILY_RECEIPT, change->receipt.hi, change->receipt.lo);
    record_key_t key = key_of(session, FAMILY_KEY, change->key.hi, change->key.lo);
    const cell_t *tombstone = record_find(accounts_read(view, receipt), CELL_VOIDED, 0, 0, 0);
    bool is_noted = tombstone != NULL;
    if (!is_noted) tombstone = record_find(accounts_read(view, key), CELL_VOIDED, 0, 0, 0);
    session->is_voided_before = tombstone != NULL;
    if (tombstone == NULL) return STATUS_OK;
    give_nothing(&session->decision);
    if (is_noted) return STATUS_OK;
    return entry_builder_move(entry, receipt, *tombstone, MOVEMENT_SET, REASON_REVERSE);
}

/* Gathers the facts again; true when anything that was decided on has changed. Versions alone do
 * not tell: a member of the snapshot without a row of the overlay has versions of 0, and so has
 * nobody, which a block or an unlinking makes of the member. */
bool gather_again(session_t *session, const accounts_view_t *view)
{
    uint64_t versions[4];
    found_t found[IDENTIFIERS_MAX];
    fuel_right_t rights[FUEL_RIGHTS_MAX];
    uint64_t held_mark = session->held_mark;
    memcpy(versions, session->versions, sizeof versions);
    memcpy(found, session->found, sizeof found);
    uint32_t right_count = session->right_count;
    memcpy(rights, session->rights, right_count * sizeof rights[0]);
    gather(session, view);
    if (read_shared_again(session, view)) return true;
    if (right_count != session->right_count) return true;
    if (memcmp(rights, session->rights, right_count * sizeof rights[0]) != 0) return true;
    if (memcmp(versions, session->versions, sizeof versions) != 0) return true;
    if (held_mark != session->held_mark) return true; /* a hold has ended since */
    for (uint32_t i = 0; i < session->found_count; i++) {
        const found_t *now = &session->found[i];
        if (now->member != found[i].member || now->result != found[i].result) return true;
        if (now->account_group != found[i].account_group) return true;
    }
    return false;
}

status_t move_sale(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                   record_key_t receipt)
{
    status_t status = move_provisional(session, entry);
    if (status == STATUS_OK) status = move_counters(session, view, entry);
    if (status == STATUS_OK) status = move_issued(session, entry);
    if (status == STATUS_OK) status = move_fills(session, entry);
    if (status != STATUS_OK || session->facts.member == 0) return status;
    status = move_burns(session, entry);
    if (status == STATUS_OK) status = move_captures(session, entry);
    if (status == STATUS_OK) status = move_awards(session, entry, receipt);
    if (status == STATUS_OK) status = move_referrals(session, view, entry);
    if (status == STATUS_OK) status = move_rolling(session, entry);
    if (status == STATUS_OK) status = move_progress(session, entry);
    if (status == STATUS_OK) status = move_sweep(session, entry);
    return status;
}

/* The writer's decision: that of the caller's thread, unless what it read has changed; of a total,
 * that of the total. */
static status_t decide_now(session_t *session, const accounts_view_t *view, account_t *account)
{
    facts_t *facts = &session->facts;
    bool is_other;
    status_t status = judge_exchange(session, view, &is_other);
    if (status != STATUS_OK) return status;
    own_total(session, view);
    own_captures(session, view);
    own_fills(session, view);
    if (session->total.position != 0) {
        if (is_other) return fault_at(session->fault, STATUS_DECISION_CHANGED, "total_token");
        return judge_total(session, view, account);
    }
    bool is_changed = gather_again(session, view);
    status = judge_unreceipted(session);
    if (status == STATUS_OK && (is_changed || is_other)) {
        ledger_count_redecision(session->engine->ledger);
        status = decide(session);
    }
    *account = (account_t){facts->member, facts->account_group};
    session->posted = (cells_t){facts->group_cells, facts->group_cell_count};
    return status;
}

/* Posts to whom the account is now; the facts stay those that were decided on. */
static status_t move_all(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                         const account_t *account)
{
    facts_t *facts = &session->facts;
    const account_t decided = {facts->member, facts->account_group};
    status_t status = close_total(session, view, entry, HOLD_STATE_CAPTURED);
    if (status != STATUS_OK || session->is_voided_before) return status;
    facts->member = account->member;
    facts->account_group = account->account_group;
    status = move_sale(session, view, entry,
                       key_of(session, FAMILY_RECEIPT, session->change.receipt.hi,
                              session->change.receipt.lo));
    facts->member = decided.member;
    facts->account_group = decided.account_group;
    return status;
}

/* When a late sale was made, as it says. */
static int64_t made_unix_ms(const session_t *session)
{
    int64_t completed_unix_ms = session->wire.commit.completed_time_unix_ms;
    return completed_unix_ms != 0 ? completed_unix_ms : session->basket.opened_unix_ms;
}

/* A sale of a date that is closed counts for the first open one, and says so. */
static void note_closed(session_t *session, const accounts_view_t *view)
{
    const receipt_id_t *receipt = &session->wire.commit.receipt;
    int32_t date = (int32_t)receipt->business_date;
    session->counted_date = open_date(session, view, receipt->store_id, date);
    if (session->counted_date == date) return;
    note_missing(session, (missing_t){.kind = EXCEPTION_DATE_CLOSED});
}

static status_t prepare_commit(void *context, const accounts_view_t *view,
                               entry_builder_t *entry)
{
    session_t *session = context;
    const commit_request_t *request = &session->wire.commit;
    uint32_t exception_count;
    account_t account;
    session->post_unix_ms = entry->post_unix_ms;
    status_t status = decide_now(session, view, &account);
    if (status == STATUS_OK) status = find_tombstone(session, view, entry);
    if (status == STATUS_OK) status = judge_captures(session, view, &account);
    if (status == STATUS_OK) status = judge_fills(session, &account);
    if (status == STATUS_OK) note_exchange(session);
    if (status == STATUS_OK) note_unreceipted(session);
    if (status == STATUS_OK) note_closed(session, view);
    if (status == STATUS_OK) status = compare_figures(session, &exception_count);
    if (status == STATUS_OK) status = move_all(session, view, entry, &account);
    if (status == STATUS_OK) {
        status = move_exchange(session, view, entry, &account, exception_count);
    }
    if (status == STATUS_OK) {
        posting_t posting = posting_of(entry, session->counted_date);
        bytes_t capsule = issue_capsule(session, &account, entry->movements,
                                        entry->movement_count);
        status = write_commit(session, &posting, exception_count, capsule);
    }
    if (status != STATUS_OK) return status;
    entry->flags = is_paid(session) ? ENTRY_FLAG_PAID : 0;
    seal_t seal = {.kind = ENTRY_COMMIT,
                   .account = account,
                   .business_date = session->counted_date,
                   .own_date = own_date((int32_t)request->receipt.business_date,
                                        session->counted_date),
                   .event_unix_ms = session->is_late ? made_unix_ms(session)
                                                     : request->completed_time_unix_ms,
                   .facts = session->facts_bytes,
                   .facts_bytes = write_facts(session)};
    return seal_entry(session, entry, &seal, status);
}

static status_t decide_in_training(session_t *session)
{
    uint32_t exception_count;
    session->posted = (cells_t){session->facts.group_cells, session->facts.group_cell_count};
    note_exchange(session);
    note_unreceipted(session);
    status_t status = compare_figures(session, &exception_count);
    if (status != STATUS_OK) return status;
    const posting_t posting = {.post_unix_ms = session->facts.decided_unix_ms,
                               .business_date = session->counted_date};
    return write_commit(session, &posting, exception_count, (bytes_t){NULL, 0});
}

/* Unpins before the writer is asked: it may be waiting for views to end. It gathers the facts
 * anew, so nothing of the view is used after. */
static status_t decide_and_submit(session_t *session)
{
    const commit_request_t *request = &session->wire.commit;
    const accounts_view_t *view = ledger_pin(session->reader);
    own_total(session, view);
    own_captures(session, view);
    own_fills(session, view);
    bool is_changed;
    status_t status = STATUS_OK;
    if (session->total.position != 0) {
        restore_facts(session, &session->total.facts);
    } else {
        gather(session, view);
        status = judge_exchange(session, view, &is_changed);
        if (status == STATUS_OK) status = judge_unreceipted(session);
    }
    if (status == STATUS_OK) status = decide(session);
    if (status == STATUS_OK && request->context.training) status = decide_in_training(session);
    ledger_unpin(session->reader);
    if (status != STATUS_OK || request->context.training) return status;
    return submit_change(session);
}

/* A late sale is judged by the program of its time. Where that is not known or not kept any more,
 * or did not have the store, it is judged by today's, and says so. */
static void go_back(session_t *session)
{
    if (!session->is_late || session->total.position != 0) return;
    if (use_program_then(session, made_unix_ms(session)) == STATUS_OK
        && find_store(session->live->catalogue, session->basket.store_key) != NULL) {
        return;
    }
    let_program_go(session);
    missing_t not_kept = {.kind = EXCEPTION_PROGRAM_NOT_KEPT};
    /* A total of that time may have said so already. */
    if (session->missing_count > 0 && session->missing[0].kind == not_kept.kind) return;
    session->missing[session->missing_count++] = not_kept;
}

status_t call_commit(session_t *session)
{
    static const uint64_t no_secret[2] = {0, 0};
    const commit_request_t *request = &session->wire.commit;
    bool is_answered = false;
    session->is_voided_before = false;
    session->total.position = 0;
    session->missing_count = 0;
    session->captured_count = 0;
    session->counted_date = (int32_t)request->receipt.business_date;
    begin_exchange(session);
    begin_change(session, REQUEST_COMMIT_TRANSACTION, prepare_commit);
    session->change.receipt = wire_receipt_hash(no_secret, &request->receipt);
    status_t status = judge_basket(session, &request->basket);
    status = answer_repeat(session, status, &is_answered);
    if (status != STATUS_OK || is_answered) return status;
    status = wire_check_figures(&session->wire, session->fault);
    if (status == STATUS_OK && request->total_token.size > 0) status = load_total(session);
    bool is_totalled = session->total.position != 0;
    bool is_promised = status == STATUS_OK && !is_totalled && use_promised_program(session);
    if (status == STATUS_OK && !is_promised) go_back(session);
    if (status == STATUS_OK) status = resolve_basket(session, is_paid(session) || is_totalled);
    if (status == STATUS_OK) status = load_exchange(session);
    if (status != STATUS_OK) return status;
    return decide_and_submit(session);
}
