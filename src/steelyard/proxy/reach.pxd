"""C types for reach.py."""

cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.pool cimport Pool
from steelyard.core.router cimport Route
from steelyard.proxy.call cimport Call
from steelyard.proxy.connections cimport PoolConnections
from steelyard.proxy.context cimport ListenerContext
from steelyard.proxy.guest cimport Guest

cdef double UNKNOWN_S


cdef class Reach(Guest):
    cdef readonly Call request
    cdef readonly PoolConnections connections
    cdef readonly Backend backend
    cdef readonly object dial
    cdef readonly str label
    cdef readonly int tries
    cdef readonly double started
    cdef readonly double asked_at
    cdef readonly double latency_s
    cdef readonly long long received
    cdef readonly long long sent

    cpdef begin(self, ListenerContext context)
    cpdef object upstream_for(self, Backend backend)
    cpdef on_reached(self, object upstream, double now)
    cpdef on_unreached(self, object kind, double now)
    cpdef int reach(self, Call request, double now) except -1
    @cython.locals(only=Route)
    cpdef object its_pool(self)
    cpdef object choose(self)
    @cython.locals(connections=PoolConnections)
    cpdef int ask(self, Backend backend, double now) except -1
    @cython.locals(now=double)
    cpdef on_dialled(self, object upstream, object kind, str detail)
    @cython.locals(connections=PoolConnections, backend=Backend, request=Call, pool=Pool, blamed=bint, changed=bint, marked=bint)
    cpdef on_unconnected(self, object kind, str detail, double now)
    @cython.locals(connections=PoolConnections, backend=Backend, request=Call)
    cpdef int answered(self, double now) except -1
    @cython.locals(connections=PoolConnections, backend=Backend, request=Call)
    cpdef int let_go(self, bint failed, double now, bint final) except -1
    cpdef int stop_reaching(self) except -1
    @cython.locals(context=ListenerContext)
    cpdef int note_end(self, object kind, double now, str method=*, str target=*) except -1
