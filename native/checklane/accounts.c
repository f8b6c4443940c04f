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
#include "pages.h"
#include "siphash.h"

#define FAMILIES 9
#define COVERED_KEY "covered"
#define OWED_KEY "owed"
/* Receipts and keys lie in a ring of sub-databases, one a month of post time. Two more than are
 * visible at most: the ring's next slot is dropped long before it is due. */
#define MONTHLY_FAMILIES 2
#define MONTH_SLOTS 32
#define MONTHS_KEY "months"
_Static_assert(FAMILY_KEY == FAMILY_RECEIPT + 1, "the monthly families stand side by side");
_Static_assert(RETENTION_DAYS_MAX / 28 + 2 <= MONTH_SLOTS, "visible months and two more");
/* Words of the smallest filter, and records a word at which it is built anew, with one word a
 * record or more. 16 million keys and receipts * 4 B = 64 MiB; two records a word over 16 months
 * leave a bit set with 1 - e^(-4/16) = 22 %, in both words with 5 %: less than one month is asked
 * in vain. */
#define FILTER_WORDS_MIN (64 * 1024)
#define FILTER_RECORDS_A_WORD 2
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

/* In which month's sub-databases a record of a monthly family may be: bit n of a word stands for
 * slot n of the ring. A key has two words, and is in none but the slots that both name. */
typedef struct filter {
    uint64_t mask;
    uint64_t count; /* records noted; the checkpointer's */
    _Atomic uint32_t words[];
} filter_t;

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
    MDB_dbi months[MONTHLY_FAMILIES][MONTH_SLOTS];
    MDB_dbi meta;
    /* Which month's records a slot of the ring holds; 0 none. The checkpointer stores it before it
     * commits the month's first record; a reader looks for that only when the memtable is gone. */
    _Atomic uint32_t slot_months[MONTHLY_FAMILIES][MONTH_SLOTS];
    bool is_months_dirty;
    /* Post time as the writer knows it: months since 1970, and the oldest that is visible. */
    int64_t post_day;
    _Atomic uint32_t newest_month;
    _Atomic uint32_t oldest_month;
    _Atomic(filter_t *) filter; /* NULL: not built yet, or no memory for it */
    filter_t *retired_filter;   /* readers may hold it until the next retirement */
    _Atomic(tables_t *) tables;
    _Atomic uint64_t epoch;
    atomic_bool has_frozen;
    _Atomic(memtable_t *) replaying; /* whose pages are taken ahead; NULL: none */
    _Atomic uint64_t replay_pages;   /* bytes of it, slots first, that were taken */
    covered_t frozen_covered;
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

/* The slots in which a key may be; without a filter, all. */
static uint32_t filter_slots(const filter_t *filter, uint64_t hash)
{
    if (filter == NULL) return UINT32_MAX;
    uint32_t first =
        atomic_load_explicit(&filter->words[hash & filter->mask], memory_order_relaxed);
    if (first == 0) return 0;
    return first & atomic_load_explicit(&filter->words[hash >> 32 & filter->mask],
                                        memory_order_relaxed);
}

static void filter_note(filter_t *filter, uint64_t hash, uint32_t month)
{
    uint32_t bit = 1u << month % MONTH_SLOTS;
    atomic_fetch_or_explicit(&filter->words[hash & filter->mask], bit, memory_order_relaxed);
    atomic_fetch_or_explicit(&filter->words[hash >> 32 & filter->mask], bit, memory_order_relaxed);
    filter->count++;
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

/* Looks through the months in which the key may be, the newest first. */
static record_t read_months(const accounts_view_t *view, record_key_t *key, uint64_t hash)
{
    accounts_t *accounts = view->reader->accounts;
    uint32_t month = atomic_load_explicit(&accounts->newest_month, memory_order_relaxed);
    uint32_t oldest = atomic_load_explicit(&accounts->oldest_month, memory_order_relaxed);
    uint32_t family = key->family - FAMILY_RECEIPT;
    uint32_t slots = filter_slots(atomic_load(&accounts->filter), hash);
    for (; month >= oldest && month > 0 && slots != 0; month--) {
        uint32_t slot = month % MONTH_SLOTS;
        if ((slots >> slot & 1) == 0) continue;
        slots &= ~(1u << slot);
        if (atomic_load(&accounts->slot_months[family][slot]) != month) continue;
        record_t record = read_table(view, accounts->months[family][slot], key);
        if (record.head->month == month) return record;
    }
    record_t absent = {&absent_head, NULL};
    return absent;
}

static record_t read_environment(const accounts_view_t *view, record_key_t *key, uint64_t hash)
{
    if (is_monthly(key->family)) return read_months(view, key, hash);
    return read_table(view, view->reader->accounts->families[key->family], key);
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
    return read_environment(view, &key, hash);
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

/* One sub-database on its way through the merge. */
typedef struct lane {
    MDB_cursor *cursor;
    MDB_val name;
    MDB_val value;
} lane_t;

/* Moves a lane to its next record; false at its end. */
static bool lane_next(lane_t *lane, int *error)
{
    int moved = mdb_cursor_get(lane->cursor, &lane->name, &lane->value, MDB_NEXT);
    if (moved != 0 && moved != MDB_NOTFOUND) *error = moved;
    return moved == 0;
}

/* Merges lanes in order of their keys with the memtables. Two lanes may hold one key, of which at
 * most one is visible. */
static int walk_lanes(walk_t *walk, lane_t *lanes, uint32_t lane_count, uint8_t family)
{
    int error = 0;
    uint32_t left = 0;
    for (uint32_t i = 0; i < lane_count; i++) {
        lanes[left] = lanes[i];
        if (lane_next(&lanes[left], &error)) left++;
        else mdb_cursor_close(lanes[i].cursor);
    }
    while (left > 0 && error == 0) {
        uint32_t least = 0;
        for (uint32_t i = 1; i < left; i++) {
            INVARIANT(lanes[i].name.mv_size == sizeof(record_key_t));
            const void *name = lanes[i].name.mv_data;
            if (memcmp(name, lanes[least].name.mv_data, sizeof(record_key_t)) < 0) least = i;
        }
        record_key_t key;
        INVARIANT(lanes[least].name.mv_size == sizeof key);
        memcpy(&key, lanes[least].name.mv_data, sizeof key);
        if (!walk_memtables(walk, family, &key)) {
            walk_emit(walk, &key, record_of_value(&lanes[least].value));
        }
        if (lane_next(&lanes[least], &error)) continue;
        mdb_cursor_close(lanes[least].cursor);
        lanes[least] = lanes[--left];
    }
    while (left > 0) mdb_cursor_close(lanes[--left].cursor);
    if (error == 0) walk_memtables(walk, family, NULL);
    return error;
}

static int walk_family(walk_t *walk, MDB_txn *transaction, uint8_t family)
{
    const accounts_t *accounts = walk->accounts;
    lane_t lanes[MONTH_SLOTS];
    uint32_t lane_count = 0;
    int error = 0;
    for (uint32_t slot = 0; slot < MONTH_SLOTS && error == 0; slot++) {
        MDB_dbi table = accounts->families[family];
        if (is_monthly(family)) {
            uint32_t ring = family - FAMILY_RECEIPT;
            if (atomic_load(&accounts->slot_months[ring][slot]) == 0) continue;
            table = accounts->months[ring][slot];
        } else if (slot > 0) {
            break;
        }
        error = mdb_cursor_open(transaction, table, &lanes[lane_count].cursor);
        if (error == 0) lane_count++;
    }
    if (error == 0) return walk_lanes(walk, lanes, lane_count, family);
    while (lane_count > 0) mdb_cursor_close(lanes[--lane_count].cursor);
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

/* Puts what is known of a record into the empty slot; false without room. `is_bound`: this entry
 * binds it and says that there was no record before, so there is nothing to look for. */
static bool replay_fetch(accounts_t *accounts, memtable_t *table, memtable_slot_t *slot,
                         uint64_t hash, record_key_t key, bool is_bound)
{
    record_t base = {&absent_head, NULL};
    if (!is_bound) base = read_environment(&accounts->writer->view, &key, hash);
    stored_t *record = arena_copy(table, &key, base, room_for(base.head->cell_count + 1));
    if (record == NULL) return false;
    if (is_monthly(key.family) && record->head.month == 0) {
        record->head.month = accounts->newest_month;
    }
    slot->hash = hash;
    atomic_store_explicit(&slot->record, record, memory_order_relaxed);
    atomic_fetch_add_explicit(&table->count, 1, memory_order_relaxed);
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
        if (slot_record(slots[i]) == NULL) {
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

/* Notes which month each slot of the ring holds, within a transaction. */
static int write_slot_months(accounts_t *accounts, MDB_txn *transaction)
{
    uint32_t months[MONTHLY_FAMILIES][MONTH_SLOTS];
    for (int family = 0; family < MONTHLY_FAMILIES; family++) {
        for (int slot = 0; slot < MONTH_SLOTS; slot++) {
            months[family][slot] = atomic_load(&accounts->slot_months[family][slot]);
        }
    }
    MDB_val name = {sizeof MONTHS_KEY - 1, (void *)(uintptr_t)MONTHS_KEY};
    MDB_val value = {sizeof months, months};
    return mdb_put(transaction, accounts->meta, &name, &value, 0);
}

/* The sub-database of a record; *error when a slot of the ring could not be cleared for it. */
static MDB_dbi table_of(accounts_t *accounts, MDB_txn *transaction, const stored_t *record,
                        int *error)
{
    if (!is_monthly(record->key.family)) return accounts->families[record->key.family];
    uint32_t family = record->key.family - FAMILY_RECEIPT;
    uint32_t slot = record->head.month % MONTH_SLOTS;
    MDB_dbi table = accounts->months[family][slot];
    uint32_t held = atomic_load(&accounts->slot_months[family][slot]);
    if (held == record->head.month) return table;
    if (held != 0) *error = mdb_drop(transaction, table, 0);
    atomic_store(&accounts->slot_months[family][slot], record->head.month);
    accounts->is_months_dirty = true;
    return table;
}

/* Writes a record, or, when `is_sweep`, deletes it if it is empty. */
static int write_record(accounts_t *accounts, MDB_txn *transaction, const stored_t *record,
                        bool is_sweep)
{
    if (is_sweep && record->head.cell_count > 0) return 0;
    record_t stays = visible(accounts, record->key.family, record_of_stored(record));
    if (stays.head != &record->head) return 0;
    int error = 0;
    record_key_t key = record->key;
    MDB_dbi table = table_of(accounts, transaction, record, &error);
    MDB_val name = {sizeof key, &key};
    if (error != 0) return error;
    if (is_sweep) {
        error = mdb_del(transaction, table, &name, NULL);
        return error == MDB_NOTFOUND ? 0 : error;
    }
    MDB_val value = {sizeof record->head + record->head.cell_count * sizeof(cell_t), NULL};
    error = mdb_put(transaction, table, &name, &value, MDB_RESERVE);
    if (error == 0) memcpy(value.mv_data, &record->head, value.mv_size);
    filter_t *filter = atomic_load(&accounts->filter);
    if (is_monthly(key.family) && filter != NULL) {
        filter_note(filter, key_hash(&key), record->head.month);
    }
    return error;
}

/* One transaction over found[0 .. count): writes each record, or, when `is_sweep`, deletes the
 * empty ones. */
static int write_batch(accounts_t *accounts, const found_t *found, size_t count, bool is_sweep)
{
    MDB_txn *transaction;
    int error = mdb_txn_begin(accounts->environment, NULL, 0, &transaction);
    if (error != 0) return error;
    for (size_t i = 0; i < count && error == 0; i++) {
        error = write_record(accounts, transaction, found[i].record, is_sweep);
    }
    if (error == 0 && accounts->is_months_dirty) error = write_slot_months(accounts, transaction);
    if (error != 0) {
        mdb_txn_abort(transaction);
        return error;
    }
    error = mdb_txn_commit(transaction);
    if (error == 0) accounts->is_months_dirty = false;
    return error;
}

/* Drops the months that are out of retention, each whole and in a transaction of its own. What a
 * failure leaves is invisible and goes the next time. */
static int drop_old_months(accounts_t *accounts)
{
    uint32_t oldest = atomic_load(&accounts->oldest_month);
    int error = 0;
    for (int at = 0; at < MONTHLY_FAMILIES * MONTH_SLOTS && error == 0; at++) {
        int family = at / MONTH_SLOTS;
        int slot = at % MONTH_SLOTS;
        uint32_t held = atomic_load(&accounts->slot_months[family][slot]);
        if (held == 0 || held >= oldest) continue;
        MDB_txn *transaction;
        error = mdb_txn_begin(accounts->environment, NULL, 0, &transaction);
        if (error != 0) break;
        atomic_store(&accounts->slot_months[family][slot], 0);
        error = mdb_drop(transaction, accounts->months[family][slot], 0);
        if (error == 0) error = write_slot_months(accounts, transaction);
        if (error == 0) error = mdb_txn_commit(transaction);
        else mdb_txn_abort(transaction);
        if (error != 0) atomic_store(&accounts->slot_months[family][slot], held);
    }
    return error;
}

/* Notes every record of one slot of the ring. */
static int filter_fill(filter_t *filter, MDB_txn *transaction, MDB_dbi table, uint32_t month)
{
    MDB_cursor *cursor;
    int error = mdb_cursor_open(transaction, table, &cursor);
    if (error != 0) return error;
    MDB_val name;
    while ((error = mdb_cursor_get(cursor, &name, NULL, MDB_NEXT)) == 0) {
        record_key_t key;
        INVARIANT(name.mv_size == sizeof key);
        memcpy(&key, name.mv_data, sizeof key);
        filter_note(filter, key_hash(&key), month);
    }
    mdb_cursor_close(cursor);
    return error == MDB_NOTFOUND ? 0 : error;
}

/* Builds the filter from what the environment holds, with room for `more` records. */
static int filter_build(accounts_t *accounts, MDB_txn *transaction, uint64_t more)
{
    uint64_t count = more;
    for (int at = 0; at < MONTHLY_FAMILIES * MONTH_SLOTS; at++) {
        MDB_stat stat;
        MDB_dbi table = accounts->months[at / MONTH_SLOTS][at % MONTH_SLOTS];
        int error = mdb_stat(transaction, table, &stat);
        if (error != 0) return error;
        count += stat.ms_entries;
    }
    uint64_t words = FILTER_WORDS_MIN;
    while (words < count && words < 1ull << 31) words *= 2;
    filter_t *filter = calloc(1, sizeof *filter + words * sizeof filter->words[0]);
    if (filter == NULL) return 0;
    filter->mask = words - 1;
    int error = 0;
    for (int at = 0; at < MONTHLY_FAMILIES * MONTH_SLOTS && error == 0; at++) {
        uint32_t month = atomic_load(&accounts->slot_months[at / MONTH_SLOTS][at % MONTH_SLOTS]);
        MDB_dbi table = accounts->months[at / MONTH_SLOTS][at % MONTH_SLOTS];
        if (month != 0) error = filter_fill(filter, transaction, table, month);
    }
    if (error != 0) {
        free(filter);
        return error;
    }
    accounts->retired_filter = atomic_load(&accounts->filter);
    atomic_store(&accounts->filter, filter);
    return 0;
}

status_t accounts_prepare_filter(accounts_t *accounts, uint64_t more)
{
    const filter_t *filter = atomic_load(&accounts->filter);
    if (filter != NULL && filter->count + more <= FILTER_RECORDS_A_WORD * (filter->mask + 1)) {
        return STATUS_OK;
    }
    /* One that readers may still hold goes with the next retirement; until then this one does. */
    if (accounts->retired_filter != NULL) return STATUS_OK;
    MDB_txn *transaction;
    int error = mdb_txn_begin(accounts->environment, NULL, MDB_RDONLY, &transaction);
    if (error == 0) {
        error = filter_build(accounts, transaction, more);
        mdb_txn_abort(transaction);
    }
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

static int write_all(accounts_t *accounts, const found_t *found, size_t count, bool is_sweep,
                     pace_t (*between)(void *context), void *context, bool *is_stopped)
{
    size_t batch = accounts->options.checkpoint_records;
    if (between == NULL) batch *= HURRY_TIMES;
    for (size_t at = 0; at < count;) {
        bool is_late = between != NULL && lag_of(accounts, at, count) >= LAG_MAX;
        size_t most = is_late ? batch * LAG_TIMES : batch;
        size_t size = count - at < most ? count - at : most;
        int error = write_batch(accounts, &found[at], size, is_sweep);
        if (error != 0) return error;
        pace_t pace = between != NULL ? between(context) : PACE_HURRY;
        if (pace == PACE_STOP) {
            *is_stopped = true;
            return 0;
        }
        at += size;
        if (pace == PACE_PAUSE) rest(accounts, lag_of(accounts, at, count));
    }
    return 0;
}

/* Advances the covered LSN and what is owed at it. Returns when the root is on the disk. */
static int write_covered(accounts_t *accounts)
{
    MDB_txn *transaction;
    int error = mdb_txn_begin(accounts->environment, NULL, 0, &transaction);
    if (error != 0) return error;
    MDB_val name = {sizeof COVERED_KEY - 1, (void *)(uintptr_t)COVERED_KEY};
    MDB_val value = {sizeof accounts->frozen_covered, &accounts->frozen_covered};
    error = mdb_put(transaction, accounts->meta, &name, &value, 0);
    MDB_val owed_name = {sizeof OWED_KEY - 1, (void *)(uintptr_t)OWED_KEY};
    MDB_val owed = {sizeof accounts->frozen_owed_points, accounts->frozen_owed_points};
    if (error == 0) error = mdb_put(transaction, accounts->meta, &owed_name, &owed, 0);
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
    free(accounts->retired_filter);
    accounts->retired_filter = NULL;
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
    accounts_prepare_filter(accounts, count);
    int error = drop_old_months(accounts);
    if (error == 0) error = write_all(accounts, found, count, false, between, context, &is_stopped);
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
                           &accounts->months[at / MONTH_SLOTS][at % MONTH_SLOTS]);
    }
    return error;
}

/* Reads what the environment covers, and which month each slot of the ring holds. */
static int read_meta(accounts_t *accounts, MDB_txn *transaction, covered_t *covered)
{
    memset(covered, 0, sizeof *covered);
    MDB_val name = {sizeof COVERED_KEY - 1, (void *)(uintptr_t)COVERED_KEY};
    MDB_val value;
    int error = mdb_get(transaction, accounts->meta, &name, &value);
    if (error == 0 && value.mv_size == sizeof *covered) {
        memcpy(covered, value.mv_data, sizeof *covered);
    }
    if (error != 0 && error != MDB_NOTFOUND) return error;
    MDB_val months_name = {sizeof MONTHS_KEY - 1, (void *)(uintptr_t)MONTHS_KEY};
    error = mdb_get(transaction, accounts->meta, &months_name, &value);
    uint32_t months[MONTHLY_FAMILIES][MONTH_SLOTS] = {{0}};
    if (error == 0 && value.mv_size == sizeof months) {
        memcpy(months, value.mv_data, sizeof months);
    }
    for (int at = 0; at < MONTHLY_FAMILIES * MONTH_SLOTS; at++) {
        atomic_store(&accounts->slot_months[at / MONTH_SLOTS][at % MONTH_SLOTS],
                     months[at / MONTH_SLOTS][at % MONTH_SLOTS]);
    }
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
        "meta", "group", "member", "identity", "place", "offer", NULL, NULL, "basket",
        "coupon"};
    for (int family = 0; family <= FAMILIES && error == 0; family++) {
        if (names[family] == NULL) continue;
        error = open_table(accounts, transaction, names[family], &accounts->families[family]);
    }
    accounts->meta = accounts->families[0];
    if (error == 0) error = open_months(accounts, transaction);
    if (error == 0) error = read_meta(accounts, transaction, &accounts->covered);
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
    int error = read_meta(accounts, view_transaction(view), &covered);
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
    free(atomic_load(&accounts->filter));
    free(accounts->retired_filter);
    if (accounts->environment != NULL) mdb_env_close(accounts->environment);
    group_t *group = &accounts->group;
    if (group->arena != NULL) munmap(group->arena, DRAFT_BYTES);
    free(group->slots);
    free(group->touched);
    free(group->undo);
    pthread_mutex_destroy(&accounts->lock);
    free(accounts);
}
