/* One thread posts and takes the answers; the ledger's writer calls `sale_done`, which hands a slot
 * back over a stack. A slot belongs to the driver, then from its post to that call to the writer.
 * The push is a compare-exchange (release), the take an exchange (acquire). */
#include "drive.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "invariant.h"
#include "siphash.h"

#define TEMPLATES_MAX 64
#define COUNTED_OFFERS 2
#define COUNTED_OFFER_KINDS 1000
#define SECOND_NS 1000000000
#define FILL_GROUP_ENTRIES 512

/* One sale that was posted before; the bytes are the caller's. */
typedef struct template {
    const entry_header_t *header;
    const uint8_t *request;
    const uint8_t *facts;
    const movement_t *movements;
    const uint8_t *response;
    uint32_t movement_count; /* without the bindings, which the ledger adds itself */
} template_t;

typedef struct posted {
    change_t change;
    drive_t *drive;
    const template_t *template;
    uint64_t account;
    uint64_t draw;
    int64_t begin_ns;
    struct posted *next;
} posted_t;

struct drive {
    drive_options_t options;
    ledger_t *ledger;
    template_t templates[TEMPLATES_MAX];
    uint32_t template_count;
    uint64_t made; /* sales so far, each with a key of its own */
    posted_t *slots;
    _Alignas(64) _Atomic(posted_t *) answered;
    atomic_uint rings;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* ---------------------------------------------------------------- sales ------------------- */

static uint64_t padded(uint64_t bytes) { return (bytes + 15) & ~(uint64_t)15; }

/* Finds the entries in the options' bytes. False when there is none. */
static bool find_templates(drive_t *drive)
{
    const drive_options_t *options = &drive->options;
    size_t at = 0;
    while (at + sizeof(entry_header_t) <= options->entries_bytes
           && drive->template_count < TEMPLATES_MAX) {
        const uint8_t *bytes = options->entries + at;
        template_t *found = &drive->templates[drive->template_count++];
        found->header = (const entry_header_t *)(const void *)bytes;
        found->request = bytes + sizeof(entry_header_t);
        found->facts = found->request + padded(found->header->request_bytes);
        const uint8_t *movements = found->facts + padded(found->header->facts_bytes);
        found->movements = (const movement_t *)(const void *)movements;
        found->response = movements + padded(found->header->movement_count * sizeof(movement_t));
        found->movement_count = found->header->movement_count;
        while (found->movement_count > 0
               && found->movements[found->movement_count - 1].cell.kind == CELL_ENTRY) {
            found->movement_count--;
        }
        at += found->header->length;
    }
    return drive->template_count > 0;
}

/* Makes the next sale: another key and receipt, an account by chance, the content of a template. */
static void make_sale(drive_t *drive, posted_t *slot)
{
    uint64_t number = ++drive->made;
    uint64_t draw = mix64(drive->options.seed ^ mix64(number));
    change_t *change = &slot->change;
    slot->draw = draw;
    slot->account = mix64(draw ^ 1) % drive->options.accounts + 1;
    slot->template = &drive->templates[draw % drive->template_count];
    memset(change, 0, sizeof *change);
    change->method = slot->template->header->method;
    change->request = slot->template->request;
    change->request_bytes = slot->template->header->request_bytes;
    change->key = (hash128_t){.hi = draw, .lo = number};
    change->content = (hash128_t){.hi = number, .lo = mix64(draw ^ 2)};
    change->receipt = (hash128_t){.hi = mix64(draw ^ 3), .lo = number};
    change->context = slot;
}

/* The movements of a sale: those of its template on its own records, and two counted offers. */
static status_t move_sale(const posted_t *slot, entry_builder_t *entry)
{
    const template_t *from = slot->template;
    uint16_t partition = slot->drive->options.partition;
    record_key_t member = record_key(FAMILY_MEMBER, partition, slot->account, slot->account);
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < from->movement_count && status == STATUS_OK; i++) {
        const movement_t *movement = &from->movements[i];
        record_key_t record = movement->record;
        if (record.family == FAMILY_GROUP) record.hi = slot->account;
        if (record.family == FAMILY_MEMBER) record = member;
        if (record.family == FAMILY_RECEIPT) {
            record.hi = slot->change.receipt.hi;
            record.lo = slot->change.receipt.lo;
        }
        status = entry_builder_move(entry, record, movement->cell, movement->op, movement->reason);
    }
    for (uint64_t i = 0; i < COUNTED_OFFERS && status == STATUS_OK; i++) {
        cell_t cell = {.kind = CELL_COUNTER,
                       .sub = 1,
                       .day = from->header->business_date,
                       .key = 1 + mix64(slot->draw ^ (4 + i)) % COUNTED_OFFER_KINDS,
                       .value = 1};
        status = entry_builder_move(entry, member, cell, MOVEMENT_ADD, REASON_COUNT);
    }
    return status;
}

/* Reads the four records whose versions a commit compares, then fills the entry. */
static status_t prepare_sale(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    const posted_t *slot = context;
    const entry_header_t *header = slot->template->header;
    uint16_t partition = slot->drive->options.partition;
    const record_key_t read[] = {
        record_key(FAMILY_IDENTITY, partition, slot->account, slot->account),
        record_key(FAMILY_PLACE, partition, slot->account, 0),
        record_key(FAMILY_GROUP, partition, slot->account, 0),
        record_key(FAMILY_MEMBER, partition, slot->account, slot->account),
    };
    for (size_t i = 0; i < sizeof read / sizeof *read; i++) {
        record_t record = accounts_read(view, read[i]);
        INVARIANT(record.head->applied_lsn < entry->lsn);
    }
    entry->kind = header->kind;
    entry->flags = header->flags;
    entry->event_unix_ms = entry->post_unix_ms;
    entry->account_group = slot->account;
    entry->member = slot->account;
    entry->business_date = header->business_date;
    entry->facts = slot->template->facts;
    entry->facts_bytes = header->facts_bytes;
    entry->response = slot->template->response;
    entry->response_bytes = header->response_bytes;
    return move_sale(slot, entry);
}

/* ---------------------------------------------------------------- the loop ---------------- */

static void sale_done(change_t *change)
{
    posted_t *slot = change->context;
    drive_t *drive = slot->drive;
    posted_t *top = atomic_load_explicit(&drive->answered, memory_order_relaxed);
    do slot->next = top;
    while (!atomic_compare_exchange_weak_explicit(&drive->answered, &top, slot,
                                                  memory_order_release, memory_order_relaxed));
    /* The driver sleeps only when the stack was empty, so only the first wakes it. */
    if (top != NULL) return;
    atomic_fetch_add(&drive->rings, 1);
    syscall(SYS_futex, &drive->rings, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Waits until something was answered, or until a moment (0: any time). */
static void wait_for_answers(drive_t *drive, int64_t until_ns)
{
    for (;;) {
        unsigned seen = atomic_load(&drive->rings);
        if (atomic_load_explicit(&drive->answered, memory_order_relaxed) != NULL) return;
        int64_t left_ns = until_ns - now_ns();
        if (until_ns != 0 && left_ns <= 0) return;
        struct timespec left = {left_ns / SECOND_NS, left_ns % SECOND_NS};
        syscall(SYS_futex, &drive->rings, FUTEX_WAIT_PRIVATE, seen, until_ns != 0 ? &left : NULL,
                NULL, 0);
    }
}

/* One run on its way. */
typedef struct run {
    drive_t *drive;
    const drive_plan_t *plan;
    uint32_t *times_ns;
    size_t most;
    drive_result_t *result;
    posted_t *free;
    uint32_t under_way;
    uint64_t posted;
    int64_t begin_ns;
    int64_t end_ns;
} run_t;

/* When the next sale is due: in a closed loop as soon as a slot is free. */
static int64_t due_ns(const run_t *run)
{
    if (run->plan->per_second == 0) return run->begin_ns;
    return run->begin_ns + (int64_t)((double)run->posted * 1e9 / run->plan->per_second);
}

static void take_answers(run_t *run)
{
    posted_t *slot = atomic_exchange_explicit(&run->drive->answered, NULL, memory_order_acquire);
    int64_t answered_ns = now_ns();
    while (slot != NULL) {
        posted_t *next = slot->next;
        drive_result_t *result = run->result;
        if (slot->change.status == STATUS_OK) {
            int64_t took_ns = answered_ns - slot->begin_ns;
            if (result->count < run->most) {
                if (took_ns > UINT32_MAX) took_ns = UINT32_MAX;
                run->times_ns[result->count] = (uint32_t)took_ns;
            }
            result->count++;
        } else if (result->refused++ == 0) {
            result->first_status = slot->change.status;
        }
        slot->next = run->free;
        run->free = slot;
        run->under_way--;
        slot = next;
    }
}

/* Posts what is due while slots are free. */
static void post_due(run_t *run)
{
    int64_t at_ns = now_ns();
    while (run->free != NULL && at_ns < run->end_ns) {
        int64_t due = due_ns(run);
        if (due > at_ns) return;
        posted_t *slot = run->free;
        run->free = slot->next;
        make_sale(run->drive, slot);
        slot->change.prepare = prepare_sale;
        slot->change.done = sale_done;
        at_ns = now_ns();
        slot->begin_ns = run->plan->per_second == 0 ? at_ns : due;
        run->under_way++;
        run->posted++;
        status_t status = ledger_post(run->drive->ledger, &slot->change);
        INVARIANT(status == STATUS_OK);
    }
}

void drive_run(drive_t *drive, const drive_plan_t *plan, uint32_t *times_ns, size_t most,
               drive_result_t *result)
{
    INVARIANT(plan->in_flight >= 1);
    INVARIANT(plan->in_flight <= DRIVE_IN_FLIGHT_MAX);
    /* The kernel adds 50 us to a sleep unless it is told not to. */
    prctl(PR_SET_TIMERSLACK, 1000UL, 0UL, 0UL, 0UL);
    memset(result, 0, sizeof *result);
    run_t run = {.drive = drive,
                 .plan = plan,
                 .times_ns = times_ns,
                 .most = most,
                 .result = result,
                 .begin_ns = now_ns()};
    run.end_ns = run.begin_ns + plan->duration_ns;
    for (uint32_t i = 0; i < plan->in_flight; i++) {
        drive->slots[i].drive = drive;
        drive->slots[i].next = run.free;
        run.free = &drive->slots[i];
    }
    for (;;) {
        take_answers(&run);
        post_due(&run);
        bool is_over = now_ns() >= run.end_ns;
        if (is_over && run.under_way == 0) break;
        int64_t until_ns = run.free == NULL || is_over ? 0 : due_ns(&run);
        if (until_ns > run.end_ns) until_ns = run.end_ns;
        wait_for_answers(drive, until_ns);
    }
    result->elapsed_ns = now_ns() - run.begin_ns;
    prctl(PR_SET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL);
}

/* ---------------------------------------------------------------- open and close ---------- */

static status_t drive_new(const drive_options_t *options, drive_t **made, fault_t *fault)
{
    *made = NULL;
    drive_t *drive = aligned_alloc(64, (sizeof *drive + 63) & ~(size_t)63);
    if (drive == NULL) return fault_at(fault, STATUS_OUT_OF_MEMORY, "drive");
    memset(drive, 0, sizeof *drive);
    drive->options = *options;
    drive->slots = calloc(DRIVE_IN_FLIGHT_MAX, sizeof *drive->slots);
    if (drive->slots == NULL || !find_templates(drive)) {
        status_t status = drive->slots == NULL ? STATUS_OUT_OF_MEMORY : STATUS_LSN_NOT_KEPT;
        drive_close(drive, false);
        return fault_at(fault, status, "no sales to post again");
    }
    *made = drive;
    return STATUS_OK;
}

status_t drive_open(const drive_options_t *options, drive_t **opened, fault_t *fault)
{
    *opened = NULL;
    drive_t *drive;
    status_t status = drive_new(options, &drive, fault);
    if (status != STATUS_OK) return status;
    ledger_options_t ledger = {
        .data_directory = options->data_directory,
        .program_key = options->program_key,
        .node = options->node,
        .partition = options->partition,
        .accounts = {.checkpoint_pause_ms = options->checkpoint_pause_ms},
    };
    status = ledger_open(&ledger, &drive->ledger, fault);
    if (status == STATUS_OK) *opened = drive;
    else drive_close(drive, false);
    return status;
}

void drive_measure(drive_t *drive, ledger_metrics_t *metrics)
{
    ledger_measure(drive->ledger, metrics);
}

void drive_close(drive_t *drive, bool is_checkpointed)
{
    if (drive == NULL) return;
    ledger_close(drive->ledger, is_checkpointed);
    free(drive->slots);
    free(drive);
}

/* ---------------------------------------------------------------- a journal at once ------- */

/* Binds a key or a receipt as the ledger does. */
static void bind(entry_builder_t *entry, const posted_t *slot, uint8_t family, hash128_t hash)
{
    cell_t cell = {.kind = CELL_ENTRY,
                   .day = (int32_t)(entry->post_unix_ms / 86400000),
                   .key = slot->change.content.hi,
                   .value = (int64_t)entry->position,
                   .other = (int64_t)slot->change.content.lo};
    movement_t movement = {
        .record = record_key(family, slot->drive->options.partition, hash.hi, hash.lo),
        .cell = cell,
        .op = MOVEMENT_SET,
        .reason = REASON_BIND};
    entry->movements[entry->movement_count++] = movement;
}

static status_t append_sale(drive_t *drive, journal_t *journal, movement_t *movements)
{
    posted_t *slot = &drive->slots[0];
    slot->drive = drive;
    make_sale(drive, slot);
    const entry_header_t *header = slot->template->header;
    entry_builder_t entry = {.post_unix_ms = journal_next_post_unix_ms(journal),
                             .position = journal_next_position(journal),
                             .movements = movements};
    status_t status = move_sale(slot, &entry);
    if (status != STATUS_OK) return status;
    bind(&entry, slot, FAMILY_KEY, slot->change.key);
    bind(&entry, slot, FAMILY_RECEIPT, slot->change.receipt);
    entry_parts_t parts = {.header = {.kind = header->kind,
                                      .flags = header->flags,
                                      .event_unix_ms = entry.post_unix_ms,
                                      .account_group = slot->account,
                                      .member = slot->account,
                                      .business_date = header->business_date,
                                      .method = header->method},
                           .request = slot->template->request,
                           .facts = slot->template->facts,
                           .movements = movements,
                           .response = slot->template->response,
                           .request_bytes = header->request_bytes,
                           .facts_bytes = header->facts_bytes,
                           .movement_count = entry.movement_count,
                           .response_bytes = header->response_bytes};
    journal_append(journal, &parts, entry.post_unix_ms);
    return STATUS_OK;
}

static status_t fill_group(drive_t *drive, journal_t *journal, movement_t *movements,
                           uint64_t *left)
{
    status_t status = journal_group_begin(journal);
    if (status == STATUS_QUEUE_FULL) {
        status = journal_prepare_segment(journal);
        if (status == STATUS_OK) status = journal_group_begin(journal);
    }
    if (status != STATUS_OK) return status;
    uint64_t count = 0;
    while (*left > 0 && count < FILL_GROUP_ENTRIES && journal_group_has_room(journal)) {
        status = append_sale(drive, journal, movements);
        if (status != STATUS_OK) return status;
        count++;
        (*left)--;
    }
    if (count > 0) journal_group_sync(journal);
    return STATUS_OK;
}

status_t drive_fill(const drive_options_t *options, uint64_t count, fault_t *fault)
{
    char directory[PATH_BYTES_MAX];
    int length = snprintf(directory, sizeof directory, "%s/journal", options->data_directory);
    if (length < 0 || (size_t)length >= sizeof directory) {
        return fault_at(fault, STATUS_TEXT_TOO_LONG, "data directory");
    }
    drive_t *drive;
    status_t status = drive_new(options, &drive, fault);
    if (status != STATUS_OK) return status;
    journal_options_t journal_options = {.directory = directory,
                                         .program_key = options->program_key,
                                         .node = options->node,
                                         .partition = options->partition};
    journal_t *journal = NULL;
    movement_t *movements = malloc(MOVEMENTS_MAX * sizeof *movements);
    status = movements == NULL ? fault_at(fault, STATUS_OUT_OF_MEMORY, "drive")
                               : journal_open(&journal_options, &journal, fault);
    while (status == STATUS_OK && count > 0) {
        status = fill_group(drive, journal, movements, &count);
        if (status != STATUS_OK) fault_at(fault, status, "%s", directory);
    }
    journal_close(journal);
    free(movements);
    drive_close(drive, false);
    return status;
}
