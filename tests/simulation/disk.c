/* The fake disk and clock. Files that LMDB writes come in by the C library's own names, at the end
 * of this file. */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "siphash.h"

#define DESCRIPTORS_MAX 1024

disk_t *disk;
const char *disk_directory;
void (*disk_journal_hook)(void);
void (*disk_rest_hook)(void);

/* Descriptors of LMDB's files: the file's index + 1. Each simulated process has its own. */
static int32_t mapped_file[DESCRIPTORS_MAX];
static bool is_synced_at_once[DESCRIPTORS_MAX];

uint64_t random_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return mix64(*state);
}

uint64_t random_below(uint64_t *state, uint64_t bound)
{
    return random_next(state) % bound;
}

static bool chance(uint64_t one_in)
{
    return random_below(&disk->random, one_in) == 0;
}

/* One operation of the disk: before it, or after it, the process may come to its end. */
static void step(void)
{
    disk->steps++;
    if (disk->steps_left < 0) return;
    if (disk->steps_left-- == 0) _exit(disk->is_cut ? EXIT_POWER_CUT : EXIT_KILLED);
}

static void broken(const char *what)
{
    fprintf(stderr, "simulation: %s\n", what);
    _exit(3);
}

/* ---------------------------------------------------------------- names ------------------- */

static disk_name_t *names_find(disk_name_t *names, const char *path)
{
    for (int i = 0; i < NAMES_MAX; i++) {
        if (names[i].path[0] != 0 && strcmp(names[i].path, path) == 0) return &names[i];
    }
    return NULL;
}

static void names_remove(disk_name_t *names, const char *path)
{
    disk_name_t *name = names_find(names, path);
    if (name != NULL) name->path[0] = 0;
}

static void names_set(disk_name_t *names, const char *path, int32_t file)
{
    disk_name_t *name = names_find(names, path);
    for (int i = 0; i < NAMES_MAX && name == NULL; i++) {
        if (names[i].path[0] == 0) name = &names[i];
    }
    if (name == NULL) broken("too many names");
    strcpy(name->path, path);
    name->file = file;
}

static void names_apply(disk_name_t *names, const name_change_t *change)
{
    if (change->from[0] != 0) names_remove(names, change->from);
    if (change->to[0] != 0) names_set(names, change->to, change->file);
}

/* Changes what reads find; the disk learns of it later. */
static void names_change(const char *from, const char *to, int32_t file)
{
    if (disk->change_count == NAME_CHANGES_MAX) broken("too many changes of names");
    name_change_t *change = &disk->changes[disk->change_count++];
    memset(change, 0, sizeof *change);
    strcpy(change->from, from);
    strcpy(change->to, to);
    change->file = file;
    names_apply(disk->cached_names, change);
}

/* The path below the data directory, or NULL when it lies elsewhere. */
static const char *below(const char *path)
{
    size_t length = strlen(disk_directory);
    if (strncmp(path, disk_directory, length) != 0) return NULL;
    if (path[length] != '/' && path[length] != 0) return NULL;
    if (strlen(path + length) >= NAME_BYTES_MAX) broken("a path is too long");
    return path + length;
}

static const char *inside(const char *path)
{
    const char *found = below(path);
    if (found == NULL) broken("a path outside the data directory");
    return found;
}

static bool is_in(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    const char *slash = strrchr(path, '/');
    return slash != NULL && (size_t)(slash - path) == length
           && strncmp(path, directory, length) == 0;
}

/* Drops the names whose directory is not there. */
static void names_drop_orphans(disk_name_t *names)
{
    for (int i = 0; i < NAMES_MAX; i++) {
        const char *slash = strrchr(names[i].path, '/');
        if (names[i].path[0] == 0 || slash == names[i].path) continue;
        char directory[NAME_BYTES_MAX] = {0};
        memcpy(directory, names[i].path, (size_t)(slash - names[i].path));
        if (names_find(names, directory) == NULL) names[i].path[0] = 0;
    }
}

static int32_t file_new(void)
{
    for (int32_t i = 0; i < FILES_MAX; i++) {
        if (disk->files[i].is_used) continue;
        disk->files[i].is_used = true;
        disk->files[i].is_mapped = false;
        return i;
    }
    broken("too many files");
    return -1;
}

/* ---------------------------------------------------------------- bytes ------------------- */

static uint64_t sector_count(const disk_file_t *file)
{
    uint64_t bytes = file->cached_bytes;
    if (file->durable_bytes > bytes) bytes = file->durable_bytes;
    return (bytes + SECTOR_BYTES - 1) / SECTOR_BYTES;
}

static void sector_settle(disk_file_t *file, uint64_t sector)
{
    memcpy(file->durable + sector * SECTOR_BYTES, file->cached + sector * SECTOR_BYTES,
           SECTOR_BYTES);
}

static void file_write(disk_file_t *file, const void *bytes, size_t size, uint64_t offset)
{
    if (offset + size > FILE_BYTES_MAX) broken("a file is too long");
    if (size == 0) return;
    for (uint64_t at = offset / SECTOR_BYTES; at <= (offset + size - 1) / SECTOR_BYTES; at++) {
        /* The disk may have taken up what is overwritten now. */
        if (file->is_dirty[at] && chance(4)) sector_settle(file, at);
        file->is_dirty[at] = 1;
    }
    memcpy(file->cached + offset, bytes, size);
    if (offset + size > file->cached_bytes) file->cached_bytes = offset + size;
}

static void file_sync(disk_file_t *file)
{
    for (uint64_t at = 0; at < sector_count(file); at++) {
        if (file->is_dirty[at]) sector_settle(file, at);
        file->is_dirty[at] = 0;
    }
    file->durable_bytes = file->cached_bytes;
}

/* A sync that fails: some sectors are written, the others are not dirty any more. */
static int file_sync_fails(disk_file_t *file)
{
    for (uint64_t at = 0; at < sector_count(file); at++) {
        if (file->is_dirty[at] && chance(2)) sector_settle(file, at);
        file->is_dirty[at] = 0;
    }
    file->durable_bytes = file->cached_bytes;
    disk->failed_syncs++;
    return EIO;
}

static int sync_or_fail(disk_file_t *file)
{
    step();
    bool is_counted = file->is_mapped == disk->is_mapped_sync;
    if (is_counted && disk->syncs_left >= 0 && disk->syncs_left-- == 0) {
        return file_sync_fails(file);
    }
    file_sync(file);
    step();
    return 0;
}

/* Which unsynced sectors a power cut finds on the disk: each by its own chance, those up to a
 * place (writes in order), or those from a place on (the first one torn off). */
static void file_power_cut(disk_file_t *file)
{
    static const uint64_t chances[] = {0, 2, 8, 14, 16};
    uint64_t sectors = sector_count(file);
    uint64_t kept = chances[random_below(&disk->random, 5)];
    uint64_t how = random_below(&disk->random, 4);
    uint64_t dirty = 0;
    for (uint64_t at = 0; at < sectors; at++) dirty += file->is_dirty[at];
    uint64_t pivot = random_below(&disk->random, dirty + 1);
    uint64_t seen = 0;
    for (uint64_t at = 0; at < sectors; at++) {
        if (!file->is_dirty[at]) continue;
        bool is_kept = random_below(&disk->random, 16) < kept;
        if (how == 0) is_kept = seen < pivot;
        if (how == 1) is_kept = seen >= pivot;
        if (is_kept) sector_settle(file, at);
        file->is_dirty[at] = 0;
        seen++;
    }
    if (chance(2)) file->durable_bytes = file->cached_bytes;
    uint64_t end = sectors * SECTOR_BYTES;
    memset(file->durable + file->durable_bytes, 0, end - file->durable_bytes);
    memcpy(file->cached, file->durable, end);
    file->cached_bytes = file->durable_bytes;
}

/* Writes the real file behind one that LMDB maps. */
static void file_write_real(const char *path, const disk_file_t *file)
{
    char real[PATH_BYTES_MAX];
    snprintf(real, sizeof real, "%s%s", disk_directory, path);
    FILE *out = fopen(real, "wb");
    if (out == NULL) broken("the real file cannot be made");
    if (fwrite(file->cached, 1, file->cached_bytes, out) != file->cached_bytes) {
        broken("the real file cannot be written");
    }
    if (fclose(out) != 0) broken("the real file cannot be written");
}

static void unlink_real(const char *path)
{
    char real[PATH_BYTES_MAX];
    snprintf(real, sizeof real, "%s%s", disk_directory, path);
    unlink(real);
    strncat(real, "-lock", sizeof real - strlen(real) - 1);
    unlink(real);
}

/* Frees the files that no name leads to, and makes the real files what their images are. */
static void files_sweep(bool is_writing)
{
    bool is_named[FILES_MAX] = {false};
    for (int i = 0; i < NAMES_MAX; i++) {
        const disk_name_t *names[2] = {&disk->cached_names[i], &disk->durable_names[i]};
        for (int j = 0; j < 2; j++) {
            if (names[j]->path[0] == 0 || names[j]->file == DISK_DIRECTORY) continue;
            is_named[names[j]->file] = true;
        }
        if (names[0]->path[0] == 0 || names[0]->file == DISK_DIRECTORY) continue;
        const disk_file_t *file = &disk->files[names[0]->file];
        if (is_writing && file->is_mapped) file_write_real(names[0]->path, file);
    }
    for (uint32_t i = 0; i < disk->change_count; i++) {
        if (disk->changes[i].file >= 0) is_named[disk->changes[i].file] = true;
    }
    for (int i = 0; i < FILES_MAX; i++) {
        disk_file_t *file = &disk->files[i];
        if (!file->is_used || is_named[i]) continue;
        uint64_t sectors = sector_count(file);
        memset(file->cached, 0, sectors * SECTOR_BYTES);
        memset(file->durable, 0, sectors * SECTOR_BYTES);
        memset(file->is_dirty, 0, sectors);
        file->cached_bytes = 0;
        file->durable_bytes = 0;
        file->is_used = false;
    }
}

static void unlink_all_real(void)
{
    for (int i = 0; i < NAMES_MAX; i++) {
        const disk_name_t *name = &disk->cached_names[i];
        if (name->path[0] == 0 || name->file == DISK_DIRECTORY) continue;
        if (disk->files[name->file].is_mapped) unlink_real(name->path);
    }
}

void disk_reset(uint64_t seed)
{
    unlink_all_real();
    memset(disk->cached_names, 0, sizeof disk->cached_names);
    memset(disk->durable_names, 0, sizeof disk->durable_names);
    disk->change_count = 0;
    files_sweep(false);
    disk->random = seed;
    disk->steps_left = -1;
    disk->syncs_left = -1;
    disk->is_full = false;
    disk->steps = 0;
    disk->wall_unix_ms = 1767225600000;
    disk->skew_ms = 0;
    disk->monotonic_ns = 1000000000;
}

void disk_power_cut(void)
{
    unlink_all_real();
    /* A file system that keeps its changes of names in order, or one that does not. */
    bool is_ordered = chance(2);
    uint64_t kept = random_below(&disk->random, disk->change_count + 1);
    for (uint32_t i = 0; i < disk->change_count; i++) {
        bool is_kept = is_ordered ? i < kept : chance(2);
        if (is_kept) names_apply(disk->durable_names, &disk->changes[i]);
    }
    disk->change_count = 0;
    names_drop_orphans(disk->durable_names);
    memcpy(disk->cached_names, disk->durable_names, sizeof disk->cached_names);
    files_sweep(false);
    for (int i = 0; i < FILES_MAX; i++) {
        if (disk->files[i].is_used) file_power_cut(&disk->files[i]);
    }
    files_sweep(true);
    /* The clock of a machine that boots: from zero, and near the right time, or a day off. */
    disk->monotonic_ns = 1000000000;
    disk->skew_ms = 0;
    if (chance(4)) disk->skew_ms = (int64_t)random_below(&disk->random, 172800000) - 86400000;
}

void disk_lose(const char *path)
{
    unlink_real(path);
    names_remove(disk->cached_names, path);
    names_remove(disk->durable_names, path);
    files_sweep(false);
}

const disk_file_t *disk_file(const char *path)
{
    const disk_name_t *name = names_find(disk->cached_names, path);
    return name == NULL || name->file == DISK_DIRECTORY ? NULL : &disk->files[name->file];
}

bool disk_is_durable(const char *path, uint64_t end)
{
    const disk_name_t *cached = names_find(disk->cached_names, path);
    const disk_name_t *durable = names_find(disk->durable_names, path);
    if (cached == NULL || durable == NULL || cached->file != durable->file) return false;
    char directory[NAME_BYTES_MAX];
    strcpy(directory, path);
    for (char *slash; (slash = strrchr(directory, '/')) != directory;) {
        *slash = 0;
        if (names_find(disk->durable_names, directory) == NULL) return false;
    }
    const disk_file_t *file = &disk->files[cached->file];
    return file->durable_bytes >= end && memcmp(file->cached, file->durable, end) == 0;
}

/* ---------------------------------------------------------------- the machine ------------- */

static int fake_make_directory(void *context, const char *path)
{
    (void)context;
    const char *name = inside(path);
    if (names_find(disk->cached_names, name) != NULL) return EEXIST;
    step();
    names_change("", name, DISK_DIRECTORY);
    step();
    return 0;
}

static int fake_open(void *context, const char *path, int mode, int64_t *file)
{
    (void)context;
    const char *name = inside(path);
    const disk_name_t *found = names_find(disk->cached_names, name);
    if (mode != FILE_CREATE) {
        if (found == NULL) return ENOENT;
        *file = found->file;
        return 0;
    }
    step();
    if (disk->is_full && chance(2)) return ENOSPC;
    int32_t made = file_new();
    names_change("", name, made);
    step();
    *file = made;
    return 0;
}

static void fake_close(void *context, int64_t file)
{
    (void)context;
    if (file < 0 || file >= FILES_MAX) broken("a file that is not open is closed");
}

static int fake_size(void *context, int64_t file, uint64_t *bytes)
{
    (void)context;
    *bytes = disk->files[file].cached_bytes;
    return 0;
}

static int fake_read_at(void *context, int64_t file, void *bytes, size_t size, uint64_t offset)
{
    (void)context;
    if (offset + size > disk->files[file].cached_bytes) return EIO;
    memcpy(bytes, disk->files[file].cached + offset, size);
    return 0;
}

/* True when a file would have to grow on a disk that is full. */
static bool has_no_room(const disk_file_t *file, uint64_t end)
{
    if (!disk->is_full || end <= file->cached_bytes) return false;
    disk->full_refusals++;
    return true;
}

static int fake_write_at(void *context, int64_t file, const void *bytes, size_t size,
                         uint64_t offset)
{
    (void)context;
    step();
    if (disk_journal_hook != NULL) disk_journal_hook();
    if (has_no_room(&disk->files[file], offset + size)) return ENOSPC;
    file_write(&disk->files[file], bytes, size, offset);
    step();
    return 0;
}

static int fake_sync(void *context, int64_t file)
{
    (void)context;
    if (disk_journal_hook != NULL) disk_journal_hook();
    return sync_or_fail(&disk->files[file]);
}

static int fake_sync_directory(void *context, const char *path)
{
    (void)context;
    const char *name = inside(path);
    step();
    uint32_t left = 0;
    for (uint32_t i = 0; i < disk->change_count; i++) {
        const name_change_t *change = &disk->changes[i];
        if (is_in(change->to[0] != 0 ? change->to : change->from, name)) {
            names_apply(disk->durable_names, change);
        } else {
            disk->changes[left++] = *change;
        }
    }
    disk->change_count = left;
    step();
    return 0;
}

static int fake_rename(void *context, const char *from, const char *to)
{
    (void)context;
    const disk_name_t *name = names_find(disk->cached_names, inside(from));
    if (name == NULL) return ENOENT;
    int32_t file = name->file;
    step();
    if (disk->files[file].is_mapped && rename(from, to) != 0) return errno;
    names_change(inside(from), inside(to), file);
    step();
    return 0;
}

static int fake_remove(void *context, const char *path)
{
    (void)context;
    const disk_name_t *name = names_find(disk->cached_names, inside(path));
    if (name == NULL) return ENOENT;
    int32_t file = name->file;
    step();
    if (file >= 0 && disk->files[file].is_mapped && unlink(path) != 0) return errno;
    names_change(inside(path), "", file);
    step();
    return 0;
}

static int fake_list(void *context, const char *path,
                     void (*each)(void *argument, const char *name), void *argument)
{
    (void)context;
    const char *directory = inside(path);
    for (int i = 0; i < NAMES_MAX; i++) {
        const char *name = disk->cached_names[i].path;
        if (name[0] != 0 && is_in(name, directory)) each(argument, strrchr(name, '/') + 1);
    }
    return 0;
}

static int64_t fake_wall_unix_ms(void *context)
{
    (void)context;
    disk->monotonic_ns += 500000;
    return disk->skew_ms + disk->wall_unix_ms++;
}

static int64_t fake_monotonic_ns(void *context)
{
    (void)context;
    disk->wall_unix_ms++;
    return disk->monotonic_ns += 500000;
}

static void fake_fatal(void *context, const char *what, int error)
{
    (void)context;
    (void)what;
    (void)error;
    _exit(disk->is_cut ? EXIT_POWER_CUT : EXIT_KILLED);
}

const machine_t *disk_machine(void)
{
    static const machine_t fake = {
        .make_directory = fake_make_directory,
        .open = fake_open,
        .close = fake_close,
        .size = fake_size,
        .read_at = fake_read_at,
        .write_at = fake_write_at,
        .sync = fake_sync,
        .sync_directory = fake_sync_directory,
        .rename = fake_rename,
        .remove = fake_remove,
        .list = fake_list,
        .wall_unix_ms = fake_wall_unix_ms,
        .monotonic_ns = fake_monotonic_ns,
        .fatal = fake_fatal,
    };
    return &fake;
}

/* ---------------------------------------------------------------- LMDB's files ------------ */

/* The fake file behind a descriptor of LMDB's, or NULL for any other descriptor. */
static disk_file_t *file_of(int descriptor)
{
    if (disk == NULL || descriptor < 0 || descriptor >= DESCRIPTORS_MAX) return NULL;
    int32_t file = mapped_file[descriptor];
    return file == 0 ? NULL : &disk->files[file - 1];
}

static bool is_environment(const char *path)
{
    if (disk == NULL || below(path) == NULL) return false;
    size_t length = strlen(path);
    return length < 5 || strcmp(path + length - 5, "-lock") != 0;
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    int mode = va_arg(arguments, int);
    va_end(arguments);
    bool is_fake = is_environment(path);
    if (is_fake && (flags & O_CREAT) != 0
        && names_find(disk->cached_names, below(path)) == NULL) {
        step();
        int32_t made = file_new();
        disk->files[made].is_mapped = true;
        names_change("", below(path), made);
    }
    int descriptor = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (descriptor < 0 || descriptor >= DESCRIPTORS_MAX) return descriptor;
    mapped_file[descriptor] = 0;
    if (is_fake) {
        mapped_file[descriptor] = names_find(disk->cached_names, below(path))->file + 1;
        is_synced_at_once[descriptor] = (flags & O_DSYNC) != 0;
    }
    return descriptor;
}

int close(int descriptor)
{
    if (descriptor >= 0 && descriptor < DESCRIPTORS_MAX) mapped_file[descriptor] = 0;
    return (int)syscall(SYS_close, descriptor);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t size, off_t offset)
{
    disk_file_t *file = file_of(descriptor);
    if (file == NULL) return syscall(SYS_pwrite64, descriptor, bytes, size, offset);
    step();
    if (has_no_room(file, (uint64_t)offset + size)) {
        errno = ENOSPC;
        return -1;
    }
    ssize_t written = syscall(SYS_pwrite64, descriptor, bytes, size, offset);
    if (written != (ssize_t)size) broken("the real file cannot be written");
    file_write(file, bytes, size, (uint64_t)offset);
    if (is_synced_at_once[descriptor]) file_sync(file);
    step();
    return written;
}

ssize_t writev(int descriptor, const struct iovec *parts, int count)
{
    if (file_of(descriptor) == NULL) return syscall(SYS_writev, descriptor, parts, count);
    ssize_t sum = 0;
    for (int i = 0; i < count; i++) {
        off_t offset = (off_t)syscall(SYS_lseek, descriptor, 0, SEEK_CUR);
        ssize_t written = pwrite(descriptor, parts[i].iov_base, parts[i].iov_len, offset);
        if (written < 0) return written;
        syscall(SYS_lseek, descriptor, written, SEEK_CUR);
        sum += written;
    }
    return sum;
}

int fdatasync(int descriptor)
{
    disk_file_t *file = file_of(descriptor);
    if (file == NULL) return (int)syscall(SYS_fdatasync, descriptor);
    if (disk_rest_hook != NULL) disk_rest_hook();
    errno = sync_or_fail(file);
    return errno == 0 ? 0 : -1;
}

int fsync(int descriptor)
{
    return fdatasync(descriptor);
}

/* The ledger rests between transactions of a checkpoint; here nobody sleeps. */
int nanosleep(const struct timespec *duration, struct timespec *left)
{
    (void)duration;
    (void)left;
    if (disk_rest_hook != NULL) disk_rest_hook();
    return 0;
}
