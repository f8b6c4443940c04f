/* The fake machine of the simulation: a disk that forgets what was not synced, and a clock that
 * jumps. Everything random about it comes from one seed.
 *
 * The disk lives in memory that the simulation shares with the processes that it stops. Each file
 * has two images: what a read finds (the page cache) and what a power cut leaves (the disk). They
 * differ by sectors of 512 bytes. A write changes the first image; the disk may take up any
 * unsynced sector at any time and in any order, or none. A sync makes the two alike. A sync that
 * fails writes some sectors and forgets that the others were ever changed, as Linux does: reads
 * still find them, later syncs report success without writing them.
 *
 * Names are kept in the same way: a file that was made, renamed or removed is so on the disk only
 * after its directory was synced, and the parent of that directory, and theirs.
 *
 * LMDB does its own input and output on a file that it maps. disk.c stands in for the calls of the
 * C library that liblmdb makes (open, close, pwrite, writev, fdatasync ...), so that the
 * environment lies on the fake disk too: the real file holds the first image, for the map, and
 * after a power cut it is written anew from the second. So LMDB's own promise, that MDB_NOMETASYNC
 * loses at most the last transactions and tears nothing, is tried out and not assumed. */
#ifndef CHECKLANE_SIMULATION_DISK_H
#define CHECKLANE_SIMULATION_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "machine.h"

/* How a simulated process ends when it does not end by itself. */
#define EXIT_POWER_CUT 42
#define EXIT_KILLED 43

#define SECTOR_BYTES 512
#define FILE_BYTES_MAX (2 * 1024 * 1024)
#define SECTORS_MAX (FILE_BYTES_MAX / SECTOR_BYTES)
#define FILES_MAX 128
#define NAMES_MAX 160
#define NAME_BYTES_MAX 48
#define NAME_CHANGES_MAX 512

typedef struct disk_file {
    bool is_used;
    bool is_mapped;          /* LMDB's: also a real file */
    uint64_t cached_bytes;
    uint64_t durable_bytes;
    uint8_t is_dirty[SECTORS_MAX];
    uint8_t cached[FILE_BYTES_MAX];
    uint8_t durable[FILE_BYTES_MAX];
} disk_file_t;

/* Paths are those below the data directory: "/journal/00000001.seg". */
typedef struct disk_name {
    char path[NAME_BYTES_MAX]; /* empty: free */
    int32_t file;              /* DISK_DIRECTORY, or an index */
    int32_t reserved;
} disk_name_t;

#define DISK_DIRECTORY (-2)

typedef struct name_change {
    char from[NAME_BYTES_MAX]; /* empty: made, not renamed */
    char to[NAME_BYTES_MAX];   /* empty: removed */
    int32_t file;
    int32_t reserved;
} name_change_t;

typedef struct disk {
    uint64_t random;
    /* The plan for this process: operations until it stops (-1: it does not), and how; syncs until
     * one fails (-1: none does). */
    int64_t steps_left;
    int64_t syncs_left;
    bool is_mapped_sync;       /* one of LMDB's syncs, not of the journal's */
    bool is_cut;
    bool is_full;              /* no file can grow */
    uint64_t steps;            /* operations since the seed began */
    uint64_t failed_syncs;
    uint64_t full_refusals;
    int64_t wall_unix_ms;      /* the right time */
    int64_t skew_ms;           /* how far ahead the machine's clock is */
    int64_t monotonic_ns;
    uint32_t change_count;
    disk_name_t cached_names[NAMES_MAX];
    disk_name_t durable_names[NAMES_MAX];
    name_change_t changes[NAME_CHANGES_MAX];
    disk_file_t files[FILES_MAX];
} disk_t;

/* The disk that the machine works on, in shared memory, and the data directory on it. */
extern disk_t *disk;
extern const char *disk_directory;

/* Called before every write and sync of a journal file, and whenever LMDB syncs or the ledger
 * rests: places where other threads could run. NULL: nothing happens there. */
extern void (*disk_journal_hook)(void);
extern void (*disk_rest_hook)(void);

const machine_t *disk_machine(void);

/* An empty disk. */
void disk_reset(uint64_t seed);

/* The power goes: every file and name becomes what the disk has of it, by chance where nothing
 * was synced. No simulated process runs. */
void disk_power_cut(void);

/* Takes a file away, on the disk too. */
void disk_lose(const char *path);

/* True when bytes [0, end) of a file are on the disk as they are read, and its name is. */
bool disk_is_durable(const char *path, uint64_t end);

/* What a read finds in a file; NULL when there is none of that name. */
const disk_file_t *disk_file(const char *path);

uint64_t random_next(uint64_t *state);
uint64_t random_below(uint64_t *state, uint64_t bound);

#endif
