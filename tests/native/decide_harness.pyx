# cython: language_level=3
"""A door to the decision alone, for tests: arrays and lists in, plain Python values out."""

import numpy as np

from checklane.decide cimport decide_basket, scratch_bytes
from checklane.structs cimport *
from libc.stdlib cimport calloc, malloc
from libc.string cimport memcpy, memset

cdef scratch_t *SCRATCH = NULL
cdef basket_t *BASKET = NULL
cdef decision_t *DECISION = NULL


cdef const void *table(dict arrays, str name) except? NULL:
    cdef unsigned char[::1] view
    array = arrays.get(name)
    if array is None or array.size == 0:
        return NULL
    view = array.view(np.uint8).reshape(-1)
    return &view[0]


cdef void fill_program(program_t *program, dict arrays) except *:
    memset(program, 0, sizeof(program_t))
    program.header = <const program_header_t *>table(arrays, "header")
    program.offers = <const offer_t *>table(arrays, "offers")
    program.slots = <const slot_t *>table(arrays, "slots")
    program.class_of_product = <const uint32_t *>table(arrays, "class_of_product")
    program.classes = <const posting_list_t *>table(arrays, "classes")
    program.postings = <const uint32_t *>table(arrays, "postings")
    program.universal = <const uint32_t *>table(arrays, "universal")
    program.rows = <const row_t *>table(arrays, "rows")
    program.limits = <const limit_t *>table(arrays, "limits")
    program.steps = <const step_t *>table(arrays, "steps")
    program.funding = <const funding_t *>table(arrays, "funding")
    program.store_sets = <const uint64_t *>table(arrays, "store_sets")
    program.audiences = <const audience_t *>table(arrays, "audiences")
    program.schedules = <const schedule_t *>table(arrays, "schedules")
    program.blackouts = <const int32_t *>table(arrays, "blackouts")
    program.purses = <const purse_t *>table(arrays, "purses")
    program.coupons = <const coupon_slot_t *>table(arrays, "coupons")
    program.universal_lists = <const universal_list_t *>table(arrays, "universal_lists")
    program.universal_list_count = len(arrays["universal_lists"])
    program.offer_numbers = <const offer_number_t *>table(arrays, "offer_numbers")
    program.offer_number_mask = max(1, len(arrays["offer_numbers"])) - 1
    program.purse_count = len(arrays["purses"])
    program.row_mask = max(1, len(arrays["rows"])) - 1
    program.coupon_mask = max(1, len(arrays["coupons"])) - 1


cdef void fill_basket(basket_t *basket, dict content) except *:
    cdef uint32_t i
    memset(basket, 0, sizeof(basket_t))
    for i, (line_id, kind, product, flags, source, count, amount) in enumerate(content["lines"]):
        basket.lines[i].line_id = line_id
        basket.lines[i].kind = kind
        basket.lines[i].product = product
        basket.lines[i].flags = flags
        basket.lines[i].price_source = source
        basket.lines[i].count = count
        basket.lines[i].amount_minor = amount
    for i, (product, flags, source, price, count, first, pieces) in enumerate(content["runs"]):
        basket.runs[i].code = product + 1
        basket.runs[i].product = product
        basket.runs[i].flags = flags
        basket.runs[i].price_source = source
        basket.runs[i].unit_minor = price
        basket.runs[i].count = count
        basket.runs[i].first_piece = first
        basket.runs[i].piece_count = pieces
    for i, (line, run, count) in enumerate(content["pieces"]):
        basket.pieces[i].line = line
        basket.pieces[i].run = run
        basket.pieces[i].count = count
    basket.line_count = len(content["lines"])
    basket.run_count = len(content["runs"])
    basket.piece_count = len(content["pieces"])
    basket.coupon_count = len(content["coupons"])
    basket.selection_count = len(content["selections"])
    for i, key in enumerate(content["coupons"]):
        basket.coupon_keys[i] = key
    for i, key in enumerate(content["selections"]):
        basket.selections[i] = key
    basket.channel = content["channel"]
    basket.explain = content["explain"]
    basket.near_miss_limit = content["near_miss_limit"]


cdef void fill_facts(facts_t *facts, dict content) except *:
    memset(facts, 0, sizeof(facts_t))
    facts.local_minute = content["local_minute"]
    facts.business_day = content["business_day"]
    facts.member = content["member"]
    facts.account_group = content["member"]
    facts.store = <const store_t *>table(content, "store")
    facts.member_cells = <const cell_t *>table(content, "member_cells")
    facts.member_cell_count = len(content["member_cells"])
    facts.group_cells = <const cell_t *>table(content, "group_cells")
    facts.group_cell_count = len(content["group_cells"])
    facts.wallet = <const uint64_t *>table(content, "wallet")
    facts.wallet_count = len(content["wallet"])
    facts.stopped = <const uint64_t *>table(content, "stopped")
    facts.stopped_count = len(content["stopped"])
    facts.hold_out_key = <const uint64_t *>table(content, "hold_out_key")
    memcpy(&facts.record, table(content, "record"), sizeof(member_record_t))


def pick(dict fields, str names):
    """Some fields of a struct, in order."""
    return tuple(fields[name] for name in names.split())


cdef dict answer(const basket_t *basket, const decision_t *decision):
    cdef uint32_t i
    return {
        "applied": [pick(decision.applied[i], "offer times units discount_minor")
                    for i in range(decision.applied_count)],
        "shares": [pick(decision.shares[i], "applied line units discount_minor")
                   for i in range(decision.share_count) if decision.shares[i].units > 0],
        "qualifying": [pick(decision.shares[i], "applied line qualifying_units")
                       for i in range(decision.share_count)
                       if decision.shares[i].qualifying_units > 0],
        "awards": [pick(decision.awards[i], "offer purse reason activation_day expiry_day points")
                   for i in range(decision.award_count)],
        "near_misses": [
            pick(decision.near_misses[i], "offer slot missing_units missing_minor gain_minor")
            for i in range(decision.near_miss_count)],
        "explained": {decision.explained[i].offer: decision.explained[i].outcome
                      for i in range(decision.explained_count)},
        "counted": [pick(decision.counted[i], "offer scope number window given")
                    for i in range(decision.counted_count)],
        # Of the last step: the only one where a program has one class.
        "worth_parts": SCRATCH.contest.worth_parts,
        "times": {SCRATCH.candidates[SCRATCH.contest.contenders[i].candidate].number:
                  SCRATCH.contest.contenders[i].times
                  for i in range(SCRATCH.contest.contender_count)},
        "coupon_offers": [decision.coupon_offer[i] for i in range(basket.coupon_count)],
        "line_discounts": [decision.line_discount_minor[i] for i in range(basket.line_count)],
        "discount": decision.discount_minor,
        "gross": decision.gross_minor,
        "net": decision.net_minor,
        "optimality": decision.optimality,
        "gap": decision.gap_minor,
        "forgone": decision.forgone_minor,
        "components": decision.component_count,
        "steps": decision.steps,
        "judged": SCRATCH.refused_count + SCRATCH.candidate_count,
    }


def decide(dict program_arrays, dict basket_content, dict facts_content, int repeats=1):
    """Decide a basket; returns the status, the decision and the nanoseconds of one call."""
    global SCRATCH, BASKET, DECISION
    import time
    cdef program_t program
    cdef catalogue_t catalogue
    cdef facts_t facts
    cdef status_t status = STATUS_OK
    cdef int i
    if SCRATCH == NULL:
        SCRATCH = <scratch_t *>calloc(1, scratch_bytes())
        BASKET = <basket_t *>malloc(sizeof(basket_t))
        DECISION = <decision_t *>malloc(sizeof(decision_t))
    memset(DECISION, 0xa5, sizeof(decision_t))
    memset(&catalogue, 0, sizeof(catalogue_t))
    fill_program(&program, program_arrays)
    fill_basket(BASKET, basket_content)
    fill_facts(&facts, facts_content)
    begin_ns = time.perf_counter_ns()
    with nogil:
        for i in range(repeats):
            status = decide_basket(&program, &catalogue, BASKET, &facts, SCRATCH, DECISION)
    time_ns = (time.perf_counter_ns() - begin_ns) // repeats
    if status != STATUS_OK:
        return int(status), None, time_ns
    return 0, answer(BASKET, DECISION), time_ns


def scratch_size():
    """Bytes of the scratch."""
    return scratch_bytes()
