"""The decision: a pure function of a program, a catalogue, a basket and the facts of a member."""

from checklane.structs cimport (
    basket_t, catalogue_t, decision_t, facts_t, program_t, scratch_t, status_t,
)

# Decides a basket. The basket is canonical: runs in order, pieces by line id, the runs' flags with
# the product's exclusions. Fills every field of the decision; its arrays only up to their counts
# (coupon_offer up to coupon_count, line_discount_minor up to line_count). The same four inputs give
# the same bytes on any machine: work is limited in steps (program.header.step_budget, or
# STEP_BUDGET_DEFAULT when 0), never in time. Reads the inputs, writes scratch and decision, nothing
# else; no allocation; any thread, one call at a time for a scratch.
#
# STATUS_CANDIDATES_CEILING: more than CANDIDATES_MAX eligible offers touch the basket, or prices
# split into more pieces than the scratch holds. The decision is void then.
cdef status_t decide_basket(const program_t *program, const catalogue_t *catalogue,
                            const basket_t *basket, const facts_t *facts, scratch_t *scratch,
                            decision_t *decision) noexcept nogil

# Size of the scratch: one block a session, zeroed once by the caller, aligned to 16 bytes.
cdef size_t scratch_bytes() noexcept nogil
