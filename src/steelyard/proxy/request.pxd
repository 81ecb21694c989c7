"""C types for request.py."""

from steelyard.core.policy cimport Pick
from steelyard.wire.peer cimport Peer
from steelyard.wire.http1 cimport RequestHead


cdef class Request(Pick):
    cdef readonly RequestHead head
    cdef readonly Peer peer
    cdef public object body
    cdef list cookies

    cpdef object get(self, str name)
    cpdef object one(self, str name)
    cdef list crumbs(self)
