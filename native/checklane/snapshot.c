/* Opening of snapshots. A file is trusted no further than its checks: whatever the engine later
 * uses as an index, a count, a divisor or a factor is held here against its table or its range, so
 * that probing and deciding need no checks of their own. What only compares (times, keys, masks of
 * stores) is left alone. The content hash is checked where a snapshot is activated, not here.
 *
 * The order in every program check: heads of the tables, then each record of each table. The first
 * fault ends it: STATUS_SNAPSHOT_DAMAGED, or STATUS_FORMAT_UNSUPPORTED for a file of another
 * version. */
#include "snapshot.h"

#include <errno.h>
#include <lmdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define REQUIRE(belief)                                \
    do {                                               \
        if (!(belief)) return STATUS_SNAPSHOT_DAMAGED; \
    } while (0)

#define TRY(call)                                 \
    do {                                          \
        status_t tried = (call);                  \
        if (tried != STATUS_OK) return tried;     \
    } while (0)

/* Money of a whole basket, any count of units, and the most that a limit or a goal may say: sums of
 * 90 such numbers stay inside 63 bits. */
#define BASKET_AMOUNT_MAX (LINE_AMOUNT_MAX * BASKET_LINES_MAX)
#define COUNT_MAX 1000000000
#define GOAL_MAX 100000000000000000
/* Points of one step or bonus, in smallest units: times 5.12 * 10^8 units they are 5.1 * 10^18,
 * inside 63 bits. Times an amount they need 128. */
#define POINTS_MAX 10000000000
#define MULTIPLIER_BP_MAX 1000000
/* A purse's worth: minor units for so many smallest units; a product of both needs 128 bits. */
#define WORTH_NUM_MAX 1000000000
#define WORTH_DEN_MAX 1000000000000000
#define DECIMALS_MAX 9
#define EXPONENT_MAX 4
/* Any day of this millennium plus so many days stays inside 31 bits. */
#define DAYS_MAX 1000000000
#define MONTHS_MAX 1200
#define STEP_BUDGET_MAX 1000000000
#define DAY_MINUTES 1440
#define OFFSET_MINUTES_MAX 1440

/* An open file: what the `environment` of a snapshot points to. */
typedef struct mapping {
    MDB_env *environment;
    MDB_txn *transaction;
    MDB_dbi tables;
} mapping_t;

/* One table as it lies in the file. */
typedef struct table {
    const void *records;
    uint64_t count;
    uint64_t capacity;
} table_t;

static void close_mapping(mapping_t *mapping)
{
    if (mapping == NULL) return;
    if (mapping->transaction != NULL) mdb_txn_abort(mapping->transaction);
    if (mapping->environment != NULL) mdb_env_close(mapping->environment);
    free(mapping);
}

/* Reads past the end of a mapped file end the process, so a file that was cut off is refused. */
static status_t check_file_size(MDB_env *environment, const char *path)
{
    MDB_envinfo info;
    MDB_stat pages;
    struct stat file;
    if (mdb_env_info(environment, &info) != 0) return STATUS_IO_FAILED;
    if (mdb_env_stat(environment, &pages) != 0) return STATUS_IO_FAILED;
    if (stat(path, &file) != 0) return STATUS_IO_FAILED;
    REQUIRE(pages.ms_psize > 0);
    uint64_t page_count = (uint64_t)file.st_size / pages.ms_psize;
    REQUIRE(info.me_last_pgno < page_count);
    return STATUS_OK;
}

static status_t begin_reading(mapping_t *mapping, const char *path)
{
    const unsigned flags = MDB_RDONLY | MDB_NOLOCK | MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD;
    if (mdb_env_create(&mapping->environment) != 0) return STATUS_OUT_OF_MEMORY;
    int failure = mdb_env_open(mapping->environment, path, flags, 0);
    if (failure == MDB_INVALID || failure == MDB_CORRUPTED) return STATUS_SNAPSHOT_DAMAGED;
    if (failure == MDB_VERSION_MISMATCH) return STATUS_FORMAT_UNSUPPORTED;
    if (failure == ENOMEM) return STATUS_OUT_OF_MEMORY;
    if (failure != 0) return STATUS_IO_FAILED;
    TRY(check_file_size(mapping->environment, path));
    failure = mdb_txn_begin(mapping->environment, NULL, MDB_RDONLY, &mapping->transaction);
    if (failure != 0) return failure == ENOMEM ? STATUS_OUT_OF_MEMORY : STATUS_IO_FAILED;
    failure = mdb_dbi_open(mapping->transaction, NULL, 0, &mapping->tables);
    REQUIRE(failure == 0);
    return STATUS_OK;
}

static status_t open_mapping(const char *path, mapping_t **opened)
{
    mapping_t *mapping = calloc(1, sizeof *mapping);
    if (mapping == NULL) return STATUS_OUT_OF_MEMORY;
    status_t status = begin_reading(mapping, path);
    if (status != STATUS_OK) {
        close_mapping(mapping);
        return status;
    }
    *opened = mapping;
    return STATUS_OK;
}

/* Finds a table and holds its head against its value. */
static status_t read_table(const mapping_t *mapping, const char *name, size_t record_bytes,
                           table_t *table)
{
    MDB_val key = {.mv_size = strlen(name), .mv_data = (void *)(uintptr_t)name};
    MDB_val value;
    table_header_t head;
    int failure = mdb_get(mapping->transaction, mapping->tables, &key, &value);
    REQUIRE(failure == 0);
    REQUIRE(value.mv_size >= sizeof head);
    memcpy(&head, value.mv_data, sizeof head);
    REQUIRE(head.magic == TABLE_MAGIC);
    if (head.format != SNAPSHOT_FORMAT) return STATUS_FORMAT_UNSUPPORTED;
    REQUIRE(head.record_bytes == record_bytes);
    REQUIRE(head.reserved[0] == 0);
    REQUIRE(head.reserved[1] == 0);
    REQUIRE(head.capacity <= (value.mv_size - sizeof head) / record_bytes);
    REQUIRE(head.count <= head.capacity);
    table->records = (const uint8_t *)value.mv_data + sizeof head;
    REQUIRE((uintptr_t)table->records % 64 == 0);
    table->count = head.count;
    table->capacity = head.capacity;
    return STATUS_OK;
}

static status_t read_dense(const mapping_t *mapping, const char *name, size_t record_bytes,
                           table_t *table)
{
    TRY(read_table(mapping, name, record_bytes, table));
    REQUIRE(table->count == table->capacity);
    REQUIRE(table->count < NONE_32);
    return STATUS_OK;
}

/* An open-addressed table. That `count` slots are filled, so that one is empty and every probe
 * ends, is checked with the records. */
static status_t read_probed(const mapping_t *mapping, const char *name, size_t record_bytes,
                            table_t *table)
{
    TRY(read_table(mapping, name, record_bytes, table));
    REQUIRE(table->capacity > 0);
    REQUIRE((table->capacity & (table->capacity - 1)) == 0);
    REQUIRE(table->count < table->capacity);
    return STATUS_OK;
}

static status_t read_info(const mapping_t *mapping, const snapshot_info_t **info)
{
    table_t table;
    TRY(read_dense(mapping, "info", sizeof(snapshot_info_t), &table));
    REQUIRE(table.count == 1);
    *info = table.records;
    if ((*info)->format != SNAPSHOT_FORMAT) return STATUS_FORMAT_UNSUPPORTED;
    return STATUS_OK;
}

static bool in_table(uint64_t first, uint64_t count, uint64_t table_count)
{
    return first <= table_count && count <= table_count - first;
}

static bool in_range(int64_t number, int64_t least, int64_t most)
{
    return number >= least && number <= most;
}

/* ------------------------------------------------------------------------ members -------- */

static status_t check_identities(const members_t *members)
{
    uint64_t filled = 0;
    for (uint64_t i = 0; i <= members->identity_mask; i++) {
        filled += members->identities[i].member != 0;
    }
    REQUIRE(filled == members->identity_count);
    return STATUS_OK;
}

static status_t check_member(const members_t *members, const member_record_t *record)
{
    REQUIRE(is_sound_member(members, record));
    const uint64_t *wallet = members->wallet + record->wallet_first;
    for (uint32_t i = 1; i < record->wallet_count; i++) REQUIRE(wallet[i - 1] < wallet[i]);
    return STATUS_OK;
}

static status_t check_records(const members_t *members)
{
    uint64_t filled = 0;
    for (uint64_t i = 0; i <= members->record_mask; i++) {
        if (members->records[i].member == 0) continue;
        filled++;
        TRY(check_member(members, &members->records[i]));
    }
    REQUIRE(filled == members->record_count);
    return STATUS_OK;
}

status_t members_check(const members_t *members)
{
    TRY(check_identities(members));
    return check_records(members);
}

static status_t read_referrals(const mapping_t *mapping, members_t *members)
{
    static const char name[] = "referrers";
    MDB_val key = {.mv_size = sizeof name - 1, .mv_data = (void *)(uintptr_t)name};
    MDB_val value;
    table_t referrals;
    if (mdb_get(mapping->transaction, mapping->tables, &key, &value) == MDB_NOTFOUND) {
        return STATUS_OK;
    }
    TRY(read_probed(mapping, name, sizeof(referral_slot_t), &referrals));
    members->referrals = referrals.records;
    members->referral_mask = referrals.capacity - 1;
    return STATUS_OK;
}

static status_t read_members(const mapping_t *mapping, members_t *members)
{
    table_t identities, records, wallet;
    TRY(read_info(mapping, &members->info));
    TRY(read_probed(mapping, "identity", sizeof(identity_slot_t), &identities));
    TRY(read_probed(mapping, "members", sizeof(member_record_t), &records));
    TRY(read_table(mapping, "wallet", sizeof(uint64_t), &wallet));
    REQUIRE(wallet.count == wallet.capacity);
    members->identities = identities.records;
    members->identity_mask = identities.capacity - 1;
    members->records = records.records;
    members->record_mask = records.capacity - 1;
    members->wallet = wallet.records;
    members->wallet_count = wallet.count;
    members->identity_count = identities.count;
    members->record_count = records.count;
    return read_referrals(mapping, members);
}

status_t members_open(const char *path, const uint8_t hash[16], members_t *members)
{
    mapping_t *mapping = NULL;
    memset(members, 0, sizeof *members);
    TRY(open_mapping(path, &mapping));
    memcpy(members->hash, hash, sizeof members->hash);
    members->environment = mapping;
    status_t status = read_members(mapping, members);
    if (status != STATUS_OK) members_close(members);
    return status;
}

void members_close(members_t *members)
{
    close_mapping(members->environment);
    memset(members, 0, sizeof *members);
}

/* ---------------------------------------------------------------------- catalogue -------- */

static status_t check_codes(const catalogue_t *catalogue, uint64_t count)
{
    uint64_t filled = 0;
    for (uint64_t i = 0; i <= catalogue->code_mask; i++) {
        const code_slot_t *slot = &catalogue->codes[i];
        if (slot->code == 0) continue;
        filled++;
        REQUIRE(slot->product < catalogue->product_count);
    }
    REQUIRE(filled == count);
    return STATUS_OK;
}

static status_t check_products(const catalogue_t *catalogue)
{
    for (uint32_t i = 0; i < catalogue->product_count; i++) {
        const product_t *product = &catalogue->products[i];
        REQUIRE(product->code != 0);
        REQUIRE(in_range(product->cost_milli, -1, LINE_AMOUNT_MAX * 1000));
        REQUIRE(in_range(product->legal_min_minor, 0, LINE_AMOUNT_MAX));
    }
    return STATUS_OK;
}

static status_t check_store(const catalogue_t *catalogue, const store_t *store)
{
    const uint32_t first = store->first_transition;
    REQUIRE(store->number < STORES_MAX);
    REQUIRE(in_table(first, store->transition_count, catalogue->transition_count));
    for (uint32_t i = 0; i < store->transition_count; i++) {
        const transition_t *transition = &catalogue->transitions[first + i];
        REQUIRE(in_range(transition->utc_offset_minutes, -OFFSET_MINUTES_MAX, OFFSET_MINUTES_MAX));
        if (i == 0) continue;
        REQUIRE(transition[-1].instant_unix_s < transition->instant_unix_s);
    }
    return STATUS_OK;
}

/* Every store has a number of its own: two that shared one would share their store sets. */
static status_t check_stores(const catalogue_t *catalogue, uint64_t count)
{
    uint64_t taken[STORES_MAX / 64] = {0};
    uint64_t filled = 0;
    for (uint64_t i = 0; i <= catalogue->store_mask; i++) {
        const store_t *store = &catalogue->stores[i];
        if (store->key == 0) continue;
        filled++;
        TRY(check_store(catalogue, store));
        uint64_t bit = (uint64_t)1 << (store->number % 64);
        REQUIRE((taken[store->number / 64] & bit) == 0);
        taken[store->number / 64] |= bit;
    }
    REQUIRE(filled == count);
    return STATUS_OK;
}

static status_t read_catalogue(const mapping_t *mapping, catalogue_t *catalogue)
{
    table_t codes, products, stores, transitions;
    TRY(read_info(mapping, &catalogue->info));
    TRY(read_probed(mapping, "codes", sizeof(code_slot_t), &codes));
    TRY(read_dense(mapping, "products", sizeof(product_t), &products));
    TRY(read_probed(mapping, "stores", sizeof(store_t), &stores));
    TRY(read_dense(mapping, "transitions", sizeof(transition_t), &transitions));
    catalogue->codes = codes.records;
    catalogue->code_mask = codes.capacity - 1;
    catalogue->products = products.records;
    catalogue->product_count = (uint32_t)products.count;
    catalogue->stores = stores.records;
    catalogue->store_mask = stores.capacity - 1;
    catalogue->transitions = transitions.records;
    catalogue->transition_count = (uint32_t)transitions.count;
    TRY(check_codes(catalogue, codes.count));
    TRY(check_products(catalogue));
    return check_stores(catalogue, stores.count);
}

status_t catalogue_open(const char *path, const uint8_t hash[16], catalogue_t *catalogue)
{
    mapping_t *mapping = NULL;
    memset(catalogue, 0, sizeof *catalogue);
    TRY(open_mapping(path, &mapping));
    memcpy(catalogue->hash, hash, sizeof catalogue->hash);
    catalogue->environment = mapping;
    status_t status = read_catalogue(mapping, catalogue);
    if (status != STATUS_OK) catalogue_close(catalogue);
    return status;
}

void catalogue_close(catalogue_t *catalogue)
{
    close_mapping(catalogue->environment);
    memset(catalogue, 0, sizeof *catalogue);
}

/* ------------------------------------------------------------------------ program -------- */

/* Counts that only the checks need. */
typedef struct program_tables {
    table_t header, offers, slots, class_of_product, classes, postings, universal, rows, limits;
    table_t funding, store_sets, audiences, schedules, blackouts, texts, strings, purses, tiers;
    table_t progress, coupons, offer_numbers, names, issuers, tender_rules, redeemers, steps;
    table_t more, after, universal_lists, grades;
    table_t families, retailers, excluded_set, excluded_flags;
    uint64_t store_set_count;
} program_tables_t;

static status_t read_program_tables(const mapping_t *mapping, program_tables_t *tables)
{
    TRY(read_dense(mapping, "header", sizeof(program_header_t), &tables->header));
    TRY(read_dense(mapping, "offers", sizeof(offer_t), &tables->offers));
    TRY(read_dense(mapping, "slots", sizeof(slot_t), &tables->slots));
    TRY(read_dense(mapping, "class_of_product", sizeof(uint32_t), &tables->class_of_product));
    TRY(read_dense(mapping, "classes", sizeof(posting_list_t), &tables->classes));
    TRY(read_dense(mapping, "postings", sizeof(uint32_t), &tables->postings));
    TRY(read_dense(mapping, "universal", sizeof(uint32_t), &tables->universal));
    TRY(read_dense(mapping, "universal_lists", sizeof(universal_list_t),
                   &tables->universal_lists));
    TRY(read_probed(mapping, "rows", sizeof(row_t), &tables->rows));
    TRY(read_dense(mapping, "limits", sizeof(limit_t), &tables->limits));
    TRY(read_dense(mapping, "steps", sizeof(step_t), &tables->steps));
    TRY(read_dense(mapping, "more", sizeof(offer_more_t), &tables->more));
    TRY(read_dense(mapping, "after", sizeof(uint32_t), &tables->after));
    TRY(read_dense(mapping, "grades", sizeof(uint64_t), &tables->grades));
    TRY(read_dense(mapping, "funding", sizeof(funding_t), &tables->funding));
    TRY(read_dense(mapping, "store_sets", sizeof(uint64_t), &tables->store_sets));
    TRY(read_dense(mapping, "audiences", sizeof(audience_t), &tables->audiences));
    TRY(read_dense(mapping, "schedules", sizeof(schedule_t), &tables->schedules));
    TRY(read_dense(mapping, "blackouts", sizeof(int32_t), &tables->blackouts));
    TRY(read_dense(mapping, "texts", sizeof(text_t), &tables->texts));
    TRY(read_dense(mapping, "strings", sizeof(uint8_t), &tables->strings));
    TRY(read_dense(mapping, "purses", sizeof(purse_t), &tables->purses));
    TRY(read_dense(mapping, "tiers", sizeof(tier_t), &tables->tiers));
    TRY(read_dense(mapping, "progress", sizeof(progress_t), &tables->progress));
    TRY(read_probed(mapping, "coupons", sizeof(coupon_slot_t), &tables->coupons));
    TRY(read_probed(mapping, "offer_numbers", sizeof(offer_number_t), &tables->offer_numbers));
    TRY(read_probed(mapping, "names", sizeof(name_slot_t), &tables->names));
    TRY(read_dense(mapping, "issuers", sizeof(issuer_range_t), &tables->issuers));
    TRY(read_dense(mapping, "tender_rules", sizeof(tender_rule_t), &tables->tender_rules));
    TRY(read_dense(mapping, "redeemers", sizeof(uint32_t), &tables->redeemers));
    TRY(read_dense(mapping, "families", sizeof(uint16_t), &tables->families));
    TRY(read_dense(mapping, "excluded_set", sizeof(uint16_t), &tables->excluded_set));
    TRY(read_dense(mapping, "excluded_flags", sizeof(uint8_t), &tables->excluded_flags));
    return read_dense(mapping, "retailers", sizeof(retailer_t), &tables->retailers);
}

static void point_at_tables(const program_tables_t *tables, program_t *program)
{
    program->header = tables->header.records;
    program->offers = tables->offers.records;
    program->slots = tables->slots.records;
    program->slot_count = (uint32_t)tables->slots.count;
    program->class_of_product = tables->class_of_product.records;
    program->classes = tables->classes.records;
    program->class_count = (uint32_t)tables->classes.count;
    program->postings = tables->postings.records;
    program->posting_count = (uint32_t)tables->postings.count;
    program->universal = tables->universal.records;
    program->universal_count = (uint32_t)tables->universal.count;
    program->universal_lists = tables->universal_lists.records;
    program->universal_list_count = (uint32_t)tables->universal_lists.count;
    program->rows = tables->rows.records;
    program->row_mask = tables->rows.capacity - 1;
    program->row_count = (uint32_t)tables->rows.count;
    program->limits = tables->limits.records;
    program->steps = tables->steps.records;
    program->more = tables->more.records;
    program->more_count = (uint32_t)tables->more.count;
    program->after = tables->after.records;
    program->grades = tables->grades.records;
    program->funding = tables->funding.records;
    program->store_sets = tables->store_sets.records;
    program->audiences = tables->audiences.records;
    program->schedules = tables->schedules.records;
    program->blackouts = tables->blackouts.records;
    program->texts = tables->texts.records;
    program->strings = tables->strings.records;
    program->string_bytes = (uint32_t)tables->strings.count;
    program->purses = tables->purses.records;
    program->purse_count = (uint32_t)tables->purses.count;
    program->tiers = tables->tiers.records;
    program->tier_count = (uint32_t)tables->tiers.count;
    program->progress = tables->progress.records;
    program->progress_count = (uint32_t)tables->progress.count;
    program->coupons = tables->coupons.records;
    program->coupon_mask = tables->coupons.capacity - 1;
    program->offer_numbers = tables->offer_numbers.records;
    program->offer_number_mask = tables->offer_numbers.capacity - 1;
    program->names = tables->names.records;
    program->name_mask = tables->names.capacity - 1;
    program->issuers = tables->issuers.records;
    program->tender_rules = tables->tender_rules.records;
    program->redeemers = tables->redeemers.records;
    program->redeemer_count = (uint32_t)tables->redeemers.count;
    program->families = tables->families.records;
    program->family_count = (uint32_t)tables->families.count;
    program->excluded_set = tables->excluded_set.records;
    program->excluded_flags = tables->excluded_flags.records;
    program->retailers = tables->retailers.records;
    program->retailer_count = (uint32_t)tables->retailers.count;
    program->issuer_count = (uint32_t)tables->issuers.count;
}

static status_t check_header(program_tables_t *tables, const program_t *program)
{
    REQUIRE(tables->header.count == 1);
    const program_header_t *header = program->header;
    if (header->format != SNAPSHOT_FORMAT) return STATUS_FORMAT_UNSUPPORTED;
    if (header->semantics_version != SEMANTICS_VERSION) return STATUS_FORMAT_UNSUPPORTED;
    REQUIRE(header->program_key != 0);
    REQUIRE(header->step_budget >= 1);
    REQUIRE(header->step_budget <= STEP_BUDGET_MAX);
    REQUIRE(header->currency_exponent <= EXPONENT_MAX);
    REQUIRE(header->product_count == tables->class_of_product.count);
    REQUIRE(header->offer_count == tables->offers.count);
    REQUIRE(tables->families.count == 0 || tables->families.count == header->product_count);
    REQUIRE(tables->retailers.count <= RETAILERS_MAX);
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t offer = header->scan_offers[i];
        REQUIRE(offer <= header->offer_count);
        REQUIRE(offer == 0 || program->offers[offer - 1].mechanic == MECHANIC_SCANNED);
    }
    REQUIRE(header->offer_count <= OFFERS_MAX);
    REQUIRE(header->multiplier_policy <= MULTIPLIER_COMPOUND);
    REQUIRE(header->return_policy <= RETURN_REPRICE);
    REQUIRE(header->claw_back_policy <= CLAW_BACK_NEGATIVE);
    REQUIRE(header->expired_hold_policy <= EXPIRED_HOLD_SPEND);
    REQUIRE(header->fuel_policy <= FUEL_ANY);
    REQUIRE(header->points_rounding <= ROUNDING_CEIL);
    REQUIRE(header->return_days <= DAYS_MAX);
    REQUIRE(header->claim_days <= CLAIM_DAYS_MAX);
    REQUIRE(in_range(header->unreceipted_minor, 0, BASKET_AMOUNT_MAX));
    REQUIRE(header->unreceipted <= (UNRECEIPTED_REFUSED | UNRECEIPTED_MEMBER));
    REQUIRE(header->basket_discount_bp <= 10000);
    REQUIRE(in_range(header->basket_discount_minor, 0, BASKET_AMOUNT_MAX));
    REQUIRE(header->store_set_words <= STORES_MAX / 64);
    tables->store_set_count = 0;
    if (tables->store_sets.count > 0) {
        REQUIRE(header->store_set_words > 0);
        REQUIRE(tables->store_sets.count % header->store_set_words == 0);
        tables->store_set_count = tables->store_sets.count / header->store_set_words;
    }
    return STATUS_OK;
}

/* A set for every product, and its flags for every jurisdiction. */
static status_t check_exclusions(const program_tables_t *tables, program_t *program)
{
    const program_header_t *header = program->header;
    const uint64_t flag_count = tables->excluded_flags.count;
    program->excluded_set_count = 0;
    REQUIRE((tables->excluded_set.count == 0) == (flag_count == 0));
    if (flag_count == 0) return STATUS_OK;
    REQUIRE(tables->excluded_set.count == header->product_count);
    REQUIRE(header->jurisdiction_count >= 1);
    REQUIRE(flag_count % header->jurisdiction_count == 0);
    REQUIRE(flag_count / header->jurisdiction_count <= EXCLUDED_SETS_MAX);
    program->excluded_set_count = (uint32_t)(flag_count / header->jurisdiction_count);
    for (uint64_t i = 0; i < flag_count; i++) {
        REQUIRE((program->excluded_flags[i]
                 & ~(EXCLUDED_FLAGS | EXCLUDED_FLAGS << EXCLUDED_GATED_SHIFT)) == 0);
    }
    for (uint32_t i = 0; i < header->product_count; i++) {
        REQUIRE(program->excluded_set[i] < program->excluded_set_count);
    }
    return STATUS_OK;
}

static status_t check_string(const program_t *program, uint32_t offset, uint32_t length)
{
    REQUIRE(in_table(offset, length, program->string_bytes));
    return STATUS_OK;
}

/* An offer for fuel is a step of its own, or pays steps of points. */
static status_t check_fuel(const offer_t *offer)
{
    const bool redeems = offer->layer == LAYER_REDEMPTION;
    REQUIRE(redeems || offer->layer == LAYER_ITEM);
    REQUIRE((offer->flags & (redeems ? OFFER_FLAG_STEPS : OFFER_FLAG_STACKABLE)) != 0);
    REQUIRE((offer->flags & OFFER_FLAG_MORE) != 0);
    REQUIRE(offer->reward == REWARD_AMOUNT);
    REQUIRE(offer->reward_value >= 1);
    REQUIRE(offer->per_unit >= 1);
    REQUIRE(offer->consume <= CONSUME_BY_VOLUME);
    return STATUS_OK;
}

/* What the mechanics later divide by, multiply with, or reach for by position. */
static status_t check_reward(const program_t *program, const offer_t *offer)
{
    REQUIRE(offer->layer <= LAYER_REDEMPTION);
    const bool pays = offer->mechanic == MECHANIC_TENDER;
    const bool fuels = offer->mechanic == MECHANIC_FUEL;
    const bool redeems = offer->mechanic == MECHANIC_REDEEM
                         || (fuels && offer->layer == LAYER_REDEMPTION);
    const bool scans = offer->mechanic == MECHANIC_SCANNED;
    if (fuels) TRY(check_fuel(offer));
    const bool issues = offer->mechanic == MECHANIC_ISSUE;
    const bool refers = offer->mechanic == MECHANIC_REFERRAL;
    REQUIRE(pays || redeems || scans || fuels || issues || refers
            || in_range(offer->mechanic, MECHANIC_UNIT_OFF, MECHANIC_EARN_TIMES));
    REQUIRE(!scans || offer->layer == LAYER_ITEM);
    REQUIRE(!scans || (offer->flags & OFFER_FLAG_STACKABLE) != 0);
    const bool earns =
        refers || in_range(offer->mechanic, MECHANIC_EARN_RATE, MECHANIC_EARN_TIMES);
    REQUIRE((earns || issues) == (offer->layer == LAYER_EARN));
    REQUIRE(!issues || (offer->flags & OFFER_FLAG_MORE) != 0);
    REQUIRE(pays == (offer->layer == LAYER_TENDER));
    REQUIRE(redeems == (offer->layer == LAYER_REDEMPTION));
    REQUIRE((offer->points_step != 0) == redeems);
    REQUIRE(!redeems || (offer->flags & OFFER_FLAG_BY_ITEM) != 0 || offer->reward_value >= 1);
    REQUIRE(offer->reward <= REWARD_EACH);
    REQUIRE(earns || issues || offer->mechanic == MECHANIC_ROW_PRICE || offer->reward != 0);
    int64_t most = LINE_AMOUNT_MAX;
    if (offer->reward == REWARD_PERCENT) most = 10000;
    if (earns || offer->reward == REWARD_POINTS) most = POINTS_MAX;
    if (offer->mechanic == MECHANIC_EARN_TIMES) most = MULTIPLIER_BP_MAX;
    REQUIRE(in_range(offer->reward_value, 0, most));
    REQUIRE(offer->mechanic != MECHANIC_EARN_RATE || offer->per_minor >= 1);
    REQUIRE(offer->rounding <= ROUNDING_CEIL);
    const bool gives_points = earns || offer->reward == REWARD_POINTS;
    if (!gives_points && !redeems) return STATUS_OK;
    /* A multiplier without a purse multiplies in every purse. */
    if (offer->purse == 0 && offer->mechanic == MECHANIC_EARN_TIMES) return STATUS_OK;
    REQUIRE(offer->purse >= 1);
    REQUIRE(offer->purse <= program->purse_count);
    REQUIRE(program->purses[offer->purse - 1].key != 0);
    return STATUS_OK;
}

static status_t check_amounts(const offer_t *offer)
{
    REQUIRE(in_range(offer->threshold_minor, 0, BASKET_AMOUNT_MAX));
    REQUIRE(in_range(offer->threshold_count, 0, COUNT_MAX));
    REQUIRE(in_range(offer->per_minor, 0, BASKET_AMOUNT_MAX));
    REQUIRE(in_range(offer->units_max, 0, COUNT_MAX));
    REQUIRE(in_range(offer->times_max, 0, COUNT_MAX));
    REQUIRE(in_range(offer->discount_max_minor, 0, BASKET_AMOUNT_MAX));
    REQUIRE(in_range(offer->get_count, 0, COUNT_MAX));
    REQUIRE(in_range(offer->floor_minor, 0, LINE_AMOUNT_MAX));
    REQUIRE(in_range(offer->rewarded_max, 0, COUNT_MAX));
    REQUIRE(in_range(offer->product_units_max, 0, COUNT_MAX));
    REQUIRE(offer->base <= BASE_MEASURE);
    REQUIRE(in_range(offer->unit_discount_max_minor, 0, LINE_AMOUNT_MAX));
    REQUIRE(offer->margin_bp < 10000);
    REQUIRE(offer->control_bp <= 10000);
    REQUIRE(offer->valid_days <= DAYS_MAX);
    REQUIRE(in_range(offer->progress_from, 0, GOAL_MAX));
    REQUIRE(in_range(offer->progress_until, 0, GOAL_MAX));
    return STATUS_OK;
}

static uint32_t least_slots(const offer_t *offer)
{
    if (offer->mechanic == MECHANIC_EARN_BONUS) return 0;
    if (offer->mechanic == MECHANIC_BUY_GET) return offer->flags & OFFER_FLAG_DIFFERENT ? 1 : 2;
    if (offer->mechanic == MECHANIC_THRESHOLD) return 2;
    return 1;
}

static status_t check_slots_of(const program_t *program, uint32_t number)
{
    const offer_t *offer = &program->offers[number];
    const uint32_t all = (uint32_t)offer->slot_count + offer->need_count;
    REQUIRE(in_table(offer->first_slot, all, program->slot_count));
    REQUIRE(all <= OFFER_SLOTS_MAX);
    REQUIRE(offer->slot_count >= least_slots(offer));
    const bool counts = offer->mechanic == MECHANIC_BUY_GET ||
                        offer->mechanic == MECHANIC_CHEAPEST ||
                        offer->mechanic == MECHANIC_GROUP_PRICE;
    for (uint32_t i = 0; i < all; i++) {
        const slot_t *slot = &program->slots[offer->first_slot + i];
        const bool is_need = i >= offer->slot_count;
        REQUIRE(slot->offer == number);
        REQUIRE(is_need ? slot->role == SLOT_NEED : slot->role <= SLOT_GET);
        REQUIRE(is_need || (slot->flags & ~(SLOT_FLAG_UNIVERSAL | SLOT_FLAG_KIND)) == 0);
        REQUIRE((slot->flags & SLOT_FLAG_KIND) != SLOT_FLAG_KIND);
        REQUIRE(in_range(slot->count, counts || is_need ? 1 : 0,
                         is_need ? BASKET_AMOUNT_MAX : COUNT_MAX));
        REQUIRE(in_range(slot->unit_min_minor, 0, LINE_AMOUNT_MAX));
        REQUIRE(in_range(slot->unit_max_minor, 0, LINE_AMOUNT_MAX));
    }
    if (offer->mechanic == MECHANIC_CHEAPEST) {
        const slot_t *slot = &program->slots[offer->first_slot];
        REQUIRE(in_range(offer->get_count, 1, slot->count));
    }
    return STATUS_OK;
}

static status_t check_funding_of(const program_tables_t *tables, const program_t *program,
                                 const offer_t *offer)
{
    REQUIRE(in_table(offer->first_funding, offer->funding_count, tables->funding.count));
    uint64_t sum_bp = 0;
    for (uint32_t i = 0; i < offer->funding_count; i++) {
        const funding_t *share = &program->funding[offer->first_funding + i];
        TRY(check_string(program, share->funder_text, share->funder_length));
        REQUIRE(in_range(share->settlement, SETTLE_PRICE_REDUCTION, SETTLE_TENDER));
        sum_bp += share->share_bp;
    }
    REQUIRE(offer->funding_count == 0 || sum_bp == 10000);
    return STATUS_OK;
}

static status_t check_ranges_of(const program_tables_t *tables, const program_t *program,
                                const offer_t *offer)
{
    REQUIRE(in_table(offer->first_limit, offer->limit_count, tables->limits.count));
    REQUIRE(in_table(offer->first_text, offer->text_count, tables->texts.count));
    REQUIRE(in_table(offer->first_tender_rule, offer->tender_rule_count,
                     tables->tender_rules.count));
    REQUIRE(in_table(offer->first_step, offer->step_count, tables->steps.count));
    for (uint32_t i = 0; i < offer->step_count; i++) {
        const step_t *step = &program->steps[offer->first_step + i];
        const int64_t before = i == 0 ? 0 : step[-1].from;
        const int64_t most = offer->reward == REWARD_PERCENT ? 10000 : LINE_AMOUNT_MAX;
        REQUIRE(in_range(step->from, before + 1, BASKET_AMOUNT_MAX));
        REQUIRE(in_range(step->reward_value, 0, most));
    }
    REQUIRE(in_table(offer->first_row, offer->row_count, tables->rows.capacity));
    REQUIRE(offer->store_set == NONE_32 || offer->store_set < tables->store_set_count);
    REQUIRE(offer->audience == NONE_32 || offer->audience < tables->audiences.count);
    REQUIRE(offer->progress <= program->progress_count);
    REQUIRE(offer->schedule == NONE_32 || offer->schedule < tables->schedules.count);
    return check_string(program, offer->id_text, offer->id_length);
}

/* The coupons that an offer issues open one that takes no others, and have a code. */
static status_t check_issued(const program_t *program, const offer_more_t *more)
{
    if (program->offers[more->offer].mechanic != MECHANIC_ISSUE) return STATUS_OK;
    const uint32_t wanted = OFFER_FLAG_COUPON | OFFER_FLAG_SERIAL | OFFER_FLAG_ISSUED;
    REQUIRE(more->issued_offer < program->header->offer_count);
    REQUIRE((program->offers[more->issued_offer].flags & wanted) == wanted);
    REQUIRE(in_range(more->issued_code_length, 1, VALUE_BYTES_MAX));
    return check_string(program, more->issued_code_text, more->issued_code_length);
}

/* One record for each offer whose flag says so, in their order. */
static status_t check_more(const program_tables_t *tables, const program_t *program)
{
    uint64_t flagged = 0;
    for (uint32_t i = 0; i < program->header->offer_count; i++) {
        flagged += (program->offers[i].flags & OFFER_FLAG_MORE) != 0;
    }
    REQUIRE(flagged == program->more_count);
    for (uint32_t i = 0; i < program->more_count; i++) {
        const offer_more_t *more = &program->more[i];
        REQUIRE(more->offer < program->header->offer_count);
        REQUIRE(i == 0 || more[-1].offer < more->offer);
        REQUIRE(program->offers[more->offer].flags & OFFER_FLAG_MORE);
        REQUIRE(more->round <= program->header->offer_count);
        REQUIRE(in_table(more->first_after, more->after_count, tables->after.count));
        const uint32_t *after = program->after + more->first_after;
        for (uint32_t j = 0; j < more->after_count; j++) {
            REQUIRE(after[j] < program->header->offer_count);
            REQUIRE(j == 0 || after[j - 1] < after[j]);
        }
        REQUIRE(in_range(more->product_discount_max_minor, 0, BASKET_AMOUNT_MAX));
        REQUIRE(in_range(more->fuel_floor_thousandths, 0, LINE_AMOUNT_MAX));
        REQUIRE(in_range(more->fuel_most_milli, 0, LINE_MEASURE_MAX));
        REQUIRE(in_table(more->first_grade, more->grade_count, tables->grades.count));
        const uint64_t *grades = program->grades + more->first_grade;
        for (uint32_t j = 1; j < more->grade_count; j++) REQUIRE(grades[j - 1] < grades[j]);
        TRY(check_issued(program, more));
    }
    return STATUS_OK;
}

static status_t check_offers(const program_tables_t *tables, const program_t *program)
{
    uint64_t slot_sum = 0;
    for (uint32_t i = 0; i < program->header->offer_count; i++) {
        const offer_t *offer = &program->offers[i];
        REQUIRE(offer->key != 0);
        TRY(check_reward(program, offer));
        TRY(check_amounts(offer));
        TRY(check_slots_of(program, i));
        TRY(check_funding_of(tables, program, offer));
        TRY(check_ranges_of(tables, program, offer));
        slot_sum += (uint64_t)offer->slot_count + offer->need_count;
    }
    /* Each slot names the one offer that counted it, so an equal sum leaves none over but those of
     * the progress, which stand last. */
    REQUIRE(slot_sum + program->progress_count == program->slot_count);
    return STATUS_OK;
}

/* Slot numbers: in range, ascending, all universal or none, all of offers that must be opened or
 * none, all of offers with one store set where they are universal. */
static status_t check_slot_numbers(const program_t *program, const uint32_t *numbers,
                                   uint32_t count, int is_gated, const universal_list_t *list)
{
    uint16_t universal = list != NULL ? SLOT_FLAG_UNIVERSAL : 0;
    for (uint32_t i = 0; i < count; i++) {
        REQUIRE(numbers[i] < program->slot_count);
        REQUIRE(i == 0 || numbers[i - 1] < numbers[i]);
        const slot_t *slot = &program->slots[numbers[i]];
        REQUIRE((slot->flags & SLOT_FLAG_UNIVERSAL) == universal);
        /* Those of the progress have no offer; nobody looked at them yet. */
        REQUIRE(slot->offer == NONE_32 || slot->offer < program->header->offer_count);
        const offer_t *offer = slot->offer != NONE_32 ? &program->offers[slot->offer] : NULL;
        REQUIRE(is_gated == (offer != NULL && (offer->flags & OFFER_FLAGS_GATED) != 0));
        if (list == NULL) continue;
        REQUIRE(list->store_set == (offer != NULL ? offer->store_set : NONE_32));
    }
    return STATUS_OK;
}

static status_t check_universal(const program_t *program)
{
    uint64_t end = 0;
    for (uint32_t i = 0; i < program->universal_list_count; i++) {
        const universal_list_t *list = &program->universal_lists[i];
        uint64_t count = (uint64_t)list->count + list->gated_count;
        REQUIRE(i == 0 || program->universal_lists[i - 1].store_set < list->store_set);
        REQUIRE(list->first == end);
        REQUIRE(in_table(list->first, count, program->universal_count));
        const uint32_t *numbers = program->universal + list->first;
        TRY(check_slot_numbers(program, numbers, list->count, 0, list));
        TRY(check_slot_numbers(program, numbers + list->count, list->gated_count, 1, list));
        end += count;
    }
    REQUIRE(end == program->universal_count);
    return STATUS_OK;
}

static status_t check_index(const program_t *program)
{
    REQUIRE(program->class_count >= 1);
    uint64_t posting_sum = 0;
    for (uint32_t i = 0; i < program->class_count; i++) {
        const posting_list_t *list = &program->classes[i];
        uint64_t count = (uint64_t)list->count + list->gated_count;
        REQUIRE(in_table(list->first, count, program->posting_count));
        /* Lists that overlapped a thousand times over would make this check itself endless. */
        posting_sum += count;
        REQUIRE(posting_sum <= program->posting_count);
        const uint32_t *numbers = program->postings + list->first;
        TRY(check_slot_numbers(program, numbers, list->count, 0, NULL));
        TRY(check_slot_numbers(program, numbers + list->count, list->gated_count, 1, NULL));
    }
    for (uint32_t i = 0; i < program->header->product_count; i++) {
        REQUIRE(program->class_of_product[i] < program->class_count);
    }
    return check_universal(program);
}

static status_t check_rows(const program_t *program)
{
    uint64_t filled = 0;
    for (uint64_t i = 0; i <= program->row_mask; i++) {
        const row_t *row = &program->rows[i];
        if (row->product == NONE_32) continue;
        filled++;
        REQUIRE(row->offer < program->header->offer_count);
        REQUIRE(row->product < program->header->product_count);
        REQUIRE(in_range(row->price_minor, 0, LINE_AMOUNT_MAX));
    }
    REQUIRE(filled == program->row_count);
    return STATUS_OK;
}

static status_t check_limits(const program_tables_t *tables, const program_t *program)
{
    for (uint64_t i = 0; i < tables->limits.count; i++) {
        const limit_t *limit = &program->limits[i];
        REQUIRE(in_range(limit->most, 0, GOAL_MAX));
        REQUIRE(in_range(limit->scope, LIMIT_SCOPE_MEMBER, LIMIT_SCOPE_CARD));
        REQUIRE(in_range(limit->measure, LIMIT_MEASURE_USES, LIMIT_MEASURE_SPEND));
        REQUIRE(limit->window <= WINDOW_YEAR);
    }
    return STATUS_OK;
}

static status_t check_schedule(const program_tables_t *tables, const program_t *program,
                               const schedule_t *schedule)
{
    REQUIRE(schedule->hours_count <= 4);
    for (uint32_t i = 0; i < schedule->hours_count; i++) {
        REQUIRE(schedule->hours_from[i] < DAY_MINUTES);
        REQUIRE(schedule->hours_until[i] <= DAY_MINUTES);
    }
    REQUIRE(schedule->weekday_mask < 128);
    REQUIRE(in_table(schedule->first_blackout, schedule->blackout_count, tables->blackouts.count));
    const int32_t *days = program->blackouts + schedule->first_blackout;
    for (uint32_t i = 1; i < schedule->blackout_count; i++) REQUIRE(days[i - 1] < days[i]);
    return STATUS_OK;
}

static status_t check_eligibility(const program_tables_t *tables, const program_t *program)
{
    for (uint64_t i = 0; i < tables->audiences.count; i++) {
        REQUIRE(program->audiences[i].tier_mask < 1 << TIERS_MAX);
        REQUIRE(program->audiences[i].birthday <= 2);
    }
    uint64_t blackout_sum = 0;
    for (uint64_t i = 0; i < tables->schedules.count; i++) {
        TRY(check_schedule(tables, program, &program->schedules[i]));
        blackout_sum += program->schedules[i].blackout_count;
        REQUIRE(blackout_sum <= tables->blackouts.count);
    }
    return STATUS_OK;
}

static status_t check_texts(const program_tables_t *tables, const program_t *program)
{
    for (uint64_t i = 0; i < tables->texts.count; i++) {
        const text_t *text = &program->texts[i];
        REQUIRE(in_range(text->kind, TEXT_NAME, TEXT_NEAR_MISS));
        TRY(check_string(program, text->offset, text->length));
    }
    return STATUS_OK;
}

static status_t check_redeemers(const program_t *program)
{
    for (uint32_t i = 0; i < program->redeemer_count; i++) {
        REQUIRE(program->redeemers[i] < program->header->offer_count);
        REQUIRE(program->offers[program->redeemers[i]].layer == LAYER_REDEMPTION);
    }
    return STATUS_OK;
}

static status_t check_purses(const program_t *program)
{
    REQUIRE(program->purse_count <= PURSES_MAX);
    for (uint32_t i = 0; i < program->purse_count; i++) {
        const purse_t *purse = &program->purses[i];
        if (purse->key == 0) continue;
        REQUIRE(in_range(purse->worth_num, 0, WORTH_NUM_MAX));
        REQUIRE(in_range(purse->worth_den, 1, WORTH_DEN_MAX));
        REQUIRE(purse->decimals <= DECIMALS_MAX);
        REQUIRE(purse->expiry <= EXPIRY_FIXED);
        REQUIRE(in_range(purse->expiry_n, 0,
                         purse->expiry == EXPIRY_MONTH_END ? MONTHS_MAX : DAYS_MAX));
        REQUIRE(in_range(purse->pending_days, 0, DAYS_MAX));
        REQUIRE((purse->flags & ~(uint32_t)PURSE_FLAG_AWAITS) == 0);
        TRY(check_string(program, purse->id_text, purse->id_length));
    }
    return STATUS_OK;
}

static bool is_purse(const program_t *program, uint32_t purse)
{
    return purse >= 1 && purse <= program->purse_count && program->purses[purse - 1].key != 0;
}

static status_t check_progress(const program_t *program)
{
    REQUIRE(program->progress_count <= PROGRESS_MAX);
    REQUIRE(program->progress_count <= program->slot_count);
    REQUIRE(program->tier_count <= TIERS_MAX);
    for (uint32_t i = 0; i < program->tier_count; i++) {
        const tier_t *tier = &program->tiers[i];
        if (tier->key == 0) continue;
        REQUIRE(tier->progress == NONE_32 || tier->progress < program->progress_count);
        REQUIRE(in_range(tier->goal, 0, GOAL_MAX));
        REQUIRE(tier->grace_days <= 366);
        TRY(check_string(program, tier->id_text, tier->id_length));
    }
    for (uint32_t i = 0; i < program->progress_count; i++) {
        const progress_t *progress = &program->progress[i];
        const uint32_t offer = progress->reward_offer;
        REQUIRE(in_range(progress->goal, 0, GOAL_MAX));
        /* Only a tier has goals of its own: what repeats or grants divides by this one. */
        REQUIRE(progress->goal > 0 || (progress->repeats == 0 && offer == NONE_32));
        REQUIRE(progress->goal > 0 || progress->reward_points == 0);
        REQUIRE(progress->slot == program->slot_count - program->progress_count + i);
        const slot_t *slot = &program->slots[progress->slot];
        REQUIRE(slot->role == SLOT_PROGRESS);
        REQUIRE(slot->offer == NONE_32);
        REQUIRE(slot->count == (int64_t)i);
        REQUIRE(in_range(slot->unit_min_minor, 0, LINE_AMOUNT_MAX));
        REQUIRE(in_range(slot->unit_max_minor, 0, LINE_AMOUNT_MAX));
        REQUIRE((slot->flags & ~(SLOT_FLAG_UNIVERSAL | SLOT_FLAG_KIND)) == 0);
        REQUIRE((slot->flags & SLOT_FLAG_KIND) != SLOT_FLAG_KIND);
        REQUIRE(offer == NONE_32 || offer < program->header->offer_count);
        REQUIRE(in_range(progress->measure, PROGRESS_SPEND, PROGRESS_POINTS));
        REQUIRE(in_range(progress->scope, LIMIT_SCOPE_MEMBER, LIMIT_SCOPE_GROUP));
        REQUIRE(progress->window <= WINDOW_ROLLING);
        REQUIRE(progress->window != WINDOW_ROLLING || progress->goal == 0);
        REQUIRE(progress->window != WINDOW_ROLLING || in_range(progress->months, 1, 36));
        REQUIRE(progress->measure != PROGRESS_POINTS || is_purse(program, progress->purse));
        REQUIRE(in_range(progress->reward_points, 0, GOAL_MAX));
        REQUIRE(progress->reward_points == 0 || is_purse(program, progress->reward_purse));
        TRY(check_string(program, progress->id_text, progress->id_length));
    }
    return STATUS_OK;
}

static status_t check_keys(const program_tables_t *tables, const program_t *program)
{
    uint64_t filled = 0;
    for (uint64_t i = 0; i <= program->coupon_mask; i++) {
        if (program->coupons[i].coupon_key == 0) continue;
        filled++;
        REQUIRE(program->coupons[i].offer < program->header->offer_count);
    }
    REQUIRE(filled == tables->coupons.count);
    filled = 0;
    for (uint64_t i = 0; i <= program->offer_number_mask; i++) {
        const offer_number_t *slot = &program->offer_numbers[i];
        if (slot->key == 0) continue;
        filled++;
        REQUIRE(slot->offer < program->header->offer_count);
        REQUIRE(program->offers[slot->offer].key == slot->key);
    }
    REQUIRE(filled == tables->offer_numbers.count);
    REQUIRE(filled == program->header->offer_count);
    return STATUS_OK;
}

static bool is_name_number(const name_slot_t *slot)
{
    switch (slot->space) {
    case NAME_SPACE_SEGMENT: return slot->number < SEGMENTS_MAX;
    case NAME_SPACE_TIER: return slot->number < TIERS_MAX;
    case NAME_SPACE_CHANNEL: return slot->number < 32;
    case NAME_SPACE_PURSE: return slot->number >= 1 && slot->number <= PURSES_MAX;
    default: return false;
    }
}

static status_t check_names(const program_tables_t *tables, const program_t *program)
{
    uint64_t filled = 0;
    for (uint64_t i = 0; i <= program->name_mask; i++) {
        if (program->names[i].key == 0) continue;
        filled++;
        REQUIRE(is_name_number(&program->names[i]));
    }
    REQUIRE(filled == tables->names.count);
    for (uint32_t i = 0; i < program->issuer_count; i++) {
        REQUIRE(program->issuers[i].prefix_length <= sizeof program->issuers[i].prefix);
        REQUIRE(program->issuers[i].length_min <= program->issuers[i].length_max);
    }
    return STATUS_OK;
}

static status_t read_program(const mapping_t *mapping, program_t *program)
{
    program_tables_t tables;
    TRY(read_program_tables(mapping, &tables));
    point_at_tables(&tables, program);
    TRY(check_header(&tables, program));
    TRY(check_exclusions(&tables, program));
    TRY(check_offers(&tables, program));
    TRY(check_more(&tables, program));
    TRY(check_index(program));
    TRY(check_rows(program));
    TRY(check_limits(&tables, program));
    TRY(check_eligibility(&tables, program));
    TRY(check_texts(&tables, program));
    TRY(check_purses(program));
    TRY(check_redeemers(program));
    TRY(check_progress(program));
    TRY(check_keys(&tables, program));
    return check_names(&tables, program);
}

status_t program_open(const char *path, const uint8_t hash[16], program_t *program)
{
    mapping_t *mapping = NULL;
    memset(program, 0, sizeof *program);
    TRY(open_mapping(path, &mapping));
    memcpy(program->hash, hash, sizeof program->hash);
    program->environment = mapping;
    status_t status = read_program(mapping, program);
    if (status != STATUS_OK) program_close(program);
    return status;
}

void program_close(program_t *program)
{
    close_mapping(program->environment);
    memset(program, 0, sizeof *program);
}
