# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""The exact search for the best combination of applications and units.

First what a unit is worth when nobody else takes it is settled: the best unlimited discount of
single units owns it, and every other use is worth what it gives above that. Then only counts are
branched on: how often an offer applies, and for cheapest-free offers how many blocks have their
first free unit in each run. With these fixed the units are a transportation problem, which flow.h
solves exactly on runs. simplex.h bounds what a branch can still give; a branch is closed, and a
count is narrowed, only by that bound evaluated in whole numbers. Parts of few states need no
branches: with the prices of the root, layers.h goes through them unit by unit.
"""

from checklane.structs cimport *


# ------------------------------------------------------------------ an offer by itself --------


cdef void allocate(contest_t *contest, uint32_t contender, uint32_t place, uint32_t run,
                   bint is_rewarded, int64_t units) noexcept nogil:
    cdef allocation_t *allocation
    cdef uint32_t last = contest.allocation_count
    if units == 0:
        return
    if last > 0:
        allocation = &contest.allocations[last - 1]
        if allocation.contender == contender and allocation.place == place and \
                allocation.run == run and allocation.is_rewarded == is_rewarded:
            allocation.units += units
            return
    if last == SHARES_MAX:
        contest.is_full = True
        return
    allocation = &contest.allocations[last]
    allocation.contender = contender
    allocation.place = place
    allocation.run = run
    allocation.is_rewarded = is_rewarded
    allocation.units = units
    contest.allocation_count = last + 1


cdef bint goes_before(const scratch_t *scratch, const fitting_t *a,
                      const fitting_t *b) noexcept nogil:
    """The unit worth more; of equal ones that which costs no owner, or the owner of lower rank."""
    if a.worth != b.worth:
        return a.worth > b.worth
    if scratch.base_owner[a.run] == scratch.base_owner[b.run]:
        return False
    return scratch.base_owner[a.run] > scratch.base_owner[b.run]


cdef bint stands_first(const scratch_t *scratch, const fitting_t *entries, uint32_t a,
                       uint32_t b) noexcept nogil:
    if goes_before(scratch, &entries[a], &entries[b]):
        return True
    return a < b and not goes_before(scratch, &entries[b], &entries[a])


cdef void sort_entries(scratch_t *scratch, const place_t *place, uint32_t *order) noexcept nogil:
    """Entry numbers of a place, the best first; equal ones stay in canonical order. Shell sort: in
    most places the order is right already."""
    cdef const fitting_t *entries = &scratch.contest.entries[place.first_entry]
    cdef uint32_t gap = 1
    cdef uint32_t i, j, entry
    for i in range(place.entry_count):
        order[i] = i
    if scratch.is_hasty:
        return
    while gap < place.entry_count // 3:
        gap = 3 * gap + 1
    while gap > 0:
        for i in range(gap, place.entry_count):
            j = i
            entry = order[i]
            while j >= gap and stands_first(scratch, entries, entry, order[j - gap]):
                order[j] = order[j - gap]
                j -= gap
                scratch.steps += 1
            order[j] = entry
        gap //= 3


cdef int64_t alone_units(scratch_t *scratch, uint32_t number, bint is_final) noexcept nogil:
    """CONTEND_UNITS with what run_left holds to itself: the units worth most."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place = &contest.places[contender.first_place]
    cdef const fitting_t *entry
    cdef int64_t left = contender.cap
    cdef int64_t worth = 0
    cdef int64_t units
    cdef uint32_t i
    sort_entries(scratch, place, scratch.sorted)
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + i]
        if entry.group != NONE_32:
            scratch.group_left[entry.group] = contest.group_caps[entry.group]
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + scratch.sorted[i]]
        if entry.worth < 0:
            continue
        units = minimum(left, scratch.run_left[entry.run])
        if entry.group != NONE_32:
            units = minimum(units, scratch.group_left[entry.group])
            scratch.group_left[entry.group] -= units
        left -= units
        worth += units * entry.worth
        if is_final:
            allocate(contest, number, 0, entry.run, True, units)
            scratch.run_left[entry.run] -= units
    if is_final:
        contender.times = contender.cap - left
    scratch.steps += place.entry_count
    return worth


cdef int64_t alone_cheapest(scratch_t *scratch, uint32_t number, bint is_final) noexcept nogil:
    """CONTEND_CHEAPEST: blocks from the dearest unit down, as many as there are units for.

    The j-th free unit of any choice stands at or behind place j * count of the whole sequence, so
    no choice gives more when worth falls with the price.
    """
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place = &contest.places[contender.first_place]
    cdef const fitting_t *entry
    cdef int64_t total = 0
    cdef int64_t worth = 0
    cdef int64_t at = 0
    cdef int64_t times, units, free
    cdef uint32_t i
    for i in range(place.entry_count):
        total += scratch.run_left[contest.entries[place.first_entry + i].run]
    times = minimum(contender.cap, total // place.count)
    if contender.is_tangled:
        times = best_blocks(scratch, number, times)
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + i]
        units = minimum(scratch.run_left[entry.run], times * place.count - at)
        free = free_before(at + units, place.count, contender.get) - \
            free_before(at, place.count, contender.get)
        worth += free * entry.worth - (units - free) * scratch.run_base[entry.run]
        at += units
        if is_final:
            allocate(contest, number, 0, entry.run, True, free)
            allocate(contest, number, 0, entry.run, False, units - free)
            scratch.run_left[entry.run] -= units
    if is_final:
        contender.times = times
    scratch.steps += place.entry_count
    return worth


cdef int64_t best_blocks(scratch_t *scratch, uint32_t number, int64_t most) noexcept nogil:
    """How many blocks from the dearest unit down are worth most, as far as ends of runs tell. Only
    a guess: where bought units have another use the best blocks may lie apart."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place = &contest.places[contender.first_place]
    cdef const fitting_t *entry
    cdef int64_t at = 0
    cdef int64_t worth = 0
    cdef int64_t best = 0
    cdef int64_t times = 0
    cdef int64_t units, free, whole
    cdef uint32_t i
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + i]
        units = minimum(scratch.run_left[entry.run], most * place.count - at)
        # Up to the last whole block that ends in this run, then the rest of the run.
        whole = (at + units) // place.count * place.count - at
        if whole > 0:
            free = free_before(at + whole, place.count, contender.get) - \
                free_before(at, place.count, contender.get)
            worth += free * entry.worth - (whole - free) * scratch.run_base[entry.run]
            at += whole
            units -= whole
            if worth > best:
                best = worth
                times = at // place.count
        free = free_before(at + units, place.count, contender.get) - \
            free_before(at, place.count, contender.get)
        worth += free * entry.worth - (units - free) * scratch.run_base[entry.run]
        at += units
    scratch.steps += place.entry_count
    return times


cdef int64_t free_before(int64_t units, int64_t count, int64_t get) noexcept nogil:
    """Free units among the first `units` of a sequence of blocks whose last `get` are free."""
    return units // count * get + maximum(0, units % count - (count - get))


cdef int64_t pick(scratch_t *scratch, uint32_t number, uint32_t at_place, uint32_t *cursor,
                  int64_t *cursor_left, int64_t units, bint is_final) noexcept nogil:
    """Take the next `units` of a place; returns their worth, or a number below any worth."""
    cdef contest_t *contest = &scratch.contest
    cdef place_t *place = &contest.places[contest.contenders[number].first_place + at_place]
    cdef const uint32_t *order = scratch.place_order[at_place]
    cdef const fitting_t *entry
    cdef int64_t worth = 0
    cdef int64_t taken
    while units > 0:
        if cursor_left[0] == 0:
            cursor[0] += 1
            if cursor[0] > place.entry_count:
                return -LP_UNBOUNDED
            entry = &contest.entries[place.first_entry + order[cursor[0] - 1]]
            cursor_left[0] = scratch.run_left[entry.run]
            scratch.steps += 1
            continue
        entry = &contest.entries[place.first_entry + order[cursor[0] - 1]]
        taken = minimum(units, cursor_left[0])
        worth += taken * entry.worth
        units -= taken
        cursor_left[0] -= taken
        if is_final:
            allocate(contest, number, at_place, entry.run, place.is_rewarded, taken)
    return worth


cdef int64_t next_application(scratch_t *scratch, uint32_t number, const uint32_t *cursor,
                              const int64_t *cursor_left, int64_t *bulk) noexcept nogil:
    """Worth of one more application and how many like it can follow; below 0: do not."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef int64_t gain = -contender.price_parts
    cdef int64_t part, left, count
    cdef uint32_t p, at
    for p in range(contender.place_count):
        count = contest.places[contender.first_place + p].count
        at = cursor[p]
        left = cursor_left[p]
        part = pick(scratch, number, p, &at, &left, count, False)
        if part == -LP_UNBOUNDED:
            return -LP_UNBOUNDED
        gain += part
        # What is left of the same run makes whole applications that are all alike.
        bulk[0] = minimum(bulk[0], (left + count) // count if at == cursor[p] or
                          left + count == scratch.run_left[contest.entries[
                              contest.places[contender.first_place + p].first_entry
                              + scratch.place_order[p][at - 1]].run] else 1)
    return gain


cdef bint is_owned(const scratch_t *scratch, uint32_t number) noexcept nogil:
    """Whether some unit that a contender wants has another use."""
    cdef const contest_t *contest = &scratch.contest
    cdef const place_t *place
    cdef uint32_t p, i
    for p in range(contest.contenders[number].place_count):
        place = &contest.places[contest.contenders[number].first_place + p]
        for i in range(place.entry_count):
            if scratch.base_owner[contest.entries[place.first_entry + i].run] != NONE_32:
                return True
    return False


cdef bint has_groups(const scratch_t *scratch, uint32_t number) noexcept nogil:
    """Whether some units of a contender have a ceiling together."""
    cdef const contest_t *contest = &scratch.contest
    cdef const place_t *place
    cdef uint32_t p, i
    for p in range(contest.contenders[number].place_count):
        place = &contest.places[contest.contenders[number].first_place + p]
        for i in range(place.entry_count):
            if contest.entries[place.first_entry + i].group != NONE_32:
                return True
    return False


cdef int64_t group_cap(const contest_t *contest, const contender_t *contender, uint32_t group,
                       int64_t times) noexcept nogil:
    """Most units of a group when a contender applies so often."""
    if contender.group_rule == GROUPS_A_TIME:
        return capped_product(contest.group_caps[group], times)
    return contest.group_caps[group]


cdef int64_t alone_applications(scratch_t *scratch, uint32_t number,
                                bint is_final) noexcept nogil:
    """CONTEND_APPLICATIONS whose places want different units: worth falls with every application,
    so they are added until one costs more than it saves. Equal applications are added at once."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef uint32_t cursor[8]
    cdef int64_t cursor_left[8]
    cdef int64_t times = 0
    cdef int64_t worth = 0
    cdef int64_t bulk, gain, part
    cdef uint32_t first = contest.allocation_count
    cdef uint32_t p, i
    for p in range(contender.place_count):
        sort_entries(scratch, &contest.places[contender.first_place + p], scratch.place_order[p])
        cursor[p] = 0
        cursor_left[p] = 0
    while times < contender.cap:
        bulk = contender.cap - times
        gain = next_application(scratch, number, cursor, cursor_left, &bulk)
        if gain == 0 and is_owned(scratch, number):
            # Whether such an application comes before its owner's units is for the search.
            if not is_final:
                contender.is_tangled |= TANGLED_TIES
            break
        if gain < 0:
            break
        for p in range(contender.place_count):
            part = pick(scratch, number, p, &cursor[p], &cursor_left[p],
                        bulk * contest.places[contender.first_place + p].count, is_final)
            INVARIANT(part != -LP_UNBOUNDED)
        times += bulk
        worth += bulk * gain
        scratch.steps += contender.place_count
    if is_final:
        contender.times = times
        for i in range(first, contest.allocation_count):
            scratch.run_left[contest.allocations[i].run] -= contest.allocations[i].units
    return worth


cdef uint64_t entries_of(const scratch_t *scratch, uint32_t number) noexcept nogil:
    cdef const contest_t *contest = &scratch.contest
    cdef const contender_t *contender = &contest.contenders[number]
    cdef uint64_t count = 0
    cdef uint32_t p
    for p in range(contender.place_count):
        count += contest.places[contender.first_place + p].entry_count
    return count


cdef bint may_judge(const scratch_t *scratch, uint32_t number, uint64_t budget) noexcept nogil:
    """Whether a budget has the steps to put a contender's units in order and to walk them."""
    return steps_taken(scratch) + JUDGE_STEPS * entries_of(scratch, number) < budget


cdef int64_t loose_bound(const scratch_t *scratch, uint32_t number) noexcept nogil:
    """No less than a contender can be worth, by its best units alone: for where no steps are left
    to put them in order."""
    cdef const contest_t *contest = &scratch.contest
    cdef const contender_t *contender = &contest.contenders[number]
    cdef const place_t *place
    cdef int64_t whole = -contender.price_parts
    cdef int64_t best, part
    cdef uint32_t p, i
    for p in range(contender.place_count):
        place = &contest.places[contender.first_place + p]
        best = 0
        for i in range(place.entry_count):
            best = maximum(best, contest.entries[place.first_entry + i].worth)
        part = place.count
        if contender.kind == CONTEND_UNITS:
            part = 1
        elif contender.kind == CONTEND_CHEAPEST:
            part = contender.get
        whole = minimum(LP_UNBOUNDED, whole + capped_product(best, part))
    return capped_product(contender.cap, maximum(0, whole))


cdef int64_t take_hastily(scratch_t *scratch, uint32_t number) noexcept nogil:
    """What a contender takes beyond the budget: units in canonical order, one walk and no sorting.
    Nothing where STEPS_BEYOND is used up too."""
    cdef uint64_t steps = 1 + entries_of(scratch, number) // 8
    cdef uint64_t before = scratch.steps
    cdef int64_t worth
    if steps_taken(scratch) + steps > scratch.step_budget + STEPS_BEYOND:
        return 0
    scratch.is_hasty = True
    worth = alone_by_kind(scratch, number, True)
    scratch.is_hasty = False
    scratch.steps = before + steps
    return worth


cdef int64_t alone(scratch_t *scratch, uint32_t number, bint is_final) noexcept nogil:
    """Best worth of a contender with what run_left holds to itself. When final, its units are
    allocated and taken from run_left; beyond the budget it is no longer the best."""
    if is_final and not may_judge(scratch, number, scratch.step_budget):
        return take_hastily(scratch, number)
    return alone_by_kind(scratch, number, is_final)


cdef int64_t alone_by_kind(scratch_t *scratch, uint32_t number, bint is_final) noexcept nogil:
    cdef uint32_t kind = scratch.contest.contenders[number].kind
    if kind == CONTEND_UNITS:
        return alone_units(scratch, number, is_final)
    if kind == CONTEND_CHEAPEST:
        return alone_cheapest(scratch, number, is_final)
    return alone_applications(scratch, number, is_final)


# ------------------------------------------------------------------ what competes -------------


cdef void trim(scratch_t *scratch, contender_t *contender) noexcept nogil:
    """Lower the cap to what the units of each place allow."""
    cdef contest_t *contest = &scratch.contest
    cdef place_t *place
    cdef int64_t total
    cdef uint32_t p, i
    for p in range(contender.place_count):
        place = &contest.places[contender.first_place + p]
        total = 0
        for i in range(place.entry_count):
            total += scratch.run_left[contest.entries[place.first_entry + i].run]
        if place.count > 0:
            total //= place.count
        contender.cap = minimum(contender.cap, total)


cdef int64_t demand_of(const scratch_t *scratch, const contender_t *contender,
                       const place_t *place, uint32_t run) noexcept nogil:
    cdef int64_t most = contender.cap if place.count == 0 else \
        capped_product(contender.cap, place.count)
    return minimum(scratch.run_left[run], most)


cdef uint32_t root_of(search_t *search, uint32_t number) noexcept nogil:
    while search.part[number] != number:
        number = search.part[number]
    return number


cdef void join(search_t *search, uint32_t a, uint32_t b) noexcept nogil:
    """The lower number names the part."""
    a = root_of(search, a)
    b = root_of(search, b)
    if a < b:
        search.part[b] = a
    else:
        search.part[a] = b


cdef void judge_contender(scratch_t *scratch, uint32_t number) noexcept nogil:
    """What a contender is worth alone; only a bound of it where half of the budget is spent. The
    other half is for those judged, which are asked for their units again, and for the search."""
    cdef contender_t *contender = &scratch.contest.contenders[number]
    if may_judge(scratch, number, scratch.step_budget // 2):
        contender.alone_parts = alone(scratch, number, False)
        return
    contender.alone_parts = loose_bound(scratch, number)
    contender.is_tangled |= TANGLED_LOOSE


cdef void count_demand(scratch_t *scratch, uint32_t component) noexcept nogil:
    """Judge each contender of a component (NONE_32: all) alone and add up what they want."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender
    cdef place_t *place
    cdef uint32_t c, p, i, run
    for i in range(scratch.run_count):
        scratch.run_demand[i] = 0
        scratch.run_owner[i] = NONE_32
    for c in range(contest.contender_count):
        contender = &contest.contenders[c]
        if component != NONE_32 and contender.component != component:
            continue
        scratch.search.part[c] = c
        if contender.cap == 0:
            continue
        contender.is_tangled = 0
        if contender.kind == CONTEND_CHEAPEST and is_owned(scratch, c):
            contender.is_tangled = TANGLED_BASE
        elif contender.kind == CONTEND_APPLICATIONS and has_groups(scratch, c):
            contender.is_tangled = TANGLED_PLACES
        judge_contender(scratch, c)
        if alone_bound(scratch, c) <= 0 and contender.kind != CONTEND_UNITS and \
                not contender.is_tangled & (TANGLED_TIES | TANGLED_LOOSE):
            contender.cap = 0
            continue
        for p in range(contender.place_count):
            place = &contest.places[contender.first_place + p]
            for i in range(place.entry_count):
                run = contest.entries[place.first_entry + i].run
                scratch.run_demand[run] += demand_of(scratch, contender, place, run)


cdef void find_parts(scratch_t *scratch, uint32_t component) noexcept nogil:
    """Join contenders of a component (NONE_32: all) that want more of a run together than there
    is."""
    cdef contest_t *contest = &scratch.contest
    cdef search_t *search = &scratch.search
    cdef contender_t *contender
    cdef place_t *place
    cdef uint32_t c, p, i, run
    count_demand(scratch, component)
    for c in range(contest.contender_count):
        contender = &contest.contenders[c]
        if contender.cap == 0 or (component != NONE_32 and contender.component != component):
            continue
        for p in range(contender.place_count):
            place = &contest.places[contender.first_place + p]
            for i in range(place.entry_count):
                run = contest.entries[place.first_entry + i].run
                if scratch.run_demand[run] <= scratch.run_left[run]:
                    continue
                if scratch.run_owner[run] == NONE_32:
                    scratch.run_owner[run] = c | p << 16
                elif scratch.run_owner[run] & 0xffff == c:
                    if scratch.run_owner[run] >> 16 != p:
                        contender.is_tangled |= TANGLED_PLACES
                else:
                    join(search, scratch.run_owner[run] & 0xffff, c)
                    scratch.run_owner[run] = c | p << 16
    for c in range(contest.contender_count):
        if component == NONE_32 or contest.contenders[c].component == component:
            search.part[c] = root_of(search, c)


cdef bint is_in(const scratch_t *scratch, uint32_t number) noexcept nogil:
    """Whether a contender takes part in what is searched."""
    return scratch.contest.contenders[number].cap > 0 and \
        scratch.search.part[number] == scratch.search.component and \
        not scratch.search.is_owner[number]


# ------------------------------------------------------------------ reductions ----------------


cdef bint own_units(scratch_t *scratch, uint32_t number) noexcept nogil:
    """Make a discount of single units that no limit binds the owner of the runs where it is worth
    most. True when it became one."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place = &contest.places[contender.first_place]
    cdef const fitting_t *entry
    cdef int64_t units = 0
    cdef bint is_free = True
    cdef uint32_t i
    if contender.kind != CONTEND_UNITS or contender.cap == 0 or scratch.search.is_owner[number]:
        return False
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + i]
        units += scratch.run_left[entry.run]
        is_free &= entry.group == NONE_32
    if not is_free or contender.cap < units or \
            steps_taken(scratch) + place.entry_count > scratch.step_budget:
        return False
    scratch.search.is_owner[number] = True
    scratch.steps += place.entry_count
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + i]
        if entry.worth > scratch.run_base[entry.run] or (
                entry.worth == scratch.run_base[entry.run] and
                number < scratch.base_owner[entry.run]):
            scratch.run_base[entry.run] = entry.worth
            scratch.base_owner[entry.run] = number
    return True


cdef void drop_entries(scratch_t *scratch, uint32_t number, uint32_t place_number,
                       int64_t rest) noexcept nogil:
    """Keep the units of a place that with `rest` beside them are worth what they cost."""
    cdef contest_t *contest = &scratch.contest
    cdef place_t *place = &contest.places[contest.contenders[number].first_place + place_number]
    cdef const fitting_t *entry
    cdef int64_t above
    cdef uint32_t i, owner
    cdef uint32_t kept = 0
    if steps_taken(scratch) + place.entry_count > scratch.step_budget:
        return
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + i]
        owner = scratch.base_owner[entry.run]
        above = entry.worth - scratch.run_base[entry.run] + rest
        if above < 0 or (above == 0 and place.count == 0 and owner < number):
            continue
        contest.entries[place.first_entry + kept] = entry[0]
        kept += 1
    place.entry_count = kept
    scratch.steps += place.entry_count


cdef void drop_applications(scratch_t *scratch, uint32_t number) noexcept nogil:
    """Drop units that even beside the best others make an application not worth having: without
    it, the others and their owners have more."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place
    cdef const fitting_t *entry
    cdef int64_t best[8]
    cdef int64_t whole = -contender.price_parts
    cdef uint32_t p, i
    for p in range(contender.place_count):
        place = &contest.places[contender.first_place + p]
        best[p] = -LP_UNBOUNDED
        for i in range(place.entry_count):
            entry = &contest.entries[place.first_entry + i]
            best[p] = maximum(best[p], entry.worth - scratch.run_base[entry.run])
        whole = whole + best[p] * place.count if place.entry_count > 0 else -LP_UNBOUNDED
        if whole <= -LP_UNBOUNDED:
            contender.cap = 0
            return
    for p in range(contender.place_count):
        drop_entries(scratch, number, p, whole - best[p])


cdef void take_base(scratch_t *scratch, uint32_t number, int64_t sign) noexcept nogil:
    """Count the units of a contender by what they are worth above their base (sign -1), or again
    by what they are worth (sign 1)."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place
    cdef fitting_t *entry
    cdef uint32_t p, i
    for p in range(contender.place_count):
        place = &contest.places[contender.first_place + p]
        for i in range(place.entry_count):
            entry = &contest.entries[place.first_entry + i]
            entry.worth += sign * scratch.run_base[entry.run]


cdef int64_t reduce(scratch_t *scratch, uint32_t component) noexcept nogil:
    """Settle the owners of units and drop what cannot be part of an answer. Returns what the units
    are worth with their owners."""
    cdef contest_t *contest = &scratch.contest
    cdef search_t *search = &scratch.search
    cdef contender_t *contender
    cdef int64_t base = 0
    cdef bint is_changed = True
    cdef uint32_t c, i
    while is_changed:
        is_changed = False
        for c in range(contest.contender_count):
            contender = &contest.contenders[c]
            if contender.component != component or contender.kind != CONTEND_UNITS:
                continue
            is_changed |= own_units(scratch, c)
        for c in range(contest.contender_count):
            contender = &contest.contenders[c]
            if contender.component == component and contender.cap > 0 and \
                    contender.kind == CONTEND_UNITS and not search.is_owner[c]:
                drop_entries(scratch, c, 0, 0)
    for c in range(contest.contender_count):
        contender = &contest.contenders[c]
        if contender.component != component or contender.cap == 0:
            continue
        search.owner_cap[c] = contender.cap
        if search.is_owner[c]:
            contender.cap = 0
            continue
        if contender.kind == CONTEND_APPLICATIONS:
            drop_applications(scratch, c)
        take_base(scratch, c, -1)
        trim(scratch, contender)
    for i in range(scratch.run_count):
        base += scratch.run_base[i] * scratch.run_left[i]
    return base


cdef void give_to_owners(scratch_t *scratch, uint32_t component) noexcept nogil:
    """What is left of each run goes to its owner; worth is counted as before from here on."""
    cdef contest_t *contest = &scratch.contest
    cdef search_t *search = &scratch.search
    cdef contender_t *contender
    cdef place_t *place
    cdef uint32_t c, i, run
    for c in range(contest.contender_count):
        contender = &contest.contenders[c]
        if contender.component != component:
            continue
        if not search.is_owner[c]:
            take_base(scratch, c, 1)
            continue
        search.is_owner[c] = False
        contender.cap = search.owner_cap[c]
        contender.times = 0
        place = &contest.places[contender.first_place]
        for i in range(place.entry_count):
            run = contest.entries[place.first_entry + i].run
            if scratch.base_owner[run] == c:
                allocate(contest, c, 0, run, True, scratch.run_left[run])
                contender.times += scratch.run_left[run]
                scratch.run_left[run] = 0
    for i in range(scratch.run_count):
        scratch.run_base[i] = 0
        scratch.base_owner[i] = NONE_32


cdef int64_t resolve_in_turn(scratch_t *scratch, int64_t *bound) noexcept nogil:
    """The contenders of a part one after the other on what is left, the one worth most next. The
    bound is what they are worth with everything to themselves.

    What a contender is worth only falls while others take units, so only those are asked again that
    might still be worth most; past the budget none is.
    """
    cdef contest_t *contest = &scratch.contest
    cdef search_t *search = &scratch.search
    cdef int64_t worth = 0
    cdef uint32_t taken_count = 1
    cdef uint32_t c, best
    bound[0] = 0
    for c in range(contest.contender_count):
        search.turn_parts[c] = 0
        search.turn[c] = 0
        if not is_in(scratch, c):
            continue
        contest.contenders[c].times = 0
        bound[0] += maximum(0, alone_bound(scratch, c))
        if not contest.contenders[c].is_tangled & TANGLED_PLACES:
            search.turn_parts[c] = alone_bound(scratch, c)
    scratch.steps += contest.contender_count
    while True:
        best = 0
        for c in range(1, contest.contender_count):
            if search.turn_parts[c] > search.turn_parts[best]:
                best = c
        if search.turn_parts[best] <= 0:
            return worth
        if search.turn[best] != taken_count and may_judge(scratch, best, scratch.step_budget):
            search.turn[best] = taken_count
            search.turn_parts[best] = alone(scratch, best, False)
            continue
        worth += alone(scratch, best, True)
        search.turn_parts[best] = 0
        taken_count += 1


cdef int64_t alone_bound(scratch_t *scratch, uint32_t number) noexcept nogil:
    """No less than a contender can be worth. Cheapest-free: as if its bought units cost nothing."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place = &contest.places[contender.first_place]
    cdef const fitting_t *entry
    cdef int64_t best = 0
    cdef uint32_t i
    if not contender.is_tangled & TANGLED_BASE:
        return contender.alone_parts
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + i]
        best = maximum(best, entry.worth)
    return capped_product(best, capped_product(contender.cap, contender.get))


# ------------------------------------------------------------------ the linear program --------


cdef uint32_t add_column(scratch_t *scratch, uint32_t kind, uint32_t contender, uint32_t place,
                         uint32_t entry, int64_t cost, int64_t upper) noexcept nogil:
    cdef uint32_t number = lp_add_column(&scratch.lp, cost, 0, upper)
    cdef column_t *column = &scratch.search.columns[number]
    column.kind = kind
    column.contender = contender
    column.place = place
    column.entry = entry
    column.run = NONE_32
    column.next_of_run = NONE_32
    scratch.search.grain = greatest_divisor(scratch.search.grain, cost)
    scratch.search.most_units[number] = upper
    if kind != COLUMN_TIMES:
        column.run = scratch.contest.entries[entry].run
    if kind != COLUMN_TIMES and not (kind == COLUMN_BLOCKS and
                                     scratch.contest.contenders[contender].get > 1):
        column.next_of_run = scratch.run_column[column.run]
        scratch.run_column[column.run] = number
    return number


cdef uint32_t stride_of(const contender_t *contender) noexcept nogil:
    """Columns of a run of a cheapest-free contender: blocks, bought, and free where a block has
    several."""
    return 3 if contender.get > 1 else 2


cdef void add_cheapest_columns(scratch_t *scratch, uint32_t number) noexcept nogil:
    """A run whose free unit is worth less than the cheapest bought ones before it has none."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place = &contest.places[contender.first_place]
    cdef const fitting_t *entry
    cdef int64_t bought = place.count - contender.get
    cdef int64_t cheapest = LP_UNBOUNDED
    cdef int64_t most, blocks
    cdef uint32_t i
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + i]
        most = demand_of(scratch, contender, place, entry.run)
        cheapest = minimum(cheapest, scratch.run_base[entry.run])
        blocks = minimum(most, contender.cap)
        if contender.get == 1:
            if entry.worth - capped_product(bought, cheapest) < 0:
                blocks = 0
            add_column(scratch, COLUMN_BLOCKS, number, 0, place.first_entry + i, entry.worth,
                       blocks)
        else:
            add_column(scratch, COLUMN_BLOCKS, number, 0, place.first_entry + i, 0, blocks)
        add_column(scratch, COLUMN_BOUGHT, number, 0, place.first_entry + i,
                   -scratch.run_base[entry.run], minimum(most, contender.cap * bought))
        if contender.get > 1:
            add_column(scratch, COLUMN_FREE, number, 0, place.first_entry + i, entry.worth,
                       minimum(most, contender.cap * contender.get))


cdef void add_columns(scratch_t *scratch, uint32_t number) noexcept nogil:
    """Columns of a contender: its applications first, then places, runs in canonical order."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place
    cdef const fitting_t *entry
    cdef int64_t cost = -contender.price_parts
    cdef int64_t best[8]
    cdef int64_t most
    cdef uint32_t p, i
    scratch.search.first_column[number] = scratch.lp.column_count
    scratch.search.times_column[number] = NONE_32
    if contender.kind == CONTEND_CHEAPEST:
        add_cheapest_columns(scratch, number)
        return
    for p in range(contender.place_count):
        best[p] = 0
        place = &contest.places[contender.first_place + p]
        if contender.kind == CONTEND_APPLICATIONS:
            best[p] = -LP_UNBOUNDED
            for i in range(place.entry_count):
                best[p] = maximum(best[p], contest.entries[place.first_entry + i].worth)
            cost += place.count * best[p]
    if contender.kind == CONTEND_APPLICATIONS:
        scratch.search.times_column[number] = add_column(
            scratch, COLUMN_TIMES, number, 0, 0, cost, contender.cap)
    for p in range(contender.place_count):
        place = &contest.places[contender.first_place + p]
        for i in range(place.entry_count):
            entry = &contest.entries[place.first_entry + i]
            most = demand_of(scratch, contender, place, entry.run)
            if entry.group != NONE_32:
                most = minimum(most, group_cap(contest, contender, entry.group, contender.cap))
            add_column(scratch, COLUMN_UNITS, number, p, place.first_entry + i,
                       entry.worth - best[p], most)


cdef void add_group_rows(scratch_t *scratch, const contender_t *contender, const place_t *place,
                         uint32_t times, uint32_t first_column) noexcept nogil:
    """A row for each group, at its first entry."""
    cdef contest_t *contest = &scratch.contest
    cdef bint is_a_time = contender.group_rule == GROUPS_A_TIME
    cdef uint32_t i, j, group
    cdef bint is_first
    for i in range(place.entry_count):
        if is_spent(scratch):
            scratch.lp.is_full = True
            return
        group = contest.entries[place.first_entry + i].group
        is_first = group != NONE_32
        scratch.steps += i // 8
        for j in range(i):
            is_first &= contest.entries[place.first_entry + j].group != group
        if not is_first:
            continue
        for j in range(i, place.entry_count):
            if contest.entries[place.first_entry + j].group == group:
                lp_add_nonzero(&scratch.lp, first_column + j, 1)
        if is_a_time:
            lp_add_nonzero(&scratch.lp, times, -contest.group_caps[group])
        lp_add_row(&scratch.lp, 0 if is_a_time else contest.group_caps[group], LP_UNBOUNDED)


cdef void add_rows(scratch_t *scratch, uint32_t number) noexcept nogil:
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place = &contest.places[contender.first_place]
    cdef lp_t *lp = &scratch.lp
    cdef uint32_t column = scratch.search.first_column[number]
    cdef uint32_t times = scratch.search.times_column[number]
    cdef uint32_t stride
    cdef uint32_t p, i
    scratch.search.total_row[number] = NONE_32
    if contender.kind == CONTEND_APPLICATIONS:
        column += 1
        for p in range(contender.place_count):
            place = &contest.places[contender.first_place + p]
            lp_add_nonzero(lp, times, place.count)
            for i in range(place.entry_count):
                lp_add_nonzero(lp, column, -1)
                column += 1
            lp_add_row(lp, 0, LP_UNBOUNDED)
            add_group_rows(scratch, contender, place, times, column - place.entry_count)
        return
    stride = 1 if contender.kind == CONTEND_UNITS else stride_of(contender)
    for i in range(place.entry_count):
        lp_add_nonzero(lp, column + stride * i, 1)
    scratch.search.total_row[number] = lp_add_row(lp, contender.cap, contender.cap)
    if contender.kind == CONTEND_UNITS:
        add_group_rows(scratch, contender, place, NONE_32, column)
        return
    add_bought_row(scratch, number, place.entry_count)
    if contender.get > 1:
        for i in range(place.entry_count):
            lp_add_nonzero(lp, column + stride * i, -contender.get)
            lp_add_nonzero(lp, column + stride * i + 2, 1)
        lp_add_row(lp, 0, 0)


cdef void add_bought_row(scratch_t *scratch, uint32_t number, uint32_t length) noexcept nogil:
    """Blocks among the dearest runs need their bought units among the same."""
    cdef contender_t *contender = &scratch.contest.contenders[number]
    cdef int64_t count = scratch.contest.places[contender.first_place].count
    cdef uint32_t column = scratch.search.first_column[number]
    cdef uint32_t stride = stride_of(contender)
    cdef uint32_t i
    for i in range(length):
        lp_add_nonzero(&scratch.lp, column + stride * i, count - contender.get)
        lp_add_nonzero(&scratch.lp, column + stride * i + 1, -1)
    lp_add_row(&scratch.lp, 0, LP_UNBOUNDED)


cdef void add_free_row(scratch_t *scratch, uint32_t number, uint32_t length) noexcept nogil:
    """Free units among the dearest runs belong to blocks that are free from there on."""
    cdef contender_t *contender = &scratch.contest.contenders[number]
    cdef uint32_t column = scratch.search.first_column[number]
    cdef uint32_t i
    for i in range(length):
        lp_add_nonzero(&scratch.lp, column + 3 * i, -contender.get)
        lp_add_nonzero(&scratch.lp, column + 3 * i + 2, 1)
    lp_add_row(&scratch.lp, 0, LP_UNBOUNDED)


cdef void add_whole_row(scratch_t *scratch, uint32_t number, uint32_t length,
                        int64_t most) noexcept nogil:
    """No more blocks among the dearest runs than there are units for."""
    cdef contender_t *contender = &scratch.contest.contenders[number]
    cdef uint32_t stride = stride_of(contender)
    cdef uint32_t i
    for i in range(length):
        lp_add_nonzero(&scratch.lp, scratch.search.first_column[number] + stride * i, 1)
    lp_add_row(&scratch.lp, most, LP_UNBOUNDED)


cdef uint32_t add_broken_prefix(scratch_t *scratch, uint32_t number) noexcept nogil:
    """Add the prefix row of each kind that is broken most. Returns how many rows."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place = &contest.places[contender.first_place]
    cdef uint32_t column = scratch.search.first_column[number]
    cdef uint32_t stride = stride_of(contender)
    # A block of one free unit lies wholly among them; of several only its bought units must.
    cdef int64_t each = place.count if contender.get == 1 else place.count - contender.get
    cdef int64_t units = 0
    cdef int64_t worst_most = 0
    cdef double worst[3]
    cdef uint32_t length[3]
    cdef double blocks = 0.0
    cdef double bought = 0.0
    cdef double free = 0.0
    cdef uint32_t i
    for i in range(3):
        worst[i] = 1e-6
        length[i] = 0
    for i in range(place.entry_count):
        blocks += lp_value_of(&scratch.lp, column + stride * i)
        bought += lp_value_of(&scratch.lp, column + stride * i + 1)
        units += scratch.run_left[contest.entries[place.first_entry + i].run]
        if blocks * <double>(place.count - contender.get) - bought > worst[0]:
            worst[0] = blocks * <double>(place.count - contender.get) - bought
            length[0] = i + 1
        if blocks - <double>(units // each) > worst[1]:
            worst[1] = blocks - <double>(units // each)
            worst_most = units // each
            length[1] = i + 1
        if contender.get == 1:
            continue
        free += lp_value_of(&scratch.lp, column + stride * i + 2)
        if free - blocks * <double>contender.get > worst[2]:
            worst[2] = free - blocks * <double>contender.get
            length[2] = i + 1
    scratch.steps += place.entry_count
    if length[0] > 0:
        add_bought_row(scratch, number, length[0])
    if length[1] > 0:
        add_whole_row(scratch, number, length[1], worst_most)
    if length[2] > 0:
        add_free_row(scratch, number, length[2])
    return (length[0] > 0) + (length[1] > 0) + (length[2] > 0)


cdef bint may_add_rows(const scratch_t *scratch) noexcept nogil:
    """Whether the budget has steps for three more rows of any kind."""
    cdef uint64_t cells = <uint64_t>scratch.lp.row_count * scratch.lp.width
    return steps_taken(scratch) + 3 * (cells + scratch.lp.width) < scratch.step_budget


cdef uint32_t add_broken_prefixes(scratch_t *scratch) noexcept nogil:
    """Where steps run out the point keeps broken rows: no vertex is taken there, and the search
    ends."""
    cdef uint32_t added = 0
    cdef uint32_t c
    for c in range(scratch.contest.contender_count):
        if not may_add_rows(scratch):
            return added
        if scratch.contest.contenders[c].kind == CONTEND_CHEAPEST and is_in(scratch, c):
            added += add_broken_prefix(scratch, c)
    return added


# A count that is not whole takes the best units for a part of an application. An application needs
# all of its units: where Q units of a set are used up, n applications of m units need
# (m - Q mod m) * (n - Q div m) units beside the set, for any whole n. Whole numbers, so these rows
# prove as well as the others do.


cdef double lacking(int64_t count, int64_t inside, double times, double beside) noexcept nogil:
    """How many units beside a set of `inside` units are lacking at so many applications."""
    return <double>(count - inside % count) * (times - <double>(inside // count)) - beside


cdef double fraction_of(double value) noexcept nogil:
    """How far a number is from a whole one."""
    cdef double part = value - <double><int64_t>value
    return minimum_double(part, 1.0 - part)


cdef uint32_t add_place_cut(scratch_t *scratch, uint32_t number, uint32_t p,
                            uint32_t column) noexcept nogil:
    """The row of a place of applications that is broken most, its sets being those whose units are
    nearest to used up. Returns how many rows were added."""
    cdef contest_t *contest = &scratch.contest
    cdef const contender_t *contender = &contest.contenders[number]
    cdef const place_t *place = &contest.places[contender.first_place + p]
    cdef lp_t *lp = &scratch.lp
    cdef uint32_t *order = scratch.sorted
    cdef double *left = scratch.search.left
    cdef uint32_t times = scratch.search.times_column[number]
    cdef double beside = 0.0
    cdef double worst = CUT_LEAST
    cdef int64_t inside = 0
    cdef int64_t best_inside = 0
    cdef uint32_t best = 0
    cdef uint32_t i, j
    for i in range(place.entry_count):
        left[i] = <double>lp.upper[column + i] - lp_value_of(lp, column + i)
        beside += lp_value_of(lp, column + i)
        j = i
        while j > 0 and left[i] < left[order[j - 1]]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i
        scratch.steps += 1 + i - j
    for i in range(place.entry_count):
        inside += scratch.search.most_units[column + order[i]]
        beside -= lp_value_of(lp, column + order[i])
        if inside % place.count != 0 and \
                lacking(place.count, inside, lp_value_of(lp, times), beside) > worst:
            worst = lacking(place.count, inside, lp_value_of(lp, times), beside)
            best = i + 1
            best_inside = inside
    if best == 0:
        return 0
    lp_add_nonzero(lp, times, place.count - best_inside % place.count)
    for i in range(best, place.entry_count):
        lp_add_nonzero(lp, column + order[i], -1)
    lp_add_row(lp, (place.count - best_inside % place.count) * (best_inside // place.count),
               LP_UNBOUNDED)
    return 1


cdef void add_free_cut(scratch_t *scratch, uint32_t number, uint32_t length,
                       double used_up) noexcept nogil:
    """Free units among the dearest runs: as many as the units of the used up ones among them allow,
    and then as the others go on from there."""
    cdef const contender_t *contender = &scratch.contest.contenders[number]
    cdef const place_t *place = &scratch.contest.places[contender.first_place]
    cdef lp_t *lp = &scratch.lp
    cdef uint32_t column = scratch.search.first_column[number]
    cdef uint32_t stride = stride_of(contender)
    cdef uint32_t free = 2 if contender.get > 1 else 0
    cdef int64_t inside = 0
    cdef int64_t units, gain
    cdef uint32_t i
    for i in range(length):
        if scratch.search.left[i] < used_up:
            inside += scratch.run_left[scratch.contest.entries[place.first_entry + i].run]
    units = place.count - inside % place.count
    gain = minimum(contender.get, units)
    for i in range(length):
        if scratch.search.left[i] < used_up:
            lp_add_nonzero(lp, column + stride * i + free, units)
            continue
        if units != gain:
            lp_add_nonzero(lp, column + stride * i + free, units - gain)
        lp_add_nonzero(lp, column + stride * i + 1, -gain)
    lp_add_row(lp, units * free_before(inside, place.count, contender.get), LP_UNBOUNDED)


cdef uint32_t add_block_cut(scratch_t *scratch, uint32_t number) noexcept nogil:
    """The same for blocks: the free units among the dearest runs, of the row that is broken most.
    Returns how many rows were added."""
    cdef contest_t *contest = &scratch.contest
    cdef const contender_t *contender = &contest.contenders[number]
    cdef const place_t *place = &contest.places[contender.first_place]
    cdef lp_t *lp = &scratch.lp
    cdef uint32_t column = scratch.search.first_column[number]
    cdef uint32_t stride = stride_of(contender)
    cdef double free = 0.0
    cdef double beside = 0.0
    cdef double worst = CUT_LEAST
    cdef double used_up = 0.0
    cdef double used, taken
    cdef int64_t inside = 0
    cdef int64_t all_units = 0
    cdef int64_t units
    cdef uint32_t best = 0
    cdef uint32_t i
    for i in range(place.entry_count):
        units = scratch.run_left[contest.entries[place.first_entry + i].run]
        taken = lp_value_of(lp, column + stride * i + (2 if contender.get > 1 else 0))
        used = lp_value_of(lp, column + stride * i + 1) + taken
        free += taken
        all_units += units
        scratch.search.left[i] = <double>units - used
        if scratch.search.left[i] < 1e-6:
            inside += units
        else:
            beside += used
        if free - <double>free_before(all_units, place.count, contender.get) > worst:
            worst = free - <double>free_before(all_units, place.count, contender.get)
            used_up = 1e18
            best = i + 1
        units = place.count - inside % place.count
        taken = free - <double>free_before(inside, place.count, contender.get) - \
            beside * <double>minimum(contender.get, units) / <double>units
        if taken > worst:
            worst = taken
            used_up = 1e-6
            best = i + 1
    scratch.steps += place.entry_count
    if best == 0:
        return 0
    add_free_cut(scratch, number, best, used_up)
    return 1


cdef uint32_t add_cuts(scratch_t *scratch) noexcept nogil:
    """Add a row for each place that takes units for part of an application. Returns how many."""
    cdef contest_t *contest = &scratch.contest
    cdef search_t *search = &scratch.search
    cdef const contender_t *contender
    cdef uint32_t added = 0
    cdef uint32_t c, p, column
    for c in range(contest.contender_count):
        contender = &contest.contenders[c]
        if not is_in(scratch, c):
            continue
        if not lp_has_room(&scratch.lp) or not may_add_rows(scratch):
            return added
        if contender.kind == CONTEND_CHEAPEST:
            added += add_block_cut(scratch, c)
        if contender.kind != CONTEND_APPLICATIONS or \
                fraction_of(lp_value_of(&scratch.lp, search.times_column[c])) < 1e-4:
            continue
        column = search.first_column[c] + 1
        for p in range(contender.place_count):
            if contest.places[contender.first_place + p].count > 1:
                added += add_place_cut(scratch, c, p, column)
            column += contest.places[contender.first_place + p].entry_count
    return added


cdef void add_run_row(scratch_t *scratch, uint32_t run) noexcept nogil:
    """No more units than there are; nothing where no more can be wanted."""
    cdef search_t *search = &scratch.search
    cdef int64_t wanted = 0
    cdef uint32_t column = scratch.run_column[run]
    while column != NONE_32:
        wanted += scratch.lp.upper[column]
        column = search.columns[column].next_of_run
    if wanted <= scratch.run_left[run]:
        return
    column = scratch.run_column[run]
    while column != NONE_32:
        lp_add_nonzero(&scratch.lp, column, 1)
        column = search.columns[column].next_of_run
    scratch.run_row[run] = lp_add_row(&scratch.lp, scratch.run_left[run], LP_UNBOUNDED)


cdef bint build_program(scratch_t *scratch) noexcept nogil:
    """False when the part is too large for a tableau, or for the steps that are left."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender
    cdef uint32_t c, r, each
    cdef uint32_t columns = 0
    lp_begin(&scratch.lp)
    scratch.search.grain = 0
    scratch.search.asked_count = 0
    for r in range(scratch.run_count):
        scratch.run_column[r] = NONE_32
        scratch.run_row[r] = NONE_32
    for c in range(contest.contender_count):
        scratch.search.owner_row[c] = NONE_32
        scratch.search.owner_most[c] = LP_UNBOUNDED
        scratch.search.worth_row[c] = NONE_32
        scratch.search.asked[c] = ASKED_NOTHING
        if not is_in(scratch, c):
            continue
        contender = &contest.contenders[c]
        each = stride_of(contender) if contender.kind == CONTEND_CHEAPEST else 1
        columns += 1
        for r in range(contender.place_count):
            columns += each * contest.places[contender.first_place + r].entry_count
        if columns > LP_COLUMNS_MAX:
            return False
        add_columns(scratch, c)
    for c in range(contest.contender_count):
        if is_spent(scratch):
            return False
        if is_in(scratch, c):
            add_rows(scratch, c)
    for r in range(scratch.run_count):
        if is_spent(scratch):
            return False
        if scratch.run_column[r] != NONE_32:
            add_run_row(scratch, r)
    scratch.search.grain = maximum(1, scratch.search.grain)
    scratch.steps += scratch.lp.nonzero_count
    return not scratch.lp.is_full


# ------------------------------------------------------------------ units for given counts ----


cdef uint32_t node_of_run(scratch_t *scratch, uint32_t run) noexcept nogil:
    """The units of a run; those with an owner pass a node that counts them."""
    cdef search_t *search = &scratch.search
    cdef uint32_t owner = scratch.base_owner[run]
    cdef uint32_t start = FLOW_SOURCE
    if scratch.run_node[run] != 0:
        return scratch.run_node[run]
    if owner != NONE_32:
        if search.owner_node[owner] == 0:
            search.owner_node[owner] = flow_add_node(&scratch.flow)
            search.owner_arc[owner] = flow_add_arc(
                &scratch.flow, FLOW_SOURCE, search.owner_node[owner],
                search.owner_most[owner], 0, 0)
        start = search.owner_node[owner]
    scratch.run_node[run] = flow_add_node(&scratch.flow)
    flow_add_arc(&scratch.flow, start, scratch.run_node[run], scratch.run_left[run], 0, 0)
    return scratch.run_node[run]


cdef uint32_t entry_arc(scratch_t *scratch, uint32_t entry, uint32_t node, int64_t most,
                        int64_t gain, bint is_rewarded) noexcept nogil:
    """Equally good units: rewarded are the earlier runs, then places to buy are filled."""
    cdef uint32_t run = scratch.contest.entries[entry].run
    cdef int64_t second_gain = -<int64_t>(run + 1)
    if is_rewarded:
        second_gain *= 1 << 20
    return flow_add_arc(&scratch.flow, node_of_run(scratch, run), node,
                        minimum(most, scratch.run_left[run]), gain, second_gain)


cdef void forget_groups(scratch_t *scratch, const place_t *place) noexcept nogil:
    cdef uint32_t i
    for i in range(place.entry_count):
        if scratch.contest.entries[place.first_entry + i].group != NONE_32:
            scratch.group_node[scratch.contest.entries[place.first_entry + i].group] = 0


cdef uint32_t node_of_group(scratch_t *scratch, uint32_t number, uint32_t entry, uint32_t node,
                            int64_t times) noexcept nogil:
    """Where an entry's units go: to the node of its place, through that of its group."""
    cdef contest_t *contest = &scratch.contest
    cdef uint32_t group = contest.entries[entry].group
    if group == NONE_32:
        return node
    if scratch.group_node[group] == 0:
        scratch.group_node[group] = flow_add_node(&scratch.flow)
        flow_add_arc(&scratch.flow, scratch.group_node[group], node,
                     group_cap(contest, &contest.contenders[number], group, times), 0, 0)
    return scratch.group_node[group]


cdef void flow_units(scratch_t *scratch, uint32_t number, int64_t least,
                     int64_t most) noexcept nogil:
    cdef contest_t *contest = &scratch.contest
    cdef place_t *place = &contest.places[contest.contenders[number].first_place]
    cdef uint32_t node = flow_add_node(&scratch.flow)
    cdef uint32_t to, i
    flow_add_arc(&scratch.flow, node, FLOW_SINK, least, FLOW_MUST, 0)
    flow_add_arc(&scratch.flow, node, FLOW_SINK, most - least, 0, 0)
    forget_groups(scratch, place)
    for i in range(place.entry_count):
        to = node_of_group(scratch, number, place.first_entry + i, node, 0)
        scratch.entry_arc[place.first_entry + i] = entry_arc(
            scratch, place.first_entry + i, to, most,
            contest.entries[place.first_entry + i].worth, True)


cdef void flow_applications(scratch_t *scratch, uint32_t number, int64_t times) noexcept nogil:
    cdef contest_t *contest = &scratch.contest
    cdef place_t *place
    cdef uint32_t node, p, i
    for p in range(contest.contenders[number].place_count):
        place = &contest.places[contest.contenders[number].first_place + p]
        node = flow_add_node(&scratch.flow)
        flow_add_arc(&scratch.flow, node, FLOW_SINK, times * place.count, FLOW_MUST, 0)
        forget_groups(scratch, place)
        for i in range(place.entry_count):
            scratch.entry_arc[place.first_entry + i] = entry_arc(
                scratch, place.first_entry + i,
                node_of_group(scratch, number, place.first_entry + i, node, times),
                times * place.count, contest.entries[place.first_entry + i].worth,
                place.is_rewarded)


cdef int64_t flow_cheapest(scratch_t *scratch, uint32_t number,
                           const int64_t *whole) noexcept nogil:
    """Blocks that begin to be free at a run ask for bought units from that run or dearer ones and
    for free units from that run or cheaper ones, along two chains. Returns the blocks."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place = &contest.places[contender.first_place]
    cdef uint32_t column = scratch.search.first_column[number]
    cdef uint32_t stride = stride_of(contender)
    cdef uint32_t bought = 0
    cdef uint32_t free = 0
    cdef uint32_t before, free_before_it
    cdef int64_t total = 0
    cdef int64_t blocks
    cdef uint32_t i, entry
    for i in range(place.entry_count):
        entry = place.first_entry + i
        blocks = whole[column + stride * i]
        total += blocks
        before = bought
        bought = flow_add_node(&scratch.flow)
        free_before_it = free
        free = FLOW_SINK
        if contender.get > 1:
            free = flow_add_node(&scratch.flow)
            flow_add_arc(&scratch.flow, free, FLOW_SINK, blocks * contender.get, FLOW_MUST, 0)
        if i > 0:
            flow_add_arc(&scratch.flow, before, bought, LP_UNBOUNDED, 0, 0)
            if contender.get > 1:
                flow_add_arc(&scratch.flow, free, free_before_it, LP_UNBOUNDED, 0, 0)
        scratch.entry_arc[entry] = entry_arc(
            scratch, entry, free, blocks if contender.get == 1 else LP_UNBOUNDED,
            contest.entries[entry].worth + (FLOW_MUST if contender.get == 1 else 0), True)
        if contender.get == 1 and blocks > scratch.run_left[contest.entries[entry].run]:
            return LP_UNBOUNDED
        scratch.bought_arc[entry] = entry_arc(
            scratch, entry, bought, LP_UNBOUNDED,
            -scratch.run_base[contest.entries[entry].run], False)
        flow_add_arc(&scratch.flow, bought, FLOW_SINK,
                     blocks * (place.count - contender.get), FLOW_MUST, 0)
    return total


cdef int64_t least_times(const scratch_t *scratch, uint32_t number) noexcept nogil:
    """What a probe asks of a contender of single units."""
    return scratch.contest.contenders[number].cap - \
        scratch.lp.upper[lp_slack(scratch.search.total_row[number])]


cdef bint build_flow(scratch_t *scratch, const int64_t *whole) noexcept nogil:
    """The network for whole counts; False when it cannot hold."""
    cdef contest_t *contest = &scratch.contest
    cdef search_t *search = &scratch.search
    cdef contender_t *contender
    cdef bint is_possible = True
    cdef uint32_t c
    flow_begin(&scratch.flow)
    for c in range(scratch.run_count):
        scratch.run_node[c] = 0
    for c in range(contest.contender_count):
        search.owner_node[c] = 0
    for c in range(contest.contender_count):
        if not is_in(scratch, c):
            continue
        contender = &contest.contenders[c]
        if contender.kind == CONTEND_CHEAPEST:
            is_possible &= flow_cheapest(scratch, c, whole) <= contender.cap
        elif contender.kind == CONTEND_APPLICATIONS:
            flow_applications(scratch, c, whole[search.times_column[c]])
        else:
            flow_units(scratch, c, least_times(scratch, c), contender.cap)
    return is_possible and not scratch.flow.is_full


cdef int64_t transport(scratch_t *scratch, const int64_t *whole) noexcept nogil:
    """Worth of the best units for whole counts; below any worth when there are none or the steps
    ran out. The flow stays for reading. Equally good units are dealt in canonical order, and those
    asked to be worth something come first only where that leaves one of them worth nothing."""
    cdef int64_t worth = transport_once(scratch, whole, False)
    if scratch.search.asked_count == 0 or worth == -LP_UNBOUNDED or has_worth_asked(scratch, whole):
        return worth
    worth = transport_once(scratch, whole, True)
    return worth if has_worth_asked(scratch, whole) else -LP_UNBOUNDED


cdef int64_t transport_once(scratch_t *scratch, const int64_t *whole,
                            bint is_favoured) noexcept nogil:
    cdef contest_t *contest = &scratch.contest
    cdef int64_t worth = 0
    cdef int64_t gain
    cdef uint32_t c, arc
    if not build_flow(scratch, whole):
        return -LP_UNBOUNDED
    if is_favoured:
        favour_asked(scratch)
    scratch.flow.step_limit = maximum(1, <int64_t>scratch.step_budget - <int64_t>(
        scratch.steps + scratch.lp.steps))
    flow_solve(&scratch.flow)
    if scratch.flow.is_cut:
        return -LP_UNBOUNDED
    for c in range(contest.contender_count):
        if is_in(scratch, c) and contest.contenders[c].kind == CONTEND_APPLICATIONS:
            worth -= contest.contenders[c].price_parts * whole[scratch.search.times_column[c]]
    arc = 2
    while arc < scratch.flow.arc_count:
        gain = scratch.flow.arcs[arc].gain
        if gain > FLOW_MUST // 2:
            gain -= FLOW_MUST
            if scratch.flow.arcs[arc].capacity > 0:
                return -LP_UNBOUNDED
        worth += gain * flow_on(&scratch.flow, arc)
        arc += 2
    return worth


cdef void count_trial(scratch_t *scratch) noexcept nogil:
    """How often each contender applies in the flow at hand; of an owner, less what others take."""
    cdef contest_t *contest = &scratch.contest
    cdef search_t *search = &scratch.search
    cdef contender_t *contender
    cdef place_t *place
    cdef uint32_t c, i
    for c in range(contest.contender_count):
        if search.is_owner[c]:
            search.best_times[c] = 0
            if search.owner_node[c] != 0:
                search.best_times[c] = -flow_on(&scratch.flow, search.owner_arc[c])
        if not is_in(scratch, c):
            continue
        contender = &contest.contenders[c]
        place = &contest.places[contender.first_place]
        search.best_times[c] = 0
        if contender.kind == CONTEND_APPLICATIONS:
            search.best_times[c] = search.trial[search.times_column[c]]
        for i in range(place.entry_count):
            if contender.kind == CONTEND_UNITS:
                search.best_times[c] += flow_on(&scratch.flow,
                                                scratch.entry_arc[place.first_entry + i])
            elif contender.kind == CONTEND_CHEAPEST:
                search.best_times[c] += search.trial[
                    search.first_column[c] + stride_of(contender) * i]


cdef void keep_units(scratch_t *scratch, uint32_t contender, uint32_t place, uint32_t run,
                     bint is_rewarded, int64_t units) noexcept nogil:
    cdef allocation_t *kept = &scratch.search.kept[scratch.search.kept_count]
    if units == 0:
        return
    if scratch.search.kept_count == SHARES_MAX:
        scratch.contest.is_full = True
        return
    scratch.search.kept_count += 1
    kept.contender = contender
    kept.place = place
    kept.run = run
    kept.is_rewarded = is_rewarded
    kept.units = units


cdef void keep_flow(scratch_t *scratch) noexcept nogil:
    """Remember the units of the flow at hand. Cheapest-free units are dealt out anew: of those
    taken the last of each block are free."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender
    cdef place_t *place
    cdef int64_t units, free, at
    cdef uint32_t c, p, i, entry, run
    scratch.search.kept_count = 0
    for c in range(contest.contender_count):
        if not is_in(scratch, c):
            continue
        contender = &contest.contenders[c]
        at = 0
        for p in range(contender.place_count):
            place = &contest.places[contender.first_place + p]
            for i in range(place.entry_count):
                entry = place.first_entry + i
                run = contest.entries[entry].run
                units = flow_on(&scratch.flow, scratch.entry_arc[entry])
                free = units if place.is_rewarded else 0
                if contender.kind == CONTEND_CHEAPEST:
                    units += flow_on(&scratch.flow, scratch.bought_arc[entry])
                    free = free_before(at + units, place.count, contender.get) - \
                        free_before(at, place.count, contender.get)
                    at += units
                keep_units(scratch, c, p, run, True, free)
                keep_units(scratch, c, p, run, False, units - free)


cdef int64_t prefix_most(const scratch_t *scratch, uint32_t number) noexcept nogil:
    """How far a vertex breaks the prefix rows of a cheapest-free contender; 0: not at all."""
    cdef const search_t *search = &scratch.search
    cdef const contender_t *contender = &scratch.contest.contenders[number]
    cdef const place_t *place = &scratch.contest.places[contender.first_place]
    cdef uint32_t column
    cdef int64_t missing = 0
    cdef int64_t early = 0
    cdef int64_t broken = 0
    cdef uint32_t i
    for i in range(place.entry_count):
        column = search.first_column[number] + stride_of(contender) * i
        missing += search.vertex[column] * (place.count - contender.get) - \
            search.vertex[column + 1]
        broken = maximum(broken, missing)
        if contender.get > 1:
            early += search.vertex[column + 2] - search.vertex[column] * contender.get
            broken = maximum(broken, early)
    return broken


cdef bint is_feasible(const scratch_t *scratch) noexcept nogil:
    """Whether the whole numbers of a vertex keep every row."""
    cdef const lp_t *lp = &scratch.lp
    cdef const search_t *search = &scratch.search
    cdef int64_t rest
    cdef uint32_t i, n
    for i in range(lp.row_count):
        rest = lp.right[i]
        for n in range(lp.row_first[i], lp.row_first[i + 1]):
            rest -= lp.nonzero[n] * search.vertex[lp.nonzero_column[n]]
        if rest < 0 or rest > lp.upper[lp_slack(i)]:
            return False
    for i in range(scratch.contest.contender_count):
        if is_in(scratch, i) and scratch.contest.contenders[i].kind == CONTEND_CHEAPEST and \
                prefix_most(scratch, i) > 0:
            return False
    return True


cdef bint take_vertex(scratch_t *scratch) noexcept nogil:
    """Where all counts are whole the units are whole too: the point at hand is a solution, and the
    best with these counts. Keep it if it is worth more than the incumbent. False: it is not whole.
    """
    cdef lp_t *lp = &scratch.lp
    cdef search_t *search = &scratch.search
    cdef double value
    cdef int64_t worth = 0
    cdef int64_t whole
    cdef uint32_t i
    for i in range(lp.column_count):
        value = lp_value_of(lp, i)
        whole = <int64_t>(value + 0.5)
        if value - <double>whole > 1e-5 or value - <double>whole < -1e-5 or \
                whole < lp.lower[i] or whole > lp.upper[i]:
            return False
        search.vertex[i] = whole
        worth += lp.cost_parts[i] * whole
    scratch.steps += lp.column_count + lp.nonzero_count
    if not is_feasible(scratch):
        return False
    if worth <= search.incumbent_parts:
        return True
    search.incumbent_parts = worth
    search.is_found = True
    search.is_vertex = VERTEX_UNITS
    if not search.is_probe:
        search.box_count = 0
    for i in range(lp.column_count):
        search.best_vertex[i] = search.vertex[i]
    return True


cdef void keep_vertex_place(scratch_t *scratch, uint32_t number, uint32_t p, uint32_t column,
                            int64_t units) noexcept nogil:
    """Remember so many units of a place of a vertex, the dearest of them."""
    cdef contest_t *contest = &scratch.contest
    cdef const contender_t *contender = &contest.contenders[number]
    cdef const place_t *place = &contest.places[contender.first_place + p]
    cdef const int64_t *vertex = &scratch.search.best_vertex[column]
    cdef uint32_t stride = stride_of(contender) if contender.kind == CONTEND_CHEAPEST else 1
    cdef int64_t at = 0
    cdef int64_t taken, free
    cdef uint32_t i
    for i in range(place.entry_count):
        taken = vertex[stride * i]
        if contender.kind == CONTEND_CHEAPEST:
            taken = vertex[stride * i + 1] + vertex[stride * i + (2 if contender.get > 1 else 0)]
        taken = minimum(taken, units - at)
        free = taken if place.is_rewarded else 0
        if contender.kind == CONTEND_CHEAPEST:
            free = free_before(at + taken, place.count, contender.get) - \
                free_before(at, place.count, contender.get)
        at += taken
        keep_units(scratch, number, p, contest.entries[place.first_entry + i].run, True, free)
        keep_units(scratch, number, p, contest.entries[place.first_entry + i].run, False,
                   taken - free)


cdef void keep_vertex(scratch_t *scratch) noexcept nogil:
    """Remember counts and units as the best vertex has them: good ones, but ties are as they came.
    """
    cdef contest_t *contest = &scratch.contest
    cdef search_t *search = &scratch.search
    cdef contender_t *contender
    cdef place_t *place
    cdef int64_t times
    cdef uint32_t c, p, i, column, stride
    search.kept_count = 0
    for c in range(contest.contender_count):
        if not is_in(scratch, c):
            continue
        contender = &contest.contenders[c]
        place = &contest.places[contender.first_place]
        column = search.first_column[c]
        times = 0
        if contender.kind == CONTEND_APPLICATIONS:
            times = search.best_vertex[column]
            column += 1
        else:
            stride = stride_of(contender) if contender.kind == CONTEND_CHEAPEST else 1
            for i in range(place.entry_count):
                times += search.best_vertex[column + stride * i]
        search.best_times[c] = times
        for p in range(contender.place_count):
            place = &contest.places[contender.first_place + p]
            keep_vertex_place(scratch, c, p, column, times * maximum(1, place.count))
            column += place.entry_count
    for i in range(contest.contender_count):
        if search.is_owner[i]:
            search.best_times[i] = 0
    for i in range(search.kept_count):
        c = scratch.base_owner[search.kept[i].run]
        if c != NONE_32:
            search.best_times[c] -= search.kept[i].units
    scratch.steps += search.kept_count


cdef void lay_out(scratch_t *scratch) noexcept nogil:
    """Deal out the units of the best vertex anew, by the rules for equally good ones, as long as
    there are steps for it."""
    cdef search_t *search = &scratch.search
    cdef int64_t worth
    cdef uint32_t i
    if search.is_vertex == 0:
        return
    for i in range(scratch.lp.column_count):
        search.trial[i] = search.best_vertex[i] if is_whole(&search.columns[i]) else 0
    worth = transport(scratch, search.trial)
    if worth < search.incumbent_parts:
        if search.is_vertex == VERTEX_UNITS:
            keep_vertex(scratch)
        search.is_vertex = 0
        return
    search.is_vertex = 0
    search.incumbent_parts = worth
    count_trial(scratch)
    keep_flow(scratch)


cdef uint32_t only_blocks(const scratch_t *scratch) noexcept nogil:
    """The cheapest-free contender that alone of a part applies, NONE_32 without one. The search
    does not tell equally good blocks apart; the closed form takes the dearest (D3)."""
    cdef const search_t *search = &scratch.search
    cdef uint32_t only = NONE_32
    cdef uint32_t i
    for i in range(scratch.contest.contender_count):
        if not is_in(scratch, i) or search.best_times[i] == 0:
            continue
        if only != NONE_32 or scratch.contest.contenders[i].kind != CONTEND_CHEAPEST or \
                scratch.contest.contenders[i].is_tangled:
            return NONE_32
        only = i
    return only


cdef void allocate_kept(scratch_t *scratch) noexcept nogil:
    cdef search_t *search = &scratch.search
    cdef const allocation_t *kept
    cdef uint32_t only = only_blocks(scratch)
    cdef uint32_t i
    for i in range(scratch.contest.contender_count):
        if is_in(scratch, i):
            scratch.contest.contenders[i].times = search.best_times[i]
    if only != NONE_32:
        scratch.contest.contenders[only].cap = search.best_times[only]
        if alone_cheapest(scratch, only, False) == search.incumbent_parts:
            alone_cheapest(scratch, only, True)
            return
    for i in range(search.kept_count):
        kept = &search.kept[i]
        allocate(&scratch.contest, kept.contender, kept.place, kept.run, kept.is_rewarded,
                 kept.units)
        scratch.run_left[kept.run] -= kept.units


# ------------------------------------------------------------------ unit by unit --------------


cdef bint is_wide(int64_t worth) noexcept nogil:
    return worth > LAYERS_WORTH_MAX or worth < -LAYERS_WORTH_MAX


cdef bint add_taker(scratch_t *scratch, uint32_t number) noexcept nogil:
    """A contender as a taker of units. False when it has too many states."""
    cdef contest_t *contest = &scratch.contest
    cdef const contender_t *contender = &contest.contenders[number]
    cdef const place_t *place
    cdef layers_t *layers = &scratch.layers
    cdef taker_t *taker = &layers.takers[layers.taker_count]
    cdef int64_t states = 1
    cdef int64_t units
    cdef uint32_t p, i
    if layers.taker_count == LAYERS_TAKERS_MAX or contender.place_count > LAYERS_PLACES_MAX or \
            is_wide(contender.price_parts):
        return False
    taker.place_count = contender.place_count
    taker.price_parts = contender.price_parts
    taker.last_layer = NONE_32
    taker.tie = 0
    taker.is_endless = False
    for p in range(contender.place_count):
        place = &contest.places[contender.first_place + p]
        units = 0
        for i in range(place.entry_count):
            units += scratch.run_left[contest.entries[place.first_entry + i].run]
        taker.count[p] = maximum(1, place.count)
        taker.get[p] = contender.get if contender.kind == CONTEND_CHEAPEST else taker.count[p]
        taker.is_endless = contender.place_count == 1 and contender.cap >= units // taker.count[p]
        taker.stride[p] = states
        taker.size[p] = taker.count[p]
        if not taker.is_endless:
            taker.size[p] = minimum(contender.cap, LAYERS_STATES_MAX) * taker.count[p] + 1
        states *= taker.size[p]
        if states > LAYERS_STATES_MAX:
            return False
        layers.cursor[layers.taker_count][p] = 0
    taker.state_count = states
    taker.first_bit = layers.key_bits
    while 1 << (layers.key_bits - taker.first_bit) < states:
        layers.key_bits += 1
    taker.state_mask = (<uint64_t>1 << (layers.key_bits - taker.first_bit)) - 1
    layers.contender[layers.taker_count] = number
    layers.taker_count += 1
    return layers.key_bits <= 64


cdef bint shares_group(const scratch_t *scratch, const place_t *place, uint32_t at) noexcept nogil:
    """Whether another entry of a place has a ceiling together with this one."""
    cdef const fitting_t *entries = &scratch.contest.entries[place.first_entry]
    cdef uint32_t i
    if entries[at].group == NONE_32:
        return False
    for i in range(place.entry_count):
        if i != at and entries[i].group == entries[at].group:
            return True
    return False


cdef bint add_layer(scratch_t *scratch, uint32_t t, uint32_t p, uint32_t at,
                    uint32_t column) noexcept nogil:
    """What a taker can take of one run for one of its places."""
    cdef contest_t *contest = &scratch.contest
    cdef layers_t *layers = &scratch.layers
    cdef const contender_t *contender = &contest.contenders[layers.contender[t]]
    cdef const place_t *place = &contest.places[contender.first_place + p]
    cdef const fitting_t *entry = &contest.entries[place.first_entry + at]
    cdef layer_t *layer = &layers.layers[layers.layer_count]
    cdef uint32_t row = scratch.run_row[entry.run]
    if layers.layer_count == LAYERS_MAX or is_wide(entry.worth) or \
            is_wide(scratch.run_base[entry.run]) or scratch.run_left[entry.run] > LAYERS_UNITS_MAX:
        return False
    if entry.group != NONE_32 and (
            contender.kind != CONTEND_UNITS or shares_group(scratch, place, at)):
        return False
    layer.taker = t
    layer.place = p
    layer.run = entry.run
    layer.column = column
    layer.before = layers.takers[t].last_layer
    layers.takers[t].last_layer = layers.layer_count
    layer.is_scarce = row != NONE_32
    layer.units = scratch.run_left[entry.run]
    layer.most = demand_of(scratch, contender, place, entry.run)
    if entry.group != NONE_32:
        layer.most = minimum(layer.most, contest.group_caps[entry.group])
    layer.worth_rewarded = entry.worth
    layer.worth_bought = -scratch.run_base[entry.run]
    layer.price = 0
    layer.tie = 0
    if row != NONE_32:
        layer.price = minimum(LAYERS_WORTH_MAX, maximum(
            0, (scratch.lp.dual[row] + scratch.lp.dual_scale // 2) // scratch.lp.dual_scale))
    if scratch.base_owner[entry.run] != NONE_32:
        layers.owned[scratch.base_owner[entry.run]] += layer.units
    layers.layer_count += 1
    return True


cdef bint add_layers(scratch_t *scratch, uint32_t run) noexcept nogil:
    """All takers of a run, one after the other."""
    cdef contest_t *contest = &scratch.contest
    cdef layers_t *layers = &scratch.layers
    cdef const contender_t *contender
    cdef const place_t *place
    cdef uint32_t first = layers.layer_count
    cdef uint32_t t, p, column, stride
    cdef uint32_t *at
    for t in range(layers.taker_count):
        contender = &contest.contenders[layers.contender[t]]
        column = scratch.search.first_column[layers.contender[t]]
        column += contender.kind == CONTEND_APPLICATIONS
        stride = stride_of(contender) if contender.kind == CONTEND_CHEAPEST else 1
        for p in range(contender.place_count):
            place = &contest.places[contender.first_place + p]
            at = &layers.cursor[t][p]
            if at[0] < place.entry_count and \
                    contest.entries[place.first_entry + at[0]].run == run:
                if not add_layer(scratch, t, p, at[0], column + stride * at[0]):
                    return False
                layers.layers[layers.layer_count - 1].is_first = \
                    layers.layer_count - 1 == first
                layers.layers[layers.layer_count - 1].is_last = False
                at[0] += 1
            column += place.entry_count
    if layers.layer_count > first:
        layers.layers[layers.layer_count - 1].is_last = True
    return True


cdef bint weigh_ties(scratch_t *scratch) noexcept nogil:
    """Ties as numbers: a count weighs more than all counts of lower rank together (D3). False when
    63 bits do not hold them."""
    cdef contest_t *contest = &scratch.contest
    cdef layers_t *layers = &scratch.layers
    cdef int64_t weight = 1
    cdef int64_t owned
    cdef uint32_t t = layers.taker_count
    cdef uint32_t c = contest.contender_count
    cdef uint32_t i
    while c > 0:
        c -= 1
        owned = layers.owned[c]
        if t > 0 and layers.contender[t - 1] == c:
            t -= 1
            layers.takers[t].tie = weight
            weight = capped_product(weight, contest.contenders[c].cap + 1)
        elif scratch.search.is_owner[c] and owned > 0:
            for i in range(layers.layer_count):
                if scratch.base_owner[layers.layers[i].run] == c:
                    layers.layers[i].tie = -weight
            weight = capped_product(weight, owned + 1)
        if weight >= LP_UNBOUNDED:
            return False
    return True


cdef bint lay_layers(scratch_t *scratch) noexcept nogil:
    """The part as takers and layers. False when it does not fit."""
    cdef contest_t *contest = &scratch.contest
    cdef layers_t *layers = &scratch.layers
    cdef uint32_t c, r
    layers_begin(layers)
    for c in range(contest.contender_count):
        layers.owned[c] = 0
        if is_in(scratch, c) and not add_taker(scratch, c):
            return False
    for r in range(scratch.run_count):
        if scratch.run_column[r] != NONE_32 and not add_layers(scratch, r):
            return False
    for c in range(layers.taker_count):
        if layers.cursor[c][0] == 0 or not layers_place(layers, &layers.takers[c]):
            return False
    scratch.steps += layers.layer_count + scratch.run_count
    return True


cdef void forget_ties(scratch_t *scratch) noexcept nogil:
    cdef layers_t *layers = &scratch.layers
    cdef uint32_t i
    for i in range(layers.taker_count):
        layers.takers[i].tie = 0
    for i in range(layers.layer_count):
        layers.layers[i].tie = 0


cdef void take_layers(scratch_t *scratch) noexcept nogil:
    """Make what the takers took the incumbent."""
    cdef search_t *search = &scratch.search
    cdef layers_t *layers = &scratch.layers
    cdef const contender_t *contender
    cdef const layer_t *layer
    cdef int64_t at, blocks
    cdef uint32_t i, column
    for i in range(scratch.lp.column_count):
        search.best_vertex[i] = 0
    for i in range(layers.taker_count):
        layers.cursor[i][0] = 0
    for i in range(layers.layer_count):
        layer = &layers.layers[i]
        contender = &scratch.contest.contenders[layers.contender[layer.taker]]
        column = layer.column
        if contender.kind != CONTEND_CHEAPEST:
            search.best_vertex[column] = layer.taken
            if layer.place == 0:
                layers.cursor[layer.taker][0] += layer.taken
            continue
        at = layers.cursor[layer.taker][0]
        blocks = blocks_before(at + layer.taken, contender, &scratch.contest) - \
            blocks_before(at, contender, &scratch.contest)
        at = free_before(at + layer.taken, layers.takers[layer.taker].count[0], contender.get) - \
            free_before(at, layers.takers[layer.taker].count[0], contender.get)
        search.best_vertex[column] = blocks
        search.best_vertex[column + 1] = layer.taken - at
        if contender.get > 1:
            search.best_vertex[column + 2] = at
        layers.cursor[layer.taker][0] += layer.taken
    for i in range(layers.taker_count):
        column = search.times_column[layers.contender[i]]
        if column != NONE_32:
            search.best_vertex[column] = layers.cursor[i][0] // layers.takers[i].count[0]
    search.incumbent_parts = layers.worth_parts
    search.is_found = True
    search.is_vertex = VERTEX_UNITS
    search.box_count = 0


cdef void fix_ties(scratch_t *scratch) noexcept nogil:
    """Ask the layout for the counts of single units and of owners that settle ties."""
    cdef search_t *search = &scratch.search
    cdef layers_t *layers = &scratch.layers
    cdef uint32_t i, c
    for i in range(layers.taker_count):
        c = layers.contender[i]
        if scratch.contest.contenders[c].kind == CONTEND_UNITS:
            ask_for(scratch, c, layers.cursor[i][0])
    for c in range(scratch.contest.contender_count):
        if not search.is_owner[c] or layers.owned[c] == 0:
            continue
        search.owner_most[c] = 0
        for i in range(layers.layer_count):
            if scratch.base_owner[layers.layers[i].run] == c:
                search.owner_most[c] += layers.layers[i].taken


cdef bint solve_layers(scratch_t *scratch, uint64_t limit) noexcept nogil:
    """Look among what is worth nearly the bound first: what is found there is the best, and no
    incumbent was needed."""
    cdef layers_t *layers = &scratch.layers
    cdef int64_t least = scratch.search.incumbent_parts
    cdef int64_t bound = layers_bound(layers, limit)
    cdef int64_t loss = bound // LAYERS_LOSS_FIRST + 1
    cdef uint32_t status
    if bound >= LP_UNBOUNDED:
        return False
    while True:
        status = layers_solve(layers, bound, maximum(least, bound - loss), limit)
        if status != LAYERS_NONE or bound - loss <= least:
            return status == LAYERS_SOLVED
        loss *= LAYERS_LOSS_GROWTH


cdef bint end_by_layers(scratch_t *scratch) noexcept nogil:
    """Answer the part unit by unit, with the prices of the root. False when it has too many states
    or the attempt took too many steps: then the incumbent is as before."""
    cdef layers_t *layers = &scratch.layers
    cdef int64_t limit = LAYERS_STEPS_MAX
    cdef bint has_ties, is_solved
    limit = minimum(limit, <int64_t>scratch.step_budget - <int64_t>steps_taken(scratch))
    if limit <= 0 or not lay_layers(scratch):
        return False
    has_ties = weigh_ties(scratch)
    if not has_ties:
        forget_ties(scratch)
    layers.steps = 0
    is_solved = solve_layers(scratch, limit)
    scratch.steps += layers.steps
    if not is_solved:
        return False
    take_layers(scratch)
    scratch.search.is_settled = has_ties
    if has_ties:
        fix_ties(scratch)
    return True


# ------------------------------------------------------------------ branch and bound ----------


cdef uint64_t steps_taken(const scratch_t *scratch) noexcept nogil:
    return scratch.steps + scratch.lp.steps + scratch.flow.steps


cdef bint is_spent(const scratch_t *scratch) noexcept nogil:
    return steps_taken(scratch) >= scratch.step_budget


cdef uint64_t bound_steps(const scratch_t *scratch) noexcept nogil:
    """What it costs to prove the bound of a node, or to look at its vertex."""
    return scratch.lp.nonzero_count + scratch.lp.column_count


cdef bint is_whole(const column_t *column) noexcept nogil:
    return column.kind == COLUMN_TIMES or column.kind == COLUMN_BLOCKS


cdef void try_trial(scratch_t *scratch) noexcept nogil:
    """Keep the trial if it is worth more than the incumbent."""
    cdef search_t *search = &scratch.search
    cdef int64_t worth = transport(scratch, search.trial)
    if worth <= search.incumbent_parts:
        return
    search.incumbent_parts = worth
    search.is_found = True
    search.is_vertex = 0
    if not search.is_probe:
        search.box_count = 0
    count_trial(scratch)
    keep_flow(scratch)


cdef bint round_trial(scratch_t *scratch) noexcept nogil:
    """Whole numbers of the point at hand, rounded down; True when they were whole already."""
    cdef search_t *search = &scratch.search
    cdef double value
    cdef bint were_whole = True
    cdef uint32_t i
    for i in range(scratch.lp.column_count):
        search.trial[i] = 0
        if is_whole(&search.columns[i]):
            value = lp_value_of(&scratch.lp, i)
            search.trial[i] = maximum(scratch.lp.lower[i], <int64_t>(value + 1e-5))
            were_whole &= value - <double>search.trial[i] < 1e-5
    return were_whole


cdef double minimum_double(double a, double b) noexcept nogil:
    return a if a < b else b


cdef void split_fraction(scratch_t *scratch) noexcept nogil:
    """Branch on the number whose both sides lose most by the first step of the simplex, towards the
    side that loses less."""
    cdef search_t *search = &scratch.search
    cdef lp_t *lp = &scratch.lp
    cdef double value, fraction, weight
    cdef double down = 0.0
    cdef double up = 0.0
    cdef double best = -1.0
    cdef int64_t floor
    cdef uint32_t i, first
    search.split_column = NONE_32
    for i in range(lp.column_count):
        if lp.row_of[i] < 0 or not is_whole(&search.columns[i]):
            continue
        value = lp_value_of(lp, i)
        floor = <int64_t>(value + 1e-5)
        fraction = value - <double>floor
        if fraction < 1e-5:
            continue
        down = 0.0
        up = 0.0
        if steps_taken(scratch) < scratch.step_budget:
            lp_penalties(lp, lp.row_of[i], &down, &up)
        down *= fraction
        up *= 1.0 - fraction
        weight = minimum_double(down, up)
        weight += minimum_double(down + up, 1e9) / 64.0
        weight += minimum_double(fraction, 1.0 - fraction) / 1024.0
        if weight > best:
            best = weight
            search.split_column = i
            first = down <= up if down != up else fraction < 0.5
            search.split_lower[1 - first] = lp.lower[i]
            search.split_upper[1 - first] = floor
            search.split_lower[first] = floor + 1
            search.split_upper[first] = lp.upper[i]


cdef void split_whole(scratch_t *scratch) noexcept nogil:
    """Branch where all is whole and the bound is still higher: around the first open number."""
    cdef search_t *search = &scratch.search
    cdef int64_t at
    cdef uint32_t i
    search.split_column = NONE_32
    for i in range(scratch.lp.column_count):
        if not is_whole(&search.columns[i]) or scratch.lp.lower[i] == scratch.lp.upper[i]:
            continue
        at = minimum(maximum(search.trial[i], scratch.lp.lower[i]), scratch.lp.upper[i])
        search.split_column = i
        search.split_upper[0] = scratch.lp.upper[i]
        search.split_lower[1] = scratch.lp.lower[i]
        if at > scratch.lp.lower[i]:
            search.split_lower[0] = at
            search.split_upper[1] = at - 1
        else:
            search.split_lower[0] = at
            search.split_upper[0] = at
            search.split_lower[1] = at + 1
            search.split_upper[1] = scratch.lp.upper[i]
        return


cdef int64_t least_wanted(const search_t *search) noexcept nogil:
    """Solutions worth less are not looked for. Those as good as the incumbent stay, for ties."""
    return search.incumbent_parts + 1 if search.is_probe else search.incumbent_parts


cdef bint narrow(scratch_t *scratch) noexcept nogil:
    """Take from every column the values that the last bound proves useless. Exact. Returns whether
    the trail had room."""
    cdef search_t *search = &scratch.search
    cdef lp_t *lp = &scratch.lp
    cdef trail_entry_t *entry
    cdef int64_t room
    cdef uint32_t i
    for i in range(lp.column_count):
        if lp.lower[i] == lp.upper[i]:
            continue
        room = lp_room(lp, i, least_wanted(search))
        if room >= lp.upper[i] - lp.lower[i]:
            continue
        if search.frame_count > 0:
            if search.trail_count == TRAIL_MAX:
                return False
            entry = &search.trail[search.trail_count]
            search.trail_count += 1
            entry.column = i
            entry.lower = lp.lower[i]
            entry.upper = lp.upper[i]
        if lp_is_from_upper(lp, i):
            lp.lower[i] = lp.upper[i] - room
        else:
            lp.upper[i] = lp.lower[i] + room
    lp.steps += lp.column_count
    return True


cdef void keep_box(scratch_t *scratch) noexcept nogil:
    """Remember a node closed at the worth of the incumbent: it may hold other solutions as good."""
    cdef search_t *search = &scratch.search
    cdef uint32_t i
    if search.is_probe or search.node_bound != search.incumbent_parts:
        return
    if search.box_count < BOXES_MAX:
        narrow(scratch)
        for i in range(scratch.lp.column_count):
            search.box_lower[search.box_count][i] = scratch.lp.lower[i]
            search.box_upper[search.box_count][i] = scratch.lp.upper[i]
        scratch.steps += scratch.lp.column_count
    search.box_count = <uint32_t>minimum(search.box_count + 1, BOXES_MAX + 1)


cdef bint is_closed_by_bound(scratch_t *scratch, uint32_t status) noexcept nogil:
    """The proof in whole numbers that nothing better lies below this node."""
    cdef search_t *search = &scratch.search
    cdef int64_t bound = lp_bound_parts(&scratch.lp)
    cdef uint32_t tries = 0
    while True:
        # Every worth is a multiple of the grain. C rounds towards 0: never below the floor.
        search.node_bound = bound - bound % search.grain
        if search.frame_count > 0:
            search.node_bound = minimum(search.node_bound,
                                        search.frames[search.frame_count - 1].bound_parts)
        if search.node_bound <= search.incumbent_parts:
            keep_box(scratch)
            return True
        if status != LP_INFEASIBLE or tries == 3 or \
                steps_taken(scratch) + bound_steps(scratch) > scratch.step_budget:
            return False
        tries += 1
        scratch.lp.ray *= 1024.0
        bound = lp_bound_parts(&scratch.lp)


cdef void leave_open(search_t *search, int64_t bound) noexcept nogil:
    """What lies below a node was not searched: up to its bound may have been missed."""
    search.is_proven = False
    search.open_bound = maximum(search.open_bound, bound)


cdef bint relax_node(scratch_t *scratch) noexcept nogil:
    """Solve the linear program of a node. True when it is still open and at its optimum."""
    cdef search_t *search = &scratch.search
    cdef lp_t *lp = &scratch.lp
    cdef double cutoff
    cdef uint32_t status
    cdef uint64_t limit
    cdef uint32_t rounds = CUT_ROUNDS if search.frame_count == 0 else 0
    while True:
        limit = scratch.step_budget - minimum(
            <int64_t>scratch.step_budget,
            <int64_t>(scratch.steps + scratch.flow.steps + bound_steps(scratch)))
        cutoff = <double>(search.incumbent_parts + search.grain) / PARTS_PER_MINOR - 1e-6
        status = lp_solve(lp, cutoff, limit)
        if status == LP_CUT:
            if is_closed_by_bound(scratch, status):
                return False
            status = lp_solve(lp, -1e300, limit)
        if status == LP_OPTIMAL and not lp.is_full and add_broken_prefixes(scratch) > 0:
            continue
        if is_closed_by_bound(scratch, status):
            return False
        if status == LP_OPTIMAL and rounds == CUT_ROUNDS and search.restart_count == 0 and \
                not search.is_probe and end_by_layers(scratch):
            search.node_bound = search.incumbent_parts
            return False
        if status == LP_OPTIMAL and not lp.is_full and rounds > 0 and add_cuts(scratch) > 0:
            rounds -= 1
            continue
        if status == LP_OPTIMAL and not lp.is_full:
            return True
        leave_open(search, search.node_bound)
        return False


cdef uint64_t node_steps(const scratch_t *scratch) noexcept nogil:
    """What a node takes besides pivots and flows: vertex, bound, narrowing; tableaux set aside and
    brought back, and at the root one that drops columns."""
    cdef uint64_t cells = <uint64_t>scratch.lp.row_count * scratch.lp.width
    return 2 * bound_steps(scratch) + (2 * cells if scratch.search.frame_count == 0 else cells // 2)


cdef bint solve_node(scratch_t *scratch) noexcept nogil:
    """True when the node must be split at split_column; False when it is closed."""
    cdef search_t *search = &scratch.search
    cdef bint were_whole
    search.split_column = NONE_32
    if not relax_node(scratch):
        return False
    search.node_count += 1
    if steps_taken(scratch) + node_steps(scratch) > scratch.step_budget:
        leave_open(search, search.node_bound)
        return False
    were_whole = round_trial(scratch)
    if were_whole:
        if not take_vertex(scratch):
            try_trial(scratch)
        if (search.is_found and search.is_probe) or is_closed_by_bound(scratch, LP_OPTIMAL):
            return False
    narrow(scratch)
    if search.frame_count == 0 and not search.is_probe:
        search.root_bound = search.node_bound
        search.root_incumbent = search.incumbent_parts
        lp_drop_fixed(&scratch.lp)
    if not were_whole:
        split_fraction(scratch)
    if search.split_column == NONE_32:
        split_whole(scratch)
    if search.split_column != NONE_32:
        return True
    # Every number is fixed: the flow is the best of them, and no bound is needed.
    try_trial(scratch)
    if scratch.flow.is_cut or scratch.flow.is_full:
        leave_open(search, search.node_bound)
    else:
        search.node_bound = search.incumbent_parts
        keep_box(scratch)
    return False


cdef void set_bounds(scratch_t *scratch, uint32_t column, int64_t lower,
                     int64_t upper) noexcept nogil:
    scratch.lp.lower[column] = lower
    scratch.lp.upper[column] = upper


cdef void widen(scratch_t *scratch, uint32_t trail_count) noexcept nogil:
    """Undo what was narrowed since the trail was so long."""
    cdef search_t *search = &scratch.search
    cdef const trail_entry_t *entry
    while search.trail_count > trail_count:
        search.trail_count -= 1
        entry = &search.trail[search.trail_count]
        set_bounds(scratch, entry.column, entry.lower, entry.upper)


cdef bint back_track(scratch_t *scratch) noexcept nogil:
    """Go to the next branch that was not tried; False when there is none."""
    cdef search_t *search = &scratch.search
    cdef frame_t *frame
    while search.frame_count > 0:
        frame = &search.frames[search.frame_count - 1]
        widen(scratch, frame.trail_count)
        if not frame.is_second and search.is_proven and not (search.is_found and search.is_probe):
            frame.is_second = True
            lp_return(&scratch.lp, &frame.tableau)
            set_bounds(scratch, frame.column, frame.other_lower, frame.other_upper)
            return True
        if not frame.is_second and not search.is_proven:
            search.open_bound = maximum(search.open_bound, frame.bound_parts)
        set_bounds(scratch, frame.column, frame.lower, frame.upper)
        search.frame_count -= 1
    return False


cdef bint starts_over(scratch_t *scratch) noexcept nogil:
    """Go back to the root when a much better incumbent lets it drop more columns there: all nodes
    to come are cheaper. What was closed is searched again."""
    cdef search_t *search = &scratch.search
    cdef const frame_t *frame
    cdef int64_t gap = search.root_bound - search.root_incumbent
    if search.is_probe or search.frame_count == 0 or search.restart_count == RESTARTS_MAX or \
            not search.is_proven or \
            search.root_bound - search.incumbent_parts > gap - gap // 4:
        return False
    search.restart_count += 1
    while search.frame_count > 0:
        search.frame_count -= 1
        frame = &search.frames[search.frame_count]
        widen(scratch, frame.trail_count)
        set_bounds(scratch, frame.column, frame.lower, frame.upper)
    search.box_count = 0
    return True


cdef void branch(scratch_t *scratch) noexcept nogil:
    """Search everything worth more than the incumbent and lay out the best that is found."""
    walk(scratch)
    lay_out(scratch)


cdef void walk(scratch_t *scratch) noexcept nogil:
    """Search everything worth more than the incumbent; depth first, one tableau. A bound that could
    not be proven ends the search with is_proven false."""
    cdef search_t *search = &scratch.search
    cdef frame_t *frame
    search.frame_count = 0
    search.trail_count = 0
    search.node_count = 0
    search.restart_count = 0
    search.is_found = False
    search.is_proven = True
    search.open_bound = search.incumbent_parts
    while True:
        if solve_node(scratch):
            if search.frame_count == FRAMES_MAX:
                leave_open(search, search.node_bound)
            else:
                frame = &search.frames[search.frame_count]
                lp_keep(&scratch.lp, &frame.tableau, 0 if search.frame_count == 0 else
                        lp_kept_end(&search.frames[search.frame_count - 1].tableau))
                search.frame_count += 1
                frame.column = search.split_column
                frame.is_second = False
                frame.bound_parts = search.node_bound
                frame.trail_count = search.trail_count
                frame.lower = scratch.lp.lower[frame.column]
                frame.upper = scratch.lp.upper[frame.column]
                frame.other_lower = search.split_lower[1]
                frame.other_upper = search.split_upper[1]
                set_bounds(scratch, frame.column, search.split_lower[0], search.split_upper[0])
                continue
        if steps_taken(scratch) > scratch.step_budget:
            search.is_proven = False
        if starts_over(scratch):
            continue
        if not back_track(scratch):
            return


# ------------------------------------------------------------------ ties ----------------------


cdef void count_owned(scratch_t *scratch, uint32_t owner) noexcept nogil:
    """Add the row that counts what others take of an owner's runs, if they can."""
    cdef uint32_t first = scratch.lp.nonzero_count
    cdef uint32_t r, column
    for r in range(scratch.run_count):
        if scratch.base_owner[r] != owner:
            continue
        column = scratch.run_column[r]
        while column != NONE_32:
            lp_add_nonzero(&scratch.lp, column, -1)
            column = scratch.search.columns[column].next_of_run
    if scratch.lp.nonzero_count > first:
        scratch.search.owner_row[owner] = lp_add_row(&scratch.lp, 0, LP_UNBOUNDED)


cdef void ask_for(scratch_t *scratch, uint32_t number, int64_t times) noexcept nogil:
    """A contender applies at least so often; others take at most -times of an owner's runs."""
    cdef search_t *search = &scratch.search
    cdef contender_t *contender = &scratch.contest.contenders[number]
    cdef uint32_t column = search.times_column[number]
    if search.is_owner[number]:
        scratch.lp.upper[lp_slack(search.owner_row[number])] = -times
        search.owner_most[number] = -times
    elif contender.kind == CONTEND_APPLICATIONS:
        scratch.lp.lower[column] = maximum(scratch.lp.lower[column], times)
    else:
        scratch.lp.upper[lp_slack(search.total_row[number])] = contender.cap - times


cdef int64_t most_in_box(const scratch_t *scratch, uint32_t number) noexcept nogil:
    """How often a contender can apply at most inside the bounds as they stand."""
    cdef const search_t *search = &scratch.search
    cdef const contender_t *contender = &scratch.contest.contenders[number]
    cdef const place_t *place = &scratch.contest.places[contender.first_place]
    cdef uint32_t stride = 1
    cdef int64_t most = 0
    cdef uint32_t i, r
    if search.is_owner[number]:
        for r in range(scratch.run_count):
            if scratch.base_owner[r] != number:
                continue
            i = scratch.run_column[r]
            while i != NONE_32:
                most -= scratch.lp.lower[i]
                i = search.columns[i].next_of_run
        return most
    if contender.kind == CONTEND_APPLICATIONS:
        return scratch.lp.upper[search.times_column[number]]
    if contender.kind == CONTEND_CHEAPEST:
        stride = stride_of(contender)
    for i in range(place.entry_count):
        most += scratch.lp.upper[search.first_column[number] + stride * i]
    return minimum(most, contender.cap)


cdef bint enter_box(scratch_t *scratch, uint32_t box, uint32_t number,
                    int64_t times) noexcept nogil:
    """Bounds of a box with what the contenders before `number` have and it shall have (NONE_32:
    whatever they have); False when that cannot be."""
    cdef search_t *search = &scratch.search
    cdef bint is_possible
    cdef uint32_t c, i
    for i in range(scratch.lp.column_count):
        scratch.lp.lower[i] = search.box_lower[box][i]
        scratch.lp.upper[i] = search.box_upper[box][i]
    scratch.steps += scratch.lp.column_count
    is_possible = keep_out_asked(scratch)
    if number == NONE_32:
        return is_possible
    for c in range(number + 1):
        if not (is_in(scratch, c) or search.owner_row[c] != NONE_32):
            continue
        is_possible &= most_in_box(scratch, c) >= (times if c == number else search.best_times[c])
        ask_for(scratch, c, times if c == number else search.best_times[c])
    return is_possible


cdef bint find_as_good(scratch_t *scratch, uint32_t number, int64_t times) noexcept nogil:
    """Look for a solution as good that applies a contender so often (NONE_32: any). is_proven tells
    whether an answer of no is proven."""
    cdef search_t *search = &scratch.search
    cdef int64_t best = search.incumbent_parts
    cdef bint is_proven = True
    cdef uint32_t first = 0
    cdef uint32_t count = search.box_count
    cdef uint32_t box
    if count == 0 or count > BOXES_MAX:
        first = BOXES_MAX
        count = BOXES_MAX + 1
    search.is_found = False
    for box in range(first, count):
        if not enter_box(scratch, box, number, times):
            continue
        search.incumbent_parts = best - 1
        branch(scratch)
        search.incumbent_parts = best
        is_proven &= search.is_proven
        if search.is_found:
            break
    search.is_proven = is_proven
    return search.is_found


cdef void settle_ties(scratch_t *scratch) noexcept nogil:
    """D3: among the best, the greatest counts in rank order, an owner's being what others leave.
    For each contender in turn a solution as good is looked for that applies it more often, until
    it is proven that there is none."""
    cdef search_t *search = &scratch.search
    cdef contest_t *contest = &scratch.contest
    cdef int64_t most, times
    cdef uint32_t c
    search.is_probe = True
    for c in range(contest.contender_count):
        if not may_add_rows(scratch):
            break
        if search.is_owner[c]:
            if search.owner_row[c] == NONE_32:
                count_owned(scratch, c)
            if scratch.lp.is_full:
                search.is_probe = False
                return
        elif not is_in(scratch, c):
            continue
        most = 0 if search.is_owner[c] else contest.contenders[c].cap
        times = search.best_times[c] + 1
        while search.best_times[c] < most:
            if not find_as_good(scratch, c, times):
                if not search.is_proven:
                    search.is_probe = False
                    return
                most = times - 1
            # After a first success the rest is halved: counts may be large.
            times = most - (most - search.best_times[c]) // 2
    search.is_probe = False


# ------------------------------------------------------------------ worth nothing -------------
# Ties are settled by counts alone, and an offer that is worth nothing in a combination is not in it
# (D1). Where one comes out so, ties are settled twice again: with a row that asks it to be worth
# something, and without it. The greater counts of both are the answer.


cdef int64_t own_worth(const scratch_t *scratch, const fitting_t *entry) noexcept nogil:
    """What a unit is worth itself; the search counts what is above its base."""
    return entry.worth + scratch.run_base[entry.run]


cdef uint32_t find_worthless(scratch_t *scratch) noexcept nogil:
    """The first contender that applies in the best solution and is worth nothing; NONE_32: none."""
    cdef search_t *search = &scratch.search
    cdef contest_t *contest = &scratch.contest
    cdef const allocation_t *kept
    cdef const place_t *place
    cdef uint32_t at = 0
    cdef uint32_t i, tries
    for i in range(contest.contender_count):
        search.turn_parts[i] = -contest.contenders[i].price_parts * search.best_times[i]
    for i in range(search.kept_count):
        kept = &search.kept[i]
        place = &contest.places[contest.contenders[kept.contender].first_place + kept.place]
        # Units are kept in the order of the entries, nearly always.
        tries = place.entry_count
        while tries > 0 and (at >= place.entry_count or
                             contest.entries[place.first_entry + at].run != kept.run):
            at = at + 1 if at + 1 < place.entry_count else 0
            tries -= 1
        if kept.is_rewarded:
            search.turn_parts[kept.contender] += kept.units * own_worth(
                scratch, &contest.entries[place.first_entry + at])
    for i in range(contest.contender_count):
        if is_in(scratch, i) and search.best_times[i] > 0 and search.turn_parts[i] <= 0:
            return i
    return NONE_32


cdef int64_t worth_grain(const scratch_t *scratch, uint32_t number) noexcept nogil:
    """What the row counts in: of a group for a price what divides all its worths; 0 for others,
    where a unit that is worth anything counts as one."""
    cdef const contest_t *contest = &scratch.contest
    cdef const contender_t *contender = &contest.contenders[number]
    cdef const place_t *place
    cdef int64_t grain = contender.price_parts
    cdef uint32_t p, i
    if grain == 0:
        return 0
    for p in range(contender.place_count):
        place = &contest.places[contender.first_place + p]
        for i in range(place.entry_count):
            grain = greatest_divisor(
                grain, own_worth(scratch, &contest.entries[place.first_entry + i]))
    return grain


cdef int64_t worth_factor(const scratch_t *scratch, uint32_t entry, int64_t grain) noexcept nogil:
    cdef int64_t worth = own_worth(scratch, &scratch.contest.entries[entry])
    return worth // grain if grain > 0 else worth > 0


cdef void end_places(scratch_t *scratch, uint32_t number) noexcept nogil:
    """No more units in a place than its applications have: what is beyond them is worth nothing."""
    cdef const contender_t *contender = &scratch.contest.contenders[number]
    cdef const place_t *place
    cdef uint32_t times = scratch.search.times_column[number]
    cdef uint32_t column = times + 1
    cdef uint32_t p, i
    for p in range(contender.place_count):
        place = &scratch.contest.places[contender.first_place + p]
        lp_add_nonzero(&scratch.lp, times, -place.count)
        for i in range(place.entry_count):
            lp_add_nonzero(&scratch.lp, column + i, 1)
        column += place.entry_count
        lp_add_row(&scratch.lp, 0, LP_UNBOUNDED)


cdef void add_worth_row(scratch_t *scratch, uint32_t number) noexcept nogil:
    """The row that counts what a contender is worth. It asks for nothing yet."""
    cdef search_t *search = &scratch.search
    cdef contest_t *contest = &scratch.contest
    cdef const contender_t *contender = &contest.contenders[number]
    cdef const place_t *place
    cdef int64_t grain = worth_grain(scratch, number)
    cdef int64_t most = 0
    cdef int64_t paid = 0
    cdef int64_t factor
    cdef uint32_t column = search.first_column[number]
    cdef uint32_t stride = 1
    cdef uint32_t p, i
    if contender.kind == CONTEND_CHEAPEST:
        stride = stride_of(contender)
        column += 2 if contender.get > 1 else 0
    else:
        if grain > 0:
            paid = contender.price_parts // grain
            lp_add_nonzero(&scratch.lp, column, -paid)
        column += 1
    for p in range(contender.place_count):
        place = &contest.places[contender.first_place + p]
        for i in range(place.entry_count):
            factor = worth_factor(scratch, place.first_entry + i, grain)
            if factor > 0:
                lp_add_nonzero(&scratch.lp, column, factor)
            most += factor * search.most_units[column]
            column += stride
    search.worth_range[number] = most + capped_product(paid, contender.cap)
    search.worth_row[number] = lp_add_row(&scratch.lp, most, search.worth_range[number])
    scratch.steps += scratch.lp.column_count
    if contender.kind == CONTEND_APPLICATIONS:
        end_places(scratch, number)


cdef void favour_asked(scratch_t *scratch) noexcept nogil:
    """Of equally good units deal those first that are worth something to who is asked for it."""
    cdef contest_t *contest = &scratch.contest
    cdef const contender_t *contender
    cdef const place_t *place
    cdef int64_t grain, gain
    cdef uint32_t c, p, i, arc
    for c in range(contest.contender_count):
        if scratch.search.asked[c] != ASKED_WORTH:
            continue
        contender = &contest.contenders[c]
        grain = worth_grain(scratch, c)
        for p in range(contender.place_count):
            place = &contest.places[contender.first_place + p]
            for i in range(place.entry_count):
                arc = scratch.entry_arc[place.first_entry + i]
                gain = minimum(worth_factor(scratch, place.first_entry + i, grain), FAVOUR_MOST)
                scratch.flow.arcs[arc].second_gain += gain * FAVOUR_WEIGHT
                scratch.flow.arcs[arc + 1].second_gain -= gain * FAVOUR_WEIGHT


cdef bint has_worth_asked(const scratch_t *scratch, const int64_t *whole) noexcept nogil:
    """Whether in the flow at hand all who are asked to be worth something are."""
    cdef const contest_t *contest = &scratch.contest
    cdef const search_t *search = &scratch.search
    cdef const contender_t *contender
    cdef const place_t *place
    cdef int64_t worth
    cdef uint32_t c, p, i
    for c in range(contest.contender_count):
        if search.asked[c] != ASKED_WORTH:
            continue
        contender = &contest.contenders[c]
        worth = 0
        if contender.kind == CONTEND_APPLICATIONS:
            worth = -contender.price_parts * whole[search.times_column[c]]
        for p in range(contender.place_count):
            place = &contest.places[contender.first_place + p]
            for i in range(place.entry_count):
                worth += own_worth(scratch, &contest.entries[place.first_entry + i]) * \
                    flow_on(&scratch.flow, scratch.entry_arc[place.first_entry + i])
        if worth <= 0:
            return False
    return True


cdef bint keep_out_asked(scratch_t *scratch) noexcept nogil:
    """No applications of those who are asked not to apply; False where the bounds want some."""
    cdef const search_t *search = &scratch.search
    cdef uint32_t i
    if search.asked_count == 0:
        return True
    for i in range(scratch.lp.column_count):
        if search.asked[search.columns[i].contender] == ASKED_OUT and is_whole(&search.columns[i]):
            if scratch.lp.lower[i] > 0:
                return False
            scratch.lp.upper[i] = 0
    return True


cdef void ask_anew(scratch_t *scratch) noexcept nogil:
    """Ask for what is asked now, and no more for counts that settled ties before."""
    cdef search_t *search = &scratch.search
    cdef lp_t *lp = &scratch.lp
    cdef int64_t owned
    cdef uint32_t c, r
    for c in range(scratch.contest.contender_count):
        if search.is_owner[c]:
            search.owner_most[c] = LP_UNBOUNDED
            if search.owner_row[c] == NONE_32:
                continue
            owned = 0
            for r in range(scratch.run_count):
                owned += scratch.run_left[r] if scratch.base_owner[r] == c else 0
            lp.upper[lp_slack(search.owner_row[c])] = owned
        if not is_in(scratch, c):
            continue
        if search.total_row[c] != NONE_32:
            lp.upper[lp_slack(search.total_row[c])] = scratch.contest.contenders[c].cap
        if search.asked[c] == ASKED_WORTH and search.worth_row[c] == NONE_32:
            add_worth_row(scratch, c)
        if search.worth_row[c] != NONE_32:
            lp.upper[lp_slack(search.worth_row[c])] = search.worth_range[c] \
                if search.asked[c] != ASKED_WORTH else lp.right[search.worth_row[c]] - 1


cdef bint settle_asked(scratch_t *scratch) noexcept nogil:
    """Settle ties among the solutions as good that do what is asked. False: none was found."""
    cdef search_t *search = &scratch.search
    cdef bint is_found
    if not may_add_rows(scratch):
        search.is_proven = False
        return False
    ask_anew(scratch)
    if scratch.lp.is_full:
        search.is_proven = False
        return False
    search.is_probe = True
    is_found = find_as_good(scratch, NONE_32, 0)
    if is_found:
        settle_ties(scratch)
    search.is_probe = False
    return is_found


cdef bint are_greater(const scratch_t *scratch) noexcept nogil:
    """Whether the counts at hand are greater in rank order than those settled on."""
    cdef const search_t *search = &scratch.search
    cdef uint32_t c
    for c in range(scratch.contest.contender_count):
        if (is_in(scratch, c) or search.is_owner[c]) and \
                search.best_times[c] != search.settled_times[c]:
            return search.best_times[c] > search.settled_times[c]
    return False


cdef bint ask_next(search_t *search) noexcept nogil:
    """Whoever was asked last for worth is to stay out; False when all was tried."""
    cdef uint32_t last
    while search.asked_count > 0:
        last = search.asked_in_turn[search.asked_count - 1]
        if search.asked[last] == ASKED_WORTH:
            search.asked[last] = ASKED_OUT
            return True
        search.asked[last] = ASKED_NOTHING
        search.asked_count -= 1
    return False


cdef void settle_worthless(scratch_t *scratch) noexcept nogil:
    """D1: of the best solutions in which nobody who applies is worth nothing, the greatest counts.
    Where steps run out, what was found last stays."""
    cdef search_t *search = &scratch.search
    cdef uint32_t number = find_worthless(scratch)
    cdef uint32_t c
    cdef bint has_settled = False
    cdef bint is_at_hand = False
    cdef bint is_found = True
    if number == NONE_32:
        return
    while True:
        is_found &= not has_settled or are_greater(scratch)
        if is_found and number == NONE_32:
            has_settled = True
            is_at_hand = True
            for c in range(scratch.contest.contender_count):
                search.settled_times[c] = search.best_times[c]
                search.settled_asked[c] = search.asked[c]
        if is_found and number != NONE_32 and search.asked[number] == ASKED_NOTHING and \
                search.asked_count < ASKED_MAX:
            search.asked[number] = ASKED_WORTH
            search.asked_in_turn[search.asked_count] = number
            search.asked_count += 1
        elif not ask_next(search):
            break
        is_found = settle_asked(scratch)
        if not search.is_proven:
            return
        if is_found:
            is_at_hand = False
            number = find_worthless(scratch)
    if not has_settled or is_at_hand:
        return
    for c in range(scratch.contest.contender_count):
        search.asked[c] = search.settled_asked[c]
        search.asked_count += search.asked[c] != ASKED_NOTHING
    settle_asked(scratch)


# ------------------------------------------------------------------ a part --------------------


cdef void keep_turn(scratch_t *scratch, uint32_t first, int64_t worth) noexcept nogil:
    """Make what the contenders took in turn the incumbent, and give it back."""
    cdef contest_t *contest = &scratch.contest
    cdef search_t *search = &scratch.search
    cdef allocation_t *allocation
    cdef uint32_t i, owner
    search.incumbent_parts = worth
    for i in range(contest.contender_count):
        search.best_times[i] = contest.contenders[i].times if is_in(scratch, i) else 0
    for i in range(first, contest.allocation_count):
        allocation = &contest.allocations[i]
        keep_units(scratch, allocation.contender, allocation.place, allocation.run,
                   allocation.is_rewarded, allocation.units)
        owner = scratch.base_owner[allocation.run]
        if owner != NONE_32:
            search.best_times[owner] -= allocation.units
        scratch.run_left[allocation.run] += allocation.units


cdef void try_in_turn(scratch_t *scratch) noexcept nogil:
    """A first incumbent: what the contenders take one after the other, the one worth most next. Its
    counts are laid out anew if nothing better is found."""
    cdef contest_t *contest = &scratch.contest
    cdef search_t *search = &scratch.search
    cdef contender_t *contender
    cdef const column_t *column
    cdef int64_t unused = 0
    cdef int64_t at = 0
    cdef uint32_t first = contest.allocation_count
    cdef uint32_t i
    cdef uint32_t last = NONE_32
    keep_turn(scratch, first, resolve_in_turn(scratch, &unused))
    search.is_vertex = 0
    for i in range(scratch.run_count):
        scratch.run_demand[i] = 0
    for i in range(scratch.lp.column_count):
        column = &search.columns[i]
        contender = &contest.contenders[column.contender]
        search.best_vertex[i] = contender.times if column.kind == COLUMN_TIMES else 0
        if column.kind != COLUMN_BLOCKS:
            continue
        if column.contender != last:
            if is_spent(scratch):
                contest.allocation_count = first
                return
            last = column.contender
            at = 0
            count_taken(scratch, first, last)
        search.best_vertex[i] = \
            blocks_before(at + scratch.run_demand[column.run], contender, contest) - \
            blocks_before(at, contender, contest)
        at += scratch.run_demand[column.run]
        scratch.run_demand[column.run] = 0
    contest.allocation_count = first
    scratch.steps += scratch.lp.column_count
    search.is_vertex = VERTEX_COUNTS


cdef void count_taken(scratch_t *scratch, uint32_t first, uint32_t number) noexcept nogil:
    """Units of each run that a contender took, by the allocations from `first` on."""
    cdef const allocation_t *allocation
    cdef uint32_t i
    for i in range(first, scratch.contest.allocation_count):
        allocation = &scratch.contest.allocations[i]
        if allocation.contender == number:
            scratch.run_demand[allocation.run] += allocation.units
    scratch.steps += scratch.contest.allocation_count - first


cdef int64_t blocks_before(int64_t units, const contender_t *contender,
                           const contest_t *contest) noexcept nogil:
    """Blocks whose first free unit is among the first `units` of a sequence of blocks."""
    cdef int64_t count = contest.places[contender.first_place].count
    return units // count + (units % count > count - contender.get)


cdef void keep_root(scratch_t *scratch) noexcept nogil:
    cdef search_t *search = &scratch.search
    cdef uint32_t i
    for i in range(scratch.lp.column_count):
        search.box_lower[BOXES_MAX][i] = scratch.lp.lower[i]
        search.box_upper[BOXES_MAX][i] = scratch.lp.upper[i]


cdef int64_t search_part(scratch_t *scratch, uint32_t part, int64_t *bound) noexcept nogil:
    """Search contenders that want the same units; returns the worth and sets what could be had at
    most."""
    cdef search_t *search = &scratch.search
    cdef uint32_t i
    search.component = part
    if steps_taken(scratch) >= scratch.step_budget or not build_program(scratch):
        return resolve_in_turn(scratch, bound)
    search.is_probe = False
    search.is_found = False
    search.is_settled = False
    search.box_count = 0
    search.kept_count = 0
    try_in_turn(scratch)
    branch(scratch)
    # The bounds of the root stay narrowed: outside them nothing is as good as the best.
    keep_root(scratch)
    bound[0] = search.incumbent_parts
    if search.is_proven:
        if not search.is_settled:
            settle_ties(scratch)
        settle_worthless(scratch)
    else:
        bound[0] = 0
        for i in range(scratch.contest.contender_count):
            if is_in(scratch, i):
                bound[0] += maximum(0, alone_bound(scratch, i))
        bound[0] = maximum(minimum(bound[0], search.open_bound), search.incumbent_parts)
    allocate_kept(scratch)
    return search.incumbent_parts


cdef uint32_t size_of_part(const scratch_t *scratch, uint32_t component,
                           uint32_t part) noexcept nogil:
    """How many contenders of a part can still apply. A component that was not reduced yet is one
    part, which has its number."""
    cdef const contender_t *contender
    cdef uint32_t size = 0
    cdef uint32_t c
    for c in range(part, scratch.contest.contender_count):
        contender = &scratch.contest.contenders[c]
        size += contender.component == component and scratch.search.part[c] == part and \
            contender.cap > 0
    return size


cdef int64_t resolve_component(scratch_t *scratch, uint32_t component,
                               int64_t *bound) noexcept nogil:
    """Reduce a component, then answer each part that is left of it. What has a closed form comes
    first: a search may take all steps."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender
    cdef int64_t base = reduce(scratch, component)
    cdef int64_t worth = base
    cdef int64_t part_bound = 0
    cdef uint32_t c, searches
    cdef bint is_closed
    bound[0] = base
    find_parts(scratch, component)
    for searches in range(2):
        for c in range(contest.contender_count):
            contender = &contest.contenders[c]
            if contender.component != component or contender.cap == 0 or \
                    scratch.search.part[c] != c:
                continue
            is_closed = not contender.is_tangled and size_of_part(scratch, component, c) == 1
            if is_closed == searches:
                continue
            part_bound = contender.alone_parts
            if is_closed:
                worth += alone(scratch, c, True)
            else:
                worth += search_part(scratch, c, &part_bound)
            bound[0] += part_bound
    give_to_owners(scratch, component)
    return worth


cdef void begin_resolve(scratch_t *scratch) noexcept nogil:
    cdef contest_t *contest = &scratch.contest
    cdef uint32_t c
    contest.allocation_count = 0
    contest.component_count = 0
    contest.worth_parts = 0
    contest.bound_parts = 0
    for c in range(scratch.run_count):
        scratch.run_left[c] = scratch.runs[c].count
        scratch.run_base[c] = 0
        scratch.base_owner[c] = NONE_32
    for c in range(contest.contender_count):
        scratch.search.is_owner[c] = False
        contest.contenders[c].times = 0
        trim(scratch, &contest.contenders[c])
        contest.contenders[c].is_qualified = contest.contenders[c].cap > 0
        contest.contenders[c].alone_parts = 0
        contest.contenders[c].is_tangled = 0
    find_parts(scratch, NONE_32)
    for c in range(contest.contender_count):
        contest.contenders[c].component = scratch.search.part[c]


cdef int64_t most_worth(const scratch_t *scratch) noexcept nogil:
    """No deal is worth more than its units cost and what groups take off."""
    cdef const contender_t *contender
    cdef int64_t most = 0
    cdef uint32_t i
    for i in range(scratch.run_count):
        most += PARTS_PER_MINOR * scratch.runs[i].price_minor * scratch.runs[i].count
    for i in range(scratch.contest.contender_count):
        contender = &scratch.contest.contenders[i]
        most = minimum(LP_UNBOUNDED, most + capped_product(
            contender.cap, maximum(0, -contender.price_parts)))
    return most


cdef void resolve_contest(scratch_t *scratch) noexcept nogil:
    """What has a closed form comes first: a search may take all steps."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender
    cdef int64_t bound = 0
    cdef uint32_t c, size, searches
    cdef bint is_closed
    begin_resolve(scratch)
    for searches in range(2):
        for c in range(contest.contender_count):
            contender = &contest.contenders[c]
            if contender.cap == 0 or contender.component != c:
                continue
            size = size_of_part(scratch, c, c)
            is_closed = size == 1 and not contender.is_tangled
            if is_closed == searches:
                continue
            if is_closed:
                bound = contender.alone_parts
                contest.worth_parts += alone(scratch, c, True)
            else:
                contest.component_count += size > 1
                contest.worth_parts += resolve_component(scratch, c, &bound)
            contest.bound_parts = minimum(LP_UNBOUNDED, contest.bound_parts + bound)
    if contest.bound_parts > contest.worth_parts:
        contest.bound_parts = maximum(contest.worth_parts,
                                      minimum(contest.bound_parts, most_worth(scratch)))
