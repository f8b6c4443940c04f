# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""What is earned. Rates, bonuses, coupons for later and referrals first, in rank order; then what
multipliers add to rates."""

from checklane.candidates cimport (
    is_identified, progress_before, ranks_before, read_referrer, run_fits,
)
from checklane.evaluate cimport consume_coupons, count_limits
from checklane.structs cimport *


cdef uint32_t order_offers(scratch_t *scratch) noexcept nogil:
    cdef uint32_t count = 0
    cdef uint32_t i, j
    for i in range(scratch.candidate_count):
        if scratch.candidates[i].offer.layer != LAYER_EARN:
            continue
        j = count
        while j > 0 and ranks_before(&scratch.candidates[i],
                                     &scratch.candidates[scratch.order[j - 1]]):
            scratch.order[j] = scratch.order[j - 1]
            j -= 1
        scratch.order[j] = i
        count += 1
    return count


cdef int32_t expiry_of(const purse_t *purse, uint32_t valid_days,
                       int32_t business_day) noexcept nogil:
    """P5: the last day, or DAY_NEVER."""
    if valid_days > 0:
        return business_day + <int32_t>valid_days
    return purse_expiry_day(purse, business_day)


cdef void award(const program_t *program, const basket_t *basket, const facts_t *facts,
                scratch_t *scratch, decision_t *decision, uint32_t number, uint32_t reason,
                int64_t points, int64_t times, int64_t units) noexcept nogil:
    cdef candidate_t *candidate = &scratch.candidates[number]
    cdef const offer_t *offer = candidate.offer
    cdef const purse_t *purse
    cdef award_t *given
    if points <= 0 or offer.purse == 0 or offer.purse > program.purse_count:
        candidate.outcome = OUTCOME_NO_SAVING
        return
    if decision.award_count == AWARDS_MAX or decision.applied_count == CANDIDATES_MAX:
        return
    purse = &program.purses[offer.purse - 1]
    given = &decision.awards[decision.award_count]
    decision.award_count += 1
    given.offer = candidate.number
    given.purse = offer.purse
    given.reason = reason
    given.activation_day = purse_active_day(purse, facts.business_day)
    given.expiry_day = expiry_of(purse, offer.valid_days, facts.business_day)
    given.points = points
    tell_applied(program, basket, facts, scratch, decision, candidate, times, units)


cdef void tell_applied(const program_t *program, const basket_t *basket, const facts_t *facts,
                       scratch_t *scratch, decision_t *decision, candidate_t *candidate,
                       int64_t times, int64_t units) noexcept nogil:
    cdef const offer_t *offer = candidate.offer
    cdef applied_t *applied
    candidate.outcome = OUTCOME_APPLIED
    candidate.flags |= CANDIDATE_APPLIED
    applied = &decision.applied[decision.applied_count]
    decision.applied_count += 1
    applied.offer = candidate.number
    applied.times = times
    applied.units = units
    applied.discount_minor = 0
    count_limits(program, facts, scratch, decision, candidate, times, units, 0, 0)
    if offer.flags & OFFER_FLAG_COUPON:
        consume_coupons(basket, scratch, decision, candidate, times)


cdef int64_t sum_fitting(const scratch_t *scratch, uint32_t number, int64_t *units) noexcept nogil:
    """What the fitting units cost now."""
    cdef int64_t amount = 0
    cdef uint32_t r
    units[0] = 0
    for r in range(scratch.run_count):
        if run_fits(scratch, number, 0, scratch.runs[r].origin):
            amount += scratch.runs[r].price_minor * scratch.runs[r].count
            units[0] += scratch.runs[r].count
    return amount


cdef void earn_rate(const program_t *program, const basket_t *basket, const facts_t *facts,
                    scratch_t *scratch, decision_t *decision, uint32_t number) noexcept nogil:
    """P2."""
    cdef const offer_t *offer = scratch.candidates[number].offer
    cdef int64_t units = 0
    cdef int64_t amount = sum_fitting(scratch, number, &units)
    cdef int64_t points = 0
    if units == 0:
        scratch.candidates[number].outcome = OUTCOME_NOT_QUALIFIED
        return
    points = multiply_round(amount, offer.reward_value, maximum(1, offer.per_minor),
                            offer.rounding)
    award(program, basket, facts, scratch, decision, number, AWARD_BASE, points, 1, units)


cdef int64_t times_of(const program_t *program, scratch_t *scratch, uint32_t number,
                      int64_t *units) noexcept nogil:
    """P3: how often a bonus is given, or a coupon issued."""
    cdef const candidate_t *candidate = &scratch.candidates[number]
    cdef const offer_t *offer = candidate.offer
    cdef int64_t times
    sum_fitting(scratch, number, units)
    times = minimum(units[0] // maximum(1, program.slots[offer.first_slot].count),
                    candidate.uses_left)
    if offer.times_max > 0:
        times = minimum(times, offer.times_max)
    if offer.flags & OFFER_FLAG_COUPON:
        times = minimum(times, candidate.coupon_count)
    if offer.flags & OFFER_FLAG_ONCE_A_VISIT:
        times = 1 if units[0] > 0 else 0
    if times == 0:
        scratch.candidates[number].outcome = OUTCOME_NOT_QUALIFIED
    return times


cdef void issue_coupons(const program_t *program, const basket_t *basket, const facts_t *facts,
                        scratch_t *scratch, decision_t *decision,
                        uint32_t number) noexcept nogil:
    """P10: what the applied offer says is all that there is; the commit names the coupons."""
    cdef int64_t units = 0
    cdef int64_t times = times_of(program, scratch, number, &units)
    if times == 0:
        return
    times = minimum(times, <int64_t>ISSUED_MAX - decision.issued_count)
    if times == 0 or decision.applied_count == CANDIDATES_MAX:
        scratch.candidates[number].outcome = OUTCOME_NO_SAVING
        return
    decision.issued_count += <uint32_t>times
    tell_applied(program, basket, facts, scratch, decision, &scratch.candidates[number], times,
                 units)


cdef void refer(const program_t *program, const basket_t *basket, const facts_t *facts,
                scratch_t *scratch, decision_t *decision, uint32_t number) noexcept nogil:
    """P11: what the applied offer says is all that there is; the commit gives the points."""
    cdef candidate_t *candidate = &scratch.candidates[number]
    cdef int64_t units = 0
    cdef int64_t referrer
    sum_fitting(scratch, number, &units)
    if units == 0:
        candidate.outcome = OUTCOME_NOT_QUALIFIED
        return
    if candidate.offer.reward_value == 0 or decision.applied_count == CANDIDATES_MAX:
        candidate.outcome = OUTCOME_NO_SAVING
        return
    referrer = read_referrer(facts)
    if referrer != REFERRER_FOUND:
        candidate.outcome = OUTCOME_NO_REFERRER if referrer == REFERRER_NONE else \
            OUTCOME_REFERRER_EXCLUDED
        return
    decision.referral_count += 1
    tell_applied(program, basket, facts, scratch, decision, candidate, 1, units)


cdef void earn_bonus(const program_t *program, const basket_t *basket, const facts_t *facts,
                     scratch_t *scratch, decision_t *decision, uint32_t number) noexcept nogil:
    """P3."""
    cdef const offer_t *offer = scratch.candidates[number].offer
    cdef int64_t units = 0
    cdef int64_t times = times_of(program, scratch, number, &units)
    if times == 0:
        return
    award(program, basket, facts, scratch, decision, number, AWARD_BONUS,
          capped_product(offer.reward_value, times), times, units)


# ------------------------------------------------------------------ multipliers (P4) ----------


cdef bint multiplies(const scratch_t *scratch, uint32_t number, uint32_t purse,
                     uint32_t run) noexcept nogil:
    cdef const offer_t *offer = scratch.candidates[number].offer
    if offer.mechanic != MECHANIC_EARN_TIMES or offer.purse != purse:
        return False
    return offer.reward_value > PARTS_PER_MINOR and run_fits(scratch, number, 0,
                                                             scratch.runs[run].origin)


cdef int64_t compound_before(const scratch_t *scratch, uint32_t count, uint32_t number,
                             uint32_t purse, uint32_t run) noexcept nogil:
    """The product of the factors before a multiplier, times FACTOR_SCALE."""
    cdef int64_t product = FACTOR_SCALE
    cdef uint32_t i
    for i in range(count):
        if scratch.order[i] == number:
            break
        if multiplies(scratch, scratch.order[i], purse, run):
            product = multiply_round(
                product, scratch.candidates[scratch.order[i]].offer.reward_value, PARTS_PER_MINOR,
                ROUNDING_FLOOR)
    return product


cdef bint is_highest(const scratch_t *scratch, uint32_t count, uint32_t number, uint32_t purse,
                     uint32_t run) noexcept nogil:
    cdef int64_t factor = scratch.candidates[number].offer.reward_value
    cdef int64_t other
    cdef bint is_behind = False
    cdef uint32_t i
    for i in range(count):
        if scratch.order[i] == number:
            is_behind = True
            continue
        if not multiplies(scratch, scratch.order[i], purse, run):
            continue
        other = scratch.candidates[scratch.order[i]].offer.reward_value
        if other > factor or (other == factor and not is_behind):
            return False
    return True


cdef int128_t extra_points(const program_t *program, const scratch_t *scratch, uint32_t count,
                           uint32_t number, uint32_t rate, int64_t *units,
                           bint *has_goods) noexcept nogil:
    """What one multiplier adds to one rate, times per * PARTS_PER_MINOR * FACTOR_SCALE."""
    cdef const offer_t *offer = scratch.candidates[number].offer
    cdef const offer_t *base = scratch.candidates[rate].offer
    cdef int128_t amount = 0
    cdef int64_t weight
    cdef uint32_t r
    for r in range(scratch.run_count):
        if not multiplies(scratch, number, base.purse, r) or \
                not run_fits(scratch, rate, 0, scratch.runs[r].origin):
            continue
        has_goods[0] = True
        weight = FACTOR_SCALE
        if program.header.multiplier_policy == MULTIPLIER_HIGHEST:
            weight = FACTOR_SCALE if is_highest(scratch, count, number, base.purse, r) else 0
        elif program.header.multiplier_policy == MULTIPLIER_COMPOUND:
            weight = compound_before(scratch, count, number, base.purse, r)
        amount += <int128_t>weight * (scratch.runs[r].price_minor * scratch.runs[r].count)
        units[0] += scratch.runs[r].count if weight > 0 else 0
    return amount * (base.reward_value * (offer.reward_value - PARTS_PER_MINOR))


cdef bint is_multiplied(const scratch_t *scratch, uint32_t rate, uint32_t number) noexcept nogil:
    return scratch.candidates[rate].offer.mechanic == MECHANIC_EARN_RATE and \
        scratch.candidates[rate].offer.purse == scratch.candidates[number].offer.purse


cdef void multiply(const program_t *program, const basket_t *basket, const facts_t *facts,
                   scratch_t *scratch, decision_t *decision, uint32_t count,
                   uint32_t number) noexcept nogil:
    """P4, rounded once over all rates: whole points and fractions over one denominator apart."""
    cdef int128_t extra, denominator
    cdef int128_t fractions = 0
    cdef int64_t common = 1
    cdef int64_t points = 0
    cdef int64_t units = 0
    cdef bint has_goods = False
    cdef int64_t per
    cdef uint32_t i
    for i in range(count):
        if is_multiplied(scratch, scratch.order[i], number):
            per = maximum(1, scratch.candidates[scratch.order[i]].offer.per_minor)
            common = capped_product(common, per // greatest_divisor(common, per))
    for i in range(count):
        if not is_multiplied(scratch, scratch.order[i], number):
            continue
        per = maximum(1, scratch.candidates[scratch.order[i]].offer.per_minor)
        extra = extra_points(program, scratch, count, number, scratch.order[i], &units,
                             &has_goods)
        denominator = <int128_t>per * (PARTS_PER_MINOR * FACTOR_SCALE)
        points += <int64_t>(extra // denominator)
        fractions += extra % denominator * (common // per)
    if not has_goods:
        scratch.candidates[number].outcome = OUTCOME_NOT_QUALIFIED
        return
    points += round_quotient(fractions, <int128_t>common * (PARTS_PER_MINOR * FACTOR_SCALE),
                             scratch.candidates[number].offer.rounding)
    award(program, basket, facts, scratch, decision, number, AWARD_MULTIPLIER, points, 1, units)


cdef void evaluate_points(const program_t *program, const basket_t *basket, const facts_t *facts,
                          scratch_t *scratch, decision_t *decision) noexcept nogil:
    cdef uint32_t count = order_offers(scratch)
    cdef uint32_t i, mechanic
    decision.award_count = 0
    decision.issued_count = 0
    decision.referral_count = 0
    for i in range(count):
        mechanic = scratch.candidates[scratch.order[i]].offer.mechanic
        if mechanic == MECHANIC_EARN_RATE:
            earn_rate(program, basket, facts, scratch, decision, scratch.order[i])
        elif mechanic == MECHANIC_EARN_BONUS:
            earn_bonus(program, basket, facts, scratch, decision, scratch.order[i])
        elif mechanic == MECHANIC_ISSUE:
            issue_coupons(program, basket, facts, scratch, decision, scratch.order[i])
        elif mechanic == MECHANIC_REFERRAL:
            refer(program, basket, facts, scratch, decision, scratch.order[i])
    for i in range(count):
        if scratch.candidates[scratch.order[i]].offer.mechanic == MECHANIC_EARN_TIMES:
            multiply(program, basket, facts, scratch, decision, count, scratch.order[i])


# ------------------------------------------------------------------ progress (G1, G2) ---------


cdef int64_t gather(const program_t *program, const scratch_t *scratch, const decision_t *decision,
                    uint32_t award_count, uint32_t number) noexcept nogil:
    """What this basket adds to a progress."""
    cdef const progress_t *progress = &program.progress[number]
    cdef const work_run_t *run
    cdef int64_t gained = 0
    cdef uint32_t i
    if progress.measure == PROGRESS_POINTS:
        for i in range(award_count):
            if decision.awards[i].purse == progress.purse:
                gained += decision.awards[i].points
        return gained
    for i in range(scratch.run_count):
        run = &scratch.runs[i]
        if not scratch.progress_bits[number][run.origin // 64] >> (run.origin % 64) & 1:
            continue
        if progress.measure == PROGRESS_SPEND:
            gained += run.price_minor * run.count
        elif progress.measure == PROGRESS_UNITS:
            gained += run.count
        elif run.count > 0:
            return 1
    return gained


cdef void reward_goal(const program_t *program, const facts_t *facts, decision_t *decision,
                      const progressed_t *came) noexcept nogil:
    """The points that a goal gives."""
    cdef const progress_t *progress = &program.progress[came.progress]
    cdef const purse_t *purse
    cdef award_t *given
    if came.times == 0 or progress.reward_points == 0 or decision.award_count == AWARDS_MAX:
        return
    purse = &program.purses[progress.reward_purse - 1]
    given = &decision.awards[decision.award_count]
    decision.award_count += 1
    given.offer = came.progress
    given.purse = progress.reward_purse
    given.reason = AWARD_GOAL
    given.activation_day = purse_active_day(purse, facts.business_day)
    given.expiry_day = expiry_of(purse, 0, facts.business_day)
    given.points = capped_product(progress.reward_points, came.times)


cdef void evaluate_progress(const program_t *program, const facts_t *facts,
                            const scratch_t *scratch, decision_t *decision) noexcept nogil:
    cdef progressed_t *came
    cdef uint32_t award_count = decision.award_count
    cdef uint32_t i
    decision.progressed_count = 0
    if not is_identified(facts):
        return
    for i in range(program.progress_count):
        came = &decision.progressed[decision.progressed_count]
        decision.progressed_count += 1
        came.progress = i
        came.reserved = 0
        came.before = progress_before(program, facts, i)
        came.gained = gather(program, scratch, decision, award_count, i)
        came.times = times_reached(&program.progress[i], came.before, came.before + came.gained)
        reward_goal(program, facts, decision, came)
