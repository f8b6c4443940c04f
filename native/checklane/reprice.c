/* Returns by repricing: what is kept of a sale is decided once more, under the sale's own program
 * and by the sale's own facts, as if what came back had never been in the basket (X3 to X5 in
 * docs/semantics.md). What a line was paid for and not refunded yet, less what it costs now, is
 * what it refunds.
 *
 * All of this is the caller's thread's: it copies the sale's request and facts out of the journal.
 * The writer looks whether the receipt is still the one that this was decided by, and sends the
 * request back where it is not (find_again). */
#include <string.h>

#include "engine_internal.h"
#include "invariant.h"

/* What stays prorated: points that paid come back by gross (R5); what was paid out as prorated
 * stands; a receipt's record has no room for more lines; another node's sale, whose facts are there
 * (V2). */
static bool is_prorated(const session_t *session)
{
    const original_t *original = &session->original;
    if (session->live->program->header->return_policy != RETURN_REPRICE) return true;
    if (original->is_foreign) return true;
    if (original->sold_count > REPRICED_LINES_MAX) return true;
    for (uint32_t i = 0; i < original->movement_count; i++) {
        if (original->movements[i].reason == REASON_BURN) return true;
    }
    for (uint32_t i = 0; i < session->asked_count && session->is_refund_paid; i++) {
        if (is_present(session->asked[i].present, RETURN_LINE_REFUND)) return true;
    }
    return false;
}

static int64_t count_left(const asked_back_t *back)
{
    return back->sold->count - back->before - back->count;
}

/* What came back of each line, with this request. False: less is there than is asked for, which the
 * writer is to refuse. */
static bool take_units(session_t *session)
{
    const original_t *original = &session->original;
    repriced_t *repriced = &session->repriced;
    bool is_there = true;
    const accounts_view_t *view = ledger_pin(session->reader);
    record_t receipt = accounts_read(view, original->record);
    repriced->receipt_lsn = receipt.head->applied_lsn;
    for (uint32_t i = 0; i < original->sold_count; i++) {
        repriced->back[i] = come_back(receipt, &original->sold[i]);
    }
    ledger_unpin(session->reader);
    for (uint32_t i = 0; i < session->asked_count && is_there; i++) {
        const return_line_t *asked = &session->asked[i];
        const sold_line_t *sold = find_sold(original, asked->line_id);
        if (sold == NULL) return false;
        asked_back_t *back = &repriced->back[sold - original->sold];
        bool is_counted = is_present(asked->present, RETURN_LINE_COUNT);
        back->count = is_counted ? asked->count : count_left(back);
        is_there = back->count >= 1 && count_left(back) >= 0;
    }
    return is_there;
}

static bool is_nothing_left(const session_t *session)
{
    for (uint32_t i = 0; i < session->original.sold_count; i++) {
        if (count_left(&session->repriced.back[i]) > 0) return false;
    }
    return true;
}

/* Decides session->basket as the sale was decided. Points pay for nothing here: what they were
 * refused for stays refused. */
static status_t decide_sold(session_t *session)
{
    status_t status = resolve_basket(session, true);
    if (status != STATUS_OK) return status;
    restore_sold_facts(session);
    session->facts = session->sold_facts;
    session->basket.redemption_count = 0;
    return decide(session);
}

static int64_t cost_minor(const session_t *session, uint32_t line)
{
    return session->basket.lines[line].amount_minor - session->decision.line_discount_minor[line];
}

/* Whether the lines were sold as they are decided; a till may have sold otherwise. Notes where each
 * stands in the basket: in the order in which they were sold, between what came back. */
static bool is_as_sold(session_t *session)
{
    const original_t *original = &session->original;
    uint32_t count = 0;
    for (uint32_t i = 0; i < session->basket.line_count; i++) {
        if (session->basket.lines[i].kind == LINE_KIND_RETURN) continue;
        INVARIANT(count < original->sold_count);
        const sold_line_t *sold = &original->sold[count];
        INVARIANT(session->basket.lines[i].line_id == sold->line_id);
        if (cost_minor(session, i) != sold->net_minor) return false;
        session->repriced.line[count++] = i;
    }
    INVARIANT(count == original->sold_count);
    return true;
}

/* Takes out of the basket what came back. A line of which nothing is left stands there as one that
 * came back for nothing, for tenders name lines by their places. */
static void keep_units(session_t *session)
{
    const repriced_t *repriced = &session->repriced;
    for (uint32_t i = 0; i < session->original.sold_count; i++) {
        const asked_back_t *back = &repriced->back[i];
        line_t *line = &session->basket.lines[repriced->line[i]];
        int64_t left = count_left(back);
        if (left == line->count) continue;
        line->amount_minor -= share_of(line->amount_minor, line->count - left, line->count);
        line->count = left;
        line->measure_milli = 0; /* of one unit is known what it measures where it was sold alone */
        line->measure_unit = 0;
        if (left == 0) line->kind = LINE_KIND_RETURN;
    }
}

/* Decides the sale, and then what is kept of it: what each line costs, and how that is told. */
static status_t decide_kept(session_t *session)
{
    const bytes_t no_locale = {NULL, 0};
    repriced_t *repriced = &session->repriced;
    reply_t kept = {.at = session->facts_bytes, .capacity = sizeof session->facts_bytes};
    status_t status = read_sale(session);
    if (status == STATUS_OK) status = decide_sold(session);
    if (status != STATUS_OK || !is_as_sold(session)) return status;
    keep_units(session);
    status = decide_sold(session);
    if (status != STATUS_OK) return status;
    for (uint32_t i = 0; i < session->original.sold_count; i++) {
        repriced->back[i].refund_minor -= cost_minor(session, repriced->line[i]);
    }
    decision_answer_t answer = decision_answer(session, no_locale);
    status = wire_write_kept(&kept, &answer);
    repriced->kept = (bytes_t){kept.at, kept.size};
    repriced->is_used = status == STATUS_OK;
    return status;
}

status_t reprice(session_t *session)
{
    repriced_t *repriced = &session->repriced;
    if (is_prorated(session) || !take_units(session)) return STATUS_OK;
    repriced->is_used = is_nothing_left(session);
    if (repriced->is_used) return STATUS_OK;
    status_t status = copy_sale(session);
    if (status != STATUS_OK) return status;
    const facts_header_t *header = &session->total.facts.header;
    if (use_program(session, header->program_hash, header->catalogue_hash) != STATUS_OK) {
        repriced->is_not_kept = true;
        return STATUS_OK;
    }
    status = decide_kept(session);
    let_program_go(session);
    return status;
}
