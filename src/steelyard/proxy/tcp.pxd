"""C types for tcp.py."""

cimport cython
from steelyard.core.backend cimport Backend
from steelyard.proxy.call cimport Call
from steelyard.proxy.connections cimport PoolConnections
from steelyard.proxy.guest cimport reset
from steelyard.proxy.reach cimport Reach


@cython.final
cdef class TcpUpstream:
    cdef TcpDownstream downstream
    cdef readonly object transport
    cdef public object sock
    cdef bint ended
    cdef bint full

    cpdef bint fit(self)
    cpdef close(self)
    cpdef connection_made(self, transport)
    @cython.locals(downstream=TcpDownstream)
    cpdef data_received(self, bytes data)
    @cython.locals(downstream=TcpDownstream)
    cpdef bint eof_received(self)
    @cython.locals(downstream=TcpDownstream)
    cpdef connection_lost(self, exc)
    @cython.locals(downstream=TcpDownstream)
    cpdef pause_writing(self)
    @cython.locals(downstream=TcpDownstream)
    cpdef resume_writing(self)


cdef class TcpDownstream(Reach):
    cdef readonly TcpUpstream upstream
    cdef bytes ahead
    cdef readonly bint ended
    cdef readonly bint full
    cdef long long unsent
    cdef readonly bint over
    cdef bint awaited
    cdef double idle_s

    @cython.locals(now=double)
    cpdef connection_made(self, transport)
    @cython.locals(connections=PoolConnections, upstream=TcpUpstream)
    cpdef on_reached(self, object reached, double now)
    cpdef on_unreached(self, object kind, double now)
    @cython.locals(upstream=TcpUpstream, now=double)
    cpdef data_received(self, bytes data)
    @cython.locals(upstream=TcpUpstream)
    cpdef bint eof_received(self)
    cdef look_later(self)
    cdef pass_end_on(self, TcpUpstream upstream)
    cpdef pause_writing(self)
    @cython.locals(upstream=TcpUpstream)
    cpdef resume_writing(self)
    @cython.locals(upstream=TcpUpstream, size=long)
    cdef long long held_bytes(self)
    cdef passed(self)
    @cython.locals(now=double)
    cdef send(self, bytes data)
    cdef on_upstream_end(self)
    cdef on_upstream_lost(self)
    @cython.locals(upstream=TcpUpstream)
    cdef end_both(self)
    cpdef connection_lost(self, exc)
    @cython.locals(left=long)
    cpdef on_deadline(self, double now)
    cpdef cut(self)
    @cython.locals(upstream=TcpUpstream)
    cdef give_up(self, object kind)
    cdef finish(self, object kind, double now)
