/* The one entry. A call takes a session, pins the live set and a view of the accounts, and runs
 * its method; a change additionally goes to the ledger and sleeps until it is on the disk.
 *
 * Why the live set is safe to follow. `live` points to an immutable set. A session publishes the
 * pointer that it read in `pinned` and reads `live` again: if it is still the same, an activation
 * that swaps it later sees `pinned` and waits; if not, the session tries again. Both sides use
 * sequentially consistent atomics, so either the session sees the new set or the activation sees
 * the pin. Only after that wait are replaced snapshots unmapped. */
#include "engine.h"

#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "engine_internal.h"
#include "invariant.h"

int64_t wall_unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int32_t day_of_unix_ms(int64_t unix_ms, int32_t utc_offset_minutes)
{
    const int64_t day_ms = 86400000;
    int64_t local_ms = unix_ms + (int64_t)utc_offset_minutes * 60000;
    int64_t day = local_ms / day_ms;
    if (local_ms % day_ms < 0) day--;
    return (int32_t)day;
}

status_t reply_copy(reply_t *reply, const void *bytes, uint32_t size)
{
    if (size > reply->capacity) return STATUS_REPLY_TOO_LARGE;
    if (size > 0) memcpy(reply->at, bytes, size);
    reply->size = size;
    return STATUS_OK;
}

/* ------------------------------------------------------------------ sessions ---- */

static session_t *take_session(engine_t *engine)
{
    session_t *session = NULL;
    pthread_mutex_lock(&engine->sessions_mutex);
    /* Who waits is counted too: engine_close must not free the lock under a sleeper. */
    engine->calls_under_way++;
    while (!engine->is_closing && engine->free_sessions == NULL) {
        pthread_cond_wait(&engine->session_freed, &engine->sessions_mutex);
    }
    if (!engine->is_closing) {
        session = engine->free_sessions;
        engine->free_sessions = session->next_free;
    } else {
        engine->calls_under_way--;
        pthread_cond_broadcast(&engine->session_freed);
    }
    pthread_mutex_unlock(&engine->sessions_mutex);
    return session;
}

void session_rest(session_t *session)
{
    if (!session->is_left) return;
    session->is_left = false;
    ledger_rest(session->reader);
}

static void give_back(session_t *session)
{
    engine_t *engine = session->engine;
    session_rest(session);
    pthread_mutex_lock(&engine->sessions_mutex);
    session->next_free = engine->free_sessions;
    engine->free_sessions = session;
    INVARIANT(engine->calls_under_way > 0);
    engine->calls_under_way--;
    pthread_cond_broadcast(&engine->session_freed);
    pthread_mutex_unlock(&engine->sessions_mutex);
}

static void pin_live(session_t *session)
{
    for (;;) {
        const live_t *live = atomic_load(&session->engine->live);
        atomic_store(&session->pinned, live);
        if (live == atomic_load(&session->engine->live)) {
            session->live = live;
            session->stopped = atomic_load(&session->engine->stopped);
            return;
        }
    }
}

static void unpin_live(session_t *session)
{
    let_program_go(session);
    session->live = NULL;
    atomic_store(&session->pinned, NULL);
}

static bool is_pinned(const engine_t *engine, const live_t *live)
{
    for (uint32_t i = 0; i < engine->options.session_count; i++) {
        if (atomic_load(&engine->sessions[i]->pinned) == live) return true;
    }
    return false;
}

static status_t make_sessions(engine_t *engine)
{
    for (uint32_t i = 0; i < engine->options.session_count; i++) {
        session_t *session = calloc(1, sizeof *session);
        if (session == NULL) return STATUS_OUT_OF_MEMORY;
        engine->sessions[i] = session;
        session->engine = engine;
        session->scratch = calloc(1, engine->options.scratch_bytes);
        if (session->scratch == NULL) return STATUS_OUT_OF_MEMORY;
        session->next_free = engine->free_sessions;
        engine->free_sessions = session;
    }
    return STATUS_OK;
}

/* ------------------------------------------------------------------ calls ---- */

static status_t run_method(session_t *session, uint32_t method)
{
    switch (method) {
    case METHOD_IDENTIFY_MEMBER: return call_identify(session);
    case METHOD_QUOTE_BASKET: return call_quote(session);
    case METHOD_TOTAL_BASKET: return call_total(session);
    case METHOD_COMMIT_TRANSACTION:
    case METHOD_UPLOAD_TRANSACTIONS: return call_commit(session);
    case METHOD_VOID_TRANSACTION: return call_void(session);
    case METHOD_RETURN_ITEMS: return call_return(session);
    case METHOD_CLAIM_TRANSACTION: return call_claim(session);
    case METHOD_ENROL_MEMBER: return call_enrol(session);
    case METHOD_GET_MEMBER: return call_get_member(session);
    case METHOD_UPDATE_MEMBER: return call_update_member(session);
    case METHOD_LINK_IDENTIFIER: return call_link(session);
    case METHOD_ACTIVATE_OFFER: return call_activate_offer(session);
    case METHOD_STOP_OFFER: return call_stop_offer(session);
    case METHOD_ADJUST_ACCOUNT: return call_adjust_account(session);
    case METHOD_CONFIRM_POINTS: return call_confirm_points(session);
    case METHOD_MERGE_MEMBERS: return call_merge_members(session);
    case METHOD_CREATE_HOLD: return call_create_hold(session);
    case METHOD_CAPTURE_HOLD: return call_capture_hold(session);
    case METHOD_RELEASE_HOLD: return call_release_hold(session);
    case METHOD_EXTEND_HOLD: return call_extend_hold(session);
    case METHOD_AUTHORIZE_FUEL: return call_authorize_fuel(session);
    case METHOD_CLOSE_DATE: return call_close_date(session);
    default: return STATUS_METHOD_UNKNOWN;
    }
}

/* The wire's number of each method's request. */
static uint32_t request_kind(uint32_t method)
{
    static const uint8_t kinds[] = {
        [METHOD_IDENTIFY_MEMBER] = REQUEST_IDENTIFY_MEMBER,
        [METHOD_QUOTE_BASKET] = REQUEST_QUOTE_BASKET,
        [METHOD_TOTAL_BASKET] = REQUEST_TOTAL_BASKET,
        [METHOD_COMMIT_TRANSACTION] = REQUEST_COMMIT_TRANSACTION,
        [METHOD_UPLOAD_TRANSACTIONS] = REQUEST_COMMIT_TRANSACTION,
        [METHOD_VOID_TRANSACTION] = REQUEST_VOID_TRANSACTION,
        [METHOD_RETURN_ITEMS] = REQUEST_RETURN_ITEMS,
        [METHOD_CLAIM_TRANSACTION] = REQUEST_CLAIM_TRANSACTION,
        [METHOD_ENROL_MEMBER] = REQUEST_ENROL_MEMBER,
        [METHOD_GET_MEMBER] = REQUEST_GET_MEMBER,
        [METHOD_UPDATE_MEMBER] = REQUEST_UPDATE_MEMBER,
        [METHOD_LINK_IDENTIFIER] = REQUEST_LINK_IDENTIFIER,
        [METHOD_ACTIVATE_OFFER] = REQUEST_ACTIVATE_OFFER,
        [METHOD_STOP_OFFER] = REQUEST_STOP_OFFER,
        [METHOD_ADJUST_ACCOUNT] = REQUEST_ADJUST_ACCOUNT,
        [METHOD_CONFIRM_POINTS] = REQUEST_CONFIRM_POINTS,
        [METHOD_MERGE_MEMBERS] = REQUEST_MERGE_MEMBERS,
        [METHOD_CREATE_HOLD] = REQUEST_CREATE_HOLD,
        [METHOD_CAPTURE_HOLD] = REQUEST_CAPTURE_HOLD,
        [METHOD_RELEASE_HOLD] = REQUEST_RELEASE_HOLD,
        [METHOD_EXTEND_HOLD] = REQUEST_EXTEND_HOLD,
        [METHOD_AUTHORIZE_FUEL] = REQUEST_AUTHORIZE_FUEL,
        [METHOD_CLOSE_DATE] = REQUEST_CLOSE_DATE,
    };
    return method < sizeof kinds ? kinds[method] : 0;
}

/* Checks in the order of the statuses: program, request. */
static status_t read_request(session_t *session, uint32_t method, const uint8_t *request,
                             size_t request_size)
{
    if (session->live == NULL) return STATUS_PROGRAM_MISSING;
    if (request_size > REQUEST_BYTES_MAX) return STATUS_REQUEST_TOO_LARGE;
    return wire_read(&session->wire, request_kind(method), request, (uint32_t)request_size,
                     &session->basket, session->fault);
}

/* The end of a call that is not pending. */
static status_t end_call(session_t *session, status_t status)
{
    session->fault->status = status;
    bool is_told = status == STATUS_OK || status == STATUS_DECISION_CHANGED;
    if (!is_told) session->reply->size = 0;
    unpin_live(session);
    return status;
}

static bool is_other(bytes_t allowed, bytes_t named)
{
    if (allowed.size == 0) return false;
    return named.size != allowed.size || memcmp(named.at, allowed.at, named.size) != 0;
}

/* A lane with a certificate of its own speaks for the store and till in it, and says so; and its
 * work is that store's, whatever its context says. */
static status_t check_allowed(session_t *session, const call_order_t *order)
{
    const wire_t *wire = &session->wire;
    bytes_t store_id = order->store_id;
    const char *place = "basket.store_id";
    if (is_other(order->store_id, wire->store_id)) {
        return fault_at(session->fault, STATUS_SENDER_NOT_ALLOWED, "context.store_id");
    }
    if (is_other(order->till_id, wire->till_id)) {
        return fault_at(session->fault, STATUS_SENDER_NOT_ALLOWED, "context.till_id");
    }
    if (wire_basket(wire) != NULL) store_id = wire_basket(wire)->store_id;
    if (order->method == METHOD_RETURN_ITEMS) {
        store_id = wire->give_back.receipt.store_id;
        place = "receipt.store_id";
    }
    if (!is_other(order->store_id, store_id)) return STATUS_OK;
    return fault_at(session->fault, STATUS_SENDER_NOT_ALLOWED, "%s", place);
}

status_t session_call(session_t *session, const call_order_t *order, reply_t *reply,
                      fault_t *fault)
{
    fault->status = STATUS_OK;
    fault->place[0] = '\0';
    reply->size = 0;
    if (request_kind(order->method) == 0) return fault->status = STATUS_METHOD_UNKNOWN;
    session->reply = reply;
    session->fault = fault;
    session->deadline_monotonic_ns = order->deadline_monotonic_ns;
    session->degraded_level = order->degraded_level;
    session->done = order->done;
    session->done_context = order->context;
    session->is_seen_late = false;
    session->is_late = order->method == METHOD_UPLOAD_TRANSACTIONS;
    session->is_taken_paid = session->is_late;
    session->post_unix_ms = 0;
    session->own_hold_count = 0;
    session->own_view = NULL;
    session->are_points_settled = false;
    pin_live(session);
    status_t status = read_request(session, order->method, order->request, order->request_size);
    if (status == STATUS_OK) status = check_allowed(session, order);
    if (status == STATUS_OK) status = run_method(session, order->method);
    if (status != STATUS_PENDING && session->is_seen_late) status = find_again(session);
    /* Pending: session, reply and fault are the writer's now. */
    return status == STATUS_PENDING ? status : end_call(session, status);
}

status_t engine_call(engine_t *engine, uint32_t method, const uint8_t *request,
                     size_t request_size, reply_t *reply, fault_t *fault)
{
    call_order_t order = {.method = method, .request = request, .request_size = request_size};
    session_t *session = take_session(engine);
    if (session == NULL) {
        reply->size = 0;
        fault->place[0] = '\0';
        return fault->status = STATUS_ENGINE_CLOSED;
    }
    status_t status = session_call(session, &order, reply, fault);
    give_back(session);
    return status;
}

session_t *engine_lend_session(engine_t *engine)
{
    session_t *session = NULL;
    pthread_mutex_lock(&engine->sessions_mutex);
    if (!engine->is_closing && engine->free_sessions != NULL) {
        session = engine->free_sessions;
        engine->free_sessions = session->next_free;
        engine->calls_under_way++;
    }
    pthread_mutex_unlock(&engine->sessions_mutex);
    return session;
}

void engine_return_session(session_t *session)
{
    give_back(session);
}

/* ------------------------------------------------------------------ changes ---- */

void begin_change(session_t *session, uint32_t kind,
                  status_t (*prepare)(void *, const accounts_view_t *, entry_builder_t *))
{
    static const uint64_t no_secret[2] = {0, 0};
    const wire_t *wire = &session->wire;
    change_t *change = &session->change;
    memset(change, 0, sizeof *change);
    change->method = kind;
    change->request = wire->request.at;
    change->request_bytes = wire->request.size;
    change->key = wire_key_hash(no_secret, wire->store_id, wire->till_id, kind,
                                wire->head.context.idempotency_key);
    change->content = wire_content_hash(wire, no_secret);
    change->deadline_monotonic_ns = session->deadline_monotonic_ns;
    change->is_rehearsal = wire->head.context.training != 0;
    change->prepare = prepare;
    change->context = session;
}

status_t seal_entry(const session_t *session, entry_builder_t *entry, const seal_t *seal,
                    status_t written)
{
    if (written != STATUS_OK) return written;
    entry->kind = seal->kind;
    entry->event_unix_ms = seal->event_unix_ms != 0 ? seal->event_unix_ms : entry->post_unix_ms;
    entry->account_group = seal->account.account_group;
    entry->member = seal->account.member;
    entry->business_date = seal->business_date;
    entry->own_date = seal->own_date;
    entry->facts = seal->facts;
    entry->facts_bytes = seal->facts_bytes;
    entry->response = session->reply->at;
    entry->response_bytes = session->reply->size;
    return STATUS_OK;
}

posting_t posting_of(const entry_builder_t *entry, int32_t business_date)
{
    return (posting_t){.lsn = (int64_t)entry->lsn,
                       .post_unix_ms = entry->post_unix_ms,
                       .business_date = business_date};
}

static status_t copy_first_answer(session_t *session, uint64_t position)
{
    entry_t entry;
    status_t status = ledger_read(session->reader, position, &entry);
    if (status != STATUS_OK) return status;
    return reply_copy(session->reply, entry.response, entry.header->response_bytes);
}

/* A repeat comes under its own key. The same content found by its receipt alone was entered under
 * another one, and is refused. */
static status_t check_key_bound(session_t *session, const accounts_view_t *view,
                                uint64_t position)
{
    hash128_t key = session->change.key;
    record_t record = accounts_read(view, record_key(FAMILY_KEY,
                                                     (uint16_t)session->engine->options.partition,
                                                     key.hi, key.lo));
    uint32_t at = record_first(record, CELL_ENTRY);
    if (at == record.head->cell_count) return STATUS_RECEIPT_REUSED;
    const cell_t *cell = &record.cells[at];
    bool is_bound = cell->kind == CELL_ENTRY && (uint64_t)cell->value == position;
    return is_bound ? STATUS_OK : STATUS_RECEIPT_REUSED;
}

status_t check_sender(session_t *session, const char *place)
{
    bytes_t store_id = session->wire.store_id;
    if (session->wire.head.context.store_id.size > 0) place = "context.store_id";
    if (store_id.size == 0) return STATUS_OK;
    if (find_store(session->live->catalogue, name_key_of("store", store_id)) != NULL) {
        return STATUS_OK;
    }
    return fault_at(session->fault, STATUS_STORE_UNKNOWN, "%s", place);
}

/* Where a refusal of the ledger lies in the request. */
static status_t place_of(session_t *session, status_t status)
{
    if (status == STATUS_KEY_REUSED) {
        return fault_at(session->fault, status, "context.idempotency_key");
    }
    if (status == STATUS_RECEIPT_REUSED) return fault_at(session->fault, status, "receipt");
    return status;
}

status_t answer_repeat(session_t *session, status_t judged, bool *is_answered)
{
    uint64_t position = 0;
    *is_answered = false;
    if (session->change.is_rehearsal) return judged;
    const accounts_view_t *view = ledger_pin(session->reader);
    status_t status = ledger_find_once(session->engine->ledger, view, &session->change, &position);
    /* A view keeps memory alive, it does not stop time: the entry's group may be published between
     * the look at the key and the look at the receipt. Then the writer tells, which sees both. */
    if (position != 0 && check_key_bound(session, view, position) != STATUS_OK) position = 0;
    ledger_unpin(session->reader);
    *is_answered = status == STATUS_OK && position != 0;
    if (*is_answered) return copy_first_answer(session, position);
    return judged != STATUS_OK ? judged : place_of(session, status);
}

/* A posted change has its answer: the writer's thread. The session is the caller's again. */
static void change_is_done(change_t *change)
{
    session_t *session = change->context;
    session->done(session->done_context);
}

static status_t take_answer(session_t *session, status_t status)
{
    const change_t *change = &session->change;
    if (status != STATUS_OK || !change->is_repeat) return place_of(session, status);
    const accounts_view_t *view = ledger_pin(session->reader);
    status = check_key_bound(session, view, change->position);
    ledger_unpin(session->reader);
    if (status != STATUS_OK) return place_of(session, status);
    return copy_first_answer(session, change->position);
}

status_t submit_change(session_t *session)
{
    change_t *change = &session->change;
    if (session->done == NULL) {
        return take_answer(session, ledger_submit(session->engine->ledger, change));
    }
    change->done = change_is_done;
    status_t status = ledger_post(session->engine->ledger, change);
    return status == STATUS_OK ? STATUS_PENDING : place_of(session, status);
}

status_t session_finish(session_t *session)
{
    status_t status = take_answer(session, session->change.status);
    if (session->is_seen_late) status = find_again(session);
    return status == STATUS_PENDING ? status : end_call(session, status);
}

/* ------------------------------------------------------------------ stopped offers ---- */

static uint32_t copy_keys(uint64_t *out, const stopped_t *from, uint64_t left_out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; from != NULL && i < from->count; i++) {
        if (from->keys[i] != left_out) out[count++] = from->keys[i];
    }
    return count;
}

uint32_t count_other_stops(const stopped_t *stopped, uint64_t offer_key)
{
    uint32_t count = 0;
    for (uint32_t i = 0; stopped != NULL && i < stopped->count; i++) {
        if (stopped->keys[i] != offer_key) count++;
    }
    return count;
}

stopped_t *make_stops(const engine_t *engine, uint64_t offer_key, bool is_stopped)
{
    stopped_t *old = (stopped_t *)atomic_load(&engine->stopped);
    uint32_t room = (old == NULL ? 0 : old->count) + 1;
    stopped_t *new = calloc(1, sizeof *new + room * sizeof new->keys[0]);
    if (new == NULL) return NULL;
    new->older = old;
    new->count = copy_keys(new->keys, old, offer_key);
    if (is_stopped) {
        uint32_t at = new->count;
        for (; at > 0 && new->keys[at - 1] > offer_key; at--) new->keys[at] = new->keys[at - 1];
        new->keys[at] = offer_key;
        new->count++;
    }
    return new;
}

void publish_stops(engine_t *engine, stopped_t *stopped)
{
    atomic_store(&engine->stopped, stopped);
}

typedef struct collected {
    engine_t *engine;
    status_t status;
} collected_t;

static void collect_stop(void *context, const record_key_t *key, record_t record)
{
    collected_t *collected = context;
    if (key->family != FAMILY_OFFER || collected->status != STATUS_OK) return;
    if (record_find(record, CELL_STOPPED, 0, 0, 0) == NULL) return;
    stopped_t *stopped = make_stops(collected->engine, key->hi, true);
    if (stopped == NULL) collected->status = STATUS_OUT_OF_MEMORY;
    else publish_stops(collected->engine, stopped);
}

/* ------------------------------------------------------------------ activation ---- */

static void close_live(const live_t *old, const live_t *new)
{
    if (old == NULL) return;
    if (new == NULL || old->program != new->program) {
        program_close((program_t *)old->program);
        free((program_t *)old->program);
    }
    if (new == NULL || old->catalogue != new->catalogue) {
        catalogue_close((catalogue_t *)old->catalogue);
        free((catalogue_t *)old->catalogue);
    }
    if (old->members != NULL && (new == NULL || old->members != new->members)) {
        members_close((members_t *)old->members);
        free((members_t *)old->members);
    }
    free((live_t *)old);
}

static void swap_live(engine_t *engine, const live_t *new)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 200000};
    const live_t *old = atomic_load(&engine->live);
    atomic_store(&engine->live, new);
    while (old != NULL && is_pinned(engine, old)) nanosleep(&pause, NULL);
    close_live(old, new);
}

static void close_readers(engine_t *engine)
{
    for (uint32_t i = 0; i < SESSIONS_MAX; i++) {
        if (engine->sessions[i] == NULL) continue;
        ledger_reader_close(engine->sessions[i]->reader);
        engine->sessions[i]->reader = NULL;
    }
}

/* Frees every list of stopped offers. No call may be running. */
static void forget_stops(engine_t *engine)
{
    stopped_t *stopped = (stopped_t *)atomic_load(&engine->stopped);
    atomic_store(&engine->stopped, NULL);
    while (stopped != NULL) {
        stopped_t *older = stopped->older;
        free(stopped);
        stopped = older;
    }
}

/* Undoes open_ledger: an activation that failed leaves no ledger of its program behind. */
static void drop_ledger(engine_t *engine)
{
    close_readers(engine);
    ledger_close(engine->ledger, false);
    engine->ledger = NULL;
    forget_stops(engine);
}

static status_t open_ledger(engine_t *engine, uint64_t program_key, fault_t *fault)
{
    ledger_options_t options = {
        .data_directory = engine->data_directory,
        .program_key = program_key,
        .node = engine->options.node,
        .partition = (uint16_t)engine->options.partition,
        .accounts = {.checkpoint_pause_ms = engine->options.checkpoint_pause_ms},
    };
    status_t status = ledger_open(&options, &engine->ledger, fault);
    for (uint32_t i = 0; status == STATUS_OK && i < engine->options.session_count; i++) {
        status = ledger_reader_open(engine->ledger, &engine->sessions[i]->reader);
    }
    return status;
}

/* Stops are few, and found once, before the first call is answered. */
static status_t load_stops(engine_t *engine)
{
    ledger_reader_t *reader = engine->sessions[0]->reader;
    collected_t collected = {.engine = engine, .status = STATUS_OK};
    const accounts_view_t *view = ledger_pin(reader);
    status_t status = accounts_each_of(view, FAMILY_OFFER, collect_stop, &collected);
    ledger_unpin(reader);
    return status != STATUS_OK ? status : collected.status;
}

typedef struct going_live {
    const engine_t *engine;
    const live_t *live;
} going_live_t;

static status_t prepare_live(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    const going_live_t *going = context;
    entry->kind = ENTRY_LIVE;
    entry->event_unix_ms = entry->post_unix_ms;
    return note_live(going->engine, view, entry, going->live);
}

/* Records which snapshots answer from here on: three hashes of 16 bytes, zeros for none. */
static status_t record_live(engine_t *engine, const live_t *live)
{
    uint8_t hashes[48] = {0};
    memcpy(hashes, live->program->hash, 16);
    memcpy(hashes + 16, live->catalogue->hash, 16);
    if (live->members != NULL) memcpy(hashes + 32, live->members->hash, 16);
    going_live_t going = {.engine = engine, .live = live};
    change_t change = {.request = hashes,
                       .request_bytes = sizeof hashes,
                       .prepare = prepare_live,
                       .context = &going};
    return ledger_submit(engine->ledger, &change);
}

/* A snapshot is refused by its file's name: the folder is known, and the place is short. */
static void refuse_snapshot(status_t status, const char *path, fault_t *fault)
{
    if (status == STATUS_OK) return;
    const char *slash = strrchr(path, '/');
    fault_at(fault, status, "%s", slash != NULL ? slash + 1 : path);
}

static status_t open_parts(live_t *live, const live_t *old, const char *members_path,
                           const uint8_t *members_hash, const char *catalogue_path,
                           const uint8_t *catalogue_hash, const char *program_path,
                           const uint8_t *program_hash, fault_t *fault)
{
    status_t status = STATUS_OK;
    if (old != NULL) *live = *old;
    if (members_path != NULL) {
        members_t *members = calloc(1, sizeof *members);
        if (members == NULL) return fault_at(fault, STATUS_OUT_OF_MEMORY, "members");
        live->members = members;
        status = members_open(members_path, members_hash, members);
        refuse_snapshot(status, members_path, fault);
    }
    if (status == STATUS_OK && catalogue_path != NULL) {
        catalogue_t *catalogue = calloc(1, sizeof *catalogue);
        if (catalogue == NULL) return fault_at(fault, STATUS_OUT_OF_MEMORY, "catalogue");
        live->catalogue = catalogue;
        status = catalogue_open(catalogue_path, catalogue_hash, catalogue);
        refuse_snapshot(status, catalogue_path, fault);
    }
    if (status == STATUS_OK && program_path != NULL) {
        program_t *program = calloc(1, sizeof *program);
        if (program == NULL) return fault_at(fault, STATUS_OUT_OF_MEMORY, "program");
        live->program = program;
        status = program_open(program_path, program_hash, program);
        refuse_snapshot(status, program_path, fault);
    }
    return status;
}

/* Closes what open_parts opened beyond `old`. */
static void drop_parts(live_t *live, const live_t *old)
{
    static const live_t nothing = {NULL, NULL, NULL};
    if (old == NULL) old = &nothing;
    if (live->program != old->program && live->program != NULL) {
        program_close((program_t *)live->program);
        free((program_t *)live->program);
    }
    if (live->catalogue != old->catalogue && live->catalogue != NULL) {
        catalogue_close((catalogue_t *)live->catalogue);
        free((catalogue_t *)live->catalogue);
    }
    if (live->members != old->members && live->members != NULL) {
        members_close((members_t *)live->members);
        free((members_t *)live->members);
    }
    free(live);
}

static status_t check_live(const live_t *live, const live_t *old, fault_t *fault)
{
    if (live->program == NULL || live->catalogue == NULL) {
        return fault_at(fault, STATUS_PROGRAM_MISSING, "program and catalogue");
    }
    if (memcmp(live->program->header->catalogue_hash, live->catalogue->hash, 16) != 0) {
        return fault_at(fault, STATUS_SNAPSHOT_MISMATCH, "program.catalogue_hash");
    }
    if (live->program->header->product_count != live->catalogue->product_count) {
        return fault_at(fault, STATUS_SNAPSHOT_MISMATCH, "program.product_count");
    }
    if (old != NULL && old->program->header->program_key != live->program->header->program_key) {
        return fault_at(fault, STATUS_SNAPSHOT_MISMATCH, "program.program_key");
    }
    return STATUS_OK;
}

static status_t activate_locked(engine_t *engine, live_t *live, bool is_recorded, fault_t *fault)
{
    const live_t *old = atomic_load(&engine->live);
    status_t status = check_live(live, old, fault);
    if (status == STATUS_OK && old == NULL) {
        status = open_ledger(engine, live->program->header->program_key, fault);
        if (status == STATUS_OK) status = load_stops(engine);
        /* What was chosen while no process ran is live from now on. */
        if (status == STATUS_OK) is_recorded |= !is_noted_live(engine->sessions[0], live);
    }
    if (status == STATUS_OK && is_recorded) status = record_live(engine, live);
    if (status != STATUS_OK) {
        fault->status = status;
        if (old == NULL) drop_ledger(engine);
        drop_parts(live, old);
        return status;
    }
    swap_live(engine, live);
    return STATUS_OK;
}

status_t engine_activate(engine_t *engine, const char *members_path, const uint8_t *members_hash,
                         const char *catalogue_path, const uint8_t *catalogue_hash,
                         const char *program_path, const uint8_t *program_hash, bool is_recorded,
                         fault_t *fault)
{
    fault->status = STATUS_OK;
    fault->place[0] = '\0';
    live_t *live = calloc(1, sizeof *live);
    if (live == NULL) return fault->status = STATUS_OUT_OF_MEMORY;
    pthread_mutex_lock(&engine->activation);
    const live_t *old = atomic_load(&engine->live);
    status_t status = open_parts(live, old, members_path, members_hash, catalogue_path,
                                 catalogue_hash, program_path, program_hash, fault);
    if (status == STATUS_OK && is_recorded && members_path != NULL) {
        status = members_check(live->members);
        refuse_snapshot(status, members_path, fault);
    }
    if (status == STATUS_OK) {
        status = activate_locked(engine, live, is_recorded, fault);
    } else {
        drop_parts(live, old);
    }
    pthread_mutex_unlock(&engine->activation);
    return status;
}

/* ------------------------------------------------------------------ life ---- */

static void free_engine(engine_t *engine)
{
    close_readers(engine);
    for (uint32_t i = 0; i < SESSIONS_MAX; i++) {
        if (engine->sessions[i] == NULL) continue;
        free(engine->sessions[i]->scratch);
        free(engine->sessions[i]);
    }
    ledger_close(engine->ledger, true);
    close_live(atomic_load(&engine->live), NULL);
    close_programs(engine);
    forget_stops(engine);
    data_directory_unlock(engine->lock);
    pthread_mutex_destroy(&engine->activation);
    pthread_mutex_destroy(&engine->kept_mutex);
    pthread_mutex_destroy(&engine->stops_mutex);
    pthread_mutex_destroy(&engine->sessions_mutex);
    pthread_cond_destroy(&engine->session_freed);
    free(engine);
}

status_t engine_open(const engine_options_t *options, engine_t **out, fault_t *fault)
{
    *out = NULL;
    fault->place[0] = '\0';
    if (options->session_count < 1 || options->session_count > SESSIONS_MAX) {
        return fault_at(fault, STATUS_FIELD_OUT_OF_RANGE, "sessions");
    }
    if (options->partition > UINT16_MAX) {
        return fault_at(fault, STATUS_FIELD_OUT_OF_RANGE, "partition");
    }
    if (strlen(options->data_directory) >= PATH_BYTES_MAX - 128) {
        return fault_at(fault, STATUS_TEXT_TOO_LONG, "data directory");
    }
    engine_t *engine = calloc(1, sizeof *engine);
    if (engine == NULL) return fault_at(fault, STATUS_OUT_OF_MEMORY, "engine");
    engine->options = *options;
    strcpy(engine->data_directory, options->data_directory);
    status_t status = data_directory_lock(engine->data_directory, &engine->lock, fault);
    if (status != STATUS_OK) {
        free(engine);
        return status;
    }
    pthread_mutex_init(&engine->activation, NULL);
    pthread_mutex_init(&engine->kept_mutex, NULL);
    pthread_mutex_init(&engine->stops_mutex, NULL);
    pthread_mutex_init(&engine->sessions_mutex, NULL);
    pthread_cond_init(&engine->session_freed, NULL);
    status = make_sessions(engine);
    if (status != STATUS_OK) {
        free_engine(engine);
        return fault_at(fault, status, "sessions");
    }
    *out = engine;
    return STATUS_OK;
}

void engine_drain(engine_t *engine)
{
    pthread_mutex_lock(&engine->sessions_mutex);
    engine->is_closing = true;
    pthread_cond_broadcast(&engine->session_freed);
    pthread_mutex_unlock(&engine->sessions_mutex);
}

void engine_close(engine_t *engine)
{
    engine_drain(engine);
    pthread_mutex_lock(&engine->sessions_mutex);
    while (engine->calls_under_way > 0) {
        pthread_cond_wait(&engine->session_freed, &engine->sessions_mutex);
    }
    pthread_mutex_unlock(&engine->sessions_mutex);
    free_engine(engine);
}

/* ------------------------------------------------------------------ tools ---- */

/* `live` is published after `ledger` was set: who sees the one sees the other. */
static ledger_t *opened_ledger(engine_t *engine)
{
    return atomic_load(&engine->live) == NULL ? NULL : engine->ledger;
}

bool engine_measure(engine_t *engine, ledger_metrics_t *metrics)
{
    ledger_t *ledger = opened_ledger(engine);
    if (ledger == NULL) return false;
    ledger_measure(ledger, metrics);
    return true;
}

status_t engine_reader_open(engine_t *engine, ledger_reader_t **reader)
{
    ledger_t *ledger = opened_ledger(engine);
    return ledger == NULL ? STATUS_PROGRAM_MISSING : ledger_reader_open(ledger, reader);
}

status_t engine_time_decisions(engine_t *engine, const uint8_t *request, size_t request_size,
                               uint32_t count, uint32_t *nanoseconds, uint64_t *steps,
                               fault_t *fault)
{
    *steps = 0;
    fault->status = STATUS_OK;
    fault->place[0] = '\0';
    session_t *session = take_session(engine);
    if (session == NULL) return fault->status = STATUS_ENGINE_CLOSED;
    session->fault = fault;
    pin_live(session);
    fault->status = read_request(session, METHOD_QUOTE_BASKET, request, request_size);
    if (fault->status == STATUS_OK) {
        fault->status = time_decisions(session, count, nanoseconds, steps);
    }
    unpin_live(session);
    give_back(session);
    return fault->status;
}

status_t engine_checkpoint(engine_t *engine)
{
    ledger_t *ledger = opened_ledger(engine);
    return ledger == NULL ? STATUS_PROGRAM_MISSING : ledger_checkpoint(ledger);
}

static size_t padded(uint64_t bytes)
{
    return (size_t)((bytes + 15) & ~(uint64_t)15);
}

static status_t replay(session_t *session, const entry_header_t *header, const uint8_t *entry,
                       size_t entry_bytes, bool is_explained)
{
    size_t request_at = padded(sizeof *header);
    size_t facts_at = request_at + padded(header->request_bytes);
    size_t end = facts_at + padded(header->facts_bytes);
    entry_facts_t facts;
    bool is_claim = header->kind == ENTRY_CLAIM;
    if ((header->kind != ENTRY_COMMIT && !is_claim) || header->request_bytes > REQUEST_BYTES_MAX
        || header->facts_bytes > CLAIM_FACTS_BYTES_MAX || header->movement_count > MOVEMENTS_MAX
        || end + header->movement_count * sizeof(movement_t) > entry_bytes) {
        return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "entry");
    }
    bytes_t bytes = {entry + facts_at, header->facts_bytes};
    if (!read_facts(bytes, &facts) || is_claim != (facts.claim.position != 0)) {
        return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "entry.facts");
    }
    if (memcmp(facts.header.program_hash, session->live->program->hash, 16) != 0) {
        return fault_at(session->fault, STATUS_SNAPSHOT_MISMATCH, "program");
    }
    if (memcmp(facts.header.catalogue_hash, session->live->catalogue->hash, 16) != 0) {
        return fault_at(session->fault, STATUS_SNAPSHOT_MISMATCH, "catalogue");
    }
    if (is_claim) {
        return claim_again(session, header, &facts,
                           (bytes_t){entry + request_at, header->request_bytes});
    }
    status_t status = wire_read(&session->wire, REQUEST_COMMIT_TRANSACTION, entry + request_at,
                                header->request_bytes, &session->basket, session->fault);
    if (status != STATUS_OK) return status;
    if (facts.total.request_bytes > 0) status = read_totalled(session, facts.total_request, NULL);
    if (status != STATUS_OK) return status;
    if (is_explained) session->basket.explain = 1;
    return decide_again(session, header, &facts, (const movement_t *)(const void *)(entry + end));
}

status_t engine_replay(engine_t *engine, const uint8_t *entry, size_t entry_bytes,
                       const program_t *program, const catalogue_t *catalogue,
                       bool is_explained, reply_t *reply, fault_t *fault)
{
    const live_t then = {.program = program, .catalogue = catalogue, .members = NULL};
    entry_header_t header;
    fault->status = STATUS_OK;
    fault->place[0] = '\0';
    reply->size = 0;
    if (entry_bytes < sizeof header) {
        return fault_at(fault, STATUS_FIELD_OUT_OF_RANGE, "entry");
    }
    memcpy(&header, entry, sizeof header);
    session_t *session = take_session(engine);
    if (session == NULL) return fault->status = STATUS_ENGINE_CLOSED;
    session->reply = reply;
    session->fault = fault;
    session->live = &then;
    session->stopped = NULL;
    session->is_taken_paid = (header.flags & ENTRY_FLAG_PAID) != 0;
    fault->status = replay(session, &header, entry, entry_bytes, is_explained);
    session->live = NULL;
    give_back(session);
    return fault->status;
}
