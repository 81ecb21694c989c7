"""C types for latencies.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.simulate.chance cimport ln

cdef double LEAST, FINENESS
cdef Py_ssize_t BINS

@cython.final
cdef class Latencies:
    cdef int64_t[::1] bins
    cdef readonly Py_ssize_t count
    cdef readonly double total
    cdef readonly double largest

    @cython.locals(at=Py_ssize_t)
    cpdef int add(self, double value) except -1
    cpdef double mean(self)
    @cython.locals(rank=Py_ssize_t, seen=Py_ssize_t, at=Py_ssize_t)
    cpdef double quantile(self, double share) except? -1
    @cython.locals(at=Py_ssize_t, left=Py_ssize_t)
    cpdef list above(self)
    cpdef double time_of(self, Py_ssize_t at)
