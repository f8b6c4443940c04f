/* The real machine: files by POSIX calls, the system's clocks, and an end that is at once. */
#include "machine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int real_make_directory(void *context, const char *path)
{
    (void)context;
    return mkdir(path, 0700) == 0 ? 0 : errno;
}

static int real_open(void *context, const char *path, int mode, int64_t *file)
{
    (void)context;
    int flags = O_CLOEXEC;
    if (mode == FILE_READ) flags |= O_RDONLY;
    if (mode == FILE_WRITE) flags |= O_RDWR;
    if (mode == FILE_CREATE) flags |= O_RDWR | O_CREAT | O_TRUNC;
    int descriptor = open(path, flags, 0600);
    if (descriptor < 0) return errno;
    *file = descriptor;
    return 0;
}

static void real_close(void *context, int64_t file)
{
    (void)context;
    close((int)file);
}

static int real_size(void *context, int64_t file, uint64_t *bytes)
{
    (void)context;
    struct stat status;
    if (fstat((int)file, &status) != 0) return errno;
    *bytes = (uint64_t)status.st_size;
    return 0;
}

static int real_read_at(void *context, int64_t file, void *bytes, size_t size, uint64_t offset)
{
    (void)context;
    uint8_t *at = bytes;
    while (size > 0) {
        ssize_t moved = pread((int)file, at, size, (off_t)offset);
        if (moved < 0 && errno == EINTR) continue;
        if (moved < 0) return errno;
        if (moved == 0) return EIO; /* the file is shorter than its size said */
        at += moved;
        size -= (size_t)moved;
        offset += (uint64_t)moved;
    }
    return 0;
}

static int real_write_at(void *context, int64_t file, const void *bytes, size_t size,
                         uint64_t offset)
{
    (void)context;
    const uint8_t *at = bytes;
    while (size > 0) {
        ssize_t moved = pwrite((int)file, at, size, (off_t)offset);
        if (moved < 0 && errno == EINTR) continue;
        if (moved < 0) return errno;
        at += moved;
        size -= (size_t)moved;
        offset += (uint64_t)moved;
    }
    return 0;
}

static int real_sync(void *context, int64_t file)
{
    (void)context;
    return fdatasync((int)file) == 0 ? 0 : errno;
}

static int real_sync_directory(void *context, const char *path)
{
    (void)context;
    int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0) return errno;
    int error = fsync(descriptor) == 0 ? 0 : errno;
    close(descriptor);
    return error;
}

static int real_rename(void *context, const char *from, const char *to)
{
    (void)context;
    return rename(from, to) == 0 ? 0 : errno;
}

static int real_remove(void *context, const char *path)
{
    (void)context;
    return unlink(path) == 0 ? 0 : errno;
}

static int real_list(void *context, const char *path,
                     void (*each)(void *argument, const char *name), void *argument)
{
    (void)context;
    DIR *directory = opendir(path);
    if (directory == NULL) return errno;
    errno = 0;
    for (struct dirent *name; (name = readdir(directory)) != NULL; errno = 0) {
        if (strcmp(name->d_name, ".") != 0 && strcmp(name->d_name, "..") != 0) {
            each(argument, name->d_name);
        }
    }
    int error = errno;
    closedir(directory);
    return error;
}

static int64_t real_wall_unix_ms(void *context)
{
    (void)context;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t real_monotonic_ns(void *context)
{
    (void)context;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void real_fatal(void *context, const char *what, int error)
{
    (void)context;
    fprintf(stderr, "checklane: %s: %s; ending, a new start reads what is on the disk\n", what,
            strerror(error));
    _exit(70);
}

const machine_t *machine_real(void)
{
    static const machine_t real = {
        .make_directory = real_make_directory,
        .open = real_open,
        .close = real_close,
        .size = real_size,
        .read_at = real_read_at,
        .write_at = real_write_at,
        .sync = real_sync,
        .sync_directory = real_sync_directory,
        .rename = real_rename,
        .remove = real_remove,
        .list = real_list,
        .wall_unix_ms = real_wall_unix_ms,
        .monotonic_ns = real_monotonic_ns,
        .fatal = real_fatal,
    };
    return &real;
}

status_t data_directory_lock(const char *data_directory, int *lock, fault_t *fault)
{
    char path[PATH_BYTES_MAX];
    int length = snprintf(path, sizeof path, "%s/LOCK", data_directory);
    if (length < 0 || (size_t)length >= sizeof path) {
        return fault_at(fault, STATUS_TEXT_TOO_LONG, "data directory");
    }
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0) return fault_at(fault, STATUS_IO_FAILED, "%s: %s", path, strerror(errno));
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        int error = errno;
        close(descriptor);
        status_t status = error == EWOULDBLOCK ? STATUS_DATA_DIRECTORY_BUSY : STATUS_IO_FAILED;
        return fault_at(fault, status, "%s", path);
    }
    *lock = descriptor;
    return STATUS_OK;
}

void data_directory_unlock(int lock)
{
    close(lock);
}

status_t status_of_error(int error)
{
    return error == ENOSPC || error == EDQUOT || error == EFBIG ? STATUS_DISK_FULL
                                                                : STATUS_IO_FAILED;
}

status_t fault_at(fault_t *fault, status_t status, const char *format, ...)
{
    fault->status = status;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fault->place, sizeof fault->place, format, arguments);
    va_end(arguments);
    return status;
}
