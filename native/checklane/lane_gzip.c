/* Messages that are compressed by gzip. Their memory is taken for the message and given back: few
 * lanes compress, and a request that is small, as nearly all are, gains nothing by it. */
#define ZLIB_CONST
#include <string.h>
#include <zlib.h>

#include "lane_internal.h"

/* Windows of 32 KiB in the gzip wrapping, as zlib numbers them. */
#define GZIP_WINDOW_BITS (15 + 16)
#define STEP_BYTES 4096

status_t lane_gunzip(bytes_t packed, uint32_t bytes_max, lane_buffer_t *out)
{
    z_stream stream;
    int result = Z_OK;
    memset(&stream, 0, sizeof stream);
    out->size = 0;
    if (inflateInit2(&stream, GZIP_WINDOW_BITS) != Z_OK) return STATUS_OUT_OF_MEMORY;
    stream.next_in = packed.at;
    stream.avail_in = packed.size;
    status_t status = STATUS_OK;
    while (status == STATUS_OK && result == Z_OK) {
        if (out->size > bytes_max) {
            status = STATUS_REQUEST_TOO_LARGE;
        } else if (!lane_buffer_reserve(out, STEP_BYTES)) {
            status = STATUS_OUT_OF_MEMORY;
        } else {
            stream.next_out = out->at + out->size;
            stream.avail_out = STEP_BYTES;
            result = inflate(&stream, Z_NO_FLUSH);
            out->size += STEP_BYTES - stream.avail_out;
        }
    }
    bool is_whole = result == Z_STREAM_END && stream.avail_in == 0;
    inflateEnd(&stream);
    if (status != STATUS_OK) return status;
    if (!is_whole) return STATUS_REQUEST_MALFORMED;
    return out->size > bytes_max ? STATUS_REQUEST_TOO_LARGE : STATUS_OK;
}

bool lane_gzip(bytes_t plain, lane_buffer_t *out)
{
    z_stream stream;
    memset(&stream, 0, sizeof stream);
    out->size = 0;
    if (deflateInit2(&stream, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW_BITS, 8,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        return false;
    }
    uint32_t bound = (uint32_t)deflateBound(&stream, plain.size);
    bool is_packed = lane_buffer_reserve(out, bound);
    if (is_packed) {
        stream.next_in = plain.at;
        stream.avail_in = plain.size;
        stream.next_out = out->at;
        stream.avail_out = bound;
        is_packed = deflate(&stream, Z_FINISH) == Z_STREAM_END;
        out->size = bound - stream.avail_out;
    }
    deflateEnd(&stream);
    return is_packed;
}
