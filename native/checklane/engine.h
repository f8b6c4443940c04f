/* The one entry of the engine: call(method, request) -> status, response. Bytes in, bytes out.
 *
 * Threads. Any number of threads may call at once; each call takes one of `session_count` sessions
 * (scratch memory allocated at start, 11 MiB or so) and waits for a free one when there is none.
 * Activation swaps the live set under readers: a session publishes the set that it works with
 * (`pinned`), activation waits until no session publishes the old one, then closes it. The ledger
 * has its own argument for its own state (ledger.c). */
#ifndef CHECKLANE_ENGINE_H
#define CHECKLANE_ENGINE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "basket.h"
#include "ledger.h"
#include "snapshot.h"
#include "status.h"
#include "wire.h"

/* Methods by number. The door exports the table: name, number. UPLOAD_TRANSACTIONS is one sale of
 * such a stream: its request and answer are those of COMMIT_TRANSACTION, but the sale is taken as
 * paid, and judged by the program that was live when it was made. */
#define METHOD_LIST(METHOD)                              \
    METHOD(IDENTIFY_MEMBER, 1, "CheckoutService.IdentifyMember")       \
    METHOD(QUOTE_BASKET, 2, "CheckoutService.QuoteBasket")             \
    METHOD(COMMIT_TRANSACTION, 3, "CheckoutService.CommitTransaction") \
    METHOD(VOID_TRANSACTION, 4, "CheckoutService.VoidTransaction")     \
    METHOD(RETURN_ITEMS, 5, "CheckoutService.ReturnItems")             \
    METHOD(ENROL_MEMBER, 6, "MemberService.EnrolMember")               \
    METHOD(GET_MEMBER, 7, "MemberService.GetMember")                   \
    METHOD(UPDATE_MEMBER, 8, "MemberService.UpdateMember")             \
    METHOD(LINK_IDENTIFIER, 9, "MemberService.LinkIdentifier")         \
    METHOD(ACTIVATE_OFFER, 10, "MemberService.ActivateOffer")          \
    METHOD(STOP_OFFER, 11, "ProgramService.StopOffer")                 \
    METHOD(ADJUST_ACCOUNT, 12, "MemberService.AdjustAccount")          \
    METHOD(CONFIRM_POINTS, 13, "MemberService.ConfirmPoints")          \
    METHOD(MERGE_MEMBERS, 14, "MemberService.MergeMembers")            \
    METHOD(CREATE_HOLD, 15, "CheckoutService.CreateHold")              \
    METHOD(CAPTURE_HOLD, 16, "CheckoutService.CaptureHold")            \
    METHOD(RELEASE_HOLD, 17, "CheckoutService.ReleaseHold")            \
    METHOD(EXTEND_HOLD, 18, "CheckoutService.ExtendHold")              \
    METHOD(TOTAL_BASKET, 19, "CheckoutService.TotalBasket")            \
    METHOD(UPLOAD_TRANSACTIONS, 20, "CheckoutService.UploadTransactions") \
    METHOD(AUTHORIZE_FUEL, 21, "CheckoutService.AuthorizeFuel")     \
    METHOD(CLOSE_DATE, 22, "LedgerService.CloseBusinessDate")          \
    METHOD(CLAIM_TRANSACTION, 23, "CheckoutService.ClaimTransaction")

typedef enum method {
#define METHOD_ENUM(name, number, text) METHOD_##name = number,
    METHOD_LIST(METHOD_ENUM)
#undef METHOD_ENUM
} method_t;

#define METHOD_NUMBERS 24

/* "Service.Method" of a number; NULL for a number without one. */
static inline const char *method_name(uint32_t method)
{
    switch (method) {
#define METHOD_NAME(name, number, text) case number: return text;
        METHOD_LIST(METHOD_NAME)
#undef METHOD_NAME
    default: return NULL;
    }
}

/* Whether a method may change anything: only those wait for the disk. */
static inline bool method_is_change(uint32_t method)
{
    return method != METHOD_IDENTIFY_MEMBER && method != METHOD_QUOTE_BASKET
           && method != METHOD_GET_MEMBER;
}

/* The decision, compiled from Cython and handed in by the door. Pure; see decide.pxd. */
typedef status_t (*decide_t)(const program_t *program, const catalogue_t *catalogue,
                             const basket_t *basket, const facts_t *facts, void *scratch,
                             decision_t *decision);

typedef struct engine_options {
    const char *data_directory;
    uint32_t session_count;    /* 1 .. SESSIONS_MAX; one is the writer's own */
    uint32_t node;
    uint32_t partition;
    uint32_t checkpoint_pause_ms;
    uint64_t identity_key[2];
    uint64_t hold_out_key[2];
    decide_t decide;
    size_t scratch_bytes;
} engine_options_t;

typedef struct engine engine_t;

/* Takes the data directory for this process. The ledger is opened by the first activation: until a
 * program is live, nothing can change and every call is answered with PROGRAM_MISSING. */
status_t engine_open(const engine_options_t *options, engine_t **engine, fault_t *fault);

/* From now on calls, and those that still wait for a session, are answered with ENGINE_CLOSED.
 * Calls that have one go on to their end. Does not wait. */
void engine_drain(engine_t *engine);

/* Drains, waits for calls under way, writes out what is queued, joins the threads, frees
 * everything. No other function of the engine may begin once this has begun, and none but
 * engine_call may still run. */
void engine_close(engine_t *engine);

/* ---- one thread's own way in: the lane port ---- */

typedef struct session session_t;

/* No status: the answer comes later, by call_order_t.done. Never leaves the engine's callers. */
#define STATUS_PENDING ((status_t)255)

/* One call of a session. */
typedef struct call_order {
    uint32_t method;
    const uint8_t *request; /* while the call is pending too */
    size_t request_size;
    int64_t deadline_monotonic_ns; /* a change is not begun after it; 0: none */
    uint32_t degraded_level; /* of a quote: 0 full, 1 offers for everybody, 2 no offer */
    /* For whom the sender may speak; empty: for all. A request that can be read and names another
     * is refused with SENDER_NOT_ALLOWED. */
    bytes_t store_id;
    bytes_t till_id;
    /* Changes only; NULL: session_call waits. Called on the writer's thread once the answer may be
     * fetched with session_finish; must not wait. */
    void (*done)(void *context);
    void *context;
} call_order_t;

/* Takes a session out of the pool until it is given back; NULL: draining, or none is left. All
 * must be back before engine_close. One thread at a time uses a session. */
session_t *engine_lend_session(engine_t *engine);
void engine_return_session(session_t *session);

/* engine_call on a lent session. With `done`, a change answers STATUS_PENDING when the writer has
 * it; session, request, reply and fault are then left alone until `done` was called. */
status_t session_call(session_t *session, const call_order_t *order, reply_t *reply,
                      fault_t *fault);

/* Lets go of what quotes keep at hand for the next call: before whoever made them may wait. The
 * thread that called session_call. */
void session_rest(session_t *session);

/* Fetches the answer of a pending call after its `done`; the thread that called session_call.
 * STATUS_PENDING: the writer was asked once more, and `done` will be called again. */
status_t session_finish(session_t *session);

/* Answers one request. `reply->size` bytes are filled when the status is STATUS_OK; otherwise
 * `fault` names the refusal and its place, and with STATUS_DECISION_CHANGED the reply is a
 * FiguresChanged, or empty where no figures are at fault. Any thread; blocks for the disk on
 * changes. */
status_t engine_call(engine_t *engine, uint32_t method, const uint8_t *request,
                     size_t request_size, reply_t *reply, fault_t *fault);

/* Makes snapshot files live in one swap; NULL keeps what is live. The files have been verified
 * against their hashes by the caller. `is_recorded` journals the change (not at start-up, when the
 * journal says so already). The first activation opens the ledger: journal, recovery, accounts;
 * what is live then must be of the program that the journal belongs to. One caller at a time. */
status_t engine_activate(engine_t *engine, const char *members_path, const uint8_t *members_hash,
                         const char *catalogue_path, const uint8_t *catalogue_hash,
                         const char *program_path, const uint8_t *program_hash, bool is_recorded,
                         fault_t *fault);

/* Decides a committed sale again from its entry (whole, as it lies in the journal, 16-byte aligned)
 * under the program and catalogue that it names, and puts the answer into `reply`, where it equals
 * the entry's response byte for byte, on any machine. `is_explained` adds the reason for every
 * offer, whether the lane had asked for it or not. Needs no open ledger.
 * STATUS_FIELD_OUT_OF_RANGE: not a commit, or its sections do not fit its length.
 * STATUS_SNAPSHOT_MISMATCH: other snapshots than it names. */
status_t engine_replay(engine_t *engine, const uint8_t *entry, size_t entry_bytes,
                       const program_t *program, const catalogue_t *catalogue,
                       bool is_explained, reply_t *reply, fault_t *fault);

/* Figures of the ledger; false until it is open. Any thread. */
bool engine_measure(engine_t *engine, ledger_metrics_t *metrics);

/* A reader of the journal for tools; STATUS_PROGRAM_MISSING until the ledger is open. Close it
 * with ledger_reader_close before the engine. */
status_t engine_reader_open(engine_t *engine, ledger_reader_t **reader);

/* For measuring: reads one QuoteBasketRequest, finds its products and gathers the member's facts as
 * a quote does, then decides `count` times over the same basket and fills nanoseconds[0 .. count)
 * with how long each took, by the monotonic clock, one reading of the clock included. *steps is
 * what one decision took. Changes nothing; refuses as a quote does. Any thread. */
status_t engine_time_decisions(engine_t *engine, const uint8_t *request, size_t request_size,
                               uint32_t count, uint32_t *nanoseconds, uint64_t *steps,
                               fault_t *fault);

/* ledger_checkpoint; STATUS_PROGRAM_MISSING until the ledger is open. */
status_t engine_checkpoint(engine_t *engine);

#endif
