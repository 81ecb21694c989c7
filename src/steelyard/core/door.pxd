"""C types for door.py."""

from libc.stdint cimport int64_t
from steelyard.core.table cimport Table


cdef class Door:
    cdef readonly Table table
    cdef readonly Py_ssize_t row
    cdef public int64_t most_in_flight

    cpdef int64_t enter(self) except? -1
    cpdef int64_t leave(self) except? -1
    cpdef int64_t connections(self) except? -1
    cpdef bint begin(self) except -1
    cpdef int64_t end(self) except? -1
    cpdef int64_t count_crowded(self) except? -1
    cpdef int set_waits(self, bint waits) except -1
    cpdef bint should_yield(self) except -1
