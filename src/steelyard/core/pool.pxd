"""C types for pool.py."""

cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.policy cimport Pick, Policy
from steelyard.core.retry cimport RetryBudget
from steelyard.core.table cimport Table

cdef class Refusal:
    cdef readonly object kind
    cdef readonly Py_ssize_t retry_after_s

cdef class Pool:
    cdef readonly object spec
    cdef readonly str name
    cdef readonly Policy policy
    cdef readonly tuple backends
    cdef readonly RetryBudget retry
    cdef readonly tuple health
    cdef readonly Refusal none_up
    cdef readonly Refusal full
    cdef readonly str key
    cdef Py_ssize_t first_row
    cdef bint checked
    cdef set unsettled

    @cython.locals(backend=Backend)
    cpdef object acquire(self, Pick request)
    cpdef int release(self, Backend backend, bint failed, double now) except -1
    cpdef bint connect_failed(self, Backend backend, double now) except -1
    cpdef bint answered(self, Backend backend, double now) except -1
    @cython.locals(backend=Backend)
    cpdef bint has_other(self, Pick request) except -1
    cpdef bint bears_retry(self, object kind, double now) except -1
    cpdef bint mark_down(self, Backend backend, double now) except -1
    cpdef bint probed(self, Backend backend, bint ok, double now) except -1
    cdef bint take_note(self, Backend backend, object event) except -1
    cdef int take_key(self, Pick request, str name) except -1
    @cython.locals(backend=Backend)
    cdef Refusal refuse(self, Pick request)
