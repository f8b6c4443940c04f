/* One lane: a connection, its calls or its stream.
 *
 * Unary calls are streams of their own, each in a slot. With is_stream the lane keeps one stream
 * open, and slots are told apart by the request_id, which is the slot's number plus one. HTTP/2's
 * callbacks run while bytes are read; they may submit calls, and never write: lane_flush does. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "generator_internal.h"

#define FRAME_HEAD_BYTES 5
#define SERIAL_DIGITS 20
#define SERIAL_BYTES 10
#define HEADERS 7

/* ------------------------------------------------------------------ slots ----------------- */

static void free_slot(lane_t *lane, slot_t *slot)
{
    slot->is_open = false;
    slot->stream_id = 0;
    slot->next_free = lane->first_free;
    lane->first_free = slot->number;
    lane->open_count--;
}

/* The call of a slot is over; the lane may go on. */
static void end_call(lane_t *lane, slot_t *slot, uint8_t outcome, uint8_t status)
{
    run_t *run = lane->run;
    uint64_t index = slot->result;
    result_at(run, index)->done_ns = run_now_ns(run);
    call_over(run, index, outcome, status);
    free_slot(lane, slot);
    if (lane->is_leaving || lane->waiting_first != NO_ARRIVAL) mark_dirty(lane);
}

static void lose_call(lane_t *lane, slot_t *slot, uint8_t outcome, const char *what)
{
    if (outcome == OUTCOME_LOST) keep_fault(lane->run, what, NULL, 0);
    end_call(lane, slot, outcome, 0);
}

static void refuse_call(lane_t *lane, slot_t *slot, uint32_t status, const char *message,
                        size_t size)
{
    char words[TEXT_BYTES_MAX];
    snprintf(words, sizeof words, "refused with status %u: %.*s", status, (int)size, message);
    keep_fault(lane->run, words, NULL, 0);
    end_call(lane, slot, OUTCOME_REFUSED, (uint8_t)status);
}

/* Holds a whole answer against the right one. */
static void judge_answer(lane_t *lane, slot_t *slot, const uint8_t *bytes, size_t size)
{
    run_t *run = lane->run;
    result_t *result = result_at(run, slot->result);
    const request_t *request = &run->plan->requests[result->request];
    const method_t *method = &run->plan->methods[request->method];
    uint64_t degraded = 0;
    size_t masked_size = 0;
    result->done_ns = run_now_ns(run);
    result->lsn = answered_lsn(method, bytes, size);
    uint8_t *masked = run->masked.bytes;
    bool is_right = masked_answer(method, bytes, size, masked, &masked_size, &degraded) &&
                    masked_size == request->expected_size &&
                    memcmp(masked, request->expected, masked_size) == 0;
    uint8_t outcome = is_right ? OUTCOME_RIGHT : degraded > 1 ? OUTCOME_DEGRADED : OUTCOME_WRONG;
    if (outcome == OUTCOME_WRONG) keep_fault(run, "a wrong answer", bytes, size);
    if (outcome == OUTCOME_DEGRADED) keep_fault(run, "a degraded answer", bytes, size);
    uint64_t done_ns = result->done_ns;
    end_call(lane, slot, outcome, 0);
    result->done_ns = done_ns;
}

/* The size of the message in a gRPC frame; -1 when it is compressed or too large. */
static int64_t frame_size(const uint8_t *head)
{
    uint32_t size = (uint32_t)head[1] << 24 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 8 |
                    (uint32_t)head[4];
    return head[0] == 0 && size <= ANSWER_BYTES_MAX ? (int64_t)size : -1;
}

static void end_unary(lane_t *lane, slot_t *slot, uint32_t error_code)
{
    const buffer_t *answer = &slot->answer;
    if (slot->act == ACT_CANCEL) {
        lose_call(lane, slot, OUTCOME_DROPPED, "");
    } else if (slot->status > 0) {
        refuse_call(lane, slot, (uint32_t)slot->status, slot->message, strlen(slot->message));
    } else if (slot->status < 0) {
        char words[TEXT_BYTES_MAX];
        snprintf(words, sizeof words, "no grpc-status; the stream ended with %s",
                 nghttp2_http2_strerror(error_code));
        lose_call(lane, slot, OUTCOME_LOST, words);
    } else if (answer->size < FRAME_HEAD_BYTES ||
               frame_size(answer->bytes) != (int64_t)(answer->size - FRAME_HEAD_BYTES)) {
        keep_fault(lane->run, "status OK without one whole message", answer->bytes, answer->size);
        end_call(lane, slot, OUTCOME_WRONG, 0);
    } else {
        judge_answer(lane, slot, answer->bytes + FRAME_HEAD_BYTES,
                     answer->size - FRAME_HEAD_BYTES);
    }
}

/* ------------------------------------------------------------------ the lane's stream ----- */

static void take_stream_answer(lane_t *lane, const uint8_t *bytes, size_t size)
{
    run_t *run = lane->run;
    uint64_t request_id = 0;
    uint32_t number = 0;
    const uint8_t *body = bytes;
    size_t body_size = 0;
    bool is_known = read_stream_answer(bytes, size, &request_id, &number, &body, &body_size) &&
                    request_id <= run->plan->options.in_flight &&
                    lane->slots[request_id - 1].is_open;
    if (!is_known) {
        keep_fault(run, "a stream's answer that answers nothing", bytes, size);
        run->is_broken = true;
        return;
    }
    slot_t *slot = &lane->slots[request_id - 1];
    const request_t *request = &run->plan->requests[result_at(run, slot->result)->request];
    if (number == 2) {
        const uint8_t *message = NULL;
        size_t message_size = 0;
        uint32_t code = refusal_code(body, body_size, &message, &message_size);
        refuse_call(lane, slot, code, (const char *)message, message_size);
    } else if (number != run->plan->methods[request->method].stream_field) {
        keep_fault(run, "a stream's answer to another method", bytes, size);
        end_call(lane, slot, OUTCOME_WRONG, 0);
    } else {
        judge_answer(lane, slot, body, body_size);
    }
    feed_lane(lane);
}

/* Takes the whole frames off the front of what the stream has brought. */
static void take_stream_frames(lane_t *lane)
{
    buffer_t *in = &lane->stream_in;
    size_t at = 0;
    while (in->size - at >= FRAME_HEAD_BYTES && !lane->run->is_broken) {
        int64_t size = frame_size(in->bytes + at);
        if (size < 0) {
            keep_fault(lane->run, "a frame that is compressed or too large", in->bytes + at, 5);
            lane->run->is_broken = true;
            return;
        }
        if (in->size - at - FRAME_HEAD_BYTES < (size_t)size) break;
        take_stream_answer(lane, in->bytes + at + FRAME_HEAD_BYTES, (size_t)size);
        at += FRAME_HEAD_BYTES + (size_t)size;
    }
    if (at == 0) return;
    memmove(in->bytes, in->bytes + at, in->size - at);
    in->size -= at;
}

/* ------------------------------------------------------------------ HTTP/2 ---------------- */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    (void)flags;
    lane_t *lane = user;
    slot_t *slot = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (name_size == 11 && memcmp(name, "grpc-status", 11) == 0) {
        int status = 0;
        for (size_t at = 0; at < value_size && at < 3; at++)
            status = status * 10 + (value[at] - '0');
        if (slot != NULL) slot->status = status;
        if (frame->hd.stream_id == lane->stream_id) lane->stream_status = status;
    }
    if (slot != NULL && name_size == 12 && memcmp(name, "grpc-message", 12) == 0)
        snprintf(slot->message, sizeof slot->message, "%.*s", (int)value_size, (const char *)value);
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *bytes,
                   size_t size, void *user)
{
    (void)flags;
    lane_t *lane = user;
    slot_t *slot = nghttp2_session_get_stream_user_data(session, stream_id);
    bool is_stream = stream_id == lane->stream_id;
    if (slot == NULL && !is_stream) return 0;
    buffer_t *to = is_stream ? &lane->stream_in : &slot->answer;
    if (to->size + size > ANSWER_BYTES_MAX || !reserve(to, size))
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    memcpy(to->bytes + to->size, bytes, size);
    to->size += size;
    if (is_stream) take_stream_frames(lane);
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code, void *user)
{
    lane_t *lane = user;
    slot_t *slot = nghttp2_session_get_stream_user_data(session, stream_id);
    if (stream_id == lane->stream_id) {
        char words[TEXT_BYTES_MAX];
        snprintf(words, sizeof words, "the lane's stream ended with status %d, %s",
                 lane->stream_status, nghttp2_http2_strerror(error_code));
        keep_fault(lane->run, words, NULL, 0);
        lane->run->is_broken = true;
    }
    if (slot == NULL || !slot->is_open) return 0;
    end_unary(lane, slot, error_code);
    feed_lane(lane);
    return 0;
}

static ssize_t read_request(nghttp2_session *session, int32_t stream_id, uint8_t *out, size_t room,
                            uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)stream_id;
    (void)user;
    slot_t *slot = source->ptr;
    size_t size = slot->request.size - slot->written;
    if (size > room) size = room;
    memcpy(out, slot->request.bytes + slot->written, size);
    slot->written += size;
    if (slot->written == slot->request.size) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)size;
}

static ssize_t read_stream(nghttp2_session *session, int32_t stream_id, uint8_t *out, size_t room,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)stream_id;
    (void)flags;
    (void)user;
    lane_t *lane = source->ptr;
    buffer_t *from = &lane->stream_out;
    size_t size = from->size - lane->stream_out_at;
    if (size == 0) {
        from->size = 0;
        lane->stream_out_at = 0;
        lane->is_stream_paused = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (size > room) size = room;
    memcpy(out, from->bytes + lane->stream_out_at, size);
    lane->stream_out_at += size;
    return (ssize_t)size;
}

static nghttp2_nv header(const char *name, const char *value)
{
    return (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name,
        .value = (uint8_t *)(uintptr_t)value,
        .namelen = strlen(name),
        .valuelen = strlen(value),
        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE,
    };
}

static int32_t submit_call(lane_t *lane, const char *path, const nghttp2_data_provider *data,
                           void *slot)
{
    const run_t *run = lane->run;
    nghttp2_nv headers[HEADERS] = {
        header(":method", "POST"),
        header(":scheme", run->tls ? "https" : "http"),
        header(":path", path),
        header(":authority", run->authority),
        header("te", "trailers"),
        header("content-type", "application/grpc"),
        header("user-agent", "checklane-bench"),
    };
    return nghttp2_submit_request(lane->session, NULL, headers, HEADERS, data, slot);
}

/* ------------------------------------------------------------------ sending --------------- */

static void write_serial(const request_t *request, uint8_t *body, uint64_t serial)
{
    if (request->text_at != 0) {
        uint64_t left = serial;
        for (unsigned at = SERIAL_DIGITS; at > 0; at--) {
            body[request->text_at + at - 1] = (uint8_t)('0' + left % 10);
            left /= 10;
        }
    }
    if (request->number_at != 0) {
        for (unsigned at = 0; at < SERIAL_BYTES; at++) {
            uint8_t more = at + 1 < SERIAL_BYTES ? 0x80 : 0;
            body[request->number_at + at] = (uint8_t)((serial >> (7 * at) & 0x7f) | more);
        }
    }
}

/* Appends one framed message, in its envelope when it goes over the lane's stream. */
static bool put_message(run_t *run, buffer_t *to, const request_t *request, uint64_t serial,
                        uint32_t request_id)
{
    uint8_t envelope[ENVELOPE_BYTES_MAX];
    size_t size = 0;
    if (!reserve(to, FRAME_HEAD_BYTES + sizeof envelope + request->size)) return false;
    if (request_id != 0) {
        size += put_varint(envelope, 1 << 3);
        size += put_varint(envelope + size, request_id);
        uint32_t field = run->plan->methods[request->method].stream_field;
        size += put_varint(envelope + size, (uint64_t)field << 3 | 2);
        size += put_varint(envelope + size, request->size);
    }
    uint32_t whole = (uint32_t)size + request->size;
    uint8_t *at = to->bytes + to->size;
    uint32_t sent = htonl(whole);
    *at++ = 0;
    memcpy(at, &sent, sizeof sent);
    at += sizeof sent;
    memcpy(at, envelope, size);
    at += size;
    memcpy(at, request->bytes, request->size);
    write_serial(request, at, serial);
    to->size += FRAME_HEAD_BYTES + whole;
    return true;
}

void lane_send(lane_t *lane, uint64_t result, uint32_t number, uint16_t act)
{
    run_t *run = lane->run;
    const request_t *request = &run->plan->requests[number];
    uint64_t serial = run->plan->options.first_serial + result;
    slot_t *slot = &lane->slots[lane->first_free];
    lane->first_free = slot->next_free;
    lane->open_count++;
    slot->result = result;
    slot->is_open = true;
    slot->act = act;
    slot->status = -1;
    slot->message[0] = 0;
    slot->written = 0;
    slot->request.size = 0;
    slot->answer.size = 0;
    bool is_put;
    if (run->plan->options.is_stream) {
        is_put = put_message(run, &lane->stream_out, request, serial, slot->number + 1);
        if (lane->is_stream_paused) nghttp2_session_resume_data(lane->session, lane->stream_id);
        lane->is_stream_paused = false;
    } else {
        nghttp2_data_provider data = {.source.ptr = slot, .read_callback = read_request};
        is_put = put_message(run, &slot->request, request, serial, 0);
        slot->stream_id =
            submit_call(lane, run->plan->methods[request->method].path, &data, slot);
        is_put = is_put && slot->stream_id > 0;
    }
    if (act == ACT_CANCEL && !run->plan->options.is_stream) lane->cancel_stream = slot->stream_id;
    if (act == ACT_CUT) lane->is_cut = true;
    if (act == ACT_STALL && lane->stalled_until_ns == 0) {
        lane->stalled_until_ns = run_now_ns(run) + run->plan->options.stall_ns;
        run->stalled_count++;
    }
    if (!is_put) lose_call(lane, slot, OUTCOME_LOST, "a call could not be sent");
    mark_dirty(lane);
}

/* ------------------------------------------------------------------ the socket ------------ */

/* Tells epoll what the lane waits for: always bytes, unless it stalls. */
static void watch(lane_t *lane, bool wants_write)
{
    uint32_t wanted = wants_write ? EPOLLOUT : 0;
    if (lane->stalled_until_ns == 0) wanted |= EPOLLIN;
    if (lane->watched == wanted) return;
    lane->watched = wanted;
    struct epoll_event event = {.events = wanted, .data.u32 = lane->number};
    epoll_ctl(lane->run->epoll, EPOLL_CTL_MOD, lane->socket, &event);
}

/* Bytes taken by the socket; 0 when it is full, -1 when the connection is gone. */
static ssize_t put_bytes(lane_t *lane, const uint8_t *bytes, size_t size)
{
    if (lane->tls == NULL) {
        ssize_t sent = send(lane->socket, bytes, size, MSG_NOSIGNAL);
        if (sent >= 0) return sent;
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    }
    ERR_clear_error();
    int sent = SSL_write(lane->tls, bytes, (int)size);
    if (sent > 0) return sent;
    int error = SSL_get_error(lane->tls, sent);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* Bytes read; 0 when there are none now, -1 when the connection is gone. */
static ssize_t get_bytes(lane_t *lane, uint8_t *bytes, size_t room)
{
    if (lane->tls == NULL) {
        ssize_t got = recv(lane->socket, bytes, room, 0);
        if (got > 0) return got;
        return got < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
    }
    ERR_clear_error();
    int got = SSL_read(lane->tls, bytes, (int)room);
    if (got > 0) return got;
    int error = SSL_get_error(lane->tls, got);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* Writes what waits; false when the socket takes no more for now or the connection is gone. */
static bool put_unsent(lane_t *lane)
{
    buffer_t *unsent = &lane->unsent;
    while (lane->unsent_at < unsent->size) {
        ssize_t sent = put_bytes(lane, unsent->bytes + lane->unsent_at,
                                 unsent->size - lane->unsent_at);
        if (sent < 0) {
            lane_close(lane, OUTCOME_LOST);
            return false;
        }
        if (sent == 0) {
            watch(lane, true);
            return false;
        }
        lane->unsent_at += (size_t)sent;
    }
    unsent->size = 0;
    lane->unsent_at = 0;
    watch(lane, false);
    return true;
}

/* Hands everything that HTTP/2 has ready to the socket; false when that could not be done now. */
static bool put_frames(lane_t *lane)
{
    buffer_t *unsent = &lane->unsent;
    while (put_unsent(lane)) {
        while (unsent->size < WRITE_BYTES) {
            const uint8_t *bytes = NULL;
            ssize_t size = nghttp2_session_mem_send(lane->session, &bytes);
            if (size < 0 || !reserve(unsent, (size_t)size)) {
                lane_close(lane, OUTCOME_LOST);
                return false;
            }
            if (size == 0) break;
            memcpy(unsent->bytes + unsent->size, bytes, (size_t)size);
            unsent->size += (size_t)size;
        }
        if (unsent->size == 0) return true;
    }
    return false;
}

/* Connects again; without a connection the run is over. */
static void reopen(lane_t *lane)
{
    if (lane_open(lane)) return;
    keep_fault(lane->run, "can not connect again", NULL, 0);
    lane->run->is_broken = true;
}

void lane_flush(lane_t *lane)
{
    if (lane->state != LANE_READY) return;
    feed_lane(lane);
    if (!put_frames(lane)) return;
    if (lane->cancel_stream != 0) {
        nghttp2_submit_rst_stream(lane->session, NGHTTP2_FLAG_NONE, lane->cancel_stream,
                                  NGHTTP2_CANCEL);
        lane->cancel_stream = 0;
        if (!put_frames(lane)) return;
    }
    if (lane->is_cut) {
        struct linger at_once = {.l_onoff = 1, .l_linger = 0};
        setsockopt(lane->socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        lane_close(lane, OUTCOME_DROPPED);
    } else if (lane->is_leaving && lane->open_count == 0) {
        nghttp2_session_terminate_session(lane->session, NGHTTP2_NO_ERROR);
        if (!put_frames(lane)) return;
        lane_close(lane, OUTCOME_LOST);
    }
}

static void lane_ready(lane_t *lane)
{
    run_t *run = lane->run;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES},
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
    };
    lane->state = LANE_READY;
    nghttp2_session_client_new2(&lane->session, run->callbacks, lane, run->http_options);
    nghttp2_submit_settings(lane->session, NGHTTP2_FLAG_NONE, settings, 2);
    nghttp2_session_set_local_window_size(lane->session, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES);
    if (run->plan->options.is_stream) {
        nghttp2_data_provider data = {.source.ptr = lane, .read_callback = read_stream};
        lane->stream_status = -1;
        lane->is_stream_paused = false;
        lane->stream_id = submit_call(lane, run->plan->options.stream_path, &data, NULL);
    }
    watch(lane, false);
    mark_dirty(lane);
}

/* Goes on with connecting; the socket has become ready. */
static void go_on_connecting(lane_t *lane)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(lane->socket, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        keep_fault(lane->run, strerror(error), NULL, 0);
        lane->run->is_broken = true;
        return;
    }
    if (lane->state == LANE_CONNECTING && lane->tls == NULL) {
        lane_ready(lane);
        return;
    }
    lane->state = LANE_HANDSHAKE;
    ERR_clear_error();
    int done = SSL_connect(lane->tls);
    if (done == 1) {
        lane_ready(lane);
        return;
    }
    int why = SSL_get_error(lane->tls, done);
    watch(lane, why == SSL_ERROR_WANT_WRITE);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return;
    char words[TEXT_BYTES_MAX];
    snprintf(words, sizeof words, "TLS: %s", ERR_reason_error_string(ERR_peek_error()));
    keep_fault(lane->run, words, NULL, 0);
    lane->run->is_broken = true;
}

void lane_writable(lane_t *lane)
{
    if (lane->state == LANE_CONNECTING || lane->state == LANE_HANDSHAKE)
        go_on_connecting(lane);
    else if (lane->state == LANE_READY)
        mark_dirty(lane);
}

void lane_readable(lane_t *lane)
{
    run_t *run = lane->run;
    if (lane->state == LANE_HANDSHAKE) go_on_connecting(lane);
    if (lane->state == LANE_CONNECTING) return;
    while (lane->state == LANE_READY && lane->stalled_until_ns == 0 && !run->is_broken) {
        ssize_t size = get_bytes(lane, run->read_bytes, READ_BYTES);
        if (size == 0) return;
        if (size < 0 ||
            nghttp2_session_mem_recv(lane->session, run->read_bytes, (size_t)size) < 0) {
            lane_close(lane, OUTCOME_LOST);
            return;
        }
        mark_dirty(lane);
        if (lane->tls == NULL && (size_t)size < READ_BYTES) return;
    }
}

/* ------------------------------------------------------------------ begin and end --------- */

bool lane_open(lane_t *lane)
{
    run_t *run = lane->run;
    int family = run->address.ss_family;
    int on = 1;
    lane->socket = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (lane->socket < 0) return false;
    if (family != AF_UNIX)
        setsockopt(lane->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    int done = connect(lane->socket, (struct sockaddr *)&run->address, run->address_size);
    if (done != 0 && errno != EINPROGRESS) return false;
    lane->watched = EPOLLIN | EPOLLOUT;
    struct epoll_event event = {.events = lane->watched, .data.u32 = lane->number};
    if (epoll_ctl(run->epoll, EPOLL_CTL_ADD, lane->socket, &event) != 0) return false;
    lane->state = LANE_CONNECTING;
    run->outline->connections++;
    if (run->tls == NULL) return true;
    lane->tls = SSL_new(run->tls);
    if (lane->tls == NULL) return false;
    const char *name = run->plan->options.server_name;
    if (name == NULL) name = run->plan->options.host;
    /* OpenSSL copies the name; its macro only lost the const on the way. */
    return SSL_set_tlsext_host_name(lane->tls, (char *)(uintptr_t)name) == 1 &&
           SSL_set1_host(lane->tls, name) == 1 && SSL_set_fd(lane->tls, lane->socket) == 1;
}

/* Frees what belongs to the connection, in the order in which it was made. */
static void drop_connection(lane_t *lane)
{
    if (lane->session != NULL) nghttp2_session_del(lane->session);
    if (lane->tls != NULL) SSL_free(lane->tls);
    if (lane->state != LANE_IDLE) close(lane->socket);
    lane->session = NULL;
    lane->tls = NULL;
    lane->state = LANE_IDLE;
    lane->stream_id = 0;
    lane->unsent.size = lane->unsent_at = 0;
    lane->stream_in.size = lane->stream_out.size = lane->stream_out_at = 0;
}

void lane_close(lane_t *lane, uint8_t outcome)
{
    run_t *run = lane->run;
    if (lane->state == LANE_IDLE) return;
    drop_connection(lane);
    lane->is_cut = lane->is_leaving = false;
    lane->cancel_stream = 0;
    if (lane->stalled_until_ns != 0) {
        /* Whoever does not read may be cut off for it. */
        lane->stalled_until_ns = 0;
        run->stalled_count--;
        outcome = OUTCOME_DROPPED;
    }
    for (uint32_t at = 0; at < run->plan->options.in_flight; at++) {
        slot_t *slot = &lane->slots[at];
        if (slot->is_open) lose_call(lane, slot, outcome, "the connection broke");
    }
    reopen(lane);
}

void lane_free(lane_t *lane)
{
    drop_connection(lane);
    for (uint32_t at = 0; lane->slots != NULL && at < lane->run->plan->options.in_flight; at++) {
        free(lane->slots[at].request.bytes);
        free(lane->slots[at].answer.bytes);
    }
    free(lane->slots);
    free(lane->unsent.bytes);
    free(lane->stream_in.bytes);
    free(lane->stream_out.bytes);
}

static bool prepare_tls(run_t *run)
{
    static const uint8_t alpn[] = {2, 'h', '2'};
    run->tls = SSL_CTX_new(TLS_client_method());
    if (run->tls == NULL) return false;
    SSL_CTX_set_mode(run->tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_verify(run->tls, SSL_VERIFY_PEER, NULL);
    return SSL_CTX_load_verify_locations(run->tls, run->plan->options.ca_file, NULL) == 1 &&
           SSL_CTX_set_alpn_protos(run->tls, alpn, sizeof alpn) == 0;
}

bool lanes_prepare(run_t *run)
{
    const options_t *options = &run->plan->options;
    if (nghttp2_session_callbacks_new(&run->callbacks) != 0) return false;
    if (nghttp2_option_new(&run->http_options) != 0) return false;
    nghttp2_session_callbacks_set_on_header_callback(run->callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(run->callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(run->callbacks, on_close);
    if (options->ca_file != NULL && !prepare_tls(run)) return false;
    for (uint32_t number = 0; number < options->lanes; number++) {
        lane_t *lane = &run->lanes[number];
        lane->run = run;
        lane->number = number;
        lane->waiting_first = lane->waiting_last = NO_ARRIVAL;
        lane->first_free = NO_SLOT;
        lane->slots = calloc(options->in_flight, sizeof *lane->slots);
        if (lane->slots == NULL) return false;
        for (uint32_t at = options->in_flight; at > 0; at--) {
            slot_t *slot = &lane->slots[at - 1];
            slot->lane = lane;
            slot->number = at - 1;
            slot->next_free = lane->first_free;
            lane->first_free = slot->number;
        }
    }
    return true;
}
