/* How the derived state is held against the journal.
 *
 * The accounts cover the journal up to an entry, and a checkpoint that is under way (or was when
 * the process died) has written some records beyond it. So the accounts are rebuilt up to exactly
 * that entry, and every record that states no later entry must be the same, byte for byte; and
 * every rebuilt record must be there, in this or a later version. The view of the accounts is taken
 * before the journal is walked: whatever it covers is in the journal that is seen. */
#include "audit.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariant.h"
#include "ledger.h"

struct audit {
    journal_t *journal;
    journal_reader_t *reader;
    journal_reader_t *shown;
    accounts_t *live;
    accounts_reader_t *live_reader;
    const accounts_view_t *live_view;
    accounts_t *scratch;
    accounts_reader_t *scratch_reader;
    bool is_replaying;
    covered_t covered;  /* of the live accounts */
    covered_t replayed;
    audit_report_t report;
};

static const char *family_name(uint8_t family)
{
    static const char *const names[] = {"", "group", "member", "identity", "place",
                                        "offer", "receipt", "key", "?", "coupon"};
    return family < sizeof names / sizeof *names ? names[family] : "?";
}

/* Writes down the first difference and counts the others. */
static void note_difference(audit_t *audit, const record_key_t *key, record_t live,
                            record_t rebuilt)
{
    audit_report_t *report = &audit->report;
    report->differences++;
    if (report->differences > 1) return;
    uint32_t at = 0;
    while (at < live.head->cell_count && at < rebuilt.head->cell_count
           && memcmp(&live.cells[at], &rebuilt.cells[at], sizeof(cell_t)) == 0) {
        at++;
    }
    char cell[160] = "";
    const cell_t *shown = NULL;
    if (at < live.head->cell_count) shown = &live.cells[at];
    else if (at < rebuilt.head->cell_count) shown = &rebuilt.cells[at];
    if (shown != NULL) {
        bool is_live = at < live.head->cell_count;
        bool is_rebuilt = at < rebuilt.head->cell_count;
        snprintf(cell, sizeof cell,
                 "; cell kind %u sub %u day %d key %" PRIu64 ": value %" PRId64
                 " in the accounts, %" PRId64 " by the journal",
                 shown->kind, shown->sub, shown->day, shown->key,
                 is_live ? live.cells[at].value : 0, is_rebuilt ? rebuilt.cells[at].value : 0);
    }
    snprintf(report->difference, sizeof report->difference,
             "%s record %" PRIu64 ":%" PRIu64 " (lsn %" PRIu64 ", %u cells in the accounts; lsn %"
             PRIu64 ", %u cells by the journal)%s",
             family_name(key->family), key->hi, key->lo, live.head->applied_lsn,
             live.head->cell_count, rebuilt.head->applied_lsn, rebuilt.head->cell_count, cell);
}

static void compare_live(void *context, const record_key_t *key, record_t live)
{
    audit_t *audit = context;
    if (live.head->applied_lsn > audit->covered.lsn) {
        audit->report.records_ahead++;
        return;
    }
    audit->report.records++;
    record_t rebuilt = accounts_read(accounts_pin(audit->scratch_reader), *key);
    bool is_same = memcmp(live.head, rebuilt.head, sizeof *live.head) == 0
                   && memcmp(live.cells, rebuilt.cells,
                             live.head->cell_count * sizeof(cell_t)) == 0;
    if (!is_same) note_difference(audit, key, live, rebuilt);
    accounts_unpin(audit->scratch_reader);
}

static void compare_rebuilt(void *context, const record_key_t *key, record_t rebuilt)
{
    audit_t *audit = context;
    record_t live = accounts_read(audit->live_view, *key);
    if (live.head->applied_lsn == 0) note_difference(audit, key, live, rebuilt);
}

/* The accounts that are rebuilt are as far as those to compare. */
static status_t compare(audit_t *audit, fault_t *fault)
{
    audit->report.is_compared = true;
    if (audit->covered.lsn != 0) {
        entry_t entry;
        status_t status = journal_read(audit->reader, audit->covered.position, &entry);
        if (status != STATUS_OK || entry.header->lsn != audit->covered.lsn
            || entry.header->crc != audit->covered.crc) {
            audit->report.differences++;
            snprintf(audit->report.difference, sizeof audit->report.difference,
                     "the accounts cover lsn %" PRIu64 ", which is another entry in the journal",
                     audit->covered.lsn);
            return STATUS_OK;
        }
        accounts_advance(audit->live, entry.header->post_unix_ms);
        accounts_advance(audit->scratch, entry.header->post_unix_ms);
    }
    status_t status = accounts_index_view(audit->live_view);
    if (status == STATUS_OK) status = accounts_prepare_index(audit->scratch, 0);
    if (status == STATUS_OK) status = accounts_each(audit->live_view, compare_live, audit);
    if (status == STATUS_OK) {
        const accounts_view_t *view = accounts_pin(audit->scratch_reader);
        status = accounts_each(view, compare_rebuilt, audit);
        accounts_unpin(audit->scratch_reader);
    }
    return status == STATUS_OK ? STATUS_OK : fault_at(fault, status, "accounts");
}

/* ---------------------------------------------------------------- opening ----------------- */

static status_t open_live(audit_t *audit, const audit_options_t *options, fault_t *fault)
{
    accounts_options_t live = {.directory = options->accounts_directory,
                               .retention_days = options->retention_days,
                               .is_read_only = true};
    status_t status = accounts_open(&live, &audit->live, fault);
    if (status == STATUS_OK) status = accounts_reader_open(audit->live, &audit->live_reader);
    if (status != STATUS_OK) return status;
    audit->live_view = accounts_pin(audit->live_reader);
    audit->covered = accounts_view_covered(audit->live_view);
    audit->report.covered_lsn = audit->covered.lsn;
    return STATUS_OK;
}

static status_t open_journal(audit_t *audit, const audit_options_t *options, fault_t *fault)
{
    INVARIANT(options->from.lsn == 0 || options->scratch_directory == NULL);
    journal_options_t journal = {.directory = options->journal_directory,
                                 .from = options->from,
                                 .segment_bytes = options->segment_bytes,
                                 .entry_bytes_max = options->entry_bytes_max,
                                 .group_bytes_max = options->group_bytes_max};
    status_t status = journal_inspect(&journal, &audit->journal, fault);
    if (status != STATUS_OK) return status;
    audit->reader = journal_reader_open(audit->journal);
    audit->shown = journal_reader_open(audit->journal);
    if (audit->reader == NULL || audit->shown == NULL) {
        return fault_at(fault, STATUS_OUT_OF_MEMORY, "journal reader");
    }
    segment_header_t identity = journal_identity(audit->journal);
    covered_t last = journal_covered(audit->journal);
    audit_report_t *report = &audit->report;
    report->program_key = identity.program_key;
    report->node = identity.node;
    report->partition = identity.partition;
    report->salt = identity.salt;
    report->first_lsn = identity.first_lsn;
    report->first_segment = identity.segment;
    report->last_lsn = last.lsn;
    report->last_position = last.position;
    report->last_crc = last.crc;
    report->end_position = journal_next_position(audit->journal);
    return STATUS_OK;
}

static status_t open_scratch(audit_t *audit, const audit_options_t *options, fault_t *fault)
{
    accounts_options_t scratch = {.directory = options->scratch_directory,
                                  .retention_days = options->retention_days};
    status_t status = accounts_open(&scratch, &audit->scratch, fault);
    if (status == STATUS_OK) {
        status = accounts_reader_open(audit->scratch, &audit->scratch_reader);
    }
    if (status != STATUS_OK) return status;
    audit->replayed = accounts_covered(audit->scratch);
    audit->report.begun_lsn = audit->report.replayed_lsn = audit->replayed.lsn;
    if (audit->replayed.lsn == 0 && audit->report.first_lsn != 1) {
        return fault_at(fault, STATUS_LSN_NOT_KEPT,
                        "the journal begins at lsn %" PRIu64 " and there is no base",
                        audit->report.first_lsn);
    }
    status = journal_seek_covered(audit->reader, &audit->replayed);
    if (status != STATUS_OK) return fault_at(fault, status, "base at lsn %" PRIu64,
                                             audit->replayed.lsn);
    accounts_replay_begin(audit->scratch, UINT32_MAX);
    audit->is_replaying = true;
    return STATUS_OK;
}

status_t audit_open(const audit_options_t *options, audit_t **opened, fault_t *fault)
{
    *opened = NULL;
    audit_t *audit = calloc(1, sizeof *audit);
    if (audit == NULL) return fault_at(fault, STATUS_OUT_OF_MEMORY, "audit");
    status_t status = STATUS_OK;
    if (options->accounts_directory != NULL) status = open_live(audit, options, fault);
    if (status == STATUS_OK) status = open_journal(audit, options, fault);
    if (status == STATUS_OK && audit->covered.lsn > audit->report.last_lsn) {
        status = fault_at(fault, STATUS_JOURNAL_DAMAGED,
                          "it ends at lsn %" PRIu64 ", the accounts cover lsn %" PRIu64,
                          audit->report.last_lsn, audit->covered.lsn);
    }
    if (status == STATUS_OK && audit->covered.lsn != 0
        && audit->covered.salt != audit->report.salt) {
        status = fault_at(fault, STATUS_JOURNAL_DAMAGED, "accounts of another journal");
    }
    if (status == STATUS_OK && options->scratch_directory != NULL) {
        status = open_scratch(audit, options, fault);
    }
    if (status != STATUS_OK) {
        audit_close(audit);
        return status;
    }
    *opened = audit;
    return STATUS_OK;
}

void audit_close(audit_t *audit)
{
    if (audit == NULL) return;
    if (audit->is_replaying) accounts_replay_end(audit->scratch);
    if (audit->scratch_reader != NULL) accounts_reader_close(audit->scratch_reader);
    accounts_close(audit->scratch);
    if (audit->live_view != NULL) accounts_unpin(audit->live_reader);
    if (audit->live_reader != NULL) accounts_reader_close(audit->live_reader);
    accounts_close(audit->live);
    journal_reader_close(audit->reader);
    journal_reader_close(audit->shown);
    journal_close(audit->journal);
    free(audit);
}

/* ---------------------------------------------------------------- walking ----------------- */

status_t audit_step(audit_t *audit, uint64_t entries, fault_t *fault)
{
    INVARIANT(audit->is_replaying);
    audit_report_t *report = &audit->report;
    status_t status = STATUS_OK;
    for (uint64_t i = 0; i < entries && status == STATUS_OK && !report->is_done; i++) {
        bool is_due = audit->live != NULL && !report->is_compared;
        if (is_due && audit->replayed.lsn >= audit->covered.lsn) {
            status = compare(audit, fault);
            if (status != STATUS_OK) return status;
        }
        entry_t entry;
        status = journal_next(audit->reader, &entry);
        if (status != STATUS_OK) break;
        if (entry.header == NULL) {
            report->is_done = true;
            break;
        }
        status = ledger_replay_entry(audit->scratch, &entry, report->salt, &audit->replayed);
        report->replayed_lsn = audit->replayed.lsn;
    }
    if (status == STATUS_OK) return STATUS_OK;
    return fault_at(fault, status, "replay behind lsn %" PRIu64, audit->replayed.lsn);
}

status_t audit_finish(audit_t *audit, fault_t *fault)
{
    INVARIANT(audit->report.is_done);
    accounts_replay_end(audit->scratch);
    audit->is_replaying = false;
    status_t status = STATUS_OK;
    if (!accounts_freeze(audit->scratch, audit->replayed)) status = STATUS_OUT_OF_MEMORY;
    if (status == STATUS_OK) status = accounts_checkpoint(audit->scratch, NULL, NULL);
    return status == STATUS_OK ? STATUS_OK : fault_at(fault, status, "accounts");
}

void audit_tell(const audit_t *audit, audit_report_t *report)
{
    *report = audit->report;
}

journal_reader_t *audit_reader(audit_t *audit)
{
    return audit->shown;
}
