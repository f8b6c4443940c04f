/* Members between two snapshots: enrolment, links, wallet, tier and segments as overlay rows;
 * points given and taken by hand; two members made one; and offers stopped by hand. Each is one
 * entry; it holds at once and until a members snapshot whose feed covers it says otherwise. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_internal.h"
#include "invariant.h"
#include "progress.h"
#include "rounding.h"

#define CONSENT_NAME "marketing"
/* References to holds go where what they hold goes. */
#define HELD_KINDS (1u << CELL_HOLD | 1u << CELL_HELD)

/* What a change to a member works on, found by the caller and found again by the writer. */
typedef struct subject {
    uint64_t member;
    place_t place;
    uint32_t moved_count; /* of a merge: purses in session->points */
} subject_t;

static bool is_consent(bytes_t name)
{
    return name.size == strlen(CONSENT_NAME) && memcmp(name.at, CONSENT_NAME, name.size) == 0;
}

static int64_t place_bits(const place_t *place)
{
    return (int64_t)place->flags | (int64_t)place->birth_month << 24
           | (int64_t)place->birth_day << 16;
}

static status_t find_subject(session_t *session, const accounts_view_t *view,
                             const member_ref_t *ref, subject_t *subject)
{
    hash128_t hash;
    uint64_t lsn;
    uint64_t member;
    if (is_present(ref->present, MEMBER_REF_ID)) {
        member = number_of_id(session->engine, "member", ref->member_id);
    } else if (is_present(ref->present, MEMBER_REF_NUMBER)) {
        member = (uint64_t)ref->member_number;
    } else {
        member = find_identified(session, view, ref->identifier.kind, ref->identifier.value, &hash,
                                 &lsn);
    }
    subject->place = find_survivor(session, view, &member);
    subject->member = member;
    subject->moved_count = 0;
    if (member == 0 || !subject->place.is_known) {
        return fault_at(session->fault, STATUS_MEMBER_UNKNOWN, "member");
    }
    return STATUS_OK;
}

/* ------------------------------------------------------------------ answers ---- */

static bool is_before(bytes_t left, bytes_t right)
{
    int order = memcmp(left.at, right.at, left.size < right.size ? left.size : right.size);
    return order != 0 ? order < 0 : left.size < right.size;
}

/* The ids of the segments that the member is in, ascending. */
static uint32_t collect_segments(const program_t *program, const member_record_t *record,
                                 bytes_t segments[SEGMENTS_MAX])
{
    uint32_t count = 0;
    for (uint64_t i = 0; i <= program->name_mask && count < SEGMENTS_MAX; i++) {
        const name_slot_t *name = &program->names[i];
        if (name->key == 0 || name->space != NAME_SPACE_SEGMENT || name->id_length == 0) continue;
        if ((record->segments[name->number >> 6 & 1] >> (name->number & 63) & 1) == 0) continue;
        bytes_t id = {program->strings + name->id_text, name->id_length};
        uint32_t to = count++;
        for (; to > 0 && is_before(id, segments[to - 1]); to--) segments[to] = segments[to - 1];
        segments[to] = id;
    }
    return count;
}

static uint32_t member_state(const place_t *place, uint16_t flags)
{
    if (place->merged_into != 0) return MEMBER_STATE_MERGED;
    if ((flags & MEMBER_FLAG_BLOCKED) != 0) return MEMBER_STATE_BLOCKED;
    return (flags & MEMBER_FLAG_PROVISIONAL) != 0 ? MEMBER_STATE_PROVISIONAL : MEMBER_STATE_ACTIVE;
}

/* Puts an offer key into the session's wallet, or takes it out. */
static void change_wallet(session_t *session, uint64_t key, bool is_held)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < session->facts.wallet_count; i++) {
        if (session->wallet[i] != key) session->wallet[count++] = session->wallet[i];
    }
    if (is_held && count < WALLET_MAX) session->wallet[count++] = key;
    session->facts.wallet_count = count;
}

/* The answer shows the member as this entry leaves it, but nobody sees an entry before it is on
 * the disk: so the entry's own cells are laid over what the view shows. */
static void overlay_entry(session_t *session, const entry_builder_t *entry,
                          const subject_t *subject, int32_t today)
{
    member_record_t *record = &session->facts.record;
    /* Consent is in the member's record, which may say otherwise than the place. */
    record->flags = (uint16_t)((subject->place.flags & ~MEMBER_FLAG_CONSENT)
                               | (record->flags & MEMBER_FLAG_CONSENT));
    record->birth_month = subject->place.birth_month;
    record->birth_day = subject->place.birth_day;
    for (uint32_t i = 0; i < entry->movement_count; i++) {
        const cell_t *cell = &entry->movements[i].cell;
        if (entry->movements[i].record.family != FAMILY_MEMBER) continue;
        if (entry->movements[i].record.hi != subject->place.account_group) continue;
        if (entry->movements[i].record.lo != subject->member) continue;
        if (cell->kind == CELL_TIER) {
            cells_t own = {session->facts.member_cells, session->facts.member_cell_count};
            cells_t shared = {session->facts.group_cells, session->facts.group_cell_count};
            record->tier = held_tier(session->live->program, own, shared, today,
                                     (uint16_t)cell->value);
        }
        if (cell->kind == CELL_WALLET) change_wallet(session, cell->key, cell->value > 0);
        if (cell->kind == CELL_CONSENT) {
            record->flags = (uint16_t)(record->flags & ~MEMBER_FLAG_CONSENT);
            if (cell->value > 0) record->flags |= MEMBER_FLAG_CONSENT;
        }
        if (cell->kind == CELL_SEGMENT) {
            uint64_t bit = (uint64_t)1 << (cell->sub & 63);
            uint64_t *word = &record->segments[cell->sub >> 6 & 1];
            *word = cell->value > 0 ? *word | bit : *word & ~bit;
        }
    }
}

/* Points and counts of the member as the entry leaves them. */
static void overlay_counts(session_t *session, const accounts_view_t *view,
                           const entry_builder_t *entry)
{
    facts_t *facts = &session->facts;
    record_key_t member = key_of(session, FAMILY_MEMBER, facts->account_group, facts->member);
    record_key_t group = key_of(session, FAMILY_GROUP, facts->account_group, 0);
    cells_t own = lay_entry(session, view, entry, member, session->free_member);
    cells_t shared = lay_entry(session, view, entry, group, session->free_group);
    facts->member_cells = own.at;
    facts->member_cell_count = own.count;
    facts->group_cells = shared.at;
    facts->group_cell_count = shared.count;
}

/* How far the member has come with each progress in today's window. */
static uint32_t list_progress(const session_t *session, int32_t today,
                              progress_state_t states[PROGRESS_MAX])
{
    const program_t *program = session->live->program;
    const facts_t *facts = &session->facts;
    cells_t own = {facts->member_cells, facts->member_cell_count};
    cells_t shared = {facts->group_cells, facts->group_cell_count};
    for (uint32_t i = 0; i < program->progress_count; i++) {
        const progress_t *progress = &program->progress[i];
        bool is_own = progress->scope == LIMIT_SCOPE_MEMBER;
        int64_t value = progress_value(progress, is_own ? own : shared, today);
        int32_t first_day = progress_first_day(progress, today);
        bool is_open = progress->window == WINDOW_CAMPAIGN || progress->window == WINDOW_ROLLING;
        states[i] = (progress_state_t){
            .progress_id = {program->strings + progress->id_text, progress->id_length},
            .value = value,
            .goal = progress->goal,
            .times_reached = times_reached(progress, 0, value),
            .window_end_date =
                is_open ? 0 : date_from_day(progress_last_day(progress, first_day))};
    }
    return program->progress_count;
}

/* Who referred the member, as the entry leaves it. */
static uint64_t referrer_after(const session_t *session, const subject_t *subject,
                               const entry_builder_t *entry)
{
    const facts_t *facts = &session->facts;
    cells_t own = {facts->member_cells, facts->member_cell_count};
    uint64_t referrer = referrer_of(session, subject->member, own);
    for (uint32_t i = 0; entry != NULL && i < entry->movement_count; i++) {
        const movement_t *moved = &entry->movements[i];
        if (moved->op != MOVEMENT_SET || moved->cell.kind != CELL_REFERRER) continue;
        referrer = (uint64_t)moved->cell.value;
    }
    return referrer;
}

/* Writes the member as the view shows it, with the entry's changes when there is one. */
static status_t write_member(session_t *session, const accounts_view_t *view,
                             const subject_t *subject, bytes_t locale,
                             const entry_builder_t *entry, const posting_t *posting)
{
    static const uint8_t consent[] = CONSENT_NAME;
    const program_t *program = session->live->program;
    bytes_t segments[SEGMENTS_MAX];
    bytes_t consents[1] = {{consent, sizeof consent - 1}};
    wallet_offer_t wallet[WALLET_MAX];
    progress_state_t progress[PROGRESS_MAX];
    facts_t *facts = &session->facts;
    uint64_t survivor = subject->member;
    if (subject->place.merged_into != 0) find_survivor(session, view, &survivor);
    int32_t today = day_of_unix_ms(wall_unix_ms(), 0);
    session->found_count = 0;
    facts->member = subject->member;
    facts->account_group = subject->place.account_group;
    fill_member_facts(session, view, today);
    if (entry != NULL) {
        overlay_counts(session, view, entry);
        overlay_entry(session, entry, subject, today);
    }
    uint32_t wallet_count = list_wallet(session, wallet);
    uint32_t progress_count = list_progress(session, today, progress);
    member_answer_t answer = {
        .program = program,
        .member = subject->member,
        .account_group = facts->account_group,
        .merged_into = survivor == subject->member ? 0 : survivor,
        .referrer = referrer_after(session, subject, entry),
        .moved = session->wire.kind == REQUEST_MERGE_MEMBERS ? session->points : NULL,
        .moved_count = subject->moved_count,
        .state = member_state(&subject->place, facts->record.flags),
        .tier = facts->record.tier,
        .birth_month_day = facts->record.birth_month * 100 + facts->record.birth_day,
        .segment_ids = segments,
        .consent_ids = consents,
        .balances = session->balances,
        .wallet = wallet,
        .segment_count = collect_segments(program, &facts->record, segments),
        .consent_count = (facts->record.flags & MEMBER_FLAG_CONSENT) != 0,
        .balance_count = balances_of(facts->group_cells, facts->group_cell_count, program, today,
                                     session->balances),
        .wallet_count = wallet_count,
        .progress = progress,
        .progress_count = progress_count,
        .locale = locale};
    return wire_write_member(session->reply, &answer, posting);
}

/* A merged member that is asked for by its id or number is shown as such; a card of its finds the
 * survivor. */
static void note_merged(const session_t *session, const accounts_view_t *view,
                        const member_ref_t *ref, subject_t *subject)
{
    uint64_t member = (uint64_t)ref->member_number;
    if (is_present(ref->present, MEMBER_REF_IDENTIFIER)) return;
    if (is_present(ref->present, MEMBER_REF_ID)) {
        member = number_of_id(session->engine, "member", ref->member_id);
    }
    subject->member = member;
    subject->place = find_place(session, view, member);
}

status_t call_get_member(session_t *session)
{
    const get_request_t *request = &session->wire.get;
    subject_t subject;
    const accounts_view_t *view = ledger_pin(session->reader);
    status_t status = find_subject(session, view, &request->member, &subject);
    if (status == STATUS_OK) {
        note_merged(session, view, &request->member, &subject);
        status = write_member(session, view, &subject, request->locale, NULL, NULL);
    }
    ledger_unpin(session->reader);
    return status;
}

/* Nothing that happens to a member belongs to a store: its date is that of UTC. */
static posting_t posted_now(const entry_builder_t *entry)
{
    return posting_of(entry, date_from_day(day_of_unix_ms(entry->post_unix_ms, 0)));
}

static status_t seal_subject(const session_t *session, entry_builder_t *entry, uint16_t kind,
                             const subject_t *subject, status_t written)
{
    seal_t seal = {.kind = kind, .account = {subject->member, subject->place.account_group}};
    return seal_entry(session, entry, &seal, written);
}

/* ------------------------------------------------------------------ movements ---- */

static status_t move_member(session_t *session, entry_builder_t *entry, const subject_t *subject,
                            cell_t cell)
{
    record_key_t record = key_of(session, FAMILY_MEMBER, subject->place.account_group,
                                 subject->member);
    return entry_builder_move(entry, record, cell, MOVEMENT_SET, REASON_OVERLAY);
}

static status_t move_tier(session_t *session, entry_builder_t *entry, const subject_t *subject,
                          bytes_t tier_id)
{
    uint32_t tier = find_name(session->live->program, name_key_of("tier", tier_id));
    if (tier == NONE_32) return fault_at(session->fault, STATUS_TIER_UNKNOWN, "tier_id");
    cell_t cell = {.kind = CELL_TIER, .value = tier, .other = DAY_NEVER};
    return move_member(session, entry, subject, cell);
}

static status_t move_segments(session_t *session, entry_builder_t *entry,
                              const subject_t *subject, const bytes_t *names, uint32_t count,
                              int64_t value, const char *field)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = find_name(session->live->program, name_key_of("segment", names[i]));
        if (number == NONE_32) {
            return fault_at(session->fault, STATUS_SEGMENT_UNKNOWN, "%s[%u]", field, i);
        }
        cell_t cell = {.kind = CELL_SEGMENT, .sub = (uint8_t)number, .value = value};
        status_t status = move_member(session, entry, subject, cell);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

/* The names were judged before: see check_consents. */
static status_t move_consents(session_t *session, entry_builder_t *entry,
                              const subject_t *subject, uint32_t count, int64_t value)
{
    cell_t cell = {.kind = CELL_CONSENT, .value = value};
    return count == 0 ? STATUS_OK : move_member(session, entry, subject, cell);
}

/* Binds an identifier to a member, or with a negative kind unbinds it. */
static status_t move_identity(session_t *session, entry_builder_t *entry, hash128_t hash,
                              uint64_t member, int64_t kind)
{
    cell_t cell = {.kind = CELL_MEMBER, .key = member, .value = kind};
    return entry_builder_move(entry, key_of(session, FAMILY_IDENTITY, hash.hi, hash.lo), cell,
                              MOVEMENT_SET, REASON_OVERLAY);
}

static status_t move_wallet(session_t *session, entry_builder_t *entry, const subject_t *subject,
                            bytes_t offer_id, int64_t value)
{
    cell_t cell = {.kind = CELL_WALLET, .key = name_key_of("offer", offer_id), .value = value};
    return move_member(session, entry, subject, cell);
}

static bool is_offer(const session_t *session, bytes_t offer_id)
{
    return find_offer(session->live->program, name_key_of("offer", offer_id)) != NONE_32;
}

/* ------------------------------------------------------------------ forms ---- */

static status_t check_identifier(session_t *session, const sent_identifier_t *identifier,
                                 const char *place)
{
    hash128_t hash = identity_hash(session->engine, identifier->kind, identifier->value);
    if (hash.hi != 0 || hash.lo != 0) return STATUS_OK;
    return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "%s.value", place);
}

static status_t check_consents(session_t *session, const bytes_t *names, uint32_t count,
                               const char *field)
{
    for (uint32_t i = 0; i < count; i++) {
        if (is_consent(names[i])) continue;
        return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "%s[%u]", field, i);
    }
    return STATUS_OK;
}

/* Of two refusals the one with the lower number is answered: keeps it in `kept`. */
static void keep_first(const session_t *session, status_t status, fault_t *kept)
{
    if (status == STATUS_OK) return;
    if (kept->status != STATUS_OK && kept->status <= status) return;
    *kept = *session->fault;
    kept->status = status;
}

/* The refusal that was kept, or STATUS_OK. */
static status_t answer_kept(session_t *session, const fault_t *kept)
{
    if (kept->status != STATUS_OK) *session->fault = *kept;
    return kept->status;
}

/* ------------------------------------------------------------------ changes ---- */

static status_t move_place(session_t *session, entry_builder_t *entry, const subject_t *subject)
{
    const place_t *place = &subject->place;
    cell_t cell = {.kind = CELL_GROUP,
                   .value = (int64_t)place->account_group,
                   .other = place_bits(place)};
    return entry_builder_move(entry, key_of(session, FAMILY_PLACE, subject->member, 0), cell,
                              MOVEMENT_SET, REASON_OVERLAY);
}

/* A provisional account that one of the identifiers found: the new member takes its group over,
 * points and all, where the request names no group and there is one such account only. */
static bool may_adopt(const enrol_request_t *request, const place_t *place, uint64_t adopted,
                      uint64_t owner)
{
    if ((place->flags & MEMBER_FLAG_PROVISIONAL) == 0 || request->group_id.size > 0) return false;
    return adopted == 0 || adopted == owner;
}

/* Who owns the identifiers of a new member: nobody, or a provisional account (*adopted). */
static status_t check_owners(session_t *session, const accounts_view_t *view, uint64_t member,
                             uint64_t *adopted, uint64_t *account_group)
{
    const enrol_request_t *request = &session->wire.enrol;
    *adopted = 0;
    for (uint32_t i = 0; i < request->identifiers.count; i++) {
        const sent_identifier_t *identifier = &session->wire.identifiers[i];
        hash128_t hash;
        uint64_t lsn;
        uint64_t owner = find_identified(session, view, identifier->kind, identifier->value,
                                         &hash, &lsn);
        if (owner == 0 || owner == member) continue;
        place_t place = find_survivor(session, view, &owner);
        if (owner == member) continue;
        if (!may_adopt(request, &place, *adopted, owner)) {
            return fault_at(session->fault, STATUS_IDENTIFIER_TAKEN, "identifiers[%u]", i);
        }
        *adopted = owner;
        *account_group = place.account_group;
    }
    return STATUS_OK;
}

static status_t move_identities(session_t *session, entry_builder_t *entry, uint64_t member,
                                uint64_t adopted)
{
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < session->wire.enrol.identifiers.count && status == STATUS_OK; i++) {
        const sent_identifier_t *identifier = &session->wire.identifiers[i];
        hash128_t hash = identity_hash(session->engine, identifier->kind, identifier->value);
        if (adopted != 0) status = move_identity(session, entry, hash, adopted, -identifier->kind);
        if (status == STATUS_OK) {
            status = move_identity(session, entry, hash, member, identifier->kind);
        }
    }
    return status;
}

/* Hands cells of some kinds over, from one record to another: what is taken there comes here. */
static status_t hand_over(entry_builder_t *entry, record_t record, record_key_t from,
                          record_key_t to, uint32_t kinds)
{
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < record.head->cell_count && status == STATUS_OK; i++) {
        cell_t cell = record.cells[i];
        if ((kinds >> cell.kind & 1) == 0) continue;
        status = entry_builder_move(entry, to, cell, MOVEMENT_ADD, REASON_ADJUST);
        cell.value = -cell.value;
        cell.other = -cell.other;
        if (status != STATUS_OK) return status;
        status = entry_builder_move(entry, from, cell, MOVEMENT_ADD, REASON_ADJUST);
    }
    return status;
}

/* Counters and progress of the adopted account go on under the new member. */
static status_t move_counts(session_t *session, const accounts_view_t *view,
                            entry_builder_t *entry, const subject_t *subject, uint64_t adopted)
{
    uint64_t account_group = subject->place.account_group;
    record_key_t from = key_of(session, FAMILY_MEMBER, account_group, adopted);
    record_key_t to = key_of(session, FAMILY_MEMBER, account_group, subject->member);
    return hand_over(entry, accounts_read(view, from), from, to,
                     1u << CELL_COUNTER | 1u << CELL_PROGRESS | HELD_KINDS);
}

static status_t move_offers(session_t *session, entry_builder_t *entry, const subject_t *subject)
{
    const bytes_t *offers = session->wire.names[2];
    for (uint32_t i = 0; i < session->wire.enrol.offer_ids.count; i++) {
        if (!is_offer(session, offers[i])) {
            return fault_at(session->fault, STATUS_OFFER_UNKNOWN, "offer_ids[%u]", i);
        }
        status_t status = move_wallet(session, entry, subject, offers[i], 1);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

/* Everything is judged before the first refusal by number is answered. */
static status_t move_enrolment(session_t *session, entry_builder_t *entry,
                               const subject_t *subject, uint64_t adopted, fault_t *kept)
{
    const wire_t *wire = &session->wire;
    const enrol_request_t *request = &wire->enrol;
    keep_first(session, move_place(session, entry, subject), kept);
    keep_first(session, move_identities(session, entry, subject->member, adopted), kept);
    keep_first(session, move_offers(session, entry, subject), kept);
    keep_first(session, move_segments(session, entry, subject, wire->names[0],
                                      request->segment_ids.count, 1, "segment_ids"), kept);
    if (request->tier_id.size > 0) {
        keep_first(session, move_tier(session, entry, subject, request->tier_id), kept);
    }
    keep_first(session, move_consents(session, entry, subject, request->consent_ids.count, 1),
               kept);
    return answer_kept(session, kept);
}

/* The merged one points at the survivor from here on. */
static status_t merge_places(session_t *session, const accounts_view_t *view,
                             entry_builder_t *entry, uint64_t survivor, uint64_t merged)
{
    record_key_t from = key_of(session, FAMILY_PLACE, merged, 0);
    record_key_t to = key_of(session, FAMILY_PLACE, survivor, 0);
    const cell_t *behind = record_find(accounts_read(view, from), CELL_MERGES, 0, 0, 0);
    const cell_t *before = record_find(accounts_read(view, to), CELL_MERGES, 0, 0, 0);
    int64_t chain = (behind == NULL ? 0 : behind->value) + 1;
    if (chain > MERGES_MAX) {
        return fault_at(session->fault, STATUS_TOO_MANY_ITEMS, "merged_member");
    }
    if (before != NULL && before->value > chain) chain = before->value;
    cell_t merges = {.kind = CELL_MERGES, .value = chain};
    cell_t merged_into = {.kind = CELL_MERGED, .value = (int64_t)survivor};
    status_t status = entry_builder_move(entry, to, merges, MOVEMENT_SET, REASON_OVERLAY);
    if (status != STATUS_OK) return status;
    return entry_builder_move(entry, from, merged_into, MOVEMENT_SET, REASON_OVERLAY);
}

static status_t prepare_enrol(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    const enrol_request_t *request = &session->wire.enrol;
    const bytes_t no_locale = {NULL, 0};
    uint64_t member = number_of_id(session->engine, "member", request->member_id);
    uint64_t adopted = 0;
    fault_t kept = {.status = STATUS_OK};
    subject_t subject = {.member = member, .place = find_place(session, view, member)};
    bool is_enrolled = subject.place.is_known;
    subject.place.account_group =
        request->group_id.size > 0 ? number_of_id(session->engine, "group", request->group_id)
                                   : member;
    keep_first(session, check_owners(session, view, member, &adopted,
                                     &subject.place.account_group), &kept);
    if (is_enrolled) {
        keep_first(session, fault_at(session->fault, STATUS_MEMBER_EXISTS, "member_id"), &kept);
    }
    subject.place.flags = 0;
    subject.place.birth_month = (uint16_t)(request->birth_month_day / 100);
    subject.place.birth_day = (uint16_t)(request->birth_month_day % 100);
    status_t status = move_enrolment(session, entry, &subject, adopted, &kept);
    if (status == STATUS_OK && adopted != 0) {
        status = move_counts(session, view, entry, &subject, adopted);
        if (status == STATUS_OK) status = merge_places(session, view, entry, member, adopted);
    }
    if (status != STATUS_OK) return status;
    posting_t posting = posted_now(entry);
    status = write_member(session, view, &subject, no_locale, entry, &posting);
    return seal_subject(session, entry, ENTRY_ENROL, &subject, status);
}

/* Whether nobody else uses the member's group: it is the member's own, or that of a provisional
 * account that became this member. A household keeps its points. */
static bool is_own_group(const session_t *session, const accounts_view_t *view,
                         const subject_t *subject)
{
    uint64_t group = subject->place.account_group;
    if (group == subject->member) return true;
    uint64_t owner = group;
    return find_survivor(session, view, &owner).is_known && owner == subject->member;
}

/* The member joins a household or business, or stands alone again. Its own row, which stands under
 * the group, goes with it; what belongs to the group stays there: points, debts, and what limits
 * and progress count for all. */
static status_t move_group(session_t *session, const accounts_view_t *view,
                           entry_builder_t *entry, subject_t *subject)
{
    const uint32_t kinds = 1u << CELL_COUNTER | 1u << CELL_PROGRESS | 1u << CELL_WALLET
                           | 1u << CELL_TIER | 1u << CELL_SEGMENT | 1u << CELL_CONSENT
                           | 1u << CELL_GRANT | 1u << CELL_REFERRER | HELD_KINDS;
    bytes_t group_id = session->wire.update.group_id;
    uint64_t left = subject->place.account_group;
    uint64_t joined = subject->member;
    if (group_id.size > 0) joined = number_of_id(session->engine, "group", group_id);
    else if (is_own_group(session, view, subject)) return STATUS_OK;
    joined = find_group(session, view, joined);
    if (joined == left) return STATUS_OK;
    subject->place.account_group = joined;
    record_key_t from = key_of(session, FAMILY_MEMBER, left, subject->member);
    record_key_t to = key_of(session, FAMILY_MEMBER, joined, subject->member);
    return hand_over(entry, accounts_read(view, from), from, to, kinds);
}

/* The member that the request names, whatever it has become; nobody refers themself. */
static status_t move_referrer(session_t *session, const accounts_view_t *view,
                              entry_builder_t *entry, const subject_t *subject)
{
    subject_t referrer;
    fault_t *fault = session->fault;
    if (!is_present(session->wire.update.present, UPDATE_REFERRER)) return STATUS_OK;
    if (find_subject(session, view, &session->wire.update.referrer, &referrer) != STATUS_OK) {
        return fault_at(fault, STATUS_MEMBER_UNKNOWN, "referrer");
    }
    if (referrer.member == subject->member) {
        return fault_at(fault, STATUS_FIELD_OUT_OF_RANGE, "referrer");
    }
    cell_t cell = {.kind = CELL_REFERRER, .value = (int64_t)referrer.member};
    return move_member(session, entry, subject, cell);
}

static status_t move_update(session_t *session, const accounts_view_t *view,
                            entry_builder_t *entry, const subject_t *subject)
{
    const wire_t *wire = &session->wire;
    const update_request_t *request = &wire->update;
    fault_t kept = {.status = STATUS_OK};
    if (is_present(request->present, UPDATE_BLOCKED)
        || is_present(request->present, UPDATE_GROUP_ID)
        || is_present(request->present, UPDATE_BIRTH_MONTH_DAY)) {
        keep_first(session, move_place(session, entry, subject), &kept);
    }
    keep_first(session, move_segments(session, entry, subject, wire->names[0],
                                      request->add_segment_ids.count, 1, "add_segment_ids"),
               &kept);
    keep_first(session, move_segments(session, entry, subject, wire->names[1],
                                      request->remove_segment_ids.count, -1,
                                      "remove_segment_ids"), &kept);
    if (is_present(request->present, UPDATE_TIER_ID)) {
        keep_first(session, move_tier(session, entry, subject, request->tier_id), &kept);
    }
    keep_first(session, move_consents(session, entry, subject, request->add_consent_ids.count, 1),
               &kept);
    keep_first(session, move_consents(session, entry, subject,
                                      request->remove_consent_ids.count, -1), &kept);
    keep_first(session, move_referrer(session, view, entry, subject), &kept);
    return answer_kept(session, &kept);
}

static status_t prepare_update(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    const update_request_t *request = &session->wire.update;
    const bytes_t no_locale = {NULL, 0};
    subject_t subject;
    status_t status = find_subject(session, view, &request->member, &subject);
    if (status != STATUS_OK) return status;
    if (is_present(request->present, UPDATE_BLOCKED)) {
        subject.place.flags = (uint16_t)(subject.place.flags & ~MEMBER_FLAG_BLOCKED);
        if (request->blocked) subject.place.flags |= MEMBER_FLAG_BLOCKED;
    }
    if (is_present(request->present, UPDATE_BIRTH_MONTH_DAY)) {
        subject.place.birth_month = (uint16_t)(request->birth_month_day / 100);
        subject.place.birth_day = (uint16_t)(request->birth_month_day % 100);
    }
    if (is_present(request->present, UPDATE_GROUP_ID)) {
        status = move_group(session, view, entry, &subject);
    }
    if (status == STATUS_OK) status = move_update(session, view, entry, &subject);
    if (status != STATUS_OK) return status;
    posting_t posting = posted_now(entry);
    status = write_member(session, view, &subject, no_locale, entry, &posting);
    return seal_subject(session, entry, ENTRY_UPDATE, &subject, status);
}

/* Removing what is not there changes nothing and is no refusal. */
static status_t move_link(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                          uint64_t member)
{
    const link_request_t *request = &session->wire.link;
    int64_t kind = request->identifier.kind;
    hash128_t hash;
    uint64_t lsn;
    uint64_t owner = find_identified(session, view, kind, request->identifier.value, &hash, &lsn);
    uint64_t survivor = owner;
    if (owner != 0) find_survivor(session, view, &survivor);
    if (request->remove) {
        return survivor == member ? move_identity(session, entry, hash, owner, -kind) : STATUS_OK;
    }
    if (survivor != 0 && survivor != member) {
        return fault_at(session->fault, STATUS_IDENTIFIER_TAKEN, "identifier");
    }
    if (survivor != owner) return STATUS_OK; /* found through the merged one already */
    return move_identity(session, entry, hash, member, kind);
}

static status_t prepare_link(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    subject_t subject;
    status_t status = find_subject(session, view, &session->wire.link.member, &subject);
    if (status == STATUS_OK) status = move_link(session, view, entry, subject.member);
    if (status != STATUS_OK) return status;
    posting_t posting = posted_now(entry);
    status = wire_write_link(session->reply, subject.member, &posting);
    return seal_subject(session, entry, ENTRY_LINK, &subject, status);
}

/* WALLET_FULL where one more offer would not fit. */
static status_t check_wallet_room(session_t *session, const accounts_view_t *view,
                                  const subject_t *subject, uint64_t offer_key)
{
    facts_t *facts = &session->facts;
    session->found_count = 0;
    facts->member = subject->member;
    facts->account_group = subject->place.account_group;
    fill_member_facts(session, view, day_of_unix_ms(wall_unix_ms(), 0));
    if (facts->wallet_count < WALLET_MAX) return STATUS_OK;
    for (uint32_t i = 0; i < facts->wallet_count; i++) {
        if (session->wallet[i] == offer_key) return STATUS_OK;
    }
    return fault_at(session->fault, STATUS_WALLET_FULL, "offer_id");
}

static status_t prepare_activate(void *context, const accounts_view_t *view,
                                 entry_builder_t *entry)
{
    session_t *session = context;
    const activate_request_t *request = &session->wire.activate;
    const bytes_t no_locale = {NULL, 0};
    bool is_held = request->action <= WALLET_ACTION_ASSIGN;
    uint64_t key = name_key_of("offer", request->offer_id);
    wallet_offer_t wallet_offer = {.offer_key = key, .activated = true};
    subject_t subject;
    status_t status = find_subject(session, view, &request->member, &subject);
    if (status == STATUS_OK && !is_offer(session, request->offer_id)) {
        status = fault_at(session->fault, STATUS_OFFER_UNKNOWN, "offer_id");
    }
    if (status == STATUS_OK && is_held) status = check_wallet_room(session, view, &subject, key);
    if (status == STATUS_OK) {
        status = move_wallet(session, entry, &subject, request->offer_id, is_held ? 1 : -1);
    }
    if (status != STATUS_OK) return status;
    posting_t posting = posted_now(entry);
    status = wire_write_activate(session->reply, session->live->program, no_locale,
                                 is_held ? &wallet_offer : NULL, &posting);
    return seal_subject(session, entry, ENTRY_ACTIVATE, &subject, status);
}

static status_t prepare_stop(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    const stop_request_t *request = &session->wire.stop;
    const program_t *program = session->live->program;
    const subject_t nobody = {0};
    (void)view;
    uint64_t key = name_key_of("offer", request->offer_id);
    uint32_t offer = find_offer(program, key);
    /* The caller holds the stops, so the list is still the one that this changes. */
    const stopped_t *stopped = atomic_load(&session->engine->stopped);
    if (!request->resume && count_other_stops(stopped, key) >= STOPPED_MAX) {
        return fault_at(session->fault, STATUS_TOO_MANY_ITEMS, "offer_id");
    }
    if (offer == NONE_32) return fault_at(session->fault, STATUS_OFFER_UNKNOWN, "offer_id");
    cell_t cell = {.kind = CELL_STOPPED, .value = request->resume ? 0 : 1};
    status_t status = entry_builder_move(entry, key_of(session, FAMILY_OFFER, key, 0), cell,
                                         MOVEMENT_SET, REASON_OVERLAY);
    if (status != STATUS_OK) return status;
    posting_t posting = posted_now(entry);
    status = wire_write_stop(session->reply, program, offer, !request->resume, &posting);
    return seal_subject(session, entry, ENTRY_STOP_OFFER, &nobody, status);
}

/* ------------------------------------------------------------------ points by hand ---- */

/* One movement of the group's points, laid over the copy that the answer shows too. */
static status_t move_points(session_t *session, entry_builder_t *entry, const subject_t *subject,
                            cell_t cell)
{
    record_key_t group = key_of(session, FAMILY_GROUP, subject->place.account_group, 0);
    add_cell(session, cell);
    return entry_builder_move(entry, group, cell, MOVEMENT_ADD, REASON_ADJUST);
}

static status_t give_points(session_t *session, entry_builder_t *entry, const subject_t *subject,
                            uint32_t purse, int32_t today)
{
    const adjust_request_t *request = &session->wire.adjust;
    int32_t active_day = today;
    int32_t expiry_day = purse_expiry_day(&session->live->program->purses[purse - 1], today);
    if (request->active_date != 0) active_day = day_from_date(request->active_date);
    if (request->expire_date != 0) expiry_day = day_from_date(request->expire_date);
    if (expiry_day < today || expiry_day < active_day) {
        return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "expire_date");
    }
    cell_t lot = {.kind = CELL_LOT,
                  .sub = (uint8_t)purse,
                  .day = expiry_day,
                  .key = activation_key(active_day),
                  .value = request->points};
    return move_points(session, entry, subject, lot);
}

/* Takes from what can be spent today, the earliest expiry first (the order of cells); the rest is
 * owed. */
static status_t take_points(session_t *session, entry_builder_t *entry, const subject_t *subject,
                            uint32_t purse, int32_t today)
{
    int64_t left = -session->wire.adjust.points;
    uint32_t count = session->cell_count;
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < count && left > 0 && status == STATUS_OK; i++) {
        cell_t lot = session->cells[i];
        if (lot.kind != CELL_LOT || lot.sub != purse) continue;
        if (lot.day < today || activation_of(&lot) > today) continue;
        int64_t taken = lot.value < left ? lot.value : left;
        lot.value = -taken;
        lot.other = 0;
        left -= taken;
        status = move_points(session, entry, subject, lot);
    }
    if (status != STATUS_OK || left == 0) return status;
    cell_t debt = {.kind = CELL_DEBT, .sub = (uint8_t)purse, .value = left};
    return move_points(session, entry, subject, debt);
}

/* Cells without anything left are no part of a record. */
static void drop_empty_cells(session_t *session)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < session->cell_count; i++) {
        const cell_t *cell = &session->cells[i];
        if (cell->value != 0 || cell->other != 0) session->cells[kept++] = *cell;
    }
    session->cell_count = kept;
}

static balance_t balance_in(session_t *session, uint32_t purse, int32_t today)
{
    balance_t none = {.purse = purse};
    uint32_t count = balances_of(session->cells, session->cell_count, session->live->program,
                                 today, session->balances);
    for (uint32_t i = 0; i < count; i++) {
        if (session->balances[i].purse == purse) return session->balances[i];
    }
    return none;
}

/* Judges what is there before and what is left after, so that no sum leaves its range. */
static status_t check_adjusted(session_t *session, uint32_t purse, int32_t today)
{
    const adjust_request_t *request = &session->wire.adjust;
    balance_t before = balance_in(session, purse, today);
    bool is_short = request->points < 0 && before.available < -request->points;
    int64_t after = before.available + before.pending + before.held + request->points;
    if (after > PURSE_POINTS_MAX || after < -PURSE_POINTS_MAX) {
        return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "points");
    }
    if (is_short && !request->allow_debt) {
        return fault_at(session->fault, STATUS_POINTS_SHORT, "points");
    }
    return STATUS_OK;
}

static status_t prepare_adjust(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    const adjust_request_t *request = &session->wire.adjust;
    const program_t *program = session->live->program;
    int32_t today = day_of_unix_ms(entry->post_unix_ms, 0);
    subject_t subject;
    status_t status = find_subject(session, view, &request->member, &subject);
    if (status != STATUS_OK) return status;
    uint32_t purse = find_name(program, name_key_of("purse", request->purse_id));
    if (purse == NONE_32) return fault_at(session->fault, STATUS_PURSE_UNKNOWN, "purse_id");
    session->post_unix_ms = entry->post_unix_ms;
    record_key_t key = key_of(session, FAMILY_GROUP, subject.place.account_group, 0);
    cells_t group = read_free(session, accounts_read(view, key), session->free_group,
                              &session->held_mark);
    copy_cells(session, group.at, group.count);
    status = check_adjusted(session, purse, today);
    if (status == STATUS_OK) {
        status = request->points > 0 ? give_points(session, entry, &subject, purse, today)
                                     : take_points(session, entry, &subject, purse, today);
    }
    if (status != STATUS_OK) return status;
    drop_empty_cells(session);
    uint32_t count = balances_of(session->cells, session->cell_count, program, today,
                                 session->balances);
    posting_t posting = posted_now(entry);
    status = wire_write_adjust(session->reply, program, session->balances, count, &posting);
    seal_t seal = {.kind = ENTRY_ADJUST,
                   .account = {subject.member, subject.place.account_group},
                   .business_date = posting.business_date};
    return seal_entry(session, entry, &seal, status);
}

/* ------------------------------------------------------------------ merges ---- */

/* Points, debts, and what is counted for the group. */
static status_t merge_groups(session_t *session, const accounts_view_t *view,
                             entry_builder_t *entry, subject_t *survivor, const subject_t *merged,
                             int32_t today)
{
    const uint32_t kinds = 1u << CELL_LOT | 1u << CELL_DEBT | 1u << CELL_COUNTER
                           | 1u << CELL_PROGRESS | HELD_KINDS;
    record_key_t from = key_of(session, FAMILY_GROUP, merged->place.account_group, 0);
    record_key_t to = key_of(session, FAMILY_GROUP, survivor->place.account_group, 0);
    if (from.hi == to.hi || !is_own_group(session, view, merged)) return STATUS_OK;
    record_t group = accounts_read(view, from);
    uint32_t count = balances_of(group.cells, group.head->cell_count, session->live->program,
                                 today, session->balances);
    for (uint32_t i = 0; i < count; i++) {
        const balance_t *balance = &session->balances[i];
        int64_t points = balance->available + balance->pending + balance->held;
        if (points == 0) continue;
        session->points[survivor->moved_count++] =
            (points_t){.offer = NONE_32, .purse = (uint8_t)balance->purse, .points = points};
    }
    status_t status = hand_over(entry, group, from, to, kinds);
    cell_t moved = {.kind = CELL_MOVED, .value = (int64_t)to.hi};
    if (status != STATUS_OK) return status;
    return entry_builder_move(entry, from, moved, MOVEMENT_SET, REASON_OVERLAY);
}

/* What the member holds by feed or operator, not by progress. */
static cell_t given_tier(const subject_t *subject, record_t own, int32_t today)
{
    const cell_t *cell = record_find(own, CELL_TIER, 0, 0, 0);
    cell_t tier = {.kind = CELL_TIER, .other = DAY_NEVER};
    if (subject->place.record != NULL) tier.value = subject->place.record->tier;
    return cell != NULL && cell->other >= today ? *cell : tier;
}

/* What is counted for the member, grants, and the higher of two tiers. Segments and consent
 * are the survivor's. */
static status_t merge_rows(session_t *session, const accounts_view_t *view, entry_builder_t *entry,
                           const subject_t *survivor, const subject_t *merged, int32_t today)
{
    const uint32_t kinds = 1u << CELL_COUNTER | 1u << CELL_PROGRESS | 1u << CELL_GRANT
                           | HELD_KINDS;
    record_key_t from = key_of(session, FAMILY_MEMBER, merged->place.account_group,
                               merged->member);
    record_key_t to = key_of(session, FAMILY_MEMBER, survivor->place.account_group,
                             survivor->member);
    record_t row = accounts_read(view, from);
    cell_t tier = given_tier(merged, row, today);
    cell_t kept = given_tier(survivor, accounts_read(view, to), today);
    status_t status = hand_over(entry, row, from, to, kinds);
    if (status == STATUS_OK && tier.value > kept.value) {
        status = move_member(session, entry, survivor, tier);
    }
    return status;
}

static void fill_facts_of(session_t *session, const accounts_view_t *view,
                          const subject_t *subject, int32_t today)
{
    session->found_count = 0;
    session->facts.member = subject->member;
    session->facts.account_group = subject->place.account_group;
    fill_member_facts(session, view, today);
}

/* Offers in the wallet of the merged one that the survivor does not have. */
static status_t merge_wallets(session_t *session, const accounts_view_t *view,
                              entry_builder_t *entry, const subject_t *survivor,
                              const subject_t *merged, int32_t today)
{
    uint64_t brought[WALLET_MAX];
    fill_facts_of(session, view, merged, today);
    uint32_t count = session->facts.wallet_count;
    if (count > 0) memcpy(brought, session->wallet, count * sizeof *brought);
    fill_facts_of(session, view, survivor, today);
    for (uint32_t i = 0; i < count; i++) {
        bool is_held = false;
        for (uint32_t j = 0; j < session->facts.wallet_count; j++) {
            if (session->wallet[j] == brought[i]) is_held = true;
        }
        if (is_held) continue;
        if (session->facts.wallet_count == WALLET_MAX) {
            return fault_at(session->fault, STATUS_WALLET_FULL, "merged_member");
        }
        change_wallet(session, brought[i], true);
        cell_t offer = {.kind = CELL_WALLET, .key = brought[i], .value = 1};
        status_t status = move_member(session, entry, survivor, offer);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

static status_t find_pair(session_t *session, const accounts_view_t *view, subject_t *survivor,
                          subject_t *merged)
{
    const merge_request_t *request = &session->wire.merge;
    status_t status = find_subject(session, view, &request->surviving_member, survivor);
    if (status != STATUS_OK) return fault_at(session->fault, status, "surviving_member");
    status = find_subject(session, view, &request->merged_member, merged);
    if (status != STATUS_OK) return fault_at(session->fault, status, "merged_member");
    if (survivor->member != merged->member) return STATUS_OK;
    return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "merged_member");
}

/* One entry: all of it is there after a crash, or nothing. */
static status_t prepare_merge(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    const bytes_t no_locale = {NULL, 0};
    int32_t today = day_of_unix_ms(entry->post_unix_ms, 0);
    subject_t survivor;
    subject_t merged;
    status_t status = find_pair(session, view, &survivor, &merged);
    if (status == STATUS_OK) {
        status = merge_places(session, view, entry, survivor.member, merged.member);
    }
    if (status == STATUS_OK) {
        status = merge_groups(session, view, entry, &survivor, &merged, today);
    }
    if (status == STATUS_OK) {
        status = merge_rows(session, view, entry, &survivor, &merged, today);
    }
    if (status == STATUS_OK) {
        status = merge_wallets(session, view, entry, &survivor, &merged, today);
    }
    if (status != STATUS_OK) return status;
    posting_t posting = posted_now(entry);
    status = write_member(session, view, &survivor, no_locale, entry, &posting);
    return seal_subject(session, entry, ENTRY_MERGE, &survivor, status);
}

/* ------------------------------------------------------------------ calls ---- */

/* Every change here: the first answer if there was one, else what was `judged`, else the
 * writer's. */
static status_t change_member(session_t *session, uint32_t kind, status_t judged,
                              status_t (*prepare)(void *, const accounts_view_t *,
                                                  entry_builder_t *))
{
    bool is_answered = false;
    begin_change(session, kind, prepare);
    if (judged == STATUS_OK) judged = check_sender(session, "context.store_id");
    status_t status = answer_repeat(session, judged, &is_answered);
    if (status != STATUS_OK || is_answered) return status;
    return submit_change(session);
}

static status_t judge_enrolment(session_t *session)
{
    const enrol_request_t *request = &session->wire.enrol;
    char place[32];
    status_t status = STATUS_OK;
    if (request->profile.count > 0) {
        return fault_at(session->fault, STATUS_TOO_MANY_ITEMS, "profile");
    }
    for (uint32_t i = 0; i < request->identifiers.count && status == STATUS_OK; i++) {
        snprintf(place, sizeof place, "identifiers[%u]", i);
        status = check_identifier(session, &session->wire.identifiers[i], place);
    }
    if (status != STATUS_OK) return status;
    return check_consents(session, session->wire.names[1], request->consent_ids.count,
                          "consent_ids");
}

status_t call_enrol(session_t *session)
{
    return change_member(session, REQUEST_ENROL_MEMBER, judge_enrolment(session), prepare_enrol);
}

static status_t judge_update(session_t *session)
{
    const update_request_t *request = &session->wire.update;
    if (request->profile.count > 0) {
        return fault_at(session->fault, STATUS_TOO_MANY_ITEMS, "profile");
    }
    status_t status = check_consents(session, session->wire.names[2],
                                     request->add_consent_ids.count, "add_consent_ids");
    if (status != STATUS_OK) return status;
    return check_consents(session, session->wire.names[3], request->remove_consent_ids.count,
                          "remove_consent_ids");
}

status_t call_update_member(session_t *session)
{
    return change_member(session, REQUEST_UPDATE_MEMBER, judge_update(session), prepare_update);
}

status_t call_link(session_t *session)
{
    status_t judged = check_identifier(session, &session->wire.link.identifier, "identifier");
    return change_member(session, REQUEST_LINK_IDENTIFIER, judged, prepare_link);
}

status_t call_activate_offer(session_t *session)
{
    status_t judged = STATUS_OK;
    if (session->wire.activate.expire_date != 0) {
        judged = fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "expire_date");
    }
    return change_member(session, REQUEST_ACTIVATE_OFFER, judged, prepare_activate);
}

status_t call_adjust_account(session_t *session)
{
    return change_member(session, REQUEST_ADJUST_ACCOUNT, STATUS_OK, prepare_adjust);
}

status_t call_merge_members(session_t *session)
{
    return change_member(session, REQUEST_MERGE_MEMBERS, STATUS_OK, prepare_merge);
}

/* The new list is made first: once the stop is journalled nothing may fail. */
status_t call_stop_offer(session_t *session)
{
    const stop_request_t *request = &session->wire.stop;
    engine_t *engine = session->engine;
    pthread_mutex_lock(&engine->stops_mutex);
    stopped_t *stopped = make_stops(engine, name_key_of("offer", request->offer_id),
                                    !request->resume);
    status_t status = STATUS_OUT_OF_MEMORY;
    if (stopped != NULL) status = change_member(session, REQUEST_STOP_OFFER, STATUS_OK,
                                                prepare_stop);
    bool is_changed = status == STATUS_OK && session->change.lsn != 0;
    if (is_changed) publish_stops(engine, stopped);
    else free(stopped);
    pthread_mutex_unlock(&engine->stops_mutex);
    return status;
}
