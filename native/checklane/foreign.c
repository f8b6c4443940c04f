/* Sales that another node entered: what the answer to a sale hands out for them, and how goods of
 * one come back here, where nothing is known of it but that.
 *
 * The capsule takes the place of the sale's entry: what was sold and which lots earned and paid
 * become session->original, and returns are judged from it as ever, by the money that was paid.
 * What came back is noted at the sale's receipt, so any sequence of returns at this node sums to
 * the whole. Limits, progress, coupons and referrals of the sale are those of its own node, and are
 * not in it. */
#include <string.h>

#include "engine_internal.h"

/* ------------------------------------------------------------------ issued ---- */

/* Adds what a movement did to a lot of the account. False: there is no room for it, or its purse
 * came after the program of the sale. */
static bool add_points(const program_t *program, const movement_t *movement, capsule_t *capsule)
{
    const cell_t *lot = &movement->cell;
    if (lot->kind != CELL_LOT) return true;
    if (movement->reason != REASON_EARN && movement->reason != REASON_BURN) return true;
    if (capsule->points_count == CAPSULE_POINTS_MAX) return false;
    if (lot->sub == 0 || lot->sub > program->purse_count) return false;
    capsule->points[capsule->points_count++] =
        (capsule_points_t){.purse = program->purses[lot->sub - 1].key,
                           .last_day = lot->day,
                           .active_day = activation_of(lot),
                           .points = lot->value};
    return true;
}

bytes_t issue_capsule(session_t *session, const account_t *account, const movement_t *movements,
                      uint32_t movement_count)
{
    static const uint64_t no_secret[2] = {0, 0};
    const commit_request_t *request = &session->wire.commit;
    const program_t *program = session->live->program;
    const bytes_t none = {NULL, 0};
    capsule_t *capsule = &session->capsule;
    if (!request->issue_capsule || session->is_voided_before) return none;
    int32_t day = day_from_date(request->receipt.business_date);
    uint32_t days = program->header->return_days;
    if (days > RETENTION_DAYS) days = RETENTION_DAYS;
    *capsule = (capsule_t){.program = program->header->program_key,
                           .receipt = wire_receipt_hash(no_secret, &request->receipt),
                           .account_group = account->account_group,
                           .member = account->member,
                           .business_date = (int32_t)request->receipt.business_date,
                           .last_date = date_from_day(day + (int32_t)days)};
    for (uint32_t i = 0; i < session->basket.line_count; i++) {
        if (sold_line(session, i, &capsule->sold[capsule->sold_count])) capsule->sold_count++;
    }
    for (uint32_t i = 0; i < movement_count; i++) {
        if (!add_points(program, &movements[i], capsule)) return none;
    }
    uint32_t size = capsule_write(capsule, session->engine->options.identity_key,
                                  session->capsule_bytes);
    return (bytes_t){session->capsule_bytes, size};
}

/* ------------------------------------------------------------------ taken ---- */

/* Number of the purse of this name key in the live program; 0: it has none. */
static uint8_t find_purse(const program_t *program, uint64_t key)
{
    for (uint32_t i = 0; i < program->purse_count; i++) {
        if (program->purses[i].key == key) return (uint8_t)(i + 1);
    }
    return 0;
}

/* Points of a purse that this node's program does not have are none of its accounts. */
static void restore_points(session_t *session, const capsule_t *capsule)
{
    original_t *original = &session->original;
    record_key_t group = key_of(session, FAMILY_GROUP, capsule->account_group, 0);
    for (uint32_t i = 0; i < capsule->points_count; i++) {
        const capsule_points_t *points = &capsule->points[i];
        uint8_t purse = find_purse(session->live->program, points->purse);
        if (purse == 0) continue;
        original->movements[original->movement_count++] =
            (movement_t){.record = group,
                         .cell = {.kind = CELL_LOT,
                                  .sub = purse,
                                  .day = points->last_day,
                                  .key = activation_key(points->active_day),
                                  .value = points->points},
                         .op = MOVEMENT_ADD,
                         .reason = points->points > 0 ? REASON_EARN : REASON_BURN};
    }
}

static status_t open_capsule(session_t *session, const receipt_id_t *receipt, bytes_t bytes)
{
    static const uint64_t no_secret[2] = {0, 0};
    capsule_t *capsule = &session->capsule;
    original_t *original = &session->original;
    hash128_t named = wire_receipt_hash(no_secret, receipt);
    if (!capsule_read(bytes, session->engine->options.identity_key, capsule)) {
        return STATUS_CAPSULE_INVALID;
    }
    if (capsule->program != session->live->program->header->program_key) {
        return STATUS_CAPSULE_INVALID;
    }
    if (capsule->receipt.hi != named.hi || capsule->receipt.lo != named.lo) {
        return STATUS_CAPSULE_INVALID;
    }
    if (session->facts.business_day > day_from_date(capsule->last_date)) {
        return STATUS_CAPSULE_EXPIRED;
    }
    original->is_foreign = true;
    original->account_group = capsule->account_group;
    original->member = capsule->member;
    original->business_date = original->counted_date = capsule->business_date;
    original->sold_count = capsule->sold_count;
    memcpy(original->sold, capsule->sold, capsule->sold_count * sizeof capsule->sold[0]);
    restore_points(session, capsule);
    return STATUS_OK;
}

status_t load_sold(session_t *session, const receipt_id_t *receipt, bytes_t capsule,
                   const char *place)
{
    const bytes_t no_key = {NULL, 0};
    status_t status = load_original(session, receipt, no_key, place);
    bool is_unseen = status == STATUS_RECEIPT_UNKNOWN && session->original.position == 0;
    if (!is_unseen || capsule.size == 0) return status;
    status = open_capsule(session, receipt, capsule);
    if (status != STATUS_OK) return fault_at(session->fault, status, "receipt_capsule");
    return STATUS_OK;
}
