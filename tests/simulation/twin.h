/* The slow twin of the accounts: every cell of every record, by applying the journal's movements
 * one after the other, written from layout.h and not from accounts.c. */
#ifndef CHECKLANE_SIMULATION_TWIN_H
#define CHECKLANE_SIMULATION_TWIN_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "layout.h"
#include "siphash.h"

#define TWIN_SLOTS 16384

typedef struct twin_cell {
    record_key_t record; /* family 0: an empty slot */
    cell_t cell;
} twin_cell_t;

/* A record is a slot too: its cell has kind 0, and value holds the LSN that touched it last. */
typedef struct twin {
    uint32_t used;
    uint32_t cells;      /* that are not 0, 0 */
    twin_cell_t slots[TWIN_SLOTS];
} twin_t;

static inline void twin_clear(twin_t *twin)
{
    memset(twin, 0, sizeof *twin);
}

static inline uint64_t twin_hash(const record_key_t *record, const cell_t *cell)
{
    uint64_t hash = mix64(record->hi ^ mix64(record->lo + record->family));
    hash = mix64(hash ^ cell->key ^ ((uint64_t)cell->kind << 40) ^ ((uint64_t)cell->sub << 32));
    return mix64(hash ^ (uint32_t)cell->day);
}

/* The slot of a cell, made when it is not there. NULL: no room. */
static inline twin_cell_t *twin_at(twin_t *twin, const record_key_t *record, const cell_t *cell)
{
    for (uint64_t at = twin_hash(record, cell);; at++) {
        twin_cell_t *slot = &twin->slots[at % TWIN_SLOTS];
        if (slot->record.family == 0) {
            if (twin->used == TWIN_SLOTS - 1) return NULL;
            twin->used++;
            slot->record = *record;
            slot->cell = *cell;
            slot->cell.value = 0;
            slot->cell.other = 0;
            return slot;
        }
        if (memcmp(&slot->record, record, sizeof *record) != 0) continue;
        if (slot->cell.kind != cell->kind || slot->cell.sub != cell->sub) continue;
        if (slot->cell.day == cell->day && slot->cell.key == cell->key) return slot;
    }
}

static inline uint64_t twin_touched(twin_t *twin, const record_key_t *record)
{
    cell_t whole = {0};
    twin_cell_t *slot = twin_at(twin, record, &whole);
    return slot == NULL ? 0 : (uint64_t)slot->cell.value;
}

/* Applies one movement; returns the cell as it is afterwards, or NULL when there is no room. */
static inline const cell_t *twin_move(twin_t *twin, uint64_t lsn, const movement_t *movement)
{
    cell_t whole = {0};
    twin_cell_t *record = twin_at(twin, &movement->record, &whole);
    twin_cell_t *slot = twin_at(twin, &movement->record, &movement->cell);
    if (record == NULL || slot == NULL) return NULL;
    record->cell.value = (int64_t)lsn;
    cell_t *cell = &slot->cell;
    if (cell->value != 0 || cell->other != 0) twin->cells--;
    if (movement->op == MOVEMENT_SET) {
        cell->value = 0;
        cell->other = 0;
    }
    cell->value += movement->cell.value;
    cell->other += movement->cell.other;
    if (cell->value != 0 || cell->other != 0) twin->cells++;
    return cell;
}

#endif
