/* The calls that make, spend, release and extend holds, and who may. All is judged by the writer,
 * in the order of the journal: of two lanes that hold the same points one is told that they are not
 * there. What a hold is, and how records are read without it, is told in held.c. */
#include <string.h>

#include "engine_internal.h"
#include "invariant.h"
#include "rounding.h"

/* Limits of one offer: they are numbered in eight bits. */
#define LIMITS_MAX 256

/* ------------------------------------------------------------------ answers ---- */

uint32_t tell_hold(session_t *session, const hold_draft_t *draft, uint64_t number, uint8_t state,
                   int64_t create_unix_ms, uint32_t count)
{
    bool is_open = state == HOLD_STATE_OPEN;
    bool is_coupon = draft->kind == HOLD_KIND_COUPON;
    uint32_t first = count;
    hold_answer_t whole = {.number = number,
                           .kind = draft->kind,
                           .state = state,
                           .purse = draft->purse,
                           .offer = NONE_32,
                           .uses = is_open && !is_coupon ? draft->uses : 0,
                           .basket_id = draft->basket_id,
                           .store_id = draft->store_id,
                           .till_id = draft->till_id,
                           .create_unix_ms = create_unix_ms,
                           .expire_unix_ms = draft->expire_post_ms,
                           .owner = draft->owner};
    if (draft->offer != 0) whole.offer = find_offer(session->live->program, draft->offer);
    for (uint32_t purse = 1; purse <= PURSES_MAX && count < HOLDS_MAX; purse++) {
        if (draft->points[purse] == 0 || !is_open) continue;
        session->hold_answers[count] = whole;
        session->hold_answers[count].purse = purse;
        session->hold_answers[count++].points = draft->points[purse];
    }
    for (uint32_t i = 0; i < draft->coupon_count && count < HOLDS_MAX; i++) {
        const held_coupon_t *coupon = &draft->coupons[i];
        if (!is_open && !is_coupon) continue;
        memcpy(session->held_serials[count], coupon->serial, coupon->serial_bytes);
        session->hold_answers[count] = whole;
        session->hold_answers[count].offer = find_offer(session->live->program, coupon->offer);
        session->hold_answers[count].coupon_serial =
            (bytes_t){session->held_serials[count], coupon->serial_bytes};
        count++;
    }
    if (count == first && count < HOLDS_MAX) session->hold_answers[count++] = whole;
    return count;
}

/* What a hold that was made before still keeps, in the form in which one is asked for. */
static hold_draft_t draft_of(session_t *session, const hold_t *hold)
{
    hold_draft_t draft = {.kind = hold->kind,
                          .purse = hold->purse,
                          .expire_post_ms = hold->expire_post_ms,
                          .offer = hold->offer,
                          .uses = hold->uses,
                          .owner = hold_text(hold, HOLD_TEXT_OWNER),
                          .basket_id = hold_text(hold, HOLD_TEXT_BASKET_ID),
                          .store_id = hold_text(hold, HOLD_TEXT_STORE_ID),
                          .till_id = hold_text(hold, HOLD_TEXT_TILL_ID),
                          .coupons = session->held_coupons,
                          .coupon_count = list_held_coupons(hold, session->held_coupons)};
    for (uint8_t purse = 1; purse <= PURSES_MAX; purse++) {
        draft.points[purse] = held_points(hold, purse);
    }
    return draft;
}

/* A hold as it is. */
static uint32_t put_answers(session_t *session, const hold_t *hold, uint32_t count)
{
    hold_draft_t draft = draft_of(session, hold);
    return tell_hold(session, &draft, hold->number, hold->state, hold->create_post_ms, count);
}

/* Sorts numbers ascending: holds are numbered as they are made. */
static void sort_numbers(uint64_t *numbers, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        uint64_t number = numbers[i];
        uint32_t to = i;
        for (; to > 0 && numbers[to - 1] > number; to--) numbers[to] = numbers[to - 1];
        numbers[to] = number;
    }
}

uint32_t list_holds(session_t *session, const accounts_view_t *view)
{
    uint64_t numbers[HOLDS_MAX];
    uint32_t number_count = 0;
    uint32_t count = 0;
    uint64_t group_number = session->facts.account_group;
    if (group_number == 0) return 0;
    record_t group = accounts_read(view, key_of(session, FAMILY_GROUP, group_number, 0));
    for (uint32_t i = record_first(group, CELL_HOLD); i < group.head->cell_count; i++) {
        const cell_t *cell = &group.cells[i];
        if (cell->kind != CELL_HOLD || cell->sub != 0) break;
        if (cell->other <= post_time(session) || number_count == HOLDS_MAX) continue;
        numbers[number_count++] = cell->key;
    }
    sort_numbers(numbers, number_count);
    for (uint32_t i = 0; i < number_count; i++) {
        hold_t *hold = &session->holds[i];
        if (read_hold(session, view, numbers[i], hold)) count = put_answers(session, hold, count);
    }
    return count;
}

static account_t account_of(const hold_t *hold)
{
    return (account_t){hold->member, hold->account_group};
}

static int32_t date_of(const session_t *session, const accounts_view_t *view,
                       const entry_builder_t *entry)
{
    int32_t date = date_from_day(day_at_sender(session, entry->post_unix_ms));
    return open_date(session, view, session->wire.store_id, date);
}

/* The answer but its holds: the purses of the group as the entry leaves them. */
static holds_answer_t begin_answer(session_t *session, const accounts_view_t *view,
                                   const entry_builder_t *entry, uint64_t group)
{
    holds_answer_t answer = {.program = session->live->program,
                             .holds = session->hold_answers,
                             .balances = session->balances,
                             .hold_count = 1,
                             .posting = posting_of(entry, date_of(session, view, entry))};
    if (group == 0) return answer;
    cells_t cells = lay_entry(session, view, entry, key_of(session, FAMILY_GROUP, group, 0),
                              session->free_group);
    answer.balance_count = balances_of(cells.at, cells.count, session->live->program,
                                       day_at_sender(session, entry->post_unix_ms),
                                       session->balances);
    return answer;
}

static status_t seal_hold(const session_t *session, const accounts_view_t *view,
                          entry_builder_t *entry, uint16_t kind, account_t account,
                          status_t written)
{
    seal_t seal = {
        .kind = kind, .account = account, .business_date = date_of(session, view, entry)};
    return seal_entry(session, entry, &seal, written);
}

/* ------------------------------------------------------------------ make ---- */

static int64_t expire_of(const session_t *session, const entry_builder_t *entry, int64_t seconds)
{
    if (seconds == 0) seconds = (int64_t)session->live->program->header->hold_minutes * 60;
    return entry->post_unix_ms + seconds * 1000;
}

static status_t draft_points(session_t *session, hold_draft_t *draft)
{
    const create_hold_request_t *request = &session->wire.create_hold;
    uint32_t purse = find_name(session->live->program, name_key_of("purse", request->purse_id));
    if (purse == NONE_32) return fault_at(session->fault, STATUS_PURSE_UNKNOWN, "purse_id");
    draft->purse = (uint8_t)purse;
    draft->points[purse] = request->points;
    return STATUS_OK;
}

static int64_t available_points(session_t *session, uint32_t purse)
{
    uint32_t count = balances_of(session->facts.group_cells, session->facts.group_cell_count,
                                 session->live->program, session->facts.business_day,
                                 session->balances);
    for (uint32_t i = 0; i < count; i++) {
        if (session->balances[i].purse == purse) return session->balances[i].available;
    }
    return 0;
}

/* Keeps the uses in every limit of the offer that counts uses. */
static status_t draft_uses(session_t *session, hold_draft_t *draft,
                           shared_counter_t counts[LIMITS_MAX])
{
    const create_hold_request_t *request = &session->wire.create_hold;
    const program_t *program = session->live->program;
    uint32_t number = find_offer(program, name_key_of("offer", request->offer_id));
    if (number == NONE_32) return fault_at(session->fault, STATUS_OFFER_UNKNOWN, "offer_id");
    const offer_t *offer = &program->offers[number];
    draft->offer = offer->key;
    draft->uses = is_present(request->present, CREATE_HOLD_USES) ? request->uses : 1;
    for (uint32_t i = 0; i < offer->limit_count; i++) {
        const limit_t *limit = &program->limits[offer->first_limit + i];
        if (limit->measure != LIMIT_MEASURE_USES) continue;
        counts[draft->count_count++] =
            (shared_counter_t){.offer = offer->key,
                               .given = draft->uses,
                               .window = window_first_day(limit->window, draft->day),
                               .scope = limit->scope,
                               .number = limit->number};
    }
    draft->counts = counts;
    return STATUS_OK;
}

/* The offer that a coupon opens which can be used once only; NONE_32: there is none. */
static uint32_t find_single_offer(const session_t *session)
{
    const program_t *program = session->live->program;
    const gs1_coupon_t *scanned = &session->basket.scanned[0];
    uint64_t key = session->basket.coupon_keys[0];
    for (uint64_t at = key & program->coupon_mask; program->coupons != NULL && key != 0;
         at = (at + 1) & program->coupon_mask) {
        const coupon_slot_t *slot = &program->coupons[at];
        if (slot->coupon_key == 0) break;
        bool is_single = (program->offers[slot->offer].flags & OFFER_FLAG_SERIAL) != 0;
        if (slot->coupon_key == key && is_single) return slot->offer;
    }
    if (scanned->ai != GS1_8110 || scanned->fault != 0) return NONE_32;
    if (scanned->serial_digits == 0) return NONE_32;
    return program->header->scan_offers[scanned->is_store != 0] - 1; /* 0: NONE_32 */
}

/* A coupon that anybody may use again is nobody's to hold. */
static status_t draft_coupon(session_t *session, hold_draft_t *draft)
{
    const create_hold_request_t *request = &session->wire.create_hold;
    wire_fill_coupon(&request->coupon, &session->basket, 0);
    uint32_t number = find_single_offer(session);
    if (number == NONE_32) return fault_at(session->fault, STATUS_OFFER_UNKNOWN, "coupon");
    draft->offer = session->live->program->offers[number].key;
    draft->uses = 1;
    name_held_coupon(session, 0, request->coupon.serial, draft->offer, session->held_coupons);
    draft->coupons = session->held_coupons;
    draft->coupon_count = 1;
    return STATUS_OK;
}

/* Whether what is asked for is there: it is held from the moment at which this is judged. */
static status_t check_covered(session_t *session, const accounts_view_t *view,
                              const hold_draft_t *draft)
{
    const program_t *program = session->live->program;
    const facts_t *facts = &session->facts;
    cells_t group = {facts->group_cells, facts->group_cell_count};
    cells_t member = {facts->member_cells, facts->member_cell_count};
    if (draft->purse != 0
        && available_points(session, draft->purse) < draft->points[draft->purse]) {
        return fault_at(session->fault, STATUS_HOLD_NOT_COVERED, "points");
    }
    if (draft->coupon_count > 0) {
        const shared_counter_t used = {.scope = COUNT_SCOPE_COUPON};
        const shared_counter_t issued = {.scope = COUNT_SCOPE_ISSUED};
        bool is_good = count_given(session, view, group, member, &used) == 0;
        const offer_t *opened = &program->offers[find_offer(program, draft->offer)];
        if ((opened->flags & OFFER_FLAG_ISSUED) != 0) { /* its value is the last day */
            is_good &= count_given(session, view, group, member, &issued) >= draft->day;
        }
        if (!is_good) return fault_at(session->fault, STATUS_HOLD_NOT_COVERED, "coupon");
    }
    for (uint32_t i = 0; i < draft->count_count; i++) {
        const shared_counter_t *count = &draft->counts[i];
        const offer_t *offer = &program->offers[find_offer(program, count->offer)];
        const limit_t *limit = &program->limits[offer->first_limit + count->number];
        int64_t given = count_given(session, view, group, member, count);
        if (limit->most - given >= count->given) continue;
        return fault_at(session->fault, STATUS_HOLD_NOT_COVERED, "uses");
    }
    return STATUS_OK;
}

static status_t find_holder(session_t *session, const accounts_view_t *view, int32_t day)
{
    const create_hold_request_t *request = &session->wire.create_hold;
    facts_t *facts = &session->facts;
    facts->business_day = day;
    facts->store = find_store(session->live->catalogue,
                              name_key_of("store", session->wire.store_id));
    identify_all(session, view, session->wire.identifiers, request->identifiers.count);
    fill_found_facts(session, view, day);
    if (facts->member != 0 && !session->is_provisional_new) return STATUS_OK;
    return fault_at(session->fault, STATUS_MEMBER_UNKNOWN, "identifiers");
}

static status_t prepare_create(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    const create_hold_request_t *request = &session->wire.create_hold;
    shared_counter_t counts[LIMITS_MAX];
    session->post_unix_ms = entry->post_unix_ms;
    hold_draft_t draft = {.kind = (uint8_t)request->kind,
                          .day = day_at_sender(session, entry->post_unix_ms),
                          .expire_post_ms = expire_of(session, entry, request->hold_seconds),
                          .store_key = name_key_of("store", session->wire.store_id),
                          .owner = request->owner,
                          .basket_id = request->basket_id,
                          .store_id = session->wire.store_id,
                          .till_id = session->wire.till_id};
    status_t status = find_holder(session, view, draft.day);
    if (status == STATUS_OK) {
        switch (request->kind) {
        case HOLD_KIND_POINTS: status = draft_points(session, &draft); break;
        case HOLD_KIND_COUPON: status = draft_coupon(session, &draft); break;
        default: status = draft_uses(session, &draft, counts); break;
        }
    }
    if (status == STATUS_OK) status = place_hold(session, view, entry, &draft);
    if (status == STATUS_RECORD_CEILING) fault_at(session->fault, status, "identifiers");
    if (status == STATUS_OK) status = check_covered(session, view, &draft);
    if (status != STATUS_OK) return status;
    account_t account = {session->facts.member, session->facts.account_group};
    holds_answer_t answer = begin_answer(session, view, entry, account.account_group);
    tell_hold(session, &draft, entry->lsn, HOLD_STATE_OPEN, entry->post_unix_ms, 0);
    return seal_hold(session, view, entry, ENTRY_HOLD, account,
                     wire_write_holds(session->reply, &answer));
}

/* ------------------------------------------------------------------ spend, release, extend ---- */

/* The hold of an id, where the caller names its owner. */
static status_t find_hold(session_t *session, const accounts_view_t *view, bytes_t hold_id,
                          bytes_t owner, const char *place, hold_t *hold)
{
    uint64_t number = wire_hold_number(hold_id);
    uint64_t store_key = name_key_of("store", session->wire.store_id);
    bool is_known = number != 0 && read_hold(session, view, number, hold);
    if (is_known && hold->owner_key == hold_owner_key(owner, store_key)) return STATUS_OK;
    return fault_at(session->fault, STATUS_HOLD_UNKNOWN, "%s", place);
}

static status_t check_open(session_t *session, const hold_t *hold, const char *place)
{
    switch (hold->state) {
    case HOLD_STATE_OPEN: return STATUS_OK;
    case HOLD_STATE_EXPIRED: return fault_at(session->fault, STATUS_HOLD_EXPIRED, "%s", place);
    default: return fault_at(session->fault, STATUS_HOLD_CLOSED, "%s", place);
    }
}

/* What a hold keeps for a sale is spent by the commit of its token, or the one whose line names it:
 * how much that is only the decision knows. */
static bool needs_sale(const hold_t *hold)
{
    return hold->kind == HOLD_KIND_TOTAL || hold->kind == HOLD_KIND_FUEL;
}

/* What is to be spent of a hold, by default all of it. */
typedef struct spent {
    int64_t points_held;
    int64_t points;
    int64_t uses;
} spent_t;

static status_t judge_capture(session_t *session, const hold_t *hold, spent_t *spent)
{
    const hold_capture_t *capture = &session->wire.capture_hold.capture;
    *spent = (spent_t){.points_held = held_points(hold, hold->purse), .uses = hold->uses};
    spent->points = spent->points_held;
    if (is_present(capture->present, HOLD_CAPTURE_POINTS)) spent->points = capture->points;
    if (is_present(capture->present, HOLD_CAPTURE_USES)) spent->uses = capture->uses;
    if (is_present(capture->present, HOLD_CAPTURE_QUANTITY)) { /* that is the line's to say */
        return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE,
                        "capture.quantity_thousandths");
    }
    status_t status = check_open(session, hold, "capture.hold_id");
    if (status != STATUS_OK) return status;
    if (needs_sale(hold)) {
        return fault_at(session->fault, STATUS_HOLD_NEEDS_SALE, "capture.hold_id");
    }
    if (spent->points > spent->points_held) {
        return fault_at(session->fault, STATUS_HOLD_NOT_COVERED, "capture.points");
    }
    if (spent->uses > hold->uses) {
        return fault_at(session->fault, STATUS_HOLD_NOT_COVERED, "capture.uses");
    }
    return STATUS_OK;
}

/* Spends what is asked for; the rest stays held or is given back. *state: what becomes of it. */
static status_t move_capture(session_t *session, const accounts_view_t *view,
                             entry_builder_t *entry, const hold_t *hold, const spent_t *spent,
                             uint8_t *state)
{
    bool is_rest = spent->points < spent->points_held || spent->uses < hold->uses;
    bool is_kept = is_rest && session->wire.capture_hold.keep_rest != 0;
    status_t status = STATUS_OK;
    if (spent->points > 0) {
        status = burn_held(session, view, entry, hold, hold->purse, spent->points);
    }
    if (status == STATUS_OK && spent->uses > 0) {
        int64_t taken = 0;
        status = count_held(session, entry, hold, spent->uses, NULL, 0, &taken);
    }
    *state = HOLD_STATE_OPEN;
    if (status == STATUS_OK && is_kept && spent->points > 0) {
        status = take_held_points(session, entry, hold, hold->purse, spent->points);
    }
    if (status == STATUS_OK && is_kept && spent->uses > 0) {
        status = take_held_uses(session, entry, hold, spent->uses);
    }
    if (status != STATUS_OK || is_kept) return status;
    bool is_spent = spent->points > 0 || spent->uses > 0;
    *state = is_spent ? HOLD_STATE_CAPTURED : HOLD_STATE_RELEASED;
    return end_hold(session, entry, hold, *state);
}

static status_t prepare_capture(void *context, const accounts_view_t *view,
                                entry_builder_t *entry)
{
    session_t *session = context;
    const capture_hold_request_t *request = &session->wire.capture_hold;
    hold_t *hold = &session->holds[0];
    spent_t spent;
    uint8_t state = HOLD_STATE_OPEN;
    session->post_unix_ms = entry->post_unix_ms;
    status_t status = find_hold(session, view, request->capture.hold_id, request->capture.owner,
                                "capture.hold_id", hold);
    if (status == STATUS_OK) status = judge_capture(session, hold, &spent);
    if (status == STATUS_OK) status = move_capture(session, view, entry, hold, &spent, &state);
    if (status != STATUS_OK) return status;
    holds_answer_t answer = begin_answer(session, view, entry, hold->account_group);
    hold_draft_t left = draft_of(session, hold);
    left.points[hold->purse] -= spent.points;
    left.uses -= spent.uses;
    tell_hold(session, &left, hold->number, state, hold->create_post_ms, 0);
    answer.captured_points = spent.points;
    return seal_hold(session, view, entry, ENTRY_HOLD_CAPTURE, account_of(hold),
                     wire_write_capture(session->reply, &answer));
}

/* Gives a hold back, if there is anything to give back, and adds it to the answer. */
static status_t release(session_t *session, entry_builder_t *entry, hold_t *hold, uint32_t *count)
{
    status_t status = STATUS_OK;
    if (hold->state == HOLD_STATE_OPEN) {
        status = end_hold(session, entry, hold, HOLD_STATE_RELEASED);
        hold->state = HOLD_STATE_RELEASED;
    }
    *count = put_answers(session, hold, *count);
    return status;
}

static status_t release_basket(session_t *session, const accounts_view_t *view,
                               entry_builder_t *entry, uint32_t *count)
{
    const release_hold_request_t *request = &session->wire.release_hold;
    uint64_t store_key = name_key_of("store", session->wire.store_id);
    uint64_t owner_key = hold_owner_key(request->owner, store_key);
    uint64_t numbers[HOLDS_MAX];
    uint32_t number_count = list_basket_holds(session, view, store_key, request->basket_id,
                                              numbers);
    status_t status = STATUS_OK;
    uint32_t own_count = 0;
    sort_numbers(numbers, number_count);
    for (uint32_t i = 0; i < number_count && status == STATUS_OK; i++) {
        hold_t *hold = &session->holds[own_count];
        if (!read_hold(session, view, numbers[i], hold) || hold->owner_key != owner_key) continue;
        status = release(session, entry, hold, count);
        own_count++;
    }
    if (own_count == 0) session->holds[0] = (hold_t){0};
    return status;
}

static status_t prepare_release(void *context, const accounts_view_t *view,
                                entry_builder_t *entry)
{
    session_t *session = context;
    const release_hold_request_t *request = &session->wire.release_hold;
    const hold_t *first = &session->holds[0];
    uint32_t count = 0;
    status_t status = STATUS_OK;
    session->post_unix_ms = entry->post_unix_ms;
    if (request->hold_id.size == 0) {
        status = release_basket(session, view, entry, &count);
    } else {
        status = find_hold(session, view, request->hold_id, request->owner, "hold_id",
                           &session->holds[0]);
        if (status == STATUS_OK) status = release(session, entry, &session->holds[0], &count);
    }
    if (status != STATUS_OK) return status;
    holds_answer_t answer = begin_answer(session, view, entry, first->account_group);
    answer.hold_count = count;
    return seal_hold(session, view, entry, ENTRY_HOLD_RELEASE, account_of(first),
                     wire_write_holds(session->reply, &answer));
}

/* A hold never ends sooner by being extended. */
static status_t prepare_extend(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    const extend_hold_request_t *request = &session->wire.extend_hold;
    hold_t *hold = &session->holds[0];
    session->post_unix_ms = entry->post_unix_ms;
    status_t status = find_hold(session, view, request->hold_id, request->owner, "hold_id", hold);
    if (status == STATUS_OK) status = check_open(session, hold, "hold_id");
    if (status != STATUS_OK) return status;
    int64_t expire_ms = expire_of(session, entry, request->hold_seconds);
    if (expire_ms < hold->expire_post_ms) expire_ms = hold->expire_post_ms;
    status = extend_hold(session, entry, hold, expire_ms);
    if (status != STATUS_OK) return status;
    holds_answer_t answer = begin_answer(session, view, entry, 0);
    put_answers(session, hold, 0);
    return seal_hold(session, view, entry, ENTRY_HOLD_EXTEND, account_of(hold),
                     wire_write_extend(session->reply, &answer));
}

/* ------------------------------------------------------------------ with a sale ---- */

static const hold_capture_t *capture_at(const session_t *session, uint32_t index)
{
    return &session->wire.hold_captures[session->wire.commit.hold_captures.first + index];
}

/* The hold that a capture names, in session->holds (number 0: there is none of that owner); false
 * also where it can not be captured. */
static bool find_captured(session_t *session, const accounts_view_t *view, uint32_t index)
{
    const hold_capture_t *capture = capture_at(session, index);
    uint64_t store_key = name_key_of("store", session->wire.store_id);
    uint64_t number = wire_hold_number(capture->hold_id);
    hold_t *hold = &session->holds[index];
    bool is_known = number != 0 && read_hold(session, view, number, hold);
    bool is_own = is_known && hold->owner_key == hold_owner_key(capture->owner, store_key);
    if (!is_own) hold->number = 0;
    return is_own && !needs_sale(hold);
}

void own_captures(session_t *session, const accounts_view_t *view)
{
    for (uint32_t i = 0; i < session->wire.commit.hold_captures.count; i++) {
        if (!find_captured(session, view, i)) continue;
        if (session->holds[i].state != HOLD_STATE_OPEN) continue;
        if (is_own_hold(session, session->holds[i].number)) continue; /* named twice */
        INVARIANT(session->own_hold_count < OWN_HOLDS_MAX);
        session->own_holds[session->own_hold_count++] = session->holds[i].number;
    }
}

/* What a capture can not have: refused, unless the sale is paid; then it is told. */
static status_t refuse_capture(session_t *session, uint32_t index, status_t status,
                               const char *field, missing_t missing)
{
    if (!is_paid(session)) {
        return fault_at(session->fault, status, "hold_captures[%u].%s", index, field);
    }
    note_missing(session, missing);
    return STATUS_OK;
}

static status_t check_captured(session_t *session, const accounts_view_t *view, uint32_t index,
                               const account_t *account)
{
    const hold_t *hold = &session->holds[index];
    const missing_t unknown = {.kind = EXCEPTION_HOLD_UNKNOWN, .number = index};
    bool is_found = find_captured(session, view, index);
    if (!is_found || hold->account_group != account->account_group) {
        bool is_other = !is_found && hold->number != 0;
        return refuse_capture(session, index,
                              is_other ? STATUS_HOLD_NEEDS_SALE : STATUS_HOLD_UNKNOWN, "hold_id",
                              unknown);
    }
    bool is_named_before = false;
    for (uint32_t i = 0; i < index; i++) {
        is_named_before |= session->holds[i].number == hold->number;
    }
    bool is_open = hold->state == HOLD_STATE_OPEN;
    session->captures[index].is_open = is_open && !is_named_before;
    session->captures[index].is_ended = hold->state == HOLD_STATE_EXPIRED && !is_named_before;
    if (session->captures[index].is_open || session->captures[index].is_ended) return STATUS_OK;
    return refuse_capture(session, index, STATUS_HOLD_CLOSED, "hold_id", unknown);
}

/* What a capture names, by default all that is kept: at most that. */
static status_t read_capture(session_t *session, uint32_t index)
{
    const hold_capture_t *sent = capture_at(session, index);
    const hold_t *hold = &session->holds[index];
    capture_t *capture = &session->captures[index];
    int64_t kept = held_points(hold, hold->purse);
    status_t status = STATUS_OK;
    capture->points = is_present(sent->present, HOLD_CAPTURE_POINTS) ? sent->points : kept;
    capture->uses = is_present(sent->present, HOLD_CAPTURE_USES) ? sent->uses : hold->uses;
    if (capture->points > kept) {
        missing_t missing = {.kind = EXCEPTION_POINTS_SHORT,
                             .number = hold->purse,
                             .points = capture->points - kept};
        status = refuse_capture(session, index, STATUS_HOLD_NOT_COVERED, "points", missing);
        capture->points = kept;
    }
    if (status == STATUS_OK && capture->uses > hold->uses) {
        missing_t missing = {.kind = EXCEPTION_LIMIT_PASSED,
                             .number = find_offer(session->live->program, hold->offer)};
        status = refuse_capture(session, index, STATUS_HOLD_NOT_COVERED, "uses", missing);
        capture->uses = hold->uses;
    }
    return status;
}

/* A hold that ended by itself keeps nothing: the sale is decided without it, and points that it
 * was to spend are spent as far as they are there, by the program's policy. */
static status_t judge_expired(session_t *session, uint32_t index, int64_t missing_points)
{
    uint32_t policy = session->live->program->header->expired_hold_policy;
    missing_t missing = {.kind = EXCEPTION_HOLD_EXPIRED,
                         .number = index,
                         .points = missing_points};
    if (policy == EXPIRED_HOLD_SPEND || is_paid(session)) {
        note_missing(session, missing);
        return STATUS_OK;
    }
    return refuse_capture(session, index, STATUS_HOLD_EXPIRED, "hold_id", missing);
}

/* How many of the points that a capture names are spent beyond those that pay, which come first.
 * The working copy is what those leave. */
static status_t judge_points_of(session_t *session, uint32_t index, int64_t pays[PURSES_MAX + 1])
{
    const hold_t *hold = &session->holds[index];
    capture_t *capture = &session->captures[index];
    captured_t *captured = &session->captured[session->captured_count];
    uint8_t purse = hold->purse;
    status_t status = STATUS_OK;
    int64_t kept = capture->is_open ? held_points(hold, purse) : capture->points;
    int64_t taken = pays[purse] < kept ? pays[purse] : kept;
    int64_t beyond = capture->points > taken ? capture->points - taken : 0;
    pays[purse] -= taken;
    if (taken > capture->points) capture->points = taken;
    *captured = (captured_t){.purse = purse,
                             .day = capture->is_open ? hold->day : session->facts.business_day,
                             .points = beyond};
    int64_t left = burn_captured(session, NULL, captured, &status);
    captured->points -= left;
    if (captured->points > 0) session->captured_count++;
    if (!capture->is_open) return judge_expired(session, index, left);
    if (left > 0) {
        note_missing(session, (missing_t){.kind = EXCEPTION_POINTS_SHORT,
                                          .number = purse,
                                          .points = left});
    }
    return STATUS_OK;
}

status_t judge_captures(session_t *session, const accounts_view_t *view, const account_t *account)
{
    const decision_t *decision = &session->decision;
    uint32_t count = session->wire.commit.hold_captures.count;
    int64_t pays[PURSES_MAX + 1] = {0};
    status_t status = STATUS_OK;
    if (count == 0) return STATUS_OK;
    memset(session->captures, 0, sizeof session->captures);
    if (session->is_voided_before) return STATUS_OK; /* its holds end by themselves */
    for (uint32_t i = 0; i < decision->redemption_count; i++) {
        pays[decision->redemptions[i].purse] += decision->redemptions[i].points;
    }
    status = move_burns(session, NULL);
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        uint32_t missing_count = session->missing_count;
        if (is_present(capture_at(session, i)->present, HOLD_CAPTURE_QUANTITY)) {
            return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE,
                            "hold_captures[%u].quantity_thousandths", i);
        }
        status = check_captured(session, view, i, account);
        if (status != STATUS_OK || session->missing_count > missing_count) continue;
        status = read_capture(session, i);
        if (status == STATUS_OK) status = judge_points_of(session, i, pays);
    }
    return status;
}

/* What the sale counts by itself: uses of a hold that are among these are not counted twice. */
static uint32_t list_counted(session_t *session)
{
    const decision_t *decision = &session->decision;
    for (uint32_t i = 0; i < decision->counted_count; i++) {
        const counted_t *counted = &decision->counted[i];
        session->counts[i] =
            (shared_counter_t){.offer = session->live->program->offers[counted->offer].key,
                               .given = counted->given,
                               .window = counted->window,
                               .scope = counted->scope,
                               .number = counted->number};
    }
    return decision->counted_count;
}

status_t move_captures(session_t *session, entry_builder_t *entry)
{
    if (session->wire.kind != REQUEST_COMMIT_TRANSACTION) return STATUS_OK;
    uint32_t counted_count = list_counted(session);
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < session->captured_count && status == STATUS_OK; i++) {
        int64_t left = burn_captured(session, entry, &session->captured[i], &status);
        INVARIANT(left == 0 || status != STATUS_OK);
    }
    for (uint32_t i = 0; i < session->wire.commit.hold_captures.count; i++) {
        const capture_t *capture = &session->captures[i];
        int64_t taken = capture->points;
        if (status != STATUS_OK) break;
        if (capture->is_ended) status = spend_ended(session, entry, &session->holds[i]);
        if (!capture->is_open) continue;
        status = count_held(session, entry, &session->holds[i], capture->uses, session->counts,
                            counted_count, &taken);
        if (status != STATUS_OK) break;
        status = end_hold(session, entry, &session->holds[i],
                          taken > 0 ? HOLD_STATE_CAPTURED : HOLD_STATE_RELEASED);
    }
    return status;
}

/* ------------------------------------------------------------------ calls ---- */

static status_t change_hold(session_t *session, uint32_t kind,
                            status_t (*prepare)(void *, const accounts_view_t *,
                                                entry_builder_t *))
{
    bool is_answered = false;
    begin_change(session, kind, prepare);
    status_t status = check_sender(session, "context.store_id");
    status = answer_repeat(session, status, &is_answered);
    if (status != STATUS_OK || is_answered) return status;
    return submit_change(session);
}

status_t call_create_hold(session_t *session)
{
    return change_hold(session, REQUEST_CREATE_HOLD, prepare_create);
}

status_t call_capture_hold(session_t *session)
{
    return change_hold(session, REQUEST_CAPTURE_HOLD, prepare_capture);
}

status_t call_release_hold(session_t *session)
{
    return change_hold(session, REQUEST_RELEASE_HOLD, prepare_release);
}

status_t call_extend_hold(session_t *session)
{
    return change_hold(session, REQUEST_EXTEND_HOLD, prepare_extend);
}
