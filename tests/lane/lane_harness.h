/* An engine with a live program and a lane port before it, without Python: for sanitizers and for
 * the fuzzer. The decision is a stand-in: a member's sale earns one point. */
#ifndef CHECKLANE_TESTS_LANE_HARNESS_H
#define CHECKLANE_TESTS_LANE_HARNESS_H

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "../support/one_point.h"
#include "checklane/lane.h"

#define PATH "/checklane.v1.CheckoutService/"
#define MEMBER_PATH "/checklane.v1.MemberService/"

static const lane_method_t harness_methods[] = {
    {PATH "QuoteBasket", "", LANE_KIND_UNARY, METHOD_QUOTE_BASKET, 4, "quote_basket", 0, 0},
    {PATH "CommitTransaction", "", LANE_KIND_UNARY, METHOD_COMMIT_TRANSACTION, 6,
     "commit_transaction", 0, 0},
    {PATH "IdentifyMember", "", LANE_KIND_UNARY, METHOD_IDENTIFY_MEMBER, 3, "identify_member", 0,
     0},
    {PATH "VoidTransaction", "", LANE_KIND_UNARY, METHOD_VOID_TRANSACTION, 7, "void_transaction", 3,
     4},
    {PATH "ReturnItems", "", LANE_KIND_UNARY, METHOD_RETURN_ITEMS, 8, "return_items", 4, 5},
    {PATH "TotalBasket", "", LANE_KIND_UNARY, METHOD_TOTAL_BASKET, 5, "total_basket", 0, 0},
    {PATH "ClaimTransaction", "", LANE_KIND_UNARY, METHOD_CLAIM_TRANSACTION, 9,
     "claim_transaction", 5, 6},
    {PATH "AuthorizeFuel", "it can not be called", LANE_KIND_REFUSED, 0, 14, "authorize_fuel", 0,
     0},
    {PATH "UploadTransactions", "", LANE_KIND_UPLOAD, METHOD_UPLOAD_TRANSACTIONS, 0,
     "commit_transaction", 2, 3},
    {PATH "StreamLane", "", LANE_KIND_STREAM, 0, 0, "", 0, 0},
    {MEMBER_PATH "GetMember", "", LANE_KIND_UNARY, METHOD_GET_MEMBER, 0, "", 0, 0},
    {MEMBER_PATH "UpdateMember", "", LANE_KIND_UNARY, METHOD_UPDATE_MEMBER, 0, "", 0, 0},
    {"/grpc.health.v1.Health/Check", "", LANE_KIND_CHECK, 0, 0, "", 0, 0},
    {"/grpc.health.v1.Health/Watch", "", LANE_KIND_WATCH, 0, 0, "", 0, 0},
};

/* Opens the data directory and makes three snapshots of it live. */
static engine_t *harness_engine(const char *data, uint32_t sessions, const char *catalogue,
                                const char *members, const char *program)
{
    engine_t *engine;
    fault_t fault;
    engine_options_t options = {.data_directory = data,
                                .session_count = sessions,
                                .checkpoint_pause_ms = 1,
                                .decide = decide_one_point,
                                .scratch_bytes = 64};
    INVARIANT(engine_open(&options, &engine, &fault) == STATUS_OK);
    activate_paths(engine, members, catalogue, program);
    return engine;
}

static struct sockaddr_un harness_address(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    INVARIANT(strlen(path) < sizeof address.sun_path);
    strcpy(address.sun_path, path);
    return address;
}

static int harness_listen(const char *path)
{
    struct sockaddr_un address = harness_address(path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    unlink(path);
    INVARIANT(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    INVARIANT(listen(listener, 128) == 0);
    return listener;
}

static lane_t *harness_lane(engine_t *engine, int listener, uint32_t threads, uint32_t changes)
{
    static const lane_words_t words[LANE_STATUSES] = {[STATUS_FIELD_REQUIRED] = {"missing", true}};
    static const char *const services[] = {"checklane.v1.CheckoutService"};
    const lane_listener_t listeners[] = {{listener, false}};
    lane_options_t options = {.engine = engine,
                              .listeners = listeners,
                              .listener_count = 1,
                              .methods = harness_methods,
                              .method_count = sizeof harness_methods / sizeof harness_methods[0],
                              .words = words,
                              .services = services,
                              .service_count = 1,
                              .thread_count = threads,
                              .change_count = changes,
                              .connections_max = 64,
                              .calls_max = 32,
                              .stream_window = 8,
                              .refusal_field = 2,
                              .idle_ms = 60000,
                              .receive_ms = 1000,
                              .stall_ms = 1000,
                              .public_us = 2000,
                              .shelf_us = 5000,
                              .refuse_us = 50000,
                              .keepalive_ms = 10000};
    lane_t *lane;
    fault_t fault;
    status_t status = lane_open(&options, &lane, &fault);
    if (status != STATUS_OK) fprintf(stderr, "lane: %d at %s\n", (int)status, fault.place);
    INVARIANT(status == STATUS_OK);
    lane_set_serving(lane, true);
    return lane;
}

#endif
