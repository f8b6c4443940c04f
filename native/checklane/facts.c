/* The facts of a decision: written into its entry, and read back to judge a return or to make the
 * same decision again. An entry that was read from the journal has been checked there, so its facts
 * are what we wrote; one that comes from outside (a replay) is checked here. */
#include <string.h>

#include "engine_internal.h"
#include "invariant.h"

static uint8_t *put(uint8_t *at, const void *bytes, size_t size)
{
    if (size > 0) memcpy(at, bytes, size);
    return at + size;
}

static uint8_t *put_padded(uint8_t *at, bytes_t bytes)
{
    static const uint8_t zeros[8] = {0};
    at = put(at, bytes.at, bytes.size);
    return put(at, zeros, (8 - bytes.size % 8) % 8);
}

static uint8_t *put_record(uint8_t *at, uint64_t lsn, const cell_t *cells, uint32_t count)
{
    record_head_t head = {.applied_lsn = lsn, .cell_count = count};
    return put(put(at, &head, sizeof head), cells, count * sizeof *cells);
}

bool sold_line(const session_t *session, uint32_t line, sold_line_t *sold)
{
    const line_t *sent = &session->basket.lines[line];
    if (sent->kind == LINE_KIND_RETURN) return false;
    *sold = (sold_line_t){.line_id = sent->line_id,
                          .count = sent->count,
                          .gross_minor = sent->amount_minor,
                          .net_minor = sent->amount_minor - sold_discount_minor(session, line)};
    return true;
}

static uint8_t *put_sold(const session_t *session, uint8_t *at, facts_header_t *header)
{
    const basket_t *basket = &session->basket;
    if (session->facts.sold_by != NULL) {
        header->sold_count = session->original.sold_count;
        return put(at, session->original.sold,
                   header->sold_count * sizeof session->original.sold[0]);
    }
    for (uint32_t i = 0; i < basket->line_count; i++) {
        sold_line_t sold;
        if (!sold_line(session, i, &sold)) {
            header->flags |= FACTS_FLAG_TOOK_BACK;
            continue;
        }
        at = put(at, &sold, sizeof sold);
        header->sold_count++;
    }
    return at;
}

/* What a sale that named a total or holds was posted to, and what it had been. */
static uint8_t *put_total(const session_t *session, uint8_t *at)
{
    const total_t *total = &session->total;
    bool is_used = total->position != 0;
    total_facts_t record = {.position = total->position,
                            .request_bytes = is_used ? total->request.size : 0,
                            .group_cells = is_used ? session->posted.count : 0,
                            .missing_count = session->missing_count,
                            .captured_count = session->captured_count};
    at = put(at, &record, sizeof record);
    at = put(at, session->posted.at, record.group_cells * sizeof(cell_t));
    at = put(at, session->missing, record.missing_count * sizeof(missing_t));
    at = put(at, session->captured, record.captured_count * sizeof(captured_t));
    return put_padded(at, (bytes_t){total->request.at, record.request_bytes});
}

/* What came back in the basket: of a total what is to be. */
static uint8_t *put_exchange(const session_t *session, uint8_t *at)
{
    const exchange_t *exchange = &session->exchange;
    exchange_facts_t record = {.position = session->original.position,
                               .refund_count = exchange->count,
                               .reversal_bytes = exchange->told.size};
    if (exchange->told.size > 0) record.first_movement = exchange->first_movement;
    at = put(at, &record, sizeof record);
    for (uint32_t i = 0; i < exchange->count; i++) {
        const line_t *line = &session->basket.lines[exchange->line[i]];
        refund_t refund = {.line_id = line->line_id, .refund_minor = line->amount_minor};
        at = put(at, &refund, sizeof refund);
    }
    return put_padded(at, exchange->told);
}

static uint8_t *put_found(const session_t *session, uint8_t *at)
{
    for (uint32_t i = 0; i < session->found_count; i++) {
        const found_t *found = &session->found[i];
        found_record_t record = {.member = found->member,
                                 .account_group = found->account_group,
                                 .tier = found->tier,
                                 .result = found->result,
                                 .role = found->role};
        at = put(at, &record, sizeof record);
    }
    return at;
}

/* The sale that is claimed, as its own entry has it. */
static uint8_t *put_claim(const session_t *session, uint8_t *at)
{
    claim_facts_t record = session->claim;
    record.position = session->original.position;
    record.request_bytes = session->total.request.size;
    record.facts_bytes = session->total.facts_size;
    at = put(at, &record, sizeof record);
    at = put_padded(at, session->total.request);
    return put_padded(at, (bytes_t){session->total.facts_bytes, record.facts_bytes});
}

/* All that the decision read, as layout.h draws it. Returns its size. */
uint32_t write_facts(session_t *session)
{
    const facts_t *facts = &session->facts;
    facts_header_t header = {.decided_unix_ms = facts->decided_unix_ms,
                             .member = facts->member,
                             .account_group = facts->account_group,
                             .record = facts->record,
                             .semantics_version = SEMANTICS_VERSION,
                             .degraded_level = facts->degraded_level,
                             .group_cells = facts->group_cell_count,
                             .member_cells = facts->member_cell_count,
                             .wallet_count = facts->wallet_count,
                             .stopped_count = facts->stopped_count,
                             .found_count = session->found_count,
                             .flags = session->is_voided_before ? FACTS_FLAG_VOIDED_BEFORE : 0};
    memcpy(header.program_hash, session->live->program->hash, 16);
    memcpy(header.catalogue_hash, session->live->catalogue->hash, 16);
    uint8_t *at = session->facts_bytes + sizeof header;
    at = put_record(at, facts->group_lsn, facts->group_cells, facts->group_cell_count);
    at = put_record(at, facts->member_lsn, facts->member_cells, facts->member_cell_count);
    at = put(at, facts->wallet, facts->wallet_count * sizeof facts->wallet[0]);
    at = put(at, facts->stopped, facts->stopped_count * sizeof facts->stopped[0]);
    at = put_sold(session, at, &header);
    at = put_found(session, at);
    header.shared_count = session->shared_count;
    at = put(at, session->shared, session->shared_count * sizeof session->shared[0]);
    if (session->right_count > 0) {
        uint64_t count = session->right_count;
        header.flags |= FACTS_FLAG_FUELLED;
        at = put(put(at, &count, sizeof count), session->rights, count * sizeof(fuel_right_t));
    }
    if (facts->sold_by != NULL) {
        header.flags |= FACTS_FLAG_CLAIM;
        at = put_claim(session, at);
    } else if (session->total.position != 0 || session->missing_count > 0
               || session->captured_count > 0) {
        header.flags |= FACTS_FLAG_TOTALLED;
        at = put_total(session, at);
    }
    if (session->exchange.count > 0 && session->exchange.refused == STATUS_OK) {
        header.flags |= FACTS_FLAG_EXCHANGE;
        at = put_exchange(session, at);
    }
    memcpy(session->facts_bytes, &header, sizeof header);
    INVARIANT(at <= session->facts_bytes + sizeof session->facts_bytes);
    return (uint32_t)(at - session->facts_bytes);
}

/* ------------------------------------------------------------------ read back ---- */

/* Takes `count` records of `bytes` each off the front of what is left; false: there are fewer. */
static bool take(bytes_t *left, const void **at, size_t count, size_t bytes)
{
    if (left->size / bytes < count) return false;
    *at = left->at;
    left->at += count * bytes;
    left->size -= (uint32_t)(count * bytes);
    return true;
}

static bool take_total(bytes_t *left, entry_facts_t *facts)
{
    const void *at;
    memset(&facts->total, 0, sizeof facts->total);
    if ((facts->header.flags & FACTS_FLAG_TOTALLED) == 0) return true;
    if (!take(left, &at, 1, sizeof facts->total)) return false;
    memcpy(&facts->total, at, sizeof facts->total);
    const total_facts_t *total = &facts->total;
    if (total->group_cells > RECORD_CELLS_MAX || total->missing_count > MISSING_MAX) return false;
    if (total->request_bytes > REQUEST_BYTES_MAX) return false;
    if (total->captured_count > HOLD_CAPTURES_MAX) return false;
    if (!take(left, (const void **)&facts->posted_cells, total->group_cells, sizeof(cell_t))) {
        return false;
    }
    if (!take(left, (const void **)&facts->missing, total->missing_count, sizeof(missing_t))) {
        return false;
    }
    if (!take(left, (const void **)&facts->captured, total->captured_count, sizeof(captured_t))) {
        return false;
    }
    facts->total_request.size = total->request_bytes;
    if (!take(left, (const void **)&facts->total_request.at, total->request_bytes, 1)) {
        return false;
    }
    const void *zeros;
    return take(left, &zeros, (8 - total->request_bytes % 8) % 8, 1);
}

static bool take_exchange(bytes_t *left, entry_facts_t *facts)
{
    const void *at;
    exchange_facts_t *exchange = &facts->exchange;
    memset(exchange, 0, sizeof *exchange);
    facts->reversal = (bytes_t){NULL, 0};
    if ((facts->header.flags & FACTS_FLAG_EXCHANGE) == 0) return true;
    if (!take(left, &at, 1, sizeof *exchange)) return false;
    memcpy(exchange, at, sizeof *exchange);
    if (exchange->refund_count > BASKET_LINES_MAX) return false;
    if (exchange->first_movement > MOVEMENTS_MAX) return false;
    if (exchange->reversal_bytes > REVERSAL_BYTES_MAX) return false;
    if (!take(left, (const void **)&facts->refunds, exchange->refund_count, sizeof(refund_t))) {
        return false;
    }
    facts->reversal.size = exchange->reversal_bytes;
    return take(left, (const void **)&facts->reversal.at, exchange->reversal_bytes, 1);
}

static bool take_promised(bytes_t *left, entry_facts_t *facts)
{
    const void *at;
    facts->right_count = 0;
    if ((facts->header.flags & FACTS_FLAG_FUELLED) == 0) return true;
    if (!take(left, &at, 1, sizeof facts->right_count)) return false;
    memcpy(&facts->right_count, at, sizeof facts->right_count);
    if (facts->right_count > FUEL_RIGHTS_MAX) return false;
    return take(left, (const void **)&facts->rights, facts->right_count, sizeof(fuel_right_t));
}

/* Takes bytes and the zeros that pad them off the front of what is left. */
static bool take_padded(bytes_t *left, bytes_t *taken, uint32_t size)
{
    const void *zeros;
    taken->size = size;
    return take(left, (const void **)&taken->at, size, 1)
           && take(left, &zeros, (8 - size % 8) % 8, 1);
}

static bool take_claim(bytes_t *left, entry_facts_t *facts)
{
    const void *at;
    memset(&facts->claim, 0, sizeof facts->claim);
    if ((facts->header.flags & FACTS_FLAG_CLAIM) == 0) return true;
    if (!take(left, &at, 1, sizeof facts->claim)) return false;
    memcpy(&facts->claim, at, sizeof facts->claim);
    const claim_facts_t *claim = &facts->claim;
    if (claim->position == 0 || claim->refunded_minor < 0 || claim->net_minor < 0) return false;
    if (claim->request_bytes > REQUEST_BYTES_MAX || claim->facts_bytes > FACTS_BYTES_MAX) {
        return false;
    }
    return take_padded(left, &facts->claim_request, claim->request_bytes)
           && take_padded(left, &facts->claim_facts, claim->facts_bytes);
}

bool read_facts(bytes_t bytes, entry_facts_t *facts)
{
    const void *at;
    if (bytes.size < sizeof facts->header) return false;
    memcpy(&facts->header, bytes.at, sizeof facts->header);
    const facts_header_t *header = &facts->header;
    bytes.at += sizeof *header;
    bytes.size -= (uint32_t)sizeof *header;
    if (header->wallet_count > WALLET_MAX || header->stopped_count > STOPPED_MAX) return false;
    if (header->sold_count > BASKET_LINES_MAX) return false;
    if (header->found_count > IDENTIFIERS_MAX) return false;
    if (header->shared_count > SHARED_COUNTERS_MAX) return false;
    if (!take(&bytes, &at, 1, sizeof(record_head_t))) return false;
    facts->group_lsn = ((const record_head_t *)at)->applied_lsn;
    if (!take(&bytes, (const void **)&facts->group_cells, header->group_cells, sizeof(cell_t))) {
        return false;
    }
    if (!take(&bytes, &at, 1, sizeof(record_head_t))) return false;
    facts->member_lsn = ((const record_head_t *)at)->applied_lsn;
    if (!take(&bytes, (const void **)&facts->member_cells, header->member_cells, sizeof(cell_t))) {
        return false;
    }
    return take(&bytes, (const void **)&facts->wallet, header->wallet_count, 8)
           && take(&bytes, (const void **)&facts->stopped, header->stopped_count, 8)
           && take(&bytes, (const void **)&facts->sold, header->sold_count, sizeof(sold_line_t))
           && take(&bytes, (const void **)&facts->found, header->found_count,
                   sizeof(found_record_t))
           && take(&bytes, (const void **)&facts->shared, header->shared_count,
                   sizeof(shared_counter_t))
           && take_promised(&bytes, facts) && take_total(&bytes, facts)
           && take_exchange(&bytes, facts) && take_claim(&bytes, facts);
}

static void fill_facts(facts_t *facts, const entry_facts_t *from)
{
    const facts_header_t *header = &from->header;
    facts->decided_unix_ms = header->decided_unix_ms;
    facts->degraded_level = header->degraded_level;
    facts->member = header->member;
    facts->account_group = header->account_group;
    facts->record = header->record;
    facts->group_cells = from->group_cells;
    facts->group_cell_count = header->group_cells;
    facts->member_cells = from->member_cells;
    facts->member_cell_count = header->member_cells;
    facts->wallet = from->wallet;
    facts->wallet_count = header->wallet_count;
    facts->stopped = from->stopped;
    facts->stopped_count = header->stopped_count;
    facts->group_lsn = from->group_lsn;
    facts->member_lsn = from->member_lsn;
}

/* What a counter had given when the sale was decided: its facts noted all that there were. */
static int64_t read_sold(void *context, const shared_counter_t *counter)
{
    const entry_facts_t *from = context;
    for (uint32_t i = 0; i < from->header.shared_count; i++) {
        const shared_counter_t *noted = &from->shared[i];
        if (noted->offer != counter->offer || noted->number != counter->number) continue;
        if (noted->window == counter->window && noted->scope == counter->scope) return noted->given;
    }
    return 0;
}

/* What goods that came back in the basket refunded. */
static void restore_refunds(session_t *session, const entry_facts_t *from)
{
    for (uint32_t i = 0; i < from->exchange.refund_count; i++) {
        for (uint32_t j = 0; j < session->basket.line_count; j++) {
            if (session->basket.lines[j].line_id != from->refunds[i].line_id) continue;
            session->basket.lines[j].amount_minor = from->refunds[i].refund_minor;
        }
    }
}

void restore_sold_facts(session_t *session)
{
    facts_t *sold = &session->sold_facts;
    *sold = session->facts;
    fill_facts(sold, &session->total.facts);
    sold->sold_by = NULL;
    sold->read_shared = read_sold;
    sold->shared_context = &session->total.facts;
    sold->rights = session->total.facts.rights;
    sold->right_count = (uint32_t)session->total.facts.right_count;
    restore_refunds(session, &session->total.facts);
}

void restore_facts(session_t *session, const entry_facts_t *from)
{
    facts_t *facts = &session->facts;
    const facts_header_t *header = &from->header;
    fill_facts(facts, from);
    session->found_count = header->found_count;
    for (uint32_t i = 0; i < header->found_count; i++) {
        const found_record_t *found = &from->found[i];
        session->found[i] = (found_t){.member = found->member,
                                      .account_group = found->account_group,
                                      .tier = found->tier,
                                      .result = found->result,
                                      .role = found->role};
    }
    session->view = NULL;
    facts->read_shared = read_shared;
    facts->shared_context = session;
    session->shared_count = header->shared_count;
    if (header->shared_count > 0) {
        memcpy(session->shared, from->shared, header->shared_count * sizeof from->shared[0]);
    }
    session->right_count = (uint32_t)from->right_count;
    if (from->right_count > 0) {
        memcpy(session->rights, from->rights, from->right_count * sizeof(fuel_right_t));
        use_rights(session);
    }
    session->is_voided_before = (header->flags & FACTS_FLAG_VOIDED_BEFORE) != 0;
    restore_refunds(session, from);
}

/* What the sale was posted to, and what was missing then. */
static void restore_total(session_t *session, const entry_facts_t *from)
{
    const total_facts_t *total = &from->total;
    session->total.position = total->position;
    session->posted = (cells_t){session->facts.group_cells, session->facts.group_cell_count};
    if (total->position != 0) session->posted = (cells_t){from->posted_cells, total->group_cells};
    session->missing_count = total->missing_count;
    if (total->missing_count > 0) {
        memcpy(session->missing, from->missing, total->missing_count * sizeof(missing_t));
    }
    session->captured_count = total->captured_count;
    if (total->captured_count > 0) {
        memcpy(session->captured, from->captured, total->captured_count * sizeof(captured_t));
    }
}

/* What the return in the basket moved, and how it was told. */
static void restore_exchange(session_t *session, const entry_header_t *entry,
                             const entry_facts_t *from, const movement_t *movements)
{
    exchange_t *exchange = &session->exchange;
    begin_exchange(session);
    if (from->exchange.reversal_bytes == 0) return;
    if (from->exchange.first_movement > entry->movement_count) return;
    exchange->told = from->reversal;
    exchange->posted_group = entry->account_group;
    exchange->moved = movements + from->exchange.first_movement;
    exchange->moved_count = entry->movement_count - from->exchange.first_movement;
}

status_t decide_again(session_t *session, const entry_header_t *entry, const entry_facts_t *from,
                      const movement_t *movements)
{
    uint32_t exception_count;
    session->total.position = from->total.position;
    session->counted_date = entry->business_date;
    status_t status = resolve_basket(session, is_paid(session));
    if (status != STATUS_OK) return status;
    restore_facts(session, from);
    restore_total(session, from);
    restore_exchange(session, entry, from, movements);
    status = decide(session);
    if (session->is_voided_before) give_nothing(&session->decision);
    if (status == STATUS_OK) status = compare_figures(session, &exception_count);
    if (status != STATUS_OK) return status;
    const account_t account = {entry->member, entry->account_group};
    const posting_t posting = {(int64_t)entry->lsn, entry->post_unix_ms, entry->business_date};
    return write_commit(session, &posting, exception_count,
                        issue_capsule(session, &account, movements, entry->movement_count));
}
