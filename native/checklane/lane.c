/* The life of the port: acceptor, lane threads, drain.
 *
 * Who owns what. A connection, its calls and buffers belong to one lane thread from the moment it
 * takes the connection out of its inbox until it closes it; no other thread ever looks at them, so
 * there are no locks. Three things cross threads, each by one publication:
 *
 *   acceptor -> lane thread   a new connection, pushed on `inbox` (release), taken with the whole
 *                             stack by an exchange (acquire).
 *   writer -> lane thread     a finished change, pushed on `done` the same way. Between
 *                             session_call and that push the change, its session, reply and fault
 *                             belong to the writer. It names its connection by index and
 *                             generation and its stream by id, never by pointer: the thread looks
 *                             whether they are still there, and the answer of a call that was
 *                             cancelled goes nowhere.
 *   anybody -> lane thread    wishes (serving, draining, stopped) are atomics of lane_t.
 *
 * Whoever publishes then rings. The bell is an eventfd behind a flag: the thread lowers the flag
 * before it looks, the ringer raises it after the publication and writes only when it was down;
 * all sequentially consistent, so a publication is either seen by this look or brings about the
 * next, and the many answers of one group cost one system call.
 *
 * No lane thread waits for a disk, a lock that is held over one, or another lane thread. It waits
 * in epoll_wait, where it pins nothing of the engine: what quotes of one round leave at hand for
 * each other is let go of before (session_rest). */
#include "lane.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "engine_internal.h"
#include "invariant.h"
#include "lane_internal.h"

#define EVENTS_MAX 256
#define SWEEP_MS 250
#define SWEEP_NS ((int64_t)SWEEP_MS * 1000000)
/* How long answers of one round are gathered before they are sent: some ten quotes. */
#define GATHER_NS 100000
/* The number that epoll tells for the bell; a connection's has a generation of at least 1. */
#define BELL_EVENT UINT32_MAX
/* While the process has no descriptors left, the acceptor waits so long before it tries again. */
#define ACCEPT_PAUSE_MS 50

int64_t lane_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void ring(int bell)
{
    const uint64_t one = 1;
    ssize_t written = write(bell, &one, sizeof one);
    INVARIANT(written == sizeof one || errno == EAGAIN);
}

void lane_ring(lane_thread_t *thread)
{
    if (!atomic_exchange(&thread->is_rung, true)) ring(thread->bell);
}

/* ------------------------------------------------------------------ lane threads ---- */

static void take_connections(lane_thread_t *thread)
{
    lane_connection_t *connection = atomic_exchange(&thread->inbox, NULL);
    while (connection != NULL) {
        lane_connection_t *next = connection->next;
        lane_connection_begin(thread, connection);
        connection = next;
    }
}

/* Answers changes in the order in which the writer let them go. */
static void take_changes(lane_thread_t *thread)
{
    lane_change_t *newest = atomic_exchange(&thread->done, NULL);
    lane_change_t *oldest = NULL;
    while (newest != NULL) {
        lane_change_t *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        lane_change_t *next = oldest->next;
        lane_change_finish(oldest);
        oldest = next;
    }
    lane_call_unpark(thread);
}

/* Runs a function over all connections; it may close the one that it is given. */
static void each_connection(lane_thread_t *thread, void (*run)(lane_connection_t *))
{
    for (uint32_t i = 0; i < thread->lane->options.connections_max; i++) {
        if (thread->connections[i] != NULL) run(thread->connections[i]);
    }
}

static void tell_watchers(lane_connection_t *connection)
{
    for (lane_call_t *call = connection->calls; call != NULL; call = call->next) {
        lane_health_tell(call);
    }
    lane_connection_flush(connection);
}

static void leave(lane_connection_t *connection)
{
    lane_connection_leave(connection);
    lane_connection_flush(connection);
}

static void take_wishes(lane_thread_t *thread)
{
    lane_t *lane = thread->lane;
    bool is_serving = atomic_load(&lane->is_serving);
    if (is_serving != thread->was_serving) {
        thread->was_serving = is_serving;
        each_connection(thread, tell_watchers);
    }
    if (atomic_load(&lane->is_draining) && !thread->is_draining) {
        thread->is_draining = true;
        each_connection(thread, leave);
    }
    if (atomic_load(&lane->is_cut)) each_connection(thread, lane_connection_sweep);
}

static void answer_bell(lane_thread_t *thread)
{
    uint64_t rings;
    ssize_t size = read(thread->bell, &rings, sizeof rings);
    INVARIANT(size == sizeof rings || errno == EAGAIN);
    atomic_store(&thread->is_rung, false);
    take_changes(thread);
    take_connections(thread);
    take_wishes(thread);
}

/* The connection of an event; NULL: it is the bell's, or an earlier event of this round has closed
 * the connection. */
static lane_connection_t *connection_of(const lane_thread_t *thread,
                                        const struct epoll_event *event)
{
    uint32_t index = (uint32_t)event->data.u64;
    uint32_t generation = (uint32_t)(event->data.u64 >> 32);
    if (index == BELL_EVENT || thread->generations[index] != generation) return NULL;
    return thread->connections[index];
}

static void step(lane_thread_t *thread, const struct epoll_event *event)
{
    if ((uint32_t)event->data.u64 == BELL_EVENT) {
        answer_bell(thread);
        return;
    }
    lane_connection_t *connection = connection_of(thread, event);
    if (connection == NULL) return;
    lane_connection_step(connection, event->events);
    /* Only who stays waits for the others: nothing of the round finds a connection that is over. */
    if (connection->is_ended) lane_connection_flush(connection);
}

/* Reads what came and decides it, and sends the answers of several connections together: then the
 * kernel's code, the library's and the engine's follow each other less often through the same
 * cache, and a peer that serves many connections is woken once for all of them. An answer waits
 * for the others no longer than GATHER_NS and the step in which they pass. */
static void take_events(lane_thread_t *thread, const struct epoll_event *events, int count)
{
    int sent = 0;
    int64_t since_ns = thread->clock_ns;
    for (int i = 0; i < count; i++) {
        step(thread, &events[i]);
        if (i + 1 < count && thread->clock_ns - since_ns < GATHER_NS) continue;
        for (; sent <= i; sent++) {
            lane_connection_t *connection = connection_of(thread, &events[sent]);
            if (connection != NULL) lane_connection_flush(connection);
        }
        since_ns = thread->clock_ns;
    }
}

static bool is_finished(const lane_thread_t *thread)
{
    return atomic_load(&thread->lane->is_stopped)
           && thread->free_change_count == thread->lane->options.change_count
           && atomic_load(&thread->connection_count) == 0;
}

static void *thread_main(void *argument)
{
    lane_thread_t *thread = argument;
    struct epoll_event events[EVENTS_MAX];
    while (!is_finished(thread)) {
        int wait_ms = atomic_load(&thread->connection_count) > 0 ? SWEEP_MS : -1;
        session_rest(thread->session);
        int64_t asked_ns = lane_now_ns();
        int count = epoll_wait(thread->epoll, events, EVENTS_MAX, wait_ms);
        INVARIANT(count >= 0 || errno == EINTR);
        thread->now_ns = lane_now_ns();
        lane_ladder_begin(thread, asked_ns);
        take_events(thread, events, count);
        if (thread->now_ns - thread->swept_ns >= SWEEP_NS) {
            thread->swept_ns = thread->now_ns;
            each_connection(thread, lane_connection_sweep);
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ the acceptor ---- */

static lane_thread_t *least_loaded(lane_t *lane)
{
    lane_thread_t *found = &lane->threads[0];
    for (uint32_t i = 1; i < lane->options.thread_count; i++) {
        lane_thread_t *thread = &lane->threads[i];
        if (atomic_load(&thread->connection_count) < atomic_load(&found->connection_count)) {
            found = thread;
        }
    }
    return found;
}

static uint32_t count_connections(const lane_t *lane)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < lane->options.thread_count; i++) {
        count += atomic_load(&lane->threads[i].connection_count);
    }
    return count;
}

static void hand_over(lane_t *lane, int socket, bool is_tls)
{
    const int on = 1;
    lane_connection_t *connection = NULL;
    lane_end_t end = LANE_END_CONNECTIONS;
    if (count_connections(lane) < lane->options.connections_max) {
        end = LANE_END_MEMORY;
        connection = calloc(1, sizeof *connection);
    }
    if (connection == NULL) {
        close(socket);
        lane_count(&lane->acceptor_metrics.ends[end], 1);
        return;
    }
    /* Answers are written whole, so there is nothing to wait for. Fails on sockets of the box. */
    (void)setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    lane_thread_t *thread = least_loaded(lane);
    connection->thread = thread;
    connection->socket = socket;
    connection->is_tls = is_tls;
    lane_count(&lane->acceptor_metrics.accepted, 1);
    atomic_fetch_add(&thread->connection_count, 1);
    lane_connection_t *top = atomic_load_explicit(&thread->inbox, memory_order_relaxed);
    do connection->next = top;
    while (!atomic_compare_exchange_weak_explicit(&thread->inbox, &top, connection,
                                                  memory_order_release, memory_order_relaxed));
    lane_ring(thread);
}

/* Accepts what waits at one socket. False: the process has no descriptors left. */
static bool accept_waiting(lane_t *lane, const lane_listener_t *listener)
{
    for (int i = 0; i < 64; i++) {
        int socket = accept4(listener->socket, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (socket >= 0) {
            hand_over(lane, socket, listener->is_tls);
            continue;
        }
        return errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM;
    }
    return true;
}

static void *acceptor_main(void *argument)
{
    lane_t *lane = argument;
    uint32_t count = lane->options.listener_count;
    struct pollfd waits[LANE_LISTENERS_MAX + 1];
    waits[0] = (struct pollfd){.fd = lane->acceptor_bell, .events = POLLIN};
    for (uint32_t i = 0; i < count; i++) {
        waits[i + 1] = (struct pollfd){.fd = lane->listeners[i].socket, .events = POLLIN};
    }
    while (!atomic_load(&lane->is_closed)) {
        int ready = poll(waits, count + 1, -1);
        INVARIANT(ready >= 0 || errno == EINTR);
        for (uint32_t i = 0; ready > 0 && i < count; i++) {
            if (waits[i + 1].revents == 0) continue;
            if (accept_waiting(lane, &lane->listeners[i])) continue;
            lane_count(&lane->acceptor_metrics.ends[LANE_END_CONNECTIONS], 1);
            poll(waits, 1, ACCEPT_PAUSE_MS);
        }
    }
    return NULL;
}

/* ------------------------------------------------------------------ open ---- */

static bool make_change(lane_thread_t *thread, lane_change_t *change)
{
    change->thread = thread;
    change->session = engine_lend_session(thread->lane->options.engine);
    change->reply = (reply_t){.at = malloc(REPLY_BYTES_MAX), .capacity = REPLY_BYTES_MAX};
    if (change->session == NULL || change->reply.at == NULL) return false;
    change->next = thread->free_changes;
    thread->free_changes = change;
    thread->free_change_count++;
    return true;
}

static bool make_thread(lane_t *lane, lane_thread_t *thread)
{
    const lane_options_t *options = &lane->options;
    uint32_t connections = options->connections_max;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = BELL_EVENT};
    thread->lane = lane;
    thread->epoll = epoll_create1(EPOLL_CLOEXEC);
    thread->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (thread->epoll < 0 || thread->bell < 0) return false;
    if (epoll_ctl(thread->epoll, EPOLL_CTL_ADD, thread->bell, &event) != 0) return false;
    thread->connections = calloc(connections, sizeof *thread->connections);
    thread->generations = calloc(connections, sizeof *thread->generations);
    thread->free_indices = calloc(connections, sizeof *thread->free_indices);
    thread->changes = calloc(options->change_count, sizeof *thread->changes);
    thread->metrics = calloc(1, sizeof *thread->metrics);
    thread->read_bytes = malloc(LANE_READ_BYTES);
    thread->reply = (reply_t){.at = malloc(REPLY_BYTES_MAX), .capacity = REPLY_BYTES_MAX};
    if (thread->connections == NULL || thread->generations == NULL || thread->changes == NULL
        || thread->free_indices == NULL || thread->metrics == NULL || thread->read_bytes == NULL
        || thread->reply.at == NULL) {
        return false;
    }
    for (uint32_t i = connections; i > 0; i--) thread->free_indices[thread->free_count++] = i - 1;
    thread->session = engine_lend_session(options->engine);
    if (thread->session == NULL) return false;
    for (uint32_t i = 0; i < options->change_count; i++) {
        if (!make_change(thread, &thread->changes[i])) return false;
    }
    return lane_buffer_reserve(&thread->write, LANE_WRITE_BYTES + 64 * 1024);
}

static bool copy_text(const char **text)
{
    if (*text == NULL) return true;
    *text = strdup(*text);
    return *text != NULL;
}

/* Copies what the options point to: nothing of it is the caller's any more. */
static bool copy_options(lane_t *lane, const lane_options_t *options)
{
    bool is_whole = true;
    lane->options = *options;
    memcpy(lane->listeners, options->listeners,
           options->listener_count * sizeof *options->listeners);
    for (uint32_t i = 0; i < options->method_count; i++) {
        lane->methods[i] = options->methods[i];
        lane->path_bytes[i] = (uint32_t)strlen(options->methods[i].path);
        is_whole &= copy_text(&lane->methods[i].path);
        is_whole &= copy_text(&lane->methods[i].words);
        is_whole &= copy_text(&lane->methods[i].field_name);
    }
    for (uint32_t i = 0; i < LANE_STATUSES; i++) {
        lane->words[i] = options->words[i];
        is_whole &= copy_text(&lane->words[i].what);
    }
    lane->tls_certificate = options->tls_certificate;
    lane->tls_key = options->tls_key;
    lane->tls_client_ca = options->tls_client_ca;
    is_whole &= copy_text(&lane->tls_certificate);
    is_whole &= copy_text(&lane->tls_key);
    is_whole &= copy_text(&lane->tls_client_ca);
    lane->services = calloc(options->service_count + 1, sizeof *lane->services);
    if (lane->services == NULL) return false;
    for (uint32_t i = 0; i < options->service_count; i++) {
        lane->services[i] = strdup(options->services[i]);
        is_whole &= lane->services[i] != NULL;
    }
    return is_whole;
}

static bool start_threads(lane_t *lane)
{
    sigset_t all;
    sigset_t before;
    bool is_started = true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (uint32_t i = 0; i < lane->options.thread_count && is_started; i++) {
        lane_thread_t *thread = &lane->threads[i];
        thread->is_started = pthread_create(&thread->thread, NULL, thread_main, thread) == 0;
        is_started = thread->is_started;
    }
    if (is_started) {
        lane->has_acceptor = pthread_create(&lane->acceptor, NULL, acceptor_main, lane) == 0;
        is_started = lane->has_acceptor;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_started;
}

status_t lane_reload_certificates(lane_t *lane, fault_t *fault)
{
    return lane_tls_load(lane, fault);
}

static bool in_range(uint32_t value, uint32_t least, uint32_t most)
{
    return value >= least && value <= most;
}

static bool are_in_range(const lane_options_t *options)
{
    return in_range(options->listener_count, 1, LANE_LISTENERS_MAX)
           && in_range(options->method_count, 1, LANE_METHODS_MAX)
           && in_range(options->thread_count, 1, LANE_THREADS_MAX)
           && in_range(options->change_count, 1, LANE_CHANGES_MAX)
           && in_range(options->connections_max, 1, LANE_CONNECTIONS_MAX)
           && in_range(options->calls_max, 1, LANE_CALLS_MAX)
           && in_range(options->stream_window, 1, LANE_STREAM_OPEN_MAX);
}

status_t lane_open(const lane_options_t *options, lane_t **out, fault_t *fault)
{
    *out = NULL;
    if (!are_in_range(options)) return fault_at(fault, STATUS_FIELD_OUT_OF_RANGE, "lane options");
    lane_t *lane = calloc(1, sizeof *lane);
    if (lane == NULL) return fault_at(fault, STATUS_OUT_OF_MEMORY, "lane");
    for (uint32_t i = 0; i < LANE_THREADS_MAX; i++) {
        lane->threads[i].epoll = -1;
        lane->threads[i].bell = -1;
    }
    lane->acceptor_bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&lane->tls_mutex, NULL);
    bool is_made = copy_options(lane, options) && lane->acceptor_bell >= 0 && lane_http_make(lane);
    status_t status = is_made ? lane_tls_load(lane, fault) : STATUS_OUT_OF_MEMORY;
    if (status == STATUS_FIELD_OUT_OF_RANGE) {
        lane_close(lane);
        return status;
    }
    for (uint32_t i = 0; i < options->thread_count && is_made; i++) {
        is_made = make_thread(lane, &lane->threads[i]);
    }
    if (!is_made || !start_threads(lane)) {
        lane_close(lane);
        return fault_at(fault, STATUS_OUT_OF_MEMORY, "lane");
    }
    *out = lane;
    return STATUS_OK;
}

/* ------------------------------------------------------------------ drain and close ---- */

static void ring_all(lane_t *lane)
{
    for (uint32_t i = 0; i < lane->options.thread_count; i++) {
        if (lane->threads[i].is_started) lane_ring(&lane->threads[i]);
    }
}

void lane_set_serving(lane_t *lane, bool is_serving)
{
    atomic_store(&lane->is_serving, is_serving);
    ring_all(lane);
}

static void stop_accepting(lane_t *lane)
{
    atomic_store(&lane->is_closed, true);
    if (!lane->has_acceptor) return;
    ring(lane->acceptor_bell);
    pthread_join(lane->acceptor, NULL);
    lane->has_acceptor = false;
}

void lane_drain(lane_t *lane, uint32_t grace_ms)
{
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = 2000000};
    stop_accepting(lane);
    atomic_store(&lane->is_draining, true);
    ring_all(lane);
    int64_t end_ns = lane_now_ns() + (int64_t)grace_ms * 1000000;
    while (count_connections(lane) > 0) {
        if (lane_now_ns() >= end_ns && !atomic_exchange(&lane->is_cut, true)) ring_all(lane);
        nanosleep(&pause, NULL);
    }
}

static void free_thread(lane_thread_t *thread)
{
    if (thread->lane == NULL) return;
    for (uint32_t i = 0; thread->changes != NULL && i < thread->lane->options.change_count; i++) {
        lane_change_t *change = &thread->changes[i];
        if (change->session != NULL) engine_return_session(change->session);
        lane_buffer_free(&change->in);
        free(change->reply.at);
    }
    if (thread->session != NULL) engine_return_session(thread->session);
    lane_call_free_all(thread);
    lane_buffer_free(&thread->write);
    lane_buffer_free(&thread->packed);
    free(thread->changes);
    free(thread->connections);
    free(thread->generations);
    free(thread->free_indices);
    free(thread->metrics);
    free(thread->read_bytes);
    free(thread->reply.at);
    if (thread->epoll >= 0) close(thread->epoll);
    if (thread->bell >= 0) close(thread->bell);
}

static void free_options(lane_t *lane)
{
    for (uint32_t i = 0; i < lane->options.method_count; i++) {
        free((char *)lane->methods[i].path);
        free((char *)lane->methods[i].words);
        free((char *)lane->methods[i].field_name);
    }
    for (uint32_t i = 0; i < LANE_STATUSES; i++) free((char *)lane->words[i].what);
    for (uint32_t i = 0; lane->services != NULL && i < lane->options.service_count; i++) {
        free(lane->services[i]);
    }
    free(lane->services);
    free((char *)lane->tls_certificate);
    free((char *)lane->tls_key);
    free((char *)lane->tls_client_ca);
}

void lane_close(lane_t *lane)
{
    if (lane == NULL) return;
    lane_drain(lane, 0);
    atomic_store(&lane->is_stopped, true);
    ring_all(lane);
    for (uint32_t i = 0; i < lane->options.thread_count; i++) {
        if (lane->threads[i].is_started) pthread_join(lane->threads[i].thread, NULL);
    }
    for (uint32_t i = 0; i < lane->options.thread_count; i++) free_thread(&lane->threads[i]);
    free_options(lane);
    lane_tls_free(lane);
    pthread_mutex_destroy(&lane->tls_mutex);
    nghttp2_session_callbacks_del(lane->callbacks);
    nghttp2_option_del(lane->http_options);
    if (lane->acceptor_bell >= 0) close(lane->acceptor_bell);
    free(lane);
}

/* ------------------------------------------------------------------ figures ---- */

/* All figures are words of 64 bits; each is written by one thread only. */
static void add_metrics(lane_metrics_t *sum, const lane_metrics_t *more)
{
    const uint64_t *from = (const uint64_t *)more;
    uint64_t *to = (uint64_t *)sum;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++) {
        to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    }
}

void lane_measure(const lane_t *lane, lane_metrics_t *metrics)
{
    memset(metrics, 0, sizeof *metrics);
    add_metrics(metrics, &lane->acceptor_metrics);
    for (uint32_t i = 0; i < lane->options.thread_count; i++) {
        add_metrics(metrics, lane->threads[i].metrics);
    }
}
