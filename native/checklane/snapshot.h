/* Mapped snapshots: opened once, probed in place, never written. */
#ifndef CHECKLANE_SNAPSHOT_H
#define CHECKLANE_SNAPSHOT_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#include "basket.h"
#include "layout.h"
#include "siphash.h"
#include "status.h"

/* The mapped tables of each kind. Pointers are valid while the snapshot is open. */
typedef struct members {
    uint8_t hash[16];
    const snapshot_info_t *info;
    const identity_slot_t *identities;
    const member_record_t *records;
    const uint64_t *wallet;
    const referral_slot_t *referrals; /* NULL: nobody was referred */
    uint64_t referral_mask;
    uint64_t identity_mask; /* capacity - 1 */
    uint64_t record_mask;
    uint64_t wallet_count;
    uint64_t identity_count; /* that the head states: members_check counts them */
    uint64_t record_count;
    void *environment;
} members_t;

typedef struct catalogue {
    uint8_t hash[16];
    const snapshot_info_t *info;
    const code_slot_t *codes;
    const product_t *products;
    const store_t *stores;
    const transition_t *transitions;
    uint64_t code_mask;
    uint64_t store_mask;
    uint32_t product_count;
    uint32_t transition_count;
    void *environment;
} catalogue_t;

/* Goods that the program keeps out of discounts, earning or redemption in one jurisdiction (B7). */
typedef struct exclusions {
    const uint16_t *set_of_product; /* NULL: none are */
    const uint8_t *flags;           /* PRODUCT_FLAG_ by set */
} exclusions_t;

typedef struct program {
    uint8_t hash[16];
    const program_header_t *header;
    const offer_t *offers;
    const slot_t *slots;
    const uint32_t *class_of_product;
    const posting_list_t *classes;
    const uint32_t *postings;
    const uint32_t *universal;
    const universal_list_t *universal_lists;
    const row_t *rows;
    const limit_t *limits;
    const step_t *steps;
    const offer_more_t *more;
    const uint32_t *after;
    const uint64_t *grades;
    const funding_t *funding;
    const uint64_t *store_sets;
    const audience_t *audiences;
    const schedule_t *schedules;
    const int32_t *blackouts;
    const text_t *texts;
    const uint8_t *strings;
    const purse_t *purses;
    const tier_t *tiers;
    const progress_t *progress;
    const coupon_slot_t *coupons;
    const offer_number_t *offer_numbers;
    const name_slot_t *names;
    const issuer_range_t *issuers;
    const tender_rule_t *tender_rules;
    const uint32_t *redeemers; /* numbers of the offers of the redemption layer */
    uint32_t redeemer_count;
    const uint16_t *families;
    const uint16_t *excluded_set;
    const uint8_t *excluded_flags;
    uint32_t excluded_set_count; /* 0: nothing is excluded */
    const retailer_t *retailers;
    uint64_t row_mask;
    uint64_t coupon_mask;
    uint64_t offer_number_mask;
    uint64_t name_mask;
    uint32_t class_count;
    uint32_t posting_count;
    uint32_t universal_count;
    uint32_t universal_list_count;
    uint32_t slot_count;
    uint32_t purse_count;
    uint32_t tier_count;
    uint32_t progress_count;
    uint32_t issuer_count;
    uint32_t family_count;
    uint32_t retailer_count;
    uint32_t row_count;
    uint32_t more_count;
    uint32_t string_bytes;
    void *environment;
} program_t;

/* Open a snapshot file read-only and check every index in it against its table (a damaged file is
 * refused here, never walked). `hash` is the content hash from the file's name. On anything but
 * STATUS_OK nothing stays open. Start-up and activation only; allocates inside liblmdb.
 *
 * members_open looks at the heads of the tables only, so that ten million members cost a start no
 * more than ten; members_check, at an activation, looks at every record. Whatever a disk does to
 * the file in between, the probes below end, and find_member returns sound records only. */
status_t members_open(const char *path, const uint8_t hash[16], members_t *members);
status_t members_check(const members_t *members);
status_t catalogue_open(const char *path, const uint8_t hash[16], catalogue_t *catalogue);
status_t program_open(const char *path, const uint8_t hash[16], program_t *program);
void members_close(members_t *members);
void catalogue_close(catalogue_t *catalogue);
void program_close(program_t *program);

/* Probes: pure, any thread, no allocation; a cache miss or two each. NULL or NONE_32: not there. */
static inline const identity_slot_t *find_identity(const members_t *members, hash128_t hash)
{
    for (uint64_t step = 0; step <= members->identity_mask; step++) {
        const identity_slot_t *slot =
            &members->identities[(hash.lo + step) & members->identity_mask];
        if (slot->member == 0) return NULL;
        if (slot->hash_lo == hash.lo && slot->hash_hi == hash.hi) return slot;
    }
    return NULL;
}

/* What a reader of a record relies on: true of every record that members_check has passed. */
static inline bool is_sound_member(const members_t *members, const member_record_t *record)
{
    if (record->account_group == 0) return false;
    if (record->tier >= TIERS_MAX) return false;
    if (record->birth_month > 12) return false;
    if (record->birth_day > 31) return false;
    if (record->wallet_count > WALLET_MAX) return false;
    if (record->wallet_first > members->wallet_count) return false;
    return record->wallet_count <= members->wallet_count - record->wallet_first;
}

static inline const member_record_t *find_member(const members_t *members, uint64_t member)
{
    uint64_t begin = mix64(member);
    for (uint64_t step = 0; step <= members->record_mask; step++) {
        const member_record_t *record = &members->records[(begin + step) & members->record_mask];
        if (record->member == 0) return NULL;
        if (record->member == member) return is_sound_member(members, record) ? record : NULL;
    }
    return NULL;
}

/* Who referred a member; 0: nobody. */
static inline uint64_t find_referral(const members_t *members, uint64_t member)
{
    if (members->referrals == NULL) return 0;
    uint64_t begin = mix64(member);
    for (uint64_t step = 0; step <= members->referral_mask; step++) {
        const referral_slot_t *slot = &members->referrals[(begin + step) & members->referral_mask];
        if (slot->member == member) return slot->referrer;
        if (slot->member == 0) return 0;
    }
    return 0;
}

static inline uint32_t find_product(const catalogue_t *catalogue, uint64_t code)
{
    for (uint64_t at = mix64(code) & catalogue->code_mask;; at = (at + 1) & catalogue->code_mask) {
        const code_slot_t *slot = &catalogue->codes[at];
        if (slot->code == 0) return NONE_32;
        if (slot->code == code) return slot->product;
    }
}

static inline const store_t *find_store(const catalogue_t *catalogue, uint64_t key)
{
    for (uint64_t at = key & catalogue->store_mask;; at = (at + 1) & catalogue->store_mask) {
        const store_t *store = &catalogue->stores[at];
        if (store->key == 0) return NULL;
        if (store->key == key) return store;
    }
}

static inline uint32_t find_offer(const program_t *program, uint64_t key)
{
    for (uint64_t at = key & program->offer_number_mask;;
         at = (at + 1) & program->offer_number_mask) {
        const offer_number_t *slot = &program->offer_numbers[at];
        if (slot->key == 0) return NONE_32;
        if (slot->key == key) return slot->offer;
    }
}

/* What few offers say, of one that has OFFER_FLAG_MORE. */
static inline const offer_more_t *find_more(const program_t *program, uint32_t offer)
{
    uint32_t low = 0;
    uint32_t high = program->more_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (program->more[middle].offer < offer) low = middle + 1;
        else high = middle;
    }
    return &program->more[low];
}

/* Number of a segment, tier, channel or purse by the name key of "space:name". */
static inline uint32_t find_name(const program_t *program, uint64_t key)
{
    for (uint64_t at = key & program->name_mask;; at = (at + 1) & program->name_mask) {
        const name_slot_t *slot = &program->names[at];
        if (slot->key == 0) return NONE_32;
        if (slot->key == key) return slot->number;
    }
}

/* Row of an offer for a product in a price zone; the zone's own before zone 0. NULL: none. */
static inline const row_t *find_row(const program_t *program, uint32_t offer, uint32_t product,
                                    uint32_t zone)
{
    const row_t *everywhere = NULL;
    uint64_t at = mix64((uint64_t)offer << 32 | product) & program->row_mask;
    for (;; at = (at + 1) & program->row_mask) {
        const row_t *row = &program->rows[at];
        if (row->product == NONE_32) return everywhere;
        if (row->offer != offer || row->product != product) continue;
        if (row->zone == zone) return row;
        if (row->zone == 0) everywhere = row;
    }
}

/* What is excluded in a store; NULL: only what is excluded everywhere. */
static inline exclusions_t exclusions_at(const program_t *program, const store_t *store)
{
    uint32_t jurisdiction = store == NULL ? 0 : store->jurisdiction;
    if (program->excluded_set_count == 0) return (exclusions_t){NULL, NULL};
    if (jurisdiction >= program->header->jurisdiction_count) jurisdiction = 0;
    return (exclusions_t){
        .set_of_product = program->excluded_set,
        .flags = program->excluded_flags + (size_t)jurisdiction * program->excluded_set_count,
    };
}

/* Offset of the store's local time from UTC at an instant; 0 where the store names no zone. */
static inline int32_t utc_offset_minutes(const catalogue_t *catalogue, const store_t *store,
                                         int64_t instant_unix_s)
{
    int32_t offset = 0;
    for (uint32_t i = 0; i < store->transition_count; i++) {
        const transition_t *transition = &catalogue->transitions[store->first_transition + i];
        if (i > 0 && transition->instant_unix_s > instant_unix_s) break;
        offset = transition->utc_offset_minutes;
    }
    return offset;
}

#endif
