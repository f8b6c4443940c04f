/* The journal on disk.
 *
 *   DIRECTORY/00000001.seg, 00000002.seg ...   segments, each written with zeros and synced
 *                                              before its name appears
 *   DIRECTORY/NNNNNNNN.new                     a segment still being zeroed
 *
 *   segment: offset 0    segment_header_t, 128 bytes
 *            offset 128  entries, one behind the other, each a multiple of 16 bytes
 *            then        zeros
 *   entry:   offset 0    entry_header_t, 112 bytes
 *            then        request, facts, movements, response, each padded with zeros to 16
 *
 * An entry is valid if and only if
 *   - its length is that of its header and padded sections, and ends inside the segment;
 *   - its CRC-32C over all its bytes (the field itself as zero), seeded by the salt, agrees;
 *   - its LSN is one more than that of the entry before;
 *   - its previous_crc is the checksum of the entry before.
 * The log goes on in segment n + 1 when that segment's header is valid and states the LSN and the
 * checksum that come next; otherwise the first invalid entry ends it.
 *
 * A group is one write at the end of the log and one sync. Every entry states the last LSN that
 * was on the disk when it was written. So a valid entry behind the end of the log tells two cases
 * apart: one that states a durable LSN before the broken place was torn off by a crash and never
 * answered; one that states a durable LSN at or after it proves that an answered entry is gone.
 *
 * Who owns what. The writer owns the open group, the end of the log and the chain. It publishes
 * `durable_end` (release) after the sync, and readers take it (acquire) before they look at any
 * byte, so they never see bytes that are not durable. The helper owns the segment that is being
 * prepared until it sets `ready_segment`; the writer takes it by setting that back to 0. The list
 * of segments is under a lock that is held for a few loads. At start the walk over the log owns
 * all of this; where it hands entries to another thread (pipe_t), a window of bytes is that
 * thread's from `filled` to `applied`, both under the pipe's lock, and the walk's before and
 * after. */
#include "journal.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "crc32c.h"
#include "invariant.h"

#define ENTRIES_BEGIN sizeof(segment_header_t)
#define ENTRY_ALIGN 16
#define WINDOW_AHEAD_BYTES (64 * 1024)
/* Read at once: enough that the call does not show, and still in the second-level cache when the
 * checksum and the replay come to it. */
#define FETCH_BYTES (256 * 1024)
#define ZERO_CHUNK_BYTES (128 * 1024)
/* Zeros that are passed over at once: behind the end of the log there are some 100 MiB. */
#define ZERO_STEP_BYTES 256
/* Of the next segment at a time, a quarter of a small one. A disk syncs this in about the time of a
 * group, so that a group that comes meanwhile waits for one more sync of its own size and not for a
 * large one. */
#define PREPARE_STEP_BYTES (128 * 1024)
/* A step that is late is so much larger: fewer syncs for the same bytes. */
#define LATE_STEP_TIMES 4
#define RETRY_NS 1000000000
#define POST_AHEAD_MS_MAX 3600000
/* Between the walk over the log and the thread that applies it: 4 windows of 1.1 MiB, each with so
 * many entries at most. Of 2 KiB entries a window of FETCH_BYTES holds 128. */
#define PIPE_WINDOWS 4
#define PIPE_ENTRIES_MAX 1024
/* Entries from the far look ahead to the near one, and from that to the entry itself. */
#define PIPE_AHEAD 4

typedef struct segment {
    uint64_t number;
    uint64_t first_lsn; /* 0: its header is not valid */
    uint64_t bytes;
    uint32_t previous_crc;
} segment_t;

struct journal {
    journal_options_t options;
    const machine_t *machine;
    char directory[PATH_BYTES_MAX];
    bool is_inspection;        /* opened by journal_inspect */
    segment_header_t identity; /* of the first segment with a valid header */
    uint64_t salt;
    uint64_t generation;
    int64_t boot_wall_ms;
    int64_t boot_monotonic_ns;
    /* The writer's. */
    int64_t file;
    uint64_t segment;
    uint64_t segment_bytes;
    uint64_t offset; /* end of the log; 0 when this segment's header goes out with the group */
    uint64_t last_lsn;
    uint64_t last_position;
    int64_t last_post_unix_ms;
    uint32_t last_crc;
    uint8_t *group;
    uint64_t group_bytes;
    uint64_t group_entries;
    /* Published. */
    _Atomic uint64_t durable_lsn;
    _Atomic uint64_t durable_end; /* position behind the last durable entry */
    _Atomic uint64_t writing_segment;
    _Atomic uint64_t ready_segment; /* prepared and not yet taken; 0 none */
    _Atomic int64_t failed_ns;      /* when preparing last failed; 0 never, or mended since */
    _Atomic int failed_status;
    _Atomic uint64_t zeroed_bytes;  /* of the segment being prepared */
    _Atomic bool is_segment_awaited; /* the writer found none ready */
    /* The helper's: the segment being prepared. */
    int64_t next_file; /* -1: not begun */
    uint64_t next_number;
    /* Under the lock. */
    pthread_mutex_t lock;
    segment_t *segments;
    size_t segment_count;
    size_t segment_room;
};

typedef struct pipe pipe_t;

struct journal_reader {
    journal_t *journal;
    pipe_t *pipe; /* what to do with a window before it is used again; else NULL */
    bool is_scan; /* start-up: looks at all bytes of a segment, not only at durable ones */
    int64_t file;
    uint64_t file_segment; /* 0: no file open */
    uint64_t file_bytes;
    uint8_t *window;
    uint64_t window_room;
    uint64_t window_offset;
    uint64_t window_bytes;
    /* Where journal_next goes on. */
    uint64_t next_segment;
    uint64_t next_offset;
    uint64_t next_lsn;
    uint32_t previous_crc;
    bool is_chained; /* previous_crc is known */
};

/* ---------------------------------------------------------------- bytes of an entry ------- */

static uint64_t padded(uint64_t bytes)
{
    return (bytes + ENTRY_ALIGN - 1) & ~(uint64_t)(ENTRY_ALIGN - 1);
}

static uint32_t entry_crc(uint64_t salt, const uint8_t *bytes, size_t length)
{
    static const uint8_t zeros[4] = {0};
    uint32_t crc = crc32c((uint32_t)(salt ^ salt >> 32), bytes, 4);
    crc = crc32c(crc, zeros, 4);
    return crc32c(crc, bytes + 8, length - 8);
}

static uint32_t segment_header_crc(const segment_header_t *header)
{
    segment_header_t copy = *header;
    copy.header_crc = 0;
    return crc32c(0, &copy, sizeof copy);
}

static uint64_t sections_bytes(uint64_t request, uint64_t facts, uint64_t movements,
                               uint64_t response)
{
    return sizeof(entry_header_t) + padded(request) + padded(facts)
           + padded(movements * sizeof(movement_t)) + padded(response);
}

uint64_t journal_entry_bytes(const entry_parts_t *parts)
{
    return sections_bytes(parts->request_bytes, parts->facts_bytes, parts->movement_count,
                          parts->response_bytes);
}

/* Length that an entry header states, when it may be believed before the checksum; else 0. */
static uint64_t stated_length(const entry_header_t *header, uint64_t room)
{
    uint64_t length = header->length;
    if (length < sizeof(entry_header_t)) return 0;
    if (length > room) return 0;
    uint64_t sum = sections_bytes(header->request_bytes, header->facts_bytes,
                                  header->movement_count, header->response_bytes);
    return sum == length ? length : 0;
}

/* Fills `entry` from validated bytes. */
static void entry_at(const uint8_t *bytes, uint64_t position, entry_t *entry)
{
    const entry_header_t *header = (const entry_header_t *)(const void *)bytes;
    entry->header = header;
    entry->request = bytes + sizeof *header;
    entry->facts = entry->request + padded(header->request_bytes);
    const uint8_t *movements = entry->facts + padded(header->facts_bytes);
    entry->movements = (const movement_t *)(const void *)movements;
    entry->response = movements + padded(header->movement_count * sizeof(movement_t));
    entry->position = position;
}

/* ---------------------------------------------------------------- list of segments -------- */

static void segment_path(const journal_t *journal, uint64_t number, const char *ending, char *path)
{
    int length = snprintf(path, PATH_BYTES_MAX, "%s/%08llu.%s", journal->directory,
                          (unsigned long long)number, ending);
    INVARIANT(length > 0);
    INVARIANT(length < PATH_BYTES_MAX);
}

/* Adds a segment at the end of the list. */
static status_t segments_add(journal_t *journal, segment_t segment)
{
    status_t status = STATUS_OK;
    pthread_mutex_lock(&journal->lock);
    if (journal->segment_count == journal->segment_room) {
        size_t room = journal->segment_room == 0 ? 64 : 2 * journal->segment_room;
        segment_t *segments = realloc(journal->segments, room * sizeof *segments);
        if (segments == NULL) {
            status = STATUS_OUT_OF_MEMORY;
        } else {
            journal->segments = segments;
            journal->segment_room = room;
        }
    }
    if (status == STATUS_OK) journal->segments[journal->segment_count++] = segment;
    pthread_mutex_unlock(&journal->lock);
    return status;
}

/* Index of the last segment that begins at or before `lsn`; -1 when none does. Under the lock. */
static int64_t segments_before(const journal_t *journal, uint64_t lsn)
{
    size_t low = 0;
    size_t high = journal->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (journal->segments[middle].first_lsn <= lsn) low = middle + 1;
        else high = middle;
    }
    return (int64_t)low - 1;
}

static bool segment_of_lsn(journal_t *journal, uint64_t lsn, segment_t *segment)
{
    pthread_mutex_lock(&journal->lock);
    int64_t at = segments_before(journal, lsn);
    if (at >= 0) *segment = journal->segments[at];
    pthread_mutex_unlock(&journal->lock);
    return at >= 0;
}

uint64_t journal_first_lsn(journal_t *journal)
{
    pthread_mutex_lock(&journal->lock);
    uint64_t lsn = journal->segments[0].first_lsn;
    pthread_mutex_unlock(&journal->lock);
    return lsn;
}

/* ---------------------------------------------------------------- reading ----------------- */

static journal_reader_t *reader_new(journal_t *journal, bool is_scan)
{
    journal_reader_t *reader = calloc(1, sizeof *reader);
    if (reader == NULL) return NULL;
    reader->journal = journal;
    reader->is_scan = is_scan;
    reader->window_room = journal->options.entry_bytes_max + WINDOW_AHEAD_BYTES;
    reader->window = aligned_alloc(64, (reader->window_room + 63) & ~(uint64_t)63);
    if (reader->window == NULL) {
        free(reader);
        return NULL;
    }
    return reader;
}

journal_reader_t *journal_reader_open(journal_t *journal)
{
    return reader_new(journal, false);
}

static void reader_close_file(journal_reader_t *reader)
{
    const machine_t *machine = reader->journal->machine;
    if (reader->file_segment != 0) machine->close(machine->context, reader->file);
    reader->file_segment = 0;
    reader->window_bytes = 0;
}

void journal_reader_close(journal_reader_t *reader)
{
    if (reader == NULL) return;
    reader_close_file(reader);
    free(reader->window);
    free(reader);
}

static void pipe_hand_over(journal_reader_t *reader);

static status_t reader_open_segment(journal_reader_t *reader, uint64_t segment)
{
    if (reader->file_segment == segment) return STATUS_OK;
    reader_close_file(reader);
    const machine_t *machine = reader->journal->machine;
    char path[PATH_BYTES_MAX];
    segment_path(reader->journal, segment, "seg", path);
    if (machine->open(machine->context, path, FILE_READ, &reader->file) != 0) {
        return STATUS_LSN_NOT_KEPT;
    }
    if (machine->size(machine->context, reader->file, &reader->file_bytes) != 0) {
        machine->close(machine->context, reader->file);
        return STATUS_IO_FAILED;
    }
    reader->file_segment = segment;
    return STATUS_OK;
}

/* Offset in the open segment behind which the reader must not look. */
static uint64_t reader_limit(const journal_reader_t *reader)
{
    if (reader->is_scan) return reader->file_bytes;
    uint64_t end = atomic_load_explicit(&reader->journal->durable_end, memory_order_acquire);
    uint64_t durable_segment = position_segment(end);
    if (reader->file_segment < durable_segment) return reader->file_bytes;
    return reader->file_segment == durable_segment ? position_offset(end) : 0;
}

/* Makes [offset, offset + size) of the open segment readable in the window; *bytes is NULL when
 * that runs over the limit. */
static status_t reader_fetch(journal_reader_t *reader, uint64_t offset, uint64_t size,
                             const uint8_t **bytes)
{
    *bytes = NULL;
    uint64_t window_end = reader->window_offset + reader->window_bytes;
    if (offset < reader->window_offset || offset + size > window_end) {
        uint64_t limit = reader_limit(reader);
        if (offset + size > limit || size > reader->window_room) return STATUS_OK;
        uint64_t wanted = limit - offset;
        uint64_t most = size > FETCH_BYTES ? size : FETCH_BYTES;
        if (most > reader->window_room) most = reader->window_room;
        if (wanted > most) wanted = most;
        const machine_t *machine = reader->journal->machine;
        reader->window_bytes = 0;
        if (reader->pipe != NULL) pipe_hand_over(reader);
        if (machine->read_at(machine->context, reader->file, reader->window, wanted, offset) != 0) {
            return STATUS_IO_FAILED;
        }
        reader->window_offset = offset;
        reader->window_bytes = wanted;
    }
    *bytes = reader->window + (offset - reader->window_offset);
    return STATUS_OK;
}

/* The entry at an offset of the open segment. entry->header is NULL when its length or checksum
 * do not agree; LSN and chain are the caller's to check. */
static status_t reader_entry(journal_reader_t *reader, uint64_t offset, entry_t *entry)
{
    entry->header = NULL;
    const uint8_t *bytes;
    status_t status = reader_fetch(reader, offset, sizeof(entry_header_t), &bytes);
    if (status != STATUS_OK || bytes == NULL) return status;
    uint64_t room = reader_limit(reader) - offset;
    if (room > reader->journal->options.entry_bytes_max) {
        room = reader->journal->options.entry_bytes_max;
    }
    /* The window starts at any multiple of 16, so that a header in it is aligned. */
    uint64_t length = stated_length((const entry_header_t *)(const void *)bytes, room);
    if (length == 0) return STATUS_OK;
    status = reader_fetch(reader, offset, length, &bytes);
    if (status != STATUS_OK || bytes == NULL) return status;
    uint32_t stated_crc = ((const entry_header_t *)(const void *)bytes)->crc;
    if (entry_crc(reader->journal->salt, bytes, length) != stated_crc) return STATUS_OK;
    entry_at(bytes, position_of(reader->file_segment, offset), entry);
    return STATUS_OK;
}

status_t journal_read(journal_reader_t *reader, uint64_t position, entry_t *entry)
{
    entry->header = NULL;
    uint64_t offset = position_offset(position);
    uint64_t end = atomic_load_explicit(&reader->journal->durable_end, memory_order_acquire);
    if (position >= end) return STATUS_LSN_NOT_KEPT;
    if (offset < ENTRIES_BEGIN || offset % ENTRY_ALIGN != 0) return STATUS_LSN_NOT_KEPT;
    status_t status = reader_open_segment(reader, position_segment(position));
    if (status == STATUS_OK) status = reader_entry(reader, offset, entry);
    if (status != STATUS_OK) return status;
    return entry->header != NULL ? STATUS_OK : STATUS_JOURNAL_DAMAGED;
}

/* Moves to the segment in which the next LSN begins, when that is a later one. */
static void reader_follow(journal_reader_t *reader, uint64_t end)
{
    segment_t segment;
    if (reader->next_segment >= position_segment(end)) return;
    if (!segment_of_lsn(reader->journal, reader->next_lsn, &segment)) return;
    if (segment.number <= reader->next_segment) return;
    reader->next_segment = segment.number;
    reader->next_offset = ENTRIES_BEGIN;
}

status_t journal_next(journal_reader_t *reader, entry_t *entry)
{
    entry->header = NULL;
    journal_t *journal = reader->journal;
    uint64_t end = atomic_load_explicit(&journal->durable_end, memory_order_acquire);
    reader_follow(reader, end);
    if (position_of(reader->next_segment, reader->next_offset) >= end) return STATUS_OK;
    status_t status = reader_open_segment(reader, reader->next_segment);
    if (status == STATUS_OK) status = reader_entry(reader, reader->next_offset, entry);
    if (status != STATUS_OK) return status;
    const entry_header_t *header = entry->header;
    entry->header = NULL;
    if (header == NULL) return STATUS_JOURNAL_DAMAGED;
    if (header->lsn != reader->next_lsn) return STATUS_JOURNAL_DAMAGED;
    if (reader->is_chained && header->previous_crc != reader->previous_crc) {
        return STATUS_JOURNAL_DAMAGED;
    }
    entry->header = header;
    reader->next_offset += header->length;
    reader->next_lsn++;
    reader->previous_crc = header->crc;
    reader->is_chained = true;
    return STATUS_OK;
}

status_t journal_seek(journal_reader_t *reader, uint64_t lsn)
{
    segment_t segment;
    if (lsn == 0 || lsn > journal_durable_lsn(reader->journal) + 1) return STATUS_LSN_NOT_KEPT;
    if (!segment_of_lsn(reader->journal, lsn, &segment)) return STATUS_LSN_NOT_KEPT;
    reader->next_segment = segment.number;
    reader->next_offset = ENTRIES_BEGIN;
    reader->next_lsn = segment.first_lsn;
    reader->previous_crc = segment.previous_crc;
    reader->is_chained = true;
    while (reader->next_lsn < lsn) {
        entry_t entry;
        status_t status = journal_next(reader, &entry);
        if (status != STATUS_OK) return status;
        if (entry.header == NULL) return STATUS_LSN_NOT_KEPT;
    }
    return STATUS_OK;
}

status_t journal_seek_covered(journal_reader_t *reader, const covered_t *covered)
{
    if (covered->lsn == 0) return journal_seek(reader, 1);
    entry_t entry;
    status_t status = journal_read(reader, covered->position, &entry);
    if (status != STATUS_OK) return status;
    if (entry.header->lsn != covered->lsn) return STATUS_JOURNAL_DAMAGED;
    if (entry.header->crc != covered->crc) return STATUS_JOURNAL_DAMAGED;
    reader->next_segment = position_segment(covered->position);
    reader->next_offset = position_offset(covered->position) + entry.header->length;
    reader->next_lsn = covered->lsn + 1;
    reader->previous_crc = covered->crc;
    reader->is_chained = true;
    return STATUS_OK;
}

/* ---------------------------------------------------------------- the writer -------------- */

uint64_t journal_durable_lsn(const journal_t *journal)
{
    return atomic_load_explicit(&journal->durable_lsn, memory_order_acquire);
}

uint64_t journal_generation(const journal_t *journal) { return journal->generation; }
uint64_t journal_salt(const journal_t *journal) { return journal->salt; }
uint64_t journal_next_lsn(const journal_t *journal) { return journal->last_lsn + 1; }

uint64_t journal_next_position(const journal_t *journal)
{
    return position_of(journal->segment, journal->offset + journal->group_bytes);
}

int64_t journal_clock_unix_ms(const journal_t *journal)
{
    const machine_t *machine = journal->machine;
    int64_t now = machine->wall_unix_ms(machine->context);
    int64_t awake_ns = machine->monotonic_ns(machine->context) - journal->boot_monotonic_ns;
    int64_t latest = journal->boot_wall_ms + awake_ns / 1000000 + POST_AHEAD_MS_MAX;
    if (now > latest) now = latest;
    return now;
}

int64_t journal_next_post_unix_ms(journal_t *journal)
{
    int64_t now = journal_clock_unix_ms(journal);
    /* Monotone in what was asked for, too: keys are put away by the month that was told last, and a
     * replay, which sees entries only, must come to the same. */
    if (now > journal->last_post_unix_ms) journal->last_post_unix_ms = now;
    return journal->last_post_unix_ms;
}

/* Lays this segment's header into the group, ahead of the first entries. */
static void group_put_header(journal_t *journal)
{
    segment_header_t header = {
        .magic = SEGMENT_MAGIC,
        .format = JOURNAL_FORMAT,
        .program_key = journal->options.program_key,
        .node = journal->options.node,
        .partition = journal->options.partition,
        .generation = journal->generation,
        .salt = journal->salt,
        .segment = journal->segment,
        .first_lsn = journal->last_lsn + 1,
        .previous_crc = journal->last_crc,
        .created_unix_ms = journal->machine->wall_unix_ms(journal->machine->context),
    };
    header.header_crc = segment_header_crc(&header);
    memcpy(journal->group, &header, sizeof header);
    journal->group_bytes = sizeof header;
}

/* Goes on in the next segment, if that is ready. */
static status_t writer_roll(journal_t *journal)
{
    const machine_t *machine = journal->machine;
    uint64_t number = atomic_load_explicit(&journal->ready_segment, memory_order_acquire);
    if (number == 0) {
        atomic_store_explicit(&journal->is_segment_awaited, true, memory_order_release);
        int failed = atomic_load_explicit(&journal->failed_status, memory_order_acquire);
        return failed != STATUS_OK ? (status_t)failed : STATUS_QUEUE_FULL;
    }
    INVARIANT(number == journal->segment + 1);
    char path[PATH_BYTES_MAX];
    segment_path(journal, number, "seg", path);
    int64_t file;
    uint64_t bytes;
    if (machine->open(machine->context, path, FILE_WRITE, &file) != 0) return STATUS_IO_FAILED;
    status_t status = STATUS_OK;
    if (machine->size(machine->context, file, &bytes) != 0) status = STATUS_IO_FAILED;
    segment_t segment = {.number = number,
                         .first_lsn = journal->last_lsn + 1,
                         .bytes = bytes,
                         .previous_crc = journal->last_crc};
    if (status == STATUS_OK) status = segments_add(journal, segment);
    if (status != STATUS_OK) {
        machine->close(machine->context, file);
        return status;
    }
    machine->close(machine->context, journal->file);
    journal->file = file;
    journal->segment = number;
    journal->segment_bytes = bytes;
    journal->offset = 0;
    atomic_store_explicit(&journal->writing_segment, number, memory_order_release);
    atomic_store_explicit(&journal->is_segment_awaited, false, memory_order_release);
    atomic_store_explicit(&journal->zeroed_bytes, 0, memory_order_release);
    atomic_store_explicit(&journal->ready_segment, 0, memory_order_release);
    return STATUS_OK;
}

/* Starts a group whose entries take at least so many bytes, in the next segment if need be. */
static status_t group_begin(journal_t *journal, uint64_t least_bytes)
{
    INVARIANT(journal->group_entries == 0);
    journal->group_bytes = 0;
    if (journal->offset + least_bytes > journal->segment_bytes) {
        status_t status = writer_roll(journal);
        if (status != STATUS_OK) return status;
    }
    if (journal->offset == 0) group_put_header(journal);
    return STATUS_OK;
}

status_t journal_group_begin(journal_t *journal)
{
    return group_begin(journal, journal->options.entry_bytes_max);
}

bool journal_group_has_room(const journal_t *journal)
{
    uint64_t largest = journal->group_bytes + journal->options.entry_bytes_max;
    if (largest > journal->options.group_bytes_max + ENTRIES_BEGIN) return false;
    return journal->offset + largest <= journal->segment_bytes;
}

static uint8_t *put_section(uint8_t *at, const void *bytes, uint64_t size)
{
    if (size > 0) memcpy(at, bytes, size);
    memset(at + size, 0, padded(size) - size);
    return at + padded(size);
}

void journal_append(journal_t *journal, const entry_parts_t *parts, int64_t post_unix_ms)
{
    uint64_t length = journal_entry_bytes(parts);
    INVARIANT(length <= journal->options.entry_bytes_max);
    INVARIANT(journal->offset + journal->group_bytes + length <= journal->segment_bytes);
    INVARIANT(post_unix_ms >= journal->last_post_unix_ms);
    uint8_t *bytes = journal->group + journal->group_bytes;
    entry_header_t header = parts->header;
    header.length = (uint32_t)length;
    header.crc = 0;
    header.previous_crc = journal->last_crc;
    header.lsn = journal->last_lsn + 1;
    header.durable_lsn = journal_durable_lsn(journal);
    header.post_unix_ms = post_unix_ms;
    header.request_bytes = parts->request_bytes;
    header.facts_bytes = parts->facts_bytes;
    header.movement_count = parts->movement_count;
    header.response_bytes = parts->response_bytes;
    header.generation = journal->generation;
    memset(header.reserved, 0, sizeof header.reserved);
    uint8_t *at = put_section(bytes, &header, sizeof header);
    at = put_section(at, parts->request, parts->request_bytes);
    at = put_section(at, parts->facts, parts->facts_bytes);
    at = put_section(at, parts->movements, parts->movement_count * sizeof(movement_t));
    at = put_section(at, parts->response, parts->response_bytes);
    INVARIANT((uint64_t)(at - bytes) == length);
    header.crc = entry_crc(journal->salt, bytes, length);
    memcpy(bytes, &header, sizeof header);
    journal->last_lsn = header.lsn;
    journal->last_crc = header.crc;
    journal->last_position = journal_next_position(journal);
    journal->last_post_unix_ms = post_unix_ms;
    journal->group_bytes += length;
    journal->group_entries++;
}

void journal_group_sync(journal_t *journal)
{
    const machine_t *machine = journal->machine;
    INVARIANT(journal->group_entries > 0);
    int error = machine->write_at(machine->context, journal->file, journal->group,
                                  journal->group_bytes, journal->offset);
    if (error != 0) {
        machine->fatal(machine->context, "writing the journal failed", error);
        INVARIANT(!"fatal returned");
    }
    error = machine->sync(machine->context, journal->file);
    if (error != 0) {
        /* The kernel may have dropped the pages that it could not write and would report success
         * the next time: only a new process that reads and rewrites them knows what is there. */
        machine->fatal(machine->context, "syncing the journal failed", error);
        INVARIANT(!"fatal returned");
    }
    journal->offset += journal->group_bytes;
    journal->group_bytes = 0;
    journal->group_entries = 0;
    uint64_t end = position_of(journal->segment, journal->offset);
    atomic_store_explicit(&journal->durable_end, end, memory_order_release);
    atomic_store_explicit(&journal->durable_lsn, journal->last_lsn, memory_order_release);
}

covered_t journal_covered(const journal_t *journal)
{
    INVARIANT(journal->group_entries == 0);
    covered_t covered = {.lsn = journal->last_lsn,
                         .position = journal->last_position,
                         .salt = journal->salt,
                         .crc = journal->last_crc,
                         .format = ACCOUNTS_FORMAT};
    return covered;
}

/* ---------------------------------------------------------------- the helper -------------- */

/* The next segment is zeroed twice as fast as the current one fills: by its middle the next one is
 * ready, and what the disk is given beside the groups follows what the groups give it. */
static uint64_t due_bytes(const journal_t *journal)
{
    uint64_t end = atomic_load_explicit(&journal->durable_end, memory_order_acquire);
    uint64_t writing = atomic_load_explicit(&journal->writing_segment, memory_order_acquire);
    return position_segment(end) == writing ? 2 * position_offset(end) : 0;
}

bool journal_wants_segment(const journal_t *journal)
{
    if (atomic_load_explicit(&journal->ready_segment, memory_order_acquire) != 0) return false;
    int64_t failed_ns = atomic_load_explicit(&journal->failed_ns, memory_order_acquire);
    if (failed_ns != 0) {
        int64_t now_ns = journal->machine->monotonic_ns(journal->machine->context);
        if (now_ns - failed_ns < RETRY_NS) return false;
    }
    if (atomic_load_explicit(&journal->is_segment_awaited, memory_order_acquire)) return true;
    return atomic_load_explicit(&journal->zeroed_bytes, memory_order_acquire)
           <= due_bytes(journal);
}

/* Writes zeros over [from, until) of a file. */
static int write_zeros(const machine_t *machine, int64_t file, uint64_t from, uint64_t until)
{
    static const uint8_t zeros[ZERO_CHUNK_BYTES];
    int error = 0;
    while (from < until && error == 0) {
        uint64_t size = until - from < sizeof zeros ? until - from : sizeof zeros;
        error = machine->write_at(machine->context, file, zeros, size, from);
        from += size;
    }
    return error;
}

/* Zeroes and syncs the next step of the segment being prepared, which it begins if need be. */
static int segment_zero_step(journal_t *journal)
{
    const machine_t *machine = journal->machine;
    char temporary[PATH_BYTES_MAX];
    uint64_t at = atomic_load_explicit(&journal->zeroed_bytes, memory_order_acquire);
    int error = 0;
    if (journal->next_file < 0) {
        INVARIANT(at == 0);
        segment_path(journal, journal->next_number, "new", temporary);
        error = machine->open(machine->context, temporary, FILE_CREATE, &journal->next_file);
        if (error != 0) journal->next_file = -1;
    }
    uint64_t quarter = (journal->options.segment_bytes / 4 + 4095) & ~(uint64_t)4095;
    uint64_t step = PREPARE_STEP_BYTES;
    if (at + LATE_STEP_TIMES * step <= due_bytes(journal)) step *= LATE_STEP_TIMES;
    uint64_t until = at + (quarter < step ? quarter : step);
    if (until > journal->options.segment_bytes) until = journal->options.segment_bytes;
    if (error == 0) error = write_zeros(machine, journal->next_file, at, until);
    if (error == 0) error = machine->sync(machine->context, journal->next_file);
    if (error == 0) {
        atomic_store_explicit(&journal->zeroed_bytes, until, memory_order_release);
    }
    return error;
}

static bool segment_is_zeroed(const journal_t *journal)
{
    uint64_t zeroed = atomic_load_explicit(&journal->zeroed_bytes, memory_order_acquire);
    return zeroed == journal->options.segment_bytes;
}

/* Gives the segment being prepared its final name, with a header if one is given. */
static int segment_name(journal_t *journal, const segment_header_t *header)
{
    const machine_t *machine = journal->machine;
    char temporary[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    segment_path(journal, journal->next_number, "new", temporary);
    segment_path(journal, journal->next_number, "seg", path);
    int error = 0;
    if (header != NULL) {
        error = machine->write_at(machine->context, journal->next_file, header, sizeof *header, 0);
        if (error == 0) error = machine->sync(machine->context, journal->next_file);
    }
    if (error == 0) error = machine->rename(machine->context, temporary, path);
    if (error == 0) error = machine->sync_directory(machine->context, journal->directory);
    return error;
}

/* Closes the segment being prepared, and removes it where it came to nothing. */
static void segment_let_go(journal_t *journal, int error)
{
    const machine_t *machine = journal->machine;
    if (journal->next_file >= 0) machine->close(machine->context, journal->next_file);
    journal->next_file = -1;
    if (error == 0) return;
    char temporary[PATH_BYTES_MAX];
    segment_path(journal, journal->next_number, "new", temporary);
    machine->remove(machine->context, temporary);
    atomic_store_explicit(&journal->zeroed_bytes, 0, memory_order_release);
}

/* Makes a journal's first segment at once. */
static int segment_make_first(journal_t *journal, const segment_header_t *header)
{
    int error = 0;
    journal->next_number = 1;
    while (error == 0 && !segment_is_zeroed(journal)) error = segment_zero_step(journal);
    if (error == 0) error = segment_name(journal, header);
    segment_let_go(journal, error);
    atomic_store_explicit(&journal->zeroed_bytes, 0, memory_order_release);
    return error;
}

status_t journal_prepare_step(journal_t *journal)
{
    if (atomic_load_explicit(&journal->ready_segment, memory_order_acquire) != 0) return STATUS_OK;
    /* The writer cannot roll while nothing is ready, so the number stands still. */
    journal->next_number =
        atomic_load_explicit(&journal->writing_segment, memory_order_acquire) + 1;
    int error = segment_zero_step(journal);
    if (error == 0 && !segment_is_zeroed(journal)) return STATUS_QUEUE_FULL;
    if (error == 0) error = segment_name(journal, NULL);
    segment_let_go(journal, error);
    int64_t now_ns = journal->machine->monotonic_ns(journal->machine->context);
    int64_t failed_ns = now_ns != 0 ? now_ns : 1;
    status_t status = error == 0 ? STATUS_OK : status_of_error(error);
    atomic_store_explicit(&journal->failed_ns, error == 0 ? 0 : failed_ns, memory_order_release);
    atomic_store_explicit(&journal->failed_status, (int)status, memory_order_release);
    if (error == 0) {
        atomic_store_explicit(&journal->ready_segment, journal->next_number, memory_order_release);
    }
    return status;
}

status_t journal_prepare_segment(journal_t *journal)
{
    status_t status;
    do status = journal_prepare_step(journal);
    while (status == STATUS_QUEUE_FULL);
    return status;
}

/* ---------------------------------------------------------------- opening ----------------- */

/* Entries on their way from the walk to the thread that applies them. */
typedef struct batch {
    uint8_t *window;
    uint32_t count;
    uint64_t bytes_left; /* behind its first entry, about */
    entry_t entries[PIPE_ENTRIES_MAX];
} batch_t;

/* A ring of batches. Batch `filled` is the walk's, those from `applied` up to it the other's. */
struct pipe {
    const journal_options_t *options;
    batch_t batches[PIPE_WINDOWS];
    uint8_t *own_window; /* the reader's, while it works in those of the batches */
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t filled;
    uint64_t applied;
    bool is_over;
};

/* The walk over the log at start. */
typedef struct scan {
    journal_t *journal;
    journal_reader_t *reader;
    fault_t *fault;
    size_t at;                 /* index of the segment in the list */
    uint64_t offset;           /* end of the log so far, in that segment */
    bool is_end_zero;          /* nothing but zeros behind it there */
    uint64_t next_lsn;
    uint32_t previous_crc;
    uint64_t last_position;
    uint64_t proven_lsn;       /* highest durable LSN that an entry states */
    uint64_t unproven;         /* position from which nothing is proven to be on the disk */
    uint64_t generation;
    int64_t post_unix_ms;
} scan_t;

typedef struct names {
    uint64_t *numbers;
    size_t count;
    size_t room;
    bool is_short_of_memory;
} names_t;

/* Notes a segment's number. One that was never finished (.new) is made again when it is due. */
static void note_name(void *argument, const char *name)
{
    names_t *names = argument;
    char *end;
    unsigned long long number = strtoull(name, &end, 10);
    if (end == name || number == 0) return;
    if (strcmp(end, ".seg") != 0) return;
    if (names->count == names->room) {
        size_t room = names->room == 0 ? 64 : 2 * names->room;
        uint64_t *numbers = realloc(names->numbers, room * sizeof *numbers);
        if (numbers == NULL) {
            names->is_short_of_memory = true;
            return;
        }
        names->numbers = numbers;
        names->room = room;
    }
    names->numbers[names->count++] = number;
}

static int number_compare(const void *left, const void *right)
{
    uint64_t a;
    uint64_t b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return a < b ? -1 : a > b;
}

/* Reads a segment's header; first_lsn stays 0 where it is not valid. A valid header of another
 * format or owner is refused. */
static status_t load_header(scan_t *scan, segment_t *segment, uint64_t *salt)
{
    const journal_options_t *options = &scan->journal->options;
    unsigned long long number = segment->number;
    status_t status = reader_open_segment(scan->reader, segment->number);
    const uint8_t *bytes = NULL;
    if (status == STATUS_OK) {
        segment->bytes = scan->reader->file_bytes;
        status = reader_fetch(scan->reader, 0, sizeof(segment_header_t), &bytes);
    }
    if (status != STATUS_OK) return fault_at(scan->fault, STATUS_IO_FAILED, "segment %llu", number);
    if (bytes == NULL) return STATUS_OK;
    segment_header_t header;
    memcpy(&header, bytes, sizeof header);
    if (header.magic != SEGMENT_MAGIC) return STATUS_OK;
    if (segment_header_crc(&header) != header.header_crc) return STATUS_OK;
    if (header.segment != segment->number) return STATUS_OK;
    if (header.format != JOURNAL_FORMAT) {
        return fault_at(scan->fault, STATUS_FORMAT_UNSUPPORTED, "segment %llu: format %u", number,
                        header.format);
    }
    if (scan->journal->identity.magic == 0) scan->journal->identity = header;
    bool is_owned = header.program_key == options->program_key && header.node == options->node
                    && header.partition == options->partition;
    if (!is_owned && !scan->journal->is_inspection) {
        return fault_at(scan->fault, STATUS_JOURNAL_MISMATCH,
                        "segment %llu: program, node or partition", number);
    }
    segment->first_lsn = header.first_lsn;
    segment->previous_crc = header.previous_crc;
    *salt = header.salt;
    return STATUS_OK;
}

/* Fills the list of segments from the directory, in order. */
static status_t load_segments(scan_t *scan)
{
    journal_t *journal = scan->journal;
    const machine_t *machine = journal->machine;
    names_t names = {0};
    int error = machine->list(machine->context, journal->directory, note_name, &names);
    status_t status = STATUS_OK;
    if (error != 0) status = fault_at(scan->fault, STATUS_IO_FAILED, "%s", journal->directory);
    if (names.is_short_of_memory) status = fault_at(scan->fault, STATUS_OUT_OF_MEMORY, "journal");
    if (names.count > 1) qsort(names.numbers, names.count, sizeof(uint64_t), number_compare);
    for (size_t i = 0; i < names.count && status == STATUS_OK; i++) {
        segment_t segment = {.number = names.numbers[i]};
        uint64_t salt = 0;
        status = load_header(scan, &segment, &salt);
        if (status == STATUS_OK) status = segments_add(journal, segment);
        if (status == STATUS_OK && journal->salt == 0) journal->salt = salt;
    }
    free(names.numbers);
    return status;
}

static status_t damaged(const scan_t *scan, const char *what)
{
    unsigned long long number = scan->journal->segments[scan->at].number;
    return fault_at(scan->fault, STATUS_JOURNAL_DAMAGED, "segment %llu offset %llu lsn %llu: %s",
                    number, (unsigned long long)scan->offset, (unsigned long long)scan->next_lsn,
                    what);
}

/* Takes a valid entry into the walk. */
static void scan_accept(scan_t *scan, const entry_t *entry)
{
    const entry_header_t *header = entry->header;
    if (header->durable_lsn > scan->proven_lsn) {
        scan->proven_lsn = header->durable_lsn;
        /* Groups are synced before the next is written, so a group's first entry proves all that
         * lies before it. Were it ever otherwise, the earlier place stands: more is rewritten. */
        if (header->durable_lsn + 1 == header->lsn) scan->unproven = entry->position;
    }
    scan->last_position = entry->position;
    scan->previous_crc = header->crc;
    scan->next_lsn = header->lsn + 1;
    scan->generation = header->generation;
    scan->post_unix_ms = header->post_unix_ms;
    scan->offset = position_offset(entry->position) + header->length;
}

/* Finds where the walk begins: behind the covered entry, which must still be there unchanged. */
static status_t scan_begin(scan_t *scan)
{
    journal_t *journal = scan->journal;
    const covered_t *from = &journal->options.from;
    scan->offset = ENTRIES_BEGIN;
    scan->next_lsn = from->lsn == 0 ? 1 : from->lsn;
    if (from->lsn == 0) {
        scan->unproven = position_of(journal->segments[0].number, ENTRIES_BEGIN);
        if (journal->is_inspection && journal->segments[0].first_lsn != 0) {
            scan->next_lsn = journal->segments[0].first_lsn;
            scan->previous_crc = journal->segments[0].previous_crc;
            return reader_open_segment(scan->reader, journal->segments[0].number);
        }
        if (journal->segments[0].first_lsn != 1) return damaged(scan, "the first segment is gone");
        return reader_open_segment(scan->reader, journal->segments[0].number);
    }
    if (from->salt != journal->salt) return damaged(scan, "accounts of another journal");
    uint64_t number = position_segment(from->position);
    while (scan->at < journal->segment_count && journal->segments[scan->at].number != number) {
        scan->at++;
    }
    if (scan->at == journal->segment_count) {
        scan->at = 0;
        return damaged(scan, "the accounts cover a segment that is gone");
    }
    scan->offset = position_offset(from->position);
    scan->unproven = from->position;
    entry_t entry;
    status_t status = reader_open_segment(scan->reader, number);
    if (status == STATUS_OK) status = reader_entry(scan->reader, scan->offset, &entry);
    if (status != STATUS_OK) return damaged(scan, "cannot be read");
    if (entry.header == NULL) return damaged(scan, "a covered entry is gone");
    if (entry.header->lsn != from->lsn) return damaged(scan, "a covered entry has changed");
    if (entry.header->crc != from->crc) return damaged(scan, "a covered entry has changed");
    scan_accept(scan, &entry);
    return STATUS_OK;
}

static bool pipe_spare(const pipe_t *pipe)
{
    const journal_options_t *options = pipe->options;
    return options->spare != NULL && options->spare(options->each_context);
}

static void batch_apply(const journal_options_t *options, const batch_t *batch)
{
    const entry_t *entries = batch->entries;
    bool is_ahead = options->ahead != NULL;
    void *context = options->each_context;
    for (uint32_t i = 0; is_ahead && i < 2 * PIPE_AHEAD && i < batch->count; i++) {
        options->ahead(context, &entries[i], false);
    }
    for (uint32_t i = 0; i < batch->count; i++) {
        if (is_ahead && i + 2 * PIPE_AHEAD < batch->count) {
            options->ahead(context, &entries[i + 2 * PIPE_AHEAD], false);
        }
        if (is_ahead && i + PIPE_AHEAD < batch->count) {
            options->ahead(context, &entries[i + PIPE_AHEAD], true);
        }
        options->each(context, &entries[i], batch->bytes_left);
    }
}

/* Applies batches until the walk is over and none is left. */
static void *pipe_main(void *argument)
{
    pipe_t *pipe = argument;
    pthread_mutex_lock(&pipe->lock);
    for (;;) {
        bool has_batch = pipe->applied < pipe->filled;
        if (!has_batch && pipe->is_over) break;
        if (has_batch) {
            pthread_mutex_unlock(&pipe->lock);
            batch_apply(pipe->options, &pipe->batches[pipe->applied % PIPE_WINDOWS]);
            pthread_mutex_lock(&pipe->lock);
            pipe->applied++;
            pthread_cond_signal(&pipe->changed);
            continue;
        }
        pthread_mutex_unlock(&pipe->lock);
        bool has_worked = pipe_spare(pipe);
        pthread_mutex_lock(&pipe->lock);
        if (has_worked || pipe->applied < pipe->filled || pipe->is_over) continue;
        pthread_cond_wait(&pipe->changed, &pipe->lock);
    }
    pthread_mutex_unlock(&pipe->lock);
    return NULL;
}

/* Gives the window and its entries to the other thread and takes a free window. */
static void pipe_hand_over(journal_reader_t *reader)
{
    pipe_t *pipe = reader->pipe;
    if (pipe->batches[pipe->filled % PIPE_WINDOWS].count == 0) return;
    pthread_mutex_lock(&pipe->lock);
    pipe->filled++;
    pthread_cond_signal(&pipe->changed);
    while (pipe->filled - pipe->applied == PIPE_WINDOWS) {
        pthread_mutex_unlock(&pipe->lock);
        bool has_worked = pipe_spare(pipe);
        pthread_mutex_lock(&pipe->lock);
        if (has_worked || pipe->filled - pipe->applied < PIPE_WINDOWS) continue;
        pthread_cond_wait(&pipe->changed, &pipe->lock);
    }
    pthread_mutex_unlock(&pipe->lock);
    batch_t *batch = &pipe->batches[pipe->filled % PIPE_WINDOWS];
    batch->count = 0;
    reader->window = batch->window;
    reader->window_bytes = 0;
}

static void pipe_free(pipe_t *pipe)
{
    for (int i = 0; i < PIPE_WINDOWS; i++) free(pipe->batches[i].window);
    pthread_mutex_destroy(&pipe->lock);
    pthread_cond_destroy(&pipe->changed);
    free(pipe);
}

/* Puts a pipe behind a reader, if there is memory and a thread for it: without one the walk applies
 * the entries itself. */
static void pipe_open(journal_reader_t *reader)
{
    const journal_options_t *options = &reader->journal->options;
    if (!options->is_piped || options->each == NULL) return;
    pipe_t *pipe = calloc(1, sizeof *pipe);
    if (pipe == NULL) return;
    pipe->options = options;
    pthread_mutex_init(&pipe->lock, NULL);
    pthread_cond_init(&pipe->changed, NULL);
    bool is_ready = true;
    for (int i = 0; i < PIPE_WINDOWS; i++) {
        uint64_t bytes = (reader->window_room + 63) & ~(uint64_t)63;
        pipe->batches[i].window = aligned_alloc(64, bytes);
        if (pipe->batches[i].window == NULL) is_ready = false;
    }
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (is_ready) is_ready = pthread_create(&pipe->thread, NULL, pipe_main, pipe) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!is_ready) {
        pipe_free(pipe);
        return;
    }
    pipe->own_window = reader->window;
    reader->window = pipe->batches[0].window;
    reader->window_bytes = 0;
    reader->pipe = pipe;
}

/* Returns when every entry that was handed over is applied. */
static void pipe_close(journal_reader_t *reader)
{
    pipe_t *pipe = reader->pipe;
    if (pipe == NULL) return;
    pipe_hand_over(reader);
    pthread_mutex_lock(&pipe->lock);
    pipe->is_over = true;
    pthread_cond_signal(&pipe->changed);
    pthread_mutex_unlock(&pipe->lock);
    pthread_join(pipe->thread, NULL);
    reader->window = pipe->own_window;
    reader->window_bytes = 0;
    reader->pipe = NULL;
    pipe_free(pipe);
}

/* Hands a valid entry to whoever applies it. */
static void scan_emit(scan_t *scan, const entry_t *entry)
{
    journal_t *journal = scan->journal;
    if (journal->options.each == NULL) return;
    uint64_t segments_left = journal->segment_count - scan->at - 1;
    uint64_t bytes_left = journal->segments[scan->at].bytes - scan->offset
                          + segments_left * journal->options.segment_bytes;
    pipe_t *pipe = scan->reader->pipe;
    if (pipe == NULL) {
        journal->options.each(journal->options.each_context, entry, bytes_left);
        return;
    }
    batch_t *batch = &pipe->batches[pipe->filled % PIPE_WINDOWS];
    if (batch->count == 0) batch->bytes_left = bytes_left;
    batch->entries[batch->count++] = *entry;
    /* Full, and the rest of its window is not ours any more: the next fetch reads it again. */
    if (batch->count == PIPE_ENTRIES_MAX) pipe_hand_over(scan->reader);
}

/* Walks to the end of the log. */
static status_t scan_walk(scan_t *scan)
{
    journal_t *journal = scan->journal;
    for (;;) {
        entry_t entry;
        if (reader_entry(scan->reader, scan->offset, &entry) != STATUS_OK) {
            return damaged(scan, "cannot be read");
        }
        if (entry.header != NULL && entry.header->lsn == scan->next_lsn
            && entry.header->previous_crc == scan->previous_crc) {
            scan_accept(scan, &entry);
            scan_emit(scan, &entry);
            continue;
        }
        const segment_t *segment = &journal->segments[scan->at];
        if (scan->at + 1 == journal->segment_count) return STATUS_OK;
        if (segment[1].number != segment->number + 1) return STATUS_OK;
        if (segment[1].first_lsn != scan->next_lsn) return STATUS_OK;
        if (segment[1].previous_crc != scan->previous_crc) return STATUS_OK;
        scan->at++;
        scan->offset = ENTRIES_BEGIN;
        status_t status = reader_open_segment(scan->reader, segment[1].number);
        if (status != STATUS_OK) return damaged(scan, "cannot be read");
    }
}

/* The first place from `offset` on, by whole steps, where the window has something or ends. */
static uint64_t skip_zeros(const journal_reader_t *reader, uint64_t offset)
{
    uint64_t at = offset - reader->window_offset;
    for (; at + ZERO_STEP_BYTES <= reader->window_bytes; at += ZERO_STEP_BYTES) {
        uint64_t words[ZERO_STEP_BYTES / sizeof(uint64_t)];
        memcpy(words, reader->window + at, sizeof words);
        uint64_t any = 0;
        for (size_t i = 0; i < ZERO_STEP_BYTES / sizeof(uint64_t); i++) any |= words[i];
        if (any != 0) break;
    }
    return reader->window_offset + at;
}

/* Looks through the rest of the open segment, from `offset`, for an entry which says that
 * scan->next_lsn had been on the disk. *is_zero: nothing but zeros there. */
static status_t find_proof(scan_t *scan, uint64_t offset, bool *is_zero)
{
    *is_zero = true;
    journal_reader_t *reader = scan->reader;
    for (; offset + ENTRY_ALIGN <= reader->file_bytes; offset += ENTRY_ALIGN) {
        const uint8_t *bytes;
        uint64_t left = reader->file_bytes - offset;
        uint64_t size = left < sizeof(entry_header_t) ? left : sizeof(entry_header_t);
        if (reader_fetch(reader, offset, size, &bytes) != STATUS_OK || bytes == NULL) {
            return damaged(scan, "the bytes behind it cannot be read");
        }
        uint64_t words[2];
        memcpy(words, bytes, sizeof words);
        if (words[0] == 0 && words[1] == 0) {
            uint64_t next = skip_zeros(reader, offset);
            if (next > offset) offset = next - ENTRY_ALIGN;
            continue;
        }
        *is_zero = false;
        if (size < sizeof(entry_header_t)) continue;
        entry_header_t header;
        memcpy(&header, bytes, sizeof header);
        if (header.lsn <= scan->next_lsn) continue;
        if (header.durable_lsn < scan->next_lsn || header.durable_lsn >= header.lsn) continue;
        entry_t entry;
        if (reader_entry(reader, offset, &entry) != STATUS_OK) {
            return damaged(scan, "the bytes behind it cannot be read");
        }
        if (entry.header != NULL) return damaged(scan, "an entry that had been durable is gone");
    }
    return STATUS_OK;
}

/* Refuses a log whose end lies before what had been durable. *has_ready: the segment behind the
 * last one is all zeros and can be used as it is. */
static status_t scan_prove_end(scan_t *scan, bool *has_ready)
{
    journal_t *journal = scan->journal;
    *has_ready = false;
    if (scan->proven_lsn >= scan->next_lsn) return damaged(scan, "it had been durable");
    for (size_t i = scan->at; i < journal->segment_count; i++) {
        const segment_t *segment = &journal->segments[i];
        bool is_zero;
        status_t status = reader_open_segment(scan->reader, segment->number);
        if (status != STATUS_OK) return damaged(scan, "the bytes behind it cannot be read");
        status = find_proof(scan, i == scan->at ? scan->offset : 0, &is_zero);
        if (status != STATUS_OK) return status;
        if (i == scan->at) scan->is_end_zero = is_zero && segment->bytes % ENTRY_ALIGN == 0;
        if (i == scan->at + 1 && is_zero
            && segment->number == journal->segments[scan->at].number + 1) {
            *has_ready = segment->bytes == journal->options.segment_bytes;
        }
    }
    return STATUS_OK;
}

/* Zeros behind the end of the log. A torn group lies within group_bytes_max of it: that far they
 * are written even where zeros are read, because the page cache is not the disk. Further on only
 * where something else is read, which the search for a proof has told. */
static int zero_tail(scan_t *scan, int64_t file, uint64_t bytes)
{
    journal_t *journal = scan->journal;
    const machine_t *machine = journal->machine;
    uint64_t reach = journal->options.group_bytes_max + ENTRIES_BEGIN;
    uint64_t near_end = bytes - scan->offset < reach ? bytes : scan->offset + reach;
    int error = write_zeros(machine, file, scan->offset, near_end);
    if (scan->is_end_zero) return error;
    uint8_t *window = scan->reader->window;
    uint64_t room = scan->reader->window_room;
    scan->reader->window_bytes = 0;
    for (uint64_t at = near_end; at < bytes && error == 0;) {
        uint64_t size = bytes - at < room ? bytes - at : room;
        error = machine->read_at(machine->context, file, window, size, at);
        bool is_zero = window[0] == 0 && memcmp(window, window + 1, size - 1) == 0;
        if (error == 0 && !is_zero) error = write_zeros(machine, file, at, at + size);
        at += size;
    }
    return error;
}

/* Reads [from, until) of a file and writes the same bytes again. */
static int rewrite(scan_t *scan, int64_t file, uint64_t from, uint64_t until)
{
    const machine_t *machine = scan->journal->machine;
    uint8_t *window = scan->reader->window;
    uint64_t room = scan->reader->window_room;
    scan->reader->window_bytes = 0;
    int error = 0;
    while (from < until && error == 0) {
        uint64_t size = until - from < room ? until - from : room;
        error = machine->read_at(machine->context, file, window, size, from);
        if (error == 0) error = machine->write_at(machine->context, file, window, size, from);
        from += size;
    }
    return error;
}

/* Cuts the tail, rewrites what is not proven to be on the disk, and syncs both. The last
 * segment's file stays open for the writer. */
static int scan_secure(scan_t *scan, bool has_ready)
{
    journal_t *journal = scan->journal;
    const machine_t *machine = journal->machine;
    char path[PATH_BYTES_MAX];
    int error = 0;
    for (size_t i = journal->segment_count; i-- > scan->at + 1 + (has_ready ? 1 : 0);) {
        segment_path(journal, journal->segments[i].number, "seg", path);
        error = machine->remove(machine->context, path);
        if (error != 0) return error;
    }
    for (size_t i = 0; i <= scan->at; i++) {
        const segment_t *segment = &journal->segments[i];
        if (segment->number < position_segment(scan->unproven)) continue;
        int64_t file;
        segment_path(journal, segment->number, "seg", path);
        error = machine->open(machine->context, path, FILE_WRITE, &file);
        if (error != 0) return error;
        bool is_last = i == scan->at;
        uint64_t from = 0;
        if (segment->number == position_segment(scan->unproven)) {
            from = position_offset(scan->unproven);
            if (from == ENTRIES_BEGIN) from = 0; /* the header went out with the first group */
        }
        error = rewrite(scan, file, from, is_last ? scan->offset : segment->bytes);
        if (error == 0 && is_last) error = zero_tail(scan, file, segment->bytes);
        if (error == 0) error = machine->sync(machine->context, file);
        if (is_last) journal->file = file;
        else machine->close(machine->context, file);
        if (error != 0) return error;
    }
    return machine->sync_directory(machine->context, journal->directory);
}

/* Hands the end of the log over to the writer. */
static void scan_finish(scan_t *scan, bool has_ready)
{
    journal_t *journal = scan->journal;
    const segment_t *last = &journal->segments[scan->at];
    journal->segment = last->number;
    journal->segment_bytes = last->bytes;
    journal->offset = scan->offset;
    journal->last_lsn = scan->next_lsn - 1;
    journal->last_crc = scan->previous_crc;
    journal->last_position = scan->last_position;
    journal->last_post_unix_ms = scan->post_unix_ms;
    journal->generation = scan->generation + 1;
    journal->segment_count = scan->at + 1;
    atomic_store(&journal->durable_lsn, journal->last_lsn);
    atomic_store(&journal->durable_end, position_of(last->number, scan->offset));
    atomic_store(&journal->writing_segment, last->number);
    atomic_store(&journal->ready_segment, has_ready ? last->number + 1 : 0);
}

/* Opens what is there: walk, prove, secure. */
static status_t journal_recover(scan_t *scan)
{
    bool has_ready;
    status_t status = scan_begin(scan);
    if (status == STATUS_OK) {
        pipe_open(scan->reader);
        status = scan_walk(scan);
        pipe_close(scan->reader);
    }
    if (status == STATUS_OK) status = scan_prove_end(scan, &has_ready);
    if (status != STATUS_OK) return status;
    int error = scan_secure(scan, has_ready);
    if (error != 0) {
        return fault_at(scan->fault, status_of_error(error), "%s: %s", scan->journal->directory,
                        strerror(error));
    }
    scan_finish(scan, has_ready);
    return STATUS_OK;
}

/* The first segment of a new journal, with its header, synced before it has its name. */
static status_t journal_create(journal_t *journal, fault_t *fault)
{
    journal->salt = journal->options.salt;
    while (journal->salt == 0) {
        if (getrandom(&journal->salt, sizeof journal->salt, 0) != sizeof journal->salt) {
            return fault_at(fault, STATUS_IO_FAILED, "no random numbers");
        }
    }
    journal->segment = 1;
    group_put_header(journal);
    segment_header_t header;
    memcpy(&header, journal->group, sizeof header);
    journal->group_bytes = 0;
    int error = segment_make_first(journal, &header);
    if (error != 0) {
        return fault_at(fault, status_of_error(error), "%s: %s", journal->directory,
                        strerror(error));
    }
    return STATUS_OK;
}

/* Looks a second time at a log that seems damaged: one that is being written goes on, because what
 * the first look found behind its end had been appended meanwhile. */
static status_t inspect_again(scan_t *scan)
{
    journal_t *journal = scan->journal;
    const struct timespec pause = {0, 50000000};
    uint64_t stopped_lsn = scan->next_lsn;
    uint64_t number = journal->segments[scan->at].number;
    fault_t first = *scan->fault;
    nanosleep(&pause, NULL);
    reader_close_file(scan->reader);
    journal->segment_count = 0;
    status_t status = load_segments(scan);
    if (status != STATUS_OK) return status;
    scan->at = 0;
    while (scan->at < journal->segment_count && journal->segments[scan->at].number != number) {
        scan->at++;
    }
    if (scan->at == journal->segment_count) {
        scan->at = 0;
        return damaged(scan, "the segment is gone");
    }
    status = reader_open_segment(scan->reader, number);
    if (status != STATUS_OK) return damaged(scan, "cannot be read");
    status = scan_walk(scan);
    if (status == STATUS_OK && scan->next_lsn == stopped_lsn) {
        *scan->fault = first;
        return first.status;
    }
    return status;
}

static status_t inspect(journal_t *journal, fault_t *fault)
{
    scan_t scan = {.journal = journal, .fault = fault};
    scan.reader = reader_new(journal, true);
    if (scan.reader == NULL) return fault_at(fault, STATUS_OUT_OF_MEMORY, "journal");
    bool has_ready;
    status_t status = load_segments(&scan);
    if (status == STATUS_OK && journal->segment_count == 0) {
        status = fault_at(fault, STATUS_JOURNAL_DAMAGED, "%.64s: no segment", journal->directory);
    }
    if (status == STATUS_OK) status = scan_begin(&scan);
    if (status == STATUS_OK) status = scan_walk(&scan);
    if (status == STATUS_OK) status = scan_prove_end(&scan, &has_ready);
    if (status == STATUS_JOURNAL_DAMAGED && scan.offset > 0) status = inspect_again(&scan);
    if (status == STATUS_OK) scan_finish(&scan, false);
    journal_reader_close(scan.reader);
    return status;
}

segment_header_t journal_identity(const journal_t *journal) { return journal->identity; }

/* The first entry of this generation: after it, what lies before is proven. It goes where a group
 * of sales would not begin any more, so that on a full disk a start needs no new segment: quotes
 * can be answered, and changes are refused until there is room. */
static status_t begin_generation(journal_t *journal, fault_t *fault)
{
    status_t status = group_begin(journal, sizeof(entry_header_t));
    if (status == STATUS_QUEUE_FULL) {
        status = journal_prepare_segment(journal);
        if (status == STATUS_OK) status = group_begin(journal, sizeof(entry_header_t));
    }
    if (status != STATUS_OK) return fault_at(fault, status, "%s", journal->directory);
    int64_t post_unix_ms = journal_next_post_unix_ms(journal);
    entry_parts_t parts = {.header = {.kind = ENTRY_RECOVERED, .event_unix_ms = post_unix_ms}};
    journal_append(journal, &parts, post_unix_ms);
    journal_group_sync(journal);
    return STATUS_OK;
}

static status_t journal_begin(journal_t *journal, fault_t *fault)
{
    const machine_t *machine = journal->machine;
    journal->boot_wall_ms = machine->wall_unix_ms(machine->context);
    journal->boot_monotonic_ns = machine->monotonic_ns(machine->context);
    int error = machine->make_directory(machine->context, journal->directory);
    if (error != 0 && error != EEXIST) {
        return fault_at(fault, status_of_error(error), "%s", journal->directory);
    }
    scan_t scan = {.journal = journal, .fault = fault};
    scan.reader = reader_new(journal, true);
    if (scan.reader == NULL) return fault_at(fault, STATUS_OUT_OF_MEMORY, "journal");
    status_t status = load_segments(&scan);
    if (status == STATUS_OK && journal->segment_count == 0) {
        if (journal->options.from.lsn != 0) {
            status = fault_at(fault, STATUS_JOURNAL_DAMAGED,
                              "the accounts cover a journal that is gone");
        }
        if (status == STATUS_OK) status = journal_create(journal, fault);
        if (status == STATUS_OK) status = load_segments(&scan);
    }
    if (status == STATUS_OK) status = journal_recover(&scan);
    journal_reader_close(scan.reader);
    if (status == STATUS_OK) status = begin_generation(journal, fault);
    return status;
}

/* A journal with its options and no files yet. */
static status_t journal_new(const journal_options_t *options, journal_t **opened, fault_t *fault)
{
    *opened = NULL;
    journal_t *journal = calloc(1, sizeof *journal);
    if (journal == NULL) return fault_at(fault, STATUS_OUT_OF_MEMORY, "journal");
    journal->options = *options;
    journal_options_t *used = &journal->options;
    if (used->segment_bytes == 0) used->segment_bytes = SEGMENT_BYTES;
    if (used->entry_bytes_max == 0) used->entry_bytes_max = ENTRY_BYTES_MAX;
    if (used->group_bytes_max == 0) used->group_bytes_max = GROUP_BYTES_MAX;
    INVARIANT(used->entry_bytes_max <= used->group_bytes_max);
    INVARIANT(ENTRIES_BEGIN + used->entry_bytes_max <= used->segment_bytes);
    INVARIANT(used->segment_bytes < UINT32_MAX);
    journal->machine = used->machine != NULL ? used->machine : machine_real();
    pthread_mutex_init(&journal->lock, NULL);
    journal->file = -1;
    journal->next_file = -1;
    journal->group = malloc(used->group_bytes_max + ENTRIES_BEGIN);
    int length = snprintf(journal->directory, sizeof journal->directory, "%s", used->directory);
    status_t status = STATUS_OK;
    if (length < 0 || (size_t)length + 32 > sizeof journal->directory) {
        status = fault_at(fault, STATUS_TEXT_TOO_LONG, "journal directory");
    }
    if (journal->group == NULL) status = fault_at(fault, STATUS_OUT_OF_MEMORY, "journal");
    if (status == STATUS_OK) *opened = journal;
    else journal_close(journal);
    return status;
}

status_t journal_open(const journal_options_t *options, journal_t **opened, fault_t *fault)
{
    journal_t *journal;
    status_t status = journal_new(options, &journal, fault);
    *opened = NULL;
    if (status != STATUS_OK) return status;
    status = journal_begin(journal, fault);
    if (status == STATUS_OK) *opened = journal;
    else journal_close(journal);
    return status;
}

status_t journal_inspect(const journal_options_t *options, journal_t **opened, fault_t *fault)
{
    journal_t *journal;
    status_t status = journal_new(options, &journal, fault);
    *opened = NULL;
    if (status != STATUS_OK) return status;
    journal->is_inspection = true;
    status = inspect(journal, fault);
    if (status == STATUS_OK) *opened = journal;
    else journal_close(journal);
    return status;
}

void journal_close(journal_t *journal)
{
    if (journal == NULL) return;
    const machine_t *machine = journal->machine;
    if (journal->file >= 0) machine->close(machine->context, journal->file);
    if (journal->next_file >= 0) machine->close(machine->context, journal->next_file);
    pthread_mutex_destroy(&journal->lock);
    free(journal->segments);
    free(journal->group);
    free(journal);
}
