"""C types for guest.py."""

from libc.stdint cimport uint64_t
cimport cython
from steelyard.core.crowd cimport Crowd
from steelyard.proxy.clock cimport Timed
from steelyard.proxy.context cimport ListenerContext
from steelyard.wire.peer cimport Peer

cpdef int reset(object transport) except -1


cdef class Guest(Timed):
    cdef readonly ListenerContext context
    cdef readonly object transport
    cdef readonly str client
    cdef public bint counted
    cdef Crowd crowd
    cdef uint64_t crowd_key

    cpdef receive_at(self, ListenerContext context)
    @cython.locals(context=ListenerContext, peer=Peer, crowd=Crowd)
    cpdef bint arrive(self, object transport) except -1
    cpdef crowded(self)
    @cython.locals(context=ListenerContext)
    cpdef int note_refused(self, object kind) except -1
    @cython.locals(context=ListenerContext)
    cpdef int depart(self) except -1
    @cython.locals(crowd=Crowd)
    cpdef uncount(self)
    cpdef retire(self, double now)
    cpdef cut(self)
