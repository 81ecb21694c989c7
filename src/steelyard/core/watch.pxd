"""C types for watch.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.table cimport Table

cdef Py_ssize_t GENERATION
cdef int64_t NEVER

@cython.final
cdef class Watch:
    cdef Table table
    cdef Py_ssize_t row
    cdef int64_t generation
    cdef readonly bint panic

    @cython.locals(generation=int64_t)
    cpdef bint stale(self, bint panic)
    cpdef forget(self)
