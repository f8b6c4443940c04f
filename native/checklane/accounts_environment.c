/* LMDB's file: how it is made, looked at and opened, and the few things that its table "meta" says.
 * At start, by one thread; later only the checkpointer writes to it. */
#include "accounts_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "pages.h"

/* The first two pages of the environment's file, of 64 KiB at most. */
#define METAS_BYTES_MAX (2 * 64 * 1024)

/* Tells readers which months there are. */
void show_months(accounts_t *accounts)
{
    for (int at = 0; at < MONTHLY_FAMILIES * MONTH_SLOTS; at++) {
        atomic_store(&accounts->slot_months[at / MONTH_SLOTS][at % MONTH_SLOTS],
                     accounts->months[at / MONTH_SLOTS][at % MONTH_SLOTS].number);
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

int open_environment(accounts_t *accounts)
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
