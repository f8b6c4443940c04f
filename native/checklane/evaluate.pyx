# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""What offers take off. A step is one class of competing offers, or one stackable offer; after each
step the units that it touched have new prices, and the next step sees those."""

from checklane.candidates cimport (
    accepts, begin_marks, is_scan_of, is_shown_before, is_used, mark_code, ranks_before, run_fits,
    used_outcome,
)
from checklane.resolve cimport resolve_contest
from checklane.structs cimport *


# ------------------------------------------------------------------ pieces and runs -----------


cdef int32_t compare_takers(const scratch_t *scratch, uint32_t a, uint32_t b) noexcept nogil:
    """Y6: free units first, then by the number of the last offer that took them, and so on."""
    while a != b:
        if a <= TAKEN or b <= TAKEN:
            return -1 if a < b else 1
        if scratch.takings[a].offer != scratch.takings[b].offer:
            return -1 if scratch.takings[a].offer < scratch.takings[b].offer else 1
        a = scratch.takings[a].before
        b = scratch.takings[b].before
    return 0


cdef int32_t compare_runs(const scratch_t *scratch, const work_piece_t *a,
                          const work_piece_t *b) noexcept nogil:
    """Canonical order (B2): below 0 when a stands before b, 0 in one run. The basket's runs stand
    by initial price, code, product, source, flags, measure and kind of line."""
    if a.price_minor != b.price_minor:
        return -1 if a.price_minor > b.price_minor else 1
    if a.origin != b.origin:
        return -1 if a.origin < b.origin else 1
    if a.marks != b.marks:
        return <int32_t>a.marks - <int32_t>b.marks
    return compare_takers(scratch, a.taken, b.taken) if scratch.is_apart else 0


cdef bint stands_before(const scratch_t *scratch, const work_piece_t *a,
                        const work_piece_t *b) noexcept nogil:
    cdef int32_t order = compare_runs(scratch, a, b)
    if order != 0:
        return order < 0
    if a.line_id != b.line_id:
        return a.line_id < b.line_id
    if (a.taken == TAKEN_NOT) != (b.taken == TAKEN_NOT):
        return b.taken == TAKEN_NOT
    return compare_takers(scratch, a.taken, b.taken) < 0


cdef void sort_pieces(scratch_t *scratch) noexcept nogil:
    """Shell sort with the gaps 4^k + 3 * 2^(k-1) + 1: pieces are nearly sorted most of the time."""
    cdef work_piece_t *pieces = scratch.pieces
    cdef uint32_t count = scratch.piece_count
    cdef uint32_t gaps[7]
    cdef uint32_t g, gap, i, j
    cdef work_piece_t piece
    gaps[0], gaps[1], gaps[2], gaps[3] = 4193, 1073, 281, 77
    gaps[4], gaps[5], gaps[6] = 23, 8, 1
    for g in range(7):
        gap = gaps[g]
        for i in range(gap, count):
            if not stands_before(scratch, &pieces[i], &pieces[i - gap]):
                continue
            piece = pieces[i]
            j = i
            while j >= gap and stands_before(scratch, &piece, &pieces[j - gap]):
                pieces[j] = pieces[j - gap]
                j -= gap
            pieces[j] = piece


cdef void read_product(const catalogue_t *catalogue, uint32_t product,
                       work_run_t *run) noexcept nogil:
    run.legal_min_minor = 0
    run.cost_milli = -1
    if product < catalogue.product_count:
        run.legal_min_minor = catalogue.products[product].legal_min_minor
        run.cost_milli = catalogue.products[product].cost_milli


cdef bint make_runs(const basket_t *basket, scratch_t *scratch) noexcept nogil:
    """Sort and merge the pieces, and form runs of them. False when there are too many runs."""
    cdef work_piece_t *piece
    cdef work_piece_t *last
    cdef work_run_t *run = NULL
    cdef uint32_t kept = 0
    cdef uint32_t i
    sort_pieces(scratch)
    scratch.run_count = 0
    for i in range(scratch.piece_count):
        piece = &scratch.pieces[i]
        last = &scratch.pieces[kept - 1] if kept > 0 else NULL
        if last == NULL or compare_runs(scratch, last, piece) != 0:
            if scratch.run_count == WORK_RUNS_MAX:
                return False
            run = &scratch.runs[scratch.run_count]
            scratch.run_count += 1
            run.price_minor = piece.price_minor
            run.initial_minor = basket.runs[piece.origin].unit_minor
            run.measure_milli = basket.runs[piece.origin].measure_milli
            read_product(scratch.catalogue, basket.runs[piece.origin].product, run)
            run.origin = piece.origin
            run.taken = piece.taken
            run.marks = piece.marks
            run.count = 0
            run.first_piece = kept
            run.piece_count = 0
        elif last.line == piece.line and last.taken == piece.taken:
            last.count += piece.count
            run.count += piece.count
            continue
        run.count += piece.count
        run.piece_count += 1
        scratch.pieces[kept] = piece[0]
        kept += 1
    scratch.piece_count = kept
    return True


cdef bint order_runs(const basket_t *basket, scratch_t *scratch, bint is_apart) noexcept nogil:
    """Offers that compete see some units only: those that were taken are then runs of their own.
    False when there are too many runs."""
    if scratch.is_apart == is_apart:
        return True
    scratch.is_apart = is_apart
    return make_runs(basket, scratch)


cdef uint32_t taken_by(scratch_t *scratch, uint32_t before, uint32_t offer) noexcept nogil:
    """What a unit says that an offer takes now; NONE_32: it is not taken."""
    cdef uint32_t i = scratch.taking_count
    if offer == NONE_32:
        return before
    if not scratch.keeps_takers:
        return TAKEN
    while i > TAKEN + 1:
        i -= 1
        if scratch.takings[i].before == before and scratch.takings[i].offer == offer:
            return i
    if scratch.taking_count == TAKINGS_MAX:
        scratch.is_full = True
        return TAKEN
    scratch.takings[scratch.taking_count].before = before
    scratch.takings[scratch.taking_count].offer = offer
    scratch.taking_count += 1
    return scratch.taking_count - 1


cdef bint stacks_after(const candidate_t *candidate, uint32_t offer) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = candidate.more.after_count
    cdef uint32_t middle
    while low < high:
        middle = (low + high) // 2
        if candidate.after[middle] < offer:
            low = middle + 1
        else:
            high = middle
    return low < candidate.more.after_count and candidate.after[low] == offer


cdef bint sees(const scratch_t *scratch, uint32_t candidate, uint32_t run) noexcept nogil:
    """Y2, Y3, Y6: whether a unit is there for an offer."""
    cdef const candidate_t *it = &scratch.candidates[candidate]
    cdef uint32_t taken = scratch.runs[run].taken
    if taken == TAKEN_NOT or scratch.contest.sees_taken:
        return True
    if it.more == NULL:
        return False
    while taken > TAKEN and stacks_after(it, scratch.takings[taken].offer):
        taken = scratch.takings[taken].before
    return taken == TAKEN_NOT


cdef bint begin_runs(const basket_t *basket, scratch_t *scratch) noexcept nogil:
    cdef const run_t *run
    cdef const piece_t *source
    cdef work_piece_t *piece
    cdef uint32_t r, i
    scratch.piece_count = 0
    for r in range(basket.run_count):
        run = &basket.runs[r]
        for i in range(run.piece_count):
            source = &basket.pieces[run.first_piece + i]
            piece = &scratch.pieces[scratch.piece_count]
            piece.price_minor = run.unit_minor
            piece.count = source.count
            piece.line = source.line
            piece.line_id = basket.lines[source.line].line_id
            piece.origin = r
            piece.taken = TAKEN_NOT
            piece.marks = 0
            scratch.piece_count += 1
    scratch.is_apart = True
    return make_runs(basket, scratch)


cdef bint put_aside(scratch_t *scratch, uint32_t piece, int64_t units) noexcept nogil:
    """Set units of a piece apart from the rest, until free_all. False when there is no room."""
    cdef work_piece_t *whole = &scratch.pieces[piece]
    if units == whole.count:
        whole.taken = PIECE_ASIDE
        return True
    if scratch.piece_count == WORK_PIECES_MAX:
        return False
    scratch.pieces[scratch.piece_count] = whole[0]
    scratch.pieces[scratch.piece_count].count = units
    scratch.pieces[scratch.piece_count].taken = PIECE_ASIDE
    scratch.piece_count += 1
    whole.count -= units
    return True


cdef bint free_all(const basket_t *basket, scratch_t *scratch) noexcept nogil:
    """A new layer: no unit is taken."""
    cdef uint32_t i
    cdef bint is_changed = False
    for i in range(scratch.piece_count):
        is_changed |= scratch.pieces[i].taken != TAKEN_NOT
        scratch.pieces[i].taken = TAKEN_NOT
    scratch.is_apart = True
    return make_runs(basket, scratch) if is_changed else True


# ------------------------------------------------------------------ what a unit is worth ------


cdef int64_t base_price(const offer_t *offer, const work_run_t *run) noexcept nogil:
    return run.initial_minor if offer.flags & OFFER_FLAG_INITIAL_BASE else run.price_minor


cdef int64_t floor_of(const offer_t *offer, const work_run_t *run) noexcept nogil:
    """S6: the price below which the offer takes no unit; what pays goes to the end."""
    cdef int64_t floor = maximum(offer.floor_minor, run.legal_min_minor)
    cdef int64_t selling = 1000 * (10000 - <int64_t>offer.margin_bp)
    if offer.layer == LAYER_REDEMPTION:
        return 0
    if run.cost_milli < 0:
        return floor
    if offer.flags & OFFER_FLAG_COST_FLOOR:
        floor = maximum(floor, (run.cost_milli + 999) // 1000)
    if offer.flags & OFFER_FLAG_MARGIN:
        floor = maximum(floor, (run.cost_milli * 10000 + selling - 1) // selling)
    return floor


cdef int64_t can_give(const offer_t *offer, const work_run_t *run) noexcept nogil:
    """What an offer can take off a unit at most (S6, S7)."""
    return maximum(0, minimum(run.price_minor - floor_of(offer, run),
                              or_unlimited(offer.unit_discount_max_minor)))


cdef int64_t reward_worth(const offer_t *offer, uint32_t reward, int64_t value,
                          const work_run_t *run) noexcept nogil:
    """Worth of a reward on one unit, in parts (section 4, M12)."""
    cdef int64_t price = base_price(offer, run)
    cdef int64_t money = PARTS_PER_MINOR * value
    cdef int64_t worth = 0
    if offer.per_unit:
        money = capped_product(PARTS_PER_MINOR // 1000 * value, run.measure_milli)
    if reward == REWARD_PERCENT:
        worth = price * value
    elif reward == REWARD_AMOUNT or reward == REWARD_EACH:
        worth = money
        if offer.flags & OFFER_FLAG_FACE_VALUE and \
                worth > PARTS_PER_MINOR * can_give(offer, run):
            return 0
    elif reward == REWARD_PRICE:
        worth = PARTS_PER_MINOR * price - money
    if not offer.flags & OFFER_FLAG_RESHARE:
        worth = minimum(worth, PARTS_PER_MINOR * can_give(offer, run))
    elif offer.unit_discount_max_minor > 0:
        worth = minimum(worth, PARTS_PER_MINOR * offer.unit_discount_max_minor)
    return maximum(0, worth)


cdef int64_t unit_worth(const program_t *program, const basket_t *basket, const facts_t *facts,
                        const candidate_t *candidate, uint32_t slot,
                        const work_run_t *run) noexcept nogil:
    """Worth of one unit of a run in a slot; for a group price before the price is paid."""
    cdef const offer_t *offer = candidate.offer
    cdef const row_t *row
    if offer.mechanic == MECHANIC_ROW_PRICE:
        row = find_row(program, candidate.number, basket.runs[run.origin].product,
                       facts.store.zone if facts.store != NULL else 0)
        return reward_worth(offer, REWARD_PRICE, row.price_minor, run) if row != NULL else 0
    if offer.mechanic == MECHANIC_GROUP_PRICE and offer.reward != REWARD_PERCENT:
        return PARTS_PER_MINOR * base_price(offer, run) if offer.reward == REWARD_PRICE else 0
    if offer.mechanic == MECHANIC_BUY_GET and \
            program.slots[offer.first_slot + slot].role == SLOT_BUY:
        return 0
    return reward_worth(offer, offer.reward, candidate.reward_value, run)


# ------------------------------------------------------------------ contests ------------------


cdef int64_t or_unlimited(int64_t most) noexcept nogil:
    return most if most > 0 else LP_UNBOUNDED


cdef int64_t cap_of(const program_t *program, const candidate_t *candidate) noexcept nogil:
    """Most applications in this basket; for single units most units (M7, L1)."""
    cdef const offer_t *offer = candidate.offer
    cdef int64_t units = minimum(candidate.units_left, or_unlimited(offer.units_max))
    cdef int64_t cap
    cdef int64_t each = 0
    cdef uint32_t i
    if offer.mechanic == MECHANIC_UNIT_OFF or offer.mechanic == MECHANIC_ROW_PRICE:
        cap = or_unlimited(offer.units_max)
        if offer.flags & OFFER_FLAG_COUPON and offer.units_max > 0:
            cap = capped_product(offer.units_max, candidate.coupon_count)
        return minimum(cap, candidate.units_left) if candidate.uses_left > 0 else 0
    cap = minimum(candidate.uses_left, or_unlimited(offer.times_max))
    if offer.flags & OFFER_FLAG_COUPON:
        cap = minimum(cap, candidate.coupon_count)
    if offer.mechanic == MECHANIC_CHEAPEST:
        each = offer.get_count
    else:
        for i in range(offer.slot_count):
            if program.slots[offer.first_slot + i].role != SLOT_BUY:
                each += program.slots[offer.first_slot + i].count
    return minimum(cap, units // each) if each > 0 else 0


cdef int64_t units_of_product(const program_t *program, const basket_t *basket,
                              const facts_t *facts, const candidate_t *candidate,
                              const work_run_t *run) noexcept nogil:
    """Most units of the product of a run; 0 without a ceiling."""
    cdef const row_t *row
    if candidate.offer.mechanic == MECHANIC_UNIT_OFF:
        return candidate.offer.product_units_max
    if candidate.offer.mechanic != MECHANIC_ROW_PRICE:
        return 1 if candidate.offer.flags & OFFER_FLAG_DIFFERENT else 0
    row = find_row(program, candidate.number, basket.runs[run.origin].product,
                   facts.store.zone if facts.store != NULL else 0)
    return row.units_max if row != NULL else 0


cdef uint32_t group_of(const program_t *program, const basket_t *basket, const facts_t *facts,
                       scratch_t *scratch, const candidate_t *candidate,
                       const work_run_t *run) noexcept nogil:
    """The ceiling that a run falls under: one for each product with a limit. Marks begin with the
    place."""
    cdef contest_t *contest = &scratch.contest
    cdef int64_t most = units_of_product(program, basket, facts, candidate, run)
    cdef uint32_t code
    if most == 0:
        return NONE_32
    if mark_code(scratch, run.origin):
        scratch.group_number[scratch.code_group[run.origin]] = contest.group_count
        contest.group_caps[contest.group_count] = most
        contest.group_count += 1
    code = scratch.code_group[run.origin]
    scratch.group_units[code] += run.count
    return scratch.group_number[code]


cdef bint has_product_ceilings(const offer_t *offer) noexcept nogil:
    return offer.mechanic == MECHANIC_ROW_PRICE or offer.product_units_max > 0 or \
        (offer.flags & OFFER_FLAG_DIFFERENT) != 0


cdef bint add_place(const program_t *program, const basket_t *basket, const facts_t *facts,
                    scratch_t *scratch, contender_t *contender, uint32_t slot) noexcept nogil:
    """The runs that fit a slot, in canonical order. False when the contest is full."""
    cdef contest_t *contest = &scratch.contest
    cdef const candidate_t *candidate = &scratch.candidates[contender.candidate]
    cdef const slot_t *rule = &program.slots[candidate.offer.first_slot + slot]
    cdef place_t *place = &contest.places[contest.place_count]
    cdef fitting_t *entry
    cdef int64_t worth
    cdef uint32_t r
    contest.place_count += 1
    contender.place_count += 1
    place.first_entry = contest.entry_count
    place.entry_count = 0
    place.count = 0 if contender.kind == CONTEND_UNITS else rule.count
    place.is_rewarded = rule.role != SLOT_BUY
    if has_product_ceilings(candidate.offer):
        begin_marks(basket, scratch)
    for r in range(scratch.run_count):
        if not is_usable(scratch, contender.candidate, slot, r):
            continue
        worth = unit_worth(program, basket, facts, candidate, slot, &scratch.runs[r])
        if contender.kind == CONTEND_UNITS and worth == 0:
            continue
        if contest.entry_count == ENTRIES_MAX or contest.group_count == GROUPS_MAX:
            return False
        entry = &contest.entries[contest.entry_count]
        entry.worth = worth
        entry.run = r
        entry.group = group_of(program, basket, facts, scratch, candidate, &scratch.runs[r])
        place.entry_count += 1
        contest.entry_count += 1
    if contender.kind == CONTEND_CHEAPEST:
        level_worth(contest, place)
    if contender.kind != CONTEND_UNITS and place.count <= 0:
        contender.cap = 0
    return True


cdef void level_worth(contest_t *contest, const place_t *place) noexcept nogil:
    """Cheapest-free search needs worth to fall along the canonical order. Where it does not (an
    initial base after other discounts) a unit counts as much as the best behind it; the gap is
    what that adds."""
    cdef fitting_t *entries = &contest.entries[place.first_entry]
    cdef uint32_t i = place.entry_count
    while i > 1:
        i -= 1
        entries[i - 1].worth = maximum(entries[i - 1].worth, entries[i].worth)


cdef int64_t units_in_place(const scratch_t *scratch, const place_t *place) noexcept nogil:
    cdef int64_t units = 0
    cdef uint32_t i
    for i in range(place.entry_count):
        units += scratch.runs[scratch.contest.entries[place.first_entry + i].run].count
    return units


cdef bint keep_cheapest(scratch_t *scratch, contender_t *contender) noexcept nogil:
    """M9, M12: leave in the last place the cheapest units, as many as can be rewarded. False when
    the contest is full."""
    cdef contest_t *contest = &scratch.contest
    cdef place_t *place = &contest.places[contender.first_place + contender.place_count - 1]
    cdef int64_t times = contender.cap
    cdef uint32_t p
    if contender.kind == CONTEND_UNITS:
        return keep_last(scratch, place, contender.cap)
    for p in range(contender.place_count):
        times = minimum(times, units_in_place(scratch, &contest.places[
            contender.first_place + p]) // contest.places[contender.first_place + p].count)
    return keep_last(scratch, place, times * place.count)


cdef bint keep_last(scratch_t *scratch, place_t *place, int64_t wanted) noexcept nogil:
    """Leave in a place its last units in canonical order. False when the contest is full."""
    cdef contest_t *contest = &scratch.contest
    cdef uint32_t kept = 0
    while wanted > 0 and kept < place.entry_count:
        kept += 1
        wanted -= scratch.runs[contest.entries[
            place.first_entry + place.entry_count - kept].run].count
    place.first_entry += place.entry_count - kept
    place.entry_count = kept
    if wanted >= 0:
        return True
    if contest.group_count == GROUPS_MAX:
        return False
    contest.entries[place.first_entry].group = contest.group_count
    contest.group_caps[contest.group_count] = wanted + scratch.runs[
        contest.entries[place.first_entry].run].count
    contest.group_count += 1
    return True


cdef void cap_different(scratch_t *scratch, contender_t *contender) noexcept nogil:
    """M11: so many applications that each finds different products: the units of every product,
    at most one an application, must fill them. Fewer always do where more do."""
    cdef contest_t *contest = &scratch.contest
    cdef const place_t *place = &contest.places[contender.first_place]
    cdef const fitting_t *entry
    cdef int64_t low = 0
    cdef int64_t high = minimum(contender.cap, units_in_place(scratch, place) // place.count)
    cdef int64_t times, filled
    cdef uint32_t i
    cdef uint32_t first_group = contest.group_count
    for i in range(place.entry_count):
        first_group = minimum(first_group, contest.entries[place.first_entry + i].group)
        scratch.group_left[contest.entries[place.first_entry + i].group] = 0
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + i]
        scratch.group_left[entry.group] += scratch.runs[entry.run].count
    while low < high:
        times = low + (high - low + 1) // 2
        filled = 0
        for i in range(first_group, contest.group_count):
            filled += minimum(scratch.group_left[i], times)
        if filled >= times * place.count:
            low = times
        else:
            high = times - 1
    contender.cap = low


cdef bint add_fixed_places(const program_t *program, const basket_t *basket, const facts_t *facts,
                           scratch_t *scratch, contender_t *contender) noexcept nogil:
    """M11, cheapest: the dearest unit of each of the first products, one place each. False when
    the contest is full."""
    cdef contest_t *contest = &scratch.contest
    cdef const candidate_t *candidate = &scratch.candidates[contender.candidate]
    cdef int64_t wanted = program.slots[candidate.offer.first_slot].count
    cdef place_t *place
    cdef fitting_t *entry
    cdef uint32_t r
    begin_marks(basket, scratch)
    for r in range(scratch.run_count):
        if contender.place_count == wanted:
            break
        if not is_usable(scratch, contender.candidate, 0, r) or \
                not mark_code(scratch, scratch.runs[r].origin):
            continue
        if contest.entry_count == ENTRIES_MAX:
            return False
        place = &contest.places[contest.place_count]
        contest.place_count += 1
        contender.place_count += 1
        place.first_entry = contest.entry_count
        place.entry_count = 1
        place.count = 1
        place.is_rewarded = contender.place_count == wanted
        entry = &contest.entries[contest.entry_count]
        contest.entry_count += 1
        entry.run = r
        entry.group = NONE_32
        entry.worth = 0
        if place.is_rewarded:
            entry.worth = unit_worth(program, basket, facts, candidate, 0, &scratch.runs[r])
    contender.cap = minimum(contender.cap, contender.place_count == wanted)
    return True


cdef bint add_places(const program_t *program, const basket_t *basket, const facts_t *facts,
                     scratch_t *scratch, contender_t *contender) noexcept nogil:
    """The places of a contender; False when the contest is full."""
    cdef const offer_t *offer = scratch.candidates[contender.candidate].offer
    cdef uint32_t slot
    if offer.flags & OFFER_FLAG_DIFFERENT and offer.mechanic == MECHANIC_BUY_GET:
        return add_fixed_places(program, basket, facts, scratch, contender)
    for slot in range(minimum(offer.slot_count, OFFER_SLOTS_MAX)):
        if not add_place(program, basket, facts, scratch, contender, slot):
            return False
        if contender.kind != CONTEND_APPLICATIONS:
            break
    if offer.flags & OFFER_FLAG_DIFFERENT:
        contender.group_rule = GROUPS_A_TIME
        cap_different(scratch, contender)
    if offer.flags & OFFER_FLAG_CHEAPEST_GET and not keep_cheapest(scratch, contender):
        return False
    if contender.kind == CONTEND_CHEAPEST and \
            not 0 < contender.get < scratch.contest.places[contender.first_place].count:
        contender.cap = 0
    return True


cdef int64_t price_of_group(const program_t *program, const offer_t *offer) noexcept nogil:
    """What an application costs, in parts; below 0 an amount that it takes off (M4, M10)."""
    cdef int64_t units = 0
    cdef uint32_t slot
    if offer.mechanic != MECHANIC_GROUP_PRICE or offer.reward == REWARD_PERCENT:
        return 0
    if offer.reward == REWARD_AMOUNT:
        return -PARTS_PER_MINOR * offer.reward_value
    for slot in range(offer.slot_count):
        units += program.slots[offer.first_slot + slot].count
    # Below its floor no unit goes, so the group costs at least the floor of all its units.
    return PARTS_PER_MINOR * maximum(offer.reward_value, units * offer.floor_minor)


cdef bint add_contender(const program_t *program, const basket_t *basket, const facts_t *facts,
                        scratch_t *scratch, uint32_t candidate) noexcept nogil:
    cdef contest_t *contest = &scratch.contest
    cdef const offer_t *offer = scratch.candidates[candidate].offer
    cdef contender_t *contender = &contest.contenders[contest.contender_count]
    contest.contender_count += 1
    contender.candidate = candidate
    contender.kind = CONTEND_APPLICATIONS
    if offer.mechanic == MECHANIC_UNIT_OFF or offer.mechanic == MECHANIC_ROW_PRICE:
        contender.kind = CONTEND_UNITS
    elif offer.mechanic == MECHANIC_CHEAPEST:
        contender.kind = CONTEND_CHEAPEST
    contender.first_place = contest.place_count
    contender.place_count = 0
    contender.get = offer.get_count
    contender.times = 0
    contender.group_rule = GROUPS_FIXED
    contender.cap = cap_of(program, &scratch.candidates[candidate])
    contender.price_parts = price_of_group(program, offer)
    if not choose_step(program, basket, scratch, candidate):
        contender.cap = 0
    return add_places(program, basket, facts, scratch, contender)


cdef void begin_contest(scratch_t *scratch, bint sees_taken) noexcept nogil:
    cdef contest_t *contest = &scratch.contest
    contest.contender_count = 0
    contest.place_count = 0
    contest.entry_count = 0
    contest.group_count = 0
    contest.allocation_count = 0
    contest.component_count = 0
    contest.is_full = False
    contest.sees_taken = sees_taken


cdef uint32_t mark_of(const offer_t *offer) noexcept nogil:
    """K2: the kind of coupon that opens an offer, as it is left on the units."""
    if offer.flags & OFFER_FLAG_MANUFACTURER:
        return MARK_MANUFACTURER
    return MARK_STORE if offer.flags & OFFER_FLAG_STORE_COUPON else 0


# ------------------------------------------------------------------ thresholds (M6) -----------


cdef bint is_usable(const scratch_t *scratch, uint32_t candidate, uint32_t slot,
                    uint32_t run) noexcept nogil:
    if not run_fits(scratch, candidate, slot, scratch.runs[run].origin):
        return False
    if scratch.runs[run].marks != 0 and not scratch.ignores_marks and \
            scratch.runs[run].marks & mark_of(scratch.candidates[candidate].offer):
        return False
    return sees(scratch, candidate, run)


cdef int64_t base_reached(const basket_t *basket, scratch_t *scratch,
                          uint32_t candidate) noexcept nogil:
    """What the units of the qualifier come to, in what the offer measures (M6, M12)."""
    cdef const offer_t *offer = scratch.candidates[candidate].offer
    cdef const work_run_t *run
    cdef int64_t base = 0
    cdef uint32_t r
    if offer.base == BASE_PRODUCTS:
        begin_marks(basket, scratch)
    for r in range(scratch.run_count):
        if not is_usable(scratch, candidate, 0, r):
            continue
        run = &scratch.runs[r]
        if offer.base == BASE_SPEND:
            base += run.count * base_price(offer, run)
        elif offer.base == BASE_COUNT:
            base += run.count
        elif offer.base == BASE_PRODUCTS:
            base += mark_code(scratch, run.origin)
        elif basket.runs[run.origin].measure_unit == offer.base_unit:
            base += run.count * run.measure_milli
    return base


cdef bint choose_step(const program_t *program, const basket_t *basket, scratch_t *scratch,
                      uint32_t candidate) noexcept nogil:
    """The last step that is reached gives the reward; False when none is. True without steps."""
    cdef candidate_t *it = &scratch.candidates[candidate]
    cdef const step_t *step
    cdef int64_t base
    cdef uint32_t i
    if it.offer.step_count == 0:
        return True
    base = base_reached(basket, scratch, candidate)
    step = &program.steps[it.offer.first_step]
    it.goal = step.from_
    it.reward_value = step.reward_value
    for i in range(it.offer.step_count):
        if base >= step[i].from_:
            it.reward_value = step[i].reward_value
    return base >= it.goal


cdef int64_t threshold_times(const program_t *program, const basket_t *basket, scratch_t *scratch,
                             uint32_t candidate) noexcept nogil:
    """How often the threshold is reached, at most as often as the offer may apply."""
    cdef const candidate_t *it = &scratch.candidates[candidate]
    cdef const offer_t *offer = it.offer
    cdef int64_t cap = minimum(it.uses_left, or_unlimited(offer.times_max))
    if not choose_step(program, basket, scratch, candidate):
        return 0
    if offer.flags & OFFER_FLAG_COUPON:
        cap = minimum(cap, it.coupon_count)
    if offer.reward != REWARD_AMOUNT or offer.step_count > 0:
        cap = minimum(cap, 1)
    return minimum(cap, base_reached(basket, scratch, candidate) // maximum(1, it.goal))


cdef bint rewards_whole(const offer_t *offer) noexcept nogil:
    """Whether a threshold takes its reward off all rewarded units together."""
    return offer.reward == REWARD_AMOUNT or offer.reward == REWARD_PRICE


cdef int64_t reward_units(const basket_t *basket, scratch_t *scratch, uint32_t candidate,
                          int64_t *left, int64_t *together) noexcept nogil:
    """Take the units that a threshold rewards (M14, S7); returns what they are worth each for
    itself, what can be taken off them and what they cost. run_demand counts them by run."""
    cdef const candidate_t *it = &scratch.candidates[candidate]
    cdef const offer_t *offer = it.offer
    cdef const work_run_t *run
    cdef int64_t wanted = or_unlimited(offer.rewarded_max)
    cdef int64_t worth = 0
    cdef int64_t unit, units, most
    cdef uint32_t i, r, code
    if offer.product_units_max > 0:
        begin_marks(basket, scratch)
    for i in range(scratch.run_count):
        r = scratch.run_count - 1 - i if offer.flags & OFFER_FLAG_CHEAPEST_GET else i
        run = &scratch.runs[r]
        scratch.run_demand[r] = 0
        if not is_usable(scratch, candidate, 1, r):
            continue
        most = can_give(offer, run)
        unit = most if rewards_whole(offer) else reward_worth(
            offer, offer.reward, it.reward_value, run)
        if unit <= 0:
            continue
        units = minimum(run.count, wanted)
        if offer.product_units_max > 0:
            mark_code(scratch, run.origin)
            code = scratch.code_group[run.origin]
            units = minimum(units, offer.product_units_max - scratch.group_units[code])
            scratch.group_units[code] += units
        wanted -= units
        scratch.run_demand[r] = units
        worth += unit * units
        left[0] += most * units
        together[0] += run.price_minor * units
        take_units(&scratch.contest, 1, r, True, units)
    return worth


cdef int64_t threshold_worth(const candidate_t *candidate, int64_t worth, int64_t left,
                             int64_t together, int64_t times) noexcept nogil:
    """In parts: rewards on units as they are, on the whole at most what can be taken off."""
    if candidate.offer.reward == REWARD_AMOUNT:
        return PARTS_PER_MINOR * minimum(left, capped_product(candidate.reward_value, times))
    if candidate.offer.reward == REWARD_PRICE:
        return PARTS_PER_MINOR * maximum(0, minimum(left, together - candidate.reward_value))
    return worth


cdef void resolve_threshold(const program_t *program, const basket_t *basket,
                            const facts_t *facts, scratch_t *scratch,
                            uint32_t candidate) noexcept nogil:
    """Answer a contest of one threshold offer."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[0]
    cdef const offer_t *offer = scratch.candidates[candidate].offer
    cdef int64_t worth = 0
    cdef int64_t left = 0
    cdef int64_t together = 0
    cdef uint32_t r
    contest.contender_count = 1
    contender.candidate = candidate
    contender.kind = 0
    contender.component = 0
    contender.times = threshold_times(program, basket, scratch, candidate)
    contender.is_qualified = contender.times > 0
    if contender.times > 0:
        worth = reward_units(basket, scratch, candidate, &left, &together)
        if offer.flags & OFFER_FLAG_FACE_VALUE and offer.reward == REWARD_AMOUNT:
            contender.times = minimum(
                contender.times, left // maximum(1, scratch.candidates[candidate].reward_value))
        worth = threshold_worth(&scratch.candidates[candidate], worth, left, together,
                                contender.times)
        if offer.flags & OFFER_FLAG_GIFT:
            contender.is_qualified = has_units(scratch, candidate, 1)
        for r in range(scratch.run_count):
            if is_usable(scratch, candidate, 0, r):
                take_units(contest, 0, r, False, scratch.runs[r].count - scratch.run_demand[r])
    if worth == 0:
        contender.times = 0
    contender.alone_parts = worth
    contest.worth_parts = worth
    contest.bound_parts = worth


cdef bint has_units(const scratch_t *scratch, uint32_t candidate, uint32_t slot) noexcept nogil:
    cdef uint32_t r
    for r in range(scratch.run_count):
        if is_usable(scratch, candidate, slot, r):
            return True
    return False


# ------------------------------------------------------------------ tenders (T1, T2) ----------


cdef int64_t due_minor(const basket_t *basket, const decision_t *decision) noexcept nogil:
    cdef int64_t due = 0
    cdef int64_t left
    cdef uint32_t i
    for i in range(basket.line_count):
        left = basket.lines[i].amount_minor - decision.line_discount_minor[i]
        due += -left if basket.lines[i].kind == LINE_KIND_RETURN else left
    return maximum(0, due)


cdef int64_t left_of_lines(const basket_t *basket, const decision_t *decision,
                           const tender_t *tender) noexcept nogil:
    cdef int64_t left = 0
    cdef uint32_t i
    for i in range(basket.line_count):
        if tender.lines[i // 64] >> (i % 64) & 1 and basket.lines[i].kind != LINE_KIND_RETURN:
            left += basket.lines[i].amount_minor - decision.line_discount_minor[i]
    return left


cdef void settle_tenders(const basket_t *basket, scratch_t *scratch,
                         const decision_t *decision) noexcept nogil:
    """T1: what each tender pays of what is due now."""
    cdef const tender_t *tender
    cdef int64_t rest
    cdef uint32_t i
    scratch.due_minor = due_minor(basket, decision)
    rest = scratch.due_minor
    for i in range(basket.tender_count):
        rest -= maximum(0, basket.tenders[i].amount_minor)
    rest = maximum(0, rest)
    for i in range(basket.tender_count):
        tender = &basket.tenders[i]
        scratch.tender_minor[i] = tender.amount_minor
        if tender.amount_minor < 0:
            scratch.tender_minor[i] = rest
            rest = 0
        if tender.has_lines:
            scratch.tender_minor[i] = minimum(scratch.tender_minor[i],
                                              left_of_lines(basket, decision, tender))


cdef int64_t tender_base(const program_t *program, const basket_t *basket,
                         const scratch_t *scratch, uint32_t candidate) noexcept nogil:
    """What accepted tenders pay of the fitting units."""
    cdef int64_t paid = 0
    cdef int64_t left = 0
    cdef uint32_t i, r
    for i in range(basket.tender_count):
        if accepts(program, scratch.candidates[candidate].offer, &basket.tenders[i]):
            paid += scratch.tender_minor[i]
    for r in range(scratch.run_count):
        if is_usable(scratch, candidate, 0, r):
            left += scratch.runs[r].count * scratch.runs[r].price_minor
    return minimum(left, minimum(paid, scratch.due_minor))


cdef void resolve_tender(const program_t *program, const basket_t *basket, scratch_t *scratch,
                         uint32_t candidate) noexcept nogil:
    """Answer a contest of one tender offer."""
    cdef contest_t *contest = &scratch.contest
    cdef const offer_t *offer = scratch.candidates[candidate].offer
    cdef contender_t *contender = &contest.contenders[0]
    cdef int64_t base = tender_base(program, basket, scratch, candidate)
    cdef int64_t left = 0
    cdef int64_t above
    cdef uint32_t r
    contest.contender_count = 1
    contender.candidate = candidate
    contender.kind = 0
    contender.component = 0
    contender.times = 1 if base > 0 and base >= offer.threshold_minor else 0
    contender.is_qualified = contender.times > 0
    for r in range(scratch.run_count):
        above = can_give(offer, &scratch.runs[r])
        if contender.times > 0 and above > 0 and is_usable(scratch, candidate, 0, r):
            take_units(contest, 0, r, True, scratch.runs[r].count)
            left += above * scratch.runs[r].count
    contender.alone_parts = base * offer.reward_value
    if offer.reward == REWARD_AMOUNT:
        contender.alone_parts = PARTS_PER_MINOR * minimum(base, offer.reward_value)
    contender.alone_parts = minimum(contender.alone_parts, PARTS_PER_MINOR * left)
    contest.worth_parts = contender.alone_parts if contender.times > 0 else 0
    contest.bound_parts = contest.worth_parts


cdef bint is_pooled(const offer_t *offer) noexcept nogil:
    """The worth is of all units together, shared in proportion to what is left of them."""
    return offer.layer == LAYER_REDEMPTION or offer.layer == LAYER_TENDER or \
        offer.mechanic == MECHANIC_SCANNED or \
        (offer.mechanic == MECHANIC_THRESHOLD and rewards_whole(offer))


cdef void take_units(contest_t *contest, uint32_t place, uint32_t run, bint is_rewarded,
                     int64_t units) noexcept nogil:
    cdef allocation_t *allocation = &contest.allocations[contest.allocation_count]
    if units == 0:
        return
    if contest.allocation_count == SHARES_MAX:
        contest.is_full = True
        return
    allocation.contender = 0
    allocation.place = place
    allocation.run = run
    allocation.is_rewarded = is_rewarded
    allocation.units = units
    contest.allocation_count += 1


# ------------------------------------------------------------------ fuel (F1, F2) -------------


cdef int64_t fuel_floor(const candidate_t *candidate, const work_run_t *run) noexcept nogil:
    """The price of a unit of measure, in thousandths, below which the offer does not go."""
    cdef const offer_t *offer = candidate.offer
    cdef int64_t floor = maximum(candidate.more.fuel_floor_thousandths,
                                 1000 * run.legal_min_minor)
    if run.cost_milli < 0:
        return floor
    if offer.flags & OFFER_FLAG_COST_FLOOR:
        floor = maximum(floor, run.cost_milli)
    if offer.flags & OFFER_FLAG_MARGIN:
        floor = maximum(floor, multiply_round(run.cost_milli, 10000, 10000 - offer.margin_bp,
                                              ROUNDING_CEIL))
    return floor


cdef int64_t price_fuel(const basket_t *basket, scratch_t *scratch, uint32_t candidate,
                        int64_t amount) noexcept nogil:
    cdef const candidate_t *it = &scratch.candidates[candidate]
    cdef const work_run_t *run
    cdef int64_t rest = or_unlimited(it.more.fuel_most_milli)
    cdef int64_t total = 0
    cdef int64_t floor, step, price, milli
    cdef uint32_t r
    scratch.fuel_milli = 0
    for r in range(scratch.run_count):
        run = &scratch.runs[r]
        scratch.fuel_parts[r] = 0
        if not is_usable(scratch, candidate, 0, r):
            continue
        price = basket.lines[scratch.pieces[run.first_piece].line].fuel_price_thousandths
        floor = fuel_floor(it, run)
        # Below a hundred million minor units a unit of measure, so that the worth fits 63 bits.
        step = minimum(minimum(amount, LINE_AMOUNT_MAX),
                       price - scratch.fuel_given[run.origin] - floor)
        milli = minimum(run.measure_milli, rest)
        if step <= 0 or milli == 0:
            continue
        rest -= milli
        scratch.fuel_milli += milli
        scratch.fuel_step[r] = step
        scratch.fuel_minor[r] = maximum(0, run.price_minor - multiply_round(
            floor, run.measure_milli, 1000000, ROUNDING_CEIL))
        scratch.fuel_parts[r] = minimum(multiply_round(step, milli, 100, ROUNDING_FLOOR),
                                        PARTS_PER_MINOR * scratch.fuel_minor[r])
        total += scratch.fuel_parts[r]
    return total


cdef void resolve_fuel(const basket_t *basket, scratch_t *scratch,
                       uint32_t candidate) noexcept nogil:
    """Answer a contest of one fuel offer."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[0]
    cdef uint32_t r
    contest.contender_count = 1
    contender.candidate = candidate
    contender.kind = 0
    contender.component = 0
    contender.price_parts = 0
    contender.is_qualified = has_units(scratch, candidate, 0)
    contender.alone_parts = price_fuel(basket, scratch, candidate,
                                       scratch.candidates[candidate].offer.reward_value)
    contender.times = 1 if contender.alone_parts > 0 else 0
    for r in range(scratch.run_count):
        if scratch.fuel_parts[r] > 0:
            take_units(contest, 0, r, True, scratch.runs[r].count)
    contest.worth_parts = contender.alone_parts
    contest.bound_parts = contender.alone_parts


cdef void keep_fuel(const facts_t *facts, const candidate_t *candidate, scratch_t *scratch,
                    decision_t *decision, uint32_t run_count) noexcept nogil:
    """What an offer that applied took off each unit of measure: later ones go no lower together.
    A fill that is being authorised is told it; it is one line, and so one run."""
    cdef fuel_step_t *kept
    cdef uint32_t i, r
    for i in range(run_count):
        r = scratch.rewarded_runs[i]
        scratch.fuel_given[scratch.runs[r].origin] += scratch.fuel_step[r]
        if not facts.is_authorising:
            continue
        if decision.fuel_count < FUEL_OFFERS_MAX:
            kept = &decision.fuel[decision.fuel_count]
            kept.offer = candidate.number
            kept.step = scratch.fuel_step[r]
            kept.floor = fuel_floor(candidate, &scratch.runs[r])
        decision.fuel_count += 1


# ------------------------------------------------------------------ giving ---------------------


cdef int64_t collect_units(const program_t *program, const basket_t *basket, const facts_t *facts,
                           scratch_t *scratch, uint32_t number, uint32_t *run_count,
                           int64_t *units) noexcept nogil:
    """Lay out the units of a contender by run, with weights and ceilings of the rewarded runs in
    canonical order; returns what they are worth together, in parts."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef const candidate_t *candidate = &scratch.candidates[contender.candidate]
    cdef const offer_t *offer = candidate.offer
    cdef const allocation_t *allocation
    cdef const work_run_t *run
    cdef int64_t worth = 0
    cdef int64_t each
    cdef uint32_t i, r
    run_count[0] = 0
    units[0] = 0
    for i in range(contest.allocation_count):
        allocation = &contest.allocations[i]
        if allocation.contender != number or not allocation.is_rewarded:
            continue
        if scratch.rewarded_units[allocation.run] == 0:
            scratch.rewarded_runs[run_count[0]] = allocation.run
            run_count[0] += 1
        scratch.rewarded_units[allocation.run] += allocation.units
    sort_numbers(scratch.rewarded_runs, run_count[0])
    for i in range(run_count[0]):
        r = scratch.rewarded_runs[i]
        run = &scratch.runs[r]
        if offer.mechanic == MECHANIC_FUEL:
            each = scratch.fuel_parts[r]
        elif is_pooled(offer):
            each = run.price_minor
        elif offer.mechanic == MECHANIC_THRESHOLD or offer.mechanic == MECHANIC_BUY_GET:
            each = reward_worth(offer, offer.reward, candidate.reward_value, run)
        elif offer.mechanic == MECHANIC_GROUP_PRICE and offer.reward == REWARD_AMOUNT:
            each = base_price(offer, run)
        else:
            each = unit_worth(program, basket, facts, candidate, 0, run)
        scratch.weights[i] = each * scratch.rewarded_units[r]
        scratch.ceilings[i] = can_give(offer, run) * scratch.rewarded_units[r]
        if offer.mechanic == MECHANIC_FUEL:
            scratch.ceilings[i] = scratch.fuel_minor[r]
        worth += scratch.weights[i]
        units[0] += scratch.rewarded_units[r]
    if product_money_of(candidate) > 0:
        cap_products(basket, scratch, run_count[0], product_money_of(candidate))
    if offer.mechanic == MECHANIC_GROUP_PRICE:
        if offer.reward == REWARD_AMOUNT:
            worth = 0
        worth -= contender.price_parts * contender.times
    return contender.alone_parts if is_pooled(offer) else worth


cdef void sort_numbers(uint32_t *numbers, uint32_t count) noexcept nogil:
    cdef uint32_t i, j, number
    for i in range(1, count):
        number = numbers[i]
        j = i
        while j > 0 and numbers[j - 1] > number:
            numbers[j] = numbers[j - 1]
            j -= 1
        numbers[j] = number


cdef void put_piece(scratch_t *scratch, const work_piece_t *source, int64_t price, int64_t count,
                    uint32_t taken, uint32_t marks) noexcept nogil:
    cdef work_piece_t *piece
    if count == 0:
        return
    if scratch.next_count == WORK_PIECES_MAX:
        scratch.is_full = True
        return
    piece = &scratch.next_pieces[scratch.next_count]
    scratch.next_count += 1
    piece[0] = source[0]
    piece.price_minor = price
    piece.count = count
    piece.taken = taken
    piece.marks = marks


cdef void share_run(scratch_t *scratch, decision_t *decision, uint32_t r, int64_t minor,
                    uint32_t applied, uint32_t taker, uint32_t mark) noexcept nogil:
    """S3 and Y4: spread a run's part over its lines, and make the units' new prices. They are
    taken by an offer, or not (NONE_32)."""
    cdef const work_run_t *run = &scratch.runs[r]
    cdef work_piece_t *piece
    cdef line_share_t *share
    cdef int64_t wanted = scratch.rewarded_units[r]
    cdef int64_t amount, units, price, dearer
    cdef uint32_t count = 0
    cdef uint32_t i, p, taken, marks
    for p in range(run.first_piece, run.first_piece + run.piece_count):
        amount = minimum(wanted, scratch.pieces[p].count - scratch.piece_used[p])
        if amount <= 0:
            continue
        scratch.line_units[count] = amount
        scratch.line_ceilings[count] = amount * run.price_minor
        scratch.line_piece[count] = p
        scratch.piece_used[p] += amount
        wanted -= amount
        count += 1
    INVARIANT(wanted == 0)
    share_exactly(minor, scratch.line_units, scratch.line_ceilings, count, scratch.line_minor,
                  scratch.rests)
    for i in range(count):
        piece = &scratch.pieces[scratch.line_piece[i]]
        taken = taken_by(scratch, piece.taken, taker)
        marks = piece.marks | mark
        amount = scratch.line_ceilings[i] - scratch.line_minor[i]
        units = scratch.line_units[i]
        price = amount // units
        dearer = amount - price * units
        put_piece(scratch, piece, price + 1, dearer, taken, marks)
        put_piece(scratch, piece, price, units - dearer, taken, marks)
        decision.line_discount_minor[piece.line] += scratch.line_minor[i]
        if decision.share_count == LINE_SHARES_MAX:
            scratch.is_full = True
            return
        share = &decision.shares[decision.share_count]
        decision.share_count += 1
        share.applied = applied
        share.line = piece.line
        share.units = scratch.line_units[i]
        share.qualifying_units = 0
        share.discount_minor = scratch.line_minor[i]


cdef void tell_bought(scratch_t *scratch, decision_t *decision, uint32_t applied, uint32_t line,
                      int64_t units) noexcept nogil:
    """Units of a line that only qualified; what does not fit is not told."""
    cdef line_share_t *share
    if scratch.qualifying_count == QUALIFYING_SHARES_MAX or \
            decision.share_count == LINE_SHARES_MAX:
        return
    scratch.qualifying_count += 1
    share = &decision.shares[decision.share_count]
    decision.share_count += 1
    share.applied = applied
    share.line = line
    share.units = 0
    share.qualifying_units = units
    share.discount_minor = 0


cdef void take_served(scratch_t *scratch, decision_t *decision, uint32_t number,
                      uint32_t taker) noexcept nogil:
    """S3: units that an offer took without a reward keep their price; lines serve them after all
    that is rewarded, contender by contender."""
    cdef const contender_t *contender = &scratch.contest.contenders[number]
    cdef const allocation_t *allocation
    cdef uint32_t i
    if contender.serves == SERVES_NOTHING:
        return
    for i in range(scratch.contest.allocation_count):
        allocation = &scratch.contest.allocations[i]
        if allocation.contender == number and (
                contender.serves == SERVES_ALL or not allocation.is_rewarded):
            take_pieces(scratch, decision, allocation, contender, taker)


cdef void take_pieces(scratch_t *scratch, decision_t *decision, const allocation_t *allocation,
                      const contender_t *contender, uint32_t taker) noexcept nogil:
    cdef const work_run_t *run = &scratch.runs[allocation.run]
    cdef const work_piece_t *piece
    cdef int64_t wanted = allocation.units
    cdef int64_t amount
    cdef uint32_t p
    for p in range(run.first_piece, run.first_piece + run.piece_count):
        piece = &scratch.pieces[p]
        amount = minimum(wanted, piece.count - scratch.piece_used[p])
        if amount <= 0:
            continue
        put_piece(scratch, piece, run.price_minor, amount, taken_by(scratch, piece.taken, taker),
                  piece.marks | contender.mark)
        if contender.applied != NONE_32:
            tell_bought(scratch, decision, contender.applied, piece.line, amount)
        scratch.piece_used[p] += amount
        wanted -= amount
    scratch.is_changed = True
    INVARIANT(wanted == 0)


cdef bint share_is_before(const line_share_t *a, const line_share_t *b) noexcept nogil:
    return a.applied < b.applied or (a.applied == b.applied and a.line < b.line)


cdef void sort_shares(line_share_t *shares, uint32_t count) noexcept nogil:
    """Shell sort as of pieces: shares come sorted but for what one step adds."""
    cdef uint32_t gaps[7]
    cdef uint32_t g, gap, i, j
    cdef line_share_t share
    gaps[0], gaps[1], gaps[2], gaps[3] = 4193, 1073, 281, 77
    gaps[4], gaps[5], gaps[6] = 23, 8, 1
    for g in range(7):
        gap = gaps[g]
        for i in range(gap, count):
            if not share_is_before(&shares[i], &shares[i - gap]):
                continue
            share = shares[i]
            j = i
            while j >= gap and share_is_before(&share, &shares[j - gap]):
                shares[j] = shares[j - gap]
                j -= gap
            shares[j] = share


cdef void merge_shares(decision_t *decision, uint32_t old_count) noexcept nogil:
    """Shares in order of their offers and lines, one of an offer a line, after a step added some
    to so many."""
    cdef line_share_t *share
    cdef uint32_t least = NONE_32
    cdef uint32_t first = old_count
    cdef uint32_t i, kept
    for i in range(old_count, decision.share_count):
        least = <uint32_t>minimum(least, decision.shares[i].applied)
    while first > 0 and decision.shares[first - 1].applied >= least:
        first -= 1
    sort_shares(&decision.shares[first], decision.share_count - first)
    kept = first
    for i in range(first, decision.share_count):
        share = &decision.shares[i]
        if kept > first and decision.shares[kept - 1].line == share.line and \
                decision.shares[kept - 1].applied == share.applied:
            decision.shares[kept - 1].units += share.units
            decision.shares[kept - 1].qualifying_units += share.qualifying_units
            decision.shares[kept - 1].discount_minor += share.discount_minor
            continue
        decision.shares[kept] = share[0]
        kept += 1
    decision.share_count = kept


cdef int64_t product_money_of(const candidate_t *candidate) noexcept nogil:
    return candidate.more.product_discount_max_minor if candidate.more != NULL else 0


cdef void cap_products(const basket_t *basket, scratch_t *scratch, uint32_t run_count,
                       int64_t most) noexcept nogil:
    """S7: run by run in canonical order what is worth and can be given, no product above `most`."""
    cdef int64_t rest, whole
    cdef uint32_t i, origin, code
    begin_marks(basket, scratch)
    for i in range(run_count):
        origin = scratch.runs[scratch.rewarded_runs[i]].origin
        mark_code(scratch, origin)
        code = scratch.code_group[origin]
        rest = PARTS_PER_MINOR * most - scratch.group_units[code]
        scratch.weights[i] = minimum(scratch.weights[i], rest)
        # Kept in whole minor units, so that shares do not pass the cap by rounding.
        whole = (scratch.weights[i] + PARTS_PER_MINOR - 1) // PARTS_PER_MINOR
        scratch.ceilings[i] = minimum(scratch.ceilings[i], whole)
        scratch.group_units[code] += PARTS_PER_MINOR * whole


cdef int64_t capped_worth(const scratch_t *scratch, uint32_t run_count,
                          uint32_t rounding) noexcept nogil:
    cdef int64_t worth = 0
    cdef uint32_t i
    for i in range(run_count):
        worth += scratch.weights[i]
    return round_quotient(worth, PARTS_PER_MINOR, rounding)


cdef int64_t spend_of(const scratch_t *scratch, uint32_t run_count) noexcept nogil:
    """L4: what the rewarded units cost before the offer."""
    cdef int64_t spent = 0
    cdef uint32_t i
    for i in range(run_count):
        spent += scratch.runs[scratch.rewarded_runs[i]].price_minor * \
            scratch.rewarded_units[scratch.rewarded_runs[i]]
    return spent


cdef int64_t discount_of(scratch_t *scratch, const contender_t *contender, int64_t worth,
                         int64_t spent, uint32_t run_count) noexcept nogil:
    """S1, S4 and L4: rounded once, never more than is left, cut by caps."""
    cdef candidate_t *candidate = &scratch.candidates[contender.candidate]
    cdef int64_t discount = round_quotient(worth, PARTS_PER_MINOR, candidate.offer.rounding)
    cdef int64_t left = 0
    cdef int64_t cut
    # D4: other units might be cut by less, of other offers or where the search left a gap.
    cdef bint is_open = candidate.flags & CANDIDATE_COMPETED or scratch.gap_parts > 0
    cdef uint32_t i
    if worth <= 0:
        return 0
    for i in range(run_count):
        left += scratch.ceilings[i]
    if product_money_of(candidate) > 0:
        left = minimum(left, capped_worth(scratch, run_count, candidate.offer.rounding))
    if left < discount and is_open:
        scratch.gap_minor += discount - left
    discount = minimum(discount, left)
    cut = minimum(discount, minimum(candidate.money_left,
                                    or_unlimited(candidate.offer.discount_max_minor)))
    if candidate.offer.layer != LAYER_REDEMPTION:
        cut = minimum(cut, scratch.discount_room)
    if candidate.spend_left < spent:
        cut = minimum(cut, round_quotient(
            multiply_round(worth, candidate.spend_left, spent, ROUNDING_FLOOR), PARTS_PER_MINOR,
            candidate.offer.rounding))
    if cut < discount and candidate.offer.flags & OFFER_FLAG_WHOLE:
        candidate.flags |= CANDIDATE_WHOLE
        cut = 0
    if cut < discount and is_open:
        scratch.gap_minor += discount - cut
    return cut


cdef void give(const program_t *program, const basket_t *basket, const facts_t *facts,
               scratch_t *scratch, decision_t *decision, uint32_t number,
               bint is_competing) noexcept nogil:
    """One offer's discount, from its worth to its line shares."""
    cdef contender_t *contender = &scratch.contest.contenders[number]
    cdef candidate_t *candidate = &scratch.candidates[contender.candidate]
    cdef applied_t *applied
    cdef uint32_t at = applied_place(decision, candidate)
    cdef uint32_t run_count = 0
    cdef uint32_t i
    cdef int64_t units = 0
    cdef int64_t times
    cdef int64_t worth = collect_units(program, basket, facts, scratch, number, &run_count, &units)
    cdef int64_t spent = spend_of(scratch, run_count)
    cdef int64_t discount
    if contender.kind == CONTEND_CHEAPEST or contender.kind == CONTEND_UNITS:
        scratch.gap_parts += maximum(0, claimed_worth(scratch, number) - worth)
    discount = discount_of(scratch, contender, worth, spent, run_count)
    scratch.given_minor = discount
    contender.mark = (mark_of(candidate.offer) if discount > 0
                      and candidate.offer.mechanic != MECHANIC_THRESHOLD else 0)
    if discount > 0:
        share_exactly(discount, scratch.weights, scratch.ceilings, run_count, scratch.share_minor,
                      scratch.rests)
        for i in range(run_count):
            share_run(scratch, decision, scratch.rewarded_runs[i], scratch.share_minor[i],
                      at, candidate.number if is_competing else NONE_32,
                      mark_of(candidate.offer) * (not scratch.ignores_marks) | scratch.match_mark)
    # Without worth an offer is left out; rounded to nothing, its units stay used.
    if discount > 0:
        contender.serves = SERVES_BOUGHT
    elif worth > 0 and is_competing:
        contender.serves = SERVES_ALL
    for i in range(run_count):
        scratch.rewarded_units[scratch.rewarded_runs[i]] = 0
    if discount == 0:
        candidate.outcome = OUTCOME_LIMIT_REACHED if candidate.flags & CANDIDATE_WHOLE else \
            OUTCOME_NO_SAVING
        return
    if candidate.offer.mechanic == MECHANIC_FUEL:
        keep_fuel(facts, candidate, scratch, decision, run_count)
    if candidate.offer.exclusive:
        scratch.exclusive_out[scratch.exclusive_count] = candidate.offer.exclusive
        scratch.exclusive_count += 1
    if candidate.offer.layer != LAYER_REDEMPTION:
        scratch.discount_room -= discount
    scratch.is_changed = True
    candidate.outcome = OUTCOME_APPLIED
    candidate.flags |= CANDIDATE_APPLIED
    times = 1 if contender.kind == CONTEND_UNITS else contender.times
    if at < decision.applied_count and pays_by_amount(candidate.offer):
        times = 0
    contender.applied = at
    applied = &decision.applied[at]
    if at == decision.applied_count:
        decision.applied_count += 1
        applied.offer = candidate.number
        applied.times = 0
        applied.units = 0
        applied.discount_minor = 0
    applied.times += times
    applied.units += units
    applied.discount_minor += discount
    count_limits(program, facts, scratch, decision, candidate, times, units, discount, spent)
    if candidate.offer.flags & OFFER_FLAG_COUPON:
        if contender.kind == CONTEND_UNITS and candidate.offer.units_max > 0:
            consume_coupons(basket, scratch, decision, candidate,
                            (units + candidate.offer.units_max - 1) // candidate.offer.units_max)
        else:
            consume_coupons(basket, scratch, decision, candidate, times)


cdef bint pays_by_amount(const offer_t *offer) noexcept nogil:
    """R4: requests of such an offer are one use together, and need one coupon."""
    return offer.layer == LAYER_REDEMPTION and \
        not offer.flags & (OFFER_FLAG_BY_ITEM | OFFER_FLAG_STEPS)


cdef uint32_t applied_place(const decision_t *decision,
                            const candidate_t *candidate) noexcept nogil:
    """Where an offer is told: with what scanned coupons (C4) or requests (R4) before gave."""
    cdef uint32_t i = decision.applied_count
    if candidate.offer.mechanic != MECHANIC_SCANNED and \
            candidate.offer.layer != LAYER_REDEMPTION:
        return i
    while i > 0:
        i -= 1
        if decision.applied[i].offer == candidate.number:
            return i
    return decision.applied_count


cdef int64_t claimed_worth(const scratch_t *scratch, uint32_t number) noexcept nogil:
    """What the contest counted for a contender without a price: above its worth only where
    level_worth lifted units."""
    cdef const contest_t *contest = &scratch.contest
    cdef const contender_t *contender = &contest.contenders[number]
    cdef const place_t *place = &contest.places[contender.first_place]
    cdef int64_t worth = 0
    cdef uint32_t i
    for i in range(place.entry_count):
        worth += contest.entries[place.first_entry + i].worth * \
            scratch.rewarded_units[contest.entries[place.first_entry + i].run]
    return worth


cdef counted_t *next_counted(scratch_t *scratch, decision_t *decision) noexcept nogil:
    """Room for one more counter; NULL where there is none, and the decision is then refused: a use
    that is not counted would be given again."""
    if decision.counted_count == COUNTED_MAX:
        scratch.is_counters_full = True
        return NULL
    decision.counted_count += 1
    return &decision.counted[decision.counted_count - 1]


cdef void count_limits(const program_t *program, const facts_t *facts, scratch_t *scratch,
                       decision_t *decision, const candidate_t *candidate, int64_t uses,
                       int64_t units, int64_t money_minor, int64_t spent_minor) noexcept nogil:
    cdef const limit_t *rule
    cdef counted_t *counted
    cdef uint32_t i
    if candidate.flags & CANDIDATE_GRANTED:
        counted = next_counted(scratch, decision)
        if counted == NULL:
            return
        counted.offer = candidate.number
        counted.scope = COUNT_SCOPE_GRANT
        counted.number = COUNTED_NO_LIMIT
        counted.window = 0
        counted.given = uses
    for i in range(candidate.offer.limit_count):
        counted = next_counted(scratch, decision)
        if counted == NULL:
            return
        rule = &program.limits[candidate.offer.first_limit + i]
        counted.offer = candidate.number
        counted.scope = rule.scope
        counted.number = rule.number
        counted.window = window_first_day(rule.window, facts.business_day)
        counted.given = units
        if rule.measure == LIMIT_MEASURE_USES:
            counted.given = uses
        elif rule.measure == LIMIT_MEASURE_MONEY:
            counted.given = money_minor
        elif rule.measure == LIMIT_MEASURE_SPEND:
            counted.given = minimum(spent_minor, candidate.spend_left)


cdef void consume_coupons(const basket_t *basket, scratch_t *scratch, decision_t *decision,
                          const candidate_t *candidate, int64_t count) noexcept nogil:
    cdef uint32_t i, coupon
    for i in range(scratch.coupon_pair_count):
        coupon = scratch.coupon_pairs[i].coupon
        if count == 0:
            return
        if scratch.coupon_pairs[i].offer != candidate.number:
            continue
        if candidate.offer.flags & OFFER_FLAG_SERIAL and (
                is_shown_before(basket, coupon)
                or (scratch.used_coupons | scratch.bad_coupons) >> coupon & 1):
            continue
        if decision.coupon_offer[coupon] == NONE_32:
            decision.coupon_offer[coupon] = candidate.number
            count -= 1
            if candidate.offer.flags & OFFER_FLAG_SERIAL:
                count_coupon(scratch, decision, candidate.number, coupon)


cdef void count_coupon(scratch_t *scratch, decision_t *decision, uint32_t offer,
                       uint32_t coupon) noexcept nogil:
    """K1: a serialised coupon is used by the commit."""
    cdef counted_t *counted = next_counted(scratch, decision)
    if counted == NULL:
        return
    counted.offer = offer
    counted.scope = COUNT_SCOPE_COUPON
    counted.number = <uint8_t>coupon
    counted.window = 0
    counted.given = 1


# ------------------------------------------------------------------ steps of a layer ----------


cdef void begin_step(scratch_t *scratch) noexcept nogil:
    cdef uint32_t p
    scratch.next_count = 0
    scratch.is_changed = False
    for p in range(scratch.piece_count):
        scratch.piece_used[p] = 0


cdef status_t finish_step(const program_t *program, const basket_t *basket, const facts_t *facts,
                          scratch_t *scratch, decision_t *decision,
                          bint is_competing) noexcept nogil:
    """Give what the contest answered and make the runs of the next step."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender
    cdef uint32_t share_count = decision.share_count
    cdef uint32_t c, other
    if contest.is_full:
        return STATUS_CANDIDATES_CEILING
    scratch.gap_parts += contest.bound_parts - contest.worth_parts
    begin_step(scratch)
    for c in range(contest.contender_count):
        contender = &contest.contenders[c]
        contender.serves = SERVES_NOTHING
        contender.applied = NONE_32
        if contender.times > 0:
            for other in range(contest.contender_count):
                if other != c and contest.contenders[other].component == contender.component:
                    scratch.candidates[contender.candidate].flags |= CANDIDATE_COMPETED
            give(program, basket, facts, scratch, decision, c, is_competing)
    for c in range(contest.contender_count):
        take_served(scratch, decision, c,
                    scratch.candidates[contest.contenders[c].candidate].number
                    if is_competing else NONE_32)
    if decision.share_count > share_count:
        merge_shares(decision, share_count)
    return end_step(basket, scratch)


cdef status_t end_step(const basket_t *basket, scratch_t *scratch) noexcept nogil:
    """Runs of what the step left, where it changed anything."""
    cdef uint32_t p
    if scratch.is_full:
        return STATUS_CANDIDATES_CEILING
    if not scratch.is_changed:
        return STATUS_OK
    for p in range(scratch.piece_count):
        put_piece(scratch, &scratch.pieces[p], scratch.pieces[p].price_minor,
                  scratch.pieces[p].count - scratch.piece_used[p], scratch.pieces[p].taken,
                  scratch.pieces[p].marks)
    for p in range(scratch.next_count):
        scratch.pieces[p] = scratch.next_pieces[p]
    scratch.piece_count = scratch.next_count
    if scratch.is_full or not make_runs(basket, scratch):
        return STATUS_CANDIDATES_CEILING
    return STATUS_OK


cdef bint resolve_one(const program_t *program, const basket_t *basket, const facts_t *facts,
                      scratch_t *scratch, uint32_t candidate, bint sees_taken) noexcept nogil:
    """A contest with one contender. False when it does not fit."""
    begin_contest(scratch, sees_taken)
    if scratch.candidates[candidate].offer.mechanic == MECHANIC_THRESHOLD:
        resolve_threshold(program, basket, facts, scratch, candidate)
        return True
    if scratch.candidates[candidate].offer.mechanic == MECHANIC_TENDER:
        resolve_tender(program, basket, scratch, candidate)
        return True
    if scratch.candidates[candidate].offer.mechanic == MECHANIC_FUEL:
        resolve_fuel(basket, scratch, candidate)
        return True
    if not add_contender(program, basket, facts, scratch, candidate):
        return False
    resolve_contest(scratch)
    return True


cdef bint any_fits(const scratch_t *scratch, uint32_t candidate) noexcept nogil:
    cdef uint32_t r
    for r in range(scratch.run_count):
        if run_fits(scratch, candidate, 0, scratch.runs[r].origin):
            return True
    return False


cdef bint is_possible(const program_t *program, const basket_t *basket, const facts_t *facts,
                      scratch_t *scratch, uint32_t candidate) noexcept nogil:
    """Whether the units that the contest saw make one application, whatever it is worth. Slots
    that overlap must be filled together, and a unit with a price counts though it is cheaper."""
    cdef const offer_t *offer = scratch.candidates[candidate].offer
    cdef near_miss_t miss
    cdef uint32_t r
    if offer.mechanic == MECHANIC_UNIT_OFF:
        return has_units(scratch, candidate, 0)
    if offer.mechanic == MECHANIC_ROW_PRICE:
        for r in range(scratch.run_count):
            if is_usable(scratch, candidate, 0, r) and find_row(
                    program, scratch.candidates[candidate].number,
                    basket.runs[scratch.runs[r].origin].product,
                    facts.store.zone if facts.store != NULL else 0) != NULL:
                return True
        return False
    if not has_applications(offer):
        return scratch.contest.contenders[0].is_qualified
    miss.slot = 0
    miss.missing_units = 0
    return fill_application(program, basket, facts, scratch, candidate, &miss) and \
        miss.missing_units <= 0


cdef void judge_alone(const program_t *program, const basket_t *basket, const facts_t *facts,
                      scratch_t *scratch, uint32_t candidate) noexcept nogil:
    """Why an offer will not have applied, if it does not: judged with every unit to itself. Takes
    no steps of the budget: explaining must not change a decision."""
    cdef candidate_t *it = &scratch.candidates[candidate]
    cdef uint64_t steps = scratch.steps
    cdef uint64_t lp_steps = scratch.lp.steps
    cdef uint64_t flow_steps = scratch.flow.steps
    cdef bint is_threshold = it.offer.mechanic == MECHANIC_THRESHOLD
    it.outcome = OUTCOME_OTHER_BETTER
    if it.offer.mechanic == MECHANIC_SCANNED:
        it.outcome = 0
        return
    if not resolve_one(program, basket, facts, scratch, candidate, True):
        return
    if (is_threshold or it.offer.step_count > 0) and has_units(scratch, candidate, 0) and \
            base_reached(basket, scratch, candidate) < it.goal:
        it.outcome = OUTCOME_THRESHOLD
    elif it.offer.mechanic == MECHANIC_TENDER and \
            not scratch.contest.contenders[0].is_qualified and any_fits(scratch, candidate):
        it.outcome = OUTCOME_THRESHOLD
    elif scratch.contest.worth_parts <= 0:
        it.outcome = OUTCOME_NOT_QUALIFIED
        if it.flags & CANDIDATE_AFTER_FUELLING and not any_fits(scratch, candidate):
            it.outcome = OUTCOME_AFTER_FUELLING
        elif is_possible(program, basket, facts, scratch, candidate):
            it.outcome = OUTCOME_NO_SAVING
    scratch.steps = steps
    scratch.lp.steps = lp_steps
    scratch.flow.steps = flow_steps


cdef int64_t price_of_units(const scratch_t *scratch) noexcept nogil:
    """What the units cost now, in parts, that competing offers may see."""
    cdef int64_t price = 0
    cdef uint32_t r
    for r in range(scratch.run_count):
        if scratch.runs[r].taken != TAKEN:
            price += scratch.runs[r].count * scratch.runs[r].price_minor
    return PARTS_PER_MINOR * price


cdef uint32_t fill_contest(const program_t *program, const basket_t *basket,
                           const facts_t *facts, scratch_t *scratch, uint32_t first,
                           uint32_t last) noexcept nogil:
    """Add contenders while they fit; returns the first that does not."""
    cdef contest_t *contest = &scratch.contest
    cdef uint32_t contenders, places, entries, groups, i
    begin_contest(scratch, False)
    for i in range(first, last):
        if scratch.candidates[scratch.order[i]].flags & CANDIDATE_BARRED:
            continue
        if scratch.candidates[scratch.order[i]].offer.mechanic == MECHANIC_THRESHOLD:
            continue
        contenders = contest.contender_count
        places = contest.place_count
        entries = contest.entry_count
        groups = contest.group_count
        if add_contender(program, basket, facts, scratch, scratch.order[i]):
            continue
        contest.contender_count = contenders
        contest.place_count = places
        contest.entry_count = entries
        contest.group_count = groups
        return i
    return last


cdef status_t compete_for_units(const program_t *program, const basket_t *basket,
                                const facts_t *facts, scratch_t *scratch, decision_t *decision,
                                uint32_t first, uint32_t last) noexcept nogil:
    """D1 for one class of the item layer. What does not fit into one contest competes afterwards
    for what is left; then no deal is worth more than all units cost, and that is the bound."""
    cdef contest_t *contest = &scratch.contest
    cdef int64_t most = price_of_units(scratch)
    cdef uint32_t next = fill_contest(program, basket, facts, scratch, first, last)
    cdef bint is_split = next < last
    cdef status_t status = STATUS_OK
    cdef uint32_t i
    while True:
        resolve_contest(scratch)
        decision.component_count += contest.component_count
        for i in range(contest.contender_count):
            # A group whose price is an amount off may be worth more than its units cost.
            most = minimum(LP_UNBOUNDED, most + capped_product(
                contest.contenders[i].cap, maximum(0, -contest.contenders[i].price_parts)))
        most -= contest.bound_parts
        status = finish_step(program, basket, facts, scratch, decision, True)
        if status != STATUS_OK or next == last:
            break
        first = next
        next = fill_contest(program, basket, facts, scratch, first, last)
        if next == first:
            return STATUS_CANDIDATES_CEILING
    if is_split:
        scratch.gap_parts += maximum(0, most)
    return status


cdef status_t choose_one(const program_t *program, const basket_t *basket, const facts_t *facts,
                         scratch_t *scratch, decision_t *decision, uint32_t first,
                         uint32_t last, bint takes_units) noexcept nogil:
    """D2, T2: of one class the one worth most, ties by rank."""
    cdef int64_t best_worth = 0
    cdef uint32_t best = NONE_32
    cdef uint32_t i
    for i in range(first, last):
        if scratch.candidates[scratch.order[i]].flags & CANDIDATE_BARRED:
            continue
        if not resolve_one(program, basket, facts, scratch, scratch.order[i], False):
            return STATUS_CANDIDATES_CEILING
        if scratch.contest.worth_parts > best_worth:
            best_worth = scratch.contest.worth_parts
            best = scratch.order[i]
    if best == NONE_32:
        return STATUS_OK
    resolve_one(program, basket, facts, scratch, best, False)
    return finish_step(program, basket, facts, scratch, decision, takes_units)


cdef bint is_stackable(const scratch_t *scratch, uint32_t candidate) noexcept nogil:
    return (scratch.candidates[candidate].offer.flags & OFFER_FLAG_STACKABLE) != 0


cdef uint32_t round_of(const candidate_t *candidate) noexcept nogil:
    return candidate.more.round if candidate.more != NULL else 0


cdef bint runs_before(const scratch_t *scratch, uint32_t a, uint32_t b) noexcept nogil:
    """Class by class, competing offers round by round in rank order, then stackable ones (Y1 to
    Y3, Y6)."""
    cdef const candidate_t *left = &scratch.candidates[a]
    cdef const candidate_t *right = &scratch.candidates[b]
    if left.offer.class_order != right.offer.class_order:
        return left.offer.class_order < right.offer.class_order
    if is_stackable(scratch, a) != is_stackable(scratch, b):
        return is_stackable(scratch, b)
    if round_of(left) != round_of(right):
        return round_of(left) < round_of(right)
    if not is_stackable(scratch, a):
        return ranks_before(left, right)
    if left.offer.priority != right.offer.priority:
        return left.offer.priority > right.offer.priority
    return left.number < right.number


cdef uint32_t order_layer(scratch_t *scratch, uint32_t layer) noexcept nogil:
    cdef uint32_t count = 0
    cdef uint32_t i, j
    scratch.keeps_takers = False
    scratch.taking_count = TAKEN + 1
    for i in range(scratch.candidate_count):
        if scratch.candidates[i].offer.layer != layer:
            continue
        scratch.keeps_takers |= scratch.candidates[i].more != NULL and \
            scratch.candidates[i].more.after_count > 0
        j = count
        while j > 0 and runs_before(scratch, i, scratch.order[j - 1]):
            scratch.order[j] = scratch.order[j - 1]
            j -= 1
        scratch.order[j] = i
        count += 1
    return count


cdef bint is_out(const scratch_t *scratch, const offer_t *offer) noexcept nogil:
    """Whether another offer of its exclusive name has applied (Y5)."""
    cdef uint32_t i
    for i in range(scratch.exclusive_count):
        if offer.exclusive == scratch.exclusive_out[i]:
            return True
    return False


cdef bint bar_rivals(const program_t *program, const basket_t *basket, const facts_t *facts,
                     scratch_t *scratch, uint32_t first, uint32_t last) noexcept nogil:
    """Y5: of the competing offers of one exclusive name the one worth most alone takes part. False
    when one does not fit."""
    cdef candidate_t *candidate
    cdef candidate_t *rival
    cdef uint32_t i, j
    for i in range(first, last):
        candidate = &scratch.candidates[scratch.order[i]]
        candidate.flags &= ~<uint32_t>CANDIDATE_BARRED
        if candidate.offer.exclusive == 0:
            continue
        if is_out(scratch, candidate.offer):
            candidate.flags |= CANDIDATE_BARRED
            continue
        if not resolve_one(program, basket, facts, scratch, scratch.order[i], False):
            return False
        candidate.alone_parts = scratch.contest.worth_parts
        for j in range(first, i):
            rival = &scratch.candidates[scratch.order[j]]
            if rival.offer.exclusive != candidate.offer.exclusive or \
                    rival.flags & CANDIDATE_BARRED:
                continue
            if rival.alone_parts >= candidate.alone_parts:
                candidate.flags |= CANDIDATE_BARRED
            else:
                rival.flags |= CANDIDATE_BARRED
    return True


cdef status_t run_stackable(const program_t *program, const basket_t *basket,
                            const facts_t *facts, scratch_t *scratch, decision_t *decision,
                            uint32_t candidate) noexcept nogil:
    """Y3: a step of its own, on top of what others took."""
    if scratch.candidates[candidate].offer.exclusive and \
            is_out(scratch, scratch.candidates[candidate].offer):
        return STATUS_OK
    if not order_runs(basket, scratch, False):
        return STATUS_CANDIDATES_CEILING
    if scratch.candidates[candidate].offer.mechanic == MECHANIC_SCANNED:
        return run_scans(program, basket, facts, scratch, decision, candidate)
    if not resolve_one(program, basket, facts, scratch, candidate, True):
        return STATUS_CANDIDATES_CEILING
    return finish_step(program, basket, facts, scratch, decision, False)


cdef status_t run_layer(const program_t *program, const basket_t *basket, const facts_t *facts,
                        scratch_t *scratch, decision_t *decision, uint32_t layer) noexcept nogil:
    cdef uint32_t count = order_layer(scratch, layer)
    cdef uint32_t first = 0
    cdef uint32_t last
    cdef uint32_t round_number
    cdef int32_t class_order
    cdef status_t status
    while first < count:
        last = first
        class_order = scratch.candidates[scratch.order[first]].offer.class_order
        round_number = round_of(&scratch.candidates[scratch.order[first]])
        while last < count and not is_stackable(scratch, scratch.order[last]) and \
                round_of(&scratch.candidates[scratch.order[last]]) == round_number and \
                scratch.candidates[scratch.order[last]].offer.class_order == class_order:
            last += 1
        judge_layer(program, basket, facts, scratch, first, last if last > first else first + 1)
        if last == first:
            last = first + 1
            status = run_stackable(program, basket, facts, scratch, decision, scratch.order[first])
        elif not order_runs(basket, scratch, True) or \
                not bar_rivals(program, basket, facts, scratch, first, last):
            return STATUS_CANDIDATES_CEILING
        elif layer == LAYER_ITEM:
            status = compete_for_units(program, basket, facts, scratch, decision, first, last)
        else:
            status = choose_one(program, basket, facts, scratch, decision, first, last,
                                layer == LAYER_BASKET)
        if status != STATUS_OK:
            return status
        first = last
    return STATUS_OK


cdef void judge_layer(const program_t *program, const basket_t *basket, const facts_t *facts,
                      scratch_t *scratch, uint32_t first, uint32_t last) noexcept nogil:
    cdef uint32_t i
    if basket.explain:
        for i in range(first, last):
            judge_alone(program, basket, facts, scratch, scratch.order[i])


cdef int64_t basket_room(const program_t *program, const basket_t *basket) noexcept nogil:
    """S7: what all discounts of a basket may come to."""
    cdef int64_t room = or_unlimited(program.header.basket_discount_minor)
    cdef int64_t gross = 0
    cdef uint32_t r
    if program.header.basket_discount_bp > 0:
        for r in range(basket.run_count):
            if basket.runs[r].line_flag == 0:
                gross += basket.runs[r].count * basket.runs[r].unit_minor
        room = minimum(room, gross // 10000 * program.header.basket_discount_bp
                       + gross % 10000 * program.header.basket_discount_bp // 10000)
    return room


cdef status_t evaluate_discounts(const program_t *program, const basket_t *basket,
                                 const facts_t *facts, scratch_t *scratch,
                                 decision_t *decision) noexcept nogil:
    cdef status_t status
    cdef uint32_t i
    decision.applied_count = 0
    decision.fuel_count = 0
    decision.share_count = 0
    decision.counted_count = 0
    decision.component_count = 0
    decision.near_miss_count = 0
    decision.gross_minor = 0
    scratch.exclusive_count = 0
    scratch.ignores_marks = False
    scratch.gap_parts = 0
    scratch.gap_minor = 0
    scratch.is_full = False
    scratch.qualifying_count = 0
    scratch.match_mark = 0
    scratch.discount_room = basket_room(program, basket)
    for i in range(basket.coupon_count):
        decision.coupon_offer[i] = NONE_32
        decision.coupon_outcome[i] = 0
        if scratch.used_coupons >> i & 1:
            decision.coupon_outcome[i] = used_outcome(scratch, i)
        if scratch.bad_coupons >> i & 1:
            decision.coupon_outcome[i] = OUTCOME_COUPON_INVALID
        decision.coupon_minor[i] = 0
    for i in range(basket.line_count):
        decision.line_discount_minor[i] = 0
        if basket.lines[i].kind != LINE_KIND_RETURN:
            decision.gross_minor += basket.lines[i].amount_minor
    for i in range(scratch.candidate_count):
        scratch.candidates[i].outcome = 0
    for i in range(basket.run_count):
        scratch.fuel_given[i] = 0
    if not begin_runs(basket, scratch):
        return STATUS_CANDIDATES_CEILING
    status = run_layer(program, basket, facts, scratch, decision, LAYER_ITEM)
    if status == STATUS_OK and not order_runs(basket, scratch, True):
        status = STATUS_CANDIDATES_CEILING
    if status == STATUS_OK:
        find_misses(program, basket, facts, scratch, decision, True)
    if status == STATUS_OK and free_all(basket, scratch):
        status = run_layer(program, basket, facts, scratch, decision, LAYER_BASKET)
    if status == STATUS_OK:
        find_misses(program, basket, facts, scratch, decision, False)
    return status


cdef status_t evaluate_tenders(const program_t *program, const basket_t *basket,
                               const facts_t *facts, scratch_t *scratch,
                               decision_t *decision) noexcept nogil:
    cdef status_t status = STATUS_CANDIDATES_CEILING
    cdef uint32_t i
    settle_tenders(basket, scratch, decision)
    if free_all(basket, scratch):
        status = run_layer(program, basket, facts, scratch, decision, LAYER_TENDER)
    # A unit that one offer rewarded more than once is one unit.
    for i in range(decision.share_count):
        decision.shares[i].units = minimum(decision.shares[i].units,
                                           basket.lines[decision.shares[i].line].count)
    decision.discount_minor = 0
    for i in range(decision.applied_count):
        decision.discount_minor += decision.applied[i].discount_minor
    decision.net_minor = decision.gross_minor - decision.discount_minor
    return status


# ------------------------------------------------------------------ scanned coupons (C2 to C4) -


cdef bint fits_purchase(const program_t *program, const basket_t *basket,
                        const scratch_t *scratch, uint32_t candidate,
                        const gs1_purchase_t *purchase, uint32_t run) noexcept nogil:
    """C3: the company prefix and the family code."""
    cdef const run_t *origin = &basket.runs[scratch.runs[run].origin]
    cdef uint64_t number = origin.code & ((<uint64_t>1 << 60) - 1)
    cdef uint32_t asked = purchase.family
    cdef uint32_t digits = 13
    cdef uint32_t family
    if origin.code >> 60 != CODE_KIND_GTIN or not is_usable(scratch, candidate, 0, run):
        return False
    while digits > purchase.prefix_digits:
        number //= 10
        digits -= 1
    if number != purchase.prefix or asked == 0:
        return number == purchase.prefix
    if origin.product >= program.family_count:
        return False
    family = program.families[origin.product]
    if asked % 100 == 0:
        return family // 100 == asked // 100
    if asked % 10 == 0:
        return family // 10 == asked // 10
    return family == asked


cdef int64_t counted_of_unit(const basket_t *basket, const gs1_purchase_t *purchase,
                             const work_run_t *run) noexcept nogil:
    """What one unit counts towards a requirement; weights in thousandths."""
    if purchase.code == GS1_UNITS:
        return 1
    if purchase.code == GS1_MONEY:
        return run.price_minor
    if basket.runs[run.origin].measure_unit == (
            MEASURE_UNIT_POUND if purchase.code == GS1_POUNDS else MEASURE_UNIT_KILOGRAM):
        return run.measure_milli
    return 0


cdef bint meet_purchase(const program_t *program, const basket_t *basket, scratch_t *scratch,
                        uint32_t candidate, const gs1_coupon_t *coupon,
                        uint32_t number) noexcept nogil:
    """Set the units of a purchase aside, dearest first; False when there are too few."""
    cdef const gs1_purchase_t *purchase = &coupon.purchases[number]
    cdef int64_t wanted = purchase.requirement
    cdef int64_t each, units
    cdef uint32_t r
    if purchase.code == GS1_POUNDS or purchase.code == GS1_KILOGRAMS:
        wanted *= 10
    for r in range(scratch.run_count):
        if purchase.code == GS1_NO_PURCHASE or wanted <= 0:
            return True
        if purchase.code == GS1_BASKET:
            if basket.runs[scratch.runs[r].origin].line_flag == 0:
                wanted -= scratch.runs[r].price_minor * scratch.runs[r].count
            continue
        each = counted_of_unit(basket, purchase, &scratch.runs[r])
        if each <= 0 or not fits_purchase(program, basket, scratch, candidate, purchase, r):
            continue
        units = minimum((wanted + each - 1) // each,
                        scratch.runs[r].count - scratch.run_demand[r])
        set_aside(scratch, number, r, units)
        wanted -= units * each
    if wanted <= 0:
        return True
    for r in range(scratch.run_count):
        set_aside(scratch, number, r, -scratch.scan_units[number][r])
    return False


cdef void set_aside(scratch_t *scratch, uint32_t purchase, uint32_t run,
                    int64_t units) noexcept nogil:
    scratch.scan_units[purchase][run] += units
    scratch.run_demand[run] += units


cdef uint32_t meet_rules(const program_t *program, const basket_t *basket, scratch_t *scratch,
                         uint32_t candidate, const gs1_coupon_t *coupon) noexcept nogil:
    """C3: a bit for each purchase that the coupon uses; 0 when it cannot be used."""
    cdef bint has_third = coupon.purchase_count == 3
    cdef uint32_t p
    if coupon.rules == GS1_ANY:
        for p in range(coupon.purchase_count):
            if meet_purchase(program, basket, scratch, candidate, coupon, p):
                return 1 << p
        return 0
    if coupon.rules == GS1_FIRST_OR_BOTH:
        if meet_purchase(program, basket, scratch, candidate, coupon, 0):
            return 1
        if not meet_purchase(program, basket, scratch, candidate, coupon, 1):
            return 0
        if not has_third:
            return 2
        return 6 if meet_purchase(program, basket, scratch, candidate, coupon, 2) else 0
    if not meet_purchase(program, basket, scratch, candidate, coupon, 0):
        return 0
    if coupon.rules == GS1_ALL and has_third:
        if meet_purchase(program, basket, scratch, candidate, coupon, 1) and \
                meet_purchase(program, basket, scratch, candidate, coupon, 2):
            return 7
        return 0
    if meet_purchase(program, basket, scratch, candidate, coupon, 1):
        return 3
    return 5 if has_third and meet_purchase(
        program, basket, scratch, candidate, coupon, 2) else 0


cdef uint32_t lacking_outcome(const program_t *program, const basket_t *basket,
                              const scratch_t *scratch, uint32_t candidate,
                              const gs1_coupon_t *coupon) noexcept nogil:
    """Why a coupon cannot be used: nothing of what it asks for is there, or too little."""
    cdef uint32_t p, r
    for p in range(coupon.purchase_count):
        for r in range(scratch.run_count):
            if fits_purchase(program, basket, scratch, candidate, &coupon.purchases[p], r):
                return OUTCOME_THRESHOLD
    return OUTCOME_NOT_QUALIFIED


cdef bint find_units(const program_t *program, const basket_t *basket, scratch_t *scratch,
                     uint32_t candidate, const gs1_coupon_t *coupon,
                     uint32_t target) noexcept nogil:
    """Units for a value whose purchase asks for none: the dearest that fit. False without any."""
    cdef const gs1_purchase_t *purchase = &coupon.purchases[target]
    cdef int64_t wanted = 1
    cdef int64_t units
    cdef uint32_t r
    cdef bint is_found = False
    if purchase.code != GS1_BASKET and purchase.code != GS1_NO_PURCHASE:
        return True
    if coupon.save_code == GS1_SAVE_UNITS:
        wanted = coupon.save_value
    for r in range(scratch.run_count):
        if wanted == 0 or not fits_purchase(program, basket, scratch, candidate, purchase, r):
            continue
        units = minimum(wanted, scratch.runs[r].count - scratch.run_demand[r])
        set_aside(scratch, target, r, units)
        wanted -= units
        is_found |= units > 0
    return is_found


cdef int64_t scan_worth(const offer_t *offer, const gs1_coupon_t *coupon, int64_t left,
                        int64_t price) noexcept nogil:
    """C4, in parts, of what can be taken off the rewarded units and what they cost."""
    cdef int64_t value = coupon.save_value
    if coupon.save_code == GS1_SAVE_PERCENT:
        return minimum(price * value * 100, PARTS_PER_MINOR * left)
    if coupon.save_code == GS1_SAVE_UNITS or (coupon.save_code == GS1_SAVE_FREE and value == 0):
        return PARTS_PER_MINOR * left
    if value > left and coupon.save_code != GS1_SAVE_FREE and offer.flags & OFFER_FLAG_FACE_VALUE:
        return 0
    return PARTS_PER_MINOR * minimum(value, left)


cdef uint32_t lay_out(scratch_t *scratch, uint32_t candidate, const gs1_coupon_t *coupon,
                      uint32_t target) noexcept nogil:
    """C4: rewarded and other units of a coupon off units."""
    cdef contest_t *contest = &scratch.contest
    cdef const offer_t *offer = scratch.candidates[candidate].offer
    cdef int64_t wanted = LP_UNBOUNDED
    cdef int64_t left = 0
    cdef int64_t price = 0
    cdef int64_t units
    cdef uint32_t i, r
    if coupon.save_code == GS1_SAVE_FREE or coupon.save_code == GS1_SAVE_UNITS:
        wanted = 1 if coupon.save_code == GS1_SAVE_FREE else coupon.save_value
    for i in range(scratch.run_count):
        r = scratch.run_count - 1 - i
        units = minimum(wanted, scratch.scan_units[target][r])
        wanted -= units
        left += can_give(offer, &scratch.runs[r]) * units
        price += scratch.runs[r].price_minor * units
        take_units(contest, 0, r, True, units)
        take_units(contest, 0, r, False, scratch.run_demand[r] - units)
    return begin_scan(scratch, candidate, scan_worth(offer, coupon, left, price))


cdef uint32_t begin_scan(scratch_t *scratch, uint32_t candidate, int64_t parts) noexcept nogil:
    """The one contender of a coupon; the outcome."""
    cdef contender_t *contender = &scratch.contest.contenders[0]
    scratch.contest.contender_count = 1
    contender.candidate = candidate
    contender.kind = 0
    contender.component = 0
    contender.price_parts = 0
    contender.times = 1
    contender.alone_parts = parts
    scratch.contest.worth_parts = parts
    scratch.contest.bound_parts = parts
    return OUTCOME_APPLIED if parts > 0 else OUTCOME_NO_SAVING


cdef status_t lay_out_basket(const basket_t *basket, scratch_t *scratch, decision_t *decision,
                             uint32_t candidate, const gs1_coupon_t *coupon,
                             uint32_t *outcome) noexcept nogil:
    """C4: a coupon off the basket marks what was bought for it, then takes its value off all."""
    cdef contest_t *contest = &scratch.contest
    cdef const offer_t *offer = scratch.candidates[candidate].offer
    cdef int64_t left = 0
    cdef bint has_goods = False
    cdef uint32_t r
    scratch.ignores_marks = True
    for r in range(scratch.run_count):
        if is_usable(scratch, candidate, 0, r):
            has_goods = True
            left += can_give(offer, &scratch.runs[r]) * scratch.runs[r].count
        take_units(contest, 0, r, False, scratch.run_demand[r])
    outcome[0] = begin_scan(scratch, candidate, scan_worth(offer, coupon, left, 0))
    if not has_goods:
        outcome[0] = OUTCOME_NOT_QUALIFIED
    if outcome[0] != OUTCOME_APPLIED:
        return STATUS_OK
    contest.contenders[0].serves = SERVES_BOUGHT
    contest.contenders[0].mark = mark_of(offer)
    contest.contenders[0].applied = NONE_32
    begin_step(scratch)
    take_served(scratch, decision, 0, NONE_32)
    if contest.is_full or end_step(basket, scratch) != STATUS_OK:
        return STATUS_CANDIDATES_CEILING
    contest.allocation_count = 0
    for r in range(scratch.run_count):
        if is_usable(scratch, candidate, 0, r) and can_give(offer, &scratch.runs[r]) > 0:
            take_units(contest, 0, r, True, scratch.runs[r].count)
    return STATUS_OK


cdef uint32_t judge_scan(const program_t *program, const basket_t *basket,
                         const gs1_coupon_t *coupon) noexcept nogil:
    """C2: OUTCOME_APPLIED where the coupon may be used here today."""
    cdef uint32_t i
    if coupon.fault != 0:
        return OUTCOME_COUPON_INVALID
    if coupon.start_date > basket.business_date:
        return OUTCOME_NOT_YET
    if coupon.end_date != 0 and coupon.end_date < basket.business_date:
        return OUTCOME_ENDED
    if coupon.retailer_digits == 0:
        return OUTCOME_APPLIED
    for i in range(program.retailer_count):
        if program.retailers[i].number == coupon.retailer and \
                program.retailers[i].digits == coupon.retailer_digits:
            return OUTCOME_APPLIED
    return OUTCOME_NOT_THIS_STORE


cdef uint32_t find_match(const program_t *program, const scratch_t *scratch,
                         const offer_t *offer, const gs1_coupon_t *coupon) noexcept nogil:
    """C6: the candidate that matches what a coupon takes off; NONE_32 without one."""
    cdef uint32_t wanted = program.header.scan_offers[2]
    cdef uint32_t i
    if not offer.flags & OFFER_FLAG_MANUFACTURER or coupon.no_multiply:
        return NONE_32
    if coupon.save_code != GS1_SAVE_MONEY and coupon.save_code != GS1_SAVE_BASKET:
        return NONE_32
    for i in range(scratch.candidate_count):
        if scratch.candidates[i].number + 1 == wanted:
            return i
    return NONE_32


cdef status_t match_coupon(const program_t *program, const basket_t *basket,
                           const facts_t *facts, scratch_t *scratch, decision_t *decision,
                           uint32_t candidate) noexcept nogil:
    """C6: as much again off the units that a coupon rewarded, up to the offer's ceiling. They are
    told from the others by a mark, which goes with this."""
    cdef const offer_t *offer = scratch.candidates[candidate].offer
    cdef int64_t left = 0
    cdef uint32_t r, p
    cdef status_t status = STATUS_OK
    scratch.match_mark = 0
    begin_contest(scratch, True)
    for r in range(scratch.run_count):
        if scratch.runs[r].marks & MARK_MATCHED and can_give(offer, &scratch.runs[r]) > 0 and \
                is_usable(scratch, candidate, 0, r):
            left += can_give(offer, &scratch.runs[r]) * scratch.runs[r].count
            take_units(&scratch.contest, 0, r, True, scratch.runs[r].count)
    left = minimum(left, minimum(scratch.given_minor, offer.reward_value))
    if begin_scan(scratch, candidate, PARTS_PER_MINOR * left) == OUTCOME_APPLIED:
        status = finish_step(program, basket, facts, scratch, decision, False)
    if status != STATUS_OK:
        return status
    # Nothing for this coupon takes nothing from what it gave with an earlier one.
    if scratch.candidates[candidate].flags & CANDIDATE_APPLIED:
        scratch.candidates[candidate].outcome = OUTCOME_APPLIED
    for p in range(scratch.piece_count):
        scratch.pieces[p].marks &= ~<uint32_t>MARK_MATCHED
    return STATUS_OK if make_runs(basket, scratch) else STATUS_CANDIDATES_CEILING


cdef bint has_twin(const basket_t *basket, const scratch_t *scratch,
                   uint32_t coupon) noexcept nogil:
    """C5: whether the digital twin of a paper coupon is shown too, and the program knows it."""
    cdef uint32_t i
    for i in range(scratch.coupon_pair_count):
        if basket.coupon_keys[scratch.coupon_pairs[i].coupon] == basket.twin_keys[coupon]:
            return True
    return False


cdef status_t run_scan(const program_t *program, const basket_t *basket, const facts_t *facts,
                       scratch_t *scratch, decision_t *decision, uint32_t candidate,
                       uint32_t number, uint32_t *outcome) noexcept nogil:
    """One coupon, on what those before it left."""
    cdef const gs1_coupon_t *coupon = &basket.scanned[number]
    cdef status_t status = STATUS_OK
    cdef uint32_t match = find_match(program, scratch, scratch.candidates[candidate].offer, coupon)
    cdef uint32_t met, target, p, r
    outcome[0] = judge_scan(program, basket, coupon)
    if outcome[0] == OUTCOME_APPLIED and coupon.serial_digits > 0 and (
            is_shown_before(basket, number) or is_used(facts, scratch, number)):
        outcome[0] = used_outcome(scratch, number)
    if scratch.is_counters_full:
        return STATUS_CANDIDATES_CEILING
    if outcome[0] == OUTCOME_APPLIED and has_twin(basket, scratch, number):
        outcome[0] = OUTCOME_COUPON_USED
    if outcome[0] != OUTCOME_APPLIED:
        return STATUS_OK
    begin_contest(scratch, True)
    for r in range(scratch.run_count):
        scratch.run_demand[r] = 0
        for p in range(GS1_PURCHASES_MAX):
            scratch.scan_units[p][r] = 0
    met = meet_rules(program, basket, scratch, candidate, coupon)
    target = coupon.item
    if not met >> target & 1:
        target = 0 if met & 1 else 1 if met & 2 else 2
    if met == 0:
        outcome[0] = lacking_outcome(program, basket, scratch, candidate, coupon)
        return STATUS_OK
    if coupon.save_code == GS1_SAVE_BASKET:
        status = lay_out_basket(basket, scratch, decision, candidate, coupon, outcome)
    elif find_units(program, basket, scratch, candidate, coupon, target):
        outcome[0] = lay_out(scratch, candidate, coupon, target)
    else:
        outcome[0] = OUTCOME_NOT_QUALIFIED
    if status == STATUS_OK and outcome[0] == OUTCOME_APPLIED:
        scratch.match_mark = MARK_MATCHED if match != NONE_32 else 0
        status = finish_step(program, basket, facts, scratch, decision, False)
        decision.coupon_minor[number] = scratch.given_minor
        if scratch.given_minor == 0:
            outcome[0] = OUTCOME_NO_SAVING
        if status == STATUS_OK and match != NONE_32:
            status = match_coupon(program, basket, facts, scratch, decision, match)
    scratch.ignores_marks = False
    return status


cdef status_t run_scans(const program_t *program, const basket_t *basket, const facts_t *facts,
                        scratch_t *scratch, decision_t *decision,
                        uint32_t candidate) noexcept nogil:
    """The scanned coupons of an offer's kind, in the order of the basket."""
    cdef candidate_t *it = &scratch.candidates[candidate]
    cdef bint is_store = (it.offer.flags & OFFER_FLAG_STORE_COUPON) != 0
    cdef uint32_t first = 0
    cdef uint32_t outcome = 0
    cdef uint32_t i
    cdef status_t status
    if it.number + 1 == program.header.scan_offers[2]:
        # It gives with the coupons that it matches, before this or after.
        it.outcome = OUTCOME_APPLIED if it.flags & CANDIDATE_APPLIED else OUTCOME_NO_SAVING
        return STATUS_OK
    for i in range(basket.coupon_count):
        if not is_scan_of(&basket.scanned[i], is_store):
            continue
        status = run_scan(program, basket, facts, scratch, decision, candidate, i, &outcome)
        if status != STATUS_OK:
            return status
        decision.coupon_outcome[i] = outcome
        if outcome == OUTCOME_APPLIED:
            decision.coupon_offer[i] = it.number
            if basket.scanned[i].serial_digits > 0:
                count_coupon(scratch, decision, it.number, i)
        if first == 0 or outcome == OUTCOME_APPLIED:
            first = outcome
    it.outcome = first
    return STATUS_OK


# ------------------------------------------------------------------ near misses (N1) ----------


cdef int64_t cheapest_unit(const scratch_t *scratch, uint32_t candidate) noexcept nogil:
    """The price of the cheapest unit that fits any place; -1 when there is none."""
    cdef int64_t cheapest = -1
    cdef uint32_t r, s
    for r in range(scratch.run_count):
        for s in range(scratch.candidates[candidate].offer.slot_count):
            if is_usable(scratch, candidate, s, r) and \
                    (cheapest < 0 or scratch.runs[r].price_minor < cheapest):
                cheapest = scratch.runs[r].price_minor
    return cheapest


cdef int64_t cheapest_application(const program_t *program, const basket_t *basket,
                                  const facts_t *facts, const scratch_t *scratch,
                                  uint32_t candidate, work_run_t *missing,
                                  near_miss_t *miss) noexcept nogil:
    """Worth of one block: the dearest units that are there, then the missing ones."""
    cdef const offer_t *offer = scratch.candidates[candidate].offer
    cdef int64_t count = program.slots[offer.first_slot].count
    cdef int64_t worth = 0
    cdef int64_t at = 0
    cdef int64_t taken
    cdef uint32_t r
    for r in range(scratch.run_count):
        if not is_usable(scratch, candidate, 0, r):
            continue
        taken = minimum(count - at, scratch.runs[r].count)
        worth += (maximum(0, at + taken - (count - offer.get_count))
                  - maximum(0, at - (count - offer.get_count))) * unit_worth(
            program, basket, facts, &scratch.candidates[candidate], 0, &scratch.runs[r])
        at += taken
    miss.missing_units = count - at
    return worth + minimum(count - at, offer.get_count) * unit_worth(
        program, basket, facts, &scratch.candidates[candidate], 0, missing)


cdef bint fits_somewhere(const scratch_t *scratch, uint32_t candidate, uint32_t run) noexcept nogil:
    """Whether a run serves any place of an offer: most of a basket's serve none."""
    cdef uint32_t slot
    for slot in range(scratch.candidates[candidate].offer.slot_count):
        if is_usable(scratch, candidate, slot, run):
            return True
    return False


cdef int64_t first_application(const program_t *program, const basket_t *basket,
                               const facts_t *facts, scratch_t *scratch, uint32_t candidate,
                               work_run_t *missing, near_miss_t *miss) noexcept nogil:
    """Worth of one application with as many places filled as can be, the rest by missing units:
    what a unit gains is what it is worth above a missing one."""
    cdef const candidate_t *it = &scratch.candidates[candidate]
    cdef const offer_t *offer = it.offer
    cdef uint32_t goal_arc[8]
    cdef int64_t worth = 0
    cdef int64_t lacking, spare
    cdef int64_t most_lacking = 0
    cdef uint32_t node, r, s, arc
    flow_begin(&scratch.flow)
    for r in range(scratch.run_count):
        scratch.run_node[r] = FLOW_SOURCE
        if not fits_somewhere(scratch, candidate, r):
            continue
        scratch.run_node[r] = flow_add_node(&scratch.flow)
        flow_add_arc(&scratch.flow, FLOW_SOURCE, scratch.run_node[r], scratch.runs[r].count, 0, 0)
    for s in range(offer.slot_count):
        node = flow_add_node(&scratch.flow)
        spare = unit_worth(program, basket, facts, it, s, missing)
        worth += program.slots[offer.first_slot + s].count * spare
        goal_arc[s] = flow_add_arc(&scratch.flow, node, FLOW_SINK,
                                   program.slots[offer.first_slot + s].count, FLOW_MUST, 0)
        for r in range(scratch.run_count):
            if scratch.run_node[r] != FLOW_SOURCE and is_usable(scratch, candidate, s, r):
                flow_add_arc(&scratch.flow, scratch.run_node[r], node, scratch.runs[r].count,
                             unit_worth(program, basket, facts, it, s, &scratch.runs[r]) - spare,
                             0)
    if scratch.flow.is_full:
        return 0
    flow_solve(&scratch.flow)
    arc = 2
    while arc < scratch.flow.arc_count:
        if scratch.flow.arcs[arc].gain < FLOW_MUST:
            worth += scratch.flow.arcs[arc].gain * flow_on(&scratch.flow, arc)
        arc += 2
    for s in range(offer.slot_count):
        lacking = scratch.flow.arcs[goal_arc[s]].capacity
        miss.missing_units += lacking
        if lacking > most_lacking:
            most_lacking = lacking
            miss.slot = s
    return worth


cdef bint is_nearer(const near_miss_t *a, const near_miss_t *b) noexcept nogil:
    if (a.missing_minor > 0) != (b.missing_minor > 0):
        return b.missing_minor > 0
    if a.missing_units != b.missing_units:
        return a.missing_units < b.missing_units
    if a.missing_minor != b.missing_minor:
        return a.missing_minor < b.missing_minor
    if a.gain_minor != b.gain_minor:
        return a.gain_minor > b.gain_minor
    return a.offer < b.offer


cdef void list_near_miss(const basket_t *basket, decision_t *decision,
                         const near_miss_t *miss) noexcept nogil:
    cdef uint32_t most = <uint32_t>minimum(basket.near_miss_limit, NEAR_MISSES_MAX)
    cdef uint32_t at = decision.near_miss_count
    cdef uint32_t i
    while at > 0 and is_nearer(miss, &decision.near_misses[at - 1]):
        at -= 1
    if at == most:
        return
    if decision.near_miss_count < most:
        decision.near_miss_count += 1
    i = decision.near_miss_count
    while i > at + 1:
        i -= 1
        decision.near_misses[i] = decision.near_misses[i - 1]
    decision.near_misses[at] = miss[0]


cdef bint fill_application(const program_t *program, const basket_t *basket,
                           const facts_t *facts, scratch_t *scratch, uint32_t candidate,
                           near_miss_t *miss) noexcept nogil:
    """M2, M3 and M4: what one application lacks, and what it would be worth, rounded. False when
    no unit fits."""
    cdef const offer_t *offer = scratch.candidates[candidate].offer
    cdef work_run_t missing
    cdef uint64_t flow_steps = scratch.flow.steps
    cdef int64_t worth
    missing.price_minor = cheapest_unit(scratch, candidate)
    missing.initial_minor = missing.price_minor
    missing.measure_milli = 0
    missing.legal_min_minor = 0
    missing.cost_milli = -1
    missing.origin = 0
    if missing.price_minor < 0:
        return False
    if offer.mechanic == MECHANIC_CHEAPEST:
        worth = cheapest_application(program, basket, facts, scratch, candidate, &missing, miss)
    elif offer.flags & OFFER_FLAG_DIFFERENT:
        worth = different_application(program, basket, facts, scratch, candidate, &missing, miss)
    else:
        worth = first_application(program, basket, facts, scratch, candidate, &missing, miss)
    scratch.flow.steps = flow_steps
    if offer.mechanic == MECHANIC_GROUP_PRICE:
        worth -= price_of_group(program, offer)
    miss.gain_minor = round_quotient(worth, PARTS_PER_MINOR, offer.rounding)
    return True


cdef bint miss_units(const program_t *program, const basket_t *basket, const facts_t *facts,
                     scratch_t *scratch, uint32_t candidate, near_miss_t *miss) noexcept nogil:
    """M2, M3 and M4: units that nobody has taken, at what is left of their price."""
    return fill_application(program, basket, facts, scratch, candidate, miss) and \
        miss.missing_units > 0 and miss.gain_minor > 0


cdef int64_t different_application(const program_t *program, const basket_t *basket,
                                   const facts_t *facts, scratch_t *scratch, uint32_t candidate,
                                   work_run_t *missing, near_miss_t *miss) noexcept nogil:
    """M11: worth of one application of the dearest unit of each product and the missing ones."""
    cdef const candidate_t *it = &scratch.candidates[candidate]
    cdef bint is_group = it.offer.mechanic == MECHANIC_GROUP_PRICE
    cdef int64_t worth = 0
    cdef uint32_t r
    miss.missing_units = program.slots[it.offer.first_slot].count
    begin_marks(basket, scratch)
    for r in range(scratch.run_count):
        if is_usable(scratch, candidate, 0, r) and mark_code(scratch, scratch.runs[r].origin):
            miss.missing_units -= 1
            if is_group:
                worth += unit_worth(program, basket, facts, it, 0, &scratch.runs[r])
    return worth + unit_worth(program, basket, facts, it, 0, missing) * (
        miss.missing_units if is_group else 1)


cdef bint lacks_base(const program_t *program, const basket_t *basket, scratch_t *scratch,
                     uint32_t candidate, near_miss_t *miss) noexcept nogil:
    """What the threshold or the first step lacks of its base."""
    cdef candidate_t *it = &scratch.candidates[candidate]
    cdef int64_t lacking
    choose_step(program, basket, scratch, candidate)
    lacking = it.goal - base_reached(basket, scratch, candidate)
    if lacking <= 0 or it.offer.base == BASE_MEASURE or not has_units(scratch, candidate, 0):
        return False
    if it.offer.base == BASE_SPEND:
        miss.missing_minor = lacking
    else:
        miss.missing_units = lacking
    return True


cdef bint miss_threshold(const program_t *program, const basket_t *basket, scratch_t *scratch,
                         uint32_t candidate, near_miss_t *miss) noexcept nogil:
    """M6, at the prices after all discounts: the reward is that of today. N2: a gift."""
    cdef const candidate_t *it = &scratch.candidates[candidate]
    cdef int64_t worth
    cdef int64_t left = 0
    cdef int64_t together = 0
    if lacks_base(program, basket, scratch, candidate, miss):
        begin_contest(scratch, scratch.contest.sees_taken)
        worth = reward_units(basket, scratch, candidate, &left, &together)
        worth = threshold_worth(it, worth, left, together, 1)
        miss.gain_minor = round_quotient(worth, PARTS_PER_MINOR, it.offer.rounding)
        return miss.gain_minor > 0 or (it.offer.flags & OFFER_FLAG_GIFT) != 0
    if not it.offer.flags & OFFER_FLAG_GIFT or not has_units(scratch, candidate, 0) or \
            has_units(scratch, candidate, 1):
        return False
    miss.slot = 1
    miss.missing_units = it.offer.rewarded_max
    return True


cdef bint miss_steps(const program_t *program, const basket_t *basket, scratch_t *scratch,
                     uint32_t candidate, near_miss_t *miss) noexcept nogil:
    """M12: what the first step lacks, and its reward on the units that are there."""
    cdef const candidate_t *it = &scratch.candidates[candidate]
    cdef int64_t worth = 0
    cdef uint32_t r
    if not lacks_base(program, basket, scratch, candidate, miss):
        return False
    for r in range(scratch.run_count):
        if is_usable(scratch, candidate, 0, r):
            worth += scratch.runs[r].count * reward_worth(
                it.offer, it.offer.reward, it.reward_value, &scratch.runs[r])
    miss.gain_minor = round_quotient(worth, PARTS_PER_MINOR, it.offer.rounding)
    return miss.gain_minor > 0


cdef bint has_applications(const offer_t *offer) noexcept nogil:
    return offer.mechanic == MECHANIC_BUY_GET or offer.mechanic == MECHANIC_CHEAPEST or \
        offer.mechanic == MECHANIC_GROUP_PRICE


cdef void find_misses(const program_t *program, const basket_t *basket, const facts_t *facts,
                      scratch_t *scratch, decision_t *decision, bint is_item) noexcept nogil:
    cdef const candidate_t *candidate
    cdef near_miss_t miss
    cdef uint32_t c
    cdef bint is_miss
    if basket.near_miss_limit == 0:
        return
    for c in range(scratch.candidate_count):
        candidate = &scratch.candidates[c]
        if candidate.flags & CANDIDATE_APPLIED or candidate.offer.layer == LAYER_EARN:
            continue
        miss.offer = candidate.number
        miss.slot = 0
        miss.missing_units = 0
        miss.missing_minor = 0
        miss.gain_minor = 0
        is_miss = False
        scratch.contest.sees_taken = (candidate.offer.flags & OFFER_FLAG_STACKABLE) != 0
        if is_item and candidate.offer.layer == LAYER_ITEM and has_applications(candidate.offer):
            is_miss = miss_units(program, basket, facts, scratch, c, &miss)
        elif is_item and candidate.offer.layer == LAYER_ITEM and candidate.offer.step_count > 0:
            is_miss = miss_steps(program, basket, scratch, c, &miss)
        elif not is_item and candidate.offer.mechanic == MECHANIC_THRESHOLD:
            is_miss = miss_threshold(program, basket, scratch, c, &miss)
        if is_miss:
            list_near_miss(basket, decision, &miss)
