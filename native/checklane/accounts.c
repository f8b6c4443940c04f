/* Accounts: who owns what, and what publishes it.
 *
 * A record is immutable once it is in a memtable: changing it means writing a new one and
 * exchanging the pointer in its slot. All state here has one owner at a time:
 *
 *   open group (drafts)  the writer's alone. Nobody else can reach it, so nobody sees what is not
 *                        durable. accounts_group_publish copies it into the active memtable, after
 *                        the sync.
 *   active memtable      the writer changes it; readers look. A slot's pointer is stored with
 *                        release after the record's bytes and the slot's hash are written, and
 *                        loaded with acquire before they are read. A slot never changes its key.
 *   frozen memtable      nobody changes it. The checkpointer reads it and retires it.
 *   LMDB                 the checkpointer alone writes; readers have a read transaction each.
 *   `tables`             names the active and the frozen memtable together. While no memtable is
 *                        frozen only the writer may exchange it (a freeze); while one is, only the
 *                        checkpointer may (the retirement). `has_frozen` hands that right over:
 *                        stored with release by the one, loaded with acquire by the other.
 *
 * A read looks in the active memtable, the frozen one, then LMDB, and takes what it finds first.
 * That is the newest durable version: a key's version in a lower place is older than, or equal to,
 * that in a higher one. A view that still holds a retired memtable while LMDB has it too reads
 * the memtable first, and LMDB cannot run ahead further: the next checkpoint begins only when
 * every reader has left that view.
 *
 * Pinning. A reader stores the epoch in its slot, then loads `tables`. The checkpointer exchanges
 * `tables`, raises the epoch, then looks at every slot, and frees the old memtable when each is
 * empty or at the new epoch. All four are sequentially consistent: either the checkpointer sees
 * the reader's epoch and waits, or the reader loads the new tables. Readers store two words and
 * wait for nothing.
 *
 * The environment is opened with MDB_NOMETASYNC and not with MDB_NOSYNC. The journal could replay
 * whatever the environment forgets, so it may lose its last transactions; but it must not be torn,
 * since nothing in it is checksummed. With MDB_NOSYNC a power cut may leave a root page on the disk
 * whose leaves never got there. With MDB_NOMETASYNC every transaction syncs its pages before its
 * root is written, and only the root may be lost. The covered LSN goes last, in a transaction that
 * is synced root and all: if it is lost, or the process dies half way, replay begins at the older
 * one, and records that are ahead of it skip the entries that they have seen (applied_lsn). For
 * that reason a record whose last cell went is written as an empty record, not deleted, until the
 * covered LSN has passed it. */
#include "accounts.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "invariant.h"
#include "siphash.h"

#define FAMILIES 8
#define COVERED_KEY "covered"
/* Records that one group may touch. 512 entries * 8 records = 4,096, and room for one largest
 * entry on top; twice as many slots keep probes short: 16,384 * 32 B = 512 KiB. */
#define DRAFTS_MAX 8192
#define DRAFT_SLOTS 16384
_Static_assert(DRAFTS_MAX >= 2 * MOVEMENTS_MAX, "one largest entry must always fit");
/* Bytes of one stored record at most, and of all versions that one entry can make: each of its
 * records once with room to grow, and grown copies that together are no longer than twice that. */
#define STORED_BYTES_MAX (64 + RECORD_CELLS_MAX * sizeof(cell_t))
#define ENTRY_DRAFT_BYTES_MAX (3 * MOVEMENTS_MAX * STORED_BYTES_MAX)
#define DRAFT_BYTES (2 * ENTRY_DRAFT_BYTES_MAX)
#define DRAFT_KEEP_BYTES (16 * 1024 * 1024)
#define DRAFT_ROOM_CELLS 8

/* A record with its key: in a memtable's arena, or a draft. */
typedef struct stored {
    record_key_t key;
    record_head_t head;
    cell_t cells[];
} stored_t;
_Static_assert(sizeof(stored_t) == 40, "cells stay 8-byte aligned");

typedef struct memtable_slot {
    uint64_t hash; /* written once, before the first pointer */
    _Atomic(const stored_t *) record;
} memtable_slot_t;
_Static_assert(sizeof(memtable_slot_t) == 16, "four to a cache line");

typedef struct memtable {
    memtable_slot_t *slots;
    uint64_t mask;
    uint8_t *arena;
    uint64_t arena_bytes;
    _Atomic uint64_t used;
    _Atomic uint64_t count;
    size_t mapped_bytes;
} memtable_t;

typedef struct tables {
    memtable_t *active;
    memtable_t *frozen; /* NULL: none */
} tables_t;

typedef struct draft_slot {
    uint64_t hash;
    record_key_t key;
    stored_t *draft;      /* newest version in this group; NULL: none (yet) */
    uint64_t entry_lsn;   /* entry that made it, or looked at it and had nothing to do */
    uint32_t room_cells;  /* of the draft */
    uint32_t group_number; /* the slot is empty when this is not the open group's */
} draft_slot_t;

/* What an entry's first touch of a record replaced. */
typedef struct undo {
    uint32_t slot;
    uint32_t room_cells;
    stored_t *draft;
    uint64_t entry_lsn;
} undo_t;

typedef struct group {
    draft_slot_t *slots;
    uint32_t *touched; /* slots in use */
    uint32_t count;
    uint32_t number;
    uint8_t *arena;
    uint64_t used;
    uint64_t publish_bytes; /* that the drafts will take in the active memtable */
    undo_t *undo;
    uint32_t undo_count;
} group_t;

struct accounts_view {
    accounts_reader_t *reader;
    const tables_t *tables;
    const group_t *group; /* the writer's own view; else NULL */
};

struct accounts_reader {
    _Alignas(64) _Atomic uint64_t epoch; /* 0: pins nothing */
    accounts_t *accounts;
    MDB_txn *transaction;
    accounts_view_t view;
    bool is_taken;
    bool is_renewed; /* the transaction is live in the pinned view */
};

struct accounts {
    accounts_options_t options;
    const machine_t *machine;
    MDB_env *environment;
    MDB_dbi families[FAMILIES + 1];
    MDB_dbi meta;
    _Atomic(tables_t *) tables;
    _Atomic uint64_t epoch;
    atomic_bool has_frozen;
    covered_t frozen_covered;
    tables_t *before_freeze; /* retired together with the frozen memtable */
    accounts_reader_t *writer;
    group_t group;
    /* Figures, for whoever asks. */
    _Atomic uint64_t memtable_bytes;
    _Atomic uint64_t memtable_records;
    _Atomic uint64_t frozen_bytes;
    _Atomic uint64_t frozen_records;
    _Atomic uint64_t checkpoints;
    _Atomic uint64_t checkpoint_records;
    pthread_mutex_t lock; /* for `covered`, and for taking reader slots */
    covered_t covered;
    accounts_reader_t readers[READERS_MAX];
};

static const record_head_t absent_head = {0};

static void accounts_fatal(const accounts_t *accounts, const char *what, int error)
{
    /* LMDB's own codes are negative; the system's name nothing for them. */
    fprintf(stderr, "checklane: %s: %s\n", what, mdb_strerror(error));
    accounts->machine->fatal(accounts->machine->context, what, error > 0 ? error : EIO);
    INVARIANT(!"fatal returned");
}

/* ---------------------------------------------------------------- memtables --------------- */

static uint64_t key_hash(const record_key_t *key)
{
    return mix64(key->hi ^ mix64(key->lo + key->family + ((uint64_t)key->partition << 16)));
}

static bool key_equal(const record_key_t *left, const record_key_t *right)
{
    return memcmp(left, right, sizeof *left) == 0;
}

static uint64_t stored_bytes(uint32_t cell_count)
{
    return sizeof(stored_t) + (uint64_t)cell_count * sizeof(cell_t);
}

static memtable_t *memtable_new(const accounts_options_t *options)
{
    memtable_t *table = calloc(1, sizeof *table);
    if (table == NULL) return NULL;
    size_t slot_bytes = options->memtable_slots * sizeof(memtable_slot_t);
    table->mapped_bytes = slot_bytes + options->memtable_bytes;
    /* Zero pages appear as they are touched: an idle memtable costs next to nothing. */
    void *memory = mmap(NULL, table->mapped_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        free(table);
        return NULL;
    }
    table->slots = memory;
    table->mask = options->memtable_slots - 1;
    table->arena = (uint8_t *)memory + slot_bytes;
    table->arena_bytes = options->memtable_bytes;
    return table;
}

static void memtable_free(memtable_t *table)
{
    if (table == NULL) return;
    munmap(table->slots, table->mapped_bytes);
    free(table);
}

static const stored_t *memtable_find(const memtable_t *table, uint64_t hash,
                                     const record_key_t *key)
{
    for (uint64_t at = hash & table->mask;; at = (at + 1) & table->mask) {
        const memtable_slot_t *slot = &table->slots[at];
        const stored_t *record = atomic_load_explicit(&slot->record, memory_order_acquire);
        if (record == NULL) return NULL;
        if (slot->hash == hash && key_equal(&record->key, key)) return record;
    }
}

/* Copies a draft in and publishes it. The writer only; the room was checked before the append. */
static void memtable_put(memtable_t *table, uint64_t hash, const stored_t *draft)
{
    uint64_t bytes = stored_bytes(draft->head.cell_count);
    uint64_t used = atomic_load_explicit(&table->used, memory_order_relaxed);
    INVARIANT(used + bytes <= table->arena_bytes);
    stored_t *record = (stored_t *)(void *)(table->arena + used);
    memcpy(record, draft, bytes);
    atomic_store_explicit(&table->used, used + bytes, memory_order_relaxed);
    for (uint64_t at = hash & table->mask;; at = (at + 1) & table->mask) {
        memtable_slot_t *slot = &table->slots[at];
        const stored_t *before = atomic_load_explicit(&slot->record, memory_order_relaxed);
        if (before == NULL) {
            slot->hash = hash;
            atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
        } else if (slot->hash != hash || !key_equal(&before->key, &draft->key)) {
            continue;
        } else {
            INVARIANT(before->head.applied_lsn < record->head.applied_lsn);
        }
        atomic_store_explicit(&slot->record, record, memory_order_release);
        return;
    }
}

/* ---------------------------------------------------------------- reading ----------------- */

status_t accounts_reader_open(accounts_t *accounts, accounts_reader_t **opened)
{
    *opened = NULL;
    status_t status = STATUS_TOO_MANY_ITEMS;
    pthread_mutex_lock(&accounts->lock);
    for (int i = 0; i < READERS_MAX && *opened == NULL; i++) {
        accounts_reader_t *reader = &accounts->readers[i];
        if (reader->is_taken) continue;
        int error = mdb_txn_begin(accounts->environment, NULL, MDB_RDONLY, &reader->transaction);
        if (error != 0) {
            status = STATUS_OUT_OF_MEMORY;
            break;
        }
        mdb_txn_reset(reader->transaction);
        reader->accounts = accounts;
        reader->is_taken = true;
        reader->is_renewed = false;
        *opened = reader;
        status = STATUS_OK;
    }
    pthread_mutex_unlock(&accounts->lock);
    return status;
}

void accounts_reader_close(accounts_reader_t *reader)
{
    if (reader == NULL) return;
    INVARIANT(atomic_load(&reader->epoch) == 0);
    pthread_mutex_lock(&reader->accounts->lock);
    mdb_txn_abort(reader->transaction);
    reader->transaction = NULL;
    reader->is_taken = false;
    pthread_mutex_unlock(&reader->accounts->lock);
}

const accounts_view_t *accounts_pin(accounts_reader_t *reader)
{
    accounts_t *accounts = reader->accounts;
    INVARIANT(reader->is_taken);
    INVARIANT(atomic_load_explicit(&reader->epoch, memory_order_relaxed) == 0);
    atomic_store(&reader->epoch, atomic_load(&accounts->epoch));
    reader->view.reader = reader;
    reader->view.tables = atomic_load(&accounts->tables);
    reader->view.group = NULL;
    return &reader->view;
}

void accounts_unpin(accounts_reader_t *reader)
{
    if (reader->is_renewed) mdb_txn_reset(reader->transaction);
    reader->is_renewed = false;
    atomic_store_explicit(&reader->epoch, 0, memory_order_release);
}

/* The view's transaction, live. It begins no earlier than the view, so it holds whatever memtable
 * was retired before. */
static MDB_txn *view_transaction(const accounts_view_t *view)
{
    accounts_reader_t *reader = view->reader;
    if (!reader->is_renewed) {
        int error = mdb_txn_renew(reader->transaction);
        if (error != 0) accounts_fatal(reader->accounts, "reading the accounts failed", error);
        reader->is_renewed = true;
    }
    return reader->transaction;
}

/* Takes a value of the environment apart; the other half of the check in write_record. */
static record_t record_of_value(const MDB_val *value)
{
    const record_head_t *head = value->mv_data;
    INVARIANT((uintptr_t)head % _Alignof(cell_t) == 0);
    INVARIANT(value->mv_size >= sizeof *head);
    INVARIANT(value->mv_size == sizeof *head + head->cell_count * sizeof(cell_t));
    record_t record = {head, (const cell_t *)(const void *)(head + 1)};
    return record;
}

static record_t record_of_stored(const stored_t *stored)
{
    record_t record = {&stored->head, stored->cells};
    return record;
}

static draft_slot_t *group_find(const group_t *group, uint64_t hash, const record_key_t *key);

record_t accounts_read(const accounts_view_t *view, record_key_t key)
{
    INVARIANT(key.family >= 1);
    INVARIANT(key.family <= FAMILIES);
    uint64_t hash = key_hash(&key);
    if (view->group != NULL) {
        const draft_slot_t *slot = group_find(view->group, hash, &key);
        if (slot->group_number == view->group->number && slot->draft != NULL) {
            return record_of_stored(slot->draft);
        }
    }
    const stored_t *stored = memtable_find(view->tables->active, hash, &key);
    if (stored == NULL && view->tables->frozen != NULL) {
        stored = memtable_find(view->tables->frozen, hash, &key);
    }
    if (stored != NULL) return record_of_stored(stored);
    accounts_t *accounts = view->reader->accounts;
    MDB_val name = {sizeof key, &key};
    MDB_val value;
    int error = mdb_get(view_transaction(view), accounts->families[key.family], &name, &value);
    if (error == 0) return record_of_value(&value);
    if (error != MDB_NOTFOUND) accounts_fatal(accounts, "reading the accounts failed", error);
    record_t absent = {&absent_head, NULL};
    return absent;
}

/* ---------------------------------------------------------------- walking over all -------- */

/* A record to be sorted by key, the newer table's first: `rank` 0 active, 1 frozen. `prefix` orders
 * as the key's bytes do and settles nearly every comparison without touching the record. */
typedef struct found {
    const stored_t *record;
    uint64_t prefix;
    uint64_t rank;
} found_t;

static uint64_t key_prefix(const record_key_t *key)
{
    /* The family's byte, then the partition's two; five of hi's follow in order of address. */
    uint64_t partition = __builtin_bswap16(key->partition);
    return (uint64_t)key->family << 56 | partition << 40 | __builtin_bswap64(key->hi) >> 24;
}

static int found_compare(const void *left, const void *right)
{
    const found_t *a = left;
    const found_t *b = right;
    if (a->prefix != b->prefix) return a->prefix < b->prefix ? -1 : 1;
    int order = memcmp(&a->record->key, &b->record->key, sizeof(record_key_t));
    if (order != 0) return order;
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

/* Appends a memtable's records to `found`, which has room for `room`; returns the new count. */
static size_t memtable_collect(const memtable_t *table, uint64_t rank, found_t *found,
                               size_t count, size_t room)
{
    for (uint64_t at = 0; at <= table->mask && count < room; at++) {
        const stored_t *record =
            atomic_load_explicit(&table->slots[at].record, memory_order_acquire);
        if (record == NULL) continue;
        found[count].record = record;
        found[count].prefix = key_prefix(&record->key);
        found[count].rank = rank;
        count++;
    }
    return count;
}

typedef struct walk {
    void (*each)(void *context, const record_key_t *key, record_t record);
    void *context;
    const found_t *found;
    size_t count;
    size_t at;
} walk_t;

static void walk_emit(const walk_t *walk, const record_key_t *key, record_t record)
{
    if (record.head->cell_count > 0) walk->each(walk->context, key, record);
}

/* Emits the memtables' records up to and including `until` (NULL: all of the family); true when
 * one of them was `until` itself. */
static bool walk_memtables(walk_t *walk, uint8_t family, const record_key_t *until)
{
    bool is_met = false;
    while (walk->at < walk->count) {
        const stored_t *record = walk->found[walk->at].record;
        if (record->key.family != family) break;
        int order = until == NULL ? -1 : memcmp(&record->key, until, sizeof *until);
        if (order > 0) break;
        if (order == 0) is_met = true;
        walk_emit(walk, &record->key, record_of_stored(record));
        do walk->at++;
        while (walk->at < walk->count
               && key_equal(&walk->found[walk->at].record->key, &record->key));
    }
    return is_met;
}

static int walk_family(walk_t *walk, MDB_txn *transaction, MDB_dbi family_table, uint8_t family)
{
    MDB_cursor *cursor;
    int error = mdb_cursor_open(transaction, family_table, &cursor);
    if (error != 0) return error;
    MDB_val name;
    MDB_val value;
    while ((error = mdb_cursor_get(cursor, &name, &value, MDB_NEXT)) == 0) {
        record_key_t key;
        INVARIANT(name.mv_size == sizeof key);
        memcpy(&key, name.mv_data, sizeof key);
        if (!walk_memtables(walk, family, &key)) walk_emit(walk, &key, record_of_value(&value));
    }
    mdb_cursor_close(cursor);
    if (error != MDB_NOTFOUND) return error;
    walk_memtables(walk, family, NULL);
    return 0;
}

status_t accounts_each(const accounts_view_t *view,
                       void (*each)(void *context, const record_key_t *key, record_t record),
                       void *context)
{
    const tables_t *tables = view->tables;
    accounts_t *accounts = view->reader->accounts;
    size_t room = atomic_load_explicit(&tables->active->count, memory_order_relaxed) + 1;
    if (tables->frozen != NULL) {
        room += atomic_load_explicit(&tables->frozen->count, memory_order_relaxed);
    }
    found_t *found = malloc(room * sizeof *found);
    if (found == NULL) return STATUS_OUT_OF_MEMORY;
    size_t count = 0;
    if (tables->frozen != NULL) count = memtable_collect(tables->frozen, 1, found, count, room);
    count = memtable_collect(tables->active, 0, found, count, room);
    qsort(found, count, sizeof *found, found_compare);
    walk_t walk = {.each = each, .context = context, .found = found, .count = count};
    MDB_txn *transaction = view_transaction(view);
    int error = 0;
    for (uint8_t family = 1; family <= FAMILIES && error == 0; family++) {
        error = walk_family(&walk, transaction, accounts->families[family], family);
    }
    free(found);
    return error == 0 ? STATUS_OK : STATUS_IO_FAILED;
}

/* ---------------------------------------------------------------- the open group ---------- */

/* The key's slot, or the empty one where it belongs. */
static draft_slot_t *group_find(const group_t *group, uint64_t hash, const record_key_t *key)
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
                   .room_cells = slot->room_cells,
                   .draft = slot->draft,
                   .entry_lsn = slot->entry_lsn};
    group->undo[group->undo_count++] = undo;
    if (slot->draft != NULL) group->publish_bytes -= stored_bytes(slot->draft->head.cell_count);
    slot->room_cells = base.head->cell_count + DRAFT_ROOM_CELLS;
    slot->draft = draft_new(group, &slot->key, base, slot->room_cells);
    slot->draft->head.applied_lsn = lsn;
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

/* Applies one movement to the newest draft of its record. */
static status_t draft_move(group_t *group, draft_slot_t *slot, const movement_t *movement)
{
    stored_t *draft = slot->draft;
    uint32_t count = draft->head.cell_count;
    uint32_t at = record_lower_bound(record_of_stored(draft), &movement->cell);
    bool is_there = at < count && cell_compare(&draft->cells[at], &movement->cell) == 0;
    cell_t cell = movement->cell;
    cell.reserved = 0;
    cell.value = is_there ? draft->cells[at].value : 0;
    cell.other = is_there ? draft->cells[at].other : 0;
    status_t status = cell_change(&cell, movement);
    if (status != STATUS_OK) return status;
    bool is_empty = cell.value == 0 && cell.other == 0;
    size_t behind = count - at;
    if (is_there && !is_empty) {
        draft->cells[at] = cell;
    } else if (is_there) {
        memmove(&draft->cells[at], &draft->cells[at + 1], (behind - 1) * sizeof cell);
        draft->head.cell_count--;
    } else if (!is_empty) {
        if (count == RECORD_CELLS_MAX) return STATUS_RECORD_CEILING;
        if (count == slot->room_cells) {
            slot->room_cells = 2 * count < RECORD_CELLS_MAX ? 2 * count : RECORD_CELLS_MAX;
            slot->draft = draft_new(group, &slot->key, record_of_stored(draft), slot->room_cells);
            draft = slot->draft;
        }
        memmove(&draft->cells[at + 1], &draft->cells[at], behind * sizeof cell);
        draft->cells[at] = cell;
        draft->head.cell_count++;
    }
    group->publish_bytes += draft->head.cell_count * sizeof cell;
    group->publish_bytes -= count * sizeof cell;
    return STATUS_OK;
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
        slot->room_cells = undo.room_cells;
        slot->entry_lsn = undo.entry_lsn;
        if (slot->draft != NULL) {
            group->publish_bytes += stored_bytes(slot->draft->head.cell_count);
        }
    }
}

status_t accounts_apply(accounts_t *accounts, uint64_t lsn, const movement_t *movements,
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
static void note_active(accounts_t *accounts, const memtable_t *active)
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
    accounts_unpin(accounts->writer);
}

/* ---------------------------------------------------------------- freeze ------------------ */

bool accounts_has_frozen(const accounts_t *accounts)
{
    return atomic_load_explicit(&accounts->has_frozen, memory_order_acquire);
}

bool accounts_wants_freeze(const accounts_t *accounts)
{
    if (accounts_has_frozen(accounts)) return false;
    /* Nothing is frozen, so only this thread, the writer, may exchange the tables. */
    const memtable_t *active = atomic_load(&accounts->tables)->active;
    uint64_t used = atomic_load_explicit(&active->used, memory_order_relaxed);
    uint64_t count = atomic_load_explicit(&active->count, memory_order_relaxed);
    return 2 * used >= active->arena_bytes || 2 * count >= active->mask + 1;
}

bool accounts_freeze(accounts_t *accounts, covered_t covered)
{
    INVARIANT(atomic_load(&accounts->writer->epoch) == 0);
    if (accounts_has_frozen(accounts)) return false;
    tables_t *tables = malloc(sizeof *tables);
    memtable_t *fresh = memtable_new(&accounts->options);
    if (tables == NULL || fresh == NULL) {
        free(tables);
        memtable_free(fresh);
        return false;
    }
    accounts->before_freeze = atomic_load(&accounts->tables);
    tables->active = fresh;
    tables->frozen = accounts->before_freeze->active;
    accounts->frozen_covered = covered;
    note_active(accounts, fresh);
    atomic_store_explicit(&accounts->frozen_bytes, tables->frozen->used, memory_order_relaxed);
    atomic_store_explicit(&accounts->frozen_records, tables->frozen->count, memory_order_relaxed);
    atomic_store(&accounts->tables, tables);
    atomic_store_explicit(&accounts->has_frozen, true, memory_order_release);
    return true;
}

/* ---------------------------------------------------------------- checkpoint -------------- */

/* True when the environment says that there is no room, now; anything else is not survivable. */
static bool is_full(int error)
{
    return error == MDB_MAP_FULL || error == ENOSPC || error == EDQUOT;
}

/* One transaction over found[0 .. count): writes each record, or, when `is_sweep`, deletes the
 * empty ones. */
static int write_batch(accounts_t *accounts, const found_t *found, size_t count, bool is_sweep)
{
    MDB_txn *transaction;
    int error = mdb_txn_begin(accounts->environment, NULL, 0, &transaction);
    if (error != 0) return error;
    for (size_t i = 0; i < count && error == 0; i++) {
        const stored_t *record = found[i].record;
        record_key_t key = record->key;
        MDB_dbi family = accounts->families[key.family];
        MDB_val name = {sizeof key, &key};
        if (is_sweep) {
            if (record->head.cell_count == 0) error = mdb_del(transaction, family, &name, NULL);
            if (error == MDB_NOTFOUND) error = 0;
            continue;
        }
        MDB_val value = {stored_bytes(record->head.cell_count) - sizeof key, NULL};
        error = mdb_put(transaction, family, &name, &value, MDB_RESERVE);
        if (error == 0) {
            memcpy(value.mv_data, (const uint8_t *)record + sizeof key, value.mv_size);
        }
    }
    if (error != 0) {
        mdb_txn_abort(transaction);
        return error;
    }
    return mdb_txn_commit(transaction);
}

/* Rests between two transactions: less the fuller the active memtable is, since a checkpoint that
 * lags ends in refusals. */
static void rest(const accounts_t *accounts)
{
    uint64_t used = atomic_load_explicit(&accounts->memtable_bytes, memory_order_relaxed);
    uint64_t records = atomic_load_explicit(&accounts->memtable_records, memory_order_relaxed);
    uint64_t fill = 256 * used / accounts->options.memtable_bytes;
    uint64_t slot_fill = 256 * records / accounts->options.memtable_slots;
    if (slot_fill > fill) fill = slot_fill;
    /* Full pace while the active memtable is empty, none from one quarter on. */
    if (fill >= 64) return;
    uint64_t rest_ns = accounts->options.checkpoint_pause_ms * (64 - fill) / 64 * 1000000;
    struct timespec duration = {(time_t)(rest_ns / 1000000000), (long)(rest_ns % 1000000000)};
    nanosleep(&duration, NULL);
}

static int write_all(accounts_t *accounts, const found_t *found, size_t count, bool is_sweep,
                     pace_t (*between)(void *context), void *context, bool *is_stopped)
{
    size_t batch = accounts->options.checkpoint_records;
    for (size_t at = 0; at < count; at += batch) {
        size_t size = count - at < batch ? count - at : batch;
        int error = write_batch(accounts, &found[at], size, is_sweep);
        if (error != 0) return error;
        pace_t pace = between != NULL ? between(context) : PACE_HURRY;
        if (pace == PACE_STOP) {
            *is_stopped = true;
            return 0;
        }
        if (pace == PACE_PAUSE) rest(accounts);
    }
    return 0;
}

/* Advances the covered LSN, and returns when the environment's root is on the disk. */
static int write_covered(accounts_t *accounts)
{
    MDB_txn *transaction;
    int error = mdb_txn_begin(accounts->environment, NULL, 0, &transaction);
    if (error != 0) return error;
    MDB_val name = {sizeof COVERED_KEY - 1, (void *)(uintptr_t)COVERED_KEY};
    MDB_val value = {sizeof accounts->frozen_covered, &accounts->frozen_covered};
    error = mdb_put(transaction, accounts->meta, &name, &value, 0);
    if (error != 0) {
        mdb_txn_abort(transaction);
        return error;
    }
    error = mdb_txn_commit(transaction);
    if (error == 0) error = mdb_env_sync(accounts->environment, 1);
    return error;
}

/* Takes the frozen memtable out of the tables and frees it when no view holds it any more. While
 * it waits `between` goes on being called: whoever holds the view may need what that does. */
static void retire(accounts_t *accounts, tables_t *fresh, pace_t (*between)(void *context),
                   void *context)
{
    tables_t *old = atomic_load(&accounts->tables);
    fresh->active = old->active;
    fresh->frozen = NULL;
    atomic_store(&accounts->tables, fresh);
    uint64_t epoch = atomic_fetch_add(&accounts->epoch, 1) + 1;
    for (int i = 0; i < READERS_MAX; i++) {
        for (;;) {
            uint64_t pinned = atomic_load(&accounts->readers[i].epoch);
            if (pinned == 0 || pinned >= epoch) break;
            if (between != NULL) between(context);
            struct timespec moment = {0, 100000};
            nanosleep(&moment, NULL);
        }
    }
    memtable_free(old->frozen);
    free(old);
    free(accounts->before_freeze);
    accounts->before_freeze = NULL;
    atomic_store_explicit(&accounts->frozen_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&accounts->frozen_records, 0, memory_order_relaxed);
    atomic_store_explicit(&accounts->has_frozen, false, memory_order_release);
}

status_t accounts_checkpoint(accounts_t *accounts, pace_t (*between)(void *context),
                             void *context)
{
    if (!accounts_has_frozen(accounts)) return STATUS_OK;
    const memtable_t *frozen = atomic_load(&accounts->tables)->frozen;
    size_t room = atomic_load_explicit(&frozen->count, memory_order_relaxed);
    found_t *found = malloc((room + 1) * sizeof *found);
    tables_t *fresh = malloc(sizeof *fresh);
    if (found == NULL || fresh == NULL) {
        free(found);
        free(fresh);
        return STATUS_OUT_OF_MEMORY;
    }
    size_t count = memtable_collect(frozen, 0, found, 0, room);
    INVARIANT(count == room);
    /* Neighbours in key order share pages: fewer pages a transaction. */
    qsort(found, count, sizeof *found, found_compare);
    bool is_stopped = false;
    int error = write_all(accounts, found, count, false, between, context, &is_stopped);
    if (error == 0 && !is_stopped) error = write_covered(accounts);
    if (error == 0 && !is_stopped) {
        pthread_mutex_lock(&accounts->lock);
        accounts->covered = accounts->frozen_covered;
        pthread_mutex_unlock(&accounts->lock);
        /* Behind the covered LSN an empty record says no more than none. What a failure leaves
         * here is a few bytes, so its answer does not matter. */
        size_t empty = 0;
        for (size_t i = 0; i < count; i++) {
            if (found[i].record->head.cell_count == 0) found[empty++] = found[i];
        }
        bool is_sweep_stopped = false;
        write_all(accounts, found, empty, true, between, context, &is_sweep_stopped);
        retire(accounts, fresh, between, context);
        fresh = NULL;
        atomic_fetch_add_explicit(&accounts->checkpoints, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&accounts->checkpoint_records, count, memory_order_relaxed);
    }
    free(found);
    free(fresh);
    if (error != 0 && !is_full(error)) {
        accounts_fatal(accounts, "writing the accounts failed", error);
    }
    if (error != 0) return STATUS_DISK_FULL;
    return is_stopped ? STATUS_ENGINE_CLOSED : STATUS_OK;
}

/* ---------------------------------------------------------------- open and close ---------- */

covered_t accounts_covered(accounts_t *accounts)
{
    pthread_mutex_lock(&accounts->lock);
    covered_t covered = accounts->covered;
    pthread_mutex_unlock(&accounts->lock);
    return covered;
}

void accounts_measure(accounts_t *accounts, accounts_metrics_t *metrics)
{
    metrics->memtable_bytes = atomic_load(&accounts->memtable_bytes);
    metrics->memtable_records = atomic_load(&accounts->memtable_records);
    metrics->frozen_bytes = atomic_load(&accounts->frozen_bytes);
    metrics->frozen_records = atomic_load(&accounts->frozen_records);
    metrics->checkpoints = atomic_load(&accounts->checkpoints);
    metrics->checkpoint_records = atomic_load(&accounts->checkpoint_records);
    metrics->covered_lsn = accounts_covered(accounts).lsn;
}

/* Opens the sub-databases and reads the covered LSN. */
static int open_tables(accounts_t *accounts)
{
    MDB_txn *transaction;
    int error = mdb_txn_begin(accounts->environment, NULL, 0, &transaction);
    if (error != 0) return error;
    static const char names[FAMILIES + 1][12] = {
        "meta", "group", "member", "identity", "place", "offer", "receipt", "key", "basket"};
    for (int family = 0; family <= FAMILIES && error == 0; family++) {
        error = mdb_dbi_open(transaction, names[family], MDB_CREATE, &accounts->families[family]);
    }
    accounts->meta = accounts->families[0];
    MDB_val name = {sizeof COVERED_KEY - 1, (void *)(uintptr_t)COVERED_KEY};
    MDB_val value;
    if (error == 0) error = mdb_get(transaction, accounts->meta, &name, &value);
    if (error == 0 && value.mv_size == sizeof accounts->covered) {
        memcpy(&accounts->covered, value.mv_data, sizeof accounts->covered);
    }
    if (error == MDB_NOTFOUND) error = 0;
    if (error != 0) {
        mdb_txn_abort(transaction);
        return error;
    }
    return mdb_txn_commit(transaction);
}

static int open_environment_at(accounts_t *accounts, const char *path)
{
    int error = mdb_env_create(&accounts->environment);
    if (error != 0) return error;
    error = mdb_env_set_maxdbs(accounts->environment, FAMILIES + 1);
    if (error == 0) error = mdb_env_set_maxreaders(accounts->environment, READERS_MAX + 8);
    if (error == 0) {
        error = mdb_env_set_mapsize(accounts->environment, accounts->options.map_bytes);
    }
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NOMETASYNC | MDB_NORDAHEAD;
    if (error == 0) error = mdb_env_open(accounts->environment, path, flags, 0600);
    if (error == 0) error = open_tables(accounts);
    return error;
}

/* Makes an empty environment under another name, and gives it its own when it is on the disk. LMDB
 * does not sync what it begins a file with: a power cut there would leave a file that it neither
 * opens nor makes again. */
static int make_environment(accounts_t *accounts, const char *path)
{
    const machine_t *machine = accounts->machine;
    char temporary[PATH_BYTES_MAX];
    int length = snprintf(temporary, sizeof temporary, "%s.new", path);
    if (length < 0 || (size_t)length >= sizeof temporary) return ENAMETOOLONG;
    int error = machine->remove(machine->context, temporary);
    if (error != 0 && error != ENOENT) return error;
    error = open_environment_at(accounts, temporary);
    if (error == 0) error = mdb_env_sync(accounts->environment, 1);
    if (accounts->environment != NULL) mdb_env_close(accounts->environment);
    accounts->environment = NULL;
    if (error == 0) error = machine->rename(machine->context, temporary, path);
    strcat(temporary, "-lock");
    machine->remove(machine->context, temporary);
    return error;
}

static int open_environment(accounts_t *accounts)
{
    char path[PATH_BYTES_MAX];
    int length = snprintf(path, sizeof path, "%s/accounts.lmdb", accounts->options.directory);
    if (length < 0 || (size_t)length + 16 >= sizeof path) return ENAMETOOLONG;
    const machine_t *machine = accounts->machine;
    int error = machine->make_directory(machine->context, accounts->options.directory);
    if (error != 0 && error != EEXIST) return error;
    int64_t file;
    error = machine->open(machine->context, path, FILE_READ, &file);
    if (error == 0) machine->close(machine->context, file);
    if (error == ENOENT) error = make_environment(accounts, path);
    if (error == 0) error = machine->sync_directory(machine->context, accounts->options.directory);
    if (error == 0) error = open_environment_at(accounts, path);
    return error;
}

static bool allocate(accounts_t *accounts)
{
    group_t *group = &accounts->group;
    tables_t *tables = calloc(1, sizeof *tables);
    if (tables == NULL) return false;
    atomic_store(&accounts->tables, tables);
    tables->active = memtable_new(&accounts->options);
    group->slots = calloc(DRAFT_SLOTS, sizeof *group->slots);
    group->touched = calloc(DRAFTS_MAX, sizeof *group->touched);
    group->undo = calloc(MOVEMENTS_MAX, sizeof *group->undo);
    void *arena = mmap(NULL, DRAFT_BYTES, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena != MAP_FAILED) group->arena = arena;
    return tables->active != NULL && group->slots != NULL && group->touched != NULL
           && group->undo != NULL && group->arena != NULL;
}

status_t accounts_open(const accounts_options_t *options, accounts_t **opened, fault_t *fault)
{
    *opened = NULL;
    accounts_t *accounts = aligned_alloc(64, (sizeof *accounts + 63) & ~(size_t)63);
    if (accounts == NULL) return fault_at(fault, STATUS_OUT_OF_MEMORY, "accounts");
    memset(accounts, 0, sizeof *accounts);
    accounts->options = *options;
    accounts_options_t *used = &accounts->options;
    if (used->map_bytes == 0) used->map_bytes = ACCOUNTS_MAP_BYTES;
    if (used->memtable_bytes == 0) used->memtable_bytes = MEMTABLE_BYTES;
    if (used->memtable_slots == 0) used->memtable_slots = MEMTABLE_SLOTS;
    if (used->checkpoint_records == 0) used->checkpoint_records = CHECKPOINT_RECORDS_DEFAULT;
    if (used->checkpoint_pause_ms == 0) used->checkpoint_pause_ms = CHECKPOINT_PAUSE_MS_DEFAULT;
    INVARIANT((used->memtable_slots & (used->memtable_slots - 1)) == 0);
    accounts->machine = used->machine != NULL ? used->machine : machine_real();
    pthread_mutex_init(&accounts->lock, NULL);
    atomic_store(&accounts->epoch, 1);
    status_t status = STATUS_OK;
    if (!allocate(accounts)) status = fault_at(fault, STATUS_OUT_OF_MEMORY, "accounts");
    int error = status == STATUS_OK ? open_environment(accounts) : 0;
    if (error != 0) {
        status = is_full(error) ? STATUS_DISK_FULL : STATUS_IO_FAILED;
        fault_at(fault, status, "%s: %s", used->directory, mdb_strerror(error));
    }
    if (status == STATUS_OK && accounts->covered.lsn != 0
        && accounts->covered.format != ACCOUNTS_FORMAT) {
        status = fault_at(fault, STATUS_FORMAT_UNSUPPORTED, "%s: format %u", used->directory,
                          accounts->covered.format);
    }
    if (status == STATUS_OK) status = accounts_reader_open(accounts, &accounts->writer);
    if (status != STATUS_OK) {
        accounts_close(accounts);
        return status;
    }
    *opened = accounts;
    return STATUS_OK;
}

void accounts_close(accounts_t *accounts)
{
    if (accounts == NULL) return;
    if (accounts->writer != NULL) accounts_reader_close(accounts->writer);
    for (int i = 0; i < READERS_MAX; i++) INVARIANT(!accounts->readers[i].is_taken);
    tables_t *tables = atomic_load(&accounts->tables);
    if (tables != NULL) {
        memtable_free(tables->active);
        memtable_free(tables->frozen);
    }
    free(tables);
    free(accounts->before_freeze);
    if (accounts->environment != NULL) mdb_env_close(accounts->environment);
    group_t *group = &accounts->group;
    if (group->arena != NULL) munmap(group->arena, DRAFT_BYTES);
    free(group->slots);
    free(group->touched);
    free(group->undo);
    pthread_mutex_destroy(&accounts->lock);
    free(accounts);
}
