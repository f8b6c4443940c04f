/* Business dates of a store that are closed. The last one is a cell of the store's record; what
 * comes later for a closed date keeps its own business date (offers, limits and points are judged
 * by it) and counts for the first open one, so that the books of a closed date never change. */
#include "engine_internal.h"

static record_key_t dates_record(const session_t *session, bytes_t store_id)
{
    return key_of(session, FAMILY_OFFER, 0, name_key_of("store", store_id));
}

int32_t closed_date(const session_t *session, const accounts_view_t *view, bytes_t store_id)
{
    record_t record = accounts_read(view, dates_record(session, store_id));
    const cell_t *closed = record_find(record, CELL_CLOSED, 0, 0, 0);
    return closed == NULL ? 0 : (int32_t)closed->value;
}

int32_t open_date(const session_t *session, const accounts_view_t *view, bytes_t store_id,
                  int32_t date)
{
    int32_t closed = closed_date(session, view, store_id);
    if (date == 0 || date > closed) return date;
    return date_from_day(day_from_date(closed) + 1);
}

/* A date that is closed already stays so, and its answer is not a refusal. */
static status_t prepare_close(void *context, const accounts_view_t *view, entry_builder_t *entry)
{
    session_t *session = context;
    bytes_t store_id = session->wire.store_id;
    int32_t date = (int32_t)session->wire.close_date.business_date;
    int32_t closed = closed_date(session, view, store_id);
    status_t status = STATUS_OK;
    if (day_from_date(date) > day_at_sender(session, entry->post_unix_ms)) {
        return fault_at(session->fault, STATUS_FIELD_OUT_OF_RANGE, "business_date");
    }
    if (date > closed) {
        cell_t cell = {.kind = CELL_CLOSED, .value = date};
        status = entry_builder_move(entry, dates_record(session, store_id), cell, MOVEMENT_SET,
                                    REASON_OVERLAY);
        closed = date;
    }
    if (status != STATUS_OK) return status;
    posting_t posting = posting_of(entry, date);
    seal_t seal = {.kind = ENTRY_CLOSE_DATE, .business_date = date};
    return seal_entry(session, entry, &seal,
                      wire_write_close(session->reply, closed, &posting));
}

status_t call_close_date(session_t *session)
{
    bool is_answered = false;
    begin_change(session, REQUEST_CLOSE_DATE, prepare_close);
    status_t status = check_sender(session, "context.store_id");
    status = answer_repeat(session, status, &is_answered);
    if (status != STATUS_OK || is_answered) return status;
    return submit_change(session);
}
