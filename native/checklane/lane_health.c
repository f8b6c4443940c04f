/* grpc.health.v1: Check answers once, Watch tells every change. */
#include <string.h>

#include "lane_internal.h"

#define SERVING 1
#define NOT_SERVING 2
#define SERVICE_UNKNOWN 3

/* The field `service` of a HealthCheckRequest; its only one, so what else is there is passed over
 * as protobuf does. Empty: the service as a whole. */
static bytes_t service_of(const lane_call_t *call)
{
    bytes_t name = {NULL, 0};
    if (call->in.size >= 2 && call->in.at[0] == 0x0a && call->in.at[1] < 0x80
        && call->in.at[1] <= call->in.size - 2) {
        name = (bytes_t){call->in.at + 2, call->in.at[1]};
    }
    return name;
}

static uint32_t status_of(const lane_call_t *call)
{
    lane_t *lane = call->connection->thread->lane;
    bool is_serving = atomic_load(&lane->is_serving) && !atomic_load(&lane->is_draining);
    return is_serving ? SERVING : NOT_SERVING;
}

static bool is_known(const lane_call_t *call, bytes_t name)
{
    const lane_t *lane = call->connection->thread->lane;
    if (name.size == 0) return true;
    for (uint32_t i = 0; i < lane->options.service_count; i++) {
        const char *service = lane->services[i];
        if (strlen(service) == name.size && memcmp(service, name.at, name.size) == 0) return true;
    }
    return false;
}

static bool put_status(lane_call_t *call, uint32_t status)
{
    const uint8_t message[2] = {0x08, (uint8_t)status};
    return lane_answer_put(call, message, sizeof message);
}

void lane_health_check(lane_call_t *call)
{
    if (!is_known(call, service_of(call))) {
        lane_fail(call, GRPC_NOT_FOUND, "no such service");
        return;
    }
    call->is_answered = true;
    if (put_status(call, status_of(call))) lane_answer_begin(call);
}

void lane_health_watch(lane_call_t *call)
{
    call->watched_status = is_known(call, service_of(call)) ? status_of(call) : SERVICE_UNKNOWN;
    if (put_status(call, call->watched_status)) lane_answer_begin(call);
}

void lane_health_tell(lane_call_t *call)
{
    bool is_draining = atomic_load(&call->connection->thread->lane->is_draining);
    uint32_t now = status_of(call);
    if (call->is_answered || call->watched_status == 0) return;
    if (call->watched_status != SERVICE_UNKNOWN && call->watched_status != now) {
        call->watched_status = now;
        if (!put_status(call, now)) return;
    }
    if (is_draining) {
        call->is_answered = true;
        call->end_status = STATUS_ENGINE_CLOSED;
    }
    lane_answer_resume(call);
}
