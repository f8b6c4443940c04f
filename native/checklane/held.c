/* What is held: points, counts of limits, granted uses, coupons, set aside under a time limit.
 *
 * A hold is a record of its own, and a reference in each record from which it holds. Points stay
 * in their lots: a reference says how many a hold keeps of a purse, and whoever reads the record
 * gets a working copy without them. The copy takes them out of the lots that were active on the day
 * of the hold, the earliest expiry first; what is kept stands in the lot's `other`. So a lot that
 * expires after the hold was made still backs it, and a hold is never short of what it was made
 * with. Counts are added to the counters of the copy. Everything that decides, burns, journals its
 * facts or tells a balance works on that copy and knows nothing of holds. A coupon that is kept has
 * the reference in its own record, which whoever judges it reads.
 *
 * A hold ends by itself: its reference carries the post time, which no jump of a clock moves, and a
 * reader passes over what is past it. Nothing has to run. The references that are left are swept
 * out of a record by the next entries that touch it, as movements that record what reads said
 * before.
 *
 * A record without references costs a look at its last cell. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine_internal.h"
#include "invariant.h"

#define TEXT_PIECE_BYTES 16
#define TEXT_PIECES_MAX (ID_BYTES_MAX / TEXT_PIECE_BYTES)

_Static_assert(COUNTED_MAX <= 1 << HELD_ORDINAL_BITS, "each counter of a decision has an ordinal");

/* ------------------------------------------------------------------ names ---- */

static record_key_t hashed_key(const session_t *session, const void *bytes, size_t size)
{
    static const uint64_t no_secret[2] = {0, 0};
    hash128_t hash = siphash128(no_secret, bytes, size);
    return key_of(session, FAMILY_RECEIPT, hash.hi, hash.lo);
}

static record_key_t hold_key(const session_t *session, uint64_t number)
{
    uint8_t text[5 + sizeof number] = "hold:";
    memcpy(text + 5, &number, sizeof number);
    return hashed_key(session, text, sizeof text);
}

static record_key_t basket_key(const session_t *session, uint64_t store_key, bytes_t basket_id)
{
    uint8_t text[7 + sizeof store_key + ID_BYTES_MAX] = "basket:";
    INVARIANT(basket_id.size > 0);
    INVARIANT(basket_id.size <= ID_BYTES_MAX);
    memcpy(text + 7, &store_key, sizeof store_key);
    memcpy(text + 7 + sizeof store_key, basket_id.at, basket_id.size);
    return hashed_key(session, text, 7 + sizeof store_key + basket_id.size);
}

/* Who may spend a hold: whoever names the owner; without one, the store. */
uint64_t hold_owner_key(bytes_t owner, uint64_t store_key)
{
    return owner.size == 0 ? store_key : name_key_of("owner", owner);
}

/* The step of post time at whose end an offer's record lets go of what is held until then. */
static uint64_t step_of(int64_t expire_post_ms)
{
    return (uint64_t)((expire_post_ms + HELD_STEP_MS - 1) / HELD_STEP_MS);
}

int64_t post_time(session_t *session)
{
    if (session->post_unix_ms == 0) {
        session->post_unix_ms = ledger_post_unix_ms(session->engine->ledger);
    }
    return session->post_unix_ms;
}

static void find_own(session_t *session)
{
    if (session->own_view != NULL) own_total(session, session->own_view);
}

bool is_own_hold(session_t *session, uint64_t number)
{
    find_own(session);
    for (uint32_t i = 0; i < session->own_hold_count; i++) {
        if (session->own_holds[i] == number) return true;
    }
    return false;
}

/* ------------------------------------------------------------------ reading ---- */

static uint32_t first_held(const cell_t *cells, uint32_t count)
{
    while (count > 0 && cells[count - 1].kind >= CELL_HOLD) count--;
    return count;
}

/* Whether a reference takes something from the decision at hand. */
static bool is_against(session_t *session, const cell_t *hold)
{
    return hold->other > post_time(session) && !is_own_hold(session, hold->key);
}

/* The reference to the hold that a count belongs to; NULL: it has none. */
static const cell_t *hold_of_count(const cell_t *cells, uint32_t count, const cell_t *held)
{
    uint64_t number = held->key >> HELD_ORDINAL_BITS;
    for (uint32_t i = first_held(cells, count); i < count && cells[i].kind == CELL_HOLD; i++) {
        if (cells[i].sub == 0 && cells[i].key == number) return &cells[i];
    }
    return NULL;
}

/* Takes points out of lots, the earliest expiry first (the order of cells). `any_day`: of whatever
 * is there, for a hold whose lots have gone another way since. */
static int64_t back_points(cell_t *cells, uint32_t count, const cell_t *hold, int64_t points,
                           bool any_day)
{
    for (uint32_t i = 0; i < count && points > 0; i++) {
        cell_t *lot = &cells[i];
        if (lot->kind != CELL_LOT || lot->sub != hold->sub || lot->value <= 0) continue;
        bool is_active = lot->day >= hold->day && activation_of(lot) <= hold->day;
        if (!is_active && !any_day) continue;
        int64_t kept = lot->value < points ? lot->value : points;
        lot->value -= kept;
        lot->other += kept;
        points -= kept;
    }
    return points;
}

/* Adds to a cell of a sorted list, which has room for one more. */
static uint32_t add_sorted(cell_t *cells, uint32_t count, cell_t cell)
{
    uint32_t at = count;
    while (at > 0 && cell_compare(&cells[at - 1], &cell) > 0) at--;
    if (at > 0 && cell_compare(&cells[at - 1], &cell) == 0) {
        cells[at - 1].value += cell.value;
        return count;
    }
    memmove(&cells[at + 1], &cells[at], (count - at) * sizeof *cells);
    cells[at] = cell;
    return count + 1;
}

/* The counter that a count keeps from, or the grant that it takes from. */
static cell_t counter_of(const cell_t *held)
{
    if (held->sub == COUNTED_NO_LIMIT) {
        return (cell_t){.kind = CELL_GRANT, .key = (uint64_t)held->other, .value = -held->value};
    }
    return (cell_t){.kind = CELL_COUNTER,
                    .sub = held->sub,
                    .day = held->day,
                    .key = (uint64_t)held->other,
                    .value = held->value};
}

/* A copy has never more cells than its record: each count becomes at most one counter. References
 * that are past stay in it, where the sweep finds them. */
static uint32_t copy_without_held(session_t *session, const cell_t *cells, uint32_t count,
                                  cell_t *copy)
{
    uint32_t first = first_held(cells, count);
    uint32_t copied = first;
    if (first > 0) memcpy(copy, cells, first * sizeof *cells);
    for (uint32_t i = first; i < count && cells[i].kind == CELL_HOLD; i++) {
        if (cells[i].sub == 0 || !is_against(session, &cells[i])) continue;
        int64_t left = back_points(copy, copied, &cells[i], cells[i].value, false);
        back_points(copy, copied, &cells[i], left, true);
    }
    for (uint32_t i = first; i < count; i++) {
        if (cells[i].kind != CELL_HELD) continue;
        const cell_t *hold = hold_of_count(cells, count, &cells[i]);
        if (hold == NULL || !is_against(session, hold)) continue;
        copied = add_sorted(copy, copied, counter_of(&cells[i]));
    }
    for (uint32_t i = first; i < count; i++) {
        if (!is_past_held(FAMILY_GROUP, cells, count, &cells[i], post_time(session))) continue;
        copy[copied++] = cells[i];
    }
    INVARIANT(copied <= count);
    return copied;
}

cells_t read_free(session_t *session, record_t record, cell_t copy[RECORD_CELLS_MAX],
                  uint64_t *mark)
{
    uint32_t count = record.head->cell_count;
    const cell_t *cells = record.cells;
    if (count == 0 || cells[count - 1].kind < CELL_HOLD) return (cells_t){cells, count};
    for (uint32_t i = first_held(cells, count); i < count && cells[i].kind == CELL_HOLD; i++) {
        if (is_against(session, &cells[i])) *mark += mix64(cells[i].key + cells[i].sub);
    }
    return (cells_t){copy, copy_without_held(session, cells, count, copy)};
}

/* What a hold of the decision at hand keeps of an offer's counter. */
static int64_t own_share(session_t *session, const accounts_view_t *view, uint64_t number,
                         const shared_counter_t *counter)
{
    record_t record = accounts_read(view, hold_key(session, number));
    uint32_t at = record_first(record, CELL_HOLD_HEAD);
    int64_t own = 0;
    if (at == record.head->cell_count) return 0;
    if ((int64_t)step_of(record.cells[at].other) * HELD_STEP_MS <= post_time(session)) return 0;
    for (uint32_t i = record_first(record, CELL_HELD); i < at; i++) {
        const cell_t *held = &record.cells[i];
        if (held->kind != CELL_HELD || held->key >> HELD_ORDINAL_BITS != counter->scope) continue;
        if (held->sub != counter->number || held->day != counter->window) continue;
        if ((uint64_t)held->other == counter->offer) own += held->value;
    }
    return own;
}

int64_t held_of_counter(session_t *session, const accounts_view_t *view, record_t record,
                        const shared_counter_t *counter)
{
    uint32_t count = record.head->cell_count;
    int64_t held = 0;
    if (count == 0 || record.cells[count - 1].kind < CELL_HOLD) return 0;
    bool is_card = counter->scope == LIMIT_SCOPE_CARD;
    for (uint32_t i = first_held(record.cells, count); i < count; i++) {
        const cell_t *cell = &record.cells[i];
        if (cell->kind != CELL_HELD || cell->sub != counter->number) continue;
        if (cell->day != counter->window) continue;
        if (!is_card) {
            bool is_open = (int64_t)cell->key * HELD_STEP_MS > post_time(session);
            held += is_open ? cell->value : 0;
            continue;
        }
        const cell_t *hold = hold_of_count(record.cells, count, cell);
        if ((uint64_t)cell->other != counter->offer || hold == NULL) continue;
        if (is_against(session, hold)) held += cell->value;
    }
    find_own(session);
    for (uint32_t i = 0; !is_card && i < session->own_hold_count; i++) {
        held -= own_share(session, view, session->own_holds[i], counter);
    }
    return held;
}

bool is_coupon_held(session_t *session, record_t record)
{
    uint32_t count = record.head->cell_count;
    for (uint32_t i = first_held(record.cells, count); i < count; i++) {
        if (is_against(session, &record.cells[i])) return true;
    }
    return false;
}

/* ------------------------------------------------------------------ coupons ---- */

static record_key_t coupon_key(const session_t *session, hash128_t id)
{
    return key_of(session, FAMILY_COUPON, id.hi, id.lo);
}

void name_held_coupon(const session_t *session, uint32_t index, bytes_t serial, uint64_t offer,
                      held_coupon_t *coupon)
{
    const gs1_coupon_t *scanned = &session->basket.scanned[index];
    coupon->id = session->basket.coupon_ids[index];
    coupon->offer = offer;
    coupon->serial_bytes = 0;
    if (scanned->ai == GS1_NONE || scanned->fault != 0) {
        INVARIANT(serial.size <= sizeof coupon->serial);
        if (serial.size > 0) memcpy(coupon->serial, serial.at, serial.size);
        coupon->serial_bytes = serial.size;
    } else if (scanned->serial_digits > 0) {
        coupon->serial_bytes = (uint32_t)snprintf((char *)coupon->serial, sizeof coupon->serial,
                                                  "%0*" PRIu64, scanned->serial_digits,
                                                  scanned->serial);
    }
}

uint32_t list_held_coupons(const hold_t *hold, held_coupon_t coupons[COUPONS_MAX])
{
    record_t record = hold->record;
    uint32_t count = 0;
    for (uint32_t i = record_first(record, CELL_HOLD_COUPON); i < record.head->cell_count; i++) {
        const cell_t *cell = &record.cells[i];
        INVARIANT(cell->sub < COUPONS_MAX);
        held_coupon_t *coupon = &coupons[cell->sub];
        if (cell->kind == CELL_HOLD_COUPON) {
            *coupon = (held_coupon_t){.id = {cell->key, (uint64_t)cell->value},
                                      .offer = (uint64_t)cell->other,
                                      .serial_bytes = (uint32_t)cell->day};
            count++;
        } else if (cell->kind == CELL_HOLD_SERIAL) {
            INVARIANT((size_t)cell->day < sizeof coupon->serial / TEXT_PIECE_BYTES);
            uint8_t *piece = coupon->serial + (size_t)cell->day * TEXT_PIECE_BYTES;
            memcpy(piece, &cell->value, 8);
            memcpy(piece + 8, &cell->other, 8);
        }
    }
    return count;
}

/* ------------------------------------------------------------------ one hold ---- */

static void read_texts(record_t record, hold_t *hold)
{
    for (uint32_t i = record_first(record, CELL_HOLD_TEXT); i < record.head->cell_count; i++) {
        const cell_t *cell = &record.cells[i];
        uint32_t text = cell->sub / 16;
        uint32_t piece = cell->sub % 16;
        if (cell->kind != CELL_HOLD_TEXT || text >= HOLD_TEXTS || piece >= TEXT_PIECES_MAX) return;
        hold->text_bytes[text] = (uint8_t)cell->day;
        memcpy(hold->texts[text] + (size_t)piece * TEXT_PIECE_BYTES, &cell->value, 8);
        memcpy(hold->texts[text] + (size_t)piece * TEXT_PIECE_BYTES + 8, &cell->other, 8);
    }
}

bytes_t hold_text(const hold_t *hold, uint32_t text)
{
    return (bytes_t){hold->texts[text], hold->text_bytes[text]};
}

/* A member that was merged since, and its group: where the references are now. */
static void follow_merges(session_t *session, const accounts_view_t *view, hold_t *hold)
{
    if (hold->account_group == 0) return;
    place_t place = find_survivor(session, view, &hold->member);
    hold->account_group = find_group(session, view, hold->account_group);
    hold->member_group = place.is_known ? place.account_group : hold->account_group;
}

bool read_hold(session_t *session, const accounts_view_t *view, uint64_t number, hold_t *hold)
{
    memset(hold, 0, sizeof *hold);
    hold->number = number;
    hold->record = accounts_read(view, hold_key(session, number));
    record_t record = hold->record;
    uint32_t head = record_first(record, CELL_HOLD_HEAD);
    if (head == record.head->cell_count) return false;
    INVARIANT(record.cells[head].kind == CELL_HOLD_HEAD);
    hold->kind = record.cells[head].sub;
    hold->purse = (uint8_t)record.cells[head].day;
    hold->owner_key = record.cells[head].key;
    hold->state = (uint8_t)record.cells[head].value;
    hold->expire_post_ms = record.cells[head].other;
    bool is_past = hold->expire_post_ms <= post_time(session);
    if (hold->state == HOLD_STATE_OPEN && is_past) hold->state = HOLD_STATE_EXPIRED;
    for (uint32_t i = head; i < record.head->cell_count; i++) {
        const cell_t *cell = &record.cells[i];
        if (cell->kind == CELL_HOLD_WHOSE) {
            hold->day = cell->day;
            hold->account_group = cell->key;
            hold->member = (uint64_t)cell->value;
            hold->create_post_ms = cell->other;
        } else if (cell->kind == CELL_HOLD_WHERE) {
            hold->referring = cell->sub;
            hold->store_key = (uint64_t)cell->value;
            hold->card = (hash128_t){cell->key, (uint64_t)cell->other};
        } else if (cell->kind == CELL_HOLD_USES) {
            hold->offer = cell->key;
            hold->uses = cell->value;
        }
    }
    read_texts(record, hold);
    follow_merges(session, view, hold);
    return true;
}

int64_t held_points(const hold_t *hold, uint8_t purse)
{
    for (uint32_t i = 0; i < hold->record.head->cell_count; i++) {
        const cell_t *cell = &hold->record.cells[i];
        if (cell->kind == CELL_HOLD && cell->sub == purse) return cell->value;
    }
    return 0;
}

uint32_t list_basket_holds(session_t *session, const accounts_view_t *view, uint64_t store_key,
                           bytes_t basket_id, uint64_t numbers[HOLDS_MAX])
{
    uint32_t count = 0;
    if (basket_id.size == 0) return 0;
    record_t record = accounts_read(view, basket_key(session, store_key, basket_id));
    for (uint32_t i = 0; i < record.head->cell_count && count < HOLDS_MAX; i++) {
        if (record.cells[i].kind == CELL_HOLD) numbers[count++] = record.cells[i].key;
    }
    return count;
}

uint64_t find_total_hold(session_t *session, const accounts_view_t *view, uint64_t store_key,
                         bytes_t basket_id)
{
    if (basket_id.size == 0) return 0;
    record_t record = accounts_read(view, basket_key(session, store_key, basket_id));
    for (uint32_t i = 0; i < record.head->cell_count; i++) {
        const cell_t *cell = &record.cells[i];
        if (cell->kind == CELL_HOLD && cell->sub == HOLD_KIND_TOTAL) return cell->key;
    }
    return 0;
}

/* Cells come to stand in their order again; most of them do. */
static void sort_cells(cell_t *cells, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        cell_t cell = cells[i];
        uint32_t to = i;
        for (; to > 0 && cell_compare(&cells[to - 1], &cell) > 0; to--) cells[to] = cells[to - 1];
        cells[to] = cell;
    }
}

cells_t lay_entry(session_t *session, const accounts_view_t *view, const entry_builder_t *entry,
                  record_key_t key, cell_t copy[RECORD_CELLS_MAX])
{
    record_t record = accounts_read(view, key);
    uint64_t mark = 0;
    copy_cells(session, record.cells, record.head->cell_count);
    for (uint32_t i = 0; i < entry->movement_count; i++) {
        const movement_t *movement = &entry->movements[i];
        bool is_added = movement->op == MOVEMENT_ADD;
        if (is_added && memcmp(&movement->record, &key, sizeof key) == 0) {
            add_cell(session, movement->cell);
        }
    }
    sort_cells(session->cells, session->cell_count);
    record_head_t head = {.cell_count = session->cell_count};
    cells_t laid = read_free(session, (record_t){&head, session->cells}, copy, &mark);
    if (laid.at != copy && laid.count > 0) memcpy(copy, laid.at, laid.count * sizeof *copy);
    return (cells_t){copy, laid.count};
}

/* ------------------------------------------------------------------ changing ---- */

static status_t move(entry_builder_t *entry, record_key_t record, cell_t cell)
{
    uint32_t reason = cell.value < 0 || (cell.value == 0 && cell.other < 0) ? REASON_RELEASE
                                                                           : REASON_HOLD;
    return entry_builder_move(entry, record, cell, MOVEMENT_ADD, reason);
}

static status_t put(entry_builder_t *entry, record_key_t record, cell_t cell)
{
    return entry_builder_move(entry, record, cell, MOVEMENT_SET, REASON_HOLD);
}

static record_key_t held_record(const session_t *session, const hold_t *hold, uint32_t scope,
                                uint64_t offer)
{
    switch (scope) {
    case LIMIT_SCOPE_GROUP: return key_of(session, FAMILY_GROUP, hold->account_group, 0);
    case LIMIT_SCOPE_STORE: return key_of(session, FAMILY_OFFER, offer, hold->store_key);
    case LIMIT_SCOPE_GLOBAL: return key_of(session, FAMILY_OFFER, offer, 0);
    case LIMIT_SCOPE_CARD: break;
    default: return key_of(session, FAMILY_MEMBER, hold->member_group, hold->member);
    }
    if (hold->card.hi == 0 && hold->card.lo == 0) {
        return key_of(session, FAMILY_IDENTITY, 0, hold->member);
    }
    return key_of(session, FAMILY_IDENTITY, hold->card.hi, hold->card.lo);
}

static bool is_shared(uint32_t scope)
{
    return scope == LIMIT_SCOPE_STORE || scope == LIMIT_SCOPE_GLOBAL;
}

/* Changes by `value` what the hold keeps of one counter, in its record and where it keeps it.
 * `other`: the offer's key when this begins, less than that when nothing is left, else 0. */
static status_t move_held(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                          const cell_t *held, int64_t value, int64_t other)
{
    uint32_t scope = (uint32_t)(held->key >> HELD_ORDINAL_BITS);
    uint64_t ordinal = held->key & (((uint64_t)1 << HELD_ORDINAL_BITS) - 1);
    cell_t cell = *held;
    cell.value = value;
    cell.other = other;
    status_t status = move(entry, hold_key(session, hold->number), cell);
    if (status != STATUS_OK) return status;
    if (is_shared(scope)) {
        cell.key = step_of(hold->expire_post_ms);
        cell.other = 0;
    } else {
        cell.key = hold->number << HELD_ORDINAL_BITS | ordinal;
    }
    return move(entry, held_record(session, hold, scope, (uint64_t)held->other), cell);
}

/* Takes `value` from one counter that the hold keeps. */
static status_t drop_held(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                          const cell_t *held, int64_t value)
{
    int64_t offer = value == held->value ? (int64_t)(0 - (uint64_t)held->other) : 0;
    return move_held(session, entry, hold, held, -value, offer);
}

/* Changes the points that the hold keeps of a purse, in its record and in its group's. */
static status_t move_held_points(const session_t *session, entry_builder_t *entry,
                                 const hold_t *hold, uint8_t purse, int64_t points, int64_t other)
{
    cell_t cell = {.kind = CELL_HOLD,
                   .sub = purse,
                   .day = hold->day,
                   .key = hold->number,
                   .value = points,
                   .other = other};
    status_t status = move(entry, hold_key(session, hold->number), cell);
    if (status != STATUS_OK) return status;
    return move(entry, held_record(session, hold, LIMIT_SCOPE_GROUP, 0), cell);
}

/* Changes by `other` when the references to the hold itself end; they begin and go by it too. */
static status_t move_references(const session_t *session, entry_builder_t *entry,
                                const hold_t *hold, int64_t other)
{
    cell_t cell = {.kind = CELL_HOLD, .day = hold->day, .key = hold->number, .other = other};
    status_t status = STATUS_OK;
    for (uint32_t scope = LIMIT_SCOPE_MEMBER; scope <= LIMIT_SCOPE_CARD; scope++) {
        if ((hold->referring >> scope & 1) == 0 || status != STATUS_OK) continue;
        status = move(entry, held_record(session, hold, scope, 0), cell);
    }
    return status;
}

/* Sweeps what has ended out of an offer's record: nobody's sale reads the whole of it. */
static status_t sweep_steps(session_t *session, const accounts_view_t *view,
                              entry_builder_t *entry, record_key_t key, uint32_t *swept)
{
    record_t record = accounts_read(view, key);
    uint32_t count = record.head->cell_count;
    for (uint32_t i = first_held(record.cells, count); i < count && *swept < SWEPT_MAX; i++) {
        if ((int64_t)record.cells[i].key * HELD_STEP_MS > post_time(session)) continue;
        cell_t cell = record.cells[i];
        cell.value = -cell.value;
        status_t status = move(entry, key, cell);
        if (status != STATUS_OK) return status;
        ++*swept;
    }
    return STATUS_OK;
}

bool is_past_held(uint8_t family, const cell_t *cells, uint32_t count, const cell_t *cell,
                  int64_t post_unix_ms)
{
    if (cell->kind != CELL_HOLD && cell->kind != CELL_HELD) return false;
    if (family == FAMILY_OFFER) return (int64_t)cell->key * HELD_STEP_MS <= post_unix_ms;
    const cell_t *hold = cell->kind == CELL_HOLD ? cell : hold_of_count(cells, count, cell);
    return hold == NULL || hold->other <= post_unix_ms;
}

static uint32_t scope_bit(uint32_t scope)
{
    if (scope == COUNT_SCOPE_GRANT) scope = LIMIT_SCOPE_MEMBER;
    return is_shared(scope) ? 0 : 1u << scope;
}

static hold_t hold_of_draft(const session_t *session, const entry_builder_t *entry,
                            const hold_draft_t *draft)
{
    hold_t hold = {.number = entry->lsn,
                   .kind = draft->kind,
                   .purse = draft->purse,
                   .state = HOLD_STATE_OPEN,
                   .day = draft->day,
                   .owner_key = hold_owner_key(draft->owner, draft->store_key),
                   .expire_post_ms = draft->expire_post_ms,
                   .create_post_ms = entry->post_unix_ms,
                   .account_group = session->facts.account_group,
                   .member = session->facts.member,
                   .member_group = session->facts.account_group,
                   .card = session->member_identity,
                   .store_key = draft->store_key,
                   .offer = draft->offer,
                   .uses = draft->uses};
    if (hold.account_group != 0) hold.referring = 1u << LIMIT_SCOPE_GROUP;
    for (uint32_t i = 0; i < draft->count_count; i++) {
        hold.referring |= scope_bit(draft->counts[i].scope);
    }
    return hold;
}

static status_t put_text(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                         uint32_t text, bytes_t bytes)
{
    status_t status = STATUS_OK;
    INVARIANT(bytes.size <= ID_BYTES_MAX);
    for (uint32_t at = 0; at < bytes.size && status == STATUS_OK; at += TEXT_PIECE_BYTES) {
        uint8_t piece[TEXT_PIECE_BYTES] = {0};
        uint32_t left = bytes.size - at;
        memcpy(piece, bytes.at + at, left < TEXT_PIECE_BYTES ? left : TEXT_PIECE_BYTES);
        cell_t cell = {.kind = CELL_HOLD_TEXT,
                       .sub = (uint8_t)(text * 16 + at / TEXT_PIECE_BYTES),
                       .day = (int32_t)bytes.size};
        memcpy(&cell.value, piece, 8);
        memcpy(&cell.other, piece + 8, 8);
        status = put(entry, hold_key(session, hold->number), cell);
    }
    return status;
}

/* The reference to the hold in the record of a coupon that it keeps; see move_references. */
static status_t move_coupon(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                            hash128_t id, int64_t other)
{
    cell_t cell = {.kind = CELL_HOLD, .day = hold->day, .key = hold->number, .other = other};
    return move(entry, coupon_key(session, id), cell);
}

static status_t move_coupons(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                             int64_t other)
{
    record_t record = hold->record;
    status_t status = STATUS_OK;
    for (uint32_t i = record_first(record, CELL_HOLD_COUPON);
         i < record.head->cell_count && status == STATUS_OK; i++) {
        const cell_t *cell = &record.cells[i];
        if (cell->kind != CELL_HOLD_COUPON) break;
        hash128_t id = {cell->key, (uint64_t)cell->value};
        status = move_coupon(session, entry, hold, id, other);
    }
    return status;
}

/* Keeps a coupon: references of holds that have ended make room in its record. */
static status_t place_coupon(const session_t *session, const accounts_view_t *view,
                             entry_builder_t *entry, const hold_t *hold, uint32_t place,
                             const held_coupon_t *coupon)
{
    record_key_t key = hold_key(session, hold->number);
    cell_t cell = {.kind = CELL_HOLD_COUPON,
                   .sub = (uint8_t)place,
                   .day = (int32_t)coupon->serial_bytes,
                   .key = coupon->id.hi,
                   .value = (int64_t)coupon->id.lo,
                   .other = (int64_t)coupon->offer};
    status_t status = put(entry, key, cell);
    for (uint32_t at = 0; at < coupon->serial_bytes && status == STATUS_OK;
         at += TEXT_PIECE_BYTES) {
        uint8_t piece[TEXT_PIECE_BYTES] = {0};
        uint32_t left = coupon->serial_bytes - at;
        memcpy(piece, coupon->serial + at, left < TEXT_PIECE_BYTES ? left : TEXT_PIECE_BYTES);
        cell_t text = {.kind = CELL_HOLD_SERIAL,
                       .sub = (uint8_t)place,
                       .day = (int32_t)(at / TEXT_PIECE_BYTES)};
        memcpy(&text.value, piece, 8);
        memcpy(&text.other, piece + 8, 8);
        status = put(entry, key, text);
    }
    if (status != STATUS_OK) return status;
    record_key_t used = coupon_key(session, coupon->id);
    record_t record = accounts_read(view, used);
    uint32_t swept = 0;
    status = sweep_record(session, entry, used, record.cells, record.head->cell_count, &swept);
    if (status != STATUS_OK) return status;
    return move_coupon(session, entry, hold, coupon->id, hold->expire_post_ms);
}

static status_t put_head(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                         uint8_t state, int64_t expire_post_ms)
{
    cell_t cell = {.kind = CELL_HOLD_HEAD,
                   .sub = hold->kind,
                   .day = hold->purse,
                   .key = hold->owner_key,
                   .value = state,
                   .other = expire_post_ms};
    return put(entry, hold_key(session, hold->number), cell);
}

/* The cells of the hold's record that stay when it has ended. */
static status_t put_hold(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                         const hold_draft_t *draft)
{
    record_key_t key = hold_key(session, hold->number);
    cell_t whose = {.kind = CELL_HOLD_WHOSE,
                    .day = hold->day,
                    .key = hold->account_group,
                    .value = (int64_t)hold->member,
                    .other = hold->create_post_ms};
    cell_t where = {.kind = CELL_HOLD_WHERE,
                    .sub = (uint8_t)hold->referring,
                    .key = hold->card.hi,
                    .value = (int64_t)hold->store_key,
                    .other = (int64_t)hold->card.lo};
    cell_t uses = {.kind = CELL_HOLD_USES, .key = hold->offer, .value = hold->uses};
    bytes_t texts[HOLD_TEXTS] = {draft->owner, draft->basket_id, draft->store_id, draft->till_id};
    cell_t promised[FUEL_OFFERS_MAX + 2];
    status_t status = put_head(session, entry, hold, HOLD_STATE_OPEN, hold->expire_post_ms);
    if (status == STATUS_OK) status = put(entry, key, whose);
    if (status == STATUS_OK) status = put(entry, key, where);
    if (status == STATUS_OK && hold->uses != 0) status = put(entry, key, uses);
    uint32_t promised_count = list_promised(session, draft->rights, draft->right_count, promised);
    for (uint32_t i = 0; i < promised_count && status == STATUS_OK; i++) {
        status = put(entry, key, promised[i]);
    }
    for (uint32_t i = 0; i < HOLD_TEXTS && status == STATUS_OK; i++) {
        status = put_text(session, entry, hold, i, texts[i]);
    }
    return status;
}

/* A hold in the list of its basket. */
static cell_t listed(const hold_t *hold, int64_t value)
{
    return (cell_t){.kind = CELL_HOLD,
                    .sub = hold->kind,
                    .key = hold->number,
                    .value = value,
                    .other = value * hold->expire_post_ms};
}

/* The basket's list of what is held for it; those that ended make room. */
static status_t list_hold(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                          const hold_t *hold, bytes_t basket_id)
{
    cell_t cell = listed(hold, 1);
    record_key_t key = basket_key(session, hold->store_key, basket_id);
    record_t record = accounts_read(view, key);
    uint32_t open = 0;
    for (uint32_t i = 0; i < record.head->cell_count; i++) {
        cell_t past = record.cells[i];
        if (past.kind != CELL_HOLD) continue;
        if (past.other > post_time(session)) {
            open++;
            continue;
        }
        past.value = -past.value;
        past.other = -past.other;
        status_t status = move(entry, key, past);
        if (status != STATUS_OK) return status;
    }
    return open < HOLDS_MAX ? move(entry, key, cell) : STATUS_RECORD_CEILING;
}

status_t unlist_hold(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                     uint64_t store_key, bytes_t basket_id, uint64_t number)
{
    record_key_t key = basket_key(session, store_key, basket_id);
    record_t record = accounts_read(view, key);
    for (uint32_t i = 0; i < record.head->cell_count; i++) {
        cell_t cell = record.cells[i];
        if (cell.kind != CELL_HOLD || cell.key != number) continue;
        cell.value = -cell.value;
        cell.other = -cell.other;
        return move(entry, key, cell);
    }
    return STATUS_OK;
}

static bool has_room(session_t *session, const accounts_view_t *view)
{
    record_t group = accounts_read(view, key_of(session, FAMILY_GROUP,
                                                session->facts.account_group, 0));
    uint32_t open = 0;
    for (uint32_t i = first_held(group.cells, group.head->cell_count);
         i < group.head->cell_count; i++) {
        const cell_t *cell = &group.cells[i];
        if (cell->kind == CELL_HOLD && cell->sub == 0 && is_against(session, cell)) open++;
    }
    return open < HOLDS_MAX;
}

status_t place_hold(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                    const hold_draft_t *draft)
{
    hold_t hold = hold_of_draft(session, entry, draft);
    uint32_t swept = 0;
    if (hold.account_group != 0 && !has_room(session, view)) return STATUS_RECORD_CEILING;
    status_t status = put_hold(session, entry, &hold, draft);
    if (status == STATUS_OK) status = move_references(session, entry, &hold, hold.expire_post_ms);
    for (uint8_t purse = 1; purse <= PURSES_MAX && status == STATUS_OK; purse++) {
        if (draft->points[purse] == 0) continue;
        status = move_held_points(session, entry, &hold, purse, draft->points[purse],
                                  hold.expire_post_ms);
    }
    for (uint32_t i = 0; i < draft->count_count && status == STATUS_OK; i++) {
        const shared_counter_t *count = &draft->counts[i];
        cell_t held = {.kind = CELL_HELD,
                       .sub = count->number,
                       .day = count->window,
                       .key = (uint64_t)count->scope << HELD_ORDINAL_BITS | i,
                       .other = (int64_t)count->offer};
        if (count->given == 0) continue;
        if (is_shared(count->scope)) {
            record_key_t key = held_record(session, &hold, count->scope, count->offer);
            status = sweep_steps(session, view, entry, key, &swept);
        }
        if (status != STATUS_OK) return status;
        status = move_held(session, entry, &hold, &held, count->given, held.other);
    }
    for (uint32_t i = 0; i < draft->coupon_count && status == STATUS_OK; i++) {
        status = place_coupon(session, view, entry, &hold, i, &draft->coupons[i]);
    }
    if (status != STATUS_OK || draft->basket_id.size == 0) return status;
    return list_hold(session, view, entry, &hold, draft->basket_id);
}

status_t take_held_points(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                          uint8_t purse, int64_t points)
{
    int64_t held = held_points(hold, purse);
    INVARIANT(points <= held);
    if (points == 0) return STATUS_OK;
    return move_held_points(session, entry, hold, purse, -points,
                            points == held ? -hold->expire_post_ms : 0);
}

/* Which lots back a hold: what they have free without it, less what they have free beside it. So
 * the lots that back other holds go on backing them, whatever is burned of these. */
status_t burn_held(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                   const hold_t *hold, uint8_t purse, int64_t points)
{
    record_key_t group = held_record(session, hold, LIMIT_SCOPE_GROUP, 0);
    record_t record = accounts_read(view, group);
    uint64_t mark = 0;
    INVARIANT(session->own_hold_count == 0);
    cells_t beside = read_free(session, record, session->free_group, &mark);
    session->own_holds[session->own_hold_count++] = hold->number;
    cells_t without = read_free(session, record, session->free_member, &mark);
    session->own_hold_count = 0;
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < beside.count && points > 0 && status == STATUS_OK; i++) {
        cell_t lot = without.at[i];
        if (lot.kind != CELL_LOT) break;
        int64_t backing = lot.value - beside.at[i].value;
        if (lot.sub != purse || backing <= 0) continue;
        lot.value = backing < points ? -backing : -points;
        lot.other = 0;
        points += lot.value;
        status = entry_builder_move(entry, group, lot, MOVEMENT_ADD, REASON_BURN);
    }
    INVARIANT(points == 0 || status != STATUS_OK);
    return status;
}

/* The counter of the decision at hand that a held one is; NULL: it counts nothing there. */
static shared_counter_t *find_counted(const session_t *session, const cell_t *held,
                                      shared_counter_t *counted, uint32_t count)
{
    bool is_coupon = held->kind == CELL_HOLD_COUPON;
    uint32_t scope = is_coupon ? COUNT_SCOPE_COUPON : (uint32_t)(held->key >> HELD_ORDINAL_BITS);
    for (uint32_t i = 0; i < count; i++) {
        if (counted[i].scope != scope) continue;
        if (is_coupon) {
            hash128_t id = session->basket.coupon_ids[counted[i].number];
            if (id.hi == held->key && id.lo == (uint64_t)held->value) return &counted[i];
        } else if (counted[i].number == held->sub && counted[i].window == held->day
                   && counted[i].offer == (uint64_t)held->other) {
            return &counted[i];
        }
    }
    return NULL;
}

status_t count_held(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                    int64_t uses, shared_counter_t *counted, uint32_t count, int64_t *taken)
{
    const record_t *record = &hold->record;
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < record->head->cell_count && status == STATUS_OK; i++) {
        const cell_t *held = &record->cells[i];
        bool is_coupon = held->kind == CELL_HOLD_COUPON;
        if (held->kind != CELL_HELD && !is_coupon) continue;
        int64_t kept = is_coupon ? 1 : held->value;
        int64_t named = kept < uses ? kept : uses;
        shared_counter_t *here = find_counted(session, held, counted, count);
        int64_t counted_here = here == NULL || here->given < 0 ? 0 : here->given;
        if (counted_here > kept) counted_here = kept;
        if (here != NULL) here->given -= counted_here;
        *taken += counted_here > named ? counted_here : named;
        int64_t beyond = named - counted_here;
        if (beyond <= 0) continue;
        record_key_t key;
        cell_t counter = {.kind = CELL_COUNTER, .value = beyond};
        if (is_coupon) {
            key = coupon_key(session, (hash128_t){held->key, (uint64_t)held->value});
        } else {
            uint32_t scope = (uint32_t)(held->key >> HELD_ORDINAL_BITS);
            key = held_record(session, hold, scope, (uint64_t)held->other);
            counter = counter_of(held);
            counter.value = counter.value < 0 ? -beyond : beyond;
        }
        bool is_grant = counter.kind == CELL_GRANT;
        status = entry_builder_move(entry, key, counter, MOVEMENT_ADD,
                                    is_grant ? REASON_GRANT : REASON_COUNT);
    }
    return status;
}

/* What is left of the uses that the hold was made with, in every counter that keeps them. */
status_t take_held_uses(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                        int64_t uses)
{
    const record_t *record = &hold->record;
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < record->head->cell_count && status == STATUS_OK; i++) {
        const cell_t *cell = &record->cells[i];
        if (cell->kind != CELL_HELD) continue;
        status = drop_held(session, entry, hold, cell, cell->value < uses ? cell->value : uses);
    }
    cell_t left = {.kind = CELL_HOLD_USES, .key = hold->offer, .value = -uses};
    return status == STATUS_OK ? move(entry, hold_key(session, hold->number), left) : status;
}

status_t end_hold(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                  uint8_t state)
{
    const record_t *record = &hold->record;
    INVARIANT(hold->state == HOLD_STATE_OPEN);
    status_t status = put_head(session, entry, hold, state, hold->expire_post_ms);
    if (status == STATUS_OK) {
        status = move_references(session, entry, hold, -hold->expire_post_ms);
    }
    if (status == STATUS_OK) status = move_coupons(session, entry, hold, -hold->expire_post_ms);
    for (uint32_t i = 0; i < record->head->cell_count && status == STATUS_OK; i++) {
        const cell_t *cell = &record->cells[i];
        if (cell->kind == CELL_HOLD) {
            status = move_held_points(session, entry, hold, cell->sub, -cell->value, -cell->other);
        } else if (cell->kind == CELL_HELD) {
            status = drop_held(session, entry, hold, cell, cell->value);
        }
    }
    bytes_t basket_id = hold_text(hold, HOLD_TEXT_BASKET_ID);
    if (status != STATUS_OK || basket_id.size == 0) return status;
    return move(entry, basket_key(session, hold->store_key, basket_id), listed(hold, -1));
}

status_t spend_ended(const session_t *session, entry_builder_t *entry, const hold_t *hold)
{
    INVARIANT(hold->state == HOLD_STATE_EXPIRED);
    return put_head(session, entry, hold, HOLD_STATE_CAPTURED, hold->expire_post_ms);
}

/* What is kept of an offer's counter moves to the step in which the hold now ends. */
static status_t extend_shared(const session_t *session, entry_builder_t *entry, const hold_t *hold,
                              int64_t expire_post_ms)
{
    const record_t *record = &hold->record;
    status_t status = STATUS_OK;
    if (step_of(expire_post_ms) == step_of(hold->expire_post_ms)) return STATUS_OK;
    for (uint32_t i = 0; i < record->head->cell_count && status == STATUS_OK; i++) {
        cell_t cell = record->cells[i];
        uint32_t scope = (uint32_t)(cell.key >> HELD_ORDINAL_BITS);
        if (cell.kind != CELL_HELD || !is_shared(scope)) continue;
        record_key_t key = held_record(session, hold, scope, (uint64_t)cell.other);
        cell.other = 0;
        cell.key = step_of(expire_post_ms);
        status = move(entry, key, cell);
        cell.key = step_of(hold->expire_post_ms);
        cell.value = -cell.value;
        if (status == STATUS_OK) status = move(entry, key, cell);
    }
    return status;
}

status_t extend_hold(const session_t *session, entry_builder_t *entry, hold_t *hold,
                     int64_t expire_post_ms)
{
    const record_t *record = &hold->record;
    int64_t longer_ms = expire_post_ms - hold->expire_post_ms;
    INVARIANT(hold->state == HOLD_STATE_OPEN);
    INVARIANT(longer_ms >= 0);
    if (longer_ms == 0) return STATUS_OK;
    status_t status = put_head(session, entry, hold, HOLD_STATE_OPEN, expire_post_ms);
    if (status == STATUS_OK) status = move_references(session, entry, hold, longer_ms);
    if (status == STATUS_OK) status = move_coupons(session, entry, hold, longer_ms);
    if (status == STATUS_OK) status = extend_shared(session, entry, hold, expire_post_ms);
    for (uint32_t i = 0; i < record->head->cell_count && status == STATUS_OK; i++) {
        const cell_t *cell = &record->cells[i];
        if (cell->kind != CELL_HOLD) continue;
        status = move_held_points(session, entry, hold, cell->sub, 0, longer_ms);
    }
    bytes_t basket_id = hold_text(hold, HOLD_TEXT_BASKET_ID);
    if (status == STATUS_OK && basket_id.size > 0) {
        cell_t cell = listed(hold, 0);
        cell.other = longer_ms;
        status = move(entry, basket_key(session, hold->store_key, basket_id), cell);
    }
    hold->expire_post_ms = expire_post_ms;
    return status;
}
