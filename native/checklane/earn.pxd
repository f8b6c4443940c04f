"""Points: base rates, bonuses, multipliers, and the dates when they become active and expire."""

from checklane.structs cimport basket_t, decision_t, facts_t, program_t, scratch_t

# Fills decision.awards from scratch.candidates of the earn layer, on what each unit costs in
# scratch.runs (P1). Adds an entry to decision.applied for each earn offer that gave points, and
# counts its limits and coupons. An award that finds no room is dropped: AWARDS_MAX is above
# CANDIDATES_MAX, and no offer makes two. An offer that issues coupons is an entry of
# decision.applied whose times are how many; decision.issued_count sums them, at most ISSUED_MAX.
# So is a referral that gives; decision.referral_count counts them.
cdef void evaluate_points(const program_t *program, const basket_t *basket, const facts_t *facts,
                          scratch_t *scratch, decision_t *decision) noexcept nogil

# Fills decision.progressed with every progress of the program for an identified member, and adds
# the points of goals to decision.awards (G1, G2). After evaluate_points.
cdef void evaluate_progress(const program_t *program, const facts_t *facts,
                            const scratch_t *scratch, decision_t *decision) noexcept nogil
