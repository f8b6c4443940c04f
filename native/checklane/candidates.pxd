"""From products to the offers that may apply: index, eligibility, fitting units."""

from checklane.structs cimport (
    OFFER_SLOTS_MAX, basket_t, candidate_t, catalogue_t, facts_t, gs1_coupon_t, int64_t, offer_t,
    program_t, scratch_t, status_t, tender_t, uint32_t, uint64_t,
)

# Fills scratch.candidates[0 .. candidate_count): every offer of which some unit of the basket is
# in a slot and whose checks E1..E13 hold; with has_held_out also those that fail E10 alone, which
# are else only counted in held_out_count. Fills scratch.bits with the runs that fit each slot
# (row: candidate * OFFER_SLOTS_MAX + slot) and, when the basket asks to explain, scratch.refused.
# Cost: postings of the basket's products + universal slots of the store + store sets that universal
# slots have. Offers that a wallet, a coupon or a choice opens: those that were opened, a binary
# search for each of their slots and each run. Nothing else grows with the live offers.
# STATUS_CANDIDATES_CEILING beyond CANDIDATES_MAX. Any thread; the scratch is the caller's own.
cdef status_t find_candidates(const program_t *program, const catalogue_t *catalogue,
                              const basket_t *basket, const facts_t *facts,
                              scratch_t *scratch) noexcept nogil

# True when a run of the basket fits a slot of a candidate. One load, asked of each run for each
# place, so it stands in every module that asks.
cdef inline bint run_fits(const scratch_t *scratch, uint32_t candidate, uint32_t slot,
                          uint32_t run) noexcept nogil:
    return scratch.bits[candidate * OFFER_SLOTS_MAX + slot][run // 64] >> (run % 64) & 1

# What a limit of the offer has counted already in the window of today. For member and group a
# binary search in the facts' cells, else facts.read_shared; -1 where that has no room.
cdef int64_t counted_before(const program_t *program, const facts_t *facts, const offer_t *offer,
                            uint32_t limit) noexcept nogil

# Groups of equal product codes: after begin_marks, True for the first run of each code that is
# asked for, whose scratch.group_units[code_group] is then 0. Constant time a run.
cdef void begin_marks(const basket_t *basket, scratch_t *scratch) noexcept nogil
cdef bint mark_code(scratch_t *scratch, uint32_t run) noexcept nogil

# How far the member has come with a progress before this basket (G1). Cost: the record's cells.
cdef int64_t progress_before(const program_t *program, const facts_t *facts,
                             uint32_t number) noexcept nogil

# Whether a basket counts for nobody (E8) or for somebody who is known.
cdef bint is_identified(const facts_t *facts) noexcept nogil

# True when `key` is among `count` ascending keys.
cdef bint holds_key(const uint64_t *keys, uint32_t count, uint64_t key) noexcept nogil

# True for a scanned coupon (8110) of the store, or else of a manufacturer.
cdef bint is_scan_of(const gs1_coupon_t *scanned, bint is_store) noexcept nogil

# Why a coupon of scratch.used_coupons can not be used.
cdef uint32_t used_outcome(const scratch_t *scratch, uint32_t coupon) noexcept nogil

# True when a sale before used a serialised coupon, or it is held; notes it in scratch.used_coupons.
cdef bint is_used(const facts_t *facts, scratch_t *scratch, uint32_t coupon) noexcept nogil

# What becomes of points for whoever referred the member: REFERRER_, or -1 where there is no room.
cdef int64_t read_referrer(const facts_t *facts) noexcept nogil

# True when the same code was shown at a lower index of the basket's coupons.
cdef bint is_shown_before(const basket_t *basket, uint32_t coupon) noexcept nogil

# True when a tender offer accepts a means of payment (T3).
cdef bint accepts(const program_t *program, const offer_t *offer,
                  const tender_t *tender) noexcept nogil

# True when offer a stands before offer b (D3).
cdef bint ranks_before(const candidate_t *a, const candidate_t *b) noexcept nogil
