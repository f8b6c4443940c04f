/* What the writer owns: the open group of drafts, which nobody else can reach until it is
 * published, and the sums of points. And the replay at start, which changes records in place, since
 * nobody reads yet. */
#include "accounts_internal.h"

#include <stdlib.h>
#include <sys/mman.h>

/* Bytes of one stored record at most, and of all versions that one entry can make: each of its
 * records once with room to grow, and grown copies that together are no longer than twice that. */
#define STORED_BYTES_MAX (64 + RECORD_CELLS_MAX * sizeof(cell_t))
#define ENTRY_DRAFT_BYTES_MAX (3 * MOVEMENTS_MAX * STORED_BYTES_MAX)
#define DRAFT_BYTES (2 * ENTRY_DRAFT_BYTES_MAX)
#define DRAFT_KEEP_BYTES (16 * 1024 * 1024)
#define DRAFT_ROOM_CELLS 8
/* Records that a replay looks for in the environment before it has the index built: through 244
 * runs (limits.h) they take 0.4 s at most, the index of 16 million records one or two. */
#define REPLAY_LOOKS_MAX 2048
/* A replay in place, for entries of so many movements; longer ones take the way of a group. */
#define REPLAY_MOVEMENTS_MAX 64
/* A long replay gets a memtable of this many times the arena and the slots, so that a million
 * entries of 250 B in memory fit without a checkpoint in between. */
#define REPLAY_ARENA_TIMES 2
#define REPLAY_SLOTS_TIMES 4
/* Its pages are taken so far ahead of their use, and so many at once: 2 MiB are one huge page. */
#define REPLAY_PAGES_AHEAD_BYTES (16 * 1024 * 1024)
#define REPLAY_PAGES_BYTES (2 * 1024 * 1024)

/* ---------------------------------------------------------------- the open group ---------- */

bool group_allocate(group_t *group)
{
    group->slots = calloc(DRAFT_SLOTS, sizeof *group->slots);
    group->touched = calloc(DRAFTS_MAX, sizeof *group->touched);
    group->undo = calloc(MOVEMENTS_MAX, sizeof *group->undo);
    void *arena = mmap(NULL, DRAFT_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena != MAP_FAILED) group->arena = arena;
    return group->slots != NULL && group->touched != NULL && group->undo != NULL
           && group->arena != NULL;
}

void group_free(group_t *group)
{
    if (group->arena != NULL) munmap(group->arena, DRAFT_BYTES);
    free(group->slots);
    free(group->touched);
    free(group->undo);
}

/* The key's slot, or the empty one where it belongs. */
draft_slot_t *group_find(const group_t *group, uint64_t hash, const record_key_t *key)
{
    for (uint64_t at = hash & (DRAFT_SLOTS - 1);; at = (at + 1) & (DRAFT_SLOTS - 1)) {
        draft_slot_t *slot = &group->slots[at];
        if (slot->group_number != group->number) return slot;
        if (slot->hash == hash && key_equal(&slot->key, key)) return slot;
    }
}

static stored_t *draft_new(group_t *group, const record_key_t *key, record_t base,
                           uint32_t room_cells)
{
    uint64_t bytes = stored_bytes(room_cells);
    INVARIANT(base.head->cell_count <= room_cells);
    INVARIANT(group->used + bytes <= DRAFT_BYTES);
    stored_t *draft = (stored_t *)(void *)(group->arena + group->used);
    group->used += bytes;
    draft->room_cells = room_cells;
    draft->reserved = 0;
    draft->key = *key;
    draft->head = *base.head;
    if (base.head->cell_count > 0) {
        memcpy(draft->cells, base.cells, base.head->cell_count * sizeof(cell_t));
    }
    return draft;
}

/* Opens a record for one entry: a new version on top of what was there, noted for undoing. False
 * when the record has seen this entry already. */
static bool group_touch(accounts_t *accounts, draft_slot_t *slot, uint64_t lsn)
{
    group_t *group = &accounts->group;
    record_t base = accounts_read(&accounts->writer->view, slot->key);
    if (base.head->applied_lsn >= lsn) return false;
    undo_t undo = {.slot = (uint32_t)(slot - group->slots),
                   .draft = slot->draft,
                   .entry_lsn = slot->entry_lsn};
    group->undo[group->undo_count++] = undo;
    if (slot->draft != NULL) group->publish_bytes -= stored_bytes(slot->draft->head.cell_count);
    uint32_t room_cells = base.head->cell_count + DRAFT_ROOM_CELLS;
    slot->draft = draft_new(group, &slot->key, base, room_cells);
    slot->draft->head.applied_lsn = lsn;
    if (is_monthly(slot->key.family) && slot->draft->head.month == 0) {
        INVARIANT(accounts->newest_month > 0);
        slot->draft->head.month = accounts->newest_month;
    }
    group->publish_bytes += stored_bytes(slot->draft->head.cell_count);
    return true;
}

static status_t cell_change(cell_t *cell, const movement_t *movement)
{
    if (movement->op == MOVEMENT_SET) {
        cell->value = movement->cell.value;
        cell->other = movement->cell.other;
        return STATUS_OK;
    }
    INVARIANT(movement->op == MOVEMENT_ADD);
    if (__builtin_add_overflow(cell->value, movement->cell.value, &cell->value)
        || __builtin_add_overflow(cell->other, movement->cell.other, &cell->other)) {
        return STATUS_RECORD_CEILING;
    }
    return STATUS_OK;
}

/* Applies one movement to a record that has room for one cell more, or RECORD_CELLS_MAX. */
static status_t stored_move(stored_t *record, const movement_t *movement)
{
    uint32_t count = record->head.cell_count;
    uint32_t at = record_lower_bound(record_of_stored(record), &movement->cell);
    bool is_there = at < count && cell_compare(&record->cells[at], &movement->cell) == 0;
    cell_t cell = movement->cell;
    cell.reserved = 0;
    cell.value = is_there ? record->cells[at].value : 0;
    cell.other = is_there ? record->cells[at].other : 0;
    status_t status = cell_change(&cell, movement);
    if (status != STATUS_OK) return status;
    bool is_empty = cell.value == 0 && cell.other == 0;
    size_t behind = count - at;
    if (is_there && !is_empty) {
        record->cells[at] = cell;
    } else if (is_there) {
        memmove(&record->cells[at], &record->cells[at + 1], (behind - 1) * sizeof cell);
        record->head.cell_count--;
    } else if (!is_empty) {
        if (count == RECORD_CELLS_MAX) return STATUS_RECORD_CEILING;
        INVARIANT(count < record->room_cells);
        memmove(&record->cells[at + 1], &record->cells[at], behind * sizeof cell);
        record->cells[at] = cell;
        record->head.cell_count++;
    }
    return STATUS_OK;
}

/* Applies one movement to the newest draft of its record. */
static status_t draft_move(group_t *group, draft_slot_t *slot, const movement_t *movement)
{
    uint32_t count = slot->draft->head.cell_count;
    if (count == slot->draft->room_cells && count < RECORD_CELLS_MAX) {
        uint32_t room_cells = 2 * count < RECORD_CELLS_MAX ? 2 * count : RECORD_CELLS_MAX;
        slot->draft = draft_new(group, &slot->key, record_of_stored(slot->draft), room_cells);
    }
    status_t status = stored_move(slot->draft, movement);
    group->publish_bytes += slot->draft->head.cell_count * sizeof(cell_t);
    group->publish_bytes -= count * sizeof(cell_t);
    return status;
}

static status_t group_move(accounts_t *accounts, uint64_t lsn, const movement_t *movement)
{
    group_t *group = &accounts->group;
    INVARIANT(movement->record.reserved_8 == 0);
    INVARIANT(movement->record.reserved == 0);
    uint64_t hash = key_hash(&movement->record);
    draft_slot_t *slot = group_find(group, hash, &movement->record);
    if (slot->group_number != group->number) {
        INVARIANT(group->count < DRAFTS_MAX);
        group->touched[group->count++] = (uint32_t)(slot - group->slots);
        draft_slot_t fresh = {.hash = hash, .key = movement->record};
        *slot = fresh;
        slot->group_number = group->number;
    }
    if (slot->entry_lsn != lsn) {
        if (!group_touch(accounts, slot, lsn)) return STATUS_OK;
        slot->entry_lsn = lsn;
    }
    return draft_move(group, slot, movement);
}

/* Puts every record back to what it was before this entry. */
static void group_undo(group_t *group)
{
    while (group->undo_count > 0) {
        undo_t undo = group->undo[--group->undo_count];
        draft_slot_t *slot = &group->slots[undo.slot];
        group->publish_bytes -= stored_bytes(slot->draft->head.cell_count);
        slot->draft = undo.draft;
        slot->entry_lsn = undo.entry_lsn;
        if (slot->draft != NULL) {
            group->publish_bytes += stored_bytes(slot->draft->head.cell_count);
        }
    }
}

static points_flow_t flow_of(uint32_t reason, bool is_taken)
{
    switch (reason) {
    case REASON_REFERRAL:
    case REASON_EARN: return is_taken ? POINTS_ADJUSTED_OUT : POINTS_EARNED;
    case REASON_GOAL: return is_taken ? POINTS_ADJUSTED_OUT : POINTS_GOAL;
    case REASON_BURN: return is_taken ? POINTS_BURNED : POINTS_GIVEN_BACK;
    case REASON_REVERSE:
    case REASON_CLAW_BACK: return is_taken ? POINTS_CLAWED_BACK : POINTS_GIVEN_BACK;
    case REASON_EXPIRE: return is_taken ? POINTS_EXPIRED : POINTS_ADJUSTED_IN;
    default: return is_taken ? POINTS_ADJUSTED_OUT : POINTS_ADJUSTED_IN;
    }
}

/* Adds up the points that an applied entry moves. Purse 0 stands for numbers that are no purse's.
 * A replay only restores what is owed: its flows were counted by the process that wrote them. */
static void count_points(accounts_t *accounts, const movement_t *movements, uint32_t count,
                         bool is_replay)
{
    for (uint32_t i = 0; i < count; i++) {
        const cell_t *cell = &movements[i].cell;
        if (cell->kind != CELL_LOT && cell->kind != CELL_DEBT) continue;
        if (movements[i].op != MOVEMENT_ADD || cell->value == 0) continue;
        bool is_taken = (cell->value < 0) == (cell->kind == CELL_LOT);
        uint64_t amount = cell->value < 0 ? 0 - (uint64_t)cell->value : (uint64_t)cell->value;
        uint32_t purse = cell->sub <= PURSES_MAX ? cell->sub : 0;
        uint64_t owed = (uint64_t)accounts->owed_points[purse];
        accounts->owed_points[purse] = (int64_t)(is_taken ? owed - amount : owed + amount);
        accounts->is_points_dirty = true;
        if (is_replay) continue;
        accounts->points[flow_of(movements[i].reason, is_taken)][purse] += amount;
    }
}

/* Shows the sums to whoever asks: once a group, when the group is durable. */
static void show_points(accounts_t *accounts)
{
    if (!accounts->is_points_dirty) return;
    accounts->is_points_dirty = false;
    for (int purse = 0; purse <= PURSES_MAX; purse++) {
        atomic_store_explicit(&accounts->shown_owed_points[purse], accounts->owed_points[purse],
                              memory_order_relaxed);
        for (int flow = 0; flow < POINTS_FLOWS; flow++) {
            atomic_store_explicit(&accounts->shown_points[flow][purse],
                                  accounts->points[flow][purse], memory_order_relaxed);
        }
    }
}

static status_t apply(accounts_t *accounts, uint64_t lsn, const movement_t *movements,
                      uint32_t movement_count)
{
    group_t *group = &accounts->group;
    const memtable_t *active = accounts->writer->view.tables->active;
    INVARIANT(movement_count <= MOVEMENTS_MAX);
    group->undo_count = 0;
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < movement_count && status == STATUS_OK; i++) {
        status = group_move(accounts, lsn, &movements[i]);
    }
    if (status == STATUS_OK) {
        uint64_t used = atomic_load_explicit(&active->used, memory_order_relaxed);
        uint64_t count = atomic_load_explicit(&active->count, memory_order_relaxed);
        uint64_t slots = active->mask + 1;
        if (used + group->publish_bytes > active->arena_bytes) status = STATUS_MEMTABLE_FULL;
        /* One slot in eight stays empty, so that a probe for an absent key ends soon. */
        if (count + group->count > slots - slots / 8) status = STATUS_MEMTABLE_FULL;
    }
    if (status != STATUS_OK) group_undo(group);
    return status;
}

status_t accounts_apply(accounts_t *accounts, uint64_t lsn, const movement_t *movements,
                        uint32_t movement_count)
{
    status_t status = apply(accounts, lsn, movements, movement_count);
    if (status == STATUS_OK) count_points(accounts, movements, movement_count, false);
    return status;
}

bool accounts_group_has_room(const accounts_t *accounts)
{
    const group_t *group = &accounts->group;
    return group->count + MOVEMENTS_MAX <= DRAFTS_MAX
           && group->used + ENTRY_DRAFT_BYTES_MAX <= DRAFT_BYTES;
}

void accounts_group_begin(accounts_t *accounts)
{
    group_t *group = &accounts->group;
    if (group->used > DRAFT_KEEP_BYTES) {
        /* A rare huge group: give its pages back. */
        madvise(group->arena + DRAFT_KEEP_BYTES, DRAFT_BYTES - DRAFT_KEEP_BYTES, MADV_DONTNEED);
    }
    group->used = 0;
    group->count = 0;
    group->publish_bytes = 0;
    group->undo_count = 0;
    group->number++;
    if (group->number == 0) {
        memset(group->slots, 0, DRAFT_SLOTS * sizeof *group->slots);
        group->number = 1;
    }
    accounts_pin(accounts->writer);
    accounts->writer->view.group = group;
}

const accounts_view_t *accounts_writer_view(accounts_t *accounts)
{
    return &accounts->writer->view;
}

/* Keeps the figures of the active memtable, which the askers themselves must not touch. */
void note_active(accounts_t *accounts, const memtable_t *active)
{
    atomic_store_explicit(&accounts->memtable_bytes, active->used, memory_order_relaxed);
    atomic_store_explicit(&accounts->memtable_records, active->count, memory_order_relaxed);
}

void accounts_group_publish(accounts_t *accounts)
{
    group_t *group = &accounts->group;
    memtable_t *active = accounts->writer->view.tables->active;
    for (uint32_t i = 0; i < group->count; i++) {
        const draft_slot_t *slot = &group->slots[group->touched[i]];
        if (slot->draft != NULL) memtable_put(active, slot->hash, slot->draft);
    }
    group->count = 0;
    note_active(accounts, active);
    show_points(accounts);
    accounts_unpin(accounts->writer);
}

/* ---------------------------------------------------------------- replay ------------------ */

/* Cells for which a record that is changed in place gets room. */
static uint32_t room_for(uint32_t cell_count)
{
    if (cell_count <= 2) return cell_count;
    uint32_t step = cell_count < 16 ? 4 : 16;
    uint32_t room = (cell_count + step - 1) / step * step;
    return room < RECORD_CELLS_MAX ? room : RECORD_CELLS_MAX;
}

/* A copy of a record with another room, in the arena; NULL when that is used up. */
static stored_t *arena_copy(memtable_t *table, const record_key_t *key, record_t base,
                            uint32_t room_cells)
{
    uint64_t bytes = stored_bytes(room_cells);
    uint64_t used = atomic_load_explicit(&table->used, memory_order_relaxed);
    if (used + bytes > table->arena_bytes) return NULL;
    atomic_store_explicit(&table->used, used + bytes, memory_order_relaxed);
    stored_t *copy = (stored_t *)(void *)(table->arena + used);
    copy->room_cells = room_cells;
    copy->reserved = 0;
    copy->key = *key;
    copy->head = *base.head;
    if (base.head->cell_count > 0) {
        memcpy(copy->cells, base.cells, base.head->cell_count * sizeof(cell_t));
    }
    return copy;
}

/* The slot of a key in the active memtable: its own, or the empty one where it belongs. */
static memtable_slot_t *replay_slot(memtable_t *table, uint64_t hash, const record_key_t *key)
{
    for (uint64_t at = hash & table->mask;; at = (at + 1) & table->mask) {
        memtable_slot_t *slot = &table->slots[at];
        const stored_t *record = atomic_load_explicit(&slot->record, memory_order_relaxed);
        if (record == NULL) return slot;
        if (slot->hash == hash && key_equal(&record->key, key)) return slot;
    }
}

/* Nobody reads while a replay changes records in place. */
static stored_t *slot_record(const memtable_slot_t *slot)
{
    return (stored_t *)(uintptr_t)atomic_load_explicit(&slot->record, memory_order_relaxed);
}

/* True where the slot has no record, or one that is out of retention. */
static bool is_unknown(const accounts_t *accounts, const memtable_slot_t *slot)
{
    const stored_t *record = slot_record(slot);
    if (record == NULL) return true;
    record_t known = visible(accounts, record->key.family, record_of_stored(record));
    return known.head != &record->head;
}

/* Puts what is known of a record into a slot that does not know it; false without room. `is_bound`:
 * this entry binds it and says that there was no record before, so there is nothing to look for. */
static bool replay_fetch(accounts_t *accounts, memtable_t *table, memtable_slot_t *slot,
                         uint64_t hash, record_key_t key, bool is_bound)
{
    record_t base = {&absent_head, NULL};
    if (!is_bound) {
        bool is_looked_for = is_monthly(key.family) && atomic_load(&accounts->index) == NULL;
        /* Many that nobody binds: holds, and what baskets hold. Without memory they take longer. */
        if (is_looked_for && ++accounts->replay_looks == REPLAY_LOOKS_MAX) {
            accounts_prepare_index(accounts, 0);
        }
        base = read_environment(&accounts->writer->view, &key);
    }
    stored_t *record = arena_copy(table, &key, base, room_for(base.head->cell_count + 1));
    if (record == NULL) return false;
    if (is_monthly(key.family) && record->head.month == 0) {
        record->head.month = accounts->newest_month;
    }
    if (slot_record(slot) == NULL) {
        atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
    }
    slot->hash = hash;
    atomic_store_explicit(&slot->record, record, memory_order_relaxed);
    return true;
}

/* True when one of the entry's last two movements, where ledger.c puts them, binds the record. */
static bool is_bound_by(const movement_t *movements, uint32_t count, const record_key_t *key)
{
    for (uint32_t i = count < 2 ? 0 : count - 2; i < count; i++) {
        if (movements[i].cell.kind != CELL_ENTRY || movements[i].reason != REASON_BIND) continue;
        if (key_equal(&movements[i].record, key)) return true;
    }
    return false;
}

/* Finds or fetches the records of an entry and makes sure of room for all its movements; false
 * when the memtable is short of it. Nothing that anybody could tell has changed then. */
static bool replay_prepare(accounts_t *accounts, memtable_t *table, const movement_t *movements,
                           uint32_t count, memtable_slot_t **slots)
{
    uint64_t hashes[REPLAY_MOVEMENTS_MAX];
    for (uint32_t i = 0; i < count; i++) {
        hashes[i] = key_hash(&movements[i].record);
        __builtin_prefetch(&table->slots[hashes[i] & table->mask]);
    }
    for (uint32_t i = 0; i < count; i++) {
        __builtin_prefetch(slot_record(&table->slots[hashes[i] & table->mask]));
    }
    uint64_t records = atomic_load_explicit(&table->count, memory_order_relaxed);
    if (records + count > (table->mask + 1) / 8 * 7) return false;
    uint64_t growth = 0;
    for (uint32_t i = 0; i < count; i++) {
        const record_key_t *key = &movements[i].record;
        slots[i] = replay_slot(table, hashes[i], key);
        if (is_unknown(accounts, slots[i])) {
            bool is_bound = is_monthly(key->family) && is_bound_by(movements, count, key);
            if (!replay_fetch(accounts, table, slots[i], hashes[i], *key, is_bound)) return false;
        }
        const stored_t *record = slot_record(slots[i]);
        uint32_t most = record->head.cell_count + count;
        if (most > record->room_cells) growth += stored_bytes(room_for(most));
    }
    return atomic_load_explicit(&table->used, memory_order_relaxed) + growth <= table->arena_bytes;
}

/* The slot's record with room for one cell more. */
static stored_t *replay_room(memtable_t *table, memtable_slot_t *slot)
{
    stored_t *record = slot_record(slot);
    uint32_t count = record->head.cell_count;
    if (count < record->room_cells || count == RECORD_CELLS_MAX) return record;
    record = arena_copy(table, &record->key, record_of_stored(record), room_for(count + 1));
    INVARIANT(record != NULL);
    atomic_store_explicit(&slot->record, record, memory_order_relaxed);
    return record;
}

static status_t replay_in_place(memtable_t *table, uint64_t lsn, const movement_t *movements,
                                uint32_t count, memtable_slot_t **slots)
{
    uint64_t seen = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (slot_record(slots[i])->head.applied_lsn >= lsn) seen |= 1ull << i;
    }
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        if ((seen >> i & 1) != 0) continue;
        stored_t *record = replay_room(table, slots[i]);
        record->head.applied_lsn = lsn;
        status = stored_move(record, &movements[i]);
    }
    return status;
}

void accounts_replay_begin(accounts_t *accounts, uint64_t journal_bytes)
{
    tables_t *tables = atomic_load(&accounts->tables);
    const accounts_options_t *options = &accounts->options;
    bool is_unused = atomic_load_explicit(&tables->active->count, memory_order_relaxed) == 0;
    if (is_unused && 2 * journal_bytes > options->memtable_bytes) {
        memtable_t *large = memtable_new(REPLAY_SLOTS_TIMES * (uint64_t)options->memtable_slots,
                                         REPLAY_ARENA_TIMES * options->memtable_bytes);
        if (large != NULL) {
            /* Every page of it is about to be touched, in no order. A refusal costs only time. */
            madvise(large->slots, large->mapped_bytes, MADV_HUGEPAGE);
            memtable_free(tables->active);
            tables->active = large;
            atomic_store(&accounts->replay_pages, 0);
            atomic_store(&accounts->replaying, large);
        }
    }
    accounts_pin(accounts->writer);
}

status_t accounts_replay(accounts_t *accounts, uint64_t lsn, int64_t post_unix_ms,
                         const movement_t *movements, uint32_t count)
{
    memtable_slot_t *slots[REPLAY_MOVEMENTS_MAX];
    memtable_t *active = accounts->writer->view.tables->active;
    accounts_advance(accounts, post_unix_ms);
    for (uint32_t i = 0; i < count; i++) {
        /* Checksums agree, so these would be faults of whoever wrote the entry. */
        INVARIANT(movements[i].record.family >= 1);
        INVARIANT(movements[i].record.family <= FAMILIES);
    }
    if (count <= REPLAY_MOVEMENTS_MAX
        && replay_prepare(accounts, active, movements, count, slots)) {
        status_t status = replay_in_place(active, lsn, movements, count, slots);
        if (status == STATUS_OK) count_points(accounts, movements, count, true);
        return status;
    }
    accounts_unpin(accounts->writer);
    accounts_group_begin(accounts);
    status_t status = apply(accounts, lsn, movements, count);
    if (status == STATUS_OK) count_points(accounts, movements, count, true);
    accounts_group_publish(accounts);
    accounts_pin(accounts->writer);
    return status;
}

void accounts_replay_ahead(const accounts_t *accounts, const movement_t *movements, uint32_t count,
                           bool is_near)
{
    const memtable_t *table = accounts->writer->view.tables->active;
    for (uint32_t i = 0; i < count && i < REPLAY_MOVEMENTS_MAX; i++) {
        const memtable_slot_t *slot = &table->slots[key_hash(&movements[i].record) & table->mask];
        if (is_near) __builtin_prefetch(slot_record(slot));
        else __builtin_prefetch(slot);
    }
}

bool accounts_replay_spare(accounts_t *accounts)
{
#ifdef MADV_POPULATE_WRITE
    memtable_t *table = atomic_load(&accounts->replaying);
    if (table == NULL) return false;
    uint64_t slot_bytes = table->mapped_bytes - table->arena_bytes;
    uint64_t used = atomic_load_explicit(&table->used, memory_order_relaxed);
    uint64_t wanted = slot_bytes + used + REPLAY_PAGES_AHEAD_BYTES;
    if (wanted > table->mapped_bytes) wanted = table->mapped_bytes;
    uint64_t at = atomic_load(&accounts->replay_pages);
    if (at + REPLAY_PAGES_BYTES > wanted) return false;
    at = atomic_fetch_add(&accounts->replay_pages, REPLAY_PAGES_BYTES);
    if (at + REPLAY_PAGES_BYTES > table->mapped_bytes) return false;
    /* Where the kernel does not know how, the pages come as they are touched. */
    madvise((uint8_t *)table->slots + at, REPLAY_PAGES_BYTES, MADV_POPULATE_WRITE);
    return true;
#else
    (void)accounts;
    return false;
#endif
}

void accounts_replay_end(accounts_t *accounts)
{
    atomic_store(&accounts->replaying, NULL);
    note_active(accounts, accounts->writer->view.tables->active);
    show_points(accounts);
    accounts_unpin(accounts->writer);
}
