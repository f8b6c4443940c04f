/* Keys and receipts in LMDB. Each month of post time has a sub-database in a ring of MONTH_SLOTS,
 * and in it lie runs: records that checkpoints found new, a run behind the other, each in order of
 * its keys. So what is new lies side by side at a tree's end.
 *
 * The run index, in memory, tells in which run a key may be. The checkpointer alone changes it:
 * it notes a record, and puts an index that has become too small into the next retirement, since
 * readers may hold it until then. It builds the larger one ahead of need, at the end of a
 * checkpoint, piece by piece and resting as the checkpoint does: a second's work at once would take
 * a core from the lanes and keep the writer's next segment waiting.
 *
 * Readers load its words and trust LMDB for the rest: a word is a hint where to look, and what lies
 * there has the key itself and its month. Without an index a look-up goes through all runs that its
 * own transaction has. */
#include "accounts_internal.h"

#include <stdlib.h>

/* Parts of 24 of a run index that may be used: when it is built, and before it is built anew. 16
 * million keys and receipts / (18 / 24) fit into 2^25 words of 4 B = 128 MiB; 13 million more may
 * come. A look-up in vain reads 4 words side by side, at the end 32; each has 16 bits of the hash,
 * so 32 words lead to a run in vain once in 2,000 times. */
#define INDEX_FULL_BUILT 18
#define INDEX_FULL_MOST 21
#define INDEX_FULL_PARTS 24
/* Checkpoints of one size that must have room, else the index grows at the end of this one. */
#define INDEX_AHEAD_TIMES 4
/* Records noted between two rests for each record of a checkpoint's transaction: 16,000 by default,
 * 2 to 5 ms. */
#define INDEX_PIECE_TIMES 64
/* A word: bits of the hash that do not say where it stands, the month's slot, the run and one. */
#define INDEX_TAG_SHIFT 16
#define INDEX_SLOT_SHIFT 11
#define INDEX_RUN_MASK 2047u
_Static_assert(MONTH_SLOTS <= 1 << (INDEX_TAG_SHIFT - INDEX_SLOT_SHIFT), "a slot has five bits");
_Static_assert(RUNS_MAX < INDEX_RUN_MASK, "a run and one have eleven bits");

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
void index_note(run_index_t *index, uint64_t hash, uint32_t slot, uint32_t run)
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

/* The same through every run, the newest first: 1.4 us for each. */
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
record_t find_monthly(const accounts_t *accounts, MDB_txn *transaction,
                             const record_key_t *key, uint32_t slot, uint32_t *run)
{
    const run_index_t *index = atomic_load(&accounts->index);
    if (index == NULL) return find_everywhere(accounts, transaction, key, slot, run);
    return find_indexed(accounts, transaction, key, slot, index, run);
}

/* An index on its way. */
typedef struct building {
    accounts_t *accounts;
    run_index_t *index;
    pace_t (*between)(void *context); /* NULL: without a rest */
    void *context;
    uint32_t noted; /* since the last rest */
    bool is_stopped;
} building_t;

/* Notes every record of one slot of the ring. */
static int index_fill(building_t *building, MDB_txn *transaction, MDB_dbi table, uint32_t slot)
{
    MDB_cursor *cursor;
    int error = mdb_cursor_open(transaction, table, &cursor);
    if (error != 0) return error;
    MDB_val name;
    uint32_t piece = building->accounts->options.checkpoint_records * INDEX_PIECE_TIMES;
    while (!building->is_stopped
           && (error = mdb_cursor_get(cursor, &name, NULL, MDB_NEXT)) == 0) {
        run_name_t named;
        INVARIANT(name.mv_size == sizeof named);
        memcpy(&named, name.mv_data, sizeof named);
        record_key_t key = key_of_name(&named);
        index_note(building->index, key_hash(&key), slot, run_of_name(&named));
        if (building->between == NULL || ++building->noted < piece) continue;
        building->noted = 0;
        building->is_stopped =
            !checkpoint_rests(building->accounts, building->between, building->context);
    }
    mdb_cursor_close(cursor);
    return error == MDB_NOTFOUND ? 0 : error;
}

static uint64_t index_bytes(const run_index_t *index)
{
    return index == NULL ? 0 : sizeof *index + (index->mask + 1) * sizeof index->words[0];
}

/* Puts another index in the place of the one that readers may still hold. */
static void index_replace(accounts_t *accounts, run_index_t *index)
{
    INVARIANT(accounts->retired_index == NULL);
    accounts->retired_index = atomic_load(&accounts->index);
    atomic_store(&accounts->index, index);
    atomic_fetch_add(&accounts->index_bytes, index_bytes(index));
}

void index_free_retired(accounts_t *accounts)
{
    atomic_fetch_sub(&accounts->index_bytes, index_bytes(accounts->retired_index));
    free(accounts->retired_index);
    accounts->retired_index = NULL;
}

/* Builds the index from what a transaction has, with room for `more` records. Without memory for
 * it there is none, rather than one that becomes full; one that is stopped is given up. */
static int index_build(building_t *building, MDB_txn *transaction, uint64_t more)
{
    accounts_t *accounts = building->accounts;
    uint64_t count = more;
    int error = 0;
    for (int at = 0; at < MONTHLY_FAMILIES * MONTH_SLOTS && error == 0; at++) {
        MDB_stat stat = {0};
        MDB_dbi table = accounts->tables_of_months[at / MONTH_SLOTS][at % MONTH_SLOTS];
        error = mdb_stat(transaction, table, &stat);
        count += stat.ms_entries;
    }
    if (error != 0) return error;
    uint64_t words = accounts->options.index_words;
    while (words / INDEX_FULL_PARTS * INDEX_FULL_BUILT < count && words < 1ull << 40) words *= 2;
    run_index_t *index = calloc(1, sizeof *index + words * sizeof index->words[0]);
    if (index != NULL) index->mask = words - 1;
    building->index = index;
    uint32_t slots = index != NULL ? MONTHLY_FAMILIES * MONTH_SLOTS : 0;
    for (uint32_t at = 0; at < slots && error == 0; at++) {
        uint32_t slot = at % MONTH_SLOTS;
        if (atomic_load(&accounts->slot_months[at / MONTH_SLOTS][slot]) == 0) continue;
        MDB_dbi table = accounts->tables_of_months[at / MONTH_SLOTS][slot];
        error = index_fill(building, transaction, table, slot);
    }
    if (error == 0 && !building->is_stopped) index_replace(accounts, index);
    else free(index);
    return error;
}

/* Builds the index unless there is one with room for `more`. */
static status_t index_prepare(building_t *building, uint64_t more)
{
    accounts_t *accounts = building->accounts;
    const run_index_t *index = atomic_load(&accounts->index);
    if (index != NULL && index_has_room(index, more, INDEX_FULL_MOST)) return STATUS_OK;
    /* Then one was replaced in this checkpoint, by an attempt of it with room for all of its
     * records, which finds its own notes there again. */
    if (accounts->retired_index != NULL) return STATUS_OK;
    MDB_txn *transaction;
    int error = mdb_txn_begin(accounts->environment, NULL, MDB_RDONLY, &transaction);
    if (error == 0) {
        error = index_build(building, transaction, more);
        mdb_txn_abort(transaction);
    }
    return error == 0 ? STATUS_OK : STATUS_IO_FAILED;
}

status_t accounts_prepare_index(accounts_t *accounts, uint64_t more)
{
    building_t building = {.accounts = accounts};
    return index_prepare(&building, more);
}

void index_grow_ahead(accounts_t *accounts, uint64_t count, pace_t (*between)(void *context),
                      void *context)
{
    building_t building = {.accounts = accounts, .between = between, .context = context};
    index_prepare(&building, INDEX_AHEAD_TIMES * count);
}

status_t accounts_index_view(const accounts_view_t *view)
{
    accounts_t *accounts = view->reader->accounts;
    INVARIANT(accounts->options.is_read_only);
    if (atomic_load(&accounts->index) != NULL) return STATUS_OK;
    building_t building = {.accounts = accounts};
    int error = index_build(&building, view_transaction(view), 0);
    return error == 0 ? STATUS_OK : STATUS_IO_FAILED;
}
