"""C types for line.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend

@cython.final
cdef class Line:
    cdef list backends
    cdef int64_t[::1] ends
    cdef readonly int64_t length

    @cython.locals(low=Py_ssize_t, high=Py_ssize_t, middle=Py_ssize_t)
    cpdef Backend owner(self, int64_t point)

cpdef Line by_share(list backends)
