/* The lane port: gRPC over HTTP/2, served without Python. One acceptor gives each connection to the
 * lane thread with the fewest; a lane thread reads, decides and answers in place, and hands changes
 * to the ledger's writer without waiting for it. lane.c opens with who owns what. */
#ifndef CHECKLANE_LANE_H
#define CHECKLANE_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine.h"
#include "limits.h"
#include "status.h"

typedef struct lane lane_t;

/* What serves a path. */
typedef enum lane_kind {
    LANE_KIND_UNARY,   /* the engine, one request and one answer */
    LANE_KIND_STREAM,  /* StreamLane */
    LANE_KIND_UPLOAD,  /* UploadTransactions */
    LANE_KIND_REFUSED, /* of the contract, not served yet: METHOD_NOT_BUILT with `words` */
    LANE_KIND_CHECK,   /* grpc.health.v1.Health/Check */
    LANE_KIND_WATCH,   /* grpc.health.v1.Health/Watch */
    LANE_KIND_UNKNOWN,
} lane_kind_t;

typedef struct lane_method {
    const char *path;  /* /package.Service/Method */
    const char *words; /* LANE_KIND_REFUSED: what is wrong */
    uint32_t kind;     /* lane_kind_t */
    uint32_t number;   /* the engine's; 0 where it does not serve it */
    uint32_t field;    /* of StreamLaneRequest: the body that is this method's request; 0: none */
    const char *field_name;
    /* Of UploadTransactionsRequest, and of the answer: items that are this method's; 0: none. Sales
     * are LANE_KIND_UPLOAD's own. */
    uint32_t upload_field;
    uint32_t upload_answer_field;
} lane_method_t;

/* How a refusal is told: what status.h does not say. */
typedef struct lane_words {
    const char *what;  /* NULL: no such status */
    bool is_at_field;  /* a BadRequest names the field */
} lane_words_t;

#define LANE_STATUSES 128

typedef struct lane_listener {
    int socket;  /* bound and listening; stays the caller's, who closes it after lane_drain */
    bool is_tls;
} lane_listener_t;

typedef struct lane_options {
    engine_t *engine;
    const lane_listener_t *listeners;
    uint32_t listener_count;      /* 1 .. LANE_LISTENERS_MAX */
    const char *tls_certificate;  /* PEM files; NULL where no listener speaks TLS */
    const char *tls_key;
    const char *tls_client_ca;    /* NULL: lanes need no certificate */
    const lane_method_t *methods; /* those called most come first */
    uint32_t method_count;
    const lane_words_t *words;    /* LANE_STATUSES of them */
    const char *const *services;  /* known to health checks */
    uint32_t service_count;
    uint32_t thread_count;        /* 1 .. LANE_THREADS_MAX */
    uint32_t change_count;        /* of one thread: 1 .. LANE_CHANGES_MAX */
    uint32_t connections_max;     /* of all threads */
    uint32_t calls_max;           /* open on one connection */
    uint32_t stream_window;       /* requests open on one lane stream */
    uint32_t refusal_field;       /* of StreamLaneResponse and UploadTransactionsResponse */
    uint32_t idle_ms;             /* a connection without calls is asked to go after it */
    uint32_t receive_ms;          /* a request that began must be whole after it */
    uint32_t stall_ms;            /* who does not take answers for so long is cut off */
    /* A call that may have waited so long is decided at that step of the ladder; 0: never. */
    uint32_t public_us;
    uint32_t shelf_us;
    uint32_t refuse_us;
    uint32_t keepalive_ms;        /* silence after which a ping asks whether anybody is there */
} lane_options_t;

/* Why a connection ended. The first two are no fault of anybody's. */
#define LANE_END_LIST(END)                                                                  \
    END(PEER, "peer", "the lane closed it")                                                 \
    END(DRAINED, "drained", "the service drains")                                           \
    END(IDLE, "idle", "no call for the idle time")                                          \
    END(LOST, "lost", "no answer to a ping")                                                \
    END(SLOW_REQUEST, "slow_request", "a request, or the greeting, was not whole in time")  \
    END(NOT_READING, "not_reading", "answers were not taken")                               \
    END(PROTOCOL, "protocol", "no HTTP/2, or not by its rules")                             \
    END(TLS, "tls", "the handshake failed, or its outcome is not ours")                      \
    END(CALLS, "calls", "more calls at once than agreed")                                   \
    END(BUFFERED, "buffered_bytes", "requests that do not end filled the memory")           \
    END(HEADER_BYTES, "header_bytes", "a header block above its ceiling")                   \
    END(CONTINUATIONS, "continuation_flood", "a header block in too many frames")           \
    END(SETTINGS, "settings_flood", "too many SETTINGS")                                    \
    END(PINGS, "ping_flood", "too many PING")                                               \
    END(RESETS, "rapid_reset", "too many RST_STREAM")                                       \
    END(EMPTY_FRAMES, "empty_frame_flood", "too many frames that carry nothing")            \
    END(WINDOW_UPDATES, "window_update_flood", "too many WINDOW_UPDATE")                    \
    END(CONNECTIONS, "connections", "all connections were in use")                          \
    END(MEMORY, "memory", "out of memory")

typedef enum lane_end {
#define LANE_END_ENUM(name, text, words) LANE_END_##name,
    LANE_END_LIST(LANE_END_ENUM)
#undef LANE_END_ENUM
    LANE_ENDS
} lane_end_t;

/* What a reason is called in the figures. */
static inline const char *lane_end_name(uint32_t end)
{
    switch (end) {
#define LANE_END_NAME(name, text, words) case LANE_END_##name: return text;
        LANE_END_LIST(LANE_END_NAME)
#undef LANE_END_NAME
    default: return "unknown";
    }
}

/* How much of a quote is decided; above FULL the levels of DegradedLevel. */
typedef enum lane_step {
    LANE_STEP_FULL,
    LANE_STEP_PUBLIC, /* offers for everybody */
    LANE_STEP_SHELF,  /* the lane's own prices */
    LANE_STEP_REFUSE, /* LANES_BUSY */
    LANE_STEPS
} lane_step_t;

/* Times of answers fall in buckets: n counts those below 2^n microseconds, the last the rest. */
#define LANE_BUCKETS 24
#define LANE_METHODS_MAX 32

typedef struct lane_metrics {
    uint64_t connections;      /* open now */
    uint64_t accepted;
    uint64_t calls;            /* open now */
    uint64_t streams;          /* lane streams and uploads open now */
    uint64_t changes;          /* with the writer now */
    uint64_t parked;           /* changes that wait for a place, those of uploads left out */
    uint64_t cancelled;        /* calls that ended before their answer */
    uint64_t read_bytes;
    uint64_t written_bytes;
    uint64_t paused;           /* times that a connection was not read because it did not read */
    uint64_t steps[LANE_STEPS]; /* quotes by what was decided; reads that were refused */
    uint64_t ends[LANE_ENDS];
    uint64_t answers[LANE_METHODS_MAX][LANE_STATUSES]; /* by index of the method, and status */
    uint64_t buckets[LANE_METHODS_MAX][LANE_BUCKETS];
    uint64_t answer_us[LANE_METHODS_MAX];              /* sum */
} lane_metrics_t;

/* Opens the port and starts its threads (signals blocked). Everything that the options point to is
 * copied, but for the engine. Borrows thread_count * (1 + change_count) sessions of the engine.
 * STATUS_FIELD_OUT_OF_RANGE, STATUS_OUT_OF_MEMORY (sessions too), STATUS_IO_FAILED. */
status_t lane_open(const lane_options_t *options, lane_t **lane, fault_t *fault);

/* Tells health checks whether baskets are decided. Any thread. */
void lane_set_serving(lane_t *lane, bool is_serving);

/* Reads the certificate, its key and the authority anew, for connections to come. When they are
 * wrong nothing changes: STATUS_FIELD_OUT_OF_RANGE at the file. Any thread. */
status_t lane_reload_certificates(lane_t *lane, fault_t *fault);

/* Accepts no more, asks every connection to go, answers what is open, and cuts off what is left
 * after `grace_ms`. Returns when no connection is left. */
void lane_drain(lane_t *lane, uint32_t grace_ms);

/* Drains without grace, waits for changes that the writer has, joins the threads, gives the
 * sessions back, frees everything. */
void lane_close(lane_t *lane);

/* Adds up the figures of all threads. Any thread. */
void lane_measure(const lane_t *lane, lane_metrics_t *metrics);

#endif
