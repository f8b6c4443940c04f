/* Drives the ledger from inside, for measuring: sales that were decided before are posted again
 * under keys, receipts and accounts of their own. Nothing that serves calls uses it. */
#ifndef CHECKLANE_DRIVE_H
#define CHECKLANE_DRIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ledger.h"
#include "machine.h"
#include "status.h"

typedef struct drive drive_t;

typedef struct drive_options {
    const char *data_directory; /* that no engine has open */
    uint64_t program_key;       /* of its journal; so are the next two */
    uint32_t node;
    uint16_t partition;
    uint32_t checkpoint_pause_ms; /* 0: the default */
    const uint8_t *entries;     /* whole entries of sales, one behind the other, 16-byte aligned;
                                 * the caller's until drive_close */
    size_t entries_bytes;
    uint64_t accounts;          /* that take turns by chance */
    uint64_t seed;
} drive_options_t;

typedef struct drive_plan {
    uint32_t in_flight;   /* sales under way at once, at most DRIVE_IN_FLIGHT_MAX */
    double per_second;    /* 0: closed loop, the next leaves when one was answered; else open */
    int64_t duration_ns;
} drive_plan_t;

#define DRIVE_IN_FLIGHT_MAX 4096

typedef struct drive_result {
    uint64_t count;        /* answered as durable */
    uint64_t refused;
    uint32_t first_status; /* of the refused */
    int64_t elapsed_ns;    /* from the first post to the last answer */
} drive_result_t;

/* Opens the ledger of a data directory, recovering what is there. */
status_t drive_open(const drive_options_t *options, drive_t **drive, fault_t *fault);

/* Posts sales for a while. times_ns[0 .. result->count) gets what each took, while there is room
 * for `most`: in a closed loop from its post, in an open one from the moment when it was due. */
void drive_run(drive_t *drive, const drive_plan_t *plan, uint32_t *times_ns, size_t most,
               drive_result_t *result);

void drive_measure(drive_t *drive, ledger_metrics_t *metrics);

/* Closes the ledger, with a checkpoint if asked for. */
void drive_close(drive_t *drive, bool is_checkpointed);

/* Appends sales to a journal that nobody has open, as a process does that never comes to a
 * checkpoint and is killed at the end: the accounts are not touched. */
status_t drive_fill(const drive_options_t *options, uint64_t count, fault_t *fault);

#endif
