/* Walks over the frames of a connection before the library reads them. The library is right about
 * HTTP/2, but what it minds differs by its version; so what floods is counted here, by frame type
 * and second, and a header block is measured while it comes. A frame costs a few nanoseconds. */
#include <string.h>

#include "lane_internal.h"

/* Frame types and flags of RFC 9113. */
#define FRAME_DATA 0
#define FRAME_HEADERS 1
#define FRAME_PRIORITY 2
#define FRAME_RST_STREAM 3
#define FRAME_SETTINGS 4
#define FRAME_PING 6
#define FRAME_WINDOW_UPDATE 8
#define FRAME_CONTINUATION 9
#define FLAG_END_STREAM 1
#define FLAG_END_HEADERS 4

#define SECOND_NS 1000000000

static void begin_second(lane_watch_t *watch, int64_t now_ns)
{
    int64_t second = now_ns / SECOND_NS;
    if (second == watch->second) return;
    watch->second = second;
    watch->settings = 0;
    watch->pings = 0;
    watch->resets = 0;
    watch->empty_frames = 0;
    watch->window_updates = 0;
}

static bool count(uint32_t *figure, uint32_t most, lane_end_t reason, lane_end_t *end)
{
    *figure += 1;
    if (*figure <= most) return true;
    *end = reason;
    return false;
}

static bool see_block(lane_watch_t *watch, uint32_t size, uint8_t flags, lane_end_t *end)
{
    watch->is_in_headers = (flags & FLAG_END_HEADERS) == 0;
    watch->block_bytes += size;
    if (watch->block_bytes <= LANE_HEADER_BYTES_MAX) return true;
    *end = LANE_END_HEADER_BYTES;
    return false;
}

static bool see_frame(lane_watch_t *watch, lane_end_t *end)
{
    const uint8_t *head = watch->head;
    uint32_t size = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
    uint8_t flags = head[4];
    watch->payload_left = size;
    switch (head[3]) {
    case FRAME_HEADERS:
        watch->block_bytes = 0;
        watch->continuations = 0;
        return see_block(watch, size, flags, end);
    case FRAME_CONTINUATION:
        if (!count(&watch->continuations, LANE_CONTINUATIONS_MAX, LANE_END_CONTINUATIONS, end)) {
            return false;
        }
        return see_block(watch, size, flags, end);
    case FRAME_SETTINGS:
        return count(&watch->settings, LANE_SETTINGS_A_SECOND_MAX, LANE_END_SETTINGS, end);
    case FRAME_PING:
        return count(&watch->pings, LANE_PINGS_A_SECOND_MAX, LANE_END_PINGS, end);
    case FRAME_RST_STREAM:
        return count(&watch->resets, LANE_RESETS_A_SECOND_MAX, LANE_END_RESETS, end);
    case FRAME_WINDOW_UPDATE:
        return count(&watch->window_updates, LANE_WINDOW_UPDATES_A_SECOND_MAX,
                     LANE_END_WINDOW_UPDATES, end);
    case FRAME_DATA:
        if (size > 0 || (flags & FLAG_END_STREAM) != 0) return true;
        break;
    default: /* PRIORITY, and types that nobody knows: they carry nothing for us */
        break;
    }
    return count(&watch->empty_frames, LANE_EMPTY_FRAMES_A_SECOND_MAX, LANE_END_EMPTY_FRAMES, end);
}

bool lane_watch_see(lane_watch_t *watch, const uint8_t *bytes, size_t size, int64_t now_ns,
                    lane_end_t *end)
{
    begin_second(watch, now_ns);
    while (size > 0) {
        uint32_t *skipped = &watch->payload_left;
        uint32_t greeting = watch->greeting_left;
        if (greeting > 0) skipped = &greeting;
        if (*skipped > 0) {
            size_t step = size < *skipped ? size : *skipped;
            *skipped -= (uint32_t)step;
            if (watch->greeting_left > 0) watch->greeting_left = (uint8_t)greeting;
            bytes += step;
            size -= step;
            continue;
        }
        size_t missing = sizeof watch->head - watch->head_bytes;
        size_t step = size < missing ? size : missing;
        memcpy(watch->head + watch->head_bytes, bytes, step);
        watch->head_bytes = (uint8_t)(watch->head_bytes + step);
        bytes += step;
        size -= step;
        if (watch->head_bytes < sizeof watch->head) return true;
        watch->head_bytes = 0;
        if (!see_frame(watch, end)) return false;
    }
    return true;
}
