/* The load generator of `checklane bench`: a gRPC client that sends a plan and holds every answer
 * against the right one. It is no part of the engine and shares no code with it: a client that
 * reads frames with the server's own reader would agree with its mistakes.
 *
 * One thread drives all connections with epoll. Two kinds of load:
 *   open    arrivals are fixed beforehand. Latency counts from the time at which a call was due, so
 *           a server that stalls is charged for every call that was due meanwhile
 *   closed  each lane sends its next call when one was answered, some in flight
 *
 * generator.c         the plan, the clock, the loop
 * generator_lane.c    one connection: socket, TLS, HTTP/2 by libnghttp2, calls and streams
 * generator_answer.c  what an answer says, without what may differ from call to call */
#ifndef CHECKLANE_GENERATOR_H
#define CHECKLANE_GENERATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Lanes of one run. A lane takes some 100 KiB here and at the server. */
#define LANES_MAX 4096
/* Calls of one lane that are under way at once; HTTP/2 servers allow 100 streams or more. */
#define IN_FLIGHT_MAX 256
/* A basket of 512 lines with all that the contract allows is below 512 KiB. */
#define ANSWER_BYTES_MAX (16u << 20)
#define METHODS_MAX 8
#define LEVELS 3
/* Room for the gRPC frame and a stream's envelope before a request. */
#define ENVELOPE_BYTES_MAX 32
#define TEXT_BYTES_MAX 256

/* Fields of a message that may differ between right answers: bit n drops field n. The field
 * `nested` is a message that the next level applies to; 0 for none. */
typedef struct level {
    uint64_t drop;
    uint32_t nested;
    uint32_t reserved;
} level_t;

/* A method that is called. `is_exact`: an answer must be right to the byte. Otherwise `levels` say
 * what is left out, `posting_field` where the journal's position stands (0: nowhere), and an answer
 * whose field `degraded_field` of its nested message is above 1 counts as degraded. */
typedef struct method {
    const char *path;
    uint32_t stream_field; /* of StreamLaneRequest and StreamLaneResponse */
    uint32_t is_exact;
    uint32_t posting_field;
    uint32_t degraded_field;
    level_t levels[LEVELS];
} method_t;

/* A request, sent as often as the plan says. Every sending has a serial number of its own. It is
 * written as 20 decimal digits at `text_at` and as a varint of 10 bytes at `number_at`, unless
 * these are 0. The bytes stay the caller's. `expected` is what masked_answer makes of the right
 * answer. */
typedef struct request {
    const uint8_t *bytes;
    uint32_t size;
    uint32_t method;
    uint32_t text_at;
    uint32_t number_at;
    const uint8_t *expected;
    uint32_t expected_size;
    uint32_t reserved;
} request_t;

/* What a lane does with a call. All but ACT_CALL are for soaks: clients that misbehave. */
enum act {
    ACT_CALL = 0,
    ACT_CANCEL = 1, /* RST_STREAM as soon as the request is written */
    ACT_STALL = 2,  /* send, then do not read for stall_ns */
    ACT_LEAVE = 3,  /* close the connection in good order, connect again, send */
    ACT_CUT = 4,    /* send, then reset the connection and connect again */
};

/* One planned arrival. Ordered by due_ns, which counts from the start. */
typedef struct arrival {
    uint64_t due_ns;
    uint32_t request;
    uint16_t lane;
    uint16_t act;
} arrival_t;

enum outcome {
    OUTCOME_NONE = 0,      /* never sent, or no answer by the end */
    OUTCOME_RIGHT = 1,
    OUTCOME_REFUSED = 2,   /* grpc-status says so */
    OUTCOME_WRONG = 3,     /* status OK, and not the right answer */
    OUTCOME_DEGRADED = 4,  /* status OK, and the answer says that not all was decided */
    OUTCOME_DROPPED = 5,   /* given up on purpose: ACT_CANCEL, ACT_CUT */
    OUTCOME_LOST = 6,      /* the connection broke */
};

/* What became of one call. Times count from the start. taken_ns - due_ns is the generator's own
 * lateness, sent_ns - taken_ns the wait for a free place on the lane. */
typedef struct result {
    uint64_t due_ns;
    uint64_t taken_ns;
    uint64_t sent_ns;
    uint64_t done_ns;
    int64_t lsn;
    uint32_t request;
    uint16_t lane;
    uint8_t outcome;
    uint8_t status;
} result_t;
_Static_assert(sizeof(result_t) == 48, "numpy reads results in place");
_Static_assert(sizeof(arrival_t) == 16, "numpy writes arrivals in place");

typedef struct options {
    const char *host;      /* a name or address; with port 0 the path of a Unix socket */
    uint32_t port;
    uint32_t lanes;        /* range [1, LANES_MAX], both inclusive */
    uint32_t in_flight;    /* of each lane, range [1, IN_FLIGHT_MAX], both inclusive */
    uint32_t is_stream;    /* all calls of a lane on one StreamLane */
    const char *stream_path;
    const char *ca_file;   /* PEM; TLS when given */
    const char *server_name;
    uint64_t spin_ns;      /* poll so long before sleeping */
    uint64_t closed_ns;    /* > 0: a closed loop of this length; `arrivals` is not read */
    uint64_t drain_ns;     /* how long to wait for the last answers */
    uint64_t stall_ns;
    uint64_t first_serial; /* result i has the serial first_serial + i */
} options_t;

typedef struct plan {
    options_t options;
    const method_t *methods;
    const request_t *requests; /* closed loop: lane l sends l, l + lanes, ... by turns */
    uint32_t method_count;     /* range [1, METHODS_MAX], both inclusive */
    uint32_t request_count;
    const arrival_t *arrivals;
    uint64_t arrival_count;
    result_t *results; /* open: one for each arrival; closed: room for result_capacity */
    uint64_t result_capacity;
} plan_t;

/* What others may read while a run is under way. */
typedef struct progress {
    uint64_t issued;
    uint64_t answered;
    uint64_t faults; /* refused, wrong, degraded or lost */
    uint64_t stop;   /* set by others: the run ends at once */
} progress_t;

typedef struct outline {
    uint64_t issued;   /* results that were begun; in a closed loop, how many there are */
    uint64_t elapsed_ns;
    char fault[TEXT_BYTES_MAX]; /* the first wrong answer, refusal or loss, in words; or empty */
    uint8_t *answer;            /* the first wrong answer; malloc'ed, the caller's; NULL for none */
    uint32_t answer_size;
    uint32_t reserved;
    uint64_t connections;       /* opened in all */
} outline_t;

/* Runs a plan to its end on the calling thread. False when it could not begin; `fault` says why.
 * Needs no lock of anybody; progress is written with relaxed atomics. */
bool generator_run(const plan_t *plan, progress_t *progress, outline_t *outline);

/* Writes a message without what `levels` drop to `out`, which has room for `size` bytes. Returns
 * false when it is no protobuf message. `degraded` gets the value of the field `degraded_field` of
 * the first nested message, or 0. */
bool masked_answer(const method_t *method, const uint8_t *bytes, size_t size, uint8_t *out,
                   size_t *out_size, uint64_t *degraded);

/* Returns the journal's position in an answer, or 0. */
int64_t answered_lsn(const method_t *method, const uint8_t *bytes, size_t size);

#endif
