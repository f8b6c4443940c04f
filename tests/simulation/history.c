/* Concurrent random operations on few accounts through the real ledger, with its threads, files and
 * checkpoints, and a checker of the history that the callers saw.
 *
 * Each caller notes a ticket of one shared counter before it calls and after it has its answer: if
 * one call ended before another began, its end ticket is lower than the other's begin ticket. The
 * checker then looks for one sequential order that explains every answer, and the candidate is the
 * order of the LSNs:
 *
 *   - it agrees with real time: of two calls that did not overlap, the earlier has the lower LSN;
 *   - carried out one by one in that order, on plain integers, every operation gives exactly the
 *     outcome and the balance that its caller was told;
 *   - a refusal left no entry: some state between those that were there when its call began and
 *     ended explains it;
 *   - a repeat was answered with its first answer, and every reader's view of an account is one of
 *     the account's states, never older than one that was answered before the look began.
 *
 * usage: history DIRECTORY SEED CALLERS CALLS. Ends with status 1 where no order explains. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ledger.h"

#define ACCOUNTS 3
#define CALLERS_MAX 16
#define PARTITION 2

#define CHECK(belief)                                                                 \
    do {                                                                              \
        if (!(belief)) {                                                              \
            fprintf(stderr, "history.c:%d: not true: %s\n", __LINE__, #belief);        \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

/* What an operation was asked, and what its caller was told. */
typedef struct observed {
    uint64_t began;
    uint64_t ended;
    uint64_t id;
    uint32_t from;
    uint32_t to;
    int64_t amount;
    status_t status;
    bool is_repeat;
    bool is_look;
    uint64_t lsn;
    int64_t from_balance; /* after it; a look: what was seen */
    int64_t to_balance;
} observed_t;

typedef struct answer {
    uint64_t lsn;
    int64_t from_balance;
    int64_t to_balance;
} answer_t;

typedef struct caller {
    pthread_t thread;
    ledger_t *ledger;
    uint64_t random;
    uint64_t number;
    uint64_t calls;
    observed_t *observed;
    uint64_t count;
} caller_t;

typedef struct operation {
    observed_t *observed;
    answer_t answer;
} operation_t;

static atomic_ulong tickets = 1;

static uint64_t below(uint64_t *random, uint64_t bound)
{
    *random += 0x9e3779b97f4a7c15u;
    return mix64(*random) % bound;
}

static record_key_t account_key(uint32_t account)
{
    return record_key(FAMILY_GROUP, PARTITION, 100 + account, 0);
}

static int64_t balance_of(record_t record)
{
    const cell_t *lot = record_find(record, CELL_LOT, 1, DAY_NEVER, 0);
    return lot == NULL ? 0 : lot->value;
}

/* Account 0 is the shop's and may go below zero; the others may not. */
static status_t transfer_prepare(void *context, const accounts_view_t *view,
                                 entry_builder_t *entry)
{
    operation_t *operation = context;
    const observed_t *wanted = operation->observed;
    int64_t from = balance_of(accounts_read(view, account_key(wanted->from)));
    int64_t to = balance_of(accounts_read(view, account_key(wanted->to)));
    if (wanted->from != 0 && from < wanted->amount) return STATUS_POINTS_SHORT;
    cell_t cell = {.kind = CELL_LOT, .sub = 1, .day = DAY_NEVER, .value = -wanted->amount};
    CHECK(entry_builder_move(entry, account_key(wanted->from), cell, MOVEMENT_ADD, REASON_BURN)
          == STATUS_OK);
    cell.value = wanted->amount;
    CHECK(entry_builder_move(entry, account_key(wanted->to), cell, MOVEMENT_ADD, REASON_EARN)
          == STATUS_OK);
    answer_t answer = {entry->lsn, from - wanted->amount, to + wanted->amount};
    operation->answer = answer;
    entry->kind = ENTRY_COMMIT;
    entry->response = &operation->answer;
    entry->response_bytes = sizeof operation->answer;
    return STATUS_OK;
}

static void call_transfer(caller_t *caller, ledger_reader_t *reader, observed_t *observed)
{
    operation_t operation = {.observed = observed};
    change_t change = {.method = 1, .prepare = transfer_prepare, .context = &operation};
    change.request = observed;
    change.request_bytes = sizeof *observed;
    change.key.hi = mix64(observed->id);
    change.key.lo = 1;
    change.content.hi = mix64(observed->id + 7);
    observed->began = atomic_fetch_add(&tickets, 1);
    do observed->status = ledger_submit(caller->ledger, &change);
    while (observed->status == STATUS_MEMTABLE_FULL || observed->status == STATUS_QUEUE_FULL);
    observed->ended = atomic_fetch_add(&tickets, 1);
    CHECK(observed->status == STATUS_OK || observed->status == STATUS_POINTS_SHORT);
    if (observed->status != STATUS_OK) return;
    entry_t entry;
    answer_t answer;
    CHECK(ledger_read(reader, change.position, &entry) == STATUS_OK);
    memcpy(&answer, entry.response, sizeof answer);
    observed->is_repeat = change.is_repeat;
    observed->lsn = answer.lsn;
    observed->from_balance = answer.from_balance;
    observed->to_balance = answer.to_balance;
}

/* An account as a reader sees it, with its version. */
static void call_look(ledger_reader_t *reader, observed_t *observed)
{
    observed->is_look = true;
    observed->began = atomic_fetch_add(&tickets, 1);
    record_t record = accounts_read(ledger_pin(reader), account_key(observed->from));
    observed->lsn = record.head->applied_lsn;
    observed->from_balance = balance_of(record);
    ledger_unpin(reader);
    observed->ended = atomic_fetch_add(&tickets, 1);
}

static void *caller_main(void *argument)
{
    caller_t *caller = argument;
    ledger_reader_t *reader;
    CHECK(ledger_reader_open(caller->ledger, &reader) == STATUS_OK);
    for (uint64_t i = 0; i < caller->calls; i++) {
        observed_t *observed = &caller->observed[caller->count++];
        observed->from = (uint32_t)below(&caller->random, ACCOUNTS);
        if (below(&caller->random, 4) == 0) {
            call_look(reader, observed);
            continue;
        }
        /* Callers come in pairs that share their identifiers: twins in flight. */
        observed->id = (caller->number / 2) << 32 | (i + below(&caller->random, 3));
        uint64_t content = observed->id;
        observed->from = (uint32_t)below(&content, ACCOUNTS);
        observed->to = (observed->from + 1 + (uint32_t)below(&content, ACCOUNTS - 1)) % ACCOUNTS;
        observed->amount = 1 + (int64_t)below(&content, 40);
        call_transfer(caller, reader, observed);
    }
    ledger_reader_close(reader);
    return NULL;
}

/* ---------------------------------------------------------------- the checker ------------- */

static int compare_lsn(const void *left, const void *right)
{
    const observed_t *a = *(observed_t *const *)left;
    const observed_t *b = *(observed_t *const *)right;
    if (a->lsn != b->lsn) return a->lsn < b->lsn ? -1 : 1;
    return a->is_repeat - b->is_repeat;
}

static int compare_began(const void *left, const void *right)
{
    const observed_t *a = *(observed_t *const *)left;
    const observed_t *b = *(observed_t *const *)right;
    return a->began < b->began ? -1 : a->began > b->began;
}

static int compare_id(const void *left, const void *right)
{
    const observed_t *a = *(observed_t *const *)left;
    const observed_t *b = *(observed_t *const *)right;
    if (a->id != b->id) return a->id < b->id ? -1 : 1;
    return compare_lsn(left, right);
}

/* No identifier was entered twice. */
static void check_once(observed_t **all, uint64_t count)
{
    const observed_t *entered = NULL;
    qsort(all, count, sizeof *all, compare_id);
    for (uint64_t i = 0; i < count; i++) {
        const observed_t *one = all[i];
        if (one->is_look || one->status != STATUS_OK) continue;
        if (entered != NULL && entered->id == one->id) CHECK(one->is_repeat);
        if (!one->is_repeat) entered = one;
    }
}

typedef struct state {
    uint64_t lsn;
    uint64_t began; /* ticket of the call that made it */
    int64_t balance[ACCOUNTS];
    uint64_t version[ACCOUNTS]; /* LSN that changed the account last */
} state_t;

/* Carries the entries out in LSN order; states[i] is what was there after the i-th. */
static uint64_t replay(observed_t **all, uint64_t count, state_t *states)
{
    uint64_t entries = 0;
    memset(&states[0], 0, sizeof states[0]);
    const observed_t *first = NULL;
    for (uint64_t i = 0; i < count; i++) {
        const observed_t *one = all[i];
        if (one->is_look || one->status != STATUS_OK) continue;
        if (first != NULL && one->lsn == first->lsn) {
            CHECK(one->is_repeat);
            CHECK(one->id == first->id);
            CHECK(one->from_balance == first->from_balance);
            CHECK(one->to_balance == first->to_balance);
            continue;
        }
        CHECK(!one->is_repeat);
        first = one;
        states[entries + 1] = states[entries];
        state_t *state = &states[++entries];
        state->lsn = one->lsn;
        state->began = one->began;
        CHECK(one->from == 0 || state->balance[one->from] >= one->amount);
        state->balance[one->from] -= one->amount;
        state->balance[one->to] += one->amount;
        state->version[one->from] = one->lsn;
        state->version[one->to] = one->lsn;
        CHECK(state->balance[one->from] == one->from_balance);
        CHECK(state->balance[one->to] == one->to_balance);
    }
    return entries;
}

/* A look or a refusal: a state that was there during the call explains it. `least`: the highest
 * LSN that was answered before the call began. */
static void explain(const observed_t *one, const state_t *states, uint64_t entries, uint64_t least)
{
    for (uint64_t i = 0; i <= entries; i++) {
        const state_t *state = &states[i];
        bool is_old = i < entries && states[i + 1].lsn <= least;
        if (is_old) continue;
        if (state->began > one->ended) break;
        if (one->is_look && state->version[one->from] == one->lsn) {
            CHECK(state->balance[one->from] == one->from_balance);
            return;
        }
        /* An empty record may have forgotten who emptied it. */
        bool is_forgotten = one->is_look && one->lsn == 0 && one->from_balance == 0;
        if (is_forgotten && state->balance[one->from] == 0) return;
        if (!one->is_look && state->balance[one->from] < one->amount) return;
    }
    CHECK(!"no state explains what a caller was told");
}

/* The highest LSN that was known by each ticket: from answers, and from looks at `account`. A
 * group is published record by record, so a look at one account says nothing about another. */
static void fill_known(observed_t **all, uint64_t count, uint32_t account, uint64_t *known)
{
    memset(known, 0, (2 * count + 2) * sizeof *known);
    for (uint64_t i = 0; i < count; i++) {
        if (all[i]->status != STATUS_OK) continue;
        if (all[i]->is_look && all[i]->from != account) continue;
        known[all[i]->ended] = all[i]->lsn;
    }
    for (uint64_t i = 1; i < 2 * count + 2; i++) {
        if (known[i] < known[i - 1]) known[i] = known[i - 1];
    }
}

/* Real time: whatever ended before a call began has a lower place in the order. */
static void check_real_time(observed_t **all, uint64_t count, const state_t *states,
                            uint64_t entries)
{
    uint64_t *known = malloc((2 * count + 2) * sizeof *known);
    CHECK(known != NULL);
    for (uint32_t account = 0; account < ACCOUNTS; account++) {
        fill_known(all, count, account, known);
        for (uint64_t i = 0; i < count; i++) {
            const observed_t *one = all[i];
            uint64_t least = known[one->began];
            if (one->from != account) continue;
            bool is_entry = !one->is_look && one->status == STATUS_OK && !one->is_repeat;
            if (is_entry) CHECK(one->lsn > least);
            if (one->is_look || one->status != STATUS_OK) explain(one, states, entries, least);
        }
    }
    free(known);
}

static ledger_t *open_ledger(const char *directory)
{
    /* Small, so that segments roll and memtables freeze all the time. */
    ledger_options_t options = {.data_directory = directory,
                                .partition = PARTITION,
                                .journal = {.segment_bytes = 256 * 1024,
                                            .entry_bytes_max = 4096,
                                            .group_bytes_max = 32 * 1024},
                                .accounts = {.map_bytes = 1ull << 28,
                                             .memtable_bytes = 512 * 1024,
                                             .memtable_slots = 4096,
                                             .checkpoint_records = 50,
                                             .checkpoint_pause_ms = 1}};
    fault_t fault;
    ledger_t *ledger;
    CHECK(ledger_open(&options, &ledger, &fault) == STATUS_OK);
    return ledger;
}

/* Checks a history and prints what there was in it. */
static void check(observed_t **all, uint64_t count)
{
    state_t *states = malloc((count + 1) * sizeof *states);
    CHECK(states != NULL);
    check_once(all, count);
    qsort(all, count, sizeof *all, compare_lsn);
    uint64_t entries = replay(all, count, states);
    qsort(all, count, sizeof *all, compare_began);
    check_real_time(all, count, states, entries);
    uint64_t repeats = 0;
    uint64_t refused = 0;
    uint64_t looks = 0;
    for (uint64_t i = 0; i < count; i++) {
        repeats += all[i]->is_repeat;
        refused += all[i]->status != STATUS_OK;
        looks += all[i]->is_look;
    }
    printf("entries %llu\nrepeats %llu\nrefused %llu\nlooks %llu\n", (unsigned long long)entries,
           (unsigned long long)repeats, (unsigned long long)refused, (unsigned long long)looks);
    free(states);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: history DIRECTORY SEED CALLERS CALLS\n");
        return 2;
    }
    uint64_t seed = strtoull(argv[2], NULL, 10);
    uint64_t callers = strtoull(argv[3], NULL, 10);
    uint64_t calls = strtoull(argv[4], NULL, 10);
    CHECK(callers <= CALLERS_MAX);
    ledger_t *ledger = open_ledger(argv[1]);
    static caller_t all_callers[CALLERS_MAX];
    observed_t *observed = calloc(callers * calls, sizeof *observed);
    observed_t **all = malloc(callers * calls * sizeof *all);
    CHECK(observed != NULL);
    CHECK(all != NULL);
    for (uint64_t i = 0; i < callers * calls; i++) all[i] = &observed[i];
    for (uint64_t i = 0; i < callers; i++) {
        caller_t caller = {.ledger = ledger,
                           .random = mix64(seed * 100 + i),
                           .number = i,
                           .calls = calls,
                           .observed = &observed[i * calls]};
        all_callers[i] = caller;
        CHECK(pthread_create(&all_callers[i].thread, NULL, caller_main, &all_callers[i]) == 0);
    }
    for (uint64_t i = 0; i < callers; i++) {
        CHECK(ledger_checkpoint(ledger) == STATUS_OK);
        pthread_join(all_callers[i].thread, NULL);
    }
    ledger_close(ledger, true);
    check(all, callers * calls);
    free(all);
    free(observed);
    return 0;
}
