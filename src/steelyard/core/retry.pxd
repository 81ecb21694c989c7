"""C types for retry.py."""

cimport cython

cpdef bint may_retry(object kind, bint method_idempotent, bint body_held, bint answer_begun) except -1

@cython.final
cdef class RetryBudget:
    cdef readonly object share
    cdef readonly long long floor
    cdef bint limited
    cdef long long per_request
    cdef long long balance
    cdef long long earned
    cdef long long floor_left
    cdef double window_start

    cpdef int deposit(self, double now) except -1
    cpdef bint withdraw(self, double now) except -1
    cdef int roll(self, double now) except -1
