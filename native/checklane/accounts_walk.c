/* All records in order of (family, key), and what the checkpoint shares with that: a memtable's
 * records, sorted. Readers call it, each with its own view; nothing here is kept. */
#include "accounts_internal.h"

#include <stdlib.h>

/* Slots between a record that is looked at and the one whose memory is asked for. */
#define COLLECT_AHEAD_SLOTS 16

static uint64_t key_prefix(const record_key_t *key)
{
    /* The family's byte, then the partition's two; five of hi's follow in order of address. */
    uint64_t partition = __builtin_bswap16(key->partition);
    return (uint64_t)key->family << 56 | partition << 40 | __builtin_bswap64(key->hi) >> 24;
}

static int found_compare(const void *left, const void *right)
{
    const found_t *a = left;
    const found_t *b = right;
    int order = memcmp(&a->record->key, &b->record->key, sizeof(record_key_t));
    if (order != 0) return order;
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

/* Sorts by prefix, a byte at a time from the last, then what shares a prefix. `spare` has room for
 * as many. Some 60 ns a record for half a million, a fifth of what comparing them takes. */
void found_sort(found_t *found, size_t count, found_t *spare)
{
    found_t *from = found;
    found_t *to = spare;
    for (uint32_t shift = 0; shift < 64; shift += 8) {
        size_t begins[257] = {0};
        for (size_t i = 0; i < count; i++) begins[(from[i].prefix >> shift & 0xff) + 1]++;
        if (count == 0 || begins[(from[0].prefix >> shift & 0xff) + 1] == count) continue;
        for (int byte = 0; byte < 256; byte++) begins[byte + 1] += begins[byte];
        for (size_t i = 0; i < count; i++) to[begins[from[i].prefix >> shift & 0xff]++] = from[i];
        found_t *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != found) memcpy(found, from, count * sizeof *found);
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin + 1; end < count && found[end].prefix == found[begin].prefix;) end++;
        if (end - begin > 1) qsort(&found[begin], end - begin, sizeof *found, found_compare);
    }
}

/* Appends a memtable's records of a family (0: of all) to `found`, which has room for `room`;
 * returns the new count. */
size_t memtable_collect(const memtable_t *table, uint8_t family, uint64_t rank,
                               found_t *found, size_t count, size_t room)
{
    /* An unused table is a mapping that nobody has touched: leave it so. */
    if (atomic_load_explicit(&table->count, memory_order_relaxed) == 0) return count;
    for (uint64_t at = 0; at <= table->mask && count < room; at++) {
        /* The records lie in the order in which they were made, the slots by their hash. */
        uint64_t ahead = (at + COLLECT_AHEAD_SLOTS) & table->mask;
        __builtin_prefetch(atomic_load_explicit(&table->slots[ahead].record, memory_order_relaxed));
        const stored_t *record =
            atomic_load_explicit(&table->slots[at].record, memory_order_acquire);
        if (record == NULL) continue;
        if (family != 0 && record->key.family != family) continue;
        found[count].record = record;
        found[count].prefix = key_prefix(&record->key);
        found[count].rank = rank;
        count++;
    }
    return count;
}

typedef struct walk {
    const accounts_t *accounts;
    void (*each)(void *context, const record_key_t *key, record_t record);
    void *context;
    const found_t *found;
    size_t count;
    size_t at;
} walk_t;

static void walk_emit(const walk_t *walk, const record_key_t *key, record_t record)
{
    record = visible(walk->accounts, key->family, record);
    if (record.head->cell_count > 0) walk->each(walk->context, key, record);
}

/* Emits the memtables' records up to and including `until` (NULL: all of the family); true when
 * one of them was `until` itself. */
static bool walk_memtables(walk_t *walk, uint8_t family, const record_key_t *until)
{
    bool is_met = false;
    while (walk->at < walk->count) {
        const stored_t *record = walk->found[walk->at].record;
        if (record->key.family != family) break;
        int order = until == NULL ? -1 : memcmp(&record->key, until, sizeof *until);
        if (order > 0) break;
        if (order == 0) is_met = true;
        walk_emit(walk, &record->key, record_of_stored(record));
        do walk->at++;
        while (walk->at < walk->count
               && key_equal(&walk->found[walk->at].record->key, &record->key));
    }
    return is_met;
}

#define RUN_NONE UINT32_MAX

/* One table, or one run of a month, on its way through the merge. */
typedef struct lane {
    MDB_cursor *cursor;
    uint32_t run; /* of a month; RUN_NONE: a table that has none */
    record_key_t key;
    record_t record;
} lane_t;

/* All lanes of a family, as a heap: the least key first. */
typedef struct lanes {
    lane_t *lanes;
    size_t count;
    size_t room;
} lanes_t;

/* Takes what the cursor stands at; false where that is the lane's end. */
static bool lane_take(lane_t *lane, int moved, const MDB_val *name, const MDB_val *value,
                      int *error)
{
    if (moved != 0) {
        if (moved != MDB_NOTFOUND) *error = moved;
        return false;
    }
    INVARIANT(name->mv_size == sizeof lane->key);
    memcpy(&lane->key, name->mv_data, sizeof lane->key);
    if (lane->run != RUN_NONE) {
        run_name_t named;
        memcpy(&named, name->mv_data, sizeof named);
        if (run_of_name(&named) != lane->run) return false;
        lane->key = key_of_name(&named);
    }
    lane->record = record_of_value(value);
    return true;
}

static bool lane_next(lane_t *lane, int *error)
{
    MDB_val name;
    MDB_val value;
    int moved = mdb_cursor_get(lane->cursor, &name, &value, MDB_NEXT);
    return lane_take(lane, moved, &name, &value, error);
}

static bool lane_before(const lane_t *left, const lane_t *right)
{
    return memcmp(&left->key, &right->key, sizeof left->key) < 0;
}

/* Moves the lane at `at` down to where it belongs. */
static void lanes_sink(lanes_t *lanes, size_t at)
{
    for (;;) {
        size_t least = at;
        for (size_t below = 2 * at + 1; below <= 2 * at + 2 && below < lanes->count; below++) {
            if (lane_before(&lanes->lanes[below], &lanes->lanes[least])) least = below;
        }
        if (least == at) return;
        lane_t moved = lanes->lanes[at];
        lanes->lanes[at] = lanes->lanes[least];
        lanes->lanes[least] = moved;
        at = least;
    }
}

/* Opens a lane at the first record of a run, or of the next that has one, whose number it takes;
 * *is_there is false behind the last. */
static int lanes_open(lanes_t *lanes, MDB_txn *transaction, MDB_dbi table, uint32_t run,
                      bool *is_there)
{
    if (lanes->count == lanes->room) {
        size_t room = 2 * lanes->room + MONTH_SLOTS;
        lane_t *larger = realloc(lanes->lanes, room * sizeof *larger);
        if (larger == NULL) return ENOMEM;
        lanes->lanes = larger;
        lanes->room = room;
    }
    lane_t lane = {.run = run};
    record_key_t nothing = {0};
    run_name_t begin = run_name(run, &nothing);
    MDB_val name = {sizeof begin, &begin};
    MDB_val value;
    int error = mdb_cursor_open(transaction, table, &lane.cursor);
    if (error != 0) return error;
    MDB_cursor_op op = run == RUN_NONE ? MDB_FIRST : MDB_SET_RANGE;
    int moved = mdb_cursor_get(lane.cursor, &name, &value, op);
    if (moved == 0 && run != RUN_NONE) {
        INVARIANT(name.mv_size == sizeof begin);
        lane.run = run_of_name(name.mv_data);
    }
    *is_there = lane_take(&lane, moved, &name, &value, &error);
    if (*is_there) lanes->lanes[lanes->count++] = lane;
    else mdb_cursor_close(lane.cursor);
    return error;
}

/* Opens a lane for each run that the transaction has of a month. */
static int lanes_open_month(lanes_t *lanes, MDB_txn *transaction, MDB_dbi table)
{
    bool is_there = true;
    int error = 0;
    for (uint32_t run = 0; is_there && error == 0;) {
        error = lanes_open(lanes, transaction, table, run, &is_there);
        if (is_there) run = lanes->lanes[lanes->count - 1].run + 1;
    }
    return error;
}

/* Merges lanes in order of their keys with the memtables. Lanes of two months may hold one key, of
 * which at most one is visible; what a memtable has of it hides both. */
static int walk_lanes(walk_t *walk, lanes_t *lanes, uint8_t family)
{
    int error = 0;
    record_key_t hidden = {0};
    for (size_t at = lanes->count / 2; at-- > 0;) lanes_sink(lanes, at);
    while (lanes->count > 0 && error == 0) {
        lane_t *least = &lanes->lanes[0];
        if (walk_memtables(walk, family, &least->key)) hidden = least->key;
        if (!key_equal(&hidden, &least->key)) walk_emit(walk, &least->key, least->record);
        if (!lane_next(least, &error)) {
            mdb_cursor_close(least->cursor);
            lanes->count--;
            *least = lanes->lanes[lanes->count];
        }
        lanes_sink(lanes, 0);
    }
    if (error == 0) walk_memtables(walk, family, NULL);
    return error;
}

static int walk_family(walk_t *walk, MDB_txn *transaction, uint8_t family)
{
    const accounts_t *accounts = walk->accounts;
    lanes_t lanes = {0};
    int error = 0;
    if (is_monthly(family)) {
        uint32_t ring = family - FAMILY_RECEIPT;
        for (uint32_t slot = 0; slot < MONTH_SLOTS && error == 0; slot++) {
            if (atomic_load(&accounts->slot_months[ring][slot]) == 0) continue;
            MDB_dbi table = accounts->tables_of_months[ring][slot];
            error = lanes_open_month(&lanes, transaction, table);
        }
    } else if (accounts->families[family] != 0) {
        bool is_there;
        error = lanes_open(&lanes, transaction, accounts->families[family], RUN_NONE, &is_there);
    }
    if (error == 0) error = walk_lanes(walk, &lanes, family);
    while (lanes.count > 0) mdb_cursor_close(lanes.lanes[--lanes.count].cursor);
    free(lanes.lanes);
    return error;
}

status_t accounts_each_of(const accounts_view_t *view, uint8_t family,
                          void (*each)(void *context, const record_key_t *key, record_t record),
                          void *context)
{
    const tables_t *tables = view->tables;
    accounts_t *accounts = view->reader->accounts;
    size_t room = atomic_load_explicit(&tables->active->count, memory_order_relaxed) + 1;
    if (tables->frozen != NULL) {
        room += atomic_load_explicit(&tables->frozen->count, memory_order_relaxed);
    }
    found_t *found = malloc(2 * room * sizeof *found);
    if (found == NULL) return STATUS_OUT_OF_MEMORY;
    size_t count = 0;
    if (tables->frozen != NULL) {
        count = memtable_collect(tables->frozen, family, 1, found, count, room);
    }
    count = memtable_collect(tables->active, family, 0, found, count, room);
    found_sort(found, count, found + room);
    walk_t walk = {.accounts = accounts,
                   .each = each,
                   .context = context,
                   .found = found,
                   .count = count};
    MDB_txn *transaction = view_transaction(view);
    int error = 0;
    uint8_t last = family == 0 ? FAMILIES : family;
    for (uint8_t at = family == 0 ? 1 : family; at <= last && error == 0; at++) {
        error = walk_family(&walk, transaction, at);
    }
    free(found);
    if (error == ENOMEM) return STATUS_OUT_OF_MEMORY;
    return error == 0 ? STATUS_OK : STATUS_IO_FAILED;
}

status_t accounts_each(const accounts_view_t *view,
                       void (*each)(void *context, const record_key_t *key, record_t record),
                       void *context)
{
    return accounts_each_of(view, 0, each, context);
}
