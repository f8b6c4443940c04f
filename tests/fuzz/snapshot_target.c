/* Damaged snapshots: sound tables from the file CHECKLANE_TABLES, changed as the input says, are
 * opened as the engine opens them, and what is accepted is followed everywhere.
 *
 * The tables come from a stand-in for liblmdb, for two reasons: a walk through a damaged B-tree is
 * liblmdb's own affair (the hash over the content is checked before a file is activated), and each
 * table lies in a block of exactly its size, so that a look beyond it is caught.
 *
 * An input is a byte for the kind, then changes of 12 bytes: table, width, offset, value. */
#include <errno.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../snapshot/walk.h"
#include "checklane/invariant.h"
#include "target.h"

#define TABLES_MAX 96
#define NAME_BYTES 32
#define CHANGES_MAX 64
/* LMDB puts a big value 16 bytes into a page, so that the records behind its head are aligned. */
#define VALUE_AT 16

typedef struct base_table {
    char name[NAME_BYTES];
    uint64_t kind; /* 0 members, 1 catalogue, 2 program */
    uint64_t size;
    uint8_t *value;
} base_table_t;

typedef struct change {
    uint8_t table;
    uint8_t width;
    uint16_t reserved;
    uint32_t offset;
    uint32_t value;
} change_t;
_Static_assert(sizeof(change_t) == 12, "drawn without padding");

uint64_t accepted_count;

static base_table_t tables[TABLES_MAX];
static uint32_t table_count;
static uint64_t kind_at_hand;
static const char *tables_path;

struct MDB_env { int is_open; };
struct MDB_txn { int is_open; };
static struct MDB_env environment_at_hand;
static struct MDB_txn transaction_at_hand;

int mdb_env_create(MDB_env **environment)
{
    *environment = &environment_at_hand;
    return 0;
}

int mdb_env_open(MDB_env *environment, const char *path, unsigned flags, mdb_mode_t mode)
{
    (void)path;
    (void)flags;
    (void)mode;
    environment->is_open = 1;
    return 0;
}

int mdb_env_info(MDB_env *environment, MDB_envinfo *info)
{
    (void)environment;
    memset(info, 0, sizeof *info);
    return 0;
}

int mdb_env_stat(MDB_env *environment, MDB_stat *stat)
{
    (void)environment;
    memset(stat, 0, sizeof *stat);
    stat->ms_psize = 1;
    return 0;
}

int mdb_txn_begin(MDB_env *environment, MDB_txn *parent, unsigned flags, MDB_txn **transaction)
{
    (void)environment;
    (void)parent;
    (void)flags;
    transaction_at_hand.is_open = 1;
    *transaction = &transaction_at_hand;
    return 0;
}

int mdb_dbi_open(MDB_txn *transaction, const char *name, unsigned flags, MDB_dbi *dbi)
{
    (void)transaction;
    (void)name;
    (void)flags;
    *dbi = 1;
    return 0;
}

int mdb_get(MDB_txn *transaction, MDB_dbi dbi, MDB_val *key, MDB_val *value)
{
    (void)transaction;
    (void)dbi;
    for (uint32_t i = 0; i < table_count; i++) {
        const base_table_t *table = &tables[i];
        if (table->kind != kind_at_hand || strlen(table->name) != key->mv_size) continue;
        if (memcmp(table->name, key->mv_data, key->mv_size) != 0) continue;
        *value = (MDB_val){.mv_size = table->size, .mv_data = table->value};
        return 0;
    }
    return MDB_NOTFOUND;
}

void mdb_txn_abort(MDB_txn *transaction) { transaction->is_open = 0; }
void mdb_env_close(MDB_env *environment) { environment->is_open = 0; }

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    tables_path = getenv("CHECKLANE_TABLES");
    INVARIANT(tables_path != NULL);
    FILE *file = fopen(tables_path, "rb");
    INVARIANT(file != NULL);
    uint64_t head[2];
    char name[NAME_BYTES];
    while (fread(name, sizeof name, 1, file) == 1) {
        INVARIANT(table_count < TABLES_MAX);
        INVARIANT(fread(head, sizeof head, 1, file) == 1);
        base_table_t *table = &tables[table_count++];
        memcpy(table->name, name, sizeof name);
        table->kind = head[0];
        table->size = head[1];
        /* The block ends where the table ends; before it lie VALUE_AT bytes of the page's head. */
        uint8_t *block = NULL;
        INVARIANT(posix_memalign((void **)&block, 64, VALUE_AT + table->size) == 0);
        table->value = block + VALUE_AT;
        INVARIANT(fread(table->value, 1, table->size, file) == table->size);
    }
    fclose(file);
    INVARIANT(table_count > 0);
    return 0;
}

/* Writes the value of a change, and keeps what was there: applied twice in reverse it undoes. */
static void exchange(change_t *change)
{
    base_table_t *table = &tables[change->table % table_count];
    uint32_t width = 1u << (change->width % 3);
    if (table->size < width) return;
    uint64_t at = change->offset % (table->size - width + 1) / width * width;
    uint32_t before = 0;
    memcpy(&before, table->value + at, width);
    memcpy(table->value + at, &change->value, width);
    change->value = before;
}

static void open_and_walk(void)
{
    static const uint8_t hash[16] = {0};
    static members_t members;
    static catalogue_t catalogue;
    static program_t program;
    if (kind_at_hand == 0 && members_open(tables_path, hash, &members) == STATUS_OK) {
        accepted_count++;
        /* A start walks without this check. */
        seen += members_check(&members) == STATUS_OK;
        walk_members(&members);
        members_close(&members);
    }
    if (kind_at_hand == 1 && catalogue_open(tables_path, hash, &catalogue) == STATUS_OK) {
        accepted_count++;
        walk_catalogue(&catalogue);
        catalogue_close(&catalogue);
    }
    if (kind_at_hand == 2 && program_open(tables_path, hash, &program) == STATUS_OK) {
        accepted_count++;
        walk_program(&program);
        program_close(&program);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    change_t changes[CHANGES_MAX];
    if (size == 0) return 0;
    size_t count = (size - 1) / sizeof(change_t);
    if (count > CHANGES_MAX) count = CHANGES_MAX;
    if (count > 0) memcpy(changes, data + 1, count * sizeof(change_t));
    kind_at_hand = data[0] % 3;
    for (size_t i = 0; i < count; i++) exchange(&changes[i]);
    open_and_walk();
    for (size_t i = count; i > 0; i--) exchange(&changes[i - 1]);
    return 0;
}
