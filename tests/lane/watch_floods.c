/* Sends frames of one kind into the watch of a connection, all within one second, and prints how
 * many it lets pass; then as many in the next second, which pass as well. */
#include <stdio.h>
#include <string.h>

#include "checklane/invariant.h"
#include "checklane/lane_internal.h"

#define SECOND_NS 1000000000
#define FRAMES_MAX 10000000

typedef struct kind {
    const char *name;
    uint8_t type;
    uint8_t payload;
    lane_end_t end;
} kind_t;

static const kind_t kinds[] = {
    {"settings", 4, 6, LANE_END_SETTINGS},      {"pings", 6, 8, LANE_END_PINGS},
    {"resets", 3, 4, LANE_END_RESETS},          {"empty data", 0, 0, LANE_END_EMPTY_FRAMES},
    {"priorities", 2, 5, LANE_END_EMPTY_FRAMES}, {"window updates", 8, 4, LANE_END_WINDOW_UPDATES},
};

/* How many pass at one time, `most` at most. */
static uint32_t pass(lane_watch_t *watch, const kind_t *kind, int64_t now_ns, uint32_t most)
{
    uint8_t frame[9 + 8] = {0, 0, kind->payload, kind->type, 0, 0, 0, 0, 1};
    for (uint32_t count = 0; count < most; count++) {
        lane_end_t end = LANE_ENDS;
        if (lane_watch_see(watch, frame, 9u + kind->payload, now_ns, &end)) continue;
        INVARIANT(end == kind->end);
        return count;
    }
    return most;
}

int main(void)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        lane_watch_t watch;
        memset(&watch, 0, sizeof watch);
        uint32_t count = pass(&watch, &kinds[i], 5 * (int64_t)SECOND_NS, FRAMES_MAX);
        memset(&watch, 0, sizeof watch);
        INVARIANT(pass(&watch, &kinds[i], 5 * (int64_t)SECOND_NS, count) == count);
        INVARIANT(pass(&watch, &kinds[i], 6 * (int64_t)SECOND_NS, count) == count);
        printf("%s: %u\n", kinds[i].name, count);
    }
    return 0;
}
