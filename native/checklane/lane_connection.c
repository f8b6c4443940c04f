/* One connection: bytes in, frames, bytes out. A wake-up is one read and one write: what was read
 * goes through the library, which calls back with headers and data, calls are decided in place, and
 * what they answered is gathered and written at once, with what other connections of the same round
 * were answered (take_events in lane.c).
 *
 * Nothing grows. What comes in is held below the ceilings of limits.h. What goes out stays in the
 * library until the socket takes it: while a write is left over the connection is not read, so a
 * lane that does not read its answers is paused, and cut off when it takes nothing for a while. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "invariant.h"
#include "lane_internal.h"

#define GREETING_BYTES 24
/* Memory that a buffer keeps between two uses. */
#define KEPT_BYTES (16 * 1024)
/* How long a lane may take to answer the ping of a drain before it is asked to go anyhow. */
#define LEAVING_NS 500000000
/* How long it may then take to close the connection itself. Closing first, with its calls still on
 * the way, would have the kernel reset the connection: the lane might never read which of its calls
 * were not begun. */
#define LINGER_NS 1000000000

/* ------------------------------------------------------------------ buffers ---- */

bool lane_buffer_reserve(lane_buffer_t *buffer, uint32_t more)
{
    uint32_t wanted = buffer->size + more;
    if (wanted <= buffer->capacity) return true;
    uint32_t capacity = buffer->capacity > 0 ? buffer->capacity : 1024;
    while (capacity < wanted) capacity *= 2;
    uint8_t *at = realloc(buffer->at, capacity);
    if (at == NULL) return false;
    buffer->at = at;
    buffer->capacity = capacity;
    return true;
}

bool lane_buffer_add(lane_buffer_t *buffer, const void *bytes, uint32_t size)
{
    if (!lane_buffer_reserve(buffer, size)) return false;
    if (size > 0) memcpy(buffer->at + buffer->size, bytes, size);
    buffer->size += size;
    return true;
}

void lane_buffer_free(lane_buffer_t *buffer)
{
    free(buffer->at);
    *buffer = (lane_buffer_t){NULL, 0, 0};
}

void lane_buffer_reset(lane_buffer_t *buffer)
{
    if (buffer->capacity > KEPT_BYTES) lane_buffer_free(buffer);
    buffer->size = 0;
}

/* ------------------------------------------------------------------ the library's calls ---- */

static int go_on(const lane_connection_t *connection)
{
    return connection->is_ended ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_begin_headers(nghttp2_session *http, const nghttp2_frame *frame, void *context)
{
    lane_connection_t *connection = context;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (connection->call_count >= connection->thread->lane->options.calls_max) {
        lane_connection_end(connection, LANE_END_CALLS);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    lane_call_t *call = lane_call_begin(connection, frame->hd.stream_id);
    if (call == NULL) {
        lane_connection_end(connection, LANE_END_MEMORY);
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    return nghttp2_session_set_stream_user_data(http, frame->hd.stream_id, call);
}

static int on_header(nghttp2_session *http, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *context)
{
    (void)flags;
    lane_call_t *call = nghttp2_session_get_stream_user_data(http, frame->hd.stream_id);
    if (call == NULL) return 0;
    lane_call_header(call, (bytes_t){name, (uint32_t)name_size},
                     (bytes_t){value, (uint32_t)value_size});
    return go_on(context);
}

static int on_frame_recv(nghttp2_session *http, const nghttp2_frame *frame, void *context)
{
    lane_connection_t *connection = context;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
        connection->pinged_ns = 0;
        if (connection->leaving_ns != 0) lane_connection_leave(connection);
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    lane_call_t *call = nghttp2_session_get_stream_user_data(http, frame->hd.stream_id);
    if (call == NULL) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !call->is_headers_done) lane_call_headers_end(call);
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) lane_call_half_close(call);
    return go_on(connection);
}

static int on_data_chunk(nghttp2_session *http, uint8_t flags, int32_t stream_id,
                         const uint8_t *bytes, size_t size, void *context)
{
    (void)flags;
    lane_call_t *call = nghttp2_session_get_stream_user_data(http, stream_id);
    bool is_stream = call != NULL && call->stream != NULL;
    /* A stream opens its own window when it has taken the bytes; the connection's is for all. */
    int result = is_stream ? nghttp2_session_consume_connection(http, size)
                           : nghttp2_session_consume(http, stream_id, size);
    if (result == NGHTTP2_ERR_NOMEM) lane_connection_end(context, LANE_END_MEMORY);
    else if (is_stream) lane_stream_receive(call, bytes, size);
    else if (call != NULL) lane_call_receive(call, bytes, size);
    return go_on(context);
}

static int on_stream_close(nghttp2_session *http, int32_t stream_id, uint32_t code, void *context)
{
    lane_call_t *call = nghttp2_session_get_stream_user_data(http, stream_id);
    (void)code;
    (void)context;
    if (call != NULL) lane_call_end(call);
    return 0;
}

/* An answer that ended while the lane is still sending: the rest is not wanted. */
static int on_frame_send(nghttp2_session *http, const nghttp2_frame *frame, void *context)
{
    lane_connection_t *connection = context;
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
        lane_connection_end(connection, LANE_END_PROTOCOL);
        return 0;
    }
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    const lane_call_t *call = nghttp2_session_get_stream_user_data(http, frame->hd.stream_id);
    if (call == NULL || call->is_half_closed) return 0;
    return nghttp2_submit_rst_stream(http, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                     NGHTTP2_NO_ERROR);
}

static int on_invalid_frame(nghttp2_session *http, const nghttp2_frame *frame, int error,
                            void *context)
{
    lane_connection_t *connection = context;
    (void)http;
    (void)error;
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (connection->call_count < connection->thread->lane->options.calls_max) return 0;
    lane_connection_end(connection, LANE_END_CALLS);
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

bool lane_http_make(lane_t *lane)
{
    if (nghttp2_session_callbacks_new(&lane->callbacks) != 0) return false;
    if (nghttp2_option_new(&lane->http_options) != 0) return false;
    nghttp2_session_callbacks *calls = lane->callbacks;
    nghttp2_session_callbacks_set_on_begin_headers_callback(calls, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(calls, on_frame_send);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(calls, on_invalid_frame);
    nghttp2_option *options = lane->http_options;
    nghttp2_option_set_no_auto_window_update(options, 1);
    nghttp2_option_set_no_closed_streams(options, 1);
    nghttp2_option_set_max_send_header_block_length(options, LANE_HEADER_BYTES_MAX);
    /* The library's own ceiling must lie above ours, or a flood is counted as another fault. */
    nghttp2_option_set_max_outbound_ack(options, LANE_ACKS_MAX);
    return true;
}

/* ------------------------------------------------------------------ begin and end ---- */

static bool greet(lane_connection_t *connection)
{
    const lane_t *lane = connection->thread->lane;
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, lane->options.calls_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, LANE_STREAM_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LANE_HEADER_BYTES_MAX},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 0},
    };
    if (nghttp2_session_server_new2(&connection->http, lane->callbacks, connection,
                                    lane->http_options) != 0) {
        return false;
    }
    if (nghttp2_submit_settings(connection->http, NGHTTP2_FLAG_NONE, settings, 3) != 0) {
        return false;
    }
    return nghttp2_session_set_local_window_size(connection->http, NGHTTP2_FLAG_NONE, 0,
                                                 LANE_CONNECTION_WINDOW_BYTES) == 0;
}

static void wait_for(lane_connection_t *connection, uint32_t events)
{
    lane_thread_t *thread = connection->thread;
    if (connection->events == events) return;
    struct epoll_event event = {
        .events = events,
        .data.u64 = (uint64_t)connection->generation << 32 | connection->index};
    int operation = connection->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
    connection->events = events;
    if (epoll_ctl(thread->epoll, operation, connection->socket, &event) != 0) {
        lane_connection_end(connection, LANE_END_MEMORY);
    }
}

void lane_connection_begin(lane_thread_t *thread, lane_connection_t *connection)
{
    INVARIANT(thread->free_count > 0);
    connection->index = thread->free_indices[--thread->free_count];
    connection->generation = ++thread->generations[connection->index];
    INVARIANT(thread->connections[connection->index] == NULL);
    thread->connections[connection->index] = connection;
    connection->watch.greeting_left = GREETING_BYTES;
    connection->frame_ns = thread->now_ns;
    connection->read_ns = thread->now_ns;
    connection->progress_ns = thread->now_ns;
    connection->busy_ns = thread->now_ns;
    lane_count(&thread->metrics->connections, 1);
    bool is_begun = !connection->is_tls || lane_tls_begin(connection);
    if (!greet(connection) || !is_begun) lane_connection_end(connection, LANE_END_MEMORY);
    if (thread->is_draining) lane_connection_leave(connection);
    lane_connection_flush(connection);
}

void lane_connection_end(lane_connection_t *connection, lane_end_t end)
{
    if (connection->is_ended) return;
    bool is_asked = end == LANE_END_PEER && connection->left_ns != 0;
    connection->is_ended = true;
    connection->end = is_asked ? LANE_END_DRAINED : end;
}

/* A last word to a peer that broke a rule: GOAWAY, ENHANCE_YOUR_CALM. The library may be in the
 * middle of a frame of the peer's, so this is written by hand, and whole or not at all. */
static void say_why(lane_connection_t *connection)
{
    static const uint8_t goaway[17] = {0, 0, 8, 7, [16] = NGHTTP2_ENHANCE_YOUR_CALM};
    bool is_quiet = connection->end <= LANE_END_LOST || connection->end == LANE_END_PROTOCOL
                    || connection->end == LANE_END_TLS;
    if (is_quiet || connection->is_shaking || connection->pending.size > 0) return;
    if (connection->is_tls) (void)lane_tls_write(connection, goaway, sizeof goaway);
    else (void)send(connection->socket, goaway, sizeof goaway, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void lane_connection_close(lane_connection_t *connection)
{
    lane_thread_t *thread = connection->thread;
    /* Counted first: who sees the end finds it in the figures. */
    lane_count(&thread->metrics->ends[connection->end], 1);
    lane_count(&thread->metrics->connections, (uint64_t)-1);
    say_why(connection);
    while (connection->calls != NULL) lane_call_end(connection->calls);
    nghttp2_session_del(connection->http);
    lane_tls_end(connection);
    close(connection->socket);
    lane_buffer_free(&connection->pending);
    thread->connections[connection->index] = NULL;
    thread->generations[connection->index]++;
    thread->free_indices[thread->free_count++] = connection->index;
    free(connection);
    atomic_fetch_sub(&thread->connection_count, 1);
}

void lane_connection_leave(lane_connection_t *connection)
{
    nghttp2_session *http = connection->http;
    int result;
    if (!connection->is_leaving) {
        /* Calls that cross the notice on the way are still taken; the answer to the ping says that
         * there can be no more of them. */
        connection->is_leaving = true;
        connection->leaving_ns = connection->thread->now_ns;
        result = nghttp2_submit_shutdown_notice(http);
        if (result == 0) result = nghttp2_submit_ping(http, NGHTTP2_FLAG_NONE, NULL);
    } else {
        connection->leaving_ns = 0;
        connection->left_ns = connection->thread->now_ns;
        result = nghttp2_submit_goaway(http, NGHTTP2_FLAG_NONE,
                                       nghttp2_session_get_last_proc_stream_id(http),
                                       NGHTTP2_NO_ERROR, NULL, 0);
    }
    if (result != 0) lane_connection_end(connection, LANE_END_MEMORY);
    for (lane_call_t *call = connection->calls; call != NULL; call = call->next) {
        if (!connection->thread->is_draining) break;
        if (call->stream != NULL) lane_stream_drain(call);
        else lane_health_tell(call);
    }
}

/* ------------------------------------------------------------------ writing ---- */

static size_t write_plain(lane_connection_t *connection, const uint8_t *bytes, size_t size)
{
    ssize_t written = send(connection->socket, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (written >= 0) return (size_t)written;
    if (errno != EAGAIN && errno != EINTR) lane_connection_end(connection, LANE_END_PEER);
    return 0;
}

/* Returns how much the socket took. Ends the connection when it fails. */
static size_t write_some(lane_connection_t *connection, const uint8_t *bytes, size_t size)
{
    lane_thread_t *thread = connection->thread;
    size_t written = connection->tls != NULL ? lane_tls_write(connection, bytes, size)
                                             : write_plain(connection, bytes, size);
    if (written > 0) connection->progress_ns = thread->now_ns;
    lane_count(&thread->metrics->written_bytes, written);
    return written;
}

/* Writes what was left over; true when nothing is any more. */
static bool write_pending(lane_connection_t *connection)
{
    lane_buffer_t *pending = &connection->pending;
    if (pending->size == 0) return true;
    connection->pending_at += (uint32_t)write_some(connection, pending->at + connection->pending_at,
                                                   pending->size - connection->pending_at);
    if (connection->pending_at < pending->size) return false;
    lane_buffer_free(pending);
    connection->pending_at = 0;
    connection->frame_ns = connection->thread->now_ns;
    return true;
}

/* Gathers frames until there are none or enough. */
static void gather(lane_connection_t *connection, lane_buffer_t *into)
{
    into->size = 0;
    while (into->size < LANE_WRITE_BYTES) {
        const uint8_t *bytes;
        ssize_t size = nghttp2_session_mem_send(connection->http, &bytes);
        if (size == 0) return;
        if (size < 0 || !lane_buffer_add(into, bytes, (uint32_t)size)) {
            lane_connection_end(connection, LANE_END_MEMORY);
            return;
        }
    }
}

static void write_frames(lane_connection_t *connection)
{
    lane_thread_t *thread = connection->thread;
    lane_buffer_t *frames = &thread->write;
    while (write_pending(connection)) {
        gather(connection, frames);
        if (frames->size == 0) return;
        size_t written = write_some(connection, frames->at, frames->size);
        if (written == frames->size) {
            if (frames->size < LANE_WRITE_BYTES) return;
            continue;
        }
        if (connection->is_ended) return;
        lane_count(&thread->metrics->paused, 1);
        if (!lane_buffer_add(&connection->pending, frames->at + written,
                             frames->size - (uint32_t)written)) {
            lane_connection_end(connection, LANE_END_MEMORY);
        }
        return;
    }
}

/* Both sides have nothing more to say, or a lane that was asked to go had its time to close. */
static bool is_over(const lane_connection_t *connection)
{
    int64_t left_ns = connection->left_ns;
    if (left_ns != 0 && connection->thread->now_ns - left_ns < LINGER_NS) return false;
    return !nghttp2_session_want_read(connection->http)
           && !nghttp2_session_want_write(connection->http);
}

/* Answers that left have made room for requests that wait. True: some were taken. */
static bool take_backlogs(lane_connection_t *connection)
{
    bool is_taken = false;
    if (connection->stream_count == 0 || connection->pending.size > 0) return false;
    for (lane_call_t *call = connection->calls; call != NULL; call = call->next) {
        if (connection->is_ended || !lane_stream_is_ready(call)) continue;
        lane_stream_go_on(call);
        is_taken = true;
    }
    return is_taken;
}

void lane_connection_flush(lane_connection_t *connection)
{
    do {
        if (!connection->is_ended && !connection->is_shaking) write_frames(connection);
    } while (take_backlogs(connection));
    if (!connection->is_ended && connection->pending.size == 0 && is_over(connection)) {
        lane_connection_end(connection, connection->is_leaving ? LANE_END_DRAINED : LANE_END_PEER);
    }
    if (!connection->is_ended) {
        bool is_writing = connection->is_shaking ? connection->wants_write
                                                 : connection->pending.size > 0;
        wait_for(connection, is_writing ? EPOLLOUT : EPOLLIN);
    }
    if (connection->is_ended) lane_connection_close(connection);
}

/* ------------------------------------------------------------------ reading ---- */

static size_t read_plain(lane_connection_t *connection, uint8_t *bytes, size_t room)
{
    ssize_t size = recv(connection->socket, bytes, room, MSG_DONTWAIT);
    if (size > 0) return (size_t)size;
    if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
        lane_connection_end(connection, LANE_END_PEER);
    }
    return 0;
}

static void take_bytes(lane_connection_t *connection, size_t size)
{
    lane_thread_t *thread = connection->thread;
    lane_watch_t *watch = &connection->watch;
    lane_end_t end;
    connection->read_ns = thread->now_ns;
    lane_count(&thread->metrics->read_bytes, size);
    if (!lane_watch_see(watch, thread->read_bytes, size, thread->now_ns, &end)) {
        lane_connection_end(connection, end);
        return;
    }
    bool is_whole = watch->payload_left == 0 && watch->head_bytes == 0 && !watch->is_in_headers
                    && watch->greeting_left == 0;
    if (is_whole) connection->frame_ns = thread->now_ns;
    ssize_t taken = nghttp2_session_mem_recv(connection->http, thread->read_bytes, size);
    if (taken < 0) {
        bool is_memory = taken == NGHTTP2_ERR_NOMEM;
        lane_connection_end(connection, is_memory ? LANE_END_MEMORY : LANE_END_PROTOCOL);
    }
}

/* Reads once. True: there may be more inside the TLS library, of which epoll knows nothing. */
static bool read_some(lane_connection_t *connection)
{
    uint8_t *bytes = connection->thread->read_bytes;
    size_t size;
    if (connection->tls == NULL) {
        size = read_plain(connection, bytes, LANE_READ_BYTES);
    } else {
        if (connection->is_shaking && !lane_tls_shake(connection)) return false;
        size = lane_tls_read(connection, bytes, LANE_READ_BYTES);
    }
    bool was_ended = connection->is_ended;
    /* What came before the end counts: a change may be among it. */
    if (size > 0) {
        connection->is_ended = false;
        take_bytes(connection, size);
        connection->is_ended |= was_ended;
    }
    return connection->tls != NULL && size == LANE_READ_BYTES && !connection->is_ended;
}

void lane_connection_step(lane_connection_t *connection, uint32_t events)
{
    bool has_more = true;
    if (connection->pending.size > 0 && !write_pending(connection)) {
        if ((events & (EPOLLERR | EPOLLHUP)) != 0) lane_connection_end(connection, LANE_END_PEER);
        has_more = false;
    }
    while (has_more && !connection->is_ended) {
        has_more = read_some(connection);
        if (has_more) write_frames(connection);
        if (connection->pending.size > 0) has_more = false;
    }
}

/* ------------------------------------------------------------------ time ---- */

static bool is_slow(const lane_connection_t *connection, int64_t before_ns)
{
    const lane_watch_t *watch = &connection->watch;
    bool is_inside = watch->payload_left > 0 || watch->head_bytes > 0 || watch->is_in_headers
                     || watch->greeting_left > 0;
    if (is_inside && connection->pending.size == 0 && connection->frame_ns < before_ns) return true;
    for (const lane_call_t *call = connection->calls; call != NULL; call = call->next) {
        if (call->is_half_closed || call->is_answered || call->receiving_ns == 0) continue;
        if (call->receiving_ns < before_ns) return true;
    }
    return false;
}

static bool has_to_send(const lane_connection_t *connection)
{
    if (connection->pending.size > 0) return true;
    for (const lane_call_t *call = connection->calls; call != NULL; call = call->next) {
        if (call->out_at < call->out.size) return true;
    }
    return false;
}

static void ask_whether_there(lane_connection_t *connection, int64_t keepalive_ns)
{
    int64_t now_ns = connection->thread->now_ns;
    if (connection->pinged_ns != 0) {
        if (now_ns - connection->pinged_ns > keepalive_ns) {
            lane_connection_end(connection, LANE_END_LOST);
        }
        return;
    }
    if (now_ns - connection->read_ns < keepalive_ns) return;
    connection->pinged_ns = now_ns;
    if (nghttp2_submit_ping(connection->http, NGHTTP2_FLAG_NONE, NULL) != 0) {
        lane_connection_end(connection, LANE_END_MEMORY);
    }
}

void lane_connection_sweep(lane_connection_t *connection)
{
    lane_thread_t *thread = connection->thread;
    const lane_options_t *options = &thread->lane->options;
    int64_t now_ns = thread->now_ns;
    if (is_slow(connection, now_ns - (int64_t)options->receive_ms * 1000000)) {
        lane_connection_end(connection, LANE_END_SLOW_REQUEST);
    } else if (!has_to_send(connection)) {
        connection->progress_ns = now_ns;
    } else if (now_ns - connection->progress_ns > (int64_t)options->stall_ms * 1000000) {
        lane_connection_end(connection, LANE_END_NOT_READING);
    }
    bool is_idle = connection->call_count == 0
                   && now_ns - connection->busy_ns > (int64_t)options->idle_ms * 1000000;
    if (is_idle && !connection->is_ended) {
        nghttp2_session_terminate_session(connection->http, NGHTTP2_NO_ERROR);
        write_frames(connection);
        lane_connection_end(connection, LANE_END_IDLE);
    }
    if (atomic_load(&thread->lane->is_cut)) lane_connection_end(connection, LANE_END_DRAINED);
    if (!connection->is_ended) {
        ask_whether_there(connection, (int64_t)options->keepalive_ms * 1000000);
        if (connection->leaving_ns != 0 && now_ns - connection->leaving_ns > LEAVING_NS) {
            lane_connection_leave(connection);
        }
    }
    lane_connection_flush(connection);
}
