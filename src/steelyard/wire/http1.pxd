"""C types for http1.py."""

cimport cython
from steelyard.wire.slices cimport cut

cdef int CR, LF, SP, HTAB, COLON, UNDERSCORE
cdef bytes TOKEN, VALUE, TARGET, HOST_CHARS, SLOTS, CODES
cdef list NAMES
cdef int NO_BODY, LENGTH, CHUNKED, UNKNOWN
cdef int MAX_NAME_BYTES, MAX_LENGTH_DIGITS, _SLOT_MASK
cdef int HOST, CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION, UPGRADE, EXPECT, TE, HOP
cdef int FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST, FORWARDED_OTHER, REAL_IP

@cython.locals(n=Py_ssize_t, i=Py_ssize_t)
cdef bint _same(bytes data, Py_ssize_t start, Py_ssize_t end, bytes lower)

@cython.locals(number=long, i=Py_ssize_t, c=int)
cdef long _content_length(bytes data, Py_ssize_t start, Py_ssize_t end) except -1

@cython.locals(n=Py_ssize_t, i=Py_ssize_t, k=Py_ssize_t, bracket=bint)
cpdef bint valid_host(bytes host)

@cython.locals(i=Py_ssize_t, c=int)
cdef bint _matches(bytes data, Py_ssize_t pos, Py_ssize_t end, bytes pattern) except -1


cdef class Head:
    cdef public bytes raw
    cdef public Py_ssize_t fields
    cdef public Py_ssize_t end
    cdef public int minor
    cdef public long content_length
    cdef public bytes length_digits
    cdef public bint chunked
    cdef public bint close
    cdef public bint keep_alive
    cdef public bint names_upgrade
    cdef public bytes upgrade
    cdef public list options
    cdef public list runs

    cdef blank(self)
    cpdef get(self, bytes name)
    cdef bint note(self, int code, bytes data, Py_ssize_t start, Py_ssize_t end) except -1
    @cython.locals(
        run=Py_ssize_t, count=int, line=Py_ssize_t, c=int, t=int, h=cython.uint, underscore=bint,
        name_end=Py_ssize_t, value=Py_ssize_t, value_end=Py_ssize_t, index=int, keep=bint,
    )
    cdef Py_ssize_t scan_fields(
        self, bytes data, Py_ssize_t pos, Py_ssize_t end, int max_fields, bint underscores
    ) except -2
    cdef note_connection(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    cdef note_length(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    cdef note_coding(self, bytes data, Py_ssize_t start, Py_ssize_t end)
    cdef finish(self, bytes data, Py_ssize_t start, Py_ssize_t end)


cdef class RequestHead(Head):
    cdef public bint trusted
    cdef public bytes method
    cdef public bytes target
    cdef public bytes host
    cdef public bytes authority
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

    @cython.locals(start=Py_ssize_t)
    cdef Py_ssize_t scan_line(self, bytes data, Py_ssize_t pos, Py_ssize_t end) except -2


cpdef int response_framing(ResponseHead head, bint to_head_request)


cdef class Trailers(Head):
    pass


@cython.locals(size=Py_ssize_t, end=Py_ssize_t, pos=Py_ssize_t, begin=Py_ssize_t, head=RequestHead)
cpdef RequestHead scan_request(
    bytes data, Py_ssize_t start, Py_ssize_t max_bytes, int max_fields, bint trusted, bint underscores
)

@cython.locals(size=Py_ssize_t, end=Py_ssize_t, pos=Py_ssize_t, head=ResponseHead)
cpdef ResponseHead scan_response(bytes data, Py_ssize_t start, Py_ssize_t max_bytes, int max_fields)

@cython.locals(size=Py_ssize_t, end=Py_ssize_t, pos=Py_ssize_t, section=Trailers)
cpdef Trailers scan_trailers(bytes data, Py_ssize_t start, Py_ssize_t max_bytes, int max_fields)
