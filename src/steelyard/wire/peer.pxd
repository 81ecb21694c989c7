"""C types for peer.py."""

from steelyard.wire.http1 cimport RequestHead


cdef class Peer:
    cdef readonly str address
    cdef object networks
    cdef readonly bint trusted
    cdef bytes proto
    cdef bytes lines
    cdef bytes local

    cpdef str client_of(self, RequestHead head)
    cdef bytes lines_for(self, RequestHead head)
