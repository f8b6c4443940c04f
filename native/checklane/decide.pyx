# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False
"""A decision from candidates to explanations. When the member is held out of some offer, the
discounts are decided once more before, as if nobody were, to know what was forgone (H1)."""

from checklane.candidates cimport find_candidates
from checklane.earn cimport evaluate_points, evaluate_progress
from checklane.evaluate cimport evaluate_discounts, evaluate_tenders
from checklane.redeem cimport evaluate_redemptions
from checklane.structs cimport *


cdef size_t scratch_bytes() noexcept nogil:
    return sizeof(scratch_t)


cdef void begin_steps(const program_t *program, scratch_t *scratch) noexcept nogil:
    """Both passes may take the whole budget: the second must not depend on the first."""
    scratch.steps = 0
    scratch.lp.steps = 0
    scratch.flow.steps = 0
    scratch.step_budget = program.header.step_budget
    if scratch.step_budget == 0:
        scratch.step_budget = STEP_BUDGET_DEFAULT


cdef status_t pass_over(const program_t *program, const catalogue_t *catalogue,
                        const basket_t *basket, const facts_t *facts, scratch_t *scratch,
                        decision_t *decision, bint has_held_out) noexcept nogil:
    cdef status_t status
    begin_steps(program, scratch)
    scratch.has_held_out = has_held_out
    status = find_candidates(program, catalogue, basket, facts, scratch)
    if status != STATUS_OK:
        return status
    status = evaluate_discounts(program, basket, facts, scratch, decision)
    if status == STATUS_OK:
        status = evaluate_redemptions(program, basket, facts, scratch, decision)
    if status != STATUS_OK:
        return status
    return evaluate_tenders(program, basket, facts, scratch, decision)


cdef void explain(const basket_t *basket, scratch_t *scratch, decision_t *decision) noexcept nogil:
    """Candidates first, then offers that were refused, while there is room; by offer number."""
    cdef explained_t entry
    cdef uint32_t i, j
    decision.explained_count = 0
    if not basket.explain:
        return
    for i in range(scratch.candidate_count + scratch.explained_count):
        if decision.explained_count == CANDIDATES_MAX:
            return
        if i < scratch.candidate_count:
            entry.offer = scratch.candidates[i].number
            entry.outcome = scratch.candidates[i].outcome
            if entry.outcome == 0:
                entry.outcome = OUTCOME_NOT_QUALIFIED
        else:
            entry = scratch.refused[i - scratch.candidate_count]
        j = decision.explained_count
        while j > 0 and decision.explained[j - 1].offer > entry.offer:
            decision.explained[j] = decision.explained[j - 1]
            j -= 1
        decision.explained[j] = entry
        decision.explained_count += 1


cdef status_t turn_to_claimant(const program_t *program, const catalogue_t *catalogue,
                               const basket_t *basket, const facts_t *facts, scratch_t *scratch,
                               decision_t *decision) noexcept nogil:
    """P12: what was sold stands, with the prices that it left; only what is earned is judged, for
    who claims."""
    cdef status_t status
    decision.applied_count = 0
    decision.share_count = 0
    decision.counted_count = 0
    decision.redemption_count = 0
    scratch.earns_only = True
    status = find_candidates(program, catalogue, basket, facts, scratch)
    scratch.earns_only = False
    return status


cdef status_t decide_basket(const program_t *program, const catalogue_t *catalogue,
                            const basket_t *basket, const facts_t *facts, scratch_t *scratch,
                            decision_t *decision) noexcept nogil:
    cdef const facts_t *sold_by = facts if facts.sold_by == NULL else facts.sold_by
    cdef status_t status
    cdef int64_t with_held_out
    decision.forgone_minor = 0
    status = pass_over(program, catalogue, basket, sold_by, scratch, decision, False)
    if status == STATUS_OK and scratch.held_out_count > 0:
        status = pass_over(program, catalogue, basket, sold_by, scratch, decision, True)
        with_held_out = decision.discount_minor
        if status == STATUS_OK:
            status = pass_over(program, catalogue, basket, sold_by, scratch, decision, False)
            decision.forgone_minor = with_held_out - decision.discount_minor
    if status == STATUS_OK and facts.sold_by != NULL:
        status = turn_to_claimant(program, catalogue, basket, facts, scratch, decision)
    if status != STATUS_OK:
        return status
    evaluate_points(program, basket, facts, scratch, decision)
    evaluate_progress(program, facts, scratch, decision)
    if scratch.is_counters_full:
        return STATUS_CANDIDATES_CEILING
    explain(basket, scratch, decision)
    decision.gap_minor = scratch.gap_minor + round_quotient(
        scratch.gap_parts, PARTS_PER_MINOR, ROUNDING_CEIL)
    decision.optimality = OPTIMALITY_EXACT if decision.gap_minor == 0 else OPTIMALITY_BOUNDED
    decision.steps = scratch.steps + scratch.lp.steps + scratch.flow.steps
    return STATUS_OK
