/* Programs and catalogues that are not live any more, by the hashes that an entry names: a total is
 * posted as it was shown, however often the program has changed since.
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
        session->live = &kept->live;
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
}

void close_programs(engine_t *engine)
{
    for (uint32_t i = 0; i < KEPT_MAX; i++) close_kept(&engine->kept[i]);
}
