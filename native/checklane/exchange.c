/* Goods of an earlier sale that come back in the basket of a sale: one decision, one entry, one
 * amount that is due either way.
 *
 * What such a line refunds is worked out by the rules of returns before the basket is decided, and
 * takes the place of the amount that was sent: so all that follows (what points may pay, what is
 * due) knows of return lines and nothing of receipts. The writer works it out again; where another
 * return of the same receipt came in between, the basket is decided again. The return moves behind
 * the sale: the sale is decided as if the goods had not come back yet.
 *
 * The entry's facts keep what each line refunded and the reversal as it was answered, so that the
 * sale can be decided again without the entry of the other one. */
#include <string.h>

#include "engine_internal.h"
#include "invariant.h"

#define MEASURE_OF_LINE 9   /* fields of Line */
#define ORIGINAL_OF_LINE 18

static bool is_paid_out(const session_t *session)
{
    return session->wire.kind == REQUEST_COMMIT_TRANSACTION && is_paid(session);
}

static bool is_same_receipt(const receipt_id_t *left, const receipt_id_t *right)
{
    static const uint64_t no_secret[2] = {0, 0};
    hash128_t one = wire_receipt_hash(no_secret, left);
    hash128_t other = wire_receipt_hash(no_secret, right);
    return one.hi == other.hi && one.lo == other.lo;
}

static const sent_line_t *line_sent(const session_t *session, const sent_basket_t *sent,
                                    uint32_t index)
{
    const sent_line_t *line = &session->wire.lines[sent->lines.first + index];
    return is_present(line->present, ORIGINAL_OF_LINE) ? line : NULL;
}

status_t check_exchange(session_t *session, const sent_basket_t *sent)
{
    const sent_line_t *first = NULL;
    for (uint32_t i = 0; i < sent->lines.count; i++) {
        const sent_line_t *line = line_sent(session, sent, i);
        if (line == NULL) continue;
        if (first == NULL) first = line;
        if (!is_same_receipt(&first->original.receipt, &line->original.receipt)) {
            return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE,
                            "basket.lines[%u].original.receipt", i);
        }
        for (uint32_t j = 0; j < i; j++) {
            const sent_line_t *other = line_sent(session, sent, j);
            if (other == NULL || other->original.line_id != line->original.line_id) continue;
            return fault_at(session->fault, STATUS_LINE_ID_DUPLICATE,
                            "basket.lines[%u].original.line_id", i);
        }
    }
    return STATUS_OK;
}

void begin_exchange(session_t *session)
{
    exchange_t *exchange = &session->exchange;
    exchange->count = 0;
    exchange->refused = STATUS_OK;
    exchange->moved_count = 0;
    exchange->told = (bytes_t){NULL, 0};
}

/* Of a paid sale the money stands; the goods are not taken back from that receipt. */
static status_t pass_over(session_t *session, status_t status)
{
    exchange_t *exchange = &session->exchange;
    if (status == STATUS_OK || !is_paid_out(session)) return status;
    exchange->refused = status;
    exchange->refused_line_id = session->basket.lines[exchange->line[0]].line_id;
    return STATUS_OK;
}

/* Index in session->basket of a line as it was sent: what was totalled stands in its own order. */
static uint32_t find_basket_line(const session_t *session, int64_t line_id)
{
    uint32_t index = 0;
    while (session->basket.lines[index].line_id != line_id) {
        index++;
        INVARIANT(index < session->basket.line_count);
    }
    return index;
}

status_t load_exchange(session_t *session)
{
    const sent_basket_t *sent = wire_basket(&session->wire);
    exchange_t *exchange = &session->exchange;
    for (uint32_t i = 0; i < sent->lines.count; i++) {
        const sent_line_t *line = line_sent(session, sent, i);
        if (line == NULL) continue;
        uint32_t at = exchange->count++;
        exchange->sent[at] = i;
        exchange->line[at] = find_basket_line(session, line->line_id);
        bool is_measured = is_present(line->present, MEASURE_OF_LINE);
        exchange->asked[at] =
            (return_line_t){.present = (uint64_t)1 << RETURN_LINE_COUNT
                                       | (uint64_t)is_measured << RETURN_LINE_QUANTITY,
                            .line_id = line->original.line_id,
                            .count = session->basket.lines[exchange->line[at]].count};
    }
    if (exchange->count == 0) return STATUS_OK;
    session->asked = exchange->asked;
    session->asked_count = exchange->count;
    session->is_refund_paid = is_paid_out(session);
    const original_line_t *first = &line_sent(session, sent, exchange->sent[0])->original;
    status_t status = load_sold(session, &first->receipt, first->receipt_capsule, "basket.lines");
    if (status == STATUS_OK) return STATUS_OK;
    bool is_capsule = status == STATUS_CAPSULE_INVALID || status == STATUS_CAPSULE_EXPIRED;
    (void)fault_at(session->fault, status, "basket.lines[%u].original.%s", exchange->sent[0],
                   is_capsule ? "receipt_capsule" : "receipt");
    return pass_over(session, status);
}

static status_t judge_lines(session_t *session, const accounts_view_t *view, bool *is_changed)
{
    exchange_t *exchange = &session->exchange;
    record_t receipt = accounts_read(view, session->original.record);
    if (record_find(receipt, CELL_VOIDED, 0, 0, 0) != NULL) {
        return fault_at(session->fault, STATUS_RECEIPT_VOIDED, "basket.lines[%u].original.receipt",
                        exchange->sent[0]);
    }
    for (uint32_t i = 0; i < exchange->count; i++) {
        asked_back_t back;
        status_t status = judge_asked(session, receipt, i, &back);
        if (status != STATUS_OK) return status;
        int64_t *amount_minor = &session->basket.lines[exchange->line[i]].amount_minor;
        if (session->is_refund_paid || *amount_minor == back.refund_minor) continue;
        *amount_minor = back.refund_minor;
        *is_changed = true;
    }
    return STATUS_OK;
}

status_t judge_exchange(session_t *session, const accounts_view_t *view, bool *is_changed)
{
    const exchange_t *exchange = &session->exchange;
    *is_changed = false;
    if (exchange->count == 0 || exchange->refused != STATUS_OK) return STATUS_OK;
    return pass_over(session, judge_lines(session, view, is_changed));
}

void note_exchange(session_t *session)
{
    const exchange_t *exchange = &session->exchange;
    if (exchange->refused == STATUS_OK) return;
    missing_t missing = {.kind = EXCEPTION_ORIGINAL_UNKNOWN, .number = exchange->refused_line_id};
    for (uint32_t i = 0; i < exchange->count; i++) {
        missing.amount_minor += session->basket.lines[exchange->line[i]].amount_minor;
    }
    note_missing(session, missing);
}

status_t move_exchange(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                       const account_t *account, uint32_t exception_count)
{
    exchange_t *exchange = &session->exchange;
    reply_t reply = {.at = exchange->reversal, .capacity = sizeof exchange->reversal};
    reversal_answer_t answer;
    if (exchange->count == 0 || exchange->refused != STATUS_OK) return STATUS_OK;
    if (session->is_voided_before) return STATUS_OK;
    for (uint32_t i = 0; i < exchange->count; i++) {
        exchange->asked[i].present |= (uint64_t)1 << RETURN_LINE_REFUND;
        exchange->asked[i].refund_minor =
            session->basket.lines[exchange->line[i]].amount_minor;
    }
    exchange->posted_group = account->account_group;
    exchange->first_movement = entry->movement_count;
    status_t status = take_goods_back(session, view, entry, exception_count, 0, &answer);
    if (status == STATUS_OK) status = wire_write_reversal(&reply, &answer);
    if (status != STATUS_OK) return status;
    exchange->told = (bytes_t){exchange->reversal, reply.size};
    exchange->moved = entry->movements + exchange->first_movement;
    exchange->moved_count = entry->movement_count - exchange->first_movement;
    return STATUS_OK;
}
