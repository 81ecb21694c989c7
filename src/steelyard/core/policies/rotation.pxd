"""C types for rotation.py."""

from libc.stdint cimport int64_t
cimport cython
from steelyard.core.backend cimport Backend
from steelyard.core.policy cimport Pick, Policy

cdef class RoundRobin(Policy):
    cdef list order
    cdef list bounds
    cdef int64_t turns
    cdef int64_t step
    cdef Py_ssize_t patience

    cpdef rebuild(self, backends)
    @cython.locals(turn=int64_t, backend=Backend, skipped=Py_ssize_t)
    cpdef Backend pick(self, Pick request)
    @cython.locals(at=int64_t, index=Py_ssize_t)
    cdef Backend whose(self, int64_t turn)
    @cython.locals(backend=Backend, candidates=list)
    cdef Backend among_available(self, Pick request, int64_t turn)
