# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""The exact search for the best combination of applications and units.

Only counts are branched on: how often an offer applies, and for cheapest-free offers how many units
of each run are free. With these fixed the units are a transportation problem, which flow.h solves
exactly on runs. simplex.h bounds what a branch can still give; a branch is closed only when that
bound, evaluated in whole numbers, is not above what was found.
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


cdef void sort_entries(const contest_t *contest, const place_t *place,
                       uint32_t *order) noexcept nogil:
    """Entry numbers of a place by worth, greatest first; equal ones stay in canonical order."""
    cdef const fitting_t *entries = &contest.entries[place.first_entry]
    cdef uint32_t i, j
    for i in range(place.entry_count):
        j = i
        while j > 0 and entries[order[j - 1]].worth < entries[i].worth:
            order[j] = order[j - 1]
            j -= 1
        order[j] = i


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
    sort_entries(contest, place, scratch.sorted)
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + i]
        if entry.group != NONE_32:
            scratch.group_left[entry.group] = contest.group_caps[entry.group]
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + scratch.sorted[i]]
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
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + i]
        units = minimum(scratch.run_left[entry.run], times * place.count - at)
        free = free_before(at + units, place.count, contender.get) - \
            free_before(at, place.count, contender.get)
        worth += free * entry.worth
        at += units
        if is_final:
            allocate(contest, number, 0, entry.run, True, free)
            allocate(contest, number, 0, entry.run, False, units - free)
            scratch.run_left[entry.run] -= units
    if is_final:
        contender.times = times
    scratch.steps += place.entry_count
    return worth


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
        sort_entries(contest, &contest.places[contender.first_place + p], scratch.place_order[p])
        cursor[p] = 0
        cursor_left[p] = 0
    while times < contender.cap:
        bulk = contender.cap - times
        gain = next_application(scratch, number, cursor, cursor_left, &bulk)
        if gain < 0:
            break
        for p in range(contender.place_count):
            part = pick(scratch, number, p, &cursor[p], &cursor_left[p],
                        bulk * contest.places[contender.first_place + p].count, is_final)
            INVARIANT(part != -LP_UNBOUNDED)
        times += bulk
        worth += bulk * gain
    if is_final:
        contender.times = times
        for i in range(first, contest.allocation_count):
            scratch.run_left[contest.allocations[i].run] -= contest.allocations[i].units
    return worth


cdef int64_t alone(scratch_t *scratch, uint32_t number, bint is_final) noexcept nogil:
    """Best worth of a contender with what run_left holds to itself. When final, its units are
    allocated and taken from run_left."""
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


cdef uint32_t root_of(contest_t *contest, uint32_t number) noexcept nogil:
    while contest.contenders[number].component != number:
        number = contest.contenders[number].component
    return number


cdef void join(contest_t *contest, uint32_t a, uint32_t b) noexcept nogil:
    """The lower number names the component."""
    a = root_of(contest, a)
    b = root_of(contest, b)
    if a < b:
        contest.contenders[b].component = a
    else:
        contest.contenders[a].component = b


cdef void find_components(scratch_t *scratch) noexcept nogil:
    """Join contenders that want more of a run together than there is."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender
    cdef place_t *place
    cdef uint32_t c, p, i, run
    for i in range(scratch.run_count):
        scratch.run_demand[i] = 0
        scratch.run_owner[i] = NONE_32
    for c in range(contest.contender_count):
        contender = &contest.contenders[c]
        contender.component = c
        contender.is_tangled = False
        contender.alone_parts = alone(scratch, c, False)
        if contender.alone_parts <= 0:
            contender.cap = 0
        if contender.cap == 0:
            continue
        for p in range(contender.place_count):
            place = &contest.places[contender.first_place + p]
            for i in range(place.entry_count):
                run = contest.entries[place.first_entry + i].run
                scratch.run_demand[run] += demand_of(scratch, contender, place, run)
    for c in range(contest.contender_count):
        contender = &contest.contenders[c]
        if contender.cap == 0:
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
                    contender.is_tangled |= scratch.run_owner[run] >> 16 != p
                else:
                    join(contest, scratch.run_owner[run] & 0xffff, c)
                    scratch.run_owner[run] = c | p << 16
    for c in range(contest.contender_count):
        contest.contenders[c].component = root_of(contest, c)


cdef int64_t resolve_in_turn(scratch_t *scratch, uint32_t component,
                             int64_t *bound) noexcept nogil:
    """For a component that no tableau can hold: each contender alone on what is left, the one worth
    most first. The bound is what they are worth with everything to themselves."""
    cdef contest_t *contest = &scratch.contest
    cdef uint32_t c, best
    cdef int64_t worth = 0
    bound[0] = 0
    for c in range(contest.contender_count):
        if contest.contenders[c].component == component and contest.contenders[c].cap > 0:
            contest.contenders[c].times = 0
            bound[0] += contest.contenders[c].alone_parts
    while True:
        best = NONE_32
        for c in range(contest.contender_count):
            if contest.contenders[c].component != component or contest.contenders[c].cap == 0:
                continue
            if best == NONE_32 or \
                    contest.contenders[c].alone_parts > contest.contenders[best].alone_parts:
                best = c
        if best == NONE_32:
            return worth
        if not contest.contenders[best].is_tangled:
            worth += alone(scratch, best, True)
        contest.contenders[best].cap = 0


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
    if kind != COLUMN_TIMES:
        column.run = scratch.contest.entries[entry].run
        column.next_of_run = scratch.run_column[column.run]
        scratch.run_column[column.run] = number
    return number


cdef void add_columns(scratch_t *scratch, uint32_t number) noexcept nogil:
    """Columns of a contender: its applications first, then places, runs in canonical order."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place = &contest.places[contender.first_place]
    cdef const fitting_t *entry
    cdef int64_t cost = -contender.price_parts
    cdef int64_t best[8]
    cdef int64_t most
    cdef uint32_t p, i
    scratch.search.first_column[number] = scratch.lp.column_count
    scratch.search.times_column[number] = NONE_32
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
    elif contender.kind == CONTEND_CHEAPEST and contender.get > 1:
        scratch.search.times_column[number] = add_column(
            scratch, COLUMN_TIMES, number, 0, 0, 0, contender.cap)
    for p in range(contender.place_count):
        place = &contest.places[contender.first_place + p]
        for i in range(place.entry_count):
            entry = &contest.entries[place.first_entry + i]
            most = demand_of(scratch, contender, place, entry.run)
            if contender.kind == CONTEND_CHEAPEST:
                add_column(scratch, COLUMN_FREE, number, p, place.first_entry + i, entry.worth,
                           minimum(most, contender.cap * contender.get))
                add_column(scratch, COLUMN_BOUGHT, number, p, place.first_entry + i, 0,
                           minimum(most, contender.cap * (place.count - contender.get)))
            else:
                if entry.group != NONE_32:
                    most = minimum(most, contest.group_caps[entry.group])
                add_column(scratch, COLUMN_UNITS, number, p, place.first_entry + i,
                           entry.worth - best[p], most)


cdef void add_group_rows(scratch_t *scratch, const place_t *place,
                         uint32_t first_column) noexcept nogil:
    """Product ceilings of a row offer: a row for each group, at its first entry."""
    cdef contest_t *contest = &scratch.contest
    cdef uint32_t i, j, group
    cdef bint is_first
    for i in range(place.entry_count):
        group = contest.entries[place.first_entry + i].group
        is_first = group != NONE_32
        for j in range(i):
            is_first &= contest.entries[place.first_entry + j].group != group
        if not is_first:
            continue
        for j in range(i, place.entry_count):
            if contest.entries[place.first_entry + j].group == group:
                lp_add_nonzero(&scratch.lp, first_column + j, 1)
        lp_add_row(&scratch.lp, contest.group_caps[group], LP_UNBOUNDED)


cdef void add_rows(scratch_t *scratch, uint32_t number) noexcept nogil:
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place = &contest.places[contender.first_place]
    cdef lp_t *lp = &scratch.lp
    cdef uint32_t column = scratch.search.first_column[number]
    cdef uint32_t times = scratch.search.times_column[number]
    cdef int64_t most
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
        return
    if contender.kind == CONTEND_UNITS:
        for i in range(place.entry_count):
            lp_add_nonzero(lp, column + i, 1)
        scratch.search.total_row[number] = lp_add_row(lp, contender.cap, contender.cap)
        add_group_rows(scratch, place, column)
        return
    if times != NONE_32:
        column += 1
    most = contender.cap * contender.get
    for i in range(place.entry_count):
        lp_add_nonzero(lp, column + 2 * i, 1)
    scratch.search.total_row[number] = lp_add_row(lp, most, most)
    add_prefix_row(scratch, number, place.entry_count)
    if times != NONE_32:
        for i in range(place.entry_count):
            lp_add_nonzero(lp, column + 2 * i, 1)
        lp_add_nonzero(lp, times, -contender.get)
        lp_add_row(lp, 0, 0)


cdef uint32_t first_free_column(const scratch_t *scratch, uint32_t number) noexcept nogil:
    """Of a cheapest-free contender: then free and bought columns alternate."""
    return scratch.search.first_column[number] + (
        scratch.search.times_column[number] != NONE_32)


cdef void add_prefix_row(scratch_t *scratch, uint32_t number, uint32_t length) noexcept nogil:
    """Free units among the dearest runs need as many bought ones among the same."""
    cdef contender_t *contender = &scratch.contest.contenders[number]
    cdef int64_t count = scratch.contest.places[contender.first_place].count
    cdef uint32_t column = first_free_column(scratch, number)
    cdef uint32_t i
    for i in range(length):
        lp_add_nonzero(&scratch.lp, column + 2 * i, count - contender.get)
        lp_add_nonzero(&scratch.lp, column + 2 * i + 1, -contender.get)
    lp_add_row(&scratch.lp, 0, LP_UNBOUNDED)


cdef uint32_t add_broken_prefixes(scratch_t *scratch) noexcept nogil:
    """Add, for each cheapest-free contender, the prefix row that is broken most. Returns rows."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender
    cdef double sum, worst
    cdef uint32_t c, i, column, worst_length
    cdef uint32_t added = 0
    for c in range(contest.contender_count):
        contender = &contest.contenders[c]
        if contender.kind != CONTEND_CHEAPEST or not is_in(scratch, c):
            continue
        column = first_free_column(scratch, c)
        sum = 0.0
        worst = 1e-6
        worst_length = 0
        for i in range(contest.places[contender.first_place].entry_count):
            sum += lp_value_of(&scratch.lp, column + 2 * i) * <double>(
                contest.places[contender.first_place].count - contender.get)
            sum -= lp_value_of(&scratch.lp, column + 2 * i + 1) * <double>contender.get
            if sum > worst:
                worst = sum
                worst_length = i + 1
        scratch.steps += contest.places[contender.first_place].entry_count
        if worst_length > 0:
            add_prefix_row(scratch, c, worst_length)
            added += 1
    return added


cdef bint is_in(const scratch_t *scratch, uint32_t number) noexcept nogil:
    """Whether a contender takes part in the component that is searched."""
    return scratch.contest.contenders[number].component == scratch.search.component and \
        scratch.contest.contenders[number].cap > 0


cdef bint build_program(scratch_t *scratch) noexcept nogil:
    """False when the component is too large for a tableau."""
    cdef contest_t *contest = &scratch.contest
    cdef uint32_t c, r, column
    cdef uint32_t columns = 0
    lp_begin(&scratch.lp)
    scratch.search.grain = 0
    for r in range(scratch.run_count):
        scratch.run_column[r] = NONE_32
    for c in range(contest.contender_count):
        if not is_in(scratch, c):
            continue
        columns += 1
        for r in range(contest.contenders[c].place_count):
            columns += 2 * contest.places[contest.contenders[c].first_place + r].entry_count
        if columns > LP_COLUMNS_MAX:
            return False
        add_columns(scratch, c)
    for c in range(contest.contender_count):
        if is_in(scratch, c):
            add_rows(scratch, c)
    for r in range(scratch.run_count):
        column = scratch.run_column[r]
        if column == NONE_32:
            continue
        if scratch.run_demand[r] <= scratch.run_left[r] and \
                scratch.search.columns[column].kind == COLUMN_UNITS and \
                scratch.search.columns[column].next_of_run == NONE_32:
            continue
        while column != NONE_32:
            lp_add_nonzero(&scratch.lp, column, 1)
            column = scratch.search.columns[column].next_of_run
        lp_add_row(&scratch.lp, scratch.run_left[r], LP_UNBOUNDED)
    scratch.search.grain = maximum(1, scratch.search.grain)
    return not scratch.lp.is_full


# ------------------------------------------------------------------ units for given counts ----


cdef uint32_t node_of_run(scratch_t *scratch, uint32_t run) noexcept nogil:
    if scratch.run_node[run] == 0:
        scratch.run_node[run] = flow_add_node(&scratch.flow)
        flow_add_arc(&scratch.flow, FLOW_SOURCE, scratch.run_node[run], scratch.run_left[run], 0, 0)
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


cdef void flow_units(scratch_t *scratch, uint32_t number, int64_t least,
                     int64_t most) noexcept nogil:
    cdef contest_t *contest = &scratch.contest
    cdef place_t *place = &contest.places[contest.contenders[number].first_place]
    cdef const fitting_t *entry
    cdef uint32_t node = flow_add_node(&scratch.flow)
    cdef uint32_t to, i
    flow_add_arc(&scratch.flow, node, FLOW_SINK, least, FLOW_MUST, 0)
    flow_add_arc(&scratch.flow, node, FLOW_SINK, most - least, 0, 0)
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + i]
        if entry.group != NONE_32:
            scratch.group_node[entry.group] = 0
    for i in range(place.entry_count):
        entry = &contest.entries[place.first_entry + i]
        to = node
        if entry.group != NONE_32:
            if scratch.group_node[entry.group] == 0:
                scratch.group_node[entry.group] = flow_add_node(&scratch.flow)
                flow_add_arc(&scratch.flow, scratch.group_node[entry.group], node,
                             contest.group_caps[entry.group], 0, 0)
            to = scratch.group_node[entry.group]
        scratch.entry_arc[place.first_entry + i] = entry_arc(
            scratch, place.first_entry + i, to, most, entry.worth, True)


cdef void flow_applications(scratch_t *scratch, uint32_t number, int64_t times) noexcept nogil:
    cdef contest_t *contest = &scratch.contest
    cdef place_t *place
    cdef uint32_t node, p, i
    for p in range(contest.contenders[number].place_count):
        place = &contest.places[contest.contenders[number].first_place + p]
        node = flow_add_node(&scratch.flow)
        flow_add_arc(&scratch.flow, node, FLOW_SINK, times * place.count, FLOW_MUST, 0)
        for i in range(place.entry_count):
            scratch.entry_arc[place.first_entry + i] = entry_arc(
                scratch, place.first_entry + i, node, times * place.count,
                contest.entries[place.first_entry + i].worth, place.is_rewarded)


cdef bint flow_cheapest(scratch_t *scratch, uint32_t number, const int64_t *whole) noexcept nogil:
    """Free units go straight to the sink; each block that begins at a run asks for its bought units
    from that run or a dearer one, along a chain. False when the free units make no whole blocks."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender = &contest.contenders[number]
    cdef place_t *place = &contest.places[contender.first_place]
    cdef uint32_t column = first_free_column(scratch, number)
    cdef uint32_t link = 0
    cdef uint32_t before = 0
    cdef int64_t free = 0
    cdef int64_t blocks = 0
    cdef int64_t now
    cdef uint32_t i, entry
    for i in range(place.entry_count):
        entry = place.first_entry + i
        free += whole[column + 2 * i]
        now = (free + contender.get - 1) // contender.get
        scratch.entry_arc[entry] = entry_arc(
            scratch, entry, FLOW_SINK, whole[column + 2 * i],
            FLOW_MUST + contest.entries[entry].worth, True)
        if whole[column + 2 * i] > scratch.run_left[contest.entries[entry].run]:
            return False
        before = link
        link = flow_add_node(&scratch.flow)
        if i > 0:
            flow_add_arc(&scratch.flow, before, link, LP_UNBOUNDED, 0, 0)
        scratch.bought_arc[entry] = entry_arc(scratch, entry, link, LP_UNBOUNDED, 0, False)
        flow_add_arc(&scratch.flow, link, FLOW_SINK,
                     (now - blocks) * (place.count - contender.get), FLOW_MUST, 0)
        blocks = now
    return free % contender.get == 0 and blocks <= contender.cap


cdef int64_t least_times(const scratch_t *scratch, uint32_t number) noexcept nogil:
    """What a probe asks of a contender of single units."""
    return scratch.contest.contenders[number].cap - \
        scratch.lp.upper[lp_slack(scratch.search.total_row[number])]


cdef int64_t transport(scratch_t *scratch, const int64_t *whole, bint is_final) noexcept nogil:
    """Worth of the best units for whole counts; below any worth when there are none. The flow stays
    for reading. When final, single units are as many as in best_times."""
    cdef contest_t *contest = &scratch.contest
    cdef search_t *search = &scratch.search
    cdef contender_t *contender
    cdef int64_t worth = 0
    cdef int64_t gain
    cdef bint is_possible = True
    cdef uint32_t c, arc
    flow_begin(&scratch.flow)
    for c in range(scratch.run_count):
        scratch.run_node[c] = 0
    for c in range(contest.contender_count):
        if not is_in(scratch, c):
            continue
        contender = &contest.contenders[c]
        if contender.kind == CONTEND_CHEAPEST:
            is_possible &= flow_cheapest(scratch, c, whole)
        elif contender.kind == CONTEND_APPLICATIONS:
            flow_applications(scratch, c, whole[search.times_column[c]])
            worth -= contender.price_parts * whole[search.times_column[c]]
        elif is_final:
            flow_units(scratch, c, search.best_times[c], search.best_times[c])
        else:
            flow_units(scratch, c, least_times(scratch, c), contender.cap)
    if not is_possible or scratch.flow.is_full:
        return -LP_UNBOUNDED
    flow_solve(&scratch.flow)
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
    """How often each contender applies in the flow at hand."""
    cdef contest_t *contest = &scratch.contest
    cdef search_t *search = &scratch.search
    cdef contender_t *contender
    cdef place_t *place
    cdef uint32_t c, i
    for c in range(contest.contender_count):
        if not is_in(scratch, c):
            continue
        contender = &contest.contenders[c]
        place = &contest.places[contender.first_place]
        if contender.kind == CONTEND_APPLICATIONS:
            search.trial_times[c] = search.trial[search.times_column[c]]
            continue
        search.trial_times[c] = 0
        for i in range(place.entry_count):
            search.trial_times[c] += flow_on(&scratch.flow,
                                             scratch.entry_arc[place.first_entry + i])
        if contender.kind == CONTEND_CHEAPEST:
            search.trial_times[c] //= contender.get


# ------------------------------------------------------------------ branch and bound ----------


cdef uint64_t steps_taken(const scratch_t *scratch) noexcept nogil:
    return scratch.steps + scratch.lp.steps + scratch.flow.steps


cdef bint is_whole(const column_t *column) noexcept nogil:
    return column.kind == COLUMN_TIMES or column.kind == COLUMN_FREE


cdef void try_trial(scratch_t *scratch) noexcept nogil:
    """Keep the trial if it is worth more than the incumbent."""
    cdef search_t *search = &scratch.search
    cdef int64_t worth = transport(scratch, search.trial, False)
    cdef uint32_t i
    if worth <= search.incumbent_parts:
        return
    count_trial(scratch)
    search.incumbent_parts = worth
    search.is_found = True
    for i in range(scratch.lp.column_count):
        search.best[i] = search.trial[i]
    for i in range(scratch.contest.contender_count):
        search.best_times[i] = search.trial_times[i]


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


cdef void split_fraction(scratch_t *scratch) noexcept nogil:
    """Branch on the whole number that is furthest from whole, applications before free units,
    towards the nearer side."""
    cdef search_t *search = &scratch.search
    cdef double value, fraction, weight
    cdef double best = 0.0
    cdef int64_t floor
    cdef uint32_t i, first
    search.split_column = NONE_32
    for i in range(scratch.lp.column_count):
        if not is_whole(&search.columns[i]):
            continue
        value = lp_value_of(&scratch.lp, i)
        floor = <int64_t>(value + 1e-5)
        fraction = value - <double>floor
        weight = minimum_double(fraction, 1.0 - fraction)
        if search.columns[i].kind == COLUMN_TIMES:
            weight += 1.0
        if weight > best and fraction > 1e-5:
            best = weight
            search.split_column = i
            first = fraction < 0.5
            search.split_lower[1 - first] = scratch.lp.lower[i]
            search.split_upper[1 - first] = floor
            search.split_lower[first] = floor + 1
            search.split_upper[first] = scratch.lp.upper[i]


cdef double minimum_double(double a, double b) noexcept nogil:
    return a if a < b else b


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
            return True
        if status != LP_INFEASIBLE or tries == 3:
            return False
        tries += 1
        scratch.lp.ray *= 1024.0
        bound = lp_bound_parts(&scratch.lp)


cdef void leave_open(search_t *search, int64_t bound) noexcept nogil:
    """What lies below a node was not searched: up to its bound may have been missed."""
    search.is_proven = False
    search.open_bound = maximum(search.open_bound, bound)


cdef bint solve_node(scratch_t *scratch) noexcept nogil:
    """True when the node must be split at split_column; False when it is closed."""
    cdef search_t *search = &scratch.search
    cdef lp_t *lp = &scratch.lp
    cdef double cutoff
    cdef uint32_t status
    cdef uint64_t limit
    search.split_column = NONE_32
    while True:
        limit = scratch.step_budget - minimum(<int64_t>scratch.step_budget,
                                              <int64_t>(scratch.steps + scratch.flow.steps))
        cutoff = <double>(search.incumbent_parts + search.grain) / PARTS_PER_MINOR - 1e-6
        status = lp_solve(lp, cutoff, limit)
        if is_closed_by_bound(scratch, status):
            return False
        if status == LP_CUT:
            status = lp_solve(lp, -1e300, limit)
            if is_closed_by_bound(scratch, status):
                return False
        if status != LP_OPTIMAL:
            leave_open(search, search.node_bound)
            return False
        if add_broken_prefixes(scratch) == 0:
            break
        if lp.is_full:
            leave_open(search, search.node_bound)
            return False
    search.node_count += 1
    if round_trial(scratch):
        try_trial(scratch)
        if (search.is_found and search.is_probe) or is_closed_by_bound(scratch, LP_OPTIMAL):
            return False
        split_whole(scratch)
    else:
        if not search.is_probe and search.node_count % 16 == 1:
            make_whole_blocks(scratch)
            try_trial(scratch)
        split_fraction(scratch)
        if search.split_column == NONE_32:
            split_whole(scratch)
    return search.split_column != NONE_32


cdef void set_bounds(scratch_t *scratch, uint32_t column, int64_t lower,
                     int64_t upper) noexcept nogil:
    scratch.lp.lower[column] = lower
    scratch.lp.upper[column] = upper


cdef bint back_track(scratch_t *scratch) noexcept nogil:
    """Go to the next branch that was not tried; False when there is none."""
    cdef search_t *search = &scratch.search
    cdef frame_t *frame
    while search.frame_count > 0:
        frame = &search.frames[search.frame_count - 1]
        if not frame.is_second and search.is_proven and not (search.is_found and search.is_probe):
            frame.is_second = True
            set_bounds(scratch, frame.column, frame.other_lower, frame.other_upper)
            return True
        if not frame.is_second and not search.is_proven:
            search.open_bound = maximum(search.open_bound, frame.bound_parts)
        set_bounds(scratch, frame.column, frame.lower, frame.upper)
        search.frame_count -= 1
    return False


cdef void branch(scratch_t *scratch) noexcept nogil:
    """Search everything worth more than the incumbent; depth first, one tableau. A bound that could
    not be proven ends the search with is_proven false."""
    cdef search_t *search = &scratch.search
    cdef frame_t *frame
    search.frame_count = 0
    search.node_count = 0
    search.is_found = False
    search.is_proven = True
    search.open_bound = search.incumbent_parts
    while True:
        if solve_node(scratch):
            if search.frame_count == FRAMES_MAX:
                leave_open(search, search.node_bound)
            else:
                frame = &search.frames[search.frame_count]
                search.frame_count += 1
                frame.column = search.split_column
                frame.is_second = False
                frame.bound_parts = search.node_bound
                frame.lower = scratch.lp.lower[frame.column]
                frame.upper = scratch.lp.upper[frame.column]
                frame.other_lower = search.split_lower[1]
                frame.other_upper = search.split_upper[1]
                set_bounds(scratch, frame.column, search.split_lower[0], search.split_upper[0])
                continue
        if steps_taken(scratch) > scratch.step_budget:
            search.is_proven = False
        if not back_track(scratch):
            return


cdef void ask_for(scratch_t *scratch, uint32_t number, int64_t times) noexcept nogil:
    """From now on a contender applies at least so often."""
    cdef contender_t *contender = &scratch.contest.contenders[number]
    cdef uint32_t row
    if contender.kind == CONTEND_APPLICATIONS:
        scratch.lp.lower[scratch.search.times_column[number]] = times
        return
    row = scratch.search.total_row[number]
    scratch.lp.upper[lp_slack(row)] = (contender.cap - times) * (
        contender.get if contender.kind == CONTEND_CHEAPEST else 1)


cdef void settle_ties(scratch_t *scratch) noexcept nogil:
    """D3: among the best, the greatest counts in rank order. For each contender in turn a solution
    as good is looked for that applies it once more, until it is proven that there is none."""
    cdef search_t *search = &scratch.search
    cdef int64_t best = search.incumbent_parts
    cdef int64_t times
    cdef uint32_t c
    search.is_probe = True
    for c in range(scratch.contest.contender_count):
        if not is_in(scratch, c):
            continue
        while search.best_times[c] < scratch.contest.contenders[c].cap:
            times = search.best_times[c]
            ask_for(scratch, c, times + 1)
            search.incumbent_parts = best - 1
            branch(scratch)
            search.incumbent_parts = best
            if not search.is_found:
                if not search.is_proven:
                    return
                break
        ask_for(scratch, c, search.best_times[c])


cdef void keep_flow(scratch_t *scratch) noexcept nogil:
    """Allocate the units of the flow at hand. Cheapest-free units are dealt out anew: of those
    taken the last of each block are free."""
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender
    cdef place_t *place
    cdef int64_t units, free, at
    cdef uint32_t c, p, i, entry
    for c in range(contest.contender_count):
        if not is_in(scratch, c):
            continue
        contender = &contest.contenders[c]
        contender.times = scratch.search.best_times[c]
        at = 0
        for p in range(contender.place_count):
            place = &contest.places[contender.first_place + p]
            for i in range(place.entry_count):
                entry = place.first_entry + i
                units = flow_on(&scratch.flow, scratch.entry_arc[entry])
                free = units if place.is_rewarded else 0
                if contender.kind == CONTEND_CHEAPEST:
                    units += flow_on(&scratch.flow, scratch.bought_arc[entry])
                    free = free_before(at + units, place.count, contender.get) - \
                        free_before(at, place.count, contender.get)
                    at += units
                allocate(contest, c, p, contest.entries[entry].run, True, free)
                allocate(contest, c, p, contest.entries[entry].run, False, units - free)
                scratch.run_left[contest.entries[entry].run] -= units


cdef void make_whole_blocks(scratch_t *scratch) noexcept nogil:
    """Take from a trial the free units that make no whole block, the cheapest first."""
    cdef contest_t *contest = &scratch.contest
    cdef search_t *search = &scratch.search
    cdef contender_t *contender
    cdef int64_t free, drop
    cdef uint32_t c, i, column, length
    for c in range(contest.contender_count):
        contender = &contest.contenders[c]
        if contender.kind != CONTEND_CHEAPEST or contender.get == 1 or not is_in(scratch, c):
            continue
        column = first_free_column(scratch, c)
        length = contest.places[contender.first_place].entry_count
        free = 0
        for i in range(length):
            free += search.trial[column + 2 * i]
        free %= contender.get
        i = length
        while free > 0 and i > 0:
            i -= 1
            drop = minimum(free, search.trial[column + 2 * i])
            search.trial[column + 2 * i] -= drop
            free -= drop


cdef void try_in_turn(scratch_t *scratch) noexcept nogil:
    """A first incumbent: what the contenders take one after the other, the one worth most first."""
    cdef contest_t *contest = &scratch.contest
    cdef search_t *search = &scratch.search
    cdef allocation_t *allocation
    cdef const column_t *column
    cdef int64_t unused = 0
    cdef uint32_t first = contest.allocation_count
    cdef uint32_t c, i
    for c in range(contest.contender_count):
        search.kept_cap[c] = contest.contenders[c].cap
    resolve_in_turn(scratch, search.component, &unused)
    for c in range(contest.contender_count):
        contest.contenders[c].cap = search.kept_cap[c]
    for i in range(scratch.lp.column_count):
        column = &search.columns[i]
        search.trial[i] = contest.contenders[column.contender].times \
            if column.kind == COLUMN_TIMES else 0
        if column.kind != COLUMN_FREE:
            continue
        for c in range(first, contest.allocation_count):
            allocation = &contest.allocations[c]
            if allocation.contender == column.contender and allocation.run == column.run and \
                    allocation.is_rewarded:
                search.trial[i] += allocation.units
    for i in range(first, contest.allocation_count):
        scratch.run_left[contest.allocations[i].run] += contest.allocations[i].units
    contest.allocation_count = first
    scratch.steps += scratch.lp.column_count
    try_trial(scratch)


cdef int64_t resolve_component(scratch_t *scratch, uint32_t component,
                               int64_t *bound) noexcept nogil:
    """Search one component; returns the worth and sets what could be had at most."""
    cdef search_t *search = &scratch.search
    cdef int64_t worth
    cdef uint32_t i
    search.component = component
    if not build_program(scratch):
        return resolve_in_turn(scratch, component, bound)
    search.is_probe = False
    search.is_found = False
    search.incumbent_parts = -1
    for i in range(scratch.lp.column_count):
        search.trial[i] = 0
    try_trial(scratch)
    INVARIANT(search.is_found or scratch.flow.is_full)
    if scratch.flow.is_full:
        return resolve_in_turn(scratch, component, bound)
    try_in_turn(scratch)
    branch(scratch)
    bound[0] = search.incumbent_parts
    if search.is_proven:
        settle_ties(scratch)
    else:
        bound[0] = 0
        for i in range(scratch.contest.contender_count):
            if is_in(scratch, i):
                bound[0] += scratch.contest.contenders[i].alone_parts
        bound[0] = maximum(minimum(bound[0], search.open_bound), search.incumbent_parts)
    worth = transport(scratch, search.best, True)
    INVARIANT(worth == search.incumbent_parts)
    keep_flow(scratch)
    return search.incumbent_parts


cdef void resolve_contest(scratch_t *scratch) noexcept nogil:
    cdef contest_t *contest = &scratch.contest
    cdef contender_t *contender
    cdef int64_t bound = 0
    cdef uint32_t c, other, size
    contest.allocation_count = 0
    contest.component_count = 0
    contest.worth_parts = 0
    contest.bound_parts = 0
    for c in range(scratch.run_count):
        scratch.run_left[c] = scratch.runs[c].count
        if scratch.runs[c].taken and not contest.sees_taken:
            scratch.run_left[c] = 0
    for c in range(contest.contender_count):
        contest.contenders[c].times = 0
        trim(scratch, &contest.contenders[c])
        contest.contenders[c].is_qualified = contest.contenders[c].cap > 0
    find_components(scratch)
    for c in range(contest.contender_count):
        contender = &contest.contenders[c]
        if contender.cap == 0 or contender.component != c:
            continue
        size = 0
        for other in range(c, contest.contender_count):
            size += contest.contenders[other].component == c and contest.contenders[other].cap > 0
        if size == 1 and not contender.is_tangled:
            bound = contender.alone_parts
            contest.worth_parts += alone(scratch, c, True)
        else:
            contest.component_count += size > 1
            contest.worth_parts += resolve_component(scratch, c, &bound)
        contest.bound_parts += bound
