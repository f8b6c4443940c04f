/* Counters of limits: of a member and a group in their records, which every decision reads; of a
 * card, a store and everybody where they are, read when an offer is judged that has such a limit.
 *
 * A budget that everybody draws on changes with every sale, so its record's version says nothing.
 * The writer reads the counter again and asks whether what it leaves for this basket is another:
 * far from the limit no basket can tell (basket_reach), and nothing is decided again. Near it the
 * sale is decided on what the sales before it left: so no limit is ever overrun. */
#include "engine_internal.h"
#include "invariant.h"
#include "progress.h"

static record_key_t counter_record(const session_t *session, uint32_t scope, uint32_t number,
                                   uint64_t offer)
{
    const facts_t *facts = &session->facts;
    hash128_t card = session->member_identity;
    switch (scope) {
    case LIMIT_SCOPE_MEMBER:
        return key_of(session, FAMILY_MEMBER, facts->account_group, facts->member);
    case LIMIT_SCOPE_GROUP: return key_of(session, FAMILY_GROUP, facts->account_group, 0);
    case LIMIT_SCOPE_STORE: return key_of(session, FAMILY_OFFER, offer, facts->store->key);
    case LIMIT_SCOPE_GLOBAL: return key_of(session, FAMILY_OFFER, offer, 0);
    case COUNT_SCOPE_ISSUED:
    case COUNT_SCOPE_COUPON: {
        INVARIANT(number < COUPONS_MAX);
        hash128_t id = session->basket.coupon_ids[number];
        return key_of(session, FAMILY_COUPON, id.hi, id.lo);
    }
    case COUNT_SCOPE_GRANT:
        return key_of(session, FAMILY_MEMBER, facts->account_group, facts->member);
    default: break;
    }
    /* A member id is no card: it has no hash, and counts for itself. */
    if (card.hi == 0 && card.lo == 0) return key_of(session, FAMILY_IDENTITY, 0, facts->member);
    return key_of(session, FAMILY_IDENTITY, card.hi, card.lo);
}

static int64_t read_counter(session_t *session, const accounts_view_t *view,
                            const shared_counter_t *counter)
{
    if (counter->scope == COUNT_SCOPE_REFERRER) {
        place_t place;
        return find_referrer(session, view, &place);
    }
    record_t record = accounts_read(view, counter_record(session, counter->scope,
                                                         counter->number, counter->offer));
    if (counter->scope == COUNT_SCOPE_ISSUED) {
        const cell_t *issued = record_find(record, CELL_ISSUED, 0, 0, 0);
        return issued == NULL ? 0 : issued->value;
    }
    bool is_coupon = counter->scope == COUNT_SCOPE_COUPON;
    uint8_t sub = is_coupon ? 0 : counter->number;
    const cell_t *cell = record_find(record, CELL_COUNTER, sub, counter->window,
                                     counter->offer);
    int64_t given = cell == NULL ? 0 : cell->value;
    if (!is_coupon) return given + held_of_counter(session, view, record, counter);
    return given == 0 && is_coupon_held(session, record) ? COUNT_COUPON_HELD : given;
}

static int64_t value_in(cells_t cells, uint8_t kind, uint8_t sub, int32_t day, uint64_t key)
{
    record_head_t head = {.cell_count = cells.count};
    const cell_t *cell = record_find((record_t){&head, cells.at}, kind, sub, day, key);
    return cell == NULL ? 0 : cell->value;
}

int64_t count_given(session_t *session, const accounts_view_t *view, cells_t group,
                    cells_t member, const shared_counter_t *counter)
{
    switch (counter->scope) {
    case COUNT_SCOPE_GRANT: return -value_in(member, CELL_GRANT, 0, 0, counter->offer);
    case LIMIT_SCOPE_GROUP:
    case LIMIT_SCOPE_MEMBER:
        return value_in(counter->scope == LIMIT_SCOPE_GROUP ? group : member, CELL_COUNTER,
                        counter->number, counter->window, counter->offer);
    default: return read_counter(session, view, counter);
    }
}

static const shared_counter_t *find_noted(const session_t *session,
                                          const shared_counter_t *counter)
{
    for (uint32_t i = 0; i < session->shared_count; i++) {
        const shared_counter_t *noted = &session->shared[i];
        if (noted->offer != counter->offer || noted->number != counter->number) continue;
        if (noted->window == counter->window && noted->scope == counter->scope) return noted;
    }
    return NULL;
}

int64_t read_shared(void *context, const shared_counter_t *counter)
{
    session_t *session = context;
    const shared_counter_t *noted = find_noted(session, counter);
    if (noted != NULL) return noted->given;
    if (session->view == NULL) return 0; /* decided again from an entry: it noted all there were */
    if (session->shared_count == SHARED_COUNTERS_MAX) return -1;
    shared_counter_t *fresh = &session->shared[session->shared_count++];
    *fresh = *counter;
    fresh->given = read_counter(session, session->view, counter);
    return fresh->given;
}

/* What a limit leaves, as far as this basket can tell. */
static int64_t left_of(const limit_t *limit, int64_t given, int64_t reach)
{
    int64_t left = limit->most > given ? limit->most - given : 0;
    return left < reach ? left : reach;
}

bool read_shared_again(session_t *session, const accounts_view_t *view)
{
    const program_t *program = session->live->program;
    int64_t reach = basket_reach(&session->basket);
    bool is_changed = false;
    for (uint32_t i = 0; i < session->shared_count; i++) {
        shared_counter_t *noted = &session->shared[i];
        int64_t before = noted->given;
        noted->given = read_counter(session, view, noted);
        if (noted->scope >= COUNT_SCOPE_COUPON) {
            is_changed |= noted->given != before;
            continue;
        }
        const offer_t *offer = &program->offers[find_offer(program, noted->offer)];
        const limit_t *limit = &program->limits[offer->first_limit + noted->number];
        if (left_of(limit, before, reach) != left_of(limit, noted->given, reach)) {
            is_changed = true;
        }
    }
    return is_changed;
}

/* Days of the longest window of its kind; a counter that the live program does not know is taken
 * for one of a year. */
static int32_t window_days(const program_t *program, const cell_t *cell)
{
    static const int16_t days[] = {[WINDOW_CAMPAIGN] = 0, [WINDOW_DAY] = 1, [WINDOW_WEEK] = 7,
                                   [WINDOW_MONTH] = 31, [WINDOW_YEAR] = 366};
    uint32_t number = find_offer(program, cell->key);
    if (number == NONE_32) return days[WINDOW_YEAR];
    const offer_t *offer = &program->offers[number];
    if (cell->sub >= offer->limit_count) return days[WINDOW_YEAR];
    return days[program->limits[offer->first_limit + cell->sub].window];
}

/* The last day on which a progress's window may count: for the tier that asks for it longest. */
static int32_t last_of_progress(const program_t *program, const cell_t *cell)
{
    int32_t grace_days = 0;
    for (uint32_t i = 0; i < program->progress_count; i++) {
        if (program->progress[i].key != cell->key) continue;
        for (uint32_t tier = 0; tier < program->tier_count; tier++) {
            if (program->tiers[tier].key == 0 || program->tiers[tier].progress != i) continue;
            int32_t days = (int32_t)program->tiers[tier].grace_days;
            if (days > grace_days) grace_days = days;
        }
        return progress_last_day(&program->progress[i], cell->day) + grace_days;
    }
    return cell->day + 2 * 366;
}

static bool is_past(const program_t *program, const cell_t *cell, int32_t today)
{
    if (cell->kind == CELL_LOT) return cell->day < today - LOT_KEPT_DAYS;
    if (cell->kind == CELL_PROGRESS && cell->day != 0) {
        return last_of_progress(program, cell) < today - COUNTER_KEPT_DAYS;
    }
    if (cell->kind != CELL_COUNTER || cell->day == 0) return false;
    return cell->day + window_days(program, cell) < today - COUNTER_KEPT_DAYS;
}

/* The day by which things are judged to be over: what comes late is not judged by the clock. */
static int32_t swept_day(const session_t *session, const entry_builder_t *entry)
{
    int32_t today = day_of_unix_ms(entry->post_unix_ms, 0);
    return session->facts.business_day < today ? session->facts.business_day : today;
}

/* Lots of such a purse are moved by the sale itself. */
static bool is_rolling(const program_t *program, uint8_t purse)
{
    return purse >= 1 && purse <= program->purse_count
           && program->purses[purse - 1].expiry == EXPIRY_ROLLING;
}

status_t sweep_record(const session_t *session, entry_builder_t *entry, record_key_t key,
                      const cell_t *cells, uint32_t count, uint32_t *swept)
{
    int32_t today = swept_day(session, entry);
    for (uint32_t i = 0; i < count && *swept < SWEPT_MAX; i++) {
        bool is_held = is_past_held(key.family, cells, count, &cells[i], entry->post_unix_ms);
        if (!is_held && !is_past(session->live->program, &cells[i], today)) continue;
        cell_t cell = cells[i];
        cell.value = -cell.value;
        cell.other = cell.kind == CELL_LOT ? 0 : (int64_t)(0 - (uint64_t)cell.other);
        if (cell.value == 0 && cell.other == 0) continue; /* a hold keeps all of this lot */
        status_t status = entry_builder_move(entry, key, cell, MOVEMENT_ADD,
                                             is_held ? REASON_RELEASE : REASON_EXPIRE);
        if (status != STATUS_OK) return status;
        ++*swept;
    }
    return STATUS_OK;
}

static bool is_settled(const cell_t *cell, int32_t today)
{
    return cell->kind == CELL_LOT && cell->value != 0
           && activation_of(cell) < today - LOT_KEPT_DAYS;
}

/* Lots of one purse and one expiry stand together; those that have been active for a month differ
 * in nothing that anything asks for. */
status_t join_lots(const session_t *session, entry_builder_t *entry, record_key_t key,
                   const cell_t *cells, uint32_t count, uint32_t *swept)
{
    int32_t today = swept_day(session, entry);
    uint32_t first = 0;
    for (uint32_t i = 1; i < count && *swept < SWEPT_MAX; i++) {
        bool is_alike = cells[first].kind == CELL_LOT && cells[first].sub == cells[i].sub
                        && cells[first].day == cells[i].day && is_settled(&cells[first], today);
        if (!is_alike) first = i;
        if (first == i || !is_settled(&cells[i], today)) continue;
        if (cells[i].day < today || is_rolling(session->live->program, cells[i].sub)) continue;
        cell_t from = cells[i];
        cell_t to = cells[first];
        to.value = from.value;
        from.value = -from.value;
        to.other = from.other = 0; /* what holds keep stays where it is */
        status_t status = entry_builder_move(entry, key, from, MOVEMENT_ADD, REASON_ADJUST);
        if (status == STATUS_OK) {
            status = entry_builder_move(entry, key, to, MOVEMENT_ADD, REASON_ADJUST);
        }
        if (status != STATUS_OK) return status;
        ++*swept;
    }
    return STATUS_OK;
}

/* A counter that begins a window makes room for itself: its record is swept then only, because
 * nobody's sale reads the whole of it. */
static status_t sweep_shared(session_t *session, const accounts_view_t *view,
                             entry_builder_t *entry, record_key_t key, const cell_t *cell,
                             uint32_t *swept)
{
    record_t record = accounts_read(view, key);
    if (record_find(record, cell->kind, cell->sub, cell->day, cell->key) != NULL) {
        return STATUS_OK;
    }
    return sweep_record(session, entry, key, record.cells, record.head->cell_count, swept);
}

/* What the sale adds to every progress, and the uses that are granted at a goal. */
status_t move_progress(session_t *session, entry_builder_t *entry)
{
    const facts_t *facts = &session->facts;
    const program_t *program = session->live->program;
    record_key_t member = key_of(session, FAMILY_MEMBER, facts->account_group, facts->member);
    record_key_t group = key_of(session, FAMILY_GROUP, facts->account_group, 0);
    status_t status = STATUS_OK;
    for (uint32_t i = 0; i < session->decision.progressed_count && status == STATUS_OK; i++) {
        const progressed_t *came = &session->decision.progressed[i];
        const progress_t *progress = &program->progress[came->progress];
        if (came->gained == 0) continue;
        cell_t cell = {.kind = CELL_PROGRESS,
                       .sub = progress->measure,
                       .day = progress_first_day(progress, facts->business_day),
                       .key = progress->key,
                       .value = came->gained};
        status = entry_builder_move(entry, progress->scope == LIMIT_SCOPE_GROUP ? group : member,
                                    cell, MOVEMENT_ADD, REASON_PROGRESS);
        if (status != STATUS_OK || came->times == 0) continue;
        if (progress->reward_offer == NONE_32) continue;
        cell_t grant = {.kind = CELL_GRANT,
                        .key = program->offers[progress->reward_offer].key,
                        .value = came->times};
        status = entry_builder_move(entry, member, grant, MOVEMENT_ADD, REASON_GRANT);
    }
    return status;
}

status_t move_counters(session_t *session, const accounts_view_t *view, entry_builder_t *entry)
{
    const decision_t *decision = &session->decision;
    status_t status = STATUS_OK;
    uint32_t swept = 0;
    for (uint32_t i = 0; i < decision->counted_count && status == STATUS_OK; i++) {
        const counted_t *counted = &decision->counted[i];
        if (counted->given == 0) continue;
        cell_t cell = {.kind = CELL_COUNTER,
                       .sub = counted->number,
                       .day = counted->window,
                       .key = session->live->program->offers[counted->offer].key,
                       .value = counted->given};
        bool is_coupon = counted->scope == COUNT_SCOPE_COUPON;
        if (is_coupon) { /* used, whatever offer took it */
            cell.sub = 0;
            cell.key = 0;
        }
        record_key_t key = counter_record(session, counted->scope, counted->number, cell.key);
        if (counted->scope == COUNT_SCOPE_GRANT) {
            cell_t used = {.kind = CELL_GRANT, .key = cell.key, .value = -counted->given};
            status = entry_builder_move(entry, key, used, MOVEMENT_ADD, REASON_GRANT);
            continue;
        }
        bool is_own = counted->scope == LIMIT_SCOPE_MEMBER || counted->scope == LIMIT_SCOPE_GROUP;
        if (!is_own) status = sweep_shared(session, view, entry, key, &cell, &swept);
        if (status != STATUS_OK) break;
        status = entry_builder_move(entry, key, cell, MOVEMENT_ADD, REASON_COUNT);
    }
    return status;
}
