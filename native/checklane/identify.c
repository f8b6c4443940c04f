/* Who is at the lane: identifiers -> members -> all that a decision may know of them. The overlay
 * (rows derived from the journal) is asked before the members snapshot. */
#include <string.h>

#include "engine_internal.h"
#include "invariant.h"
#include "progress.h"

/* Names of the wire's identifier kinds, as the feeds write them; "member_id" is a number itself. */
static const char *const KIND_NAMES[] = {"",      "card",    "phone",     "email",         "app",
                                         "account", "member_id", "payment_token", "external"};
#define KIND_CARD 1
#define KIND_PHONE 2
#define KIND_EMAIL 3
#define KIND_MEMBER_ID 6
#define KIND_COUNT 9

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool is_punctuation(uint8_t byte)
{
    return byte == ' ' || byte == '-' || byte == '.' || byte == '/' || byte == '(' || byte == ')';
}

static bytes_t trimmed(bytes_t value)
{
    while (value.size > 0 && is_blank(value.at[0])) {
        value.at++;
        value.size--;
    }
    while (value.size > 0 && is_blank(value.at[value.size - 1])) value.size--;
    return value;
}

/* The digits of a card or phone number; 0: it holds anything else. */
static uint32_t normalise_digits(bytes_t value, uint8_t out[VALUE_BYTES_MAX])
{
    uint32_t size = 0;
    for (uint32_t i = 0; i < value.size; i++) {
        uint8_t byte = value.at[i];
        if (is_punctuation(byte) || (i == 0 && byte == '+')) continue;
        if (byte < '0' || byte > '9') return 0;
        out[size++] = byte;
    }
    return size;
}

/* An e-mail address in lower case; 0: it is none. */
static uint32_t normalise_email(bytes_t value, uint8_t out[VALUE_BYTES_MAX])
{
    uint32_t at = 0;
    for (uint32_t i = 0; i < value.size; i++) {
        uint8_t byte = value.at[i];
        if (is_blank(byte)) return 0;
        if (byte == '@') at = i;
        out[i] = byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + 32) : byte;
    }
    return at > 0 && at + 1 < value.size ? value.size : 0;
}

/* The normal form of src/checklane/snapshot/identifiers.py; returns the bytes written to `out`, 0
 * for what that would reject. */
static uint32_t normalise(int64_t kind, bytes_t value, uint8_t out[VALUE_BYTES_MAX])
{
    value = trimmed(value);
    INVARIANT(value.size <= VALUE_BYTES_MAX);
    if (kind == KIND_CARD || kind == KIND_PHONE) return normalise_digits(value, out);
    if (kind == KIND_EMAIL) return normalise_email(value, out);
    if (value.size > 0) memcpy(out, value.at, value.size);
    return value.size;
}

hash128_t identity_hash(const engine_t *engine, int64_t kind, bytes_t value)
{
    uint8_t text[32 + VALUE_BYTES_MAX];
    hash128_t none = {0, 0};
    if (kind <= 0 || kind >= KIND_COUNT || kind == KIND_MEMBER_ID) return none;
    size_t size = strlen(KIND_NAMES[kind]);
    memcpy(text, KIND_NAMES[kind], size);
    text[size++] = ':';
    uint32_t normal_size = normalise(kind, value, text + size);
    if (normal_size == 0) return none;
    return siphash128(engine->options.identity_key, text, size + normal_size);
}

uint64_t number_of_id(const engine_t *engine, const char *space, bytes_t id)
{
    uint8_t text[32 + VALUE_BYTES_MAX];
    size_t size = strlen(space);
    INVARIANT(size < 31);
    INVARIANT(id.size <= VALUE_BYTES_MAX);
    memcpy(text, space, size);
    text[size++] = ':';
    if (id.size > 0) memcpy(text + size, id.at, id.size);
    uint64_t number = siphash128(engine->options.identity_key, text, size + id.size).lo;
    return number != 0 ? number : 1;
}

place_t find_place(const session_t *session, const accounts_view_t *view, uint64_t member)
{
    place_t place = {0};
    const members_t *members = session->live->members;
    record_t record = accounts_read(view, key_of(session, FAMILY_PLACE, member, 0));
    const cell_t *cell = record_find(record, CELL_GROUP, 0, 0, 0);
    const cell_t *merged = record_find(record, CELL_MERGED, 0, 0, 0);
    place.lsn = record.head->applied_lsn;
    place.merged_into = merged == NULL ? 0 : (uint64_t)merged->value;
    place.record = members == NULL ? NULL : find_member(members, member);
    if (cell != NULL) {
        place.is_known = true;
        place.account_group = (uint64_t)cell->value;
        place.flags = (uint16_t)(cell->other & 0xffff);
        place.birth_month = (uint16_t)(cell->other >> 24 & 0xff);
        place.birth_day = (uint16_t)(cell->other >> 16 & 0xff);
    } else if (place.record != NULL) {
        place.is_known = true;
        place.account_group = place.record->account_group;
        place.flags = place.record->flags;
        place.birth_month = place.record->birth_month;
        place.birth_day = place.record->birth_day;
    }
    return place;
}

place_t find_survivor(const session_t *session, const accounts_view_t *view, uint64_t *member)
{
    place_t place = find_place(session, view, *member);
    for (uint32_t i = 0; place.merged_into != 0; i++) {
        INVARIANT(i < MERGES_MAX);
        *member = place.merged_into;
        place = find_place(session, view, *member);
    }
    return place;
}

uint64_t find_group(const session_t *session, const accounts_view_t *view, uint64_t group)
{
    for (uint32_t i = 0;; i++) {
        INVARIANT(i <= MERGES_MAX);
        record_t record = accounts_read(view, key_of(session, FAMILY_GROUP, group, 0));
        const cell_t *moved = record_find(record, CELL_MOVED, 0, 0, 0);
        if (moved == NULL) return group;
        group = (uint64_t)moved->value;
    }
}

uint64_t referrer_of(const session_t *session, uint64_t member, cells_t own)
{
    const members_t *members = session->live->members;
    for (uint32_t i = 0; i < own.count; i++) {
        if (own.at[i].kind == CELL_REFERRER) return (uint64_t)own.at[i].value;
    }
    return members == NULL ? 0 : find_referral(members, member);
}

int64_t find_referrer(const session_t *session, const accounts_view_t *view, place_t *place)
{
    const facts_t *facts = &session->facts;
    record_t row = accounts_read(view, key_of(session, FAMILY_MEMBER, facts->account_group,
                                              facts->member));
    uint64_t referrer = referrer_of(session, facts->member,
                                    (cells_t){row.cells, row.head->cell_count});
    memset(place, 0, sizeof *place);
    if (referrer == 0) return REFERRER_NONE;
    *place = find_survivor(session, view, &referrer);
    if (!place->is_known) place->account_group = referrer;
    bool is_out = !place->is_known || (place->flags & MEMBER_FLAG_BLOCKED) != 0;
    if (place->account_group == facts->account_group) is_out = true;
    return is_out ? REFERRER_EXCLUDED : REFERRER_FOUND;
}

/* The member that the overlay's row names, or 0; *is_unlinked: the row takes it from `fed`, whom
 * the snapshot names. */
static uint64_t find_linked(record_t row, uint64_t fed, bool *is_unlinked)
{
    *is_unlinked = false;
    for (uint32_t i = record_first(row, CELL_MEMBER);
         i < row.head->cell_count && row.cells[i].kind == CELL_MEMBER; i++) {
        if (row.cells[i].value > 0) return row.cells[i].key;
        if (row.cells[i].key == fed) *is_unlinked = true;
    }
    return 0;
}

uint64_t find_identified(const session_t *session, const accounts_view_t *view, int64_t kind,
                         bytes_t value, hash128_t *hash, uint64_t *lsn)
{
    *lsn = 0;
    *hash = identity_hash(session->engine, kind, value);
    if (kind == KIND_MEMBER_ID) {
        uint64_t member = number_of_id(session->engine, "member", value);
        return find_place(session, view, member).is_known ? member : 0;
    }
    if (hash->hi == 0 && hash->lo == 0) return 0;
    const members_t *members = session->live->members;
    const identity_slot_t *slot = members == NULL ? NULL : find_identity(members, *hash);
    uint64_t fed = slot == NULL ? 0 : slot->member;
    record_t row = accounts_read(view, key_of(session, FAMILY_IDENTITY, hash->hi, hash->lo));
    bool is_unlinked;
    uint64_t linked = find_linked(row, fed, &is_unlinked);
    *lsn = row.head->applied_lsn;
    if (linked != 0) return linked;
    return is_unlinked ? 0 : fed;
}

/* True when a card number lies in a range whose numbers may open a provisional account. */
static bool is_issued(const program_t *program, int64_t kind, bytes_t value)
{
    uint8_t normal[VALUE_BYTES_MAX];
    uint32_t size = normalise(kind, value, normal);
    if (size == 0) return false;
    for (uint32_t i = 0; i < program->issuer_count; i++) {
        const issuer_range_t *range = &program->issuers[i];
        if (range->kind != kind) continue;
        if (size < range->length_min || size > range->length_max) continue;
        if (size < range->prefix_length) continue;
        if (memcmp(normal, range->prefix, range->prefix_length) == 0) return true;
    }
    return false;
}

static uint64_t provisional_number(const engine_t *engine, hash128_t hash)
{
    uint64_t words[2] = {hash.hi, hash.lo};
    bytes_t bytes = {(const uint8_t *)words, sizeof words};
    return number_of_id(engine, "provisional", bytes);
}

static void note_member(session_t *session, const found_t *found, hash128_t hash, int64_t kind,
                        uint64_t lsn, const place_t *place)
{
    facts_t *facts = &session->facts;
    if (found->role != 1 || facts->member != 0) return;
    facts->member = found->member;
    facts->account_group = found->account_group;
    session->member_identity = hash;
    session->member_identity_kind = (uint8_t)kind;
    session->is_provisional_new = found->result == FOUND_PROVISIONAL_NEW;
    session->versions[0] = lsn;
    session->place = *place;
}

static void identify_one(session_t *session, const accounts_view_t *view,
                         const sent_identifier_t *sent, found_t *found, uint32_t *roles_seen)
{
    hash128_t hash;
    uint64_t lsn;
    memset(found, 0, sizeof *found);
    found->role = (uint8_t)(sent->role == 0 ? 1 : sent->role);
    if ((*roles_seen >> found->role & 1) != 0) {
        found->result = FOUND_SURPLUS;
        return;
    }
    uint64_t member = find_identified(session, view, sent->kind, sent->value, &hash, &lsn);
    place_t place;
    if (member != 0) {
        place = find_survivor(session, view, &member);
        found->result = (place.flags & MEMBER_FLAG_PROVISIONAL) != 0 ? FOUND_PROVISIONAL
                                                                     : FOUND_MEMBER;
        found->account_group = place.account_group;
    } else if (found->role == 1 && is_issued(session->live->program, sent->kind, sent->value)) {
        member = provisional_number(session->engine, hash);
        /* An account that became somebody's does not come back with a card that was unlinked. */
        place = find_place(session, view, member);
        if (place.merged_into != 0) {
            found->result = FOUND_UNKNOWN;
            return;
        }
        found->account_group = member;
        found->result = FOUND_PROVISIONAL_NEW;
    } else {
        found->result = FOUND_UNKNOWN;
        return;
    }
    *roles_seen |= 1u << found->role;
    if (found->result != FOUND_PROVISIONAL_NEW && (place.flags & MEMBER_FLAG_BLOCKED) != 0) {
        found->account_group = 0;
        found->result = FOUND_BLOCKED;
        return;
    }
    found->member = member;
    note_member(session, found, hash, sent->kind, lsn, &place);
}

void identify_all(session_t *session, const accounts_view_t *view,
                  const sent_identifier_t *identifiers, uint32_t count)
{
    uint32_t roles_seen = 0;
    session->facts.member = 0;
    session->facts.account_group = 0;
    session->is_provisional_new = false;
    memset(session->versions, 0, sizeof session->versions);
    session->found_count = count;
    for (uint32_t i = 0; i < count; i++) {
        identify_one(session, view, &identifiers[i], &session->found[i], &roles_seen);
    }
}

/* Tier, segments and consent that the overlay says, over the snapshot's. */
static void apply_overlay(member_record_t *record, record_t member, int32_t today)
{
    for (uint32_t i = 0; i < member.head->cell_count; i++) {
        const cell_t *cell = &member.cells[i];
        if (cell->kind == CELL_TIER && cell->other >= today) record->tier = (uint16_t)cell->value;
        if (cell->kind == CELL_SEGMENT) {
            uint64_t bit = (uint64_t)1 << (cell->sub & 63);
            uint64_t *word = &record->segments[cell->sub >> 6 & 1];
            *word = cell->value > 0 ? *word | bit : *word & ~bit;
        }
        if (cell->kind == CELL_CONSENT) {
            record->flags = cell->value > 0 ? (uint16_t)(record->flags | MEMBER_FLAG_CONSENT)
                                            : (uint16_t)(record->flags & ~MEMBER_FLAG_CONSENT);
        }
    }
}

/* The member as the overlay leaves the snapshot's record; *row and *group are the member's own
 * record and the group's. */
static member_record_t read_member(const session_t *session, const accounts_view_t *view,
                                   uint64_t member, uint64_t account_group, const place_t *place,
                                   int32_t today, record_t *row, record_t *group)
{
    member_record_t record = {0};
    if (place->record != NULL) record = *place->record;
    record.member = member;
    record.account_group = account_group;
    record.flags = place->flags;
    record.birth_month = place->birth_month;
    record.birth_day = place->birth_day;
    *row = accounts_read(view, key_of(session, FAMILY_MEMBER, account_group, member));
    apply_overlay(&record, *row, today);
    *group = accounts_read(view, key_of(session, FAMILY_GROUP, account_group, 0));
    cells_t own = {row->cells, row->head->cell_count};
    cells_t shared = {group->cells, group->head->cell_count};
    record.tier = held_tier(session->live->program, own, shared, today, record.tier);
    return record;
}

/* The tier of each member that was found, whatever the role. */
static void fill_tiers(session_t *session, const accounts_view_t *view, int32_t today)
{
    for (uint32_t i = 0; i < session->found_count; i++) {
        found_t *found = &session->found[i];
        if (found->member == 0) continue;
        found->tier = session->facts.record.tier;
        if (found->member == session->facts.member) continue;
        place_t place = find_place(session, view, found->member);
        record_t row;
        record_t group;
        found->tier = read_member(session, view, found->member, found->account_group, &place,
                                  today, &row, &group).tier;
    }
}

/* Merges the snapshot's wallet (ascending keys) with the overlay's cells (ascending too). */
static uint32_t merge_wallet(const session_t *session, const member_record_t *record,
                             record_t member, uint64_t wallet[WALLET_MAX])
{
    const members_t *members = session->live->members;
    const uint64_t *held = members == NULL ? NULL : members->wallet + record->wallet_first;
    uint32_t held_count = members == NULL ? 0 : record->wallet_count;
    uint32_t cell_at = record_first(member, CELL_WALLET);
    uint32_t held_at = 0;
    uint32_t count = 0;
    while (count < WALLET_MAX) {
        bool is_cell = cell_at < member.head->cell_count
                       && member.cells[cell_at].kind == CELL_WALLET;
        if (!is_cell && held_at == held_count) break;
        if (!is_cell || (held_at < held_count && held[held_at] < member.cells[cell_at].key)) {
            wallet[count++] = held[held_at++];
            continue;
        }
        const cell_t *cell = &member.cells[cell_at++];
        if (held_at < held_count && held[held_at] == cell->key) held_at++;
        if (cell->value > 0) wallet[count++] = cell->key;
    }
    return count;
}

void fill_found_facts(session_t *session, const accounts_view_t *view, int32_t today)
{
    facts_t *facts = &session->facts;
    static const record_head_t empty = {0, 0, 0};
    record_t group = {&empty, NULL};
    record_t member = {&empty, NULL};
    memset(&facts->record, 0, sizeof facts->record);
    facts->wallet_count = 0;
    facts->wallet = session->wallet;
    if (facts->member != 0) {
        session->versions[1] = session->place.lsn;
        facts->record = read_member(session, view, facts->member, facts->account_group,
                                    &session->place, today, &member, &group);
        facts->wallet_count = merge_wallet(session, &facts->record, member, session->wallet);
    }
    session->versions[2] = facts->group_lsn = group.head->applied_lsn;
    session->versions[3] = facts->member_lsn = member.head->applied_lsn;
    session->held_mark = 0;
    cells_t shared = read_free(session, group, session->free_group, &session->held_mark);
    cells_t own = read_free(session, member, session->free_member, &session->held_mark);
    facts->group_cells = shared.at;
    facts->group_cell_count = shared.count;
    facts->member_cells = own.at;
    facts->member_cell_count = own.count;
    fill_tiers(session, view, today);
}

void fill_member_facts(session_t *session, const accounts_view_t *view, int32_t today)
{
    session->place = find_place(session, view, session->facts.member);
    fill_found_facts(session, view, today);
}

uint32_t list_wallet(const session_t *session, wallet_offer_t wallet[WALLET_MAX])
{
    const facts_t *facts = &session->facts;
    uint32_t count = 0;
    for (uint32_t i = 0; i < facts->wallet_count; i++) {
        wallet[count++] = (wallet_offer_t){.offer_key = session->wallet[i], .activated = true};
    }
    for (uint32_t i = 0; i < facts->member_cell_count && count < WALLET_MAX; i++) {
        const cell_t *cell = &facts->member_cells[i];
        if (cell->kind != CELL_GRANT || cell->value <= 0) continue;
        bool is_held = false;
        for (uint32_t j = 0; j < facts->wallet_count; j++) {
            if (session->wallet[j] == cell->key) is_held = true;
        }
        if (is_held) continue;
        wallet[count++] = (wallet_offer_t){.offer_key = cell->key,
                                           .activated = true,
                                           .is_counted = true,
                                           .remaining_uses = cell->value};
    }
    return count;
}

void copy_cells(session_t *session, const cell_t *cells, uint32_t count)
{
    INVARIANT(count <= RECORD_CELLS_MAX);
    session->cell_count = count;
    if (count > 0) memcpy(session->cells, cells, count * sizeof *cells);
}

void add_cell(session_t *session, cell_t cell)
{
    for (uint32_t i = 0; i < session->cell_count; i++) {
        if (cell_compare(&session->cells[i], &cell) != 0) continue;
        session->cells[i].value += cell.value;
        return;
    }
    if (session->cell_count < RECORD_CELLS_MAX) session->cells[session->cell_count++] = cell;
}

int32_t day_at_sender(const session_t *session, int64_t unix_ms)
{
    const catalogue_t *catalogue = session->live->catalogue;
    const store_t *store = find_store(catalogue, name_key_of("store", session->wire.store_id));
    return day_of_unix_ms(unix_ms, utc_offset_minutes(catalogue, store, unix_ms / 1000));
}

/* The date that an identification is for. */
static int32_t day_of_identify(const session_t *session)
{
    const identify_request_t *request = &session->wire.identify;
    int64_t now_ms = request->opened_time_unix_ms;
    if (now_ms == 0) now_ms = wall_unix_ms();
    if (!is_present(request->present, IDENTIFY_UTC_OFFSET)) return day_at_sender(session, now_ms);
    return day_of_unix_ms(now_ms, (int32_t)request->utc_offset_minutes);
}

status_t call_identify(session_t *session)
{
    const identify_request_t *request = &session->wire.identify;
    const program_t *program = session->live->program;
    wallet_offer_t wallet[WALLET_MAX];
    status_t status = check_sender(session, "context.store_id");
    if (status != STATUS_OK) return status;
    int32_t today = day_of_identify(session);
    const accounts_view_t *view = ledger_pin(session->reader);
    identify_all(session, view, session->wire.identifiers, request->identifiers.count);
    fill_found_facts(session, view, today);
    identify_answer_t answer = {.program = program,
                                .found = session->found,
                                .found_count = session->found_count,
                                .balances = session->balances,
                                .wallet = wallet,
                                .locale = request->locale};
    if (session->facts.member != 0) {
        answer.balance_count = balances_of(session->facts.group_cells,
                                           session->facts.group_cell_count, program, today,
                                           session->balances);
    }
    if (request->include_wallet) answer.wallet_count = list_wallet(session, wallet);
    answer.holds = session->hold_answers;
    if (request->include_holds) answer.hold_count = list_holds(session, view);
    status = wire_write_identify(session->reply, &answer);
    ledger_unpin(session->reader);
    return status;
}
