/* What the files of the generator know of each other. */
#ifndef CHECKLANE_GENERATOR_INTERNAL_H
#define CHECKLANE_GENERATOR_INTERNAL_H

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include "generator.h"

#define NO_ARRIVAL UINT64_MAX
#define NO_SLOT UINT32_MAX
#define READ_BYTES (256u << 10)
#define WRITE_BYTES (64u << 10)
/* Windows of a client that always reads: flow control should not be what is measured. */
#define WINDOW_BYTES (4 << 20)

typedef struct lane lane_t;
typedef struct run run_t;

/* A growing run of bytes. */
typedef struct buffer {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
} buffer_t;

/* A place for one call under way. */
typedef struct slot {
    lane_t *lane;
    uint64_t result;   /* its index */
    buffer_t request;  /* framed, as it is sent */
    size_t written;
    buffer_t answer;   /* unary: the frames so far */
    char message[TEXT_BYTES_MAX]; /* grpc-message */
    int32_t stream_id; /* 0: not under way */
    int32_t status;    /* grpc-status; -1: none came */
    uint32_t number;   /* its index on the lane */
    uint32_t next_free;
    uint16_t act;
    bool is_open;
} slot_t;

typedef enum lane_state {
    LANE_IDLE = 0,
    LANE_CONNECTING,
    LANE_HANDSHAKE,
    LANE_READY,
} lane_state_t;

struct lane {
    run_t *run;
    uint32_t number;
    int socket;
    lane_state_t state;
    SSL *tls;
    nghttp2_session *session;
    slot_t *slots;
    uint32_t first_free;   /* slot, or UINT32_MAX */
    uint32_t open_count;
    buffer_t unsent;       /* bytes that the socket did not take */
    size_t unsent_at;
    uint32_t watched;      /* what epoll looks for */
    uint64_t stalled_until_ns;
    uint64_t closed_turn;  /* calls of the closed loop so far */
    uint64_t left_for;     /* the arrival that it left for, plus 1 */
    int32_t cancel_stream; /* to be cancelled when it is written; 0 for none */
    /* Arrivals that wait for a place, first to last; NO_ARRIVAL for none. */
    uint64_t waiting_first;
    uint64_t waiting_last;
    /* The lane's stream: requests not yet handed to HTTP/2, answers not yet whole. */
    int32_t stream_id;
    int32_t stream_status;
    buffer_t stream_out;
    size_t stream_out_at;
    buffer_t stream_in;
    bool is_stream_paused;
    bool is_dirty;
    bool is_leaving;       /* closes as soon as nothing is open */
    bool is_cut;           /* resets as soon as everything is written */
};

struct run {
    const plan_t *plan;
    progress_t *progress;
    outline_t *outline;
    SSL_CTX *tls;
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *http_options;
    struct sockaddr_storage address;
    socklen_t address_size;
    char authority[TEXT_BYTES_MAX];
    lane_t *lanes;
    uint64_t *next_waiting; /* of each arrival of the open loop */
    uint32_t *dirty;        /* lanes with something to write */
    uint32_t dirty_count;
    uint8_t *read_bytes;
    buffer_t masked;
    int epoll;
    uint64_t start_ns;
    uint64_t next_arrival;
    uint64_t answered;      /* results that are over, however they ended */
    uint64_t issued;
    uint32_t stalled_count; /* lanes that do not read now */
    bool is_over;           /* no new calls */
    bool is_broken;         /* a wrong answer, or no connection: the run ends at once */
    bool is_warming;        /* connections are being opened; nothing is timed yet */
};

/* generator.c */
uint64_t run_now_ns(const run_t *run);
result_t *result_at(run_t *run, uint64_t index);
void call_over(run_t *run, uint64_t index, uint8_t outcome, uint8_t status);
/* Keeps the first fault in words, and the wrong answer. */
void keep_fault(run_t *run, const char *what, const uint8_t *answer, size_t answer_size);
/* A lane has a free place: gives it its next call, if there is one. */
void feed_lane(lane_t *lane);
void mark_dirty(lane_t *lane);
bool reserve(buffer_t *buffer, size_t more);

/* generator_lane.c */
bool lane_open(lane_t *lane);
/* Puts one call on a lane that has a free slot. */
void lane_send(lane_t *lane, uint64_t result, uint32_t request, uint16_t act);
void lane_flush(lane_t *lane);
void lane_readable(lane_t *lane);
void lane_writable(lane_t *lane);
/* The connection is gone; what was open on it ends with `outcome`. */
void lane_close(lane_t *lane, uint8_t outcome);
void lane_free(lane_t *lane);
bool lanes_prepare(run_t *run);

/* generator_answer.c */
bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *value);
size_t put_varint(uint8_t *out, uint64_t value);
bool read_stream_answer(const uint8_t *bytes, size_t size, uint64_t *request_id, uint32_t *number,
                        const uint8_t **body, size_t *body_size);
uint32_t refusal_code(const uint8_t *bytes, size_t size, const uint8_t **message,
                      size_t *message_size);

#endif
