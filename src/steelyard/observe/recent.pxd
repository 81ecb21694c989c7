"""C types for recent.py."""

from steelyard.core.policy cimport Pick


cdef class Recent:
    cdef readonly Py_ssize_t size
    cdef list requests
    cdef list listeners
    cdef list pools
    cdef list backends
    cdef Py_ssize_t at

    cpdef int add(self, Pick request, str listener, str pool, str backend) except -1
