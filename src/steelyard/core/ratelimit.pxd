"""C types for ratelimit.py."""

from libc.stdint cimport int64_t, uint64_t
from steelyard.core.limiter cimport Limiter
from steelyard.core.policy cimport Pick
from steelyard.core.stable cimport stable_hash
from steelyard.core.table cimport Table

cdef Py_ssize_t LOT, LOT_CELLS, LIMITED, OVER
cdef uint64_t ALL

cdef class RateLimit:
    cdef readonly object spec
    cdef readonly Table table
    cdef readonly Py_ssize_t row
    cdef str part
    cdef bint by_path
    cdef bint with_query
    cdef bint by_address
    cdef bint dry
    cdef int64_t lot
    cdef readonly Limiter limiter

    cpdef bint serves(self, spec, Py_ssize_t row) except -1
    cpdef double wait(self, Pick request, double now) except -1.0
    cdef uint64_t key_of(self, Pick request) except? 0
