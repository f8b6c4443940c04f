/* Cuts an environment of LMDB's short, page by page, and holds what pages.h says of each length
 * against a process that touches every byte there is: it ends by SIGBUS where a page is gone.
 *
 * usage: pages DIRECTORY SEED. Prints how many lengths were whole, whole though shorter than the
 * newest root says, and cut; ends with status 1 where the two do not agree. */
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pages.h"

#define MAP_BYTES (4 * 1024 * 1024)
#define PAGE_BYTES 4096
#define TABLES 2
#define TRANSACTIONS 12
#define VALUE_BYTES_MAX 9000

#define CHECK(belief)                                                                \
    do {                                                                             \
        if (!(belief)) {                                                             \
            fprintf(stderr, "pages_harness.c:%d: not true: %s\n", __LINE__, #belief); \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

static uint64_t draw_state;

static uint32_t draw(uint32_t below)
{
    draw_state = draw_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(draw_state >> 33) % below;
}

static MDB_env *open_at(const char *path, unsigned flags)
{
    MDB_env *environment;
    CHECK(mdb_env_create(&environment) == 0);
    CHECK(mdb_env_set_maxdbs(environment, TABLES) == 0);
    CHECK(mdb_env_set_mapsize(environment, MAP_BYTES) == 0);
    if (mdb_env_open(environment, path, MDB_NOSUBDIR | flags, 0600) != 0) _exit(2);
    return environment;
}

static void change(MDB_env *environment)
{
    static uint8_t bytes[VALUE_BYTES_MAX];
    static const char *const names[TABLES] = {"one", "two"};
    MDB_txn *transaction;
    CHECK(mdb_txn_begin(environment, NULL, 0, &transaction) == 0);
    for (uint32_t i = 0, count = draw(40); i < count; i++) {
        MDB_dbi table;
        CHECK(mdb_dbi_open(transaction, names[draw(TABLES)], MDB_CREATE, &table) == 0);
        uint32_t number = draw(60);
        MDB_val key = {sizeof number, &number};
        MDB_val value = {draw(5) == 0 ? draw(VALUE_BYTES_MAX) : draw(600), bytes};
        int error = draw(3) == 0 ? mdb_del(transaction, table, &key, NULL)
                                 : mdb_put(transaction, table, &key, &value, 0);
        CHECK(error == 0 || error == MDB_NOTFOUND);
    }
    CHECK(mdb_txn_commit(transaction) == 0);
}

/* Touches every key and value of one table; of the first the tables in it too. */
static void touch(MDB_txn *transaction, MDB_dbi table, int is_root)
{
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    uint64_t sum = 0;
    if (mdb_cursor_open(transaction, table, &cursor) != 0) _exit(2);
    int error;
    while ((error = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        for (size_t i = 0; i < value.mv_size; i++) {
            sum += ((const volatile uint8_t *)value.mv_data)[i];
        }
        char name[8] = {0};
        memcpy(name, key.mv_data, key.mv_size < 8 ? key.mv_size : 7);
        MDB_dbi below;
        if (is_root && mdb_dbi_open(transaction, name, 0, &below) == 0) {
            touch(transaction, below, 0);
        }
    }
    if (error != MDB_NOTFOUND || sum == 1) _exit(2);
    mdb_cursor_close(cursor);
}

/* Whether a process that touches everything lives. */
static int is_whole(const char *path)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        MDB_env *environment = open_at(path, MDB_RDONLY | MDB_NOLOCK);
        MDB_txn *transaction;
        if (mdb_txn_begin(environment, NULL, MDB_RDONLY, &transaction) != 0) _exit(2);
        MDB_dbi tables;
        if (mdb_dbi_open(transaction, NULL, 0, &tables) != 0) _exit(2);
        touch(transaction, 0, 0);
        touch(transaction, tables, 1);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int count, char **words)
{
    CHECK(count == 3);
    char path[256];
    snprintf(path, sizeof path, "%s/data.lmdb", words[1]);
    draw_state = strtoull(words[2], NULL, 10);
    MDB_env *environment = open_at(path, 0);
    for (int i = 0; i < TRANSACTIONS; i++) change(environment);
    MDB_envinfo info;
    CHECK(mdb_env_info(environment, &info) == 0);
    mdb_env_close(environment);
    struct stat file;
    CHECK(stat(path, &file) == 0);
    uint64_t counts[3] = {0};
    for (off_t bytes = file.st_size; bytes >= 2 * PAGE_BYTES; bytes -= PAGE_BYTES) {
        CHECK(truncate(path, bytes) == 0);
        int error = pages_check(machine_real(), path);
        CHECK(error == 0 || error == MDB_PAGE_NOTFOUND);
        CHECK((error == 0) == is_whole(path));
        int is_short = (uint64_t)bytes / PAGE_BYTES <= info.me_last_pgno;
        counts[error != 0 ? 2 : is_short]++;
    }
    CHECK(truncate(path, PAGE_BYTES + 1) == 0);
    CHECK(pages_check(machine_real(), path) != 0);
    printf("%llu %llu %llu\n", (unsigned long long)counts[0], (unsigned long long)counts[1],
           (unsigned long long)counts[2]);
    return 0;
}
