"""C types for backend.py."""

from libc.stdint cimport int64_t, uint64_t
cimport cython
from steelyard.core.table cimport Table

cdef Py_ssize_t STATUS, DRAINING, WEIGHT, SHARE, UP_SINCE, GENERATION, IN_FLIGHT, REQUESTS, FAILURES
cdef Py_ssize_t EJECTED, CIRCUIT, OUTCOMES, UNJUDGED, EJECTIONS, TRIPS
cdef Py_ssize_t HEALTH_SHIFT
cdef int64_t UP, DOWN, SILENT, STATUS_BITS, SETTLED, UNLIMITED, UNIT, STOPS

@cython.final
cdef class Backend:
    cdef readonly object spec
    cdef readonly str host
    cdef readonly Py_ssize_t port
    cdef readonly str address
    cdef readonly str label
    cdef readonly object max_connections
    cdef readonly Table table
    cdef readonly Py_ssize_t row
    cdef readonly Py_ssize_t home
    cdef readonly Py_ssize_t announced_at
    cdef readonly Py_ssize_t tier
    cdef readonly uint64_t key
    cdef int64_t limit
    cdef bint was_away

    cpdef int64_t count_in_flight(self)
    cpdef int64_t count_requests(self)
    cpdef int64_t share(self)
    cpdef bint is_healthy(self)
    cpdef bint is_settled(self)
    cpdef bint is_draining(self)
    cpdef bint is_full(self)
    cpdef bint is_member(self)
    @cython.locals(status=int64_t)
    cpdef bint takes_requests(self, bint panic)
    cpdef bint is_available(self)
    @cython.locals(share=int64_t)
    cpdef double load(self)
    cpdef int begin(self) except -1
    cpdef int finish(self, bint failed) except -1
    cpdef int leave_unjudged(self) except -1
    cpdef int64_t ejected_until_ms(self)
    @cython.locals(until_ms=int64_t)
    cpdef bint put_back(self, double now, bint slowly) except -1
    @cython.locals(away=bint)
    cpdef int see_ejection(self) except -1
    cpdef int64_t circuit(self)
