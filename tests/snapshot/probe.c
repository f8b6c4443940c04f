/* Opens snapshots and follows everything in them that the engine follows, for tests/snapshot.
 *
 *   probe ask KIND PATH    one question a line on standard input, one answer a line
 *   probe walk KIND PATH.. the status of each file, after walking through those that opened
 *   probe start KIND PATH. the same as at a start, which looks at the heads of tables of members */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checklane/snapshot.h"
#include "walk.h"

typedef struct opened {
    char kind;
    members_t members;
    catalogue_t catalogue;
    program_t program;
} opened_t;

static bool is_checking;

static status_t open_any(const char *path, opened_t *opened)
{
    static const uint8_t hash[16] = {0};
    if (opened->kind == 'm') {
        status_t status = members_open(path, hash, &opened->members);
        if (status != STATUS_OK || !is_checking) return status;
        status = members_check(&opened->members);
        if (status != STATUS_OK) members_close(&opened->members);
        return status;
    }
    if (opened->kind == 'c') return catalogue_open(path, hash, &opened->catalogue);
    return program_open(path, hash, &opened->program);
}

static void close_any(opened_t *opened)
{
    if (opened->kind == 'm') members_close(&opened->members);
    if (opened->kind == 'c') catalogue_close(&opened->catalogue);
    if (opened->kind == 'p') program_close(&opened->program);
}

static void ask_members(const members_t *members, const char *what, uint64_t hi, uint64_t lo)
{
    if (strcmp(what, "identity") == 0) {
        const identity_slot_t *slot = find_identity(members, (hash128_t){.hi = hi, .lo = lo});
        if (slot == NULL) puts("none");
        else printf("%" PRIu64 " %u %u\n", slot->member, slot->kind, slot->key_id);
        return;
    }
    const member_record_t *record = find_member(members, lo);
    if (record == NULL) {
        puts("none");
        return;
    }
    printf("%" PRIu64 " %u %u", record->account_group, record->tier, record->flags);
    printf(" %u-%u", record->birth_month, record->birth_day);
    printf(" %" PRIu64 " %" PRIu64, record->segments[0], record->segments[1]);
    for (uint32_t i = 0; i < record->wallet_count; i++) {
        printf(" %" PRIu64, members->wallet[record->wallet_first + i]);
    }
    putchar('\n');
}

static void ask_catalogue(const catalogue_t *catalogue, const char *what, uint64_t hi, uint64_t lo)
{
    if (strcmp(what, "product") == 0) {
        uint32_t number = find_product(catalogue, lo);
        if (number == NONE_32) puts("none");
        else printf("%u %" PRIu64 "\n", number, catalogue->products[number].code);
        return;
    }
    const store_t *store = find_store(catalogue, lo);
    if (store == NULL) puts("none");
    else printf("%u %d\n", store->number, utc_offset_minutes(catalogue, store, (int64_t)hi));
}

static void ask_program(const program_t *program, const char *what, uint64_t hi, uint64_t lo)
{
    if (strcmp(what, "offer") == 0) {
        printf("%u\n", find_offer(program, lo));
        return;
    }
    if (strcmp(what, "name") == 0) {
        printf("%u\n", find_name(program, lo));
        return;
    }
    const row_t *row = find_row(program, (uint32_t)(hi >> 32), (uint32_t)hi, (uint32_t)lo);
    if (row == NULL) puts("none");
    else printf("%" PRId64 "\n", row->price_minor);
}

static void ask(const opened_t *opened)
{
    char what[32];
    uint64_t hi, lo;
    while (scanf("%31s %" SCNu64 " %" SCNu64, what, &hi, &lo) == 3) {
        if (opened->kind == 'm') ask_members(&opened->members, what, hi, lo);
        if (opened->kind == 'c') ask_catalogue(&opened->catalogue, what, hi, lo);
        if (opened->kind == 'p') ask_program(&opened->program, what, hi, lo);
    }
}

int main(int argc, char **argv)
{
    static opened_t opened;
    if (argc < 4) return 2;
    opened.kind = argv[2][0];
    is_checking = strcmp(argv[1], "start") != 0;
    for (int i = 3; i < argc; i++) {
        status_t status = open_any(argv[i], &opened);
        printf("%d\n", (int)status);
        if (status != STATUS_OK) continue;
        if (strcmp(argv[1], "ask") == 0) ask(&opened);
        else if (opened.kind == 'm') walk_members(&opened.members);
        else if (opened.kind == 'c') walk_catalogue(&opened.catalogue);
        else walk_program(&opened.program);
        close_any(&opened);
    }
    return seen == 42 ? 3 : 0;
}
