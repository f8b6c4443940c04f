/* Answers on the wire: response headers, messages, trailers, and refusals with their details as
 * google.rpc.Status. The bytes are those of the management port; tests/lane compares them. */
#include <stdio.h>
#include <string.h>

#include "invariant.h"
#include "lane_internal.h"
#include "wire_put.h"

#define STATIC_NAME_VALUE (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)
#define CORRELATION_KEY "checklane-correlation-id"
#define TYPE_PREFIX "type.googleapis.com/google.rpc."
#define TYPE_CHANGED "type.googleapis.com/checklane.v1.FiguresChanged"
/* Status, ErrorInfo and BadRequest around two copies of the message and two of the place; or the
 * figures that have changed. */
#define DETAILS_BYTES (2048 + FIGURES_CHANGED_BYTES_MAX)
#define TRAILERS_MAX 6

static nghttp2_nv static_header(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
                        STATIC_NAME_VALUE};
}

/* A value that the library copies, and that is not worth a place in the peer's table. */
static nghttp2_nv copied_header(const char *name, const char *value, size_t size)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), size,
                        NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_INDEX};
}

/* ------------------------------------------------------------------ details ---- */

/* Opens one detail of a google.rpc.Status and the message in it; closed by close_detail. */
typedef struct detail {
    uint32_t any;
    uint32_t message;
} detail_t;

static detail_t open_detail(writer_t *writer, const char *type)
{
    uint32_t any = put_open(writer, 3);
    put_text(writer, 1, lane_text(type));
    return (detail_t){any, put_open(writer, 2)};
}

static void close_detail(writer_t *writer, detail_t detail)
{
    put_close(writer, detail.message);
    put_close(writer, detail.any);
}

const char *lane_status_name(status_t status)
{
    switch ((int)status) {
#define STATUS_NAME(name, number, grpc, remedy) case number: return #name;
        STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
    default: return "INTERNAL";
    }
}

uint32_t lane_status_code(status_t status)
{
    switch ((int)status) {
#define STATUS_CODE(name, number, grpc, remedy) case number: return grpc;
        STATUS_LIST(STATUS_CODE)
#undef STATUS_CODE
    default: return GRPC_INTERNAL;
    }
}

static const char *status_remedy(status_t status)
{
    switch ((int)status) {
#define STATUS_REMEDY(name, number, grpc, remedy) case number: return remedy;
        STATUS_LIST(STATUS_REMEDY)
#undef STATUS_REMEDY
    default: return "look at the log";
    }
}

static void put_error_info(writer_t *writer, status_t status, const char *place)
{
    detail_t info = open_detail(writer, TYPE_PREFIX "ErrorInfo");
    put_text(writer, 1, lane_text(lane_status_name(status)));
    put_text(writer, 2, lane_text("checklane"));
    if (place[0] != '\0') {
        uint32_t entry = put_open(writer, 3);
        put_text(writer, 1, lane_text("place"));
        put_text(writer, 2, lane_text(place));
        put_close(writer, entry);
    }
    close_detail(writer, info);
}

static void put_bad_request(writer_t *writer, const char *place, const char *message)
{
    detail_t bad = open_detail(writer, TYPE_PREFIX "BadRequest");
    uint32_t violation = put_open(writer, 1);
    put_text(writer, 1, lane_text(place));
    put_text(writer, 2, lane_text(message));
    put_close(writer, violation);
    close_detail(writer, bad);
}

static void put_changed(writer_t *writer, bytes_t changed)
{
    uint32_t any = put_open(writer, 3);
    put_text(writer, 1, lane_text(TYPE_CHANGED));
    put_text(writer, 2, changed);
    put_close(writer, any);
}

static size_t base64(const uint8_t *bytes, size_t size, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = 0;
    for (size_t i = 0; i < size; i += 3) {
        size_t left = size - i;
        uint32_t three = (uint32_t)bytes[i] << 16;
        if (left > 1) three |= (uint32_t)bytes[i + 1] << 8;
        if (left > 2) three |= bytes[i + 2];
        out[length++] = digits[three >> 18];
        out[length++] = digits[three >> 12 & 63];
        if (left > 1) out[length++] = digits[three >> 6 & 63];
        if (left > 2) out[length++] = digits[three & 63];
    }
    return length; /* without padding, as gRPC asks */
}

/* ------------------------------------------------------------------ sending ---- */

/* Whether the library has said that it has no more memory; then the connection is over. */
static void check_submitted(lane_call_t *call, int result)
{
    if (result == NGHTTP2_ERR_NOMEM) lane_connection_end(call->connection, LANE_END_MEMORY);
}

/* An answer of headers only: it ends the stream. */
static void submit_alone(lane_call_t *call, const nghttp2_nv *headers, size_t count)
{
    lane_call_drop_request(call);
    call->is_answered = true;
    check_submitted(call, nghttp2_submit_response(call->connection->http, call->stream_id, headers,
                                                  count, NULL));
}

/* How a call ends: code, words and details, ready to be sent. */
typedef struct ending {
    nghttp2_nv headers[TRAILERS_MAX];
    size_t count;
    char code[12];
    char words[3 * LANE_MESSAGE_BYTES];
    char details[DETAILS_BYTES * 4 / 3 + 4];
} ending_t;

static void begin_ending(ending_t *ending, bool is_alone)
{
    ending->count = 0;
    if (!is_alone) return;
    ending->headers[ending->count++] = static_header(":status", "200");
    ending->headers[ending->count++] = static_header("content-type", "application/grpc");
}

static void add_ending(ending_t *ending, const lane_call_t *call, uint32_t code,
                       const char *message, const writer_t *details)
{
    nghttp2_nv *headers = ending->headers;
    int digits = snprintf(ending->code, sizeof ending->code, "%u", code);
    headers[ending->count] = copied_header("grpc-status", ending->code, (size_t)digits);
    headers[ending->count++].flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
    if (message[0] != '\0') {
        headers[ending->count++] =
            copied_header("grpc-message", ending->words,
                          lane_percent_encode(lane_text(message), ending->words));
    }
    if (details != NULL) {
        size_t size = base64(details->at, details->size, ending->details);
        headers[ending->count++] = copied_header("grpc-status-details-bin", ending->details, size);
    }
    if (call->correlation_bytes > 0) {
        headers[ending->count++] = copied_header(CORRELATION_KEY, call->correlation,
                                                 call->correlation_bytes);
    }
}

void lane_refusal_words(const lane_t *lane, status_t status, const char *place,
                        const char *words, char *out, uint32_t capacity)
{
    const lane_words_t *row = &lane->words[status % LANE_STATUSES];
    if (words == NULL) words = row->what != NULL ? row->what : "the service failed";
    int size = snprintf(out, capacity, "%s%s%s: %s", words, place[0] != '\0' ? " at " : "", place,
                        status_remedy(status));
    INVARIANT(size > 0);
}

static void add_refusal(ending_t *ending, const lane_call_t *call, const refusal_t *refusal)
{
    const lane_t *lane = call->connection->thread->lane;
    char message[LANE_MESSAGE_BYTES];
    uint8_t details_bytes[DETAILS_BYTES];
    writer_t details = {.at = details_bytes, .capacity = sizeof details_bytes};
    status_t status = refusal->status;
    const char *place = refusal->place;
    uint32_t code = lane_status_code(status);
    lane_refusal_words(lane, status, place, refusal->words, message, sizeof message);
    put_always(&details, 1, code);
    put_text(&details, 2, lane_text(message));
    put_error_info(&details, status, place);
    bool is_at_field = lane->words[status % LANE_STATUSES].is_at_field;
    if (is_at_field && place[0] != '\0') put_bad_request(&details, place, message);
    if (refusal->changed.size > 0) put_changed(&details, refusal->changed);
    INVARIANT(!details.is_full);
    add_ending(ending, call, code, message, &details);
}

void lane_fail(lane_call_t *call, uint32_t code, const char *words)
{
    ending_t ending;
    begin_ending(&ending, true);
    add_ending(&ending, call, code, words, NULL);
    if (call->is_encoded) {
        ending.headers[ending.count++] = static_header("grpc-accept-encoding", "identity,gzip");
    }
    submit_alone(call, ending.headers, ending.count);
}

void lane_answer_http(lane_call_t *call, const char *http_status)
{
    nghttp2_nv header = {(uint8_t *)":status", (uint8_t *)http_status, 7, 3,
                         NGHTTP2_NV_FLAG_NO_COPY_NAME};
    submit_alone(call, &header, 1);
}

static void submit_refusal(lane_call_t *call, const refusal_t *refusal)
{
    ending_t ending;
    begin_ending(&ending, true);
    add_refusal(&ending, call, refusal);
    submit_alone(call, ending.headers, ending.count);
}

void lane_refuse(lane_call_t *call, status_t status, const char *place, const char *words)
{
    submit_refusal(call, &(refusal_t){.status = status, .place = place, .words = words});
}

/* ------------------------------------------------------------------ messages ---- */

static void submit_trailers(lane_call_t *call)
{
    nghttp2_session *http = call->connection->http;
    if (call->end_status == STATUS_OK) {
        nghttp2_nv headers[2] = {static_header("grpc-status", "0")};
        size_t count = 1;
        if (call->correlation_bytes > 0) {
            headers[count++] = copied_header(CORRELATION_KEY, call->correlation,
                                             call->correlation_bytes);
        }
        check_submitted(call, nghttp2_submit_trailer(http, call->stream_id, headers, count));
        return;
    }
    ending_t ending;
    begin_ending(&ending, false);
    add_refusal(&ending, call, &(refusal_t){.status = call->end_status, .place = ""});
    check_submitted(call, nghttp2_submit_trailer(http, call->stream_id, ending.headers,
                                                 ending.count));
}

static ssize_t read_out(nghttp2_session *http, int32_t stream_id, uint8_t *to, size_t room,
                        uint32_t *flags, nghttp2_data_source *source, void *context)
{
    lane_call_t *call = source->ptr;
    uint32_t left = call->out.size - call->out_at;
    uint32_t step = left < room ? left : (uint32_t)room;
    (void)http;
    (void)stream_id;
    (void)context;
    if (step > 0) memcpy(to, call->out.at + call->out_at, step);
    call->out_at += step;
    if (call->stream != NULL) lane_stream_sent(call, step);
    if (step < left) return (ssize_t)step;
    lane_buffer_reset(&call->out);
    call->out_at = 0;
    if (!call->is_answered) return step > 0 ? (ssize_t)step : NGHTTP2_ERR_DEFERRED;
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    submit_trailers(call);
    return (ssize_t)step;
}

void lane_answer_begin(lane_call_t *call)
{
    nghttp2_data_provider provider = {.source.ptr = call, .read_callback = read_out};
    const nghttp2_nv headers[] = {static_header(":status", "200"),
                                  static_header("content-type", "application/grpc"),
                                  static_header("grpc-encoding", "gzip")};
    check_submitted(call, nghttp2_submit_response(call->connection->http, call->stream_id, headers,
                                                  call->was_gzip ? 3 : 2, &provider));
}

/* ------------------------------------------------------------------ the engine's ---- */

void lane_answer_count(lane_thread_t *thread, const lane_method_t *method, status_t status,
                       int64_t arrived_ns)
{
    lane_metrics_t *metrics = thread->metrics;
    size_t index = (size_t)(method - thread->lane->methods);
    thread->clock_ns = lane_now_ns();
    uint64_t took_us = (uint64_t)(thread->clock_ns - arrived_ns) / 1000;
    uint32_t bucket = 0;
    while (bucket < LANE_BUCKETS - 1 && took_us >= 1ull << bucket) bucket++;
    lane_count(&metrics->answers[index][status % LANE_STATUSES], 1);
    lane_count(&metrics->buckets[index][bucket], 1);
    lane_count(&metrics->answer_us[index], took_us);
}

/* Room for a message behind what has not left yet. */
static bool make_room(lane_call_t *call, uint32_t size)
{
    lane_buffer_t *out = &call->out;
    if (call->out_at > 0 && out->capacity - out->size < size) {
        out->size -= call->out_at;
        memmove(out->at, out->at + call->out_at, out->size);
        call->out_at = 0;
    }
    return lane_buffer_reserve(out, size);
}

bool lane_answer_put_both(lane_call_t *call, bytes_t head, bytes_t body)
{
    uint32_t size = head.size + body.size;
    const uint8_t prefix[LANE_PREFIX_BYTES] = {call->was_gzip, (uint8_t)(size >> 24),
                                               (uint8_t)(size >> 16),
                                               (uint8_t)(size >> 8), (uint8_t)size};
    if (!make_room(call, LANE_PREFIX_BYTES + size)) {
        lane_connection_end(call->connection, LANE_END_MEMORY);
        return false;
    }
    return lane_buffer_add(&call->out, prefix, LANE_PREFIX_BYTES)
           && lane_buffer_add(&call->out, head.at, head.size)
           && lane_buffer_add(&call->out, body.at, body.size);
}

bool lane_answer_put(lane_call_t *call, const uint8_t *bytes, uint32_t size)
{
    return lane_answer_put_both(call, (bytes_t){NULL, 0}, (bytes_t){bytes, size});
}

void lane_answer_resume(lane_call_t *call)
{
    check_submitted(call, nghttp2_session_resume_data(call->connection->http, call->stream_id));
}

void lane_answer_status(lane_call_t *call, status_t status, const reply_t *reply,
                        const char *place)
{
    lane_buffer_t *packed = &call->connection->thread->packed;
    bytes_t message = {reply->at, reply->size};
    if (status != STATUS_OK) {
        submit_refusal(call, &(refusal_t){status, place, NULL, message});
        return;
    }
    lane_call_drop_request(call);
    call->is_answered = true;
    /* Only who sends compressed is answered so: everybody says that he could read it. */
    call->was_gzip = call->was_gzip && call->takes_gzip && lane_gzip(message, packed);
    if (call->was_gzip) message = (bytes_t){packed->at, packed->size};
    if (lane_answer_put(call, message.at, message.size)) lane_answer_begin(call);
    lane_buffer_reset(packed);
}
