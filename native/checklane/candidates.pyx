# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""Candidate offers of a basket: product -> class -> slots -> offers, each judged once."""

from checklane.structs cimport *


cdef bint holds_key(const uint64_t *keys, uint32_t count, uint64_t key) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = count
    cdef uint32_t middle
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low < count and keys[low] == key


cdef bint ranks_before(const candidate_t *a, const candidate_t *b) noexcept nogil:
    cdef uint32_t a_serial = a.offer.flags & OFFER_FLAG_SERIAL
    cdef uint32_t b_serial = b.offer.flags & OFFER_FLAG_SERIAL
    if a.offer.priority != b.offer.priority:
        return a.offer.priority > b.offer.priority
    if a_serial != b_serial:
        return a_serial < b_serial
    if a.third_party_bp != b.third_party_bp:
        return a.third_party_bp > b.third_party_bp
    return a.number < b.number


cdef bint cell_is_before(const cell_t *cell, uint32_t sub, int32_t day,
                         uint64_t key) noexcept nogil:
    if cell.kind != CELL_COUNTER:
        return cell.kind < CELL_COUNTER
    if cell.sub != sub:
        return cell.sub < sub
    if cell.day != day:
        return cell.day < day
    return cell.key < key


cdef int64_t counter_value(const cell_t *cells, uint32_t count, uint32_t sub, int32_t day,
                           uint64_t key) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = count
    cdef uint32_t middle
    while low < high:
        middle = (low + high) // 2
        if cell_is_before(&cells[middle], sub, day, key):
            low = middle + 1
        else:
            high = middle
    if low == count or cells[low].kind != CELL_COUNTER or cells[low].sub != sub:
        return 0
    if cells[low].day != day or cells[low].key != key:
        return 0
    return cells[low].value


cdef int64_t counted_before(const program_t *program, const facts_t *facts, const offer_t *offer,
                            uint32_t limit) noexcept nogil:
    cdef const limit_t *rule = &program.limits[offer.first_limit + limit]
    cdef int32_t first_day = window_first_day(rule.window, facts.business_day)
    cdef shared_counter_t counter
    if rule.scope == LIMIT_SCOPE_MEMBER:
        return counter_value(facts.member_cells, facts.member_cell_count, rule.number, first_day,
                             offer.key)
    if rule.scope == LIMIT_SCOPE_GROUP:
        return counter_value(facts.group_cells, facts.group_cell_count, rule.number, first_day,
                             offer.key)
    if facts.read_shared == NULL:
        return 0
    counter.offer = offer.key
    counter.given = 0
    counter.window = first_day
    counter.scope = rule.scope
    counter.number = rule.number
    counter.reserved = 0
    return facts.read_shared(facts.shared_context, &counter)


cdef bint is_identified(const facts_t *facts) noexcept nogil:
    return facts.member != 0 and not (facts.record.flags & MEMBER_FLAG_BLOCKED)


# ------------------------------------------------------------------ checks E1 to E13 ----------


cdef uint32_t judge_time(const program_t *program, const facts_t *facts,
                         const offer_t *offer) noexcept nogil:
    """E2, E3 and E4: 0 when the offer runs at the basket's local time."""
    cdef const schedule_t *schedule
    cdef int64_t day = facts.local_minute // 1440
    cdef int64_t minute
    cdef uint32_t i
    cdef bint is_open
    if offer.schedule == NONE_32:
        return 0
    schedule = &program.schedules[offer.schedule]
    if facts.local_minute < day * 1440:
        day -= 1
    minute = facts.local_minute - day * 1440
    if facts.local_minute < schedule.from_minute:
        return OUTCOME_NOT_YET
    if facts.local_minute >= schedule.until_minute:
        return OUTCOME_ENDED
    if schedule.weekday_mask and not (
            schedule.weekday_mask >> weekday_of_day(<int32_t>day) & 1):
        return OUTCOME_NOT_THIS_HOUR
    is_open = schedule.hours_count == 0
    for i in range(schedule.hours_count):
        if schedule.hours_from[i] < schedule.hours_until[i]:
            is_open |= schedule.hours_from[i] <= minute < schedule.hours_until[i]
        else:
            is_open |= minute >= schedule.hours_from[i] or minute < schedule.hours_until[i]
    if not is_open:
        return OUTCOME_NOT_THIS_HOUR
    for i in range(schedule.blackout_count):
        if program.blackouts[schedule.first_blackout + i] == day:
            return OUTCOME_NOT_THIS_HOUR
    return 0


cdef bint asks_for_member(const program_t *program, const offer_t *offer) noexcept nogil:
    """E7: whether the offer can be had only by somebody who is identified."""
    cdef const audience_t *audience
    cdef uint32_t i, scope
    if offer.layer == LAYER_EARN and offer.mechanic != MECHANIC_ISSUE:
        return True
    if offer.layer == LAYER_REDEMPTION:
        return True
    if offer.flags & (OFFER_FLAG_WALLET | OFFER_FLAG_STAFF):
        return True
    if offer.progress != 0:
        return True
    for i in range(offer.limit_count):
        scope = program.limits[offer.first_limit + i].scope
        if scope == LIMIT_SCOPE_MEMBER or scope == LIMIT_SCOPE_GROUP or scope == LIMIT_SCOPE_CARD:
            return True
    if offer.audience == NONE_32:
        return False
    audience = &program.audiences[offer.audience]
    if audience.any[0] | audience.any[1] | audience.all[0] | audience.all[1]:
        return True
    if audience.none[0] | audience.none[1] | audience.tier_mask | audience.birthday:
        return True
    return (audience.flags & (AUDIENCE_FLAG_MEMBERS | AUDIENCE_FLAG_CONSENT
                              | AUDIENCE_FLAG_BUSINESS | AUDIENCE_FLAG_STAFF
                              | AUDIENCE_FLAG_REFERRED)) != 0


cdef int64_t read_referrer(const facts_t *facts) noexcept nogil:
    """P11: REFERRER_ of the member."""
    cdef shared_counter_t counter
    if facts.read_shared == NULL:
        return REFERRER_NONE
    counter.offer = 0
    counter.given = 0
    counter.window = 0
    counter.scope = COUNT_SCOPE_REFERRER
    counter.number = 0
    counter.reserved = 0
    return facts.read_shared(facts.shared_context, &counter)


cdef uint32_t judge_audience(const program_t *program, const facts_t *facts,
                             const offer_t *offer) noexcept nogil:
    """E8 for somebody who is identified: tier, then segments, then what else is known of them."""
    cdef const audience_t *audience
    cdef const member_record_t *record = &facts.record
    cdef civil_t today
    cdef uint32_t word
    if offer.audience == NONE_32:
        return OUTCOME_ATTRIBUTE if offer.flags & OFFER_FLAG_STAFF and not \
            record.flags & MEMBER_FLAG_STAFF else 0
    audience = &program.audiences[offer.audience]
    if audience.tier_mask and not audience.tier_mask >> record.tier & 1:
        return OUTCOME_TIER
    if audience.any[0] | audience.any[1]:
        if not (audience.any[0] & record.segments[0] | audience.any[1] & record.segments[1]):
            return OUTCOME_SEGMENT
    for word in range(2):
        if audience.all[word] & ~record.segments[word]:
            return OUTCOME_SEGMENT
        if audience.none[word] & record.segments[word]:
            return OUTCOME_SEGMENT
    if audience.flags & AUDIENCE_FLAG_CONSENT and not record.flags & MEMBER_FLAG_CONSENT:
        return OUTCOME_ATTRIBUTE
    if audience.flags & AUDIENCE_FLAG_STAFF or offer.flags & OFFER_FLAG_STAFF:
        if not record.flags & MEMBER_FLAG_STAFF:
            return OUTCOME_ATTRIBUTE
    if audience.flags & AUDIENCE_FLAG_BUSINESS and not record.flags & MEMBER_FLAG_BUSINESS:
        return OUTCOME_ATTRIBUTE
    if audience.flags & AUDIENCE_FLAG_REFERRED and read_referrer(facts) == REFERRER_NONE:
        return OUTCOME_ATTRIBUTE
    if audience.birthday == 0:
        return 0
    today = civil_of_day(<int32_t>((facts.local_minute - (facts.local_minute % 1440 + 1440) % 1440)
                                   // 1440))
    if today.month != record.birth_month:
        return OUTCOME_ATTRIBUTE
    return 0 if audience.birthday == 2 or today.day == record.birth_day else OUTCOME_ATTRIBUTE


cdef bint holds_store(const program_t *program, const facts_t *facts,
                      uint32_t store_set) noexcept nogil:
    """E5: whether a store set holds the basket's store."""
    cdef const uint64_t *stores
    cdef uint32_t number
    if store_set == NONE_32:
        return True
    if facts.store == NULL:
        return False
    number = facts.store.number
    if number // 64 >= program.header.store_set_words:
        return False
    stores = &program.store_sets[<uint64_t>store_set * program.header.store_set_words]
    return stores[number // 64] >> (number % 64) & 1


cdef uint32_t judge_place(const program_t *program, const basket_t *basket, const facts_t *facts,
                          const offer_t *offer) noexcept nogil:
    """E5 and E6."""
    if not holds_store(program, facts, offer.store_set):
        return OUTCOME_NOT_THIS_STORE
    if offer.channel_mask and not (basket.channel < 32
                                   and offer.channel_mask >> basket.channel & 1):
        return OUTCOME_NOT_THIS_CHANNEL
    return 0


cdef bint is_held_out(const facts_t *facts, const offer_t *offer) noexcept nogil:
    """E10: a keyed hash over the offer's key and the member, each eight bytes, low byte first."""
    cdef uint64_t message[2]
    if offer.control_bp == 0 or not is_identified(facts) or facts.hold_out_key == NULL:
        return False
    message[0] = offer.key
    message[1] = facts.member
    return siphash128(facts.hold_out_key, message, 16).lo % 10000 < offer.control_bp


cdef bint is_chosen(const basket_t *basket, uint64_t key) noexcept nogil:
    cdef uint32_t i
    for i in range(basket.selection_count):
        if basket.selections[i] == key:
            return True
    return False


cdef bint is_shown_before(const basket_t *basket, uint32_t coupon) noexcept nogil:
    cdef uint32_t i
    for i in range(coupon):
        if basket.coupon_keys[i] == basket.coupon_keys[coupon] and \
                basket.coupon_ids[i].lo == basket.coupon_ids[coupon].lo and \
                basket.coupon_ids[i].hi == basket.coupon_ids[coupon].hi:
            return True
    return False


cdef uint32_t used_outcome(const scratch_t *scratch, uint32_t coupon) noexcept nogil:
    if scratch.held_coupons >> coupon & 1:
        return OUTCOME_COUPON_HELD
    return OUTCOME_COUPON_USED


cdef int64_t read_coupon(const facts_t *facts, scratch_t *scratch, uint32_t coupon,
                         uint8_t scope) noexcept nogil:
    """What is known of a serialised coupon; below 0 where that has no room."""
    cdef shared_counter_t counter
    cdef int64_t given
    if facts.read_shared == NULL:
        return 0
    counter.offer = 0
    counter.given = 0
    counter.window = 0
    counter.scope = scope
    counter.number = <uint8_t>coupon
    counter.reserved = 0
    given = facts.read_shared(facts.shared_context, &counter)
    if given < 0:
        scratch.is_counters_full = True
    return given


cdef bint is_issued(const facts_t *facts, scratch_t *scratch, uint32_t coupon) noexcept nogil:
    """K3: whether a sale before issued a coupon, and that has not expired."""
    cdef int64_t last_day = read_coupon(facts, scratch, coupon, COUNT_SCOPE_ISSUED)
    if last_day > 0 and last_day >= facts.business_day:
        return True
    scratch.bad_coupons |= <uint32_t>1 << coupon
    return False


cdef bint is_used(const facts_t *facts, scratch_t *scratch,
                  uint32_t coupon) noexcept nogil:
    """K1: whether a sale before used a serialised coupon, or it is held for another basket."""
    cdef int64_t given = read_coupon(facts, scratch, coupon, COUNT_SCOPE_COUPON)
    if given > 0:
        scratch.used_coupons |= <uint32_t>1 << coupon
    if given == COUNT_COUPON_HELD:
        scratch.held_coupons |= <uint32_t>1 << coupon
    return given > 0


cdef uint32_t coupons_of(const basket_t *basket, const facts_t *facts, scratch_t *scratch,
                         const candidate_t *candidate, uint32_t *why) noexcept nogil:
    """Presented coupons that open an offer; why none does. A serialised one shown twice is one
    coupon, one that was used before or is held none."""
    cdef bint is_serial = (candidate.offer.flags & OFFER_FLAG_SERIAL) != 0
    cdef uint32_t number = candidate.number
    cdef uint32_t count = 0
    cdef uint32_t i, coupon
    why[0] = OUTCOME_COUPON_MISSING
    for i in range(scratch.coupon_pair_count):
        if scratch.coupon_pairs[i].offer != number:
            continue
        coupon = scratch.coupon_pairs[i].coupon
        if not is_serial:
            count += 1
        elif is_shown_before(basket, coupon):
            continue
        elif candidate.offer.flags & OFFER_FLAG_ISSUED and \
                not is_issued(facts, scratch, coupon):
            why[0] = OUTCOME_COUPON_INVALID
        elif not is_used(facts, scratch, coupon):
            count += 1
        elif why[0] != OUTCOME_COUPON_INVALID and why[0] != OUTCOME_COUPON_HELD:
            why[0] = used_outcome(scratch, coupon)
    return count


cdef bint is_scan_of(const gs1_coupon_t *scanned, bint is_store) noexcept nogil:
    """Whether a coupon is one of GS1 (8110) of the store or of a manufacturer; one that cannot be
    read counts as a manufacturer's."""
    cdef bint is_of_store = scanned.fault == 0 and scanned.is_store != 0
    return scanned.ai == GS1_8110 and is_store == is_of_store


cdef bint has_scan(const basket_t *basket, const offer_t *offer) noexcept nogil:
    cdef uint32_t i
    for i in range(basket.coupon_count):
        if is_scan_of(&basket.scanned[i], (offer.flags & OFFER_FLAG_STORE_COUPON) != 0):
            return True
    return False


cdef bint begins_with(const tender_t *tender, const tender_rule_t *rule) noexcept nogil:
    """Whether the card's number begins with the digits of a rule."""
    cdef uint64_t number = 0
    cdef uint32_t i
    if tender.card_bin.size < rule.bin_digits:
        return False
    for i in range(rule.bin_digits):
        number = 10 * number + tender.card_bin.at[i] - 48
    return number == rule.bin


cdef bint accepts(const program_t *program, const offer_t *offer,
                  const tender_t *tender) noexcept nogil:
    """T3: kind, scheme and first digits, each where the offer asks for it."""
    cdef const tender_rule_t *rule
    cdef uint32_t i
    cdef bint asks_scheme = False
    cdef bint asks_digits = False
    cdef bint fits_scheme = False
    cdef bint fits_digits = False
    if offer.tender_kinds and not offer.tender_kinds >> tender.kind & 1:
        return False
    for i in range(offer.tender_rule_count):
        rule = &program.tender_rules[offer.first_tender_rule + i]
        if rule.scheme_key != 0:
            asks_scheme = True
            fits_scheme |= rule.scheme_key == tender.scheme_key
        else:
            asks_digits = True
            fits_digits |= begins_with(tender, rule)
    return (fits_scheme or not asks_scheme) and (fits_digits or not asks_digits)


cdef bint has_tender(const program_t *program, const basket_t *basket,
                     const offer_t *offer) noexcept nogil:
    cdef uint32_t i
    if offer.layer != LAYER_TENDER:
        return True
    for i in range(basket.tender_count):
        if accepts(program, offer, &basket.tenders[i]):
            return True
    return False


cdef uint32_t read_limits(const program_t *program, const basket_t *basket, const facts_t *facts,
                          scratch_t *scratch, candidate_t *candidate) noexcept nogil:
    """L1 and L2: what the limits leave; E13: 0, or the outcome where nothing is left."""
    cdef const offer_t *offer = candidate.offer
    cdef const limit_t *rule
    cdef int64_t left, before
    cdef uint32_t outcome = 0
    cdef uint32_t i
    candidate.uses_left = LP_UNBOUNDED
    candidate.units_left = LP_UNBOUNDED
    candidate.money_left = LP_UNBOUNDED
    candidate.spend_left = LP_UNBOUNDED
    if candidate.flags & CANDIDATE_GRANTED:
        candidate.uses_left = granted_uses(facts, offer.key)
    for i in range(offer.limit_count):
        rule = &program.limits[offer.first_limit + i]
        before = counted_before(program, facts, offer, i)
        if before < 0:
            scratch.is_counters_full = True
        left = maximum(0, rule.most - before)
        if rule.scope != LIMIT_SCOPE_MEMBER and rule.scope != LIMIT_SCOPE_GROUP:
            left = minimum(left, basket_reach(basket))
        if left == 0 and rule.scope != LIMIT_SCOPE_GLOBAL:
            outcome = OUTCOME_LIMIT_REACHED
        elif left == 0 and outcome == 0:
            outcome = OUTCOME_BUDGET_SPENT
        if rule.measure == LIMIT_MEASURE_USES:
            candidate.uses_left = minimum(candidate.uses_left, left)
        elif rule.measure == LIMIT_MEASURE_MONEY:
            candidate.money_left = minimum(candidate.money_left, left)
        elif rule.measure == LIMIT_MEASURE_SPEND:
            candidate.spend_left = minimum(candidate.spend_left, left)
        else:
            candidate.units_left = minimum(candidate.units_left, left)
    return outcome


cdef int64_t progress_before(const program_t *program, const facts_t *facts,
                             uint32_t number) noexcept nogil:
    cdef const progress_t *progress = &program.progress[number]
    cdef cells_t cells
    cells.at = facts.group_cells
    cells.count = facts.group_cell_count
    if progress.scope == LIMIT_SCOPE_MEMBER:
        cells.at = facts.member_cells
        cells.count = facts.member_cell_count
    return progress_value(progress, cells, facts.business_day)


cdef uint32_t judge_progress(const program_t *program, const facts_t *facts,
                             const offer_t *offer) noexcept nogil:
    """G5: 0 when the value so far is what the offer asks for."""
    cdef int64_t before
    if offer.progress == 0:
        return 0
    before = progress_before(program, facts, offer.progress - 1)
    if before < offer.progress_from:
        return OUTCOME_PROGRESS
    if offer.progress_until != 0 and before >= offer.progress_until:
        return OUTCOME_PROGRESS
    if offer.progress_every != 0 and (before + 1) % offer.progress_every != 0:
        return OUTCOME_PROGRESS
    return 0


cdef int64_t granted_uses(const facts_t *facts, uint64_t key) noexcept nogil:
    """G3: uses of an offer that a progress granted and that are left."""
    cdef uint32_t i
    for i in range(facts.member_cell_count):
        if facts.member_cells[i].kind == CELL_GRANT and facts.member_cells[i].key == key:
            return facts.member_cells[i].value
    return 0


cdef bint is_in_wallet(const facts_t *facts, candidate_t *candidate) noexcept nogil:
    """E9; where the offer is there by a grant only, its flag is set."""
    if holds_key(facts.wallet, facts.wallet_count, candidate.offer.key):
        return True
    if granted_uses(facts, candidate.offer.key) <= 0:
        return False
    candidate.flags |= CANDIDATE_GRANTED
    return True


cdef bint is_for_some(const program_t *program, const offer_t *offer) noexcept nogil:
    """Whether it matters who the customer is: who is not looked up may be one or the other."""
    if offer.audience != NONE_32 and \
            program.audiences[offer.audience].flags & AUDIENCE_FLAG_NON_MEMBERS:
        return True
    return asks_for_member(program, offer)


cdef bint has_right(const facts_t *facts, const offer_t *offer) noexcept nogil:
    cdef uint32_t i
    for i in range(facts.right_count):
        if facts.rights[i].offer == offer.key:
            return True
    return False


cdef uint32_t judge_right(const program_t *program, const basket_t *basket, const facts_t *facts,
                          scratch_t *scratch, candidate_t *candidate) noexcept nogil:
    """F6: what was promised before fuelling needs its coupon and its limits, no more."""
    cdef uint32_t why = 0
    if candidate.offer.flags & OFFER_FLAG_WALLET:
        is_in_wallet(facts, candidate)
    candidate.coupon_count = coupons_of(basket, facts, scratch, candidate, &why)
    if candidate.offer.flags & OFFER_FLAG_COUPON and candidate.coupon_count == 0:
        return why
    return read_limits(program, basket, facts, scratch, candidate)


cdef bint is_claimed(const offer_t *offer) noexcept nogil:
    """P12: whether a claim gives what the offer gives."""
    return offer.layer == LAYER_EARN and offer.mechanic != MECHANIC_ISSUE and \
        offer.mechanic != MECHANIC_REFERRAL


cdef uint32_t judge(const program_t *program, const basket_t *basket, const facts_t *facts,
                    scratch_t *scratch, candidate_t *candidate) noexcept nogil:
    """The first check that fails, as OUTCOME_; 0 when all hold. E10 alone sets a flag instead."""
    cdef const offer_t *offer = candidate.offer
    cdef uint32_t why = 0
    cdef uint32_t outcome
    if scratch.earns_only and not is_claimed(offer):
        return OUTCOME_NO_SAVING
    if has_right(facts, offer):
        return judge_right(program, basket, facts, scratch, candidate)
    if holds_key(facts.stopped, facts.stopped_count, offer.key):
        return OUTCOME_STOPPED
    outcome = judge_time(program, facts, offer)
    if outcome == 0:
        outcome = judge_place(program, basket, facts, offer)
    if outcome != 0:
        return outcome
    if is_identified(facts):
        if offer.audience != NONE_32 and \
                program.audiences[offer.audience].flags & AUDIENCE_FLAG_NON_MEMBERS:
            return OUTCOME_MEMBERS_EXCLUDED
        outcome = judge_audience(program, facts, offer)
        if outcome != 0:
            return outcome
    elif facts.degraded_level != 0 and is_for_some(program, offer):
        return OUTCOME_DEGRADED
    elif asks_for_member(program, offer):
        return OUTCOME_NOT_A_MEMBER
    if offer.flags & OFFER_FLAG_WALLET and not is_in_wallet(facts, candidate):
        return OUTCOME_NOT_IN_WALLET
    if is_held_out(facts, offer):
        candidate.flags |= CANDIDATE_HELD_OUT
    candidate.coupon_count = coupons_of(basket, facts, scratch, candidate, &why)
    if offer.flags & OFFER_FLAG_COUPON and candidate.coupon_count == 0:
        outcome = why
    elif offer.mechanic == MECHANIC_SCANNED and not has_scan(basket, offer):
        outcome = OUTCOME_COUPON_MISSING
    elif offer.flags & OFFER_FLAG_CHOSEN and not is_chosen(basket, offer.key):
        outcome = OUTCOME_NOT_CHOSEN
    else:
        outcome = read_limits(program, basket, facts, scratch, candidate)
        if outcome == 0 and not has_tender(program, basket, offer):
            outcome = OUTCOME_TENDER_MISSING
        if outcome == 0:
            outcome = judge_progress(program, facts, offer)
    if candidate.flags & CANDIDATE_HELD_OUT:
        if outcome == 0:
            scratch.held_out_count += 1
            if scratch.has_held_out:
                return 0
        return OUTCOME_HELD_OUT
    return outcome


# ------------------------------------------------------------------ touching offers -----------


cdef void find_coupons(const program_t *program, const basket_t *basket,
                       scratch_t *scratch) noexcept nogil:
    """Pairs of presented coupons and the offers that they open, by coupon."""
    cdef const coupon_slot_t *slot
    cdef uint64_t at
    cdef uint32_t i
    scratch.coupon_pair_count = 0
    if program.coupons == NULL:
        return
    for i in range(basket.coupon_count):
        at = basket.coupon_keys[i] & program.coupon_mask
        while program.coupons[at].coupon_key != 0:
            slot = &program.coupons[at]
            if slot.coupon_key == basket.coupon_keys[i] and \
                    scratch.coupon_pair_count < COUPON_PAIRS_MAX:
                scratch.coupon_pairs[scratch.coupon_pair_count].offer = slot.offer
                scratch.coupon_pairs[scratch.coupon_pair_count].coupon = i
                scratch.coupon_pair_count += 1
            at = (at + 1) & program.coupon_mask


cdef void refuse(const basket_t *basket, scratch_t *scratch, uint32_t offer, uint32_t outcome,
                 touched_t *place) noexcept nogil:
    if scratch.refused_count >= TOUCHED_REFUSED_MAX:
        return
    scratch.refused_count += 1
    place.epoch = scratch.epoch
    place.offer = offer
    place.candidate = NONE_32
    if basket.explain and scratch.explained_count < CANDIDATES_MAX:
        scratch.refused[scratch.explained_count].offer = offer
        scratch.refused[scratch.explained_count].outcome = outcome
        scratch.explained_count += 1


cdef void read_more(const program_t *program, candidate_t *candidate) noexcept nogil:
    """Find the record of what few offers say."""
    cdef uint32_t low = 0
    cdef uint32_t high = program.more_count
    cdef uint32_t middle
    candidate.more = NULL
    candidate.after = NULL
    if not candidate.offer.flags & OFFER_FLAG_MORE:
        return
    while low < high:
        middle = (low + high) // 2
        if program.more[middle].offer < candidate.number:
            low = middle + 1
        else:
            high = middle
    INVARIANT(low < program.more_count)
    candidate.more = &program.more[low]
    candidate.after = program.after + candidate.more.first_after


cdef status_t touch(const program_t *program, const basket_t *basket, const facts_t *facts,
                    scratch_t *scratch, uint32_t offer, uint32_t *candidate) noexcept nogil:
    """Number of the candidate that an offer is; NONE_32 when it was refused, now or before."""
    cdef uint32_t at = <uint32_t>(mix64(offer) & (TOUCHED_SLOTS - 1))
    cdef touched_t *place
    cdef candidate_t *fresh
    cdef uint32_t outcome, i
    while scratch.touched[at].epoch == scratch.epoch:
        if scratch.touched[at].offer == offer:
            candidate[0] = scratch.touched[at].candidate
            return STATUS_OK
        at = (at + 1) & (TOUCHED_SLOTS - 1)
    place = &scratch.touched[at]
    candidate[0] = NONE_32
    if scratch.candidate_count == CANDIDATES_MAX:
        return STATUS_CANDIDATES_CEILING
    fresh = &scratch.candidates[scratch.candidate_count]
    fresh.offer = &program.offers[offer]
    fresh.number = offer
    fresh.flags = 0
    fresh.outcome = 0
    read_more(program, fresh)
    outcome = judge(program, basket, facts, scratch, fresh)
    if scratch.is_counters_full:
        return STATUS_CANDIDATES_CEILING
    if outcome != 0:
        refuse(basket, scratch, offer, outcome, place)
        return STATUS_OK
    fresh.third_party_bp = 0
    for i in range(fresh.offer.funding_count):
        if program.funding[fresh.offer.first_funding + i].settlement == SETTLE_THIRD_PARTY:
            fresh.third_party_bp += program.funding[fresh.offer.first_funding + i].share_bp
    place.epoch = scratch.epoch
    place.offer = offer
    place.candidate = scratch.candidate_count
    candidate[0] = scratch.candidate_count
    fresh.reward_value = fresh.offer.reward_value
    fresh.goal = maximum(fresh.offer.threshold_minor, fresh.offer.threshold_count)
    for i in range((fresh.offer.slot_count + fresh.offer.need_count) * scratch.run_words):
        scratch.bits[scratch.candidate_count * OFFER_SLOTS_MAX + i // scratch.run_words][
            i % scratch.run_words] = 0
    scratch.candidate_count += 1
    return STATUS_OK


cdef bint unit_fits(const program_t *program, const facts_t *facts, const candidate_t *candidate,
                    const slot_t *slot, const run_t *run) noexcept nogil:
    """B4, B6 and the slot's own range; the product is known to be in the slot."""
    cdef const offer_t *offer = candidate.offer
    cdef uint32_t zone
    if run.line_flag != slot.flags & SLOT_FLAG_KIND or run.unit_minor < slot.unit_min_minor:
        return False
    if slot.unit_max_minor and run.unit_minor > slot.unit_max_minor:
        return False
    if slot.role == SLOT_NEED:
        return True
    if offer.layer == LAYER_EARN:
        if run.flags & LINE_FLAG_NO_EARN:
            return False
    elif offer.layer == LAYER_REDEMPTION:
        if run.flags & LINE_FLAG_NO_REDEEM:
            return False
    elif run.flags & LINE_FLAG_NO_DISCOUNT:
        return False
    if offer.flags & OFFER_FLAG_REDUCED_OUT and run.flags & LINE_FLAG_REDUCED:
        return False
    if offer.source_mask and not (run.price_source < 32
                                  and offer.source_mask >> run.price_source & 1):
        return False
    if offer.per_unit and run.measure_unit != offer.per_unit:
        return False
    if offer.mechanic != MECHANIC_ROW_PRICE:
        return True
    zone = facts.store.zone if facts.store != NULL else 0
    return run.product != NONE_32 and find_row(program, candidate.number, run.product,
                                               zone) != NULL


cdef bint is_promised(const program_t *program, const facts_t *facts, uint64_t offer,
                      uint32_t line_id) noexcept nogil:
    """F5: whether a fill may have an offer."""
    cdef uint32_t i
    if program.header.fuel_policy == FUEL_ANY or facts.is_authorising:
        return True
    for i in range(facts.right_count):
        if facts.rights[i].offer == offer and facts.rights[i].line_id == line_id:
            return True
    return False


cdef bint fits_fuel(const program_t *program, const basket_t *basket, const facts_t *facts,
                    candidate_t *candidate, const run_t *run) noexcept nogil:
    """F1 and F5: grade, price level and authorisation; anything fits an offer that is not for
    fuel."""
    cdef const offer_more_t *more = candidate.more
    cdef const line_t *line
    if candidate.offer.mechanic != MECHANIC_FUEL:
        return True
    line = &basket.lines[basket.pieces[run.first_piece].line]
    if run.fuel_line_id == 0 or not more.fuel_levels >> line.fuel_level & 1:
        return False
    if more.grade_count != 0 and not holds_key(program.grades + more.first_grade,
                                               more.grade_count, line.fuel_grade):
        return False
    if not is_promised(program, facts, candidate.offer.key, run.fuel_line_id):
        candidate.flags |= CANDIDATE_AFTER_FUELLING
        return False
    return True


cdef bint counts_for_progress(const slot_t *slot, const run_t *run) noexcept nogil:
    """G1: what may earn and is in the slot's range."""
    if run.flags & LINE_FLAG_NO_EARN or run.unit_minor < slot.unit_min_minor:
        return False
    if run.line_flag != slot.flags & SLOT_FLAG_KIND:
        return False
    return slot.unit_max_minor == 0 or run.unit_minor <= slot.unit_max_minor


cdef status_t touch_slot(const program_t *program, const basket_t *basket, const facts_t *facts,
                         scratch_t *scratch, uint32_t slot_number,
                         uint32_t run) noexcept nogil:
    cdef const slot_t *slot = &program.slots[slot_number]
    cdef uint32_t candidate = NONE_32
    cdef uint32_t row
    cdef status_t status
    if slot.role == SLOT_PROGRESS:
        if counts_for_progress(slot, &basket.runs[run]):
            scratch.progress_bits[slot.count][run // 64] |= <uint64_t>1 << (run % 64)
        return STATUS_OK
    status = touch(program, basket, facts, scratch, slot.offer, &candidate)
    if status != STATUS_OK or candidate == NONE_32:
        return status
    if unit_fits(program, facts, &scratch.candidates[candidate], slot, &basket.runs[run]) and (
            slot.role == SLOT_NEED
            or fits_fuel(program, basket, facts, &scratch.candidates[candidate],
                         &basket.runs[run])):
        row = candidate * OFFER_SLOTS_MAX + slot_number - \
            scratch.candidates[candidate].offer.first_slot
        scratch.bits[row][run // 64] |= <uint64_t>1 << (run % 64)
    return STATUS_OK


# ------------------------------------------------------------------ what is measured ----------


cdef void group_codes(const basket_t *basket, scratch_t *scratch) noexcept nogil:
    """For each run of the basket the first one with the same product code."""
    cdef uint32_t r, at
    if scratch.has_code_groups:
        return
    scratch.has_code_groups = True
    for at in range(CODE_SLOTS):
        scratch.code_slots[at] = NONE_32
    for r in range(basket.run_count):
        at = <uint32_t>(mix64(basket.runs[r].code) % CODE_SLOTS)
        while scratch.code_slots[at] != NONE_32 and \
                basket.runs[scratch.code_slots[at]].code != basket.runs[r].code:
            at = (at + 1) % CODE_SLOTS
        if scratch.code_slots[at] == NONE_32:
            scratch.code_slots[at] = r
        scratch.code_group[r] = scratch.code_slots[at]


cdef void begin_marks(const basket_t *basket, scratch_t *scratch) noexcept nogil:
    cdef uint32_t i
    group_codes(basket, scratch)
    scratch.mark_epoch += 1
    if scratch.mark_epoch == 0:
        for i in range(BASKET_RUNS_MAX):
            scratch.group_mark[i] = 0
        scratch.mark_epoch = 1


cdef bint mark_code(scratch_t *scratch, uint32_t run) noexcept nogil:
    """Whether a run of the basket is the first of its product code since begin_marks."""
    cdef uint32_t group = scratch.code_group[run]
    if scratch.group_mark[group] == scratch.mark_epoch:
        return False
    scratch.group_mark[group] = scratch.mark_epoch
    scratch.group_units[group] = 0
    return True


cdef uint32_t judge_need(const program_t *program, const basket_t *basket, scratch_t *scratch,
                         uint32_t candidate, uint32_t slot) noexcept nogil:
    """E14 for one slot: on all units of the basket, as they are charged."""
    cdef const slot_t *rule = &program.slots[scratch.candidates[candidate].offer.first_slot + slot]
    cdef uint32_t measured = rule.flags >> SLOT_BASE_SHIFT & SLOT_BASE_MASK
    cdef const run_t *run
    cdef int64_t base = 0
    cdef bint is_there = False
    cdef uint32_t r
    if measured == BASE_PRODUCTS:
        begin_marks(basket, scratch)
    for r in range(basket.run_count):
        if not run_fits(scratch, candidate, slot, r):
            continue
        run = &basket.runs[r]
        is_there = True
        if measured == BASE_SPEND:
            base += run.count * run.unit_minor
        elif measured == BASE_COUNT:
            base += run.count
        elif measured == BASE_PRODUCTS:
            base += mark_code(scratch, r)
        elif run.measure_unit == rule.flags >> SLOT_UNIT_SHIFT:
            base += run.count * run.measure_milli
    if not is_there:
        return OUTCOME_NOT_QUALIFIED
    return 0 if base >= rule.count else OUTCOME_THRESHOLD


cdef void keep_met(const program_t *program, const basket_t *basket,
                   scratch_t *scratch) noexcept nogil:
    """Drop the candidates that ask for more than the basket holds (E14)."""
    cdef const offer_t *offer
    cdef uint32_t kept = 0
    cdef uint32_t outcome, c, s, i, word
    for c in range(scratch.candidate_count):
        offer = scratch.candidates[c].offer
        outcome = 0
        for s in range(offer.slot_count, offer.slot_count + offer.need_count):
            if outcome == 0:
                outcome = judge_need(program, basket, scratch, c, s)
        if outcome != 0:
            for i in range(basket.redemption_count):
                if offer.layer == LAYER_REDEMPTION and \
                        scratch.asked_offer[i] == scratch.candidates[c].number:
                    scratch.asked_outcome[i] = outcome
            if basket.explain and scratch.explained_count < CANDIDATES_MAX:
                scratch.refused[scratch.explained_count].offer = scratch.candidates[c].number
                scratch.refused[scratch.explained_count].outcome = outcome
                scratch.explained_count += 1
            continue
        if kept != c:
            scratch.candidates[kept] = scratch.candidates[c]
            for s in range(offer.slot_count):
                for word in range(scratch.run_words):
                    scratch.bits[kept * OFFER_SLOTS_MAX + s][word] = \
                        scratch.bits[c * OFFER_SLOTS_MAX + s][word]
        kept += 1
    scratch.candidate_count = kept


cdef status_t touch_asked(const program_t *program, const basket_t *basket,
                          const facts_t *facts, scratch_t *scratch) noexcept nogil:
    """R1: offers that take points are judged where the basket asks for any, goods or not; and why
    one that was asked for is none."""
    cdef candidate_t *spare
    cdef uint32_t held_out_count, offer, i
    cdef uint32_t candidate = NONE_32
    cdef status_t status
    if basket.redemption_count == 0:
        return STATUS_OK
    for i in range(program.redeemer_count):
        status = touch(program, basket, facts, scratch, program.redeemers[i], &candidate)
        if status != STATUS_OK:
            return status
    for i in range(basket.redemption_count):
        offer = NONE_32
        if basket.redemptions[i].offer_key != 0:
            offer = find_offer(program, basket.redemptions[i].offer_key)
        scratch.asked_offer[i] = offer
        scratch.asked_outcome[i] = OUTCOME_UNKNOWN
        if offer == NONE_32 or program.offers[offer].layer != LAYER_REDEMPTION:
            continue
        if scratch.candidate_count == CANDIDATES_MAX:
            return STATUS_CANDIDATES_CEILING
        spare = &scratch.candidates[scratch.candidate_count]
        spare.offer = &program.offers[offer]
        spare.number = offer
        spare.flags = 0
        held_out_count = scratch.held_out_count
        scratch.asked_outcome[i] = judge(program, basket, facts, scratch, spare)
        scratch.held_out_count = held_out_count
    return STATUS_OK


# ------------------------------------------------------------------ posting lists -------------


cdef const posting_list_t *class_of_run(const program_t *program, const basket_t *basket,
                                        uint32_t run) noexcept nogil:
    """NULL for a product that the program does not know."""
    cdef uint32_t product = basket.runs[run].product
    if product == NONE_32 or product >= program.header.product_count:
        return NULL
    return &program.classes[program.class_of_product[product]]


cdef bint is_wanted(const program_t *program, const basket_t *basket, const facts_t *facts,
                    uint32_t store_set) noexcept nogil:
    """Whether the offers of a list can run here, or somebody asks why they do not."""
    return basket.explain or holds_store(program, facts, store_set)


cdef status_t touch_lists(const program_t *program, const basket_t *basket, const facts_t *facts,
                          scratch_t *scratch, bint is_gated, uint32_t explained_most,
                          uint64_t *gated_units) noexcept nogil:
    """Touch the offers that nothing has to open, or else those that something has to, until so
    many refusals are explained. Adds up what the latter come to: a unit is a slot of theirs for a
    run."""
    cdef const posting_list_t *postings
    cdef const universal_list_t *everywhere
    cdef uint32_t run, list_number, first, count, i
    cdef status_t status
    for run in range(basket.run_count):
        postings = class_of_run(program, basket, run)
        if postings == NULL:
            continue
        gated_units[0] += postings.gated_count
        first = postings.first + (postings.count if is_gated else 0)
        count = postings.gated_count if is_gated else postings.count
        for i in range(first, first + count):
            if scratch.explained_count >= explained_most:
                return STATUS_OK
            status = touch_slot(program, basket, facts, scratch, program.postings[i], run)
            if status != STATUS_OK:
                return status
    for list_number in range(program.universal_list_count):
        everywhere = &program.universal_lists[list_number]
        if not is_wanted(program, basket, facts, everywhere.store_set):
            continue
        gated_units[0] += <uint64_t>everywhere.gated_count * basket.run_count
        first = everywhere.first + (everywhere.count if is_gated else 0)
        count = everywhere.gated_count if is_gated else everywhere.count
        for i in range(first, first + count):
            if scratch.explained_count >= explained_most:
                return STATUS_OK
            for run in range(basket.run_count):
                status = touch_slot(program, basket, facts, scratch, program.universal[i], run)
                if status != STATUS_OK:
                    return status
    return STATUS_OK


cdef bint is_gated_for(const program_t *program, const basket_t *basket, uint32_t slot,
                       uint32_t run) noexcept nogil:
    """Whether a slot of an offer that something has to open holds the product of a run."""
    cdef const posting_list_t *postings
    cdef const uint32_t *numbers
    cdef uint32_t low = 0
    cdef uint32_t high, middle
    if program.slots[slot].flags & SLOT_FLAG_UNIVERSAL:
        return True
    postings = class_of_run(program, basket, run)
    if postings == NULL:
        return False
    numbers = &program.postings[postings.first + postings.count]
    high = postings.gated_count
    while low < high:
        middle = (low + high) // 2
        if numbers[middle] < slot:
            low = middle + 1
        else:
            high = middle
    return low < postings.gated_count and numbers[low] == slot


cdef status_t touch_opened(const program_t *program, const basket_t *basket, const facts_t *facts,
                           scratch_t *scratch, uint32_t number) noexcept nogil:
    """Touch an offer that was opened, for the runs that it wants."""
    cdef const offer_t *offer
    cdef uint32_t slot, run
    cdef status_t status
    if number == NONE_32 or not program.offers[number].flags & OFFER_FLAGS_GATED:
        return STATUS_OK
    offer = &program.offers[number]
    for slot in range(offer.first_slot, offer.first_slot + offer.slot_count + offer.need_count):
        for run in range(basket.run_count):
            if not is_gated_for(program, basket, slot, run):
                continue
            status = touch_slot(program, basket, facts, scratch, slot, run)
            if status != STATUS_OK:
                return status
    return STATUS_OK


cdef status_t touch_all_opened(const program_t *program, const basket_t *basket,
                               const facts_t *facts, scratch_t *scratch) noexcept nogil:
    """Touch what wallet, grants, coupons and choices open. Whatever needs one of them is among it,
    so that nothing of the rest can apply."""
    cdef status_t status = STATUS_OK
    cdef uint32_t i
    for i in range(facts.wallet_count):
        status = touch_opened(program, basket, facts, scratch,
                              find_offer(program, facts.wallet[i]))
        if status != STATUS_OK:
            return status
    for i in range(facts.member_cell_count):
        if facts.member_cells[i].kind == CELL_GRANT:
            status = touch_opened(program, basket, facts, scratch,
                                  find_offer(program, facts.member_cells[i].key))
        if status != STATUS_OK:
            return status
    for i in range(facts.right_count):
        status = touch_opened(program, basket, facts, scratch,
                              find_offer(program, facts.rights[i].offer))
        if status != STATUS_OK:
            return status
    for i in range(scratch.coupon_pair_count):
        status = touch_opened(program, basket, facts, scratch, scratch.coupon_pairs[i].offer)
        if status != STATUS_OK:
            return status
    for i in range(basket.selection_count):
        status = touch_opened(program, basket, facts, scratch,
                              find_offer(program, basket.selections[i]))
        if status != STATUS_OK:
            return status
    return STATUS_OK


cdef status_t touch_gated(const program_t *program, const basket_t *basket, const facts_t *facts,
                          scratch_t *scratch, uint64_t gated_units) noexcept nogil:
    """Touch the offers that something has to open: all of them where they are few or where reasons
    are asked for, or else only those that were opened."""
    cdef uint64_t opened = facts.wallet_count + scratch.coupon_pair_count + basket.selection_count
    cdef uint64_t again = 0
    cdef status_t status
    if gated_units <= GATED_UNITS_FEW or gated_units <= opened * basket.run_count:
        return touch_lists(program, basket, facts, scratch, True, NONE_32, &again)
    if basket.explain:
        status = touch_lists(program, basket, facts, scratch, True, CANDIDATES_MAX, &again)
        if status != STATUS_OK:
            return status
    return touch_all_opened(program, basket, facts, scratch)


cdef status_t find_candidates(const program_t *program, const catalogue_t *catalogue,
                              const basket_t *basket, const facts_t *facts,
                              scratch_t *scratch) noexcept nogil:
    cdef uint64_t gated_units = 0
    cdef uint32_t candidate = NONE_32
    cdef uint32_t run, i
    cdef status_t status
    scratch.epoch += 1
    scratch.refused_count = 0
    scratch.explained_count = 0
    scratch.candidate_count = 0
    scratch.held_out_count = 0
    scratch.is_counters_full = False
    scratch.used_coupons = 0
    scratch.bad_coupons = 0
    scratch.held_coupons = 0
    scratch.has_code_groups = False
    scratch.catalogue = catalogue
    scratch.run_words = (basket.run_count + 63) // 64
    for i in range(program.progress_count):
        for run in range(scratch.run_words):
            scratch.progress_bits[i][run] = 0
    find_coupons(program, basket, scratch)
    if facts.degraded_level >= 2:
        return STATUS_OK
    status = touch_lists(program, basket, facts, scratch, False, NONE_32, &gated_units)
    if status == STATUS_OK and gated_units > 0:
        status = touch_gated(program, basket, facts, scratch, gated_units)
    if status != STATUS_OK:
        return status
    status = touch_asked(program, basket, facts, scratch)
    for i in range(3):
        if program.header.scan_offers[i] == 0 or basket.coupon_count == 0:
            continue
        # Its coupons are answered, whether or not a unit fits.
        status = touch(program, basket, facts, scratch, program.header.scan_offers[i] - 1,
                       &candidate)
        if status != STATUS_OK:
            return status
    keep_met(program, basket, scratch)
    return status
