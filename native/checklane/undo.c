/* Void, return, and the confirmation of points that wait for an event: all work from the original
 * entry, which the caller's thread copies out of the journal before the writer is asked. The writer
 * judges what is still there to be undone.
 *
 * Money: a line's refund is round(net * returned / sold) less what was refunded for it before, so
 * any sequence of partial returns sums to the whole; for the other policy see reprice.c. Points: of
 * what the sale earned in a purse, round(earned * refunded / net of the sale) is taken back, less
 * what was taken back before. */
#include <string.h>

#include "engine_internal.h"
#include "invariant.h"
#include "progress.h"

int64_t share_of(int64_t amount, int64_t part, int64_t whole)
{
    INVARIANT(amount >= 0);
    INVARIANT(part >= 0);
    INVARIANT(whole > 0);
    return (int64_t)(((__int128)amount * part * 2 + whole) / ((__int128)whole * 2));
}

/* ------------------------------------------------------------------ the original ---- */

static status_t copy_original(session_t *session, uint64_t position)
{
    original_t *original = &session->original;
    entry_t entry;
    status_t status = ledger_read(session->reader, position, &entry);
    if (status != STATUS_OK) return status;
    if (entry.header->kind != ENTRY_COMMIT) return STATUS_RECEIPT_UNKNOWN;
    entry_facts_t facts;
    bytes_t bytes = {entry.facts, entry.header->facts_bytes};
    INVARIANT(read_facts(bytes, &facts));
    INVARIANT(entry.header->movement_count <= MOVEMENTS_MAX);
    original->account_group = entry.header->account_group;
    original->member = entry.header->member;
    original->counted_date = entry.header->business_date;
    original->business_date = entry.header->business_date;
    if (entry.header->own_date != 0) original->business_date = entry.header->own_date;
    original->movement_count = entry.header->movement_count;
    original->sold_count = facts.header.sold_count;
    original->took_back = (facts.header.flags & FACTS_FLAG_TOOK_BACK) != 0;
    memcpy(original->movements, entry.movements, original->movement_count * sizeof(movement_t));
    memcpy(original->sold, facts.sold, original->sold_count * sizeof(sold_line_t));
    return STATUS_OK;
}

static const cell_t *find_entry_cell(record_t record)
{
    uint32_t at = record_first(record, CELL_ENTRY);
    if (at == record.head->cell_count || record.cells[at].kind != CELL_ENTRY) return NULL;
    return &record.cells[at];
}

/* The record that names the sale: of its receipt, or of the key under which it was committed. */
static record_key_t named_record(const session_t *session, const receipt_id_t *receipt,
                                 bytes_t key)
{
    static const uint64_t no_secret[2] = {0, 0};
    const wire_t *wire = &session->wire;
    if (key.size == 0) {
        hash128_t hash = wire_receipt_hash(no_secret, receipt);
        return key_of(session, FAMILY_RECEIPT, hash.hi, hash.lo);
    }
    hash128_t hash = wire_key_hash(no_secret, wire->store_id, wire->till_id,
                                   REQUEST_COMMIT_TRANSACTION, key);
    return key_of(session, FAMILY_KEY, hash.hi, hash.lo);
}

/* Where the sale is bound by its receipt: what it was named by, unless that was its key. */
static void note_record(original_t *original, record_key_t named)
{
    original->record = named;
    for (uint32_t i = 0; i < original->movement_count; i++) {
        const movement_t *movement = &original->movements[i];
        if (movement->record.family != FAMILY_RECEIPT) continue;
        if (movement->cell.kind == CELL_ENTRY) original->record = movement->record;
    }
}

/* What a claim of the sale moved comes behind what the sale moved, for the account that claimed. */
static status_t copy_claim(session_t *session)
{
    original_t *original = &session->original;
    entry_t entry;
    record_t receipt = accounts_read(ledger_pin(session->reader), original->record);
    const cell_t *claimed = record_find(receipt, CELL_CLAIMED, 0, 0, 0);
    original->claim = claimed == NULL ? 0 : (uint64_t)claimed->value;
    ledger_unpin(session->reader);
    if (original->claim == 0) return STATUS_OK;
    status_t status = ledger_read(session->reader, original->claim, &entry);
    if (status != STATUS_OK) return status;
    INVARIANT(entry.header->kind == ENTRY_CLAIM);
    INVARIANT(entry.header->movement_count <= MOVEMENTS_MAX);
    original->account_group = entry.header->account_group;
    original->member = entry.header->member;
    memcpy(original->movements + original->movement_count, entry.movements,
           entry.header->movement_count * sizeof(movement_t));
    original->movement_count += entry.header->movement_count;
    return STATUS_OK;
}

status_t load_original(session_t *session, const receipt_id_t *receipt, bytes_t key,
                       const char *place)
{
    original_t *original = &session->original;
    record_key_t named = named_record(session, receipt, key);
    const accounts_view_t *view = ledger_pin(session->reader);
    const cell_t *cell = find_entry_cell(accounts_read(view, named));
    uint64_t position = cell == NULL ? 0 : (uint64_t)cell->value;
    ledger_unpin(session->reader);
    original->position = position;
    original->claim = 0;
    original->account_group = 0;
    original->member = 0;
    original->business_date = 0;
    original->counted_date = 0;
    original->movement_count = 0;
    original->sold_count = 0;
    original->took_back = false;
    original->is_foreign = false;
    session->repriced.is_used = false;
    session->repriced.is_not_kept = false;
    session->repriced.kept = (bytes_t){NULL, 0};
    status_t status = position == 0 ? STATUS_RECEIPT_UNKNOWN : copy_original(session, position);
    note_record(original, named);
    if (status == STATUS_OK) status = copy_claim(session);
    if (status != STATUS_OK) return fault_at(session->fault, status, "%s", place);
    return STATUS_OK;
}

/* ------------------------------------------------------------------ points back ---- */

static record_key_t group_record(const session_t *session)
{
    return key_of(session, FAMILY_GROUP, session->original.account_group, 0);
}

/* Takes up to `points` from one lot of the working copy, as a movement. */
static status_t take_from(entry_builder_t *entry, record_key_t record, cell_t *lot, int64_t points,
                          int64_t *left)
{
    int64_t taken = lot->value < points ? lot->value : points;
    if (taken <= 0) return STATUS_OK;
    cell_t cell = *lot;
    cell.value = -taken;
    cell.other = 0;
    lot->value -= taken;
    *left -= taken;
    return entry_builder_move(entry, record, cell, MOVEMENT_ADD, REASON_REVERSE);
}

static bool may_take(const cell_t *lot, uint8_t purse, int32_t today, uint16_t policy)
{
    if (lot->kind != CELL_LOT || lot->sub != purse || lot->day < today) return false;
    return policy != CLAW_BACK_PENDING_ONLY || activation_of(lot) > today;
}

/* Takes points back from the record that session->cells is a copy of: from the lots that the sale
 * made for that reason, then from others, the earliest expiry first (the order of cells), then by
 * policy as a debt. *short_by is what could not be taken. */
static status_t take_back(session_t *session, entry_builder_t *entry, record_key_t record,
                          uint32_t reason, uint8_t purse, int64_t points, int64_t *short_by)
{
    const original_t *original = &session->original;
    uint16_t policy = session->live->program->header->claw_back_policy;
    int32_t today = session->facts.business_day;
    status_t status = STATUS_OK;
    int64_t left = points;
    for (uint32_t i = 0; i < original->movement_count && left > 0; i++) {
        const movement_t *made = &original->movements[i];
        if (made->reason != reason || made->cell.kind != CELL_LOT) continue;
        if (made->cell.sub != purse) continue;
        cell_t lot_now = made->cell;
        if (original->confirmed_key != 0 && lot_now.key > original->confirmed_key) {
            lot_now.key = original->confirmed_key;
        }
        for (uint32_t j = 0; j < session->cell_count && status == STATUS_OK; j++) {
            cell_t *lot = &session->cells[j];
            if (cell_compare(lot, &lot_now) != 0) continue;
            if (!may_take(lot, purse, today, policy)) continue;
            int64_t most = made->cell.value < left ? made->cell.value : left;
            status = take_from(entry, record, lot, most, &left);
        }
    }
    for (uint32_t j = 0; j < session->cell_count && left > 0 && status == STATUS_OK; j++) {
        cell_t *lot = &session->cells[j];
        if (may_take(lot, purse, today, policy)) {
            status = take_from(entry, record, lot, left, &left);
        }
    }
    if (status == STATUS_OK && left > 0 && policy == CLAW_BACK_NEGATIVE) {
        cell_t debt = {.kind = CELL_DEBT, .sub = purse, .value = left};
        status = entry_builder_move(entry, record, debt, MOVEMENT_ADD, REASON_CLAW_BACK);
        add_cell(session, debt);
        left = 0;
    }
    *short_by = left;
    return status;
}

static int64_t sum_earned(const original_t *original, uint8_t purse)
{
    int64_t earned = 0;
    for (uint32_t i = 0; i < original->movement_count; i++) {
        const movement_t *movement = &original->movements[i];
        if (movement->reason != REASON_EARN || movement->cell.sub != purse) continue;
        earned += movement->cell.value;
    }
    return earned;
}

typedef struct undo {
    record_t receipt;         /* of the original, as the writer sees it */
    record_key_t receipt_key;
    int64_t refunded;         /* of this sale, this request included */
    int64_t refund;           /* of this request */
    int64_t net;              /* of the sale's lines */
    int64_t gross;
    int64_t gross_returned;   /* before discounts, this request included */
    bool is_whole;            /* nothing of the sale is left */
    int64_t goal_points[PURSES_MAX + 1]; /* by purse: rewards of goals that are reached no more */
    uint32_t line_count;
    uint32_t points_count;
    uint32_t first_exception; /* of session->exceptions: before it are those of the sale at hand */
    uint32_t exception_count; /* those before it included */
    uint32_t first_movement;  /* of the entry: before it is what the sale at hand moves */
} undo_t;

/* A cell as the writer sees it, with what the sale at hand moves in it; NULL: there is none. */
static const cell_t *find_now(const undo_t *undo, const accounts_view_t *view,
                              const entry_builder_t *entry, const record_key_t *key,
                              const cell_t *name, cell_t *now)
{
    const cell_t *found = record_find(accounts_read(view, *key), name->kind, name->sub, name->day,
                                      name->key);
    if (undo->first_movement == 0) return found;
    bool is_there = found != NULL;
    *now = is_there ? *found : *name;
    if (!is_there) now->value = now->other = 0;
    for (uint32_t i = 0; i < undo->first_movement; i++) {
        const movement_t *moved = &entry->movements[i];
        if (cell_compare(&moved->cell, name) != 0 || moved->op != MOVEMENT_ADD) continue;
        if (memcmp(&moved->record, key, sizeof *key) != 0) continue;
        now->value += moved->cell.value;
        is_there = true;
    }
    return is_there ? now : NULL;
}

/* Points of `earned` that what was refunded so far takes back. */
static int64_t due_back(const undo_t *undo, int64_t earned)
{
    if (undo->is_whole) return earned;
    if (undo->net == 0) return 0;
    return share_of(earned, undo->refunded < undo->net ? undo->refunded : undo->net, undo->net);
}

bytes_t purse_id_of(const program_t *program, uint32_t purse)
{
    if (purse == 0 || purse > program->purse_count) return (bytes_t){NULL, 0};
    const purse_t *record = &program->purses[purse - 1];
    return (bytes_t){program->strings + record->id_text, record->id_length};
}

static void note_short(session_t *session, undo_t *undo, uint8_t purse, int64_t short_by)
{
    if (short_by <= 0) return;
    session->exceptions[undo->exception_count++] =
        (exception_t){.kind = EXCEPTION_CLAW_BACK_SHORT,
                      .purse_id = purse_id_of(session->live->program, purse),
                      .points = short_by};
}

/* Of what a sale earned in a purse, how much is not there any more. A sale of another node notes at
 * its receipt what was taken back here, its own node what is left. */
static int64_t taken_before(const session_t *session, const undo_t *undo, uint8_t purse,
                            int64_t earned)
{
    bool is_foreign = session->original.is_foreign;
    uint8_t kind = is_foreign ? CELL_TAKEN : CELL_EARNED;
    const cell_t *noted = record_find(undo->receipt, kind, purse, 0, 0);
    int64_t points = noted == NULL ? 0 : noted->value;
    return is_foreign ? points : earned - points;
}

static status_t move_purse(session_t *session, entry_builder_t *entry, undo_t *undo,
                           uint8_t reason, uint8_t purse)
{
    int64_t earned = sum_earned(&session->original, purse);
    const cell_t *withheld = record_find(undo->receipt, CELL_CLAIMED, purse, 0, 0);
    if (withheld != NULL) earned += withheld->value;
    int64_t of_sale = due_back(undo, earned) - taken_before(session, undo, purse, earned);
    if (of_sale < 0) of_sale = 0;
    int64_t points = undo->goal_points[purse] + (session->are_points_settled ? 0 : of_sale);
    int64_t short_by = 0;
    if (points <= 0 && of_sale == 0) return STATUS_OK;
    status_t status = take_back(session, entry, group_record(session), REASON_EARN, purse, points,
                                &short_by);
    if (status != STATUS_OK) return status;
    cell_t cell = {.kind = CELL_EARNED, .sub = purse, .value = -of_sale};
    if (session->original.is_foreign) {
        cell = (cell_t){.kind = CELL_TAKEN, .sub = purse, .value = of_sale};
    }
    if (of_sale > 0) {
        status = entry_builder_move(entry, undo->receipt_key, cell, MOVEMENT_ADD, REASON_BIND);
    }
    if (status != STATUS_OK) return status;
    if (points > short_by) {
        session->points[undo->points_count++] = (points_t){
            .offer = NONE_32, .purse = purse, .reason = reason, .points = short_by - points};
    }
    note_short(session, undo, purse, short_by);
    return STATUS_OK;
}

/* Takes back each purse's part for what was refunded so far. */
static status_t move_points(session_t *session, entry_builder_t *entry, undo_t *undo,
                            uint8_t reason)
{
    status_t status = STATUS_OK;
    for (uint8_t purse = 1; purse <= PURSES_MAX && status == STATUS_OK; purse++) {
        status = move_purse(session, entry, undo, reason, purse);
    }
    return status;
}

static status_t take_referral(session_t *session, entry_builder_t *entry, undo_t *undo,
                              record_key_t record, uint8_t purse, int64_t points)
{
    int64_t short_by = 0;
    status_t status = take_back(session, entry, record, REASON_REFERRAL, purse, points,
                                &short_by);
    if (points > short_by) {
        session->points[undo->points_count++] = (points_t){.offer = NONE_32,
                                                           .purse = purse,
                                                           .reason = EARN_REASON_REFERRAL,
                                                           .points = short_by - points};
    }
    note_short(session, undo, purse, short_by);
    return status;
}

/* The working copy becomes what can be taken from in a group's record. */
static void begin_cells(session_t *session, const accounts_view_t *view,
                        const entry_builder_t *entry, const undo_t *undo, record_key_t record)
{
    cells_t group;
    if (undo->first_movement > 0) {
        group = lay_entry(session, view, entry, record, session->undo_group);
    } else {
        group = read_free(session, accounts_read(view, record), session->undo_group,
                          &session->held_mark);
    }
    copy_cells(session, group.at, group.count);
}

/* P11: of whoever referred the member, once nothing of the sale is left. Their group takes the
 * place of the member's in the working copy meanwhile. */
static status_t move_referral_back(session_t *session, const accounts_view_t *view,
                                   entry_builder_t *entry, undo_t *undo)
{
    const original_t *original = &session->original;
    int64_t given[PURSES_MAX + 1] = {0};
    uint64_t group = 0;
    for (uint32_t i = 0; i < original->movement_count; i++) {
        const movement_t *made = &original->movements[i];
        if (made->reason != REASON_REFERRAL || made->cell.sub > PURSES_MAX) continue;
        given[made->cell.sub] += made->cell.value;
        group = made->record.hi;
    }
    if (group == 0 || !undo->is_whole) return STATUS_OK;
    group = find_group(session, view, group);
    record_key_t record = key_of(session, FAMILY_GROUP, group, 0);
    bool is_other = group != original->account_group;
    uint32_t kept_count = session->cell_count;
    if (is_other) {
        memcpy(session->undo_kept, session->cells, kept_count * sizeof session->cells[0]);
        begin_cells(session, view, entry, undo, record);
    }
    status_t status = STATUS_OK;
    for (uint8_t purse = 1; purse <= PURSES_MAX && status == STATUS_OK; purse++) {
        if (given[purse] == 0) continue;
        status = take_referral(session, entry, undo, record, purse, given[purse]);
    }
    if (is_other) copy_cells(session, session->undo_kept, kept_count);
    return status;
}

/* Takes rewards back that the goal no longer gives: uses that are left, and points, for which the
 * purses are gone through later. */
static status_t take_rewards(session_t *session, const accounts_view_t *view,
                             entry_builder_t *entry, undo_t *undo, const progress_t *progress,
                             int64_t times)
{
    const original_t *original = &session->original;
    if (times <= 0) return STATUS_OK;
    undo->goal_points[progress->reward_purse] += times * progress->reward_points;
    if (progress->reward_offer == NONE_32) return STATUS_OK;
    uint64_t offer = session->live->program->offers[progress->reward_offer].key;
    record_key_t member = key_of(session, FAMILY_MEMBER, original->member_group,
                                 original->member);
    cell_t cell = {.kind = CELL_GRANT, .key = offer};
    cell_t now;
    const cell_t *left = find_now(undo, view, entry, &member, &cell, &now);
    if (left == NULL || left->value <= 0) return STATUS_OK;
    cell.value = -(left->value < times ? left->value : times);
    return entry_builder_move(entry, member, cell, MOVEMENT_ADD, REASON_REVERSE);
}

/* Takes back what the sale added to one progress, for what was refunded so far. */
static status_t move_step(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                          undo_t *undo, const movement_t *made)
{
    const program_t *program = session->live->program;
    const cell_t *undone = record_find(undo->receipt, CELL_UNDONE, 0, 0, made->cell.key);
    cell_t laid;
    const cell_t *now = find_now(undo, view, entry, &made->record, &made->cell, &laid);
    bool is_visit = made->cell.sub == PROGRESS_VISITS;
    int64_t gathered = made->cell.value + (undone == NULL ? 0 : undone->other);
    int64_t due = is_visit && !undo->is_whole ? 0 : due_back(undo, gathered);
    int64_t back = due - (undone == NULL ? 0 : undone->value);
    if (back <= 0 || now == NULL) return STATUS_OK;
    cell_t noted = {.kind = CELL_UNDONE, .key = made->cell.key, .value = back};
    status_t status = entry_builder_move(entry, undo->receipt_key, noted, MOVEMENT_ADD,
                                         REASON_REVERSE);
    if (status != STATUS_OK) return status;
    if (back > now->value) back = now->value;
    cell_t cell = made->cell;
    cell.value = -back;
    status = entry_builder_move(entry, made->record, cell, MOVEMENT_ADD, REASON_REVERSE);
    for (uint32_t i = 0; i < program->progress_count && status == STATUS_OK; i++) {
        const progress_t *progress = &program->progress[i];
        if (progress->key != made->cell.key) continue;
        int64_t times = times_reached(progress, now->value - back, now->value);
        status = take_rewards(session, view, entry, undo, progress, times);
    }
    return status;
}

static status_t move_progress_back(session_t *session, const accounts_view_t *view,
                                   entry_builder_t *entry, undo_t *undo)
{
    const original_t *original = &session->original;
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < original->movement_count && status == STATUS_OK; i++) {
        const movement_t *made = &original->movements[i];
        if (made->reason != REASON_PROGRESS) continue;
        status = move_step(session, view, entry, undo, made);
    }
    return status;
}

/* ------------------------------------------------------------------ spent points back ---- */

static int64_t sum_spent(const original_t *original, uint8_t purse)
{
    int64_t spent = 0;
    for (uint32_t i = 0; i < original->movement_count; i++) {
        const movement_t *movement = &original->movements[i];
        if (movement->reason == REASON_BURN && movement->cell.sub == purse) {
            spent -= movement->cell.value;
        }
    }
    return spent;
}

/* Puts points back into the lots that they came from: the last that was spent first, after the
 * `before` points that came back earlier. */
static status_t refill(session_t *session, entry_builder_t *entry, uint8_t purse, int64_t before,
                       int64_t points)
{
    const original_t *original = &session->original;
    status_t status = STATUS_OK;
    for (uint32_t i = original->movement_count; i > 0 && points > 0 && status == STATUS_OK; i--) {
        const movement_t *spent = &original->movements[i - 1];
        if (spent->reason != REASON_BURN || spent->cell.sub != purse) continue;
        int64_t most = -spent->cell.value;
        int64_t skipped = before < most ? before : most;
        before -= skipped;
        most -= skipped;
        cell_t lot = spent->cell;
        lot.value = most < points ? most : points;
        if (lot.value == 0) continue;
        points -= lot.value;
        add_cell(session, lot);
        status = entry_builder_move(entry, spent->record, lot, MOVEMENT_ADD, REASON_REVERSE);
    }
    return status;
}

/* R5: of the points that paid, the part that goods came back for. */
static status_t move_spent(session_t *session, entry_builder_t *entry, undo_t *undo, uint8_t reason)
{
    status_t status = STATUS_OK;
    for (uint8_t purse = 1; purse <= PURSES_MAX && status == STATUS_OK; purse++) {
        int64_t spent = sum_spent(&session->original, purse);
        if (spent == 0) continue;
        const cell_t *back = record_find(undo->receipt, CELL_REFILLED, purse, 0, 0);
        int64_t before = back == NULL ? 0 : back->value;
        int64_t due = spent;
        if (!undo->is_whole) {
            __int128 part = (__int128)spent * undo->gross_returned;
            due = undo->gross == 0 ? 0 : (int64_t)(part / undo->gross);
        }
        if (due <= before) continue;
        if (!session->are_points_settled) {
            status = refill(session, entry, purse, before, due - before);
        }
        cell_t cell = {.kind = CELL_REFILLED, .sub = purse, .value = due - before};
        if (status == STATUS_OK) {
            status = entry_builder_move(entry, undo->receipt_key, cell, MOVEMENT_ADD, REASON_BIND);
        }
        if (session->are_points_settled) continue;
        session->points[undo->points_count++] = (points_t){
            .offer = NONE_32, .purse = purse, .reason = reason, .points = due - before};
    }
    return status;
}

/* Gives counters back once nothing of the sale is left. */
static status_t move_counts(session_t *session, const accounts_view_t *view,
                            entry_builder_t *entry, const undo_t *undo)
{
    const original_t *original = &session->original;
    if (!undo->is_whole) return STATUS_OK;
    for (uint32_t i = 0; i < original->movement_count; i++) {
        const movement_t *made = &original->movements[i];
        if (made->reason == REASON_GRANT && made->cell.value < 0) {
            cell_t used = made->cell;
            used.value = -used.value;
            status_t status = entry_builder_move(entry, made->record, used, MOVEMENT_ADD,
                                                 REASON_REVERSE);
            if (status != STATUS_OK) return status;
        }
        if (made->reason != REASON_COUNT) continue;
        cell_t laid;
        const cell_t *now = find_now(undo, view, entry, &made->record, &made->cell, &laid);
        if (now == NULL) continue; /* swept with its window */
        cell_t cell = made->cell;
        cell.value = -(made->cell.value < now->value ? made->cell.value : now->value);
        status_t status = entry_builder_move(entry, made->record, cell, MOVEMENT_ADD,
                                             REASON_REVERSE);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

/* ------------------------------------------------------------------ lines ---- */

/* A sale of a member that was merged or has joined another group since: what it moved for the
 * member is in the survivor's row now, where that is; the points are where they were. */
static void follow_merges(session_t *session, const accounts_view_t *view)
{
    original_t *original = &session->original;
    uint64_t member = original->member;
    original->member_group = original->account_group;
    if (member == 0) return;
    place_t place = find_survivor(session, view, &member);
    uint64_t group = find_group(session, view, original->account_group);
    original->member_group = place.account_group;
    bool is_moved = member != original->member || place.account_group != original->account_group;
    if (!is_moved && group == original->account_group) return;
    for (uint32_t i = 0; i < original->movement_count; i++) {
        record_key_t *record = &original->movements[i].record;
        if (record->family == FAMILY_GROUP && record->hi == original->account_group) {
            record->hi = group;
        }
        if (record->family == FAMILY_MEMBER && record->lo == original->member) {
            *record = key_of(session, FAMILY_MEMBER, place.account_group, member);
        }
    }
    original->member = member;
    original->account_group = group;
}

static void begin_undo(session_t *session, const accounts_view_t *view,
                       const entry_builder_t *entry, undo_t *undo)
{
    original_t *original = &session->original;
    memset(undo, 0, sizeof *undo);
    undo->first_movement = entry->movement_count;
    follow_merges(session, view);
    undo->receipt_key = original->record;
    undo->receipt = accounts_read(view, undo->receipt_key);
    const cell_t *claimed = record_find(undo->receipt, CELL_CLAIMED, 0, 0, 0);
    session->is_seen_late = original->claim != (claimed == NULL ? 0 : (uint64_t)claimed->value);
    if (original->position == 0 && find_entry_cell(undo->receipt) != NULL) {
        session->is_seen_late = true;
    }
    if (session->repriced.is_used) {
        uint64_t lsn = undo->receipt.head->applied_lsn;
        session->is_seen_late = session->is_seen_late || lsn != session->repriced.receipt_lsn;
    }
    const cell_t *confirmed = record_find(undo->receipt, CELL_CONFIRMED, 0, 0, 0);
    original->confirmed_key = confirmed == NULL ? 0 : (uint64_t)confirmed->other;
    for (uint32_t i = 0; i < original->sold_count; i++) undo->net += original->sold[i].net_minor;
    for (uint32_t i = record_first(undo->receipt, CELL_RETURNED);
         i < undo->receipt.head->cell_count && undo->receipt.cells[i].kind == CELL_RETURNED; i++) {
        undo->refunded += undo->receipt.cells[i].other;
    }
    begin_cells(session, view, entry, undo, group_record(session));
}

static int64_t discount_part(const sold_line_t *sold, int64_t count)
{
    return share_of(sold->gross_minor - sold->net_minor, count, sold->count);
}

/* What the discount taken back of a line so far is beyond the part for its units. */
static int64_t discount_beyond(record_t receipt, const sold_line_t *sold)
{
    const cell_t *cell = record_find(receipt, CELL_RETURNED, RETURNED_DISCOUNT,
                                     (int32_t)sold->line_id, 0);
    return cell == NULL ? 0 : cell->value;
}

/* Adds units of a sold line and their refund to the answer and the receipt. `beyond` is what the
 * discount taken back of the line is then beyond the part for its units. */
static status_t reverse_line(session_t *session, entry_builder_t *entry, undo_t *undo,
                             const asked_back_t *back, int64_t beyond)
{
    const sold_line_t *sold = back->sold;
    int64_t after = back->before + back->count;
    int64_t further = beyond - discount_beyond(undo->receipt, sold);
    int64_t discount = discount_part(sold, after) - discount_part(sold, back->before) + further;
    cell_t cell = {.kind = CELL_RETURNED,
                   .day = (int32_t)sold->line_id,
                   .value = back->count,
                   .other = back->refund_minor};
    session->reversed[undo->line_count++] =
        (reversed_line_t){.line_id = sold->line_id,
                          .count = back->count,
                          .gross_minor = back->refund_minor + discount,
                          .discount_minor = discount,
                          .refund_minor = back->refund_minor,
                          .remaining_count = sold->count - after};
    undo->refund += back->refund_minor;
    undo->refunded += back->refund_minor;
    status_t status = entry_builder_move(entry, undo->receipt_key, cell, MOVEMENT_ADD,
                                         REASON_REVERSE);
    if (status != STATUS_OK || further == 0) return status;
    cell_t noted = {.kind = CELL_RETURNED,
                    .sub = RETURNED_DISCOUNT,
                    .day = (int32_t)sold->line_id,
                    .value = further};
    return entry_builder_move(entry, undo->receipt_key, noted, MOVEMENT_ADD, REASON_REVERSE);
}

const sold_line_t *find_sold(const original_t *original, int64_t line_id)
{
    for (uint32_t i = 0; i < original->sold_count; i++) {
        if (original->sold[i].line_id == line_id) return &original->sold[i];
    }
    return NULL;
}

/* Refuses line `index` of what is asked back, which stands in the request or in a basket. */
static status_t refuse_asked(session_t *session, status_t status, uint32_t index,
                             const char *field, const char *field_of_basket)
{
    const exchange_t *exchange = &session->exchange;
    if (exchange->count == 0) {
        return fault_at(session->fault, status, "lines[%u].%s", index, field);
    }
    return fault_at(session->fault, status, "basket.lines[%u].%s", exchange->sent[index],
                    field_of_basket);
}

asked_back_t come_back(record_t receipt, const sold_line_t *sold)
{
    const cell_t *returned = record_find(receipt, CELL_RETURNED, 0, (int32_t)sold->line_id, 0);
    asked_back_t back = {.sold = sold};
    if (returned != NULL) {
        back.before = returned->value;
        back.refunded_minor = returned->other;
    }
    /* Of a line that is back as a whole nothing is to come: what it refunded was agreed on. */
    if (back.before < sold->count) back.refund_minor = sold->net_minor - back.refunded_minor;
    return back;
}

status_t judge_asked(session_t *session, record_t receipt, uint32_t index, asked_back_t *back)
{
    const return_line_t *asked = &session->asked[index];
    const sold_line_t *sold = find_sold(&session->original, asked->line_id);
    if (sold == NULL) {
        return refuse_asked(session, STATUS_LINE_UNKNOWN, index, "line_id", "original.line_id");
    }
    *back = come_back(receipt, sold);
    back->count = is_present(asked->present, RETURN_LINE_COUNT) ? asked->count
                                                                : sold->count - back->before;
    if (back->count < 1 || back->count > sold->count - back->before) {
        return refuse_asked(session, STATUS_RETURN_TOO_MUCH, index, "count", "count");
    }
    if (is_present(asked->present, RETURN_LINE_QUANTITY)) { /* what was sold is kept by units */
        return refuse_asked(session, STATUS_MEASURE_NOT_DIVIDED, index, "quantity_thousandths",
                            "measure");
    }
    int64_t due = share_of(sold->net_minor, back->before + back->count, sold->count);
    back->refund_minor = due - back->refunded_minor;
    if (back->refund_minor < 0) back->refund_minor = 0; /* more was paid out before */
    return STATUS_OK;
}

/* Where a line says what it refunds: at most what the rules say, unless that was paid out. */
static status_t take_asked_refund(session_t *session, undo_t *undo, uint32_t index,
                                  asked_back_t *back)
{
    const return_line_t *asked = &session->asked[index];
    if (!is_present(asked->present, RETURN_LINE_REFUND)) return STATUS_OK;
    int64_t differs = asked->refund_minor - back->refund_minor;
    if (differs > 0 && !session->is_refund_paid) {
        return refuse_asked(session, STATUS_RETURN_TOO_MUCH, index, "refund_minor",
                            "amount_minor");
    }
    back->refund_minor = asked->refund_minor;
    if (differs != 0 && session->is_refund_paid) {
        session->exceptions[undo->exception_count++] =
            (exception_t){.kind = EXCEPTION_DISCOUNT_DIFFERS,
                          .line_id = back->sold->line_id,
                          .amount_minor = differs};
    }
    return STATUS_OK;
}

static status_t return_prorated(session_t *session, entry_builder_t *entry, undo_t *undo)
{
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < session->asked_count && status == STATUS_OK; i++) {
        asked_back_t back;
        status = judge_asked(session, undo->receipt, i, &back);
        if (status == STATUS_OK) status = take_asked_refund(session, undo, i, &back);
        if (status == STATUS_OK) status = reverse_line(session, entry, undo, &back, 0);
    }
    if (session->repriced.is_not_kept) {
        session->exceptions[undo->exception_count++] =
            (exception_t){.kind = EXCEPTION_PROGRAM_NOT_KEPT};
    }
    return status;
}

/* Every line of the sale, by what is kept of it. What kept lines cost more now is taken out of what
 * others refund, and no more than that: nobody pays for bringing goods back. */
static status_t return_repriced(session_t *session, entry_builder_t *entry, undo_t *undo)
{
    const original_t *original = &session->original;
    asked_back_t *backs = session->repriced.back;
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < session->asked_count && status == STATUS_OK; i++) {
        const sold_line_t *sold = find_sold(original, session->asked[i].line_id);
        status = take_asked_refund(session, undo, i, &backs[sold - original->sold]);
    }
    int64_t refund = 0;
    int64_t given = 0;
    for (uint32_t i = 0; i < original->sold_count; i++) {
        refund += backs[i].refund_minor;
        if (backs[i].refund_minor > 0) given += backs[i].refund_minor;
    }
    for (uint32_t i = 0; i < original->sold_count && status == STATUS_OK; i++) {
        asked_back_t back = backs[i];
        if (back.refund_minor < -given) back.refund_minor = -given;
        if (back.refund_minor < 0) given += back.refund_minor;
        if (back.count == 0 && back.refund_minor == 0) continue;
        int64_t after = back.before + back.count;
        int64_t discount = share_of(back.sold->gross_minor, after, back.sold->count)
                           - back.refunded_minor - back.refund_minor;
        status = reverse_line(session, entry, undo, &back,
                              discount - discount_part(back.sold, after));
    }
    if (refund < 0) {
        session->exceptions[undo->exception_count++] =
            (exception_t){.kind = EXCEPTION_REFUND_CUT, .amount_minor = -refund};
    }
    return status;
}

/* What the sale's lines cost before discounts, and of that what came back, by units. */
static void sum_gross(const session_t *session, undo_t *undo)
{
    const original_t *original = &session->original;
    for (uint32_t i = 0; i < original->sold_count; i++) {
        const sold_line_t *sold = &original->sold[i];
        const cell_t *returned =
            record_find(undo->receipt, CELL_RETURNED, 0, (int32_t)sold->line_id, 0);
        int64_t count = returned == NULL ? 0 : returned->value;
        for (uint32_t j = 0; j < undo->line_count; j++) {
            if (session->reversed[j].line_id == sold->line_id) count += session->reversed[j].count;
        }
        undo->gross += sold->gross_minor;
        undo->gross_returned += share_of(sold->gross_minor, count, sold->count);
    }
}

/* True when, with this request, every unit of the sale has come back. */
static bool all_came_back(const session_t *session, const undo_t *undo)
{
    const original_t *original = &session->original;
    for (uint32_t i = 0; i < original->sold_count; i++) {
        const sold_line_t *sold = &original->sold[i];
        const cell_t *returned =
            record_find(undo->receipt, CELL_RETURNED, 0, (int32_t)sold->line_id, 0);
        int64_t left = sold->count - (returned == NULL ? 0 : returned->value);
        for (uint32_t j = 0; j < undo->line_count; j++) {
            if (session->reversed[j].line_id == sold->line_id) left -= session->reversed[j].count;
        }
        if (left > 0) return false;
    }
    return true;
}

/* ------------------------------------------------------------------ the entry ---- */

static uint32_t balances_now(session_t *session)
{
    if (session->original.member == 0) return 0;
    return balances_of(session->cells, session->cell_count, session->live->program,
                       session->facts.business_day, session->balances);
}

static reversal_answer_t reversal_answer(session_t *session, const undo_t *undo,
                                         const entry_builder_t *entry, int32_t business_date)
{
    reversal_answer_t answer = {.program = session->live->program,
                                .lines = session->reversed,
                                .points = session->points,
                                .exceptions = session->exceptions + undo->first_exception,
                                .balances = session->balances,
                                .line_count = undo->line_count,
                                .points_count = undo->points_count,
                                .exception_count = undo->exception_count - undo->first_exception,
                                .balance_count = balances_now(session),
                                .refund_minor = undo->refund,
                                .kept = session->repriced.kept,
                                .posting = posting_of(entry, business_date),
                                .has_reversal = true};
    return answer;
}

/* `date` is the change's own, `counted_date` that for which it counts. */
static status_t seal_undo(const session_t *session, entry_builder_t *entry, uint16_t kind,
                          int64_t completed_unix_ms, int32_t date, int32_t counted_date,
                          status_t written)
{
    const original_t *original = &session->original;
    seal_t seal = {.kind = kind,
                   .account = {original->member, original->account_group},
                   .business_date = counted_date,
                   .own_date = own_date(date, counted_date),
                   .event_unix_ms = completed_unix_ms,
                   .facts = &original->position,
                   .facts_bytes = sizeof original->position};
    return seal_entry(session, entry, &seal, written);
}

static status_t move_voided(entry_builder_t *entry, const undo_t *undo)
{
    cell_t voided = {.kind = CELL_VOIDED, .value = (int64_t)entry->position};
    return entry_builder_move(entry, undo->receipt_key, voided, MOVEMENT_SET, REASON_REVERSE);
}

/* The business date that a void counts for: of its own receipt, else of the sale. */
static int32_t void_date(const session_t *session, const entry_builder_t *entry)
{
    const void_request_t *request = &session->wire.cancel;
    if (is_present(request->present, VOID_RECEIPT)) return (int32_t)request->receipt.business_date;
    if (session->original.business_date != 0) return session->original.business_date;
    if (is_present(request->present, VOID_ORIGINAL_RECEIPT)) {
        return (int32_t)request->original_receipt.business_date;
    }
    return date_from_day(day_of_unix_ms(entry->post_unix_ms, 0));
}

/* The store of the sale that is voided. By its key it was sent by the same one. */
static bytes_t sale_store(const session_t *session)
{
    const void_request_t *request = &session->wire.cancel;
    bool is_named = is_present(request->present, VOID_ORIGINAL_RECEIPT);
    return is_named ? request->original_receipt.store_id : session->wire.store_id;
}

/* The store in whose books the void is. */
static bytes_t void_store(const session_t *session)
{
    const void_request_t *request = &session->wire.cancel;
    if (is_present(request->present, VOID_RECEIPT)) return request->receipt.store_id;
    return session->wire.store_id;
}

static uint32_t void_outcome(const session_t *session, uint32_t outcome)
{
    return session->change.is_rehearsal ? VOID_TRAINING : outcome;
}

/* A void that came before its sale: notes it where the sale will look. */
static status_t prepare_tombstone(session_t *session, const accounts_view_t *view,
                                  entry_builder_t *entry, undo_t *undo)
{
    status_t status = move_voided(entry, undo);
    if (status != STATUS_OK) return status;
    int32_t date = void_date(session, entry);
    int32_t counted_date = open_date(session, view, void_store(session), date);
    reversal_answer_t answer = reversal_answer(session, undo, entry, counted_date);
    answer.outcome = void_outcome(session, VOID_TOMBSTONE);
    answer.has_reversal = false;
    return seal_undo(session, entry, ENTRY_VOID, session->wire.cancel.completed_time_unix_ms, date,
                     counted_date, wire_write_void(session->reply, &answer));
}

static status_t prepare_void(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    const original_t *original = &session->original;
    undo_t undo;
    session->post_unix_ms = entry->post_unix_ms;
    begin_undo(session, view, entry, &undo);
    if (session->is_seen_late) return STATUS_RECEIPT_UNKNOWN;
    if (record_find(undo.receipt, CELL_VOIDED, 0, 0, 0) != NULL) {
        return fault_at(session->fault, STATUS_RECEIPT_VOIDED, "original_receipt");
    }
    uint32_t at = record_first(undo.receipt, CELL_RETURNED);
    if (at < undo.receipt.head->cell_count && undo.receipt.cells[at].kind == CELL_RETURNED) {
        return fault_at(session->fault, STATUS_RECEIPT_HAS_RETURNS, "original_receipt");
    }
    if (original->position == 0) return prepare_tombstone(session, view, entry, &undo);
    if (original->took_back) {
        return fault_at(session->fault, STATUS_RECEIPT_HAS_RETURNS, "original_receipt");
    }
    session->facts.business_day = day_from_date(void_date(session, entry));
    for (uint32_t i = 0; i < original->sold_count; i++) {
        const sold_line_t *sold = &original->sold[i];
        session->reversed[undo.line_count++] =
            (reversed_line_t){.line_id = sold->line_id,
                              .count = sold->count,
                              .gross_minor = sold->gross_minor,
                              .discount_minor = sold->gross_minor - sold->net_minor,
                              .refund_minor = sold->net_minor};
        undo.refund += sold->net_minor;
    }
    undo.is_whole = true;
    status_t status = move_voided(entry, &undo);
    if (status == STATUS_OK) status = move_progress_back(session, view, entry, &undo);
    if (status == STATUS_OK) status = move_points(session, entry, &undo, EARN_REASON_VOID);
    if (status == STATUS_OK) status = move_spent(session, entry, &undo, EARN_REASON_VOID);
    if (status == STATUS_OK) status = move_counts(session, view, entry, &undo);
    if (status == STATUS_OK) status = move_referral_back(session, view, entry, &undo);
    if (status != STATUS_OK) return status;
    int32_t date = void_date(session, entry);
    int32_t counted_date = open_date(session, view, void_store(session), date);
    if (original->counted_date <= closed_date(session, view, sale_store(session))) {
        entry->flags = ENTRY_FLAG_AFTER_CLOSE;
    }
    reversal_answer_t answer = reversal_answer(session, &undo, entry, counted_date);
    answer.outcome = void_outcome(session, VOID_VOIDED);
    return seal_undo(session, entry, ENTRY_VOID, session->wire.cancel.completed_time_unix_ms, date,
                     counted_date, wire_write_void(session->reply, &answer));
}

status_t take_goods_back(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                         uint32_t first_exception, int32_t business_date,
                         reversal_answer_t *answer)
{
    status_t status = STATUS_OK;
    undo_t undo;
    begin_undo(session, view, entry, &undo);
    if (session->is_seen_late) return STATUS_RECEIPT_UNKNOWN;
    undo.first_exception = undo.exception_count = first_exception;
    for (uint32_t i = 0; i < session->asked_count; i++) {
        if (find_sold(&session->original, session->asked[i].line_id) != NULL) continue;
        return refuse_asked(session, STATUS_LINE_UNKNOWN, i, "line_id", "original.line_id");
    }
    bool is_repriced = session->repriced.is_used;
    status = is_repriced ? return_repriced(session, entry, &undo)
                         : return_prorated(session, entry, &undo);
    if (status != STATUS_OK) return status;
    undo.is_whole = all_came_back(session, &undo);
    sum_gross(session, &undo);
    status = move_progress_back(session, view, entry, &undo);
    if (status == STATUS_OK) {
        status = move_points(session, entry, &undo, EARN_REASON_RETURN);
    }
    if (status == STATUS_OK) status = move_spent(session, entry, &undo, EARN_REASON_RETURN);
    if (status == STATUS_OK) status = move_counts(session, view, entry, &undo);
    if (status == STATUS_OK) status = move_referral_back(session, view, entry, &undo);
    if (status == STATUS_OK) *answer = reversal_answer(session, &undo, entry, business_date);
    return status;
}

static status_t prepare_return(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    const return_request_t *request = &session->wire.give_back;
    int32_t date = (int32_t)request->receipt.business_date;
    int32_t counted_date = open_date(session, view, request->receipt.store_id, date);
    reversal_answer_t answer;
    session->post_unix_ms = entry->post_unix_ms;
    record_t receipt = accounts_read(view, session->original.record);
    if (record_find(receipt, CELL_VOIDED, 0, 0, 0) != NULL) {
        return fault_at(session->fault, STATUS_RECEIPT_VOIDED, "original_receipt");
    }
    status_t status = take_goods_back(session, view, entry, 0, counted_date, &answer);
    if (status != STATUS_OK) return status;
    return seal_undo(session, entry, ENTRY_RETURN, request->completed_time_unix_ms, date,
                     counted_date, wire_write_return(session->reply, &answer));
}

/* ------------------------------------------------------------------ confirmation ---- */

static bool awaits(const program_t *program, uint8_t purse)
{
    return purse >= 1 && purse <= program->purse_count
           && (program->purses[purse - 1].flags & PURSE_FLAG_AWAITS) != 0;
}

/* A lot of the working copy that holds what the sale put there and that still waits. Where points
 * roll, the lot came to a later day since. */
static bool is_waiting(const session_t *session, const cell_t *lot, const cell_t *made,
                       uint64_t active_key)
{
    const program_t *program = session->live->program;
    if (lot->kind != CELL_LOT || lot->sub != made->sub || lot->key != made->key) return false;
    if (lot->key <= active_key) return false;
    bool is_rolling = program->purses[made->sub - 1].expiry == EXPIRY_ROLLING;
    return lot->day == made->day || (is_rolling && lot->day > made->day);
}

/* Moves up to `points` of one lot to where they can be spent, or takes them away. */
static status_t confirm_lot(session_t *session, entry_builder_t *entry, uint32_t index,
                            int64_t points, uint64_t active_key)
{
    bool is_cancelled = session->wire.confirm.cancelled != 0;
    cell_t from = session->cells[index];
    from.value = -points;
    from.other = 0;
    session->cells[index].value -= points;
    status_t status = entry_builder_move(entry, group_record(session), from, MOVEMENT_ADD,
                                         is_cancelled ? REASON_REVERSE : REASON_ADJUST);
    if (status != STATUS_OK || is_cancelled) return status;
    from.key = active_key;
    from.value = points;
    add_cell(session, from);
    return entry_builder_move(entry, group_record(session), from, MOVEMENT_ADD, REASON_ADJUST);
}

/* What the sale put into one lot and was not taken back since: as returns take, the first first. */
static status_t confirm_made(session_t *session, entry_builder_t *entry, const movement_t *made,
                             uint64_t active_key, int64_t reversed[PURSES_MAX + 1],
                             int64_t confirmed[PURSES_MAX + 1])
{
    status_t status = STATUS_OK;
    int64_t left = made->cell.value;
    bool is_earned = made->reason == REASON_EARN;
    if (made->cell.kind != CELL_LOT || (!is_earned && made->reason != REASON_GOAL)) return status;
    uint8_t purse = made->cell.sub;
    if (!awaits(session->live->program, purse)) return status;
    if (is_earned) {
        int64_t back = reversed[purse] < left ? reversed[purse] : left;
        reversed[purse] -= back;
        left -= back;
    }
    for (uint32_t i = 0; i < session->cell_count && left > 0 && status == STATUS_OK; i++) {
        const cell_t *lot = &session->cells[i];
        if (!is_waiting(session, lot, &made->cell, active_key)) continue;
        int64_t points = lot->value < left ? lot->value : left;
        if (points <= 0) continue;
        left -= points;
        confirmed[purse] += points;
        status = confirm_lot(session, entry, i, points, active_key);
        bool is_lost = is_earned && session->wire.confirm.cancelled != 0;
        if (status != STATUS_OK || !is_lost) continue;
        cell_t earned = {.kind = CELL_EARNED, .sub = purse, .value = -points};
        status = entry_builder_move(entry, session->original.record, earned, MOVEMENT_ADD,
                                    REASON_BIND);
    }
    return status;
}

static status_t confirm_sale(session_t *session, entry_builder_t *entry, undo_t *undo,
                             uint64_t active_key)
{
    const original_t *original = &session->original;
    bool is_cancelled = session->wire.confirm.cancelled != 0;
    int64_t reversed[PURSES_MAX + 1] = {0};
    int64_t confirmed[PURSES_MAX + 1] = {0};
    for (uint8_t purse = 1; purse <= PURSES_MAX; purse++) {
        const cell_t *kept = record_find(undo->receipt, CELL_EARNED, purse, 0, 0);
        reversed[purse] = sum_earned(original, purse) - (kept == NULL ? 0 : kept->value);
    }
    cell_t noted = {.kind = CELL_CONFIRMED,
                    .value = is_cancelled ? -1 : 1,
                    .other = is_cancelled ? 0 : (int64_t)active_key};
    status_t status = entry_builder_move(entry, undo->receipt_key, noted, MOVEMENT_SET,
                                         REASON_ADJUST);
    for (uint32_t i = 0; i < original->movement_count && status == STATUS_OK; i++) {
        status = confirm_made(session, entry, &original->movements[i], active_key, reversed,
                              confirmed);
    }
    for (uint8_t purse = 1; purse <= PURSES_MAX; purse++) {
        if (confirmed[purse] == 0) continue;
        session->points[undo->points_count++] = (points_t){
            .offer = NONE_32,
            .purse = purse,
            .points = is_cancelled ? -confirmed[purse] : confirmed[purse]};
    }
    return status;
}

static status_t prepare_confirm(void *context, const accounts_view_t *view,
                                entry_builder_t *entry)
{
    session_t *session = context;
    const original_t *original = &session->original;
    int32_t event_day = day_of_unix_ms(entry->post_unix_ms, 0);
    int32_t business_day = day_from_date(original->business_date);
    undo_t undo;
    session->post_unix_ms = entry->post_unix_ms;
    begin_undo(session, view, entry, &undo);
    if (session->is_seen_late) return STATUS_RECEIPT_UNKNOWN;
    if (record_find(undo.receipt, CELL_VOIDED, 0, 0, 0) != NULL) {
        return fault_at(session->fault, STATUS_RECEIPT_VOIDED, "original_receipt");
    }
    if (session->wire.confirm.event_date != 0) {
        event_day = day_from_date(session->wire.confirm.event_date);
    }
    if (event_day < business_day) event_day = business_day;
    session->facts.business_day = event_day;
    uint64_t active_key = activation_key(event_day);
    status_t status = STATUS_OK;
    if (record_find(undo.receipt, CELL_CONFIRMED, 0, 0, 0) == NULL) {
        status = confirm_sale(session, entry, &undo, active_key);
    }
    if (status != STATUS_OK) return status;
    const receipt_id_t *receipt = &session->wire.confirm.original_receipt;
    int32_t counted_date = open_date(session, view, receipt->store_id, original->business_date);
    posting_t posting = posting_of(entry, counted_date);
    return seal_undo(session, entry, ENTRY_CONFIRM, 0, original->business_date, counted_date,
                     wire_write_confirm(session->reply, session->live->program, session->points,
                                        undo.points_count, session->balances,
                                        balances_now(session), &posting));
}

/* ------------------------------------------------------------------ calls ---- */

/* A sale that is not there leaves a tombstone. */
static status_t submit_void(session_t *session)
{
    const void_request_t *request = &session->wire.cancel;
    bool has_receipt = is_present(request->present, VOID_ORIGINAL_RECEIPT);
    bytes_t key = request->original_idempotency_key;
    if (has_receipt) key.size = 0;
    status_t status = load_original(session, &request->original_receipt, key, "original_receipt");
    bool is_unseen = status == STATUS_RECEIPT_UNKNOWN && session->original.position == 0;
    if (status != STATUS_OK && !is_unseen) return status;
    return submit_change(session);
}

static status_t submit_return(session_t *session)
{
    const return_request_t *request = &session->wire.give_back;
    int32_t day = day_from_date(request->receipt.business_date);
    session->facts.business_day = day;
    status_t status = load_sold(session, &request->original_receipt, request->receipt_capsule,
                                "original_receipt");
    if (status == STATUS_OK) status = reprice(session);
    session->facts.business_day = day; /* repricing goes by the sale's own */
    return status == STATUS_OK ? submit_change(session) : status;
}

static status_t submit_confirm(session_t *session)
{
    const bytes_t no_key = {NULL, 0};
    status_t status = load_original(session, &session->wire.confirm.original_receipt, no_key,
                                    "original_receipt");
    return status == STATUS_OK ? submit_change(session) : status;
}

/* What the writer has seen is durable by the time of its answer. */
status_t find_again(session_t *session)
{
    status_t status;
    do {
        session->is_seen_late = false;
        switch (session->wire.kind) {
        case REQUEST_VOID_TRANSACTION: status = submit_void(session); break;
        case REQUEST_RETURN_ITEMS: status = submit_return(session); break;
        case REQUEST_CONFIRM_POINTS: status = submit_confirm(session); break;
        default:
            let_program_go(session);
            status = call_commit(session);
            break;
        }
    } while (status != STATUS_PENDING && session->is_seen_late);
    return status;
}

status_t call_void(session_t *session)
{
    static const uint64_t no_secret[2] = {0, 0};
    const void_request_t *request = &session->wire.cancel;
    bool is_answered = false;
    begin_change(session, REQUEST_VOID_TRANSACTION, prepare_void);
    if (is_present(request->present, VOID_RECEIPT)) {
        session->change.receipt = wire_receipt_hash(no_secret, &request->receipt);
    }
    status_t status = check_sender(session, "original_receipt.store_id");
    status = answer_repeat(session, status, &is_answered);
    if (status != STATUS_OK || is_answered) return status;
    return submit_void(session);
}

status_t call_return(session_t *session)
{
    static const uint64_t no_secret[2] = {0, 0};
    const return_request_t *request = &session->wire.give_back;
    bool is_answered = false;
    begin_change(session, REQUEST_RETURN_ITEMS, prepare_return);
    session->change.receipt = wire_receipt_hash(no_secret, &request->receipt);
    session->exchange.count = 0;
    session->asked = session->wire.return_lines;
    session->asked_count = request->lines.count;
    session->is_refund_paid = request->paid != 0;
    session->are_points_settled = request->points_settled != 0;
    status_t status = check_sender(session, "receipt.store_id");
    status = answer_repeat(session, status, &is_answered);
    if (status != STATUS_OK || is_answered) return status;
    return submit_return(session);
}

status_t call_confirm_points(session_t *session)
{
    bool is_answered = false;
    begin_change(session, REQUEST_CONFIRM_POINTS, prepare_confirm);
    status_t status = check_sender(session, "context.store_id");
    status = answer_repeat(session, status, &is_answered);
    if (status != STATUS_OK || is_answered) return status;
    return submit_confirm(session);
}
