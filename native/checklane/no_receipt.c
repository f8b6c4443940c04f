/* Goods that come back in a basket without their receipt: lines of kind return that name no
 * original. What they refund is what the till sends, since no sale and no price of theirs is known
 * here; the program says whether that may be, up to how much money in one basket, and whether
 * somebody must be known for it. A sale that was paid is posted all the same, and says so. */
#include "engine_internal.h"

static bool names_receipt(const session_t *session, uint32_t line)
{
    for (uint32_t i = 0; i < session->exchange.count; i++) {
        if (session->exchange.line[i] == line) return true;
    }
    return false;
}

/* What such goods refund, and the first line at which that passes `most_minor`; NONE_32: none. */
static uint32_t find_beyond(const session_t *session, int64_t most_minor, int64_t *refund_minor)
{
    const basket_t *basket = &session->basket;
    uint32_t beyond = NONE_32;
    *refund_minor = 0;
    for (uint32_t i = 0; i < basket->line_count; i++) {
        const line_t *line = &basket->lines[i];
        if (line->kind != LINE_KIND_RETURN || names_receipt(session, i)) continue;
        *refund_minor += line->amount_minor;
        if (beyond == NONE_32 && *refund_minor > most_minor) beyond = i;
    }
    return beyond;
}

/* A degraded quote looks nobody up, so it asks for nobody. */
static bool lacks_member(const session_t *session)
{
    const facts_t *facts = &session->facts;
    uint32_t rules = session->live->program->header->unreceipted;
    if ((rules & UNRECEIPTED_MEMBER) == 0 || facts->degraded_level != 0) return false;
    return facts->member == 0 || (facts->record.flags & MEMBER_FLAG_BLOCKED) != 0;
}

/* RETURN_NOT_ALLOWED with its place where the program does not let the goods come back. */
static status_t judge_goods(const session_t *session, int64_t *refund_minor)
{
    const status_t refused = STATUS_RETURN_NOT_ALLOWED;
    const program_header_t *header = session->live->program->header;
    uint32_t any = find_beyond(session, -1, refund_minor);
    if (any == NONE_32) return STATUS_OK;
    if ((header->unreceipted & UNRECEIPTED_REFUSED) != 0) {
        return fault_at(session->fault, refused, "basket.lines[%u].original", any);
    }
    if (lacks_member(session)) return fault_at(session->fault, refused, "basket.identifiers");
    if (header->unreceipted_minor == 0) return STATUS_OK;
    uint32_t beyond = find_beyond(session, header->unreceipted_minor, refund_minor);
    if (beyond == NONE_32) return STATUS_OK;
    return fault_at(session->fault, refused, "basket.lines[%u].amount_minor", beyond);
}

static bool is_paid_out(const session_t *session)
{
    return session->wire.kind == REQUEST_COMMIT_TRANSACTION && is_paid(session);
}

status_t judge_unreceipted(session_t *session)
{
    int64_t refund_minor;
    return is_paid_out(session) ? STATUS_OK : judge_goods(session, &refund_minor);
}

void note_unreceipted(session_t *session)
{
    int64_t refund_minor;
    if (!is_paid_out(session) || session->total.position != 0) return;
    if (judge_goods(session, &refund_minor) == STATUS_OK) return;
    note_missing(session, (missing_t){.kind = EXCEPTION_RETURN_NOT_ALLOWED,
                                      .amount_minor = refund_minor});
}
