"""The discount layers: classes, mechanics, stacking, what is left of each unit, shares."""

from checklane.structs cimport (
    basket_t, candidate_t, contest_t, decision_t, facts_t, int64_t, program_t, scratch_t, status_t,
    uint32_t,
)

# Decides the item and basket layers for scratch.candidates. Fills decision.applied, shares,
# counted, coupon_offer, line discounts and the gross, and leaves in scratch.pieces and scratch.runs
# what each unit costs after all discounts. Adds to scratch.gap_minor what may have been missed and
# to decision.component_count. STATUS_CANDIDATES_CEILING when prices split into more pieces or
# shares than the scratch holds. No allocation.
cdef status_t evaluate_discounts(const program_t *program, const basket_t *basket,
                                 const facts_t *facts, scratch_t *scratch,
                                 decision_t *decision) noexcept nogil

# Steps that other rooms make: an empty contest; units into it; what it answers, given and priced
# anew (see finish_step, make_runs and free_all in evaluate.pyx).
cdef void begin_contest(scratch_t *scratch, bint sees_taken) noexcept nogil
cdef void take_units(contest_t *contest, uint32_t place, uint32_t run, bint is_rewarded,
                     int64_t units) noexcept nogil
cdef status_t finish_step(const program_t *program, const basket_t *basket, const facts_t *facts,
                          scratch_t *scratch, decision_t *decision,
                          bint is_competing) noexcept nogil
cdef bint make_runs(const basket_t *basket, scratch_t *scratch) noexcept nogil
cdef bint put_aside(scratch_t *scratch, uint32_t piece, int64_t units) noexcept nogil
cdef bint free_all(const basket_t *basket, scratch_t *scratch) noexcept nogil
cdef int64_t or_unlimited(int64_t most) noexcept nogil

# What a fuel offer is worth with `amount` thousandths of a minor unit off each unit of measure, in
# parts (F2): fills scratch.fuel_step, fuel_parts and fuel_minor by run.
cdef int64_t price_fuel(const basket_t *basket, scratch_t *scratch, uint32_t candidate,
                        int64_t amount) noexcept nogil

# Decides the tender layer on what is due then, and sums decision.discount_minor and net_minor.
cdef status_t evaluate_tenders(const program_t *program, const basket_t *basket,
                               const facts_t *facts, scratch_t *scratch,
                               decision_t *decision) noexcept nogil

# What is left of all lines, less what return lines pay out; never below 0.
cdef int64_t due_minor(const basket_t *basket, const decision_t *decision) noexcept nogil

# Adds to decision.counted how far an offer that applied moved each of its limits. Without room for
# all of them scratch.is_counters_full is set.
cdef void count_limits(const program_t *program, const facts_t *facts, scratch_t *scratch,
                       decision_t *decision, const candidate_t *candidate, int64_t uses,
                       int64_t units, int64_t money_minor, int64_t spent_minor) noexcept nogil

# Marks up to `count` presented coupons of a candidate as consumed by it, lowest index first.
cdef void consume_coupons(const basket_t *basket, scratch_t *scratch, decision_t *decision,
                          const candidate_t *candidate, int64_t count) noexcept nogil
