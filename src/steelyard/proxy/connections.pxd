"""C types for connections.py."""

cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.pool cimport Pool
from steelyard.observe.counters cimport Counters
from steelyard.proxy.clock cimport Wheel
from steelyard.proxy.upstream cimport Upstream


cdef class Connections:
    cdef object loop
    cdef Wheel wheel
    cdef readonly Backend backend
    cdef readonly list idle
    cdef Py_ssize_t max_idle
    cdef Counters counters
    cdef readonly object limit
    cdef readonly double idle_s
    cdef double most_idle_s
    cdef double look_again_at
    cdef double connect_s
    cdef bint closed

    @cython.locals(upstream=Upstream)
    cpdef Upstream take(self)
    cpdef give(self, Upstream upstream, double now)
    cpdef lost(self, Upstream upstream, bint closed_by_backend)
    cpdef closed_by_backend(self, Upstream upstream)
    cpdef told(self, bytes keep_alive, double now)
    cpdef look_again(self, double now)
    cpdef dial(self, object done)
    cpdef close(self)


cdef class PoolConnections:
    cdef object loop
    cdef Wheel wheel
    cdef readonly Pool pool
    cdef readonly object on_change
    cdef readonly dict of_backend
    cdef readonly object probes
    cdef readonly Counters counters
    cdef readonly object queue
    cdef object times
    cdef readonly double hedge_s
    cdef readonly double max_delay_s
    cdef readonly double try_s
    cdef readonly double response_s
    cdef readonly double total_s
    cdef readonly double tunnel_s
    cdef readonly int tries
    cdef readonly int same_backend
    cdef readonly double delay_s
    cdef readonly Py_ssize_t hold_bytes
    cdef readonly bint mark_down
    cdef readonly tuple on_status

    @cython.locals(kept=Connections)
    cpdef Connections of(self, Backend backend)
    cpdef int took(self, double latency_s) except -1
    cpdef close(self)
