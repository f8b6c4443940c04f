/* An engine that C tests drive without Python: a stand-in for the decision, in which each sale of
 * a member earns one point, and how snapshots of it go live. */
#ifndef CHECKLANE_TESTS_ONE_POINT_H
#define CHECKLANE_TESTS_ONE_POINT_H

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "checklane/engine.h"
#include "checklane/invariant.h"

static status_t decide_one_point(const program_t *program, const catalogue_t *catalogue,
                                 const basket_t *basket, const facts_t *facts, void *scratch,
                                 decision_t *decision)
{
    (void)program;
    (void)catalogue;
    (void)scratch;
    memset(decision, 0, offsetof(decision_t, line_discount_minor));
    memset(decision->line_discount_minor, 0, sizeof decision->line_discount_minor);
    for (uint32_t i = 0; i < COUPONS_MAX; i++) decision->coupon_offer[i] = NONE_32;
    for (uint32_t i = 0; i < basket->line_count; i++) {
        decision->gross_minor += basket->lines[i].amount_minor;
    }
    decision->net_minor = decision->gross_minor;
    decision->optimality = OPTIMALITY_EXACT;
    if (facts->member == 0) return STATUS_OK;
    decision->awards[0] = (award_t){.purse = 1, .reason = AWARD_BASE, .points = 1,
                                    .activation_day = facts->business_day,
                                    .expiry_day = DAY_NEVER};
    decision->award_count = 1;
    return STATUS_OK;
}

static void read_hash(const char *path, uint8_t hash[16])
{
    const char *digits = strrchr(path, '-');
    INVARIANT(digits != NULL);
    for (int i = 0; i < 16; i++) {
        unsigned byte;
        INVARIANT(sscanf(digits + 1 + 2 * i, "%2x", &byte) == 1);
        hash[i] = (uint8_t)byte;
    }
}

/* Makes snapshots live whose paths end in -<32 hex>.lmdb; NULL: as it is. */
static void activate_paths(engine_t *engine, const char *members, const char *catalogue,
                           const char *program)
{
    uint8_t hashes[3][16];
    fault_t fault;
    if (members != NULL) read_hash(members, hashes[0]);
    if (catalogue != NULL) read_hash(catalogue, hashes[1]);
    read_hash(program, hashes[2]);
    status_t status = engine_activate(engine, members, hashes[0], catalogue, hashes[1], program,
                                      hashes[2], true, &fault);
    if (status != STATUS_OK) fprintf(stderr, "activate: %d at %s\n", (int)status, fault.place);
    INVARIANT(status == STATUS_OK);
}

#endif
