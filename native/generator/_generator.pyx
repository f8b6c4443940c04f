"""The load generator's own door: a plan as Python and numpy have it, and its results in place.

It stands apart from the engine's door on purpose: nothing of the engine is linked in here.
"""

from cpython.bytes cimport PyBytes_AsString, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset


cdef extern from "generator/generator.h" nogil:
    const int ANSWER_BYTES_MAX
    const int IN_FLIGHT_MAX
    const int LANES_MAX
    const int LEVELS
    const int METHODS_MAX
    ctypedef struct level_t:
        uint64_t drop
        uint32_t nested
    ctypedef struct method_t:
        const char *path
        uint32_t stream_field
        uint32_t is_exact
        uint32_t posting_field
        uint32_t degraded_field
        level_t levels[3]
    ctypedef struct request_t:
        const uint8_t *bytes
        uint32_t size
        uint32_t method
        uint32_t text_at
        uint32_t number_at
        const uint8_t *expected
        uint32_t expected_size
    ctypedef struct arrival_t:
        uint64_t due_ns
    ctypedef struct result_t:
        uint64_t due_ns
    ctypedef struct options_t:
        const char *host
        uint32_t port
        uint32_t lanes
        uint32_t in_flight
        uint32_t is_stream
        const char *stream_path
        const char *ca_file
        const char *server_name
        uint64_t spin_ns
        uint64_t closed_ns
        uint64_t drain_ns
        uint64_t stall_ns
        uint64_t first_serial
    ctypedef struct plan_t:
        options_t options
        const method_t *methods
        const request_t *requests
        uint32_t method_count
        uint32_t request_count
        const arrival_t *arrivals
        uint64_t arrival_count
        result_t *results
        uint64_t result_capacity
    ctypedef struct progress_t:
        uint64_t issued
    ctypedef struct outline_t:
        uint64_t issued
        uint64_t elapsed_ns
        char fault[256]
        uint8_t *answer
        uint32_t answer_size
        uint64_t connections
    bint generator_run(const plan_t *plan, progress_t *progress, outline_t *outline)
    bint masked_answer(const method_t *method, const uint8_t *bytes, size_t size, uint8_t *out,
                       size_t *out_size, uint64_t *degraded)


CEILINGS = {"lanes": LANES_MAX, "in_flight": IN_FLIGHT_MAX, "methods": METHODS_MAX}


cdef const char *text_of(object value) except? NULL:
    """Return where bytes lie; their owner must outlive the use. None has no place."""
    return NULL if value is None else PyBytes_AsString(value)


cdef set_method(method_t *to, object method):
    memset(to, 0, sizeof(method_t))
    to.path = text_of(method.path)
    to.stream_field = method.stream_field
    to.is_exact = method.is_exact
    to.posting_field = method.posting_field
    to.degraded_field = method.degraded_field
    for at, (dropped, nested) in enumerate(method.levels):
        for number in dropped:
            to.levels[at].drop |= <uint64_t>1 << <uint64_t>number
        to.levels[at].nested = nested


def masked(method, answer):
    """Return what is compared of an answer, and its degraded level.

    Parameters
    ----------
    method : Method
    answer : bytes

    Raises
    ------
    ValueError
        It is no protobuf message.
    """
    cdef method_t described
    cdef size_t size = 0
    cdef uint64_t degraded = 0
    cdef const uint8_t[::1] bytes = bytearray(answer) + b"\0"
    out = bytearray(len(answer) + 1)
    cdef uint8_t[::1] to = out
    set_method(&described, method)
    if not masked_answer(&described, &bytes[0], len(answer), &to[0], &size, &degraded):
        raise ValueError("the answer is no protobuf message")
    return PyBytes_FromStringAndSize(<const char *>&to[0], size), degraded


cdef class Plan:
    """Methods, requests and options of one run. Keeps what C points to."""

    cdef plan_t plan
    cdef list kept
    cdef method_t *methods
    cdef request_t *requests

    def __cinit__(self, methods, requests, options):
        """Describe the run; see Method, Request and Options in checklane.bench.load.plan."""
        self.kept = [methods, requests, options]
        if not 1 <= len(methods) <= METHODS_MAX or not requests:
            raise ValueError("a plan needs methods and requests")
        if not 1 <= options.lanes <= LANES_MAX or not 1 <= options.in_flight <= IN_FLIGHT_MAX:
            raise ValueError("too many lanes, or too many calls in flight")
        self.methods = <method_t *>calloc(len(methods), sizeof(method_t))
        self.requests = <request_t *>calloc(len(requests), sizeof(request_t))
        if not self.methods or not self.requests:
            raise MemoryError
        for at, method in enumerate(methods):
            set_method(&self.methods[at], method)
        for at, request in enumerate(requests):
            self.set_request(at, request, len(methods))
        self.set_options(options)
        self.plan.methods = self.methods
        self.plan.method_count = len(methods)
        self.plan.requests = self.requests
        self.plan.request_count = len(requests)

    def __dealloc__(self):
        free(self.methods)
        free(self.requests)

    cdef set_request(self, size_t at, object request, size_t method_count):
        cdef request_t *to = &self.requests[at]
        if not request.method < method_count or len(request.expected) > ANSWER_BYTES_MAX:
            raise ValueError("a request of no method, or with too large an answer")
        for place, room in ((request.text_at, 20), (request.number_at, 10)):
            if place and place + room > len(request.body):
                raise ValueError("a serial number beyond the request")
        to.bytes = <const uint8_t *>text_of(request.body)
        to.size = len(request.body)
        to.method = request.method
        to.text_at = request.text_at
        to.number_at = request.number_at
        to.expected = <const uint8_t *>text_of(request.expected)
        to.expected_size = len(request.expected)

    cdef set_options(self, object options):
        cdef options_t *to = &self.plan.options
        to.host = text_of(options.host)
        to.port = options.port
        to.lanes = options.lanes
        to.in_flight = options.in_flight
        to.is_stream = options.is_stream
        to.stream_path = text_of(options.stream_path)
        to.ca_file = text_of(options.ca_file)
        to.server_name = text_of(options.server_name)
        to.spin_ns = options.spin_ns
        to.closed_ns = options.closed_ns
        to.drain_ns = options.drain_ns
        to.stall_ns = options.stall_ns
        to.first_serial = options.first_serial

    def run(self, arrivals, results, uint64_t[::1] progress):
        """Run to the end; the interpreter's lock is given up for the whole of it.

        Parameters
        ----------
        arrivals : numpy.ndarray of ARRIVAL, or None
            By due time, every lane and request in range; None for a closed loop.
        results : numpy.ndarray of RESULT
            One for each arrival, or room for the calls of a closed loop.
        progress : numpy.ndarray of 4 uint64
            Issued, answered, faults; set the last one to end the run.

        Returns
        -------
        dict
        """
        cdef const uint8_t[::1] given
        cdef uint8_t[::1] taken = results.view("u1")
        cdef outline_t outline
        cdef bint is_begun
        cdef progress_t *shared = <progress_t *>&progress[0]
        if progress.shape[0] < 4 or not len(results):
            raise ValueError("no room for progress or results")
        memset(&outline, 0, sizeof(outline_t))
        if arrivals is not None:
            self.check_arrivals(arrivals, results)
            given = arrivals.view("u1")
            self.plan.arrivals = <const arrival_t *>&given[0]
            self.plan.arrival_count = len(arrivals)
        elif len(self.kept[1]) < self.plan.options.lanes:
            raise ValueError("a closed loop needs a request for each lane")
        self.plan.results = <result_t *>&taken[0]
        self.plan.result_capacity = len(results)
        with nogil:
            is_begun = generator_run(&self.plan, shared, &outline)
        answer = outline.answer[:outline.answer_size] if outline.answer else b""
        free(outline.answer)
        return {
            "is_begun": is_begun,
            "issued": outline.issued,
            "elapsed_ns": outline.elapsed_ns,
            "fault": outline.fault.decode("utf-8", "replace"),
            "answer": answer,
            "connections": outline.connections,
        }

    cdef check_arrivals(self, object arrivals, object results):
        if not len(arrivals) or len(results) < len(arrivals):
            raise ValueError("no arrivals, or too few results")
        if arrivals["lane"].max() >= self.plan.options.lanes:
            raise ValueError("an arrival at a lane that is not there")
        if arrivals["request"].max() >= self.plan.request_count:
            raise ValueError("an arrival of a request that is not there")
