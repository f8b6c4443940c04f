/* What the simulated lanes ask for: a small loyalty business whose rules are easy to check. */
#ifndef CHECKLANE_SIMULATION_OPERATIONS_H
#define CHECKLANE_SIMULATION_OPERATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "ledger.h"

#define PARTITION 2
#define GROUPS 4
#define MEMBERS 2
#define OFFER 7
/* Ceilings: what the one offer may give in all, and to one member. */
#define BUDGET 2500
#define MEMBER_LIMIT 600
/* Units on a sale's one line: a return takes one back. */
#define SOLD_UNITS 3
#define PURSE 1

#define KIND_SALE 1    /* earns points, and money from the offer within its limits */
#define KIND_SPEND 2   /* takes points, oldest first */
#define KIND_VOID 3    /* undoes a sale whole */
#define KIND_RETURN 4  /* undoes a third of a sale's points */
#define KIND_HOLD 5    /* sets points aside */
#define KIND_CAPTURE 6 /* spends what was held */
#define KIND_RELEASE 7 /* gives it back */
#define KIND_NOTE 8    /* moves nothing but its key */
#define KIND_ADJUST 9  /* gives or takes points by hand; what is not there is owed */
#define KIND_MERGE 11 /* hands the points of one group over to another, for good */
#define KIND_CONFIRM 10 /* points of a sale that wait can be spent, or are gone */

#define PADDING_MAX 208
#define RESPONSE_PADDING_MAX 96

/* The request, as it stands in the entry, before its padding. */
typedef struct request {
    uint32_t operation;
    uint8_t kind;
    uint8_t variant; /* 0, or 1: other content under the same key */
    uint8_t group;
    uint8_t member;
    uint32_t target; /* operation that is undone, captured ... */
    uint32_t padding;
    int64_t amount;
} request_t;

/* The answer, before its padding. */
typedef struct response {
    uint64_t lsn;
    uint32_t operation;
    uint8_t kind;
    uint8_t variant;
    uint8_t group;
    uint8_t member;
    int64_t points; /* change of lots and holds less debts of the group */
    int64_t given;  /* change of the offer's counters */
    int64_t moved;  /* points that came from the group `from` */
    uint64_t from;
} response_t;

/* One call: a change with all that it needs while it waits. */
typedef struct call {
    change_t change;
    uint32_t operation;
    uint8_t variant;
    bool is_other_key; /* same receipt, another key */
    bool is_done;
    bool is_prepared;
    uint8_t points_group; /* where the points of the request's group are; members stay */
    uint64_t prepared_hash;
    uint32_t prepared_movements;
    request_t request;
    uint8_t request_padding[PADDING_MAX];
    response_t response;
    uint8_t response_padding[RESPONSE_PADDING_MAX];
} call_t;

record_key_t group_key(uint8_t group);
record_key_t member_key(uint8_t group, uint8_t member);
record_key_t offer_key(void);

/* Fills the call's request, keys and change. The content of (operation, variant) is always the
 * same. `request` has no padding yet. */
void call_set(call_t *call, const request_t *request, bool is_other_key);

/* Decides a call against the view and fills the entry: change_t.prepare, context the call. */
status_t call_prepare(void *context, const accounts_view_t *view, entry_builder_t *entry);

/* Hash of an entry's movements, as prepared, and its response. */
uint64_t entry_hash(const movement_t *movements, uint32_t count, const void *response,
                    uint32_t response_bytes);

/* Whether operations of this kind have a receipt. */
bool has_receipt(uint8_t kind);

#endif
