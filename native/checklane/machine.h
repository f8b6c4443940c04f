/* What the ledger asks of the machine: files, time, and the end of the process. The real machine
 * is the default; a simulation hands in one whose disk stops, tears, runs full or lies. */
#ifndef CHECKLANE_MACHINE_H
#define CHECKLANE_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

/* Longest path that the ledger builds: a data directory of 900 bytes and a file name. */
#define PATH_BYTES_MAX 1024

#define FILE_READ 0   /* must exist */
#define FILE_WRITE 1  /* read and write; must exist */
#define FILE_CREATE 2 /* read and write; made, or emptied when there */

/* Every file call returns 0 or an errno value, and is called by any thread. A write or read that
 * returns 0 moved all `size` bytes. `sync` returns once the file's bytes are on the disk;
 * `sync_directory` once the names in a directory are. `list` calls `each` for every name in a
 * directory, in no order. `fatal` must not return: it is called after a failed write or sync of
 * the journal, when nobody can say any more what is on the disk, so the only honest way on is a
 * new process that reads it. */
typedef struct machine {
    void *context;
    int (*make_directory)(void *context, const char *path);
    int (*open)(void *context, const char *path, int mode, int64_t *file);
    void (*close)(void *context, int64_t file);
    int (*size)(void *context, int64_t file, uint64_t *bytes);
    int (*read_at)(void *context, int64_t file, void *bytes, size_t size, uint64_t offset);
    int (*write_at)(void *context, int64_t file, const void *bytes, size_t size, uint64_t offset);
    int (*sync)(void *context, int64_t file);
    int (*sync_directory)(void *context, const char *path);
    int (*rename)(void *context, const char *from, const char *to);
    int (*remove)(void *context, const char *path);
    int (*list)(void *context, const char *path, void (*each)(void *argument, const char *name),
                void *argument);
    int64_t (*wall_unix_ms)(void *context);
    int64_t (*monotonic_ns)(void *context);
    void (*fatal)(void *context, const char *what, int error);
} machine_t;

/* The machine that this process runs on. Its `fatal` prints one line and ends the process with
 * exit status 70 at once, without running exit handlers. Static; never freed. */
const machine_t *machine_real(void);

/* Takes the data directory for this process: DATA/LOCK is made and locked until
 * data_directory_unlock or the end of the process. STATUS_DATA_DIRECTORY_BUSY when another
 * process holds it, STATUS_IO_FAILED with the path in fault->place otherwise. */
status_t data_directory_lock(const char *data_directory, int *lock, fault_t *fault);
void data_directory_unlock(int lock);

/* STATUS_DISK_FULL for an errno value that says there is no room, else STATUS_IO_FAILED. */
status_t status_of_error(int error);

/* Sets fault to `status` at a printf-like place, cut to what fits. Returns `status`. */
status_t fault_at(fault_t *fault, status_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
