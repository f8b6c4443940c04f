# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""What points pay. Requests run in the order of the basket; each sees what is left of the prices,
of the points and of what is due."""

from checklane.candidates cimport ranks_before, run_fits
from checklane.evaluate cimport (
    begin_contest, due_minor, finish_step, free_all, make_runs, or_unlimited, price_fuel,
    put_aside, take_units,
)
from checklane.structs cimport *


cdef int64_t available_points(const facts_t *facts, const decision_t *decision,
                              uint32_t purse) noexcept nogil:
    """R2: active lots less debts and what earlier requests took."""
    cdef const cell_t *cell
    cdef int64_t points = 0
    cdef uint32_t i
    for i in range(facts.group_cell_count):
        cell = &facts.group_cells[i]
        if cell.sub != purse:
            continue
        if cell.kind == CELL_DEBT:
            points -= cell.value
        elif cell.kind == CELL_LOT and cell.day >= facts.business_day and \
                activation_of(cell) <= facts.business_day:
            points += cell.value
    for i in range(decision.redemption_count):
        if decision.redemptions[i].purse == purse:
            points -= decision.redemptions[i].points
    return maximum(0, points)


cdef uint32_t find_asked(const scratch_t *scratch, const redemption_request_t *request,
                         const program_t *program) noexcept nogil:
    """R1: the candidate of a request; NONE_32 without one."""
    cdef const offer_t *offer
    cdef uint32_t best = NONE_32
    cdef uint32_t i
    for i in range(scratch.candidate_count):
        offer = scratch.candidates[i].offer
        if offer.layer != LAYER_REDEMPTION:
            continue
        if request.offer_key != 0:
            if offer.key == request.offer_key:
                return i
        elif program.purses[offer.purse - 1].key == request.purse_key:
            if best == NONE_32 or ranks_before(&scratch.candidates[i], &scratch.candidates[best]):
                best = i
    return best


cdef redemption_t *add_answer(decision_t *decision, uint32_t offer,
                              uint32_t request) noexcept nogil:
    cdef redemption_t *answer = &decision.redemptions[decision.redemption_count]
    decision.redemption_count += 1
    answer.offer = offer
    answer.request = request
    answer.purse = 0
    answer.outcome = 0
    answer.points = 0
    answer.amount_minor = 0
    return answer


cdef int64_t times_left(const candidate_t *candidate, const decision_t *decision) noexcept nogil:
    """Steps or items that limits leave."""
    cdef int64_t times = minimum(candidate.uses_left, or_unlimited(candidate.offer.times_max))
    cdef uint32_t i
    for i in range(decision.applied_count):
        if decision.applied[i].offer == candidate.number:
            times -= decision.applied[i].times
    return maximum(0, times)


cdef int64_t money_left(const basket_t *basket, const candidate_t *candidate,
                        const redemption_request_t *request,
                        const decision_t *decision) noexcept nogil:
    """R2: what is due, and what the request and the limits leave."""
    cdef int64_t most = minimum(candidate.money_left,
                                or_unlimited(candidate.offer.discount_max_minor))
    cdef uint32_t i
    for i in range(decision.applied_count):
        if decision.applied[i].offer == candidate.number:
            most -= decision.applied[i].discount_minor
    if request.amount_minor >= 0:
        most = minimum(most, request.amount_minor)
    return maximum(0, minimum(most, due_minor(basket, decision)))


cdef int64_t choose_items(const basket_t *basket, scratch_t *scratch, uint32_t candidate,
                          const redemption_request_t *request, int64_t count,
                          int64_t most) noexcept nogil:
    """R3 by item: sets aside the dearest units that are paid whole; returns how many, -1 when there
    is no room."""
    cdef work_piece_t *piece
    cdef int64_t chosen = 0
    cdef int64_t units, whole
    cdef uint32_t r, p
    for r in range(scratch.run_count):
        if scratch.runs[r].price_minor == 0 or \
                not run_fits(scratch, candidate, 0, scratch.runs[r].origin):
            continue
        for p in range(scratch.runs[r].first_piece,
                       scratch.runs[r].first_piece + scratch.runs[r].piece_count):
            piece = &scratch.pieces[p]
            if request.line_id != 0 and piece.line_id != request.line_id:
                continue
            whole = piece.count
            units = minimum(minimum(whole, count - chosen), most // piece.price_minor)
            if units > 0 and not put_aside(scratch, p, units):
                return -1
            chosen += units
            most -= units * scratch.runs[r].price_minor
            if units < whole:
                return chosen
    return chosen


cdef void allocate(scratch_t *scratch, uint32_t candidate, bint is_item) noexcept nogil:
    """All fitting units with something left; by item those that were set aside."""
    cdef uint32_t r
    for r in range(scratch.run_count):
        if is_item and scratch.runs[r].taken != PIECE_ASIDE:
            continue
        if scratch.candidates[candidate].offer.mechanic == MECHANIC_FUEL and \
                scratch.fuel_parts[r] == 0:
            continue
        if scratch.runs[r].price_minor > 0 and \
                run_fits(scratch, candidate, 0, scratch.runs[r].origin):
            take_units(&scratch.contest, 0, r, True, scratch.runs[r].count)


cdef status_t pay(const program_t *program, const basket_t *basket, const facts_t *facts,
                  scratch_t *scratch, decision_t *decision, uint32_t candidate, int64_t times,
                  int64_t money_minor) noexcept nogil:
    """Take money off the fitting units."""
    cdef contender_t *contender = &scratch.contest.contenders[0]
    begin_contest(scratch, True)
    scratch.contest.contender_count = 1
    contender.candidate = candidate
    contender.kind = 0
    contender.component = 0
    contender.times = times
    contender.alone_parts = PARTS_PER_MINOR * money_minor
    allocate(scratch, candidate, scratch.candidates[candidate].offer.flags & OFFER_FLAG_BY_ITEM)
    scratch.contest.worth_parts = contender.alone_parts
    scratch.contest.bound_parts = contender.alone_parts
    return finish_step(program, basket, facts, scratch, decision, False)


cdef int64_t left_of(const scratch_t *scratch, uint32_t candidate) noexcept nogil:
    cdef int64_t left = 0
    cdef uint32_t r
    for r in range(scratch.run_count):
        if run_fits(scratch, candidate, 0, scratch.runs[r].origin):
            left += scratch.runs[r].price_minor * scratch.runs[r].count
    return left


cdef uint32_t judge_request(const scratch_t *scratch, const decision_t *decision,
                            const basket_t *basket, uint32_t candidate,
                            int64_t points) noexcept nogil:
    """R2: why a request is refused; 0 when it is not."""
    cdef const offer_t *offer = scratch.candidates[candidate].offer
    cdef int64_t least = offer.points_step
    cdef uint32_t r
    cdef bint has_goods = False
    for r in range(scratch.run_count):
        has_goods |= run_fits(scratch, candidate, 0, scratch.runs[r].origin)
    if not offer.flags & (OFFER_FLAG_BY_ITEM | OFFER_FLAG_STEPS):
        least = multiply_round(1, offer.points_step, offer.reward_value, ROUNDING_CEIL)
    if due_minor(basket, decision) == 0:
        return OUTCOME_NOTHING_DUE
    if not has_goods and scratch.candidates[candidate].flags & CANDIDATE_AFTER_FUELLING:
        return OUTCOME_AFTER_FUELLING
    if not has_goods:
        return OUTCOME_NOT_QUALIFIED
    if left_of(scratch, candidate) == 0:
        return OUTCOME_NO_SAVING
    return OUTCOME_POINTS_SHORT if points < least else 0


cdef int64_t fuel_money(const basket_t *basket, scratch_t *scratch, uint32_t candidate,
                        int64_t steps, int64_t most) noexcept nogil:
    """F3: what so many steps take off."""
    cdef const offer_t *offer = scratch.candidates[candidate].offer
    cdef int64_t parts = price_fuel(basket, scratch, candidate,
                                    capped_product(offer.reward_value, steps))
    return minimum(most, round_quotient(parts, PARTS_PER_MINOR, offer.rounding))


cdef int64_t fuel_steps(const basket_t *basket, scratch_t *scratch, uint32_t candidate,
                        int64_t steps, int64_t most) noexcept nogil:
    """F3: the fewest steps that take off as much as that many do; more never take off less."""
    cdef int64_t money = fuel_money(basket, scratch, candidate, steps, most)
    cdef int64_t low = minimum(1, steps)
    cdef int64_t middle
    while low < steps:
        middle = low + (steps - low) // 2
        if fuel_money(basket, scratch, candidate, middle, most) == money:
            steps = middle
        else:
            low = middle + 1
    return steps


cdef int64_t fuel_points(const scratch_t *scratch, uint32_t candidate,
                         int64_t times) noexcept nogil:
    """F3: what so many steps take, whole or by the volume that the offer was for."""
    cdef const candidate_t *it = &scratch.candidates[candidate]
    cdef int64_t points = times * it.offer.points_step
    if it.offer.consume != CONSUME_BY_VOLUME or it.more.fuel_most_milli == 0:
        return points
    return multiply_round(points, scratch.fuel_milli, it.more.fuel_most_milli, ROUNDING_CEIL)


cdef status_t answer_request(const program_t *program, const basket_t *basket,
                             const facts_t *facts, scratch_t *scratch, decision_t *decision,
                             uint32_t candidate, redemption_t *answer,
                             int64_t points) noexcept nogil:
    """R3: what a request takes."""
    cdef const candidate_t *it = &scratch.candidates[candidate]
    cdef const offer_t *offer = it.offer
    cdef const redemption_request_t *request = &basket.redemptions[answer.request]
    cdef int64_t most = minimum(money_left(basket, it, request, decision),
                                left_of(scratch, candidate))
    cdef int64_t times = 1
    cdef int64_t money = 0
    cdef status_t status
    cdef uint32_t r
    if offer.mechanic == MECHANIC_FUEL:
        times = minimum(times_left(it, decision), points // offer.points_step)
        times = fuel_steps(basket, scratch, candidate, times, most)
        money = fuel_money(basket, scratch, candidate, times, most)
        answer.points = fuel_points(scratch, candidate, times)
    elif offer.flags & OFFER_FLAG_BY_ITEM:
        times = minimum(times_left(it, decision), points // offer.points_step)
        if request.count >= 0:
            times = minimum(times, request.count)
        times = choose_items(basket, scratch, candidate, request, times, most)
        if times < 0 or not make_runs(basket, scratch):
            return STATUS_CANDIDATES_CEILING
        for r in range(scratch.run_count):
            if scratch.runs[r].taken == PIECE_ASIDE:
                money += scratch.runs[r].price_minor * scratch.runs[r].count
        answer.points = times * offer.points_step
    elif offer.flags & OFFER_FLAG_STEPS:
        times = minimum(times_left(it, decision),
                        minimum(points // offer.points_step, most // offer.reward_value))
        money = times * offer.reward_value
        answer.points = times * offer.points_step
    else:
        money = minimum(most, multiply_round(points, offer.reward_value, offer.points_step,
                                             ROUNDING_FLOOR))
        answer.points = multiply_round(money, offer.points_step, offer.reward_value,
                                       ROUNDING_CEIL)
    answer.amount_minor = money
    if money == 0:
        answer.outcome = OUTCOME_NO_SAVING
        answer.points = 0
        return STATUS_OK
    status = pay(program, basket, facts, scratch, decision, candidate, times, money)
    if status == STATUS_OK and not free_all(basket, scratch):
        status = STATUS_CANDIDATES_CEILING
    return status


cdef status_t evaluate_redemptions(const program_t *program, const basket_t *basket,
                                   const facts_t *facts, scratch_t *scratch,
                                   decision_t *decision) noexcept nogil:
    cdef const redemption_request_t *request
    cdef redemption_t *answer
    cdef int64_t points
    cdef uint32_t candidate, i
    cdef status_t status
    decision.redemption_count = 0
    if not free_all(basket, scratch):
        return STATUS_CANDIDATES_CEILING
    for i in range(scratch.candidate_count):
        if scratch.candidates[i].offer.layer == LAYER_REDEMPTION:
            scratch.candidates[i].outcome = OUTCOME_NOT_CHOSEN
    for i in range(basket.redemption_count):
        request = &basket.redemptions[i]
        candidate = find_asked(scratch, request, program)
        answer = add_answer(decision, scratch.asked_offer[i], i)
        if candidate == NONE_32:
            answer.outcome = scratch.asked_outcome[i]
            continue
        answer.offer = scratch.candidates[candidate].number
        points = available_points(facts, decision, scratch.candidates[candidate].offer.purse)
        answer.purse = scratch.candidates[candidate].offer.purse
        if request.points >= 0:
            points = minimum(points, request.points)
        answer.outcome = judge_request(scratch, decision, basket, candidate, points)
        if answer.outcome != 0:
            continue
        status = answer_request(program, basket, facts, scratch, decision, candidate, answer,
                                points)
        if status != STATUS_OK:
            return status
    return STATUS_OK
