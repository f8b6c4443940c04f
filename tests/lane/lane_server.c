/* Serves lanes from C alone, for the sanitizers, until its standard input ends; then drains.
 *
 *   lane_server DATA CATALOGUE MEMBERS PROGRAM SOCKET */
#include "lane_harness.h"

int main(int count, char **arguments)
{
    char byte;
    INVARIANT(count == 6);
    engine_t *engine = harness_engine(arguments[1], 16, arguments[2], arguments[3], arguments[4]);
    int listener = harness_listen(arguments[5]);
    lane_t *lane = harness_lane(engine, listener, 2, 3);
    puts("serving");
    fflush(stdout);
    while (read(0, &byte, 1) > 0) {
        lane_metrics_t metrics;
        lane_measure(lane, &metrics);
        lane_set_serving(lane, byte != 'n');
        INVARIANT(engine_checkpoint(engine) == STATUS_OK);
    }
    lane_drain(lane, 2000);
    lane_metrics_t metrics;
    lane_measure(lane, &metrics);
    INVARIANT(metrics.calls == 0);
    INVARIANT(metrics.streams == 0);
    printf("accepted %llu\n", (unsigned long long)metrics.accepted);
    lane_close(lane);
    close(listener);
    engine_close(engine);
    return 0;
}
