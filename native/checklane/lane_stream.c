/* StreamLane: one stream that a lane keeps open all day, answered in any order. The rules are those
 * of src/checklane/server/lane_stream.py. And UploadTransactions, by the rules of uploads.py there:
 * it has one item open at a time, so its answers are in the order sent.
 *
 * A request is open from when it is taken until its answer is handed to the library for good. At
 * most `stream_window` are open: what comes beyond stays in the backlog and is not consumed, so the
 * lane's window closes; it opens again as answers leave. A lane that does not read its answers is
 * not read either. While a change finds no free place the stream is parked with it, in the line of
 * all changes, and takes nothing more: its requests keep their order on the way to the writer. Of
 * all uploads of a thread LANE_UPLOADS_MAX items are with the writer, and the others wait in their
 * own line, whose turn comes when no live change waits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "lane_internal.h"
#include "wire_put.h"

#define REQUEST_ID 1
#define TIMEOUT_MS 2
#define TIMEOUT_MS_LIMIT 3600000
/* Before a body: its request_id, and the head of a field; a tag is at most 5 bytes. */
#define HEAD_BYTES 32
#define FIGURES_CHANGED 15
/* A refusal's code, its name, and the heads of its four fields; its own head and that of the
 * figures that have changed. */
#define NAME_BYTES (128 + 2 * HEAD_BYTES)

typedef struct answered {
    uint64_t request_id;
    uint64_t end_bytes; /* of all bytes put: when so many are sent, the answer has left */
} answered_t;

struct lane_stream {
    uint32_t open_count;
    uint32_t working_count;  /* of those: with the writer */
    uint32_t answered_first; /* ring of answers that have not left */
    uint32_t answered_count;
    uint64_t put_bytes;
    uint64_t sent_bytes;
    status_t stop_status;    /* with which it ends, once nothing is open; OK: it goes on */
    lane_buffer_t backlog;
    uint32_t backlog_at;
    lane_buffer_t joined;    /* a body that came in several parts */
    uint64_t *ids;           /* of open requests; 0: of none, or of one that had no id */
    answered_t *answered;
};

/* The envelope of one request. */
typedef struct envelope {
    uint64_t request_id;
    uint64_t timeout_ms;
    const lane_method_t *method; /* NULL: no body */
    bytes_t body;
} envelope_t;

/* ------------------------------------------------------------------ the window ---- */

static uint32_t window_of(const lane_call_t *call)
{
    if (lane_call_is_upload(call)) return 1;
    return call->connection->thread->lane->options.stream_window;
}

static bool is_open(const lane_call_t *call, uint64_t request_id)
{
    const lane_stream_t *stream = call->stream;
    for (uint32_t i = 0; i < stream->open_count; i++) {
        if (stream->ids[i] == request_id) return true;
    }
    return false;
}

static void open_request(lane_call_t *call, uint64_t request_id)
{
    lane_stream_t *stream = call->stream;
    INVARIANT(stream->open_count < window_of(call));
    stream->ids[stream->open_count++] = request_id;
}

static void close_request(lane_stream_t *stream, uint64_t request_id)
{
    for (uint32_t i = 0; i < stream->open_count; i++) {
        if (stream->ids[i] != request_id) continue;
        stream->ids[i] = stream->ids[--stream->open_count];
        return;
    }
    INVARIANT(!"an answer belongs to an open request");
}

void lane_stream_sent(lane_call_t *call, uint32_t size)
{
    lane_stream_t *stream = call->stream;
    stream->sent_bytes += size;
    while (stream->answered_count > 0) {
        const answered_t *first = &stream->answered[stream->answered_first];
        if (first->end_bytes > stream->sent_bytes) return;
        close_request(stream, first->request_id);
        stream->answered_first = (stream->answered_first + 1) % window_of(call);
        stream->answered_count--;
    }
}

/* ------------------------------------------------------------------ answers ---- */

/* Answers with a body, which is that field's; 0: it brings the heads of its fields itself. */
static void put_answer(lane_call_t *call, uint64_t open_id, uint64_t shown_id, uint32_t field,
                       bytes_t body)
{
    lane_stream_t *stream = call->stream;
    uint8_t bytes[HEAD_BYTES];
    writer_t head = {.at = bytes, .capacity = sizeof bytes};
    put_number(&head, REQUEST_ID, (int64_t)shown_id);
    if (field != 0) put_head(&head, field, body.size);
    INVARIANT(!head.is_full);
    if (!lane_answer_put_both(call, (bytes_t){bytes, head.size}, body)) return;
    stream->put_bytes += LANE_PREFIX_BYTES + (uint64_t)head.size + body.size;
    INVARIANT(stream->answered_count < window_of(call));
    uint32_t at = (stream->answered_first + stream->answered_count++) % window_of(call);
    stream->answered[at] = (answered_t){open_id, stream->put_bytes};
    lane_answer_resume(call);
}

/* A Refusal: code, reason, message, field; behind it the figures that have changed, if any.
 * `prefix` is the body's name before the place. */
static void put_refusal(lane_call_t *call, uint64_t open_id, uint64_t shown_id,
                        const char *prefix, const refusal_t *told)
{
    const lane_t *lane = call->connection->thread->lane;
    const char *place = told->place;
    char message[LANE_MESSAGE_BYTES];
    char field[64 + FAULT_PLACE_BYTES];
    uint8_t bytes[sizeof message + sizeof field + NAME_BYTES + FIGURES_CHANGED_BYTES_MAX];
    writer_t refusal = {.at = bytes, .capacity = sizeof bytes};
    lane_refusal_words(lane, told->status, place, told->words, message, sizeof message);
    bool is_deep = prefix[0] != '\0' && place[0] != '\0';
    snprintf(field, sizeof field, "%s%s%s", is_deep ? prefix : "", is_deep ? "." : "", place);
    uint32_t mark = put_open(&refusal, lane->options.refusal_field);
    put_always(&refusal, 1, lane_status_code(told->status));
    put_text(&refusal, 2, lane_text(lane_status_name(told->status)));
    put_text(&refusal, 3, lane_text(message));
    put_text(&refusal, 4, lane_text(field));
    put_close(&refusal, mark);
    put_text(&refusal, FIGURES_CHANGED, told->changed);
    INVARIANT(!refusal.is_full);
    put_answer(call, open_id, shown_id, 0, (bytes_t){bytes, refusal.size});
}

static void put_result(lane_call_t *call, uint64_t request_id, const lane_method_t *method,
                       status_t status, const reply_t *reply, const char *place)
{
    bytes_t body = {reply->at, reply->size};
    if (status == STATUS_OK) {
        uint32_t field = lane_call_is_upload(call) ? method->upload_answer_field : method->field;
        put_answer(call, request_id, request_id, field, body);
    } else {
        put_refusal(call, request_id, request_id, method->field_name,
                    &(refusal_t){status, place, NULL, body});
    }
}

void lane_stream_answer(lane_call_t *call, const lane_change_t *change, status_t status)
{
    INVARIANT(call->stream->working_count > 0);
    call->stream->working_count--;
    put_result(call, change->request_id, change->method, status, &change->reply,
               change->fault.place);
}

/* ------------------------------------------------------------------ requests ---- */

static const lane_method_t *method_of_field(const lane_call_t *call, uint64_t field)
{
    const lane_t *lane = call->connection->thread->lane;
    bool is_upload = lane_call_is_upload(call);
    for (uint32_t i = 0; i < lane->options.method_count && field != 0; i++) {
        const lane_method_t *method = &lane->methods[i];
        if ((is_upload ? method->upload_field : method->field) == field) return method;
    }
    return NULL;
}

/* As the official runtime reads it: the last of several bodies wins, and two of the same field
 * merge, which for bytes is to stand one after the other. */
static status_t read_envelope(lane_call_t *call, bytes_t message, envelope_t *envelope)
{
    lane_stream_t *stream = call->stream;
    bool has_timeout = !lane_call_is_upload(call);
    lane_field_t field;
    *envelope = (envelope_t){.request_id = 0};
    while (message.size > 0) {
        if (!lane_field_read(&message, &field)) return STATUS_REQUEST_MALFORMED;
        if (field.number == REQUEST_ID || (has_timeout && field.number == TIMEOUT_MS)) {
            if (field.bytes.at != NULL) return STATUS_REQUEST_MALFORMED;
            if (field.number == REQUEST_ID) envelope->request_id = field.value;
            else envelope->timeout_ms = field.value;
            continue;
        }
        const lane_method_t *method = method_of_field(call, field.number);
        if (method == NULL) continue;
        if (field.bytes.at == NULL) return STATUS_REQUEST_MALFORMED;
        if (method != envelope->method) {
            envelope->method = method;
            envelope->body = field.bytes;
            continue;
        }
        if (envelope->body.at != stream->joined.at) {
            stream->joined.size = 0;
            if (!lane_buffer_add(&stream->joined, envelope->body.at, envelope->body.size)) {
                return STATUS_OUT_OF_MEMORY;
            }
        }
        if (!lane_buffer_add(&stream->joined, field.bytes.at, field.bytes.size)) {
            return STATUS_OUT_OF_MEMORY;
        }
        envelope->body = (bytes_t){stream->joined.at, stream->joined.size};
    }
    return STATUS_OK;
}

/* What is wrong with the envelope by itself. */
static status_t check_envelope(const lane_call_t *call, const envelope_t *envelope,
                               const char **place)
{
    bool is_upload = lane_call_is_upload(call);
    *place = is_upload ? "item" : "request";
    if (envelope->method == NULL) return STATUS_FIELD_REQUIRED;
    *place = is_upload ? "item_id" : "request_id";
    if (envelope->request_id == 0 || envelope->request_id > INT64_MAX) {
        return STATUS_FIELD_OUT_OF_RANGE;
    }
    *place = "timeout_ms";
    if (envelope->timeout_ms > TIMEOUT_MS_LIMIT) return STATUS_FIELD_OUT_OF_RANGE;
    *place = "";
    return STATUS_OK;
}

static void refuse_request(lane_call_t *call, const envelope_t *envelope, status_t status,
                           const char *words)
{
    lane_answer_count(call->connection->thread, envelope->method, status, call->arrived_ns);
    open_request(call, envelope->request_id);
    put_refusal(call, envelope->request_id, envelope->request_id, envelope->method->field_name,
                &(refusal_t){.status = status, .place = "", .words = words});
}

static void run_read(lane_call_t *call, const envelope_t *envelope)
{
    lane_thread_t *thread = call->connection->thread;
    fault_t fault;
    status_t status = lane_ladder_call(call->connection, envelope->method, envelope->body, &fault);
    lane_answer_count(thread, envelope->method, status, call->arrived_ns);
    open_request(call, envelope->request_id);
    put_result(call, envelope->request_id, envelope->method, status, &thread->reply, fault.place);
}

/* False: no place is free, and the stream is parked until there is one. */
static bool run_change(lane_call_t *call, const envelope_t *envelope, int64_t deadline_ns)
{
    lane_change_t *change = lane_change_take(call);
    if (change == NULL) {
        if (lane_call_park(call)) return false;
        refuse_request(call, envelope, STATUS_QUEUE_FULL, NULL);
        return true;
    }
    change->method = envelope->method;
    change->request_id = envelope->request_id;
    change->in.size = 0;
    open_request(call, envelope->request_id);
    call->stream->working_count++;
    if (!lane_buffer_add(&change->in, envelope->body.at, envelope->body.size)) {
        lane_connection_end(call->connection, LANE_END_MEMORY);
    }
    bytes_t body = {change->in.at, change->in.size};
    lane_change_begin(change, body, deadline_ns);
    return true;
}

/* Runs the whole message in call->in. False: it has to wait. */
static bool run_message(lane_call_t *call)
{
    envelope_t envelope;
    const char *place = "";
    uint64_t shown_id = 0;
    envelope.request_id = 0;
    status_t status = lane_call_unpack(call, LANE_STREAM_MESSAGE_BYTES_MAX);
    if (status == STATUS_OK) {
        status = read_envelope(call, (bytes_t){call->in.at, call->in.size}, &envelope);
    }
    if (status == STATUS_OK) {
        if (envelope.request_id <= INT64_MAX) shown_id = envelope.request_id;
        status = check_envelope(call, &envelope, &place);
    }
    if (status != STATUS_OK || is_open(call, envelope.request_id)) {
        refusal_t refusal = {.status = status, .place = place};
        if (status == STATUS_OK) {
            refusal = (refusal_t){.status = STATUS_FIELD_OUT_OF_RANGE,
                                  .place = "request_id",
                                  .words = "this request_id is still open"};
        }
        open_request(call, 0);
        put_refusal(call, 0, shown_id, "", &refusal);
        return true;
    }
    int64_t deadline_ns = 0;
    if (envelope.timeout_ms > 0) {
        deadline_ns = call->arrived_ns + (int64_t)envelope.timeout_ms * 1000000;
    }
    if (deadline_ns != 0 && lane_now_ns() >= deadline_ns) {
        refuse_request(call, &envelope, STATUS_DEADLINE_PASSED, NULL);
    } else if (envelope.method->number == 0) {
        refuse_request(call, &envelope, STATUS_METHOD_NOT_BUILT, envelope.method->words);
    } else if (!method_is_change(envelope.method->number)) {
        run_read(call, &envelope);
    } else {
        return run_change(call, &envelope, deadline_ns);
    }
    return true;
}

/* ------------------------------------------------------------------ taking ---- */

/* Whether a message may be taken, or gone on with. */
static bool has_room(const lane_call_t *call)
{
    const lane_stream_t *stream = call->stream;
    if (call->is_parked || call->is_answered || stream->stop_status != STATUS_OK) return false;
    return call->prefix_bytes > 0 || stream->open_count < window_of(call);
}

/* Takes as much as there is room for; returns how many bytes. */
static size_t take(lane_call_t *call, const uint8_t *bytes, size_t size)
{
    lane_thread_t *thread = call->connection->thread;
    size_t taken = 0;
    while (has_room(call) && !call->connection->is_ended && (taken < size || call->has_message)) {
        if (call->prefix_bytes == 0) call->receiving_ns = thread->now_ns;
        taken += lane_call_take(call, bytes + taken, size - taken);
        if (!call->has_message) continue;
        /* A message that was parked keeps its arrival. */
        if (call->receiving_ns != 0) call->arrived_ns = thread->now_ns;
        call->receiving_ns = 0;
        if (!run_message(call)) break;
        call->has_message = false;
        call->prefix_bytes = 0;
        lane_call_drop_request(call);
    }
    if (taken > 0) {
        nghttp2_session_consume_stream(call->connection->http, call->stream_id, taken);
    }
    return taken;
}

void lane_stream_receive(lane_call_t *call, const uint8_t *bytes, size_t size)
{
    lane_stream_t *stream = call->stream;
    if (call->is_answered) return;
    if (stream->backlog.size == 0) {
        size_t taken = take(call, bytes, size);
        bytes += taken;
        size -= taken;
    }
    /* The window bounds it. */
    if (stream->backlog_at > 0 && size > 0) {
        stream->backlog.size -= stream->backlog_at;
        memmove(stream->backlog.at, stream->backlog.at + stream->backlog_at, stream->backlog.size);
        stream->backlog_at = 0;
    }
    if (size > 0 && !lane_buffer_add(&stream->backlog, bytes, (uint32_t)size)) {
        lane_connection_end(call->connection, LANE_END_MEMORY);
    }
}

bool lane_stream_is_ready(const lane_call_t *call)
{
    return call->stream != NULL && call->stream->backlog.size > 0 && has_room(call);
}

/* The stream has said all that it will say. */
static void finish(lane_call_t *call)
{
    lane_stream_t *stream = call->stream;
    if (stream->working_count > 0 || call->is_answered || call->is_parked) return;
    if (stream->stop_status == STATUS_OK) {
        if (!call->is_half_closed || stream->backlog.size > 0) return;
        if (call->prefix_bytes > 0) stream->stop_status = STATUS_REQUEST_MALFORMED;
    }
    call->is_answered = true;
    call->end_status = stream->stop_status;
    lane_answer_resume(call);
}

void lane_stream_go_on(lane_call_t *call)
{
    lane_stream_t *stream = call->stream;
    if (call->connection->is_ended) return;
    if (call->has_message) take(call, call->prefix, 0);
    if (stream->backlog.size > 0) {
        stream->backlog_at += (uint32_t)take(call, stream->backlog.at + stream->backlog_at,
                                             stream->backlog.size - stream->backlog_at);
        if (stream->backlog_at == stream->backlog.size) {
            lane_buffer_reset(&stream->backlog);
            stream->backlog_at = 0;
        }
    }
    finish(call);
}

/* ------------------------------------------------------------------ begin and end ---- */

void lane_stream_begin(lane_call_t *call)
{
    lane_thread_t *thread = call->connection->thread;
    uint32_t window = window_of(call);
    if (thread->is_draining) {
        lane_refuse(call, STATUS_ENGINE_CLOSED, "", NULL);
        return;
    }
    if (thread->stream_count >= thread->lane->options.connections_max) {
        lane_refuse(call, STATUS_QUEUE_FULL, "", "all streams of this service are open");
        return;
    }
    lane_stream_t *stream = calloc(1, sizeof *stream);
    call->stream = stream;
    if (stream != NULL) {
        stream->ids = calloc(window, sizeof *stream->ids);
        stream->answered = calloc(window, sizeof *stream->answered);
        thread->stream_count++;
        call->connection->stream_count++;
        lane_count(&thread->metrics->streams, 1);
    }
    if (stream == NULL || stream->ids == NULL || stream->answered == NULL) {
        lane_connection_end(call->connection, LANE_END_MEMORY);
        return;
    }
    call->receiving_ns = 0;
    lane_answer_begin(call);
}

void lane_stream_stop(lane_call_t *call, status_t status)
{
    if (call->stream->stop_status == STATUS_OK) call->stream->stop_status = status;
    call->receiving_ns = 0;
    finish(call);
}

void lane_stream_drain(lane_call_t *call)
{
    bool is_taken = call->is_half_closed && call->stream->backlog.size == 0;
    if (!is_taken) lane_stream_stop(call, STATUS_ENGINE_CLOSED);
}

void lane_stream_free(lane_call_t *call)
{
    lane_thread_t *thread = call->connection->thread;
    thread->stream_count--;
    call->connection->stream_count--;
    lane_count(&thread->metrics->streams, (uint64_t)-1);
    lane_buffer_free(&call->stream->backlog);
    lane_buffer_free(&call->stream->joined);
    free(call->stream->ids);
    free(call->stream->answered);
    free(call->stream);
    call->stream = NULL;
}
