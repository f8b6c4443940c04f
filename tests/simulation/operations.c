/* The rules of the simulated business. Each reads the records through the writer's view, refuses
 * by name or fills the entry with movements: as the engine's own rooms do. */
#include "operations.h"

#include <string.h>

#include "invariant.h"

#define NET_KEY 5
#define LOT_ACTIVATION 0x80000000u
/* Of every fifth sale's points, until they are confirmed. */
#define LOT_WAITING 0xffffffffu

record_key_t group_key(uint8_t group)
{
    return record_key(FAMILY_GROUP, PARTITION, 100u + group, 0);
}

record_key_t member_key(uint8_t group, uint8_t member)
{
    return record_key(FAMILY_MEMBER, PARTITION, 100u + group, 200u + member);
}

record_key_t offer_key(void)
{
    return record_key(FAMILY_OFFER, PARTITION, OFFER, 0);
}

static hash128_t hash_of(uint64_t space, uint64_t number)
{
    hash128_t hash = {mix64(number + 1) | 1, mix64(space ^ ~number)};
    return hash;
}

static hash128_t receipt_hash(uint32_t operation)
{
    return hash_of(3, operation);
}

static record_key_t receipt_key(uint32_t operation)
{
    hash128_t hash = receipt_hash(operation);
    return record_key(FAMILY_RECEIPT, PARTITION, hash.hi, hash.lo);
}

bool has_receipt(uint8_t kind)
{
    return kind == KIND_SALE;
}

void call_set(call_t *call, const request_t *request, bool is_other_key)
{
    memset(call, 0, sizeof *call);
    call->operation = request->operation;
    call->variant = request->variant;
    call->is_other_key = is_other_key;
    call->request = *request;
    uint64_t content = (uint64_t)request->operation << 8 | request->variant;
    /* Few lengths, so that new entries often end where old ones ended. */
    uint32_t padding = request->operation % 4 == 0 ? 128 : 0;
    call->request.padding = padding;
    memset(call->request_padding, (int)request->operation & 0xff, padding);
    change_t *change = &call->change;
    change->method = request->kind;
    change->request = &call->request;
    change->request_bytes = (uint32_t)sizeof call->request + padding;
    change->key = hash_of(is_other_key ? 5 : 1, request->operation);
    change->content = hash_of(2, content);
    if (has_receipt(request->kind)) change->receipt = receipt_hash(request->operation);
    change->prepare = call_prepare;
    change->context = call;
}

uint64_t entry_hash(const movement_t *movements, uint32_t count, const void *response,
                    uint32_t response_bytes)
{
    static const uint64_t key[2] = {1, 2};
    uint64_t hash = siphash128(key, movements, count * sizeof *movements).lo;
    return hash ^ mix64(siphash128(key, response, response_bytes).lo);
}

/* ---------------------------------------------------------------- pieces ------------------ */

static void move(entry_builder_t *entry, record_key_t record, cell_t cell, uint32_t reason)
{
    INVARIANT(entry_builder_move(entry, record, cell, MOVEMENT_ADD, reason) == STATUS_OK);
}

static int64_t value_of(record_t record, uint8_t kind, uint8_t sub, int32_t day, uint64_t key)
{
    const cell_t *cell = record_find(record, kind, sub, day, key);
    return cell == NULL ? 0 : cell->value;
}

static int64_t sum_of(record_t record, uint8_t kind)
{
    int64_t sum = 0;
    for (uint32_t i = record_first(record, kind); i < record.head->cell_count; i++) {
        if (record.cells[i].kind != kind) break;
        sum += record.cells[i].value;
    }
    return sum;
}

/* Notes a change of the group's points in its running total and in the answer. */
static void move_net(call_t *call, entry_builder_t *entry, int64_t points)
{
    cell_t net = {.kind = CELL_PROGRESS, .sub = 1, .key = NET_KEY, .value = points};
    move(entry, group_key(call->points_group), net, REASON_COUNT);
    call->response.points += points;
}

static cell_t lot_cell(int32_t day, int64_t value)
{
    cell_t lot = {.kind = CELL_LOT, .sub = PURSE, .day = day, .key = LOT_ACTIVATION,
                  .value = value};
    return lot;
}

/* What can be spent. */
static int64_t sum_active(record_t group)
{
    int64_t sum = 0;
    for (uint32_t i = record_first(group, CELL_LOT); i < group.head->cell_count; i++) {
        if (group.cells[i].kind != CELL_LOT) break;
        if (group.cells[i].key != LOT_WAITING) sum += group.cells[i].value;
    }
    return sum;
}

/* Takes points from the lots of an activation, earliest expiry first; returns how many were
 * there. */
static int64_t take_lots(entry_builder_t *entry, record_t group, uint8_t number, int64_t wanted,
                         uint64_t activation)
{
    int64_t taken = 0;
    for (uint32_t i = record_first(group, CELL_LOT); i < group.head->cell_count; i++) {
        const cell_t *lot = &group.cells[i];
        if (lot->kind != CELL_LOT || taken == wanted) break;
        if (lot->key != activation) continue;
        int64_t part = lot->value < wanted - taken ? lot->value : wanted - taken;
        cell_t cell = *lot;
        cell.value = -part;
        move(entry, group_key(number), cell, REASON_BURN);
        taken += part;
    }
    return taken;
}

static void move_given(call_t *call, entry_builder_t *entry, uint32_t sale, uint8_t member,
                       int64_t given)
{
    cell_t counter = {.kind = CELL_COUNTER, .sub = 1, .key = OFFER, .value = given};
    if (given == 0) return;
    move(entry, offer_key(), counter, REASON_COUNT);
    move(entry, member_key(call->request.group, member), counter, REASON_COUNT);
    move(entry, receipt_key(sale), counter, REASON_COUNT);
    call->response.given += given;
}

/* ---------------------------------------------------------------- kinds ------------------- */

static status_t prepare_sale(call_t *call, const accounts_view_t *view, entry_builder_t *entry)
{
    const request_t *request = &call->request;
    record_t offer = accounts_read(view, offer_key());
    record_t member = accounts_read(view, member_key(request->group, request->member));
    int64_t left = BUDGET - value_of(offer, CELL_COUNTER, 1, 0, OFFER);
    int64_t member_left = MEMBER_LIMIT - value_of(member, CELL_COUNTER, 1, 0, OFFER);
    int64_t given = request->amount;
    if (given > left) given = left;
    if (given > member_left) given = member_left;
    move_given(call, entry, request->operation, request->member, given);
    record_t group = accounts_read(view, group_key(call->points_group));
    int64_t points = 3 * request->amount;
    int64_t debt = sum_of(group, CELL_DEBT);
    int64_t paid = debt < points ? debt : points;
    cell_t less = {.kind = CELL_DEBT, .sub = PURSE, .value = -paid};
    if (paid > 0) move(entry, group_key(call->points_group), less, REASON_EARN);
    int32_t day = request->amount % 4 == 0 ? DAY_NEVER : 20600 + (int32_t)(request->amount % 4);
    if (points > paid) {
        cell_t lot = lot_cell(day, points - paid);
        if (request->operation % 5 == 0) lot.key = LOT_WAITING;
        move(entry, group_key(call->points_group), lot, REASON_EARN);
    }
    cell_t earned = {.kind = CELL_EARNED, .sub = PURSE, .value = points, .other = request->member};
    move(entry, receipt_key(request->operation), earned, REASON_EARN);
    move_net(call, entry, points);
    entry->kind = ENTRY_COMMIT;
    return STATUS_OK;
}

static status_t prepare_spend(call_t *call, const accounts_view_t *view, entry_builder_t *entry)
{
    const request_t *request = &call->request;
    record_t group = accounts_read(view, group_key(call->points_group));
    if (sum_active(group) < request->amount) return STATUS_POINTS_SHORT;
    take_lots(entry, group, call->points_group, request->amount, LOT_ACTIVATION);
    move_net(call, entry, -request->amount);
    entry->kind = ENTRY_COMMIT;
    return STATUS_OK;
}

/* Takes points back: from what waits, then from what is active; what is missing becomes a debt. */
static void reverse(call_t *call, const accounts_view_t *view, entry_builder_t *entry,
                    int64_t points)
{
    const request_t *request = &call->request;
    record_t group = accounts_read(view, group_key(call->points_group));
    int64_t taken = take_lots(entry, group, call->points_group, points, LOT_WAITING);
    taken += take_lots(entry, group, call->points_group, points - taken, LOT_ACTIVATION);
    cell_t debt = {.kind = CELL_DEBT, .sub = PURSE, .value = points - taken};
    if (points > taken) move(entry, group_key(call->points_group), debt, REASON_CLAW_BACK);
    cell_t earned = {.kind = CELL_EARNED, .sub = PURSE, .value = -points};
    move(entry, receipt_key(request->target), earned, REASON_REVERSE);
    move_net(call, entry, -points);
}

static status_t prepare_undo(call_t *call, const accounts_view_t *view, entry_builder_t *entry)
{
    const request_t *request = &call->request;
    record_t sale = accounts_read(view, receipt_key(request->target));
    if (sale.head->cell_count == 0) return STATUS_RECEIPT_UNKNOWN;
    if (value_of(sale, CELL_VOIDED, 0, 0, 0) != 0) return STATUS_RECEIPT_VOIDED;
    int64_t returned = value_of(sale, CELL_RETURNED, 0, 1, 0);
    int64_t earned = value_of(sale, CELL_EARNED, PURSE, 0, 0);
    if (request->kind == KIND_RETURN) {
        if (returned == SOLD_UNITS) return STATUS_RETURN_TOO_MUCH;
        cell_t unit = {.kind = CELL_RETURNED, .day = 1, .value = 1, .other = request->amount};
        move(entry, receipt_key(request->target), unit, REASON_REVERSE);
        reverse(call, view, entry, earned / (SOLD_UNITS - returned));
        entry->kind = ENTRY_RETURN;
        return STATUS_OK;
    }
    if (returned > 0) return STATUS_RECEIPT_HAS_RETURNS;
    const cell_t *cell = record_find(sale, CELL_EARNED, PURSE, 0, 0);
    uint8_t member = cell == NULL ? 0 : (uint8_t)cell->other;
    int64_t given = value_of(sale, CELL_COUNTER, 1, 0, OFFER);
    move_given(call, entry, request->target, member, -given);
    reverse(call, view, entry, earned);
    cell_t voided = {.kind = CELL_VOIDED, .value = (int64_t)entry->position};
    move(entry, receipt_key(request->target), voided, REASON_REVERSE);
    entry->kind = ENTRY_VOID;
    return STATUS_OK;
}

static status_t prepare_hold(call_t *call, const accounts_view_t *view, entry_builder_t *entry)
{
    const request_t *request = &call->request;
    record_t group = accounts_read(view, group_key(call->points_group));
    uint32_t number = request->kind == KIND_HOLD ? request->operation : request->target;
    cell_t held = {.kind = CELL_HOLD, .sub = PURSE, .key = number};
    entry->kind = ENTRY_UPDATE;
    if (request->kind == KIND_HOLD) {
        if (sum_active(group) < request->amount) return STATUS_HOLD_NOT_COVERED;
        take_lots(entry, group, call->points_group, request->amount, LOT_ACTIVATION);
        held.value = request->amount;
        move(entry, group_key(call->points_group), held, REASON_HOLD);
        return STATUS_OK;
    }
    held.value = -value_of(group, CELL_HOLD, PURSE, 0, number);
    if (held.value == 0) return STATUS_HOLD_CLOSED;
    move(entry, group_key(call->points_group), held, REASON_HOLD);
    int64_t spent = request->kind == KIND_RELEASE ? 0 : request->amount;
    if (spent > -held.value) spent = -held.value;
    int64_t freed = -held.value - spent;
    if (freed > 0) move(entry, group_key(call->points_group), lot_cell(20601, freed), REASON_HOLD);
    if (spent > 0) move_net(call, entry, -spent);
    return STATUS_OK;
}

/* By its number: gives a lot of its own, or takes, some of them into debt. */
static status_t prepare_adjust(call_t *call, const accounts_view_t *view, entry_builder_t *entry)
{
    const request_t *request = &call->request;
    record_t group = accounts_read(view, group_key(call->points_group));
    entry->kind = ENTRY_ADJUST;
    if (request->operation % 2 == 0) {
        move(entry, group_key(call->points_group), lot_cell(20602, request->amount), REASON_ADJUST);
        move_net(call, entry, request->amount);
        return STATUS_OK;
    }
    bool may_owe = request->operation % 3 == 0;
    int64_t available = sum_active(group) - sum_of(group, CELL_DEBT);
    if (!may_owe && available < request->amount) return STATUS_POINTS_SHORT;
    int64_t taken = take_lots(entry, group, call->points_group, request->amount, LOT_ACTIVATION);
    cell_t debt = {.kind = CELL_DEBT, .sub = PURSE, .value = request->amount - taken};
    if (debt.value > 0) move(entry, group_key(call->points_group), debt, REASON_ADJUST);
    move_net(call, entry, -request->amount);
    return STATUS_OK;
}

/* All of a group's cells become the cells of another, which it names from then on. */
static status_t prepare_merge(call_t *call, const accounts_view_t *view, entry_builder_t *entry)
{
    const request_t *request = &call->request;
    uint8_t from = (uint8_t)(request->operation % GROUPS);
    uint8_t to = call->points_group;
    bool is_rare = request->operation % 3 == 0;
    record_t gone = accounts_read(view, group_key(from));
    entry->kind = ENTRY_MERGE;
    if (!is_rare || from == to || record_find(gone, CELL_MOVED, 0, 0, 0) != NULL) return STATUS_OK;
    for (uint32_t i = 0; i < gone.head->cell_count; i++) {
        cell_t cell = gone.cells[i];
        move(entry, group_key(to), cell, REASON_ADJUST);
        if (cell.kind == CELL_PROGRESS) call->response.moved += cell.value;
        cell.value = -cell.value;
        cell.other = -cell.other;
        move(entry, group_key(from), cell, REASON_ADJUST);
    }
    cell_t moved = {.kind = CELL_MOVED, .value = 1 + to};
    move(entry, group_key(from), moved, REASON_OVERLAY);
    call->response.from = from;
    return STATUS_OK;
}

/* Where a group's points are now. */
static uint8_t follow(const accounts_view_t *view, uint8_t group)
{
    for (uint32_t i = 0;; i++) {
        INVARIANT(i < GROUPS);
        int64_t moved = value_of(accounts_read(view, group_key(group)), CELL_MOVED, 0, 0, 0);
        if (moved == 0) return group;
        group = (uint8_t)(moved - 1);
    }
}

/* By its number: the event came, or will not come. Once for a sale; later ones move nothing. */
static status_t prepare_confirm(call_t *call, const accounts_view_t *view, entry_builder_t *entry)
{
    const request_t *request = &call->request;
    record_t sale = accounts_read(view, receipt_key(request->target));
    if (sale.head->cell_count == 0) return STATUS_RECEIPT_UNKNOWN;
    if (value_of(sale, CELL_VOIDED, 0, 0, 0) != 0) return STATUS_RECEIPT_VOIDED;
    entry->kind = ENTRY_CONFIRM;
    if (value_of(sale, CELL_CONFIRMED, 0, 0, 0) != 0) return STATUS_OK;
    bool is_cancelled = request->operation % 3 == 0;
    record_t group = accounts_read(view, group_key(call->points_group));
    int64_t earned = value_of(sale, CELL_EARNED, PURSE, 0, 0);
    int64_t points = request->target % 5 != 0 ? 0 : earned;
    points = take_lots(entry, group, call->points_group, points, LOT_WAITING);
    cell_t noted = {.kind = CELL_CONFIRMED, .value = is_cancelled ? -1 : 1};
    move(entry, receipt_key(request->target), noted, REASON_ADJUST);
    if (points == 0) return STATUS_OK;
    if (!is_cancelled) {
        move(entry, group_key(call->points_group), lot_cell(20602, points), REASON_ADJUST);
        return STATUS_OK;
    }
    cell_t lost = {.kind = CELL_EARNED, .sub = PURSE, .value = -points};
    move(entry, receipt_key(request->target), lost, REASON_REVERSE);
    move_net(call, entry, -points);
    return STATUS_OK;
}

status_t call_prepare(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    call_t *call = context;
    const request_t *request = &call->request;
    call->points_group = follow(view, request->group);
    response_t response = {.lsn = entry->lsn,
                           .operation = request->operation,
                           .kind = request->kind,
                           .variant = request->variant,
                           .group = call->points_group,
                           .member = request->member};
    call->response = response;
    status_t status = STATUS_OK;
    switch (request->kind) {
    case KIND_SALE: status = prepare_sale(call, view, entry); break;
    case KIND_SPEND: status = prepare_spend(call, view, entry); break;
    case KIND_VOID:
    case KIND_RETURN: status = prepare_undo(call, view, entry); break;
    case KIND_MERGE: status = prepare_merge(call, view, entry); break;
    case KIND_CONFIRM: status = prepare_confirm(call, view, entry); break;
    case KIND_ADJUST: status = prepare_adjust(call, view, entry); break;
    case KIND_NOTE: entry->kind = ENTRY_UPDATE; break;
    default: status = prepare_hold(call, view, entry); break;
    }
    if (status != STATUS_OK) return status;
    entry->event_unix_ms = 1000 + request->operation;
    entry->account_group = 100u + request->group;
    uint32_t padding = entry->lsn % 8 == 0 ? 64 : 0;
    memset(call->response_padding, (int)entry->lsn & 0xff, padding);
    entry->response = &call->response;
    entry->response_bytes = (uint32_t)sizeof call->response + padding;
    call->is_prepared = true;
    call->prepared_movements = entry->movement_count;
    call->prepared_hash = entry_hash(entry->movements, entry->movement_count, entry->response,
                                     entry->response_bytes);
    return STATUS_OK;
}
