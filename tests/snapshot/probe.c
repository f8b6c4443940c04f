/* Opens snapshots and follows everything in them that the engine follows, for tests/snapshot.
 *
 *   probe ask KIND PATH    one question a line on standard input, one answer a line
 *   probe walk KIND PATH.. the status of each file, after walking through those that opened */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checklane/snapshot.h"

typedef struct opened {
    char kind;
    members_t members;
    catalogue_t catalogue;
    program_t program;
} opened_t;

static uint64_t seen;

static status_t open_any(const char *path, opened_t *opened)
{
    static const uint8_t hash[16] = {0};
    if (opened->kind == 'm') return members_open(path, hash, &opened->members);
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

static void walk_members(const members_t *members)
{
    for (uint64_t i = 0; i < 300; i++) {
        const uint64_t key = mix64(i);
        seen += find_identity(members, (hash128_t){.hi = i, .lo = key}) != NULL;
        seen += find_member(members, key) != NULL;
    }
    for (uint64_t i = 0; i <= members->record_mask; i++) {
        const member_record_t *record = &members->records[i];
        if (record->member == 0) continue;
        for (uint32_t w = 0; w < record->wallet_count; w++) {
            seen += members->wallet[record->wallet_first + w];
        }
    }
}

static void walk_catalogue(const catalogue_t *catalogue)
{
    for (uint64_t i = 0; i < 300; i++) {
        const uint64_t key = mix64(i);
        seen += find_product(catalogue, key);
        const store_t *store = find_store(catalogue, key);
        if (store != NULL) seen += store->number;
    }
    for (uint64_t i = 0; i <= catalogue->code_mask; i++) {
        if (catalogue->codes[i].code == 0) continue;
        seen += catalogue->products[catalogue->codes[i].product].code;
    }
    for (uint64_t i = 0; i <= catalogue->store_mask; i++) {
        const store_t *store = &catalogue->stores[i];
        if (store->key == 0) continue;
        seen += (uint64_t)utc_offset_minutes(catalogue, store, INT64_MAX);
    }
}

static void walk_strings(const program_t *program, uint32_t offset, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) seen += program->strings[offset + i];
}

static void walk_schedule(const program_t *program, const schedule_t *schedule)
{
    for (uint32_t i = 0; i < schedule->blackout_count; i++) {
        seen += (uint64_t)program->blackouts[schedule->first_blackout + i];
    }
    for (uint32_t i = 0; i < schedule->hours_count; i++) seen += schedule->hours_from[i];
}

static void walk_offer(const program_t *program, const offer_t *offer)
{
    int64_t count = 0;
    for (uint32_t i = 0; i < offer->slot_count; i++) {
        const slot_t *slot = &program->slots[offer->first_slot + i];
        count += slot->count;
        seen += program->offers[slot->offer].key + (uint64_t)slot->unit_max_minor;
    }
    seen += (uint64_t)(offer->reward_value * count);
    if (offer->mechanic == MECHANIC_EARN_RATE) seen += (uint64_t)(1000000 / offer->per_minor);
    for (uint32_t i = 0; i < offer->limit_count; i++) {
        seen += (uint64_t)program->limits[offer->first_limit + i].most;
    }
    for (uint32_t i = 0; i < offer->funding_count; i++) {
        const funding_t *share = &program->funding[offer->first_funding + i];
        walk_strings(program, share->funder_text, share->funder_length);
    }
    for (uint32_t i = 0; i < offer->text_count; i++) {
        const text_t *text = &program->texts[offer->first_text + i];
        walk_strings(program, text->offset, text->length);
    }
    walk_strings(program, offer->id_text, offer->id_length);
    if (offer->purse != 0 && offer->layer == LAYER_EARN) {
        seen += (uint64_t)program->purses[offer->purse - 1].worth_den;
    }
    const uint32_t words = program->header->store_set_words;
    for (uint32_t i = 0; offer->store_set != NONE_32 && i < words; i++) {
        seen += program->store_sets[offer->store_set * words + i];
    }
    if (offer->audience != NONE_32) seen += program->audiences[offer->audience].any[0];
    if (offer->schedule != NONE_32) walk_schedule(program, &program->schedules[offer->schedule]);
}

static void walk_program(const program_t *program)
{
    for (uint32_t i = 0; i < program->header->offer_count; i++) {
        walk_offer(program, &program->offers[i]);
    }
    for (uint32_t i = 0; i < program->header->product_count; i++) {
        const posting_list_t *list = &program->classes[program->class_of_product[i]];
        for (uint32_t p = 0; p < list->count; p++) {
            seen += program->slots[program->postings[list->first + p]].offer;
        }
    }
    for (uint32_t i = 0; i < program->universal_count; i++) {
        seen += program->slots[program->universal[i]].offer;
    }
    for (uint32_t i = 0; i < program->tier_count; i++) {
        const tier_t *tier = &program->tiers[i];
        if (tier->key == 0) continue;
        walk_strings(program, tier->id_text, tier->id_length);
        if (tier->progress != NONE_32) seen += program->progress[tier->progress].key;
    }
    for (uint32_t i = 0; i < program->progress_count; i++) {
        const progress_t *progress = &program->progress[i];
        if (progress->slot != NONE_32) seen += program->slots[progress->slot].offer;
        if (progress->reward_offer != NONE_32) seen += program->offers[progress->reward_offer].key;
    }
    for (uint64_t i = 0; i < 300; i++) {
        seen += find_offer(program, mix64(i)) + find_name(program, mix64(i));
        seen += find_row(program, (uint32_t)i, (uint32_t)i, 0) != NULL;
    }
}

int main(int argc, char **argv)
{
    static opened_t opened;
    if (argc < 4) return 2;
    opened.kind = argv[2][0];
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
