/* The ledger: the one writer. Any thread hands in a change; the writer checks that it is the
 * first of its key, lets it be prepared, appends, syncs once for the group, publishes, and only
 * then lets the answer go. ledger.c opens with the life of one group. */
#ifndef CHECKLANE_LEDGER_H
#define CHECKLANE_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "accounts.h"
#include "journal.h"
#include "layout.h"
#include "limits.h"
#include "machine.h"
#include "siphash.h"
#include "status.h"

typedef struct ledger ledger_t;
typedef struct ledger_reader ledger_reader_t;

/* Movements that `prepare` may fill: the ledger adds the key's and the receipt's binding. */
#define PREPARED_MOVEMENTS_MAX (MOVEMENTS_MAX - 2)

/* The entry that `prepare` fills, on the writer's thread. */
typedef struct entry_builder {
    /* Known before: what this entry will be if it is accepted. */
    uint64_t lsn;
    uint64_t position;
    int64_t post_unix_ms;
    uint64_t generation;
    /* To fill: kind; and what applies of flags, event_unix_ms, account_group, member,
     * business_date, own_date. Zeroed before. */
    uint16_t kind;
    uint16_t flags;
    int64_t event_unix_ms;
    uint64_t account_group;
    uint64_t member;
    int32_t business_date;
    int32_t own_date;
    /* The bytes stay the caller's and must live until `prepare` has returned: they are copied
     * right after. `request` is change_t.request unless prepare sets another. */
    const void *request;
    uint32_t request_bytes;
    const void *facts;
    uint32_t facts_bytes;
    const void *response;
    uint32_t response_bytes;
    /* The ledger's array of MOVEMENTS_MAX: append with entry_builder_move. */
    movement_t *movements;
    uint32_t movement_count;
} entry_builder_t;

/* Appends one movement. STATUS_RECORD_CEILING: PREPARED_MOVEMENTS_MAX are there already. */
static inline status_t entry_builder_move(entry_builder_t *entry, record_key_t record, cell_t cell,
                                          uint32_t op, uint32_t reason)
{
    if (entry->movement_count >= PREPARED_MOVEMENTS_MAX) return STATUS_RECORD_CEILING;
    movement_t movement = {.record = record, .cell = cell, .op = op, .reason = reason};
    entry->movements[entry->movement_count++] = movement;
    return STATUS_OK;
}

/* One change that waits for the writer. The caller owns it and everything it points to, and
 * leaves both alone from ledger_submit until it returns, or until `done` is called. */
typedef struct change {
    /* ---- filled by the caller; zero the rest ---- */
    uint32_t method;
    const void *request;
    uint32_t request_bytes;
    hash128_t key;        /* of (program, store, lane, method, idempotency key); 0, 0: none */
    hash128_t content;    /* canonical meaning of the request */
    hash128_t receipt;    /* identity that this change claims; 0, 0: none (void, enrol ...) */
    int64_t deadline_monotonic_ns; /* refused with STATUS_DEADLINE_PASSED when later; 0: none */
    bool is_rehearsal;    /* prepared and answered as any, never entered: no key, LSN 0 */
    /* Called on the writer's thread, at most once, after the key and the receipt were found to be
     * new. `view` shows all earlier entries of the open group; what it reads is valid until
     * prepare returns. Validates versions, decides again where one changed, fills `entry`.
     * Anything but STATUS_OK is the answer and leaves no entry. Must not wait. */
    status_t (*prepare)(void *context, const accounts_view_t *view, entry_builder_t *entry);
    void *context;
    /* ledger_post only: called on the writer's thread when the answer may leave. The change
     * belongs to the caller again as soon as it is called. Must not wait. */
    void (*done)(struct change *change);
    /* ---- filled by the ledger ---- */
    status_t status;
    bool is_repeat;       /* STATUS_OK, and the entry at `position` already answered this */
    uint64_t lsn;         /* of the new entry; 0 where is_repeat */
    uint64_t position;    /* of the entry whose response is the answer; 0 on refusal */
    int64_t post_unix_ms; /* of the new entry */
    /* ---- the ledger's own ---- */
    struct change *next;
    atomic_uint state;
} change_t;

typedef struct ledger_options {
    const char *data_directory; /* journal/ and accounts/ are made in it */
    const machine_t *machine;   /* NULL: the real one */
    uint64_t program_key;
    uint32_t node;
    uint16_t partition;         /* stands in every key */
    bool is_threadless;         /* no threads: ledger_run_group and ledger_run_helper instead */
    journal_options_t journal;  /* sizes and salt; the rest is filled from above */
    accounts_options_t accounts; /* sizes and pace */
    uint32_t group_entries_max; /* 0: GROUP_ENTRIES_MAX */
    uint32_t queue_changes_max; /* 0: QUEUE_CHANGES_MAX */
    uint32_t retention_days;    /* of keys and receipts; 0: RETENTION_DAYS */
} ledger_options_t;

/* Opens journal and accounts, replays what the accounts do not cover, starts the writer and the
 * helper (signals blocked). When it returns STATUS_OK everything readable is durable. The caller
 * holds the data directory's lock (machine.h). Refusals: journal_open's and accounts_open's, with
 * the place; STATUS_JOURNAL_DAMAGED also when the accounts cover what the journal no longer has.
 * An absent accounts directory is rebuilt from the journal. */
status_t ledger_open(const ledger_options_t *options, ledger_t **ledger, fault_t *fault);

/* Refuses new changes with STATUS_ENGINE_CLOSED, answers those that wait, joins the threads;
 * `is_checkpointed` writes all accounts to LMDB first, so that the next start replays nothing.
 * All readers are closed and no other call is running or comes after. */
void ledger_close(ledger_t *ledger, bool is_checkpointed);

/* ---- changes: any thread ---- */

/* Hands in a change and waits for its durable answer; returns change->status. On a repeat read
 * the first answer with ledger_read(reader, change->position). STATUS_KEY_REUSED,
 * STATUS_RECEIPT_REUSED, STATUS_QUEUE_FULL, STATUS_DISK_FULL, STATUS_MEMTABLE_FULL,
 * STATUS_RECORD_CEILING, STATUS_REPLY_TOO_LARGE (entry above ENTRY_BYTES_MAX),
 * STATUS_DEADLINE_PASSED, STATUS_ENGINE_CLOSED, and what prepare answers. */
status_t ledger_submit(ledger_t *ledger, change_t *change);

/* The same without waiting: STATUS_OK means that `done` will be called, exactly once. */
status_t ledger_post(ledger_t *ledger, change_t *change);

/* The 'once' check alone, on durable state: STATUS_OK with *position of the entry that answered
 * the same content before, or 0 when neither key nor receipt is known; STATUS_KEY_REUSED or
 * STATUS_RECEIPT_REUSED. Lets a caller answer a repeat without deciding or waiting; the writer
 * checks again. */
status_t ledger_find_once(const ledger_t *ledger, const accounts_view_t *view,
                          const change_t *change, uint64_t *position);

/* ---- readers: any thread, one reader each ---- */

/* A reader of accounts and journal together. STATUS_TOO_MANY_ITEMS, STATUS_OUT_OF_MEMORY. */
status_t ledger_reader_open(ledger_t *ledger, ledger_reader_t **reader);
void ledger_reader_close(ledger_reader_t *reader);

/* accounts_pin and accounts_unpin of the reader's slot; read with accounts_read(view, key). Unpin
 * before ledger_submit: what a change waits for may itself wait for views to end. */
const accounts_view_t *ledger_pin(ledger_reader_t *reader);
void ledger_unpin(ledger_reader_t *reader);
/* accounts_leave and accounts_rest. */
void ledger_leave(ledger_reader_t *reader);
void ledger_rest(ledger_reader_t *reader);

/* journal_read, journal_seek and journal_next of the reader. */
status_t ledger_read(ledger_reader_t *reader, uint64_t position, entry_t *entry);
status_t ledger_seek(ledger_reader_t *reader, uint64_t lsn);
status_t ledger_next(ledger_reader_t *reader, entry_t *entry);

/* ---- running ---- */

/* Freezes at the next group boundary (an idle writer makes one) and returns when everything that
 * was durable at the call is covered, or STATUS_DISK_FULL, STATUS_ENGINE_CLOSED. */
status_t ledger_checkpoint(ledger_t *ledger);

/* Threadless only: one group of what waits, with its answers; true when there was something. */
bool ledger_run_group(ledger_t *ledger);
/* Threadless only: prepares a segment if one is wanted and checkpoints what is frozen. */
status_t ledger_run_helper(ledger_t *ledger);

/* Sync times fall in buckets: bucket n counts those below 2^n microseconds, the last the rest. */
#define SYNC_BUCKETS 24

/* Groups by size: bucket n counts those of at most 2^n entries that are in no bucket before. */
#define GROUP_BUCKETS 10
_Static_assert(1 << (GROUP_BUCKETS - 1) == GROUP_ENTRIES_MAX, "the last holds the largest");

typedef struct ledger_metrics {
    uint64_t entries;          /* appended since open */
    uint64_t groups;
    uint64_t repeats;          /* changes answered by an earlier entry */
    uint64_t refused;          /* changes that left no entry and are no repeats */
    uint64_t redecisions;      /* counted by prepare: ledger_count_redecision */
    uint64_t bytes;            /* written to the journal */
    uint64_t queue_depth;
    uint64_t durable_lsn;
    uint64_t first_lsn;
    uint64_t generation;
    uint64_t recovered_entries; /* replayed at open */
    uint64_t sync_ns;          /* sum over groups */
    uint64_t sync_buckets[SYNC_BUCKETS];
    uint64_t group_buckets[GROUP_BUCKETS];
    uint64_t checkpoint_ns;     /* spent in checkpoints, failed ones among them */
    uint64_t failed_checkpoints;
    accounts_metrics_t accounts;
} ledger_metrics_t;

void ledger_measure(ledger_t *ledger, ledger_metrics_t *metrics);

/* For tools, and recovery itself: applies one entry to accounts between accounts_replay_begin and
 * accounts_replay_end, writing them out when their memtable is full. *replayed is the entry before,
 * then this one. `salt` is the journal's. STATUS_JOURNAL_DAMAGED: it cannot be applied. */
status_t ledger_replay_entry(accounts_t *accounts, const entry_t *entry, uint64_t salt,
                             covered_t *replayed);

/* The post time that a change would have now, by which things end: for readers, who may be a moment
 * behind the writer. Never goes back by more than that. Any thread. */
int64_t ledger_post_unix_ms(const ledger_t *ledger);

/* For prepare: this change was decided again by the writer. */
void ledger_count_redecision(ledger_t *ledger);

#endif
