"""C types for headers.py."""

cimport cython
from steelyard.wire.http1 cimport RequestHead, ResponseHead

cdef int NO_BODY, LENGTH, CHUNKED
cdef tuple _VIA_END


cdef class Peer:
    cdef readonly str address
    cdef object networks
    cdef readonly bint trusted
    cdef bytes proto
    cdef bytes lines
    cdef bytes local

    cpdef str client_of(self, RequestHead head)
    cdef bytes lines_for(self, RequestHead head)


@cython.locals(pieces=list, host=bytes)
cpdef bytes request_bytes(RequestHead head, Peer peer)

@cython.locals(pieces=list)
cpdef list response_pieces(ResponseHead head, int framing, bytes connection)
