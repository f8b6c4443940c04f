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
 * Keys and receipts lie in months, and there in runs: a run has what checkpoints found new, in
 * order of the keys, and the next one begins behind it. So what a checkpoint adds lies side by side
 * at a tree's end, where records sorted by their hash alone would each change a page of its own. A
 * record is never in two runs of a month, since the checkpointer looks for it and rewrites it where
 * it is. The run index, in memory, says for a key's hash in which months and runs it may be. The
 * checkpointer notes a record there before it commits it; who does not find it there yet, or looks
 * through an older transaction in which its run has not got it, holds a view from before the
 * retirement and finds the record in that view's memtables. Without an index a look-up goes through
 * all runs of its own transaction, which knows how many there are: nothing about runs is told to
 * readers in any other way.
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
#include "pages.h"
#include "siphash.h"

#define FAMILIES 9 /* 8 is none */
#define COVERED_KEY "covered"
#define OWED_KEY "owed"
/* Receipts and keys lie in a ring of sub-databases, one a month of post time. Two more than are
 * visible at most: the ring's next slot is dropped long before it is due. */
#define MONTHLY_FAMILIES 2
#define MONTH_SLOTS 32
#define MONTHS_KEY "months"
_Static_assert(FAMILY_KEY == FAMILY_RECEIPT + 1, "the monthly families stand side by side");
_Static_assert(RETENTION_DAYS_MAX / 28 + 2 <= MONTH_SLOTS, "visible months and two more");
/* Words of the smallest run index, and parts of 24 that may be used: when it is built, and before
 * it is built anew. 16 million keys and receipts / (18 / 24) fit into 2^25 words of 4 B = 128 MiB;
 * 13 million more may come. A look-up in vain reads 4 words side by side, at the end 32; each has
 * 16 bits of the hash, so 32 words lead to a run in vain once in 2,000 times. */
#define INDEX_WORDS_MIN (64 * 1024)
#define INDEX_FULL_BUILT 18
#define INDEX_FULL_MOST 21
#define INDEX_FULL_PARTS 24
/* A word: bits of the hash that do not say where it stands, the month's slot, the run and one. */
#define INDEX_TAG_SHIFT 16
#define INDEX_SLOT_SHIFT 11
#define INDEX_RUN_MASK 2047u
_Static_assert(MONTH_SLOTS <= 1 << (INDEX_TAG_SHIFT - INDEX_SLOT_SHIFT), "a slot has five bits");
_Static_assert(RUNS_MAX < INDEX_RUN_MASK, "a run and one have eleven bits");
/* Records that a replay looks for in the environment before it has the index built: through 244
 * runs (limits.h) they take 0.25 s at most, the index of 16 million records one or two. */
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
/* Slots between a record that is looked at and the one whose memory is asked for. */
#define COLLECT_AHEAD_SLOTS 16
/* Records in one transaction, against those of a paced one, when nobody waits for the disk. */
#define HURRY_TIMES 64
/* New keys and receipts that count as one other record when a transaction is measured: they lie
 * side by side, 25 to 48 a page, where each of the others may change a page of its own. */
#define DENSE_TIMES 4
/* And when a checkpoint lags: one sync for so many more keeps up where small ones would not. */
#define LAG_TIMES 4
#define LAG_MAX 64
/* The first two pages of the environment's file, of 64 KiB at most. */
#define METAS_BYTES_MAX (2 * 64 * 1024)
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
#define DAY_MS 86400000

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

static bool is_monthly(uint8_t family)
{
    return family == FAMILY_RECEIPT || family == FAMILY_KEY;
}

static uint64_t stored_bytes(uint32_t cell_count)
{
    return sizeof(stored_t) + (uint64_t)cell_count * sizeof(cell_t);
}

static memtable_t *memtable_new(uint64_t slot_count, uint64_t arena_bytes)
{
    memtable_t *table = calloc(1, sizeof *table);
    if (table == NULL) return NULL;
    size_t slot_bytes = slot_count * sizeof(memtable_slot_t);
    table->mapped_bytes = slot_bytes + arena_bytes;
    /* Zero pages appear as they are touched: an idle memtable costs next to nothing. */
    void *memory = mmap(NULL, table->mapped_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        free(table);
        return NULL;
    }
    table->slots = memory;
    table->mask = slot_count - 1;
    table->arena = (uint8_t *)memory + slot_bytes;
    table->arena_bytes = arena_bytes;
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
    record->room_cells = draft->head.cell_count;
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

/* ---------------------------------------------------------------- months ------------------ */

/* The month of a day since 1970: January 1970 is 1, so that 0 says "none". */
static uint32_t month_of_day(int64_t day)
{
    /* Years that begin in March put the leap day last; 400 of them have 146,097 days. */
    int64_t shifted = day + 719468;
    int64_t era = shifted / 146097;
    int64_t in_era = shifted % 146097;
    int64_t year = (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    int64_t in_year = in_era - (365 * year + year / 4 - year / 100);
    int64_t march_month = (5 * in_year + 2) / 153;
    return (uint32_t)(12 * (400 * era + year - 1970) + march_month + 3);
}

void accounts_advance(accounts_t *accounts, int64_t post_unix_ms)
{
    int64_t day = post_unix_ms / DAY_MS;
    if (day <= accounts->post_day) return;
    accounts->post_day = day;
    uint32_t month = month_of_day(day);
    uint32_t kept = (accounts->options.retention_days + 27) / 28;
    atomic_store_explicit(&accounts->newest_month, month, memory_order_relaxed);
    uint32_t oldest = month > kept ? month - kept : 0;
    atomic_store_explicit(&accounts->oldest_month, oldest, memory_order_relaxed);
}

/* ---------------------------------------------------------------- runs -------------------- */

static run_name_t run_name(uint32_t run, const record_key_t *key)
{
    INVARIANT(key->reserved == 0);
    run_name_t name = {.hi = key->hi, .lo = key->lo};
    for (int i = 0; i < 4; i++) name.run[i] = (uint8_t)(run >> (24 - 8 * i));
    memcpy(name.head, key, sizeof name.head);
    return name;
}

static uint32_t run_of_name(const run_name_t *name)
{
    uint32_t run = 0;
    for (int i = 0; i < 4; i++) run = run << 8 | name->run[i];
    return run;
}

static record_key_t key_of_name(const run_name_t *name)
{
    record_key_t key = {.hi = name->hi, .lo = name->lo};
    memcpy(&key, name->head, sizeof name->head);
    return key;
}

static uint32_t index_word(uint64_t hash, uint32_t slot, uint32_t run)
{
    INVARIANT(run < RUNS_MAX);
    return (uint32_t)(hash >> 48) << INDEX_TAG_SHIFT | slot << INDEX_SLOT_SHIFT | (run + 1);
}

static bool index_has_room(const run_index_t *index, uint64_t more, uint64_t parts)
{
    return index->count + more <= (index->mask + 1) / INDEX_FULL_PARTS * parts;
}

/* Notes in which run a record is. Once is enough. */
static void index_note(run_index_t *index, uint64_t hash, uint32_t slot, uint32_t run)
{
    uint32_t word = index_word(hash, slot, run);
    for (uint64_t at = hash & index->mask;; at = (at + 1) & index->mask) {
        uint32_t there = atomic_load_explicit(&index->words[at], memory_order_relaxed);
        if (there == word) return;
        if (there != 0) continue;
        INVARIANT(index->count <= index->mask / INDEX_FULL_PARTS * (INDEX_FULL_PARTS - 1));
        atomic_store_explicit(&index->words[at], word, memory_order_relaxed);
        index->count++;
        return;
    }
}

/* The next run of month slot `slot`, or of any when it is MONTH_SLOTS, that may have a key; its
 * word, or 0 behind the last. `at` begins with the hash. */
static uint32_t index_next(const run_index_t *index, uint64_t hash, uint32_t slot, uint64_t *at)
{
    uint32_t tag = (uint32_t)(hash >> 48);
    for (;;) {
        uint64_t place = (*at)++ & index->mask;
        uint32_t word = atomic_load_explicit(&index->words[place], memory_order_relaxed);
        if (word == 0) return 0;
        if (word >> INDEX_TAG_SHIFT != tag) continue;
        if (slot == MONTH_SLOTS || (word >> INDEX_SLOT_SHIFT & (MONTH_SLOTS - 1)) == slot) {
            return word;
        }
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
    if (reader->retired != reader->view.tables->retired) accounts_rest(reader);
    return &reader->view;
}

void accounts_rest(accounts_reader_t *reader)
{
    if (reader->is_renewed) mdb_txn_reset(reader->transaction);
    reader->is_renewed = false;
}

void accounts_leave(accounts_reader_t *reader)
{
    atomic_store_explicit(&reader->epoch, 0, memory_order_release);
}

void accounts_unpin(accounts_reader_t *reader)
{
    accounts_rest(reader);
    accounts_leave(reader);
}

/* The view's transaction, live. It holds whatever memtable was retired before the view: it began
 * after a view's tables were loaded in which as many had been retired, and what is retired is in
 * LMDB before the tables say so. The count tells, and not the address of the tables, which another
 * may have after them. */
static MDB_txn *view_transaction(const accounts_view_t *view)
{
    accounts_reader_t *reader = view->reader;
    if (!reader->is_renewed) {
        int error = mdb_txn_renew(reader->transaction);
        if (error != 0) accounts_fatal(reader->accounts, "reading the accounts failed", error);
        reader->is_renewed = true;
        reader->retired = view->tables->retired;
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

/* A record that nothing newer hides, unless its month is out of retention. */
static record_t visible(const accounts_t *accounts, uint8_t family, record_t record)
{
    uint32_t oldest = atomic_load_explicit(&accounts->oldest_month, memory_order_relaxed);
    if (!is_monthly(family) || record.head->month >= oldest) return record;
    record_t absent = {&absent_head, NULL};
    return absent;
}

/* The record of a key in one sub-database of the view; the absent one when it is not there. */
static record_t read_table(const accounts_view_t *view, MDB_dbi table, record_key_t *key)
{
    INVARIANT(table != 0);
    MDB_val name = {sizeof *key, key};
    MDB_val value;
    int error = mdb_get(view_transaction(view), table, &name, &value);
    if (error == 0) return record_of_value(&value);
    if (error != MDB_NOTFOUND) {
        accounts_fatal(view->reader->accounts, "reading the accounts failed", error);
    }
    record_t absent = {&absent_head, NULL};
    return absent;
}

/* The record of a key in one run, if that has it and it is the month's. */
static record_t read_run(const accounts_t *accounts, MDB_txn *transaction,
                         const record_key_t *key, uint32_t slot, uint32_t month, uint32_t run)
{
    record_t record = {&absent_head, NULL};
    run_name_t named = run_name(run, key);
    MDB_val name = {sizeof named, &named};
    MDB_val value;
    MDB_dbi table = accounts->tables_of_months[key->family - FAMILY_RECEIPT][slot];
    int error = mdb_get(transaction, table, &name, &value);
    if (error != 0 && error != MDB_NOTFOUND) {
        accounts_fatal(accounts, "reading the accounts failed", error);
    }
    if (error != 0 || record_of_value(&value).head->month != month) return record;
    return record_of_value(&value);
}

/* Runs that a month has in a transaction. */
static uint32_t count_runs(const accounts_t *accounts, MDB_txn *transaction, MDB_dbi table)
{
    MDB_cursor *cursor;
    MDB_val name;
    int error = mdb_cursor_open(transaction, table, &cursor);
    if (error == 0) {
        error = mdb_cursor_get(cursor, &name, NULL, MDB_LAST);
        mdb_cursor_close(cursor);
    }
    if (error == MDB_NOTFOUND) return 0;
    if (error != 0) accounts_fatal(accounts, "reading the accounts failed", error);
    INVARIANT(name.mv_size == sizeof(run_name_t));
    return run_of_name(name.mv_data) + 1;
}

/* The month that slot `in` of the ring holds, if it is the one that is asked for, or any is and
 * readers may see it; else 0. */
static uint32_t month_in(const accounts_t *accounts, uint8_t family, uint32_t in, uint32_t slot)
{
    uint32_t month = atomic_load(&accounts->slot_months[family - FAMILY_RECEIPT][in]);
    if (slot != MONTH_SLOTS) return in == slot ? month : 0;
    uint32_t newest = atomic_load_explicit(&accounts->newest_month, memory_order_relaxed);
    uint32_t oldest = atomic_load_explicit(&accounts->oldest_month, memory_order_relaxed);
    return month >= oldest && month <= newest ? month : 0;
}

/* Finds a record of a monthly family where the index says: in one slot of the ring, or in any when
 * that is MONTH_SLOTS. Of the months that are visible at most one has it. */
static record_t find_indexed(const accounts_t *accounts, MDB_txn *transaction,
                             const record_key_t *key, uint32_t slot, const run_index_t *index,
                             uint32_t *run)
{
    uint64_t hash = key_hash(key);
    uint64_t at = hash;
    for (uint32_t word; (word = index_next(index, hash, slot, &at)) != 0;) {
        uint32_t in = word >> INDEX_SLOT_SHIFT & (MONTH_SLOTS - 1);
        uint32_t month = month_in(accounts, key->family, in, slot);
        if (month == 0) continue;
        *run = (word & INDEX_RUN_MASK) - 1;
        record_t record = read_run(accounts, transaction, key, in, month, *run);
        if (record.head->month != 0) return record;
    }
    record_t absent = {&absent_head, NULL};
    return absent;
}

/* The same through every run, the newest first: about a microsecond for each. */
static record_t find_everywhere(const accounts_t *accounts, MDB_txn *transaction,
                                const record_key_t *key, uint32_t slot, uint32_t *run)
{
    uint32_t newest = atomic_load_explicit(&accounts->newest_month, memory_order_relaxed);
    for (uint32_t back = 0; back < MONTH_SLOTS; back++) {
        uint32_t in = (newest - back) % MONTH_SLOTS;
        uint32_t month = month_in(accounts, key->family, in, slot);
        if (month == 0) continue;
        MDB_dbi table = accounts->tables_of_months[key->family - FAMILY_RECEIPT][in];
        for (*run = count_runs(accounts, transaction, table); (*run)-- > 0;) {
            record_t record = read_run(accounts, transaction, key, in, month, *run);
            if (record.head->month != 0) return record;
        }
    }
    record_t absent = {&absent_head, NULL};
    return absent;
}

/* A record of a monthly family in one slot of the ring, or in any, and its run. */
static record_t find_monthly(const accounts_t *accounts, MDB_txn *transaction,
                             const record_key_t *key, uint32_t slot, uint32_t *run)
{
    const run_index_t *index = atomic_load(&accounts->index);
    if (index == NULL) return find_everywhere(accounts, transaction, key, slot, run);
    return find_indexed(accounts, transaction, key, slot, index, run);
}

static record_t read_environment(const accounts_view_t *view, record_key_t *key)
{
    const accounts_t *accounts = view->reader->accounts;
    if (!is_monthly(key->family)) return read_table(view, accounts->families[key->family], key);
    uint32_t run;
    return find_monthly(accounts, view_transaction(view), key, MONTH_SLOTS, &run);
}

record_t accounts_read(const accounts_view_t *view, record_key_t key)
{
    INVARIANT(key.family >= 1);
    INVARIANT(key.family <= FAMILIES);
    const accounts_t *accounts = view->reader->accounts;
    uint64_t hash = key_hash(&key);
    if (view->group != NULL) {
        const draft_slot_t *slot = group_find(view->group, hash, &key);
        if (slot->group_number == view->group->number && slot->draft != NULL) {
            return visible(accounts, key.family, record_of_stored(slot->draft));
        }
    }
    const stored_t *stored = memtable_find(view->tables->active, hash, &key);
    if (stored == NULL && view->tables->frozen != NULL) {
        stored = memtable_find(view->tables->frozen, hash, &key);
    }
    if (stored != NULL) return visible(accounts, key.family, record_of_stored(stored));
    return read_environment(view, &key);
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
    int order = memcmp(&a->record->key, &b->record->key, sizeof(record_key_t));
    if (order != 0) return order;
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

/* Sorts by prefix, a byte at a time from the last, then what shares a prefix. `spare` has room for
 * as many. Some 60 ns a record for half a million, a fifth of what comparing them takes. */
static void found_sort(found_t *found, size_t count, found_t *spare)
{
    found_t *from = found;
    found_t *to = spare;
    for (uint32_t shift = 0; shift < 64; shift += 8) {
        size_t begins[257] = {0};
        for (size_t i = 0; i < count; i++) begins[(from[i].prefix >> shift & 0xff) + 1]++;
        if (count == 0 || begins[(from[0].prefix >> shift & 0xff) + 1] == count) continue;
        for (int byte = 0; byte < 256; byte++) begins[byte + 1] += begins[byte];
        for (size_t i = 0; i < count; i++) to[begins[from[i].prefix >> shift & 0xff]++] = from[i];
        found_t *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != found) memcpy(found, from, count * sizeof *found);
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count && found[end].prefix == found[begin].prefix;) end++;
        if (end - begin > 1) qsort(&found[begin], end - begin, sizeof *found, found_compare);
    }
}

/* Appends a memtable's records of a family (0: of all) to `found`, which has room for `room`;
 * returns the new count. */
static size_t memtable_collect(const memtable_t *table, uint8_t family, uint64_t rank,
                               found_t *found, size_t count, size_t room)
{
    /* An unused table is a mapping that nobody has touched: leave it so. */
    if (atomic_load_explicit(&table->count, memory_order_relaxed) == 0) return count;
    for (uint64_t at = 0; at <= table->mask && count < room; at++) {
        /* The records lie in the order in which they were made, the slots by their hash. */
        uint64_t ahead = (at + COLLECT_AHEAD_SLOTS) & table->mask;
        __builtin_prefetch(atomic_load_explicit(&table->slots[ahead].record, memory_order_relaxed));
        const stored_t *record =
            atomic_load_explicit(&table->slots[at].record, memory_order_acquire);
        if (record == NULL) continue;
        if (family != 0 && record->key.family != family) continue;
        found[count].record = record;
        found[count].prefix = key_prefix(&record->key);
        found[count].rank = rank;
        count++;
    }
    return count;
}

typedef struct walk {
    const accounts_t *accounts;
    void (*each)(void *context, const record_key_t *key, record_t record);
    void *context;
    const found_t *found;
    size_t count;
    size_t at;
} walk_t;

static void walk_emit(const walk_t *walk, const record_key_t *key, record_t record)
{
    record = visible(walk->accounts, key->family, record);
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

#define RUN_NONE UINT32_MAX

/* One table, or one run of a month, on its way through the merge. */
typedef struct lane {
    MDB_cursor *cursor;
    uint32_t run; /* of a month; RUN_NONE: a table that has none */
    record_key_t key;
    record_t record;
} lane_t;

/* All lanes of a family, as a heap: the least key first. */
typedef struct lanes {
    lane_t *lanes;
    size_t count;
    size_t room;
} lanes_t;

/* Takes what the cursor stands at; false where that is the lane's end. */
static bool lane_take(lane_t *lane, int moved, const MDB_val *name, const MDB_val *value,
                      int *error)
{
    if (moved != 0) {
        if (moved != MDB_NOTFOUND) *error = moved;
        return false;
    }
    INVARIANT(name->mv_size == sizeof lane->key);
    memcpy(&lane->key, name->mv_data, sizeof lane->key);
    if (lane->run != RUN_NONE) {
        run_name_t named;
        memcpy(&named, name->mv_data, sizeof named);
        if (run_of_name(&named) != lane->run) return false;
        lane->key = key_of_name(&named);
    }
    lane->record = record_of_value(value);
    return true;
}

static bool lane_next(lane_t *lane, int *error)
{
    MDB_val name;
    MDB_val value;
    int moved = mdb_cursor_get(lane->cursor, &name, &value, MDB_NEXT);
    return lane_take(lane, moved, &name, &value, error);
}

static bool lane_before(const lane_t *left, const lane_t *right)
{
    return memcmp(&left->key, &right->key, sizeof left->key) < 0;
}

/* Moves the lane at `at` down to where it belongs. */
static void lanes_sink(lanes_t *lanes, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t below = 2 * at + 1; below <= 2 * at + 2 && below < lanes->count; below++) {
            if (lane_before(&lanes->lanes[below], &lanes->lanes[least])) least = below;
        }
        if (least == at) return;
        lane_t moved = lanes->lanes[at];
        lanes->lanes[at] = lanes->lanes[least];
        lanes->lanes[least] = moved;
        at = least;
    }
}

/* Opens a lane at the first record of a run, or of the next that has one, whose number it takes;
 * *is_there is false behind the last. */
static int lanes_open(lanes_t *lanes, MDB_txn *transaction, MDB_dbi table, uint32_t run,
                      bool *is_there)
{
    if (lanes->count == lanes->room) {
        size_t room = 2 * lanes->room + MONTH_SLOTS;
        lane_t *larger = realloc(lanes->lanes, room * sizeof *larger);
        if (larger == NULL) return ENOMEM;
        lanes->lanes = larger;
        lanes->room = room;
    }
    lane_t lane = {.run = run};
    record_key_t nothing = {0};
    run_name_t begin = run_name(run, &nothing);
    MDB_val name = {sizeof begin, &begin};
    MDB_val value;
    int error = mdb_cursor_open(transaction, table, &lane.cursor);
    if (error != 0) return error;
    MDB_cursor_op op = run == RUN_NONE ? MDB_FIRST : MDB_SET_RANGE;
    int moved = mdb_cursor_get(lane.cursor, &name, &value, op);
    if (moved == 0 && run != RUN_NONE) {
        INVARIANT(name.mv_size == sizeof begin);
        lane.run = run_of_name(name.mv_data);
    }
    *is_there = lane_take(&lane, moved, &name, &value, &error);
    if (*is_there) lanes->lanes[lanes->count++] = lane;
    else mdb_cursor_close(lane.cursor);
    return error;
}

/* Opens a lane for each run that the transaction has of a month. */
static int lanes_open_month(lanes_t *lanes, MDB_txn *transaction, MDB_dbi table)
{
    bool is_there = true;
    int error = 0;
    for (uint32_t run = 0; is_there && error == 0;) {
        error = lanes_open(lanes, transaction, table, run, &is_there);
        if (is_there) run = lanes->lanes[lanes->count - 1].run + 1;
    }
    return error;
}

/* Merges lanes in order of their keys with the memtables. Lanes of two months may hold one key, of
 * which at most one is visible; what a memtable has of it hides both. */
static int walk_lanes(walk_t *walk, lanes_t *lanes, uint8_t family)
{
    int error = 0;
    record_key_t hidden = {0};
    for (size_t at = lanes->count / 2; at-- > 0;) lanes_sink(lanes, at);
    while (lanes->count > 0 && error == 0) {
        lane_t *least = &lanes->lanes[0];
        if (walk_memtables(walk, family, &least->key)) hidden = least->key;
        if (!key_equal(&hidden, &least->key)) walk_emit(walk, &least->key, least->record);
        if (!lane_next(least, &error)) {
            mdb_cursor_close(least->cursor);
            lanes->count--;
            *least = lanes->lanes[lanes->count];
        }
        lanes_sink(lanes, 0);
    }
    if (error == 0) walk_memtables(walk, family, NULL);
    return error;
}

static int walk_family(walk_t *walk, MDB_txn *transaction, uint8_t family)
{
    const accounts_t *accounts = walk->accounts;
    lanes_t lanes = {0};
    int error = 0;
    if (is_monthly(family)) {
        uint32_t ring = family - FAMILY_RECEIPT;
        for (uint32_t slot = 0; slot < MONTH_SLOTS && error == 0; slot++) {
            if (atomic_load(&accounts->slot_months[ring][slot]) == 0) continue;
            MDB_dbi table = accounts->tables_of_months[ring][slot];
            error = lanes_open_month(&lanes, transaction, table);
        }
    } else if (accounts->families[family] != 0) {
        bool is_there;
        error = lanes_open(&lanes, transaction, accounts->families[family], RUN_NONE, &is_there);
    }
    if (error == 0) error = walk_lanes(walk, &lanes, family);
    while (lanes.count > 0) mdb_cursor_close(lanes.lanes[--lanes.count].cursor);
    free(lanes.lanes);
    return error;
}

status_t accounts_each_of(const accounts_view_t *view, uint8_t family,
                          void (*each)(void *context, const record_key_t *key, record_t record),
                          void *context)
{
    const tables_t *tables = view->tables;
    accounts_t *accounts = view->reader->accounts;
    size_t room = atomic_load_explicit(&tables->active->count, memory_order_relaxed) + 1;
    if (tables->frozen != NULL) {
        room += atomic_load_explicit(&tables->frozen->count, memory_order_relaxed);
    }
    found_t *found = malloc(2 * room * sizeof *found);
    if (found == NULL) return STATUS_OUT_OF_MEMORY;
    size_t count = 0;
    if (tables->frozen != NULL) {
        count = memtable_collect(tables->frozen, family, 1, found, count, room);
    }
    count = memtable_collect(tables->active, family, 0, found, count, room);
    found_sort(found, count, found + room);
    walk_t walk = {.accounts = accounts,
                   .each = each,
                   .context = context,
                   .found = found,
                   .count = count};
    MDB_txn *transaction = view_transaction(view);
    int error = 0;
    uint8_t last = family == 0 ? FAMILIES : family;
    for (uint8_t at = family == 0 ? 1 : family; at <= last && error == 0; at++) {
        error = walk_family(&walk, transaction, at);
    }
    free(found);
    if (error == ENOMEM) return STATUS_OUT_OF_MEMORY;
    return error == 0 ? STATUS_OK : STATUS_IO_FAILED;
}

status_t accounts_each(const accounts_view_t *view,
                       void (*each)(void *context, const record_key_t *key, record_t record),
                       void *context)
{
    return accounts_each_of(view, 0, each, context);
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
    return 2 * used >= accounts->options.memtable_bytes
           || 2 * count >= accounts->options.memtable_slots;
}

bool accounts_freeze(accounts_t *accounts, covered_t covered)
{
    INVARIANT(atomic_load(&accounts->writer->epoch) == 0);
    if (accounts_has_frozen(accounts)) return false;
    tables_t *tables = malloc(sizeof *tables);
    const accounts_options_t *options = &accounts->options;
    memtable_t *fresh = memtable_new(options->memtable_slots, options->memtable_bytes);
    if (tables == NULL || fresh == NULL) {
        free(tables);
        memtable_free(fresh);
        return false;
    }
    accounts->before_freeze = atomic_load(&accounts->tables);
    tables->active = fresh;
    tables->frozen = accounts->before_freeze->active;
    tables->retired = accounts->before_freeze->retired;
    accounts->frozen_covered = covered;
    accounts->frozen_oldest_month = atomic_load(&accounts->oldest_month);
    memcpy(accounts->frozen_owed_points, accounts->owed_points,
           sizeof accounts->frozen_owed_points);
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
    return error == MDB_MAP_FULL || error == ENOSPC || error == EDQUOT || error == EFBIG;
}

/* Notes what each slot of the ring holds, within a transaction. */
static int write_months(accounts_t *accounts, MDB_txn *transaction)
{
    MDB_val name = {sizeof MONTHS_KEY - 1, (void *)(uintptr_t)MONTHS_KEY};
    MDB_val value = {sizeof accounts->months, accounts->months};
    return mdb_put(transaction, accounts->meta, &name, &value, 0);
}

/* Tells readers which months there are. */
static void show_months(accounts_t *accounts)
{
    for (int at = 0; at < MONTHLY_FAMILIES * MONTH_SLOTS; at++) {
        atomic_store(&accounts->slot_months[at / MONTH_SLOTS][at % MONTH_SLOTS],
                     accounts->months[at / MONTH_SLOTS][at % MONTH_SLOTS].number);
    }
}

/* Makes sure that the record's slot of the ring holds its month. */
static int open_month(accounts_t *accounts, MDB_txn *transaction, const stored_t *record)
{
    uint32_t ring = record->key.family - FAMILY_RECEIPT;
    uint32_t slot = record->head.month % MONTH_SLOTS;
    month_t *month = &accounts->months[ring][slot];
    if (month->number == record->head.month) return 0;
    int error = 0;
    if (month->number != 0) {
        error = mdb_drop(transaction, accounts->tables_of_months[ring][slot], 0);
    }
    month_t fresh = {.number = record->head.month};
    *month = fresh;
    atomic_store(&accounts->slot_months[ring][slot], fresh.number);
    accounts->is_months_dirty = true;
    return error;
}

/* Closes the runs that have grown long enough: the next checkpoint's new records begin others. The
 * last one that a month can have goes on growing. */
static void close_runs(accounts_t *accounts)
{
    for (int at = 0; at < MONTHLY_FAMILIES * MONTH_SLOTS; at++) {
        month_t *month = &accounts->months[at / MONTH_SLOTS][at % MONTH_SLOTS];
        if (month->records < accounts->options.run_records || month->run + 1 == RUNS_MAX) continue;
        month->run++;
        month->records = 0;
    }
}

/* Puts a record under a name, or deletes it from there. */
static int put_record(MDB_txn *transaction, MDB_dbi table, MDB_val *name, const stored_t *record,
                      bool is_sweep)
{
    if (is_sweep) {
        int error = mdb_del(transaction, table, name, NULL);
        return error == MDB_NOTFOUND ? 0 : error;
    }
    MDB_val value = {sizeof record->head + record->head.cell_count * sizeof(cell_t), NULL};
    int error = mdb_put(transaction, table, name, &value, MDB_RESERVE);
    if (error == 0) memcpy(value.mv_data, &record->head, value.mv_size);
    return error;
}

/* Writes a record of a monthly family: where it is, or into the month's newest run. */
static int write_monthly(accounts_t *accounts, MDB_txn *transaction, const stored_t *record,
                         bool is_sweep)
{
    uint32_t ring = record->key.family - FAMILY_RECEIPT;
    uint32_t slot = record->head.month % MONTH_SLOTS;
    int error = open_month(accounts, transaction, record);
    if (error != 0) return error;
    uint32_t run;
    record_t there = find_monthly(accounts, transaction, &record->key, slot, &run);
    bool is_new = there.head->month == 0;
    if (is_new && is_sweep) return 0;
    month_t *month = &accounts->months[ring][slot];
    if (is_new) {
        run = month->run;
        month->records++;
        run_index_t *index = atomic_load(&accounts->index);
        if (index != NULL) index_note(index, key_hash(&record->key), slot, run);
    }
    run_name_t named = run_name(run, &record->key);
    MDB_val name = {sizeof named, &named};
    MDB_dbi table = accounts->tables_of_months[ring][slot];
    return put_record(transaction, table, &name, record, is_sweep);
}

/* Writes a record, or, when `is_sweep`, deletes it if it is empty. */
static int write_record(accounts_t *accounts, MDB_txn *transaction, const stored_t *record,
                        bool is_sweep)
{
    if (is_sweep && record->head.cell_count > 0) return 0;
    if (is_monthly(record->key.family)) {
        /* One that a replay from the covered LSN could still ask for is written. */
        if (record->head.month < accounts->frozen_oldest_month) return 0;
        return write_monthly(accounts, transaction, record, is_sweep);
    }
    record_key_t key = record->key;
    MDB_val name = {sizeof key, &key};
    return put_record(transaction, accounts->families[key.family], &name, record, is_sweep);
}

/* Ends a transaction; what it did to the months is undone with it. */
static int end_batch(accounts_t *accounts, MDB_txn *transaction, const month_t *before, int error)
{
    if (error == 0 && accounts->is_months_dirty) error = write_months(accounts, transaction);
    if (error == 0) error = mdb_txn_commit(transaction);
    else mdb_txn_abort(transaction);
    if (error == 0) {
        accounts->is_months_dirty = false;
    } else {
        memcpy(accounts->months, before, sizeof accounts->months);
        show_months(accounts);
    }
    return error;
}

/* One transaction over found[0 .. count): writes each record, or, when `is_sweep`, deletes the
 * empty ones. */
static int write_batch(accounts_t *accounts, const found_t *found, size_t count, bool is_sweep)
{
    MDB_txn *transaction;
    month_t before[MONTHLY_FAMILIES * MONTH_SLOTS];
    memcpy(before, accounts->months, sizeof before);
    int error = mdb_txn_begin(accounts->environment, NULL, 0, &transaction);
    if (error != 0) return error;
    for (size_t i = 0; i < count && error == 0; i++) {
        error = write_record(accounts, transaction, found[i].record, is_sweep);
    }
    return end_batch(accounts, transaction, before, error);
}

/* Drops the months that are out of retention by the covered LSN, each whole and in a transaction of
 * its own: a replay from there asks for none of them. What a failure leaves is invisible and goes
 * the next time. */
static int drop_old_months(accounts_t *accounts)
{
    uint32_t oldest = accounts->frozen_oldest_month;
    int error = 0;
    for (int at = 0; at < MONTHLY_FAMILIES * MONTH_SLOTS && error == 0; at++) {
        int ring = at / MONTH_SLOTS;
        int slot = at % MONTH_SLOTS;
        month_t held = accounts->months[ring][slot];
        if (held.number == 0 || held.number >= oldest) continue;
        month_t before[MONTHLY_FAMILIES * MONTH_SLOTS];
        memcpy(before, accounts->months, sizeof before);
        MDB_txn *transaction;
        error = mdb_txn_begin(accounts->environment, NULL, 0, &transaction);
        if (error != 0) break;
        month_t none = {0};
        accounts->months[ring][slot] = none;
        atomic_store(&accounts->slot_months[ring][slot], 0);
        accounts->is_months_dirty = true;
        error = mdb_drop(transaction, accounts->tables_of_months[ring][slot], 0);
        error = end_batch(accounts, transaction, before, error);
    }
    return error;
}

/* Notes every record of one slot of the ring. */
static int index_fill(run_index_t *index, MDB_txn *transaction, MDB_dbi table, uint32_t slot)
{
    MDB_cursor *cursor;
    int error = mdb_cursor_open(transaction, table, &cursor);
    if (error != 0) return error;
    MDB_val name;
    while ((error = mdb_cursor_get(cursor, &name, NULL, MDB_NEXT)) == 0) {
        run_name_t named;
        INVARIANT(name.mv_size == sizeof named);
        memcpy(&named, name.mv_data, sizeof named);
        record_key_t key = key_of_name(&named);
        index_note(index, key_hash(&key), slot, run_of_name(&named));
    }
    mdb_cursor_close(cursor);
    return error == MDB_NOTFOUND ? 0 : error;
}

/* Puts another index in the place of the one that readers may still hold. */
static void index_replace(accounts_t *accounts, run_index_t *index)
{
    INVARIANT(accounts->retired_index == NULL);
    accounts->retired_index = atomic_load(&accounts->index);
    atomic_store(&accounts->index, index);
}

/* Builds the index from what a transaction has, with room for `more` records. Without memory for
 * it there is none, rather than one that becomes full. */
static int index_build(accounts_t *accounts, MDB_txn *transaction, uint64_t more)
{
    uint64_t count = more;
    int error = 0;
    for (int at = 0; at < MONTHLY_FAMILIES * MONTH_SLOTS && error == 0; at++) {
        MDB_stat stat = {0};
        MDB_dbi table = accounts->tables_of_months[at / MONTH_SLOTS][at % MONTH_SLOTS];
        error = mdb_stat(transaction, table, &stat);
        count += stat.ms_entries;
    }
    if (error != 0) return error;
    uint64_t words = INDEX_WORDS_MIN;
    while (words / INDEX_FULL_PARTS * INDEX_FULL_BUILT < count && words < 1ull << 40) words *= 2;
    run_index_t *index = calloc(1, sizeof *index + words * sizeof index->words[0]);
    if (index != NULL) index->mask = words - 1;
    uint32_t slots = index != NULL ? MONTHLY_FAMILIES * MONTH_SLOTS : 0;
    for (uint32_t at = 0; at < slots && error == 0; at++) {
        uint32_t slot = at % MONTH_SLOTS;
        if (atomic_load(&accounts->slot_months[at / MONTH_SLOTS][slot]) == 0) continue;
        MDB_dbi table = accounts->tables_of_months[at / MONTH_SLOTS][slot];
        error = index_fill(index, transaction, table, slot);
    }
    if (error == 0) index_replace(accounts, index);
    else free(index);
    return error;
}

status_t accounts_prepare_index(accounts_t *accounts, uint64_t more)
{
    const run_index_t *index = atomic_load(&accounts->index);
    if (index != NULL && index_has_room(index, more, INDEX_FULL_MOST)) return STATUS_OK;
    /* Then one was replaced by an attempt of this checkpoint, with room for all of its records: it
     * finds its own notes there again. */
    if (accounts->retired_index != NULL) return STATUS_OK;
    MDB_txn *transaction;
    int error = mdb_txn_begin(accounts->environment, NULL, MDB_RDONLY, &transaction);
    if (error == 0) {
        error = index_build(accounts, transaction, more);
        mdb_txn_abort(transaction);
    }
    return error == 0 ? STATUS_OK : STATUS_IO_FAILED;
}

status_t accounts_index_view(const accounts_view_t *view)
{
    accounts_t *accounts = view->reader->accounts;
    INVARIANT(accounts->options.is_read_only);
    if (atomic_load(&accounts->index) != NULL) return STATUS_OK;
    int error = index_build(accounts, view_transaction(view), 0);
    return error == 0 ? STATUS_OK : STATUS_IO_FAILED;
}

/* By how much a checkpoint with `done` of `count` records written lags behind where it has to be to
 * end by the time at which the active memtable is a third full, in parts of 1,024. */
static uint64_t lag_of(const accounts_t *accounts, size_t done, size_t count)
{
    const accounts_options_t *options = &accounts->options;
    uint64_t used = atomic_load_explicit(&accounts->memtable_bytes, memory_order_relaxed);
    uint64_t records = atomic_load_explicit(&accounts->memtable_records, memory_order_relaxed);
    uint64_t fill = 1024 * used / options->memtable_bytes;
    uint64_t slot_fill = 1024 * records / options->memtable_slots;
    if (slot_fill > fill) fill = slot_fill;
    uint64_t due = 3 * fill;
    uint64_t progress = 1024 * (uint64_t)done / count;
    return due > progress ? due - progress : 0;
}

/* Rests between two transactions. A checkpoint that keeps ahead of the writer rests for the whole
 * pause; one that lags rests less, down to nothing, and then writes more at a time. So its work
 * lies evenly over the time that there is, and it ends before a lag becomes refusals. */
static void rest(const accounts_t *accounts, uint64_t lag)
{
    if (lag >= LAG_MAX) return;
    uint64_t pause_ms = accounts->options.checkpoint_pause_ms;
    uint64_t rest_ns = pause_ms * (LAG_MAX - lag) * 1000000 / LAG_MAX;
    struct timespec duration = {(time_t)(rest_ns / 1000000000), (long)(rest_ns % 1000000000)};
    nanosleep(&duration, NULL);
}

/* How many of found[0 .. count) go into one transaction of about `records` records. */
static size_t batch_size(const found_t *found, size_t count, size_t records)
{
    size_t left = records * DENSE_TIMES;
    size_t size = 0;
    while (size < count && left > 0) {
        size_t share = is_monthly((uint8_t)(found[size].prefix >> 56)) ? 1 : DENSE_TIMES;
        left -= left < share ? left : share;
        size++;
    }
    return size;
}

static int write_all(accounts_t *accounts, const found_t *found, size_t count, bool is_sweep,
                     pace_t (*between)(void *context), void *context, bool *is_stopped)
{
    size_t records = accounts->options.checkpoint_records;
    if (between == NULL) records *= HURRY_TIMES;
    uint64_t lag = 0;
    for (size_t at = 0; at < count;) {
        size_t most = lag >= LAG_MAX ? records * LAG_TIMES : records;
        size_t size = batch_size(&found[at], count - at, most);
        int error = write_batch(accounts, &found[at], size, is_sweep);
        if (error != 0) return error;
        at += size;
        if (between == NULL) continue;
        pace_t pace = between(context);
        if (pace == PACE_STOP) {
            *is_stopped = true;
            return 0;
        }
        lag = lag_of(accounts, at, count);
        if (pace == PACE_PAUSE) rest(accounts, lag);
    }
    return 0;
}

/* Advances the covered LSN and what is owed at it, and closes runs. Returns when the root is on the
 * disk. */
static int write_covered(accounts_t *accounts)
{
    MDB_txn *transaction;
    month_t before[MONTHLY_FAMILIES * MONTH_SLOTS];
    memcpy(before, accounts->months, sizeof before);
    int error = mdb_txn_begin(accounts->environment, NULL, 0, &transaction);
    if (error != 0) return error;
    MDB_val name = {sizeof COVERED_KEY - 1, (void *)(uintptr_t)COVERED_KEY};
    MDB_val value = {sizeof accounts->frozen_covered, &accounts->frozen_covered};
    error = mdb_put(transaction, accounts->meta, &name, &value, 0);
    MDB_val owed_name = {sizeof OWED_KEY - 1, (void *)(uintptr_t)OWED_KEY};
    MDB_val owed = {sizeof accounts->frozen_owed_points, accounts->frozen_owed_points};
    if (error == 0) error = mdb_put(transaction, accounts->meta, &owed_name, &owed, 0);
    close_runs(accounts);
    accounts->is_months_dirty = true;
    error = end_batch(accounts, transaction, before, error);
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
    fresh->retired = old->retired + 1;
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
    free(accounts->retired_index);
    accounts->retired_index = NULL;
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
    found_t *found = malloc(2 * (room + 1) * sizeof *found);
    tables_t *fresh = malloc(sizeof *fresh);
    if (found == NULL || fresh == NULL) {
        free(found);
        free(fresh);
        return STATUS_OUT_OF_MEMORY;
    }
    size_t count = memtable_collect(frozen, 0, 0, found, 0, room);
    INVARIANT(count == room);
    /* Neighbours in key order share pages: fewer pages a transaction. */
    found_sort(found, count, found + room + 1);
    bool is_stopped = false;
    accounts_prepare_index(accounts, count);
    int error = write_all(accounts, found, count, false, between, context, &is_stopped);
    if (error == 0 && !is_stopped) error = write_covered(accounts);
    if (error == 0 && !is_stopped) {
        pthread_mutex_lock(&accounts->lock);
        accounts->covered = accounts->frozen_covered;
        pthread_mutex_unlock(&accounts->lock);
        drop_old_months(accounts);
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
    for (int purse = 0; purse <= PURSES_MAX; purse++) {
        metrics->owed_points[purse] = atomic_load(&accounts->shown_owed_points[purse]);
        for (int flow = 0; flow < POINTS_FLOWS; flow++) {
            metrics->points[flow][purse] = atomic_load(&accounts->shown_points[flow][purse]);
        }
    }
}

static int open_table(const accounts_t *accounts, MDB_txn *transaction, const char *name,
                      MDB_dbi *table)
{
    return mdb_dbi_open(transaction, name, accounts->options.is_read_only ? 0 : MDB_CREATE, table);
}

/* Opens the sub-databases of the monthly families. */
static int open_months(accounts_t *accounts, MDB_txn *transaction)
{
    static const char *const names[MONTHLY_FAMILIES] = {"receipt", "key"};
    int error = 0;
    for (int at = 0; at < MONTHLY_FAMILIES * MONTH_SLOTS && error == 0; at++) {
        char name[24];
        snprintf(name, sizeof name, "%s-%02d", names[at / MONTH_SLOTS], at % MONTH_SLOTS);
        error = open_table(accounts, transaction, name,
                           &accounts->tables_of_months[at / MONTH_SLOTS][at % MONTH_SLOTS]);
    }
    return error;
}

static int read_covered(const accounts_t *accounts, MDB_txn *transaction, covered_t *covered)
{
    memset(covered, 0, sizeof *covered);
    MDB_val name = {sizeof COVERED_KEY - 1, (void *)(uintptr_t)COVERED_KEY};
    MDB_val value;
    int error = mdb_get(transaction, accounts->meta, &name, &value);
    if (error == 0 && value.mv_size == sizeof *covered) {
        memcpy(covered, value.mv_data, sizeof *covered);
    }
    return error == MDB_NOTFOUND ? 0 : error;
}

/* Reads what each slot of the ring of months holds. */
static int read_months(accounts_t *accounts, MDB_txn *transaction)
{
    MDB_val name = {sizeof MONTHS_KEY - 1, (void *)(uintptr_t)MONTHS_KEY};
    MDB_val value;
    int error = mdb_get(transaction, accounts->meta, &name, &value);
    if (error == 0 && value.mv_size == sizeof accounts->months) {
        memcpy(accounts->months, value.mv_data, sizeof accounts->months);
    }
    show_months(accounts);
    return error == MDB_NOTFOUND ? 0 : error;
}

/* Reads what was owed at the covered LSN; nothing where nothing is covered. */
static int read_owed(accounts_t *accounts, MDB_txn *transaction)
{
    MDB_val name = {sizeof OWED_KEY - 1, (void *)(uintptr_t)OWED_KEY};
    MDB_val value;
    int error = mdb_get(transaction, accounts->meta, &name, &value);
    if (error == 0 && value.mv_size == sizeof accounts->owed_points) {
        memcpy(accounts->owed_points, value.mv_data, sizeof accounts->owed_points);
    }
    accounts->is_points_dirty = true;
    return error == MDB_NOTFOUND ? 0 : error;
}

/* Looks whether the file was cut short, opens the sub-databases and reads the covered LSN. */
static int open_tables(accounts_t *accounts, const char *path)
{
    MDB_txn *transaction;
    unsigned flags = accounts->options.is_read_only ? MDB_RDONLY : 0;
    int error = mdb_txn_begin(accounts->environment, NULL, flags, &transaction);
    if (error != 0) return error;
    error = pages_check(accounts->machine, path);
    static const char *const names[FAMILIES + 1] = {
        "meta", "group", "member", "identity", "place", "offer", NULL, NULL, NULL, "coupon"};
    for (int family = 0; family <= FAMILIES && error == 0; family++) {
        if (names[family] == NULL) continue;
        error = open_table(accounts, transaction, names[family], &accounts->families[family]);
    }
    accounts->meta = accounts->families[0];
    if (error == 0) error = open_months(accounts, transaction);
    if (error == 0) error = read_covered(accounts, transaction, &accounts->covered);
    if (error == 0) error = read_months(accounts, transaction);
    if (error == 0) error = read_owed(accounts, transaction);
    if (error != 0) {
        mdb_txn_abort(transaction);
        return error;
    }
    return mdb_txn_commit(transaction);
}

covered_t accounts_view_covered(const accounts_view_t *view)
{
    covered_t covered;
    accounts_t *accounts = view->reader->accounts;
    int error = read_covered(accounts, view_transaction(view), &covered);
    /* Who only reads knows the months as of its opening; those of the view may be others. */
    if (error == 0 && accounts->options.is_read_only) {
        error = read_months(accounts, view_transaction(view));
    }
    if (error != 0) accounts_fatal(accounts, "reading the accounts failed", error);
    return covered;
}

static int open_environment_at(accounts_t *accounts, const char *path)
{
    int error = mdb_env_create(&accounts->environment);
    if (error != 0) return error;
    error = mdb_env_set_maxdbs(accounts->environment,
                               FAMILIES + 1 + MONTHLY_FAMILIES * MONTH_SLOTS);
    if (error == 0) error = mdb_env_set_maxreaders(accounts->environment, READERS_MAX + 8);
    if (error == 0) {
        error = mdb_env_set_mapsize(accounts->environment, accounts->options.map_bytes);
    }
    unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | MDB_NOMETASYNC | MDB_NORDAHEAD;
    if (accounts->options.is_read_only) flags |= MDB_RDONLY;
    if (error == 0) error = mdb_env_open(accounts->environment, path, flags, 0600);
    if (error == 0) error = open_tables(accounts, path);
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

/* Writes the environment's two meta pages again, as they are read, and syncs them: the page cache
 * is not the disk. A sync that failed may have left a meta page in the cache that never reached
 * the disk and is not dirty any more. LMDB would go on from it and soon reuse pages that the
 * older one, still on the disk, needs after a power cut. */
static int rewrite_metas(const machine_t *machine, const char *path)
{
    int64_t file;
    uint64_t size = 0;
    int error = machine->open(machine->context, path, FILE_WRITE, &file);
    if (error != 0) return error;
    uint8_t *bytes = malloc(METAS_BYTES_MAX);
    error = bytes == NULL ? ENOMEM : machine->size(machine->context, file, &size);
    if (size > METAS_BYTES_MAX) size = METAS_BYTES_MAX;
    if (error == 0) error = machine->read_at(machine->context, file, bytes, size, 0);
    if (error == 0) error = machine->write_at(machine->context, file, bytes, size, 0);
    if (error == 0) error = machine->sync(machine->context, file);
    machine->close(machine->context, file);
    free(bytes);
    return error;
}

static int open_environment(accounts_t *accounts)
{
    char path[PATH_BYTES_MAX];
    int length = snprintf(path, sizeof path, "%s/accounts.lmdb", accounts->options.directory);
    if (length < 0 || (size_t)length + 16 >= sizeof path) return ENAMETOOLONG;
    if (accounts->options.is_read_only) return open_environment_at(accounts, path);
    const machine_t *machine = accounts->machine;
    int error = machine->make_directory(machine->context, accounts->options.directory);
    if (error != 0 && error != EEXIST) return error;
    error = rewrite_metas(machine, path);
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
    const accounts_options_t *options = &accounts->options;
    tables->active = memtable_new(options->memtable_slots, options->memtable_bytes);
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
    if (used->retention_days == 0) used->retention_days = RETENTION_DAYS;
    if (used->run_records == 0) used->run_records = RUN_RECORDS_MIN;
    INVARIANT(used->retention_days <= RETENTION_DAYS_MAX);
    accounts->post_day = -1;
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
        /* LMDB's own errors are negative and say that the file is not what it was. */
        fault_at(fault, status, "accounts/accounts.lmdb%s: %s",
                 error < 0 ? " (make it anew: checklane ledger rebuild)" : "",
                 error == MDB_PAGE_NOTFOUND ? "it was cut short" : mdb_strerror(error));
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
    free(atomic_load(&accounts->index));
    free(accounts->retired_index);
    if (accounts->environment != NULL) mdb_env_close(accounts->environment);
    group_t *group = &accounts->group;
    if (group->arena != NULL) munmap(group->arena, DRAFT_BYTES);
    free(group->slots);
    free(group->touched);
    free(group->undo);
    pthread_mutex_destroy(&accounts->lock);
    free(accounts);
}
