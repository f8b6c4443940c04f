/* Totals: a decision that is kept as it was shown until the sale is paid, with a hold of what it
 * needs: the points that pay, all that it counts, and the coupons that it uses up.
 *
 * A total's entry holds what a commit's holds: the request and all that the decision had read. A
 * commit that brings its token is decided again from that entry, under the program and catalogue of
 * then, and so comes to the same figures whatever has become of program, member or server since.
 * Whether what the figures need is still there is judged at the commit all the same: the hold may
 * have ended.
 *
 * The token names the entry: its position and its LSN, and a keyed hash of both and of the basket's
 * name, so that a lane can bring no other. */
#include <string.h>

#include "engine_internal.h"
#include "invariant.h"

/* ------------------------------------------------------------------ the token ---- */

typedef struct token {
    uint64_t position;
    uint64_t lsn;
    uint64_t check;
} token_t;
_Static_assert(sizeof(token_t) <= TOKEN_BYTES_MAX, "a token is a token of the contract");

static uint64_t token_check(const session_t *session, uint64_t position, uint64_t lsn)
{
    static const uint64_t no_secret[2] = {0, 0};
    const sent_basket_t *sent = wire_basket(&session->wire);
    hash128_t basket = wire_key_hash(no_secret, sent->store_id, sent->basket_id,
                                     REQUEST_TOTAL_BASKET, (bytes_t){NULL, 0});
    const uint64_t words[4] = {position, lsn, basket.hi, basket.lo};
    return siphash128(session->engine->options.identity_key, words, sizeof words).lo;
}

static bool read_token(const session_t *session, bytes_t bytes, token_t *token)
{
    if (bytes.size != sizeof *token) return false;
    memcpy(token, bytes.at, sizeof *token);
    return token->check == token_check(session, token->position, token->lsn);
}

/* ------------------------------------------------------------------ its hold ---- */

/* The number of the hold of the basket's total, which is the LSN of the total; 0: none. */
static uint64_t find_open(session_t *session, const accounts_view_t *view)
{
    return find_total_hold(session, view, session->basket.store_key, session->basket.basket_id);
}

void own_total(session_t *session, const accounts_view_t *view)
{
    session->own_hold_count = 0;
    session->own_view = NULL;
    uint64_t number = find_open(session, view);
    if (number != 0) session->own_holds[session->own_hold_count++] = number;
}

status_t close_total(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                     uint8_t state)
{
    hold_t hold;
    uint64_t number = find_open(session, view);
    if (number == 0) return STATUS_OK;
    if (read_hold(session, view, number, &hold) && hold.state == HOLD_STATE_OPEN) {
        return end_hold(session, entry, &hold, state);
    }
    /* One that has ended: the hold of a new total sweeps it from the basket's list. */
    if (state == HOLD_STATE_RELEASED) return STATUS_OK;
    return unlist_hold(session, view, entry, session->basket.store_key, session->basket.basket_id,
                       number);
}

/* What the decision at hand counts, by counter, and the coupons that it uses up. */
static void draft_counts(session_t *session, hold_draft_t *draft)
{
    const decision_t *decision = &session->decision;
    const sent_basket_t *sent = wire_basket(&session->wire);
    for (uint32_t i = 0; i < decision->counted_count; i++) {
        const counted_t *counted = &decision->counted[i];
        uint64_t offer = session->live->program->offers[counted->offer].key;
        if (counted->scope == COUNT_SCOPE_COUPON) {
            bytes_t serial = session->wire.coupons[sent->coupons.first + counted->number].serial;
            name_held_coupon(session, counted->number, serial, offer,
                             &session->held_coupons[draft->coupon_count++]);
            continue;
        }
        session->counts[draft->count_count++] = (shared_counter_t){.offer = offer,
                                                                   .given = counted->given,
                                                                   .window = counted->window,
                                                                   .scope = counted->scope,
                                                                   .number = counted->number};
    }
    draft->counts = session->counts;
    draft->coupons = session->held_coupons;
}

/* What the decision at hand needs: the points that pay, and all that it counts. */
static hold_draft_t draft_total(session_t *session, int64_t expire_post_ms)
{
    const basket_t *basket = &session->basket;
    const decision_t *decision = &session->decision;
    hold_draft_t draft = {.kind = HOLD_KIND_TOTAL,
                          .day = session->facts.business_day,
                          .expire_post_ms = expire_post_ms,
                          .store_key = basket->store_key,
                          .basket_id = basket->basket_id,
                          .store_id = basket->store_id,
                          .till_id = basket->till_id};
    draft_counts(session, &draft);
    for (uint32_t i = 0; i < decision->redemption_count; i++) {
        draft.points[decision->redemptions[i].purse] += decision->redemptions[i].points;
    }
    return draft;
}

/* ------------------------------------------------------------------ a total ---- */

static int64_t held_ms(const session_t *session)
{
    const total_request_t *request = &session->wire.total;
    if (is_present(request->present, TOTAL_HOLD_SECONDS)) return request->hold_seconds * 1000;
    return (int64_t)session->live->program->header->hold_minutes * 60000;
}

/* Without an entry in training: nothing is held then. */
static status_t write_total(session_t *session, const entry_builder_t *entry,
                            const hold_draft_t *draft, const token_t *token)
{
    const basket_t *basket = &session->basket;
    total_answer_t answer = {.decision = decision_answer(session, session->wire.total.locale),
                             .expire_unix_ms = draft->expire_post_ms,
                             .holds = session->hold_answers,
                             .posting = {.post_unix_ms = session->facts.decided_unix_ms,
                                         .business_date = basket->business_date}};
    if (entry != NULL) {
        answer.token = (bytes_t){(const uint8_t *)token, sizeof *token};
        answer.posting = posting_of(entry, basket->business_date);
        answer.hold_count = tell_hold(session, draft, entry->lsn, HOLD_STATE_OPEN,
                                      entry->post_unix_ms, 0);
    }
    return wire_write_total(session->reply, &answer);
}

static status_t prepare_total(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    const facts_t *facts = &session->facts;
    token_t token = {.position = entry->position, .lsn = entry->lsn};
    token.check = token_check(session, token.position, token.lsn);
    session->post_unix_ms = entry->post_unix_ms;
    bool is_other;
    status_t status = judge_exchange(session, view, &is_other);
    if (status != STATUS_OK) return status;
    own_total(session, view);
    own_fills(session, view);
    bool is_changed = gather_again(session, view);
    status = judge_unreceipted(session);
    if (status == STATUS_OK && (is_changed || is_other)) {
        ledger_count_redecision(session->engine->ledger);
        status = decide(session);
    }
    if (status == STATUS_OK) status = close_total(session, view, entry, HOLD_STATE_RELEASED);
    if (status != STATUS_OK) return status;
    hold_draft_t draft = draft_total(session, entry->post_unix_ms + held_ms(session));
    status = place_hold(session, view, entry, &draft);
    if (status == STATUS_OK) status = write_total(session, entry, &draft, &token);
    if (status != STATUS_OK) return status;
    seal_t seal = {.kind = ENTRY_TOTAL,
                   .account = {facts->member, facts->account_group},
                   .business_date = session->basket.business_date,
                   .facts = session->facts_bytes,
                   .facts_bytes = write_facts(session)};
    return seal_entry(session, entry, &seal, status);
}

status_t call_total(session_t *session)
{
    const total_request_t *request = &session->wire.total;
    bool is_training = request->context.training != 0;
    bool is_answered = false;
    session->is_voided_before = false;
    session->total.position = 0;
    session->missing_count = 0;
    session->captured_count = 0;
    begin_exchange(session);
    begin_change(session, REQUEST_TOTAL_BASKET, prepare_total);
    status_t status = judge_basket(session, &request->basket);
    status = answer_repeat(session, status, &is_answered);
    if (status != STATUS_OK || is_answered) return status;
    use_promised_program(session);
    status = resolve_basket(session, false);
    if (status == STATUS_OK) status = load_exchange(session);
    if (status != STATUS_OK) return status;
    bool is_changed;
    const accounts_view_t *view = ledger_pin(session->reader);
    own_total(session, view);
    own_fills(session, view);
    gather(session, view);
    status = judge_exchange(session, view, &is_changed);
    if (status == STATUS_OK) status = judge_unreceipted(session);
    if (status == STATUS_OK) status = decide(session);
    if (status == STATUS_OK && is_training) {
        status = write_total(session, NULL, &(hold_draft_t){0}, NULL);
    }
    ledger_unpin(session->reader);
    if (status != STATUS_OK || is_training) return status;
    return submit_change(session);
}

/* ------------------------------------------------------------------ the commit of a total ---- */

void note_missing(session_t *session, missing_t missing)
{
    if (session->missing_count < MISSING_MAX) session->missing[session->missing_count++] = missing;
}

/* The sale names a total that it can not have. A paid one is decided as if it named none. */
static status_t pass_over(session_t *session, uint32_t kind)
{
    session->total.position = 0;
    if (!is_paid(session)) {
        return fault_at(session->fault, STATUS_DECISION_CHANGED, "total_token");
    }
    note_missing(session, (missing_t){.kind = kind});
    return STATUS_OK;
}

/* Copies what was totalled out of the journal; false: the journal does not hold it any more. */
static bool copy_total(session_t *session, const token_t *token)
{
    total_t *total = &session->total;
    entry_t entry;
    if (ledger_read(session->reader, token->position, &entry) != STATUS_OK) return false;
    if (entry.header->kind != ENTRY_TOTAL || entry.header->lsn != token->lsn) return false;
    INVARIANT(entry.header->request_bytes <= sizeof total->request_bytes);
    INVARIANT(entry.header->facts_bytes <= sizeof total->facts_bytes);
    memcpy(total->request_bytes, entry.request, entry.header->request_bytes);
    memcpy(total->facts_bytes, entry.facts, entry.header->facts_bytes);
    total->request = (bytes_t){total->request_bytes, entry.header->request_bytes};
    INVARIANT(read_facts((bytes_t){total->facts_bytes, entry.header->facts_bytes},
                         &total->facts));
    return true;
}

/* Reads the commit request once more, whose memory in session->wire another was read into. */
static void read_commit(session_t *session, bytes_t sent, basket_t *basket)
{
    status_t status = wire_read(&session->wire, REQUEST_COMMIT_TRANSACTION, sent.at, sent.size,
                                basket, session->fault);
    INVARIANT(status == STATUS_OK);
}

status_t read_totalled(session_t *session, bytes_t request, hash128_t *goods)
{
    static const uint64_t no_secret[2] = {0, 0};
    bytes_t sent = session->wire.request;
    status_t status = wire_read(&session->wire, REQUEST_TOTAL_BASKET, request.at, request.size,
                                &session->basket, session->fault);
    if (status != STATUS_OK) return status;
    if (goods != NULL) *goods = wire_goods_hash(&session->wire, no_secret);
    read_commit(session, sent, NULL);
    const commit_request_t *commit = &session->wire.commit;
    session->basket.locale = commit->locale;
    session->basket.explain = commit->explain != 0;
    session->basket.near_miss_limit = 0;
    session->basket.training = commit->context.training != 0;
    return STATUS_OK;
}

/* Whether what was totalled can be posted: 0, else why not. Then session->basket is the total's
 * and session->live its program. */
static uint32_t take_total(session_t *session, const token_t *token)
{
    static const uint64_t no_secret[2] = {0, 0};
    total_t *total = &session->total;
    hash128_t sold = wire_goods_hash(&session->wire, no_secret);
    hash128_t totalled;
    if (!copy_total(session, token)) return EXCEPTION_TOTAL_UNKNOWN;
    status_t status = read_totalled(session, total->request, &totalled);
    INVARIANT(status == STATUS_OK);
    uint32_t fault = 0;
    if (sold.hi != totalled.hi || sold.lo != totalled.lo) fault = EXCEPTION_TOTAL_UNKNOWN;
    const facts_header_t *header = &total->facts.header;
    if (fault == 0
        && use_program(session, header->program_hash, header->catalogue_hash) != STATUS_OK) {
        fault = EXCEPTION_PROGRAM_NOT_KEPT;
    }
    if (fault != 0) read_commit(session, session->wire.request, &session->basket);
    return fault;
}

status_t load_total(session_t *session)
{
    total_t *total = &session->total;
    token_t token;
    if (!read_token(session, session->wire.commit.total_token, &token)) {
        return pass_over(session, EXCEPTION_TOTAL_UNKNOWN);
    }
    uint32_t fault = take_total(session, &token);
    if (fault != 0) return pass_over(session, fault);
    total->position = token.position;
    total->lsn = token.lsn;
    return STATUS_OK;
}

/* ------------------------------------------------------------------ what is still there ---- */

/* The account that the total was for: through all merges since, and as an enrolment or a first sale
 * has opened it. */
static account_t find_account(session_t *session, const accounts_view_t *view)
{
    const facts_t *facts = &session->facts;
    account_t account = {facts->member, facts->account_group};
    session->is_provisional_new = false;
    session->member_identity = (hash128_t){0, 0};
    if (account.member == 0) return account;
    for (uint32_t i = 0; i < session->found_count; i++) {
        const found_t *found = &session->found[i];
        const sent_identifier_t *sent = &session->wire.identifiers[i];
        uint64_t lsn;
        if (found->role != 1 || found->member != facts->member) continue;
        uint64_t now = find_identified(session, view, sent->kind, sent->value,
                                       &session->member_identity, &lsn);
        session->member_identity_kind = (uint8_t)sent->kind;
        if (found->result == FOUND_PROVISIONAL_NEW && now != 0) account.member = now;
        session->is_provisional_new = found->result == FOUND_PROVISIONAL_NEW && now == 0;
        break;
    }
    place_t place = find_survivor(session, view, &account.member);
    if (place.is_known) account.account_group = place.account_group;
    return account;
}

/* What is owed of a purse beyond what is left in the working copy's lots. */
static int64_t owed_beyond(const session_t *session, uint8_t purse)
{
    int32_t day = session->facts.business_day;
    int64_t owed = 0;
    for (uint32_t i = 0; i < session->cell_count; i++) {
        const cell_t *cell = &session->cells[i];
        bool is_active = cell->day >= day && activation_of(cell) <= day;
        if (cell->sub != purse) continue;
        if (cell->kind == CELL_DEBT) owed += cell->value;
        if (cell->kind == CELL_LOT && is_active) owed -= cell->value;
    }
    return owed > 0 ? owed : 0;
}

/* The points that pay, in the lots as they are now. Those that a hold keeps are there whatever is
 * owed; once it has ended they are no more than can be spent. */
static void judge_points(session_t *session, const accounts_view_t *view)
{
    hold_t hold;
    status_t status = STATUS_OK;
    bool is_kept = read_hold(session, view, session->total.lsn, &hold)
                   && hold.state == HOLD_STATE_OPEN;
    copy_cells(session, session->posted.at, session->posted.count);
    for (uint32_t i = 0; i < session->decision.redemption_count; i++) {
        const redemption_t *redemption = &session->decision.redemptions[i];
        int64_t left = move_burn(session, NULL, redemption->purse, session->facts.business_day,
                                 redemption->points, &status);
        bool may_be_short = left == 0 && !is_kept && !is_paid(session);
        if (may_be_short) left = owed_beyond(session, redemption->purse);
        if (left == 0) continue;
        note_missing(session, (missing_t){.kind = EXCEPTION_POINTS_SHORT,
                                          .number = redemption->purse,
                                          .points = left});
    }
}

/* By how much a sale passes a limit now; 0: it does not. Of a coupon: what read_counter says. */
static int64_t passed_by(session_t *session, const accounts_view_t *view, cells_t member,
                         const counted_t *counted)
{
    const program_t *program = session->live->program;
    const offer_t *offer = &program->offers[counted->offer];
    bool is_coupon = counted->scope == COUNT_SCOPE_COUPON;
    shared_counter_t counter = {.offer = is_coupon ? 0 : offer->key,
                                .window = counted->window,
                                .scope = counted->scope,
                                .number = counted->number};
    int64_t given = count_given(session, view, session->posted, member, &counter);
    if (is_coupon) return given;
    bool is_grant = counted->scope == COUNT_SCOPE_GRANT;
    int64_t most = is_grant ? 0 : program->limits[offer->first_limit + counted->number].most;
    given += counted->given;
    return given > most ? given - most : 0;
}

static void judge_counts(session_t *session, const accounts_view_t *view)
{
    const program_t *program = session->live->program;
    const facts_t *facts = &session->facts;
    record_key_t key = key_of(session, FAMILY_MEMBER, facts->account_group, facts->member);
    cells_t member = read_free(session, accounts_read(view, key), session->free_member,
                               &session->held_mark);
    uint32_t told = NONE_32;
    for (uint32_t i = 0; i < session->decision.counted_count; i++) {
        const counted_t *counted = &session->decision.counted[i];
        bool is_coupon = counted->scope == COUNT_SCOPE_COUPON;
        if (counted->given == 0 || (counted->offer == told && !is_coupon)) continue;
        int64_t over = passed_by(session, view, member, counted);
        if (over == 0) continue;
        if (is_coupon) {
            bool is_held = over == COUNT_COUPON_HELD;
            note_missing(session, (missing_t){.kind = is_held ? EXCEPTION_COUPON_HELD
                                                              : EXCEPTION_COUPON_USED,
                                              .number = counted->number});
            continue;
        }
        missing_t missing = {.kind = EXCEPTION_LIMIT_PASSED, .number = counted->offer};
        bool is_budget = counted->scope == LIMIT_SCOPE_STORE
                         || counted->scope == LIMIT_SCOPE_GLOBAL;
        const offer_t *offer = &program->offers[counted->offer];
        if (counted->scope != COUNT_SCOPE_GRANT
            && program->limits[offer->first_limit + counted->number].measure
                   == LIMIT_MEASURE_MONEY) {
            missing.amount_minor = over;
            if (is_budget) missing.kind = EXCEPTION_BUDGET_PASSED;
        }
        note_missing(session, missing);
        told = counted->offer;
    }
}

status_t judge_total(session_t *session, const accounts_view_t *view, account_t *account)
{
    facts_t *facts = &session->facts;
    const account_t decided = {facts->member, facts->account_group};
    session->missing_count = 0;
    *account = find_account(session, view);
    facts->member = account->member;
    facts->account_group = account->account_group;
    record_key_t group = key_of(session, FAMILY_GROUP, facts->account_group, 0);
    session->posted = (cells_t){NULL, 0};
    if (facts->member != 0) {
        session->posted = read_free(session, accounts_read(view, group), session->free_group,
                                    &session->held_mark);
    }
    if (find_open(session, view) != session->total.lsn) {
        note_missing(session, (missing_t){.kind = EXCEPTION_TOTAL_UNKNOWN});
    }
    judge_points(session, view);
    judge_counts(session, view);
    facts->member = decided.member;
    facts->account_group = decided.account_group;
    if (session->missing_count == 0 || is_paid(session)) return STATUS_OK;
    return fault_at(session->fault, STATUS_DECISION_CHANGED, "total_token");
}

uint32_t list_missing(session_t *session, uint32_t count)
{
    const program_t *program = session->live->program;
    for (uint32_t i = 0; i < session->missing_count; i++) {
        const missing_t *missing = &session->missing[i];
        exception_t exception = {.kind = missing->kind,
                                 .points = missing->points,
                                 .amount_minor = missing->amount_minor};
        if (missing->kind == EXCEPTION_POINTS_SHORT) {
            exception.purse_id = purse_id_of(program, missing->number);
        }
        bool is_coupon = missing->kind == EXCEPTION_COUPON_USED
                         || missing->kind == EXCEPTION_COUPON_HELD;
        if (is_coupon && missing->number < session->basket.coupon_count) {
            exception.text = session->basket.coupons[missing->number];
        }
        bool is_offer = missing->kind == EXCEPTION_LIMIT_PASSED
                        || missing->kind == EXCEPTION_BUDGET_PASSED;
        if (is_offer && missing->number < program->header->offer_count) {
            const offer_t *offer = &program->offers[missing->number];
            exception.offer_id = (bytes_t){program->strings + offer->id_text, offer->id_length};
        }
        if (missing->kind == EXCEPTION_ORIGINAL_UNKNOWN) exception.line_id = missing->number;
        bool is_hold = missing->kind == EXCEPTION_HOLD_EXPIRED
                       || missing->kind == EXCEPTION_HOLD_UNKNOWN;
        uint32_t line = missing->number - HOLD_CAPTURES_MAX;
        if (is_hold && missing->number >= HOLD_CAPTURES_MAX
            && line < session->wire.commit.basket.lines.count) {
            uint32_t sent = session->wire.commit.basket.lines.first + line;
            exception.text = session->wire.lines[sent].fuel.hold_id;
        } else if (is_hold && missing->number < session->wire.commit.hold_captures.count) {
            uint32_t capture = session->wire.commit.hold_captures.first + missing->number;
            exception.text = session->wire.hold_captures[capture].hold_id;
        }
        session->exceptions[count++] = exception;
    }
    return count;
}
