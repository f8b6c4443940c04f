/* The contract as tables, for the room of the wire only: wire_fields.c has the tables, wire_read.c
 * and wire_basket.c walk over them. tests/native/test_wire.py holds them against the protos. */
#ifndef CHECKLANE_WIRE_FIELDS_H
#define CHECKLANE_WIRE_FIELDS_H

#include <stddef.h>

#include "wire.h"

/* Types of protobuf fields. A number takes eight bytes of its struct whatever its type. */
#define TYPE_RESERVED 0 /* the contract gives the number to no field: read over */
#define TYPE_INT32 1
#define TYPE_INT64 2
#define TYPE_UINT32 3
#define TYPE_SINT32 4
#define TYPE_SINT64 5
#define TYPE_BOOL 6
#define TYPE_ENUM 7
#define TYPE_FIXED64 8
#define TYPE_STRING 9
#define TYPE_BYTES 10
#define TYPE_MESSAGE 11

#define RULE_EXPLICIT 1 /* `optional`: zero was given when it was sent */
#define RULE_REPEATED 2
#define RULE_DATE 4     /* yyyymmdd of the calendar, BUSINESS_DATE_INVALID otherwise */
#define RULE_CONTEXT 8  /* no part of what a key is bound to */

/* Lists of wire_t, by their index in its `counts`. */
enum wire_list {
    LIST_LINES,
    LIST_POS_DISCOUNTS,
    LIST_IDENTIFIERS,
    LIST_COUPONS,
    LIST_TENDERS,
    LIST_TENDER_LINES,
    LIST_SELECTIONS,
    LIST_REDEMPTIONS,
    LIST_LINE_FIGURES,
    LIST_OFFER_FIGURES,
    LIST_PURSE_POINTS,
    LIST_HOLD_CAPTURES,
    LIST_FUEL_PRICES,
    LIST_RETURN_LINES,
    LIST_PROFILE,
    LIST_NAMES,
};

typedef struct wire_list_place {
    uint32_t offset;    /* of the list in wire_t */
    uint32_t item_size;
    uint32_t capacity;  /* without the one place for what is too much */
} wire_list_place_t;

typedef struct message message_t;

/* One field. Its number is its index in the message's table plus one. */
typedef struct field {
    const char *name;
    const message_t *message; /* TYPE_MESSAGE */
    int64_t low;              /* range of a number, both inclusive */
    int64_t high;             /* the same; ceiling in bytes of a text; last value of an enum */
    int64_t implied;          /* what absent means, where that is not zero */
    uint32_t items_max;       /* RULE_REPEATED */
    uint16_t offset;          /* in the message's struct */
    uint8_t type;
    uint8_t rules;
    uint8_t list;             /* RULE_REPEATED: LIST_ */
    uint8_t missing;          /* status when not given; 0: it need not be */
    uint8_t range;            /* status when out of range; 0: the one of its type */
} field_t;

/* Judges what no single field shows, once all fields of `record` have been judged. */
typedef struct walk walk_t;
typedef void (*message_check_t)(wire_t *wire, const walk_t *walk, const void *record);

struct message {
    const char *name;
    const field_t *fields;
    uint32_t field_count;
    uint32_t size;
    message_check_t check;    /* or NULL */
};

extern const wire_list_place_t WIRE_LIST_PLACES[WIRE_LISTS];
/* By REQUEST_; index 0 is not used. */
extern const message_t *const WIRE_REQUESTS[REQUEST_KINDS];
extern const message_t *const WIRE_BASKET;

/* Where a walk or a reader is: messages from the request down. The contract is at most six deep:
 * request, basket, line, original, receipt, and one to spare. */
#define WIRE_DEPTH_MAX 6
typedef struct wire_frame {
    const message_t *message;
    const field_t *via;       /* the field of the frame above that led here */
    uint32_t index;           /* of the item when `via` is repeated */
    uint32_t field;           /* walk: next field; */
    uint32_t item;            /* and its next item */
    uint8_t *record;
    const uint8_t *end;       /* reader: end of the message's bytes */
} wire_frame_t;

struct walk {
    wire_t *wire;
    const uint16_t *line_order; /* order of lines and return lines; NULL: as sent */
    uint32_t depth;
    wire_frame_t frames[WIRE_DEPTH_MAX];
};

#define VISIT_ENTER 1  /* a message: `value` is its struct */
#define VISIT_LEAVE 2
#define VISIT_VALUE 3  /* int64_t or bytes_t */
#define VISIT_END 4

typedef struct visit {
    const field_t *field;     /* ENTER of the request itself: NULL */
    const void *value;
    uint32_t index;
} visit_t;

/* Goes through everything that is present, depth first, in the order of numbers and items. */
void walk_begin(walk_t *walk, wire_t *wire, const uint16_t *line_order);
int walk_next(walk_t *walk, visit_t *visit);

/* Keeps the fault if none of a lower or equal number was found before. The place is the path of the
 * frames, then `.name` (NULL: nothing), with `[index]` when that is not NONE_32. */
void note_fault(wire_t *wire, status_t status, const wire_frame_t *frames, uint32_t depth,
                const char *name, uint32_t index);

/* Judges a request that was read without a fault of form; faults go to wire->fault. */
void wire_check(wire_t *wire);

/* Fills `basket` from the basket of a request that has one and no fault. */
void wire_fill_basket(const wire_t *wire, basket_t *basket);

/* The checks that message tables name. */
void check_line(wire_t *wire, const walk_t *walk, const void *record);
void check_basket(wire_t *wire, const walk_t *walk, const void *record);
void check_line_figures(wire_t *wire, const walk_t *walk, const void *record);
void check_coupon(wire_t *wire, const walk_t *walk, const void *record);
void check_tender(wire_t *wire, const walk_t *walk, const void *record);
void check_member_ref(wire_t *wire, const walk_t *walk, const void *record);
void check_identify(wire_t *wire, const walk_t *walk, const void *record);
void check_total(wire_t *wire, const walk_t *walk, const void *record);
void check_commit(wire_t *wire, const walk_t *walk, const void *record);
void check_void(wire_t *wire, const walk_t *walk, const void *record);
void check_return(wire_t *wire, const walk_t *walk, const void *record);
void check_update(wire_t *wire, const walk_t *walk, const void *record);
void check_change(wire_t *wire, const walk_t *walk, const void *record);
void check_adjust(wire_t *wire, const walk_t *walk, const void *record);
void check_hold(wire_t *wire, const walk_t *walk, const void *record);
void check_create_hold(wire_t *wire, const walk_t *walk, const void *record);
void check_fuel_price(wire_t *wire, const walk_t *walk, const void *record);
void check_fuel(wire_t *wire, const walk_t *walk, const void *record);
void check_release_hold(wire_t *wire, const walk_t *walk, const void *record);

#endif
