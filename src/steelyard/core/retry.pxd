"""C types for retry.py."""

cimport cython
from libc.stdint cimport int64_t
from steelyard.core.table cimport Table

cdef Py_ssize_t FLOOR
cdef int64_t FLOOR_SHIFT, FLOOR_BITS, WINDOW_MS, EARNED

cpdef bint may_retry(object kind, bint method_idempotent, bint body_held, bint answer_begun) except -1
cpdef double backoff_s(double delay_s, double max_delay_s, int number, object below) except -1

@cython.final
cdef class RetryBudget:
    cdef readonly object share
    cdef readonly long long floor
    cdef bint limited
    cdef long long per_request
    cdef long long balance
    cdef long long earned
    cdef Table table
    cdef readonly Py_ssize_t row
    cdef double window_start
    cdef int64_t latest_of

    cpdef int deposit(self, double now) except -1
    cpdef bint withdraw(self, double now) except -1
    @cython.locals(cell=int64_t)
    cpdef int put_back(self) except -1
    @cython.locals(now_ms=int64_t, began_ms=int64_t, cell=int64_t, used=int64_t)
    cdef bint use_floor(self, double now) except -1
    cdef int roll(self, double now) except -1
