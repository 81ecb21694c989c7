"""C types for tier.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.breaker cimport ends_at_s, wait_is_over
from steelyard.core.policy cimport Pick, Policy
from steelyard.core.table cimport Table

cdef Py_ssize_t GENERATION, CIRCUIT
cdef int64_t NEVER_SEEN
cdef double inf

@cython.final
cdef class Tier:
    cdef readonly Table table
    cdef readonly Py_ssize_t row
    cdef readonly tuple backends
    cdef readonly Policy policy
    cdef public Tier spare
    cdef public object tell
    cdef readonly Py_ssize_t healthy
    cdef readonly bint panicking
    cdef double panic_threshold
    cdef double window_s
    cdef double exponent
    cdef list shares
    cdef int64_t generation
    cdef double next_at

    cpdef Backend pick(self, Pick request)
    cpdef bint panics(self, double now) except -1
    cpdef bint has_healthy(self, double now) except -1
    cdef int look(self, double now) except -1
    @cython.locals(backend=Backend, members=Py_ssize_t, healthy=Py_ssize_t)
    cpdef refresh(self, double now)
    @cython.locals(circuit=int64_t)
    cdef bring_back(self, Backend backend, double now)
    cdef say(self, Backend backend, str what)
    @cython.locals(step=Py_ssize_t, share=int64_t)
    cdef ramp(self, Backend backend, double now)
    @cython.locals(full=int64_t)
    cdef int64_t share_at(self, Backend backend, Py_ssize_t step) except -1
