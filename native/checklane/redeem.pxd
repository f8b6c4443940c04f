"""Paying with points: the redemption layer."""

from checklane.structs cimport (
    basket_t, decision_t, facts_t, program_t, scratch_t, status_t,
)

# Decides the basket's requests to pay with points, one by one, on what the item and the basket
# layer left (R1 to R4). Fills decision.redemptions, and applied, shares and counted as
# evaluate_discounts does. STATUS_CANDIDATES_CEILING as there. No allocation.
cdef status_t evaluate_redemptions(const program_t *program, const basket_t *basket,
                                   const facts_t *facts, scratch_t *scratch,
                                   decision_t *decision) noexcept nogil
