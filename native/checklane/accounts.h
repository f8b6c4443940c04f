/* Accounts: key -> record, derived from the journal. Active memtable over frozen memtable over
 * LMDB. One thread, the writer, changes them; any thread reads through a reader slot of its own
 * without a lock; one helper thread checkpoints. accounts.c opens with the argument. */
#ifndef CHECKLANE_ACCOUNTS_H
#define CHECKLANE_ACCOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "limits.h"
#include "machine.h"
#include "status.h"

typedef struct accounts accounts_t;
typedef struct accounts_reader accounts_reader_t;
typedef struct accounts_view accounts_view_t;

/* Reader slots: a session each, and the writer, the tools and tests. */
#define READERS_MAX (SESSIONS_MAX + 16)

/* A record. `head` is never NULL: a record that is not there has applied_lsn 0 and no cells.
 * head->applied_lsn is the record's version: it rises with every entry that touches the record.
 * (A record whose last cell went may fall back to 0 later: both say "empty".) */
typedef struct record {
    const record_head_t *head;
    const cell_t *cells;
} record_t;

static inline record_key_t record_key(uint8_t family, uint16_t partition, uint64_t hi,
                                      uint64_t lo)
{
    record_key_t key = {.family = family, .partition = partition, .hi = hi, .lo = lo};
    return key;
}

/* Order of cells within a record: (kind, sub, day, key). Negative, 0, positive. Pure. */
static inline int cell_compare(const cell_t *left, const cell_t *right)
{
    if (left->kind != right->kind) return left->kind < right->kind ? -1 : 1;
    if (left->sub != right->sub) return left->sub < right->sub ? -1 : 1;
    if (left->day != right->day) return left->day < right->day ? -1 : 1;
    if (left->key != right->key) return left->key < right->key ? -1 : 1;
    return 0;
}

/* Index of the first cell that is not before `wanted`; cell_count when there is none. Pure. */
static inline uint32_t record_lower_bound(record_t record, const cell_t *wanted)
{
    uint32_t low = 0;
    uint32_t high = record.head->cell_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (cell_compare(&record.cells[middle], wanted) < 0) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* The cell with exactly this (kind, sub, day, key), or NULL. Pure. */
static inline const cell_t *record_find(record_t record, uint8_t kind, uint8_t sub, int32_t day,
                                        uint64_t key)
{
    cell_t wanted = {.kind = kind, .sub = sub, .day = day, .key = key};
    uint32_t at = record_lower_bound(record, &wanted);
    if (at == record.head->cell_count) return NULL;
    return cell_compare(&record.cells[at], &wanted) == 0 ? &record.cells[at] : NULL;
}

/* Index of the first cell of `kind`; iterate while cells[i].kind == kind. Pure. */
static inline uint32_t record_first(record_t record, uint8_t kind)
{
    cell_t wanted = {.kind = kind, .sub = 0, .day = INT32_MIN, .key = 0};
    return record_lower_bound(record, &wanted);
}

/* Zeros stand for the defaults of limits.h and the real machine. */
typedef struct accounts_options {
    const char *directory;       /* made when missing; its parent must exist */
    const machine_t *machine;
    uint64_t map_bytes;
    uint64_t memtable_bytes;
    uint32_t memtable_slots;     /* a power of two */
    uint32_t checkpoint_records; /* in one transaction; 250 by default */
    uint32_t checkpoint_pause_ms; /* between two; 5 by default */
    uint32_t retention_days;     /* of keys and receipts, at most RETENTION_DAYS_MAX */
    uint32_t run_records;        /* after which a run of keys or receipts is closed */
    uint32_t index_words;        /* of the smallest run index, a power of two; 64 Ki by default */
    bool is_read_only;           /* for tools: nothing is made or written, and the environment may
                                  * be another process's */
} accounts_options_t;

#define CHECKPOINT_RECORDS_DEFAULT 250
#define CHECKPOINT_PAUSE_MS_DEFAULT 5
#define INDEX_WORDS_DEFAULT (64 * 1024)

/* Opens DIRECTORY/accounts.lmdb, made when missing. STATUS_FORMAT_UNSUPPORTED: another format.
 * STATUS_IO_FAILED, STATUS_DISK_FULL, STATUS_OUT_OF_MEMORY. Start-up only. */
status_t accounts_open(const accounts_options_t *options, accounts_t **accounts, fault_t *fault);

/* No reader may be open any more. Forgets what was not checkpointed: the journal has it. */
void accounts_close(accounts_t *accounts);

/* What the environment holds; lsn 0: nothing. Any thread. */
covered_t accounts_covered(accounts_t *accounts);

/* ---- readers ---- */

/* Claims a reader slot. STATUS_TOO_MANY_ITEMS: all READERS_MAX are taken. Takes a lock; not for
 * the hot path. One thread at a time uses a reader. */
status_t accounts_reader_open(accounts_t *accounts, accounts_reader_t **reader);
void accounts_reader_close(accounts_reader_t *reader);

/* Pins a view: what accounts_read gives stays valid until accounts_unpin. Not nested. Never
 * waits, whatever the writer and the checkpoint do. Unpin soon: a pinned view keeps a retired
 * memtable (256 MiB) and its LMDB pages alive. Cost: two atomic operations; the LMDB transaction
 * is renewed only when a read comes down to it. */
const accounts_view_t *accounts_pin(accounts_reader_t *reader);
void accounts_unpin(accounts_reader_t *reader);

/* As accounts_unpin, but the LMDB transaction stays for the next view, unless a memtable has been
 * retired by then: renewing it, and finding the roots of the tables anew, costs more than the few
 * reads of a quote. For who has more to read at once; accounts_rest lets go of it, before anything
 * that may wait, since LMDB's old pages are kept that long. */
void accounts_leave(accounts_reader_t *reader);
void accounts_rest(accounts_reader_t *reader);

/* The record of a key in this view. Durable state only, except in the writer's own view, which
 * also has the open group. Two reads of one view may see two versions: a view keeps memory alive,
 * it does not stop time; the writer checks versions (head->applied_lsn). The LMDB page may have
 * to come from the disk. */
record_t accounts_read(const accounts_view_t *view, record_key_t key);

/* Calls `each` for every record that has cells, in memcmp order of (family, key). Not for the hot
 * path: allocates, and copies pointers of both memtables. Concurrent groups may or may not be
 * seen; the open group never is. */
status_t accounts_each(const accounts_view_t *view,
                       void (*each)(void *context, const record_key_t *key, record_t record),
                       void *context);

/* The same for one family, without touching what the environment has of the others. */
status_t accounts_each_of(const accounts_view_t *view, uint8_t family,
                          void (*each)(void *context, const record_key_t *key, record_t record),
                          void *context);

/* What the environment of this view covers: the same transaction that reads its records. */
covered_t accounts_view_covered(const accounts_view_t *view);

/* Builds the run index from the view's transaction, for who reads many records of a read-only
 * opening. The one thread that reads there. As accounts_prepare_index. */
status_t accounts_index_view(const accounts_view_t *view);

/* ---- the writer ---- */

/* Pins the writer's view and empties the open group. */
void accounts_group_begin(accounts_t *accounts);

/* The writer's view: the open group over everything. Valid until the group is published. */
const accounts_view_t *accounts_writer_view(accounts_t *accounts);

/* Applies one entry's movements to the open group: all or nothing. A movement on a record that
 * has seen this LSN already (before this entry) changes nothing. STATUS_RECORD_CEILING: a record
 * would exceed RECORD_CELLS_MAX, or an amount 63 bits. STATUS_MEMTABLE_FULL: no room until the
 * checkpoint is done. */
status_t accounts_apply(accounts_t *accounts, uint64_t lsn, const movement_t *movements,
                        uint32_t movement_count);

/* Room in the open group for one more entry of MOVEMENTS_MAX movements. */
bool accounts_group_has_room(const accounts_t *accounts);

/* Makes the open group's records visible to all readers. Called after the sync; cannot fail. */
void accounts_group_publish(accounts_t *accounts);

/* True when the active memtable is half full and no frozen one is left. */
bool accounts_wants_freeze(const accounts_t *accounts);

/* Makes the active memtable the frozen one, to be covered up to `covered`. Between groups only;
 * false when a frozen one is left (nothing happened) or memory is short. */
bool accounts_freeze(accounts_t *accounts, covered_t covered);

/* ---- time: the writer ---- */

/* Post time has come to this; it never goes back. Records of keys and receipts that are made from
 * here on belong to its month. Those made more than the retention ago are not there any more for
 * anybody, and the next checkpoint drops their months. A record is visible for the retention in
 * months of 28 days, rounded up, after the month in which it was made. */
void accounts_advance(accounts_t *accounts, int64_t post_unix_ms);

/* ---- replay: at start, while no reader is open ---- */

/* Begins, or goes on after a checkpoint. `journal_bytes`: about how much there is to replay; for
 * much of it the first memtable is made larger, if there is memory. */
void accounts_replay_begin(accounts_t *accounts, uint64_t journal_bytes);

/* Applies one entry of the journal as accounts_apply does and publishes it at once.
 * STATUS_MEMTABLE_FULL: nothing has changed; end, freeze, checkpoint, begin and call again.
 * STATUS_RECORD_CEILING: the entry is not what was written. Cost: some 0.4 us for eight movements
 * on records that are in the memtable. */
status_t accounts_replay(accounts_t *accounts, uint64_t lsn, int64_t post_unix_ms,
                         const movement_t *movements, uint32_t count);
void accounts_replay_end(accounts_t *accounts);

/* Fetches memory for an entry that accounts_replay will be called with soon: first where its
 * records are named, then, nearer to it, the records. Changes nothing. The replaying thread. */
void accounts_replay_ahead(const accounts_t *accounts, const movement_t *movements, uint32_t count,
                           bool is_near);

/* Takes a few more pages of a replay's memtable from the system before they are needed; false when
 * there are enough for now. Any one thread, or several, while the replay goes on. */
bool accounts_replay_spare(accounts_t *accounts);

/* ---- the checkpointer ---- */

/* Builds the index that tells in which runs a key or receipt may be, unless it is there and has
 * room for `more` records. Until then a look-up of an unknown one goes through all runs. Reads all
 * keys of the environment: about a second for ten million. STATUS_IO_FAILED: the environment. */
status_t accounts_prepare_index(accounts_t *accounts, uint64_t more);

bool accounts_has_frozen(const accounts_t *accounts);

/* What the checkpoint does between two transactions. */
typedef enum pace {
    PACE_PAUSE, /* rests for checkpoint_pause_ms, less when it lags behind the active memtable */
    PACE_HURRY, /* goes on at once */
    PACE_STOP,  /* gives up; nothing is lost, the next call begins again */
} pace_t;

/* Writes the frozen memtable to LMDB in small transactions, then the covered LSN in a synced one,
 * then retires the memtable once every reader has moved on. `between` is called between
 * transactions, and while views are waited for; NULL: PACE_HURRY throughout. STATUS_OK also when
 * nothing is frozen. STATUS_DISK_FULL: no room in the map or on the disk; the memtable stays, call
 * again.
 * STATUS_ENGINE_CLOSED: stopped. One thread at a time. Any other failure of the environment does
 * not return (machine_t.fatal). */
status_t accounts_checkpoint(accounts_t *accounts, pace_t (*between)(void *context),
                             void *context);

/* ---- figures: any thread ---- */

/* What moves points into lots or out of them; a debt counts as points taken. What came in, less
 * what went out, is by how much the points that a purse owes have changed. Moves between two lots
 * of one purse count as adjusted, both ways. */
#define POINTS_FLOW_LIST(FLOW)                 \
    FLOW(EARNED, 0, "earned")                  \
    FLOW(GOAL, 1, "goal")                      \
    FLOW(GIVEN_BACK, 2, "given_back")          \
    FLOW(ADJUSTED_IN, 3, "adjusted_in")        \
    FLOW(BURNED, 4, "burned")                  \
    FLOW(CLAWED_BACK, 5, "clawed_back")        \
    FLOW(EXPIRED, 6, "expired")                \
    FLOW(ADJUSTED_OUT, 7, "adjusted_out")

typedef enum points_flow {
#define POINTS_FLOW_ENUM(name, number, text) POINTS_##name = number,
    POINTS_FLOW_LIST(POINTS_FLOW_ENUM)
#undef POINTS_FLOW_ENUM
} points_flow_t;

#define POINTS_FLOWS 8

/* Name of a flow; NULL for a number without one. */
static inline const char *points_flow_name(uint32_t flow)
{
    switch (flow) {
#define POINTS_FLOW_NAME(name, number, text) case number: return text;
        POINTS_FLOW_LIST(POINTS_FLOW_NAME)
#undef POINTS_FLOW_NAME
    default: return NULL;
    }
}

typedef struct accounts_metrics {
    uint64_t memtable_bytes;    /* used in the active memtable */
    uint64_t memtable_records;
    uint64_t frozen_bytes;
    uint64_t frozen_records;
    uint64_t index_bytes;       /* of the run index, and of the one that it replaced */
    uint64_t checkpoints;       /* finished */
    uint64_t checkpoint_records; /* written in all */
    uint64_t covered_lsn;
    /* By flow and purse, in the purse's smallest units: what entries since open have moved. */
    uint64_t points[POINTS_FLOWS][PURSES_MAX + 1];
    /* By purse: what all lots hold less all debts, whoever wrote them and when. */
    int64_t owed_points[PURSES_MAX + 1];
} accounts_metrics_t;

void accounts_measure(accounts_t *accounts, accounts_metrics_t *metrics);

#endif
