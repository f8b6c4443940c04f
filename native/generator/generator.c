/* The plan, the clock and the loop.
 *
 * Arrivals are taken from the plan when their time has come, whatever the server does: each goes
 * to the end of its lane's queue, and from there on the wire as soon as the lane has a free place.
 * So a slow answer delays no arrival, and what it makes others wait is part of their latency. */
#include "generator_internal.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define CONNECT_WITHIN_NS 20000000000u
/* How far ahead of its time a sleep may end: the kernel's own default is 50 us. */
#define TIMER_SLACK_NS 1000ul
#define SLEEP_MAX_NS 50000000u
#define SECOND_NS 1000000000u

static uint64_t clock_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND_NS + (uint64_t)time.tv_nsec;
}

uint64_t run_now_ns(const run_t *run)
{
    return clock_ns() - run->start_ns;
}

result_t *result_at(run_t *run, uint64_t index)
{
    return &run->plan->results[index];
}

bool reserve(buffer_t *buffer, size_t more)
{
    size_t wanted = buffer->size + more;
    if (wanted <= buffer->capacity) return true;
    size_t capacity = buffer->capacity ? buffer->capacity : 4096;
    while (capacity < wanted) capacity *= 2;
    uint8_t *bytes = realloc(buffer->bytes, capacity);
    if (bytes == NULL) return false;
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return true;
}

void keep_fault(run_t *run, const char *what, const uint8_t *answer, size_t answer_size)
{
    outline_t *outline = run->outline;
    if (outline->fault[0] != 0) return;
    snprintf(outline->fault, sizeof outline->fault, "%s", what);
    if (answer == NULL) return;
    outline->answer = malloc(answer_size + 1);
    if (outline->answer == NULL) return;
    memcpy(outline->answer, answer, answer_size);
    outline->answer_size = (uint32_t)answer_size;
}

void call_over(run_t *run, uint64_t index, uint8_t outcome, uint8_t status)
{
    result_t *result = result_at(run, index);
    result->outcome = outcome;
    result->status = status;
    run->answered++;
    if (outcome == OUTCOME_WRONG) run->is_broken = true;
    if (outcome != OUTCOME_RIGHT && outcome != OUTCOME_DROPPED)
        __atomic_fetch_add(&run->progress->faults, 1, __ATOMIC_RELAXED);
}

void mark_dirty(lane_t *lane)
{
    if (lane->is_dirty) return;
    lane->is_dirty = true;
    lane->run->dirty[lane->run->dirty_count++] = lane->number;
}

/* ------------------------------------------------------------------ what is sent ---------- */

static bool start_closed_call(lane_t *lane)
{
    run_t *run = lane->run;
    const plan_t *plan = run->plan;
    uint64_t now_ns = run_now_ns(run);
    if (run->is_over) return false;
    if (now_ns >= plan->options.closed_ns || run->issued == plan->result_capacity) {
        run->is_over = true;
        return false;
    }
    uint64_t turns = plan->request_count / plan->options.lanes;
    uint64_t request = lane->number + lane->closed_turn++ % turns * plan->options.lanes;
    uint64_t index = run->issued++;
    *result_at(run, index) = (result_t){
        .due_ns = now_ns,
        .taken_ns = now_ns,
        .sent_ns = now_ns,
        .request = (uint32_t)request,
        .lane = (uint16_t)lane->number,
    };
    lane_send(lane, index, (uint32_t)request, ACT_CALL);
    return true;
}

/* Sends the lane's first waiting arrival; false when it has to wait on. */
static bool start_waiting_call(lane_t *lane)
{
    run_t *run = lane->run;
    uint64_t index = lane->waiting_first;
    if (index == NO_ARRIVAL || lane->is_leaving || lane->is_cut) return false;
    const arrival_t *arrival = &run->plan->arrivals[index];
    if (arrival->act == ACT_LEAVE && lane->left_for != index + 1) {
        if (lane->open_count > 0) return false;
        lane->left_for = index + 1;
        lane->is_leaving = true;
        mark_dirty(lane);
        return false;
    }
    lane->waiting_first = run->next_waiting[index];
    if (lane->waiting_first == NO_ARRIVAL) lane->waiting_last = NO_ARRIVAL;
    result_at(run, index)->sent_ns = run_now_ns(run);
    lane_send(lane, index, arrival->request, arrival->act);
    return true;
}

void feed_lane(lane_t *lane)
{
    run_t *run = lane->run;
    if (run->is_warming || run->is_broken) return;
    bool is_closed = run->plan->options.closed_ns > 0;
    while (lane->state == LANE_READY && lane->first_free != NO_SLOT) {
        if (!(is_closed ? start_closed_call(lane) : start_waiting_call(lane))) return;
    }
}

/* Takes the arrivals whose time has come. */
static void take_arrivals(run_t *run)
{
    const plan_t *plan = run->plan;
    uint64_t now_ns = run_now_ns(run);
    while (run->next_arrival < plan->arrival_count) {
        uint64_t index = run->next_arrival;
        const arrival_t *arrival = &plan->arrivals[index];
        if (arrival->due_ns > now_ns) return;
        run->next_arrival++;
        run->issued++;
        *result_at(run, index) = (result_t){
            .due_ns = arrival->due_ns,
            .taken_ns = now_ns,
            .request = arrival->request,
            .lane = arrival->lane,
        };
        lane_t *lane = &run->lanes[arrival->lane];
        run->next_waiting[index] = NO_ARRIVAL;
        if (lane->waiting_last == NO_ARRIVAL)
            lane->waiting_first = index;
        else
            run->next_waiting[lane->waiting_last] = index;
        lane->waiting_last = index;
        feed_lane(lane);
        now_ns = run_now_ns(run);
    }
    run->is_over = true;
}

/* ------------------------------------------------------------------ the loop -------------- */

static void flush_dirty(run_t *run)
{
    /* A flush may mark others, or the same lane again when it connects anew. */
    while (run->dirty_count > 0) {
        lane_t *lane = &run->lanes[run->dirty[--run->dirty_count]];
        lane->is_dirty = false;
        lane_flush(lane);
    }
}

static void end_stalls(run_t *run)
{
    if (run->stalled_count == 0) return;
    uint64_t now_ns = run_now_ns(run);
    for (uint32_t number = 0; number < run->plan->options.lanes; number++) {
        lane_t *lane = &run->lanes[number];
        if (lane->stalled_until_ns == 0 || lane->stalled_until_ns > now_ns) continue;
        lane->stalled_until_ns = 0;
        run->stalled_count--;
        mark_dirty(lane); /* its flush watches for bytes again */
    }
}

/* Waits for the sockets, at most so long. */
static void wait_for_lanes(run_t *run, uint64_t within_ns)
{
    struct epoll_event events[EVENTS_MAX];
    struct timespec timeout = {
        .tv_sec = (time_t)(within_ns / SECOND_NS),
        .tv_nsec = (long)(within_ns % SECOND_NS),
    };
    int count = epoll_pwait2(run->epoll, events, EVENTS_MAX, &timeout, NULL);
    for (int at = 0; at < count; at++) {
        lane_t *lane = &run->lanes[events[at].data.u32];
        if (events[at].events & EPOLLOUT) lane_writable(lane);
        if (events[at].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) lane_readable(lane);
    }
}

/* How long nothing is to be done, unless a socket wakes us. With spinning, the last part before a
 * call is due is waited for awake, and so is the first part of every other wait. */
static uint64_t idle_ns(const run_t *run, uint64_t busy_ns)
{
    const options_t *options = &run->plan->options;
    uint64_t now_ns = run_now_ns(run);
    uint64_t wait_ns = run->stalled_count > 0 ? SECOND_NS / 1000 : SLEEP_MAX_NS;
    if (options->closed_ns == 0 && run->next_arrival < run->plan->arrival_count) {
        uint64_t due_ns = run->plan->arrivals[run->next_arrival].due_ns;
        uint64_t left_ns = due_ns > now_ns ? due_ns - now_ns : 0;
        left_ns = left_ns > options->spin_ns ? left_ns - options->spin_ns : 0;
        if (left_ns < wait_ns) wait_ns = left_ns;
    }
    return now_ns - busy_ns < options->spin_ns ? 0 : wait_ns;
}

static void tell_progress(run_t *run)
{
    __atomic_store_n(&run->progress->issued, run->issued, __ATOMIC_RELAXED);
    __atomic_store_n(&run->progress->answered, run->answered, __ATOMIC_RELAXED);
    if (__atomic_load_n(&run->progress->stop, __ATOMIC_RELAXED) != 0) run->is_broken = true;
}

static void loop(run_t *run)
{
    const options_t *options = &run->plan->options;
    uint64_t over_ns = 0;
    uint64_t busy_ns = 0;
    run->start_ns = clock_ns();
    for (uint32_t number = 0; number < options->lanes; number++) feed_lane(&run->lanes[number]);
    while (!run->is_broken) {
        uint64_t before = run->answered + run->issued;
        if (options->closed_ns == 0) take_arrivals(run);
        if (options->closed_ns > 0 && run_now_ns(run) >= options->closed_ns) run->is_over = true;
        end_stalls(run);
        flush_dirty(run);
        if (run->answered + run->issued != before) busy_ns = run_now_ns(run);
        wait_for_lanes(run, idle_ns(run, busy_ns));
        flush_dirty(run);
        tell_progress(run);
        if (!run->is_over) continue;
        if (run->answered == run->issued) break;
        if (over_ns == 0) over_ns = run_now_ns(run);
        if (run_now_ns(run) - over_ns > options->drain_ns) {
            keep_fault(run, "calls without an answer at the end", NULL, 0);
            break;
        }
    }
    run->outline->elapsed_ns = run_now_ns(run);
    run->outline->issued = run->issued;
}

/* ------------------------------------------------------------------ begin and end --------- */

static bool find_address(run_t *run)
{
    const options_t *options = &run->plan->options;
    if (options->port == 0) {
        struct sockaddr_un *place = (struct sockaddr_un *)&run->address;
        place->sun_family = AF_UNIX;
        if (strlen(options->host) >= sizeof place->sun_path) return false;
        snprintf(place->sun_path, sizeof place->sun_path, "%s", options->host);
        run->address_size = sizeof *place;
        snprintf(run->authority, sizeof run->authority, "localhost");
        return true;
    }
    char port[16];
    snprintf(port, sizeof port, "%u", options->port);
    struct addrinfo wanted = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(options->host, port, &wanted, &found) != 0) return false;
    memcpy(&run->address, found->ai_addr, found->ai_addrlen);
    run->address_size = found->ai_addrlen;
    freeaddrinfo(found);
    const char *name = options->server_name ? options->server_name : options->host;
    snprintf(run->authority, sizeof run->authority, "%s:%u", name, options->port);
    return true;
}

static bool open_lanes(run_t *run)
{
    uint32_t count = run->plan->options.lanes;
    uint64_t give_up_ns = clock_ns() + CONNECT_WITHIN_NS;
    run->is_warming = true;
    for (uint32_t number = 0; number < count; number++) {
        if (!lane_open(&run->lanes[number])) return false;
    }
    for (uint32_t ready = 0; ready < count && !run->is_broken;) {
        flush_dirty(run);
        wait_for_lanes(run, SECOND_NS / 100);
        ready = 0;
        for (uint32_t at = 0; at < count; at++) ready += run->lanes[at].state == LANE_READY;
        if (clock_ns() > give_up_ns) return false;
    }
    flush_dirty(run);
    run->is_warming = false;
    return !run->is_broken;
}

static bool make_run(run_t *run)
{
    const plan_t *plan = run->plan;
    uint32_t lanes = plan->options.lanes;
    run->epoll = epoll_create1(EPOLL_CLOEXEC);
    run->lanes = calloc(lanes, sizeof *run->lanes);
    run->dirty = calloc(lanes, sizeof *run->dirty);
    run->read_bytes = malloc(READ_BYTES);
    run->next_waiting = calloc(plan->arrival_count + 1, sizeof *run->next_waiting);
    if (run->epoll < 0 || !run->lanes || !run->dirty || !run->read_bytes || !run->next_waiting)
        return false;
    if (!reserve(&run->masked, ANSWER_BYTES_MAX)) return false;
    return lanes_prepare(run);
}

static void free_run(run_t *run)
{
    for (uint32_t at = 0; run->lanes != NULL && at < run->plan->options.lanes; at++)
        lane_free(&run->lanes[at]);
    if (run->callbacks != NULL) nghttp2_session_callbacks_del(run->callbacks);
    if (run->http_options != NULL) nghttp2_option_del(run->http_options);
    if (run->tls != NULL) SSL_CTX_free(run->tls);
    if (run->epoll >= 0) close(run->epoll);
    free(run->lanes);
    free(run->dirty);
    free(run->read_bytes);
    free(run->next_waiting);
    free(run->masked.bytes);
}

bool generator_run(const plan_t *plan, progress_t *progress, outline_t *outline)
{
    run_t run = {.plan = plan, .progress = progress, .outline = outline, .epoll = -1};
    bool is_begun = false;
    if (!find_address(&run))
        keep_fault(&run, "there is no such address", NULL, 0);
    else if (!make_run(&run))
        keep_fault(&run, "no memory, or no descriptors, for so many lanes", NULL, 0);
    else if (!open_lanes(&run))
        keep_fault(&run, "can not connect", NULL, 0);
    else
        is_begun = true;
    if (is_begun) {
        int slack_ns = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
        prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
        loop(&run);
        prctl(PR_SET_TIMERSLACK, (unsigned long)(slack_ns > 0 ? slack_ns : 0), 0, 0, 0);
    }
    free_run(&run);
    return is_begun;
}
