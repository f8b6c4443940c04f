/* What a lane thread does when it cannot keep up. A quote that waited is decided with less: first
 * for everybody alike, then not at all, at the lane's own prices; then reads are refused at once,
 * so that those that are answered still come in time. A change is never decided with less and
 * never refused here: only the writer's queue bounds it.
 *
 * How long a call has waited in the socket cannot be seen; what can is the round. When epoll_wait
 * had to wait, everything that it brought has just come. When it had not, it came at some time
 * since the round before began, so that is the bound; what stands earlier in this round is
 * added. */
#include "lane_internal.h"

#define US_NS 1000
/* A call of epoll_wait that took no longer has not slept. */
#define NO_WAIT_NS 5000

void lane_ladder_begin(lane_thread_t *thread, int64_t asked_ns)
{
    bool has_waited = thread->now_ns - asked_ns > NO_WAIT_NS;
    thread->since_ns = has_waited ? thread->now_ns : thread->round_ns;
    thread->round_ns = thread->now_ns;
    thread->clock_ns = thread->now_ns;
}

static bool is_behind(int64_t waited_ns, uint32_t most_us)
{
    return most_us != 0 && waited_ns >= (int64_t)most_us * US_NS;
}

lane_step_t lane_ladder_step(const lane_thread_t *thread)
{
    const lane_options_t *options = &thread->lane->options;
    int64_t waited_ns = thread->clock_ns - thread->since_ns;
    if (is_behind(waited_ns, options->refuse_us)) return LANE_STEP_REFUSE;
    if (is_behind(waited_ns, options->shelf_us)) return LANE_STEP_SHELF;
    if (is_behind(waited_ns, options->public_us)) return LANE_STEP_PUBLIC;
    return LANE_STEP_FULL;
}

status_t lane_ladder_call(lane_connection_t *connection, const lane_method_t *method,
                          bytes_t request, fault_t *fault)
{
    lane_thread_t *thread = connection->thread;
    call_order_t order = lane_order(connection, method, request);
    lane_step_t step = lane_ladder_step(thread);
    if (step == LANE_STEP_REFUSE) {
        lane_count(&thread->metrics->steps[step], 1);
        thread->reply.size = 0;
        fault->place[0] = '\0';
        return fault->status = STATUS_LANES_BUSY;
    }
    if (method->number == METHOD_QUOTE_BASKET) {
        lane_count(&thread->metrics->steps[step], 1);
        order.degraded_level = step;
    }
    return session_call(thread->session, &order, &thread->reply, fault);
}
