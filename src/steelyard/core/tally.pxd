"""C types for tally.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.table cimport Table

cdef Py_ssize_t REQUESTS, IN_FLIGHT, UNJUDGED, FAILURES
cdef Py_ssize_t ENDED_BITS
cdef int64_t ENDED, FAILED, MOST

cpdef int64_t pack(int64_t ended, int64_t failed) noexcept
@cython.locals(unended=int64_t)
cpdef int64_t tally(Table table, Py_ssize_t row) except -1
cpdef int64_t before_it(int64_t counted, bint failed) noexcept
@cython.locals(ended=int64_t)
cpdef int64_t ended_since(int64_t now, int64_t then) noexcept
@cython.locals(failed=int64_t)
cpdef int64_t failed_since(int64_t now, int64_t then) noexcept
