/* The life of one group, and why the answer waits for the sync.
 *
 * Changes come from any thread and wait in a queue. The writer, one thread, takes all that wait
 * and makes them a group. For each change in turn it asks:
 *
 *   1. Is the key, or the receipt, known: in the open group, in the memtables, in LMDB? The same
 *      content again is answered with the first entry's response; other content is refused. This
 *      comes before everything else, so that a repeat gets its answer on a full disk too, and two
 *      twins in one group do not both pass.
 *   2. Is there room on the disk, and time left?
 *   3. `prepare` checks the versions that the decision read, decides again where one changed, and
 *      fills the entry. It sees every earlier entry of this group.
 *   4. The movements are applied to the open group, all or none, within every ceiling. Only then
 *      is the entry appended: an entry in the journal is never one that cannot be applied.
 *
 * Then the group is written at once and synced at once. The answer waits for that sync because the
 * till prints a receipt on it: what was answered must be there after a power cut. Everything else
 * waits for it too. The group's effects become visible to readers after the sync, so no quote
 * promises points that a crash takes back; refusals leave with the group, so none tells of a sale
 * that is not there yet; and a twin gets its original's answer when the original may leave. The
 * sync costs the same for one entry and for five hundred: under load the group is as large as what
 * came in during the last sync, and nobody tunes a delay.
 *
 * If the write or the sync fails the process ends (machine_t.fatal): it is not known what is on
 * the disk, and only a new start, which reads and rewrites it, finds out.
 *
 * Who owns what. A change is its caller's until it is pushed, the writer's from then until its
 * answer, the caller's again after. The push is a compare-exchange (release) on the top of the
 * stack and the writer takes the whole stack with one exchange (acquire); the answer is an exchange
 * (release) on change->state, or the call of `done`. Journal and accounts name their own owners:
 * the writer appends, applies, publishes and freezes; the helper prepares segments and writes
 * checkpoints. The two wake each other by `bell` and `helper_bell` and share nothing else. */
#include "ledger.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "invariant.h"

/* States of a change. */
#define CHANGE_WAITS 0
#define CHANGE_SLEEPS 1 /* its thread has gone to sleep on it */
#define CHANGE_DONE 2

#define DAY_MS 86400000
#define HELPER_RETRY_MS 1000
/* The longest that Linux gives. */
#define HELPER_SLICE_NS 100000000

/* A counter to sleep on: whoever rings raises it, so a ring between the look and the sleep is
 * never lost. */
typedef struct bell {
    atomic_uint rings;
    atomic_uint sleepers;
} bell_t;

struct ledger {
    ledger_options_t options;
    const machine_t *machine;
    journal_t *journal;
    accounts_t *accounts;
    /* The queue: a stack of what was pushed since the writer last looked. */
    _Alignas(64) _Atomic(change_t *) stack;
    atomic_uint depth;
    atomic_bool is_closing;
    bell_t bell;
    /* The writer's: changes taken and not yet looked at, and those of the open group. */
    _Alignas(64) change_t *pending_first;
    change_t *pending_last;
    change_t *answered_first;
    change_t *answered_last;
    movement_t *movements;
    uint32_t group_entries;
    /* The helper. */
    bell_t helper_bell;
    bell_t checkpoint_bell; /* rung when a checkpoint ended, well or not */
    atomic_bool is_helper_stopped;
    atomic_bool is_freeze_wanted;
    atomic_uint hurried; /* callers of ledger_checkpoint that wait */
    atomic_uint failed_checkpoints;
    pthread_t writer;
    pthread_t helper;
    bool has_writer;
    bool has_helper;
    /* Figures, for whoever asks. */
    _Atomic int64_t post_unix_ms; /* the latest that was told to a change */
    _Atomic uint64_t entries;
    _Atomic uint64_t groups;
    _Atomic uint64_t repeats;
    _Atomic uint64_t refused;
    _Atomic uint64_t redecisions;
    _Atomic uint64_t bytes;
    _Atomic uint64_t recovered_entries;
    _Atomic uint64_t sync_ns;
    _Atomic uint64_t sync_buckets[SYNC_BUCKETS];
    _Atomic uint64_t group_buckets[GROUP_BUCKETS];
    _Atomic uint64_t checkpoint_ns;
};

struct ledger_reader {
    accounts_reader_t *accounts;
    journal_reader_t *journal;
};

/* ---------------------------------------------------------------- sleeping and waking ----- */

static void futex_wait(atomic_uint *word, unsigned value, const struct timespec *duration)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, duration, NULL, 0);
}

static void futex_wake(atomic_uint *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static void bell_ring(bell_t *bell)
{
    atomic_fetch_add(&bell->rings, 1);
    if (atomic_load(&bell->sleepers) > 0) futex_wake(&bell->rings);
}

/* Sleeps until the bell has rung since `seen`, or for so long; 0: for any time. May wake early. */
static void bell_wait(bell_t *bell, unsigned seen, uint32_t most_ms)
{
    struct timespec duration = {most_ms / 1000, (long)(most_ms % 1000) * 1000000};
    atomic_fetch_add(&bell->sleepers, 1);
    futex_wait(&bell->rings, seen, most_ms == 0 ? NULL : &duration);
    atomic_fetch_sub(&bell->sleepers, 1);
}

/* ---------------------------------------------------------------- the queue --------------- */

/* Pushes a change, or says why not. */
static status_t queue_push(ledger_t *ledger, change_t *change)
{
    /* The depth is raised before `is_closing` is read, and the writer ends when it reads a depth
     * of 0 after `is_closing`: so a change that passes here is always answered. */
    unsigned depth = atomic_fetch_add(&ledger->depth, 1);
    status_t status = STATUS_OK;
    if (atomic_load(&ledger->is_closing)) status = STATUS_ENGINE_CLOSED;
    else if (depth >= ledger->options.queue_changes_max) status = STATUS_QUEUE_FULL;
    if (status != STATUS_OK) {
        atomic_fetch_sub(&ledger->depth, 1);
        return status;
    }
    change->status = STATUS_OK;
    change->is_repeat = false;
    change->lsn = 0;
    change->position = 0;
    change->post_unix_ms = 0;
    atomic_store_explicit(&change->state, CHANGE_WAITS, memory_order_relaxed);
    change_t *top = atomic_load_explicit(&ledger->stack, memory_order_relaxed);
    do change->next = top;
    while (!atomic_compare_exchange_weak_explicit(&ledger->stack, &top, change,
                                                  memory_order_release, memory_order_relaxed));
    bell_ring(&ledger->bell);
    return STATUS_OK;
}

/* Takes what was pushed behind what is pending, oldest first. */
static void queue_take(ledger_t *ledger)
{
    change_t *newest = atomic_exchange_explicit(&ledger->stack, NULL, memory_order_acquire);
    change_t *oldest = NULL;
    change_t *last = newest;
    while (newest != NULL) {
        change_t *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    if (oldest == NULL) return;
    if (ledger->pending_first == NULL) ledger->pending_first = oldest;
    else ledger->pending_last->next = oldest;
    ledger->pending_last = last;
}

status_t ledger_submit(ledger_t *ledger, change_t *change)
{
    INVARIANT(!ledger->options.is_threadless);
    change->done = NULL;
    status_t status = queue_push(ledger, change);
    if (status != STATUS_OK) {
        change->status = status;
        return status;
    }
    unsigned state = CHANGE_WAITS;
    atomic_compare_exchange_strong(&change->state, &state, CHANGE_SLEEPS);
    while (atomic_load_explicit(&change->state, memory_order_acquire) != CHANGE_DONE) {
        futex_wait(&change->state, CHANGE_SLEEPS, NULL);
    }
    return change->status;
}

status_t ledger_post(ledger_t *ledger, change_t *change)
{
    INVARIANT(change->done != NULL);
    return queue_push(ledger, change);
}

/* Gives a change back to its caller. Nothing of it may be touched afterwards. */
static void answer(change_t *change)
{
    if (change->done != NULL) {
        change->done(change);
        return;
    }
    /* The caller may be gone as soon as the state says so: the wake names an address and does not
     * look at what is there. */
    unsigned before = atomic_exchange_explicit(&change->state, CHANGE_DONE, memory_order_acq_rel);
    if (before == CHANGE_SLEEPS) futex_wake(&change->state);
}

/* ---------------------------------------------------------------- once -------------------- */

static bool hash_is_set(hash128_t hash)
{
    return (hash.hi | hash.lo) != 0;
}

/* What a key or receipt is bound to: *position 0 when to nothing; `reused` on other content.
 * *is_known: there is a record of it, bound or not (a void that came before its sale). */
static status_t find_binding(const accounts_view_t *view, record_key_t key, hash128_t content,
                             status_t reused, uint64_t *position, bool *is_known)
{
    record_t record = accounts_read(view, key);
    *is_known = record.head->cell_count > 0;
    uint32_t at = record_first(record, CELL_ENTRY);
    *position = 0;
    if (at == record.head->cell_count) return STATUS_OK;
    const cell_t *cell = &record.cells[at];
    if (cell->kind != CELL_ENTRY) return STATUS_OK;
    if (cell->key != content.hi) return reused;
    if ((uint64_t)cell->other != content.lo) return reused;
    *position = (uint64_t)cell->value;
    return STATUS_OK;
}

static record_key_t once_key(const ledger_t *ledger, uint8_t family, hash128_t hash)
{
    return record_key(family, ledger->options.partition, hash.hi, hash.lo);
}

/* Of the key and the receipt of a change: whether there is a record before it binds them. */
typedef struct known {
    bool key;
    bool receipt;
} known_t;

static status_t find_once(const ledger_t *ledger, const accounts_view_t *view,
                          const change_t *change, uint64_t *position, known_t *known)
{
    *position = 0;
    known->key = known->receipt = false;
    if (hash_is_set(change->key)) {
        status_t status = find_binding(view, once_key(ledger, FAMILY_KEY, change->key),
                                       change->content, STATUS_KEY_REUSED, position, &known->key);
        if (status != STATUS_OK || *position != 0) return status;
    }
    if (!hash_is_set(change->receipt)) return STATUS_OK;
    return find_binding(view, once_key(ledger, FAMILY_RECEIPT, change->receipt), change->content,
                        STATUS_RECEIPT_REUSED, position, &known->receipt);
}

status_t ledger_find_once(const ledger_t *ledger, const accounts_view_t *view,
                          const change_t *change, uint64_t *position)
{
    known_t known;
    return find_once(ledger, view, change, position, &known);
}

/* Binds a key or receipt to the entry that is being built. The reason tells the replay whether it
 * has to look for a record that was there before. */
static void bind(const ledger_t *ledger, entry_builder_t *entry, uint8_t family, hash128_t hash,
                 hash128_t content, bool is_known)
{
    if (!hash_is_set(hash)) return;
    INVARIANT(entry->movement_count < MOVEMENTS_MAX);
    cell_t cell = {.kind = CELL_ENTRY,
                   .day = (int32_t)(entry->post_unix_ms / DAY_MS),
                   .key = content.hi,
                   .value = (int64_t)entry->position,
                   .other = (int64_t)content.lo};
    movement_t movement = {.record = once_key(ledger, family, hash),
                           .cell = cell,
                           .op = MOVEMENT_SET,
                           .reason = is_known ? REASON_BIND_KNOWN : REASON_BIND};
    entry->movements[entry->movement_count++] = movement;
}

/* ---------------------------------------------------------------- one group --------------- */

/* Appends the entry that prepare has filled, if every ceiling allows. */
static status_t accept_entry(ledger_t *ledger, change_t *change, const entry_builder_t *entry)
{
    entry_parts_t parts = {
        .header = {.kind = entry->kind,
                   .flags = entry->flags,
                   .event_unix_ms = entry->event_unix_ms,
                   .account_group = entry->account_group,
                   .member = entry->member,
                   .business_date = entry->business_date,
                   .own_date = entry->own_date,
                   .method = change->method},
        .request = entry->request,
        .facts = entry->facts,
        .movements = entry->movements,
        .response = entry->response,
        .request_bytes = entry->request_bytes,
        .facts_bytes = entry->facts_bytes,
        .movement_count = entry->movement_count,
        .response_bytes = entry->response_bytes,
    };
    uint64_t entry_bytes_max = ledger->options.journal.entry_bytes_max;
    uint64_t bytes = journal_entry_bytes(&parts);
    if (bytes > entry_bytes_max) return STATUS_REPLY_TOO_LARGE;
    status_t status = accounts_apply(ledger->accounts, entry->lsn, entry->movements,
                                     entry->movement_count);
    if (status != STATUS_OK) return status;
    journal_append(ledger->journal, &parts, entry->post_unix_ms);
    ledger->group_entries++;
    atomic_fetch_add_explicit(&ledger->bytes, bytes, memory_order_relaxed);
    change->lsn = entry->lsn;
    change->position = entry->position;
    change->post_unix_ms = entry->post_unix_ms;
    return STATUS_OK;
}

/* Decides what becomes of one change. `room`: what journal_group_begin answered. */
static status_t process(ledger_t *ledger, change_t *change, status_t room)
{
    const accounts_view_t *view = accounts_writer_view(ledger->accounts);
    int64_t post_unix_ms = journal_next_post_unix_ms(ledger->journal);
    accounts_advance(ledger->accounts, post_unix_ms);
    atomic_store_explicit(&ledger->post_unix_ms, post_unix_ms, memory_order_relaxed);
    uint64_t position = 0;
    known_t known = {0};
    status_t status = STATUS_OK;
    if (!change->is_rehearsal) status = find_once(ledger, view, change, &position, &known);
    if (status != STATUS_OK) return status;
    if (position != 0) {
        change->position = position;
        change->is_repeat = true;
        return STATUS_OK;
    }
    if (room != STATUS_OK) return room;
    int64_t deadline_ns = change->deadline_monotonic_ns;
    if (deadline_ns != 0 && ledger->machine->monotonic_ns(ledger->machine->context) > deadline_ns) {
        return STATUS_DEADLINE_PASSED;
    }
    entry_builder_t entry = {.lsn = journal_next_lsn(ledger->journal),
                             .position = journal_next_position(ledger->journal),
                             .post_unix_ms = post_unix_ms,
                             .generation = journal_generation(ledger->journal),
                             .request = change->request,
                             .request_bytes = change->request_bytes,
                             .movements = ledger->movements};
    if (change->is_rehearsal) entry.lsn = 0;
    status = change->prepare(change->context, view, &entry);
    if (status != STATUS_OK || change->is_rehearsal) return status;
    INVARIANT(entry.kind != 0);
    INVARIANT(entry.movement_count <= PREPARED_MOVEMENTS_MAX);
    bind(ledger, &entry, FAMILY_KEY, change->key, change->content, known.key);
    bind(ledger, &entry, FAMILY_RECEIPT, change->receipt, change->content, known.receipt);
    return accept_entry(ledger, change, &entry);
}

static void sync_group(ledger_t *ledger)
{
    const machine_t *machine = ledger->machine;
    int64_t began_ns = machine->monotonic_ns(machine->context);
    journal_group_sync(ledger->journal);
    uint64_t took_ns = (uint64_t)(machine->monotonic_ns(machine->context) - began_ns);
    int bucket = 0;
    while (bucket < SYNC_BUCKETS - 1 && took_ns >= (1000ull << bucket)) bucket++;
    atomic_fetch_add_explicit(&ledger->sync_buckets[bucket], 1, memory_order_relaxed);
    int size = 0;
    while (size < GROUP_BUCKETS - 1 && ledger->group_entries > (1u << size)) size++;
    atomic_fetch_add_explicit(&ledger->group_buckets[size], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&ledger->sync_ns, took_ns, memory_order_relaxed);
    atomic_fetch_add_explicit(&ledger->groups, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&ledger->entries, ledger->group_entries, memory_order_relaxed);
}

/* Lets the group's answers go. */
static void answer_group(ledger_t *ledger)
{
    change_t *change = ledger->answered_first;
    ledger->answered_first = NULL;
    ledger->answered_last = NULL;
    while (change != NULL) {
        change_t *next = change->next;
        if (change->is_repeat) {
            atomic_fetch_add_explicit(&ledger->repeats, 1, memory_order_relaxed);
        } else if (change->status != STATUS_OK) {
            atomic_fetch_add_explicit(&ledger->refused, 1, memory_order_relaxed);
        }
        answer(change);
        change = next;
    }
}

/* Moves the first pending change to the answers of the open group. */
static void process_next(ledger_t *ledger, status_t room)
{
    change_t *change = ledger->pending_first;
    ledger->pending_first = change->next;
    change->next = NULL;
    atomic_fetch_sub(&ledger->depth, 1);
    change->status = process(ledger, change, room);
    if (ledger->answered_first == NULL) ledger->answered_first = change;
    else ledger->answered_last->next = change;
    ledger->answered_last = change;
}

/* At a group boundary: everything in the active memtable is durable here. */
static void freeze_when_due(ledger_t *ledger)
{
    bool is_wanted = atomic_load(&ledger->is_freeze_wanted);
    if (!is_wanted && !accounts_wants_freeze(ledger->accounts)) return;
    if (!accounts_freeze(ledger->accounts, journal_covered(ledger->journal))) return;
    atomic_store(&ledger->is_freeze_wanted, false);
    bell_ring(&ledger->helper_bell);
}

/* One group of what waits. False when nothing could be done: nothing waits, or the next segment
 * is not ready yet. */
static bool run_group(ledger_t *ledger)
{
    queue_take(ledger);
    if (ledger->pending_first == NULL) {
        freeze_when_due(ledger);
        return false;
    }
    status_t room = journal_group_begin(ledger->journal);
    if (journal_wants_segment(ledger->journal)) bell_ring(&ledger->helper_bell);
    if (room == STATUS_QUEUE_FULL) return false;
    accounts_group_begin(ledger->accounts);
    ledger->group_entries = 0;
    while (ledger->pending_first != NULL
           && ledger->group_entries < ledger->options.group_entries_max
           && accounts_group_has_room(ledger->accounts)
           && (room != STATUS_OK || journal_group_has_room(ledger->journal))) {
        process_next(ledger, room);
    }
    if (ledger->group_entries > 0) sync_group(ledger);
    accounts_group_publish(ledger->accounts);
    answer_group(ledger);
    freeze_when_due(ledger);
    return true;
}

bool ledger_run_group(ledger_t *ledger)
{
    INVARIANT(ledger->options.is_threadless);
    if (run_group(ledger)) return true;
    if (ledger->pending_first == NULL) return false;
    journal_prepare_segment(ledger->journal);
    return run_group(ledger);
}

static void *writer_main(void *argument)
{
    ledger_t *ledger = argument;
    for (;;) {
        unsigned seen = atomic_load(&ledger->bell.rings);
        bool is_closing = atomic_load(&ledger->is_closing);
        if (run_group(ledger)) continue;
        if (is_closing && atomic_load(&ledger->depth) == 0) return NULL;
        bell_wait(&ledger->bell, seen, 0);
    }
}

/* ---------------------------------------------------------------- the helper -------------- */

static void prepare_when_wanted(ledger_t *ledger)
{
    while (journal_wants_segment(ledger->journal)) {
        if (journal_prepare_step(ledger->journal) == STATUS_QUEUE_FULL) continue;
        /* Ready or failed, the writer may go on: with the segment, or with a refusal. */
        bell_ring(&ledger->bell);
    }
}

static pace_t between_batches(void *context)
{
    ledger_t *ledger = context;
    prepare_when_wanted(ledger);
    if (atomic_load(&ledger->is_helper_stopped)) return PACE_STOP;
    return atomic_load(&ledger->hurried) > 0 ? PACE_HURRY : PACE_PAUSE;
}

/* What there is to do for the helper, once. */
static status_t run_helper(ledger_t *ledger)
{
    prepare_when_wanted(ledger);
    if (!accounts_has_frozen(ledger->accounts)) return STATUS_OK;
    const machine_t *machine = ledger->machine;
    int64_t began_ns = machine->monotonic_ns(machine->context);
    status_t status = accounts_checkpoint(ledger->accounts, between_batches, ledger);
    uint64_t took_ns = (uint64_t)(machine->monotonic_ns(machine->context) - began_ns);
    atomic_fetch_add_explicit(&ledger->checkpoint_ns, took_ns, memory_order_relaxed);
    if (status != STATUS_OK) atomic_fetch_add(&ledger->failed_checkpoints, 1);
    bell_ring(&ledger->checkpoint_bell);
    bell_ring(&ledger->bell); /* the writer may want to freeze again */
    return status;
}

status_t ledger_run_helper(ledger_t *ledger)
{
    INVARIANT(ledger->options.is_threadless);
    return run_helper(ledger);
}

/* The head of Linux's struct sched_attr, which not every libc has. */
typedef struct scheduling {
    uint32_t size;
    uint32_t policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t slice_ns;
    uint64_t deadline_ns;
    uint64_t period_ns;
} scheduling_t;
_Static_assert(sizeof(scheduling_t) == 48, "SCHED_ATTR_SIZE_VER0");

/* Asks for long slices on a busy core, the helper's fair share all the same: then whoever wakes,
 * the writer or a lane, takes the core at once and does not wait for a slice of the helper's to
 * end. A kernel that does not know how lets it be. */
static void give_way(void)
{
    scheduling_t wanted = {.size = sizeof wanted,
                           .policy = SCHED_BATCH,
                           .slice_ns = HELPER_SLICE_NS};
    syscall(SYS_sched_setattr, 0, &wanted, 0);
}

static void *helper_main(void *argument)
{
    ledger_t *ledger = argument;
    give_way();
    accounts_prepare_index(ledger->accounts, 0);
    while (!atomic_load(&ledger->is_helper_stopped)) {
        unsigned seen = atomic_load(&ledger->helper_bell.rings);
        status_t status = run_helper(ledger);
        if (status == STATUS_OK && journal_wants_segment(ledger->journal)) continue;
        if (status == STATUS_OK && accounts_has_frozen(ledger->accounts)) continue;
        if (atomic_load(&ledger->is_helper_stopped)) break;
        /* A failure is tried again after a while, ring or no ring. */
        bell_wait(&ledger->helper_bell, seen, HELPER_RETRY_MS);
    }
    return NULL;
}

status_t ledger_checkpoint(ledger_t *ledger)
{
    uint64_t target = journal_durable_lsn(ledger->journal);
    if (ledger->options.is_threadless) {
        status_t status = accounts_checkpoint(ledger->accounts, NULL, NULL);
        if (status != STATUS_OK) return status;
        if (!accounts_freeze(ledger->accounts, journal_covered(ledger->journal))) {
            return STATUS_OUT_OF_MEMORY;
        }
        return accounts_checkpoint(ledger->accounts, NULL, NULL);
    }
    unsigned failed = atomic_load(&ledger->failed_checkpoints);
    status_t status = STATUS_OK;
    atomic_fetch_add(&ledger->hurried, 1);
    for (;;) {
        unsigned seen = atomic_load(&ledger->checkpoint_bell.rings);
        if (accounts_covered(ledger->accounts).lsn >= target) break;
        if (atomic_load(&ledger->is_closing)) status = STATUS_ENGINE_CLOSED;
        if (atomic_load(&ledger->failed_checkpoints) != failed) status = STATUS_DISK_FULL;
        if (status != STATUS_OK) break;
        atomic_store(&ledger->is_freeze_wanted, true);
        bell_ring(&ledger->bell);
        bell_ring(&ledger->helper_bell);
        bell_wait(&ledger->checkpoint_bell, seen, HELPER_RETRY_MS);
    }
    atomic_fetch_sub(&ledger->hurried, 1);
    return status;
}

/* ---------------------------------------------------------------- recovery ---------------- */

/* Writes what was replayed so far to the environment: the memtable is full. */
static status_t replay_checkpoint(accounts_t *accounts, const covered_t *replayed)
{
    accounts_replay_end(accounts);
    status_t status = STATUS_OK;
    if (!accounts_freeze(accounts, *replayed)) status = STATUS_OUT_OF_MEMORY;
    if (status == STATUS_OK) status = accounts_checkpoint(accounts, NULL, NULL);
    accounts_replay_begin(accounts, 0);
    return status;
}

/* Notes an entry as the last one that is in the accounts; the salt is the caller's to fill. */
static void note_replayed(covered_t *replayed, const entry_t *entry)
{
    replayed->lsn = entry->header->lsn;
    replayed->position = entry->position;
    replayed->crc = entry->header->crc;
    replayed->format = ACCOUNTS_FORMAT;
}

status_t ledger_replay_entry(accounts_t *accounts, const entry_t *entry, uint64_t salt,
                             covered_t *replayed)
{
    const entry_header_t *header = entry->header;
    int64_t post_unix_ms = header->post_unix_ms;
    uint32_t count = header->movement_count;
    status_t status =
        accounts_replay(accounts, header->lsn, post_unix_ms, entry->movements, count);
    if (status == STATUS_MEMTABLE_FULL) {
        status = replay_checkpoint(accounts, replayed);
        if (status != STATUS_OK) return status;
        status = accounts_replay(accounts, header->lsn, post_unix_ms, entry->movements, count);
    }
    note_replayed(replayed, entry);
    replayed->salt = salt;
    /* The entry was within every ceiling when it was written, so it is not what was written. */
    return status == STATUS_RECORD_CEILING ? STATUS_JOURNAL_DAMAGED : status;
}

/* Recovery while the journal is opened: each entry is applied as the scan walks over it, as long
 * as memory lasts. Nothing is written before the journal's end is secured. */
typedef struct recovery {
    accounts_t *accounts;
    covered_t replayed; /* the last entry that is in the accounts */
    uint64_t count;
    status_t status;    /* why it goes no further; STATUS_MEMTABLE_FULL: later, with checkpoints */
    bool is_begun;
} recovery_t;

static void recover_entry(void *context, const entry_t *entry, uint64_t bytes_left)
{
    recovery_t *recovery = context;
    if (!recovery->is_begun) {
        recovery->is_begun = true;
        accounts_replay_begin(recovery->accounts, bytes_left);
    }
    if (recovery->status != STATUS_OK) return;
    const entry_header_t *header = entry->header;
    recovery->status = accounts_replay(recovery->accounts, header->lsn, header->post_unix_ms,
                                       entry->movements, header->movement_count);
    if (recovery->status != STATUS_OK) return;
    note_replayed(&recovery->replayed, entry);
    recovery->count++;
}

static void recover_ahead(void *context, const entry_t *entry, bool is_near)
{
    const recovery_t *recovery = context;
    if (!recovery->is_begun) return;
    accounts_replay_ahead(recovery->accounts, entry->movements, entry->header->movement_count,
                          is_near);
}

static bool recover_spare(void *context)
{
    const recovery_t *recovery = context;
    return accounts_replay_spare(recovery->accounts);
}

/* Applies what the scan left: the entry of this opening, and what did not fit into memory. */
static status_t replay_rest(ledger_t *ledger, recovery_t *recovery, fault_t *fault)
{
    accounts_t *accounts = ledger->accounts;
    journal_reader_t *reader = journal_reader_open(ledger->journal);
    if (reader == NULL) return fault_at(fault, STATUS_OUT_OF_MEMORY, "journal reader");
    recovery->replayed.salt = journal_salt(ledger->journal);
    status_t status = recovery->status;
    if (status == STATUS_MEMTABLE_FULL) status = STATUS_OK;
    if (!recovery->is_begun) accounts_replay_begin(accounts, 0);
    if (status == STATUS_OK) status = journal_seek_covered(reader, &recovery->replayed);
    while (status == STATUS_OK) {
        entry_t entry;
        status = journal_next(reader, &entry);
        if (status != STATUS_OK || entry.header == NULL) break;
        status = ledger_replay_entry(accounts, &entry, journal_salt(ledger->journal),
                                     &recovery->replayed);
        recovery->count++;
    }
    accounts_replay_end(accounts);
    journal_reader_close(reader);
    atomic_store(&ledger->recovered_entries, recovery->count);
    if (status == STATUS_OK) return STATUS_OK;
    if (status == STATUS_RECORD_CEILING) status = STATUS_JOURNAL_DAMAGED;
    return fault_at(fault, status, "replay behind lsn %llu",
                    (unsigned long long)recovery->replayed.lsn);
}

/* ---------------------------------------------------------------- open and close ---------- */

static void fill_options(ledger_t *ledger, const ledger_options_t *options)
{
    ledger->options = *options;
    ledger_options_t *used = &ledger->options;
    ledger->machine = options->machine != NULL ? options->machine : machine_real();
    if (used->group_entries_max == 0) used->group_entries_max = GROUP_ENTRIES_MAX;
    if (used->queue_changes_max == 0) used->queue_changes_max = QUEUE_CHANGES_MAX;
    if (used->journal.entry_bytes_max == 0) used->journal.entry_bytes_max = ENTRY_BYTES_MAX;
    used->journal.machine = ledger->machine;
    used->journal.program_key = options->program_key;
    used->journal.node = options->node;
    used->journal.partition = options->partition;
    used->accounts.machine = ledger->machine;
    used->accounts.retention_days = options->retention_days;
}

/* Opens accounts, then the journal from where they end, then brings the accounts up to it. */
static status_t open_data(ledger_t *ledger, fault_t *fault)
{
    char journal_directory[PATH_BYTES_MAX];
    char accounts_directory[PATH_BYTES_MAX];
    const char *data = ledger->options.data_directory;
    int length = snprintf(journal_directory, sizeof journal_directory, "%s/journal", data);
    snprintf(accounts_directory, sizeof accounts_directory, "%s/accounts", data);
    if (length < 0 || (size_t)length + 32 > sizeof accounts_directory) {
        return fault_at(fault, STATUS_TEXT_TOO_LONG, "data directory");
    }
    accounts_options_t accounts_options = ledger->options.accounts;
    accounts_options.directory = accounts_directory;
    status_t status = accounts_open(&accounts_options, &ledger->accounts, fault);
    if (status != STATUS_OK) return status;
    recovery_t recovery = {.accounts = ledger->accounts,
                           .replayed = accounts_covered(ledger->accounts)};
    journal_options_t journal_options = ledger->options.journal;
    journal_options.directory = journal_directory;
    journal_options.from = recovery.replayed;
    journal_options.each = recover_entry;
    journal_options.each_context = &recovery;
    journal_options.is_piped = !ledger->options.is_threadless;
    journal_options.ahead = recover_ahead;
    journal_options.spare = recover_spare;
    status = journal_open(&journal_options, &ledger->journal, fault);
    if (status == STATUS_OK) {
        /* The names of the two directories: what is in them is only as durable as they are. */
        int error = ledger->machine->sync_directory(ledger->machine->context, data);
        if (error != 0) {
            status = fault_at(fault, status_of_error(error), "%s: %s", data, strerror(error));
        }
    }
    if (status == STATUS_OK) {
        atomic_store(&ledger->post_unix_ms, journal_next_post_unix_ms(ledger->journal));
        return replay_rest(ledger, &recovery, fault);
    }
    if (recovery.is_begun) accounts_replay_end(ledger->accounts);
    return status;
}

/* Threads of ours take no signals: those are for the thread that the server waits in. */
static status_t start_threads(ledger_t *ledger)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ledger->has_writer = pthread_create(&ledger->writer, NULL, writer_main, ledger) == 0;
    ledger->has_helper = pthread_create(&ledger->helper, NULL, helper_main, ledger) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ledger->has_writer && ledger->has_helper ? STATUS_OK : STATUS_OUT_OF_MEMORY;
}

static void stop_threads(ledger_t *ledger)
{
    atomic_store(&ledger->is_closing, true);
    bell_ring(&ledger->bell);
    if (ledger->has_writer) pthread_join(ledger->writer, NULL);
    /* The helper last: the writer may wait for its segment. */
    atomic_store(&ledger->is_helper_stopped, true);
    bell_ring(&ledger->helper_bell);
    if (ledger->has_helper) pthread_join(ledger->helper, NULL);
}

static void ledger_free(ledger_t *ledger)
{
    accounts_close(ledger->accounts);
    journal_close(ledger->journal);
    free(ledger->movements);
    free(ledger);
}

status_t ledger_open(const ledger_options_t *options, ledger_t **opened, fault_t *fault)
{
    *opened = NULL;
    ledger_t *ledger = aligned_alloc(64, (sizeof *ledger + 63) & ~(size_t)63);
    if (ledger == NULL) return fault_at(fault, STATUS_OUT_OF_MEMORY, "ledger");
    memset(ledger, 0, sizeof *ledger);
    fill_options(ledger, options);
    ledger->movements = malloc(MOVEMENTS_MAX * sizeof *ledger->movements);
    status_t status = STATUS_OK;
    if (ledger->movements == NULL) status = fault_at(fault, STATUS_OUT_OF_MEMORY, "ledger");
    if (status == STATUS_OK) status = open_data(ledger, fault);
    if (status == STATUS_OK && !options->is_threadless) {
        status = start_threads(ledger);
        if (status != STATUS_OK) {
            stop_threads(ledger);
            fault_at(fault, status, "threads");
        }
    }
    if (status != STATUS_OK) {
        ledger_free(ledger);
        return status;
    }
    *opened = ledger;
    return STATUS_OK;
}

void ledger_close(ledger_t *ledger, bool is_checkpointed)
{
    if (ledger == NULL) return;
    if (ledger->options.is_threadless) {
        while (ledger_run_group(ledger)) continue;
    }
    stop_threads(ledger);
    INVARIANT(atomic_load(&ledger->depth) == 0);
    if (is_checkpointed) {
        /* A failure leaves the rest to the next start's replay. */
        status_t status = accounts_checkpoint(ledger->accounts, NULL, NULL);
        if (status == STATUS_OK
            && accounts_freeze(ledger->accounts, journal_covered(ledger->journal))) {
            accounts_checkpoint(ledger->accounts, NULL, NULL);
        }
    }
    ledger_free(ledger);
}

/* ---------------------------------------------------------------- readers ----------------- */

status_t ledger_reader_open(ledger_t *ledger, ledger_reader_t **opened)
{
    *opened = NULL;
    ledger_reader_t *reader = calloc(1, sizeof *reader);
    if (reader == NULL) return STATUS_OUT_OF_MEMORY;
    status_t status = accounts_reader_open(ledger->accounts, &reader->accounts);
    if (status == STATUS_OK) {
        reader->journal = journal_reader_open(ledger->journal);
        if (reader->journal == NULL) status = STATUS_OUT_OF_MEMORY;
    }
    if (status != STATUS_OK) {
        ledger_reader_close(reader);
        return status;
    }
    *opened = reader;
    return STATUS_OK;
}

void ledger_reader_close(ledger_reader_t *reader)
{
    if (reader == NULL) return;
    accounts_reader_close(reader->accounts);
    journal_reader_close(reader->journal);
    free(reader);
}

const accounts_view_t *ledger_pin(ledger_reader_t *reader)
{
    return accounts_pin(reader->accounts);
}

void ledger_unpin(ledger_reader_t *reader)
{
    accounts_unpin(reader->accounts);
}

void ledger_leave(ledger_reader_t *reader)
{
    accounts_leave(reader->accounts);
}

void ledger_rest(ledger_reader_t *reader)
{
    accounts_rest(reader->accounts);
}

status_t ledger_read(ledger_reader_t *reader, uint64_t position, entry_t *entry)
{
    return journal_read(reader->journal, position, entry);
}

status_t ledger_seek(ledger_reader_t *reader, uint64_t lsn)
{
    return journal_seek(reader->journal, lsn);
}

status_t ledger_next(ledger_reader_t *reader, entry_t *entry)
{
    return journal_next(reader->journal, entry);
}

/* ---------------------------------------------------------------- figures ----------------- */

void ledger_measure(ledger_t *ledger, ledger_metrics_t *metrics)
{
    memset(metrics, 0, sizeof *metrics);
    metrics->entries = atomic_load(&ledger->entries);
    metrics->groups = atomic_load(&ledger->groups);
    metrics->repeats = atomic_load(&ledger->repeats);
    metrics->refused = atomic_load(&ledger->refused);
    metrics->redecisions = atomic_load(&ledger->redecisions);
    metrics->bytes = atomic_load(&ledger->bytes);
    metrics->queue_depth = atomic_load(&ledger->depth);
    metrics->durable_lsn = journal_durable_lsn(ledger->journal);
    metrics->first_lsn = journal_first_lsn(ledger->journal);
    metrics->generation = journal_generation(ledger->journal);
    metrics->recovered_entries = atomic_load(&ledger->recovered_entries);
    metrics->sync_ns = atomic_load(&ledger->sync_ns);
    for (int i = 0; i < SYNC_BUCKETS; i++) {
        metrics->sync_buckets[i] = atomic_load(&ledger->sync_buckets[i]);
    }
    for (int i = 0; i < GROUP_BUCKETS; i++) {
        metrics->group_buckets[i] = atomic_load(&ledger->group_buckets[i]);
    }
    metrics->checkpoint_ns = atomic_load(&ledger->checkpoint_ns);
    metrics->failed_checkpoints = atomic_load(&ledger->failed_checkpoints);
    accounts_measure(ledger->accounts, &metrics->accounts);
}

int64_t ledger_post_unix_ms(const ledger_t *ledger)
{
    int64_t told = atomic_load_explicit(&ledger->post_unix_ms, memory_order_relaxed);
    int64_t now = journal_clock_unix_ms(ledger->journal);
    return now > told ? now : told;
}

void ledger_count_redecision(ledger_t *ledger)
{
    atomic_fetch_add_explicit(&ledger->redecisions, 1, memory_order_relaxed);
}
