/* Quote and commit. Both decide the same way; a commit then goes to the ledger, where the writer
 * gathers the member's facts once more from its own view (which has everything accepted before),
 * decides again only if a record that the decision had read has changed, and turns the decision
 * into movements. */
#include <string.h>
#include <time.h>

#include "engine_internal.h"
#include "invariant.h"

#define DEGRADED_FULL 1

static int32_t business_date_of(const session_t *session, int64_t local_ms)
{
    if (session->basket.business_date != 0) return session->basket.business_date;
    return date_from_day(day_of_unix_ms(local_ms, 0));
}

/* Store, currency, products, times: what only the live tables can judge. */
status_t resolve_basket(session_t *session, bool is_paid)
{
    basket_t *basket = &session->basket;
    facts_t *facts = &session->facts;
    const catalogue_t *catalogue = session->live->catalogue;
    facts->store = find_store(catalogue, basket->store_key);
    if (facts->store == NULL) {
        return fault_at(session->fault, STATUS_STORE_UNKNOWN, "basket.store_id");
    }
    for (uint32_t i = 0; i < basket->selection_count && !is_paid; i++) {
        if (find_offer(session->live->program, basket->selections[i]) != NONE_32) continue;
        return fault_at(session->fault, STATUS_OFFER_UNKNOWN, "basket.selections[%u].offer_id", i);
    }
    for (uint32_t i = 0; i < basket->line_count; i++) {
        line_t *line = &basket->lines[i];
        line->product = line->code == 0 ? NONE_32 : find_product(catalogue, line->code);
    }
    basket_canonicalise(basket, catalogue);
    int32_t offset = basket->utc_offset_minutes;
    if (!basket->has_utc_offset) {
        offset = utc_offset_minutes(catalogue, facts->store, basket->opened_unix_ms / 1000);
    }
    int64_t local_ms = basket->opened_unix_ms + (int64_t)offset * 60000;
    facts->local_minute = local_ms / 60000 - (local_ms % 60000 < 0);
    basket->business_date = business_date_of(session, local_ms);
    facts->business_day = day_from_date(basket->business_date);
    facts->decided_unix_ms = wall_unix_ms();
    facts->degraded_level = 0;
    facts->hold_out_key = session->engine->options.hold_out_key;
    facts->stopped = session->stopped == NULL ? NULL : session->stopped->keys;
    facts->stopped_count = session->stopped == NULL ? 0 : session->stopped->count;
    return STATUS_OK;
}

static status_t check_currency(const session_t *session, bytes_t currency_code)
{
    uint32_t currency = 0;
    if (currency_code.size == 0) return STATUS_OK;
    memcpy(&currency, currency_code.at, currency_code.size < 3 ? currency_code.size : 3);
    if (currency == session->live->program->header->currency) return STATUS_OK;
    return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "basket.currency_code");
}

static status_t gather(session_t *session, const accounts_view_t *view,
                       const sent_basket_t *sent)
{
    identify_all(session, view, session->wire.identifiers, sent->identifiers.count);
    fill_member_facts(session, view, session->facts.business_day);
    return STATUS_OK;
}

status_t decide(session_t *session)
{
    status_t status = session->engine->options.decide(
        session->live->program, session->live->catalogue, &session->basket, &session->facts,
        session->scratch, &session->decision);
    if (status != STATUS_OK) return fault_at(session->fault, status, "basket.lines");
    return STATUS_OK;
}

static decision_answer_t decision_answer(const session_t *session, bytes_t locale)
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
    status_t status = check_currency(session, request->basket.currency_code);
    if (status == STATUS_OK) status = resolve_basket(session, false);
    if (status != STATUS_OK) return status;
    const accounts_view_t *view = ledger_pin(session->reader);
    status = gather(session, view, &request->basket);
    if (status == STATUS_OK) status = decide(session);
    if (status == STATUS_OK) {
        decision_answer_t answer = decision_answer(session, request->locale);
        status = wire_write_quote(session->reply, &answer);
    }
    ledger_unpin(session->reader);
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
    status_t status = check_currency(session, request->basket.currency_code);
    if (status == STATUS_OK) status = resolve_basket(session, false);
    if (status != STATUS_OK) return status;
    const accounts_view_t *view = ledger_pin(session->reader);
    status = gather(session, view, &request->basket);
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

/* Refuse-on-change, or for a paid sale the list of what the lane gave and we would not have. */
status_t compare_figures(session_t *session, uint32_t *exception_count)
{
    const commit_request_t *request = &session->wire.commit;
    const figures_t *figures = &request->figures;
    int64_t decided = session->decision.discount_minor;
    *exception_count = 0;
    if (!is_present(request->present, COMMIT_FIGURES)) return STATUS_OK;
    if (!is_present(figures->present, FIGURES_DISCOUNT_MINOR)) return STATUS_OK;
    if (figures->discount_minor == decided) return STATUS_OK;
    if (request->refuse_on_change) {
        return fault_at(session->fault, STATUS_DECISION_CHANGED, "figures.discount_minor");
    }
    session->exceptions[0] =
        (exception_t){.kind = 1, .amount_minor = figures->discount_minor - decided};
    *exception_count = 1;
    return STATUS_OK;
}

static record_key_t key_of(const session_t *session, uint8_t family, uint64_t hi, uint64_t lo)
{
    return record_key(family, (uint16_t)session->engine->options.partition, hi, lo);
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

static status_t move_awards(session_t *session, entry_builder_t *entry)
{
    const decision_t *decision = &session->decision;
    const facts_t *facts = &session->facts;
    record_key_t group = key_of(session, FAMILY_GROUP, facts->account_group, 0);
    record_key_t receipt = key_of(session, FAMILY_RECEIPT, session->change.receipt.hi,
                                  session->change.receipt.lo);
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < decision->award_count && status == STATUS_OK; i++) {
        const award_t *award = &decision->awards[i];
        if (award->points == 0) continue;
        cell_t lot = {.kind = CELL_LOT,
                      .sub = award->purse,
                      .day = award->expiry_day,
                      .key = (uint64_t)((int64_t)award->activation_day + ((int64_t)1 << 31)),
                      .value = award->points};
        cell_t earned = {.kind = CELL_EARNED, .sub = award->purse, .value = award->points};
        status = entry_builder_move(entry, group, lot, MOVEMENT_ADD, REASON_EARN);
        if (status != STATUS_OK) break;
        status = entry_builder_move(entry, receipt, earned, MOVEMENT_ADD, REASON_BIND);
    }
    return status;
}

static status_t move_counters(session_t *session, entry_builder_t *entry)
{
    const decision_t *decision = &session->decision;
    const facts_t *facts = &session->facts;
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < decision->counted_count && status == STATUS_OK; i++) {
        const counted_t *counted = &decision->counted[i];
        uint64_t offer = session->live->program->offers[counted->offer].key;
        record_key_t record = key_of(session, FAMILY_MEMBER, facts->account_group, facts->member);
        if (counted->scope == LIMIT_SCOPE_GROUP) {
            record = key_of(session, FAMILY_GROUP, facts->account_group, 0);
        }
        cell_t cell = {.kind = CELL_COUNTER,
                       .sub = counted->number,
                       .day = counted->window,
                       .key = offer,
                       .value = counted->given};
        status = entry_builder_move(entry, record, cell, MOVEMENT_ADD, REASON_COUNT);
    }
    return status;
}

/* Takes out what can never be read again: lots a month past their expiry, counters of windows
 * that began over 400 days ago. A few at a time; keeps records below their ceiling for good. */
static status_t move_sweep(session_t *session, entry_builder_t *entry)
{
    const facts_t *facts = &session->facts;
    int32_t today = day_of_unix_ms(entry->post_unix_ms, 0);
    if (facts->business_day < today) today = facts->business_day;
    record_key_t group = key_of(session, FAMILY_GROUP, facts->account_group, 0);
    record_key_t member = key_of(session, FAMILY_MEMBER, facts->account_group, facts->member);
    status_t status = STATUS_OK;
    uint32_t swept = 0;
    for (uint32_t i = 0; i < facts->group_cell_count && swept < SWEPT_MAX; i++) {
        cell_t cell = facts->group_cells[i];
        if (cell.kind != CELL_LOT || cell.day >= today - 31) continue;
        cell.value = -cell.value;
        cell.other = 0;
        status = entry_builder_move(entry, group, cell, MOVEMENT_ADD, REASON_EXPIRE);
        if (status != STATUS_OK) return status;
        swept++;
    }
    for (uint32_t i = 0; i < facts->member_cell_count && swept < SWEPT_MAX; i++) {
        cell_t cell = facts->member_cells[i];
        if (cell.kind != CELL_COUNTER || cell.day == 0) continue;
        if (cell.day >= today - RETENTION_DAYS) continue;
        cell.value = -cell.value;
        cell.other = 0;
        status = entry_builder_move(entry, member, cell, MOVEMENT_ADD, REASON_EXPIRE);
        if (status != STATUS_OK) return status;
        swept++;
    }
    return status;
}

/* Balances after the sale: the group's cells with the awards of this decision on top. */
static uint32_t balances_after(session_t *session)
{
    const decision_t *decision = &session->decision;
    const program_t *program = session->live->program;
    int32_t today = session->facts.business_day;
    uint32_t count = balances_of(session->facts.group_cells, session->facts.group_cell_count,
                                 program, today, session->balances);
    for (uint32_t i = 0; i < decision->award_count; i++) {
        const award_t *award = &decision->awards[i];
        for (uint32_t j = 0; j < count; j++) {
            balance_t *balance = &session->balances[j];
            if (balance->purse != award->purse) continue;
            if (award->activation_day > today) balance->pending += award->points;
            else if (award->expiry_day >= today) balance->available += award->points;
        }
    }
    return count;
}

status_t write_commit(session_t *session, uint64_t lsn, int64_t post_unix_ms,
                      uint32_t exception_count)
{
    const commit_request_t *request = &session->wire.commit;
    commit_answer_t answer = {.decision = decision_answer(session, request->locale),
                              .posting = {.lsn = (int64_t)lsn,
                                          .post_unix_ms = post_unix_ms,
                                          .business_date = session->basket.business_date},
                              .balances = session->balances,
                              .outcome = COMMIT_POSTED};
    answer.decision.exceptions = session->exceptions;
    answer.decision.exception_count = exception_count;
    if (exception_count > 0) answer.outcome = COMMIT_POSTED_WITH_EXCEPTIONS;
    if (session->is_voided_before) answer.outcome = COMMIT_VOIDED_BEFORE;
    if (request->context.training) answer.outcome = COMMIT_TRAINING;
    if (session->facts.member != 0) answer.balance_count = balances_after(session);
    return wire_write_commit(session->reply, &answer);
}

/* A sale that was voided before it came posts its money, which the void took back already, and
 * gives nothing. */
static void note_tombstone(session_t *session, const accounts_view_t *view)
{
    record_t receipt = accounts_read(view, key_of(session, FAMILY_RECEIPT,
                                                  session->change.receipt.hi,
                                                  session->change.receipt.lo));
    session->is_voided_before = record_find(receipt, CELL_VOIDED, 0, 0, 0) != NULL;
    if (session->is_voided_before) give_nothing(&session->decision);
}

static status_t prepare_commit(void *context, const accounts_view_t *view,
                               entry_builder_t *entry)
{
    session_t *session = context;
    const commit_request_t *request = &session->wire.commit;
    uint64_t read[4];
    uint32_t exception_count;
    memcpy(read, session->versions, sizeof read);
    status_t status = gather(session, view, &request->basket);
    if (memcmp(read, session->versions, sizeof read) != 0) {
        ledger_count_redecision(session->engine->ledger);
        status = decide(session);
    }
    if (status == STATUS_OK) status = compare_figures(session, &exception_count);
    if (status == STATUS_OK) note_tombstone(session, view);
    if (status == STATUS_OK) status = move_provisional(session, entry);
    if (status == STATUS_OK && session->facts.member != 0) {
        status = move_awards(session, entry);
        if (status == STATUS_OK) status = move_counters(session, entry);
        if (status == STATUS_OK) status = move_sweep(session, entry);
    }
    if (status == STATUS_OK) {
        status = write_commit(session, entry->lsn, entry->post_unix_ms, exception_count);
    }
    if (status != STATUS_OK) return status;
    entry->kind = ENTRY_COMMIT;
    entry->flags = request->paid ? ENTRY_FLAG_PAID : 0;
    entry->event_unix_ms = request->completed_time_unix_ms != 0 ? request->completed_time_unix_ms
                                                                : session->basket.opened_unix_ms;
    entry->account_group = session->facts.account_group;
    entry->member = session->facts.member;
    entry->business_date = session->basket.business_date;
    entry->facts = session->facts_bytes;
    entry->facts_bytes = write_facts(session);
    entry->response = session->reply->at;
    entry->response_bytes = session->reply->size;
    return STATUS_OK;
}

static status_t decide_in_training(session_t *session)
{
    uint32_t exception_count;
    status_t status = compare_figures(session, &exception_count);
    if (status != STATUS_OK) return status;
    return write_commit(session, 0, session->facts.decided_unix_ms, exception_count);
}

status_t call_commit(session_t *session)
{
    static const uint64_t no_secret[2] = {0, 0};
    const commit_request_t *request = &session->wire.commit;
    bool is_training = request->context.training;
    bool is_answered = false;
    session->is_voided_before = false;
    begin_change(session, REQUEST_COMMIT_TRANSACTION, prepare_commit);
    session->change.receipt = wire_receipt_hash(no_secret, &request->receipt);
    status_t status = is_training ? STATUS_OK : answer_repeat(session, &is_answered);
    if (status != STATUS_OK || is_answered) return status;
    status = check_currency(session, request->basket.currency_code);
    if (status == STATUS_OK) status = resolve_basket(session, request->paid);
    if (status == STATUS_OK) status = wire_check_figures(&session->wire, session->fault);
    if (status != STATUS_OK) return status;
    const accounts_view_t *view = ledger_pin(session->reader);
    status = gather(session, view, &request->basket);
    if (status == STATUS_OK) status = decide(session);
    if (status == STATUS_OK && is_training) status = decide_in_training(session);
    ledger_unpin(session->reader);
    if (status != STATUS_OK || is_training) return status;
    return submit_change(session);
}
