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
#include "accounts_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define DAY_MS 86400000

void accounts_fatal(const accounts_t *accounts, const char *what, int error)
{
    /* LMDB's own codes are negative; the system's name nothing for them. */
    fprintf(stderr, "checklane: %s: %s\n", what, mdb_strerror(error));
    accounts->machine->fatal(accounts->machine->context, what, error > 0 ? error : EIO);
    INVARIANT(!"fatal returned");
}

/* ---------------------------------------------------------------- memtables --------------- */

memtable_t *memtable_new(uint64_t slot_count, uint64_t arena_bytes)
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

void memtable_free(memtable_t *table)
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
void memtable_put(memtable_t *table, uint64_t hash, const stored_t *draft)
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
MDB_txn *view_transaction(const accounts_view_t *view)
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

record_t read_environment(const accounts_view_t *view, record_key_t *key)
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
    metrics->index_bytes = atomic_load(&accounts->index_bytes);
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

static bool allocate(accounts_t *accounts)
{
    tables_t *tables = calloc(1, sizeof *tables);
    if (tables == NULL) return false;
    atomic_store(&accounts->tables, tables);
    const accounts_options_t *options = &accounts->options;
    tables->active = memtable_new(options->memtable_slots, options->memtable_bytes);
    return tables->active != NULL && group_allocate(&accounts->group);
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
    if (used->index_words == 0) used->index_words = INDEX_WORDS_DEFAULT;
    INVARIANT((used->index_words & (used->index_words - 1)) == 0);
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
    group_free(&accounts->group);
    pthread_mutex_destroy(&accounts->lock);
    free(accounts);
}
