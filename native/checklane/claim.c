/* Claims: whoever bought says so afterwards. The sale was decided for nobody, and what it sold
 * stands; what it would have earned for the member of now, under its own program, is given, less
 * what goods that came back since take of it (docs/semantics.md, P12).
 *
 * The sale is decided once more from its own entry, which the caller's thread copies out of the
 * journal, and then what it earns is judged by the facts of who claims. The claim's entry holds
 * both, so that it can be decided again from its bytes alone. At the receipt stand where the claim
 * is, and what it held back: so later returns take from the whole, as if the sale had earned it. */
#include <string.h>

#include "engine_internal.h"
#include "invariant.h"

/* ------------------------------------------------------------------ the sale ---- */

status_t copy_sale(session_t *session)
{
    total_t *sale = &session->total;
    entry_t entry;
    status_t status = ledger_read(session->reader, session->original.position, &entry);
    if (status != STATUS_OK) return status;
    INVARIANT(entry.header->request_bytes <= sizeof sale->request_bytes);
    INVARIANT(entry.header->facts_bytes <= sizeof sale->facts_bytes);
    memcpy(sale->request_bytes, entry.request, entry.header->request_bytes);
    memcpy(sale->facts_bytes, entry.facts, entry.header->facts_bytes);
    sale->request = (bytes_t){sale->request_bytes, entry.header->request_bytes};
    sale->facts_size = entry.header->facts_bytes;
    INVARIANT(read_facts((bytes_t){sale->facts_bytes, sale->facts_size}, &sale->facts));
    return STATUS_OK;
}

status_t read_sale(session_t *session)
{
    const total_t *sale = &session->total;
    bytes_t request = session->wire.request;
    uint32_t kind = session->wire.kind;
    status_t status = wire_read(&session->wire, REQUEST_COMMIT_TRANSACTION, sale->request.at,
                                sale->request.size, &session->basket, session->fault);
    if (status == STATUS_OK && sale->facts.total.request_bytes > 0) {
        status = read_totalled(session, sale->facts.total_request, NULL);
    }
    if (status != STATUS_OK) return status;
    session->basket.explain = 0;
    session->basket.near_miss_limit = 0;
    return wire_read(&session->wire, kind, request.at, request.size, NULL, session->fault);
}

/* ------------------------------------------------------------------ what is left of it ---- */

/* What came back of the sale, and whether its points were confirmed. */
static void read_receipt(session_t *session, record_t receipt)
{
    const original_t *original = &session->original;
    claim_facts_t *claim = &session->claim;
    memset(claim, 0, sizeof *claim);
    claim->is_whole = 1;
    for (uint32_t i = 0; i < original->sold_count; i++) {
        const sold_line_t *sold = &original->sold[i];
        const cell_t *returned =
            record_find(receipt, CELL_RETURNED, 0, (int32_t)sold->line_id, 0);
        claim->net_minor += sold->net_minor;
        if (returned != NULL) claim->refunded_minor += returned->other;
        if (returned == NULL || returned->value < sold->count) claim->is_whole = 0;
    }
    const cell_t *confirmed = record_find(receipt, CELL_CONFIRMED, 0, 0, 0);
    if (confirmed != NULL) claim->confirmed = confirmed->value < 0 ? -1 : confirmed->other;
}

/* Of what would have been earned, the part that what came back takes. */
static int64_t due_back(const claim_facts_t *claim, int64_t earned)
{
    if (claim->net_minor == 0) return 0;
    bool is_less = claim->refunded_minor < claim->net_minor;
    return share_of(earned, is_less ? claim->refunded_minor : claim->net_minor, claim->net_minor);
}

/* P8: the sale's event came before the claim, or will not come. */
static void confirm_award(const session_t *session, award_t *award)
{
    const purse_t *purse = &session->live->program->purses[award->purse - 1];
    int64_t confirmed = session->claim.confirmed;
    cell_t active = {.key = (uint64_t)confirmed};
    if ((purse->flags & PURSE_FLAG_AWAITS) == 0 || confirmed == 0) return;
    if (confirmed < 0) award->points = 0;
    else if (award->activation_day > activation_of(&active)) {
        award->activation_day = activation_of(&active);
    }
}

/* Progress and what its goals give, as far as goods were kept. */
static void keep_progress(session_t *session, uint32_t index)
{
    progressed_t *came = &session->decision.progressed[index];
    const progress_t *progress = &session->live->program->progress[came->progress];
    int64_t back = due_back(&session->claim, came->gained);
    if (progress->measure == PROGRESS_VISITS) back = 0;
    session->withheld[index] = back;
    came->gained -= back;
    came->times = times_reached(progress, came->before, came->before + came->gained);
    for (uint32_t i = 0; i < session->decision.award_count; i++) {
        award_t *award = &session->decision.awards[i];
        if (award->reason != AWARD_GOAL || award->offer != came->progress) continue;
        award->points = progress->reward_points * came->times;
    }
}

/* Takes out of the decision what came back; *withheld by purse. */
static void keep_part(session_t *session, int64_t withheld[PURSES_MAX + 1])
{
    decision_t *decision = &session->decision;
    int64_t earned[PURSES_MAX + 1] = {0};
    memset(withheld, 0, (PURSES_MAX + 1) * sizeof *withheld);
    memset(session->withheld, 0, sizeof session->withheld);
    if (session->claim.is_whole != 0) {
        give_nothing(decision);
        return;
    }
    for (uint32_t i = 0; i < decision->progressed_count; i++) keep_progress(session, i);
    for (uint32_t i = 0; i < decision->award_count; i++) {
        award_t *award = &decision->awards[i];
        confirm_award(session, award);
        if (award->reason != AWARD_GOAL) earned[award->purse] += award->points;
    }
    for (uint32_t purse = 1; purse <= PURSES_MAX; purse++) {
        withheld[purse] = due_back(&session->claim, earned[purse]);
    }
    memcpy(earned, withheld, sizeof earned);
    for (uint32_t i = 0; i < decision->award_count; i++) {
        award_t *award = &decision->awards[i];
        if (award->reason == AWARD_GOAL) continue;
        int64_t part = award->points < earned[award->purse] ? award->points
                                                            : earned[award->purse];
        award->points -= part;
        earned[award->purse] -= part;
    }
}

/* ------------------------------------------------------------------ the entry ---- */

/* Notes at the receipt that it is claimed, and what was held back. */
static status_t move_claimed(session_t *session, entry_builder_t *entry,
                             const int64_t withheld[PURSES_MAX + 1])
{
    const decision_t *decision = &session->decision;
    record_key_t receipt = session->original.record;
    cell_t claimed = {.kind = CELL_CLAIMED, .value = (int64_t)entry->position};
    status_t status = entry_builder_move(entry, receipt, claimed, MOVEMENT_SET, REASON_BIND);
    for (uint8_t purse = 1; purse <= PURSES_MAX && status == STATUS_OK; purse++) {
        if (withheld[purse] == 0) continue;
        cell_t cell = {.kind = CELL_CLAIMED, .sub = purse, .value = withheld[purse]};
        status = entry_builder_move(entry, receipt, cell, MOVEMENT_SET, REASON_BIND);
    }
    for (uint32_t i = 0; i < decision->progressed_count && status == STATUS_OK; i++) {
        if (session->withheld[i] == 0) continue;
        cell_t cell = {
            .kind = CELL_UNDONE,
            .key = session->live->program->progress[decision->progressed[i].progress].key,
            .value = session->withheld[i],
            .other = session->withheld[i]};
        status = entry_builder_move(entry, receipt, cell, MOVEMENT_ADD, REASON_BIND);
    }
    return status;
}

/* The day of the claim at the store that sends it. */
static int32_t claim_day(const session_t *session, int64_t post_unix_ms)
{
    int64_t claimed_unix_ms = session->wire.claim.claimed_time_unix_ms;
    return day_at_sender(session, claimed_unix_ms != 0 ? claimed_unix_ms : post_unix_ms);
}

static status_t write_claim(session_t *session, uint64_t lsn, int64_t post_unix_ms)
{
    const bytes_t no_locale = {NULL, 0};
    int32_t day = claim_day(session, post_unix_ms);
    claim_answer_t answer = {.decision = decision_answer(session, no_locale),
                             .balances = session->balances,
                             .posting = {.lsn = (int64_t)lsn,
                                         .post_unix_ms = post_unix_ms,
                                         .business_date = session->counted_date}};
    answer.balance_count = balances_after(session, day);
    return wire_write_claim(session->reply, &answer);
}

/* Who claims, if anybody may; *is_changed: what was decided on has changed. */
static status_t judge_claimant(session_t *session, const accounts_view_t *view, bool *is_changed)
{
    record_t receipt = accounts_read(view, session->original.record);
    if (record_find(receipt, CELL_VOIDED, 0, 0, 0) != NULL) {
        return fault_at(session->fault, STATUS_RECEIPT_VOIDED, "receipt");
    }
    *is_changed = gather_again(session, view);
    if (session->facts.member != 0) return STATUS_OK;
    return fault_at(session->fault, STATUS_MEMBER_UNKNOWN, "identifiers");
}

/* Whether they may. */
static status_t judge_claim(session_t *session, const accounts_view_t *view, int64_t post_unix_ms)
{
    const original_t *original = &session->original;
    record_t receipt = accounts_read(view, original->record);
    int32_t days = claim_day(session, post_unix_ms) - day_from_date(original->business_date);
    bool is_taken = original->member != 0
                    || record_find(receipt, CELL_CLAIMED, 0, 0, 0) != NULL;
    bool is_late = session->claim_days == 0 || days > (int32_t)session->claim_days;
    if (!is_taken && !is_late) return STATUS_OK;
    return fault_at(session->fault, STATUS_CLAIM_NOT_ALLOWED, "receipt");
}

static status_t prepare_claim(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    const facts_t *facts = &session->facts;
    int64_t withheld[PURSES_MAX + 1];
    bool is_changed;
    session->post_unix_ms = entry->post_unix_ms;
    status_t status = judge_claimant(session, view, &is_changed);
    if (status == STATUS_OK) status = judge_claim(session, view, entry->post_unix_ms);
    if (status != STATUS_OK) return status;
    if (is_changed) ledger_count_redecision(session->engine->ledger);
    if (is_changed) status = decide(session);
    if (status != STATUS_OK) return status;
    read_receipt(session, accounts_read(view, session->original.record));
    keep_part(session, withheld);
    session->posted = (cells_t){facts->group_cells, facts->group_cell_count};
    int32_t date = date_from_day(claim_day(session, entry->post_unix_ms));
    session->counted_date = open_date(session, view, session->wire.store_id, date);
    status = move_claimed(session, entry, withheld);
    if (status == STATUS_OK) status = move_sale(session, view, entry, session->original.record);
    if (status == STATUS_OK) status = write_claim(session, entry->lsn, entry->post_unix_ms);
    if (status != STATUS_OK) return status;
    seal_t seal = {.kind = ENTRY_CLAIM,
                   .account = {facts->member, facts->account_group},
                   .business_date = session->counted_date,
                   .own_date = own_date(date, session->counted_date),
                   .event_unix_ms = session->wire.claim.claimed_time_unix_ms,
                   .facts = session->facts_bytes,
                   .facts_bytes = write_facts(session)};
    return seal_entry(session, entry, &seal, status);
}

/* ------------------------------------------------------------------ calls ---- */

/* Nothing of these is a claim's own; what shares the parts of a sale looks at them. */
static void begin_claim(session_t *session)
{
    session->is_voided_before = false;
    session->total.position = 0;
    session->missing_count = 0;
    session->captured_count = 0;
    session->fill_count = 0;
    begin_exchange(session);
}

/* Finds the sale, and who claims it. */
static status_t find_sale(session_t *session)
{
    const bytes_t no_key = {NULL, 0};
    bool is_changed;
    status_t status = load_original(session, &session->wire.claim.receipt, no_key, "receipt");
    if (status == STATUS_OK) status = copy_sale(session);
    if (status != STATUS_OK) return status;
    session->facts.business_day = day_from_date(session->original.business_date);
    session->shared_count = 0;
    const accounts_view_t *view = ledger_pin(session->reader);
    status = judge_claimant(session, view, &is_changed);
    ledger_unpin(session->reader);
    return status;
}

/* The sale as it was decided: under its own program, by its own facts. */
static status_t restore_sale(session_t *session)
{
    const facts_header_t *header = &session->total.facts.header;
    if (use_program(session, header->program_hash, header->catalogue_hash) != STATUS_OK) {
        return fault_at(session->fault, STATUS_SNAPSHOT_UNKNOWN, "receipt");
    }
    status_t status = read_sale(session);
    if (status == STATUS_OK) status = resolve_basket(session, true);
    if (status != STATUS_OK) return status;
    restore_sold_facts(session);
    session->facts.sold_by = &session->sold_facts;
    return STATUS_OK;
}

status_t call_claim(session_t *session)
{
    bool is_answered = false;
    bool is_changed;
    begin_claim(session);
    begin_change(session, REQUEST_CLAIM_TRANSACTION, prepare_claim);
    session->claim_days = session->live->program->header->claim_days;
    status_t status = check_sender(session, "receipt.store_id");
    status = answer_repeat(session, status, &is_answered);
    if (status != STATUS_OK || is_answered) return status;
    status = find_sale(session);
    if (status == STATUS_OK) status = restore_sale(session);
    if (status != STATUS_OK) return status;
    const accounts_view_t *view = ledger_pin(session->reader);
    status = judge_claimant(session, view, &is_changed);
    if (status == STATUS_OK) status = judge_claim(session, view, wall_unix_ms());
    if (status == STATUS_OK) status = decide(session);
    ledger_unpin(session->reader);
    return status == STATUS_OK ? submit_change(session) : status;
}

status_t claim_again(session_t *session, const entry_header_t *entry, const entry_facts_t *from,
                     bytes_t request)
{
    int64_t withheld[PURSES_MAX + 1];
    total_t *sale = &session->total;
    begin_claim(session);
    if (!read_facts(from->claim_facts, &sale->facts)) {
        return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "entry.facts");
    }
    sale->request = from->claim_request;
    status_t status = wire_read(&session->wire, REQUEST_CLAIM_TRANSACTION, request.at,
                                request.size, NULL, session->fault);
    if (status == STATUS_OK) status = read_sale(session);
    if (status == STATUS_OK) status = resolve_basket(session, true);
    if (status != STATUS_OK) return status;
    restore_facts(session, from);
    restore_sold_facts(session);
    session->facts.sold_by = &session->sold_facts;
    session->posted = (cells_t){session->facts.group_cells, session->facts.group_cell_count};
    session->claim = from->claim;
    session->counted_date = entry->business_date;
    status = decide(session);
    if (status != STATUS_OK) return status;
    keep_part(session, withheld);
    return write_claim(session, entry->lsn, entry->post_unix_ms);
}
