/* The real ledger over a fake disk and a fake clock, from a seed.
 *
 * A seed is a life of one data directory. Each of its openings is a process of its own, forked, so
 * that it can be stopped anywhere, and that nothing it had in memory survives: the power goes (the
 * disk keeps of the unsynced what chance leaves), or the process is killed (the page cache stays).
 * What the lanes know, their answers, is kept in shared memory, as is the disk. After every opening
 * that got so far, everything is checked; then operations go on until the next stop. The last
 * opening of a seed runs undisturbed, asks for everything once more, and compares the accounts with
 * those that are rebuilt from the journal alone.
 *
 * usage: simulation DIRECTORY FIRST_SEED SEED_COUNT. Ends with status 1 at the first seed that
 * fails; the last lines say which check, and at which step. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "disk.h"
#include "ledger.h"
#include "operations.h"
#include "twin.h"

#define OPERATIONS_MAX 400
#define ENTRIES_MAX 1200
#define CALLS_MAX 12
#define OPENINGS_MAX 9
#define STORED_RESPONSE_BYTES (sizeof(response_t) + RESPONSE_PADDING_MAX)
#define HOUR_MS 3600000
/* 800 days of the 840 that a retention may have, from the beginning of the fake clock. */
#define WORLD_END_MS (1767225600000 + 800ll * 86400000)

/* What is known of an operation. `bound` says content (variant + 1) that a key or receipt stands
 * for, durably; the index is call_t.is_other_key. */
typedef struct operation {
    request_t request;
    uint8_t bound_key[2];
    uint8_t bound_receipt;
    bool is_entered;         /* an entry of it is durable */
    uint64_t position;
    uint64_t prepared_hash;  /* of the last time that it was prepared */
    uint32_t prepared_movements;
    uint32_t response_bytes; /* 0: no lane has read an answer */
    uint8_t response[STORED_RESPONSE_BYTES];
} operation_t;

typedef struct posted {
    uint32_t operation;
    uint8_t variant;
    bool is_other_key;
} posted_t;

typedef struct counts {
    uint64_t openings, cuts, kills, unfinished, entries, answered, repeats, reused, refused;
    uint64_t full, checkpoints, interleaved, rebuilt, checked, opened_full;
} counts_t;

/* Shared by all processes of a seed; `counts` by all seeds. */
typedef struct world {
    uint64_t seed;
    uint64_t random;
    uint32_t opening;
    bool has_failed_sync;    /* the opening before ended with one */
    bool is_open;            /* this opening has got through its recovery */
    uint32_t operation_count;
    uint64_t settled_lsn;    /* everything up to here was answered, or read after an opening */
    int64_t post_unix_ms;    /* of the last settled entry */
    uint32_t batch_count;    /* the last calls, as they were posted */
    posted_t batch[CALLS_MAX];
    uint32_t crc[ENTRIES_MAX];
    operation_t operations[OPERATIONS_MAX];
    uint64_t accounts_hash;  /* of the last orderly end */
    counts_t counts;
    twin_t twin;
} world_t;

static world_t *world;
static ledger_t *ledger;
static ledger_reader_t *reader;
static int64_t boot_wall_ms;
static int64_t boot_monotonic_ns;
static bool may_interleave;
static bool is_interleaved;

#define CHECK(belief)                                  \
    do {                                               \
        if (!(belief)) failed(__LINE__, #belief);      \
    } while (0)

static void failed(int line, const char *belief)
{
    fprintf(stderr, "simulation.c:%d: not true: %s\nseed %llu opening %u step %llu\n", line, belief,
            (unsigned long long)world->seed, world->opening, (unsigned long long)disk->steps);
    _exit(1);
}

static uint64_t below(uint64_t bound)
{
    return random_below(&world->random, bound);
}

static void journal_path(uint64_t position, char *path)
{
    snprintf(path, NAME_BYTES_MAX, "/journal/%08llu.seg",
             (unsigned long long)position_segment(position));
}

/* Checks that an entry, and all of its segment before it, is on the disk. */
static void check_on_disk(uint64_t position)
{
    char path[NAME_BYTES_MAX];
    journal_path(position, path);
    const disk_file_t *file = disk_file(path);
    CHECK(file != NULL);
    entry_header_t header;
    CHECK(position_offset(position) + sizeof header <= file->cached_bytes);
    memcpy(&header, file->cached + position_offset(position), sizeof header);
    CHECK(disk_is_durable(path, position_offset(position) + header.length));
}

/* ---------------------------------------------------------------- answers ----------------- */

/* Reads the answer at a position and compares it with the one that the lane has, if any. */
static void check_response(operation_t *operation, uint64_t position)
{
    entry_t entry;
    CHECK(ledger_read(reader, position, &entry) == STATUS_OK);
    uint32_t bytes = entry.header->response_bytes;
    CHECK(bytes >= sizeof(response_t));
    CHECK(bytes <= STORED_RESPONSE_BYTES);
    if (operation->response_bytes == 0) {
        operation->response_bytes = bytes;
        memcpy(operation->response, entry.response, bytes);
    }
    CHECK(operation->response_bytes == bytes);
    CHECK(memcmp(operation->response, entry.response, bytes) == 0);
}

static void note_entered(operation_t *operation, const call_t *call)
{
    const change_t *change = &call->change;
    CHECK(!operation->is_entered);
    CHECK(change->lsn == world->settled_lsn + 1);
    CHECK(change->lsn < ENTRIES_MAX);
    CHECK(change->post_unix_ms >= world->post_unix_ms);
    /* Never more than an hour ahead of the clock that this opening found, unless it was before. */
    int64_t awake_ms = (disk->monotonic_ns - boot_monotonic_ns) / 1000000;
    CHECK(change->post_unix_ms == world->post_unix_ms
          || change->post_unix_ms <= boot_wall_ms + awake_ms + HOUR_MS);
    check_on_disk(change->position);
    entry_t entry;
    CHECK(ledger_read(reader, change->position, &entry) == STATUS_OK);
    CHECK(entry.header->lsn == change->lsn);
    world->settled_lsn = change->lsn;
    world->post_unix_ms = change->post_unix_ms;
    world->crc[change->lsn] = entry.header->crc;
    operation->is_entered = true;
    operation->position = change->position;
    operation->bound_key[call->is_other_key] = (uint8_t)(call->variant + 1);
    if (has_receipt(call->request.kind)) operation->bound_receipt = (uint8_t)(call->variant + 1);
    check_response(operation, change->position);
    world->counts.answered++;
}

static bool is_refusal(status_t status)
{
    switch (status) {
    case STATUS_POINTS_SHORT:
    case STATUS_RECEIPT_UNKNOWN:
    case STATUS_RECEIPT_VOIDED:
    case STATUS_RECEIPT_HAS_RETURNS:
    case STATUS_RETURN_TOO_MUCH:
    case STATUS_HOLD_NOT_COVERED:
    case STATUS_HOLD_CLOSED:
    case STATUS_MEMTABLE_FULL:
        world->counts.refused++;
        return true;
    case STATUS_DISK_FULL:
        world->counts.full++;
        return true;
    case STATUS_IO_FAILED:
        /* No next segment, because a sync of it failed. */
        return disk->failed_syncs > 0;
    default:
        return false;
    }
}

static void refused_oddly(status_t status)
{
    fprintf(stderr, "status %d\n", (int)status);
    CHECK(!"a refusal that nothing explains");
}

/* An answer leaves: everything bound before is known, so it can be told what it must be. */
static void call_done(change_t *change)
{
    call_t *call = change->context;
    operation_t *operation = &world->operations[call->operation];
    CHECK(!call->is_done);
    call->is_done = true;
    uint8_t content = (uint8_t)(call->variant + 1);
    uint8_t bound = operation->bound_key[call->is_other_key];
    status_t reused = STATUS_KEY_REUSED;
    if (bound == 0 && has_receipt(call->request.kind)) {
        bound = operation->bound_receipt;
        reused = STATUS_RECEIPT_REUSED;
    }
    if (bound == 0) {
        CHECK(!change->is_repeat);
        if (change->status == STATUS_OK) note_entered(operation, call);
        else if (!is_refusal(change->status)) refused_oddly(change->status);
    } else if (bound == content) {
        CHECK(change->status == STATUS_OK);
        CHECK(change->is_repeat);
        CHECK(!call->is_prepared);
        CHECK(change->position == operation->position);
        check_on_disk(change->position);
        check_response(operation, change->position);
        world->counts.repeats++;
    } else {
        CHECK(change->status == reused);
        CHECK(!call->is_prepared);
        world->counts.reused++;
    }
}

/* Notes what an entry will be before any byte of it can be on the disk. */
static status_t call_prepare_noted(void *context, const accounts_view_t *view,
                                   entry_builder_t *entry)
{
    call_t *call = context;
    status_t status = call_prepare(context, view, entry);
    operation_t *operation = &world->operations[call->operation];
    if (status != STATUS_OK) return status;
    operation->prepared_hash = call->prepared_hash;
    operation->prepared_movements = call->prepared_movements;
    return status;
}

/* ---------------------------------------------------------------- the workload ------------ */

/* A new operation: mostly sales, and others that often name a recent one. */
static uint32_t operation_new(void)
{
    static const uint8_t kinds[] = {KIND_SALE,   KIND_SALE,   KIND_SALE, KIND_SALE,
                                    KIND_SPEND,  KIND_SPEND,  KIND_VOID, KIND_RETURN,
                                    KIND_RETURN, KIND_HOLD,   KIND_HOLD, KIND_CAPTURE,
                                    KIND_CAPTURE, KIND_RELEASE, KIND_NOTE, KIND_ADJUST, KIND_MERGE};
    uint32_t number = world->operation_count++;
    request_t request = {.operation = number,
                         .kind = kinds[below(sizeof kinds)],
                         .group = (uint8_t)below(GROUPS),
                         .member = (uint8_t)below(MEMBERS),
                         .amount = 1 + (int64_t)below(60)};
    static const uint8_t undoings[] = {KIND_VOID, KIND_RETURN, KIND_CONFIRM};
    bool is_undo = request.kind == KIND_VOID || request.kind == KIND_RETURN;
    bool is_release = request.kind == KIND_CAPTURE || request.kind == KIND_RELEASE;
    if (is_undo || is_release) {
        uint8_t wanted = is_undo ? KIND_SALE : KIND_HOLD;
        request.kind = KIND_NOTE;
        for (uint32_t tries = 0; tries < 20 && number > 0; tries++) {
            uint32_t back = (uint32_t)below(number < 30 ? number : 30) + 1;
            const request_t *target = &world->operations[number - back].request;
            if (target->kind != wanted) continue;
            request.kind = is_undo ? undoings[below(sizeof undoings)]
                                   : (below(2) ? KIND_CAPTURE : KIND_RELEASE);
            request.group = target->group;
            request.target = target->operation;
            break;
        }
    }
    memset(&world->operations[number], 0, sizeof(operation_t));
    world->operations[number].request = request;
    return number;
}

static void call_post(call_t *call, uint32_t number, uint8_t variant, bool is_other_key)
{
    request_t request = world->operations[number].request;
    request.variant = variant;
    request.amount += variant;
    call_set(call, &request, is_other_key);
    call->change.prepare = call_prepare_noted;
    call->change.done = call_done;
    CHECK(ledger_post(ledger, &call->change) == STATUS_OK);
}

/* One call: a new operation, or one of the last ones again, in all its variations. */
static void call_random(call_t *call)
{
    bool is_new = world->operation_count < OPERATIONS_MAX && below(3) != 0;
    if (is_new || world->operation_count == 0) {
        call_post(call, operation_new(), 0, false);
        return;
    }
    uint64_t reach = below(3) == 0 ? world->operation_count : 12;
    if (reach > world->operation_count) reach = world->operation_count;
    uint32_t number = world->operation_count - 1 - (uint32_t)below(reach);
    bool is_sale = world->operations[number].request.kind == KIND_SALE;
    call_post(call, number, below(4) == 0, is_sale && below(4) == 0);
}

/* Some calls at once, twins among them, until all are answered. */
static void run_calls(uint64_t count)
{
    call_t *calls = calloc(CALLS_MAX, sizeof *calls);
    CHECK(calls != NULL);
    for (uint64_t i = 0; i < count; i++) {
        if (i > 0 && below(5) == 0) {
            const call_t *twin = &calls[below(i)];
            call_post(&calls[i], twin->operation, below(3) == 0, twin->is_other_key);
        } else {
            call_random(&calls[i]);
        }
    }
    if (!is_interleaved) {
        for (uint64_t i = 0; i < count; i++) {
            posted_t posted = {calls[i].operation, calls[i].variant, calls[i].is_other_key};
            world->batch[i] = posted;
        }
        world->batch_count = (uint32_t)count;
    }
    while (ledger_run_group(ledger)) continue;
    for (uint64_t i = 0; i < count; i++) CHECK(calls[i].is_done);
    free(calls);
}

/* What lanes do first when the service is back: ask again what was not answered, some in the old
 * order. */
static void run_last_calls_again(void)
{
    static call_t calls[CALLS_MAX];
    if (world->batch_count == 0) return;
    bool is_one_by_one = below(4) != 0;
    uint64_t first = below(2) * below(CALLS_MAX);
    bool is_cut_soon = below(2) == 0;
    uint64_t count = is_cut_soon ? 1 : world->batch_count;
    for (uint64_t i = 0; i < count; i++) {
        const posted_t *posted = &world->batch[(first + i) % world->batch_count];
        call_post(&calls[i], posted->operation, posted->variant, posted->is_other_key);
        while (is_one_by_one && ledger_run_group(ledger)) continue;
    }
    while (ledger_run_group(ledger)) continue;
    for (uint64_t i = 0; i < count; i++) CHECK(calls[i].is_done);
    if (is_cut_soon) _exit(EXIT_POWER_CUT);
}

/* Readers see only what is durable: looked at while a group is being written and synced. */
static void look_during_write(void)
{
    if (reader == NULL) return;
    const accounts_view_t *view = ledger_pin(reader);
    for (uint8_t group = 0; group < GROUPS; group++) {
        CHECK(accounts_read(view, group_key(group)).head->applied_lsn <= world->settled_lsn);
    }
    CHECK(accounts_read(view, offer_key()).head->applied_lsn <= world->settled_lsn);
    ledger_unpin(reader);
}

/* The writer goes on while a checkpoint is under way. */
static void run_during_checkpoint(void)
{
    if (!may_interleave || is_interleaved || below(3) != 0) return;
    is_interleaved = true;
    world->counts.interleaved++;
    run_calls(1 + below(4));
    is_interleaved = false;
}

/* ---------------------------------------------------------------- checkers ---------------- */

/* One entry of the journal: what was answered is unchanged, what was not is whole. */
static void check_entry(const entry_t *entry)
{
    const entry_header_t *header = entry->header;
    bool is_settled = header->lsn <= world->settled_lsn;
    if (is_settled) CHECK(header->crc == world->crc[header->lsn]);
    for (uint32_t i = 0; i < header->movement_count; i++) {
        const cell_t *cell = twin_move(&world->twin, header->lsn, &entry->movements[i]);
        CHECK(cell != NULL);
        if (cell->kind == CELL_LOT || cell->kind == CELL_HOLD) CHECK(cell->value >= 0);
        if (cell->kind == CELL_DEBT || cell->kind == CELL_EARNED) CHECK(cell->value >= 0);
        /* Said once: a second time would be seen here. */
        if (cell->kind == CELL_CONFIRMED) CHECK(cell->value == 1 || cell->value == -1);
        if (cell->kind != CELL_COUNTER) continue;
        CHECK(cell->value >= 0);
        int64_t ceiling = entry->movements[i].record.family == FAMILY_OFFER ? BUDGET : MEMBER_LIMIT;
        CHECK(cell->value <= ceiling);
    }
    world->crc[header->lsn] = header->crc;
    if (header->kind == ENTRY_RECOVERED) return;
    request_t request;
    CHECK(header->request_bytes >= sizeof request);
    memcpy(&request, entry->request, sizeof request);
    CHECK(request.operation < world->operation_count);
    operation_t *operation = &world->operations[request.operation];
    CHECK(header->movement_count > operation->prepared_movements);
    uint64_t hash = entry_hash(entry->movements, operation->prepared_movements, entry->response,
                               header->response_bytes);
    CHECK(hash == operation->prepared_hash);
    if (is_settled) {
        CHECK(operation->is_entered);
        CHECK(operation->position == entry->position);
        return;
    }
    /* No lane had an answer to this one; now it is there, whole, and stays. */
    CHECK(!operation->is_entered);
    operation->is_entered = true;
    operation->position = entry->position;
}

/* Finds under which key an unanswered operation was entered: by the bindings in its entry. */
static void learn_bindings(const entry_t *entry)
{
    request_t request;
    if (entry->header->kind == ENTRY_RECOVERED) return;
    memcpy(&request, entry->request, sizeof request);
    operation_t *operation = &world->operations[request.operation];
    for (int other = 0; other < 2; other++) {
        call_t call;
        request.padding = 0;
        call_set(&call, &request, other == 1);
        for (uint32_t i = 0; i < entry->header->movement_count; i++) {
            const record_key_t *record = &entry->movements[i].record;
            if (record->family != FAMILY_KEY || record->hi != call.change.key.hi) continue;
            if (record->lo == call.change.key.lo) {
                operation->bound_key[other] = (uint8_t)(request.variant + 1);
            }
        }
    }
    if (has_receipt(request.kind)) operation->bound_receipt = (uint8_t)(request.variant + 1);
}

typedef struct sums {
    int64_t points[GROUPS];
    int64_t given;
    uint64_t entries;
} sums_t;

/* Walks over the whole journal, builds the twin, and settles what is there. */
static void check_journal(sums_t *sums)
{
    twin_clear(&world->twin);
    CHECK(ledger_seek(reader, 1) == STATUS_OK);
    uint64_t lsn = 0;
    int64_t post_unix_ms = 0;
    static bool is_seen[OPERATIONS_MAX];
    memset(is_seen, 0, sizeof is_seen);
    for (;;) {
        entry_t entry;
        CHECK(ledger_next(reader, &entry) == STATUS_OK);
        if (entry.header == NULL) break;
        CHECK(entry.header->lsn == ++lsn);
        CHECK(lsn < ENTRIES_MAX);
        CHECK(entry.header->post_unix_ms >= post_unix_ms);
        post_unix_ms = entry.header->post_unix_ms;
        check_entry(&entry);
        if (lsn > world->settled_lsn) check_on_disk(entry.position);
        if (entry.header->kind == ENTRY_RECOVERED) continue;
        learn_bindings(&entry);
        response_t response;
        memcpy(&response, entry.response, sizeof response);
        CHECK(response.lsn == lsn);
        CHECK(!is_seen[response.operation]);
        is_seen[response.operation] = true;
        sums->points[response.group] += response.points + response.moved;
        sums->points[response.from] -= response.moved;
        sums->given += response.given;
        sums->entries++;
    }
    CHECK(lsn >= world->settled_lsn);
    world->settled_lsn = lsn;
    world->post_unix_ms = post_unix_ms;
    for (uint32_t i = 0; i < world->operation_count; i++) {
        CHECK(is_seen[i] == world->operations[i].is_entered);
    }
}

typedef struct tally {
    int64_t points[GROUPS];
    int64_t net[GROUPS];
    int64_t given;
    int64_t members_given;
    uint64_t cells;
    uint64_t hash;
} tally_t;

/* One record of the accounts, against the twin. */
static void check_record(void *context, const record_key_t *key, record_t record)
{
    tally_t *tally = context;
    uint64_t group = key->hi - group_key(0).hi;
    CHECK(record.head->applied_lsn == twin_touched(&world->twin, key));
    for (uint32_t i = 0; i < record.head->cell_count; i++) {
        const cell_t *cell = &record.cells[i];
        const twin_cell_t *slot = twin_at(&world->twin, key, cell);
        CHECK(slot != NULL);
        CHECK(slot->cell.value == cell->value);
        CHECK(slot->cell.other == cell->other);
        tally->cells++;
        if (key->family == FAMILY_GROUP) {
            CHECK(group < GROUPS);
            if (cell->kind == CELL_LOT || cell->kind == CELL_HOLD) {
                tally->points[group] += cell->value;
            }
            if (cell->kind == CELL_DEBT) tally->points[group] -= cell->value;
            if (cell->kind == CELL_PROGRESS) tally->net[group] += cell->value;
        }
        if (key->family == FAMILY_OFFER) tally->given += cell->value;
        if (key->family == FAMILY_MEMBER) tally->members_given += cell->value;
    }
    static const uint64_t hash_key[2] = {3, 4};
    size_t bytes = sizeof *record.head + record.head->cell_count * sizeof(cell_t);
    tally->hash = mix64(tally->hash ^ siphash128(hash_key, key, sizeof *key).lo);
    tally->hash = mix64(tally->hash ^ siphash128(hash_key, record.head, bytes).lo);
}

static void check_read(const accounts_view_t *view, record_key_t key)
{
    record_t record = accounts_read(view, key);
    for (uint32_t i = 0; i < record.head->cell_count; i++) {
        const twin_cell_t *slot = twin_at(&world->twin, &key, &record.cells[i]);
        CHECK(slot != NULL);
        CHECK(slot->cell.value == record.cells[i].value);
        CHECK(slot->cell.other == record.cells[i].other);
    }
    uint64_t touched = twin_touched(&world->twin, &key);
    /* An empty record may have forgotten who emptied it. */
    if (record.head->cell_count > 0) CHECK(record.head->applied_lsn == touched);
    else CHECK(record.head->applied_lsn == touched || record.head->applied_lsn == 0);
}

/* Everything: the journal against what lanes were told, the accounts against the journal, and
 * every sum against every other way to come by it. Returns a hash of all records. */
static uint64_t check_all(void)
{
    sums_t sums = {0};
    tally_t tally = {0};
    check_journal(&sums);
    const accounts_view_t *view = ledger_pin(reader);
    CHECK(accounts_each(view, check_record, &tally) == STATUS_OK);
    check_read(view, offer_key());
    for (uint8_t group = 0; group < GROUPS; group++) {
        check_read(view, group_key(group));
        for (uint8_t member = 0; member < MEMBERS; member++) {
            check_read(view, member_key(group, member));
        }
        CHECK(tally.points[group] == sums.points[group]);
        CHECK(tally.net[group] == sums.points[group]);
    }
    ledger_unpin(reader);
    CHECK(tally.cells == world->twin.cells);
    CHECK(tally.given == sums.given);
    CHECK(tally.members_given == sums.given);
    CHECK(tally.given <= BUDGET);
    world->counts.checked += sums.entries;
    return tally.hash;
}

/* ---------------------------------------------------------------- one opening ------------- */

static void open_ledger(void)
{
    uint64_t sizes = mix64(world->seed);
    ledger_options_t options = {
        .data_directory = disk_directory,
        .machine = disk_machine(),
        .program_key = 77,
        .node = 1,
        .partition = PARTITION,
        .is_threadless = true,
        .retention_days = RETENTION_DAYS_MAX,
        .journal = {.segment_bytes = 12288 + sizes % 3 * 4096,
                    .entry_bytes_max = 4096,
                    .group_bytes_max = 4096 + sizes / 4 % 2 * 4096,
                    .salt = 12345},
        .accounts = {.map_bytes = 16 << 20,
                     .memtable_bytes = 20480 + sizes / 8 % 3 * 16384,
                     .memtable_slots = 256,
                     .run_records = 1 + (uint32_t)(sizes / 256 % 30),
                     .checkpoint_records = 2 + (uint32_t)(sizes / 32 % 8),
                     .checkpoint_pause_ms = 1},
    };
    fault_t fault;
    boot_wall_ms = disk->wall_unix_ms + disk->skew_ms;
    boot_monotonic_ns = disk->monotonic_ns;
    uint64_t failed_syncs = disk->failed_syncs;
    status_t status = ledger_open(&options, &ledger, &fault);
    if (status == STATUS_OK && disk->is_full) world->counts.opened_full++;
    if (status == STATUS_DISK_FULL && disk->is_full) {
        /* A journal that is there needs no room to be opened; a first one does. */
        disk->is_full = false;
        status = ledger_open(&options, &ledger, &fault);
    }
    if (status == STATUS_IO_FAILED && disk->failed_syncs > failed_syncs) {
        /* A sync failed before anything could be answered: the service does not start. */
        _exit(disk->is_cut ? EXIT_POWER_CUT : EXIT_KILLED);
    }
    if (status != STATUS_OK) fprintf(stderr, "status %d at %s\n", (int)status, fault.place);
    CHECK(status == STATUS_OK);
    CHECK(ledger_reader_open(ledger, &reader) == STATUS_OK);
    world->is_open = true;
}

/* When and how this opening comes to its end. */
static void plan_end(bool is_undisturbed)
{
    disk->is_cut = below(4) != 0;
    disk->steps_left = -1;
    disk->syncs_left = -1;
    if (is_undisturbed) return;
    bool is_after_failure = world->has_failed_sync;
    world->has_failed_sync = false;
    uint64_t how = below(10);
    if (how < 3) {
        disk->steps_left = (int64_t)below(80); /* often in the middle of the recovery */
    } else if (how < 6 || is_after_failure) {
        /* After a sync that failed the power goes soon, and shows what was on the disk. */
        disk->steps_left = (int64_t)below(is_after_failure ? 120 : 500);
    } else if (how < 9) {
        disk->is_mapped_sync = how > 6;
        disk->syncs_left = (int64_t)below(disk->is_mapped_sync ? 12 : 60);
        disk->is_cut = below(3) == 0;
    }
}

static void jump_clock(void)
{
    static const int64_t jumps_ms[] = {-HOUR_MS, HOUR_MS / 2, -86400000, 86400000, 31536000000};
    int64_t jump_ms = jumps_ms[below(5)];
    /* Nothing may be repeated as new here: the world ends before its keys' retention does. */
    if (disk->wall_unix_ms + jump_ms > WORLD_END_MS) jump_ms = -HOUR_MS;
    disk->wall_unix_ms += jump_ms;
    disk->monotonic_ns += (int64_t)below(5000000000);
}

static void checkpoint(bool is_whole)
{
    may_interleave = true;
    status_t status = is_whole ? ledger_checkpoint(ledger) : ledger_run_helper(ledger);
    may_interleave = false;
    CHECK(status == STATUS_OK || (status == STATUS_DISK_FULL && disk->is_full));
}

/* One thing that happens while the ledger is open. */
static void act(void)
{
    switch (below(14)) {
    case 0:
        checkpoint(true);
        break;
    case 1:
    case 2:
    case 3:
        checkpoint(false);
        break;
    case 4:
        jump_clock();
        break;
    case 5:
        disk->is_full = disk->is_full ? below(3) == 0 : below(4) == 0;
        break;
    default:
        run_calls(1 + below(6));
    }
}

/* Asks for every operation again, now that nothing stands in the way. */
static void ask_for_everything(void)
{
    disk->is_full = false;
    disk->monotonic_ns += 5000000000;
    static call_t call;
    for (uint32_t i = 0; i < world->operation_count; i++) {
        call_post(&call, i, 0, false);
        while (ledger_run_group(ledger)) continue;
        CHECK(call.is_done);
        CHECK(call.change.status != STATUS_DISK_FULL);
        if (i % 8 == 0) checkpoint(false);
    }
}

static void live(bool is_last, bool is_rebuilt)
{
    plan_end(is_last || is_rebuilt);
    open_ledger();
    uint64_t hash = check_all();
    if (is_rebuilt) {
        CHECK(hash == world->accounts_hash);
        world->counts.rebuilt++;
    }
    disk_journal_hook = look_during_write;
    disk_rest_hook = run_during_checkpoint;
    uint64_t rounds = is_rebuilt || is_last ? 0 : 5 + below(40);
    if (rounds > 0 && below(2) == 0) run_last_calls_again();
    for (uint64_t i = 0; i < rounds; i++) act();
    if (is_last) ask_for_everything();
    world->accounts_hash = check_all();
    disk_journal_hook = NULL;
    disk_rest_hook = NULL;
    ledger_metrics_t metrics;
    ledger_measure(ledger, &metrics);
    world->counts.entries += metrics.entries;
    world->counts.checkpoints += metrics.accounts.checkpoints;
    ledger_reader_close(reader);
    ledger_close(ledger, below(2) == 0);
    _exit(0);
}

/* ---------------------------------------------------------------- all seeds --------------- */

/* Runs one opening in a process of its own; false when a check failed there. */
static bool run_opening(bool is_last, bool is_rebuilt)
{
    world->opening++;
    world->is_open = false;
    uint64_t failed_syncs = disk->failed_syncs;
    pid_t child = fork();
    if (child < 0) exit(2);
    if (child == 0) live(is_last, is_rebuilt);
    int status;
    if (waitpid(child, &status, 0) != child) exit(2);
    world->counts.openings++;
    if (!world->is_open) world->counts.unfinished++;
    world->has_failed_sync = disk->failed_syncs > failed_syncs;
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    if (code == EXIT_POWER_CUT) world->counts.cuts++;
    if (code == EXIT_KILLED) world->counts.kills++;
    bool is_well = code == 0 || code == EXIT_POWER_CUT || code == EXIT_KILLED;
    if (!is_well) {
        fprintf(stderr, "failed: seed %llu opening %u step %llu: ended with %s %d\n",
                (unsigned long long)world->seed, world->opening, (unsigned long long)disk->steps,
                code < 0 ? "signal" : "status", code < 0 ? WTERMSIG(status) : code);
        return false;
    }
    /* After a kill, or an orderly end, the power may go as well. */
    if (code == EXIT_POWER_CUT || below(4) == 0) disk_power_cut();
    return true;
}

static bool run_seed(uint64_t seed)
{
    world->seed = seed;
    world->random = mix64(seed ^ 0x51ed270b);
    world->opening = 0;
    world->operation_count = 0;
    world->batch_count = 0;
    world->settled_lsn = 0;
    world->post_unix_ms = 0;
    disk_reset(mix64(seed + 1));
    uint64_t openings = 2 + below(OPENINGS_MAX - 2);
    for (uint64_t i = 0; i < openings; i++) {
        if (!run_opening(false, false)) return false;
    }
    if (!run_opening(true, false)) return false;
    disk_lose("/accounts/accounts.lmdb");
    return run_opening(false, true);
}

static void *shared(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) exit(2);
    return memory;
}

static void print_counts(uint64_t seeds)
{
    const counts_t *counts = &world->counts;
    const struct {
        const char *name;
        uint64_t count;
    } lines[] = {
        {"seeds", seeds},
        {"openings", counts->openings},
        {"power_cuts", counts->cuts},
        {"kills", counts->kills},
        {"stopped_in_recovery", counts->unfinished},
        {"failed_syncs", disk->failed_syncs},
        {"answered", counts->answered},
        {"repeats", counts->repeats},
        {"reused", counts->reused},
        {"refused", counts->refused},
        {"refused_disk_full", counts->full},
        {"writes_without_room", disk->full_refusals},
        {"openings_on_a_full_disk", counts->opened_full},
        {"checkpoints", counts->checkpoints},
        {"groups_during_checkpoints", counts->interleaved},
        {"rebuilt", counts->rebuilt},
        {"entries_checked", counts->checked},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        printf("%s %llu\n", lines[i].name, (unsigned long long)lines[i].count);
    }
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: simulation DIRECTORY FIRST_SEED SEED_COUNT\n");
        return 2;
    }
    char accounts[PATH_BYTES_MAX];
    snprintf(accounts, sizeof accounts, "%s/accounts", argv[1]);
    disk_directory = argv[1];
    mkdir(accounts, 0700);
    disk = shared(sizeof *disk);
    world = shared(sizeof *world);
    uint64_t first = strtoull(argv[2], NULL, 10);
    uint64_t count = strtoull(argv[3], NULL, 10);
    for (uint64_t i = 0; i < count; i++) {
        if (!run_seed(first + i)) return 1;
    }
    print_counts(count);
    return 0;
}
