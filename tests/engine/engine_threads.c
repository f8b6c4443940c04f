/* Runs prepared requests through the engine from several threads, for the thread sanitizer. The
 * decision is a stand-in: each sale of a member earns one point. Swaps and stops go on meanwhile.
 *
 *   engine_threads DATA CATALOGUE MEMBERS PROGRAM OTHER_PROGRAM REQUESTS THREADS
 *
 * Paths of snapshots end in -<32 hex>.lmdb. REQUESTS holds method, size (u32 each) and bytes, again
 * and again; thread i runs every THREADS-th from i on. Prints how many calls had which status. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "../support/one_point.h"

#define THREADS_MAX 32
#define REQUESTS_MAX 100000
#define SWAPS 60

typedef struct request {
    uint32_t method;
    uint32_t size;
    const uint8_t *bytes;
} request_t;

static engine_t *engine;
static request_t requests[REQUESTS_MAX];
static uint32_t request_count;
static uint32_t thread_count;
static atomic_uint answers[128];

static void read_requests(const char *path)
{
    FILE *file = fopen(path, "rb");
    INVARIANT(file != NULL);
    uint32_t head[2];
    while (fread(head, sizeof head, 1, file) == 1) {
        INVARIANT(request_count < REQUESTS_MAX);
        uint8_t *bytes = malloc(head[1] + 1);
        INVARIANT(bytes != NULL);
        INVARIANT(fread(bytes, 1, head[1], file) == head[1]);
        requests[request_count++] = (request_t){head[0], head[1], bytes};
    }
    fclose(file);
}

static void *run_calls(void *argument)
{
    uint32_t first = (uint32_t)(uintptr_t)argument;
    reply_t reply = {.at = malloc(REPLY_BYTES_MAX), .capacity = REPLY_BYTES_MAX};
    INVARIANT(reply.at != NULL);
    for (uint32_t i = first; i < request_count; i += thread_count) {
        fault_t fault;
        const request_t *request = &requests[i];
        status_t status = engine_call(engine, request->method, request->bytes, request->size,
                                      &reply, &fault);
        atomic_fetch_add(&answers[status], 1);
    }
    free(reply.at);
    return NULL;
}

int main(int count, char **arguments)
{
    INVARIANT(count == 8);
    engine_options_t options = {.data_directory = arguments[1],
                                .session_count = 6,
                                .checkpoint_pause_ms = 1,
                                .decide = decide_one_point,
                                .scratch_bytes = 64};
    for (uint8_t i = 0; i < 16; i++) ((uint8_t *)options.identity_key)[i] = i;
    fault_t fault;
    INVARIANT(engine_open(&options, &engine, &fault) == STATUS_OK);
    activate_paths(engine, arguments[3], arguments[2], arguments[4]);
    read_requests(arguments[6]);
    thread_count = (uint32_t)atoi(arguments[7]);
    INVARIANT(thread_count <= THREADS_MAX);
    pthread_t threads[THREADS_MAX];
    for (uintptr_t i = 0; i < thread_count; i++) {
        INVARIANT(pthread_create(&threads[i], NULL, run_calls, (void *)i) == 0);
    }
    for (int i = 0; i < SWAPS; i++) {
        activate_paths(engine, NULL, NULL, arguments[i % 2 == 0 ? 5 : 4]);
        if (i % 20 == 10) INVARIANT(engine_checkpoint(engine) == STATUS_OK);
        ledger_metrics_t metrics;
        INVARIANT(engine_measure(engine, &metrics));
    }
    for (uint32_t i = 0; i < thread_count; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 128; i++) {
        if (answers[i] > 0) printf("%d %u\n", i, answers[i]);
    }
    engine_close(engine);
    for (uint32_t i = 0; i < request_count; i++) free((void *)requests[i].bytes);
    return 0;
}
