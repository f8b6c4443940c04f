"""The best deal (D1): which offers take which units. This room knows contests, not offers."""

from checklane.structs cimport scratch_t

# Answers scratch.contest over scratch.runs: each contender's `times`, the allocations, worth_parts,
# bound_parts (no combination is worth more: checked in whole numbers; equal to worth_parts when the
# answer is proven best), is_full and component_count. Reads run counts, `taken` unless
# contest.sees_taken, the contenders in rank order, their places and entries. Steps are counted in
# scratch.steps, scratch.lp and scratch.flow; at scratch.step_budget the search ends with the best
# that it has. Deterministic; no allocation. Contenders among units that nobody else wants cost a
# walk over their entries and build no tableau.
cdef void resolve_contest(scratch_t *scratch) noexcept nogil
