"""C types for headers.py."""

cimport cython
from steelyard.wire.http1 cimport RequestHead, ResponseHead
from steelyard.wire.peer cimport Peer

cdef int NO_BODY, LENGTH, CHUNKED
cdef tuple _VIA_END


@cython.locals(pieces=list, host=bytes)
cpdef bytes request_bytes(RequestHead head, Peer peer)

@cython.locals(pieces=list)
cpdef list response_pieces(ResponseHead head, int framing, bytes connection)
