/* Bytes of a lane, as they come from the network: a connection of the lane port with an engine
 * behind it. Each input is one connection: written, its sending side shut, and read to its end. */
#include <stdlib.h>

#include "../lane/lane_harness.h"
#include "target.h"

uint64_t accepted_count;

static char socket_path[PATH_BYTES_MAX];
static lane_t *lane;
static engine_t *engine;

static const char *needed(const char *name)
{
    const char *value = getenv(name);
    INVARIANT(value != NULL);
    return value;
}

/* Leaves by exit, so that the engine has no threads when the sanitizer looks for leaks. */
static void close_all(void)
{
    lane_close(lane);
    engine_close(engine);
}

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
    (void)count;
    (void)arguments;
    const char *data = needed("CHECKLANE_DATA");
    snprintf(socket_path, sizeof socket_path, "%s/lane.sock", data);
    engine = harness_engine(data, 5, needed("CHECKLANE_CATALOGUE"), needed("CHECKLANE_MEMBERS"),
                            needed("CHECKLANE_PROGRAM"));
    lane = harness_lane(engine, harness_listen(socket_path), 1, 3);
    atexit(close_all);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sockaddr_un address = harness_address(socket_path);
    uint8_t answer[4096];
    size_t answered = 0;
    if (size > REQUEST_BYTES_TRIED_MAX) return 0;
    int peer = socket(AF_UNIX, SOCK_STREAM, 0);
    INVARIANT(peer >= 0);
    INVARIANT(connect(peer, (struct sockaddr *)&address, sizeof address) == 0);
    /* The port may have ended the connection before all is written. */
    (void)send(peer, data, size, MSG_NOSIGNAL);
    shutdown(peer, SHUT_WR);
    for (ssize_t step; (step = recv(peer, answer, sizeof answer, 0)) > 0;) {
        answered += (size_t)step;
    }
    close(peer);
    /* More than the greeting's settings and a word of farewell. */
    if (answered > 128) accepted_count++;
    return 0;
}
