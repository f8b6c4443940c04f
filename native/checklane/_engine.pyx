"""The only door between Python and the engine.

Everything here takes bytes and plain numbers, gives the interpreter's lock up once a call, and
answers bytes and plain numbers. What a call means is said in engine.h.
"""

import os
import threading

import numpy as np

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from checklane.decide cimport decide_basket, scratch_bytes


cdef extern from "checklane/layout.h" nogil:
    ctypedef struct table_header_t:
        pass
    ctypedef struct identity_slot_t:
        pass
    ctypedef struct referral_slot_t:
        pass
    ctypedef struct member_record_t:
        pass
    ctypedef struct snapshot_info_t:
        pass
    ctypedef struct code_slot_t:
        pass
    ctypedef struct product_t:
        pass
    ctypedef struct store_t:
        pass
    ctypedef struct transition_t:
        pass
    ctypedef struct program_header_t:
        pass
    ctypedef struct offer_t:
        pass
    ctypedef struct slot_t:
        pass
    ctypedef struct posting_list_t:
        pass
    ctypedef struct universal_list_t:
        pass
    ctypedef struct retailer_t:
        pass
    ctypedef struct tender_rule_t:
        pass
    ctypedef struct row_t:
        pass
    ctypedef struct limit_t:
        pass
    ctypedef struct step_t:
        pass
    ctypedef struct offer_more_t:
        pass
    ctypedef struct funding_t:
        pass
    ctypedef struct audience_t:
        pass
    ctypedef struct schedule_t:
        pass
    ctypedef struct text_t:
        pass
    ctypedef struct purse_t:
        pass
    ctypedef struct tier_t:
        pass
    ctypedef struct progress_t:
        pass
    ctypedef struct coupon_slot_t:
        pass
    ctypedef struct offer_number_t:
        pass
    ctypedef struct name_slot_t:
        pass
    ctypedef struct issuer_range_t:
        pass
    ctypedef struct record_key_t:
        pass
    ctypedef struct record_head_t:
        pass
    ctypedef struct cell_t:
        pass
    ctypedef struct movement_t:
        pass
    ctypedef struct covered_t:
        pass
    ctypedef struct segment_header_t:
        pass
    ctypedef struct entry_header_t:
        uint32_t length
    ctypedef struct total_facts_t:
        pass
    ctypedef struct missing_t:
        pass
    ctypedef struct fuel_right_t:
        pass
    ctypedef struct captured_t:
        pass
    ctypedef struct facts_header_t:
        pass
    ctypedef struct exchange_facts_t:
        pass
    ctypedef struct refund_t:
        pass
    ctypedef struct claim_facts_t:
        pass
    ctypedef struct found_record_t:
        pass
    ctypedef struct shared_counter_t:
        pass
    ctypedef struct sold_line_t:
        pass


cdef extern from "checklane/limits.h" nogil:
    const int PURSES_MAX
    const int REPLY_BYTES_MAX
    const int REQUEST_BYTES_MAX


cdef extern from "checklane/siphash.h" nogil:
    ctypedef struct hash128_t:
        uint64_t hi
        uint64_t lo
    hash128_t siphash128(const uint64_t *key, const void *bytes, size_t size)


cdef extern from "checklane/snapshot.h" nogil:
    ctypedef struct program_t:
        pass
    ctypedef struct catalogue_t:
        pass
    int program_open(const char *path, const uint8_t *hash, program_t *program)
    int catalogue_open(const char *path, const uint8_t *hash, catalogue_t *catalogue)
    void program_close(program_t *program)
    void catalogue_close(catalogue_t *catalogue)


cdef extern from "checklane/engine.h" nogil:
    ctypedef int status_t
    ctypedef struct fault_t:
        status_t status
        char place[96]
    ctypedef struct reply_t:
        uint8_t *at
        uint32_t capacity
        uint32_t size
    ctypedef struct engine_t:
        pass
    ctypedef void *decide_t
    ctypedef struct engine_options_t:
        const char *data_directory
        uint32_t session_count
        uint32_t node
        uint32_t partition
        uint32_t checkpoint_pause_ms
        uint64_t identity_key[2]
        uint64_t hold_out_key[2]
        decide_t decide
        size_t scratch_bytes
    ctypedef struct accounts_metrics_t:
        uint64_t memtable_bytes
        uint64_t memtable_records
        uint64_t frozen_bytes
        uint64_t frozen_records
        uint64_t index_bytes
        uint64_t checkpoints
        uint64_t checkpoint_records
        uint64_t covered_lsn
        uint64_t points[8][17]
        int64_t owed_points[17]
    ctypedef struct ledger_metrics_t:
        uint64_t entries
        uint64_t groups
        uint64_t repeats
        uint64_t refused
        uint64_t redecisions
        uint64_t bytes
        uint64_t queue_depth
        uint64_t durable_lsn
        uint64_t first_lsn
        uint64_t generation
        uint64_t recovered_entries
        uint64_t sync_ns
        uint64_t sync_buckets[24]
        uint64_t group_buckets[10]
        uint64_t checkpoint_ns
        uint64_t failed_checkpoints
        accounts_metrics_t accounts
    const int SYNC_BUCKETS
    const int GROUP_BUCKETS
    const int POINTS_FLOWS
    const char *points_flow_name(uint32_t flow)
    ctypedef struct entry_t:
        const entry_header_t *header
    ctypedef struct ledger_reader_t:
        pass
    const int METHOD_NUMBERS
    const char *method_name(uint32_t method)
    status_t engine_open(const engine_options_t *options, engine_t **engine, fault_t *fault)
    void engine_drain(engine_t *engine)
    void engine_close(engine_t *engine)
    status_t engine_call(engine_t *engine, uint32_t method, const uint8_t *request,
                         size_t request_size, reply_t *reply, fault_t *fault)
    status_t engine_activate(engine_t *engine, const char *members_path,
                             const uint8_t *members_hash, const char *catalogue_path,
                             const uint8_t *catalogue_hash, const char *program_path,
                             const uint8_t *program_hash, bint is_recorded, fault_t *fault)
    status_t engine_replay(engine_t *engine, const uint8_t *entry, size_t entry_bytes,
                           const program_t *program, const catalogue_t *catalogue,
                           bint is_explained, reply_t *reply, fault_t *fault)
    bint engine_measure(engine_t *engine, ledger_metrics_t *metrics)
    status_t engine_reader_open(engine_t *engine, ledger_reader_t **reader)
    status_t engine_time_decisions(engine_t *engine, const uint8_t *request, size_t request_size,
                                   uint32_t count, uint32_t *nanoseconds, uint64_t *steps,
                                   fault_t *fault)
    void ledger_reader_close(ledger_reader_t *reader)
    status_t ledger_seek(ledger_reader_t *reader, uint64_t lsn)
    status_t ledger_next(ledger_reader_t *reader, entry_t *entry)
    status_t engine_checkpoint(engine_t *engine)


cdef extern from "checklane/drive.h" nogil:
    ctypedef struct drive_t:
        pass
    ctypedef struct drive_options_t:
        const char *data_directory
        uint64_t program_key
        uint32_t node
        uint16_t partition
        uint32_t checkpoint_pause_ms
        const uint8_t *entries
        size_t entries_bytes
        uint64_t accounts
        uint64_t seed
    ctypedef struct drive_plan_t:
        uint32_t in_flight
        double per_second
        int64_t duration_ns
    ctypedef struct drive_result_t:
        uint64_t count
        uint64_t refused
        uint32_t first_status
        int64_t elapsed_ns
    status_t drive_open(const drive_options_t *options, drive_t **drive, fault_t *fault)
    void drive_run(drive_t *drive, const drive_plan_t *plan, uint32_t *times_ns, size_t most,
                   drive_result_t *result)
    void drive_measure(drive_t *drive, ledger_metrics_t *metrics)
    void drive_close(drive_t *drive, bint is_checkpointed)
    status_t drive_fill(const drive_options_t *options, uint64_t count, fault_t *fault)


cdef extern from "checklane/audit.h" nogil:
    ctypedef struct journal_reader_t:
        pass
    ctypedef struct audit_t:
        pass
    ctypedef struct audit_options_t:
        const char *journal_directory
        const char *accounts_directory
        const char *scratch_directory
        uint64_t begin_lsn "from.lsn"
        uint64_t begin_position "from.position"
        uint32_t begin_crc "from.crc"
        uint64_t begin_salt "from.salt"
        uint32_t retention_days
    ctypedef struct audit_report_t:
        uint64_t program_key
        uint64_t salt
        uint32_t node
        uint32_t partition
        uint64_t first_lsn
        uint64_t first_segment
        uint64_t last_lsn
        uint64_t last_position
        uint64_t end_position
        uint32_t last_crc
        uint64_t begun_lsn
        uint64_t replayed_lsn
        uint64_t covered_lsn
        bint is_compared
        bint is_done
        uint64_t records
        uint64_t records_ahead
        uint64_t differences
        char difference[400]
    status_t audit_open(const audit_options_t *options, audit_t **audit, fault_t *fault)
    void audit_close(audit_t *audit)
    status_t audit_step(audit_t *audit, uint64_t entries, fault_t *fault)
    status_t audit_finish(audit_t *audit, fault_t *fault)
    void audit_tell(const audit_t *audit, audit_report_t *report)
    journal_reader_t *audit_reader(audit_t *audit)
    status_t journal_seek(journal_reader_t *reader, uint64_t lsn)
    status_t journal_next(journal_reader_t *reader, entry_t *entry)


cdef extern from "checklane/lane.h" nogil:
    const int LANE_STATUSES
    const int LANE_METHODS_MAX
    const int LANE_LISTENERS_MAX
    const int LANE_BUCKETS
    const int LANE_ENDS
    const int LANE_KIND_UNARY
    const int LANE_KIND_STREAM
    const int LANE_KIND_UPLOAD
    const int LANE_KIND_REFUSED
    const int LANE_KIND_CHECK
    const int LANE_KIND_WATCH
    ctypedef struct lane_t:
        pass
    ctypedef struct lane_method_t:
        const char *path
        const char *words
        uint32_t kind
        uint32_t number
        uint32_t field
        const char *field_name
        uint32_t upload_field
        uint32_t upload_answer_field
    ctypedef struct lane_words_t:
        const char *what
        bint is_at_field
    ctypedef struct lane_listener_t:
        int socket
        bint is_tls
    ctypedef struct lane_options_t:
        engine_t *engine
        const lane_listener_t *listeners
        uint32_t listener_count
        const char *tls_certificate
        const char *tls_key
        const char *tls_client_ca
        const lane_method_t *methods
        uint32_t method_count
        const lane_words_t *words
        const char *const *services
        uint32_t service_count
        uint32_t thread_count
        uint32_t change_count
        uint32_t connections_max
        uint32_t calls_max
        uint32_t stream_window
        uint32_t refusal_field
        uint32_t idle_ms
        uint32_t receive_ms
        uint32_t stall_ms
        uint32_t public_us
        uint32_t shelf_us
        uint32_t refuse_us
        uint32_t keepalive_ms
    ctypedef struct lane_metrics_t:
        uint64_t connections
        uint64_t accepted
        uint64_t calls
        uint64_t streams
        uint64_t changes
        uint64_t parked
        uint64_t cancelled
        uint64_t read_bytes
        uint64_t written_bytes
        uint64_t paused
        uint64_t steps[4]
        uint64_t ends[32]
        uint64_t answers[32][128]
        uint64_t buckets[32][24]
        uint64_t answer_us[32]
    const char *lane_end_name(uint32_t end)
    status_t lane_open(const lane_options_t *options, lane_t **lane, fault_t *fault)
    status_t lane_reload_certificates(lane_t *lane, fault_t *fault)
    void lane_set_serving(lane_t *lane, bint is_serving)
    void lane_drain(lane_t *lane, uint32_t grace_ms)
    void lane_close(lane_t *lane)
    void lane_measure(const lane_t *lane, lane_metrics_t *metrics)


METHODS = {
    method_name(number).decode(): number for number in range(METHOD_NUMBERS) if method_name(number)
}


class EngineError(Exception):
    """The engine refused: ``status`` is a number of status.h, ``place`` says where."""

    def __init__(self, status, place=""):
        super().__init__(status, place)
        self.status = status
        self.place = place


cdef void key_words(bytes key, uint64_t *words) except *:
    if len(key) != 16:
        raise ValueError(f"a key has 16 bytes, not {len(key)}")
    memcpy(words, <const uint8_t *>key, 16)


cdef raise_fault(status_t status, fault_t *fault):
    raise EngineError(status, fault.place.decode("utf-8", "replace"))


cdef bytes hash_of(path):
    """The content hash in a snapshot's file name: ``<kind>-<32 hex>.lmdb``."""
    content = bytes.fromhex(path.rpartition("-")[2].removesuffix(".lmdb"))
    if len(content) != 16:
        raise ValueError(f"{path}: a snapshot is named by the 32 digits of its hash")
    return content


cdef const char *text_or_null(bytes text):
    cdef const char *at = NULL
    if text is not None:
        at = text
    return at


cdef dict ledger_figures(const ledger_metrics_t *metrics):
    return {
        "entries": metrics.entries,
        "groups": metrics.groups,
        "repeats": metrics.repeats,
        "refused": metrics.refused,
        "redecisions": metrics.redecisions,
        "journal_bytes": metrics.bytes,
        "queue_depth": metrics.queue_depth,
        "durable_lsn": metrics.durable_lsn,
        "first_lsn": metrics.first_lsn,
        "generation": metrics.generation,
        "recovered_entries": metrics.recovered_entries,
        "sync_us": metrics.sync_ns // 1000,
        "memtable_bytes": metrics.accounts.memtable_bytes,
        "memtable_records": metrics.accounts.memtable_records,
        "frozen_records": metrics.accounts.frozen_records,
        "index_bytes": metrics.accounts.index_bytes,
        "checkpoints": metrics.accounts.checkpoints,
        "checkpoint_records": metrics.accounts.checkpoint_records,
        "covered_lsn": metrics.accounts.covered_lsn,
        "uncovered_entries": max(0, <object>metrics.durable_lsn - metrics.accounts.covered_lsn),
        "checkpoint_us": metrics.checkpoint_ns // 1000,
        "failed_checkpoints": metrics.failed_checkpoints,
    }


cdef dict ledger_tallies(const ledger_metrics_t *metrics):
    purses = range(PURSES_MAX + 1)
    return {
        "entries": metrics.entries,
        "sync_us": metrics.sync_ns // 1000,
        "sync": [metrics.sync_buckets[i] for i in range(SYNC_BUCKETS)],
        "groups": [metrics.group_buckets[i] for i in range(GROUP_BUCKETS)],
        "points": {
            points_flow_name(flow).decode(): [metrics.accounts.points[flow][n] for n in purses]
            for flow in range(POINTS_FLOWS)
        },
        "owed": [metrics.accounts.owed_points[n] for n in purses],
    }


cdef class Engine:
    """One open data directory; see _engine.pyi."""

    # A call holds the engine from the moment it has the pointer, and `close` waits for the last:
    # else it could free the engine between a call's look at the pointer and its entry. Both sides
    # run under the interpreter's lock.
    cdef engine_t *engine
    cdef Py_ssize_t holders
    cdef object released

    def __cinit__(self, str data_directory not None, *, int sessions, int checkpoint_pause_ms,
                  int node, int partition, bytes identity_key not None,
                  bytes hold_out_key not None):
        cdef engine_options_t options
        cdef fault_t fault
        cdef bytes directory = data_directory.encode()
        cdef status_t status
        memset(&options, 0, sizeof(options))
        memset(&fault, 0, sizeof(fault))
        options.data_directory = directory
        options.session_count = sessions
        options.node = node
        options.partition = partition
        options.checkpoint_pause_ms = checkpoint_pause_ms
        key_words(identity_key, options.identity_key)
        key_words(hold_out_key, options.hold_out_key)
        options.decide = <decide_t>decide_basket
        options.scratch_bytes = scratch_bytes()
        with nogil:
            status = engine_open(&options, &self.engine, &fault)
        if status != 0:
            raise_fault(status, &fault)

    def __dealloc__(self):
        if self.engine != NULL:
            engine_close(self.engine)

    cdef engine_t *hold(self) except NULL:
        if self.engine == NULL:
            raise EngineError(3, "engine")
        self.holders += 1
        return self.engine

    cdef void release(self) noexcept:
        self.holders -= 1
        if self.holders == 0 and self.released is not None:
            self.released.set()

    def call(self, unsigned int method, bytes request not None):
        """Answer one request: (0, response), (status, place) or (status, FiguresChanged)."""
        cdef const uint8_t *at = request
        cdef size_t size = len(request)
        cdef engine_t *engine
        cdef fault_t fault
        cdef reply_t reply
        cdef status_t status
        reply.at = <uint8_t *>malloc(REPLY_BYTES_MAX)
        reply.capacity = REPLY_BYTES_MAX
        reply.size = 0
        if reply.at == NULL:
            raise MemoryError
        try:
            engine = self.hold()
            with nogil:
                status = engine_call(engine, method, at, size, &reply, &fault)
            self.release()
            if status != 0 and reply.size == 0:
                return status, fault.place.decode("utf-8", "replace")
            return status, PyBytes_FromStringAndSize(<char *>reply.at, reply.size)
        finally:
            free(reply.at)

    def activate(self, program, catalogue, members, *, bint is_recorded=True):
        """Make snapshot files live in one swap; None keeps what is live."""
        cdef fault_t fault
        cdef status_t status
        cdef list files = [None if path is None else os.fspath(path).encode()
                           for path in (members, catalogue, program)]
        cdef list hashes = [None if path is None else hash_of(os.fspath(path))
                            for path in (members, catalogue, program)]
        cdef const char *members_path = text_or_null(files[0])
        cdef const char *catalogue_path = text_or_null(files[1])
        cdef const char *program_path = text_or_null(files[2])
        cdef const char *members_hash = text_or_null(hashes[0])
        cdef const char *catalogue_hash = text_or_null(hashes[1])
        cdef const char *program_hash = text_or_null(hashes[2])
        cdef engine_t *engine = self.hold()
        with nogil:
            status = engine_activate(engine, members_path, <const uint8_t *>members_hash,
                                     catalogue_path, <const uint8_t *>catalogue_hash,
                                     program_path, <const uint8_t *>program_hash, is_recorded,
                                     &fault)
        self.release()
        if status != 0:
            raise_fault(status, &fault)

    def read_entries(self, uint64_t from_lsn, int limit, size_t max_bytes):
        """Return durable entries from a sequence number on, whole, as they lie in the journal."""
        cdef ledger_reader_t *reader = NULL
        cdef entry_t entry
        cdef status_t status
        cdef size_t size = 0
        cdef engine_t *engine = self.hold()
        found = []
        try:
            status = engine_reader_open(engine, &reader)
            if status != 0:
                raise EngineError(status, "reader")
            with nogil:
                status = ledger_seek(reader, from_lsn)
            while status == 0 and len(found) < limit:
                with nogil:
                    status = ledger_next(reader, &entry)
                if status != 0 or entry.header == NULL:
                    break
                if found and size + entry.header.length > max_bytes:
                    break
                size += entry.header.length
                found.append(PyBytes_FromStringAndSize(<char *>entry.header, entry.header.length))
            if status != 0:
                raise EngineError(status, f"lsn {from_lsn}")
        finally:
            ledger_reader_close(reader)
            self.release()
        return found

    def time_decisions(self, bytes request not None, uint32_t count):
        """Decide the basket of a quote again and again; return each time in ns, and the steps."""
        cdef const uint8_t *at = request
        cdef size_t size = len(request)
        cdef uint32_t[::1] times_view
        cdef uint32_t *nanoseconds
        cdef uint64_t steps = 0
        cdef fault_t fault
        cdef status_t status
        if count == 0:
            raise ValueError("time at least one decision")
        times = np.zeros(count, dtype=np.uint32)
        times_view = times
        nanoseconds = &times_view[0]
        cdef engine_t *engine = self.hold()
        with nogil:
            status = engine_time_decisions(engine, at, size, count, nanoseconds, &steps, &fault)
        self.release()
        if status != 0:
            raise_fault(status, &fault)
        return times, steps

    def replay(self, bytes entry not None, program, catalogue, *, bint is_explained=False):
        """Decide a committed sale again from its entry; return (status, answer or place)."""
        cdef bytes program_path = os.fspath(program).encode()
        cdef bytes catalogue_path = os.fspath(catalogue).encode()
        cdef bytes program_hash = hash_of(os.fspath(program))
        cdef bytes catalogue_hash = hash_of(os.fspath(catalogue))
        cdef size_t size = len(entry)
        cdef program_t then_program
        cdef catalogue_t then_catalogue
        cdef fault_t fault
        cdef reply_t reply
        cdef status_t status
        status = program_open(program_path, program_hash, &then_program)
        if status != 0:
            raise EngineError(status, os.fspath(program))
        status = catalogue_open(catalogue_path, catalogue_hash, &then_catalogue)
        if status != 0:
            program_close(&then_program)
            raise EngineError(status, os.fspath(catalogue))
        reply.capacity = REPLY_BYTES_MAX
        reply.size = 0
        # One block: the reply, and behind it the entry, aligned as malloc aligns.
        cdef uint8_t *block = <uint8_t *>malloc(REPLY_BYTES_MAX + size)
        cdef engine_t *engine
        try:
            if block == NULL:
                raise MemoryError
            engine = self.hold()
            reply.at = block
            memcpy(block + REPLY_BYTES_MAX, <const char *>entry, size)
            with nogil:
                status = engine_replay(engine, block + REPLY_BYTES_MAX, size, &then_program,
                                       &then_catalogue, is_explained, &reply, &fault)
            self.release()
            if status != 0:
                return status, fault.place.decode("utf-8", "replace")
            return 0, PyBytes_FromStringAndSize(<char *>reply.at, reply.size)
        finally:
            free(block)
            program_close(&then_program)
            catalogue_close(&then_catalogue)

    def checkpoint(self):
        """Write every durable change to the accounts; the next start replays nothing older."""
        cdef engine_t *engine = self.hold()
        cdef status_t status
        with nogil:
            status = engine_checkpoint(engine)
        self.release()
        if status != 0:
            raise EngineError(status, "checkpoint")

    cdef bint measure(self, ledger_metrics_t *metrics) except -1:
        """Read the ledger's figures; false until a program is live."""
        cdef engine_t *engine = self.hold()
        cdef bint is_open
        with nogil:
            is_open = engine_measure(engine, metrics)
        self.release()
        return is_open

    def stats(self):
        """Return counters and gauges by name; empty until a program is live."""
        cdef ledger_metrics_t metrics
        return ledger_figures(&metrics) if self.measure(&metrics) else {}

    def tallies(self):
        """Return what is counted by size, time, flow and purse; see _engine.pyi."""
        cdef ledger_metrics_t metrics
        return ledger_tallies(&metrics) if self.measure(&metrics) else {}

    def close(self):
        """Wait for calls under way, write out what waits, checkpoint, free everything."""
        cdef engine_t *engine = self.engine
        self.engine = NULL
        if engine == NULL:
            return
        if self.holders > 0:
            self.released = threading.Event()
            with nogil:
                engine_drain(engine)
            self.released.wait()
        with nogil:
            engine_close(engine)


LANE_KINDS = {
    "unary": LANE_KIND_UNARY,
    "stream": LANE_KIND_STREAM,
    "upload": LANE_KIND_UPLOAD,
    "refused": LANE_KIND_REFUSED,
    "check": LANE_KIND_CHECK,
    "watch": LANE_KIND_WATCH,
}


cdef const char *kept_text(list kept, str text) except NULL:
    cdef bytes encoded = text.encode()
    kept.append(encoded)
    return encoded


cdef void fill_lane_numbers(lane_options_t *options, dict numbers) except *:
    options.thread_count = numbers["threads"]
    options.change_count = numbers["changes"]
    options.connections_max = numbers["connections"]
    options.calls_max = numbers["calls"]
    options.stream_window = numbers["stream_window"]
    options.refusal_field = numbers["refusal_field"]
    options.idle_ms = numbers["idle_ms"]
    options.receive_ms = numbers["receive_ms"]
    options.stall_ms = numbers["stall_ms"]
    options.public_us = numbers["public_us"]
    options.shelf_us = numbers["shelf_us"]
    options.refuse_us = numbers["refuse_us"]
    options.keepalive_ms = numbers["keepalive_ms"]


cdef class LanePort:
    """The native port for lanes; see _engine.pyi."""

    cdef lane_t *lane
    cdef Engine engine
    cdef list names

    def __cinit__(self, Engine engine not None, list sockets not None, list methods not None,
                  list words not None, list services not None, dict numbers not None,
                  tuple tls=None):
        cdef lane_options_t options
        cdef lane_listener_t listeners[16]
        cdef lane_method_t rows[32]
        cdef lane_words_t told[128]
        cdef const char *names[32]
        cdef fault_t fault
        cdef status_t status
        # What the options point to, until lane_open has copied it.
        cdef list kept = []
        memset(&options, 0, sizeof(options))
        memset(&fault, 0, sizeof(fault))
        memset(told, 0, sizeof(told))
        if len(sockets) > LANE_LISTENERS_MAX or len(methods) > LANE_METHODS_MAX \
                or len(services) > 32:
            raise ValueError("too many sockets, methods or services")
        for i, (descriptor, is_tls) in enumerate(sockets):
            listeners[i].socket = descriptor
            listeners[i].is_tls = is_tls
        for i, (path, kind, number, field, field_name, refusal, upload) in enumerate(methods):
            rows[i].path = kept_text(kept, path)
            rows[i].field_name = kept_text(kept, field_name)
            rows[i].words = kept_text(kept, refusal)
            rows[i].kind = LANE_KINDS[kind]
            rows[i].number = number
            rows[i].field = field
            rows[i].upload_field, rows[i].upload_answer_field = upload
        for number, what, is_at_field in words:
            if not 0 <= number < LANE_STATUSES:
                raise ValueError(f"status {number} is out of range")
            told[<int>number].what = kept_text(kept, what)
            told[<int>number].is_at_field = is_at_field
        for i, service in enumerate(services):
            names[i] = kept_text(kept, service)
        options.listeners = listeners
        options.listener_count = len(sockets)
        options.methods = rows
        options.method_count = len(methods)
        options.words = told
        options.services = names
        options.service_count = len(services)
        fill_lane_numbers(&options, numbers)
        if tls is not None:
            options.tls_certificate = kept_text(kept, tls[0])
            options.tls_key = kept_text(kept, tls[1])
            if tls[2]:
                options.tls_client_ca = kept_text(kept, tls[2])
        self.names = [path.removeprefix("/").rpartition("/") for path, *_ in methods]
        self.names = [f"{service.rpartition('.')[2]}.{name}" for service, _, name in self.names]
        options.engine = engine.hold()
        with nogil:
            status = lane_open(&options, &self.lane, &fault)
        if status != 0:
            engine.release()
            raise_fault(status, &fault)
        self.engine = engine

    def __dealloc__(self):
        if self.lane != NULL:
            lane_close(self.lane)

    def set_serving(self, bint is_serving):
        """Tell health checks whether baskets are decided."""
        if self.lane != NULL:
            lane_set_serving(self.lane, is_serving)

    def reload_certificates(self):
        """Serve the certificate that its files hold now, to connections to come."""
        cdef fault_t fault
        cdef status_t status
        if self.lane == NULL:
            raise EngineError(3, "lane port")
        status = lane_reload_certificates(self.lane, &fault)
        if status != 0:
            raise_fault(status, &fault)

    def drain(self, uint32_t grace_ms):
        """Take no new connection, answer what is open, cut off what takes longer."""
        cdef lane_t *lane = self.lane
        if lane != NULL:
            with nogil:
                lane_drain(lane, grace_ms)

    def close(self):
        """Cut off what is open, join the threads, let the engine go."""
        cdef lane_t *lane = self.lane
        self.lane = NULL
        if lane == NULL:
            return
        with nogil:
            lane_close(lane)
        self.engine.release()

    def stats(self):
        """Return figures by name; see _engine.pyi."""
        cdef lane_metrics_t metrics
        if self.lane == NULL:
            raise EngineError(3, "lane port")
        lane_measure(self.lane, &metrics)
        answers = {}
        times = {}
        for i, name in enumerate(self.names):
            for status in range(LANE_STATUSES):
                if metrics.answers[i][status]:
                    answers[name, status] = metrics.answers[i][status]
            counts = [metrics.buckets[i][bucket] for bucket in range(LANE_BUCKETS)]
            if any(counts):
                times[name] = (counts, metrics.answer_us[i])
        return {
            "connections": metrics.connections,
            "accepted": metrics.accepted,
            "calls": metrics.calls,
            "streams": metrics.streams,
            "changes": metrics.changes,
            "parked": metrics.parked,
            "cancelled": metrics.cancelled,
            "read_bytes": metrics.read_bytes,
            "written_bytes": metrics.written_bytes,
            "paused": metrics.paused,
            "steps": [metrics.steps[step] for step in range(4)],
            "ends": {lane_end_name(end).decode(): metrics.ends[end] for end in range(LANE_ENDS)},
            "answers": answers,
            "times": times,
        }


cdef class LedgerAudit:
    """A journal, and the accounts derived from it, looked at from outside; see _engine.pyi."""

    cdef audit_t *audit

    def __cinit__(self, str journal not None, *, str accounts=None, str scratch=None,
                  uint32_t retention_days=0, tuple begin=None):
        cdef audit_options_t options
        cdef fault_t fault
        cdef status_t status
        cdef list paths = [None if path is None else os.fsencode(path)
                           for path in (journal, accounts, scratch)]
        memset(&options, 0, sizeof(options))
        memset(&fault, 0, sizeof(fault))
        options.journal_directory = text_or_null(paths[0])
        options.accounts_directory = text_or_null(paths[1])
        options.scratch_directory = text_or_null(paths[2])
        options.retention_days = retention_days
        if begin is not None:
            if scratch is not None:
                raise ValueError("a rebuilding begins where its accounts end")
            options.begin_lsn = begin[0]
            options.begin_position = begin[1]
            options.begin_crc = begin[2]
            options.begin_salt = begin[3]
        with nogil:
            status = audit_open(&options, &self.audit, &fault)
        if status != 0:
            raise_fault(status, &fault)

    def __dealloc__(self):
        audit_close(self.audit)

    cdef audit_t *opened(self) except NULL:
        if self.audit == NULL:
            raise EngineError(3, "audit")
        return self.audit

    def step(self, uint64_t entries):
        """Replay up to so many entries; return the report."""
        cdef audit_t *audit = self.opened()
        cdef fault_t fault
        cdef status_t status
        with nogil:
            status = audit_step(audit, entries, &fault)
        if status != 0:
            raise_fault(status, &fault)
        return self.report()

    def finish(self):
        """Write the rebuilt accounts into the scratch directory."""
        cdef audit_t *audit = self.opened()
        cdef fault_t fault
        cdef status_t status
        with nogil:
            status = audit_finish(audit, &fault)
        if status != 0:
            raise_fault(status, &fault)

    def report(self):
        """Return what is known so far, by name."""
        cdef audit_report_t report
        audit_tell(self.opened(), &report)
        return {
            "program_key": report.program_key,
            "salt": report.salt,
            "node": report.node,
            "partition": report.partition,
            "first_lsn": report.first_lsn,
            "first_segment": report.first_segment,
            "last_lsn": report.last_lsn,
            "last_position": report.last_position,
            "end_position": report.end_position,
            "last_crc": report.last_crc,
            "begun_lsn": report.begun_lsn,
            "replayed_lsn": report.replayed_lsn,
            "covered_lsn": report.covered_lsn,
            "is_compared": bool(report.is_compared),
            "is_done": bool(report.is_done),
            "records": report.records,
            "records_ahead": report.records_ahead,
            "differences": report.differences,
            "difference": report.difference.decode("utf-8", "replace"),
        }

    def read_entries(self, uint64_t from_lsn, int limit, size_t max_bytes):
        """Return entries from a sequence number on, whole, as they lie in the journal."""
        cdef journal_reader_t *reader = audit_reader(self.opened())
        cdef entry_t entry
        cdef status_t status
        cdef size_t size = 0
        found = []
        with nogil:
            status = journal_seek(reader, from_lsn)
        while status == 0 and len(found) < limit and size < max_bytes:
            with nogil:
                status = journal_next(reader, &entry)
            if status != 0 or entry.header == NULL:
                break
            size += entry.header.length
            found.append(PyBytes_FromStringAndSize(<char *>entry.header, entry.header.length))
        if status != 0:
            raise EngineError(status, f"lsn {from_lsn}")
        return found

    def close(self):
        """Free everything; nothing of it is needed any more."""
        cdef audit_t *audit = self.audit
        self.audit = NULL
        with nogil:
            audit_close(audit)


def struct_sizes():
    """Return the size in bytes of each struct of layout.h, as C measures it."""
    return {
        "table_header": sizeof(table_header_t),
        "identity_slot": sizeof(identity_slot_t),
        "referral_slot": sizeof(referral_slot_t),
        "member_record": sizeof(member_record_t),
        "snapshot_info": sizeof(snapshot_info_t),
        "code_slot": sizeof(code_slot_t),
        "product": sizeof(product_t),
        "store": sizeof(store_t),
        "transition": sizeof(transition_t),
        "program_header": sizeof(program_header_t),
        "offer": sizeof(offer_t),
        "offer_more": sizeof(offer_more_t),
        "slot": sizeof(slot_t),
        "posting_list": sizeof(posting_list_t),
        "universal_list": sizeof(universal_list_t),
        "row": sizeof(row_t),
        "retailer": sizeof(retailer_t),
        "tender_rule": sizeof(tender_rule_t),
        "limit": sizeof(limit_t),
        "step": sizeof(step_t),
        "funding": sizeof(funding_t),
        "audience": sizeof(audience_t),
        "schedule": sizeof(schedule_t),
        "text": sizeof(text_t),
        "purse": sizeof(purse_t),
        "tier": sizeof(tier_t),
        "progress": sizeof(progress_t),
        "coupon_slot": sizeof(coupon_slot_t),
        "offer_number": sizeof(offer_number_t),
        "name_slot": sizeof(name_slot_t),
        "issuer_range": sizeof(issuer_range_t),
        "record_key": sizeof(record_key_t),
        "record_head": sizeof(record_head_t),
        "cell": sizeof(cell_t),
        "movement": sizeof(movement_t),
        "covered": sizeof(covered_t),
        "segment_header": sizeof(segment_header_t),
        "entry_header": sizeof(entry_header_t),
        "total_facts": sizeof(total_facts_t),
        "missing": sizeof(missing_t),
        "captured": sizeof(captured_t),
        "fuel_right": sizeof(fuel_right_t),
        "facts_header": sizeof(facts_header_t),
        "exchange_facts": sizeof(exchange_facts_t),
        "refund": sizeof(refund_t),
        "claim_facts": sizeof(claim_facts_t),
        "found_record": sizeof(found_record_t),
        "shared_counter": sizeof(shared_counter_t),
        "sold_line": sizeof(sold_line_t),
    }


def siphash128_batch(bytes key not None, bytes data not None, uint64_t[::1] offsets not None):
    """Hash many byte strings at once with SipHash-2-4-128.

    Parameters
    ----------
    key : bytes
        16 bytes.
    data : bytes
        The strings, one after another.
    offsets : numpy.ndarray of uint64, shape (n + 1,)
        String i is ``data[offsets[i]:offsets[i + 1]]``.

    Returns
    -------
    numpy.ndarray of uint64, shape (n, 2)
        The high and the low word of each hash.

    Raises
    ------
    ValueError
        The key has not 16 bytes, or the offsets do not ascend inside the data.
    """
    cdef Py_ssize_t count = offsets.shape[0] - 1
    cdef uint64_t words[2]
    cdef const uint8_t *at = data
    cdef uint64_t size = len(data)
    cdef Py_ssize_t i
    cdef hash128_t hash
    if len(key) != 16:
        raise ValueError(f"a hash key has 16 bytes, not {len(key)}")
    if count < 0:
        raise ValueError("offsets hold at least one number")
    memcpy(words, <const uint8_t *>key, 16)
    hashes = np.empty((count, 2), dtype=np.uint64)
    cdef uint64_t[:, ::1] out = hashes
    for i in range(count):
        if offsets[i] > offsets[i + 1] or offsets[i + 1] > size:
            raise ValueError(f"offsets[{i + 1}] does not ascend inside the data")
        hash = siphash128(words, at + offsets[i], offsets[i + 1] - offsets[i])
        out[i, 0] = hash.hi
        out[i, 1] = hash.lo
    return hashes


cdef class LedgerDrive:
    """Posts sales again that were decided before, for measuring; see _engine.pyi."""

    cdef drive_t *drive
    cdef drive_options_t options
    cdef object entries
    cdef bytes directory

    def __cinit__(self, str data not None, *, uint64_t program_key, uint32_t node,
                  uint16_t partition, bytes entries not None, uint64_t accounts, uint64_t seed,
                  uint32_t checkpoint_pause_ms=0):
        # Aligned as entries lie in the journal: their movements are read in place.
        self.entries = np.zeros(len(entries) // 16 + 1, dtype=np.complex128)
        cdef const uint8_t[::1] at = self.entries.view(np.uint8)
        self.entries.view(np.uint8)[:len(entries)] = np.frombuffer(entries, dtype=np.uint8)
        self.directory = os.fsencode(data)
        memset(&self.options, 0, sizeof(self.options))
        self.options.data_directory = self.directory
        self.options.program_key = program_key
        self.options.node = node
        self.options.partition = partition
        self.options.checkpoint_pause_ms = checkpoint_pause_ms
        self.options.entries = &at[0]
        self.options.entries_bytes = len(entries)
        self.options.accounts = accounts
        self.options.seed = seed

    def __dealloc__(self):
        drive_close(self.drive, False)

    def fill(self, uint64_t count):
        """Append so many sales to the journal, and come to no checkpoint."""
        cdef fault_t fault
        cdef status_t status
        with nogil:
            status = drive_fill(&self.options, count, &fault)
        if status != 0:
            raise_fault(status, &fault)

    def open(self):
        """Open the ledger."""
        cdef fault_t fault
        cdef status_t status
        with nogil:
            status = drive_open(&self.options, &self.drive, &fault)
        if status != 0:
            raise_fault(status, &fault)

    def run(self, uint32_t in_flight, double seconds, double per_second=0.0):
        """Post sales for a while; return what each took, the seconds, and what was refused."""
        if self.drive == NULL or not 1 <= in_flight <= 4096:
            raise EngineError(3, "drive")
        cdef drive_plan_t plan
        cdef drive_result_t result
        cdef uint32_t[::1] times_view
        plan.in_flight = in_flight
        plan.per_second = per_second
        plan.duration_ns = <int64_t>(seconds * 1e9)
        times = np.zeros(int((seconds + 1) * 1_000_000), dtype=np.uint32)
        times_view = times
        cdef uint32_t *first = &times_view[0]
        with nogil:
            drive_run(self.drive, &plan, first, times_view.shape[0], &result)
        refused = (result.first_status, result.refused) if result.refused else None
        return times[:result.count].copy(), result.elapsed_ns / 1e9, refused

    def stats(self):
        """Return the ledger's figures by name."""
        cdef ledger_metrics_t metrics
        if self.drive == NULL:
            return {}
        drive_measure(self.drive, &metrics)
        return ledger_figures(&metrics)

    def tallies(self):
        """Return what is counted by size, time, flow and purse; see _engine.pyi."""
        cdef ledger_metrics_t metrics
        if self.drive == NULL:
            return {}
        drive_measure(self.drive, &metrics)
        return ledger_tallies(&metrics)

    def close(self, *, bint is_checkpointed=True):
        """Close the ledger. Closing twice is no error."""
        cdef drive_t *drive = self.drive
        self.drive = NULL
        with nogil:
            drive_close(drive, is_checkpointed)
