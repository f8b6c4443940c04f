/* The journal: an append-only log of entries in segment files. The journal is the ledger; all
 * other mutable state is derived from it.
 *
 * One thread, the writer, appends; any thread reads what is durable through a reader of its own;
 * one helper thread prepares segments ahead of the writer. journal.c draws the bytes. */
#ifndef CHECKLANE_JOURNAL_H
#define CHECKLANE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"
#include "limits.h"
#include "machine.h"
#include "status.h"

typedef struct journal journal_t;
typedef struct journal_reader journal_reader_t;

/* Where an entry lies: segment << 32 | offset. Never 0: entries begin at offset 128. */
static inline uint64_t position_of(uint64_t segment, uint64_t offset)
{
    return segment << 32 | offset;
}
static inline uint64_t position_segment(uint64_t position) { return position >> 32; }
static inline uint64_t position_offset(uint64_t position) { return position & 0xffffffffu; }

/* One validated entry. Pointers are valid until the next call on the reader that gave it. */
typedef struct entry {
    const entry_header_t *header;
    const uint8_t *request;
    const uint8_t *facts;
    const movement_t *movements;
    const uint8_t *response;
    uint64_t position;
} entry_t;

/* What an append needs; everything is copied. `header` gives kind, flags, event_unix_ms,
 * account_group, member, business_date and method; the journal fills the other fields. */
typedef struct entry_parts {
    entry_header_t header;
    const void *request;
    const void *facts;
    const movement_t *movements;
    const void *response;
    uint32_t request_bytes;
    uint32_t facts_bytes;
    uint32_t movement_count;
    uint32_t response_bytes;
} entry_parts_t;

/* Zeros stand for the defaults of limits.h, the real machine, and a random salt. */
typedef struct journal_options {
    const char *directory;     /* made when missing; its parent must exist */
    const machine_t *machine;
    uint64_t program_key;
    uint32_t node;
    uint32_t partition;
    uint64_t segment_bytes;    /* of new segments: a multiple of 4096 */
    uint64_t entry_bytes_max;
    uint64_t group_bytes_max;  /* at least entry_bytes_max; a segment holds at least one */
    uint64_t salt;             /* of a journal that does not exist yet */
    covered_t from;            /* the scan starts at this entry; lsn 0: at the first */
    /* Called for each valid entry behind `from` as the scan walks over it, so that a replay need
     * not read the log a second time; NULL: not wanted. Not called for the entry that opening
     * appends. Whatever it did is to be thrown away when opening is refused, so it must not write
     * anything to the disk. `bytes_left` is about what lies behind this entry. */
    void (*each)(void *context, const entry_t *entry, uint64_t bytes_left);
    void *each_context;
    /* True: `each` is called on a thread of its own, in order, while the calling one reads and
     * checks what comes next; all calls are over when opening returns. `ahead`, if set, is called
     * on that thread for an entry that is soon due, first far (is_near false), then near, so that
     * memory can be fetched. `spare`, if set, is called on either thread when it would wait for the
     * other: false when it had nothing to do. */
    bool is_piped;
    void (*ahead)(void *context, const entry_t *entry, bool is_near);
    bool (*spare)(void *context);
} journal_options_t;

/* Opens the journal, finds the end of the log, cuts and zeroes what lies behind it, rewrites and
 * syncs what no entry proves to be on the disk, and begins a new generation with a synced
 * ENTRY_RECOVERED. When it returns STATUS_OK, every entry that a reader can see is durable.
 *
 * STATUS_JOURNAL_DAMAGED: an entry that had been durable is gone or changed; fault->place names
 * the segment, offset and LSN; nothing was written. STATUS_FORMAT_UNSUPPORTED: another format.
 * STATUS_JOURNAL_MISMATCH: the journal of another program, node or partition.
 * STATUS_DISK_FULL, STATUS_IO_FAILED. Start-up only. */
status_t journal_open(const journal_options_t *options, journal_t **journal, fault_t *fault);

/* Opens a journal to be looked at, of whatever program, and writes nothing: a process that appends
 * to it may be running. Everything up to the end that was found is readable; the last group of it
 * may not be on the disk yet. What follows a damaged place in a log that grows meanwhile is told
 * from damage by a second look. options: directory; the sizes, where they are not the default ones.
 * STATUS_JOURNAL_DAMAGED, also where there is no segment; STATUS_FORMAT_UNSUPPORTED. */
status_t journal_inspect(const journal_options_t *options, journal_t **journal, fault_t *fault);

/* Header of the first segment: whose journal this is, and where it begins. */
segment_header_t journal_identity(const journal_t *journal);

/* Nothing may be appended and no reader open any more. Writes nothing. */
void journal_close(journal_t *journal);

/* ---- the writer ---- */

/* Starts a group: one write and one sync for all its entries, in one segment. STATUS_DISK_FULL
 * when the segment is used up and there is no room for the next one; STATUS_QUEUE_FULL when the
 * next one is still being prepared: wait for journal_prepare_segment and call again. */
status_t journal_group_begin(journal_t *journal);

/* Room in the open group for one more entry of entry_bytes_max. */
bool journal_group_has_room(const journal_t *journal);

/* Bytes that an entry of these parts takes, header and padding included. Pure. */
uint64_t journal_entry_bytes(const entry_parts_t *parts);

/* LSN, position and post time of the entry that journal_append would add now. The post time is
 * monotone and never more than an hour ahead of the clock that was read at journal_open. */
uint64_t journal_next_lsn(const journal_t *journal);
uint64_t journal_next_position(const journal_t *journal);
int64_t journal_next_post_unix_ms(journal_t *journal);

/* The wall clock, never more than an hour ahead of the clock that was read at journal_open: what
 * post time follows. Any thread. */
int64_t journal_clock_unix_ms(const journal_t *journal);

/* Adds an entry to the open group: copied, sealed and chained, not yet written. The caller has
 * checked journal_group_has_room and the entry's bytes. `post_unix_ms` is what
 * journal_next_post_unix_ms gave for it. */
void journal_append(journal_t *journal, const entry_parts_t *parts, int64_t post_unix_ms);

/* Writes the group and syncs it: afterwards all its entries are durable and readers see them. A
 * failed write or sync does not return (machine_t.fatal). */
void journal_group_sync(journal_t *journal);

/* The last durable entry, as the accounts note it at a freeze. Between groups only. */
covered_t journal_covered(const journal_t *journal);

/* ---- the helper ---- */

/* True when the next step towards the next segment should be made now: none is ready, so much of
 * the current one is used or the writer waits for it, and the last failure, if any, is a second
 * ago. Any thread. */
bool journal_wants_segment(const journal_t *journal);

/* Makes one step towards the next segment: some zeros, written and synced; with the last of them
 * its name, and the directory synced. STATUS_OK: the segment is ready; STATUS_QUEUE_FULL: there is
 * more to do. One thread, not necessarily the writer. */
status_t journal_prepare_step(journal_t *journal);

/* All steps at once: takes as long as the disk needs for segment_bytes. */
status_t journal_prepare_segment(journal_t *journal);

/* ---- readers: any thread, one reader each ---- */

uint64_t journal_durable_lsn(const journal_t *journal);
uint64_t journal_first_lsn(journal_t *journal);
uint64_t journal_generation(const journal_t *journal);
uint64_t journal_salt(const journal_t *journal);

/* A reader owns a window of entry_bytes_max + 64 KiB and at most one open file. NULL: out of
 * memory. */
journal_reader_t *journal_reader_open(journal_t *journal);
void journal_reader_close(journal_reader_t *reader);

/* The durable entry at a position. STATUS_LSN_NOT_KEPT: nothing durable begins there (or its
 * segment is gone). STATUS_JOURNAL_DAMAGED: its checksum does not agree. Cost: a pread. */
status_t journal_read(journal_reader_t *reader, uint64_t position, entry_t *entry);

/* Places the reader before the entry with this LSN (journal_durable_lsn + 1: before the next one
 * to come). STATUS_LSN_NOT_KEPT: older than the first segment, or further ahead. Cost: reads half
 * a segment on average. */
status_t journal_seek(journal_reader_t *reader, uint64_t lsn);

/* Places the reader behind a covered entry, at the first entry when covered->lsn is 0. */
status_t journal_seek_covered(journal_reader_t *reader, const covered_t *covered);

/* The next durable entry in LSN order; entry->header is NULL when there is none yet. The chain is
 * checked from entry to entry: STATUS_JOURNAL_DAMAGED where it breaks. */
status_t journal_next(journal_reader_t *reader, entry_t *entry);

#endif
