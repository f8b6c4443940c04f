/* Drives the real ledger, journal and accounts from the outside: test_ledger.py compiles this file
 * with them, plain and under sanitizers, and runs one mode of it a test. A failed check prints
 * where and ends with status 1. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "crc32c.h"
#include "ledger.h"

#define CHECK(belief)                                                                     \
    do {                                                                                  \
        if (!(belief)) {                                                                  \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #belief);         \
            exit(1);                                                                      \
        }                                                                                 \
    } while (0)

/* ---------------------------------------------------------------- small helpers ----------- */

static uint64_t random_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    return mix64(*state);
}

static uint64_t random_below(uint64_t *state, uint64_t bound)
{
    return random_next(state) % bound;
}

static const char *status_name(status_t status)
{
    switch (status) {
#define STATUS_CASE(name, number, grpc, remedy) \
    case STATUS_##name:                         \
        return #name;
        STATUS_LIST(STATUS_CASE)
#undef STATUS_CASE
    }
    return "?";
}

/* Sizes so small that segments roll and memtables freeze all the time. */
static ledger_options_t small_options(const char *directory)
{
    ledger_options_t options = {
        .data_directory = directory,
        .program_key = 77,
        .node = 1,
        .partition = 2,
        .journal = {.segment_bytes = 128 * 1024,
                    .entry_bytes_max = 16 * 1024,
                    .group_bytes_max = 32 * 1024,
                    .salt = 12345},
        .accounts = {.map_bytes = 1ull << 30,
                     .memtable_bytes = 512 * 1024,
                     .memtable_slots = 4096,
                     .run_records = 200,
                     .checkpoint_records = 50,
                     .checkpoint_pause_ms = 1},
    };
    return options;
}

static ledger_t *open_ledger(const ledger_options_t *options)
{
    ledger_t *ledger;
    fault_t fault;
    status_t status = ledger_open(options, &ledger, &fault);
    if (status != STATUS_OK) {
        printf("refused %s at %s\n", status_name(status), fault.place);
        exit(3);
    }
    return ledger;
}

static hash128_t hash_of(uint64_t space, uint64_t number)
{
    hash128_t hash = {mix64(number + 1), mix64(space ^ ~number)};
    return hash;
}

/* ---------------------------------------------------------------- an operation ------------ */

#define MOVES_MAX 160

/* A change with everything it needs; prepare copies the moves into the entry. */
typedef struct operation {
    change_t change;
    uint64_t id;
    uint64_t response[2];
    movement_t moves[MOVES_MAX];
    uint32_t move_count;
    uint32_t response_bytes;
    status_t answer; /* that prepare gives */
    int prepared;
    int done;
} operation_t;

static status_t operation_prepare(void *context, const accounts_view_t *view,
                                  entry_builder_t *entry)
{
    operation_t *operation = context;
    (void)view;
    operation->prepared++;
    if (operation->answer != STATUS_OK) return operation->answer;
    entry->kind = ENTRY_COMMIT;
    entry->event_unix_ms = 1000;
    operation->response[0] = operation->id;
    operation->response[1] = entry->lsn;
    entry->response = operation->response;
    entry->response_bytes = operation->response_bytes;
    for (uint32_t i = 0; i < operation->move_count; i++) {
        movement_t *move = &operation->moves[i];
        status_t status =
            entry_builder_move(entry, move->record, move->cell, move->op, move->reason);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

static void operation_done(change_t *change)
{
    operation_t *operation = change->context;
    operation->done++;
}

static void operation_set(operation_t *operation, uint64_t id)
{
    memset(operation, 0, sizeof *operation);
    operation->id = id;
    operation->response_bytes = sizeof operation->response;
    operation->change.method = 5;
    operation->change.request = &operation->id;
    operation->change.request_bytes = sizeof operation->id;
    operation->change.key = hash_of(1, id);
    operation->change.content = hash_of(2, id);
    operation->change.receipt = hash_of(3, id);
    operation->change.prepare = operation_prepare;
    operation->change.context = operation;
    operation->change.done = operation_done;
}

static void operation_add(operation_t *operation, record_key_t key, cell_t cell, uint32_t op)
{
    movement_t move = {.record = key, .cell = cell, .op = op, .reason = REASON_EARN};
    CHECK(operation->move_count < MOVES_MAX);
    operation->moves[operation->move_count++] = move;
}

/* Posts and runs one operation alone; threadless. */
static status_t operation_run(ledger_t *ledger, operation_t *operation)
{
    status_t status = ledger_post(ledger, &operation->change);
    if (status != STATUS_OK) return status;
    ledger_run_group(ledger);
    CHECK(operation->done == 1);
    return operation->change.status;
}

static cell_t lot_cell(uint8_t purse, int64_t value)
{
    cell_t cell = {.kind = CELL_LOT, .sub = purse, .day = DAY_NEVER, .value = value};
    return cell;
}

/* ---------------------------------------------------------------- a plain model ----------- */

/* 48 records of 144 possible cells, each with value and other: the slow twin of accounts.c. */
#define MODEL_IDS 6
#define MODEL_RECORDS (8 * MODEL_IDS)
#define MODEL_CELLS 144

typedef struct model {
    int64_t value[MODEL_RECORDS][MODEL_CELLS];
    int64_t other[MODEL_RECORDS][MODEL_CELLS];
    uint64_t lsn[MODEL_RECORDS];
} model_t;

static record_key_t model_key(uint64_t record)
{
    static const uint8_t families[] = {FAMILY_GROUP, FAMILY_MEMBER, FAMILY_IDENTITY,
                                       FAMILY_PLACE, FAMILY_OFFER, FAMILY_RECEIPT,
                                       FAMILY_KEY, FAMILY_COUPON};
    return record_key(families[record / MODEL_IDS], 2, 1 + record % MODEL_IDS, 900);
}

static cell_t model_cell(uint64_t cell)
{
    cell_t made = {.kind = (uint8_t)(1 + cell / 36),
                   .sub = (uint8_t)(cell / 12 % 3),
                   .day = (int32_t)(cell / 4 % 3) - 1,
                   .key = cell % 4};
    return made;
}

/* Takes every cell of a record away, so that none is left. */
static void model_wipe(model_t *model, uint64_t record, operation_t *operation, uint64_t lsn)
{
    for (uint64_t at = 0; at < MODEL_CELLS; at++) {
        if (model->value[record][at] == 0 && model->other[record][at] == 0) continue;
        cell_t cell = model_cell(at);
        operation_add(operation, model_key(record), cell, MOVEMENT_SET);
        model->value[record][at] = 0;
        model->other[record][at] = 0;
        model->lsn[record] = lsn;
    }
}

/* Fills an operation with random moves and applies them to the model. */
static void model_move(model_t *model, uint64_t *seed, operation_t *operation, uint64_t lsn)
{
    if (random_below(seed, 4) == 0) {
        model_wipe(model, random_below(seed, MODEL_RECORDS), operation, lsn);
        return;
    }
    uint32_t moves = 1 + (uint32_t)random_below(seed, 12);
    for (uint32_t i = 0; i < moves; i++) {
        uint64_t record = random_below(seed, MODEL_RECORDS);
        uint64_t at = random_below(seed, MODEL_CELLS);
        cell_t cell = model_cell(at);
        cell.value = (int64_t)random_below(seed, 5) - 2;
        cell.other = (int64_t)random_below(seed, 3) - 1;
        uint32_t op = random_below(seed, 2) == 0 ? MOVEMENT_ADD : MOVEMENT_SET;
        operation_add(operation, model_key(record), cell, op);
        int64_t keep = op == MOVEMENT_ADD;
        model->value[record][at] = keep * model->value[record][at] + cell.value;
        model->other[record][at] = keep * model->other[record][at] + cell.other;
        model->lsn[record] = lsn;
    }
}

static void model_check(const model_t *model, const accounts_view_t *view)
{
    for (uint64_t record = 0; record < MODEL_RECORDS; record++) {
        record_t found = accounts_read(view, model_key(record));
        uint32_t at = 0;
        for (uint64_t cell = 0; cell < MODEL_CELLS; cell++) {
            if (model->value[record][cell] == 0 && model->other[record][cell] == 0) continue;
            CHECK(at < found.head->cell_count);
            cell_t expected = model_cell(cell);
            CHECK(cell_compare(&found.cells[at], &expected) == 0);
            CHECK(found.cells[at].value == model->value[record][cell]);
            CHECK(found.cells[at].other == model->other[record][cell]);
            CHECK(record_find(found, expected.kind, expected.sub, expected.day, expected.key)
                  == &found.cells[at]);
            at++;
        }
        CHECK(at == found.head->cell_count);
        if (at > 0) CHECK(found.head->applied_lsn == model->lsn[record]);
    }
}

/* ---------------------------------------------------------------- modes ------------------- */

/* Random groups, checkpoints and restarts of a threadless ledger against the model. */
static void mode_model(const char *directory, uint64_t seed)
{
    ledger_options_t options = small_options(directory);
    options.is_threadless = true;
    options.accounts.memtable_bytes = 2 << 20;
    ledger_t *ledger = open_ledger(&options);
    model_t *model = calloc(1, sizeof *model);
    operation_t *operations = calloc(20, sizeof *operations);
    CHECK(model != NULL);
    CHECK(operations != NULL);
    uint64_t id = 0;
    ledger_metrics_t metrics;
    ledger_reader_t *reader;
    CHECK(ledger_reader_open(ledger, &reader) == STATUS_OK);
    for (int round = 0; round < 400; round++) {
        uint64_t size = 1 + random_below(&seed, 20);
        ledger_measure(ledger, &metrics);
        uint64_t lsn = metrics.durable_lsn;
        for (uint64_t i = 0; i < size; i++) {
            operation_set(&operations[i], ++id);
            operations[i].answer = random_below(&seed, 8) == 0 ? STATUS_RETURN_TOO_MUCH : STATUS_OK;
            if (operations[i].answer == STATUS_OK) {
                model_move(model, &seed, &operations[i], ++lsn);
            }
            CHECK(ledger_post(ledger, &operations[i].change) == STATUS_OK);
        }
        while (ledger_run_group(ledger)) continue;
        for (uint64_t i = 0; i < size; i++) {
            CHECK(operations[i].done == 1);
            CHECK(operations[i].change.status == operations[i].answer);
        }
        ledger_measure(ledger, &metrics);
        CHECK(metrics.durable_lsn == lsn);
        uint64_t dice = random_below(&seed, 20);
        if (dice == 0) CHECK(ledger_checkpoint(ledger) == STATUS_OK);
        if (dice < 8) CHECK(ledger_run_helper(ledger) == STATUS_OK);
        if (dice >= 18) {
            ledger_reader_close(reader);
            ledger_close(ledger, dice == 19);
            ledger = open_ledger(&options);
            CHECK(ledger_reader_open(ledger, &reader) == STATUS_OK);
        }
        model_check(model, ledger_pin(reader));
        if (dice % 3 == 0) ledger_unpin(reader);
        else ledger_leave(reader);
    }
    ledger_reader_close(reader);
    ledger_measure(ledger, &metrics);
    printf("lsn %llu checkpoints %llu\n", (unsigned long long)metrics.durable_lsn,
           (unsigned long long)metrics.accounts.checkpoints);
    ledger_close(ledger, false);
    free(operations);
    free(model);
}

/* The accounts alone: a checkpoint that dies after any number of its transactions, replay from
 * what it covered, over and over. */
static int batches_left;

static pace_t stop_after(void *context)
{
    (void)context;
    return batches_left-- > 0 ? PACE_HURRY : PACE_STOP;
}

typedef struct logged {
    movement_t moves[MOVES_MAX];
    uint32_t count;
} logged_t;

static void mode_checkpoint_crash(const char *directory, uint64_t seed)
{
    accounts_options_t options = {.directory = directory,
                                  .map_bytes = 1ull << 28,
                                  .memtable_bytes = 1 << 20,
                                  .memtable_slots = 4096,
                                  .run_records = 4,
                                  .checkpoint_records = 3};
    enum { ENTRIES = 600 };
    logged_t *log = calloc(ENTRIES + 1, sizeof *log);
    model_t *model = calloc(1, sizeof *model);
    operation_t *operation = calloc(1, sizeof *operation);
    CHECK(log != NULL && model != NULL && operation != NULL);
    uint64_t lsn = 0;
    int unfinished = 0;
    while (lsn < ENTRIES) {
        accounts_t *accounts;
        fault_t fault;
        CHECK(accounts_open(&options, &accounts, &fault) == STATUS_OK);
        uint64_t until = lsn + random_below(&seed, 30);
        if (until > ENTRIES) until = ENTRIES;
        covered_t covered = accounts_covered(accounts);
        accounts_advance(accounts, 1000);
        accounts_group_begin(accounts);
        for (uint64_t at = covered.lsn + 1; at <= until; at++) {
            if (at > lsn) {
                operation_set(operation, at);
                model_move(model, &seed, operation, at);
                memcpy(log[at].moves, operation->moves, sizeof operation->moves);
                log[at].count = operation->move_count;
            }
            CHECK(accounts_apply(accounts, at, log[at].moves, log[at].count) == STATUS_OK);
        }
        lsn = until;
        accounts_group_publish(accounts);
        accounts_reader_t *reader;
        CHECK(accounts_reader_open(accounts, &reader) == STATUS_OK);
        model_check(model, accounts_pin(reader));
        accounts_leave(reader); /* the transaction is older than what is retired below */
        covered.lsn = lsn;
        covered.format = ACCOUNTS_FORMAT;
        CHECK(accounts_freeze(accounts, covered));
        batches_left = (int)random_below(&seed, 24);
        status_t status = accounts_checkpoint(accounts, stop_after, NULL);
        CHECK(status == STATUS_OK || status == STATUS_ENGINE_CLOSED);
        if (status != STATUS_OK) unfinished++;
        model_check(model, accounts_pin(reader));
        accounts_unpin(reader);
        accounts_reader_close(reader);
        accounts_close(accounts);
    }
    CHECK(unfinished > 5);
    printf("unfinished checkpoints %d\n", unfinished);
    free(operation);
    free(model);
    free(log);
}

static void check_response(ledger_t *ledger, const operation_t *operation, uint64_t id)
{
    ledger_reader_t *reader;
    entry_t entry;
    uint64_t response[2];
    CHECK(ledger_reader_open(ledger, &reader) == STATUS_OK);
    CHECK(ledger_read(reader, operation->change.position, &entry) == STATUS_OK);
    CHECK(entry.header->response_bytes == sizeof response);
    memcpy(response, entry.response, sizeof response);
    CHECK(response[0] == id);
    CHECK(response[1] == entry.header->lsn);
    ledger_reader_close(reader);
}

/* Twins in one group and later, other content, receipts, refusals that bind nothing. */
static void mode_once(const char *directory, uint64_t seed)
{
    (void)seed;
    ledger_options_t options = small_options(directory);
    options.is_threadless = true;
    ledger_t *ledger = open_ledger(&options);
    static operation_t first, twin, other, receipt_twin, receipt_other, refused;
    operation_set(&refused, 10);
    refused.answer = STATUS_DECISION_CHANGED;
    operation_set(&first, 10);
    operation_add(&first, record_key(FAMILY_GROUP, 2, 5, 0), lot_cell(1, 100), MOVEMENT_ADD);
    operation_set(&twin, 10);
    operation_set(&other, 10);
    other.change.content = hash_of(2, 11);
    operation_set(&receipt_twin, 10);
    receipt_twin.change.key = hash_of(1, 12);
    operation_set(&receipt_other, 10);
    receipt_other.change.key = hash_of(1, 13);
    receipt_other.change.content = hash_of(2, 13);
    operation_t *all[] = {&refused, &first, &twin, &other, &receipt_twin, &receipt_other};
    for (int i = 0; i < 6; i++) CHECK(ledger_post(ledger, &all[i]->change) == STATUS_OK);
    CHECK(ledger_run_group(ledger));
    for (int i = 0; i < 6; i++) CHECK(all[i]->done == 1);
    CHECK(refused.change.status == STATUS_DECISION_CHANGED);
    CHECK(first.change.status == STATUS_OK);
    CHECK(!first.change.is_repeat);
    CHECK(twin.change.status == STATUS_OK);
    CHECK(twin.change.is_repeat);
    CHECK(twin.prepared == 0);
    CHECK(twin.change.position == first.change.position);
    CHECK(other.change.status == STATUS_KEY_REUSED);
    CHECK(receipt_twin.change.status == STATUS_OK);
    CHECK(receipt_twin.change.is_repeat);
    CHECK(receipt_other.change.status == STATUS_RECEIPT_REUSED);
    check_response(ledger, &twin, 10);
    for (int round = 0; round < 3; round++) {
        if (round == 1) CHECK(ledger_checkpoint(ledger) == STATUS_OK);
        if (round == 2) {
            ledger_close(ledger, false);
            ledger = open_ledger(&options);
        }
        operation_set(&twin, 10);
        CHECK(operation_run(ledger, &twin) == STATUS_OK);
        CHECK(twin.change.is_repeat);
        check_response(ledger, &twin, 10);
        operation_set(&other, 10);
        other.change.content = hash_of(2, 11);
        CHECK(operation_run(ledger, &other) == STATUS_KEY_REUSED);
        ledger_reader_t *reader;
        CHECK(ledger_reader_open(ledger, &reader) == STATUS_OK);
        record_t record = accounts_read(ledger_pin(reader), record_key(FAMILY_GROUP, 2, 5, 0));
        CHECK(record.head->cell_count == 1);
        CHECK(record.cells[0].value == 100);
        ledger_unpin(reader);
        ledger_reader_close(reader);
    }
    ledger_close(ledger, true);
}

/* Ceilings: a record's cells, an amount's bits, an entry's bytes, the memtable. All or nothing. */
static void mode_ceilings(const char *directory, uint64_t seed)
{
    (void)seed;
    ledger_options_t options = small_options(directory);
    options.is_threadless = true;
    ledger_t *ledger = open_ledger(&options);
    operation_t *operation = calloc(1, sizeof *operation);
    CHECK(operation != NULL);
    record_key_t full = record_key(FAMILY_GROUP, 2, 8, 0);
    record_key_t side = record_key(FAMILY_MEMBER, 2, 8, 1);
    uint64_t id = 0;
    for (int at = 0; at < RECORD_CELLS_MAX;) {
        operation_set(operation, ++id);
        for (int i = 0; i < 25; i++, at++) {
            cell_t cell = {.kind = CELL_COUNTER, .day = at, .value = 1};
            operation_add(operation, full, cell, MOVEMENT_ADD);
        }
        CHECK(operation_run(ledger, operation) == STATUS_OK);
        CHECK(ledger_run_helper(ledger) == STATUS_OK);
    }
    ledger_metrics_t before;
    ledger_measure(ledger, &before);
    operation_set(operation, ++id);
    operation_add(operation, side, lot_cell(1, 7), MOVEMENT_ADD);
    operation_add(operation, full, lot_cell(1, 7), MOVEMENT_ADD);
    CHECK(operation_run(ledger, operation) == STATUS_RECORD_CEILING);
    operation_set(operation, ++id);
    operation_add(operation, side, lot_cell(1, INT64_MAX), MOVEMENT_ADD);
    operation_add(operation, side, lot_cell(1, 1), MOVEMENT_ADD);
    CHECK(operation_run(ledger, operation) == STATUS_RECORD_CEILING);
    operation_set(operation, ++id);
    static uint8_t large[20 * 1024];
    operation->change.request = large;
    operation->change.request_bytes = sizeof large;
    CHECK(operation_run(ledger, operation) == STATUS_REPLY_TOO_LARGE);
    ledger_metrics_t after;
    ledger_measure(ledger, &after);
    CHECK(after.durable_lsn == before.durable_lsn);
    ledger_reader_t *reader;
    CHECK(ledger_reader_open(ledger, &reader) == STATUS_OK);
    const accounts_view_t *view = ledger_pin(reader);
    CHECK(accounts_read(view, side).head->cell_count == 0);
    CHECK(accounts_read(view, full).head->cell_count == RECORD_CELLS_MAX);
    ledger_unpin(reader);
    ledger_reader_close(reader);
    /* Without a helper the memtables fill up; then changes are refused and repeats are not. */
    status_t status = STATUS_OK;
    while (status == STATUS_OK) {
        operation_set(operation, ++id);
        operation_add(operation, side, lot_cell(2, 1), MOVEMENT_ADD);
        status = operation_run(ledger, operation);
        CHECK(id < 100000);
    }
    CHECK(status == STATUS_MEMTABLE_FULL);
    operation_set(operation, id - 1);
    CHECK(operation_run(ledger, operation) == STATUS_OK);
    CHECK(operation->change.is_repeat);
    CHECK(ledger_run_helper(ledger) == STATUS_OK);
    operation_set(operation, id);
    CHECK(operation_run(ledger, operation) == STATUS_OK || ledger_run_group(ledger) == false);
    operation_set(operation, ++id);
    CHECK(ledger_run_helper(ledger) == STATUS_OK);
    CHECK(operation_run(ledger, operation) == STATUS_OK);
    ledger_close(ledger, false);
    free(operation);
}

/* ---------------------------------------------------------------- faulty machine ---------- */

static machine_t faulty;
static int is_disk_full;
static int syncs_until_failure = -1;
static int64_t clock_step_ns;

static int faulty_write_at(void *context, int64_t file, const void *bytes, size_t size,
                           uint64_t offset)
{
    /* A disk without room: writes inside what is already zeroed still work. */
    uint64_t there = 0;
    machine_real()->size(context, file, &there);
    if (is_disk_full && offset + size > there) return ENOSPC;
    return machine_real()->write_at(context, file, bytes, size, offset);
}

static int faulty_sync(void *context, int64_t file)
{
    if (syncs_until_failure == 0) return EIO;
    if (syncs_until_failure > 0) syncs_until_failure--;
    return machine_real()->sync(context, file);
}

static int64_t faulty_monotonic_ns(void *context)
{
    return machine_real()->monotonic_ns(context) + clock_step_ns;
}

static void faulty_make(void)
{
    faulty = *machine_real();
    faulty.write_at = faulty_write_at;
    faulty.sync = faulty_sync;
    faulty.monotonic_ns = faulty_monotonic_ns;
}

/* Changes are refused by name when no segment can be made; repeats and reads go on; and changes
 * too when there is room again. */
static void mode_disk_full(const char *directory, uint64_t seed)
{
    (void)seed;
    faulty_make();
    ledger_options_t options = small_options(directory);
    options.is_threadless = true;
    options.machine = &faulty;
    ledger_t *ledger = open_ledger(&options);
    operation_t *operation = calloc(1, sizeof *operation);
    CHECK(operation != NULL);
    is_disk_full = 1;
    uint64_t id = 0;
    status_t status = STATUS_OK;
    while (status == STATUS_OK) {
        operation_set(operation, ++id);
        operation_add(operation, record_key(FAMILY_GROUP, 2, 4, 0), lot_cell(1, 1), MOVEMENT_ADD);
        status = operation_run(ledger, operation);
        CHECK(id < 100000);
    }
    CHECK(status == STATUS_DISK_FULL);
    CHECK(operation->prepared == 0);
    operation_set(operation, 1);
    CHECK(operation_run(ledger, operation) == STATUS_OK);
    CHECK(operation->change.is_repeat);
    check_response(ledger, operation, 1);
    is_disk_full = 0;
    clock_step_ns += 2000000000;
    CHECK(ledger_run_helper(ledger) == STATUS_OK);
    operation_set(operation, id);
    operation_add(operation, record_key(FAMILY_GROUP, 2, 4, 0), lot_cell(1, 1), MOVEMENT_ADD);
    CHECK(operation_run(ledger, operation) == STATUS_OK);
    ledger_close(ledger, false);
    ledger = open_ledger(&options);
    ledger_reader_t *reader;
    CHECK(ledger_reader_open(ledger, &reader) == STATUS_OK);
    record_t record = accounts_read(ledger_pin(reader), record_key(FAMILY_GROUP, 2, 4, 0));
    CHECK(record.cells[0].value == (int64_t)id);
    ledger_unpin(reader);
    ledger_reader_close(reader);
    ledger_close(ledger, false);
    free(operation);
}

/* A failed sync ends the process with status 70, unanswered. */
static void mode_sync_fails(const char *directory, uint64_t seed)
{
    faulty_make();
    ledger_options_t options = small_options(directory);
    options.is_threadless = true;
    options.machine = &faulty;
    ledger_t *ledger = open_ledger(&options);
    operation_t *operation = calloc(1, sizeof *operation);
    CHECK(operation != NULL);
    syncs_until_failure = 3 + (int)random_below(&seed, 5);
    for (uint64_t id = 1;; id++) {
        operation_set(operation, id);
        CHECK(ledger_post(ledger, &operation->change) == STATUS_OK);
        ledger_run_group(ledger);
        CHECK(operation->change.status == STATUS_OK);
        dprintf(1, "ack %llu\n", (unsigned long long)id);
        CHECK(id < 100);
    }
}

/* ---------------------------------------------------------------- retention --------------- */

#define MONTH_MS (2629800ll * 1000)
#define MONTHS_RUN 40

static int64_t wall_unix_ms;

static int64_t faulty_wall_unix_ms(void *context)
{
    (void)context;
    return wall_unix_ms;
}

static void count_once(void *context, const record_key_t *key, record_t record)
{
    uint64_t *counts = context;
    CHECK(record.head->cell_count == 1);
    counts[key->family]++;
}

/* Offers the key of an earlier month again, with other content: refused as long as it is known. */
static void offer_again(ledger_t *ledger, operation_t *operation, uint64_t id)
{
    operation_set(operation, id);
    CHECK(operation_run(ledger, operation) == STATUS_OK);
    CHECK(operation->change.is_repeat);
    operation_set(operation, id);
    operation->change.content = hash_of(4, id);
    CHECK(operation_run(ledger, operation) == STATUS_KEY_REUSED);
}

/* One new key a month for longer than the ring of months; 56 days are two months after a key's
 * own. Some months close with a checkpoint and some by a kill, so that replay does the same. */
static void mode_retention(const char *directory, uint64_t seed)
{
    faulty_make();
    faulty.wall_unix_ms = faulty_wall_unix_ms;
    ledger_options_t options = small_options(directory);
    options.is_threadless = true;
    options.machine = &faulty;
    options.retention_days = 56;
    operation_t *operation = calloc(1, sizeof *operation);
    CHECK(operation != NULL);
    for (uint64_t month = 0; month < MONTHS_RUN; month++) {
        wall_unix_ms = 1768500000000 + (int64_t)month * MONTH_MS;
        ledger_t *ledger = open_ledger(&options);
        operation_set(operation, 100 + month);
        CHECK(operation_run(ledger, operation) == STATUS_OK);
        CHECK(!operation->change.is_repeat);
        for (uint64_t past = 0; past <= 2 && past <= month; past++) {
            offer_again(ledger, operation, 100 + month - past);
        }
        if (month >= 3) {
            operation_set(operation, 100 + month - 3);
            CHECK(operation_run(ledger, operation) == STATUS_OK);
            CHECK(!operation->change.is_repeat);
        }
        if (random_below(&seed, 2) == 0) CHECK(ledger_checkpoint(ledger) == STATUS_OK);
        if (random_below(&seed, 2) == 0) CHECK(ledger_run_helper(ledger) == STATUS_OK);
        if (month + 1 == MONTHS_RUN) CHECK(ledger_checkpoint(ledger) == STATUS_OK);
        uint64_t counts[FAMILY_COUPON + 1] = {0};
        ledger_reader_t *reader;
        CHECK(ledger_reader_open(ledger, &reader) == STATUS_OK);
        CHECK(accounts_each(ledger_pin(reader), count_once, counts) == STATUS_OK);
        ledger_unpin(reader);
        ledger_reader_close(reader);
        /* Each of the last three months has its own and, from the fourth on, one bound anew. */
        uint64_t expected = month < 3 ? month + 1 : 3 + (month < 5 ? month - 2 : 3);
        CHECK(counts[FAMILY_KEY] == expected);
        CHECK(counts[FAMILY_RECEIPT] == expected);
        ledger_close(ledger, random_below(&seed, 3) == 0);
    }
    free(operation);
}

/* ---------------------------------------------------------------- runs -------------------- */

#define RUN_IDS 500
#define RUN_LSNS 4000
#define RUN_KEPT_MONTHS 2

/* What a receipt or key must be: the plain twin of months and runs. */
typedef struct bound {
    int64_t value;
    uint64_t lsn;
    uint32_t month; /* 0: never made */
} bound_t;

typedef struct posted {
    int64_t post_unix_ms;
    uint64_t records[3];
    int64_t values[3];
} posted_t;

typedef struct runs {
    bound_t bound[2 * RUN_IDS];
    posted_t log[RUN_LSNS + 1];
    uint64_t lsn;
    int64_t post_unix_ms;
    uint32_t month; /* counted from the first */
    uint32_t seen;
    record_key_t last;
} runs_t;

/* Days of 2026 and behind it by month, which the twin must not learn from accounts.c. */
static int64_t month_middle_ms(uint32_t month)
{
    return 1768500000000 + (int64_t)(month - 1) * MONTH_MS;
}

static record_key_t bound_key(uint64_t at)
{
    hash128_t hash = hash_of(7, at % RUN_IDS);
    return record_key(at < RUN_IDS ? FAMILY_RECEIPT : FAMILY_KEY, 2, hash.hi, hash.lo);
}

static bool is_bound(const runs_t *runs, uint64_t at)
{
    return runs->bound[at].month != 0 && runs->bound[at].month + RUN_KEPT_MONTHS >= runs->month;
}

static status_t runs_apply(runs_t *runs, accounts_t *accounts, uint64_t lsn, bool is_replay)
{
    const posted_t *posted = &runs->log[lsn];
    movement_t moves[3];
    for (int i = 0; i < 3; i++) {
        cell_t cell = {.kind = CELL_VOIDED, .value = posted->values[i]};
        movement_t move = {.record = bound_key(posted->records[i]),
                           .cell = cell,
                           .op = MOVEMENT_ADD,
                           .reason = REASON_EARN};
        moves[i] = move;
    }
    if (is_replay) return accounts_replay(accounts, lsn, posted->post_unix_ms, moves, 3);
    accounts_advance(accounts, posted->post_unix_ms);
    return accounts_apply(accounts, lsn, moves, 3);
}

/* Makes the next entry: three records, often old ones. Values stay above zero. */
static void runs_post(runs_t *runs, uint64_t *seed)
{
    posted_t *posted = &runs->log[++runs->lsn];
    posted->post_unix_ms = runs->post_unix_ms;
    for (int i = 0; i < 3; i++) {
        uint64_t at = random_below(seed, 2 * RUN_IDS);
        bound_t *bound = &runs->bound[at];
        posted->records[i] = at;
        posted->values[i] = 1 + (int64_t)random_below(seed, 9);
        if (!is_bound(runs, at)) {
            bound->month = runs->month;
            bound->value = 0;
        }
        bound->value += posted->values[i];
        bound->lsn = runs->lsn;
    }
}

static void runs_seen(void *context, const record_key_t *key, record_t record)
{
    runs_t *runs = context;
    CHECK(record.head->cell_count == 1);
    if (runs->seen > 0) CHECK(memcmp(&runs->last, key, sizeof *key) < 0);
    runs->last = *key;
    runs->seen++;
}

/* Every record, found one by one and met on a walk: in order, each once, none else. */
static void runs_check(runs_t *runs, const accounts_view_t *view)
{
    uint32_t expected[2] = {0};
    for (uint64_t at = 0; at < 2 * RUN_IDS; at++) {
        record_t record = accounts_read(view, bound_key(at));
        CHECK(record.head->cell_count == is_bound(runs, at));
        if (!is_bound(runs, at)) continue;
        CHECK(record.cells[0].value == runs->bound[at].value);
        CHECK(record.head->applied_lsn == runs->bound[at].lsn);
        expected[at / RUN_IDS]++;
    }
    for (uint8_t family = FAMILY_RECEIPT; family <= FAMILY_KEY; family++) {
        runs->seen = 0;
        CHECK(accounts_each_of(view, family, runs_seen, runs) == STATUS_OK);
        CHECK(runs->seen == expected[family - FAMILY_RECEIPT]);
    }
    runs->seen = 0;
    CHECK(accounts_each(view, runs_seen, runs) == STATUS_OK);
    CHECK(runs->seen == expected[0] + expected[1]);
}

/* What a tool sees that only reads, with an index and without. */
static void runs_look(runs_t *runs, const accounts_options_t *options)
{
    accounts_options_t reading = *options;
    reading.is_read_only = true;
    accounts_t *accounts;
    accounts_reader_t *reader;
    fault_t fault;
    CHECK(accounts_open(&reading, &accounts, &fault) == STATUS_OK);
    accounts_advance(accounts, runs->post_unix_ms);
    CHECK(accounts_reader_open(accounts, &reader) == STATUS_OK);
    const accounts_view_t *view = accounts_pin(reader);
    CHECK(accounts_view_covered(view).lsn == runs->lsn);
    runs_check(runs, view);
    CHECK(accounts_index_view(view) == STATUS_OK);
    runs_check(runs, view);
    accounts_unpin(reader);
    accounts_reader_close(reader);
    accounts_close(accounts);
}

/* One life: replays what the environment has not covered, posts more, and checkpoints, whole or
 * not. True when all is covered at its end. */
static bool runs_live(runs_t *runs, const accounts_options_t *options, uint64_t *seed)
{
    accounts_t *accounts;
    accounts_reader_t *reader;
    fault_t fault;
    CHECK(accounts_open(options, &accounts, &fault) == STATUS_OK);
    covered_t covered = accounts_covered(accounts);
    accounts_replay_begin(accounts, 0);
    for (uint64_t lsn = covered.lsn + 1; lsn <= runs->lsn; lsn++) {
        CHECK(runs_apply(runs, accounts, lsn, true) == STATUS_OK);
    }
    accounts_replay_end(accounts);
    CHECK(accounts_reader_open(accounts, &reader) == STATUS_OK);
    bool is_covered = false;
    for (uint64_t round = random_below(seed, 5); round < 5; round++) {
        if (random_below(seed, 6) == 0) runs->post_unix_ms = month_middle_ms(++runs->month);
        accounts_advance(accounts, runs->post_unix_ms);
        runs_check(runs, accounts_pin(reader));
        accounts_leave(reader); /* the transaction is older than what is retired below */
        accounts_group_begin(accounts);
        for (uint64_t count = random_below(seed, 30); count > 0 && runs->lsn < RUN_LSNS; count--) {
            runs_post(runs, seed);
            CHECK(runs_apply(runs, accounts, runs->lsn, false) == STATUS_OK);
        }
        accounts_group_publish(accounts);
        covered.lsn = runs->lsn;
        covered.format = ACCOUNTS_FORMAT;
        bool is_fresh = accounts_freeze(accounts, covered);
        batches_left = random_below(seed, 2) == 0 ? INT32_MAX : (int)random_below(seed, 9);
        is_covered = accounts_checkpoint(accounts, stop_after, NULL) == STATUS_OK && is_fresh;
        runs_check(runs, accounts_pin(reader));
        accounts_unpin(reader);
    }
    accounts_reader_close(reader);
    accounts_close(accounts);
    return is_covered;
}

/* Receipts and keys over months, runs, checkpoints that end half way, and restarts. */
static void mode_runs(const char *directory, uint64_t seed)
{
    accounts_options_t options = {.directory = directory,
                                  .map_bytes = 1ull << 28,
                                  .memtable_bytes = 1 << 20,
                                  .memtable_slots = 4096,
                                  .run_records = 1 + (uint32_t)random_below(&seed, 60),
                                  .retention_days = 28 * RUN_KEPT_MONTHS,
                                  .index_words = 64,
                                  .checkpoint_records = 1 + (uint32_t)random_below(&seed, 3)};
    runs_t *runs = calloc(1, sizeof *runs);
    CHECK(runs != NULL);
    runs->month = 1;
    runs->post_unix_ms = month_middle_ms(1);
    uint32_t lives = 0;
    uint32_t looks = 0;
    for (; runs->lsn < RUN_LSNS; lives++) {
        if (!runs_live(runs, &options, &seed)) continue;
        runs_look(runs, &options);
        looks++;
    }
    CHECK(looks > 3);
    CHECK(runs->month > 2 * RUN_KEPT_MONTHS);
    printf("lives %u looks %u months %u\n", lives, looks, runs->month);
    free(runs);
}

#define MANY_ROUND 50000

static void many_check(const accounts_view_t *view, uint64_t count)
{
    for (uint64_t at = 0; at < count + 1000; at++) {
        hash128_t hash = hash_of(8, at);
        record_t record = accounts_read(view, record_key(FAMILY_KEY, 2, hash.hi, hash.lo));
        CHECK(record.head->cell_count == (at < count));
        if (at < count) CHECK(record.cells[0].value == (int64_t)at + 1);
    }
}

/* So many keys that the index is built anew, and runs of their usual length are closed. */
static void mode_many(const char *directory, uint64_t seed)
{
    accounts_options_t options = {.directory = directory,
                                  .map_bytes = 1ull << 30,
                                  .memtable_slots = 1 << 17};
    accounts_t *accounts;
    accounts_reader_t *reader;
    fault_t fault;
    CHECK(accounts_open(&options, &accounts, &fault) == STATUS_OK);
    CHECK(accounts_reader_open(accounts, &reader) == STATUS_OK);
    accounts_advance(accounts, month_middle_ms(1));
    uint64_t lsn = 0;
    for (uint64_t round = 0; round < 4 + seed; round++) {
        for (uint64_t i = 0; i < MANY_ROUND; i++, lsn++) {
            if (i % 1000 == 0) accounts_group_begin(accounts);
            hash128_t hash = hash_of(8, lsn);
            movement_t move = {.record = record_key(FAMILY_KEY, 2, hash.hi, hash.lo),
                               .cell = {.kind = CELL_VOIDED, .value = (int64_t)lsn + 1},
                               .op = MOVEMENT_SET};
            CHECK(accounts_apply(accounts, lsn + 1, &move, 1) == STATUS_OK);
            if (i % 1000 == 999) accounts_group_publish(accounts);
        }
        covered_t covered = {.lsn = lsn, .format = ACCOUNTS_FORMAT};
        CHECK(accounts_freeze(accounts, covered));
        CHECK(accounts_checkpoint(accounts, NULL, NULL) == STATUS_OK);
        many_check(accounts_pin(reader), lsn);
        accounts_unpin(reader);
    }
    accounts_reader_close(reader);
    accounts_close(accounts);
}

/* ---------------------------------------------------------------- threads ----------------- */

#define SUBMITTERS 8
#define READERS 4
#define ACCOUNTS 16

typedef struct worker {
    pthread_t thread;
    ledger_t *ledger;
    uint64_t seed;
    uint64_t first_id;
    uint64_t count;   /* 0: until killed */
    bool is_printing;
    uint64_t checked;
    uint32_t *took_us; /* the first TIMES_MAX answers */
} worker_t;

static atomic_bool is_load_over;

static record_key_t account_key(uint64_t account)
{
    return record_key(FAMILY_GROUP, 2, 100 + account, 0);
}

/* A transfer between two accounts. Each holds its balance twice, in two cells. */
static void transfer_set(operation_t *operation, uint64_t id)
{
    operation_set(operation, id);
    uint64_t seed = id;
    uint64_t from = random_below(&seed, ACCOUNTS);
    uint64_t to = random_below(&seed, ACCOUNTS);
    int64_t amount = 1 + (int64_t)random_below(&seed, 50);
    for (uint8_t purse = 1; purse <= 2; purse++) {
        operation_add(operation, account_key(from), lot_cell(purse, -amount), MOVEMENT_ADD);
        operation_add(operation, account_key(to), lot_cell(purse, amount), MOVEMENT_ADD);
    }
}

static void *submitter_main(void *argument)
{
    worker_t *worker = argument;
    operation_t *operation = calloc(1, sizeof *operation);
    ledger_reader_t *reader;
    CHECK(operation != NULL);
    CHECK(ledger_reader_open(worker->ledger, &reader) == STATUS_OK);
    for (uint64_t i = 0; worker->count == 0 || i < worker->count;) {
        /* Neighbouring workers share half of their identifiers: twins in flight. */
        uint64_t id = worker->first_id + i / 2;
        transfer_set(operation, id);
        status_t status = ledger_submit(worker->ledger, &operation->change);
        if (status == STATUS_QUEUE_FULL || status == STATUS_MEMTABLE_FULL) continue;
        CHECK(status == STATUS_OK);
        entry_t entry;
        uint64_t response[2];
        CHECK(ledger_read(reader, operation->change.position, &entry) == STATUS_OK);
        memcpy(response, entry.response, sizeof response);
        CHECK(response[0] == id);
        CHECK(response[1] == entry.header->lsn);
        if (worker->is_printing) {
            char line[32];
            int size = snprintf(line, sizeof line, "ack %llu\n", (unsigned long long)id);
            CHECK(write(1, line, (size_t)size) == size);
        }
        i++;
    }
    ledger_reader_close(reader);
    free(operation);
    return NULL;
}

static void *reader_main(void *argument)
{
    worker_t *worker = argument;
    ledger_reader_t *reader;
    CHECK(ledger_reader_open(worker->ledger, &reader) == STATUS_OK);
    uint64_t versions[ACCOUNTS] = {0};
    while (!atomic_load(&is_load_over)) {
        const accounts_view_t *view = ledger_pin(reader);
        for (uint64_t account = 0; account < ACCOUNTS; account++) {
            record_t record = accounts_read(view, account_key(account));
            if (record.head->cell_count > 0) {
                CHECK(record.head->cell_count == 2);
                CHECK(record.cells[0].value == record.cells[1].value);
                CHECK(record.head->applied_lsn >= versions[account]);
                versions[account] = record.head->applied_lsn;
            }
        }
        if (worker->checked % 4 == 0) ledger_unpin(reader);
        else ledger_leave(reader);
        worker->checked++;
    }
    ledger_reader_close(reader);
    return NULL;
}

static void start_workers(ledger_t *ledger, worker_t *workers, uint64_t count, bool is_printing,
                          uint64_t base)
{
    for (uint64_t i = 0; i < SUBMITTERS + READERS; i++) {
        worker_t worker = {.ledger = ledger,
                           .first_id = base + i / 2 * (1u << 20),
                           .count = count,
                           .is_printing = is_printing};
        workers[i] = worker;
        CHECK(pthread_create(&workers[i].thread, NULL,
                             i < SUBMITTERS ? submitter_main : reader_main, &workers[i])
              == 0);
    }
}

/* Submitters with twins, readers, and checkpoints, all at once. */
static void mode_load(const char *directory, uint64_t seed)
{
    ledger_options_t options = small_options(directory);
    ledger_t *ledger = open_ledger(&options);
    worker_t workers[SUBMITTERS + READERS];
    uint64_t count = 400;
    start_workers(ledger, workers, count, false, seed << 32);
    for (int i = 0; i < 5; i++) CHECK(ledger_checkpoint(ledger) == STATUS_OK);
    for (int i = 0; i < SUBMITTERS; i++) pthread_join(workers[i].thread, NULL);
    atomic_store(&is_load_over, true);
    uint64_t checked = 0;
    for (int i = SUBMITTERS; i < SUBMITTERS + READERS; i++) {
        pthread_join(workers[i].thread, NULL);
        checked += workers[i].checked;
    }
    ledger_metrics_t metrics;
    ledger_measure(ledger, &metrics);
    /* Half of each worker's calls are new to itself, and two workers share every identifier. */
    CHECK(metrics.entries == count / 2 * SUBMITTERS / 2);
    CHECK(metrics.entries + metrics.repeats + metrics.refused >= count * SUBMITTERS);
    CHECK(metrics.accounts.checkpoints >= 1);
    CHECK(metrics.queue_depth == 0);
    CHECK(checked > 0);
    printf("entries %llu groups %llu reads %llu\n", (unsigned long long)metrics.entries,
           (unsigned long long)metrics.groups, (unsigned long long)checked);
    ledger_close(ledger, true);
}

/* The same until somebody kills the process; every acknowledgement is a line. */
static void mode_until_killed(const char *directory, uint64_t seed)
{
    ledger_options_t options = small_options(directory);
    ledger_t *ledger = open_ledger(&options);
    worker_t workers[SUBMITTERS + READERS];
    start_workers(ledger, workers, 0, true, seed << 32);
    for (;;) CHECK(ledger_checkpoint(ledger) == STATUS_OK);
}

/* Writes `seed` entries in groups of three and ends without closing. */
static void mode_fill(const char *directory, uint64_t seed)
{
    ledger_options_t options = small_options(directory);
    options.is_threadless = true;
    ledger_t *ledger = open_ledger(&options);
    operation_t *operations = calloc(3, sizeof *operations);
    CHECK(operations != NULL);
    for (uint64_t id = 1; id <= seed; id += 3) {
        for (uint64_t i = 0; i < 3; i++) {
            transfer_set(&operations[i], id + i);
            CHECK(ledger_post(ledger, &operations[i].change) == STATUS_OK);
        }
        while (ledger_run_group(ledger)) continue;
    }
    _exit(0);
}

/* ---------------------------------------------------------------- looking ----------------- */

static int64_t dump_total;

static void dump_record(void *context, const record_key_t *key, record_t record)
{
    FILE *file = context;
    fprintf(file, "record %u %u %llu %llu lsn %llu", key->family, key->partition,
            (unsigned long long)key->hi, (unsigned long long)key->lo,
            (unsigned long long)record.head->applied_lsn);
    for (uint32_t i = 0; i < record.head->cell_count; i++) {
        const cell_t *cell = &record.cells[i];
        fprintf(file, " [%u %u %d %llu %lld %lld]", cell->kind, cell->sub, cell->day,
                (unsigned long long)cell->key, (long long)cell->value, (long long)cell->other);
        if (key->family == FAMILY_GROUP) dump_total += cell->value;
    }
    fprintf(file, "\n");
}

/* Opens (a restart), then prints every entry and every record. */
static void mode_dump(const char *directory, uint64_t seed)
{
    (void)seed;
    ledger_options_t options = small_options(directory);
    options.is_threadless = true;
    ledger_t *ledger = open_ledger(&options);
    ledger_reader_t *reader;
    CHECK(ledger_reader_open(ledger, &reader) == STATUS_OK);
    CHECK(ledger_seek(reader, 1) == STATUS_OK);
    ledger_metrics_t metrics;
    ledger_measure(ledger, &metrics);
    printf("recovered %llu\n", (unsigned long long)metrics.recovered_entries);
    uint64_t lsn = 0;
    int64_t post_unix_ms = 0;
    for (;;) {
        entry_t entry;
        CHECK(ledger_next(reader, &entry) == STATUS_OK);
        if (entry.header == NULL) break;
        CHECK(entry.header->lsn == ++lsn);
        CHECK(entry.header->post_unix_ms >= post_unix_ms);
        post_unix_ms = entry.header->post_unix_ms;
        uint64_t id = 0;
        if (entry.header->request_bytes == sizeof id) memcpy(&id, entry.request, sizeof id);
        printf("entry %llu %llu %llu %u %u %llu %llu\n", (unsigned long long)lsn,
               (unsigned long long)position_segment(entry.position),
               (unsigned long long)position_offset(entry.position), entry.header->length,
               entry.header->kind, (unsigned long long)entry.header->durable_lsn,
               (unsigned long long)id);
    }
    CHECK(lsn == metrics.durable_lsn);
    for (uint64_t at = 1; at <= lsn; at += 1 + lsn / 20) {
        entry_t entry;
        CHECK(ledger_seek(reader, at) == STATUS_OK);
        CHECK(ledger_next(reader, &entry) == STATUS_OK);
        CHECK(entry.header->lsn == at);
    }
    CHECK(ledger_seek(reader, lsn + 2) == STATUS_LSN_NOT_KEPT);
    CHECK(accounts_each(ledger_pin(reader), dump_record, stdout) == STATUS_OK);
    ledger_unpin(reader);
    printf("total %lld\n", (long long)dump_total);
    ledger_reader_close(reader);
    ledger_close(ledger, false);
}

/* ---------------------------------------------------------------- figures ----------------- */

#define TIMES_MAX (1 << 20)

static atomic_ulong bench_answered;

static int64_t now_ns(void)
{
    return machine_real()->monotonic_ns(NULL);
}

static int time_compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left;
    uint32_t b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static void *bench_main(void *argument)
{
    worker_t *worker = argument;
    operation_t *operation = calloc(1, sizeof *operation);
    CHECK(operation != NULL);
    static const uint8_t request[700];
    for (uint64_t i = 0; !atomic_load(&is_load_over); i++) {
        operation_set(operation, worker->first_id + i);
        operation->change.request = request;
        operation->change.request_bytes = sizeof request;
        uint64_t group = random_below(&worker->seed, 100000);
        cell_t counter = {.kind = CELL_COUNTER, .sub = 1, .day = 20260101, .key = 9, .value = 1};
        operation_add(operation, record_key(FAMILY_GROUP, 2, group, 0), lot_cell(1, 5),
                      MOVEMENT_ADD);
        operation_add(operation, record_key(FAMILY_MEMBER, 2, group, group), counter,
                      MOVEMENT_ADD);
        int64_t began_ns = now_ns();
        CHECK(ledger_submit(worker->ledger, &operation->change) == STATUS_OK);
        if (i < TIMES_MAX) worker->took_us[i] = (uint32_t)((now_ns() - began_ns) / 1000);
        worker->checked = i + 1;
        atomic_fetch_add(&bench_answered, 1);
    }
    free(operation);
    return NULL;
}

static void print_times(const worker_t *workers, uint64_t count)
{
    uint64_t total = 0;
    for (uint64_t i = 0; i < count; i++) total += workers[i].checked;
    uint32_t *times = malloc(total * sizeof *times);
    CHECK(times != NULL);
    uint64_t used = 0;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t size = workers[i].checked < TIMES_MAX ? workers[i].checked : TIMES_MAX;
        memcpy(times + used, workers[i].took_us, size * sizeof *times);
        free(workers[i].took_us);
        used += size;
    }
    qsort(times, used, sizeof *times, time_compare);
    printf("p50 %u us, p99 %u us, p99.9 %u us, most %u us\n", times[used / 2],
           times[used * 99 / 100], times[used * 999 / 1000], times[used - 1]);
    free(times);
}

/* `seed` threads for five seconds, each with one durable change in flight, sizes as in service. */
static void mode_bench(const char *directory, uint64_t seed)
{
    ledger_options_t options = {.data_directory = directory};
    int64_t began_ns = now_ns();
    ledger_t *ledger = open_ledger(&options);
    ledger_metrics_t opened;
    ledger_measure(ledger, &opened);
    printf("opened in %lld ms, %llu entries replayed\n", (long long)(now_ns() - began_ns) / 1000000,
           (unsigned long long)opened.recovered_entries);
    fflush(stdout);
    worker_t *workers = calloc(seed, sizeof *workers);
    CHECK(workers != NULL);
    for (uint64_t i = 0; i < seed; i++) {
        workers[i].ledger = ledger;
        workers[i].seed = i;
        workers[i].took_us = malloc(TIMES_MAX * sizeof(uint32_t));
        CHECK(workers[i].took_us != NULL);
        workers[i].first_id = (uint64_t)getpid() << 40 | i << 32;
        CHECK(pthread_create(&workers[i].thread, NULL, bench_main, &workers[i]) == 0);
    }
    for (int second = 0; second < 5; second++) {
        uint64_t before = atomic_load(&bench_answered);
        sleep(1);
        ledger_metrics_t metrics;
        ledger_measure(ledger, &metrics);
        printf("%llu commits/s, group %.1f, sync %.0f us, memtable %llu MiB, checkpoints %llu\n",
               (unsigned long long)(atomic_load(&bench_answered) - before),
               (double)metrics.entries / (double)(metrics.groups + 1),
               (double)metrics.sync_ns / 1e3 / (double)(metrics.groups + 1),
               (unsigned long long)metrics.accounts.memtable_bytes >> 20,
               (unsigned long long)metrics.accounts.checkpoints);
    }
    atomic_store(&is_load_over, true);
    for (uint64_t i = 0; i < seed; i++) pthread_join(workers[i].thread, NULL);
    print_times(workers, seed);
    free(workers);
    ledger_close(ledger, true);
}

static void mode_checksum(const char *directory, uint64_t seed)
{
    (void)directory;
    uint32_t table[256];
    crc32c_fill(table);
    CHECK(crc32c(0, "123456789", 9) == 0xe3069283u);
    uint8_t bytes[4000];
    for (int round = 0; round < 1000; round++) {
        size_t size = random_below(&seed, sizeof bytes);
        for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)random_next(&seed);
        uint32_t start = (uint32_t)random_next(&seed);
        CHECK(crc32c(start, bytes, size) == crc32c_portable(table, start, bytes, size));
    }
}

static void mode_lock(const char *directory, uint64_t seed)
{
    int lock;
    fault_t fault;
    status_t status = data_directory_lock(directory, &lock, &fault);
    printf("%s\n", status_name(status));
    fflush(stdout);
    if (status == STATUS_OK && seed > 0) getchar();
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(const char *directory, uint64_t seed);
    } modes[] = {
        {"model", mode_model},
        {"checkpoint-crash", mode_checkpoint_crash},
        {"once", mode_once},
        {"ceilings", mode_ceilings},
        {"disk-full", mode_disk_full},
        {"sync-fails", mode_sync_fails},
        {"retention", mode_retention},
        {"runs", mode_runs},
        {"many", mode_many},
        {"load", mode_load},
        {"until-killed", mode_until_killed},
        {"fill", mode_fill},
        {"dump", mode_dump},
        {"bench", mode_bench},
        {"checksum", mode_checksum},
        {"lock", mode_lock},
    };
    if (argc != 4) {
        fprintf(stderr, "usage: ledger_harness MODE DIRECTORY SEED\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (strcmp(argv[1], modes[i].name) != 0) continue;
        modes[i].run(argv[2], strtoull(argv[3], NULL, 10));
        return 0;
    }
    fprintf(stderr, "no such mode: %s\n", argv[1]);
    return 2;
}
