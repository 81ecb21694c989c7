"""C types for circuits.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.breaker cimport Breaker, move, passed_of, state_of, wait_is_over
from steelyard.core.policy cimport Pick
from steelyard.core.table cimport Table

cdef Py_ssize_t CIRCUIT, POOL_CIRCUIT
cdef int64_t NO_TRIAL, REFUSED

cdef class Circuits:
    cdef Table table
    cdef Py_ssize_t row
    cdef object tell
    cdef readonly Breaker each
    cdef readonly Breaker whole
    cdef readonly bint some

    @cython.locals(backend=Backend)
    cpdef lift(self, tuple backends)
    cpdef int64_t circuit(self) except? -1
    @cython.locals(circuit=int64_t, trial=int64_t)
    cdef int64_t enter(self, Pick request) except? -1
    cdef int go_back(self, int64_t trial) except -1
    @cython.locals(trial=int64_t)
    cdef bint lets_through(self, Pick request, Backend backend) except -1
    cdef bint carries(self, Pick request, Backend backend) except -1
    cdef carry(self, Pick request, Backend backend, Py_ssize_t row, int64_t trial)
    cpdef answered(self, Pick request, Backend backend, bint failed, double latency_s, double now)
    @cython.locals(tried_backend=bint, tried_whole=bint)
    cpdef ended(self, Pick request, Backend backend, bint failed, double latency_s, double now, bint final=*)
    @cython.locals(rules=Breaker, row=Py_ssize_t, trial=int64_t)
    cdef bint decide(self, Pick request, Backend backend, bint failed, double latency_s, double now) except -1
    cdef say(self, Backend backend, str what)
