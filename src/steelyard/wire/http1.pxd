"""C types for http1.py."""

cimport cython
from steelyard.wire.fields cimport Head, same
from steelyard.wire.slices cimport cut

cdef int CR, LF, SP, COLON
cdef bytes TOKEN, VALUE, TARGET, HOST_CHARS
cdef int NO_BODY, LENGTH, CHUNKED, UNKNOWN
cdef int HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, EXPECT, TE, HOP, DATE, VIA, MAX_HOPS
cdef int FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST, FORWARDED_OTHER

@cython.locals(n=Py_ssize_t, i=Py_ssize_t, k=Py_ssize_t, bracket=bint)
cpdef bint valid_host(bytes host)

@cython.locals(i=Py_ssize_t, c=int)
cdef bint _matches(bytes data, Py_ssize_t pos, Py_ssize_t end, bytes pattern) except -1


cdef class RequestHead(Head):
    cdef public bint trusted
    cdef public bytes method
    cdef public bytes target
    cdef public bytes host
    cdef public bytes authority
    cdef public int hops
    cdef public bint expects_continue
    cdef public bint te_trailers
    cdef public list forwarded_for
    cdef public bint has_forwarded_proto
    cdef public bint has_forwarded_host

    @cython.locals(start=Py_ssize_t)
    cdef Py_ssize_t scan_line(self, bytes data, Py_ssize_t pos, Py_ssize_t end) except -2
    cdef read_unusual_target(self)
    cdef bint note_expect(self, bytes data, Py_ssize_t start, Py_ssize_t end) except -1
    cdef judge(self)
    cdef bint may_upgrade(self, bytes protocol) except -1


cdef class ResponseHead(Head):
    cdef public int status
    cdef public bytes line
    cdef public bint has_date

    @cython.locals(start=Py_ssize_t)
    cdef Py_ssize_t scan_line(self, bytes data, Py_ssize_t pos, Py_ssize_t end) except -2


cpdef int response_framing(ResponseHead head, bint to_head_request)


cdef class Trailers(Head):
    pass


@cython.locals(size=Py_ssize_t, end=Py_ssize_t, pos=Py_ssize_t, head=RequestHead)
cpdef RequestHead scan_request(
    bytes data, Py_ssize_t start, Py_ssize_t max_bytes, int max_fields, bint trusted, bint underscores
)

@cython.locals(size=Py_ssize_t, end=Py_ssize_t, pos=Py_ssize_t, head=ResponseHead)
cpdef ResponseHead scan_response(bytes data, Py_ssize_t start, Py_ssize_t max_bytes, int max_fields)

@cython.locals(size=Py_ssize_t, end=Py_ssize_t, pos=Py_ssize_t, section=Trailers)
cpdef Trailers scan_trailers(bytes data, Py_ssize_t start, Py_ssize_t max_bytes, int max_fields)
