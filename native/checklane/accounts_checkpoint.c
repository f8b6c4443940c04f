/* What the checkpointer owns: the frozen memtable on its way to LMDB, all of LMDB's write
 * transactions, what the slots of the ring of months hold, and the run index. One thread at a time;
 * the writer and readers go on meanwhile. It writes in small transactions, paced by how far the
 * writer has come, then the covered LSN, and retires the memtable, which accounts.c argues. */
#include "accounts_internal.h"

#include <stdlib.h>
#include <time.h>

/* Records in one transaction, against those of a paced one, when nobody waits for the disk. */
#define HURRY_TIMES 64
/* New keys and receipts that count as one other record when a transaction is measured: they lie
 * side by side, 25 to 48 a page, where each of the others may change a page of its own. */
#define DENSE_TIMES 4
/* And when a checkpoint lags: one sync for so many more keeps up where small ones would not. */
#define LAG_TIMES 4
#define LAG_MAX 64

/* Notes what each slot of the ring holds, within a transaction. */
static int write_months(accounts_t *accounts, MDB_txn *transaction)
{
    MDB_val name = {sizeof MONTHS_KEY - 1, (void *)(uintptr_t)MONTHS_KEY};
    MDB_val value = {sizeof accounts->months, accounts->months};
    return mdb_put(transaction, accounts->meta, &name, &value, 0);
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

bool checkpoint_rests(const accounts_t *accounts, pace_t (*between)(void *context), void *context)
{
    pace_t pace = between(context);
    if (pace == PACE_PAUSE) rest(accounts, lag_of(accounts, 1, 1));
    return pace != PACE_STOP;
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
    index_free_retired(accounts);
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
        index_grow_ahead(accounts, count, between, context);
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
