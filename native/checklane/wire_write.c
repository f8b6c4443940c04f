/* Answers of every method, and the parts that they share. */
#include "invariant.h"
#include "wire_put.h"

/* -------------------------------------------------------------------------- helpers ---- */

static void sift_key(uint64_t *keys, uint32_t root, uint32_t count)
{
    for (;;) {
        uint32_t child = 2 * root + 1;
        if (child >= count) return;
        if (child + 1 < count && keys[child] < keys[child + 1]) child++;
        if (keys[root] >= keys[child]) return;
        uint64_t moved = keys[root];
        keys[root] = keys[child];
        keys[child] = moved;
        root = child;
    }
}

void sort_keys(uint64_t *keys, uint32_t count)
{
    bool is_sorted = true;
    for (uint32_t i = 1; i < count && is_sorted; i++) is_sorted = keys[i - 1] <= keys[i];
    if (is_sorted) return;
    for (uint32_t i = count / 2; i > 0; i--) sift_key(keys, i - 1, count);
    for (uint32_t end = count - 1; end > 0; end--) {
        uint64_t last = keys[0];
        keys[0] = keys[end];
        keys[end] = last;
        sift_key(keys, 0, end);
    }
}

bytes_t text_of(const program_t *program, uint32_t offset, uint32_t length)
{
    return (bytes_t){program->strings + offset, length};
}

/* Bytes of the language in a locale: what stands before the first dash. */
static uint32_t language_size(const uint8_t *locale, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        if (locale[i] == '-' || locale[i] == '_') return i;
    }
    return size;
}

/* How well a text's locale suits: 3 the same, 2 the bare language, 1 the language, 0 not. */
static int locale_rank(const text_t *text, bytes_t locale)
{
    uint32_t size = 0;
    while (size < sizeof(text->locale) && text->locale[size] != 0) size++;
    if (locale.size == 0) return 0;
    if (size == locale.size && memcmp(text->locale, locale.at, size) == 0) return 3;
    uint32_t language = language_size(locale.at, locale.size);
    if (language != language_size(text->locale, size)) return 0;
    if (memcmp(text->locale, locale.at, language) != 0) return 0;
    return size == language ? 2 : 1;
}

/* The text of that kind in the best suited locale; the first of equal ones; empty: none. */
bytes_t offer_text(const program_t *program, const offer_t *offer, uint32_t kind, bytes_t locale)
{
    const text_t *best = NULL;
    int best_rank = -1;
    for (uint32_t i = 0; i < offer->text_count; i++) {
        const text_t *text = &program->texts[offer->first_text + i];
        if (text->kind != kind) continue;
        int rank = locale_rank(text, locale);
        if (rank <= best_rank) continue;
        best = text;
        best_rank = rank;
    }
    if (best == NULL) return (bytes_t){NULL, 0};
    return text_of(program, best->offset, best->length);
}

int64_t funding_share(const program_t *program, const offer_t *offer, uint32_t index,
                      int64_t amount)
{
    const funding_t *funding = &program->funding[offer->first_funding];
    if (funding[index].share_bp == 10000) return amount; /* nobody else bears anything */
    int64_t own_remainder = amount * funding[index].share_bp % 10000;
    int64_t left = amount;
    int64_t before = 0; /* funders who get a left unit sooner */
    for (uint32_t i = 0; i < offer->funding_count; i++) {
        int64_t part = amount * funding[i].share_bp;
        int64_t remainder = part % 10000;
        left -= part / 10000;
        if (remainder > own_remainder || (remainder == own_remainder && i < index)) before++;
    }
    return amount * funding[index].share_bp / 10000 + (before < left ? 1 : 0);
}

/* ----------------------------------------------------------------------------- parts ---- */

/* An offer's id at `number` and its version after it. */
void put_offer(writer_t *writer, uint32_t number, const program_t *program, uint32_t offer)
{
    const offer_t *record = &program->offers[offer];
    put_text(writer, number, text_of(program, record->id_text, record->id_length));
    put_number(writer, number + 1, record->version);
}

void put_purse(writer_t *writer, uint32_t number, const program_t *program, uint32_t purse)
{
    if (purse == 0 || purse > program->purse_count) return;
    const purse_t *record = &program->purses[purse - 1];
    put_text(writer, number, text_of(program, record->id_text, record->id_length));
}

void put_balances(writer_t *writer, uint32_t number, const program_t *program,
                  const balance_t *balances, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const balance_t *balance = &balances[i];
        INVARIANT(balance->purse > 0 && balance->purse <= program->purse_count);
        uint32_t mark = put_open(writer, number);
        put_purse(writer, 1, program, balance->purse);
        put_signed(writer, 2, balance->available);
        put_number(writer, 3, balance->pending);
        put_number(writer, 4, balance->held);
        put_number(writer, 5, program->purses[balance->purse - 1].decimals);
        put_number(writer, 6, balance->expiring);
        put_number(writer, 7, date_from_day(balance->expire_day));
        put_close(writer, mark);
    }
}

void put_points(writer_t *writer, uint32_t number, const program_t *program,
                const points_t *points)
{
    uint32_t mark = put_open(writer, number);
    put_purse(writer, 1, program, points->purse);
    put_signed(writer, 2, points->points);
    put_number(writer, 3, points->reason);
    if (points->offer != NONE_32) put_offer(writer, 4, program, points->offer);
    if (points->progress != NULL) {
        put_text(writer, 4, text_of(program, points->progress->id_text,
                                    points->progress->id_length));
    }
    put_number(writer, 6, points->line_id);
    put_number(writer, 7, date_from_day(points->activation_day));
    put_number(writer, 8, date_from_day(points->expiry_day));
    put_close(writer, mark);
}

static void put_tier(writer_t *writer, uint32_t number, const program_t *program, uint32_t tier)
{
    if (tier >= program->tier_count || program->tiers[tier].key == 0) return;
    const tier_t *record = &program->tiers[tier];
    put_text(writer, number, text_of(program, record->id_text, record->id_length));
}

void put_found(writer_t *writer, uint32_t number, const program_t *program, const found_t *found,
               uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t mark = put_open(writer, number);
        put_number(writer, 1, i);
        put_number(writer, 2, found[i].result);
        put_fixed(writer, 3, found[i].member);
        put_fixed(writer, 4, found[i].account_group);
        if (found[i].member != 0) put_tier(writer, 5, program, found[i].tier);
        put_number(writer, 6, found[i].role);
        put_close(writer, mark);
    }
}

void put_exceptions(writer_t *writer, uint32_t number, const exception_t *exceptions,
                    uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const exception_t *exception = &exceptions[i];
        uint32_t mark = put_open(writer, number);
        put_number(writer, 1, exception->kind);
        put_number(writer, 2, exception->line_id);
        put_text(writer, 3, exception->offer_id);
        put_text(writer, 4, exception->purse_id);
        put_signed(writer, 5, exception->amount_minor);
        put_signed(writer, 6, exception->points);
        put_text(writer, 7, exception->text);
        put_close(writer, mark);
    }
}

/* A funder who bears nothing is not named. */
void put_funded(writer_t *writer, uint32_t number, const funded_t *funded)
{
    if (funded->amount_minor == 0) return;
    uint32_t mark = put_open(writer, number);
    put_text(writer, 1, funded->funder_id);
    put_number(writer, 2, funded->amount_minor);
    put_number(writer, 3, funded->settlement);
    put_close(writer, mark);
}

static void put_posting(writer_t *writer, uint32_t number, const posting_t *posting)
{
    uint32_t mark = put_open(writer, number);
    put_number(writer, 1, posting->lsn);
    put_number(writer, 2, posting->post_unix_ms);
    put_number(writer, 3, posting->business_date);
    put_close(writer, mark);
}

/* "h-" and the number, in decimal. */
#define HOLD_ID_BYTES 22

static void put_hold_id(writer_t *writer, uint64_t number)
{
    uint8_t text[HOLD_ID_BYTES];
    uint32_t at = HOLD_ID_BYTES;
    do {
        text[--at] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    text[--at] = '-';
    text[--at] = 'h';
    put_text(writer, 1, (bytes_t){text + at, HOLD_ID_BYTES - at});
}

uint64_t wire_hold_number(bytes_t hold_id)
{
    uint64_t number = 0;
    if (hold_id.size < 3 || hold_id.size > 20) return 0; /* 18 digits: no overflow */
    if (hold_id.at[0] != 'h' || hold_id.at[1] != '-' || hold_id.at[2] == '0') return 0;
    for (uint32_t i = 2; i < hold_id.size; i++) {
        uint8_t byte = hold_id.at[i];
        if (byte < '0' || byte > '9') return 0;
        number = number * 10 + (uint64_t)(byte - '0');
    }
    return number;
}

static void put_hold(writer_t *writer, uint32_t number, const program_t *program,
                     const hold_answer_t *hold)
{
    uint32_t mark = put_open(writer, number);
    if (hold->number != 0) put_hold_id(writer, hold->number); /* in training there is none */
    put_number(writer, 2, hold->kind);
    put_number(writer, 3, hold->state);
    put_purse(writer, 4, program, hold->purse);
    put_number(writer, 5, hold->points);
    if (hold->offer != NONE_32) {
        const offer_t *offer = &program->offers[hold->offer];
        put_text(writer, 6, text_of(program, offer->id_text, offer->id_length));
    }
    put_number(writer, 7, hold->uses);
    put_number(writer, 8, hold->amount_minor);
    put_text(writer, 9, hold->coupon_serial);
    put_text(writer, 10, hold->basket_id);
    put_text(writer, 11, hold->store_id);
    put_text(writer, 12, hold->till_id);
    put_number(writer, 13, hold->create_unix_ms);
    put_number(writer, 14, hold->expire_unix_ms);
    put_text(writer, 15, hold->owner);
    put_close(writer, mark);
}

static void put_receipt(writer_t *writer, uint32_t number, const receipt_id_t *receipt)
{
    uint32_t mark = put_open(writer, number);
    put_text(writer, 1, receipt->store_id);
    put_number(writer, 2, receipt->business_date);
    put_text(writer, 3, receipt->till_id);
    put_number(writer, 4, receipt->sequence);
    put_close(writer, mark);
}

static void put_wallet_offer(writer_t *writer, uint32_t number, const program_t *program,
                             bytes_t locale, uint32_t offer, const wallet_offer_t *wallet)
{
    const offer_t *record = &program->offers[offer];
    uint32_t mark = put_open(writer, number);
    put_offer(writer, 1, program, offer);
    put_number(writer, 3, wallet->activated);
    put_number(writer, 4, wallet->expire_date);
    if (wallet->is_counted) put_always(writer, 5, wallet->remaining_uses);
    put_text(writer, 6, offer_text(program, record, TEXT_NAME, locale));
    put_close(writer, mark);
}

/* By offer number, which is the order of the offer ids. */
static void put_wallet(writer_t *writer, uint32_t number, const program_t *program, bytes_t locale,
                       const wallet_offer_t *wallet, uint32_t count)
{
    uint64_t keys[WALLET_MAX];
    uint32_t key_count = 0;
    INVARIANT(count <= WALLET_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t offer = find_offer(program, wallet[i].offer_key);
        if (offer != NONE_32) keys[key_count++] = (uint64_t)offer << 16 | i;
    }
    sort_keys(keys, key_count);
    for (uint32_t i = 0; i < key_count; i++) {
        put_wallet_offer(writer, number, program, locale, (uint32_t)(keys[i] >> 16),
                         &wallet[keys[i] & 0xffff]);
    }
}

/* -------------------------------------------------------------------------- balances ---- */

/* Purse numbers by the bytes of their ids, by insertion: there are at most sixteen. */
static bool is_purse_before(const program_t *program, uint32_t left, uint32_t right)
{
    const purse_t *a = &program->purses[left - 1];
    const purse_t *b = &program->purses[right - 1];
    uint32_t size = a->id_length < b->id_length ? a->id_length : b->id_length;
    int order = memcmp(program->strings + a->id_text, program->strings + b->id_text, size);
    return order != 0 ? order < 0 : a->id_length < b->id_length;
}

static uint32_t list_purses(const program_t *program, balance_t balances[PURSES_MAX])
{
    uint32_t count = 0;
    for (uint32_t purse = 1; purse <= program->purse_count && purse <= PURSES_MAX; purse++) {
        if (program->purses[purse - 1].key == 0) continue;
        uint32_t to = count++;
        for (; to > 0 && is_purse_before(program, purse, balances[to - 1].purse); to--) {
            balances[to] = balances[to - 1];
        }
        balances[to] = (balance_t){.purse = purse, .expire_day = DAY_NEVER};
    }
    return count;
}

static void add_lot(balance_t *balance, const cell_t *cell, int32_t today)
{
    balance->held += cell->other;
    if (cell->day < today) return;
    if (activation_of(cell) > today) {
        balance->pending += cell->value;
        return;
    }
    balance->available += cell->value;
    if (cell->day == DAY_NEVER || cell->day > balance->expire_day) return;
    if (cell->day < balance->expire_day) balance->expiring = 0;
    balance->expire_day = cell->day;
    balance->expiring += cell->value;
}

uint32_t balances_of(const cell_t *group_cells, uint32_t cell_count, const program_t *program,
                     int32_t today, balance_t balances[PURSES_MAX])
{
    uint32_t count = list_purses(program, balances);
    for (uint32_t i = 0; i < count; i++) {
        balance_t *balance = &balances[i];
        for (uint32_t j = 0; j < cell_count; j++) {
            const cell_t *cell = &group_cells[j];
            if (cell->sub != balance->purse) continue;
            if (cell->kind == CELL_LOT) add_lot(balance, cell, today);
            if (cell->kind == CELL_DEBT) balance->available -= cell->value;
        }
    }
    return count;
}

/* --------------------------------------------------------------------------- answers ---- */

status_t wire_write_quote(reply_t *reply, const decision_answer_t *answer)
{
    writer_t writer = put_begin(reply);
    put_decision(&writer, 1, answer);
    return put_end(&writer, reply);
}

status_t wire_write_total(reply_t *reply, const total_answer_t *answer)
{
    writer_t writer = put_begin(reply);
    put_decision(&writer, 1, &answer->decision);
    put_text(&writer, 2, answer->token);
    put_number(&writer, 3, answer->expire_unix_ms);
    for (uint32_t i = 0; i < answer->hold_count; i++) {
        put_hold(&writer, 4, answer->decision.program, &answer->holds[i]);
    }
    put_posting(&writer, 6, &answer->posting);
    return put_end(&writer, reply);
}

status_t wire_write_commit(reply_t *reply, const commit_answer_t *answer)
{
    writer_t writer = put_begin(reply);
    put_decision(&writer, 1, &answer->decision);
    put_number(&writer, 2, answer->outcome);
    put_posting(&writer, 3, &answer->posting);
    put_balances(&writer, 4, answer->decision.program, answer->balances, answer->balance_count);
    put_text(&writer, 5, answer->receipt_capsule);
    if (answer->serials != NULL) put_issued(&writer, 6, &answer->decision, answer->serials);
    put_text(&writer, 7, answer->reversal);
    return put_end(&writer, reply);
}

/* A signed number even if it is zero. */
static void put_signed_always(writer_t *writer, uint32_t number, int64_t value)
{
    if (value == 0) put_always(writer, number, 0);
    put_signed(writer, number, value);
}

static void put_figures(writer_t *writer, uint32_t number, const changed_answer_t *answer)
{
    uint32_t mark = put_open(writer, number);
    put_always(writer, 1, answer->discount_minor);
    put_signed_always(writer, 2, answer->due_minor);
    for (uint32_t i = 0; i < answer->change_count; i++) {
        const figure_change_t *change = &answer->changes[i];
        if (change->line_id == 0) continue;
        uint32_t line = put_open(writer, 3);
        put_number(writer, 1, change->line_id);
        put_always(writer, 2, change->decided);
        put_close(writer, line);
    }
    for (uint32_t purse = 1; purse <= PURSES_MAX; purse++) {
        if (answer->points[purse] == 0) continue;
        uint32_t points = put_open(writer, 4);
        put_purse(writer, 1, answer->program, purse);
        put_signed(writer, 2, answer->points[purse]);
        put_close(writer, points);
    }
    put_close(writer, mark);
}

status_t wire_write_changed(reply_t *reply, const changed_answer_t *answer)
{
    writer_t writer = put_begin(reply);
    put_figures(&writer, 1, answer);
    for (uint32_t i = 0; i < answer->change_count; i++) {
        const figure_change_t *change = &answer->changes[i];
        bytes_t place = {(const uint8_t *)change->place, (uint32_t)strlen(change->place)};
        uint32_t mark = put_open(&writer, 2);
        put_text(&writer, 1, place);
        put_signed(&writer, 2, change->shown);
        put_signed(&writer, 3, change->decided);
        put_close(&writer, mark);
    }
    INVARIANT(writer.size <= FIGURES_CHANGED_BYTES_MAX);
    return put_end(&writer, reply);
}

static void put_reversed_line(writer_t *writer, const reversed_line_t *line)
{
    uint32_t mark = put_open(writer, 2);
    put_number(writer, 1, line->line_id);
    put_number(writer, 2, line->count);
    put_number(writer, 3, line->gross_minor);
    put_number(writer, 4, line->discount_minor);
    put_number(writer, 5, line->refund_minor);
    put_number(writer, 6, line->remaining_count);
    for (uint32_t i = 0; i < line->funded_count; i++) put_funded(writer, 7, &line->funded[i]);
    put_close(writer, mark);
}

/* A coupon that may be used again: wire enum CouponState RESTORED. */
static void put_restored(writer_t *writer, const restored_coupon_t *coupon)
{
    uint32_t mark = put_open(writer, 4);
    put_number(writer, 1, coupon->coupon_index);
    put_number(writer, 2, 4);
    put_text(writer, 4, coupon->offer_id);
    put_close(writer, mark);
}

static void put_reversed(writer_t *writer, const reversal_answer_t *answer)
{
    put_number(writer, 1, answer->refund_minor);
    for (uint32_t i = 0; i < answer->line_count; i++) put_reversed_line(writer, &answer->lines[i]);
    for (uint32_t i = 0; i < answer->points_count; i++) {
        put_points(writer, 3, answer->program, &answer->points[i]);
    }
    for (uint32_t i = 0; i < answer->coupon_count; i++) put_restored(writer, &answer->coupons[i]);
    put_exceptions(writer, 5, answer->exceptions, answer->exception_count);
    put_balances(writer, 6, answer->program, answer->balances, answer->balance_count);
    put_bytes(writer, answer->kept);
}

static void put_reversal(writer_t *writer, uint32_t number, const reversal_answer_t *answer)
{
    uint32_t mark = put_open(writer, number);
    put_reversed(writer, answer);
    put_close(writer, mark);
}

status_t wire_write_reversal(reply_t *reply, const reversal_answer_t *answer)
{
    writer_t writer = put_begin(reply);
    put_reversed(&writer, answer);
    return put_end(&writer, reply);
}

status_t wire_write_void(reply_t *reply, const reversal_answer_t *answer)
{
    writer_t writer = put_begin(reply);
    put_number(&writer, 1, answer->outcome);
    put_posting(&writer, 2, &answer->posting);
    if (answer->has_reversal) put_reversal(&writer, 3, answer);
    return put_end(&writer, reply);
}

status_t wire_write_return(reply_t *reply, const reversal_answer_t *answer)
{
    writer_t writer = put_begin(reply);
    if (answer->has_reversal) put_reversal(&writer, 1, answer);
    put_posting(&writer, 2, &answer->posting);
    put_text(&writer, 3, answer->receipt_capsule);
    return put_end(&writer, reply);
}

status_t wire_write_claim(reply_t *reply, const claim_answer_t *answer)
{
    const decision_answer_t *decision = &answer->decision;
    writer_t writer = put_begin(reply);
    put_found(&writer, 1, decision->program, decision->found, decision->found_count);
    put_awards(&writer, 2, decision, EARN_REASON_CLAIM);
    put_balances(&writer, 3, decision->program, answer->balances, answer->balance_count);
    put_posting(&writer, 4, &answer->posting);
    return put_end(&writer, reply);
}

status_t wire_write_identify(reply_t *reply, const identify_answer_t *answer)
{
    writer_t writer = put_begin(reply);
    put_found(&writer, 1, answer->program, answer->found, answer->found_count);
    put_balances(&writer, 2, answer->program, answer->balances, answer->balance_count);
    put_wallet(&writer, 3, answer->program, answer->locale, answer->wallet, answer->wallet_count);
    for (uint32_t i = 0; i < answer->hold_count; i++) {
        put_hold(&writer, 4, answer->program, &answer->holds[i]);
    }
    return put_end(&writer, reply);
}

static void put_progress(writer_t *writer, const progress_state_t *progress)
{
    uint32_t mark = put_open(writer, 13);
    put_text(writer, 1, progress->progress_id);
    put_number(writer, 2, progress->value);
    put_number(writer, 3, progress->goal);
    put_number(writer, 4, progress->times_reached);
    put_number(writer, 5, progress->window_end_date);
    put_close(writer, mark);
}

static void put_profile(writer_t *writer, const profile_item_t *profile)
{
    uint32_t mark = put_open(writer, 14);
    put_text(writer, 1, profile->name);
    put_text(writer, 2, profile->value);
    put_close(writer, mark);
}

static void put_member(writer_t *writer, uint32_t number, const member_answer_t *answer)
{
    uint32_t mark = put_open(writer, number);
    put_fixed(writer, 1, answer->member);
    put_fixed(writer, 2, answer->account_group);
    put_number(writer, 3, answer->state);
    put_tier(writer, 4, answer->program, answer->tier);
    put_number(writer, 5, answer->tier_expire_date);
    for (uint32_t i = 0; i < answer->segment_count; i++) {
        put_item(writer, 6, answer->segment_ids[i]);
    }
    for (uint32_t i = 0; i < answer->consent_count; i++) {
        put_item(writer, 7, answer->consent_ids[i]);
    }
    put_number(writer, 8, answer->birth_month_day);
    put_number(writer, 9, answer->identifier_count);
    put_fixed(writer, 10, answer->merged_into);
    put_balances(writer, 11, answer->program, answer->balances, answer->balance_count);
    put_wallet(writer, 12, answer->program, answer->locale, answer->wallet, answer->wallet_count);
    for (uint32_t i = 0; i < answer->progress_count; i++) {
        put_progress(writer, &answer->progress[i]);
    }
    for (uint32_t i = 0; i < answer->profile_count; i++) put_profile(writer, &answer->profile[i]);
    put_fixed(writer, 15, answer->referrer);
    put_close(writer, mark);
}

static void put_purse_points(writer_t *writer, uint32_t number, const member_answer_t *answer)
{
    for (uint32_t i = 0; i < answer->moved_count; i++) {
        uint32_t mark = put_open(writer, number);
        put_purse(writer, 1, answer->program, answer->moved[i].purse);
        put_signed(writer, 2, answer->moved[i].points);
        put_close(writer, mark);
    }
}

status_t wire_write_member(reply_t *reply, const member_answer_t *answer, const posting_t *posting)
{
    writer_t writer = put_begin(reply);
    put_member(&writer, 1, answer);
    if (answer->moved != NULL) put_purse_points(&writer, 2, answer);
    if (posting != NULL) put_posting(&writer, answer->moved == NULL ? 2 : 3, posting);
    return put_end(&writer, reply);
}

status_t wire_write_link(reply_t *reply, uint64_t member, const posting_t *posting)
{
    writer_t writer = put_begin(reply);
    put_fixed(&writer, 1, member);
    put_posting(&writer, 2, posting);
    return put_end(&writer, reply);
}

status_t wire_write_activate(reply_t *reply, const program_t *program, bytes_t locale,
                             const wallet_offer_t *wallet_offer, const posting_t *posting)
{
    writer_t writer = put_begin(reply);
    if (wallet_offer != NULL) {
        uint32_t offer = find_offer(program, wallet_offer->offer_key);
        if (offer != NONE_32) put_wallet_offer(&writer, 1, program, locale, offer, wallet_offer);
    }
    put_posting(&writer, 2, posting);
    return put_end(&writer, reply);
}

static void put_entry(writer_t *writer, const program_t *program, const member_entry_t *entry)
{
    uint32_t mark = put_open(writer, 1);
    put_posting(writer, 1, &entry->posting);
    put_number(writer, 2, entry->kind);
    if (entry->has_receipt) put_receipt(writer, 3, &entry->receipt);
    for (uint32_t i = 0; i < entry->points_count; i++) {
        put_points(writer, 4, program, &entry->points[i]);
    }
    put_number(writer, 5, entry->discount_minor);
    put_signed(writer, 6, entry->due_minor);
    put_text(writer, 7, entry->reason);
    put_close(writer, mark);
}

status_t wire_write_entries(reply_t *reply, const program_t *program, const member_entry_t *entries,
                            uint32_t entry_count, bytes_t next_page_token)
{
    writer_t writer = put_begin(reply);
    for (uint32_t i = 0; i < entry_count; i++) put_entry(&writer, program, &entries[i]);
    put_text(&writer, 2, next_page_token);
    return put_end(&writer, reply);
}

status_t wire_write_close(reply_t *reply, int32_t closed_date, const posting_t *posting)
{
    writer_t writer = put_begin(reply);
    put_number(&writer, 1, closed_date);
    put_posting(&writer, 2, posting);
    return put_end(&writer, reply);
}

status_t wire_write_adjust(reply_t *reply, const program_t *program, const balance_t *balances,
                           uint32_t balance_count, const posting_t *posting)
{
    writer_t writer = put_begin(reply);
    put_balances(&writer, 1, program, balances, balance_count);
    put_posting(&writer, 2, posting);
    return put_end(&writer, reply);
}

status_t wire_write_holds(reply_t *reply, const holds_answer_t *answer)
{
    writer_t writer = put_begin(reply);
    for (uint32_t i = 0; i < answer->hold_count; i++) {
        put_hold(&writer, 1, answer->program, &answer->holds[i]);
    }
    put_balances(&writer, 2, answer->program, answer->balances, answer->balance_count);
    put_posting(&writer, 3, &answer->posting);
    return put_end(&writer, reply);
}

status_t wire_write_capture(reply_t *reply, const holds_answer_t *answer)
{
    writer_t writer = put_begin(reply);
    put_hold(&writer, 1, answer->program, answer->holds);
    put_number(&writer, 2, answer->captured_points);
    put_balances(&writer, 3, answer->program, answer->balances, answer->balance_count);
    put_posting(&writer, 4, &answer->posting);
    return put_end(&writer, reply);
}

status_t wire_write_extend(reply_t *reply, const holds_answer_t *answer)
{
    writer_t writer = put_begin(reply);
    put_hold(&writer, 1, answer->program, answer->holds);
    put_posting(&writer, 2, &answer->posting);
    return put_end(&writer, reply);
}

static void put_fuel_row(writer_t *writer, const fuel_answer_t *answer, const fuel_row_t *row)
{
    uint32_t mark = put_open(writer, 2);
    put_text(writer, 1, row->sent->grade);
    put_number(writer, 2, row->sent->price_level);
    put_number(writer, 3, row->step);
    put_number(writer, 4, row->milli);
    put_number(writer, 5, row->floor);
    for (uint32_t i = row->first; i < row->first + row->count; i++) {
        const fuel_offer_t *part = &answer->offers[i];
        const offer_t *offer = &answer->program->offers[part->offer];
        uint32_t inner = put_open(writer, 6);
        put_text(writer, 1, text_of(answer->program, offer->id_text, offer->id_length));
        put_number(writer, 2, offer->version);
        put_number(writer, 3, part->step);
        put_number(writer, 4, part->milli);
        put_number(writer, 5, part->points);
        if (part->purse != 0) put_purse(writer, 6, answer->program, part->purse);
        put_close(writer, inner);
    }
    put_close(writer, mark);
}

status_t wire_write_fuel(reply_t *reply, const fuel_answer_t *answer)
{
    writer_t writer = put_begin(reply);
    if (answer->hold_count > 0) put_hold(&writer, 1, answer->program, answer->holds);
    for (uint32_t i = 0; i < answer->row_count; i++) {
        put_fuel_row(&writer, answer, &answer->rows[i]);
    }
    put_found(&writer, 3, answer->program, answer->found, answer->found_count);
    put_posting(&writer, 5, &answer->posting);
    for (uint32_t i = 1; i < answer->hold_count; i++) {
        put_hold(&writer, 6, answer->program, &answer->holds[i]);
    }
    return put_end(&writer, reply);
}

status_t wire_write_confirm(reply_t *reply, const program_t *program, const points_t *points,
                            uint32_t points_count, const balance_t *balances,
                            uint32_t balance_count, const posting_t *posting)
{
    writer_t writer = put_begin(reply);
    for (uint32_t i = 0; i < points_count; i++) {
        uint32_t mark = put_open(&writer, 1);
        put_purse(&writer, 1, program, points[i].purse);
        put_signed(&writer, 2, points[i].points);
        put_close(&writer, mark);
    }
    put_balances(&writer, 2, program, balances, balance_count);
    put_posting(&writer, 3, posting);
    return put_end(&writer, reply);
}

/* Date of a store-local minute; 0 outside of the years that dates have. */
static int32_t date_of_minute(int64_t minute)
{
    int64_t day = minute / 1440;
    return day > 0 && day < DAY_NEVER ? date_from_day((int32_t)day) : 0;
}

status_t wire_write_stop(reply_t *reply, const program_t *program, uint32_t offer, bool stopped,
                         const posting_t *posting)
{
    writer_t writer = put_begin(reply);
    const offer_t *record = &program->offers[offer];
    const bytes_t any_locale = {NULL, 0};
    uint32_t mark = put_open(&writer, 1);
    put_offer(&writer, 1, program, offer);
    put_text(&writer, 3, offer_text(program, record, TEXT_NAME, any_locale));
    if (record->schedule != NONE_32) {
        const schedule_t *schedule = &program->schedules[record->schedule];
        put_number(&writer, 4, date_of_minute(schedule->from_minute));
        put_number(&writer, 5, date_of_minute(schedule->until_minute - 1));
    }
    put_number(&writer, 6, stopped);
    put_close(&writer, mark);
    put_posting(&writer, 2, posting);
    return put_end(&writer, reply);
}
