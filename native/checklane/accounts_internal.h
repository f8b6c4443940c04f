/* What the files of the accounts share: who owns what is told where accounts.c begins. Nobody else
 * includes this.
 *
 *   accounts.c              memtables, readers and their views, a freeze, opening and closing
 *   accounts_group.c        the writer's: the open group, the sums of points, a replay
 *   accounts_runs.c         keys and receipts in LMDB: months, runs and their index
 *   accounts_checkpoint.c   the checkpointer's: from the frozen memtable to LMDB
 *   accounts_walk.c         all records, in order
 *   accounts_environment.c  LMDB's file: made, opened, what its own table says */
#ifndef CHECKLANE_ACCOUNTS_INTERNAL_H
#define CHECKLANE_ACCOUNTS_INTERNAL_H

#include "accounts.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "invariant.h"
#include "siphash.h"

#define FAMILIES 9 /* 8 is none */
/* Receipts and keys lie in a ring of sub-databases, one a month of post time. Two more than are
 * visible at most: the ring's next slot is dropped long before it is due. */
#define MONTHLY_FAMILIES 2
#define MONTH_SLOTS 32
_Static_assert(FAMILY_KEY == FAMILY_RECEIPT + 1, "the monthly families stand side by side");
_Static_assert(RETENTION_DAYS_MAX / 28 + 2 <= MONTH_SLOTS, "visible months and two more");
/* Records that one group may touch. 512 entries * 8 records = 4,096, and room for one largest
 * entry on top; twice as many slots keep probes short: 16,384 * 32 B = 512 KiB. */
#define DRAFTS_MAX 8192
#define DRAFT_SLOTS 16384
_Static_assert(DRAFTS_MAX >= 2 * MOVEMENTS_MAX, "one largest entry must always fit");

/* What the table "meta" says, by name. */
#define COVERED_KEY "covered"
#define OWED_KEY "owed"
#define MONTHS_KEY "months"

/* A record with its key: in a memtable's arena, or a draft. */
typedef struct stored {
    uint32_t room_cells; /* that fit behind the head */
    uint32_t reserved;
    record_key_t key;
    record_head_t head;
    cell_t cells[];
} stored_t;
_Static_assert(sizeof(stored_t) == 48, "cells stay 16-byte aligned");

/* Name of a record of a monthly family in LMDB: its run, then the key, whose first bytes take the
 * place of four that are always zero. So names order by run, then as keys do. */
typedef struct run_name {
    uint8_t run[4]; /* the most significant first */
    uint8_t head[4];
    uint64_t hi;
    uint64_t lo;
} run_name_t;
_Static_assert(sizeof(run_name_t) == sizeof(record_key_t), "and the value stays aligned");

/* What a slot of the ring of months holds, as it is kept in LMDB. */
typedef struct month {
    uint32_t number;  /* 0: none */
    uint32_t run;     /* that new records go to; older ones are closed */
    uint32_t records; /* in it, or somewhat fewer where a checkpoint did not end */
    uint32_t reserved;
} month_t;

/* The run index: open addressing by a key's hash, a word a record. A word is written once and
 * stays until the index is built anew; one whose record is gone leads to nothing. */
typedef struct run_index {
    uint64_t mask;
    uint64_t count; /* words in use; the checkpointer's */
    _Atomic uint32_t words[];
} run_index_t;

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
    uint64_t retired;   /* memtables that were retired before: LMDB has what they had */
} tables_t;

typedef struct draft_slot {
    uint64_t hash;
    record_key_t key;
    stored_t *draft;      /* newest version in this group; NULL: none (yet) */
    uint64_t entry_lsn;   /* entry that made it, or looked at it and had nothing to do */
    uint32_t group_number; /* the slot is empty when this is not the open group's */
} draft_slot_t;

/* What an entry's first touch of a record replaced. */
typedef struct undo {
    uint32_t slot;
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
    bool is_renewed;  /* the transaction is live */
    uint64_t retired; /* as in the tables of the view that began it */
};

struct accounts {
    accounts_options_t options;
    const machine_t *machine;
    MDB_env *environment;
    MDB_dbi families[FAMILIES + 1]; /* the monthly ones have none */
    MDB_dbi tables_of_months[MONTHLY_FAMILIES][MONTH_SLOTS];
    MDB_dbi meta;
    month_t months[MONTHLY_FAMILIES][MONTH_SLOTS]; /* the checkpointer's */
    bool is_months_dirty;
    /* The numbers of the months again, for readers. The checkpointer stores one before it commits
     * the month's first record; a reader looks for that only when the memtable is gone. */
    _Atomic uint32_t slot_months[MONTHLY_FAMILIES][MONTH_SLOTS];
    /* Post time as the writer knows it: months since 1970, and the oldest that is visible. */
    int64_t post_day;
    _Atomic uint32_t newest_month;
    _Atomic uint32_t oldest_month;
    _Atomic(run_index_t *) index; /* NULL: not built yet, or no memory for it */
    run_index_t *retired_index;   /* readers may hold it until the next retirement */
    _Atomic uint64_t index_bytes; /* of both */
    uint32_t replay_looks;        /* in the environment, without an index */
    _Atomic(tables_t *) tables;
    _Atomic uint64_t epoch;
    atomic_bool has_frozen;
    _Atomic(memtable_t *) replaying; /* whose pages are taken ahead; NULL: none */
    _Atomic uint64_t replay_pages;   /* bytes of it, slots first, that were taken */
    covered_t frozen_covered;
    uint32_t frozen_oldest_month; /* that was visible at the freeze */
    /* The writer's sums of points, and what all purses owed when the memtable was frozen. They are
     * sums over whole entries: what is kept beside the covered LSN is right at exactly that LSN,
     * and the replay adds every entry behind it. */
    uint64_t points[POINTS_FLOWS][PURSES_MAX + 1];
    int64_t owed_points[PURSES_MAX + 1];
    int64_t frozen_owed_points[PURSES_MAX + 1];
    bool is_points_dirty;
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
    _Atomic uint64_t shown_points[POINTS_FLOWS][PURSES_MAX + 1];
    _Atomic int64_t shown_owed_points[PURSES_MAX + 1];
    pthread_mutex_t lock; /* for `covered`, and for taking reader slots */
    covered_t covered;
    accounts_reader_t readers[READERS_MAX];
};

/* A record to be sorted by key, the newer table's first: `rank` 0 active, 1 frozen. `prefix` orders
 * as the key's bytes do and settles nearly every comparison without touching the record. */
typedef struct found {
    const stored_t *record;
    uint64_t prefix;
    uint64_t rank;
} found_t;

/* ---------------------------------------------------------------- small helpers ----------- */

static const record_head_t absent_head = {0};

static inline uint64_t key_hash(const record_key_t *key)
{
    return mix64(key->hi ^ mix64(key->lo + key->family + ((uint64_t)key->partition << 16)));
}

static inline bool key_equal(const record_key_t *left, const record_key_t *right)
{
    return memcmp(left, right, sizeof *left) == 0;
}

static inline bool is_monthly(uint8_t family)
{
    return family == FAMILY_RECEIPT || family == FAMILY_KEY;
}

static inline uint64_t stored_bytes(uint32_t cell_count)
{
    return sizeof(stored_t) + (uint64_t)cell_count * sizeof(cell_t);
}

/* Takes a value of the environment apart; the other half of the check in write_record. */
static inline record_t record_of_value(const MDB_val *value)
{
    const record_head_t *head = value->mv_data;
    INVARIANT((uintptr_t)head % _Alignof(cell_t) == 0);
    INVARIANT(value->mv_size >= sizeof *head);
    INVARIANT(value->mv_size == sizeof *head + head->cell_count * sizeof(cell_t));
    record_t record = {head, (const cell_t *)(const void *)(head + 1)};
    return record;
}

static inline record_t record_of_stored(const stored_t *stored)
{
    record_t record = {&stored->head, stored->cells};
    return record;
}

/* A record that nothing newer hides, unless its month is out of retention. */
static inline record_t visible(const accounts_t *accounts, uint8_t family, record_t record)
{
    uint32_t oldest = atomic_load_explicit(&accounts->oldest_month, memory_order_relaxed);
    if (!is_monthly(family) || record.head->month >= oldest) return record;
    record_t absent = {&absent_head, NULL};
    return absent;
}

/* True when the environment says that there is no room, now; anything else is not survivable. */
static inline bool is_full(int error)
{
    return error == MDB_MAP_FULL || error == ENOSPC || error == EDQUOT || error == EFBIG;
}

/* ---------------------------------------------------------------- accounts.c -------------- */

/* Ends the process: the environment cannot be read or written. */
void accounts_fatal(const accounts_t *accounts, const char *what, int error);

memtable_t *memtable_new(uint64_t slot_count, uint64_t arena_bytes);
void memtable_free(memtable_t *table);

/* Copies a draft in and publishes it. The writer only; the room was checked before the append. */
void memtable_put(memtable_t *table, uint64_t hash, const stored_t *draft);

/* The view's transaction, live. */
MDB_txn *view_transaction(const accounts_view_t *view);

/* The record of a key as LMDB has it in this view. */
record_t read_environment(const accounts_view_t *view, record_key_t *key);

/* ---------------------------------------------------------------- accounts_group.c -------- */

/* The key's slot in the open group, or the empty one where it belongs. */
draft_slot_t *group_find(const group_t *group, uint64_t hash, const record_key_t *key);

/* Gets and gives back the open group's memory; false where there is none. */
bool group_allocate(group_t *group);
void group_free(group_t *group);

/* Keeps the figures of the active memtable, which the askers themselves must not touch. */
void note_active(accounts_t *accounts, const memtable_t *active);

/* ---------------------------------------------------------------- accounts_runs.c --------- */

static inline run_name_t run_name(uint32_t run, const record_key_t *key)
{
    INVARIANT(key->reserved == 0);
    run_name_t name = {.hi = key->hi, .lo = key->lo};
    for (int i = 0; i < 4; i++) name.run[i] = (uint8_t)(run >> (24 - 8 * i));
    memcpy(name.head, key, sizeof name.head);
    return name;
}

static inline uint32_t run_of_name(const run_name_t *name)
{
    uint32_t run = 0;
    for (int i = 0; i < 4; i++) run = run << 8 | name->run[i];
    return run;
}

static inline record_key_t key_of_name(const run_name_t *name)
{
    record_key_t key = {.hi = name->hi, .lo = name->lo};
    memcpy(&key, name->head, sizeof name->head);
    return key;
}

/* A record of a monthly family in one slot of the ring of months, or, when that is MONTH_SLOTS, in
 * any that readers may see; and its run. The absent record when it is in none. */
record_t find_monthly(const accounts_t *accounts, MDB_txn *transaction, const record_key_t *key,
                      uint32_t slot, uint32_t *run);

/* Notes in which run a record is. Once is enough. The checkpointer. */
void index_note(run_index_t *index, uint64_t hash, uint32_t slot, uint32_t run);

/* Frees the index that was replaced; no reader holds it any more. The checkpointer. */
void index_free_retired(accounts_t *accounts);

/* Builds a larger index unless this one has room for some checkpoints of `count` records; rests
 * meanwhile as a checkpoint does. Without one the next checkpoint builds what it needs. The
 * checkpointer, before it retires. */
void index_grow_ahead(accounts_t *accounts, uint64_t count, pace_t (*between)(void *context),
                      void *context);

/* ---------------------------------------------------------------- accounts_checkpoint.c --- */

/* Rests between two pieces of what the checkpointer does beside a checkpoint's transactions, unless
 * the active memtable is more than a third full; false: stop. */
bool checkpoint_rests(const accounts_t *accounts, pace_t (*between)(void *context),
                      void *context);

/* ---------------------------------------------------------------- accounts_walk.c --------- */

/* Sorts by key, of equal keys the newer table's first. `spare` has room for as many. */
void found_sort(found_t *found, size_t count, found_t *spare);

/* Appends a memtable's records of a family (0: of all) to `found`, which has room for `room`;
 * returns the new count. */
size_t memtable_collect(const memtable_t *table, uint8_t family, uint64_t rank, found_t *found,
                        size_t count, size_t room);

/* ---------------------------------------------------------------- accounts_environment.c -- */

/* Opens the environment, made when missing; an error of LMDB's or the system's. */
int open_environment(accounts_t *accounts);

/* Tells readers which months there are. */
void show_months(accounts_t *accounts);

#endif
