/* What the rooms of the lane port share: lane.c, lane_connection.c, lane_watch.c, lane_call.c,
 * lane_answer.c, lane_health.c. Everything here belongs to one lane thread unless it says
 * otherwise. */
#ifndef CHECKLANE_LANE_INTERNAL_H
#define CHECKLANE_LANE_INTERNAL_H

#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "lane.h"

/* The five bytes before each message: whether it is compressed, and its size. */
#define LANE_PREFIX_BYTES 5
/* A correlation id is at most 64 bytes; percent-encoded three times that. */
#define LANE_CORRELATION_BYTES (3 * ID_BYTES_MAX)
/* Words, place and remedy of one refusal. */
#define LANE_MESSAGE_BYTES 512
/* Codes of gRPC that the port itself answers with; those of refusals stand in status.h. */
#define GRPC_OK 0
#define GRPC_NOT_FOUND 5
#define GRPC_RESOURCE_EXHAUSTED 8
#define GRPC_UNIMPLEMENTED 12
#define GRPC_INTERNAL 13

typedef struct lane_thread lane_thread_t;
typedef struct lane_connection lane_connection_t;
typedef struct lane_call lane_call_t;
typedef struct lane_stream lane_stream_t;

/* Bytes that grow; `at` comes from malloc. */
typedef struct lane_buffer {
    uint8_t *at;
    uint32_t size;
    uint32_t capacity;
} lane_buffer_t;

/* Makes room for `more` bytes behind `size`. False: out of memory. */
bool lane_buffer_reserve(lane_buffer_t *buffer, uint32_t more);
bool lane_buffer_add(lane_buffer_t *buffer, const void *bytes, uint32_t size);
/* Empties it; keeps the memory unless there is much of it. */
void lane_buffer_reset(lane_buffer_t *buffer);
void lane_buffer_free(lane_buffer_t *buffer);

/* ---- lane_watch.c: what a peer sends, frame by frame, before the library sees it ---- */

typedef struct lane_watch {
    uint8_t head[9];
    uint8_t head_bytes;
    uint8_t greeting_left;   /* of the client's preface */
    bool is_in_headers;      /* between HEADERS and its END_HEADERS */
    uint32_t payload_left;
    uint32_t block_bytes;    /* of the header block that is open */
    uint32_t continuations;
    int64_t second;          /* that the counts below are for */
    uint32_t settings;
    uint32_t pings;
    uint32_t resets;
    uint32_t empty_frames;
    uint32_t window_updates;
} lane_watch_t;

/* Looks at bytes as they came. False: a ceiling was passed, *end says which. */
bool lane_watch_see(lane_watch_t *watch, const uint8_t *bytes, size_t size, int64_t now_ns,
                    lane_end_t *end);

/* ---- one call ---- */

struct lane_call {
    lane_call_t *next;       /* of its connection, or free */
    lane_call_t *before;
    lane_call_t *next_parked;
    lane_call_t *before_parked;
    lane_connection_t *connection;
    const lane_method_t *method;
    int64_t arrived_ns;      /* of its last bytes; counts for how long the answer took */
    int64_t deadline_ns;     /* monotonic; 0: none */
    int64_t receiving_ns;    /* since when a message is under way; 0: none is */
    int32_t stream_id;
    uint32_t message_bytes;  /* of the message under way, as its prefix says */
    uint8_t prefix[LANE_PREFIX_BYTES];
    uint8_t prefix_bytes;
    bool is_post;
    bool is_grpc;
    bool is_timeout_wrong;
    bool is_encoded;         /* grpc-encoding names what we do not know */
    bool is_gzip;            /* grpc-encoding names gzip */
    bool takes_gzip;         /* grpc-accept-encoding has it */
    bool was_gzip;           /* the request came so, and so goes its answer */
    bool has_message;        /* a whole one */
    bool is_half_closed;     /* the lane has sent everything */
    bool is_answered;        /* the answer is decided; nothing more is read */
    bool is_headers_done;
    bool is_parked;
    bool is_unparked;        /* its turn has come */
    bool is_posted;          /* its change is with the writer */
    uint32_t correlation_bytes;
    char correlation[LANE_CORRELATION_BYTES];
    char path[96];           /* as far as it fits: for the refusal of an unknown one */
    lane_buffer_t in;        /* the message under way, without its prefix */
    lane_buffer_t out;       /* what is to be sent, prefixes included */
    uint32_t out_at;
    lane_stream_t *stream;   /* of a lane stream; NULL otherwise */
    status_t end_status;     /* with which the answer ends, after its messages */
    uint32_t header_bytes;   /* unpacked, as RFC 9113 counts them */
    uint32_t watched_status; /* LANE_KIND_WATCH: what was told last */
};

/* One change that may be with the writer. Found again by index and generation of the connection
 * and the id of the stream: whoever is gone by then is not answered. */
typedef struct lane_change {
    struct lane_change *next;      /* free, or done: on the way back from the writer */
    lane_thread_t *thread;
    session_t *session;
    const lane_method_t *method;
    uint32_t connection;
    uint32_t generation;
    int32_t stream_id;
    uint64_t request_id;           /* of a lane stream's request */
    int64_t arrived_ns;
    bool is_upload;                /* of those LANE_UPLOADS_MAX bounds */
    lane_buffer_t in;
    reply_t reply;
    fault_t fault;
} lane_change_t;

/* ---- one connection ---- */

struct lane_connection {
    lane_connection_t *next;       /* in the inbox */
    lane_thread_t *thread;
    nghttp2_session *http;
    int socket;
    struct ssl_st *tls;            /* NULL: plain */
    bool is_tls;
    bool is_shaking;               /* the handshake is not over; nothing else is said */
    bool wants_write;              /* the handshake waits for room in the socket */
    char store_id[ID_BYTES_MAX];   /* who the lane is by its certificate; empty: not said */
    char till_id[ID_BYTES_MAX];
    uint32_t store_id_bytes;
    uint32_t till_id_bytes;
    uint32_t index;                /* in the thread's table */
    uint32_t generation;
    uint32_t events;               /* that epoll waits for */
    lane_watch_t watch;
    lane_call_t *calls;
    uint32_t call_count;
    uint32_t stream_count;         /* of those: lane streams */
    uint64_t buffered_bytes;       /* of requests, ceiling LANE_BUFFERED_BYTES_MAX */
    lane_buffer_t pending;         /* written by us, not yet taken by the socket */
    uint32_t pending_at;
    int64_t frame_ns;              /* when the last frame, or header block, was whole */
    int64_t read_ns;               /* when something last came */
    int64_t progress_ns;           /* when something last went, or there was nothing to send */
    int64_t busy_ns;               /* when it last had a call */
    int64_t pinged_ns;             /* 0: no ping of ours is open */
    bool is_ended;                 /* `end` holds; freed at the end of the step */
    bool is_leaving;               /* asked to go */
    int64_t leaving_ns;            /* since when; 0 once no more calls are taken */
    int64_t left_ns;               /* since when no more calls are taken; 0 before */
    lane_end_t end;
};

/* ---- one thread ---- */

/* Calls that wait for a place for their change, in order of arrival. Uploads wait in a line of
 * their own, which is served behind the other: no live call waits for a backlog. */
typedef struct lane_line {
    lane_call_t *first;
    lane_call_t *last;
    uint32_t count;
} lane_line_t;

#define LANE_LINE_LIVE 0
#define LANE_LINE_UPLOAD 1
#define LANE_LINES 2

struct lane_thread {
    lane_t *lane;
    pthread_t thread;
    bool is_started;
    int epoll;
    int bell;                      /* eventfd: rung by the acceptor, the writer, whoever stops */
    /* Shared: pushed by others, taken whole by the thread. */
    _Atomic(lane_connection_t *) inbox;
    _Atomic(lane_change_t *) done;
    atomic_bool is_rung;
    /* Raised by the acceptor when it chooses the thread, lowered by the thread. */
    atomic_uint connection_count;
    /* The thread's own. */
    int64_t now_ns;                /* when it woke */
    int64_t clock_ns;              /* the last look at the clock in this round: at an answer */
    int64_t round_ns;              /* when the round began */
    int64_t since_ns;              /* what this round brought came no earlier */
    int64_t swept_ns;
    bool is_draining;
    bool was_serving;
    lane_connection_t **connections; /* connections_max; NULL where free */
    uint32_t *generations;
    uint32_t *free_indices;
    uint32_t free_count;
    lane_call_t *free_calls;
    lane_call_t *slabs;            /* the first call of each slab; linked by `next` */
    lane_change_t *changes;
    lane_change_t *free_changes;
    uint32_t free_change_count;
    lane_line_t lines[LANE_LINES];
    uint32_t upload_count;         /* items of uploads that the writer has */
    uint32_t stream_count;
    session_t *session;
    reply_t reply;
    uint8_t *read_bytes;
    lane_buffer_t write;
    lane_buffer_t packed;          /* a message on its way through gzip */
    lane_metrics_t *metrics;       /* written by the thread, read by anybody: lane_count */
};

struct lane {
    lane_options_t options;
    lane_listener_t listeners[LANE_LISTENERS_MAX];
    lane_method_t methods[LANE_METHODS_MAX];
    uint32_t path_bytes[LANE_METHODS_MAX];
    lane_words_t words[LANE_STATUSES];
    char **services;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *http_options;
    const char *tls_certificate;   /* NULL: no TLS */
    const char *tls_key;
    const char *tls_client_ca;     /* NULL: lanes need no certificate */
    pthread_mutex_t tls_mutex;     /* of tls_context */
    struct ssl_ctx_st *tls_context;
    pthread_t acceptor;
    bool has_acceptor;
    int acceptor_bell;
    atomic_bool is_closed;         /* no more connections */
    atomic_bool is_serving;
    atomic_bool is_draining;
    atomic_bool is_cut;            /* the grace is over */
    atomic_bool is_stopped;        /* the threads end when no change of theirs is with the writer */
    lane_metrics_t acceptor_metrics;
    lane_thread_t threads[LANE_THREADS_MAX];
};

/* Counts in figures that only the calling thread writes and any thread reads. */
static inline void lane_count(uint64_t *figure, uint64_t more)
{
    __atomic_store_n(figure, __atomic_load_n(figure, __ATOMIC_RELAXED) + more, __ATOMIC_RELAXED);
}

/* An order of a connection's lane, with its identity. */
static inline call_order_t lane_order(const lane_connection_t *connection,
                                      const lane_method_t *method, bytes_t request)
{
    return (call_order_t){
        .method = method->number,
        .request = request.at,
        .request_size = request.size,
        .store_id = {(const uint8_t *)connection->store_id, connection->store_id_bytes},
        .till_id = {(const uint8_t *)connection->till_id, connection->till_id_bytes}};
}

static inline bytes_t lane_text(const char *text)
{
    return (bytes_t){(const uint8_t *)text, (uint32_t)strlen(text)};
}

int64_t lane_now_ns(void);

/* ---- lane.c ---- */

/* Wakes a lane thread. Any thread. */
void lane_ring(lane_thread_t *thread);

/* ---- lane_connection.c ---- */

/* The library's call-backs and options, which all connections share. False: out of memory. */
bool lane_http_make(lane_t *lane);

/* Takes a connection in that the acceptor has made. */
void lane_connection_begin(lane_thread_t *thread, lane_connection_t *connection);
/* The socket can be read or written: takes what came. lane_connection_flush has to follow, in the
 * same round. */
void lane_connection_step(lane_connection_t *connection, uint32_t events);
/* Hands to the socket what can be sent, and closes the connection when it is over. */
void lane_connection_flush(lane_connection_t *connection);
/* Looks after time: idle, slow, silent. */
void lane_connection_sweep(lane_connection_t *connection);
/* Asks the lane to go; calls that are open are answered. */
void lane_connection_leave(lane_connection_t *connection);
/* Notes that the connection is to end. The first reason holds. */
void lane_connection_end(lane_connection_t *connection, lane_end_t end);
/* Closes and frees. Not inside a call-back of the library. */
void lane_connection_close(lane_connection_t *connection);

/* ---- lane_tls.c ---- */

/* Reads certificate, key and authority anew; what was served before goes on being served when they
 * are wrong. Any thread. */
status_t lane_tls_load(lane_t *lane, fault_t *fault);
void lane_tls_free(lane_t *lane);
bool lane_tls_begin(lane_connection_t *connection);
void lane_tls_end(lane_connection_t *connection);
/* Goes on with the handshake; true when it is over and well. */
bool lane_tls_shake(lane_connection_t *connection);
/* Reads until the room is full or nothing is there; may end the connection. */
size_t lane_tls_read(lane_connection_t *connection, uint8_t *bytes, size_t room);
size_t lane_tls_write(lane_connection_t *connection, const uint8_t *bytes, size_t size);

/* ---- lane_gzip.c ---- */

/* STATUS_REQUEST_MALFORMED: no gzip; STATUS_REQUEST_TOO_LARGE; STATUS_OUT_OF_MEMORY. */
status_t lane_gunzip(bytes_t packed, uint32_t bytes_max, lane_buffer_t *out);
bool lane_gzip(bytes_t plain, lane_buffer_t *out);

/* ---- lane_ladder.c ---- */

/* A round of events begins; epoll_wait was asked at this time. */
void lane_ladder_begin(lane_thread_t *thread, int64_t asked_ns);
/* How much is to be decided now. */
lane_step_t lane_ladder_step(const lane_thread_t *thread);
/* A read, through the thread's own session and reply, at the step that holds now. */
status_t lane_ladder_call(lane_connection_t *connection, const lane_method_t *method,
                          bytes_t request, fault_t *fault);

/* ---- lane_call.c ---- */

/* Whether a call is late and offline work. */
static inline bool lane_call_is_upload(const lane_call_t *call)
{
    return call->method != NULL && call->method->kind == LANE_KIND_UPLOAD;
}

/* Frees the memory of all calls; none is open. */
void lane_call_free_all(lane_thread_t *thread);
/* A call of a new stream; NULL: out of memory. */
lane_call_t *lane_call_begin(lane_connection_t *connection, int32_t stream_id);
/* One header of the request. */
void lane_call_header(lane_call_t *call, bytes_t name, bytes_t value);
/* All headers are there. */
void lane_call_headers_end(lane_call_t *call);
void lane_call_receive(lane_call_t *call, const uint8_t *bytes, size_t size);
/* The lane has sent everything. */
void lane_call_half_close(lane_call_t *call);
/* Lets go of the request's bytes. */
void lane_call_drop_request(lane_call_t *call);
/* The stream is closed, whoever closed it; frees the call. */
void lane_call_end(lane_call_t *call);
/* Takes bytes into the message under way, up to its end; returns how many. call->has_message: it is
 * whole, and lies in call->in until the caller has set prefix_bytes and in.size to 0. */
size_t lane_call_take(lane_call_t *call, const uint8_t *bytes, size_t size);
/* Unpacks the whole message in call->in where it came compressed. */
status_t lane_call_unpack(lane_call_t *call, uint32_t bytes_max);
/* Puts a call behind the others that wait for a place for their change. False: too many do. */
bool lane_call_park(lane_call_t *call);
/* A place for a change of this call; NULL: none is free, or others wait for one. */
lane_change_t *lane_change_take(lane_call_t *call);
/* Hands a change to the engine; `request` lies in change->in. False: it is answered already. */
bool lane_change_begin(lane_change_t *change, bytes_t request, int64_t deadline_ns);
/* A change came back from the writer. */
void lane_change_finish(lane_change_t *change);
/* Places for changes are free again: begins what is parked. */
void lane_call_unpark(lane_thread_t *thread);

/* ---- lane_fields.c: as much protobuf as the port itself reads ---- */

typedef struct lane_field {
    uint64_t number;
    bytes_t bytes;   /* at NULL: the field is a number */
    uint64_t value;
} lane_field_t;

/* Takes the next field off a message. False: these bytes are none. */
bool lane_field_read(bytes_t *message, lane_field_t *field);
/* Printable ASCII but for the percent sign stays, the rest is percent-encoded, as gRPC says of
 * grpc-message. `out` has three bytes for each of `text`; returns how many were written. */
uint32_t lane_percent_encode(bytes_t text, char *out);

/* The correlation id of a request, percent-encoded where metadata needs it; 0 bytes: none. */
uint32_t lane_correlation(const uint8_t *request, uint32_t size, char *out);

/* ---- lane_stream.c ---- */

void lane_stream_begin(lane_call_t *call);
void lane_stream_receive(lane_call_t *call, const uint8_t *bytes, size_t size);
/* Takes what came meanwhile as far as the window allows, and ends a stream that is done. */
void lane_stream_go_on(lane_call_t *call);
/* Puts the answer to a change, or its refusal. */
void lane_stream_answer(lane_call_t *call, const lane_change_t *change, status_t status);
/* Ends the stream with a refusal once its open requests are answered. */
void lane_stream_stop(lane_call_t *call, status_t status);
/* So many bytes were handed to the library. */
void lane_stream_sent(lane_call_t *call, uint32_t size);
/* Takes no more requests: the service drains. */
void lane_stream_drain(lane_call_t *call);
/* Whether there is something to take and room for it. */
bool lane_stream_is_ready(const lane_call_t *call);
void lane_stream_free(lane_call_t *call);

/* ---- lane_answer.c ---- */

/* What a refusal says: `changed` is the reply to a call whose figures have changed, else empty. */
typedef struct refusal {
    status_t status;
    const char *place;
    const char *words; /* NULL: those of the status */
    bytes_t changed;
} refusal_t;

/* Answers with what the engine wrote, or refuses with its status and place, and with the figures of
 * now that are in the reply where they have changed. */
void lane_answer_status(lane_call_t *call, status_t status, const reply_t *reply,
                        const char *place);
/* Refuses with other words than the status has by itself; NULL: its own. */
void lane_refuse(lane_call_t *call, status_t status, const char *place, const char *words);
/* Ends a call with a code and words of the port's own: no refusal of the contract. */
void lane_fail(lane_call_t *call, uint32_t code, const char *words);
/* Answers a call that is no gRPC at all. `http_status` has three digits. */
void lane_answer_http(lane_call_t *call, const char *http_status);
/* Begins an answer whose messages are in call->out. */
void lane_answer_begin(lane_call_t *call);
/* More messages are in call->out, or its end was decided. */
void lane_answer_resume(lane_call_t *call);
/* Appends a message with its prefix. False: out of memory, and the connection ends. */
bool lane_answer_put(lane_call_t *call, const uint8_t *bytes, uint32_t size);
/* The same in two parts. */
bool lane_answer_put_both(lane_call_t *call, bytes_t head, bytes_t body);
/* Words of a refusal, as they are told, cut where `out` ends. */
void lane_refusal_words(const lane_t *lane, status_t status, const char *place, const char *words,
                        char *out, uint32_t capacity);
const char *lane_status_name(status_t status);
uint32_t lane_status_code(status_t status);
/* Counts an answer of the engine. */
void lane_answer_count(lane_thread_t *thread, const lane_method_t *method, status_t status,
                       int64_t arrived_ns);

/* ---- lane_health.c ---- */

void lane_health_check(lane_call_t *call);
void lane_health_watch(lane_call_t *call);
/* Tells a watcher when the service has changed. */
void lane_health_tell(lane_call_t *call);

#endif
