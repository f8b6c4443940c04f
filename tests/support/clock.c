/* Stands before the wall clock of a process: LD_PRELOAD it and name a file in WALL_CLOCK (see
 * wall_clock.py). The monotonic clock runs on as it is. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Milliseconds that are added, and the time where the clock stands; 0: it runs. */
typedef struct {
    _Atomic int64_t offset_ms;
    _Atomic int64_t stands_unix_ms;
} wall_clock_t;

static const wall_clock_t *wall_clock;

__attribute__((constructor)) static void find_clock(void)
{
    const char *path = getenv("WALL_CLOCK");
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) abort();
    void *mapped = mmap(NULL, sizeof *wall_clock, PROT_READ, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) abort();
    wall_clock = mapped;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    long status = syscall(SYS_clock_gettime, clock, now);
    if (status != 0 || clock != CLOCK_REALTIME || wall_clock == NULL) return (int)status;
    int64_t stands_ms = wall_clock->stands_unix_ms;
    now->tv_sec += wall_clock->offset_ms / 1000;
    if (stands_ms != 0) {
        *now = (struct timespec){stands_ms / 1000, stands_ms % 1000 * 1000000};
    }
    return 0;
}
