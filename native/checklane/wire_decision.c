/* A decision as the contract shows it. Everything stands in a fixed order, so that the same
 * decision gives the same bytes. */
#include "invariant.h"
#include "wire_put.h"

/* Wire enum Layer by LAYER_ of layout.h. */
static const uint8_t WIRE_LAYER[] = {
    [LAYER_ITEM] = 1,
    [LAYER_BASKET] = 2,
    [LAYER_TENDER] = 4,
    [LAYER_EARN] = 5,
    [LAYER_REDEMPTION] = 3,
};

/* Wire enums CouponState, NearMissKind, MessageAudience, ProductResolution. */
#define COUPON_CONSUMED 1
#define COUPON_KEPT 2
#define COUPON_REFUSED 3
#define REDEMPTION_TAKEN 2
#define REDEMPTION_REFUSED 3
#define NEAR_MISS_UNITS 1
#define NEAR_MISS_SPEND 2
#define AUDIENCE_RECEIPT 1
#define AUDIENCE_CASHIER 2
#define RESOLUTION_PRODUCT 1
#define RESOLUTION_DEPARTMENT 2
#define RESOLUTION_UNKNOWN 3
/* The search proves each priority class of each layer by itself. */
#define SCOPE_CLASS 1

/* Which shares lie on which line: items[first[line] .. first[line + 1]), in the order of
 * application. Numbers of shares fit 16 bits. */
typedef struct share_index {
    uint32_t first[BASKET_LINES_MAX + 1];
    uint16_t items[LINE_SHARES_MAX];
} share_index_t;
_Static_assert(LINE_SHARES_MAX <= 65536, "numbers of shares fit 16 bits");

static void index_shares(const decision_answer_t *answer, share_index_t *index)
{
    const decision_t *decision = answer->decision;
    uint32_t line_count = answer->basket->line_count;
    uint32_t filled[BASKET_LINES_MAX];
    INVARIANT(decision->share_count <= LINE_SHARES_MAX);
    memset(filled, 0, line_count * sizeof(filled[0]));
    memset(index->first, 0, (line_count + 1) * sizeof(index->first[0]));
    for (uint32_t i = 0; i < decision->share_count; i++) {
        INVARIANT(decision->shares[i].line < line_count);
        index->first[decision->shares[i].line + 1]++;
    }
    for (uint32_t i = 0; i < line_count; i++) index->first[i + 1] += index->first[i];
    for (uint32_t i = 0; i < decision->share_count; i++) {
        uint32_t line = decision->shares[i].line;
        index->items[index->first[line] + filled[line]++] = (uint16_t)i;
    }
}

static const offer_t *offer_of(const decision_answer_t *answer, const line_share_t *share)
{
    INVARIANT(share->applied < answer->decision->applied_count);
    return &answer->program->offers[answer->decision->applied[share->applied].offer];
}

/* ----------------------------------------------------------------------------- lines ---- */

static void put_line_offer(writer_t *writer, const decision_answer_t *answer,
                           const line_share_t *share)
{
    const program_t *program = answer->program;
    const offer_t *offer = offer_of(answer, share);
    const line_t *line = &answer->basket->lines[share->line];
    bool is_measured = line->measure_unit != 0;
    uint32_t mark = put_open(writer, 4);
    put_offer(writer, 1, program, answer->decision->applied[share->applied].offer);
    put_number(writer, 3, share->discount_minor);
    put_number(writer, 4, is_measured ? 0 : share->units);
    put_number(writer, 5, share->qualifying_units);
    for (uint32_t i = 0; i < offer->funding_count; i++) {
        const funding_t *funding = &program->funding[offer->first_funding + i];
        funded_t funded = {
            .funder_id = text_of(program, funding->funder_text, funding->funder_length),
            .amount_minor = funding_share(program, offer, i, share->discount_minor),
            .settlement = funding->settlement,
        };
        put_funded(writer, 6, &funded);
    }
    put_number(writer, 7, is_measured && share->units > 0 ? line->measure_milli : 0);
    put_close(writer, mark);
}

static int64_t resolution_of(const line_t *line)
{
    if (line->product != NONE_32) return RESOLUTION_PRODUCT;
    if (line->department.size != 0) return RESOLUTION_DEPARTMENT;
    return line->code != 0 ? RESOLUTION_UNKNOWN : 0;
}

/* The lines as field `number`: all, or those that were not brought back. */
static void put_lines(writer_t *writer, uint32_t number, const decision_answer_t *answer,
                      bool is_all)
{
    const basket_t *basket = answer->basket;
    uint64_t keys[BASKET_LINES_MAX];
    share_index_t shares;
    index_shares(answer, &shares);
    for (uint32_t i = 0; i < basket->line_count; i++) {
        keys[i] = (uint64_t)basket->lines[i].line_id << 16 | i;
    }
    sort_keys(keys, basket->line_count);
    for (uint32_t i = 0; i < basket->line_count; i++) {
        uint32_t index = (uint32_t)(keys[i] & 0xffff);
        const line_t *line = &basket->lines[index];
        int64_t discount_minor = answer->decision->line_discount_minor[index];
        if (!is_all && line->kind == LINE_KIND_RETURN) continue;
        uint32_t mark = put_open(writer, number);
        put_number(writer, 1, line->line_id);
        put_number(writer, 2, discount_minor);
        put_number(writer, 3, line->amount_minor - discount_minor);
        for (uint32_t j = shares.first[index]; j < shares.first[index + 1]; j++) {
            put_line_offer(writer, answer, &answer->decision->shares[shares.items[j]]);
        }
        put_number(writer, 5, resolution_of(line));
        put_close(writer, mark);
    }
}

status_t wire_write_kept(reply_t *reply, const decision_answer_t *answer)
{
    writer_t writer = put_begin(reply);
    put_lines(&writer, 7, answer, false);
    return put_end(&writer, reply);
}

/* ---------------------------------------------------------------------------- totals ---- */

/* Discounts by settlement class. An offer without funders lowers the price. */
static void sum_classes(const decision_answer_t *answer, int64_t classes[SETTLE_TENDER + 1])
{
    const program_t *program = answer->program;
    for (uint32_t i = 0; i < answer->decision->share_count; i++) {
        const line_share_t *share = &answer->decision->shares[i];
        const offer_t *offer = offer_of(answer, share);
        if (answer->basket->lines[share->line].kind == LINE_KIND_RETURN) continue;
        if (offer->funding_count == 0) classes[SETTLE_PRICE_REDUCTION] += share->discount_minor;
        for (uint32_t j = 0; j < offer->funding_count; j++) {
            uint32_t settlement = program->funding[offer->first_funding + j].settlement;
            INVARIANT(settlement <= SETTLE_TENDER);
            classes[settlement] += funding_share(program, offer, j, share->discount_minor);
        }
    }
}

static void put_totals(writer_t *writer, const decision_answer_t *answer)
{
    const decision_t *decision = answer->decision;
    int64_t classes[SETTLE_TENDER + 1] = {0};
    int64_t refund_minor = 0;
    int64_t pos_discount_minor = 0;
    for (uint32_t i = 0; i < answer->basket->line_count; i++) {
        const line_t *line = &answer->basket->lines[i];
        pos_discount_minor += line->pos_discount_minor;
        if (line->kind != LINE_KIND_RETURN) continue;
        refund_minor += line->amount_minor - decision->line_discount_minor[i];
    }
    sum_classes(answer, classes);
    uint32_t mark = put_open(writer, 2);
    put_number(writer, 1, decision->gross_minor);
    put_number(writer, 2, decision->discount_minor);
    put_number(writer, 3, decision->net_minor);
    put_number(writer, 4, refund_minor);
    put_signed(writer, 5, decision->net_minor - refund_minor);
    put_number(writer, 6, classes[SETTLE_PRICE_REDUCTION]);
    put_number(writer, 7, classes[SETTLE_THIRD_PARTY]);
    put_number(writer, 8, classes[SETTLE_TENDER]);
    put_number(writer, 9, pos_discount_minor);
    put_close(writer, mark);
}

/* ---------------------------------------------------------------------------- offers ---- */

/* What was counted for a limit before this basket. */
static int64_t counted_before(const facts_t *facts, const counted_t *counted, uint64_t offer_key)
{
    bool is_member = counted->scope == LIMIT_SCOPE_MEMBER;
    const cell_t *cells = is_member ? facts->member_cells : facts->group_cells;
    uint32_t count = is_member ? facts->member_cell_count : facts->group_cell_count;
    for (uint32_t i = 0; i < count; i++) {
        const cell_t *cell = &cells[i];
        if (cell->kind != CELL_COUNTER || cell->sub != counted->number) continue;
        if (cell->key == offer_key && cell->day == counted->window) return cell->value;
    }
    return 0;
}

/* How often the member may still use the offer, by the tightest limit; -1: no limit says. */
static int64_t remaining_uses(const decision_answer_t *answer, uint32_t offer_number)
{
    const offer_t *offer = &answer->program->offers[offer_number];
    int64_t remaining = -1;
    for (uint32_t i = 0; i < answer->decision->counted_count; i++) {
        const counted_t *counted = &answer->decision->counted[i];
        if (counted->offer != offer_number || counted->number >= offer->limit_count) continue;
        if (counted->scope == COUNT_SCOPE_COUPON) continue;
        const limit_t *limit = &answer->program->limits[offer->first_limit + counted->number];
        bool is_mine = limit->scope == LIMIT_SCOPE_MEMBER || limit->scope == LIMIT_SCOPE_GROUP;
        if (!is_mine || limit->measure != LIMIT_MEASURE_USES) continue;
        int64_t before = counted_before(answer->facts, counted, offer->key);
        int64_t left = limit->most - before - counted->given;
        if (left < 0) left = 0;
        if (remaining < 0 || left < remaining) remaining = left;
    }
    return remaining;
}

/* The coupons that an offer takes: a packed list. */
static void put_coupon_indexes(writer_t *writer, const decision_answer_t *answer, uint32_t offer)
{
    bool is_open = false;
    uint32_t mark = 0;
    for (uint32_t i = 0; i < answer->basket->coupon_count; i++) {
        if (answer->decision->coupon_offer[i] != offer) continue;
        if (!is_open) mark = put_open(writer, 7);
        is_open = true;
        put_varint(writer, i);
    }
    if (is_open) put_close(writer, mark);
}

/* The sum of a funder's parts in the shares of one applied offer, which stand together. */
static void put_applied_funding(writer_t *writer, const decision_answer_t *answer,
                                uint32_t first_share, uint32_t end_share, const offer_t *offer)
{
    const program_t *program = answer->program;
    for (uint32_t i = 0; i < offer->funding_count; i++) {
        const funding_t *funding = &program->funding[offer->first_funding + i];
        funded_t funded = {
            .funder_id = text_of(program, funding->funder_text, funding->funder_length),
            .settlement = funding->settlement,
        };
        for (uint32_t j = first_share; j < end_share; j++) {
            int64_t discount_minor = answer->decision->shares[j].discount_minor;
            funded.amount_minor += funding_share(program, offer, i, discount_minor);
        }
        put_funded(writer, 8, &funded);
    }
}

static void put_applied(writer_t *writer, const decision_answer_t *answer)
{
    const decision_t *decision = answer->decision;
    uint32_t share = 0;
    for (uint32_t i = 0; i < decision->applied_count; i++) {
        const applied_t *applied = &decision->applied[i];
        const offer_t *offer = &answer->program->offers[applied->offer];
        uint32_t first_share = share;
        while (share < decision->share_count && decision->shares[share].applied == i) share++;
        bytes_t text = offer_text(answer->program, offer, TEXT_RECEIPT, answer->locale);
        if (text.size == 0) text = offer_text(answer->program, offer, TEXT_NAME, answer->locale);
        bool is_member = answer->facts->member != 0;
        int64_t remaining = is_member ? remaining_uses(answer, applied->offer) : -1;
        uint32_t mark = put_open(writer, 3);
        put_offer(writer, 1, answer->program, applied->offer);
        put_number(writer, 3, applied->times);
        put_number(writer, 4, applied->discount_minor);
        put_text(writer, 5, text);
        INVARIANT(offer->layer <= LAYER_REDEMPTION);
        put_number(writer, 6, WIRE_LAYER[offer->layer]);
        put_coupon_indexes(writer, answer, applied->offer);
        put_applied_funding(writer, answer, first_share, share, offer);
        if (remaining >= 0) put_always(writer, 9, remaining);
        put_close(writer, mark);
    }
    INVARIANT(share == decision->share_count);
}

/* By purse, then reason, then offer; with `reason` instead of their own where that is not 0. */
void put_awards(writer_t *writer, uint32_t number, const decision_answer_t *answer, uint8_t reason)
{
    const decision_t *decision = answer->decision;
    uint64_t keys[AWARDS_MAX];
    INVARIANT(decision->award_count <= AWARDS_MAX);
    for (uint32_t i = 0; i < decision->award_count; i++) {
        const award_t *award = &decision->awards[i];
        keys[i] = (uint64_t)award->purse << 56 | (uint64_t)award->reason << 48
                  | (uint64_t)award->offer << 16 | i;
    }
    sort_keys(keys, decision->award_count);
    for (uint32_t i = 0; i < decision->award_count; i++) {
        const award_t *award = &decision->awards[keys[i] & 0xffff];
        if (award->points == 0) continue; /* of a claim: it all came back before */
        bool is_active = award->activation_day <= answer->facts->business_day;
        points_t points = {
            .offer = award->offer,
            .purse = award->purse,
            .reason = reason != 0 ? reason : award->reason,
            .activation_day = is_active ? 0 : award->activation_day,
            .expiry_day = award->expiry_day,
            .points = award->points,
        };
        if (award->reason == AWARD_GOAL) {
            points.offer = NONE_32;
            points.progress = &answer->program->progress[award->offer];
        }
        put_points(writer, number, answer->program, &points);
    }
}

/* What was asked for in points, by purse, then offer. */
static void put_redemptions(writer_t *writer, const decision_answer_t *answer)
{
    const decision_t *decision = answer->decision;
    const program_t *program = answer->program;
    uint64_t keys[SELECTIONS_MAX];
    uint8_t purses[SELECTIONS_MAX];
    INVARIANT(decision->redemption_count <= SELECTIONS_MAX);
    for (uint32_t i = 0; i < decision->redemption_count; i++) {
        const redemption_t *redemption = &decision->redemptions[i];
        uint32_t purse = redemption->purse;
        if (purse == 0) {
            purse = find_name(program, answer->basket->redemptions[redemption->request].purse_key);
        }
        purses[i] = purse == NONE_32 ? 0 : (uint8_t)purse;
        keys[i] = (uint64_t)purses[i] << 48 | (uint64_t)redemption->offer << 16 | i;
    }
    sort_keys(keys, decision->redemption_count);
    for (uint32_t i = 0; i < decision->redemption_count; i++) {
        uint32_t index = (uint32_t)(keys[i] & 0xffff);
        const redemption_t *redemption = &decision->redemptions[index];
        uint32_t mark = put_open(writer, 6);
        if (redemption->offer != NONE_32) put_offer(writer, 1, program, redemption->offer);
        if (purses[index] != 0) put_purse(writer, 3, program, purses[index]);
        put_number(writer, 4, redemption->points);
        put_number(writer, 5, redemption->amount_minor);
        put_number(writer, 6, redemption->outcome == 0 ? REDEMPTION_TAKEN : REDEMPTION_REFUSED);
        put_number(writer, 7, redemption->outcome);
        put_number(writer, 8, answer->basket->redemptions[redemption->request].line_id);
        put_close(writer, mark);
    }
}

/* ------------------------------------------------------- coupons, near misses, messages ---- */

/* The first offer that a coupon code stands for; NONE_32: no such code. */
static uint32_t find_coupon(const program_t *program, uint64_t coupon_key)
{
    for (uint64_t at = coupon_key & program->coupon_mask;; at = (at + 1) & program->coupon_mask) {
        const coupon_slot_t *slot = &program->coupons[at];
        if (slot->coupon_key == 0) return NONE_32;
        if (slot->coupon_key == coupon_key) return slot->offer;
    }
}

static int64_t discount_of(const decision_t *decision, uint32_t offer)
{
    for (uint32_t i = 0; i < decision->applied_count; i++) {
        if (decision->applied[i].offer == offer) return decision->applied[i].discount_minor;
    }
    return 0;
}

/* Why an offer was not applied, where the decision says so. */
static int64_t outcome_of(const decision_t *decision, uint32_t offer)
{
    for (uint32_t i = 0; i < decision->explained_count; i++) {
        const explained_t *explained = &decision->explained[i];
        if (explained->offer == offer && explained->outcome != OUTCOME_APPLIED) {
            return explained->outcome;
        }
    }
    return 0;
}

/* Whether a coupon that gave nothing may do so in another basket. */
static bool is_kept(uint32_t judged, bool is_known)
{
    if (judged == OUTCOME_COUPON_HELD) return false;
    return judged != 0 ? judged >= OUTCOME_NOT_QUALIFIED : is_known;
}

/* What a coupon took off: a scanned one by itself, others with all of their offer. */
static int64_t coupon_minor(const decision_answer_t *answer, uint32_t index, uint32_t offer)
{
    bool is_scanned = answer->basket->scanned[index].ai == GS1_8110;
    return is_scanned ? answer->decision->coupon_minor[index]
                      : discount_of(answer->decision, offer);
}

static void put_coupons(writer_t *writer, const decision_answer_t *answer)
{
    for (uint32_t i = 0; i < answer->basket->coupon_count; i++) {
        uint32_t offer = answer->decision->coupon_offer[i];
        bool is_consumed = offer != NONE_32;
        if (!is_consumed) offer = find_coupon(answer->program, answer->basket->coupon_keys[i]);
        bool is_known = offer != NONE_32;
        uint32_t judged = answer->decision->coupon_outcome[i];
        uint32_t mark = put_open(writer, 7);
        put_number(writer, 1, i);
        if (is_consumed) put_number(writer, 2, COUPON_CONSUMED);
        else put_number(writer, 2, is_kept(judged, is_known) ? COUPON_KEPT : COUPON_REFUSED);
        if (!is_consumed && judged != 0) put_number(writer, 3, judged);
        else if (!is_known) put_number(writer, 3, OUTCOME_UNKNOWN);
        else if (!is_consumed) put_number(writer, 3, outcome_of(answer->decision, offer));
        if (is_known) {
            const offer_t *record = &answer->program->offers[offer];
            put_text(writer, 4, text_of(answer->program, record->id_text, record->id_length));
            if (is_consumed) put_number(writer, 5, coupon_minor(answer, i, offer));
            put_text(writer, 6, offer_text(answer->program, record, TEXT_CASHIER, answer->locale));
        }
        put_close(writer, mark);
    }
}

static void put_near_misses(writer_t *writer, const decision_answer_t *answer)
{
    uint32_t count = answer->decision->near_miss_count;
    if (count > answer->basket->near_miss_limit) count = answer->basket->near_miss_limit;
    for (uint32_t i = 0; i < count; i++) {
        const near_miss_t *near = &answer->decision->near_misses[i];
        const offer_t *offer = &answer->program->offers[near->offer];
        uint32_t mark = put_open(writer, 8);
        put_offer(writer, 1, answer->program, near->offer);
        put_number(writer, 3, near->missing_units > 0 ? NEAR_MISS_UNITS : NEAR_MISS_SPEND);
        put_number(writer, 4, near->missing_units);
        put_number(writer, 5, near->missing_minor);
        put_number(writer, 8, near->gain_minor);
        put_text(writer, 9, offer_text(answer->program, offer, TEXT_NEAR_MISS, answer->locale));
        put_close(writer, mark);
    }
}

/* The receipt's and the cashier's words of each applied offer, in the order of application. */
static void put_messages(writer_t *writer, const decision_answer_t *answer)
{
    static const uint8_t kinds[2] = {TEXT_RECEIPT, TEXT_CASHIER};
    static const uint8_t audiences[2] = {AUDIENCE_RECEIPT, AUDIENCE_CASHIER};
    uint32_t count = 0;
    for (uint32_t i = 0; i < answer->decision->applied_count; i++) {
        const offer_t *offer = &answer->program->offers[answer->decision->applied[i].offer];
        for (uint32_t j = 0; j < 2; j++) {
            bytes_t text = offer_text(answer->program, offer, kinds[j], answer->locale);
            if (text.size == 0 || count == MESSAGES_MAX) continue;
            count++;
            uint32_t mark = put_open(writer, 9);
            put_number(writer, 1, audiences[j]);
            put_text(writer, 2, text);
            put_text(writer, 4, text_of(answer->program, offer->id_text, offer->id_length));
            put_close(writer, mark);
        }
    }
}

/* ------------------------------------------------------------------ how it was decided ---- */

static void put_optimality(writer_t *writer, const decision_t *decision)
{
    uint32_t mark = put_open(writer, 10);
    put_number(writer, 1, decision->optimality);
    put_number(writer, 2, SCOPE_CLASS);
    put_number(writer, 3, decision->gap_minor);
    put_number(writer, 4, (int64_t)decision->steps);
    put_close(writer, mark);
}

static void put_basis(writer_t *writer, const decision_answer_t *answer)
{
    uint32_t mark = put_open(writer, 15);
    put_text(writer, 1, (bytes_t){answer->program->hash, sizeof(answer->program->hash)});
    put_text(writer, 2, (bytes_t){answer->catalogue->hash, sizeof(answer->catalogue->hash)});
    put_number(writer, 3, SEMANTICS_VERSION);
    put_number(writer, 4, answer->basket->opened_unix_ms);
    put_close(writer, mark);
}

/* By offer number, which is the order of the offer ids. */
static void put_explanations(writer_t *writer, const decision_answer_t *answer)
{
    const decision_t *decision = answer->decision;
    uint64_t keys[CANDIDATES_MAX];
    if (answer->basket->explain == 0) return;
    INVARIANT(decision->explained_count <= CANDIDATES_MAX);
    for (uint32_t i = 0; i < decision->explained_count; i++) {
        keys[i] = (uint64_t)decision->explained[i].offer << 16 | i;
    }
    sort_keys(keys, decision->explained_count);
    for (uint32_t i = 0; i < decision->explained_count; i++) {
        const explained_t *explained = &decision->explained[keys[i] & 0xffff];
        uint32_t mark = put_open(writer, 16);
        put_offer(writer, 1, answer->program, explained->offer);
        put_number(writer, 3, explained->outcome);
        put_number(writer, 5, discount_of(decision, explained->offer));
        put_close(writer, mark);
    }
}

/* By progress number, which is the order of the progress ids. */
static void put_progressed(writer_t *writer, const decision_answer_t *answer)
{
    const program_t *program = answer->program;
    for (uint32_t i = 0; i < answer->decision->progressed_count; i++) {
        const progressed_t *came = &answer->decision->progressed[i];
        const progress_t *progress = &program->progress[came->progress];
        uint32_t mark = put_open(writer, 17);
        put_text(writer, 1, text_of(program, progress->id_text, progress->id_length));
        put_number(writer, 2, came->before);
        put_number(writer, 3, came->gained);
        put_number(writer, 4, progress->goal);
        put_number(writer, 5, came->times);
        if (came->times > 0 && progress->reward_offer != NONE_32) {
            const offer_t *offer = &program->offers[progress->reward_offer];
            put_text(writer, 6, text_of(program, offer->id_text, offer->id_length));
        }
        put_close(writer, mark);
    }
}

static void put_issued_coupon(writer_t *writer, uint32_t number, const decision_answer_t *answer,
                              uint32_t issuer, const serial_t *serial)
{
    const program_t *program = answer->program;
    const offer_more_t *more = find_more(program, issuer);
    const offer_t *opened = &program->offers[more->issued_offer];
    int32_t last_day =
        answer->facts->business_day + (int32_t)program->offers[issuer].valid_days;
    uint32_t mark = put_open(writer, number);
    put_offer(writer, 1, program, issuer);
    put_text(writer, 3, text_of(program, opened->id_text, opened->id_length));
    put_text(writer, 4, text_of(program, more->issued_code_text, more->issued_code_length));
    if (serial != NULL) put_text(writer, 5, (bytes_t){serial->digits, SERIAL_DIGITS});
    put_number(writer, 6, date_from_day(last_day));
    put_text(writer, 7, offer_text(program, opened, TEXT_NAME, answer->locale));
    put_close(writer, mark);
}

/* In the order of application. A sale that was voided before it came issues none. */
void put_issued(writer_t *writer, uint32_t number, const decision_answer_t *answer,
                const serial_t *serials)
{
    const decision_t *decision = answer->decision;
    uint32_t told = 0;
    for (uint32_t i = 0; i < decision->applied_count && told < decision->issued_count; i++) {
        const applied_t *applied = &decision->applied[i];
        if (answer->program->offers[applied->offer].mechanic != MECHANIC_ISSUE) continue;
        for (int64_t j = 0; j < applied->times; j++, told++) {
            put_issued_coupon(writer, number, answer, applied->offer,
                              serials == NULL ? NULL : &serials[told]);
        }
    }
}

/* By rank of the offers. A sale that was voided before it came gives nobody anything. */
static void put_referrals(writer_t *writer, uint32_t number, const decision_answer_t *answer)
{
    const decision_t *decision = answer->decision;
    for (uint32_t i = 0; i < decision->applied_count && decision->referral_count > 0; i++) {
        const offer_t *offer = &answer->program->offers[decision->applied[i].offer];
        if (offer->mechanic != MECHANIC_REFERRAL) continue;
        uint32_t mark = put_open(writer, number);
        put_offer(writer, 1, answer->program, decision->applied[i].offer);
        put_purse(writer, 3, answer->program, offer->purse);
        put_number(writer, 4, offer->reward_value);
        put_close(writer, mark);
    }
}

void put_decision(writer_t *writer, uint32_t number, const decision_answer_t *answer)
{
    const facts_t *facts = answer->facts;
    uint32_t mark = put_open(writer, number);
    put_lines(writer, 1, answer, true);
    put_totals(writer, answer);
    put_applied(writer, answer);
    put_awards(writer, 4, answer, 0);
    if (facts->member != 0) {
        balance_t balances[PURSES_MAX];
        uint32_t count = balances_of(facts->group_cells, facts->group_cell_count, answer->program,
                                     facts->business_day, balances);
        put_balances(writer, 5, answer->program, balances, count);
    }
    put_redemptions(writer, answer);
    put_coupons(writer, answer);
    put_near_misses(writer, answer);
    put_messages(writer, answer);
    put_optimality(writer, answer->decision);
    put_number(writer, 11, (int64_t)facts->degraded_level + 1);
    put_found(writer, 13, answer->program, answer->found, answer->found_count);
    put_exceptions(writer, 14, answer->exceptions, answer->exception_count);
    put_basis(writer, answer);
    put_explanations(writer, answer);
    put_progressed(writer, answer);
    put_signed(writer, 18, answer->decision->forgone_minor);
    put_issued(writer, 19, answer, NULL);
    put_referrals(writer, 20, answer);
    put_close(writer, mark);
}
