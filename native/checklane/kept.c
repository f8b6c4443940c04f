/* Programs and catalogues that are not live any more, by the hashes that an entry names or by the
 * time when they were live: a total is posted as it was shown, and a sale that comes late is judged
 * as it would have been, however often the program has changed since.
 *
 * What was live when is one record of the accounts, two cells a change. The entry that records a
 * change makes them, so the journal tells it too.
 *
 * They are opened when they are asked for, from the data directory's snapshots, and stay open until
 * KEPT_MAX others were asked for later. A snapshot's name tells its content, which was checked when
 * it was activated. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_internal.h"
#include "invariant.h"

static void close_kept(kept_t *kept)
{
    INVARIANT(kept->holders == 0);
    if (kept->live.program == NULL) return;
    program_close((program_t *)kept->live.program);
    catalogue_close((catalogue_t *)kept->live.catalogue);
    free((program_t *)kept->live.program);
    free((catalogue_t *)kept->live.catalogue);
    memset(kept, 0, sizeof *kept);
}

static void write_path(const engine_t *engine, const char *kind, const uint8_t hash[16],
                       char path[2 * PATH_BYTES_MAX])
{
    char digits[33];
    for (uint32_t i = 0; i < 16; i++) snprintf(digits + 2 * i, 3, "%02x", hash[i]);
    snprintf(path, 2 * PATH_BYTES_MAX, "%s/snapshots/%s-%s.lmdb", engine->data_directory, kind,
             digits);
}

static status_t open_kept(const engine_t *engine, const uint8_t program_hash[16],
                          const uint8_t catalogue_hash[16], kept_t *kept)
{
    char path[2 * PATH_BYTES_MAX];
    program_t *program = calloc(1, sizeof *program);
    catalogue_t *catalogue = calloc(1, sizeof *catalogue);
    status_t status = program == NULL || catalogue == NULL ? STATUS_OUT_OF_MEMORY : STATUS_OK;
    write_path(engine, "program", program_hash, path);
    if (status == STATUS_OK) status = program_open(path, program_hash, program);
    if (status == STATUS_OK) {
        write_path(engine, "catalogue", catalogue_hash, path);
        status = catalogue_open(path, catalogue_hash, catalogue);
        if (status == STATUS_OK) {
            kept->live = (live_t){.program = program, .catalogue = catalogue};
            return STATUS_OK;
        }
        program_close(program);
    }
    free(program);
    free(catalogue);
    return status;
}

static bool is_named(const live_t *live, const uint8_t program_hash[16],
                     const uint8_t catalogue_hash[16])
{
    if (live->program == NULL) return false;
    return memcmp(live->program->hash, program_hash, 16) == 0
           && memcmp(live->catalogue->hash, catalogue_hash, 16) == 0;
}

/* The place of what is named, or the one that nobody holds and that was asked for longest ago. */
static kept_t *find_kept(engine_t *engine, const uint8_t program_hash[16],
                         const uint8_t catalogue_hash[16])
{
    kept_t *oldest = NULL;
    for (uint32_t i = 0; i < KEPT_MAX; i++) {
        kept_t *kept = &engine->kept[i];
        if (is_named(&kept->live, program_hash, catalogue_hash)) return kept;
        if (kept->holders > 0) continue;
        if (oldest == NULL || kept->asked < oldest->asked) oldest = kept;
    }
    return oldest;
}

status_t use_program(session_t *session, const uint8_t program_hash[16],
                     const uint8_t catalogue_hash[16])
{
    engine_t *engine = session->engine;
    INVARIANT(session->kept == NULL);
    if (is_named(session->live, program_hash, catalogue_hash)) return STATUS_OK;
    status_t status = STATUS_OK;
    pthread_mutex_lock(&engine->kept_mutex);
    kept_t *kept = find_kept(engine, program_hash, catalogue_hash);
    if (kept == NULL) status = STATUS_OUT_OF_MEMORY;
    if (kept != NULL && !is_named(&kept->live, program_hash, catalogue_hash)) {
        close_kept(kept);
        status = open_kept(engine, program_hash, catalogue_hash, kept);
    }
    if (status == STATUS_OK) {
        kept->holders++;
        kept->asked = ++engine->kept_asked;
        session->kept = kept;
        session->then = kept->live;
        session->then.members = session->live->members;
        session->live = &session->then;
    }
    pthread_mutex_unlock(&engine->kept_mutex);
    return status;
}

void let_program_go(session_t *session)
{
    if (session->kept == NULL) return;
    pthread_mutex_lock(&session->engine->kept_mutex);
    INVARIANT(session->kept->holders > 0);
    session->kept->holders--;
    pthread_mutex_unlock(&session->engine->kept_mutex);
    session->kept = NULL;
    session->live = atomic_load(&session->pinned);
}

void close_programs(engine_t *engine)
{
    for (uint32_t i = 0; i < KEPT_MAX; i++) close_kept(&engine->kept[i]);
}

/* ------------------------------------------------------------------ what was live when ---- */

#define LIVE_PROGRAM 0
#define LIVE_CATALOGUE 1

static record_key_t live_key(const engine_t *engine)
{
    return record_key(FAMILY_OFFER, (uint16_t)engine->options.partition, 0, 0);
}

static cell_t live_cell(uint8_t sub, uint64_t since_ms, const uint8_t hash[16])
{
    cell_t cell = {.kind = CELL_LIVE, .sub = sub, .key = since_ms};
    memcpy(&cell.value, hash, sizeof cell.value);
    memcpy(&cell.other, hash + sizeof cell.value, sizeof cell.other);
    return cell;
}

static void copy_hash(const cell_t *cell, uint8_t hash[16])
{
    memcpy(hash, &cell->value, sizeof cell->value);
    memcpy(hash + sizeof cell->value, &cell->other, sizeof cell->other);
}

/* The changes that are noted, oldest first: the cells of the programs. */
static cells_t noted_programs(record_t record)
{
    uint32_t first = record_first(record, CELL_LIVE);
    uint32_t end = first;
    while (end < record.head->cell_count && record.cells[end].kind == CELL_LIVE
           && record.cells[end].sub == LIVE_PROGRAM) {
        end++;
    }
    return (cells_t){record.cells + first, end - first};
}

static bool is_last_noted(cells_t noted, const live_t *live)
{
    uint8_t hash[16];
    if (noted.count == 0) return false;
    copy_hash(&noted.at[noted.count - 1], hash);
    return memcmp(hash, live->program->hash, sizeof hash) == 0;
}

bool is_noted_live(session_t *session, const live_t *live)
{
    const accounts_view_t *view = ledger_pin(session->reader);
    bool is_noted = is_last_noted(noted_programs(accounts_read(view, live_key(session->engine))),
                                  live);
    ledger_unpin(session->reader);
    return is_noted;
}

/* Takes a cell out of the record. */
static status_t forget(entry_builder_t *entry, record_key_t key, const cell_t *cell)
{
    cell_t gone = *cell;
    gone.value = (int64_t)(0 - (uint64_t)cell->value);
    gone.other = (int64_t)(0 - (uint64_t)cell->other);
    return entry_builder_move(entry, key, gone, MOVEMENT_ADD, REASON_EXPIRE);
}

status_t note_live(const engine_t *engine, const accounts_view_t *view, entry_builder_t *entry,
                   const live_t *live)
{
    record_key_t key = live_key(engine);
    record_t record = accounts_read(view, key);
    cells_t noted = noted_programs(record);
    uint64_t since_ms = (uint64_t)entry->post_unix_ms;
    status_t status = STATUS_OK;
    if (is_last_noted(noted, live)) return STATUS_OK;
    if (noted.count >= LIVE_NOTED_MAX) {
        const cell_t *catalogue = record_find(record, CELL_LIVE, LIVE_CATALOGUE, 0,
                                              noted.at[0].key);
        status = forget(entry, key, &noted.at[0]);
        if (status == STATUS_OK && catalogue != NULL) status = forget(entry, key, catalogue);
    }
    if (status == STATUS_OK) {
        status = entry_builder_move(entry, key,
                                    live_cell(LIVE_PROGRAM, since_ms, live->program->hash),
                                    MOVEMENT_SET, REASON_OVERLAY);
    }
    if (status != STATUS_OK) return status;
    return entry_builder_move(entry, key,
                              live_cell(LIVE_CATALOGUE, since_ms, live->catalogue->hash),
                              MOVEMENT_SET, REASON_OVERLAY);
}

status_t use_program_then(session_t *session, int64_t unix_ms)
{
    uint8_t program_hash[16];
    uint8_t catalogue_hash[16];
    const cell_t *program = NULL;
    const cell_t *catalogue = NULL;
    const accounts_view_t *view = ledger_pin(session->reader);
    record_t record = accounts_read(view, live_key(session->engine));
    cells_t noted = noted_programs(record);
    for (uint32_t i = 0; i < noted.count && noted.at[i].key <= (uint64_t)unix_ms; i++) {
        program = &noted.at[i];
    }
    if (program != NULL) {
        catalogue = record_find(record, CELL_LIVE, LIVE_CATALOGUE, 0, program->key);
    }
    bool is_known = catalogue != NULL;
    if (is_known) {
        copy_hash(program, program_hash);
        copy_hash(catalogue, catalogue_hash);
    }
    ledger_unpin(session->reader);
    if (!is_known) return STATUS_SNAPSHOT_UNKNOWN;
    return use_program(session, program_hash, catalogue_hash);
}
