/* Members between two snapshots: enrolment, links, wallet, tier and segments as overlay rows, and
 * offers stopped by hand. Each is one entry; it holds at once and until a members snapshot whose
 * feed covers it says otherwise. */
#include <string.h>

#include "engine_internal.h"
#include "invariant.h"

#define CONSENT_NAME "marketing"

/* What a change to a member works on, found by the caller and found again by the writer. */
typedef struct subject {
    uint64_t member;
    place_t place;
} subject_t;

static record_key_t key_of(const session_t *session, uint8_t family, uint64_t hi, uint64_t lo)
{
    return record_key(family, (uint16_t)session->engine->options.partition, hi, lo);
}

static bool is_consent(bytes_t name)
{
    return name.size == strlen(CONSENT_NAME) && memcmp(name.at, CONSENT_NAME, name.size) == 0;
}

static int64_t place_bits(uint64_t flags, int64_t birth_month_day)
{
    return (int64_t)(flags & 0xffff) | (birth_month_day / 100) << 24 | (birth_month_day % 100) << 16;
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
    subject->member = member;
    subject->place = find_place(session, view, member);
    if (member == 0 || !subject->place.is_known) {
        return fault_at(session->fault, STATUS_MEMBER_UNKNOWN, "member");
    }
    return STATUS_OK;
}

/* ------------------------------------------------------------------ answers ---- */

static uint32_t collect_segments(const program_t *program, const member_record_t *record,
                                 bytes_t segments[SEGMENTS_MAX])
{
    uint32_t count = 0;
    for (uint64_t i = 0; i <= program->name_mask && count < SEGMENTS_MAX; i++) {
        const name_slot_t *name = &program->names[i];
        if (name->key == 0 || name->space != NAME_SPACE_SEGMENT || name->id_length == 0) continue;
        if ((record->segments[name->number >> 6 & 1] >> (name->number & 63) & 1) == 0) continue;
        segments[count++] = (bytes_t){program->strings + name->id_text, name->id_length};
    }
    return count;
}

static uint32_t member_state(uint16_t flags)
{
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
                          const subject_t *subject)
{
    member_record_t *record = &session->facts.record;
    record->flags = (uint16_t)(subject->place.flags | (record->flags & MEMBER_FLAG_CONSENT));
    record->birth_month = subject->place.birth_month;
    record->birth_day = subject->place.birth_day;
    for (uint32_t i = 0; i < entry->movement_count; i++) {
        const cell_t *cell = &entry->movements[i].cell;
        if (entry->movements[i].record.family != FAMILY_MEMBER) continue;
        if (cell->kind == CELL_TIER) record->tier = (uint16_t)cell->value;
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
    facts_t *facts = &session->facts;
    int32_t today = day_of_unix_ms(wall_unix_ms(), 0);
    session->found_count = 0;
    facts->member = subject->member;
    facts->account_group = subject->place.account_group;
    fill_member_facts(session, view, today);
    if (entry != NULL) overlay_entry(session, entry, subject);
    for (uint32_t i = 0; i < facts->wallet_count; i++) {
        wallet[i] = (wallet_offer_t){.offer_key = session->wallet[i], .activated = true};
    }
    member_answer_t answer = {
        .program = program,
        .member = subject->member,
        .account_group = facts->account_group,
        .state = member_state(facts->record.flags),
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
        .wallet_count = facts->wallet_count,
        .locale = locale};
    return wire_write_member(session->reply, &answer, posting);
}

status_t call_get_member(session_t *session)
{
    const get_request_t *request = &session->wire.get;
    subject_t subject;
    const accounts_view_t *view = ledger_pin(session->reader);
    status_t status = find_subject(session, view, &request->member, &subject);
    if (status == STATUS_OK) {
        status = write_member(session, view, &subject, request->locale, NULL, NULL);
    }
    ledger_unpin(session->reader);
    return status;
}

static posting_t posting_of(const entry_builder_t *entry)
{
    posting_t posting = {.lsn = (int64_t)entry->lsn,
                         .post_unix_ms = entry->post_unix_ms,
                         .business_date = date_from_day(day_of_unix_ms(entry->post_unix_ms, 0))};
    return posting;
}

static void seal(session_t *session, entry_builder_t *entry, uint16_t kind,
                 const subject_t *subject)
{
    entry->kind = kind;
    entry->event_unix_ms = entry->post_unix_ms;
    entry->member = subject->member;
    entry->account_group = subject->place.account_group;
    entry->response = session->reply->at;
    entry->response_bytes = session->reply->size;
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

static status_t move_consents(session_t *session, entry_builder_t *entry,
                              const subject_t *subject, const bytes_t *names, uint32_t count,
                              int64_t value, const char *field)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!is_consent(names[i])) {
            return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "%s[%u]", field, i);
        }
        cell_t cell = {.kind = CELL_CONSENT, .value = value};
        status_t status = move_member(session, entry, subject, cell);
        if (status != STATUS_OK) return status;
    }
    return STATUS_OK;
}

static status_t move_identity(session_t *session, const accounts_view_t *view,
                              entry_builder_t *entry, const sent_identifier_t *identifier,
                              uint64_t member, bool is_removed, const char *place, uint32_t index)
{
    hash128_t hash;
    uint64_t lsn;
    uint64_t owner = find_identified(session, view, identifier->kind, identifier->value, &hash,
                                     &lsn);
    if (hash.hi == 0 && hash.lo == 0) {
        return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "%s[%u].kind", place, index);
    }
    if (is_removed && owner != member) {
        return fault_at(session->fault, STATUS_MEMBER_UNKNOWN, "%s[%u]", place, index);
    }
    if (!is_removed && owner != 0 && owner != member) {
        return fault_at(session->fault, STATUS_IDENTIFIER_TAKEN, "%s[%u]", place, index);
    }
    cell_t cell = {.kind = CELL_MEMBER,
                   .key = member,
                   .value = is_removed ? -identifier->kind : identifier->kind};
    return entry_builder_move(entry, key_of(session, FAMILY_IDENTITY, hash.hi, hash.lo), cell,
                              MOVEMENT_SET, REASON_OVERLAY);
}

static status_t move_wallet(session_t *session, entry_builder_t *entry, const subject_t *subject,
                            bytes_t offer_id, int64_t value, const char *place, uint32_t index)
{
    uint64_t key = name_key_of("offer", offer_id);
    if (find_offer(session->live->program, key) == NONE_32) {
        return fault_at(session->fault, STATUS_OFFER_UNKNOWN, "%s[%u]", place, index);
    }
    cell_t cell = {.kind = CELL_WALLET, .key = key, .value = value};
    return move_member(session, entry, subject, cell);
}

/* ------------------------------------------------------------------ changes ---- */

static status_t move_place(session_t *session, entry_builder_t *entry, const subject_t *subject)
{
    const place_t *place = &subject->place;
    cell_t cell = {.kind = CELL_GROUP,
                   .value = (int64_t)place->account_group,
                   .other = place_bits(place->flags, place->birth_month * 100 + place->birth_day)};
    return entry_builder_move(entry, key_of(session, FAMILY_PLACE, subject->member, 0), cell,
                              MOVEMENT_SET, REASON_OVERLAY);
}

static status_t move_enrolment(session_t *session, const accounts_view_t *view,
                               entry_builder_t *entry, const subject_t *subject)
{
    const wire_t *wire = &session->wire;
    const enrol_request_t *request = &wire->enrol;
    status_t status = move_place(session, entry, subject);
    for (uint32_t i = 0; i < request->identifiers.count && status == STATUS_OK; i++) {
        status = move_identity(session, view, entry, &wire->identifiers[i], subject->member, false,
                               "identifiers", i);
    }
    if (status == STATUS_OK && request->tier_id.size > 0) {
        status = move_tier(session, entry, subject, request->tier_id);
    }
    if (status == STATUS_OK) {
        status = move_segments(session, entry, subject, wire->names[0], request->segment_ids.count,
                               1, "segment_ids");
    }
    if (status == STATUS_OK) {
        status = move_consents(session, entry, subject, wire->names[1], request->consent_ids.count,
                               1, "consent_ids");
    }
    for (uint32_t i = 0; i < request->offer_ids.count && status == STATUS_OK; i++) {
        status = move_wallet(session, entry, subject, wire->names[2][i], 1, "offer_ids", i);
    }
    return status;
}

static status_t prepare_enrol(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    const enrol_request_t *request = &session->wire.enrol;
    const bytes_t no_locale = {NULL, 0};
    uint64_t member = number_of_id(session->engine, "member", request->member_id);
    subject_t subject = {.member = member, .place = find_place(session, view, member)};
    if (subject.place.is_known) return fault_at(session->fault, STATUS_MEMBER_EXISTS, "member_id");
    subject.place.account_group =
        request->group_id.size > 0 ? number_of_id(session->engine, "group", request->group_id)
                                   : member;
    subject.place.birth_month = (uint16_t)(request->birth_month_day / 100);
    subject.place.birth_day = (uint16_t)(request->birth_month_day % 100);
    status_t status = move_enrolment(session, view, entry, &subject);
    if (status != STATUS_OK) return status;
    posting_t posting = posting_of(entry);
    status = write_member(session, view, &subject, no_locale, entry, &posting);
    seal(session, entry, ENTRY_ENROL, &subject);
    return status;
}

static status_t move_update(session_t *session, entry_builder_t *entry, const subject_t *subject)
{
    const wire_t *wire = &session->wire;
    const update_request_t *request = &wire->update;
    status_t status = STATUS_OK;
    if (is_present(request->present, UPDATE_BLOCKED)
        || is_present(request->present, UPDATE_BIRTH_MONTH_DAY)) {
        status = move_place(session, entry, subject);
    }
    if (status == STATUS_OK && is_present(request->present, UPDATE_TIER_ID)) {
        status = move_tier(session, entry, subject, request->tier_id);
    }
    if (status == STATUS_OK) {
        status = move_segments(session, entry, subject, wire->names[0],
                               request->add_segment_ids.count, 1, "add_segment_ids");
    }
    if (status == STATUS_OK) {
        status = move_segments(session, entry, subject, wire->names[1],
                               request->remove_segment_ids.count, -1, "remove_segment_ids");
    }
    if (status == STATUS_OK) {
        status = move_consents(session, entry, subject, wire->names[2],
                               request->add_consent_ids.count, 1, "add_consent_ids");
    }
    if (status == STATUS_OK) {
        status = move_consents(session, entry, subject, wire->names[3],
                               request->remove_consent_ids.count, -1, "remove_consent_ids");
    }
    return status;
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
    status = move_update(session, entry, &subject);
    if (status != STATUS_OK) return status;
    posting_t posting = posting_of(entry);
    status = write_member(session, view, &subject, no_locale, entry, &posting);
    seal(session, entry, ENTRY_UPDATE, &subject);
    return status;
}

static status_t prepare_link(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    const link_request_t *request = &session->wire.link;
    subject_t subject;
    status_t status = find_subject(session, view, &request->member, &subject);
    if (status == STATUS_OK) {
        status = move_identity(session, view, entry, &request->identifier, subject.member,
                               request->remove, "identifier", 0);
    }
    if (status != STATUS_OK) return status;
    posting_t posting = posting_of(entry);
    status = wire_write_link(session->reply, subject.member, &posting);
    seal(session, entry, ENTRY_LINK, &subject);
    return status;
}

static status_t prepare_activate(void *context, const accounts_view_t *view,
                                 entry_builder_t *entry)
{
    session_t *session = context;
    const activate_request_t *request = &session->wire.activate;
    const bytes_t no_locale = {NULL, 0};
    bool is_held = request->action <= WALLET_ACTION_ASSIGN;
    wallet_offer_t wallet_offer = {.offer_key = name_key_of("offer", request->offer_id),
                                   .activated = true};
    subject_t subject;
    status_t status = find_subject(session, view, &request->member, &subject);
    if (status == STATUS_OK) {
        status = move_wallet(session, entry, &subject, request->offer_id, is_held ? 1 : -1,
                             "offer_id", 0);
    }
    if (status != STATUS_OK) return status;
    posting_t posting = posting_of(entry);
    status = wire_write_activate(session->reply, session->live->program, no_locale,
                                 is_held ? &wallet_offer : NULL, &posting);
    seal(session, entry, ENTRY_ACTIVATE, &subject);
    return status;
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
    if (offer == NONE_32) return fault_at(session->fault, STATUS_OFFER_UNKNOWN, "offer_id");
    cell_t cell = {.kind = CELL_STOPPED, .value = request->resume ? 0 : 1};
    status_t status = entry_builder_move(entry, key_of(session, FAMILY_OFFER, key, 0), cell,
                                         MOVEMENT_SET, REASON_OVERLAY);
    if (status != STATUS_OK) return status;
    posting_t posting = posting_of(entry);
    status = wire_write_stop(session->reply, program, offer, !request->resume, &posting);
    seal(session, entry, ENTRY_STOP_OFFER, &nobody);
    return status;
}

/* Every change here: the first answer if there was one, else the writer's. */
static status_t change_member(session_t *session, uint32_t kind,
                              status_t (*prepare)(void *, const accounts_view_t *,
                                                  entry_builder_t *))
{
    bool is_answered = false;
    begin_change(session, kind, prepare);
    status_t status = answer_repeat(session, &is_answered);
    if (status != STATUS_OK || is_answered) return status;
    if (session->wire.head.context.training) {
        return fault_at(session->fault, STATUS_METHOD_NOT_BUILT, "context.training");
    }
    return submit_change(session);
}

status_t call_enrol(session_t *session)
{
    if (session->wire.enrol.profile.count > 0) {
        return fault_at(session->fault, STATUS_METHOD_NOT_BUILT, "profile");
    }
    return change_member(session, REQUEST_ENROL_MEMBER, prepare_enrol);
}

status_t call_update_member(session_t *session)
{
    const update_request_t *request = &session->wire.update;
    if (request->profile.count > 0) {
        return fault_at(session->fault, STATUS_METHOD_NOT_BUILT, "profile");
    }
    if (is_present(request->present, UPDATE_GROUP_ID)) {
        return fault_at(session->fault, STATUS_METHOD_NOT_BUILT, "group_id");
    }
    return change_member(session, REQUEST_UPDATE_MEMBER, prepare_update);
}

status_t call_link(session_t *session)
{
    return change_member(session, REQUEST_LINK_IDENTIFIER, prepare_link);
}

status_t call_activate_offer(session_t *session)
{
    if (session->wire.activate.expire_date != 0) {
        return fault_at(session->fault, STATUS_METHOD_NOT_BUILT, "expire_date");
    }
    return change_member(session, REQUEST_ACTIVATE_OFFER, prepare_activate);
}

status_t call_stop_offer(session_t *session)
{
    const stop_request_t *request = &session->wire.stop;
    engine_t *engine = session->engine;
    pthread_mutex_lock(&engine->activation);
    status_t status = change_member(session, REQUEST_STOP_OFFER, prepare_stop);
    if (status == STATUS_OK && session->change.lsn != 0) {
        status = change_stops(engine, name_key_of("offer", request->offer_id), !request->resume);
    }
    pthread_mutex_unlock(&engine->activation);
    return status;
}
