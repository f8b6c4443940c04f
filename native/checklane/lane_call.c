/* One gRPC call: headers, deadline, framing over any split of frames, and its way through the
 * engine. A read is decided at once, on the thread that read it. A change takes one of the thread's
 * places: a session and a reply of its own, made at the start, so that nothing can run out once the
 * writer has it. It comes back by lane_thread_t.done, and is answered if its stream is still there.
 * Without a free place it is parked, in order of arrival. */
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "lane_internal.h"

/* Calls that are made at once when none is free. */
#define SLAB_CALLS 32

/* Some ten years: added to any monotonic time it stays far below 2^63 ns, which are 292. */
#define TIMEOUT_NS_MAX 315360000000000000

/* ------------------------------------------------------------------ begin and end ---- */

static bool make_calls(lane_thread_t *thread)
{
    lane_call_t *slab = calloc(SLAB_CALLS, sizeof *slab);
    if (slab == NULL) return false;
    slab[0].next = thread->slabs;
    thread->slabs = &slab[0];
    for (int i = 1; i < SLAB_CALLS; i++) {
        slab[i].next = thread->free_calls;
        thread->free_calls = &slab[i];
    }
    return true;
}

void lane_call_free_all(lane_thread_t *thread)
{
    while (thread->slabs != NULL) {
        lane_call_t *slab = thread->slabs;
        thread->slabs = slab->next;
        for (int i = 0; i < SLAB_CALLS; i++) {
            lane_buffer_free(&slab[i].in);
            lane_buffer_free(&slab[i].out);
        }
        free(slab);
    }
    thread->free_calls = NULL;
}

lane_call_t *lane_call_begin(lane_connection_t *connection, int32_t stream_id)
{
    lane_thread_t *thread = connection->thread;
    if (thread->free_calls == NULL && !make_calls(thread)) return NULL;
    lane_call_t *call = thread->free_calls;
    thread->free_calls = call->next;
    lane_buffer_t in = call->in;
    lane_buffer_t out = call->out;
    memset(call, 0, sizeof *call);
    call->in = in;
    call->out = out;
    call->connection = connection;
    call->stream_id = stream_id;
    call->arrived_ns = thread->now_ns;
    call->receiving_ns = thread->now_ns;
    call->next = connection->calls;
    if (call->next != NULL) call->next->before = call;
    connection->calls = call;
    connection->call_count++;
    lane_count(&thread->metrics->calls, 1);
    return call;
}

static lane_line_t *line_of(const lane_call_t *call)
{
    bool is_upload = lane_call_is_upload(call);
    return &call->connection->thread->lines[is_upload ? LANE_LINE_UPLOAD : LANE_LINE_LIVE];
}

static void unlink_parked(lane_call_t *call)
{
    lane_thread_t *thread = call->connection->thread;
    if (!call->is_parked) return;
    lane_line_t *line = line_of(call);
    call->is_parked = false;
    if (call->before_parked != NULL) call->before_parked->next_parked = call->next_parked;
    else line->first = call->next_parked;
    if (call->next_parked != NULL) call->next_parked->before_parked = call->before_parked;
    else line->last = call->before_parked;
    call->next_parked = NULL;
    call->before_parked = NULL;
    line->count--;
    if (!lane_call_is_upload(call)) lane_count(&thread->metrics->parked, (uint64_t)-1);
}

bool lane_call_park(lane_call_t *call)
{
    lane_thread_t *thread = call->connection->thread;
    lane_line_t *line = line_of(call);
    /* An upload waits once, and the streams are bounded. */
    if (line->count == LANE_PARKED_MAX && !lane_call_is_upload(call)) return false;
    call->is_parked = true;
    call->before_parked = line->last;
    if (line->last != NULL) line->last->next_parked = call;
    else line->first = call;
    line->last = call;
    line->count++;
    if (!lane_call_is_upload(call)) lane_count(&thread->metrics->parked, 1);
    return true;
}

void lane_call_drop_request(lane_call_t *call)
{
    call->connection->buffered_bytes -= call->in.size;
    lane_buffer_reset(&call->in);
}

void lane_call_end(lane_call_t *call)
{
    lane_connection_t *connection = call->connection;
    lane_thread_t *thread = connection->thread;
    unlink_parked(call);
    lane_call_drop_request(call);
    if (call->stream != NULL) lane_stream_free(call);
    lane_buffer_reset(&call->out);
    if (!call->is_answered) lane_count(&thread->metrics->cancelled, 1);
    if (call->before != NULL) call->before->next = call->next;
    else connection->calls = call->next;
    if (call->next != NULL) call->next->before = call->before;
    connection->call_count--;
    connection->busy_ns = thread->now_ns;
    lane_count(&thread->metrics->calls, (uint64_t)-1);
    call->next = thread->free_calls;
    thread->free_calls = call;
}

/* ------------------------------------------------------------------ headers ---- */

static bool is_text(bytes_t bytes, const char *text, size_t size)
{
    return bytes.size == size && memcmp(bytes.at, text, size) == 0;
}

#define IS_TEXT(bytes, text) is_text(bytes, text, sizeof(text) - 1)

static const lane_method_t *find_method(const lane_t *lane, bytes_t path)
{
    for (uint32_t i = 0; i < lane->options.method_count; i++) {
        const lane_method_t *method = &lane->methods[i];
        if (is_text(path, method->path, lane->path_bytes[i])) return method;
    }
    return NULL;
}

static int64_t unit_ns(uint8_t unit)
{
    switch (unit) {
    case 'H': return 3600 * (int64_t)1000000000;
    case 'M': return 60 * (int64_t)1000000000;
    case 'S': return 1000000000;
    case 'm': return 1000000;
    case 'u': return 1000;
    case 'n': return 1;
    default: return 0;
    }
}

/* "250m": at most eight digits and a unit. False: it is no time. */
static bool read_timeout(bytes_t text, int64_t *timeout_ns)
{
    int64_t value = 0;
    if (text.size < 2 || text.size > 9) return false;
    for (uint32_t i = 0; i + 1 < text.size; i++) {
        if (text.at[i] < '0' || text.at[i] > '9') return false;
        value = value * 10 + (text.at[i] - '0');
    }
    int64_t unit = unit_ns(text.at[text.size - 1]);
    if (unit == 0) return false;
    *timeout_ns = value < TIMEOUT_NS_MAX / unit ? value * unit : TIMEOUT_NS_MAX;
    return true;
}

static void take_path(lane_call_t *call, bytes_t path)
{
    call->method = find_method(call->connection->thread->lane, path);
    if (call->method != NULL) return;
    size_t size = path.size < sizeof call->path - 1 ? path.size : sizeof call->path - 1;
    memcpy(call->path, path.at, size);
    call->path[size] = '\0';
}

void lane_call_header(lane_call_t *call, bytes_t name, bytes_t value)
{
    call->header_bytes += name.size + value.size + 32;
    if (call->header_bytes > LANE_HEADER_BYTES_MAX) {
        lane_connection_end(call->connection, LANE_END_HEADER_BYTES);
        return;
    }
    if (call->is_headers_done) return; /* trailers of a request say nothing to us */
    switch (name.size) {
    case 5:
        if (IS_TEXT(name, ":path")) take_path(call, value);
        break;
    case 7:
        if (IS_TEXT(name, ":method")) call->is_post = IS_TEXT(value, "POST");
        break;
    case 12:
        if (IS_TEXT(name, "content-type")) {
            call->is_grpc = value.size >= 16 && memcmp(value.at, "application/grpc", 16) == 0
                            && (value.size == 16 || value.at[16] == '+' || value.at[16] == ';');
        } else if (IS_TEXT(name, "grpc-timeout")) {
            int64_t timeout_ns;
            call->is_timeout_wrong = !read_timeout(value, &timeout_ns);
            if (!call->is_timeout_wrong) call->deadline_ns = call->arrived_ns + timeout_ns;
        }
        break;
    case 13:
        if (IS_TEXT(name, "grpc-encoding")) {
            call->is_gzip = IS_TEXT(value, "gzip");
            call->is_encoded = !call->is_gzip && !IS_TEXT(value, "identity");
        }
        break;
    case 20:
        if (IS_TEXT(name, "grpc-accept-encoding")) {
            call->takes_gzip = memmem(value.at, value.size, "gzip", 4) != NULL;
        }
        break;
    default: break;
    }
}

void lane_call_headers_end(lane_call_t *call)
{
    call->is_headers_done = true;
    call->arrived_ns = call->connection->thread->now_ns;
    if (!call->is_post) {
        lane_answer_http(call, "405");
    } else if (!call->is_grpc) {
        lane_answer_http(call, "415");
    } else if (call->method == NULL) {
        lane_refuse(call, STATUS_METHOD_UNKNOWN, call->path, NULL);
    } else if (call->method->kind == LANE_KIND_REFUSED) {
        lane_refuse(call, STATUS_METHOD_NOT_BUILT, "", call->method->words);
    } else if (call->is_timeout_wrong) {
        lane_fail(call, GRPC_INTERNAL, "grpc-timeout is no time");
    } else if (call->method->kind == LANE_KIND_STREAM || lane_call_is_upload(call)) {
        lane_stream_begin(call);
    }
}

/* ------------------------------------------------------------------ changes ---- */

/* The writer's thread: gives the change back to its lane thread. */
static void change_is_done(void *context)
{
    lane_change_t *change = context;
    lane_thread_t *thread = change->thread;
    lane_change_t *top = atomic_load_explicit(&thread->done, memory_order_relaxed);
    do change->next = top;
    while (!atomic_compare_exchange_weak_explicit(&thread->done, &top, change,
                                                  memory_order_release, memory_order_relaxed));
    lane_ring(thread);
}

static void free_change(lane_change_t *change)
{
    lane_thread_t *thread = change->thread;
    lane_buffer_reset(&change->in);
    change->next = thread->free_changes;
    thread->free_changes = change;
    thread->free_change_count++;
    if (!change->is_upload) return;
    INVARIANT(thread->upload_count > 0);
    thread->upload_count--;
}

/* The call that a change was for; NULL: it is gone. */
static lane_call_t *call_of(const lane_change_t *change)
{
    lane_thread_t *thread = change->thread;
    if (thread->generations[change->connection] != change->generation) return NULL;
    lane_connection_t *connection = thread->connections[change->connection];
    if (connection == NULL || connection->is_ended) return NULL;
    return nghttp2_session_get_stream_user_data(connection->http, change->stream_id);
}

static void answer_change(lane_change_t *change, status_t status)
{
    lane_call_t *call = call_of(change);
    lane_answer_count(change->thread, change->method, status, change->arrived_ns);
    if (call != NULL && call->stream != NULL) {
        lane_stream_answer(call, change, status);
    } else if (call != NULL) {
        call->is_posted = false;
        lane_answer_status(call, status, &change->reply, change->fault.place);
    }
    free_change(change);
}

void lane_change_finish(lane_change_t *change)
{
    lane_thread_t *thread = change->thread;
    status_t status = session_finish(change->session);
    if (status == STATUS_PENDING) return;
    lane_call_t *call = call_of(change);
    lane_count(&thread->metrics->changes, (uint64_t)-1);
    answer_change(change, status);
    if (call == NULL) return;
    if (call->stream != NULL) lane_stream_go_on(call);
    lane_connection_flush(call->connection);
}

lane_change_t *lane_change_take(lane_call_t *call)
{
    lane_thread_t *thread = call->connection->thread;
    lane_change_t *change = thread->free_changes;
    bool is_upload = lane_call_is_upload(call);
    /* Whoever waits for a place goes first. */
    bool is_first = line_of(call)->first == NULL || call->is_unparked;
    if (change == NULL || !is_first) return NULL;
    if (is_upload && thread->upload_count == LANE_UPLOADS_MAX) return NULL;
    thread->free_changes = change->next;
    thread->free_change_count--;
    thread->upload_count += is_upload;
    change->is_upload = is_upload;
    change->connection = call->connection->index;
    change->generation = call->connection->generation;
    change->stream_id = call->stream_id;
    change->arrived_ns = call->arrived_ns;
    return change;
}

bool lane_change_begin(lane_change_t *change, bytes_t request, int64_t deadline_ns)
{
    const lane_connection_t *connection = change->thread->connections[change->connection];
    call_order_t order = lane_order(connection, change->method, request);
    order.deadline_monotonic_ns = deadline_ns;
    order.done = change_is_done;
    order.context = change;
    status_t status = session_call(change->session, &order, &change->reply, &change->fault);
    if (status == STATUS_PENDING) {
        lane_count(&change->thread->metrics->changes, 1);
        return true;
    }
    answer_change(change, status);
    return false;
}

/* The bytes go with the change: the writer may read them after the stream is gone. */
static void run_change(lane_call_t *call, lane_change_t *change)
{
    lane_buffer_t empty = change->in;
    change->in = call->in;
    call->connection->buffered_bytes -= call->in.size;
    call->in = empty;
    change->method = call->method;
    bytes_t request = {change->in.at, change->in.size};
    call->is_posted = true;
    lane_change_begin(change, request, call->deadline_ns);
}

/* ------------------------------------------------------------------ running ---- */

static bool is_too_late(const lane_call_t *call)
{
    return call->deadline_ns != 0 && lane_now_ns() >= call->deadline_ns;
}

static void refuse_counted(lane_call_t *call, status_t status)
{
    lane_answer_count(call->connection->thread, call->method, status, call->arrived_ns);
    lane_refuse(call, status, "", NULL);
}

static void run_read(lane_call_t *call)
{
    lane_thread_t *thread = call->connection->thread;
    fault_t fault;
    status_t status = lane_ladder_call(call->connection, call->method,
                                       (bytes_t){call->in.at, call->in.size}, &fault);
    lane_answer_count(thread, call->method, status, call->arrived_ns);
    lane_answer_status(call, status, &thread->reply, fault.place);
}

static void run_unary(lane_call_t *call)
{
    lane_change_t *change;
    call->correlation_bytes = lane_correlation(call->in.at, call->in.size, call->correlation);
    if (is_too_late(call)) {
        refuse_counted(call, STATUS_DEADLINE_PASSED);
    } else if (!method_is_change(call->method->number)) {
        run_read(call);
    } else if ((change = lane_change_take(call)) != NULL) {
        run_change(call, change);
    } else if (!lane_call_park(call)) {
        refuse_counted(call, STATUS_QUEUE_FULL);
    }
}

/* The call whose turn it is; NULL: nobody waits, or not for what is free. */
static lane_call_t *next_in_line(const lane_thread_t *thread)
{
    lane_call_t *live = thread->lines[LANE_LINE_LIVE].first;
    if (thread->free_changes == NULL) return NULL;
    if (live != NULL || thread->upload_count == LANE_UPLOADS_MAX) return live;
    return thread->lines[LANE_LINE_UPLOAD].first;
}

void lane_call_unpark(lane_thread_t *thread)
{
    lane_call_t *call;
    while ((call = next_in_line(thread)) != NULL) {
        lane_connection_t *connection = call->connection;
        unlink_parked(call);
        call->is_unparked = true;
        if (call->stream != NULL) {
            lane_stream_go_on(call);
        } else if (is_too_late(call)) {
            refuse_counted(call, STATUS_DEADLINE_PASSED);
        } else {
            run_change(call, lane_change_take(call));
        }
        call->is_unparked = false;
        lane_connection_flush(connection);
    }
}

/* ------------------------------------------------------------------ messages ---- */

static void refuse_too_large(lane_call_t *call)
{
    bool is_serving = atomic_load(&call->connection->thread->lane->is_serving);
    refuse_counted(call, is_serving ? STATUS_REQUEST_TOO_LARGE : STATUS_PROGRAM_MISSING);
}

/* The five bytes are there. */
static void begin_message(lane_call_t *call)
{
    const uint8_t *prefix = call->prefix;
    call->message_bytes = (uint32_t)prefix[1] << 24 | (uint32_t)prefix[2] << 16
                          | (uint32_t)prefix[3] << 8 | prefix[4];
    if (call->stream != NULL) {
        bool is_plain = prefix[0] == 0 || (prefix[0] == 1 && call->is_gzip);
        if (!is_plain) lane_stream_stop(call, STATUS_REQUEST_MALFORMED);
        else if (call->message_bytes > LANE_STREAM_MESSAGE_BYTES_MAX) {
            lane_stream_stop(call, STATUS_REQUEST_TOO_LARGE);
        }
    } else if (call->has_message) {
        lane_fail(call, GRPC_UNIMPLEMENTED, "the method takes exactly one request message");
    } else if (prefix[0] > 1) {
        lane_fail(call, GRPC_INTERNAL, "a message begins with 0 or 1");
    } else if (prefix[0] != 0 && call->is_encoded) {
        lane_fail(call, GRPC_UNIMPLEMENTED, "this grpc-encoding is not served");
    } else if (prefix[0] != 0 && !call->is_gzip) {
        lane_fail(call, GRPC_INTERNAL, "a message is marked as compressed, and no encoding named");
    } else if (call->message_bytes > REQUEST_BYTES_MAX) {
        refuse_too_large(call);
    }
}

static size_t take_prefix(lane_call_t *call, const uint8_t *bytes, size_t size)
{
    size_t missing = LANE_PREFIX_BYTES - (size_t)call->prefix_bytes;
    size_t step = size < missing ? size : missing;
    memcpy(call->prefix + call->prefix_bytes, bytes, step);
    call->prefix_bytes = (uint8_t)(call->prefix_bytes + step);
    if (call->prefix_bytes == LANE_PREFIX_BYTES) begin_message(call);
    return step;
}

static size_t take_body(lane_call_t *call, const uint8_t *bytes, size_t size)
{
    lane_connection_t *connection = call->connection;
    size_t missing = call->message_bytes - call->in.size;
    size_t step = size < missing ? size : missing;
    if (connection->buffered_bytes + step > LANE_BUFFERED_BYTES_MAX) {
        lane_connection_end(connection, LANE_END_BUFFERED);
        return size;
    }
    if (!lane_buffer_add(&call->in, bytes, (uint32_t)step)) {
        lane_connection_end(connection, LANE_END_MEMORY);
        return size;
    }
    connection->buffered_bytes += step;
    return step;
}

size_t lane_call_take(lane_call_t *call, const uint8_t *bytes, size_t size)
{
    const uint8_t *begin = bytes;
    while (!call->is_answered && !call->connection->is_ended) {
        bool has_prefix = call->prefix_bytes == LANE_PREFIX_BYTES;
        if (has_prefix && call->in.size == call->message_bytes) {
            call->has_message = true;
            break;
        }
        if (size == 0) break;
        size_t step = has_prefix ? take_body(call, bytes, size) : take_prefix(call, bytes, size);
        bytes += step;
        size -= step;
    }
    return (size_t)(bytes - begin);
}

status_t lane_call_unpack(lane_call_t *call, uint32_t bytes_max)
{
    lane_connection_t *connection = call->connection;
    lane_buffer_t *packed = &connection->thread->packed;
    if (call->prefix[0] == 0) return STATUS_OK;
    status_t status = lane_gunzip((bytes_t){call->in.at, call->in.size}, bytes_max, packed);
    call->prefix[0] = 0;
    connection->buffered_bytes += packed->size;
    connection->buffered_bytes -= call->in.size;
    lane_buffer_t was = call->in;
    call->in = *packed;
    call->message_bytes = call->in.size;
    *packed = was;
    lane_buffer_reset(packed);
    return status;
}

void lane_call_receive(lane_call_t *call, const uint8_t *bytes, size_t size)
{
    while (size > 0 && !call->is_answered && !call->connection->is_ended) {
        size_t step = lane_call_take(call, bytes, size);
        bytes += step;
        size -= step;
        if (call->has_message) call->prefix_bytes = 0;
    }
}

static status_t unpack_unary(lane_call_t *call)
{
    call->was_gzip = call->prefix[0] == 1 && call->method->kind == LANE_KIND_UNARY;
    return lane_call_unpack(call, REQUEST_BYTES_MAX);
}

void lane_call_half_close(lane_call_t *call)
{
    status_t status;
    call->is_half_closed = true;
    call->arrived_ns = call->connection->thread->now_ns;
    if (call->is_answered || call->connection->is_ended) return;
    if (call->stream != NULL) {
        lane_stream_go_on(call);
    } else if (call->prefix_bytes > 0) {
        lane_fail(call, GRPC_INTERNAL, "the request ends inside a message");
    } else if (!call->has_message) {
        lane_fail(call, GRPC_UNIMPLEMENTED, "the method takes exactly one request message");
    } else if ((status = unpack_unary(call)) != STATUS_OK) {
        refuse_counted(call, status);
    } else if (call->method->kind == LANE_KIND_CHECK) {
        lane_health_check(call);
    } else if (call->method->kind == LANE_KIND_WATCH) {
        lane_health_watch(call);
    } else {
        run_unary(call);
    }
}
