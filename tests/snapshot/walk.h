/* Follows everything in an opened snapshot that the engine follows, so that a sanitizer sees a look
 * beyond a table. What was read is summed up in `seen`, which keeps the reads. */
#ifndef CHECKLANE_TESTS_WALK_H
#define CHECKLANE_TESTS_WALK_H

#include "checklane/snapshot.h"

static uint64_t seen;

static inline void walk_members(const members_t *members)
{
    for (uint64_t i = 0; i < 300; i++) {
        const uint64_t key = mix64(i);
        seen += find_identity(members, (hash128_t){.hi = i, .lo = key}) != NULL;
        seen += find_member(members, key) != NULL;
    }
    for (uint64_t i = 0; i <= members->record_mask; i++) {
        const member_record_t *record = find_member(members, members->records[i].member);
        if (record == NULL) continue;
        for (uint32_t w = 0; w < record->wallet_count; w++) {
            seen += members->wallet[record->wallet_first + w];
        }
    }
}

static inline void walk_catalogue(const catalogue_t *catalogue)
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

static inline void walk_strings(const program_t *program, uint32_t offset, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) seen += program->strings[offset + i];
}

static inline void walk_schedule(const program_t *program, const schedule_t *schedule)
{
    for (uint32_t i = 0; i < schedule->blackout_count; i++) {
        seen += (uint64_t)program->blackouts[schedule->first_blackout + i];
    }
    for (uint32_t i = 0; i < schedule->hours_count; i++) seen += schedule->hours_from[i];
}

static inline void walk_offer(const program_t *program, const offer_t *offer)
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

static inline void walk_program(const program_t *program)
{
    for (uint32_t i = 0; i < program->header->offer_count; i++) {
        walk_offer(program, &program->offers[i]);
    }
    for (uint32_t i = 0; i < program->header->product_count; i++) {
        const posting_list_t *list = &program->classes[program->class_of_product[i]];
        for (uint32_t p = 0; p < list->count + list->gated_count; p++) {
            seen += program->slots[program->postings[list->first + p]].offer;
        }
    }
    for (uint32_t i = 0; i < program->universal_list_count; i++) {
        seen += program->universal_lists[i].store_set;
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
        seen += program->slots[progress->slot].offer;
        if (progress->reward_points > 0) seen += program->purses[progress->reward_purse - 1].key;
        if (progress->reward_offer != NONE_32) seen += program->offers[progress->reward_offer].key;
    }
    for (uint64_t i = 0; i < 300; i++) {
        seen += find_offer(program, mix64(i)) + find_name(program, mix64(i));
        seen += find_row(program, (uint32_t)i, (uint32_t)i, 0) != NULL;
    }
}

#endif
