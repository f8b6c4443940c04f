/* Looks at a journal and the accounts derived from it from outside: what `checklane ledger` asks.
 * It writes only into the scratch directory that it is given. A server may be running. */
#ifndef CHECKLANE_AUDIT_H
#define CHECKLANE_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "accounts.h"
#include "journal.h"
#include "layout.h"
#include "machine.h"
#include "status.h"

typedef struct audit audit_t;

#define AUDIT_DIFFERENCE_BYTES 400

typedef struct audit_options {
    const char *journal_directory;
    const char *accounts_directory; /* held against what the journal says; NULL: none */
    const char *scratch_directory;  /* exists; the accounts are rebuilt in it. NULL: no rebuilding.
                                     * What it holds already is where the rebuilding begins. */
    covered_t from;                 /* the walk begins at this entry, which must be there as it was;
                                     * lsn 0: at the first. Not with a scratch directory. */
    uint64_t segment_bytes;         /* 0: the default sizes */
    uint64_t entry_bytes_max;
    uint64_t group_bytes_max;
    uint32_t retention_days;
} audit_options_t;

typedef struct audit_report {
    uint64_t program_key;
    uint64_t salt;
    uint32_t node;
    uint32_t partition;
    uint64_t first_lsn;    /* of the journal that is there */
    uint64_t first_segment;
    uint64_t last_lsn;
    uint64_t last_position;
    uint64_t end_position; /* behind the last entry */
    uint32_t last_crc;
    uint64_t begun_lsn;    /* what the scratch directory covered before */
    uint64_t replayed_lsn;
    uint64_t covered_lsn;  /* of the accounts that are compared; 0: they hold nothing yet */
    bool is_compared;
    bool is_done;
    uint64_t records;      /* compared */
    uint64_t records_ahead; /* not compared: a checkpoint had begun on them */
    uint64_t differences;
    char difference[AUDIT_DIFFERENCE_BYTES]; /* the first, in words; empty: none */
} audit_report_t;

/* Walks the chain of the whole journal, or from an entry that was walked to before, then stands
 * before the first entry to replay.
 * STATUS_JOURNAL_DAMAGED names the place; STATUS_FORMAT_UNSUPPORTED, STATUS_IO_FAILED. A broken
 * environment of the accounts may end the process: call from one that can be spared. */
status_t audit_open(const audit_options_t *options, audit_t **audit, fault_t *fault);
void audit_close(audit_t *audit);

/* Replays up to so many entries, and compares when it has come to what the accounts cover. */
status_t audit_step(audit_t *audit, uint64_t entries, fault_t *fault);

/* After the last step: writes the rebuilt accounts into the scratch directory, synced. */
status_t audit_finish(audit_t *audit, fault_t *fault);

void audit_tell(const audit_t *audit, audit_report_t *report);

/* A reader of the journal; valid until audit_close. */
journal_reader_t *audit_reader(audit_t *audit);

#endif
